/* The registry's requests and answers as plain data: what etcd's KV, Lease and Watch messages say,
 * free of any encoding. Everything is borrowed: by a request for the call, by an answer until the
 * callback that got it returns.
 *
 * Revisions: an empty store is at 1; each transaction that changes anything takes the next one;
 * changes inside it are ordered by sub-revisions from 0. A range is [key, range_end): empty end is
 * the one key, "\0" every key >= key. */
#ifndef WARREN_REGISTRY_KV_H
#define WARREN_REGISTRY_KV_H

#include "base/bytes.h"
#include "registry/verdict.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KV_MAX_TXN_OPS = 128,            /* of each list of a transaction; see --max-txn-ops */
    KV_TXN_OPS_LIMIT = 1 << 16,      /* which can say no more; the state machine's own bound */
    KV_MAX_REQUEST_SIZE = 3 << 19,   /* 1.5 MiB, encoded as protobuf; see --max-request-bytes */
    KV_REQUEST_SIZE_LIMIT = 7 << 19, /* which can say no more: an entry of the log holds it */
    KV_MAX_TXN_DEPTH = 128,          /* nested transactions, whatever the flags say */
    /* What compares and ranges of one transaction look at, and what it answers: a transaction is
     * done in one piece. Beyond it: VERDICT_TXN_TOO_LARGE. */
    KV_TXN_MAX_KEYS = 100 * 1000,
    KV_TXN_MAX_ANSWER_SIZE = 16 << 20,
};
#define LEASE_MAX_TTL_S INT64_C(9000000000)
#define LEASE_MIN_TTL_S INT64_C(2)

struct kv {
    struct bytes key;
    struct bytes value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease; /* 0: none */
};

enum kv_sort_order {
    KV_SORT_NONE,
    KV_SORT_ASCEND,
    KV_SORT_DESCEND,
};

enum kv_sort_target {
    KV_SORT_BY_KEY,
    KV_SORT_BY_VERSION,
    KV_SORT_BY_CREATE,
    KV_SORT_BY_MOD,
    KV_SORT_BY_VALUE,
};

struct kv_range_request {
    struct bytes key;
    struct bytes range_end;
    int64_t limit;    /* <= 0: none */
    int64_t revision; /* <= 0: the newest */
    enum kv_sort_order sort_order;
    enum kv_sort_target sort_target;
    bool serializable;
    bool keys_only;
    bool count_only;
    bool no_count; /* ours: `count` is not wanted (it costs a walk at an old revision), and is 0 */
    int64_t min_mod_revision; /* inclusive; 0: unset, as the next three */
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;
};

struct kv_range_response {
    const struct kv *kvs;
    size_t kv_count;
    int64_t count; /* all keys of the range at that revision, whatever limit and filters */
    bool more;
};

struct kv_put_request {
    struct bytes key;
    struct bytes value;
    int64_t lease;
    bool prev_kv;
    bool ignore_value;
    bool ignore_lease;
};

struct kv_put_response {
    bool has_prev_kv;
    struct kv prev_kv;
};

struct kv_delete_request {
    struct bytes key;
    struct bytes range_end;
    bool prev_kv;
};

struct kv_delete_response {
    int64_t deleted;
    const struct kv *prev_kvs;
    size_t prev_kv_count;
};

enum kv_compare_result {
    KV_EQUAL,
    KV_GREATER,
    KV_LESS,
    KV_NOT_EQUAL,
    KV_RESULT_UNKNOWN, /* any other number on the wire: true */
};

enum kv_compare_target {
    KV_COMPARE_VERSION,
    KV_COMPARE_CREATE,
    KV_COMPARE_MOD,
    KV_COMPARE_VALUE,
    KV_COMPARE_LEASE,
    KV_TARGET_UNKNOWN, /* as etcd: compares nothing, so equal */
};

struct kv_compare {
    enum kv_compare_result result;
    enum kv_compare_target target;
    struct bytes key;
    struct bytes range_end;
    int64_t number;     /* every target but VALUE */
    struct bytes value; /* VALUE */
};

enum kv_op_type {
    KV_OP_NONE, /* an empty RequestOp: "key not found" */
    KV_OP_RANGE,
    KV_OP_PUT,
    KV_OP_DELETE,
    KV_OP_TXN,
};

struct kv_op;

struct kv_txn_request {
    const struct kv_compare *compares;
    size_t compare_count;
    const struct kv_op *success;
    size_t success_count;
    const struct kv_op *failure;
    size_t failure_count;
};

struct kv_op {
    enum kv_op_type type;
    union {
        struct kv_range_request range;
        struct kv_put_request put;
        struct kv_delete_request del;
        struct kv_txn_request txn;
    };
};

struct kv_op_response;

struct kv_txn_response {
    bool succeeded;
    const struct kv_op_response *responses;
    size_t response_count;
};

struct kv_op_response {
    enum kv_op_type type;
    int64_t revision; /* of the header inside a transaction's response */
    union {
        struct kv_range_response range;
        struct kv_put_response put;
        struct kv_delete_response del;
        struct kv_txn_response txn;
    };
};

enum kv_event_type {
    KV_EVENT_PUT,
    KV_EVENT_DELETE,
};

struct kv_event {
    enum kv_event_type type;
    struct kv kv; /* of a delete: key and mod_revision alone */
    bool has_prev;
    struct kv prev;
};

struct lease_status {
    int64_t id;
    int64_t granted_ttl_s;
    int64_t ttl_s; /* remaining, truncated; -1: no such lease */
    const struct bytes *keys;
    size_t key_count;
};

enum alarm_type {
    ALARM_NONE,
    ALARM_NOSPACE,
    ALARM_CORRUPT,
};

enum alarm_action {
    ALARM_GET,
    ALARM_ACTIVATE,
    ALARM_DEACTIVATE,
};

struct alarm {
    uint64_t member;
    enum alarm_type type;
};

/* Whether KEY is in [FROM, END) as above. */
static inline bool kv_range_contains(struct bytes from, struct bytes end, struct bytes key)
{
    if (end.size == 0)
        return bytes_equal(from, key);
    if (bytes_compare(key, from) < 0)
        return false;
    if (end.size == 1 && end.data[0] == 0)
        return true;
    return bytes_compare(key, end) < 0;
}

#endif
