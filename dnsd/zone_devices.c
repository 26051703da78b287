#include "dnsd/zone_devices.h"

#include <stdlib.h>

struct zone_devices {
    uv_prepare_t look;
    const struct zones_warren *zone;
    bool (*is_loaded)(const void *context);
    const void *context;
    struct zones_warren_listener listener;
    bool was_loaded;
    bool has_changed; /* since the last look */
    struct steer_observe **observers;
    struct steer_sync **syncs;
    size_t observer_count;
    size_t sync_count;
};

static void on_change(void *context, const uint8_t key[static KEY_SIZE])
{
    struct zone_devices *d = context;
    d->has_changed = true;
    for (size_t i = 0; i < d->sync_count; i++)
        steer_sync_peer_changed(d->syncs[i], key);
}

static void on_look(uv_prepare_t *handle)
{
    struct zone_devices *d = handle->data;
    if (!d->is_loaded(d->context) || (d->was_loaded && !d->has_changed))
        return;
    d->was_loaded = true;
    d->has_changed = false;
    for (size_t i = 0; i < d->sync_count; i++)
        steer_sync_zone_changed(d->syncs[i]);
}

static void on_closed(uv_handle_t *handle)
{
    struct zone_devices *d = handle->data;
    free(d->observers);
    free(d->syncs);
    free(d);
}

static enum err start_device(struct zone_devices *d, const struct zone_devices_config *config,
                             const struct zone_device *device)
{
    if (device->is_observed) {
        struct steer_observe_config observe = {.loop = config->loop,
                                               .store = config->store,
                                               .zone = config->zone_name,
                                               .device = device->device,
                                               .expire_s = config->expire_s};
        enum err e = steer_observe_start(&d->observers[d->observer_count], &observe);
        if (e != OK)
            return e;
        d->observer_count++;
    }
    if (!device->is_synced)
        return OK;
    struct steer_sync_config sync = {.loop = config->loop,
                                     .zone = config->zone,
                                     .zone_name = config->zone_name,
                                     .device = device->device,
                                     .adopt = device->adopt,
                                     .data_dir = config->data_dir};
    enum err e = steer_sync_start(&d->syncs[d->sync_count], &sync);
    d->sync_count += e == OK;
    return e;
}

enum err zone_devices_start(struct zone_devices **out, const struct zone_devices_config *config)
{
    struct zone_devices *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return ERR_NO_MEMORY;
    d->zone = config->zone;
    d->is_loaded = config->is_loaded;
    d->context = config->context;
    d->listener = (struct zones_warren_listener){.changed = on_change, .context = d};
    zones_warren_listen(d->zone, &d->listener);
    (void)uv_prepare_init(config->loop, &d->look);
    d->look.data = d;
    (void)uv_prepare_start(&d->look, on_look);
    uv_unref((uv_handle_t *)&d->look); /* no reason to keep a loop running */
    d->observers = calloc(config->device_count + 1, sizeof(struct steer_observe *));
    d->syncs = calloc(config->device_count + 1, sizeof(struct steer_sync *));
    enum err e = d->observers != NULL && d->syncs != NULL ? OK : ERR_NO_MEMORY;
    for (size_t i = 0; e == OK && i < config->device_count; i++)
        e = start_device(d, config, &config->devices[i]);
    if (e != OK) {
        zone_devices_stop(d);
        return e;
    }
    *out = d;
    return OK;
}

void zone_devices_stop(struct zone_devices *d)
{
    if (d == NULL)
        return;
    zones_warren_unlisten(d->zone, &d->listener);
    for (size_t i = 0; i < d->observer_count; i++)
        steer_observe_stop(d->observers[i]);
    for (size_t i = 0; i < d->sync_count; i++)
        steer_sync_stop(d->syncs[i]);
    uv_close((uv_handle_t *)&d->look, on_closed);
}
