/* Changes of the membership: all kinds at random, and the replacement of members that are lost. */
#include "tests/sim/raft/sim.h"

#include <assert.h>
#include <string.h>

static void propose(struct world *w, const struct configuration_change *c)
{
    uint64_t leader = leader_now(w);
    struct member *m = leader != 0 && random_chance(&w->random, 700)
                           ? &w->members[leader]
                           : &w->members[random_between(&w->random, 1, w->member_count - 1)];
    if (m->life != LIFE_UP || m->paused_until > w->now)
        return;
    member_called(w, m, member_propose_change(w, m, c));
}

static void add_item(struct configuration_change *c, enum change_type type, uint64_t id)
{
    c->items[c->item_count++] = (struct change_item){.type = type, .id = id};
}

/* A member with an empty disk, that nobody knows yet: one that was made before, or a new one. 0: no
 * ids are left. */
static uint64_t fresh_member(struct world *w)
{
    const struct configuration_state *now = newest_configuration(w);
    for (uint32_t i = 1; i < w->member_count; i++) {
        const struct member *m = &w->members[i];
        if (m->life == LIFE_UP && m->disk.last == 0 && m->view_last == 0 &&
            !configuration_is_member(now, i))
            return i;
    }
    if (w->member_count >= MAX_MEMBERS)
        return 0;
    struct member *m = &w->members[w->member_count];
    member_init(w, m, w->member_count);
    m->life = LIFE_DOWN;
    member_start(w, m);
    return m->id;
}

static bool has_change(struct entries list)
{
    for (size_t i = 0; i < list.count; i++) {
        if (entry_is_change(&list.items[i]))
            return true;
    }
    return false;
}

bool admin_change_in_flight(struct world *w)
{
    for (size_t i = 0; i < w->queue.count; i++) {
        const struct event *e = &w->queue.items[i];
        if (e->kind != EVENT_PACKET)
            continue;
        const struct packet *p = e->object;
        if (has_change(entry_list_view(&p->message.entries)))
            return true;
    }
    const struct oracle *o = &w->oracle;
    for (uint32_t id = 1; id < w->member_count; id++) {
        const struct member *m = &w->members[id];
        if (m->pump_scheduled || m->turn_busy)
            return true; /* who knows */
        uint64_t last = m->life == LIFE_UP ? m->view_last : m->disk.last;
        for (uint64_t i = o->commit + 1; i <= last; i++) {
            uint64_t term = m->life == LIFE_UP ? m->view[i].term : m->disk.slots[i].term;
            for (const struct variant *v = o->variants[i]; v != NULL; v = v->next) {
                if (v->term == term && v->is_change)
                    return true;
            }
        }
        for (uint64_t i = m->disk.last; i > o->commit; i--) {
            if (m->disk.slots[i].type == ENTRY_CHANGE || m->disk.slots[i].type == ENTRY_CHANGE_V1)
                return true;
        }
        /* Committed, and not everybody will know it after a crash. */
        uint64_t known = m->disk.hard.commit > m->disk.tables.applied ? m->disk.hard.commit
                                                                      : m->disk.tables.applied;
        bool counts = (m->life == LIFE_UP || m->life == LIFE_DOWN || m->life == LIFE_ASKING) &&
                      m->disk.last > 0;
        for (uint64_t i = known + 1; counts && i <= o->commit; i++) {
            for (const struct variant *v = i < o->variants_count ? o->variants[i] : NULL; v != NULL;
                 v = v->next) {
                if (v->is_change)
                    return true;
            }
        }
    }
    return false;
}

/* --- lost members ----------------------------------------------------------------------------- */

static struct member *lost_member(struct world *w)
{
    const struct configuration_state *now = newest_configuration(w);
    for (uint32_t i = 1; i < w->member_count; i++) {
        struct member *m = &w->members[i];
        if ((m->life == LIFE_DESTROYED || m->life == LIFE_GONE || m->is_rolled_back ||
             m->has_damage) &&
            configuration_is_member(now, i))
            return m;
    }
    return NULL;
}

static void leave(struct world *w)
{
    struct configuration_change c = {0};
    propose(w, &c);
}

static void replace(struct world *w, struct member *lost)
{
    struct configuration_change c = {0};
    const struct configuration_state *now = newest_configuration(w);
    if (configuration_is_joint(now)) {
        leave(w);
        return;
    }
    bool is_voter = id_set_has(&now->voters, lost->id);
    if (lost->replacement == 0 || w->members[lost->replacement].life != LIFE_UP)
        lost->replacement = fresh_member(w);
    bool adds = lost->replacement != 0 && !configuration_is_member(now, lost->replacement);
    c.is_v1 = random_chance(&w->random, 300);
    if (c.is_v1 || !adds) {
        /* In steps: first out, then in. */
        add_item(&c, CHANGE_REMOVE, lost->id);
        if (is_voter && now->voters.count == 1)
            return;
    } else {
        add_item(&c, CHANGE_REMOVE, lost->id);
        add_item(&c, is_voter ? CHANGE_ADD_VOTER : CHANGE_ADD_LEARNER, lost->replacement);
        covered(w, COVERAGE_REPLACED);
    }
    propose(w, &c);
}

