#include "dnsd/tcp.h"

#include "dnsd/rcu.h"

#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FRAME_LENGTH_SIZE = 2
};

struct connection {
    uv_tcp_t stream;
    uv_timer_t timer;
    uv_write_t write;
    struct tcp_listener *owner;
    struct connection *older, *newer;   /* in the pool's list, by last activity */
    struct connection *previous, *next; /* of the same listener */
    struct ip_endpoint remote, local;
    unsigned open_handles;
    bool is_closing;
    bool is_writing;
    uint8_t *input; /* bytes of frames not answered yet; NULL: none */
    size_t input_size;
    size_t input_capacity;
    uint8_t *unsent; /* what a write under way still needs */
    size_t unsent_size;
};

struct tcp_listener {
    struct tcp_pool *pool;
    int fd;
    uv_poll_t poll;
    uv_timer_t retry; /* of accepting, after memory or descriptors ran out */
    struct listener const *const *listener;
    struct connection *connections;
    unsigned open_handles;
    bool is_closing;
    void (*done)(void *context);
    void *done_context;
};

struct tcp_pool {
    uv_loop_t *loop;
    struct connection *oldest, *newest;
    size_t count;
    size_t limit;
    size_t held_size; /* input and unsent of all connections */
    size_t held_limit;
    struct query query;
    struct arena arena;
    uint8_t in[TCP_READ_SIZE];
    uint8_t out[TCP_BATCH_MAX_SIZE + FRAME_LENGTH_SIZE + DNS_MAX_MESSAGE_SIZE];
};

static void connection_serve(struct connection *c);

/* --- the pool --------------------------------------------------------------------------------- */

void tcp_pool_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static size_t connection_limit(void)
{
    struct rlimit files;
    tcp_pool_raise_files();
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur <= 2 * TCP_RESERVED_FILES)
        return TCP_RESERVED_FILES;
    size_t limit = (size_t)files.rlim_cur - TCP_RESERVED_FILES;
    return limit < TCP_MAX_CONNECTIONS ? limit : TCP_MAX_CONNECTIONS;
}

enum err tcp_pool_create(struct tcp_pool **out, uv_loop_t *loop)
{
    struct tcp_pool *pool = calloc(1, sizeof(*pool));
    if (pool == NULL)
        return ERR_NO_MEMORY;
    pool->loop = loop;
    pool->limit = connection_limit();
    pool->held_limit = TCP_HELD_MAX_SIZE;
    arena_init(&pool->arena, SERVER_QUERY_ARENA_LIMIT);
    *out = pool;
    return OK;
}

void tcp_pool_destroy(struct tcp_pool *pool)
{
    if (pool == NULL)
        return;
    assert(pool->count == 0);
    arena_fini(&pool->arena);
    free(pool);
}

size_t tcp_pool_connection_count(const struct tcp_pool *pool)
{
    return pool->count;
}

size_t tcp_pool_held_size(const struct tcp_pool *pool)
{
    return pool->held_size;
}

void tcp_pool_set_limits(struct tcp_pool *pool, size_t connections, size_t held_size)
{
    pool->limit = connections;
    pool->held_limit = held_size;
}

static void pool_append(struct tcp_pool *pool, struct connection *c)
{
    c->older = pool->newest;
    c->newer = NULL;
    if (pool->newest != NULL)
        pool->newest->newer = c;
    else
        pool->oldest = c;
    pool->newest = c;
}

static void pool_remove(struct tcp_pool *pool, struct connection *c)
{
    if (c->older != NULL)
        c->older->newer = c->newer;
    else
        pool->oldest = c->newer;
    if (c->newer != NULL)
        c->newer->older = c->older;
    else
        pool->newest = c->older;
}

/* --- closing ---------------------------------------------------------------------------------- */

static void listener_free_if_done(struct tcp_listener *t)
{
    if (t->open_handles > 0 || t->connections != NULL)
        return;
    if (t->done != NULL)
        t->done(t->done_context);
    free(t);
}

