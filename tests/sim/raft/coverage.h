/* Rare states, counted. A set of runs in which one that is required (R) never occurred proves
 * nothing, and fails. */
#ifndef WARREN_TESTS_SIM_RAFT_COVERAGE_H
#define WARREN_TESTS_SIM_RAFT_COVERAGE_H

#include <stdbool.h>
#include <stdint.h>

/* X(name, required, text) */
#define COVERAGE_LIST(X)                                                                           \
    X(ELECTION, 1, "a leader was elected")                                                         \
    X(SPLIT_VOTE, 1, "an election without a winner")                                               \
    X(CANDIDATE_BEATEN, 1, "a candidate became a follower")                                        \
    X(PRE_VOTE_REJECTED_HIGHER, 1, "a pre-vote rejected with a higher term")                       \
    X(VOTE_LOST_IN_CRASH, 1, "a vote that was not durable was lost")                               \
    X(OLD_TERM_MAJORITY, 1, "an old term's entry on a majority, not committed")                    \
    X(OLD_TERM_MAJORITY_LOST, 1, "an old term's entry on a majority of disks, later truncated")    \
    X(STALE_TAIL_ACKED, 1, "an append acknowledged below an uncommitted tail")                     \
    X(CONFLICT, 1, "a log's tail was replaced")                                                    \
    X(CONFLICT_LONG, 1, "a log's tail of ten entries or more was replaced")                        \
    X(STALE_APPEND, 1, "an append below the commit index")                                         \
    X(APPEND_REJECTED, 1, "an append was rejected")                                                \
    X(INFLIGHT_FULL, 1, "a window of appends was full")                                            \
    X(REMOTE_QUORUM, 1, "committed while the leader's own disk lagged")                            \
    X(STORE_ABA, 1, "entries replaced while their write was under way")                            \
    X(SUFFIX_LOST, 1, "a crash lost entries that were not durable")                                \
    X(SURVIVED_UNACKNOWLEDGED, 1, "a write survived a crash unanswered")                           \
    X(ENTRY_REFUSED_BY_LIMIT, 1, "a proposal beyond the limit of uncommitted bytes")               \
    X(APPLY_PAGE, 1, "committed entries handed out in several pages")                              \
    X(CHANGE_APPLIED, 1, "a change of the configuration")                                          \
    X(CHANGE_REFUSED_BY_LEADER, 1, "a change of the configuration refused by the leader")          \
    X(CHANGE_REFUSED_BY_OWNER, 1, "a change refused that leaves no quorum of the voters")          \
    X(CHANGE_ROLLED_BACK, 1, "a change of the configuration truncated from a log")                 \
    X(CHANGE_PENDING_AT_RESTART, 1, "restart with a change that was not applied")                  \
    X(CHANGE_PENDING_AT_ELECTION, 1, "a leader elected with a change that was not applied")        \
    X(JOINT, 1, "a joint configuration")                                                           \
    X(JOINT_LEFT_BY_ANOTHER, 1, "a joint configuration left by another leader")                    \
    X(LEADER_REMOVED, 1, "a leader applied its own removal")                                       \
    X(LEADER_DEMOTED, 1, "a leader applied its own demotion")                                      \
    X(REMOVED_CAME_BACK, 1, "a removed member was added again, with its disk")                     \
    X(ONE_VOTER, 1, "a configuration of one voter")                                                \
    X(LEARNER_PROMOTED, 1, "a learner became a voter")                                             \
    X(LEARNER_VOTED, 1, "a member voted that knew itself as a learner or not at all")              \
    X(TRANSFER_DONE, 1, "a leadership was transferred")                                            \
    X(TRANSFER_LAGGING, 1, "a transfer to a member that lagged")                                   \
    X(TRANSFER_ABORTED, 1, "a transfer was given up")                                              \
    X(PROPOSAL_DURING_TRANSFER, 1, "a proposal refused during a transfer")                         \
    X(SNAPSHOT_INSTALLED, 1, "a snapshot was installed")                                           \
    X(SNAPSHOT_CUT, 1, "a snapshot's stream was cut")                                              \
    X(SNAPSHOT_STALE, 1, "a snapshot at or below the commit index")                                \
    X(SNAPSHOT_IN_ELECTION, 1, "a snapshot arrived in an election")                                \
    X(SNAPSHOT_TWO_LEADERS, 1, "snapshots from two leaders on their way to one member")            \
    X(SNAPSHOT_CRASHED, 1, "a crash before a snapshot was installed")                              \
    X(SNAPSHOT_REPORTED_WRONG, 1, "a snapshot reported failed that arrived")                       \
    X(SNAPSHOT_CHANGES_CONFIGURATION, 1, "a snapshot with another configuration")                  \
    X(COMPACTED, 1, "a log was compacted")                                                         \
    X(COMPACTED_EMPTY, 1, "a log was compacted to empty")                                          \
    X(READ_DONE, 1, "a linearizable read was answered")                                            \
    X(READ_OVER_LEADER_CHANGE, 1, "a read pending over a change of leader")                        \
    X(READ_RETRIED_SAME_CONTEXT, 1, "a read asked again with the same context")                    \
    X(READ_WAITED_FOR_APPLY, 1, "a read that had to wait for the machine")                         \
    X(READ_REMOTE, 1, "a read answered by a follower")                                             \
    X(WRITE_ACKED, 1, "a write was acknowledged")                                                  \
    X(WRITE_DUPLICATE, 1, "a write in the log more than once, done once")                          \
    X(WRITE_UNKNOWN_DONE, 1, "a write of unknown outcome that was done")                           \
    X(PROPOSAL_FORWARDED, 1, "a proposal was forwarded")                                           \
    X(PROPOSAL_REFUSED, 1, "a proposal was refused")                                               \
    X(CRASH, 1, "a crash")                                                                         \
    X(CRASH_OF_LEADER, 1, "a crash of a leader")                                                   \
    X(CRASH_OF_ALL, 1, "a crash of all at once")                                                   \
    X(ONE_WAY_CUT_OF_LEADER, 1, "a one-way cut of a leader")                                       \
    X(TWO_LEADERS, 1, "two leaders at once, of different terms")                                   \
    X(LEADER_PAUSED, 1, "a leader was paused for longer than an election")                         \
    X(DISK_FULL, 1, "a write failed for want of space, and was done later")                        \
    X(DISK_FULL_LEADER, 1, "a leader's disk was full")                                             \
    X(DISK_FAILED, 1, "a write failed for good: halted")                                           \
    X(DAMAGED, 1, "a damaged disk was detected")                                                   \
    X(ROLLED_BACK, 1, "a rolled-back disk was detected")                                           \
    X(REPLACED, 1, "a lost member was replaced under a new id")                                    \
    X(HOSTILE_REFUSED, 1, "a hostile message was refused")                                         \
    X(SYNC_STORAGE, 1, "a run without asynchronous storage")

enum coverage {
#define X(name, required, text) COVERAGE_##name,
    COVERAGE_LIST(X)
#undef X
    COVERAGE_COUNT
};

struct coverage_counts {
    uint64_t of[COVERAGE_COUNT];
};

const char *coverage_text(enum coverage c);
bool coverage_required(enum coverage c);

#endif
