/* warren-agent: sets the endpoints of a WireGuard device's peers to where a wgsd zone says they
 * are.
 *
 * One pass over the peers, then exit 0, however many lookups failed: it is run by a timer, and a
 * peer that is unknown today may be known in the next pass. Flags, log lines and exit codes are
 * those of wgsd-client, so that one can take the other's place in a unit file. */
#include "lookup.h"

#include "wgctl/device.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_SETUP = 1, /* a missing or bad flag, or an unreadable device */
    EXIT_USAGE = 2,
    REPLY_TIMEOUT_MS = 5000,
    REPLY_SIZE = 65535,
    LOG_LINE_SIZE = 512,
};

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

/* --- Log lines: "YYYY/MM/DD HH:MM:SS [key] text" on standard error. --- */

static void log_text(const uint8_t *key, const char *format, ...) PRINTF_LIKE(2, 3);

/* KEY may be NULL: a line about no peer. */
static void log_text(const uint8_t *key, const char *format, ...)
{
    char text[LOG_LINE_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);

    char when[32] = "";
    struct tm local;
    time_t now = time(NULL);
    if (localtime_r(&now, &local) != NULL)
        (void)strftime(when, sizeof(when), "%Y/%m/%d %H:%M:%S", &local);
    char base64[KEY_BASE64_SIZE];
    if (key != NULL) {
        key_to_base64(base64, key);
        fprintf(stderr, "%s [%.*s] %s\n", when, (int)sizeof(base64), base64, text);
    } else {
        fprintf(stderr, "%s %s\n", when, text);
    }
}

/* --- Flags: "-name value", "-name=value", one dash or two. --- */

struct options {
    const char *device;
    const char *dns;
    const char *zone;
};

static void usage(FILE *to)
{
    fputs("Usage of warren-agent:\n"
          "  -device string\n"
          "    \tWireGuard interface whose peers get their endpoints set\n"
          "  -dns string\n"
          "    \taddress of the DNS server to ask, HOST:PORT\n"
          "  -zone string\n"
          "    \tzone that holds the peers' records\n"
          "Asks the server once for every peer of the interface, sets the endpoints that it\n"
          "answers and exits; run it by a timer. A PersistentKeepalive towards the server's own\n"
          "peer keeps this host known there. Needs CAP_NET_ADMIN.\n"
          "Exit status: 0 after the pass, 1 for a missing or bad flag or interface, 2 for an\n"
          "unknown flag.\n",
          to);
}

static const char **option_slot(struct options *o, const char *name, size_t size)
{
    struct {
        const char *name;
        const char **slot;
    } known[] = {{"device", &o->device}, {"dns", &o->dns}, {"zone", &o->zone}};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        if (strlen(known[i].name) == size && memcmp(known[i].name, name, size) == 0)
            return known[i].slot;
    return NULL;
}

static bool name_is(const char *name, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(word, name, size) == 0;
}

/* Fills O; -1 to go on, else the exit status. */
static int parse_options(struct options *o, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (name[0] != '-' || name[1] == '\0' || strcmp(name, "--") == 0)
            break; /* arguments that are no flags are ignored */
        name += name[1] == '-' ? 2 : 1;
        size_t size = strcspn(name, "=");
        if (name_is(name, size, "help") || name_is(name, size, "h")) {
            usage(stderr);
            return 0;
        }
        const char **slot = option_slot(o, name, size);
        if (slot == NULL) {
            fprintf(stderr, "flag provided but not defined: -%.*s\n", (int)size, name);
        } else if (name[size] == '=') {
            *slot = name + size + 1;
            continue;
        } else if (i + 1 < argc) {
            *slot = argv[++i];
            continue;
        } else {
            fprintf(stderr, "flag needs an argument: -%s\n", name);
        }
        usage(stderr);
        return EXIT_USAGE;
    }
    return -1;
}

/* --- The DNS server. --- */

struct server {
    char host[256];
    char port[32];
};

/* "host:port" or "[v6]:port". */
static bool split_host_port(const char *text, struct server *out)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return false;
    const char *host = text;
    size_t host_size = (size_t)(colon - text);
    if (host_size >= 2 && host[0] == '[' && host[host_size - 1] == ']') {
        host++;
        host_size -= 2;
    } else if (memchr(host, ':', host_size) != NULL) {
        return false; /* an IPv6 address needs brackets */
    }
    size_t port_size = strlen(colon + 1);
    if (host_size >= sizeof(out->host) || port_size == 0 || port_size >= sizeof(out->port))
        return false;
    memcpy(out->host, host, host_size);
    out->host[host_size] = '\0';
    memcpy(out->port, colon + 1, port_size + 1);
    return true;
}

