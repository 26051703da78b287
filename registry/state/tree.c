#include "registry/state/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODE_CAPACITY = 64,
    NODE_MIN = NODE_CAPACITY / 4,
    WALK_AHEAD = 8,    /* entries */
    LINE_SIZE = 64,    /* of a processor's cache, about */
    ROOT_CAPACITY = 4, /* of a tree with few entries: there is one for each lease */
};

/* Behind it: entries[capacity], heads[capacity] and, of an inner node, children[capacity + 1]. */
struct tree_node {
    size_t live; /* counted entries here and below */
    /* The last eight octets (or fewer) of the prefix: a search that knows the rest from above needs
     * not look at an entry for it. */
    uint64_t tail;
    uint32_t prefix_size;
    uint16_t count; /* >= 1 */
    uint8_t capacity;
    bool is_leaf;
};

static void **entries_of(struct tree_node *n)
{
    return (void **)(void *)(n + 1);
}

static uint32_t *heads_of(struct tree_node *n)
{
    return (uint32_t *)(void *)(entries_of(n) + n->capacity);
}

static struct tree_node **children_of(struct tree_node *n)
{
    assert(!n->is_leaf);
    return (struct tree_node **)(void *)(heads_of(n) + n->capacity);
}

/* What a search looks at first, fetched at once and not one after the other. Any node but a root
 * has the full capacity. */
static void prefetch_node(const struct tree_node *n)
{
    const uint8_t *heads = (const uint8_t *)(n + 1) + NODE_CAPACITY * sizeof(void *);
    __builtin_prefetch(n);
    for (size_t at = 0; at < NODE_CAPACITY * sizeof(uint32_t); at += LINE_SIZE)
        __builtin_prefetch(heads + at);
}

static size_t weight(const void *entry)
{
    return (*(const uint8_t *)entry & ENTRY_UNCOUNTED) == 0;
}

static size_t node_size(size_t capacity, bool is_leaf)
{
    size_t size = sizeof(struct tree_node) + capacity * (sizeof(void *) + sizeof(uint32_t));
    return is_leaf ? size : size + (capacity + 1) * sizeof(struct tree_node *);
}

static struct tree_node *node_create(size_t capacity, bool is_leaf)
{
    struct tree_node *n = malloc(node_size(capacity, is_leaf));
    if (n != NULL)
        *n = (struct tree_node){.capacity = (uint8_t)capacity, .is_leaf = is_leaf};
    return n;
}

/* --- heads ------------------------------------------------------------------------------------ */

/* The four bytes of KEY behind OFFSET, as a number that orders as they do. */
static uint32_t head_of(struct bytes key, size_t offset)
{
    uint32_t head = 0;
    for (size_t i = 0; i < sizeof(head); i++)
        head = head << 8 | (offset + i < key.size ? key.data[offset + i] : 0);
    return head;
}

static size_t common_size(struct bytes a, struct bytes b)
{
    size_t most = a.size < b.size ? a.size : b.size, size = 0;
    while (size < most && a.data[size] == b.data[size])
        size++;
    return size;
}

enum {
    TAIL_SIZE = 8
};

/* The last octets of KEY's first SIZE, at most TAIL_SIZE. */
static uint64_t tail_of(struct bytes key, size_t size)
{
    uint64_t tail = 0;
    for (size_t i = size > TAIL_SIZE ? size - TAIL_SIZE : 0; i < size; i++)
        tail = tail << 8 | key.data[i];
    return tail;
}

static void set_prefix(struct tree_node *n, size_t prefix_size)
{
    n->prefix_size = (uint32_t)prefix_size;
    n->tail = tail_of(entry_key(entries_of(n)[0]), prefix_size);
    for (size_t i = 0; i < n->count; i++)
        heads_of(n)[i] = head_of(entry_key(entries_of(n)[i]), prefix_size);
}

