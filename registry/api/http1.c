#include "http1.h"

#include "probes.h"
#include "server.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    /* libmicrohttpd refuses at its own bound; ours is lower, so that it never does. */
    CONNECTION_SLACK = 16,
};

struct connection {
    struct connection *newer, *older;
    int fd;
};

struct http1 {
    uv_poll_t poll;
    uv_timer_t timer;
    uv_loop_t *loop;
    struct server *server;
    struct MHD_Daemon *daemon;
    struct connection *newest, *oldest;
    size_t connection_count; /* without evicted ones */
    unsigned open_handles;
    void (*done)(void *context);
    void *context;
};

struct reply {
    unsigned status;
    const char *content_type;
    struct strbuf body;
};

static const char json[] = "application/json";
static const char text[] = "text/plain; charset=utf-8";

/* --- paths ------------------------------------------------------------------------------------ */

struct exclusion {
    const char *name;
    bool found;
};

static enum MHD_Result match_exclusion(void *context, enum MHD_ValueKind kind, const char *key,
                                       const char *value)
{
    (void)kind;
    struct exclusion *e = context;
    if (strcmp(key, "exclude") == 0 && value != NULL && strcmp(value, e->name) == 0)
        e->found = true;
    return MHD_YES;
}

/* ?exclude=NOSPACE, any number of times */
static bool excludes(void *context, const char *alarm)
{
    struct exclusion e = {.name = alarm};
    MHD_get_connection_values(context, MHD_GET_ARGUMENT_KIND, match_exclusion, &e);
    return e.found;
}

static void answer_health(struct http1 *h, struct MHD_Connection *connection, struct reply *r)
{
    const char *serializable =
        MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "serializable");
    struct probe_options options = {
        .is_serializable = serializable != NULL && strcmp(serializable, "true") == 0,
        .excludes = excludes,
        .context = connection,
    };
    struct store_status status;
    store_status(h->server->store, &status);
    r->content_type = json;
    if (!probe_health(&r->body, &status, &options))
        r->status = MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void answer_ready(struct http1 *h, struct reply *r)
{
    struct store_status status;
    store_status(h->server->store, &status);
    bool is_ready = status.leader != 0 && status.failure[0] == '\0';
    strbuf_add_str(&r->body, is_ready ? "ok\n" : "not ready\n");
    if (!is_ready)
        r->status = MHD_HTTP_SERVICE_UNAVAILABLE;
}

static void answer_metrics(struct http1 *h, struct reply *r)
{
    struct store_status status;
    store_status(h->server->store, &status);
    r->content_type = "text/plain; version=0.0.4; charset=utf-8";
    probe_metrics(&r->body, h->server->counters.metrics, &status);
}

static void answer_missing(const char *path, struct reply *r)
{
    r->status = MHD_HTTP_NOT_FOUND;
    if (strncmp(path, "/v3/", 4) == 0 || strncmp(path, "/v3alpha/", 9) == 0 ||
        strncmp(path, "/v3beta/", 8) == 0)
        strbuf_add_str(&r->body, "the JSON gateway is not supported by this server: use gRPC\n");
    else
        strbuf_add_str(&r->body, "404 page not found\n");
}

static void answer(struct http1 *h, struct MHD_Connection *connection, const char *path,
                   const char *method, struct reply *r)
{
    bool is_read =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    bool is_known = true;
    if (strcmp(path, "/health") == 0)
        answer_health(h, connection, r);
    else if (strcmp(path, "/metrics") == 0)
        answer_metrics(h, r);
    else if (strcmp(path, "/readyz") == 0)
        answer_ready(h, r);
    else if (strcmp(path, "/livez") == 0)
        strbuf_add_str(&r->body, "ok\n");
    else if (strcmp(path, "/version") == 0) {
        r->content_type = json;
        probe_version(&r->body);
    } else {
        is_known = false;
        answer_missing(path, r);
    }
    if (is_known && !is_read) {
        r->status = MHD_HTTP_METHOD_NOT_ALLOWED;
        r->content_type = text;
        strbuf_clear(&r->body);
        strbuf_add_str(&r->body, "Method Not Allowed\n");
    }
}

