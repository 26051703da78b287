/* The server core: from the bytes of a request to the bytes of a reply.
 *
 * A `struct listener` is the immutable routing table of one listen address: the sites (zones) that
 * are served there. Transports (dnsd/udp.h, dnsd/tcp.h) read requests, point a query at the
 * listener they belong to, and call server_answer inside an RCU read-side section. */
#ifndef WARREN_DNSD_SERVER_H
#define WARREN_DNSD_SERVER_H

#include "dnsd/instance.h"
#include "dnsd/query.h"

enum {
    SERVER_READ_TIMEOUT_MS = 3000, /* TCP: for the first query of a connection */
    SERVER_WRITE_TIMEOUT_MS = 5000,
    SERVER_IDLE_TIMEOUT_MS = 10000, /* TCP: for each further query */
    SERVER_QUERY_ARENA_LIMIT = 64 << 20,
};

struct site_slot;

struct listener {
    const char *address; /* "dns://:53", "dns://127.0.0.1:53": also metrics' `server` label */
    struct ip_endpoint endpoint; /* family IP_NONE: the wildcard of both families */
    struct site **sites;         /* in Corefile order */
    size_t site_count;
    bool serves_chaos; /* a block with `chaos` opens the listener to other classes */
    unsigned read_timeout_ms;
    unsigned write_timeout_ms;
    unsigned idle_timeout_ms;
    struct site_slot *slots; /* zone name to site */
    size_t slot_mask;
    uint64_t zone_sizes[4]; /* bit N: a zone of N octets exists */
};

/* Builds the routing table once `sites` is set; ARENA owns it. ERR_NO_MEMORY. */
enum err listener_index(struct listener *l, struct arena *arena) MUST_CHECK;

/* The site whose zone is exactly ZONE (compared with case, as CoreDNS does), or NULL. */
struct site *listener_find(const struct listener *l, struct dns_name zone);

/* Answers one request. The caller has set proto, remote, local, listener, arena, out and
 * out_capacity of Q; the rest is initialised here. On return q->out_size is the size of the reply
 * in q->out, 0 for none. Never fails: trouble becomes SERVFAIL or silence, as in CoreDNS. */
void server_answer(struct query *q, const uint8_t *data, size_t size);

#endif
