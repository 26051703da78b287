#include "core/raft.h"
#include "consensus/core/machine.h"

#include <assert.h>
#include <stdlib.h>

/* Marks the votes of a transfer; etcd-io/raft's own text, which others compare, too. */
static const char transfer_text[] = "CampaignTransfer";

/* --- creating --------------------------------------------------------------------------------- */

static bool is_id(uint64_t id)
{
    return id != RAFT_NONE && id != RAFT_APPEND_THREAD && id != RAFT_APPLY_THREAD;
}

static bool is_config_sane(const struct raft_config *c)
{
    return is_id(c->id) && c->heartbeat_ticks > 0 && c->election_ticks > c->heartbeat_ticks &&
           c->max_inflight > 0 && c->random != NULL &&
           (c->max_inflight_size == 0 || c->max_inflight_size >= c->max_message_size) &&
           configuration_is_valid(&c->configuration);
}

static bool is_start_sane(const struct raft_config *c)
{
    uint64_t first = c->storage.first_index(c->storage.context);
    uint64_t last = c->storage.last_index(c->storage.context);
    const struct hard_state *hard = &c->hard_state;
    bool is_new = hard->term == 0 && hard->vote == 0 && hard->commit == 0;
    if (hard->term > RAFT_MAX_NUMBER || last > RAFT_MAX_NUMBER || first > last + 1)
        return false;
    if (!is_new && (hard->commit < first - 1 || hard->commit > last))
        return false;
    return c->applied == 0 || (c->applied >= first - 1 && c->applied <= last);
}

/* In place of the 0s that stand for other values. */
static void set_limits(struct raft_config *c)
{
    if (c->max_uncommitted_size == 0)
        c->max_uncommitted_size = UINT64_MAX;
    if (c->max_applying_size == 0)
        c->max_applying_size = c->max_message_size > 0 ? c->max_message_size : 1;
}

static void start(struct raft *r, const struct raft_config *config)
{
    struct id_set all;
    r->config = *config;
    set_limits(&r->config);
    r->id = config->id;
    raft_log_init(&r->log, &config->storage, r->config.max_applying_size);
    r->tracker.max_inflight = config->max_inflight;
    r->tracker.max_inflight_size = config->max_inflight_size;
    configuration_members(&config->configuration, &all);
    core_switch_configuration(r, &config->configuration, &all);
    r->term = config->hard_state.term;
    r->vote = config->hard_state.vote;
    if (config->hard_state.commit > r->log.committed)
        r->log.committed = config->hard_state.commit;
    /* What was applied was committed, even if the word of it was not durable yet. */
    if (config->applied > r->log.committed)
        r->log.committed = config->applied;
    if (config->applied > 0)
        raft_log_applied_to(&r->log, config->applied, 0);
    core_become_follower(r, r->term, RAFT_NONE);
    r->previous_hard_state =
        (struct hard_state){.term = r->term, .vote = r->vote, .commit = r->log.committed};
    r->previous_role = r->role;
}

enum err raft_create(struct raft **out, const struct raft_config *config)
{
    if (!is_config_sane(config) || !is_start_sane(config))
        return ERR_INVALID;
    struct raft *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NO_MEMORY;
    r->transfer_context = payload_create(bytes_of_str(transfer_text));
    if (r->transfer_context == NULL) {
        free(r);
        return ERR_NO_MEMORY;
    }
    start(r, config);
    if (raft_failed(r)) {
        enum err error = r->log.error;
        raft_destroy(r);
        return error;
    }
    *out = r;
    return OK;
}

void raft_destroy(struct raft *r)
{
    if (r == NULL)
        return;
    core_handed_out_fini(&r->handed_out);
    message_list_fini(&r->messages);
    message_list_fini(&r->after_store);
    message_list_fini(&r->on_advance);
    core_read_states_fini(&r->read_states);
    core_reads_fini(r);
    tracker_fini(&r->tracker);
    raft_log_fini(&r->log);
    payload_release(r->transfer_context);
    free(r);
}

/* --- inputs ----------------------------------------------------------------------------------- */

/* What a call answers: a failure of memory or of the storage is above a verdict. */
static enum err result(const struct raft *r, enum err error)
{
    return raft_failed(r) ? r->log.error : error;
}

enum err raft_tick(struct raft *r)
{
    if (raft_failed(r))
        return r->log.error;
    if (r->role == RAFT_LEADER)
        core_tick_heartbeat(r);
    else
        core_tick_election(r);
    return r->log.error;
}

enum err raft_step(struct raft *r, const struct raft_message *m)
{
    if (raft_failed(r))
        return r->log.error;
    enum err error = core_check_message(r, m);
    if (error == OK && !raft_failed(r))
        error = core_step(r, m);
    return result(r, error);
}

