/* steer_observe over a fake device and a fake store: what is written, when, under which lease. */
#include "tests/unit/dnsd/fake_store.h"

#include "base/wg.h"
#include "dnsd/steer.h"
#include "fake_uapi.h"
#include "registry/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    WAIT_MS = 6000
};

#define ZONE "wg.example."

struct world {
    char directory[64];
    char name[16];
    uv_loop_t loop;
    uv_timer_t holder; /* keeps uv_run from returning at once */
    struct fake_uapi *fake;
    struct store *store;
    struct steer_observe *observe;
    struct strbuf state; /* of the fake device */
    uint8_t own_key[KEY_SIZE];
    int64_t expire_s;
};

static void on_holder(uv_timer_t *handle)
{
    (void)handle;
}

static int up(void **state)
{
    static unsigned number;
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    snprintf(w->directory, sizeof(w->directory), "/tmp/warren-test-XXXXXX");
    assert_non_null(mkdtemp(w->directory));
    assert_int_equal(setenv("WARREN_WG_SOCKET_DIR", w->directory, 1), 0);
    snprintf(w->name, sizeof(w->name), "wgo%u", number++);
    assert_int_equal(fake_uapi_create(&w->fake, w->directory, w->name), OK);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    uv_timer_init(&w->loop, &w->holder);
    uv_timer_start(&w->holder, on_holder, 5, 5);
    w->store = fake_store_new(&w->loop);
    /* X25519 of 01..01, as the fake device's private key is. */
    static const char own[] = "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209";
    assert_int_equal(hex_decode(w->own_key, own, sizeof(own) - 1), OK);
    *state = w;
    return 0;
}