/* --- any change ------------------------------------------------------------------------------- */

static uint64_t any_of(struct world *w, const struct id_set *set)
{
    return set->count == 0 ? 0 : set->ids[random_below(&w->random, set->count)];
}

static uint64_t comes_back(struct world *w, const struct configuration_state *now)
{
    uint64_t id = random_between(&w->random, 1, w->member_count - 1);
    const struct member *m = &w->members[id];
    if (m->life != LIFE_UP || m->is_stopping || configuration_is_member(now, id))
        return 0;
    if (m->disk.last > 0)
        covered(w, COVERAGE_REMOVED_CAME_BACK);
    return id;
}

static void any_item(struct world *w, const struct configuration_state *now,
                     struct configuration_change *c)
{
    size_t members = now->voters.count + now->learners.count;
    uint64_t id = 0;
    switch (random_below(&w->random, 6)) {
    case 0:
    case 1:
        if (members >= 8)
            break;
        id = random_chance(&w->random, 300) ? comes_back(w, now) : fresh_member(w);
        if (id != 0)
            add_item(c, random_chance(&w->random, 500) ? CHANGE_ADD_LEARNER : CHANGE_ADD_VOTER, id);
        break;
    case 2:
        id = any_of(w, &now->learners);
        if (id != 0 && now->voters.count < 7)
            add_item(c, CHANGE_ADD_VOTER, id);
        break;
    case 3:
        id = any_of(w, &now->voters);
        if (now->voters.count > 1 && id != 0)
            add_item(c, CHANGE_REMOVE, id);
        break;
    case 4:
        id = any_of(w, &now->voters);
        if (now->voters.count > 1 && id != 0)
            add_item(c, CHANGE_ADD_LEARNER, id);
        break;
    default:
        id = any_of(w, &now->learners);
        if (id != 0)
            add_item(c, CHANGE_REMOVE, id);
        break;
    }
}

/* One voter more or less, asked of everybody who leads or thinks so. */
static void simple_change(struct world *w)
{
    const struct configuration_state *now = newest_configuration(w);
    struct configuration_change c = {.is_v1 = true};
    bool adds = now->voters.count <= 3 || (now->voters.count < 6 && random_chance(&w->random, 500));
    uint64_t id = any_of(w, &now->voters);
    if (adds)
        id = random_chance(&w->random, 700) ? comes_back(w, now) : fresh_member(w);
    if (id == 0)
        return;
    add_item(&c, adds ? CHANGE_ADD_VOTER : CHANGE_REMOVE, id);
    for (uint32_t i = 1; i < w->member_count; i++) {
        struct member *m = &w->members[i];
        if (m->life == LIFE_UP && m->status.role == RAFT_LEADER && m->paused_until <= w->now)
            member_called(w, m, member_propose_change(w, m, &c));
    }
}

static void any_change(struct world *w)
{
    struct configuration_change c = {0};
    struct configuration_state now = *newest_configuration(w);
    if (configuration_is_joint(&now) && random_chance(&w->random, 700)) {
        leave(w);
        return;
    }
    size_t items = random_chance(&w->random, 500) ? 1 : random_between(&w->random, 2, 4);
    for (size_t i = 0; i < items; i++)
        any_item(w, &now, &c);
    if (c.item_count == 0)
        return;
    if (c.item_count == 1 && random_chance(&w->random, 400))
        c.is_v1 = true;
    else
        c.transition = (enum change_transition)random_below(&w->random, CHANGE_TRANSITION_COUNT);
    propose(w, &c);
}

void admin_event(struct world *w)
{
    struct member *lost = lost_member(w);
    uint64_t wait = w->is_healed ? 15 * TICK : w->profile.admin_interval;
    schedule(w, wait / 2 + random_below(&w->random, wait + 1), EVENT_ADMIN, 0, 0, NULL);
    if (lost != NULL)
        replace(w, lost);
    else if (!w->is_healed && w->profile.simple_changes)
        simple_change(w);
    else if (!w->is_healed)
        any_change(w);
    else if (configuration_is_joint(newest_configuration(w)))
        leave(w);
}

bool admin_content(struct world *w)
{
    const struct configuration_state *now = newest_configuration(w);
    return lost_member(w) == NULL && !configuration_is_joint(now);
}
