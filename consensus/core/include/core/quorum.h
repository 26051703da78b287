/* Majorities: sets of member ids, the index that a majority has acknowledged, the outcome of a
 * vote. A joint configuration asks two majorities (thesis section 4.3); an empty set agrees to
 * everything, so that a configuration that is not joint is one with an empty half. */
#ifndef WARREN_CORE_QUORUM_H
#define WARREN_CORE_QUORUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ID_SET_MAX = 64
};

/* Rising, without repetition. All zero: empty. */
struct id_set {
    size_t count;
    uint64_t ids[ID_SET_MAX];
};

bool id_set_has(const struct id_set *set, uint64_t id);
/* False if it is full and ID is not in it. */
bool id_set_add(struct id_set *set, uint64_t id);
/* False if ID was not in it. */
bool id_set_remove(struct id_set *set, uint64_t id);
bool id_set_equal(const struct id_set *a, const struct id_set *b);
/* False if there is no room for all: then OUT holds some of them. */
bool id_set_add_all(struct id_set *out, const struct id_set *more);

/* What ID has acknowledged; 0 if it was not heard of. */
typedef uint64_t quorum_acked_fn(const void *context, uint64_t id);

/* The highest index that a majority of VOTERS has acknowledged; UINT64_MAX without voters. */
uint64_t quorum_committed(const struct id_set *voters, quorum_acked_fn *acked, const void *context);
/* That both majorities have. */
uint64_t quorum_joint_committed(const struct id_set *incoming, const struct id_set *outgoing,
                                quorum_acked_fn *acked, const void *context);

enum vote_result {
    VOTE_PENDING,
    VOTE_LOST,
    VOTE_WON
};

/* YES and NO are disjoint; who is in neither has not answered. */
enum vote_result quorum_vote(const struct id_set *voters, const struct id_set *yes,
                             const struct id_set *no);
enum vote_result quorum_joint_vote(const struct id_set *incoming, const struct id_set *outgoing,
                                   const struct id_set *yes, const struct id_set *no);

#endif
