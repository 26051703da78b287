/* The local WireGuard devices of one `warren` zone, observed or synced or both (dnsd/steer.h).
 *
 * Listens to the zone's changes, and pushes once in each turn of the loop, before the loop waits,
 * whatever peers changed in that turn. A change of the registry that touches no peer pushes
 * nothing. Nothing is pushed before the zone was loaded whole once. Loop thread only. */
#ifndef WARREN_DNSD_ZONE_DEVICES_H
#define WARREN_DNSD_ZONE_DEVICES_H

#include "dnsd/steer.h"

struct zone_device {
    const char *device;
    bool is_observed; /* what it sees goes into the registry */
    bool is_synced;   /* what the registry says goes into it */
    bool adopt;       /* peers, too */
};

struct zone_devices_config {
    uv_loop_t *loop;
    struct store *store;
    const struct zones_warren *zone; /* outlives the devices */
    const char *zone_name;           /* "wg.example." */
    bool (*is_loaded)(const void *context);
    const void *context;
    const char *data_dir; /* as in steer_sync_config */
    int64_t expire_s;     /* as in steer_observe_config */
    const struct zone_device *devices;
    size_t device_count;
};

struct zone_devices;

/* CONFIG's strings are copied. Errors as of steer_observe_start; then nothing was started. */
enum err zone_devices_start(struct zone_devices **out,
                            const struct zone_devices_config *config) MUST_CHECK;
/* As steer_observe_stop and steer_sync_stop. NULL is fine. */
void zone_devices_stop(struct zone_devices *d);

#endif
