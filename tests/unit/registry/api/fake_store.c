#include "fake_store.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_SETTLED = 4,
    MAX_LEASES = 256,
    MAX_EVENTS = 16384,
};

struct entry {
    struct kv kv; /* owns key and value */
    bool is_deleted;
};

struct held {
    struct held *next;
    struct store_request request; /* ids alone: bytes are gone */
    struct store_response response;
    store_done_fn *done;
    void *context;
};

struct store_watch {
    struct store_watch *next;
    struct store *store;
    struct store_watch_request request;
    uint8_t *key, *range_end;
    store_watch_fn *deliver;
    void *context;
    size_t at; /* in the history */
    bool is_waiting;
    bool is_started;
};

struct store {
    struct fake_store fake;
    int64_t revision, compact_revision;
    struct entry *history; /* every change, in order */
    size_t history_count, history_capacity;
    int64_t leases[MAX_LEASES];
    size_t lease_count;
    struct store_watch *watches;
    struct held *held, **last_held;
    struct {
        void (*fn)(void *context);
        void *context;
    } settled[MAX_SETTLED];
    struct kv *answer;
    size_t answer_capacity;
    struct kv_op_response op_answers[KV_MAX_TXN_OPS];
};

static uint8_t *copy(struct bytes b)
{
    uint8_t *data = malloc(b.size + 1);
    assert(data != NULL);
    if (b.size > 0)
        memcpy(data, b.data, b.size);
    return data;
}

struct store *fake_store_create(void)
{
    struct store *s = calloc(1, sizeof(*s));
    assert(s != NULL);
    s->revision = 1;
    s->last_held = &s->held;
    return s;
}

struct fake_store *fake_store_of(struct store *s)
{
    return &s->fake;
}

void fake_store_destroy(struct store *s)
{
    assert(s->watches == NULL);
    s->fake.hold = false;
    fake_store_release(s);
    for (size_t i = 0; i < s->history_count; i++) {
        free((void *)(uintptr_t)s->history[i].kv.key.data);
        free((void *)(uintptr_t)s->history[i].kv.value.data);
    }
    free(s->history);
    free(s->answer);
    free(s);
}

/* --- data ------------------------------------------------------------------------------------- */

/* The newest state of a key; NULL: never there, or deleted. */
static struct entry *newest(struct store *s, struct bytes key)
{
    for (size_t i = s->history_count; i > 0; i--)
        if (bytes_equal(s->history[i - 1].kv.key, key))
            return s->history[i - 1].is_deleted ? NULL : &s->history[i - 1];
    return NULL;
}

static struct entry *append(struct store *s, struct bytes key, struct bytes value)
{
    if (s->history_count == s->history_capacity) {
        s->history_capacity = s->history_capacity > 0 ? 2 * s->history_capacity : 64;
        s->history = realloc(s->history, s->history_capacity * sizeof(struct entry));
        assert(s->history != NULL);
    }
    struct entry *e = &s->history[s->history_count++];
    *e = (struct entry){.kv = {.key = bytes_of(copy(key), key.size),
                               .value = bytes_of(copy(value), value.size),
                               .mod_revision = s->revision}};
    return e;
}

static void put(struct store *s, const struct kv_put_request *r)
{
    struct entry *old = newest(s, r->key);
    int64_t created = old != NULL ? old->kv.create_revision : s->revision;
    int64_t version = old != NULL ? old->kv.version + 1 : 1;
    struct entry *e = append(s, r->key, r->value);
    e->kv.create_revision = created;
    e->kv.version = version;
    e->kv.lease = r->lease;
}

static void grow_answer(struct store *s, size_t count)
{
    if (count <= s->answer_capacity)
        return;
    s->answer_capacity = 2 * count;
    s->answer = realloc(s->answer, s->answer_capacity * sizeof(struct kv));
    assert(s->answer != NULL);
}

