#include "tests/unit/dnsd/support.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define ASK(c)         CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A)
#define A_RECORD       "an @ 300 A 192.0.2.1"
#define LABELS         "view=\"\",zones=\".\"}"
#define COUNT(c, what) chain_metric(c, "coredns_cache_" what "{server=\"dns://:53\"," LABELS)
#define COUNT_TYPE(c, what, type)                                                                  \
    chain_metric(c, "coredns_cache_" what "{server=\"dns://:53\",type=\"" type "\"," LABELS)

static struct chain *load(const char *options, int rcode, const char *records)
{
    char text[512];
    snprintf(text, sizeof(text), ". {\n cache %s\n}\n", options);
    struct chain *c = chain_load(text);
    chain_answers(c, rcode, records);
    return c;
}

static void wait_ms(long ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void the_second_answer_comes_from_the_cache_with_aa(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_NOERROR, A_RECORD);
    assert_string_equal(ASK(c), "NOERROR qr,rd|an x.org. 300 A 192.0.2.1");
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 300 A 192.0.2.1");
    assert_int_equal(chain_asked(c), 1);
    assert_true(COUNT(c, "requests_total") == 2);
    assert_true(COUNT(c, "misses_total") == 1);
    assert_true(COUNT_TYPE(c, "hits_total", "success") == 1);
    assert_true(COUNT_TYPE(c, "hits_total", "denial") < 0);
    assert_true(COUNT_TYPE(c, "entries", "success") == 1);
    assert_true(COUNT_TYPE(c, "entries", "denial") == 0);
    chain_free(c);
}

/* An answer of wgsd, with TTL 0, leaves with 5. */
static void ttls_are_raised_to_five_seconds(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_NOERROR, "an @ 0 A 192.0.2.1\nar @ 9 A 192.0.2.2");
    assert_string_equal(ASK(c), "NOERROR qr,rd|an x.org. 5 A 192.0.2.1|ar x.org. 5 A 192.0.2.2");
    chain_free(c);
}

static void ttls_are_lowered_to_the_maximum(void **state)
{
    (void)state;
    struct chain *c = load("30", DNS_RCODE_NOERROR, "an @ 4000 A 192.0.2.1");
    assert_string_equal(ASK(c), "NOERROR qr,rd|an x.org. 30 A 192.0.2.1");
    chain_free(c);
    c = load("", DNS_RCODE_NOERROR, "an @ 4000 A 192.0.2.1");
    assert_string_equal(ASK(c), "NOERROR qr,rd|an x.org. 3600 A 192.0.2.1");
    chain_answers(c, DNS_RCODE_NXDOMAIN, "ns org. 4000 SOA");
    assert_string_equal(CHAIN_ASK(c, .name = "y", .type = DNS_TYPE_A),
                        "NXDOMAIN qr,rd|ns org. 1800 SOA");
    chain_free(c);
}

static void name_type_and_do_tell_items_apart(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_NOERROR, A_RECORD);
    ASK(c);
    CHAIN_ASK(c, .name = "y.org", .type = DNS_TYPE_A);
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_AAAA);
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A, .udp_size = 512, .is_do = true);
    assert_int_equal(chain_asked(c), 4);
    /* neither case, nor transport, nor EDNS itself */
    assert_string_equal(CHAIN_ASK(c, .name = "X.oRg", .type = DNS_TYPE_A, .udp_size = 900),
                        "NOERROR qr,aa,rd|an x.org. 300 A 192.0.2.1|opt 900");
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A, .is_tcp = true);
    assert_int_equal(chain_asked(c), 4);
    chain_free(c);
}

static void denials_have_a_cache_of_their_own(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_NXDOMAIN, "ns org. 60 SOA");
    assert_string_equal(ASK(c), "NXDOMAIN qr,rd|ns org. 60 SOA");
    assert_string_equal(ASK(c), "NXDOMAIN qr,aa,rd|ns org. 60 SOA");
    assert_true(COUNT_TYPE(c, "hits_total", "denial") == 1);
    assert_true(COUNT_TYPE(c, "entries", "denial") == 1);
    chain_free(c);
}

static void servfail_is_kept_five_seconds_unless_told(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_SERVFAIL, "");
    ASK(c);
    assert_string_equal(ASK(c), "SERVFAIL qr,aa,rd");
    assert_int_equal(chain_asked(c), 1);
    chain_free(c);
    c = load("{\n servfail 0\n }", DNS_RCODE_SERVFAIL, "");
    ASK(c);
    ASK(c);
    assert_int_equal(chain_asked(c), 2);
    chain_free(c);
}

static void other_errors_transfers_and_cut_replies_are_not_kept(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_REFUSED, "");
    ASK(c);
    ASK(c);
    assert_int_equal(chain_asked(c), 2);
    chain_answers(c, DNS_RCODE_NOERROR, A_RECORD);
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_AXFR);
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_AXFR);
    assert_int_equal(chain_asked(c), 4);
    chain_answers_flags(c, DNS_FLAG_TC);
    ASK(c);
    ASK(c);
    assert_int_equal(chain_asked(c), 6);
    chain_free(c);
}

