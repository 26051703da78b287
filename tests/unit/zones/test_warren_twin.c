/* The warren zone against a naive twin under random changes, and under readers in other threads
 * while it changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "zones/warren.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEYS = 40,
    NAMES = 12,
    ADDRESSES = 16, /* 10.0.0.N, the odd ones IPv6 */
    GROUPS = 4,
    OBSERVERS = 3,
    ROUNDS = 6000,
};

static const uint8_t hash_key[HASH_KEY_SIZE] = "twin";

/* The twin: plain arrays, searched from end to end. */
struct twin_observation {
    bool is_there;
    bool is_idle;
    uint16_t port;
    int64_t revision;
};

struct twin_peer {
    bool has_record;
    int name; /* -1: none */
    bool addresses[ADDRESSES];
    bool groups[GROUPS];
    uint16_t static_port; /* 0: none */
    struct twin_observation observations[OBSERVERS];
};

static struct twin_peer twin[KEYS];
static int64_t revision;
static uint64_t random_state = 88172645463325252u;

static uint32_t below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 33) % bound;
}

static void key_of(uint8_t key[static KEY_SIZE], unsigned i)
{
    memset(key, 0, KEY_SIZE);
    key[0] = (uint8_t)(i + 1);
}

static struct ip_endpoint endpoint_of(uint16_t port)
{
    return (struct ip_endpoint){
        .addr = {.family = port % 2 ? IP_V6 : IP_V4, .bytes = {192, 0, 2, 1}}, .port = port};
}

static struct ip_prefix address_of(unsigned i)
{
    struct ip_prefix p = {.addr = {.family = IP_V4, .bytes = {10, 0, 0, (uint8_t)i}}, .length = 32};
    if (i % 2)
        p = (struct ip_prefix){.addr = {.family = IP_V6, .bytes = {0xfd, [15] = (uint8_t)i}},
                               .length = 128};
    return p;
}

static const char *const names[NAMES] = {"a", "b",   "c",  "d",  "alpha", "beta",
                                         "e", "ns1", "x1", "x2", "x3",    "x4"};
static const char *const groups[GROUPS] = {"web", "db", "g", "h"};

/* --- what the twin says ----------------------------------------------------------------------- */

/* 0: not published. */
static uint16_t twin_port(const struct twin_peer *p)
{
    const struct twin_observation *live = NULL, *idle = NULL;
    for (size_t i = 0; i < OBSERVERS; i++) {
        const struct twin_observation *o = &p->observations[i];
        if (!o->is_there)
            continue;
        const struct twin_observation **best = o->is_idle ? &idle : &live;
        if (*best == NULL || o->revision > (*best)->revision)
            *best = o;
    }
    if (live != NULL)
        return live->port;
    if (p->has_record && p->static_port != 0)
        return p->static_port;
    return idle != NULL ? idle->port : 0;
}

static bool twin_exists(const struct twin_peer *p)
{
    for (size_t i = 0; i < OBSERVERS; i++)
        if (p->observations[i].is_there)
            return true;
    return p->has_record;
}

/* -1: nobody, or several. */
static int twin_name_owner(int name)
{
    int owner = -1;
    for (int i = 0; i < KEYS; i++) {
        if (!twin[i].has_record || twin[i].name != name)
            continue;
        if (owner >= 0)
            return -1;
        owner = i;
    }
    return owner;
}

static int twin_address_owner(unsigned address)
{
    int owner = -1;
    for (int i = 0; i < KEYS; i++) {
        if (!twin[i].has_record || !twin[i].addresses[address])
            continue;
        if (owner >= 0)
            return -1;
        owner = i;
    }
    return owner;
}

/* --- asking ----------------------------------------------------------------------------------- */

static struct arena arena;
static struct dns_name_buf asked;
static struct dns_message reply;

static bool ask(const struct zones_warren *z, const char *name, uint16_t type)
{
    assert_int_equal(dns_name_from_text(&asked, name, strlen(name)), OK);
    arena_reset(&arena);
    reply = (struct dns_message){0};
    if (!zones_warren_owns(z, dns_name_of(&asked)))
        return false;
    assert_int_equal(zones_warren_answer(z, dns_name_of(&asked), type, &arena, &reply), OK);
    return true;
}

