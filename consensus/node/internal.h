/* The node's parts, private to this folder.
 *
 *   bootstrap.c   what the log begins with
 *   node.c        life, the turn of the loop, roles, halting, status
 *   storage.c     what the core reads: the log's end in memory, the journal behind it
 *   store.c       MESSAGE_STORE to the journal, and its responses once it is durable
 *   apply.c       MESSAGE_APPLY to the machine
 *   propose.c     proposals on their way, and their fates
 *   read.c        linearizable reads
 *   membership.c  changes of the configuration, handing leadership over
 *   network.c     messages of other members
 *   handed_on.c   proposals that followers hand on: each is taken once
 *   tick.c        time */
#ifndef WARREN_CONSENSUS_NODE_INTERNAL_H
#define WARREN_CONSENSUS_NODE_INTERNAL_H

#include "base/log.h"
#include "consensus/node.h"
#include "core/raft.h"

enum {
    NODE_BUCKETS = 4096,       /* of waiting proposals by number */
    NODE_MAX_READ_BATCHES = 8, /* asked and not confirmed */
    NODE_HEARD_NUMBERS = 4096, /* within which messages may overtake each other */
    NODE_HEARD_RUNS = 128,     /* runs of members whose proposals are told apart */
    ENVELOPE_SIZE = 17,        /* version, origin, number: in front of each command */
    ENVELOPE_VERSION = 1,
};

/* Who proposed an entry. */
struct envelope {
    uint64_t origin; /* 0: not known */
    uint64_t number;
    struct bytes content;
};

/* A proposal of ours that is not applied yet. */
struct pending {
    struct pending *next_in_bucket;
    struct pending *older, *newer;
    void *tag;
    struct payload *payload; /* until the core has it; NULL behind that */
    uint64_t number;
    uint64_t term;   /* in which the core took it */
    uint64_t index;  /* of a change: where the leader, we, put it */
    bool was_leader; /* we led then: it is in our log, and in no later term's */
    size_t size;
    uint64_t deadline_ms;
};

/* The end of the log: entries FIRST.. in a ring. */
struct tail {
    struct entry *ring;
    size_t capacity; /* a power of two, or 0 */
    size_t start;
    size_t count;
    uint64_t first; /* the index behind the last one where it is empty */
    size_t size;    /* bytes of payloads, and of the entries themselves */
};

/* The numbers of proposals that one member handed on to us as its leader, in this term: the highest
 * and, as bits, which of those just below it came. */
struct heard {
    uint64_t origin; /* 0: free */
    uint64_t highest;
    uint64_t last_use;
    uint64_t bits[NODE_HEARD_NUMBERS / 64];
};

struct store_work {
    struct store_work *next;
    struct node *node;
    struct raft_message message;
    struct message_list votes; /* asked for by the same ready: they wait for its write, too */
    uint64_t durable_to;       /* what of its entries no later write overwrites; 0: none */
    bool is_done;              /* durable, or nothing to write */
};

struct apply_work {
    struct apply_work *next;
    struct raft_message message;
    size_t at; /* the next entry */
};

struct waiting_read {
    struct waiting_read *next;
    void (*done)(void *context, enum err outcome);
    void *context;
};

struct read_batch {
    struct read_batch *next;
    struct payload *context; /* its number */
    uint64_t number;
    struct waiting_read *reads;
    uint64_t asked_ms;
    uint64_t deadline_ms;
    bool is_confirmed;
    uint64_t index; /* once confirmed: what has to be applied */
};

struct node {
    uv_loop_t *loop;
    struct journal *journal;
    struct node_machine machine;
    struct node_link link;
    uint64_t (*random)(void *context);
    void *random_context;
    unsigned heartbeat_ms, election_ms;
    uint64_t cluster_id;
    uint64_t member_id;
    struct raft *core; /* NULL while the log is replayed */

    /* As they were told last. */
    bool is_leader;
    uint64_t leader;
    uint64_t term;

    /* storage.c */
    struct tail tail;
    uint64_t log_first;
    uint64_t log_last;    /* handed to the journal */
    uint64_t durable;     /* written by it */
    uint64_t before_term; /* of the entry log_first - 1 */
    uint64_t cut_point;   /* applied index at the last cut of the log */
    size_t size_since_cut;
    struct log_entry *rows; /* scratch of a write */
    size_t row_capacity;

    /* store.c */
    struct store_work *storing;
    struct store_work **storing_end;
    struct hard_state hard; /* what the core said last; its commit may not be written yet */

    /* apply.c */
    struct apply_work *applying;
    struct apply_work **applying_end;
    struct configuration_state configuration; /* as of `applied` */
    uint64_t applied;
    uint64_t applied_term;
    bool is_applying;
    bool waits_for_room;
    bool is_unsettled;

    /* propose.c */
    struct pending *buckets[NODE_BUCKETS];
    struct pending *oldest, *newest;
    struct pending *queued; /* the oldest that the core does not have */
    size_t pending_count;
    size_t pending_size;
    uint64_t next_number;
    uint64_t proposals_failed;

    /* read.c */
    struct waiting_read *reads;
    struct waiting_read **reads_end;
    struct read_batch *batches;
    size_t read_count;

