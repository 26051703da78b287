/* The owner of a core, as core/raft.h asks for, and one thing more: a request for votes is sent
 * only once its term and the candidate's own vote are durable. Otherwise a candidate that crashes
 * before that can win the same term twice, with two logs (mutant VOTE_REQUEST_AT_ONCE). */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- life ------------------------------------------------------------------------------------- */

void member_init(struct world *w, struct member *m, uint64_t id)
{
    *m = (struct member){.id = id};
    m->queue_tail = &m->queue;
    m->stored_tail = &m->stored;
    m->applying_tail = &m->applying;
    m->random.state = random_next(&w->random);
    m->disk.slots = grow(NULL, &m->disk.capacity, 2, sizeof(*m->disk.slots));
    m->tick_period = TICK;
    if (w->profile.drift_max > 1) {
        uint64_t factor = random_between(&w->random, 1, w->profile.drift_max);
        m->tick_period = random_chance(&w->random, 500) ? TICK * factor : TICK / factor;
    }
    if (w->member_count <= id)
        w->member_count = (uint32_t)id + 1;
}

void member_drop_memory(struct world *w, struct member *m)
{
    raft_destroy(m->raft);
    m->raft = NULL;
    while (m->applying != NULL) {
        struct applying *a = m->applying;
        m->applying = a->next;
        packet_release(w, a->message);
        for (size_t i = 0; i < a->response_count; i++)
            packet_release(w, a->responses[i]);
        a->response_count = 0;
        a->next = w->applying_pool;
        w->applying_pool = a;
    }
    m->applying_tail = &m->applying;
    m->applying_size = 0;
    for (size_t i = 0; i < CACHED_IMAGES; i++) {
        image_release(m->images[i]);
        m->images[i] = NULL;
    }
    box_release(m->configuration);
    m->configuration = NULL;
    memset(m->pending_writes, 0, sizeof(m->pending_writes));
    memset(m->pending_reads, 0, sizeof(m->pending_reads));
    m->indexed_reads = 0;
    m->apply_scheduled = m->turn_busy = m->pump_scheduled = false;
    m->missed_ticks = 0;
    m->paused_until = 0;
    m->memory_changed = m->disk_was_full = false;
    m->completeness_due = m->configuration_changed = false;
    m->snapshots_pending = 0;
    m->transferee = 0;
}

void member_fini(struct world *w, struct member *m)
{
    member_drop_memory(w, m);
    while (m->queue != NULL) {
        struct write *op = m->queue;
        m->queue = op->next;
        write_release(w, op);
    }
    while (m->stored != NULL) {
        struct write *op = m->stored;
        m->stored = op->next;
        write_release(w, op);
    }
    disk_fini(&m->disk);
    disk_fini(&m->old_disk);
    free(m->view);
}

void member_crash(struct world *w, struct member *m)
{
    covered(w, COVERAGE_CRASH);
    if (m->status.role == RAFT_LEADER)
        covered(w, COVERAGE_CRASH_OF_LEADER);
    disk_crash(w, m);
    member_drop_memory(w, m);
    m->incarnation++;
    m->status = (struct raft_status){.id = m->id};
    m->life = LIFE_DOWN;
}

static bool is_behind(const struct disk *d, const struct durable_id *known)
{
    return d->hard.term < known->term || (d->hard.term == known->term && d->last < known->index);
}

/* Asks all others what they remember of this disk. True once all have answered. */
static bool ask_others(struct world *w, struct member *m)
{
    bool all = true;
    for (uint32_t i = 1; i < w->member_count; i++) {
        const struct member *other = &w->members[i];
        if (other == m || m->asked[i] || other->life == LIFE_UNUSED ||
            other->life == LIFE_DESTROYED || other->life == LIFE_GONE)
            continue;
        if (other->life != LIFE_UP && other->life != LIFE_ASKING) {
            all = false;
            continue;
        }
        const struct durable_id *memory =
            other->life == LIFE_UP ? other->memory : other->disk.memory;
        m->asked[i] = true;
        m->is_behind |= is_behind(&m->disk, &memory[m->id]);
    }
    return all;
}

