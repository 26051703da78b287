/* The journal's model: transactions that become durable in order, some at once (one fsync), and of
 * which a crash leaves a prefix. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- what is durable -------------------------------------------------------------------------- */

static void drop_slots(struct disk *d, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i <= to; i++) {
        payload_release(d->slots[i].payload);
        d->slots[i].payload = NULL;
    }
}

void disk_fini(struct disk *d)
{
    if (d->slots != NULL)
        drop_slots(d, d->base + 1, d->last);
    free(d->slots);
    box_release(d->configuration);
    *d = (struct disk){0};
}

void disk_copy(struct disk *to, const struct disk *from)
{
    disk_fini(to);
    *to = *from;
    to->configuration = box_reference(from->configuration);
    to->slots = NULL;
    to->capacity = 0;
    to->slots = grow(to->slots, &to->capacity, from->last + 1, sizeof(*to->slots));
    memcpy(&to->slots[from->base], &from->slots[from->base],
           (from->last - from->base + 1) * sizeof(*to->slots));
    for (uint64_t i = to->base + 1; i <= to->last; i++)
        payload_reference(to->slots[i].payload);
}

static struct disk *disk_of(void *context)
{
    return &((struct member *)context)->disk;
}

static uint64_t first_index(void *context)
{
    return disk_of(context)->base + 1;
}

static uint64_t last_index(void *context)
{
    return disk_of(context)->last;
}

static enum err term_at(void *context, uint64_t index, uint64_t *term)
{
    const struct disk *d = disk_of(context);
    if (index < d->base)
        return ERR_NOT_FOUND;
    if (index > d->last)
        return ERR_INVALID;
    *term = d->slots[index].term;
    return OK;
}

static enum err entries_between(void *context, uint64_t lo, uint64_t hi, uint64_t max_size,
                                struct entry_list *out)
{
    const struct disk *d = disk_of(context);
    if (lo <= d->base)
        return ERR_NOT_FOUND;
    if (hi > d->last + 1)
        return ERR_INVALID;
    uint64_t size = 0;
    for (uint64_t i = lo; i < hi; i++) {
        const struct slot *s = &d->slots[i];
        struct entry e = {.term = s->term, .index = i, .type = s->type, .payload = s->payload};
        size += entry_size(&e);
        if (i > lo && size > max_size)
            break;
        enum err error = entry_list_add(out, &e);
        if (error != OK)
            return error;
    }
    return OK;
}

/* As of what is applied: made when it is asked for. */
static enum err newest_snapshot(void *context, struct snapshot *out)
{
    struct member *m = context;
    uint64_t index = m->machine.applied;
    if (index == 0 || index > m->disk.last || index < m->disk.base ||
        random_chance(&m->random, 100))
        return ERR_UNSUPPORTED;
    struct image *i = member_find_image(m, index);
    if (i == NULL) {
        i = image_create(&m->machine, m->configuration);
        if (mutant_is(OWNER_MUTANT_SNAPSHOT_WITHOUT_SESSIONS))
            memset(i->machine.sessions, 0, sizeof(i->machine.sessions));
        member_keep_image(m, i);
        image_release(i);
    }
    *out = (struct snapshot){.index = index,
                             .term = m->disk.slots[index].term,
                             .configuration = m->configuration->state};
    return OK;
}

struct raft_storage disk_storage(struct member *m)
{
    return (struct raft_storage){.context = m,
                                 .first_index = first_index,
                                 .last_index = last_index,
                                 .term = term_at,
                                 .entries = entries_between,
                                 .snapshot = newest_snapshot};
}

bool disk_has(const struct world *w, const struct member *m, uint64_t index, uint64_t chain)
{
    if (index > m->disk.last)
        return false;
    if (index <= m->disk.base)
        return w->oracle.committed[index].chain == chain;
    return m->disk.slots[index].chain == chain;
}

/* --- transactions ----------------------------------------------------------------------------- */

struct write *write_create(struct world *w)
{
    struct write *op = w->write_pool;
    if (op == NULL)
        return calloc(1, sizeof(*op));
    w->write_pool = op->next;
    op->next = NULL;
    return op;
}

void write_release(struct world *w, struct write *op)
{
    entry_list_truncate(&op->entries, 0);
    entry_list_truncate(&op->committed, 0);
    for (size_t i = 0; i < op->response_count; i++)
        packet_release(w, op->responses[i]);
    op->response_count = 0;
    free(op->snapshot);
    op->snapshot = NULL;
    image_release(op->image);
    op->image = NULL;
    box_release(op->configuration);
    op->configuration = NULL;
    free(op->memory);
    op->memory = NULL;
    op->has_hard = op->is_turn = false;
    op->compact_to = 0;
    op->next = w->write_pool;
    w->write_pool = op;
}