/* A message of our own with one entry, borrowed. */
static enum err dispatch_entry(struct raft *r, enum message_type type, uint64_t from,
                               struct entry *e)
{
    struct raft_message m = {
        .type = type, .from = from, .entries = {.items = e, .count = 1, .capacity = 1}};
    if (raft_failed(r))
        return r->log.error;
    return result(r, core_dispatch(r, &m));
}

enum err raft_propose(struct raft *r, struct payload *payload)
{
    struct entry e = {.payload = payload};
    return dispatch_entry(r, MESSAGE_PROPOSAL, r->id, &e);
}

static bool is_change_sane(const struct configuration_change *c)
{
    if (c->transition >= CHANGE_TRANSITION_COUNT || c->item_count > CHANGE_MAX_ITEMS ||
        (c->is_v1 && (c->item_count != 1 || c->transition != CHANGE_AUTO)))
        return false;
    for (size_t i = 0; i < c->item_count; i++) {
        if (c->items[i].type >= CHANGE_TYPE_COUNT)
            return false;
    }
    return true;
}

enum err raft_propose_change(struct raft *r, const struct configuration_change *c)
{
    struct entry e = {.type = ENTRY_CHANGE};
    if (raft_failed(r))
        return r->log.error;
    if (c != NULL) {
        if (!is_change_sane(c))
            return ERR_INVALID;
        e.type = c->is_v1 ? ENTRY_CHANGE_V1 : ENTRY_CHANGE;
        e.payload = change_encode(c);
        if (e.payload == NULL) {
            raft_log_fail(&r->log, ERR_NO_MEMORY);
            return r->log.error;
        }
    }
    enum err error = dispatch_entry(r, MESSAGE_PROPOSAL, r->id, &e);
    payload_release(e.payload);
    return error;
}

enum err raft_campaign(struct raft *r)
{
    if (!raft_failed(r))
        core_campaign_if_allowed(r, r->config.pre_vote ? CAMPAIGN_PRE_ELECTION : CAMPAIGN_ELECTION);
    return r->log.error;
}

enum err raft_transfer_leadership(struct raft *r, uint64_t to)
{
    struct raft_message m = {.type = MESSAGE_TRANSFER, .from = to};
    if (raft_failed(r))
        return r->log.error;
    return result(r, core_dispatch(r, &m));
}

enum err raft_forget_leader(struct raft *r)
{
    if (r->role == RAFT_FOLLOWER && !r->config.no_forget_leader)
        r->leader = RAFT_NONE;
    return r->log.error;
}

enum err raft_read_index(struct raft *r, struct payload *context)
{
    struct entry e = {.payload = context};
    return dispatch_entry(r, MESSAGE_READ_INDEX, RAFT_NONE, &e);
}

enum err raft_report_unreachable(struct raft *r, uint64_t id)
{
    struct progress *p = tracker_find(&r->tracker, id);
    if (!raft_failed(r) && r->role == RAFT_LEADER && p != NULL)
        core_handle_unreachable(p);
    return r->log.error;
}

enum err raft_report_snapshot(struct raft *r, uint64_t id, bool failed)
{
    struct progress *p = tracker_find(&r->tracker, id);
    if (!raft_failed(r) && r->role == RAFT_LEADER && p != NULL)
        core_handle_snapshot_status(failed, p);
    return r->log.error;
}

/* --- looking ---------------------------------------------------------------------------------- */

void raft_status(const struct raft *r, struct raft_status *out)
{
    const struct raft_log *log = &r->log;
    *out = (struct raft_status){
        .id = r->id,
        .role = r->role,
        .term = r->term,
        .vote = r->vote,
        .leader = r->leader,
        .transferee = r->transferee,
        .commit = log->committed,
        .applied = log->applied,
        .last_index = raft_log_last(log),
        .election_elapsed = r->election_elapsed,
        .heartbeat_elapsed = r->heartbeat_elapsed,
        .election_timeout = r->election_timeout,
        .is_learner = r->is_learner,
        .uncommitted_size = r->uncommitted_size,
        .pending_reads = r->reads.unconfirmed.count + r->postponed_reads.count,
    };
    out->last_term = raft_log_term_or_zero(log, out->last_index);
}

const struct progress *raft_progress(const struct raft *r, size_t at)
{
    return at < r->tracker.count ? &r->tracker.members[at] : NULL;
}

const struct configuration_state *raft_configuration(const struct raft *r)
{
    return &r->tracker.configuration;
}

void raft_set_election_timeout(struct raft *r, unsigned ticks)
{
    r->election_timeout = ticks;
}
