#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ip.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static struct ip_addr addr(const char *text)
{
    struct ip_addr a = {0};

    if (ip_addr_parse(&a, text, strlen(text)) != OK)
        fail_msg("%s does not parse", text);
    return a;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix p = {0};

    if (ip_prefix_parse(&p, text, strlen(text)) != OK)
        fail_msg("%s does not parse", text);
    return p;
}

static struct ip_endpoint endpoint(const char *text)
{
    struct ip_endpoint e = {0};

    if (ip_endpoint_parse(&e, text, strlen(text)) != OK)
        fail_msg("%s does not parse", text);
    return e;
}

static void assert_addr(const char *text, const char *printed)
{
    struct ip_addr a = addr(text);
    char out[IP_ADDR_TEXT_SIZE];

    assert_int_equal(ip_addr_format(&a, out), strlen(printed));
    assert_string_equal(out, printed);
}

static void assert_no_addr(const char *text)
{
    struct ip_addr a = {.family = 77};

    if (ip_addr_parse(&a, text, strlen(text)) != ERR_MALFORMED)
        fail_msg("%s parses", text);
    assert_int_equal(a.family, 77); /* written only on OK */
}

static void v4_is_a_dotted_quad(void **state)
{
    struct ip_addr a = addr("192.0.2.255");

    (void)state;
    assert_int_equal(a.family, IP_V4);
    assert_memory_equal(a.bytes, ((uint8_t[16]){192, 0, 2, 255}), 16);
    assert_addr("0.0.0.0", "0.0.0.0");
    assert_addr("255.255.255.255", "255.255.255.255");
}

