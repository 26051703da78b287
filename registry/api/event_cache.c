#include "event_cache.h"

#include "encode.h"

#include <stdlib.h>
#include <string.h>

void event_cache_fini(struct event_cache *c)
{
    free(c->data);
    *c = (struct event_cache){0};
}

static bool is_same(const struct event_cache *c, const struct event_identity *known,
                    const struct kv_event *e)
{
    struct bytes key = bytes_of(c->data + known->key_at, known->key_size);
    return known->revision == e->kv.mod_revision && known->type == e->type &&
           known->has_prev == e->has_prev && bytes_equal(key, e->kv.key);
}

static bool are_same(const struct event_cache *c, const struct kv_event *events, size_t count)
{
    if (c->count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!is_same(c, &c->events[i], &events[i]))
            return false;
    return true;
}

/* The key is kept behind the encoded events. */
static void remember(struct event_cache *c, const struct kv_event *events, size_t count)
{
    size_t at = c->size;
    for (size_t i = 0; i < count; i++) {
        struct bytes key = events[i].kv.key;
        if (key.size > 0)
            memcpy(c->data + at, key.data, key.size);
        c->events[i] = (struct event_identity){.revision = events[i].kv.mod_revision,
                                               .type = events[i].type,
                                               .has_prev = events[i].has_prev,
                                               .key_at = at,
                                               .key_size = key.size};
        at += key.size;
    }
    c->count = count;
}

bool event_cache_get(struct event_cache *c, struct bytes *out, const struct kv_event *events,
                     size_t count)
{
    if (count == 0 || count > EVENT_CACHE_MAX_EVENTS)
        return false;
    if (!are_same(c, events, count)) {
        size_t size = encode_events_size(events, count), keys_size = 0;
        for (size_t i = 0; i < count; i++)
            keys_size += events[i].kv.key.size;
        if (size + keys_size > EVENT_CACHE_MAX_SIZE)
            return false;
        if (c->data == NULL && (c->data = malloc(EVENT_CACHE_MAX_SIZE)) == NULL)
            return false;
        c->size = (size_t)(encode_events(c->data, events, count) - c->data);
        remember(c, events, count);
    }
    *out = bytes_of(c->data, c->size);
    return true;
}
