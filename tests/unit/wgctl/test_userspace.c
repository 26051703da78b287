/* The reader of userspace devices: its text parser cut everywhere, and the socket against a double
 * that misbehaves. */
#include "wgctl/userspace.h"

#include "base/wg.h"
#include "tests/support/fake_uapi.h"
#include "wgctl/device.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY_ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY_ONE  "0101010101010101010101010101010101010101010101010101010101010101"
static const char sample[] = "private_key=" KEY_ONE "\n"
                             "listen_port=51820\n"
                             "fwmark=9\n"
                             "public_key=" KEY_ONE "\n"
                             "preshared_key=" KEY_ZERO "\n"
                             "protocol_version=1\n"
                             "endpoint=192.0.2.1:1001\n"
                             "last_handshake_time_sec=1700000000\n"
                             "last_handshake_time_nsec=5\n"
                             "tx_bytes=18446744073709551615\n"
                             "rx_bytes=2\n"
                             "persistent_keepalive_interval=25\n"
                             "allowed_ip=10.0.0.1/32\n"
                             "allowed_ip=fd00::/64\n"
                             "public_key=" KEY_ZERO "\n"
                             "preshared_key=" KEY_ONE "\n"
                             "endpoint=[fe80::1%7]:4\n"
                             "something_new=\n"
                             "allowed_ip=0.0.0.0/0\n"
                             "errno=0\n"
                             "\n";

/* --- The parser. --- */

static struct public_key_cache key_cache;
static struct failure why;

static int set_up(void **state)
{
    (void)state;
    if (sodium_init() < 0)
        return -1;
    public_key_cache_init(&key_cache);
    return 0;
}

/* Feeds TEXT in parts of PART bytes, the first of FIRST, each from an exact-size copy. */
static enum err parse_parts(struct wg_device *device, const char *text, size_t size, size_t first,
                            size_t part)
{
    struct uapi_parser p;
    enum err error = OK;
    wg_device_clear(device);
    uapi_parser_init(&p, device, &key_cache, &why);
    for (size_t at = 0, n = first; at < size && error == OK; at += n, n = part) {
        n = n < size - at ? n : size - at;
        char *exact = malloc(n > 0 ? n : 1);
        assert_non_null(exact);
        memcpy(exact, text + at, n);
        error = uapi_parser_feed(&p, exact, n);
        free(exact);
    }
    return error == OK ? uapi_parser_finish(&p) : error;
}

static enum err parse(const char *text)
{
    struct wg_device device;
    wg_device_init(&device);
    enum err error = parse_parts(&device, text, strlen(text), strlen(text), 1);
    wg_device_fini(&device);
    return error;
}

static void assert_sample(const struct wg_device *d)
{
    uint8_t ones[KEY_SIZE], expected[KEY_SIZE];
    memset(ones, 1, sizeof(ones));
    assert_int_equal(crypto_scalarmult_base(expected, ones), 0);
    assert_true(d->has_public_key);
    assert_memory_equal(d->public_key, expected, KEY_SIZE);
    assert_int_equal(d->listen_port, 51820);
    assert_int_equal(d->fwmark, 9);
    assert_int_equal(d->peer_count, 2);
    assert_int_equal(d->allowed_ip_count, 3);
    const struct wg_peer *a = &d->peers[0], *z = &d->peers[1];
    assert_memory_equal(a->public_key, ones, KEY_SIZE);
    assert_false(a->has_preshared_key);
    assert_int_equal(a->endpoint.addr.family, IP_V4);
    assert_int_equal(a->endpoint.port, 1001);
    assert_int_equal(a->last_handshake_sec, 1700000000);
    assert_int_equal(a->last_handshake_nsec, 5);
    assert_true(a->tx_bytes == UINT64_MAX);
    assert_int_equal(a->rx_bytes, 2);
    assert_int_equal(a->persistent_keepalive, 25);
    assert_int_equal(a->allowed_ip_count, 2);
    assert_int_equal(d->allowed_ips[1].addr.family, IP_V6);
    assert_int_equal(d->allowed_ips[1].length, 64);
    assert_true(z->has_preshared_key);
    assert_int_equal(z->endpoint.scope_id, 7);
    assert_int_equal(z->endpoint.port, 4);
    assert_int_equal(z->allowed_ip_start, 2);
    assert_int_equal(z->allowed_ip_count, 1);
}

