/* Watches, and the work that the loop does bit by bit, between its other turns: catching watchers
 * up from history, long reads, and purging what was compacted. */
#include "registry/store/internal.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>

struct store_watch {
    struct store *store;
    struct watcher *watcher;
    store_watch_fn *deliver;
    void *context;
    struct store_watch *next;
    struct store_watch **at; /* what points to this one */
};

static void release(struct store_watch *w)
{
    *w->at = w->next;
    if (w->next != NULL)
        w->next->at = w->at;
    free(w);
}

static bool deliver(void *context, const struct watch_batch *batch)
{
    struct store_watch *w = context;
    struct store_watch_batch out = {
        .revision = batch->revision,
        .compact_revision = batch->compact_revision,
        .events = batch->events,
        .event_count = batch->event_count,
    };
    bool has_room = w->deliver(w->context, &out);
    if (batch->compact_revision == 0)
        return has_room;
    release(w);
    return true;
}

enum err store_watch_create(struct store_watch **out, struct store *s,
                            const struct store_watch_request *request, store_watch_fn *fn,
                            void *context)
{
    struct store_watch *w = malloc(sizeof(*w));
    if (w == NULL)
        return ERR_NO_MEMORY;
    *w = (struct store_watch){.store = s, .deliver = fn, .context = context};
    struct watch_request inner = {
        .key = request->key,
        .range_end = request->range_end,
        .start_revision = request->start_revision,
        .prev_kv = request->prev_kv,
        .no_put = request->no_put,
        .no_delete = request->no_delete,
    };
    enum err e = watcher_create(&w->watcher, s->hub, &inner, deliver, w);
    if (e != OK) {
        free(w);
        return e;
    }
    w->next = s->watches;
    w->at = &s->watches;
    if (s->watches != NULL)
        s->watches->at = &w->next;
    s->watches = w;
    store_background(s);
    *out = w;
    return OK;
}

void store_watch_cancel(struct store_watch *w)
{
    watcher_cancel(w->watcher);
    release(w);
}

void store_watch_resume(struct store_watch *w)
{
    watcher_resume(w->watcher);
    store_background(w->store);
}

bool store_watch_is_synced(const struct store_watch *w)
{
    return watcher_is_synced(w->watcher);
}

void store_watches_close(struct store *s)
{
    while (s->watches != NULL)
        store_watch_cancel(s->watches);
}

/* --- background ------------------------------------------------------------------------------- */

static bool has_work(const struct store *s)
{
    return s->purge.is_on || watch_hub_behind_count(s->hub) > 0 || store_has_long_reads(s);
}

void store_background(struct store *s)
{
    if (s->is_background_on || s->is_closing || !has_work(s) ||
        uv_is_active((uv_handle_t *)&s->retry_timer))
        return;
    s->is_background_on = true;
    uv_idle_start(&s->background, store_background_step);
}

static void pause_background(struct store *s)
{
    s->is_background_on = false;
    uv_idle_stop(&s->background);
}

void store_retry(uv_timer_t *timer)
{
    store_background(timer->data);
}

void store_background_step(uv_idle_t *idle)
{
    struct store *s = idle->data;
    enum err e = OK;
    store_long_read_step(s);
    bool more = watch_hub_catch_up(s->hub, &s->source, &s->catch_up_arena, &e);
    arena_fini(&s->catch_up_arena); /* megabytes that the next step may never need */
    more |= store_has_long_reads(s);
    if (e != OK) {
        log_line(LOG_ERROR, "registry: history for watchers cannot be read: %s", err_text(e));
        pause_background(s);
        uv_timer_start(&s->retry_timer, store_retry, STORE_RETRY_MS, 0);
        return;
    }
    if (store_purge_is_ready(s))
        store_purge_step(s);
    else if (s->purge.is_on) { /* the journal is busy: not in a spin */
        if (!more) {
            pause_background(s);
            uv_timer_start(&s->retry_timer, store_retry, JOURNAL_FLUSH_MS / 10, 0);
        }
        return;
    }
    /* Watchers whose consumers have no room do not count: store_watch_resume begins again. */
    if (!more && !s->purge.is_on)
        pause_background(s);
}
