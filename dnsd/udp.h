/* UDP workers: one thread, one SO_REUSEPORT socket, batches by recvmmsg and sendmmsg.
 *
 * A reply leaves from the address that was queried (IP_PKTINFO, IPV6_PKTINFO), over whatever
 * interface the routing table picks. A worker blocks in recvmmsg, answers the whole batch in one
 * RCU read-side section into a buffer of its own, and sends after it. */
#ifndef WARREN_DNSD_UDP_H
#define WARREN_DNSD_UDP_H

#include "base/err.h"
#include "dnsd/server.h"

enum {
    UDP_BATCH = 64,
    UDP_ERROR_PAUSE_MS = 10, /* after a failure to receive that is no signal */
    /* CoreDNS reads at most this much of a request; what is longer is cut and then FORMERR. */
    UDP_REQUEST_MAX_SIZE = 512,
    UDP_OUT_BUFFER_SIZE = 4 * DNS_MAX_MESSAGE_SIZE,
    UDP_RECEIVE_BUFFER_SIZE = 4 << 20,
    UDP_THREAD_STACK_SIZE = 512 << 10,
};

struct udp_worker;

/* Binds a socket to ENDPOINT (family IP_NONE: both families' wildcard, or IPv4's alone on a host
 * without IPv6). ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_NO_MEMORY, ERR_IO; ERRNO_OUT tells which.
 */
enum err udp_worker_open(struct udp_worker **out, const struct ip_endpoint *endpoint,
                         int *errno_out) MUST_CHECK;
/* Starts the thread; LISTENER is read (RCU) for every batch. ERR_LIMIT. */
enum err udp_worker_start(struct udp_worker *w, struct listener const *const *listener) MUST_CHECK;
/* Ends the thread after the batch under way, closes the socket, frees. */
void udp_worker_destroy(struct udp_worker *w);

#endif