/* Finds the prefix that all keys share now. */
static void renew_prefix(struct tree_node *n)
{
    if (n->count > 0)
        set_prefix(
            n, common_size(entry_key(entries_of(n)[0]), entry_key(entries_of(n)[n->count - 1])));
}

static void renew_live(struct tree_node *n)
{
    n->live = 0;
    for (size_t i = 0; i < n->count; i++)
        n->live += weight(entries_of(n)[i]);
    for (size_t i = 0; !n->is_leaf && i <= n->count; i++)
        n->live += children_of(n)[i]->live;
}

/* After entries were moved in or out in bulk. */
static void rebuild(struct tree_node *n)
{
    renew_prefix(n);
    renew_live(n);
}

/* How KEY stands to the node's prefix: 0 if it begins with it. KNOWN of its octets are known to be
 * those of every key of the node, of which the entry SAMPLE is one. */
static int compare_prefix(struct tree_node *n, struct bytes key, size_t known, size_t sample)
{
    size_t prefix = n->prefix_size;
    if (known >= prefix)
        return 0;
    if (key.size >= prefix && prefix <= known + TAIL_SIZE) {
        uint64_t tail = tail_of(key, prefix);
        return tail < n->tail ? -1 : tail > n->tail;
    }
    /* A key that ends inside the prefix stands before all that begin with it. */
    struct bytes shared = bytes_of(entry_key(entries_of(n)[sample]).data, prefix);
    key.size = key.size < prefix ? key.size : prefix;
    return bytes_compare(key, shared);
}

/* The slot's entry is new; its head and perhaps the prefix follow. */
static void note_entry(struct tree_node *n, size_t index, size_t known)
{
    struct bytes key = entry_key(entries_of(n)[index]);
    size_t other = index == 0 ? 1 : 0;
    if (n->count == 1) {
        set_prefix(n, key.size);
    } else if (compare_prefix(n, key, known, other) != 0) {
        size_t common = common_size(key, entry_key(entries_of(n)[other]));
        set_prefix(n, common < n->prefix_size ? common : n->prefix_size);
    } else {
        heads_of(n)[index] = head_of(key, n->prefix_size);
    }
}

/* The first entry whose key is not below KEY. KNOWN, of which compare_prefix tells, is raised to
 * what is known of the child below that place. */
static size_t lower_bound(struct tree_node *n, struct bytes key, size_t *known, bool *found)
{
    *found = false;
    int order = compare_prefix(n, key, *known, 0);
    if (order != 0)
        return order < 0 ? 0 : n->count;

    const uint32_t *heads = heads_of(n);
    uint32_t head = head_of(key, n->prefix_size);
    size_t low = 0, high = n->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (heads[middle] < head) {
            low = middle + 1;
        } else if (heads[middle] > head) {
            high = middle;
        } else {
            int compared = bytes_compare(entry_key(entries_of(n)[middle]), key);
            if (compared == 0) {
                *found = true;
                return middle;
            }
            if (compared < 0)
                low = middle + 1;
            else
                high = middle;
        }
    }
    /* Between two entries all keys share what these two do. */
    if (low > 0 && low < n->count && *known < n->prefix_size)
        *known = n->prefix_size;
    return low;
}

/* --- inserting -------------------------------------------------------------------------------- */

static void open_slot(struct tree_node *n, size_t index)
{
    size_t behind = n->count - index;
    memmove(&entries_of(n)[index + 1], &entries_of(n)[index], behind * sizeof(void *));
    memmove(&heads_of(n)[index + 1], &heads_of(n)[index], behind * sizeof(uint32_t));
    if (!n->is_leaf)
        memmove(&children_of(n)[index + 2], &children_of(n)[index + 1],
                behind * sizeof(struct tree_node *));
    n->count++;
}

/* Removes an entry and, of an inner node, the child behind it. */
static void close_slot(struct tree_node *n, size_t index)
{
    size_t behind = n->count - index - 1u;
    memmove(&entries_of(n)[index], &entries_of(n)[index + 1], behind * sizeof(void *));
    memmove(&heads_of(n)[index], &heads_of(n)[index + 1], behind * sizeof(uint32_t));
    if (!n->is_leaf)
        memmove(&children_of(n)[index + 1], &children_of(n)[index + 2],
                behind * sizeof(struct tree_node *));
    n->count--;
}

