/* Messages as Go's encoding/json writes the structs that etcd's .proto become there. */
#include "gotext.h"
#include "output.h"

#include <stdio.h>

static const void *member(const ProtobufCMessage *message, unsigned offset)
{
    return (const uint8_t *)message + offset;
}

static bool is_unset(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch ((int)f->type) { /* the types etcd has */
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const uint64_t *)at == 0;
    case PROTOBUF_C_TYPE_STRING:
        return *(char *const *)at == NULL || **(char *const *)at == '\0';
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return *(void *const *)at == NULL;
    case PROTOBUF_C_TYPE_BOOL:
        return !*(const protobuf_c_boolean *)at;
    default: /* 32 bits: enums, uint32 */
        return *(const uint32_t *)at == 0;
    }
}

static void json_value(struct strbuf *out, const ProtobufCFieldDescriptor *f, const void *at)
{
    switch ((int)f->type) { /* the types etcd has */
    case PROTOBUF_C_TYPE_INT64:
        strbuf_add_format(out, "%lld", (long long)*(const int64_t *)at);
        return;
    case PROTOBUF_C_TYPE_UINT64:
        strbuf_add_format(out, "%llu", (unsigned long long)*(const uint64_t *)at);
        return;
    case PROTOBUF_C_TYPE_STRING:
        go_json_string(out, bytes_of_str(*(char *const *)at));
        return;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *data = at;
        go_json_bytes(out, bytes_of(data->data, data->len));
        return;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        json_message(out, *(ProtobufCMessage *const *)at);
        return;
    case PROTOBUF_C_TYPE_BOOL:
        strbuf_add_str(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        return;
    default:
        strbuf_add_format(out, "%u", *(const uint32_t *)at);
        return;
    }
}

static size_t element_size(ProtobufCType type)
{
    switch ((int)type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return 8;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 4;
    }
}

static void json_list(struct strbuf *out, const ProtobufCFieldDescriptor *f, const void *items,
                      size_t count)
{
    strbuf_add_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            strbuf_add_char(out, ',');
        json_value(out, f, (const uint8_t *)items + i * element_size(f->type));
    }
    strbuf_add_char(out, ']');
}

static void json_key(struct strbuf *out, const char *name, bool *is_first)
{
    strbuf_add_format(out, "%s\"%s\":", *is_first ? "" : ",", name);
    *is_first = false;
}

void json_message(struct strbuf *out, const ProtobufCMessage *message)
{
    bool is_first = true;
    strbuf_add_char(out, '{');
    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &message->descriptor->fields[i];
        const void *at = member(message, f->offset);
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t count = *(const size_t *)member(message, f->quantifier_offset);
            if (count == 0)
                continue;
            json_key(out, f->name, &is_first);
            json_list(out, f, *(void *const *)at, count);
        } else if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
            /* The only oneof that is ever printed is a transaction's response. */
            if (*(const uint32_t *)member(message, f->quantifier_offset) != f->id)
                continue;
            json_key(out, "Response", &is_first);
            strbuf_add_format(out, "{\"%s\":", f->name);
            json_value(out, f, at);
            strbuf_add_char(out, '}');
        } else if (!is_unset(f, at)) {
            json_key(out, f->name, &is_first);
            json_value(out, f, at);
        }
    }
    strbuf_add_char(out, '}');
}
