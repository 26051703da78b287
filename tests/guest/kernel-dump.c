/* kernel-dump: a device full of peers, a writer that never rests, and a reader that catches it at
 * every torn value. Run by kernel-dump.sh where the kernel has WireGuard.
 *
 *   kernel-dump fill DEVICE PEERS IPS             peers of generation 0
 *   kernel-dump churn DEVICE PEERS IPS SECONDS    change after change, with short pauses
 *   kernel-dump check DEVICE PEERS IPS SECONDS    reads; status 1 for a torn peer or device
 *   kernel-dump set DEVICE KEY ENDPOINT           wgctl_set_peer_endpoint
 *   kernel-dump adopt DEVICE PEERS IPS N          a zone of peers after change N, by wgctl_plan
 *   kernel-dump expect DEVICE PEERS IPS N         what `wg show dump` has to say of them
 *   kernel-dump route DEVICE PREFIX               "elsewhere" or "free", by wgctl_routes
 *   kernel-dump capture DEVICE FILE               the raw datagrams of one dump (a fuzz seed)
 *
 * Change number n is one SET of one peer, chosen by a hash of n: its endpoint, keepalive and every
 * allowed IP are made from n, so a peer whose values disagree is torn. The kernel applies a SET
 * under a lock that a dump takes for each of its messages. A dump that was not interrupted is
 * therefore the device after some change N: each peer must have the number of its last change up to
 * N, and the reader checks that too. */
#include "base/encoding.h"
#include "wgctl/change.h"
#include "wgctl/device.h"
#include "wgctl/netlink.h"
#include "wgctl/plan.h"
#include "wgctl/route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_PEERS = 1 << 14, /* of the address scheme */
    MAX_IPS = 1000,      /* of one SET message */
    MESSAGE_SIZE = 60000,
    RECEIVE_SIZE = 32 * 1024,
    READD_EVERY = 16, /* every so many changes remove the peer and add it again, at the end */
    BURST_MAX = 40,   /* changes between two pauses */
    PAUSE_MAX_US = 150000,
};