/* --- libmicrohttpd ---------------------------------------------------------------------------- */

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct reply *r)
{
    size_t size = r->body.size;
    char *body = strbuf_take(&r->body);
    if (body == NULL)
        return MHD_NO; /* no memory: the connection ends */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->content_type);
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (r->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET");
    enum MHD_Result queued = MHD_queue_response(connection, r->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* Called with the headers, then with pieces of a body, which is ignored up to its bound, and at its
 * end. *STATE counts: it is how much came, plus one. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection,
                                  const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    size_t taken = (size_t)(uintptr_t)*state;
    if (taken == 0 || *upload_size > 0) {
        taken += taken == 0 ? 1 : *upload_size;
        *upload_size = 0;
        *state = (void *)(uintptr_t)taken;
        return taken <= HTTP1_MAX_BODY ? MHD_YES : MHD_NO;
    }
    struct reply r = {.status = MHD_HTTP_OK, .content_type = text};
    answer(context, connection, path, method, &r);
    return send_reply(connection, &r);
}

static void on_timer(uv_timer_t *timer);

/* Lets libmicrohttpd do what there is to do, and asks when it wants its next turn. */
static void run(struct http1 *h)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    (void)MHD_run(h->daemon);
    if (MHD_get_timeout(h->daemon, &wait_ms) == MHD_YES)
        (void)uv_timer_start(&h->timer, on_timer, wait_ms, 0);
    else
        (void)uv_timer_stop(&h->timer);
}

static void on_timer(uv_timer_t *timer)
{
    run(timer->data);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    run(poll->data);
}

static void unlink_connection(struct http1 *h, struct connection *c)
{
    if (c->newer != NULL)
        c->newer->older = c->older;
    else
        h->newest = c->older;
    if (c->older != NULL)
        c->older->newer = c->newer;
    else
        h->oldest = c->newer;
    h->connection_count--;
}

/* Keeps the connections by age. One that was evicted is off the list and has fd -1. */
static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http1 *h = context;
    struct connection *c = *state;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (c != NULL && c->fd >= 0)
            unlink_connection(h, c);
        free(c);
        return;
    }
    c = calloc(1, sizeof(*c));
    *state = c;
    if (c == NULL)
        return; /* served, but never evicted */
    c->fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    c->older = h->newest;
    if (c->older != NULL)
        c->older->newer = c;
    else
        h->oldest = c;
    h->newest = c;
    h->connection_count++;
}

/* The oldest makes room: libmicrohttpd sees its end and closes it. */
static void evict_oldest(struct http1 *h)
{
    struct connection *c = h->oldest;
    (void)shutdown(c->fd, SHUT_RDWR);
    unlink_connection(h, c);
    c->fd = -1;
}

static void ignore_log(void *context, const char *format, va_list args)
{
    (void)context; /* what clients do wrong is no line of ours */
    (void)format;
    (void)args;
}

static struct MHD_Daemon *start(struct http1 *h)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ERROR_LOG;
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER,
                            ignore_log, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
                            MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)(HTTP1_MAX_CONNECTIONS + CONNECTION_SLACK),
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP1_CONNECTION_MEMORY,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP1_IDLE_S, MHD_OPTION_END);
}

enum err http1_create(struct http1 **out, struct server *s, uv_loop_t *loop)
{
    struct http1 *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return ERR_NO_MEMORY;
    h->server = s;
    h->loop = loop;
    h->daemon = start(h);
    const union MHD_DaemonInfo *info =
        h->daemon != NULL ? MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (info == NULL || uv_poll_init(loop, &h->poll, info->epoll_fd) != 0) {
        if (h->daemon != NULL)
            MHD_stop_daemon(h->daemon);
        free(h);
        return ERR_IO;
    }
    (void)uv_timer_init(loop, &h->timer);
    h->poll.data = h->timer.data = h;
    h->open_handles = 2;
    (void)uv_poll_start(&h->poll, UV_READABLE, on_poll);
    *out = h;
    return OK;
}

void http1_take(struct http1 *h, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    if (h->connection_count >= HTTP1_MAX_CONNECTIONS) {
        evict_oldest(h);
        run(h);
    }
    (void)getpeername(fd, (struct sockaddr *)&address, &size);
    /* If it refuses, it closes the socket. */
    (void)MHD_add_connection(h->daemon, fd, (struct sockaddr *)&address, size);
    run(h);
}

static void on_closed(uv_handle_t *handle)
{
    struct http1 *h = handle->data;
    if (--h->open_handles > 0)
        return;
    void (*done)(void *context) = h->done;
    void *context = h->context;
    MHD_stop_daemon(h->daemon);
    free(h);
    done(context);
}

void http1_close(struct http1 *h, void (*done)(void *context), void *context)
{
    h->done = done;
    h->context = context;
    uv_close((uv_handle_t *)&h->poll, on_closed);
    uv_close((uv_handle_t *)&h->timer, on_closed);
}
