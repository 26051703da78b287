/* Every protobuf request of the API through its decoder: the first byte chooses which. What comes
 * out must be walkable, and what the decoders refuse must be refused without harm. */
#include "registry/api/convert.h"
#include "registry/api/txn_scan.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum {
    ARENA_LIMIT = 16 << 20,
};

static convert_fn *const converters[] = {
    convert_range,
    convert_put,
    convert_delete,
    convert_txn,
    convert_compact,
    convert_lease_grant,
    convert_lease_revoke,
    convert_lease_keepalive,
    convert_lease_time_to_live,
    convert_lease_leases,
    convert_alarm,
    convert_hash,
    convert_hash_kv,
    convert_defragment,
};

static size_t total; /* so that nothing is optimised away */

static void touch(struct bytes b)
{
    for (size_t i = 0; i < b.size; i++)
        total += b.data[i];
}

static void walk_txn(const struct kv_txn_request *t, unsigned depth);

static void walk_ops(const struct kv_op *ops, size_t count, unsigned depth)
{
    for (size_t i = 0; i < count; i++) {
        switch (ops[i].type) {
        case KV_OP_RANGE:
            touch(ops[i].range.key);
            touch(ops[i].range.range_end);
            break;
        case KV_OP_PUT:
            touch(ops[i].put.key);
            touch(ops[i].put.value);
            break;
        case KV_OP_DELETE:
            touch(ops[i].del.key);
            touch(ops[i].del.range_end);
            break;
        case KV_OP_TXN:
            walk_txn(&ops[i].txn, depth + 1);
            break;
        case KV_OP_NONE:
            break;
        }
    }
}

static void walk_txn(const struct kv_txn_request *t, unsigned depth)
{
    assert(depth <= KV_MAX_TXN_DEPTH);
    for (size_t i = 0; i < t->compare_count; i++) {
        touch(t->compares[i].key);
        touch(t->compares[i].value);
        assert(t->compares[i].target <= KV_TARGET_UNKNOWN);
        assert(t->compares[i].result <= KV_RESULT_UNKNOWN);
    }
    walk_ops(t->success, t->success_count, depth);
    walk_ops(t->failure, t->failure_count, depth);
}

static void walk(const struct store_request *r)
{
    if (r->type == STORE_TXN)
        walk_txn(&r->txn, 1);
    else if (r->type == STORE_PUT)
        touch(r->put.value);
    else if (r->type == STORE_RANGE)
        touch(r->range.key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const size_t count = sizeof(converters) / sizeof(converters[0]);
    if (size == 0)
        return 0;
    struct arena arena;
    arena_init(&arena, ARENA_LIMIT);
    struct bytes message = bytes_of(data + 1, size - 1);
    size_t which = data[0] % (count + 3);
    if (which < count) {
        struct store_request request = {0};
        if (converters[which](&request, message, &arena) == OK)
            walk(&request);
    } else if (which == count) {
        struct watch_request request;
        if (convert_watch(&request, message, &arena) == OK && request.type == WATCH_REQUEST_CREATE)
            touch(request.watch.key);
    } else if (which == count + 1) {
        uint64_t id;
        if (convert_member_id(&id, message, &arena) == OK)
            total += id;
    } else {
        struct bytes service;
        if (convert_health(&service, message) == OK)
            touch(service);
    }
    arena_fini(&arena);
    return 0;
}
