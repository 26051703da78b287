/* Random histories against the naive twin: every answer, every watch, every restored state. The
 * seed is printed; TWIN_SEED and TWIN_ROUNDS choose others. */
#include "base/strbuf.h"
#include "registry/state/watch.h"
#include "tests/unit/registry/state/history.h"
#include "tests/unit/registry/state/twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    DEFAULT_ROUNDS = 60,
    COMMANDS = 500, /* of a round */
    MAX_OPS = 4,
    MAX_DEPTH = 3,
    MAX_WATCHERS = 24,
    KEY_COUNT = 14,
    ARENA_LIMIT = 64 << 20,
};

struct world {
    uint64_t random;
    struct state *state;
    struct state *follower; /* gets the same commands and answers nobody */
    struct state *replayed; /* gets the records that STATE emits */
    struct twin twin;
    struct history history;
    struct history followed;
    struct arena arena;  /* of the answer */
    struct arena making; /* of the command */
    struct strbuf encoded;
    struct watch_hub *hub;
    struct watching *watching[MAX_WATCHERS];
};

static uint64_t next(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random >> 11;
}

static size_t below(struct world *w, size_t bound)
{
    return (size_t)(next(w) % bound);
}

static bool one_in(struct world *w, size_t n)
{
    return below(w, n) == 0;
}

/* --- making commands -------------------------------------------------------------------------- */

static struct bytes any_key(struct world *w)
{
    static const struct {
        const char *data;
        size_t size;
    } keys[KEY_COUNT] = {{"a", 1},      {"aa", 2},     {"ab", 2},       {"abc", 3}, {"abcde", 5},
                         {"abcdef", 6}, {"abcdeg", 6}, {"b", 1},        {"b\0", 2}, {"b\0\0", 3},
                         {"ba", 2},     {"\xff", 1},   {"\xff\xff", 2}, {"c", 1}};
    size_t i = below(w, KEY_COUNT);
    return bytes_of(keys[i].data, keys[i].size);
}

static struct bytes any_end(struct world *w)
{
    size_t kind = below(w, 5);
    if (kind < 2)
        return BYTES_EMPTY;
    return kind == 2 ? bytes_of("", 1) : any_key(w);
}

static struct bytes any_value(struct world *w)
{
    static const char values[] = "zyxwvutsrqponmlkjihgfedcba";
    size_t start = below(w, sizeof(values) - 1);
    return bytes_of(values + start, below(w, sizeof(values) - start));
}

static int64_t any_revision(struct world *w)
{
    int64_t now = w->twin.revision;
    switch (below(w, 8)) {
    case 0:
    case 1:
    case 2:
        return 0;
    case 3:
        return -(int64_t)below(w, 3);
    case 4:
        return now + (int64_t)below(w, 3);
    case 5:
        return w->twin.compacted + (int64_t)below(w, 3) - 1;
    default:
        return (int64_t)below(w, (size_t)now + 1);
    }
}

static int64_t any_lease(struct world *w)
{
    static const int64_t ids[] = {1, 2, 3, 7, -1, INT64_MAX, INT64_MIN, 99};
    return ids[below(w, 8)];
}

static struct kv_range_request any_range(struct world *w)
{
    struct kv_range_request r = {.key = any_key(w), .range_end = any_end(w)};
    r.revision = any_revision(w);
    if (one_in(w, 3))
        r.limit = (int64_t)below(w, 5) - 1;
    if (one_in(w, 3)) {
        r.sort_order = (enum kv_sort_order)below(w, 3);
        r.sort_target = (enum kv_sort_target)below(w, 5);
    }
    r.keys_only = one_in(w, 5);
    r.count_only = one_in(w, 5);
    if (one_in(w, 6))
        r.min_mod_revision = (int64_t)below(w, (size_t)w->twin.revision + 2);
    if (one_in(w, 6))
        r.max_mod_revision = (int64_t)below(w, (size_t)w->twin.revision + 2);
    if (one_in(w, 6))
        r.min_create_revision = (int64_t)below(w, (size_t)w->twin.revision + 2);
    if (one_in(w, 6))
        r.max_create_revision = (int64_t)below(w, (size_t)w->twin.revision + 2);
    return r;
}

