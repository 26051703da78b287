#include "core/configuration.h"

#include <assert.h>

static bool disjoint(const struct id_set *a, const struct id_set *b)
{
    for (size_t i = 0; i < a->count; i++) {
        if (id_set_has(b, a->ids[i]))
            return false;
    }
    return true;
}

static bool contains(const struct id_set *all, const struct id_set *some)
{
    for (size_t i = 0; i < some->count; i++) {
        if (!id_set_has(all, some->ids[i]))
            return false;
    }
    return true;
}

static bool is_set(const struct id_set *set)
{
    if (set->count > ID_SET_MAX || (set->count > 0 && set->ids[0] == 0))
        return false;
    for (size_t i = 1; i < set->count; i++) {
        if (set->ids[i - 1] >= set->ids[i])
            return false;
    }
    return true;
}

bool configuration_is_valid(const struct configuration_state *c)
{
    struct id_set all = {0};
    if (!is_set(&c->voters) || !is_set(&c->outgoing) || !is_set(&c->learners) ||
        !is_set(&c->learners_next))
        return false;
    if (!id_set_add_all(&all, &c->voters) || !id_set_add_all(&all, &c->outgoing) ||
        !id_set_add_all(&all, &c->learners))
        return false;
    if (c->voters.count == 0 && all.count > 0)
        return false;
    if (!disjoint(&c->learners, &c->voters) || !disjoint(&c->learners, &c->outgoing))
        return false;
    if (!configuration_is_joint(c))
        return c->learners_next.count == 0 && !c->auto_leave;
    return contains(&c->outgoing, &c->learners_next) && disjoint(&c->learners_next, &c->voters);
}

bool configuration_equal(const struct configuration_state *a, const struct configuration_state *b)
{
    return id_set_equal(&a->voters, &b->voters) && id_set_equal(&a->outgoing, &b->outgoing) &&
           id_set_equal(&a->learners, &b->learners) &&
           id_set_equal(&a->learners_next, &b->learners_next) && a->auto_leave == b->auto_leave;
}

bool configuration_is_voter(const struct configuration_state *c, uint64_t id)
{
    return id_set_has(&c->voters, id) || id_set_has(&c->outgoing, id);
}

bool configuration_is_member(const struct configuration_state *c, uint64_t id)
{
    return configuration_is_voter(c, id) || id_set_has(&c->learners, id);
}

void configuration_members(const struct configuration_state *c, struct id_set *out)
{
    *out = c->voters;
    bool fits = id_set_add_all(out, &c->outgoing) && id_set_add_all(out, &c->learners);
    assert(fits); /* of a valid one */
}

const char *change_verdict_text(enum change_verdict verdict)
{
    switch (verdict) {
    case CHANGE_OK:
        return "applied";
    case CHANGE_ALREADY_JOINT:
        return "config is already joint";
    case CHANGE_NOT_JOINT:
        return "can't leave a non-joint config";
    case CHANGE_JOINT_FIRST_LEAVE:
        return "can't apply simple config change in joint config";
    case CHANGE_NO_VOTERS_YET:
        return "can't make a zero-voter config joint";
    case CHANGE_REMOVES_ALL_VOTERS:
        return "removed all voters";
    case CHANGE_MORE_THAN_ONE_VOTER:
        return "more than one voter changed without entering joint config";
    case CHANGE_TOO_MANY_MEMBERS:
        return "too many members";
    }
    return "unknown verdict";
}

/* --- single items ----------------------------------------------------------------------------- */

static bool make_voter(struct change_outcome *o, uint64_t id)
{
    if (!configuration_is_member(&o->state, id) && !id_set_add(&o->added, id))
        return false;
    id_set_remove(&o->state.learners, id);
    id_set_remove(&o->state.learners_next, id);
    return id_set_add(&o->state.voters, id);
}

static void remove_member(struct change_outcome *o, uint64_t id)
{
    id_set_remove(&o->state.voters, id);
    id_set_remove(&o->state.learners, id);
    id_set_remove(&o->state.learners_next, id);
    /* An outgoing voter stays one, and what is known about it is kept. */
    if (!id_set_has(&o->state.outgoing, id))
        id_set_remove(&o->added, id);
}

