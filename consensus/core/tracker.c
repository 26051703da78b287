#include "consensus/core/machine.h"

#include <assert.h>

void tracker_fini(struct tracker *t)
{
    for (size_t i = 0; i < t->count; i++)
        inflights_fini(&t->members[i].inflights);
    t->count = 0;
}

static struct progress new_member(const struct tracker *t, uint64_t id, uint64_t last_index)
{
    struct progress p = {.id = id};
    inflights_init(&p.inflights, t->max_inflight, t->max_inflight_size);
    progress_reset(&p, 0, last_index > 1 ? last_index : 1);
    /* Or CheckQuorum could make us step down before the member had a chance to answer. */
    p.recent_active = true;
    return p;
}

void tracker_set(struct tracker *t, const struct configuration_state *state,
                 const struct id_set *added, uint64_t last_index)
{
    struct id_set ids;
    struct progress members[ID_SET_MAX];
    configuration_members(state, &ids);
    for (size_t i = 0; i < ids.count; i++) {
        struct progress *known = id_set_has(added, ids.ids[i]) ? NULL : tracker_find(t, ids.ids[i]);
        if (known != NULL) {
            members[i] = *known;
            inflights_init(&known->inflights, 0, 0); /* its memory has moved */
        } else {
            members[i] = new_member(t, ids.ids[i], last_index);
        }
        members[i].is_learner = id_set_has(&state->learners, ids.ids[i]);
    }
    tracker_fini(t);
    for (size_t i = 0; i < ids.count; i++)
        t->members[i] = members[i];
    t->count = ids.count;
    t->configuration = *state;
}

struct progress *tracker_find(struct tracker *t, uint64_t id)
{
    for (size_t i = 0; i < t->count; i++) {
        if (t->members[i].id == id)
            return &t->members[i];
    }
    return NULL;
}

static uint64_t matched(const void *context, uint64_t id)
{
    const struct tracker *t = context;
    for (size_t i = 0; i < t->count; i++) {
        if (t->members[i].id == id)
            return t->members[i].match;
    }
    return 0;
}

uint64_t tracker_committed(const struct tracker *t)
{
    return quorum_joint_committed(&t->configuration.voters, &t->configuration.outgoing, matched, t);
}

void tracker_record_vote(struct tracker *t, uint64_t id, bool granted)
{
    if (id_set_has(&t->yes, id) || id_set_has(&t->no, id))
        return;
    /* Full only of votes of those who were removed meanwhile: one less then counts. */
    (void)id_set_add(granted ? &t->yes : &t->no, id);
}

enum vote_result tracker_tally(const struct tracker *t)
{
    return quorum_joint_vote(&t->configuration.voters, &t->configuration.outgoing, &t->yes, &t->no);
}

void tracker_reset_votes(struct tracker *t)
{
    t->yes = t->no = (struct id_set){0};
}

bool tracker_quorum_active(const struct tracker *t)
{
    struct id_set active = {0}, silent = {0};
    for (size_t i = 0; i < t->count; i++) {
        if (!t->members[i].is_learner)
            (void)id_set_add(t->members[i].recent_active ? &active : &silent, t->members[i].id);
    }
    return quorum_joint_vote(&t->configuration.voters, &t->configuration.outgoing, &active,
                             &silent) == VOTE_WON;
}
