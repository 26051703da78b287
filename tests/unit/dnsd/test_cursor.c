#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/corefile/corefile.h"

static const struct core_token block_tokens[] = {
    {"F", 1, "log"}, {"F", 1, "."}, {"F", 1, "{"},   {"F", 2, "class"},
    {"F", 2, "all"}, {"F", 3, "}"}, {"F", 5, "log"},
};

static struct core_cursor cursor_over(const struct core_token *tokens, size_t count)
{
    struct core_directive d = {.name = "log", .tokens = tokens, .token_count = count};
    struct core_cursor c;
    core_cursor_init(&c, "Corefile", &d);
    return c;
}

static void next_crosses_lines(void **state)
{
    (void)state;
    struct core_cursor c = cursor_over(block_tokens, ARRAY_COUNT(block_tokens));
    size_t n = 0;
    while (core_next(&c))
        n++;
    assert_int_equal(n, ARRAY_COUNT(block_tokens));
    assert_string_equal(core_val(&c), "log");
    assert_int_equal(core_line(&c), 5);
}

static void next_arg_stays_on_the_line(void **state)
{
    (void)state;
    struct core_cursor c = cursor_over(block_tokens + 3, 3);
    assert_true(core_next_arg(&c));
    assert_string_equal(core_val(&c), "class");
    assert_true(core_next_arg(&c));
    assert_false(core_next_arg(&c));
    assert_string_equal(core_val(&c), "all");
}

static void next_arg_counts_newlines_inside_a_token(void **state)
{
    static const struct core_token tokens[] = {{"F", 1, "a"}, {"F", 1, "b\nc"}, {"F", 2, "d"}};
    (void)state;
    struct core_cursor c = cursor_over(tokens, 3);
    assert_true(core_next(&c) && core_next_arg(&c) && core_next_arg(&c));
    assert_string_equal(core_val(&c), "d");
}

static void another_file_is_another_line(void **state)
{
    static const struct core_token tokens[] = {{"F", 1, "a"}, {"G", 1, "b"}};
    (void)state;
    struct core_cursor c = cursor_over(tokens, 2);
    assert_true(core_next(&c));
    assert_false(core_next_arg(&c));
    assert_true(core_next_line(&c));
    assert_string_equal(core_file_name(&c), "G");
}

static void next_line_wants_a_lower_line(void **state)
{
    (void)state;
    struct core_cursor c = cursor_over(block_tokens + 3, 3);
    assert_true(core_next_line(&c));
    assert_false(core_next_line(&c));
    assert_true(core_next_arg(&c));
    assert_true(core_next_line(&c));
    assert_string_equal(core_val(&c), "}");
}

static void next_block_walks_between_the_braces(void **state)
{
    (void)state;
    struct core_cursor c = cursor_over(block_tokens, ARRAY_COUNT(block_tokens));
    assert_true(core_next(&c) && core_next_arg(&c));
    assert_true(core_next_block(&c));
    assert_string_equal(core_val(&c), "class");
    assert_true(core_next_arg(&c));
    assert_false(core_next_block(&c));
    assert_string_equal(core_val(&c), "}");
    assert_true(core_next(&c));
    assert_false(core_next_block(&c));
}

static void next_block_rolls_back_from_an_argument(void **state)
{
    (void)state;
    struct core_cursor c = cursor_over(block_tokens, ARRAY_COUNT(block_tokens));
    assert_true(core_next(&c));
    assert_false(core_next_block(&c));
    assert_string_equal(core_val(&c), "log");
}

static void an_empty_block_has_no_lines(void **state)
{
    static const struct core_token tokens[] = {{"F", 1, "log"}, {"F", 1, "{"}, {"F", 1, "}"}};
    (void)state;
    struct core_cursor c = cursor_over(tokens, 3);
    assert_true(core_next(&c));
    assert_false(core_next_block(&c));
    assert_string_equal(core_val(&c), "}");
}

