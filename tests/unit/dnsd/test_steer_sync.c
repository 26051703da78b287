/* steer_sync over a fake device and a fake zone: what is set, how soon, and what is remembered. */
#include "base/wg.h"
#include "dnsd/zone_devices.h"
#include "fake_uapi.h"

#include <dirent.h>
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
    WAIT_MS = 6000,
    MAX_PEERS = 16,
};

/* --- A zone that is an array. --- */

struct zones_warren {
    struct zones_warren_peer_view peers[MAX_PEERS];
    uint8_t keys[MAX_PEERS][KEY_SIZE];
    struct ip_prefix ips[MAX_PEERS];
    size_t count;
    bool is_loaded;
    struct zones_warren_listener **listener;
};

bool zones_warren_peer(const struct zones_warren *z, const uint8_t key[static KEY_SIZE],
                       struct zones_warren_peer_view *out)
{
    for (size_t i = 0; i < z->count; i++)
        if (memcmp(z->keys[i], key, KEY_SIZE) == 0) {
            *out = z->peers[i];
            return true;
        }
    return false;
}

void zones_warren_listen(const struct zones_warren *z, struct zones_warren_listener *listener)
{
    *z->listener = listener;
}

void zones_warren_unlisten(const struct zones_warren *z, struct zones_warren_listener *listener)
{
    assert_ptr_equal(*z->listener, listener);
    *z->listener = NULL;
}

void zones_warren_each_peer(const struct zones_warren *z,
                            bool (*each)(void *context, const struct zones_warren_peer_view *peer),
                            void *context)
{
    for (size_t i = 0; i < z->count && each(context, &z->peers[i]); i++)
        ;
}

struct world {
    char directory[64];
    char name[16];
    uv_loop_t loop;
    uv_timer_t holder; /* keeps uv_run from returning at once */
    struct fake_uapi *fake;
    struct zones_warren zone;
    struct steer_sync *sync;
    struct strbuf state; /* of the fake device */
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
    snprintf(w->name, sizeof(w->name), "wgs%u", number++);
    assert_int_equal(fake_uapi_create(&w->fake, w->directory, w->name), OK);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    uv_timer_init(&w->loop, &w->holder);
    uv_timer_start(&w->holder, on_holder, 2, 2);
    *state = w;
    return 0;
}

/* The files in FOLDER whose names begin with "adopted-" go; their number. */
static unsigned remove_remembered(const char *folder)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[400];
        if (strncmp(entry->d_name, "adopted-", 8) != 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        assert_int_equal(unlink(path), 0);
        count++;
    }
    closedir(dir);
    return count;
}

static int down(void **state)
{
    struct world *w = *state;
    steer_sync_stop(w->sync);
    uv_close((uv_handle_t *)&w->holder, NULL);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) != 0)
        ;
    assert_int_equal(uv_loop_close(&w->loop), 0);
    fake_uapi_destroy(w->fake);
    (void)remove_remembered(w->directory);
    strbuf_fini(&w->state);
    assert_int_equal(rmdir(w->directory), 0);
    free(w);
    return 0;
}

static void turn(struct world *w, int ms)
{
    uint64_t end = uv_hrtime() + (uint64_t)ms * 1000000;
    while (uv_hrtime() < end)
        uv_run(&w->loop, UV_RUN_ONCE);
}

static void start(struct world *w, bool adopt)
{
    struct steer_sync_config config = {.loop = &w->loop,
                                       .zone = &w->zone,
                                       .zone_name = "wg.example.",
                                       .device = w->name,
                                       .adopt = adopt,
                                       .data_dir = w->directory};
    assert_int_equal(steer_sync_start(&w->sync, &config), OK);
}

static void stop(struct world *w)
{
    steer_sync_stop(w->sync);
    w->sync = NULL;
}

static void device_begin(struct world *w)
{
    strbuf_clear(&w->state);
    strbuf_add_str(&w->state, "listen_port=51820\n");
}

/* The last handshake AGE_S ago; negative: never. */
static void device_peer(struct world *w, unsigned peer, const char *endpoint, int age_s)
{
    strbuf_add_format(&w->state, "public_key=%02x%062x\n", peer, 0);
    if (endpoint[0] != '\0')
        strbuf_add_format(&w->state, "endpoint=%s\n", endpoint);
    strbuf_add_format(&w->state, "last_handshake_time_sec=%lld\n",
                      age_s < 0 ? 0LL : (long long)(time(NULL) - age_s));
}

