#include "dnsd/udp.h"

#include "dnsd/rcu.h"

#include "base/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONTROL_SIZE = CMSG_SPACE(sizeof(struct in6_pktinfo))
};

/* One datagram of a batch: where it came from, where it was sent to, its bytes. */
struct packet {
    struct sockaddr_storage remote;
    alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
    uint8_t request[UDP_REQUEST_MAX_SIZE];
};

struct udp_worker {
    int fd;
    struct ip_endpoint bound;
    bool is_started;
    atomic_bool stopping;
    pthread_t thread;
    struct listener const *const *listener;

    struct query query;
    struct arena arena;
    struct packet packets[UDP_BATCH];
    struct mmsghdr in[UDP_BATCH];
    struct iovec in_iov[UDP_BATCH];
    struct mmsghdr out[UDP_BATCH];
    struct iovec out_iov[UDP_BATCH];
    unsigned out_count;
    size_t out_used;
    uint8_t out_buffer[UDP_OUT_BUFFER_SIZE];
};

/* --- opening ---------------------------------------------------------------------------------- */

static int set_option(int fd, int level, int name, int value)
{
    return setsockopt(fd, level, name, &value, sizeof(value));
}

static int open_socket(const struct ip_endpoint *endpoint, int family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    bool is_wildcard = endpoint->addr.family == IP_NONE;
    bool ok = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1) == 0;
    if (family == AF_INET6)
        ok = ok && set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_wildcard) == 0 &&
             set_option(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1) == 0;
    else
        ok = ok && set_option(fd, IPPROTO_IP, IP_PKTINFO, 1) == 0;
    struct sockaddr_storage sa;
    struct ip_endpoint at = *endpoint;
    if (is_wildcard)
        at.addr.family = family == AF_INET6 ? IP_V6 : IP_V4;
    socklen_t size = ip_endpoint_to_sockaddr(&at, &sa);
    if (!ok || bind(fd, (struct sockaddr *)&sa, size) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    /* A burst while a worker waits for its processor must not be lost; the kernel caps this. */
    (void)set_option(fd, SOL_SOCKET, SO_RCVBUF, UDP_RECEIVE_BUFFER_SIZE);
    return fd;
}

static void prepare_batch(struct udp_worker *w)
{
    for (size_t i = 0; i < UDP_BATCH; i++) {
        struct packet *p = &w->packets[i];
        w->in_iov[i] = (struct iovec){.iov_base = p->request, .iov_len = sizeof(p->request)};
        w->in[i].msg_hdr = (struct msghdr){.msg_name = &p->remote,
                                           .msg_iov = &w->in_iov[i],
                                           .msg_iovlen = 1,
                                           .msg_control = p->control};
    }
}

enum err udp_worker_open(struct udp_worker **out, const struct ip_endpoint *endpoint,
                         int *errno_out)
{
    struct udp_worker *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        *errno_out = ENOMEM;
        return ERR_NO_MEMORY;
    }
    bool is_v4 = endpoint->addr.family == IP_V4;
    w->fd = open_socket(endpoint, is_v4 ? AF_INET : AF_INET6);
    if (w->fd < 0 && endpoint->addr.family == IP_NONE &&
        (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
        w->fd = open_socket(endpoint, AF_INET);
    if (w->fd < 0) {
        *errno_out = errno;
        free(w);
        return err_from_errno(*errno_out);
    }
    w->bound = *endpoint;
    arena_init(&w->arena, SERVER_QUERY_ARENA_LIMIT);
    prepare_batch(w);
    *out = w;
    return OK;
}

/* --- answering -------------------------------------------------------------------------------- */

/* The address a datagram was sent to; the bound one if the kernel did not say. Clears the interface
 * index in the control message, so that it can be sent back as it is and still be routed freely
 * (only a link-local address needs its interface). */
static void local_address(const struct udp_worker *w, struct msghdr *header,
                          struct ip_endpoint *local)
{
    *local = w->bound;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(header); c != NULL; c = CMSG_NXTHDR(header, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = (struct in_pktinfo *)(void *)CMSG_DATA(c);
            local->addr = (struct ip_addr){.family = IP_V4};
            memcpy(local->addr.bytes, &info->ipi_addr, 4);
            info->ipi_spec_dst = info->ipi_addr;
            info->ipi_ifindex = 0;
            return;
        }
        if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo *info = (struct in6_pktinfo *)(void *)CMSG_DATA(c);
            local->addr = (struct ip_addr){.family = IP_V6};
            memcpy(local->addr.bytes, &info->ipi6_addr, 16);
            local->addr = ip_unmap(local->addr);
            if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                info->ipi6_ifindex = 0;
            return;
        }
    }
    header->msg_controllen = 0;
}

