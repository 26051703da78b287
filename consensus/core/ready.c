#include "consensus/core/machine.h"

#include <assert.h>
#include <stdlib.h>

static struct hard_state hard_state_of(const struct raft *r)
{
    return (struct hard_state){.term = r->term, .vote = r->vote, .commit = r->log.committed};
}

static bool hard_state_changed(const struct raft *r)
{
    const struct hard_state *old = &r->previous_hard_state;
    return r->term != old->term || r->vote != old->vote || r->log.committed != old->commit;
}

static bool soft_state_changed(const struct raft *r)
{
    return r->leader != r->previous_leader || r->role != r->previous_role;
}

/* Without asynchronous storage the owner writes before it applies. */
static bool applies_unstable(const struct raft *r)
{
    return !r->config.async_storage;
}

bool raft_has_ready(const struct raft *r)
{
    return soft_state_changed(r) || hard_state_changed(r) ||
           unstable_next_snapshot(&r->log.unstable) != NULL || r->messages.count > 0 ||
           r->after_store.count > 0 || unstable_next_entries(&r->log.unstable).count > 0 ||
           raft_log_has_next_committed(&r->log, applies_unstable(r)) || r->read_states.count > 0;
}

/* --- answers of the storage, as it will give them --------------------------------------------- */

static enum err copy_snapshot(struct raft_message *m, const struct snapshot *s)
{
    m->snapshot = malloc(sizeof(*m->snapshot));
    if (m->snapshot == NULL)
        return ERR_NO_MEMORY;
    *m->snapshot = *s;
    return OK;
}

/* Says the last entry of the tail even if this write carries none. A write of an older term may be
 * the one that wrote it, and its answer is ignored (the entries could have been replaced, and be
 * under way a second time); as each new term is written, an answer that counts comes some day. */
static enum err add_store_response(struct raft *r, const struct snapshot *snapshot,
                                   struct message_list *out)
{
    struct raft_message m = {
        .type = MESSAGE_STORE_RESPONSE, .to = r->id, .from = RAFT_APPEND_THREAD, .term = r->term};
    bool has_tail = r->log.unstable.entries.count > 0;
    if (!has_tail && snapshot == NULL)
        return OK;
    if (has_tail) {
        struct entry_id last = raft_log_last_id(&r->log);
        m.index = last.index;
        m.log_term = last.term;
    }
    if (snapshot != NULL) {
        enum err error = copy_snapshot(&m, snapshot);
        if (error != OK)
            return error;
    }
    return message_list_take(out, &m);
}

static enum err add_apply_response(struct raft *r, struct entries committed,
                                   struct message_list *out)
{
    struct raft_message m = {
        .type = MESSAGE_APPLY_RESPONSE, .to = r->id, .from = RAFT_APPLY_THREAD};
    if (committed.count == 0)
        return OK;
    enum err error = entry_list_add_all(&m.entries, committed);
    if (error != OK)
        return error;
    return message_list_take(out, &m);
}

/* --- with asynchronous storage ---------------------------------------------------------------- */

static void take_responses(struct raft_message *m, struct message_list *responses)
{
    m->responses = responses->items;
    m->response_count = responses->count;
    *responses = (struct message_list){0};
}

static enum err add_store(struct raft *r, struct raft_ready *out)
{
    struct raft_message m = {.type = MESSAGE_STORE, .to = RAFT_APPEND_THREAD, .from = r->id};
    if (out->entries.count == 0 && !out->has_hard_state && out->snapshot == NULL &&
        r->after_store.count == 0)
        return OK;
    enum err error = entry_list_add_all(&m.entries, out->entries);
    if (error == OK && out->snapshot != NULL)
        error = copy_snapshot(&m, out->snapshot);
    if (out->has_hard_state) {
        m.term = out->hard_state.term;
        m.vote = out->hard_state.vote;
        m.commit = out->hard_state.commit;
    }
    /* Ours comes behind the leader's answer to itself, which so finds terms in memory. */
    if (error == OK)
        error = add_store_response(r, out->snapshot, &r->after_store);
    take_responses(&m, &r->after_store);
    if (error != OK) {
        message_fini(&m);
        return error;
    }
    return message_list_take(&r->handed_out.messages, &m);
}

static enum err add_apply(struct raft *r, struct raft_ready *out)
{
    struct raft_message m = {.type = MESSAGE_APPLY, .to = RAFT_APPLY_THREAD, .from = r->id};
    struct message_list responses = {0};
    if (out->committed.count == 0)
        return OK;
    enum err error = entry_list_add_all(&m.entries, out->committed);
    if (error == OK)
        error = add_apply_response(r, out->committed, &responses);
    take_responses(&m, &responses);
    if (error != OK) {
        message_fini(&m);
        return error;
    }
    return message_list_take(&r->handed_out.messages, &m);
}

