/* steer_sync: from the registry into a device.
 *
 * A thread per (zone, device) has a copy of the zone and does one round after another: it asks the
 * loop which peers changed, reads the device, decides (wgctl/plan.h) and changes the device. A
 * round begins at once when the device, or something of the zone that matters to it, changed, but
 * SYNC_PAUSE_MS after the last one at the earliest, so that many commits make few rounds; and every
 * SYNC_INTERVAL_MS anyway, for what nobody tells (a route that went away, a keepalive set by hand).
 */
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
    SYNC_MAX_PAUSE_MS = 1000,
    SYNC_BATCH = 256, /* changes that a stop has to wait for */
    SYNC_SLICE = 512, /* peers that one turn of the loop tells of */
    SYNC_INTERVAL_MS = 30 * 1000,
    SYNC_MAX_SAID = 1 << 16,   /* refusals remembered as said; then all are forgotten */
    SYNC_MAX_LISTED_IPS = 8,   /* of a peer in a log line */
    SYNC_ARENA_SIZE = 1 << 30, /* of one round: some millions of peers */
    NS_PER_MS = 1000 * 1000,
};

#define NS_PER_SEC INT64_C(1000000000)

/* A peer as the zone told it last. */
struct told_peer {
    uint8_t key[KEY_SIZE];
    bool is_gone;
    bool has_keepalive;
    uint16_t keepalive_s;
    size_t order; /* of its letter */
    struct ip_endpoint endpoint;
    size_t ip_count;
    struct ip_prefix ips[];
};

/* What the loop tells the thread: peers that changed, a later one instead of an earlier. */
struct letter {
    struct told_peer **peers;
    size_t count;
    size_t capacity;
    bool is_whole; /* what it does not name is gone */
};

/* The thread's copy of the zone. */
struct zone_copy {
    struct told_peer **peers; /* by key */
    struct plan_peer *plan;   /* the same for the plan, which borrows from them */
    size_t count;
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

    /* The loop's own: what changed since the zone was told last. */
    struct key_set changed;
    uint8_t (*changed_keys)[KEY_SIZE]; /* the same, as a stack */
    size_t changed_count;
    size_t changed_capacity;
    bool is_lossy;         /* memory ran out: all of it counts as changed */
    struct letter *letter; /* being written; NULL: none */

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;  /* on the monotonic clock */
    bool zone_changed;
    bool device_changed;
    bool letter_wanted;
    bool letter_failed;
    bool whole_wanted; /* the copy lacks something */
    struct letter *mail;
    bool stopping;

    /* The thread's own. */
    struct wgctl *wg;
    struct wgctl_routes *routes;
    struct adopted *adopted; /* NULL without `adopt` */
    struct zone_copy *copy;  /* NULL before the first */
    struct wg_device read;
    struct key_set said; /* digests of refusals and failures that were logged */
};

/* --- Telling of the zone, on the loop. --- */

static void letter_free(struct letter *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < l->count; i++)
        free(l->peers[i]);
    free(l->peers);
    free(l);
}

static void changed_clear(struct steer_sync *s)
{
    key_set_clear(&s->changed);
    free(s->changed_keys);
    s->changed_keys = NULL;
    s->changed_count = s->changed_capacity = 0;
}

static enum err changed_add(struct steer_sync *s, const uint8_t *key)
{
    if (key_set_has(&s->changed, key))
        return OK;
    if (s->changed_count == s->changed_capacity) {
        size_t more = s->changed_capacity > 0 ? s->changed_capacity * 2 : 64;
        uint8_t(*moved)[KEY_SIZE] = reallocarray(s->changed_keys, more, sizeof(*moved));
        if (moved == NULL)
            return ERR_NO_MEMORY;
        s->changed_keys = moved;
        s->changed_capacity = more;
    }
    enum err e = key_set_add(&s->changed, key);
    if (e == OK)
        memcpy(s->changed_keys[s->changed_count++], key, KEY_SIZE);
    return e;
}

void steer_sync_peer_changed(struct steer_sync *s, const uint8_t key[static KEY_SIZE])
{
    s->is_lossy = s->is_lossy || changed_add(s, key) != OK;
}

static bool add_each(void *context, const struct zones_warren_peer_view *peer)
{
    struct steer_sync *s = context;
    s->is_lossy = changed_add(s, peer->key) != OK;
    return !s->is_lossy;
}

