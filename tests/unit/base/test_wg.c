#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/wg.h"

#include <string.h>

static struct wg_peer *add_peer(struct wg_device *d, uint8_t key)
{
    struct wg_peer *peer = NULL;

    assert_int_equal(wg_device_add_peer(d, &peer), OK);
    peer->public_key[0] = key;
    return peer;
}

static void add_allowed_ip(struct wg_device *d, const char *text)
{
    struct ip_prefix prefix;

    assert_int_equal(ip_prefix_parse(&prefix, text, strlen(text)), OK);
    assert_int_equal(wg_device_add_allowed_ip(d, &prefix), OK);
}

static void set_endpoint(struct wg_peer *peer, const char *text)
{
    assert_int_equal(ip_endpoint_parse(&peer->endpoint, text, strlen(text)), OK);
}

/* Two peers, three allowed IPs. */
static void fill(struct wg_device *d)
{
    wg_device_init(d);
    d->has_public_key = true;
    d->public_key[0] = 99;
    d->listen_port = 51820;
    set_endpoint(add_peer(d, 1), "192.0.2.1:1");
    add_allowed_ip(d, "10.0.0.1/32");
    add_allowed_ip(d, "10.0.0.2/32");
    set_endpoint(add_peer(d, 2), "[2001:db8::2]:2");
    add_allowed_ip(d, "fd00::/64");
}

static void a_new_peer_is_zeroed_and_starts_at_the_end(void **state)
{
    struct wg_device d;

    (void)state;
    fill(&d);
    struct wg_peer *peer = add_peer(&d, 3);
    assert_int_equal(peer->allowed_ip_start, 3);
    assert_int_equal(peer->allowed_ip_count, 0);
    assert_int_equal(peer->endpoint.addr.family, IP_NONE);
    assert_int_equal(peer->last_handshake_sec, 0);
    assert_int_equal(d.peer_count, 3);
    wg_device_fini(&d);
}

static void allowed_ips_go_to_the_last_peer(void **state)
{
    struct wg_device d;

    (void)state;
    fill(&d);
    assert_int_equal(d.peers[0].allowed_ip_start, 0);
    assert_int_equal(d.peers[0].allowed_ip_count, 2);
    assert_int_equal(d.peers[1].allowed_ip_start, 2);
    assert_int_equal(d.peers[1].allowed_ip_count, 1);
    assert_int_equal(d.allowed_ips[2].length, 64);
    wg_device_fini(&d);
}

static void an_allowed_ip_needs_a_peer(void **state)
{
    struct ip_prefix prefix = {.addr = {.family = IP_V4}};
    struct wg_device d;

    (void)state;
    wg_device_init(&d);
    assert_int_equal(wg_device_add_allowed_ip(&d, &prefix), ERR_INVALID);
    wg_device_fini(&d);
}

static void growth_keeps_every_peer(void **state)
{
    struct wg_device d;

    (void)state;
    wg_device_init(&d);
    for (uint32_t i = 0; i < 5000; i++) {
        memcpy(add_peer(&d, 0)->public_key, &i, sizeof i);
        add_allowed_ip(&d, "10.0.0.1/32");
        add_allowed_ip(&d, "10.0.0.2/32");
        add_allowed_ip(&d, "10.0.0.3/32");
    }
    for (uint32_t i = 0; i < 5000; i++) {
        assert_memory_equal(d.peers[i].public_key, &i, sizeof i);
        assert_int_equal(d.peers[i].allowed_ip_start, 3 * i);
        assert_int_equal(d.peers[i].allowed_ip_count, 3);
        assert_int_equal(d.allowed_ips[3 * i + 2].addr.bytes[3], 3);
    }
    wg_device_fini(&d);
}

static void beyond_the_bounds_is_a_limit_error(void **state)
{
    struct ip_prefix prefix = {.addr = {.family = IP_V4}};
    struct wg_peer *peer = NULL;
    struct wg_device d;

    (void)state;
    wg_device_init(&d);
    add_peer(&d, 1);
    d.peer_count = WG_MAX_PEERS; /* as if they had all been added */
    assert_int_equal(wg_device_add_peer(&d, &peer), ERR_LIMIT);
    assert_null(peer);
    d.peer_count = 1;
    d.allowed_ip_count = WG_MAX_ALLOWED_IPS;
    assert_int_equal(wg_device_add_allowed_ip(&d, &prefix), ERR_LIMIT);
    wg_device_fini(&d);
}

static void clear_empties_but_keeps_the_memory(void **state)
{
    struct wg_device d;

    (void)state;
    fill(&d);
    struct wg_peer *peers = d.peers;
    size_t capacity = d.peer_capacity;
    wg_device_clear(&d);
    assert_int_equal(d.peer_count, 0);
    assert_int_equal(d.allowed_ip_count, 0);
    assert_int_equal(d.listen_port, 0);
    assert_false(d.has_public_key);
    assert_ptr_equal(d.peers, peers);
    assert_int_equal(d.peer_capacity, capacity);
    assert_int_equal(add_peer(&d, 5)->allowed_ip_start, 0);
    wg_device_fini(&d);
    assert_null(d.peers);
}

