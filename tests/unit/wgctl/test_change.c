/* Changes of a device: how they are cut into messages, what a refusal names, and how they read as a
 * command line. The messages are applied to a naive device that knows what the flags mean. */
#include "wgctl/change.h"
#include "wgctl/netlink.h"
#include "wgctl/userspace.h"

#include "fake_uapi.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* libmnl's iterators. */
#pragma GCC diagnostic ignored "-Wconversion"

enum {
    MAX_PEERS = 64,
    MAX_IPS = 4000,
    FAMILY = 28,
};

/* --- A naive device. --- */

struct model_peer {
    uint8_t key[KEY_SIZE];
    struct ip_endpoint endpoint;
    uint16_t keepalive_s;
    size_t ip_count;
    struct ip_prefix ips[MAX_IPS];
};

struct model {
    size_t count;
    struct model_peer *peers[MAX_PEERS];
};

static void model_free(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->peers[i]);
    free(m);
}

static struct model *model_new(void)
{
    struct model *m = calloc(1, sizeof(*m));
    assert_non_null(m);
    return m;
}

static void model_remove(struct model *m, const uint8_t *key)
{
    for (size_t i = 0; i < m->count; i++) {
        if (memcmp(m->peers[i]->key, key, KEY_SIZE) != 0)
            continue;
        free(m->peers[i]);
        memmove(&m->peers[i], &m->peers[i + 1], (m->count - i - 1) * sizeof(m->peers[0]));
        m->count--;
        return;
    }
}

/* NULL for a peer that is not there and is not to be made. */
static struct model_peer *model_peer(struct model *m, const uint8_t *key, bool update_only)
{
    for (size_t i = 0; i < m->count; i++)
        if (memcmp(m->peers[i]->key, key, KEY_SIZE) == 0)
            return m->peers[i];
    if (update_only)
        return NULL;
    assert_true(m->count < MAX_PEERS);
    struct model_peer *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    memcpy(p->key, key, KEY_SIZE);
    return m->peers[m->count++] = p;
}

static void model_add_ip(struct model_peer *p, const struct ip_prefix *ip)
{
    for (size_t i = 0; i < p->ip_count; i++)
        if (p->ips[i].length == ip->length && ip_addr_equal(&p->ips[i].addr, &ip->addr))
            return;
    assert_true(p->ip_count < MAX_IPS);
    p->ips[p->ip_count++] = *ip;
}

static void assert_models_equal(const struct model *a, const struct model *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct model_peer *p = a->peers[i], *q = b->peers[i];
        assert_memory_equal(p->key, q->key, KEY_SIZE);
        assert_true(ip_endpoint_equal(&p->endpoint, &q->endpoint));
        assert_int_equal(p->keepalive_s, q->keepalive_s);
        assert_int_equal(p->ip_count, q->ip_count);
        assert_memory_equal(p->ips, q->ips, p->ip_count * sizeof(p->ips[0]));
    }
}

/* What the changes mean, said without any message. */
static void model_change(struct model *m, const struct wgctl_peer_change *change)
{
    if (change->remove) {
        model_remove(m, change->public_key);
        return;
    }
    struct model_peer *p = model_peer(m, change->public_key, change->update_only);
    if (p == NULL)
        return;
    if (change->has_endpoint)
        p->endpoint = change->endpoint;
    if (change->has_keepalive)
        p->keepalive_s = change->keepalive_s;
    if (change->replace_allowed_ips)
        p->ip_count = 0;
    for (size_t i = 0; i < change->allowed_ip_count; i++)
        model_add_ip(p, &change->allowed_ips[i]);
}

/* libmnl's loops over attributes cast const away, which clang sees. */
#pragma GCC diagnostic ignored "-Wcast-qual"

/* --- What the kernel does with a SET. --- */

