/* What goes wrong: machines, links, clocks, disks. Often where it hurts, at the leader. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <string.h>

static struct member *any_member(struct world *w)
{
    uint64_t leader = leader_now(w);
    if (leader != 0 && random_chance(&w->random, 400))
        return &w->members[leader];
    return &w->members[random_between(&w->random, 1, w->member_count - 1)];
}

static struct member *any_running(struct world *w)
{
    struct member *m = any_member(w);
    return m->life == LIFE_UP && m->paused_until <= w->now ? m : NULL;
}

/* --- machines --------------------------------------------------------------------------------- */

static void restart_later(struct world *w, struct member *m)
{
    uint64_t wait = random_chance(&w->random, 600) ? 4 * TICK : 80 * TICK;
    schedule(w, random_below(&w->random, wait), EVENT_START, (uint32_t)m->id, 0, NULL);
}

static void crash(struct world *w, struct member *m)
{
    if (m->life != LIFE_UP)
        return;
    member_crash(w, m);
    restart_later(w, m);
}

void nemesis_crash(struct world *w, struct member *m)
{
    if (w->is_healed || m->life != LIFE_UP)
        return;
    member_crash(w, m);
    schedule(w, random_below(&w->random, TICK / 2), EVENT_START, (uint32_t)m->id, 0, NULL);
    schedule(w, TICK / 2 + random_below(&w->random, TICK), EVENT_CAMPAIGN, (uint32_t)m->id, 0,
             NULL);
}

static void crash_all(struct world *w)
{
    covered(w, COVERAGE_CRASH_OF_ALL);
    for (uint32_t i = 1; i < w->member_count; i++)
        crash(w, &w->members[i]);
}

static void pause(struct world *w, struct member *m)
{
    if (m->life != LIFE_UP || m->paused_until > w->now)
        return;
    uint64_t time = random_below(&w->random, 60 * TICK);
    if (m->status.role == RAFT_LEADER && time > 2 * w->profile.election_ticks * TICK)
        covered(w, COVERAGE_LEADER_PAUSED);
    m->paused_until = w->now + time;
    schedule(w, time, EVENT_RESUME, (uint32_t)m->id, 0, NULL);
}

/* --- links ------------------------------------------------------------------------------------ */

void nemesis_heal_links(struct world *w)
{
    memset(w->cut, 0, sizeof(w->cut));
}

static void heal_later(struct world *w)
{
    uint64_t longest = random_chance(&w->random, 500) ? 15 * TICK : 80 * TICK;
    w->links_generation++;
    schedule(w, random_below(&w->random, longest), EVENT_LINKS_HEAL, 0,
             (uint32_t)w->links_generation, NULL);
}

static void partition(struct world *w)
{
    uint64_t side = random_next(&w->random);
    nemesis_heal_links(w);
    for (uint32_t a = 1; a < w->member_count; a++) {
        for (uint32_t b = 1; b < w->member_count; b++)
            w->cut[a][b] = ((side >> a) & 1) != ((side >> b) & 1);
    }
    heal_later(w);
}

/* M alone, or with one other. */
static void isolate(struct world *w, const struct member *m)
{
    uint64_t friend =
        random_chance(&w->random, 400) ? random_between(&w->random, 1, w->member_count - 1) : m->id;
    nemesis_heal_links(w);
    for (uint32_t i = 1; i < w->member_count; i++) {
        if (i == m->id || i == friend)
            continue;
        w->cut[i][m->id] = w->cut[m->id][i] = 1;
        w->cut[i][friend] = w->cut[friend][i] = 1;
    }
    heal_later(w);
}

static void one_way(struct world *w, const struct member *m)
{
    bool inbound = random_chance(&w->random, 500);
    if (m->status.role == RAFT_LEADER)
        covered(w, COVERAGE_ONE_WAY_CUT_OF_LEADER);
    for (uint32_t i = 1; i < w->member_count; i++) {
        if (random_chance(&w->random, 300))
            continue;
        if (inbound)
            w->cut[i][m->id] = 1;
        else
            w->cut[m->id][i] = 1;
    }
    heal_later(w);
}

static void slow(struct world *w, struct member *m)
{
    uint64_t until = w->now + random_below(&w->random, 60 * TICK);
    if (random_chance(&w->random, 500)) {
        m->slow_disk_until = until;
        return;
    }
    for (uint32_t i = 1; i < w->member_count; i++) {
        w->slow_until[m->id][i] = until;
        if (random_chance(&w->random, 500))
            w->slow_until[i][m->id] = until;
    }
}

/* --- disks ------------------------------------------------------------------------------------ */