/* Half of a node that was split. Its heads are renewed only when they have come to be alike, for
 * that looks at every key. */
static void refresh(struct tree_node *n, bool all_count)
{
    if ((heads_of(n)[0] ^ heads_of(n)[n->count - 1u]) < UINT32_C(1) << 16)
        renew_prefix(n);
    if (all_count)
        n->live = n->count;
    else
        renew_live(n);
}

/* Splits the full child INDEX of PARENT around its entry KEPT, which moves up. */
static enum err split_child(struct tree_node *parent, size_t index, size_t kept)
{
    struct tree_node *left = children_of(parent)[index];
    struct tree_node *right = node_create(NODE_CAPACITY, left->is_leaf);
    if (right == NULL)
        return ERR_NO_MEMORY;
    right->count = (uint16_t)(left->count - kept - 1);
    memcpy(entries_of(right), &entries_of(left)[kept + 1], right->count * sizeof(void *));
    if (!left->is_leaf)
        memcpy(children_of(right), &children_of(left)[kept + 1],
               (right->count + 1u) * sizeof(struct tree_node *));
    memcpy(heads_of(right), &heads_of(left)[kept + 1], right->count * sizeof(uint32_t));
    right->prefix_size = left->prefix_size;
    right->tail = left->tail;
    void *moved = entries_of(left)[kept];
    bool all_count = left->is_leaf && left->live == left->count;
    left->count = (uint16_t)kept;
    refresh(left, all_count);
    refresh(right, all_count);

    open_slot(parent, index);
    entries_of(parent)[index] = moved;
    children_of(parent)[index + 1] = right;
    note_entry(parent, index, 0);
    return OK;
}

/* Makes room in the root: a small leaf grows, a full node gets a parent. */
static enum err grow_root(struct tree *t)
{
    struct tree_node *old = t->root;
    if (old->capacity < NODE_CAPACITY) {
        struct tree_node *grown = node_create(old->capacity * 2u, true);
        if (grown == NULL)
            return ERR_NO_MEMORY;
        grown->live = old->live;
        grown->prefix_size = old->prefix_size;
        grown->tail = old->tail;
        grown->count = old->count;
        memcpy(entries_of(grown), entries_of(old), old->count * sizeof(void *));
        memcpy(heads_of(grown), heads_of(old), old->count * sizeof(uint32_t));
        free(old);
        t->root = grown;
        return OK;
    }
    struct tree_node *root = node_create(NODE_CAPACITY, false);
    if (root == NULL)
        return ERR_NO_MEMORY;
    root->live = old->live;
    children_of(root)[0] = old;
    if (split_child(root, 0, NODE_CAPACITY / 2) != OK) {
        free(root);
        return ERR_NO_MEMORY;
    }
    t->root = root;
    return OK;
}

static bool is_full(const struct tree_node *n)
{
    return n->count == n->capacity;
}

/* The child for KEY at INDEX of N, split if it is full. */
static struct tree_node *child_with_room(struct tree_node *n, size_t index, struct bytes key,
                                         bool is_last)
{
    struct tree_node *child = children_of(n)[index];
    if (!is_full(child))
        return child;
    /* Keys that only rise leave full nodes behind. */
    size_t kept = NODE_CAPACITY / 2;
    if (is_last && bytes_compare(entry_key(entries_of(child)[child->count - 1]), key) < 0)
        kept = NODE_CAPACITY - 2;
    if (split_child(n, index, kept) != OK)
        return NULL;
    bool is_right = bytes_compare(entry_key(entries_of(n)[index]), key) < 0;
    return children_of(n)[is_right ? index + 1 : index];
}

