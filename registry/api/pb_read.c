#include "pb_read.h"

#include "pb.h"

#include <stddef.h>

enum {
    PB_FIXED64 = 1,
    PB_FIXED32 = 5,
};

static bool take_varint(struct bytes *rest, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (rest->size == 0)
            return false;
        uint8_t byte = *rest->data;
        *rest = bytes_of(rest->data + 1, rest->size - 1);
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool skip(struct bytes *rest, uint64_t size)
{
    if (size > rest->size)
        return false;
    *rest = bytes_of(rest->data + size, rest->size - (size_t)size);
    return true;
}

static bool take_body(struct bytes *rest, struct bytes *body)
{
    uint64_t size;
    if (!take_varint(rest, &size) || size > rest->size)
        return false;
    *body = bytes_of(rest->data, (size_t)size);
    return skip(rest, size);
}

static bool take_field(struct bytes *rest, struct pb_field *out)
{
    uint64_t tag, value;
    if (!take_varint(rest, &tag))
        return false;
    *out = (struct pb_field){.number = tag >> 3};
    switch (tag & 7) {
    case PB_VARINT:
        return take_varint(rest, &value);
    case PB_FIXED64:
        return skip(rest, 8);
    case PB_FIXED32:
        return skip(rest, 4);
    case PB_LENGTH_DELIMITED:
        return take_body(rest, &out->body);
    default:
        return false;
    }
}

bool pb_read_field(struct bytes *rest, struct pb_field *out)
{
    struct bytes left = *rest;
    if (left.size == 0 || !take_field(&left, out))
        return false;
    *rest = left;
    return true;
}
