/* The wgsd projection, clause by clause. Keys and cases as in wgsd's own table: peers whose first
 * key octet is 1, 2, 3 and the device's own, 99; peer 3 has no endpoint. */
#include "zones/wgsd.h"

#include "base/arena.h"
#include "base/dns_message.h"
#include "base/wg.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t hash_key[HASH_KEY_SIZE] = {1, 2, 3};

struct fixture {
    struct wg_device device;
    struct zones_wgsd *zone;
    struct zones_wgsd_view *view;
    struct arena arena;
    struct dns_name_buf name;
    struct ip_addr local; /* the reply borrows it */
    struct dns_message reply;
};

static struct dns_name_buf name_of(const char *text)
{
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, text, strlen(text)), OK);
    return name;
}

static struct ip_prefix prefix_of(const char *text)
{
    struct ip_prefix prefix;
    assert_int_equal(ip_prefix_parse(&prefix, text, strlen(text)), OK);
    return prefix;
}

static void add_peer(struct wg_device *d, uint8_t first_octet, const char *endpoint,
                     const char *const *allowed, size_t count)
{
    struct wg_peer *peer;
    assert_int_equal(wg_device_add_peer(d, &peer), OK);
    peer->public_key[0] = first_octet;
    if (endpoint != NULL)
        assert_int_equal(ip_endpoint_parse(&peer->endpoint, endpoint, strlen(endpoint)), OK);
    for (size_t i = 0; i < count; i++) {
        struct ip_prefix prefix = prefix_of(allowed[i]);
        assert_int_equal(wg_device_add_allowed_ip(d, &prefix), OK);
    }
}

static void make_view(struct fixture *f, const struct zones_wgsd_config *config)
{
    assert_int_equal(zones_wgsd_create(&f->zone, config), OK);
    assert_int_equal(zones_wgsd_view_create(&f->view, f->zone, &f->device, hash_key), OK);
}

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    wg_device_init(&f->device);
    arena_init(&f->arena, 1 << 20);
    f->device.public_key[0] = 99;
    f->device.has_public_key = true;
    f->device.listen_port = 51820;
    add_peer(&f->device, 1, "1.1.1.1:1", (const char *[]){"10.0.0.1/32", "10.0.0.2/32"}, 2);
    add_peer(&f->device, 2, "[::2]:2", (const char *[]){"10.0.0.3/32", "10.0.0.4/32"}, 2);
    add_peer(&f->device, 3, NULL, (const char *[]){"10.0.0.5/32", "10.0.0.6/32"}, 2);
}

static void fixture_fini(struct fixture *f)
{
    zones_wgsd_view_destroy(f->view);
    zones_wgsd_destroy(f->zone);
    wg_device_fini(&f->device);
    arena_fini(&f->arena);
}

