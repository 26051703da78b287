/* An ordered set of entries by key: a B-tree of pointers, made for memory thrift.
 *
 * An entry is any allocation that begins with a flag octet, the key's size as a varint and the
 * key. Entries are owned by whoever put them in; the same one may stand in two trees. A node keeps
 * the length of the prefix that all its keys share and the four bytes behind it, so that a search
 * looks at one or two entries a node and not at six. Every node knows how many counted entries are
 * below it: the size of a range costs no walk. */
#ifndef WARREN_REGISTRY_STATE_TREE_H
#define WARREN_REGISTRY_STATE_TREE_H

#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENTRY_UNCOUNTED = 1, /* flag: tree_count passes over it (a tombstone) */
    /* A node other than the rightmost of its level keeps a quarter of its room filled, so this is
     * more than any memory can hold. */
    TREE_MAX_DEPTH = 24,
};

struct tree_node;

struct tree {
    struct tree_node *root; /* NULL: empty */
};

struct tree_cursor {
    size_t depth; /* 0: at the end */
    struct {
        struct tree_node *node;
        size_t index;
    } at[TREE_MAX_DEPTH];
};

/* Reads a varint that was written by us. */
static inline const uint8_t *varint_read(const uint8_t *at, uint64_t *value)
{
    uint64_t result = *at & 0x7f;
    for (unsigned shift = 7; *at++ & 0x80; shift += 7)
        result |= (uint64_t)(*at & 0x7f) << shift;
    *value = result;
    return at;
}

static inline size_t varint_size(uint64_t value)
{
    size_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static inline uint8_t *varint_write(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static inline struct bytes entry_key(const void *entry)
{
    uint64_t size;
    const uint8_t *key = varint_read((const uint8_t *)entry + 1, &size);
    return bytes_of(key, (size_t)size);
}

/* Frees the nodes; the entries are their owner's. */
void tree_fini(struct tree *t);
void *tree_find(const struct tree *t, struct bytes key);
/* ENTRY's key must not be in the tree. ERR_NO_MEMORY leaves the tree as it was. */
enum err tree_insert(struct tree *t, void *entry) MUST_CHECK;
/* Puts ENTRY in the place of the entry with its key, which must be there, and returns that one. */
void *tree_replace(struct tree *t, void *entry);
/* NULL if it is not there. Needs no memory. */
void *tree_remove(struct tree *t, struct bytes key);

/* The first entry with a key >= KEY; an empty KEY: the first of all. */
void tree_seek(const struct tree *t, struct bytes key, struct tree_cursor *c);
/* NULL at the end. A cursor is valid until an entry is inserted or removed. */
void *tree_at(const struct tree_cursor *c);
void tree_next(struct tree_cursor *c);
/* The first counted entry with a key >= KEY, and the next counted one: most of the others that lie
 * together are not even looked at. */
void tree_seek_counted(const struct tree *t, struct bytes key, struct tree_cursor *c);
void tree_next_counted(struct tree_cursor *c);
/* As tree_replace, for the entry under the cursor. */
void *tree_cursor_replace(struct tree_cursor *c, void *entry);
/* Counted entries with a key < KEY. */
size_t tree_rank(const struct tree *t, struct bytes key);
/* Counted entries. */
size_t tree_count(const struct tree *t);

#endif
