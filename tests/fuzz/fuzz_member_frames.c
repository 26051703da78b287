/* Bytes of a member behind the handshake, and of a stranger before it. The first byte says which:
 * 0, a preamble; otherwise frames, each with a size of two bytes before it (what the records would
 * hold), its lowest bit set: the bulk stream. Whatever the bytes: no message beyond the bounds, and
 * no more memory than was sent. */
#include "consensus/transport.h"
#include "consensus/transport/frame.h"
#include "consensus/transport/preamble.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MESSAGE_LIMIT = 3000,
    WINDOW = 8000,
};

static void must(bool good)
{
    if (!good)
        abort();
}

static void read_preamble(struct reader *in)
{
    const uint8_t *data = read_bytes(in, PREAMBLE_SIZE);
    struct preamble p;
    uint8_t back[PREAMBLE_SIZE];
    if (data == NULL || preamble_read(&p, data) != OK)
        return;
    preamble_write(back, preamble_stream(&p), preamble_pattern(&p), p.cluster_id, p.from, p.to);
    must(memcmp(back, data, PREAMBLE_SIZE) == 0);
}

static volatile uint8_t sink;

static void look_at(struct frame_reader *r, const struct frame *f, bool is_bulk, uint32_t *taken)
{
    uint8_t sum = 0;
    if (f->kind != FRAME_MESSAGE)
        return;
    must(f->message.size <= MESSAGE_LIMIT);
    for (size_t i = 0; i < f->message.size; i++)
        sum = (uint8_t)(sum + f->message.data[i]);
    sink = sum;
    if (!is_bulk)
        return;
    /* The owner takes every other message at once, and gives credit for it. */
    uint32_t cost = (uint32_t)f->message.size + TRANSPORT_MESSAGE_COST;
    must(r->window_left <= WINDOW - cost);
    if (++*taken % 2 == 0)
        frame_reader_give_credit(r, cost);
}

static void read_frames(struct reader *in, bool is_bulk)
{
    struct frame_reader r;
    size_t sent = 0;
    uint32_t taken = 0;
    enum err e = OK;
    frame_reader_init(&r, MESSAGE_LIMIT, is_bulk, WINDOW);
    while (e == OK && reader_left(in) > 0) {
        size_t size = read_u16(in);
        if (size > reader_left(in))
            size = reader_left(in);
        struct frame f;
        const uint8_t *bytes = read_bytes(in, size);
        /* An exact copy, so that a sanitizer sees a read beyond it. */
        uint8_t *exact = malloc(size + 1);
        must(exact != NULL);
        if (bytes != NULL && size > 0)
            memcpy(exact, bytes, size);
        e = frame_read(&r, bytes_of(exact, in->failed ? 0 : size), &f);
        must(e == OK || e == ERR_MALFORMED);
        sent += size;
        must(r.capacity <= 2 * sent && r.capacity <= MESSAGE_LIMIT);
        if (e == OK)
            look_at(&r, &f, is_bulk, &taken);
        free(exact);
    }
    frame_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader in = reader_of(data, size);
    uint8_t what = read_u8(&in);
    if (what == 0)
        read_preamble(&in);
    else
        read_frames(&in, (what & 1) != 0);
    return 0;
}
