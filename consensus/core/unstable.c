#include "consensus/core/unstable.h"
#include "consensus/core/mutant.h"

#include <assert.h>
#include <stdlib.h>

void unstable_init(struct unstable *u, uint64_t offset)
{
    *u = (struct unstable){.offset = offset, .offset_in_progress = offset};
}

static void drop_snapshot(struct unstable *u)
{
    free(u->snapshot);
    u->snapshot = NULL;
    u->snapshot_in_progress = false;
}

void unstable_fini(struct unstable *u)
{
    entry_list_fini(&u->entries);
    drop_snapshot(u);
}

static uint64_t end_of(const struct unstable *u)
{
    return u->offset + u->entries.count;
}

bool unstable_first(const struct unstable *u, uint64_t *index)
{
    if (u->snapshot == NULL)
        return false;
    *index = u->snapshot->index + 1;
    return true;
}

bool unstable_last(const struct unstable *u, uint64_t *index)
{
    if (u->entries.count > 0)
        *index = end_of(u) - 1;
    else if (u->snapshot != NULL)
        *index = u->snapshot->index;
    else
        return false;
    return true;
}

bool unstable_term(const struct unstable *u, uint64_t index, uint64_t *term)
{
    if (u->snapshot != NULL && index < u->offset && index == u->snapshot->index)
        *term = u->snapshot->term;
    else if (index >= u->offset && index < end_of(u))
        *term = u->entries.items[index - u->offset].term;
    else
        return false;
    return true;
}

struct entries unstable_slice(const struct unstable *u, uint64_t lo, uint64_t hi)
{
    assert(u->offset <= lo && lo <= hi && hi <= end_of(u));
    if (lo == hi)
        return (struct entries){0};
    return (struct entries){.items = u->entries.items + (lo - u->offset), .count = hi - lo};
}

struct entries unstable_next_entries(const struct unstable *u)
{
    return unstable_slice(u, u->offset_in_progress, end_of(u));
}

const struct snapshot *unstable_next_snapshot(const struct unstable *u)
{
    return u->snapshot_in_progress ? NULL : u->snapshot;
}

void unstable_accept(struct unstable *u)
{
    u->offset_in_progress = end_of(u);
    u->snapshot_in_progress = u->snapshot != NULL;
}

void unstable_stable_to(struct unstable *u, uint64_t term, uint64_t index)
{
    /* Not in the tail any more (an earlier answer already told), or replaced since. */
    if (index < u->offset || index >= end_of(u))
        return;
    if (u->entries.items[index - u->offset].term != term && !MUTANT(STABLE_ABA))
        return;
    entry_list_drop(&u->entries, index + 1 - u->offset);
    u->offset = index + 1;
    if (u->offset_in_progress < u->offset)
        u->offset_in_progress = u->offset;
}

void unstable_snapshot_stable_to(struct unstable *u, uint64_t index)
{
    if (u->snapshot != NULL && u->snapshot->index == index)
        drop_snapshot(u);
}

enum err unstable_restore(struct unstable *u, const struct snapshot *s)
{
    struct snapshot *copy = malloc(sizeof(*copy));
    if (copy == NULL)
        return ERR_NO_MEMORY;
    *copy = *s;
    unstable_fini(u);
    unstable_init(u, s->index + 1);
    u->snapshot = copy;
    return OK;
}

enum err unstable_append(struct unstable *u, struct entries more)
{
    uint64_t from = more.items[0].index;
    assert(more.count > 0 && from <= end_of(u));
    enum err error = entry_list_reserve(&u->entries, more.count);
    if (error != OK)
        return error;
    if (from <= u->offset) {
        /* What is being written from here on gets overwritten by the next write. */
        entry_list_truncate(&u->entries, 0);
        u->offset = u->offset_in_progress = from;
    } else {
        entry_list_truncate(&u->entries, from - u->offset);
        if (u->offset_in_progress > from)
            u->offset_in_progress = from;
    }
    return entry_list_add_all(&u->entries, more);
}
