/* HTTP/1.1 on the API's port: /health, /livez, /readyz, /version and /metrics, by libmicrohttpd on
 * the loop, without threads.
 *
 * Clients are not trusted: connections, header sizes, body sizes and idle times are bounded. */
#ifndef WARREN_REGISTRY_API_HTTP1_H
#define WARREN_REGISTRY_API_HTTP1_H

#include "base/err.h"
#include "base/strbuf.h"

#include <uv.h>

enum {
    HTTP1_MAX_CONNECTIONS = 128,        /* one more closes the oldest */
    HTTP1_CONNECTION_MEMORY = 16 << 10, /* of a request's line and headers */
    HTTP1_MAX_BODY = 64 << 10,          /* of a request; ignored, and beyond it the client closed */
    HTTP1_IDLE_S = 60,
};

struct http1;
struct server;

enum err http1_create(struct http1 **out, struct server *s, uv_loop_t *loop) MUST_CHECK;
/* Takes FD, whose request was not read yet. */
void http1_take(struct http1 *h, int fd);
/* DONE runs when the loop has closed the handles. */
void http1_close(struct http1 *h, void (*done)(void *context), void *context);

#endif