static int setup_example(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fixture_init(f);
    struct dns_name_buf zone = name_of("example.com.");
    struct ip_prefix allowed[] = {prefix_of("10.0.0.99/32"), prefix_of("10.0.0.100/32")};
    struct zones_wgsd_config config = {.zone = dns_name_of(&zone),
                                       .has_self = true,
                                       .self_allowed_ips = allowed,
                                       .self_allowed_ip_count = 2};
    make_view(f, &config);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

static enum err ask_with(struct fixture *f, const struct zones_wgsd_view *view, const char *name,
                         uint16_t type)
{
    static const struct dns_message empty;
    f->local = (struct ip_addr){.family = IP_V4, .bytes = {127, 0, 0, 1}};
    f->name = name_of(name);
    f->reply = empty;
    assert_true(zones_wgsd_owns(f->zone, dns_name_of(&f->name)));
    return zones_wgsd_answer(f->zone, view, dns_name_of(&f->name), type, &f->local, &f->arena,
                             &f->reply);
}

static void ask(struct fixture *f, const char *name, uint16_t type)
{
    assert_int_equal(ask_with(f, f->view, name, type), OK);
    assert_int_equal(f->reply.flags & DNS_FLAG_AA, DNS_FLAG_AA);
}

#define PEER_1                                                                                     \
    "ae"                                                                                           \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp.example.com."
#define PEER_2                                                                                     \
    "ai"                                                                                           \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp.example.com."
#define PEER_3                                                                                     \
    "am"                                                                                           \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp.example.com."
#define PEER_4                                                                                     \
    "aq"                                                                                           \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp.example.com."
#define SELF                                                                                       \
    "mm"                                                                                           \
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp.example.com."

static const struct dns_rr *rr_at(const struct fixture *f, enum dns_section section, size_t index)
{
    assert_true(index < f->reply.sections[section].count);
    return &f->reply.sections[section].rrs[index];
}

static void assert_counts(const struct fixture *f, size_t answer, size_t authority,
                          size_t additional)
{
    assert_int_equal(f->reply.sections[DNS_ANSWER].count, answer);
    assert_int_equal(f->reply.sections[DNS_AUTHORITY].count, authority);
    assert_int_equal(f->reply.sections[DNS_ADDITIONAL].count, additional);
}

static void assert_nxdomain(const struct fixture *f)
{
    assert_int_equal(f->reply.rcode, DNS_RCODE_NXDOMAIN);
    assert_counts(f, 0, 1, 0);
    const struct dns_rr *soa = rr_at(f, DNS_AUTHORITY, 0);
    assert_int_equal(soa->type, DNS_TYPE_SOA);
    assert_int_equal(soa->ttl, 60);
}

static void assert_address(const struct dns_rr *rr, uint16_t type, const void *bytes, size_t size)
{
    assert_int_equal(rr->type, type);
    assert_int_equal(rr->rdata_size, size);
    assert_memory_equal(rr->rdata, bytes, size);
    assert_int_equal(rr->ttl, 0);
}

/* The strings of a TXT RR, joined by '|'. */
static void txt_text(const struct dns_rr *rr, char *out, size_t capacity)
{
    assert_int_equal(rr->type, DNS_TYPE_TXT);
    size_t used = 0;
    for (size_t at = 0; at < rr->rdata_size; at += 1 + (size_t)rr->rdata[at]) {
        assert_true(at + 1 + rr->rdata[at] <= rr->rdata_size);
        assert_true(used + rr->rdata[at] + 2 < capacity);
        if (used > 0)
            out[used++] = '|';
        memcpy(out + used, rr->rdata + at + 1, rr->rdata[at]);
        used += rr->rdata[at];
    }
    out[used] = '\0';
}

static void assert_txt(const struct dns_rr *rr, const char *expected)
{
    char text[4096];
    txt_text(rr, text, sizeof(text));
    assert_string_equal(text, expected);
}

static void assert_srv(const struct dns_rr *rr, uint16_t port, const char *target)
{
    struct dns_name_buf name = name_of(target);
    assert_int_equal(rr->type, DNS_TYPE_SRV);
    assert_int_equal(rr->rdata_size, 6 + name.size);
    const uint8_t fixed[6] = {0, 0, 0, 0, (uint8_t)(port >> 8), (uint8_t)port};
    assert_memory_equal(rr->rdata, fixed, 6);
    assert_memory_equal(rr->rdata + 6, name.wire, name.size);
}

static const uint8_t v6_2[16] = {[15] = 2};

static void service_ptr_lists_peers_with_endpoint_in_device_order_self_last(void **state)
{
    struct fixture *f = *state;
    ask(f, "_wireguard._udp.example.com.", DNS_TYPE_PTR);
    assert_counts(f, 3, 0, 0);
    const char *const targets[] = {PEER_1, PEER_2, SELF};
    for (size_t i = 0; i < 3; i++) {
        struct dns_name_buf target = name_of(targets[i]);
        const struct dns_rr *rr = rr_at(f, DNS_ANSWER, i);
        assert_int_equal(rr->type, DNS_TYPE_PTR);
        assert_int_equal(rr->rdata_size, target.size);
        assert_memory_equal(rr->rdata, target.wire, target.size);
    }
    assert_int_equal(zones_wgsd_view_published_count(f->view), 3);
    assert_int_equal(zones_wgsd_view_peer_count(f->view), 4);
}

static void srv_comes_with_address_before_txt(void **state)
{
    struct fixture *f = *state;
    ask(f, PEER_1, DNS_TYPE_SRV);
    assert_counts(f, 1, 0, 2);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 1, PEER_1);
    assert_address(rr_at(f, DNS_ADDITIONAL, 0), DNS_TYPE_A, "\1\1\1\1", 4);
    assert_txt(rr_at(f, DNS_ADDITIONAL, 1),
               "txtvers=1|pub=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|"
               "allowed=10.0.0.1/32,10.0.0.2/32");

    ask(f, PEER_2, DNS_TYPE_SRV);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 2, PEER_2);
    assert_address(rr_at(f, DNS_ADDITIONAL, 0), DNS_TYPE_AAAA, v6_2, 16);
}

