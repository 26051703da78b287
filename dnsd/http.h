/* The HTTP/1.1 side of a daemon: /health, /ready and /metrics, on libmicrohttpd.
 *
 * An instance has one server per listen address, however many directives and blocks name it; each
 * server has routes (exact paths) and one thread of its own, so nothing here ever holds up DNS. A
 * reload passes the listening socket on: the new instance's server accepts from the same queue
 * before the old one stops, so no connection is refused or lost.
 *
 * Replies are those of Go's ServeMux: any method, 404 "404 page not found", a path that only needs
 * cleaning is redirected. Clients are not trusted: connections, header sizes and idle times are
 * bounded; at the connection bound the oldest connection makes room for a new one.
 *
 * All functions are for the thread that runs an instance's setups and hooks. */
#ifndef WARREN_DNSD_HTTP_H
#define WARREN_DNSD_HTTP_H

#include "base/err.h"
#include "base/strbuf.h"
#include "dnsd/instance.h"

#include <stdbool.h>
#include <sys/socket.h>

enum {
    HTTP_MAX_CONNECTIONS = 128,      /* per server; one more closes the oldest */
    HTTP_MAX_HEADER_SIZE = 16 << 10, /* a request's line and headers; beyond it 431 or 414 */
    HTTP_MAX_UPLOAD_SIZE =
        256 << 10, /* of a request's ignored body; beyond it the connection ends */
    HTTP_IDLE_TIMEOUT_S = 60,
    HTTP_DRAIN_MS = 500, /* what a stopping server gives requests that are on their way */
};

enum http_status {
    HTTP_OK = 200,
    HTTP_MOVED_PERMANENTLY = 301,
    HTTP_NOT_FOUND = 404,
    HTTP_SERVICE_UNAVAILABLE = 503,
};

struct http_response {
    unsigned status;          /* HTTP_OK unless changed */
    const char *content_type; /* static; text/plain; charset=utf-8 unless changed */
    struct strbuf body;
};

/* Fills RESPONSE, which starts empty. Runs on the server's thread. */
typedef void http_handler_fn(void *context, struct http_response *response);

/* Declares that PATH (a static string) is to be served at ADDRESS ("localhost:9153", ":8080";
 * borrowed until the instance ends). For setups: nothing is opened yet, and so a server starts with
 * all its routes. Of several declarations of one path at one address the first counts.
 * ERR_NO_MEMORY. */
enum err http_route_add(struct instance *inst, const char *address, const char *path,
                        http_handler_fn *fn, void *context) MUST_CHECK;
/* For start hooks: listens at ADDRESS, unless this instance does already, and serves what was
 * declared for it. BOUND (NULL: not wanted) gets the socket's address. On failure ERROR holds Go's
 * text
 * ("listen tcp :8080: bind: address already in use") and the result is ERR_ADDRESS_IN_USE,
 * ERR_PERMISSION, ERR_MALFORMED, ERR_NOT_FOUND (host or port name), ERR_NO_MEMORY or ERR_IO. */
enum err http_open(struct instance *inst, const char *address, struct sockaddr_storage *bound,
                   struct strbuf *error) MUST_CHECK;
/* Ends the routes of this path and context; no call of them is running on return. A server without
 * routes stops. */
void http_route_remove(struct instance *inst, const char *path, const void *context);

#endif