static void ad_is_for_those_who_ask(void **state)
{
    (void)state;
    struct chain *c = load("", DNS_RCODE_NOERROR, A_RECORD);
    chain_answers_flags(c, DNS_FLAG_AD | DNS_FLAG_RA);
    assert_string_equal(ASK(c), "NOERROR qr,rd,ra|an x.org. 300 A 192.0.2.1");
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd,ra|an x.org. 300 A 192.0.2.1");
    assert_string_equal(CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A, .flags = DNS_FLAG_AD),
                        "NOERROR qr,aa,ra,ad|an x.org. 300 A 192.0.2.1");
    chain_free(c);
}

static void only_its_zones_are_kept(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n cache a.org 10.0.0.0/8\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, A_RECORD);
    for (int i = 0; i < 2; i++) {
        CHAIN_ASK(c, .name = "x.A.org", .type = DNS_TYPE_A);
        CHAIN_ASK(c, .name = "1.10.in-addr.arpa", .type = DNS_TYPE_A);
        CHAIN_ASK(c, .name = "b.org", .type = DNS_TYPE_A);
    }
    assert_int_equal(chain_asked(c), 4);
    assert_true(chain_metric(c, "coredns_cache_requests_total{server=\"dns://:53\","
                                "view=\"\",zones=\"a.org.,10.in-addr.arpa.\"}") == 4);
    chain_free(c);
}

static void disabled_zones_are_not_kept(void **state)
{
    (void)state;
    struct chain *c = load("{\n disable success Y.org\n }", DNS_RCODE_NOERROR, A_RECORD);
    for (int i = 0; i < 2; i++) {
        ASK(c);
        CHAIN_ASK(c, .name = "a.y.org", .type = DNS_TYPE_A);
    }
    assert_int_equal(chain_asked(c), 3);
    chain_free(c);
    c = load("{\n disable denial\n }", DNS_RCODE_NXDOMAIN, "ns org. 60 SOA");
    ASK(c);
    ASK(c);
    assert_int_equal(chain_asked(c), 2);
    chain_free(c);
}

static void ttl_runs_down_and_out(void **state)
{
    (void)state;
    struct chain *c = load("{\n success 10 2 1\n }", DNS_RCODE_NOERROR, A_RECORD);
    assert_string_equal(ASK(c), "NOERROR qr,rd|an x.org. 2 A 192.0.2.1");
    wait_ms(1050);
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 1 A 192.0.2.1");
    wait_ms(1050);
    assert_string_equal(ASK(c), "NOERROR qr,rd|an x.org. 2 A 192.0.2.1");
    assert_int_equal(chain_asked(c), 2);
    chain_free(c);
}

static void keepttl_keeps_the_ttl(void **state)
{
    (void)state;
    struct chain *c = load("{\n success 10 2 1\n keepttl\n }", DNS_RCODE_NOERROR, A_RECORD);
    ASK(c);
    wait_ms(1050);
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 2 A 192.0.2.1");
    chain_free(c);
}

static void stale_items_are_served_and_refreshed(void **state)
{
    (void)state;
    struct chain *c = load("{\n success 10 1 1\n serve_stale\n }", DNS_RCODE_NOERROR, A_RECORD);
    ASK(c);
    wait_ms(2050);
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 300 A 192.0.2.2");
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 0 A 192.0.2.1");
    assert_int_equal(chain_asked(c), 2);
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 1 A 192.0.2.2");
    assert_true(COUNT(c, "served_stale_total") == 1);
    assert_true(COUNT(c, "prefetch_total") == 1);
    chain_free(c);
}

static void stale_items_are_verified_first(void **state)
{
    (void)state;
    struct chain *c =
        load("{\n success 10 1 1\n serve_stale 1h verify\n }", DNS_RCODE_NOERROR, A_RECORD);
    ASK(c);
    wait_ms(2050);
    chain_answers(c, DNS_RCODE_SERVFAIL, NULL);
    chain_answers_error(c, "device is gone");
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 0 A 192.0.2.1");
    chain_answers_error(c, NULL);
    chain_answers(c, DNS_RCODE_SERVFAIL, "");
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 0 A 192.0.2.1");
    chain_answers(c, DNS_RCODE_NXDOMAIN, "ns org. 60 SOA");
    assert_string_equal(ASK(c), "NXDOMAIN qr,rd|ns org. 60 SOA");
    assert_true(COUNT(c, "served_stale_total") == 2);
    chain_free(c);
}

