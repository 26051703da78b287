/* Requests from protobuf to the plain data of kv.h and store.h.
 *
 * protobuf-c unpacks into the arena, and what the results borrow is there until its reset.
 * ERR_MALFORMED: the bytes are no such message. ERR_LIMIT: the message would need more memory than
 * the arena may hold. */
#ifndef WARREN_REGISTRY_API_CONVERT_H
#define WARREN_REGISTRY_API_CONVERT_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"
#include "registry/store.h"

#include <stdbool.h>
#include <stdint.h>

enum watch_request_type {
    WATCH_REQUEST_UNKNOWN, /* to be ignored */
    WATCH_REQUEST_CREATE,
    WATCH_REQUEST_CANCEL,
    WATCH_REQUEST_PROGRESS,
};

struct watch_request {
    enum watch_request_type type;
    struct store_watch_request watch; /* CREATE, as do the flags */
    bool progress_notify;
    bool fragment;
    int64_t watch_id; /* CREATE: 0, to be chosen here; CANCEL */
};

typedef enum err convert_fn(struct store_request *out, struct bytes message, struct arena *arena);

convert_fn convert_range, convert_put, convert_delete, convert_compact;
convert_fn convert_lease_grant, convert_lease_revoke, convert_lease_keepalive,
    convert_lease_time_to_live, convert_lease_leases;
convert_fn convert_alarm, convert_hash, convert_hash_kv, convert_defragment;
/* Lists longer than KV_TXN_OPS_LIMIT, or transactions nested deeper than KV_MAX_TXN_DEPTH, are
 * found before anything is unpacked: ERR_NO_SPACE. */
convert_fn convert_txn;

enum err convert_watch(struct watch_request *out, struct bytes message,
                       struct arena *arena) MUST_CHECK;
/* The ID of MemberRemoveRequest, MemberUpdateRequest, MemberPromoteRequest or MoveLeaderRequest:
 * field 1 of each. What else they say is skipped. */
enum err convert_member_id(uint64_t *out, struct bytes message, struct arena *arena) MUST_CHECK;
/* grpc.health.v1.HealthCheckRequest's service, borrowed from MESSAGE. */
enum err convert_health(struct bytes *service, struct bytes message) MUST_CHECK;

#endif
