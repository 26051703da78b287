/* Leases and the keys that are attached to them. */
#include "registry/state/internal.h"

#include <assert.h>
#include <stdlib.h>

/* Eight bytes that order as ID does. */
static void order_key(uint8_t out[static 8], int64_t id)
{
    uint64_t bits = (uint64_t)id ^ UINT64_C(1) << 63;
    for (size_t i = 0; i < 8; i++)
        out[i] = (uint8_t)(bits >> (56 - 8 * i));
}

struct lease *lease_find(const struct state *s, int64_t id)
{
    uint8_t key[8];
    order_key(key, id);
    return tree_find(&s->leases, bytes_of(key, sizeof(key)));
}

enum err lease_insert(struct state *s, int64_t id, int64_t ttl_s)
{
    struct lease *lease = calloc(1, sizeof(*lease));
    if (lease == NULL)
        return ERR_NO_MEMORY;
    lease->id = id;
    lease->ttl_s = ttl_s;
    lease->entry[1] = 8;
    order_key(lease->entry + 2, id);
    if (tree_insert(&s->leases, lease) != OK) {
        free(lease);
        return ERR_NO_MEMORY;
    }
    s->lease_count++;
    return OK;
}

void lease_drop(struct state *s, struct lease *lease)
{
    void *removed = tree_remove(&s->leases, entry_key(lease));
    assert(removed == lease);
    (void)removed;
    s->lease_count--;
    tree_fini(&lease->keys);
    free(lease);
}

enum err lease_attach(struct state *s, int64_t id, void *entry)
{
    struct lease *lease = lease_find(s, id);
    assert(lease != NULL);
    return tree_insert(&lease->keys, entry);
}

void lease_detach(struct state *s, int64_t id, struct bytes key)
{
    struct lease *lease = lease_find(s, id);
    assert(lease != NULL);
    (void)tree_remove(&lease->keys, key);
}

bool state_lease(const struct state *s, int64_t id, int64_t *ttl_s)
{
    const struct lease *lease = lease_find(s, id);
    if (lease == NULL)
        return false;
    *ttl_s = lease->ttl_s;
    return true;
}

size_t state_lease_count(const struct state *s)
{
    return s->lease_count;
}

void state_each_lease(const struct state *s, void (*each)(void *context, int64_t id, int64_t ttl_s),
                      void *context)
{
    struct tree_cursor c;
    const struct lease *lease;
    for (tree_seek(&s->leases, BYTES_EMPTY, &c); (lease = tree_at(&c)) != NULL; tree_next(&c))
        each(context, lease->id, lease->ttl_s);
}

void state_each_lease_key(const struct state *s, int64_t id,
                          void (*each)(void *context, struct bytes key), void *context)
{
    const struct lease *lease = lease_find(s, id);
    struct tree_cursor c;
    const void *entry;
    if (lease == NULL)
        return;
    for (tree_seek(&lease->keys, BYTES_EMPTY, &c); (entry = tree_at(&c)) != NULL; tree_next(&c))
        each(context, entry_key(entry));
}