static void send_batch(struct udp_worker *w)
{
    unsigned sent = 0;
    while (sent < w->out_count) {
        int n = sendmmsg(w->fd, w->out + sent, w->out_count - sent, 0);
        if (n > 0) {
            sent += (unsigned)n;
        } else if (n == 0 || errno != EINTR) {
            sent++; /* this one cannot be sent (too long, no route): the client will ask again */
        }
    }
    w->out_count = 0;
    w->out_used = 0;
}

static void answer(struct udp_worker *w, const struct listener *listener, unsigned index)
{
    struct packet *p = &w->packets[index];
    struct msghdr *header = &w->in[index].msg_hdr;
    struct query *q = &w->query;
    q->proto = QUERY_UDP;
    if (ip_endpoint_from_sockaddr(&q->remote, (struct sockaddr *)&p->remote, header->msg_namelen) !=
        OK)
        return;
    q->remote.addr = ip_unmap(q->remote.addr);
    local_address(w, header, &q->local);
    q->listener = listener;
    q->arena = &w->arena;
    q->out = w->out_buffer + w->out_used;
    q->out_capacity = DNS_MAX_MESSAGE_SIZE;
    server_answer(q, p->request, w->in[index].msg_len);
    arena_reset(&w->arena);
    if (q->out_size == 0)
        return;
    w->out_iov[w->out_count] = (struct iovec){.iov_base = q->out, .iov_len = q->out_size};
    w->out[w->out_count].msg_hdr = (struct msghdr){
        .msg_name = &p->remote,
        .msg_namelen = header->msg_namelen,
        .msg_iov = &w->out_iov[w->out_count],
        .msg_iovlen = 1,
        .msg_control = header->msg_controllen > 0 ? p->control : NULL,
        .msg_controllen = header->msg_controllen,
    };
    w->out_count++;
    w->out_used += q->out_size;
}

/* Replies share one buffer, so that a batch of the usual small ones stays in the cache; when what
 * is left could not take the largest reply, those so far are sent first. */
static void answer_batch(struct udp_worker *w, unsigned count)
{
    unsigned next = 0;
    while (next < count) {
        rcu_read_lock();
        const struct listener *listener = rcu_dereference(*w->listener);
        while (next < count && sizeof(w->out_buffer) - w->out_used >= DNS_MAX_MESSAGE_SIZE)
            answer(w, listener, next++);
        rcu_read_unlock();
        send_batch(w);
    }
}

/* A lack of memory passes; without a pause the worker would spin meanwhile. */
static void pause_after_error(const struct udp_worker *w)
{
    const struct timespec pause = {.tv_nsec = UDP_ERROR_PAUSE_MS * 1000000};
    if (!atomic_load_explicit(&w->stopping, memory_order_acquire))
        nanosleep(&pause, NULL);
}

static void *run(void *argument)
{
    struct udp_worker *w = argument;
    rcu_register_thread();
    while (!atomic_load_explicit(&w->stopping, memory_order_acquire)) {
        for (size_t i = 0; i < UDP_BATCH; i++) {
            w->in[i].msg_hdr.msg_namelen = sizeof(w->packets[i].remote);
            w->in[i].msg_hdr.msg_controllen = CONTROL_SIZE;
        }
        int n = recvmmsg(w->fd, w->in, UDP_BATCH, MSG_WAITFORONE, NULL);
        if (n > 0) /* also when stopping: who was received is answered */
            answer_batch(w, (unsigned)n);
        else if (n < 0 && errno != EINTR && errno != EAGAIN)
            pause_after_error(w);
    }
    rcu_unregister_thread();
    return NULL;
}

enum err udp_worker_start(struct udp_worker *w, struct listener const *const *listener)
{
    w->listener = listener;
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0)
        return ERR_NO_MEMORY;
    pthread_attr_setstacksize(&attributes, UDP_THREAD_STACK_SIZE);
    /* Signals are the main thread's. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&w->thread, &attributes, run, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attributes);
    if (failed != 0)
        return ERR_LIMIT;
    w->is_started = true;
    return OK;
}

void udp_worker_destroy(struct udp_worker *w)
{
    if (w == NULL)
        return;
    if (w->is_started) {
        atomic_store_explicit(&w->stopping, true, memory_order_release);
        /* Fails with ENOTCONN on an unconnected socket, yet wakes its reader (Linux). */
        (void)shutdown(w->fd, SHUT_RDWR);
        pthread_join(w->thread, NULL);
    }
    close(w->fd);
    arena_fini(&w->arena);
    free(w);
}
