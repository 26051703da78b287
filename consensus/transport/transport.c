#include "internal.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

/* --- texts ------------------------------------------------------------------------------------ */

const char *transport_reason_text(enum transport_reason reason)
{
    static const char *const texts[] = {
#define X(name, number, label, text) [number] = text,
        TRANSPORT_REASON_LIST(X)
#undef X
    };
    return reason < ARRAY_COUNT(texts) ? texts[reason] : "unknown reason";
}

const char *transport_reason_label(enum transport_reason reason)
{
    static const char *const labels[] = {
#define X(name, number, label, text) [number] = label,
        TRANSPORT_REASON_LIST(X)
#undef X
    };
    return reason < ARRAY_COUNT(labels) ? labels[reason] : "unknown";
}

/* --- the loop comes back ---------------------------------------------------------------------- */

bool bucket_take(struct bucket *b, uint64_t now)
{
    const uint64_t full = TRANSPORT_MAX_HANDSHAKES_PER_S * 1000;
    uint64_t elapsed = now - b->filled_at;
    b->filled_at = now;
    b->tokens = elapsed >= 1000 ? full : b->tokens + elapsed * TRANSPORT_MAX_HANDSHAKES_PER_S;
    if (b->tokens > full)
        b->tokens = full;
    if (b->tokens < 1000)
        return false;
    b->tokens -= 1000;
    return true;
}

/* Runs once a turn of the loop while something is dirty: what was queued in one turn goes out
 * together. */
static void on_work(uv_idle_t *idle)
{
    struct transport *t = idle->data;
    struct connection *c = t->dirty;
    t->dirty = NULL;
    while (c != NULL) {
        struct connection *next = c->next_dirty;
        c->is_dirty = false;
        if (c->is_resumed && c->state == CONNECTION_OPEN)
            session_deliver_held(c);
        session_flush(c);
        c = next;
    }
    if (t->dirty == NULL && !t->is_destroyed)
        (void)uv_idle_stop(&t->work);
}

void connection_mark_dirty(struct connection *c)
{
    struct transport *t = c->t;
    if (c->is_dirty || c->state == CONNECTION_CLOSING)
        return;
    c->is_dirty = true;
    c->next_dirty = t->dirty;
    t->dirty = c;
    if (!t->is_destroyed)
        (void)uv_idle_start(&t->work, on_work);
}

static void check_open(struct connection *c, uint64_t now)
{
    const struct transport_config *config = &c->t->config;
    uint64_t silent = now - c->last_received;
    if (silent > config->silence_limit_ms ||
        (c->pending_writes > 0 && now - c->write_began > 2 * (uint64_t)config->silence_limit_ms)) {
        connection_close(c, TRANSPORT_TIMEOUT);
        return;
    }
    if (silent >= config->ping_interval_ms && now - c->last_ping >= config->ping_interval_ms) {
        c->last_ping = now;
        c->wants_ping = true;
        connection_mark_dirty(c);
    }
}

static uint64_t later(uint64_t time, uint64_t gap, uint64_t now)
{
    return time + gap < now ? time + gap : now;
}

/* The process stood still (stopped, or the loop was held up): what the others sent meanwhile is
 * still unread, so nobody was silent. */
