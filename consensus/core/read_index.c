/* Linearizable reads without the log (thesis section 6.4): the leader notes its commit index, has a
 * quorum confirm that it still leads, and answers with the index.
 *
 * Confirmation is by the leader's own tokens, which count up: an answer to a heartbeat that was
 * sent before the read was asked carries a smaller one, so a late or repeated answer confirms
 * nothing that it should not. */
#include "base/cursor.h"
#include "consensus/core/machine.h"

#include <stdlib.h>

/* --- queues ----------------------------------------------------------------------------------- */

/* Takes a reference to READ's context. */
static void queue_add(struct raft *r, struct read_queue *q, const struct pending_read *read)
{
    if (q->count == q->capacity) {
        size_t capacity = q->capacity > 0 ? q->capacity * 2 : 8;
        struct pending_read *moved = reallocarray(q->items, capacity, sizeof(*moved));
        if (moved == NULL) {
            raft_log_fail(&r->log, ERR_NO_MEMORY);
            return;
        }
        q->items = moved;
        q->capacity = capacity;
    }
    q->items[q->count] = *read;
    payload_reference(read->context);
    q->count++;
}

static void queue_drop(struct read_queue *q, size_t count)
{
    for (size_t i = 0; i < count; i++)
        payload_release(q->items[i].context);
    q->count -= count;
    for (size_t i = 0; i < q->count; i++)
        q->items[i] = q->items[i + count];
}

static void queue_fini(struct read_queue *q)
{
    queue_drop(q, q->count);
    free(q->items);
    *q = (struct read_queue){0};
}

void core_reads_reset(struct raft *r)
{
    queue_fini(&r->reads.unconfirmed);
    free(r->reads.acks);
    r->reads = (struct reads){0};
}

void core_reads_fini(struct raft *r)
{
    core_reads_reset(r);
    queue_fini(&r->postponed_reads);
}

void core_read_states_fini(struct read_states *s)
{
    for (size_t i = 0; i < s->count; i++)
        payload_release(s->items[i].context);
    free(s->items);
    *s = (struct read_states){0};
}

/* Takes a reference to CONTEXT. */
static void add_read_state(struct raft *r, uint64_t index, struct payload *context)
{
    struct read_states *s = &r->read_states;
    if (s->count == s->capacity) {
        size_t capacity = s->capacity > 0 ? s->capacity * 2 : 8;
        struct raft_read_state *moved = reallocarray(s->items, capacity, sizeof(*moved));
        if (moved == NULL) {
            raft_log_fail(&r->log, ERR_NO_MEMORY);
            return;
        }
        s->items = moved;
        s->capacity = capacity;
    }
    s->items[s->count++] =
        (struct raft_read_state){.index = index, .context = payload_reference(context)};
}

/* --- tokens ----------------------------------------------------------------------------------- */

uint64_t core_read_newest_token(const struct raft *r)
{
    return r->reads.confirmed + r->reads.unconfirmed.count;
}

/* Little-endian, as etcd-io/raft's. */
struct payload *core_read_token(struct raft *r)
{
    uint8_t octets[8];
    if (r->reads.unconfirmed.count == 0)
        return NULL;
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)(core_read_newest_token(r) >> (8 * i));
    struct payload *p = payload_create(bytes_of(octets, sizeof(octets)));
    if (p == NULL)
        raft_log_fail(&r->log, ERR_NO_MEMORY);
    return p;
}

static uint64_t token_of(struct bytes octets)
{
    uint64_t token = 0;
    for (size_t i = 0; i < octets.size; i++)
        token |= (uint64_t)octets.data[i] << (8 * i);
    return token;
}

static uint64_t acked_token(const void *context, uint64_t id)
{
    const struct reads *reads = context;
    for (size_t i = 0; i < reads->ack_count; i++) {
        if (reads->acks[i].id == id)
            return reads->acks[i].token;
    }
    return 0;
}

