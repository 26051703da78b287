/* The embedded store as its callers see it: on a real loop and a real folder. */
#include "registry/store.h"

#include "base/arena.h"
#include "consensus/journal.h"
#include "tests/support/fault_vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_EVENTS = 4096,
    WAIT_MS = 20000,
};

struct fixture {
    uv_loop_t loop;
    char dir[64];
    struct store_config config;
    struct store *store;
};

/* --- driving the loop ------------------------------------------------------------------------- */

static void on_timeout(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void run_until(struct fixture *f, bool *flag)
{
    uv_timer_t timer;
    bool late = false;
    uv_timer_init(&f->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, on_timeout, WAIT_MS, 0);
    while (!*flag && !late)
        uv_run(&f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(late);
}

static void run_for(struct fixture *f, uint64_t ms)
{
    uv_timer_t timer;
    bool over = false;
    uv_timer_init(&f->loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_timeout, ms, 0);
    while (!over)
        uv_run(&f->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void open_store(struct fixture *f)
{
    struct strbuf error = STRBUF_EMPTY;
    enum err e = store_open(&f->store, &f->config, &error);
    if (e != OK)
        print_error("%s\n", strbuf_str(&error));
    assert_int_equal(e, OK);
    strbuf_fini(&error);
}

static void close_store(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void reopen(struct fixture *f)
{
    close_store(f);
    open_store(f);
}

static const char *const peer_urls[] = {"http://127.0.0.1:2380"};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/warren-test-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    uv_loop_init(&f->loop);
    f->config = (struct store_config){
        .loop = &f->loop,
        .data_dir = f->dir,
        .name = "n1",
        .peer_urls = peer_urls,
        .peer_url_count = 1,
        .election_timeout_ms = 10,
    };
    open_store(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->store != NULL)
        close_store(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    int closed = uv_loop_close(&f->loop);
    char command[128];
    snprintf(command, sizeof(command), "rm -r '%s'", f->dir);
    int removed = system(command);
    free(f);
    return closed == 0 && removed == 0 ? 0 : -1;
}

/* --- requests --------------------------------------------------------------------------------- */

struct reply {
    bool done;
    unsigned calls;
    enum verdict verdict;
    int64_t revision;
    uint64_t term;
    int64_t count;
    char value[64]; /* of the first kv or of prev_kv */
    int64_t number; /* deleted, lease id */
    int64_t ttl_s;
    bool succeeded;
    size_t key_count;
    enum store_request_type type;
};

static void keep_value(struct reply *r, struct bytes value)
{
    snprintf(r->value, sizeof(r->value), "%.*s", (int)value.size, (const char *)value.data);
}

static void on_reply(void *context, const struct store_response *response)
{
    struct reply *r = context;
    r->done = true;
    r->calls++;
    r->verdict = response->verdict;
    r->revision = response->revision;
    r->term = response->term;
    if (response->verdict != VERDICT_OK)
        return;
    if (r->type == STORE_RANGE) {
        r->count = response->range.count;
        if (response->range.kv_count > 0)
            keep_value(r, response->range.kvs[0].value);
    } else if (r->type == STORE_PUT && response->put.has_prev_kv) {
        keep_value(r, response->put.prev_kv.value);
    } else if (r->type == STORE_DELETE) {
        r->number = response->del.deleted;
    } else if (r->type == STORE_TXN) {
        r->succeeded = response->txn.succeeded;
    } else if (r->type == STORE_LEASE_GRANT || r->type == STORE_LEASE_KEEPALIVE) {
        r->number = response->lease.id;
        r->ttl_s = response->lease.ttl_s;
    } else if (r->type == STORE_LEASE_TIME_TO_LIVE) {
        r->ttl_s = response->time_to_live.ttl_s;
        r->key_count = response->time_to_live.key_count;
    } else if (r->type == STORE_LEASE_LIST) {
        r->count = (int64_t)response->leases.count;
    } else if (r->type == STORE_ALARM) {
        r->count = (int64_t)response->alarms.count;
    } else if (r->type == STORE_HASH) {
        r->number = response->hash.hash;
    }
}

static struct reply ask(struct fixture *f, const struct store_request *request)
{
    struct reply r = {.type = request->type};
    store_submit(f->store, request, on_reply, &r);
    run_until(f, &r.done);
    assert_int_equal(r.calls, 1);
    return r;
}

static struct reply put(struct fixture *f, const char *key, const char *value, int64_t lease)
{
    struct store_request q = {.type = STORE_PUT};
    q.put = (struct kv_put_request){
        .key = bytes_of_str(key), .value = bytes_of_str(value), .lease = lease, .prev_kv = true};
    return ask(f, &q);
}

static struct reply get_at(struct fixture *f, const char *key, int64_t revision)
{
    struct store_request q = {.type = STORE_RANGE};
    q.range = (struct kv_range_request){.key = bytes_of_str(key), .revision = revision};
    return ask(f, &q);
}

static struct reply get(struct fixture *f, const char *key)
{
    return get_at(f, key, 0);
}

static struct reply del(struct fixture *f, const char *key, const char *end)
{
    struct store_request q = {.type = STORE_DELETE};
    q.del = (struct kv_delete_request){.key = bytes_of_str(key), .range_end = bytes_of_str(end)};
    return ask(f, &q);
}

static struct reply compact(struct fixture *f, int64_t revision, bool physical)
{
    struct store_request q = {.type = STORE_COMPACT};
    q.compact.revision = revision;
    q.compact.physical = physical;
    return ask(f, &q);
}

static struct reply grant(struct fixture *f, int64_t id, int64_t ttl_s)
{
    struct store_request q = {.type = STORE_LEASE_GRANT};
    q.grant.id = id;
    q.grant.ttl_s = ttl_s;
    return ask(f, &q);
}

static struct reply lease(struct fixture *f, enum store_request_type type, int64_t id)
{
    struct store_request q = {.type = type};
    q.lease.id = id;
    q.lease.keys = true;
    return ask(f, &q);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void put_get_delete(void **state)
{
    struct fixture *f = *state;
    struct reply r = get(f, "a");
    assert_int_equal(r.verdict, VERDICT_OK);
    assert_int_equal(r.revision, 1);
    assert_true(r.term > 0);
    r = put(f, "a", "1", 0);
    assert_int_equal(r.verdict, VERDICT_OK);
    assert_int_equal(r.revision, 2);
    assert_string_equal(r.value, "");
    r = put(f, "a", "2", 0);
    assert_string_equal(r.value, "1");
    r = get(f, "a");
    assert_string_equal(r.value, "2");
    r = del(f, "a", "b");
    assert_int_equal(r.number, 1);
    assert_int_equal(r.revision, 4);
    assert_int_equal(get(f, "a").count, 0);
    assert_string_equal(get_at(f, "a", 2).value, "1");
    assert_string_equal(get_at(f, "a", 3).value, "2");
    assert_int_equal(get_at(f, "a", 5).verdict, VERDICT_FUTURE_REVISION);
    assert_int_equal(put(f, "", "1", 0).verdict, VERDICT_EMPTY_KEY);
}

static void what_was_acknowledged_is_there_after_a_restart(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1", 0);
    grant(f, 7, 1000);
    put(f, "b", "2", 7);
    put(f, "a", "3", 0);
    del(f, "b", "");
    put(f, "b", "4", 7);
    uint64_t term = get(f, "a").term;
    reopen(f);
    struct reply r = get(f, "a");
    assert_string_equal(r.value, "3");
    assert_int_equal(r.revision, 6);
    assert_true(r.term >= term);
    assert_string_equal(get_at(f, "a", 2).value, "1");
    assert_string_equal(get(f, "b").value, "4");
    r = lease(f, STORE_LEASE_TIME_TO_LIVE, 7);
    assert_int_equal(r.key_count, 1);
    assert_true(r.ttl_s >= 999);
    assert_int_equal(put(f, "c", "5", 0).revision, 7);
}

/* The journal flushes an idle overlay; both states must read alike. */
static void history_is_the_same_from_overlay_and_table(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1", 0);
    put(f, "a", "2", 0);
    assert_string_equal(get_at(f, "a", 2).value, "1");
    run_for(f, 300);
    assert_string_equal(get_at(f, "a", 2).value, "1");
    assert_string_equal(get_at(f, "a", 3).value, "2");
}

static void leases_expire_and_take_their_keys(void **state)
{
    struct fixture *f = *state;
    struct reply r = grant(f, 0, 0);
    assert_int_equal(r.verdict, VERDICT_OK);
    assert_true(r.number > 0);
    assert_int_equal(r.ttl_s, 1); /* 1.5 x 10 ms, rounded up */
    put(f, "x", "1", r.number);
    run_for(f, 600);
    assert_int_equal(lease(f, STORE_LEASE_KEEPALIVE, r.number).ttl_s, 1);
    run_for(f, 600);
    assert_int_equal(get(f, "x").count, 1); /* renewed */
    run_for(f, 900);
    assert_int_equal(get(f, "x").count, 0);
    assert_int_equal(lease(f, STORE_LEASE_KEEPALIVE, r.number).ttl_s, 0);
    assert_int_equal(lease(f, STORE_LEASE_TIME_TO_LIVE, r.number).ttl_s, -1);
    assert_int_equal(lease(f, STORE_LEASE_REVOKE, r.number).verdict, VERDICT_LEASE_NOT_FOUND);
    assert_int_equal(put(f, "x", "1", r.number).verdict, VERDICT_LEASE_NOT_FOUND);
}

static void lease_requests_are_checked(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(grant(f, 5, 100).verdict, VERDICT_OK);
    assert_int_equal(grant(f, 5, 100).verdict, VERDICT_LEASE_EXISTS);
    assert_int_equal(grant(f, 6, LEASE_MAX_TTL_S + 1).verdict, VERDICT_LEASE_TTL_TOO_LARGE);
    assert_int_equal(lease(f, STORE_LEASE_LIST, 0).count, 1);
    assert_int_equal(lease(f, STORE_LEASE_REVOKE, 5).verdict, VERDICT_OK);
    assert_int_equal(lease(f, STORE_LEASE_LIST, 0).count, 0);
}

/* The lease is past its end and its revocation is on its way: the keepalive waits for that. */
static void a_keepalive_of_a_lease_that_is_granted_anew_is_answered(void **state)
{
    struct fixture *f = *state;
    grant(f, 7, 1);
    usleep(1100 * 1000);
    uv_update_time(&f->loop); /* no timer ran: nothing is proposed yet */
    struct reply keepalive = {.type = STORE_LEASE_KEEPALIVE}, revoke = {.type = STORE_LEASE_REVOKE};
    struct reply again = {.type = STORE_LEASE_GRANT};
    struct store_request q = {.type = STORE_LEASE_KEEPALIVE};
    q.lease.id = 7;
    store_submit(f->store, &q, on_reply, &keepalive);
    assert_false(keepalive.done);
    q.type = STORE_LEASE_REVOKE;
    store_submit(f->store, &q, on_reply, &revoke);
    q = (struct store_request){.type = STORE_LEASE_GRANT};
    q.grant.id = 7;
    q.grant.ttl_s = 100;
    store_submit(f->store, &q, on_reply, &again); /* in one batch with the revocation */
    run_until(f, &keepalive.done);
    run_until(f, &again.done);
    assert_int_equal(keepalive.verdict, VERDICT_OK);
    assert_int_equal(keepalive.number, 7);
    assert_int_equal(keepalive.ttl_s, 0);
    assert_int_equal(revoke.verdict, VERDICT_OK);
    assert_int_equal(again.verdict, VERDICT_OK);
    assert_int_equal(lease(f, STORE_LEASE_KEEPALIVE, 7).ttl_s, 100);
}

/* --- watches ---------------------------------------------------------------------------------- */

struct seen {
    struct store_watch *watch;
    int64_t revisions[MAX_EVENTS];
    size_t count;
    size_t wanted;
    bool done;
    bool is_full; /* refuse */
    int64_t compacted;
};

static bool on_batch(void *context, const struct store_watch_batch *batch)
{
    struct seen *s = context;
    if (batch->compact_revision != 0) {
        s->compacted = batch->compact_revision;
        s->done = true;
        return true;
    }
    if (s->is_full)
        return false;
    for (size_t i = 0; i < batch->event_count && s->count < MAX_EVENTS; i++)
        s->revisions[s->count++] = batch->events[i].kv.mod_revision;
    s->done = s->count >= s->wanted;
    return true;
}

static void watch(struct fixture *f, struct seen *s, const char *key, const char *end,
                  int64_t start, size_t wanted)
{
    *s = (struct seen){.wanted = wanted};
    struct store_watch_request q = {
        .key = bytes_of_str(key), .range_end = bytes_of_str(end), .start_revision = start};
    assert_int_equal(store_watch_create(&s->watch, f->store, &q, on_batch, s), OK);
}

static void watches_see_history_and_then_the_present(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put(f, i % 2 == 0 ? "a" : "b", "x", 0);
    struct seen all, some;
    watch(f, &all, "a", "c", 2, 6);
    watch(f, &some, "b", "", 0, 1);
    put(f, "b", "y", 0);
    run_until(f, &all.done);
    run_until(f, &some.done);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(all.revisions[i], (int64_t)i + 2);
    assert_int_equal(some.revisions[0], 7);
    store_watch_cancel(all.watch);
    store_watch_cancel(some.watch);
}

static void a_slow_watcher_is_caught_up_from_disk(void **state)
{
    struct fixture *f = *state;
    struct seen slow;
    watch(f, &slow, "k", "", 0, 300);
    slow.is_full = true;
    for (int i = 0; i < 300; i++)
        put(f, "k", "v", 0);
    run_for(f, 250); /* into the tables */
    assert_int_equal(slow.count, 0);
    assert_false(store_watch_is_synced(slow.watch));
    slow.is_full = false;
    store_watch_resume(slow.watch);
    run_until(f, &slow.done);
    for (size_t i = 0; i < 300; i++)
        assert_int_equal(slow.revisions[i], (int64_t)i + 2);
    run_for(f, 20);
    assert_true(store_watch_is_synced(slow.watch));
    store_watch_cancel(slow.watch);
}

static void a_watch_below_the_compaction_is_cancelled(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put(f, "a", "x", 0);
    assert_int_equal(compact(f, 4, true).verdict, VERDICT_OK);
    struct seen s;
    watch(f, &s, "a", "", 3, 1);
    run_until(f, &s.done);
    assert_int_equal(s.compacted, 4);
    watch(f, &s, "a", "", 4, 3);
    run_until(f, &s.done);
    assert_int_equal(s.revisions[0], 4);
    store_watch_cancel(s.watch);
}

/* --- compaction, space, life ------------------------------------------------------------------ */

static void compaction_forgets_what_is_below(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 5; i++)
        put(f, "a", "x", 0);
    assert_int_equal(compact(f, 7, false).verdict, VERDICT_FUTURE_REVISION);
    assert_int_equal(compact(f, 4, true).verdict, VERDICT_OK);
    assert_int_equal(compact(f, 4, false).verdict, VERDICT_COMPACTED);
    assert_int_equal(get_at(f, "a", 3).verdict, VERDICT_COMPACTED);
    assert_int_equal(get_at(f, "a", 4).count, 1);
    reopen(f);
    assert_int_equal(get_at(f, "a", 3).verdict, VERDICT_COMPACTED);
    assert_int_equal(get_at(f, "a", 4).count, 1);
    assert_int_equal(get(f, "a").revision, 6);
}

static void equal_histories_have_equal_hashes(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "x", 0);
    put(f, "b", "y", 0);
    struct store_request q = {.type = STORE_HASH};
    struct reply before = ask(f, &q);
    reopen(f);
    assert_int_equal(ask(f, &q).number, before.number);
    put(f, "b", "z", 0);
    assert_int_not_equal(ask(f, &q).number, before.number);
    q.hash.revision = 3;
    assert_int_equal(ask(f, &q).number, before.number);
}

/* --- reads over many turns -------------------------------------------------------------------- */

enum {
    MANY_KEYS = 6400,
    OF_A_TXN = 128,
};

/* Sets all of the many keys, in revisions of 128 puts. */
static void put_many(struct fixture *f, const char *value)
{
    static char keys[OF_A_TXN][16];
    static struct kv_op ops[OF_A_TXN];
    for (size_t first = 0; first < MANY_KEYS; first += OF_A_TXN) {
        for (size_t i = 0; i < OF_A_TXN; i++) {
            snprintf(keys[i], sizeof(keys[i]), "m%05zu", first + i);
            ops[i] = (struct kv_op){.type = KV_OP_PUT};
            ops[i].put =
                (struct kv_put_request){.key = bytes_of_str(keys[i]), .value = bytes_of_str(value)};
        }
        struct store_request q = {.type = STORE_TXN};
        q.txn = (struct kv_txn_request){.success = ops, .success_count = OF_A_TXN};
        assert_int_equal(ask(f, &q).verdict, VERDICT_OK);
    }
}

static int64_t number_in_database(const struct fixture *f, const char *sql)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/warren.db", f->dir);
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return number;
}

/* All in one, it would make everybody's writes wait for it. */
static void a_purge_takes_many_transactions_and_all_of_its_rows(void **state)
{
    struct fixture *f = *state;
    put_many(f, "x");
    put_many(f, "y");
    del(f, "m00000", "m00003");
    put(f, "a", "z", 0);
    int64_t before = number_in_database(f, "SELECT transactions FROM hard_state");
    assert_int_equal(compact(f, get(f, "a").revision, true).verdict, VERDICT_OK);
    del(f, "m00010", ""); /* behind the last removals */
    int64_t after = number_in_database(f, "SELECT transactions FROM hard_state");
    assert_true(after - before >= MANY_KEYS / JOURNAL_REMOVALS_SOON);
    close_store(f);
    /* The last value of each, without the three that were deleted, and what came behind them. */
    assert_int_equal(number_in_database(f, "SELECT count(*) FROM revisions"), MANY_KEYS - 3 + 2);
    open_store(f);
    assert_int_equal(get(f, "m00020").count, 1);
}

static void begin(struct fixture *f, const struct store_request *q, struct reply *r)
{
    *r = (struct reply){.type = q->type};
    store_submit(f->store, q, on_reply, r);
    assert_false(r->done); /* never before a turn of the loop */
}

/* The compaction is applied at once, but takes nothing that the hash still needs. */
static void a_hash_is_of_its_revision_whatever_comes_meanwhile(void **state)
{
    struct fixture *f = *state;
    put_many(f, "1");
    put_many(f, "2");
    struct store_request q = {.type = STORE_HASH};
    q.hash.revision = get(f, "x").revision - 10;
    struct reply alone = ask(f, &q), busy, compacted = {.type = STORE_COMPACT};
    begin(f, &q, &busy);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_false(busy.done);
    struct store_request c = {.type = STORE_COMPACT};
    c.compact.revision = q.hash.revision + 5;
    c.compact.physical = true;
    store_submit(f->store, &c, on_reply, &compacted);
    size_t puts = 0;
    while (!busy.done) {
        assert_int_equal(put(f, "m00001", "3", 0).verdict, VERDICT_OK);
        assert_true(busy.done || !compacted.done);
        puts++;
    }
    assert_int_equal(busy.verdict, VERDICT_OK);
    assert_int_equal(busy.number, alone.number);
    assert_true(puts > 0);
    run_until(f, &compacted.done);
    assert_int_equal(compacted.verdict, VERDICT_OK);
    assert_int_equal(ask(f, &q).verdict, VERDICT_COMPACTED);
}

struct parts {
    struct reply reply; /* first: the answer's context is that of the parts */
    size_t count;
    size_t key_count;
    size_t wrong_count; /* values other than expected, keys out of order */
    int64_t revision;
    char last[16];
    const char *value;
    unsigned late; /* this many times not yet */
    bool is_unwanted;
};

static enum store_part_fate on_part(void *context, const struct store_part *part)
{
    struct parts *p = context;
    if (p->is_unwanted)
        return STORE_PART_UNWANTED;
    if (p->late > 0) {
        p->late--;
        assert_int_equal(part->kv_count, 0);
        return STORE_PART_LATER;
    }
    p->revision = part->revision;
    p->count++;
    p->key_count += part->kv_count;
    for (size_t i = 0; i < part->kv_count; i++) {
        char key[16];
        const struct kv *kv = &part->kvs[i];
        snprintf(key, sizeof(key), "%.*s", (int)kv->key.size, (const char *)kv->key.data);
        p->wrong_count += strcmp(p->last, key) >= 0;
        p->wrong_count += !bytes_equal(kv->value, bytes_of_str(p->value));
        memcpy(p->last, key, sizeof(key));
    }
    return STORE_PART_TAKEN;
}

static void begin_parts(struct fixture *f, struct parts *p, const char *value, int64_t revision)
{
    struct store_request q = {.type = STORE_RANGE, .part = on_part};
    q.range = (struct kv_range_request){
        .key = bytes_of_str("m"), .range_end = bytes_of_str("n"), .revision = revision};
    p->value = value;
    p->reply.type = STORE_RANGE;
    store_submit(f->store, &q, on_reply, p);
}

static void a_large_range_comes_in_parts_of_one_revision(void **state)
{
    struct fixture *f = *state;
    put_many(f, "1");
    int64_t old = get(f, "x").revision;
    put_many(f, "2");
    struct parts past = {.late = 3}, now = {.late = 0};
    begin_parts(f, &past, "1", old);
    begin_parts(f, &now, "2", 0);
    run_until(f, &now.reply.done);
    assert_false(past.reply.done); /* its values are on the disk, and its client was not ready */
    size_t puts = 0;
    while (!past.reply.done) {
        put(f, "m05000", "3", 0);
        puts++;
    }
    assert_true(puts > 0);
    assert_int_equal(now.reply.verdict, VERDICT_OK);
    assert_int_equal(now.reply.count, MANY_KEYS);
    assert_int_equal(now.key_count, MANY_KEYS);
    assert_int_equal(now.wrong_count, 0);
    assert_int_equal(now.reply.revision, now.revision);
    assert_int_equal(past.reply.count, MANY_KEYS);
    assert_int_equal(past.key_count, MANY_KEYS);
    assert_int_equal(past.wrong_count, 0);
    assert_int_equal(past.reply.revision, past.revision);
    struct parts small = {.late = 0};
    struct store_request q = {.type = STORE_RANGE, .part = on_part};
    q.range = (struct kv_range_request){.key = bytes_of_str("m05000")};
    small.reply.type = STORE_RANGE;
    store_submit(f->store, &q, on_reply, &small);
    run_until(f, &small.reply.done);
    assert_string_equal(small.reply.value, "3"); /* in one piece */
    assert_int_equal(small.count, 0);
}

static void reads_that_nobody_waits_for_end(void **state)
{
    struct fixture *f = *state;
    put_many(f, "1");
    put_many(f, "2");
    struct store_request q = {.type = STORE_HASH};
    struct reply hash[2];
    struct parts unwanted = {.is_unwanted = true}, late = {.late = 1000}, running = {.late = 0};
    begin(f, &q, &hash[0]);
    begin(f, &q, &hash[1]);
    begin_parts(f, &late, "2", 0);
    begin_parts(f, &unwanted, "2", 0);
    begin_parts(f, &running, "1", MANY_KEYS / OF_A_TXN + 1);
    run_until(f, &unwanted.reply.done);
    assert_int_equal(unwanted.reply.verdict, VERDICT_STOPPED);
    while (running.count < 2)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    store_cancel(f->store, &hash[0]);
    store_cancel(f->store, &late);
    store_cancel(f->store, &running);
    store_cancel(f->store, f); /* of nobody */
    assert_int_equal(hash[0].verdict, VERDICT_STOPPED);
    assert_int_equal(late.reply.verdict, VERDICT_STOPPED);
    assert_int_equal(running.reply.verdict, VERDICT_STOPPED);
    run_until(f, &hash[1].done);
    assert_int_equal(hash[1].verdict, VERDICT_OK);
    begin(f, &q, &hash[0]);
    begin(f, &q, &hash[1]);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    close_store(f);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(hash[i].calls, 1);
        assert_int_equal(hash[i].verdict, VERDICT_STOPPED);
    }
    assert_int_equal(running.reply.calls + late.reply.calls + unwanted.reply.calls, 3);
}

static void a_physical_compaction_of_nothing_is_answered(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compact(f, 0, true).verdict, VERDICT_OK);
}

static void the_limit_of_operations_is_the_requests(void **state)
{
    struct fixture *f = *state;
    struct kv_op ops[129];
    for (size_t i = 0; i < 129; i++)
        ops[i] = (struct kv_op){.type = KV_OP_RANGE, .range.key = bytes_of_str("a")};
    struct store_request q = {.type = STORE_TXN};
    q.txn.success = ops;
    q.txn.success_count = 129;
    assert_int_equal(ask(f, &q).verdict, VERDICT_TOO_MANY_OPS);
    q.max_txn_ops = 129;
    assert_int_equal(ask(f, &q).verdict, VERDICT_OK);
    q.max_txn_ops = 1;
    assert_int_equal(ask(f, &q).verdict, VERDICT_TOO_MANY_OPS);
}

static void a_full_quota_raises_the_alarm(void **state)
{
    struct fixture *f = *state;
    close_store(f);
    f->config.quota_size = 1;
    open_store(f);
    struct store_request q = {.type = STORE_ALARM};
    assert_int_equal(ask(f, &q).count, 0);
    assert_int_equal(put(f, "a", "1", 0).verdict, VERDICT_NO_SPACE); /* the first one already */
    assert_int_equal(ask(f, &q).count, 1); /* and whoever was refused finds the alarm */
    assert_int_equal(grant(f, 0, 10).verdict, VERDICT_NO_SPACE);
    assert_int_equal(del(f, "a", "").verdict, VERDICT_OK);
    close_store(f);
    f->config.quota_size = 0;
    open_store(f);
    assert_int_equal(put(f, "a", "1", 0).verdict, VERDICT_NO_SPACE); /* stays until disarmed */
    struct store_status status;
    store_status(f->store, &status);
    assert_int_equal(status.alarm_count, 1);
    q.alarm.action = ALARM_DEACTIVATE;
    q.alarm.alarm = status.alarms[0];
    assert_int_equal(ask(f, &q).verdict, VERDICT_OK);
    assert_int_equal(put(f, "a", "1", 0).verdict, VERDICT_OK);
}

/* --- disk trouble ----------------------------------------------------------------------------- */

static void assert_metric(struct fixture *f, const char *line)
{
    struct strbuf text = STRBUF_EMPTY;
    metrics_expose(f->config.metrics, &text);
    if (strstr(strbuf_str(&text), line) == NULL)
        print_error("no \"%s\" in\n%s", line, strbuf_str(&text));
    assert_non_null(strstr(strbuf_str(&text), line));
    strbuf_fini(&text);
}

static void open_with_metrics(struct fixture *f)
{
    if (f->store != NULL)
        close_store(f);
    assert_int_equal(metrics_create(&f->config.metrics), OK);
    open_store(f);
}

static void close_with_metrics(struct fixture *f)
{
    close_store(f);
    metrics_destroy(f->config.metrics);
    f->config.metrics = NULL;
}

static void a_halted_store_reads_on_refuses_every_write_and_says_so(void **state)
{
    struct fixture *f = *state;
    fault_vfs_register();
    f->config.vfs = FAULT_VFS;
    open_with_metrics(f);
    put(f, "a", "1", 0);
    put(f, "a", "2", 0);
    assert_true(store_is_writable(f->store));
    assert_metric(f, "warren_registry_writable 1\n");
    fault_vfs_fail_at(0, true);
    assert_int_equal(put(f, "a", "3", 0).verdict, VERDICT_DISK_FAILED);
    fault_vfs_heal();
    assert_int_equal(put(f, "a", "3", 0).verdict, VERDICT_HALTED);
    assert_int_equal(del(f, "a", "").verdict, VERDICT_HALTED);
    assert_int_equal(compact(f, 2, false).verdict, VERDICT_HALTED);
    assert_int_equal(grant(f, 0, 10).verdict, VERDICT_HALTED);
    assert_string_equal(get(f, "a").value, "2");
    assert_string_equal(get_at(f, "a", 2).value, "1");
    assert_false(store_is_writable(f->store));
    struct store_status status;
    store_status(f->store, &status);
    assert_int_equal(status.leader, 0);
    assert_non_null(strstr(status.failure, "until a restart"));
    run_for(f, 1200);
    assert_metric(f, "warren_registry_writable 0\n");
    assert_metric(f, "warren_journal_health 3\n");
    assert_true(metric_value(metric_series(metrics_family(f->config.metrics, METRIC_GAUGE,
                                                          "warren_registry_stale_seconds", "", NULL,
                                                          0, NULL, 0),
                                           NULL)) >= 0.9);
    close_with_metrics(f);
    open_with_metrics(f);
    assert_int_equal(put(f, "a", "4", 0).verdict, VERDICT_OK);
    assert_true(store_is_writable(f->store));
    close_with_metrics(f);
    fault_vfs_reset();
}

static void an_alarm_is_told_as_not_writable_until_it_is_disarmed(void **state)
{
    struct fixture *f = *state;
    f->config.quota_size = 1;
    open_with_metrics(f);
    assert_int_equal(put(f, "a", "1", 0).verdict, VERDICT_NO_SPACE);
    run_for(f, 1);
    assert_false(store_is_writable(f->store));
    assert_metric(f, "warren_registry_writable 0\n");
    assert_metric(f, "warren_journal_health 0\n");
    close_with_metrics(f);
    f->config.quota_size = 0;
    open_with_metrics(f);
    assert_false(store_is_writable(f->store)); /* from the start */
    struct store_status status;
    store_status(f->store, &status);
    struct store_request q = {.type = STORE_ALARM};
    q.alarm.action = ALARM_DEACTIVATE;
    q.alarm.alarm = status.alarms[0];
    assert_int_equal(ask(f, &q).verdict, VERDICT_OK);
    run_for(f, 1);
    assert_true(store_is_writable(f->store));
    assert_metric(f, "warren_registry_stale_seconds 0\n");
    close_with_metrics(f);
}

/* Each bucket counts what the smaller ones count, too. */
static void commits_are_in_etcd_s_two_histograms(void **state)
{
    struct fixture *f = *state;
    open_with_metrics(f);
    for (int i = 0; i < 5; i++)
        put(f, "a", "1", 0);
    struct metric_family *family = metrics_family(
        f->config.metrics, METRIC_HISTOGRAM, "etcd_disk_wal_fsync_duration_seconds", "", NULL, 0,
        (const double[]){0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
                         1.024, 2.048, 4.096, 8.192},
        14);
    double count = metric_value(metric_series(family, NULL));
    assert_true(count >= 5);
    char line[100];
    snprintf(line, sizeof(line), "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"} %.0f\n",
             count);
    assert_metric(f, line);
    snprintf(line, sizeof(line), "etcd_disk_wal_fsync_duration_seconds_bucket{le=\"8.192\"} %.0f\n",
             count);
    assert_metric(f, line);
    assert_metric(f, "etcd_disk_backend_commit_duration_seconds_bucket{le=\"0.001\"} ");
    assert_metric(f, "etcd_disk_backend_commit_duration_seconds_count ");
    close_with_metrics(f);
}

