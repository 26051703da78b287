/* The peers of a zone with the endpoint that is published for each, from the zone's keys: what
 * `warrenctl sync` pushes and other tools list. The daemon has the same from its zone's data
 * (zones/warren.h).
 *
 * Keys may come in any order. The published endpoint is the live observation with the highest
 * mod_revision, else the static one, else the newest idle observation (registry/peer.h). Pure. */
#ifndef WARREN_REGISTRY_PUBLISHED_H
#define WARREN_REGISTRY_PUBLISHED_H

#include "registry/peer.h"

enum {
    PUBLISHED_ARENA_SIZE = 1 << 30
};

struct published_peer {
    uint8_t key[KEY_SIZE];
    struct registry_peer peer;   /* its lists are in the arena */
    struct ip_endpoint endpoint; /* family IP_NONE without */
};

struct published_observation {
    uint8_t key[KEY_SIZE];
    int64_t mod_revision;
    struct registry_observation observation;
};

struct published {
    struct arena arena;
    struct published_peer *peers; /* by key once finished */
    size_t peer_count;
    size_t peer_capacity;
    struct published_observation *observations;
    size_t observation_count;
    size_t observation_capacity;
    size_t malformed_count; /* values that were skipped */
};

void published_init(struct published *p);
void published_fini(struct published *p);
/* Takes one key of zone ZONE; others are passed over. ERR_NO_MEMORY. */
enum err published_add(struct published *p, struct bytes zone, struct bytes key, struct bytes value,
                       int64_t mod_revision) MUST_CHECK;
/* Sorts the peers and chooses their endpoints; once, after the last key. */
void published_finish(struct published *p);

#endif
