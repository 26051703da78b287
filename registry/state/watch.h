/* The watch hub: who wants to see which changes.
 *
 * A watcher is synced (it has seen everything up to the newest revision and gets changes as they
 * are committed) or behind (it started in the past, or its consumer had no room; it is caught up
 * from history by watch_hub_catch_up). A consumer that has no room refuses a batch; nothing is
 * buffered here for it. Events of one revision are never split over two batches and never
 * reordered; every batch of a watcher has a higher revision than the one before it.
 *
 * Pure and volatile: watches never enter the log. One thread at a time; callbacks may create and
 * cancel watchers (a cancelled watcher's callback is not called again). */
#ifndef WARREN_REGISTRY_STATE_WATCH_H
#define WARREN_REGISTRY_STATE_WATCH_H

#include "registry/state/state.h"

enum {
    WATCH_CATCH_UP_REVISIONS = 1000, /* in one batch of history */
    /* Octets of keys and values after which a batch of history takes no further revision. */
    WATCH_CATCH_UP_SIZE = 4 << 20,
};

struct watch_hub;
struct watcher;

struct watch_request {
    struct bytes key; /* copied */
    struct bytes range_end;
    int64_t start_revision; /* 0: after now */
    bool prev_kv;
    bool no_put;
    bool no_delete;
};

struct watch_batch {
    int64_t revision;              /* the response header's: that of the change, or the store's; 0
                                    * when compacted */
    int64_t compact_revision;      /* not 0: the watcher is cancelled, history below is gone */
    const struct kv_event *events; /* borrowed for the call */
    size_t event_count;
};

/* Takes a batch. False: no room; the watcher is behind from this batch on and is offered it again
 * after watcher_resume. With compact_revision set the return is ignored and the watcher is gone
 * after the call. */
typedef bool watch_deliver_fn(void *context, const struct watch_batch *batch);

enum err watch_hub_create(struct watch_hub **out, const struct state *state) MUST_CHECK;
void watch_hub_destroy(struct watch_hub *h); /* watchers with it */

/* No callback during the call. A start below the compacted revision is cancelled by the next
 * watch_hub_catch_up. ERR_NO_MEMORY. */
enum err watcher_create(struct watcher **out, struct watch_hub *h,
                        const struct watch_request *request, watch_deliver_fn *deliver,
                        void *context) MUST_CHECK;
void watcher_cancel(struct watcher *w);
/* The consumer has room again. */
void watcher_resume(struct watcher *w);
/* Whether it has been given everything up to the newest revision. */
bool watcher_is_synced(const struct watcher *w);

/* Feeds the records that state_apply emits (others than STATE_REVISION are ignored), then says that
 * the revision is complete: synced watchers get their batches in watch_hub_commit, which comes
 * before the next command (what a record of state_apply points to stays that long; nothing is
 * copied). */
void watch_hub_record(struct watch_hub *h, const struct state_record *record);
void watch_hub_commit(struct watch_hub *h);

/* One bounded step for the watchers that are behind and not waiting for their consumer: reads a run
 * of history into ARENA and delivers it. Returns whether there is more to do now. ERROR gets
 * SOURCE's failure: those watchers stay behind, and the caller tries again or stops. */
bool watch_hub_catch_up(struct watch_hub *h, const struct state_source *source, struct arena *arena,
                        enum err *error);

size_t watch_hub_count(const struct watch_hub *h);
size_t watch_hub_behind_count(const struct watch_hub *h);

#endif
