/* The node: one member of a cluster. It drives the Raft core (core/raft.h) with the journal as its
 * storage, takes proposals, and applies what is committed, in order, to a machine.
 *
 * Model: everything that happens in one turn of the loop (proposals, reads, messages of members,
 * finished writes) is gathered; at the turn's end the core says what is to be done, and that is one
 * append and one transaction. Path of a proposal: queued -> in the leader's log -> durable on a
 * majority and here -> machine.apply, in log order, with its tag on the member that it was proposed
 * on. A single voter is a cluster of one on the same path.
 *
 * Invariants:
 * - Nothing is applied, acknowledged, voted or told to a member before the write that makes it true
 *   is durable here; hard state, log entries, effects, configuration and applied index go in one
 *   transaction, so the tables are never ahead of the log.
 * - A proposal carries its origin and a number that no other proposal has, over restarts, too. The
 *   node proposes it once and never again by itself. Its proposer hears of it at most once: applied
 *   under its tag, or dropped, where "certainly not" and "unknown" are told apart.
 * - A read that was allowed (node_read) sees every write acknowledged before it was asked, by any
 *   member; clocks have no part in it.
 * - After an input/output error the node is halted: no vote, no append, no message; what was
 *   applied can still be read. On a full disk nothing is acknowledged and the journal tries the
 *   identical write again; a leader hands its office to a member whose disk works.
 *
 * Snapshots: there are none yet. A member that needs entries which its leader has cut from its log
 * (beyond NODE_KEPT_ENTRIES and NODE_KEPT_SIZE) cannot catch up; the leader logs that once a
 * minute.
 *
 * Threads: all on the loop thread. Callbacks come from the loop, but where it is said otherwise;
 * within them every function here may be called, node_destroy included. */
#ifndef WARREN_CONSENSUS_NODE_H
#define WARREN_CONSENSUS_NODE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "consensus/journal.h"
#include "core/configuration.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

/* Of the journal's rows; the numbers are part of its format. */
enum log_entry_type {
    ENTRY_COMMAND = 1, /* a command alone, of no known origin: what a single voter once wrote */
    ENTRY_EMPTY,       /* a leader's first entry of its term */
    ENTRY_PROPOSAL,    /* a command behind its origin and number */
    ENTRY_ONE_CHANGE,  /* of the configuration: core/entry.h's ENTRY_CHANGE_V1 */
    ENTRY_CHANGES,     /* ENTRY_CHANGE */
    ENTRY_NO_CHANGE,   /* ENTRY_REFUSED_CHANGE */
};

enum {
    NODE_MAX_PENDING = 50000,          /* proposals not yet applied; beyond: ERR_LIMIT */
    NODE_MAX_PENDING_SIZE = 256 << 20, /* their bytes */
    NODE_MAX_READS = 50000,            /* waiting to be allowed; beyond: ERR_LIMIT */
    NODE_MAX_BATCH_SIZE = 1 << 20,     /* bytes of entries in one message; one entry always goes */
    NODE_MAX_INFLIGHT = 256,           /* appends on their way to one member */
    NODE_MAX_INFLIGHT_SIZE = 8 << 20,  /* and their bytes */
    NODE_TAIL_SIZE = 8 << 20,          /* of the log's applied end, kept in memory for followers */
    NODE_TAIL_LIMIT = 64 << 20,        /* with what is not applied yet; older is read from disk */
    /* What is kept of the applied log, at least and up to twice as much, whichever is less. A
     * cluster of one keeps it only to have something to read after a fault. */
    NODE_KEPT_ENTRIES = 25000,
    NODE_KEPT_SIZE = 64 << 20,
    NODE_KEPT_ENTRIES_ALONE = 2500,
    NODE_KEPT_SIZE_ALONE = 32 << 20,
    NODE_HEARTBEAT_MS = 100, /* defaults, etcd's */
    NODE_ELECTION_MS = 1000,
    NODE_PATIENCE_MS = 5000,   /* and two election time-outs: then a proposal's fate is unknown, and
                                * a read refused */
    NODE_READ_RETRY_MS = 500,  /* a read that nobody confirmed is asked again */
    NODE_LOG_EVERY_MS = 60000, /* a line about one and the same trouble */
};

struct node;

/* The state machine above the log. Those marked optional may be NULL. */
struct node_machine {
    /* Feeds one row of the tables at the start, within node_create, then every committed entry
     * after the applied index. */
    enum err (*load)(void *context, const struct journal_effect *row);
    enum err (*loaded)(void *context); /* optional */
    /* Applies the command at INDEX. PROPOSAL is the tag it was proposed with here, NULL for one
     * that comes from the log alone (a restart, another member, a fate told as unknown before). The
     * machine stages its effects itself (node_stage) before it returns. An error other than OK
     * means that the machine is no longer equal to the log: the node halts. */
    enum err (*apply)(void *context, uint64_t index, uint64_t term, struct bytes command,
                      void *proposal);
    /* PROPOSAL will not be applied under its tag.
     * It certainly did not happen: ERR_REFUSED: no leader, or leadership is being handed over;
     * ERR_INVALID: a change of the configuration that the leader refused, since it contradicts the
     * one in force or another one is not applied yet.
     * Its fate is unknown: ERR_CLOSED: the node stops, the leader changed, or it took too long;
     * ERR_IO: halted. Optional. */
    void (*dropped)(void *context, void *proposal, enum err why);
    /* A run of applies is over and the loop goes on to other things: time to push what they made.
     * Optional. */
    void (*settled)(void *context);
    /* Optional. The change at INDEX was applied, and NOW is in force; with a verdict other than
     * CHANGE_OK it contradicts the configuration, on every member alike, and nothing changed.
     * CHANGE's context is the proposer's, empty where Raft itself left a joint configuration. May
     * stage effects. Errors as apply's. */
    enum err (*changed)(void *context, uint64_t index, const struct configuration_change *change,
                        enum change_verdict verdict, const struct configuration_state *now,
                        void *proposal);
    /* Optional. Whether we lead, or who does (0: nobody), or the term is another than it was. A
     * leader may find committed entries of before that are not applied yet. Of a single voter only
     * its election is told. */
    void (*on_role)(void *context, bool is_leader, uint64_t leader, uint64_t term);
    void *context;
};

