/* The reader of kernel messages, against messages made by hand. */
#include "wgctl/netlink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/wireguard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    FAMILY = 28,
    SEQUENCE = 7,
    ROOM = 1 << 16
};

/* --- Making messages. --- */

struct bytes {
    uint8_t data[ROOM];
    size_t size;
};

static void add(struct bytes *b, const void *data, size_t size)
{
    assert_true(size <= sizeof(b->data) - b->size);
    if (size > 0)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void pad(struct bytes *b)
{
    static const uint8_t zeros[4];
    add(b, zeros, -b->size & 3U);
}

static size_t message_start(struct bytes *b, uint16_t type, uint16_t flags)
{
    struct nlmsghdr header = {.nlmsg_type = type, .nlmsg_flags = flags, .nlmsg_seq = SEQUENCE};
    size_t at = b->size;
    add(b, &header, sizeof(header));
    return at;
}

static void message_end(struct bytes *b, size_t at)
{
    uint32_t size = (uint32_t)(b->size - at);
    memcpy(b->data + at, &size, sizeof(size));
    pad(b);
}

static size_t device_start(struct bytes *b, uint16_t flags)
{
    struct genlmsghdr header = {.cmd = WG_CMD_GET_DEVICE, .version = 1};
    size_t at = message_start(b, FAMILY, flags | NLM_F_MULTI);
    add(b, &header, sizeof(header));
    return at;
}

static void attribute(struct bytes *b, uint16_t type, const void *data, size_t size)
{
    struct nlattr header = {.nla_len = (uint16_t)(sizeof(header) + size), .nla_type = type};
    add(b, &header, sizeof(header));
    add(b, data, size);
    pad(b);
}

static size_t nest_start(struct bytes *b, uint16_t type)
{
    size_t at = b->size;
    attribute(b, type | NLA_F_NESTED, NULL, 0);
    return at;
}

static void nest_end(struct bytes *b, size_t at)
{
    uint16_t size = (uint16_t)(b->size - at);
    memcpy(b->data + at, &size, sizeof(size));
}

static void status(struct bytes *b, uint16_t type, uint16_t flags, int32_t error_number)
{
    size_t at = message_start(b, type, flags);
    add(b, &error_number, sizeof(error_number));
    message_end(b, at);
}

static void done(struct bytes *b)
{
    status(b, NLMSG_DONE, NLM_F_MULTI, 0);
}

static void allowed_ip(struct bytes *b, unsigned peer, unsigned index)
{
    uint16_t family = AF_INET;
    uint8_t address[4] = {10, (uint8_t)peer, (uint8_t)index, 0};
    uint8_t length = (uint8_t)(8 + index);
    size_t at = nest_start(b, 0);
    attribute(b, WGALLOWEDIP_A_CIDR_MASK, &length, sizeof(length));
    attribute(b, WGALLOWEDIP_A_FAMILY, &family, sizeof(family));
    attribute(b, WGALLOWEDIP_A_IPADDR, address, sizeof(address));
    nest_end(b, at);
}

static void allowed_ips(struct bytes *b, unsigned peer, unsigned from, unsigned to)
{
    size_t at = nest_start(b, WGPEER_A_ALLOWEDIPS);
    for (unsigned i = from; i < to; i++)
        allowed_ip(b, peer, i);
    nest_end(b, at);
}

static void public_key(struct bytes *b, unsigned peer)
{
    uint8_t key[KEY_SIZE] = {(uint8_t)peer, 0xaa};
    attribute(b, WGPEER_A_PUBLIC_KEY, key, sizeof(key));
}

/* What the kernel sends once per peer, in its order, padding before 64-bit values included. */
static void peer_attributes(struct bytes *b, unsigned peer)
{
    uint8_t no_psk[KEY_SIZE] = {0};
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)(1000 + peer)),
                             .sin_addr.s_addr = htonl(0xc0000200 + peer)};
    int64_t time[2] = {1700000000 + peer, 5};
    uint64_t counter = 100 * peer;
    uint16_t keepalive = 25;
    uint32_t version = 1;
    attribute(b, WGPEER_A_PRESHARED_KEY, no_psk, sizeof(no_psk));
    attribute(b, WGPEER_A_LAST_HANDSHAKE_TIME, time, sizeof(time));
    attribute(b, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, &keepalive, sizeof(keepalive));
    attribute(b, WGPEER_A_UNSPEC, NULL, 0);
    attribute(b, WGPEER_A_TX_BYTES, &counter, sizeof(counter));
    attribute(b, WGPEER_A_UNSPEC, &version, sizeof(version));
    attribute(b, WGPEER_A_RX_BYTES, &counter, sizeof(counter));
    attribute(b, WGPEER_A_PROTOCOL_VERSION, &version, sizeof(version));
    attribute(b, WGPEER_A_ENDPOINT, &sa, sizeof(sa));
}