static void install(struct world *w, struct disk *d, const struct write *op)
{
    const struct snapshot *s = op->snapshot;
    drop_slots(d, d->base + 1, d->last);
    d->slots = grow(d->slots, &d->capacity, s->index + 1, sizeof(*d->slots));
    d->base = d->last = s->index;
    d->slots[s->index] =
        (struct slot){.term = s->term, .chain = w->oracle.committed[s->index].chain};
    d->tables = op->image->machine;
    box_release(d->configuration);
    d->configuration = box_reference(op->image->configuration);
}

static void append(struct disk *d, const struct write *op)
{
    struct entries list = entry_list_view(&op->entries);
    if (list.count == 0)
        return;
    uint64_t first = list.items[0].index;
    assert(first > d->base && first <= d->last + 1);
    drop_slots(d, first, d->last);
    d->last = first + list.count - 1;
    d->slots = grow(d->slots, &d->capacity, d->last + 1, sizeof(*d->slots));
    for (size_t i = 0; i < list.count; i++) {
        const struct entry *e = &list.items[i];
        d->slots[e->index] = (struct slot){.term = e->term,
                                           .chain = op->chains[i],
                                           .type = e->type,
                                           .payload = payload_reference(e->payload)};
    }
}

static void compact(struct disk *d, uint64_t to)
{
    if (to > d->tables.applied)
        to = d->tables.applied;
    if (to <= d->base || to > d->last)
        return;
    drop_slots(d, d->base + 1, to);
    d->base = to;
}

