#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

static void an_empty_buffer_reads_as_the_empty_string(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    assert_string_equal(strbuf_str(&s), "");
    assert_null(s.data);
    strbuf_fini(&s);
}

static void adds_are_appended_and_terminated(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    strbuf_add(&s, "ab", 2);
    strbuf_add_char(&s, 'c');
    strbuf_add_str(&s, "de");
    strbuf_add_format(&s, "%d-%s", 42, "x");
    strbuf_add(&s, "", 0);
    assert_string_equal(strbuf_str(&s), "abcde42-x");
    assert_int_equal(s.size, 9);
    assert_int_equal(s.data[s.size], '\0');
    strbuf_fini(&s);
}

static void bytes_may_hold_nul(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    strbuf_add(&s, "a\0b", 3);
    assert_int_equal(s.size, 3);
    assert_memory_equal(s.data, "a\0b", 4);
    strbuf_fini(&s);
}

static void a_long_format_grows_the_buffer(void **state)
{
    struct strbuf s = STRBUF_EMPTY;
    char text[3000];

    (void)state;
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    strbuf_add_format(&s, "%s!", text);
    assert_int_equal(s.size, sizeof text);
    assert_memory_equal(s.data, text, sizeof text - 1);
    assert_string_equal(s.data + sizeof text - 1, "!");
    strbuf_fini(&s);
}

/* Every fill level around the growth steps. */
static void a_format_fits_at_every_fill_level(void **state)
{
    (void)state;
    for (size_t fill = 0; fill < 200; fill++) {
        struct strbuf s = STRBUF_EMPTY;
        for (size_t i = 0; i < fill; i++)
            strbuf_add_char(&s, 'x');
        strbuf_add_format(&s, "%070d", 7);
        assert_int_equal(s.size, fill + 70);
        assert_int_equal(strlen(s.data), fill + 70);
        strbuf_fini(&s);
    }
}

static void clear_forgets_the_content_but_keeps_the_memory(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    strbuf_add_str(&s, "content");
    char *data = s.data;
    strbuf_clear(&s);
    assert_string_equal(strbuf_str(&s), "");
    strbuf_add_str(&s, "new");
    assert_ptr_equal(s.data, data);
    assert_string_equal(strbuf_str(&s), "new");
    strbuf_fini(&s);
}

static void a_failure_is_sticky(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    strbuf_add_str(&s, "kept");
    strbuf_add(&s, "", SIZE_MAX - 2); /* cannot fit: refused before DATA is looked at */
    assert_true(s.failed);
    strbuf_add_str(&s, "not added");
    strbuf_add_format(&s, "%d", 1);
    assert_true(s.failed);
    assert_string_equal(strbuf_str(&s), "kept");
    assert_null(strbuf_take(&s));
    assert_true(s.failed);
    strbuf_clear(&s);
    assert_false(s.failed);
    strbuf_fini(&s);
}

static void take_moves_the_content_to_the_caller(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    strbuf_add_str(&s, "mine");
    char *taken = strbuf_take(&s);
    assert_string_equal(taken, "mine");
    assert_null(s.data);
    assert_int_equal(s.size, 0);
    free(taken);
}

static void take_of_an_unused_buffer_gives_an_empty_string(void **state)
{
    struct strbuf s = STRBUF_EMPTY;

    (void)state;
    char *taken = strbuf_take(&s);
    assert_non_null(taken);
    assert_string_equal(taken, "");
    free(taken);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_buffer_reads_as_the_empty_string),
        cmocka_unit_test(adds_are_appended_and_terminated),
        cmocka_unit_test(bytes_may_hold_nul),
        cmocka_unit_test(a_long_format_grows_the_buffer),
        cmocka_unit_test(a_format_fits_at_every_fill_level),
        cmocka_unit_test(clear_forgets_the_content_but_keeps_the_memory),
        cmocka_unit_test(a_failure_is_sticky),
        cmocka_unit_test(take_moves_the_content_to_the_caller),
        cmocka_unit_test(take_of_an_unused_buffer_gives_an_empty_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