static void v4_refuses_anything_else(void **state)
{
    static const char *const bad[] = {
        "",          "1",         "1.2",        "1.2.3",
        "1.2.3.",    ".1.2.3",    "1.2.3.4.",   "1.2.3.4.5",
        "256.1.1.1", "1.2.3.256", "01.2.3.4",   "1.2.3.04",
        "00.0.0.0",  "1.2.3.4 ",  " 1.2.3.4",   "1.2.3.-4",
        "1.2.3.+4",  "1.2..4",    "0x1.2.3.4",  "1.2.3.4/8",
        "a.b.c.d",   "1.2.3.4%1", "1.2.3.0000", "1.2.3.99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_no_addr(bad[i]);
}

static void bytes_after_a_nul_are_not_ignored(void **state)
{
    struct ip_addr a;

    (void)state;
    assert_int_equal(ip_addr_parse(&a, "1.2.3.4\0x", 9), ERR_MALFORMED);
    assert_int_equal(ip_addr_parse(&a, "::1\0", 4), ERR_MALFORMED);
    assert_int_equal(ip_addr_parse(&a, "1.2.3.4", 6), ERR_MALFORMED); /* "1.2.3." */
}

/* RFC 4291 section 2.2. */
static void v6_reads_all_three_forms(void **state)
{
    (void)state;
    assert_addr("2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a");
    assert_addr("2001:db8::8:800:200c:417a", "2001:db8::8:800:200c:417a");
    assert_addr("ff01::101", "ff01::101");
    assert_addr("::1", "::1");
    assert_addr("::", "::");
    assert_addr("1::", "1::");
    assert_addr("::13.1.68.3", "::d01:4403");
    assert_addr("0:0:0:0:0:0:13.1.68.3", "::d01:4403");
    assert_addr("64:ff9b::192.0.2.33", "64:ff9b::c000:221");
    assert_addr("0001:0002:0003:0004:0005:0006:0007:0008", "1:2:3:4:5:6:7:8");
    assert_addr("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0");
    assert_addr("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8");
    assert_addr("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304");
}

/* RFC 5952 section 4.2. */
static void v6_compresses_the_first_longest_run_of_two_or_more(void **state)
{
    (void)state;
    assert_addr("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
    assert_addr("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
    assert_addr("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
    assert_addr("1:0:0:0:0:0:0:0", "1::");
    assert_addr("0:0:1:0:0:0:0:0", "0:0:1::");
    assert_addr("0:1:0:0:0:0:0:1", "0:1::1");
    assert_addr("1:0:1:0:1:0:1:0", "1:0:1:0:1:0:1:0");
}

static void v4_mapped_stays_v6_and_prints_with_a_dotted_quad(void **state)
{
    struct ip_addr a = addr("::ffff:1.2.3.4");

    (void)state;
    assert_int_equal(a.family, IP_V6);
    assert_addr("::ffff:1.2.3.4", "::ffff:1.2.3.4");
    assert_addr("::FFFF:102:304", "::ffff:1.2.3.4");
    assert_addr("::ffff:0:1.2.3.4", "::ffff:0:102:304"); /* not mapped */
    assert_addr("::ffff:255.255.255.255", "::ffff:255.255.255.255");
}

static void v6_refuses_anything_else(void **state)
{
    static const char *const bad[] = {
        ":",
        ":::",
        "1:",
        ":1",
        "1::2::3",
        ":1::",
        "1::2:",
        ":1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "1:2:3:4::5:6:7:8",
        "12345::",
        "00001::",
        "g::",
        "::1%eth0",
        "fe80::1%1",
        "[::1]",
        "::1 ",
        "::1.2.3",
        "::1.2.3.4.5",
        "::1.2.3.04",
        "::256.2.3.4",
        "::1.2.3.4:5",
        "1:2:3:4:5:6:7:1.2.3.4",
        "1:2:3:4:5:1.2.3.4",
        "::ffff:1.2.3.4:",
        "::a.b.c.d",
        "::1a.2.3.4",
        "::/0",
        "1.2.3.4::",
        "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_no_addr(bad[i]);
}

/* Against inet_pton and inet_ntop, which read the same forms, over many group patterns. inet_ntop
 * writes low addresses as "::1.2.3.4", which RFC 5952 and Go do not. */
static void v6_agrees_with_the_c_library(void **state)
{
    (void)state;
    for (unsigned pattern = 0; pattern < 3 * 256; pattern++) {
        struct ip_addr a = {.family = IP_V6};
        char mine[IP_ADDR_TEXT_SIZE], theirs[INET6_ADDRSTRLEN];
        for (unsigned group = 0; group < 8; group++) {
            unsigned value = pattern >> group & 1 ? 0xa0bu >> (pattern / 256 * 4) : 0;
            a.bytes[2 * group] = (uint8_t)(value >> 8);
            a.bytes[2 * group + 1] = (uint8_t)value;
        }
        ip_addr_format(&a, mine);
        assert_non_null(inet_ntop(AF_INET6, a.bytes, theirs, sizeof theirs));
        if (!strchr(theirs, '.'))
            assert_string_equal(mine, theirs);
        struct ip_addr back = addr(theirs);
        assert_true(ip_addr_equal(&back, &a));
    }
}

static void no_address_prints_as_nothing(void **state)
{
    char out[IP_ADDR_TEXT_SIZE] = "x";

    (void)state;
    assert_int_equal(ip_addr_format(&(struct ip_addr){0}, out), 0);
    assert_string_equal(out, "");
}

static void the_longest_texts_fit(void **state)
{
    struct ip_endpoint e = endpoint("[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535");
    struct ip_prefix p = prefix("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128");
    char text[IP_ENDPOINT_TEXT_SIZE];

    (void)state;
    assert_int_equal(ip_endpoint_format(&e, text),
                     strlen("[fe80:1111:2222:3333:4444:5555:6666:7777%4294967295]:65535"));
    ip_prefix_format(&p, text);
    assert_string_equal(text, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
}

static void unmap_gives_the_v4_address(void **state)
{
    struct ip_addr v4 = addr("1.2.3.4"), mapped = ip_unmap(addr("::ffff:1.2.3.4"));
    struct ip_addr other = addr("::fffe:1.2.3.4"), still = ip_unmap(other);

    (void)state;
    assert_true(ip_addr_equal(&mapped, &v4));
    assert_true(ip_addr_equal(&still, &other));
    v4 = ip_unmap(v4);
    assert_true(ip_addr_equal(&mapped, &v4));
}

static void families_are_never_equal(void **state)
{
    struct ip_addr none = {0}, v4 = addr("0.0.0.0"), v6 = addr("::");

    (void)state;
    assert_false(ip_addr_equal(&none, &v4));
    assert_false(ip_addr_equal(&v4, &v6));
    assert_int_equal(ip_addr_size(&none), 0);
    assert_int_equal(ip_addr_size(&v4), 4);
    assert_int_equal(ip_addr_size(&v6), 16);
}

static void a_prefix_keeps_its_host_bits_until_masked(void **state)
{
    struct ip_prefix p = prefix("10.0.0.254/24");
    char text[IP_PREFIX_TEXT_SIZE];

    (void)state;
    ip_prefix_format(&p, text);
    assert_string_equal(text, "10.0.0.254/24");
    ip_prefix_mask(&p);
    ip_prefix_format(&p, text);
    assert_string_equal(text, "10.0.0.0/24");
    p = prefix("2001:db8:ffff::1/33");
    ip_prefix_mask(&p);
    ip_prefix_format(&p, text);
    assert_string_equal(text, "2001:db8:8000::/33");
    p = prefix("255.255.255.255/0");
    ip_prefix_mask(&p);
    ip_prefix_format(&p, text);
    assert_string_equal(text, "0.0.0.0/0");
}

/* Go's ParseCIDR reads "/024" too. */
static void a_prefix_length_is_decimal_up_to_the_family_s_bits(void **state)
{
    static const char *const bad[] = {
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/+8",
        "10.0.0.0/8/8",
        "/8",
        "10.0.0.0/ 8",
        "10.0.0.0/8 ",
        "::/129",
        "::1/a",
        "10.0.0/8",
        "::%1/64",
        "10.0.0.0/999",
        "",
        "10.0.0.0/4294967304",
    };
    struct ip_prefix p = {.length = 99};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (ip_prefix_parse(&p, bad[i], strlen(bad[i])) != ERR_MALFORMED)
            fail_msg("%s parses", bad[i]);
    }
    assert_int_equal(p.length, 99);
    assert_int_equal(prefix("0.0.0.0/0").length, 0);
    assert_int_equal(prefix("1.2.3.4/32").length, 32);
    assert_int_equal(prefix("::/128").length, 128);
    assert_int_equal(prefix("10.0.0.0/024").length, 24);
}

static void contains_compares_just_the_prefix_bits(void **state)
{
    struct ip_prefix p = prefix("10.1.2.3/17"), all = prefix("::/0"), one = prefix("::1/128");
    struct ip_addr inside = addr("10.1.127.255"), outside = addr("10.1.128.0");
    struct ip_addr v6 = addr("::1"), other = addr("::2"), none = {0};

    (void)state;
    assert_true(ip_prefix_contains(&p, &inside));
    assert_false(ip_prefix_contains(&p, &outside));
    assert_false(ip_prefix_contains(&p, &v6));
    assert_true(ip_prefix_contains(&all, &v6));
    assert_false(ip_prefix_contains(&all, &inside));
    assert_true(ip_prefix_contains(&one, &v6));
    assert_false(ip_prefix_contains(&one, &other));
    assert_false(ip_prefix_contains(&(struct ip_prefix){0}, &none));
}

static void assert_endpoint(const char *text)
{
    struct ip_endpoint e = endpoint(text);
    char out[IP_ENDPOINT_TEXT_SIZE];

    assert_int_equal(ip_endpoint_format(&e, out), strlen(text));
    assert_string_equal(out, text);
}

static void endpoints_read_and_print_the_same(void **state)
{
    (void)state;
    assert_endpoint("1.2.3.4:0");
    assert_endpoint("1.2.3.4:65535");
    assert_endpoint("[::1]:53");
    assert_endpoint("[::ffff:1.2.3.4]:51820");
    assert_endpoint("[fe80::1%3]:5");
    assert_endpoint("[ff02::fb%2]:5353");
}

static void endpoints_refuse_anything_else(void **state)
{
    static const char *const bad[] = {
        "",        ":1",     "1.2.3.4",   "1.2.3.4:",     "1.2.3.4:65536", "1.2.3.4:-1",
        "::1:53",  "[::1]",  "[::1]53",   "[::1]:",       "[1.2.3.4]:5",   "[]:5",
        "[::1:5",  "::1]:5", "[[::1]]:5", "[fe80::1%]:5", "1.2.3.4%1:5",   "1.2.3.4: 5",
        "1.2.3:5", "host:5", "[::1%3%4",  "[%3]:5",       "1.2.3.4:http",
    };
    struct ip_endpoint e = {.port = 7};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (ip_endpoint_parse(&e, bad[i], strlen(bad[i])) != ERR_MALFORMED)
            fail_msg("%s parses", bad[i]);
    }
    assert_int_equal(e.port, 7);
}

static void a_scope_may_be_an_interface_name(void **state)
{
    (void)state;
    assert_int_equal(endpoint("[fe80::1%lo]:5").scope_id, if_nametoindex("lo"));
    assert_int_equal(endpoint("[fe80::1%no-such-if]:5").scope_id, 0);
    assert_int_equal(endpoint("[fe80::1%a-name-longer-than-any-interface]:5").scope_id, 0);
    assert_int_equal(endpoint("[fe80::1%99999999999]:5").scope_id, 0);
}

static void only_link_scope_addresses_keep_a_scope(void **state)
{
    (void)state;
    assert_int_equal(endpoint("[2001:db8::1%3]:5").scope_id, 0);
    assert_int_equal(endpoint("[febf::1%3]:5").scope_id, 3);
    assert_int_equal(endpoint("[fec0::1%3]:5").scope_id, 0);
    assert_int_equal(endpoint("[ff05::1%3]:5").scope_id, 0);
}

static void sockaddrs_of_both_families_convert_both_ways(void **state)
{
    static const char *const texts[] = {"192.0.2.7:53", "[2001:db8::1]:65535", "[fe80::1%3]:5",
                                        "[::ffff:1.2.3.4]:9"};

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct ip_endpoint e = endpoint(texts[i]), back;
        struct sockaddr_storage sa;
        socklen_t size = ip_endpoint_to_sockaddr(&e, &sa);
        assert_int_equal(size, e.addr.family == IP_V4 ? 16 : 28);
        assert_int_equal(ip_endpoint_from_sockaddr(&back, (const struct sockaddr *)&sa, size), OK);
        assert_true(ip_endpoint_equal(&back, &e));
    }
}

static void sockaddr_fields_are_in_network_order(void **state)
{
    struct ip_endpoint e = endpoint("192.0.2.7:258");
    struct sockaddr_storage sa;
    struct sockaddr_in v4;

    (void)state;
    ip_endpoint_to_sockaddr(&e, &sa);
    memcpy(&v4, &sa, sizeof v4);
    assert_int_equal(v4.sin_port, htons(258));
    assert_int_equal(v4.sin_addr.s_addr, htonl(0xc0000207));
}

static void other_or_short_sockaddrs_are_invalid(void **state)
{
    struct sockaddr_storage sa = {.ss_family = AF_UNIX};
    const struct sockaddr *borrowed = (const struct sockaddr *)&sa;
    struct ip_endpoint e = {.port = 7};

    (void)state;
    assert_int_equal(ip_endpoint_from_sockaddr(&e, borrowed, sizeof sa), ERR_INVALID);
    sa.ss_family = AF_INET;
    assert_int_equal(ip_endpoint_from_sockaddr(&e, borrowed, 15), ERR_INVALID);
    sa.ss_family = AF_INET6;
    assert_int_equal(ip_endpoint_from_sockaddr(&e, borrowed, 27), ERR_INVALID);
    assert_int_equal(ip_endpoint_from_sockaddr(&e, borrowed, 0), ERR_INVALID);
    assert_int_equal(e.port, 7);
    assert_int_equal(ip_endpoint_to_sockaddr(&(struct ip_endpoint){0}, &sa), 0);
}

static void endpoints_differ_in_address_port_or_scope(void **state)
{
    struct ip_endpoint a = endpoint("[fe80::1%3]:5"), b = a;

    (void)state;
    assert_true(ip_endpoint_equal(&a, &b));
    b.port = 6;
    assert_false(ip_endpoint_equal(&a, &b));
    b = a;
    b.scope_id = 4;
    assert_false(ip_endpoint_equal(&a, &b));
    b = a;
    b.addr.bytes[15] = 2;
    assert_false(ip_endpoint_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(v4_is_a_dotted_quad),
        cmocka_unit_test(v4_refuses_anything_else),
        cmocka_unit_test(bytes_after_a_nul_are_not_ignored),
        cmocka_unit_test(v6_reads_all_three_forms),
        cmocka_unit_test(v6_compresses_the_first_longest_run_of_two_or_more),
        cmocka_unit_test(v4_mapped_stays_v6_and_prints_with_a_dotted_quad),
        cmocka_unit_test(v6_refuses_anything_else),
        cmocka_unit_test(v6_agrees_with_the_c_library),
        cmocka_unit_test(no_address_prints_as_nothing),
        cmocka_unit_test(the_longest_texts_fit),
        cmocka_unit_test(unmap_gives_the_v4_address),
        cmocka_unit_test(families_are_never_equal),
        cmocka_unit_test(a_prefix_keeps_its_host_bits_until_masked),
        cmocka_unit_test(a_prefix_length_is_decimal_up_to_the_family_s_bits),
        cmocka_unit_test(contains_compares_just_the_prefix_bits),
        cmocka_unit_test(endpoints_read_and_print_the_same),
        cmocka_unit_test(endpoints_refuse_anything_else),
        cmocka_unit_test(a_scope_may_be_an_interface_name),
        cmocka_unit_test(only_link_scope_addresses_keep_a_scope),
        cmocka_unit_test(sockaddrs_of_both_families_convert_both_ways),
        cmocka_unit_test(sockaddr_fields_are_in_network_order),
        cmocka_unit_test(other_or_short_sockaddrs_are_invalid),
        cmocka_unit_test(endpoints_differ_in_address_port_or_scope),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
