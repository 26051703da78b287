/* The devices of the process, over a fake userspace socket. */
#include "tests/unit/dnsd/support.h"

#include "dnsd/device.h"
#include "fake_uapi.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    WAIT_MS = 5000
};

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/warren-test-XXXXXX");
    return mkdtemp(folder) == NULL || setenv("WARREN_WG_SOCKET_DIR", folder, 1) != 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static struct fake_uapi *fake_make(const char *name, size_t peers)
{
    struct fake_uapi *fake;
    size_t size;
    assert_int_equal(fake_uapi_create(&fake, folder, name), OK);
    char *text = fake_uapi_make_peers(peers, 0, &size);
    assert_non_null(text);
    assert_int_equal(fake_uapi_set_state(fake, text, size), OK);
    free(text);
    return fake;
}

static void fake_set_peers(struct fake_uapi *fake, size_t peers)
{
    size_t size;
    char *text = fake_uapi_make_peers(peers, 0, &size);
    assert_non_null(text);
    assert_int_equal(fake_uapi_set_state(fake, text, size), OK);
    free(text);
}

static void sleep_ms(int ms)
{
    poll(NULL, 0, ms);
}

/* What a subscriber was told last. */
struct seen {
    atomic_uint calls;
    atomic_int error;
    atomic_size_t peers;
    atomic_bool is_over; /* unsubscribed: nothing may come any more */
    atomic_uint late;
    pthread_mutex_t lock;
    char detail[128];
};

static void on_event(void *context, const struct wgctl_watch_event *event)
{
    struct seen *s = context;
    if (atomic_load(&s->is_over))
        atomic_fetch_add(&s->late, 1);
    assert_true((event->error == OK) == (event->device != NULL));
    pthread_mutex_lock(&s->lock);
    snprintf(s->detail, sizeof(s->detail), "%s", event->detail);
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->peers, event->device != NULL ? event->device->peer_count : 0);
    atomic_store(&s->error, (int)event->error);
    atomic_fetch_add(&s->calls, 1);
}

static struct device_subscription *subscribe_as(struct seen *s, const char *name,
                                                const char *directive)
{
    struct device_subscription *out;
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    assert_int_equal(device_subscribe(&out, name, directive, on_event, s), OK);
    assert_int_equal(atomic_load(&s->calls), 1);
    return out;
}

static struct device_subscription *subscribe(struct seen *s, const char *name)
{
    return subscribe_as(s, name, "wgsd");
}

static void wait_for(struct seen *s, enum err error, size_t peers)
{
    for (int waited = 0; waited < WAIT_MS; waited += 10) {
        if (atomic_load(&s->error) == (int)error && atomic_load(&s->peers) == peers)
            return;
        sleep_ms(10);
    }
    fail_msg("told %d, %zu peers", atomic_load(&s->error), atomic_load(&s->peers));
}

static void a_subscriber_knows_the_state_before_it_goes_on(void **state)
{
    (void)state;
    struct fake_uapi *fake = fake_make("wg9", 3);
    struct seen seen;
    struct device_subscription *s = subscribe(&seen, "wg9");
    assert_int_equal(atomic_load(&seen.error), OK);
    assert_int_equal(atomic_load(&seen.peers), 3);
    device_unsubscribe(s);
    fake_uapi_destroy(fake);
}

static void changes_are_told(void **state)
{
    (void)state;
    struct fake_uapi *fake = fake_make("wg9", 1);
    struct seen seen;
    struct device_subscription *s = subscribe(&seen, "wg9");
    fake_set_peers(fake, 5);
    wait_for(&seen, OK, 5);
    fake_set_peers(fake, 0);
    wait_for(&seen, OK, 0);
    device_unsubscribe(s);
    fake_uapi_destroy(fake);
}

static unsigned count_of(const char *text, const char *what)
{
    unsigned count = 0;
    for (; (text = strstr(text, what)) != NULL; text++)
        count++;
    return count;
}