static void forgive(struct transport *t, uint64_t gap)
{
    for (struct connection *c = t->connections; c != NULL; c = c->next) {
        c->deadline += gap;
        c->last_received = later(c->last_received, gap, now_ms(t));
        c->write_began = later(c->write_began, gap, now_ms(t));
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct transport *t = timer->data;
    uint64_t now = now_ms(t);
    if (now - t->last_tick > TICK_LATE_MS)
        forgive(t, now - t->last_tick);
    t->last_tick = now;
    for (struct connection *c = t->connections; c != NULL; c = c->next) {
        if (c->state == CONNECTION_OPEN)
            check_open(c, now);
        else if (c->state != CONNECTION_CLOSING && now >= c->deadline)
            connection_close(c, TRANSPORT_TIMEOUT);
    }
    accept_tick(t);
    for (struct peer *p = t->peers; p != NULL; p = p->next)
        dial_tick(t, p);
    if (t->peers == NULL && t->connections == NULL && !accept_waits(t)) {
        t->is_ticking = false;
        (void)uv_timer_stop(&t->tick);
    }
}

void transport_start_ticking(struct transport *t)
{
    if (t->is_ticking || t->is_destroyed)
        return;
    t->is_ticking = true;
    t->last_tick = now_ms(t);
    (void)uv_timer_start(&t->tick, on_tick, TICK_MS, TICK_MS);
}

/* --- life ------------------------------------------------------------------------------------- */

static void peer_destroy(struct peer *p)
{
    free(p->addresses);
    free(p);
}

void transport_release(struct transport *t)
{
    if (--t->awaited > 0 || !t->is_destroyed)
        return;
    sodium_free(t->secrets);
    free(t);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct transport *t = handle->data;
    transport_release(t);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    transport_release(l->t);
}

void transport_destroy(struct transport *t)
{
    if (t == NULL)
        return;
    t->is_destroyed = true;
    for (struct connection *c = t->connections; c != NULL; c = c->next)
        connection_close(c, TRANSPORT_STOPPED);
    while (t->peers != NULL) {
        struct peer *p = t->peers;
        t->peers = p->next;
        peer_destroy(p);
    }
    for (size_t i = 0; i < t->listener_count; i++)
        uv_close((uv_handle_t *)&t->listeners[i].tcp, on_listener_closed);
    uv_close((uv_handle_t *)&t->work, on_handle_closed);
    uv_close((uv_handle_t *)&t->tick, on_handle_closed);
}

#define DEFAULT(field, value)                                                                      \
    do {                                                                                           \
        if ((field) == 0)                                                                          \
            (field) = (value);                                                                     \
    } while (0)

static void fill_defaults(struct transport_config *c)
{
    struct transport_limits *consensus = &c->limits[TRANSPORT_CONSENSUS];
    struct transport_limits *bulk = &c->limits[TRANSPORT_BULK];
    DEFAULT(consensus->message, TRANSPORT_CONSENSUS_MESSAGE_LIMIT);
    DEFAULT(consensus->queue, TRANSPORT_CONSENSUS_QUEUE_LIMIT);
    DEFAULT(bulk->message, TRANSPORT_BULK_MESSAGE_LIMIT);
    DEFAULT(bulk->queue, TRANSPORT_BULK_QUEUE_LIMIT);
    DEFAULT(c->bulk_window, TRANSPORT_BULK_WINDOW);
    DEFAULT(c->handshake_timeout_ms, TRANSPORT_HANDSHAKE_TIMEOUT_MS);
    DEFAULT(c->ping_interval_ms, TRANSPORT_PING_INTERVAL_MS);
    DEFAULT(c->silence_limit_ms, TRANSPORT_SILENCE_LIMIT_MS);
    DEFAULT(c->min_backoff_ms, TRANSPORT_MIN_BACKOFF_MS);
    DEFAULT(c->max_backoff_ms, TRANSPORT_MAX_BACKOFF_MS);
}

/* A window of two messages never stands still: what is left of it is too little for the next
 * message only once half of it was taken, which gives credit. */
static bool is_valid(const struct transport_config *c)
{
    uint64_t bulk = (uint64_t)c->limits[TRANSPORT_BULK].message + TRANSPORT_MESSAGE_COST;
    const struct transport_owner *o = &c->owner;
    return c->version_min > 0 && c->version_min <= c->version_max && c->bulk_window >= 2 * bulk &&
           c->bulk_window <= INT32_MAX && c->member_id != 0 && c->key != NULL &&
           c->listen_count <= TRANSPORT_MAX_LISTENERS && o->received != NULL &&
           o->bulk_received != NULL && o->connected != NULL && o->lost != NULL &&
           o->key_shown != NULL;
}

static enum err take_secrets(struct transport *t, const struct transport_config *config)
{
    t->secrets = sodium_malloc(sizeof(*t->secrets));
    if (t->secrets == NULL)
        return ERR_NO_MEMORY;
    sodium_memzero(t->secrets, sizeof(*t->secrets));
    memcpy(t->secrets->private_key, member_key_private(config->key), MEMBER_KEY_SIZE);
    memcpy(t->public_key, member_key_public(config->key), MEMBER_KEY_SIZE);
    t->has_psk = config->psk != NULL;
    if (t->has_psk)
        memcpy(t->secrets->psk, config->psk, MEMBER_KEY_SIZE);
    return OK;
}

static void start_clock(struct transport *t)
{
    uint8_t seed[HASH_KEY_SIZE];
    randombytes_buf(seed, sizeof(seed));
    log_limit_init(&t->member_log, seed, LOG_LIMIT_KINDS, TRANSPORT_LOG_INTERVAL_MS);
    log_limit_init(&t->stranger_log, seed, STRANGER_LOG_KINDS, TRANSPORT_LOG_INTERVAL_MS);
    (void)uv_idle_init(t->config.loop, &t->work);
    (void)uv_timer_init(t->config.loop, &t->tick);
    t->work.data = t->tick.data = t;
    t->awaited += 2;
    t->member_handshakes.tokens = t->stranger_handshakes.tokens =
        TRANSPORT_MAX_HANDSHAKES_PER_S * 1000;
    t->member_handshakes.filled_at = t->stranger_handshakes.filled_at = now_ms(t);
}

enum err transport_create(struct transport **out, const struct transport_config *config,
                          struct strbuf *error)
{
    if (sodium_init() < 0)
        return ERR_UNSUPPORTED;
    struct transport *t = calloc(1, sizeof(*t));
    if (t == NULL)
        return ERR_NO_MEMORY;
    t->config = *config;
    fill_defaults(&t->config);
    enum err e = is_valid(&t->config) ? take_secrets(t, config) : ERR_INVALID;
    if (e != OK) {
        if (e == ERR_INVALID)
            strbuf_add_str(error, "the configuration of the members' transport is not valid\n");
        free(t);
        return e;
    }
    t->config.key = NULL;
    t->config.psk = NULL;
    t->config.listen = NULL;
    start_clock(t);
    for (size_t i = 0; i < config->listen_count && e == OK; i++)
        e = accept_open(t, &config->listen[i], error);
    if (e != OK) {
        transport_destroy(t);
        return e;
    }
    *out = t;
    return OK;
}

uint16_t transport_port(const struct transport *t, size_t index)
{
    assert(index < t->listener_count);
    return t->listeners[index].port;
}

/* --- the table -------------------------------------------------------------------------------- */

struct peer *peer_find(const struct transport *t, uint64_t id)
{
    struct peer *p = t->peers;
    while (p != NULL && p->id != id)
        p = p->next;
    return p;
}

static enum err check_members(const struct transport_member *members, size_t count)
{
    if (count > TRANSPORT_MAX_MEMBERS)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        if (members[i].address_count > TRANSPORT_MAX_ADDRESSES)
            return ERR_LIMIT;
        if (members[i].id == 0)
            return ERR_INVALID;
        for (size_t j = 0; j < i; j++)
            if (members[j].id == members[i].id)
                return ERR_INVALID;
        for (size_t j = 0; j < members[i].address_count; j++)
            if (memchr(members[i].addresses[j].host, 0, TRANSPORT_MAX_HOST_SIZE) == NULL)
                return ERR_INVALID;
    }
    return OK;
}

