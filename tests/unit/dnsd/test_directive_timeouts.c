#include "tests/unit/dnsd/support.h"

#include <stdio.h>

static void sets_each_of_the_three(void **state)
{
    (void)state;
    struct chain *c = chain_load("a b {\n timeouts {\n  read 2\n  write 1m\n  idle 1.5s\n }\n}\n");
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(chain_site(c, i)->read_timeout_ms, 2000);
        assert_int_equal(chain_site(c, i)->write_timeout_ms, 60000);
        assert_int_equal(chain_site(c, i)->idle_timeout_ms, 1500);
    }
    chain_free(c);
}

static void assert_refused(const char *lines, const char *message)
{
    char text[128], expected[256];
    snprintf(text, sizeof(text), ". {\n timeouts %s\n}\n", lines);
    snprintf(expected, sizeof(expected), "plugin/timeouts: %s", message);
    assert_string_equal(chain_error(text), expected);
}

static void refuses_times_out_of_range(void **state)
{
    (void)state;
    assert_refused("{\n read 500ms\n }", "Corefile:3 - Error during parsing: timeout provided "
                                         "'500ms' needs to be between 1 second and 24 hours");
    assert_refused("{\n read 0\n }", "Corefile:3 - Error during parsing: timeout provided "
                                     "'0s' needs to be between 1 second and 24 hours");
    assert_refused("{\n idle 24h1s\n }", "Corefile:3 - Error during parsing: timeout provided "
                                         "'24h0m1s' needs to be between 1 second and 24 hours");
    assert_string_equal(chain_error(". {\n timeouts {\n read 24h\n write 1s\n }\n}\n"),
                        "(accepted)");
}

static void refuses_what_is_no_time(void **state)
{
    (void)state;
    assert_refused("{\n read x\n }",
                   "Corefile:3 - Error during parsing: failed to parse duration 'x'");
    assert_refused("{\n read 99999999999\n }",
                   "Corefile:3 - Error during parsing: failed to parse duration '99999999999s'");
}

static void refuses_wrong_shapes(void **state)
{
    (void)state;
    assert_refused("", "plugin/timeouts: Corefile:2 - Error during parsing: timeouts block with no "
                       "timeouts specified");
    assert_refused("x", "plugin/timeouts: Corefile:2 - Error during parsing: Wrong argument count "
                        "or unexpected line ending after 'x'");
    assert_refused("{\n read\n }", "Corefile:3 - Error during parsing: Wrong argument count or "
                                   "unexpected line ending after 'read'");
    assert_refused("{\n accept 5s\n }",
                   "Corefile:3 - Error during parsing: unknown option: 'accept'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_each_of_the_three),
        cmocka_unit_test(refuses_times_out_of_range),
        cmocka_unit_test(refuses_what_is_no_time),
        cmocka_unit_test(refuses_wrong_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
