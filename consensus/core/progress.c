#include "core/progress.h"

#include <assert.h>
#include <stdlib.h>

/* --- the window ------------------------------------------------------------------------------- */

void inflights_init(struct inflights *in, size_t limit, uint64_t size_limit)
{
    *in = (struct inflights){.limit = limit, .size_limit = size_limit};
}

void inflights_fini(struct inflights *in)
{
    free(in->ring);
    *in = (struct inflights){0};
}

void inflights_reset(struct inflights *in)
{
    in->count = 0;
    in->size = 0;
    in->start = 0;
}

bool inflights_full(const struct inflights *in)
{
    return in->count == in->limit || (in->size_limit != 0 && in->size >= in->size_limit);
}

/* Doubles the ring, oldest first, so that a quiet member costs nothing. */
static enum err grow(struct inflights *in)
{
    size_t capacity = in->capacity > 0 ? in->capacity * 2 : 4;
    if (capacity > in->limit)
        capacity = in->limit;
    struct inflight *ring = reallocarray(NULL, capacity, sizeof(*ring));
    if (ring == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < in->count; i++)
        ring[i] = in->ring[(in->start + i) % in->capacity];
    free(in->ring);
    in->ring = ring;
    in->capacity = capacity;
    in->start = 0;
    return OK;
}

enum err inflights_add(struct inflights *in, uint64_t index, uint64_t size)
{
    assert(!inflights_full(in));
    if (in->count == in->capacity) {
        enum err error = grow(in);
        if (error != OK)
            return error;
    }
    in->ring[(in->start + in->count) % in->capacity] =
        (struct inflight){.index = index, .size = size};
    in->count++;
    in->size += size;
    return OK;
}

void inflights_free_to(struct inflights *in, uint64_t index)
{
    while (in->count > 0 && in->ring[in->start].index <= index) {
        in->size -= in->ring[in->start].size;
        in->start = (in->start + 1) % in->capacity;
        in->count--;
    }
}

/* --- states ----------------------------------------------------------------------------------- */

static void enter(struct progress *p, enum progress_state state)
{
    p->state = state;
    p->flow_paused = false;
    p->pending_snapshot = 0;
    inflights_reset(&p->inflights);
}

static void limit_sent_commit(struct progress *p)
{
    if (p->sent_commit > p->next - 1)
        p->sent_commit = p->next - 1;
}

void progress_reset(struct progress *p, uint64_t match, uint64_t next)
{
    assert(match < next);
    enter(p, PROGRESS_PROBE);
    p->match = match;
    p->next = next;
    p->sent_commit = 0;
    p->recent_active = false;
}

void progress_become_probe(struct progress *p)
{
    /* A snapshot that arrived makes the member match up to it; if it did not, the owner said so and
     * cleared it before. */
    uint64_t known = p->state == PROGRESS_SNAPSHOT && p->pending_snapshot > p->match
                         ? p->pending_snapshot
                         : p->match;
    enter(p, PROGRESS_PROBE);
    p->next = known + 1;
    limit_sent_commit(p);
}

void progress_become_replicate(struct progress *p)
{
    enter(p, PROGRESS_REPLICATE);
    p->next = p->match + 1;
}

void progress_become_snapshot(struct progress *p, uint64_t index)
{
    enter(p, PROGRESS_SNAPSHOT);
    p->pending_snapshot = index;
    p->next = index + 1;
    p->sent_commit = index;
}

/* --- sending ---------------------------------------------------------------------------------- */

enum err progress_sent(struct progress *p, uint64_t count, uint64_t size)
{
    assert(p->state != PROGRESS_SNAPSHOT);
    if (p->state == PROGRESS_PROBE) {
        if (count > 0)
            p->flow_paused = true;
        return OK;
    }
    if (count > 0) {
        p->next += count;
        enum err error = inflights_add(&p->inflights, p->next - 1, size);
        if (error != OK)
            return error;
    }
    /* The one that fills the window, or an empty one while it is full, is a probe. */
    p->flow_paused = inflights_full(&p->inflights);
    return OK;
}

bool progress_can_bump_commit(const struct progress *p, uint64_t commit)
{
    return commit > p->sent_commit && p->sent_commit < p->next - 1;
}

bool progress_is_paused(const struct progress *p)
{
    return p->state == PROGRESS_SNAPSHOT || p->flow_paused;
}

/* --- answers ---------------------------------------------------------------------------------- */

bool progress_update(struct progress *p, uint64_t index)
{
    if (index <= p->match)
        return false;
    p->match = index;
    if (p->next <= index)
        p->next = index + 1;
    p->flow_paused = false;
    return true;
}

bool progress_decrease(struct progress *p, uint64_t rejected, uint64_t hint)
{
    if (p->state == PROGRESS_REPLICATE) {
        if (rejected <= p->match)
            return false;
        p->next = p->match + 1;
        limit_sent_commit(p);
        return true;
    }
    /* One append at a time is under way: any other's rejection is late. */
    if (rejected != p->next - 1)
        return false;
    uint64_t next = rejected < hint + 1 ? rejected : hint + 1;
    p->next = next > p->match ? next : p->match + 1;
    limit_sent_commit(p);
    p->flow_paused = false;
    return true;
}
