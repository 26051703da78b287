/* The semantics of etcd v3, a test for each sentence. */
#include "tests/unit/registry/state/fixture.h"

#include "base/attr.h"
#include "base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return -1;
    fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

static struct kv get(struct fixture *f, const char *key)
{
    struct kv kv;
    assert_true(state_get(f->state, bytes_of_str(key), &kv));
    return kv;
}

static bool exists(struct fixture *f, const char *key)
{
    struct kv kv;
    return state_get(f->state, bytes_of_str(key), &kv);
}

#define OPS(...)                                                                                   \
    (struct kv_op[])                                                                               \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define COUNT(...)   ARRAY_COUNT(((struct kv_op[]){__VA_ARGS__}))
#define SUCCESS(...) .success = OPS(__VA_ARGS__), .success_count = COUNT(__VA_ARGS__)
#define FAILURE(...) .failure = OPS(__VA_ARGS__), .failure_count = COUNT(__VA_ARGS__)
#define TXN(...)     ((struct kv_txn_request){__VA_ARGS__})

/* --- revisions and headers -------------------------------------------------------------------- */

static void an_empty_store_is_at_revision_1(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(state_revision(f->state), 1);
    assert_int_equal(state_compacted(f->state), 0);
    assert_int_equal(state_key_count(f->state), 0);
}

static void each_transaction_with_a_change_takes_the_next_revision(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    assert_int_equal(f->result.revision, 2);
    txn(f, TXN(SUCCESS(op_put("b", "1"), op_put("c", "1"))));
    assert_int_equal(f->result.revision, 3);
    assert_int_equal(get(f, "b").mod_revision, 3);
    assert_int_equal(get(f, "c").mod_revision, 3);
}

static void changes_inside_it_get_sub_revisions_in_execution_order(void **state)
{
    struct fixture *f = *state;
    txn(f, TXN(SUCCESS(op_put("z", ""), op_put("a", ""))));
    assert_true(bytes_equal(history_row(&f->history, 2, 0)->revision.kv.key, KEY("z")));
    assert_true(bytes_equal(history_row(&f->history, 2, 1)->revision.kv.key, KEY("a")));
}

static void put_of_an_identical_value_still_counts(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "same");
    put(f, "a", "same");
    assert_int_equal(f->result.revision, 3);
    assert_int_equal(get(f, "a").version, 2);
}

static void what_changes_nothing_takes_no_revision(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    del(f, "b", "c");
    assert_int_equal(f->result.del.deleted, 0);
    txn(f, TXN(.success = NULL));
    txn(f, TXN(SUCCESS(op_get("a"))));
    grant(f, 7);
    revoke(f, 7);
    compact(f, 2);
    assert_int_equal(state_revision(f->state), 2);
}

static void create_revision_and_version_are_of_this_incarnation(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a", "2");
    struct kv kv = get(f, "a");
    assert_int_equal(kv.create_revision, 2);
    assert_int_equal(kv.mod_revision, 3);
    assert_int_equal(kv.version, 2);
    del(f, "a", NULL);
    put(f, "a", "3");
    kv = get(f, "a");
    assert_int_equal(kv.create_revision, 5);
    assert_int_equal(kv.version, 1);
}

/* --- range ------------------------------------------------------------------------------------ */

static void fill(struct fixture *f)
{
    put(f, "a", "9");
    put(f, "b", "8");
    put(f, "c", "7");
    put(f, "c", "7");
    put(f, "ab", "8");
}

static void range_end_selects_one_a_half_open_run_or_the_rest(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_string_equal(keys(f, (struct kv_range_request){.key = KEY("a")}), "a");
    assert_string_equal(keys(f, (struct kv_range_request){.key = KEY("a"), .range_end = KEY("b")}),
                        "a,ab");
    assert_string_equal(
        keys(f, (struct kv_range_request){.key = KEY("ab"), .range_end = KEY("\0")}), "ab,b,c");
    assert_string_equal(
        keys(f, (struct kv_range_request){.key = KEY("\0"), .range_end = KEY("\0")}), "a,ab,b,c");
}

static void an_end_before_the_key_gives_nothing(void **state)
{
    struct fixture *f = *state;
    fill(f);
    assert_string_equal(keys(f, (struct kv_range_request){.key = KEY("c"), .range_end = KEY("a")}),
                        "");
    assert_string_equal(keys(f, (struct kv_range_request){.key = KEY("c"), .range_end = KEY("c")}),
                        "");
}

static void an_empty_key_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct kv_range_response out;
    assert_int_equal(range(f, (struct kv_range_request){0}, &out), VERDICT_EMPTY_KEY);
    assert_int_equal(put(f, "", "x"), VERDICT_EMPTY_KEY);
    assert_int_equal(del(f, "", "x"), VERDICT_EMPTY_KEY);
    assert_int_equal(txn(f, TXN(FAILURE(op_get("")))), VERDICT_EMPTY_KEY);
    struct kv_compare c = {.number = 0};
    assert_int_equal(txn(f, TXN(.compares = &c, .compare_count = 1)), VERDICT_EMPTY_KEY);
}

static void count_is_of_all_keys_whatever_limit_and_filters(void **state)
{
    struct fixture *f = *state;
    struct kv_range_response out;
    fill(f);
    struct kv_range_request r = {
        .key = KEY("a"), .range_end = KEY("\0"), .limit = 1, .min_mod_revision = 5};
    assert_int_equal(range(f, r, &out), VERDICT_OK);
    assert_int_equal(out.count, 4);
    assert_int_equal(out.kv_count, 1);
    assert_true(out.more);
    r.count_only = true;
    assert_int_equal(range(f, r, &out), VERDICT_OK);
    assert_int_equal(out.count, 4);
    assert_int_equal(out.kv_count, 0);
    assert_false(out.more);
}

static void filters_are_inclusive_and_come_before_the_limit(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct kv_range_request r = {
        .key = KEY("a"), .range_end = KEY("\0"), .min_mod_revision = 3, .max_mod_revision = 5};
    assert_string_equal(keys(f, r), "b,c");
    r = (struct kv_range_request){.key = KEY("a"),
                                  .range_end = KEY("\0"),
                                  .min_create_revision = 4,
                                  .max_create_revision = 4};
    assert_string_equal(keys(f, r), "c");
}

static void sorts_by_each_target_either_way(void **state)
{
    struct fixture *f = *state;
    fill(f);
    static const char *const expected[][2] = {
        {"a,ab,b,c", "c,b,ab,a"}, {"a,ab,b,c", "c,a,ab,b"}, {"a,b,c,ab", "ab,c,b,a"},
        {"a,b,c,ab", "ab,c,b,a"}, {"c,ab,b,a", "a,ab,b,c"},
    };
    for (unsigned target = 0; target < 5; target++) {
        struct kv_range_request r = {.key = KEY("a"),
                                     .range_end = KEY("\0"),
                                     .sort_target = (enum kv_sort_target)target,
                                     .sort_order = KV_SORT_ASCEND};
        assert_string_equal(keys(f, r), expected[target][0]);
        r.sort_order = KV_SORT_DESCEND;
        assert_string_equal(keys(f, r), expected[target][1]);
        r.sort_order = KV_SORT_NONE; /* with another target than the key: ascending */
        assert_string_equal(keys(f, r), expected[target][0]);
    }
}

