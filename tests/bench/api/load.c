/* Loads an etcd v3 server from one thread and prints what that took, as one JSON object. See
 * README.md. */
#include "../dns/cpu.h"
#include "../dns/stats.h"
#include "h2.h"
#include "proto.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIDS_MAX      16
#define CLIENTS_MAX   4096
#define TICK_MS       20
#define WATCH_KEY     "bench/watched"
#define STALL_LIMIT_S 20 /* without a single answer: the server hangs */

enum mode {
    MODE_PUT,
    MODE_RANGE,
    MODE_LINEARIZABLE,
    MODE_WATCH
};

struct options {
    const char *host;
    uint16_t port;
    enum mode mode;
    double seconds, warm;
    unsigned clients;
    unsigned connections; /* 0: one for each client */
    unsigned keys;
    uint64_t count; /* puts, instead of seconds; each of its own key */
    size_t value_size;
    pid_t pids[PIDS_MAX];
    size_t pid_count;
};

struct load;

struct client {
    struct load *load;
    struct h2_connection *connection;
    struct h2_call call;
    uint64_t began_ns;
    bool answered; /* with a message that is right */
    uint8_t body[PROTO_MESSAGE_MAX];
};

/* One stream with many watchers. */
struct watcher {
    struct load *load;
    struct h2_call call;
    uint8_t *body;
};

struct load {
    struct options options;
    struct h2_loop *loop;
    struct stats stats;
    uint64_t random;
    uint64_t started; /* calls */
    uint64_t ended;
    bool measuring, stopping;
    unsigned busy;  /* calls under way */
    uint64_t wrong; /* answers */
    char why[H2_REASON_MAX];
    uint8_t value[PROTO_VALUE_MAX];

    /* Watching: one put at a time, the next when every watcher has had the event of the last. */
    uint64_t created;
    uint64_t events, events_wanted;
    bool put_done;
};

static void wrong(struct load *load, const char *why)
{
    if (load->wrong++ == 0)
        (void)snprintf(load->why, sizeof load->why, "%s", why);
}

static uint64_t next_random(struct load *load)
{
    uint64_t x = load->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return load->random = x;
}

static void next_call(struct client *client)
{
    struct load *load = client->load;
    const struct options *o = &load->options;
    if (load->stopping || (o->count != 0 && load->started == o->count))
        return;
    char key[PROTO_KEY_MAX];
    uint64_t number = o->count != 0 ? load->started : next_random(load) % o->keys;
    (void)snprintf(key, sizeof key, "bench/%08" PRIu64, number);
    /* Values differ, so that no server gains from their being alike. */
    uint64_t fresh = next_random(load);
    memcpy(load->value, &fresh, sizeof fresh < o->value_size ? sizeof fresh : o->value_size);
    if (o->mode == MODE_PUT)
        client->call.body_size = proto_put(client->body, key, load->value, o->value_size);
    else if (o->mode == MODE_WATCH)
        client->call.body_size = proto_put(client->body, WATCH_KEY, load->value, o->value_size);
    else
        client->call.body_size = proto_range(client->body, key, o->mode == MODE_RANGE);
    client->answered = false;
    client->began_ns = now_ns();
    load->started++;
    load->busy++;
    h2_start(client->connection, &client->call);
}

static void client_message(struct h2_call *call, const uint8_t *message, size_t size)
{
    struct client *client = call->context;
    const struct options *o = &client->load->options;
    uint64_t count;
    size_t value_size;
    client->answered = true;
    if (o->mode != MODE_RANGE && o->mode != MODE_LINEARIZABLE)
        return;
    if (!proto_read_range(message, size, &count, &value_size) || count != 1 ||
        value_size != o->value_size)
        wrong(client->load, "a range without the one value that was put");
}

static void count_latency(struct load *load, uint64_t began_ns)
{
    load->ended++;
    if (load->measuring)
        stats_latency(&load->stats, now_ns() - began_ns);
}

