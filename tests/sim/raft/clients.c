/* Clients: one operation at a time each, tried again at another member until it is answered. What
 * becomes of an attempt that nobody answered is unknown. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <string.h>

static const uint64_t answer_time = 25 * TICK;

const struct command *command_of(const struct payload *p)
{
    return p != NULL && p->size >= sizeof(struct command) ? (const void *)p->data : NULL;
}

static void wake(struct world *w, uint32_t at, uint64_t delay)
{
    struct client *c = &w->clients[at];
    schedule(w, delay, EVENT_CLIENT, 0, at, (void *)(uintptr_t)++c->wake);
}

void clients_start(struct world *w)
{
    for (uint32_t i = 0; i < w->profile.clients; i++)
        wake(w, i, random_below(&w->random, 20 * TICK));
}

bool clients_idle(const struct world *w)
{
    for (uint32_t i = 0; i < w->profile.clients; i++) {
        if (w->clients[i].is_waiting || !w->clients[i].is_final)
            return false;
    }
    return true;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Who is asked. NULL: nobody is there. */
static struct member *choose(struct world *w)
{
    uint64_t leader = leader_now(w);
    if (leader != 0 && random_chance(&w->random, w->profile.leader_bias))
        return &w->members[leader];
    struct member *m = &w->members[random_between(&w->random, 1, w->member_count - 1)];
    if (w->is_healed && !configuration_is_member(newest_configuration(w), m->id))
        return NULL;
    return m->life == LIFE_UP && m->paused_until <= w->now ? m : NULL;
}

static void refuse(struct world *w, uint32_t attempt)
{
    struct oracle *o = &w->oracle;
    o->refused = grow(o->refused, &o->refused_capacity, attempt + 1, 1);
    o->refused[attempt] = 1;
}

static struct payload *command_payload(struct world *w, const struct command *command)
{
    uint8_t buffer[sizeof(*command) + 256] = {0};
    size_t size = sizeof(*command);
    if (random_chance(&w->random, 200))
        size += (size_t)random_below(&w->random, 200);
    memcpy(buffer, command, sizeof(*command));
    return payload_create(bytes_of(buffer, size));
}

static void write_at(struct world *w, uint32_t at, struct member *m)
{
    struct client *c = &w->clients[at];
    c->command.attempt = ++w->attempts;
    refuse(w, c->command.attempt);
    w->oracle.refused[c->command.attempt] = 0;
    struct payload *payload = command_payload(w, &c->command);
    assert(payload != NULL);
    m->pending_writes[at].active = true;
    m->pending_writes[at].sequence = c->sequence;
    struct raft_status before;
    raft_status(m->raft, &before);
    enum err error = raft_propose(m->raft, payload);
    payload_release(payload);
    if (error == ERR_REFUSED) {
        refuse(w, c->command.attempt);
        m->pending_writes[at].active = false;
        covered(w, COVERAGE_PROPOSAL_REFUSED);
        if (before.role == RAFT_LEADER && before.transferee != RAFT_NONE)
            covered(w, COVERAGE_PROPOSAL_DURING_TRANSFER);
        else if (before.role == RAFT_LEADER &&
                 configuration_is_member(raft_configuration(m->raft), m->id))
            covered(w, COVERAGE_ENTRY_REFUSED_BY_LIMIT);
        wake(w, at, random_below(&w->random, 5 * TICK));
    } else {
        if (before.role != RAFT_LEADER)
            covered(w, COVERAGE_PROPOSAL_FORWARDED);
        wake(w, at,
             w->profile.flood && !w->is_healed
                 ? random_below(&w->random, w->profile.think + 1)
                 : random_between(&w->random, answer_time / 4, answer_time));
    }
    member_called(w, m, error);
}

static void read_at(struct world *w, uint32_t at, struct member *m)
{
    struct client *c = &w->clients[at];
    struct pending_read_of_client *r = &m->pending_reads[at];
    if (r->active && r->token == c->token)
        covered(w, COVERAGE_READ_RETRIED_SAME_CONTEXT);
    if (!r->active || r->token != c->token) {
        *r = (struct pending_read_of_client){.active = true, .token = c->token};
        m->indexed_reads &= ~(UINT32_C(1) << at);
        r->leader_at_begin = m->status.leader;
    }
    struct payload *context = payload_create(bytes_of(&c->token, sizeof(c->token)));
    assert(context != NULL);
    enum err error = raft_read_index(m->raft, context);
    payload_release(context);
    wake(w, at, random_between(&w->random, answer_time / 8, answer_time));
    member_called(w, m, error);
}

static void begin(struct world *w, uint32_t at)
{
    struct client *c = &w->clients[at];
    c->is_waiting = true;
    c->was_unknown = false;
    c->is_final = w->is_healed;
    c->is_read = random_chance(&w->random, w->profile.reads);
    c->target = 0;
    if (c->is_read) {
        c->floor = w->oracle.commit;
        c->token = ++w->tokens << 8 | at;
        return;
    }
    c->command = (struct command){
        .client = at,
        .sequence = ++c->sequence,
        .kind = (uint16_t)random_below(&w->random, COMMAND_KIND_COUNT),
        .key = (uint16_t)random_below(&w->random, MACHINE_KEYS),
        .value = random_below(&w->random, 8),
        .expected = random_below(&w->random, 8),
    };
}

/* I10 while nothing goes wrong: what is committed moves on, however much comes in behind it. */
static void check_progress_under_load(struct world *w)
{
    uint64_t leader = leader_now(w);
    if (leader != w->flood_leader || leader == 0 || w->oracle.commit != w->flood_commit) {
        w->flood_leader = leader;
        w->flood_commit = w->oracle.commit;
        w->flood_since = w->now;
    } else if (w->now - w->flood_since > (uint64_t)w->profile.election_ticks * 3 * TICK) {
        violated(w, "I10", "leader %u commits nothing under load", (unsigned)leader);
    }
}