static void on_walk(uv_handle_t *handle, void *context)
{
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int down(void **state)
{
    struct world *w = *state;
    steer_observe_stop(w->observe);
    for (unsigned i = 0; i < 20; i++)
        uv_run(&w->loop, UV_RUN_NOWAIT);
    fake_store_free(w->store);
    uv_walk(&w->loop, on_walk, NULL);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    fake_uapi_destroy(w->fake);
    strbuf_fini(&w->state);
    (void)rmdir(w->directory);
    free(w);
    return 0;
}

static void device_begin(struct world *w)
{
    strbuf_clear(&w->state);
    strbuf_add_str(&w->state, "private_key=");
    for (size_t i = 0; i < KEY_SIZE; i++)
        strbuf_add_str(&w->state, "01");
    strbuf_add_str(&w->state, "\nlisten_port=51820\n");
}

/* The last handshake AGE_S ago; negative: never. */
static void device_peer(struct world *w, unsigned peer, const char *endpoint, int age_s)
{
    strbuf_add_format(&w->state, "public_key=%02x%062x\n", peer & 0xff, peer);
    if (endpoint != NULL)
        strbuf_add_format(&w->state, "endpoint=%s\n", endpoint);
    strbuf_add_format(&w->state, "last_handshake_time_sec=%lld\nlast_handshake_time_nsec=0\n",
                      age_s < 0 ? 0LL : (long long)(time(NULL) - age_s));
}

static void device_set(struct world *w)
{
    assert_false(w->state.failed);
    assert_int_equal(fake_uapi_set_state(w->fake, w->state.data, w->state.size), OK);
}

static void start(struct world *w)
{
    struct steer_observe_config config = {.loop = &w->loop,
                                          .store = w->store,
                                          .zone = ZONE,
                                          .device = w->name,
                                          .expire_s = w->expire_s};
    assert_int_equal(steer_observe_start(&w->observe, &config), OK);
}

static void stop(struct world *w)
{
    steer_observe_stop(w->observe);
    w->observe = NULL;
}

static char *key_of(const struct world *w, unsigned peer)
{
    static struct strbuf out;
    char hex[KEY_HEX_SIZE + 1];
    uint8_t key[KEY_SIZE];
    snprintf(hex, sizeof(hex), "%02x%062x", peer & 0xff, peer);
    assert_int_equal(hex_decode(key, hex, KEY_HEX_SIZE), OK);
    strbuf_clear(&out);
    registry_endpoint_key(&out, bytes_of_str(ZONE), key, w->own_key);
    return out.data;
}

static const char *value_of(const struct world *w, unsigned peer)
{
    return fake_store_get(w->store, key_of(w, peer));
}

#define LIVE(endpoint) "{\"endpoint\":\"" endpoint "\",\"how\":\"handshake\"}"
#define IDLE(endpoint) "{\"endpoint\":\"" endpoint "\",\"how\":\"handshake\",\"idle\":true}"

static void turn(struct world *w, int ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;
    while (uv_hrtime() < end)
        uv_run(&w->loop, UV_RUN_ONCE);
}

/* VALUE NULL: until the key is gone. */
static void await(struct world *w, unsigned peer, const char *value)
{
    uint64_t end = uv_hrtime() + (uint64_t)WAIT_MS * 1000000;
    for (;;) {
        const char *now = value_of(w, peer);
        if (now == NULL ? value == NULL : value != NULL && strcmp(now, value) == 0)
            return;
        if (uv_hrtime() > end)
            fail_msg("peer %u: %s", peer, now != NULL ? now : "(none)");
        uv_run(&w->loop, UV_RUN_ONCE);
    }
}

/* --- What is written. --- */

static void learned_endpoints_are_written_and_others_are_not(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 5);
    device_peer(w, 2, "192.0.2.2:2", -1); /* configured, never heard of */
    device_peer(w, 3, NULL, -1);
    device_peer(w, 4, "[fe80::1%1]:4", 5); /* of use to nobody else */
    device_peer(w, 5, "[2001:db8::5]:5", 300);
    device_peer(w, 6, "[::ffff:192.0.2.6]:6", 5);
    device_set(w);
    start(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    await(w, 5, IDLE("[2001:db8::5]:5"));
    await(w, 6, LIVE("192.0.2.6:6"));
    turn(w, 100);
    assert_int_equal(fake_store_key_count(w->store), 3);
    assert_int_equal(fake_store_lease_count(w->store), 1);
    assert_int_equal(fake_store_txn_count(w->store), 1);
    assert_true(fake_store_lease_of(w->store, key_of(w, 1)) > 0);
}

static void only_changes_are_written(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 5);
    device_peer(w, 2, "192.0.2.2:2", 5);
    device_set(w);
    start(w);
    await(w, 2, LIVE("192.0.2.2:2"));
    assert_int_equal(fake_store_write_count(w->store), 2);
    device_begin(w);
    device_peer(w, 2, "192.0.2.9:9", 1); /* moved */
    device_peer(w, 1, "192.0.2.1:1", 1); /* shook hands again */
    device_set(w);
    await(w, 2, LIVE("192.0.2.9:9"));
    turn(w, 1200);
    assert_int_equal(fake_store_write_count(w->store), 3);
}

static void idle_is_marked_once_and_live_again_once(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", WG_SESSION_S - 2);
    device_set(w);
    start(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    await(w, 1, IDLE("192.0.2.1:1"));
    turn(w, 1500);
    assert_int_equal(fake_store_write_count(w->store), 2);
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 0);
    device_set(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    turn(w, 1200);
    assert_int_equal(fake_store_write_count(w->store), 3);
}

/* Else a sync would feed what it pushed back into the registry. */
static void an_endpoint_configured_for_a_silent_peer_is_not_an_observation(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 300);
    device_set(w);
    start(w);
    await(w, 1, IDLE("192.0.2.1:1"));
    device_begin(w);
    device_peer(w, 1, "192.0.2.99:99", 300);
    device_set(w);
    turn(w, 1200);
    assert_string_equal(value_of(w, 1), IDLE("192.0.2.1:1"));
    assert_int_equal(fake_store_write_count(w->store), 1);
}

