/* The encoders by hand against protobuf-c's, byte by byte, over messages made by chance. */
#include "registry/api/encode.h"

#include "rpc.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    ROUNDS = 300,
    MAX_KVS = 5,
    MAX_OPS = 4,
    MAX_SIZE = 1 << 20,
    MAX_DEPTH = 3,
};

static uint64_t seed = 42;

static uint64_t chance(uint64_t bound)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (seed >> 33) % bound;
}

/* Numbers of every size, zero and negative ones among them. */
static int64_t number(void)
{
    uint64_t bits = chance(66);
    uint64_t n = chance(UINT64_C(1) << 31) << 33 | chance(UINT64_C(1) << 31) << 2 | chance(4);
    return bits == 0 ? 0 : (int64_t)(bits > 64 ? n : n >> (64 - bits));
}

static uint8_t pool[4096];

static struct bytes some_bytes(void)
{
    static const size_t sizes[] = {0, 1, 5, 127, 128, 300, 4000};
    return bytes_of(pool, sizes[chance(7)]);
}

static struct kv some_kv(void)
{
    return (struct kv){.key = some_bytes(),
                       .value = some_bytes(),
                       .create_revision = number(),
                       .mod_revision = number(),
                       .version = number(),
                       .lease = number()};
}

static struct reply_header some_header(void)
{
    return (struct reply_header){(uint64_t)number(), (uint64_t)number(), number(),
                                 (uint64_t)number()};
}

/* --- to protobuf-c; what it allocates lives until the end of the process' round --------------- */

static void *keep[100000];
static size_t kept;

static void *zeroed(size_t size)
{
    void *p = calloc(1, size + 1);
    assert_non_null(p);
    keep[kept++] = p;
    return p;
}

static void forget(void)
{
    while (kept > 0)
        free(keep[--kept]);
}

static ProtobufCBinaryData data_of(struct bytes b)
{
    return (ProtobufCBinaryData){b.size, (uint8_t *)(uintptr_t)b.data};
}

static Etcdserverpb__ResponseHeader *header_of(const struct reply_header *h)
{
    Etcdserverpb__ResponseHeader *out = zeroed(sizeof(*out));
    etcdserverpb__response_header__init(out);
    out->cluster_id = h->cluster_id;
    out->member_id = h->member_id;
    out->revision = h->revision;
    out->raft_term = h->term;
    return out;
}

static Mvccpb__KeyValue *kv_of(const struct kv *kv)
{
    Mvccpb__KeyValue *out = zeroed(sizeof(*out));
    mvccpb__key_value__init(out);
    out->key = data_of(kv->key);
    out->value = data_of(kv->value);
    out->create_revision = kv->create_revision;
    out->mod_revision = kv->mod_revision;
    out->version = kv->version;
    out->lease = kv->lease;
    return out;
}

static Mvccpb__KeyValue **kvs_of(const struct kv *kvs, size_t count)
{
    Mvccpb__KeyValue **out = zeroed(count * sizeof(Mvccpb__KeyValue *));
    for (size_t i = 0; i < count; i++)
        out[i] = kv_of(&kvs[i]);
    return out;
}

static Etcdserverpb__RangeResponse *range_of(const struct reply_header *h,
                                             const struct kv_range_response *r)
{
    Etcdserverpb__RangeResponse *out = zeroed(sizeof(*out));
    etcdserverpb__range_response__init(out);
    out->header = header_of(h);
    out->n_kvs = r->kv_count;
    out->kvs = kvs_of(r->kvs, r->kv_count);
    out->more = r->more;
    out->count = r->count;
    return out;
}

static Etcdserverpb__PutResponse *put_of(const struct reply_header *h,
                                         const struct kv_put_response *r)
{
    Etcdserverpb__PutResponse *out = zeroed(sizeof(*out));
    etcdserverpb__put_response__init(out);
    out->header = header_of(h);
    out->prev_kv = r->has_prev_kv ? kv_of(&r->prev_kv) : NULL;
    return out;
}