/* What a start must find out before the disk is used. False: not now, or never. */
static bool disk_is_good(struct world *w, struct member *m)
{
    if (m->has_damage) {
        covered(w, COVERAGE_DAMAGED);
        m->life = LIFE_DESTROYED;
        return false;
    }
    /* An empty disk has no past to ask about. */
    if (!w->profile.rollback || m->disk.last == 0 || mutant_is(OWNER_MUTANT_ROLLBACK_UNDETECTED))
        return true;
    if (m->life == LIFE_DOWN) {
        memset(m->asked, 0, sizeof(m->asked));
        m->is_behind = false;
        m->life = LIFE_ASKING;
    }
    if (!ask_others(w, m)) {
        schedule(w, TICK, EVENT_START, (uint32_t)m->id, 0, NULL);
        return false;
    }
    if (m->is_behind != m->is_rolled_back)
        violated(w, "simulator", "member %u: rolled back %d, found %d", (unsigned)m->id,
                 m->is_rolled_back, m->is_behind);
    if (m->is_behind) {
        covered(w, COVERAGE_ROLLED_BACK);
        w->rollback_pending = false;
        m->life = LIFE_DESTROYED;
        return false;
    }
    return true;
}

static unsigned random_for_core(void *context, unsigned below)
{
    return (unsigned)random_below(&((struct member *)context)->random, below);
}

static void create_core(struct world *w, struct member *m)
{
    const struct profile *p = &w->profile;
    struct raft_config c = {
        .id = m->id,
        .election_ticks = p->election_ticks,
        .heartbeat_ticks = 1,
        .max_message_size = p->max_message_size,
        .max_applying_size = p->max_applying_size,
        .max_uncommitted_size = p->max_uncommitted_size,
        .max_inflight = p->max_inflight,
        .max_inflight_size = p->max_inflight_size,
        .async_storage = p->async_storage,
        .check_quorum = p->check_quorum,
        .pre_vote = p->pre_vote,
        .no_forwarding = p->no_forwarding,
        .step_down_on_removal = true,
        .random = random_for_core,
        .random_context = m,
        .storage = disk_storage(m),
        .hard_state = m->disk.hard,
        .configuration = m->configuration->state,
        .applied = m->disk.tables.applied,
    };
    enum err error = raft_create(&m->raft, &c);
    if (error != OK)
        violated(w, "start", "raft_create of %u: %s", (unsigned)m->id, err_text(error));
}

void member_start(struct world *w, struct member *m)
{
    if (!disk_is_good(w, m))
        return;
    struct disk *d = &m->disk;
    m->life = LIFE_UP;
    m->machine = d->tables;
    if (d->configuration == NULL)
        d->configuration = box_create(&(struct configuration_state){0});
    m->configuration = box_reference(d->configuration);
    m->view = grow(m->view, &m->view_capacity, d->last + 1, sizeof(*m->view));
    for (uint64_t i = d->base; i <= d->last; i++)
        m->view[i] = (struct position){.term = d->slots[i].term, .chain = d->slots[i].chain};
    m->view_last = d->last;
    m->handed_hard = d->hard;
    m->snapshot_floor = m->machine.applied;
    memcpy(m->memory, d->memory, sizeof(m->memory));
    create_core(w, m);
    oracle_started(w, m);
    schedule(w, random_below(&w->random, m->tick_period), EVENT_TICK, (uint32_t)m->id, 0, NULL);
    member_called(w, m, OK);
}

/* --- images ----------------------------------------------------------------------------------- */

struct image *member_find_image(const struct member *m, uint64_t index)
{
    for (size_t i = 0; i < CACHED_IMAGES; i++) {
        if (m->images[i] != NULL && m->images[i]->machine.applied == index)
            return m->images[i];
    }
    return NULL;
}

void member_keep_image(struct member *m, struct image *i)
{
    if (member_find_image(m, i->machine.applied) != NULL)
        return;
    image_release(m->images[CACHED_IMAGES - 1]);
    memmove(&m->images[1], &m->images[0], (CACHED_IMAGES - 1) * sizeof(m->images[0]));
    m->images[0] = image_reference(i);
}

/* --- what a ready asks for -------------------------------------------------------------------- */

static void add_response(struct world *w, struct write *op, const struct raft_message *m)
{
    op->responses =
        grow(op->responses, &op->response_capacity, op->response_count + 1, sizeof(*op->responses));
    op->responses[op->response_count++] = packet_create(w, m);
}

static void view_install(struct world *w, struct member *m, const struct snapshot *s)
{
    oracle_installed(w, m, s);
    m->view = grow(m->view, &m->view_capacity, s->index + 1, sizeof(*m->view));
    m->view[s->index] =
        (struct position){.term = s->term, .chain = w->oracle.committed[s->index].chain};
    m->view_last = s->index;
}

