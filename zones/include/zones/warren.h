/* The `warren` projection: one zone of the registry to DNS records.
 *
 * Model: a zone holds, per peer, its key, name, overlay addresses, groups and published endpoint,
 * in the shape in which they are answered, and indexes by key label, by name and by reverse
 * address. The one writer changes it peer by peer as the registry changes; readers answer from it
 * at the same time without a lock. What a change replaces is not freed but put on a list that the
 * writer frees after a grace period (zones_warren_reclaim): so the module needs no RCU library,
 * only the promise that the caller makes.
 *
 *   <zone>                                          SOA NS
 *   _wireguard._udp.<zone>                          PTR   every published peer
 *   <base32 key, padded or not>._wireguard._udp.<zone>   SRV A AAAA TXT   as wgsd answers
 *   _<group>._sub._wireguard._udp.<zone>            PTR   (RFC 6763 section 7.1)
 *   _services._dns-sd._udp.<zone>                   PTR   _wireguard._udp.<zone>   (section 9)
 *   b._dns-sd._udp.<zone>, lb._dns-sd._udp.<zone>   PTR   <zone>   (section 11)
 *   <name>.<zone>                                   A AAAA   overlay addresses (host prefixes)
 *   <reverse of an overlay address>                 PTR   <name>.<zone>
 *
 * A name that exists without the type asked is NODATA with the SOA, an empty non-terminal too
 * (RFC 8020, RFC 4592 section 2.2.2), any other name NXDOMAIN with the SOA. A reverse name that no
 * SOA of ours is above has NODATA without it (RFC 2308 section 2.2, type 3); in a zone that covers
 * reverse names (the root, arpa, 10.in-addr.arpa) it is a name of the zone as any other, and every
 * name that reverse names could be below exists. ANY gives all there is.
 *
 * "Published" is a peer with an endpoint, static or observed. A peer that only observations tell
 * of, without a record of its own, is published by its key: its TXT has an empty `allowed=`, and it
 * has no name, groups or addresses. Two peers that claim one name or one address both lose it until
 * it is settled: the name does not exist, the address has no PTR.
 *
 * A PTR RRset is answered with its first 1024 targets: more than the 922 that a message can hold,
 * so that a larger one is truncated, with TC set, as any other reply is.
 *
 * Pure: base and the registry's plain peer model. Answers: any thread; changes: one thread. */
#ifndef WARREN_ZONES_WARREN_H
#define WARREN_ZONES_WARREN_H

#include "base/arena.h"
#include "base/dns_message.h"
#include "base/err.h"
#include "base/hash.h"
#include "registry/peer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    /* What has still room for _<group>._sub._wireguard._udp before it. */
    ZONES_WARREN_MAX_NAME_SIZE = DNS_NAME_MAX_SIZE - 64 - 5 - 16,
};

struct zones_warren;

/* A zone without peers and with the settings of registry_zone_defaults. NAME is lower case.
 * HASH_KEY is a secret of this process: peers choose their keys and names and must not be able to
 * choose their place in an index. ERR_LIMIT: NAME is longer than ZONES_WARREN_MAX_NAME_SIZE.
 * ERR_NO_MEMORY. */
enum err zones_warren_create(struct zones_warren **out, struct dns_name name,
                             const uint8_t hash_key[static HASH_KEY_SIZE]) MUST_CHECK;
/* No reader may be left. */
void zones_warren_destroy(struct zones_warren *z);

/* --- changes, one thread ---------------------------------------------------------------------- */

/* Each is whole or, on ERR_NO_MEMORY, not at all. REVISION becomes the SOA's serial (its low 32
 * bits). */
enum err zones_warren_set_zone(struct zones_warren *z, const struct registry_zone *settings,
                               int64_t revision) MUST_CHECK;
/* PEER NULL: the peer is gone. Copies. PEER is what registry_peer_parse gives: bounded, masked. */
enum err zones_warren_set_peer(struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                               const struct registry_peer *peer, int64_t revision) MUST_CHECK;
/* An observation by OBSERVER, written at MOD_REVISION; NULL: gone. May come before its peer's
 * record, or without one. */