static bool keeps_majority(const struct world *w, const struct id_set *voters, uint64_t without)
{
    size_t left = 0;
    for (size_t i = 0; i < voters->count; i++) {
        const struct member *m = &w->members[voters->ids[i]];
        left += m->id != without && m->life != LIFE_DESTROYED && m->life != LIFE_GONE &&
                !m->has_damage && !m->is_rolled_back;
    }
    return voters->count == 0 || left > voters->count / 2;
}

bool nemesis_may_destroy(struct world *w, const struct member *m)
{
    if (w->rollback_pending || m->disk.last == 0 || w->member_count > MAX_MEMBERS - 4)
        return false;
    for (uint32_t i = 1; i < w->member_count; i++) {
        const struct member *other = &w->members[i];
        if ((other->life == LIFE_DESTROYED || other->has_damage) &&
            configuration_is_member(newest_configuration(w), i))
            return false; /* one at a time */
    }
    const struct configuration_state *now = newest_configuration(w);
    return configuration_is_member(now, m->id) && keeps_majority(w, &now->voters, m->id) &&
           keeps_majority(w, &now->outgoing, m->id) && !admin_change_in_flight(w);
}

/* Whether somebody will for certain remember that this disk was further. */
static bool rollback_is_remembered(const struct world *w, const struct member *m)
{
    for (uint32_t i = 1; i < w->member_count; i++) {
        const struct member *other = &w->members[i];
        const struct durable_id *known = &other->disk.memory[m->id];
        if (other == m || other->life == LIFE_DESTROYED || other->life == LIFE_GONE ||
            other->life == LIFE_UNUSED || !configuration_is_member(newest_configuration(w), i))
            continue;
        if (m->old_disk.hard.term < known->term ||
            (m->old_disk.hard.term == known->term && m->old_disk.last < known->index))
            return true;
    }
    return false;
}

static void roll_back(struct world *w, struct member *m)
{
    if (!m->has_old_disk || !rollback_is_remembered(w, m))
        return;
    member_crash(w, m);
    disk_copy(&m->disk, &m->old_disk);
    m->is_rolled_back = true;
    w->rollback_pending = true;
    restart_later(w, m);
}

/* The mutants' ways to lose what was promised: with a part of the disk, or all of it. */
static void damage_unnoticed(struct world *w, struct member *m)
{
    struct disk *d = &m->disk;
    if (mutant_is(OWNER_MUTANT_DAMAGE_TRUNCATED)) {
        uint64_t floor = d->base > d->tables.applied ? d->base : d->tables.applied;
        if (d->last > floor) {
            payload_release(d->slots[d->last].payload);
            d->slots[d->last--].payload = NULL;
        }
        if (d->hard.commit > d->last)
            d->hard.commit = d->last;
        m->has_damage = false;
    } else if (mutant_is(OWNER_MUTANT_WIPED_COMES_BACK)) {
        disk_fini(d);
        d->slots = grow(NULL, &d->capacity, 2, sizeof(*d->slots));
        m->has_damage = false;
    }
    (void)w;
}

static void destroy(struct world *w, struct member *m)
{
    if (m->life != LIFE_UP)
        return;
    if (w->profile.rollback && !m->has_old_disk && m->disk.last > 0 &&
        random_chance(&w->random, 500)) {
        disk_copy(&m->old_disk, &m->disk);
        m->has_old_disk = true;
        return;
    }
    if (!nemesis_may_destroy(w, m))
        return;
    if (w->profile.rollback) {
        roll_back(w, m);
        return;
    }
    member_crash(w, m);
    m->has_damage = true;
    damage_unnoticed(w, m);
    restart_later(w, m);
}

/* --- hostile members -------------------------------------------------------------------------- */

