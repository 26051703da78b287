#include "encode.h"

#include "pb.h"

#include <assert.h>

/* Field numbers of rpc.proto and kv.proto. */
enum {
    RESPONSE_HEADER = 1,

    HEADER_CLUSTER_ID = 1,
    HEADER_MEMBER_ID = 2,
    HEADER_REVISION = 3,
    HEADER_TERM = 4,

    KV_KEY = 1,
    KV_CREATE_REVISION = 2,
    KV_MOD_REVISION = 3,
    KV_VERSION = 4,
    KV_VALUE = 5,
    KV_LEASE = 6,

    RANGE_KVS = 2,
    RANGE_MORE = 3,
    RANGE_COUNT = 4,

    PUT_PREV_KV = 2,

    DELETE_DELETED = 2,
    DELETE_PREV_KVS = 3,

    TXN_SUCCEEDED = 2,
    TXN_RESPONSES = 3,

    OP_RANGE = 1,
    OP_PUT = 2,
    OP_DELETE = 3,
    OP_TXN = 4,

    EVENT_TYPE = 1,
    EVENT_KV = 2,
    EVENT_PREV_KV = 3,

    WATCH_ID = 2,
    WATCH_CREATED = 3,
    WATCH_CANCELED = 4,
    WATCH_COMPACT_REVISION = 5,
    WATCH_CANCEL_REASON = 6,
    WATCH_FRAGMENT = 7,
    WATCH_EVENTS = 11,
};

/* --- pieces ----------------------------------------------------------------------------------- */

size_t encode_header_size(const struct reply_header *h)
{
    return pb_uint_size(h->cluster_id) + pb_uint_size(h->member_id) + pb_int_size(h->revision) +
           pb_uint_size(h->term);
}

uint8_t *encode_header(uint8_t *at, const struct reply_header *h)
{
    at = pb_put_uint(at, HEADER_CLUSTER_ID, h->cluster_id);
    at = pb_put_uint(at, HEADER_MEMBER_ID, h->member_id);
    at = pb_put_int(at, HEADER_REVISION, h->revision);
    return pb_put_uint(at, HEADER_TERM, h->term);
}

static size_t header_field_size(const struct reply_header *h)
{
    return pb_nested_size(encode_header_size(h));
}

static uint8_t *put_header_field(uint8_t *at, const struct reply_header *h)
{
    return encode_header(pb_put_nested(at, RESPONSE_HEADER, encode_header_size(h)), h);
}

static size_t kv_size(const struct kv *kv)
{
    return pb_bytes_size(kv->key.size) + pb_int_size(kv->create_revision) +
           pb_int_size(kv->mod_revision) + pb_int_size(kv->version) +
           pb_bytes_size(kv->value.size) + pb_int_size(kv->lease);
}

static uint8_t *put_kv_field(uint8_t *at, unsigned field, const struct kv *kv)
{
    at = pb_put_nested(at, field, kv_size(kv));
    at = pb_put_bytes(at, KV_KEY, kv->key);
    at = pb_put_int(at, KV_CREATE_REVISION, kv->create_revision);
    at = pb_put_int(at, KV_MOD_REVISION, kv->mod_revision);
    at = pb_put_int(at, KV_VERSION, kv->version);
    at = pb_put_bytes(at, KV_VALUE, kv->value);
    return pb_put_int(at, KV_LEASE, kv->lease);
}

static size_t kvs_size(const struct kv *kvs, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += pb_nested_size(kv_size(&kvs[i]));
    return size;
}

static uint8_t *put_kvs(uint8_t *at, unsigned field, const struct kv *kvs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        at = put_kv_field(at, field, &kvs[i]);
    return at;
}

/* --- KV --------------------------------------------------------------------------------------- */

size_t encode_range_header_size(const struct reply_header *h)
{
    return header_field_size(h);
}

uint8_t *encode_range_header(uint8_t *at, const struct reply_header *h)
{
    return put_header_field(at, h);
}

size_t encode_range_kvs_size(const struct kv *kvs, size_t count)
{
    return kvs_size(kvs, count);
}

uint8_t *encode_range_kvs(uint8_t *at, const struct kv *kvs, size_t count)
{
    return put_kvs(at, RANGE_KVS, kvs, count);
}

size_t encode_range_rest_size(const struct kv_range_response *r)
{
    return pb_uint_size(r->more) + pb_int_size(r->count);
}

uint8_t *encode_range_rest(uint8_t *at, const struct kv_range_response *r)
{
    at = pb_put_uint(at, RANGE_MORE, r->more);
    return pb_put_int(at, RANGE_COUNT, r->count);
}

size_t encode_range_size(const struct reply_header *h, const struct kv_range_response *r)
{
    return encode_range_header_size(h) + encode_range_kvs_size(r->kvs, r->kv_count) +
           encode_range_rest_size(r);
}

uint8_t *encode_range(uint8_t *at, const struct reply_header *h, const struct kv_range_response *r)
{
    at = encode_range_header(at, h);
    at = encode_range_kvs(at, r->kvs, r->kv_count);
    return encode_range_rest(at, r);
}

size_t encode_put_size(const struct reply_header *h, const struct kv_put_response *r)
{
    return header_field_size(h) + (r->has_prev_kv ? pb_nested_size(kv_size(&r->prev_kv)) : 0);
}

uint8_t *encode_put(uint8_t *at, const struct reply_header *h, const struct kv_put_response *r)
{
    at = put_header_field(at, h);
    return r->has_prev_kv ? put_kv_field(at, PUT_PREV_KV, &r->prev_kv) : at;
}

