/* The watch: what it tells, and when, of a device that changes. */
#include "wgctl/watch.h"

#include "tests/support/fake_uapi.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_ONE "0101010101010101010101010101010101010101010101010101010101010101"
#define KEY_TWO "0202020202020202020202020202020202020202020202020202020202020202"

enum {
    SECOND_MS = 1000
};

/* --- A device, a watch and what the watch told. --- */

struct world {
    char directory[64];
    struct fake_uapi *fake;
    struct wgctl_watch *watch;

    pthread_mutex_t lock;
    pthread_cond_t told;
    unsigned event_count;
    enum err error;
    bool has_detail;
    uint16_t port; /* of the first peer's endpoint */
    size_t peer_count;
    bool liveness_only;
    pthread_t thread; /* that told last */
};

static double now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void pause_ms(long ms)
{
    (void)nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static void on_event(void *context, const struct wgctl_watch_event *event)
{
    struct world *w = context;
    pthread_mutex_lock(&w->lock);
    w->event_count++;
    w->error = event->error;
    w->liveness_only = event->liveness_only;
    w->has_detail = event->detail[0] != '\0';
    w->thread = pthread_self();
    w->peer_count = event->device != NULL ? event->device->peer_count : 0;
    w->port = w->peer_count > 0 ? event->device->peers[0].endpoint.port : 0;
    pthread_cond_signal(&w->told);
    pthread_mutex_unlock(&w->lock);
}

static unsigned event_count(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    unsigned count = w->event_count;
    pthread_mutex_unlock(&w->lock);
    return count;
}

/* Waits for event number COUNT, at most MS. */
static bool await_event(struct world *w, unsigned count, long ms)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += ms / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    int error_number = 0;
    while (w->event_count < count && error_number == 0)
        error_number = pthread_cond_timedwait(&w->told, &w->lock, &until);
    bool came = w->event_count >= count;
    pthread_mutex_unlock(&w->lock);
    return came;
}

static void set_peer(struct world *w, unsigned port, unsigned handshake)
{
    char text[512];
    int size = snprintf(text, sizeof(text),
                        "listen_port=5\npublic_key=" KEY_ONE "\nendpoint=192.0.2.1:%u\n"
                        "last_handshake_time_sec=%u\nrx_bytes=%u\nallowed_ip=10.0.0.1/32\n",
                        port, handshake, handshake);
    assert_int_equal(fake_uapi_set_state(w->fake, text, (size_t)size), OK);
}

static int world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -1;
    *state = w;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->told, NULL);
    strcpy(w->directory, "/tmp/warren-watch.XXXXXX");
    if (mkdtemp(w->directory) == NULL || fake_uapi_create(&w->fake, w->directory, "fake0") != OK)
        return -1;
    set_peer(w, 1, 0);
    return wgctl_watch_create(&w->watch, "fake0", w->directory, 5000, on_event, w) == OK ? 0 : -1;
}

static int world_down(void **state)
{
    struct world *w = *state;
    wgctl_watch_destroy(w->watch);
    fake_uapi_destroy(w->fake);
    (void)rmdir(w->directory);
    pthread_cond_destroy(&w->told);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return 0;
}

/* --- --- */

static void the_first_read_is_told_before_create_returns(void **state)
{
    struct world *w = *state;
    assert_int_equal(w->event_count, 1);
    assert_int_equal(w->error, OK);
    assert_int_equal(w->port, 1);
    assert_false(w->has_detail);
    assert_true(wgctl_watch_read_count(w->watch) >= 1);
}

static void new_moved_and_vanished_endpoints_are_seen_within_a_second(void **state)
{
    struct world *w = *state;
    set_peer(w, 2, 0);
    assert_true(await_event(w, 2, SECOND_MS));
    assert_int_equal(w->port, 2);
    assert_int_equal(fake_uapi_set_state(w->fake, "listen_port=5\n", 14), OK);
    assert_true(await_event(w, 3, SECOND_MS));
    assert_int_equal(w->peer_count, 0);
    set_peer(w, 3, 0);
    assert_true(await_event(w, 4, SECOND_MS));
    assert_int_equal(w->peer_count, 1);
}