static size_t answer_count(void)
{
    return reply.sections[DNS_ANSWER].count;
}

static void check_peers(const struct zones_warren *z)
{
    size_t published = 0, there = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        uint16_t port = twin_port(&twin[i]);
        uint8_t key[KEY_SIZE];
        char name[128];
        key_of(key, i);
        key_to_base32(name, key);
        strcpy(name + KEY_BASE32_SIZE, "._wireguard._udp.z.");
        assert_true(ask(z, name, DNS_TYPE_SRV));
        assert_int_equal(reply.rcode, port ? DNS_RCODE_NOERROR : DNS_RCODE_NXDOMAIN);
        assert_int_equal(answer_count(), port != 0);
        if (port != 0) {
            const uint8_t *srv = reply.sections[DNS_ANSWER].rrs[0].rdata;
            assert_int_equal(srv[4] << 8 | srv[5], port);
        }
        published += port != 0;
        there += twin_exists(&twin[i]);
    }
    assert_int_equal(zones_warren_peer_count(z), there);
    assert_int_equal(zones_warren_published_count(z), published);
    ask(z, "_wireguard._udp.z.", DNS_TYPE_PTR);
    assert_int_equal(answer_count(), published);
}

static void check_names(const struct zones_warren *z)
{
    for (int n = 0; n < NAMES; n++) {
        int owner = twin_name_owner(n);
        size_t v4 = 0, v6 = 0;
        for (unsigned a = 0; owner >= 0 && a < ADDRESSES; a++) {
            v4 += twin[owner].addresses[a] && a % 2 == 0;
            v6 += twin[owner].addresses[a] && a % 2 == 1;
        }
        char name[32];
        snprintf(name, sizeof name, "%s.z.", names[n]);
        assert_true(ask(z, name, DNS_TYPE_A));
        assert_int_equal(answer_count(), v4);
        assert_int_equal(reply.rcode, v4 + v6 > 0 ? DNS_RCODE_NOERROR : DNS_RCODE_NXDOMAIN);
        assert_true(ask(z, name, DNS_TYPE_AAAA));
        assert_int_equal(answer_count(), v6);
    }
}

static void check_reverse(const struct zones_warren *z)
{
    for (unsigned a = 0; a < ADDRESSES; a++) {
        int owner = twin_address_owner(a);
        bool has_pointer =
            owner >= 0 && twin[owner].name >= 0 && twin_name_owner(twin[owner].name) == owner;
        char name[100];
        if (a % 2 == 0)
            snprintf(name, sizeof name, "%u.0.0.10.in-addr.arpa.", a);
        else
            snprintf(name, sizeof name,
                     "%x.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa.",
                     a);
        assert_int_equal(ask(z, name, DNS_TYPE_PTR), has_pointer);
        if (!has_pointer)
            continue;
        const struct dns_rr *rr = &reply.sections[DNS_ANSWER].rrs[0];
        const char *owned = names[twin[owner].name];
        assert_int_equal(rr->rdata[0], strlen(owned));
        assert_memory_equal(rr->rdata + 1, owned, strlen(owned));
    }
}

static void check_groups(const struct zones_warren *z)
{
    size_t live = 0;
    for (int g = 0; g < GROUPS; g++) {
        size_t members = 0;
        for (int i = 0; i < KEYS; i++)
            members += twin[i].has_record && twin[i].groups[g] && twin_port(&twin[i]) != 0;
        char name[64];
        snprintf(name, sizeof name, "_%s._sub._wireguard._udp.z.", groups[g]);
        assert_true(ask(z, name, DNS_TYPE_PTR));
        assert_int_equal(answer_count(), members);
        assert_int_equal(reply.rcode, members ? DNS_RCODE_NOERROR : DNS_RCODE_NXDOMAIN);
        live += members > 0;
    }
    ask(z, "_sub._wireguard._udp.z.", DNS_TYPE_PTR);
    assert_int_equal(reply.rcode, live ? DNS_RCODE_NOERROR : DNS_RCODE_NXDOMAIN);
}

/* --- changing --------------------------------------------------------------------------------- */