/* The keys of a range, into s->answer in key order. */
static size_t find(struct store *s, struct bytes key, struct bytes end)
{
    size_t count = 0;
    if (end.size == 0) {
        const struct entry *e = newest(s, key);
        grow_answer(s, 1);
        if (e != NULL)
            s->answer[count++] = e->kv;
        return count;
    }
    for (size_t i = 0; i < s->history_count; i++) {
        const struct entry *e = &s->history[i];
        if (!kv_range_contains(key, end, e->kv.key) || newest(s, e->kv.key) != e)
            continue;
        size_t at = count++;
        grow_answer(s, count);
        for (; at > 0 && bytes_compare(s->answer[at - 1].key, e->kv.key) > 0; at--)
            s->answer[at] = s->answer[at - 1];
        s->answer[at] = e->kv;
    }
    return count;
}

static void range(struct store *s, struct kv_range_response *out, const struct kv_range_request *r)
{
    size_t count = find(s, r->key, r->range_end);
    *out = (struct kv_range_response){.kvs = s->answer, .kv_count = count, .count = (int64_t)count};
    if (r->limit > 0 && (size_t)r->limit < count) {
        out->kv_count = (size_t)r->limit;
        out->more = true;
    }
    if (r->count_only)
        out->kv_count = 0;
    for (size_t i = 0; i < out->kv_count && r->keys_only; i++)
        s->answer[i].value = BYTES_EMPTY;
}

static bool compare(struct store *s, const struct kv_compare *c)
{
    const struct entry *e = newest(s, c->key);
    int64_t have = 0;
    if (e != NULL)
        have = c->target == KV_COMPARE_VERSION  ? e->kv.version
               : c->target == KV_COMPARE_CREATE ? e->kv.create_revision
               : c->target == KV_COMPARE_MOD    ? e->kv.mod_revision
                                                : e->kv.lease;
    if (c->target == KV_COMPARE_VALUE)
        return e != NULL && (bytes_equal(e->kv.value, c->value) == (c->result == KV_EQUAL));
    return c->result == KV_EQUAL     ? have == c->number
           : c->result == KV_GREATER ? have > c->number
           : c->result == KV_LESS    ? have < c->number
                                     : have != c->number;
}

static size_t delete_range(struct store *s, const struct kv_delete_request *r)
{
    size_t count = find(s, r->key, r->range_end);
    for (size_t i = 0; i < count; i++)
        append(s, s->answer[i].key, BYTES_EMPTY)->is_deleted = true;
    return count;
}

static bool writes(const struct kv_txn_request *t, const struct kv_op *ops, size_t count)
{
    (void)t;
    for (size_t i = 0; i < count; i++)
        if (ops[i].type == KV_OP_PUT || ops[i].type == KV_OP_DELETE)
            return true;
    return false;
}

static void txn(struct store *s, struct kv_txn_response *out, const struct kv_txn_request *t)
{
    out->succeeded = true;
    for (size_t i = 0; i < t->compare_count; i++)
        out->succeeded = out->succeeded && compare(s, &t->compares[i]);
    const struct kv_op *ops = out->succeeded ? t->success : t->failure;
    size_t count = out->succeeded ? t->success_count : t->failure_count;
    if (writes(t, ops, count))
        s->revision++;
    for (size_t i = 0; i < count; i++) {
        struct kv_op_response *r = &s->op_answers[i];
        *r = (struct kv_op_response){.type = ops[i].type, .revision = s->revision};
        if (ops[i].type == KV_OP_PUT)
            put(s, &ops[i].put);
        else if (ops[i].type == KV_OP_DELETE)
            r->del.deleted = (int64_t)delete_range(s, &ops[i].del);
        else if (ops[i].type == KV_OP_RANGE)
            range(s, &r->range, &ops[i].range);
    }
    out->responses = s->op_answers;
    out->response_count = count;
}

/* --- watches ---------------------------------------------------------------------------------- */

