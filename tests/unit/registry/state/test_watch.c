/* The watch hub, a test for each clause of etcd's watches. */
#include "base/attr.h"
#include "tests/unit/registry/state/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A consumer that writes down what it gets: "[revision: +key@mod -key@mod(prev) ]". */
struct consumer {
    char text[4096];
    size_t size;
    size_t batches;
    size_t events;
    int64_t last; /* revision seen */
    bool full;
    struct watcher *watcher;
    struct watcher *cancels; /* when it is told */
    struct fixture *creates; /* a watcher of the same key when it is told */
    struct consumer *created;
};

static void note(struct consumer *c, const char *format, ...) PRINTF_LIKE(2, 3);
static void note(struct consumer *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int size = vsnprintf(c->text + c->size, sizeof(c->text) - c->size, format, args);
    va_end(args);
    c->size += (size_t)size;
    if (c->size >= sizeof(c->text)) /* long histories are counted, not written down */
        c->size = 0;
}

static bool deliver(void *context, const struct watch_batch *batch)
{
    struct consumer *c = context;
    if (batch->compact_revision != 0) {
        note(c, "[compacted %lld]", (long long)batch->compact_revision);
        return true;
    }
    if (c->cancels != NULL) {
        watcher_cancel(c->cancels);
        c->cancels = NULL;
    }
    if (c->creates != NULL) {
        struct watch_request r = {.key = KEY("a")};
        assert_int_equal(
            watcher_create(&c->created->watcher, c->creates->hub, &r, deliver, c->created), OK);
        c->creates = NULL;
    }
    if (c->full)
        return false;
    c->batches++;
    note(c, "[%lld:", (long long)batch->revision);
    for (size_t i = 0; i < batch->event_count; i++) {
        const struct kv_event *e = &batch->events[i];
        c->events++;
        assert_true(e->kv.mod_revision >= c->last);
        c->last = e->kv.mod_revision;
        note(c, " %c%.*s@%lld", e->type == KV_EVENT_PUT ? '+' : '-', (int)e->kv.key.size,
             e->kv.key.data, (long long)e->kv.mod_revision);
        if (e->has_prev)
            note(c, "(%.*s)", (int)e->prev.value.size, e->prev.value.data);
    }
    note(c, "]");
    return true;
}

static const char *told(struct consumer *c)
{
    static char text[sizeof(c->text)];
    memcpy(text, c->text, sizeof(text));
    c->size = 0;
    c->text[0] = 0;
    return text;
}

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

static void watch(struct fixture *f, struct consumer *c, struct watch_request request)
{
    assert_int_equal(watcher_create(&c->watcher, f->hub, &request, deliver, c), OK);
}

static bool step(struct fixture *f)
{
    struct state_source source = history_source(&f->history);
    enum err error;
    arena_reset(&f->arena);
    bool more = watch_hub_catch_up(f->hub, &source, &f->arena, &error);
    assert_int_equal(error, OK);
    return more;
}

static void catch_up(struct fixture *f)
{
    while (step(f))
        ;
}

#define ALL .key = KEY("\0"), .range_end = KEY("\0")

static void a_start_of_0_is_after_now(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    put(f, "a", "1");
    watch(f, &c, (struct watch_request){.key = KEY("a")});
    assert_true(watcher_is_synced(c.watcher));
    catch_up(f);
    put(f, "a", "2");
    put(f, "b", "2");
    assert_string_equal(told(&c), "[3: +a@3]");
}

static void a_past_start_is_replayed_with_the_stores_revision(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    put(f, "a", "1");
    put(f, "b", "1");
    put(f, "a", "2");
    del(f, "a", NULL);
    watch(f, &c, (struct watch_request){.key = KEY("a"), .start_revision = 3});
    assert_false(watcher_is_synced(c.watcher));
    assert_int_equal(watch_hub_behind_count(f->hub), 1);
    catch_up(f);
    assert_true(watcher_is_synced(c.watcher));
    assert_string_equal(told(&c), "[5: +a@4 -a@5]");
    put(f, "a", "3");
    assert_string_equal(told(&c), "[6: +a@6]");
}

