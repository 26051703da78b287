#include "consensus/core/machine.h"

#include <assert.h>

/* --- terms ------------------------------------------------------------------------------------ */

static bool is_from_leader(enum message_type type)
{
    return type == MESSAGE_APPEND || type == MESSAGE_HEARTBEAT || type == MESSAGE_SNAPSHOT;
}

/* We heard of a leader less than an election time-out ago: whoever campaigns now was cut off, or
 * removed, and must not disturb (thesis section 4.2.3). A transfer is the leader's own wish. */
static bool is_disturbing(const struct raft *r, const struct raft_message *m)
{
    if (m->type != MESSAGE_VOTE && m->type != MESSAGE_PRE_VOTE)
        return false;
    return !core_is_transfer_vote(r, m) && r->config.check_quorum && r->leader != RAFT_NONE &&
           r->election_elapsed < r->config.election_ticks;
}

/* True if M is to be handled further. */
static bool take_higher_term(struct raft *r, const struct raft_message *m)
{
    if (is_disturbing(r, m))
        return false;
    /* A pre-vote asks about a term that does not exist yet; granted, it only allows its sender to
     * campaign in that term. A refused one tells of a term that does exist. */
    if (m->type == MESSAGE_PRE_VOTE || (m->type == MESSAGE_PRE_VOTE_RESPONSE && !m->reject))
        return true;
    core_become_follower(r, m->term, is_from_leader(m->type) ? m->from : RAFT_NONE);
    return true;
}

static void handle_lower_term(struct raft *r, const struct raft_message *m)
{
    if ((r->config.check_quorum || r->config.pre_vote) &&
        (m->type == MESSAGE_HEARTBEAT || m->type == MESSAGE_APPEND)) {
        /* With these options our votes for a higher term can be ignored, and we would wait for ever
         * for a leader of our term: its sender is told the term, and steps down. */
        struct raft_message answer = {.type = MESSAGE_APPEND_RESPONSE, .to = m->from};
        core_send(r, &answer);
    } else if (m->type == MESSAGE_PRE_VOTE) {
        /* A member with a shorter log and a higher term could otherwise deadlock with one that
         * only asks. */
        struct raft_message answer = {
            .type = MESSAGE_PRE_VOTE_RESPONSE, .to = m->from, .term = r->term, .reject = true};
        core_send(r, &answer);
    } else if (m->type == MESSAGE_STORE_RESPONSE) {
        /* Entries of an older term's write may have been replaced, with others being written; a
         * snapshot is committed, whatever the term. */
        if (MUTANT(STABLE_ABA))
            core_handle_store_response(r, m);
        else if (m->snapshot != NULL)
            core_handle_snapshot_stored(r, m->snapshot->index);
    }
}

/* --- roles ------------------------------------------------------------------------------------ */

static enum err step_leader(struct raft *r, const struct raft_message *m)
{
    if (m->type == MESSAGE_PROPOSAL)
        return core_handle_proposal(r, m);
    if (m->type == MESSAGE_READ_INDEX)
        return core_handle_read_index(r, m);
    struct progress *p = tracker_find(&r->tracker, m->from);
    if (p == NULL)
        return OK; /* removed meanwhile */
    if (m->type == MESSAGE_APPEND_RESPONSE)
        core_handle_append_response(r, m, p);
    else if (m->type == MESSAGE_HEARTBEAT_RESPONSE)
        core_handle_heartbeat_response(r, m, p);
    else if (m->type == MESSAGE_TRANSFER)
        core_handle_transfer(r, m->from, p);
    return OK;
}

static void handle_from_leader(struct raft *r, const struct raft_message *m)
{
    if (m->type == MESSAGE_APPEND)
        core_handle_append(r, m);
    else if (m->type == MESSAGE_HEARTBEAT)
        core_handle_heartbeat(r, m);
    else
        core_handle_snapshot(r, m);
}

static enum err step_candidate(struct raft *r, const struct raft_message *m)
{
    if (is_from_leader(m->type)) {
        core_become_follower(r, m->term, m->from);
        handle_from_leader(r, m);
    } else if (m->type == MESSAGE_VOTE_RESPONSE || m->type == MESSAGE_PRE_VOTE_RESPONSE) {
        core_handle_vote_response(r, m);
    }
    return m->type == MESSAGE_PROPOSAL ? ERR_REFUSED : OK;
}

static enum err step_follower(struct raft *r, const struct raft_message *m)
{
    if (is_from_leader(m->type)) {
        r->election_elapsed = 0;
        r->leader = m->from;
        handle_from_leader(r, m);
    } else if (m->type == MESSAGE_PROPOSAL) {
        if (r->leader == RAFT_NONE || r->config.no_forwarding)
            return ERR_REFUSED;
        core_forward(r, m);
    } else if (m->type == MESSAGE_READ_INDEX || m->type == MESSAGE_TRANSFER) {
        if (r->leader != RAFT_NONE)
            core_forward(r, m);
    } else if (m->type == MESSAGE_READ_INDEX_RESPONSE) {
        core_handle_read_index_response(r, m);
    } else if (m->type == MESSAGE_TIMEOUT_NOW) {
        /* No pre-vote: the leader itself wants it. */
        core_campaign_if_allowed(r, CAMPAIGN_TRANSFER);
    }
    return OK;
}

enum err core_dispatch(struct raft *r, const struct raft_message *m)
{
    switch (r->role) {
    case RAFT_LEADER:
        return step_leader(r, m);
    case RAFT_CANDIDATE:
    case RAFT_PRE_CANDIDATE:
        return step_candidate(r, m);
    case RAFT_FOLLOWER:
        return step_follower(r, m);
    }
    assert(false);
    return OK;
}

enum err core_step(struct raft *r, const struct raft_message *m)
{
    if (m->term != 0 && m->term > r->term && !take_higher_term(r, m))
        return OK;
    if (m->term != 0 && m->term < r->term) {
        handle_lower_term(r, m);
        return OK;
    }
    if (m->type == MESSAGE_VOTE || m->type == MESSAGE_PRE_VOTE)
        core_handle_vote(r, m);
    else if (m->type == MESSAGE_STORE_RESPONSE)
        core_handle_store_response(r, m);
    else if (m->type == MESSAGE_APPLY_RESPONSE)
        core_handle_apply_response(r, m);
    else
        return core_dispatch(r, m);
    return OK;
}