static void self_without_endpoint_is_the_address_asked_and_the_listen_port(void **state)
{
    struct fixture *f = *state;
    ask(f, SELF, DNS_TYPE_SRV);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 51820, SELF);
    assert_address(rr_at(f, DNS_ADDITIONAL, 0), DNS_TYPE_A, "\x7f\0\0\1", 4);
    assert_txt(rr_at(f, DNS_ADDITIONAL, 1),
               "txtvers=1|pub=YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|"
               "allowed=10.0.0.99/32,10.0.0.100/32");
    ask(f, SELF, DNS_TYPE_A);
    assert_address(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_A, "\x7f\0\0\1", 4);
}

static void address_queries_give_whatever_family_the_endpoint_has(void **state)
{
    struct fixture *f = *state;
    ask(f, PEER_1, DNS_TYPE_AAAA);
    assert_counts(f, 1, 0, 0);
    assert_address(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_A, "\1\1\1\1", 4);
    ask(f, PEER_2, DNS_TYPE_A);
    assert_address(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_AAAA, v6_2, 16);
}

static void peer_without_endpoint_and_unknown_peer_are_nxdomain(void **state)
{
    struct fixture *f = *state;
    const uint16_t types[] = {DNS_TYPE_SRV, DNS_TYPE_A, DNS_TYPE_AAAA, DNS_TYPE_TXT};
    for (size_t i = 0; i < 4; i++) {
        ask(f, PEER_3, types[i]);
        assert_nxdomain(f);
        ask(f, PEER_4, types[i]);
        assert_nxdomain(f);
    }
}

static void other_names_and_types_are_nxdomain_never_nodata(void **state)
{
    struct fixture *f = *state;
    ask(f, "nxdomain.example.com.", DNS_TYPE_AAAA);
    assert_nxdomain(f);
    ask(f, "example.com.", DNS_TYPE_SOA);
    assert_nxdomain(f);
    ask(f, "_wireguard._udp.example.com.", DNS_TYPE_SRV);
    assert_nxdomain(f);
    ask(f, PEER_1, DNS_TYPE_PTR);
    assert_nxdomain(f);
    ask(f, PEER_1, DNS_TYPE_ANY);
    assert_nxdomain(f);
    ask(f, "_udp.example.com.", DNS_TYPE_PTR);
    assert_nxdomain(f);
}

/* wgsd tests the length of what follows the key, not its text. */
static void any_tail_of_seventeen_octets_answers_under_the_name_asked(void **state)
{
    struct fixture *f = *state;
    static const char name[] =
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._tcp.example.com.";
    ask(f, name, DNS_TYPE_SRV);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 1, name);
    /* The key's label itself may be longer. */
    static const char longer[] =
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====xyz.abcdefgh.tcp.example.com.";
    ask(f, longer, DNS_TYPE_SRV);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 1, longer);
    /* An escape counts as it is printed: "\." is two. */
    static const char escaped[] =
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====.abcdefg\\.ij.tcp.example.com.";
    ask(f, escaped, DNS_TYPE_SRV);
    assert_int_equal(f->reply.rcode, DNS_RCODE_NOERROR);
    static const char shorter[] =
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._ud.example.com.";
    ask(f, shorter, DNS_TYPE_SRV);
    assert_nxdomain(f);
}

static void unpadded_or_misspelt_key_is_nxdomain(void **state)
{
    struct fixture *f = *state;
    ask(f, "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa._wireguard._udp.example.com.",
        DNS_TYPE_SRV);
    assert_nxdomain(f);
    /* The same octets with stray low bits in the last character are another text. */
    ask(f, "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab====._wireguard._udp.example.com.",
        DNS_TYPE_SRV);
    assert_nxdomain(f);
}

static void without_a_device_only_names_that_need_it_fail(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(ask_with(f, NULL, "_wireguard._udp.example.com.", DNS_TYPE_PTR),
                     ERR_NO_DEVICE);
    assert_int_equal(ask_with(f, NULL, PEER_4, DNS_TYPE_SRV), ERR_NO_DEVICE);
    assert_int_equal(f->reply.flags & DNS_FLAG_AA, 0);
    assert_int_equal(ask_with(f, NULL,
                              "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.0.1.2.3.4.5.6.7."
                              "8.9.0.example.com.",
                              DNS_TYPE_A),
                     OK);
    assert_nxdomain(f);
    assert_int_equal(ask_with(f, NULL, "example.com.", DNS_TYPE_NS), OK);
    assert_nxdomain(f);
}

