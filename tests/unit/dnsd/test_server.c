/* The server core in memory: routing, what is refused before a handler sees it, and the scrubbing
 * of replies (CoreDNS's server.go, request.Scrub and request.SizeAndDo). */
#include "tests/unit/dnsd/support.h"

#include "base/encoding.h"
#include "tests/dns_decode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ARENA_LIMIT = 1 << 20
};

/* --- asking with raw bytes ------------------------------------------------------------------- */

static uint8_t out[DNS_MAX_MESSAGE_SIZE];
static struct arena arena;
static struct query query;

/* Answers SIZE bytes; the reply is in `out`. */
static size_t ask_bytes(struct chain *c, enum query_proto proto, const char *from,
                        const uint8_t *data, size_t size)
{
    arena_reset(&arena);
    query = (struct query){.proto = proto,
                           .listener = chain_listener(c),
                           .arena = &arena,
                           .out = out,
                           .out_capacity = sizeof(out)};
    assert_int_equal(ip_addr_parse(&query.remote.addr, from, strlen(from)), OK);
    assert_int_equal(ip_addr_parse(&query.local.addr, "127.0.0.9", 9), OK);
    server_answer(&query, data, size);
    return query.out_size;
}

static size_t ask_hex(struct chain *c, const char *hex)
{
    uint8_t data[512];
    assert_int_equal(hex_decode(data, hex, strlen(hex)), OK);
    return ask_bytes(c, QUERY_UDP, "127.0.0.1", data, strlen(hex) / 2);
}

static void assert_reply(size_t size, const char *hex)
{
    char got[2 * 512 + 1];
    assert_in_range(size, 1, 512);
    for (size_t i = 0; i < size; i++)
        snprintf(got + 2 * i, 3, "%02x", out[i]);
    assert_string_equal(got, hex);
}

/* The key of the block that answered NAME, "-" if none did. */
static const char *site_of(struct chain *c, const char *name, uint16_t type)
{
    uint8_t data[512];
    struct writer w = writer_of(data, sizeof(data));
    struct dns_name_buf buf;
    assert_int_equal(dns_name_from_text(&buf, name, strlen(name)), OK);
    write_u16(&w, 1);
    write_u16(&w, DNS_FLAG_RD);
    write_u16(&w, 1);
    write_u32(&w, 0);
    write_u16(&w, 0);
    write_bytes(&w, buf.wire, buf.size);
    write_u16(&w, type);
    write_u16(&w, DNS_CLASS_IN);
    assert_true(ask_bytes(c, QUERY_UDP, "127.0.0.1", data, w.size) > 0);
    return query.site != NULL ? query.site->zone : "-";
}

/* --- routing --------------------------------------------------------------------------------- */

static void the_longest_zone_answers(void **state)
{
    (void)state;
    struct chain *c = chain_load("org:53 {\n}\nb.example.org:53 {\n}\nexample.org:53 {\n}\n");
    assert_string_equal(site_of(c, "x.b.example.org.", DNS_TYPE_A), "b.example.org.");
    assert_string_equal(site_of(c, "b.example.org.", DNS_TYPE_A), "b.example.org.");
    assert_string_equal(site_of(c, "c.example.org.", DNS_TYPE_A), "example.org.");
    assert_string_equal(site_of(c, "xexample.org.", DNS_TYPE_A), "org.");
    assert_string_equal(site_of(c, "EXAMPLE.Org.", DNS_TYPE_A), "example.org.");
    assert_string_equal(site_of(c, "example.com.", DNS_TYPE_A), "-");
    assert_string_equal(site_of(c, ".", DNS_TYPE_A), "-");
    chain_free(c);
}

static void the_root_answers_what_nothing_else_does(void **state)
{
    (void)state;
    struct chain *c = chain_load("example.org:53 {\n}\n.:53 {\n}\n");
    assert_string_equal(site_of(c, "example.org.", DNS_TYPE_A), "example.org.");
    assert_string_equal(site_of(c, "org.", DNS_TYPE_A), ".");
    assert_string_equal(site_of(c, ".", DNS_TYPE_A), ".");
    assert_string_equal(site_of(c, ".", DNS_TYPE_DS), ".");
    chain_free(c);
}

