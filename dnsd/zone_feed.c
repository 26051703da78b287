#include "dnsd/zone_feed.h"

#include "dnsd/bad_keys.h"
#include "dnsd/rcu.h"

#include "base/log.h"
#include "base/strbuf.h"
#include "registry/peer.h"
#include "registry/store.h"

#include <assert.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    VALUE_ARENA_LIMIT = 4 << 20, /* of one value's parts: PEER_MAX_VALUE_SIZE bounds the value */
    APPLY_AHEAD = 4,             /* keys of a page */
};

static const char log_name[] = "warren";

/* What a feed does at the moment. */
enum feed_state {
    FEED_LOADING,   /* wants the next page; `step` gets it */
    FEED_WAITING,   /* a page is on its way */
    FEED_FOLLOWING, /* the watch delivers */
    FEED_CLOSED,    /* only handles and a late answer are left */
};

struct zone_feed {
    struct zone_feed *next;
    struct dnsd *dnsd;
    struct zones_warren *zone;
    struct strbuf name;       /* "wg.example." */
    struct strbuf first_key;  /* the range of the zone's keys */
    struct strbuf behind_key; /* its end */
    size_t refs;
    _Atomic(bool) is_loaded;

    enum feed_state state;
    struct strbuf next_key; /* the next page's */
    int64_t revision;       /* of all pages; 0 before the first */
    bool is_load_begun;
    bool is_refusal_logged;
    bool has_request; /* an answer is still to come */
    unsigned handles; /* libuv's, still open */
    uv_idle_t step;   /* loads page by page, between everything else that the loop does */
    uv_timer_t retry; /* goes on after trouble */
    struct store_watch *watch;
    bool is_held; /* the watch waits for us to resume it */

    struct arena arena; /* one value's parts */
    struct bad_keys faults;
    struct metric_series *peers, *published, *revision_series, *invalid, *memory;
};

/* Every feed of the process. Loop thread only. */
static struct zone_feed *feeds;

static void load(struct zone_feed *f);

/* --- what changes replaced -------------------------------------------------------------------- */

struct garbage_batch {
    struct rcu_head head;
    struct zones_warren_garbage *garbage;
};

static void free_batch(struct rcu_head *head)
{
    struct garbage_batch *batch = (struct garbage_batch *)head; /* begins with it */
    rcu_callback_begins();
    zones_warren_free(batch->garbage);
    free(batch);
}

static void reclaim(struct zone_feed *f)
{
    struct zones_warren_garbage *garbage = zones_warren_reclaim(f->zone);
    if (garbage == NULL)
        return;
    struct garbage_batch *batch = malloc(sizeof(*batch));
    if (batch == NULL) {
        synchronize_rcu();
        zones_warren_free(garbage);
        return;
    }
    batch->garbage = garbage;
    call_rcu(&batch->head, free_batch);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static struct metric_series *make_gauge(const struct zone_feed *f, const char *name,
                                        const char *help)
{
    static const char *const labels[] = {"zone"};
    const char *values[] = {strbuf_str(&f->name)};
    struct metric_family *family =
        metrics_family(f->dnsd->metrics, METRIC_GAUGE, name, help, labels, 1, NULL, 0);
    return family != NULL ? metric_series(family, values) : NULL;
}

static enum err make_metrics(struct zone_feed *f)
{
    f->peers = make_gauge(f, "warren_zone_peers", "Peers of the zone, published or not.");
    f->published = make_gauge(f, "warren_zone_published", "Peers of the zone with an endpoint.");
    f->revision_series = make_gauge(f, "warren_zone_revision",
                                    "Revision of the registry's last change that is in the zone.");
    f->invalid =
        make_gauge(f, "warren_zone_invalid_values",
                   "Keys of the zone whose values are ignored because they are malformed.");
    f->memory = make_gauge(f, "warren_zone_memory_bytes", "Memory that the zone's records take.");
    bool is_whole = f->peers != NULL && f->published != NULL && f->revision_series != NULL &&
                    f->invalid != NULL && f->memory != NULL;
    return is_whole ? OK : ERR_NO_MEMORY;
}

/* A zone that nobody serves any more has none. */
static void drop_metrics(struct zone_feed *f)
{
    struct metric_series **all[] = {&f->peers, &f->published, &f->revision_series, &f->invalid,
                                    &f->memory};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        metric_series_remove(*all[i]);
        *all[i] = NULL;
    }
}

