#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "zones/warren.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZONE    "wg.example."
#define SERVICE "_wireguard._udp." ZONE

struct fixture {
    struct zones_warren *z;
    struct arena arena;
    struct arena peers; /* what records point to */
    struct dns_name_buf asked;
    struct dns_message reply;
    int64_t revision;
};

static const uint8_t hash_key[HASH_KEY_SIZE] = "0123456789abcde";
static const uint8_t observers[4][KEY_SIZE] = {{201}, {202}, {203}, {204}};

static struct dns_name_buf name_of(const char *text)
{
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, text, strlen(text)), OK);
    return name;
}

static void key_of(uint8_t key[static KEY_SIZE], uint32_t number)
{
    memset(key, 0, KEY_SIZE);
    memcpy(key, &number, sizeof number);
}

/* <base32>._wireguard._udp.<zone> of a key. */
static const char *instance_of(uint32_t number, bool padded)
{
    static char text[160];
    uint8_t key[KEY_SIZE];
    key_of(key, number);
    key_to_base32(text, key);
    strcpy(text + (padded ? KEY_BASE32_SIZE : KEY_BASE32_UNPADDED_SIZE), "." SERVICE);
    return text;
}

static void fixture_init(struct fixture *f, const char *zone)
{
    struct dns_name_buf name = name_of(zone);
    *f = (struct fixture){.revision = 1};
    arena_init(&f->arena, 64 << 20);
    arena_init(&f->peers, 256 << 20);
    assert_int_equal(zones_warren_create(&f->z, dns_name_of(&name), hash_key), OK);
}

static void fixture_fini(struct fixture *f)
{
    zones_warren_free(zones_warren_reclaim(f->z));
    zones_warren_destroy(f->z);
    arena_fini(&f->arena);
    arena_fini(&f->peers);
}

static struct ip_endpoint endpoint_of(const char *text)
{
    struct ip_endpoint e = {0};
    if (text != NULL)
        assert_int_equal(ip_endpoint_parse(&e, text, strlen(text)), OK);
    return e;
}

static void reclaim(struct fixture *f)
{
    zones_warren_free(zones_warren_reclaim(f->z));
}

/* ALLOWED and GROUPS: texts with spaces between, or NULL. */
static void set_peer(struct fixture *f, uint32_t number, const char *name, const char *allowed,
                     const char *groups, const char *endpoint)
{
    struct registry_peer peer = {.endpoint = endpoint_of(endpoint)};
    struct ip_prefix *prefixes = arena_array(&f->peers, 4096, sizeof *prefixes);
    const char **group_list = arena_array(&f->peers, PEER_MAX_GROUPS, sizeof *group_list);
    uint8_t key[KEY_SIZE];
    key_of(key, number);
    strcpy(peer.name, name != NULL ? name : "");
    char *text = arena_copy(&f->peers, allowed != NULL ? allowed : "",
                            strlen(allowed != NULL ? allowed : "") + 1);
    for (char *save, *one = strtok_r(text, " ", &save); one; one = strtok_r(NULL, " ", &save))
        assert_int_equal(ip_prefix_parse(&prefixes[peer.allowed_ip_count++], one, strlen(one)), OK);
    text = arena_copy(&f->peers, groups != NULL ? groups : "",
                      strlen(groups != NULL ? groups : "") + 1);
    for (char *save, *one = strtok_r(text, " ", &save); one; one = strtok_r(NULL, " ", &save))
        group_list[peer.group_count++] = one;
    peer.allowed_ips = prefixes;
    peer.groups = group_list;
    assert_int_equal(zones_warren_set_peer(f->z, key, &peer, ++f->revision), OK);
    arena_reset(&f->peers);
    reclaim(f);
}

static void remove_peer(struct fixture *f, uint32_t number)
{
    uint8_t key[KEY_SIZE];
    key_of(key, number);
    assert_int_equal(zones_warren_set_peer(f->z, key, NULL, ++f->revision), OK);
    reclaim(f);
}

static void observe_at(struct fixture *f, uint32_t number, size_t observer, const char *endpoint,
                       bool is_idle, int64_t mod_revision)
{
    struct registry_observation o = {.endpoint = endpoint_of(endpoint), .is_idle = is_idle};
    uint8_t key[KEY_SIZE];
    key_of(key, number);
    assert_int_equal(zones_warren_set_observation(f->z, key, observers[observer],
                                                  endpoint != NULL ? &o : NULL, mod_revision),
                     OK);
    reclaim(f);
}

static void observe(struct fixture *f, uint32_t number, size_t observer, const char *endpoint,
                    bool is_idle)
{
    observe_at(f, number, observer, endpoint, is_idle, ++f->revision);
}

static void ask(struct fixture *f, const char *name, uint16_t type)
{
    struct dns_name_buf asked = name_of(name);
    arena_reset(&f->arena);
    dns_name_lower(&f->asked, dns_name_of(&asked));
    f->reply = (struct dns_message){.has_question = true,
                                    .question = {.name = dns_name_of(&f->asked), .type = type}};
    assert_true(zones_warren_owns(f->z, dns_name_of(&f->asked)));
    assert_int_equal(zones_warren_answer(f->z, dns_name_of(&f->asked), type, &f->arena, &f->reply),
                     OK);
    assert_true((f->reply.flags & DNS_FLAG_AA) != 0);
}

static const struct dns_rr *rr_at(const struct fixture *f, enum dns_section section, size_t i)
{
    assert_true(i < f->reply.sections[section].count);
    return &f->reply.sections[section].rrs[i];
}

static void assert_counts(const struct fixture *f, size_t answer, size_t authority,
                          size_t additional)
{
    assert_int_equal(f->reply.sections[DNS_ANSWER].count, answer);
    assert_int_equal(f->reply.sections[DNS_AUTHORITY].count, authority);
    assert_int_equal(f->reply.sections[DNS_ADDITIONAL].count, additional);
}

