#include "frame.h"

#include "consensus/transport.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

bool hello_agree(const struct hello *ours, const struct hello *theirs, uint16_t *version)
{
    uint16_t low =
        ours->version_min > theirs->version_min ? ours->version_min : theirs->version_min;
    uint16_t high =
        ours->version_max < theirs->version_max ? ours->version_max : theirs->version_max;
    if (high < low)
        return false;
    *version = high;
    return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

void frame_reader_init(struct frame_reader *r, uint32_t message_limit, bool is_bulk,
                       uint32_t window)
{
    *r = (struct frame_reader){
        .message_limit = message_limit,
        .is_bulk = is_bulk,
        .window_left = is_bulk ? window : 0,
    };
}

static void drop_message(struct frame_reader *r)
{
    free(r->data);
    r->data = NULL;
    r->capacity = 0;
    r->filled = 0;
}

void frame_reader_fini(struct frame_reader *r)
{
    drop_message(r);
}

void frame_reader_give_credit(struct frame_reader *r, uint32_t cost)
{
    assert(cost <= UINT32_MAX - r->window_left);
    r->window_left += cost;
}

static enum err read_hello(struct frame_reader *r, struct reader *in, struct frame *out)
{
    struct hello h;
    h.version_min = read_u16(in);
    h.version_max = read_u16(in);
    h.features = read_u64(in);
    h.message_limit = read_u32(in);
    h.window = read_u32(in);
    /* What a later version appends is passed over. */
    if (in->failed || r->is_greeted || h.version_min == 0 || h.version_min > h.version_max)
        return ERR_MALFORMED;
    r->is_greeted = true;
    out->hello = h;
    return OK;
}

/* Memory for what came, and for what may follow if that is not more. */
static enum err make_room(struct frame_reader *r, size_t size)
{
    if (size <= r->capacity)
        return OK;
    size_t capacity = 2 * size < r->size ? 2 * size : r->size;
    uint8_t *data = realloc(r->data, capacity);
    if (data == NULL)
        return ERR_NO_MEMORY;
    r->data = data;
    r->capacity = capacity;
    return OK;
}

static enum err collect(struct frame_reader *r, struct reader *in, struct frame *out)
{
    size_t size = reader_left(in);
    enum err e = make_room(r, r->filled + size);
    if (e != OK)
        return e;
    memcpy(r->data + r->filled, read_bytes(in, size), size);
    r->filled += (uint32_t)size;
    if (r->filled == r->size) {
        r->in_message = false;
        out->kind = FRAME_MESSAGE;
        out->type = r->type;
        out->message = bytes_of(r->data, r->size);
    }
    return OK;
}

static enum err read_message(struct frame_reader *r, struct reader *in, struct frame *out)
{
    r->type = read_u16(in);
    r->size = read_u32(in);
    size_t here = reader_left(in);
    if (in->failed || r->in_message || r->size > r->message_limit || here > r->size ||
        (here == 0 && r->size > 0))
        return ERR_MALFORMED;
    if (r->is_bulk) {
        uint64_t cost = (uint64_t)r->size + TRANSPORT_MESSAGE_COST;
        if (cost > r->window_left)
            return ERR_MALFORMED;
        r->window_left -= (uint32_t)cost;
    }
    if (here == r->size) {
        out->kind = FRAME_MESSAGE;
        out->type = r->type;
        out->message = bytes_of(read_bytes(in, here), here);
        return OK;
    }
    r->in_message = true;
    return collect(r, in, out);
}

static enum err read_more(struct frame_reader *r, struct reader *in, struct frame *out)
{
    size_t here = reader_left(in);
    if (!r->in_message || here == 0 || here > r->size - r->filled)
        return ERR_MALFORMED;
    return collect(r, in, out);
}

static enum err read_credit(struct frame_reader *r, struct reader *in, struct frame *out)
{
    out->credit = read_u32(in);
    return in->failed || reader_left(in) > 0 || !r->is_bulk ? ERR_MALFORMED : OK;
}

static enum err read_close(struct frame_reader *r, struct reader *in, struct frame *out)
{
    out->reason = read_u8(in);
    r->is_closed = true;
    return in->failed ? ERR_MALFORMED : OK;
}

static enum err read_body(struct frame_reader *r, struct reader *in, uint8_t kind,
                          struct frame *out)
{
    out->kind = kind;
    switch ((enum frame_kind)kind) {
    case FRAME_HELLO:
        return read_hello(r, in, out);
    case FRAME_MESSAGE:
        out->kind = 0;
        return read_message(r, in, out);
    case FRAME_MORE:
        out->kind = 0;
        return read_more(r, in, out);
    case FRAME_PING:
    case FRAME_PONG:
        return reader_left(in) == 0 ? OK : ERR_MALFORMED;
    case FRAME_CREDIT:
        return read_credit(r, in, out);
    case FRAME_CLOSE:
        return read_close(r, in, out);
    case FRAME_FIRST_OPTIONAL:
        break;
    }
    out->kind = 0;
    return kind >= FRAME_FIRST_OPTIONAL ? OK : ERR_MALFORMED;
}

enum err frame_read(struct frame_reader *r, struct bytes plain, struct frame *out)
{
    if (!r->in_message)
        drop_message(r); /* the last one, which was borrowed */
    struct reader in = reader_of(plain.data, plain.size);
    uint8_t kind = read_u8(&in);
    /* The hello is first, or a close instead of it; nothing follows a close. */
    if (in.failed || r->is_closed || (!r->is_greeted && kind != FRAME_HELLO && kind != FRAME_CLOSE))
        return ERR_MALFORMED;
    struct frame frame = {0};
    enum err e = read_body(r, &in, kind, &frame);
    if (e == OK)
        *out = frame;
    return e;
}

/* --- writing ---------------------------------------------------------------------------------- */

void frame_write_hello(struct writer *w, const struct hello *hello)
{
    write_u8(w, FRAME_HELLO);
    write_u16(w, hello->version_min);
    write_u16(w, hello->version_max);
    write_u64(w, hello->features);
    write_u32(w, hello->message_limit);
    write_u32(w, hello->window);
}

static size_t write_part(struct writer *w, struct bytes body, size_t offset, size_t header_size)
{
    size_t left = body.size - offset;
    size_t size = left < FRAME_MAX_SIZE - header_size ? left : FRAME_MAX_SIZE - header_size;
    if (size > 0)
        write_bytes(w, body.data + offset, size);
    return size;
}

size_t frame_write_message(struct writer *w, uint16_t type, struct bytes body)
{
    write_u8(w, FRAME_MESSAGE);
    write_u16(w, type);
    write_u32(w, (uint32_t)body.size);
    return write_part(w, body, 0, FRAME_MESSAGE_HEADER_SIZE);
}

size_t frame_write_more(struct writer *w, struct bytes body, size_t offset)
{
    write_u8(w, FRAME_MORE);
    return write_part(w, body, offset, FRAME_MORE_HEADER_SIZE);
}

void frame_write_ping(struct writer *w)
{
    write_u8(w, FRAME_PING);
}

void frame_write_pong(struct writer *w)
{
    write_u8(w, FRAME_PONG);
}

void frame_write_credit(struct writer *w, uint32_t credit)
{
    write_u8(w, FRAME_CREDIT);
    write_u32(w, credit);
}

void frame_write_close(struct writer *w, uint8_t reason)
{
    write_u8(w, FRAME_CLOSE);
    write_u8(w, reason);
}