enum err tree_insert(struct tree *t, void *entry)
{
    struct bytes key = entry_key(entry);
    struct tree_node *path[TREE_MAX_DEPTH];
    size_t depth = 0, known = 0, index;
    if (t->root == NULL && (t->root = node_create(ROOT_CAPACITY, true)) == NULL)
        return ERR_NO_MEMORY;
    if (is_full(t->root) && grow_root(t) != OK)
        return ERR_NO_MEMORY;
    struct tree_node *n = t->root;
    bool is_last = true; /* of its level */
    for (;;) {
        bool found = false;
        assert(depth < TREE_MAX_DEPTH);
        path[depth++] = n;
        index = n->count > 0 ? lower_bound(n, key, &known, &found) : 0;
        assert(!found);
        if (n->is_leaf)
            break;
        is_last = is_last && index == n->count;
        n = child_with_room(n, index, key, is_last);
        if (n == NULL)
            return ERR_NO_MEMORY;
    }
    open_slot(n, index);
    entries_of(n)[index] = entry;
    note_entry(n, index, known);
    for (size_t i = 0; i < depth; i++)
        path[i]->live += weight(entry);
    return OK;
}

/* --- finding and walking ---------------------------------------------------------------------- */

void *tree_find(const struct tree *t, struct bytes key)
{
    struct tree_node *n = t->root;
    size_t known = 0;
    while (n != NULL) {
        bool found;
        prefetch_node(n);
        size_t index = lower_bound(n, key, &known, &found);
        if (found)
            return entries_of(n)[index];
        n = n->is_leaf ? NULL : children_of(n)[index];
    }
    return NULL;
}

static void push(struct tree_cursor *c, struct tree_node *n, size_t index)
{
    assert(c->depth < TREE_MAX_DEPTH);
    c->at[c->depth].node = n;
    c->at[c->depth].index = index;
    c->depth++;
}

/* Up from nodes that have nothing left. */
static void pop_finished(struct tree_cursor *c)
{
    while (c->depth > 0 && c->at[c->depth - 1].index == c->at[c->depth - 1].node->count)
        c->depth--;
}

void tree_seek(const struct tree *t, struct bytes key, struct tree_cursor *c)
{
    c->depth = 0;
    struct tree_node *n = t->root;
    size_t known = 0;
    while (n != NULL) {
        bool found;
        size_t index = lower_bound(n, key, &known, &found);
        push(c, n, index);
        if (found)
            return;
        n = n->is_leaf ? NULL : children_of(n)[index];
    }
    pop_finished(c);
}

void *tree_at(const struct tree_cursor *c)
{
    if (c->depth == 0)
        return NULL;
    return entries_of(c->at[c->depth - 1].node)[c->at[c->depth - 1].index];
}

static void prefetch_entry(const uint8_t *entry)
{
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + LINE_SIZE); /* its numbers, behind the key */
}

/* Entries lie anywhere, and so do nodes: what a walk comes to soon is on its way from memory by
 * then. The cursor is in a leaf. */
static void fetch_ahead(const struct tree_cursor *c)
{
    struct tree_node *n = c->at[c->depth - 1].node;
    size_t ahead = c->at[c->depth - 1].index + WALK_AHEAD;
    if (ahead < n->count)
        prefetch_entry(entries_of(n)[ahead]);
    if (c->depth < 2)
        return;
    struct tree_node *parent = c->at[c->depth - 2].node;
    size_t index = c->at[c->depth - 2].index;
    if (index == parent->count)
        return;
    struct tree_node *next = children_of(parent)[index + 1];
    if (ahead == WALK_AHEAD) { /* the walk has just come into this leaf */
        __builtin_prefetch(next);
        __builtin_prefetch(&entries_of(next)[WALK_AHEAD]);
    } else if (ahead == n->count) {
        prefetch_entry(entries_of(parent)[index]);
    } else if (ahead > n->count && ahead - n->count <= next->count) {
        prefetch_entry(entries_of(next)[ahead - n->count - 1]);
    }
}