static void one_folder_serves_one_store(void **state)
{
    struct fixture *f = *state;
    struct store *second;
    struct strbuf error = STRBUF_EMPTY;
    assert_int_equal(store_open(&second, &f->config, &error), ERR_EXISTS);
    assert_non_null(strstr(strbuf_str(&error), f->dir));
    strbuf_fini(&error);
    run_for(f, 10);
    assert_int_equal(put(f, "a", "1", 0).verdict, VERDICT_OK);
}

static void an_existing_store_is_demanded(void **state)
{
    struct fixture *f = *state;
    close_store(f);
    f->config.must_exist = true;
    open_store(f); /* it is there */
    close_store(f);
    char empty[80];
    snprintf(empty, sizeof(empty), "%s/new", f->dir);
    f->config.data_dir = empty;
    struct strbuf error = STRBUF_EMPTY;
    assert_int_equal(store_open(&f->store, &f->config, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(strbuf_str(&error), "existing"));
    strbuf_fini(&error);
    f->store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void every_request_is_answered_once_at_the_end(void **state)
{
    struct fixture *f = *state;
    enum {
        COUNT = 50
    };
    static struct reply replies[COUNT];
    memset(replies, 0, sizeof(replies));
    for (size_t i = 0; i < COUNT; i++) {
        struct store_request q = {.type = STORE_PUT};
        replies[i].type = STORE_PUT;
        q.put = (struct kv_put_request){.key = bytes_of_str("k"), .value = bytes_of_str("v")};
        store_submit(f->store, &q, on_reply, &replies[i]);
    }
    close_store(f);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(replies[i].calls, 1);
        assert_true(replies[i].verdict == VERDICT_OK || replies[i].verdict == VERDICT_FATE_UNKNOWN);
    }
    open_store(f);
    size_t sure = 0;
    for (size_t i = 0; i < COUNT; i++)
        sure += replies[i].verdict == VERDICT_OK;
    assert_true(get(f, "k").revision >= (int64_t)sure + 1);
}

/* It was refused as too many requests, and yet written. */
static void a_write_whose_answer_is_too_large_is_no_refusal(void **state)
{
    struct fixture *f = *state;
    enum {
        KEYS = 100,
        RANGES = 100
    };
    f->config.max_answer_size = 256 << 10;
    reopen(f);
    for (size_t i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%zu", i);
        assert_int_equal(put(f, key, "v", 0).verdict, VERDICT_OK);
    }
    struct kv_op ops[1 + RANGES] = {{.type = KV_OP_PUT}};
    ops[0].put = (struct kv_put_request){.key = bytes_of_str("w"), .value = bytes_of_str("1")};
    for (size_t i = 0; i < RANGES; i++) {
        ops[1 + i].type = KV_OP_RANGE;
        ops[1 + i].range =
            (struct kv_range_request){.key = bytes_of_str("k"), .range_end = bytes_of_str("l")};
    }
    struct store_request q = {.type = STORE_TXN};
    q.txn = (struct kv_txn_request){.success = ops, .success_count = 1 + RANGES};
    struct reply r = ask(f, &q);
    assert_int_equal(r.verdict, VERDICT_ANSWER_TOO_LARGE);
    assert_int_equal(verdict_code(r.verdict), GRPC_UNKNOWN);
    assert_string_equal(get(f, "w").value, "1");
}

static void the_member_keeps_its_identity(void **state)
{
    struct fixture *f = *state;
    struct store_status before, after;
    store_status(f->store, &before);
    assert_true(before.cluster_id != 0 && before.member_id != 0);
    assert_int_equal(before.leader, before.member_id);
    uint64_t cluster = before.cluster_id, member = before.member_id;
    reopen(f);
    store_status(f->store, &after);
    assert_true(after.cluster_id == cluster && after.member_id == member);
    assert_string_equal(after.members[0].name, "n1");
    assert_string_equal(after.members[0].peer_urls[0], peer_urls[0]);
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(put_get_delete),
        STORE_TEST(what_was_acknowledged_is_there_after_a_restart),
        STORE_TEST(history_is_the_same_from_overlay_and_table),
        STORE_TEST(leases_expire_and_take_their_keys),
        STORE_TEST(lease_requests_are_checked),
        STORE_TEST(a_keepalive_of_a_lease_that_is_granted_anew_is_answered),
        STORE_TEST(watches_see_history_and_then_the_present),
        STORE_TEST(a_slow_watcher_is_caught_up_from_disk),
        STORE_TEST(a_watch_below_the_compaction_is_cancelled),
        STORE_TEST(compaction_forgets_what_is_below),
        STORE_TEST(equal_histories_have_equal_hashes),
        STORE_TEST(a_purge_takes_many_transactions_and_all_of_its_rows),
        STORE_TEST(a_full_quota_raises_the_alarm),
        STORE_TEST(a_halted_store_reads_on_refuses_every_write_and_says_so),
        STORE_TEST(an_alarm_is_told_as_not_writable_until_it_is_disarmed),
        STORE_TEST(commits_are_in_etcd_s_two_histograms),
        STORE_TEST(a_hash_is_of_its_revision_whatever_comes_meanwhile),
        STORE_TEST(a_large_range_comes_in_parts_of_one_revision),
        STORE_TEST(reads_that_nobody_waits_for_end),
        STORE_TEST(a_physical_compaction_of_nothing_is_answered),
        STORE_TEST(the_limit_of_operations_is_the_requests),
        STORE_TEST(one_folder_serves_one_store),
        STORE_TEST(an_existing_store_is_demanded),
        STORE_TEST(every_request_is_answered_once_at_the_end),
        STORE_TEST(a_write_whose_answer_is_too_large_is_no_refusal),
        STORE_TEST(the_member_keeps_its_identity),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
