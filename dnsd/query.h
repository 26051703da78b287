/* One query on its way through a server block's handlers.
 *
 * The pipeline sees messages, not sockets: a transport fills a `struct query`, calls server_answer
 * (dnsd/server.h), and sends what it left in `out`. So tests drive the real path in memory.
 *
 * Handlers form a chain in CoreDNS's fixed order. A handler answers by writing a reply to
 * `query->writer`, or passes on with handler_next. One that wants to see or change what later
 * handlers write pushes a response_writer of its own (on its stack) for the time of the call:
 *
 *     struct recorder r = {.base = {.write = recorder_write, .outer = q->writer}};
 *     q->writer = &r.base;
 *     int rcode = handler_next(h, q);
 *     q->writer = r.base.outer;
 *
 * The outermost writer belongs to the server: it adds the client's OPT, truncates, and packs into
 * `out` (CoreDNS's ScrubWriter). Everything a reply borrows must live until that write returns. */
#ifndef WARREN_DNSD_QUERY_H
#define WARREN_DNSD_QUERY_H

#include "base/arena.h"
#include "base/dns_message.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct query;
struct site;
struct listener;

struct response_writer {
    void (*write)(struct response_writer *self, struct query *q, struct dns_message *reply);
    struct response_writer *outer;
};

enum query_proto {
    QUERY_UDP,
    QUERY_TCP,
};

struct query {
    enum query_proto proto;
    struct ip_endpoint remote; /* v4-mapped addresses already unmapped */
    struct ip_endpoint local;  /* the address that was queried, never a wildcard */
    const struct listener *listener;
    const struct site *site; /* the server block that answers; NULL until one matched */
    const char *server;      /* metrics' `server` label: "dns://:53"; the listener's address */

    struct dns_request request; /* handlers may change request.edns (bufsize does) */
    struct dns_name_buf name;   /* lower-cased qname */
    struct arena *arena;        /* reset after the query */

    struct response_writer *writer;
    bool written; /* a reply was packed (or deliberately dropped: drop) */
    uint8_t *out; /* the transport's buffer */
    size_t out_capacity;
    size_t out_size; /* 0: no reply is sent */
    const char
        *plugin; /* name of the handler that wrote first (metrics' `plugin` label); "" before */
    /* The handler that made the reply's records, where others only cached or rewrote them; set by
     * the first of those. NULL: `plugin` did. */
    const char *origin;

    const char *error; /* CoreDNS's `err` beside the rcode: text for `errors`; NULL without */
    void *worker;      /* the transport's own per-thread state */
};

/* Request properties as CoreDNS's request.Request gives them. */
/* The size a UDP reply may have: max(512, EDNS size); 65535 over TCP. */
static inline size_t query_size_limit(const struct query *q)
{
    if (q->proto == QUERY_TCP)
        return DNS_MAX_MESSAGE_SIZE;
    const struct dns_edns *edns = q->request.message.edns;
    return edns != NULL && edns->udp_size > DNS_MIN_UDP_SIZE ? edns->udp_size : DNS_MIN_UDP_SIZE;
}

static inline bool query_do(const struct query *q)
{
    const struct dns_edns *edns = q->request.message.edns;
    return edns != NULL && (edns->flags & DNS_EDNS_DO) != 0;
}

static inline uint16_t query_type(const struct query *q)
{
    return q->request.message.question.type;
}

/* Hands REPLY to the current writer. Only the first call of a query reaches the client. */
void query_write(struct query *q, struct dns_message *reply);

/* A handler's answer beside the reply it wrote: an RCODE. SERVFAIL, REFUSED, FORMERR and NOTIMP say
 * that nothing was written and the server must reply with that RCODE (plugin.ClientWrite). */
static inline bool rcode_client_write(int rcode)
{
    return rcode != DNS_RCODE_SERVFAIL && rcode != DNS_RCODE_REFUSED &&
           rcode != DNS_RCODE_FORMERR && rcode != DNS_RCODE_NOTIMP;
}

struct handler {
    const char *name; /* CoreDNS's plugin name, static */
    int (*serve)(struct handler *self, struct query *q);
    void (*destroy)(struct handler *self); /* frees SELF */
    /* For /ready: whether the handler can serve; NULL means it has nothing to say. */
    bool (*ready)(struct handler *self);
    /* What `ready` says may end again: it is asked at every look. Otherwise a handler that was
     * ready once stays so, as in CoreDNS. */
    bool ready_may_end;
    struct handler *next; /* set by the server; NULL at the end */
};

/* plugin.NextOrFailure: the next handler, or SERVFAIL with error "plugin/NAME: no next plugin
 * found". */
int handler_next(struct handler *self, struct query *q);

#endif
