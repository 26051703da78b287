#include "wgctl/watch.h"

#include "base/hash.h"
#include "order.h"
#include "wgctl/device.h"

#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    NS_PER_MS = 1000 * 1000,
    SHUFFLES_TOLD = 3,
    COST_FACTOR = 25, /* a read may take 1/25, 4 percent, of a core */
};

#define NS_PER_SEC INT64_C(1000000000)

struct wgctl_watch {
    /* Of the thread alone once it runs. */
    struct wgctl *reader;
    struct wg_device published; /* what FN saw last */
    struct wg_device next;
    enum err error;    /* that FN saw last */
    bool told;         /* FN was called once */
    uint64_t liveness; /* digest of what was told last */
    uint8_t hash_key[HASH_KEY_SIZE];
    unsigned shuffle_count; /* of told changes in nothing but the order of peers */
    wgctl_watch_fn *fn;
    void *context;
    char *name;

    atomic_uint_fast64_t read_count;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;  /* on the monotonic clock, as the next */
    pthread_cond_t read;  /* is_read was set */
    bool poked;
    bool stopping;
    bool is_read; /* once, well or badly, and told */
};

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* --- Reading and telling. --- */

static void tell(struct wgctl_watch *w, bool liveness_only)
{
    w->told = true;
    w->fn(w->context, &(struct wgctl_watch_event){
                          .error = w->error,
                          .detail = w->error == OK ? "" : wgctl_error(w->reader),
                          .device = w->error == OK ? &w->published : NULL,
                          .liveness_only = liveness_only,
                      });
}

/* wireguard-go lists its peers in another order each time: a mere shuffle of a userspace device is
 * told a few times, for the sake of devices where the order means something, and then no more. */
static bool is_idle_shuffle(struct wgctl_watch *w)
{
    bool shuffled = false;
    if (w->next.ifindex != 0 || same_but_for_order(&shuffled, &w->published, &w->next) != OK ||
        !shuffled)
        return false;
    if (w->shuffle_count >= SHUFFLES_TOLD)
        return true;
    w->shuffle_count++;
    return false;
}

/* Whether a good read, in `next`, is worth telling. */
static bool is_news(struct wgctl_watch *w)
{
    if (!w->told || w->error != OK)
        return true;
    return !wg_device_same_published(&w->published, &w->next) && !is_idle_shuffle(w);
}

/* Of every peer's liveness, whatever their order: the sum of their hashes. */
static uint64_t liveness_digest(const struct wgctl_watch *w, const struct wg_device *d)
{
    int64_t now_s = clock_ns(CLOCK_REALTIME) / NS_PER_SEC;
    uint64_t sum = 0;
    for (size_t i = 0; i < d->peer_count; i++) {
        uint8_t item[KEY_SIZE + 1];
        memcpy(item, d->peers[i].public_key, KEY_SIZE);
        item[KEY_SIZE] = (uint8_t)wg_peer_liveness(&d->peers[i], now_s);
        sum += keyed_hash(item, sizeof(item), w->hash_key);
    }
    return sum;
}

static void take_good_read(struct wgctl_watch *w)
{
    uint64_t liveness = liveness_digest(w, &w->next);
    bool liveness_only = !is_news(w);
    if (liveness_only && liveness == w->liveness)
        return;
    w->liveness = liveness;
    struct wg_device read = w->next;
    w->next = w->published;
    w->published = read;
    w->error = OK;
    tell(w, liveness_only);
}

static void take_failure(struct wgctl_watch *w, enum err error)
{
    /* A busy device is not a broken one: what was read last stands, and the next read may succeed.
     */
    if (w->told && (error == w->error || (error == ERR_INTERRUPTED && w->error == OK)))
        return;
    w->error = error;
    tell(w, false);
}

static void read_and_tell(struct wgctl_watch *w)
{
    enum err error = wgctl_read(w->reader, w->name, &w->next);
    pthread_mutex_lock(&w->lock);
    bool stopping = w->stopping;
    pthread_mutex_unlock(&w->lock);
    if (stopping)
        return; /* the failure may be the cancelling itself */
    if (error == OK)
        take_good_read(w);
    else
        take_failure(w, error);
    atomic_fetch_add_explicit(&w->read_count, 1, memory_order_release);
}

/* --- The thread. --- */

struct cost {
    int64_t started_ns;
    int64_t ended_ns;
    int64_t cpu_ns;
};

static struct cost timed_read(struct wgctl_watch *w)
{
    struct cost cost = {.started_ns = clock_ns(CLOCK_MONOTONIC)};
    int64_t cpu_before = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    read_and_tell(w);
    cost.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    cost.ended_ns = clock_ns(CLOCK_MONOTONIC);
    return cost;
}