static void ds_goes_to_the_parents_block(void **state)
{
    (void)state;
    struct chain *c = chain_load("b.example.org:53 {\n}\nexample.org:53 {\n}\n.:53 {\n}\n");
    assert_string_equal(site_of(c, "b.example.org.", DNS_TYPE_DS), "example.org.");
    assert_string_equal(site_of(c, "example.org.", DNS_TYPE_DS), "example.org.");
    assert_string_equal(site_of(c, "com.", DNS_TYPE_DS), ".");
    chain_free(c);
}

static void ds_goes_to_the_shortest_zone_even_past_the_parent(void **state)
{
    (void)state;
    struct chain *c = chain_load("a.b.example.org:53 {\n}\nb.example.org:53 {\n}\norg:53 {\n}\n");
    assert_string_equal(site_of(c, "x.a.b.example.org.", DNS_TYPE_DS), "org.");
    chain_free(c);
}

static void ds_stops_at_a_parent_without_plugins(void **state)
{
    (void)state;
    struct chain *c = chain_load("b.example.org:53 {\n}\nexample.org:53 {\n}\n");
    chain_listener(c)->sites[1]->first = NULL;
    assert_string_equal(CHAIN_ASK(c, "b.example.org.", DNS_TYPE_DS), "REFUSED qr,rd");
    assert_int_equal(chain_asked(c), 0);
    chain_free(c);
}

static void a_block_without_plugins_refuses(void **state)
{
    (void)state;
    struct chain *c = chain_load("example.org:53 {\n}\n.:53 {\n}\n");
    chain_listener(c)->sites[0]->first = NULL;
    chain_listener(c)->sites[1]->first = NULL;
    assert_string_equal(CHAIN_ASK(c, "example.org.", DNS_TYPE_A), "REFUSED qr,rd");
    assert_string_equal(CHAIN_ASK(c, ".", DNS_TYPE_A), "REFUSED qr,rd");
    chain_free(c);
}

static void no_matching_block_refuses(void **state)
{
    (void)state;
    struct chain *c = chain_load("example.org:53 {\n}\n");
    assert_string_equal(CHAIN_ASK(c, "example.com.", DNS_TYPE_A, .udp_size = 1232, .is_do = true),
                        "REFUSED qr,rd|opt 1232 do");
    chain_free(c);
}

static void a_zone_in_upper_case_never_matches(void **state)
{
    (void)state;
    struct chain *c = chain_load("EXAMPLE.org:53 {\n}\n");
    assert_string_equal(site_of(c, "example.org.", DNS_TYPE_A), "-");
    assert_string_equal(site_of(c, "EXAMPLE.org.", DNS_TYPE_A), "-");
    chain_free(c);
}

/* The bug: such a site was left out of the listener, and so of the start-up lines, too. */
static void a_zone_that_is_no_domain_name_is_listed_but_matches_nothing(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\nexample.org:53 {\n}\n");
    struct listener *l = chain_listener(c);
    l->sites[1]->zone_name.size = 0;
    assert_int_equal(listener_index(l, &arena), OK);
    assert_int_equal(l->site_count, 2);
    assert_string_equal(site_of(c, "example.org.", DNS_TYPE_A), ".");
    chain_free(c);
}

/* Against a linear search, with zones that share suffixes and sizes. */
static void the_routing_table_finds_what_a_linear_search_finds(void **state)
{
    (void)state;
    enum {
        COUNT = 600
    };
    static struct site sites[COUNT];
    static struct site *list[COUNT];
    struct listener l = {.sites = list, .site_count = COUNT};
    srand(1);
    for (size_t i = 0; i < COUNT; i++) {
        char text[64];
        snprintf(text, sizeof(text), "n%d.%s", rand() % 400, i % 3 == 0 ? "example." : "test.");
        assert_int_equal(dns_name_from_text(&sites[i].zone_name, text, strlen(text)), OK);
        list[i] = &sites[i];
    }
    arena_reset(&arena);
    assert_int_equal(listener_index(&l, &arena), OK);
    for (int i = 0; i < 1000; i++) {
        char text[64];
        struct dns_name_buf name;
        snprintf(text, sizeof(text), "n%d.%s", i % 500, i % 2 == 0 ? "example." : "test.");
        assert_int_equal(dns_name_from_text(&name, text, strlen(text)), OK);
        struct site *found = NULL;
        for (size_t s = 0; s < COUNT && found == NULL; s++)
            if (dns_name_same(dns_name_of(&sites[s].zone_name), dns_name_of(&name)))
                found = &sites[s];
        assert_ptr_equal(listener_find(&l, dns_name_of(&name)), found);
    }
}

