#include "internal.h"

#include <string.h>

/* --- bounds before anything is known ---------------------------------------------------------- */

static bool is_member_source(const struct transport *t, const struct ip_addr *source)
{
    for (const struct peer *p = t->peers; p != NULL; p = p->next)
        for (size_t i = 0; i < p->address_count; i++)
            if (ip_addr_equal(&p->sources[i], source))
                return true;
    return false;
}

bool accept_may_compute(struct connection *c)
{
    struct transport *t = c->t;
    return bucket_take(is_member_source(t, &c->source) ? &t->member_handshakes
                                                       : &t->stranger_handshakes,
                       now_ms(t));
}

static size_t half_open_of(const struct connection *c)
{
    size_t count = 0;
    for (const struct connection *o = c->t->connections; o != NULL; o = o->next)
        count += o != c && connection_is_half_open(o) && ip_addr_equal(&o->source, &c->source);
    return count;
}

/* The oldest but C; one from a member's address only if there is no other. */
static void make_room(struct connection *c)
{
    struct connection *oldest = NULL, *oldest_stranger = NULL;
    for (struct connection *o = c->t->connections; o != NULL; o = o->next) {
        if (o == c || !connection_is_half_open(o))
            continue;
        oldest = o;
        if (!is_member_source(c->t, &o->source))
            oldest_stranger = o;
    }
    if (oldest_stranger != NULL)
        oldest = oldest_stranger;
    if (oldest != NULL)
        connection_close(oldest, TRANSPORT_BUSY);
}

static void admit(struct connection *c)
{
    struct transport *t = c->t;
    if (half_open_of(c) >= TRANSPORT_MAX_HALF_OPEN_OF_SOURCE) {
        connection_close(c, TRANSPORT_BUSY);
        return;
    }
    if (t->half_open > TRANSPORT_MAX_HALF_OPEN)
        make_room(c);
    connection_set_options(c);
    if (connection_start_reading(c) != OK)
        connection_close(c, TRANSPORT_NETWORK);
}

/* --- listening -------------------------------------------------------------------------------- */

static void name_source(struct connection *c)
{
    struct sockaddr_storage address;
    struct ip_endpoint from;
    int size = sizeof(address);
    (void)strcpy(c->address, "?");
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&address, &size) != 0 ||
        ip_endpoint_from_sockaddr(&from, (struct sockaddr *)&address, (size_t)size) != OK)
        return;
    from.addr = ip_unmap(from.addr);
    c->source = from.addr;
    (void)ip_endpoint_format(&from, c->address);
}

static void accept_one(struct listener *l)
{
    struct transport *t = l->t;
    struct connection *c;
    l->has_waiting = connection_create(&c, t, false) != OK;
    if (l->has_waiting) { /* libuv waits until it is accepted; the clock tries again */
        transport_start_ticking(t);
        return;
    }
    t->counters.accepted++;
    if (uv_accept((uv_stream_t *)&l->tcp, (uv_stream_t *)&c->tcp) != 0) {
        connection_close(c, TRANSPORT_NETWORK);
        return;
    }
    name_source(c);
    admit(c);
}

static void on_connection(uv_stream_t *stream, int status)
{
    if (status == 0)
        accept_one(stream->data);
}

void accept_tick(struct transport *t)
{
    for (size_t i = 0; i < t->listener_count; i++)
        if (t->listeners[i].has_waiting)
            accept_one(&t->listeners[i]);
}

bool accept_waits(const struct transport *t)
{
    bool waits = false;
    for (size_t i = 0; i < t->listener_count; i++)
        waits = waits || t->listeners[i].has_waiting;
    return waits;
}

static int bound_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage address;
    struct ip_endpoint at;
    int size = sizeof(address);
    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &size) != 0 ||
        ip_endpoint_from_sockaddr(&at, (struct sockaddr *)&address, (size_t)size) != OK)
        return 0;
    return at.port;
}

enum err accept_open(struct transport *t, const struct ip_endpoint *at, struct strbuf *error)
{
    struct listener *l = &t->listeners[t->listener_count];
    struct sockaddr_storage address;
    char text[IP_ENDPOINT_TEXT_SIZE];
    (void)ip_endpoint_to_sockaddr(at, &address);
    (void)ip_endpoint_format(at, text);
    int status = uv_tcp_init(t->config.loop, &l->tcp);
    if (status != 0)
        return ERR_NO_MEMORY;
    l->t = t;
    l->tcp.data = l;
    t->listener_count++;
    t->awaited++;
    status = uv_tcp_bind(&l->tcp, (const struct sockaddr *)&address, 0);
    if (status == 0)
        status = uv_listen((uv_stream_t *)&l->tcp, LISTEN_BACKLOG, on_connection);
    if (status != 0) {
        strbuf_add_format(error, "cannot listen for members on %s: %s\n", text,
                          uv_strerror(status));
        return err_from_errno(-status);
    }
    l->port = (uint16_t)bound_port(&l->tcp);
    return OK;
}