static void connection_handle_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    if (--c->open_handles > 0)
        return;
    struct tcp_listener *t = c->owner;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        t->connections = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    free(c->input);
    free(c->unsent);
    free(c);
    listener_free_if_done(t);
}

static void connection_close(struct connection *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    struct tcp_pool *pool = c->owner->pool;
    pool_remove(pool, c);
    pool->count--;
    pool->held_size -= c->input_capacity + c->unsent_size;
    uv_close((uv_handle_t *)&c->stream, connection_handle_closed);
    uv_close((uv_handle_t *)&c->timer, connection_handle_closed);
}

static void connection_timed_out(uv_timer_t *timer)
{
    connection_close(timer->data);
}

static void connection_set_deadline(struct connection *c, unsigned timeout_ms)
{
    uv_timer_start(&c->timer, connection_timed_out, timeout_ms, 0);
}

/* Makes room for SIZE more octets of C. False when it cannot be had. */
static bool pool_reserve(struct tcp_pool *pool, const struct connection *c, size_t size)
{
    while (pool->held_limit - pool->held_size < size && pool->oldest != c)
        connection_close(pool->oldest);
    if (pool->held_limit - pool->held_size < size)
        return false;
    pool->held_size += size;
    return true;
}

/* --- answering -------------------------------------------------------------------------------- */

static void input_consume(struct connection *c, size_t size)
{
    c->input_size -= size;
    if (c->input_size == 0) {
        free(c->input); /* an idle connection holds no buffer */
        c->input = NULL;
        c->owner->pool->held_size -= c->input_capacity;
        c->input_capacity = 0;
    } else {
        memmove(c->input, c->input + size, c->input_size);
    }
}

/* At most one read and one incomplete frame are ever held. */
static bool input_append(struct connection *c, const uint8_t *data, size_t size)
{
    size_t needed = c->input_size + size;
    assert(needed <= 2 * (FRAME_LENGTH_SIZE + DNS_MAX_MESSAGE_SIZE) + 2 * TCP_READ_SIZE);
    if (needed > c->input_capacity) {
        size_t more = needed - c->input_capacity;
        if (!pool_reserve(c->owner->pool, c, more))
            return false;
        uint8_t *grown = realloc(c->input, needed);
        if (grown == NULL) {
            c->owner->pool->held_size -= more;
            return false;
        }
        c->input = grown;
        c->input_capacity = needed;
    }
    memcpy(c->input + c->input_size, data, size);
    c->input_size = needed;
    return true;
}

static void answer_frame(struct connection *c, const struct listener *listener,
                         const uint8_t *message, size_t size, size_t *out_size)
{
    struct tcp_pool *pool = c->owner->pool;
    struct query *q = &pool->query;
    uint8_t *frame = pool->out + *out_size;
    q->proto = QUERY_TCP;
    q->remote = c->remote;
    q->local = c->local;
    q->listener = listener;
    q->arena = &pool->arena;
    q->out = frame + FRAME_LENGTH_SIZE;
    q->out_capacity = DNS_MAX_MESSAGE_SIZE;
    server_answer(q, message, size);
    arena_reset(&pool->arena);
    if (q->out_size == 0)
        return;
    frame[0] = (uint8_t)(q->out_size >> 8);
    frame[1] = (uint8_t)q->out_size;
    *out_size += FRAME_LENGTH_SIZE + q->out_size;
}

/* Answers complete frames until they end or a batch is full. Returns the octets used of DATA. */
static size_t answer_frames(struct connection *c, const uint8_t *data, size_t size,
                            size_t *out_size)
{
    size_t used = 0;
    *out_size = 0;
    rcu_read_lock();
    const struct listener *listener = rcu_dereference(*c->owner->listener);
    while (size - used >= FRAME_LENGTH_SIZE && *out_size < TCP_BATCH_MAX_SIZE) {
        size_t frame_size = (size_t)data[used] << 8 | data[used + 1];
        if (size - used - FRAME_LENGTH_SIZE < frame_size)
            break;
        answer_frame(c, listener, data + used + FRAME_LENGTH_SIZE, frame_size, out_size);
        used += FRAME_LENGTH_SIZE + frame_size;
    }
    if (used > 0)
        connection_set_deadline(c, listener->idle_timeout_ms);
    rcu_read_unlock();
    return used;
}

