/* Who owns which name and which overlay address. */
#include "zone.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_CLAIMS = 2,
    MAX_CLAIMS = UINT32_MAX / 2,
};

static uint64_t claim_hash(const void *context, uint64_t slot)
{
    const struct zones_warren *z = context;
    if (index_is_marked(slot)) {
        const struct dispute *d = index_entry(slot);
        return zone_hash(z, d->bytes, d->size);
    }
    const struct item *item = index_entry(slot);
    return zone_hash(z, item->bytes, item->size);
}

/* --- disputes --------------------------------------------------------------------------------- */

static void dispute_free(struct dispute *d)
{
    free(d->keys);
    free(d);
}

static enum err spare_dispute_add(struct zones_warren *z)
{
    struct dispute *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return ERR_NO_MEMORY;
    d->keys = calloc(MIN_CLAIMS, KEY_SIZE);
    if (d->keys == NULL) {
        free(d);
        return ERR_NO_MEMORY;
    }
    d->capacity = MIN_CLAIMS;
    d->link.next = z->spare_disputes != NULL ? &z->spare_disputes->link : NULL;
    z->spare_disputes = d;
    z->spare_dispute_count++;
    return OK;
}

static struct dispute *spare_dispute_take(struct zones_warren *z)
{
    struct dispute *d = z->spare_disputes;
    assert(d != NULL);
    z->spare_disputes = (struct dispute *)d->link.next; /* a dispute begins with its link */
    z->spare_dispute_count--;
    z->dispute_count++;
    return d;
}

/* Its place among the keys, or the count. */
static uint32_t dispute_find(const struct dispute *d, const uint8_t key[static KEY_SIZE])
{
    uint32_t i = 0;
    while (i < d->count && memcmp(d->keys[i], key, KEY_SIZE) != 0)
        i++;
    return i;
}

static enum err dispute_prepare(struct dispute *d, const uint8_t key[static KEY_SIZE])
{
    if (d->count < d->capacity || dispute_find(d, key) < d->count)
        return OK;
    if (d->capacity > MAX_CLAIMS)
        return ERR_NO_MEMORY;
    uint8_t(*grown)[KEY_SIZE] = realloc(d->keys, (size_t)d->capacity * 2 * KEY_SIZE);
    if (grown == NULL)
        return ERR_NO_MEMORY;
    d->keys = grown;
    d->capacity *= 2;
    return OK;
}

static void dispute_add(struct dispute *d, const uint8_t key[static KEY_SIZE])
{
    if (dispute_find(d, key) < d->count)
        return;
    assert(d->count < d->capacity);
    memcpy(d->keys[d->count++], key, KEY_SIZE);
}

/* --- preparing -------------------------------------------------------------------------------- */

/* *DISPUTES counts those that will begin. */
static enum err prepare_claim(struct zones_warren *z, struct index *x, const struct item *item,
                              const struct peer *old, const struct peer *new, size_t *disputes)
{
    uint64_t hash = zone_hash(z, item->bytes, item->size);
    uint64_t slot = claim_find(x, hash, item->bytes, item->size);
    if (slot == INDEX_EMPTY)
        return index_reserve(x, hash, claim_hash, z, &z->garbage);
    if (index_is_marked(slot))
        return dispute_prepare(index_entry(slot), new->key);
    *disputes += item_peer(index_entry(slot)) != old;
    return OK;
}

enum err claims_prepare(struct zones_warren *z, const struct peer *old, const struct peer *new)
{
    size_t disputes = 0;
    enum err e = OK;
    if (new == NULL)
        return OK;
    const struct item *name = peer_name(new);
    if (name->size > 0)
        e = prepare_claim(z, &z->by_name, name, old, new, &disputes);
    const struct item *prefix = peer_first_prefix(new);
    for (size_t i = 0; e == OK && i < new->prefix_count; i++, prefix = item_next_prefix(prefix))
        if (item_is_host(prefix))
            e = prepare_claim(z, &z->by_address, prefix, old, new, &disputes);
    while (e == OK && z->spare_dispute_count < disputes)
        e = spare_dispute_add(z);
    return e;
}

/* --- committing ------------------------------------------------------------------------------- */

static void begin_dispute(struct zones_warren *z, struct index *x, uint64_t hash,
                          const struct item *owner, const struct item *item)
{
    struct dispute *d = spare_dispute_take(z);
    d->size = item->size;
    memcpy(d->bytes, item->bytes, item->size);
    d->count = 0;
    dispute_add(d, item_peer(owner)->key);
    dispute_add(d, item_peer(item)->key);
    index_replace(x, hash, owner, d, true);
}

