/* What our own storage answers. */
#include "consensus/core/machine.h"

#include <assert.h>

/* The leader leaves a joint configuration by itself, as soon as it is applied, if it was entered
 * so. Refused while leadership is being handed over: whoever leads then does it, or we, later. */
static void leave_joint_if_due(struct raft *r)
{
    if (!r->tracker.configuration.auto_leave || r->role != RAFT_LEADER ||
        r->log.applied < r->pending_change_index)
        return;
    struct entry leave = {.type = ENTRY_CHANGE};
    struct raft_message m = {
        .type = MESSAGE_PROPOSAL, .from = r->id, .entries = {.items = &leave, .count = 1}};
    enum err error = core_handle_proposal(r, &m);
    assert(error == OK || error == ERR_REFUSED || raft_failed(r));
}

static void applied_to(struct raft *r, uint64_t index, uint64_t size)
{
    raft_log_applied_to(&r->log, index > r->log.applied ? index : r->log.applied, size);
    leave_joint_if_due(r);
}

void core_handle_snapshot_stored(struct raft *r, uint64_t index)
{
    unstable_snapshot_stable_to(&r->log.unstable, index);
    applied_to(r, index, 0);
}

void core_handle_store_response(struct raft *r, const struct raft_message *m)
{
    if (m->index != 0)
        unstable_stable_to(&r->log.unstable, m->log_term, m->index);
    if (m->snapshot != NULL)
        core_handle_snapshot_stored(r, m->snapshot->index);
}

void core_handle_apply_response(struct raft *r, const struct raft_message *m)
{
    struct entries entries = entry_list_view(&m->entries);
    if (entries.count == 0)
        return;
    applied_to(r, entries.items[entries.count - 1].index, entries_size(entries));
    core_reduce_uncommitted(r, entries_payload_size(entries));
}
