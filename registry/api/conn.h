/* One HTTP/2 connection of a client: bytes in, bytes out, no socket (server.h). */
#ifndef WARREN_REGISTRY_API_CONN_H
#define WARREN_REGISTRY_API_CONN_H

#include "base/bytes.h"
#include "base/err.h"
#include "budget.h"
#include "outbuf.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONN_FRAME_RESERVE = 32 << 10, /* what one frame may add beyond conn_produce's limit */
    CONN_MAX_QUEUED_FRAMES = 2000, /* answers to the client's frames; beyond it no more is read */
    CONN_MAX_UNSENT = 32 << 20,    /* beyond it unary messages and watches wait */
    CONN_HANDSHAKE_MS = 10 * 1000,
    CONN_KEEPALIVE_MS = 2 * 3600 * 1000, /* a ping after so long without a byte from the client */
    CONN_KEEPALIVE_WAIT_MS = 20 * 1000,
};

struct call;
struct server;

struct conn {
    struct server *server;
    struct conn *next, *previous; /* of the server */
    void *owner;                  /* whose socket it is */
    nghttp2_session *session;
    struct budget budget;
    struct call *calls;
    size_t call_count;
    size_t held_size;   /* incomplete messages */
    size_t unsent_size; /* of all calls */
    size_t parked_count;
    struct call *building;  /* the call with an unfinished message: one at a time */
    unsigned starved_count; /* calls with wants_room */
    uint64_t created_ms;
    uint64_t heard_ms;
    uint64_t pinged_ms; /* 0: no keepalive ping is out */
    unsigned continuation_count;
    bool is_greeted; /* the client's first SETTINGS came */
    bool is_ready;   /* the owner was woken */
    bool is_ending;  /* GOAWAY was submitted for good */
    bool is_told;    /* and sent, for a fault of the client's: nothing follows */
    bool has_more;   /* conn_produce stopped at its limit */
    bool failed;
    struct outbuf *target; /* of conn_produce */
    size_t target_limit;
};

enum err conn_create(struct conn **out, struct server *s, void *owner) MUST_CHECK;
/* Calls without an answer become orphans. */
void conn_destroy(struct conn *c);
/* Bytes from the client. False: nothing more is wanted; what conn_produce gives may still be sent.
 */
bool conn_feed(struct conn *c, struct bytes data);
/* Adds what is to be sent to OUT until it holds LIMIT bytes or so. False: the connection is broken.
 */
bool conn_produce(struct conn *c, struct outbuf *out, size_t limit) MUST_CHECK;
/* Whether the client has to read before more of its bytes are looked at. */
bool conn_is_clogged(const struct conn *c);
/* Nothing more comes or goes: to be closed once all is sent. */
bool conn_is_over(const struct conn *c);
/* Whether it has earned to be closed by now: no handshake, no answer to a ping. Sends pings. */
bool conn_check_time(struct conn *c);
/* Answers open calls with "server stopped", tells the client to go away. */
void conn_shut_down(struct conn *c);
/* GOAWAY with a reason. */
void conn_terminate(struct conn *c, uint32_t error_code, const char *reason);

/* --- for calls -------------------------------------------------------------------------------- */

void conn_wake(struct conn *c);
/* Bytes of messages that were added, or sent or dropped. */
void conn_add_unsent(struct conn *c, size_t size);
void conn_take_unsent(struct conn *c, size_t size);
/* Whether more may be added for a stream that has STREAM_UNSENT bytes, of at most STREAM_LIMIT. */
bool conn_has_room(const struct conn *c, size_t stream_unsent, size_t stream_limit);
/* Memory for an incomplete message: false when it is refused. At the server's bound the connection
 * that holds most has to go. */
bool conn_hold(struct conn *c, size_t size);
void conn_unhold(struct conn *c, size_t size);
/* The response's headers, and its end if it is known and no message goes before it. ERR_NO_MEMORY.
 */
enum err conn_submit_response(struct conn *c, struct call *call) MUST_CHECK;

#endif
