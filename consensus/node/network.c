/* Messages to and from other members. */
#include "internal.h"

#include "consensus/message_codec.h"

enum {
    KEPT_MESSAGE_SIZE = 64 << 10, /* memory of the encoding that is kept */
};

void node_send(struct node *n, const struct raft_message *m)
{
    if (n->link.send == NULL || node_is_over(n))
        return;
    strbuf_clear(&n->message);
    message_encode(&n->message, m);
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

/* Those three keep who sent them first (core/message.h). */
static bool is_handed_on(enum message_type type)
{
    return type == MESSAGE_PROPOSAL || type == MESSAGE_READ_INDEX || type == MESSAGE_TRANSFER;
}

/* What comes to be applied must be readable to every member. */
static bool are_envelopes_whole(const struct raft_message *m)
{
    struct envelope ignored;
    if (m->type != MESSAGE_PROPOSAL && m->type != MESSAGE_APPEND)
        return true;
    for (size_t i = 0; i < m->entries.count; i++) {
        const struct entry *e = &m->entries.items[i];
        bool is_empty = e->payload == NULL && m->type == MESSAGE_APPEND;
        if (e->type == ENTRY_NORMAL && !is_empty &&
            !node_envelope_read(&ignored, payload_bytes(e->payload)))
            return false;
    }
    return true;
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
        !are_envelopes_whole(m))
        return ERR_MALFORMED;
    if (m->type == MESSAGE_SNAPSHOT) {
        node_tell_no_snapshot(n);
        return ERR_UNSUPPORTED;
    }
    enum err error = raft_step(n->core, m);
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
