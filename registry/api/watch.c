#include "watch.h"

#include "call.h"
#include "conn.h"
#include "convert.h"
#include "encode.h"
#include "registry/api.h"
#include "server.h"
#include "services.h"
#include "unary.h"

#include <stdlib.h>
#include <string.h>

#define NO_WATCH_ID (INT64_C(-1)) /* of a refusal, and of progress for all watchers of a stream */

struct watcher {
    struct watch_stream *stream;
    struct store_watch *watch;
    int64_t id;
    bool fragment;
    bool progress_notify;
    bool is_quiet;   /* no event since the stream's last progress time */
    bool is_waiting; /* has events for which there was no room */
};

struct watch_stream {
    struct call *call;
    struct watch_stream *next, *previous;
    struct watcher **watchers; /* by rising id */
    size_t count;
    size_t capacity;
    int64_t next_id;
    size_t waiting_count;
    size_t resume_at;    /* who had no turn the last time comes first */
    size_t control_size; /* unsent answers to requests */
    bool wants_progress;
    uint64_t progress_due_ms; /* 0: nobody wants notices */
};

/* --- responses -------------------------------------------------------------------------------- */

static int64_t store_revision(struct server *s)
{
    struct store_status status;
    store_status(s->store, &status);
    return status.revision;
}

/* An answer to a request, or a progress notice: no events. */
static void send_control(struct watch_stream *ws, const struct watch_reply *reply)
{
    size_t size = encode_watch_size(reply);
    uint8_t *at = call_message_or_fail(ws->call, size);
    if (at == NULL)
        return;
    ws->control_size += size;
    encode_watch(at, reply);
}

static void send_refusal(struct watch_stream *ws, const char *reason)
{
    struct server *s = ws->call->server;
    send_control(ws, &(struct watch_reply){.header = server_header(s, store_revision(s)),
                                           .watch_id = NO_WATCH_ID,
                                           .created = true,
                                           .canceled = true,
                                           .cancel_reason = bytes_of_str(reason)});
}

static void send_progress(struct watch_stream *ws, int64_t id)
{
    struct server *s = ws->call->server;
    send_control(
        ws, &(struct watch_reply){.header = server_header(s, store_revision(s)), .watch_id = id});
}

static bool send_some(struct watcher *w, struct watch_reply *reply, const struct kv_event *events,
                      size_t count)
{
    size_t size = encode_watch_size(reply);
    uint8_t *at = call_message_or_fail(w->stream->call, size + encode_events_size(events, count));
    if (at == NULL)
        return false;
    encode_events(encode_watch(at, reply), events, count);
    return true;
}

/* How many of the events, at least one, stay below the bound together with a header. */
static size_t fragment_count(const struct kv_event *events, size_t count, size_t header_size)
{
    size_t size = header_size + encode_event_size(&events[0]), fit = 1;
    while (fit < count) {
        size += encode_event_size(&events[fit]);
        if (size >= WATCH_FRAGMENT_SIZE)
            break;
        fit++;
    }
    return fit;
}

static bool send_fragments(struct watcher *w, struct watch_reply *reply,
                           const struct kv_event *events, size_t count)
{
    reply->fragment = true;
    size_t header_size = encode_watch_size(reply);
    while (count > 0) {
        size_t some = fragment_count(events, count, header_size);
        reply->fragment = some < count;
        if (!send_some(w, reply, events, some))
            return false;
        events += some;
        count -= some;
    }
    return true;
}

