#include "list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_CAPACITY = 4,
};

static struct list_targets *targets_of(const struct list *l)
{
    return atomic_load_explicit(&l->targets, memory_order_relaxed);
}

static size_t targets_size(const struct list *l, size_t capacity)
{
    return sizeof(struct list_targets) + capacity * list_target_size(l);
}

static enum err prepare_peers(struct list *l)
{
    if (l->count < l->capacity)
        return OK;
    /* By a half only: with many peers this is memory that is not used. */
    size_t capacity = l->capacity < MIN_CAPACITY ? MIN_CAPACITY : l->capacity + l->capacity / 2;
    struct peer **grown = realloc(l->peers, capacity * sizeof(struct peer *));
    if (grown == NULL)
        return ERR_NO_MEMORY;
    l->peers = grown;
    l->capacity = capacity;
    return OK;
}

static enum err prepare_targets(struct list *l)
{
    uint32_t capacity = MIN_CAPACITY;
    size_t wanted = l->count + 1 < LIST_MAX_TARGETS ? l->count + 1 : LIST_MAX_TARGETS;
    while (capacity < wanted)
        capacity *= 2;
    if (l->spare != NULL && l->spare->capacity >= capacity)
        return OK;
    struct list_targets *spare = malloc(targets_size(l, capacity));
    if (spare == NULL)
        return ERR_NO_MEMORY;
    spare->capacity = capacity;
    atomic_init(&spare->count, 0);
    free(l->spare);
    l->spare = spare;
    return OK;
}

enum err list_prepare(struct list *l)
{
    enum err e = prepare_peers(l);
    return e == OK ? prepare_targets(l) : e;
}

static void put_target(const struct list *l, struct list_targets *t, uint32_t i)
{
    uint8_t *at = t->rdata + i * list_target_size(l);
    at[0] = KEY_BASE32_SIZE;
    key_to_base32((char *)at + 1, l->peers[i]->key);
    memcpy(at + 1 + KEY_BASE32_SIZE, l->suffix.wire, l->suffix.size);
}

/* Publishes the spare targets, with those before KEPT copied. */
static struct list_targets *renew(struct list *l, uint32_t kept,
                                  struct zones_warren_garbage **garbage)
{
    struct list_targets *old = targets_of(l), *t = l->spare;
    assert(t != NULL && kept <= t->capacity);
    l->spare = NULL;
    if (kept > 0)
        memcpy(t->rdata, old->rdata, kept * list_target_size(l));
    if (old != NULL)
        garbage_add(garbage, &old->link);
    return t;
}

uint32_t list_add(struct list *l, struct peer *p, struct zones_warren_garbage **garbage)
{
    uint32_t place = (uint32_t)l->count;
    l->peers[l->count++] = p;
    if (place >= LIST_MAX_TARGETS)
        return place;
    struct list_targets *t = targets_of(l);
    if (t == NULL || place == t->capacity)
        t = renew(l, place, garbage);
    put_target(l, t, place);
    atomic_store_explicit(&t->count, place + 1, memory_order_release);
    atomic_store_explicit(&l->targets, t, memory_order_release);
    return place;
}

struct peer *list_remove(struct list *l, uint32_t place, struct zones_warren_garbage **garbage)
{
    struct peer *last = l->peers[--l->count];
    bool is_last = place == l->count;
    l->peers[place] = last;
    if (place >= LIST_MAX_TARGETS)
        return is_last ? NULL : last;
    uint32_t count = (uint32_t)(l->count < LIST_MAX_TARGETS ? l->count : LIST_MAX_TARGETS);
    struct list_targets *t = renew(l, count, garbage);
    if (!is_last)
        put_target(l, t, place);
    atomic_store_explicit(&t->count, count, memory_order_release);
    atomic_store_explicit(&l->targets, t, memory_order_release);
    return is_last ? NULL : last;
}

void list_replace(struct list *l, uint32_t place, struct peer *p)
{
    assert(place < l->count);
    l->peers[place] = p;
}

size_t list_memory(const struct list *l)
{
    size_t size = l->capacity * sizeof(struct peer *);
    if (targets_of(l) != NULL)
        size += targets_size(l, targets_of(l)->capacity);
    if (l->spare != NULL)
        size += targets_size(l, l->spare->capacity);
    return size;
}

void list_fini(struct list *l)
{
    free(l->peers);
    free(targets_of(l));
    free(l->spare);
}