static void next_event(struct client *putter)
{
    struct load *load = putter->load;
    if (!load->put_done || load->events < load->events_wanted)
        return;
    if (load->events > load->events_wanted)
        wrong(load, "more events than puts");
    count_latency(load, putter->began_ns);
    load->put_done = false;
    load->events_wanted += load->options.clients;
    next_call(putter);
}

static void client_ended(struct h2_call *call, const struct h2_end *end)
{
    struct client *client = call->context;
    struct load *load = client->load;
    load->busy--;
    if (end->reason[0] != '\0')
        wrong(load, end->reason);
    else if (!client->answered)
        wrong(load, "no message in the answer");
    if (load->options.mode == MODE_WATCH) {
        load->put_done = true;
        next_event(client);
        return;
    }
    count_latency(load, client->began_ns);
    next_call(client);
}

static void client_init(struct client *client, struct load *load, struct h2_connection *connection,
                        const char *path)
{
    *client = (struct client){.load = load, .connection = connection};
    client->call = (struct h2_call){.path = path,
                                    .body = client->body,
                                    .message = client_message,
                                    .ended = client_ended,
                                    .context = client};
}

static void watcher_message(struct h2_call *call, const uint8_t *message, size_t size)
{
    struct watcher *watcher = call->context;
    struct load *load = watcher->load;
    struct proto_watch watch;
    if (!proto_read_watch(message, size, &watch) || watch.canceled)
        wrong(load, "a watch that is cancelled, or no WatchResponse");
    load->created += watch.created;
    load->events += watch.event_count;
}

static void watcher_ended(struct h2_call *call, const struct h2_end *end)
{
    struct watcher *watcher = call->context;
    wrong(watcher->load, end->reason[0] != '\0' ? end->reason : "a watch stream that ends");
    watcher->load->stopping = true;
}