static void the_limit_cuts_what_is_sorted(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct kv_range_request r = {.key = KEY("a"),
                                 .range_end = KEY("\0"),
                                 .limit = 2,
                                 .sort_target = KV_SORT_BY_VALUE,
                                 .sort_order = KV_SORT_ASCEND};
    assert_string_equal(keys(f, r), "c,ab");
    r.limit = -3;
    assert_string_equal(keys(f, r), "c,ab,b,a");
    r.limit = 4;
    struct kv_range_response out;
    assert_int_equal(range(f, r, &out), VERDICT_OK);
    assert_false(out.more);
}

static void keys_only_drops_values_but_not_the_order_by_them(void **state)
{
    struct fixture *f = *state;
    struct kv_range_response out;
    fill(f);
    struct kv_range_request r = {.key = KEY("a"),
                                 .range_end = KEY("\0"),
                                 .keys_only = true,
                                 .sort_target = KV_SORT_BY_VALUE,
                                 .sort_order = KV_SORT_ASCEND};
    assert_string_equal(keys(f, r), "c,ab,b,a");
    assert_int_equal(range(f, r, &out), VERDICT_OK);
    for (size_t i = 0; i < out.kv_count; i++)
        assert_int_equal(out.kvs[i].value.size, 0);
}

static void an_unknown_sort_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kv_range_response out;
    struct kv_range_request r = {.key = KEY("a"), .sort_target = (enum kv_sort_target)5};
    assert_int_equal(range(f, r, &out), VERDICT_INVALID_SORT);
    r = (struct kv_range_request){.key = KEY("a"), .sort_order = (enum kv_sort_order)3};
    assert_int_equal(range(f, r, &out), VERDICT_INVALID_SORT);
}

static void a_range_at_an_old_revision_sees_what_was(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a", "2");
    del(f, "a", NULL);
    put(f, "a", "3");
    assert_null(value_at(f, "a", 1));
    assert_string_equal(value_at(f, "a", 2), "1");
    assert_string_equal(value_at(f, "a", 3), "2");
    assert_null(value_at(f, "a", 4));
    assert_string_equal(value_at(f, "a", 5), "3");
    assert_string_equal(value_at(f, "a", -1), "3");
    struct kv_range_response out;
    assert_int_equal(range(f, (struct kv_range_request){.key = KEY("a"), .revision = 6}, &out),
                     VERDICT_FUTURE_REVISION);
}

static void the_newest_values_never_ask_the_source(void **state)
{
    struct fixture *f = *state;
    fill(f);
    del(f, "a", NULL);
    (void)keys(f, (struct kv_range_request){.key = KEY("a"), .range_end = KEY("\0")});
    (void)keys(f, (struct kv_range_request){.key = KEY("b"), .revision = 3});
    (void)keys(f, (struct kv_range_request){
                      .key = KEY("a"), .range_end = KEY("\0"), .revision = 4, .count_only = true});
    assert_int_equal(f->history.reads, 0);
}

static void a_failure_of_the_source_fails_the_range(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct kv_range_request r = {.key = KEY("c"), .revision = 4};
    struct kv_range_response out;
    enum verdict verdict;
    struct state_source source = history_source(&f->history);
    f->history.fail = ERR_MALFORMED;
    assert_int_equal(state_range(f->state, &r, &source, &f->arena, &out, &verdict), ERR_MALFORMED);
    assert_int_equal(state_range(f->state, &r, NULL, &f->arena, &out, &verdict), ERR_NOT_FOUND);
}

/* --- put -------------------------------------------------------------------------------------- */

static void prev_kv_of_a_put_is_absent_if_the_key_was(void **state)
{
    struct fixture *f = *state;
    struct kv_put_request r = {.key = KEY("a"), .value = KEY("1"), .prev_kv = true};
    put_request(f, r);
    assert_false(f->result.put.has_prev_kv);
    r.value = KEY("2");
    put_request(f, r);
    assert_true(f->result.put.has_prev_kv);
    assert_true(bytes_equal(f->result.put.prev_kv.value, KEY("1")));
    assert_int_equal(f->result.put.prev_kv.mod_revision, 2);
}

static void ignore_value_and_ignore_lease_need_an_existing_key(void **state)
{
    struct fixture *f = *state;
    struct kv_put_request r = {.key = KEY("a"), .ignore_value = true};
    assert_int_equal(put_request(f, r), VERDICT_KEY_NOT_FOUND);
    r = (struct kv_put_request){.key = KEY("a"), .ignore_lease = true};
    assert_int_equal(put_request(f, r), VERDICT_KEY_NOT_FOUND);
    assert_int_equal(state_revision(f->state), 1);
}

static void ignore_value_keeps_the_value_and_ignore_lease_the_lease(void **state)
{
    struct fixture *f = *state;
    grant(f, 5);
    put_request(f, (struct kv_put_request){.key = KEY("a"), .value = KEY("1"), .lease = 5});
    put_request(f,
                (struct kv_put_request){.key = KEY("a"), .value = KEY("2"), .ignore_lease = true});
    assert_int_equal(get(f, "a").lease, 5);
    put_request(f, (struct kv_put_request){.key = KEY("a"), .ignore_value = true});
    assert_true(bytes_equal(get(f, "a").value, KEY("2")));
    assert_int_equal(get(f, "a").lease, 0);
}

static void what_is_ignored_must_not_be_given(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    struct kv_put_request r = {.key = KEY("a"), .value = KEY("x"), .ignore_value = true};
    assert_int_equal(put_request(f, r), VERDICT_VALUE_PROVIDED);
    r = (struct kv_put_request){.key = KEY("a"), .lease = 3, .ignore_lease = true};
    assert_int_equal(put_request(f, r), VERDICT_LEASE_PROVIDED);
}

static void a_put_under_a_missing_lease_is_refused_first(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(put_leased(f, "a", 9), VERDICT_LEASE_NOT_FOUND);
    struct kv_put_request r = {.key = KEY("a"), .lease = 9, .ignore_value = true};
    assert_int_equal(put_request(f, r), VERDICT_LEASE_NOT_FOUND);
    struct kv_op op = {.type = KV_OP_PUT, .put = r}; /* a transaction looks at the key first */
    assert_int_equal(txn(f, TXN(.success = &op, .success_count = 1)), VERDICT_KEY_NOT_FOUND);
}

/* --- delete ----------------------------------------------------------------------------------- */

static void deletes_happen_in_key_order(void **state)
{
    struct fixture *f = *state;
    put(f, "c", "");
    put(f, "a", "");
    put(f, "b", "");
    del(f, "a", "\xff");
    assert_int_equal(f->result.del.deleted, 3);
    assert_true(bytes_equal(history_row(&f->history, 5, 0)->revision.kv.key, KEY("a")));
    assert_true(bytes_equal(history_row(&f->history, 5, 1)->revision.kv.key, KEY("b")));
    assert_true(bytes_equal(history_row(&f->history, 5, 2)->revision.kv.key, KEY("c")));
    assert_true(history_row(&f->history, 5, 2)->revision.is_delete);
}

static void a_deletion_returns_what_was_if_asked(void **state)
{
    struct fixture *f = *state;
    fill(f);
    struct state_command c = {.type = STATE_DELETE,
                              .del = {.key = KEY("a"), .range_end = KEY("c"), .prev_kv = true}};
    apply(f, &c);
    assert_int_equal(f->result.del.prev_kv_count, 3);
    assert_true(bytes_equal(f->result.del.prev_kvs[1].key, KEY("ab")));
    assert_true(bytes_equal(f->result.del.prev_kvs[1].value, KEY("8")));
    assert_int_equal(state_key_count(f->state), 1);
}