static void apply_ip_attributes(struct model_peer *p, const struct nlattr *list)
{
    const struct nlattr *item, *a;
    mnl_attr_for_each_nested(item, list)
    {
        struct ip_prefix ip = {0};
        uint16_t family = 0;
        assert_true((item->nla_type & NLA_F_NESTED) != 0);
        mnl_attr_for_each_nested(a, item)
        {
            if (mnl_attr_get_type(a) == WGALLOWEDIP_A_FAMILY)
                family = mnl_attr_get_u16(a);
            else if (mnl_attr_get_type(a) == WGALLOWEDIP_A_CIDR_MASK)
                ip.length = mnl_attr_get_u8(a);
            else
                memcpy(ip.addr.bytes, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
        }
        ip.addr.family = family == AF_INET ? IP_V4 : IP_V6;
        model_add_ip(p, &ip);
    }
}

static void apply_peer_attributes(struct model *m, const struct nlattr *peer)
{
    const struct nlattr *a, *key = NULL, *endpoint = NULL, *keepalive = NULL, *ips = NULL;
    uint32_t flags = 0;
    assert_true((peer->nla_type & NLA_F_NESTED) != 0);
    mnl_attr_for_each_nested(a, peer)
    {
        switch (mnl_attr_get_type(a)) {
        case WGPEER_A_PUBLIC_KEY:
            key = a;
            break;
        case WGPEER_A_FLAGS:
            flags = mnl_attr_get_u32(a);
            break;
        case WGPEER_A_ENDPOINT:
            endpoint = a;
            break;
        case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
            keepalive = a;
            break;
        case WGPEER_A_ALLOWEDIPS:
            ips = a;
            break;
        default:
            fail();
        }
    }
    assert_non_null(key);
    assert_int_equal(mnl_attr_get_payload_len(key), KEY_SIZE);
    if ((flags & WGPEER_F_REMOVE_ME) != 0) {
        assert_true(endpoint == NULL && keepalive == NULL && ips == NULL);
        model_remove(m, mnl_attr_get_payload(key));
        return;
    }
    struct model_peer *p =
        model_peer(m, mnl_attr_get_payload(key), (flags & WGPEER_F_UPDATE_ONLY) != 0);
    if (p == NULL)
        return;
    if (endpoint != NULL)
        assert_int_equal(ip_endpoint_from_sockaddr(&p->endpoint, mnl_attr_get_payload(endpoint),
                                                   mnl_attr_get_payload_len(endpoint)),
                         OK);
    if (keepalive != NULL)
        p->keepalive_s = mnl_attr_get_u16(keepalive);
    if ((flags & WGPEER_F_REPLACE_ALLOWEDIPS) != 0)
        p->ip_count = 0;
    if (ips != NULL)
        apply_ip_attributes(p, ips);
}

static void apply_message(struct model *m, const void *data, size_t size)
{
    const struct nlmsghdr *message = data;
    const struct nlattr *a, *peer;
    size_t names = 0, lists = 0;
    assert_int_equal(message->nlmsg_len, size);
    assert_int_equal(message->nlmsg_type, FAMILY);
    assert_int_equal(message->nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
    mnl_attr_for_each(a, message, sizeof(struct genlmsghdr))
    {
        if (mnl_attr_get_type(a) == WGDEVICE_A_IFNAME) {
            assert_string_equal(mnl_attr_get_str(a), "wg0");
            names++;
            continue;
        }
        /* Nothing of the device itself is ever said. */
        assert_int_equal(mnl_attr_get_type(a), WGDEVICE_A_PEERS);
        lists++;
        mnl_attr_for_each_nested(peer, a) apply_peer_attributes(m, peer);
    }
    assert_int_equal(names, 1);
    assert_int_equal(lists, 1);
}

/* --- What a userspace device does with a text. --- */

static void apply_line(struct model *m, struct model_peer **peer, uint8_t *key, char *line)
{
    char *value = strchr(line, '=');
    assert_non_null(value);
    *value++ = '\0';
    if (strcmp(line, "public_key") == 0) {
        assert_int_equal(hex_decode(key, value, strlen(value)), OK);
        *peer = NULL;
    } else if (strcmp(line, "update_only") == 0) {
        *peer = model_peer(m, key, true);
        key[0] = *peer == NULL ? 0xff : key[0]; /* a dummy from here on */
    } else if (strcmp(line, "remove") == 0) {
        model_remove(m, key);
        key[0] = 0xff;
    } else {
        if (*peer == NULL)
            *peer = model_peer(m, key, key[0] == 0xff);
        struct model_peer *p = *peer;
        struct ip_prefix ip;
        if (p == NULL)
            return;
        if (strcmp(line, "endpoint") == 0)
            assert_int_equal(ip_endpoint_parse(&p->endpoint, value, strlen(value)), OK);
        else if (strcmp(line, "persistent_keepalive_interval") == 0)
            p->keepalive_s = (uint16_t)atoi(value);
        else if (strcmp(line, "replace_allowed_ips") == 0)
            p->ip_count = 0;
        else if (strcmp(line, "allowed_ip") == 0 &&
                 ip_prefix_parse(&ip, value, strlen(value)) == OK)
            model_add_ip(p, &ip);
        else
            fail_msg("line %s=%s", line, value);
    }
}

static void apply_text(struct model *m, const char *text, size_t size)
{
    struct model_peer *peer = NULL;
    uint8_t key[KEY_SIZE] = {0};
    char *copy = strndup(text, size);
    assert_non_null(copy);
    assert_int_equal(strlen(copy), size);
    assert_true(size > 8 && strncmp(copy, "set=1\n", 6) == 0);
    assert_string_equal(copy + size - 2, "\n\n");
    char *save = NULL;
    for (char *line = strtok_r(copy + 6, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save)) {
        char *end = strchr(line, '=');
        assert_non_null(end);
        /* A peer that only its key names is made by it. */
        if (strncmp(line, "public_key=", 11) == 0 && key[0] != 0xff && key[0] != 0)
            (void)(peer != NULL ? peer : model_peer(m, key, false));
        apply_line(m, &peer, key, line);
    }
    if (peer == NULL && key[0] != 0xff)
        (void)model_peer(m, key, false);
    free(copy);
}

/* --- Changes to cut. --- */

struct script {
    struct wgctl_peer_change changes[MAX_PEERS];
    size_t count;
    struct ip_prefix ips[MAX_IPS];
    size_t ip_count;
};

static struct wgctl_peer_change *script_add(struct script *s, unsigned peer, size_t ips)
{
    struct wgctl_peer_change *change = &s->changes[s->count++];
    *change =
        (struct wgctl_peer_change){.allowed_ips = &s->ips[s->ip_count], .allowed_ip_count = ips};
    memset(change->public_key, (int)peer, KEY_SIZE);
    for (size_t i = 0; i < ips; i++) {
        struct ip_prefix *ip = &s->ips[s->ip_count];
        bool v6 = s->ip_count % 3 == 0;
        *ip = (struct ip_prefix){.addr.family = v6 ? IP_V6 : IP_V4, .length = v6 ? 128 : 32};
        ip->addr.bytes[0] = v6 ? 0xfd : 10;
        ip->addr.bytes[2] = (uint8_t)(s->ip_count >> 8);
        ip->addr.bytes[3] = (uint8_t)s->ip_count;
        s->ip_count++;
    }
    return change;
}

static void set_endpoint(struct wgctl_peer_change *change, const char *text)
{
    change->has_endpoint = true;
    assert_int_equal(ip_endpoint_parse(&change->endpoint, text, strlen(text)), OK);
}

/* Every kind of change, IPS allowed IPs for the large one. */
static struct script *script_new(size_t ips)
{
    struct script *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    struct wgctl_peer_change *change = script_add(s, 1, 2);
    change->replace_allowed_ips = true;
    change = script_add(s, 2, ips);
    change->replace_allowed_ips = true;
    set_endpoint(change, "[2001:db8::7]:65535");
    change->has_keepalive = true;
    change->keepalive_s = 25;
    script_add(s, 3, 0); /* nothing but a key */
    change = script_add(s, 4, 3);
    change->update_only = true; /* is there */
    set_endpoint(change, "192.0.2.9:7");
    change = script_add(s, 5, ips / 2);
    change->update_only = true; /* is not there */
    change = script_add(s, 6, 0);
    change->replace_allowed_ips = true; /* by none */
    change->has_keepalive = true;       /* off */
    change = script_add(s, 7, 0);
    change->remove = true;
    change = script_add(s, 7, 1); /* and made again, at the end */
    change = script_add(s, 8, 5);
    set_endpoint(change, "192.0.2.1:1");
    return s;
}

static struct model *model_start(void)
{
    static const uint8_t peers[] = {2, 4, 6, 7};
    struct model *m = model_new();
    for (size_t i = 0; i < ARRAY_COUNT(peers); i++) {
        uint8_t key[KEY_SIZE];
        struct ip_prefix old = {.addr = {.family = IP_V4, .bytes = {172, 16, 0, peers[i]}},
                                .length = 32};
        memset(key, peers[i], sizeof(key));
        struct model_peer *p = model_peer(m, key, false);
        model_add_ip(p, &old);
        p->keepalive_s = 9;
    }
    return m;
}

static struct model *expected_after(const struct script *s)
{
    struct model *m = model_start();
    for (size_t i = 0; i < s->count; i++)
        model_change(m, &s->changes[i]);
    return m;
}

static unsigned check_netlink(const struct script *s, const struct model *expected, size_t size)
{
    struct change_cursor c = {.changes = s->changes, .end = s->count};
    struct model *m = model_start();
    unsigned messages = 0;
    /* Of exactly SIZE bytes, so that a sanitizer sees one too many. */
    void *buffer = malloc(size);
    assert_non_null(buffer);
    while (c.at < c.end) {
        size_t written = netlink_set_write(&c, "wg0", FAMILY, ++messages, buffer, size);
        assert_true(written <= size);
        apply_message(m, buffer, written);
    }
    assert_int_equal(c.ip_index, 0);
    assert_models_equal(m, expected);
    model_free(m);
    free(buffer);
    return messages;
}

static void netlink_messages_of_every_size_say_the_same(void **state)
{
    (void)state;
    struct script *s = script_new(40);
    struct model *expected = expected_after(s);
    for (size_t size = NETLINK_SET_MIN_SIZE; size < 6000; size++)
        check_netlink(s, expected, size);
    assert_int_equal(check_netlink(s, expected, 6000), 1);
    model_free(expected);
    free(s);
}

static void netlink_messages_of_a_page_hold_any_number_of_allowed_ips(void **state)
{
    (void)state;
    for (size_t ips = 0; ips < 250; ips++) {
        struct script *s = script_new(ips);
        struct model *expected = expected_after(s);
        check_netlink(s, expected, NETLINK_SET_SIZE);
        model_free(expected);
        free(s);
    }
    struct script *s = script_new(1800);
    struct model *expected = expected_after(s);
    assert_true(check_netlink(s, expected, NETLINK_SET_SIZE) > 20);
    model_free(expected);
    free(s);
}

static void a_netlink_message_is_filled_before_the_next_is_begun(void **state)
{
    (void)state;
    struct script *s = script_new(1500);
    struct change_cursor c = {.changes = s->changes, .end = s->count};
    uint8_t buffer[NETLINK_SET_SIZE] __attribute__((aligned(NLMSG_ALIGNTO)));
    while (c.at < c.end) {
        size_t written = netlink_set_write(&c, "wg0", FAMILY, 1, buffer, sizeof(buffer));
        /* A peer's head with one address has less than 200 bytes. */
        assert_true(c.at == c.end || written > sizeof(buffer) - 200);
    }
    free(s);
}

static void check_userspace(const struct script *s, const struct model *expected, size_t size)
{
    struct change_cursor c = {.changes = s->changes, .end = s->count};
    struct model *m = model_start();
    char *buffer = malloc(size);
    assert_non_null(buffer);
    while (c.at < c.end) {
        size_t written = userspace_set_write(&c, buffer, size);
        assert_true(written <= size);
        apply_text(m, buffer, written);
    }
    assert_models_equal(m, expected);
    model_free(m);
    free(buffer);
}

static void userspace_texts_of_every_size_say_the_same(void **state)
{
    (void)state;
    struct script *s = script_new(40);
    struct model *expected = expected_after(s);
    for (size_t size = USERSPACE_SET_MIN_SIZE; size < 4000; size++)
        check_userspace(s, expected, size);
    model_free(expected);
    free(s);
    s = script_new(1800);
    expected = expected_after(s);
    for (size_t size = USERSPACE_SET_SIZE - 40; size < USERSPACE_SET_SIZE; size++)
        check_userspace(s, expected, size);
    model_free(expected);
    free(s);
}

/* --- Refusals, over a fake device. --- */

struct world {
    struct fake_uapi *fake;
    struct wgctl *w;
    char directory[64];
};

static int world_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    snprintf(world->directory, sizeof(world->directory), "/tmp/warren-test-XXXXXX");
    assert_non_null(mkdtemp(world->directory));
    assert_int_equal(fake_uapi_create(&world->fake, world->directory, "wg0"), OK);
    assert_int_equal(wgctl_create(&world->w, world->directory), OK);
    *state = world;
    return 0;
}

static int world_down(void **state)
{
    struct world *world = *state;
    wgctl_destroy(world->w);
    fake_uapi_destroy(world->fake);
    (void)rmdir(world->directory);
    free(world);
    return 0;
}

static void changes_go_to_the_userspace_device(void **state)
{
    struct world *world = *state;
    struct script *s = script_new(3);
    size_t done = 0;
    assert_int_equal(wgctl_change_peers(world->w, "wg0", s->changes, s->count, &done), OK);
    assert_int_equal(done, s->count);
    assert_string_equal(wgctl_error(world->w), "");
    assert_int_equal(fake_uapi_set_count(world->fake), 1);
    struct model *expected = expected_after(s), *m = model_start();
    char *text = fake_uapi_last_set(world->fake);
    assert_non_null(text);
    apply_text(m, text, strlen(text));
    assert_models_equal(m, expected);
    free(text);
    model_free(m);
    model_free(expected);
    free(s);
}

static void no_changes_are_no_message(void **state)
{
    struct world *world = *state;
    size_t done = 7;
    assert_int_equal(wgctl_change_peers(world->w, "wg0", NULL, 0, &done), OK);
    assert_int_equal(done, 0);
    assert_int_equal(fake_uapi_set_count(world->fake), 0);
}

static void a_refusal_names_device_and_peer_however_many_were_said_together(void **state)
{
    struct world *world = *state;
    struct script *s = script_new(3);
    for (unsigned peer = 1; peer <= 8; peer++) {
        static char text[KEY_SIZE * 2 + 16];
        uint8_t key[KEY_SIZE];
        char base64[KEY_BASE64_SIZE + 1] = "";
        size_t done = 99, position = 0;
        memset(key, (int)peer, sizeof(key));
        memcpy(text, "public_key=", 11);
        hex_encode(text + 11, key, sizeof(key));
        key_to_base64(base64, key);
        struct fake_uapi_options options = {.set_errno = -22, .set_errno_text = text};
        fake_uapi_set_options(world->fake, &options);
        assert_int_equal(wgctl_change_peers(world->w, "wg0", s->changes, s->count, &done),
                         ERR_INVALID);
        while (memcmp(s->changes[position].public_key, key, sizeof(key)) != 0)
            position++;
        assert_int_equal(done, position);
        assert_non_null(strstr(wgctl_error(world->w), "wg0: peer "));
        assert_non_null(strstr(wgctl_error(world->w), base64));
        assert_non_null(strstr(wgctl_error(world->w), "Invalid argument"));
    }
    free(s);
}

static void a_refusal_in_a_later_fragment_names_the_peer_and_counts_those_before(void **state)
{
    struct world *world = *state;
    struct script *s = script_new(2500);
    struct fake_uapi_options options = {.set_errno = -22, .set_errno_text = "allowed_ip=10.0.8."};
    fake_uapi_set_options(world->fake, &options);
    size_t done = 99;
    assert_int_equal(wgctl_change_peers(world->w, "wg0", s->changes, s->count, &done), ERR_INVALID);
    assert_int_equal(done, 1);
    char base64[KEY_BASE64_SIZE + 1] = "";
    key_to_base64(base64, s->changes[1].public_key);
    assert_non_null(strstr(wgctl_error(world->w), base64));
    free(s);
}

static void a_failure_of_the_device_is_said_once_and_names_no_peer(void **state)
{
    struct world *world = *state;
    struct script *s = script_new(3);
    struct fake_uapi_options options = {.set_errno = -13};
    fake_uapi_set_options(world->fake, &options);
    size_t done = 99;
    assert_int_equal(wgctl_change_peers(world->w, "wg0", s->changes, s->count, &done),
                     ERR_PERMISSION);
    assert_int_equal(done, 0);
    assert_int_equal(fake_uapi_set_count(world->fake), 1);
    assert_non_null(strstr(wgctl_error(world->w), "wg0: "));
    assert_null(strstr(wgctl_error(world->w), "peer"));
    assert_int_equal(wgctl_change_peers(world->w, "nodev0", s->changes, s->count, &done),
                     ERR_NO_DEVICE);
    free(s);
}

static void what_is_no_address_is_refused_before_anything_is_said(void **state)
{
    struct world *world = *state;
    struct script *s = script_new(3);
    size_t done = 99;
    s->changes[8].endpoint.addr.family = IP_NONE;
    assert_int_equal(wgctl_change_peers(world->w, "wg0", s->changes, s->count, &done), ERR_INVALID);
    assert_non_null(strstr(wgctl_error(world->w), "wg0: peer CAgICAgI"));
    s->changes[8].has_endpoint = false;
    s->ips[s->ip_count - 1].length = 129;
    assert_int_equal(wgctl_change_peers(world->w, "wg0", s->changes, s->count, &done), ERR_INVALID);
    assert_int_equal(done, 0);
    assert_int_equal(fake_uapi_set_count(world->fake), 0);
    free(s);
}

/* --- The command line. --- */

static void assert_line(const char *device, const struct wgctl_peer_change *change,
                        const char *expected)
{
    struct strbuf out = STRBUF_EMPTY;
    wgctl_change_format(&out, device, change);
    assert_string_equal(strbuf_str(&out), expected);
    strbuf_fini(&out);
}

#define BASE64_ONE "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="

static void a_change_reads_as_wg_set_would_be_told(void **state)
{
    (void)state;
    struct script s = {.count = 0};
    struct wgctl_peer_change *change = script_add(&s, 1, 2);
    assert_line("wg0", change,
                "wg set wg0 peer " BASE64_ONE " allowed-ips +fd00::/128,+10.0.0.1/32");
    change->replace_allowed_ips = true;
    change->has_keepalive = true;
    change->keepalive_s = 25;
    set_endpoint(change, "[2001:db8::1]:7");
    assert_line("wg0", change,
                "wg set wg0 peer " BASE64_ONE " endpoint [2001:db8::1]:7 persistent-keepalive 25"
                " allowed-ips fd00::/128,10.0.0.1/32");
    change->allowed_ip_count = 0;
    change->keepalive_s = 0;
    change->has_endpoint = false;
    assert_line("wg0", change,
                "wg set wg0 peer " BASE64_ONE " persistent-keepalive off allowed-ips ''");
    change->remove = true;
    assert_line("wg0", change, "wg set wg0 peer " BASE64_ONE " remove");
    assert_line("w g'$0", change, "wg set 'w g'\\''$0' peer " BASE64_ONE " remove");
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(netlink_messages_of_every_size_say_the_same),
        cmocka_unit_test(netlink_messages_of_a_page_hold_any_number_of_allowed_ips),
        cmocka_unit_test(a_netlink_message_is_filled_before_the_next_is_begun),
        cmocka_unit_test(userspace_texts_of_every_size_say_the_same),
        WORLD_TEST(changes_go_to_the_userspace_device),
        WORLD_TEST(no_changes_are_no_message),
        WORLD_TEST(a_refusal_names_device_and_peer_however_many_were_said_together),
        WORLD_TEST(a_refusal_in_a_later_fragment_names_the_peer_and_counts_those_before),
        WORLD_TEST(a_failure_of_the_device_is_said_once_and_names_no_peer),
        WORLD_TEST(what_is_no_address_is_refused_before_anything_is_said),
        cmocka_unit_test(a_change_reads_as_wg_set_would_be_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
