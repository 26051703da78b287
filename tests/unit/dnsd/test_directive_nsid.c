#include "tests/unit/dnsd/support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK(c, hex) CHAIN_ASK(c, .name = "a", .type = DNS_TYPE_A, .udp_size = 1000, .options = hex)

static void asked_for_it_is_told(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n nsid ab  c\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    /* DO is CoreDNS's doing */
    assert_string_equal(ASK(c, "00030000"), "NOERROR qr,rd|opt 1000 do 3:61622063");
    assert_string_equal(ASK(c, "000a00081122334455667788"
                               "00030000"),
                        "NOERROR qr,rd|opt 1000 do 3:61622063");
    chain_free(c);
}

static void not_asked_for_it_stays_away(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n nsid ab\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(ASK(c, ""), "NOERROR qr,rd|opt 1000");
    assert_string_equal(CHAIN_ASK(c, .name = "a", .type = DNS_TYPE_A), "NOERROR qr,rd");
    chain_free(c);
}

static void joins_an_opt_that_is_there(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n nsid ab\n acl {\n block\n }\n}\n");
    assert_string_equal(ASK(c, "00030000"), "REFUSED qr,rd|opt 1000 do 15:000f 3:6162");
    chain_free(c);
}

static void default_is_the_host_name(void **state)
{
    (void)state;
    char host[256], expected[1024] = "NOERROR qr,rd|opt 1000 do 3:";
    assert_int_equal(gethostname(host, sizeof(host)), 0);
    size_t size = strlen(expected);
    for (const char *at = host; *at != '\0'; at++, size += 2)
        snprintf(expected + size, sizeof(expected) - size, "%02x", (unsigned char)*at);
    struct chain *c = chain_load(". {\n nsid\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(ASK(c, "00030000"), expected);
    chain_free(c);
}

static void stands_once(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n nsid a\n nsid b\n}\n"),
                        "plugin/nsid: this plugin can only be used once per Server Block");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_for_it_is_told),
        cmocka_unit_test(not_asked_for_it_stays_away),
        cmocka_unit_test(joins_an_opt_that_is_there),
        cmocka_unit_test(default_is_the_host_name),
        cmocka_unit_test(stands_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