static void prefix_neighbours_survive_a_prefix_deletion(void **state)
{
    struct fixture *f = *state;
    put(f, "p", "");
    put(f, "p/", "");
    put(f, "p/a", "");
    put(f, "p0", "");
    del(f, "p/", "p0");
    assert_int_equal(f->result.del.deleted, 2);
    assert_string_equal(
        keys(f, (struct kv_range_request){.key = KEY("\0"), .range_end = KEY("\0")}), "p,p0");
}

/* --- compaction ------------------------------------------------------------------------------- */

static void compaction_needs_a_revision_above_the_compacted_and_up_to_the_current(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a", "2");
    assert_int_equal(compact(f, 4), VERDICT_FUTURE_REVISION);
    assert_int_equal(compact(f, -1), VERDICT_COMPACTED);
    assert_int_equal(compact(f, 2), VERDICT_OK);
    assert_int_equal(compact(f, 2), VERDICT_COMPACTED);
    assert_int_equal(compact(f, 1), VERDICT_COMPACTED);
    assert_int_equal(compact(f, 3), VERDICT_OK);
    assert_int_equal(state_compacted(f->state), 3);
}

static void a_first_compaction_at_0_is_accepted(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compact(f, 0), VERDICT_OK);
    assert_int_equal(state_compacted(f->state), 0);
}

static void reads_at_the_compacted_revision_work_and_below_do_not(void **state)
{
    struct fixture *f = *state;
    struct kv_range_response out;
    put(f, "a", "1");
    put(f, "a", "2");
    put(f, "a", "3");
    for (unsigned purged = 0; purged < 2; purged++) {
        if (purged == 0)
            compact(f, 3);
        else
            purge(f);
        assert_string_equal(value_at(f, "a", 3), "2");
        assert_string_equal(value_at(f, "a", 4), "3");
        assert_int_equal(range(f, (struct kv_range_request){.key = KEY("a"), .revision = 2}, &out),
                         VERDICT_COMPACTED);
    }
    assert_int_equal(f->history.count, 2);
}

static void the_latest_version_of_each_live_key_survives(void **state)
{
    struct fixture *f = *state;
    put(f, "old", "1");
    put(f, "gone", "1");
    del(f, "gone", NULL);
    put(f, "new", "1");
    compact(f, 5);
    purge(f);
    assert_string_equal(keys(f, (struct kv_range_request){.key = KEY("a"), .range_end = KEY("\0")}),
                        "new,old");
    assert_int_equal(f->history.count, 2);
    assert_int_equal(get(f, "old").mod_revision, 2);
}

static void a_deletion_at_the_compacted_revision_is_kept_until_the_next(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    del(f, "a", NULL);
    compact(f, 3);
    purge(f);
    assert_int_equal(f->history.count, 1);
    assert_true(f->history.rows[0].revision.is_delete);
    put(f, "b", "1");
    compact(f, 4);
    purge(f);
    assert_int_equal(f->history.count, 1);
    assert_int_equal(f->history.rows[0].revision.main, 4);
}

static void a_purge_looks_at_so_many_keys_and_goes_on(void **state)
{
    struct fixture *f = *state;
    struct state_sink sink = history_sink(&f->history);
    char key[8];
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "k%02u", i % 50);
        put(f, key, "");
    }
    assert_false(state_purge(f->state, 10, &sink));
    compact(f, 101);
    assert_true(state_purge(f->state, 10, &sink));
    assert_int_equal(f->history.count, 90);
    size_t steps = 1;
    while (state_purge(f->state, 10, &sink))
        steps++;
    assert_int_equal(steps, 4);
    assert_int_equal(f->history.count, 50);
    assert_false(state_purge(f->state, 10, &sink));
}

/* --- transactions ----------------------------------------------------------------------------- */

/* What a member proposes: the flag's default. The state machine itself takes more. */
static enum verdict checked(struct kv_txn_request request)
{
    struct state_command command = {.type = STATE_TXN, .txn = request};
    return state_check_command(&command, KV_MAX_TXN_OPS);
}

static void each_list_has_at_most_128_operations(void **state)
{
    struct fixture *f = *state;
    struct kv_op ops[129];
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++)
        ops[i] = op_get("a");
    assert_int_equal(checked(TXN(.success = ops, .success_count = 128)), VERDICT_OK);
    assert_int_equal(checked(TXN(.success = ops, .success_count = 129)), VERDICT_TOO_MANY_OPS);
    assert_int_equal(txn(f, TXN(.success = ops, .success_count = 129)), VERDICT_OK);
    assert_int_equal(checked(TXN(.failure = ops, .failure_count = 129)), VERDICT_TOO_MANY_OPS);
    struct kv_compare compares[129];
    for (size_t i = 0; i < ARRAY_COUNT(compares); i++)
        compares[i] = (struct kv_compare){.key = KEY("a")};
    assert_int_equal(checked(TXN(.compares = compares, .compare_count = 129)),
                     VERDICT_TOO_MANY_OPS);
}

static void nested_transactions_get_128_minus_their_parents_largest_list(void **state)
{
    (void)state;
    struct kv_op inner[128], outer[28];
    for (size_t i = 0; i < ARRAY_COUNT(inner); i++)
        inner[i] = op_get("a");
    for (size_t i = 0; i < ARRAY_COUNT(outer); i++)
        outer[i] = op_get("a");
    outer[27] = op_txn(TXN(.success = inner, .success_count = 100));
    assert_int_equal(checked(TXN(.success = outer, .success_count = 28)), VERDICT_OK);
    outer[27] = op_txn(TXN(.failure = inner, .failure_count = 101));
    assert_int_equal(checked(TXN(.success = outer, .success_count = 28)), VERDICT_TOO_MANY_OPS);
}

static void an_empty_operation_is_key_not_found_taken_or_not(void **state)
{
    struct fixture *f = *state;
    struct kv_op none = {.type = KV_OP_NONE};
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("a", "")), .failure = &none, .failure_count = 1)),
                     VERDICT_KEY_NOT_FOUND);
    assert_false(exists(f, "a"));
}

static void two_puts_of_one_key_are_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("a", "1"), op_put("a", "2")))),
                     VERDICT_DUPLICATE_KEY);
    assert_int_equal(txn(f, TXN(FAILURE(op_put("a", "1"), op_put("b", ""), op_put("a", "1")))),
                     VERDICT_DUPLICATE_KEY);
}

static void a_put_covered_by_a_deletion_is_refused(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("b", "1"), op_del("a", "c")))),
                     VERDICT_DUPLICATE_KEY);
    assert_int_equal(txn(f, TXN(SUCCESS(op_del("a", NULL), op_put("a", "1")))),
                     VERDICT_DUPLICATE_KEY);
    assert_int_equal(txn(f, TXN(SUCCESS(op_del("a", "b"), op_put("b", "1")))), VERDICT_OK);
}