static void reads_a_whole_answer_cut_at_every_byte(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    for (size_t cut = 0; cut < sizeof(sample); cut++) {
        assert_int_equal(parse_parts(&d, sample, sizeof(sample) - 1, cut, sizeof(sample)), OK);
        assert_sample(&d);
    }
    for (size_t part = 1; part < 80; part++) {
        assert_int_equal(parse_parts(&d, sample, sizeof(sample) - 1, part, part), OK);
        assert_sample(&d);
    }
    wg_device_fini(&d);
}

static void an_answer_that_ends_anywhere_before_its_end_is_malformed(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    /* The empty line may be missing: errno is the answer's last word. */
    for (size_t size = 0; size < sizeof(sample) - 2; size++)
        assert_int_equal(parse_parts(&d, sample, size, size, 1), ERR_MALFORMED);
    assert_int_equal(parse_parts(&d, sample, sizeof(sample) - 2, 1, 1), OK);
    wg_device_fini(&d);
    assert_int_equal(parse("\n"), ERR_MALFORMED);
    assert_int_equal(parse("listen_port=1\n\nerrno=0\n\n"), ERR_MALFORMED);
}

static void what_follows_the_end_is_ignored(void **state)
{
    (void)state;
    assert_int_equal(parse("errno=0\n\ngarbage\n"), OK);
}

static void bad_values_of_known_keys_are_malformed_and_name_key_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        const char *value;
        bool of_peer;
    } cases[] = {
        {"private_key", "", false},
        {"private_key", "01", false},
        {"private_key", KEY_ONE "0", false},
        {"private_key", "g101010101010101010101010101010101010101010101010101010101010101", false},
        {"listen_port", "", false},
        {"listen_port", "65536", false},
        {"listen_port", "-1", false},
        {"listen_port", "1 ", false},
        {"listen_port", "0x1", false},
        {"fwmark", "4294967296", false},
        {"public_key", "01", true},
        {"preshared_key", "01", true},
        {"preshared_key", "0000000000000000000000000000000000000000000000000000000000000g00", true},
        {"endpoint", "", true},
        {"endpoint", "192.0.2.1", true},
        {"endpoint", "192.0.2.1:65536", true},
        {"endpoint", "host.example:1", true},
        {"endpoint", "::1:1", true},
        {"allowed_ip", "", true},
        {"allowed_ip", "10.0.0.1", true},
        {"allowed_ip", "10.0.0.1/33", true},
        {"allowed_ip", "fd00::/129", true},
        {"last_handshake_time_sec", "", true},
        {"last_handshake_time_sec", "-", true},
        {"last_handshake_time_sec", "9223372036854775808", true},
        {"last_handshake_time_nsec", "x", true},
        {"rx_bytes", "18446744073709551616", true},
        {"tx_bytes", "-1", true},
        {"persistent_keepalive_interval", "65536", true},
        {"errno", "", true},
        {"errno", "99999999999", true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), "listen_port=1\n%s%s=%s\nerrno=0\n\n",
                       cases[i].of_peer ? "public_key=" KEY_ZERO "\n" : "", cases[i].key,
                       cases[i].value);
        assert_int_equal(parse(text), ERR_MALFORMED);
        char wanted[128];
        (void)snprintf(wanted, sizeof(wanted), "%s in line %d", cases[i].key,
                       cases[i].of_peer ? 3 : 2);
        assert_non_null(strstr(why.text, wanted));
    }
}

static void a_message_never_quotes_a_value(void **state)
{
    (void)state;
    assert_int_equal(parse("private_key=beef\nerrno=0\n\n"), ERR_MALFORMED);
    assert_null(strstr(why.text, "beef"));
}

static void a_line_without_equals_sign_is_malformed(void **state)
{
    (void)state;
    assert_int_equal(parse("listen_port\nerrno=0\n\n"), ERR_MALFORMED);
    assert_non_null(strstr(why.text, "line 1"));
}

