#include "registry/state/lessor.h"

#include "registry/state/tree.h"

#include <stdlib.h>

#define MS_PER_S UINT64_C(1000)

enum {
    FIRST_CAPACITY = 16
};

struct entry {
    uint8_t key[2 + 8]; /* first: an entry of the tree (flags, key size, the id) */
    int64_t id;
    int64_t ttl_s;
    uint64_t deadline_ms;
    size_t index; /* in the lessor's entries */
};

struct lessor {
    /* A heap by deadline; behind it, in no order, those that were reported as expired. */
    struct entry **entries;
    size_t heap_count;
    size_t count;
    size_t capacity;
    struct tree by_id; /* ids are chosen by clients: no table that they could fill one slot of */
};

enum err lessor_create(struct lessor **out)
{
    struct lessor *l = calloc(1, sizeof(*l));
    if (l == NULL)
        return ERR_NO_MEMORY;
    *out = l;
    return OK;
}

void lessor_destroy(struct lessor *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->count; i++)
        free(l->entries[i]);
    free(l->entries);
    tree_fini(&l->by_id);
    free(l);
}

static void set_key(uint8_t key[static 8], int64_t id)
{
    for (size_t i = 0; i < 8; i++)
        key[i] = (uint8_t)((uint64_t)id >> (56 - 8 * i));
}

static struct entry *find(const struct lessor *l, int64_t id)
{
    uint8_t key[8];
    set_key(key, id);
    return tree_find(&l->by_id, bytes_of(key, sizeof(key)));
}

/* --- the heap --------------------------------------------------------------------------------- */

static void place(struct lessor *l, size_t index, struct entry *e)
{
    l->entries[index] = e;
    e->index = index;
}

static void swap(struct lessor *l, size_t a, size_t b)
{
    struct entry *moved = l->entries[a];
    place(l, a, l->entries[b]);
    place(l, b, moved);
}

static bool is_before(const struct lessor *l, size_t a, size_t b)
{
    return l->entries[a]->deadline_ms < l->entries[b]->deadline_ms;
}

static void sift_up(struct lessor *l, size_t index)
{
    while (index > 0 && is_before(l, index, (index - 1) / 2)) {
        swap(l, index, (index - 1) / 2);
        index = (index - 1) / 2;
    }
}

static void sift_down(struct lessor *l, size_t index)
{
    for (;;) {
        size_t least = index, left = 2 * index + 1;
        if (left < l->heap_count && is_before(l, left, least))
            least = left;
        if (left + 1 < l->heap_count && is_before(l, left + 1, least))
            least = left + 1;
        if (least == index)
            return;
        swap(l, index, least);
        index = least;
    }
}

static void heap_enter(struct lessor *l, struct entry *e)
{
    swap(l, e->index, l->heap_count);
    l->heap_count++;
    sift_up(l, e->index);
}

static void heap_leave(struct lessor *l, struct entry *e)
{
    size_t index = e->index;
    l->heap_count--;
    swap(l, index, l->heap_count);
    if (index < l->heap_count) {
        sift_down(l, index);
        sift_up(l, index);
    }
}

static bool is_reported(const struct lessor *l, const struct entry *e)
{
    return e->index >= l->heap_count;
}

static uint64_t deadline(const struct entry *e, uint64_t now_ms)
{
    return now_ms + (uint64_t)(e->ttl_s > 0 ? e->ttl_s : 0) * MS_PER_S;
}

/* --- leases ----------------------------------------------------------------------------------- */

static enum err reserve(struct lessor *l)
{
    if (l->count < l->capacity)
        return OK;
    size_t capacity = l->capacity > 0 ? 2 * l->capacity : FIRST_CAPACITY;
    struct entry **grown = realloc(l->entries, capacity * sizeof(*grown));
    if (grown == NULL)
        return ERR_NO_MEMORY;
    l->entries = grown;
    l->capacity = capacity;
    return OK;
}

