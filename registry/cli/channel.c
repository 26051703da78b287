#include "channel.h"

#include "base/attr.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_PAUSE_MS = 100,
    READ_SIZE = 64 << 10,
};

struct channel {
    struct channel_options options;
    size_t at; /* the endpoint in use or to be tried next */
    int fd;    /* -1 while not connected */
    struct grpc_session *session;
    struct strbuf trouble;
    struct bytes unsent; /* borrowed from the session */
};

int64_t channel_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Endpoints. */

static bool port_is_valid(const char *text)
{
    size_t size = strspn(text, "0123456789");
    return size >= 1 && size <= 5 && text[size] == '\0' && atoi(text) >= 1 && atoi(text) <= 65535;
}

enum err endpoint_address(struct strbuf *out, const char *text, struct strbuf *why)
{
    const char *host = text;
    if (strncmp(text, "https://", 8) == 0 || strncmp(text, "unixs://", 8) == 0) {
        strbuf_add_format(why, "endpoint %s: TLS is not supported yet; use http://", text);
        return ERR_UNSUPPORTED;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        strbuf_add_format(why, "endpoint %s: Unix sockets are not supported", text);
        return ERR_UNSUPPORTED;
    }
    if (strncmp(text, "http://", 7) == 0)
        host = text + 7;
    size_t size = strcspn(host, "/");
    bool has_rest = host[size] == '/' && host[size + 1] != '\0';
    const char *bracket = host[0] == '[' ? strchr(host, ']') : NULL;
    const char *colon = strchr(bracket != NULL ? bracket : host, ':');
    struct strbuf address = STRBUF_EMPTY;
    strbuf_add(&address, host, size);
    if (colon == NULL || colon >= host + size)
        strbuf_add_str(&address, ":2379");
    const char *port = strrchr(strbuf_str(&address), ':');
    if (size == 0 || has_rest || colon == host || (host[0] == '[' && bracket == NULL) ||
        strpbrk(strbuf_str(&address), " \t@?#") != NULL || port == NULL ||
        !port_is_valid(port + 1)) {
        strbuf_add_format(why, "endpoint %s: not host:port or http://host:port", text);
        strbuf_fini(&address);
        return ERR_MALFORMED;
    }
    strbuf_add(out, address.data, address.size);
    strbuf_fini(&address);
    return OK;
}

enum err channel_create(struct channel **out, const struct channel_options *options)
{
    struct channel *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->options = *options;
    c->fd = -1;
    *out = c;
    return OK;
}

static void disconnect(struct channel *c)
{
    grpc_session_destroy(c->session);
    c->session = NULL;
    c->unsent = BYTES_EMPTY;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void channel_destroy(struct channel *c)
{
    if (c == NULL)
        return;
    disconnect(c);
    strbuf_fini(&c->trouble);
    free(c);
}

const char *channel_trouble(const struct channel *c)
{
    return strbuf_str(&c->trouble);
}

/* Milliseconds to wait for poll(2); -1 without a deadline. */
static int left_ms(int64_t deadline_ms)
{
    if (deadline_ms == 0)
        return -1;
    int64_t left = deadline_ms - channel_now_ms();
    return left < 0 ? 0 : left > 1 << 30 ? 1 << 30 : (int)left;
}

/* Connecting. */

static int connect_address(const struct addrinfo *address, int64_t deadline_ms)
{
    int one = 1, error = 0;
    socklen_t size = sizeof(error);
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, address->ai_addr, address->ai_addrlen) == 0)
        return fd;
    if (errno == EINPROGRESS) {
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int ready = poll(&p, 1, left_ms(deadline_ms));
        error = ready == 0 ? ETIMEDOUT : ready < 0 ? errno : 0;
        if (ready > 0)
            getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error == 0)
            return fd;
        errno = error;
    }
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

static enum err connect_to(struct channel *c, const char *address, int64_t deadline_ms)
{
    char host[256];
    const char *port = strrchr(address, ':') + 1;
    size_t host_size = (size_t)(port - 1 - address);
    bool has_brackets = address[0] == '[' && host_size >= 2;
    if (host_size >= sizeof(host))
        return ERR_MALFORMED;
    snprintf(host, sizeof(host), "%.*s", (int)(host_size - (has_brackets ? 2 : 0)),
             address + (has_brackets ? 1 : 0));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    strbuf_clear(&c->trouble);
    if (failed != 0) {
        strbuf_add_format(&c->trouble, "%s: %s", address, gai_strerror(failed));
        return ERR_REFUSED;
    }
    for (const struct addrinfo *a = found; a != NULL && c->fd < 0; a = a->ai_next)
        c->fd = connect_address(a, deadline_ms);
    if (c->fd < 0)
        strbuf_add_format(&c->trouble, "%s: %s", address, strerror(errno));
    freeaddrinfo(found);
    if (c->fd < 0)
        return ERR_REFUSED;
    enum err error = grpc_session_create(&c->session, address, c->options.max_reply_size);
    if (error != OK)
        disconnect(c);
    return error;
}

