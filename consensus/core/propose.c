#include "consensus/core/machine.h"

#include <assert.h>

bool core_append_own(struct raft *r, struct entries entries)
{
    struct entry_list list = ENTRY_LIST_EMPTY;
    uint64_t size = entries_payload_size(entries);
    /* A tail that holds nothing takes anything, and entries without payload always fit. */
    if (r->uncommitted_size > 0 && size > 0 &&
        (size > r->config.max_uncommitted_size ||
         r->uncommitted_size > r->config.max_uncommitted_size - size))
        return false;
    r->uncommitted_size += size;
    if (raft_log_fail(&r->log, entry_list_add_all(&list, entries)))
        return true;
    uint64_t last = raft_log_last(&r->log);
    for (size_t i = 0; i < list.count; i++) {
        list.items[i].term = r->term;
        list.items[i].index = ++last;
    }
    raft_log_append(&r->log, entry_list_view(&list));
    entry_list_fini(&list);
    /* We are a member as the others: our own entries count once they are durable. */
    struct raft_message own = {.type = MESSAGE_APPEND_RESPONSE, .to = r->id, .index = last};
    struct progress *p = tracker_find(&r->tracker, r->id);
    if (MUTANT(SELF_ACK_BEFORE_DURABLE) && p != NULL)
        (void)progress_update(p, last);
    core_send(r, &own);
    return true;
}

void core_reduce_uncommitted(struct raft *r, uint64_t size)
{
    /* An estimate: entries of older terms were never added. */
    r->uncommitted_size = r->uncommitted_size > size ? r->uncommitted_size - size : 0;
}

/* Whether the change in E may be appended, as far as we know. */
static bool change_is_allowed(const struct raft *r, const struct entry *e)
{
    struct configuration_change c;
    enum err error = change_decode(&c, e->type, payload_bytes(e->payload));
    assert(error == OK); /* check_message */
    bool is_joint = configuration_is_joint(&r->tracker.configuration);
    if (r->config.no_change_validation)
        return true;
    if (r->pending_change_index > r->log.applied)
        return false;
    return is_joint == (c.item_count == 0);
}

/* In place of refused changes come entries that do nothing: others of the same proposal go on. */
static void settle_changes(struct raft *r, struct entry_list *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *e = &entries->items[i];
        if (!entry_is_change(e))
            continue;
        if (change_is_allowed(r, e)) {
            r->pending_change_index = raft_log_last(&r->log) + i + 1;
            continue;
        }
        payload_release(e->payload);
        *e = (struct entry){.type = ENTRY_REFUSED_CHANGE};
    }
}

enum err core_handle_proposal(struct raft *r, const struct raft_message *m)
{
    struct entry_list entries = ENTRY_LIST_EMPTY;
    /* Removed while leading; or about to hand over, and what is appended now would delay it. */
    if (tracker_find(&r->tracker, r->id) == NULL || r->transferee != RAFT_NONE)
        return ERR_REFUSED;
    if (raft_log_fail(&r->log, entry_list_add_all(&entries, entry_list_view(&m->entries))))
        return r->log.error;
    settle_changes(r, &entries);
    bool appended = core_append_own(r, entry_list_view(&entries));
    entry_list_fini(&entries);
    if (!appended)
        return ERR_REFUSED;
    core_broadcast_append(r);
    return OK;
}

void core_forward(struct raft *r, const struct raft_message *m)
{
    struct raft_message copy;
    if (raft_log_fail(&r->log, message_copy(&copy, m)))
        return;
    copy.to = r->leader;
    copy.term = 0;
    core_send(r, &copy);
}