static struct kv_put_request any_put(struct world *w)
{
    struct kv_put_request r = {.key = any_key(w), .prev_kv = one_in(w, 2)};
    r.ignore_value = one_in(w, 8);
    r.ignore_lease = one_in(w, 8);
    if (!r.ignore_value || one_in(w, 10))
        r.value = any_value(w);
    if ((!r.ignore_lease && one_in(w, 3)) || one_in(w, 40))
        r.lease = any_lease(w);
    return r;
}

static struct kv_delete_request any_delete(struct world *w)
{
    return (struct kv_delete_request){
        .key = any_key(w), .range_end = any_end(w), .prev_kv = one_in(w, 2)};
}

static struct kv_compare any_compare(struct world *w)
{
    struct kv_compare c = {.result = (enum kv_compare_result)below(w, 5),
                           .target = (enum kv_compare_target)below(w, 6),
                           .key = any_key(w)};
    if (one_in(w, 4))
        c.range_end = any_end(w);
    c.number = c.target == KV_COMPARE_LEASE     ? any_lease(w)
               : c.target == KV_COMPARE_VERSION ? (int64_t)below(w, 4)
                                                : any_revision(w);
    if (c.target == KV_COMPARE_VALUE) {
        c.number = 0;
        c.value = any_value(w);
    }
    return c;
}

static struct kv_txn_request any_txn(struct world *w, size_t depth);

static const struct kv_op *any_ops(struct world *w, size_t depth, size_t *count)
{
    *count = below(w, MAX_OPS + 1);
    struct kv_op *ops = arena_array(&w->making, *count, sizeof(*ops));
    assert_non_null(ops);
    memset(ops, 0, *count * sizeof(*ops));
    for (size_t i = 0; i < *count; i++) {
        size_t kind = below(w, 20);
        if (kind == 0 && one_in(w, 10)) {
            ops[i].type = KV_OP_NONE;
        } else if (kind < 7) {
            ops[i].type = KV_OP_PUT;
            ops[i].put = any_put(w);
        } else if (kind < 10) {
            ops[i].type = KV_OP_DELETE;
            ops[i].del = any_delete(w);
        } else if (kind < 14 && depth < MAX_DEPTH) {
            ops[i].type = KV_OP_TXN;
            ops[i].txn = any_txn(w, depth + 1);
        } else {
            ops[i].type = KV_OP_RANGE;
            ops[i].range = any_range(w);
            if (!one_in(w, 5))
                ops[i].range.revision = 0;
        }
    }
    return ops;
}

static struct kv_txn_request any_txn(struct world *w, size_t depth)
{
    struct kv_txn_request r = {.compare_count = below(w, 3)};
    struct kv_compare *compares = arena_array(&w->making, r.compare_count, sizeof(*compares));
    assert_non_null(compares);
    for (size_t i = 0; i < r.compare_count; i++)
        compares[i] = any_compare(w);
    r.compares = compares;
    r.success = any_ops(w, depth, &r.success_count);
    r.failure = any_ops(w, depth, &r.failure_count);
    return r;
}

static struct state_command any_command(struct world *w)
{
    struct state_command c = {0};
    size_t kind = below(w, 100);
    if (kind < 40) {
        c.type = STATE_PUT;
        c.put = any_put(w);
    } else if (kind < 52) {
        c.type = STATE_DELETE;
        c.del = any_delete(w);
    } else if (kind < 82) {
        c.type = STATE_TXN;
        c.txn = any_txn(w, 0);
    } else if (kind < 85) {
        c.type = STATE_COMPACT;
        c.compact.revision = any_revision(w);
    } else if (kind < 92) {
        c.type = STATE_LEASE_GRANT;
        c.lease.id = any_lease(w);
        c.lease.ttl_s = (int64_t)below(w, 100) + 2;
    } else if (kind < 97) {
        c.type = STATE_LEASE_REVOKE;
        c.lease.id = any_lease(w);
    } else {
        /* More often cleared than raised, for little can be done meanwhile. */
        static const enum alarm_action actions[] = {ALARM_GET, ALARM_ACTIVATE, ALARM_DEACTIVATE,
                                                    ALARM_DEACTIVATE};
        c.type = STATE_ALARM_CHANGE;
        c.alarm.action = actions[below(w, 4)];
        c.alarm.alarm.member = 1 + below(w, 2);
        c.alarm.alarm.type = (enum alarm_type)below(w, 3);
    }
    return c;
}

/* --- comparing answers ------------------------------------------------------------------------ */

static void check_bytes(struct bytes a, struct bytes b)
{
    assert_true(bytes_equal(a, b));
}