static void *must(void *memory)
{
    if (memory == NULL) {
        (void)fputs("bench-api-load: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

/* COUNT watchers of one key on one stream. */
static void watcher_init(struct watcher *watcher, struct load *load, unsigned count)
{
    uint8_t one[PROTO_MESSAGE_MAX];
    size_t size = proto_watch_create(one, WATCH_KEY);
    *watcher = (struct watcher){.load = load, .body = must(malloc(size * count))};
    for (unsigned i = 0; i < count; i++)
        memcpy(watcher->body + i * size, one, size);
    watcher->call = (struct h2_call){.path = "/etcdserverpb.Watch/Watch",
                                     .body = watcher->body,
                                     .body_size = size * count,
                                     .stays_open = true,
                                     .message = watcher_message,
                                     .ended = watcher_ended,
                                     .context = watcher};
}

static void check_progress(const struct load *load, uint64_t *last, uint64_t *last_ns)
{
    uint64_t progress = load->ended + load->created + load->events;
    if (progress != *last) {
        *last = progress;
        *last_ns = now_ns();
    } else if (now_ns() - *last_ns > STALL_LIMIT_S * UINT64_C(1000000000)) {
        (void)fprintf(stderr,
                      "bench-api-load: no answer for %d s (%" PRIu64 " calls ended, %u under way, "
                      "%" PRIu64 " of %" PRIu64 " events)\n",
                      STALL_LIMIT_S, load->ended, load->busy, load->events, load->events_wanted);
        exit(1);
    }
}

struct measured {
    struct cpu_sample before, after;
    uint64_t began_ns, ended_ns, events;
    uint64_t client_ns; /* our own CPU */
};

static uint64_t own_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void warm_up(struct load *load, struct client *putter)
{
    uint64_t until = now_ns() + (uint64_t)(load->options.warm * 1e9), last = 0, last_ns = now_ns();
    while (now_ns() < until && !load->stopping) {
        h2_loop_run(load->loop, TICK_MS);
        if (putter != NULL)
            next_event(putter);
        check_progress(load, &last, &last_ns);
    }
}

static bool finished(const struct load *load, uint64_t until)
{
    if (load->options.count != 0)
        return load->ended == load->options.count;
    return now_ns() >= until;
}

static void measure(struct load *load, struct client *putter, struct measured *m)
{
    const struct options *o = &load->options;
    cpu_sample_take(&m->before, o->pids, o->pid_count);
    m->began_ns = now_ns();
    m->client_ns = own_cpu_ns();
    m->events = load->events;
    load->measuring = true;
    uint64_t until = m->began_ns + (uint64_t)(o->seconds * 1e9), last = 0, last_ns = now_ns();
    while (!finished(load, until) && !load->stopping) {
        h2_loop_run(load->loop, TICK_MS);
        if (putter != NULL)
            next_event(putter);
        check_progress(load, &last, &last_ns);
    }
    load->measuring = false;
    m->events = load->events - m->events;
    m->client_ns = own_cpu_ns() - m->client_ns;
    m->ended_ns = now_ns();
    cpu_sample_take(&m->after, o->pids, o->pid_count);
    load->stopping = true;
}

static void report(const struct load *load, const struct measured *m)
{
    const struct options *o = &load->options;
    double seconds = (double)(m->ended_ns - m->began_ns) / 1e9, kernel_share;
    uint64_t ops = o->mode == MODE_WATCH ? m->events : load->stats.measured;
    printf("{\"ops\":%" PRIu64 ",\"seconds\":%.4f,\"rate\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,",
           ops, seconds, (double)ops / seconds, (double)stats_percentile(&load->stats, 50) / 1e3,
           (double)stats_percentile(&load->stats, 99) / 1e3);
    printf("\"wrong\":%" PRIu64 ",\"why\":\"", load->wrong);
    for (const char *p = load->why; *p != '\0'; p++)
        putchar(*p == '"' || *p == '\\' || (unsigned char)*p < ' ' ? '?' : *p);
    printf("\",\"cpu_by_thread_us\":{");
    uint64_t cpu_ns = cpu_report(&m->before, &m->after, ops, &kernel_share);
    double per_op = ops != 0 ? 1e-3 / (double)ops : 0;
    printf("},\"cpu_us\":%.3f,\"kernel_share\":%.3f,\"client_us\":%.3f}\n", (double)cpu_ns * per_op,
           kernel_share, (double)m->client_ns * per_op);
}

static unsigned number(const char *text, const char *what, unsigned long max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || value > max) {
        (void)fprintf(stderr, "bench-api-load: %s is no %s\n", text, what);
        exit(2);
    }
    return (unsigned)value;
}

static enum mode mode_named(const char *name)
{
    static const char *const names[] = {"put", "range", "linearizable", "watch"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return (enum mode)i;
    (void)fprintf(stderr, "bench-api-load: no mode %s\n", name);
    exit(2);
}

static struct options read_options(int argc, char **argv)
{
    struct options o = {.host = "127.0.0.1",
                        .seconds = 1,
                        .warm = 0.3,
                        .clients = 1,
                        .keys = 1000,
                        .value_size = 256};
    int option;
    while ((option = getopt(argc, argv, "s:p:m:d:W:c:C:k:n:v:P:")) != -1)
        switch (option) {
        case 's':
            o.host = optarg;
            break;
        case 'p':
            o.port = (uint16_t)number(optarg, "port", 65535);
            break;
        case 'm':
            o.mode = mode_named(optarg);
            break;
        case 'd':
            o.seconds = strtod(optarg, NULL);
            break;
        case 'W':
            o.warm = strtod(optarg, NULL);
            break;
        case 'c':
            o.clients = number(optarg, "number of clients", CLIENTS_MAX);
            break;
        case 'C':
            o.connections = number(optarg, "number of connections", CLIENTS_MAX);
            break;
        case 'k':
            o.keys = number(optarg, "number of keys", 100000000);
            break;
        case 'n':
            o.count = number(optarg, "count", 100000000);
            break;
        case 'v':
            o.value_size = number(optarg, "size of a value", PROTO_VALUE_MAX);
            break;
        case 'P':
            if (o.pid_count < PIDS_MAX)
                o.pids[o.pid_count++] = (pid_t)number(optarg, "process", 4194304);
            break;
        default:
            exit(2);
        }
    if (o.port == 0 || o.clients == 0 || o.keys == 0 || optind != argc) {
        (void)fputs("Usage: bench-api-load -p PORT [-s HOST] [-m put|range|linearizable|watch] "
                    "[-d SECONDS] [-W WARM] [-c CLIENTS] [-C CONNECTIONS] [-k KEYS] [-n COUNT] "
                    "[-v VALUE_SIZE] [-P PID]...\n",
                    stderr);
        exit(2);
    }
    if (o.connections == 0 || o.connections > o.clients)
        o.connections = o.clients;
    return o;
}

/* The clients of a watch are the watchers; one more puts. */
static void run_watch(struct load *load, struct measured *m)
{
    const struct options *o = &load->options;
    struct watcher *watchers = must(calloc(o->connections, sizeof *watchers));
    for (unsigned i = 0; i < o->connections; i++) {
        unsigned share = o->clients / o->connections + (i < o->clients % o->connections);
        watcher_init(&watchers[i], load, share);
        h2_start(h2_connect(load->loop, o->host, o->port), &watchers[i].call);
    }
    uint64_t last = 0, last_ns = now_ns();
    while (load->created < o->clients && !load->stopping) {
        h2_loop_run(load->loop, TICK_MS);
        check_progress(load, &last, &last_ns);
    }
    struct client *putter = must(malloc(sizeof *putter));
    client_init(putter, load, h2_connect(load->loop, o->host, o->port), "/etcdserverpb.KV/Put");
    load->events_wanted = o->clients;
    next_call(putter);
    warm_up(load, putter);
    measure(load, putter, m);
    h2_loop_destroy(load->loop);
    for (unsigned i = 0; i < o->connections; i++) {
        h2_call_fini(&watchers[i].call);
        free(watchers[i].body);
    }
    free(watchers);
    h2_call_fini(&putter->call);
    free(putter);
}

static void run_calls(struct load *load, struct measured *m)
{
    const struct options *o = &load->options;
    struct client *clients = must(calloc(o->clients, sizeof *clients));
    struct h2_connection *connections[CLIENTS_MAX];
    for (unsigned i = 0; i < o->connections; i++)
        connections[i] = h2_connect(load->loop, o->host, o->port);
    const char *path = o->mode == MODE_PUT ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range";
    for (unsigned i = 0; i < o->clients; i++)
        client_init(&clients[i], load, connections[i % o->connections], path);
    /* Counted puts are all measured: nothing may be put before. */
    if (o->count != 0)
        load->measuring = true;
    for (unsigned i = 0; i < o->clients; i++)
        next_call(&clients[i]);
    if (o->count == 0)
        warm_up(load, NULL);
    measure(load, NULL, m);
    uint64_t last = 0, last_ns = now_ns();
    while (load->busy != 0) {
        h2_loop_run(load->loop, TICK_MS);
        check_progress(load, &last, &last_ns);
    }
    h2_loop_destroy(load->loop);
    for (unsigned i = 0; i < o->clients; i++)
        h2_call_fini(&clients[i].call);
    free(clients);
}

int main(int argc, char **argv)
{
    static struct load load;
    static struct measured measured;
    load.options = read_options(argc, argv);
    load.random = 88172645463325252u;
    for (size_t i = 0; i < sizeof load.value; i++)
        load.value[i] = (uint8_t)next_random(&load);
    load.loop = h2_loop_create();
    if (load.options.mode == MODE_WATCH)
        run_watch(&load, &measured);
    else
        run_calls(&load, &measured);
    report(&load, &measured);
    return 0;
}