static void popular_items_are_renewed_before_they_end(void **state)
{
    (void)state;
    struct chain *c =
        load("{\n success 10 2 2\n prefetch 2 1m 50%\n }", DNS_RCODE_NOERROR, A_RECORD);
    ASK(c);
    ASK(c);
    ASK(c);
    assert_int_equal(chain_asked(c), 1); /* popular, but fresh */
    wait_ms(1050);
    ASK(c);
    assert_int_equal(chain_asked(c), 2);
    assert_string_equal(ASK(c), "NOERROR qr,aa,rd|an x.org. 2 A 192.0.2.1");
    assert_true(COUNT(c, "prefetch_total") == 1);
    chain_free(c);
}

/* loadbalance stands before the cache and must spare wgsd's SRV answers from there too. */
static void a_cached_reply_of_wgsd_keeps_its_order(void **state)
{
    static const char expected[] =
        "|an x.org. 5 SRV 7 x.org.|ar x.org. 5 A 192.0.2.1|ar x.org. 5 TXT \"t\"";
    (void)state;
    struct chain *c = chain_load(". {\n loadbalance\n cache\n minimal\n}\n");
    chain_answers_as(c, "wgsd");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 0 SRV 7 x.org.\nar @ 0 A 192.0.2.1\nar @ 0 TXT t");
    for (int i = 0; i < 2; i++) {
        const char *reply = CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_SRV);
        assert_string_equal(strchr(reply, '|'), expected);
    }
    assert_int_equal(chain_asked(c), 1);
    chain_free(c);
}

static void evictions_are_counted(void **state)
{
    (void)state;
    struct chain *c = load("{\n success 1\n }", DNS_RCODE_NOERROR, A_RECORD);
    for (int i = 0; i < 3000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "n%d", i);
        CHAIN_ASK(c, .name = name, .type = DNS_TYPE_A);
    }
    double entries = COUNT_TYPE(c, "entries", "success");
    assert_true(entries <= 1024);
    assert_true(COUNT_TYPE(c, "evictions_total", "success") == 3000 - entries);
    chain_free(c);
}

static void assert_refused(const char *option, const char *message)
{
    char text[256], expected[256];
    snprintf(text, sizeof(text), ". {\n cache {\n  %s\n }\n}\n", option);
    snprintf(expected, sizeof(expected), "plugin/cache: %s", message);
    assert_string_equal(chain_error(text), expected);
}

static void refuses_with_coredns_messages(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n cache\n cache\n}\n"),
                        "plugin/cache: this plugin can only be used once per Server Block");
    assert_string_equal(chain_error(". {\n cache 0\n}\n"),
                        "plugin/cache: cache TTL can not be zero or negative: 0");
    assert_refused("success x", "strconv.Atoi: parsing \"x\": invalid syntax");
    assert_refused("denial 5 0", "cache TTL can not be zero or negative: 0");
    assert_refused("denial 5 1 -1", "cache min TTL can not be negative: -1");
    assert_refused("prefetch -1", "prefetch amount should be positive: -1");
    assert_refused("prefetch 1 1m 10", "last character of percentage should be `%`, but is: '0'");
    assert_refused("prefetch 1 1m 9%", "percentage should fall in range [10, 90]: 9");
    assert_refused("serve_stale -1s", "invalid negative duration for serve_stale");
    assert_refused("serve_stale 1s Later", "invalid value for serve_stale refresh mode: later");
    assert_refused("servfail -1s", "invalid negative ttl for servfail");
    assert_refused("servfail 6m", "caching SERVFAIL responses over 5 minutes is not permitted");
    assert_refused("servfail 5", "time: missing unit in duration \"5\"");
    assert_refused("disable x", "cache type for disable must be \"success\" or \"denial\"");
    assert_refused("keepttl x", "Corefile:3 - Error during parsing: Wrong argument count or "
                                "unexpected line ending after 'x'");
    assert_refused("x", "Corefile:3 - Error during parsing: Wrong argument count or unexpected "
                        "line ending after 'x'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_answer_comes_from_the_cache_with_aa),
        cmocka_unit_test(ttls_are_raised_to_five_seconds),
        cmocka_unit_test(ttls_are_lowered_to_the_maximum),
        cmocka_unit_test(name_type_and_do_tell_items_apart),
        cmocka_unit_test(denials_have_a_cache_of_their_own),
        cmocka_unit_test(servfail_is_kept_five_seconds_unless_told),
        cmocka_unit_test(other_errors_transfers_and_cut_replies_are_not_kept),
        cmocka_unit_test(ad_is_for_those_who_ask),
        cmocka_unit_test(only_its_zones_are_kept),
        cmocka_unit_test(disabled_zones_are_not_kept),
        cmocka_unit_test(ttl_runs_down_and_out),
        cmocka_unit_test(keepttl_keeps_the_ttl),
        cmocka_unit_test(stale_items_are_served_and_refreshed),
        cmocka_unit_test(stale_items_are_verified_first),
        cmocka_unit_test(popular_items_are_renewed_before_they_end),
        cmocka_unit_test(a_cached_reply_of_wgsd_keeps_its_order),
        cmocka_unit_test(evictions_are_counted),
        cmocka_unit_test(refuses_with_coredns_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