static void pause_until(int64_t deadline_ms)
{
    int left = left_ms(deadline_ms);
    poll(NULL, 0, left < 0 || left > RETRY_PAUSE_MS ? RETRY_PAUSE_MS : left);
}

/* A usable session, trying the endpoints in turn until the deadline. */
static enum err ensure_connected(struct channel *c, int64_t deadline_ms)
{
    if (c->session != NULL && grpc_session_is_usable(c->session))
        return OK;
    disconnect(c);
    for (size_t tries = 1;; tries++) {
        int64_t dial_until = channel_now_ms() + c->options.dial_timeout_ms;
        if (deadline_ms != 0 && dial_until > deadline_ms)
            dial_until = deadline_ms;
        enum err error = connect_to(c, c->options.endpoints[c->at], dial_until);
        if (error == OK || error == ERR_NO_MEMORY)
            return error;
        c->at = (c->at + 1) % c->options.endpoint_count;
        if (deadline_ms != 0 && channel_now_ms() >= deadline_ms)
            return ERR_TIMEOUT;
        if (tries % c->options.endpoint_count == 0)
            pause_until(deadline_ms);
    }
}

/* Moving bytes. */

static void lose(struct channel *c, const char *what)
{
    grpc_session_lost(c->session, what);
    c->unsent = BYTES_EMPTY;
}

