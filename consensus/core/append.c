#include "consensus/core/machine.h"

#include <assert.h>

/* --- the leader's side ------------------------------------------------------------------------ */

/* What is next for P, into M. Nothing while the window is full: then an append without entries
 * still goes, whose answer tells whether those in the window were lost. */
static enum err fill(struct raft *r, const struct progress *p, struct raft_message *m)
{
    uint64_t last = raft_log_last(&r->log);
    if (p->state == PROGRESS_REPLICATE && inflights_full(&p->inflights))
        return OK;
    if (p->next > last)
        return OK;
    return raft_log_slice(&r->log, p->next, last + 1, r->config.max_message_size, &m->entries);
}

bool core_send_append(struct raft *r, struct progress *p, bool if_empty)
{
    if (raft_failed(r) || progress_is_paused(p))
        return false;
    struct raft_message m = {
        .type = MESSAGE_APPEND, .to = p->id, .index = p->next - 1, .commit = r->log.committed};
    /* What the member needs next is compacted. */
    if (raft_log_term(&r->log, m.index, &m.log_term) != OK)
        return !raft_failed(r) && core_send_snapshot(r, p);
    enum err error = fill(r, p, &m);
    size_t count = m.entries.count;
    if (raft_failed(r) || (count == 0 && !if_empty)) {
        message_fini(&m);
        return false;
    }
    if (error != OK) {
        message_fini(&m);
        return core_send_snapshot(r, p);
    }
    uint64_t size = entries_payload_size(entry_list_view(&m.entries));
    core_send(r, &m);
    raft_log_fail(&r->log, progress_sent(p, count, size));
    p->sent_commit = r->log.committed;
    return !raft_failed(r);
}

void core_broadcast_append(struct raft *r)
{
    for (size_t i = 0; i < r->tracker.count; i++) {
        if (r->tracker.members[i].id != r->id)
            (void)core_send_append(r, &r->tracker.members[i], true);
    }
}

bool core_advance_commit(struct raft *r)
{
    return raft_log_try_commit(&r->log, r->term, tracker_committed(&r->tracker));
}

/* The member's log does not hold what the append builds on. Its hint says where its log could match
 * (the last index with a term that is not above the append's), ours then goes on from there: at
 * most one probe for each term in which the logs differ. */
static void handle_rejection(struct raft *r, const struct raft_message *m, struct progress *p)
{
    uint64_t hint = m->reject_hint;
    if (m->log_term > 0)
        hint = raft_log_find_conflict(&r->log, hint, m->log_term).index;
    if (!progress_decrease(p, m->index, hint))
        return;
    if (p->state == PROGRESS_REPLICATE)
        progress_become_probe(p);
    (void)core_send_append(r, p, true);
}

static void resume(struct raft *r, const struct raft_message *m, struct progress *p)
{
    switch (p->state) {
    case PROGRESS_PROBE:
        progress_become_replicate(p);
        break;
    case PROGRESS_SNAPSHOT:
        /* However it came to its log: what it needs next, we have. */
        if (p->match + 1 >= raft_log_first(&r->log)) {
            progress_become_probe(p);
            progress_become_replicate(p);
        }
        break;
    case PROGRESS_REPLICATE:
        inflights_free_to(&p->inflights, m->index);
        break;
    }
}

void core_handle_append_response(struct raft *r, const struct raft_message *m, struct progress *p)
{
    p->recent_active = true;
    if (m->reject) {
        handle_rejection(r, m, p);
        return;
    }
    /* Not news, unless it is the answer to a probe. */
    if (!progress_update(p, m->index) && !(p->match == m->index && p->state == PROGRESS_PROBE))
        return;
    resume(r, m, p);
    if (core_advance_commit(r)) {
        core_release_postponed_reads(r);
        core_broadcast_append(r);
    } else if (m->from != r->id && progress_can_bump_commit(p, r->log.committed)) {
        (void)core_send_append(r, p, true);
    }
    /* The window may have room for several more. */
    while (m->from != r->id && core_send_append(r, p, false))
        ;
    if (m->from == r->transferee && p->match == raft_log_last(&r->log))
        core_send_timeout_now(r, m->from);
}

/* --- the follower's side ---------------------------------------------------------------------- */

static void answer(struct raft *r, uint64_t to, uint64_t index)
{
    struct raft_message m = {.type = MESSAGE_APPEND_RESPONSE, .to = to, .index = index};
    core_send(r, &m);
}

void core_handle_append(struct raft *r, const struct raft_message *m)
{
    struct entry_id prev = {.term = m->log_term, .index = m->index};
    if (prev.index < r->log.committed) {
        answer(r, m->from, r->log.committed);
        return;
    }
    if (raft_log_try_append(&r->log, prev, entry_list_view(&m->entries), m->commit)) {
        /* What this append proved, and not what else lies behind it: that may be another leader's.
         */
        uint64_t proven = prev.index + m->entries.count;
        if (MUTANT(ACK_STALE_TAIL))
            proven = raft_log_last(&r->log);
        answer(r, m->from, proven);
        return;
    }
    uint64_t last = raft_log_last(&r->log);
    struct entry_id hint =
        raft_log_find_conflict(&r->log, prev.index < last ? prev.index : last, prev.term);
    struct raft_message refusal = {.type = MESSAGE_APPEND_RESPONSE,
                                   .to = m->from,
                                   .index = prev.index,
                                   .reject = true,
                                   .reject_hint = hint.index,
                                   .log_term = hint.term};
    core_send(r, &refusal);
}