static void unknown_keys_of_any_length_are_ignored(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    for (size_t length = 0; length < 3 * UAPI_LINE_SIZE; length += 37) {
        char text[4 * UAPI_LINE_SIZE] = "novel=";
        memset(text + 6, '=', length);
        strcpy(text + 6 + length, "\nlisten_port=5\nerrno=0\n\n");
        for (size_t part = 1; part < sizeof(text); part += 50) {
            assert_int_equal(parse_parts(&d, text, strlen(text), part, part), OK);
            assert_int_equal(d.listen_port, 5);
        }
    }
    wg_device_fini(&d);
}

static void an_over_long_line_of_a_known_key_is_malformed_however_it_is_cut(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    char text[4 * UAPI_LINE_SIZE] = "listen_port=";
    memset(text + 12, '0', 2 * UAPI_LINE_SIZE);
    strcpy(text + 12 + 2 * UAPI_LINE_SIZE, "1\nerrno=0\n\n");
    for (size_t part = 1; part < sizeof(text); part += 50)
        assert_int_equal(parse_parts(&d, text, strlen(text), part, part), ERR_MALFORMED);
    wg_device_fini(&d);
}

static void keys_out_of_their_section_are_ignored(void **state)
{
    (void)state;
    assert_int_equal(parse("endpoint=x\nallowed_ip=x\nrx_bytes=x\nerrno=0\n\n"), OK);
    assert_int_equal(parse("public_key=" KEY_ONE "\nlisten_port=x\nfwmark=x\nerrno=0\n\n"), OK);
}

static void the_errno_of_either_sign_is_honoured(void **state)
{
    (void)state;
    assert_int_equal(parse("errno=1\n\n"), ERR_PERMISSION);
    assert_int_equal(parse("errno=-1\n\n"), ERR_PERMISSION);
    assert_int_equal(parse("errno=-19\n\n"), ERR_NO_DEVICE);
    /* Never ERR_NOT_FOUND, which would make us ask the kernel. */
    assert_int_equal(parse("errno=-2\n\n"), ERR_IO);
}

static void a_v4_mapped_endpoint_is_kept_as_read(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    static const char text[] = "public_key=" KEY_ONE "\nendpoint=[::ffff:192.0.2.1]:7\nerrno=0\n\n";
    assert_int_equal(parse_parts(&d, text, sizeof(text) - 1, 9, 9), OK);
    assert_int_equal(d.peers[0].endpoint.addr.family, IP_V6);
    wg_device_fini(&d);
}

static void an_endpoint_scope_may_be_an_interface_name(void **state)
{
    (void)state;
    struct wg_device d;
    wg_device_init(&d);
    static const char text[] = "public_key=" KEY_ONE "\nendpoint=[fe80::1%lo]:4\nerrno=0\n\n";
    assert_int_equal(parse_parts(&d, text, sizeof(text) - 1, 9, 9), OK);
    assert_int_equal(d.peers[0].endpoint.port, 4);
    assert_true(d.peers[0].endpoint.scope_id <= 1); /* 0 where there is no interface "lo" */
    wg_device_fini(&d);
}

static void no_or_a_zero_private_key_gives_no_public_key(void **state)
{
    (void)state;
    static const char *const texts[] = {"errno=0\n\n", "private_key=" KEY_ZERO "\nerrno=0\n\n"};
    struct wg_device d;
    wg_device_init(&d);
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        assert_int_equal(parse_parts(&d, texts[i], strlen(texts[i]), 5, 5), OK);
        assert_false(d.has_public_key);
    }
    wg_device_fini(&d);
}

static void the_cached_public_key_follows_the_private_key(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        uint8_t private_key[KEY_SIZE] = {(uint8_t)(round / 2 + 1)};
        uint8_t public_key[KEY_SIZE], expected[KEY_SIZE];
        public_key_derive(&key_cache, public_key, private_key);
        assert_int_equal(crypto_scalarmult_base(expected, private_key), 0);
        assert_memory_equal(public_key, expected, KEY_SIZE);
        /* Nothing of the private key stays. */
        assert_true(memcmp(key_cache.digest, private_key, KEY_SIZE) != 0);
    }
}

/* RFC 7748 section 6.1, Alice. */
static void the_public_key_is_that_of_rfc_7748(void **state)
{
    (void)state;
    static const char private_hex[] =
        "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    static const char public_hex[] =
        "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    uint8_t private_key[KEY_SIZE], public_key[KEY_SIZE], expected[KEY_SIZE];
    assert_int_equal(hex_decode(private_key, private_hex, KEY_HEX_SIZE), OK);
    assert_int_equal(hex_decode(expected, public_hex, KEY_HEX_SIZE), OK);
    public_key_derive(&key_cache, public_key, private_key);
    assert_memory_equal(public_key, expected, KEY_SIZE);
}