static void duplicates_are_found_across_nesting(void **state)
{
    struct fixture *f = *state;
    struct kv_op nested = op_txn(TXN(FAILURE(op_put("a", "1"))));
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("a", "2"), nested))), VERDICT_DUPLICATE_KEY);
    assert_int_equal(txn(f, TXN(SUCCESS(nested, op_del("a", NULL)))), VERDICT_DUPLICATE_KEY);
    assert_int_equal(txn(f, TXN(SUCCESS(nested, nested))), VERDICT_DUPLICATE_KEY);
    struct kv_op deletes = op_txn(TXN(SUCCESS(op_del("a", NULL))));
    assert_int_equal(txn(f, TXN(SUCCESS(deletes, nested))), VERDICT_DUPLICATE_KEY);
}

static void then_and_else_of_one_transaction_may_share_a_key(void **state)
{
    struct fixture *f = *state;
    struct kv_op nested = op_txn(TXN(SUCCESS(op_put("a", "1")), FAILURE(op_put("a", "2"))));
    assert_int_equal(txn(f, TXN(SUCCESS(nested))), VERDICT_OK);
    assert_string_equal(value_at(f, "a", 0), "1");
}

static void repeated_deletions_and_a_get_beside_a_put_are_fine(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    assert_int_equal(txn(f, TXN(SUCCESS(op_del("a", NULL), op_del("a", "z"), op_get("b"),
                                        op_put("zz", "1"), op_get("zz")))),
                     VERDICT_OK);
}

/* What etcd 3.4 and 3.5 do, seen on 3.4.23. */
static void etcds_duplicate_check_misses_what_it_misses(void **state)
{
    struct fixture *f = *state;
    put(f, "b", "1");
    struct kv_op from_key = {.type = KV_OP_DELETE,
                             .del = {.key = KEY("a"), .range_end = KEY("\0")}};
    assert_int_equal(txn(f, TXN(SUCCESS(from_key, op_put("b", "2")))), VERDICT_OK);
    assert_int_equal(get(f, "b").version, 1);
    assert_int_equal(get(f, "b").create_revision, 3);
    assert_string_equal(value_at(f, "b", 2), "1");
    struct kv_op puts = op_txn(TXN(SUCCESS(op_put("e", "1"))));
    struct kv_op deletes = op_txn(TXN(SUCCESS(op_del("e", NULL))));
    assert_int_equal(txn(f, TXN(SUCCESS(puts, deletes))), VERDICT_OK);
    assert_false(exists(f, "e"));
    assert_int_equal(f->result.revision, 4);
    /* The put's value may be kept although the deletion took it: nothing is there to keep. */
    struct kv_op keeps = op_put("b", "");
    keeps.put.ignore_value = true;
    assert_int_equal(txn(f, TXN(SUCCESS(from_key, keeps))), VERDICT_OK);
    assert_string_equal(value_at(f, "b", 0), "");
}

static bool compares(struct fixture *f, struct kv_compare c)
{
    assert_int_equal(txn(f, TXN(.compares = &c, .compare_count = 1)), VERDICT_OK);
    return f->result.txn.succeeded;
}

static void compares_each_target_with_each_result(void **state)
{
    struct fixture *f = *state;
    grant(f, 5);
    put(f, "a", "m");
    put_request(f, (struct kv_put_request){.key = KEY("a"), .value = KEY("m"), .lease = 5});
    static const struct {
        enum kv_compare_target target;
        int64_t is;
    } targets[] = {{KV_COMPARE_VERSION, 2},
                   {KV_COMPARE_CREATE, 2},
                   {KV_COMPARE_MOD, 3},
                   {KV_COMPARE_LEASE, 5}};
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        struct kv_compare c = {.key = KEY("a"), .target = targets[i].target};
        for (int64_t other = -1; other <= 1; other++) {
            c.number = targets[i].is + other;
            c.result = KV_EQUAL;
            assert_int_equal(compares(f, c), other == 0);
            c.result = KV_NOT_EQUAL;
            assert_int_equal(compares(f, c), other != 0);
            c.result = KV_GREATER;
            assert_int_equal(compares(f, c), other < 0);
            c.result = KV_LESS;
            assert_int_equal(compares(f, c), other > 0);
            c.result = KV_RESULT_UNKNOWN;
            assert_true(compares(f, c));
        }
    }
    struct kv_compare c = {.key = KEY("a"), .target = KV_COMPARE_VALUE, .value = KEY("m")};
    assert_true(compares(f, c));
    c.value = KEY("ma");
    c.result = KV_LESS;
    assert_true(compares(f, c));
    c = (struct kv_compare){.key = KEY("a"), .target = KV_TARGET_UNKNOWN, .number = 77};
    assert_true(compares(f, c));
}

static void a_missing_key_compares_as_zeros_and_its_value_never(void **state)
{
    struct fixture *f = *state;
    assert_true(compares(f, (struct kv_compare){.key = KEY("x"), .target = KV_COMPARE_MOD}));
    assert_true(compares(
        f, (struct kv_compare){
               .key = KEY("x"), .target = KV_COMPARE_VERSION, .result = KV_LESS, .number = 1}));
    struct kv_compare c = {.key = KEY("x"), .target = KV_COMPARE_VALUE};
    for (unsigned result = 0; result <= KV_RESULT_UNKNOWN; result++) {
        c.result = (enum kv_compare_result)result;
        assert_false(compares(f, c));
    }
    put(f, "x", "");
    del(f, "x", NULL);
    c.result = KV_NOT_EQUAL;
    assert_false(compares(f, c));
}

static void with_a_range_all_keys_must_match(void **state)
{
    struct fixture *f = *state;
    struct kv_compare c = {
        .key = KEY("a"), .range_end = KEY("c"), .target = KV_COMPARE_VERSION, .number = 1};
    assert_false(compares(f, c)); /* empty: a missing key */
    put(f, "a", "");
    put(f, "b", "");
    assert_true(compares(f, c));
    put(f, "b", "");
    assert_false(compares(f, c));
}

static void all_compares_nested_ones_too_precede_any_write(void **state)
{
    struct fixture *f = *state;
    struct kv_compare absent = {.key = KEY("a"), .target = KV_COMPARE_VERSION};
    struct kv_op nested =
        op_txn(TXN(.compares = &absent, .compare_count = 1, SUCCESS(op_put("saw", "absent")),
                   FAILURE(op_put("saw", "present"))));
    txn(f, TXN(SUCCESS(op_put("a", "1"), nested)));
    assert_string_equal(value_at(f, "saw", 0), "absent");
}

static void the_taken_path_is_checked_before_it_runs(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    struct kv_op future = op_get("a"), leased = op_put("b", ""), ignoring = op_put("c", "");
    future.range.revision = 9;
    leased.put.lease = 4;
    ignoring.put.ignore_value = true;
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("x", ""), future))), VERDICT_FUTURE_REVISION);
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("x", ""), leased))), VERDICT_LEASE_NOT_FOUND);
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("x", ""), op_txn(TXN(SUCCESS(ignoring)))))),
                     VERDICT_KEY_NOT_FOUND);
    /* Puts are looked at before ranges, wherever they stand. */
    assert_int_equal(txn(f, TXN(SUCCESS(future, leased))), VERDICT_LEASE_NOT_FOUND);
    assert_false(exists(f, "x"));
    assert_int_equal(state_revision(f->state), 2);
    /* The other branch is not. */
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("x", "")), FAILURE(future, leased))), VERDICT_OK);
}

