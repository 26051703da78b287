/* What the other side tells, and what this side answers with. Both forms are described in
 * stream.go. */
#ifndef WARREN_INTEROP_RAFT_ORACLE_WIRE_H
#define WARREN_INTEROP_RAFT_ORACLE_WIRE_H

#include "core/message.h"
#include "core/raft.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- events ----------------------------------------------------------------------------------- */

enum op {
    OP_RESET,
    OP_SEED,
    OP_START,
    OP_TICK,
    OP_CAMPAIGN,
    OP_PROPOSE,
    OP_CHANGE,
    OP_READ,
    OP_TRANSFER,
    OP_FORGET,
    OP_UNREACHABLE,
    OP_SNAPSHOT_STATUS,
    OP_APPLY_CHANGE,
    OP_APPLY_NOTHING,
    OP_STEP,
    OP_READY,
    OP_ADVANCE,
    OP_STORE,
    OP_SNAPSHOT,
    OP_COMPACT,
    OP_AVAILABLE,
    OP_ELECTION_TIMEOUT,
    OP_REFUSED,
    OP_COUNT
};

/* Reads behind the end end the program: both ends of the pipe are ours. */
struct reader {
    const uint8_t *data;
    size_t size;
    size_t at;
};

uint8_t read_byte(struct reader *in);
uint64_t read_number(struct reader *in);
/* With a reference; NULL where there is none, which is not an empty one. */
struct payload *read_payload(struct reader *in);
void read_configuration(struct reader *in, struct configuration_state *out);
void read_snapshot(struct reader *in, struct snapshot *out);
void read_entries(struct reader *in, struct entry_list *out);
void read_message(struct reader *in, struct raft_message *out);

/* --- states ----------------------------------------------------------------------------------- */

/* X(name, text): in stream.go's order, with its texts; the stream begins with those. */
#define TAGS(X)                                                                                    \
    X(RESULT, "result")                                                                            \
    X(HAS_READY, "has_ready")                                                                      \
    X(ROLE, "role")                                                                                \
    X(TERM, "term")                                                                                \
    X(VOTE, "vote")                                                                                \
    X(LEADER, "leader")                                                                            \
    X(TRANSFEREE, "transferee")                                                                    \
    X(COMMIT, "commit")                                                                            \
    X(APPLIED, "applied")                                                                          \
    X(LAST_INDEX, "last_index")                                                                    \
    X(LAST_TERM, "last_term")                                                                      \
    X(ELECTION_ELAPSED, "election_elapsed")                                                        \
    X(HEARTBEAT_ELAPSED, "heartbeat_elapsed")                                                      \
    X(ELECTION_TIMEOUT, "election_timeout")                                                        \
    X(IS_LEARNER, "is_learner")                                                                    \
    X(UNCOMMITTED, "uncommitted_size")                                                             \
    X(PENDING_READS, "pending_reads")                                                              \
    X(VOTER, "voter")                                                                              \
    X(OUTGOING, "outgoing")                                                                        \
    X(LEARNER, "learner")                                                                          \
    X(LEARNER_NEXT, "learner_next")                                                                \
    X(AUTO_LEAVE, "auto_leave")                                                                    \
    X(PEER, "peer")                                                                                \
    X(MATCH, "match")                                                                              \
    X(NEXT, "next")                                                                                \
    X(PROGRESS, "progress")                                                                        \
    X(SENT_COMMIT, "sent_commit")                                                                  \
    X(PENDING_SNAPSHOT, "pending_snapshot")                                                        \
    X(RECENT_ACTIVE, "recent_active")                                                              \
    X(FLOW_PAUSED, "flow_paused")                                                                  \
    X(PAUSED, "paused")                                                                            \
    X(PEER_LEARNER, "peer_learner")                                                                \
    X(INFLIGHT, "inflight")                                                                        \
    X(INFLIGHT_BYTES, "inflight_bytes")                                                            \
    X(INFLIGHT_FULL, "inflight_full")                                                              \
    X(SOFT, "soft_state")                                                                          \
    X(SOFT_LEADER, "soft_leader")                                                                  \
    X(SOFT_ROLE, "soft_role")                                                                      \
    X(HARD, "hard_state")                                                                          \
    X(HARD_TERM, "hard_term")                                                                      \
    X(HARD_VOTE, "hard_vote")                                                                      \
    X(HARD_COMMIT, "hard_commit")                                                                  \
    X(MUST_SYNC, "must_sync")                                                                      \
    X(READ, "read")                                                                                \
    X(READ_INDEX, "read_index")                                                                    \
    X(MESSAGE, "message")                                                                          \
    X(TO, "to")                                                                                    \
    X(FROM, "from")                                                                                \
    X(MESSAGE_TERM, "message_term")                                                                \
    X(LOG_TERM, "log_term")                                                                        \
    X(INDEX, "index")                                                                              \
    X(MESSAGE_COMMIT, "message_commit")                                                            \
    X(MESSAGE_VOTE, "message_vote")                                                                \
    X(REJECT, "reject")                                                                            \
    X(REJECT_HINT, "reject_hint")                                                                  \
    X(CONTEXT, "context")                                                                          \
    X(CONTEXT_HASH, "context_hash")                                                                \
    X(ENTRY, "entry")                                                                              \
    X(ENTRY_TERM, "entry_term")                                                                    \
    X(ENTRY_INDEX, "entry_index")                                                                  \
    X(ENTRY_TYPE, "entry_type")                                                                    \
    X(PAYLOAD, "payload")                                                                          \
    X(PAYLOAD_HASH, "payload_hash")                                                                \
    X(RESPONSES, "responses")                                                                      \
    X(SNAPSHOT, "snapshot")                                                                        \
    X(SNAPSHOT_TERM, "snapshot_term")                                                              \
    X(ENTRIES, "entries")                                                                          \
    X(COMMITTED, "committed")

enum tag {
#define X(name, text) TAG_##name,
    TAGS(X)
#undef X
    TAG_COUNT
};

const char *tag_text(unsigned tag);

struct dump {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

void dump_state(struct dump *d, const struct raft *r, uint64_t result);
void dump_ready(struct dump *d, const struct raft_ready *ready);
/* Says on stdout where the two first differ, and both whole. WHERE ends in ": ". */
void dump_report(const char *where, const uint8_t *theirs, size_t their_size,
                 const struct dump *ours);

#endif
