#include "consensus/node.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* The log is cut in bulk: once this much came since the last cut, all before that cut goes. */
    CUT_ENTRIES = 2500,
    CUT_SIZE = 32 << 20,
};

struct node_proposal {
    struct node_proposal *next;
    struct node *node;
    void *tag;
    uint64_t index;
    uint64_t term;
    uint32_t type;
    bool is_durable;
    size_t size;
    uint8_t data[];
};

struct node {
    struct journal *journal;
    struct node_machine machine;
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t term;
    uint64_t last_index;
    uint64_t committed;
    uint64_t applied;
    uint64_t proposals_failed;

    /* In log order; the durable ones are in front. */
    struct node_proposal *pending;
    struct node_proposal **pending_end;
    size_t pending_count;
    size_t pending_size;

    uint64_t cut_point; /* applied index at the last cut of the log */
    size_t size_since_cut;

    uv_check_t settle; /* behind the callbacks of a turn of the loop */
    unsigned awaited;  /* DONEs of the journal, and the closing of `settle` */
    bool is_applying;
    bool waits_for_room;
    bool is_halted;
    bool is_destroyed;
};

static void release(struct node *n)
{
    if (--n->awaited == 0 && n->is_destroyed)
        free(n);
}

/* --- what the machine hears ------------------------------------------------------------------- */

static void on_settle(uv_check_t *check)
{
    struct node *n = check->data;
    (void)uv_check_stop(check);
    n->machine.settled(n->machine.context);
}

static void settle_soon(struct node *n)
{
    if (n->machine.settled != NULL && !n->is_destroyed)
        (void)uv_check_start(&n->settle, on_settle);
}

static struct node_proposal *pop(struct node *n)
{
    struct node_proposal *p = n->pending;
    n->pending = p->next;
    if (n->pending == NULL)
        n->pending_end = &n->pending;
    n->pending_count--;
    n->pending_size -= p->size;
    return p;
}

static void drop(struct node *n, struct node_proposal *p, enum err why)
{
    void *tag = p->tag;
    p->tag = NULL;
    if (tag == NULL)
        return;
    n->proposals_failed++;
    if (n->machine.dropped != NULL)
        n->machine.dropped(n->machine.context, tag, why);
}

/* --- applying --------------------------------------------------------------------------------- */

/* The index advances also where the command has no effect. */
static enum err apply_entry(struct node *n, const struct log_entry *e, void *tag)
{
    enum err error = OK;
    n->is_applying = true;
    if (e->type == ENTRY_COMMAND)
        error = n->machine.apply(n->machine.context, e->index, e->term, e->data, tag);
    n->is_applying = false;
    if (error == OK)
        error = journal_stage(n->journal, e->index, NULL, 0);
    if (error == OK)
        n->applied = e->index;
    settle_soon(n);
    return error;
}

static void apply_durable(struct node *n);

static void on_room(void *context, enum err outcome)
{
    struct node *n = context;
    n->waits_for_room = false;
    if (outcome != OK)
        n->is_halted = true;
    if (!n->is_destroyed)
        apply_durable(n);
    release(n);
}

/* The overlay is at its bound: goes on when a transaction has carried it. */
static void wait_for_room(struct node *n)
{
    if (n->waits_for_room)
        return;
    n->waits_for_room = true;
    n->awaited++;
    if (journal_submit(n->journal, &(struct journal_write){0}, on_room, n) == OK)
        return;
    n->waits_for_room = false;
    n->is_halted = true;
    release(n);
}

static void apply_front(struct node *n)
{
    struct node_proposal *p = pop(n);
    struct log_entry e = {
        .index = p->index,
        .term = p->term,
        .type = p->type,
        .data = bytes_of(p->data, p->size),
    };
    if (n->is_halted)
        drop(n, p, ERR_IO);
    else if (apply_entry(n, &e, p->tag) != OK) {
        /* The machine answered, or it did not: its own affair, it had the tag. */
        n->is_halted = true;
    }
    free(p);
}

static void apply_durable(struct node *n)
{
    if (n->is_applying)
        return;
    while (n->pending != NULL && n->pending->is_durable && !n->is_destroyed) {
        if (!n->is_halted && !journal_has_room(n->journal)) {
            wait_for_room(n);
            if (!n->is_halted)
                return;
        }
        apply_front(n);
    }
}

/* --- proposing -------------------------------------------------------------------------------- */

static void on_durable(void *context, enum err outcome)
{
    struct node_proposal *p = context;
    struct node *n = p->node;
    p->is_durable = true;
    if (outcome == OK)
        n->committed = p->index;
    else
        n->is_halted = true;
    if (n->is_destroyed) {
        assert(n->pending == p);
        free(pop(n));
    } else {
        if (outcome != OK)
            drop(n, p, outcome);
        apply_durable(n);
    }
    release(n);
}

/* What can go from the log with this write; 0: nothing. */
static uint64_t next_cut(struct node *n)
{
    if (n->applied < n->cut_point + CUT_ENTRIES && n->size_since_cut < CUT_SIZE)
        return 0;
    uint64_t cut = n->cut_point;
    n->cut_point = n->applied;
    n->size_since_cut = 0;
    return cut;
}

