/* Deadlines of calls, the soonest first: a binary heap whose items know their place, so that one
 * that is answered in time leaves at once. */
#ifndef WARREN_REGISTRY_API_DEADLINES_H
#define WARREN_REGISTRY_API_DEADLINES_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct deadline {
    uint64_t at_ms;
    size_t place; /* 1 and up; 0: not in a heap */
};

struct deadlines {
    struct deadline **items; /* from 1 on */
    size_t count;
    size_t capacity;
};

void deadlines_fini(struct deadlines *d);
/* ITEM stays the caller's. False without memory. */
bool deadlines_add(struct deadlines *d, struct deadline *item, uint64_t at_ms) MUST_CHECK;
void deadlines_remove(struct deadlines *d, struct deadline *item); /* also of one not there */
/* NULL: none. */
struct deadline *deadlines_first(const struct deadlines *d);

#endif