static void view_append(struct world *w, struct member *m, struct entries list, uint64_t *chains)
{
    uint64_t first = list.items[0].index;
    if (first > m->view_last + 1)
        violated(w, "I3", "member %u stores from %lu, its log ends at %lu", (unsigned)m->id,
                 (unsigned long)first, (unsigned long)m->view_last);
    if (first <= m->view_last)
        oracle_truncates(w, m, first);
    m->view = grow(m->view, &m->view_capacity, first + list.count, sizeof(*m->view));
    uint64_t chain = view_chain(w, m, first - 1);
    for (size_t i = 0; i < list.count; i++) {
        const struct entry *e = &list.items[i];
        if (e->index != first + i)
            violated(w, "I3", "member %u stores a gap", (unsigned)m->id);
        chains[i] = chain = oracle_entry(w, m, chain, e);
        m->view[e->index] = (struct position){.term = e->term, .chain = chain};
    }
    m->view_last = first + list.count - 1;
}

static struct write *write_of(struct world *w, struct member *m, const struct raft_ready *rd)
{
    struct write *op = write_create(w);
    op->has_hard = rd->has_hard_state;
    if (rd->has_hard_state)
        op->hard = m->handed_hard = rd->hard_state;
    if (rd->snapshot != NULL) {
        struct image *image = member_find_image(m, rd->snapshot->index);
        if (image == NULL)
            violated(w, "simulator", "member %u has no content for snapshot %lu", (unsigned)m->id,
                     (unsigned long)rd->snapshot->index);
        op->snapshot = malloc(sizeof(*op->snapshot));
        *op->snapshot = *rd->snapshot;
        op->image = image_reference(image);
        view_install(w, m, rd->snapshot);
        m->snapshots_pending++;
    }
    if (rd->entries.count > 0) {
        op->chains = grow(op->chains, &op->chain_capacity, rd->entries.count, sizeof(*op->chains));
        view_append(w, m, rd->entries, op->chains);
        enum err error = entry_list_add_all(&op->entries, rd->entries);
        assert(error == OK);
    }
    return op;
}

static void schedule_apply(struct world *w, struct member *m)
{
    if (m->apply_scheduled || m->applying == NULL)
        return;
    m->apply_scheduled = true;
    uint64_t delay = random_below(&w->random, TICK / 4);
    if (!w->is_healed && random_chance(&w->random, 20))
        delay += random_below(&w->random, 20 * TICK);
    schedule(w, delay, EVENT_APPLY, (uint32_t)m->id, 0, NULL);
}

static void queue_apply(struct world *w, struct member *m, const struct raft_message *message)
{
    struct applying *a = w->applying_pool;
    if (a == NULL)
        a = calloc(1, sizeof(*a));
    else
        w->applying_pool = a->next;
    a->next = NULL;
    a->message = packet_create(w, message);
    for (size_t i = 0; i < message->response_count; i++) {
        a->responses = grow(a->responses, &a->response_capacity, i + 1, sizeof(*a->responses));
        a->responses[i] = packet_create(w, &message->responses[i]);
    }
    a->response_count = message->response_count;
    *m->applying_tail = a;
    m->applying_tail = &a->next;
    m->applying_size += entries_size(entry_list_view(&message->entries));
    if (a != m->applying)
        covered(w, COVERAGE_APPLY_PAGE);
    schedule_apply(w, m);
}

static void send_now(struct world *w, struct member *m, const struct raft_message *message)
{
    oracle_sends(w, m, message);
    network_send(w, m, message);
}

static void fill_responses(struct world *w, struct member *m, struct write *op,
                           const struct raft_message *store)
{
    for (size_t i = 0; i < store->response_count; i++) {
        const struct raft_message *r = &store->responses[i];
        if (mutant_is(OWNER_MUTANT_RESPONSES_AT_ONCE) && r->to != m->id)
            send_now(w, m, r);
        else
            add_response(w, op, r);
    }
}

