/* health: /health says OK while the process lives; at its end it lingers as a lame duck.
 *
 * Each directive also asks its own endpoint once a second and records how long the answer took,
 * which tells an overloaded process from a dead one. */
#include "dnsd/directive/health.h"

#include "base/log.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"
#include "dnsd/http.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_INTERVAL_MS = 1000,
    POLL_TIMEOUT_MS = 3000,
    POLL_SLOW_MS = 1000, /* a local answer that takes longer is worth a line */
};

static const char name[] = "health";
static const char path[] = "/health";

/* In the instance's arena, so that it outlives every thread that knows it. */
struct health {
    struct health *next;
    struct instance *instance;
    const char *address;
    const char *uri; /* as log lines name it */
    int64_t lameduck_ns;
    struct health_metrics metrics;
    struct sockaddr_storage bound;
    int stop_fd; /* readable once the poller is to end */
    pthread_t poller;
    bool is_polling;
};

/* --- asking ourselves ------------------------------------------------------------------------ */

enum outcome {
    ANSWERED,
    STOPPED,
    FAILED, /* errno tells why */
};

/* Waits for EVENTS on FD. */
static enum outcome wait_for(const struct health *h, int fd, short events, int64_t deadline_ns)
{
    struct pollfd fds[] = {{.fd = h->stop_fd, .events = POLLIN}, {.fd = fd, .events = events}};
    int64_t left_ms = (deadline_ns - monotonic_ns()) / 1000000;
    int n = left_ms <= 0 ? 0 : poll(fds, ARRAY_COUNT(fds), (int)left_ms);
    if (n > 0)
        return fds[0].revents != 0 ? STOPPED : ANSWERED;
    if (n == 0)
        errno = ETIMEDOUT;
    return FAILED;
}

static enum outcome send_request(const struct health *h, int fd)
{
    static const char request[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    (void)h;
    ssize_t n = send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL);
    if (n == (ssize_t)(sizeof(request) - 1))
        return ANSWERED;
    if (n >= 0)
        errno = EPROTO;
    return FAILED;
}

static enum outcome read_status(int fd)
{
    char answer[128];
    ssize_t n = recv(fd, answer, sizeof(answer), 0);
    if (n >= 12 && memcmp(answer, "HTTP/1.", 7) == 0)
        return ANSWERED;
    if (n >= 0)
        errno = EPROTO;
    return FAILED;
}

static enum outcome connect_to_ourselves(const struct health *h, int fd, int64_t deadline_ns)
{
    struct sockaddr_storage sa = h->bound;
    socklen_t size = sizeof(struct sockaddr_in6);
    if (sa.ss_family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&sa;
        size = sizeof(*v4);
        if (v4->sin_addr.s_addr == htonl(INADDR_ANY))
            v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else {
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&sa;
        /* The wildcard takes both families, and ::1 is missing where IPv6 is turned off. */
        if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
            v6->sin6_addr = (struct in6_addr){
                .s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1},
            };
    }
    if (connect(fd, (struct sockaddr *)&sa, size) == 0)
        return ANSWERED;
    if (errno != EINPROGRESS)
        return FAILED;
    enum outcome o = wait_for(h, fd, POLLOUT, deadline_ns);
    socklen_t length = sizeof(int);
    int error = 0;
    if (o == ANSWERED && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) {
        errno = error;
        return FAILED;
    }
    return o;
}

