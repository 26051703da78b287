#include "tests/unit/dnsd/support.h"

static void any_query_gets_hinfo_of_rfc_8482(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n any\n}\n");
    assert_string_equal(CHAIN_ASK(c, .name = "Example.org", .type = DNS_TYPE_ANY),
                        "NOERROR qr,rd|an Example.org. 8482 HINFO \"ANY obsoleted\" "
                        "\"See RFC 8482\"");
    assert_int_equal(chain_asked(c), 0);
    chain_free(c);
}

static void other_types_pass(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n any\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 7 A 192.0.2.1");
    assert_string_equal(CHAIN_ASK(c, .name = "example.org", .type = DNS_TYPE_A),
                        "NOERROR qr,rd|an example.org. 7 A 192.0.2.1");
    chain_free(c);
}

static void arguments_are_ignored(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n any what ever {\n x\n }\n any\n}\n"), "(accepted)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_query_gets_hinfo_of_rfc_8482),
        cmocka_unit_test(other_types_pass),
        cmocka_unit_test(arguments_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
