/* What must hold, looked at behind every event of the member that it is about. Everything is kept
 * up to date by what changed: a chain of hashes stands for a whole log. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define U(x) ((unsigned long)(x))

void oracle_reset(struct oracle *o)
{
    if (o->committed_capacity > 0)
        memset(o->committed, 0, o->committed_capacity * sizeof(*o->committed));
    if (o->variants_capacity > 0)
        memset(o->variants, 0, o->variants_capacity * sizeof(*o->variants));
    if (o->leaders_capacity > 0)
        memset(o->leaders, 0, o->leaders_capacity * sizeof(*o->leaders));
    if (o->refused_capacity > 0)
        memset(o->refused, 0, o->refused_capacity);
    memset(o->granted, 0, sizeof(o->granted));
    while (o->variant_pool != NULL) {
        struct variant *v = o->variant_pool;
        o->variant_pool = v->pool_next;
        v->pool_next = o->variant_free;
        o->variant_free = v;
    }
    o->variants_count = 0;
    o->commit = o->joint_by_term = 0;
}

void oracle_fini(struct oracle *o)
{
    oracle_reset(o);
    while (o->variant_free != NULL) {
        struct variant *v = o->variant_free;
        o->variant_free = v->pool_next;
        free(v);
    }
    free(o->committed);
    free(o->variants);
    free(o->leaders);
    free(o->refused);
}

/* --- I3: log matching ------------------------------------------------------------------------- */

