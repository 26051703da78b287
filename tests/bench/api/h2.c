#include "h2.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define EVENTS_MAX      256
#define BUFFER_SIZE     65536
#define FRAME_MAX       (16384 + 64) /* no server here raises HTTP/2's own limit */
#define STREAM_WINDOW   (16 * 1024 * 1024)
#define MESSAGE_MAX     (64 * 1024 * 1024)

struct h2_connection {
    int fd;
    nghttp2_session *session;
    struct h2_loop *loop;
    uint8_t out[BUFFER_SIZE]; /* what nghttp2 gave and the socket did not yet take */
    size_t out_size, out_sent;
    bool wants_out;
    bool dirty; /* something was submitted: flush before waiting */
};

struct h2_loop {
    int epoll;
    struct h2_connection *connections[CONNECTIONS_MAX];
    size_t count;
};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("bench-api-load: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        die("out of memory");
    return memory;
}

static void fail(struct h2_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first reason stays. */
static void fail(struct h2_call *call, const char *format, ...)
{
    if (call->end.reason[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(call->end.reason, sizeof call->end.reason, format, args);
    va_end(args);
}

/* The messages that are whole are handed on; the rest stays in the buffer. */
static void cut_messages(struct h2_call *call)
{
    size_t at = 0;
    while (call->size - at >= H2_MESSAGE_PREFIX) {
        const uint8_t *p = call->buffer + at;
        size_t size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (p[0] != 0)
            die("a compressed message");
        if (size > MESSAGE_MAX)
            die("a message of %zu bytes", size);
        if (call->size - at - H2_MESSAGE_PREFIX < size)
            break;
        if (call->message != NULL)
            call->message(call, p + H2_MESSAGE_PREFIX, size);
        at += H2_MESSAGE_PREFIX + size;
    }
    if (at != 0) {
        call->size -= at;
        memmove(call->buffer, call->buffer + at, call->size);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *context)
{
    (void)flags, (void)context;
    struct h2_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call == NULL)
        return 0;
    if (call->size + size > call->capacity) {
        call->capacity = (call->size + size) * 2;
        call->buffer = must(realloc(call->buffer, call->capacity));
    }
    memcpy(call->buffer + call->size, data, size);
    call->size += size;
    cut_messages(call);
    return 0;
}

static bool is(const uint8_t *text, size_t size, const char *wanted)
{
    return size == strlen(wanted) && memcmp(text, wanted, size) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    (void)flags, (void)context;
    struct h2_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL)
        return 0;
    if (is(name, name_size, ":status") && !is(value, value_size, "200"))
        fail(call, "HTTP %.*s", (int)value_size, (const char *)value);
    if (is(name, name_size, "grpc-status")) {
        call->has_status = true;
        if (!is(value, value_size, "0"))
            fail(call, "grpc-status %.*s", (int)value_size, (const char *)value);
    }
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *context)
{
    (void)context;
    struct h2_call *call = nghttp2_session_get_stream_user_data(session, id);
    if (call == NULL)
        return 0;
    if (code != NGHTTP2_NO_ERROR)
        fail(call, "stream reset, code %u", code);
    else if (!call->has_status)
        fail(call, "no grpc-status");
    struct h2_end end = call->end;
    call->ended(call, &end);
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t capacity,
                         uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)session, (void)id, (void)context;
    struct h2_call *call = source->ptr;
    size_t size = call->body_size - call->sent;
    if (size == 0 && call->stays_open)
        return NGHTTP2_ERR_DEFERRED;
    if (size > capacity)
        size = capacity;
    memcpy(out, call->body + call->sent, size);
    call->sent += size;
    if (call->sent == call->body_size && !call->stays_open)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

struct h2_loop *h2_loop_create(void)
{
    struct h2_loop *loop = must(calloc(1, sizeof *loop));
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        die("epoll: %s", strerror(errno));
    return loop;
}

void h2_loop_destroy(struct h2_loop *loop)
{
    for (size_t i = 0; i < loop->count; i++) {
        nghttp2_session_del(loop->connections[i]->session);
        (void)close(loop->connections[i]->fd);
        free(loop->connections[i]);
    }
    (void)close(loop->epoll);
    free(loop);
}

static void start_session(struct h2_connection *connection)
{
    nghttp2_session_callbacks *callbacks;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        die("out of memory");
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_client_new(&connection->session, callbacks, connection) != 0)
        die("out of memory");
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
    };
    nghttp2_session *session = connection->session;
    if (nghttp2_submit_settings(session, 0, settings, sizeof settings / sizeof *settings) != 0 ||
        nghttp2_session_set_local_window_size(session, 0, 0, STREAM_WINDOW) != 0)
        die("nghttp2 takes no settings");
}