static Etcdserverpb__DeleteRangeResponse *delete_of(const struct reply_header *h,
                                                    const struct kv_delete_response *r)
{
    Etcdserverpb__DeleteRangeResponse *out = zeroed(sizeof(*out));
    etcdserverpb__delete_range_response__init(out);
    out->header = header_of(h);
    out->deleted = r->deleted;
    out->n_prev_kvs = r->prev_kv_count;
    out->prev_kvs = kvs_of(r->prev_kvs, r->prev_kv_count);
    return out;
}

static Etcdserverpb__TxnResponse *txn_of(const struct reply_header *h,
                                         const struct kv_txn_response *r);

static Etcdserverpb__ResponseOp *op_of(const struct kv_op_response *r)
{
    Etcdserverpb__ResponseOp *out = zeroed(sizeof(*out));
    struct reply_header h = {.revision = r->revision}, empty = {0};
    etcdserverpb__response_op__init(out);
    if (r->type == KV_OP_RANGE) {
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
        out->response_range = range_of(&h, &r->range);
    } else if (r->type == KV_OP_PUT) {
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        out->response_put = put_of(&h, &r->put);
    } else if (r->type == KV_OP_DELETE) {
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        out->response_delete_range = delete_of(&h, &r->del);
    } else {
        out->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        out->response_txn = txn_of(&empty, &r->txn);
    }
    return out;
}

static Etcdserverpb__TxnResponse *txn_of(const struct reply_header *h,
                                         const struct kv_txn_response *r)
{
    Etcdserverpb__TxnResponse *out = zeroed(sizeof(*out));
    etcdserverpb__txn_response__init(out);
    out->header = header_of(h);
    out->succeeded = r->succeeded;
    out->n_responses = r->response_count;
    out->responses = zeroed(r->response_count * sizeof(Etcdserverpb__ResponseOp *));
    for (size_t i = 0; i < r->response_count; i++)
        out->responses[i] = op_of(&r->responses[i]);
    return out;
}

/* --- by chance -------------------------------------------------------------------------------- */

static const struct kv *some_kvs(size_t *count)
{
    *count = chance(MAX_KVS + 1);
    struct kv *kvs = zeroed(*count * sizeof(struct kv));
    for (size_t i = 0; i < *count; i++)
        kvs[i] = some_kv();
    return kvs;
}

static struct kv_range_response some_range(void)
{
    struct kv_range_response r = {.count = number(), .more = chance(2) != 0};
    r.kvs = some_kvs(&r.kv_count);
    return r;
}

static struct kv_put_response some_put(void)
{
    return (struct kv_put_response){.has_prev_kv = chance(2) != 0, .prev_kv = some_kv()};
}

static struct kv_delete_response some_delete(void)
{
    struct kv_delete_response r = {.deleted = number()};
    r.prev_kvs = some_kvs(&r.prev_kv_count);
    return r;
}

static struct kv_txn_response some_txn(unsigned depth)
{
    size_t count = chance(MAX_OPS + 1);
    struct kv_op_response *ops = zeroed(count * sizeof(struct kv_op_response));
    for (size_t i = 0; i < count; i++) {
        ops[i].revision = number();
        switch (chance(depth > 0 ? 4 : 3)) {
        case 0:
            ops[i].type = KV_OP_RANGE;
            ops[i].range = some_range();
            break;
        case 1:
            ops[i].type = KV_OP_PUT;
            ops[i].put = some_put();
            break;
        case 2:
            ops[i].type = KV_OP_DELETE;
            ops[i].del = some_delete();
            break;
        default:
            ops[i].type = KV_OP_TXN;
            ops[i].txn = some_txn(depth - 1);
            break;
        }
    }
    return (struct kv_txn_response){
        .succeeded = chance(2) != 0, .responses = ops, .response_count = count};
}

