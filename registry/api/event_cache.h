/* The events of one change as they were encoded last: a change that a thousand watchers see is
 * encoded once.
 *
 * An event is known by its revision, its key, whether it has the value before, and which kind it
 * is: within one store nothing else can differ. */
#ifndef WARREN_REGISTRY_API_EVENT_CACHE_H
#define WARREN_REGISTRY_API_EVENT_CACHE_H

#include "base/bytes.h"
#include "registry/kv.h"

#include <stddef.h>
#include <stdint.h>

enum {
    EVENT_CACHE_MAX_EVENTS = 8,
    EVENT_CACHE_MAX_SIZE = 64 << 10,
};

struct event_identity {
    int64_t revision;
    enum kv_event_type type;
    bool has_prev;
    size_t key_at; /* the key's place in the encoded events */
    size_t key_size;
};

struct event_cache {
    struct event_identity events[EVENT_CACHE_MAX_EVENTS];
    size_t count;
    uint8_t *data; /* EVENT_CACHE_MAX_SIZE, once used */
    size_t size;
};

void event_cache_fini(struct event_cache *c);
/* The encoded events, borrowed until the next call. False: too many or too large to keep (or no
 * memory): the caller encodes them itself. */
bool event_cache_get(struct event_cache *c, struct bytes *out, const struct kv_event *events,
                     size_t count);

#endif