static unsigned write_timeout(const struct connection *c)
{
    rcu_read_lock();
    unsigned timeout_ms = rcu_dereference(*c->owner->listener)->write_timeout_ms;
    rcu_read_unlock();
    return timeout_ms;
}

static unsigned idle_timeout(const struct connection *c)
{
    rcu_read_lock();
    unsigned timeout_ms = rcu_dereference(*c->owner->listener)->idle_timeout_ms;
    rcu_read_unlock();
    return timeout_ms;
}

static void connection_alloc(uv_handle_t *handle, size_t suggested UNUSED, uv_buf_t *buffer)
{
    struct connection *c = handle->data;
    *buffer = uv_buf_init((char *)c->owner->pool->in, TCP_READ_SIZE);
}

static void connection_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer);

static void connection_written(uv_write_t *write, int status)
{
    struct connection *c = write->data;
    free(c->unsent);
    c->unsent = NULL;
    c->is_writing = false;
    if (c->is_closing)
        return;
    c->owner->pool->held_size -= c->unsent_size;
    c->unsent_size = 0;
    if (status != 0 || c->owner->is_closing) {
        connection_close(c);
        return;
    }
    connection_set_deadline(c, idle_timeout(c));
    connection_serve(c);
}

/* Sends the pool's out buffer: in one write(2) where the socket takes it, else the rest later, and
 * nothing more is read from this client until then. False when the connection is being closed. */
static bool connection_send(struct connection *c, size_t size)
{
    struct tcp_pool *pool = c->owner->pool;
    uv_buf_t buffer = uv_buf_init((char *)pool->out, (unsigned)size);
    int sent = uv_try_write((uv_stream_t *)&c->stream, &buffer, 1);
    if (sent == (int)size)
        return true;
    if (sent < 0 && sent != UV_EAGAIN) {
        connection_close(c);
        return false;
    }
    size_t done = sent > 0 ? (size_t)sent : 0;
    size_t unsent_size = size - done;
    if (!pool_reserve(pool, c, unsent_size)) {
        connection_close(c);
        return false;
    }
    c->unsent_size = unsent_size;
    c->unsent = malloc(unsent_size);
    if (c->unsent == NULL) {
        connection_close(c);
        return false;
    }
    memcpy(c->unsent, pool->out + done, unsent_size);
    uv_buf_t rest = uv_buf_init((char *)c->unsent, (unsigned)unsent_size);
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->stream, &rest, 1, connection_written) != 0) {
        connection_close(c);
        return false;
    }
    c->is_writing = true;
    uv_read_stop((uv_stream_t *)&c->stream);
    connection_set_deadline(c, write_timeout(c));
    return true;
}

static void connection_resume(uv_timer_t *timer)
{
    struct connection *c = timer->data;
    connection_set_deadline(c, idle_timeout(c));
    connection_serve(c);
}

/* Lets the loop look after the others first. The deadline's timer has no other use meanwhile. */
static void connection_yield(struct connection *c)
{
    uv_read_stop((uv_stream_t *)&c->stream);
    /* Not 0: libuv would run such a timer again in the same pass, and nobody else. */
    uv_timer_start(&c->timer, connection_resume, TCP_YIELD_MS, 0);
}

static bool has_frame(const struct connection *c)
{
    if (c->input_size < FRAME_LENGTH_SIZE)
        return false;
    size_t frame_size = (size_t)c->input[0] << 8 | c->input[1];
    return c->input_size - FRAME_LENGTH_SIZE >= frame_size;
}

