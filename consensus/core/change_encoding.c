#include "base/cursor.h"
#include "core/configuration.h"

#include <assert.h>
#include <stdlib.h>

/* Tags of protobuf fields: number << 3 | wire type. Ids of message fields differ between the two
 * forms; a context is the last field of both. */
enum {
    TAG_V1_TYPE = 2 << 3,
    TAG_V1_ID = 3 << 3,
    TAG_V1_CONTEXT = 4 << 3 | 2,
    TAG_TRANSITION = 1 << 3,
    TAG_ITEM = 2 << 3 | 2,
    TAG_CONTEXT = 3 << 3 | 2,
    TAG_ITEM_TYPE = 1 << 3,
    TAG_ITEM_ID = 2 << 3,
    MAX_VARINT_SIZE = 10,
};

/* --- encoding --------------------------------------------------------------------------------- */

static void write_varint(struct writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        write_u8(w, (uint8_t)(value | 0x80));
    write_u8(w, (uint8_t)value);
}

static void write_field(struct writer *w, uint8_t tag, uint64_t value)
{
    write_u8(w, tag);
    write_varint(w, value);
}

static void write_context(struct writer *w, uint8_t tag, struct bytes context)
{
    if (context.size == 0)
        return;
    write_field(w, tag, context.size);
    write_bytes(w, context.data, context.size);
}

static void write_item(struct writer *w, const struct change_item *item)
{
    uint8_t body[2 * (1 + MAX_VARINT_SIZE)];
    struct writer b = writer_of(body, sizeof(body));
    write_field(&b, TAG_ITEM_TYPE, (uint64_t)item->type);
    write_field(&b, TAG_ITEM_ID, item->id);
    write_field(w, TAG_ITEM, b.size);
    write_bytes(w, body, b.size);
}

struct payload *change_encode(const struct configuration_change *c)
{
    /* An item takes at most its tag, its size in one octet, and two fields. */
    size_t room = 2 + CHANGE_MAX_ITEMS * (size_t)(2 + 2 * (1 + MAX_VARINT_SIZE)) + 1 +
                  MAX_VARINT_SIZE + c->context.size;
    uint8_t *buffer = malloc(room);
    if (buffer == NULL)
        return NULL;
    struct writer w = writer_of(buffer, room);
    if (c->is_v1) {
        assert(c->item_count == 1 && c->transition == CHANGE_AUTO);
        write_field(&w, TAG_V1_TYPE, (uint64_t)c->items[0].type);
        write_field(&w, TAG_V1_ID, c->items[0].id);
        write_context(&w, TAG_V1_CONTEXT, c->context);
    } else {
        assert(c->item_count <= CHANGE_MAX_ITEMS);
        write_field(&w, TAG_TRANSITION, (uint64_t)c->transition);
        for (size_t i = 0; i < c->item_count; i++)
            write_item(&w, &c->items[i]);
        write_context(&w, TAG_CONTEXT, c->context);
    }
    assert(!w.failed);
    struct payload *p = payload_create(bytes_of(buffer, w.size));
    free(buffer);
    return p;
}

/* --- decoding --------------------------------------------------------------------------------- */

/* In the shortest form alone, so that one change has one encoding. */
static uint64_t read_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t octet = read_u8(r);
        uint64_t bits = octet & 0x7f;
        if (shift == 63 && bits > 1)
            break;
        value |= bits << shift;
        if ((octet & 0x80) == 0) {
            if (octet == 0 && shift > 0)
                break;
            return value;
        }
    }
    r->failed = true;
    return 0;
}

static uint64_t read_field(struct reader *r, uint8_t tag)
{
    if (read_u8(r) != tag)
        r->failed = true;
    return read_varint(r);
}

/* A number below COUNT. */
static unsigned read_enum(struct reader *r, uint8_t tag, unsigned count)
{
    uint64_t value = read_field(r, tag);
    if (value >= count) {
        r->failed = true;
        return 0;
    }
    return (unsigned)value;
}

static bool next_is(const struct reader *r, uint8_t tag)
{
    return reader_left(r) > 0 && r->data[r->offset] == tag;
}

static struct bytes read_field_bytes(struct reader *r, uint8_t tag)
{
    uint64_t size = read_field(r, tag);
    if (size > reader_left(r)) {
        r->failed = true;
        return BYTES_EMPTY;
    }
    return bytes_of(read_bytes(r, (size_t)size), (size_t)size);
}

/* The last field, if anything is left. */
static struct bytes read_context(struct reader *r, uint8_t tag)
{
    if (reader_left(r) == 0)
        return BYTES_EMPTY;
    struct bytes context = read_field_bytes(r, tag);
    if (context.size == 0 || reader_left(r) > 0)
        r->failed = true;
    return context;
}

static void read_item(struct reader *r, struct change_item *item)
{
    struct bytes body = read_field_bytes(r, TAG_ITEM);
    struct reader b = reader_of(body.data, body.size);
    item->type = (enum change_type)read_enum(&b, TAG_ITEM_TYPE, CHANGE_TYPE_COUNT);
    item->id = read_field(&b, TAG_ITEM_ID);
    if (b.failed || reader_left(&b) > 0)
        r->failed = true;
}

static void read_v1(struct reader *r, struct configuration_change *c)
{
    c->is_v1 = true;
    c->item_count = 1;
    c->items[0].type = (enum change_type)read_enum(r, TAG_V1_TYPE, CHANGE_TYPE_COUNT);
    c->items[0].id = read_field(r, TAG_V1_ID);
    c->context = read_context(r, TAG_V1_CONTEXT);
}

static void read_v2(struct reader *r, struct configuration_change *c)
{
    c->transition = (enum change_transition)read_enum(r, TAG_TRANSITION, CHANGE_TRANSITION_COUNT);
    while (!r->failed && next_is(r, TAG_ITEM)) {
        if (c->item_count == CHANGE_MAX_ITEMS) {
            r->failed = true;
            return;
        }
        read_item(r, &c->items[c->item_count++]);
    }
    c->context = read_context(r, TAG_CONTEXT);
}

enum err change_decode(struct configuration_change *out, enum entry_type type, struct bytes data)
{
    struct configuration_change c = {0};
    struct reader r = reader_of(data.data, data.size);
    if (type == ENTRY_CHANGE_V1)
        read_v1(&r, &c);
    else if (type != ENTRY_CHANGE)
        return ERR_MALFORMED;
    else if (data.size > 0)
        read_v2(&r, &c);
    if (r.failed)
        return ERR_MALFORMED;
    *out = c;
    return OK;
}