static void a_future_start_gets_nothing_below_it_ever(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    watch(f, &c, (struct watch_request){ALL, .start_revision = 4});
    assert_true(watcher_is_synced(c.watcher));
    put(f, "a", "");
    put(f, "a", "");
    catch_up(f);
    assert_string_equal(told(&c), "");
    put(f, "a", "");
    assert_string_equal(told(&c), "[4: +a@4]");
}

static void a_future_start_that_refuses_is_not_given_older_events(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {.full = true};
    watch(f, &c, (struct watch_request){ALL, .start_revision = 3});
    put(f, "a", "");
    put(f, "b", "");
    put(f, "c", "");
    c.full = false;
    watcher_resume(c.watcher);
    catch_up(f);
    assert_string_equal(told(&c), "[4: +b@3 +c@4]");
}

static void events_of_one_revision_come_in_one_batch_in_order(void **state)
{
    struct fixture *f = *state;
    struct consumer live = {0}, late = {0};
    watch(f, &live, (struct watch_request){ALL});
    struct kv_op ops[] = {op_put("z", ""), op_put("a", ""), op_del("m", NULL)};
    put(f, "m", "");
    txn(f, (struct kv_txn_request){.success = ops, .success_count = 3});
    assert_string_equal(told(&live), "[2: +m@2][3: +z@3 +a@3 -m@3]");
    watch(f, &late, (struct watch_request){ALL, .start_revision = 3});
    catch_up(f);
    assert_string_equal(told(&late), "[3: +z@3 +a@3 -m@3]");
}

static void prev_kv_is_the_value_just_before(void **state)
{
    struct fixture *f = *state;
    struct consumer live = {0}, late = {0}, without = {0};
    watch(f, &live, (struct watch_request){ALL, .prev_kv = true});
    watch(f, &without, (struct watch_request){ALL});
    put(f, "a", "1");
    put(f, "a", "2");
    del(f, "a", NULL);
    put(f, "a", "3");
    assert_string_equal(told(&live), "[2: +a@2][3: +a@3(1)][4: -a@4(2)][5: +a@5]");
    assert_string_equal(told(&without), "[2: +a@2][3: +a@3][4: -a@4][5: +a@5]");
    watch(f, &late, (struct watch_request){ALL, .prev_kv = true, .start_revision = 1});
    catch_up(f);
    assert_string_equal(told(&late), "[5: +a@2 +a@3(1) -a@4(2) +a@5]");
}

static void prev_kv_is_the_value_before_the_transaction(void **state)
{
    struct fixture *f = *state;
    struct consumer live = {0}, late = {0};
    put(f, "a", "1");
    watch(f, &live, (struct watch_request){ALL, .prev_kv = true});
    struct kv_op puts[] = {op_put("a", "2"), op_put("b", "2")}, del = op_del("a", "c");
    /* Two lists side by side: one alone must not put and delete a key. */
    struct kv_op ops[] = {op_txn((struct kv_txn_request){.success = puts, .success_count = 2}),
                          op_txn((struct kv_txn_request){.success = &del, .success_count = 1})};
    struct kv_txn_request both = {.success = ops, .success_count = 2};
    assert_int_equal(txn(f, both), VERDICT_OK);
    static const char expected[] = "[3: +a@3(1) +b@3 -a@3(1) -b@3]";
    assert_string_equal(told(&live), expected);
    watch(f, &late, (struct watch_request){ALL, .prev_kv = true, .start_revision = 3});
    catch_up(f);
    assert_string_equal(told(&late), expected);
}

static void prev_kv_is_absent_when_compacted(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    put(f, "a", "1");
    put(f, "a", "2");
    put(f, "a", "3");
    compact(f, 3);
    watch(f, &c, (struct watch_request){ALL, .prev_kv = true, .start_revision = 3});
    catch_up(f); /* not purged yet, and not to be seen either */
    assert_string_equal(told(&c), "[4: +a@3 +a@4(2)]");
}

