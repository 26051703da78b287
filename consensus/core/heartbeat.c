#include "consensus/core/machine.h"

/* The commit index only as far as the member's log is known to match: the rest of its log may be
 * another leader's. */
static void send_heartbeat(struct raft *r, struct progress *p, struct payload *token)
{
    uint64_t commit = p->match < r->log.committed ? p->match : r->log.committed;
    struct raft_message m = {.type = MESSAGE_HEARTBEAT,
                             .to = p->id,
                             .commit = commit,
                             .context = payload_reference(token)};
    core_send(r, &m);
    p->sent_commit = commit;
}

void core_broadcast_heartbeat(struct raft *r)
{
    struct payload *token = core_read_token(r);
    for (size_t i = 0; i < r->tracker.count; i++) {
        if (r->tracker.members[i].id != r->id)
            send_heartbeat(r, &r->tracker.members[i], token);
    }
    payload_release(token);
}

void core_handle_heartbeat(struct raft *r, const struct raft_message *m)
{
    raft_log_commit_to(&r->log, m->commit);
    struct raft_message answer = {.type = MESSAGE_HEARTBEAT_RESPONSE,
                                  .to = m->from,
                                  .context = payload_reference(m->context)};
    core_send(r, &answer);
}

void core_handle_heartbeat_response(struct raft *r, const struct raft_message *m,
                                    struct progress *p)
{
    p->recent_active = true;
    p->flow_paused = false;
    /* It is alive: what was paused is tried again, also an empty append to end a probe. */
    if (p->match < raft_log_last(&r->log) || p->state == PROGRESS_PROBE)
        (void)core_send_append(r, p, true);
    if (m->context != NULL && m->context->size > 0)
        core_read_acknowledged(r, m->from, payload_bytes(m->context));
}

void core_check_quorum(struct raft *r)
{
    if (!tracker_quorum_active(&r->tracker))
        core_become_follower(r, r->term, RAFT_NONE);
    for (size_t i = 0; i < r->tracker.count; i++) {
        if (r->tracker.members[i].id != r->id)
            r->tracker.members[i].recent_active = false;
    }
}
