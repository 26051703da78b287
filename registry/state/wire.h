/* Big-endian pieces of commands and records, appended to a strbuf; cursor.h reads them back. */
#ifndef WARREN_REGISTRY_STATE_WIRE_H
#define WARREN_REGISTRY_STATE_WIRE_H

#include "base/bytes.h"
#include "base/cursor.h"
#include "base/strbuf.h"

static inline void add_u8(struct strbuf *out, uint8_t value)
{
    strbuf_add(out, &value, sizeof(value));
}

static inline void add_u32(struct strbuf *out, uint32_t value)
{
    uint8_t room[4];
    struct writer w = writer_of(room, sizeof(room));
    write_u32(&w, value);
    strbuf_add(out, room, sizeof(room));
}

static inline void add_i64(struct strbuf *out, int64_t value)
{
    uint8_t room[8];
    struct writer w = writer_of(room, sizeof(room));
    write_u64(&w, (uint64_t)value);
    strbuf_add(out, room, sizeof(room));
}

static inline void add_bytes(struct strbuf *out, struct bytes value)
{
    if (value.size > UINT32_MAX) {
        out->failed = true;
        return;
    }
    add_u32(out, (uint32_t)value.size);
    strbuf_add(out, value.data, value.size);
}

static inline int64_t read_i64(struct reader *r)
{
    return (int64_t)read_u64(r);
}

/* Borrowed from the buffer. */
static inline struct bytes read_sized(struct reader *r)
{
    uint32_t size = read_u32(r);
    const uint8_t *data = read_bytes(r, size);
    return data != NULL ? bytes_of(data, size) : BYTES_EMPTY;
}

/* A number below LIMIT, in an octet. */
static inline uint8_t read_below(struct reader *r, unsigned limit)
{
    uint8_t value = read_u8(r);
    if (value >= limit) {
        r->failed = true;
        return 0;
    }
    return value;
}

#endif