/* Answers a batch of what is in the connection's own input, then goes on reading. */
static void connection_serve(struct connection *c)
{
    if (has_frame(c)) {
        size_t out_size;
        size_t used = answer_frames(c, c->input, c->input_size, &out_size);
        input_consume(c, used);
        if (out_size > 0 && !connection_send(c, out_size))
            return;
        if (c->is_writing)
            return;
        if (has_frame(c)) {
            connection_yield(c);
            return;
        }
    }
    int failed = uv_read_start((uv_stream_t *)&c->stream, connection_alloc, connection_read);
    if (failed != 0 && failed != UV_EALREADY)
        connection_close(c);
}

static void connection_received(struct connection *c, const uint8_t *data, size_t size)
{
    pool_remove(c->owner->pool, c);
    pool_append(c->owner->pool, c);
    if (c->input_size == 0) {
        /* The usual case: whole frames, answered where they were read. */
        size_t out_size;
        size_t used = answer_frames(c, data, size, &out_size);
        if (used < size && !input_append(c, data + used, size - used)) {
            connection_close(c);
            return;
        }
        if (out_size > 0 && !connection_send(c, out_size))
            return;
        if (!c->is_writing && has_frame(c))
            connection_yield(c);
        return;
    }
    if (!input_append(c, data, size)) {
        connection_close(c);
        return;
    }
    connection_serve(c);
}

static void connection_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;
    if (size > 0)
        connection_received(c, (const uint8_t *)buffer->base, (size_t)size);
    else if (size < 0)
        connection_close(c);
}

/* --- accepting -------------------------------------------------------------------------------- */

static bool connection_addresses(struct connection *c)
{
    struct sockaddr_storage sa;
    int size = sizeof(sa);
    if (uv_tcp_getpeername(&c->stream, (struct sockaddr *)&sa, &size) != 0 ||
        ip_endpoint_from_sockaddr(&c->remote, (struct sockaddr *)&sa, (size_t)size) != OK)
        return false;
    size = sizeof(sa);
    if (uv_tcp_getsockname(&c->stream, (struct sockaddr *)&sa, &size) != 0 ||
        ip_endpoint_from_sockaddr(&c->local, (struct sockaddr *)&sa, (size_t)size) != OK)
        return false;
    c->remote.addr = ip_unmap(c->remote.addr);
    c->local.addr = ip_unmap(c->local.addr);
    return true;
}

static struct connection *connection_create(struct tcp_listener *t)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    c->owner = t;
    c->open_handles = 2;
    uv_tcp_init(t->pool->loop, &c->stream);
    uv_timer_init(t->pool->loop, &c->timer);
    c->stream.data = c;
    c->timer.data = c;
    c->next = t->connections;
    if (c->next != NULL)
        c->next->previous = c;
    t->connections = c;
    t->pool->count++;
    pool_append(t->pool, c);
    return c;
}

/* False: there is no memory for a connection, and the client was turned away. */
static bool connection_open(struct tcp_listener *t, int fd)
{
    if (t->pool->count >= t->pool->limit)
        connection_close(t->pool->oldest);
    struct connection *c = connection_create(t);
    if (c == NULL) {
        close(fd);
        return false;
    }
    if (uv_tcp_open(&c->stream, fd) != 0) {
        close(fd);
        connection_close(c);
        return true;
    }
    if (!connection_addresses(c)) {
        connection_close(c);
        return true;
    }
    uv_tcp_nodelay(&c->stream, 1);
    rcu_read_lock();
    unsigned read_ms = rcu_dereference(*t->listener)->read_timeout_ms;
    rcu_read_unlock();
    connection_set_deadline(c, read_ms);
    connection_serve(c);
    return true;
}