/* Whether bytes are left that the socket does not take now. */
static bool send_some(struct channel *c)
{
    for (;;) {
        if (c->unsent.size == 0 && grpc_pending(c->session, &c->unsent) != OK)
            return false;
        if (c->unsent.size == 0)
            return false;
        ssize_t sent = send(c->fd, c->unsent.data, c->unsent.size, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (sent < 0) {
            lose(c, strerror(errno));
            return false;
        }
        c->unsent.data += sent;
        c->unsent.size -= (size_t)sent;
    }
}

static void receive_some(struct channel *c)
{
    static uint8_t buffer[READ_SIZE];
    ssize_t size = recv(c->fd, buffer, sizeof(buffer), 0);
    if (size > 0) {
        enum err error = grpc_feed(c->session, buffer, (size_t)size);
        (void)error; /* the session is lost then, and its streams know */
    } else if (size == 0) {
        lose(c, "error reading from server: EOF");
    } else if (errno != EAGAIN && errno != EINTR) {
        lose(c, strerror(errno));
    }
}

enum err channel_wait(struct channel *c, struct grpc_stream *stream, int other_fd,
                      int64_t deadline_ms, bool *other_is_ready)
{
    *other_is_ready = false;
    for (;;) {
        bool wants_write = c->session != NULL && send_some(c);
        if (grpc_stream_has_message(stream) || grpc_stream_has_ended(stream))
            return OK;
        if (deadline_ms != 0 && channel_now_ms() >= deadline_ms)
            return ERR_TIMEOUT;
        struct pollfd p[2] = {
            {.fd = c->fd, .events = (short)(POLLIN | (wants_write ? POLLOUT : 0))},
            {.fd = other_fd, .events = POLLIN},
        };
        if (poll(p, other_fd >= 0 ? 2 : 1, left_ms(deadline_ms)) < 0) {
            if (errno == EINTR)
                continue;
            return ERR_IO;
        }
        if (p[0].revents != 0)
            receive_some(c);
        if (other_fd >= 0 && p[1].revents != 0) {
            *other_is_ready = true;
            return OK;
        }
    }
}

void channel_flush(struct channel *c, int64_t deadline_ms)
{
    while (c->session != NULL && send_some(c)) {
        struct pollfd p = {.fd = c->fd, .events = POLLOUT};
        if (poll(&p, 1, left_ms(deadline_ms)) == 0)
            return;
    }
}

/* Calls. */

static void set_status(struct call_status *status, int code, const char *message)
{
    status->code = code;
    strbuf_clear(&status->message);
    strbuf_add_str(&status->message, message);
}

enum err channel_open_stream(struct channel *c, const char *method, int64_t deadline_ms,
                             struct grpc_stream **out)
{
    for (;;) {
        enum err error = ensure_connected(c, deadline_ms);
        if (error != OK)
            return error;
        int64_t timeout = deadline_ms == 0 ? 0 : deadline_ms - channel_now_ms();
        error = grpc_stream_create(out, c->session, method, timeout);
        if (error != ERR_CLOSED)
            return error;
        disconnect(c);
    }
}

/* The one reply of an ended call. */
static enum err take_reply(struct grpc_stream *stream, const ProtobufCMessageDescriptor *type,
                           ProtobufCMessage **reply, struct call_status *status)
{
    uint8_t *data = NULL;
    size_t size = 0;
    if (!grpc_stream_take(stream, &data, &size)) {
        set_status(status, GRPC_INTERNAL, "the server's answer holds no message");
        return ERR_REFUSED;
    }
    *reply = protobuf_c_message_unpack(type, NULL, size, data);
    free(data);
    if (*reply != NULL)
        return OK;
    set_status(status, GRPC_INTERNAL, "grpc: failed to unmarshal the received message");
    return ERR_REFUSED;
}

enum err channel_start(struct channel *c, const char *method, const ProtobufCMessage *request,
                       int64_t deadline_ms, struct grpc_stream **out)
{
    struct grpc_stream *stream;
    if (protobuf_c_message_get_packed_size(request) > c->options.max_request_size)
        return ERR_LIMIT;
    enum err error = channel_open_stream(c, method, deadline_ms, &stream);
    if (error != OK)
        return error;
    error = grpc_stream_send(stream, request);
    if (error != OK && error != ERR_CLOSED) { /* a call that ended already says why itself */
        grpc_stream_destroy(stream);
        return error;
    }
    grpc_stream_half_close(stream);
    channel_flush(c, deadline_ms);
    *out = stream;
    return OK;
}

/* Waits for the end of the call; the last message that came before it is the reply. */
static enum err wait_for_end(struct channel *c, struct grpc_stream *stream,
                             const ProtobufCMessageDescriptor *type, int64_t deadline_ms,
                             ProtobufCMessage **reply, struct call_status *status)
{
    bool other;
    while (!grpc_stream_has_ended(stream)) {
        enum err error = channel_wait(c, stream, -1, deadline_ms, &other);
        if (error == ERR_TIMEOUT) {
            set_status(status, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
            return ERR_REFUSED;
        }
        if (error != OK)
            return error;
        if (!grpc_stream_has_message(stream) || grpc_stream_has_ended(stream))
            continue;
        if (*reply != NULL)
            protobuf_c_message_free_unpacked(*reply, NULL);
        *reply = NULL;
        error = take_reply(stream, type, reply, status);
        if (error != OK)
            return error;
    }
    return OK;
}

enum err channel_finish(struct channel *c, struct grpc_stream *stream,
                        const ProtobufCMessageDescriptor *reply_type, int64_t deadline_ms,
                        ProtobufCMessage **reply, struct call_status *status, bool *was_refused)
{
    ProtobufCMessage *got = NULL;
    enum err error = wait_for_end(c, stream, reply_type, deadline_ms, &got, status);
    *was_refused = false;
    if (error == OK && grpc_stream_code(stream) != GRPC_OK) {
        set_status(status, grpc_stream_code(stream), grpc_stream_message(stream));
        *was_refused = grpc_stream_was_refused(stream);
        error = ERR_REFUSED;
    } else if (error == OK && got == NULL) {
        error = take_reply(stream, reply_type, &got, status);
    }
    grpc_stream_destroy(stream);
    if (error == OK)
        *reply = got;
    else if (got != NULL)
        protobuf_c_message_free_unpacked(got, NULL);
    return error;
}

/* One attempt. *WAS_REFUSED: the call was surely not processed. */
static enum err try_call(struct channel *c, const char *method, const ProtobufCMessage *request,
                         const ProtobufCMessageDescriptor *type, int64_t deadline_ms,
                         ProtobufCMessage **reply, struct call_status *status, bool *was_refused)
{
    struct grpc_stream *stream;
    enum err error = channel_start(c, method, request, deadline_ms, &stream);
    if (error == OK)
        return channel_finish(c, stream, type, deadline_ms, reply, status, was_refused);
    if (error != ERR_TIMEOUT)
        return error;
    set_status(status, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    return ERR_REFUSED;
}

enum err channel_call(struct channel *c, const char *method, const ProtobufCMessage *request,
                      const ProtobufCMessageDescriptor *reply_type, int64_t deadline_ms,
                      bool is_read, ProtobufCMessage **reply, struct call_status *status)
{
    size_t size = protobuf_c_message_get_packed_size(request);
    if (size > c->options.max_request_size) {
        char text[96];
        snprintf(text, sizeof(text), "trying to send message larger than max (%zu vs. %zu)", size,
                 c->options.max_request_size);
        set_status(status, GRPC_RESOURCE_EXHAUSTED, text);
        return ERR_REFUSED;
    }
    for (;;) {
        bool was_refused = false;
        enum err error =
            try_call(c, method, request, reply_type, deadline_ms, reply, status, &was_refused);
        if (error == OK)
            return OK;
        bool may_retry = was_refused || (is_read && status->code == GRPC_UNAVAILABLE);
        if (error != ERR_REFUSED || !may_retry ||
            (deadline_ms != 0 && channel_now_ms() + RETRY_PAUSE_MS >= deadline_ms))
            return error;
        disconnect(c);
        c->at = (c->at + 1) % c->options.endpoint_count;
        pause_until(deadline_ms);
    }
}
