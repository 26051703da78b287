#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/corefile/server_blocks.h"

#include <string.h>

static struct arena arena;
static struct strbuf text;

static bool any_directive(const char *name)
{
    (void)name;
    return true;
}

/* The zones of COREFILE as "block.key=text ...", or the error. */
static const char *inspected(const char *corefile)
{
    struct core_file file;
    struct server_zone *zones;
    size_t count;
    arena_reset(&arena);
    assert_int_equal(
        core_file_parse(&file, "Corefile", corefile, strlen(corefile), any_directive, &text), OK);
    strbuf_clear(&text);
    if (server_blocks_inspect(&file, "1053", &arena, &zones, &count, &text) == OK) {
        for (size_t i = 0; i < count; i++)
            strbuf_add_format(&text, "%s%zu.%zu=%s", i > 0 ? " " : "", zones[i].block_index,
                              zones[i].key_index, zones[i].text);
    }
    core_file_fini(&file);
    return strbuf_str(&text);
}

/* The message for ZONES (text of a key, text of an address, ...), "" when they do not overlap. */
static const char *overlap_of(const char *const (*served)[2], size_t count)
{
    struct served_zone zones[8];
    arena_reset(&arena);
    strbuf_clear(&text);
    for (size_t i = 0; i < count; i++) {
        struct zone_key *key;
        size_t n;
        assert_int_equal(zone_key_parse(served[i][0], "53", &arena, &key, &n, &text), OK);
        zones[i] = (struct served_zone){.key = key, .host = served[i][1]};
    }
    enum err err = server_blocks_check_overlap(zones, count, &text);
    assert_int_equal(err, text.size == 0 ? OK : ERR_MALFORMED);
    return strbuf_str(&text);
}

static void every_key_of_every_block_is_a_zone(void **state)
{
    (void)state;
    assert_string_equal(inspected("a tls://b {\n}\nc:5 {\n}"),
                        "0.0=dns://a.:1053 0.1=tls://b.:853 1.0=dns://c.:5");
}

static void a_prefix_counts_as_its_zones(void **state)
{
    (void)state;
    assert_string_equal(inspected("10.0.0.0/23 a {\n}"),
                        "0.0=dns://0.0.10.in-addr.arpa.:1053 "
                        "0.1=dns://1.0.10.in-addr.arpa.:1053 0.2=dns://a.:1053");
}

static void a_bad_key_names_the_step(void **state)
{
    (void)state;
    assert_string_equal(inspected("a..b {\n}"),
                        "error inspecting server blocks: zone is not a valid domain name: a..b");
}

static void the_same_zone_twice_is_refused(void **state)
{
    static const char *const zones[][2] = {{".", ""}, {"a", ""}, {".", ""}};
    (void)state;
    assert_string_equal(overlap_of(zones, 2), "");
    assert_string_equal(overlap_of(zones, 3), "cannot serve dns://.:53 - it is already defined");
}

static void other_ports_and_schemes_are_other_zones(void **state)
{
    static const char *const zones[][2] = {{".", ""}, {".:54", ""}, {"tls://.:53", ""}};
    (void)state;
    assert_string_equal(overlap_of(zones, 3), "");
}

static void other_addresses_are_other_listeners(void **state)
{
    static const char *const zones[][2] = {
        {".", "127.0.0.1"}, {".", "127.0.0.2"}, {".", "127.0.0.1"}};
    (void)state;
    assert_string_equal(overlap_of(zones, 2), "");
    assert_string_equal(overlap_of(zones, 3),
                        "cannot serve dns://.:53 on 127.0.0.1 - it is already defined");
}

static void all_addresses_overlap_a_certain_one(void **state)
{
    static const char *const first[][2] = {{".", ""}, {".", "127.0.0.1"}};
    static const char *const last[][2] = {{".", "127.0.0.1"}, {".", "127.0.0.2"}, {".", ""}};
    (void)state;
    assert_string_equal(overlap_of(first, 2), "cannot serve dns://.:53 on 127.0.0.1 - zone overlap "
                                              "listener capacity with dns://.:53");
    assert_string_equal(overlap_of(last, 3), "cannot serve dns://.:53 - zone overlap listener "
                                             "capacity with dns://.:53 on 127.0.0.2");
}

static void ports_are_16_bits(void **state)
{
    uint16_t port = 0;
    (void)state;
    strbuf_clear(&text);
    assert_int_equal(server_blocks_port("65535", &port, &text), OK);
    assert_int_equal(port, 65535);
    assert_int_equal(server_blocks_port("65536", &port, &text), ERR_MALFORMED);
    assert_string_equal(strbuf_str(&text), "address 65536: invalid port");
    strbuf_clear(&text);
    assert_int_equal(server_blocks_port("-1", &port, &text), ERR_MALFORMED);
    assert_string_equal(strbuf_str(&text), "address -1: invalid port");
    strbuf_clear(&text);
    assert_int_equal(server_blocks_port("no-such-service", &port, &text), ERR_MALFORMED);
    assert_string_equal(strbuf_str(&text), "lookup tcp/no-such-service: unknown port");
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
        cmocka_unit_test(every_key_of_every_block_is_a_zone),
        cmocka_unit_test(a_prefix_counts_as_its_zones),
        cmocka_unit_test(a_bad_key_names_the_step),
        cmocka_unit_test(the_same_zone_twice_is_refused),
        cmocka_unit_test(other_ports_and_schemes_are_other_zones),
        cmocka_unit_test(other_addresses_are_other_listeners),
        cmocka_unit_test(all_addresses_overlap_a_certain_one),
        cmocka_unit_test(ports_are_16_bits),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
