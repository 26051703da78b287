/* What all connections of the API share, free of sockets and of the loop: whoever drives them gives
 * the time, carries bytes, and is told which connection has something to send.
 *
 * A connection (conn.h) is HTTP/2, a call (call.h) one gRPC method on one stream of it, a method
 * (services.h) what to do with its messages. All of it is for the loop thread. */
#ifndef WARREN_REGISTRY_API_SERVER_H
#define WARREN_REGISTRY_API_SERVER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/metrics.h"
#include "counters.h"
#include "deadlines.h"
#include "encode.h"
#include "event_cache.h"
#include "registry/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SERVER_SPARE_CALLS = 4096,           /* kept for reuse */
    SERVER_MAX_CALLS = 200 * 1000,       /* of all connections; beyond it streams are refused */
    SERVER_MAX_HELD = 256 << 20,         /* incomplete messages of all connections */
    SERVER_MAX_CONN_HELD = 64 << 20,     /* of one */
    SERVER_MAX_UNSENT = 512 << 20,       /* of all; beyond it each waits for its own to be sent */
    SERVER_MAX_ANSWERS = 1 << 30,        /* of all; beyond it the one that has most is closed */
    SERVER_DECODE_LIMIT = 16 << 20,      /* a decoded request, protobuf-c's own needs included */
    SERVER_PROGRESS_MS = 10 * 60 * 1000, /* progress notices; up to a tenth more, by chance */
};

struct call;
struct conn;
struct watch_stream;

struct server {
    struct store *store;
    uint64_t now_ms;
    size_t max_txn_ops;
    size_t max_request_size;
    /* CONN has something to send, told once until conn_produce. */
    void (*wake)(struct conn *conn);

    struct reply_header identity; /* cluster, member, and the newest term seen; no revision */
    struct counters counters;
    struct arena arena; /* of one request's decoding */
    struct deadlines deadlines;
    struct event_cache event_cache;
    struct call *spare_calls;
    struct call *orphans; /* calls without a stream that the store owes an answer */
    size_t spare_call_count;
    size_t call_count; /* in use, those without a stream included */
    size_t held_size;
    size_t unsent_size;
    struct conn *conns;
    struct watch_stream *watch_streams;
    size_t progress_wanted_count; /* streams that wait to be told that they have everything */
    uint64_t random;              /* of jitter alone: nothing secret */
    bool is_closing;
};

/* With default limits for requests. Registers metrics in M. ERR_NO_MEMORY. */
enum err server_init(struct server *s, struct store *store, struct metrics *m,
                     uint64_t now_ms) MUST_CHECK;
/* After all connections are gone and before the store is: it is not called any more. */
void server_stop(struct server *s);
/* After server_stop. Calls that the store still owes an answer free themselves. */
void server_fini(struct server *s);
/* Ends calls whose deadline has come. Returns when the next comes, UINT64_MAX: none. */
uint64_t server_run_deadlines(struct server *s);
/* About once a second: what depends on the store's state and on slow clocks. */
void server_tick(struct server *s);
struct reply_header server_header(const struct server *s, int64_t revision);
bool server_has_leader(struct server *s);
/* A number that a client cannot know and need not be kept from. */
uint64_t server_random(struct server *s);

/* --- for calls -------------------------------------------------------------------------------- */

void server_add_orphan(struct server *s, struct call *c);
void server_remove_orphan(struct call *c);

#endif