static void a_compacted_revision_inside_a_transaction_is_refused(void **state)
{
    struct fixture *f = *state;
    struct kv_op old = op_get("a");
    put(f, "a", "1");
    put(f, "a", "2");
    put(f, "a", "3");
    old.range.revision = -1;
    assert_int_equal(txn(f, TXN(SUCCESS(old))), VERDICT_OK);
    compact(f, 3);
    old.range.revision = 2;
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("x", ""), old))), VERDICT_COMPACTED);
    old.range.revision = -1; /* seen on etcd 3.4.23 */
    assert_int_equal(txn(f, TXN(SUCCESS(old))), VERDICT_COMPACTED);
    old.range.revision = 3;
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("a", "4"), old))), VERDICT_OK);
    assert_true(bytes_equal(f->result.txn.responses[1].range.kvs[0].value, KEY("2")));
}

static void operations_see_earlier_ones_and_tell_their_revision(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "old");
    txn(f, TXN(SUCCESS(op_get("a"), op_del("q", NULL), op_put("a", "new"), op_get("a"),
                       op_del("q", NULL), op_txn(TXN(SUCCESS(op_get("a")))))));
    const struct kv_op_response *r = f->result.txn.responses;
    assert_int_equal(f->result.txn.response_count, 6);
    assert_int_equal(r[0].revision, 2);
    assert_true(bytes_equal(r[0].range.kvs[0].value, KEY("old")));
    assert_int_equal(r[1].revision, 2);
    assert_int_equal(r[2].revision, 3);
    assert_int_equal(r[3].revision, 3);
    assert_true(bytes_equal(r[3].range.kvs[0].value, KEY("new")));
    assert_int_equal(r[4].revision, 3);
    assert_int_equal(r[5].revision, 0); /* a nested response's header is empty */
    assert_int_equal(r[5].txn.responses[0].revision, 3);
    assert_int_equal(f->result.revision, 3);
}

static void a_failed_source_fails_the_answer_and_not_the_change(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a", "2");
    struct kv_op old = op_get("a");
    old.range.revision = 2;
    f->history.fail = ERR_IO;
    txn(f, TXN(SUCCESS(op_put("b", "1"), old, op_put("c", "1"))));
    assert_int_equal(f->source_error, ERR_IO);
    assert_int_equal(f->result.revision, 4);
    assert_true(exists(f, "b") && exists(f, "c"));
    f->history.fail = OK;
}

static void an_answer_without_room_fails_and_the_change_does_not(void **state)
{
    struct fixture *f = *state;
    struct arena small;
    struct state_sink sink = history_sink(&f->history);
    struct state_result result;
    enum err source_error;
    char key[8];
    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof(key), "k%03u", i);
        put(f, key, "v");
    }
    arena_init(&small, 9000);
    struct state_command c = {.type = STATE_DELETE,
                              .del = {.key = KEY("k"), .range_end = KEY("l"), .prev_kv = true}};
    assert_int_equal(state_apply_command(f->state, &c, NULL, &small, &sink, &result, &source_error),
                     OK);
    assert_int_equal(source_error, ERR_NO_MEMORY);
    assert_int_equal(state_key_count(f->state), 0);
    arena_fini(&small);
}

/* --- how much a transaction may do ------------------------------------------------------------ */

static void put_thousands(struct fixture *f, size_t count)
{
    static const char value[] = "v";
    char key[16];
    for (size_t i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "k%06zu", i);
        assert_int_equal(put(f, key, value), VERDICT_OK);
    }
}

static struct kv_op op_range(struct kv_range_request request)
{
    request.key = KEY("k");
    request.range_end = KEY("l");
    return (struct kv_op){.type = KV_OP_RANGE, .range = request};
}

#define WHOLE(...) op_range((struct kv_range_request){__VA_ARGS__})

static void a_transaction_that_looks_at_too_many_keys_does_nothing(void **state)
{
    struct fixture *f = *state;
    put_thousands(f, 60000);
    assert_true(2 * 60000 > KV_TXN_MAX_KEYS && 60000 < KV_TXN_MAX_KEYS);
    const struct kv_compare all = {
        .key = KEY("k"), .range_end = KEY("l"), .target = KV_COMPARE_VERSION, .number = 1};
    const struct kv_compare twice[] = {all, all};
    struct kv_txn_request q = TXN(SUCCESS(op_put("w", "1")));
    q.compares = twice;
    q.compare_count = 2;
    assert_int_equal(txn(f, q), VERDICT_TXN_TOO_LARGE);
    assert_null(value_at(f, "w", 0));
    q.compare_count = 1;
    assert_int_equal(txn(f, q), VERDICT_OK);
    assert_true(f->result.txn.succeeded);
    assert_string_equal(value_at(f, "w", 0), "1");

    assert_int_equal(txn(f, TXN(SUCCESS(op_put("x", "1"), WHOLE(.keys_only = true),
                                        op_txn(TXN(SUCCESS(WHOLE(.keys_only = true))))))),
                     VERDICT_TXN_TOO_LARGE);
    assert_null(value_at(f, "x", 0));
    assert_int_equal(
        txn(f, TXN(SUCCESS(op_put("x", "1"), WHOLE(.keys_only = true), WHOLE(.count_only = true),
                           WHOLE(.count_only = true), WHOLE(.limit = 100)))),
        VERDICT_OK);
    assert_int_equal(f->result.txn.responses[1].range.kv_count, 60000);
    assert_int_equal(f->result.txn.responses[3].range.count, 60000);
    /* The branch that is not taken costs nothing. */
    q = TXN(FAILURE(WHOLE(), WHOLE(), WHOLE()));
    assert_int_equal(txn(f, q), VERDICT_OK);
    /* Deleted keys that are still history are not looked at. */
    del(f, "k", "k059");
    assert_int_equal(txn(f, TXN(SUCCESS(WHOLE(), WHOLE(), WHOLE()))), VERDICT_OK);
    assert_int_equal(f->result.txn.responses[2].range.kv_count, 1000);
}

static void a_transaction_that_would_answer_too_much_does_nothing(void **state)
{
    struct fixture *f = *state;
    enum {
        VALUE_SIZE = 1 << 20
    };
    char *value = malloc(VALUE_SIZE + 1), key[8];
    memset(value, 'v', VALUE_SIZE);
    value[VALUE_SIZE] = 0;
    for (unsigned i = 0; i < KV_TXN_MAX_ANSWER_SIZE / VALUE_SIZE; i++) {
        snprintf(key, sizeof(key), "k%02u", i);
        put(f, key, value);
    }
    struct kv_op gone = op_del("k", "l");
    gone.del.prev_kv = true;
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("w", "1"), WHOLE()))), VERDICT_TXN_TOO_LARGE);
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("w", "1"), gone))), VERDICT_TXN_TOO_LARGE);
    assert_null(value_at(f, "w", 0));
    assert_non_null(value_at(f, "k00", 0));
    assert_int_equal(
        txn(f, TXN(SUCCESS(op_put("w", "1"), WHOLE(.keys_only = true), WHOLE(.limit = 8)))),
        VERDICT_OK);
    gone.del.prev_kv = false;
    assert_int_equal(txn(f, TXN(SUCCESS(gone))), VERDICT_OK);
    free(value);
}

