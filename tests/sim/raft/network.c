/* Messages: lost, late, twice, out of order. Snapshots: streams of chunks that are cut. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct packet *packet_create(struct world *w, const struct raft_message *m)
{
    struct packet *p = w->packet_pool;
    if (p == NULL)
        p = calloc(1, sizeof(*p));
    else
        w->packet_pool = p->next;
    struct entry_list entries = p->message.entries; /* its memory */
    p->message = *m;
    p->message.entries = entries;
    p->message.responses = NULL;
    p->message.response_count = 0;
    payload_reference(p->message.context);
    enum err error = entry_list_add_all(&p->message.entries, entry_list_view(&m->entries));
    assert(error == OK);
    if (m->snapshot != NULL) {
        p->message.snapshot = malloc(sizeof(*m->snapshot));
        *p->message.snapshot = *m->snapshot;
    }
    p->transfer = NULL;
    p->next = NULL;
    return p;
}

void packet_release(struct world *w, struct packet *p)
{
    if (p->transfer != NULL)
        transfer_release(w, p->transfer);
    p->transfer = NULL;
    entry_list_truncate(&p->message.entries, 0);
    free(p->message.snapshot);
    p->message.snapshot = NULL;
    payload_release(p->message.context);
    p->message.context = NULL;
    p->next = w->packet_pool;
    w->packet_pool = p;
}

/* --- links ------------------------------------------------------------------------------------ */

static bool is_lost(struct world *w, uint64_t from, uint64_t to)
{
    return w->cut[from][to] != 0 || (!w->is_healed && random_chance(&w->random, w->profile.loss));
}

static uint64_t delay_of(struct world *w, uint64_t from, uint64_t to, bool ordered)
{
    const struct profile *p = &w->profile;
    uint64_t delay = p->delay_min + random_below(&w->random, p->delay_spread + 1);
    if (!w->is_healed && random_chance(&w->random, p->long_delay_chance))
        delay += random_below(&w->random, p->long_delay + 1);
    if (w->slow_until[from][to] > w->now)
        delay *= 8;
    if (ordered) {
        uint64_t *last = &w->last_delivery[from][to];
        if (w->now + delay < *last)
            delay = *last - w->now;
        *last = w->now + delay;
    }
    return delay;
}

static void trace_sent(struct world *w, const struct raft_message *m)
{
    trace_mix(w, (uint64_t)m->type << 32 | m->from << 16 | m->to << 1 | m->reject);
    trace_mix(w, m->term << 32 ^ m->log_term << 16 ^ m->index);
    trace_mix(w, m->commit << 32 ^ m->reject_hint << 8 ^ m->entries.count);
}

void network_send(struct world *w, struct member *from, const struct raft_message *m)
{
    struct member *to = member_of(w, m->to);
    trace_sent(w, m);
    if (to == NULL)
        return;
    if (m->type == MESSAGE_SNAPSHOT) {
        network_send_snapshot(w, from, m);
        return;
    }
    unsigned copies = 1;
    if (is_lost(w, from->id, to->id))
        copies = 0;
    else if (!w->is_healed && random_chance(&w->random, w->profile.duplication))
        copies = 2;
    bool is_poor = m->type == MESSAGE_APPEND_RESPONSE && m->reject && !w->is_healed &&
                   random_chance(&w->random, w->profile.poor_hints);
    for (unsigned i = 0; i < copies; i++) {
        struct packet *p = packet_create(w, m);
        if (is_poor) {
            /* A hint is no more than that. */
            p->message.reject_hint = random_below(&w->random, m->reject_hint + 1);
            p->message.log_term = 0;
        }
        uint64_t delay = delay_of(w, from->id, to->id, w->profile.fifo && i == 0);
        schedule(w, delay, EVENT_PACKET, (uint32_t)to->id, 0, p);
    }
}

void network_deliver(struct world *w, struct member *to, struct packet *p)
{
    struct transfer *t = p->transfer;
    if (t == NULL) {
        trace_message(w->line, &p->message);
        if (to->life == LIFE_UP)
            member_step(w, to, &p->message);
        packet_release(w, p);
        return;
    }
    trace_message(w->line, &t->message->message);
    w->line->note = "chunk";
    if (!t->is_cut && p->chunk == t->received && to->life == LIFE_UP &&
        to->incarnation == t->to_incarnation &&
        w->members[t->from].incarnation == t->from_incarnation) {
        t->received++;
        if (t->received == t->chunks) {
            member_keep_image(to, t->image);
            member_step(w, to, &t->message->message);
        }
    } else if (p->chunk > t->received || to->life != LIFE_UP) {
        t->is_cut = true;
    }
    packet_release(w, p);
}

/* --- snapshots -------------------------------------------------------------------------------- */

void transfer_release(struct world *w, struct transfer *t)
{
    if (--t->references > 0)
        return;
    packet_release(w, t->message);
    image_release(t->image);
    w->snapshots_on_way[t->to]--;
    free(t);
}

void network_send_snapshot(struct world *w, struct member *from, const struct raft_message *m)
{
    struct image *i = member_find_image(from, m->snapshot->index);
    struct member *to = member_of(w, m->to);
    if (i == NULL)
        violated(w, "simulator", "no content for snapshot %lu", (unsigned long)m->snapshot->index);
    struct transfer *t = calloc(1, sizeof(*t));
    t->references = 1;
    t->from = (uint32_t)from->id;
    t->to = (uint32_t)to->id;
    t->from_incarnation = from->incarnation;
    t->to_incarnation = to->incarnation;
    t->chunks = 1 + (unsigned)random_below(&w->random, 6);
    t->message = packet_create(w, m);
    t->image = image_reference(i);
    if (w->snapshots_on_way[to->id]++ > 0 && to->status.leader != from->id)
        covered(w, COVERAGE_SNAPSHOT_TWO_LEADERS);
    uint64_t at = 0;
    struct raft_message chunk = {.type = MESSAGE_SNAPSHOT};
    for (unsigned c = 0; c < t->chunks && !t->is_cut; c++) {
        at += delay_of(w, from->id, to->id, false);
        t->is_cut = is_lost(w, from->id, to->id);
        unsigned copies = random_chance(&w->random, w->profile.duplication) ? 2 : 1;
        for (unsigned k = 0; k < copies && !t->is_cut; k++) {
            struct packet *p = packet_create(w, &chunk);
            p->transfer = t;
            p->chunk = c;
            t->references++;
            schedule(w, at + k * TICK, EVENT_PACKET, (uint32_t)to->id, 0, p);
        }
    }
    /* Its end is noticed later than it came. */
    schedule(w, at + 2 * TICK + random_below(&w->random, 4 * TICK), EVENT_REPORT,
             (uint32_t)from->id, 0, t);
}

void network_report(struct world *w, struct member *from, struct transfer *t)
{
    bool arrived = t->received == t->chunks;
    if (!arrived) {
        t->is_cut = true;
        covered(w, COVERAGE_SNAPSHOT_CUT);
    }
    if (from->life == LIFE_UP && from->incarnation == t->from_incarnation) {
        bool failed = !arrived;
        if (arrived && !w->is_healed && random_chance(&w->random, 100)) {
            failed = true;
            covered(w, COVERAGE_SNAPSHOT_REPORTED_WRONG);
        }
        member_called(w, from, raft_report_snapshot(from->raft, t->to, failed));
    }
    transfer_release(w, t);
}
