/* The floor: what receiving and sending datagrams costs, without any DNS.
 *
 * One thread, one wildcard socket, recvmmsg and sendmmsg of up to 64, the local address of each
 * datagram taken from IP_PKTINFO and given back with the reply: the least a server can do that
 * answers from the address it was asked at. Each reply is its query, followed by whatever the
 * buffer held up to SIZE bytes.
 *
 * usage: echo PORT SIZE [4|6]    6: a dual-stack IPv6 socket, as a server without `bind` has. */
#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH    64
#define CAPACITY 4096

struct message {
    uint8_t data[CAPACITY];
    struct sockaddr_storage peer;
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    } control;
};

static struct message messages[BATCH];
static struct mmsghdr headers[BATCH];
static struct iovec vectors[BATCH];

static int open_socket(uint16_t port, int family)
{
    int on = 1, off = 0, fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (fd < 0)
        err(2, "socket");
    if (family == AF_INET) {
        if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) != 0 ||
            bind(fd, (const struct sockaddr *)&v4, sizeof v4) != 0)
            err(2, "port %u", port);
    } else if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0 ||
               setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) != 0 ||
               bind(fd, (const struct sockaddr *)&v6, sizeof v6) != 0) {
        err(2, "port %u", port);
    }
    return fd;
}

static void prepare_receive(void)
{
    for (size_t i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = messages[i].data, .iov_len = CAPACITY};
        headers[i].msg_hdr = (struct msghdr){.msg_name = &messages[i].peer,
                                             .msg_namelen = sizeof messages[i].peer,
                                             .msg_iov = &vectors[i],
                                             .msg_iovlen = 1,
                                             .msg_control = &messages[i].control,
                                             .msg_controllen = sizeof messages[i].control};
    }
}

/* Turns what was received into what is sent: only the length changes, and of the packet information
 * the interface, which must be left to routing. */
static void prepare_send(size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        vectors[i].iov_len = size;
        struct cmsghdr *c = CMSG_FIRSTHDR(&headers[i].msg_hdr);
        if (c == NULL)
            continue;
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
            ((struct in_pktinfo *)(void *)CMSG_DATA(c))->ipi_ifindex = 0;
        else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
            ((struct in6_pktinfo *)(void *)CMSG_DATA(c))->ipi6_ifindex = 0;
    }
}

int main(int argc, char **argv)
{
    int port = argc > 2 ? atoi(argv[1]) : 0, size = argc > 2 ? atoi(argv[2]) : 0;
    if (port <= 0 || port > 65535 || size < 12 || size > CAPACITY)
        errx(2, "usage: echo PORT SIZE [4|6]");
    int fd = open_socket((uint16_t)port, argc > 3 && *argv[3] == '6' ? AF_INET6 : AF_INET);
    for (;;) {
        prepare_receive();
        int count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            err(2, "recvmmsg");
        prepare_send((size_t)count, (size_t)size);
        for (int sent = 0; sent < count;) {
            int n = sendmmsg(fd, headers + sent, (unsigned)(count - sent), 0);
            if (n <= 0)
                break; /* the rest is lost, which the client counts */
            sent += n;
        }
    }
}
