/* What a compaction made superfluous is dropped bit by bit. */
#include "registry/state/internal.h"

/* Versions of an item that compaction does not keep are its first ones. */
static size_t count_superfluous(const struct item *item, int64_t compacted)
{
    size_t until = item_versions_until(item, compacted), count = 0;
    while (count < until && !version_is_retained(item, count, compacted))
        count++;
    return count;
}

static void emit_gone(const struct item *item, size_t count, const struct state_sink *sink)
{
    for (size_t i = 0; i < count; i++) {
        struct place p = item_version(item, i);
        struct state_record record = {
            .type = STATE_REVISION_GONE,
            .revision = {.main = place_main(p), .sub = place_sub(p)},
        };
        sink->record(sink->context, &record);
    }
}

/* Forgets COUNT versions, but not the newest, of the key under the cursor. Without any older one
 * left it gets an entry that has no room for them; without memory for that it keeps the old. */
static void drop_oldest(struct state *s, struct tree_cursor *c, const struct item *item,
                        size_t count)
{
    void *entry = tree_at(c);
    if (item_drop_oldest(entry, item, count) > 0)
        return;
    struct item lean = *item;
    lean.history = NULL;
    void *leaner = item_create(&lean);
    if (leaner == NULL)
        return;
    (void)tree_cursor_replace(c, leaner);
    if (item->kv.lease != 0)
        (void)tree_replace(&lease_find(s, item->kv.lease)->keys, leaner);
    item_destroy(entry);
}

bool state_purge(struct state *s, size_t budget, const struct state_sink *sink)
{
    if (!s->purge_runs) {
        if (s->purging == s->compacted)
            return false;
        s->purge_runs = true;
        s->purging = s->compacted;
        s->purge_at.size = 0;
    }
    state_release_retired(s);
    struct tree_cursor c;
    void *entry;
    walk_resume(&s->purge_at, s, &c);
    for (; budget > 0 && (entry = tree_at(&c)) != NULL; budget--) {
        struct item item;
        item_read(entry, &item);
        /* Most keys have nothing to give. */
        size_t count =
            item.history == NULL && !item.deleted ? 0 : count_superfluous(&item, s->purging);
        emit_gone(&item, count, sink);
        (void)walk_note(&s->purge_at, item.kv.key); /* else the next step sees some keys again */
        if (count == item_version_count(&item)) {
            (void)tree_remove(&s->items, item.kv.key);
            item_destroy(entry);
            walk_resume(&s->purge_at, s, &c);
            continue;
        }
        if (count > 0)
            drop_oldest(s, &c, &item, count);
        tree_next(&c);
    }
    if (tree_at(&c) == NULL)
        s->purge_runs = false;
    return s->purge_runs || s->purging != s->compacted;
}