static void old_values_that_are_too_many_fail_the_answer(void **state)
{
    struct fixture *f = *state;
    enum {
        COUNT = KV_TXN_MAX_KEYS / STATE_COST_OF_OLD
    };
    put_thousands(f, COUNT);
    int64_t old = state_revision(f->state);
    put_thousands(f, COUNT);
    assert_int_equal(txn(f, TXN(SUCCESS(WHOLE(.revision = old)))), VERDICT_TXN_TOO_LARGE);
    assert_int_equal(f->source_error, OK);
    assert_int_equal(txn(f, TXN(SUCCESS(WHOLE(.revision = old, .limit = 100)))), VERDICT_OK);
    assert_int_equal(f->result.txn.responses[0].range.kv_count, 100);
    assert_int_equal(txn(f, TXN(SUCCESS(op_put("w", "1"), WHOLE(.revision = old)))), VERDICT_OK);
    assert_int_equal(f->source_error, ERR_LIMIT);
    assert_string_equal(value_at(f, "w", 0), "1");
}

/* --- leases ----------------------------------------------------------------------------------- */

static void a_lease_id_is_used_once(void **state)
{
    struct fixture *f = *state;
    int64_t ttl_s;
    assert_int_equal(grant(f, 5), VERDICT_OK);
    assert_int_equal(f->result.lease.id, 5);
    assert_int_equal(f->result.lease.ttl_s, 60);
    assert_int_equal(grant(f, 5), VERDICT_LEASE_EXISTS);
    assert_true(state_lease(f->state, 5, &ttl_s));
    assert_int_equal(ttl_s, 60);
    assert_int_equal(revoke(f, 6), VERDICT_LEASE_NOT_FOUND);
    assert_int_equal(revoke(f, 5), VERDICT_OK);
    assert_int_equal(grant(f, 5), VERDICT_OK);
}

static void a_ttl_above_nine_billion_is_refused(void **state)
{
    struct fixture *f = *state;
    struct state_command c = {.type = STATE_LEASE_GRANT,
                              .lease = {.id = 1, .ttl_s = LEASE_MAX_TTL_S + 1}};
    assert_int_equal(apply(f, &c), VERDICT_LEASE_TTL_TOO_LARGE);
    c.lease.ttl_s = LEASE_MAX_TTL_S;
    assert_int_equal(apply(f, &c), VERDICT_OK);
}

static void note_lease(void *context, int64_t id, int64_t ttl_s)
{
    char *text = context;
    (void)ttl_s;
    (void)snprintf(text + strlen(text), 100 - strlen(text), "%lld ", (long long)id);
}

static void note_key(void *context, struct bytes key)
{
    char *text = context;
    (void)snprintf(text + strlen(text), 100 - strlen(text), "%.*s ", (int)key.size, key.data);
}

static const char *attached(struct fixture *f, int64_t id)
{
    static char text[100];
    text[0] = 0;
    state_each_lease_key(f->state, id, note_key, text);
    return text;
}

static void leases_are_listed_by_rising_id(void **state)
{
    struct fixture *f = *state;
    char text[100] = "";
    grant(f, 5);
    grant(f, -5);
    grant(f, 1);
    state_each_lease(f->state, note_lease, text);
    assert_string_equal(text, "-5 1 5 ");
}

static void a_put_moves_or_detaches_and_a_deletion_detaches(void **state)
{
    struct fixture *f = *state;
    grant(f, 1);
    grant(f, 2);
    put_leased(f, "b", 1);
    put_leased(f, "a", 1);
    put_leased(f, "c", 1);
    assert_string_equal(attached(f, 1), "a b c ");
    put_leased(f, "a", 2);
    assert_string_equal(attached(f, 1), "b c ");
    assert_string_equal(attached(f, 2), "a ");
    put(f, "b", "");
    del(f, "c", NULL);
    assert_string_equal(attached(f, 1), "");
    assert_string_equal(attached(f, 2), "a ");
}

static void a_revoke_deletes_its_keys_sorted_in_one_revision(void **state)
{
    struct fixture *f = *state;
    grant(f, 1);
    put_leased(f, "c", 1);
    put_leased(f, "a", 1);
    put(f, "b", "");
    revoke(f, 1);
    assert_int_equal(f->result.revision, 5);
    assert_true(bytes_equal(history_row(&f->history, 5, 0)->revision.kv.key, KEY("a")));
    assert_true(bytes_equal(history_row(&f->history, 5, 1)->revision.kv.key, KEY("c")));
    assert_string_equal(keys(f, (struct kv_range_request){.key = KEY("a"), .range_end = KEY("z")}),
                        "b");
    assert_int_equal(state_lease_count(f->state), 0);
}

/* --- alarms ----------------------------------------------------------------------------------- */

static void nospace_refuses_what_takes_space_until_disarmed(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "");
    alarm_change(f, ALARM_ACTIVATE, ALARM_NOSPACE);
    assert_int_equal(f->result.alarm.count, 1);
    assert_int_equal(put(f, "a", ""), VERDICT_NO_SPACE);
    assert_int_equal(grant(f, 1), VERDICT_NO_SPACE);
    assert_int_equal(txn(f, TXN(FAILURE(op_txn(TXN(SUCCESS(op_put("a", ""))))))), VERDICT_NO_SPACE);
    assert_int_equal(txn(f, TXN(SUCCESS(op_get("a")), FAILURE(op_del("a", NULL)))), VERDICT_OK);
    assert_int_equal(del(f, "a", NULL), VERDICT_OK);
    assert_int_equal(compact(f, 2), VERDICT_OK);
    alarm_change(f, ALARM_GET, ALARM_NONE);
    assert_int_equal(f->result.alarm.count, 1);
    alarm_change(f, ALARM_DEACTIVATE, ALARM_NOSPACE);
    assert_int_equal(f->result.alarm.count, 1);
    alarm_change(f, ALARM_DEACTIVATE, ALARM_NOSPACE);
    assert_int_equal(f->result.alarm.count, 0);
    assert_int_equal(put(f, "a", ""), VERDICT_OK);
}

static void corrupt_refuses_every_write(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "");
    alarm_change(f, ALARM_ACTIVATE, ALARM_CORRUPT);
    assert_int_equal(put(f, "a", ""), VERDICT_CORRUPT);
    assert_int_equal(del(f, "a", NULL), VERDICT_CORRUPT);
    assert_int_equal(compact(f, 2), VERDICT_CORRUPT);
    assert_int_equal(revoke(f, 2), VERDICT_CORRUPT);
    assert_int_equal(txn(f, TXN(SUCCESS(op_get("a")))), VERDICT_OK);
}

/* --- hash, restore, codec --------------------------------------------------------------------- */

static uint32_t hash_at(struct fixture *f, int64_t revision)
{
    uint32_t hash = 0;
    enum verdict verdict;
    struct state_source source = history_source(&f->history);
    assert_int_equal(state_hash(f->state, revision, &source, &hash, &verdict), OK);
    assert_int_equal(verdict, VERDICT_OK);
    return hash;
}

static void the_hash_tells_contents_and_not_purges_apart(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    uint32_t at_2 = hash_at(f, 0);
    put(f, "a", "2");
    assert_int_not_equal(hash_at(f, 0), at_2);
    assert_int_equal(hash_at(f, 2), at_2);
    compact(f, 3);
    uint32_t compacted = hash_at(f, 0);
    purge(f);
    assert_int_equal(hash_at(f, 0), compacted);
    enum verdict verdict;
    uint32_t hash;
    assert_int_equal(state_hash(f->state, 2, NULL, &hash, &verdict), OK);
    assert_int_equal(verdict, VERDICT_COMPACTED);
    assert_int_equal(state_hash(f->state, 9, NULL, &hash, &verdict), OK);
    assert_int_equal(verdict, VERDICT_FUTURE_REVISION);
}

