#include "sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    SNIFF_SIZE = 3, /* "PRI": no method of HTTP/1.1 begins so */
    KEPT_SCRATCH = 2 * SOCKETS_WRITE_SIZE,
};

static const char preface[] = "PRI";

static void on_event(uv_poll_t *poll, int status, int events);

/* --- life ------------------------------------------------------------------------------------- */

static void set_events(struct client *c, int events)
{
    if (c->events == events || c->is_closing)
        return;
    c->events = events;
    if (events == 0)
        (void)uv_poll_stop(&c->poll);
    else if (uv_poll_start(&c->poll, events, on_event) != 0)
        client_close(c);
}

static void on_closed(uv_handle_t *handle)
{
    struct client *c = (struct client *)handle;
    struct api *api = c->api;
    if (c->fd >= 0)
        close(c->fd);
    outbuf_fini(&c->unsent);
    free(c);
    api_handle_closed(api);
}

static void drop_conn(struct client *c)
{
    if (c->conn != NULL)
        conn_destroy(c->conn);
    c->conn = NULL;
}

static void forget_ready(struct client *c)
{
    if (!c->is_ready)
        return;
    struct client **at = &c->api->first_ready;
    while (*at != c)
        at = &(*at)->next_ready;
    *at = c->next_ready;
    if (c->next_ready == NULL)
        c->api->last_ready = at;
    c->is_ready = false;
    c->api->ready_count--;
}

void client_close(struct client *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    drop_conn(c);
    forget_ready(c);
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        c->api->clients = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    c->api->client_count--;
    uv_close((uv_handle_t *)&c->poll, on_closed);
}

/* Closing a socket with unread bytes resets it, and the client might never see why. */
static void linger(struct client *c)
{
    drop_conn(c);
    outbuf_clear(&c->unsent, 0);
    if (c->is_closing)
        return;
    (void)shutdown(c->fd, SHUT_WR);
    c->is_lingering = true;
    c->since_ms = uv_now(c->api->loop);
    set_events(c, UV_READABLE);
}

/* At the bound, the connection that is idle longest makes room; NULL: none is idle. */
static struct client *most_idle(struct api *api)
{
    struct client *found = NULL;
    uint64_t found_ms = UINT64_MAX;
    for (struct client *c = api->clients; c != NULL; c = c->next) {
        if (c->conn != NULL && c->conn->call_count > 0)
            continue;
        uint64_t heard_ms = c->conn != NULL ? c->conn->heard_ms : c->since_ms;
        if (heard_ms <= found_ms) {
            found = c;
            found_ms = heard_ms;
        }
    }
    return found;
}

static bool make_room(struct api *api)
{
    if (api->client_count < API_MAX_CONNECTIONS)
        return true;
    struct client *idle = most_idle(api);
    if (idle == NULL)
        return false;
    client_close(idle);
    return true;
}