static void a_block_that_never_closes_ends_with_the_tokens(void **state)
{
    static const struct core_token tokens[] = {{"F", 1, "log"}, {"F", 1, "{"}, {"F", 2, "a"}};
    (void)state;
    struct core_cursor c = cursor_over(tokens, 3);
    assert_true(core_next(&c));
    assert_true(core_next_block(&c));
    assert_false(core_next_block(&c));
}

static void remaining_args_stop_at_a_brace(void **state)
{
    struct arena arena;
    const char **args;
    size_t count;
    (void)state;
    arena_init(&arena, 1 << 16);
    struct core_cursor c = cursor_over(block_tokens, ARRAY_COUNT(block_tokens));
    assert_true(core_next(&c));
    assert_int_equal(core_remaining_args(&c, &arena, &args, &count), OK);
    assert_int_equal(count, 1);
    assert_string_equal(args[0], ".");
    assert_string_equal(core_val(&c), ".");
    assert_true(core_next_block(&c));
    assert_int_equal(core_remaining_args(&c, &arena, &args, &count), OK);
    assert_int_equal(count, 1);
    assert_string_equal(args[0], "all");
    arena_fini(&arena);
}

static void without_a_token_there_is_no_text_and_line_0(void **state)
{
    (void)state;
    struct core_cursor c = cursor_over(block_tokens, 1);
    assert_string_equal(core_val(&c), "");
    assert_int_equal(core_line(&c), 0);
    assert_string_equal(core_file_name(&c), "Corefile");
    assert_true(core_next(&c));
    assert_string_equal(core_file_name(&c), "F");
}

static void errors_name_file_line_and_token(void **state)
{
    struct strbuf e = STRBUF_EMPTY;
    (void)state;
    struct core_cursor c = cursor_over(block_tokens, ARRAY_COUNT(block_tokens));
    assert_true(core_next(&c));
    assert_int_equal(core_arg_error(&c, &e), ERR_INVALID);
    assert_string_equal(strbuf_str(&e), "F:1 - Error during parsing: Wrong argument count or "
                                        "unexpected line ending after 'log'");
    assert_true(core_next(&c) && core_next(&c));
    strbuf_clear(&e);
    assert_int_equal(core_arg_error(&c, &e), ERR_INVALID);
    assert_string_equal(strbuf_str(&e),
                        "F:1 - Error during parsing: Unexpected token '{', expecting argument");
    strbuf_clear(&e);
    assert_int_equal(core_syntax_error(&c, "}", &e), ERR_INVALID);
    assert_string_equal(strbuf_str(&e), "F:1 - Syntax error: Unexpected token '{', expecting '}'");
    strbuf_clear(&e);
    assert_int_equal(core_eof_error(&c, &e), ERR_INVALID);
    assert_string_equal(strbuf_str(&e), "F:1 - Error during parsing: Unexpected EOF");
    strbuf_clear(&e);
    assert_int_equal(core_error(&c, &e, "bad %s %d", "x", 7), ERR_INVALID);
    assert_string_equal(strbuf_str(&e), "F:1 - Error during parsing: bad x 7");
    strbuf_fini(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_crosses_lines),
        cmocka_unit_test(next_arg_stays_on_the_line),
        cmocka_unit_test(next_arg_counts_newlines_inside_a_token),
        cmocka_unit_test(another_file_is_another_line),
        cmocka_unit_test(next_line_wants_a_lower_line),
        cmocka_unit_test(next_block_walks_between_the_braces),
        cmocka_unit_test(next_block_rolls_back_from_an_argument),
        cmocka_unit_test(an_empty_block_has_no_lines),
        cmocka_unit_test(a_block_that_never_closes_ends_with_the_tokens),
        cmocka_unit_test(remaining_args_stop_at_a_brace),
        cmocka_unit_test(without_a_token_there_is_no_text_and_line_0),
        cmocka_unit_test(errors_name_file_line_and_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