static void device_attributes(struct bytes *b)
{
    uint16_t port = 51820;
    uint32_t number = 9;
    uint8_t key[KEY_SIZE] = {99};
    attribute(b, WGDEVICE_A_LISTEN_PORT, &port, sizeof(port));
    attribute(b, WGDEVICE_A_FWMARK, &number, sizeof(number));
    attribute(b, WGDEVICE_A_IFINDEX, &number, sizeof(number));
    attribute(b, WGDEVICE_A_IFNAME, "wg0", 4);
    attribute(b, WGDEVICE_A_PRIVATE_KEY, key, sizeof(key));
    attribute(b, WGDEVICE_A_PUBLIC_KEY, key, sizeof(key));
}

/* --- Reading them. --- */

enum {
    PEERS = 3,
    IPS = 4
};

static struct bytes b; /* too large for a stack */
static struct failure why;

static enum err feed(struct wg_device *device, const void *data, size_t size, bool *is_done)
{
    struct netlink_dump dump;
    /* An exact-size copy, so that a sanitizer sees a read past the end. */
    uint8_t *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, data, size);
    wg_device_clear(device);
    netlink_dump_init(&dump, device, &why, FAMILY, SEQUENCE);
    enum err error = netlink_dump_feed(&dump, exact, size);
    free(exact);
    if (is_done != NULL)
        *is_done = dump.done;
    return error;
}

static enum err feed_b(void)
{
    struct wg_device device;
    wg_device_init(&device);
    enum err error = feed(&device, b.data, b.size, NULL);
    wg_device_fini(&device);
    return error;
}

static void assert_sample(const struct wg_device *d)
{
    assert_int_equal(d->listen_port, 51820);
    assert_int_equal(d->fwmark, 9);
    assert_int_equal(d->ifindex, 9);
    assert_string_equal(d->name, "wg0");
    assert_true(d->has_public_key);
    assert_int_equal(d->public_key[0], 99);
    assert_int_equal(d->peer_count, PEERS);
    assert_int_equal(d->allowed_ip_count, PEERS * IPS);
    for (unsigned i = 0; i < PEERS; i++) {
        const struct wg_peer *p = &d->peers[i];
        assert_int_equal(p->public_key[0], i);
        assert_int_equal(p->endpoint.port, 1000 + i);
        assert_int_equal(p->endpoint.addr.bytes[3], i);
        assert_int_equal(p->last_handshake_sec, 1700000000 + i);
        assert_int_equal(p->last_handshake_nsec, 5);
        assert_int_equal(p->tx_bytes, 100 * i);
        assert_int_equal(p->rx_bytes, 100 * i);
        assert_int_equal(p->persistent_keepalive, 25);
        assert_false(p->has_preshared_key);
        assert_int_equal(p->allowed_ip_count, IPS);
        for (unsigned k = 0; k < IPS; k++) {
            const struct ip_prefix *ip = &d->allowed_ips[p->allowed_ip_start + k];
            assert_int_equal(ip->addr.bytes[1], i);
            assert_int_equal(ip->addr.bytes[2], k);
            assert_int_equal(ip->length, 8 + k);
        }
    }
}

/* The sample, cut after peer CUT_PEER's first CUT_IP allowed IPs; as the kernel does it, the rest
 * comes in a message that repeats the device while it is still at the first peer. */