static void assert_soa(const struct fixture *f)
{
    struct dns_name_buf zone = name_of(ZONE);
    assert_counts(f, 0, 1, 0);
    assert_int_equal(rr_at(f, DNS_AUTHORITY, 0)->type, DNS_TYPE_SOA);
    assert_true(dns_name_same(rr_at(f, DNS_AUTHORITY, 0)->owner, dns_name_of(&zone)));
}

static void assert_nxdomain(const struct fixture *f)
{
    assert_int_equal(f->reply.rcode, DNS_RCODE_NXDOMAIN);
    assert_soa(f);
}

static void assert_nodata(const struct fixture *f)
{
    assert_int_equal(f->reply.rcode, DNS_RCODE_NOERROR);
    assert_soa(f);
}

static void assert_rr(const struct dns_rr *rr, uint16_t type, const void *rdata, size_t size)
{
    assert_int_equal(rr->type, type);
    assert_int_equal(rr->rdata_size, size);
    assert_memory_equal(rr->rdata, rdata, size);
}

static void assert_name(const struct dns_rr *rr, uint16_t type, const char *target)
{
    struct dns_name_buf name = name_of(target);
    assert_rr(rr, type, name.wire, name.size);
}

static void assert_srv(const struct dns_rr *rr, uint16_t port, const char *target)
{
    struct dns_name_buf name = name_of(target);
    uint8_t rdata[6 + DNS_NAME_MAX_SIZE] = {0, 0, 0, 0, (uint8_t)(port >> 8), (uint8_t)port};
    memcpy(rdata + 6, name.wire, name.size);
    assert_rr(rr, DNS_TYPE_SRV, rdata, 6u + name.size);
}

/* The strings of a TXT, "|" between. */
static const char *txt_text(const struct dns_rr *rr)
{
    static char text[1 << 16];
    size_t used = 0;
    assert_int_equal(rr->type, DNS_TYPE_TXT);
    for (size_t at = 0; at < rr->rdata_size; at += 1u + rr->rdata[at]) {
        if (at > 0)
            text[used++] = '|';
        memcpy(text + used, rr->rdata + at + 1, rr->rdata[at]);
        used += rr->rdata[at];
    }
    text[used] = '\0';
    return text;
}

static bool has_pointer(const struct fixture *f, const char *target)
{
    struct dns_name_buf name = name_of(target);
    for (size_t i = 0; i < f->reply.sections[DNS_ANSWER].count; i++) {
        const struct dns_rr *rr = rr_at(f, DNS_ANSWER, i);
        assert_int_equal(rr->type, DNS_TYPE_PTR);
        if (rr->rdata_size == name.size && memcmp(rr->rdata, name.wire, name.size) == 0)
            return true;
    }
    return false;
}

static int setup(void **state)
{
    static struct fixture f;
    fixture_init(&f, ZONE);
    set_peer(&f, 1, "alice", "10.0.0.1/32 fd00::1/128 10.1.0.0/16", "web", "192.0.2.1:51820");
    set_peer(&f, 2, "bob", "10.0.0.2/32", "web db", "[2001:db8::2]:2");
    set_peer(&f, 3, "carol", "10.0.0.3/32", "db", NULL);
    set_peer(&f, 4, NULL, "10.0.0.4/32", NULL, "192.0.2.4:4");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    return 0;
}

/* --- the table of DESIGN's DNS chapter -------------------------------------------------------- */

static void srv_answers_as_wgsd_with_the_address_before_the_txt(void **state)
{
    struct fixture *f = *state;
    ask(f, instance_of(1, true), DNS_TYPE_SRV);
    assert_counts(f, 1, 0, 2);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 51820, instance_of(1, true));
    assert_rr(rr_at(f, DNS_ADDITIONAL, 0), DNS_TYPE_A, "\xc0\0\2\1", 4);
    assert_string_equal(txt_text(rr_at(f, DNS_ADDITIONAL, 1)),
                        "txtvers=1|pub=AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|"
                        "allowed=10.0.0.1/32,fd00::1/128,10.1.0.0/16");
    /* One owner pointer for all: the writer's short way. */
    assert_ptr_equal(rr_at(f, DNS_ADDITIONAL, 1)->owner.wire, rr_at(f, DNS_ANSWER, 0)->owner.wire);
    ask(f, instance_of(2, true), DNS_TYPE_SRV);
    assert_int_equal(rr_at(f, DNS_ADDITIONAL, 0)->type, DNS_TYPE_AAAA);
}

static void unpadded_key_answers_under_the_name_asked(void **state)
{
    struct fixture *f = *state;
    ask(f, instance_of(1, false), DNS_TYPE_SRV);
    assert_srv(rr_at(f, DNS_ANSWER, 0), 51820, instance_of(1, false));
}

static void upper_case_is_the_same_name(void **state)
{
    struct fixture *f = *state;
    char name[200];
    strcpy(name, instance_of(1, true));
    for (char *c = name; *c; c++)
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    ask(f, name, DNS_TYPE_TXT);
    assert_counts(f, 1, 0, 0);
    ask(f, "ALICE.WG.Example.", DNS_TYPE_A);
    assert_counts(f, 1, 0, 0);
}

static void misspelt_keys_do_not_exist(void **state)
{
    struct fixture *f = *state;
    char name[200];
    strcpy(name, instance_of(1, true));
    name[51] = 'b'; /* stray low bits */
    ask(f, name, DNS_TYPE_SRV);
    assert_nxdomain(f);
    name[51] = '1';
    ask(f, name, DNS_TYPE_SRV);
    assert_nxdomain(f);
    ask(f, instance_of(77, true), DNS_TYPE_SRV);
    assert_nxdomain(f);
    char below[220];
    snprintf(below, sizeof below, "x.%s", instance_of(1, false));
    ask(f, below, DNS_TYPE_SRV);
    assert_nxdomain(f);
}

