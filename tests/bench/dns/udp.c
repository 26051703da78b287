#include "load.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define BATCH          64
#define REPLY_CAPACITY 4200 /* more than any answer asked for: at most 4096 by EDNS */
#define LOST_NS        UINT64_C(2000000000)
#define SWEEP_NS       UINT64_C(100000000)
#define MAX_SOCKETS    64

struct slot {
    uint64_t sent_ns; /* 0: free */
    const struct peer *peer;
    uint16_t id; /* the slot's index in the low bits, a count of its uses above */
    uint8_t query[QUERY_CAPACITY];
};

struct client {
    int fd;
    struct slot *slots;
    uint16_t *free; /* stack of free slots */
    unsigned slot_count;
    unsigned free_count;
};

struct udp_run {
    struct load *load;
    struct client clients[MAX_SOCKETS];
    unsigned client_count;
    uint16_t index_mask;
    uint16_t generation_step;
    bool measuring;
    struct mmsghdr out[BATCH];
    struct iovec out_iov[BATCH];
    struct mmsghdr in[BATCH];
    struct iovec in_iov[BATCH];
    uint8_t replies[BATCH][REPLY_CAPACITY];
};

static void client_open(struct udp_run *u, struct client *c, unsigned slots)
{
    const struct load *l = u->load;
    c->fd = socket(l->server.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&l->server, l->server_size) != 0)
        err(2, "UDP socket");
    c->slots = calloc(slots, sizeof *c->slots);
    c->free = calloc(slots, sizeof *c->free);
    if (c->slots == NULL || c->free == NULL)
        err(2, "slots");
    c->slot_count = c->free_count = slots;
    for (unsigned i = 0; i < slots; i++) {
        c->free[i] = (uint16_t)i;
        c->slots[i].id = (uint16_t)i;
    }
}

static void run_init(struct udp_run *u, struct load *l)
{
    u->load = l;
    u->client_count = l->sockets;
    unsigned slots = l->window / l->sockets;
    unsigned bits = 0;
    while (1u << bits < slots)
        bits++;
    u->index_mask = (uint16_t)((1u << bits) - 1);
    u->generation_step = (uint16_t)(1u << bits);
    for (unsigned i = 0; i < u->client_count; i++)
        client_open(u, &u->clients[i], slots);
    for (unsigned i = 0; i < BATCH; i++) {
        u->out_iov[i].iov_len = l->template.size;
        u->out[i].msg_hdr = (struct msghdr){.msg_iov = &u->out_iov[i], .msg_iovlen = 1};
        u->in_iov[i] = (struct iovec){.iov_base = u->replies[i], .iov_len = REPLY_CAPACITY};
        u->in[i].msg_hdr = (struct msghdr){.msg_iov = &u->in_iov[i], .msg_iovlen = 1};
    }
}

static void run_fini(struct udp_run *u)
{
    for (unsigned i = 0; i < u->client_count; i++) {
        (void)close(u->clients[i].fd);
        free(u->clients[i].slots);
        free(u->clients[i].free);
    }
}

static void slot_release(struct client *c, struct slot *s)
{
    s->sent_ns = 0;
    c->free[c->free_count++] = (uint16_t)(s - c->slots);
}

/* Sends up to LIMIT queries, as many as have a free slot; returns how many. */
static unsigned client_send(struct udp_run *u, struct client *c, unsigned limit, uint64_t now)
{
    struct load *l = u->load;
    unsigned count = limit < BATCH ? limit : BATCH;
    if (count > c->free_count)
        count = c->free_count;
    if (count == 0)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        struct slot *s = &c->slots[c->free[c->free_count - 1 - i]];
        s->id = (uint16_t)(s->id + u->generation_step);
        s->peer = load_next_peer(l);
        query_fill(&l->template, s->query, s->id, s->peer);
        u->out_iov[i].iov_base = s->query;
    }
    int sent = sendmmsg(c->fd, u->out, count, 0);
    if (sent < 0) {
        /* ECONNREFUSED is the ICMP answer to an earlier datagram: those queries count as lost. */
        if (errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED)
            err(2, "sendmmsg");
        return 0;
    }
    for (int i = 0; i < sent; i++)
        c->slots[c->free[--c->free_count]].sent_ns = now;
    l->stats.sent += (unsigned)sent;
    return (unsigned)sent;
}

