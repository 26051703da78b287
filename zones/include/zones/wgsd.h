/* The `wgsd` projection: one WireGuard device, as last read, to DNS-SD records.
 *
 * Model: a `zones_wgsd` is the directive's fixed side (zone name, `self`, the SOA of its negative
 * answers). A `zones_wgsd_view` is one immutable projection of one device: per peer the rdata it
 * will ever answer with, an index from a key's label to its peer, and the complete PTR RRset. The
 * owner of a view publishes it (RCU) and makes a new one when the device changes.
 *
 * Answers equal wgsd 0.3.6's byte for byte (docs/compatibility.md lists the exceptions):
 *
 *   _wireguard._udp.ZONE  PTR                every peer that has an endpoint, device order, self
 * last <56 base32 characters><17 octets of text>ZONE  SRV, A, AAAA, TXT   that peer
 *
 * and NXDOMAIN with the zone's SOA for everything else. wgsd tests only the length of what follows
 * the key, so do we. Pure: no I/O, no clock, no global state. Any thread may answer from a view. */
#ifndef WARREN_ZONES_WGSD_H
#define WARREN_ZONES_WGSD_H

#include "base/arena.h"
#include "base/dns_message.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/ip.h"
#include "base/wg.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct zones_wgsd_config {
    struct dns_name zone; /* case kept: a zone with upper-case letters never matches a peer */
    bool has_self;        /* publish the device itself */
    /* Family IP_NONE: the address the client asked, with the device's listen port. */
    struct ip_endpoint self_endpoint;
    const struct ip_prefix *self_allowed_ips; /* already masked; borrowed during create */
    size_t self_allowed_ip_count;
};

struct zones_wgsd;
struct zones_wgsd_view;

/* Copies CONFIG. ERR_NO_MEMORY. */
enum err zones_wgsd_create(struct zones_wgsd **out,
                           const struct zones_wgsd_config *config) MUST_CHECK;
void zones_wgsd_destroy(struct zones_wgsd *z);

/* Projects DEVICE, which is not kept. HASH_KEY is a secret of this process: peers choose their keys
 * and must not be able to choose their place in the index. ERR_NO_MEMORY. */
enum err zones_wgsd_view_create(struct zones_wgsd_view **out, const struct zones_wgsd *z,
                                const struct wg_device *device,
                                const uint8_t hash_key[static HASH_KEY_SIZE]) MUST_CHECK;
void zones_wgsd_view_destroy(struct zones_wgsd_view *v);

/* Whether NAME (lower case) is in the zone. */
bool zones_wgsd_owns(const struct zones_wgsd *z, struct dns_name name);
struct dns_name zones_wgsd_zone(const struct zones_wgsd *z);

/* Completes REPLY (made by dns_reply_init) for the lower-cased NAME, which zones_wgsd_owns. VIEW is
 * NULL while the device is unread or unreadable. What REPLY then borrows lives in ARENA, Z, VIEW,
 * NAME and LOCAL. LOCAL is the address the client asked.
 * OK: the answer, or NXDOMAIN, is in REPLY. ERR_NO_DEVICE: the name needs the device, VIEW is NULL.
 * ERR_NO_MEMORY: the arena is at its limit. */
enum err zones_wgsd_answer(const struct zones_wgsd *z, const struct zones_wgsd_view *view,
                           struct dns_name name, uint16_t type, const struct ip_addr *local,
                           struct arena *arena, struct dns_message *reply) MUST_CHECK;

/* Peers in the view, self included; with an endpoint. For tests and metrics. */
size_t zones_wgsd_view_peer_count(const struct zones_wgsd_view *v);
size_t zones_wgsd_view_published_count(const struct zones_wgsd_view *v);

#endif
