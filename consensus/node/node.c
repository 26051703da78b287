#include "internal.h"

#include <assert.h>
#include <stdlib.h>

/* --- ends ------------------------------------------------------------------------------------- */

static void free_node(struct node *n)
{
    node_store_fini(n);
    node_apply_fini(n);
    raft_destroy(n->core);
    node_storage_fini(n);
    strbuf_fini(&n->message);
    free(n->heard);
    free(n);
}

void node_leave(struct node *n)
{
    assert(n->awaited > 0);
    if (--n->awaited == 0 && n->is_destroyed)
        free_node(n);
}

/* Who leads without a disk leads nobody; a single voter stays what it is to its reads. */
static void give_up_role(struct node *n)
{
    if (node_is_alone(n) || (!n->is_leader && n->leader == RAFT_NONE))
        return;
    n->is_leader = false;
    n->leader = RAFT_NONE;
    if (n->machine.on_role != NULL)
        n->machine.on_role(n->machine.context, false, RAFT_NONE, n->term);
}

void node_halt(struct node *n, const char *why)
{
    if (n->is_halted)
        return;
    n->is_halted = true;
    if (n->is_destroyed)
        return;
    if (why != NULL)
        log_line(LOG_ERROR, "registry: the node has stopped until a restart: %s", why);
    node_enter(n);
    (void)uv_timer_stop(&n->tick);
    node_drop_all(n, ERR_IO);
    node_refuse_reads(n);
    if (!n->is_destroyed)
        give_up_role(n);
    node_leave(n);
}

bool node_core_failed(struct node *n, enum err error)
{
    if (error != ERR_NO_MEMORY && error != ERR_IO)
        return false;
    node_halt(n, error == ERR_IO ? "the log cannot be read" : err_text(error));
    return true;
}

/* --- the turn --------------------------------------------------------------------------------- */

static void note_role(struct node *n)
{
    struct raft_status status;
    raft_status(n->core, &status);
    bool is_leader = status.role == RAFT_LEADER;
    if (is_leader == n->is_leader && status.leader == n->leader && status.term == n->term)
        return;
    bool has_new_leader = status.leader != RAFT_NONE && status.leader != n->leader;
    n->is_leader = is_leader;
    n->leader = status.leader;
    n->term = status.term;
    node_arm_ticks(n);
    if (has_new_leader)
        node_retry_reads(n, uv_now(n->loop), true);
    /* A single voter leads, but for the moment until its own vote is durable. */
    bool is_news = is_leader || !node_is_alone(n);
    if (n->machine.on_role != NULL && is_news && !node_is_over(n))
        n->machine.on_role(n->machine.context, n->is_leader, n->leader, n->term);
}

static void carry_out(struct node *n, const struct raft_ready *ready)
{
    for (size_t i = 0; i < ready->read_state_count; i++)
        node_read_confirmed(n, &ready->read_states[i]);
    for (size_t i = 0; i < ready->message_count && !node_is_over(n); i++) {
        const struct raft_message *m = &ready->messages[i];
        if (m->type == MESSAGE_STORE)
            node_store(n, m, ready);
        else if (m->type == MESSAGE_VOTE)
            continue; /* goes with the MESSAGE_STORE, which has our term and vote */
        else if (m->type == MESSAGE_APPLY)
            node_apply(n, m);
        else
            node_send(n, m);
    }
    if (ready->has_soft_state || ready->has_hard_state)
        if (!node_is_over(n))
            note_role(n);
}

static void run_turn(struct node *n)
{
    for (;;) {
        node_deliver_stored(n);
        node_apply_run(n);
        node_flush_proposals(n);
        node_flush_reads(n);
        if (node_is_over(n) || !raft_has_ready(n->core))
            break;
        struct raft_ready ready;
        enum err error = raft_ready(n->core, &ready);
        if (error != OK) {
            node_halt(n, error == ERR_NO_MEMORY ? err_text(error) : "the log cannot be read");
            break;
        }
        carry_out(n, &ready);
    }
    node_finish_reads(n);
    if (!n->is_destroyed)
        journal_dispatch(n->journal);
}

