#include "tests/unit/dnsd/support.h"

static void marks_its_block(void **state)
{
    (void)state;
    struct chain *c = chain_load("a b {\n debug\n}\nc {\n errors\n}\n");
    assert_true(chain_site(c, 0)->debug);
    assert_true(chain_site(c, 1)->debug);
    assert_false(chain_site(c, 2)->debug);
    chain_free(c);
}

static void takes_no_argument(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n debug on\n}\n"),
                        "plugin/debug: Corefile:2 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'on'");
    assert_string_equal(chain_error(". {\n debug\n debug\n}\n"), "(accepted)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(marks_its_block),
        cmocka_unit_test(takes_no_argument),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