static void address_of_the_other_family_is_nodata(void **state)
{
    struct fixture *f = *state;
    ask(f, instance_of(2, true), DNS_TYPE_A);
    assert_nodata(f);
    ask(f, instance_of(2, true), DNS_TYPE_AAAA);
    assert_counts(f, 1, 0, 0);
    ask(f, instance_of(1, true), DNS_TYPE_AAAA);
    assert_nodata(f);
    ask(f, instance_of(1, true), DNS_TYPE_MX);
    assert_nodata(f);
}

static void peer_without_endpoint_is_not_published(void **state)
{
    struct fixture *f = *state;
    ask(f, instance_of(3, true), DNS_TYPE_SRV);
    assert_nxdomain(f);
    ask(f, SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 3, 0, 0);
    assert_false(has_pointer(f, instance_of(3, true)));
    ask(f, "carol." ZONE, DNS_TYPE_A); /* its overlay address is no secret */
    assert_counts(f, 1, 0, 0);
    assert_int_equal(zones_warren_peer_count(f->z), 4);
    assert_int_equal(zones_warren_published_count(f->z), 3);
}

/* RFC 6763 section 4.1. Targets are padded, as wgsd's are. */
static void service_lists_published_peers_by_padded_key(void **state)
{
    struct fixture *f = *state;
    ask(f, SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 3, 0, 0);
    assert_true(has_pointer(f, instance_of(1, true)));
    assert_true(has_pointer(f, instance_of(2, true)));
    assert_true(has_pointer(f, instance_of(4, true)));
    ask(f, SERVICE, DNS_TYPE_SRV);
    assert_nodata(f);
}

/* RFC 6763 section 7.1. */
static void group_is_a_subtype(void **state)
{
    struct fixture *f = *state;
    ask(f, "_web._sub." SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 2, 0, 0);
    ask(f, "_db._sub." SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 1, 0, 0); /* carol is not published */
    assert_true(has_pointer(f, instance_of(2, true)));
    ask(f, "_db._sub." SERVICE, DNS_TYPE_A);
    assert_nodata(f);
    ask(f, "_none._sub." SERVICE, DNS_TYPE_PTR);
    assert_nxdomain(f);
    ask(f, "web._sub." SERVICE, DNS_TYPE_PTR);
    assert_nxdomain(f);
}

/* RFC 6763 sections 9 and 11. */
static void browsing_pointers(void **state)
{
    struct fixture *f = *state;
    ask(f, "_services._dns-sd._udp." ZONE, DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, SERVICE);
    ask(f, "b._dns-sd._udp." ZONE, DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, ZONE);
    ask(f, "lb._dns-sd._udp." ZONE, DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, ZONE);
    ask(f, "lb._dns-sd._udp." ZONE, DNS_TYPE_A);
    assert_nodata(f);
    ask(f, "x._dns-sd._udp." ZONE, DNS_TYPE_PTR);
    assert_nxdomain(f);
}

/* RFC 8020, RFC 4592 section 2.2.2. */
static void empty_non_terminals_are_nodata(void **state)
{
    struct fixture *f = *state;
    ask(f, "_udp." ZONE, DNS_TYPE_PTR);
    assert_nodata(f);
    ask(f, "_dns-sd._udp." ZONE, DNS_TYPE_A);
    assert_nodata(f);
    ask(f, "_sub." SERVICE, DNS_TYPE_PTR);
    assert_nodata(f);
    remove_peer(f, 1);
    set_peer(f, 2, "bob", "10.0.0.2/32", NULL, "[2001:db8::2]:2");
    ask(f, "_sub." SERVICE, DNS_TYPE_PTR); /* no group is published any more */
    assert_nxdomain(f);
    ask(f, "_tcp." ZONE, DNS_TYPE_PTR);
    assert_nxdomain(f);
}

