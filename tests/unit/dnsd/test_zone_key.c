#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/corefile/zone_key.h"

#include <string.h>

static struct arena arena;
static struct strbuf text;

/* The zones of KEY as "scheme://zone:port ...", or the error. */
static const char *zones_of(const char *key)
{
    struct zone_key *keys;
    size_t count;
    arena_reset(&arena);
    strbuf_clear(&text);
    if (zone_key_parse(key, "53", &arena, &keys, &count, &text) != OK)
        return strbuf_str(&text);
    for (size_t i = 0; i < count; i++)
        strbuf_add_format(&text, "%s%s://%s:%s", i > 0 ? " " : "",
                          transport_name(keys[i].transport), keys[i].zone, keys[i].port);
    return strbuf_str(&text);
}

static const char *normalized(const char *arg)
{
    const char **zones;
    size_t count;
    arena_reset(&arena);
    strbuf_clear(&text);
    assert_int_equal(zone_arg_normalize(arg, &arena, &zones, &count), OK);
    for (size_t i = 0; i < count; i++)
        strbuf_add_format(&text, "%s%s", i > 0 ? " " : "", zones[i]);
    return strbuf_str(&text);
}

static void the_scheme_picks_the_default_port(void **state)
{
    (void)state;
    assert_string_equal(zones_of("example.org"), "dns://example.org.:53");
    assert_string_equal(zones_of("dns://."), "dns://.:53");
    assert_string_equal(zones_of("tls://a."), "tls://a.:853");
    assert_string_equal(zones_of("quic://a"), "quic://a.:853");
    assert_string_equal(zones_of("grpc://a"), "grpc://a.:443");
    assert_string_equal(zones_of("https://a:8443"), "https://a.:8443");
    assert_string_equal(zones_of("TLS://a"), "dns://TLS://a.:53");
}

static void case_is_kept(void **state)
{
    (void)state;
    assert_string_equal(zones_of("Example.ORG"), "dns://Example.ORG.:53");
}

static void the_last_colon_and_a_number_are_the_port(void **state)
{
    (void)state;
    assert_string_equal(zones_of(".:1053"), "dns://.:1053");
    assert_string_equal(zones_of("a:+5"), "dns://a.:5");
    assert_string_equal(zones_of("a:0053"), "dns://a.:53");
    assert_string_equal(zones_of("a:-5"), "dns://a.:-5");
    assert_string_equal(zones_of("a:b"), "dns://a:b.:53");
    assert_string_equal(zones_of("a:99999999999999999999"), "dns://a:99999999999999999999.:53");
    assert_string_equal(zones_of("::1"), "dns://:.:1");
}

static void nothing_behind_the_last_colon_is_an_error(void **state)
{
    (void)state;
    assert_string_equal(zones_of("a:"), "expecting data after last colon: \"a:\"");
    assert_string_equal(zones_of(""), "expecting data after last colon: \"\"");
    assert_string_equal(zones_of("a\"\t\x01:"),
                        "expecting data after last colon: \"a\\\"\\t\\x01:\"");
}

static void a_port_alone_is_no_zone(void **state)
{
    (void)state;
    assert_string_equal(zones_of(":53"), "zone is not a valid domain name: ");
}

static void names_are_checked_as_miekg_dns_does(void **state)
{
    char label[65], zone[300];
    (void)state;
    assert_string_equal(zones_of("a..b"), "zone is not a valid domain name: a..b");
    assert_string_equal(zones_of(".a"), "zone is not a valid domain name: .a");
    assert_string_equal(zones_of("a\\.b"), "dns://a\\.b.:53");
    assert_string_equal(zones_of("a\\."), "dns://a\\..:53");
    assert_string_equal(zones_of("a\\046b"), "dns://a\\046b.:53");
    memset(label, 'x', 64);
    label[64] = '\0';
    assert_non_null(strstr(zones_of(label), "zone is not a valid domain name: xxx"));
    assert_non_null(strstr(zones_of(label + 1), "dns://xxx"));
    for (size_t i = 0; i < sizeof(zone); i++)
        zone[i] = i % 50 == 49 ? '.' : 'a';
    zone[256] = '\0';
    assert_string_equal(zones_of(zone), "specified zone is too long: 256 > 255");
    zone[255] = '\0';
    assert_string_equal(zones_of(zone), "specified zone is too long: 256 > 255");
    zone[254] = '\0';
    assert_non_null(strstr(zones_of(zone), "dns://"));
}

