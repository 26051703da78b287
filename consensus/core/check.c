/* What no correct member sends, and what only we ourselves say. It is all looked at before anything
 * changes, so that the handlers may rely on it. */
#include "consensus/core/machine.h"

static bool is_response(enum message_type type)
{
    return type == MESSAGE_APPEND_RESPONSE || type == MESSAGE_VOTE_RESPONSE ||
           type == MESSAGE_HEARTBEAT_RESPONSE || type == MESSAGE_READ_INDEX_RESPONSE ||
           type == MESSAGE_PRE_VOTE_RESPONSE;
}

/* Our own answers to ourselves, and what a follower handed on that we had handed on to it. */
static bool may_be_from_us(enum message_type type)
{
    return type == MESSAGE_APPEND_RESPONSE || type == MESSAGE_VOTE_RESPONSE ||
           type == MESSAGE_PRE_VOTE_RESPONSE || type == MESSAGE_PROPOSAL ||
           type == MESSAGE_READ_INDEX || type == MESSAGE_TRANSFER;
}

static bool are_numbers_sane(const struct raft_message *m)
{
    bool is_termless = m->type == MESSAGE_PROPOSAL || m->type == MESSAGE_READ_INDEX;
    if (m->type != MESSAGE_TRANSFER && is_termless != (m->term == 0))
        return false;
    return m->term <= RAFT_MAX_NUMBER && m->log_term <= RAFT_MAX_NUMBER &&
           m->index <= RAFT_MAX_NUMBER && m->commit <= RAFT_MAX_NUMBER &&
           m->reject_hint <= RAFT_MAX_NUMBER;
}

static bool is_content_sane(const struct entry *e)
{
    struct configuration_change c;
    if (e->type == ENTRY_NORMAL)
        return true;
    if (e->type == ENTRY_REFUSED_CHANGE)
        return e->payload == NULL;
    return entry_is_change(e) && change_decode(&c, e->type, payload_bytes(e->payload)) == OK;
}

/* Consecutive, with terms that do not fall and are not above the leader's. */
static bool is_append_sane(const struct raft_message *m)
{
    uint64_t term = m->log_term;
    if (m->entries.count > RAFT_MAX_NUMBER - m->index || m->log_term > m->term)
        return false;
    for (size_t i = 0; i < m->entries.count; i++) {
        const struct entry *e = &m->entries.items[i];
        if (e->index != m->index + 1 + i || e->term < term || e->term == 0 || e->term > m->term ||
            !is_content_sane(e))
            return false;
        term = e->term;
    }
    return true;
}

static bool is_proposal_sane(const struct raft_message *m)
{
    for (size_t i = 0; i < m->entries.count; i++) {
        if (!is_content_sane(&m->entries.items[i]))
            return false;
    }
    return m->entries.count > 0;
}

static bool is_snapshot_sane(const struct raft_message *m)
{
    const struct snapshot *s = m->snapshot;
    return s != NULL && s->index > 0 && s->index <= RAFT_MAX_NUMBER && s->term > 0 &&
           s->term <= m->term && configuration_is_valid(&s->configuration);
}

static bool is_token_sane(const struct raft *r, const struct raft_message *m)
{
    struct bytes octets = payload_bytes(m->context);
    uint64_t token = 0;
    if (octets.size == 0)
        return true;
    if (octets.size != sizeof(token))
        return false;
    for (size_t i = 0; i < octets.size; i++)
        token |= (uint64_t)octets.data[i] << (8 * i);
    /* One that we did not give, as the leader of that term. */
    return r->role != RAFT_LEADER || m->term != r->term || token <= core_read_newest_token(r);
}

/* By the content that each type may have. */
static bool is_sane(struct raft *r, const struct raft_message *m)
{
    if (m->snapshot != NULL && m->type != MESSAGE_SNAPSHOT)
        return false;
    if (m->type == MESSAGE_PROPOSAL)
        return is_proposal_sane(m);
    if (m->type == MESSAGE_APPEND)
        return is_append_sane(m);
    if (m->type == MESSAGE_READ_INDEX || m->type == MESSAGE_READ_INDEX_RESPONSE)
        return m->entries.count == 1;
    if (m->entries.count > 0)
        return false;
    if (m->type == MESSAGE_SNAPSHOT)
        return is_snapshot_sane(m);
    /* A leader tells us no commit index beyond what we told it is in our log. */
    if (m->type == MESSAGE_HEARTBEAT)
        return m->term < r->term || m->commit <= raft_log_last(&r->log);
    if (m->type == MESSAGE_HEARTBEAT_RESPONSE)
        return is_token_sane(r, m);
    /* Nobody has entries that their leader does not. */
    if (m->type == MESSAGE_APPEND_RESPONSE)
        return m->reject || r->role != RAFT_LEADER || m->term != r->term ||
               m->index <= raft_log_last(&r->log);
    return true;
}

/* From our own threads. */
static enum err check_storage_response(const struct raft *r, const struct raft_message *m)
{
    bool is_store = m->type == MESSAGE_STORE_RESPONSE && m->from == RAFT_APPEND_THREAD;
    bool is_apply = m->type == MESSAGE_APPLY_RESPONSE && m->from == RAFT_APPLY_THREAD;
    return m->to == r->id && (is_store || is_apply) ? OK : ERR_MALFORMED;
}

enum err core_check_message(struct raft *r, const struct raft_message *m)
{
    if (m->from == RAFT_APPEND_THREAD || m->from == RAFT_APPLY_THREAD)
        return check_storage_response(r, m);
    if (!message_crosses_network(m->type) || m->to != r->id || m->from == RAFT_NONE ||
        (m->from == r->id && !may_be_from_us(m->type)) || m->response_count > 0 ||
        !are_numbers_sane(m))
        return ERR_MALFORMED;
    if (is_response(m->type) && tracker_find(&r->tracker, m->from) == NULL)
        return ERR_NOT_FOUND;
    return is_sane(r, m) ? OK : ERR_MALFORMED;
}