/* Begins a letter: of what changed, or of the whole zone. */
static enum err letter_begin(struct steer_sync *s, bool is_whole)
{
    s->letter = calloc(1, sizeof(*s->letter));
    if (s->letter == NULL)
        return ERR_NO_MEMORY;
    s->letter->is_whole = is_whole;
    if (!is_whole)
        return OK;
    changed_clear(s);
    s->is_lossy = false;
    zones_warren_each_peer(s->zone, add_each, s);
    return s->is_lossy ? ERR_NO_MEMORY : OK;
}

static struct told_peer *tell(const struct steer_sync *s, const uint8_t *key)
{
    struct zones_warren_peer_view view = {.allowed_ip_count = 0};
    bool is_there = zones_warren_peer(s->zone, key, &view);
    struct told_peer *told = malloc(sizeof(*told) + view.allowed_ip_count * sizeof(told->ips[0]));
    if (told == NULL)
        return NULL;
    *told = (struct told_peer){.is_gone = !is_there,
                               .has_keepalive = view.has_keepalive,
                               .keepalive_s = view.keepalive_s,
                               .endpoint = view.endpoint,
                               .ip_count = view.allowed_ip_count};
    memcpy(told->key, key, KEY_SIZE);
    if (view.allowed_ip_count > 0)
        memcpy(told->ips, view.allowed_ips, view.allowed_ip_count * sizeof(told->ips[0]));
    return told;
}

/* Tells of at most SYNC_SLICE peers. */
static enum err letter_go_on(struct steer_sync *s)
{
    struct letter *l = s->letter;
    for (size_t i = 0; i < SYNC_SLICE && s->changed_count > 0; i++) {
        if (l->count == l->capacity) {
            size_t more = l->capacity > 0 ? l->capacity * 2 : 64;
            struct told_peer **moved = reallocarray(l->peers, more, sizeof(struct told_peer *));
            if (moved == NULL)
                return ERR_NO_MEMORY;
            l->peers = moved;
            l->capacity = more;
        }
        const uint8_t *key = s->changed_keys[s->changed_count - 1];
        struct told_peer *told = tell(s, key);
        if (told == NULL)
            return ERR_NO_MEMORY;
        told->order = l->count;
        l->peers[l->count++] = told;
        key_set_remove(&s->changed, key);
        s->changed_count--;
    }
    if (s->changed_count == 0)
        changed_clear(s);
    return OK;
}

static void letter_post(struct steer_sync *s, enum err e)
{
    pthread_mutex_lock(&s->lock);
    assert(s->mail == NULL);
    if (e == OK)
        s->mail = s->letter;
    else
        letter_free(s->letter);
    s->letter = NULL;
    s->letter_wanted = false;
    s->letter_failed = e != OK;
    s->zone_changed = s->changed_count > 0; /* the rest is told after the next round */
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* The loop is for everybody: it tells of a slice in each of its turns. The first letter, and any
 * other of the whole zone, is posted once all is in it; what changed meanwhile is told again. */
static void on_wanted(uv_async_t *handle)
{
    struct steer_sync *s = handle->data;
    enum err e = OK;
    pthread_mutex_lock(&s->lock);
    bool is_wanted = s->letter_wanted && !s->is_stopped;
    bool is_whole = s->whole_wanted || s->is_lossy;
    if (is_wanted)
        s->whole_wanted = false;
    pthread_mutex_unlock(&s->lock);
    if (!is_wanted)
        return;
    if (s->letter != NULL && is_whole) {
        letter_free(s->letter);
        s->letter = NULL;
    }
    if (s->letter == NULL)
        e = letter_begin(s, is_whole);
    if (e == OK)
        e = letter_go_on(s);
    s->is_lossy = s->is_lossy || e != OK;
    if (e == OK && s->letter->is_whole && s->changed_count > 0)
        (void)uv_async_send(&s->wanted);
    else
        letter_post(s, e);
}

void steer_sync_zone_changed(struct steer_sync *s)
{
    pthread_mutex_lock(&s->lock);
    s->zone_changed = true;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
}

/* --- The thread's copy of it. --- */

static void copy_free(struct zone_copy *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < c->count; i++)
        free(c->peers[i]);
    free(c->peers);
    free(c->plan);
    free(c);
}

static int compare_told(const void *a, const void *b)
{
    const struct told_peer *const *p = a, *const *q = b;
    int order = memcmp((*p)->key, (*q)->key, KEY_SIZE);
    return order != 0 ? order : ((*p)->order > (*q)->order) - ((*p)->order < (*q)->order);
}

