/* Ranges of keys by what they contain: an AVL tree by (from, end) in which each node knows the
 * farthest end below it, so that the ranges around a key are found without looking at the rest. */
#ifndef WARREN_REGISTRY_STATE_INTERVAL_H
#define WARREN_REGISTRY_STATE_INTERVAL_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>

/* Part of what the caller allocates. FROM and END, which is never empty ("\0": up to the last
 * key), are the caller's to set and to keep. */
struct interval {
    struct bytes from;
    struct bytes end;
    struct bytes farthest; /* the greatest end here and below */
    struct interval *left;
    struct interval *right;
    unsigned height;
};

struct interval *interval_find(struct interval *root, struct bytes from, struct bytes end);
/* ADDED's range must not be there; NODE's must. Both return the new root. */
struct interval *interval_insert(struct interval *root, struct interval *added);
struct interval *interval_remove(struct interval *root, struct interval *node);
/* Calls EACH for every range that contains KEY. The tree must not change meanwhile. */
void interval_each(struct interval *root, struct bytes key,
                   void (*each)(void *context, struct interval *node), void *context);

#endif
