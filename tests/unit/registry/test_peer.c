#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "registry/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_1 "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_2 "aiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define Z     "/warren/zones/wg.example."

static struct arena arena;
static struct strbuf text;

static int start(void **state)
{
    (void)state;
    arena_init(&arena, 16 << 20);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    strbuf_fini(&text);
    return 0;
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum registry_key_type type_of(const char *key)
{
    struct registry_key k;
    registry_key_parse(&k, bytes_of_str(key));
    return k.type;
}

static void keys_are_written_and_read(void **state)
{
    (void)state;
    uint8_t peer[KEY_SIZE] = {1}, observer[KEY_SIZE] = {2};
    struct bytes zone = bytes_of_str("wg.example.");
    struct registry_key k;

    strbuf_clear(&text);
    registry_endpoint_key(&text, zone, peer, observer);
    assert_string_equal(strbuf_str(&text), Z "/endpoints/" KEY_1 "/" KEY_2);
    registry_key_parse(&k, bytes_of(text.data, text.size));
    assert_int_equal(k.type, REGISTRY_KEY_ENDPOINT);
    assert_true(bytes_equal(k.zone, zone));
    assert_memory_equal(k.peer, peer, KEY_SIZE);
    assert_memory_equal(k.observer, observer, KEY_SIZE);

    strbuf_clear(&text);
    registry_peer_key(&text, zone, peer);
    assert_string_equal(strbuf_str(&text), Z "/peers/" KEY_1);
    assert_int_equal(type_of(strbuf_str(&text)), REGISTRY_KEY_PEER);
    strbuf_clear(&text);
    registry_zone_key(&text, zone);
    assert_string_equal(strbuf_str(&text), Z);
    assert_int_equal(type_of(strbuf_str(&text)), REGISTRY_KEY_ZONE);
    strbuf_clear(&text);
    registry_peers_prefix(&text, zone);
    assert_string_equal(strbuf_str(&text), Z "/peers/");
    strbuf_clear(&text);
    registry_endpoints_prefix(&text, zone);
    assert_string_equal(strbuf_str(&text), Z "/endpoints/");
    assert_int_equal(type_of("/warren/zones/."), REGISTRY_KEY_ZONE);
}

static void of_one_zone_only_its_own_keys_are_read(void **state)
{
    (void)state;
    struct bytes zone = bytes_of_str("wg.example.");
    const struct {
        const char *key;
        enum registry_key_type type;
    } cases[] = {
        {Z, REGISTRY_KEY_ZONE},
        {Z "/peers/" KEY_1, REGISTRY_KEY_PEER},
        {Z "/endpoints/" KEY_1 "/" KEY_2, REGISTRY_KEY_ENDPOINT},
        {Z "/peers//endpoints/" KEY_1 "/" KEY_2, REGISTRY_KEY_OTHER},
        {Z "-x./peers/" KEY_1, REGISTRY_KEY_OTHER},
        {"/warren/zones/WG.example./peers/" KEY_1, REGISTRY_KEY_OTHER},
        {"/warren/zones/g.example./peers/" KEY_1, REGISTRY_KEY_OTHER},
        {"/warren/zones/wg.example", REGISTRY_KEY_OTHER},
        {"/warren/zones/", REGISTRY_KEY_OTHER},
        {"", REGISTRY_KEY_OTHER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct registry_key k, whole;
        registry_key_parse_in(&k, zone, bytes_of_str(cases[i].key));
        registry_key_parse(&whole, bytes_of_str(cases[i].key));
        assert_int_equal(k.type, cases[i].type);
        if (k.type == REGISTRY_KEY_OTHER)
            continue;
        assert_int_equal(whole.type, k.type);
        assert_true(bytes_equal(k.zone, zone) && bytes_equal(whole.zone, zone));
        assert_memory_equal(k.peer, whole.peer, KEY_SIZE);
        assert_memory_equal(k.observer, whole.observer, KEY_SIZE);
    }
}

static void what_is_not_quite_a_key_of_ours_is_another(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "/",
        "/warren/zones/",
        "/warren/zones/wg.example", /* not absolute */
        "/warren/zones/WG.example.",
        "/warren/zones/a..b.",
        "/warren/zones/\\097.", /* one name, one key */
        Z "/",
        Z "/peers",
        Z "/peers/",
        Z "/peers/" KEY_1 "/",
        Z "/peers/" KEY_1 "====",
        Z "/peers/AEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        Z "/peers/aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
        Z "/peers/short",
        Z "/others/" KEY_1,
        Z "/endpoints/" KEY_1,
        Z "/endpoints/" KEY_1 "/",
        Z "/endpoints/" KEY_1 KEY_2,
        Z "/endpoints/" KEY_1 "/" KEY_2 "/",
        "/warren/zone/wg.example.",
        "warren/zones/wg.example.",
    };
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        if (type_of(others[i]) != REGISTRY_KEY_OTHER)
            fail_msg("'%s' is taken for a key", others[i]);
}

/* --- values ----------------------------------------------------------------------------------- */

enum value {
    ZONE_VALUE,
    PEER_VALUE,
    OBSERVATION_VALUE,
};

/* VALUE read and written again; NULL and the reason in `text` if it is refused. */
static const char *again(enum value kind, const char *value)
{
    static struct strbuf out;
    struct registry_zone zone;
    struct registry_peer peer;
    struct registry_observation o;
    enum err e = ERR_INVALID;
    strbuf_clear(&out);
    strbuf_clear(&text);
    strbuf_add_str(&out, "");
    strbuf_add_str(&text, "");
    arena_reset(&arena);
    struct bytes bytes = bytes_of_str(value);
    if (kind == ZONE_VALUE && (e = registry_zone_parse(&zone, bytes, &text)) == OK)
        registry_zone_format(&out, &zone);
    if (kind == PEER_VALUE && (e = registry_peer_parse(&peer, bytes, &arena, &text)) == OK)
        registry_peer_format(&out, &peer);
    if (kind == OBSERVATION_VALUE && (e = registry_observation_parse(&o, bytes, &text)) == OK)
        registry_observation_format(&out, &o);
    assert_true(e == OK || e == ERR_MALFORMED);
    static char copy[1 << 16];
    snprintf(copy, sizeof copy, "%s", strbuf_str(&out));
    strbuf_fini(&out);
    return e == OK ? copy : NULL;
}

static void assert_refused(enum value kind, const char *value, const char *why)
{
    if (again(kind, value) != NULL)
        fail_msg("%s is taken", value);
    assert_string_equal(strbuf_str(&text), why);
}

static void full_values_keep_their_form(void **state)
{
    (void)state;
    static const char zone[] =
        "{\"ttl\":30,\"soa\":{\"mname\":\"ns1.wg.example.\",\"rname\":\"h.wg.example.\","
        "\"refresh\":1,"
        "\"retry\":2,\"expire\":3,\"minimum\":4},\"ns\":[\"ns1.wg.example.\",\"b.\"]}";
    static const char peer[] =
        "{\"name\":\"alice\",\"allowed_ips\":[\"10.0.0.2/32\",\"fd00::/64\"],\"groups\":[\"web\","
        "\"db\"],\"endpoint\":\"192.0.2.1:51820\",\"keepalive\":25}";
    static const char observation[] =
        "{\"endpoint\":\"[2001:db8::1]:40000\",\"how\":\"handshake\",\"idle\":true}";
    assert_string_equal(again(ZONE_VALUE, zone), zone);
    assert_string_equal(again(PEER_VALUE, peer), peer);
    assert_string_equal(again(OBSERVATION_VALUE, observation), observation);
}

static void empty_values_are_all_defaults(void **state)
{
    (void)state;
    assert_string_equal(again(ZONE_VALUE, "{}"), "{}");
    assert_string_equal(again(PEER_VALUE, " { } "), "{}");
    assert_string_equal(again(PEER_VALUE, "{\"keepalive\":0}"), "{\"keepalive\":0}");
    assert_string_equal(again(ZONE_VALUE, "{\"ttl\":60,\"soa\":{\"refresh\":7200}}"), "{}");
}

/* A newer member may write what we do not know. */
static void unknown_names_are_ignored(void **state)
{
    (void)state;
    assert_string_equal(again(PEER_VALUE, "{\"name\":\"a\",\"x\":{\"y\":[1.5,null]}}"),
                        "{\"name\":\"a\"}");
    assert_string_equal(again(OBSERVATION_VALUE, "{\"endpoint\":\"1.2.3.4:5\",\"at\":1}"),
                        "{\"endpoint\":\"1.2.3.4:5\"}");
}

static void values_have_one_spelling(void **state)
{
    (void)state;
    assert_string_equal(
        again(PEER_VALUE, "{\"name\":\"ALICE\",\"groups\":[\"Web\",\"web\"],\"allowed_ips\":["
                          "\"10.0.0.9/24\",\"10.0.0.7\",\"::ffff:10.0.0.7\",\"10.0.0.0/24\","
                          "\"FD00::1\"],\"endpoint\":\"[::ffff:192.0.2.1]:051\"}"),
        "{\"name\":\"alice\",\"allowed_ips\":[\"10.0.0.0/24\",\"10.0.0.7/32\",\"fd00::1/128\"],"
        "\"groups\":[\"web\"],\"endpoint\":\"192.0.2.1:51\"}");
    assert_string_equal(again(ZONE_VALUE, "{\"ns\":[\"NS1.x\",\"ns1.x.\",\"\\\\046.y\"]}"),
                        "{\"ns\":[\"ns1.x.\",\"\\\\..y.\"]}");
}

static void json_is_strict(void **state)
{
    (void)state;
    assert_null(again(PEER_VALUE, ""));
    assert_null(again(PEER_VALUE, "{"));
    assert_null(again(PEER_VALUE, "{} x"));
    assert_null(again(PEER_VALUE, "{\"name\":\"a\",\"name\":\"b\"}"));
    assert_null(again(PEER_VALUE, "{\"name\":\"a\\u0000b\"}"));
    assert_null(again(PEER_VALUE, "{\"name\":\"\xff\"}"));
    assert_refused(PEER_VALUE, "[]", "value: is no JSON object");
    assert_refused(PEER_VALUE, "{\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}",
                   "value: is nested too deeply");
    /* Brackets inside strings nest nothing. */
    assert_string_equal(again(PEER_VALUE, "{\"x\":\"[[[[[[[[[[[[[[[[[[[[\\\"[[[[\"}"), "{}");
    assert_null(registry_peer_parse(&(struct registry_peer){0}, bytes_of_str("{"), &arena, NULL) ==
                        OK
                    ? ""
                    : NULL);
}

static void a_value_has_a_largest_size(void **state)
{
    (void)state;
    char *value = malloc(PEER_MAX_VALUE_SIZE + 2);
    assert_non_null(value);
    memset(value, ' ', PEER_MAX_VALUE_SIZE + 1);
    value[0] = '{';
    value[PEER_MAX_VALUE_SIZE - 1] = '}';
    value[PEER_MAX_VALUE_SIZE] = '\0';
    assert_string_equal(again(PEER_VALUE, value), "{}");
    value[PEER_MAX_VALUE_SIZE] = ' ';
    value[PEER_MAX_VALUE_SIZE + 1] = '\0';
    assert_refused(PEER_VALUE, value, "value: is too large");
    free(value);
}

static void numbers_are_integers_in_their_range(void **state)
{
    (void)state;
    assert_refused(PEER_VALUE, "{\"keepalive\":25.0}", "keepalive: is no integer");
    assert_refused(PEER_VALUE, "{\"keepalive\":\"25\"}", "keepalive: is no integer");
    assert_refused(PEER_VALUE, "{\"keepalive\":65536}", "keepalive: 65536 is not from 0 to 65535");
    assert_refused(ZONE_VALUE, "{\"ttl\":-1}", "ttl: -1 is not from 0 to 2147483647");
    assert_refused(ZONE_VALUE, "{\"soa\":{\"minimum\":2147483648}}",
                   "soa.minimum: 2147483648 is not from 0 to 2147483647");
    assert_null(again(ZONE_VALUE, "{\"ttl\":99999999999999999999}"));
}

static void names_and_groups_are_one_label(void **state)
{
    (void)state;
    static const char what[] = "is not one label of letters, digits and hyphens";
    static const char *const bad[] = {"", "a.b", "-a", "a-", "_a", "a b", "\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char value[64], why[128];
        snprintf(value, sizeof value, "{\"name\":\"%s\"}", bad[i]);
        snprintf(why, sizeof why, "name: \"%s\" %s", i == 6 ? "??" : bad[i], what);
        assert_refused(PEER_VALUE, value, why);
    }
    char longest[PEER_NAME_MAX + 2], value[128];
    memset(longest, 'a', sizeof longest);
    longest[PEER_NAME_MAX + 1] = '\0';
    snprintf(value, sizeof value, "{\"name\":\"%s\"}", longest);
    assert_null(again(PEER_VALUE, value));
    assert_non_null(strstr(strbuf_str(&text), "is too long"));
    longest[PEER_NAME_MAX] = '\0';
    snprintf(value, sizeof value, "{\"name\":\"%s\"}", longest);
    assert_string_equal(again(PEER_VALUE, value), value);
    /* A group has an underscore before it. */
    snprintf(value, sizeof value, "{\"groups\":[\"%s\"]}", longest);
    assert_null(again(PEER_VALUE, value));
    longest[PEER_GROUP_MAX] = '\0';
    snprintf(value, sizeof value, "{\"groups\":[\"%s\"]}", longest);
    assert_string_equal(again(PEER_VALUE, value), value);
    assert_refused(PEER_VALUE, "{\"groups\":\"web\"}", "groups: is no array");
    assert_refused(PEER_VALUE, "{\"groups\":[1]}", "groups: is no string");
}

static void endpoints_are_addresses_for_everybody(void **state)
{
    (void)state;
    assert_refused(OBSERVATION_VALUE, "{}", "endpoint: is missing");
    assert_refused(PEER_VALUE, "{\"endpoint\":null}", "endpoint: is no string");
    assert_refused(PEER_VALUE, "{\"endpoint\":\"[fe80::1%eth0]:1\"}",
                   "endpoint: \"[fe80::1%eth0]:1\" names an interface, which only one host has");
    assert_refused(PEER_VALUE, "{\"endpoint\":\"192.0.2.1:0\"}",
                   "endpoint: \"192.0.2.1:0\" cannot be reached");
    assert_refused(PEER_VALUE, "{\"endpoint\":\"[::]:1\"}",
                   "endpoint: \"[::]:1\" cannot be reached");
    assert_refused(PEER_VALUE, "{\"endpoint\":\"host:1\"}",
                   "endpoint: \"host:1\" is no address and port (192.0.2.1:51820, "
                   "[2001:db8::1]:51820)");
}

static void allowed_ips_are_prefixes(void **state)
{
    (void)state;
    assert_refused(PEER_VALUE, "{\"allowed_ips\":[\"10.0.0.0/33\"]}",
                   "allowed_ips: \"10.0.0.0/33\" is no prefix (10.0.0.2/32)");
    assert_refused(PEER_VALUE, "{\"allowed_ips\":[7]}",
                   "allowed_ips: has an item that is no string");
    assert_refused(PEER_VALUE, "{\"allowed_ips\":\"10.0.0.1\"}", "allowed_ips: is no array");
}

static void there_are_bounds_on_lists(void **state)
{
    (void)state;
    struct strbuf value = STRBUF_EMPTY;
    strbuf_add_str(&value, "{\"allowed_ips\":[");
    for (size_t i = 0; i <= PEER_MAX_ALLOWED_IPS; i++)
        strbuf_add_format(&value, "%s\"10.%zu.%zu.0/24\"", i > 0 ? "," : "", i >> 8, i & 255);
    strbuf_add_str(&value, "]}");
    assert_refused(PEER_VALUE, strbuf_str(&value), "allowed_ips: has too many prefixes");
    strbuf_clear(&value);
    strbuf_add_str(&value, "{\"groups\":[");
    for (size_t i = 0; i <= PEER_MAX_GROUPS; i++)
        strbuf_add_format(&value, "%s\"g%zu\"", i > 0 ? "," : "", i);
    strbuf_add_str(&value, "]}");
    assert_refused(PEER_VALUE, strbuf_str(&value), "groups: has too many groups");
    strbuf_clear(&value);
    strbuf_add_str(&value, "{\"ns\":[\"a\"");
    for (size_t i = 0; i < ZONE_MAX_NAME_SERVERS; i++)
        strbuf_add_format(&value, ",\"n%zu\"", i);
    strbuf_add_str(&value, "]}");
    assert_refused(ZONE_VALUE, strbuf_str(&value), "ns: has too many names");
    strbuf_fini(&value);
}

static void zone_names_are_domain_names(void **state)
{
    (void)state;
    assert_refused(ZONE_VALUE, "{\"soa\":{\"mname\":\"a..b\"}}",
                   "soa.mname: \"a..b\" is no domain name");
    assert_refused(ZONE_VALUE, "{\"soa\":{\"rname\":\"me@wg.example\"}}",
                   "soa.rname: \"me@wg.example\" is a mail address: write a dot for the \"@\"");
    assert_refused(ZONE_VALUE, "{\"soa\":[]}", "soa: is no object");
    assert_refused(ZONE_VALUE, "{\"ns\":[\"\"]}", "ns: \"\" is no domain name");
}

static void observations_say_how_and_whether_idle(void **state)
{
    (void)state;
    assert_refused(OBSERVATION_VALUE, "{\"endpoint\":\"1.2.3.4:5\",\"how\":\"aaaaaaaaaaaaaaaa\"}",
                   "how: \"aaaaaaaaaaaaaaaa\" is too long");
    assert_refused(OBSERVATION_VALUE, "{\"endpoint\":\"1.2.3.4:5\",\"idle\":1}",
                   "idle: is neither true nor false");
    assert_string_equal(again(OBSERVATION_VALUE, "{\"endpoint\":\"1.2.3.4:5\",\"idle\":false}"),
                        "{\"endpoint\":\"1.2.3.4:5\"}");
}

/* A message goes to a log. */
static void messages_are_one_printable_line(void **state)
{
    (void)state;
    assert_null(again(PEER_VALUE, "{\"name\":\"a\\n\\u001b[31m\"}"));
    for (const char *c = strbuf_str(&text); *c != '\0'; c++)
        assert_true(*c >= ' ' && *c <= '~');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_written_and_read),
        cmocka_unit_test(of_one_zone_only_its_own_keys_are_read),
        cmocka_unit_test(what_is_not_quite_a_key_of_ours_is_another),
        cmocka_unit_test(full_values_keep_their_form),
        cmocka_unit_test(empty_values_are_all_defaults),
        cmocka_unit_test(unknown_names_are_ignored),
        cmocka_unit_test(values_have_one_spelling),
        cmocka_unit_test(json_is_strict),
        cmocka_unit_test(a_value_has_a_largest_size),
        cmocka_unit_test(numbers_are_integers_in_their_range),
        cmocka_unit_test(names_and_groups_are_one_label),
        cmocka_unit_test(endpoints_are_addresses_for_everybody),
        cmocka_unit_test(allowed_ips_are_prefixes),
        cmocka_unit_test(there_are_bounds_on_lists),
        cmocka_unit_test(zone_names_are_domain_names),
        cmocka_unit_test(observations_say_how_and_whether_idle),
        cmocka_unit_test(messages_are_one_printable_line),
    };
    return cmocka_run_group_tests(tests, start, end);
}
