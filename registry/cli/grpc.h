/* gRPC's client side over HTTP/2, without sockets: bytes in, bytes out.
 *
 * A session is one HTTP/2 connection of nghttp2; a stream is one call on it, unary or not. The
 * caller feeds what arrived (grpc_feed) and sends what is to be sent (grpc_pending). Nothing that a
 * server sends can do more than end the session or a call: a message above the limit ends its call
 * with RESOURCE_EXHAUSTED, as grpc-go does, and headers, queued messages and streams have bounds of
 * their own. One thread. */
#ifndef WARREN_CLI_GRPC_H
#define WARREN_CLI_GRPC_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "registry/verdict.h"

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* What we may hold of messages of one stream that nobody took yet, besides the one arriving. */
    GRPC_MAX_QUEUED_MESSAGES = 4096,
    GRPC_MAX_STATUS_MESSAGE = 64 << 10,
    GRPC_WINDOW_SIZE = 1 << 20,
};

struct grpc_session;
struct grpc_stream;

/* A new session to AUTHORITY ("127.0.0.1:2379"); replies above MAX_REPLY_SIZE end their call.
 * ERR_NO_MEMORY. */
enum err grpc_session_create(struct grpc_session **out, const char *authority,
                             size_t max_reply_size) MUST_CHECK;
void grpc_session_destroy(struct grpc_session *s);
/* Bytes from the server. After ERR_MALFORMED or ERR_NO_MEMORY the session is over. */
enum err grpc_feed(struct grpc_session *s, const uint8_t *data, size_t size) MUST_CHECK;
/* The next bytes for the server, borrowed until the next call; size 0: none now. ERR_MALFORMED when
 * the session cannot go on. */
enum err grpc_pending(struct grpc_session *s, struct bytes *out) MUST_CHECK;
/* False once the server said GOAWAY or the session failed: no new stream may start. */
bool grpc_session_is_usable(const struct grpc_session *s);
/* Ends all open streams with UNAVAILABLE and REASON: the connection is gone. */
void grpc_session_lost(struct grpc_session *s, const char *reason);

/* Starts a call of METHOD ("/etcdserverpb.KV/Range"). TIMEOUT_MS > 0 is told to the server.
 * ERR_CLOSED if the session is not usable, ERR_NO_MEMORY. The stream belongs to the caller. */
enum err grpc_stream_create(struct grpc_stream **out, struct grpc_session *s, const char *method,
                            int64_t timeout_ms) MUST_CHECK;
/* Resets the stream if it has not ended. */
void grpc_stream_destroy(struct grpc_stream *stream);
/* Queues one message; ERR_NO_MEMORY, ERR_CLOSED after half-close or the end. */
enum err grpc_stream_send(struct grpc_stream *stream, const ProtobufCMessage *message) MUST_CHECK;
/* No more messages from us. */
void grpc_stream_half_close(struct grpc_stream *stream);
/* The oldest message that arrived: true, and the bytes are the caller's (free(3)). */
bool grpc_stream_take(struct grpc_stream *stream, uint8_t **data, size_t *size);
bool grpc_stream_has_message(const struct grpc_stream *stream);
/* Whether the call ended; its status is then final (messages may still wait to be taken). */
bool grpc_stream_has_ended(const struct grpc_stream *stream);
int grpc_stream_code(const struct grpc_stream *stream);
/* Percent-decoded; "" without one. */
const char *grpc_stream_message(const struct grpc_stream *stream);
/* Whether the server never looked at the call: refused, or above GOAWAY's last stream. */
bool grpc_stream_was_refused(const struct grpc_stream *stream);

/* grpc-message's percent-decoding: a broken escape stays as it is. */
void grpc_decode_message(struct strbuf *out, const char *text, size_t size);

#endif