static void note_ack(struct raft *r, uint64_t id, uint64_t token)
{
    struct reads *reads = &r->reads;
    for (size_t i = 0; i < reads->ack_count; i++) {
        if (reads->acks[i].id == id) {
            if (reads->acks[i].token < token)
                reads->acks[i].token = token;
            return;
        }
    }
    if (reads->ack_count == reads->ack_capacity) {
        size_t capacity = reads->ack_capacity > 0 ? reads->ack_capacity * 2 : 8;
        struct read_ack *moved = reallocarray(reads->acks, capacity, sizeof(*moved));
        if (moved == NULL) {
            raft_log_fail(&r->log, ERR_NO_MEMORY);
            return;
        }
        reads->acks = moved;
        reads->ack_capacity = capacity;
    }
    reads->acks[reads->ack_count++] = (struct read_ack){.id = id, .token = token};
}

/* --- answering -------------------------------------------------------------------------------- */

static void answer(struct raft *r, const struct pending_read *read, uint64_t index)
{
    if (read->from == RAFT_NONE || read->from == r->id) {
        add_read_state(r, index, read->context);
        return;
    }
    struct raft_message m = {.type = MESSAGE_READ_INDEX_RESPONSE, .to = read->from, .index = index};
    struct entry e = {.payload = read->context};
    if (raft_log_fail(&r->log, entry_list_add(&m.entries, &e)))
        return;
    core_send(r, &m);
}

void core_read_acknowledged(struct raft *r, uint64_t from, struct bytes octets)
{
    struct reads *reads = &r->reads;
    const struct configuration_state *c = &r->tracker.configuration;
    note_ack(r, from, MUTANT(READ_TOKEN_IGNORED) ? core_read_newest_token(r) : token_of(octets));
    uint64_t confirmed = quorum_joint_committed(&c->voters, &c->outgoing, acked_token, reads);
    if (confirmed <= reads->confirmed || raft_failed(r))
        return;
    size_t count = confirmed - reads->confirmed;
    if (count > reads->unconfirmed.count) /* no voters at all */
        return;
    for (size_t i = 0; i < count; i++)
        answer(r, &reads->unconfirmed.items[i], reads->unconfirmed.items[i].index);
    queue_drop(&reads->unconfirmed, count);
    reads->confirmed = confirmed;
}

/* --- asking ----------------------------------------------------------------------------------- */

static void confirm(struct raft *r, const struct pending_read *asked)
{
    const struct configuration_state *c = &r->tracker.configuration;
    struct pending_read read = *asked;
    if (c->voters.count == 1 && !configuration_is_joint(c)) {
        answer(r, &read, r->log.committed);
        return;
    }
    read.index = r->log.committed;
    queue_add(r, &r->reads.unconfirmed, &read);
    note_ack(r, r->id, core_read_newest_token(r));
    core_broadcast_heartbeat(r);
}

enum err core_handle_read_index(struct raft *r, const struct raft_message *m)
{
    struct pending_read read = {.from = m->from, .context = m->entries.items[0].payload};
    struct entry_id newest = {.term = r->term, .index = r->log.committed};
    if (r->postponed_reads.count + r->reads.unconfirmed.count >= RAFT_MAX_PENDING_READS)
        return ERR_LIMIT;
    /* A new leader does not know what is committed before an entry of its own term is. */
    if (!raft_log_matches(&r->log, newest) && !MUTANT(READ_BEFORE_OWN_COMMIT))
        queue_add(r, &r->postponed_reads, &read);
    else
        confirm(r, &read);
    return OK;
}

void core_handle_read_index_response(struct raft *r, const struct raft_message *m)
{
    add_read_state(r, m->index, m->entries.items[0].payload);
}

void core_release_postponed_reads(struct raft *r)
{
    struct read_queue waiting = r->postponed_reads;
    r->postponed_reads = (struct read_queue){0};
    for (size_t i = 0; i < waiting.count && !raft_failed(r); i++)
        confirm(r, &waiting.items[i]);
    queue_fini(&waiting);
}