    /* membership.c */
    uint64_t full_since_ms; /* 0: the disk is not full, or we do not lead */
    uint64_t last_target;

    /* network.c */
    struct strbuf message;
    struct heard *heard; /* NODE_HEARD_RUNS, once somebody handed something on */
    uint64_t heard_term;
    uint64_t heard_count;
    uint64_t snapshot_line_ms; /* when it was logged last; 0: never */

    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_timer_t tick;
    unsigned awaited; /* answers of the journal, closing handles, calls under way */
    bool needs_turn;
    bool is_halted;
    bool is_destroyed;
};

/* node.c */
/* The turn that handles what has come up is to run. */
static inline void node_wake(struct node *n)
{
    n->needs_turn = true;
}
/* Between the two N stays, also where a callback destroys it. */
static inline void node_enter(struct node *n)
{
    n->awaited++;
}
void node_leave(struct node *n);
static inline bool node_is_over(const struct node *n)
{
    return n->is_halted || n->is_destroyed;
}
/* Nothing is written, voted or sent any more. WHY says more than journal_failure, or is NULL. */
void node_halt(struct node *n, const char *why);
/* Whether the core failed with ERROR; halts then. A refusal is no failure. */
bool node_core_failed(struct node *n, enum err error);
static inline bool node_is_alone(const struct node *n)
{
    const struct configuration_state *c = &n->configuration;
    return c->voters.count == 1 && c->voters.ids[0] == n->member_id && c->outgoing.count == 0;
}
static inline uint64_t node_patience_ms(const struct node *n)
{
    return NODE_PATIENCE_MS + 2 * (uint64_t)n->election_ms;
}

/* storage.c */
struct raft_storage node_storage(struct node *n);
void node_storage_fini(struct node *n);
/* The journal's row of E, which borrows its bytes. */
struct log_entry node_row_of_entry(const struct entry *e);
/* ERR_MALFORMED, ERR_NO_MEMORY. OUT has a reference to its payload. */
enum err node_entry_of_row(struct entry *out, const struct log_entry *row) MUST_CHECK;
/* Takes ENTRIES, which overwrite what is at their indexes. ERR_NO_MEMORY. */
enum err node_tail_add(struct node *n, struct entries entries) MUST_CHECK;
/* Drops what need not be in memory any more. */
void node_tail_trim(struct node *n);
/* What can go from the log with this write; 0: nothing. */
uint64_t node_next_cut(struct node *n);

/* store.c */
/* M is of READY, or without anything to write. */
void node_store(struct node *n, const struct raft_message *m, const struct raft_ready *ready);
/* Steps and sends the responses of what is done. */
void node_deliver_stored(struct node *n);
void node_store_fini(struct node *n);

/* apply.c */
void node_apply(struct node *n, const struct raft_message *m);
void node_apply_run(struct node *n);
/* One entry, in the turn or in a replay. */
enum err node_apply_entry(struct node *n, const struct entry *e) MUST_CHECK;
void node_apply_fini(struct node *n);

/* propose.c */
struct payload *node_envelope_create(const struct envelope *e) MUST_CHECK;
bool node_envelope_read(struct envelope *out, struct bytes bytes);
/* A new one, not in any list; NULL without memory. */
struct pending *node_pending_create(struct node *n, void *tag, size_t size) MUST_CHECK;
void node_pending_add(struct node *n, struct pending *p);
/* One that was not added. */
void node_pending_discard(struct pending *p);
/* The tag of proposal NUMBER, which is forgotten; NULL: nobody waits. */
void *node_pending_take(struct node *n, uint64_t number);
/* Why no proposal of SIZE bytes is taken now. */
enum err node_may_propose(struct node *n, size_t size) MUST_CHECK;
void node_drop(struct node *n, struct pending *p, enum err why);
void node_drop_all(struct node *n, enum err why);
/* An entry of TERM was applied: what was proposed in older terms. */
void node_drop_outdated(struct node *n, uint64_t term);
void node_drop_late(struct node *n, uint64_t now_ms);
void node_flush_proposals(struct node *n);

/* read.c */
void node_flush_reads(struct node *n);
void node_read_confirmed(struct node *n, const struct raft_read_state *s);
void node_finish_reads(struct node *n);
/* Asks again what NOW_MS, or a change of the leader (ALL), makes due; refuses what is late. */
void node_retry_reads(struct node *n, uint64_t now_ms, bool all);
void node_refuse_reads(struct node *n);

/* membership.c */
enum err node_apply_change(struct node *n, const struct entry *e) MUST_CHECK;
void node_change_refused(struct node *n, const struct entry *e);
void node_watch_disk(struct node *n, uint64_t now_ms);

/* handed_on.c */
/* Takes those of M's proposals that were not heard before into OUT, as references. False: without
 * memory, or none. */
bool node_hear(struct node *n, const struct raft_message *m, uint64_t term, struct entry_list *out);

/* network.c */
void node_send(struct node *n, const struct raft_message *m);
void node_tell_no_snapshot(struct node *n);

/* tick.c */
void node_arm_ticks(struct node *n);

#endif