static bool wants(const struct store_watch *w, const struct entry *e)
{
    if (!kv_range_contains(w->request.key, w->request.range_end, e->kv.key))
        return false;
    return !(e->is_deleted ? w->request.no_delete : w->request.no_put);
}

/* One revision at a time. False: the watcher has no room, or is over. */
static bool deliver_next(struct store_watch *w)
{
    struct store *s = w->store;
    struct kv_event events[MAX_EVENTS];
    int64_t revision = s->history[w->at].kv.mod_revision;
    size_t count = 0, at = w->at;
    for (; at < s->history_count && s->history[at].kv.mod_revision == revision; at++) {
        struct entry *e = &s->history[at];
        if (!wants(w, e) || revision < w->request.start_revision)
            continue;
        events[count++] =
            (struct kv_event){.type = e->is_deleted ? KV_EVENT_DELETE : KV_EVENT_PUT, .kv = e->kv};
        assert(count < MAX_EVENTS);
    }
    struct store_watch_batch batch = {.revision = revision, .events = events, .event_count = count};
    if (count > 0 && !w->deliver(w->context, &batch)) {
        s->fake.refused_deliveries++;
        w->is_waiting = true;
        return false;
    }
    w->at = at;
    return true;
}

static void unlink_watch(struct store_watch *w)
{
    struct store_watch **at = &w->store->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    w->store->fake.watch_count--;
    free(w->key);
    free(w->range_end);
    free(w);
}

static void deliver_all(struct store_watch *w)
{
    struct store *s = w->store;
    bool is_new = !w->is_started;
    w->is_started = true;
    if (is_new && w->request.start_revision > 0 &&
        w->request.start_revision < s->compact_revision) {
        struct store_watch_batch batch = {.compact_revision = s->compact_revision};
        (void)w->deliver(w->context, &batch);
        unlink_watch(w);
        return;
    }
    while (!w->is_waiting && w->at < s->history_count && deliver_next(w))
        ;
}

void fake_store_settle(struct store *s)
{
    struct store_watch *next;
    for (struct store_watch *w = s->watches; w != NULL; w = next) {
        next = w->next;
        deliver_all(w);
    }
    for (size_t i = 0; i < MAX_SETTLED; i++)
        if (s->settled[i].fn != NULL)
            s->settled[i].fn(s->settled[i].context);
}

enum err store_watch_create(struct store_watch **out, struct store *s,
                            const struct store_watch_request *request, store_watch_fn *deliver,
                            void *context)
{
    struct store_watch *w = calloc(1, sizeof(*w));
    assert(w != NULL);
    w->store = s;
    w->request = *request;
    w->key = copy(request->key);
    w->range_end = copy(request->range_end);
    w->request.key.data = w->key;
    w->request.range_end.data = w->range_end;
    w->deliver = deliver;
    w->context = context;
    w->at = request->start_revision == 0 ? s->history_count : 0;
    w->next = s->watches;
    s->watches = w;
    s->fake.watch_count++;
    *out = w;
    return OK;
}

void store_watch_cancel(struct store_watch *w)
{
    unlink_watch(w);
}

void store_watch_resume(struct store_watch *w)
{
    w->is_waiting = false;
    deliver_all(w);
}

bool store_watch_is_synced(const struct store_watch *w)
{
    return !w->store->fake.unsynced && !w->is_waiting && w->at == w->store->history_count;
}

enum err store_on_settled(struct store *s, void (*fn)(void *context), void *context)
{
    for (size_t i = 0; i < MAX_SETTLED; i++) {
        if (s->settled[i].fn != NULL)
            continue;
        s->settled[i].fn = fn;
        s->settled[i].context = context;
        return OK;
    }
    return ERR_NO_MEMORY;
}

void store_off_settled(struct store *s, void *context)
{
    for (size_t i = 0; i < MAX_SETTLED; i++)
        if (s->settled[i].context == context)
            s->settled[i].fn = NULL;
}

