#include "convert.h"

#include "pb_read.h"
#include "txn_scan.h"

#include "rpc.pb-c.h"

#include <string.h>

/* --- protobuf-c in an arena ------------------------------------------------------------------- */

struct unpacking {
    ProtobufCAllocator allocator; /* its data is this struct */
    struct arena *arena;
    bool is_exhausted;
};

static void *allocate(void *context, size_t size)
{
    struct unpacking *u = context;
    void *memory = arena_alloc(u->arena, size);
    if (memory == NULL)
        u->is_exhausted = true;
    return memory;
}

static void deallocate(void *context, void *memory)
{
    (void)context; /* the arena's reset does it */
    (void)memory;
}

/* NULL with the reason in ERROR. */
static void *unpack(const ProtobufCMessageDescriptor *type, struct bytes message,
                    struct arena *arena, enum err *error)
{
    static const uint8_t nothing[1];
    struct unpacking u = {.arena = arena};
    u.allocator = (ProtobufCAllocator){allocate, deallocate, &u};
    const uint8_t *data = message.size > 0 ? message.data : nothing;
    void *unpacked = protobuf_c_message_unpack(type, &u.allocator, message.size, data);
    *error = unpacked != NULL ? OK : u.is_exhausted ? ERR_LIMIT : ERR_MALFORMED;
    return unpacked;
}

static struct bytes bytes_from(const ProtobufCBinaryData *data)
{
    return bytes_of(data->data, data->len);
}

/* --- KV --------------------------------------------------------------------------------------- */

/* A number on the wire may be any; kv.h's enums have the known ones, in the same order, and the
 * store refuses what is behind them. */
static unsigned known_or(int value, unsigned count)
{
    return value >= 0 && (unsigned)value < count ? (unsigned)value : count;
}

static void range_from(struct kv_range_request *out, const Etcdserverpb__RangeRequest *r)
{
    *out = (struct kv_range_request){
        .key = bytes_from(&r->key),
        .range_end = bytes_from(&r->range_end),
        .limit = r->limit,
        .revision = r->revision,
        .sort_order = (enum kv_sort_order)known_or((int)r->sort_order, KV_SORT_DESCEND + 1),
        .sort_target = (enum kv_sort_target)known_or((int)r->sort_target, KV_SORT_BY_VALUE + 1),
        .serializable = r->serializable,
        .keys_only = r->keys_only,
        .count_only = r->count_only,
        .min_mod_revision = r->min_mod_revision,
        .max_mod_revision = r->max_mod_revision,
        .min_create_revision = r->min_create_revision,
        .max_create_revision = r->max_create_revision,
    };
}

static void put_from(struct kv_put_request *out, const Etcdserverpb__PutRequest *r)
{
    *out = (struct kv_put_request){
        .key = bytes_from(&r->key),
        .value = bytes_from(&r->value),
        .lease = r->lease,
        .prev_kv = r->prev_kv,
        .ignore_value = r->ignore_value,
        .ignore_lease = r->ignore_lease,
    };
}

static void delete_from(struct kv_delete_request *out, const Etcdserverpb__DeleteRangeRequest *r)
{
    *out = (struct kv_delete_request){
        .key = bytes_from(&r->key),
        .range_end = bytes_from(&r->range_end),
        .prev_kv = r->prev_kv,
    };
}