static void update_metrics(struct zone_feed *f)
{
    metric_set(f->peers, (double)zones_warren_peer_count(f->zone));
    metric_set(f->published, (double)zones_warren_published_count(f->zone));
    metric_set(f->revision_series, (double)zones_warren_revision(f->zone));
    metric_set(f->invalid, (double)f->faults.count);
    metric_set(f->memory, (double)zones_warren_memory(f->zone));
}

/* --- applying --------------------------------------------------------------------------------- */

/* A key and its value; VALUE NULL when the key is gone. */
struct change {
    struct registry_key key;
    struct bytes key_text;
    const struct bytes *value;
    int64_t revision;
};

static void note_fault(struct zone_feed *f, const struct change *c, const struct strbuf *why)
{
    if (!bad_keys_add(&f->faults, c->key_text))
        return;
    log_plugin(LOG_WARNING, log_name, "%s: %.*s is ignored: %s", strbuf_str(&f->name),
               (int)c->key_text.size, (const char *)c->key_text.data, strbuf_str(why));
}

static enum err apply_zone(struct zone_feed *f, const struct change *c, struct strbuf *why)
{
    struct registry_zone settings;
    enum err e = OK;
    if (c->value != NULL)
        e = registry_zone_parse(&settings, *c->value, why);
    if (e == ERR_NO_MEMORY)
        return e;
    if (e != OK || c->value == NULL)
        registry_zone_defaults(&settings);
    enum err set = zones_warren_set_zone(f->zone, &settings, c->revision);
    return set != OK ? set : e;
}

static enum err apply_peer(struct zone_feed *f, const struct change *c, struct strbuf *why)
{
    struct registry_peer peer;
    enum err e = OK;
    if (c->value != NULL)
        e = registry_peer_parse(&peer, *c->value, &f->arena, why);
    if (e == ERR_NO_MEMORY)
        return e;
    bool is_there = e == OK && c->value != NULL;
    enum err set =
        zones_warren_set_peer(f->zone, c->key.peer, is_there ? &peer : NULL, c->revision);
    return set != OK ? set : e;
}

static enum err apply_endpoint(struct zone_feed *f, const struct change *c, struct strbuf *why)
{
    struct registry_observation observation;
    enum err e = OK;
    if (c->value != NULL)
        e = registry_observation_parse(&observation, *c->value, why);
    if (e == ERR_NO_MEMORY)
        return e;
    bool is_there = e == OK && c->value != NULL;
    enum err set = zones_warren_set_observation(f->zone, c->key.peer, c->key.observer,
                                                is_there ? &observation : NULL, c->revision);
    return set != OK ? set : e;
}

/* KV as a change. The range holds neighbours, for "wg.example.-x." begins as "wg.example." does:
 * those keys are REGISTRY_KEY_OTHER. */
static void read_change(const struct zone_feed *f, const struct kv *kv, bool is_delete,
                        struct change *out)
{
    out->key_text = kv->key;
    out->value = is_delete ? NULL : &kv->value;
    out->revision = kv->mod_revision;
    registry_key_parse_in(&out->key, bytes_of(f->name.data, f->name.size), kv->key);
}

