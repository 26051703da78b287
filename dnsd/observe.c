/* steer_observe: from a device into the registry.
 *
 * The watch's thread hands over what it saw, sorted by key; everything else happens on the loop.
 * Each entry knows what the registry is to say of its peer (`wanted`) and what it says (`written`);
 * the difference goes out in transactions of at most KV_MAX_TXN_OPS, a few of them under way.
 *
 * An endpoint counts while its peer is alive: then it was learned from an authenticated packet. The
 * endpoint of a silent peer may have been configured since (by steer_sync, for one), so it is not
 * looked at: what was learned last stays, marked idle. */
#include "dnsd/steer.h"

#include "base/log.h"
#include "dnsd/device.h"
#include "registry/peer.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TICK_MS = 1000,
    EVALUATE_EVERY = 5, /* ticks; a change of the device is looked at when it comes */
    MAX_BATCHES = 4,    /* under way */
    PAGE_SIZE = 512,    /* keys of one read at the start */
    RETRY_MIN_MS = 500,
    RETRY_MAX_MS = 10000,
};

/* --- What the watch's thread hands over. --- */

struct sighting {
    uint8_t key[KEY_SIZE];
    struct ip_endpoint endpoint;
    int64_t handshake_s;
};

struct view {
    uint8_t observer[KEY_SIZE];
    size_t count;
    struct sighting sightings[]; /* by key */
};

/* --- What is known of a peer. --- */

struct mark {
    bool is_present;
    bool is_idle;
    struct ip_endpoint endpoint;
    int64_t lease;
};

struct entry {
    uint8_t key[KEY_SIZE];
    struct ip_endpoint endpoint; /* as learned last */
    int64_t handshake_s;         /* 0: not seen in this life, only read from the registry */
    int64_t loaded_s;            /* since then it counts as silent, without a handshake */
    struct mark wanted;
    struct mark written;
    int64_t written_revision; /* what the watch tells of earlier ones is known */
    bool is_pending;          /* in a batch under way */
};

enum state {
    OBSERVE_WAITING, /* for a device with a key */
    OBSERVE_LOADING, /* own observations of an earlier life */
    OBSERVE_LEASING,
    OBSERVE_READY,
};

struct steer_observe {
    struct steer_observe *next; /* of the process's observers */
    uv_async_t seen;            /* a view is in the mailbox, or another reason to go on */
    uv_timer_t tick;
    unsigned reference_count; /* handles and requests under way */
    struct store *store;
    char *zone;
    char *device;
    int64_t expire_s;
    struct device_subscription *subscription;
    bool is_stopped;

    pthread_mutex_t lock; /* the mailbox */
    struct view *mail;

    struct view *view; /* the newest, taken over once LOADING is done; NULL: taken over */
    uint8_t observer[KEY_SIZE];
    enum state state;
    unsigned generation; /* answers to requests of an earlier one are void */
    struct entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    unsigned tick_count;

    struct store_watch *watch; /* of the zone's observations; NULL: none */
    int64_t watch_revision;    /* it begins behind; 0: before the first page */
    bool is_busy;              /* a request of the state machine is under way */
    bool is_driving;           /* drive is on the stack */
    struct strbuf load_key;
    int64_t lease;
    int64_t lost_lease;       /* not to be taken from another observer, who has not noticed yet */
    uint64_t keepalive_at_ms; /* of uv_now */
    uint64_t retry_at_ms;
    unsigned retry_ms;
    bool is_failing; /* and it was said */

    size_t cursor; /* entries before it need no look */
    unsigned batch_count;
    bool is_flushing; /* flush is on the stack */
};

/* Every observer of the process that was not stopped. Loop thread only. */
static struct steer_observe *observers;

static void watch_begin(struct steer_observe *o);
static void watch_end(struct steer_observe *o);
static void drive(struct steer_observe *o);
static void flush(struct steer_observe *o);

/* --- Life and death. --- */

