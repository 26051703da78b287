#include "load.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define MAX_PIPELINE   256
#define REPLY_CAPACITY 65535

struct tcp_run {
    struct load *load;
    int fd;
    uint16_t next_id;
    bool measuring;
    bool answered[MAX_PIPELINE];
    const struct peer *peers[MAX_PIPELINE];
    uint8_t queries[MAX_PIPELINE][QUERY_CAPACITY];
    uint8_t out[MAX_PIPELINE * (QUERY_CAPACITY + 2)];
    uint8_t in[REPLY_CAPACITY];
};

static void connection_open(struct tcp_run *t)
{
    const struct load *l = t->load;
    struct timeval limit = {.tv_sec = 5};
    int on = 1;
    t->fd = socket(l->server.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (t->fd < 0 || connect(t->fd, (const struct sockaddr *)&l->server, l->server_size) != 0 ||
        setsockopt(t->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0 ||
        setsockopt(t->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
        err(2, "TCP connection");
}

static bool receive(struct tcp_run *t, uint8_t *data, size_t size)
{
    while (size != 0) {
        ssize_t got = recv(t->fd, data, size, 0);
        if (got <= 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        data += got;
        size -= (size_t)got;
    }
    return true;
}

static void send_round(struct tcp_run *t)
{
    struct load *l = t->load;
    size_t size = 0;
    for (unsigned i = 0; i < l->pipeline; i++) {
        t->answered[i] = false;
        t->peers[i] = load_next_peer(l);
        query_fill(&l->template, t->queries[i], (uint16_t)(t->next_id + i), t->peers[i]);
        t->out[size++] = (uint8_t)(l->template.size >> 8);
        t->out[size++] = (uint8_t)l->template.size;
        memcpy(t->out + size, t->queries[i], l->template.size);
        size += l->template.size;
    }
    if (send(t->fd, t->out, size, MSG_NOSIGNAL) != (ssize_t)size)
        warn("TCP send");
    l->stats.sent += l->pipeline;
}

/* One answer, in whatever order the server sends them; false when none comes. */
static bool take_answer(struct tcp_run *t)
{
    struct load *l = t->load;
    uint8_t prefix[2];
    if (!receive(t, prefix, sizeof prefix))
        return false;
    size_t size = (size_t)(prefix[0] << 8 | prefix[1]);
    if (!receive(t, t->in, size))
        return false;
    uint16_t id = size >= 2 ? (uint16_t)(t->in[0] << 8 | t->in[1]) : 0;
    unsigned index = (uint16_t)(id - t->next_id);
    if (size < 2 || index >= l->pipeline || t->answered[index]) {
        l->stats.stray++;
        return true;
    }
    t->answered[index] = true;
    load_judge(l, t->queries[index], t->peers[index], t->in, size);
    return true;
}

/* Returns false when the connection is of no more use. */
static bool round_trip(struct tcp_run *t)
{
    struct load *l = t->load;
    uint64_t start = now_ns(), answered = l->stats.answered;
    send_round(t);
    bool alive = true;
    while (alive && l->stats.answered - answered < l->pipeline)
        alive = take_answer(t);
    l->stats.lost += l->pipeline - (l->stats.answered - answered);
    if (t->measuring && alive) {
        stats_latency(&l->stats, now_ns() - start);
        l->rounds++;
    }
    t->next_id = (uint16_t)(t->next_id + l->pipeline);
    return alive;
}

void load_tcp(struct load *l)
{
    struct tcp_run *t = calloc(1, sizeof *t);
    if (t == NULL || l->pipeline > MAX_PIPELINE)
        err(2, "run");
    t->load = l;
    connection_open(t);
    uint64_t start = now_ns(), measure_start = 0;
    while (!t->measuring || now_ns() < measure_start + l->measure_ns) {
        if (!t->measuring && now_ns() >= start + l->warm_ns) {
            cpu_sample_take(&l->before, l->pids, l->pid_count);
            measure_start = now_ns();
            t->measuring = true;
        }
        if (!round_trip(t) || l->reconnect) {
            (void)close(t->fd);
            connection_open(t);
        }
    }
    l->measured_ns = now_ns() - measure_start;
    cpu_sample_take(&l->after, l->pids, l->pid_count);
    (void)close(t->fd);
    free(t);
}