static bool make_learner(struct change_outcome *o, uint64_t id)
{
    if (id_set_has(&o->state.learners, id))
        return true;
    if (!configuration_is_member(&o->state, id) && !id_set_add(&o->added, id))
        return false;
    id_set_remove(&o->state.voters, id);
    /* Still a voter of the outgoing half: a learner only once that half is left. */
    if (id_set_has(&o->state.outgoing, id))
        return id_set_add(&o->state.learners_next, id);
    return id_set_add(&o->state.learners, id);
}

static enum change_verdict apply_items(struct change_outcome *o, const struct change_item *items,
                                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool fits = true;
        if (items[i].id == 0)
            continue;
        switch (items[i].type) {
        case CHANGE_ADD_VOTER:
            fits = make_voter(o, items[i].id);
            break;
        case CHANGE_ADD_LEARNER:
            fits = make_learner(o, items[i].id);
            break;
        case CHANGE_REMOVE:
            remove_member(o, items[i].id);
            break;
        case CHANGE_UPDATE:
            break;
        case CHANGE_TYPE_COUNT:
            assert(false);
        }
        if (!fits)
            return CHANGE_TOO_MANY_MEMBERS;
    }
    if (o->state.voters.count == 0)
        return CHANGE_REMOVES_ALL_VOTERS;
    struct id_set all = o->state.voters;
    if (!id_set_add_all(&all, &o->state.outgoing) || !id_set_add_all(&all, &o->state.learners))
        return CHANGE_TOO_MANY_MEMBERS;
    assert(configuration_is_valid(&o->state));
    return CHANGE_OK;
}

/* --- the three kinds of change ---------------------------------------------------------------- */

/* In one of A and B, but not in both. */
static size_t symmetric_difference(const struct id_set *a, const struct id_set *b)
{
    size_t count = 0;
    for (size_t i = 0; i < a->count; i++)
        count += !id_set_has(b, a->ids[i]);
    for (size_t i = 0; i < b->count; i++)
        count += !id_set_has(a, b->ids[i]);
    return count;
}

enum change_verdict configuration_simple(const struct configuration_state *from,
                                         const struct change_item *items, size_t count,
                                         struct change_outcome *out)
{
    struct change_outcome o = {.state = *from};
    if (configuration_is_joint(from))
        return CHANGE_JOINT_FIRST_LEAVE;
    enum change_verdict verdict = apply_items(&o, items, count);
    if (verdict != CHANGE_OK)
        return verdict;
    if (symmetric_difference(&from->voters, &o.state.voters) > 1)
        return CHANGE_MORE_THAN_ONE_VOTER;
    *out = o;
    return CHANGE_OK;
}

enum change_verdict configuration_enter_joint(const struct configuration_state *from,
                                              bool auto_leave, const struct change_item *items,
                                              size_t count, struct change_outcome *out)
{
    struct change_outcome o = {.state = *from};
    if (configuration_is_joint(from))
        return CHANGE_ALREADY_JOINT;
    if (from->voters.count == 0)
        return CHANGE_NO_VOTERS_YET;
    o.state.outgoing = from->voters;
    o.state.auto_leave = auto_leave;
    enum change_verdict verdict = apply_items(&o, items, count);
    if (verdict == CHANGE_OK)
        *out = o;
    return verdict;
}

enum change_verdict configuration_leave_joint(const struct configuration_state *from,
                                              struct change_outcome *out)
{
    if (!configuration_is_joint(from))
        return CHANGE_NOT_JOINT;
    *out = (struct change_outcome){.state = *from};
    bool fits = id_set_add_all(&out->state.learners, &from->learners_next);
    assert(fits); /* they were members before */
    out->state.outgoing = out->state.learners_next = (struct id_set){0};
    out->state.auto_leave = false;
    assert(configuration_is_valid(&out->state));
    return CHANGE_OK;
}

enum change_verdict configuration_apply(const struct configuration_state *from,
                                        const struct configuration_change *c,
                                        struct change_outcome *out)
{
    if (change_is_leave(c))
        return configuration_leave_joint(from, out);
    if (c->transition != CHANGE_AUTO || c->item_count > 1)
        return configuration_enter_joint(from, c->transition != CHANGE_EXPLICIT, c->items,
                                         c->item_count, out);
    return configuration_simple(from, c->items, c->item_count, out);
}
