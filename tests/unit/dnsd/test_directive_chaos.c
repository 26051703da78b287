#include "tests/unit/dnsd/support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ASK_CH(c, qname)                                                                           \
    CHAIN_ASK(c, .name = qname, .type = DNS_TYPE_TXT, .class_number = DNS_CLASS_CH, .is_tcp = true)

static void version_is_coredns_by_default(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n chaos\n}\n");
    assert_string_equal(ASK_CH(c, "Version.bind"),
                        "NOERROR qr,rd|an Version.bind. 0 TXT \"CoreDNS-1.11.1\"");
    assert_string_equal(ASK_CH(c, "version.server"),
                        "NOERROR qr,rd|an version.server. 0 TXT \"CoreDNS-1.11.1\"");
    chain_free(c);
}

static void version_is_the_first_argument(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n chaos \"my version\"\n chaos ignored\n}\n");
    assert_string_equal(ASK_CH(c, "version.bind"),
                        "NOERROR qr,rd|an version.bind. 0 TXT \"my version\"");
    chain_free(c);
}

static void authors_are_the_rest_without_repetition(void **state)
{
    (void)state;
    bool seen_ab = false, seen_ba = false;
    struct chain *c = chain_load(". {\n chaos v bob alice bob\n}\n");
    for (int i = 0; i < 200; i++) {
        const char *reply = ASK_CH(c, "authors.bind");
        bool is_ab = strcmp(reply, "NOERROR qr,rd|an authors.bind. 0 TXT \"alice\""
                                   "|an authors.bind. 0 TXT \"bob\"") == 0;
        bool is_ba = strcmp(reply, "NOERROR qr,rd|an authors.bind. 0 TXT \"bob\""
                                   "|an authors.bind. 0 TXT \"alice\"") == 0;
        assert_true(is_ab || is_ba);
        seen_ab |= is_ab;
        seen_ba |= is_ba;
    }
    assert_true(seen_ab && seen_ba); /* in any order */
    chain_free(c);
}

static void default_authors_are_coredns_maintainers(void **state)
{
    (void)state;
    size_t count = 0;
    struct chain *c = chain_load(". {\n chaos v\n}\n");
    const char *reply = ASK_CH(c, "authors.bind");
    for (const char *at = reply; (at = strchr(at, '|')) != NULL; at++)
        count++;
    assert_int_equal(count, 27);
    assert_non_null(strstr(reply, "\"miekg\""));
    assert_non_null(strstr(reply, "\"zouyee\""));
    chain_free(c);
}

static void host_name_is_told(void **state)
{
    (void)state;
    char host[256], expected[300];
    assert_int_equal(gethostname(host, sizeof(host)), 0);
    snprintf(expected, sizeof(expected), "NOERROR qr,rd|an id.server. 0 TXT \"%s\"", host);
    struct chain *c = chain_load(". {\n chaos\n}\n");
    assert_string_equal(ASK_CH(c, "id.server"), expected);
    assert_non_null(strstr(ASK_CH(c, "hostname.bind"), host));
    chain_free(c);
}

static void others_pass(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n chaos\n}\n");
    chain_answers(c, DNS_RCODE_NXDOMAIN, "");
    assert_string_equal(ASK_CH(c, "foo.bind"), "NXDOMAIN qr,rd");
    assert_string_equal(CHAIN_ASK(c, .name = "version.bind", .type = DNS_TYPE_TXT),
                        "NXDOMAIN qr,rd");
    assert_string_equal(
        CHAIN_ASK(c, .name = "version.bind", .type = DNS_TYPE_A, .class_number = DNS_CLASS_CH),
        "NXDOMAIN qr,rd");
    chain_free(c);
}

static void text_is_cut_at_255_octets(void **state)
{
    (void)state;
    char corefile[400], expected[400];
    snprintf(corefile, sizeof(corefile), ". {\n chaos %0300d\n}\n", 7);
    snprintf(expected, sizeof(expected), "NOERROR qr,rd|an version.bind. 0 TXT \"%0255d\"", 0);
    struct chain *c = chain_load(corefile);
    assert_string_equal(ASK_CH(c, "version.bind"), expected);
    chain_free(c);
}

static void escapes_name_octets(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n chaos a\\066\\c\\\\d\\\n}\n");
    assert_string_equal(ASK_CH(c, "version.bind"),
                        "NOERROR qr,rd|an version.bind. 0 TXT \"aBc\\d\"");
    chain_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_is_coredns_by_default),
        cmocka_unit_test(version_is_the_first_argument),
        cmocka_unit_test(authors_are_the_rest_without_repetition),
        cmocka_unit_test(default_authors_are_coredns_maintainers),
        cmocka_unit_test(host_name_is_told),
        cmocka_unit_test(others_pass),
        cmocka_unit_test(text_is_cut_at_255_octets),
        cmocka_unit_test(escapes_name_octets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
