/* consensus/transport/log_limit */
#include "consensus/transport/log_limit.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const uint8_t key[HASH_KEY_SIZE] = {1};
static uint32_t suppressed;

static bool pass(struct log_limit *l, uint64_t now, const char *what)
{
    return log_limit_pass(l, now, what, strlen(what), &suppressed);
}

static void test_once_an_interval(void **state)
{
    (void)state;
    struct log_limit l;
    log_limit_init(&l, key, 4, 100);
    assert_true(pass(&l, 0, "a")); /* also at the very beginning */
    assert_int_equal(suppressed, 0);
    assert_false(pass(&l, 0, "a"));
    assert_false(pass(&l, 99, "a"));
    assert_true(pass(&l, 99, "b"));
    assert_true(pass(&l, 100, "a"));
    assert_int_equal(suppressed, 2);
    assert_false(pass(&l, 199, "a"));
    assert_true(pass(&l, 200, "a"));
    assert_int_equal(suppressed, 1);
}

static void test_so_many_kinds(void **state)
{
    (void)state;
    struct log_limit l;
    log_limit_init(&l, key, 2, 100);
    assert_true(pass(&l, 10, "a"));
    assert_true(pass(&l, 20, "b"));
    assert_false(pass(&l, 30, "c"));
    assert_false(pass(&l, 109, "c"));
    assert_true(pass(&l, 110, "c")); /* a's place */
    assert_false(pass(&l, 115, "a"));
    assert_true(pass(&l, 120, "b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_an_interval),
        cmocka_unit_test(test_so_many_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
