/* Changes of the configuration, and handing leadership over. */
#include "internal.h"

#include <assert.h>

/* --- proposing -------------------------------------------------------------------------------- */

static enum err propose_enveloped(struct node *n, const struct configuration_change *change,
                                  struct pending *p)
{
    struct raft_status status;
    struct configuration_change c = *change;
    struct envelope e = {.origin = n->member_id, .number = p->number, .content = change->context};
    struct payload *context = node_envelope_create(&e);
    if (context == NULL)
        return ERR_NO_MEMORY;
    c.context = payload_bytes(context);
    enum err error = raft_propose_change(n->core, &c);
    payload_release(context);
    if (error != OK)
        return error;
    raft_status(n->core, &status);
    p->term = status.term;
    p->index = status.last_index;
    p->was_leader = true;
    return OK;
}

/* Whether those of the present voters who stay are a quorum of them. If not, and the leader is one
 * of those who go, the rest may not know yet that they are the rest, and need for ever the votes of
 * who is gone (docs/consensus.md). The last one of two may stay alone, as it leads. */
static bool keeps_a_quorum(const struct node *n, const struct configuration_change *change)
{
    const struct configuration_state *now = &n->configuration;
    struct change_outcome outcome;
    size_t stay = 0;
    if (configuration_apply(now, change, &outcome) != CHANGE_OK)
        return true; /* the leader's core refuses it */
    const struct id_set *voters = &outcome.state.voters;
    for (size_t i = 0; i < now->voters.count; i++)
        stay += id_set_has(voters, now->voters.ids[i]);
    return stay > now->voters.count / 2 || (voters->count == 1 && voters->ids[0] == n->member_id);
}

/* Only where we lead: then the index tells, should the core put nothing in its place. */
static enum err propose_as_leader(struct node *n, const struct configuration_change *change,
                                  void *proposal)
{
    struct raft_status status;
    enum err error = node_may_propose(n, change->context.size);
    if (error != OK)
        return error;
    node_flush_proposals(n);
    raft_status(n->core, &status);
    if (node_is_over(n) || status.role != RAFT_LEADER)
        return ERR_REFUSED;
    if (!keeps_a_quorum(n, change))
        return ERR_INVALID;
    struct pending *p = node_pending_create(n, proposal, change->context.size);
    if (p == NULL)
        return ERR_NO_MEMORY;
    error = propose_enveloped(n, change, p);
    if (error != OK) {
        (void)node_core_failed(n, error);
        node_pending_discard(p);
        return error;
    }
    node_pending_add(n, p);
    node_wake(n);
    return OK;
}

enum err node_propose_change(struct node *n, const struct configuration_change *change,
                             void *proposal)
{
    node_enter(n);
    enum err error = propose_as_leader(n, change, proposal);
    if (error != OK && error != ERR_IO)
        n->proposals_failed++;
    node_leave(n);
    return error;
}

/* --- applying --------------------------------------------------------------------------------- */

/* In a replay there is no core yet: it begins with what comes out. */
static enum err take_effect(struct node *n, const struct configuration_change *c,
                            enum change_verdict *verdict)
{
    if (n->core == NULL) {
        struct change_outcome outcome;
        *verdict = configuration_apply(&n->configuration, c, &outcome);
        if (*verdict == CHANGE_OK)
            n->configuration = outcome.state;
        return OK;
    }
    enum err error = raft_apply_change(n->core, c, verdict);
    if (error == OK)
        n->configuration = *raft_configuration(n->core);
    return error;
}

static void on_flushed(void *context, enum err outcome UNUSED)
{
    node_leave(context); /* a failure halts the journal, which is noticed elsewhere */
}

/* At once and with the commit index: a member that was removed may be switched off as soon as its
 * removal is told, and must not be needed to find out about it. */
static void flush(struct node *n, uint64_t index)
{
    if (n->hard.commit < index)
        n->hard.commit = index;
    struct journal_write write = {.hard_state = &n->hard};
    if (n->core != NULL && journal_submit(n->journal, &write, on_flushed, n) == OK)
        node_enter(n);
}

enum err node_apply_change(struct node *n, const struct entry *e)
{
    struct configuration_change c;
    struct envelope envelope = {0};
    enum change_verdict verdict = CHANGE_OK;
    enum err error = change_decode(&c, e->type, payload_bytes(e->payload));
    if (error == OK)
        error = take_effect(n, &c, &verdict);
    if (error == OK)
        error = journal_stage_configuration(n->journal, e->index, &n->configuration);
    if (error != OK)
        return error;
    flush(n, e->index);
    void *tag = NULL;
    if (node_envelope_read(&envelope, c.context)) {
        c.context = envelope.content;
        if (envelope.origin == n->member_id)
            tag = node_pending_take(n, envelope.number);
    }
    if (n->core != NULL)
        node_arm_ticks(n);
    if (n->machine.changed == NULL)
        return OK;
    return n->machine.changed(n->machine.context, e->index, &c, verdict, &n->configuration, tag);
}

void node_change_refused(struct node *n, const struct entry *e)
{
    for (struct pending *p = n->oldest; p != NULL; p = p->newer) {
        if (p->index != e->index || p->term != e->term)
            continue;
        node_drop(n, p, ERR_INVALID);
        return;
    }
}

/* --- handing over ----------------------------------------------------------------------------- */

/* Whose log is the longest of those that were heard of; not the last one that was tried, if there
 * is another. */
static uint64_t choose_target(const struct node *n)
{
    const struct progress *best = NULL;
    const struct progress *p;
    for (size_t i = 0; (p = raft_progress(n->core, i)) != NULL; i++) {
        if (p->id == n->member_id || p->is_learner || !p->recent_active)
            continue;
        if (best == NULL || best->id == n->last_target ||
            (p->match > best->match && p->id != n->last_target))
            best = p;
    }
    return best != NULL ? best->id : RAFT_NONE;
}

enum err node_transfer(struct node *n, uint64_t to)
{
    struct raft_status status;
    if (node_is_over(n))
        return ERR_REFUSED;
    raft_status(n->core, &status);
    if (status.role != RAFT_LEADER)
        return ERR_REFUSED;
    if (to == RAFT_NONE)
        to = choose_target(n);
    if (to == RAFT_NONE || to == n->member_id || !configuration_is_voter(&n->configuration, to))
        return ERR_NOT_FOUND;
    n->last_target = to;
    enum err error = raft_transfer_leadership(n->core, to);
    (void)node_core_failed(n, error);
    node_wake(n);
    return error;
}

/* A leader whose disk is full acknowledges nothing that is not durable elsewhere, and applies
 * nothing: after an election time-out it hands over, and again, until somebody else leads. */
void node_watch_disk(struct node *n, uint64_t now_ms)
{
    if (!n->is_leader || node_is_alone(n) || journal_health(n->journal) != JOURNAL_FULL) {
        n->full_since_ms = 0;
        return;
    }
    if (n->full_since_ms == 0)
        n->full_since_ms = now_ms;
    if (now_ms - n->full_since_ms < n->election_ms)
        return;
    n->full_since_ms = now_ms;
    if (node_transfer(n, RAFT_NONE) == OK)
        log_line(LOG_WARNING, "registry: the disk is full: leadership is handed to member %llx",
                 (unsigned long long)n->last_target);
}
