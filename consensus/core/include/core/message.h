/* What members say to each other, and the core to its own storage.
 *
 * A value with one type and the union of all types' fields, as in raftpb, so that a trace can be
 * compared line by line. Who a message is FROM is authenticated by the transport, but for the three
 * that are handed on by a follower to its leader and keep their sender: MESSAGE_PROPOSAL,
 * MESSAGE_READ_INDEX (from: who asked) and MESSAGE_TRANSFER (from: the target). The owner never
 * steps a message of the network that is from ourselves or from a RAFT_..._THREAD. */
#ifndef WARREN_CORE_MESSAGE_H
#define WARREN_CORE_MESSAGE_H

#include "base/attr.h"
#include "base/err.h"
#include "core/configuration.h"
#include "core/entry.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Ids that are no member's. */
#define RAFT_NONE          UINT64_C(0)
#define RAFT_APPEND_THREAD UINT64_MAX       /* who answers MESSAGE_STORE */
#define RAFT_APPLY_THREAD  (UINT64_MAX - 1) /* who answers MESSAGE_APPLY */

/* Terms and indexes above it are refused: they are also SQLite's integers, and sums cannot wrap. */
#define RAFT_MAX_NUMBER UINT64_C(0x7ffffffffffffffe)

/* X(name, raftpb's name), in raftpb's order, whose numbers these are. */
#define MESSAGE_TYPES(X)                                                                           \
    X(MESSAGE_CAMPAIGN, "MsgHup")                                                                  \
    X(MESSAGE_BEAT, "MsgBeat")                                                                     \
    X(MESSAGE_PROPOSAL, "MsgProp")                                                                 \
    X(MESSAGE_APPEND, "MsgApp")                                                                    \
    X(MESSAGE_APPEND_RESPONSE, "MsgAppResp")                                                       \
    X(MESSAGE_VOTE, "MsgVote")                                                                     \
    X(MESSAGE_VOTE_RESPONSE, "MsgVoteResp")                                                        \
    X(MESSAGE_SNAPSHOT, "MsgSnap")                                                                 \
    X(MESSAGE_HEARTBEAT, "MsgHeartbeat")                                                           \
    X(MESSAGE_HEARTBEAT_RESPONSE, "MsgHeartbeatResp")                                              \
    X(MESSAGE_UNREACHABLE, "MsgUnreachable")                                                       \
    X(MESSAGE_SNAPSHOT_STATUS, "MsgSnapStatus")                                                    \
    X(MESSAGE_CHECK_QUORUM, "MsgCheckQuorum")                                                      \
    X(MESSAGE_TRANSFER, "MsgTransferLeader")                                                       \
    X(MESSAGE_TIMEOUT_NOW, "MsgTimeoutNow")                                                        \
    X(MESSAGE_READ_INDEX, "MsgReadIndex")                                                          \
    X(MESSAGE_READ_INDEX_RESPONSE, "MsgReadIndexResp")                                             \
    X(MESSAGE_PRE_VOTE, "MsgPreVote")                                                              \
    X(MESSAGE_PRE_VOTE_RESPONSE, "MsgPreVoteResp")                                                 \
    X(MESSAGE_STORE, "MsgStorageAppend")                                                           \
    X(MESSAGE_STORE_RESPONSE, "MsgStorageAppendResp")                                              \
    X(MESSAGE_APPLY, "MsgStorageApply")                                                            \
    X(MESSAGE_APPLY_RESPONSE, "MsgStorageApplyResp")                                               \
    X(MESSAGE_FORGET_LEADER, "MsgForgetLeader")

enum message_type {
#define X(name, text) name,
    MESSAGE_TYPES(X)
#undef X
    MESSAGE_TYPE_COUNT
};

/* raftpb's name: static, never NULL, also for a number that is no type. */
const char *message_type_text(enum message_type type);
/* Whether a message of TYPE may come from another member; of a number that is no type: not. All
 * others we say to ourselves alone. */
bool message_crosses_network(enum message_type type);

/* The place of a snapshot in the log. Its content is the owner's affair. */
struct snapshot {
    uint64_t index;
    uint64_t term;
    struct configuration_state configuration; /* as of INDEX */
};

struct raft_message {
    enum message_type type;
    bool reject;
    uint64_t to;
    uint64_t from;
    uint64_t term;     /* 0: none, of a message that is not for one term */
    uint64_t log_term; /* of the entry INDEX */
    uint64_t index;
    uint64_t commit;
    uint64_t vote;        /* MESSAGE_STORE alone */
    uint64_t reject_hint; /* where the log of who rejects could match */
    struct entry_list entries;
    struct snapshot *snapshot; /* NULL: none */
    struct payload *context;
    /* MESSAGE_STORE, MESSAGE_APPLY: to be delivered once it is done. */
    struct raft_message *responses;
    size_t response_count;
};

/* A copy that shares nothing but counted payloads. ERR_NO_MEMORY: OUT is all zero. */
enum err message_copy(struct raft_message *out, const struct raft_message *m) MUST_CHECK;
/* Of a message that owns what it holds; leaves it all zero. */
void message_fini(struct raft_message *m);

/* Owns its messages. All zero: empty. */
struct message_list {
    struct raft_message *items;
    size_t count;
    size_t capacity;
};

/* Takes over what M owns and leaves M all zero, also on failure. ERR_NO_MEMORY. */
enum err message_list_take(struct message_list *list, struct raft_message *m) MUST_CHECK;
void message_list_fini(struct message_list *list);

#endif
