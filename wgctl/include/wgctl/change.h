/* Changes of a WireGuard device: what `wg set` can say, as a value.
 *
 * Model: a device is changed peer by peer. `has_*` flags tell what is to be changed from what is to
 * be left alone: nothing that is not named here is touched. Over netlink a change is split into as
 * many messages as it needs (not atomic: a peer before the failing one is changed); the message
 * that fails names its peer. */
#ifndef WARREN_WGCTL_CHANGE_H
#define WARREN_WGCTL_CHANGE_H

#include "base/err.h"
#include "base/strbuf.h"
#include "base/wg.h"
#include "wgctl/device.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wgctl_peer_change {
    uint8_t public_key[KEY_SIZE];
    bool remove;
    bool update_only; /* leave a key alone that is not a peer */
    bool has_endpoint;
    struct ip_endpoint endpoint;
    bool has_keepalive;
    uint16_t keepalive_s;
    bool replace_allowed_ips; /* by those below; else they are added */
    const struct ip_prefix *allowed_ips;
    size_t allowed_ip_count;
};

/* Applies CHANGES in order to device NAME. DONE_COUNT (NULL: not wanted) gets how many peers were
 * certainly changed. Errors as wgctl_read and what the device refuses; wgctl_error names device and
 * peer. */
enum err wgctl_change_peers(struct wgctl *w, const char *name,
                            const struct wgctl_peer_change *changes, size_t count,
                            size_t *done_count) MUST_CHECK;

/* Whether ERROR, of the above, is about the device and would meet any other change as well. */
bool wgctl_error_is_of_device(enum err error);

/* The `wg set NAME ...` command line that says the same, one line. */
void wgctl_change_format(struct strbuf *out, const char *name,
                         const struct wgctl_peer_change *change);

#endif
