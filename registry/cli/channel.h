/* A blocking gRPC client: one connection at a time, to the first endpoint that answers. */
#ifndef WARREN_CLI_CHANNEL_H
#define WARREN_CLI_CHANNEL_H

#include "base/err.h"
#include "base/strbuf.h"
#include "grpc.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CHANNEL_MAX_ENDPOINTS = 64,
};

struct channel_options {
    const char *const *endpoints; /* "host:port", as endpoint_address gives them; borrowed */
    size_t endpoint_count;
    int64_t dial_timeout_ms;
    size_t max_reply_size;
    size_t max_request_size;
};

/* What became of a call. */
struct call_status {
    int code; /* enum grpc_code, or another of the server's */
    struct strbuf message;
};

struct channel;

enum err channel_create(struct channel **out, const struct channel_options *options) MUST_CHECK;
void channel_destroy(struct channel *c);

/* The "host:port" of an endpoint that a user gave: bare, or http://host:port with nothing behind.
 * Port 2379 without one. ERR_UNSUPPORTED for https:// and unix://, ERR_MALFORMED; WHY gets a line.
 */
enum err endpoint_address(struct strbuf *out, const char *text, struct strbuf *why) MUST_CHECK;

/* Milliseconds of a clock that only goes forward. */
int64_t channel_now_ms(void);

/* One request, one reply, until DEADLINE_MS (0: none). Calls that surely were not processed, and
 * others if IS_READ, are tried again on the next endpoint. OK: REPLY is the caller's. Else STATUS
 * says why: ERR_REFUSED for every verdict of the server or the deadline. */
enum err channel_call(struct channel *c, const char *method, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *reply_type, int64_t deadline_ms,
                      bool is_read, ProtobufCMessage **reply,
                      struct call_status *status) MUST_CHECK;

/* The two halves of a call, for work between them: the request goes out, and channel_finish, which
 * ends the stream in every case, waits for the reply. *WAS_REFUSED: it was surely not processed.
 * Nothing is tried again. Errors as channel_open_stream's and channel_call's; ERR_LIMIT: the
 * request is larger than it may be. */
enum err channel_start(struct channel *c, const char *method, const ProtobufCMessage *request,
                       int64_t deadline_ms, struct grpc_stream **out) MUST_CHECK;
enum err channel_finish(struct channel *c, struct grpc_stream *stream,
                        const ProtobufCMessageDescriptor *reply_type, int64_t deadline_ms,
                        ProtobufCMessage **reply, struct call_status *status,
                        bool *was_refused) MUST_CHECK;

/* A stream on a connected channel. ERR_TIMEOUT if no endpoint answered until DEADLINE_MS. */
enum err channel_open_stream(struct channel *c, const char *method, int64_t deadline_ms,
                             struct grpc_stream **out) MUST_CHECK;
/* Waits until the stream has a message or ended, OTHER_FD (-1: none) is readable, or the deadline
 * (ERR_TIMEOUT). A lost connection ends the stream. */
enum err channel_wait(struct channel *c, struct grpc_stream *stream, int other_fd,
                      int64_t deadline_ms, bool *other_is_ready) MUST_CHECK;
/* Sends what is queued without waiting for an answer. */
void channel_flush(struct channel *c, int64_t deadline_ms);
/* What went wrong with the last connection attempt; "" if nothing did. */
const char *channel_trouble(const struct channel *c);

#endif
