#include "core/quorum.h"

#include <string.h>

/* The first place in SET that is not below ID. */
static size_t lower_bound(const struct id_set *set, uint64_t id)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->ids[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool id_set_has(const struct id_set *set, uint64_t id)
{
    size_t at = lower_bound(set, id);
    return at < set->count && set->ids[at] == id;
}

bool id_set_add(struct id_set *set, uint64_t id)
{
    size_t at = lower_bound(set, id);
    if (at < set->count && set->ids[at] == id)
        return true;
    if (set->count == ID_SET_MAX)
        return false;
    memmove(&set->ids[at + 1], &set->ids[at], (set->count - at) * sizeof(set->ids[0]));
    set->ids[at] = id;
    set->count++;
    return true;
}

bool id_set_remove(struct id_set *set, uint64_t id)
{
    size_t at = lower_bound(set, id);
    if (at == set->count || set->ids[at] != id)
        return false;
    set->count--;
    memmove(&set->ids[at], &set->ids[at + 1], (set->count - at) * sizeof(set->ids[0]));
    return true;
}

bool id_set_equal(const struct id_set *a, const struct id_set *b)
{
    return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof(a->ids[0])) == 0;
}

bool id_set_add_all(struct id_set *out, const struct id_set *more)
{
    for (size_t i = 0; i < more->count; i++) {
        if (!id_set_add(out, more->ids[i]))
            return false;
    }
    return true;
}

/* How many of N make a majority. */
static size_t majority_of(size_t n)
{
    return n / 2 + 1;
}

uint64_t quorum_committed(const struct id_set *voters, quorum_acked_fn *acked, const void *context)
{
    uint64_t sorted[ID_SET_MAX]; /* falling */
    if (voters->count == 0)
        return UINT64_MAX;
    for (size_t i = 0; i < voters->count; i++) {
        uint64_t index = acked(context, voters->ids[i]);
        size_t at = i;
        for (; at > 0 && sorted[at - 1] < index; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = index;
    }
    /* As many as make a majority have this one or more. */
    return sorted[majority_of(voters->count) - 1];
}

uint64_t quorum_joint_committed(const struct id_set *incoming, const struct id_set *outgoing,
                                quorum_acked_fn *acked, const void *context)
{
    uint64_t a = quorum_committed(incoming, acked, context);
    uint64_t b = quorum_committed(outgoing, acked, context);
    return a < b ? a : b;
}

enum vote_result quorum_vote(const struct id_set *voters, const struct id_set *yes,
                             const struct id_set *no)
{
    size_t granted = 0, open = 0;
    if (voters->count == 0)
        return VOTE_WON;
    for (size_t i = 0; i < voters->count; i++) {
        if (id_set_has(yes, voters->ids[i]))
            granted++;
        else if (!id_set_has(no, voters->ids[i]))
            open++;
    }
    if (granted >= majority_of(voters->count))
        return VOTE_WON;
    return granted + open >= majority_of(voters->count) ? VOTE_PENDING : VOTE_LOST;
}

enum vote_result quorum_joint_vote(const struct id_set *incoming, const struct id_set *outgoing,
                                   const struct id_set *yes, const struct id_set *no)
{
    enum vote_result a = quorum_vote(incoming, yes, no);
    enum vote_result b = quorum_vote(outgoing, yes, no);
    if (a == VOTE_LOST || b == VOTE_LOST)
        return VOTE_LOST;
    return a == VOTE_WON && b == VOTE_WON ? VOTE_WON : VOTE_PENDING;
}