static void sample_cut_at(unsigned cut_peer, unsigned cut_ip)
{
    b.size = 0;
    size_t message = device_start(&b, 0);
    device_attributes(&b);
    size_t peers = nest_start(&b, WGDEVICE_A_PEERS);
    for (unsigned i = 0; i < PEERS; i++) {
        size_t peer = nest_start(&b, 0);
        public_key(&b, i);
        peer_attributes(&b, i);
        allowed_ips(&b, i, 0, i == cut_peer ? cut_ip : IPS);
        nest_end(&b, peer);
        if (i != cut_peer)
            continue;
        nest_end(&b, peers);
        message_end(&b, message);
        message = device_start(&b, 0);
        if (i == 0)
            device_attributes(&b);
        peers = nest_start(&b, WGDEVICE_A_PEERS);
        peer = nest_start(&b, 0);
        public_key(&b, i);
        allowed_ips(&b, i, cut_ip, IPS);
        nest_end(&b, peer);
    }
    nest_end(&b, peers);
    message_end(&b, message);
    done(&b);
}

static void sample(void)
{
    sample_cut_at(PEERS, 0);
}

static void reads_a_whole_dump(void **state)
{
    (void)state;
    struct wg_device d;
    bool is_done = false;
    wg_device_init(&d);
    sample();
    assert_int_equal(feed(&d, b.data, b.size, &is_done), OK);
    assert_true(is_done);
    assert_sample(&d);
    wg_device_fini(&d);
}

static void a_peer_continues_in_the_next_message_wherever_it_is_cut(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    for (unsigned peer = 0; peer < PEERS; peer++)
        for (unsigned ip = 0; ip <= IPS; ip++) {
            sample_cut_at(peer, ip);
            assert_int_equal(feed(&d, b.data, b.size, NULL), OK);
            assert_sample(&d);
        }
    wg_device_fini(&d);
}

static void a_peer_may_be_cut_between_any_two_attributes(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    struct bytes *parts = malloc(sizeof(*parts));
    assert_non_null(parts);
    parts->size = 0;
    peer_attributes(parts, 1);
    for (size_t cut = 0; cut <= parts->size;) {
        b.size = 0;
        for (unsigned half = 0; half < 2; half++) {
            size_t message = device_start(&b, 0);
            size_t peers = nest_start(&b, WGDEVICE_A_PEERS);
            size_t peer = nest_start(&b, 0);
            public_key(&b, 1);
            if (half == 0)
                add(&b, parts->data, cut);
            else
                add(&b, parts->data + cut, parts->size - cut);
            nest_end(&b, peer);
            nest_end(&b, peers);
            message_end(&b, message);
        }
        done(&b);
        assert_int_equal(feed(&d, b.data, b.size, NULL), OK);
        assert_int_equal(d.peer_count, 1);
        assert_int_equal(d.peers[0].endpoint.port, 1001);
        assert_int_equal(d.peers[0].rx_bytes, 100);
        assert_int_equal(d.peers[0].persistent_keepalive, 25);
        if (cut == parts->size)
            break;
        uint16_t size;
        memcpy(&size, parts->data + cut, sizeof(size));
        cut += (size + 3U) & ~(size_t)3;
    }
    free(parts);
    wg_device_fini(&d);
}

static void equal_keys_that_are_not_consecutive_are_two_peers(void **state)
{
    (void)state;
    static const unsigned keys[] = {1, 2, 1};
    struct wg_device d;
    wg_device_init(&d);
    b.size = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t message = device_start(&b, 0);
        size_t peers = nest_start(&b, WGDEVICE_A_PEERS);
        size_t peer = nest_start(&b, 0);
        public_key(&b, keys[i]);
        nest_end(&b, peer);
        nest_end(&b, peers);
        message_end(&b, message);
    }
    assert_int_equal(feed(&d, b.data, b.size, NULL), OK);
    assert_int_equal(d.peer_count, 3);
    wg_device_fini(&d);
}

