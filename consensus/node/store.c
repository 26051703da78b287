/* What is to be made durable: MESSAGE_STORE to the journal, one transaction for all of a turn. What
 * only moves the commit index is not written by itself: it is a hint, and goes with the next write.
 */
#include "internal.h"

#include <stdlib.h>

static void on_stored(void *context, enum err outcome)
{
    struct store_work *w = context;
    struct node *n = w->node;
    w->is_done = true;
    if (outcome != OK)
        node_halt(n, NULL);
    else if (w->durable_to > n->durable)
        n->durable = w->durable_to;
    node_wake(n);
    node_leave(n);
}

static enum err fill_rows(struct node *n, struct entries entries)
{
    if (entries.count > n->row_capacity) {
        struct log_entry *rows = reallocarray(n->rows, entries.count, sizeof(*rows));
        if (rows == NULL)
            return ERR_NO_MEMORY;
        n->rows = rows;
        n->row_capacity = entries.count;
    }
    for (size_t i = 0; i < entries.count; i++) {
        n->rows[i] = node_row_of_entry(&entries.items[i]);
        n->size_since_cut += n->rows[i].data.size;
    }
    return OK;
}

/* Of what is on its way to the disk, W may overwrite an end. */
static void note_overwritten(struct node *n, struct store_work *w, struct entries entries)
{
    if (entries.count == 0)
        return;
    uint64_t first = entries.items[0].index;
    for (struct store_work *before = n->storing; before != w; before = before->next)
        if (before->durable_to >= first)
            before->durable_to = first - 1;
    w->durable_to = first + entries.count - 1;
}

static enum err submit(struct node *n, struct store_work *w)
{
    struct entries entries = entry_list_view(&w->message.entries);
    enum err error = fill_rows(n, entries);
    if (error == OK)
        error = node_tail_add(n, entries);
    note_overwritten(n, w, entries);
    struct journal_write write = {
        .entries = n->rows,
        .entry_count = entries.count,
        .hard_state = &n->hard,
        .truncate_before = error == OK && entries.count > 0 ? node_next_cut(n) : 0,
    };
    if (error == OK)
        error = journal_submit(n->journal, &write, on_stored, w);
    if (error == OK)
        node_enter(n);
    return error;
}

/* A candidate whose request was faster than its disk could crash, and win the same term a second
 * time with other entries. */
static enum err take_votes(struct store_work *w, const struct raft_ready *ready)
{
    enum err error = OK;
    for (size_t i = 0; i < ready->message_count && error == OK; i++) {
        struct raft_message copy;
        if (ready->messages[i].type != MESSAGE_VOTE)
            continue;
        error = message_copy(&copy, &ready->messages[i]);
        if (error == OK)
            error = message_list_take(&w->votes, &copy);
    }
    return error;
}

static void discard(struct store_work *w)
{
    message_fini(&w->message);
    message_list_fini(&w->votes);
    free(w);
}

static struct store_work *create_work(struct node *n, const struct raft_message *m,
                                      const struct raft_ready *ready)
{
    struct store_work *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->node = n;
    if (message_copy(&w->message, m) == OK && take_votes(w, ready) == OK)
        return w;
    discard(w);
    return NULL;
}

void node_store(struct node *n, const struct raft_message *m, const struct raft_ready *ready)
{
    struct store_work *w = create_work(n, m, ready);
    if (w == NULL) {
        node_halt(n, "out of memory");
        return;
    }
    bool must_write = m->entries.count > 0;
    if (m->term != 0) {
        must_write |= m->term != n->hard.term || m->vote != n->hard.vote;
        n->hard = (struct hard_state){.term = m->term, .vote = m->vote, .commit = m->commit};
    }
    *n->storing_end = w;
    n->storing_end = &w->next;
    if (!must_write)
        w->is_done = true; /* and yet delivered behind what was handed out before it */
    else if (submit(n, w) != OK) {
        w->is_done = true;
        node_halt(n, "the journal takes no write");
    }
}

static struct store_work *pop(struct node *n)
{
    struct store_work *w = n->storing;
    n->storing = w->next;
    if (n->storing == NULL)
        n->storing_end = &n->storing;
    return w;
}

void node_deliver_stored(struct node *n)
{
    while (!node_is_over(n) && n->storing != NULL && n->storing->is_done) {
        struct store_work *w = pop(n);
        for (size_t i = 0; i < w->votes.count; i++)
            node_send(n, &w->votes.items[i]);
        for (size_t i = 0; i < w->message.response_count && !node_is_over(n); i++) {
            const struct raft_message *m = &w->message.responses[i];
            if (m->to != n->member_id)
                node_send(n, m);
            else
                (void)node_core_failed(n, raft_step(n->core, m));
        }
        discard(w);
    }
}

void node_store_fini(struct node *n)
{
    while (n->storing != NULL)
        discard(pop(n));
}