struct h2_connection *h2_connect(struct h2_loop *loop, const char *host, uint16_t port)
{
    if (loop->count == CONNECTIONS_MAX)
        die("more than %d connections", CONNECTIONS_MAX);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
        die("%s is no IPv4 address", host);
    struct h2_connection *connection = must(calloc(1, sizeof *connection));
    connection->loop = loop;
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&to, sizeof to) != 0)
        die("cannot connect to %s:%u: %s", host, port, strerror(errno));
    int one = 1;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    start_session(connection);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll: %s", strerror(errno));
    connection->dirty = true;
    loop->connections[loop->count++] = connection;
    return connection;
}

#define HEADER(NAME, VALUE, SIZE)                                                                  \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(NAME), (uint8_t *)(uintptr_t)(VALUE), sizeof(NAME) - 1, SIZE, 0     \
    }

void h2_start(struct h2_connection *connection, struct h2_call *call)
{
    call->sent = call->size = 0;
    call->has_status = false;
    call->end.reason[0] = '\0';
    const nghttp2_nv headers[] = {
        HEADER(":method", "POST", 4),
        HEADER(":scheme", "http", 4),
        HEADER(":path", call->path, strlen(call->path)),
        HEADER(":authority", "bench", 5),
        HEADER("content-type", "application/grpc", 16),
        HEADER("te", "trailers", 8),
    };
    nghttp2_data_provider body = {.source.ptr = call, .read_callback = read_body};
    call->id = nghttp2_submit_request(connection->session, NULL, headers,
                                      sizeof headers / sizeof *headers, &body, call);
    if (call->id < 0)
        die("no more streams: %s", nghttp2_strerror(call->id));
    connection->dirty = true;
}

static void watch_out(struct h2_connection *connection, bool wanted)
{
    if (connection->wants_out == wanted)
        return;
    connection->wants_out = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = connection};
    if (epoll_ctl(connection->loop->epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0)
        die("epoll: %s", strerror(errno));
}

/* One system call for as much as there is: a server must not pay for our small packets. */
static void fill(struct h2_connection *connection)
{
    while (sizeof connection->out - connection->out_size >= FRAME_MAX) {
        const uint8_t *data;
        ssize_t size = nghttp2_session_mem_send(connection->session, &data);
        if (size < 0)
            die("nghttp2: %s", nghttp2_strerror((int)size));
        if (size == 0)
            return;
        if ((size_t)size > sizeof connection->out - connection->out_size)
            die("nghttp2 sends %zd bytes at once", size);
        memcpy(connection->out + connection->out_size, data, (size_t)size);
        connection->out_size += (size_t)size;
    }
}

static void flush(struct h2_connection *connection)
{
    connection->dirty = false;
    for (;;) {
        if (connection->out_sent == connection->out_size) {
            connection->out_sent = connection->out_size = 0;
            fill(connection);
            if (connection->out_size == 0) {
                watch_out(connection, false);
                return;
            }
        }
        ssize_t sent =
            send(connection->fd, connection->out + connection->out_sent,
                 connection->out_size - connection->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            watch_out(connection, true);
            return;
        }
        if (sent < 0)
            die("send: %s", strerror(errno));
        connection->out_sent += (size_t)sent;
    }
}

static void receive(struct h2_connection *connection)
{
    static uint8_t data[4 * BUFFER_SIZE];
    ssize_t size = recv(connection->fd, data, sizeof data, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return;
    if (size <= 0)
        die("the server closed the connection%s%s", size < 0 ? ": " : "",
            size < 0 ? strerror(errno) : "");
    ssize_t used = nghttp2_session_mem_recv(connection->session, data, (size_t)size);
    if (used != size)
        die("nghttp2: %s", nghttp2_strerror((int)used));
}

void h2_loop_run(struct h2_loop *loop, int timeout_ms)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->connections[i]->dirty)
            flush(loop->connections[i]);
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX, timeout_ms);
    if (count < 0 && errno != EINTR)
        die("epoll: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct h2_connection *connection = events[i].data.ptr;
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
            receive(connection);
        flush(connection);
    }
}

void h2_call_fini(struct h2_call *call)
{
    free(call->buffer);
    call->buffer = NULL;
    call->size = call->capacity = 0;
}