/* Proposals that an apply, or its answer, brought are of the same turn. */
static void take_turn(struct node *n)
{
    if (!n->needs_turn)
        return;
    node_enter(n);
    do {
        n->needs_turn = false;
        run_turn(n);
        if (n->is_unsettled && n->machine.settled != NULL && !n->is_destroyed) {
            n->is_unsettled = false;
            n->machine.settled(n->machine.context);
        }
    } while (n->needs_turn && !node_is_over(n));
    node_leave(n);
}

/* What callbacks of sockets and of the journal brought, and what timers and idle work did. Both
 * phases, since the loop may sleep between them. */
static void on_after_poll(uv_check_t *check)
{
    take_turn(check->data);
}

static void on_before_poll(uv_prepare_t *prepare)
{
    take_turn(prepare->data);
}

/* --- the start -------------------------------------------------------------------------------- */

static enum err load_row(void *context, const struct journal_effect *row)
{
    struct node *n = context;
    return n->machine.load(n->machine.context, row);
}

/* A single voter's log is committed where it is durable; any other's, as far as the hard state
 * says. */
static uint64_t replay_limit(const struct node *n, uint64_t applied)
{
    if (node_is_alone(n))
        return n->log_last;
    return n->hard.commit > applied ? n->hard.commit : applied;
}

static enum err replay_row(void *context, const struct log_entry *row)
{
    struct node *n = context;
    struct entry e;
    if (row->index > replay_limit(n, n->applied))
        return ERR_LIMIT;
    enum err error = node_entry_of_row(&e, row);
    if (error != OK)
        return error;
    error = node_apply_entry(n, &e);
    payload_release(e.payload);
    return error;
}

static enum err replay(struct node *n, struct strbuf *error)
{
    enum err e = journal_read_log(n->journal, n->applied + 1, n->log_last, replay_row, n);
    if (e == OK || e == ERR_LIMIT)
        return OK;
    strbuf_add_format(error, "the log cannot be applied behind entry %llu: %s\n",
                      (unsigned long long)n->applied, err_text(e));
    return e;
}

static unsigned random_below(void *context, unsigned below)
{
    struct node *n = context;
    return (unsigned)(n->random(n->random_context) % below);
}

static enum err create_core(struct node *n, struct strbuf *error)
{
    if (n->hard.commit < n->applied)
        n->hard.commit = n->applied;
    struct raft_config config = {
        .id = n->member_id,
        .election_ticks = n->election_ms / n->heartbeat_ms,
        .heartbeat_ticks = 1,
        .max_message_size = NODE_MAX_BATCH_SIZE,
        .max_applying_size = 4 * NODE_MAX_BATCH_SIZE,
        .max_uncommitted_size = NODE_MAX_PENDING_SIZE,
        .max_inflight = NODE_MAX_INFLIGHT,
        .max_inflight_size = NODE_MAX_INFLIGHT_SIZE,
        .async_storage = true,
        .check_quorum = true,
        .pre_vote = true,
        .step_down_on_removal = true,
        .random = random_below,
        .random_context = n,
        .storage = node_storage(n),
        .hard_state = n->hard,
        .configuration = n->configuration,
        .applied = n->applied,
    };
    enum err e = raft_create(&n->core, &config);
    /* Nobody else will: without waiting for a time-out. */
    if (e == OK && node_is_alone(n))
        e = raft_campaign(n->core);
    if (e != OK)
        strbuf_add_format(error, "the node cannot begin behind entry %llu: %s\n",
                          (unsigned long long)n->applied, err_text(e));
    return e;
}

static uint64_t kernel_random(void *context UNUSED)
{
    uint64_t number = 0;
    int failed = uv_random(NULL, NULL, &number, sizeof(number), 0, NULL);
    assert(failed == 0); /* numbers of proposals rest on it */
    return number;
}

static bool take_config(struct node *n, const struct node_config *config)
{
    n->loop = config->loop;
    n->journal = config->journal;
    n->machine = config->machine;
    n->link = config->link;
    n->random = config->random != NULL ? config->random : kernel_random;
    n->random_context = config->random_context;
    n->heartbeat_ms =
        config->heartbeat_interval_ms > 0 ? config->heartbeat_interval_ms : NODE_HEARTBEAT_MS;
    n->election_ms =
        config->election_timeout_ms > 0 ? config->election_timeout_ms : NODE_ELECTION_MS;
    n->next_number = n->random(n->random_context);
    return n->election_ms / n->heartbeat_ms >= 2;
}