size_t encode_delete_size(const struct reply_header *h, const struct kv_delete_response *r)
{
    return header_field_size(h) + pb_int_size(r->deleted) + kvs_size(r->prev_kvs, r->prev_kv_count);
}

uint8_t *encode_delete(uint8_t *at, const struct reply_header *h,
                       const struct kv_delete_response *r)
{
    at = put_header_field(at, h);
    at = pb_put_int(at, DELETE_DELETED, r->deleted);
    return put_kvs(at, DELETE_PREV_KVS, r->prev_kvs, r->prev_kv_count);
}

/* --- transactions ----------------------------------------------------------------------------- */

/* Inside a transaction a header carries the revision alone, a nested transaction's nothing. */
static struct reply_header op_header(const struct kv_op_response *r)
{
    return (struct reply_header){.revision = r->type == KV_OP_TXN ? 0 : r->revision};
}

static unsigned op_field(enum kv_op_type type)
{
    switch (type) {
    case KV_OP_RANGE:
        return OP_RANGE;
    case KV_OP_PUT:
        return OP_PUT;
    case KV_OP_DELETE:
        return OP_DELETE;
    case KV_OP_TXN:
        return OP_TXN;
    case KV_OP_NONE:
        break;
    }
    assert(false && "the store answers no operation that there is not");
    return 0;
}

static size_t op_body_size(const struct kv_op_response *r)
{
    struct reply_header h = op_header(r);
    switch (r->type) {
    case KV_OP_RANGE:
        return encode_range_size(&h, &r->range);
    case KV_OP_PUT:
        return encode_put_size(&h, &r->put);
    case KV_OP_DELETE:
        return encode_delete_size(&h, &r->del);
    case KV_OP_TXN:
        return encode_txn_size(&h, &r->txn);
    case KV_OP_NONE:
        break;
    }
    return 0;
}

static uint8_t *put_op_body(uint8_t *at, const struct kv_op_response *r)
{
    struct reply_header h = op_header(r);
    switch (r->type) {
    case KV_OP_RANGE:
        return encode_range(at, &h, &r->range);
    case KV_OP_PUT:
        return encode_put(at, &h, &r->put);
    case KV_OP_DELETE:
        return encode_delete(at, &h, &r->del);
    case KV_OP_TXN:
        return encode_txn(at, &h, &r->txn);
    case KV_OP_NONE:
        break;
    }
    return at;
}

size_t encode_txn_size(const struct reply_header *h, const struct kv_txn_response *r)
{
    size_t size = header_field_size(h) + pb_uint_size(r->succeeded);
    for (size_t i = 0; i < r->response_count; i++)
        size += pb_nested_size(pb_nested_size(op_body_size(&r->responses[i])));
    return size;
}

uint8_t *encode_txn(uint8_t *at, const struct reply_header *h, const struct kv_txn_response *r)
{
    at = put_header_field(at, h);
    at = pb_put_uint(at, TXN_SUCCEEDED, r->succeeded);
    for (size_t i = 0; i < r->response_count; i++) {
        const struct kv_op_response *op = &r->responses[i];
        size_t size = op_body_size(op);
        at = pb_put_nested(at, TXN_RESPONSES, pb_nested_size(size));
        at = pb_put_nested(at, op_field(op->type), size);
        at = put_op_body(at, op);
    }
    return at;
}

/* --- watches ---------------------------------------------------------------------------------- */

static size_t event_body_size(const struct kv_event *e)
{
    return pb_uint_size(e->type == KV_EVENT_DELETE) + pb_nested_size(kv_size(&e->kv)) +
           (e->has_prev ? pb_nested_size(kv_size(&e->prev)) : 0);
}

size_t encode_event_size(const struct kv_event *e)
{
    return pb_nested_size(event_body_size(e));
}

size_t encode_events_size(const struct kv_event *events, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += encode_event_size(&events[i]);
    return size;
}

uint8_t *encode_events(uint8_t *at, const struct kv_event *events, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kv_event *e = &events[i];
        at = pb_put_nested(at, WATCH_EVENTS, event_body_size(e));
        at = pb_put_uint(at, EVENT_TYPE, e->type == KV_EVENT_DELETE);
        at = put_kv_field(at, EVENT_KV, &e->kv);
        if (e->has_prev)
            at = put_kv_field(at, EVENT_PREV_KV, &e->prev);
    }
    return at;
}

size_t encode_watch_size(const struct watch_reply *w)
{
    return header_field_size(&w->header) + pb_int_size(w->watch_id) + pb_uint_size(w->created) +
           pb_uint_size(w->canceled) + pb_int_size(w->compact_revision) +
           pb_bytes_size(w->cancel_reason.size) + pb_uint_size(w->fragment);
}

uint8_t *encode_watch(uint8_t *at, const struct watch_reply *w)
{
    at = put_header_field(at, &w->header);
    at = pb_put_int(at, WATCH_ID, w->watch_id);
    at = pb_put_uint(at, WATCH_CREATED, w->created);
    at = pb_put_uint(at, WATCH_CANCELED, w->canceled);
    at = pb_put_int(at, WATCH_COMPACT_REVISION, w->compact_revision);
    at = pb_put_bytes(at, WATCH_CANCEL_REASON, w->cancel_reason);
    return pb_put_uint(at, WATCH_FRAGMENT, w->fragment);
}