static void the_parser_keeps_no_part_of_a_line_after_the_end(void **state)
{
    (void)state;
    static const char text[] = "private_key=0101";
    static const char zeros[UAPI_LINE_SIZE];
    struct wg_device d;
    struct uapi_parser p;
    wg_device_init(&d);
    uapi_parser_init(&p, &d, &key_cache, &why);
    assert_int_equal(uapi_parser_feed(&p, text, sizeof(text) - 1), OK);
    assert_int_equal(uapi_parser_finish(&p), ERR_MALFORMED);
    assert_memory_equal(p.partial, zeros, sizeof(zeros));
    wg_device_fini(&d);
}

/* --- The socket. --- */

struct world {
    char directory[64];
    struct fake_uapi *fake;
    struct wgctl *reader;
    struct wg_device device;
};

static int world_up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -1;
    strcpy(w->directory, "/tmp/warren-uapi.XXXXXX");
    if (mkdtemp(w->directory) == NULL || fake_uapi_create(&w->fake, w->directory, "fake0") != OK ||
        fake_uapi_set_state(w->fake, sample, sizeof(sample) - 1) != OK ||
        wgctl_create(&w->reader, w->directory) != OK)
        return -1;
    wg_device_init(&w->device);
    *state = w;
    return 0;
}

static int world_down(void **state)
{
    struct world *w = *state;
    fake_uapi_destroy(w->fake);
    wgctl_destroy(w->reader);
    wg_device_fini(&w->device);
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/fake0.sock", w->directory);
    (void)unlink(path);
    (void)rmdir(w->directory);
    free(w);
    return 0;
}

static void reads_a_device_over_its_socket(void **state)
{
    struct world *w = *state;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), OK);
        assert_sample(&w->device);
        assert_string_equal(w->device.name, "fake0");
        assert_string_equal(wgctl_error(w->reader), "");
    }
}

static void an_answer_may_come_in_any_pieces(void **state)
{
    struct world *w = *state;
    for (size_t max = 1; max < 200; max += 7) {
        struct fake_uapi_options options = {.split_max = max, .split_seed = max};
        fake_uapi_set_options(w->fake, &options);
        assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), OK);
        assert_sample(&w->device);
    }
}

static void a_large_device_is_read_whole_and_in_order(void **state)
{
    struct world *w = *state;
    size_t size;
    char *text = fake_uapi_make_peers(20000, 2, &size);
    assert_non_null(text);
    assert_int_equal(fake_uapi_set_state(w->fake, text, size), OK);
    free(text);
    assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), OK);
    assert_int_equal(w->device.peer_count, 20000);
    assert_int_equal(w->device.allowed_ip_count, 60000);
    for (size_t i = 0; i < 20000; i++) {
        assert_int_equal(w->device.peers[i].public_key[0], (i + 1) & 0xff);
        assert_int_equal(w->device.peers[i].public_key[1], (i + 1) >> 8);
        assert_int_equal(w->device.peers[i].allowed_ip_start, 3 * i);
    }
}

static void a_failed_read_leaves_the_callers_device_alone(void **state)
{
    struct world *w = *state;
    assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), OK);
    struct fake_uapi_options options = {.truncate = true, .truncate_at = 300};
    fake_uapi_set_options(w->fake, &options);
    assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), ERR_MALFORMED);
    assert_true(strlen(wgctl_error(w->reader)) > 0);
    assert_sample(&w->device);
    options = (struct fake_uapi_options){.answer_errno = -13};
    fake_uapi_set_options(w->fake, &options);
    assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), ERR_PERMISSION);
    assert_sample(&w->device);
}

static void a_device_that_drips_is_given_up_after_the_time_for_a_whole_answer(void **state)
{
    struct world *w = *state;
    struct fake_uapi_options options = {.split_max = 1, .write_gap_ms = 30};
    struct timespec before, after;
    fake_uapi_set_options(w->fake, &options);
    (void)clock_gettime(CLOCK_MONOTONIC, &before);
    assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), ERR_TIMEOUT);
    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    double seconds =
        difftime(after.tv_sec, before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
    assert_true(seconds > 4.9 && seconds < 7);
}

