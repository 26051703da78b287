#include "dnsd/device.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct device_subscription {
    struct device *device;
    const char *directive;
    wgctl_watch_fn *fn;
    void *context;
    struct device_subscription *next;
};

struct device {
    struct device *next;
    char *name;
    const char *directive; /* of the first subscriber: for what is said before it is one */
    struct wgctl_watch *watch;
    pthread_mutex_t lock; /* the rest; held while subscribers are called */
    struct device_subscription *subscribers;
    struct wg_device last; /* what was read, while error is OK */
    enum err error;
    char *detail;
    bool is_read; /* at least once */
};

/* Every device of the process. Main thread only. */
static struct device *devices;

/* The message wgsd's user knows for a device that is not there (Go's os.ErrNotExist); the other
 * failures keep the reader's own words. */
static const char *failure_text(const struct device *d)
{
    if (d->error == ERR_NO_DEVICE)
        return "file does not exist";
    return d->detail != NULL && d->detail[0] != '\0' ? d->detail : err_text(d->error);
}

static enum err device_copy(struct wg_device *out, const struct wg_device *in)
{
    struct wg_device copy = *in;
    copy.peers = NULL;
    copy.allowed_ips = NULL;
    copy.peer_capacity = in->peer_count;
    copy.allowed_ip_capacity = in->allowed_ip_count;
    if (in->peer_count > 0) {
        copy.peers = calloc(in->peer_count, sizeof(*copy.peers));
        if (copy.peers == NULL)
            return ERR_NO_MEMORY;
        memcpy(copy.peers, in->peers, in->peer_count * sizeof(*copy.peers));
    }
    if (in->allowed_ip_count > 0) {
        copy.allowed_ips = calloc(in->allowed_ip_count, sizeof(*copy.allowed_ips));
        if (copy.allowed_ips == NULL) {
            free(copy.peers);
            return ERR_NO_MEMORY;
        }
        memcpy(copy.allowed_ips, in->allowed_ips, in->allowed_ip_count * sizeof(*copy.allowed_ips));
    }
    wg_device_fini(out);
    *out = copy;
    return OK;
}

static struct wgctl_watch_event device_state(const struct device *d)
{
    return (struct wgctl_watch_event){
        .error = d->error,
        .detail = d->error == OK ? "" : failure_text(d),
        .device = d->error == OK ? &d->last : NULL,
    };
}

/* What an unreadable device means to DIRECTIVE. */
static const char *hint_for(const struct device *d, const char *directive)
{
    if (d->error == ERR_PERMISSION)
        return " (reading a WireGuard device needs CAP_NET_ADMIN)";
    if (d->error != ERR_NO_DEVICE)
        return "";
    return strcmp(directive, "wgsd") == 0 ? " (answering SERVFAIL until it appears)"
                                          : " (waiting until it appears)";
}

/* One line when a device becomes unreadable, one when it is back; never one per read. */
static void log_transition(const struct device *d, const char *directive, bool was_read,
                           enum err was)
{
    if (d->error != OK && (!was_read || was != d->error))
        log_plugin(LOG_ERROR, directive, "device %s: %s%s", d->name, failure_text(d),
                   hint_for(d, directive));
    else if (d->error == OK && was_read && was != OK)
        log_plugin(LOG_INFO, directive, "device %s: readable again, %zu peers", d->name,
                   d->last.peer_count);
}

/* Whether a subscriber before S has the same directive. */
static bool was_told(const struct device *d, const struct device_subscription *s)
{
    const struct device_subscription *earlier = d->subscribers;
    while (earlier != s && strcmp(earlier->directive, s->directive) != 0)
        earlier = earlier->next;
    return earlier != s;
}

static void device_changed(void *context, const struct wgctl_watch_event *event)
{
    struct device *d = context;
    pthread_mutex_lock(&d->lock);
    enum err was = d->error;
    bool was_read = d->is_read;
    d->error = event->error;
    free(d->detail);
    d->detail = event->error != OK ? strdup(event->detail) : NULL;
    if (event->error == OK)
        d->error = device_copy(&d->last, event->device);
    d->is_read = true;
    struct wgctl_watch_event state = device_state(d);
    state.liveness_only = event->liveness_only && was_read && was == OK && d->error == OK;
    for (struct device_subscription *s = d->subscribers; s != NULL; s = s->next)
        s->fn(s->context, &state);
    for (struct device_subscription *s = d->subscribers; s != NULL; s = s->next)
        if (!was_told(d, s))
            log_transition(d, s->directive, was_read, was);
    if (d->subscribers == NULL)
        log_transition(d, d->directive, was_read, was);
    pthread_mutex_unlock(&d->lock);
}

static void device_destroy(struct device *d)
{
    wgctl_watch_destroy(d->watch);
    wg_device_fini(&d->last);
    pthread_mutex_destroy(&d->lock);
    free(d->detail);
    free(d->name);
    free(d);
}

/* How long a new device's first read is waited for. Devices that do not answer must not add up:
 * once one has used its time, the next get none. */
static unsigned first_wait_ms(void)
{
    unsigned wait_ms = DEVICE_FIRST_WAIT_MS;
    for (struct device *d = devices; d != NULL; d = d->next) {
        pthread_mutex_lock(&d->lock);
        if (!d->is_read)
            wait_ms = 0;
        pthread_mutex_unlock(&d->lock);
    }
    return wait_ms;
}

static enum err device_open(struct device **out, const char *name, const char *directive)
{
    struct device *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return ERR_NO_MEMORY;
    wg_device_init(&d->last);
    d->directive = directive;
    d->error = ERR_TIMEOUT; /* until the first read */
    pthread_mutex_init(&d->lock, NULL);
    d->name = strdup(name);
    /* The tests' way to give a daemon userspace devices of its own. */
    const char *socket_dir = getenv("WARREN_WG_SOCKET_DIR");
    enum err e = d->name == NULL ? ERR_NO_MEMORY
                                 : wgctl_watch_create(&d->watch, name, socket_dir, first_wait_ms(),
                                                      device_changed, d);
    if (e != OK) {
        device_destroy(d);
        return e;
    }
    d->next = devices;
    devices = d;
    *out = d;
    return OK;
}

enum err device_subscribe(struct device_subscription **out, const char *name, const char *directive,
                          wgctl_watch_fn *fn, void *context)
{
    struct device_subscription *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    struct device *d = devices;
    while (d != NULL && strcmp(d->name, name) != 0)
        d = d->next;
    if (d == NULL) {
        enum err e = device_open(&d, name, directive);
        if (e != OK) {
            free(s);
            return e;
        }
    }
    *s = (struct device_subscription){
        .device = d, .directive = directive, .fn = fn, .context = context};
    pthread_mutex_lock(&d->lock);
    s->next = d->subscribers;
    d->subscribers = s;
    struct wgctl_watch_event state = device_state(d);
    fn(context, &state);
    pthread_mutex_unlock(&d->lock);
    *out = s;
    return OK;
}

void device_unsubscribe(struct device_subscription *s)
{
    if (s == NULL)
        return;
    struct device *d = s->device;
    pthread_mutex_lock(&d->lock);
    struct device_subscription **at = &d->subscribers;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    bool is_last = d->subscribers == NULL;
    pthread_mutex_unlock(&d->lock);
    free(s);
    if (!is_last)
        return;
    struct device **link = &devices;
    while (*link != d)
        link = &(*link)->next;
    *link = d->next;
    device_destroy(d);
}