static void long_allowed_ips_are_split_into_several_strings(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const char *allowed[40];
    char texts[40][20];
    for (size_t i = 0; i < 40; i++) {
        snprintf(texts[i], sizeof(texts[i]), "10.200.100.1%02zu/32", i);
        allowed[i] = texts[i];
    }
    add_peer(&f.device, 4, "4.4.4.4:4", allowed, 40);
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, PEER_4, DNS_TYPE_TXT);
    char text[4096];
    txt_text(rr_at(&f, DNS_ANSWER, 0), text, sizeof(text));
    /* Every prefix once, in order: "allowed=" at the start, a comma before each further prefix, and
     * some commas are the last of their string. */
    const char *at = strstr(text, "|allowed=");
    assert_non_null(at);
    at += strlen("|allowed=");
    size_t strings = 1;
    for (size_t i = 0; i < 40; i++) {
        if (i > 0)
            assert_int_equal(*at++, ',');
        if (*at == '|') {
            at++;
            strings++;
        }
        assert_int_equal(strncmp(at, texts[i], strlen(texts[i])), 0);
        at += strlen(texts[i]);
    }
    assert_string_equal(at, "");
    assert_int_equal(strings, 3); /* 13 prefixes of 18 octets in the first, 14 in the others */
    fixture_fini(&f);
}

static void more_allowed_ips_than_a_message_holds_leave_the_txt_out_and_set_tc(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_peer(&f.device, 4, "4.4.4.4:4", NULL, 0);
    struct ip_prefix prefix = prefix_of("10.200.100.100/32");
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(wg_device_add_allowed_ip(&f.device, &prefix), OK);
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, PEER_4, DNS_TYPE_SRV);
    assert_counts(&f, 1, 0, 1);
    assert_int_equal(f.reply.flags & DNS_FLAG_TC, DNS_FLAG_TC);
    ask(&f, PEER_4, DNS_TYPE_TXT);
    assert_counts(&f, 0, 0, 0);
    assert_int_equal(f.reply.flags & DNS_FLAG_TC, DNS_FLAG_TC);
    assert_int_equal(f.reply.rcode, DNS_RCODE_NOERROR);
    fixture_fini(&f);
}

static void self_endpoint_of_the_corefile_wins_over_the_listener(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct dns_name_buf zone = name_of("example.com.");
    struct zones_wgsd_config config = {.zone = dns_name_of(&zone), .has_self = true};
    assert_int_equal(ip_endpoint_parse(&config.self_endpoint, "[::2]:777", 9), OK);
    make_view(&f, &config);
    ask(&f, SELF, DNS_TYPE_SRV);
    assert_srv(rr_at(&f, DNS_ANSWER, 0), 777, SELF);
    assert_address(rr_at(&f, DNS_ADDITIONAL, 0), DNS_TYPE_AAAA, v6_2, 16);
    assert_txt(rr_at(&f, DNS_ADDITIONAL, 1),
               "txtvers=1|pub=YwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|allowed=");
    fixture_fini(&f);
}

static void without_self_the_own_key_is_nxdomain(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, SELF, DNS_TYPE_SRV);
    assert_nxdomain(&f);
    fixture_fini(&f);
}

static void zone_with_upper_case_never_matches_a_peer(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct dns_name_buf zone = name_of("Example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, PEER_1, DNS_TYPE_SRV);
    assert_nxdomain(&f);
    ask(&f, "_wireguard._udp.example.com.", DNS_TYPE_PTR);
    assert_nxdomain(&f);
    /* The SOA keeps the Corefile's spelling. */
    assert_true(dns_name_same(rr_at(&f, DNS_AUTHORITY, 0)->owner, dns_name_of(&zone)));
    fixture_fini(&f);
}

static void v4_mapped_endpoint_is_an_a_record(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_peer(&f.device, 4, "[::ffff:9.9.9.9]:5", NULL, 0);
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, PEER_4, DNS_TYPE_SRV);
    assert_address(rr_at(&f, DNS_ADDITIONAL, 0), DNS_TYPE_A, "\t\t\t\t", 4);
    fixture_fini(&f);
}

