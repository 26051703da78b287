/* The wgsd directive: its arguments with wgsd's messages, and its place in a chain. What it answers
 * is zones/wgsd's matter, and of the captures. */
#include "tests/unit/dnsd/support.h"

#include "tests/support/fake_uapi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PEER_1 "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp."

static char directory[] = "/tmp/warren-wgsd.XXXXXX";

static const char device_state[] =
    "private_key=0101010101010101010101010101010101010101010101010101010101010101\n"
    "listen_port=51820\n"
    "public_key=0100000000000000000000000000000000000000000000000000000000000000\n"
    "endpoint=192.0.2.1:1\n"
    "allowed_ip=10.0.0.1/32\n";

static int make_device(void **state)
{
    struct fake_uapi *device;
    assert_non_null(mkdtemp(directory));
    assert_int_equal(setenv("WARREN_WG_SOCKET_DIR", directory, 1), 0);
    assert_int_equal(fake_uapi_create(&device, directory, "wgt0"), OK);
    assert_int_equal(fake_uapi_set_state(device, device_state, strlen(device_state)), OK);
    *state = device;
    return 0;
}

static int remove_device(void **state)
{
    fake_uapi_destroy(*state);
    return rmdir(directory);
}

static void assert_refused(const char *lines, const char *message)
{
    char corefile[512];
    snprintf(corefile, sizeof(corefile), ".:53 {\n%s\n}\n", lines);
    assert_string_equal(chain_error(corefile), message);
}

static void zone_and_device_are_needed(void **state)
{
    (void)state;
    assert_refused("wgsd", "plugin/wgsd: expected 2 args, got 0");
    assert_refused("wgsd example.com", "plugin/wgsd: expected 2 args, got 1");
    assert_refused("wgsd example.com wgt0 wgt1", "plugin/wgsd: expected 2 args, got 3");
}

static void a_zone_stands_once_in_a_block(void **state)
{
    (void)state;
    assert_refused("wgsd example.com wgt0\nwgsd example.com. wgt1",
                   "plugin/wgsd: duplicate zone name example.com.");
    chain_free(chain_load(".:53 {\nwgsd example.com wgt0\nwgsd Example.com wgt0\n}\n"));
}

static void a_zone_is_a_domain_name(void **state)
{
    (void)state;
    assert_refused("wgsd a..b wgt0", "plugin/wgsd: 'a..b.' is not a domain name");
}

static void self_takes_an_endpoint_first_and_then_prefixes(void **state)
{
    (void)state;
    assert_refused("wgsd z wgt0 {\nself 192.0.2.1:http\n}",
                   "plugin/wgsd: error converting self endpoint port: strconv.Atoi: parsing "
                   "\"http\": invalid syntax");
    assert_refused("wgsd z wgt0 {\nself 192.0.2.1:99999999999999999999\n}",
                   "plugin/wgsd: error converting self endpoint port: strconv.Atoi: parsing "
                   "\"99999999999999999999\": value out of range");
    assert_refused("wgsd z wgt0 {\nself host:1\n}",
                   "plugin/wgsd: invalid self endpoint IP address: host");
    assert_refused("wgsd z wgt0 {\nself [fe80::1%lo]:1\n}",
                   "plugin/wgsd: invalid self endpoint IP address: fe80::1%lo");
    assert_refused("wgsd z wgt0 {\nself 10.0.0.0/8 192.0.2.1:1\n}",
                   "plugin/wgsd: invalid self allowed-ip '192.0.2.1:1' err: invalid CIDR address: "
                   "192.0.2.1:1");
    assert_refused("wgsd z wgt0 {\nself 10.0.0.0/33\n}",
                   "plugin/wgsd: invalid self allowed-ip '10.0.0.0/33' err: invalid CIDR address: "
                   "10.0.0.0/33");
    chain_free(chain_load(".:53 {\nwgsd z wgt0 {\nself 2001:db8::/32 10.0.0.0/8\n}\n}\n"));
    chain_free(
        chain_load(".:53 {\nwgsd z wgt0 {\nself [2001:db8::1]:51820\nself 10.0.0.0/8\n}\n}\n"));
}

