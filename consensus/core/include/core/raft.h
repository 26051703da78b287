/* Raft as a pure step function.
 *
 * The algorithm is etcd-io/raft's, version 3.7 (https://github.com/etcd-io/raft, and Ongaro's
 * thesis), so that the two can be compared event by event: PreVote, CheckQuorum, learners, joint
 * consensus whose configuration takes effect when it is applied, leadership transfer, ReadIndex
 * confirmed by the leader's own rising tokens (never by clocks), step-down on removal, and storage
 * that answers later.
 *
 * Pure: no I/O, no clock, no randomness, no threads, no mutable global. The owner feeds it ticks,
 * messages and answers of the storage, and carries out what raft_ready hands out. The same inputs
 * give the same outputs, byte for byte.
 *
 * Contract with the owner, in one turn:
 *   1. raft_tick, raft_step, raft_propose, ...: any number of them;
 *   2. raft_has_ready, then raft_ready: what is to be done. It counts as taken: the next ready
 *      starts behind it;
 *   3. messages to other members may be sent at once, all but MESSAGE_VOTE: that waits for the
 *      MESSAGE_STORE of its ready. A candidate whose request was faster than its disk could crash
 *      and win the same term a second time, with other entries;
 *   4. MESSAGE_STORE (entries, hard state, snapshot) is made durable, in the order they were handed
 *      out; only then the messages among its responses may be delivered, to others and to
 *      ourselves (raft_step);
 *   5. MESSAGE_APPLY (committed entries) is applied, in order; then its response is stepped. With
 *      asynchronous storage only entries that are durable here are handed out.
 * In the other mode (config.async_storage false) everything of one ready is carried out before
 * raft_advance, which stands for all responses to ourselves; `messages` then holds the messages of
 * point 4, too, and may be sent only behind the durable write.
 *
 * Invariants: term, commit and applied never fall; applied <= commit <= last index; match < next;
 * a message that states a vote, or entries as ours, is never handed out but behind the write that
 * makes it true; an entry is committed only when a quorum has it durable and it, or a later one,
 * is of the leader's own term (thesis figure 3.7).
 *
 * Memory: payloads are counted references (core/entry.h); everything else belongs to the core.
 * What raft_ready hands out stays as it is until the next raft_ready or raft_destroy, whatever is
 * called in between; the owner copies what it keeps longer (message_copy). When memory runs out or
 * the storage fails to read, the core stops for good: raft_ready hands out nothing any more, every
 * call says that error again, and only a restart from the storage goes on.
 *
 * Bytes from members are hostile: a message that no correct member sends is refused with
 * ERR_MALFORMED and changes nothing; a bug of ours asserts. */
#ifndef WARREN_CORE_RAFT_H
#define WARREN_CORE_RAFT_H

#include "base/attr.h"
#include "base/err.h"
#include "core/configuration.h"
#include "core/entry.h"
#include "core/hard_state.h"
#include "core/message.h"
#include "core/progress.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RAFT_MAX_PENDING_READS = 16384 /* of one leader; more are refused */
};

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_CANDIDATE,
    RAFT_LEADER,
    RAFT_PRE_CANDIDATE
};

/* What is durable here. Reads only; called from within any function of the core. */
struct raft_storage {
    void *context;
    /* Of the log: first is last + 1 where it is empty. The entry before the first is known by its
     * term alone (the snapshot's). */
    uint64_t (*first_index)(void *context);
    uint64_t (*last_index)(void *context);
    /* For first - 1 <= INDEX <= last. ERR_NOT_FOUND: compacted; ERR_INVALID: behind the last. */
    enum err (*term)(void *context, uint64_t index, uint64_t *term);
    /* Entries LO <= index < HI appended to OUT, at least one, then as long as their sizes
     * (entry_size) stay within MAX_SIZE. ERR_NOT_FOUND: LO is compacted; ERR_INVALID: HI is behind
     * the last + 1; ERR_NO_MEMORY; ERR_IO. */
    enum err (*entries)(void *context, uint64_t lo, uint64_t hi, uint64_t max_size,
                        struct entry_list *out);
    /* The newest snapshot's place. ERR_UNSUPPORTED: there is none now, ask again. */
    enum err (*snapshot)(void *context, struct snapshot *out);
};

struct raft_config {
    uint64_t id;
    unsigned election_ticks;       /* more than heartbeat_ticks */
    unsigned heartbeat_ticks;      /* at least 1 */
    uint64_t max_message_size;     /* bytes of entries in one message (entry_size); 0: one entry */
    uint64_t max_applying_size;    /* bytes handed out to be applied; 0: max_message_size */
    uint64_t max_uncommitted_size; /* bytes of payloads of a leader's tail; 0: no limit */
    size_t max_inflight;           /* appends to one member on their way; at least 1 */
    uint64_t max_inflight_size;    /* and their bytes, not below max_message_size; 0: no limit */
    bool async_storage;
    bool check_quorum;
    bool pre_vote;
    bool no_forwarding; /* a follower refuses proposals */
    /* Only to compare with another implementation: a leader takes changes that contradict what it
     * knows, and the owner finds out when it applies them. */
    bool no_change_validation;
    bool step_down_on_removal;
    bool no_forget_leader; /* raft_forget_leader does nothing, as it would with lease reads */
    /* A number in [0, BELOW), from outside so that the core stays deterministic: the election
     * time-out is election_ticks plus it. */
    unsigned (*random)(void *context, unsigned below);
    void *random_context;
    struct raft_storage storage;
    /* What the storage says at the start. The commit index may lag behind APPLIED. */
    struct hard_state hard_state;
    struct configuration_state configuration; /* as of APPLIED */
    uint64_t applied;                         /* 0: the storage's first index - 1 */
};