static void a_prefix_becomes_its_reverse_zones(void **state)
{
    (void)state;
    assert_string_equal(zones_of("10.0.0.0/24"), "dns://0.0.10.in-addr.arpa.:53");
    assert_string_equal(zones_of("10.1.2.3/8:54"), "dns://10.in-addr.arpa.:54");
    assert_string_equal(zones_of("10.0.0.0/23"),
                        "dns://0.0.10.in-addr.arpa.:53 dns://1.0.10.in-addr.arpa.:53");
    assert_string_equal(zones_of("0.0.0.0/0"), "dns://in-addr.arpa.:53");
    assert_string_equal(zones_of("1.2.3.4/32"), "dns://4.3.2.1.in-addr.arpa.:53");
    assert_string_equal(zones_of("2001:db8::/32"), "dns://8.b.d.0.1.0.0.2.ip6.arpa.:53");
    assert_string_equal(zones_of("2001:db8::/31"), "dns://8.b.d.0.1.0.0.2.ip6.arpa.:53 "
                                                   "dns://9.b.d.0.1.0.0.2.ip6.arpa.:53");
}

static void a_prefix_of_one_bit_has_128_zones(void **state)
{
    struct zone_key *keys;
    size_t count;
    (void)state;
    arena_reset(&arena);
    strbuf_clear(&text);
    assert_int_equal(zone_key_parse("128.0.0.0/1", "53", &arena, &keys, &count, &text), OK);
    assert_int_equal(count, 128);
    assert_string_equal(keys[127].zone, "255.in-addr.arpa.");
}

static void what_is_no_prefix_is_a_name(void **state)
{
    (void)state;
    assert_string_equal(zones_of("10.0.0.0/33"), "dns://10.0.0.0/33.:53");
    assert_string_equal(zones_of("10.0.0.0/"), "dns://10.0.0.0/.:53");
    assert_string_equal(zones_of("010.0.0.0/8"), "dns://010.0.0.0/8.:53");
    assert_string_equal(zones_of("10.0.0.0/08"), "dns://10.in-addr.arpa.:53");
}

static void ipv6_prefixes_that_start_with_zero_are_refused(void **state)
{
    (void)state;
    assert_string_equal(zones_of("::/8"), "invalid CIDR ::/8");
    assert_string_equal(zones_of("0::1/64"), "invalid CIDR 0::1/64");
}

static void unix_sockets_are_refused(void **state)
{
    (void)state;
    assert_string_equal(zones_of("unix:///tmp/x"), "no server can listen on unix:///tmp/x");
}

static void zone_arguments_lose_scheme_port_and_case(void **state)
{
    (void)state;
    assert_string_equal(normalized("tls://Example.ORG:53"), "example.org.");
    assert_string_equal(normalized("10.0.0.0/15"), "0.10.in-addr.arpa. 1.10.in-addr.arpa.");
    assert_string_equal(normalized("a..b"), "");
    assert_string_equal(normalized(""), "");
}

static void origins_are_the_arguments_or_the_blocks_keys(void **state)
{
    static const char *const args[] = {"A.org", "b..c", "d"};
    static const char *const keys[] = {"dns://X.org.:53", "dns://y.:1053"};
    const char **zones;
    size_t count;
    (void)state;
    arena_reset(&arena);
    assert_int_equal(zone_origins(args, 3, keys, 2, &arena, &zones, &count), OK);
    assert_int_equal(count, 2);
    assert_string_equal(zones[0], "a.org.");
    assert_string_equal(zones[1], "d.");
    assert_int_equal(zone_origins(NULL, 0, keys, 2, &arena, &zones, &count), OK);
    assert_int_equal(count, 2);
    assert_string_equal(zones[0], "x.org.");
    assert_string_equal(zones[1], "y.");
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    strbuf_fini(&text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scheme_picks_the_default_port),
        cmocka_unit_test(case_is_kept),
        cmocka_unit_test(the_last_colon_and_a_number_are_the_port),
        cmocka_unit_test(nothing_behind_the_last_colon_is_an_error),
        cmocka_unit_test(a_port_alone_is_no_zone),
        cmocka_unit_test(names_are_checked_as_miekg_dns_does),
        cmocka_unit_test(a_prefix_becomes_its_reverse_zones),
        cmocka_unit_test(a_prefix_of_one_bit_has_128_zones),
        cmocka_unit_test(what_is_no_prefix_is_a_name),
        cmocka_unit_test(ipv6_prefixes_that_start_with_zero_are_refused),
        cmocka_unit_test(unix_sockets_are_refused),
        cmocka_unit_test(zone_arguments_lose_scheme_port_and_case),
        cmocka_unit_test(origins_are_the_arguments_or_the_blocks_keys),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