static void die(const char *what)
{
    fprintf(stderr, "kernel-dump: %s: %s\n", what, strerror(errno));
    exit(2);
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- What peer and change number determine. --- */

static uint32_t hash(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352d;
    x ^= x >> 15;
    x *= 0x846ca68b;
    return x ^ x >> 16;
}

static uint32_t peer_of_change(uint32_t n, uint32_t peers)
{
    return hash(n) % peers;
}

static void key_of_peer(uint8_t key[static KEY_SIZE], uint32_t peer)
{
    memset(key, 0x5a, KEY_SIZE);
    memcpy(key, &peer, sizeof(peer));
}

static uint32_t peer_of_key(const uint8_t key[static KEY_SIZE])
{
    uint32_t peer;
    memcpy(&peer, key, sizeof(peer));
    return peer;
}

static uint16_t port_of(uint32_t n)
{
    return (uint16_t)(1 + n % 65000);
}

/* The first is 10.<peer><low bits of n>/32, the others fd00:<k>:<peer>:<n>/128. */
static void ip_of(struct ip_prefix *out, uint32_t peer, uint32_t n, uint32_t k)
{
    *out = (struct ip_prefix){0};
    uint32_t words[4] = {htonl(0xfd000000 | k), htonl(peer), 0, htonl(n)};
    if (k == 0) {
        words[0] = htonl(10U << 24 | peer << 10 | (n & 0x3ff));
        out->addr.family = IP_V4;
        out->length = 32;
        memcpy(out->addr.bytes, words, 4);
    } else {
        out->addr.family = IP_V6;
        out->length = 128;
        memcpy(out->addr.bytes, words, 16);
    }
}

/* --- Writing. --- */

struct link {
    struct mnl_socket *socket;
    uint16_t family;
    uint32_t sequence;
    uint8_t buffer[MESSAGE_SIZE + 4096] __attribute__((aligned(8)));
};

static struct nlmsghdr *start(struct link *l, uint16_t type, uint16_t flags, uint8_t command)
{
    struct nlmsghdr *message = mnl_nlmsg_put_header(l->buffer);
    message->nlmsg_type = type;
    message->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
    message->nlmsg_seq = ++l->sequence;
    struct genlmsghdr *header = mnl_nlmsg_put_extra_header(message, sizeof(*header));
    header->cmd = command;
    header->version = 1;
    return message;
}

static int on_family(const struct nlattr *attribute, void *context)
{
    if (mnl_attr_get_type(attribute) == CTRL_ATTR_FAMILY_ID)
        *(uint16_t *)context = mnl_attr_get_u16(attribute);
    return MNL_CB_OK;
}

static void link_open(struct link *l)
{
    l->socket = mnl_socket_open(NETLINK_GENERIC);
    if (l->socket == NULL || mnl_socket_bind(l->socket, 0, MNL_SOCKET_AUTOPID) != 0)
        die("netlink socket");
    struct nlmsghdr *message = start(l, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY);
    mnl_attr_put_strz(message, CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
    if (mnl_socket_sendto(l->socket, message, message->nlmsg_len) < 0 ||
        mnl_socket_recvfrom(l->socket, l->buffer, sizeof(l->buffer)) < 0)
        die("netlink family");
    message = (struct nlmsghdr *)(void *)l->buffer;
    if (mnl_attr_parse(message, sizeof(struct genlmsghdr), on_family, &l->family) < 0 ||
        l->family == 0)
        die("no family \"wireguard\"");
}

static void put_ips(struct nlmsghdr *message, uint32_t peer, uint32_t n, uint32_t ips)
{
    struct nlattr *list = mnl_attr_nest_start(message, WGPEER_A_ALLOWEDIPS);
    for (uint32_t k = 0; k < ips; k++) {
        struct ip_prefix ip;
        ip_of(&ip, peer, n, k);
        bool v4 = ip.addr.family == IP_V4;
        struct nlattr *item = mnl_attr_nest_start(message, 0);
        mnl_attr_put_u16(message, WGALLOWEDIP_A_FAMILY, v4 ? AF_INET : AF_INET6);
        mnl_attr_put(message, WGALLOWEDIP_A_IPADDR, v4 ? 4 : 16, ip.addr.bytes);
        mnl_attr_put_u8(message, WGALLOWEDIP_A_CIDR_MASK, ip.length);
        mnl_attr_nest_end(message, item);
    }
    mnl_attr_nest_end(message, list);
}

static void put_removal(struct nlmsghdr *message, uint32_t peer)
{
    uint8_t key[KEY_SIZE];
    key_of_peer(key, peer);
    struct nlattr *item = mnl_attr_nest_start(message, 0);
    mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, sizeof(key), key);
    mnl_attr_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_REMOVE_ME);
    mnl_attr_nest_end(message, item);
}

static void put_peer(struct nlmsghdr *message, uint32_t peer, uint32_t n, uint32_t ips)
{
    uint8_t key[KEY_SIZE];
    key_of_peer(key, peer);
    struct sockaddr_in endpoint = {.sin_family = AF_INET,
                                   .sin_port = htons(port_of(n)),
                                   .sin_addr.s_addr = htonl(0xc0000000 | n)};
    struct nlattr *item = mnl_attr_nest_start(message, 0);
    mnl_attr_put(message, WGPEER_A_PUBLIC_KEY, sizeof(key), key);
    mnl_attr_put_u32(message, WGPEER_A_FLAGS, WGPEER_F_REPLACE_ALLOWEDIPS);
    mnl_attr_put(message, WGPEER_A_ENDPOINT, sizeof(endpoint), &endpoint);
    mnl_attr_put_u16(message, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, port_of(n));
    put_ips(message, peer, n, ips);
    mnl_attr_nest_end(message, item);
}