enum err convert_range(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__RangeRequest *r =
        unpack(&etcdserverpb__range_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_RANGE;
    range_from(&out->range, r);
    return OK;
}

enum err convert_put(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__PutRequest *r =
        unpack(&etcdserverpb__put_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_PUT;
    put_from(&out->put, r);
    return OK;
}

enum err convert_delete(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__DeleteRangeRequest *r =
        unpack(&etcdserverpb__delete_range_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_DELETE;
    delete_from(&out->del, r);
    return OK;
}

enum err convert_compact(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__CompactionRequest *r =
        unpack(&etcdserverpb__compaction_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_COMPACT;
    out->compact.revision = r->revision;
    out->compact.physical = r->physical;
    return OK;
}

/* --- transactions ----------------------------------------------------------------------------- */

/* A number that belongs to another target than the one named counts as unset, as in etcd. */
static int64_t compare_number(const Etcdserverpb__Compare *c, enum kv_compare_target target)
{
    switch ((int)c->target_union_case) {
    case ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION:
        return target == KV_COMPARE_VERSION ? c->version : 0;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION:
        return target == KV_COMPARE_CREATE ? c->create_revision : 0;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION:
        return target == KV_COMPARE_MOD ? c->mod_revision : 0;
    case ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE:
        return target == KV_COMPARE_LEASE ? c->lease : 0;
    default:
        return 0;
    }
}

static void compare_from(struct kv_compare *out, const Etcdserverpb__Compare *c)
{
    *out = (struct kv_compare){
        .result = (enum kv_compare_result)known_or((int)c->result, KV_RESULT_UNKNOWN),
        .target = (enum kv_compare_target)known_or((int)c->target, KV_TARGET_UNKNOWN),
        .key = bytes_from(&c->key),
        .range_end = bytes_from(&c->range_end),
    };
    out->number = compare_number(c, out->target);
    if (c->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE)
        out->value = bytes_from(&c->value);
}

static enum err txn_from(struct kv_txn_request *out, const Etcdserverpb__TxnRequest *r,
                         struct arena *arena);

/* A oneof's message pointer may be NULL only if the case says otherwise. */
static enum err op_from(struct kv_op *out, const Etcdserverpb__RequestOp *op, struct arena *arena)
{
    out->type = KV_OP_NONE;
    switch ((int)op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        out->type = KV_OP_RANGE;
        range_from(&out->range, op->request_range);
        return OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        out->type = KV_OP_PUT;
        put_from(&out->put, op->request_put);
        return OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        out->type = KV_OP_DELETE;
        delete_from(&out->del, op->request_delete_range);
        return OK;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        out->type = KV_OP_TXN;
        return txn_from(&out->txn, op->request_txn, arena);
    default:
        return OK;
    }
}

static enum err ops_from(const struct kv_op **out, Etcdserverpb__RequestOp *const *ops,
                         size_t count, struct arena *arena)
{
    struct kv_op *converted = arena_array(arena, count, sizeof(struct kv_op));
    if (converted == NULL)
        return ERR_LIMIT;
    for (size_t i = 0; i < count; i++) {
        enum err e = op_from(&converted[i], ops[i], arena);
        if (e != OK)
            return e;
    }
    *out = converted;
    return OK;
}

static enum err txn_from(struct kv_txn_request *out, const Etcdserverpb__TxnRequest *r,
                         struct arena *arena)
{
    struct kv_compare *compares = arena_array(arena, r->n_compare, sizeof(struct kv_compare));
    if (compares == NULL)
        return ERR_LIMIT;
    for (size_t i = 0; i < r->n_compare; i++)
        compare_from(&compares[i], r->compare[i]);
    *out = (struct kv_txn_request){
        .compares = compares,
        .compare_count = r->n_compare,
        .success_count = r->n_success,
        .failure_count = r->n_failure,
    };
    enum err e = ops_from(&out->success, r->success, r->n_success, arena);
    if (e == OK)
        e = ops_from(&out->failure, r->failure, r->n_failure, arena);
    return e;
}

enum err convert_txn(struct store_request *out, struct bytes message, struct arena *arena)
{
    /* protobuf-c recurses as deep as a message nests. */
    if (!txn_is_bounded(message))
        return ERR_NO_SPACE;
    enum err e;
    const Etcdserverpb__TxnRequest *r =
        unpack(&etcdserverpb__txn_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_TXN;
    return txn_from(&out->txn, r, arena);
}

/* --- leases ----------------------------------------------------------------------------------- */

enum err convert_lease_grant(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__LeaseGrantRequest *r =
        unpack(&etcdserverpb__lease_grant_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_LEASE_GRANT;
    out->grant.id = r->id;
    out->grant.ttl_s = r->ttl;
    return OK;
}

enum err convert_lease_revoke(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__LeaseRevokeRequest *r =
        unpack(&etcdserverpb__lease_revoke_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_LEASE_REVOKE;
    out->lease.id = r->id;
    out->lease.keys = false;
    return OK;
}

enum err convert_lease_keepalive(struct store_request *out, struct bytes message,
                                 struct arena *arena)
{
    enum err e;
    const Etcdserverpb__LeaseKeepAliveRequest *r =
        unpack(&etcdserverpb__lease_keep_alive_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_LEASE_KEEPALIVE;
    out->lease.id = r->id;
    out->lease.keys = false;
    return OK;
}

enum err convert_lease_time_to_live(struct store_request *out, struct bytes message,
                                    struct arena *arena)
{
    enum err e;
    const Etcdserverpb__LeaseTimeToLiveRequest *r =
        unpack(&etcdserverpb__lease_time_to_live_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_LEASE_TIME_TO_LIVE;
    out->lease.id = r->id;
    out->lease.keys = r->keys;
    return OK;
}

enum err convert_lease_leases(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    out->type = STORE_LEASE_LIST;
    (void)unpack(&etcdserverpb__lease_leases_request__descriptor, message, arena, &e);
    return e;
}

/* --- maintenance ------------------------------------------------------------------------------ */

enum err convert_alarm(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__AlarmRequest *r =
        unpack(&etcdserverpb__alarm_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    if (known_or((int)r->action, ALARM_DEACTIVATE + 1) > ALARM_DEACTIVATE ||
        known_or((int)r->alarm, ALARM_CORRUPT + 1) > ALARM_CORRUPT)
        return ERR_INVALID;
    out->type = STORE_ALARM;
    out->alarm.action = (enum alarm_action)r->action;
    out->alarm.alarm = (struct alarm){.member = r->memberid, .type = (enum alarm_type)r->alarm};
    return OK;
}

enum err convert_hash(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    out->type = STORE_HASH;
    out->hash.revision = 0;
    (void)unpack(&etcdserverpb__hash_request__descriptor, message, arena, &e);
    return e;
}

enum err convert_hash_kv(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__HashKVRequest *r =
        unpack(&etcdserverpb__hash_kvrequest__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    out->type = STORE_HASH;
    out->hash.revision = r->revision;
    return OK;
}

enum err convert_defragment(struct store_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    out->type = STORE_DEFRAG;
    (void)unpack(&etcdserverpb__defragment_request__descriptor, message, arena, &e);
    return e;
}

/* --- members -----------------------------------------------------------------------------------
 */

enum err convert_member_id(uint64_t *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__MemberRemoveRequest *r =
        unpack(&etcdserverpb__member_remove_request__descriptor, message, arena, &e);
    if (r != NULL)
        *out = r->id;
    return e;
}

/* --- watches ---------------------------------------------------------------------------------- */

static void filters_from(struct store_watch_request *out, const Etcdserverpb__WatchCreateRequest *r)
{
    for (size_t i = 0; i < r->n_filters; i++) {
        if (r->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT)
            out->no_put = true;
        else if (r->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE)
            out->no_delete = true;
    }
}

static void create_from(struct watch_request *out, const Etcdserverpb__WatchCreateRequest *r)
{
    out->type = WATCH_REQUEST_CREATE;
    out->watch = (struct store_watch_request){
        .key = bytes_from(&r->key),
        .range_end = bytes_from(&r->range_end),
        .start_revision = r->start_revision,
        .prev_kv = r->prev_kv,
    };
    filters_from(&out->watch, r);
    out->progress_notify = r->progress_notify;
    out->fragment = r->fragment;
    out->watch_id = r->watch_id;
}

enum err convert_watch(struct watch_request *out, struct bytes message, struct arena *arena)
{
    enum err e;
    const Etcdserverpb__WatchRequest *r =
        unpack(&etcdserverpb__watch_request__descriptor, message, arena, &e);
    if (r == NULL)
        return e;
    *out = (struct watch_request){.type = WATCH_REQUEST_UNKNOWN};
    switch ((int)r->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        create_from(out, r->create_request);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        out->type = WATCH_REQUEST_CANCEL;
        out->watch_id = r->cancel_request->watch_id;
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        out->type = WATCH_REQUEST_PROGRESS;
        break;
    default:
        break;
    }
    return OK;
}

enum err convert_health(struct bytes *service, struct bytes message)
{
    enum {
        SERVICE = 1
    };
    struct bytes rest = message, found = BYTES_EMPTY;
    struct pb_field f;
    while (pb_read_field(&rest, &f))
        if (f.number == SERVICE)
            found = f.body;
    if (rest.size > 0)
        return ERR_MALFORMED;
    *service = found;
    return OK;
}
