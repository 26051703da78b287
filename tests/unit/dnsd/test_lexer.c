#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/corefile/lexer.h"

#include <string.h>

static struct arena arena;
static struct strbuf words;
static enum err lex_result;

/* The tokens of SIZE bytes at TEXT as "line:text|line:text". */
static const char *lexed_bytes(const char *text, size_t size)
{
    struct token_list tokens = {0};
    struct strbuf error = STRBUF_EMPTY;
    arena_reset(&arena);
    strbuf_clear(&words);
    lex_result = core_lex(text, size, "F", &arena, &tokens, &error);
    for (size_t i = 0; i < tokens.count; i++)
        strbuf_add_format(&words, "%s%d:%s", i > 0 ? "|" : "", tokens.items[i].line,
                          tokens.items[i].text);
    if (lex_result != OK)
        strbuf_add_str(&words, strbuf_str(&error));
    strbuf_fini(&error);
    token_list_fini(&tokens);
    return strbuf_str(&words);
}

static const char *lexed(const char *text)
{
    return lexed_bytes(text, strlen(text));
}

static void words_are_separated_by_white_space(void **state)
{
    (void)state;
    assert_string_equal(lexed("a b\tc\n d\n\n\ne"), "1:a|1:b|1:c|2:d|5:e");
    assert_string_equal(lexed(""), "");
    assert_string_equal(lexed(" \n\t"), "");
}

static void unicode_white_space_separates_too(void **state)
{
    (void)state;
    assert_string_equal(lexed("a\xC2\xA0"
                              "b\xE2\x80\x83"
                              "c\xE3\x80\x80"
                              "d\xC2\x85"
                              "e\vf\fg"),
                        "1:a|1:b|1:c|1:d|1:e|1:f|1:g");
}

static void byte_order_mark_is_skipped_once(void **state)
{
    (void)state;
    assert_string_equal(lexed("\xEF\xBB\xBF"
                              "a"),
                        "1:a");
    assert_string_equal(lexed("a \xEF\xBB\xBF"), "1:a|1:\xEF\xBB\xBF");
}

static void carriage_returns_vanish_even_inside_a_word(void **state)
{
    (void)state;
    assert_string_equal(lexed("a\r\nb\r\n"), "1:a|2:b");
    assert_string_equal(lexed("a\rb"), "1:ab");
    assert_string_equal(lexed("\"a\rb\""), "1:a\rb");
}

static void a_comment_runs_to_the_end_of_the_line(void **state)
{
    (void)state;
    assert_string_equal(lexed("# a b\nc # d e\nf"), "2:c|3:f");
}

static void a_comment_glued_to_a_word_ends_with_the_next_space(void **state)
{
    (void)state;
    assert_string_equal(lexed("a#b c\nd"), "1:a|1:c|2:d");
    assert_string_equal(lexed("a#b\nc"), "1:a|2:c");
}

static void quotes_keep_space_and_newlines(void **state)
{
    (void)state;
    assert_string_equal(lexed("\"a b\nc\" d\ne"), "1:a b\nc|2:d|3:e");
    assert_string_equal(lexed("\"\" x"), "1:|1:x");
    assert_string_equal(lexed("\"a # b\""), "1:a # b");
}

static void quotes_matter_at_the_start_of_a_word_only(void **state)
{
    (void)state;
    assert_string_equal(lexed("a\"b c\""), "1:a\"b|1:c\"");
    assert_string_equal(lexed("\"a\"b"), "1:a|1:b");
}

static void only_a_quote_can_be_escaped(void **state)
{
    (void)state;
    assert_string_equal(lexed("\"a\\\"b\""), "1:a\"b");
    assert_string_equal(lexed("\"a\\nb\""), "1:a\\nb");
    assert_string_equal(lexed("\"a\\\\\""), "1:a\\\\");
    assert_string_equal(lexed("a\\\"b"), "1:a\\\"b");
}

static void an_open_quote_ends_with_the_text(void **state)
{
    (void)state;
    assert_string_equal(lexed("\"a b"), "1:a b");
    assert_string_equal(lexed("\"a\\"), "1:a");
    assert_string_equal(lexed("\""), "");
}

static void bytes_that_are_no_utf8_become_the_replacement_character(void **state)
{
    (void)state;
    assert_string_equal(lexed("a\xFF"
                              "b"),
                        "1:a\xEF\xBF\xBD"
                        "b");
    assert_string_equal(lexed("\xE2\x80"), "1:\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_string_equal(lexed("\xED\xA0\x80"), "1:\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    assert_string_equal(lexed("\xF0\x9F\x98\x80"), "1:\xF0\x9F\x98\x80");
}

static void a_nul_byte_in_a_word_is_refused(void **state)
{
    (void)state;
    assert_string_equal(lexed_bytes("a\nb\0c", 5),
                        "1:aF:2 - Error during parsing: NUL byte behind 'b'");
    assert_int_equal(lex_result, ERR_MALFORMED);
    assert_string_equal(lexed_bytes("a # \0 b\nc", 9), "1:a|2:c");
    assert_int_equal(lex_result, OK);
}

static void more_tokens_than_the_bound_are_refused(void **state)
{
    (void)state;
    size_t size = 2 * ((size_t)CORE_FILE_MAX_TOKENS + 1);
    char *text = test_malloc(size);
    for (size_t i = 0; i < size; i += 2)
        memcpy(text + i, "a ", 2);
    (void)lexed_bytes(text, size);
    assert_int_equal(lex_result, ERR_LIMIT);
    test_free(text);
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 256 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    strbuf_fini(&words);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_separated_by_white_space),
        cmocka_unit_test(unicode_white_space_separates_too),
        cmocka_unit_test(byte_order_mark_is_skipped_once),
        cmocka_unit_test(carriage_returns_vanish_even_inside_a_word),
        cmocka_unit_test(a_comment_runs_to_the_end_of_the_line),
        cmocka_unit_test(a_comment_glued_to_a_word_ends_with_the_next_space),
        cmocka_unit_test(quotes_keep_space_and_newlines),
        cmocka_unit_test(quotes_matter_at_the_start_of_a_word_only),
        cmocka_unit_test(only_a_quote_can_be_escaped),
        cmocka_unit_test(an_open_quote_ends_with_the_text),
        cmocka_unit_test(bytes_that_are_no_utf8_become_the_replacement_character),
        cmocka_unit_test(a_nul_byte_in_a_word_is_refused),
        cmocka_unit_test(more_tokens_than_the_bound_are_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
