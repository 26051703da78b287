/* Messages to and from other members. */
#include "internal.h"

#include "consensus/message_codec.h"

enum {
    KEPT_MESSAGE_SIZE = 64 << 10, /* memory of the encoding that is kept */
};

/* A proposal that is handed on says in which term its receiver leads: the core wants none there,
 * and gets none. */
static void encode(struct node *n, const struct raft_message *m)
{
    struct raft_message copy = *m; /* borrows */
    struct raft_status status;
    if (m->type == MESSAGE_PROPOSAL) {
        raft_status(n->core, &status);
        copy.term = status.term;
    }
    message_encode(&n->message, &copy);
}

void node_send(struct node *n, const struct raft_message *m)
{
    if (n->link.send == NULL || node_is_over(n))
        return;
    strbuf_clear(&n->message);
    encode(n, m);
    enum err error = n->message.failed ? ERR_NO_MEMORY
                                       : n->link.send(n->link.context, m->to, NODE_MESSAGE_RAFT,
                                                      bytes_of(n->message.data, n->message.size));
    if (n->message.failed || n->message.size > KEPT_MESSAGE_SIZE)
        strbuf_fini(&n->message);
    if (error != OK)
        node_unreachable(n, m->to);
}

void node_unreachable(struct node *n, uint64_t id)
{
    if (!node_is_over(n))
        (void)node_core_failed(n, raft_report_unreachable(n->core, id));
}

/* Those keep who sent them first (core/message.h). */
static bool is_handed_on(enum message_type type)
{
    return type == MESSAGE_READ_INDEX || type == MESSAGE_TRANSFER;
}

/* What comes to be applied must be readable to every member, and a proposal be its sender's. */
static bool are_entries_sane(const struct raft_message *m)
{
    struct envelope envelope;
    bool is_proposal = m->type == MESSAGE_PROPOSAL;
    if (!is_proposal && m->type != MESSAGE_APPEND)
        return true;
    for (size_t i = 0; i < m->entries.count; i++) {
        const struct entry *e = &m->entries.items[i];
        if (!is_proposal && (e->type != ENTRY_NORMAL || e->payload == NULL))
            continue;
        if (e->type != ENTRY_NORMAL || !node_envelope_read(&envelope, payload_bytes(e->payload)) ||
            (is_proposal && envelope.origin != m->from))
            return false;
    }
    return true;
}

/* Not handed on a second time: who is no leader any more leaves it to its proposer's patience. */
static enum err take_proposals(struct node *n, const struct raft_message *m)
{
    struct raft_status status;
    struct raft_message fresh = {.type = MESSAGE_PROPOSAL, .to = m->to, .from = m->from};
    raft_status(n->core, &status);
    if (status.role != RAFT_LEADER || status.term != m->term)
        return OK;
    enum err error = node_hear(n, m, status.term, &fresh.entries) ? raft_step(n->core, &fresh) : OK;
    entry_list_fini(&fresh.entries);
    return error;
}

void node_tell_no_snapshot(struct node *n)
{
    uint64_t now = uv_now(n->loop);
    if (n->snapshot_line_ms != 0 && now - n->snapshot_line_ms < NODE_LOG_EVERY_MS)
        return;
    n->snapshot_line_ms = now;
    log_line(LOG_WARNING,
             "registry: a member is further behind than the log goes back (it begins at %llu): it "
             "would need a snapshot, and there are none yet",
             (unsigned long long)n->log_first);
}

static enum err step(struct node *n, uint64_t from, const struct raft_message *m)
{
    if (from == RAFT_NONE || from == n->member_id || m->to != n->member_id ||
        (m->from != from && !is_handed_on(m->type)) || m->from >= RAFT_APPLY_THREAD ||
        !are_entries_sane(m))
        return ERR_MALFORMED;
    if (m->type == MESSAGE_SNAPSHOT) {
        node_tell_no_snapshot(n);
        return ERR_UNSUPPORTED;
    }
    enum err error = m->type == MESSAGE_PROPOSAL ? take_proposals(n, m) : raft_step(n->core, m);
    node_wake(n);
    if (node_core_failed(n, error))
        return OK;
    /* Of a member that was removed, or with nobody to hand it on to: nothing is wrong with it. */
    return error == ERR_MALFORMED ? ERR_MALFORMED : OK;
}

enum err node_receive(struct node *n, uint64_t from, uint16_t type, struct bytes bytes)
{
    struct raft_message m;
    if (node_is_over(n))
        return OK;
    if (type != NODE_MESSAGE_RAFT)
        return ERR_UNSUPPORTED;
    enum err error = message_decode(&m, bytes);
    if (error == ERR_NO_MEMORY)
        return OK; /* lost */
    if (error != OK)
        return error;
    node_enter(n);
    error = step(n, from, &m);
    message_fini(&m);
    node_leave(n);
    return error;
}