static void send_set(struct link *l, struct nlmsghdr *message)
{
    uint8_t reply[4096];
    if (message->nlmsg_len > MESSAGE_SIZE) {
        errno = EMSGSIZE;
        die("SET");
    }
    if (mnl_socket_sendto(l->socket, message, message->nlmsg_len) < 0)
        die("sending a SET");
    ssize_t size = mnl_socket_recvfrom(l->socket, reply, sizeof(reply));
    if (size < 0 || mnl_cb_run(reply, (size_t)size, l->sequence, mnl_socket_get_portid(l->socket),
                               NULL, NULL) < 0)
        die("SET");
}

static void fill(struct link *l, const char *device, uint32_t peers, uint32_t ips)
{
    for (uint32_t peer = 0; peer < peers;) {
        struct nlmsghdr *message = start(l, l->family, NLM_F_ACK, WG_CMD_SET_DEVICE);
        mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, device);
        struct nlattr *list = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
        do
            put_peer(message, peer++, 0, ips);
        while (peer < peers && message->nlmsg_len + 200 + 48 * ips < MESSAGE_SIZE);
        mnl_attr_nest_end(message, list);
        send_set(l, message);
    }
}

static void churn(struct link *l, const char *device, uint32_t peers, uint32_t ips, double seconds)
{
    double end = now_s() + seconds;
    uint32_t n = 0;
    while (now_s() < end) {
        for (uint32_t burst = 1 + hash(~n) % BURST_MAX; burst > 0; burst--) {
            uint32_t peer = peer_of_change(++n, peers);
            struct nlmsghdr *message = start(l, l->family, NLM_F_ACK, WG_CMD_SET_DEVICE);
            mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, device);
            struct nlattr *list = mnl_attr_nest_start(message, WGDEVICE_A_PEERS);
            if (n % READD_EVERY == 0)
                put_removal(message, peer);
            put_peer(message, peer, n, ips);
            mnl_attr_nest_end(message, list);
            send_set(l, message);
        }
        long us = hash(n ^ 0x5555) % PAUSE_MAX_US;
        (void)nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
    }
    printf("churn: %" PRIu32 " changes\n", n);
}

/* --- Checking. --- */

struct checker {
    uint32_t peers;
    uint32_t ips;
    uint32_t known;     /* `expected` is the device after this many changes */
    uint32_t *expected; /* by peer: the number of its last change */
    uint32_t *seen;
};

static bool torn(const char *what, uint32_t peer, uint32_t n)
{
    fprintf(stderr, "kernel-dump: TORN: peer %" PRIu32 ", change %" PRIu32 ": %s\n", peer, n, what);
    return false;
}

/* Whether all of the peer's values come from one change; notes which. */
static bool check_peer(struct checker *c, const struct wg_device *d, const struct wg_peer *p)
{
    uint32_t peer = peer_of_key(p->public_key);
    uint32_t address;
    memcpy(&address, p->endpoint.addr.bytes, sizeof(address));
    uint32_t n = ntohl(address) & 0x00ffffff;
    uint8_t key[KEY_SIZE];
    key_of_peer(key, peer);
    if (peer >= c->peers || memcmp(key, p->public_key, sizeof(key)) != 0)
        return torn("unknown key", peer, n);
    if (c->seen[peer] != UINT32_MAX)
        return torn("the peer is there twice", peer, n);
    c->seen[peer] = n;
    if (p->endpoint.port != port_of(n) || p->persistent_keepalive != port_of(n))
        return torn("port or keepalive of another change", peer, n);
    if (p->allowed_ip_count != c->ips)
        return torn("allowed IPs are missing", peer, n);
    for (uint32_t k = 0; k < c->ips; k++) {
        struct ip_prefix want;
        ip_of(&want, peer, n, k);
        const struct ip_prefix *got = &d->allowed_ips[p->allowed_ip_start + k];
        if (!ip_addr_equal(&want.addr, &got->addr) || want.length != got->length)
            return torn("an allowed IP of another change", peer, n);
    }
    return true;
}

