#include "index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_LOG2 = 3,
    MAX_LOG2 = 31,
    PREFETCH_AHEAD = 16, /* slots: the entries, which are hashed again, are all over the memory */
};

static struct index_table *table_of(uintptr_t segment)
{
    return (struct index_table *)(segment - segment % INDEX_TABLE_ALIGN);
}

static size_t slot_count(uintptr_t segment)
{
    return segment == 0 ? 0 : (size_t)1 << segment % INDEX_TABLE_ALIGN;
}

static uintptr_t segment_at(const struct index *x, size_t i)
{
    return atomic_load_explicit(&x->segments[i], memory_order_relaxed);
}

static size_t table_size(size_t slots)
{
    return sizeof(struct index_table) + slots * sizeof(uint64_t);
}

static uint64_t slot_of(uint64_t hash, const void *entry, bool is_marked)
{
    uint64_t address = (uintptr_t)entry;
    assert(address > INDEX_REMOVED && (address & ~INDEX_ADDRESS) == 0);
    return address | (hash >> 41 & INDEX_TAG_MASK) << INDEX_TAG_SHIFT |
           (is_marked ? INDEX_MARK : 0);
}

static uint64_t load(const struct index_table *t, size_t at)
{
    return atomic_load_explicit(&t->slots[at], memory_order_relaxed);
}

/* The smallest table that COUNT entries fill to 5/8 at most: room before it has to grow again, or
 * to be swept of removed slots. */
static unsigned log2_for(size_t count)
{
    unsigned log2 = MIN_LOG2;
    while (count * 8 > ((size_t)5 << log2))
        log2++;
    return log2;
}

/* With empty slots; NULL: no memory. */
static struct index_table *table_create(unsigned log2)
{
    if (log2 > MAX_LOG2)
        return NULL;
    size_t wanted = table_size((size_t)1 << log2);
    size_t size = (wanted + INDEX_TABLE_ALIGN - 1) / INDEX_TABLE_ALIGN;
    struct index_table *table = aligned_alloc(INDEX_TABLE_ALIGN, size * INDEX_TABLE_ALIGN);
    if (table != NULL)
        memset(table, 0, wanted);
    return table;
}

static enum err rebuild(struct index *x, size_t i, index_hash_fn *hash_of, const void *context,
                        struct zones_warren_garbage **garbage)
{
    uintptr_t old = segment_at(x, i);
    unsigned log2 = log2_for((size_t)x->live[i] + x->reserved[i]);
    size_t count = (size_t)1 << log2;
    struct index_table *table = table_create(log2);
    if (table == NULL)
        return ERR_NO_MEMORY;
    for (size_t at = 0; at < slot_count(old); at++) {
        uint64_t slot = load(table_of(old), at);
        if (at + PREFETCH_AHEAD < slot_count(old))
            __builtin_prefetch(index_entry(load(table_of(old), at + PREFETCH_AHEAD)));
        if (slot == INDEX_EMPTY || slot == INDEX_REMOVED)
            continue;
        size_t to = (size_t)hash_of(context, slot) & (count - 1);
        while (load(table, to) != INDEX_EMPTY)
            to = (to + 1) & (count - 1);
        atomic_store_explicit(&table->slots[to], slot, memory_order_relaxed);
    }
    x->used[i] = x->live[i];
    atomic_store_explicit(&x->segments[i], (uintptr_t)table | log2, memory_order_release);
    if (old != 0)
        garbage_add(garbage, &table_of(old)->link);
    return OK;
}

enum err index_reserve(struct index *x, uint64_t hash, index_hash_fn *hash_of, const void *context,
                       struct zones_warren_garbage **garbage)
{
    size_t i = hash >> 56;
    x->reserved[i]++;
    x->reserved_count++;
    if (((size_t)x->used[i] + x->reserved[i]) * 4 <= slot_count(segment_at(x, i)) * 3)
        return OK;
    return rebuild(x, i, hash_of, context, garbage);
}