static void observe_unref(struct steer_observe *o)
{
    assert(o->reference_count > 0);
    if (--o->reference_count > 0)
        return;
    pthread_mutex_destroy(&o->lock);
    strbuf_fini(&o->load_key);
    free(o->mail);
    free(o->view);
    free(o->entries);
    free(o->device);
    free(o->zone);
    free(o);
}

static void on_closed(uv_handle_t *handle)
{
    observe_unref(handle->data);
}

static struct bytes zone_of(const struct steer_observe *o)
{
    return bytes_of_str(o->zone);
}

static uint64_t now_ms(const struct steer_observe *o)
{
    return uv_now(o->tick.loop);
}

/* --- Trouble with the store. --- */

static void store_failed(struct steer_observe *o, const char *text)
{
    if (!o->is_failing)
        log_plugin(LOG_WARNING, "warren", "%s: observations cannot be written to %s: %s", o->device,
                   o->zone, text);
    o->is_failing = true;
    o->retry_ms = o->retry_ms == 0 ? RETRY_MIN_MS : o->retry_ms * 2;
    if (o->retry_ms > RETRY_MAX_MS)
        o->retry_ms = RETRY_MAX_MS;
    o->retry_at_ms = now_ms(o) + o->retry_ms;
}

static void store_answered(struct steer_observe *o)
{
    if (o->is_failing)
        log_plugin(LOG_INFO, "warren", "%s: observations are written to %s again", o->device,
                   o->zone);
    o->is_failing = false;
    o->retry_ms = 0;
    o->retry_at_ms = 0;
}

/* --- Entries. --- */

