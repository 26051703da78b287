/* The log and its unstable tail. Entries are written as terms: {1, 1, 2} is an entry of term 1 at
 * index 1, one of term 1 at 2, one of term 2 at 3. */
#include "consensus/core/log.h"
#include "tests/support/raft_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    MAX_TERMS = 16
};

struct terms {
    uint64_t first; /* index of the first */
    size_t count;
    uint64_t of[MAX_TERMS];
};

static struct entries entries_of(struct entry *out, const struct terms *t)
{
    for (size_t i = 0; i < t->count; i++)
        out[i] = (struct entry){.term = t->of[i], .index = t->first + i};
    return (struct entries){.items = out, .count = t->count};
}

#define TERMS(from, ...)                                                                           \
    (&(struct terms){.first = (from),                                                              \
                     .count = sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),                \
                     .of = {__VA_ARGS__}})

struct fixture {
    struct raft_memory storage;
    struct raft_log log;
};

/* STORED is durable, MORE (NULL: nothing) is not. */
static void init(struct fixture *f, const struct terms *stored, const struct terms *more)
{
    struct entry entries[MAX_TERMS];
    raft_memory_init(&f->storage);
    f->storage.before = stored->first - 1;
    f->storage.before_term = stored->first > 1 ? stored->of[0] : 0;
    assert_true(raft_memory_append(&f->storage, entries_of(entries, stored)));
    struct raft_storage storage = raft_memory_storage(&f->storage);
    raft_log_init(&f->log, &storage, UINT64_MAX);
    if (more != NULL)
        raft_log_append(&f->log, entries_of(entries, more));
    assert_int_equal(f->log.error, OK);
}

static void fini(struct fixture *f)
{
    raft_log_fini(&f->log);
    raft_memory_fini(&f->storage);
}

static bool try_append(struct fixture *f, uint64_t term, uint64_t index, const struct terms *more,
                       uint64_t commit)
{
    struct entry entries[MAX_TERMS];
    return raft_log_try_append(&f->log, (struct entry_id){.term = term, .index = index},
                               entries_of(entries, more), commit);
}

static void assert_terms(struct fixture *f, const struct terms *expected)
{
    assert_int_equal(raft_log_last(&f->log), expected->first + expected->count - 1);
    for (size_t i = 0; i < expected->count; i++)
        assert_int_equal(raft_log_term_or_zero(&f->log, expected->first + i), expected->of[i]);
}

/* --- appending -------------------------------------------------------------------------------- */

static void test_an_append_that_does_not_match_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(1, 1, 2, 3), NULL);
    assert_false(try_append(&f, 2, 3, TERMS(4, 4), 3));
    assert_false(try_append(&f, 3, 4, TERMS(5, 4), 3));
    assert_terms(&f, TERMS(1, 1, 2, 3));
    assert_int_equal(f.log.committed, 0);
    fini(&f);
}

/* Checklist B.4. */
static void test_only_a_real_conflict_truncates(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(1, 1, 2, 3), TERMS(4, 3, 3));
    assert_true(try_append(&f, 1, 1, TERMS(2, 2), 0)); /* old and short */
    assert_terms(&f, TERMS(1, 1, 2, 3, 3, 3));
    assert_true(try_append(&f, 2, 2, TERMS(3, 4), 0));
    assert_terms(&f, TERMS(1, 1, 2, 4));
    assert_int_equal(f.log.unstable.offset, 3);
    fini(&f);
}

/* Checklist B.3. */
static void test_commit_goes_as_far_as_the_append_proved(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(1, 1, 1, 1, 1), NULL); /* 3 and 4 may be another leader's */
    assert_true(try_append(&f, 1, 1, TERMS(2, 1), 4));
    assert_int_equal(f.log.committed, 2);
    assert_true(try_append(&f, 1, 4, &(struct terms){.first = 5}, 3));
    assert_int_equal(f.log.committed, 3);
    assert_true(try_append(&f, 1, 3, &(struct terms){.first = 4}, 1)); /* never falls */
    assert_int_equal(f.log.committed, 3);
    fini(&f);
}

/* Checklist B.1: figure 3.7 of the thesis. */
static void test_only_an_entry_of_the_own_term_commits(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(1, 1, 2), TERMS(3, 4));
    assert_false(raft_log_try_commit(&f.log, 4, 2));
    assert_int_equal(f.log.committed, 0);
    assert_true(raft_log_try_commit(&f.log, 4, 3));
    assert_int_equal(f.log.committed, 3);
    assert_false(raft_log_try_commit(&f.log, 4, 3));
    assert_false(raft_log_try_commit(&f.log, 4, 9));
    fini(&f);
}

/* --- looking ---------------------------------------------------------------------------------- */

