#include "wgctl/route.h"

#include "base/cursor.h"
#include "netlink_reader.h"
#include "route_answer.h"

#include <assert.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
    RECEIVE_SIZE = 8192,
    TIMEOUT_MS = 2000, /* the kernel answers at once */
    /* Questions in one message: their answers, of some 1 KB each as the kernel counts, wait in a
     * receive buffer of 200 KB. */
    MAX_QUESTIONS = 64,
    QUESTION_SIZE = 64,
};

struct wgctl_routes {
    struct mnl_socket *socket; /* NULL while closed */
    uint32_t sequence;
    struct ip_prefix *expected; /* sorted: what was asked for ahead */
    bool *elsewhere;            /* for each of them */
    size_t expected_count;
    uint8_t buffer[RECEIVE_SIZE];
};

/* --- Pure. --- */

/* What the kernel says of an address without a route: none at all, or one that refuses. */
static bool says_no_route(int32_t status)
{
    static const int errors[] = {ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, ESRCH};
    for (size_t i = 0; i < ARRAY_COUNT(errors); i++)
        if (status == -errors[i])
            return true;
    return false;
}

static enum err read_status(struct route_answer *out, const struct netlink_message *m)
{
    int32_t status;
    if (m->payload_size < sizeof(status))
        return ERR_MALFORMED;
    memcpy(&status, m->payload, sizeof(status));
    if (status != 0 && !says_no_route(status))
        return status < 0 && status > -4096 ? err_from_errno(-status) : ERR_MALFORMED;
    *out = (struct route_answer){.done = true};
    return OK;
}

static enum err read_route(struct route_answer *out, const struct netlink_message *m)
{
    struct rtmsg header;
    if (m->payload_size < sizeof(header))
        return ERR_MALFORMED;
    memcpy(&header, m->payload, sizeof(header));
    size_t start = NLMSG_ALIGN(sizeof(header));
    struct route_answer answer = {.done = true};
    struct reader r = reader_of(m->payload + start, m->payload_size - start);
    for (struct netlink_attribute a; netlink_attribute_next(&r, &a);) {
        if (a.type != RTA_OIF)
            continue;
        if (a.size != sizeof(answer.oif))
            return ERR_MALFORMED;
        memcpy(&answer.oif, a.data, sizeof(answer.oif));
    }
    if (r.failed)
        return ERR_MALFORMED;
    bool carries = header.rtm_type == RTN_UNICAST || header.rtm_type == RTN_LOCAL ||
                   header.rtm_type == RTN_BROADCAST || header.rtm_type == RTN_ANYCAST ||
                   header.rtm_type == RTN_MULTICAST;
    answer.is_local = header.rtm_type == RTN_LOCAL;
    answer.has_route = carries && header.rtm_dst_len > 0;
    *out = answer;
    return OK;
}

enum err route_answer_parse(struct route_answer *out, uint32_t sequence, const void *data,
                            size_t size)
{
    struct reader r = reader_of(data, size);
    *out = (struct route_answer){.done = false};
    for (struct netlink_message m; !out->done && netlink_message_next(&r, &m);) {
        enum err error = OK;
        if (m.sequence != sequence)
            continue;
        if (m.type == NLMSG_ERROR)
            error = read_status(out, &m);
        else if (m.type == RTM_NEWROUTE)
            error = read_route(out, &m);
        if (error != OK)
            return error;
    }
    return r.failed ? ERR_MALFORMED : OK;
}

/* --- The socket. --- */

enum err wgctl_routes_create(struct wgctl_routes **out)
{
    struct wgctl_routes *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NO_MEMORY;
    *out = r;
    return OK;
}

static void routes_close(struct wgctl_routes *r)
{
    if (r->socket != NULL)
        (void)mnl_socket_close(r->socket);
    r->socket = NULL;
}

void wgctl_routes_destroy(struct wgctl_routes *r)
{
    if (r == NULL)
        return;
    routes_close(r);
    free(r->expected);
    free(r->elsewhere);
    free(r);
}

static enum err routes_open(struct wgctl_routes *r)
{
    if (r->socket != NULL)
        return OK;
    r->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    struct timeval timeout = {.tv_sec = TIMEOUT_MS / 1000};
    if (r->socket == NULL ||
        setsockopt(mnl_socket_get_fd(r->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
                   sizeof(timeout)) != 0 ||
        mnl_socket_bind(r->socket, 0, MNL_SOCKET_AUTOPID) != 0)
        return err_from_errno(errno);
    return OK;
}

static size_t write_question(struct wgctl_routes *r, void *at, const struct ip_addr *addr)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(at);
    message->nlmsg_type = RTM_GETROUTE;
    message->nlmsg_flags = NLM_F_REQUEST;
    message->nlmsg_seq = ++r->sequence;
    struct rtmsg *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
    header->rtm_family = addr->family == IP_V4 ? AF_INET : AF_INET6;
    header->rtm_dst_len = (uint8_t)(ip_addr_size(addr) * 8);
    /* The route of the table, whose length tells a default route, and not the resolved one. */
    header->rtm_flags = RTM_F_FIB_MATCH;
    mnl_attr_put(message, RTA_DST, ip_addr_size(addr), addr->bytes);
    assert(message->nlmsg_len <= QUESTION_SIZE);
    return NLMSG_ALIGN(message->nlmsg_len);
}

