/* The node: takes proposals, makes them durable, applies them in order.
 *
 * So far the node is the single voter of its cluster: a proposal is committed once it is on its own
 * disk. The interface is the replicated node's: callers learn of a proposal's fate only by a
 * callback, a read asks for permission (node_read), and roles may change at any time
 * (node_status). All on the loop thread.
 *
 * Path of a proposal: queued -> in one transaction with all others queued meanwhile -> durable ->
 * machine->apply, in log order -> the proposer's DONE, within the apply. A proposal is never
 * applied before it is durable. A proposal whose fate is not known is reported as unknown, never as
 * failed.
 */
#ifndef WARREN_CONSENSUS_NODE_H
#define WARREN_CONSENSUS_NODE_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "consensus/journal.h"

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum log_entry_type {
    ENTRY_COMMAND = 1, /* for the machine */
    ENTRY_EMPTY,       /* a leader's first entry of its term */
};

enum {
    NODE_MAX_PENDING = 50000,          /* proposals not yet applied; beyond: ERR_LIMIT */
    NODE_MAX_PENDING_SIZE = 256 << 20, /* their bytes */
};

struct node;
struct node_proposal;

/* The state machine above the log. */
struct node_machine {
    /* Feeds one row of the tables at the start, then every committed entry after the applied index.
     */
    enum err (*load)(void *context, const struct journal_effect *row);
    enum err (*loaded)(void *context);
    /* Applies the command at INDEX. PROPOSAL is the tag it was proposed with here, NULL for one
     * that comes from the log alone (a restart, another member). The machine stages its effects
     * itself (node_stage) before it returns. An error other than OK means that the machine is no
     * longer equal to the log: the node halts. */
    enum err (*apply)(void *context, uint64_t index, uint64_t term, struct bytes command,
                      void *proposal);
    /* PROPOSAL will not be applied under its tag. ERR_CLOSED: the node stops, its fate is unknown;
     * ERR_IO: the disk failed, its fate is unknown; ERR_NO_SPACE...: it certainly did not happen.
     */
    void (*dropped)(void *context, void *proposal, enum err why);
    /* A run of applies is over and the loop goes on to other things: time to push what they made.
     */
    void (*settled)(void *context);
    void *context;
};

struct node_config {
    uv_loop_t *loop;
    struct journal *journal; /* open, with an identity; outlives the node */
    struct node_machine machine;
};

/* Loads the tables into the machine and replays the log behind them. ERROR gets lines for a user.
 * ERR_MALFORMED, ERR_IO, ERR_NO_MEMORY. */
enum err node_create(struct node **out, const struct node_config *config,
                     struct strbuf *error) MUST_CHECK;
/* Proposals not applied are dropped with ERR_CLOSED. */
void node_destroy(struct node *n);

/* COMMAND is copied. ERR_LIMIT (NODE_MAX_PENDING), ERR_IO (halted), ERR_NO_MEMORY, ERR_REFUSED (no
 * leader): it certainly did not happen, and the machine hears nothing of it. */
enum err node_propose(struct node *n, struct bytes command, void *proposal) MUST_CHECK;

/* Stages effects of the command that is being applied. */
enum err node_stage(struct node *n, const struct journal_effect *effects, size_t count) MUST_CHECK;
/* Effects that belong to no entry (the purge after a compaction). */
enum err node_stage_more(struct node *n, const struct journal_effect *effects,
                         size_t count) MUST_CHECK;

/* Calls DONE when a read of the machine's state, made within DONE, is linearizable: at once for a
 * single voter, halted or not. ERR_REFUSED: no leader. May call DONE before it returns. */
void node_read(struct node *n, void (*done)(void *context, enum err outcome), void *context);

struct node_status {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t leader; /* 0: none */
    uint64_t term;
    uint64_t last_index;
    uint64_t committed;
    uint64_t applied;
    size_t pending;
    uint64_t proposals_failed;
    bool halted;
};
void node_status(const struct node *n, struct node_status *out);

#endif
