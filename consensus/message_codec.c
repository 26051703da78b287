#include "message_codec.h"

#include "base/cursor.h"

#include <assert.h>
#include <stdlib.h>

enum {
    FLAG_REJECT = 1,
    FLAG_CONTEXT = 2,
    FLAG_PAYLOAD = 1, /* of an entry */
    MIN_ENTRY_SIZE = 18,
    SET_COUNT = 4,
};

/* --- to bytes --------------------------------------------------------------------------------- */

static void put_number(struct strbuf *out, uint64_t number, size_t size)
{
    uint8_t octets[8];
    struct writer w = writer_of(octets, sizeof(octets));
    write_u64(&w, number);
    strbuf_add(out, octets + 8 - size, size);
}

static void put_payload(struct strbuf *out, const struct payload *p)
{
    assert(p->size <= UINT32_MAX);
    put_number(out, p->size, 4);
    strbuf_add(out, p->data, p->size);
}

static void put_entry(struct strbuf *out, const struct entry *e)
{
    put_number(out, e->type, 1);
    put_number(out, e->payload != NULL ? FLAG_PAYLOAD : 0, 1);
    put_number(out, e->term, 8);
    put_number(out, e->index, 8);
    if (e->payload != NULL)
        put_payload(out, e->payload);
}

static void put_snapshot(struct strbuf *out, const struct snapshot *s)
{
    const struct configuration_state *c = &s->configuration;
    const struct id_set *const sets[SET_COUNT] = {&c->voters, &c->outgoing, &c->learners,
                                                  &c->learners_next};
    put_number(out, s->index, 8);
    put_number(out, s->term, 8);
    put_number(out, c->auto_leave, 1);
    for (size_t i = 0; i < SET_COUNT; i++) {
        put_number(out, sets[i]->count, 1);
        for (size_t k = 0; k < sets[i]->count; k++)
            put_number(out, sets[i]->ids[k], 8);
    }
}

void message_encode(struct strbuf *out, const struct raft_message *m)
{
    assert(message_crosses_network(m->type));
    assert((m->snapshot != NULL) == (m->type == MESSAGE_SNAPSHOT) && m->response_count == 0);
    const uint64_t numbers[] = {m->to,    m->from,   m->term,       m->log_term,
                                m->index, m->commit, m->reject_hint};
    put_number(out, MESSAGE_CODEC_VERSION, 1);
    put_number(out, m->type, 1);
    put_number(out, (m->reject ? FLAG_REJECT : 0u) | (m->context != NULL ? FLAG_CONTEXT : 0u), 1);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        put_number(out, numbers[i], 8);
    if (m->context != NULL)
        put_payload(out, m->context);
    put_number(out, m->entries.count, 4);
    for (size_t i = 0; i < m->entries.count; i++)
        put_entry(out, &m->entries.items[i]);
    if (m->snapshot != NULL)
        put_snapshot(out, m->snapshot);
}

/* --- from bytes ------------------------------------------------------------------------------- */

static enum err take_payload(struct reader *r, struct payload **out)
{
    uint32_t size = read_u32(r);
    const uint8_t *data = read_bytes(r, size);
    if (r->failed)
        return ERR_MALFORMED;
    struct payload *p = payload_create(bytes_of(data, size));
    if (p == NULL)
        return ERR_NO_MEMORY;
    *out = p;
    return OK;
}

static enum err take_entry(struct reader *r, struct entry_list *list)
{
    struct entry e = {0};
    uint8_t type = read_u8(r);
    uint8_t flags = read_u8(r);
    e.term = read_u64(r);
    e.index = read_u64(r);
    if (r->failed || type >= ENTRY_TYPE_COUNT || flags > FLAG_PAYLOAD)
        return ERR_MALFORMED;
    e.type = (enum entry_type)type;
    enum err error = flags == FLAG_PAYLOAD ? take_payload(r, &e.payload) : OK;
    if (error == OK)
        error = entry_list_add(list, &e);
    payload_release(e.payload);
    return error;
}

static enum err take_entries(struct reader *r, struct entry_list *list)
{
    uint32_t count = read_u32(r);
    if (r->failed || count > reader_left(r) / MIN_ENTRY_SIZE)
        return ERR_MALFORMED;
    enum err error = entry_list_reserve(list, count);
    for (uint32_t i = 0; i < count && error == OK; i++)
        error = take_entry(r, list);
    return error;
}

static bool take_set(struct reader *r, struct id_set *set)
{
    uint8_t count = read_u8(r);
    if (count > ID_SET_MAX)
        return false;
    for (size_t i = 0; i < count; i++) {
        set->ids[i] = read_u64(r);
        if (i > 0 && set->ids[i - 1] >= set->ids[i])
            return false;
    }
    set->count = count;
    return !r->failed;
}

static enum err take_snapshot(struct reader *r, struct raft_message *m)
{
    struct snapshot *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    m->snapshot = s;
    struct configuration_state *c = &s->configuration;
    struct id_set *const sets[SET_COUNT] = {&c->voters, &c->outgoing, &c->learners,
                                            &c->learners_next};
    s->index = read_u64(r);
    s->term = read_u64(r);
    uint8_t auto_leave = read_u8(r);
    c->auto_leave = auto_leave == 1;
    if (r->failed || auto_leave > 1)
        return ERR_MALFORMED;
    for (size_t i = 0; i < SET_COUNT; i++)
        if (!take_set(r, sets[i]))
            return ERR_MALFORMED;
    return OK;
}

static enum err take_message(struct reader *r, struct raft_message *m)
{
    uint64_t *const numbers[] = {&m->to,    &m->from,   &m->term,       &m->log_term,
                                 &m->index, &m->commit, &m->reject_hint};
    uint8_t type = read_u8(r);
    uint8_t flags = read_u8(r);
    if (r->failed || type >= MESSAGE_TYPE_COUNT || flags > (FLAG_REJECT | FLAG_CONTEXT) ||
        !message_crosses_network((enum message_type)type))
        return ERR_MALFORMED;
    m->type = (enum message_type)type;
    m->reject = (flags & FLAG_REJECT) != 0;
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
        *numbers[i] = read_u64(r);
    enum err error = (flags & FLAG_CONTEXT) != 0 ? take_payload(r, &m->context) : OK;
    if (error == OK)
        error = take_entries(r, &m->entries);
    if (error == OK && m->type == MESSAGE_SNAPSHOT)
        error = take_snapshot(r, m);
    if (error == OK && reader_left(r) > 0)
        error = ERR_MALFORMED;
    return error;
}

enum err message_decode(struct raft_message *out, struct bytes bytes)
{
    struct reader r = reader_of(bytes.data, bytes.size);
    struct raft_message m = {0};
    uint8_t version = read_u8(&r);
    if (!r.failed && version != MESSAGE_CODEC_VERSION)
        return ERR_UNSUPPORTED;
    enum err error = take_message(&r, &m);
    if (error != OK) {
        message_fini(&m);
        return error;
    }
    *out = m;
    return OK;
}