/* --- without ---------------------------------------------------------------------------------- */

/* To others with this ready; to ourselves at raft_advance. */
static enum err split_after_store(struct raft *r, const struct raft_ready *out)
{
    enum err error = OK;
    assert(r->on_advance.count == 0); /* raft_advance was not called */
    for (size_t i = 0; i < r->after_store.count; i++) {
        struct raft_message *m = &r->after_store.items[i];
        bool is_own = m->to == r->id;
        enum err taken = message_list_take(is_own ? &r->on_advance : &r->handed_out.messages, m);
        if (error == OK)
            error = taken;
    }
    message_list_fini(&r->after_store);
    if (error == OK)
        error = add_store_response(r, out->snapshot, &r->on_advance);
    if (error == OK)
        error = add_apply_response(r, out->committed, &r->on_advance);
    return error;
}

enum err raft_advance(struct raft *r)
{
    assert(!r->config.async_storage);
    struct message_list list = r->on_advance;
    r->on_advance = (struct message_list){0};
    for (size_t i = 0; i < list.count && !raft_failed(r); i++) {
        enum err error = core_step(r, &list.items[i]);
        assert(error == OK || raft_failed(r)); /* our own answers are refused by nobody */
    }
    message_list_fini(&list);
    return r->log.error;
}

/* --- handing out ------------------------------------------------------------------------------ */

void core_handed_out_fini(struct handed_out *h)
{
    message_list_fini(&h->messages);
    core_read_states_fini(&h->read_states);
    entry_list_fini(&h->entries);
    entry_list_fini(&h->committed);
}

static void fill_states(struct raft *r, struct raft_ready *out)
{
    out->has_soft_state = soft_state_changed(r);
    out->leader = r->leader;
    out->role = r->role;
    out->has_hard_state = hard_state_changed(r);
    out->hard_state = hard_state_of(r);
    out->must_sync = out->entries.count > 0 || r->term != r->previous_hard_state.term ||
                     r->vote != r->previous_hard_state.vote;
}

static void fill_work(struct raft *r, struct raft_ready *out)
{
    struct handed_out *h = &r->handed_out;
    raft_log_fail(&r->log,
                  entry_list_add_all(&h->entries, unstable_next_entries(&r->log.unstable)));
    raft_log_next_committed(&r->log, applies_unstable(r), &h->committed);
    out->entries = entry_list_view(&h->entries);
    out->committed = entry_list_view(&h->committed);
    if (unstable_next_snapshot(&r->log.unstable) != NULL) {
        h->snapshot = *unstable_next_snapshot(&r->log.unstable);
        out->snapshot = &h->snapshot;
    }
}

static enum err fill_messages(struct raft *r, struct raft_ready *out)
{
    r->handed_out.messages = r->messages;
    r->messages = (struct message_list){0};
    r->handed_out.read_states = r->read_states;
    r->read_states = (struct read_states){0};
    enum err error;
    if (!r->config.async_storage) {
        error = split_after_store(r, out);
    } else {
        error = add_store(r, out);
        if (error == OK)
            error = add_apply(r, out);
    }
    out->messages = r->handed_out.messages.items;
    out->message_count = r->handed_out.messages.count;
    out->read_states = r->handed_out.read_states.items;
    out->read_state_count = r->handed_out.read_states.count;
    return error;
}

static void accept(struct raft *r, const struct raft_ready *out)
{
    r->previous_leader = r->leader;
    r->previous_role = r->role;
    r->previous_hard_state = out->hard_state;
    unstable_accept(&r->log.unstable);
    if (out->committed.count > 0) {
        uint64_t last = out->committed.items[out->committed.count - 1].index;
        raft_log_accept_applying(&r->log, last, entries_size(out->committed), applies_unstable(r));
    }
}

enum err raft_ready(struct raft *r, struct raft_ready *out)
{
    struct raft_ready ready = {0};
    if (raft_failed(r))
        return r->log.error;
    core_handed_out_fini(&r->handed_out);
    fill_work(r, &ready);
    if (raft_failed(r))
        return r->log.error;
    fill_states(r, &ready);
    if (raft_log_fail(&r->log, fill_messages(r, &ready)))
        return r->log.error;
    accept(r, &ready);
    *out = ready;
    return OK;
}
