/* Commands as bytes, which is what the log holds. Big-endian; the first octet is the version. */
#include "base/arena.h"
#include "registry/state/state.h"
#include "registry/state/wire.h"

enum {
    COMMAND_VERSION = 1,

    RANGE_SERIALIZABLE = 1,
    RANGE_KEYS_ONLY = 2,
    RANGE_COUNT_ONLY = 4,
    RANGE_FLAGS_END = 8,

    PUT_PREV_KV = 1,
    PUT_IGNORE_VALUE = 2,
    PUT_IGNORE_LEASE = 4,
    PUT_FLAGS_END = 8,

    /* Octets of the smallest of each, which bound how many a buffer can hold. */
    MIN_COMPARE_SIZE = 2 + 4 + 4 + 8,
    MIN_OP_SIZE = 1,
};

/* --- encoding --------------------------------------------------------------------------------- */

static void encode_range(struct strbuf *out, const struct kv_range_request *r)
{
    add_bytes(out, r->key);
    add_bytes(out, r->range_end);
    add_i64(out, r->limit);
    add_i64(out, r->revision);
    add_u8(out, (uint8_t)r->sort_order);
    add_u8(out, (uint8_t)r->sort_target);
    add_u8(out, (uint8_t)((r->serializable ? RANGE_SERIALIZABLE : 0) |
                          (r->keys_only ? RANGE_KEYS_ONLY : 0) |
                          (r->count_only ? RANGE_COUNT_ONLY : 0)));
    add_i64(out, r->min_mod_revision);
    add_i64(out, r->max_mod_revision);
    add_i64(out, r->min_create_revision);
    add_i64(out, r->max_create_revision);
}

static void encode_put(struct strbuf *out, const struct kv_put_request *r)
{
    add_bytes(out, r->key);
    add_bytes(out, r->value);
    add_i64(out, r->lease);
    add_u8(out,
           (uint8_t)((r->prev_kv ? PUT_PREV_KV : 0) | (r->ignore_value ? PUT_IGNORE_VALUE : 0) |
                     (r->ignore_lease ? PUT_IGNORE_LEASE : 0)));
}

static void encode_delete(struct strbuf *out, const struct kv_delete_request *r)
{
    add_bytes(out, r->key);
    add_bytes(out, r->range_end);
    add_u8(out, r->prev_kv);
}

static void encode_compare(struct strbuf *out, const struct kv_compare *c)
{
    add_u8(out, (uint8_t)c->result);
    add_u8(out, (uint8_t)c->target);
    add_bytes(out, c->key);
    add_bytes(out, c->range_end);
    if (c->target == KV_COMPARE_VALUE)
        add_bytes(out, c->value);
    else
        add_i64(out, c->number);
}

static void encode_txn(struct strbuf *out, const struct kv_txn_request *r);

static void encode_ops(struct strbuf *out, const struct kv_op *ops, size_t count)
{
    add_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        add_u8(out, (uint8_t)ops[i].type);
        switch (ops[i].type) {
        case KV_OP_NONE:
            break;
        case KV_OP_RANGE:
            encode_range(out, &ops[i].range);
            break;
        case KV_OP_PUT:
            encode_put(out, &ops[i].put);
            break;
        case KV_OP_DELETE:
            encode_delete(out, &ops[i].del);
            break;
        case KV_OP_TXN:
            encode_txn(out, &ops[i].txn);
            break;
        }
    }
}

static void encode_txn(struct strbuf *out, const struct kv_txn_request *r)
{
    add_u32(out, (uint32_t)r->compare_count);
    for (size_t i = 0; i < r->compare_count; i++)
        encode_compare(out, &r->compares[i]);
    encode_ops(out, r->success, r->success_count);
    encode_ops(out, r->failure, r->failure_count);
}

void state_command_encode(struct strbuf *out, const struct state_command *command)
{
    add_u8(out, COMMAND_VERSION);
    add_u8(out, (uint8_t)command->type);
    switch (command->type) {
    case STATE_PUT:
        encode_put(out, &command->put);
        break;
    case STATE_DELETE:
        encode_delete(out, &command->del);
        break;
    case STATE_TXN:
        encode_txn(out, &command->txn);
        break;
    case STATE_COMPACT:
        add_i64(out, command->compact.revision);
        break;
    case STATE_LEASE_GRANT:
        add_i64(out, command->lease.id);
        add_i64(out, command->lease.ttl_s);
        break;
    case STATE_LEASE_REVOKE:
        add_i64(out, command->lease.id);
        break;
    case STATE_ALARM_CHANGE:
        add_u8(out, (uint8_t)command->alarm.action);
        add_i64(out, (int64_t)command->alarm.alarm.member);
        add_u8(out, (uint8_t)command->alarm.alarm.type);
        break;
    }
}

/* --- decoding --------------------------------------------------------------------------------- */

struct decoder {
    struct reader r;
    struct arena *arena;
    bool no_memory;
};

static void decode_range(struct decoder *d, struct kv_range_request *out)
{
    struct reader *r = &d->r;
    out->key = read_sized(r);
    out->range_end = read_sized(r);
    out->limit = read_i64(r);
    out->revision = read_i64(r);
    out->sort_order = read_below(r, KV_SORT_DESCEND + 1);
    out->sort_target = read_below(r, KV_SORT_BY_VALUE + 1);
    unsigned flags = read_below(r, RANGE_FLAGS_END);
    out->serializable = flags & RANGE_SERIALIZABLE;
    out->keys_only = flags & RANGE_KEYS_ONLY;
    out->count_only = flags & RANGE_COUNT_ONLY;
    out->min_mod_revision = read_i64(r);
    out->max_mod_revision = read_i64(r);
    out->min_create_revision = read_i64(r);
    out->max_create_revision = read_i64(r);
}