static uint8_t ours[MAX_SIZE], theirs[MAX_SIZE];

/* What protobuf-c packs is what stands in `ours`, of SIZE bytes to END. */
static void assert_same(const void *message, size_t size, const uint8_t *end)
{
    assert_true(size <= MAX_SIZE);
    assert_ptr_equal(end, ours + size);
    assert_int_equal(protobuf_c_message_get_packed_size(message), size);
    protobuf_c_message_pack(message, theirs);
    assert_memory_equal(ours, theirs, size);
    forget();
}

static void ranges(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct reply_header h = some_header();
        struct kv_range_response r = some_range();
        assert_same(range_of(&h, &r), encode_range_size(&h, &r), encode_range(ours, &h, &r));
    }
}

static void puts_(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct reply_header h = some_header();
        struct kv_put_response r = some_put();
        assert_same(put_of(&h, &r), encode_put_size(&h, &r), encode_put(ours, &h, &r));
    }
}

static void deletes(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct reply_header h = some_header();
        struct kv_delete_response r = some_delete();
        assert_same(delete_of(&h, &r), encode_delete_size(&h, &r), encode_delete(ours, &h, &r));
    }
}

static void transactions(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct reply_header h = some_header();
        struct kv_txn_response r = some_txn(MAX_DEPTH);
        assert_same(txn_of(&h, &r), encode_txn_size(&h, &r), encode_txn(ours, &h, &r));
    }
}

static Etcdserverpb__WatchResponse *watch_of(const struct watch_reply *w,
                                             const struct kv_event *events, size_t count)
{
    Etcdserverpb__WatchResponse *out = zeroed(sizeof(*out));
    etcdserverpb__watch_response__init(out);
    out->header = header_of(&w->header);
    out->watch_id = w->watch_id;
    out->created = w->created;
    out->canceled = w->canceled;
    out->fragment = w->fragment;
    out->compact_revision = w->compact_revision;
    char *reason = zeroed(w->cancel_reason.size);
    memcpy(reason, w->cancel_reason.data, w->cancel_reason.size);
    out->cancel_reason = reason;
    out->n_events = count;
    out->events = zeroed(count * sizeof(Mvccpb__Event *));
    for (size_t i = 0; i < count; i++) {
        Mvccpb__Event *e = out->events[i] = zeroed(sizeof(*e));
        mvccpb__event__init(e);
        e->type = events[i].type == KV_EVENT_DELETE ? MVCCPB__EVENT__EVENT_TYPE__DELETE
                                                    : MVCCPB__EVENT__EVENT_TYPE__PUT;
        e->kv = kv_of(&events[i].kv);
        e->prev_kv = events[i].has_prev ? kv_of(&events[i].prev) : NULL;
    }
    return out;
}

static void watches(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct watch_reply w = {.header = some_header(),
                                .watch_id = number(),
                                .created = chance(2) != 0,
                                .canceled = chance(2) != 0,
                                .fragment = chance(2) != 0,
                                .compact_revision = number(),
                                .cancel_reason = bytes_of_str(chance(2) != 0 ? "why" : "")};
        size_t count = chance(MAX_KVS + 1);
        struct kv_event events[MAX_KVS];
        for (size_t k = 0; k < count; k++)
            events[k] = (struct kv_event){
                .type = chance(2) != 0 ? KV_EVENT_DELETE : KV_EVENT_PUT,
                .kv = some_kv(),
                .has_prev = chance(2) != 0,
                .prev = some_kv(),
            };
        size_t size = encode_watch_size(&w) + encode_events_size(events, count);
        const uint8_t *end = encode_events(encode_watch(ours, &w), events, count);
        assert_same(watch_of(&w, events, count), size, end);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof(pool); i++)
        pool[i] = (uint8_t)(i * 7 + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),       cmocka_unit_test(puts_),   cmocka_unit_test(deletes),
        cmocka_unit_test(transactions), cmocka_unit_test(watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