/* --- before any handler ---------------------------------------------------------------------- */

static void other_classes_are_refused(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_TXT, .class_number = DNS_CLASS_CH),
                        "REFUSED qr,rd");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_TXT, .class_number = 255), "REFUSED qr,rd");
    assert_int_equal(chain_asked(c), 0);
    chain_free(c);
}

static void chaos_in_any_block_opens_the_listener_to_other_classes(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\nexample.org:53 {\nchaos\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_TXT, .class_number = DNS_CLASS_CH),
                        "NOERROR qr,rd");
    chain_free(c);
}

static void another_edns_version_is_badvers_with_size_0(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_reply(ask_hex(c, "abcd01100001000000000001"
                            "016100"
                            "00010001"
                            "00002904d0000180000004000a0000"),
                 "abcd81100001000000000001"
                 "016100"
                 "00010001"
                 "0000290000010000000000");
    assert_int_equal(chain_asked(c), 0);
    chain_free(c);
}

static void the_class_is_checked_before_the_edns_version(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    /* The OPT that goes back says version 0. */
    assert_reply(ask_hex(c, "abcd01000001000000000001"
                            "016100"
                            "00100003"
                            "00002904d0000180000000"),
                 "abcd81050001000000000001"
                 "016100"
                 "00100003"
                 "00002904d0000080000000");
    chain_free(c);
}

static void a_bare_header_that_promises_a_question_is_servfail(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_reply(ask_hex(c, "abcd01000001000000000000"), "abcd81020000000000000000");
    chain_free(c);
}

static void responses_and_scraps_get_no_reply(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(ask_hex(c, "abcd81000001000000000000"
                                "0161000001"
                                "0001"),
                     0);
    assert_int_equal(ask_hex(c, "abcd010000010000000000"), 0);
    assert_int_equal(ask_bytes(c, QUERY_TCP, "127.0.0.1", out, 0), 0);
    chain_free(c);
}

static void what_does_not_parse_is_formerr(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_reply(ask_hex(c, "abcd01000001000000000000"
                            "0561"),
                 "abcd81010000000000000000");
    assert_int_equal(chain_asked(c), 0);
    chain_free(c);
}

static void other_opcodes_are_notimp_but_notify_is_answered(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_reply(ask_hex(c, "abcd29000001000000000000"
                            "016100"
                            "00060001"),
                 "abcda9040000000000000000");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_SOA, .opcode = 4), "NOERROR qr");
    chain_free(c);
}

/* --- what handlers return -------------------------------------------------------------------- */

static void servfail_refused_formerr_and_notimp_are_written_by_the_server(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_SERVFAIL, NULL);
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A), "SERVFAIL qr,rd");
    chain_answers(c, DNS_RCODE_REFUSED, NULL);
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A, .udp_size = 512, .options = "000a00026162"),
                        "REFUSED qr,rd|opt 512 10:6162");
    chain_answers(c, DNS_RCODE_FORMERR, NULL);
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A), "FORMERR qr,rd");
    chain_answers(c, DNS_RCODE_NOTIMP, NULL);
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A), "NOTIMP qr,rd");
    chain_free(c);
}

static void a_handler_that_writes_nothing_and_says_noerror_drops_the_query(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, NULL);
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A), "");
    chain_answers(c, DNS_RCODE_NXDOMAIN, NULL);
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A), "");
    chain_free(c);
}

static void the_last_handler_has_no_next_plugin(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    struct handler lonely = {.name = "lonely"};
    struct query q = {.arena = &arena};
    assert_int_equal(handler_next(&lonely, &q), DNS_RCODE_SERVFAIL);
    assert_string_equal(q.error, "plugin/lonely: no next plugin found");
    chain_free(c);
}

/* --- EDNS ------------------------------------------------------------------------------------ */

static void no_opt_without_one_in_the_query(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 1 A 192.0.2.1");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A), "NOERROR qr,rd|an a. 1 A 192.0.2.1");
    chain_free(c);
}