static struct entry *find_entry(const struct steer_observe *o, const uint8_t *key)
{
    size_t low = 0, high = o->entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(o->entries[middle].key, key, KEY_SIZE);
        if (order == 0)
            return &o->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static enum wg_liveness liveness_of(int64_t handshake_s, int64_t now_s)
{
    struct wg_peer peer = {.last_handshake_sec = handshake_s};
    return wg_peer_liveness(&peer, now_s);
}

/* What the registry is to say of E. */
static void evaluate(const struct steer_observe *o, struct entry *e, int64_t now_s)
{
    bool is_alive = liveness_of(e->handshake_s, now_s) == WG_ALIVE;
    int64_t silent_since_s = e->handshake_s > 0 ? e->handshake_s + WG_SESSION_S : e->loaded_s;
    e->wanted = (struct mark){
        .is_present = is_alive || now_s - silent_since_s < o->expire_s,
        .is_idle = !is_alive,
        .endpoint = e->endpoint,
    };
}

static bool is_dirty(const struct steer_observe *o, const struct entry *e)
{
    if (e->is_pending)
        return false;
    if (!e->wanted.is_present || !e->written.is_present)
        return e->wanted.is_present != e->written.is_present;
    return e->wanted.is_idle != e->written.is_idle || e->written.lease != o->lease ||
           !ip_endpoint_equal(&e->wanted.endpoint, &e->written.endpoint);
}

static void evaluate_all(struct steer_observe *o)
{
    int64_t now_s = time(NULL);
    for (size_t i = 0; i < o->entry_count; i++)
        evaluate(o, &o->entries[i], now_s);
    o->cursor = 0;
}

static bool reserve_entries(struct entry **entries, size_t *capacity, size_t count)
{
    size_t more = *capacity > 0 ? *capacity : 64;
    if (count <= *capacity)
        return true;
    while (more < count)
        more *= 2;
    struct entry *moved = reallocarray(*entries, more, sizeof(**entries));
    if (moved == NULL)
        return false;
    *entries = moved;
    *capacity = more;
    return true;
}

/* --- What the device shows. --- */

static bool is_worth_an_entry(const struct steer_observe *o, const struct sighting *s,
                              int64_t now_s)
{
    return s->handshake_s > 0 && now_s - s->handshake_s < WG_SESSION_S + o->expire_s;
}

static struct entry entry_of(const struct sighting *s)
{
    struct entry e = {.endpoint = s->endpoint, .handshake_s = s->handshake_s};
    memcpy(e.key, s->key, KEY_SIZE);
    return e;
}

static void see(struct entry *e, const struct sighting *s, int64_t now_s)
{
    if (liveness_of(s->handshake_s, now_s) == WG_ALIVE)
        e->endpoint = s->endpoint;
    /* A device that was made anew has no handshakes; what we saw before stays true. */
    if (s->handshake_s > e->handshake_s)
        e->handshake_s = s->handshake_s;
}

static bool is_over(const struct entry *e)
{
    return !e->wanted.is_present && !e->written.is_present && !e->is_pending;
}

/* Merges VIEW into the entries, both by key; entries that are over go. */
static bool merge(struct steer_observe *o, const struct view *view)
{
    struct entry *merged = NULL;
    size_t capacity = 0, count = 0, i = 0, k = 0;
    int64_t now_s = time(NULL);
    if (!reserve_entries(&merged, &capacity, o->entry_count + view->count))
        return false;
    while (i < o->entry_count || k < view->count) {
        int order = i == o->entry_count ? 1
                    : k == view->count
                        ? -1
                        : memcmp(o->entries[i].key, view->sightings[k].key, KEY_SIZE);
        const struct sighting *s = order >= 0 ? &view->sightings[k++] : NULL;
        struct entry e;
        if (order <= 0)
            e = o->entries[i++];
        else if (is_worth_an_entry(o, s, now_s))
            e = entry_of(s);
        else
            continue;
        if (s != NULL)
            see(&e, s, now_s);
        evaluate(o, &e, now_s);
        if (!is_over(&e))
            merged[count++] = e;
    }
    free(o->entries);
    o->entries = merged;
    o->entry_count = count;
    o->entry_capacity = capacity;
    o->cursor = 0;
    return true;
}

/* Another key: another observer, whose lease and observations are not the earlier one's. */
static void start_over(struct steer_observe *o, const uint8_t *observer)
{
    memcpy(o->observer, observer, KEY_SIZE);
    o->generation++;
    o->is_busy = false;
    o->entry_count = 0;
    o->lease = 0;
    o->state = OBSERVE_LOADING;
    o->watch_revision = 0;
    watch_end(o);
    strbuf_clear(&o->load_key);
    registry_endpoints_prefix(&o->load_key, zone_of(o));
}

static void take_view(struct steer_observe *o)
{
    if (o->view == NULL || o->state == OBSERVE_WAITING || o->state == OBSERVE_LOADING)
        return;
    if (!merge(o, o->view))
        return; /* once more with the next tick */
    free(o->view);
    o->view = NULL;
}

static void on_seen(uv_async_t *handle)
{
    struct steer_observe *o = handle->data;
    pthread_mutex_lock(&o->lock);
    struct view *view = o->mail;
    o->mail = NULL;
    pthread_mutex_unlock(&o->lock);
    if (o->is_stopped) {
        free(view);
        return;
    }
    if (view == NULL) {
        drive(o);
        return;
    }
    free(o->view);
    o->view = view;
    if (o->state == OBSERVE_WAITING || memcmp(o->observer, view->observer, KEY_SIZE) != 0)
        start_over(o, view->observer);
    take_view(o);
    drive(o);
}

static int compare_sightings(const void *a, const void *b)
{
    const struct sighting *p = a, *q = b;
    return memcmp(p->key, q->key, KEY_SIZE);
}

/* A peer whose endpoint nobody else could use (it has a scope of this machine) is not seen. */
static struct view *view_of(const struct wg_device *d)
{
    struct view *view = malloc(sizeof(*view) + d->peer_count * sizeof(view->sightings[0]));
    if (view == NULL)
        return NULL;
    memcpy(view->observer, d->public_key, KEY_SIZE);
    view->count = 0;
    for (size_t i = 0; i < d->peer_count; i++) {
        const struct wg_peer *peer = &d->peers[i];
        if (peer->endpoint.addr.family == IP_NONE || peer->endpoint.scope_id != 0)
            continue;
        struct sighting *s = &view->sightings[view->count++];
        *s = (struct sighting){.endpoint = peer->endpoint, .handshake_s = peer->last_handshake_sec};
        s->endpoint.addr = ip_unmap(s->endpoint.addr);
        memcpy(s->key, peer->public_key, KEY_SIZE);
    }
    qsort(view->sightings, view->count, sizeof(view->sightings[0]), compare_sightings);
    return view;
}

/* On the watch's thread, and once from device_subscribe. While the device cannot be read nothing is
 * seen; that peers fall silent meanwhile is a matter of the clock. */
static void on_device(void *context, const struct wgctl_watch_event *event)
{
    struct steer_observe *o = context;
    if (event->error != OK || !event->device->has_public_key)
        return;
    struct view *view = view_of(event->device);
    if (view == NULL) {
        log_plugin(LOG_ERROR, "warren", "%s: no memory for what it shows", o->device);
        return;
    }
    pthread_mutex_lock(&o->lock);
    free(o->mail);
    o->mail = view;
    pthread_mutex_unlock(&o->lock);
    (void)uv_async_send(&o->seen);
}

/* --- Own observations of an earlier life. --- */

struct request {
    struct steer_observe *observe;
    unsigned generation;
};

/* The beginning of every callback: NULL if the answer is void. */
static struct steer_observe *request_end(struct request *r)
{
    struct steer_observe *o = r->observe;
    bool is_void = o->is_stopped || r->generation != o->generation;
    free(r);
    if (!is_void) {
        o->is_busy = false;
        return o;
    }
    observe_unref(o);
    return NULL;
}

/* Sends a request of the state machine: one at a time. */
static void send_request(struct steer_observe *o, const struct store_request *request,
                         store_done_fn *done)
{
    struct request *r = malloc(sizeof(*r));
    if (r == NULL) {
        store_failed(o, err_text(ERR_NO_MEMORY));
        return;
    }
    *r = (struct request){.observe = o, .generation = o->generation};
    o->is_busy = true;
    o->reference_count++;
    store_submit(o->store, request, done, r);
}

static enum err load_entry(struct steer_observe *o, const struct kv *kv)
{
    struct registry_key key;
    struct registry_observation observation;
    registry_key_parse(&key, kv->key);
    if (key.type != REGISTRY_KEY_ENDPOINT || memcmp(key.observer, o->observer, KEY_SIZE) != 0)
        return OK;
    if (!reserve_entries(&o->entries, &o->entry_capacity, o->entry_count + 1))
        return ERR_NO_MEMORY;
    /* Base32 does not order as the keys do: they are sorted once all are there. */
    struct entry *e = &o->entries[o->entry_count++];
    *e = (struct entry){.loaded_s = time(NULL)};
    memcpy(e->key, key.peer, KEY_SIZE);
    e->written = (struct mark){.is_present = true, .lease = kv->lease};
    e->written_revision = kv->mod_revision;
    if (registry_observation_parse(&observation, kv->value, NULL) == OK) {
        e->endpoint = e->written.endpoint = observation.endpoint;
        e->written.is_idle = observation.is_idle;
    } else {
        e->loaded_s -= o->expire_s; /* nonsense: over, unless the device knows better */
    }
    if (o->lease == 0)
        o->lease = kv->lease;
    return OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *p = a, *q = b;
    return memcmp(p->key, q->key, KEY_SIZE);
}

static void loaded_page(void *context, const struct store_response *response)
{
    struct steer_observe *o = request_end(context);
    if (o == NULL)
        return;
    const struct kv_range_response *page = &response->range;
    enum err e = OK;
    if (response->verdict != VERDICT_OK) {
        store_failed(o, verdict_text(response->verdict));
    } else {
        if (o->watch_revision == 0)
            o->watch_revision = response->revision;
        for (size_t i = 0; e == OK && i < page->kv_count; i++)
            e = load_entry(o, &page->kvs[i]);
        if (e == OK && page->kv_count > 0) {
            const struct kv *last = &page->kvs[page->kv_count - 1];
            strbuf_clear(&o->load_key);
            strbuf_add(&o->load_key, last->key.data, last->key.size);
            strbuf_add_char(&o->load_key, '\0');
        }
        if (e != OK || o->load_key.failed) {
            store_failed(o, err_text(ERR_NO_MEMORY));
            start_over(o, o->observer);
        } else if (!page->more || page->kv_count == 0) {
            if (o->entry_count > 0)
                qsort(o->entries, o->entry_count, sizeof(*o->entries), compare_entries);
            evaluate_all(o);
            o->state = OBSERVE_LEASING;
            watch_begin(o);
        }
    }
    drive(o);
    observe_unref(o);
}

/* The keys of all the zone's observations: [PREFIX, END). False: no memory. */
static bool observations_range(const struct steer_observe *o, struct strbuf *prefix,
                               struct strbuf *end)
{
    registry_endpoints_prefix(prefix, zone_of(o));
    registry_endpoints_prefix(end, zone_of(o));
    if (prefix->failed || end->failed || end->size == 0)
        return false;
    end->data[end->size - 1]++; /* a '/' */
    return true;
}

static void load_page(struct steer_observe *o)
{
    struct strbuf prefix = STRBUF_EMPTY, end = STRBUF_EMPTY;
    if (observations_range(o, &prefix, &end) && !o->load_key.failed) {
        struct store_request request = {
            .type = STORE_RANGE,
            .range = {.key = bytes_of(o->load_key.data, o->load_key.size),
                      .range_end = bytes_of(end.data, end.size),
                      .limit = PAGE_SIZE},
        };
        send_request(o, &request, loaded_page);
    } else {
        store_failed(o, err_text(ERR_NO_MEMORY));
    }
    strbuf_fini(&prefix);
    strbuf_fini(&end);
}

/* --- What others do to own observations. --- */

static struct mark mark_of(const struct kv_event *event)
{
    struct registry_observation observation;
    struct mark mark = {.is_present = event->type != KV_EVENT_DELETE, .lease = event->kv.lease};
    /* Nonsense has no endpoint that could be wanted, so it is written over. */
    if (mark.is_present && registry_observation_parse(&observation, event->kv.value, NULL) == OK) {
        mark.endpoint = observation.endpoint;
        mark.is_idle = observation.is_idle;
    }
    return mark;
}

static void take_event(struct steer_observe *o, const struct kv_event *event)
{
    struct registry_key key;
    registry_key_parse(&key, event->kv.key);
    if (key.type != REGISTRY_KEY_ENDPOINT || memcmp(key.observer, o->observer, KEY_SIZE) != 0)
        return;
    struct entry *e = find_entry(o, key.peer);
    if (e == NULL || e->is_pending || event->kv.mod_revision <= e->written_revision)
        return;
    e->written = mark_of(event);
    e->written_revision = event->kv.mod_revision;
    o->cursor = 0;
}

/* What somebody deleted or wrote over is put right with the next tick, not at once: should another
 * machine write as the same observer, with a copy of our key, the two do not chase each other. */
static bool on_written(void *context, const struct store_watch_batch *batch)
{
    struct steer_observe *o = context;
    if (batch->compact_revision != 0) {
        o->watch = NULL; /* it ended itself; the tick begins another */
        o->watch_revision = batch->compact_revision;
        return true;
    }
    for (size_t i = 0; i < batch->event_count; i++)
        take_event(o, &batch->events[i]);
    return true;
}

static void watch_begin(struct steer_observe *o)
{
    struct strbuf prefix = STRBUF_EMPTY, end = STRBUF_EMPTY;
    if (observations_range(o, &prefix, &end)) {
        struct store_watch_request request = {
            .key = bytes_of(prefix.data, prefix.size),
            .range_end = bytes_of(end.data, end.size),
            .start_revision = o->watch_revision + 1,
        };
        if (store_watch_create(&o->watch, o->store, &request, on_written, o) != OK)
            o->watch = NULL; /* the tick tries again */
    }
    strbuf_fini(&prefix);
    strbuf_fini(&end);
}

static void watch_end(struct steer_observe *o)
{
    if (o->watch != NULL)
        store_watch_cancel(o->watch);
    o->watch = NULL;
}

/* --- The lease. --- */

/* Whether A and B write as the same observer: then it is under one lease, whatever their zones. */
static bool are_siblings(const struct steer_observe *a, const struct steer_observe *b)
{
    return a != b && a->store == b->store && b->state != OBSERVE_WAITING &&
           memcmp(a->observer, b->observer, KEY_SIZE) == 0;
}

/* A lease that a sibling holds, 0 without. *WAIT: one is about to get one. */
static int64_t sibling_lease(const struct steer_observe *o, bool *wait)
{
    *wait = false;
    for (const struct steer_observe *s = observers; s != NULL; s = s->next) {
        if (!are_siblings(o, s))
            continue;
        if (s->state == OBSERVE_READY && s->lease != o->lost_lease)
            return s->lease;
        *wait = *wait || (s->state == OBSERVE_LEASING && s->is_busy);
    }
    return 0;
}

static void lease_held(struct steer_observe *o, int64_t id, int64_t ttl_s)
{
    store_answered(o);
    o->lease = id;
    o->keepalive_at_ms = now_ms(o) + (uint64_t)(ttl_s > 3 ? ttl_s * 1000 / 3 : 1000);
    if (o->state == OBSERVE_READY)
        return;
    o->state = OBSERVE_READY;
    for (struct steer_observe *s = observers; s != NULL; s = s->next)
        if (are_siblings(o, s) && s->state == OBSERVE_LEASING)
            (void)uv_async_send(&s->seen);
    log_plugin(LOG_INFO, "warren", "%s: observed for %s, under lease %016" PRIx64, o->device,
               o->zone, (uint64_t)id);
}

/* What stood under it went with it. */
static void lease_lost(struct steer_observe *o)
{
    if (o->state == OBSERVE_READY)
        log_plugin(LOG_WARNING, "warren",
                   "%s: the lease of its observations in %s was lost; they are written again",
                   o->device, o->zone);
    for (size_t i = 0; i < o->entry_count; i++) {
        struct entry *e = &o->entries[i];
        e->is_pending = false;
        if (e->written.lease == o->lease)
            e->written = (struct mark){.is_present = false};
    }
    o->generation++;
    o->is_busy = false;
    o->lost_lease = o->lease;
    o->lease = 0;
    o->cursor = 0;
    o->state = OBSERVE_LEASING;
}

static void kept_alive(void *context, const struct store_response *response)
{
    struct steer_observe *o = request_end(context);
    if (o == NULL)
        return;
    if (response->verdict == VERDICT_LEASE_NOT_FOUND ||
        (response->verdict == VERDICT_OK && response->lease.ttl_s <= 0))
        lease_lost(o);
    else if (response->verdict != VERDICT_OK)
        store_failed(o, verdict_text(response->verdict));
    else
        lease_held(o, o->lease, response->lease.ttl_s);
    take_view(o);
    drive(o);
    observe_unref(o);
}

static void granted(void *context, const struct store_response *response)
{
    struct steer_observe *o = request_end(context);
    if (o == NULL)
        return;
    if (response->verdict == VERDICT_OK)
        lease_held(o, response->lease.id, response->lease.ttl_s);
    else
        store_failed(o, verdict_text(response->verdict));
    take_view(o);
    drive(o);
    observe_unref(o);
}

/* False: the answer that a sibling waits for is waited for. */
static bool keep_or_grant(struct steer_observe *o)
{
    bool wait = false;
    if (o->lease == 0)
        o->lease = sibling_lease(o, &wait);
    if (o->lease == 0 && wait)
        return false;
    struct store_request request = {.type = STORE_LEASE_GRANT, .grant.ttl_s = STEER_LEASE_TTL_S};
    if (o->lease != 0)
        request = (struct store_request){.type = STORE_LEASE_KEEPALIVE, .lease.id = o->lease};
    send_request(o, &request, o->lease != 0 ? kept_alive : granted);
    return true;
}

/* Does what the state asks for, and then writes. Requests may be answered at once: the loop in here
 * and in flush takes the place of recursion. */
static void drive(struct steer_observe *o)
{
    if (o->is_driving)
        return;
    o->is_driving = true;
    while (!o->is_stopped && !o->is_busy && now_ms(o) >= o->retry_at_ms) {
        bool lease_is_due = o->state == OBSERVE_LEASING ||
                            (o->state == OBSERVE_READY && now_ms(o) >= o->keepalive_at_ms);
        if (o->state == OBSERVE_LOADING)
            load_page(o);
        else if (!lease_is_due || !keep_or_grant(o))
            break;
    }
    o->is_driving = false;
    flush(o);
}

/* --- Writing. --- */

struct batch {
    struct steer_observe *observe;
    unsigned generation;
    size_t count;
    struct {
        uint8_t key[KEY_SIZE];
        struct mark mark;
    } items[KV_MAX_TXN_OPS];
};

static void batch_done(void *context, const struct store_response *response)
{
    struct batch *b = context;
    struct steer_observe *o = b->observe;
    o->batch_count--;
    if (!o->is_stopped && b->generation == o->generation) {
        bool is_written = response->verdict == VERDICT_OK;
        for (size_t i = 0; i < b->count; i++) {
            struct entry *e = find_entry(o, b->items[i].key);
            assert(e != NULL); /* a pending entry is never over */
            e->is_pending = false;
            if (is_written) {
                e->written = b->items[i].mark;
                e->written_revision = response->revision;
            }
            o->cursor = 0;
        }
        if (is_written)
            store_answered(o);
        else if (response->verdict == VERDICT_LEASE_NOT_FOUND)
            lease_lost(o);
        else
            store_failed(o, verdict_text(response->verdict));
        drive(o);
    }
    free(b);
    observe_unref(o);
}

static void batch_add(struct batch *b, struct entry *e)
{
    memcpy(b->items[b->count].key, e->key, KEY_SIZE);
    b->items[b->count].mark = e->wanted;
    b->items[b->count].mark.lease = b->observe->lease;
    b->count++;
    e->is_pending = true;
}

/* One operation's key and value, as places in a text that may still move. */
struct place {
    size_t key;
    size_t value;
    size_t end;
};

static void write_item(struct strbuf *text, const struct batch *b, size_t i, struct place *place)
{
    const struct steer_observe *o = b->observe;
    const struct mark *mark = &b->items[i].mark;
    place->key = text->size;
    registry_endpoint_key(text, zone_of(o), b->items[i].key, o->observer);
    place->value = text->size;
    if (mark->is_present) {
        struct registry_observation observation = {
            .endpoint = mark->endpoint, .how = "handshake", .is_idle = mark->is_idle};
        registry_observation_format(text, &observation);
    }
    place->end = text->size;
}

static void op_of(struct kv_op *op, const struct batch *b, size_t i, const struct strbuf *text,
                  const struct place *place)
{
    struct bytes key = bytes_of(text->data + place->key, place->value - place->key);
    struct bytes value = bytes_of(text->data + place->value, place->end - place->value);
    if (b->items[i].mark.is_present)
        *op = (struct kv_op){.type = KV_OP_PUT,
                             .put = {.key = key, .value = value, .lease = b->observe->lease}};
    else
        *op = (struct kv_op){.type = KV_OP_DELETE, .del = {.key = key}};
}

/* Takes B; its callback frees it. ERR_NO_MEMORY leaves it to the caller. */
static enum err batch_submit(struct batch *b)
{
    struct strbuf text = STRBUF_EMPTY;
    struct place places[KV_MAX_TXN_OPS];
    struct kv_op ops[KV_MAX_TXN_OPS];
    for (size_t i = 0; i < b->count; i++)
        write_item(&text, b, i, &places[i]);
    if (text.failed) {
        strbuf_fini(&text);
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < b->count; i++)
        op_of(&ops[i], b, i, &text, &places[i]);
    struct store_request request = {.type = STORE_TXN,
                                    .txn = {.success = ops, .success_count = b->count}};
    b->observe->reference_count++;
    b->observe->batch_count++;
    store_submit(b->observe->store, &request, batch_done, b);
    strbuf_fini(&text);
    return OK;
}

/* The next changes from the cursor on, at most a transaction full. NULL: none. */
static struct batch *batch_collect(struct steer_observe *o)
{
    struct batch *b = NULL;
    for (; o->cursor < o->entry_count; o->cursor++) {
        struct entry *e = &o->entries[o->cursor];
        if (!is_dirty(o, e))
            continue;
        if (b == NULL) {
            b = malloc(sizeof(*b));
            if (b == NULL) {
                store_failed(o, err_text(ERR_NO_MEMORY));
                return NULL;
            }
            b->observe = o;
            b->generation = o->generation;
            b->count = 0;
        }
        if (b->count == KV_MAX_TXN_OPS)
            break;
        batch_add(b, e);
    }
    return b;
}

static void batch_give_up(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        struct entry *e = find_entry(b->observe, b->items[i].key);
        assert(e != NULL);
        e->is_pending = false;
    }
    b->observe->cursor = 0;
    store_failed(b->observe, err_text(ERR_NO_MEMORY));
    free(b);
}

