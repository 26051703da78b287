/* The core's storage: the end of the log from memory, what is older from the journal. */
#include "internal.h"

#include <assert.h>
#include <stdlib.h>

/* --- rows ------------------------------------------------------------------------------------- */

struct log_entry node_row_of_entry(const struct entry *e)
{
    static const enum log_entry_type types[ENTRY_TYPE_COUNT] = {
        [ENTRY_NORMAL] = ENTRY_PROPOSAL,
        [ENTRY_CHANGE_V1] = ENTRY_ONE_CHANGE,
        [ENTRY_CHANGE] = ENTRY_CHANGES,
        [ENTRY_REFUSED_CHANGE] = ENTRY_NO_CHANGE,
    };
    bool is_empty = e->type == ENTRY_NORMAL && e->payload == NULL;
    return (struct log_entry){
        .index = e->index,
        .term = e->term,
        .type = is_empty ? ENTRY_EMPTY : types[e->type],
        .data = payload_bytes(e->payload),
    };
}

static enum err take_bytes(struct entry *out, struct bytes data)
{
    out->payload = payload_create(data);
    return out->payload != NULL ? OK : ERR_NO_MEMORY;
}

enum err node_entry_of_row(struct entry *out, const struct log_entry *row)
{
    struct entry e = {.term = row->term, .index = row->index};
    struct envelope unknown = {.content = row->data};
    enum err error = OK;
    switch (row->type) {
    case ENTRY_COMMAND:
        e.payload = node_envelope_create(&unknown);
        error = e.payload != NULL ? OK : ERR_NO_MEMORY;
        break;
    case ENTRY_EMPTY:
        break;
    case ENTRY_PROPOSAL:
        error = take_bytes(&e, row->data);
        break;
    case ENTRY_ONE_CHANGE:
    case ENTRY_CHANGES:
        e.type = row->type == ENTRY_CHANGES ? ENTRY_CHANGE : ENTRY_CHANGE_V1;
        error = row->data.size > 0 ? take_bytes(&e, row->data) : OK;
        break;
    case ENTRY_NO_CHANGE:
        e.type = ENTRY_REFUSED_CHANGE;
        break;
    default:
        return ERR_MALFORMED;
    }
    if (error == OK)
        *out = e;
    return error;
}

/* --- the tail --------------------------------------------------------------------------------- */

static struct entry *tail_at(const struct tail *t, uint64_t index)
{
    assert(index >= t->first && index - t->first < t->count);
    return &t->ring[(t->start + (index - t->first)) & (t->capacity - 1)];
}

static size_t cost_of(const struct entry *e)
{
    return sizeof(*e) + (size_t)entry_payload_size(e);
}

static void tail_pop_oldest(struct tail *t)
{
    struct entry *e = &t->ring[t->start];
    t->size -= cost_of(e);
    payload_release(e->payload);
    t->start = (t->start + 1) & (t->capacity - 1);
    t->first++;
    t->count--;
}

/* From FROM on. */
static void tail_cut(struct tail *t, uint64_t from)
{
    while (t->count > 0 && t->first + t->count > from) {
        struct entry *e = tail_at(t, t->first + t->count - 1);
        t->size -= cost_of(e);
        payload_release(e->payload);
        t->count--;
    }
    if (t->count == 0)
        t->first = from;
}

static bool tail_reserve(struct tail *t, size_t more)
{
    size_t capacity = t->capacity > 0 ? t->capacity : 64;
    while (capacity < t->count + more)
        capacity *= 2;
    if (capacity == t->capacity)
        return true;
    struct entry *ring = calloc(capacity, sizeof(*ring));
    if (ring == NULL)
        return false;
    for (size_t i = 0; i < t->count; i++)
        ring[i] = t->ring[(t->start + i) & (t->capacity - 1)];
    free(t->ring);
    t->ring = ring;
    t->capacity = capacity;
    t->start = 0;
    return true;
}

enum err node_tail_add(struct node *n, struct entries entries)
{
    struct tail *t = &n->tail;
    if (entries.count == 0)
        return OK;
    uint64_t first = entries.items[0].index;
    assert(first >= n->log_first && first <= n->log_last + 1);
    tail_cut(t, first);
    if (!tail_reserve(t, entries.count))
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < entries.count; i++) {
        t->count++;
        struct entry *e = tail_at(t, first + i);
        *e = entries.items[i];
        payload_reference(e->payload);
        t->size += cost_of(e);
    }
    n->log_last = first + entries.count - 1;
    if (n->durable >= first)
        n->durable = first - 1;
    return OK;
}