static enum err append(struct node *n, enum log_entry_type type, struct bytes command, void *tag,
                       const struct hard_state *hard_state)
{
    struct node_proposal *p = malloc(sizeof(*p) + command.size);
    if (p == NULL)
        return ERR_NO_MEMORY;
    *p = (struct node_proposal){
        .node = n,
        .tag = tag,
        .index = n->last_index + 1,
        .term = n->term,
        .type = type,
        .size = command.size,
    };
    if (command.size > 0)
        memcpy(p->data, command.data, command.size);
    struct log_entry entry = {
        .index = p->index,
        .term = p->term,
        .type = type,
        .data = bytes_of(p->data, p->size),
    };
    struct journal_write write = {
        .entries = &entry,
        .entry_count = 1,
        .hard_state = hard_state,
        .truncate_before = next_cut(n),
    };
    enum err error = journal_submit(n->journal, &write, on_durable, p);
    if (error != OK) {
        free(p);
        return error;
    }
    n->last_index++;
    n->size_since_cut += p->size;
    n->awaited++;
    n->pending_count++;
    n->pending_size += p->size;
    *n->pending_end = p;
    n->pending_end = &p->next;
    return OK;
}

enum err node_propose(struct node *n, struct bytes command, void *proposal)
{
    if (n->is_halted || n->is_destroyed)
        return ERR_IO;
    if (n->pending_count >= NODE_MAX_PENDING ||
        command.size > NODE_MAX_PENDING_SIZE - n->pending_size) {
        n->proposals_failed++;
        return ERR_LIMIT;
    }
    enum err error = append(n, ENTRY_COMMAND, command, proposal, NULL);
    if (error != OK)
        n->proposals_failed++;
    return error;
}

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

void node_read(struct node *n, void (*done)(void *context, enum err outcome), void *context)
{
    /* A halted voter reads on: it is alone, and what it does not know of was acknowledged to
     * nobody. */
    done(context, n->is_destroyed ? ERR_REFUSED : OK);
}

void node_status(const struct node *n, struct node_status *out)
{
    *out = (struct node_status){
        .cluster_id = n->cluster_id,
        .member_id = n->member_id,
        .leader = n->is_halted ? 0 : n->member_id,
        .term = n->term,
        .last_index = n->last_index,
        .committed = n->committed,
        .applied = n->applied,
        .pending = n->pending_count,
        .proposals_failed = n->proposals_failed,
        .halted = n->is_halted || journal_health(n->journal) == JOURNAL_HALTED,
    };
}

/* --- life ------------------------------------------------------------------------------------- */

static enum err load_row(void *context, const struct journal_effect *row)
{
    struct node *n = context;
    return n->machine.load(n->machine.context, row);
}

static enum err replay_entry(void *context, const struct log_entry *entry)
{
    return apply_entry(context, entry, NULL);
}

/* A single voter's log is committed where it is durable. */
static enum err replay(struct node *n, struct strbuf *error)
{
    enum err e = journal_read_log(n->journal, n->applied + 1, n->last_index, replay_entry, n);
    if (e != OK)
        strbuf_add_format(error, "the log cannot be applied behind entry %llu: %s\n",
                          (unsigned long long)n->applied, err_text(e));
    n->committed = n->last_index;
    return e;
}

/* Each start is a new term with an empty first entry, as an elected leader begins (Raft section
 * 5.4.2). */
static enum err begin_term(struct node *n, const struct journal_start *start, struct strbuf *error)
{
    uint64_t last =
        start->last_term > start->hard_state.term ? start->last_term : start->hard_state.term;
    n->term = last + 1;
    struct hard_state hard = {.term = n->term, .vote = n->member_id, .commit = n->committed};
    enum err e = append(n, ENTRY_EMPTY, BYTES_EMPTY, NULL, &hard);
    if (e != OK)
        strbuf_add_format(error, "the node cannot begin its term: %s\n", err_text(e));
    return e;
}

static void on_closed(uv_handle_t *handle)
{
    release(handle->data);
}

enum err node_create(struct node **out, const struct node_config *config, struct strbuf *error)
{
    struct node *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return ERR_NO_MEMORY;
    struct journal_start start;
    journal_start(config->journal, &start);
    n->journal = config->journal;
    n->machine = config->machine;
    n->cluster_id = start.cluster_id;
    n->member_id = start.member_id;
    n->applied = start.applied_index;
    n->last_index = start.last_index;
    n->cut_point = start.first_index;
    n->pending_end = &n->pending;
    n->settle.data = n;
    n->awaited = 1;
    (void)uv_check_init(config->loop, &n->settle);
    /* The machine's callbacks call node_stage while the log is replayed. */
    *out = n;
    enum err e = journal_load(n->journal, load_row, n, error);
    if (e == OK && n->machine.loaded != NULL)
        e = n->machine.loaded(n->machine.context);
    if (e == OK)
        e = replay(n, error);
    if (e == OK)
        e = begin_term(n, &start, error);
    if (e != OK) {
        *out = NULL;
        node_destroy(n);
        return e;
    }
    return OK;
}

/* What is on its way to the disk stays until the journal is done with it. */
void node_destroy(struct node *n)
{
    if (n == NULL)
        return;
    n->is_destroyed = true;
    for (struct node_proposal *p = n->pending; p != NULL; p = p->next)
        drop(n, p, ERR_CLOSED);
    while (n->pending != NULL && n->pending->is_durable)
        free(pop(n));
    (void)uv_check_stop(&n->settle);
    uv_close((uv_handle_t *)&n->settle, on_closed);
}