void tree_next(struct tree_cursor *c)
{
    if (c->depth == 0)
        return;
    struct tree_node *n = c->at[c->depth - 1].node;
    size_t index = ++c->at[c->depth - 1].index;
    while (!n->is_leaf) {
        n = children_of(n)[index];
        index = 0;
        push(c, n, 0);
    }
    fetch_ahead(c);
    pop_finished(c);
}

/* As tree_next, but past a child with nothing counted below it. */
static void next_promising(struct tree_cursor *c)
{
    struct tree_node *n = c->at[c->depth - 1].node;
    size_t index = ++c->at[c->depth - 1].index;
    while (!n->is_leaf && children_of(n)[index]->live > 0) {
        n = children_of(n)[index];
        index = 0;
        push(c, n, 0);
    }
    if (index + WALK_AHEAD < n->count)
        __builtin_prefetch(entries_of(n)[index + WALK_AHEAD]);
    pop_finished(c);
}

static void skip_uncounted(struct tree_cursor *c)
{
    while (c->depth > 0 && weight(tree_at(c)) == 0)
        next_promising(c);
}

void tree_seek_counted(const struct tree *t, struct bytes key, struct tree_cursor *c)
{
    tree_seek(t, key, c);
    skip_uncounted(c);
}

void tree_next_counted(struct tree_cursor *c)
{
    if (c->depth == 0)
        return;
    next_promising(c);
    skip_uncounted(c);
}

void *tree_cursor_replace(struct tree_cursor *c, void *entry)
{
    assert(c->depth > 0);
    void **slot = &entries_of(c->at[c->depth - 1].node)[c->at[c->depth - 1].index];
    void *old = *slot;
    assert(bytes_equal(entry_key(old), entry_key(entry)));
    *slot = entry;
    for (size_t i = 0; i < c->depth; i++)
        c->at[i].node->live += weight(entry) - weight(old);
    return old;
}

void *tree_replace(struct tree *t, void *entry)
{
    struct tree_cursor c;
    tree_seek(t, entry_key(entry), &c);
    return tree_cursor_replace(&c, entry);
}

size_t tree_count(const struct tree *t)
{
    return t->root != NULL ? t->root->live : 0;
}

size_t tree_rank(const struct tree *t, struct bytes key)
{
    size_t rank = 0;
    struct tree_node *n = t->root;
    size_t known = 0;
    while (n != NULL) {
        bool found;
        size_t index = lower_bound(n, key, &known, &found);
        for (size_t i = 0; i < index; i++)
            rank += weight(entries_of(n)[i]);
        if (n->is_leaf)
            break;
        for (size_t i = 0; i < index; i++)
            rank += children_of(n)[i]->live;
        if (found)
            return rank + children_of(n)[index]->live;
        n = children_of(n)[index];
    }
    return rank;
}

/* --- removing --------------------------------------------------------------------------------- */

/* Joins child INDEX of PARENT, the entry behind it and the next child. */
static void merge_children(struct tree_node *parent, size_t index)
{
    struct tree_node *left = children_of(parent)[index];
    struct tree_node *right = children_of(parent)[index + 1];
    entries_of(left)[left->count] = entries_of(parent)[index];
    memcpy(&entries_of(left)[left->count + 1], entries_of(right), right->count * sizeof(void *));
    if (!left->is_leaf)
        memcpy(&children_of(left)[left->count + 1], children_of(right),
               (right->count + 1u) * sizeof(struct tree_node *));
    left->count = (uint16_t)(left->count + 1 + right->count);
    rebuild(left);
    free(right);
    close_slot(parent, index);
}

