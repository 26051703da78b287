#include "wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *p)
{
    if (p == NULL)
        abort();
    return p;
}

static void must(enum err error)
{
    if (error != OK) {
        printf("replay: %s\n", err_text(error));
        abort();
    }
}

/* --- events ----------------------------------------------------------------------------------- */

uint8_t read_byte(struct reader *in)
{
    if (in->at == in->size) {
        printf("replay: an event ends too early\n");
        abort();
    }
    return in->data[in->at++];
}

uint64_t read_number(struct reader *in)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        uint8_t b = read_byte(in);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
}

struct payload *read_payload(struct reader *in)
{
    uint64_t size = read_number(in);
    if (size == 0)
        return NULL;
    if (--size > in->size - in->at)
        abort();
    in->at += size;
    return checked(payload_create(bytes_of(in->data + in->at - size, size)));
}

static void read_ids(struct reader *in, struct id_set *out)
{
    *out = (struct id_set){0};
    for (uint64_t count = read_number(in); count > 0; count--) {
        if (!id_set_add(out, read_number(in)))
            abort();
    }
}

void read_configuration(struct reader *in, struct configuration_state *out)
{
    read_ids(in, &out->voters);
    read_ids(in, &out->outgoing);
    read_ids(in, &out->learners);
    read_ids(in, &out->learners_next);
    out->auto_leave = read_byte(in) != 0;
}

void read_snapshot(struct reader *in, struct snapshot *out)
{
    out->index = read_number(in);
    out->term = read_number(in);
    read_configuration(in, &out->configuration);
}

void read_entries(struct reader *in, struct entry_list *out)
{
    *out = ENTRY_LIST_EMPTY;
    for (uint64_t count = read_number(in); count > 0; count--) {
        struct entry e = {.term = read_number(in), .index = read_number(in)};
        e.type = (enum entry_type)read_number(in);
        e.payload = read_payload(in);
        must(entry_list_add(out, &e));
        payload_release(e.payload);
    }
}

void read_message(struct reader *in, struct raft_message *out)
{
    *out = (struct raft_message){.type = (enum message_type)read_number(in)};
    out->reject = read_byte(in) != 0;
    out->to = read_number(in);
    out->from = read_number(in);
    out->term = read_number(in);
    out->log_term = read_number(in);
    out->index = read_number(in);
    out->commit = read_number(in);
    out->vote = read_number(in);
    out->reject_hint = read_number(in);
    out->context = read_payload(in);
    read_entries(in, &out->entries);
    if (read_byte(in) != 0) {
        out->snapshot = checked(malloc(sizeof(*out->snapshot)));
        read_snapshot(in, out->snapshot);
    }
}

/* --- states ----------------------------------------------------------------------------------- */

const char *tag_text(unsigned tag)
{
    static const char *const texts[] = {
#define X(name, text) text,
        TAGS(X)
#undef X
    };
    return tag < TAG_COUNT ? texts[tag] : "?";
}

static void put(struct dump *d, enum tag tag, uint64_t v)
{
    if (v == 0)
        return;
    if (d->capacity - d->size < 16) {
        d->capacity = d->capacity * 2 + 4096;
        d->data = checked(realloc(d->data, d->capacity));
    }
    d->data[d->size++] = (uint8_t)tag;
    for (; v >= 0x80; v >>= 7)
        d->data[d->size++] = (uint8_t)(v | 0x80);
    d->data[d->size++] = (uint8_t)v;
}

static void put_payload(struct dump *d, enum tag size, enum tag content, const struct payload *p)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->size; i++)
        hash = (hash ^ p->data[i]) * UINT64_C(0x100000001b3);
    put(d, size, p->size + 1);
    put(d, content, hash);
}

static void put_ids(struct dump *d, enum tag tag, const struct id_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        put(d, tag, set->ids[i]);
}

static void put_configuration(struct dump *d, const struct configuration_state *c)
{
    put_ids(d, TAG_VOTER, &c->voters);
    put_ids(d, TAG_OUTGOING, &c->outgoing);
    put_ids(d, TAG_LEARNER, &c->learners);
    put_ids(d, TAG_LEARNER_NEXT, &c->learners_next);
    put(d, TAG_AUTO_LEAVE, c->auto_leave);
}

