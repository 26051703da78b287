/* Bytes on their way out: added at the end, taken from the front.
 *
 * Sticky failure, as strbuf: after a failed allocation nothing more is added and `failed` stays
 * set. */
#ifndef WARREN_REGISTRY_API_OUTBUF_H
#define WARREN_REGISTRY_API_OUTBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbuf {
    uint8_t *data;
    size_t start; /* of what is still to be taken */
    size_t end;
    size_t capacity;
    bool failed;
};

static inline size_t outbuf_size(const struct outbuf *b)
{
    return b->end - b->start;
}

static inline const uint8_t *outbuf_data(const struct outbuf *b)
{
    return b->data + b->start;
}

/* The same, to be changed. */
static inline uint8_t *outbuf_front(struct outbuf *b)
{
    return b->data + b->start;
}

void outbuf_fini(struct outbuf *b);
/* Forgets the content and a failure; keeps memory of up to KEEP bytes. */
void outbuf_clear(struct outbuf *b, size_t keep);
/* Room for exactly SIZE bytes at the end, which count as added; NULL without memory. */
uint8_t *outbuf_add(struct outbuf *b, size_t size);
void outbuf_add_bytes(struct outbuf *b, const void *data, size_t size);
/* Takes SIZE bytes, at most outbuf_size, from the front. */
void outbuf_take(struct outbuf *b, size_t size);

#endif