static void take_reply(struct udp_run *u, struct client *c, const uint8_t *reply, size_t size,
                       uint64_t now)
{
    struct load *l = u->load;
    uint16_t id = size >= 2 ? (uint16_t)(reply[0] << 8 | reply[1]) : 0;
    struct slot *s = &c->slots[id & u->index_mask];
    if (size < 2 || (unsigned)(id & u->index_mask) >= c->slot_count || s->sent_ns == 0 ||
        s->id != id) {
        l->stats.stray++;
        return;
    }
    load_judge(l, s->query, s->peer, reply, size);
    if (u->measuring)
        stats_latency(&l->stats, now - s->sent_ns);
    slot_release(c, s);
}

static unsigned client_receive(struct udp_run *u, struct client *c)
{
    int count = recvmmsg(c->fd, u->in, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0) {
        if (errno != EAGAIN && errno != ECONNREFUSED && errno != EINTR)
            err(2, "recvmmsg");
        return 0;
    }
    uint64_t now = now_ns();
    for (int i = 0; i < count; i++)
        take_reply(u, c, u->replies[i], u->in[i].msg_len, now);
    return (unsigned)count;
}

static unsigned sweep_lost(struct udp_run *u, uint64_t now)
{
    unsigned outstanding = 0;
    for (unsigned i = 0; i < u->client_count; i++) {
        struct client *c = &u->clients[i];
        for (unsigned j = 0; j < c->slot_count; j++) {
            struct slot *s = &c->slots[j];
            if (s->sent_ns != 0 && now > s->sent_ns + LOST_NS) {
                u->load->stats.lost++;
                slot_release(c, s);
            }
            outstanding += s->sent_ns != 0;
        }
    }
    return outstanding;
}

static void sleep_for_reply(struct udp_run *u)
{
    struct pollfd fds[MAX_SOCKETS];
    for (unsigned i = 0; i < u->client_count; i++)
        fds[i] = (struct pollfd){.fd = u->clients[i].fd, .events = POLLIN};
    (void)poll(fds, u->client_count, 100);
}

/* One turn over all sockets: take what came, send what is due. */
static void turn(struct udp_run *u, uint64_t start, uint64_t now)
{
    struct load *l = u->load;
    unsigned moved = 0;
    uint64_t due = UINT64_MAX;
    if (l->rate != 0)
        due = (uint64_t)((double)(now - start) * (double)l->rate / 1e9);
    for (unsigned i = 0; i < u->client_count; i++) {
        struct client *c = &u->clients[i];
        moved += client_receive(u, c);
        uint64_t behind = due > l->stats.sent ? due - l->stats.sent : 0;
        moved += client_send(u, c, behind < BATCH ? (unsigned)behind : BATCH, now_ns());
    }
    if (moved == 0 && l->wait)
        sleep_for_reply(u);
}

static void drain(struct udp_run *u)
{
    uint64_t end = now_ns() + LOST_NS + SWEEP_NS;
    while (sweep_lost(u, now_ns()) != 0 && now_ns() < end) {
        sleep_for_reply(u);
        for (unsigned i = 0; i < u->client_count; i++)
            while (client_receive(u, &u->clients[i]) != 0)
                continue;
    }
}

void load_udp(struct load *l)
{
    struct udp_run *u = calloc(1, sizeof *u);
    if (u == NULL)
        err(2, "run");
    run_init(u, l);
    uint64_t start = now_ns(), measure_start = 0, swept = start;
    for (uint64_t now = start; !u->measuring || now < measure_start + l->measure_ns;
         now = now_ns()) {
        if (!u->measuring && now >= start + l->warm_ns) {
            cpu_sample_take(&l->before, l->pids, l->pid_count);
            measure_start = now_ns();
            u->measuring = true;
        }
        turn(u, start, now);
        if (now > swept + SWEEP_NS) {
            (void)sweep_lost(u, now);
            swept = now;
        }
    }
    l->measured_ns = now_ns() - measure_start;
    cpu_sample_take(&l->after, l->pids, l->pid_count);
    u->measuring = false;
    drain(u);
    run_fini(u);
    free(u);
}