static void check_kv(const struct kv *a, const struct kv *b)
{
    check_bytes(a->key, b->key);
    check_bytes(a->value, b->value);
    assert_int_equal(a->create_revision, b->create_revision);
    assert_int_equal(a->mod_revision, b->mod_revision);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->lease, b->lease);
}

/* Ties of a sort are in key order here and there. */
static void check_range(const struct kv_range_response *a, const struct kv_range_response *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->more, b->more);
    assert_int_equal(a->kv_count, b->kv_count);
    for (size_t i = 0; i < a->kv_count; i++)
        check_kv(&a->kvs[i], &b->kvs[i]);
}

static void check_put(const struct kv_put_response *a, const struct kv_put_response *b)
{
    assert_int_equal(a->has_prev_kv, b->has_prev_kv);
    if (a->has_prev_kv)
        check_kv(&a->prev_kv, &b->prev_kv);
}

static void check_delete(const struct kv_delete_response *a, const struct kv_delete_response *b)
{
    assert_int_equal(a->deleted, b->deleted);
    assert_int_equal(a->prev_kv_count, b->prev_kv_count);
    for (size_t i = 0; i < a->prev_kv_count; i++)
        check_kv(&a->prev_kvs[i], &b->prev_kvs[i]);
}

static void check_txn(const struct kv_txn_response *a, const struct kv_txn_response *b)
{
    assert_int_equal(a->succeeded, b->succeeded);
    assert_int_equal(a->response_count, b->response_count);
    for (size_t i = 0; i < a->response_count; i++) {
        const struct kv_op_response *x = &a->responses[i], *y = &b->responses[i];
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->revision, y->revision);
        if (x->type == KV_OP_RANGE)
            check_range(&x->range, &y->range);
        if (x->type == KV_OP_PUT)
            check_put(&x->put, &y->put);
        if (x->type == KV_OP_DELETE)
            check_delete(&x->del, &y->del);
        if (x->type == KV_OP_TXN)
            check_txn(&x->txn, &y->txn);
    }
}

static void check_alarms(const struct state_result *a, const struct state_result *b)
{
    assert_int_equal(a->alarm.count, b->alarm.count);
    for (size_t i = 0; i < a->alarm.count; i++) {
        bool found = false;
        for (size_t k = 0; k < b->alarm.count; k++)
            found |= a->alarm.alarms[i].member == b->alarm.alarms[k].member &&
                     a->alarm.alarms[i].type == b->alarm.alarms[k].type;
        assert_true(found);
    }
}

static void check_result(const struct state_command *c, const struct state_result *a,
                         const struct state_result *b)
{
    assert_string_equal(verdict_text(a->verdict), verdict_text(b->verdict));
    assert_int_equal(a->verdict, b->verdict);
    assert_int_equal(a->revision, b->revision);
    if (a->verdict != VERDICT_OK)
        return;
    if (c->type == STATE_PUT)
        check_put(&a->put, &b->put);
    if (c->type == STATE_DELETE)
        check_delete(&a->del, &b->del);
    if (c->type == STATE_TXN)
        check_txn(&a->txn, &b->txn);
    if (c->type == STATE_LEASE_GRANT)
        assert_int_equal(a->lease.ttl_s, b->lease.ttl_s);
    if (c->type == STATE_ALARM_CHANGE)
        check_alarms(a, b);
}

/* --- watches ---------------------------------------------------------------------------------- */

struct watching {
    struct world *world;
    struct watcher *watcher;
    struct watch_request request;
    size_t next_row; /* of the twin's, that it has not seen */
    int64_t last_revision;
    bool full;
    bool chaotic; /* makes and cancels watchers while it is told */
};

static bool wants(const struct watching *w, const struct twin_row *row)
{
    const struct watch_request *r = &w->request;
    return row->main >= r->start_revision && kv_range_contains(r->key, r->range_end, row->kv.key) &&
           !(row->is_delete ? r->no_delete : r->no_put);
}

static size_t skip_unwanted(const struct watching *w)
{
    const struct twin *t = &w->world->twin;
    size_t i = w->next_row;
    while (i < t->row_count && !wants(w, &t->rows[i]))
        i++;
    return i;
}