static void hostile(struct world *w, struct member *m)
{
    struct raft_status before, after;
    struct entry e = {.term = 1, .index = 7};
    struct raft_message bad = {.type = MESSAGE_APPEND,
                               .to = m->id,
                               .from = 1 + m->id % (w->member_count - 1),
                               .term = m->status.term};
    switch (random_below(&w->random, 7)) {
    case 0:
        bad.term = UINT64_MAX;
        break;
    case 1: /* a gap between the entries */
        bad.index = 9;
        bad.log_term = 1;
        bad.entries = (struct entry_list){.items = &e, .count = 1};
        break;
    case 2: /* entries that are newer than who sends them */
        bad.log_term = bad.term + 1;
        break;
    case 3: /* ours alone to say */
        bad.type = MESSAGE_CAMPAIGN;
        bad.term = 0;
        break;
    case 4: /* an entry of a term to come */
        e.term = bad.term + 1;
        e.index = 1;
        bad.entries = (struct entry_list){.items = &e, .count = 1};
        break;
    case 5:
        bad.type = MESSAGE_SNAPSHOT; /* without one */
        break;
    default: /* an answer of who is no member */
        bad.type = MESSAGE_APPEND_RESPONSE;
        bad.from = 999;
        break;
    }
    if (bad.from == m->id)
        return;
    raft_status(m->raft, &before);
    enum err error = raft_step(m->raft, &bad);
    raft_status(m->raft, &after);
    if (error == OK || memcmp(&before, &after, sizeof(before)) != 0)
        violated(w, "hostile", "member %u took a %s that nobody sends", (unsigned)m->id,
                 message_type_text(bad.type));
    covered(w, COVERAGE_HOSTILE_REFUSED);
}

/* --- choosing --------------------------------------------------------------------------------- */

static void transfer(struct world *w, struct member *m)
{
    const struct id_set *voters = &m->configuration->state.voters;
    if (voters->count > 0)
        member_called(w, m,
                      raft_transfer_leadership(
                          m->raft, voters->ids[random_below(&w->random, voters->count)]));
}

static void one_fault(struct world *w)
{
    const struct profile *p = &w->profile;
    struct member *m = any_running(w);
    const unsigned weights[] = {p->crash,    p->crash_all, p->partition, p->isolate,
                                p->one_way,  p->pause,     p->slow,      p->full,
                                p->io_error, p->transfer,  p->campaign,  p->forget,
                                p->no_ticks, p->destroy,   p->hostile,   p->unreachable};
    unsigned sum = 0, at = 0;
    for (size_t i = 0; i < ARRAY_COUNT(weights); i++)
        sum += weights[i];
    if (m == NULL || sum == 0)
        return;
    uint64_t roll = random_below(&w->random, sum);
    while (roll >= weights[at])
        roll -= weights[at++];
    switch (at) {
    case 0:
        crash(w, m);
        break;
    case 1:
        crash_all(w);
        break;
    case 2:
        partition(w);
        break;
    case 3:
        isolate(w, m);
        break;
    case 4:
        one_way(w, m);
        break;
    case 5:
        pause(w, m);
        break;
    case 6:
        slow(w, m);
        break;
    case 7:
        m->full_until = w->now + random_below(&w->random, 30 * TICK);
        break;
    case 8:
        m->fail_next_write = true;
        break;
    case 9:
        transfer(w, m);
        break;
    case 10:
        member_called(w, m, raft_campaign(m->raft));
        break;
    case 11:
        member_called(w, m, raft_forget_leader(m->raft));
        break;
    case 12:
        m->no_ticks_until = w->now + random_below(&w->random, 100 * TICK);
        break;
    case 13:
        destroy(w, m);
        break;
    case 14:
        hostile(w, m);
        break;
    default:
        member_called(
            w, m,
            raft_report_unreachable(m->raft, random_between(&w->random, 1, w->member_count - 1)));
        break;
    }
}

void nemesis_event(struct world *w)
{
    if (w->is_healed)
        return;
    schedule(w, random_below(&w->random, w->profile.fault_interval + 1), EVENT_FAULT, 0, 0, NULL);
    one_fault(w);
}

void nemesis_heal(struct world *w)
{
    nemesis_heal_links(w);
    memset(w->slow_until, 0, sizeof(w->slow_until));
    /* Well within an election time-out, or there may never be a leader. */
    w->profile.delay_spread = w->profile.delay_min = TICK / 10;
    w->profile.disk_spread = TICK / 10;
    for (uint32_t i = 1; i < w->member_count; i++) {
        struct member *m = &w->members[i];
        m->full_until = m->slow_disk_until = m->no_ticks_until = 0;
        m->fail_next_write = false;
        /* The one whom the others must elect may be the one with the slowest clock. */
        m->tick_period = random_between(&w->random, TICK - TICK / 8, TICK + TICK / 8);
        if (m->life == LIFE_DOWN || m->life == LIFE_ASKING)
            schedule(w, random_below(&w->random, TICK), EVENT_START, i, 0, NULL);
    }
    schedule(w, TICK, EVENT_ADMIN, 0, 0, NULL);
    for (uint32_t i = 0; i < w->profile.clients; i++) {
        if (!w->clients[i].is_waiting)
            schedule(w, random_below(&w->random, TICK), EVENT_CLIENT, 0, i,
                     (void *)(uintptr_t)w->clients[i].wake);
    }
}
