/* The language of txn: words and compares. */
#include "registry/cli/txn_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect_words(const char *line, const char *joined)
{
    struct words words;
    struct strbuf why = STRBUF_EMPTY, got = STRBUF_EMPTY;
    assert_int_equal(words_split(&words, line, &why), OK);
    for (size_t i = 0; i < words.count; i++)
        strbuf_add_format(&got, "[%s]", words.items[i]);
    assert_string_equal(strbuf_str(&got), joined);
    words_fini(&words);
    strbuf_fini(&got);
    strbuf_fini(&why);
}

static void words_are_bare_or_quoted(void **state)
{
    (void)state;
    expect_words("", "");
    expect_words(" \t put  a b ", "[put][a][b]");
    expect_words("put \"a b\" 'c \" d'", "[put][a b][c \" d]");
    expect_words("\"a\\n\\t\\x41\\u00e9\\\"\"", "[a\n\tA\xc3\xa9\"]");
    expect_words("put \"\" ''", "[put][][]");
}

static void a_lone_quote_is_skipped(void **state)
{
    (void)state;
    expect_words("a \"b", "[a][b]");
    expect_words("a 'b", "[a][b]");
}

static void broken_escapes_and_nul_are_refused(void **state)
{
    static const char *const bad[] = {"\"\\q\"", "\"\\x4\"", "\"\\x00\"", "\"\\ud800\""};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct words words;
        struct strbuf why = STRBUF_EMPTY;
        assert_int_equal(words_split(&words, bad[i], &why), ERR_MALFORMED);
        assert_true(why.size > 0);
        strbuf_fini(&why);
    }
}

static void a_line_has_a_bound(void **state)
{
    struct words words;
    struct strbuf line = STRBUF_EMPTY, why = STRBUF_EMPTY;
    (void)state;
    for (int i = 0; i < WORDS_MAX; i++)
        strbuf_add_str(&line, "a ");
    assert_int_equal(words_split(&words, strbuf_str(&line), &why), OK);
    assert_int_equal(words.count, WORDS_MAX);
    words_fini(&words);
    strbuf_add_str(&line, "b");
    assert_int_equal(words_split(&words, strbuf_str(&line), &why), ERR_LIMIT);
    strbuf_fini(&line);
    strbuf_fini(&why);
}

static void expect_compare(const char *line, enum compare_target target, int result,
                           const char *key, int64_t number)
{
    struct compare_text c;
    struct strbuf why = STRBUF_EMPTY;
    assert_int_equal(compare_parse(&c, line, &why), OK);
    assert_int_equal(c.target, target);
    assert_int_equal(c.result, result);
    assert_string_equal(strbuf_str(&c.key), key);
    if (target != COMPARE_VALUE)
        assert_int_equal(c.number, number);
    compare_fini(&c);
    strbuf_fini(&why);
}

static void compares_have_five_targets_and_four_results(void **state)
{
    (void)state;
    expect_compare("mod(\"k\") > \"3\"", COMPARE_MOD, 1, "k", 3);
    expect_compare("m(\"k\") < \"-3\"", COMPARE_MOD, 2, "k", -3);
    expect_compare("create(\"a b\") = \"0\"", COMPARE_CREATE, 0, "a b", 0);
    expect_compare("c(\"k\") != \"1\"", COMPARE_CREATE, 3, "k", 1);
    expect_compare("ver(\"k\") = \"1\"", COMPARE_VERSION, 0, "k", 1);
    expect_compare("version(\"k\") = \"1\"", COMPARE_VERSION, 0, "k", 1);
    expect_compare("lease(\"k\") = \"ff\"", COMPARE_LEASE, 0, "k", 255);
    expect_compare("val(\"k\") = \"x\"", COMPARE_VALUE, 0, "k", 0);
    expect_compare("value(`k\\`)  =  `x`", COMPARE_VALUE, 0, "k\\", 0);
}

static void broken_compares_are_named(void **state)
{
    static const struct {
        const char *line, *why;
    } bad[] = {
        {"broken", "malformed comparison: broken"},
        {"mod(k) > \"3\"", "malformed comparison: mod(k) > \"3\""},
        {"mod(\"k\" > \"3\"", "malformed comparison: mod(\"k\" > \"3\""},
        {"mod(\"k\") > ", "malformed comparison: mod(\"k\") > "},
        {"what(\"k\") > \"1\"", "malformed comparison: what(\"k\") > \"1\" (unknown target what)"},
        {"mod(\"k\") ~ \"1\"", "malformed comparison: mod(\"k\") ~ \"1\" (unknown operator ~)"},
        {"mod(\"k\") > \"x\"", "invalid txn compare request: mod(\"k\") > \"x\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        struct compare_text c;
        struct strbuf why = STRBUF_EMPTY;
        assert_int_equal(compare_parse(&c, bad[i].line, &why), ERR_MALFORMED);
        assert_string_equal(strbuf_str(&why), bad[i].why);
        strbuf_fini(&why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_bare_or_quoted),
        cmocka_unit_test(a_lone_quote_is_skipped),
        cmocka_unit_test(broken_escapes_and_nul_are_refused),
        cmocka_unit_test(a_line_has_a_bound),
        cmocka_unit_test(compares_have_five_targets_and_four_results),
        cmocka_unit_test(broken_compares_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
