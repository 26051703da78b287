#include "consensus/core/machine.h"

#include <assert.h>

/* A new leader must know every change that is committed: its configuration is that of what it has
 * applied. */
static bool has_unapplied_changes(struct raft *r)
{
    uint64_t next = r->log.applied + 1;
    while (next <= r->log.committed) {
        struct entry_list page = ENTRY_LIST_EMPTY;
        bool found = false;
        enum err error =
            raft_log_slice(&r->log, next, r->log.committed + 1, r->log.max_applying_size, &page);
        for (size_t i = 0; i < page.count; i++)
            found |= entry_is_change(&page.items[i]);
        next += page.count;
        entry_list_fini(&page);
        if (error != OK)
            raft_log_fail(&r->log, error == ERR_NOT_FOUND ? ERR_IO : error);
        if (found || error != OK)
            return true;
    }
    return false;
}

static void ask_for_vote(struct raft *r, uint64_t to, enum message_type type, uint64_t term,
                         enum campaign kind)
{
    struct entry_id last = raft_log_last_id(&r->log);
    struct raft_message m = {
        .type = type, .to = to, .term = term, .index = last.index, .log_term = last.term};
    if (kind == CAMPAIGN_TRANSFER)
        m.context = payload_reference(r->transfer_context);
    core_send(r, &m);
}

static void campaign(struct raft *r, enum campaign kind)
{
    bool is_pre = kind == CAMPAIGN_PRE_ELECTION;
    if (is_pre)
        core_become_pre_candidate(r);
    else
        core_become_candidate(r);
    uint64_t term = is_pre ? r->term + 1 : r->term;
    struct id_set members;
    configuration_members(&r->tracker.configuration, &members);
    for (size_t i = 0; i < members.count; i++) {
        uint64_t id = members.ids[i];
        if (!configuration_is_voter(&r->tracker.configuration, id))
            continue;
        if (id != r->id) {
            ask_for_vote(r, id, is_pre ? MESSAGE_PRE_VOTE : MESSAGE_VOTE, term, kind);
            continue;
        }
        /* Our own vote counts once it is durable, as anyone's. */
        struct raft_message own = {.type =
                                       is_pre ? MESSAGE_PRE_VOTE_RESPONSE : MESSAGE_VOTE_RESPONSE,
                                   .to = id,
                                   .term = term};
        core_send(r, &own);
    }
}

void core_campaign_if_allowed(struct raft *r, enum campaign kind)
{
    if (r->role == RAFT_LEADER || !core_is_promotable(r) || r->term >= RAFT_MAX_NUMBER)
        return;
    if (!MUTANT(CHANGE_OVER_PENDING) && has_unapplied_changes(r))
        return;
    campaign(r, kind);
}

bool core_is_transfer_vote(const struct raft *r, const struct raft_message *m)
{
    return m->context != NULL &&
           bytes_equal(payload_bytes(m->context), payload_bytes(r->transfer_context));
}

/* Of who may get our vote at all, before logs are compared. */
static bool may_vote_for(const struct raft *r, const struct raft_message *m)
{
    if (r->vote == m->from)
        return true; /* once more the same */
    if (r->vote == RAFT_NONE && r->leader == RAFT_NONE)
        return true;
    if (MUTANT(TRANSFER_VOTES_TWICE) && core_is_transfer_vote(r, m))
        return true;
    /* A pre-vote for a term to come binds nobody. */
    return m->type == MESSAGE_PRE_VOTE && m->term > r->term;
}

/* A learner votes, too: it may have become a voter without knowing it yet, and be needed. */
void core_handle_vote(struct raft *r, const struct raft_message *m)
{
    struct entry_id theirs = {.term = m->log_term, .index = m->index};
    bool granted = may_vote_for(r, m) && raft_log_is_up_to_date(&r->log, theirs);
    struct raft_message answer = {
        .type = m->type == MESSAGE_VOTE ? MESSAGE_VOTE_RESPONSE : MESSAGE_PRE_VOTE_RESPONSE,
        .to = m->from,
        /* A pre-vote is for a later term than ours; with ours the asker would ignore the answer. */
        .term = granted ? m->term : r->term,
        .reject = !granted};
    core_send(r, &answer);
    if (granted && m->type == MESSAGE_VOTE) {
        r->election_elapsed = 0;
        r->vote = m->from;
    }
}

void core_handle_vote_response(struct raft *r, const struct raft_message *m)
{
    bool is_pre = r->role == RAFT_PRE_CANDIDATE;
    /* A candidate may still get answers to what it asked as pre-candidate. */
    if (m->type != (is_pre ? MESSAGE_PRE_VOTE_RESPONSE : MESSAGE_VOTE_RESPONSE))
        return;
    tracker_record_vote(&r->tracker, m->from, !m->reject);
    switch (tracker_tally(&r->tracker)) {
    case VOTE_WON:
        if (is_pre) {
            campaign(r, CAMPAIGN_ELECTION);
        } else {
            core_become_leader(r);
            core_broadcast_append(r);
        }
        break;
    case VOTE_LOST:
        core_become_follower(r, r->term, RAFT_NONE);
        break;
    case VOTE_PENDING:
        break;
    }
}
