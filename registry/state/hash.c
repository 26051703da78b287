/* HashKV: every retained version by rising key and revision. */
#include "base/arena.h"
#include "base/crc32c.h"
#include "registry/state/internal.h"

#include <stdlib.h>

enum {
    ARENA_LIMIT = 64 << 20 /* one old version at a time */
};

static uint32_t crc_add_i64(uint32_t crc, int64_t value)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)((uint64_t)value >> (56 - 8 * i));
    return crc32c(crc, bytes, sizeof(bytes));
}

static uint32_t crc_add_bytes(uint32_t crc, struct bytes value)
{
    return crc32c(crc_add_i64(crc, (int64_t)value.size), value.data, value.size);
}

static uint32_t hash_version(uint32_t crc, struct place p, const struct kv *kv)
{
    crc = crc_add_i64(crc, place_main(p));
    crc = crc_add_i64(crc, place_sub(p) * 2 + place_deleted(p));
    crc = crc_add_bytes(crc, kv->key);
    if (place_deleted(p))
        return crc;
    crc = crc_add_bytes(crc, kv->value);
    crc = crc_add_i64(crc, kv->create_revision);
    crc = crc_add_i64(crc, kv->version);
    return crc_add_i64(crc, kv->lease);
}

/* --- in steps --------------------------------------------------------------------------------- */

/* What is hashed was fixed at the begin: the versions up to REVISION that a compaction at COMPACTED
 * keeps. Later changes only add newer versions. */
struct state_hasher {
    const struct state *s;
    int64_t revision;
    int64_t compacted;
    struct walk at;
    bool is_inside; /* not all versions of the noted key are hashed, but those up to this place */
    int64_t main;
    int64_t sub;
    uint32_t crc;
    struct arena arena;
};

static enum verdict check_revision(const struct state *s, int64_t revision)
{
    if (revision <= 0)
        return VERDICT_OK;
    if (revision > s->revision)
        return VERDICT_FUTURE_REVISION;
    return revision <= s->compacted ? VERDICT_COMPACTED : VERDICT_OK;
}

enum err state_hasher_create(struct state_hasher **out, const struct state *s, int64_t revision,
                             enum verdict *verdict)
{
    static const uint8_t bucket[] = {'k', 'e',
                                     'y'}; /* etcd begins with it, too: nothing at all has a hash */
    *out = NULL;
    *verdict = check_revision(s, revision);
    if (*verdict != VERDICT_OK)
        return OK;
    struct state_hasher *h = malloc(sizeof(*h));
    if (h == NULL)
        return ERR_NO_MEMORY;
    *h = (struct state_hasher){
        .s = s,
        .revision = revision > 0 ? revision : s->revision,
        .compacted = s->compacted,
        .crc = crc32c(0, bucket, sizeof(bucket)),
    };
    arena_init(&h->arena, ARENA_LIMIT);
    *out = h;
    return OK;
}

void state_hasher_destroy(struct state_hasher *h)
{
    if (h == NULL)
        return;
    walk_fini(&h->at);
    arena_fini(&h->arena);
    free(h);
}

/* The first of the key's versions that compaction keeps and that is not hashed yet, or one before
 * it. */
static size_t first_version(const struct state_hasher *h, const struct item *item, bool is_inside)
{
    size_t i = item_versions_until(item, h->compacted);
    i = i > 0 ? i - 1 : 0;
    while (i > 0 && place_main(item_version(item, i - 1)) >= h->compacted)
        i--;
    if (!is_inside)
        return i;
    size_t hashed = item_versions_until(item, h->main - 1);
    while (hashed < item_version_count(item) && place_main(item_version(item, hashed)) == h->main &&
           place_sub(item_version(item, hashed)) <= h->sub)
        hashed++;
    return hashed > i ? hashed : i;
}

static enum err add_version(struct state_hasher *h, const struct item *item, size_t index,
                            const struct state_source *source, size_t *cost)
{
    struct place p = item_version(item, index);
    struct kv kv = {.key = item->kv.key};
    if (index + 1 == item_version_count(item)) {
        kv = item->kv;
    } else if (!place_deleted(p)) {
        enum err error = source == NULL ? ERR_NOT_FOUND
                                        : source->read(source->context, place_main(p), place_sub(p),
                                                       &h->arena, &kv);
        if (error != OK)
            return error;
        kv.key = item->kv.key;
        *cost += STATE_COST_OF_OLD;
    }
    h->crc = hash_version(h->crc, p, &kv);
    *cost += (kv.key.size + kv.value.size) / STATE_SIZE_OF_COST;
    arena_reset(&h->arena);
    return OK;
}

/* Adds versions of one key, all of them as long as BUDGET lasts. */
static enum err add_item(struct state_hasher *h, const struct item *item,
                         const struct state_source *source, size_t *budget, bool is_inside)
{
    size_t count = item_versions_until(item, h->revision);
    h->is_inside = false;
    for (size_t i = first_version(h, item, is_inside); i < count; i++) {
        if (*budget == 0) { /* not before the first: there was some left for this key */
            h->is_inside = true;
            break;
        }
        size_t cost = 1;
        if (version_is_retained(item, i, h->compacted)) {
            enum err error = add_version(h, item, i, source, &cost);
            if (error != OK)
                return error;
        }
        struct place p = item_version(item, i);
        h->main = place_main(p);
        h->sub = place_sub(p);
        *budget -= cost < *budget ? cost : *budget;
    }
    return walk_note(&h->at, item->kv.key);
}

enum err state_hasher_step(struct state_hasher *h, const struct state_source *source, size_t budget,
                           bool *is_done)
{
    struct tree_cursor c;
    const void *entry;
    bool was_inside = h->is_inside;
    if (was_inside)
        tree_seek(&h->s->items, bytes_of(h->at.key, h->at.size), &c);
    else
        walk_resume(&h->at, h->s, &c);
    for (; budget > 0 && (entry = tree_at(&c)) != NULL; tree_next(&c)) {
        struct item item;
        item_read(entry, &item);
        /* A key that was noted may have been purged since. */
        bool is_inside = was_inside && bytes_equal(item.kv.key, bytes_of(h->at.key, h->at.size));
        was_inside = false;
        enum err error = add_item(h, &item, source, &budget, is_inside);
        if (error != OK)
            return error;
        budget -= budget > 0;
    }
    *is_done = tree_at(&c) == NULL && !h->is_inside;
    return OK;
}

uint32_t state_hasher_hash(const struct state_hasher *h)
{
    return h->crc;
}

int64_t state_hasher_revision(const struct state_hasher *h)
{
    return h->revision;
}

int64_t state_hasher_compacted(const struct state_hasher *h)
{
    return h->compacted;
}

enum err state_hash(const struct state *s, int64_t revision, const struct state_source *source,
                    uint32_t *hash, enum verdict *verdict)
{
    struct state_hasher *h;
    enum err error = state_hasher_create(&h, s, revision, verdict);
    if (error != OK || *verdict != VERDICT_OK)
        return error;
    bool is_done = false;
    error = state_hasher_step(h, source, SIZE_MAX, &is_done);
    if (error == OK)
        *hash = state_hasher_hash(h);
    state_hasher_destroy(h);
    return error;
}