static void carry_out_async(struct world *w, struct member *m, const struct raft_ready *rd)
{
    struct write *op = NULL;
    const struct raft_message *store = NULL;
    for (size_t i = rd->message_count; i > 0 && store == NULL; i--) {
        if (rd->messages[i - 1].type == MESSAGE_STORE)
            store = &rd->messages[i - 1];
    }
    if (store != NULL) {
        op = write_of(w, m, rd);
        fill_responses(w, m, op, store);
    } else if (rd->entries.count > 0 || rd->snapshot != NULL || rd->has_hard_state) {
        violated(w, "ready", "something to store and no MESSAGE_STORE");
    }
    for (size_t i = 0; i < rd->message_count; i++) {
        const struct raft_message *message = &rd->messages[i];
        if (message->type == MESSAGE_STORE)
            continue;
        if (message->type == MESSAGE_APPLY)
            queue_apply(w, m, message);
        else if (message->type == MESSAGE_VOTE && op != NULL &&
                 !mutant_is(OWNER_MUTANT_VOTE_REQUEST_AT_ONCE))
            add_response(w, op, message);
        else
            send_now(w, m, message);
    }
    if (op != NULL)
        disk_submit(w, m, op);
}

static void finish_turn(struct world *w, struct member *m, struct write *op);

static void carry_out_turn(struct world *w, struct member *m, const struct raft_ready *rd)
{
    bool writes = rd->has_hard_state || rd->entries.count > 0 || rd->snapshot != NULL;
    struct write *op = write_of(w, m, rd);
    op->is_turn = true;
    for (size_t i = 0; i < rd->message_count; i++)
        add_response(w, op, &rd->messages[i]);
    enum err error = entry_list_add_all(&op->committed, rd->committed);
    assert(error == OK);
    m->turn_busy = true;
    if (writes) {
        disk_submit(w, m, op);
    } else {
        for (size_t i = 0; i < op->response_count; i++)
            oracle_sends(w, m, &op->responses[i]->message);
        finish_turn(w, m, op);
        write_release(w, op);
    }
}

void member_pump(struct world *w, struct member *m)
{
    struct raft_ready rd;
    bool is_news = false;
    if (m->life != LIFE_UP)
        return;
    while (!m->turn_busy && raft_has_ready(m->raft)) {
        enum err error = raft_ready(m->raft, &rd);
        is_news = true;
        if (error != OK)
            violated(w, "ready", "raft_ready of %u: %s", (unsigned)m->id, err_text(error));
        if (rd.has_soft_state)
            client_leader_changed(w, m);
        for (size_t i = 0; i < rd.read_state_count; i++) {
            uint64_t token = 0;
            struct bytes context = payload_bytes(rd.read_states[i].context);
            if (context.size != sizeof(token))
                violated(w, "I9", "a read's context was changed");
            memcpy(&token, context.data, sizeof(token));
            client_read_index(w, m, token, rd.read_states[i].index);
        }
        if (w->profile.async_storage)
            carry_out_async(w, m, &rd);
        else
            carry_out_turn(w, m, &rd);
    }
    if (!is_news)
        return;
    raft_status(m->raft, &m->status);
    oracle_pumped(w, m);
    if (m->indexed_reads != 0)
        client_check_reads(w, m);
}

void member_called(struct world *w, struct member *m, enum err error)
{
    if (error != OK && error != ERR_REFUSED && error != ERR_NOT_FOUND && error != ERR_LIMIT)
        violated(w, "error", "member %u: %s", (unsigned)m->id, err_text(error));
    raft_status(m->raft, &m->status);
    oracle_called(w, m);
    if (!m->pump_scheduled && !w->is_healed && random_chance(&w->random, w->profile.batching)) {
        m->pump_scheduled = true;
        schedule(w, random_below(&w->random, TICK), EVENT_PUMP, (uint32_t)m->id, 0, NULL);
    } else if (!m->pump_scheduled) {
        member_pump(w, m);
    }
}

/* --- applying --------------------------------------------------------------------------------- */

static void apply_change(struct world *w, struct member *m, const struct entry *e)
{
    struct configuration_change c;
    enum change_verdict verdict;
    struct change_outcome outcome;
    enum err error = change_decode(&c, e->type, payload_bytes(e->payload));
    if (error != OK)
        violated(w, "change", "entry %lu does not decode", (unsigned long)e->index);
    bool led = m->status.role == RAFT_LEADER;
    error = raft_apply_change(m->raft, &c, &verdict);
    if (error != OK)
        violated(w, "change", "raft_apply_change: %s", err_text(error));
    raft_status(m->raft, &m->status);
    oracle_called(w, m);
    struct configuration_box *before = m->configuration;
    /* Ours is as of what we applied. The core's is further if it has taken over a snapshot that is
     * still to be installed here, and then it does not look at the change. */
    outcome.state = before->state;
    if (configuration_apply(&before->state, &c, &outcome) != verdict &&
        configuration_equal(&before->state, raft_configuration(m->raft)))
        violated(w, "change", "member %u: two verdicts of %lu", (unsigned)m->id,
                 (unsigned long)e->index);
    m->configuration = box_create(&outcome.state);
    m->configuration_changed = true;
    covered(w, COVERAGE_CHANGE_APPLIED);
    if (led && configuration_is_voter(&before->state, m->id) &&
        !configuration_is_voter(&m->configuration->state, m->id))
        covered(w, configuration_is_member(&m->configuration->state, m->id)
                       ? COVERAGE_LEADER_DEMOTED
                       : COVERAGE_LEADER_REMOVED);
    if (!configuration_is_member(&m->configuration->state, m->id) &&
        configuration_is_member(&before->state, m->id) && !m->is_stopping &&
        random_chance(&w->random, 700)) {
        m->is_stopping = true;
        schedule(w, random_below(&w->random, 100 * TICK), EVENT_STOP, (uint32_t)m->id, 0, NULL);
    }
    box_release(before);
}

