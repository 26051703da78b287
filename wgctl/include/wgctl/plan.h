/* What to change of a device so that it agrees with the registry: a pure decision.
 *
 * Input: the device as read, and for each peer of the zone what the registry says. Output: changes
 * in the order in which they are to be made (removals first, then by key), and refusals. Never
 * touched: a peer whose endpoint is alive (a handshake fresher than PLAN_FRESH_S), the device's own
 * key, and whatever was not asked for. Without `adopt` only endpoints of peers that the device has
 * are set. With it, peers and allowed IPs are created, changed and removed too, and a keepalive is
 * set where the registry states one. Peers that the device had and the zone never had are left
 * alone unless they came from an earlier adoption (`owned`).
 *
 * An allowed IP that the peer does not have yet is refused, and the rest of the peer goes on, if it
 *   - would capture the default route (0.0.0.0/0, ::/0, or one half of them), or
 *   - is routed to another interface, or
 *   - is another peer's on the device that keeps it (WireGuard would move it): one that is alive,
 *     that is not the zone's, or that claims it in the zone too. Of claimants none of which has it
 *     the one with the lowest key gets it. */
#ifndef WARREN_WGCTL_PLAN_H
#define WARREN_WGCTL_PLAN_H

#include "base/arena.h"
#include "base/err.h"
#include "base/wg.h"
#include "wgctl/change.h"

enum {
    PLAN_FRESH_S = WG_SESSION_S, /* wg_peer_liveness */
};

struct plan_peer {
    const uint8_t *key;          /* KEY_SIZE */
    struct ip_endpoint endpoint; /* family IP_NONE: none published */
    const struct ip_prefix *allowed_ips;
    size_t allowed_ip_count;
    uint16_t keepalive_s;
    bool has_keepalive;
};

struct plan_input {
    const struct wg_device *device;
    const struct plan_peer *peers; /* the zone's, any order */
    size_t peer_count;
    bool adopt;
    int64_t now_s; /* UNIX time, as the device's handshake times are */
    /* Whether PREFIX is routed to another interface than the device already. */
    bool (*routed_elsewhere)(void *context, const struct ip_prefix *prefix);
    /* NULL, or told before the first question in which prefixes there may be questions about. */
    void (*routes_expected)(void *context, const struct ip_prefix *prefixes, size_t count);
    /* Whether an earlier adoption made the peer with KEY. */
    bool (*owned)(void *context, const uint8_t *key);
    void *context;
};

struct plan_refusal {
    const uint8_t *key;
    struct ip_prefix prefix; /* family IP_NONE: the refusal is about the whole peer */
    const char *why;         /* static */
};

struct plan {
    struct wgctl_peer_change *changes; /* all in the arena */
    size_t change_count;
    struct plan_refusal *refusals;
    size_t refusal_count;
};

/* OUT borrows from INPUT and ARENA, which also gets what the decision needs on its way (some 100
 * bytes a peer, 50 an allowed IP). ERR_NO_MEMORY. */
enum err wgctl_plan(struct plan *out, const struct plan_input *input,
                    struct arena *arena) MUST_CHECK;

#endif