static void device_set(struct world *w)
{
    assert_int_equal(fake_uapi_set_state(w->fake, w->state.data, w->state.size), OK);
}

static void zone_peer(struct world *w, unsigned peer, const char *endpoint, const char *ip)
{
    struct zones_warren *z = &w->zone;
    size_t i = z->count++;
    z->keys[i][0] = (uint8_t)peer;
    z->peers[i] = (struct zones_warren_peer_view){.key = z->keys[i], .name = ""};
    if (endpoint[0] != '\0')
        assert_int_equal(ip_endpoint_parse(&z->peers[i].endpoint, endpoint, strlen(endpoint)), OK);
    if (ip[0] == '\0')
        return;
    assert_int_equal(ip_prefix_parse(&z->ips[i], ip, strlen(ip)), OK);
    z->peers[i].allowed_ips = &z->ips[i];
    z->peers[i].allowed_ip_count = 1;
}

static void zone_clear(struct world *w)
{
    memset(&w->zone, 0, sizeof(w->zone));
}

/* Any of the peers may have changed, come or gone. */
static void zone_changed(struct world *w)
{
    for (unsigned i = 1; i <= MAX_PEERS; i++)
        steer_sync_peer_changed(w->sync, (uint8_t[KEY_SIZE]){(uint8_t)i});
    steer_sync_zone_changed(w->sync);
}

/* Waits for set number COUNT and checks its text. The time that it took, in ms. */
static double await_set(struct world *w, uint64_t count, const char *expected)
{
    uint64_t begin = uv_hrtime();
    while (fake_uapi_set_count(w->fake) < count) {
        if (uv_hrtime() - begin > (uint64_t)WAIT_MS * 1000000)
            fail_msg("%s: not set", expected);
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    double ms = (double)(uv_hrtime() - begin) / 1e6;
    char *text = fake_uapi_last_set(w->fake);
    assert_string_equal(text, expected);
    free(text);
    assert_int_equal(fake_uapi_set_count(w->fake), count);
    return ms;
}

#define KEY(n) "public_key=" n "00000000000000000000000000000000000000000000000000000000000000\n"

/* --- --- */

static void a_published_endpoint_is_set_within_100_ms(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", 300);
    device_set(w);
    start(w, false);
    zone_peer(w, 1, "192.0.2.9:9", "10.0.0.1/32");
    zone_peer(w, 2, "192.0.2.2:2", "10.0.0.2/32");
    turn(w, 200);
    assert_int_equal(fake_uapi_set_count(w->fake), 0); /* not told of the zone yet */
    zone_changed(w);
    double ms = await_set(w, 1, "set=1\n" KEY("01") "update_only=true\nendpoint=192.0.2.9:9\n\n");
    assert_true(ms < 100);
    device_begin(w);
    device_peer(w, 1, "192.0.2.9:9", 300);
    device_set(w);
    turn(w, 1200); /* the device as it is to be: nothing to do */
    assert_int_equal(fake_uapi_set_count(w->fake), 1);
    for (unsigned port = 10; port < 15; port++) {
        char expected[200];
        w->zone.peers[0].endpoint.port = (uint16_t)port;
        snprintf(expected, sizeof(expected),
                 "set=1\n" KEY("01") "update_only=true\nendpoint=192.0.2.9:%u\n\n", port);
        zone_changed(w);
        assert_true(await_set(w, port - 8, expected) < 100);
        device_begin(w);
        snprintf(expected, sizeof(expected), "192.0.2.9:%u", port);
        device_peer(w, 1, expected, 300);
        device_set(w);
        turn(w, 60);
    }
}

static void a_peer_that_is_alive_waits_until_it_is_silent(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", WG_SESSION_S - 2);
    device_set(w);
    zone_peer(w, 1, "192.0.2.9:9", "");
    start(w, false);
    zone_changed(w);
    turn(w, 700);
    assert_int_equal(fake_uapi_set_count(w->fake), 0);
    (void)await_set(w, 1, "set=1\n" KEY("01") "update_only=true\nendpoint=192.0.2.9:9\n\n");
}

static void a_peer_that_appears_on_the_device_is_told_its_endpoint(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_set(w);
    zone_peer(w, 1, "192.0.2.9:9", "");
    start(w, false);
    zone_changed(w);
    turn(w, 300);
    assert_int_equal(fake_uapi_set_count(w->fake), 0);
    device_begin(w);
    device_peer(w, 1, "", -1);
    device_set(w);
    (void)await_set(w, 1, "set=1\n" KEY("01") "update_only=true\nendpoint=192.0.2.9:9\n\n");
}

static void adopted_peers_are_remembered_across_a_restart(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 7, "192.0.2.7:7", -1); /* by hand */
    device_set(w);
    start(w, true);
    zone_peer(w, 1, "192.0.2.1:1", "10.99.0.1/32");
    zone_changed(w);
    (void)await_set(w, 1,
                    "set=1\n" KEY("01") "endpoint=192.0.2.1:1\n"
                                        "replace_allowed_ips=true\nallowed_ip=10.99.0.1/32\n\n");
    stop(w);
    device_begin(w);
    device_peer(w, 7, "192.0.2.7:7", -1);
    device_peer(w, 1, "192.0.2.1:1", -1);
    device_set(w);
    zone_clear(w);
    start(w, true);
    turn(w, 200);
    assert_int_equal(fake_uapi_set_count(w->fake), 1); /* the zone is not loaded yet */
    zone_changed(w);
    (void)await_set(w, 2, "set=1\n" KEY("01") "remove=true\n\n");
    device_begin(w);
    device_peer(w, 7, "192.0.2.7:7", -1);
    device_set(w);
    turn(w, 1000);
    stop(w);
    /* Somebody makes the peer again by hand: it is theirs now. */
    device_begin(w);
    device_peer(w, 7, "192.0.2.7:7", -1);
    device_peer(w, 1, "192.0.2.1:1", -1);
    device_set(w);
    start(w, true);
    zone_changed(w);
    turn(w, 800);
    assert_int_equal(fake_uapi_set_count(w->fake), 2);
    assert_int_equal(remove_remembered(w->directory), 1);
}

