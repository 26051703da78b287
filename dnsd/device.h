/* The WireGuard devices that this process reads, shared by every directive that names one.
 *
 * A device is read by one wgctl_watch however many zones project it, and goes on being read across
 * a reload, so that a new instance has its answers at once. Subscribers are called from the watch's
 * thread (and, for the first state, from device_subscribe's caller); they publish under RCU. */
#ifndef WARREN_DNSD_DEVICE_H
#define WARREN_DNSD_DEVICE_H

#include "base/err.h"
#include "wgctl/watch.h"

enum {
    DEVICE_FIRST_WAIT_MS = 500
};

struct device_subscription;

/* DIRECTIVE, static, is who says in the log that the device cannot be read, and that it can again:
 * one line for each directive that has it. Calls FN with the device's present state before it
 * returns, and on every change afterwards. Opens the device's watch if it is the first subscriber
 * of NAME: then the call waits for its first read, but not longer than DEVICE_FIRST_WAIT_MS for all
 * devices that do not answer together. ERR_NO_MEMORY, ERR_LIMIT. Main thread only, as is
 * device_unsubscribe. */
enum err device_subscribe(struct device_subscription **out, const char *name, const char *directive,
                          wgctl_watch_fn *fn, void *context) MUST_CHECK;
/* FN is not called after the return. The last subscriber ends the watch. */
void device_unsubscribe(struct device_subscription *s);

#endif
