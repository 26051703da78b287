/* Reading a WireGuard device into the plain model (base/wg.h).
 *
 * Two backends fill the same structs: the kernel's generic-netlink family "wireguard", and the
 * userspace socket /var/run/wireguard/NAME.sock of wireguard-go and boringtun. As `wg` does, a
 * device whose socket exists is a userspace device; any other name is asked of the kernel.
 *
 * A handle keeps its netlink socket and its buffers between reads, so that a read every half second
 * costs little. One thread at a time per handle. */
#ifndef WARREN_WGCTL_DEVICE_H
#define WARREN_WGCTL_DEVICE_H

#include "base/err.h"
#include "base/wg.h"

#include <stddef.h>

enum {
    WGCTL_DUMP_RETRIES = 10,         /* of a dump that a writer interrupted */
    WGCTL_SOCKET_TIMEOUT_MS = 5000,  /* for one whole answer of a userspace socket */
    WGCTL_MAX_ANSWER_SIZE = 1 << 30, /* bytes of one answer, either backend */
    WGCTL_ERROR_TEXT_SIZE = 256,
};

struct wgctl;

/* SOCKET_DIR is the folder of userspace sockets, NULL for /var/run/wireguard. Opens nothing yet. */
enum err wgctl_create(struct wgctl **out, const char *socket_dir) MUST_CHECK;
void wgctl_destroy(struct wgctl *w);

/* Reads device NAME whole into OUT (initialised; its old content is replaced only on OK).
 * A dump that changed under us (NLM_F_DUMP_INTR) is thrown away and repeated, at most
 * WGCTL_DUMP_RETRIES times, then ERR_INTERRUPTED. Others: ERR_NO_DEVICE (no such interface, or a
 * stale socket), ERR_NOT_WIREGUARD, ERR_PERMISSION (CAP_NET_ADMIN is needed, even to read),
 * ERR_MALFORMED (an answer that makes no sense), ERR_LIMIT, ERR_TIMEOUT, ERR_NO_MEMORY, ERR_IO. */
enum err wgctl_read(struct wgctl *w, const char *name, struct wg_device *out) MUST_CHECK;
/* Sets the endpoint of the peer with KEY on device NAME. A key that is not a peer is left alone and
 * is OK (WGPEER_F_UPDATE_ONLY), as is an endpoint that the peer already has. ERR_INVALID for an
 * endpoint without address, else as wgctl_read, and what the device or the kernel refuses it with.
 */
enum err wgctl_set_peer_endpoint(struct wgctl *w, const char *name,
                                 const uint8_t key[static KEY_SIZE],
                                 const struct ip_endpoint *endpoint) MUST_CHECK;
/* Ends a wait for a userspace device's answer, under way or to come, with ERR_CLOSED, for good. The
 * one function that another thread than the reading one may call. */
void wgctl_cancel(struct wgctl *w);
/* One line about the last failure of this handle: which step failed and why. "" after success. */
const char *wgctl_error(const struct wgctl *w);

#endif