static void check_event(const struct watching *w, const struct kv_event *event, size_t row_index)
{
    const struct twin *t = &w->world->twin;
    const struct twin_row *row = &t->rows[row_index];
    assert_int_equal(event->type, row->is_delete ? KV_EVENT_DELETE : KV_EVENT_PUT);
    check_kv(&event->kv, &row->kv);
    const struct twin_row *before = twin_row_at(t, row->kv.key, row->main - 1, row_index);
    if (!row->is_delete && row->kv.create_revision == row->main)
        before = NULL;
    if (!w->request.prev_kv || before == NULL)
        assert_false(event->has_prev);
    else if (event->has_prev)
        check_kv(&event->prev, &before->kv);
    else
        assert_true(row->main <= t->compacted);
}

static void watching_end(struct world *w, struct watching *watching)
{
    for (size_t i = 0; i < MAX_WATCHERS; i++) {
        if (w->watching[i] == watching)
            w->watching[i] = NULL;
    }
    free(watching);
}

static void any_watch(struct world *w);

static bool deliver(void *context, const struct watch_batch *batch)
{
    struct watching *w = context;
    struct world *world = w->world;
    assert_false(w->full);
    if (batch->compact_revision != 0) {
        assert_int_equal(batch->compact_revision, world->twin.compacted);
        assert_false(watcher_is_synced(w->watcher));
        watching_end(world, w);
        return true;
    }
    if (w->chaotic && one_in(world, 4)) {
        size_t other = below(world, MAX_WATCHERS);
        if (world->watching[other] != NULL) {
            watcher_cancel(world->watching[other]->watcher);
            bool was_me = world->watching[other] == w;
            watching_end(world, world->watching[other]);
            if (was_me)
                return one_in(world, 2);
        }
        any_watch(world);
    }
    if (one_in(world, 5)) {
        w->full = true;
        return false;
    }
    assert_true(batch->event_count > 0);
    for (size_t i = 0; i < batch->event_count; i++) {
        size_t row = skip_unwanted(w);
        assert_true(row < world->twin.row_count);
        check_event(w, &batch->events[i], row);
        w->next_row = row + 1;
    }
    int64_t last = batch->events[batch->event_count - 1].kv.mod_revision;
    size_t after = skip_unwanted(w);
    assert_true(after == world->twin.row_count || world->twin.rows[after].main > last);
    assert_true(batch->events[0].kv.mod_revision > w->last_revision);
    assert_true(batch->revision >= last && batch->revision <= world->twin.revision);
    w->last_revision = last;
    return true;
}

static void any_watch(struct world *w)
{
    size_t slot = 0;
    while (slot < MAX_WATCHERS && w->watching[slot] != NULL)
        slot++;
    if (slot == MAX_WATCHERS)
        return;
    struct watching *watching = calloc(1, sizeof(*watching));
    assert_non_null(watching);
    watching->world = w;
    watching->chaotic = one_in(w, 5);
    struct watch_request *r = &watching->request;
    *r = (struct watch_request){.key = any_key(w),
                                .range_end = any_end(w),
                                .prev_kv = one_in(w, 2),
                                .no_put = one_in(w, 6),
                                .no_delete = one_in(w, 6)};
    if (one_in(w, 2))
        r->start_revision = any_revision(w);
    if (one_in(w, 8))
        r->start_revision = w->twin.revision + (int64_t)below(w, 20);
    assert_int_equal(watcher_create(&watching->watcher, w->hub, r, deliver, watching), OK);
    if (r->start_revision == 0)
        r->start_revision = w->twin.revision + 1;
    w->watching[slot] = watching;
}

static void use_watches(struct world *w)
{
    if (one_in(w, 10))
        any_watch(w);
    if (one_in(w, 30)) {
        struct watching *gone = w->watching[below(w, MAX_WATCHERS)];
        if (gone != NULL) {
            watcher_cancel(gone->watcher);
            watching_end(w, gone);
        }
    }
    struct watching *full = w->watching[below(w, MAX_WATCHERS)];
    if (full != NULL && full->full) {
        full->full = false;
        watcher_resume(full->watcher);
    }
    if (!one_in(w, 3))
        return;
    struct state_source source = history_source(&w->history);
    enum err error;
    size_t steps = 0;
    while (watch_hub_catch_up(w->hub, &source, &w->arena, &error)) {
        assert_int_equal(error, OK);
        assert_true(++steps < 1000);
        arena_reset(&w->arena);
    }
    assert_int_equal(error, OK);
    /* Now everybody who has room has everything. */
    for (size_t i = 0; i < MAX_WATCHERS; i++) {
        struct watching *x = w->watching[i];
        if (x == NULL || x->full)
            continue;
        assert_true(watcher_is_synced(x->watcher));
        assert_int_equal(skip_unwanted(x), w->twin.row_count);
    }
}