static void the_clients_size_do_and_known_options_are_echoed(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A, .udp_size = 65535),
                        "NOERROR qr,rd|opt 65535");
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A, .udp_size = 100, .is_do = true),
                        "NOERROR qr,rd|opt 100 do");
    /* NSID, client subnet, COOKIE, PADDING, an unknown one. */
    assert_string_equal(CHAIN_ASK(c, "a.", DNS_TYPE_A, .udp_size = 1232,
                                  .options = "00030000"
                                             "0008000400010000"
                                             "000a00080102030405060708"
                                             "000c00020000"
                                             "fde9000100"),
                        "NOERROR qr,rd|opt 1232 3: 10:0102030405060708 12:0000");
    chain_free(c);
}

static void of_the_clients_flags_the_upper_octet_goes_back(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "");
    assert_reply(ask_hex(c, "abcd01000001000000000001"
                            "016100"
                            "00010001"
                            "00002904d0ff00ffff0000"),
                 "abcd81000001000000000001"
                 "016100"
                 "00010001"
                 "00002904d00000ff000000");
    chain_free(c);
}

/* --- sizes ----------------------------------------------------------------------------------- */

enum {
    PLAIN_SIZE = 12 + 3 + 4 + 11, /* of a reply to "a." with an OPT */
    TXT_SIZE = 3 + 10 + 1,        /* and its text */
};

/* TXT records of "a." so that the uncompressed reply has SIZE octets. Each would be one octet
 * smaller compressed. Returns their number. */
static unsigned fill(char *records, size_t size)
{
    unsigned count = 0;
    size_t left = size - PLAIN_SIZE;
    *records = '\0';
    while (left > 0) {
        size_t take = left > 264 + 20 ? 264 : left > 264 ? 200 : left;
        records += sprintf(
            records, "%san @ 0 TXT %.*s", count > 0 ? "\n" : "", (int)(take - TXT_SIZE),
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
            "xxxxxx");
        left -= take;
        count++;
    }
    return count;
}

static char records[16 << 10];

/* The size on the wire of a reply that is SIZE octets uncompressed. */
static size_t sent_size(struct chain *c, enum query_proto proto, const char *from, size_t size,
                        uint16_t udp_size)
{
    uint8_t data[64];
    struct writer w = writer_of(data, sizeof(data));
    fill(records, size);
    chain_answers(c, DNS_RCODE_NOERROR, records);
    write_bytes(&w, "\xab\xcd\1\0\0\1\0\0\0\0\0\1\1a\0\0\20\0\1\0\0\51", 22);
    write_u16(&w, udp_size);
    write_bytes(&w, "\0\0\0\0\0\0", 6);
    assert_false(w.failed);
    return ask_bytes(c, proto, from, data, w.size);
}

static bool is_truncated(void)
{
    return (out[2] & 2) != 0;
}

static void what_fits_is_sent_uncompressed(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(sent_size(c, QUERY_UDP, "127.0.0.1", 512, 512), 512);
    assert_int_equal(sent_size(c, QUERY_UDP, "127.0.0.1", 1232, 1232), 1232);
    assert_false(is_truncated());
    chain_free(c);
}

static void what_fits_only_compressed_is_compressed(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(sent_size(c, QUERY_UDP, "127.0.0.1", 513, 512), 513 - fill(records, 513));
    assert_false(is_truncated());
    chain_free(c);
}

static void whole_records_are_dropped_and_tc_set(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    size_t size = sent_size(c, QUERY_UDP, "127.0.0.1", 900, 512);
    assert_in_range(size, PLAIN_SIZE, 512);
    assert_true(is_truncated());
    struct decoded reply;
    assert_true(decode_message(&reply, out, size, &arena));
    assert_non_null(reply.message.edns);
    assert_int_equal(reply.message.sections[DNS_ANSWER].count, 1);
    chain_free(c);
}

static void an_edns_size_below_512_counts_as_512(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(sent_size(c, QUERY_UDP, "127.0.0.1", 512, 0), 512);
    assert_int_equal(sent_size(c, QUERY_UDP, "127.0.0.1", 512, 511), 512);
    chain_free(c);
}

static void without_edns_the_limit_is_512(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    fill(records, 512 + 11);
    chain_answers(c, DNS_RCODE_NOERROR, records);
    assert_int_equal(ask_hex(c, "abcd01000001000000000000"
                                "016100"
                                "00100001"),
                     512);
    assert_false(is_truncated());
    chain_free(c);
}

