/* A hash index that one thread changes while others look things up without a lock.
 *
 * Model: 256 segments, each an open-addressing table of its own, chosen by the hash's top bits: a
 * table that grows (or sheds its removed slots) is replaced by a new one and put on the garbage
 * list, and only one 256th of the index has to be hashed again at a time. A slot is one word: an
 * address, 15 bits of the hash so that hardly any other entry has to be looked at, and a mark whose
 * meaning is the caller's. The caller compares keys: the index knows hashes and addresses only.
 *
 * A reader that finds an entry sees what was written before it was put in. */
#ifndef WARREN_ZONES_WARREN_INDEX_H
#define WARREN_ZONES_WARREN_INDEX_H

#include "garbage.h"

#include <stdatomic.h>

enum {
    INDEX_SEGMENTS = 256,
};

struct index {
    _Atomic(uintptr_t) segments[INDEX_SEGMENTS]; /* table, and log2 of its slots; 0: none */
    uint32_t live[INDEX_SEGMENTS];
    uint32_t used[INDEX_SEGMENTS]; /* slots that are not empty: live ones and removed ones */
    uint32_t reserved[INDEX_SEGMENTS];
    size_t reserved_count; /* of all */
};

/* An entry as a slot holds it. */
#define INDEX_MARK      (UINT64_C(1) << 63)
#define INDEX_TAG_SHIFT 48
#define INDEX_TAG_MASK  UINT64_C(0x7fff)
#define INDEX_ADDRESS   ((UINT64_C(1) << INDEX_TAG_SHIFT) - 1)

static inline void *index_entry(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & INDEX_ADDRESS);
}

static inline bool index_is_marked(uint64_t slot)
{
    return (slot & INDEX_MARK) != 0;
}

/* --- looking up, any thread ------------------------------------------------------------------- */

enum {
    INDEX_EMPTY = 0,
    INDEX_REMOVED = 1,
    INDEX_TABLE_ALIGN = 64, /* leaves room for the log2 in a table's address */
};

struct index_table {
    struct zones_warren_garbage link;
    _Alignas(INDEX_TABLE_ALIGN) _Atomic(uint64_t) slots[];
};

struct index_probe {
    const _Atomic(uint64_t) *slots; /* NULL: an empty segment */
    size_t mask;
    size_t at;
    uint64_t tag;
};

static inline struct index_probe index_probe(const struct index *x, uint64_t hash)
{
    uintptr_t segment = atomic_load_explicit(&x->segments[hash >> 56], memory_order_acquire);
    if (segment == 0)
        return (struct index_probe){0};
    size_t mask = ((size_t)1 << segment % INDEX_TABLE_ALIGN) - 1;
    const struct index_table *table =
        (const struct index_table *)(segment - segment % INDEX_TABLE_ALIGN);
    return (struct index_probe){.slots = table->slots,
                                .mask = mask,
                                .at = (size_t)hash & mask,
                                .tag = hash >> 41 & INDEX_TAG_MASK};
}

/* Fetches the slot where a look for HASH begins. */
static inline void index_prefetch(const struct index *x, uint64_t hash)
{
    struct index_probe p = index_probe(x, hash);
    if (p.slots != NULL)
        __builtin_prefetch((const uint64_t *)(uintptr_t)p.slots + p.at);
}

/* The next slot that may be the one; INDEX_EMPTY when there is no more. */
static inline uint64_t index_next(struct index_probe *p)
{
    if (p->slots == NULL)
        return INDEX_EMPTY;
    for (;;) {
        uint64_t slot = atomic_load_explicit(&p->slots[p->at], memory_order_acquire);
        if (slot == INDEX_EMPTY)
            return INDEX_EMPTY;
        p->at = (p->at + 1) & p->mask;
        if ((slot >> INDEX_TAG_SHIFT & INDEX_TAG_MASK) == p->tag && slot != INDEX_REMOVED)
            return slot;
    }
}

/* --- changing, one thread --------------------------------------------------------------------- */

/* The hash under which the entry of SLOT was put in. */
typedef uint64_t index_hash_fn(const void *context, uint64_t slot);

/* Before many entries come at once: segments that have no table yet get one that holds their share
 * of COUNT, and need not grow to it step by step. ERR_NO_MEMORY. */
enum err index_expect(struct index *x, size_t count) MUST_CHECK;
/* Makes room for one more entry of HASH; room adds up until it is used or index_unreserve.
 * ERR_NO_MEMORY. */
enum err index_reserve(struct index *x, uint64_t hash, index_hash_fn *hash_of, const void *context,
                       struct zones_warren_garbage **garbage) MUST_CHECK;
void index_unreserve(struct index *x);
/* Room was reserved. */
void index_insert(struct index *x, uint64_t hash, const void *entry, bool is_marked);
/* The entry must be there. */
void index_replace(struct index *x, uint64_t hash, const void *old, const void *entry,
                   bool is_marked);
void index_remove(struct index *x, uint64_t hash, const void *entry);
/* Bytes of all tables. */
size_t index_memory(const struct index *x);
/* FN for every entry. False from FN ends it. */
void index_each(const struct index *x, bool (*fn)(void *context, uint64_t slot), void *context);
/* Frees the tables; the entries are the caller's. */
void index_fini(struct index *x);

#endif