static void test_terms_from_before_the_first_to_the_last(void **state)
{
    (void)state;
    struct fixture f;
    uint64_t term;
    init(&f, TERMS(5, 3, 3), TERMS(7, 4));
    assert_int_equal(raft_log_term(&f.log, 3, &term), ERR_NOT_FOUND);
    assert_int_equal(raft_log_term(&f.log, 4, &term), OK);
    assert_int_equal(term, 3);
    assert_int_equal(raft_log_term(&f.log, 7, &term), OK);
    assert_int_equal(term, 4);
    assert_int_equal(raft_log_term(&f.log, 8, &term), ERR_INVALID);
    assert_int_equal(raft_log_term(&f.log, UINT64_MAX - 1, &term), ERR_INVALID);
    f.storage.fail = ERR_IO;
    assert_int_equal(raft_log_term(&f.log, 5, &term), ERR_IO);
    assert_int_equal(f.log.error, ERR_IO);
    fini(&f);
}

static void test_a_log_is_up_to_date_by_term_then_by_index(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(1, 1, 2, 3), NULL);
    assert_true(raft_log_is_up_to_date(&f.log, (struct entry_id){.term = 4, .index = 1}));
    assert_false(raft_log_is_up_to_date(&f.log, (struct entry_id){.term = 2, .index = 9}));
    assert_true(raft_log_is_up_to_date(&f.log, (struct entry_id){.term = 3, .index = 3}));
    assert_false(raft_log_is_up_to_date(&f.log, (struct entry_id){.term = 3, .index = 2}));
    fini(&f);
}

static void test_a_conflict_is_looked_for_by_term(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(3, 2, 2, 5, 5), TERMS(7, 5, 5));
    struct entry_id id = raft_log_find_conflict(&f.log, 8, 5);
    assert_int_equal(id.index, 8);
    id = raft_log_find_conflict(&f.log, 8, 4); /* one step over all of term 5 */
    assert_int_equal(id.index, 4);
    assert_int_equal(id.term, 2);
    id = raft_log_find_conflict(&f.log, 8, 1); /* compacted: not known, so it could match */
    assert_int_equal(id.index, 1);
    assert_int_equal(id.term, 0);
    id = raft_log_find_conflict(&f.log, 100, 1); /* behind the end: as well */
    assert_int_equal(id.index, 100);
    assert_int_equal(id.term, 0);
    fini(&f);
}

/* Of every range and limit: what a naive twin takes. */
static void test_slices_over_storage_and_tail(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(4, 1, 1, 1, 1), TERMS(8, 1, 1, 1));
    for (uint64_t lo = 4; lo <= 11; lo++) {
        for (uint64_t hi = lo; hi <= 11; hi++) {
            for (uint64_t max = 0; max < 40; max++) {
                struct entry_list list = ENTRY_LIST_EMPTY;
                uint64_t wanted = hi - lo;
                if (wanted * 4 > max) /* each counts four bytes */
                    wanted = max / 4 > 0 ? max / 4 : 1;
                assert_int_equal(raft_log_slice(&f.log, lo, hi, max, &list), OK);
                assert_int_equal(list.count, wanted);
                for (size_t i = 0; i < list.count; i++)
                    assert_int_equal(list.items[i].index, lo + i);
                entry_list_fini(&list);
            }
        }
    }
    struct entry_list list = ENTRY_LIST_EMPTY;
    assert_int_equal(raft_log_slice(&f.log, 3, 5, 100, &list), ERR_NOT_FOUND);
    fini(&f);
}

/* --- the tail --------------------------------------------------------------------------------- */

static void append(struct unstable *u, const struct terms *more)
{
    struct entry entries[MAX_TERMS];
    assert_int_equal(unstable_append(u, entries_of(entries, more)), OK);
}

static void test_entries_are_handed_out_once(void **state)
{
    (void)state;
    struct unstable u;
    unstable_init(&u, 5);
    append(&u, TERMS(5, 1, 1));
    assert_int_equal(unstable_next_entries(&u).count, 2);
    unstable_accept(&u);
    assert_int_equal(unstable_next_entries(&u).count, 0);
    append(&u, TERMS(7, 1));
    assert_int_equal(unstable_next_entries(&u).count, 1);
    assert_int_equal(unstable_next_entries(&u).items[0].index, 7);
    unstable_fini(&u);
}

static void test_what_replaces_entries_is_handed_out_again(void **state)
{
    (void)state;
    struct unstable u;
    unstable_init(&u, 5);
    append(&u, TERMS(5, 1, 1, 1));
    unstable_accept(&u);
    append(&u, TERMS(6, 2)); /* inside what is being written */
    assert_int_equal(u.offset, 5);
    assert_int_equal(unstable_next_entries(&u).count, 1);
    assert_int_equal(unstable_next_entries(&u).items[0].term, 2);
    append(&u, TERMS(4, 3, 3)); /* before all of it */
    assert_int_equal(u.offset, 4);
    assert_int_equal(unstable_next_entries(&u).count, 2);
    assert_int_equal(u.entries.count, 2);
    unstable_fini(&u);
}

