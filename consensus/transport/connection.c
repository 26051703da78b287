#include "internal.h"

#include <assert.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- queues ----------------------------------------------------------------------------------- */

void queue_init(struct queue *q)
{
    *q = (struct queue){.end = &q->head};
}

enum err queue_push(struct queue *q, uint16_t type, struct bytes bytes)
{
    struct queued *m = malloc(sizeof(*m) + bytes.size);
    if (m == NULL)
        return ERR_NO_MEMORY;
    *m = (struct queued){.type = type, .size = (uint32_t)bytes.size};
    if (bytes.size > 0)
        memcpy(m->data, bytes.data, bytes.size);
    *q->end = m;
    q->end = &m->next;
    q->size += bytes.size + TRANSPORT_MESSAGE_COST;
    return OK;
}

void queue_pop(struct queue *q)
{
    struct queued *m = q->head;
    q->head = m->next;
    if (q->head == NULL)
        q->end = &q->head;
    q->size -= m->size + (size_t)TRANSPORT_MESSAGE_COST;
    free(m);
}

size_t queue_clear(struct queue *q)
{
    size_t count = 0;
    for (; q->head != NULL; count++)
        queue_pop(q);
    return count;
}

/* --- life ------------------------------------------------------------------------------------- */

bool connection_is_half_open(const struct connection *c)
{
    return !c->is_dialed && c->state < CONNECTION_OPEN;
}

enum err connection_create(struct connection **out, struct transport *t, bool is_dialed)
{
    struct connection *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NO_MEMORY;
    if (uv_tcp_init(t->config.loop, &c->tcp) != 0) {
        free(c);
        return ERR_NO_MEMORY;
    }
    c->tcp.data = c;
    c->t = t;
    c->is_dialed = is_dialed;
    c->state = is_dialed ? CONNECTION_CONNECTING : CONNECTION_PREAMBLE;
    c->deadline = now_ms(t) + t->config.handshake_timeout_ms;
    queue_init(&c->out);
    queue_init(&c->held);
    c->next = t->connections;
    if (c->next != NULL)
        c->next->previous = c;
    t->connections = c;
    t->awaited++;
    if (!is_dialed)
        t->half_open++;
    transport_start_ticking(t);
    *out = c;
    return OK;
}

static void unlink_connection(struct connection *c)
{
    struct transport *t = c->t;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        t->connections = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    if (!c->is_dirty)
        return;
    for (struct connection **at = &t->dirty;; at = &(*at)->next_dirty) {
        if (*at == c) {
            *at = c->next_dirty;
            return;
        }
    }
}

void connection_tell_lost(struct connection *c)
{
    struct transport *t = c->t;
    if (!c->is_told)
        return;
    c->is_told = false;
    if (t->is_destroyed)
        return;
    report_lost(c);
    t->config.owner.lost(t->config.owner.context, c->member_id, c->stream, c->why);
}

static void on_closed(uv_handle_t *handle)
{
    struct connection *c = handle->data;
    struct transport *t = c->t;
    connection_tell_lost(c);
    unlink_connection(c);
    (void)queue_clear(&c->held);
    frame_reader_fini(&c->frames);
    noise_handshake_destroy(c->handshake);
    noise_session_destroy(c->session);
    free(c->in);
    free(c);
    transport_release(t);
}

/* Reasons that are ours to give; the others it sees itself. */
static bool is_for_the_other(enum transport_reason why)
{
    return why >= TRANSPORT_MALFORMED && why <= TRANSPORT_STOPPED;
}

static void say_why(struct connection *c, enum transport_reason why)
{
    if (!is_for_the_other(why) || c->pending_writes > 0)
        return;
    if (c->session != NULL)
        session_say_close(c, why);
    else if (c->state == CONNECTION_PREAMBLE || c->state == CONNECTION_HANDSHAKE) {
        char refusal[REFUSAL_SIZE] = {0, 0, (char)why};
        uv_buf_t buffer = uv_buf_init(refusal, sizeof(refusal));
        (void)uv_try_write((uv_stream_t *)&c->tcp, &buffer, 1);
    }
}

/* The member's slot goes on without C. */
static void leave_slot(struct connection *c, enum transport_reason why)
{
    struct peer *p = c->peer;
    if (p == NULL)
        return;
    struct slot *s = &p->slots[c->stream];
    if (s->open == c) {
        s->open = NULL;
        s->was_full = false;
        p->last_failure = why;
        /* One that ends as soon as it begins is a failed attempt. */
        if (now_ms(c->t) - c->opened_at < c->t->config.max_backoff_ms) {
            dial_failed(c->t, p, s, why);
        } else {
            s->failures = 0;
            dial_soon(c->t, p, s);
        }
    }
    if (s->dialing == c) {
        s->dialing = NULL;
        if (why != TRANSPORT_DUPLICATE)
            p->last_failure = why;
        dial_failed(c->t, p, s, why);
    }
}

