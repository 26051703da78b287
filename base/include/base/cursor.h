/* Bounded byte cursors with a sticky error.
 *
 * Chain reads or writes, then check `failed` once. A read past the end yields zeros and sets
 * `failed`; a write past the end writes nothing and sets it. Neither ever touches a byte outside
 * the buffer it was given. Integers are big-endian unless the name says otherwise. */
#ifndef WARREN_BASE_CURSOR_H
#define WARREN_BASE_CURSOR_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *data;
    size_t size;
    size_t offset; /* <= size */
    bool failed;
};

static inline struct reader reader_of(const void *data, size_t size)
{
    return (struct reader){.data = data, .size = size};
}

static inline size_t reader_left(const struct reader *r)
{
    return r->failed ? 0 : r->size - r->offset;
}

/* The next SIZE bytes, borrowed from the buffer; NULL (and failed) if there are fewer. */
static inline const uint8_t *read_bytes(struct reader *r, size_t size)
{
    if (r->failed || size > r->size - r->offset) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->data + r->offset;
    r->offset += size;
    return at;
}

static inline uint8_t read_u8(struct reader *r)
{
    const uint8_t *b = read_bytes(r, 1);
    return b != NULL ? b[0] : 0;
}

static inline uint16_t read_u16(struct reader *r)
{
    const uint8_t *b = read_bytes(r, 2);
    return b != NULL ? (uint16_t)((unsigned)b[0] << 8 | b[1]) : 0;
}

static inline uint32_t read_u32(struct reader *r)
{
    const uint8_t *b = read_bytes(r, 4);
    return b != NULL ? load_u32(b) : 0;
}

static inline uint64_t read_u64(struct reader *r)
{
    const uint8_t *b = read_bytes(r, 8);
    if (b == NULL)
        return 0;
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | b[i];
    return value;
}

struct writer {
    uint8_t *data;
    size_t capacity;
    size_t size; /* written so far, <= capacity */
    bool failed;
};

static inline struct writer writer_of(void *data, size_t capacity)
{
    return (struct writer){.data = data, .capacity = capacity};
}

/* Room for SIZE bytes that the caller fills; NULL (and failed) if there is not enough. */
static inline uint8_t *write_room(struct writer *w, size_t size)
{
    if (w->failed || size > w->capacity - w->size) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->data + w->size;
    w->size += size;
    return at;
}

static inline void write_bytes(struct writer *w, const void *data, size_t size)
{
    uint8_t *at = write_room(w, size);
    if (at != NULL && size > 0)
        memcpy(at, data, size);
}

static inline void write_u8(struct writer *w, uint8_t value)
{
    uint8_t *at = write_room(w, 1);
    if (at != NULL)
        at[0] = value;
}

static inline void write_u16(struct writer *w, uint16_t value)
{
    uint8_t *at = write_room(w, 2);
    if (at != NULL) {
        at[0] = (uint8_t)(value >> 8);
        at[1] = (uint8_t)value;
    }
}

static inline void write_u32(struct writer *w, uint32_t value)
{
    uint8_t *at = write_room(w, 4);
    if (at != NULL) {
        at[0] = (uint8_t)(value >> 24);
        at[1] = (uint8_t)(value >> 16);
        at[2] = (uint8_t)(value >> 8);
        at[3] = (uint8_t)value;
    }
}

static inline void write_u64(struct writer *w, uint64_t value)
{
    uint8_t *at = write_room(w, 8);
    if (at != NULL) {
        for (size_t i = 0; i < 8; i++)
            at[i] = (uint8_t)(value >> (56 - 8 * i));
    }
}

#endif