static void name_has_its_host_addresses(void **state)
{
    struct fixture *f = *state;
    ask(f, "alice." ZONE, DNS_TYPE_A);
    assert_counts(f, 1, 0, 0);
    assert_rr(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_A, "\n\0\0\1", 4);
    ask(f, "alice." ZONE, DNS_TYPE_AAAA);
    assert_counts(f, 1, 0, 0);
    ask(f, "bob." ZONE, DNS_TYPE_AAAA);
    assert_nodata(f);
    ask(f, "dora." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    ask(f, "x.alice." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    set_peer(f, 5, "erin", "10.9.0.0/16", NULL, NULL); /* a name without records */
    ask(f, "erin." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
}

/* RFC 1035 section 3.5, RFC 3596 section 2.5. */
static void reverse_names_point_back(void **state)
{
    struct fixture *f = *state;
    ask(f, "1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, "alice." ZONE);
    ask(f, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.D.F.ip6.arpa.",
        DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, "alice." ZONE);
    ask(f, "1.0.0.10.in-addr.arpa.", DNS_TYPE_A); /* RFC 2308 section 2.2, type 3 */
    assert_counts(f, 0, 0, 0);
    assert_int_equal(f->reply.rcode, DNS_RCODE_NOERROR);
}

static void reverse_names_without_a_pointer_are_not_owned(void **state)
{
    struct fixture *f = *state;
    static const char *const others[] = {
        "9.0.0.10.in-addr.arpa.",
        "4.0.0.10.in-addr.arpa." /* no name */,
        "0.0.1.10.in-addr.arpa." /* no host */,
        "01.0.0.10.in-addr.arpa.",
        "0.0.10.in-addr.arpa.",
        "1.1.0.0.10.in-addr.arpa.",
        "256.0.0.10.in-addr.arpa.",
        "in-addr.arpa.",
        "ip6.arpa.",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.g.f.ip6.arpa.",
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.00.d.f.ip6.arpa.",
        "example.",
        "xwg.example."};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        struct dns_name_buf name = name_of(others[i]);
        assert_false(zones_warren_owns(f->z, dns_name_of(&name)));
    }
}

static uint32_t serial_of(const struct dns_rr *soa)
{
    const uint8_t *at = soa->rdata + soa->rdata_size - 20;
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void apex_has_soa_and_ns(void **state)
{
    struct fixture *f = *state;
    ask(f, ZONE, DNS_TYPE_SOA);
    assert_counts(f, 1, 0, 0);
    assert_int_equal(serial_of(rr_at(f, DNS_ANSWER, 0)), f->revision);
    assert_int_equal(rr_at(f, DNS_ANSWER, 0)->ttl, 60);
    ask(f, ZONE, DNS_TYPE_NS);
    assert_counts(f, 1, 0, 0);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_NS, "ns1." ZONE);
    ask(f, ZONE, DNS_TYPE_A);
    assert_nodata(f);
    ask(f, ZONE, DNS_TYPE_DS);
    assert_nodata(f);
    ask(f, ZONE, DNS_TYPE_DNSKEY);
    assert_nodata(f);
}

static void serial_is_the_low_32_bits_of_the_revision(void **state)
{
    struct fixture *f = *state;
    f->revision = INT64_C(0x500000007);
    set_peer(f, 9, NULL, NULL, NULL, "192.0.2.9:9");
    ask(f, ZONE, DNS_TYPE_SOA);
    assert_int_equal(serial_of(rr_at(f, DNS_ANSWER, 0)), 8);
    assert_int_equal(zones_warren_revision(f->z), INT64_C(0x500000008));
}

static void name_server_that_is_a_peer_brings_its_addresses(void **state)
{
    struct fixture *f = *state;
    set_peer(f, 5, "ns1", "10.0.0.53/32 fd00::53/128", NULL, NULL);
    ask(f, ZONE, DNS_TYPE_NS);
    assert_counts(f, 1, 0, 2);
    struct dns_name_buf ns = name_of("ns1." ZONE);
    assert_true(dns_name_same(rr_at(f, DNS_ADDITIONAL, 0)->owner, dns_name_of(&ns)));
}

/* RFC 2308 section 5: min of the SOA's TTL and its minimum. */
static void settings_give_ttls_soa_and_ns(void **state)
{
    struct fixture *f = *state;
    struct registry_zone zone = {.ttl_s = 300,
                                 .soa_mname = name_of("a.example."),
                                 .soa_rname = name_of("b.example."),
                                 .soa_refresh_s = 1,
                                 .soa_retry_s = 2,
                                 .soa_expire_s = 3,
                                 .soa_minimum_s = 4,
                                 .ns = {name_of("x.example."), name_of("y.example.")},
                                 .ns_count = 2};
    assert_int_equal(zones_warren_set_zone(f->z, &zone, 1000), OK);
    reclaim(f);
    ask(f, ZONE, DNS_TYPE_SOA);
    assert_rr(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_SOA,
              "\1a\7example\0\1b\7example\0\0\0\3\xe8\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4", 42);
    assert_int_equal(rr_at(f, DNS_ANSWER, 0)->ttl, 300);
    ask(f, ZONE, DNS_TYPE_NS);
    assert_counts(f, 2, 0, 0);
    ask(f, "nobody." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    assert_int_equal(rr_at(f, DNS_AUTHORITY, 0)->ttl, 4);
    ask(f, instance_of(1, true), DNS_TYPE_SRV);
    assert_int_equal(rr_at(f, DNS_ANSWER, 0)->ttl, 300);
    ask(f, SERVICE, DNS_TYPE_PTR);
    assert_int_equal(rr_at(f, DNS_ANSWER, 2)->ttl, 300);
}

/* RFC 8482 leaves the choice; we give what there is. */
static void any_gives_all_records(void **state)
{
    struct fixture *f = *state;
    ask(f, instance_of(1, true), DNS_TYPE_ANY);
    assert_counts(f, 3, 0, 0);
    ask(f, ZONE, DNS_TYPE_ANY);
    assert_counts(f, 2, 0, 0);
    ask(f, "alice." ZONE, DNS_TYPE_ANY);
    assert_counts(f, 2, 0, 0);
    ask(f, SERVICE, DNS_TYPE_ANY);
    assert_counts(f, 3, 0, 0);
    ask(f, "1.0.0.10.in-addr.arpa.", DNS_TYPE_ANY);
    assert_counts(f, 1, 0, 0);
    ask(f, "_udp." ZONE, DNS_TYPE_ANY);
    assert_nodata(f);
}

static void a_name_claimed_twice_is_nobodys_until_settled(void **state)
{
    struct fixture *f = *state;
    set_peer(f, 5, "alice", "10.0.0.5/32", NULL, NULL);
    ask(f, "alice." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    struct dns_name_buf reverse = name_of("1.0.0.10.in-addr.arpa.");
    assert_false(zones_warren_owns(f->z, dns_name_of(&reverse)));
    set_peer(f, 6, "alice", "10.0.0.6/32", NULL, NULL);
    set_peer(f, 1, "alice", "10.0.0.1/32", NULL, "192.0.2.1:1"); /* a change settles nothing */
    remove_peer(f, 5);
    ask(f, "alice." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    set_peer(f, 6, "frank", "10.0.0.6/32", NULL, NULL);
    ask(f, "alice." ZONE, DNS_TYPE_A);
    assert_rr(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_A, "\n\0\0\1", 4);
    assert_true(zones_warren_owns(f->z, dns_name_of(&reverse)));
}

static void an_address_claimed_twice_has_no_pointer_until_settled(void **state)
{
    struct fixture *f = *state;
    struct dns_name_buf reverse = name_of("1.0.0.10.in-addr.arpa.");
    set_peer(f, 5, "erin", "10.0.0.1/32", NULL, NULL);
    assert_false(zones_warren_owns(f->z, dns_name_of(&reverse)));
    ask(f, "erin." ZONE, DNS_TYPE_A);
    assert_counts(f, 1, 0, 0);
    set_peer(f, 1, "alice", "10.0.0.9/32", NULL, NULL);
    ask(f, "1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, "erin." ZONE);
}

/* Whoever is left gets the name, in whatever order the others came and went; each costs the same,
 * or this takes minutes. */
static void of_many_that_claim_a_name_the_last_one_gets_it(void **state)
{
    enum {
        FIRST = 100,
        COUNT = 30000,
        LEFT = FIRST + 12345,
    };
    struct fixture *f = *state;
    for (uint32_t i = FIRST; i < FIRST + COUNT; i++)
        set_peer(f, i, "crowd", "10.9.0.1/32 10.9.0.1/32", NULL, NULL);
    for (uint32_t i = FIRST; i < FIRST + COUNT; i += 2) /* as they were */
        set_peer(f, i, "crowd", "10.9.0.1/32", NULL, "192.0.2.1:1");
    for (uint32_t i = FIRST; i < FIRST + COUNT; i++) {
        if (i == LEFT)
            continue;
        ask(f, "crowd." ZONE, DNS_TYPE_A);
        assert_nxdomain(f);
        if (i % 3 == 0)
            set_peer(f, i, "other", NULL, NULL, NULL);
        else
            remove_peer(f, i);
    }
    ask(f, "crowd." ZONE, DNS_TYPE_A);
    assert_rr(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_A, "\n\x09\0\1", 4);
    ask(f, "1.0.9.10.in-addr.arpa.", DNS_TYPE_PTR);
    assert_name(rr_at(f, DNS_ANSWER, 0), DNS_TYPE_PTR, "crowd." ZONE);
    struct zones_warren_peer_view view;
    uint8_t key[KEY_SIZE];
    key_of(key, LEFT);
    assert_true(zones_warren_peer(f->z, key, &view) && view.owns_name);
}

static void a_peer_may_say_the_same_address_twice(void **state)
{
    struct fixture *f = *state;
    set_peer(f, 5, "erin", "10.0.0.5/32 10.0.0.5/32", "web web", "192.0.2.5:5");
    ask(f, "5.0.0.10.in-addr.arpa.", DNS_TYPE_PTR);
    assert_counts(f, 1, 0, 0);
    set_peer(f, 5, "erin", "10.0.0.5/32 10.0.0.5/32", "web web", "192.0.2.5:6");
    ask(f, "_web._sub." SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 3, 0, 0);
    remove_peer(f, 5);
    struct dns_name_buf reverse = name_of("5.0.0.10.in-addr.arpa.");
    assert_false(zones_warren_owns(f->z, dns_name_of(&reverse)));
}

/* --- the published endpoint ------------------------------------------------------------------- */

static void assert_port(struct fixture *f, uint32_t number, uint16_t port)
{
    char name[200];
    strcpy(name, instance_of(number, true));
    ask(f, name, DNS_TYPE_SRV);
    if (port == 0)
        assert_nxdomain(f);
    else
        assert_srv(rr_at(f, DNS_ANSWER, 0), port, name);
}

static void newest_live_observation_wins_then_static_then_newest_idle(void **state)
{
    struct fixture *f = *state;
    observe_at(f, 1, 0, "198.51.100.1:10", false, 110);
    assert_port(f, 1, 10);
    observe_at(f, 1, 1, "198.51.100.1:11", false, 109);
    assert_port(f, 1, 10);
    observe_at(f, 1, 2, "198.51.100.1:12", true, 120);
    assert_port(f, 1, 10);
    observe_at(f, 1, 0, NULL, false, 121);
    assert_port(f, 1, 11);
    observe_at(f, 1, 1, "198.51.100.1:11", true, 122);
    assert_port(f, 1, 51820);
    set_peer(f, 1, "alice", "10.0.0.1/32", "web", NULL);
    assert_port(f, 1, 11); /* idle, but newer than 12 */
    observe_at(f, 1, 1, NULL, false, 123);
    assert_port(f, 1, 12);
    observe_at(f, 1, 2, "[2001:db8::1]:13", false, 124);
    assert_port(f, 1, 13);
    ask(f, instance_of(1, true), DNS_TYPE_AAAA);
    assert_counts(f, 1, 0, 0);
    ask(f, "_web._sub." SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 2, 0, 0);
    observe_at(f, 1, 2, NULL, false, 125);
    assert_port(f, 1, 0);
    ask(f, "_web._sub." SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 1, 0, 0);
}

/* A zone that only observers fill answers wgsd-client. */
static void a_peer_without_a_record_is_published_by_its_key(void **state)
{
    struct fixture *f = *state;
    struct zones_warren_peer_view view;
    uint8_t key[KEY_SIZE];
    key_of(key, 50);
    observe(f, 50, 0, "192.0.2.50:50", false);
    assert_port(f, 50, 50);
    assert_string_equal(txt_text(rr_at(f, DNS_ADDITIONAL, 1)),
                        "txtvers=1|pub=MgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=|allowed=");
    ask(f, SERVICE, DNS_TYPE_PTR);
    assert_true(has_pointer(f, instance_of(50, true)));
    assert_true(zones_warren_peer(f->z, key, &view));
    assert_false(view.has_record);
    set_peer(f, 50, "fred", "10.0.0.50/32", "web", NULL); /* the record comes later */
    assert_port(f, 50, 50);
    ask(f, "fred." ZONE, DNS_TYPE_A);
    assert_counts(f, 1, 0, 0);
    remove_peer(f, 50); /* and goes first */
    assert_port(f, 50, 50);
    ask(f, "fred." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    observe(f, 50, 0, NULL, false);
    assert_port(f, 50, 0);
    assert_false(zones_warren_peer(f->z, key, &view));
    assert_int_equal(zones_warren_peer_count(f->z), 4);
}

static void what_is_not_there_can_be_removed(void **state)
{
    struct fixture *f = *state;
    remove_peer(f, 70);
    observe(f, 70, 0, NULL, false);
    observe(f, 1, 0, NULL, false);
    assert_int_equal(zones_warren_peer_count(f->z), 4);
    assert_int_equal(zones_warren_revision(f->z), f->revision);
}

static void a_zone_that_expects_peers_takes_any_number(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(zones_warren_expect(f->z, 1000000), OK); /* has peers: nothing changes */
    size_t memory = zones_warren_memory(f->z);
    assert_true(memory < 100000);
    struct zones_warren *z;
    assert_int_equal(zones_warren_create(&z, zones_warren_name(f->z), hash_key), OK);
    assert_int_equal(zones_warren_expect(z, 1000), OK);
    memory = zones_warren_memory(z);
    assert_true(memory > 3 * 1000 * sizeof(uint64_t));
    zones_warren_begin_reload(z);
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t key[KEY_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8)};
        struct registry_peer peer = {.keepalive_s = (uint16_t)i};
        assert_int_equal(zones_warren_set_peer(z, key, &peer, i + 2), OK);
    }
    assert_int_equal(zones_warren_end_reload(z), OK);
    assert_int_equal(zones_warren_peer_count(z), 5000);
    struct zones_warren_peer_view view;
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t key[KEY_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8)};
        assert_true(zones_warren_peer(z, key, &view));
        assert_int_equal(view.keepalive_s, i);
    }
    zones_warren_destroy(z);
}

static void a_reload_removes_what_is_not_said_again(void **state)
{
    struct fixture *f = *state;
    observe(f, 1, 0, "198.51.100.1:10", false);
    observe(f, 2, 0, "198.51.100.1:20", false);
    observe(f, 2, 1, "198.51.100.1:21", false);
    observe(f, 50, 0, "198.51.100.1:50", false);
    zones_warren_begin_reload(f->z);
    set_peer(f, 1, "alice", "10.0.0.1/32", "web", "192.0.2.1:51820");
    observe(f, 2, 0, "198.51.100.1:20", false);
    assert_port(f, 4, 4); /* still there */
    assert_int_equal(zones_warren_end_reload(f->z), OK);
    reclaim(f);
    assert_port(f, 1, 51820); /* its observation is gone */
    assert_port(f, 2, 20);    /* without its record, by the observation that was said */
    ask(f, "bob." ZONE, DNS_TYPE_A);
    assert_nxdomain(f);
    assert_port(f, 4, 0);
    assert_port(f, 50, 0);
    assert_int_equal(zones_warren_peer_count(f->z), 2);
    zones_warren_begin_reload(f->z); /* not finished: what it says counts for nothing */
    set_peer(f, 1, "alice", "10.0.0.1/32", "web", "192.0.2.1:51820");
    zones_warren_begin_reload(f->z);
    assert_int_equal(zones_warren_end_reload(f->z), OK);
    reclaim(f);
    assert_int_equal(zones_warren_peer_count(f->z), 0);
}

/* --- sizes ------------------------------------------------------------------------------------ */

static void long_allowed_ips_are_split_into_several_strings(void **state)
{
    struct fixture *f = *state;
    char allowed[40 * 20 + 1] = "", expected[40 * 20 + 1] = "";
    for (size_t i = 0; i < 40; i++) {
        sprintf(allowed + strlen(allowed), "10.200.100.1%02zu/32 ", i);
        sprintf(expected + strlen(expected), "%s10.200.100.1%02zu/32", i > 0 ? "," : "", i);
    }
    set_peer(f, 5, NULL, allowed, NULL, "192.0.2.5:5");
    ask(f, instance_of(5, true), DNS_TYPE_TXT);
    const struct dns_rr *rr = rr_at(f, DNS_ANSWER, 0);
    char joined[2000];
    size_t used = 0, strings = 0;
    for (size_t at = 10 + 49; at < rr->rdata_size; at += 1u + rr->rdata[at], strings++) {
        memcpy(joined + used, rr->rdata + at + 1, rr->rdata[at]);
        used += rr->rdata[at];
    }
    joined[used] = '\0';
    assert_int_equal(strings, 3);
    assert_memory_equal(joined, "allowed=", 8);
    assert_string_equal(joined + 8, expected);
}

static void txt_larger_than_a_message_is_left_out_with_tc(void **state)
{
    struct fixture *f = *state;
    char *allowed = test_malloc(4096 * 48), *at = allowed;
    for (unsigned i = 0; i < 4096; i++)
        at += sprintf(at, "2001:db8:1111:2222:3333:4444:5555:%x/128 ", i + 0x1000);
    set_peer(f, 5, "erin", allowed, NULL, "192.0.2.5:5");
    test_free(allowed);
    ask(f, instance_of(5, true), DNS_TYPE_SRV);
    assert_counts(f, 1, 0, 1);
    assert_true((f->reply.flags & DNS_FLAG_TC) != 0);
    ask(f, instance_of(5, true), DNS_TYPE_TXT);
    assert_counts(f, 0, 0, 0);
    assert_int_equal(f->reply.rcode, DNS_RCODE_NOERROR);
    assert_true((f->reply.flags & DNS_FLAG_TC) != 0);
    ask(f, "erin." ZONE, DNS_TYPE_AAAA);
    assert_counts(f, 4096, 0, 0);
}

/* More targets than fit are handed on, so that the writer truncates; and no more than that. */
static void a_large_ptr_rrset_is_truncated_by_the_writer(void **state)
{
    struct fixture *f = *state;
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    size_t size;
    for (uint32_t i = 0; i < 3000; i++)
        set_peer(f, 1000 + i, NULL, NULL, "big", "192.0.2.9:9");
    for (int round = 0; round < 2; round++) {
        ask(f, round == 0 ? SERVICE : "_big._sub." SERVICE, DNS_TYPE_PTR);
        assert_counts(f, 1024, 0, 0);
        assert_int_equal(
            dns_message_write_within(&f->reply, DNS_MAX_MESSAGE_SIZE, out, sizeof out, &size), OK);
        assert_true((f->reply.flags & DNS_FLAG_TC) != 0);
        assert_true(size > 65000);
        assert_in_range(f->reply.sections[DNS_ANSWER].count, 900, 922);
    }
    /* Those beyond the bound move up when others go. */
    for (uint32_t i = 0; i < 2500; i++)
        remove_peer(f, 1000 + i);
    ask(f, "_big._sub." SERVICE, DNS_TYPE_PTR);
    assert_counts(f, 500, 0, 0);
    for (uint32_t i = 2500; i < 3000; i++)
        assert_true(has_pointer(f, instance_of(1000 + i, true)));
}

static void the_longest_zone_works_and_a_longer_one_is_refused(void **state)
{
    char text[300] = "";
    struct fixture f;
    (void)state;
    for (size_t i = 0; i < 84; i++)
        strcat(text, "a.");
    struct dns_name_buf name = name_of(text);
    assert_int_equal(name.size, 169);
    strcat(text, "a.");
    struct dns_name_buf longer = name_of(text);
    assert_int_equal(zones_warren_create(&f.z, dns_name_of(&longer), hash_key), ERR_LIMIT);
    text[strlen(text) - 2] = '\0';
    fixture_init(&f, text);
    char group[PEER_GROUP_MAX + 1];
    memset(group, 'g', PEER_GROUP_MAX);
    group[PEER_GROUP_MAX] = '\0';
    set_peer(&f, 1, group, "10.0.0.1/32", group, "192.0.2.1:1");
    char question[600];
    snprintf(question, sizeof question, "_%s._sub._wireguard._udp.%s", group, text);
    ask(&f, question, DNS_TYPE_PTR);
    assert_counts(&f, 1, 0, 0);
    fixture_fini(&f);
}

static void the_root_can_be_a_zone(void **state)
{
    struct fixture f;
    (void)state;
    fixture_init(&f, ".");
    set_peer(&f, 1, "alice", "10.0.0.1/32", NULL, "192.0.2.1:1");
    ask(&f, "alice.", DNS_TYPE_A);
    assert_counts(&f, 1, 0, 0);
    ask(&f, ".", DNS_TYPE_SOA);
    assert_counts(&f, 1, 0, 0);
    ask(&f, "_wireguard._udp.", DNS_TYPE_PTR);
    assert_counts(&f, 1, 0, 0);
    fixture_fini(&f);
}

static void expect_rcode(struct fixture *f, const char *name, uint16_t type, uint16_t rcode)
{
    ask(f, name, type);
    assert_int_equal(f->reply.rcode, rcode);
    assert_counts(f, 0, 1, 0); /* the SOA */
}

/* A zone that covers in-addr.arpa answers reverse names, as any zone does for its peers' ones, and
 * denies them as its own. */
static void a_zone_that_covers_reverse_names_has_them(void **state)
{
    static const char *const zones[] = {".", "arpa.", "in-addr.arpa.", "10.in-addr.arpa.",
                                        "0.0.10.in-addr.arpa."};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(zones); i++) {
        struct fixture f;
        char target[64];
        fixture_init(&f, zones[i]);
        set_peer(&f, 1, "alice", "10.0.0.1/32", NULL, "192.0.2.1:1");
        set_peer(&f, 2, NULL, "10.0.0.2/32", NULL, "192.0.2.2:1");
        ask(&f, "1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR);
        (void)snprintf(target, sizeof(target), "alice.%s", i == 0 ? "" : zones[i]);
        assert_name(rr_at(&f, DNS_ANSWER, 0), DNS_TYPE_PTR, target);
        expect_rcode(&f, "1.0.0.10.in-addr.arpa.", DNS_TYPE_A, DNS_RCODE_NOERROR);
        expect_rcode(&f, "2.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, DNS_RCODE_NXDOMAIN);
        expect_rcode(&f, "9.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, DNS_RCODE_NXDOMAIN);
        expect_rcode(&f, "0.0.10.in-addr.arpa.", DNS_TYPE_PTR, DNS_RCODE_NOERROR);
        expect_rcode(&f, "1.1.0.0.10.in-addr.arpa.", DNS_TYPE_PTR, DNS_RCODE_NXDOMAIN);
        fixture_fini(&f);
    }
    struct fixture f;
    fixture_init(&f, ".");
    set_peer(&f, 1, "alice", "fd00::1/128", NULL, "192.0.2.1:1");
    ask(&f, "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
        DNS_TYPE_PTR);
    assert_name(rr_at(&f, DNS_ANSWER, 0), DNS_TYPE_PTR, "alice.");
    expect_rcode(&f, "0.d.f.ip6.arpa.", DNS_TYPE_PTR, DNS_RCODE_NOERROR);
    expect_rcode(&f, "10.ip6.arpa.", DNS_TYPE_PTR, DNS_RCODE_NXDOMAIN);
    expect_rcode(&f, "arpa.", DNS_TYPE_NS, DNS_RCODE_NOERROR);
    expect_rcode(&f, "home.arpa.", DNS_TYPE_A, DNS_RCODE_NXDOMAIN);
    expect_rcode(&f, "256.in-addr.arpa.", DNS_TYPE_PTR, DNS_RCODE_NXDOMAIN);
    fixture_fini(&f);
}

static void views_tell_everything(void **state)
{
    struct fixture *f = *state;
    struct zones_warren_peer_view view;
    uint8_t key[KEY_SIZE];
    key_of(key, 1);
    assert_true(zones_warren_peer(f->z, key, &view));
    assert_memory_equal(view.key, key, KEY_SIZE);
    assert_string_equal(view.name, "alice");
    assert_true(view.has_record && view.owns_name && !view.has_keepalive);
    assert_int_equal(view.allowed_ip_count, 3);
    assert_int_equal(view.allowed_ips[2].length, 16);
    assert_int_equal(view.allowed_ips[1].addr.family, IP_V6);
    assert_int_equal(view.endpoint.port, 51820);
    set_peer(f, 5, "alice", NULL, NULL, NULL);
    assert_true(zones_warren_peer(f->z, key, &view));
    assert_false(view.owns_name);
    assert_true(zones_warren_memory(f->z) > 1000);
}

struct heard {
    unsigned count;
    uint8_t key[KEY_SIZE];
};

static void hear(void *context, const uint8_t key[static KEY_SIZE])
{
    struct heard *heard = context;
    heard->count++;
    memcpy(heard->key, key, KEY_SIZE);
}

/* What a view shows, and nothing else: an observation that is not the published one says nothing.
 */
static void listeners_hear_which_peers_change(void **state)
{
    (void)state;
    struct fixture f;
    struct heard heard = {0}, other = {0};
    struct zones_warren_listener first = {.changed = hear, .context = &heard},
                                 second = {.changed = hear, .context = &other};
    struct registry_observation seen = {.how = "handshake"};
    struct registry_peer *peer = calloc(1, sizeof(*peer));
    uint8_t key[KEY_SIZE], wanted[KEY_SIZE];
    assert_non_null(peer);
    fixture_init(&f, ZONE);
    key_of(key, 7);
    memcpy(wanted, key, KEY_SIZE);
    assert_int_equal(ip_endpoint_parse(&seen.endpoint, "192.0.2.1:1", 11), OK);
    zones_warren_listen(f.z, &first);
    zones_warren_listen(f.z, &second);
    assert_int_equal(zones_warren_set_observation(f.z, key, observers[0], &seen, 2), OK);
    assert_int_equal(heard.count, 1);
    assert_memory_equal(heard.key, wanted, KEY_SIZE);
    assert_int_equal(zones_warren_set_observation(f.z, key, observers[1], &seen, 3), OK);
    assert_int_equal(heard.count, 1); /* the same endpoint */
    seen.endpoint.port = 2;
    assert_int_equal(zones_warren_set_observation(f.z, key, observers[1], &seen, 4), OK);
    assert_int_equal(heard.count, 2);
    assert_int_equal(zones_warren_set_peer(f.z, key, peer, 5), OK);
    assert_int_equal(heard.count, 3);
    zones_warren_unlisten(f.z, &first);
    assert_int_equal(zones_warren_set_peer(f.z, key, NULL, 6), OK);
    assert_int_equal(heard.count, 3);
    assert_int_equal(other.count, 4);
    assert_int_equal(zones_warren_set_observation(f.z, key, observers[0], NULL, 7), OK);
    assert_int_equal(zones_warren_set_observation(f.z, key, observers[1], NULL, 8), OK);
    assert_int_equal(other.count, 5); /* gone */
    zones_warren_unlisten(f.z, &second);
    free(peer);
    zones_warren_free(zones_warren_reclaim(f.z));
    zones_warren_destroy(f.z);
    arena_fini(&f.arena);
    arena_fini(&f.peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define WITH_EXAMPLE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        WITH_EXAMPLE(srv_answers_as_wgsd_with_the_address_before_the_txt),
        WITH_EXAMPLE(unpadded_key_answers_under_the_name_asked),
        WITH_EXAMPLE(upper_case_is_the_same_name),
        WITH_EXAMPLE(misspelt_keys_do_not_exist),
        WITH_EXAMPLE(address_of_the_other_family_is_nodata),
        WITH_EXAMPLE(peer_without_endpoint_is_not_published),
        WITH_EXAMPLE(service_lists_published_peers_by_padded_key),
        WITH_EXAMPLE(group_is_a_subtype),
        WITH_EXAMPLE(browsing_pointers),
        WITH_EXAMPLE(empty_non_terminals_are_nodata),
        WITH_EXAMPLE(name_has_its_host_addresses),
        WITH_EXAMPLE(reverse_names_point_back),
        WITH_EXAMPLE(reverse_names_without_a_pointer_are_not_owned),
        WITH_EXAMPLE(apex_has_soa_and_ns),
        WITH_EXAMPLE(serial_is_the_low_32_bits_of_the_revision),
        WITH_EXAMPLE(name_server_that_is_a_peer_brings_its_addresses),
        WITH_EXAMPLE(settings_give_ttls_soa_and_ns),
        WITH_EXAMPLE(any_gives_all_records),
        WITH_EXAMPLE(a_name_claimed_twice_is_nobodys_until_settled),
        WITH_EXAMPLE(an_address_claimed_twice_has_no_pointer_until_settled),
        WITH_EXAMPLE(of_many_that_claim_a_name_the_last_one_gets_it),
        WITH_EXAMPLE(a_peer_may_say_the_same_address_twice),
        WITH_EXAMPLE(newest_live_observation_wins_then_static_then_newest_idle),
        WITH_EXAMPLE(a_peer_without_a_record_is_published_by_its_key),
        WITH_EXAMPLE(what_is_not_there_can_be_removed),
        WITH_EXAMPLE(a_zone_that_expects_peers_takes_any_number),
        WITH_EXAMPLE(a_reload_removes_what_is_not_said_again),
        WITH_EXAMPLE(long_allowed_ips_are_split_into_several_strings),
        WITH_EXAMPLE(txt_larger_than_a_message_is_left_out_with_tc),
        WITH_EXAMPLE(a_large_ptr_rrset_is_truncated_by_the_writer),
        cmocka_unit_test(the_longest_zone_works_and_a_longer_one_is_refused),
        cmocka_unit_test(the_root_can_be_a_zone),
        cmocka_unit_test(a_zone_that_covers_reverse_names_has_them),
        cmocka_unit_test(listeners_hear_which_peers_change),
        WITH_EXAMPLE(views_tell_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
