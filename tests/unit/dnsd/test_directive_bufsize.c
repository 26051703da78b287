#include "tests/unit/dnsd/support.h"

#include <stdio.h>

#define ASK_SIZE(c, size) CHAIN_ASK(c, .name = "a", .type = DNS_TYPE_A, .udp_size = size)

static void larger_sizes_are_lowered(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n bufsize 700\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(ASK_SIZE(c, 4096), "NOERROR qr,rd|opt 700");
    assert_string_equal(ASK_SIZE(c, 699), "NOERROR qr,rd|opt 699");
    assert_string_equal(CHAIN_ASK(c, .name = "a", .type = DNS_TYPE_A), "NOERROR qr,rd");
    chain_free(c);
}

static void default_is_1232(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n bufsize\n bufsize 600\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(ASK_SIZE(c, 4096), "NOERROR qr,rd|opt 1232");
    chain_free(c);
}

static void refuses_what_is_no_size(void **state)
{
    static const char *const args[] = {"511", "4097", "x", "-5", "99999999999999999999"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(args); i++) {
        char text[64], expected[256];
        snprintf(text, sizeof(text), ". {\n bufsize %s\n}\n", args[i]);
        snprintf(
            expected, sizeof(expected),
            "plugin/bufsize: plugin/bufsize: Corefile:2 - Error during parsing: Wrong argument "
            "count or unexpected line ending after '%s'",
            args[i]);
        assert_string_equal(chain_error(text), expected);
    }
    assert_string_equal(chain_error(". {\n bufsize 600 700\n}\n"),
                        "plugin/bufsize: plugin/bufsize: Corefile:2 - Error during parsing: Wrong "
                        "argument count or unexpected line ending after '700'");
}

static void accepts_the_bounds(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n bufsize 512\n}\n"), "(accepted)");
    assert_string_equal(chain_error(". {\n bufsize +4096\n}\n"), "(accepted)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(larger_sizes_are_lowered),
        cmocka_unit_test(default_is_1232),
        cmocka_unit_test(refuses_what_is_no_size),
        cmocka_unit_test(accepts_the_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