static void flush(struct steer_observe *o)
{
    if (o->is_flushing)
        return;
    o->is_flushing = true;
    while (!o->is_stopped && o->state == OBSERVE_READY && o->batch_count < MAX_BATCHES &&
           now_ms(o) >= o->retry_at_ms) {
        struct batch *b = batch_collect(o);
        if (b == NULL)
            break;
        if (batch_submit(b) != OK)
            batch_give_up(b);
    }
    o->is_flushing = false;
}

static void on_tick(uv_timer_t *handle)
{
    struct steer_observe *o = handle->data;
    take_view(o);
    if (o->watch == NULL && o->state >= OBSERVE_LEASING)
        watch_begin(o);
    if (++o->tick_count % EVALUATE_EVERY == 0)
        evaluate_all(o);
    drive(o);
}

/* --- Start and stop. --- */

enum err steer_observe_start(struct steer_observe **out, const struct steer_observe_config *config)
{
    struct steer_observe *o = calloc(1, sizeof(*o));
    if (o == NULL)
        return ERR_NO_MEMORY;
    pthread_mutex_init(&o->lock, NULL);
    o->store = config->store;
    o->expire_s = config->expire_s > 0 ? config->expire_s : STEER_EXPIRE_S;
    o->zone = strdup(config->zone);
    o->device = strdup(config->device);
    o->reference_count = 1;
    if (o->zone == NULL || o->device == NULL ||
        uv_async_init(config->loop, &o->seen, on_seen) != 0) {
        observe_unref(o);
        return ERR_NO_MEMORY;
    }
    (void)uv_timer_init(config->loop, &o->tick);
    o->seen.data = o->tick.data = o;
    o->reference_count = 2; /* the handles */
    (void)uv_timer_start(&o->tick, on_tick, TICK_MS, TICK_MS);
    /* The observer alone is no reason to keep a loop running. */
    uv_unref((uv_handle_t *)&o->seen);
    uv_unref((uv_handle_t *)&o->tick);
    enum err e = device_subscribe(&o->subscription, o->device, "warren", on_device, o);
    if (e != OK) {
        steer_observe_stop(o);
        return e;
    }
    o->next = observers;
    observers = o;
    *out = o;
    return OK;
}

static void forget_observer(const struct steer_observe *o)
{
    struct steer_observe **at = &observers;
    while (*at != NULL && *at != o)
        at = &(*at)->next;
    if (*at != NULL)
        *at = o->next;
}

void steer_observe_stop(struct steer_observe *o)
{
    if (o == NULL)
        return;
    assert(!o->is_stopped);
    o->is_stopped = true;
    forget_observer(o);
    watch_end(o);
    device_unsubscribe(o->subscription);
    uv_close((uv_handle_t *)&o->seen, on_closed);
    uv_close((uv_handle_t *)&o->tick, on_closed);
}