void client_event(struct world *w, uint32_t at, uint64_t wake_number)
{
    struct client *c = &w->clients[at];
    if (c->wake != wake_number)
        return;
    if (w->profile.flood && !w->is_healed) {
        check_progress_under_load(w);
        c->is_waiting = false;
    }
    if (!c->is_waiting) {
        if (w->is_healed && c->is_final)
            return;
        begin(w, at);
    } else if (c->target != 0) {
        struct member *m = &w->members[c->target];
        c->was_unknown = true;
        if (mutant_is(OWNER_MUTANT_UNKNOWN_REPORTED_FAILED) && !c->is_read &&
            m->status.role != RAFT_LEADER)
            refuse(w, c->command.attempt);
        /* Some are given up: they may still happen, once. */
        if (!w->is_healed && random_chance(&w->random, 80)) {
            begin(w, at);
        } else if (c->is_read && m->life == LIFE_UP && m->incarnation == c->target_incarnation &&
                   m->paused_until <= w->now && random_chance(&w->random, 500)) {
            read_at(w, at, m); /* the owner asks once more for the same */
            return;
        }
    }
    struct member *m = choose(w);
    if (m == NULL) {
        c->target = 0;
        wake(w, at, TICK + random_below(&w->random, TICK));
        return;
    }
    c->target = (uint32_t)m->id;
    c->target_incarnation = m->incarnation;
    if (c->is_read)
        read_at(w, at, m);
    else
        write_at(w, at, m);
}

/* --- answers ---------------------------------------------------------------------------------- */

static bool listens(const struct client *c, const struct member *m)
{
    return c->is_waiting && c->target == m->id && c->target_incarnation == m->incarnation;
}

static void done(struct world *w, uint32_t at)
{
    w->clients[at].is_waiting = false;
    wake(w, at, random_below(&w->random, w->profile.think + 1));
}

void client_applied(struct world *w, struct member *m, const struct command *command,
                    uint64_t index, enum machine_verdict verdict)
{
    uint32_t at = command->client;
    struct client *c = &w->clients[at];
    if (w->oracle.refused[command->attempt] != 0)
        violated(w, "I9", "attempt %u of client %u was called failed, and is applied",
                 command->attempt, at);
    if (verdict == MACHINE_REPEATED)
        covered(w, COVERAGE_WRITE_DUPLICATE);
    if (!m->pending_writes[at].active || m->pending_writes[at].sequence != command->sequence)
        return;
    m->pending_writes[at].active = false;
    if (!listens(c, m) || c->is_read || c->sequence != command->sequence)
        return;
    if (verdict == MACHINE_STALE)
        violated(w, "I9", "client %u is behind its own session", at);
    if (m->machine.sessions[at].sequence != command->sequence)
        violated(w, "I9", "client %u is answered with another command's result", at);
    oracle_acked(w, index);
    covered(w, COVERAGE_WRITE_ACKED);
    if (command->attempt != c->command.attempt)
        covered(w, COVERAGE_WRITE_UNKNOWN_DONE);
    done(w, at);
}

static void answer_read(struct world *w, struct member *m, uint32_t at)
{
    struct client *c = &w->clients[at];
    struct pending_read_of_client *r = &m->pending_reads[at];
    r->active = false;
    m->indexed_reads &= ~(UINT32_C(1) << at);
    if (!listens(c, m) || !c->is_read || c->token != r->token)
        return;
    uint64_t index = r->index < m->machine.applied ? r->index : m->machine.applied;
    if (index < c->floor)
        violated(w, "I9", "client %u reads at %lu from member %u what was %lu before it asked", at,
                 (unsigned long)index, (unsigned)m->id, (unsigned long)c->floor);
    covered(w, COVERAGE_READ_DONE);
    if (m->status.role != RAFT_LEADER)
        covered(w, COVERAGE_READ_REMOTE);
    if (r->leader_at_begin != m->status.leader)
        covered(w, COVERAGE_READ_OVER_LEADER_CHANGE);
    done(w, at);
}

void client_check_reads(struct world *w, struct member *m)
{
    for (uint32_t left = m->indexed_reads; left != 0; left &= left - 1) {
        uint32_t at = (uint32_t)__builtin_ctz(left);
        if (m->pending_reads[at].index <= m->machine.applied ||
            mutant_is(OWNER_MUTANT_READ_BEFORE_APPLY))
            answer_read(w, m, at);
    }
}

void client_read_index(struct world *w, struct member *m, uint64_t token, uint64_t index)
{
    uint32_t at = token & 0xff;
    struct pending_read_of_client *r = &m->pending_reads[at % MAX_CLIENTS];
    if (at >= w->profile.clients)
        violated(w, "I9", "a read's context was changed");
    if (!r->active || r->token != token || r->has_index)
        return;
    r->has_index = true;
    r->index = index;
    m->indexed_reads |= UINT32_C(1) << at;
    if (index > m->machine.applied)
        covered(w, COVERAGE_READ_WAITED_FOR_APPLY);
}

/* Reads are dropped when the leader changes: the owner asks again for those who wait. */
void client_leader_changed(struct world *w, struct member *m)
{
    for (uint32_t at = 0; at < w->profile.clients; at++) {
        struct client *c = &w->clients[at];
        if (listens(c, m) && c->is_read && m->pending_reads[at].active &&
            !m->pending_reads[at].has_index)
            wake(w, at, random_below(&w->random, 2 * TICK));
    }
}
