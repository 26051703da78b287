/* Who owns which name and which overlay address. */
#include "zone.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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

static enum err spare_dispute_add(struct zones_warren *z)
{
    struct dispute *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return ERR_NO_MEMORY;
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

/* KEY comes, or goes. */
static void dispute_turn(struct dispute *d, const uint8_t key[static KEY_SIZE])
{
    uint64_t words[ARRAY_COUNT(d->keys)];
    memcpy(words, key, KEY_SIZE);
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        d->keys[i] ^= words[i];
}

static void dispute_add(struct dispute *d, const uint8_t key[static KEY_SIZE])
{
    dispute_turn(d, key);
    d->count++;
}

/* --- hashes ----------------------------------------------------------------------------------- */

static bool is_claim(const struct item *item, bool is_name)
{
    return is_name ? item->size > 0 : item_is_host(item);
}

/* Of a peer's claim NUMBER, which claims_foresee may have hashed. */
static uint64_t hash_of(const struct zones_warren *z, const struct item *item, size_t number)
{
    return number < CLAIM_HASHES ? z->claim_hashes[number] : zone_hash(z, item->bytes, item->size);
}

void claims_foresee(struct zones_warren *z, const struct peer *new)
{
    size_t number = 0;
    const struct item *item = new != NULL ? peer_name(new) : NULL;
    size_t count = new != NULL ? 1u + new->prefix_count : 0; /* items, the name first */
    for (size_t i = 0; i < count && number < CLAIM_HASHES; i++, item = item_next(item)) {
        if (!is_claim(item, i == 0))
            continue;
        z->claim_hashes[number] = zone_hash(z, item->bytes, item->size);
        index_prefetch(i == 0 ? &z->by_name : &z->by_address, z->claim_hashes[number]);
        number++;
    }
}

/* --- preparing -------------------------------------------------------------------------------- */

/* *DISPUTES counts those that will begin. */
static enum err prepare_claim(struct zones_warren *z, struct index *x, uint64_t hash,
                              const struct item *item, const struct peer *old, size_t *disputes)
{
    uint64_t slot = claim_find(x, hash, item->bytes, item->size);
    if (slot == INDEX_EMPTY)
        return index_reserve(x, hash, claim_hash, z, &z->garbage);
    *disputes += !index_is_marked(slot) && item_peer(index_entry(slot)) != old;
    return OK;
}

enum err claims_prepare(struct zones_warren *z, const struct peer *old, const struct peer *new)
{
    size_t disputes = 0, number = 0;
    enum err e = OK;
    if (new == NULL)
        return OK;
    const struct item *item = peer_name(new);
    for (size_t i = 0; e == OK && i <= new->prefix_count; i++, item = item_next(item))
        if (is_claim(item, i == 0))
            e = prepare_claim(z, i == 0 ? &z->by_name : &z->by_address, hash_of(z, item, number++),
                              item, old, &disputes);
    while (e == OK && z->spare_dispute_count < disputes)
        e = spare_dispute_add(z);
    return e;
}

/* --- committing ------------------------------------------------------------------------------- */

/* P's item that is the same as ITEM, a name if IS_NAME. */
static const struct item *same_item(const struct peer *p, const struct item *item, bool is_name)
{
    if (is_name)
        return item_same(peer_name(p), item) ? peer_name(p) : NULL;
    const struct item *prefix = peer_first_prefix(p);
    for (size_t i = 0; i < p->prefix_count; i++, prefix = item_next(prefix))
        if (item_is_host(prefix) && item_same(prefix, item))
            return prefix;
    return NULL;
}

/* Whether ITEM is not its peer's second saying of the same: a dispute counts peers. */
static bool is_first(const struct item *item, bool is_name)
{
    return same_item(item_peer(item), item, is_name) == item;
}

static void begin_dispute(struct zones_warren *z, struct index *x, uint64_t hash,
                          const struct item *owner, const struct item *item)
{
    struct dispute *d = spare_dispute_take(z);
    d->size = item->size;
    memcpy(d->bytes, item->bytes, item->size);
    dispute_add(d, item_peer(owner)->key);
    dispute_add(d, item_peer(item)->key);
    index_replace(x, hash, owner, d, true);
}

static void claim(struct zones_warren *z, struct index *x, uint64_t hash, const struct item *item,
                  const struct peer *old)
{
    uint64_t slot = claim_find(x, hash, item->bytes, item->size);
    if (slot == INDEX_EMPTY) {
        index_insert(x, hash, item, false);
        return;
    }
    if (index_is_marked(slot)) {
        /* If OLD has it too, its share goes when it is unclaimed. */
        if (is_first(item, x == &z->by_name))
            dispute_add(index_entry(slot), item_peer(item)->key);
        return;
    }
    const struct item *owner = index_entry(slot);
    if (item_peer(owner) == old)
        index_replace(x, hash, owner, item, false);
    else if (item_peer(owner) != item_peer(item)) /* else it says the same twice */
        begin_dispute(z, x, hash, owner, item);
}

static void settle(struct zones_warren *z, struct index *x, uint64_t hash, struct dispute *d,
                   const struct item *item)
{
    const struct peer *left = zone_find_peer(z, (const uint8_t *)d->keys);
    assert(left != NULL);
    const struct item *owner = same_item(left, item, x == &z->by_name);
    assert(owner != NULL);
    index_replace(x, hash, d, owner, false);
    z->dispute_count--;
    garbage_add(&z->garbage, &d->link);
}

/* The claim on ITEM of the peer that was replaced, or went, ends. */
static void unclaim(struct zones_warren *z, struct index *x, const struct item *item)
{
    uint64_t hash = zone_hash(z, item->bytes, item->size);
    uint64_t slot = claim_find(x, hash, item->bytes, item->size);
    if (slot == INDEX_EMPTY)
        return;
    if (!index_is_marked(slot)) {
        if (index_entry(slot) == item) /* else it is its successor's by now */
            index_remove(x, hash, item);
        return;
    }
    if (!is_first(item, x == &z->by_name))
        return;
    struct dispute *d = index_entry(slot);
    assert(d->count > 1);
    dispute_turn(d, item_peer(item)->key);
    d->count--;
    if (d->count == 1)
        settle(z, x, hash, d, item);
}

void claims_commit(struct zones_warren *z, const struct peer *old, const struct peer *new)
{
    size_t number = 0;
    const struct item *item = new != NULL ? peer_name(new) : NULL;
    for (size_t i = 0; new != NULL &&i <= new->prefix_count; i++, item = item_next(item))
        if (is_claim(item, i == 0))
            claim(z, i == 0 ? &z->by_name : &z->by_address, hash_of(z, item, number++), item, old);
    item = old != NULL ? peer_name(old) : NULL;
    for (size_t i = 0; old != NULL && i <= old->prefix_count; i++, item = item_next(item))
        if (is_claim(item, i == 0))
            unclaim(z, i == 0 ? &z->by_name : &z->by_address, item);
}

static bool free_dispute(void *context UNUSED, uint64_t slot)
{
    if (index_is_marked(slot))
        free(index_entry(slot));
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
        free(d);
    }
}