/* ERR_NO_MEMORY: nothing of it was done. */
static enum err apply(struct zone_feed *f, const struct change *c)
{
    struct strbuf why = STRBUF_EMPTY;
    enum err e = OK;
    if (c->key.type == REGISTRY_KEY_OTHER)
        return OK;
    if (c->key.type == REGISTRY_KEY_ZONE)
        e = apply_zone(f, c, &why);
    else if (c->key.type == REGISTRY_KEY_PEER)
        e = apply_peer(f, c, &why);
    else
        e = apply_endpoint(f, c, &why);
    arena_reset(&f->arena);
    if (e == ERR_MALFORMED)
        note_fault(f, c, &why);
    else if (e == OK)
        bad_keys_remove(&f->faults, c->key_text);
    strbuf_fini(&why);
    return e == ERR_MALFORMED ? OK : e;
}

/* Keys come in their order, and lie, like what the zone has of them, all over the memory: what a
 * change will look at is on its way while those before it are applied. */
static void fetch_ahead(const struct zone_feed *f, const struct change *c)
{
    if (c->value != NULL && c->value->size > 0) {
        __builtin_prefetch(c->value->data);
        __builtin_prefetch(c->value->data + c->value->size - 1);
    }
    if (c->key.type == REGISTRY_KEY_PEER || c->key.type == REGISTRY_KEY_ENDPOINT)
        zones_warren_prefetch(f->zone, c->key.peer);
}

static enum err apply_page(struct zone_feed *f, const struct kv_range_response *page)
{
    struct change ahead[APPLY_AHEAD];
    enum err e = OK;
    for (size_t i = 0; e == OK && i < page->kv_count + APPLY_AHEAD; i++) {
        struct change *c = &ahead[i % APPLY_AHEAD];
        if (i >= APPLY_AHEAD)
            e = apply(f, c);
        if (i < page->kv_count) {
            read_change(f, &page->kvs[i], false, c);
            fetch_ahead(f, c);
        } else {
            c->key.type = REGISTRY_KEY_OTHER;
        }
    }
    return e;
}

/* --- following -------------------------------------------------------------------------------- */

static void retry_later(struct zone_feed *f);

static bool deliver(void *context, const struct store_watch_batch *batch)
{
    struct zone_feed *f = context;
    enum err e = OK;
    if (batch->compact_revision != 0) {
        f->watch = NULL; /* it ended itself */
        load(f);
        return true;
    }
    /* What was applied before memory ran out comes again, which does no harm. */
    for (size_t i = 0; e == OK && i < batch->event_count; i++) {
        struct change c;
        read_change(f, &batch->events[i].kv, batch->events[i].type == KV_EVENT_DELETE, &c);
        e = apply(f, &c);
    }
    reclaim(f);
    update_metrics(f);
    f->is_held = e != OK;
    if (f->is_held)
        retry_later(f);
    return e == OK;
}

static void follow(struct zone_feed *f)
{
    struct store_watch_request request = {
        .key = bytes_of(f->first_key.data, f->first_key.size),
        .range_end = bytes_of(f->behind_key.data, f->behind_key.size),
        .start_revision = f->revision + 1,
    };
    if (store_watch_create(&f->watch, f->dnsd->store, &request, deliver, f) != OK) {
        f->watch = NULL;
        retry_later(f);
        return;
    }
    f->state = FEED_FOLLOWING;
    if (!atomic_load(&f->is_loaded))
        log_plugin(LOG_INFO, log_name, "%s: loaded, %zu peers at revision %lld",
                   strbuf_str(&f->name), zones_warren_peer_count(f->zone), (long long)f->revision);
    atomic_store(&f->is_loaded, true);
}

/* --- loading ---------------------------------------------------------------------------------- */

static void step_now(struct zone_feed *f);

static void load(struct zone_feed *f)
{
    f->revision = 0;
    f->is_load_begun = false;
    f->state = FEED_LOADING;
    strbuf_clear(&f->next_key);
    strbuf_add(&f->next_key, f->first_key.data, f->first_key.size);
    step_now(f);
}

/* All pages are in. */
static enum err finish_load(struct zone_feed *f)
{
    enum err e = zones_warren_end_reload(f->zone);
    reclaim(f);
    if (e == OK)
        follow(f);
    return e;
}

/* About how many peers PAGE, the first one, announces. Observations come before peers; where there
 * are some, about each peer has one. */
