#include "server.h"

#include "call.h"
#include "watch.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>

enum err server_init(struct server *s, struct store *store, struct metrics *m, uint64_t now_ms)
{
    *s = (struct server){
        .store = store,
        .now_ms = now_ms,
        .max_txn_ops = KV_MAX_TXN_OPS,
        .max_request_size = KV_MAX_REQUEST_SIZE,
    };
    enum err e = counters_init(&s->counters, m);
    if (e != OK)
        return e;
    /* Jitter alone hangs on it: without entropy the time does. */
    if (getrandom(&s->random, sizeof(s->random), GRND_NONBLOCK) != (ssize_t)sizeof(s->random))
        s->random = now_ms;
    arena_init(&s->arena, SERVER_DECODE_LIMIT);
    e = watch_server_init(s);
    if (e != OK) {
        counters_fini(&s->counters);
        return e;
    }
    struct store_status status;
    store_status(store, &status);
    s->identity = (struct reply_header){
        .cluster_id = status.cluster_id, .member_id = status.member_id, .term = status.term};
    return OK;
}

void server_stop(struct server *s)
{
    watch_server_fini(s);
}

void server_fini(struct server *s)
{
    while (s->spare_calls != NULL) {
        struct call *c = s->spare_calls;
        s->spare_calls = c->next;
        outbuf_fini(&c->out);
        free(c);
    }
    /* The store answers them later: they free themselves. */
    for (struct call *c = s->orphans; c != NULL; c = c->next)
        c->server = NULL;
    assert(s->held_size == 0);
    deadlines_fini(&s->deadlines);
    event_cache_fini(&s->event_cache);
    arena_fini(&s->arena);
    counters_fini(&s->counters);
}

uint64_t server_run_deadlines(struct server *s)
{
    for (;;) {
        struct deadline *first = deadlines_first(&s->deadlines);
        if (first == NULL)
            return UINT64_MAX;
        if (first->at_ms > s->now_ms)
            return first->at_ms;
        struct call *c = (struct call *)first; /* its first member */
        deadlines_remove(&s->deadlines, first);
        call_end(c, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    }
}

void server_tick(struct server *s)
{
    struct store_status status;
    store_status(s->store, &status);
    s->identity.cluster_id = status.cluster_id;
    s->identity.member_id = status.member_id;
    s->identity.term = status.term;
    watch_server_tick(s, status.leader != 0);
}

struct reply_header server_header(const struct server *s, int64_t revision)
{
    struct reply_header h = s->identity;
    h.revision = revision;
    return h;
}

bool server_has_leader(struct server *s)
{
    struct store_status status;
    store_status(s->store, &status);
    return status.leader != 0;
}

uint64_t server_random(struct server *s)
{
    /* splitmix64 */
    uint64_t z = s->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    return z ^ z >> 31;
}

void server_add_orphan(struct server *s, struct call *c)
{
    c->next = s->orphans;
    if (c->next != NULL)
        c->next->previous = c;
    s->orphans = c;
}

void server_remove_orphan(struct call *c)
{
    if (c->next != NULL)
        c->next->previous = c->previous;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else if (c->server != NULL)
        c->server->orphans = c->next;
    c->next = c->previous = NULL;
}
