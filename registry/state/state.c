#include "registry/state/state.h"

#include "registry/state/internal.h"

#include <assert.h>
#include <stdlib.h>

enum {
    RETIRED_KEPT = 1024 /* room for this many is kept between commands */
};

enum err state_create(struct state **out)
{
    struct state *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->revision = 1;
    *out = s;
    return OK;
}

void state_destroy(struct state *s)
{
    if (s == NULL)
        return;
    struct tree_cursor c;
    void *entry;
    state_release_retired(s);
    for (tree_seek(&s->items, BYTES_EMPTY, &c); (entry = tree_at(&c)) != NULL;) {
        tree_next(&c); /* looks at nodes alone */
        item_destroy(entry);
    }
    tree_fini(&s->items);
    for (tree_seek(&s->leases, BYTES_EMPTY, &c); (entry = tree_at(&c)) != NULL;) {
        struct lease *lease = entry;
        tree_next(&c);
        tree_fini(&lease->keys);
        free(lease);
    }
    tree_fini(&s->leases);
    free(s->alarms);
    free(s->retired);
    walk_fini(&s->purge_at);
    free(s);
}

int64_t state_revision(const struct state *s)
{
    return s->revision;
}

int64_t state_compacted(const struct state *s)
{
    return s->compacted;
}

size_t state_key_count(const struct state *s)
{
    return tree_count(&s->items);
}

bool state_get(const struct state *s, struct bytes key, struct kv *out)
{
    const void *entry = tree_find(&s->items, key);
    struct item item;
    if (entry == NULL)
        return false;
    item_read(entry, &item);
    if (item.deleted)
        return false;
    *out = item.kv;
    return true;
}

bool state_version_before(const struct state *s, struct bytes key, int64_t main,
                          int64_t *before_main, int64_t *before_sub)
{
    const void *entry = tree_find(&s->items, key);
    struct item item;
    /* What a key was just before the compacted revision is gone, purged or not. */
    if (entry == NULL || main <= s->compacted)
        return false;
    item_read(entry, &item);
    size_t before = item_versions_until(&item, main - 1);
    if (before == 0 || place_deleted(item_version(&item, before - 1)))
        return false;
    *before_main = place_main(item_version(&item, before - 1));
    *before_sub = place_sub(item_version(&item, before - 1));
    return true;
}

enum err state_retire(struct state *s, void *entry)
{
    if (s->retired_count == s->retired_capacity) {
        size_t capacity = s->retired_capacity > 0 ? 2 * s->retired_capacity : 16;
        void **grown = realloc(s->retired, capacity * sizeof(*grown));
        if (grown == NULL) {
            item_free(entry);
            return ERR_NO_MEMORY;
        }
        s->retired = grown;
        s->retired_capacity = capacity;
    }
    s->retired[s->retired_count++] = entry;
    return OK;
}

void state_release_retired(struct state *s)
{
    for (size_t i = 0; i < s->retired_count; i++)
        item_free(s->retired[i]);
    s->retired_count = 0;
    if (s->retired_capacity > RETIRED_KEPT) {
        free(s->retired);
        s->retired = NULL;
        s->retired_capacity = 0;
    }
}