static uint64_t payload_hash_of(const struct entry *e)
{
    struct bytes b = payload_bytes(e->payload);
    uint64_t hash = mix2((uint64_t)e->type, e->payload == NULL ? UINT64_MAX : b.size);
    size_t at = 0;
    for (; at + 8 <= b.size; at += 8) {
        uint64_t word;
        memcpy(&word, b.data + at, 8);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 29;
    }
    for (; at < b.size; at++)
        hash = (hash ^ b.data[at]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t view_chain(const struct world *w, const struct member *m, uint64_t index)
{
    if (index <= w->oracle.commit && index <= m->disk.base)
        return w->oracle.committed[index].chain;
    return m->view[index].chain;
}

uint64_t view_term(const struct world *w, const struct member *m, uint64_t index)
{
    if (index <= w->oracle.commit && index <= m->disk.base)
        return w->oracle.committed[index].term;
    return m->view[index].term;
}

static struct variant *new_variant(struct oracle *o)
{
    struct variant *v = o->variant_free;
    if (v == NULL)
        v = malloc(sizeof(*v));
    else
        o->variant_free = v->pool_next;
    assert(v != NULL);
    *v = (struct variant){.pool_next = o->variant_pool};
    o->variant_pool = v;
    return v;
}

uint64_t oracle_entry(struct world *w, struct member *m, uint64_t before, const struct entry *e)
{
    struct oracle *o = &w->oracle;
    uint64_t hash = payload_hash_of(e);
    uint64_t chain = mix2(before ^ e->term * UINT64_C(0x9e3779b97f4a7c15), hash);
    if (e->index >= o->variants_count) {
        o->variants = grow(o->variants, &o->variants_capacity, e->index + 1, sizeof(*o->variants));
        o->variants_count = e->index + 1;
    }
    for (struct variant *v = o->variants[e->index]; v != NULL; v = v->next) {
        if (v->term != e->term)
            continue;
        if (v->payload_hash != hash)
            violated(w, "I3", "member %lu: two payloads at index %lu, term %lu", U(m->id),
                     U(e->index), U(e->term));
        if (v->chain != chain)
            violated(w, "I3", "member %lu: another log below index %lu, term %lu", U(m->id),
                     U(e->index), U(e->term));
        return chain;
    }
    struct variant *v = new_variant(o);
    v->next = o->variants[e->index];
    v->term = e->term;
    v->payload_hash = hash;
    v->chain = chain;
    v->is_change = entry_is_change(e);
    o->variants[e->index] = v;
    if (e->type == ENTRY_REFUSED_CHANGE)
        covered(w, COVERAGE_CHANGE_REFUSED_BY_LEADER);
    return chain;
}

static struct variant *variant_of(const struct oracle *o, uint64_t index, uint64_t term)
{
    struct variant *v = index < o->variants_count ? o->variants[index] : NULL;
    while (v != NULL && v->term != term)
        v = v->next;
    return v;
}

/* I4: never at or below what the member knows to be committed; a leader never at all. */
void oracle_truncates(struct world *w, struct member *m, uint64_t from)
{
    if (from <= m->seen_commit)
        violated(w, "I4", "member %lu replaces entry %lu, its commit index is %lu", U(m->id),
                 U(from), U(m->seen_commit));
    if (m->led_term != 0 && m->led_term == m->view[from].term && m->seen_term == m->led_term)
        violated(w, "I4", "leader %lu replaces its own entry %lu", U(m->id), U(from));
    covered(w, COVERAGE_CONFLICT);
    if (m->view_last >= from + 9)
        covered(w, COVERAGE_CONFLICT_LONG);
    for (uint64_t i = from; i <= m->view_last; i++) {
        const struct variant *v = variant_of(&w->oracle, i, m->view[i].term);
        if (v == NULL)
            continue;
        if (v->is_change)
            covered(w, COVERAGE_CHANGE_ROLLED_BACK);
        if (v->had_majority)
            covered(w, COVERAGE_OLD_TERM_MAJORITY_LOST);
    }
}

/* --- quorums of disks ------------------------------------------------------------------------- */

static size_t holders(const struct world *w, const struct id_set *voters, uint64_t index,
                      uint64_t chain)
{
    size_t count = 0;
    for (size_t i = 0; i < voters->count; i++) {
        const struct member *m = &w->members[voters->ids[i]];
        /* What was rolled back was there, and its owner does nothing any more. */
        count += disk_has(w, m, index, chain) || m->is_rolled_back;
    }
    return count;
}

static bool on_majority(const struct world *w, const struct id_set *voters, uint64_t index,
                        uint64_t chain)
{
    return voters->count == 0 || holders(w, voters, index, chain) > voters->count / 2;
}

static bool no_majority_without(const struct world *w, const struct id_set *voters, uint64_t index,
                                uint64_t chain)
{
    return voters->count > 0 &&
           voters->count - holders(w, voters, index, chain) <= voters->count / 2;
}

/* --- I5, I7, I8: the commit index ------------------------------------------------------------- */

static void extend_commit(struct world *w, struct member *m, uint64_t commit)
{
    struct oracle *o = &w->oracle;
    uint64_t chain = view_chain(w, m, commit);
    const struct configuration_state *c = raft_configuration(m->raft);
    /* I8: on a quorum of disks, by the configuration that the leader counts with. */
    if (!on_majority(w, &c->voters, commit, chain) || !on_majority(w, &c->outgoing, commit, chain))
        violated(w, "I8", "member %lu commits %lu, which no quorum has on disk", U(m->id),
                 U(commit));
    if (m->status.role == RAFT_LEADER && m->disk.last < commit)
        covered(w, COVERAGE_REMOTE_QUORUM);
    o->committed = grow(o->committed, &o->committed_capacity, commit + 1, sizeof(*o->committed));
    for (uint64_t i = o->commit + 1; i <= commit; i++)
        o->committed[i] = (struct committed_entry){
            .term = m->view[i].term, .chain = m->view[i].chain, .commit_term = m->status.term};
    o->commit = commit;
}

static void check_commit(struct world *w, struct member *m)
{
    uint64_t commit = m->handed_hard.commit; /* of when the view was handed out */
    if (commit == m->seen_commit)
        return;
    if (commit < m->seen_commit)
        violated(w, "I7", "member %lu: its commit index fell from %lu to %lu", U(m->id),
                 U(m->seen_commit), U(commit));
    if (commit > m->view_last)
        violated(w, "I7", "member %lu: commit index %lu behind its log's end %lu", U(m->id),
                 U(commit), U(m->view_last));
    if (commit > w->oracle.commit)
        extend_commit(w, m, commit);
    if (view_chain(w, m, commit) != w->oracle.committed[commit].chain)
        violated(w, "I5", "member %lu commits another log up to %lu", U(m->id), U(commit));
    m->seen_commit = commit;
}

/* I5: a leader has all that was committed in earlier terms. */
static void check_completeness(struct world *w, struct member *m)
{
    const struct oracle *o = &w->oracle;
    uint64_t index = o->commit;
    m->completeness_due = false;
    while (index > 1 && o->committed[index].commit_term >= m->led_term)
        index--;
    if (m->view_last < index || view_chain(w, m, index) != o->committed[index].chain)
        violated(w, "I5", "leader %lu of term %lu has not what was committed at %lu in term %lu",
                 U(m->id), U(m->led_term), U(index), U(o->committed[index].commit_term));
    m->led_first = m->status.last_index;
    for (uint64_t i = m->machine.applied + 1; i <= m->view_last; i++) {
        const struct variant *v = variant_of(o, i, m->view[i].term);
        if (v != NULL && v->is_change) {
            covered(w, COVERAGE_CHANGE_PENDING_AT_ELECTION);
            break;
        }
    }
}

static void look_for_old_majority(struct world *w, const struct member *m)
{
    const struct configuration_state *c = &m->configuration->state;
    if (m->status.role != RAFT_LEADER || m->seen_commit >= m->led_first)
        return;
    for (uint64_t i = m->led_first - 1; i > m->seen_commit && i + 4 > m->led_first; i--) {
        if (m->view[i].term == m->status.term || !on_majority(w, &c->voters, i, m->view[i].chain))
            continue;
        struct variant *v = variant_of(&w->oracle, i, m->view[i].term);
        if (v == NULL || v->had_majority)
            return;
        v->had_majority = true;
        covered(w, COVERAGE_OLD_TERM_MAJORITY);
        return;
    }
}

/* --- behind each call, behind each ready ------------------------------------------------------ */

/* I1: over all time. */
static void check_leader(struct world *w, struct member *m)
{
    struct oracle *o = &w->oracle;
    uint64_t term = m->status.term;
    if (term == m->led_term)
        return;
    o->leaders = grow(o->leaders, &o->leaders_capacity, term + 1, sizeof(*o->leaders));
    if (o->leaders[term].leader != 0)
        violated(w, "I1", "member %lu leads term %lu, which %lu led (life %u, now %u)", U(m->id),
                 U(term), U(o->leaders[term].leader), o->leaders[term].incarnation, m->incarnation);
    o->leaders[term].leader = m->id;
    o->leaders[term].incarnation = m->incarnation;
    m->led_term = term;
    m->led_first = UINT64_MAX;
    m->completeness_due = true;
    covered(w, COVERAGE_ELECTION);
    if (random_chance(&w->random, w->profile.crash_new))
        schedule(w, random_below(&w->random, TICK), EVENT_CRASH, (uint32_t)m->id, 0, NULL);
    for (uint32_t i = 1; i < w->member_count; i++) {
        if (i != m->id && w->members[i].status.role == RAFT_LEADER)
            covered(w, COVERAGE_TWO_LEADERS);
        if (w->members[i].transferee == m->id) {
            covered(w, COVERAGE_TRANSFER_DONE);
            w->members[i].transferee = 0;
        }
    }
}

static void look_at_roles(struct world *w, struct member *m, enum raft_role before)
{
    const struct raft_status *s = &m->status;
    if (before == RAFT_CANDIDATE && s->role == RAFT_FOLLOWER)
        covered(w, s->leader == RAFT_NONE ? COVERAGE_SPLIT_VOTE : COVERAGE_CANDIDATE_BEATEN);
    if (s->transferee != m->transferee) {
        if (s->transferee != RAFT_NONE) {
            const struct member *to = &w->members[s->transferee];
            if (to->disk.last < s->last_index)
                covered(w, COVERAGE_TRANSFER_LAGGING);
        } else if (s->role == RAFT_LEADER && m->transferee != 0) {
            covered(w, COVERAGE_TRANSFER_ABORTED);
        }
        if (s->role == RAFT_LEADER || s->transferee != RAFT_NONE)
            m->transferee = s->transferee;
    }
}

void oracle_called(struct world *w, struct member *m)
{
    const struct raft_status *s = &m->status;
    if (s->term < m->seen_term)
        violated(w, "I7", "member %lu: its term fell from %lu to %lu", U(m->id), U(m->seen_term),
                 U(s->term));
    if (s->applied < m->seen_applied)
        violated(w, "I7", "member %lu: its applied index fell", U(m->id));
    if (s->applied > s->commit || s->commit > s->last_index)
        violated(w, "I7", "member %lu: applied %lu, commit %lu, last %lu", U(m->id), U(s->applied),
                 U(s->commit), U(s->last_index));
    m->seen_term = s->term;
    m->seen_applied = s->applied;
    if (s->commit > w->oracle.commit && s->commit <= m->view_last)
        extend_commit(w, m, s->commit);
    if (s->role == RAFT_LEADER)
        check_leader(w, m);
    if (s->role != m->seen_role || s->transferee != m->transferee)
        look_at_roles(w, m, m->seen_role);
    m->seen_role = s->role;
    if (s->pending_reads > RAFT_MAX_PENDING_READS)
        violated(w, "I11", "member %lu: %zu pending reads", U(m->id), s->pending_reads);
    if (w->profile.max_uncommitted_size > 0 &&
        s->uncommitted_size > w->profile.max_uncommitted_size + 512)
        violated(w, "I11", "member %lu: %lu uncommitted bytes", U(m->id), U(s->uncommitted_size));
}

void oracle_pumped(struct world *w, struct member *m)
{
    if (m->status.last_index != m->view_last && !m->turn_busy)
        violated(w, "ready", "member %lu keeps entries to itself: %lu, handed out %lu", U(m->id),
                 U(m->status.last_index), U(m->view_last));
    check_commit(w, m);
    if (m->completeness_due && !m->turn_busy)
        check_completeness(w, m);
    if (!m->configuration_changed || m->snapshots_pending > 0 || m->turn_busy)
        return;
    m->configuration_changed = false;
    if (!configuration_equal(raft_configuration(m->raft), &m->configuration->state))
        violated(w, "I6", "member %lu: the core's configuration is not that of what is applied",
                 U(m->id));
}

void oracle_started(struct world *w, struct member *m)
{
    raft_status(m->raft, &m->status);
    m->seen_term = m->status.term;
    m->seen_commit = m->handed_hard.commit;
    m->seen_applied = m->status.applied;
    m->seen_role = m->status.role;
    m->led_term = 0;
    m->led_first = UINT64_MAX;
    const struct machine *d = &m->machine;
    if (d->content != machine_content(d))
        violated(w, "I6", "member %lu: its tables are not what their hash says", U(m->id));
    if (d->applied > 0 && (d->applied > w->oracle.commit ||
                           w->oracle.committed[d->applied].state_hash != machine_hash(d)))
        violated(w, "I6", "member %lu restarts with another state at %lu", U(m->id), U(d->applied));
    for (uint64_t i = d->applied + 1; i <= m->view_last; i++) {
        const struct variant *v = variant_of(&w->oracle, i, m->view[i].term);
        if (v != NULL && v->is_change) {
            covered(w, COVERAGE_CHANGE_PENDING_AT_RESTART);
            break;
        }
    }
}

/* --- I6: the state machine -------------------------------------------------------------------- */

static void first_applied(struct world *w, struct member *m, struct committed_entry *c)
{
    const struct configuration_state *now = &m->configuration->state;
    c->state_hash = machine_hash(&m->machine);
    c->configuration_hash = m->configuration->hash;
    if (m->configuration->hash == w->oracle.newest_configuration_hash)
        return;
    w->oracle.newest_configuration_hash = m->configuration->hash;
    if (now->voters.count == 1)
        covered(w, COVERAGE_ONE_VOTER);
    if (configuration_is_joint(now)) {
        covered(w, COVERAGE_JOINT);
        w->oracle.joint_by_term = c->commit_term;
    } else if (w->oracle.joint_by_term != 0) {
        if (w->oracle.joint_by_term != c->commit_term)
            covered(w, COVERAGE_JOINT_LEFT_BY_ANOTHER);
        w->oracle.joint_by_term = 0;
    }
}

static void look_at_membership(struct world *w, struct member *m)
{
    const struct configuration_state *now = &m->configuration->state;
    bool is_voter = configuration_is_voter(now, m->id);
    if (m->was_learner && is_voter)
        covered(w, COVERAGE_LEARNER_PROMOTED);
    m->was_learner = id_set_has(&now->learners, m->id);
}

void oracle_applied(struct world *w, struct member *m, uint64_t index, uint64_t term)
{
    struct oracle *o = &w->oracle;
    if (index > o->commit)
        violated(w, "I6", "member %lu applies %lu, which nobody committed", U(m->id), U(index));
    struct committed_entry *c = &o->committed[index];
    if (c->term != term)
        violated(w, "I6", "member %lu applies another entry at %lu", U(m->id), U(index));
    if (!disk_has(w, m, index, c->chain))
        violated(w, "I6", "member %lu applies %lu, which is not on its disk", U(m->id), U(index));
    if (c->state_hash == 0)
        first_applied(w, m, c);
    if (c->state_hash != machine_hash(&m->machine))
        violated(w, "I6", "member %lu has another state at %lu", U(m->id), U(index));
    if (c->configuration_hash != m->configuration->hash)
        violated(w, "I6", "member %lu has another configuration at %lu", U(m->id), U(index));
    look_at_membership(w, m);
}

void oracle_installed(struct world *w, struct member *m, const struct snapshot *s)
{
    if (s->index <= m->seen_commit)
        violated(w, "I4", "member %lu installs snapshot %lu below its commit index %lu", U(m->id),
                 U(s->index), U(m->seen_commit));
    if (s->index > w->oracle.commit || w->oracle.committed[s->index].term != s->term)
        violated(w, "I6", "member %lu installs snapshot %lu of what was not committed", U(m->id),
                 U(s->index));
}

void oracle_acked(struct world *w, uint64_t index)
{
    const struct configuration_state *c = newest_configuration(w);
    uint64_t chain = w->oracle.committed[index].chain;
    if (!no_majority_without(w, &c->voters, index, chain) &&
        !no_majority_without(w, &c->outgoing, index, chain))
        violated(w, "I8", "%lu is acknowledged, and a quorum's disks are without it", U(index));
}

/* --- I2 and acknowledgements: what leaves a member -------------------------------------------- */

static void check_vote(struct world *w, struct member *m, const struct raft_message *message)
{
    const struct hard_state *durable = &m->disk.hard;
    uint64_t candidate = message->type == MESSAGE_VOTE ? m->id : message->to;
    if (message->type == MESSAGE_VOTE_RESPONSE && message->reject)
        return;
    /* The mutant is to be found by what comes of it, not by its own definition. */
    if (!(message->type == MESSAGE_VOTE && mutant_is(OWNER_MUTANT_VOTE_REQUEST_AT_ONCE)) &&
        (durable->term < message->term ||
         (durable->term == message->term && durable->vote != candidate)))
        violated(w, "I2", "member %lu sends a vote for %lu in term %lu; on disk are %lu, %lu",
                 U(m->id), U(candidate), U(message->term), U(durable->vote), U(durable->term));
    if (message->type == MESSAGE_VOTE)
        return;
    size_t at = message->term % ARRAY_COUNT(w->oracle.granted[0]);
    uint64_t *term = &w->oracle.granted[m->id][at].term;
    uint64_t *granted = &w->oracle.granted[m->id][at].candidate;
    if (*term == message->term && *granted != candidate)
        violated(w, "I2", "member %lu votes for %lu and %lu in term %lu", U(m->id), U(*granted),
                 U(candidate), U(message->term));
    if (*term <= message->term) {
        *term = message->term;
        *granted = candidate;
    }
    if (candidate != m->id && !configuration_is_voter(&m->configuration->state, m->id))
        covered(w, COVERAGE_LEARNER_VOTED);
}

static void check_acknowledgement(struct world *w, struct member *m,
                                  const struct raft_message *message)
{
    if (message->reject) {
        covered(w, COVERAGE_APPEND_REJECTED);
        return;
    }
    /* Once it is in a later term, what it said in an earlier one is said of its past. */
    if (message->index > m->disk.last && m->disk.hard.term <= message->term)
        violated(w, "I8", "member %lu acknowledges %lu, its disk ends at %lu", U(m->id),
                 U(message->index), U(m->disk.last));
    const struct member *to = member_of(w, message->to);
    if (to != NULL && to->life == LIFE_UP && to->status.role == RAFT_LEADER &&
        to->status.term == message->term && message->index < m->view_last && message->index > 0 &&
        (to->view_last < m->view_last || to->view[m->view_last].term != m->view[m->view_last].term))
        covered(w, COVERAGE_STALE_TAIL_ACKED);
}

void oracle_sends(struct world *w, struct member *m, const struct raft_message *message)
{
    switch ((int)message->type) {
    case MESSAGE_VOTE:
    case MESSAGE_VOTE_RESPONSE:
        check_vote(w, m, message);
        break;
    case MESSAGE_APPEND_RESPONSE:
        check_acknowledgement(w, m, message);
        break;
    case MESSAGE_PRE_VOTE_RESPONSE:
        if (message->reject && message->term > 0)
            w->oracle.rejected_pre_votes++;
        break;
    default:
        break;
    }
}

/* --- what a member made of what it heard ------------------------------------------------------ */

/* I7: what the leader believes of FROM is on FROM's disk, and the same there. */
static void check_progress(struct world *w, struct member *m, uint64_t from)
{
    const struct progress *p = NULL;
    for (size_t i = 0; (p = raft_progress(m->raft, i)) != NULL && p->id != from; i++)
        ;
    if (p == NULL)
        return;
    if (p->match >= p->next)
        violated(w, "I7", "leader %lu, of %lu: match %lu, next %lu", U(m->id), U(from), U(p->match),
                 U(p->next));
    if (p->inflights.count > w->profile.max_inflight)
        violated(w, "I11", "leader %lu, of %lu: %zu appends on their way", U(m->id), U(from),
                 p->inflights.count);
    if (inflights_full(&p->inflights))
        covered(w, COVERAGE_INFLIGHT_FULL);
    const struct member *other = member_of(w, from);
    if (other == NULL || other->is_rolled_back || p->match == 0 || m->pump_scheduled ||
        m->turn_busy || other->disk.hard.term > m->status.term || p->match > m->view_last)
        return;
    if (!disk_has(w, other, p->match, view_chain(w, m, p->match)))
        violated(w, "I7", "leader %lu believes that %lu has its log up to %lu", U(m->id), U(from),
                 U(p->match));
}

static void remember(struct world *w, struct member *m, const struct raft_message *message)
{
    struct durable_id *known = &m->memory[message->from];
    bool is_append = message->type == MESSAGE_APPEND_RESPONSE;
    struct durable_id said = {.term = message->term, .index = is_append ? message->index : 0};
    if (message->reject || said.term < known->term ||
        (said.term == known->term && said.index <= known->index))
        return;
    *known = said;
    m->memory_changed = true;
    (void)w;
}

static void look_at_snapshot(struct world *w, const struct member *m,
                             const struct raft_message *message)
{
    if (m->status.role == RAFT_CANDIDATE || m->status.role == RAFT_PRE_CANDIDATE)
        covered(w, COVERAGE_SNAPSHOT_IN_ELECTION);
    if (message->snapshot != NULL && message->snapshot->index <= m->status.commit)
        covered(w, COVERAGE_SNAPSHOT_STALE);
}

/* M's status is still that of before. */
void oracle_received(struct world *w, struct member *m, const struct raft_message *message)
{
    switch ((int)message->type) {
    case MESSAGE_APPEND_RESPONSE:
        if (message->from < MAX_MEMBERS)
            remember(w, m, message);
        if (m->status.role == RAFT_LEADER && message->term == m->status.term) {
            check_progress(w, m, message->from);
            look_for_old_majority(w, m);
        }
        break;
    case MESSAGE_VOTE_RESPONSE:
        remember(w, m, message);
        break;
    case MESSAGE_PRE_VOTE_RESPONSE:
        if (message->reject && message->term > m->status.term)
            covered(w, COVERAGE_PRE_VOTE_REJECTED_HIGHER);
        break;
    case MESSAGE_APPEND:
        if (message->index < m->status.commit)
            covered(w, COVERAGE_STALE_APPEND);
        break;
    case MESSAGE_SNAPSHOT:
        look_at_snapshot(w, m, message);
        break;
    default:
        break;
    }
}

/* --- I10: in the end -------------------------------------------------------------------------- */

static bool agrees(const struct member *m, const struct member *leader, const char **text)
{
    if (m->life != LIFE_UP)
        *text = "a member is down";
    else if (m->status.leader != leader->id)
        *text = "a member does not know the leader";
    else if (m->machine.applied != leader->status.last_index)
        *text = "a member has not applied all";
    else if (m == leader && m->configuration->state.voters.count > 1 && m->status.pending_reads > 0)
        *text = "a read is pending";
    else if (machine_hash(&m->machine) != machine_hash(&leader->machine))
        *text = "two members differ";
    else
        return true;
    return false;
}

bool oracle_converged(struct world *w, const char **text)
{
    uint64_t leader = leader_now(w);
    struct id_set all;
    *text = "no leader";
    if (leader == 0)
        return false;
    *text = "a lost member is not replaced, or a joint configuration not left";
    if (!admin_content(w))
        return false;
    *text = "a client waits";
    if (!clients_idle(w))
        return false;
    const struct member *l = &w->members[leader];
    configuration_members(&l->configuration->state, &all);
    *text = "who leads is no member";
    if (!configuration_is_member(&l->configuration->state, leader))
        return false;
    for (size_t i = 0; i < all.count; i++) {
        const struct member *m = &w->members[all.ids[i]];
        if (!agrees(m, l, text))
            return false;
        if (!configuration_equal(raft_configuration(m->raft), &m->configuration->state))
            violated(w, "I6", "member %lu: the core has another configuration", U(m->id));
        if (m->machine.content != machine_content(&m->machine))
            violated(w, "I6", "member %lu: its state is not what its hash says", U(m->id));
    }
    const struct progress *p;
    *text = "a snapshot is pending";
    for (size_t i = 0; (p = raft_progress(l->raft, i)) != NULL; i++) {
        if (p->state == PROGRESS_SNAPSHOT)
            return false;
    }
    return true;
}