static void handshakes_that_make_no_peer_alive_or_silent_are_not_told(void **state)
{
    struct world *w = *state;
    unsigned now = (unsigned)time(NULL);
    set_peer(w, 1, now); /* the first one is told: from now on the endpoint is a learned one */
    assert_true(await_event(w, 2, SECOND_MS));
    assert_true(w->liveness_only);
    uint64_t reads = wgctl_watch_read_count(w->watch);
    for (unsigned i = 1; wgctl_watch_read_count(w->watch) < reads + 3 && i < 40; i++) {
        set_peer(w, 1, now - i % 100);
        pause_ms(50);
    }
    assert_true(wgctl_watch_read_count(w->watch) >= reads + 3);
    assert_int_equal(event_count(w), 2);
}

static void a_peer_that_falls_silent_and_one_that_comes_back_are_told(void **state)
{
    struct world *w = *state;
    unsigned now = (unsigned)time(NULL);
    set_peer(w, 1, now - WG_SESSION_S + 2);
    assert_true(await_event(w, 2, SECOND_MS));
    assert_true(w->liveness_only);
    assert_true(await_event(w, 3, 4 * SECOND_MS)); /* by the clock alone */
    assert_true(w->liveness_only);
    set_peer(w, 1, now);
    assert_true(await_event(w, 4, SECOND_MS));
    assert_true(w->liveness_only);
    set_peer(w, 2, now);
    assert_true(await_event(w, 5, SECOND_MS));
    assert_false(w->liveness_only);
}

/* Two peers, the one with PORT in front or behind. */
static void set_two_peers(struct world *w, bool swap, unsigned port)
{
    char peers[2][256], text[600];
    (void)snprintf(peers[swap ? 1 : 0], sizeof(peers[0]),
                   "public_key=" KEY_ONE "\nendpoint=192.0.2.1:%u\nallowed_ip=10.0.0.1/32\n", port);
    (void)snprintf(peers[swap ? 0 : 1], sizeof(peers[0]),
                   "public_key=" KEY_TWO "\nendpoint=192.0.2.2:2\nallowed_ip=10.0.0.2/32\n");
    int size = snprintf(text, sizeof(text), "listen_port=5\n%s%s", peers[0], peers[1]);
    assert_int_equal(fake_uapi_set_state(w->fake, text, (size_t)size), OK);
}

static void await_read(struct world *w)
{
    uint64_t reads = wgctl_watch_read_count(w->watch);
    wgctl_watch_poke(w->watch);
    /* The one under way, if any, and one that began after the poke. */
    while (wgctl_watch_read_count(w->watch) < reads + 2)
        pause_ms(5);
}

static void
a_device_that_shuffles_its_peers_is_told_thrice_and_then_only_when_it_changes(void **state)
{
    struct world *w = *state;
    set_two_peers(w, false, 1);
    await_read(w);
    assert_int_equal(event_count(w), 2);
    for (unsigned i = 1; i <= 6; i++) {
        set_two_peers(w, i % 2 == 1, 1);
        await_read(w);
        assert_int_equal(event_count(w), 2 + (i < 3 ? i : 3));
    }
    set_two_peers(w, false, 7);
    await_read(w);
    assert_int_equal(event_count(w), 6);
    assert_int_equal(w->port, 7);
}

static void an_error_is_told_once_and_so_is_its_end(void **state)
{
    struct world *w = *state;
    struct fake_uapi_options options = {.answer_errno = -5};
    fake_uapi_set_options(w->fake, &options);
    assert_true(await_event(w, 2, SECOND_MS));
    assert_int_equal(w->error, ERR_IO);
    assert_true(w->has_detail);
    uint64_t reads = wgctl_watch_read_count(w->watch);
    while (wgctl_watch_read_count(w->watch) < reads + 2)
        pause_ms(20);
    assert_int_equal(event_count(w), 2);
    options.answer_errno = 0;
    fake_uapi_set_options(w->fake, &options);
    assert_true(await_event(w, 3, SECOND_MS));
    assert_int_equal(w->error, OK);
    assert_int_equal(w->port, 1);
}