static void a_refusing_device_is_not_hammered_and_the_others_are_set(void **state)
{
    struct world *w = *state;
    device_begin(w);
    for (unsigned i = 1; i <= 3; i++)
        device_peer(w, i, "192.0.2.1:1", -1);
    device_set(w);
    struct fake_uapi_options options = {.set_errno = -22, .set_errno_text = KEY("02")};
    fake_uapi_set_options(w->fake, &options);
    for (unsigned i = 1; i <= 3; i++)
        zone_peer(w, i, "192.0.2.9:9", "");
    start(w, false);
    zone_changed(w);
    turn(w, 1500);
    /* All, the first, the second, the rest; in each of few rounds. */
    char *text = fake_uapi_last_set(w->fake);
    assert_string_equal(text, "set=1\n" KEY("03") "update_only=true\nendpoint=192.0.2.9:9\n\n");
    free(text);
    assert_true(fake_uapi_set_count(w->fake) <= 12);
}

static void many_changes_make_few_rounds(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", -1);
    device_set(w);
    zone_peer(w, 1, "192.0.2.1:1", "");
    start(w, false);
    uint64_t begin = uv_hrtime();
    for (unsigned i = 0; i < 500; i++) {
        w->zone.peers[0].endpoint.port = (uint16_t)(i + 2);
        zone_changed(w);
        turn(w, 1);
    }
    uint64_t ms = (uv_hrtime() - begin) / 1000000;
    /* A pause of 40 ms between rounds, and the watch's own reads. */
    assert_true(fake_uapi_get_count(w->fake) <= ms / 40 + ms / 400 + 4);
}

static void what_does_not_matter_to_the_device_makes_no_round(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", -1);
    device_set(w);
    zone_peer(w, 1, "192.0.2.1:1", "10.0.0.1/32");
    start(w, false);
    zone_changed(w);
    turn(w, 1500);
    uint64_t before = fake_uapi_get_count(w->fake), begin = uv_hrtime();
    for (unsigned i = 0; i < 1000; i++) {
        w->zone.peers[0].name = i % 2 == 0 ? "other" : "name";
        zone_changed(w);
        turn(w, 1);
    }
    uint64_t ms = (uv_hrtime() - begin) / 1000000;
    /* The watch's own reads, two a second at most. */
    assert_true(fake_uapi_get_count(w->fake) - before <= ms / 400 + 4);
}

