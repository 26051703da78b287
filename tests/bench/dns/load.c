/* The load generator of tests/bench/dns: see README.md there for what the numbers mean.
 *
 * Asks for random peers of a list, checks every answer against that list, and prints one JSON
 * object. Exit code 0 whatever the answers were (the counts say), 2 when it could not run. */
#include "load.h"

#include "base/dns_type.h"

#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] =
    "usage: load -s ADDRESS -p PORT -f PEERS -z ZONE [options]\n"
    "  -m saturate|rate|one|tcp|tcp-new  (saturate) what to do; tcp-new connects for every round\n"
    "  -n SOCKETS (8)  -w WINDOW (128)   queries outstanding over all sockets\n"
    "  -r RATE (20000)                   for rate, queries per second\n"
    "  -k QUERIES (10)                   for tcp, queries written at once\n"
    "  -d SECONDS (3)  -W SECONDS (1)    measured interval, warm-up before it\n"
    "  -t SRV|A|AAAA|TXT|PTR (SRV)  -e SIZE (no EDNS)  -l (names in lower case)\n"
    "  -E                                an echo server: check id and question only\n"
    "  -P PID                            the server's CPU time; repeat for each process\n";

void load_judge(struct load *l, const uint8_t *query, const struct peer *peer, const uint8_t *reply,
                size_t reply_size)
{
    enum verdict verdict;
    if (l->echo)
        verdict = reply_size >= l->template.question_end &&
                          memcmp(reply, query, l->template.question_end) == 0
                      ? ANSWER_GOOD
                      : ANSWER_BAD;
    else
        verdict = answer_check(&l->template, query, peer, reply, reply_size);
    stats_count(&l->stats, verdict, reply, reply_size);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value < min || value > max)
        errx(2, "%s: expected a number from %" PRIu64 " to %" PRIu64, text, min, max);
    return value;
}

static uint64_t nanoseconds(const char *text)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 3600))
        errx(2, "%s: expected seconds", text);
    return (uint64_t)(value * 1e9);
}

static uint16_t type_number(const char *name)
{
    static const struct {
        const char *name;
        uint16_t number;
    } types[] = {{"SRV", DNS_TYPE_SRV},
                 {"A", DNS_TYPE_A},
                 {"AAAA", DNS_TYPE_AAAA},
                 {"TXT", DNS_TYPE_TXT},
                 {"PTR", DNS_TYPE_PTR}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].number;
    errx(2, "%s: no such type\n%s", name, usage);
}

static void set_server(struct load *l, const char *address, uint16_t port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&l->server;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&l->server;
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        l->server_size = sizeof *v4;
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        l->server_size = sizeof *v6;
    } else {
        errx(2, "%s: not an address", address);
    }
}

struct arguments {
    const char *address, *port, *peers, *zone, *mode, *type;
    uint16_t edns_size;
    bool lower;
};

static void parse(struct load *l, struct arguments *a, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "s:p:f:z:m:n:w:r:k:d:W:t:e:lEP:")) != -1) {
        switch (option) {
        case 's':
            a->address = optarg;
            break;
        case 'p':
            a->port = optarg;
            break;
        case 'f':
            a->peers = optarg;
            break;
        case 'z':
            a->zone = optarg;
            break;
        case 'm':
            a->mode = optarg;
            break;
        case 'n':
            l->sockets = (unsigned)number(optarg, 1, 64);
            break;
        case 'w':
            l->window = (unsigned)number(optarg, 1, 8192);
            break;
        case 'r':
            l->rate = number(optarg, 1, 10000000);
            break;
        case 'k':
            l->pipeline = (unsigned)number(optarg, 1, 256);
            break;
        case 'd':
            l->measure_ns = nanoseconds(optarg);
            break;
        case 'W':
            l->warm_ns = nanoseconds(optarg);
            break;
        case 't':
            a->type = optarg;
            break;
        case 'e':
            a->edns_size = (uint16_t)number(optarg, 1, 65535);
            break;
        case 'l':
            a->lower = true;
            break;
        case 'E':
            l->echo = true;
            break;
        case 'P':
            if (l->pid_count == LOAD_MAX_PIDS)
                errx(2, "more than %d processes", LOAD_MAX_PIDS);
            l->pids[l->pid_count++] = (pid_t)number(optarg, 1, INT32_MAX);
            break;
        default:
            errx(2, "%s", usage);
        }
    }
    if (optind != argc || a->address == NULL || a->port == NULL || a->peers == NULL ||
        a->zone == NULL)
        errx(2, "%s", usage);
}