/* Checklist B.24. */
static void test_a_write_does_not_make_stable_what_replaced_it(void **state)
{
    (void)state;
    struct unstable u;
    unstable_init(&u, 5);
    append(&u, TERMS(5, 1, 1));
    unstable_accept(&u);
    append(&u, TERMS(5, 2, 2));
    unstable_stable_to(&u, 1, 6);
    assert_int_equal(u.entries.count, 2);
    unstable_stable_to(&u, 2, 5);
    assert_int_equal(u.entries.count, 1);
    assert_int_equal(u.offset, 6);
    unstable_stable_to(&u, 2, 5); /* once more */
    unstable_stable_to(&u, 2, 9); /* never written */
    assert_int_equal(u.entries.count, 1);
    unstable_fini(&u);
}

static void test_a_snapshot_replaces_the_tail(void **state)
{
    (void)state;
    struct unstable u;
    uint64_t index, term;
    unstable_init(&u, 5);
    append(&u, TERMS(5, 1, 1));
    assert_int_equal(unstable_restore(&u, &(struct snapshot){.index = 9, .term = 3}), OK);
    assert_true(unstable_first(&u, &index));
    assert_int_equal(index, 10);
    assert_true(unstable_last(&u, &index));
    assert_int_equal(index, 9);
    assert_true(unstable_term(&u, 9, &term));
    assert_int_equal(term, 3);
    assert_false(unstable_term(&u, 6, &term));
    assert_non_null(unstable_next_snapshot(&u));
    unstable_accept(&u);
    assert_null(unstable_next_snapshot(&u));
    append(&u, TERMS(10, 4));
    unstable_snapshot_stable_to(&u, 8);
    assert_non_null(u.snapshot);
    unstable_snapshot_stable_to(&u, 9);
    assert_null(u.snapshot);
    assert_int_equal(u.entries.count, 1);
    unstable_fini(&u);
}

/* --- applying --------------------------------------------------------------------------------- */

/* Checklist B.27: pages of committed entries neither skip nor repeat, and a big entry goes, too. */
static void test_pages_of_committed_entries_are_complete(void **state)
{
    (void)state;
    for (uint64_t limit = 1; limit < 30; limit++) {
        struct fixture f;
        uint64_t next = 1;
        init(&f, TERMS(1, 1, 1, 1, 1, 1, 1, 1), TERMS(8, 1, 1, 1));
        f.log.max_applying_size = limit;
        raft_log_commit_to(&f.log, 10);
        for (int turn = 0; f.log.applied < 10; turn++) {
            struct entry_list page = ENTRY_LIST_EMPTY;
            assert_true(turn < 20);
            assert_true(raft_log_has_next_committed(&f.log, true));
            raft_log_next_committed(&f.log, true, &page);
            uint64_t size = entries_size(entry_list_view(&page));
            assert_true(page.count == 1 || size <= limit);
            for (size_t i = 0; i < page.count; i++)
                assert_int_equal(page.items[i].index, next++);
            raft_log_accept_applying(&f.log, next - 1, size, true);
            assert_true(f.log.applying == 10 || !raft_log_has_next_committed(&f.log, true));
            raft_log_applied_to(&f.log, next - 1, size);
            entry_list_fini(&page);
        }
        assert_int_equal(next, 11);
        fini(&f);
    }
}

static void test_entries_that_are_not_durable_are_not_applied(void **state)
{
    (void)state;
    struct fixture f;
    init(&f, TERMS(1, 1, 1), TERMS(3, 1, 1));
    raft_log_commit_to(&f.log, 4);
    struct entry_list page = ENTRY_LIST_EMPTY;
    raft_log_next_committed(&f.log, false, &page);
    assert_int_equal(page.count, 2);
    raft_log_accept_applying(&f.log, 2, 8, false);
    assert_false(raft_log_has_next_committed(&f.log, false));
    assert_true(raft_log_has_next_committed(&f.log, true));
    entry_list_fini(&page);
    fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_append_that_does_not_match_is_refused),
        cmocka_unit_test(test_only_a_real_conflict_truncates),
        cmocka_unit_test(test_commit_goes_as_far_as_the_append_proved),
        cmocka_unit_test(test_only_an_entry_of_the_own_term_commits),
        cmocka_unit_test(test_terms_from_before_the_first_to_the_last),
        cmocka_unit_test(test_a_log_is_up_to_date_by_term_then_by_index),
        cmocka_unit_test(test_a_conflict_is_looked_for_by_term),
        cmocka_unit_test(test_slices_over_storage_and_tail),
        cmocka_unit_test(test_entries_are_handed_out_once),
        cmocka_unit_test(test_what_replaces_entries_is_handed_out_again),
        cmocka_unit_test(test_a_write_does_not_make_stable_what_replaced_it),
        cmocka_unit_test(test_a_snapshot_replaces_the_tail),
        cmocka_unit_test(test_pages_of_committed_entries_are_complete),
        cmocka_unit_test(test_entries_that_are_not_durable_are_not_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