static void peers_that_come_and_go_are_followed_one_by_one(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_set(w);
    zone_peer(w, 1, "192.0.2.1:1", "10.99.0.1/32");
    zone_peer(w, 2, "192.0.2.2:2", "10.99.0.2/32");
    start(w, true);
    steer_sync_zone_changed(w->sync); /* what was there at the start needs no telling */
    (void)await_set(w, 1,
                    "set=1\n" KEY("01") "endpoint=192.0.2.1:1\n"
                                        "replace_allowed_ips=true\nallowed_ip=10.99.0.1/32\n" KEY(
                                            "02") "endpoint=192.0.2.2:2\n"
                                                  "replace_allowed_ips=true\n"
                                                  "allowed_ip=10.99.0.2/32\n\n");
    w->zone.count = 1;
    device_begin(w);
    strbuf_add_format(&w->state,
                      "public_key=01%062x\nendpoint=192.0.2.1:1\n"
                      "allowed_ip=10.99.0.1/32\n",
                      0);
    strbuf_add_format(&w->state,
                      "public_key=02%062x\nendpoint=192.0.2.2:2\n"
                      "allowed_ip=10.99.0.2/32\n",
                      0);
    device_set(w);
    turn(w, 1000);
    assert_int_equal(fake_uapi_set_count(w->fake), 1); /* nobody told */
    steer_sync_peer_changed(w->sync, (uint8_t[KEY_SIZE]){2});
    steer_sync_zone_changed(w->sync);
    (void)await_set(w, 2, "set=1\n" KEY("02") "remove=true\n\n");
}

static void a_stop_waits_for_a_hung_device_no_longer_than_it_must(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_set(w);
    start(w, true);
    struct fake_uapi_options options = {.delay_ms = 4000};
    fake_uapi_set_options(w->fake, &options);
    zone_changed(w);
    turn(w, 300);
    uint64_t begin = uv_hrtime();
    stop(w);
    assert_true(uv_hrtime() - begin < UINT64_C(1000000000));
}

static bool zone_is_loaded(const void *context)
{
    const struct zones_warren *z = context;
    return z->is_loaded;
}

static void devices_of_a_zone_follow_its_changes_once_it_is_loaded(void **state)
{
    struct world *w = *state;
    struct zone_devices *devices;
    struct zones_warren_listener *listener = NULL;
    struct zone_device device = {.device = w->name, .is_synced = true};
    struct zone_devices_config config = {.loop = &w->loop,
                                         .zone = &w->zone,
                                         .zone_name = "wg.example.",
                                         .is_loaded = zone_is_loaded,
                                         .context = &w->zone,
                                         .devices = &device,
                                         .device_count = 1};
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", -1);
    device_set(w);
    zone_peer(w, 1, "192.0.2.9:9", "");
    w->zone.listener = &listener;
    assert_int_equal(zone_devices_start(&devices, &config), OK);
    turn(w, 200);
    assert_int_equal(fake_uapi_set_count(w->fake), 0);
    w->zone.is_loaded = true; /* without any change */
    (void)await_set(w, 1, "set=1\n" KEY("01") "update_only=true\nendpoint=192.0.2.9:9\n\n");
    device_begin(w);
    device_peer(w, 1, "192.0.2.9:9", -1);
    device_set(w);
    turn(w, 200);
    w->zone.peers[0].endpoint.port = 10;
    turn(w, 200);
    assert_int_equal(fake_uapi_set_count(w->fake), 1);
    listener->changed(listener->context, w->zone.keys[0]);
    assert_true(await_set(w, 2, "set=1\n" KEY("01") "update_only=true\nendpoint=192.0.2.9:10\n\n") <
                100);
    zone_devices_stop(devices);
    assert_null(listener);
}

static void a_stop_at_any_moment_is_clean(void **state)
{
    struct world *w = *state;
    device_begin(w);
    device_peer(w, 1, "192.0.2.1:1", -1);
    device_set(w);
    zone_peer(w, 1, "192.0.2.9:9", "");
    for (int turns = 0; turns < 10; turns++) {
        start(w, turns % 2 != 0);
        zone_changed(w);
        turn(w, turns);
        stop(w);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_endpoint_is_set_within_100_ms),
        TEST(a_peer_that_is_alive_waits_until_it_is_silent),
        TEST(a_peer_that_appears_on_the_device_is_told_its_endpoint),
        TEST(adopted_peers_are_remembered_across_a_restart),
        TEST(a_refusing_device_is_not_hammered_and_the_others_are_set),
        TEST(many_changes_make_few_rounds),
        TEST(what_does_not_matter_to_the_device_makes_no_round),
        TEST(peers_that_come_and_go_are_followed_one_by_one),
        TEST(a_stop_waits_for_a_hung_device_no_longer_than_it_must),
        TEST(devices_of_a_zone_follow_its_changes_once_it_is_loaded),
        TEST(a_stop_at_any_moment_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