static void decode_put(struct decoder *d, struct kv_put_request *out)
{
    out->key = read_sized(&d->r);
    out->value = read_sized(&d->r);
    out->lease = read_i64(&d->r);
    unsigned flags = read_below(&d->r, PUT_FLAGS_END);
    out->prev_kv = flags & PUT_PREV_KV;
    out->ignore_value = flags & PUT_IGNORE_VALUE;
    out->ignore_lease = flags & PUT_IGNORE_LEASE;
}

static void decode_delete(struct decoder *d, struct kv_delete_request *out)
{
    out->key = read_sized(&d->r);
    out->range_end = read_sized(&d->r);
    out->prev_kv = read_below(&d->r, 2);
}

static void decode_compare(struct decoder *d, struct kv_compare *out)
{
    out->result = read_below(&d->r, KV_RESULT_UNKNOWN + 1);
    out->target = read_below(&d->r, KV_TARGET_UNKNOWN + 1);
    out->key = read_sized(&d->r);
    out->range_end = read_sized(&d->r);
    if (out->target == KV_COMPARE_VALUE)
        out->value = read_sized(&d->r);
    else
        out->number = read_i64(&d->r);
}

/* Room for a list whose length comes next; what is left of the buffer bounds it. */
static void *decode_list(struct decoder *d, size_t item_size, size_t min_size, size_t *count)
{
    uint32_t announced = read_u32(&d->r);
    if (announced > reader_left(&d->r) / min_size)
        d->r.failed = true;
    if (d->r.failed || announced == 0)
        return NULL;
    void *items = arena_array(d->arena, announced, item_size);
    if (items == NULL) {
        d->no_memory = true;
        d->r.failed = true;
        return NULL;
    }
    memset(items, 0, announced * item_size);
    *count = announced;
    return items;
}

static void decode_txn(struct decoder *d, struct kv_txn_request *out, size_t depth);

static void decode_op(struct decoder *d, struct kv_op *out, size_t depth)
{
    out->type = read_below(&d->r, KV_OP_TXN + 1);
    switch (out->type) {
    case KV_OP_NONE:
        break;
    case KV_OP_RANGE:
        decode_range(d, &out->range);
        break;
    case KV_OP_PUT:
        decode_put(d, &out->put);
        break;
    case KV_OP_DELETE:
        decode_delete(d, &out->del);
        break;
    case KV_OP_TXN:
        decode_txn(d, &out->txn, depth + 1);
        break;
    }
}

static void decode_txn(struct decoder *d, struct kv_txn_request *out, size_t depth)
{
    *out = (struct kv_txn_request){0};
    if (depth > KV_MAX_TXN_DEPTH) {
        d->r.failed = true;
        return;
    }
    struct kv_compare *compares =
        decode_list(d, sizeof(*compares), MIN_COMPARE_SIZE, &out->compare_count);
    for (size_t i = 0; !d->r.failed && i < out->compare_count; i++)
        decode_compare(d, &compares[i]);
    struct kv_op *success = decode_list(d, sizeof(*success), MIN_OP_SIZE, &out->success_count);
    for (size_t i = 0; !d->r.failed && i < out->success_count; i++)
        decode_op(d, &success[i], depth);
    struct kv_op *failure = decode_list(d, sizeof(*failure), MIN_OP_SIZE, &out->failure_count);
    for (size_t i = 0; !d->r.failed && i < out->failure_count; i++)
        decode_op(d, &failure[i], depth);
    out->compares = compares;
    out->success = success;
    out->failure = failure;
}

static void decode_body(struct decoder *d, struct state_command *out)
{
    switch (out->type) {
    case STATE_PUT:
        decode_put(d, &out->put);
        break;
    case STATE_DELETE:
        decode_delete(d, &out->del);
        break;
    case STATE_TXN:
        decode_txn(d, &out->txn, 0);
        break;
    case STATE_COMPACT:
        out->compact.revision = read_i64(&d->r);
        break;
    case STATE_LEASE_GRANT:
        out->lease.id = read_i64(&d->r);
        out->lease.ttl_s = read_i64(&d->r);
        break;
    case STATE_LEASE_REVOKE:
        out->lease.id = read_i64(&d->r);
        break;
    case STATE_ALARM_CHANGE:
        out->alarm.action = read_below(&d->r, ALARM_DEACTIVATE + 1);
        out->alarm.alarm.member = read_u64(&d->r);
        out->alarm.alarm.type = read_below(&d->r, ALARM_CORRUPT + 1);
        break;
    default:
        d->r.failed = true;
        break;
    }
}

enum err state_command_decode(struct state_command *out, struct bytes data, struct arena *arena)
{
    struct decoder d = {.r = reader_of(data.data, data.size), .arena = arena};
    struct state_command command = {0};
    if (read_u8(&d.r) != COMMAND_VERSION)
        d.r.failed = true;
    command.type = read_u8(&d.r);
    if (!d.r.failed)
        decode_body(&d, &command);
    if (d.no_memory)
        return ERR_NO_MEMORY;
    if (d.r.failed || reader_left(&d.r) > 0)
        return ERR_MALFORMED;
    *out = command;
    return OK;
}