static void set_mode(struct load *l, const char *mode)
{
    if (strcmp(mode, "rate") != 0)
        l->rate = 0;
    if (strcmp(mode, "one") == 0) {
        l->sockets = l->window = 1;
        l->wait = true;
    } else if (strcmp(mode, "tcp-new") == 0) {
        l->reconnect = true;
    } else if (strcmp(mode, "saturate") != 0 && strcmp(mode, "rate") != 0 &&
               strcmp(mode, "tcp") != 0) {
        errx(2, "%s: no such mode\n%s", mode, usage);
    }
    if (l->window < l->sockets)
        errx(2, "a window of %u does not go over %u sockets", l->window, l->sockets);
}

static void report(const struct load *l)
{
    const struct stats *s = &l->stats;
    double seconds = (double)l->measured_ns / 1e9;
    uint64_t answers = l->rounds != 0 ? l->rounds * l->pipeline : s->measured;
    printf("{\"sent\":%" PRIu64 ",\"answered\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"bad\":%" PRIu64
           ",\"empty\":%" PRIu64 ",\"stray\":%" PRIu64,
           s->sent, s->answered, s->lost, s->bad, s->empty, s->stray);
    printf(",\"reply_bytes\":%.1f",
           s->answered != 0 ? (double)s->reply_bytes / (double)s->answered : 0.0);
    printf(",\"seconds\":%.4f,\"measured\":%" PRIu64 ",\"qps\":%.1f", seconds, answers,
           (double)answers / seconds);
    /* Over TCP the latency is that of a round: all the queries written at once. */
    printf(",\"p50_us\":%.2f,\"p99_us\":%.2f", (double)stats_percentile(s, 50) / 1e3,
           (double)stats_percentile(s, 99) / 1e3);
    if (l->pid_count != 0) {
        double kernel_share;
        printf(",\"cpu_by_thread_us\":{");
        uint64_t cpu_ns = cpu_report(&l->before, &l->after, answers, &kernel_share);
        printf("},\"cpu_us\":%.4f,\"busy\":%.4f,\"kernel_share\":%.3f",
               answers != 0 ? (double)cpu_ns / 1e3 / (double)answers : 0.0,
               (double)cpu_ns / (double)l->measured_ns, kernel_share);
    }
    if (s->failed_size != 0) {
        printf(",\"first_failed\":\"");
        for (size_t i = 0; i < s->failed_size; i++)
            printf("%02x", s->failed[i]);
        putchar('"');
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    static struct load load = {.sockets = 8,
                               .window = 128,
                               .rate = 20000,
                               .pipeline = 10,
                               .warm_ns = 1000000000,
                               .measure_ns = 3000000000,
                               .random = UINT64_C(0x9e3779b97f4a7c15)};
    struct arguments a = {.mode = "saturate", .type = "SRV"};
    parse(&load, &a, argc, argv);
    set_mode(&load, a.mode);
    set_server(&load, a.address, (uint16_t)number(a.port, 1, 65535));
    load.peers = peer_list_read(a.peers, !a.lower);
    query_template_init(&load.template, type_number(a.type), a.zone, a.edns_size);
    if (strncmp(a.mode, "tcp", 3) == 0)
        load_tcp(&load);
    else
        load_udp(&load);
    report(&load);
    free(load.peers.peers);
    return 0;
}