static void apply_record(struct zones_warren *z, unsigned i)
{
    const struct twin_peer *t = &twin[i];
    struct registry_peer peer = {0};
    struct ip_prefix prefixes[ADDRESSES];
    const char *in[GROUPS];
    uint8_t key[KEY_SIZE];
    key_of(key, i);
    if (t->name >= 0)
        strcpy(peer.name, names[t->name]);
    for (unsigned a = 0; a < ADDRESSES; a++)
        if (t->addresses[a])
            prefixes[peer.allowed_ip_count++] = address_of(a);
    for (int g = 0; g < GROUPS; g++)
        if (t->groups[g])
            in[peer.group_count++] = groups[g];
    if (t->static_port != 0)
        peer.endpoint = endpoint_of(t->static_port);
    peer.allowed_ips = prefixes;
    peer.groups = in;
    assert_int_equal(zones_warren_set_peer(z, key, t->has_record ? &peer : NULL, ++revision), OK);
}

static void change_record(struct zones_warren *z)
{
    unsigned i = below(KEYS);
    struct twin_peer *t = &twin[i];
    t->has_record = below(4) != 0;
    t->name = (int)below(NAMES + 1) - 1;
    t->static_port = (uint16_t)(below(3) ? below(60000) + 1 : 0);
    for (unsigned a = 0; a < ADDRESSES; a++)
        t->addresses[a] = below(10) == 0 || (t->addresses[a] && below(2));
    for (int g = 0; g < GROUPS; g++)
        t->groups[g] = below(4) == 0;
    apply_record(z, i);
}

static void change_observation(struct zones_warren *z)
{
    unsigned i = below(KEYS), o = below(OBSERVERS);
    struct twin_observation *t = &twin[i].observations[o];
    uint8_t key[KEY_SIZE], observer[KEY_SIZE] = {(uint8_t)(200 + o)};
    key_of(key, i);
    *t = (struct twin_observation){.is_there = below(3) != 0,
                                   .is_idle = below(3) == 0,
                                   .port = (uint16_t)(1 + below(60000)),
                                   .revision = ++revision};
    struct registry_observation said = {.endpoint = endpoint_of(t->port), .is_idle = t->is_idle};
    assert_int_equal(
        zones_warren_set_observation(z, key, observer, t->is_there ? &said : NULL, revision), OK);
}

static struct zones_warren *make_zone(void)
{
    struct zones_warren *z;
    struct dns_name_buf name;
    assert_int_equal(dns_name_from_text(&name, "z.", 2), OK);
    assert_int_equal(zones_warren_create(&z, dns_name_of(&name), hash_key), OK);
    memset(twin, 0, sizeof twin);
    revision = 1;
    return z;
}

static void it_agrees_with_the_naive_twin(void **state)
{
    (void)state;
    struct zones_warren *z = make_zone();
    arena_init(&arena, 16 << 20);
    for (int round = 0; round < ROUNDS; round++) {
        if (below(2))
            change_record(z);
        else
            change_observation(z);
        zones_warren_free(zones_warren_reclaim(z));
        if (round % 8 != 0)
            continue;
        check_peers(z);
        check_names(z);
        check_reverse(z);
        check_groups(z);
    }
    zones_warren_destroy(z);
    arena_fini(&arena);
}

/* --- readers ---------------------------------------------------------------------------------- */

enum {
    READERS = 3,
    CHANGES = 20000,
    BATCH = 64, /* changes between two grace periods */
};

struct answerer {
    pthread_t thread;
    const struct zones_warren *z;
    _Atomic(uint64_t) passes; /* odd inside a read-side section */
    uint64_t answers;
    uint64_t wrong;
};

static _Atomic(bool) is_over;

/* Peer 0 is never changed: it must be there in every answer. */
static bool is_whole(const struct dns_message *m, const char *name)
{
    if (strncmp(name, "alpha", 5) == 0)
        return m->rcode == DNS_RCODE_NOERROR && m->sections[DNS_ANSWER].count == 1 &&
               memcmp(m->sections[DNS_ANSWER].rrs[0].rdata, "\xa\0\0\0", 4) == 0;
    if (strncmp(name, "_wireguard", 10) == 0)
        return m->rcode == DNS_RCODE_NOERROR && m->sections[DNS_ANSWER].count > 0;
    return m->rcode == DNS_RCODE_NOERROR || m->rcode == DNS_RCODE_NXDOMAIN;
}