static void the_hash_of_nothing_is_not_zero(void **state)
{
    assert_int_not_equal(hash_at(*state, 0), 0); /* which JSON leaves out */
}

static void the_hash_at_the_compacted_revision(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a", "2");
    compact(f, 2);
    enum verdict verdict;
    uint32_t hash;
    assert_int_equal(state_hash(f->state, 2, NULL, &hash, &verdict), OK);
    assert_int_equal(verdict, VERDICT_COMPACTED);
    compact(f, 3);
    (void)hash_at(f, 0); /* the newest always has one */
}

static struct state_record revision_record(int64_t main, int64_t sub, const char *key,
                                           int64_t create, int64_t version)
{
    return (struct state_record){
        .type = STATE_REVISION,
        .revision = {
            .main = main,
            .sub = sub,
            .is_delete = version == 0,
            .kv = {.key = bytes_of_str(key), .create_revision = create, .version = version}}};
}

static void a_restore_refuses_records_that_contradict(void **state)
{
    (void)state;
    const struct state_record meta = {.type = STATE_META, .meta = {.revision = 5}};
    const struct {
        struct state_record records[3];
        size_t good; /* how many are accepted; 3: the finish is refused */
    } cases[] = {
        {{meta, revision_record(3, 0, "a", 3, 1), revision_record(3, 0, "b", 3, 1)}, 2},
        {{meta, revision_record(3, 1, "a", 3, 1), revision_record(3, 0, "b", 3, 1)}, 2},
        {{meta, revision_record(4, 0, "a", 4, 1), revision_record(3, 0, "b", 3, 1)}, 2},
        {{meta, revision_record(4, 0, "a", 4, 1), revision_record(5, 0, "a", 4, 3)}, 2},
        {{meta, revision_record(4, 0, "a", 4, 1), revision_record(5, 0, "a", 5, 2)}, 2},
        {{meta, revision_record(4, 0, "a", 0, 0), revision_record(5, 0, "a", 0, 0)}, 2},
        {{meta, revision_record(4, 0, "a", 0, 0), revision_record(5, 0, "a", 4, 2)}, 2},
        {{meta, revision_record(4, 0, "", 4, 1)}, 1},
        {{meta, revision_record(4, -1, "a", 4, 1)}, 1},
        {{meta, revision_record(4, INT64_C(1) << 31, "a", 4, 1)}, 1},
        {{meta, revision_record(1, 0, "a", 1, 1)}, 1},
        {{meta, revision_record(4, 0, "a", 5, 1)}, 1},
        {{meta, revision_record(4, 0, "a", 4, -1)}, 1},
        {{meta, revision_record(4, 0, "a", 4, 1), revision_record(6, 0, "a", 4, 2)}, 3},
        {{meta, revision_record(3, 0, "a", 3, 1), revision_record(4, 0, "a", 3, 2)}, 3},
        {{meta, {.type = STATE_META, .meta = {.revision = 4}}}, 1},
        {{{.type = STATE_META, .meta = {.revision = 4, .compacted = 5}}}, 0},
        {{{.type = STATE_META, .meta = {.revision = 4, .compacted = -1}}}, 0},
        {{{.type = STATE_LEASE, .lease = {.id = 0, .ttl_s = 5}}}, 0},
        {{{.type = STATE_LEASE, .lease = {.id = 3, .ttl_s = 0}}}, 0},
        {{{.type = STATE_LEASE, .lease = {.id = 3, .ttl_s = 5}},
          {.type = STATE_LEASE, .lease = {.id = 3, .ttl_s = 5}}},
         1},
        {{{.type = STATE_LEASE_GONE, .lease = {.id = 3}}}, 0},
        {{{.type = STATE_ALARM, .alarm = {.type = ALARM_NONE}}}, 0},
        {{{.type = STATE_ALARM_GONE, .alarm = {.type = ALARM_CORRUPT}}}, 0},
        {{{.type = (enum state_record_type)99}}, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct state *s;
        assert_int_equal(state_create(&s), OK);
        for (size_t k = 0; k < 3; k++) {
            enum err error = state_restore_record(s, &cases[i].records[k]);
            assert_int_equal(error, k < cases[i].good ? OK : ERR_MALFORMED);
            if (k >= cases[i].good)
                break;
        }
        if (cases[i].good == 3)
            assert_int_equal(state_restore_finish(s), ERR_MALFORMED);
        state_destroy(s);
    }
}

static void a_restore_refuses_a_key_under_a_lease_that_is_not_there(void **state)
{
    (void)state;
    struct state *s;
    assert_int_equal(state_create(&s), OK);
    struct state_record record = {.type = STATE_META, .meta = {.revision = 3}};
    assert_int_equal(state_restore_record(s, &record), OK);
    record = revision_record(3, 0, "a", 3, 1);
    record.revision.kv.lease = 8;
    assert_int_equal(state_restore_record(s, &record), OK);
    assert_int_equal(state_restore_finish(s), ERR_MALFORMED);
    state_destroy(s);
}

static void bytes_that_are_no_command_change_nothing(void **state)
{
    struct fixture *f = *state;
    struct strbuf encoded = STRBUF_EMPTY;
    struct kv_compare c = {.key = KEY("a"), .target = KV_COMPARE_VALUE, .value = KEY("x")};
    struct state_command command = {
        .type = STATE_TXN,
        .txn = TXN(.compares = &c, .compare_count = 1, SUCCESS(op_put("a", "1"), op_get("b")),
                   FAILURE(op_del("a", "b"), op_txn(TXN(SUCCESS(op_put("c", "")))))),
    };
    state_command_encode(&encoded, &command);
    struct state_sink sink = history_sink(&f->history);
    for (size_t size = 0; size < encoded.size; size++) {
        void *exact = malloc(size > 0 ? size : 1);
        assert_non_null(exact);
        memcpy(exact, encoded.data, size);
        arena_reset(&f->arena);
        assert_int_equal(
            state_apply(f->state, bytes_of(exact, size), NULL, &f->arena, &sink, NULL, NULL),
            ERR_MALFORMED);
        free(exact);
    }
    strbuf_add(&encoded, "", 1); /* one octet too many */
    assert_int_equal(state_apply(f->state, bytes_of(encoded.data, encoded.size), NULL, &f->arena,
                                 &sink, NULL, NULL),
                     ERR_MALFORMED);
    assert_int_equal(state_revision(f->state), 1);
    assert_int_equal(f->history.count, 0);
    strbuf_fini(&encoded);
}

static void nesting_deeper_than_the_limit_is_malformed(void **state)
{
    struct fixture *f = *state;
    enum {
        DEEP = 200
    };
    struct kv_op ops[DEEP];
    ops[0] = op_get("a");
    for (size_t i = 1; i < DEEP; i++)
        ops[i] = op_txn((struct kv_txn_request){.success = &ops[i - 1], .success_count = 1});
    struct strbuf encoded = STRBUF_EMPTY;
    struct state_command out, command = {.type = STATE_TXN};
    command.txn = (struct kv_txn_request){.success = &ops[DEEP - 1], .success_count = 1};
    assert_int_equal(state_check_command(&command, KV_MAX_TXN_OPS), VERDICT_TOO_MANY_OPS);
    state_command_encode(&encoded, &command);
    assert_int_equal(state_command_decode(&out, bytes_of(encoded.data, encoded.size), &f->arena),
                     ERR_MALFORMED);
    strbuf_clear(&encoded);
    command.txn.success = &ops[126]; /* as deep as the checks allow */
    assert_int_equal(state_check_command(&command, KV_MAX_TXN_OPS), VERDICT_OK);
    state_command_encode(&encoded, &command);
    assert_int_equal(state_command_decode(&out, bytes_of(encoded.data, encoded.size), &f->arena),
                     OK);
    strbuf_fini(&encoded);
}

static void a_hundred_thousand_keys_stay_in_order(void **state)
{
    struct fixture *f = *state;
    enum {
        KEYS = 100000
    };
    struct state *s = f->state;
    struct state_record record = {.type = STATE_META, .meta = {.revision = KEYS + 1}};
    assert_int_equal(state_restore_record(s, &record), OK);
    char key[32];
    for (uint32_t i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "/k/%08x", i * 2654435761u);
        record = revision_record(i + 2, 0, key, i + 2, 1);
        assert_int_equal(state_restore_record(s, &record), OK);
    }
    assert_int_equal(state_restore_finish(s), OK);
    struct kv_range_response out;
    assert_int_equal(
        range(f, (struct kv_range_request){.key = KEY("/k/"), .range_end = KEY("/k0")}, &out),
        VERDICT_OK);
    assert_int_equal(out.kv_count, KEYS);
    for (size_t i = 1; i < out.kv_count; i++)
        assert_true(bytes_compare(out.kvs[i - 1].key, out.kvs[i].key) < 0);
    /* Counts of parts add up to the whole. */
    int64_t sum = 0;
    for (unsigned i = 0; i < 16; i++) {
        char from[8], end[8];
        (void)snprintf(from, sizeof(from), "/k/%x", i);
        (void)snprintf(end, sizeof(end), i < 15 ? "/k/%x" : "/k/g", i + 1);
        struct kv_range_request r = {
            .key = bytes_of_str(from), .range_end = bytes_of_str(end), .count_only = true};
        assert_int_equal(range(f, r, &out), VERDICT_OK);
        sum += out.count;
    }
    assert_int_equal(sum, KEYS);
}

