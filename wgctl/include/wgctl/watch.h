/* A reader that notices changes of a device by itself.
 *
 * The kernel announces neither roaming nor handshakes, so a thread reads the device at an interval
 * (WGCTL_WATCH_INTERVAL_MS; longer when a read is so dear that it would take more than 4 percent of
 * a core, but never beyond WGCTL_WATCH_MAX_INTERVAL_MS, so a change is seen within a second) and
 * tells its owner when what DNS publishes changed (wg_device_same_published), when a peer shook
 * hands for the first time, fell silent or came back (wg_peer_liveness), when the device became
 * unreadable, and when it healed. A read that a busy writer interrupted every time
 * (ERR_INTERRUPTED) says nothing new and is not told while there is an earlier view: that one
 * stands. Nor is a userspace device's mere change of order after the third: wireguard-go gives its
 * peers in a new one each time. One thread per device: a hung userspace socket delays nobody else.
 */
#ifndef WARREN_WGCTL_WATCH_H
#define WARREN_WGCTL_WATCH_H

#include "base/err.h"
#include "base/wg.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    WGCTL_WATCH_INTERVAL_MS = 400,
    WGCTL_WATCH_MAX_INTERVAL_MS = 900,
};

struct wgctl_watch;

struct wgctl_watch_event {
    enum err error;                 /* OK: `device` is what was read */
    const char *detail;             /* one line about ERROR, else "" */
    const struct wg_device *device; /* borrowed for the call; NULL unless OK */
    bool liveness_only;             /* what is published is as it was told last */
};

/* Called from the watch's thread, on the first read and on every change of the published part, of a
 * peer's liveness or of `error`. The 50 ms from a read to DNS are spent in here. */
typedef void wgctl_watch_fn(void *context, const struct wgctl_watch_event *event);

/* Starts the thread and waits at most WAIT_MS until it has read the device and told FN, so that a
 * caller usually serves right answers from its first reply on, and a hung device holds nobody up.
 * SOCKET_DIR as for wgctl_create. ERR_NO_MEMORY, ERR_LIMIT (no thread); an unreadable device is not
 * an error here. */
enum err wgctl_watch_create(struct wgctl_watch **out, const char *name, const char *socket_dir,
                            unsigned wait_ms, wgctl_watch_fn *fn, void *context) MUST_CHECK;
/* Stops the thread, giving up a read under way; FN is not called after the return. */
void wgctl_watch_destroy(struct wgctl_watch *w);

/* Asks for a read now, without waiting for it. Any thread. */
void wgctl_watch_poke(struct wgctl_watch *w);
/* Number of reads finished, good or bad; any thread. */
uint64_t wgctl_watch_read_count(const struct wgctl_watch *w);

#endif
