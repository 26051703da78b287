/* The lines of a dry run, over a fake userspace device. */
#include "wgctl/dry_run.h"

#include "fake_uapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BASE64_ONE   "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
#define BASE64_TWO   "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
#define BASE64_SEVEN "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc="

static bool owned(void *context, const uint8_t *key)
{
    (void)context;
    return key[0] == 7;
}

static void it_prints_what_a_sync_would_do_and_does_nothing(void **state)
{
    (void)state;
    static const char device[] =
        "public_key=0101010101010101010101010101010101010101010101010101010101010101\n"
        "endpoint=192.0.2.1:1\n"
        "public_key=0707070707070707070707070707070707070707070707070707070707070707\n";
    char directory[] = "/tmp/warren-test-XXXXXX";
    struct fake_uapi *fake;
    struct strbuf out = STRBUF_EMPTY, why = STRBUF_EMPTY;
    uint8_t keys[2][KEY_SIZE];
    struct ip_prefix ips[2];
    memset(keys[0], 1, KEY_SIZE);
    memset(keys[1], 2, KEY_SIZE);
    assert_int_equal(ip_prefix_parse(&ips[0], "10.99.0.2/32", 12), OK);
    assert_int_equal(ip_prefix_parse(&ips[1], "0.0.0.0/0", 9), OK);
    struct plan_peer peers[] = {{.key = keys[0]},
                                {.key = keys[1], .allowed_ips = ips, .allowed_ip_count = 2}};
    assert_int_equal(ip_endpoint_parse(&peers[0].endpoint, "192.0.2.9:9", 11), OK);
    assert_non_null(mkdtemp(directory));
    assert_int_equal(fake_uapi_create(&fake, directory, "wg0"), OK);
    assert_int_equal(fake_uapi_set_state(fake, device, sizeof(device) - 1), OK);
    struct wgctl_dry_run input = {
        .device = "wg0", .socket_dir = directory, .peers = peers, .peer_count = 2};
    assert_int_equal(wgctl_dry_run(&out, &input, &why), OK);
    assert_string_equal(strbuf_str(&out), "wg set wg0 peer " BASE64_ONE " endpoint 192.0.2.9:9\n");
    strbuf_clear(&out);
    input.adopt = true;
    input.owned = owned;
    assert_int_equal(wgctl_dry_run(&out, &input, &why), OK);
    assert_string_equal(strbuf_str(&out),
                        "wg set wg0 peer " BASE64_SEVEN " remove\n"
                        "wg set wg0 peer " BASE64_ONE " endpoint 192.0.2.9:9\n"
                        "wg set wg0 peer " BASE64_TWO " allowed-ips 10.99.0.2/32\n"
                        "# peer " BASE64_TWO
                        " allowed IP 0.0.0.0/0 refused: it would capture the default route\n");
    assert_string_equal(strbuf_str(&why), "");
    assert_int_equal(fake_uapi_set_count(fake), 0);
    strbuf_clear(&out);
    input.device = "nodev0";
    assert_int_equal(wgctl_dry_run(&out, &input, &why), ERR_NO_DEVICE);
    assert_non_null(strstr(strbuf_str(&why), "cannot read device nodev0: no such device"));
    assert_int_equal(out.size, 0);
    strbuf_fini(&out);
    strbuf_fini(&why);
    fake_uapi_destroy(fake);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_prints_what_a_sync_would_do_and_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