void index_unreserve(struct index *x)
{
    if (x->reserved_count == 0)
        return;
    memset(x->reserved, 0, sizeof(x->reserved));
    x->reserved_count = 0;
}

enum err index_expect(struct index *x, size_t count)
{
    unsigned log2 = log2_for(count / INDEX_SEGMENTS);
    for (size_t i = 0; i < INDEX_SEGMENTS; i++) {
        if (segment_at(x, i) != 0)
            continue;
        struct index_table *table = table_create(log2);
        if (table == NULL)
            return ERR_NO_MEMORY;
        atomic_store_explicit(&x->segments[i], (uintptr_t)table | log2, memory_order_release);
    }
    return OK;
}

void index_insert(struct index *x, uint64_t hash, const void *entry, bool is_marked)
{
    size_t i = hash >> 56;
    uintptr_t segment = segment_at(x, i);
    struct index_table *t = table_of(segment);
    size_t mask = slot_count(segment) - 1;
    size_t at = (size_t)hash & mask;
    assert(x->reserved[i] > 0);
    while (load(t, at) != INDEX_EMPTY && load(t, at) != INDEX_REMOVED)
        at = (at + 1) & mask;
    x->used[i] += load(t, at) == INDEX_EMPTY;
    x->live[i]++;
    x->reserved[i]--;
    x->reserved_count--;
    atomic_store_explicit(&t->slots[at], slot_of(hash, entry, is_marked), memory_order_release);
}

/* Where ENTRY is. */
static size_t place_of(const struct index_table *t, size_t mask, uint64_t hash, const void *entry)
{
    size_t at = (size_t)hash & mask;
    while (load(t, at) == INDEX_REMOVED || index_entry(load(t, at)) != entry) {
        assert(load(t, at) != INDEX_EMPTY);
        at = (at + 1) & mask;
    }
    return at;
}

void index_replace(struct index *x, uint64_t hash, const void *old, const void *entry,
                   bool is_marked)
{
    uintptr_t segment = segment_at(x, hash >> 56);
    struct index_table *t = table_of(segment);
    size_t at = place_of(t, slot_count(segment) - 1, hash, old);
    atomic_store_explicit(&t->slots[at], slot_of(hash, entry, is_marked), memory_order_release);
}

void index_remove(struct index *x, uint64_t hash, const void *entry)
{
    size_t i = hash >> 56;
    uintptr_t segment = segment_at(x, i);
    struct index_table *t = table_of(segment);
    size_t mask = slot_count(segment) - 1;
    size_t at = place_of(t, mask, hash, entry);
    /* Nobody's way leads through a slot before an empty one. */
    bool is_last = load(t, (at + 1) & mask) == INDEX_EMPTY;
    x->used[i] -= is_last;
    x->live[i]--;
    atomic_store_explicit(&t->slots[at], is_last ? INDEX_EMPTY : INDEX_REMOVED,
                          memory_order_release);
}

size_t index_memory(const struct index *x)
{
    size_t size = 0;
    for (size_t i = 0; i < INDEX_SEGMENTS; i++)
        if (segment_at(x, i) != 0)
            size += table_size(slot_count(segment_at(x, i)));
    return size;
}

void index_each(const struct index *x, bool (*fn)(void *context, uint64_t slot), void *context)
{
    for (size_t i = 0; i < INDEX_SEGMENTS; i++) {
        uintptr_t segment = segment_at(x, i);
        for (size_t at = 0; at < slot_count(segment); at++) {
            uint64_t slot = load(table_of(segment), at);
            if (slot != INDEX_EMPTY && slot != INDEX_REMOVED && !fn(context, slot))
                return;
        }
    }
}

void index_fini(struct index *x)
{
    for (size_t i = 0; i < INDEX_SEGMENTS; i++)
        free(segment_at(x, i) != 0 ? table_of(segment_at(x, i)) : NULL);
}
