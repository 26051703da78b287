#include "outbuf.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 512,
};

void outbuf_fini(struct outbuf *b)
{
    free(b->data);
    *b = (struct outbuf){0};
}

void outbuf_clear(struct outbuf *b, size_t keep)
{
    b->start = 0;
    b->end = 0;
    b->failed = false;
    if (b->capacity > keep)
        outbuf_fini(b);
}

/* Moves the content to the front, or to new memory, so that SIZE bytes fit behind it. */
static bool make_room(struct outbuf *b, size_t size)
{
    size_t used = outbuf_size(b);
    if (b->failed || size > SIZE_MAX / 4 - used) {
        b->failed = true;
        return false;
    }
    /* Moving is worth it only while the gap is larger than what moves: else it could be quadratic.
     */
    if (used + size <= b->capacity && b->start >= used) {
        if (used > 0)
            memmove(b->data, b->data + b->start, used);
        b->start = 0;
        b->end = used;
        return true;
    }
    size_t capacity = b->capacity > 0 ? b->capacity : FIRST_CAPACITY;
    while (capacity < used + size)
        capacity *= 2;
    /* Of a large answer the C library moves pages and not bytes. */
    bool is_at_front = b->start == 0;
    uint8_t *data = is_at_front ? realloc(b->data, capacity) : malloc(capacity);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    if (!is_at_front) {
        if (used > 0)
            memcpy(data, b->data + b->start, used);
        free(b->data);
    }
    *b = (struct outbuf){.data = data, .end = used, .capacity = capacity};
    return true;
}

uint8_t *outbuf_add(struct outbuf *b, size_t size)
{
    if ((b->failed || b->capacity - b->end < size || b->data == NULL) && !make_room(b, size))
        return NULL;
    uint8_t *at = b->data + b->end;
    b->end += size;
    return at;
}

void outbuf_add_bytes(struct outbuf *b, const void *data, size_t size)
{
    uint8_t *at = outbuf_add(b, size);
    if (at != NULL && size > 0)
        memcpy(at, data, size);
}

void outbuf_take(struct outbuf *b, size_t size)
{
    assert(size <= outbuf_size(b));
    b->start += size;
    if (b->start == b->end) {
        b->start = 0;
        b->end = 0;
    }
}
