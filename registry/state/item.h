/* A key in memory: one allocation that holds the key, the newest version's numbers as varints, the
 * value and, if compaction has kept older versions, a pointer to their places.
 *
 *   flags, key size, key, [history], mod, sub, [mod - create, version, [lease], value size, value]
 *
 * An item never changes but for its history: a put makes a new one. A deleted key whose deletion is
 * still history is an item too, marked ENTRY_UNCOUNTED. */
#ifndef WARREN_REGISTRY_STATE_ITEM_H
#define WARREN_REGISTRY_STATE_ITEM_H

#include "registry/kv.h"
#include "registry/state/tree.h"

enum {
    ITEM_DELETED = ENTRY_UNCOUNTED,
    ITEM_HAS_HISTORY = 2,
    ITEM_HAS_LEASE = 4,
};
#define ITEM_MAX_SUB INT64_C(0x7fffffff)

/* The place of an older version. Twelve bytes, for there may be many. */
struct place {
    uint32_t main_high;
    uint32_t main_low;
    uint32_t sub_and_deleted; /* sub * 2 + deleted */
};

struct history {
    size_t count; /* rising; 0 after a purge */
    size_t capacity;
    struct place places[];
};

struct item {
    struct kv kv; /* borrows from the entry; of a deletion: key and mod_revision alone */
    int64_t sub;
    bool deleted;
    struct history *history; /* NULL: there were no older versions */
};

static inline struct place place_of(int64_t main, int64_t sub, bool deleted)
{
    return (struct place){.main_high = (uint32_t)((uint64_t)main >> 32),
                          .main_low = (uint32_t)main,
                          .sub_and_deleted = (uint32_t)sub << 1 | deleted};
}

static inline int64_t place_main(struct place p)
{
    return (int64_t)((uint64_t)p.main_high << 32 | p.main_low);
}

static inline int64_t place_sub(struct place p)
{
    return (int64_t)(p.sub_and_deleted >> 1);
}

static inline bool place_deleted(struct place p)
{
    return p.sub_and_deleted & 1;
}

/* A new entry with ITEM's content; its history, if any, belongs to the entry. NULL: no memory. */
void *item_create(const struct item *item);
void item_read(const void *entry, struct item *out);
/* The entry alone, or with its history. */
void item_free(void *entry);
void item_destroy(void *entry);
/* Makes the entry that follows OLD, which is ITEM's: NEXT with ITEM's history and ITEM itself as
 * the last place of it. The history belongs to the new entry then; OLD is to be released with
 * item_free. ERR_NO_MEMORY: nothing was changed. */
enum err item_succeed(void *old, const struct item *item, struct item *next, void **out) MUST_CHECK;
/* Forgets the COUNT oldest versions, which are not the newest. Returns how many older ones are
 * left; ITEM is no longer valid. */
size_t item_drop_oldest(void *entry, const struct item *item, size_t count);

/* How many versions there are, and the one with that number: the newest is the last. */
static inline size_t item_version_count(const struct item *item)
{
    return item->history != NULL ? item->history->count + 1 : 1;
}
struct place item_version(const struct item *item, size_t index);
/* The number of versions at or before MAIN, all their subs. */
size_t item_versions_until(const struct item *item, int64_t main);

#endif
