#include "consensus/core/machine.h"

#include <assert.h>

static void reset(struct raft *r, uint64_t term)
{
    if (r->term != term) {
        r->term = term;
        r->vote = RAFT_NONE;
    }
    r->leader = RAFT_NONE;
    r->transferee = RAFT_NONE;
    r->election_elapsed = 0;
    r->heartbeat_elapsed = 0;
    r->election_timeout = r->config.election_ticks +
                          r->config.random(r->config.random_context, r->config.election_ticks);
    tracker_reset_votes(&r->tracker);
    uint64_t last = raft_log_last(&r->log);
    for (size_t i = 0; i < r->tracker.count; i++) {
        struct progress *p = &r->tracker.members[i];
        progress_reset(p, p->id == r->id ? last : 0, last + 1);
    }
    r->pending_change_index = 0;
    r->uncommitted_size = 0;
    core_reads_reset(r);
}

void core_become_follower(struct raft *r, uint64_t term, uint64_t leader)
{
    reset(r, term);
    r->leader = leader;
    r->role = RAFT_FOLLOWER;
}

/* Neither term nor vote change: who only asks disturbs nobody (thesis section 9.6). */
void core_become_pre_candidate(struct raft *r)
{
    assert(r->role != RAFT_LEADER);
    tracker_reset_votes(&r->tracker);
    r->leader = RAFT_NONE;
    r->role = RAFT_PRE_CANDIDATE;
}

void core_become_candidate(struct raft *r)
{
    assert(r->role != RAFT_LEADER);
    reset(r, r->term + 1);
    r->vote = r->id;
    r->role = RAFT_CANDIDATE;
}

void core_become_leader(struct raft *r)
{
    assert(r->role != RAFT_FOLLOWER);
    reset(r, r->term);
    r->leader = r->id;
    r->role = RAFT_LEADER;
    struct progress *own = tracker_find(&r->tracker, r->id);
    assert(own != NULL); /* a candidate is a voter */
    progress_become_replicate(own);
    own->recent_active = true;
    /* There may be a change in the log that is not applied: no other before it is. */
    if (!MUTANT(CHANGE_OVER_PENDING))
        r->pending_change_index = raft_log_last(&r->log);
    /* Nothing of older terms is committed but through an entry of our own (figure 3.7). It has no
     * payload, so no limit refuses it. */
    struct entry empty = {.type = ENTRY_NORMAL};
    bool appended = core_append_own(r, (struct entries){.items = &empty, .count = 1});
    assert(appended);
}

bool core_is_promotable(const struct raft *r)
{
    return configuration_is_voter(&r->tracker.configuration, r->id) &&
           r->log.unstable.snapshot == NULL;
}

void core_tick_election(struct raft *r)
{
    r->election_elapsed++;
    if (!core_is_promotable(r) || r->election_elapsed < r->election_timeout)
        return;
    r->election_elapsed = 0;
    core_campaign_if_allowed(r, r->config.pre_vote ? CAMPAIGN_PRE_ELECTION : CAMPAIGN_ELECTION);
}

void core_tick_heartbeat(struct raft *r)
{
    r->heartbeat_elapsed++;
    r->election_elapsed++;
    if (r->election_elapsed >= r->config.election_ticks) {
        r->election_elapsed = 0;
        if (r->config.check_quorum)
            core_check_quorum(r);
        /* A transfer that is not done by now is given up, and proposals are taken again. */
        if (r->role == RAFT_LEADER)
            r->transferee = RAFT_NONE;
    }
    if (r->role != RAFT_LEADER)
        return;
    if (r->heartbeat_elapsed >= r->config.heartbeat_ticks) {
        r->heartbeat_elapsed = 0;
        core_broadcast_heartbeat(r);
    }
}