static void a_missing_device_is_logged_once_and_heals(void **state)
{
    (void)state;
    struct seen seen, second;
    char log[4096];
    output_capture();
    struct device_subscription *s = subscribe(&seen, "wg9");
    struct device_subscription *t = subscribe(&second, "wg9");
    sleep_ms(1500); /* a few reads */
    snprintf(log, sizeof(log), "%s", output_take());
    struct fake_uapi *fake = fake_make("wg9", 2);
    int error = atomic_load(&seen.error), second_error = atomic_load(&second.error);
    for (int waited = 0; waited < WAIT_MS && atomic_load(&second.peers) != 2; waited += 10)
        sleep_ms(10);
    sleep_ms(600);
    char healed[4096];
    snprintf(healed, sizeof(healed), "%s", output_take());
    output_release();
    assert_int_equal(error, ERR_NO_DEVICE);
    assert_int_equal(second_error, ERR_NO_DEVICE);
    assert_int_equal(count_of(log, "[ERROR] plugin/wgsd: device wg9: file does not exist"), 1);
    assert_int_equal(count_of(log, "\n"), 1);
    assert_string_equal(healed, "[INFO] plugin/wgsd: device wg9: readable again, 2 peers\n");
    wait_for(&seen, OK, 2);
    wait_for(&second, OK, 2);
    device_unsubscribe(s);
    device_unsubscribe(t);
    fake_uapi_destroy(fake);
}

/* A device that no wgsd directive has is no matter of wgsd's, and answers nothing. */
static void each_directive_that_has_the_device_says_so(void **state)
{
    (void)state;
    struct seen seen[3];
    struct device_subscription *s[3];
    char log[4096], healed[4096];
    output_capture();
    for (size_t i = 0; i < ARRAY_COUNT(s); i++)
        s[i] = subscribe_as(&seen[i], "wg8", i < 2 ? "warren" : "wgsd");
    snprintf(log, sizeof(log), "%s", output_take());
    struct fake_uapi *fake = fake_make("wg8", 2);
    for (size_t i = 0; i < ARRAY_COUNT(s); i++)
        for (int waited = 0; waited < WAIT_MS && atomic_load(&seen[i].peers) != 2; waited += 10)
            sleep_ms(10);
    sleep_ms(200);
    snprintf(healed, sizeof(healed), "%s", output_take());
    output_release();
    assert_string_equal(log, "[ERROR] plugin/warren: device wg8: file does not exist "
                             "(waiting until it appears)\n");
    assert_int_equal(count_of(healed, "[INFO] plugin/warren: device wg8: readable again"), 1);
    assert_int_equal(count_of(healed, "[INFO] plugin/wgsd: device wg8: readable again"), 1);
    assert_int_equal(count_of(healed, "\n"), 2);
    for (size_t i = 0; i < ARRAY_COUNT(s); i++)
        device_unsubscribe(s[i]);
    fake_uapi_destroy(fake);
}

/* Go's os.ErrNotExist, which wgsd's users find in their logs. */
static void a_missing_device_has_gos_words(void **state)
{
    (void)state;
    struct seen seen;
    output_capture();
    struct device_subscription *s = subscribe(&seen, "wg7");
    output_release();
    assert_string_equal(seen.detail, "file does not exist");
    device_unsubscribe(s);
}

static uint64_t reads_in(const struct fake_uapi *fake, int ms)
{
    uint64_t before = fake_uapi_get_count(fake);
    sleep_ms(ms);
    return fake_uapi_get_count(fake) - before;
}

static void subscribers_of_one_device_share_one_watch(void **state)
{
    (void)state;
    struct fake_uapi *fake = fake_make("wg9", 1);
    struct seen seen[5];
    struct device_subscription *s[5];
    s[0] = subscribe(&seen[0], "wg9");
    uint64_t opened = fake_uapi_get_count(fake);
    for (int i = 1; i < 5; i++)
        s[i] = subscribe(&seen[i], "wg9");
    assert_in_range(fake_uapi_get_count(fake) - opened, 0, 1); /* its own turn at most */
    assert_in_range(reads_in(fake, 2000), 1, 7);
    fake_set_peers(fake, 4);
    for (int i = 0; i < 5; i++)
        wait_for(&seen[i], OK, 4);
    for (int i = 0; i < 5; i++)
        device_unsubscribe(s[i]);
    fake_uapi_destroy(fake);
}