static void claim(struct zones_warren *z, struct index *x, const struct item *item,
                  const struct peer *old)
{
    const struct peer *new = item_peer(item);
    uint64_t hash = zone_hash(z, item->bytes, item->size);
    uint64_t slot = claim_find(x, hash, item->bytes, item->size);
    if (slot == INDEX_EMPTY) {
        index_insert(x, hash, item, false);
        return;
    }
    if (index_is_marked(slot)) {
        dispute_add(index_entry(slot), new->key);
        return;
    }
    const struct item *owner = index_entry(slot);
    if (item_peer(owner) == old)
        index_replace(x, hash, owner, item, false);
    else if (item_peer(owner) != new) /* else it says the same twice */
        begin_dispute(z, x, hash, owner, item);
}

/* P's item that is the same as ITEM, a name if IS_NAME. */
static const struct item *same_item(const struct peer *p, const struct item *item, bool is_name)
{
    if (is_name)
        return item_same(peer_name(p), item) ? peer_name(p) : NULL;
    const struct item *prefix = peer_first_prefix(p);
    for (size_t i = 0; i < p->prefix_count; i++, prefix = item_next_prefix(prefix))
        if (item_is_host(prefix) && item_same(prefix, item))
            return prefix;
    return NULL;
}

static void settle(struct zones_warren *z, struct index *x, uint64_t hash, struct dispute *d,
                   const struct item *item)
{
    const struct peer *left = zone_find_peer(z, d->keys[0]);
    assert(left != NULL);
    const struct item *owner = same_item(left, item, x == &z->by_name);
    assert(owner != NULL);
    index_replace(x, hash, d, owner, false);
    free(d->keys);
    d->keys = NULL;
    z->dispute_count--;
    garbage_add(&z->garbage, &d->link);
}

/* The claim on ITEM, of the peer that NEW replaces, ends unless NEW has it too. */
static void unclaim(struct zones_warren *z, struct index *x, const struct item *item,
                    const struct peer *new)
{
    uint64_t hash = zone_hash(z, item->bytes, item->size);
    uint64_t slot = claim_find(x, hash, item->bytes, item->size);
    if (slot == INDEX_EMPTY)
        return;
    if (!index_is_marked(slot)) {
        if (index_entry(slot) == item) /* else NEW's by now, or said twice */
            index_remove(x, hash, item);
        return;
    }
    struct dispute *d = index_entry(slot);
    uint32_t at = dispute_find(d, item_peer(item)->key);
    if (at == d->count || (new != NULL &&same_item(new, item, x == &z->by_name) != NULL))
        return;
    d->count--;
    memmove(d->keys[at], d->keys[d->count], KEY_SIZE);
    if (d->count == 1)
        settle(z, x, hash, d, item);
}

void claims_commit(struct zones_warren *z, const struct peer *old, const struct peer *new)
{
    if (new != NULL) {
        const struct item *prefix = peer_first_prefix(new);
        if (peer_name(new)->size > 0)
            claim(z, &z->by_name, peer_name(new), old);
        for (size_t i = 0; i < new->prefix_count; i++, prefix = item_next_prefix(prefix))
            if (item_is_host(prefix))
                claim(z, &z->by_address, prefix, old);
    }
    if (old != NULL) {
        const struct item *prefix = peer_first_prefix(old);
        if (peer_name(old)->size > 0)
            unclaim(z, &z->by_name, peer_name(old), new);
        for (size_t i = 0; i < old->prefix_count; i++, prefix = item_next_prefix(prefix))
            if (item_is_host(prefix))
                unclaim(z, &z->by_address, prefix, new);
    }
}

static bool free_dispute(void *context UNUSED, uint64_t slot)
{
    if (index_is_marked(slot))
        dispute_free(index_entry(slot));
    return true;
}

void claims_fini(struct zones_warren *z)
{
    index_each(&z->by_name, free_dispute, NULL);
    index_each(&z->by_address, free_dispute, NULL);
    index_fini(&z->by_name);
    index_fini(&z->by_address);
    while (z->spare_disputes != NULL) {
        struct dispute *d = z->spare_disputes;
        z->spare_disputes = (struct dispute *)d->link.next;
        dispute_free(d);
    }
}