static size_t peers_expected(const struct kv_range_response *page)
{
    size_t count = page->count > 0 ? (size_t)page->count : 0;
    if (page->kv_count == 0)
        return count;
    struct registry_key last;
    registry_key_parse(&last, page->kvs[page->kv_count - 1].key);
    return last.type == REGISTRY_KEY_ENDPOINT ? count / 2 : count;
}

static enum err take_page(struct zone_feed *f, const struct store_response *response)
{
    const struct kv_range_response *page = &response->range;
    enum err e = OK;
    if (!f->is_load_begun) {
        struct registry_zone *settings = calloc(1, sizeof(*settings));
        if (settings == NULL)
            return ERR_NO_MEMORY;
        registry_zone_defaults(settings); /* unless a page says otherwise */
        e = zones_warren_set_zone(f->zone, settings, 0);
        free(settings);
        if (e != OK)
            return e;
        zones_warren_begin_reload(f->zone);
        e = zones_warren_expect(f->zone, peers_expected(page));
        if (e != OK)
            return e;
        bad_keys_clear(&f->faults);
        f->is_load_begun = true;
        f->revision = response->revision;
    }
    e = apply_page(f, page);
    if (e == OK && page->kv_count > 0) {
        struct bytes last = page->kvs[page->kv_count - 1].key;
        strbuf_clear(&f->next_key);
        strbuf_add(&f->next_key, last.data, last.size);
        strbuf_add_char(&f->next_key, '\0'); /* the least key behind it */
    }
    reclaim(f);
    update_metrics(f);
    return e == OK && f->next_key.failed ? ERR_NO_MEMORY : e;
}

static void log_refusal(struct zone_feed *f, enum verdict verdict)
{
    if (!f->is_refusal_logged)
        log_plugin(LOG_ERROR, log_name, "%s: the registry cannot be read: %s; trying again",
                   strbuf_str(&f->name), verdict_text(verdict));
    f->is_refusal_logged = true;
}

static void feed_free(struct zone_feed *f);

static void page_done(void *context, const struct store_response *response)
{
    struct zone_feed *f = context;
    f->has_request = false;
    if (f->state == FEED_CLOSED) {
        feed_free(f);
        return;
    }
    f->state = FEED_LOADING;
    if (response->verdict == VERDICT_STOPPED)
        return; /* the end of the process */
    if (response->verdict == VERDICT_COMPACTED) {
        load(f); /* history went on without us */
        return;
    }
    if (response->verdict != VERDICT_OK) {
        log_refusal(f, response->verdict);
        retry_later(f);
        return;
    }
    f->is_refusal_logged = false;
    enum err e = take_page(f, response);
    if (e == OK && !response->range.more)
        e = finish_load(f);
    if (e != OK)
        retry_later(f);
    else if (f->state == FEED_LOADING && response->range.more)
        step_now(f);
}

static void step(uv_idle_t *handle)
{
    struct zone_feed *f = handle->data;
    uv_idle_stop(handle);
    struct store_request request = {
        .type = STORE_RANGE,
        .range = {.key = bytes_of(f->next_key.data, f->next_key.size),
                  .range_end = bytes_of(f->behind_key.data, f->behind_key.size),
                  .limit = ZONE_FEED_PAGE_KEYS,
                  .revision = f->revision,
                  .serializable = true,
                  .no_count = f->is_load_begun},
    };
    f->state = FEED_WAITING;
    f->has_request = true;
    store_submit(f->dnsd->store, &request, page_done, f);
}

static void step_now(struct zone_feed *f)
{
    uv_idle_start(&f->step, step);
}

static void retry(uv_timer_t *handle)
{
    struct zone_feed *f = handle->data;
    if (f->watch == NULL) {
        load(f);
    } else if (f->is_held) {
        f->is_held = false;
        store_watch_resume(f->watch);
    }
}

static void retry_later(struct zone_feed *f)
{
    uv_timer_start(&f->retry, retry, ZONE_FEED_RETRY_MS, 0);
}