static void end(struct connection *c, enum transport_reason why, bool is_theirs)
{
    struct transport *t = c->t;
    if (c->state == CONNECTION_CLOSING)
        return;
    if (!is_theirs)
        say_why(c, why);
    if (connection_is_half_open(c))
        t->half_open--;
    c->why = why;
    if (c->state == CONNECTION_OPEN)
        t->counters.lost[why]++;
    else if (!t->is_destroyed) {
        if (c->is_dialed)
            t->counters.refused_out[why]++;
        else
            t->counters.refused_in[why]++;
        report_failure(c, why, is_theirs);
    }
    t->counters.streams[c->stream].messages_dropped += queue_clear(&c->out);
    leave_slot(c, why);
    c->state = CONNECTION_CLOSING;
    c->peer = NULL;
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void connection_close(struct connection *c, enum transport_reason why)
{
    end(c, why, false);
}

void connection_closed_by_other(struct connection *c, uint8_t reason)
{
    struct transport *t = c->t;
    enum transport_reason why = reason > TRANSPORT_NO_REASON && reason < TRANSPORT_REASON_COUNT
                                    ? (enum transport_reason)reason
                                    : TRANSPORT_REFUSED;
    bool is_refusal = c->is_dialed && c->state != CONNECTION_OPEN && c->peer != NULL &&
                      why != TRANSPORT_DUPLICATE && why != TRANSPORT_STOPPED;
    uint64_t id = c->member_id;
    end(c, why, true);
    if (is_refusal && t->config.owner.refused_by != NULL && !t->is_destroyed)
        t->config.owner.refused_by(t->config.owner.context, id, why);
}

/* --- the socket ------------------------------------------------------------------------------- */

void connection_set_options(struct connection *c)
{
    uv_os_fd_t fd;
    (void)uv_tcp_nodelay(&c->tcp, 1);
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0)
        return;
    /* What is sent and not acknowledged; silence is noticed by pings. */
    unsigned timeout_ms = 2 * c->t->config.silence_limit_ms;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
}

struct pending_write {
    uv_write_t request;
    struct connection *c;
    char data[];
};

static void on_written(uv_write_t *request, int status)
{
    struct pending_write *w = request->data;
    struct connection *c = w->c;
    free(w);
    c->pending_writes--;
    if (c->state == CONNECTION_CLOSING)
        return;
    if (status != 0) {
        c->network_error = status;
        connection_close(c, TRANSPORT_NETWORK);
    } else
        connection_mark_dirty(c);
}

static void put_later(struct connection *c, const uint8_t *data, size_t size)
{
    struct pending_write *w = malloc(sizeof(*w) + size);
    if (w == NULL) {
        connection_close(c, TRANSPORT_NO_MEMORY);
        return;
    }
    w->c = c;
    w->request.data = w;
    memcpy(w->data, data, size);
    uv_buf_t buffer = uv_buf_init(w->data, (unsigned)size);
    if (uv_write(&w->request, (uv_stream_t *)&c->tcp, &buffer, 1, on_written) != 0) {
        free(w);
        connection_close(c, TRANSPORT_NETWORK);
        return;
    }
    if (c->pending_writes++ == 0)
        c->write_began = now_ms(c->t);
}

void connection_put(struct connection *c, const uint8_t *data, size_t size)
{
    size_t done = 0;
    if (c->pending_writes == 0) {
        union {
            const uint8_t *in;
            char *out;
        } base = {.in = data}; /* uv_buf_t has no const */
        uv_buf_t buffer = uv_buf_init(base.out, (unsigned)size);
        int n = uv_try_write((uv_stream_t *)&c->tcp, &buffer, 1);
        if (n < 0 && n != UV_EAGAIN) {
            c->network_error = n;
            connection_close(c, TRANSPORT_NETWORK);
            return;
        }
        done = n > 0 ? (size_t)n : 0;
    }
    c->t->counters.streams[c->stream].bytes_sent += size;
    if (done < size)
        put_later(c, data + done, size - done);
}

/* Units of one connection that arrived partly wait in memory of its own; all else is read into, and
 * decrypted in, one buffer for all connections. */
static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *out)
{
    struct connection *c = handle->data;
    struct transport *t = c->t;
    (void)suggested;
    size_t room = c->session != NULL ? READ_SIZE : HANDSHAKE_READ_SIZE - c->in_size;
    if (c->in_size > 0)
        memcpy(t->read, c->in, c->in_size);
    *out = uv_buf_init((char *)t->read + c->in_size, (unsigned)room);
}

/* Keeps what is left of the buffer for the next read. */
static void keep(struct connection *c, const uint8_t *data, size_t size)
{
    free(c->in);
    c->in = NULL;
    c->in_size = 0;
    if (size == 0)
        return;
    c->in = malloc(size);
    if (c->in == NULL) {
        connection_close(c, TRANSPORT_NO_MEMORY);
        return;
    }
    memcpy(c->in, data, size);
    c->in_size = size;
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct connection *c = stream->data;
    struct transport *t = c->t;
    (void)buffer;
    if (n == 0 || c->state == CONNECTION_CLOSING)
        return;
    if (n < 0) {
        c->network_error = (int)n;
        connection_close(c,
                         n == UV_EOF || n == UV_ECONNRESET ? TRANSPORT_CLOSED : TRANSPORT_NETWORK);
        return;
    }
    t->counters.streams[c->stream].bytes_received += (uint64_t)n;
    size_t size = c->in_size + (size_t)n, offset = 0;
    while (c->state != CONNECTION_CLOSING) {
        size_t used = c->session != NULL ? session_consume(c, t->read + offset, size - offset)
                                         : handshake_consume(c, t->read + offset, size - offset);
        if (used == 0)
            break;
        offset += used;
    }
    if (c->state != CONNECTION_CLOSING)
        keep(c, t->read + offset, size - offset);
}

enum err connection_start_reading(struct connection *c)
{
    return uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read) == 0 ? OK : ERR_IO;
}
