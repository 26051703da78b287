/* Changes of keys: what put and delete do to the tree, to leases and to history. */
#include "registry/state/internal.h"

#include <assert.h>

static enum err take_sub(struct change *c, int64_t *sub)
{
    if (c->next_sub > ITEM_MAX_SUB)
        return ERR_NO_MEMORY; /* two billion keys: there is no room for them long before */
    *sub = c->next_sub++;
    return OK;
}

static void emit_revision(struct change *c, const struct item *now, const struct item *before)
{
    struct state_record record = {
        .type = STATE_REVISION,
        .revision = {.main = now->kv.mod_revision,
                     .sub = now->sub,
                     .is_delete = now->deleted,
                     .kv = now->kv,
                     .has_prev = before != NULL && !before->deleted},
    };
    if (record.revision.has_prev)
        record.revision.prev = before->kv;
    emit(c, &record);
}

/* The key's lease changes from that of OLD to that of NEXT, whose entry is ENTRY. */
static enum err move_lease(struct change *c, const struct item *old, const struct item *next,
                           void *entry)
{
    int64_t from = old != NULL ? old->kv.lease : 0;
    int64_t to = next->kv.lease;
    if (from != 0 && from == to) {
        (void)tree_replace(&lease_find(c->s, to)->keys, entry);
        return OK;
    }
    if (from != 0)
        lease_detach(c->s, from, next->kv.key);
    return to != 0 ? lease_attach(c->s, to, entry) : OK;
}

static enum err put_new(struct change *c, struct item *next)
{
    void *entry = item_create(next);
    if (entry == NULL || tree_insert(&c->s->items, entry) != OK) {
        item_free(entry);
        return ERR_NO_MEMORY;
    }
    item_read(entry, next);
    emit_revision(c, next, NULL);
    return move_lease(c, NULL, next, entry);
}

enum err change_put(struct change *c, struct bytes key, struct bytes value, int64_t lease)
{
    struct state *s = c->s;
    int64_t revision = s->revision + 1;
    struct item item, next = {.kv = {.key = key,
                                     .value = value,
                                     .create_revision = revision,
                                     .mod_revision = revision,
                                     .version = 1,
                                     .lease = lease}};
    enum err error = take_sub(c, &next.sub);
    if (error != OK)
        return error;
    void *old = tree_find(&s->items, key), *entry;
    if (old == NULL)
        return put_new(c, &next);

    item_read(old, &item);
    if (!item.deleted) {
        next.kv.create_revision = item.kv.create_revision;
        next.kv.version = item.kv.version + 1;
    }
    error = item_succeed(old, &item, &next, &entry);
    if (error != OK)
        return error;
    (void)tree_replace(&s->items, entry);
    item_read(entry, &next);
    error = move_lease(c, &item, &next, entry);
    emit_revision(c, &next, &item);
    enum err retired = state_retire(s, old);
    return error != OK ? error : retired;
}

/* Deletes the live key under CURSOR. Its lease is the caller's to detach. */
static enum err delete_at(struct change *c, struct tree_cursor *cursor, const struct item *item)
{
    struct item next = {.kv = {.key = item->kv.key, .mod_revision = c->s->revision + 1},
                        .deleted = true};
    void *old = tree_at(cursor), *entry;
    enum err error = take_sub(c, &next.sub);
    if (error == OK)
        error = item_succeed(old, item, &next, &entry);
    if (error != OK)
        return error;
    (void)tree_cursor_replace(cursor, entry);
    item_read(entry, &next);
    emit_revision(c, &next, item);
    return OK;
}

/* Room for the values that a deletion returns; a failure is the answer's alone. */
static struct kv *prevs_room(struct change *c, struct bytes key, struct bytes range_end)
{
    size_t count = 1;
    if (range_end.size > 0)
        count = range_count_newest(c->s, key, range_end);
    struct kv *room = count > 0 ? arena_array(c->arena, count, sizeof(*room)) : NULL;
    if (room == NULL && count > 0)
        c->answer_error = ERR_NO_MEMORY;
    return room;
}

enum err change_delete_range(struct change *c, struct bytes key, struct bytes range_end,
                             bool want_prevs, struct kv_delete_response *out)
{
    struct kv *prevs = NULL;
    size_t count = 0;
    if (want_prevs && c->answers)
        prevs = prevs_room(c, key, range_end);
    struct tree_cursor cursor;
    void *entry;
    for (tree_seek(&c->s->items, key, &cursor); (entry = tree_at(&cursor)) != NULL;
         tree_next(&cursor)) {
        struct item item;
        item_read(entry, &item);
        if (!before_end(item.kv.key, key, range_end))
            break;
        if (item.deleted)
            continue;
        enum err error = delete_at(c, &cursor, &item);
        if (error != OK)
            return error;
        if (item.kv.lease != 0)
            lease_detach(c->s, item.kv.lease, item.kv.key);
        if (prevs != NULL)
            prevs[count] = item.kv;
        count++;
        error = state_retire(c->s, entry);
        if (error != OK)
            return error;
    }
    *out = (struct kv_delete_response){
        .deleted = (int64_t)count, .prev_kvs = prevs, .prev_kv_count = prevs != NULL ? count : 0};
    return OK;
}

enum err change_delete_keys_of(struct change *c, struct lease *lease)
{
    struct tree_cursor keys, cursor;
    void *entry;
    for (tree_seek(&lease->keys, BYTES_EMPTY, &keys); (entry = tree_at(&keys)) != NULL;
         tree_next(&keys)) {
        struct item item;
        item_read(entry, &item);
        tree_seek(&c->s->items, item.kv.key, &cursor);
        assert(tree_at(&cursor) == entry);
        enum err error = delete_at(c, &cursor, &item);
        if (error == OK)
            error = state_retire(c->s, entry);
        if (error != OK)
            return error;
    }
    return OK;
}