static bool is_shortage(int error_number)
{
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
           error_number == ENOMEM;
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void accept_later(uv_timer_t *timer)
{
    struct tcp_listener *t = timer->data;
    if (uv_poll_start(&t->poll, UV_READABLE, on_acceptable) != 0)
        uv_timer_start(&t->retry, accept_later, TCP_ACCEPT_RETRY_MS, 0);
}

static void accept_pause(struct tcp_listener *t)
{
    uv_poll_stop(&t->poll);
    uv_timer_start(&t->retry, accept_later, TCP_ACCEPT_RETRY_MS, 0);
}

/* Not libuv's own accepting: that one spins while descriptors are short. Here the connection idle
 * longest makes room, and if that is not enough the clients wait in the listener's queue. */
static void on_acceptable(uv_poll_t *poll, int status UNUSED, int events UNUSED)
{
    struct tcp_listener *t = poll->data;
    bool made_room = false;
    for (int i = 0; i < TCP_ACCEPT_BATCH; i++) {
        int fd = accept4(t->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            if (!connection_open(t, fd)) {
                accept_pause(t);
                return;
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (is_shortage(errno)) {
            if (made_room || t->pool->oldest == NULL) {
                accept_pause(t);
                return;
            }
            connection_close(t->pool->oldest);
            made_room = true;
        } /* else this client's trouble: on to the next */
    }
}

static int bind_socket(const struct ip_endpoint *endpoint, int family)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    bool is_wildcard = endpoint->addr.family == IP_NONE;
    int on = 1, v6_only = !is_wildcard;
    bool ok = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
              setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0;
    if (family == AF_INET6)
        ok = ok && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)) == 0;
    struct ip_endpoint at = *endpoint;
    if (is_wildcard)
        at.addr.family = family == AF_INET6 ? IP_V6 : IP_V4;
    struct sockaddr_storage sa;
    socklen_t size = ip_endpoint_to_sockaddr(&at, &sa);
    if (!ok || bind(fd, (struct sockaddr *)&sa, size) != 0 || listen(fd, SOMAXCONN) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

enum err tcp_listener_open(struct tcp_listener **out, struct tcp_pool *pool,
                           const struct ip_endpoint *endpoint, int *errno_out)
{
    int fd = bind_socket(endpoint, endpoint->addr.family == IP_V4 ? AF_INET : AF_INET6);
    if (fd < 0 && endpoint->addr.family == IP_NONE &&
        (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        fd = bind_socket(endpoint, AF_INET);
    if (fd < 0) {
        *errno_out = errno;
        return err_from_errno(*errno_out);
    }
    struct tcp_listener *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        close(fd);
        *errno_out = ENOMEM;
        return ERR_NO_MEMORY;
    }
    t->pool = pool;
    t->fd = fd;
    t->poll.data = t->retry.data = t;
    int failed = uv_poll_init(pool->loop, &t->poll, fd);
    if (failed != 0) {
        close(fd);
        free(t);
        *errno_out = -failed;
        return err_from_errno(-failed);
    }
    uv_timer_init(pool->loop, &t->retry);
    t->open_handles = 2;
    *out = t;
    return OK;
}

enum err tcp_listener_start(struct tcp_listener *t, struct listener const *const *listener)
{
    t->listener = listener;
    return uv_poll_start(&t->poll, UV_READABLE, on_acceptable) == 0 ? OK : ERR_IO;
}

static void listener_closed(uv_handle_t *handle)
{
    struct tcp_listener *t = handle->data;
    t->open_handles--;
    listener_free_if_done(t);
}

void tcp_listener_close(struct tcp_listener *t, void (*done)(void *context), void *context)
{
    assert(!t->is_closing);
    t->is_closing = true;
    t->done = done;
    t->done_context = context;
    for (struct connection *c = t->connections; c != NULL; c = c->next) {
        if (c->is_writing && !c->is_closing)
            connection_set_deadline(c, TCP_CLOSE_TIMEOUT_MS);
        else
            connection_close(c);
    }
    uv_poll_stop(&t->poll);
    uv_close((uv_handle_t *)&t->poll, listener_closed);
    uv_close((uv_handle_t *)&t->retry, listener_closed);
    close(t->fd); /* now, so that the address is free at once */
}