/* --- a round ---------------------------------------------------------------------------------- */

static void on_record(void *context, const struct state_record *record)
{
    struct world *w = context;
    watch_hub_record(w->hub, record);
    assert_int_equal(state_restore_record(w->replayed, record), OK);
}

static void apply(struct world *w)
{
    struct state_command command = any_command(w);
    strbuf_clear(&w->encoded);
    state_command_encode(&w->encoded, &command);
    assert_false(w->encoded.failed);
    struct bytes bytes = bytes_of(w->encoded.data, w->encoded.size);

    struct state_result expected, result;
    twin_apply(&w->twin, &command, &expected);

    struct state_source source = history_source(&w->history);
    struct state_sink sink = history_sink(&w->history), followed = history_sink(&w->followed);
    enum err source_error = ERR_IO;
    size_t metas = w->history.meta_count;
    int64_t before = state_revision(w->state);
    assert_int_equal(
        state_apply(w->state, bytes, &source, &w->arena, &sink, &result, &source_error), OK);
    assert_int_equal(source_error, OK);
    check_result(&command, &result, &expected);
    if (state_revision(w->state) != before)
        assert_int_equal(w->history.meta_count, metas + 1);
    watch_hub_commit(w->hub);
    arena_reset(&w->arena);
    assert_int_equal(state_apply(w->follower, bytes, NULL, &w->arena, &followed, NULL, NULL), OK);
    arena_reset(&w->arena);
    arena_reset(&w->making);
}

static void read_range(struct world *w)
{
    struct kv_range_request r = any_range(w);
    struct kv_range_response a, b;
    enum verdict verdict, expected = twin_range(&w->twin, &r, &b);
    struct state_source source = history_source(&w->history);
    r.no_count = !r.count_only && one_in(w, 3);
    if (r.no_count)
        b.count = 0;
    assert_int_equal(state_range(w->state, &r, &source, &w->arena, &a, &verdict), OK);
    assert_int_equal(verdict, expected);
    if (verdict == VERDICT_OK)
        check_range(&a, &b);
    arena_reset(&w->arena);
}

static void purge(struct world *w)
{
    struct state_sink sink = history_sink(&w->history), followed = history_sink(&w->followed);
    if (one_in(w, 3))
        (void)state_purge(w->state, 1 + below(w, 5), &sink);
    /* Another member purges at its own pace. */
    if (one_in(w, 5))
        (void)state_purge(w->follower, 1 + below(w, 30), &followed);
}

static uint32_t hash(const struct state *s, int64_t revision, struct history *h)
{
    uint32_t hash = 0;
    enum verdict verdict;
    struct state_source source = history_source(h);
    assert_int_equal(state_hash(s, revision, &source, &hash, &verdict), OK);
    assert_int_equal(verdict, VERDICT_OK);
    return hash;
}

struct key_list {
    struct bytes keys[KEY_COUNT];
    size_t count;
};

static void add_key(void *context, struct bytes key)
{
    struct key_list *list = context;
    assert_true(list->count < KEY_COUNT);
    assert_true(list->count == 0 || bytes_compare(list->keys[list->count - 1], key) < 0);
    list->keys[list->count++] = key;
}

static void check_leases(const struct world *w, const struct state *s)
{
    assert_int_equal(state_lease_count(s), w->twin.lease_count);
    for (size_t i = 0; i < w->twin.lease_count; i++) {
        int64_t id = w->twin.leases[i].id, ttl_s;
        struct key_list list = {.count = 0};
        assert_true(state_lease(s, id, &ttl_s));
        assert_int_equal(ttl_s, w->twin.leases[i].ttl_s);
        state_each_lease_key(s, id, add_key, &list);
        size_t attached = 0;
        for (size_t k = 0; k < list.count; k++) {
            const struct twin_row *row =
                twin_row_at(&w->twin, list.keys[k], INT64_MAX, w->twin.row_count);
            assert_non_null(row);
            assert_int_equal(row->kv.lease, id);
        }
        for (size_t k = 0; k < w->twin.row_count; k++) {
            const struct twin_row *row = &w->twin.rows[k];
            attached += row->kv.lease == id && !row->is_delete &&
                        twin_row_at(&w->twin, row->kv.key, INT64_MAX, w->twin.row_count) == row;
        }
        assert_int_equal(list.count, attached);
    }
}

