/* The state machine's own state, and what its files ask of each other.
 *
 * A file per message, or pair of a message and its answer; role.c has the transitions, step.c what
 * they have in common (terms), tracker.c the members. Failures of memory and of the storage are
 * kept in log.error and looked at once, at the end of a call and in front of a ready: what comes
 * behind the failure in the same call must be safe for memory, and no more. */
#ifndef WARREN_CORE_MACHINE_H
#define WARREN_CORE_MACHINE_H

#include "consensus/core/log.h"
#include "consensus/core/mutant.h"
#include "core/raft.h"

/* --- members (tracker.c) ---------------------------------------------------------------------- */

struct tracker {
    struct configuration_state configuration;
    struct progress members[ID_SET_MAX]; /* by rising id: all of the configuration */
    size_t count;
    struct id_set yes; /* of the election under way */
    struct id_set no;
    size_t max_inflight;
    uint64_t max_inflight_size;
};

void tracker_fini(struct tracker *t);
/* STATE is valid. Those in ADDED, and those who were no member, start anew: they are probed from
 * LAST_INDEX, and count as active until they had a chance to be. */
void tracker_set(struct tracker *t, const struct configuration_state *state,
                 const struct id_set *added, uint64_t last_index);
/* NULL: no member. */
struct progress *tracker_find(struct tracker *t, uint64_t id);
/* The index that the voters have. */
uint64_t tracker_committed(const struct tracker *t);
/* The first vote of ID counts. */
void tracker_record_vote(struct tracker *t, uint64_t id, bool granted);
enum vote_result tracker_tally(const struct tracker *t);
void tracker_reset_votes(struct tracker *t);
/* Whether a quorum was heard of. */
bool tracker_quorum_active(const struct tracker *t);

/* --- reads (read_index.c) --------------------------------------------------------------------- */

struct pending_read {
    uint64_t from; /* RAFT_NONE or our id: asked here */
    uint64_t index;
    struct payload *context;
};

struct read_queue {
    struct pending_read *items;
    size_t count;
    size_t capacity;
};

struct read_ack {
    uint64_t id;
    uint64_t token;
};

/* Reads that a heartbeat must confirm, oldest first. Their tokens count up from 1 in one term; the
 * oldest has CONFIRMED + 1. A member's answer to a heartbeat with token N confirms all up to N. */
struct reads {
    struct read_queue unconfirmed;
    uint64_t confirmed;
    struct read_ack *acks;
    size_t ack_count;
    size_t ack_capacity;
};

/* --- the machine ------------------------------------------------------------------------------ */

struct read_states {
    struct raft_read_state *items;
    size_t count;
    size_t capacity;
};

/* What the last ready pointed at. */
struct handed_out {
    struct message_list messages;
    struct read_states read_states;
    struct entry_list entries;
    struct entry_list committed;
    struct snapshot snapshot;
};

struct raft {
    uint64_t id;
    uint64_t term;
    uint64_t vote;
    struct raft_log log;
    struct tracker tracker;
    enum raft_role role;
    bool is_learner;
    uint64_t leader;
    uint64_t transferee;
    /* At or behind the last change of the configuration that may be in the log and not applied. */
    uint64_t pending_change_index;
    uint64_t uncommitted_size; /* an estimate, of a leader's payloads */

    unsigned election_elapsed; /* ticks; of a follower, since it heard of the leader */
    unsigned heartbeat_elapsed;
    unsigned election_timeout; /* ticks, drawn anew with each role */

    struct raft_config config; /* limits in effect: without the 0s that stand for others */

    struct message_list messages;
    /* That state a vote or entries of ours: only behind the write that makes them true. */
    struct message_list after_store;
    struct message_list on_advance; /* without asynchronous storage: to ourselves */
    struct read_states read_states;
    struct read_queue postponed_reads; /* until an entry of our own term is committed */
    struct reads reads;
    struct payload *transfer_context; /* marks the votes of a transfer */

    uint64_t previous_leader;
    enum raft_role previous_role;
    struct hard_state previous_hard_state;
    struct handed_out handed_out;
};

static inline bool raft_failed(const struct raft *r)
{
    return r->log.error != OK;
}

/* --- step.c ----------------------------------------------------------------------------------- */

/* A message that was checked, or is our own. */
enum err core_step(struct raft *r, const struct raft_message *m) MUST_CHECK;
/* By role alone, for what is not of a term. */
enum err core_dispatch(struct raft *r, const struct raft_message *m) MUST_CHECK;

/* --- check.c ---------------------------------------------------------------------------------- */

/* OK, ERR_MALFORMED or ERR_NOT_FOUND, as raft_step says. */
enum err core_check_message(struct raft *r, const struct raft_message *m) MUST_CHECK;

