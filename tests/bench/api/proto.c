#include "proto.h"

#include "h2.h"

#include <string.h>

enum wire {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5
};

/* Field numbers of rpc.proto and kv.proto. */
enum {
    RANGE_REQUEST_KEY = 1,
    RANGE_REQUEST_SERIALIZABLE = 7,
    PUT_REQUEST_KEY = 1,
    PUT_REQUEST_VALUE = 2,
    RANGE_RESPONSE_KVS = 2,
    RANGE_RESPONSE_COUNT = 4,
    KEY_VALUE_VALUE = 5,
    WATCH_REQUEST_CREATE = 1,
    WATCH_CREATE_KEY = 1,
    WATCH_RESPONSE_CREATED = 3,
    WATCH_RESPONSE_CANCELED = 4,
    WATCH_RESPONSE_EVENTS = 11,
};

static uint8_t *put_varint(uint8_t *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *out++ = (uint8_t)(value | 0x80);
    *out++ = (uint8_t)value;
    return out;
}

static uint8_t *put_bytes(uint8_t *out, unsigned field, const void *bytes, size_t size)
{
    out = put_varint(out, field << 3 | WIRE_BYTES);
    out = put_varint(out, size);
    memcpy(out, bytes, size);
    return out + size;
}

/* Writes the prefix of the message that ends at END. */
static size_t finish(uint8_t *out, const uint8_t *end)
{
    size_t size = (size_t)(end - out) - H2_MESSAGE_PREFIX;
    out[0] = 0;
    out[1] = (uint8_t)(size >> 24);
    out[2] = (uint8_t)(size >> 16);
    out[3] = (uint8_t)(size >> 8);
    out[4] = (uint8_t)size;
    return size + H2_MESSAGE_PREFIX;
}

size_t proto_put(uint8_t out[static PROTO_MESSAGE_MAX], const char *key, const uint8_t *value,
                 size_t value_size)
{
    uint8_t *end = put_bytes(out + H2_MESSAGE_PREFIX, PUT_REQUEST_KEY, key, strlen(key));
    return finish(out, put_bytes(end, PUT_REQUEST_VALUE, value, value_size));
}

size_t proto_range(uint8_t out[static PROTO_MESSAGE_MAX], const char *key, bool serializable)
{
    uint8_t *end = put_bytes(out + H2_MESSAGE_PREFIX, RANGE_REQUEST_KEY, key, strlen(key));
    if (serializable) {
        end = put_varint(end, RANGE_REQUEST_SERIALIZABLE << 3 | WIRE_VARINT);
        end = put_varint(end, 1);
    }
    return finish(out, end);
}

size_t proto_watch_create(uint8_t out[static PROTO_MESSAGE_MAX], const char *key)
{
    uint8_t create[PROTO_KEY_MAX + 16];
    const uint8_t *create_end = put_bytes(create, WATCH_CREATE_KEY, key, strlen(key));
    return finish(out, put_bytes(out + H2_MESSAGE_PREFIX, WATCH_REQUEST_CREATE, create,
                                 (size_t)(create_end - create)));
}

struct field {
    unsigned number;
    enum wire wire;
    uint64_t value;       /* of a varint */
    const uint8_t *bytes; /* of a string, with its size */
    size_t size;
};

static bool get_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

static bool get_field(const uint8_t **at, const uint8_t *end, struct field *field)
{
    uint64_t tag;
    if (!get_varint(at, end, &tag))
        return false;
    *field = (struct field){.number = (unsigned)(tag >> 3), .wire = (enum wire)(tag & 7)};
    switch (field->wire) {
    case WIRE_VARINT:
        return get_varint(at, end, &field->value);
    case WIRE_BYTES:
        if (!get_varint(at, end, &field->value) || field->value > (size_t)(end - *at))
            return false;
        field->bytes = *at;
        field->size = (size_t)field->value;
        break;
    case WIRE_FIXED64:
        field->size = 8;
        break;
    case WIRE_FIXED32:
        field->size = 4;
        break;
    default:
        return false;
    }
    if (field->size > (size_t)(end - *at))
        return false;
    *at += field->size;
    return true;
}

bool proto_read_range(const uint8_t *message, size_t size, uint64_t *count, size_t *value_size)
{
    const uint8_t *at = message, *end = message + size;
    struct field field, inner;
    *count = *value_size = 0;
    while (at < end) {
        if (!get_field(&at, end, &field))
            return false;
        if (field.number == RANGE_RESPONSE_COUNT && field.wire == WIRE_VARINT)
            *count = field.value;
        if (field.number != RANGE_RESPONSE_KVS || field.wire != WIRE_BYTES)
            continue;
        for (const uint8_t *p = field.bytes; p < field.bytes + field.size;) {
            if (!get_field(&p, field.bytes + field.size, &inner))
                return false;
            if (inner.number == KEY_VALUE_VALUE && inner.wire == WIRE_BYTES)
                *value_size = inner.size;
        }
    }
    return true;
}

bool proto_read_watch(const uint8_t *message, size_t size, struct proto_watch *watch)
{
    const uint8_t *at = message, *end = message + size;
    struct field field;
    *watch = (struct proto_watch){0};
    while (at < end) {
        if (!get_field(&at, end, &field))
            return false;
        if (field.number == WATCH_RESPONSE_CREATED)
            watch->created = field.value != 0;
        else if (field.number == WATCH_RESPONSE_CANCELED)
            watch->canceled = field.value != 0;
        else if (field.number == WATCH_RESPONSE_EVENTS && field.wire == WIRE_BYTES)
            watch->event_count++;
    }
    return true;
}
