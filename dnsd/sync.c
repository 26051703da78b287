/* steer_sync: from the registry into a device.
 *
 * A thread per (zone, device) does one round after another: it asks the loop for a copy of the zone
 * if that changed, reads the device, decides (wgctl/plan.h) and changes the device. A round begins
 * at once when the zone or the device changed, but SYNC_PAUSE_MS after the last one at the
 * earliest, so that many commits make few rounds; and every SYNC_INTERVAL_MS anyway, for what
 * nobody tells (a route that went away, a keepalive set by hand). */
#include "dnsd/steer.h"

#include "base/log.h"
#include "dnsd/adopted.h"
#include "dnsd/device.h"
#include "dnsd/key_set.h"
#include "wgctl/change.h"
#include "wgctl/plan.h"
#include "wgctl/route.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SYNC_PAUSE_MS = 40,
    SYNC_INTERVAL_MS = 30 * 1000,
    SYNC_MAX_SAID = 1 << 16,   /* refusals remembered as said; then all are forgotten */
    SYNC_MAX_LISTED_IPS = 8,   /* of a peer in a log line */
    SYNC_ARENA_SIZE = 1 << 30, /* of one round: some millions of peers */
    NS_PER_MS = 1000 * 1000,
};

#define NS_PER_SEC INT64_C(1000000000)

/* The zone's peers as the plan wants them. */
struct zone_copy {
    struct plan_peer *peers;
    uint8_t (*keys)[KEY_SIZE];
    struct ip_prefix *ips;
    size_t peer_count;
    size_t peer_capacity;
    size_t ip_count;
    size_t ip_capacity;
};

struct steer_sync {
    uv_async_t wanted; /* the thread wants a copy of the zone */
    const struct zones_warren *zone;
    char *zone_name;
    char *device;
    bool adopt;
    bool is_stopped;
    struct device_subscription *subscription;
    pthread_t thread;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;  /* on the monotonic clock */
    bool zone_changed;
    bool device_changed;
    bool copy_wanted;
    bool copy_failed;
    struct zone_copy *mail;
    bool stopping;

    /* The thread's own. */
    struct wgctl *wg;
    struct wgctl_routes *routes;
    struct adopted *adopted; /* NULL without `adopt` */
    struct zone_copy *copy;  /* NULL before the first */
    struct wg_device read;
    struct key_set said; /* digests of refusals and failures that were logged */
};

/* --- Copies of the zone, on the loop. --- */

static void copy_free(struct zone_copy *c)
{
    if (c == NULL)
        return;
    free(c->peers);
    free(c->keys);
    free(c->ips);
    free(c);
}

static bool count_peer(void *context, const struct zones_warren_peer_view *peer)
{
    struct zone_copy *c = context;
    c->peer_capacity++;
    c->ip_capacity += peer->allowed_ip_count;
    return true;
}

static bool copy_peer(void *context, const struct zones_warren_peer_view *peer)
{
    struct zone_copy *c = context;
    assert(c->peer_count < c->peer_capacity &&
           peer->allowed_ip_count <= c->ip_capacity - c->ip_count);
    memcpy(c->keys[c->peer_count], peer->key, KEY_SIZE);
    if (peer->allowed_ip_count > 0)
        memcpy(&c->ips[c->ip_count], peer->allowed_ips, peer->allowed_ip_count * sizeof(*c->ips));
    c->peers[c->peer_count] = (struct plan_peer){
        .key = c->keys[c->peer_count],
        .endpoint = peer->endpoint,
        .allowed_ips = &c->ips[c->ip_count],
        .allowed_ip_count = peer->allowed_ip_count,
        .keepalive_s = peer->keepalive_s,
        .has_keepalive = peer->has_keepalive,
    };
    c->peer_count++;
    c->ip_count += peer->allowed_ip_count;
    return true;
}

static struct zone_copy *copy_zone(const struct zones_warren *zone)
{
    struct zone_copy *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return NULL;
    zones_warren_each_peer(zone, count_peer, c);
    /* One more of each: an empty array is no failure. */
    c->peers = calloc(c->peer_capacity + 1, sizeof(*c->peers));
    c->keys = calloc(c->peer_capacity + 1, sizeof(*c->keys));
    c->ips = calloc(c->ip_capacity + 1, sizeof(*c->ips));
    if (c->peers == NULL || c->keys == NULL || c->ips == NULL) {
        copy_free(c);
        return NULL;
    }
    zones_warren_each_peer(zone, copy_peer, c);
    return c;
}

