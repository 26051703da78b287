#include "tests/unit/dnsd/support.h"

#include "dnsd/directive/regex.h"

#include <stdio.h>
#include <string.h>

static void assert_match(const char *pattern, const char *text, bool expected)
{
    struct strbuf why = STRBUF_EMPTY;
    struct regex *r;
    if (regex_create(&r, pattern, &why) != OK)
        fail_msg("%s: %s", pattern, strbuf_str(&why));
    assert_string_equal(regex_text(r), pattern);
    if (regex_match(r, text) != expected)
        fail_msg("%s against %s", pattern, text);
    regex_destroy(r);
    strbuf_fini(&why);
}

static void matches_as_re2(void **state)
{
    static const struct {
        const char *pattern, *yes, *no;
    } cases[] = {
        {"timeout", "i/o timeout", "time out"},
        {"^read .*timeout$", "read udp 1: timeout", "read udp: timeout\n"}, /* $ is the very end */
        {"(?m)^b$", "a\nb\nc", "a\nbb\nc"},
        {"a.c", "abc", "a\nc"},
        {"(?s)a.c", "a\nc", "ac"},
        {"(?i)ABC", "xabcx", "ab"},
        {"(?i:A)B", "aB", "ab"},
        {"^\\s$", "\t", "\v"}, /* RE2's \s has no vertical tab */
        {"^\\S$", "\v", " "},
        {"^[\\s]$", " ", "\v"},
        {"^[^\\d]$", "a", "1"},
        {"^[]a]$", "]", "b"},
        {"^[a\\-z]$", "-", "b"},
        {"^[[:digit:][:^space:]]$", "a", " "},
        {"^\\pL$", "\xc3\xa9", "1"},
        {"^\\p{Greek}$", "\xce\xb1", "a"},
        {"^.$", "\xc3\xa9", "ab"},
        {"\\Qa.b\\E", "a.b", "axb"},
        {"^a{2}$", "aa", "a"},
        {"^a{,2}$", "a{,2}", "a"}, /* no operator without a minimum */
        {"^a{2,}?$", "aaa", "a"},
        {"^(?P<x>a)(?<y>b)$", "ab", "a"},
        {"^\\x41\\x{42}\\103\\.$", "ABC.", "ABCD"},
        {"^\\v$", "\v", "\n"},
        {"\\bfoo\\b", "a foo b", "afoob"},
        {"^(a|b|)c\\z", "c", "dc"},
        {"^*a", "a", "b"},
        {"^a(?i)(?s)*B$", "aab", "aAb"}, /* the operator is the "a"'s */
        {"b\n(?m)^\\z", "b\n", "b"},     /* a line begins after the last newline */
        {"#x y", "#x y", "#xy"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_match(cases[i].pattern, cases[i].yes, true);
        assert_match(cases[i].pattern, cases[i].no, false);
    }
}

static void refuses_with_go_messages(void **state)
{
    static const struct {
        const char *pattern, *message;
    } cases[] = {
        {"a(b", "missing closing ): `a(b`"},
        {"a)b", "unexpected ): `a)b`"},
        {"[ab", "missing closing ]: `[ab`"},
        {"x[z-a]", "invalid character class range: `z-a`"},
        {"[[:foo:]]", "invalid character class range: `[:foo:]`"},
        {"\\p{Klingon}", "invalid character class range: `\\p{Klingon}`"},
        {"a**", "invalid nested repetition operator: `**`"},
        {"a{2}+?", "invalid nested repetition operator: `{2}+?`"},
        {"*a", "missing argument to repetition operator: `*`"},
        {"(|+)", "missing argument to repetition operator: `+`"},
        {"a{1001}", "invalid repeat count: `{1001}`"},
        {"a{3,2}", "invalid repeat count: `{3,2}`"},
        {"\\y", "invalid escape sequence: `\\y`"},
        {"\\1", "invalid escape sequence: `\\1`"},
        {"\\x{110000}", "invalid escape sequence: `\\x{110000`"},
        {"a\\", "trailing backslash at end of expression: ``"},
        {"(?=a)", "invalid or unsupported Perl syntax: `(?=`"},
        {"(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char expected[128];
        struct strbuf why = STRBUF_EMPTY;
        struct regex *r = NULL;
        assert_int_equal(regex_create(&r, cases[i].pattern, &why), ERR_MALFORMED);
        snprintf(expected, sizeof(expected), "error parsing regexp: %s", cases[i].message);
        assert_string_equal(strbuf_str(&why), expected);
        strbuf_fini(&why);
    }
}

/* Error texts quote what clients send: no expression may take long over them. */
static void backtracking_is_bounded(void **state)
{
    char text[4096];
    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_match("(a*)*(a*)*b", text, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_as_re2),
        cmocka_unit_test(refuses_with_go_messages),
        cmocka_unit_test(backtracking_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
