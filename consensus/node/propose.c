/* Proposals: queued for a turn, handed to the core in one piece, waiting for their number to come
 * out of the log. */
#include "internal.h"

#include "base/cursor.h"

#include <assert.h>
#include <stdlib.h>

/* --- envelopes -------------------------------------------------------------------------------- */

struct payload *node_envelope_create(const struct envelope *e)
{
    if (e->content.size > SIZE_MAX / 2)
        return NULL;
    size_t size = ENVELOPE_SIZE + e->content.size;
    struct payload *p = malloc(sizeof(*p) + size);
    if (p == NULL)
        return NULL;
    p->references = 1;
    p->size = size;
    struct writer w = writer_of(p->data, size);
    write_u8(&w, ENVELOPE_VERSION);
    write_u64(&w, e->origin);
    write_u64(&w, e->number);
    write_bytes(&w, e->content.data, e->content.size);
    assert(!w.failed);
    return p;
}

bool node_envelope_read(struct envelope *out, struct bytes bytes)
{
    struct reader r = reader_of(bytes.data, bytes.size);
    uint8_t version = read_u8(&r);
    struct envelope e = {.origin = read_u64(&r), .number = read_u64(&r)};
    if (r.failed || version != ENVELOPE_VERSION)
        return false;
    e.content = bytes_of(bytes.data + ENVELOPE_SIZE, bytes.size - ENVELOPE_SIZE);
    *out = e;
    return true;
}

/* --- the list --------------------------------------------------------------------------------- */

static struct pending **bucket_of(struct node *n, uint64_t number)
{
    return &n->buckets[number & (NODE_BUCKETS - 1)];
}

struct pending *node_pending_create(struct node *n, void *tag, size_t size)
{
    struct pending *p = malloc(sizeof(*p));
    if (p != NULL)
        *p = (struct pending){
            .tag = tag,
            .number = n->next_number++,
            .size = size,
            .deadline_ms = uv_now(n->loop) + node_patience_ms(n),
        };
    return p;
}

void node_pending_discard(struct pending *p)
{
    payload_release(p->payload);
    free(p);
}

void node_pending_add(struct node *n, struct pending *p)
{
    struct pending **bucket = bucket_of(n, p->number);
    p->next_in_bucket = *bucket;
    *bucket = p;
    p->older = n->newest;
    if (n->newest != NULL)
        n->newest->newer = p;
    else
        n->oldest = p;
    n->newest = p;
    n->pending_count++;
    n->pending_size += p->size;
}

static void *forget(struct node *n, struct pending *p)
{
    void *tag = p->tag;
    struct pending **at = bucket_of(n, p->number);
    while (*at != p)
        at = &(*at)->next_in_bucket;
    *at = p->next_in_bucket;
    *(p->older != NULL ? &p->older->newer : &n->oldest) = p->newer;
    *(p->newer != NULL ? &p->newer->older : &n->newest) = p->older;
    if (n->queued == p)
        n->queued = p->newer;
    n->pending_count--;
    n->pending_size -= p->size;
    node_pending_discard(p);
    return tag;
}

void *node_pending_take(struct node *n, uint64_t number)
{
    for (struct pending *p = *bucket_of(n, number); p != NULL; p = p->next_in_bucket)
        if (p->number == number)
            return forget(n, p);
    return NULL;
}

/* --- fates ------------------------------------------------------------------------------------ */

void node_drop(struct node *n, struct pending *p, enum err why)
{
    void *tag = forget(n, p);
    n->proposals_failed++;
    if (n->machine.dropped != NULL)
        n->machine.dropped(n->machine.context, tag, why);
}

/* A callback may propose again; what it proposes is refused by then, or is behind LAST. */
void node_drop_all(struct node *n, enum err why)
{
    while (n->oldest != NULL)
        node_drop(n, n->oldest, why);
}

/* What we appended as leaders of an older term would have come by now: terms rise along the log. A
 * follower's may still be on its way to a leader. */