static void an_observation_that_was_idle_for_long_is_deleted(void **state)
{
    struct world *w = *state;
    w->expire_s = 4;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", WG_SESSION_S + 1);
    device_peer(w, 2, "192.0.2.2:2", WG_SESSION_S + 60); /* expired before it was seen */
    device_peer(w, 3, "192.0.2.3:3", 1);
    device_set(w);
    start(w);
    await(w, 1, IDLE("192.0.2.1:1"));
    assert_null(value_of(w, 2));
    await(w, 1, NULL);
    assert_string_equal(value_of(w, 3), LIVE("192.0.2.3:3"));
}

static void a_peer_that_left_the_device_stays_until_it_is_idle(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_set(w);
    start(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    device_begin(w);
    device_set(w);
    turn(w, 1200);
    assert_string_equal(value_of(w, 1), LIVE("192.0.2.1:1"));
}

static void many_are_written_in_transactions_of_128(void **state)
{
    struct world *w = *state;
    device_begin(w);
    for (unsigned i = 1; i <= 1000; i++) {
        char endpoint[32];
        snprintf(endpoint, sizeof(endpoint), "10.0.%u.%u:1", i >> 8, i & 0xff);
        device_peer(w, i, endpoint, 1);
    }
    device_set(w);
    fake_store_set_deferred(w->store, true);
    start(w);
    await(w, 1000, LIVE("10.0.3.232:1"));
    turn(w, 200);
    assert_int_equal(fake_store_key_count(w->store), 1000);
    assert_int_equal(fake_store_write_count(w->store), 1000);
    assert_int_equal(fake_store_txn_count(w->store), 8);
    assert_int_equal(fake_store_largest_txn(w->store), KV_MAX_TXN_OPS);
}

/* --- Leases, restarts, a store that is away. --- */

static void a_restart_goes_on_with_what_is_there(void **state)
{
    struct world *w = *state;
    fake_store_set_deferred(w->store, true);
    device_begin(w);
    for (unsigned i = 1; i <= 700; i++) /* more than one page */
        device_peer(w, i, "192.0.2.1:1", 1);
    device_set(w);
    start(w);
    await(w, 700, LIVE("192.0.2.1:1"));
    turn(w, 100);
    int64_t lease = fake_store_lease_of(w->store, key_of(w, 1));
    assert_int_equal(fake_store_write_count(w->store), 700);
    stop(w);
    turn(w, 20);
    device_begin(w);
    for (unsigned i = 1; i <= 700; i++)
        device_peer(w, i, i == 5 ? "192.0.2.5:5" : "192.0.2.1:1", 1);
    device_set(w);
    start(w);
    await(w, 5, LIVE("192.0.2.5:5"));
    turn(w, 300);
    assert_int_equal(fake_store_write_count(w->store), 701);
    assert_int_equal(fake_store_lease_count(w->store), 1);
    assert_int_equal(fake_store_lease_of(w->store, key_of(w, 5)), lease);
}

static void observations_under_other_leases_move_to_the_one(void **state)
{
    struct world *w = *state;
    fake_store_put(w->store, key_of(w, 1), LIVE("192.0.2.1:1"), 77); /* ended long ago */
    fake_store_put(w->store, key_of(w, 2), "nonsense", 0);
    fake_store_put(w->store, key_of(w, 3), "nonsense", 0);
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_peer(w, 2, "192.0.2.2:2", 1);
    device_set(w);
    fake_store_set_deferred(w->store, true);
    start(w);
    await(w, 2, LIVE("192.0.2.2:2"));
    await(w, 3, NULL);
    turn(w, 100);
    assert_int_equal(fake_store_lease_count(w->store), 1);
    int64_t lease = fake_store_lease_of(w->store, key_of(w, 1));
    assert_true(lease > 77);
    assert_int_equal(fake_store_lease_of(w->store, key_of(w, 2)), lease);
}

static void others_observations_are_left_alone(void **state)
{
    struct world *w = *state;
    struct strbuf other = STRBUF_EMPTY;
    uint8_t key[KEY_SIZE] = {1}, observer[KEY_SIZE] = {2};
    registry_endpoint_key(&other, bytes_of_str(ZONE), key, observer);
    fake_store_put(w->store, other.data, LIVE("192.0.2.77:7"), 5);
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_set(w);
    start(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    assert_string_equal(fake_store_get(w->store, other.data), LIVE("192.0.2.77:7"));
    assert_int_equal(fake_store_lease_of(w->store, other.data), 5);
    strbuf_fini(&other);
}

static void zones_of_one_device_share_its_lease(void **state)
{
    struct world *w = *state;
    fake_store_set_deferred(w->store, true);
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_set(w);
    struct steer_observe *other;
    struct steer_observe_config config = {
        .loop = &w->loop, .store = w->store, .zone = "other.example.", .device = w->name};
    start(w);
    assert_int_equal(steer_observe_start(&other, &config), OK);
    await(w, 1, LIVE("192.0.2.1:1"));
    turn(w, 100);
    assert_int_equal(fake_store_key_count(w->store), 2);
    assert_int_equal(fake_store_lease_count(w->store), 1);
    int64_t lease = fake_store_lease_of(w->store, key_of(w, 1));
    fake_store_expire(w->store, lease);
    device_begin(w);
    device_peer(w, 1, "192.0.2.9:9", 1);
    device_set(w);
    await(w, 1, LIVE("192.0.2.9:9"));
    turn(w, 300);
    assert_int_equal(fake_store_key_count(w->store), 2);
    assert_int_equal(fake_store_lease_count(w->store), 1);
    steer_observe_stop(other);
}

static void a_lost_lease_is_granted_anew_and_everything_written_again(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_peer(w, 2, "192.0.2.2:2", 300);
    device_set(w);
    start(w);
    await(w, 2, IDLE("192.0.2.2:2"));
    int64_t lease = fake_store_lease_of(w->store, key_of(w, 1));
    stop(w);
    turn(w, 20);
    start(w); /* adopts the lease; the fake store then tells 2 s to live */
    turn(w, 1500);
    assert_true(fake_store_keepalive_count(w->store) >= 1);
    fake_store_expire(w->store, lease);
    assert_null(value_of(w, 1));
    await(w, 1, LIVE("192.0.2.1:1"));
    await(w, 2, IDLE("192.0.2.2:2"));
    assert_int_not_equal(fake_store_lease_of(w->store, key_of(w, 1)), lease);
}

static void a_lease_found_lost_by_a_write_is_granted_anew(void **state)
{
    struct world *w = *state;
    fake_store_set_deferred(w->store, true);
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_peer(w, 2, "192.0.2.2:2", 1);
    device_set(w);
    start(w);
    await(w, 2, LIVE("192.0.2.2:2"));
    fake_store_expire(w->store, fake_store_lease_of(w->store, key_of(w, 1)));
    device_begin(w);
    device_peer(w, 1, "192.0.2.9:9", 1);
    device_peer(w, 2, "192.0.2.2:2", 1);
    device_set(w);
    await(w, 1, LIVE("192.0.2.9:9"));
    await(w, 2, LIVE("192.0.2.2:2"));
}

static void a_store_that_is_away_is_caught_up_afterwards(void **state)
{
    struct world *w = *state;
    for (int deferred = 0; deferred < 2; deferred++) {
        fake_store_set_deferred(w->store, deferred);
        fake_store_set_verdict(w->store, VERDICT_NO_LEADER);
        device_begin(w);
        device_peer(w, 1, deferred ? "192.0.2.3:3" : "192.0.2.1:1", 1);
        device_set(w);
        if (w->observe == NULL)
            start(w);
        turn(w, 1200);
        fake_store_set_verdict(w->store, VERDICT_OK);
        await(w, 1, deferred ? LIVE("192.0.2.3:3") : LIVE("192.0.2.1:1"));
    }
    assert_int_equal(fake_store_write_count(w->store), 2);
}

static void what_others_did_to_an_observation_is_put_right(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 5);
    device_peer(w, 2, "192.0.2.2:2", 300);
    device_set(w);
    start(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    await(w, 2, IDLE("192.0.2.2:2"));
    int64_t lease = fake_store_lease_of(w->store, key_of(w, 1));
    for (unsigned round = 0; round < 2; round++) {
        char key[512];
        snprintf(key, sizeof(key), "%s", key_of(w, 1));
        fake_store_delete(w->store, key);
        await(w, 1, LIVE("192.0.2.1:1"));
        fake_store_put(w->store, key, LIVE("192.0.2.77:7"), 0);
        await(w, 1, LIVE("192.0.2.1:1"));
        assert_int_equal(fake_store_lease_of(w->store, key), lease);
        fake_store_put(w->store, key, "nonsense", 0);
        await(w, 1, LIVE("192.0.2.1:1"));
        snprintf(key, sizeof(key), "%s", key_of(w, 2));
        fake_store_delete(w->store, key);
        await(w, 2, IDLE("192.0.2.2:2"));
        /* Once more with another watch. */
        fake_store_compact(w->store);
        turn(w, 1200);
        assert_true(fake_store_is_watched(w->store));
    }
    size_t writes = fake_store_write_count(w->store);
    turn(w, 1500);
    assert_int_equal(fake_store_write_count(w->store), writes);
}

static void another_that_writes_as_us_is_not_chased(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 5);
    device_set(w);
    start(w);
    await(w, 1, LIVE("192.0.2.1:1"));
    size_t writes = fake_store_write_count(w->store);
    char key[512];
    snprintf(key, sizeof(key), "%s", key_of(w, 1));
    for (unsigned i = 0; i < 300; i++) {
        fake_store_put(w->store, key, LIVE("192.0.2.77:7"), 0);
        turn(w, 10);
    }
    assert_true(fake_store_write_count(w->store) - writes <= 5); /* in 3 s */
}

static void a_stop_with_answers_under_way_is_clean(void **state)
{
    struct world *w = *state;
    fake_store_set_deferred(w->store, true);
    device_begin(w);
    for (unsigned i = 1; i <= 600; i++)
        device_peer(w, i, "192.0.2.1:1", 1);
    device_set(w);
    for (int turns = 0; turns < 12; turns++) {
        start(w);
        for (int i = 0; i < turns; i++)
            uv_run(&w->loop, UV_RUN_ONCE);
        stop(w);
    }
}

static void a_device_that_comes_later_is_waited_for(void **state)
{
    struct world *w = *state;
    fake_uapi_destroy(w->fake);
    start(w);
    turn(w, 100);
    assert_int_equal(fake_store_lease_count(w->store), 0);
    assert_int_equal(fake_uapi_create(&w->fake, w->directory, w->name), OK);
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 1);
    device_set(w);
    await(w, 1, LIVE("192.0.2.1:1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(learned_endpoints_are_written_and_others_are_not),
        TEST(only_changes_are_written),
        TEST(idle_is_marked_once_and_live_again_once),
        TEST(an_endpoint_configured_for_a_silent_peer_is_not_an_observation),
        TEST(an_observation_that_was_idle_for_long_is_deleted),
        TEST(a_peer_that_left_the_device_stays_until_it_is_idle),
        TEST(many_are_written_in_transactions_of_128),
        TEST(a_restart_goes_on_with_what_is_there),
        TEST(observations_under_other_leases_move_to_the_one),
        TEST(others_observations_are_left_alone),
        TEST(zones_of_one_device_share_its_lease),
        TEST(a_lost_lease_is_granted_anew_and_everything_written_again),
        TEST(a_lease_found_lost_by_a_write_is_granted_anew),
        TEST(a_store_that_is_away_is_caught_up_afterwards),
        TEST(what_others_did_to_an_observation_is_put_right),
        TEST(another_that_writes_as_us_is_not_chased),
        TEST(a_stop_with_answers_under_way_is_clean),
        TEST(a_device_that_comes_later_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