/* --- requests --------------------------------------------------------------------------------- */

static bool has_lease(const struct store *s, int64_t id)
{
    for (size_t i = 0; i < s->lease_count; i++)
        if (s->leases[i] == id)
            return true;
    return false;
}

static void grant(struct store *s, const struct store_request *r, struct store_response *out)
{
    int64_t id = r->grant.id != 0 ? r->grant.id : 1000 + (int64_t)s->lease_count;
    if (has_lease(s, id) || s->lease_count == MAX_LEASES) {
        out->verdict =
            s->lease_count == MAX_LEASES ? VERDICT_TOO_MANY_REQUESTS : VERDICT_LEASE_EXISTS;
        return;
    }
    s->leases[s->lease_count++] = id;
    out->lease.id = id;
    out->lease.ttl_s = r->grant.ttl_s;
}

static void answer_lease(struct store *s, const struct store_request *r, struct store_response *out)
{
    bool found = has_lease(s, r->lease.id);
    if (r->type == STORE_LEASE_TIME_TO_LIVE) {
        out->time_to_live = (struct lease_status){.id = r->lease.id, .ttl_s = found ? 9 : -1};
    } else if (r->type == STORE_LEASE_KEEPALIVE) {
        out->lease.id = r->lease.id;
        out->lease.ttl_s = found ? 10 : 0;
    } else if (!found) {
        out->verdict = VERDICT_LEASE_NOT_FOUND;
    } else {
        for (size_t i = 0; i < s->lease_count; i++)
            if (s->leases[i] == r->lease.id)
                s->leases[i] = s->leases[--s->lease_count];
    }
}

static void answer_kv(struct store *s, const struct store_request *r, struct store_response *out)
{
    switch ((int)r->type) {
    case STORE_RANGE:
        if (r->range.key.size == 0)
            out->verdict = VERDICT_EMPTY_KEY;
        else
            range(s, &out->range, &r->range);
        break;
    case STORE_PUT:
        if (r->put.key.size == 0) {
            out->verdict = VERDICT_EMPTY_KEY;
            break;
        }
        s->revision++;
        put(s, &r->put);
        break;
    case STORE_DELETE:
        s->revision++;
        out->del.deleted = (int64_t)delete_range(s, &r->del);
        s->revision -= out->del.deleted == 0;
        break;
    case STORE_TXN:
        txn(s, &out->txn, &r->txn);
        break;
    default:
        break;
    }
}

static void answer(struct store *s, const struct store_request *r, struct store_response *out)
{
    switch (r->type) {
    case STORE_RANGE:
    case STORE_PUT:
    case STORE_DELETE:
    case STORE_TXN:
        answer_kv(s, r, out);
        break;
    case STORE_COMPACT:
        s->compact_revision = r->compact.revision;
        break;
    case STORE_LEASE_GRANT:
        grant(s, r, out);
        break;
    case STORE_LEASE_REVOKE:
    case STORE_LEASE_KEEPALIVE:
    case STORE_LEASE_TIME_TO_LIVE:
        answer_lease(s, r, out);
        break;
    case STORE_LEASE_LIST:
        out->leases.ids = s->leases;
        out->leases.count = s->lease_count;
        break;
    case STORE_ALARM:
        out->alarms.alarms = &s->fake.alarm;
        out->alarms.count = s->fake.alarm.type != ALARM_NONE;
        break;
    case STORE_HASH:
        out->hash.hash = 4711;
        out->hash.compact_revision = -1;
        out->hash.hash_revision = s->revision;
        break;
    case STORE_DEFRAG:
        break;
    }
}

/* A held answer is made at once and keeps no bytes: puts and leases are what tests hold. */
static void hold(struct store *s, const struct store_response *response, store_done_fn *done,
                 void *context)
{
    struct held *h = calloc(1, sizeof(*h));
    assert(h != NULL);
    h->response = *response;
    h->done = done;
    h->context = context;
    *s->last_held = h;
    s->last_held = &h->next;
    s->fake.held_count++;
}