static void put_snapshot(struct dump *d, const struct snapshot *s)
{
    if (s == NULL)
        return;
    put(d, TAG_SNAPSHOT, s->index + 1);
    put(d, TAG_SNAPSHOT_TERM, s->term);
    put_configuration(d, &s->configuration);
}

static void put_entries(struct dump *d, enum tag tag, struct entries entries)
{
    put(d, tag, entries.count);
    for (size_t i = 0; i < entries.count; i++) {
        const struct entry *e = &entries.items[i];
        put(d, TAG_ENTRY_TERM, e->term);
        put(d, TAG_ENTRY_INDEX, e->index);
        put(d, TAG_ENTRY_TYPE, e->type);
        put_payload(d, TAG_PAYLOAD, TAG_PAYLOAD_HASH, e->payload);
    }
}

static void put_message(struct dump *d, const struct raft_message *m)
{
    put(d, TAG_MESSAGE, (uint64_t)m->type + 1);
    put(d, TAG_TO, m->to);
    put(d, TAG_FROM, m->from);
    put(d, TAG_MESSAGE_TERM, m->term);
    put(d, TAG_LOG_TERM, m->log_term);
    put(d, TAG_INDEX, m->index);
    put(d, TAG_MESSAGE_COMMIT, m->commit);
    put(d, TAG_MESSAGE_VOTE, m->vote);
    put(d, TAG_REJECT, m->reject);
    put(d, TAG_REJECT_HINT, m->reject_hint);
    put_payload(d, TAG_CONTEXT, TAG_CONTEXT_HASH, m->context);
    put_entries(d, TAG_ENTRY, entry_list_view(&m->entries));
    put_snapshot(d, m->snapshot);
    put(d, TAG_RESPONSES, m->response_count);
    for (size_t i = 0; i < m->response_count; i++)
        put_message(d, &m->responses[i]);
}

static void put_progress(struct dump *d, const struct progress *p)
{
    put(d, TAG_PEER, p->id);
    put(d, TAG_MATCH, p->match);
    put(d, TAG_NEXT, p->next);
    put(d, TAG_PROGRESS, p->state);
    put(d, TAG_SENT_COMMIT, p->sent_commit);
    put(d, TAG_PENDING_SNAPSHOT, p->pending_snapshot);
    put(d, TAG_RECENT_ACTIVE, p->recent_active);
    put(d, TAG_FLOW_PAUSED, p->flow_paused);
    put(d, TAG_PAUSED, progress_is_paused(p));
    put(d, TAG_PEER_LEARNER, p->is_learner);
    put(d, TAG_INFLIGHT, p->inflights.count);
    put(d, TAG_INFLIGHT_BYTES, p->inflights.size);
    put(d, TAG_INFLIGHT_FULL, inflights_full(&p->inflights));
}

void dump_state(struct dump *d, const struct raft *r, uint64_t result)
{
    struct raft_status s;
    raft_status(r, &s);
    put(d, TAG_RESULT, result);
    put(d, TAG_HAS_READY, raft_has_ready(r));
    put(d, TAG_ROLE, s.role);
    put(d, TAG_TERM, s.term);
    put(d, TAG_VOTE, s.vote);
    put(d, TAG_LEADER, s.leader);
    put(d, TAG_TRANSFEREE, s.transferee);
    put(d, TAG_COMMIT, s.commit);
    put(d, TAG_APPLIED, s.applied);
    put(d, TAG_LAST_INDEX, s.last_index);
    put(d, TAG_LAST_TERM, s.last_term);
    put(d, TAG_ELECTION_ELAPSED, s.election_elapsed);
    put(d, TAG_HEARTBEAT_ELAPSED, s.heartbeat_elapsed);
    put(d, TAG_ELECTION_TIMEOUT, s.election_timeout);
    put(d, TAG_IS_LEARNER, s.is_learner);
    put(d, TAG_UNCOMMITTED, s.uncommitted_size);
    put(d, TAG_PENDING_READS, s.pending_reads);
    put_configuration(d, raft_configuration(r));
    const struct progress *p;
    for (size_t i = 0; (p = raft_progress(r, i)) != NULL; i++)
        put_progress(d, p);
}

