#include "consensus/core/machine.h"

void core_send_timeout_now(struct raft *r, uint64_t to)
{
    struct raft_message m = {.type = MESSAGE_TIMEOUT_NOW, .to = to};
    core_send(r, &m);
}

/* Thesis section 3.10: the target catches up, then it is told to campaign at once. Until then, and
 * at most for an election time-out, proposals are refused. */
void core_handle_transfer(struct raft *r, uint64_t target, struct progress *p)
{
    if (p->is_learner || r->transferee == target)
        return;
    /* The newer wish holds; to ourselves it only ends the older. */
    r->transferee = RAFT_NONE;
    if (target == r->id)
        return;
    r->election_elapsed = 0;
    r->transferee = target;
    if (p->match == raft_log_last(&r->log))
        core_send_timeout_now(r, target);
    else
        (void)core_send_append(r, p, true);
}
