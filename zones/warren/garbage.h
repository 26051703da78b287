/* What a change replaced: readers may still look at it. Every such object begins with a link and is
 * one piece of memory, so that freeing needs to know nothing more. */
#ifndef WARREN_ZONES_WARREN_GARBAGE_H
#define WARREN_ZONES_WARREN_GARBAGE_H

#include "zones/warren.h"

struct zones_warren_garbage {
    struct zones_warren_garbage *next;
};

static inline void garbage_add(struct zones_warren_garbage **list,
                               struct zones_warren_garbage *object)
{
    object->next = *list;
    *list = object;
}

#endif