static void filters_leave_events_out_and_empty_batches_unsent(void **state)
{
    struct fixture *f = *state;
    struct consumer no_put = {0}, no_delete = {0}, neither = {0}, late = {0};
    watch(f, &no_put, (struct watch_request){ALL, .no_put = true});
    watch(f, &no_delete, (struct watch_request){ALL, .no_delete = true});
    watch(f, &neither, (struct watch_request){ALL, .no_put = true, .no_delete = true});
    put(f, "a", "");
    del(f, "a", NULL);
    assert_string_equal(told(&no_put), "[3: -a@3]");
    assert_string_equal(told(&no_delete), "[2: +a@2]");
    assert_int_equal(neither.batches, 0);
    watch(f, &late, (struct watch_request){ALL, .no_put = true, .start_revision = 1});
    catch_up(f);
    assert_string_equal(told(&late), "[3: -a@3]");
}

static void a_start_below_the_compacted_revision_is_cancelled_and_others_live_on(void **state)
{
    struct fixture *f = *state;
    struct consumer gone = {0}, at = {0};
    put(f, "a", "1");
    put(f, "a", "2");
    put(f, "a", "3");
    compact(f, 3);
    watch(f, &gone, (struct watch_request){ALL, .start_revision = 2});
    watch(f, &at, (struct watch_request){ALL, .start_revision = 3});
    assert_string_equal(told(&gone), "");
    catch_up(f);
    assert_string_equal(told(&gone), "[compacted 3]");
    assert_string_equal(told(&at), "[4: +a@3 +a@4]");
    assert_int_equal(watch_hub_count(f->hub), 1);
    put(f, "b", "");
    assert_string_equal(told(&at), "[5: +b@5]");
}

static void compaction_overtakes_who_is_behind(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {.full = true};
    watch(f, &c, (struct watch_request){ALL});
    put(f, "a", "1");
    put(f, "a", "2");
    compact(f, 3);
    purge(f);
    c.full = false;
    watcher_resume(c.watcher);
    catch_up(f);
    assert_string_equal(told(&c), "[compacted 3]");
    assert_int_equal(watch_hub_count(f->hub), 0);
}

static void who_is_synced_survives_a_compaction(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    put(f, "a", "1");
    watch(f, &c, (struct watch_request){ALL});
    put(f, "a", "2");
    compact(f, 3);
    catch_up(f);
    put(f, "a", "3");
    assert_string_equal(told(&c), "[3: +a@3][4: +a@4]");
}

/* A past catch of etcd's robustness tests. */
static void a_deletion_at_the_compacted_revision_is_seen(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    put(f, "a", "1");
    del(f, "a", NULL);
    compact(f, 3);
    purge(f);
    watch(f, &c, (struct watch_request){ALL, .start_revision = 3});
    catch_up(f);
    assert_string_equal(told(&c), "[3: -a@3]");
}

static void who_refuses_a_batch_is_offered_it_again(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {.full = true};
    watch(f, &c, (struct watch_request){.key = KEY("a")});
    put(f, "a", "1");
    put(f, "a", "2");
    assert_false(watcher_is_synced(c.watcher));
    assert_false(step(f)); /* it waits for its consumer: nothing to do */
    c.full = false;
    watcher_resume(c.watcher);
    catch_up(f);
    assert_string_equal(told(&c), "[3: +a@2 +a@3]");
    c.full = true;
    watch(f, &(struct consumer){0}, (struct watch_request){.key = KEY("b")});
    put(f, "a", "3");
    watcher_resume(c.watcher);
    assert_false(step(f)); /* refuses from history, too */
    c.full = false;
    watcher_resume(c.watcher);
    catch_up(f);
    assert_string_equal(told(&c), "[4: +a@4]");
}