/* A UDP socket connected to the server, or -1 with the cause in WHY. */
static int dial(const struct server *server, const char **why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *list = NULL;
    /* No host means this one, as in Go. */
    int status =
        getaddrinfo(server->host[0] != '\0' ? server->host : NULL, server->port, &hints, &list);
    if (status != 0) {
        *why = gai_strerror(status);
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *a = list; a != NULL && fd < 0; a = a->ai_next) {
        fd = socket(a->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
            *why = strerror(errno);
            (void)close(fd);
            fd = -1;
        } else if (fd < 0) {
            *why = strerror(errno);
        }
    }
    freeaddrinfo(list);
    return fd;
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits for the reply to ID. False: none came, WHY says why. */
static bool await_reply(int fd, uint16_t id, struct lookup_reply *reply,
                        enum lookup_verdict *verdict, const char **why)
{
    uint8_t buffer[REPLY_SIZE];
    int64_t deadline = now_ms() + REPLY_TIMEOUT_MS;
    for (;;) {
        int64_t left = deadline - now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int ready = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (ready == 0) {
            *why = "i/o timeout";
            return false;
        }
        ssize_t size = ready > 0 ? recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT) : -1;
        if (size < 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            *why = strerror(errno);
            return false;
        }
        *verdict = lookup_reply_parse(reply, id, buffer, (size_t)size);
        if (*verdict != LOOKUP_NOT_OURS)
            return true;
    }
}

/* One question, one reply, on a socket (and so a port) of their own. */
static bool exchange(const struct server *server, const uint8_t key[static KEY_SIZE],
                     struct dns_name zone, struct lookup_reply *reply, enum lookup_verdict *verdict,
                     const char **why)
{
    uint8_t query[LOOKUP_QUERY_SIZE];
    size_t size = 0;
    uint16_t id = (uint16_t)randombytes_random();
    enum err error = lookup_query(query, &size, id, key, zone);
    if (error != OK) {
        *why = err_text(error);
        return false;
    }
    int fd = dial(server, why);
    if (fd < 0)
        return false;
    bool replied = false;
    if (send(fd, query, size, 0) == (ssize_t)size)
        replied = await_reply(fd, id, reply, verdict, why);
    else
        *why = strerror(errno);
    (void)close(fd);
    return replied;
}

/* --- The pass. --- */

struct agent {
    struct wgctl *wg;
    struct wg_device device;
    struct options options;
    struct server server;
    struct dns_name_buf zone;
};

static void update_peer(struct agent *a, const uint8_t key[static KEY_SIZE])
{
    struct lookup_reply reply = {0};
    enum lookup_verdict verdict = LOOKUP_BROKEN;
    const char *why = "";
    if (!exchange(&a->server, key, dns_name_of(&a->zone), &reply, &verdict, &why)) {
        log_text(key, "failed to lookup SRV: %s", why);
        return;
    }
    switch (verdict) {
    case LOOKUP_NO_SRV:
        log_text(key, "no SRV records found");
        return;
    case LOOKUP_NO_ADDRESS:
        log_text(key, "SRV reply without an A or AAAA record in its additional section");
        return;
    case LOOKUP_FOUND:
        break;
    case LOOKUP_NOT_OURS:
    case LOOKUP_BROKEN:
    default:
        log_text(key, "failed to lookup SRV: the reply is not a DNS message");
        return;
    }
    /* Also when nothing changed: the kernel drops it then, and what it had may be older. */
    if (wgctl_set_peer_endpoint(a->wg, a->options.device, key, &reply.endpoint) != OK)
        log_text(key, "failed to set the endpoint on %s: %s", a->options.device,
                 wgctl_error(a->wg));
}

static int run(struct agent *a)
{
    enum err error = wgctl_read(a->wg, a->options.device, &a->device);
    if (error != OK) {
        log_text(NULL, "could not open device %s: %s (%s)", a->options.device, err_text(error),
                 wgctl_error(a->wg));
        return EXIT_SETUP;
    }
    if (a->device.peer_count == 0)
        log_text(NULL, "no peers found");
    for (size_t i = 0; i < a->device.peer_count && !stopping; i++)
        update_peer(a, a->device.peers[i].public_key);
    return 0;
}

/* 0, or the exit status after a line that says what is wrong with the flags. */
static int check_options(struct agent *a)
{
    const struct options *o = &a->options;
    if (o->device == NULL || o->device[0] == '\0' || o->dns == NULL || o->dns[0] == '\0' ||
        o->zone == NULL || o->zone[0] == '\0') {
        log_text(NULL, "missing flag: -device, -dns and -zone are all required");
        return EXIT_SETUP;
    }
    if (!split_host_port(o->dns, &a->server)) {
        log_text(NULL, "invalid -dns \"%s\": expected HOST:PORT, or [ADDRESS]:PORT for IPv6",
                 o->dns);
        return EXIT_SETUP;
    }
    if (dns_name_from_text(&a->zone, o->zone, strlen(o->zone)) != OK) {
        log_text(NULL, "invalid -zone \"%s\": not a domain name", o->zone);
        return EXIT_SETUP;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct agent agent = {0};
    int status = parse_options(&agent.options, argc, argv);
    if (status >= 0)
        return status;
    status = check_options(&agent);
    if (status != 0)
        return status;
    /* Between two peers only: the one under way is finished, and waits at most its 5 seconds. */
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);

    wg_device_init(&agent.device);
    enum err error = wgctl_create(&agent.wg, getenv("WARREN_WG_SOCKET_DIR"));
    if (error != OK) {
        log_text(NULL, "could not start: %s", err_text(error));
        status = EXIT_SETUP;
    } else {
        status = run(&agent);
    }
    wg_device_fini(&agent.device);
    wgctl_destroy(agent.wg);
    return status;
}