/* When the next read is due without a poke: counted from the start of the last one, so that its own
 * time does not lengthen the second within which a change is seen. */
static int64_t due_ns(const struct cost *last)
{
    int64_t interval = last->cpu_ns * COST_FACTOR;
    if (interval < (int64_t)WGCTL_WATCH_INTERVAL_MS * NS_PER_MS)
        interval = (int64_t)WGCTL_WATCH_INTERVAL_MS * NS_PER_MS;
    if (interval > (int64_t)WGCTL_WATCH_MAX_INTERVAL_MS * NS_PER_MS)
        interval = (int64_t)WGCTL_WATCH_MAX_INTERVAL_MS * NS_PER_MS;
    return last->started_ns + interval;
}

/* Sleeps until the next read; false to stop. However often somebody pokes, and however slow the
 * device is, reads leave at least half of the core alone: a pause follows each, as long as its CPU
 * time was. */
static bool wait_for_turn(struct wgctl_watch *w, const struct cost *last)
{
    int64_t due = due_ns(last);
    int64_t earliest = last->ended_ns + last->cpu_ns;
    pthread_mutex_lock(&w->lock);
    for (;;) {
        int64_t at = w->poked || due < earliest ? earliest : due;
        if (w->stopping || clock_ns(CLOCK_MONOTONIC) >= at)
            break;
        struct timespec until = {.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
        (void)pthread_cond_timedwait(&w->wake, &w->lock, &until);
    }
    w->poked = false;
    bool go_on = !w->stopping;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

static void *watch_main(void *argument)
{
    struct wgctl_watch *w = argument;
    struct cost last = timed_read(w);
    pthread_mutex_lock(&w->lock);
    w->is_read = true;
    pthread_cond_signal(&w->read);
    pthread_mutex_unlock(&w->lock);
    while (wait_for_turn(w, &last))
        last = timed_read(w);
    return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(struct wgctl_watch *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error_number = pthread_create(&w->thread, NULL, watch_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error_number == 0) {
        char thread_name[16]; /* the kernel's bound */
        (void)snprintf(thread_name, sizeof(thread_name), "wg:%.12s", w->name);
        (void)pthread_setname_np(w->thread, thread_name);
    }
    return error_number;
}

/* --- Life. --- */

static void init_wake(pthread_cond_t *wake)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(wake, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void watch_free(struct wgctl_watch *w)
{
    wgctl_destroy(w->reader);
    wg_device_fini(&w->published);
    wg_device_fini(&w->next);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->read);
    pthread_mutex_destroy(&w->lock);
    free(w->name);
    free(w);
}

static void wait_for_first_read(struct wgctl_watch *w, unsigned wait_ms)
{
    int64_t at = clock_ns(CLOCK_MONOTONIC) + (int64_t)wait_ms * NS_PER_MS;
    struct timespec until = {.tv_sec = at / NS_PER_SEC, .tv_nsec = at % NS_PER_SEC};
    pthread_mutex_lock(&w->lock);
    while (!w->is_read && pthread_cond_timedwait(&w->read, &w->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&w->lock);
}

enum err wgctl_watch_create(struct wgctl_watch **out, const char *name, const char *socket_dir,
                            unsigned wait_ms, wgctl_watch_fn *fn, void *context)
{
    struct wgctl_watch *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return ERR_NO_MEMORY;
    wg_device_init(&w->published);
    wg_device_init(&w->next);
    pthread_mutex_init(&w->lock, NULL);
    init_wake(&w->wake);
    init_wake(&w->read);
    randombytes_buf(w->hash_key, sizeof(w->hash_key));
    w->fn = fn;
    w->context = context;
    w->name = strdup(name);
    enum err error = w->name != NULL ? wgctl_create(&w->reader, socket_dir) : ERR_NO_MEMORY;
    if (error != OK) {
        watch_free(w);
        return error;
    }
    if (start_thread(w) != 0) {
        watch_free(w);
        return ERR_LIMIT;
    }
    wait_for_first_read(w, wait_ms);
    *out = w;
    return OK;
}

void wgctl_watch_destroy(struct wgctl_watch *w)
{
    if (w == NULL)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    wgctl_cancel(w->reader);
    pthread_join(w->thread, NULL);
    watch_free(w);
}

void wgctl_watch_poke(struct wgctl_watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->poked = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

uint64_t wgctl_watch_read_count(const struct wgctl_watch *w)
{
    return atomic_load_explicit(&w->read_count, memory_order_acquire);
}