static void a_catch_up_step_is_bounded_and_nobody_starves(void **state)
{
    struct fixture *f = *state;
    struct consumer slow = {0}, quick = {0};
    enum {
        REVISIONS = 5500
    };
    for (int64_t i = 0; i < REVISIONS; i++)
        put(f, i % 2 == 0 ? "a" : "b", "");
    watch(f, &slow, (struct watch_request){ALL, .start_revision = 1});
    watch(f, &quick, (struct watch_request){ALL, .start_revision = REVISIONS - 10});
    assert_true(step(f));
    assert_int_equal(slow.last, WATCH_CATCH_UP_REVISIONS);
    assert_int_equal(slow.batches, 1);
    (void)step(f);
    assert_true(watcher_is_synced(quick.watcher));
    assert_false(watcher_is_synced(slow.watcher));
    put(f, "a", "");
    assert_int_equal(quick.last, REVISIONS + 2);
    catch_up(f);
    assert_int_equal(slow.events, REVISIONS + 1);
}

static void many_who_are_behind_share_one_pass(void **state)
{
    struct fixture *f = *state;
    enum {
        WATCHERS = 200
    };
    static struct consumer consumers[WATCHERS];
    for (unsigned i = 0; i < 500; i++)
        put(f, "a", "");
    for (size_t i = 0; i < WATCHERS; i++) {
        consumers[i] = (struct consumer){0};
        watch(f, &consumers[i],
              (struct watch_request){.key = KEY("a"), .start_revision = 2 + (int64_t)i});
    }
    size_t scans = f->history.scans;
    /* The first to come is at the head: its run takes all behind it along. */
    catch_up(f);
    assert_int_equal(f->history.scans, scans + 1);
    for (size_t i = 0; i < WATCHERS; i++)
        assert_int_equal(consumers[i].events, 500 - i);
}

static void a_step_of_large_values_takes_fewer_revisions(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    enum {
        SIZE = WATCH_CATCH_UP_SIZE / 4
    };
    char *value = malloc(SIZE);
    assert_non_null(value);
    memset(value, 'v', SIZE);
    for (unsigned i = 0; i < 12; i++)
        put_request(f, (struct kv_put_request){.key = KEY("a"), .value = bytes_of(value, SIZE)});
    free(value);
    watch(f, &c, (struct watch_request){.key = KEY("a"), .start_revision = 1});
    assert_true(step(f));
    assert_in_range(c.events, 4, 6);
    catch_up(f);
    assert_int_equal(c.events, 12);
    assert_true(c.batches >= 3);
}

static void a_failing_source_leaves_watchers_behind(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    struct state_source source = history_source(&f->history);
    enum err error;
    put(f, "a", "1");
    watch(f, &c, (struct watch_request){ALL, .start_revision = 1});
    f->history.fail = ERR_IO;
    assert_true(watch_hub_catch_up(f->hub, &source, &f->arena, &error));
    assert_int_equal(error, ERR_IO);
    f->history.fail = OK;
    catch_up(f);
    assert_string_equal(told(&c), "[2: +a@2]");
}

static void callbacks_may_cancel_watchers(void **state)
{
    struct fixture *f = *state;
    struct consumer a = {0}, b = {0};
    watch(f, &b, (struct watch_request){.key = KEY("a")});
    watch(f, &a, (struct watch_request){.key = KEY("a")});
    a.cancels = b.watcher; /* told before B, which was made before it */
    b.cancels = a.watcher;
    put(f, "a", "");
    assert_int_equal(a.batches + b.batches, 1);
    assert_int_equal(watch_hub_count(f->hub), 1);
    struct consumer *left = a.batches > 0 ? &a : &b;
    left->cancels = left->watcher; /* itself */
    put(f, "a", "");
    assert_int_equal(watch_hub_count(f->hub), 0);
    put(f, "a", "");
    assert_int_equal(left->batches, 2);
}

static void callbacks_may_create_watchers(void **state)
{
    struct fixture *f = *state;
    struct consumer a = {0}, b = {0};
    watch(f, &a, (struct watch_request){.key = KEY("a")});
    a.creates = f;
    a.created = &b;
    put(f, "a", "");
    assert_string_equal(told(&b), "");
    put(f, "a", "");
    assert_string_equal(told(&b), "[3: +a@3]");
}

