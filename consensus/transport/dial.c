#include "internal.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_DOUBLINGS = 10
};

/* --- when ------------------------------------------------------------------------------------- */

/* The lower id dials first, so that there is seldom a second connection to get rid of. */
static uint64_t grace(const struct transport *t, const struct peer *p)
{
    return t->config.member_id > p->id ? GRACE_MS : 0;
}

void dial_soon(struct transport *t, struct peer *p, struct slot *s)
{
    s->next_dial = now_ms(t) + randombytes_uniform(t->config.min_backoff_ms) + grace(t, p);
}

void dial_failed(struct transport *t, struct peer *p, struct slot *s, enum transport_reason why)
{
    if (why == TRANSPORT_DUPLICATE) {
        dial_soon(t, p, s);
        return;
    }
    /* It does not know our key yet: we show it, with the PSK, and at once. */
    bool shows_key = why == TRANSPORT_UNBOUND && !s->uses_psk && t->has_psk;
    s->uses_psk = shows_key;
    if (shows_key) {
        s->next_dial = now_ms(t);
        return;
    }
    uint64_t wait = (uint64_t)t->config.min_backoff_ms
                    << (s->failures < MAX_DOUBLINGS ? s->failures : MAX_DOUBLINGS);
    if (wait > t->config.max_backoff_ms)
        wait = t->config.max_backoff_ms;
    s->failures++;
    s->next_dial =
        now_ms(t) + wait / 2 + randombytes_uniform((uint32_t)(wait / 2 + 1)) + grace(t, p);
}

/* --- where ------------------------------------------------------------------------------------ */

static void on_connected(uv_connect_t *request, int status)
{
    struct connection *c = request->data;
    if (c->state == CONNECTION_CLOSING)
        return;
    if (status != 0) {
        c->network_error = status;
        connection_close(c, TRANSPORT_NETWORK);
        return;
    }
    connection_set_options(c);
    handshake_begin(c);
    if (c->state != CONNECTION_CLOSING && connection_start_reading(c) != OK)
        connection_close(c, TRANSPORT_NETWORK);
}

static void connect_to(struct transport *t, struct peer *p, enum transport_stream stream,
                       const struct ip_endpoint *to, size_t which)
{
    struct slot *s = &p->slots[stream];
    struct connection *c;
    struct sockaddr_storage address;
    if (connection_create(&c, t, true) != OK) {
        dial_failed(t, p, s, TRANSPORT_NO_MEMORY);
        return;
    }
    c->peer = p;
    c->member_id = p->id;
    c->stream = stream;
    c->source = ip_unmap(to->addr);
    p->sources[which] = c->source;
    (void)ip_endpoint_format(to, c->address);
    s->dialing = c;
    (void)ip_endpoint_to_sockaddr(to, &address);
    c->connect.data = c;
    int status =
        uv_tcp_connect(&c->connect, &c->tcp, (const struct sockaddr *)&address, on_connected);
    if (status != 0) {
        c->network_error = status;
        connection_close(c, TRANSPORT_NETWORK);
    }
}

struct resolving {
    uv_getaddrinfo_t request;
    struct transport *t;
    uint64_t member_id;
    enum transport_stream stream;
    size_t which; /* of the member's addresses */
    size_t turn;  /* of its results */
    char host[TRANSPORT_MAX_HOST_SIZE];
};

/* The result number TURN, counted round. */
static enum err pick(const struct addrinfo *results, size_t turn, struct ip_endpoint *out)
{
    size_t count = 0;
    for (const struct addrinfo *a = results; a != NULL; a = a->ai_next)
        count++;
    if (count == 0)
        return ERR_NOT_FOUND;
    turn %= count;
    const struct addrinfo *a = results;
    for (; turn > 0; turn--)
        a = a->ai_next;
    return ip_endpoint_from_sockaddr(out, a->ai_addr, a->ai_addrlen);
}

/* Whether the name is still the member's. */
static bool is_still_there(const struct peer *p, const struct resolving *r)
{
    return r->which < p->address_count && strcmp(p->addresses[r->which].host, r->host) == 0;
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *results)
{
    struct resolving *r = request->data;
    struct transport *t = r->t;
    struct peer *p = t->is_destroyed ? NULL : peer_find(t, r->member_id);
    struct slot *s = p != NULL ? &p->slots[r->stream] : NULL;
    struct ip_endpoint to;
    if (s != NULL && s->is_resolving) {
        s->is_resolving = false;
        if (status != 0 || pick(results, r->turn, &to) != OK) {
            p->last_failure = TRANSPORT_NETWORK;
            report_unresolved(t, p, r->host, status);
            t->counters.refused_out[TRANSPORT_NETWORK]++;
            dial_failed(t, p, s, TRANSPORT_NETWORK);
        } else if (s->open == NULL && s->dialing == NULL && is_still_there(p, r))
            connect_to(t, p, r->stream, &to, r->which);
    }
    uv_freeaddrinfo(results);
    free(r);
    transport_release(t);
}

static void resolve(struct transport *t, struct peer *p, enum transport_stream stream,
                    const struct transport_address *a, size_t which)
{
    struct slot *s = &p->slots[stream];
    struct resolving *r = calloc(1, sizeof(*r));
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    (void)snprintf(port, sizeof(port), "%u", (unsigned)a->port);
    if (r != NULL) {
        r->request.data = r;
        r->t = t;
        r->member_id = p->id;
        r->stream = stream;
        r->which = which;
        r->turn = s->attempt / p->address_count;
        memcpy(r->host, a->host, sizeof(r->host));
    }
    if (r == NULL ||
        uv_getaddrinfo(t->config.loop, &r->request, on_resolved, a->host, port, &hints) != 0) {
        free(r);
        dial_failed(t, p, s, TRANSPORT_NO_MEMORY);
        return;
    }
    s->is_resolving = true;
    t->awaited++;
}

static void dial(struct transport *t, struct peer *p, enum transport_stream stream)
{
    struct slot *s = &p->slots[stream];
    size_t which = s->attempt % p->address_count;
    const struct transport_address *a = &p->addresses[which];
    struct ip_endpoint to = {.port = a->port};
    t->counters.dialed++;
    if (ip_addr_parse(&to.addr, a->host, strlen(a->host)) == OK)
        connect_to(t, p, stream, &to, which);
    else
        resolve(t, p, stream, a, which);
    s->attempt++;
}

void dial_tick(struct transport *t, struct peer *p)
{
    if (p->address_count == 0)
        return;
    for (enum transport_stream i = 0; i < TRANSPORT_STREAM_COUNT; i++) {
        const struct slot *s = &p->slots[i];
        if (s->open == NULL && s->dialing == NULL && !s->is_resolving && now_ms(t) >= s->next_dial)
            dial(t, p, i);
    }
}
