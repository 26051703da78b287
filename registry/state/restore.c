/* Snapshot and restore. */
#include "registry/state/internal.h"

void state_snapshot_mutable(const struct state *s, const struct state_sink *sink)
{
    struct state_record record = {.type = STATE_META,
                                  .meta = {.revision = s->revision, .compacted = s->compacted}};
    sink->record(sink->context, &record);
    struct tree_cursor c;
    const struct lease *lease;
    for (tree_seek(&s->leases, BYTES_EMPTY, &c); (lease = tree_at(&c)) != NULL; tree_next(&c)) {
        record = (struct state_record){.type = STATE_LEASE,
                                       .lease = {.id = lease->id, .ttl_s = lease->ttl_s}};
        sink->record(sink->context, &record);
    }
    for (size_t i = 0; i < s->alarm_count; i++) {
        record = (struct state_record){.type = STATE_ALARM, .alarm = s->alarms[i]};
        sink->record(sink->context, &record);
    }
}

/* No store gets there by writing; beyond it the next revisions would have no number. */
#define MAX_REVISION (INT64_MAX / 2)

static enum err restore_meta(struct state *s, int64_t revision, int64_t compacted)
{
    if (revision < s->revision || compacted < s->compacted || compacted > revision ||
        revision > MAX_REVISION)
        return ERR_MALFORMED;
    s->revision = revision;
    s->compacted = compacted;
    return OK;
}

static enum err restore_lease(struct state *s, int64_t id, int64_t ttl_s)
{
    if (id == 0 || ttl_s < 1 || ttl_s > LEASE_MAX_TTL_S || lease_find(s, id) != NULL)
        return ERR_MALFORMED;
    return lease_insert(s, id, ttl_s);
}

static enum err restore_lease_gone(struct state *s, int64_t id)
{
    struct lease *lease = lease_find(s, id);
    if (lease == NULL)
        return ERR_MALFORMED;
    lease_drop(s, lease);
    return OK;
}

static enum err restore_alarm(struct state *s, struct alarm alarm, bool is_raised)
{
    bool was_raised = alarm_find(s, alarm) != NULL;
    if (alarm.type == ALARM_NONE || alarm.type > ALARM_CORRUPT || was_raised == is_raised)
        return ERR_MALFORMED;
    if (is_raised)
        return alarm_raise(s, alarm);
    (void)alarm_clear(s, alarm);
    return OK;
}

/* What a revision record says of itself. */
static bool is_sound(const struct state *s, const struct state_record *record)
{
    int64_t main = record->revision.main, sub = record->revision.sub;
    const struct kv *kv = &record->revision.kv;
    if (main < 2 || main > MAX_REVISION || sub < 0 || sub > ITEM_MAX_SUB || kv->key.size == 0)
        return false;
    if (main < s->restored_main || (main == s->restored_main && sub <= s->restored_sub))
        return false;
    /* A key has at most one new version a revision. */
    return record->revision.is_delete ||
           (kv->create_revision >= 2 && kv->create_revision <= main && kv->version >= 1 &&
            kv->version <= main - kv->create_revision + 1);
}

/* Whether NEXT can follow OLD: there are no gaps in what is kept of a key. */
static bool can_follow(const struct item *next, const struct item *old)
{
    if (next->deleted)
        return !old->deleted;
    if (old->deleted)
        return next->kv.version == 1 && next->kv.create_revision == next->kv.mod_revision;
    return old->kv.version < INT64_MAX && next->kv.version == old->kv.version + 1 &&
           next->kv.create_revision == old->kv.create_revision;
}

static enum err restore_revision(struct state *s, const struct state_record *record)
{
    if (!is_sound(s, record))
        return ERR_MALFORMED;
    struct item item, next = {.kv = record->revision.kv,
                              .sub = record->revision.sub,
                              .deleted = record->revision.is_delete};
    next.kv.mod_revision = record->revision.main;
    void *old = tree_find(&s->items, next.kv.key);
    if (old == NULL) {
        void *entry = item_create(&next);
        if (entry == NULL || tree_insert(&s->items, entry) != OK) {
            item_free(entry);
            return ERR_NO_MEMORY;
        }
    } else {
        item_read(old, &item);
        if (!can_follow(&next, &item))
            return ERR_MALFORMED;
        void *entry;
        if (item_succeed(old, &item, &next, &entry) != OK)
            return ERR_NO_MEMORY;
        item_free(tree_replace(&s->items, entry));
    }
    s->restored_leased |= next.kv.lease != 0;
    s->restored_main = record->revision.main;
    s->restored_sub = record->revision.sub;
    return OK;
}

enum err state_restore_record(struct state *s, const struct state_record *record)
{
    switch (record->type) {
    case STATE_META:
        return restore_meta(s, record->meta.revision, record->meta.compacted);
    case STATE_LEASE:
        return restore_lease(s, record->lease.id, record->lease.ttl_s);
    case STATE_LEASE_GONE:
        return restore_lease_gone(s, record->lease.id);
    case STATE_ALARM:
        return restore_alarm(s, record->alarm, true);
    case STATE_ALARM_GONE:
        return restore_alarm(s, record->alarm, false);
    case STATE_REVISION:
        return restore_revision(s, record);
    case STATE_REVISION_GONE:
        return OK; /* the purge of the restored state comes upon it again */
    }
    return ERR_MALFORMED;
}

enum err state_restore_finish(struct state *s)
{
    /* What the newest revision changed is never compacted away. */
    if (s->revision != (s->restored_main > 0 ? s->restored_main : 1))
        return ERR_MALFORMED;
    struct tree_cursor c;
    void *entry;
    if (!s->restored_leased)
        return OK;
    for (tree_seek(&s->items, BYTES_EMPTY, &c); (entry = tree_at(&c)) != NULL; tree_next(&c)) {
        struct item item;
        item_read(entry, &item);
        if (item.kv.lease == 0)
            continue;
        if (lease_find(s, item.kv.lease) == NULL)
            return ERR_MALFORMED;
        enum err error = lease_attach(s, item.kv.lease, entry);
        if (error != OK)
            return error;
    }
    return OK;
}