/* Moves entries between the children INDEX and INDEX + 1 of PARENT until they are alike. */
static void level_children(struct tree_node *parent, size_t index)
{
    struct tree_node *left = children_of(parent)[index];
    struct tree_node *right = children_of(parent)[index + 1];
    size_t total = (size_t)left->count + right->count;
    size_t want = total / 2; /* of the left */
    void **separator = &entries_of(parent)[index];
    if (left->count < want) {
        size_t moved = want - left->count;
        entries_of(left)[left->count] = *separator;
        memcpy(&entries_of(left)[left->count + 1], entries_of(right), (moved - 1) * sizeof(void *));
        *separator = entries_of(right)[moved - 1];
        memmove(entries_of(right), &entries_of(right)[moved],
                (right->count - moved) * sizeof(void *));
        if (!left->is_leaf) {
            memcpy(&children_of(left)[left->count + 1], children_of(right),
                   moved * sizeof(struct tree_node *));
            memmove(children_of(right), &children_of(right)[moved],
                    (right->count + 1u - moved) * sizeof(struct tree_node *));
        }
    } else {
        size_t moved = left->count - want;
        memmove(&entries_of(right)[moved], entries_of(right), right->count * sizeof(void *));
        memcpy(entries_of(right), &entries_of(left)[want + 1], (moved - 1) * sizeof(void *));
        entries_of(right)[moved - 1] = *separator;
        *separator = entries_of(left)[want];
        if (!left->is_leaf) {
            memmove(&children_of(right)[moved], children_of(right),
                    (right->count + 1u) * sizeof(struct tree_node *));
            memcpy(children_of(right), &children_of(left)[want + 1],
                   moved * sizeof(struct tree_node *));
        }
    }
    left->count = (uint16_t)want;
    right->count = (uint16_t)(total - want);
    rebuild(left);
    rebuild(right);
    note_entry(parent, index, 0);
}

/* Child INDEX of PARENT has few entries. */
static void rebalance(struct tree_node *parent, size_t index)
{
    size_t first = index == parent->count ? index - 1 : index;
    struct tree_node *left = children_of(parent)[first];
    struct tree_node *right = children_of(parent)[first + 1];
    if ((size_t)left->count + right->count < NODE_CAPACITY)
        merge_children(parent, first);
    else
        level_children(parent, first);
}

/* Down to the last entry before the one under the cursor, which is in an inner node. */
static void descend_to_previous(struct tree_cursor *c)
{
    struct tree_node *n = c->at[c->depth - 1].node;
    size_t index = c->at[c->depth - 1].index;
    while (!n->is_leaf) {
        n = children_of(n)[index];
        index = n->is_leaf ? n->count - 1u : n->count;
        push(c, n, index);
    }
}

void *tree_remove(struct tree *t, struct bytes key)
{
    struct tree_cursor c;
    tree_seek(t, key, &c);
    void *entry = tree_at(&c);
    if (entry == NULL || !bytes_equal(entry_key(entry), key))
        return NULL;

    size_t top = c.depth - 1;
    struct tree_node *holder = c.at[top].node;
    size_t held = c.at[top].index;
    descend_to_previous(&c);
    struct tree_node *leaf = c.at[c.depth - 1].node;
    void *stand_in = entries_of(leaf)[c.at[c.depth - 1].index];
    close_slot(leaf, c.at[c.depth - 1].index);
    if (holder != leaf) {
        entries_of(holder)[held] = stand_in;
        note_entry(holder, held, 0);
    }
    for (size_t i = 0; i < c.depth; i++)
        c.at[i].node->live -= i <= top ? weight(entry) : weight(stand_in);

    for (size_t i = c.depth - 1; i > 0 && c.at[i].node->count < NODE_MIN; i--)
        rebalance(c.at[i - 1].node, c.at[i - 1].index);
    if (t->root->count == 0) {
        struct tree_node *old = t->root;
        t->root = old->is_leaf ? NULL : children_of(old)[0];
        free(old);
    }
    return entry;
}

static void free_node(struct tree_node *n)
{
    for (size_t i = 0; !n->is_leaf && i <= n->count; i++)
        free_node(children_of(n)[i]);
    free(n);
}

void tree_fini(struct tree *t)
{
    if (t->root != NULL)
        free_node(t->root);
    t->root = NULL;
}