/* --- send.c ----------------------------------------------------------------------------------- */

/* Completes the message with sender and term, takes over what it owns, and queues it: behind the
 * next write if it states a vote or entries of ours. */
void core_send(struct raft *r, struct raft_message *m);

/* --- role.c ----------------------------------------------------------------------------------- */

void core_become_follower(struct raft *r, uint64_t term, uint64_t leader);
void core_become_pre_candidate(struct raft *r);
void core_become_candidate(struct raft *r);
void core_become_leader(struct raft *r);
/* Whether we may become leader. */
bool core_is_promotable(const struct raft *r);
void core_tick_election(struct raft *r);
void core_tick_heartbeat(struct raft *r);

/* --- vote.c ----------------------------------------------------------------------------------- */

enum campaign {
    CAMPAIGN_PRE_ELECTION,
    CAMPAIGN_ELECTION,
    CAMPAIGN_TRANSFER
};

/* Starts an election, unless we lead, may not, or have unapplied changes of the configuration. */
void core_campaign_if_allowed(struct raft *r, enum campaign kind);
void core_handle_vote(struct raft *r, const struct raft_message *m);
void core_handle_vote_response(struct raft *r, const struct raft_message *m);
bool core_is_transfer_vote(const struct raft *r, const struct raft_message *m);

/* --- append.c --------------------------------------------------------------------------------- */

/* True if something was sent. An append without entries only if IF_EMPTY. */
bool core_send_append(struct raft *r, struct progress *p, bool if_empty);
void core_broadcast_append(struct raft *r);
/* True if the commit index rose. */
bool core_advance_commit(struct raft *r);
void core_handle_append(struct raft *r, const struct raft_message *m);
void core_handle_append_response(struct raft *r, const struct raft_message *m, struct progress *p);

/* --- propose.c -------------------------------------------------------------------------------- */

/* As leader. ERR_REFUSED. */
enum err core_handle_proposal(struct raft *r, const struct raft_message *m) MUST_CHECK;
/* Appends copies of ENTRIES in our term. False: the limit of what may be uncommitted. */
bool core_append_own(struct raft *r, struct entries entries) MUST_CHECK;
/* Entries were applied: they no longer count against the limit. */
void core_reduce_uncommitted(struct raft *r, uint64_t size);
/* Hands M on to the leader, with its sender. */
void core_forward(struct raft *r, const struct raft_message *m);

/* --- heartbeat.c ------------------------------------------------------------------------------ */

void core_broadcast_heartbeat(struct raft *r);
void core_handle_heartbeat(struct raft *r, const struct raft_message *m);
void core_handle_heartbeat_response(struct raft *r, const struct raft_message *m,
                                    struct progress *p);
/* Steps down if no quorum was heard of since the last time. */
void core_check_quorum(struct raft *r);

/* --- snapshot.c ------------------------------------------------------------------------------- */

bool core_send_snapshot(struct raft *r, struct progress *p);
void core_handle_snapshot(struct raft *r, const struct raft_message *m);
void core_handle_snapshot_status(bool failed, struct progress *p);
void core_handle_unreachable(struct progress *p);

/* --- storage.c -------------------------------------------------------------------------------- */

void core_handle_store_response(struct raft *r, const struct raft_message *m);
void core_handle_apply_response(struct raft *r, const struct raft_message *m);
void core_handle_snapshot_stored(struct raft *r, uint64_t index);

/* --- ready.c ---------------------------------------------------------------------------------- */

void core_handed_out_fini(struct handed_out *h);

/* --- membership.c ----------------------------------------------------------------------------- */

/* The configuration is STATE from now on; ADDED as in a change_outcome. */
void core_switch_configuration(struct raft *r, const struct configuration_state *state,
                               const struct id_set *added);

/* --- transfer.c ------------------------------------------------------------------------------- */

void core_handle_transfer(struct raft *r, uint64_t target, struct progress *p);
void core_send_timeout_now(struct raft *r, uint64_t to);

/* --- read_index.c ----------------------------------------------------------------------------- */

/* As leader. ERR_LIMIT. */
enum err core_handle_read_index(struct raft *r, const struct raft_message *m) MUST_CHECK;
void core_handle_read_index_response(struct raft *r, const struct raft_message *m);
/* What postponed_reads waited for has come. */
void core_release_postponed_reads(struct raft *r);
/* What a heartbeat must carry to confirm all reads: NULL if none waits, or without memory. One
 * reference. */
struct payload *core_read_token(struct raft *r);
uint64_t core_read_newest_token(const struct raft *r);
void core_read_acknowledged(struct raft *r, uint64_t from, struct bytes token);
void core_reads_reset(struct raft *r);
void core_reads_fini(struct raft *r);
void core_read_states_fini(struct read_states *s);

#endif