static void take_start(struct node *n)
{
    struct journal_start start;
    journal_start(n->journal, &start);
    n->cluster_id = start.cluster_id;
    n->member_id = start.member_id;
    n->configuration = start.configuration;
    n->hard = start.hard_state;
    if (n->hard.term < start.last_term)
        n->hard = (struct hard_state){.term = start.last_term, .commit = n->hard.commit};
    n->term = n->hard.term;
    n->applied = start.applied_index;
    n->log_first = n->cut_point = start.first_index;
    n->log_last = n->durable = start.last_index;
    n->before_term = start.before_term;
    n->tail.first = start.last_index + 1;
}

static void on_closed(uv_handle_t *handle)
{
    node_leave(handle->data);
}

static void open_handles(struct node *n)
{
    n->before_poll.data = n->after_poll.data = n->tick.data = n;
    (void)uv_prepare_init(n->loop, &n->before_poll); /* none of these can fail */
    (void)uv_check_init(n->loop, &n->after_poll);
    (void)uv_timer_init(n->loop, &n->tick);
    n->awaited = 3;
    uv_unref((uv_handle_t *)&n->before_poll);
    uv_unref((uv_handle_t *)&n->after_poll);
    uv_unref((uv_handle_t *)&n->tick);
}

static enum err start(struct node *n, struct strbuf *error)
{
    enum err e = journal_load(n->journal, load_row, n, error);
    if (e == OK && n->machine.loaded != NULL)
        e = n->machine.loaded(n->machine.context);
    if (e == OK)
        e = replay(n, error);
    if (e == OK)
        e = create_core(n, error);
    if (e != OK)
        return e;
    (void)uv_prepare_start(&n->before_poll, on_before_poll);
    (void)uv_check_start(&n->after_poll, on_after_poll);
    node_arm_ticks(n);
    node_wake(n);
    /* A single voter is on its way to its new term at once; what the replay made is settled later.
     */
    if (node_is_alone(n))
        run_turn(n);
    return OK;
}

enum err node_create(struct node **out, const struct node_config *config, struct strbuf *error)
{
    struct node *n = calloc(1, sizeof(*n));
    if (n == NULL)
        return ERR_NO_MEMORY;
    if (!take_config(n, config)) {
        strbuf_add_str(error, "the election time-out must be at least two heartbeat intervals\n");
        free(n);
        return ERR_INVALID;
    }
    n->storing_end = &n->storing;
    n->applying_end = &n->applying;
    n->reads_end = &n->reads;
    take_start(n);
    open_handles(n);
    /* The machine's callbacks call node_stage while the log is replayed. */
    *out = n;
    enum err e = start(n, error);
    if (e != OK) {
        *out = NULL;
        node_destroy(n);
    }
    return e;
}

/* What is on its way to the disk stays until the journal is done with it. */
void node_destroy(struct node *n)
{
    if (n == NULL)
        return;
    assert(!n->is_destroyed);
    n->is_destroyed = true;
    node_drop_all(n, ERR_CLOSED);
    node_refuse_reads(n);
    uv_close((uv_handle_t *)&n->before_poll, on_closed);
    uv_close((uv_handle_t *)&n->after_poll, on_closed);
    uv_close((uv_handle_t *)&n->tick, on_closed);
}

/* --- looking ---------------------------------------------------------------------------------- */

void node_status(const struct node *n, struct node_status *out)
{
    struct raft_status status;
    raft_status(n->core, &status);
    bool halted = n->is_halted || journal_health(n->journal) == JOURNAL_HALTED;
    *out = (struct node_status){
        .cluster_id = n->cluster_id,
        .member_id = n->member_id,
        .leader = halted             ? 0
                  : node_is_alone(n) ? n->member_id
                                     : status.leader,
        .term = status.term,
        .first_index = n->log_first,
        .last_index = status.last_index,
        .committed = status.commit,
        .applied = n->applied,
        .pending = n->pending_count,
        .proposals_failed = n->proposals_failed,
        .halted = halted,
        .is_leader = !halted && status.role == RAFT_LEADER,
        .is_learner = status.is_learner,
        .configuration = n->configuration,
    };
}