static void apply_entry(struct world *w, struct member *m, const struct entry *e)
{
    if (e->index <= m->machine.applied) {
        if (e->index > m->snapshot_floor)
            violated(w, "I6", "member %u applies %lu again", (unsigned)m->id,
                     (unsigned long)e->index);
        if (!mutant_is(OWNER_MUTANT_APPLY_TWICE))
            return;
    } else if (e->index != m->machine.applied + 1) {
        violated(w, "I6", "member %u applies %lu after %lu", (unsigned)m->id,
                 (unsigned long)e->index, (unsigned long)m->machine.applied);
    }
    const struct command *c = e->type == ENTRY_NORMAL ? command_of(e->payload) : NULL;
    /* The core may ask for a snapshot from within: applied index and configuration move together.
     */
    if (entry_is_change(e))
        apply_change(w, m, e);
    enum machine_verdict verdict = machine_apply(&m->machine, c);
    oracle_applied(w, m, e->index, e->term);
    if (c != NULL)
        client_applied(w, m, c, e->index, verdict);
}

void member_apply(struct world *w, struct member *m)
{
    struct applying *a = m->applying;
    m->apply_scheduled = false;
    m->applying = a->next;
    if (m->applying == NULL)
        m->applying_tail = &m->applying;
    struct entries list = entry_list_view(&a->message->message.entries);
    m->applying_size -= entries_size(list);
    for (size_t i = 0; i < list.count; i++)
        apply_entry(w, m, &list.items[i]);
    for (size_t i = 0; i < a->response_count; i++) {
        enum err error = raft_step(m->raft, &a->responses[i]->message);
        packet_release(w, a->responses[i]);
        member_called(w, m, error);
    }
    a->response_count = 0;
    packet_release(w, a->message);
    a->next = w->applying_pool;
    w->applying_pool = a;
    if (m->indexed_reads != 0)
        client_check_reads(w, m);
    schedule_apply(w, m);
}

/* --- behind a durable write ------------------------------------------------------------------- */

static void installed(struct world *w, struct member *m, const struct write *op)
{
    if (op->snapshot->index <= m->machine.applied)
        violated(w, "I7", "a snapshot takes %u's applied index back", (unsigned)m->id);
    covered(w, COVERAGE_SNAPSHOT_INSTALLED);
    m->machine = op->image->machine;
    m->snapshot_floor = m->machine.applied;
    m->snapshots_pending--;
    m->configuration_changed = true;
    if (m->configuration->hash != op->image->configuration->hash)
        covered(w, COVERAGE_SNAPSHOT_CHANGES_CONFIGURATION);
    box_release(m->configuration);
    m->configuration = box_reference(op->image->configuration);
    oracle_applied(w, m, op->snapshot->index, op->snapshot->term);
    if (m->indexed_reads != 0)
        client_check_reads(w, m);
}

static void finish_turn(struct world *w, struct member *m, struct write *op)
{
    for (size_t i = 0; i < op->response_count; i++)
        network_send(w, m, &op->responses[i]->message);
    for (size_t i = 0; i < op->committed.count; i++)
        apply_entry(w, m, &op->committed.items[i]);
    if (m->indexed_reads != 0)
        client_check_reads(w, m);
    m->turn_busy = false;
    enum err error = raft_advance(m->raft);
    raft_status(m->raft, &m->status);
    if (error != OK)
        violated(w, "error", "raft_advance: %s", err_text(error));
    oracle_called(w, m);
}