static void a_peer_is_alive_for_180_s_after_its_handshake(void **state)
{
    (void)state;
    struct wg_peer peer = {.last_handshake_sec = 0};
    assert_int_equal(wg_peer_liveness(&peer, 5000), WG_NEVER);
    peer.last_handshake_nsec = 1;
    assert_int_equal(wg_peer_liveness(&peer, 5000), WG_SILENT);
    peer.last_handshake_sec = 1000;
    assert_int_equal(wg_peer_liveness(&peer, 1000 + WG_SESSION_S - 1), WG_ALIVE);
    assert_int_equal(wg_peer_liveness(&peer, 1000 + WG_SESSION_S), WG_SILENT);
    assert_int_equal(wg_peer_liveness(&peer, 10), WG_ALIVE); /* the clock was set back */
}

static void equal_devices_publish_the_same(void **state)
{
    struct wg_device a, b;

    (void)state;
    fill(&a);
    fill(&b);
    assert_true(wg_device_same_published(&a, &b));
    wg_device_fini(&a);
    wg_device_fini(&b);
    assert_true(wg_device_same_published(&a, &b)); /* two empty ones too */
}

static void counters_and_handshakes_are_not_published(void **state)
{
    struct wg_device a, b;

    (void)state;
    fill(&a);
    fill(&b);
    b.peers[0].rx_bytes = 1000;
    b.peers[0].tx_bytes = 1000;
    b.peers[1].last_handshake_sec = 1700000000;
    b.peers[1].last_handshake_nsec = 5;
    b.peers[1].persistent_keepalive = 25;
    b.fwmark = 7;
    assert_true(wg_device_same_published(&a, &b));
    wg_device_fini(&a);
    wg_device_fini(&b);
}

/* Each change alone must be seen, from either side. */
static void assert_differs(void (*change)(struct wg_device *d))
{
    struct wg_device a, b;

    fill(&a);
    fill(&b);
    change(&b);
    assert_false(wg_device_same_published(&a, &b));
    assert_false(wg_device_same_published(&b, &a));
    wg_device_fini(&a);
    wg_device_fini(&b);
}

static void change_own_key(struct wg_device *d)
{
    d->public_key[31] = 1;
}

static void change_has_key(struct wg_device *d)
{
    d->has_public_key = false;
}

static void change_port(struct wg_device *d)
{
    d->listen_port = 1;
}

static void change_peer_count(struct wg_device *d)
{
    add_peer(d, 3);
}

static void change_peer_order(struct wg_device *d)
{
    struct wg_peer first = d->peers[0];
    d->peers[0] = d->peers[1];
    d->peers[1] = first;
}

static void change_peer_key(struct wg_device *d)
{
    d->peers[1].public_key[31] = 1;
}

static void change_endpoint_port(struct wg_device *d)
{
    d->peers[1].endpoint.port = 9;
}

static void change_endpoint_address(struct wg_device *d)
{
    d->peers[0].endpoint.addr.bytes[3] = 9;
}

static void change_endpoint_presence(struct wg_device *d)
{
    d->peers[0].endpoint = (struct ip_endpoint){0};
}

static void change_allowed_count(struct wg_device *d)
{
    add_allowed_ip(d, "10.0.0.9/32");
}

static void change_allowed_length(struct wg_device *d)
{
    d->allowed_ips[2].length = 65;
}

static void change_allowed_owner(struct wg_device *d)
{
    d->peers[0].allowed_ip_count = 1;
    d->peers[1].allowed_ip_start = 1;
    d->peers[1].allowed_ip_count = 2;
}

static void every_published_change_is_seen(void **state)
{
    (void)state;
    assert_differs(change_own_key);
    assert_differs(change_has_key);
    assert_differs(change_port);
    assert_differs(change_peer_count);
    assert_differs(change_peer_order);
    assert_differs(change_peer_key);
    assert_differs(change_endpoint_port);
    assert_differs(change_endpoint_address);
    assert_differs(change_endpoint_presence);
    assert_differs(change_allowed_count);
    assert_differs(change_allowed_length);
    assert_differs(change_allowed_owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_peer_is_zeroed_and_starts_at_the_end),
        cmocka_unit_test(allowed_ips_go_to_the_last_peer),
        cmocka_unit_test(an_allowed_ip_needs_a_peer),
        cmocka_unit_test(growth_keeps_every_peer),
        cmocka_unit_test(beyond_the_bounds_is_a_limit_error),
        cmocka_unit_test(clear_empties_but_keeps_the_memory),
        cmocka_unit_test(a_peer_is_alive_for_180_s_after_its_handshake),
        cmocka_unit_test(equal_devices_publish_the_same),
        cmocka_unit_test(counters_and_handshakes_are_not_published),
        cmocka_unit_test(every_published_change_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
