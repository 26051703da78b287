#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"

#include <stdalign.h>
#include <string.h>

static void init_takes_no_memory(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1000);
    assert_null(a.blocks);
    assert_int_equal(a.total, 0);
    arena_fini(&a);
}

static void memory_is_aligned_for_any_type(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    for (size_t size = 0; size < 100; size++) {
        void *memory = arena_alloc(&a, size);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % alignof(max_align_t), 0);
    }
    arena_fini(&a);
}

static void size_zero_gives_a_unique_pointer(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 16);
    void *first = arena_alloc(&a, 0), *second = arena_alloc(&a, 0);
    assert_non_null(first);
    assert_non_null(second);
    assert_ptr_not_equal(first, second);
    arena_fini(&a);
}

static void allocations_do_not_overlap_across_blocks(void **state)
{
    enum {
        COUNT = 2000
    };
    static uint8_t *items[COUNT];
    struct arena a;

    (void)state;
    arena_init(&a, 4 << 20);
    for (size_t i = 0; i < COUNT; i++) {
        items[i] = arena_alloc(&a, 1 + i % 700);
        assert_non_null(items[i]);
        memset(items[i], (int)(i % 251), 1 + i % 700);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t at = 0; at < 1 + i % 700; at++)
            assert_int_equal(items[i][at], i % 251);
    }
    arena_fini(&a);
}

static void never_holds_more_than_the_limit(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 100000);
    while (arena_alloc(&a, 1000))
        assert_true(a.total <= 100000);
    assert_true(a.total <= 100000);
    assert_true(a.total > 90000); /* and the limit can be used up */
    arena_fini(&a);
}

static void fails_beyond_the_limit_and_stays_usable(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1000);
    assert_null(arena_alloc(&a, 1001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_non_null(arena_alloc(&a, 10));
    arena_fini(&a);
}

static void a_product_that_overflows_gives_null(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, SIZE_MAX);
    assert_null(arena_array(&a, SIZE_MAX / 2, 3));
    uint32_t *items = arena_array(&a, 10, sizeof *items);
    assert_non_null(items);
    memset(items, 1, 10 * sizeof *items);
    arena_fini(&a);
}

static void a_copy_has_the_same_bytes(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 16);
    char *copy = arena_copy(&a, "warren", 7);
    assert_string_equal(copy, "warren");
    assert_non_null(arena_copy(&a, NULL, 0));
    arena_fini(&a);
}

static void reset_keeps_only_the_first_block(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    void *first = arena_alloc(&a, 16);
    size_t total = a.total;
    struct arena_block *block = a.blocks;
    for (int i = 0; i < 1000; i++)
        assert_non_null(arena_alloc(&a, 500));
    assert_ptr_not_equal(a.blocks, block);
    arena_reset(&a);
    assert_ptr_equal(a.blocks, block);
    assert_int_equal(a.total, total);
    assert_ptr_equal(arena_alloc(&a, 16), first); /* its memory is used again */
    arena_fini(&a);
    assert_null(a.blocks);
}

static void reset_of_an_unused_arena_is_harmless(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1 << 20);
    arena_reset(&a);
    assert_null(a.blocks);
    arena_fini(&a);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(init_takes_no_memory),
        cmocka_unit_test(memory_is_aligned_for_any_type),
        cmocka_unit_test(size_zero_gives_a_unique_pointer),
        cmocka_unit_test(allocations_do_not_overlap_across_blocks),
        cmocka_unit_test(never_holds_more_than_the_limit),
        cmocka_unit_test(fails_beyond_the_limit_and_stays_usable),
        cmocka_unit_test(a_product_that_overflows_gives_null),
        cmocka_unit_test(a_copy_has_the_same_bytes),
        cmocka_unit_test(reset_keeps_only_the_first_block),
        cmocka_unit_test(reset_of_an_unused_arena_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