static bool same_addresses(const struct peer *a, const struct peer *b)
{
    if (a->address_count != b->address_count)
        return false;
    for (size_t i = 0; i < a->address_count; i++)
        if (strcmp(a->addresses[i].host, b->addresses[i].host) != 0 ||
            a->addresses[i].port != b->addresses[i].port)
            return false;
    return true;
}

/* What the call needs of memory, before anything changes: a new peer for each member. */
static enum err make_peers(struct peer **out, const struct transport *t,
                           const struct transport_member *members, size_t count)
{
    struct peer *made = NULL;
    for (size_t i = count; i-- > 0;) {
        const struct transport_member *m = &members[i];
        if (m->id == t->config.member_id)
            continue;
        struct peer *p = calloc(1, sizeof(*p));
        if (p != NULL) {
            p->next = made;
            made = p;
            p->id = m->id;
            p->is_bound = m->is_bound;
            if (m->is_bound)
                memcpy(p->key, m->key, sizeof(p->key));
            p->address_count = m->address_count;
            p->addresses = calloc(m->address_count + 1, sizeof(*p->addresses));
        }
        if (p == NULL || p->addresses == NULL) {
            while ((p = made) != NULL) {
                made = p->next;
                peer_destroy(p);
            }
            return ERR_NO_MEMORY;
        }
        if (m->address_count > 0)
            memcpy(p->addresses, m->addresses, m->address_count * sizeof(*p->addresses));
        for (size_t j = 0; j < m->address_count; j++)
            if (ip_addr_parse(&p->sources[j], m->addresses[j].host, strlen(m->addresses[j].host)) ==
                OK)
                p->sources[j] = ip_unmap(p->sources[j]);
    }
    *out = made;
    return OK;
}

/* The slots, and with them the connections, go on under the new entry. */
static void take_over(struct transport *t, struct peer *p, struct peer *old)
{
    bool moved = !same_addresses(old, p);
    memcpy(p->slots, old->slots, sizeof(p->slots));
    p->last_failure = old->last_failure;
    if (!moved)
        memcpy(p->sources, old->sources, sizeof(p->sources));
    for (struct connection *c = t->connections; c != NULL; c = c->next)
        if (c->peer == old)
            c->peer = p;
    for (size_t i = 0; moved && i < TRANSPORT_STREAM_COUNT; i++) {
        struct slot *s = &p->slots[i];
        if (s->dialing != NULL) /* to where it is no more */
            connection_close(s->dialing, TRANSPORT_DUPLICATE);
        s->is_resolving = false;
        s->failures = 0;
        s->attempt = 0;
        dial_soon(t, p, s);
    }
}