/* The kvs go before the answer. */
static void give_parts(struct store *s, const struct store_request *request,
                       struct store_response *response, void *context)
{
    struct store_part part = {.revision = s->revision};
    enum store_part_fate fate = request->part(context, &part);
    for (size_t i = 0; fate == STORE_PART_TAKEN && i < response->range.kv_count; i++) {
        part.kvs = &response->range.kvs[i];
        part.kv_count = 1;
        fate = request->part(context, &part);
    }
    response->range.kvs = NULL;
    response->range.kv_count = 0;
    s->fake.late_count += fate == STORE_PART_LATER;
    if (fate != STORE_PART_TAKEN)
        response->verdict = fate == STORE_PART_LATER ? VERDICT_TOO_MANY_REQUESTS : VERDICT_STOPPED;
}

void store_cancel(struct store *s, void *context)
{
    (void)context;
    s->fake.cancel_count++;
}

void store_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                  void *context)
{
    struct store_response response;
    memset(&response, 0, sizeof(response));
    response.verdict = s->fake.refuse;
    s->fake.submit_count++;
    s->fake.type_counts[request->type]++;
    if (response.verdict == VERDICT_OK)
        answer(s, request, &response);
    if (s->fake.parts && request->part != NULL && response.verdict == VERDICT_OK)
        give_parts(s, request, &response, context);
    response.revision = s->revision;
    response.term = FAKE_TERM;
    if (s->fake.hold)
        hold(s, &response, done, context);
    else
        done(context, &response);
    fake_store_settle(s);
}

void fake_store_release(struct store *s)
{
    while (s->held != NULL) {
        struct held *h = s->held;
        s->held = h->next;
        if (s->held == NULL)
            s->last_held = &s->held;
        s->fake.held_count--;
        h->done(h->context, &h->response);
        free(h);
    }
}

void fake_store_put(struct store *s, const char *key, const void *value, size_t size)
{
    s->revision++;
    put(s, &(struct kv_put_request){.key = bytes_of_str(key), .value = bytes_of(value, size)});
    fake_store_settle(s);
}

void fake_store_put_many(struct store *s, size_t count, const void *value, size_t size)
{
    s->revision++;
    for (size_t i = 0; i < count; i++) {
        char key[32];
        snprintf(key, sizeof(key), "k%zu", i);
        put(s, &(struct kv_put_request){.key = bytes_of_str(key), .value = bytes_of(value, size)});
    }
    fake_store_settle(s);
}

void store_status(struct store *s, struct store_status *out)
{
    static const char *const peers[] = {"http://localhost:2380"};
    static const char *const clients[] = {"http://localhost:2379"};
    static const struct store_member member = {.id = FAKE_MEMBER,
                                               .name = "default",
                                               .peer_urls = peers,
                                               .peer_url_count = 1,
                                               .client_urls = clients,
                                               .client_url_count = 1};
    *out = (struct store_status){
        .cluster_id = FAKE_CLUSTER,
        .member_id = FAKE_MEMBER,
        .leader = s->fake.no_leader ? 0 : FAKE_MEMBER,
        .term = FAKE_TERM,
        .raft_index = (uint64_t)s->revision + 10,
        .raft_applied = (uint64_t)s->revision + 10,
        .revision = s->revision,
        .compact_revision = s->compact_revision,
        .database_size = 20480,
        .in_use_size = 16384,
        .quota_size = UINT64_C(2) << 30,
        .alarms = &s->fake.alarm,
        .alarm_count = s->fake.alarm.type != ALARM_NONE,
        .failure = s->fake.failure != NULL ? s->fake.failure : "",
        .members = &member,
        .member_count = 1,
        .watch_count = s->fake.watch_count,
    };
}
