/* A zone's inside, shared by what changes it (warren.c, claims.c) and what answers (answer.c). */
#ifndef WARREN_ZONES_WARREN_ZONE_H
#define WARREN_ZONES_WARREN_ZONE_H

#include "index.h"
#include "list.h"
#include "peer.h"

#include <stdatomic.h>

/* What every answer needs of the zone's settings. Replaced whole. */
struct settings {
    struct zones_warren_garbage link;
    uint32_t ttl_s;
    uint32_t negative_ttl_s; /* RFC 2308 section 5 */
    uint16_t soa_size;
    uint16_t serial_at; /* in soa: to be filled in */
    uint8_t soa[2 * DNS_NAME_MAX_SIZE + 5 * sizeof(uint32_t)];
    size_t ns_count;
    struct dns_name_buf ns[ZONE_MAX_NAME_SERVERS];
};

struct group {
    struct zones_warren_garbage link;
    struct list list;
    uint32_t refs; /* peers in it, published or not */
    uint8_t size;
    uint8_t label[PEER_GROUP_MAX]; /* without the underscore */
};

/* A name or an address that several peers claim: it is nobody's until one is left. Who that is need
 * not be looked for: it is the sum of all keys that claim it, in which those that came and went
 * cancel out. So each claim costs the same, however many there are. Readers look at size and bytes
 * only. */
struct dispute {
    struct zones_warren_garbage link;
    uint64_t keys[KEY_SIZE / sizeof(uint64_t)]; /* exclusive or */
    uint32_t count;
    uint8_t size;
    uint8_t bytes[PEER_NAME_MAX];
};

enum {
    CLAIM_HASHES = 4, /* of a peer's first claims: few have more, and those are hashed again */
};

struct zones_warren {
    struct dns_name_buf name;
    struct dns_name_buf service; /* _wireguard._udp.<zone> */
    uint8_t hash_key[HASH_KEY_SIZE];
    _Atomic(struct settings *) settings;
    _Atomic(uint32_t) serial;
    _Atomic(uint32_t) live_groups; /* with a published peer */
    struct index by_key;           /* struct peer */
    struct index by_name;          /* struct item; marked: struct dispute */
    struct index by_address;       /* likewise, host prefixes only */
    struct index by_group;         /* struct group */
    struct list list;              /* every published peer */

    /* The changing thread's. */
    int64_t revision;
    bool generation; /* turns with each reload */
    bool is_reloading;
    bool has_stale; /* there were peers when the reload began */
    size_t peer_count;
    size_t peer_memory;
    size_t observation_count;
    size_t dispute_count;
    uint64_t claim_hashes[CLAIM_HASHES]; /* of the change that is being made */
    struct dispute *spare_disputes;
    size_t spare_dispute_count;
    struct ip_prefix *view_prefixes;          /* PEER_MAX_ALLOWED_IPS */
    struct zones_warren_listener **listeners; /* the first; to listen is no change of the zone */
    struct zones_warren_garbage *garbage;
};

static inline uint64_t zone_hash(const struct zones_warren *z, const void *bytes, size_t size)
{
    return keyed_hash(bytes, size, z->hash_key);
}

/* HASH is the key's. */
static inline struct peer *zone_find_peer_hashed(const struct zones_warren *z, uint64_t hash,
                                                 const uint8_t key[static KEY_SIZE])
{
    struct index_probe probe = index_probe(&z->by_key, hash);
    for (uint64_t slot; (slot = index_next(&probe)) != INDEX_EMPTY;) {
        struct peer *p = index_entry(slot);
        /* An answer will want the TXT and the address behind; it is most likely this one. */
        __builtin_prefetch((const uint8_t *)p + 64);
        __builtin_prefetch((const uint8_t *)p + 2 * 64);
        if (memcmp(p->key, key, KEY_SIZE) == 0)
            return p;
    }
    return NULL;
}

static inline struct peer *zone_find_peer(const struct zones_warren *z,
                                          const uint8_t key[static KEY_SIZE])
{
    return zone_find_peer_hashed(z, zone_hash(z, key, KEY_SIZE), key);
}

static inline struct group *zone_find_group(const struct zones_warren *z, const void *label,
                                            size_t size)
{
    struct index_probe probe = index_probe(&z->by_group, zone_hash(z, label, size));
    for (uint64_t slot; (slot = index_next(&probe)) != INDEX_EMPTY;) {
        struct group *g = index_entry(slot);
        if (g->size == size && memcmp(g->label, label, size) == 0)
            return g;
    }
    return NULL;
}

/* The slot of a claimed name or address, INDEX_EMPTY without. */
static inline uint64_t claim_find(const struct index *x, uint64_t hash, const void *bytes,
                                  size_t size)
{
    struct index_probe probe = index_probe(x, hash);
    for (uint64_t slot; (slot = index_next(&probe)) != INDEX_EMPTY;) {
        const struct item *item = index_entry(slot);
        const struct dispute *d = index_entry(slot);
        bool is_it = index_is_marked(slot)
                         ? d->size == size && memcmp(d->bytes, bytes, size) == 0
                         : item->size == size && memcmp(item->bytes, bytes, size) == 0;
        if (is_it)
            return slot;
    }
    return INDEX_EMPTY;
}

/* The one peer that claims it, or NULL. */
static inline const struct peer *claim_owner(const struct zones_warren *z, const struct index *x,
                                             const void *bytes, size_t size)
{
    uint64_t slot = claim_find(x, zone_hash(z, bytes, size), bytes, size);
    return slot == INDEX_EMPTY || index_is_marked(slot) ? NULL : item_peer(index_entry(slot));
}

static inline bool peer_owns_name(const struct zones_warren *z, const struct peer *p)
{
    const struct item *name = peer_name(p);
    return name->size > 0 && claim_owner(z, &z->by_name, name->bytes, name->size) == p;
}

/* --- claims.c --------------------------------------------------------------------------------- */

/* Hashes what NEW (may be NULL) claims first and fetches where it is looked up, for the two below.
 */
void claims_foresee(struct zones_warren *z, const struct peer *new);
/* After claims_foresee. Takes what claims_commit will need. OLD and NEW are one peer's; either may
 * be NULL. ERR_NO_MEMORY: nothing has changed. */
enum err claims_prepare(struct zones_warren *z, const struct peer *old,
                        const struct peer *new) MUST_CHECK;
/* OLD's names and addresses give way to NEW's: what both have is never away in between. */
void claims_commit(struct zones_warren *z, const struct peer *old, const struct peer *new);
void claims_fini(struct zones_warren *z);

#endif