static void a_datagram_cut_at_any_byte_is_malformed_or_unfinished(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    sample();
    for (size_t size = 0; size < b.size; size++) {
        bool is_done = true;
        enum err error = feed(&d, b.data, size, &is_done);
        assert_true(error == ERR_MALFORMED || error == OK);
        assert_false(is_done);
    }
    wg_device_fini(&d);
}

static void every_length_field_is_checked(void **state)
{
    (void)state;
    static const uint8_t values[] = {0, 1, 3, 4, 0x7f, 0x80, 0xff};
    struct wg_device d;
    wg_device_init(&d);
    sample_cut_at(1, 2);
    /* Not knowing which bytes are lengths, change each: none may lead outside the datagram. */
    for (size_t i = 0; i < b.size; i++) {
        uint8_t kept = b.data[i];
        for (size_t k = 0; k < ARRAY_COUNT(values); k++) {
            b.data[i] = values[k];
            (void)!feed(&d, b.data, b.size, NULL);
        }
        b.data[i] = kept;
    }
    wg_device_fini(&d);
}

static void a_message_length_above_2_to_the_31_is_malformed(void **state)
{
    (void)state;
    sample();
    uint32_t size = 0x80000010;
    memcpy(b.data, &size, sizeof(size));
    assert_int_equal(feed_b(), ERR_MALFORMED);
}

static void an_interrupted_dump_is_told_apart(void **state)
{
    (void)state;
    for (unsigned where = 0; where < 3; where++) {
        b.size = 0;
        for (unsigned i = 0; i < 2; i++) {
            size_t message = device_start(&b, where == i ? NLM_F_DUMP_INTR : 0);
            device_attributes(&b);
            message_end(&b, message);
        }
        status(&b, NLMSG_DONE, NLM_F_MULTI | (where == 2 ? NLM_F_DUMP_INTR : 0), 0);
        assert_int_equal(feed_b(), ERR_INTERRUPTED);
    }
}

static void the_errno_of_done_and_error_is_honoured(void **state)
{
    (void)state;
    static const struct {
        int error_number;
        enum err error;
    } cases[] = {{ENODEV, ERR_NO_DEVICE},
                 {EOPNOTSUPP, ERR_NOT_WIREGUARD},
                 {EPERM, ERR_PERMISSION},
                 {ENOMEM, ERR_NO_MEMORY},
                 {EIO, ERR_IO}};
    static const uint16_t types[] = {NLMSG_DONE, NLMSG_ERROR};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (size_t k = 0; k < ARRAY_COUNT(types); k++) {
            b.size = 0;
            status(&b, types[k], NLM_F_MULTI, -cases[i].error_number);
            enum err error = feed_b();
            assert_int_equal(error, cases[i].error);
            assert_true(strlen(why.text) > 0);
        }
}

static void a_status_message_without_its_status_is_malformed(void **state)
{
    (void)state;
    b.size = 0;
    message_end(&b, message_start(&b, NLMSG_DONE, NLM_F_MULTI));
    assert_int_equal(feed_b(), ERR_MALFORMED);
}

/* --- Sizes and values. --- */

/* A dump with one attribute of a device (peer false) or of a peer. */
static enum err feed_one(struct wg_device *d, bool peer, uint16_t type, const void *data,
                         size_t size)
{
    b.size = 0;
    size_t message = device_start(&b, 0);
    if (peer) {
        size_t peers = nest_start(&b, WGDEVICE_A_PEERS);
        size_t item = nest_start(&b, 0);
        if (type != WGPEER_A_PUBLIC_KEY)
            public_key(&b, 1);
        attribute(&b, type, data, size);
        nest_end(&b, item);
        nest_end(&b, peers);
    } else {
        attribute(&b, type, data, size);
    }
    message_end(&b, message);
    done(&b);
    return feed(d, b.data, b.size, NULL);
}

