/* The plain WireGuard device model: what one read of a device saw.
 *
 * Filled by wgctl from the kernel's netlink family or from a userspace socket, read by zones.
 * Invariants: peers stand in the order of the device's answer; allowed IPs in insertion order;
 * an endpoint with family IP_NONE means that the peer has none; has_* flags tell unset from zero.
 * All memory belongs to the device: wg_device_fini frees it. Copies are shallow only by mistake. */
#ifndef WARREN_BASE_WG_H
#define WARREN_BASE_WG_H

#include "base/encoding.h"
#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WG_NAME_SIZE = 16, /* IFNAMSIZ, with NUL */
    /* Bounds on what a device may tell us: beyond them a read fails with ERR_LIMIT. */
    WG_MAX_PEERS = 1 << 21,
    WG_MAX_ALLOWED_IPS = 1 << 24,
};

struct wg_peer {
    uint8_t public_key[KEY_SIZE];
    struct ip_endpoint endpoint;
    int64_t last_handshake_sec; /* UNIX time; 0 with nsec 0 means never */
    int64_t last_handshake_nsec;
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    uint32_t allowed_ip_start; /* index into the device's allowed_ips */
    uint32_t allowed_ip_count;
    uint16_t persistent_keepalive; /* seconds, 0 is off */
    bool has_preshared_key;        /* the key itself is never kept */
};

struct wg_device {
    char name[WG_NAME_SIZE];
    uint32_t ifindex; /* 0 from a userspace socket */
    uint8_t public_key[KEY_SIZE];
    bool has_public_key; /* false while the device has no private key */
    uint16_t listen_port;
    uint32_t fwmark;
    struct wg_peer *peers;
    size_t peer_count;
    size_t peer_capacity;
    struct ip_prefix *allowed_ips; /* all peers', each peer's consecutive */
    size_t allowed_ip_count;
    size_t allowed_ip_capacity;
};

void wg_device_init(struct wg_device *d);
void wg_device_fini(struct wg_device *d);
/* Empties the device but keeps its memory for the next read. */
void wg_device_clear(struct wg_device *d);

/* A new zeroed peer at the end, its allowed IPs starting at the current end. The pointer is valid
 * until the next call. ERR_LIMIT beyond WG_MAX_PEERS, ERR_NO_MEMORY. */
enum err wg_device_add_peer(struct wg_device *d, struct wg_peer **out) MUST_CHECK;
/* Appends to the last peer. ERR_INVALID without one, ERR_LIMIT, ERR_NO_MEMORY. */
enum err wg_device_add_allowed_ip(struct wg_device *d, const struct ip_prefix *prefix) MUST_CHECK;

/* A session ends this long after its handshake (REJECT_AFTER_TIME of WireGuard's paper,
 * section 6.1): a peer whose last handshake is older is silent, whatever else it may be. */
enum {
    WG_SESSION_S = 180
};

enum wg_liveness {
    WG_NEVER, /* no handshake yet */
    WG_ALIVE, /* also for a handshake of the future: the clock was set back */
    WG_SILENT,
};

/* NOW_S is UNIX time. */
enum wg_liveness wg_peer_liveness(const struct wg_peer *peer, int64_t now_s);

/* Whether A and B differ in what DNS publishes: own key, listen port, peers and their order, keys,
 * endpoints, allowed IPs. Handshake times and counters do not count. */
bool wg_device_same_published(const struct wg_device *a, const struct wg_device *b);

#endif