static void a_missing_socket_and_a_stale_one_are_no_device(void **state)
{
    struct world *w = *state;
    assert_int_equal(wgctl_read(w->reader, "nodev0", &w->device), ERR_NO_DEVICE);
    fake_uapi_crash(w->fake);
    w->fake = NULL;
    assert_int_equal(wgctl_read(w->reader, "fake0", &w->device), ERR_NO_DEVICE);
    assert_non_null(strstr(wgctl_error(w->reader), "nothing listens"));
}

static void names_that_no_interface_can_have_are_no_device(void **state)
{
    struct world *w = *state;
    static const char *const names[] = {"", ".", "..", "../fake0", "a/b", "0123456789abcdef"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        assert_int_equal(wgctl_read(w->reader, names[i], &w->device), ERR_NO_DEVICE);
}

static void an_endpoint_is_set_with_update_only(void **state)
{
    struct world *w = *state;
    uint8_t key[KEY_SIZE];
    memset(key, 1, sizeof(key));
    struct ip_endpoint endpoint;
    static const char text[] = "[2001:db8::1]:77";
    assert_int_equal(ip_endpoint_parse(&endpoint, text, sizeof(text) - 1), OK);
    assert_int_equal(wgctl_set_peer_endpoint(w->reader, "fake0", key, &endpoint), OK);
    char *request = fake_uapi_last_set(w->fake);
    assert_string_equal(request, "set=1\npublic_key=" KEY_ONE
                                 "\nupdate_only=true\nendpoint=[2001:db8::1]:77\n\n");
    free(request);
    struct fake_uapi_options options = {.answer_errno = -22};
    fake_uapi_set_options(w->fake, &options);
    assert_int_equal(wgctl_set_peer_endpoint(w->reader, "fake0", key, &endpoint), ERR_INVALID);
    struct ip_endpoint none = {.port = 1};
    assert_int_equal(wgctl_set_peer_endpoint(w->reader, "fake0", key, &none), ERR_INVALID);
}

#define SOCKET_TEST(name) cmocka_unit_test_setup_teardown(name, world_up, world_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_whole_answer_cut_at_every_byte),
        cmocka_unit_test(an_answer_that_ends_anywhere_before_its_end_is_malformed),
        cmocka_unit_test(what_follows_the_end_is_ignored),
        cmocka_unit_test(bad_values_of_known_keys_are_malformed_and_name_key_and_line),
        cmocka_unit_test(a_message_never_quotes_a_value),
        cmocka_unit_test(a_line_without_equals_sign_is_malformed),
        cmocka_unit_test(unknown_keys_of_any_length_are_ignored),
        cmocka_unit_test(an_over_long_line_of_a_known_key_is_malformed_however_it_is_cut),
        cmocka_unit_test(keys_out_of_their_section_are_ignored),
        cmocka_unit_test(the_errno_of_either_sign_is_honoured),
        cmocka_unit_test(a_v4_mapped_endpoint_is_kept_as_read),
        cmocka_unit_test(an_endpoint_scope_may_be_an_interface_name),
        cmocka_unit_test(no_or_a_zero_private_key_gives_no_public_key),
        cmocka_unit_test(the_cached_public_key_follows_the_private_key),
        cmocka_unit_test(the_public_key_is_that_of_rfc_7748),
        cmocka_unit_test(the_parser_keeps_no_part_of_a_line_after_the_end),
        SOCKET_TEST(reads_a_device_over_its_socket),
        SOCKET_TEST(an_answer_may_come_in_any_pieces),
        SOCKET_TEST(a_large_device_is_read_whole_and_in_order),
        SOCKET_TEST(a_failed_read_leaves_the_callers_device_alone),
        SOCKET_TEST(a_device_that_drips_is_given_up_after_the_time_for_a_whole_answer),
        SOCKET_TEST(a_missing_socket_and_a_stale_one_are_no_device),
        SOCKET_TEST(names_that_no_interface_can_have_are_no_device),
        SOCKET_TEST(an_endpoint_is_set_with_update_only),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