static void fixed_sizes_are_checked_exactly(void **state)
{
    (void)state;
    static const struct {
        bool peer;
        uint16_t type;
        size_t size;
    } cases[] = {
        {false, WGDEVICE_A_IFINDEX, 4},     {false, WGDEVICE_A_PUBLIC_KEY, 32},
        {false, WGDEVICE_A_LISTEN_PORT, 2}, {false, WGDEVICE_A_FWMARK, 4},
        {true, WGPEER_A_PUBLIC_KEY, 32},    {true, WGPEER_A_PRESHARED_KEY, 32},
        {true, WGPEER_A_RX_BYTES, 8},       {true, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, 2},
        {true, WGPEER_A_TX_BYTES, 8},       {true, WGPEER_A_LAST_HANDSHAKE_TIME, 16},
    };
    static const uint8_t data[64] = {1};
    struct wg_device d;
    wg_device_init(&d);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (size_t size = 0; size <= cases[i].size + 8; size++) {
            enum err want = size == cases[i].size ? OK : ERR_MALFORMED;
            assert_int_equal(feed_one(&d, cases[i].peer, cases[i].type, data, size), want);
        }
    wg_device_fini(&d);
}

static void an_endpoint_has_exactly_its_familys_size(void **state)
{
    (void)state;
    static const sa_family_t families[] = {AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, 0xffff};
    struct wg_device d;
    wg_device_init(&d);
    for (size_t i = 0; i < ARRAY_COUNT(families); i++)
        for (size_t size = 0; size <= 40; size++) {
            uint8_t sa[40] = {0};
            memcpy(sa, &families[i], sizeof(families[i]));
            bool fits =
                (families[i] == AF_INET && size == 16) || (families[i] == AF_INET6 && size == 28);
            assert_int_equal(feed_one(&d, true, WGPEER_A_ENDPOINT, sa, size),
                             fits ? OK : ERR_MALFORMED);
        }
    wg_device_fini(&d);
}

static void an_ipv6_endpoint_keeps_scope_and_mapping(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(4), .sin6_scope_id = 3};
    assert_int_equal(inet_pton(AF_INET6, "fe80::1", &sa.sin6_addr), 1);
    assert_int_equal(feed_one(&d, true, WGPEER_A_ENDPOINT, &sa, sizeof(sa)), OK);
    assert_int_equal(d.peers[0].endpoint.scope_id, 3);
    assert_int_equal(d.peers[0].endpoint.port, 4);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &sa.sin6_addr), 1);
    sa.sin6_scope_id = 0;
    assert_int_equal(feed_one(&d, true, WGPEER_A_ENDPOINT, &sa, sizeof(sa)), OK);
    assert_int_equal(d.peers[0].endpoint.addr.family, IP_V6);
    assert_memory_equal(d.peers[0].endpoint.addr.bytes, &sa.sin6_addr, 16);
    wg_device_fini(&d);
}

static void an_interface_name_ends_within_its_size(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    assert_int_equal(feed_one(&d, false, WGDEVICE_A_IFNAME, "wg0", 4), OK);
    assert_string_equal(d.name, "wg0");
    assert_int_equal(feed_one(&d, false, WGDEVICE_A_IFNAME, "wg0", 3), ERR_MALFORMED);
    assert_int_equal(feed_one(&d, false, WGDEVICE_A_IFNAME, "", 1), ERR_MALFORMED);
    assert_int_equal(feed_one(&d, false, WGDEVICE_A_IFNAME, "", 0), ERR_MALFORMED);
    assert_int_equal(feed_one(&d, false, WGDEVICE_A_IFNAME, "0123456789abcde", 16), OK);
    assert_int_equal(feed_one(&d, false, WGDEVICE_A_IFNAME, "0123456789abcdef", 17), ERR_MALFORMED);
    wg_device_fini(&d);
}

static void unknown_and_padding_attributes_are_ignored(void **state)
{
    (void)state;
    static const uint8_t data[8] = {1, 2, 3};
    struct wg_device d;
    wg_device_init(&d);
    for (size_t size = 0; size <= sizeof(data); size++) {
        assert_int_equal(feed_one(&d, false, WGDEVICE_A_UNSPEC, data, size), OK);
        assert_int_equal(feed_one(&d, false, 77, data, size), OK);
        assert_int_equal(feed_one(&d, true, WGPEER_A_UNSPEC, data, size), OK);
        assert_int_equal(feed_one(&d, true, 77, data, size), OK);
        assert_int_equal(d.peer_count, 1);
    }
    wg_device_fini(&d);
}

