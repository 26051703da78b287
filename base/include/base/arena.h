/* A bump allocator with one owner: one per query or request, reset when it is done.
 *
 * Memory comes in blocks, of which the first is kept across resets, so a worker's steady state
 * allocates nothing. Not thread-safe. Memory is not zeroed. */
#ifndef WARREN_BASE_ARENA_H
#define WARREN_BASE_ARENA_H

#include "base/attr.h"

#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first; the oldest is the kept one */
    size_t limit;               /* bytes the arena may hold in all; arena_alloc fails beyond */
    size_t total;
};

/* LIMIT bounds all memory the arena takes between two resets. Takes no memory yet. */
void arena_init(struct arena *a, size_t limit);
void arena_fini(struct arena *a);
/* Forgets every allocation; keeps the first block. */
void arena_reset(struct arena *a);

/* SIZE bytes aligned for any type, or NULL beyond the limit or without memory. SIZE 0 gives a
 * unique pointer. */
void *arena_alloc(struct arena *a, size_t size) MUST_CHECK;
/* COUNT items of SIZE; NULL also when the product overflows. */
void *arena_array(struct arena *a, size_t count, size_t size) MUST_CHECK;
/* A copy of SIZE bytes at DATA. */
void *arena_copy(struct arena *a, const void *data, size_t size) MUST_CHECK;

#endif