void member_stored(struct world *w, struct member *m)
{
    while (m->stored != NULL) {
        struct write *op = m->stored;
        m->stored = op->next;
        if (m->stored == NULL)
            m->stored_tail = &m->stored;
        if (op->snapshot != NULL)
            installed(w, m, op);
        if (op->is_turn) {
            finish_turn(w, m, op);
        } else {
            for (size_t i = 0; i < op->response_count; i++) {
                struct packet *p = op->responses[i];
                if (p->message.to != m->id) {
                    network_send(w, m, &p->message);
                    continue;
                }
                enum err error = raft_step(m->raft, &p->message);
                member_called(w, m, error);
            }
        }
        write_release(w, op);
        member_called(w, m, OK);
    }
}

/* --- inputs ----------------------------------------------------------------------------------- */

/* Applied effects do not wait for the next entry to become durable. */
static void flush_if_idle(struct world *w, struct member *m)
{
    if (m->queue == NULL && (m->machine.applied > m->disk.tables.applied || m->memory_changed) &&
        random_chance(&w->random, 100))
        disk_submit(w, m, write_create(w));
}

/* A leader whose disk takes nothing hands over. */
static void step_down_if_full(struct world *w, struct member *m)
{
    if (!m->disk_was_full || m->status.role != RAFT_LEADER || m->status.transferee != RAFT_NONE)
        return;
    const struct id_set *voters = &m->configuration->state.voters;
    if (voters->count == 0)
        return;
    uint64_t to = voters->ids[random_below(&w->random, voters->count)];
    if (to != m->id)
        member_called(w, m, raft_transfer_leadership(m->raft, to));
}

static void tick_once(struct world *w, struct member *m)
{
    member_called(w, m, raft_tick(m->raft));
    flush_if_idle(w, m);
    step_down_if_full(w, m);
}

void member_tick(struct world *w, struct member *m)
{
    schedule(w, m->tick_period, EVENT_TICK, (uint32_t)m->id, 0, NULL);
    if (m->no_ticks_until > w->now)
        return;
    if (m->paused_until > w->now) {
        if (m->missed_ticks < 40)
            m->missed_ticks++;
        return;
    }
    tick_once(w, m);
}

void member_resume(struct world *w, struct member *m)
{
    unsigned ticks = (unsigned)random_below(&w->random, m->missed_ticks + 1);
    bool ticks_first = random_chance(&w->random, 500);
    m->missed_ticks = 0;
    if (!ticks_first)
        member_stored(w, m);
    for (unsigned i = 0; i < ticks; i++)
        tick_once(w, m);
    if (ticks_first)
        member_stored(w, m);
}

/* Whether those who stay are a quorum of those who vote now. If not, a leader that applies its own
 * removal and steps down may be the only one that knows that it is committed, and the rest can
 * elect nobody: they still need its vote, and its log may be longer. */
static bool keeps_a_quorum(const struct configuration_state *now,
                           const struct configuration_change *c)
{
    struct change_outcome outcome;
    if (change_is_leave(c) || configuration_apply(now, c, &outcome) != CHANGE_OK)
        return true;
    size_t stay = 0;
    for (size_t i = 0; i < now->voters.count; i++)
        stay += id_set_has(&outcome.state.voters, now->voters.ids[i]);
    return stay > now->voters.count / 2;
}

enum err member_propose_change(struct world *w, struct member *m,
                               const struct configuration_change *c)
{
    if (m->status.role == RAFT_LEADER && !keeps_a_quorum(raft_configuration(m->raft), c)) {
        covered(w, COVERAGE_CHANGE_REFUSED_BY_OWNER);
        return ERR_REFUSED;
    }
    return raft_propose_change(m->raft, c);
}

/* Also of what a follower handed on. */
static bool is_taken(struct world *w, struct member *m, const struct raft_message *message)
{
    if (message->type != MESSAGE_PROPOSAL || m->status.role != RAFT_LEADER)
        return true;
    for (size_t i = 0; i < message->entries.count; i++) {
        const struct entry *e = &message->entries.items[i];
        struct configuration_change c;
        if (!entry_is_change(e) || change_decode(&c, e->type, payload_bytes(e->payload)) != OK ||
            keeps_a_quorum(raft_configuration(m->raft), &c))
            continue;
        covered(w, COVERAGE_CHANGE_REFUSED_BY_OWNER);
        return false;
    }
    return true;
}

void member_step(struct world *w, struct member *m, const struct raft_message *message)
{
    if (!is_taken(w, m, message))
        return;
    enum err error = raft_step(m->raft, message);
    oracle_received(w, m, message);
    member_called(w, m, error);
}
