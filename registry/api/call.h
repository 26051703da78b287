/* One gRPC call: a stream of HTTP/2 with the messages that come in and go out on it.
 *
 * A call lives until its stream is closed and the store owes it no answer: `pending` counts the
 * requests that were submitted with the call as their context. A stream that dies first leaves an
 * orphan, which the last answer frees.
 *
 * Messages go straight into the call's unsent bytes; the connection takes them from there as the
 * peer's windows allow. */
#ifndef WARREN_REGISTRY_API_CALL_H
#define WARREN_REGISTRY_API_CALL_H

#include "base/bytes.h"
#include "deadlines.h"
#include "grpc.h"
#include "outbuf.h"
#include "registry/store.h"
#include "registry/verdict.h"
#include "request_head.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CALL_STATUS_TEXT_SIZE = 512, /* a status message; cut beyond it */
    CALL_KEPT_OUT = 4096,        /* memory that a spare call keeps */
};

struct call;
struct conn;
struct method;
struct server;

/* Bytes of a message that is not complete. */
struct call_input {
    uint8_t prefix[GRPC_PREFIX_SIZE];
    size_t prefix_size;
    size_t message_size; /* once the prefix is complete */
    uint8_t *data;
    size_t size;
    size_t capacity; /* counted in the connection's and the server's held_size */
};

struct call {
    struct deadline deadline; /* first: the heap gives it back */
    struct server *server;
    struct conn *conn; /* NULL: an orphan */
    struct call *next, *previous;
    int32_t stream_id;
    const struct method *method; /* NULL: unknown */
    uint64_t created_ms;
    unsigned pending; /* answers that the store owes */

    /* From the request's headers. */
    struct request_head head;
    size_t header_size;
    bool is_post, is_grpc, is_encoded, wants_leader, has_timeout;
    uint64_t timeout_ms;

    bool is_open;     /* messages are wanted: headers were fine, and no end yet */
    bool is_answered; /* unary: its one message came */
    bool is_half_closed;
    bool is_building; /* a message that has begun and is not complete is all that `out` holds */
    bool is_parked;   /* its message waits in `input` until the connection has sent more */
    struct call_input input;

    struct outbuf out;
    bool is_submitted;    /* the response's headers */
    bool is_deferred;     /* the session waits to be told that there is data */
    bool is_ended;        /* the status is known, nothing more goes out behind it */
    bool wants_room;      /* the service is to be told when `out` has been sent */
    unsigned http_status; /* 0: 200 */
    enum grpc_code code;
    char *status_text; /* percent-encoded, on the heap; NULL: none */

    void *state; /* the service's own */
};

/* What a gRPC method does. Indexes are those of the table in services.c. */
struct method {
    const char *path; /* "/etcdserverpb.KV/Range" */
    bool is_stream;   /* any number of messages from the client */
    /* A whole message, borrowed for the call. */
    void (*on_message)(struct call *c, struct bytes message);
    /* The client sends nothing more; NULL: nothing happens. Streams only. */
    void (*on_half_close)(struct call *c);
    /* The call ended or its stream died, once; NULL: nothing is kept in `state`. */
    void (*on_end)(struct call *c);
    /* The unsent bytes went, after wants_room. */
    void (*on_room)(struct call *c);
};

/* --- for connections -------------------------------------------------------------------------- */

/* NULL without memory. */
struct call *call_create(struct server *s, struct conn *conn, int32_t stream_id);
/* A header of the request. False: a bound is passed, or it makes the request malformed. */
bool call_header(struct call *c, struct bytes name, struct bytes value);
/* Whether what every request needs was among them. */
bool call_has_headers(const struct call *c);
/* All headers were there: the call is refused at once, or messages may come. */
void call_start(struct call *c);
void call_data(struct call *c, struct bytes data);
void call_half_close(struct call *c);
/* Handles the message that call_data parked. */
void call_unpark(struct call *c);
/* The stream is gone: the call is freed, now or with its last answer. */
void call_detach(struct call *c);

/* --- for services ----------------------------------------------------------------------------- */

/* Begins a message of SIZE bytes: the caller fills them in before it does anything else. NULL: no
 * memory, the call has been ended. */
uint8_t *call_message(struct call *c, size_t size);
/* The same, but without memory the connection fails instead and the call has not ended: for where a
 * service's state has to stay for the moment. */
uint8_t *call_message_or_fail(struct call *c, size_t size);
/* A unary answer whose size is known at its end alone. Begins it; false: the connection has another
 * one under way, or too much unsent. */
bool call_message_begin(struct call *c);
/* SIZE more bytes of it, as call_message. NULL: no memory, or too much of it; the call was ended.
 */
uint8_t *call_message_more(struct call *c, size_t size);
/* It is complete. */
void call_message_end(struct call *c);
/* Whether somebody still wants an answer. */
bool call_is_wanted(const struct call *c);
/* Has the service told once most of the unsent bytes went. */
void call_want_room(struct call *c);
/* Ends the call with a status; TEXT as it is for a client to read. Ignored after the first. */
void call_end(struct call *c, enum grpc_code code, const char *text);
void call_end_format(struct call *c, enum grpc_code code, const char *format, ...)
    PRINTF_LIKE(3, 4);
/* "etcdserver: " and the verdict. */
void call_end_verdict(struct call *c, enum verdict v);
/* Submits with the call as context; DONE has to begin with call_take_answer. */
void call_submit(struct call *c, const struct store_request *request, store_done_fn *done);
/* The call an answer is for, NULL if nobody waits for it any more. A verdict other than OK ends the
 * call here and gives NULL, too. */
struct call *call_take_answer(void *context, const struct store_response *response);
/* The same without looking at the verdict. */
struct call *call_take_any_answer(void *context, const struct store_response *response);

#endif
