/* What the registry says of a request: a protocol verdict, data and not an error.
 *
 * One X-macro list: name, gRPC code, the text behind "etcdserver: ". Clients of etcd match on code
 * and text, so both are etcd's. */
#ifndef WARREN_REGISTRY_VERDICT_H
#define WARREN_REGISTRY_VERDICT_H

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16,
};

#define VERDICT_LIST(X)                                                                            \
    X(VERDICT_OK, GRPC_OK, "")                                                                     \
    X(VERDICT_EMPTY_KEY, GRPC_INVALID_ARGUMENT, "key is not provided")                             \
    X(VERDICT_KEY_NOT_FOUND, GRPC_INVALID_ARGUMENT, "key not found")                               \
    X(VERDICT_VALUE_PROVIDED, GRPC_INVALID_ARGUMENT, "value is provided")                          \
    X(VERDICT_LEASE_PROVIDED, GRPC_INVALID_ARGUMENT, "lease is provided")                          \
    X(VERDICT_TOO_MANY_OPS, GRPC_INVALID_ARGUMENT, "too many operations in txn request")           \
    X(VERDICT_DUPLICATE_KEY, GRPC_INVALID_ARGUMENT, "duplicate key given in txn request")          \
    X(VERDICT_INVALID_SORT, GRPC_INVALID_ARGUMENT, "invalid sort option")                          \
    X(VERDICT_REQUEST_TOO_LARGE, GRPC_INVALID_ARGUMENT, "request is too large")                    \
    X(VERDICT_LEASE_NOT_FOUND, GRPC_NOT_FOUND, "requested lease not found")                        \
    X(VERDICT_MEMBER_NOT_FOUND, GRPC_NOT_FOUND, "member not found")                                \
    X(VERDICT_NO_SPACE, GRPC_RESOURCE_EXHAUSTED, "mvcc: database space exceeded")                  \
    X(VERDICT_TOO_MANY_REQUESTS, GRPC_RESOURCE_EXHAUSTED, "too many requests")                     \
    X(VERDICT_TXN_TOO_LARGE, GRPC_RESOURCE_EXHAUSTED,                                              \
      "the transaction would look at more than 100000 keys or answer more than 16 MiB; nothing "   \
      "of it was done, ask in ranges of their own")                                                \
    X(VERDICT_LEASE_EXISTS, GRPC_FAILED_PRECONDITION, "lease already exists")                      \
    X(VERDICT_AUTH_NOT_ENABLED, GRPC_FAILED_PRECONDITION, "authentication is not enabled")         \
    X(VERDICT_USER_NOT_FOUND, GRPC_FAILED_PRECONDITION, "user name not found")                     \
    X(VERDICT_ROLE_NOT_FOUND, GRPC_FAILED_PRECONDITION, "role name not found")                     \
    X(VERDICT_ROOT_MISSING, GRPC_FAILED_PRECONDITION, "root user does not exist")                  \
    X(VERDICT_NOT_LEARNER, GRPC_FAILED_PRECONDITION, "can only promote a learner member")          \
    X(VERDICT_BAD_TRANSFEREE, GRPC_FAILED_PRECONDITION, "bad leader transferee")                   \
    X(VERDICT_COMPACTED, GRPC_OUT_OF_RANGE, "mvcc: required revision has been compacted")          \
    X(VERDICT_FUTURE_REVISION, GRPC_OUT_OF_RANGE, "mvcc: required revision is a future revision")  \
    X(VERDICT_LEASE_TTL_TOO_LARGE, GRPC_OUT_OF_RANGE, "too large lease TTL")                       \
    X(VERDICT_NO_LEADER, GRPC_UNAVAILABLE, "no leader")                                            \
    X(VERDICT_STOPPED, GRPC_UNAVAILABLE, "server stopped")                                         \
    X(VERDICT_TIMEOUT, GRPC_UNAVAILABLE, "request timed out")                                      \
    X(VERDICT_CORRUPT, GRPC_DATA_LOSS, "corrupt cluster")                                          \
    X(VERDICT_DISK_FAILED, GRPC_UNKNOWN,                                                           \
      "the disk failed; whether this write happened is unknown until the member was restarted")    \
    X(VERDICT_HALTED, GRPC_UNKNOWN,                                                                \
      "the disk failed: no write is accepted until the member was restarted")                      \
    X(VERDICT_FATE_UNKNOWN, GRPC_UNKNOWN,                                                          \
      "the member stops; whether this write happened is unknown")                                  \
    X(VERDICT_ANSWER_TOO_LARGE, GRPC_UNKNOWN,                                                      \
      "the answer is too large; what was to be written is written")                                \
    X(VERDICT_UNREADABLE, GRPC_DATA_LOSS, "history cannot be read from the disk")

enum verdict {
#define X(name, code, text) name,
    VERDICT_LIST(X)
#undef X
};

enum grpc_code verdict_code(enum verdict v);
/* Without "etcdserver: ". Static, never NULL. */
const char *verdict_text(enum verdict v);

#endif