/* --- life ------------------------------------------------------------------------------------- */

static void feed_free(struct zone_feed *f)
{
    if (f->has_request || f->handles > 0)
        return;
    drop_metrics(f);
    zones_warren_destroy(f->zone);
    strbuf_fini(&f->name);
    strbuf_fini(&f->first_key);
    strbuf_fini(&f->behind_key);
    strbuf_fini(&f->next_key);
    bad_keys_fini(&f->faults);
    arena_fini(&f->arena);
    free(f);
}

static void handle_closed(uv_handle_t *handle)
{
    struct zone_feed *f = handle->data;
    f->handles--;
    feed_free(f);
}

static enum err make_keys(struct zone_feed *f, struct dns_name name)
{
    char text[DNS_NAME_TEXT_SIZE];
    size_t size = dns_name_to_text(name, text);
    struct bytes zone = bytes_of(text, size);
    if (memchr(text, '/', size) != NULL)
        return ERR_INVALID; /* the keys' own separator */
    strbuf_add(&f->name, text, size);
    registry_zone_key(&f->first_key, zone);
    registry_zone_key(&f->behind_key, zone);
    strbuf_add_char(&f->behind_key, '/' + 1);
    return f->name.failed || f->first_key.failed || f->behind_key.failed ? ERR_NO_MEMORY : OK;
}

static enum err feed_create(struct zone_feed **out, struct dnsd *dnsd, struct dns_name name)
{
    uint8_t hash_key[HASH_KEY_SIZE];
    struct zone_feed *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return ERR_NO_MEMORY;
    f->dnsd = dnsd;
    arena_init(&f->arena, VALUE_ARENA_LIMIT);
    bad_keys_init(&f->faults, ZONE_FEED_MAX_FAULTS);
    randombytes_buf(hash_key, sizeof(hash_key));
    enum err e = make_keys(f, name);
    if (e == OK)
        e = zones_warren_create(&f->zone, name, hash_key);
    if (e == OK)
        e = make_metrics(f);
    if (e != OK) {
        feed_free(f);
        return e;
    }
    uv_idle_init(dnsd->loop, &f->step);
    uv_timer_init(dnsd->loop, &f->retry);
    f->step.data = f->retry.data = f;
    f->handles = 2;
    *out = f;
    return OK;
}

enum err zone_feed_open(struct zone_feed **out, struct dnsd *dnsd, struct dns_name name)
{
    struct zone_feed *f = feeds;
    while (f != NULL && !dns_name_same(zones_warren_name(f->zone), name))
        f = f->next;
    if (f == NULL) {
        enum err e = feed_create(&f, dnsd, name);
        if (e != OK)
            return e;
        f->next = feeds;
        feeds = f;
        load(f);
    }
    f->refs++;
    *out = f;
    return OK;
}

void zone_feed_close(struct zone_feed *f)
{
    if (f == NULL || --f->refs > 0)
        return;
    struct zone_feed **link = &feeds;
    while (*link != f)
        link = &(*link)->next;
    *link = f->next;
    if (f->watch != NULL)
        store_watch_cancel(f->watch);
    f->watch = NULL;
    f->state = FEED_CLOSED;
    drop_metrics(f);   /* now: a new feed of the zone makes its own */
    synchronize_rcu(); /* readers that had the zone before its handler went */
    uv_close((uv_handle_t *)&f->step, handle_closed);
    uv_close((uv_handle_t *)&f->retry, handle_closed);
    if (feeds == NULL)
        rcu_barrier(); /* what call_rcu still holds is freed before the process ends */
}

const struct zones_warren *zone_feed_zone(const struct zone_feed *f)
{
    return f->zone;
}

const char *zone_feed_name(const struct zone_feed *f)
{
    return strbuf_str(&f->name);
}

bool zone_feed_is_loaded(const struct zone_feed *f)
{
    return atomic_load_explicit(&f->is_loaded, memory_order_acquire);
}
