#include "consensus/core/machine.h"

#include <assert.h>
#include <stdlib.h>

/* --- the leader's side ------------------------------------------------------------------------ */

/* One that is still to be installed here is newer than the storage's. */
static enum err take_snapshot(struct raft *r, struct snapshot *out)
{
    if (r->log.unstable.snapshot != NULL) {
        *out = *r->log.unstable.snapshot;
        return OK;
    }
    return r->log.storage.snapshot(r->log.storage.context, out);
}

bool core_send_snapshot(struct raft *r, struct progress *p)
{
    /* Not to who is gone, for it is big. */
    if (!p->recent_active)
        return false;
    struct raft_message m = {.type = MESSAGE_SNAPSHOT, .to = p->id};
    m.snapshot = malloc(sizeof(*m.snapshot));
    if (m.snapshot == NULL) {
        raft_log_fail(&r->log, ERR_NO_MEMORY);
        return false;
    }
    enum err error = take_snapshot(r, m.snapshot);
    if (error != OK) {
        if (error != ERR_UNSUPPORTED)
            raft_log_fail(&r->log, error);
        message_fini(&m);
        return false;
    }
    assert(m.snapshot->index > 0);
    progress_become_snapshot(p, m.snapshot->index);
    core_send(r, &m);
    return !raft_failed(r);
}

void core_handle_snapshot_status(bool failed, struct progress *p)
{
    if (p->state != PROGRESS_SNAPSHOT)
        return;
    if (failed)
        p->pending_snapshot = 0;
    progress_become_probe(p);
    /* It answers once it has installed it; after a failure, a heartbeat's answer goes first. */
    p->flow_paused = true;
}

void core_handle_unreachable(struct progress *p)
{
    /* Of the appends on their way some are probably lost. */
    if (p->state == PROGRESS_REPLICATE)
        progress_become_probe(p);
}

/* --- the follower's side ---------------------------------------------------------------------- */

/* True if S replaces the log. */
static bool restore(struct raft *r, const struct snapshot *s)
{
    if (s->index <= r->log.committed)
        return false;
    assert(r->role == RAFT_FOLLOWER);
    if (!configuration_is_member(&s->configuration, r->id))
        return false;
    /* Our log holds all of it: what lies behind it is kept. */
    if (raft_log_matches(&r->log, (struct entry_id){.term = s->term, .index = s->index})) {
        raft_log_commit_to(&r->log, s->index);
        return false;
    }
    raft_log_restore(&r->log, s);
    if (raft_failed(r))
        return true;
    /* What was known of members is of another log. */
    struct id_set all;
    configuration_members(&s->configuration, &all);
    if (!MUTANT(SNAPSHOT_KEEPS_CONFIGURATION))
        core_switch_configuration(r, &s->configuration, &all);
    return true;
}

void core_handle_snapshot(struct raft *r, const struct raft_message *m)
{
    bool restored = restore(r, m->snapshot);
    struct raft_message answer = {.type = MESSAGE_APPEND_RESPONSE,
                                  .to = m->from,
                                  .index = restored ? raft_log_last(&r->log) : r->log.committed};
    core_send(r, &answer);
}