enum err lessor_add(struct lessor *l, int64_t id, int64_t ttl_s, uint64_t now_ms)
{
    if (find(l, id) != NULL)
        return ERR_EXISTS;
    struct entry *e = calloc(1, sizeof(*e));
    if (e == NULL || reserve(l) != OK) {
        free(e);
        return ERR_NO_MEMORY;
    }
    e->key[1] = 8;
    set_key(e->key + 2, id);
    e->id = id;
    e->ttl_s = ttl_s;
    e->deadline_ms = deadline(e, now_ms);
    if (tree_insert(&l->by_id, e) != OK) {
        free(e);
        return ERR_NO_MEMORY;
    }
    place(l, l->count++, e);
    heap_enter(l, e);
    return OK;
}

void lessor_remove(struct lessor *l, int64_t id)
{
    struct entry *e = find(l, id);
    if (e == NULL)
        return;
    if (!is_reported(l, e))
        heap_leave(l, e);
    l->count--;
    swap(l, e->index, l->count);
    (void)tree_remove(&l->by_id, entry_key(e));
    free(e);
}

enum lessor_renewal lessor_renew(struct lessor *l, int64_t id, uint64_t now_ms, int64_t *ttl_s)
{
    struct entry *e = find(l, id);
    if (e == NULL)
        return LESSOR_UNKNOWN;
    if (is_reported(l, e) || e->deadline_ms <= now_ms)
        return LESSOR_EXPIRING;
    e->deadline_ms = deadline(e, now_ms);
    sift_down(l, e->index);
    sift_up(l, e->index);
    *ttl_s = e->ttl_s;
    return LESSOR_RENEWED;
}

bool lessor_remaining(const struct lessor *l, int64_t id, uint64_t now_ms, uint64_t *remaining_ms)
{
    const struct entry *e = find(l, id);
    if (e == NULL)
        return false;
    bool is_past = is_reported(l, e) || e->deadline_ms <= now_ms;
    *remaining_ms = is_past ? 0 : e->deadline_ms - now_ms;
    return true;
}

void lessor_promote(struct lessor *l, uint64_t now_ms, uint64_t extra_ms)
{
    l->heap_count = l->count;
    for (size_t i = 0; i < l->count; i++)
        l->entries[i]->deadline_ms = deadline(l->entries[i], now_ms) + extra_ms;
    for (size_t i = l->count / 2; i > 0; i--)
        sift_down(l, i - 1);
}

size_t lessor_expired(struct lessor *l, uint64_t now_ms, int64_t *ids, size_t capacity)
{
    size_t count = 0;
    while (count < capacity && l->heap_count > 0 && l->entries[0]->deadline_ms <= now_ms) {
        ids[count++] = l->entries[0]->id;
        heap_leave(l, l->entries[0]);
    }
    return count;
}

void lessor_note_revocation(struct lessor *l, int64_t id)
{
    struct entry *e = find(l, id);
    if (e != NULL && !is_reported(l, e))
        heap_leave(l, e);
}

void lessor_retry(struct lessor *l, int64_t id)
{
    struct entry *e = find(l, id);
    if (e != NULL && is_reported(l, e))
        heap_enter(l, e);
}

uint64_t lessor_next_ms(const struct lessor *l, uint64_t now_ms)
{
    if (l->heap_count == 0)
        return UINT64_MAX;
    uint64_t next_ms = l->entries[0]->deadline_ms;
    return next_ms > now_ms ? next_ms - now_ms : 0;
}

static int compare_deadlines(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    if (x->deadline_ms != y->deadline_ms)
        return x->deadline_ms < y->deadline_ms ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

size_t lessor_list(const struct lessor *l, int64_t *ids, size_t capacity)
{
    /* Sorting changes nothing that can be seen: a sorted heap is a heap. */
    size_t reported = l->count - l->heap_count, count = 0;
    if (l->count == 0)
        return 0;
    qsort(l->entries, l->heap_count, sizeof(l->entries[0]), compare_deadlines);
    qsort(l->entries + l->heap_count, reported, sizeof(l->entries[0]), compare_deadlines);
    for (size_t i = 0; i < l->count; i++)
        l->entries[i]->index = i;
    for (size_t i = l->heap_count; i < l->count && count < capacity; i++)
        ids[count++] = l->entries[i]->id;
    for (size_t i = 0; i < l->heap_count && count < capacity; i++)
        ids[count++] = l->entries[i]->id;
    return l->count;
}