static void *read_on(void *context)
{
    static const char *const asks[] = {
        "alpha.z.",
        "_wireguard._udp.z.",
        "aeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa====._wireguard._udp.z.",
        "aqaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa._wireguard._udp.z.",
        "b.z.",
        "2.0.0.10.in-addr.arpa.",
        "_web._sub._wireguard._udp.z.",
        "z.",
        "nothing.z.",
    };
    static const uint16_t types[] = {DNS_TYPE_A,   DNS_TYPE_PTR, DNS_TYPE_SRV,
                                     DNS_TYPE_SRV, DNS_TYPE_A,   DNS_TYPE_PTR,
                                     DNS_TYPE_PTR, DNS_TYPE_SOA, DNS_TYPE_A};
    struct answerer *r = context;
    struct arena a;
    static _Thread_local uint8_t out[DNS_MAX_MESSAGE_SIZE];
    arena_init(&a, 16 << 20);
    for (size_t i = 0; !atomic_load(&is_over); i = (i + 1) % ARRAY_COUNT(asks)) {
        struct dns_name_buf name;
        struct dns_message m = {0};
        size_t size;
        if (dns_name_from_text(&name, asks[i], strlen(asks[i])) != OK)
            abort();
        atomic_fetch_add(&r->passes, 1);
        if (zones_warren_owns(r->z, dns_name_of(&name))) {
            if (zones_warren_answer(r->z, dns_name_of(&name), types[i], &a, &m) != OK ||
                dns_message_write(&m, out, sizeof out, &size) != OK)
                abort();
            r->wrong += !is_whole(&m, asks[i]);
            r->answers++;
        }
        atomic_fetch_add(&r->passes, 1);
        arena_reset(&a);
    }
    arena_fini(&a);
    return NULL;
}

/* A grace period: every reader that was inside has come out. */
static void wait_for_readers(struct answerer *readers)
{
    for (size_t i = 0; i < READERS; i++) {
        uint64_t before = atomic_load(&readers[i].passes);
        while (before % 2 == 1 && atomic_load(&readers[i].passes) == before)
            sched_yield();
    }
}

static void readers_see_whole_answers_while_it_changes(void **state)
{
    (void)state;
    struct zones_warren *z = make_zone();
    struct answerer readers[READERS] = {{0}};
    twin[0] = (struct twin_peer){
        .has_record = true, .name = 4, .addresses = {[0] = true}, .static_port = 2};
    apply_record(z, 0);
    atomic_store(&is_over, false);
    for (size_t i = 0; i < READERS; i++) {
        readers[i].z = z;
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
    }
    for (int change = 0; change < CHANGES; change++) {
        unsigned i = 1 + below(KEYS - 1);
        struct twin_peer *t = &twin[i];
        if (below(2)) {
            *t = (struct twin_peer){.has_record = below(3) != 0,
                                    .name = (int)below(4),
                                    .static_port = (uint16_t)below(3),
                                    .groups = {below(2) != 0}};
            t->addresses[2 + 2 * below(3)] = true;
            apply_record(z, i);
        } else {
            uint8_t key[KEY_SIZE], observer[KEY_SIZE] = {201};
            struct registry_observation said = {.endpoint = endpoint_of((uint16_t)(1 + below(9)))};
            key_of(key, i);
            assert_int_equal(
                zones_warren_set_observation(z, key, observer, below(3) ? &said : NULL, ++revision),
                OK);
        }
        if (change % BATCH == 0) {
            struct zones_warren_garbage *garbage = zones_warren_reclaim(z);
            wait_for_readers(readers);
            zones_warren_free(garbage);
        }
    }
    atomic_store(&is_over, true);
    uint64_t answers = 0, wrong = 0;
    for (size_t i = 0; i < READERS; i++) {
        pthread_join(readers[i].thread, NULL);
        answers += readers[i].answers;
        wrong += readers[i].wrong;
    }
    zones_warren_destroy(z);
    assert_int_equal(wrong, 0);
    assert_true(answers > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_agrees_with_the_naive_twin),
        cmocka_unit_test(readers_see_whole_answers_while_it_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