static bool same_told(const struct told_peer *a, const struct told_peer *b)
{
    return ip_endpoint_equal(&a->endpoint, &b->endpoint) && a->has_keepalive == b->has_keepalive &&
           a->keepalive_s == b->keepalive_s && a->ip_count == b->ip_count &&
           (a->ip_count == 0 || memcmp(a->ips, b->ips, a->ip_count * sizeof(a->ips[0])) == 0);
}

/* Moves what is left of A and B into C, A's where B says nothing. Whether C differs from A. */
static bool merge_told(struct zone_copy *c, struct zone_copy *a, struct letter *b)
{
    size_t i = 0, a_count = a != NULL ? a->count : 0;
    bool differs = false;
    for (size_t k = 0; k < b->count; k++) {
        struct told_peer *told = b->peers[k];
        while (i < a_count && memcmp(a->peers[i]->key, told->key, KEY_SIZE) < 0)
            c->peers[c->count++] = a->peers[i++];
        bool is_superseded =
            k + 1 < b->count && memcmp(b->peers[k + 1]->key, told->key, KEY_SIZE) == 0;
        if (is_superseded) {
            free(told);
            continue;
        }
        struct told_peer *was = NULL;
        if (i < a_count && memcmp(a->peers[i]->key, told->key, KEY_SIZE) == 0)
            was = a->peers[i++];
        differs =
            differs || (was == NULL ? !told->is_gone : told->is_gone || !same_told(was, told));
        free(was);
        if (told->is_gone)
            free(told);
        else
            c->peers[c->count++] = told;
    }
    while (i < a_count)
        c->peers[c->count++] = a->peers[i++];
    b->count = 0;
    if (a != NULL)
        a->count = 0;
    return differs;
}

static void copy_plan(struct zone_copy *c)
{
    for (size_t i = 0; i < c->count; i++) {
        const struct told_peer *told = c->peers[i];
        c->plan[i] = (struct plan_peer){
            .key = told->key,
            .endpoint = told->endpoint,
            .allowed_ips = told->ips,
            .allowed_ip_count = told->ip_count,
            .keepalive_s = told->keepalive_s,
            .has_keepalive = told->has_keepalive,
        };
    }
}

/* The copy as LETTER says, which is freed. *DIFFERS: it matters to the device. ERR_NO_MEMORY: what
 * LETTER said is lost. */