static void ranges_of_every_kind_find_their_events(void **state)
{
    struct fixture *f = *state;
    struct consumer prefix = {0}, rest = {0}, one = {0}, none = {0}, any = {0};
    watch(f, &prefix, (struct watch_request){.key = KEY("p/"), .range_end = KEY("p0")});
    watch(f, &rest, (struct watch_request){.key = KEY("p/5"), .range_end = KEY("\0")});
    watch(f, &one, (struct watch_request){.key = KEY("p/5")});
    watch(f, &none, (struct watch_request){.key = KEY("z"), .range_end = KEY("a")});
    watch(f, &any, (struct watch_request){.range_end = KEY("\0")}); /* no key: from the first */
    put(f, "p/4", "");
    put(f, "p/5", "");
    put(f, "p0", "");
    put(f, "q", "");
    assert_string_equal(told(&prefix), "[2: +p/4@2][3: +p/5@3]");
    assert_string_equal(told(&rest), "[3: +p/5@3][4: +p0@4][5: +q@5]");
    assert_string_equal(told(&one), "[3: +p/5@3]");
    assert_string_equal(told(&none), "");
    assert_int_equal(any.batches, 4);
}

static void a_thousand_ranges_find_what_a_scan_finds(void **state)
{
    struct fixture *f = *state;
    enum {
        RANGES = 1000
    };
    static struct consumer consumers[RANGES];
    static char from[RANGES][8], end[RANGES][8];
    uint32_t random = 1;
    for (size_t i = 0; i < RANGES; i++) {
        random = random * 1664525 + 1013904223;
        (void)snprintf(from[i], 8, "%03u", (random >> 16) % 900);
        (void)snprintf(end[i], 8, "%03u", (random >> 16) % 900 + 1 + (random >> 8) % 90);
        consumers[i] = (struct consumer){0};
        watch(f, &consumers[i],
              (struct watch_request){.key = bytes_of_str(from[i]),
                                     .range_end = bytes_of_str(end[i])});
    }
    for (size_t i = 0; i < RANGES; i += 3)
        watcher_cancel(consumers[i].watcher);
    for (unsigned k = 0; k < 1000; k += 7) {
        char key[8];
        (void)snprintf(key, sizeof(key), "%03u", k);
        put(f, key, "");
        for (size_t i = 0; i < RANGES; i++) {
            bool hit = i % 3 != 0 && strcmp(from[i], key) <= 0 && strcmp(key, end[i]) < 0;
            assert_int_equal(consumers[i].batches, hit);
            consumers[i].batches = 0;
        }
    }
}

static void a_revoked_lease_is_one_batch(void **state)
{
    struct fixture *f = *state;
    struct consumer c = {0};
    grant(f, 1);
    put_leased(f, "b", 1);
    put_leased(f, "a", 1);
    watch(f, &c, (struct watch_request){ALL});
    revoke(f, 1);
    assert_string_equal(told(&c), "[4: -a@4 -b@4]");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_start_of_0_is_after_now),
        TEST(a_past_start_is_replayed_with_the_stores_revision),
        TEST(a_future_start_gets_nothing_below_it_ever),
        TEST(a_future_start_that_refuses_is_not_given_older_events),
        TEST(events_of_one_revision_come_in_one_batch_in_order),
        TEST(prev_kv_is_the_value_just_before),
        TEST(prev_kv_is_the_value_before_the_transaction),
        TEST(prev_kv_is_absent_when_compacted),
        TEST(filters_leave_events_out_and_empty_batches_unsent),
        TEST(a_start_below_the_compacted_revision_is_cancelled_and_others_live_on),
        TEST(compaction_overtakes_who_is_behind),
        TEST(who_is_synced_survives_a_compaction),
        TEST(a_deletion_at_the_compacted_revision_is_seen),
        TEST(who_refuses_a_batch_is_offered_it_again),
        TEST(a_catch_up_step_is_bounded_and_nobody_starves),
        TEST(many_who_are_behind_share_one_pass),
        TEST(a_step_of_large_values_takes_fewer_revisions),
        TEST(a_failing_source_leaves_watchers_behind),
        TEST(callbacks_may_cancel_watchers),
        TEST(callbacks_may_create_watchers),
        TEST(ranges_of_every_kind_find_their_events),
        TEST(a_thousand_ranges_find_what_a_scan_finds),
        TEST(a_revoked_lease_is_one_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
