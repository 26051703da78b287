/* Who belongs to the cluster, and how that changes (thesis chapter 4; etcd-io/raft's variant, in
 * which a configuration takes effect when its entry is applied).
 *
 * One voter is added or removed at a time, or a joint configuration is entered and left: while it
 * is in force, decisions need a majority of the incoming and one of the outgoing voters. A voter
 * that is to become a learner stays a voter until the joint configuration is left
 * (learners_next).
 *
 * Invariants (configuration_is_valid): learners are no voters; without outgoing voters there are no
 * learners_next and no auto_leave; with them there are incoming ones; learners_next are outgoing
 * voters and neither incoming ones nor learners; nobody is 0; at most ID_SET_MAX members in all.
 * The state without any member is valid, too: that of a member that was not added yet.
 *
 * Everything here is a value and allocates nothing. */
#ifndef WARREN_CORE_CONFIGURATION_H
#define WARREN_CORE_CONFIGURATION_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/err.h"
#include "core/entry.h"
#include "core/quorum.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct configuration_state {
    struct id_set voters;   /* the incoming half of a joint configuration */
    struct id_set outgoing; /* empty if not joint */
    struct id_set learners;
    struct id_set learners_next;
    bool auto_leave;
};

bool configuration_is_valid(const struct configuration_state *c);
bool configuration_equal(const struct configuration_state *a, const struct configuration_state *b);
static inline bool configuration_is_joint(const struct configuration_state *c)
{
    return c->outgoing.count > 0;
}
/* Of either half. */
bool configuration_is_voter(const struct configuration_state *c, uint64_t id);
bool configuration_is_member(const struct configuration_state *c, uint64_t id);
/* Voters of both halves, learners. */
void configuration_members(const struct configuration_state *c, struct id_set *out);

/* --- changes ---------------------------------------------------------------------------------- */

/* Numbers are raftpb's, and part of the log's format. */
enum change_type {
    CHANGE_ADD_VOTER, /* promotes a learner, too */
    CHANGE_REMOVE,
    CHANGE_UPDATE,      /* nothing that Raft knows of: the context says it */
    CHANGE_ADD_LEARNER, /* demotes a voter, too */
    CHANGE_TYPE_COUNT,
};

enum change_transition {
    CHANGE_AUTO,     /* one item: at once; several: as CHANGE_IMPLICIT; none: leave */
    CHANGE_IMPLICIT, /* joint, left by the leader as soon as it is applied */
    CHANGE_EXPLICIT, /* joint, left by a change without items */
    CHANGE_TRANSITION_COUNT,
};

struct change_item {
    enum change_type type;
    uint64_t id; /* 0: does nothing */
};

enum {
    CHANGE_MAX_ITEMS = 64
};

struct configuration_change {
    bool is_v1; /* an ENTRY_CHANGE_V1: one item, CHANGE_AUTO */
    enum change_transition transition;
    size_t item_count;
    struct change_item items[CHANGE_MAX_ITEMS];
    struct bytes context; /* borrowed; the owner's own, opaque here */
};

enum change_verdict {
    CHANGE_OK,
    CHANGE_ALREADY_JOINT,
    CHANGE_NOT_JOINT,
    CHANGE_JOINT_FIRST_LEAVE, /* a simple change while joint */
    CHANGE_NO_VOTERS_YET,     /* a joint change of a configuration without voters */
    CHANGE_REMOVES_ALL_VOTERS,
    CHANGE_MORE_THAN_ONE_VOTER, /* a simple change that touches several */
    CHANGE_TOO_MANY_MEMBERS,
};
/* Static, never NULL. */
const char *change_verdict_text(enum change_verdict verdict);

/* What a change comes to: the configuration, and which of its members are new in it (also those
 * that were removed and added again, so that what was known about their logs is no longer). */
struct change_outcome {
    struct configuration_state state;
    struct id_set added;
};

/* The three kinds. FROM is valid. OUT is written on CHANGE_OK only, and may not be FROM. */
enum change_verdict configuration_simple(const struct configuration_state *from,
                                         const struct change_item *items, size_t count,
                                         struct change_outcome *out);
enum change_verdict configuration_enter_joint(const struct configuration_state *from,
                                              bool auto_leave, const struct change_item *items,
                                              size_t count, struct change_outcome *out);
enum change_verdict configuration_leave_joint(const struct configuration_state *from,
                                              struct change_outcome *out);
/* The one of the three that C asks for. */
enum change_verdict configuration_apply(const struct configuration_state *from,
                                        const struct configuration_change *c,
                                        struct change_outcome *out);

/* Whether C is to leave a joint configuration. */
static inline bool change_is_leave(const struct configuration_change *c)
{
    return c->transition == CHANGE_AUTO && c->item_count == 0;
}

/* As an entry's payload, with one reference: the protobuf form of raftpb's ConfChange (is_v1) or
 * ConfChangeV2, type, id and transition always stated, so that sizes are etcd-io/raft's. NULL if
 * there is no memory. */
struct payload *change_encode(const struct configuration_change *c) MUST_CHECK;
/* TYPE is the entry's. Takes what change_encode makes and nothing else, but for an ENTRY_CHANGE
 * without payload, which leaves. OUT->context borrows from DATA. ERR_MALFORMED. */
enum err change_decode(struct configuration_change *out, enum entry_type type,
                       struct bytes data) MUST_CHECK;

#endif
