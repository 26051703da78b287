/* The options of one run, and its transports. */
#ifndef WARREN_TESTS_BENCH_DNS_LOAD_H
#define WARREN_TESTS_BENCH_DNS_LOAD_H

#include "check.h"
#include "cpu.h"
#include "peers.h"
#include "stats.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define LOAD_MAX_PIDS 32

struct load {
    struct sockaddr_storage server;
    socklen_t server_size;
    struct peer_list peers;
    struct query_template template;
    bool echo;         /* the server sends back what it got: only id and question are checked */
    unsigned sockets;  /* UDP */
    unsigned window;   /* UDP: queries outstanding, all sockets together */
    uint64_t rate;     /* UDP: queries per second; 0: as many as the window lets through */
    bool wait;         /* UDP: sleep for an answer, as a client does, instead of polling for it */
    unsigned pipeline; /* TCP: queries written at once */
    bool reconnect;    /* TCP: a new connection for every round */
    uint64_t warm_ns;
    uint64_t measure_ns;

    pid_t pids[LOAD_MAX_PIDS]; /* the server's, whose CPU time is taken */
    size_t pid_count;

    struct stats stats;
    uint64_t measured_ns; /* the interval's real length */
    uint64_t rounds;      /* TCP */
    struct cpu_sample before;
    struct cpu_sample after;
    uint64_t random;
};

/* xorshift64*: which peer is next must cost nothing and repeat from run to run. */
static inline const struct peer *load_next_peer(struct load *l)
{
    l->random ^= l->random >> 12;
    l->random ^= l->random << 25;
    l->random ^= l->random >> 27;
    uint64_t r = l->random * UINT64_C(2685821657736338717) >> 32;
    return &l->peers.peers[r * l->peers.count >> 32];
}

/* Judges REPLY to QUERY and counts it. */
void load_judge(struct load *l, const uint8_t *query, const struct peer *peer, const uint8_t *reply,
                size_t reply_size);

/* Both run warm-up, interval and drain, and fill the results in. They exit on errors of their own
 * sockets; what the server does wrong is counted. */
void load_udp(struct load *l);
void load_tcp(struct load *l);

#endif