enum err zones_warren_set_observation(struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                                      const uint8_t observer[static KEY_SIZE],
                                      const struct registry_observation *observation,
                                      int64_t mod_revision) MUST_CHECK;
/* For a registry whose changes were missed: between these two everything that is there is set once
 * more, and the second removes what was not. Answers go on all the while; a reload
 * that was not finished may begin anew. ERR_NO_MEMORY: some of it is still there, and the call may
 * be repeated. */
void zones_warren_begin_reload(struct zones_warren *z);
/* That about COUNT peers will be said, before the first: spares the indexes to grow step by step.
 * Only an empty zone heeds it. ERR_NO_MEMORY. */
enum err zones_warren_expect(struct zones_warren *z, size_t count) MUST_CHECK;
enum err zones_warren_end_reload(struct zones_warren *z) MUST_CHECK;
/* Changes nothing: fetches from memory what the next change of the peer with KEY looks at first. */
void zones_warren_prefetch(const struct zones_warren *z, const uint8_t key[static KEY_SIZE]);
/* The registry moved on without a change of this zone: nothing but the serial, and that only at the
 * next change. */
int64_t zones_warren_revision(const struct zones_warren *z);

/* What the changes since the last call replaced: an opaque list to hand to zones_warren_free after
 * a grace period; NULL if nothing. */
struct zones_warren_garbage;
struct zones_warren_garbage *zones_warren_reclaim(struct zones_warren *z);
void zones_warren_free(struct zones_warren_garbage *g);

/* --- views for sync and warrenctl-like callers, on the changing thread ------------------------ */

struct zones_warren_peer_view {
    const uint8_t *key; /* KEY_SIZE */
    bool has_record;    /* false: only observations tell of it */
    const char *name;   /* as claimed; "" without */
    bool owns_name;     /* false: another peer claims it too */
    const struct ip_prefix *allowed_ips;
    size_t allowed_ip_count;
    struct ip_endpoint endpoint; /* the published one; family IP_NONE without */
    uint16_t keepalive_s;
    bool has_keepalive;
};
/* Borrowed until the next change. False: no such peer. */
bool zones_warren_peer(const struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                       struct zones_warren_peer_view *out);
void zones_warren_each_peer(const struct zones_warren *z,
                            bool (*each)(void *context, const struct zones_warren_peer_view *peer),
                            void *context);

/* Who wants to know which peers change. */
struct zones_warren_listener {
    struct zones_warren_listener *next; /* the zone's */
    /* After each change of the peer with KEY that its view may show; it may be gone. */
    void (*changed)(void *context, const uint8_t key[static KEY_SIZE]);
    void *context;
};
/* LISTENER is the caller's and stays where it is until zones_warren_unlisten. */
void zones_warren_listen(const struct zones_warren *z, struct zones_warren_listener *listener);
void zones_warren_unlisten(const struct zones_warren *z, struct zones_warren_listener *listener);

size_t zones_warren_peer_count(const struct zones_warren *z);
size_t zones_warren_published_count(const struct zones_warren *z);
/* Bytes that the zone's data holds, for metrics. */
size_t zones_warren_memory(const struct zones_warren *z);

/* --- answers, any thread ---------------------------------------------------------------------- */

/* Whether NAME (lower case) is in the zone, or the reverse name of an address that one of its peers
 * has. */
bool zones_warren_owns(const struct zones_warren *z, struct dns_name name);
/* Whether NAME (lower case) is the reverse name of an address that one of its peers has. */
bool zones_warren_has_address(const struct zones_warren *z, struct dns_name name);
struct dns_name zones_warren_name(const struct zones_warren *z);

/* Completes REPLY (made by dns_reply_init) for the lower-cased NAME, which zones_warren_owns, as
 * RFC 1034 section 4.3.2 and RFC 6763 say. What REPLY borrows lives in ARENA, NAME and the zone (so
 * for the caller's read-side section). ERR_NO_MEMORY: the arena is at its limit. */
enum err zones_warren_answer(const struct zones_warren *z, struct dns_name name, uint16_t type,
                             struct arena *arena, struct dns_message *reply) MUST_CHECK;

#endif
