#include "tests/unit/dnsd/support.h"

#include <string.h>
#include <time.h>

static int capture(void **state)
{
    (void)state;
    output_capture();
    return 0;
}

static int release(void **state)
{
    (void)state;
    output_release();
    return 0;
}

static void wait_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

#define ASK(c, qname) CHAIN_ASK(c, .name = qname, .type = DNS_TYPE_A)

static void an_error_is_one_line(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n errors\n}\n");
    chain_answers_error(c, "it broke");
    assert_string_equal(ASK(c, "X.org"), "SERVFAIL qr,rd");
    assert_string_equal(output_take(), "[ERROR] plugin/errors: 2 x.org. A: it broke\n");
    chain_answers_error(c, NULL);
    ASK(c, "X.org");
    assert_string_equal(output_take(), "");
    chain_free(c);
}

static void stacktrace_marks_the_block(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n errors stdout {\n stacktrace\n }\n}\n");
    assert_true(chain_site(c, 0)->stacktrace);
    chain_free(c);
}

static void consolidated_errors_are_counted_per_period(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n bind 127.0.0.1\n errors {\n"
                                 "  consolidate 200ms ^a.* warning\n"
                                 "  consolidate 1h ^ab info\n"
                                 "  consolidate 1h ^b\n }\n}\n");
    chain_start(c);
    chain_answers_error(c, "abc");
    for (int i = 0; i < 5; i++)
        ASK(c, "x");
    chain_answers_error(c, "xyz");
    ASK(c, "x");
    assert_string_equal(output_take(), "[ERROR] plugin/errors: 2 x. A: xyz\n");
    chain_answers_error(c, "bcd");
    ASK(c, "x");
    wait_ms(500);
    assert_string_equal(output_take(),
                        "[WARNING] plugin/errors: 5 errors like '^a.*' occurred in last 200ms\n");
    chain_stop(c); /* what is left is told at the end */
    assert_string_equal(output_take(),
                        "[ERROR] plugin/errors: 1 errors like '^b' occurred in last 1h0m0s\n");
    chain_free(c);
}

static void refuses_with_coredns_messages(void **state)
{
    static const struct {
        const char *lines, *message;
    } cases[] = {
        {"errors\n errors", "this plugin can only be used once per Server Block"},
        {"errors stderr", "Corefile:2 - Error during parsing: invalid log file: stderr"},
        {"errors a b", "Corefile:2 - Error during parsing: Wrong argument count or unexpected line "
                       "ending after 'b'"},
        {"errors {\n x\n }", "Corefile:3 - Syntax error: Unexpected token 'x', expecting 'Unknown "
                             "field x'"},
        {"errors {\n consolidate 5 a\n }",
         "Corefile:3 - Error during parsing: time: missing unit in duration \"5\""},
        {"errors {\n consolidate 5s (\n }", "Corefile:3 - Error during parsing: error parsing "
                                            "regexp: missing closing ): `(`"},
        {"errors {\n consolidate 5s a loud\n }", "Corefile:3 - Error during parsing: unknown log "
                                                 "level argument in consolidate: loud"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct strbuf text = STRBUF_EMPTY, expected = STRBUF_EMPTY;
        strbuf_add_format(&text, ". {\n %s\n}\n", cases[i].lines);
        strbuf_add_format(&expected, "plugin/errors: %s", cases[i].message);
        assert_string_equal(chain_error(strbuf_str(&text)), strbuf_str(&expected));
        strbuf_fini(&text);
        strbuf_fini(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_error_is_one_line, capture, release),
        cmocka_unit_test(stacktrace_marks_the_block),
        cmocka_unit_test_setup_teardown(consolidated_errors_are_counted_per_period, capture,
                                        release),
        cmocka_unit_test(refuses_with_coredns_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
