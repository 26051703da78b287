/* The sockets of one listen address, kept for as long as some instance serves it.
 *
 * A socket_set owns the UDP workers and the TCP listener of one address and points (RCU) at the
 * `struct listener` that answers there. A reload re-points the sets of addresses that stay, so that
 * no query is lost; only new addresses are opened and only vanished ones closed. */
#ifndef WARREN_DNSD_SOCKETS_H
#define WARREN_DNSD_SOCKETS_H

#include "base/err.h"
#include "base/strbuf.h"
#include "dnsd/server.h"
#include "dnsd/tcp.h"

enum {
    SOCKETS_MAX_UDP_WORKERS = 16, /* of one address; else one per processor */
};

struct socket_set;

/* Opens and binds the UDP sockets and the TCP listener of L's address (port 0 is not supported) but
 * serves nothing yet. WORKERS is the number of UDP sockets. On failure ERROR holds CoreDNS's line,
 * such as "Listen: listen tcp :53: bind: address already in use". Main thread, as all below. */
enum err sockets_open(struct socket_set **out, struct tcp_pool *pool, const struct listener *l,
                      size_t workers, struct strbuf *error) MUST_CHECK;
const char *sockets_address(const struct socket_set *s);
/* From now on L answers. The first call starts the workers. What answered before may be freed after
 * the next synchronize_rcu(). ERR_LIMIT if a thread cannot be made. */
enum err sockets_serve(struct socket_set *s, const struct listener *l) MUST_CHECK;
/* Stops the workers, closes everything. TCP connections get what was already answered. The set is
 * freed once the loop has closed its handles. */
void sockets_close(struct socket_set *s);

#endif