static bool check_device(struct checker *c, const struct wg_device *d)
{
    memset(c->seen, 0xff, c->peers * sizeof(*c->seen));
    if (d->peer_count != c->peers)
        return torn("peers are missing", (uint32_t)d->peer_count, 0);
    uint32_t last = 0;
    for (size_t i = 0; i < d->peer_count; i++) {
        if (!check_peer(c, d, &d->peers[i]))
            return false;
        uint32_t n = c->seen[peer_of_key(d->peers[i].public_key)];
        last = n > last ? n : last;
    }
    for (; c->known < last; c->known++)
        c->expected[peer_of_change(c->known + 1, c->peers)] = c->known + 1;
    if (last < c->known)
        return torn("the device went back in time", 0, last);
    for (uint32_t i = 0; i < c->peers; i++)
        if (c->seen[i] != c->expected[i])
            return torn("the device mixes two states", i, c->seen[i]);
    return true;
}

static int check(const char *device, uint32_t peers, uint32_t ips, double seconds)
{
    struct checker c = {.peers = peers,
                        .ips = ips,
                        .expected = calloc(peers, sizeof(*c.expected)),
                        .seen = calloc(peers, sizeof(*c.seen))};
    static uint8_t buffer[NETLINK_RECEIVE_SIZE];
    struct netlink n = {0};
    struct failure why;
    struct wg_device d;
    wg_device_init(&d);
    if (c.expected == NULL || c.seen == NULL)
        die("check");
    unsigned good = 0, given_up = 0, changed = 0;
    int status = 0;
    for (double end = now_s() + seconds; now_s() < end && status == 0;) {
        enum err error = netlink_read(&n, device, &d, buffer, &why);
        if (error == ERR_INTERRUPTED) {
            given_up++;
            continue;
        }
        uint32_t before = c.known;
        if (error != OK) {
            fprintf(stderr, "kernel-dump: %s (%s)\n", err_text(error), why.text);
            status = 1;
        } else if (!check_device(&c, &d)) {
            status = 1;
        }
        good++;
        changed += c.known != before;
        /* Not a whole core for the reader: the writer shares it in the guest. */
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    printf("check: %u whole reads, %u of them of a changed device; %" PRIu64
           " dumps interrupted and repeated, %u reads given up\n",
           good, changed, n.interruption_count, given_up);
    if (status == 0 && (changed < 3 || n.interruption_count < 3)) {
        fputs("kernel-dump: the writer and the reader hardly met\n", stderr);
        status = 1;
    }
    netlink_close(&n);
    wg_device_fini(&d);
    free(c.expected);
    free(c.seen);
    return status;
}

/* --- Setting an endpoint. --- */

static int set(const char *device, const char *key_text, const char *endpoint_text)
{
    uint8_t key[KEY_SIZE];
    struct ip_endpoint endpoint;
    struct wgctl *w;
    if (key_from_base64(key, key_text, strlen(key_text)) != OK ||
        ip_endpoint_parse(&endpoint, endpoint_text, strlen(endpoint_text)) != OK ||
        wgctl_create(&w, NULL) != OK)
        return 2;
    enum err error = wgctl_set_peer_endpoint(w, device, key, &endpoint);
    if (error != OK)
        fprintf(stderr, "kernel-dump: %s (%s)\n", err_text(error), wgctl_error(w));
    wgctl_destroy(w);
    return error == OK ? 0 : 1;
}

/* --- Adopting a zone. --- */

struct zone {
    struct plan_peer *peers;
    uint8_t (*keys)[KEY_SIZE];
    struct ip_prefix *ips;
    size_t count;
    struct wgctl_routes *routes;
    const char *device;
};

static void zone_make(struct zone *z, const char *device, uint32_t peers, uint32_t ips, uint32_t n)
{
    *z = (struct zone){.peers = calloc(peers, sizeof(*z->peers)),
                       .keys = calloc(peers, sizeof(*z->keys)),
                       .ips = calloc((size_t)peers * ips, sizeof(*z->ips)),
                       .count = peers,
                       .device = device};
    if (z->peers == NULL || z->keys == NULL || z->ips == NULL ||
        wgctl_routes_create(&z->routes) != OK)
        die("zone");
    for (uint32_t i = 0; i < peers; i++) {
        struct plan_peer *p = &z->peers[i];
        key_of_peer(z->keys[i], i);
        *p = (struct plan_peer){.key = z->keys[i],
                                .allowed_ips = &z->ips[(size_t)i * ips],
                                .allowed_ip_count = ips,
                                .keepalive_s = (uint16_t)(i % 3),
                                .has_keepalive = true};
        for (uint32_t k = 0; k < ips; k++)
            ip_of(&z->ips[(size_t)i * ips + k], i, n, k);
        if (i % 7 == 0)
            continue; /* published without an endpoint */
        uint32_t address = htonl(0xc0000000 | (i + n));
        p->endpoint =
            (struct ip_endpoint){.addr.family = i % 2 ? IP_V4 : IP_V6, .port = port_of(i)};
        memcpy(p->endpoint.addr.bytes, &address, sizeof(address));
        p->endpoint.addr.bytes[15] = (uint8_t)(i % 2 ? 0 : 1);
    }
}

static void zone_free(struct zone *z)
{
    wgctl_routes_destroy(z->routes);
    free(z->peers);
    free(z->keys);
    free(z->ips);
}

static bool zone_routed_elsewhere(void *context, const struct ip_prefix *prefix)
{
    struct zone *z = context;
    return wgctl_routes_elsewhere(z->routes, z->device, prefix);
}

static void zone_routes_expected(void *context, const struct ip_prefix *prefixes, size_t count)
{
    const struct zone *z = context;
    wgctl_routes_expect(z->routes, z->device, prefixes, count);
}

static bool zone_owned(void *context, const uint8_t *key)
{
    (void)context;
    return key[KEY_SIZE - 1] == 0x5a; /* every peer of ours */
}

static enum err adopt_once(struct wgctl *w, struct zone *z, struct plan *plan, struct arena *arena,
                           struct wg_device *d)
{
    enum err error = wgctl_read(w, z->device, d);
    struct plan_input input = {.device = d,
                               .peers = z->peers,
                               .peer_count = z->count,
                               .adopt = true,
                               .now_s = (int64_t)time(NULL),
                               .routed_elsewhere = zone_routed_elsewhere,
                               .routes_expected = zone_routes_expected,
                               .owned = zone_owned,
                               .context = z};
    if (error == OK)
        error = wgctl_plan(plan, &input, arena);
    if (error == OK)
        error = wgctl_change_peers(w, z->device, plan->changes, plan->change_count, NULL);
    if (error != OK)
        fprintf(stderr, "kernel-dump: %s (%s)\n", err_text(error), wgctl_error(w));
    return error;
}

static int adopt(const char *device, uint32_t peers, uint32_t ips, uint32_t n)
{
    struct zone z;
    struct wgctl *w;
    struct arena arena;
    struct wg_device d;
    struct plan plan = {0}, again = {0};
    zone_make(&z, device, peers, ips, n);
    wg_device_init(&d);
    arena_init(&arena, (size_t)1 << 30);
    if (wgctl_create(&w, NULL) != OK)
        die("adopt");
    double start_s = now_s();
    enum err error = adopt_once(w, &z, &plan, &arena, &d);
    double took_s = now_s() - start_s;
    size_t change_count = plan.change_count, refusal_count = plan.refusal_count;
    if (error == OK)
        error = adopt_once(w, &z, &again, &arena, &d);
    printf("%s: adopted: %zu changes, %zu refusals in %.3f s, then %zu changes\n", device,
           change_count, refusal_count, took_s, again.change_count);
    wgctl_destroy(w);
    arena_fini(&arena);
    wg_device_fini(&d);
    zone_free(&z);
    return error == OK && refusal_count == 0 && again.change_count == 0 ? 0 : 1;
}

static int expect(const char *device, uint32_t peers, uint32_t ips, uint32_t n)
{
    struct zone z;
    zone_make(&z, device, peers, ips, n);
    for (size_t i = 0; i < z.count; i++) {
        char key[KEY_BASE64_SIZE], text[IP_ENDPOINT_TEXT_SIZE] = "(none)";
        key_to_base64(key, z.keys[i]);
        if (z.peers[i].endpoint.addr.family != IP_NONE)
            (void)ip_endpoint_format(&z.peers[i].endpoint, text);
        printf("%.*s\t(none)\t%s\t", KEY_BASE64_SIZE, key, text);
        for (size_t k = 0; k < z.peers[i].allowed_ip_count; k++) {
            (void)ip_prefix_format(&z.peers[i].allowed_ips[k], text);
            printf("%s%s", k > 0 ? "," : "", text);
        }
        printf("\t0\t0\t0\t");
        if (z.peers[i].keepalive_s == 0)
            puts("off");
        else
            printf("%u\n", z.peers[i].keepalive_s);
    }
    zone_free(&z);
    return 0;
}

static int route(const char *device, const char *text)
{
    struct ip_prefix prefix;
    struct wgctl_routes *r;
    if (ip_prefix_parse(&prefix, text, strlen(text)) != OK || wgctl_routes_create(&r) != OK)
        return 2;
    puts(wgctl_routes_elsewhere(r, device, &prefix) ? "elsewhere" : "free");
    wgctl_routes_destroy(r);
    return 0;
}

/* --- A seed for the fuzzer. --- */

static int capture(struct link *l, const char *device, const char *path)
{
    FILE *f = fopen(path, "wb");
    struct nlmsghdr *message = start(l, l->family, NLM_F_DUMP, WG_CMD_GET_DEVICE);
    mnl_attr_put_strz(message, WGDEVICE_A_IFNAME, device);
    if (f == NULL || mnl_socket_sendto(l->socket, message, message->nlmsg_len) < 0)
        die(path);
    for (bool done = false; !done;) {
        ssize_t size = mnl_socket_recvfrom(l->socket, l->buffer, RECEIVE_SIZE);
        if (size < 0 || fwrite(l->buffer, 1, (size_t)size, f) != (size_t)size)
            die(path);
        int left = (int)size;
        for (message = (struct nlmsghdr *)(void *)l->buffer; mnl_nlmsg_ok(message, left);
             message = mnl_nlmsg_next(message, &left))
            done = done || message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR;
    }
    return fclose(f) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    static struct link l;
    const char *verb = argc > 2 ? argv[1] : "";
    uint32_t peers = argc > 4 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
    uint32_t ips = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
    double seconds = argc > 5 ? strtod(argv[5], NULL) : 0;
    bool numbers = peers > 0 && peers <= MAX_PEERS && ips > 0 && ips <= MAX_IPS;
    if (strcmp(verb, "check") == 0 && argc == 6 && numbers)
        return check(argv[2], peers, ips, seconds);
    if (strcmp(verb, "set") == 0 && argc == 5)
        return set(argv[2], argv[3], argv[4]);
    uint32_t n = argc == 6 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;
    if (strcmp(verb, "adopt") == 0 && argc == 6 && numbers)
        return adopt(argv[2], peers, ips, n);
    if (strcmp(verb, "expect") == 0 && argc == 6 && numbers)
        return expect(argv[2], peers, ips, n);
    if (strcmp(verb, "route") == 0 && argc == 4)
        return route(argv[2], argv[3]);
    link_open(&l);
    if (strcmp(verb, "fill") == 0 && argc == 5 && numbers)
        fill(&l, argv[2], peers, ips);
    else if (strcmp(verb, "churn") == 0 && argc == 6 && numbers)
        churn(&l, argv[2], peers, ips, seconds);
    else if (strcmp(verb, "capture") == 0 && argc == 4)
        return capture(&l, argv[2], argv[3]);
    else
        return 2;
    return 0;
}
