#include "consensus/core/machine.h"

#include <assert.h>

static bool is_vote(enum message_type type)
{
    return type == MESSAGE_VOTE || type == MESSAGE_VOTE_RESPONSE || type == MESSAGE_PRE_VOTE ||
           type == MESSAGE_PRE_VOTE_RESPONSE;
}

/* Thesis section 3.8: a vote, and the word that entries are in our log, are given only once they
 * are durable. Refusals wait, too: they may rest on what is being written. */
static bool waits_for_store(enum message_type type)
{
    if (MUTANT(VOTE_BEFORE_DURABLE) && type == MESSAGE_VOTE_RESPONSE)
        return false;
    return type == MESSAGE_APPEND_RESPONSE || type == MESSAGE_VOTE_RESPONSE ||
           type == MESSAGE_PRE_VOTE_RESPONSE;
}

void core_send(struct raft *r, struct raft_message *m)
{
    if (m->from == RAFT_NONE)
        m->from = r->id;
    /* Votes say for which term they are; proposals and reads that are handed on are of none. */
    if (!is_vote(m->type) && m->type != MESSAGE_PROPOSAL && m->type != MESSAGE_READ_INDEX) {
        assert(m->term == 0);
        m->term = r->term;
    }
    bool later = waits_for_store(m->type) || (m->to == r->id && is_vote(m->type));
    assert(later || m->to != r->id);
    raft_log_fail(&r->log, message_list_take(later ? &r->after_store : &r->messages, m));
}