static enum err take_letter(struct steer_sync *s, struct letter *letter, bool *differs)
{
    struct zone_copy *was = letter->is_whole ? NULL : s->copy;
    struct zone_copy *c = calloc(1, sizeof(*c));
    size_t capacity = letter->count + (was != NULL ? was->count : 0) + 1; /* never none */
    if (c != NULL) {
        c->peers = calloc(capacity, sizeof(struct told_peer *));
        c->plan = calloc(capacity, sizeof(*c->plan));
    }
    if (c == NULL || c->peers == NULL || c->plan == NULL) {
        copy_free(c);
        letter_free(letter);
        return ERR_NO_MEMORY;
    }
    if (letter->count > 0)
        qsort(letter->peers, letter->count, sizeof(struct told_peer *), compare_told);
    *differs = merge_told(c, was, letter) || letter->is_whole;
    letter_free(letter);
    copy_plan(c);
    copy_free(s->copy);
    s->copy = c;
    return OK;
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

static void routes_expected(void *context, const struct ip_prefix *prefixes, size_t count)
{
    const struct steer_sync *s = context;
    wgctl_routes_expect(s->routes, s->device, prefixes, count);
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
    for (size_t i = 0; e == OK && i < s->copy->count; i++) {
        e = adopted_add(s->adopted, s->copy->peers[i]->key);
        if (e == OK)
            e = key_set_add(&in_zone, s->copy->peers[i]->key);
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

static bool is_stopping(struct steer_sync *s)
{
    pthread_mutex_lock(&s->lock);
    bool stopping = s->stopping;
    pthread_mutex_unlock(&s->lock);
    return stopping;
}

/* Makes the changes, going on behind a peer that is refused; a stop waits for SYNC_BATCH of them at
 * most, as a kernel's device does not let itself be interrupted. */
static void carry_out(struct steer_sync *s, const struct plan *plan,
                      const struct wg_peer *const *sorted)
{
    for (size_t at = 0; at < plan->change_count && !is_stopping(s);) {
        size_t done = 0, left = plan->change_count - at;
        enum err e = wgctl_change_peers(s->wg, s->device, plan->changes + at,
                                        left < SYNC_BATCH ? left : SYNC_BATCH, &done);
        say_changes(s, sorted, plan->changes + at, done);
        at += done;
        if (e == OK)
            continue;
        say_failure(s, wgctl_error(s->wg));
        if (wgctl_error_is_of_device(e))
            return;
        at++;
    }
}

/* Not time(), which may lag behind by a tick of the kernel's: the watch, which has just told that a
 * peer fell silent, read the precise clock, and would not tell again. */
static int64_t wall_clock_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec;
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
        .peers = s->copy->plan,
        .peer_count = s->copy->count,
        .adopt = s->adopt,
        .now_s = wall_clock_s(),
        .routed_elsewhere = routed_elsewhere,
        .routes_expected = routes_expected,
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

/* Under the lock: waits for a reason to look. Before the first copy only the zone is one. False:
 * there was none until UNTIL. */
static bool wait_for_reason(struct steer_sync *s, const struct timespec *until)
{
    while (!s->stopping && !s->zone_changed && !(s->device_changed && s->copy != NULL)) {
        if (s->copy == NULL)
            (void)pthread_cond_wait(&s->wake, &s->lock);
        else if (pthread_cond_timedwait(&s->wake, &s->lock, until) != 0)
            return false;
    }
    return true;
}

/* Under the lock: what changed in the zone, from the loop. Whether that matters to the device. What
 * is there stays if it fails. */
static bool fetch_changes(struct steer_sync *s)
{
    bool differs = false;
    s->letter_wanted = true;
    s->letter_failed = false;
    (void)uv_async_send(&s->wanted);
    while (!s->stopping && s->mail == NULL && !s->letter_failed)
        (void)pthread_cond_wait(&s->wake, &s->lock);
    struct letter *letter = s->mail;
    s->mail = NULL;
    if (letter != NULL) {
        pthread_mutex_unlock(&s->lock);
        enum err e = take_letter(s, letter, &differs);
        pthread_mutex_lock(&s->lock);
        s->whole_wanted = s->whole_wanted || e != OK;
    }
    s->zone_changed = s->zone_changed || s->letter_failed || s->whole_wanted;
    return differs;
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * (NS_PER_SEC / NS_PER_MS) + t.tv_nsec / NS_PER_MS;
}

/* Under the lock. A round reads the whole device: as long as it took nothing is done, so that at
 * most half of a core goes into rounds however fast a large zone changes. */
static void pause_between_rounds(struct steer_sync *s, int64_t round_ms)
{
    unsigned pause_ms = SYNC_PAUSE_MS;
    if (round_ms > SYNC_PAUSE_MS)
        pause_ms = round_ms < SYNC_MAX_PAUSE_MS ? (unsigned)round_ms : SYNC_MAX_PAUSE_MS;
    struct timespec until = after_ms(pause_ms);
    while (!s->stopping && pthread_cond_timedwait(&s->wake, &s->lock, &until) == 0)
        ;
}

static void *sync_main(void *argument)
{
    struct steer_sync *s = argument;
    struct timespec interval = after_ms(SYNC_INTERVAL_MS);
    pthread_mutex_lock(&s->lock);
    while (!s->stopping) {
        bool is_due = !wait_for_reason(s, &interval);
        if (!s->stopping && s->zone_changed)
            is_due = fetch_changes(s) || is_due;
        is_due = is_due || s->device_changed;
        s->device_changed = s->device_changed && s->copy == NULL;
        int64_t began_ms = now_ms();
        if (!s->stopping && is_due && s->copy != NULL) {
            pthread_mutex_unlock(&s->lock);
            run_round(s);
            interval = after_ms(SYNC_INTERVAL_MS);
            pthread_mutex_lock(&s->lock);
        }
        pause_between_rounds(s, now_ms() - began_ms);
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
    letter_free(s->letter);
    letter_free(s->mail);
    changed_clear(s);
    key_set_fini(&s->changed);
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
    key_set_init(&s->changed);
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
    s->is_lossy = letter_begin(s, true) != OK; /* what comes until it is posted goes into it too */
    uv_unref((uv_handle_t *)&s->wanted);       /* no reason to keep a loop running */
    e = start_thread(s);
    if (e == OK) {
        e = device_subscribe(&s->subscription, s->device, "warren", on_device, s);
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