void dump_ready(struct dump *d, const struct raft_ready *ready)
{
    if (ready->has_soft_state) {
        put(d, TAG_SOFT, 1);
        put(d, TAG_SOFT_LEADER, ready->leader);
        put(d, TAG_SOFT_ROLE, ready->role);
    }
    if (ready->has_hard_state) {
        put(d, TAG_HARD, 1);
        put(d, TAG_HARD_TERM, ready->hard_state.term);
        put(d, TAG_HARD_VOTE, ready->hard_state.vote);
        put(d, TAG_HARD_COMMIT, ready->hard_state.commit);
    }
    put(d, TAG_MUST_SYNC, ready->must_sync);
    for (size_t i = 0; i < ready->read_state_count; i++) {
        put(d, TAG_READ, 1);
        put(d, TAG_READ_INDEX, ready->read_states[i].index);
        put_payload(d, TAG_CONTEXT, TAG_CONTEXT_HASH, ready->read_states[i].context);
    }
    for (size_t i = 0; i < ready->message_count; i++)
        put_message(d, &ready->messages[i]);
    put_entries(d, TAG_ENTRIES, ready->entries);
    put_entries(d, TAG_COMMITTED, ready->committed);
    put_snapshot(d, ready->snapshot);
}

/* --- a difference ----------------------------------------------------------------------------- */

/* The number at *AT, behind its tag; false at the end. */
static bool next_field(const uint8_t *data, size_t size, size_t *at, unsigned *tag, uint64_t *v)
{
    if (*at >= size)
        return false;
    *tag = data[(*at)++];
    *v = 0;
    for (unsigned shift = 0; *at < size; shift += 7) {
        uint8_t b = data[(*at)++];
        *v |= (uint64_t)(b & 0x7f) << (shift & 63);
        if (b < 0x80)
            break;
    }
    return true;
}

static void print_field(bool there, unsigned tag, uint64_t v)
{
    if (!there)
        printf("nothing");
    else if (tag == TAG_MESSAGE)
        printf("message=%s", message_type_text((enum message_type)(v - 1)));
    else
        printf("%s=%" PRIu64, tag_text(tag), v);
}

static void print_all(const char *title, const uint8_t *data, size_t size)
{
    size_t at = 0;
    unsigned tag;
    uint64_t v;
    printf("%s:", title);
    while (next_field(data, size, &at, &tag, &v)) {
        bool is_start = tag == TAG_PEER || tag == TAG_MESSAGE || tag == TAG_SOFT ||
                        tag == TAG_ENTRIES || tag == TAG_COMMITTED || tag == TAG_HARD;
        printf(is_start ? "\n    " : " ");
        print_field(true, tag, v);
    }
    printf("\n");
}

void dump_report(const char *where, const uint8_t *theirs, size_t their_size,
                 const struct dump *ours)
{
    size_t at_theirs = 0, at_ours = 0;
    unsigned their_tag = 0, our_tag = 0;
    uint64_t their_value = 0, our_value = 0;
    bool there, here;
    do {
        there = next_field(theirs, their_size, &at_theirs, &their_tag, &their_value);
        here = next_field(ours->data, ours->size, &at_ours, &our_tag, &our_value);
    } while (there && here && their_tag == our_tag && their_value == our_value);
    /* Numbers of 0 are left out: the earlier of the two tags is the field that differs. */
    unsigned tag = !here || (there && their_tag < our_tag) ? their_tag : our_tag;
    printf("%s%s: etcd-io/raft has ", where, tag_text(tag));
    print_field(there, their_tag, their_value);
    printf(", ours ");
    print_field(here, our_tag, our_value);
    printf("\n");
    print_all("etcd-io/raft", theirs, their_size);
    print_all("ours", ours->data, ours->size);
}
