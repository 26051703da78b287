/* Devices that differ in nothing but the order of their peers. */
#include "wgctl/order.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum {
    PEERS = 5
};

/* Peers by number, in the order of NUMBERS; a peer's endpoint and allowed IPs follow its number. */
static void make(struct wg_device *d, const unsigned *numbers)
{
    wg_device_init(d);
    for (size_t i = 0; i < PEERS; i++) {
        struct wg_peer *p;
        struct ip_prefix ip = {.addr = {.family = IP_V4, .bytes = {10}}, .length = 32};
        assert_int_equal(wg_device_add_peer(d, &p), OK);
        p->public_key[5] = (uint8_t)numbers[i];
        p->endpoint = (struct ip_endpoint){.addr = ip.addr, .port = (uint16_t)numbers[i]};
        for (unsigned k = 0; k < numbers[i]; k++) {
            ip.addr.bytes[3] = (uint8_t)k;
            assert_int_equal(wg_device_add_allowed_ip(d, &ip), OK);
        }
    }
}

static const unsigned rising[PEERS] = {1, 2, 3, 4, 5};
static const unsigned mixed[PEERS] = {3, 5, 1, 2, 4};

static bool same(const struct wg_device *a, const struct wg_device *b)
{
    bool result = false;
    assert_int_equal(same_but_for_order(&result, a, b), OK);
    return result;
}

static void any_order_is_the_same(void **state)
{
    (void)state;
    struct wg_device a, b;
    make(&a, rising);
    make(&b, mixed);
    assert_true(same(&a, &b));
    assert_true(same(&a, &a));
    b.peers[2].rx_bytes = 7; /* not published */
    assert_true(same(&a, &b));
    wg_device_fini(&a);
    wg_device_fini(&b);
}

static void empty_devices_are_the_same(void **state)
{
    (void)state;
    struct wg_device a, b;
    wg_device_init(&a);
    wg_device_init(&b);
    assert_true(same(&a, &b));
    b.listen_port = 1;
    assert_false(same(&a, &b));
}

static void a_change_of_what_is_published_is_none(void **state)
{
    (void)state;
    for (unsigned change = 0; change < 8; change++) {
        struct wg_device a, b;
        make(&a, rising);
        make(&b, mixed);
        struct wg_peer *last = &b.peers[PEERS - 1];
        switch (change) {
        case 0:
            last->endpoint.port++;
            break;
        case 1:
            last->endpoint.addr.bytes[0]++;
            break;
        case 2:
            last->public_key[31] = 1;
            break;
        case 3:
            b.allowed_ips[last->allowed_ip_start].length--;
            break;
        case 4:
            b.allowed_ips[last->allowed_ip_start].addr.bytes[0]++;
            break;
        case 5:
            b.listen_port = 1;
            break;
        case 6:
            b.has_public_key = true;
            break;
        default:
            a.has_public_key = b.has_public_key = true;
            b.public_key[0] = 1;
            break;
        }
        assert_false(same(&a, &b));
        assert_false(same(&b, &a));
        wg_device_fini(&a);
        wg_device_fini(&b);
    }
}

static void an_allowed_ip_that_moved_to_another_peer_is_a_change(void **state)
{
    (void)state;
    struct wg_device a, b;
    make(&a, rising);
    make(&b, rising);
    b.peers[3].allowed_ip_count--;
    b.peers[4].allowed_ip_start--;
    b.peers[4].allowed_ip_count++;
    assert_false(same(&a, &b));
    wg_device_fini(&a);
    wg_device_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_is_the_same),
        cmocka_unit_test(empty_devices_are_the_same),
        cmocka_unit_test(a_change_of_what_is_published_is_none),
        cmocka_unit_test(an_allowed_ip_that_moved_to_another_peer_is_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
