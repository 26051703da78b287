#include "consensus/core/machine.h"

#include <assert.h>

/* As leader, of a configuration that changed: fewer may be needed now for a commit, and new members
 * are probed without waiting for a heartbeat. */
static void tell_members(struct raft *r)
{
    if (core_advance_commit(r)) {
        core_broadcast_append(r);
        return;
    }
    for (size_t i = 0; i < r->tracker.count; i++) {
        if (r->tracker.members[i].id != r->id)
            (void)core_send_append(r, &r->tracker.members[i], false);
    }
}

void core_switch_configuration(struct raft *r, const struct configuration_state *state,
                               const struct id_set *added)
{
    tracker_set(&r->tracker, state, added, raft_log_last(&r->log));
    bool is_member = configuration_is_member(state, r->id);
    r->is_learner = id_set_has(&state->learners, r->id);
    if (r->role != RAFT_LEADER)
        return;
    if (!is_member || r->is_learner) {
        if (r->config.step_down_on_removal)
            core_become_follower(r, r->term, RAFT_NONE);
        return;
    }
    if (state->voters.count == 0)
        return;
    tell_members(r);
    if (r->transferee != RAFT_NONE && !configuration_is_voter(state, r->transferee))
        r->transferee = RAFT_NONE;
}

enum err raft_apply_change(struct raft *r, const struct configuration_change *c,
                           enum change_verdict *verdict)
{
    static const struct configuration_change leave = {0};
    struct change_outcome outcome;
    if (raft_failed(r))
        return r->log.error;
    /* Older than the snapshot that has come meanwhile: its configuration has this change. */
    if (r->log.unstable.snapshot != NULL) {
        if (verdict != NULL)
            *verdict = CHANGE_OK;
        return OK;
    }
    enum change_verdict v =
        configuration_apply(&r->tracker.configuration, c != NULL ? c : &leave, &outcome);
    if (v == CHANGE_OK)
        core_switch_configuration(r, &outcome.state, &outcome.added);
    if (verdict != NULL)
        *verdict = v;
    return r->log.error;
}