static void only_the_presence_of_a_preshared_key_is_kept(void **state)
{
    (void)state;
    uint8_t key[KEY_SIZE] = {0};
    struct wg_device d;
    wg_device_init(&d);
    assert_int_equal(feed_one(&d, true, WGPEER_A_PRESHARED_KEY, key, sizeof(key)), OK);
    assert_false(d.peers[0].has_preshared_key);
    key[31] = 1;
    assert_int_equal(feed_one(&d, true, WGPEER_A_PRESHARED_KEY, key, sizeof(key)), OK);
    assert_true(d.peers[0].has_preshared_key);
    wg_device_fini(&d);
}

static void a_peer_without_key_is_malformed(void **state)
{
    (void)state;
    b.size = 0;
    size_t message = device_start(&b, 0);
    size_t peers = nest_start(&b, WGDEVICE_A_PEERS);
    size_t peer = nest_start(&b, 0);
    peer_attributes(&b, 1);
    nest_end(&b, peer);
    nest_end(&b, peers);
    message_end(&b, message);
    assert_int_equal(feed_b(), ERR_MALFORMED);
}

/* FAMILY, ADDRESS_SIZE or LENGTH below 0: that attribute is missing. */
static enum err feed_allowed_ip(int family, int address_size, int length)
{
    static const uint8_t address[20] = {10};
    uint16_t family_value = (uint16_t)family;
    uint8_t length_value = (uint8_t)length;
    b.size = 0;
    size_t message = device_start(&b, 0);
    size_t peers = nest_start(&b, WGDEVICE_A_PEERS);
    size_t peer = nest_start(&b, 0);
    public_key(&b, 1);
    size_t list = nest_start(&b, WGPEER_A_ALLOWEDIPS);
    size_t item = nest_start(&b, 0);
    if (address_size >= 0)
        attribute(&b, WGALLOWEDIP_A_IPADDR, address, (size_t)address_size);
    if (length >= 0)
        attribute(&b, WGALLOWEDIP_A_CIDR_MASK, &length_value, 1);
    if (family >= 0)
        attribute(&b, WGALLOWEDIP_A_FAMILY, &family_value, 2);
    attribute(&b, 4, &family_value, 2); /* WGALLOWEDIP_A_FLAGS of newer kernels */
    nest_end(&b, item);
    nest_end(&b, list);
    nest_end(&b, peer);
    nest_end(&b, peers);
    message_end(&b, message);
    return feed_b();
}

static void an_allowed_ip_is_whole_and_fits_its_family(void **state)
{
    (void)state;
    assert_int_equal(feed_allowed_ip(AF_INET, 4, 32), OK);
    assert_int_equal(feed_allowed_ip(AF_INET, 4, 0), OK);
    assert_int_equal(feed_allowed_ip(AF_INET6, 16, 128), OK);
    assert_int_equal(feed_allowed_ip(AF_INET, 4, 33), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_INET6, 16, 129), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_INET, 16, 32), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_INET6, 4, 32), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_INET, 3, 32), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_UNIX, 4, 32), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(-1, 4, 32), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_INET, -1, 32), ERR_MALFORMED);
    assert_int_equal(feed_allowed_ip(AF_INET, 4, -1), ERR_MALFORMED);
}

static void messages_with_another_sequence_are_skipped(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    b.size = 0;
    status(&b, NLMSG_ERROR, 0, -ENODEV);
    ((struct nlmsghdr *)(void *)b.data)->nlmsg_seq = SEQUENCE - 1;
    assert_int_equal(feed(&d, b.data, b.size, NULL), OK);
    wg_device_fini(&d);
}

static void a_message_of_another_family_is_malformed(void **state)
{
    (void)state;
    b.size = 0;
    size_t message = message_start(&b, FAMILY + 1, 0);
    message_end(&b, message);
    assert_int_equal(feed_b(), ERR_MALFORMED);
    b.size = 0;
    message_end(&b, message_start(&b, NLMSG_NOOP, 0));
    assert_int_equal(feed_b(), OK);
}

