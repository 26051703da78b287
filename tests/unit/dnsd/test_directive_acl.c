#include "tests/unit/dnsd/support.h"

#include "base/strbuf.h"

#include <stdio.h>
#include <stdlib.h>

#define ASK(c, qname, source) CHAIN_ASK(c, .name = qname, .type = DNS_TYPE_A, .from = source)

static const char passed[] = "NXDOMAIN qr,rd";
static const char blocked[] = "REFUSED qr,rd|opt 4096 do 15:000f";
static const char filtered[] = "NOERROR qr,rd|opt 4096 do 15:0011";

static struct chain *load(const char *rules)
{
    char text[1024];
    snprintf(text, sizeof(text), "example.org {\n%s\n}\n", rules);
    struct chain *c = chain_load(text);
    chain_answers(c, DNS_RCODE_NXDOMAIN, "");
    return c;
}

static void block_is_refused_with_extended_error_15(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n block net 192.0.2.0/24\n }");
    assert_string_equal(ASK(c, "example.org", "192.0.2.200"), blocked);
    assert_string_equal(ASK(c, "example.org", "192.0.3.0"), passed);
    assert_string_equal(CHAIN_ASK(c, .name = "example.org", .type = DNS_TYPE_A, .udp_size = 800,
                                  .from = "192.0.2.0"),
                        "REFUSED qr,rd|opt 800 do 15:000f");
    chain_free(c);
}

static void filter_is_empty_with_extended_error_17(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n filter\n }");
    assert_string_equal(ASK(c, "example.org", "192.0.2.200"), filtered);
    chain_free(c);
}

static void drop_gets_no_reply(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n drop\n }");
    assert_string_equal(ASK(c, "example.org", "::1"), "");
    chain_free(c);
}

static void the_first_policy_that_matches_decides(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n allow net 192.0.2.1\n block net 192.0.2.0/24\n"
                           " filter net 192.0.2.0/23\n}");
    assert_string_equal(ASK(c, "example.org", "192.0.2.1"), passed);
    assert_string_equal(ASK(c, "example.org", "192.0.2.2"), blocked);
    assert_string_equal(ASK(c, "example.org", "192.0.3.2"), filtered);
    assert_string_equal(ASK(c, "example.org", "192.0.4.2"), passed);
    chain_free(c);
}

static void a_rule_without_a_match_leaves_it_to_the_next(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n allow net 192.0.2.1\n}\nacl {\n block\n}");
    assert_string_equal(ASK(c, "example.org", "192.0.2.1"), passed);
    assert_string_equal(ASK(c, "example.org", "192.0.2.2"), blocked);
    chain_free(c);
}

static void rules_are_for_their_zones(void **state)
{
    (void)state;
    struct chain *c = load("acl a.example.org B.example.org {\n block\n}");
    assert_string_equal(ASK(c, "x.A.example.org", "192.0.2.1"), blocked);
    assert_string_equal(ASK(c, "b.example.org", "192.0.2.1"), blocked);
    assert_string_equal(ASK(c, "c.example.org", "192.0.2.1"), passed);
    assert_string_equal(ASK(c, "xa.example.org", "192.0.2.1"), passed);
    chain_free(c);
}

static void types_are_told_apart(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n block type AAAA TXT net *\n filter TYPE SRV\n}");
    assert_string_equal(CHAIN_ASK(c, .name = "example.org", .type = DNS_TYPE_TXT), blocked);
    assert_string_equal(CHAIN_ASK(c, .name = "example.org", .type = DNS_TYPE_SRV), filtered);
    assert_string_equal(CHAIN_ASK(c, .name = "example.org", .type = DNS_TYPE_A), passed);
    assert_string_equal(CHAIN_ASK(c, .name = "example.org", .type = 65535), passed);
    chain_free(c);
}

static void families_are_told_apart(void **state)
{
    (void)state;
    struct chain *c = load("acl {\n block net 0.0.0.0/0\n filter net 2001:db8::/33 ::1\n}");
    assert_string_equal(ASK(c, "example.org", "192.0.2.1"), blocked);
    assert_string_equal(ASK(c, "example.org", "2001:db8:7fff::1"), filtered);
    assert_string_equal(ASK(c, "example.org", "2001:db8:8000::1"), passed);
    assert_string_equal(ASK(c, "example.org", "::1"), filtered);
    chain_free(c);
}