static void on_wanted(uv_async_t *handle)
{
    struct steer_sync *s = handle->data;
    pthread_mutex_lock(&s->lock);
    bool is_wanted = s->copy_wanted && !s->is_stopped;
    s->copy_wanted = false;
    if (is_wanted)
        s->zone_changed = false; /* what changed until now is in the copy */
    pthread_mutex_unlock(&s->lock);
    if (!is_wanted)
        return;
    struct zone_copy *copy = copy_zone(s->zone);
    pthread_mutex_lock(&s->lock);
    assert(s->mail == NULL);
    s->mail = copy;
    s->copy_failed = copy == NULL;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

void steer_sync_zone_changed(struct steer_sync *s)
{
    pthread_mutex_lock(&s->lock);
    s->zone_changed = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* On the watch's thread, and once from device_subscribe. */
static void on_device(void *context, const struct wgctl_watch_event *event)
{
    struct steer_sync *s = context;
    if (event->error != OK)
        return;
    pthread_mutex_lock(&s->lock);
    s->device_changed = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* --- Saying what was done. --- */

static void add_key(struct strbuf *line, const uint8_t *key)
{
    char text[KEY_BASE64_SIZE];
    key_to_base64(text, key);
    strbuf_add_format(line, "peer %.*s", KEY_BASE64_SIZE, text);
}

static void add_endpoint(struct strbuf *line, const struct ip_endpoint *endpoint)
{
    char text[IP_ENDPOINT_TEXT_SIZE] = "none";
    if (endpoint->addr.family != IP_NONE)
        (void)ip_endpoint_format(endpoint, text);
    strbuf_add_str(line, text);
}

static void add_ips(struct strbuf *line, const struct ip_prefix *ips, size_t count)
{
    for (size_t i = 0; i < count && i < SYNC_MAX_LISTED_IPS; i++) {
        char text[IP_PREFIX_TEXT_SIZE];
        (void)ip_prefix_format(&ips[i], text);
        strbuf_add_format(line, "%s%s", i > 0 ? "," : "", text);
    }
    if (count == 0)
        strbuf_add_str(line, "none");
    if (count > SYNC_MAX_LISTED_IPS)
        strbuf_add_format(line, " and %zu more", count - SYNC_MAX_LISTED_IPS);
}

/* What CHANGE did to BEFORE (NULL: a new peer), a peer of D. */
static void add_change(struct strbuf *line, const struct wgctl_peer_change *change,
                       const struct wg_device *d, const struct wg_peer *before)
{
    static const struct wg_peer nothing;
    const char *separator = before == NULL ? " added, " : " ";
    const struct wg_peer *was = before != NULL ? before : &nothing;
    if (change->has_endpoint) {
        strbuf_add_format(line, "%sendpoint ", separator);
        if (before != NULL) {
            add_endpoint(line, &was->endpoint);
            strbuf_add_str(line, " -> ");
        }
        add_endpoint(line, &change->endpoint);
        separator = ", ";
    }
    if (change->has_keepalive) {
        strbuf_add_format(line, "%skeepalive ", separator);
        if (before != NULL)
            strbuf_add_format(line, "%u -> ", was->persistent_keepalive);
        strbuf_add_format(line, "%u", change->keepalive_s);
        separator = ", ";
    }
    if (change->replace_allowed_ips) {
        strbuf_add_format(line, "%sallowed IPs ", separator);
        if (before != NULL) {
            add_ips(line, &d->allowed_ips[was->allowed_ip_start], was->allowed_ip_count);
            strbuf_add_str(line, " -> ");
        }
        add_ips(line, change->allowed_ips, change->allowed_ip_count);
        separator = ", ";
    }
    if (before == NULL && separator[0] == ' ')
        strbuf_add_str(line, " added");
}

static int compare_peers(const void *a, const void *b)
{
    const struct wg_peer *const *p = a, *const *q = b;
    return memcmp((*p)->public_key, (*q)->public_key, KEY_SIZE);
}

static const struct wg_peer **sort_peers(const struct wg_device *d, struct arena *arena)
{
    const struct wg_peer **sorted = arena_array(arena, d->peer_count, sizeof(*sorted));
    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < d->peer_count; i++)
        sorted[i] = &d->peers[i];
    qsort(sorted, d->peer_count, sizeof(*sorted), compare_peers);
    return sorted;
}

/* One line for each change. SORTED is the device as it was. */
static void say_changes(const struct steer_sync *s, const struct wg_peer *const *sorted,
                        const struct wgctl_peer_change *changes, size_t count)
{
    struct strbuf line = STRBUF_EMPTY;
    for (size_t i = 0; i < count; i++) {
        const struct wgctl_peer_change *change = &changes[i];
        struct wg_peer wanted;
        const struct wg_peer *at = &wanted;
        memcpy(wanted.public_key, change->public_key, KEY_SIZE);
        const struct wg_peer *const *before =
            s->read.peer_count == 0 ? NULL
                                    : bsearch(&at, sorted, s->read.peer_count,
                                              sizeof(const struct wg_peer *), compare_peers);
        strbuf_clear(&line);
        add_key(&line, change->public_key);
        if (change->remove)
            strbuf_add_str(&line, " removed");
        else
            add_change(&line, change, &s->read, before != NULL ? *before : NULL);
        log_plugin(LOG_INFO, "warren", "%s: %s", s->device, strbuf_str(&line));
    }
    strbuf_fini(&line);
}

/* Whether LINE is news; it is no more afterwards. */
static bool is_news(struct steer_sync *s, const struct strbuf *line)
{
    uint8_t digest[KEY_SIZE];
    (void)crypto_generichash(digest, sizeof(digest), (const uint8_t *)strbuf_str(line), line->size,
                             NULL, 0);
    if (key_set_has(&s->said, digest))
        return false;
    if (s->said.count >= SYNC_MAX_SAID)
        key_set_clear(&s->said);
    return key_set_add(&s->said, digest) == OK;
}

static void say_refusals(struct steer_sync *s, const struct plan *plan)
{
    struct strbuf line = STRBUF_EMPTY;
    for (size_t i = 0; i < plan->refusal_count; i++) {
        const struct plan_refusal *r = &plan->refusals[i];
        strbuf_clear(&line);
        add_key(&line, r->key);
        if (r->prefix.addr.family != IP_NONE) {
            char text[IP_PREFIX_TEXT_SIZE];
            (void)ip_prefix_format(&r->prefix, text);
            strbuf_add_format(&line, " allowed IP %s refused", text);
        }
        strbuf_add_format(&line, ": %s", r->why);
        if (is_news(s, &line))
            log_plugin(LOG_WARNING, "warren", "%s: %s", s->device, strbuf_str(&line));
    }
    strbuf_fini(&line);
}

static void say_failure(struct steer_sync *s, const char *text)
{
    struct strbuf line = STRBUF_EMPTY;
    strbuf_add_str(&line, text);
    if (is_news(s, &line))
        log_plugin(LOG_ERROR, "warren", "%s", text);
    strbuf_fini(&line);
}

/* --- One round. --- */

static bool routed_elsewhere(void *context, const struct ip_prefix *prefix)
{
    const struct steer_sync *s = context;
    return wgctl_routes_elsewhere(s->routes, s->device, prefix);
}

static bool is_owned(void *context, const uint8_t *key)
{
    const struct steer_sync *s = context;
    return adopted_has(s->adopted, key);
}

/* Every peer that the zone has is from now on one that the zone had. Those of earlier that neither
 * zone nor device has are forgotten. */
static void remember_adopted(struct steer_sync *s, const struct wg_peer *const *sorted)
{
    struct strbuf why = STRBUF_EMPTY;
    struct key_set in_zone;
    enum err e = OK;
    key_set_init(&in_zone);
    for (size_t i = 0; e == OK && i < s->copy->peer_count; i++) {
        e = adopted_add(s->adopted, s->copy->keys[i]);
        if (e == OK)
            e = key_set_add(&in_zone, s->copy->keys[i]);
    }
    size_t position = 0, gone_count = 0;
    uint8_t(*gone)[KEY_SIZE] = NULL;
    for (const uint8_t *key; e == OK && (key = adopted_next(s->adopted, &position)) != NULL;) {
        struct wg_peer wanted;
        const struct wg_peer *at = &wanted;
        memcpy(wanted.public_key, key, KEY_SIZE);
        if (key_set_has(&in_zone, key) ||
            (s->read.peer_count > 0 &&
             bsearch(&at, sorted, s->read.peer_count, sizeof(const struct wg_peer *),
                     compare_peers) != NULL))
            continue;
        uint8_t(*more)[KEY_SIZE] = reallocarray(gone, gone_count + 1, sizeof(*gone));
        if (more == NULL)
            break; /* they stay a while longer */
        gone = more;
        memcpy(gone[gone_count++], key, KEY_SIZE);
    }
    for (size_t i = 0; i < gone_count; i++)
        adopted_remove(s->adopted, gone[i]);
    free(gone);
    key_set_fini(&in_zone);
    if (e != OK)
        say_failure(s, "no memory to remember adopted peers");
    if (adopted_save(s->adopted, &why) != OK)
        say_failure(s, strbuf_str(&why));
    strbuf_fini(&why);
}

/* Makes the changes, going on behind a peer that is refused. */
static void carry_out(struct steer_sync *s, const struct plan *plan,
                      const struct wg_peer *const *sorted)
{
    for (size_t at = 0; at < plan->change_count;) {
        size_t done = 0;
        enum err e = wgctl_change_peers(s->wg, s->device, plan->changes + at,
                                        plan->change_count - at, &done);
        say_changes(s, sorted, plan->changes + at, done);
        at += done;
        if (e == OK)
            return;
        say_failure(s, wgctl_error(s->wg));
        if (wgctl_error_is_of_device(e))
            return;
        at++;
    }
}

static void run_round(struct steer_sync *s)
{
    struct arena arena;
    struct plan plan;
    /* Why it cannot be read is said by its watch. */
    if (wgctl_read(s->wg, s->device, &s->read) != OK)
        return;
    arena_init(&arena, SYNC_ARENA_SIZE);
    const struct wg_peer **sorted = sort_peers(&s->read, &arena);
    if (s->adopt && sorted != NULL)
        remember_adopted(s, (const struct wg_peer *const *)sorted);
    struct plan_input input = {
        .device = &s->read,
        .peers = s->copy->peers,
        .peer_count = s->copy->peer_count,
        .adopt = s->adopt,
        .now_s = time(NULL),
        .routed_elsewhere = routed_elsewhere,
        .owned = s->adopt ? is_owned : NULL,
        .context = s,
    };
    enum err e = sorted != NULL ? wgctl_plan(&plan, &input, &arena) : ERR_NO_MEMORY;
    if (e == OK) {
        carry_out(s, &plan, (const struct wg_peer *const *)sorted);
        say_refusals(s, &plan);
    } else {
        say_failure(s, "no memory to plan the changes of a device");
    }
    arena_fini(&arena);
}

/* --- The thread. --- */

static struct timespec after_ms(unsigned ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t at = (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec + (int64_t)ms * NS_PER_MS;
    return (struct timespec){.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
}

/* Under the lock: waits for a reason to do a round. Before the first copy only the zone is one. */
static void wait_for_reason(struct steer_sync *s)
{
    struct timespec until = after_ms(SYNC_INTERVAL_MS);
    while (!s->stopping && !s->zone_changed && !(s->device_changed && s->copy != NULL)) {
        if (s->copy == NULL)
            (void)pthread_cond_wait(&s->wake, &s->lock);
        else if (pthread_cond_timedwait(&s->wake, &s->lock, &until) != 0)
            return;
    }
}

/* Under the lock: the zone as it is now, from the loop. What is there stays if that fails. */
static void fetch_copy(struct steer_sync *s)
{
    s->copy_wanted = true;
    s->copy_failed = false;
    (void)uv_async_send(&s->wanted);
    while (!s->stopping && s->mail == NULL && !s->copy_failed)
        (void)pthread_cond_wait(&s->wake, &s->lock);
    if (s->copy_failed)
        s->zone_changed = true;
    if (s->mail == NULL)
        return;
    copy_free(s->copy);
    s->copy = s->mail;
    s->mail = NULL;
}

/* Under the lock. */
static void pause_between_rounds(struct steer_sync *s)
{
    struct timespec until = after_ms(SYNC_PAUSE_MS);
    while (!s->stopping && pthread_cond_timedwait(&s->wake, &s->lock, &until) == 0)
        ;
}

static void *sync_main(void *argument)
{
    struct steer_sync *s = argument;
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        wait_for_reason(s);
        if (!s->stopping && s->zone_changed)
            fetch_copy(s);
        s->device_changed = false;
        if (!s->stopping && s->copy != NULL) {
            pthread_mutex_unlock(&s->lock);
            run_round(s);
            pthread_mutex_lock(&s->lock);
        }
        pause_between_rounds(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Signals are for the program's own threads. */
static enum err start_thread(struct steer_sync *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error_number = pthread_create(&s->thread, NULL, sync_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error_number != 0)
        return ERR_LIMIT;
    char thread_name[16]; /* the kernel's bound */
    (void)snprintf(thread_name, sizeof(thread_name), "sy:%.12s", s->device);
    (void)pthread_setname_np(s->thread, thread_name);
    return OK;
}

/* --- Start and stop. --- */

static void sync_free(struct steer_sync *s)
{
    wgctl_destroy(s->wg);
    wgctl_routes_destroy(s->routes);
    adopted_close(s->adopted);
    copy_free(s->copy);
    copy_free(s->mail);
    wg_device_fini(&s->read);
    key_set_fini(&s->said);
    pthread_cond_destroy(&s->wake);
    pthread_mutex_destroy(&s->lock);
    free(s->device);
    free(s->zone_name);
    free(s);
}

static void on_closed(uv_handle_t *handle)
{
    sync_free(handle->data);
}

static void init_wake(pthread_cond_t *wake)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

/* All but handles, thread and subscription. */
static enum err sync_open(struct steer_sync *s, const struct steer_sync_config *config)
{
    pthread_mutex_init(&s->lock, NULL);
    init_wake(&s->wake);
    wg_device_init(&s->read);
    key_set_init(&s->said);
    s->zone = config->zone;
    s->adopt = config->adopt;
    s->zone_name = strdup(config->zone_name);
    s->device = strdup(config->device);
    if (s->zone_name == NULL || s->device == NULL)
        return ERR_NO_MEMORY;
    enum err e = wgctl_create(&s->wg, getenv("WARREN_WG_SOCKET_DIR")); /* as dnsd/device.c */
    if (e == OK)
        e = wgctl_routes_create(&s->routes);
    if (e != OK || !s->adopt)
        return e;
    struct strbuf why = STRBUF_EMPTY;
    e = adopted_open(&s->adopted, config->data_dir, s->device, s->zone_name, &why);
    if (why.size > 0)
        log_plugin(LOG_WARNING, "warren", "%s: %s", s->device, strbuf_str(&why));
    strbuf_fini(&why);
    return e;
}

static void stop_thread(struct steer_sync *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    wgctl_cancel(s->wg);
    pthread_join(s->thread, NULL);
}

enum err steer_sync_start(struct steer_sync **out, const struct steer_sync_config *config)
{
    struct steer_sync *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    enum err e = sync_open(s, config);
    if (e == OK && uv_async_init(config->loop, &s->wanted, on_wanted) != 0)
        e = ERR_NO_MEMORY;
    if (e != OK) {
        sync_free(s);
        return e;
    }
    s->wanted.data = s;
    uv_unref((uv_handle_t *)&s->wanted); /* no reason to keep a loop running */
    e = start_thread(s);
    if (e == OK) {
        e = device_subscribe(&s->subscription, s->device, on_device, s);
        if (e != OK)
            stop_thread(s);
    }
    if (e != OK) {
        s->is_stopped = true;
        uv_close((uv_handle_t *)&s->wanted, on_closed);
        return e;
    }
    *out = s;
    return OK;
}

void steer_sync_stop(struct steer_sync *s)
{
    if (s == NULL)
        return;
    assert(!s->is_stopped);
    s->is_stopped = true;
    device_unsubscribe(s->subscription);
    stop_thread(s);
    uv_close((uv_handle_t *)&s->wanted, on_closed);
}
