/* Records as bytes: the chunks of a snapshot. Big-endian; the first octet is the type. */
#include "registry/state/record.h"

#include "registry/state/state.h"
#include "registry/state/wire.h"

enum {
    REVISION_IS_DELETE = 1,
    REVISION_FLAGS_END = 2
};

static void encode_revision(struct strbuf *out, const struct state_record *record)
{
    const struct kv *kv = &record->revision.kv;
    add_i64(out, record->revision.main);
    add_i64(out, record->revision.sub);
    add_u8(out, record->revision.is_delete ? REVISION_IS_DELETE : 0);
    add_bytes(out, kv->key);
    if (record->revision.is_delete)
        return;
    add_bytes(out, kv->value);
    add_i64(out, kv->create_revision);
    add_i64(out, kv->version);
    add_i64(out, kv->lease);
}

void state_record_encode(struct strbuf *out, const struct state_record *record)
{
    add_u8(out, (uint8_t)record->type);
    switch (record->type) {
    case STATE_META:
        add_i64(out, record->meta.revision);
        add_i64(out, record->meta.compacted);
        break;
    case STATE_LEASE:
        add_i64(out, record->lease.id);
        add_i64(out, record->lease.ttl_s);
        break;
    case STATE_LEASE_GONE:
        add_i64(out, record->lease.id);
        break;
    case STATE_ALARM:
    case STATE_ALARM_GONE:
        add_i64(out, (int64_t)record->alarm.member);
        add_u8(out, (uint8_t)record->alarm.type);
        break;
    case STATE_REVISION:
        encode_revision(out, record);
        break;
    case STATE_REVISION_GONE:
        add_i64(out, record->revision.main);
        add_i64(out, record->revision.sub);
        break;
    }
}

static void decode_revision(struct reader *r, struct state_record *out)
{
    struct kv *kv = &out->revision.kv;
    out->revision.main = read_i64(r);
    out->revision.sub = read_i64(r);
    out->revision.is_delete = read_below(r, REVISION_FLAGS_END) == REVISION_IS_DELETE;
    kv->key = read_sized(r);
    kv->mod_revision = out->revision.main;
    if (out->revision.is_delete)
        return;
    kv->value = read_sized(r);
    kv->create_revision = read_i64(r);
    kv->version = read_i64(r);
    kv->lease = read_i64(r);
}

static void decode_body(struct reader *r, struct state_record *out)
{
    switch (out->type) {
    case STATE_META:
        out->meta.revision = read_i64(r);
        out->meta.compacted = read_i64(r);
        break;
    case STATE_LEASE:
        out->lease.id = read_i64(r);
        out->lease.ttl_s = read_i64(r);
        break;
    case STATE_LEASE_GONE:
        out->lease.id = read_i64(r);
        break;
    case STATE_ALARM:
    case STATE_ALARM_GONE:
        out->alarm.member = read_u64(r);
        out->alarm.type = read_below(r, ALARM_CORRUPT + 1);
        break;
    case STATE_REVISION:
        decode_revision(r, out);
        break;
    case STATE_REVISION_GONE:
        out->revision.main = read_i64(r);
        out->revision.sub = read_i64(r);
        break;
    default:
        r->failed = true;
        break;
    }
}

enum err state_record_decode(struct state_record *out, struct bytes data)
{
    struct reader r = reader_of(data.data, data.size);
    struct state_record record = {.type = read_u8(&r)};
    if (!r.failed)
        decode_body(&r, &record);
    if (r.failed || reader_left(&r) > 0)
        return ERR_MALFORMED;
    *out = record;
    return OK;
}
