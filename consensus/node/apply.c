/* What is committed, and durable here, to the machine: in order, and only while the journal's
 * overlay has room for the effects. */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

/* --- one entry -------------------------------------------------------------------------------- */

static enum err apply_command(struct node *n, const struct entry *e)
{
    struct envelope envelope;
    if (!node_envelope_read(&envelope, payload_bytes(e->payload)))
        return ERR_MALFORMED;
    void *tag = envelope.origin == n->member_id ? node_pending_take(n, envelope.number) : NULL;
    return n->machine.apply(n->machine.context, e->index, e->term, envelope.content, tag);
}

/* The index advances also where the entry has no effect. */
enum err node_apply_entry(struct node *n, const struct entry *e)
{
    enum err error = OK;
    assert(e->index == n->applied + 1);
    n->is_applying = true;
    if (entry_is_change(e))
        error = node_apply_change(n, e);
    else if (e->type == ENTRY_REFUSED_CHANGE)
        node_change_refused(n, e);
    else if (e->payload != NULL)
        error = apply_command(n, e);
    n->is_applying = false;
    n->is_unsettled = true;
    if (error == OK && !n->is_destroyed)
        error = journal_stage(n->journal, e->index, NULL, 0);
    if (error != OK)
        return error;
    n->applied = e->index;
    if (e->term > n->applied_term) {
        n->applied_term = e->term;
        node_drop_outdated(n, e->term);
    }
    return OK;
}

/* --- the queue -------------------------------------------------------------------------------- */

static void on_room(void *context, enum err outcome)
{
    struct node *n = context;
    n->waits_for_room = false;
    if (outcome != OK)
        node_halt(n, NULL);
    node_wake(n);
    node_leave(n);
}

/* The overlay is at its bound: goes on when a transaction has carried it. */
static void wait_for_room(struct node *n)
{
    if (n->waits_for_room)
        return;
    if (journal_submit(n->journal, &(struct journal_write){0}, on_room, n) != OK) {
        node_halt(n, "the journal takes no write");
        return;
    }
    n->waits_for_room = true;
    node_enter(n);
}

void node_apply(struct node *n, const struct raft_message *m)
{
    struct apply_work *w = calloc(1, sizeof(*w));
    if (w == NULL || message_copy(&w->message, m) != OK) {
        free(w);
        node_halt(n, "out of memory");
        return;
    }
    *n->applying_end = w;
    n->applying_end = &w->next;
}

static void pop(struct node *n)
{
    struct apply_work *w = n->applying;
    n->applying = w->next;
    if (n->applying == NULL)
        n->applying_end = &n->applying;
    message_fini(&w->message);
    free(w);
}

/* False: there is no room now, or it is all over. */
static bool run_one(struct node *n, struct apply_work *w)
{
    while (w->at < w->message.entries.count) {
        if (!journal_has_room(n->journal)) {
            wait_for_room(n);
            return false;
        }
        enum err error = node_apply_entry(n, &w->message.entries.items[w->at++]);
        if (error != OK)
            node_halt(n, err_text(error));
        if (node_is_over(n))
            return false;
    }
    return true;
}

void node_apply_run(struct node *n)
{
    while (!node_is_over(n) && n->applying != NULL && run_one(n, n->applying)) {
        struct apply_work *w = n->applying;
        for (size_t i = 0; i < w->message.response_count; i++)
            if (node_core_failed(n, raft_step(n->core, &w->message.responses[i])))
                return;
        pop(n);
        node_tail_trim(n);
    }
}

void node_apply_fini(struct node *n)
{
    while (n->applying != NULL)
        pop(n);
}

/* --- effects ---------------------------------------------------------------------------------- */

enum err node_stage(struct node *n, const struct journal_effect *effects, size_t count)
{
    assert(n->is_applying);
    return journal_stage(n->journal, n->applied + 1, effects, count);
}

enum err node_stage_more(struct node *n, const struct journal_effect *effects, size_t count)
{
    assert(!n->is_applying);
    return journal_stage(n->journal, n->applied, effects, count);
}
