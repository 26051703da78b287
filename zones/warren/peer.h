/* One peer of a zone in the shape in which it is answered: a single piece of memory that never
 * changes for readers; a change of the peer makes a new one.
 *
 * Behind the fixed part: groups, static address, name, allowed IPs, the TXT's last strings, and
 * the published address. Names and addresses are items that an index points to; an item tells how
 * far behind its peer's start it stands. */
#ifndef WARREN_ZONES_WARREN_PEER_H
#define WARREN_ZONES_WARREN_PEER_H

#include "garbage.h"

struct group;

enum {
    PLACE_NONE = UINT32_MAX,
    TXT_HEAD_SIZE = 10 + 1 + 4 + KEY_BASE64_SIZE, /* "txtvers=1" and "pub=..." */
    /* A TXT RR beyond this fits in no message beside its question; it is left out and TC set. */
    TXT_MAX_SIZE = 64000,
};

struct item {
    uint8_t back[3]; /* octets from the peer's start, little-endian */
    uint8_t size;    /* of a name; of an address 4 or 16, and its prefix length follows */
    uint8_t bytes[];
};

/* Where an observer sees a peer. The changing thread's alone. */
struct observation {
    struct observation *next;
    int64_t mod_revision;
    uint8_t observer[KEY_SIZE];
    struct ip_endpoint endpoint;
    bool is_idle;
    bool generation; /* as struct peer's */
};

/* Membership in a group. */
struct group_ref {
    struct group *group;
    uint32_t place; /* in the group's list; PLACE_NONE while not published. Not for readers. */
};

struct peer {
    union {
        struct zones_warren_garbage link; /* once it was replaced */
        struct observation *observations; /* not for readers */
    };
    uint8_t key[KEY_SIZE];
    uint32_t place; /* in the zone's list; PLACE_NONE while not published. Not for readers. */
    uint32_t txt_at;
    uint16_t txt_size; /* of the last strings; 0: the TXT is too long to be sent */
    uint16_t port;     /* published */
    uint16_t static_port;
    uint16_t keepalive_s;
    uint16_t prefix_count;
    uint8_t group_count;
    uint8_t address_size; /* 0: not published, 4 or 16 */
    uint8_t static_size;  /* likewise of the static endpoint */
    bool generation;      /* of the zone when the record was last said. Not for readers. */
    bool has_record : 1;  /* false: only observations tell of it */
    bool has_keepalive : 1;
    bool has_host_address : 1; /* an allowed IP is a single address: its name has records */
    struct group_ref groups[];
};

static inline const uint8_t *peer_bytes(const struct peer *p, size_t at)
{
    return (const uint8_t *)p + at;
}

static inline bool peer_is_published(const struct peer *p)
{
    return p->address_size > 0;
}

static inline size_t peer_static_at(const struct peer *p)
{
    return sizeof(*p) + p->group_count * sizeof(struct group_ref);
}

static inline const struct item *peer_name(const struct peer *p)
{
    return (const struct item *)peer_bytes(p, peer_static_at(p) + p->static_size);
}

/* Behind the TXT's strings, of address_size octets. */
static inline const uint8_t *peer_address(const struct peer *p)
{
    return peer_bytes(p, (size_t)p->txt_at + p->txt_size);
}

static inline const struct peer *item_peer(const struct item *item)
{
    size_t back = item->back[0] | (size_t)item->back[1] << 8 | (size_t)item->back[2] << 16;
    return (const struct peer *)(const void *)((const uint8_t *)item - back);
}

/* Behind the name comes the first prefix. */
static inline const struct item *item_next(const struct item *item)
{
    return (const struct item *)(item->bytes + item->size + 1);
}

static inline const struct item *peer_first_prefix(const struct peer *p)
{
    return item_next(peer_name(p));
}

static inline bool item_is_host(const struct item *prefix)
{
    return prefix->bytes[prefix->size] == 8 * prefix->size;
}

static inline bool item_same(const struct item *a, const struct item *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* A peer without its record is PEER NULL. ENDPOINT is what is published, family IP_NONE for
 * nothing. The GROUP_COUNT groups are left for the caller to fill. ERR_NO_MEMORY. */
enum err peer_create(struct peer **out, const uint8_t key[static KEY_SIZE],
                     const struct registry_peer *peer, size_t group_count,
                     const struct ip_endpoint *endpoint) MUST_CHECK;
/* OLD with another published endpoint; its observations, groups and places too. */
enum err peer_clone(struct peer **out, const struct peer *old,
                    const struct ip_endpoint *endpoint) MUST_CHECK;
size_t peer_size(const struct peer *p);
void peer_published_endpoint(const struct peer *p, struct ip_endpoint *out);
void peer_static_endpoint(const struct peer *p, struct ip_endpoint *out);
void peer_prefix(const struct item *item, struct ip_prefix *out);

#endif