static void other_words_in_the_block_are_refused(void **state)
{
    (void)state;
    assert_refused("wgsd z wgt0 {\nother\n}",
                   "plugin/wgsd: Corefile:3 - Error during parsing: Wrong argument count or "
                   "unexpected line ending after 'other'");
    /* As in wgsd: the closing brace must stand on a line of its own. */
    assert_refused("wgsd z wgt0 { self }",
                   "plugin/wgsd: invalid self allowed-ip '}' err: invalid CIDR address: }");
}

/* wgsd emits a port modulo 65536, and a negative one is an integer as well. */
static void port_of_self_is_taken_modulo_65536(void **state)
{
    (void)state;
    struct chain *c =
        chain_load(".:53 {\nwgsd z wgt0 {\nself 192.0.2.9:65537 10.0.0.254/24\n}\n}\n");
    const char *reply = CHAIN_ASK(
        c, .name = "utqjfevwkhbhrolxfrlj6x5jxmj5sbvunk3izhpz3qvuicpyuieq====._wireguard._udp.z.",
        .type = DNS_TYPE_SRV, .udp_size = 4096);
    assert_non_null(strstr(reply, " SRV 1 "));
    assert_non_null(strstr(reply, "192.0.2.9"));
    assert_non_null(strstr(reply, "allowed=10.0.0.0/24")); /* masked */
    chain_free(c);
}

static void the_longest_zone_of_the_block_answers(void **state)
{
    (void)state;
    struct chain *c =
        chain_load(".:53 {\nwgsd example.com missing0\nwgsd sub.example.com wgt0\n}\n");
    const char *reply = CHAIN_ASK(c, .name = PEER_1 "sub.example.com.", .type = DNS_TYPE_A);
    assert_non_null(strstr(reply, "NOERROR"));
    assert_non_null(strstr(reply, "192.0.2.1"));
    chain_free(c);
}

static void a_name_of_no_zone_goes_to_the_next_handler(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\nwgsd example.com wgt0\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 300 A 192.0.2.53");
    const char *reply = CHAIN_ASK(c, .name = "other.example.", .type = DNS_TYPE_A);
    assert_int_equal(chain_asked(c), 1);
    assert_non_null(strstr(reply, "192.0.2.53"));
    /* One of its own never does, found or not. */
    reply = CHAIN_ASK(c, .name = "nothing.example.com.", .type = DNS_TYPE_A);
    assert_int_equal(chain_asked(c), 1);
    assert_non_null(strstr(reply, "NXDOMAIN"));
    chain_free(c);
}

static void an_unreadable_device_is_servfail_with_wgsds_error(void **state)
{
    (void)state;
    output_capture();
    struct chain *c = chain_load(".:53 {\nerrors\nwgsd example.com missing0\n}\n");
    const char *line = output_take();
    assert_non_null(strstr(line, "[ERROR] plugin/wgsd: device missing0: file does not exist"));
    const char *reply = CHAIN_ASK(c, .name = "_wireguard._udp.example.com.", .type = DNS_TYPE_PTR);
    assert_string_equal(reply, "SERVFAIL qr,rd");
    assert_string_equal(output_take(), "[ERROR] plugin/errors: 2 _wireguard._udp.example.com. PTR: "
                                       "file does not exist\n");
    /* Names that no device is needed for are answered. */
    reply = CHAIN_ASK(c, .name = "example.com.", .type = DNS_TYPE_SOA);
    assert_non_null(strstr(reply, "NXDOMAIN"));
    chain_free(c);
    output_release();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zone_and_device_are_needed),
        cmocka_unit_test(a_zone_stands_once_in_a_block),
        cmocka_unit_test(a_zone_is_a_domain_name),
        cmocka_unit_test(self_takes_an_endpoint_first_and_then_prefixes),
        cmocka_unit_test(other_words_in_the_block_are_refused),
        cmocka_unit_test(port_of_self_is_taken_modulo_65536),
        cmocka_unit_test(the_longest_zone_of_the_block_answers),
        cmocka_unit_test(a_name_of_no_zone_goes_to_the_next_handler),
        cmocka_unit_test(an_unreadable_device_is_servfail_with_wgsds_error),
    };
    return cmocka_run_group_tests(tests, make_device, remove_device);
}