/* What OP says is durable from now on, all of it. */
static void commit(struct world *w, struct member *m, const struct write *op)
{
    struct disk *d = &m->disk;
    if (op->has_hard) {
        if (op->hard.term < d->hard.term || op->hard.commit < d->hard.commit)
            violated(w, "I7", "member %u writes an older term or commit index", (unsigned)m->id);
        d->hard = op->hard;
    }
    if (op->snapshot != NULL)
        install(w, d, op);
    append(d, op);
    if (op->configuration != NULL && op->tables.applied > d->tables.applied) {
        if (mutant_is(OWNER_MUTANT_APPLIED_INDEX_APART) && random_chance(&w->random, 500)) {
            uint64_t applied = d->tables.applied;
            d->tables = op->tables;
            d->tables.applied = applied;
        } else {
            d->tables = op->tables;
        }
        box_release(d->configuration);
        d->configuration = box_reference(op->configuration);
    }
    /* Now what they say is true; they may be sent when it no longer is, as if the network had been
     * slow. */
    for (size_t i = 0; i < op->response_count; i++)
        oracle_sends(w, m, &op->responses[i]->message);
    if (op->memory != NULL)
        memcpy(d->memory, op->memory, sizeof(d->memory));
    if (op->compact_to > 0) {
        uint64_t before = d->base;
        compact(d, op->compact_to);
        if (d->base > before)
            covered(w, COVERAGE_COMPACTED);
        if (d->base > before && d->base == d->last)
            covered(w, COVERAGE_COMPACTED_EMPTY);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

static void start_sync(struct world *w, struct member *m)
{
    if (m->in_flight > 0 || m->queue == NULL)
        return;
    m->in_flight = m->queue_count;
    if (random_chance(&w->random, 300))
        m->in_flight = 1 + (size_t)random_below(&w->random, m->queue_count);
    uint64_t delay = w->profile.disk_min + random_below(&w->random, w->profile.disk_spread + 1);
    if (m->slow_disk_until > w->now ||
        (!w->is_healed && random_chance(&w->random, w->profile.slow_disk_chance)))
        delay += random_below(&w->random, w->profile.slow_disk + 1);
    schedule(w, delay, EVENT_DISK, (uint32_t)m->id, 0, NULL);
}

void disk_submit(struct world *w, struct member *m, struct write *op)
{
    op->tables = m->machine;
    op->configuration = box_reference(m->configuration);
    if (m->memory_changed && w->profile.rollback) {
        op->memory = malloc(sizeof(m->memory));
        memcpy(op->memory, m->memory, sizeof(m->memory));
        m->memory_changed = false;
    }
    if (!w->is_healed && random_chance(&w->random, w->profile.compaction)) {
        uint64_t keep = random_below(&w->random, w->profile.keep_max + 1);
        op->compact_to = m->machine.applied > keep ? m->machine.applied - keep : 0;
    }
    op->next = NULL;
    *m->queue_tail = op;
    m->queue_tail = &op->next;
    m->queue_count++;
    start_sync(w, m);
}

static struct write *take(struct member *m)
{
    struct write *op = m->queue;
    m->queue = op->next;
    if (m->queue == NULL)
        m->queue_tail = &m->queue;
    m->queue_count--;
    m->in_flight--;
    op->next = NULL;
    return op;
}

static void rewrite(struct write *op)
{
    for (size_t i = 0; i < op->entries.count; i++) {
        struct entry *e = &op->entries.items[i];
        if (e->payload == NULL || e->payload->size < sizeof(struct command) ||
            e->type != ENTRY_NORMAL)
            continue;
        struct payload *other = payload_create(payload_bytes(e->payload));
        other->data[offsetof(struct command, value)] ^= 1;
        payload_release(e->payload);
        e->payload = other;
        op->chains[i] ^= 1;
    }
}

static void look_for_aba(struct world *w, const struct member *m, const struct write *op)
{
    if (op->entries.count == 0)
        return;
    const struct entry *last = &op->entries.items[op->entries.count - 1];
    if (view_term(w, m, last->index) != last->term || m->view_last < last->index)
        covered(w, COVERAGE_STORE_ABA);
}

void disk_event(struct world *w, struct member *m)
{
    if (m->full_until > w->now && !w->is_healed) {
        /* Kept, and tried again with the same bytes. */
        m->disk_was_full = true;
        if (m->status.role == RAFT_LEADER)
            covered(w, COVERAGE_DISK_FULL_LEADER);
        if (mutant_is(OWNER_MUTANT_FULL_REWRITTEN))
            rewrite(m->queue);
        if (!mutant_is(OWNER_MUTANT_FULL_DROPPED)) {
            schedule(w, TICK + random_below(&w->random, TICK), EVENT_DISK, (uint32_t)m->id, 0,
                     NULL);
            return;
        }
        entry_list_truncate(&m->queue->entries, 0);
    }
    if (m->fail_next_write && !mutant_is(OWNER_MUTANT_SYNC_ERROR_IGNORED)) {
        m->fail_next_write = false;
        if (!w->is_healed) {
            /* No retry, no vote: until a restart from what is there. */
            covered(w, COVERAGE_DISK_FAILED);
            member_crash(w, m);
            schedule(w, random_between(&w->random, TICK, 40 * TICK), EVENT_START, (uint32_t)m->id,
                     0, NULL);
            return;
        }
    }
    if (m->disk_was_full) {
        m->disk_was_full = false;
        covered(w, COVERAGE_DISK_FULL);
    }
    size_t count = m->in_flight;
    for (size_t i = 0; i < count; i++) {
        struct write *op = take(m);
        look_for_aba(w, m, op);
        if (m->fail_next_write && op->snapshot == NULL)
            m->lost_sync = true;
        commit(w, m, op);
        *m->stored_tail = op;
        m->stored_tail = &op->next;
    }
    start_sync(w, m);
    if (m->paused_until <= w->now)
        member_stored(w, m);
}

void disk_crash(struct world *w, struct member *m)
{
    size_t survivors = (size_t)random_below(&w->random, m->in_flight + 1);
    bool lost = false;
    while (m->queue != NULL) {
        bool survives = survivors > 0;
        if (m->in_flight == 0)
            m->in_flight = 1; /* take counts down */
        struct write *op = take(m);
        if (survives) {
            survivors--;
            covered(w, COVERAGE_SURVIVED_UNACKNOWLEDGED);
            commit(w, m, op);
        } else {
            lost |= op->entries.count > 0;
            if (op->has_hard && op->hard.vote != 0 &&
                (op->hard.term != m->disk.hard.term || op->hard.vote != m->disk.hard.vote))
                covered(w, COVERAGE_VOTE_LOST_IN_CRASH);
            if (op->snapshot != NULL) {
                covered(w, COVERAGE_SNAPSHOT_CRASHED);
                if (mutant_is(OWNER_MUTANT_SNAPSHOT_NOT_ATOMIC)) {
                    m->disk.tables = op->image->machine;
                    m->disk.tables.applied = m->disk.base;
                }
            }
        }
        write_release(w, op);
    }
    m->in_flight = 0;
    if (lost)
        covered(w, COVERAGE_SUFFIX_LOST);
    while (m->stored != NULL) {
        struct write *op = m->stored;
        m->stored = op->next;
        write_release(w, op);
    }
    m->stored_tail = &m->stored;
    /* An fsync that failed, was taken for a good one, and what it was about was lost. */
    if (m->lost_sync) {
        uint64_t floor =
            m->disk.base > m->disk.tables.applied ? m->disk.base : m->disk.tables.applied;
        if (m->disk.last > floor) {
            drop_slots(&m->disk, m->disk.last, m->disk.last);
            m->disk.last--;
            if (m->disk.hard.commit > m->disk.last)
                m->disk.hard.commit = m->disk.last;
        }
        m->lost_sync = m->fail_next_write = false;
    }
}