static void cut_off(struct transport *t, const struct peer *p, enum transport_reason why)
{
    for (struct connection *c = t->connections; c != NULL; c = c->next)
        if (c->peer == p)
            connection_close(c, why);
}

/* Connections that showed another key than the one that is now bound. */
static void cut_off_other_keys(struct transport *t, const struct peer *p)
{
    for (struct connection *c = t->connections; c != NULL && p->is_bound; c = c->next)
        if (c->peer == p && c->session != NULL &&
            sodium_memcmp(c->remote_key, p->key, sizeof(p->key)) != 0)
            connection_close(c, TRANSPORT_KEY);
}

enum err transport_set_members(struct transport *t, const struct transport_member *members,
                               size_t count)
{
    struct peer *made, *old;
    enum err e = check_members(members, count);
    if (e == OK)
        e = make_peers(&made, t, members, count);
    if (e != OK)
        return e;
    for (struct peer *p = made; p != NULL; p = p->next) {
        old = peer_find(t, p->id);
        if (old != NULL) {
            take_over(t, p, old);
            cut_off_other_keys(t, p);
        } else
            for (size_t i = 0; i < TRANSPORT_STREAM_COUNT; i++)
                dial_soon(t, p, &p->slots[i]);
    }
    old = t->peers;
    t->peers = made;
    transport_start_ticking(t);
    while (old != NULL) {
        struct peer *p = old;
        old = p->next;
        if (peer_find(t, p->id) == NULL)
            cut_off(t, p, TRANSPORT_REMOVED);
        peer_destroy(p);
    }
    return OK;
}

/* --- sending ---------------------------------------------------------------------------------- */

static enum err enqueue(struct transport *t, uint64_t member_id, enum transport_stream stream,
                        uint16_t type, struct bytes bytes)
{
    struct peer *p = peer_find(t, member_id);
    if (p == NULL)
        return ERR_NOT_FOUND;
    struct slot *s = &p->slots[stream];
    struct connection *c = s->open;
    if (c == NULL)
        return ERR_CLOSED;
    if (bytes.size > c->theirs.message_limit)
        return ERR_INVALID;
    /* The largest message goes into an empty queue whatever the bound. */
    if (c->out.head != NULL &&
        c->out.size + bytes.size + TRANSPORT_MESSAGE_COST > t->config.limits[stream].queue) {
        s->was_full = true;
        return ERR_LIMIT;
    }
    enum err e = queue_push(&c->out, type, bytes);
    if (e == OK)
        connection_mark_dirty(c);
    return e;
}

static enum err counted(struct transport *t, enum transport_stream stream, enum err e)
{
    if (e != OK)
        t->counters.streams[stream].messages_dropped++;
    return e;
}

enum err transport_send(struct transport *t, uint64_t member_id, uint16_t type, struct bytes bytes)
{
    return counted(t, TRANSPORT_CONSENSUS, enqueue(t, member_id, TRANSPORT_CONSENSUS, type, bytes));
}

/* A full queue is no loss here: the owner waits and offers the message again. */
enum err transport_send_bulk(struct transport *t, uint64_t member_id, uint16_t type,
                             struct bytes bytes)
{
    enum err e = enqueue(t, member_id, TRANSPORT_BULK, type, bytes);
    return e == ERR_LIMIT ? e : counted(t, TRANSPORT_BULK, e);
}

void transport_resume(struct transport *t, uint64_t member_id)
{
    struct peer *p = peer_find(t, member_id);
    struct connection *c = p != NULL ? p->slots[TRANSPORT_BULK].open : NULL;
    if (c == NULL || !c->is_paused)
        return;
    c->is_resumed = true;
    connection_mark_dirty(c);
}

/* --- looking ---------------------------------------------------------------------------------- */

enum err transport_peer_status(const struct transport *t, uint64_t member_id,
                               struct transport_peer_status *out)
{
    const struct peer *p = peer_find(t, member_id);
    if (p == NULL)
        return ERR_NOT_FOUND;
    *out = (struct transport_peer_status){.last_failure = p->last_failure};
    for (size_t i = 0; i < TRANSPORT_STREAM_COUNT; i++) {
        const struct connection *c = p->slots[i].open;
        if (c == NULL)
            continue;
        out->streams[i].is_connected = true;
        out->streams[i].agreed = c->agreed;
        out->streams[i].queued_size = c->out.size;
    }
    return OK;
}

const struct transport_counters *transport_counters(const struct transport *t)
{
    return &t->counters;
}

size_t transport_half_open_count(const struct transport *t)
{
    return t->half_open;
}
