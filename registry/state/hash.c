/* HashKV: every retained version by rising key and revision. */
#include "base/arena.h"
#include "base/crc32c.h"
#include "registry/state/internal.h"

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

/* Adds the versions of one key up to REVISION that compaction keeps. */
static enum err hash_item(const struct state *s, const struct item *item, int64_t revision,
                          const struct state_source *source, struct arena *arena, uint32_t *crc)
{
    size_t count = item_versions_until(item, revision);
    for (size_t i = 0; i < count; i++) {
        struct place p = item_version(item, i);
        struct kv kv = {.key = item->kv.key};
        if (!version_is_retained(item, i, s->compacted))
            continue;
        if (i + 1 == item_version_count(item)) {
            kv = item->kv;
        } else if (!place_deleted(p)) {
            enum err error = source == NULL ? ERR_NOT_FOUND
                                            : source->read(source->context, place_main(p),
                                                           place_sub(p), arena, &kv);
            if (error != OK)
                return error;
            kv.key = item->kv.key;
        }
        *crc = hash_version(*crc, p, &kv);
        arena_reset(arena);
    }
    return OK;
}

enum err state_hash(const struct state *s, int64_t revision, const struct state_source *source,
                    uint32_t *hash, enum verdict *verdict)
{
    static const uint8_t bucket[] = {'k', 'e',
                                     'y'}; /* etcd begins with it, too: nothing at all has a hash */
    if (revision <= 0) {
        revision = s->revision;
        *verdict = VERDICT_OK;
    } else {
        *verdict = revision > s->revision     ? VERDICT_FUTURE_REVISION
                   : revision <= s->compacted ? VERDICT_COMPACTED
                                              : VERDICT_OK;
    }
    if (*verdict != VERDICT_OK)
        return OK;
    struct arena arena;
    arena_init(&arena, ARENA_LIMIT);
    uint32_t crc = crc32c(0, bucket, sizeof(bucket));
    struct tree_cursor c;
    const void *entry;
    enum err error = OK;
    for (tree_seek(&s->items, BYTES_EMPTY, &c); error == OK && (entry = tree_at(&c)) != NULL;
         tree_next(&c)) {
        struct item item;
        item_read(entry, &item);
        error = hash_item(s, &item, revision, source, &arena, &crc);
    }
    arena_fini(&arena);
    if (error == OK)
        *hash = crc;
    return error;
}
