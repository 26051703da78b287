/* The kernel's generic-netlink family "wireguard": a pure reader of its messages, and the socket.
 *
 * A dump is a run of datagrams, each a run of netlink messages with one sequence number. The kernel
 * cuts it wherever its buffer is full, so one peer may go on in the next message under the same
 * public key; equal consecutive keys are therefore one peer. A dump whose device was configured
 * meanwhile carries NLM_F_DUMP_INTR and is worthless as a whole. */
#ifndef WARREN_WGCTL_NETLINK_H
#define WARREN_WGCTL_NETLINK_H

#include "base/err.h"
#include "base/ip.h"
#include "base/wg.h"
#include "change_cursor.h"
#include "failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mnl_socket;

enum {
    /* The kernel fills a dump's datagrams up to the size of the buffer it saw, at most this. */
    NETLINK_RECEIVE_SIZE = 32 * 1024,
    NETLINK_TIMEOUT_MS = 5000, /* the kernel answers at once; this is for a kernel in trouble */
    /* Of one SET message: a page, as `wg` sends them. The least holds a peer with one allowed IP.
     */
    NETLINK_SET_SIZE = 4096,
    NETLINK_SET_MIN_SIZE = 256,
};

/* --- Pure: bytes in, model out. --- */

struct netlink_dump {
    struct wg_device *device; /* borrowed, being filled */
    struct failure *why;      /* borrowed */
    uint16_t family;          /* message type of the family */
    uint32_t sequence;        /* messages with another number are not ours */
    bool done;
};

/* DEVICE must be empty. */
void netlink_dump_init(struct netlink_dump *d, struct wg_device *device, struct failure *why,
                       uint16_t family, uint32_t sequence);
/* Reads one datagram; sets `done` at the end of the dump and ignores what follows. ERR_INTERRUPTED
 * for a dump that changed under us; ERR_NO_DEVICE, ERR_NOT_WIREGUARD, ERR_PERMISSION and others as
 * the kernel says in NLMSG_ERROR or NLMSG_DONE; ERR_MALFORMED; ERR_LIMIT; ERR_NO_MEMORY. */
enum err netlink_dump_feed(struct netlink_dump *d, const void *data, size_t size) MUST_CHECK;

/* The answer to CTRL_CMD_GETFAMILY: the number of the family, or 0 in FAMILY while DATA holds no
 * message of ours. ERR_UNSUPPORTED if the kernel has no such family. */
enum err netlink_family_parse(uint16_t *family, struct failure *why, uint32_t sequence,
                              const void *data, size_t size) MUST_CHECK;

/* The acknowledgement of a request; *DONE tells whether DATA held it. */
enum err netlink_ack_parse(bool *done, struct failure *why, uint32_t sequence, const void *data,
                           size_t size) MUST_CHECK;

/* Writes a SET of device NAME with as many of the changes at C as fit into SIZE bytes (at least
 * NETLINK_SET_MIN_SIZE) at BUFFER, aligned as a netlink header is, and moves C; returns the
 * message's size. A peer whose allowed IPs do not fit goes on in the next message: with
 * REPLACE_ALLOWEDIPS, endpoint and keepalive in its first fragment alone. */
size_t netlink_set_write(struct change_cursor *c, const char *name, uint16_t family,
                         uint32_t sequence, void *buffer, size_t size);

/* --- The socket. --- */

struct netlink {
    struct mnl_socket *socket; /* NULL while closed */
    uint16_t family;
    uint32_t sequence; /* of the last request: a counter, since a clock repeats within a second */
    uint64_t interruption_count; /* of dumps, since the beginning */
};

void netlink_close(struct netlink *n);
/* BUFFER has NETLINK_RECEIVE_SIZE bytes; it sees private keys and is wiped before the return.
 * After a failure the socket is closed, and the next call opens a new one. */
enum err netlink_read(struct netlink *n, const char *name, struct wg_device *device,
                      uint8_t *buffer, struct failure *why) MUST_CHECK;
/* Sends the next message of C, which has changes left, and waits for its acknowledgement. Moves C
 * whether or not it succeeds. BUFFER as above. */
enum err netlink_set_next(struct netlink *n, const char *name, struct change_cursor *c,
                          uint8_t *buffer, struct failure *why) MUST_CHECK;

#endif