static enum err send_questions(struct wgctl_routes *r, const struct ip_prefix *prefixes,
                               size_t count)
{
    uint8_t request[MAX_QUESTIONS * QUESTION_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    size_t size = 0;
    assert(count <= MAX_QUESTIONS);
    for (size_t i = 0; i < count; i++)
        size += write_question(r, request + size, &prefixes[i].addr);
    return mnl_socket_sendto(r->socket, request, size) < 0 ? err_from_errno(errno) : OK;
}

/* The answer to the question SEQUENCE; the kernel answers in the order of the questions. */
static enum err receive_answer(struct wgctl_routes *r, uint32_t sequence, struct route_answer *out)
{
    enum err error = OK;
    *out = (struct route_answer){.done = false};
    while (error == OK && !out->done) {
        ssize_t size = mnl_socket_recvfrom(r->socket, r->buffer, sizeof(r->buffer));
        if (size < 0 && errno == EINTR)
            continue;
        error = size < 0 ? err_from_errno(errno)
                         : route_answer_parse(out, sequence, r->buffer, (size_t)size);
    }
    return error;
}

static bool is_elsewhere(const struct route_answer *answer, unsigned ifindex,
                         const struct ip_prefix *prefix)
{
    /* An address of this machine belongs to no peer, not even if it is the device's. */
    bool is_address = prefix->length == ip_addr_size(&prefix->addr) * 8;
    return answer->has_route && ((answer->is_local && is_address) || answer->oif != ifindex);
}

/* COUNT is at most MAX_QUESTIONS. Those without an answer are elsewhere. */
static void ask(struct wgctl_routes *r, unsigned ifindex, const struct ip_prefix *prefixes,
                size_t count, bool *elsewhere)
{
    enum err error = routes_open(r);
    uint32_t sequence = r->sequence;
    if (error == OK)
        error = send_questions(r, prefixes, count);
    for (size_t i = 0; i < count; i++) {
        struct route_answer answer;
        if (error == OK)
            error = receive_answer(r, ++sequence, &answer);
        elsewhere[i] = error != OK || is_elsewhere(&answer, ifindex, &prefixes[i]);
    }
    if (error != OK)
        routes_close(r);
}

static int compare_prefixes(const void *a, const void *b)
{
    _Static_assert(sizeof(struct ip_prefix) == 18, "memcmp needs a prefix without padding");
    return memcmp(a, b, sizeof(struct ip_prefix));
}

static void forget(struct wgctl_routes *r)
{
    free(r->expected);
    free(r->elsewhere);
    r->expected = NULL;
    r->elsewhere = NULL;
    r->expected_count = 0;
}

void wgctl_routes_expect(struct wgctl_routes *r, const char *device,
                         const struct ip_prefix *prefixes, size_t count)
{
    forget(r);
    if (count == 0)
        return;
    r->expected = calloc(count, sizeof(*r->expected));
    r->elsewhere = calloc(count, sizeof(*r->elsewhere));
    if (r->expected == NULL || r->elsewhere == NULL) {
        forget(r); /* each is asked for by itself then */
        return;
    }
    r->expected_count = count;
    memcpy(r->expected, prefixes, count * sizeof(*prefixes));
    qsort(r->expected, count, sizeof(*r->expected), compare_prefixes);
    unsigned ifindex = if_nametoindex(device);
    for (size_t at = 0; at < count; at += MAX_QUESTIONS) {
        size_t some = count - at < MAX_QUESTIONS ? count - at : MAX_QUESTIONS;
        ask(r, ifindex, r->expected + at, some, r->elsewhere + at);
    }
}

bool wgctl_routes_elsewhere(struct wgctl_routes *r, const char *device,
                            const struct ip_prefix *prefix)
{
    const struct ip_prefix *known = r->expected_count == 0
                                        ? NULL
                                        : bsearch(prefix, r->expected, r->expected_count,
                                                  sizeof(*r->expected), compare_prefixes);
    if (known != NULL)
        return r->elsewhere[known - r->expected];
    bool elsewhere;
    ask(r, if_nametoindex(device), prefix, 1, &elsewhere);
    return elsewhere;
}