struct raft;

/* ERR_INVALID: the configuration contradicts itself or the storage; ERR_NO_MEMORY. */
enum err raft_create(struct raft **out, const struct raft_config *config) MUST_CHECK;
void raft_destroy(struct raft *r);

/* --- inputs ----------------------------------------------------------------------------------- */

/* One tick of the owner's clock. */
enum err raft_tick(struct raft *r) MUST_CHECK;
/* A message from a member, or a response of the storage. Borrowed. ERR_MALFORMED: a type that only
 * we ourselves may send, or a content that no correct member sends; ERR_NOT_FOUND: a response from
 * who is no member; ERR_REFUSED: a proposal that was dropped (no leader, a transfer, the limit,
 * forwarding off): it certainly did not happen; ERR_LIMIT: a read beyond RAFT_MAX_PENDING_READS. */
enum err raft_step(struct raft *r, const struct raft_message *m) MUST_CHECK;
/* Proposes an entry with a reference to PAYLOAD (NULL: empty). Errors as raft_step's. */
enum err raft_propose(struct raft *r, struct payload *payload) MUST_CHECK;
/* The same with a change of the configuration; NULL: leave the joint one. OK does not say that the
 * leader takes it: in place of a change that contradicts what it knows (another one is not applied
 * yet; joint, or not) an ENTRY_REFUSED_CHANGE is appended. ERR_INVALID: an unknown type or
 * transition, or an is_v1 with other than one item. */
enum err raft_propose_change(struct raft *r, const struct configuration_change *c) MUST_CHECK;
/* Starts an election now, unless we lead, are no voter, or have changes of the configuration that
 * are committed and not applied. */
enum err raft_campaign(struct raft *r) MUST_CHECK;
enum err raft_transfer_leadership(struct raft *r, uint64_t to) MUST_CHECK;
/* A follower forgets its leader, so that it grants pre-votes. */
enum err raft_forget_leader(struct raft *r) MUST_CHECK;
/* Asks for an index that, once applied here, makes reads linearizable; it comes in
 * ready.read_states with CONTEXT. Dropped silently without a leader, and when the leader changes:
 * who waits asks again. ERR_LIMIT. */
enum err raft_read_index(struct raft *r, struct payload *context) MUST_CHECK;
/* A message to ID may be lost. */
enum err raft_report_unreachable(struct raft *r, uint64_t id) MUST_CHECK;
/* How the sending of a snapshot to ID ended. */
enum err raft_report_snapshot(struct raft *r, uint64_t id, bool failed) MUST_CHECK;
/* The owner applied the change C (NULL: leave the joint configuration), an entry of
 * READY.committed, and the configuration is from now on raft_configuration's. Other than CHANGE_OK
 * in VERDICT: C contradicts the configuration in force, which does not change, and every member
 * comes to the same verdict. VERDICT may be NULL. May ask storage.snapshot, so applied index and
 * configuration move together there. While a snapshot waits to be installed nothing changes: it
 * has C already, and the configuration as of the owner's applied index is the owner's to compute.
 * A leader that applies its own removal or demotion steps down (step_down_on_removal); the owner
 * refuses to propose changes after which fewer than a quorum of the present voters stay, for the
 * rest might need the vote of who left. */
enum err raft_apply_change(struct raft *r, const struct configuration_change *c,
                           enum change_verdict *verdict) MUST_CHECK;

/* --- outputs ---------------------------------------------------------------------------------- */

struct raft_read_state {
    uint64_t index;
    struct payload *context;
};

struct raft_ready {
    /* Changed since the last ready. */
    bool has_soft_state;
    uint64_t leader;
    enum raft_role role;
    bool has_hard_state;
    struct hard_state hard_state;
    bool must_sync; /* entries, vote or term changed: not only the commit index */

    const struct raft_read_state *read_states;
    size_t read_state_count;
    /* With asynchronous storage a MESSAGE_STORE and a MESSAGE_APPLY, if there is work for them, are
     * the last ones. */
    const struct raft_message *messages;
    size_t message_count;
    /* The same as those two carry. */
    struct entries entries;
    struct entries committed;
    const struct snapshot *snapshot; /* NULL: none to install */
};

bool raft_has_ready(const struct raft *r);
/* Hands out and takes as accepted. Without asynchronous storage, not before raft_advance for the
 * last one. */
enum err raft_ready(struct raft *r, struct raft_ready *out) MUST_CHECK;
/* Only without asynchronous storage: the last ready was carried out whole. */
enum err raft_advance(struct raft *r) MUST_CHECK;

/* --- looking ---------------------------------------------------------------------------------- */

struct raft_status {
    uint64_t id;
    enum raft_role role;
    uint64_t term, vote, leader, transferee; /* RAFT_NONE: none */
    uint64_t commit, applied, last_index, last_term;
    unsigned election_elapsed, heartbeat_elapsed, election_timeout;
    bool is_learner;
    uint64_t uncommitted_size;
    size_t pending_reads;
};
void raft_status(const struct raft *r, struct raft_status *out);
/* In rising order of id; NULL behind the last. Only a leader's are of use. */
const struct progress *raft_progress(const struct raft *r, size_t at);
const struct configuration_state *raft_configuration(const struct raft *r);
/* Until the next change of role or term. For transcripts and to follow another implementation. */
void raft_set_election_timeout(struct raft *r, unsigned ticks);

#endif
