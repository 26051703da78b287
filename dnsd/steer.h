/* A zone of the registry and a WireGuard device of this machine, both ways.
 *
 * observe: what the device sees goes into the registry. One observer per (zone, device) writes
 * /warren/zones/<zone>/endpoints/<key>/<device's key> for every peer whose endpoint the device has
 * learned (it shook hands; an endpoint that was only configured is no observation), under one lease
 * that it keeps alive, the same for every zone that the device is observed for. Only changes are
 * written: a new endpoint, idle once, live again once; an observation that was idle for `expire_s`
 * is deleted. A registry that is away is caught up afterwards; after a restart the observations and
 * the lease that are there are gone on with.
 *
 * sync: what the registry publishes goes into the device. One thread per (zone, device) reads the
 * device, decides (wgctl/plan.h) and changes it, so the loop never waits for netlink.
 *
 * Functions: loop thread only, which is the main thread (dnsd/device.h). Both stop without a word
 * to the registry: a lease that nobody keeps alive ends by itself, and a reload's next observer
 * goes on with it. */
#ifndef WARREN_DNSD_STEER_H
#define WARREN_DNSD_STEER_H

#include "base/err.h"
#include "base/metrics.h"
#include "registry/store.h"
#include "zones/warren.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
    STEER_EXPIRE_S = 24 * 3600, /* the default of `expire_s` */
    STEER_LEASE_TTL_S = 60,
};

struct steer_observe;

struct steer_observe_config {
    uv_loop_t *loop;
    struct store *store; /* outlives the observer */
    const char *zone;    /* lower-case absolute: "wg.example." */
    const char *device;
    int64_t expire_s; /* 0: STEER_EXPIRE_S */
};

/* CONFIG's strings are copied. A device that cannot be read and a store that is away are no errors:
 * both are waited for. ERR_NO_MEMORY, ERR_LIMIT (no thread). */
enum err steer_observe_start(struct steer_observe **out,
                             const struct steer_observe_config *config) MUST_CHECK;
/* Nothing is written after the return; the loop has to run until the handles are closed. NULL is
 * fine. */
void steer_observe_stop(struct steer_observe *o);

struct steer_sync;

struct steer_sync_config {
    uv_loop_t *loop;
    const struct zones_warren *zone; /* read inside these functions and on the loop, never
                                        elsewhere; outlives the sync */
    const char *zone_name;           /* for messages: "wg.example." */
    const char *device;
    bool adopt;
    const char *data_dir; /* where adopted peers are remembered across restarts; NULL: nowhere */
};

/* Nothing is pushed before the first steer_sync_zone_changed: call it once the zone is loaded
 * whole, since peers that an adopting sync does not find in the zone are removed. Errors as for
 * steer_observe_start. */
enum err steer_sync_start(struct steer_sync **out,
                          const struct steer_sync_config *config) MUST_CHECK;
/* The peer with KEY changed, came or went. Remembered until the thread fetches it. */
void steer_sync_peer_changed(struct steer_sync *s, const uint8_t key[static KEY_SIZE]);
/* Peers changed: to be called after each settled run of changes, not for each of them. Cheap while
 * the thread is at work: a later state is then fetched once it is done. */
void steer_sync_zone_changed(struct steer_sync *s);
/* Waits for a change under way (bounded by the device's time-outs). `zone` is not looked at after
 * the return; the loop has to run until the handles are closed. NULL is fine. */
void steer_sync_stop(struct steer_sync *s);

#endif