/* --- The control family and acknowledgements. --- */

static void the_family_number_is_found(void **state)
{
    (void)state;
    struct genlmsghdr header = {.cmd = CTRL_CMD_NEWFAMILY, .version = 2};
    uint16_t number = FAMILY, family = 0;
    b.size = 0;
    size_t message = message_start(&b, GENL_ID_CTRL, 0);
    add(&b, &header, sizeof(header));
    attribute(&b, CTRL_ATTR_FAMILY_NAME, "wireguard", 10);
    attribute(&b, CTRL_ATTR_FAMILY_ID, &number, sizeof(number));
    message_end(&b, message);
    assert_int_equal(netlink_family_parse(&family, &why, SEQUENCE, b.data, b.size), OK);
    assert_int_equal(family, FAMILY);
    assert_int_equal(netlink_family_parse(&family, &why, SEQUENCE + 1, b.data, b.size), OK);
    assert_int_equal(family, 0);
    for (size_t size = 1; size < b.size; size++)
        assert_int_equal(netlink_family_parse(&family, &why, SEQUENCE, b.data, size),
                         ERR_MALFORMED);
}

static void a_kernel_without_the_family_is_unsupported(void **state)
{
    (void)state;
    uint16_t family = 0;
    b.size = 0;
    status(&b, NLMSG_ERROR, 0, -ENOENT);
    assert_int_equal(netlink_family_parse(&family, &why, SEQUENCE, b.data, b.size),
                     ERR_UNSUPPORTED);
}

static void the_errno_of_an_acknowledgement_is_honoured(void **state)
{
    (void)state;
    bool is_done = true;
    b.size = 0;
    assert_int_equal(netlink_ack_parse(&is_done, &why, SEQUENCE, b.data, 0), OK);
    assert_false(is_done);
    status(&b, NLMSG_ERROR, 0, 0);
    assert_int_equal(netlink_ack_parse(&is_done, &why, SEQUENCE, b.data, b.size), OK);
    assert_true(is_done);
    b.size = 0;
    status(&b, NLMSG_ERROR, 0, -EPERM);
    assert_int_equal(netlink_ack_parse(&is_done, &why, SEQUENCE, b.data, b.size), ERR_PERMISSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_dump),
        cmocka_unit_test(a_peer_continues_in_the_next_message_wherever_it_is_cut),
        cmocka_unit_test(a_peer_may_be_cut_between_any_two_attributes),
        cmocka_unit_test(equal_keys_that_are_not_consecutive_are_two_peers),
        cmocka_unit_test(a_datagram_cut_at_any_byte_is_malformed_or_unfinished),
        cmocka_unit_test(every_length_field_is_checked),
        cmocka_unit_test(a_message_length_above_2_to_the_31_is_malformed),
        cmocka_unit_test(an_interrupted_dump_is_told_apart),
        cmocka_unit_test(the_errno_of_done_and_error_is_honoured),
        cmocka_unit_test(a_status_message_without_its_status_is_malformed),
        cmocka_unit_test(fixed_sizes_are_checked_exactly),
        cmocka_unit_test(an_endpoint_has_exactly_its_familys_size),
        cmocka_unit_test(an_ipv6_endpoint_keeps_scope_and_mapping),
        cmocka_unit_test(an_interface_name_ends_within_its_size),
        cmocka_unit_test(unknown_and_padding_attributes_are_ignored),
        cmocka_unit_test(only_the_presence_of_a_preshared_key_is_kept),
        cmocka_unit_test(a_peer_without_key_is_malformed),
        cmocka_unit_test(an_allowed_ip_is_whole_and_fits_its_family),
        cmocka_unit_test(messages_with_another_sequence_are_skipped),
        cmocka_unit_test(a_message_of_another_family_is_malformed),
        cmocka_unit_test(the_family_number_is_found),
        cmocka_unit_test(a_kernel_without_the_family_is_unsupported),
        cmocka_unit_test(the_errno_of_an_acknowledgement_is_honoured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