/* What is at `applied` and behind it stays: the core compares terms there, and applies the rest. */
void node_tail_trim(struct node *n)
{
    struct tail *t = &n->tail;
    size_t limit = node_is_alone(n) ? 0 : NODE_TAIL_SIZE;
    while (t->count > 1 && t->first <= n->durable && t->size > limit &&
           (t->first < n->applied || t->size > NODE_TAIL_LIMIT))
        tail_pop_oldest(t);
}

void node_storage_fini(struct node *n)
{
    tail_cut(&n->tail, n->tail.first);
    free(n->tail.ring);
    free(n->rows);
}

/* --- cutting the log -------------------------------------------------------------------------- */

static enum err term_of(void *context, uint64_t index, uint64_t *term);

/* In bulk: once this much came since the last cut, all before that cut goes. */
uint64_t node_next_cut(struct node *n)
{
    bool is_alone = node_is_alone(n);
    uint64_t entries = is_alone ? NODE_KEPT_ENTRIES_ALONE : NODE_KEPT_ENTRIES;
    size_t size = is_alone ? NODE_KEPT_SIZE_ALONE : NODE_KEPT_SIZE;
    if (n->applied < n->cut_point + entries && n->size_since_cut < size)
        return 0;
    uint64_t cut = n->cut_point;
    uint64_t term;
    n->cut_point = n->applied;
    n->size_since_cut = 0;
    if (cut <= n->log_first || term_of(n, cut - 1, &term) != OK)
        return 0;
    n->log_first = cut;
    n->before_term = term;
    return cut;
}

/* --- what the core reads ---------------------------------------------------------------------- */

static uint64_t first_index(void *context)
{
    const struct node *n = context;
    return n->log_first;
}

static uint64_t last_index(void *context)
{
    const struct node *n = context;
    return n->log_last;
}

static enum err take_term(void *context, const struct log_entry *row)
{
    *(uint64_t *)context = row->term;
    return OK;
}

static enum err term_of(void *context, uint64_t index, uint64_t *term)
{
    struct node *n = context;
    if (index + 1 < n->log_first)
        return ERR_NOT_FOUND;
    if (index > n->log_last)
        return ERR_INVALID;
    if (index + 1 == n->log_first)
        *term = n->before_term;
    else if (index >= n->tail.first)
        *term = tail_at(&n->tail, index)->term;
    else
        return journal_read_log(n->journal, index, index, take_term, term) == OK ? OK : ERR_IO;
    return OK;
}

struct page {
    struct entry_list *out;
    uint64_t size;
    uint64_t max_size;
};

/* ERR_LIMIT: the page is full. */
static enum err page_add(struct page *p, const struct entry *e)
{
    p->size += entry_size(e);
    if (p->size > p->max_size && p->out->count > 0)
        return ERR_LIMIT;
    return entry_list_add(p->out, e);
}

static enum err page_add_row(void *context, const struct log_entry *row)
{
    struct entry e;
    enum err error = node_entry_of_row(&e, row);
    if (error != OK)
        return error;
    error = page_add(context, &e);
    payload_release(e.payload);
    return error;
}

static enum err entries_of(void *context, uint64_t lo, uint64_t hi, uint64_t max_size,
                           struct entry_list *out)
{
    struct node *n = context;
    struct page page = {.out = out, .max_size = max_size};
    enum err error = OK;
    if (lo < n->log_first)
        return ERR_NOT_FOUND;
    if (hi > n->log_last + 1)
        return ERR_INVALID;
    if (lo < n->tail.first) {
        uint64_t end = hi < n->tail.first ? hi : n->tail.first;
        error = journal_read_log(n->journal, lo, end - 1, page_add_row, &page);
        lo = end;
    }
    for (; lo < hi && error == OK; lo++)
        error = page_add(&page, tail_at(&n->tail, lo));
    if (error == OK || error == ERR_LIMIT)
        return OK;
    return error == ERR_NO_MEMORY ? ERR_NO_MEMORY : ERR_IO;
}

static enum err snapshot_of(void *context, struct snapshot *out UNUSED)
{
    node_tell_no_snapshot(context);
    return ERR_UNSUPPORTED;
}

struct raft_storage node_storage(struct node *n)
{
    return (struct raft_storage){
        .context = n,
        .first_index = first_index,
        .last_index = last_index,
        .term = term_of,
        .entries = entries_of,
        .snapshot = snapshot_of,
    };
}
