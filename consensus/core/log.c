#include "consensus/core/log.h"
#include "consensus/core/mutant.h"

#include <assert.h>

void raft_log_init(struct raft_log *l, const struct raft_storage *storage,
                   uint64_t max_applying_size)
{
    *l = (struct raft_log){.storage = *storage, .max_applying_size = max_applying_size};
    uint64_t before = storage->first_index(storage->context) - 1;
    l->committed = l->applying = l->applied = before;
    unstable_init(&l->unstable, storage->last_index(storage->context) + 1);
}

void raft_log_fini(struct raft_log *l)
{
    unstable_fini(&l->unstable);
}

bool raft_log_fail(struct raft_log *l, enum err error)
{
    if (l->error == OK)
        l->error = error;
    return l->error != OK;
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* --- looking ---------------------------------------------------------------------------------- */

uint64_t raft_log_first(const struct raft_log *l)
{
    uint64_t index;
    if (unstable_first(&l->unstable, &index))
        return index;
    return l->storage.first_index(l->storage.context);
}

uint64_t raft_log_last(const struct raft_log *l)
{
    uint64_t index;
    if (unstable_last(&l->unstable, &index))
        return index;
    return l->storage.last_index(l->storage.context);
}

static enum err look_up_term(const struct raft_log *l, uint64_t index, uint64_t *term)
{
    if (unstable_term(&l->unstable, index, term))
        return OK;
    /* The term of the entry before the first is known, too. */
    if (index + 1 < raft_log_first(l))
        return ERR_NOT_FOUND;
    if (index > raft_log_last(l))
        return ERR_INVALID;
    return l->storage.term(l->storage.context, index, term);
}

enum err raft_log_term(struct raft_log *l, uint64_t index, uint64_t *term)
{
    enum err error = look_up_term(l, index, term);
    if (error != OK && error != ERR_NOT_FOUND && error != ERR_INVALID)
        raft_log_fail(l, error);
    return error;
}

uint64_t raft_log_term_or_zero(const struct raft_log *l, uint64_t index)
{
    uint64_t term;
    return look_up_term(l, index, &term) == OK ? term : 0;
}

struct entry_id raft_log_last_id(struct raft_log *l)
{
    struct entry_id id = {.index = raft_log_last(l)};
    enum err error = raft_log_term(l, id.index, &id.term);
    if (error != OK)
        raft_log_fail(l, error == ERR_NOT_FOUND || error == ERR_INVALID ? ERR_IO : error);
    return id;
}

bool raft_log_matches(struct raft_log *l, struct entry_id id)
{
    uint64_t term;
    return raft_log_term(l, id.index, &term) == OK && term == id.term;
}

bool raft_log_is_up_to_date(struct raft_log *l, struct entry_id theirs)
{
    struct entry_id ours = raft_log_last_id(l);
    return theirs.term > ours.term || (theirs.term == ours.term && theirs.index >= ours.index);
}

struct entry_id raft_log_find_conflict(struct raft_log *l, uint64_t index, uint64_t term)
{
    for (; index > 0; index--) {
        uint64_t ours;
        if (raft_log_term(l, index, &ours) != OK)
            return (struct entry_id){.index = index};
        if (ours <= term)
            return (struct entry_id){.index = index, .term = ours};
    }
    return (struct entry_id){0};
}

/* The durable part of [LO, HI). True if what follows it is wanted, too. */
static bool slice_stored(struct raft_log *l, uint64_t lo, uint64_t hi, uint64_t max_size,
                         struct entry_list *out, enum err *error)
{
    uint64_t cut = min(hi, l->unstable.offset);
    *error = l->storage.entries(l->storage.context, lo, cut, max_size, out);
    if (*error != OK) {
        if (*error != ERR_NOT_FOUND)
            raft_log_fail(l, *error);
        return false;
    }
    assert(out->count > 0 && out->count <= cut - lo);
    return hi > cut && out->count == cut - lo;
}

enum err raft_log_slice(struct raft_log *l, uint64_t lo, uint64_t hi, uint64_t max_size,
                        struct entry_list *out)
{
    enum err error;
    if (lo < raft_log_first(l))
        return ERR_NOT_FOUND;
    assert(lo <= hi && hi <= raft_log_last(l) + 1);
    if (lo == hi)
        return OK;
    if (lo < l->unstable.offset) {
        if (!slice_stored(l, lo, hi, max_size, out, &error))
            return error;
        lo = l->unstable.offset;
    }
    struct entries tail = unstable_slice(&l->unstable, lo, hi);
    uint64_t size = entries_size(entry_list_view(out));
    size_t count = 0;
    for (; count < tail.count; count++) {
        size += entry_size(&tail.items[count]);
        if (size > max_size && out->count + count > 0)
            break;
    }
    error = entry_list_add_all(out, (struct entries){.items = tail.items, .count = count});
    raft_log_fail(l, error);
    return error;
}

/* --- growing ---------------------------------------------------------------------------------- */

void raft_log_append(struct raft_log *l, struct entries more)
{
    if (more.count == 0)
        return;
    assert(more.items[0].index > l->committed);
    raft_log_fail(l, unstable_append(&l->unstable, more));
}

/* How many of MORE are in the log already. */
static size_t count_known(struct raft_log *l, struct entries more)
{
    size_t count = 0;
    while (count < more.count &&
           raft_log_matches(l, (struct entry_id){.term = more.items[count].term,
                                                 .index = more.items[count].index}))
        count++;
    return count;
}

bool raft_log_try_append(struct raft_log *l, struct entry_id prev, struct entries more,
                         uint64_t leader_commit)
{
    if (!raft_log_matches(l, prev))
        return false;
    /* Only a real conflict truncates: an old, shorter append that comes late is known whole. */
    size_t known = count_known(l, more);
    raft_log_append(l, (struct entries){.items = more.items + known, .count = more.count - known});
    if (l->error != OK)
        return true;
    uint64_t proven = prev.index + more.count;
    if (MUTANT(COMMIT_STALE_TAIL))
        proven = raft_log_last(l);
    raft_log_commit_to(l, min(leader_commit, proven));
    return true;
}

void raft_log_commit_to(struct raft_log *l, uint64_t index)
{
    if (index <= l->committed)
        return;
    assert(index <= raft_log_last(l));
    l->committed = index;
}

bool raft_log_try_commit(struct raft_log *l, uint64_t term, uint64_t index)
{
    if (index <= l->committed)
        return false;
    if (MUTANT(COMMIT_AT_LAST_ONLY) && index != raft_log_last(l))
        return false;
    if (!raft_log_matches(l, (struct entry_id){.term = term, .index = index}) &&
        !(MUTANT(COMMIT_BY_COUNTING) && index <= raft_log_last(l)))
        return false;
    raft_log_commit_to(l, index);
    return true;
}

void raft_log_restore(struct raft_log *l, const struct snapshot *s)
{
    if (!raft_log_fail(l, unstable_restore(&l->unstable, s)))
        l->committed = s->index;
}

/* --- applying --------------------------------------------------------------------------------- */

static uint64_t max_appliable(const struct raft_log *l, bool unstable_too)
{
    return unstable_too ? l->committed : min(l->committed, l->unstable.offset - 1);
}

bool raft_log_has_next_committed(const struct raft_log *l, bool unstable_too)
{
    /* A snapshot goes first, whole. */
    if (l->applying_paused || l->unstable.snapshot != NULL)
        return false;
    return l->applying < max_appliable(l, unstable_too);
}

void raft_log_next_committed(struct raft_log *l, bool unstable_too, struct entry_list *out)
{
    if (!raft_log_has_next_committed(l, unstable_too))
        return;
    assert(l->max_applying_size > l->applying_size);
    enum err error = raft_log_slice(l, l->applying + 1, max_appliable(l, unstable_too) + 1,
                                    l->max_applying_size - l->applying_size, out);
    raft_log_fail(l, error == ERR_NOT_FOUND ? ERR_IO : error);
}

void raft_log_accept_applying(struct raft_log *l, uint64_t index, uint64_t size, bool unstable_too)
{
    assert(index <= l->committed);
    l->applying = index;
    l->applying_size += size;
    /* Full, or the next entry would not have fitted. */
    l->applying_paused =
        l->applying_size >= l->max_applying_size || index < max_appliable(l, unstable_too);
}

void raft_log_applied_to(struct raft_log *l, uint64_t index, uint64_t size)
{
    assert(l->applied <= index && index <= l->committed);
    l->applied = index;
    if (l->applying < index)
        l->applying = index;
    l->applying_size = l->applying_size > size ? l->applying_size - size : 0;
    l->applying_paused = l->applying_size >= l->max_applying_size;
}