static void the_last_subscriber_ends_the_watch(void **state)
{
    (void)state;
    struct fake_uapi *fake = fake_make("wg9", 1);
    struct seen first, second;
    struct device_subscription *s = subscribe(&first, "wg9"), *t = subscribe(&second, "wg9");
    device_unsubscribe(s);
    fake_set_peers(fake, 2);
    wait_for(&second, OK, 2);
    assert_int_equal(atomic_load(&first.peers), 1);
    device_unsubscribe(t);
    assert_int_equal(reads_in(fake, 1200), 0);
    fake_uapi_destroy(fake);
}

static void a_device_whose_name_differs_is_another(void **state)
{
    (void)state;
    struct fake_uapi *fake = fake_make("wg9", 1), *other = fake_make("wg8", 2);
    struct seen first, second;
    struct device_subscription *s = subscribe(&first, "wg9"), *t = subscribe(&second, "wg8");
    assert_int_equal(atomic_load(&first.peers), 1);
    assert_int_equal(atomic_load(&second.peers), 2);
    device_unsubscribe(t);
    fake_set_peers(fake, 3);
    wait_for(&first, OK, 3);
    device_unsubscribe(s);
    fake_uapi_destroy(fake);
    fake_uapi_destroy(other);
}

struct flapper {
    struct fake_uapi *fake;
    atomic_bool is_over;
};

static void *flap(void *context)
{
    struct flapper *f = context;
    for (unsigned i = 0; !atomic_load(&f->is_over); i++) {
        struct fake_uapi_options options = {.answer_errno = i % 3 == 0 ? -5 : 0};
        size_t size;
        char *text = fake_uapi_make_peers(i % 7, 0, &size);
        if (text != NULL && fake_uapi_set_state(f->fake, text, size) == OK)
            fake_uapi_set_options(f->fake, &options);
        free(text);
        sleep_ms(20);
    }
    return NULL;
}

static void nothing_is_told_after_unsubscribing_however_fast_things_change(void **state)
{
    (void)state;
    struct flapper f = {.fake = fake_make("wg9", 1)};
    struct seen stays, seen[40];
    pthread_t thread;
    output_capture();
    struct device_subscription *keep = subscribe(&stays, "wg9");
    assert_int_equal(pthread_create(&thread, NULL, flap, &f), 0);
    for (int i = 0; i < 40; i++) {
        struct device_subscription *s = subscribe(&seen[i], "wg9");
        sleep_ms(i * 7 % 90);
        device_unsubscribe(s);
        atomic_store(&seen[i].is_over, true);
        if (i % 10 == 9) { /* the whole watch, too */
            device_unsubscribe(keep);
            keep = subscribe(&stays, "wg9");
        }
    }
    atomic_store(&f.is_over, true);
    pthread_join(thread, NULL);
    device_unsubscribe(keep);
    output_release();
    for (int i = 0; i < 40; i++)
        assert_int_equal(atomic_load(&seen[i].late), 0);
    fake_uapi_destroy(f.fake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_subscriber_knows_the_state_before_it_goes_on, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(changes_are_told, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(each_directive_that_has_the_device_says_so, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_missing_device_is_logged_once_and_heals, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_missing_device_has_gos_words, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(subscribers_of_one_device_share_one_watch, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(the_last_subscriber_ends_the_watch, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(a_device_whose_name_differs_is_another, make_folder,
                                        remove_folder),
        cmocka_unit_test_setup_teardown(
            nothing_is_told_after_unsubscribing_however_fast_things_change, make_folder,
            remove_folder),
    };
    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
