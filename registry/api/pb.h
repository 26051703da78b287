/* Writing protobuf by hand: a size and a writer for each kind of field, so that a message's length
 * is known before its bytes and everything is written once, where it is sent from.
 *
 * Proto3: a scalar at its default is left out. Fields are below 16, so a tag is one byte. */
#ifndef WARREN_REGISTRY_API_PB_H
#define WARREN_REGISTRY_API_PB_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    PB_TAG_SIZE = 1,
    PB_VARINT = 0, /* wire types */
    PB_LENGTH_DELIMITED = 2,
};

static inline size_t pb_varint_size(uint64_t value)
{
    /* Seven bits a byte: 9 / 64 is just above 1 / 7 for up to 64 bits. */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    return (bits * 9 + 64) / 64;
}

static inline size_t pb_uint_size(uint64_t value)
{
    return value == 0 ? 0 : PB_TAG_SIZE + pb_varint_size(value);
}

static inline size_t pb_int_size(int64_t value)
{
    return pb_uint_size((uint64_t)value);
}

/* Of a message or bytes that is there, even if empty. */
static inline size_t pb_nested_size(size_t size)
{
    return PB_TAG_SIZE + pb_varint_size(size) + size;
}

static inline size_t pb_bytes_size(size_t size)
{
    return size == 0 ? 0 : pb_nested_size(size);
}

static inline uint8_t *pb_put_varint(uint8_t *at, uint64_t value)
{
    while (value >= 0x80) {
        *at++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *at++ = (uint8_t)value;
    return at;
}

static inline uint8_t *pb_put_uint(uint8_t *at, unsigned field, uint64_t value)
{
    if (value == 0)
        return at;
    *at++ = (uint8_t)(field << 3 | PB_VARINT);
    return pb_put_varint(at, value);
}

static inline uint8_t *pb_put_int(uint8_t *at, unsigned field, int64_t value)
{
    return pb_put_uint(at, field, (uint64_t)value);
}

/* The beginning of a nested message of SIZE bytes, which the caller writes next. */
static inline uint8_t *pb_put_nested(uint8_t *at, unsigned field, size_t size)
{
    *at++ = (uint8_t)(field << 3 | PB_LENGTH_DELIMITED);
    return pb_put_varint(at, size);
}

static inline uint8_t *pb_put_raw(uint8_t *at, const void *data, size_t size)
{
    if (size > 0)
        memcpy(at, data, size);
    return at + size;
}

static inline uint8_t *pb_put_bytes(uint8_t *at, unsigned field, struct bytes value)
{
    if (value.size == 0)
        return at;
    return pb_put_raw(pb_put_nested(at, field, value.size), value.data, value.size);
}

#endif
