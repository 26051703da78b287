/* Linearizable reads (thesis section 6.4): all that are asked in a turn share one question to the
 * leader, and are allowed once what it answered is applied here. */
#include "internal.h"

#include "base/cursor.h"

#include <stdlib.h>

/* Nobody else can have acknowledged a write that is not applied here: we are the only voter, and
 * lead with an entry of our term applied (all of the terms before lies below it), or nobody leads
 * and all of our log is applied, as at the start. */
static bool is_allowed_at_once(const struct node *n)
{
    if (!node_is_alone(n))
        return false;
    if (n->is_leader)
        return n->applied_term == n->term;
    return n->leader == RAFT_NONE && n->applied == n->log_last;
}

void node_read(struct node *n, void (*done)(void *context, enum err outcome), void *context)
{
    if (n->is_destroyed) {
        done(context, ERR_REFUSED);
        return;
    }
    /* A halted single voter reads on: what it does not know of was acknowledged to nobody. */
    if (is_allowed_at_once(n)) {
        done(context, OK);
        return;
    }
    struct waiting_read *r =
        n->is_halted || n->read_count >= NODE_MAX_READS ? NULL : malloc(sizeof(*r));
    if (r == NULL) {
        done(context, n->is_halted                      ? ERR_REFUSED
                      : n->read_count >= NODE_MAX_READS ? ERR_LIMIT
                                                        : ERR_NO_MEMORY);
        return;
    }
    *r = (struct waiting_read){.done = done, .context = context};
    *n->reads_end = r;
    n->reads_end = &r->next;
    n->read_count++;
    node_wake(n);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void answer_all(struct node *n, struct waiting_read *list, enum err outcome)
{
    while (list != NULL) {
        struct waiting_read *r = list;
        list = r->next;
        n->read_count--;
        r->done(r->context, outcome);
        free(r);
    }
}

/* Takes the batch at AT out of the list before its callbacks run. */
static void end_batch(struct node *n, struct read_batch **at, enum err outcome)
{
    struct read_batch *b = *at;
    struct waiting_read *reads = b->reads;
    *at = b->next;
    payload_release(b->context);
    free(b);
    answer_all(n, reads, outcome);
}

static struct read_batch **find_applied(struct node *n)
{
    struct read_batch **at = &n->batches;
    while (*at != NULL && !((*at)->is_confirmed && (*at)->index <= n->applied))
        at = &(*at)->next;
    return at;
}

void node_finish_reads(struct node *n)
{
    struct read_batch **at;
    while (!node_is_over(n) && *(at = find_applied(n)) != NULL)
        end_batch(n, at, OK);
}

void node_refuse_reads(struct node *n)
{
    while (n->batches != NULL)
        end_batch(n, &n->batches, ERR_REFUSED);
    struct waiting_read *reads = n->reads;
    n->reads = NULL;
    n->reads_end = &n->reads;
    answer_all(n, reads, ERR_REFUSED);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* The same question may be asked twice: the answer to either came after the reads did. */
static void ask(struct node *n, struct read_batch *b)
{
    b->asked_ms = uv_now(n->loop);
    (void)node_core_failed(n, raft_read_index(n->core, b->context));
}

static struct read_batch *create_batch(struct node *n)
{
    struct read_batch *b = calloc(1, sizeof(*b));
    uint8_t octets[8];
    struct writer w = writer_of(octets, sizeof(octets));
    if (b == NULL)
        return NULL;
    b->number = n->next_number++;
    write_u64(&w, b->number);
    b->context = payload_create(bytes_of(octets, sizeof(octets)));
    b->deadline_ms = uv_now(n->loop) + node_patience_ms(n);
    if (b->context == NULL) {
        free(b);
        return NULL;
    }
    return b;
}

static size_t count_unconfirmed(const struct node *n)
{
    size_t count = 0;
    for (const struct read_batch *b = n->batches; b != NULL; b = b->next)
        count += !b->is_confirmed;
    return count;
}

/* Those that find no place wait for one to be confirmed, all of them for the next. */
void node_flush_reads(struct node *n)
{
    if (n->reads == NULL || node_is_over(n) || count_unconfirmed(n) >= NODE_MAX_READ_BATCHES)
        return;
    struct read_batch *b = create_batch(n);
    if (b == NULL) {
        node_halt(n, "out of memory");
        return;
    }
    b->reads = n->reads;
    n->reads = NULL;
    n->reads_end = &n->reads;
    struct read_batch **end = &n->batches;
    while (*end != NULL)
        end = &(*end)->next;
    *end = b;
    ask(n, b);
}

void node_read_confirmed(struct node *n, const struct raft_read_state *s)
{
    struct bytes context = payload_bytes(s->context);
    struct reader r = reader_of(context.data, context.size);
    uint64_t number = read_u64(&r);
    for (struct read_batch *b = n->batches; b != NULL && !r.failed; b = b->next) {
        if (b->number != number || b->is_confirmed)
            continue;
        b->is_confirmed = true;
        b->index = s->index;
    }
}

void node_retry_reads(struct node *n, uint64_t now_ms, bool all)
{
    struct read_batch **at = &n->batches;
    while (*at != NULL && !node_is_over(n)) {
        struct read_batch *b = *at;
        if (b->deadline_ms <= now_ms) {
            end_batch(n, at, ERR_REFUSED);
            at = &n->batches; /* the callbacks may have changed the list */
            continue;
        }
        if (!b->is_confirmed && (all || now_ms - b->asked_ms >= NODE_READ_RETRY_MS))
            ask(n, b);
        at = &b->next;
    }
}