void client_accept(struct api *api, int fd)
{
    int on = 1, lowat = SNIFF_SIZE;
    struct client *c = make_room(api) ? calloc(1, sizeof(*c)) : NULL;
    if (c == NULL || uv_poll_init(api->loop, &c->poll, fd) != 0) {
        free(c);
        close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    /* Fewer bytes than tell the protocols apart do not wake us. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat));
    c->api = api;
    c->fd = fd;
    c->since_ms = uv_now(api->loop);
    c->next = api->clients;
    if (c->next != NULL)
        c->next->previous = c;
    api->clients = c;
    api->client_count++;
    api->open_handles++;
    set_events(c, UV_READABLE);
}

/* --- out -------------------------------------------------------------------------------------- */

void client_mark_ready(struct client *c)
{
    struct api *api = c->api;
    if (c->is_ready)
        return;
    c->is_ready = true;
    c->next_ready = NULL;
    *api->last_ready = c;
    api->last_ready = &c->next_ready;
    api->ready_count++;
    api_flush_soon(api);
}

/* How much of it went; SIZE_MAX: the connection is broken. */
static size_t send_some(const struct client *c, const uint8_t *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t n = send(c->fd, data + sent, size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0)
            sent += (size_t)n;
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            break;
        else if (errno != EINTR)
            return SIZE_MAX;
    }
    return sent;
}

/* Whether all that was held back is out. */
static bool send_unsent(struct client *c)
{
    size_t size = outbuf_size(&c->unsent);
    if (size == 0)
        return true;
    size_t sent = send_some(c, outbuf_data(&c->unsent), size);
    if (sent == SIZE_MAX) {
        client_close(c);
        return false;
    }
    outbuf_take(&c->unsent, sent);
    if (sent < size)
        return false;
    outbuf_fini(&c->unsent);
    return true;
}

/* Sends the scratch buffer; what does not go is kept. False: closed. */
static bool send_scratch(struct client *c)
{
    struct outbuf *scratch = &c->api->scratch;
    size_t size = outbuf_size(scratch);
    if (size == 0)
        return true;
    size_t sent = send_some(c, outbuf_data(scratch), size);
    if (sent != SIZE_MAX && sent < size)
        outbuf_add_bytes(&c->unsent, outbuf_data(scratch) + sent, size - sent);
    if (sent == SIZE_MAX || c->unsent.failed) {
        client_close(c);
        return false;
    }
    return true;
}

static void choose_events(struct client *c)
{
    bool has_unsent = outbuf_size(&c->unsent) > 0;
    int events = has_unsent ? UV_WRITABLE : 0;
    /* One that does not read its answers is not read from. */
    if (!conn_is_over(c->conn) && !(has_unsent && conn_is_clogged(c->conn)))
        events |= UV_READABLE;
    set_events(c, events);
}

void client_flush(struct client *c)
{
    struct api *api = c->api;
    if (c->is_closing || c->conn == NULL)
        return;
    if (c->conn->failed) {
        linger(c); /* not behind what the client does not read: it may be gone for just that */
        return;
    }
    if (!send_unsent(c))
        return;
    outbuf_clear(&api->scratch, KEPT_SCRATCH);
    bool is_well = conn_produce(c->conn, &api->scratch, SOCKETS_WRITE_SIZE);
    if (!send_scratch(c))
        return;
    if (!is_well) {
        linger(c);
        return;
    }
    if (conn_is_over(c->conn) && outbuf_size(&c->unsent) == 0) {
        linger(c);
        return;
    }
    if (c->conn->has_more && outbuf_size(&c->unsent) == 0)
        client_mark_ready(c);
    choose_events(c);
}

/* --- in --------------------------------------------------------------------------------------- */

static void become_http2(struct client *c)
{
    int one = 1;
    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    if (conn_create(&c->conn, &c->api->server, c) != OK)
        client_close(c);
}

static void hand_over(struct client *c)
{
    int fd = c->fd, one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
    (void)uv_poll_stop(&c->poll);
    c->fd = -1;
    struct api *api = c->api;
    client_close(c);
    http1_take(api->http1, fd);
}

static void sniff(struct client *c)
{
    char start[SNIFF_SIZE];
    ssize_t n = recv(c->fd, start, sizeof(start), MSG_PEEK | MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return;
    if (n < SNIFF_SIZE)
        client_close(c); /* no more will come */
    else if (memcmp(start, preface, SNIFF_SIZE) == 0)
        become_http2(c);
    else
        hand_over(c);
}

static void discard(struct client *c)
{
    ssize_t n = recv(c->fd, c->api->read_buffer, SOCKETS_READ_SIZE, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        client_close(c);
}

static void read_some(struct client *c)
{
    for (int i = 0; i < SOCKETS_READS_PER_TURN; i++) {
        uint8_t *buffer = c->api->read_buffer;
        ssize_t n = recv(c->fd, buffer, SOCKETS_READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
            return;
        if (n <= 0) {
            client_close(c);
            return;
        }
        if (!conn_feed(c->conn, bytes_of(buffer, (size_t)n))) {
            client_mark_ready(c); /* the reason still goes out */
            set_events(c, c->events & ~UV_READABLE);
            return;
        }
        if (n < SOCKETS_READ_SIZE || conn_is_clogged(c->conn))
            return;
    }
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct client *c = (struct client *)poll;
    c->api->server.now_ms = uv_now(c->api->loop);
    if (status < 0) {
        client_close(c);
        return;
    }
    if (c->is_lingering) {
        discard(c);
        return;
    }
    if (c->conn == NULL)
        sniff(c);
    if ((events & UV_READABLE) != 0 && c->conn != NULL)
        read_some(c);
    if ((events & UV_WRITABLE) != 0 && c->conn != NULL)
        client_mark_ready(c);
}

/* --- time ------------------------------------------------------------------------------------- */

void client_check_time(struct client *c)
{
    uint64_t passed_ms = uv_now(c->api->loop) - c->since_ms;
    if (c->is_lingering   ? passed_ms >= SOCKETS_LINGER_MS
        : c->conn == NULL ? passed_ms >= CONN_HANDSHAKE_MS
                          : !conn_check_time(c->conn))
        client_close(c);
}

void client_shut_down(struct client *c)
{
    if (c->conn != NULL && !c->is_lingering) {
        conn_shut_down(c->conn);
        client_flush(c);
    }
    client_close(c);
}
