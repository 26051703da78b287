/* Warren's own keys in the registry, and what their values say.
 *
 *   /warren/zones/<zone>                                zone settings
 *   /warren/zones/<zone>/peers/<key>                    a peer, written by admins and enrolment
 *   /warren/zones/<zone>/endpoints/<key>/<observer>     where <observer> sees it, under its lease
 *
 * <zone> is a lower-case absolute domain name without a slash ("wg.example."), <key> and <observer>
 * WireGuard public keys in lower-case base32 without padding (52 characters). Values are JSON
 * objects; names that we do not know are ignored when read, so that an older member can read what a
 * newer wrote. Values carry no time that moves by itself.
 *
 * Zone settings, a peer and an observation; everything but an observation's endpoint is optional:
 *
 *   {"ttl":60,
 *    "soa":{"mname":"ns1.wg.example.","rname":"hostmaster.wg.example.",
 *           "refresh":7200,"retry":1800,"expire":86400,"minimum":60},
 *    "ns":["ns1.wg.example."]}
 *
 *   {"name":"alice","allowed_ips":["10.0.0.2/32"],"groups":["web"],
 *    "endpoint":"192.0.2.1:51820","keepalive":25}
 *
 *   {"endpoint":"192.0.2.7:40000","how":"handshake","idle":true}
 *
 * Names and groups are read in either case and kept in lower case, prefixes are masked (an address
 * alone is its host prefix), v4-mapped addresses become IPv4, and what is said twice counts once.
 *
 * The published endpoint of a peer: the live observation with the highest mod_revision, else the
 * static one, else the newest idle observation. */
#ifndef WARREN_REGISTRY_PEER_H
#define WARREN_REGISTRY_PEER_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/dns_name.h"
#include "base/encoding.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_NAME_MAX = 63,  /* one DNS label */
    PEER_GROUP_MAX = 62, /* one DNS label, behind its underscore */
    PEER_MAX_ALLOWED_IPS = 4096,
    PEER_MAX_GROUPS = 64,
    PEER_MAX_VALUE_SIZE = 256 << 10,
    ZONE_MAX_NAME_SERVERS = 16,
    ZONE_DEFAULT_TTL_S = 60,
    ZONE_DEFAULT_REFRESH_S = 7200,
    ZONE_DEFAULT_RETRY_S = 1800,
    ZONE_DEFAULT_EXPIRE_S = 86400,
    ZONE_DEFAULT_MINIMUM_S = 60,
};

#define REGISTRY_ZONES_PREFIX "/warren/zones/"

struct registry_zone {
    uint32_t ttl_s;
    /* The SOA; empty names stand for ns1.<zone> and hostmaster.<zone>. The serial follows the
     * registry's revision. */
    struct dns_name_buf soa_mname;
    struct dns_name_buf soa_rname;
    uint32_t soa_refresh_s;
    uint32_t soa_retry_s;
    uint32_t soa_expire_s;
    uint32_t soa_minimum_s;
    struct dns_name_buf ns[ZONE_MAX_NAME_SERVERS]; /* none: soa_mname */
    size_t ns_count;
};

struct registry_peer {
    char name[PEER_NAME_MAX + 1];        /* lower case; "" without */
    const struct ip_prefix *allowed_ips; /* in the arena; masked */
    size_t allowed_ip_count;
    const char *const *groups; /* lower case labels, in the arena */
    size_t group_count;
    struct ip_endpoint endpoint; /* the static one; family IP_NONE without */
    uint16_t keepalive_s;        /* 0: off */
    bool has_keepalive;
};

struct registry_observation {
    struct ip_endpoint endpoint;
    char how[16]; /* "handshake"; later "stun", "rendezvous" */
    bool is_idle;
};

/* Which of the keys above a key is. */
enum registry_key_type {
    REGISTRY_KEY_OTHER, /* not ours, or not well-formed */
    REGISTRY_KEY_ZONE,
    REGISTRY_KEY_PEER,
    REGISTRY_KEY_ENDPOINT,
};

struct registry_key {
    enum registry_key_type type;
    struct bytes zone; /* the text, borrowed from the key */
    uint8_t peer[KEY_SIZE];
    uint8_t observer[KEY_SIZE];
};

/* Appends the key; ZONE is a lower-case absolute domain name. */
void registry_zone_key(struct strbuf *out, struct bytes zone);
void registry_peer_key(struct strbuf *out, struct bytes zone, const uint8_t peer[static KEY_SIZE]);
void registry_endpoint_key(struct strbuf *out, struct bytes zone,
                           const uint8_t peer[static KEY_SIZE],
                           const uint8_t observer[static KEY_SIZE]);
/* The common beginning of a zone's peers or endpoints, for a range. */
void registry_peers_prefix(struct strbuf *out, struct bytes zone);
void registry_endpoints_prefix(struct strbuf *out, struct bytes zone);
/* Never fails: what is no key of ours is REGISTRY_KEY_OTHER. */
void registry_key_parse(struct registry_key *out, struct bytes key);
/* The same for the keys of ZONE, which is written as we write it, so that its name needs no other
 * look for each key: a key of another zone is REGISTRY_KEY_OTHER. */
void registry_key_parse_in(struct registry_key *out, struct bytes zone, struct bytes key);

/* Values. ERR_MALFORMED with one line in WHY (NULL: not wanted) that names the field;
 * ERR_NO_MEMORY. What OUT points to is in ARENA. */
enum err registry_zone_parse(struct registry_zone *out, struct bytes value,
                             struct strbuf *why) MUST_CHECK;
enum err registry_peer_parse(struct registry_peer *out, struct bytes value, struct arena *arena,
                             struct strbuf *why) MUST_CHECK;
enum err registry_observation_parse(struct registry_observation *out, struct bytes value,
                                    struct strbuf *why) MUST_CHECK;
/* Compact JSON in the field order above; fields at their default are left out. Sticky failure. */
void registry_zone_format(struct strbuf *out, const struct registry_zone *zone);
void registry_peer_format(struct strbuf *out, const struct registry_peer *peer);
void registry_observation_format(struct strbuf *out, const struct registry_observation *o);

/* The settings of a zone that nobody set. */
void registry_zone_defaults(struct registry_zone *out);
/* Whether TEXT can be a peer's name or a group: one label of letters, digits and inner hyphens,
 * lower case, not beginning with an underscore, at most PEER_NAME_MAX long. */
bool registry_label_is_valid(const char *text, size_t size);

#endif