/* Against a walk over all networks, for random ones that nest, repeat and touch. */
static void many_networks_match_as_a_linear_search(void **state)
{
    enum {
        NETS = 3000,
        PROBES = 3000
    };
    static struct ip_prefix nets[NETS];
    struct strbuf text = STRBUF_EMPTY;
    (void)state;
    srandom(1);
    strbuf_add_str(&text, "example.org {\n acl {\n block net");
    for (size_t i = 0; i < NETS; i++) {
        char printed[IP_PREFIX_TEXT_SIZE];
        nets[i] = (struct ip_prefix){.addr.family = IP_V4, .length = (uint8_t)(8 + random() % 25)};
        nets[i].addr.bytes[0] = 10;
        for (int b = 1; b < 4; b++)
            nets[i].addr.bytes[b] = (uint8_t)(random() % (b == 1 ? 256 : 4));
        if (nets[i].length < 14)
            nets[i].length = 24;
        ip_prefix_mask(&nets[i]);
        ip_prefix_format(&nets[i], printed);
        strbuf_add_format(&text, " %s", printed);
    }
    strbuf_add_str(&text, "\n }\n}\n");
    struct chain *c = chain_load(strbuf_str(&text));
    strbuf_fini(&text);
    chain_answers(c, DNS_RCODE_NXDOMAIN, "");
    for (int i = 0; i < PROBES; i++) {
        struct ip_addr addr = {.family = IP_V4, .bytes = {10}};
        char printed[IP_ADDR_TEXT_SIZE];
        bool expected = false;
        for (int b = 1; b < 4; b++)
            addr.bytes[b] = (uint8_t)(random() % (b == 1 ? 256 : 5));
        for (size_t n = 0; n < NETS && !expected; n++)
            expected = ip_prefix_contains(&nets[n], &addr);
        ip_addr_format(&addr, printed);
        assert_string_equal(ASK(c, "example.org", printed), expected ? blocked : passed);
    }
    chain_free(c);
}

static void counts_by_zone_and_action(void **state)
{
    (void)state;
    struct chain *c = load("acl bad..name {\n block\n}\n"
                           "acl a.example.org b.example.org {\n block net 192.0.2.1\n"
                           " filter net 192.0.2.2\n drop net 192.0.2.3\n}");
    assert_true(chain_metric(c, "coredns_acl_allowed_requests_total{server=\"dns://:53\","
                                "view=\"\"}") < 0);
    ASK(c, "a.example.org", "192.0.2.1");
    ASK(c, "b.example.org", "192.0.2.1");
    ASK(c, "b.example.org", "192.0.2.1");
    ASK(c, "b.example.org", "192.0.2.2");
    ASK(c, "b.example.org", "192.0.2.3");
    ASK(c, "b.example.org", "192.0.2.4");
#define COUNT(what, zone)                                                                          \
    chain_metric(c, "coredns_acl_" what "_requests_total{server=\"dns://:53\",view=\"\"" zone "}")
    assert_true(COUNT("blocked", ",zone=\"a.example.org.\"") == 1);
    assert_true(COUNT("blocked", ",zone=\"b.example.org.\"") == 2);
    assert_true(COUNT("filtered", ",zone=\"b.example.org.\"") == 1);
    assert_true(COUNT("dropped", ",zone=\"b.example.org.\"") == 1);
    assert_true(COUNT("filtered", ",zone=\"a.example.org.\"") < 0);
    assert_true(COUNT("allowed", "") == 1);
    chain_free(c);
}

static void assert_refused(const char *policy, const char *message)
{
    char text[256], expected[256];
    snprintf(text, sizeof(text), ". {\n acl {\n  %s\n }\n}\n", policy);
    snprintf(expected, sizeof(expected), "plugin/acl: Corefile:3 - Error during parsing: %s",
             message);
    assert_string_equal(chain_error(text), expected);
}

static void refuses_with_coredns_messages(void **state)
{
    (void)state;
    assert_refused("permit",
                   "unexpected token \"permit\"; expect 'allow', 'block', 'filter' or 'drop'");
    assert_refused("allow 10.0.0.1", "unexpected token \"10.0.0.1\"; expect 'type | net'");
    assert_refused("allow TYPE net *", "no token specified in \"type\" section");
    assert_refused("allow net", "no token specified in \"net\" section");
    assert_refused("allow type a", "unexpected token \"a\"; expect legal QTYPE");
    assert_refused("allow net 10.0.0.0/33", "illegal CIDR notation \"10.0.0.0/33\"");
    assert_refused("allow net ::x", "illegal CIDR notation \"::x/128\"");
    assert_refused("allow net x", "illegal CIDR notation \"x/32\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(block_is_refused_with_extended_error_15),
        cmocka_unit_test(filter_is_empty_with_extended_error_17),
        cmocka_unit_test(drop_gets_no_reply),
        cmocka_unit_test(the_first_policy_that_matches_decides),
        cmocka_unit_test(a_rule_without_a_match_leaves_it_to_the_next),
        cmocka_unit_test(rules_are_for_their_zones),
        cmocka_unit_test(types_are_told_apart),
        cmocka_unit_test(families_are_told_apart),
        cmocka_unit_test(many_networks_match_as_a_linear_search),
        cmocka_unit_test(counts_by_zone_and_action),
        cmocka_unit_test(refuses_with_coredns_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