static void a_vanished_device_is_told_and_heals_when_it_comes_back(void **state)
{
    struct world *w = *state;
    fake_uapi_destroy(w->fake);
    w->fake = NULL;
    assert_true(await_event(w, 2, SECOND_MS));
    assert_int_equal(w->error, ERR_NO_DEVICE);
    assert_int_equal(fake_uapi_create(&w->fake, w->directory, "fake0"), OK);
    set_peer(w, 9, 0);
    assert_true(await_event(w, 3, SECOND_MS));
    assert_int_equal(w->error, OK);
    pause_ms(WGCTL_WATCH_INTERVAL_MS); /* an empty state may have been seen first */
    assert_int_equal(w->port, 9);
}

static void a_poke_reads_at_once(void **state)
{
    struct world *w = *state;
    /* The third read in a row would otherwise come after two intervals. */
    double start = now_ms();
    for (unsigned i = 2; i < 5; i++) {
        set_peer(w, i, 0);
        wgctl_watch_poke(w->watch);
        assert_true(await_event(w, i, SECOND_MS));
        assert_int_equal(w->port, i);
    }
    assert_true(now_ms() - start < WGCTL_WATCH_INTERVAL_MS);
}

static void an_idle_watch_reads_at_its_interval(void **state)
{
    struct world *w = *state;
    uint64_t before = fake_uapi_get_count(w->fake);
    pause_ms(3 * WGCTL_WATCH_INTERVAL_MS);
    uint64_t reads = fake_uapi_get_count(w->fake) - before;
    assert_true(reads >= 2 && reads <= 4);
}

static void destroy_waits_for_a_read_under_way_and_tells_nothing_more(void **state)
{
    struct world *w = *state;
    struct fake_uapi_options options = {.delay_ms = 300};
    fake_uapi_set_options(w->fake, &options);
    uint64_t gets = fake_uapi_get_count(w->fake);
    set_peer(w, 2, 0);
    wgctl_watch_poke(w->watch);
    while (fake_uapi_get_count(w->fake) == gets)
        pause_ms(5);
    double start = now_ms();
    wgctl_watch_destroy(w->watch);
    w->watch = NULL;
    assert_true(now_ms() - start < 2 * SECOND_MS);
    unsigned told = event_count(w);
    pause_ms(100);
    assert_int_equal(event_count(w), told);
}

static void an_unreadable_device_is_no_error_of_create(void **state)
{
    struct world *w = *state;
    wgctl_watch_destroy(w->watch);
    w->watch = NULL;
    assert_int_equal(wgctl_watch_create(&w->watch, "nodev0", w->directory, 5000, on_event, w), OK);
    assert_int_equal(w->error, ERR_NO_DEVICE);
    assert_true(w->has_detail);
}

/* The bug: a device that accepts and never answers held up the start, each reload and the end of
 * the whole process for five seconds. */
static void a_device_that_hangs_holds_nobody_up(void **state)
{
    struct world *w = *state;
    wgctl_watch_destroy(w->watch);
    w->watch = NULL;
    fake_uapi_set_options(w->fake, &(struct fake_uapi_options){.delay_ms = 4000});
    double start = now_ms();
    assert_int_equal(wgctl_watch_create(&w->watch, "fake0", w->directory, 200, on_event, w), OK);
    assert_true(now_ms() - start > 150 && now_ms() - start < 1500);
    start = now_ms();
    wgctl_watch_destroy(w->watch);
    w->watch = NULL;
    assert_true(now_ms() - start < 1500);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_read_is_told_before_create_returns),
        TEST(new_moved_and_vanished_endpoints_are_seen_within_a_second),
        TEST(handshakes_that_make_no_peer_alive_or_silent_are_not_told),
        TEST(a_peer_that_falls_silent_and_one_that_comes_back_are_told),
        TEST(a_device_that_shuffles_its_peers_is_told_thrice_and_then_only_when_it_changes),
        TEST(an_error_is_told_once_and_so_is_its_end),
        TEST(a_vanished_device_is_told_and_heals_when_it_comes_back),
        TEST(a_poke_reads_at_once),
        TEST(an_idle_watch_reads_at_its_interval),
        TEST(destroy_waits_for_a_read_under_way_and_tells_nothing_more),
        TEST(an_unreadable_device_is_no_error_of_create),
        TEST(a_device_that_hangs_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