static enum outcome ask(const struct health *h)
{
    int64_t deadline_ns = monotonic_ns() + POLL_TIMEOUT_MS * INT64_C(1000000);
    int fd = socket(h->bound.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return FAILED;
    enum outcome o = connect_to_ourselves(h, fd, deadline_ns);
    if (o == ANSWERED)
        o = send_request(h, fd);
    if (o == ANSWERED)
        o = wait_for(h, fd, POLLIN, deadline_ns);
    if (o == ANSWERED)
        o = read_status(fd);
    int error = errno;
    close(fd);
    errno = error;
    return o;
}

static void ask_and_record(const struct health *h)
{
    int64_t start = monotonic_ns();
    enum outcome o = ask(h);
    int error = errno;
    int64_t elapsed = monotonic_ns() - start;
    char text[DURATION_TEXT_SIZE];
    if (o == STOPPED)
        return;
    metric_observe(h->metrics.duration, (double)elapsed / (double)DURATION_SECOND);
    if (o == FAILED) {
        metric_inc(h->metrics.failures);
        log_plugin(LOG_WARNING, name, "Local health request to \"%s\" failed: %s", h->uri,
                   strerrordesc_np(error));
    } else if (elapsed > POLL_SLOW_MS * INT64_C(1000000)) {
        log_plugin(LOG_WARNING, name, "Local health request to \"%s\" took more than 1s: %s",
                   h->uri, duration_text(elapsed, text));
    }
}

static void *poll_loop(void *context)
{
    const struct health *h = context;
    struct pollfd stop = {.fd = h->stop_fd, .events = POLLIN};
    int64_t next_ns = monotonic_ns();
    for (;;) {
        next_ns += POLL_INTERVAL_MS * INT64_C(1000000);
        int64_t now = monotonic_ns();
        if (next_ns < now)
            next_ns = now; /* a slow answer skips ticks instead of piling them up */
        if (poll(&stop, 1, (int)((next_ns - now) / 1000000)) != 0)
            return NULL;
        ask_and_record(h);
    }
}

static enum err start_polling(struct health *h)
{
    sigset_t all, old;
    h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (h->stop_fd < 0)
        return err_from_errno(errno);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the main thread */
    int error = pthread_create(&h->poller, NULL, poll_loop, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error != 0) {
        close(h->stop_fd);
        return err_from_errno(error);
    }
    h->is_polling = true;
    return OK;
}

static void stop_polling(struct health *h)
{
    if (!h->is_polling)
        return;
    h->is_polling = false;
    (void)eventfd_write(h->stop_fd, 1);
    pthread_join(h->poller, NULL);
    close(h->stop_fd);
}

/* --- the endpoint ---------------------------------------------------------------------------- */

static void respond(void *context UNUSED, struct http_response *response)
{
    strbuf_add_str(&response->body, "OK");
}

/* What Go's net/url leaves as it is in a host. */
static bool is_host_char(unsigned char c)
{
    return c >= 0x80 || isalnum(c) || (c != '\0' && strchr("-_.~!$&'()*+,;=:[]<>\"", c) != NULL);
}

/* An escape may stand for '%' itself or for an octet beyond ASCII. */
static bool is_host_escape(const char *at, const char *end)
{
    return end - at >= 3 && isxdigit((unsigned char)at[1]) && isxdigit((unsigned char)at[2]) &&
           (at[1] >= '8' || memcmp(at, "%25", 3) == 0);
}

/* CoreDNS makes a URL of the address for its poller, so what url.Parse refuses is an error of the
 * start. */
static enum err check_url(const struct health *h, struct strbuf *error)
{
    const char *end = h->address + strcspn(h->address, "/?#");
    const char *colon = memrchr(h->address, ':', (size_t)(end - h->address));
    size_t digits = colon != NULL ? strspn(colon + 1, "0123456789") : 0;
    if (colon != NULL && colon + 1 + digits < end) {
        strbuf_add_format(error, "parse \"http://%s\": invalid port \"%.*s\" after host",
                          h->address, (int)(end - colon), colon);
        return ERR_MALFORMED;
    }
    for (const char *at = h->address; at < end; at++) {
        int left = end - at < 3 ? (int)(end - at) : 3;
        if (*at == '%' && is_host_escape(at, end))
            continue;
        if (*at != '%' && is_host_char((unsigned char)*at))
            continue;
        strbuf_add_format(error, "parse \"http://%s\": ", h->address);
        if (*at == '%')
            strbuf_add_format(error, "invalid URL escape \"%.*s\"", left, at);
        else
            strbuf_add_format(error, "invalid character \"%c\" in host name", *at);
        return ERR_MALFORMED;
    }
    return OK;
}

static enum err health_start(void *context, struct instance *inst, struct strbuf *error)
{
    struct health *h = context;
    enum err err = check_url(h, error);
    if (err == OK)
        err = http_open(inst, h->address, &h->bound, error);
    if (err == OK)
        err = start_polling(h);
    return err;
}

static void sleep_ns(int64_t ns)
{
    struct timespec left = {.tv_sec = (time_t)(ns / DURATION_SECOND),
                            .tv_nsec = (long)(ns % DURATION_SECOND)};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

/* At the end of the process, still serving: time for load balancers to notice. */
static void health_stop(void *context, struct instance *inst, bool restarting)
{
    struct health *h = context;
    char text[DURATION_TEXT_SIZE];
    if (!restarting && h->lameduck_ns > 0) {
        log_plugin(LOG_INFO, name, "Going into lameduck mode for %s",
                   duration_text(h->lameduck_ns, text));
        sleep_ns(h->lameduck_ns);
    }
    stop_polling(h);
    http_route_remove(inst, path, h);
}

/* --- setup ----------------------------------------------------------------------------------- */

enum err health_metrics_init(struct health_metrics *out, struct metrics *m)
{
    static const double buckets[] = {0.00025, 0.0025, 0.025, 0.25, 2.5};
    struct metric_family *duration =
        metrics_family(m, METRIC_HISTOGRAM, "coredns_health_request_duration_seconds",
                       "Histogram of the time (in seconds) each request took.", NULL, 0, buckets,
                       ARRAY_COUNT(buckets));
    struct metric_family *failures =
        metrics_family(m, METRIC_COUNTER, "coredns_health_request_failures_total",
                       "The number of times the health check failed.", NULL, 0, NULL, 0);
    if (duration == NULL || failures == NULL)
        return ERR_NO_MEMORY;
    struct health_metrics made = {metric_series(duration, NULL), metric_series(failures, NULL)};
    if (made.duration == NULL || made.failures == NULL)
        return ERR_NO_MEMORY;
    *out = made;
    return OK;
}

static enum err parse_lameduck(struct health *h, struct setup *s, struct strbuf *why)
{
    struct setup_args args;
    struct strbuf text = STRBUF_EMPTY;
    if (strcmp(core_val(&s->cursor), "lameduck") != 0)
        return core_arg_error(&s->cursor, why);
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count != 1)
        return core_arg_error(&s->cursor, why);
    err = duration_parse(args.items[0], &h->lameduck_ns, &text);
    if (err != OK)
        strbuf_add_format(why, "unable to parse lameduck duration value: '%s' : %s", args.items[0],
                          strbuf_str(&text));
    strbuf_fini(&text);
    return err;
}

static enum err parse(struct health *h, struct setup *s, struct strbuf *why)
{
    while (core_next(&s->cursor)) {
        struct setup_args args;
        const char *host, *port;
        size_t host_size;
        enum err err = setup_args_read(s, &args);
        if (err != OK)
            return err;
        if (args.count > 1)
            return core_arg_error(&s->cursor, why);
        if (args.count == 1) {
            err = host_port_split(args.items[0], &host, &host_size, &port, why);
            if (err != OK)
                return err;
            h->address = args.items[0];
        }
        while (core_next_block(&s->cursor)) {
            err = parse_lameduck(h, s, why);
            if (err != OK)
                return err;
        }
    }
    return OK;
}

/* "http://ADDRESS/health"; what follows the host in ADDRESS is replaced by the path. */
static enum err make_uri(struct health *h, struct arena *arena)
{
    struct strbuf uri = STRBUF_EMPTY;
    strbuf_add_str(&uri, "http://");
    strbuf_add(&uri, h->address, strcspn(h->address, "/?#"));
    strbuf_add_str(&uri, path);
    h->uri = uri.failed ? NULL : arena_copy(arena, uri.data, uri.size + 1);
    strbuf_fini(&uri);
    return h->uri != NULL ? OK : ERR_NO_MEMORY;
}

/* The slot's end, also after a start that failed. */
static void stop_all(void *value)
{
    for (struct health *h = value; h != NULL; h = h->next)
        stop_polling(h);
}

static enum err register_health(struct health *h, struct setup *s)
{
    h->next = instance_slot(s->instance, name);
    enum err err = http_route_add(s->instance, h->address, path, respond, h);
    if (err == OK)
        err = instance_on_start(s->instance, health_start, h);
    if (err == OK)
        err = instance_on_stop(s->instance, health_stop, h);
    if (err == OK)
        err = instance_set_slot(s->instance, name, h, stop_all);
    return err;
}

enum err directive_health_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    if (s->site->key_index > 0)
        return OK; /* once per block */
    struct health *h = arena_alloc(s->arena, sizeof(*h));
    if (h == NULL)
        return setup_fail(s, name, ERR_NO_MEMORY, &why);
    *h = (struct health){.instance = s->instance, .address = ":8080", .stop_fd = -1};
    enum err err = parse(h, s, &why);
    if (err == OK && h->address[0] == '\0')
        h->address = ":8080";
    if (err == OK)
        err = make_uri(h, s->arena);
    if (err == OK)
        err = health_metrics_init(&h->metrics, instance_metrics(s->instance));
    if (err == OK)
        err = register_health(h, s);
    return err == OK ? OK : setup_fail(s, name, err, &why);
}
