/* Old values, and what bounds them: compaction by time. */
#include "registry/store/internal.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

enum {
    COMPACTION_INTERVAL_MS = 300 * 1000,
    COMPACTION_MIN_INTERVAL_MS = 1000,
};

/* --- the source of old values ----------------------------------------------------------------- */

static void kv_of(struct kv *out, const struct journal_revision *r)
{
    *out = (struct kv){
        .key = r->key,
        .value = r->value,
        .create_revision = r->create_revision,
        .mod_revision = r->main,
        .version = r->version,
        .lease = r->lease,
    };
}

static enum err source_read(void *context, int64_t main, int64_t sub, struct arena *arena,
                            struct kv *out)
{
    struct store *s = context;
    struct journal_revision r;
    enum err e = journal_read_revision(s->journal, main, sub, arena, &r);
    if (e == OK)
        kv_of(out, &r);
    return e;
}

struct scan {
    bool (*each)(void *context, const struct state_record *revision);
    void *context;
};

static bool scan_row(void *context, const struct journal_revision *r)
{
    const struct scan *scan = context;
    struct state_record record = {.type = STATE_REVISION};
    record.revision.main = r->main;
    record.revision.sub = r->sub;
    record.revision.is_delete = r->is_delete;
    kv_of(&record.revision.kv, r);
    return scan->each(scan->context, &record);
}

static enum err source_scan(void *context, int64_t from, int64_t to,
                            bool (*each)(void *each_context, const struct state_record *revision),
                            void *each_context)
{
    struct store *s = context;
    struct scan scan = {.each = each, .context = each_context};
    return journal_scan_revisions(s->journal, from, to, scan_row, &scan);
}

void store_history_init(struct store *s)
{
    s->source = (struct state_source){.read = source_read, .scan = source_scan, .context = s};
}

/* --- periodic compaction ---------------------------------------------------------------------- */

uint64_t store_compaction_interval_ms(const struct store *s)
{
    uint64_t interval = COMPACTION_INTERVAL_MS;
    uint64_t tenth = (uint64_t)s->compaction_retention_s * 100;
    if (s->compaction_retention_s > 0 && tenth < interval)
        interval = tenth;
    /* The marks reach back over the whole retention. */
    uint64_t least = (uint64_t)s->compaction_retention_s * 1000 / (STORE_COMPACTION_MARKS - 2);
    if (interval < least)
        interval = least;
    return interval < COMPACTION_MIN_INTERVAL_MS ? COMPACTION_MIN_INTERVAL_MS : interval;
}

static void compact(struct store *s, int64_t revision)
{
    if (revision <= state_compacted(s->state) || revision > state_revision(s->state))
        return;
    struct pending *p = store_pending_create(s, STORE_COMPACT, NULL, NULL);
    if (p == NULL)
        return; /* the next tick tries again */
    p->is_internal = true;
    struct state_command command = {.type = STATE_COMPACT};
    command.compact.revision = revision;
    if (store_propose(s, &command, p) != VERDICT_OK)
        free(p);
}

/* The newest revision that is as old as the retention; 0 if none is. */
static int64_t old_enough(struct store *s, uint64_t now)
{
    uint64_t retention = (uint64_t)s->compaction_retention_s * 1000;
    size_t used = 0;
    int64_t revision = 0;
    while (used < s->mark_count && now - s->marks[used].time_ms >= retention)
        revision = s->marks[used++].revision;
    memmove(s->marks, s->marks + used, (s->mark_count - used) * sizeof(s->marks[0]));
    s->mark_count -= used;
    return revision;
}

void store_compaction_tick(uv_timer_t *timer)
{
    struct store *s = timer->data;
    int64_t newest = state_revision(s->state);
    if (!s->is_leading)
        return; /* the leader does it for all */
    if (s->compaction_revisions > 0) {
        compact(s, newest - s->compaction_revisions);
        return;
    }
    uint64_t now = uv_now(s->loop);
    int64_t revision = old_enough(s, now);
    if (s->mark_count < STORE_COMPACTION_MARKS)
        s->marks[s->mark_count++] = (struct compaction_mark){.time_ms = now, .revision = newest};
    if (revision > 0)
        compact(s, revision);
}