static bool send_events(struct watcher *w, const struct store_watch_batch *batch)
{
    struct server *s = w->stream->call->server;
    struct watch_reply reply = {.header = server_header(s, batch->revision), .watch_id = w->id};
    struct bytes encoded;
    if (event_cache_get(&s->event_cache, &encoded, batch->events, batch->event_count)) {
        size_t size = encode_watch_size(&reply);
        uint8_t *at = call_message_or_fail(w->stream->call, size + encoded.size);
        if (at == NULL)
            return false;
        memcpy(encode_watch(at, &reply), encoded.data, encoded.size);
        return true;
    }
    size_t size = encode_watch_size(&reply) + encode_events_size(batch->events, batch->event_count);
    if (w->fragment && batch->event_count > 1 && size >= WATCH_FRAGMENT_SIZE)
        return send_fragments(w, &reply, batch->events, batch->event_count);
    return send_some(w, &reply, batch->events, batch->event_count);
}

/* --- a stream's watchers ---------------------------------------------------------------------- */

/* Where ID is, or where it would have to be put. */
static size_t place_of(const struct watch_stream *ws, int64_t id)
{
    size_t low = 0, high = ws->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ws->watchers[middle]->id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_id(const struct watch_stream *ws, int64_t id)
{
    size_t at = place_of(ws, id);
    return at < ws->count && ws->watchers[at]->id == id;
}

static bool insert(struct watch_stream *ws, struct watcher *w)
{
    enum {
        FIRST_CAPACITY = 4
    };
    if (ws->count == ws->capacity) {
        size_t capacity = ws->capacity > 0 ? ws->capacity * 2 : FIRST_CAPACITY;
        struct watcher **watchers = realloc(ws->watchers, capacity * sizeof(struct watcher *));
        if (watchers == NULL)
            return false;
        ws->watchers = watchers;
        ws->capacity = capacity;
    }
    size_t at = place_of(ws, w->id);
    memmove(&ws->watchers[at + 1], &ws->watchers[at], (ws->count - at) * sizeof(struct watcher *));
    ws->watchers[at] = w;
    ws->count++;
    return true;
}

/* Takes the watcher off its stream and frees it; its store_watch is the caller's matter. */
static void remove_watcher(struct watcher *w)
{
    struct watch_stream *ws = w->stream;
    size_t at = place_of(ws, w->id);
    ws->count--;
    memmove(&ws->watchers[at], &ws->watchers[at + 1], (ws->count - at) * sizeof(struct watcher *));
    if (w->is_waiting)
        ws->waiting_count--;
    free(w);
}

/* --- the store's deliveries ------------------------------------------------------------------- */

static bool deliver_compacted(struct watcher *w, const struct store_watch_batch *batch)
{
    struct server *s = w->stream->call->server;
    send_control(w->stream, &(struct watch_reply){.header = server_header(s, 0),
                                                  .watch_id = w->id,
                                                  .canceled = true,
                                                  .compact_revision = batch->compact_revision});
    remove_watcher(w);
    return true;
}

static bool has_room(const struct watch_stream *ws)
{
    return conn_has_room(ws->call->conn, outbuf_size(&ws->call->out), API_MAX_STREAM_UNSENT);
}

static bool deliver(void *context, const struct store_watch_batch *batch)
{
    struct watcher *w = context;
    struct watch_stream *ws = w->stream;
    if (batch->compact_revision != 0)
        return deliver_compacted(w, batch);
    if (batch->event_count == 0)
        return true;
    if (!has_room(ws)) {
        ws->waiting_count += !w->is_waiting;
        w->is_waiting = true;
        call_want_room(ws->call);
        return false;
    }
    w->is_quiet = false;
    return send_events(w, batch);
}

void watch_room(struct call *c)
{
    struct watch_stream *ws = c->state;
    for (size_t tried = 0; tried < ws->count && ws->waiting_count > 0; tried++) {
        if (!has_room(ws))
            break;
        ws->resume_at = ws->resume_at < ws->count ? ws->resume_at : 0;
        struct watcher *w = ws->watchers[ws->resume_at++];
        if (!w->is_waiting)
            continue;
        w->is_waiting = false;
        ws->waiting_count--;
        store_watch_resume(w->watch); /* may deliver at once, and may end the watcher */
    }
    if (ws->waiting_count > 0)
        call_want_room(c);
}

/* --- progress --------------------------------------------------------------------------------- */

static bool is_up_to_date(const struct watcher *w)
{
    return !w->is_waiting && store_watch_is_synced(w->watch);
}

/* One answer for all watchers, once nothing that it promises is still to come. */
static void try_progress(struct watch_stream *ws)
{
    if (!ws->wants_progress)
        return;
    for (size_t i = 0; i < ws->count; i++)
        if (!is_up_to_date(ws->watchers[i]))
            return;
    ws->wants_progress = false;
    send_progress(ws, NO_WATCH_ID);
}

static void request_progress(struct watch_stream *ws)
{
    if (ws->count == 0)
        return; /* as etcd from 3.5 on */
    ws->wants_progress = true;
    try_progress(ws);
}

static void schedule_progress(struct watch_stream *ws)
{
    struct server *s = ws->call->server;
    uint64_t jitter = server_random(s) % (SERVER_PROGRESS_MS / 10);
    ws->progress_due_ms = s->now_ms + SERVER_PROGRESS_MS + jitter;
}

static void notify_progress(struct watch_stream *ws)
{
    for (size_t i = 0; i < ws->count; i++) {
        struct watcher *w = ws->watchers[i];
        if (w->progress_notify && w->is_quiet && is_up_to_date(w))
            send_progress(ws, w->id);
        w->is_quiet = true;
    }
    schedule_progress(ws);
}

static void on_settled(void *context)
{
    struct server *s = context;
    for (struct watch_stream *ws = s->watch_streams; ws != NULL; ws = ws->next)
        try_progress(ws);
}

/* --- requests --------------------------------------------------------------------------------- */

static int64_t choose_id(struct watch_stream *ws)
{
    while (has_id(ws, ws->next_id))
        ws->next_id++;
    return ws->next_id++;
}

/* An empty key is the first possible one; an empty range is refused. False: so it was. */
static bool check_range(struct store_watch_request *r)
{
    static const uint8_t zero[1];
    struct bytes all = bytes_of(zero, sizeof(zero));
    if (r->key.size == 0)
        r->key = all;
    if (r->range_end.size == 0 || bytes_equal(r->range_end, all))
        return true;
    return bytes_compare(r->key, r->range_end) < 0;
}

static const char *refusal(const struct watch_stream *ws, struct watch_request *r)
{
    if (!check_range(&r->watch))
        return "mvcc: watcher range is empty";
    if (r->watch_id != 0 && has_id(ws, r->watch_id))
        return "mvcc: duplicate watch ID provided on the WatchStream";
    if (ws->count >= WATCH_MAX_PER_STREAM)
        return "etcdserver: too many watchers on one stream";
    return NULL;
}

/* NULL without memory. */
static struct watcher *add_watcher(struct watch_stream *ws, const struct watch_request *r)
{
    struct watcher *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return NULL;
    w->stream = ws;
    w->id = r->watch_id != 0 ? r->watch_id : choose_id(ws);
    w->fragment = r->fragment;
    w->progress_notify = r->progress_notify;
    w->is_quiet = true;
    if (!insert(ws, w)) {
        free(w);
        return NULL;
    }
    if (store_watch_create(&w->watch, ws->call->server->store, &r->watch, deliver, w) != OK) {
        remove_watcher(w);
        return NULL;
    }
    return w;
}

static void create_watcher(struct watch_stream *ws, struct watch_request *r)
{
    const char *reason = refusal(ws, r);
    if (reason != NULL) {
        send_refusal(ws, reason);
        return;
    }
    /* As etcd up to 3.5: a negative revision means all that is still there. */
    if (r->watch.start_revision < 0)
        r->watch.start_revision = 1;
    struct server *s = ws->call->server;
    int64_t revision = store_revision(s);
    struct watcher *w = add_watcher(ws, r);
    if (w == NULL) {
        send_refusal(ws, "etcdserver: not enough memory for a watcher");
        return;
    }
    if (w->progress_notify && ws->progress_due_ms == 0)
        schedule_progress(ws);
    send_control(ws, &(struct watch_reply){
                         .header = server_header(s, revision), .watch_id = w->id, .created = true});
}

static void cancel_watcher(struct watch_stream *ws, int64_t id)
{
    if (!has_id(ws, id))
        return;
    struct server *s = ws->call->server;
    struct watcher *w = ws->watchers[place_of(ws, id)];
    store_watch_cancel(w->watch);
    remove_watcher(w);
    send_control(ws, &(struct watch_reply){.header = server_header(s, store_revision(s)),
                                           .watch_id = id,
                                           .canceled = true});
    try_progress(ws);
}

static struct watch_stream *stream_create(struct call *c)
{
    struct server *s = c->server;
    struct watch_stream *ws = calloc(1, sizeof(*ws));
    if (ws == NULL)
        return NULL;
    ws->call = c;
    ws->next = s->watch_streams;
    if (ws->next != NULL)
        ws->next->previous = ws;
    s->watch_streams = ws;
    metric_add(s->counters.watch_streams, 1);
    c->state = ws;
    return ws;
}

/* A client that asks and does not read. */
static bool is_overdrawn(struct watch_stream *ws)
{
    if (outbuf_size(&ws->call->out) == 0)
        ws->control_size = 0;
    return ws->control_size > API_MAX_STREAM_UNSENT;
}

static void handle_request(struct watch_stream *ws, struct watch_request *r)
{
    switch (r->type) {
    case WATCH_REQUEST_CREATE:
        create_watcher(ws, r);
        break;
    case WATCH_REQUEST_CANCEL:
        cancel_watcher(ws, r->watch_id);
        break;
    case WATCH_REQUEST_PROGRESS:
        request_progress(ws);
        break;
    case WATCH_REQUEST_UNKNOWN:
        break;
    }
}

void watch_message(struct call *c, struct bytes message)
{
    struct server *s = c->server;
    struct watch_stream *ws = c->state != NULL ? c->state : stream_create(c);
    if (ws == NULL || is_overdrawn(ws)) {
        call_end_verdict(c, VERDICT_TOO_MANY_REQUESTS);
        return;
    }
    struct watch_request request;
    enum err e = convert_watch(&request, message, &s->arena);
    if (e == OK)
        handle_request(ws, &request);
    else
        unary_refuse(c, e, "WatchRequest");
    arena_reset(&s->arena);
}

void watch_end(struct call *c)
{
    struct watch_stream *ws = c->state;
    struct server *s = c->server;
    for (size_t i = 0; i < ws->count; i++) {
        store_watch_cancel(ws->watchers[i]->watch);
        free(ws->watchers[i]);
    }
    free(ws->watchers);
    if (ws->next != NULL)
        ws->next->previous = ws->previous;
    if (ws->previous != NULL)
        ws->previous->next = ws->next;
    else
        s->watch_streams = ws->next;
    metric_add(s->counters.watch_streams, -1);
    free(ws);
}

/* --- all streams ------------------------------------------------------------------------------ */

enum err watch_server_init(struct server *s)
{
    return store_on_settled(s->store, on_settled, s);
}

void watch_server_fini(struct server *s)
{
    store_off_settled(s->store, s);
}

void watch_server_tick(struct server *s, bool has_leader)
{
    struct watch_stream *next;
    for (struct watch_stream *ws = s->watch_streams; ws != NULL; ws = next) {
        next = ws->next;
        if (ws->call->wants_leader && !has_leader) {
            call_end_verdict(ws->call, VERDICT_NO_LEADER);
            continue;
        }
        try_progress(ws);
        if (ws->progress_due_ms != 0 && s->now_ms >= ws->progress_due_ms)
            notify_progress(ws);
    }
}