/* How messages go to other members. */
struct node_link {
    /* Sends BYTES (borrowed) of TYPE to the member TO, or loses them. An error: they are lost, and
     * the member is taken for unreachable for now. Called from within node_receive and from the
     * loop. It may call nothing of the node but node_unreachable. */
    enum err (*send)(void *context, uint64_t to, uint16_t type, struct bytes bytes);
    void *context;
};

/* Type numbers of a link's messages. */
enum node_message_type {
    NODE_MESSAGE_RAFT = 1, /* consensus/message_codec.h */
};

struct node_config {
    uv_loop_t *loop;
    struct journal *journal; /* open, with an identity; outlives the node */
    struct node_machine machine;
    struct node_link link;          /* send NULL: nothing can be sent */
    unsigned heartbeat_interval_ms; /* 0: NODE_HEARTBEAT_MS */
    unsigned election_timeout_ms;   /* at least twice that; 0: NODE_ELECTION_MS */
    /* Any 64 bits, for election time-outs and for the numbers of proposals, which must be others in
     * each run. NULL: the kernel's. */
    uint64_t (*random)(void *context);
    void *random_context;
};

/* Gives a new journal its identity, and a log that begins with VOTERS: each a change that adds one,
 * in term 1 and committed, the same on every member that the cluster begins with. A member that
 * joins later has none of it (journal_set_identity): it gets the log from the others. Durable on
 * return; does nothing if the journal has this identity. ERR_INVALID: nobody begins it; others as
 * journal_set_identity. */
enum err node_bootstrap(struct journal *journal, uint64_t cluster_id, uint64_t member_id,
                        const struct id_set *voters, struct strbuf *error) MUST_CHECK;

/* Loads the tables into the machine and applies what is known to be committed behind them: all of
 * the log for a single voter. ERROR gets lines for a user. ERR_MALFORMED, ERR_IO, ERR_NO_MEMORY,
 * ERR_INVALID (the times). A single voter begins its election at once. */
enum err node_create(struct node **out, const struct node_config *config,
                     struct strbuf *error) MUST_CHECK;
/* Proposals not applied are dropped with ERR_CLOSED, reads refused. The memory goes once the
 * journal has answered and the loop has closed the handles. */
void node_destroy(struct node *n);

/* COMMAND is copied. ERR_LIMIT (NODE_MAX_PENDING), ERR_IO (halted), ERR_NO_MEMORY, ERR_REFUSED (no
 * leader is known): it certainly did not happen, and the machine hears nothing of it. A follower
 * hands it on to its leader; a single voter that is not elected yet keeps it until it is. */
enum err node_propose(struct node *n, struct bytes command, void *proposal) MUST_CHECK;
/* Proposes a change of the configuration under a tag; its end is machine.changed or
 * machine.dropped. CHANGE's context is the owner's, copied. ERR_REFUSED: we do not lead;
 * ERR_INVALID: it makes no sense, or too few of the present voters would stay to go on without
 * those who leave; others as node_propose. */
enum err node_propose_change(struct node *n, const struct configuration_change *change,
                             void *proposal) MUST_CHECK;
/* As leader: begins to hand leadership over; while that lasts, at most an election time-out,
 * proposals are refused. TO 0: to the voter whose log is the longest. ERR_REFUSED: we do not lead;
 * ERR_NOT_FOUND: TO is no other voter. */
enum err node_transfer(struct node *n, uint64_t to) MUST_CHECK;

/* Stages effects of the command (or change) that is being applied. */
enum err node_stage(struct node *n, const struct journal_effect *effects, size_t count) MUST_CHECK;
/* Effects that belong to no entry (the purge after a compaction). */
enum err node_stage_more(struct node *n, const struct journal_effect *effects,
                         size_t count) MUST_CHECK;

/* Calls DONE when a read of the machine's state, made within DONE, is linearizable: at once for a
 * single voter, halted or not. ERR_REFUSED: no leader confirmed it in time, or we are halted;
 * ERR_LIMIT (NODE_MAX_READS); ERR_NO_MEMORY. May call DONE before it returns. */
void node_read(struct node *n, void (*done)(void *context, enum err outcome), void *context);

/* A message of TYPE came from the member FROM, which the link has authenticated. ERR_MALFORMED: not
 * what a correct member sends; ERR_UNSUPPORTED: of a type that we do not know, or a snapshot's. */
enum err node_receive(struct node *n, uint64_t from, uint16_t type, struct bytes bytes) MUST_CHECK;
/* Messages to ID may be lost. */
void node_unreachable(struct node *n, uint64_t id);

struct node_status {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t leader; /* 0: none, or we are halted. A single voter that is not halted: itself */
    uint64_t term;
    uint64_t first_index; /* of the log */
    uint64_t last_index;
    uint64_t committed;
    uint64_t applied;
    size_t pending;
    uint64_t proposals_failed;
    bool halted;
    bool is_leader; /* elected, and not halted */
    bool is_learner;
    struct configuration_state configuration; /* as of APPLIED */
};
void node_status(const struct node *n, struct node_status *out);

#endif
