/* The front door: etcd's v3 API over gRPC (nghttp2, protobuf-c), and /health, /version, /metrics
 * over HTTP/1.1 (libmicrohttpd) on the same port, told apart by HTTP/2's preface.
 *
 * Everything runs on the loop thread. A client is not trusted: connections, streams, header sizes,
 * message sizes, unsent bytes of a stream and of a connection, and rates of cheap frames are
 * bounded by the enum below; at a bound the stream is reset, the connection is told to go away, or
 * its socket is not read from until it reads. A watch whose stream is full is caught up from
 * history, never buffered. */
#ifndef WARREN_REGISTRY_API_H
#define WARREN_REGISTRY_API_H

#include "base/err.h"
#include "base/metrics.h"
#include "base/strbuf.h"
#include "registry/store.h"

#include <stddef.h>
#include <uv.h>

enum {
    API_MAX_CONNECTIONS = 4096,
    API_MAX_STREAMS = 10000,           /* concurrent, of one connection */
    API_MESSAGE_OVERHEAD = 512 << 10,  /* gRPC, received: this above a request; larger: code 8 */
    API_MAX_HEADER_SIZE = 16 << 10,    /* of one request, decoded */
    API_MAX_ANSWER_SIZE = 1 << 30,     /* of one message; larger: code 8 */
    API_MAX_STREAM_UNSENT = 512 << 10, /* of a watch; beyond it the watcher waits */
};

struct api;

struct api_config {
    uv_loop_t *loop;
    struct store *store;
    struct metrics *metrics;
    const char *const *listen_urls; /* http://HOST:PORT, --listen-client-urls */
    size_t listen_url_count;
    size_t max_txn_ops;      /* --max-txn-ops; 0: KV_MAX_TXN_OPS; at most KV_TXN_OPS_LIMIT */
    size_t max_request_size; /* --max-request-bytes; 0: KV_MAX_REQUEST_SIZE; at most
                              * KV_REQUEST_SIZE_LIMIT */
};

/* Listens. ERROR gets lines for a user. ERR_UNSUPPORTED: an https:// or unix:// URL;
 * ERR_MALFORMED, ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_IO, ERR_NO_MEMORY. */
enum err api_create(struct api **out, const struct api_config *config,
                    struct strbuf *error) MUST_CHECK;
/* Tells clients to go away and closes. The loop has to run afterwards until the handles are
 * closed; the memory is freed then. */
void api_close(struct api *a);
/* The port that listen URL INDEX got (its own or, for port 0, the kernel's). */
uint16_t api_port(const struct api *a, size_t index);

#endif
