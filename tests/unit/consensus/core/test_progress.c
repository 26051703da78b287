#include "core/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- the window ------------------------------------------------------------------------------- */

static void test_the_window_against_a_naive_twin(void **state)
{
    (void)state;
    srand(3);
    for (int run = 0; run < 200; run++) {
        struct inflight twin[64];
        size_t count = 0, limit = (size_t)(rand() % 40 + 1);
        uint64_t size_limit = rand() % 2 ? (uint64_t)(rand() % 100 + 1) : 0, size = 0, index = 0;
        struct inflights in;
        inflights_init(&in, limit, size_limit);
        for (int step = 0; step < 300; step++) {
            bool full = count == limit || (size_limit != 0 && size >= size_limit);
            assert_int_equal(inflights_full(&in), full);
            if (!full && rand() % 3 > 0) {
                uint64_t bytes = (uint64_t)(rand() % 20);
                index += (uint64_t)(rand() % 3 + 1);
                twin[count++] = (struct inflight){.index = index, .size = bytes};
                assert_int_equal(inflights_add(&in, index, bytes), OK);
            } else {
                uint64_t to = index > 10 ? index - (uint64_t)(rand() % 10) : index;
                size_t freed = 0;
                while (freed < count && twin[freed].index <= to)
                    freed++;
                memmove(twin, twin + freed, (count - freed) * sizeof(twin[0]));
                count -= freed;
                inflights_free_to(&in, to);
            }
            size = 0;
            for (size_t i = 0; i < count; i++)
                size += twin[i].size;
            assert_int_equal(in.count, count);
            assert_int_equal(in.size, size);
        }
        inflights_fini(&in);
    }
}

static void test_one_message_beyond_the_byte_limit_still_goes(void **state)
{
    (void)state;
    struct inflights in;
    inflights_init(&in, 10, 5);
    assert_int_equal(inflights_add(&in, 1, 4), OK);
    assert_false(inflights_full(&in));
    assert_int_equal(inflights_add(&in, 2, 100), OK);
    assert_true(inflights_full(&in));
    inflights_free_to(&in, 1);
    assert_true(inflights_full(&in));
    inflights_free_to(&in, 2);
    assert_false(inflights_full(&in));
    assert_int_equal(in.size, 0);
    inflights_fini(&in);
}

/* --- states ----------------------------------------------------------------------------------- */

static struct progress progress_at(enum progress_state state, uint64_t match, uint64_t next)
{
    struct progress p = {.id = 2};
    inflights_init(&p.inflights, 3, 0);
    progress_reset(&p, match, next);
    p.state = state;
    return p;
}

static void test_probing_sends_one_append_at_a_time(void **state)
{
    (void)state;
    struct progress p = progress_at(PROGRESS_PROBE, 4, 10);
    assert_false(progress_is_paused(&p));
    assert_int_equal(progress_sent(&p, 0, 0), OK); /* an empty one is no probe that waits */
    assert_false(progress_is_paused(&p));
    assert_int_equal(progress_sent(&p, 2, 10), OK);
    assert_true(progress_is_paused(&p));
    assert_int_equal(p.next, 10);
    assert_true(progress_update(&p, 9));
    assert_false(progress_is_paused(&p));
    progress_become_replicate(&p);
    assert_int_equal(p.next, 10);
}

static void test_replicating_pauses_with_the_window_full(void **state)
{
    (void)state;
    struct progress p = progress_at(PROGRESS_REPLICATE, 4, 5);
    for (int i = 0; i < 3; i++) {
        assert_false(progress_is_paused(&p));
        assert_int_equal(progress_sent(&p, 2, 10), OK);
    }
    assert_true(progress_is_paused(&p));
    assert_int_equal(p.next, 11);
    p.flow_paused = false; /* a heartbeat was answered: one empty append may go */
    assert_int_equal(progress_sent(&p, 0, 0), OK);
    assert_true(progress_is_paused(&p));
    inflights_free_to(&p.inflights, 6);
    assert_int_equal(p.inflights.count, 2);
    inflights_fini(&p.inflights);
}

static void test_a_snapshot_pauses_and_sets_where_to_probe(void **state)
{
    (void)state;
    struct progress p = progress_at(PROGRESS_PROBE, 4, 10);
    progress_become_snapshot(&p, 20);
    assert_true(progress_is_paused(&p));
    assert_int_equal(p.next, 21);
    progress_become_probe(&p);
    assert_int_equal(p.next, 21);
    progress_become_snapshot(&p, 20);
    p.pending_snapshot = 0; /* it failed */
    progress_become_probe(&p);
    assert_int_equal(p.next, 5);
}

/* Checklist B.5: next never drops to match or below, whatever a late or repeated rejection says. */
static void test_next_stays_above_match(void **state)
{
    (void)state;
    struct progress p = progress_at(PROGRESS_REPLICATE, 5, 10);
    assert_false(progress_decrease(&p, 5, 5));
    assert_false(progress_decrease(&p, 4, 4));
    assert_int_equal(p.next, 10);
    assert_true(progress_decrease(&p, 9, 0));
    assert_int_equal(p.next, 6);
    p = progress_at(PROGRESS_PROBE, 5, 10);
    assert_false(progress_decrease(&p, 8, 3)); /* not the one under way */
    assert_true(progress_decrease(&p, 9, 2));
    assert_int_equal(p.next, 6);
    p = progress_at(PROGRESS_PROBE, 0, 10);
    assert_true(progress_decrease(&p, 9, 2));
    assert_int_equal(p.next, 3);
    p = progress_at(PROGRESS_PROBE, 0, 1);
    assert_true(progress_decrease(&p, 0, 0));
    assert_int_equal(p.next, 1);
}

static void test_late_acknowledgements_change_nothing(void **state)
{
    (void)state;
    struct progress p = progress_at(PROGRESS_REPLICATE, 5, 10);
    assert_false(progress_update(&p, 4));
    assert_false(progress_update(&p, 5));
    assert_true(progress_update(&p, 7));
    assert_int_equal(p.match, 7);
    assert_int_equal(p.next, 10);
    assert_true(progress_update(&p, 12));
    assert_int_equal(p.next, 13);
}

static void test_the_commit_index_is_sent_while_it_can_help(void **state)
{
    (void)state;
    struct progress p = progress_at(PROGRESS_REPLICATE, 5, 10);
    p.sent_commit = 4;
    assert_true(progress_can_bump_commit(&p, 5));
    assert_false(progress_can_bump_commit(&p, 4));
    p.sent_commit = 9; /* as far as what was sent reaches */
    assert_false(progress_can_bump_commit(&p, 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_window_against_a_naive_twin),
        cmocka_unit_test(test_one_message_beyond_the_byte_limit_still_goes),
        cmocka_unit_test(test_probing_sends_one_append_at_a_time),
        cmocka_unit_test(test_replicating_pauses_with_the_window_full),
        cmocka_unit_test(test_a_snapshot_pauses_and_sets_where_to_probe),
        cmocka_unit_test(test_next_stays_above_match),
        cmocka_unit_test(test_late_acknowledgements_change_nothing),
        cmocka_unit_test(test_the_commit_index_is_sent_while_it_can_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