static void verdicts_have_etcds_codes_and_texts(void **state)
{
    (void)state;
    assert_int_equal(verdict_code(VERDICT_COMPACTED), GRPC_OUT_OF_RANGE);
    assert_string_equal(verdict_text(VERDICT_LEASE_EXISTS), "lease already exists");
    assert_int_equal(verdict_code((enum verdict)12345), GRPC_UNKNOWN);
    assert_non_null(verdict_text((enum verdict)12345));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_store_is_at_revision_1),
        TEST(each_transaction_with_a_change_takes_the_next_revision),
        TEST(changes_inside_it_get_sub_revisions_in_execution_order),
        TEST(put_of_an_identical_value_still_counts),
        TEST(what_changes_nothing_takes_no_revision),
        TEST(create_revision_and_version_are_of_this_incarnation),
        TEST(range_end_selects_one_a_half_open_run_or_the_rest),
        TEST(an_end_before_the_key_gives_nothing),
        TEST(an_empty_key_is_an_error),
        TEST(count_is_of_all_keys_whatever_limit_and_filters),
        TEST(filters_are_inclusive_and_come_before_the_limit),
        TEST(sorts_by_each_target_either_way),
        TEST(the_limit_cuts_what_is_sorted),
        TEST(keys_only_drops_values_but_not_the_order_by_them),
        TEST(an_unknown_sort_is_refused),
        TEST(a_range_at_an_old_revision_sees_what_was),
        TEST(the_newest_values_never_ask_the_source),
        TEST(a_failure_of_the_source_fails_the_range),
        TEST(prev_kv_of_a_put_is_absent_if_the_key_was),
        TEST(ignore_value_and_ignore_lease_need_an_existing_key),
        TEST(ignore_value_keeps_the_value_and_ignore_lease_the_lease),
        TEST(what_is_ignored_must_not_be_given),
        TEST(a_put_under_a_missing_lease_is_refused_first),
        TEST(deletes_happen_in_key_order),
        TEST(a_deletion_returns_what_was_if_asked),
        TEST(prefix_neighbours_survive_a_prefix_deletion),
        TEST(compaction_needs_a_revision_above_the_compacted_and_up_to_the_current),
        TEST(a_first_compaction_at_0_is_accepted),
        TEST(reads_at_the_compacted_revision_work_and_below_do_not),
        TEST(the_latest_version_of_each_live_key_survives),
        TEST(a_deletion_at_the_compacted_revision_is_kept_until_the_next),
        TEST(a_purge_looks_at_so_many_keys_and_goes_on),
        TEST(each_list_has_at_most_128_operations),
        TEST(nested_transactions_get_128_minus_their_parents_largest_list),
        TEST(an_empty_operation_is_key_not_found_taken_or_not),
        TEST(two_puts_of_one_key_are_refused),
        TEST(a_put_covered_by_a_deletion_is_refused),
        TEST(duplicates_are_found_across_nesting),
        TEST(then_and_else_of_one_transaction_may_share_a_key),
        TEST(repeated_deletions_and_a_get_beside_a_put_are_fine),
        TEST(etcds_duplicate_check_misses_what_it_misses),
        TEST(compares_each_target_with_each_result),
        TEST(a_missing_key_compares_as_zeros_and_its_value_never),
        TEST(with_a_range_all_keys_must_match),
        TEST(all_compares_nested_ones_too_precede_any_write),
        TEST(the_taken_path_is_checked_before_it_runs),
        TEST(a_compacted_revision_inside_a_transaction_is_refused),
        TEST(operations_see_earlier_ones_and_tell_their_revision),
        TEST(a_failed_source_fails_the_answer_and_not_the_change),
        TEST(an_answer_without_room_fails_and_the_change_does_not),
        TEST(a_transaction_that_looks_at_too_many_keys_does_nothing),
        TEST(a_transaction_that_would_answer_too_much_does_nothing),
        TEST(old_values_that_are_too_many_fail_the_answer),
        TEST(a_lease_id_is_used_once),
        TEST(a_ttl_above_nine_billion_is_refused),
        TEST(leases_are_listed_by_rising_id),
        TEST(a_put_moves_or_detaches_and_a_deletion_detaches),
        TEST(a_revoke_deletes_its_keys_sorted_in_one_revision),
        TEST(nospace_refuses_what_takes_space_until_disarmed),
        TEST(corrupt_refuses_every_write),
        TEST(the_hash_tells_contents_and_not_purges_apart),
        TEST(the_hash_of_nothing_is_not_zero),
        TEST(the_hash_at_the_compacted_revision),
        TEST(a_restore_refuses_records_that_contradict),
        TEST(a_restore_refuses_a_key_under_a_lease_that_is_not_there),
        TEST(bytes_that_are_no_command_change_nothing),
        TEST(nesting_deeper_than_the_limit_is_malformed),
        TEST(a_hundred_thousand_keys_stay_in_order),
        TEST(verdicts_have_etcds_codes_and_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