static void device_without_peers_gives_an_empty_list(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    wg_device_clear(&f.device);
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, "_wireguard._udp.example.com.", DNS_TYPE_PTR);
    assert_counts(&f, 0, 0, 0);
    assert_int_equal(f.reply.rcode, DNS_RCODE_NOERROR);
    fixture_fini(&f);
}

/* The bug: such a name was SERVFAIL, though wgsd, which sees a longer text, never asks the device.
 */
static void an_escaped_octet_in_the_label_needs_no_device(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(
        ask_with(f, NULL,
                 "ae\\200aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp."
                 "example.com.",
                 DNS_TYPE_SRV),
        OK);
    assert_nxdomain(f);
}

/* As Go prints them. */
static void v4_mapped_allowed_ips_read_as_ipv4(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    add_peer(&f.device, 4, "4.4.4.4:4",
             (const char *[]){"::ffff:10.0.0.1/128", "::ffff:10.0.0.0/104", "::ffc0:0:0/90"}, 3);
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    ask(&f, PEER_4, DNS_TYPE_TXT);
    assert_txt(rr_at(&f, DNS_ANSWER, 0),
               "txtvers=1|pub=BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|"
               "allowed=10.0.0.1/32,10.0.0.0/8,::ffc0:0:0/90");
    fixture_fini(&f);
}

/* Every key of a large device is found, and nothing else is (a naive twin: the loop itself). */
static void index_finds_every_peer_of_a_large_device(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    wg_device_clear(&f.device);
    enum {
        PEERS = 20000
    };
    for (uint32_t i = 1; i <= PEERS; i++) {
        struct wg_peer *peer;
        assert_int_equal(wg_device_add_peer(&f.device, &peer), OK);
        memcpy(peer->public_key, &i, sizeof(i));
        peer->endpoint = (struct ip_endpoint){.addr = {.family = IP_V4, .bytes = {10, 0, 0, 1}},
                                              .port = (uint16_t)i};
    }
    struct dns_name_buf zone = name_of("example.com.");
    make_view(&f, &(struct zones_wgsd_config){.zone = dns_name_of(&zone)});
    for (uint32_t i = 1; i <= PEERS + 100; i++) {
        uint8_t key[KEY_SIZE] = {0};
        memcpy(key, &i, sizeof(i));
        char name[128];
        key_to_base32(name, key);
        strcpy(name + KEY_BASE32_SIZE, "._wireguard._udp.example.com.");
        ask(&f, name, DNS_TYPE_SRV);
        if (i <= PEERS)
            assert_srv(rr_at(&f, DNS_ANSWER, 0), (uint16_t)i, name);
        else
            assert_nxdomain(&f);
        arena_reset(&f.arena);
    }
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_EXAMPLE(test) cmocka_unit_test_setup_teardown(test, setup_example, teardown)
        WITH_EXAMPLE(service_ptr_lists_peers_with_endpoint_in_device_order_self_last),
        WITH_EXAMPLE(srv_comes_with_address_before_txt),
        WITH_EXAMPLE(self_without_endpoint_is_the_address_asked_and_the_listen_port),
        WITH_EXAMPLE(address_queries_give_whatever_family_the_endpoint_has),
        WITH_EXAMPLE(peer_without_endpoint_and_unknown_peer_are_nxdomain),
        WITH_EXAMPLE(other_names_and_types_are_nxdomain_never_nodata),
        WITH_EXAMPLE(any_tail_of_seventeen_octets_answers_under_the_name_asked),
        WITH_EXAMPLE(unpadded_or_misspelt_key_is_nxdomain),
        WITH_EXAMPLE(without_a_device_only_names_that_need_it_fail),
        cmocka_unit_test(long_allowed_ips_are_split_into_several_strings),
        cmocka_unit_test(more_allowed_ips_than_a_message_holds_leave_the_txt_out_and_set_tc),
        cmocka_unit_test(self_endpoint_of_the_corefile_wins_over_the_listener),
        cmocka_unit_test(without_self_the_own_key_is_nxdomain),
        cmocka_unit_test(zone_with_upper_case_never_matches_a_peer),
        cmocka_unit_test(v4_mapped_endpoint_is_an_a_record),
        cmocka_unit_test(device_without_peers_gives_an_empty_list),
        WITH_EXAMPLE(an_escaped_octet_in_the_label_needs_no_device),
        cmocka_unit_test(v4_mapped_allowed_ips_read_as_ipv4),
        cmocka_unit_test(index_finds_every_peer_of_a_large_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
