/* read-device: what our reader sees of a device, and what that costs. For tests and benches.
 *
 *   read-device [-s DIR] dump NAME            as `wg show NAME dump`, without secrets
 *   read-device [-s DIR] cost NAME COUNT      CPU and wall time per read, over COUNT reads
 *   read-device [-s DIR] watch NAME SECONDS   CPU of a watch, in percent of a core
 *
 * -s: the folder of userspace sockets. */
#include "base/encoding.h"
#include "wgctl/device.h"
#include "wgctl/watch.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double clock_ms(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double wall_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

/* Not getrusage: in a guest it counts whole ticks. */
static double cpu_ms(void)
{
    return clock_ms(CLOCK_PROCESS_CPUTIME_ID);
}

static int complain(const struct wgctl *w, const char *name, enum err error)
{
    fprintf(stderr, "read-device: %s: %s (%s)\n", name, err_text(error), wgctl_error(w));
    return 1;
}

/* --- dump --- */

static void print_key(const uint8_t key[static KEY_SIZE])
{
    char text[KEY_BASE64_SIZE];
    key_to_base64(text, key);
    printf("%.*s", (int)sizeof(text), text);
}

/* The preshared key is not kept by our model: "(psk)" stands for one. */
static void print_peer(const struct wg_device *d, const struct wg_peer *p)
{
    char text[IP_ENDPOINT_TEXT_SIZE] = "(none)";
    print_key(p->public_key);
    if (p->endpoint.addr.family != IP_NONE)
        (void)ip_endpoint_format(&p->endpoint, text);
    printf("\t%s\t%s\t", p->has_preshared_key ? "(psk)" : "(none)", text);
    for (uint32_t i = 0; i < p->allowed_ip_count; i++) {
        char prefix[IP_PREFIX_TEXT_SIZE];
        (void)ip_prefix_format(&d->allowed_ips[p->allowed_ip_start + i], prefix);
        printf("%s%s", i > 0 ? "," : "", prefix);
    }
    if (p->allowed_ip_count == 0)
        fputs("(none)", stdout);
    printf("\t%" PRId64 "\t%" PRIu64 "\t%" PRIu64 "\t", p->last_handshake_sec, p->rx_bytes,
           p->tx_bytes);
    if (p->persistent_keepalive != 0)
        printf("%u\n", p->persistent_keepalive);
    else
        puts("off");
}

static int dump(struct wgctl *w, const char *name)
{
    struct wg_device d;
    wg_device_init(&d);
    enum err error = wgctl_read(w, name, &d);
    if (error == OK) {
        if (d.has_public_key)
            print_key(d.public_key);
        else
            fputs("(none)", stdout);
        printf("\t%u\t", d.listen_port);
        if (d.fwmark != 0)
            printf("0x%" PRIx32 "\n", d.fwmark);
        else
            puts("off");
        for (size_t i = 0; i < d.peer_count; i++)
            print_peer(&d, &d.peers[i]);
    }
    wg_device_fini(&d);
    return error == OK ? 0 : complain(w, name, error);
}

/* --- cost --- */

static int cost(struct wgctl *w, const char *name, long count)
{
    struct wg_device d;
    wg_device_init(&d);
    enum err error = wgctl_read(w, name, &d); /* sockets and memory are there from now on */
    double cpu = cpu_ms(), wall = wall_ms();
    for (long i = 0; i < count && error == OK; i++)
        error = wgctl_read(w, name, &d);
    if (error == OK)
        printf("%zu peers, %zu allowed IPs: %.3f ms CPU, %.3f ms wall per read\n", d.peer_count,
               d.allowed_ip_count, (cpu_ms() - cpu) / (double)count,
               (wall_ms() - wall) / (double)count);
    wg_device_fini(&d);
    return error == OK ? 0 : complain(w, name, error);
}

/* --- watch --- */

static void on_event(void *context, const struct wgctl_watch_event *event)
{
    atomic_uint *events = context;
    atomic_fetch_add(events, 1);
    if (event->error != OK)
        fprintf(stderr, "read-device: %s (%s)\n", err_text(event->error), event->detail);
}

static int watch(const char *directory, const char *name, long seconds)
{
    atomic_uint events = 0;
    struct wgctl_watch *w;
    enum err error = wgctl_watch_create(&w, name, directory, 5000, on_event, &events);
    if (error != OK) {
        fprintf(stderr, "read-device: %s\n", err_text(error));
        return 1;
    }
    double cpu = cpu_ms(), wall = wall_ms();
    uint64_t reads = wgctl_watch_read_count(w);
    (void)nanosleep(&(struct timespec){.tv_sec = seconds}, NULL);
    cpu = cpu_ms() - cpu;
    wall = wall_ms() - wall;
    printf("%" PRIu64 " reads in %.1f s, %u events: %.3f ms CPU, %.4f percent of a core\n",
           wgctl_watch_read_count(w) - reads, wall / 1e3, atomic_load(&events), cpu,
           100 * cpu / wall);
    wgctl_watch_destroy(w);
    return 0;
}

int main(int argc, char **argv)
{
    const char *directory = NULL;
    for (int c; (c = getopt(argc, argv, "s:")) != -1;) {
        if (c != 's')
            return 2;
        directory = optarg;
    }
    argc -= optind;
    argv += optind;
    long number = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    bool is_dump = argc == 2 && strcmp(argv[0], "dump") == 0;
    bool is_cost = argc == 3 && strcmp(argv[0], "cost") == 0 && number > 0;
    bool is_watch = argc == 3 && strcmp(argv[0], "watch") == 0 && number > 0;
    if (!is_dump && !is_cost && !is_watch) {
        fputs("usage: read-device [-s DIR] dump NAME | cost NAME COUNT | watch NAME SECONDS\n",
              stderr);
        return 2;
    }
    if (is_watch)
        return watch(directory, argv[1], number);
    struct wgctl *w;
    enum err error = wgctl_create(&w, directory);
    if (error != OK) {
        fprintf(stderr, "read-device: %s\n", err_text(error));
        return 1;
    }
    int status = is_dump ? dump(w, argv[1]) : cost(w, argv[1], number);
    wgctl_destroy(w);
    return status;
}
