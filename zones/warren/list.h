/* The published peers of a zone or of a group, and the PTR RRset that they make.
 *
 * Model: `peers` is all of them, in no order, for the changing thread. Readers see the targets of
 * the first LIST_MAX_TARGETS alone, ready as rdata. A PTR of ours takes 71 octets at least in a
 * compressed message, so 65535 octets hold 922: with more peers than fit the reader still gets more
 * targets than fit, and the reply comes out truncated with TC set like any other that is too large.
 *
 * Targets are added in place behind the last one that readers know of; anything else makes new
 * targets. What a change may need is taken before (list_prepare), so that none can fail half-way.
 */
#ifndef WARREN_ZONES_WARREN_LIST_H
#define WARREN_ZONES_WARREN_LIST_H

#include "peer.h"

#include <stdatomic.h>

enum {
    LIST_MAX_TARGETS = 1024,
};

struct list_targets {
    struct zones_warren_garbage link;
    uint32_t capacity;
    _Atomic(uint32_t) count;
    uint8_t rdata[]; /* one after the other, of list.target_size octets */
};

struct list {
    struct dns_name suffix; /* of the targets: _wireguard._udp.<zone> */
    struct peer **peers;
    size_t count;
    size_t capacity;
    _Atomic(struct list_targets *) targets; /* NULL: none yet */
    struct list_targets *spare;             /* for the next change */
};

/* Octets of a target. */
static inline size_t list_target_size(const struct list *l)
{
    return 1 + KEY_BASE32_SIZE + (size_t)l->suffix.size;
}

/* Makes room for one peer more and one less. ERR_NO_MEMORY. */
enum err list_prepare(struct list *l) MUST_CHECK;
/* P gets the last place, which is returned. */
uint32_t list_add(struct list *l, struct peer *p, struct zones_warren_garbage **garbage);
/* Returns the peer that took over PLACE and must be told, or NULL. */
struct peer *list_remove(struct list *l, uint32_t place, struct zones_warren_garbage **garbage);
/* P, with the same key, takes over PLACE. */
void list_replace(struct list *l, uint32_t place, struct peer *p);
size_t list_memory(const struct list *l);
void list_fini(struct list *l);

#endif
