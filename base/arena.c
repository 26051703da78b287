#include "base/arena.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_BLOCK_SIZE = 8192,
    MAX_BLOCK_SIZE = 1 << 18, /* growth stops here; a larger request gets a block of its own size */
};

struct arena_block {
    struct arena_block *older;
    size_t size; /* of data */
    size_t used;
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

void arena_fini(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *older = a->blocks->older;
        free(a->blocks);
        a->blocks = older;
    }
    a->total = 0;
}

void arena_reset(struct arena *a)
{
    if (!a->blocks)
        return;
    while (a->blocks->older) {
        struct arena_block *older = a->blocks->older;
        free(a->blocks);
        a->blocks = older;
    }
    a->blocks->used = 0;
    a->total = sizeof(struct arena_block) + a->blocks->size;
}

/* A new newest block with room for SIZE bytes, or NULL. */
static struct arena_block *add_block(struct arena *a, size_t size)
{
    size_t left = a->limit - a->total;
    size_t want = a->blocks ? a->blocks->size * 2 : FIRST_BLOCK_SIZE;

    if (left < sizeof(struct arena_block) || size > left - sizeof(struct arena_block))
        return NULL;
    if (want > MAX_BLOCK_SIZE)
        want = MAX_BLOCK_SIZE;
    if (want > left - sizeof(struct arena_block))
        want = left - sizeof(struct arena_block);
    if (want < size)
        want = size;

    struct arena_block *block = malloc(sizeof *block + want);
    if (!block)
        return NULL;
    *block = (struct arena_block){.older = a->blocks, .size = want};
    a->blocks = block;
    a->total += sizeof *block + want;
    return block;
}

void *arena_alloc(struct arena *a, size_t size)
{
    const size_t align = alignof(max_align_t);
    struct arena_block *block = a->blocks;

    if (size > a->limit || size > SIZE_MAX - align)
        return NULL;
    size = size ? (size + align - 1) / align * align : align;
    if (!block || size > block->size - block->used)
        block = add_block(a, size);
    if (!block)
        return NULL;
    void *memory = block->data + block->used;
    block->used += size;
    return memory;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t product;

    if (__builtin_mul_overflow(count, size, &product))
        return NULL;
    return arena_alloc(a, product);
}

void *arena_copy(struct arena *a, const void *data, size_t size)
{
    void *copy = arena_alloc(a, size);

    if (copy && size > 0)
        memcpy(copy, data, size);
    return copy;
}