static void above_1480_octets_over_ipv4_it_is_compressed_though_it_fits(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(sent_size(c, QUERY_UDP, "192.0.2.1", 1480, 4096), 1480);
    assert_int_equal(sent_size(c, QUERY_UDP, "192.0.2.1", 1481, 4096), 1481 - fill(records, 1481));
    assert_false(is_truncated());
    chain_free(c);
}

static void above_1220_octets_over_ipv6_it_is_compressed_though_it_fits(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(sent_size(c, QUERY_UDP, "2001:db8::1", 1220, 4096), 1220);
    assert_int_equal(sent_size(c, QUERY_UDP, "2001:db8::1", 1221, 4096),
                     1221 - fill(records, 1221));
    chain_free(c);
}

static void over_tcp_what_fits_is_never_compressed(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    assert_int_equal(sent_size(c, QUERY_TCP, "2001:db8::1", 4000, 512), 4000);
    assert_false(is_truncated());
    chain_free(c);
}

static void what_does_not_fit_the_buffer_gets_no_reply(void **state)
{
    (void)state;
    struct chain *c = chain_load(".:53 {\n}\n");
    uint8_t data[] = "\xab\xcd\1\0\0\1\0\0\0\0\0\0\1a\0\0\1\0\1";
    chain_answers(c, DNS_RCODE_NOERROR, "");
    query = (struct query){.listener = chain_listener(c),
                           .arena = &arena,
                           .out = out,
                           .out_capacity = DNS_HEADER_SIZE};
    server_answer(&query, data, sizeof(data) - 1);
    assert_int_equal(query.out_size, 0);
    chain_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_zone_answers),
        cmocka_unit_test(the_root_answers_what_nothing_else_does),
        cmocka_unit_test(ds_goes_to_the_parents_block),
        cmocka_unit_test(ds_goes_to_the_shortest_zone_even_past_the_parent),
        cmocka_unit_test(ds_stops_at_a_parent_without_plugins),
        cmocka_unit_test(a_block_without_plugins_refuses),
        cmocka_unit_test(no_matching_block_refuses),
        cmocka_unit_test(a_zone_in_upper_case_never_matches),
        cmocka_unit_test(a_zone_that_is_no_domain_name_is_listed_but_matches_nothing),
        cmocka_unit_test(the_routing_table_finds_what_a_linear_search_finds),
        cmocka_unit_test(other_classes_are_refused),
        cmocka_unit_test(chaos_in_any_block_opens_the_listener_to_other_classes),
        cmocka_unit_test(another_edns_version_is_badvers_with_size_0),
        cmocka_unit_test(the_class_is_checked_before_the_edns_version),
        cmocka_unit_test(a_bare_header_that_promises_a_question_is_servfail),
        cmocka_unit_test(responses_and_scraps_get_no_reply),
        cmocka_unit_test(what_does_not_parse_is_formerr),
        cmocka_unit_test(other_opcodes_are_notimp_but_notify_is_answered),
        cmocka_unit_test(servfail_refused_formerr_and_notimp_are_written_by_the_server),
        cmocka_unit_test(a_handler_that_writes_nothing_and_says_noerror_drops_the_query),
        cmocka_unit_test(the_last_handler_has_no_next_plugin),
        cmocka_unit_test(no_opt_without_one_in_the_query),
        cmocka_unit_test(the_clients_size_do_and_known_options_are_echoed),
        cmocka_unit_test(of_the_clients_flags_the_upper_octet_goes_back),
        cmocka_unit_test(what_fits_is_sent_uncompressed),
        cmocka_unit_test(what_fits_only_compressed_is_compressed),
        cmocka_unit_test(whole_records_are_dropped_and_tc_set),
        cmocka_unit_test(an_edns_size_below_512_counts_as_512),
        cmocka_unit_test(without_edns_the_limit_is_512),
        cmocka_unit_test(above_1480_octets_over_ipv4_it_is_compressed_though_it_fits),
        cmocka_unit_test(above_1220_octets_over_ipv6_it_is_compressed_though_it_fits),
        cmocka_unit_test(over_tcp_what_fits_is_never_compressed),
        cmocka_unit_test(what_does_not_fit_the_buffer_gets_no_reply),
    };
    arena_init(&arena, ARENA_LIMIT);
    int failed = cmocka_run_group_tests_name("server", tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