void node_drop_outdated(struct node *n, uint64_t term)
{
    while (n->oldest != NULL && n->oldest != n->queued && n->oldest->term < term)
        node_drop(n, n->oldest, n->oldest->was_leader ? ERR_REFUSED : ERR_CLOSED);
}

void node_drop_late(struct node *n, uint64_t now_ms)
{
    while (n->oldest != NULL && n->oldest->deadline_ms <= now_ms && !node_is_alone(n))
        node_drop(n, n->oldest, ERR_CLOSED);
}

/* --- proposing -------------------------------------------------------------------------------- */

enum err node_may_propose(struct node *n, size_t size)
{
    if (node_is_over(n) || journal_health(n->journal) == JOURNAL_HALTED)
        return ERR_IO;
    if (n->pending_count >= NODE_MAX_PENDING || size > NODE_MAX_PENDING_SIZE - n->pending_size)
        return ERR_LIMIT;
    return OK;
}

/* Also one that we heard of in this turn. */
static bool has_leader(const struct node *n)
{
    struct raft_status status;
    raft_status(n->core, &status);
    return status.leader != RAFT_NONE;
}

static enum err propose(struct node *n, struct bytes command, void *tag)
{
    enum err error = node_may_propose(n, command.size);
    if (error != OK)
        return error;
    if (n->leader == RAFT_NONE && !node_is_alone(n) && !has_leader(n))
        return ERR_REFUSED;
    struct pending *p = node_pending_create(n, tag, command.size);
    if (p == NULL)
        return ERR_NO_MEMORY;
    struct envelope e = {.origin = n->member_id, .number = p->number, .content = command};
    p->payload = node_envelope_create(&e);
    if (p->payload == NULL) {
        node_pending_discard(p);
        return ERR_NO_MEMORY;
    }
    node_pending_add(n, p);
    if (n->queued == NULL)
        n->queued = p;
    node_wake(n);
    return OK;
}

enum err node_propose(struct node *n, struct bytes command, void *proposal)
{
    enum err error = propose(n, command, proposal);
    if (error != OK && error != ERR_IO)
        n->proposals_failed++;
    return error;
}

/* As many of the queued ones as one message takes. ERR_NO_MEMORY. */
static enum err gather(struct node *n, struct entry_list *out, struct pending **behind)
{
    size_t size = 0;
    struct pending *p = n->queued;
    for (; p != NULL; p = p->newer) {
        struct entry e = {.payload = p->payload};
        size += (size_t)entry_size(&e);
        if (size > NODE_MAX_BATCH_SIZE && out->count > 0)
            break;
        enum err error = entry_list_add(out, &e);
        if (error != OK)
            return error;
    }
    *behind = p;
    return OK;
}

static void propose_run(struct node *n, const struct raft_status *status, struct entry_list *list,
                        struct pending *behind)
{
    struct raft_message m = {
        .type = MESSAGE_PROPOSAL, .to = n->member_id, .from = n->member_id, .entries = *list};
    enum err error = raft_step(n->core, &m);
    if (node_core_failed(n, error))
        return;
    if (error != OK) {
        struct pending *newest = behind != NULL ? behind->older : n->newest;
        uint64_t last = newest->number;
        while (n->queued != NULL && (int64_t)(last - n->queued->number) >= 0)
            node_drop(n, n->queued, ERR_REFUSED);
        return;
    }
    for (; n->queued != behind; n->queued = n->queued->newer) {
        struct pending *p = n->queued;
        p->term = status->term;
        p->was_leader = status->role == RAFT_LEADER;
        payload_release(p->payload);
        p->payload = NULL;
    }
}

void node_flush_proposals(struct node *n)
{
    while (n->queued != NULL && !node_is_over(n)) {
        struct raft_status status;
        struct entry_list list = ENTRY_LIST_EMPTY;
        struct pending *behind = NULL;
        raft_status(n->core, &status);
        if (status.leader == RAFT_NONE && node_is_alone(n))
            return; /* it leads as soon as its vote for itself is durable */
        if (gather(n, &list, &behind) == OK)
            propose_run(n, &status, &list, behind);
        else
            node_halt(n, "out of memory");
        entry_list_fini(&list);
    }
}