struct restoring {
    struct state *state;
    struct strbuf chunk;
};

/* By way of bytes, as a snapshot travels. */
static void restore(void *context, const struct state_record *record)
{
    struct restoring *r = context;
    struct state_record decoded;
    strbuf_clear(&r->chunk);
    state_record_encode(&r->chunk, record);
    assert_false(r->chunk.failed);
    assert_int_equal(state_record_decode(&decoded, bytes_of(r->chunk.data, r->chunk.size)), OK);
    assert_int_equal(state_restore_record(r->state, &decoded), OK);
}

static void round_trip(struct world *w)
{
    struct restoring r = {.chunk = STRBUF_EMPTY};
    assert_int_equal(state_create(&r.state), OK);
    state_snapshot_mutable(w->state, &(struct state_sink){.record = restore, .context = &r});
    for (size_t i = 0; i < w->history.count; i++)
        restore(&r, &w->history.rows[i]);
    assert_int_equal(state_restore_finish(r.state), OK);
    strbuf_fini(&r.chunk);

    assert_int_equal(state_revision(r.state), state_revision(w->state));
    assert_int_equal(state_compacted(r.state), state_compacted(w->state));
    assert_int_equal(state_key_count(r.state), state_key_count(w->state));
    check_leases(w, r.state);
    /* One behind the compacted revision, or the newest where there is none. */
    int64_t first = w->twin.compacted + 1, span = w->twin.revision - first + 1;
    int64_t revision = span > 0 ? first + (int64_t)below(w, (size_t)span) : 0;
    assert_int_equal(hash(r.state, 0, &w->history), hash(w->state, 0, &w->history));
    assert_int_equal(hash(r.state, revision, &w->history), hash(w->state, revision, &w->history));
    assert_int_equal(hash(w->follower, revision, &w->followed),
                     hash(w->state, revision, &w->history));
    if (w->hub != NULL && watch_hub_count(w->hub) == 0) {
        /* From here on the restored one goes on. */
        watch_hub_destroy(w->hub);
        state_destroy(w->state);
        w->state = r.state;
        assert_int_equal(watch_hub_create(&w->hub, w->state), OK);
    } else {
        state_destroy(r.state);
    }
}

static void world_init(struct world *w, uint64_t seed)
{
    *w = (struct world){.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    twin_init(&w->twin);
    history_init(&w->history);
    history_init(&w->followed);
    arena_init(&w->arena, ARENA_LIMIT);
    arena_init(&w->making, ARENA_LIMIT);
    assert_int_equal(state_create(&w->state), OK);
    assert_int_equal(state_create(&w->follower), OK);
    assert_int_equal(state_create(&w->replayed), OK);
    assert_int_equal(watch_hub_create(&w->hub, w->state), OK);
    w->history.also = on_record;
    w->history.also_context = w;
}

static void world_fini(struct world *w)
{
    watch_hub_destroy(w->hub);
    for (size_t i = 0; i < MAX_WATCHERS; i++)
        free(w->watching[i]);
    state_destroy(w->state);
    state_destroy(w->follower);
    state_destroy(w->replayed);
    twin_fini(&w->twin);
    history_fini(&w->history);
    history_fini(&w->followed);
    arena_fini(&w->arena);
    arena_fini(&w->making);
    strbuf_fini(&w->encoded);
}

static void run_round(uint64_t seed)
{
    struct world w;
    world_init(&w, seed);
    bool watches = seed % 3 != 0;
    for (size_t i = 0; i < COMMANDS; i++) {
        apply(&w);
        read_range(&w);
        purge(&w);
        if (watches)
            use_watches(&w);
        if (one_in(&w, 60)) {
            check_leases(&w, w.state);
            round_trip(&w);
        }
    }
    assert_int_equal(state_restore_finish(w.replayed), OK);
    assert_int_equal(hash(w.replayed, 0, &w.history), hash(w.state, 0, &w.history));
    check_leases(&w, w.replayed);
    world_fini(&w);
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void random_histories_answer_as_the_twin(void **state)
{
    (void)state;
    uint64_t seed = number_of("TWIN_SEED", 1), rounds = number_of("TWIN_ROUNDS", DEFAULT_ROUNDS);
    for (uint64_t i = 0; i < rounds; i++) {
        printf("TWIN_SEED=%llu\n", (unsigned long long)(seed + i));
        fflush(stdout);
        run_round(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_answer_as_the_twin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
