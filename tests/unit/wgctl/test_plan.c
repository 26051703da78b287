/* What is decided about a device, clause by clause (wgctl/plan.h), and that a plan carried out
 * leaves nothing to do. */
#include "wgctl/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    NOW_S = 1000000,
    MAX_PEERS = 64,
    MAX_IPS = 512,
    ARENA_LIMIT = 1 << 22,
};

/* --- A world to decide about. --- */

struct world {
    struct wg_device device;
    struct plan_peer zone[MAX_PEERS];
    uint8_t keys[MAX_PEERS][KEY_SIZE];
    struct ip_prefix ips[MAX_IPS];
    size_t zone_count;
    size_t ip_count;
    struct arena arena;
    struct plan plan;
    bool adopt;
    uint8_t owned;                 /* the first byte of the one owned key; 0: none */
    struct ip_prefix expected[64]; /* what was announced */
    size_t expected_count;
    struct ip_prefix elsewhere;
};

static int up(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    wg_device_init(&w->device);
    arena_init(&w->arena, ARENA_LIMIT);
    w->adopt = true;
    *state = w;
    return 0;
}

static int down(void **state)
{
    struct world *w = *state;
    wg_device_fini(&w->device);
    arena_fini(&w->arena);
    free(w);
    return 0;
}

static struct ip_prefix prefix(const char *text)
{
    struct ip_prefix out;
    assert_int_equal(ip_prefix_parse(&out, text, strlen(text)), OK);
    return out;
}

static struct ip_endpoint endpoint(const char *text)
{
    struct ip_endpoint out = {0};
    if (text[0] != '\0')
        assert_int_equal(ip_endpoint_parse(&out, text, strlen(text)), OK);
    return out;
}

/* A peer of the device; the last handshake AGE_S ago, negative: never. */
static struct wg_peer *has(struct world *w, uint8_t key, const char *at, int age_s)
{
    struct wg_peer *peer;
    assert_int_equal(wg_device_add_peer(&w->device, &peer), OK);
    memset(peer->public_key, key, KEY_SIZE);
    peer->endpoint = endpoint(at);
    peer->last_handshake_sec = age_s >= 0 ? NOW_S - age_s : 0;
    return peer;
}

static void has_ip(struct world *w, const char *text)
{
    struct ip_prefix ip = prefix(text);
    assert_int_equal(wg_device_add_allowed_ip(&w->device, &ip), OK);
}

/* A peer of the zone with the allowed IPs that follow, ended by NULL. */
static struct plan_peer *says(struct world *w, uint8_t key, const char *at, ...)
{
    struct plan_peer *peer = &w->zone[w->zone_count];
    memset(w->keys[w->zone_count], key, KEY_SIZE);
    *peer = (struct plan_peer){.key = w->keys[w->zone_count],
                               .endpoint = endpoint(at),
                               .allowed_ips = &w->ips[w->ip_count]};
    w->zone_count++;
    va_list args;
    va_start(args, at);
    for (const char *text = va_arg(args, const char *); text != NULL;
         text = va_arg(args, const char *)) {
        w->ips[w->ip_count++] = prefix(text);
        peer->allowed_ip_count++;
    }
    va_end(args);
    return peer;
}

static bool routed_elsewhere(void *context, const struct ip_prefix *p)
{
    const struct world *w = context;
    return w->elsewhere.addr.family != IP_NONE && ip_prefix_contains(&w->elsewhere, &p->addr);
}

static void routes_expected(void *context, const struct ip_prefix *prefixes, size_t count)
{
    struct world *w = context;
    w->expected_count = 0;
    for (size_t i = 0; i < count; i++)
        w->expected[w->expected_count++] = prefixes[i];
}

static bool owned(void *context, const uint8_t *key)
{
    const struct world *w = context;
    return w->owned != 0 && key[0] == w->owned;
}

static void decide(struct world *w)
{
    struct plan_input input = {
        .device = &w->device,
        .peers = w->zone,
        .peer_count = w->zone_count,
        .adopt = w->adopt,
        .now_s = NOW_S,
        .routed_elsewhere = routed_elsewhere,
        .routes_expected = routes_expected,
        .owned = owned,
        .context = w,
    };
    arena_reset(&w->arena);
    memset(&w->plan, 0xee, sizeof(w->plan));
    assert_int_equal(wgctl_plan(&w->plan, &input, &w->arena), OK);
}

/* The changes, one line each, with keys as their first byte. */
static void assert_changes(struct world *w, const char *expected)
{
    struct strbuf out = STRBUF_EMPTY;
    decide(w);
    for (size_t i = 0; i < w->plan.change_count; i++) {
        const struct wgctl_peer_change *c = &w->plan.changes[i];
        char text[IP_ENDPOINT_TEXT_SIZE];
        strbuf_add_format(&out, "%d", c->public_key[0]);
        if (c->remove)
            strbuf_add_str(&out, " remove");
        else if (!c->update_only)
            strbuf_add_str(&out, " new");
        if (c->has_endpoint) {
            (void)ip_endpoint_format(&c->endpoint, text);
            strbuf_add_format(&out, " at %s", text);
        }
        if (c->has_keepalive)
            strbuf_add_format(&out, " keepalive %u", c->keepalive_s);
        if (c->replace_allowed_ips)
            strbuf_add_str(&out, " ips");
        else
            assert_int_equal(c->allowed_ip_count, 0);
        for (size_t k = 0; k < c->allowed_ip_count; k++) {
            (void)ip_prefix_format(&c->allowed_ips[k], text);
            strbuf_add_format(&out, " %s", text);
        }
        strbuf_add_char(&out, '\n');
    }
    assert_string_equal(strbuf_str(&out), expected);
    strbuf_fini(&out);
}

/* After assert_changes: the refusals, one line each. */
static void assert_refusals(struct world *w, const char *expected)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < w->plan.refusal_count; i++) {
        const struct plan_refusal *r = &w->plan.refusals[i];
        char text[IP_PREFIX_TEXT_SIZE] = "all";
        if (r->prefix.addr.family != IP_NONE)
            (void)ip_prefix_format(&r->prefix, text);
        strbuf_add_format(&out, "%d %s: %s\n", r->key[0], text, r->why);
    }
    assert_string_equal(strbuf_str(&out), expected);
    strbuf_fini(&out);
}

/* --- Endpoints. --- */

static void a_published_endpoint_that_differs_is_set(void **state)
{
    struct world *w = *state;
    w->adopt = false;
    has(w, 1, "192.0.2.1:1", 200);
    has(w, 2, "", -1);
    has(w, 3, "192.0.2.3:3", -1);
    says(w, 1, "192.0.2.9:9", NULL);
    says(w, 2, "[2001:db8::1]:2", NULL);
    says(w, 3, "192.0.2.3:3", NULL);
    assert_changes(w, "1 at 192.0.2.9:9\n2 at [2001:db8::1]:2\n");
    assert_refusals(w, "");
}

static void a_peer_that_is_alive_is_never_touched(void **state)
{
    struct world *w = *state;
    says(w, 1, "192.0.2.9:9", "10.0.0.1/32", NULL)->has_keepalive = true;
    w->zone[0].keepalive_s = 25;
    has(w, 1, "192.0.2.1:1", PLAN_FRESH_S - 1);
    has(w, 7, "192.0.2.7:7", 0);
    w->owned = 7;
    for (int adopt = 0; adopt < 2; adopt++) {
        w->adopt = adopt;
        assert_changes(w, "");
    }
    assert_refusals(w, "7 all: it is alive: its removal waits until it is not\n"
                       "1 all: it is alive: its allowed IPs wait until it is not\n");
    w->device.peers[0].last_handshake_sec = NOW_S + 5; /* the clock was set back */
    assert_changes(w, "");
}

static void a_handshake_of_180_s_ago_is_not_alive(void **state)
{
    struct world *w = *state;
    w->adopt = false;
    has(w, 1, "192.0.2.1:1", PLAN_FRESH_S);
    says(w, 1, "192.0.2.9:9", NULL);
    assert_changes(w, "1 at 192.0.2.9:9\n");
}

static void no_published_endpoint_leaves_that_of_the_device(void **state)
{
    struct world *w = *state;
    has(w, 1, "192.0.2.1:1", 500);
    says(w, 1, "", NULL);
    assert_changes(w, "");
}

static void a_v4_mapped_endpoint_is_the_same_endpoint(void **state)
{
    struct world *w = *state;
    has(w, 1, "[::ffff:192.0.2.1]:1", 500);
    says(w, 1, "192.0.2.1:1", NULL);
    assert_changes(w, "");
}

static void without_adopt_only_endpoints_of_the_devices_peers_change(void **state)
{
    struct world *w = *state;
    w->adopt = false;
    w->owned = 3;
    has(w, 1, "192.0.2.1:1", 500);
    has_ip(w, "10.0.0.9/32");
    has(w, 3, "192.0.2.3:3", 500);
    struct plan_peer *peer = says(w, 1, "192.0.2.1:2", "10.0.0.1/32", "0.0.0.0/0", NULL);
    peer->has_keepalive = true;
    peer->keepalive_s = 25;
    says(w, 2, "192.0.2.2:2", "10.0.0.2/32", NULL);
    assert_changes(w, "1 at 192.0.2.1:2\n");
    assert_refusals(w, "");
}

/* --- Adoption. --- */

static void adopt_creates_what_the_zone_has(void **state)
{
    struct world *w = *state;
    struct plan_peer *peer = says(w, 2, "192.0.2.2:2", "10.0.0.2/32", "fd00::2/128", NULL);
    peer->has_keepalive = true;
    peer->keepalive_s = 25;
    says(w, 1, "", NULL);
    peer = says(w, 3, "", "10.0.1.3/24", NULL); /* masked */
    peer->has_keepalive = true;                 /* off, as a new peer is anyway */
    assert_changes(w, "1 new\n"
                      "2 new at 192.0.2.2:2 keepalive 25 ips 10.0.0.2/32 fd00::2/128\n"
                      "3 new ips 10.0.1.0/24\n");
    assert_refusals(w, "");
}

static void adopt_changes_only_differences(void **state)
{
    struct world *w = *state;
    has(w, 1, "192.0.2.1:1", 500)->persistent_keepalive = 25;
    has_ip(w, "10.0.0.1/32");
    has_ip(w, "10.0.1.0/24");
    has(w, 2, "", -1)->persistent_keepalive = 9;
    has_ip(w, "10.0.0.2/32");
    has_ip(w, "10.0.0.22/32");
    has(w, 3, "", -1)->persistent_keepalive = 9;
    has_ip(w, "10.0.0.3/32");
    struct plan_peer *peer = says(w, 1, "192.0.2.1:1", "10.0.1.0/24", "10.0.0.1/32", NULL);
    peer->has_keepalive = true;
    peer->keepalive_s = 25;
    says(w, 2, "", "10.0.0.2/32", NULL); /* states no keepalive */
    peer = says(w, 3, "", "10.0.0.3/32", "10.0.3.0/24", NULL);
    peer->has_keepalive = true; /* off */
    assert_changes(w, "2 ips 10.0.0.2/32\n"
                      "3 keepalive 0 ips 10.0.0.3/32 10.0.3.0/24\n");
}

static void adopt_can_take_all_allowed_ips_away(void **state)
{
    struct world *w = *state;
    has(w, 1, "", -1);
    has_ip(w, "10.0.0.1/32");
    says(w, 1, "", NULL);
    assert_changes(w, "1 ips\n");
}

static void adopt_removes_what_it_made_and_nothing_else(void **state)
{
    struct world *w = *state;
    has(w, 8, "192.0.2.8:8", 500);
    has(w, 9, "192.0.2.9:9", 500);
    w->owned = 9;
    says(w, 1, "", NULL);
    assert_changes(w, "9 remove\n1 new\n");
}

static void repeated_prefixes_count_once(void **state)
{
    struct world *w = *state;
    says(w, 1, "", "10.0.0.1/32", "10.0.0.0/24", "10.0.0.1/32", "10.0.0.7/24", NULL);
    assert_changes(w, "1 new ips 10.0.0.1/32 10.0.0.0/24\n");
    has(w, 1, "", -1);
    has_ip(w, "10.0.0.0/24");
    has_ip(w, "10.0.0.1/32");
    assert_changes(w, "");
}

static void the_devices_own_key_is_skipped(void **state)
{
    struct world *w = *state;
    memset(w->device.public_key, 5, KEY_SIZE);
    w->device.has_public_key = true;
    says(w, 5, "192.0.2.5:5", "10.0.0.5/32", "0.0.0.0/0", NULL);
    says(w, 6, "", NULL);
    assert_changes(w, "6 new\n");
    assert_refusals(w, "");
}

static void the_order_is_removals_and_then_keys_whatever_the_order_of_input(void **state)
{
    struct world *w = *state;
    static const uint8_t order[] = {7, 2, 9, 4};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        has(w, order[i], "", -1);
        says(w, order[i], "192.0.2.1:1", NULL);
    }
    has(w, 200, "", -1);
    w->owned = 200;
    says(w, 3, "", NULL);
    assert_changes(w, "200 remove\n2 at 192.0.2.1:1\n3 new\n4 at 192.0.2.1:1\n"
                      "7 at 192.0.2.1:1\n9 at 192.0.2.1:1\n");
}

/* --- Refusals. --- */

static void a_default_route_is_refused_and_the_rest_goes_on(void **state)
{
    struct world *w = *state;
    says(w, 1, "192.0.2.1:1", "0.0.0.0/0", "10.0.0.1/32", "::/0", NULL);
    says(w, 2, "", "128.0.0.0/1", "8000::/1", "0.0.0.0/1", "64.0.0.0/2", NULL);
    assert_changes(w, "1 new at 192.0.2.1:1 ips 10.0.0.1/32\n2 new ips 64.0.0.0/2\n");
    assert_refusals(w, "1 0.0.0.0/0: it would capture the default route\n"
                       "1 ::/0: it would capture the default route\n"
                       "2 0.0.0.0/1: it would capture the default route\n"
                       "2 128.0.0.0/1: it would capture the default route\n"
                       "2 8000::/1: it would capture the default route\n");
}

static void a_default_route_that_the_peer_has_already_stays(void **state)
{
    struct world *w = *state;
    has(w, 1, "", -1);
    has_ip(w, "0.0.0.0/0");
    says(w, 1, "", "0.0.0.0/0", "10.0.0.1/32", NULL);
    assert_changes(w, "1 ips 0.0.0.0/0 10.0.0.1/32\n");
    assert_refusals(w, "");
}

static void a_prefix_that_is_routed_elsewhere_is_refused(void **state)
{
    struct world *w = *state;
    w->elsewhere = prefix("192.168.0.0/16");
    says(w, 1, "", "192.168.7.7/32", "10.0.0.1/32", NULL);
    assert_changes(w, "1 new ips 10.0.0.1/32\n");
    assert_refusals(w, "1 192.168.7.7/32: it is routed to another interface\n");
}

static void all_prefixes_that_are_new_are_announced_before_any_is_asked_about(void **state)
{
    struct world *w = *state;
    has(w, 1, "", -1);
    has_ip(w, "10.0.0.1/32");
    says(w, 1, "", "10.0.0.1/32", "10.0.1.0/24", NULL);
    says(w, 2, "", "10.0.0.2/32", "10.0.1.0/24", NULL);
    assert_changes(w, "1 ips 10.0.0.1/32 10.0.1.0/24\n2 new ips 10.0.0.2/32\n");
    struct ip_prefix first = prefix("10.0.0.2/32"), second = prefix("10.0.1.0/24");
    assert_int_equal(w->expected_count, 2);
    assert_memory_equal(&w->expected[0], &first, sizeof(first));
    assert_memory_equal(&w->expected[1], &second, sizeof(second));
}

static void what_is_refused_makes_no_change_again_and_again(void **state)
{
    struct world *w = *state;
    has(w, 1, "", -1);
    has_ip(w, "10.0.0.1/32");
    says(w, 1, "", "0.0.0.0/0", "10.0.0.1/32", NULL);
    assert_changes(w, "");
    assert_refusals(w, "1 0.0.0.0/0: it would capture the default route\n");
}

static void a_prefix_of_a_peer_that_stays_is_not_taken_from_it(void **state)
{
    struct world *w = *state;
    has(w, 7, "", -1); /* configured by hand */
    has_ip(w, "10.0.0.7/32");
    has(w, 8, "192.0.2.8:8", 5); /* alive, and the zone would take it away */
    has_ip(w, "10.0.0.8/32");
    says(w, 8, "", NULL);
    has(w, 9, "", -1); /* claims it too */
    has_ip(w, "10.0.0.9/32");
    says(w, 9, "", "10.0.0.9/32", NULL);
    says(w, 1, "", "10.0.0.7/32", "10.0.0.8/32", "10.0.0.9/32", "10.0.0.1/32", NULL);
    assert_changes(w, "1 new ips 10.0.0.1/32\n");
    assert_refusals(w, "1 10.0.0.7/32: another peer of the device, not the zone's, has it\n"
                       "1 10.0.0.8/32: another peer of the device, which is alive, has it\n"
                       "1 10.0.0.9/32: another peer of the zone has it\n"
                       "8 all: it is alive: its allowed IPs wait until it is not\n");
}

static void a_prefix_moves_from_a_peer_that_gives_it_up(void **state)
{
    struct world *w = *state;
    has(w, 2, "", -1);
    has_ip(w, "10.0.0.1/32");
    has(w, 3, "", -1);
    has_ip(w, "10.0.0.3/32");
    w->owned = 3;
    says(w, 2, "", "10.0.0.2/32", NULL);
    says(w, 1, "", "10.0.0.1/32", "10.0.0.3/32", NULL);
    assert_changes(w, "3 remove\n1 new ips 10.0.0.1/32 10.0.0.3/32\n2 ips 10.0.0.2/32\n");
    assert_refusals(w, "");
}

static void of_two_that_claim_a_free_prefix_the_lowest_key_gets_it(void **state)
{
    struct world *w = *state;
    says(w, 3, "", "10.0.0.1/32", NULL);
    says(w, 2, "", "10.0.0.1/32", NULL);
    assert_changes(w, "2 new ips 10.0.0.1/32\n3 new\n");
    assert_refusals(w, "3 10.0.0.1/32: another peer of the zone claims it\n");
}

static void too_little_memory_is_an_error_without_a_plan(void **state)
{
    struct world *w = *state;
    has(w, 1, "", -1);
    has_ip(w, "10.0.0.1/32");
    says(w, 1, "192.0.2.1:1", "10.0.0.2/32", "10.0.0.3/32", NULL);
    says(w, 2, "", "0.0.0.0/0", NULL);
    struct plan_input input = {
        .device = &w->device, .peers = w->zone, .peer_count = w->zone_count, .adopt = true};
    bool succeeded = false;
    for (size_t limit = 1; limit < 1 << 16 && !succeeded; limit += 61) {
        struct arena arena;
        struct plan out = {.change_count = 77};
        arena_init(&arena, limit);
        enum err error = wgctl_plan(&out, &input, &arena);
        succeeded = error == OK;
        assert_int_equal(error, succeeded ? OK : ERR_NO_MEMORY);
        assert_int_equal(out.change_count, succeeded ? 2 : 77);
        arena_fini(&arena);
    }
    assert_true(succeeded);
}

/* --- A plan carried out leaves nothing to do. --- */

static uint32_t random_state = 1;

static unsigned rnd(unsigned below)
{
    random_state = random_state * 1664525 + 1013904223;
    return (random_state >> 8) % below;
}

struct peer_model {
    struct wg_peer peer;
    struct ip_prefix ips[64];
    size_t count;
    bool is_there;
};

static void model_take(struct peer_model *peers, const struct ip_prefix *ip)
{
    for (size_t i = 0; i < MAX_PEERS; i++)
        for (size_t k = 0; k < peers[i].count; k++)
            if (memcmp(&peers[i].ips[k], ip, sizeof(*ip)) == 0)
                peers[i].ips[k] = peers[i].ips[--peers[i].count];
}

static void model_apply(struct peer_model *peers, const struct wgctl_peer_change *c)
{
    struct peer_model *m = &peers[c->public_key[0]];
    if (c->remove) {
        assert_true(m->is_there);
        *m = (struct peer_model){.is_there = false};
        return;
    }
    assert_int_equal(c->update_only, m->is_there);
    m->is_there = true;
    memcpy(m->peer.public_key, c->public_key, KEY_SIZE);
    if (c->has_endpoint)
        m->peer.endpoint = c->endpoint;
    if (c->has_keepalive)
        m->peer.persistent_keepalive = c->keepalive_s;
    if (c->replace_allowed_ips)
        m->count = 0;
    for (size_t k = 0; k < c->allowed_ip_count; k++) {
        model_take(peers, &c->allowed_ips[k]);
        m->ips[m->count++] = c->allowed_ips[k];
    }
}

static void device_of_model(struct wg_device *d, const struct peer_model *peers)
{
    wg_device_clear(d);
    for (size_t i = 0; i < MAX_PEERS; i++) {
        struct wg_peer *peer;
        if (!peers[i].is_there)
            continue;
        assert_int_equal(wg_device_add_peer(d, &peer), OK);
        uint32_t start = peer->allowed_ip_start;
        *peer = peers[i].peer;
        peer->allowed_ip_start = start;
        peer->allowed_ip_count = 0;
        for (size_t k = 0; k < peers[i].count; k++)
            assert_int_equal(wg_device_add_allowed_ip(d, &peers[i].ips[k]), OK);
    }
}

static void random_zone(struct world *w)
{
    char at[32];
    w->zone_count = w->ip_count = 0;
    for (uint8_t key = 1; key < 12; key++) {
        if (rnd(3) == 0)
            continue;
        snprintf(at, sizeof(at), "192.0.2.%u:1", rnd(3));
        struct plan_peer *peer = says(w, key, rnd(3) == 0 ? "" : at, NULL);
        peer->has_keepalive = rnd(2) == 0;
        peer->keepalive_s = (uint16_t)rnd(3);
        for (unsigned k = rnd(5); k > 0; k--) {
            char ip[32];
            snprintf(ip, sizeof(ip), "10.0.%u.0/24", rnd(20));
            w->ips[w->ip_count++] = prefix(rnd(9) == 0 ? "0.0.0.0/0" : ip);
            peer->allowed_ip_count++;
        }
    }
}

static void a_plan_carried_out_leaves_nothing_to_do(void **state)
{
    struct world *w = *state;
    struct peer_model *peers = calloc(MAX_PEERS, sizeof(*peers)), *before;
    before = calloc(MAX_PEERS, sizeof(*before));
    assert_true(peers != NULL && before != NULL);
    for (unsigned round = 0; round < 4000; round++) {
        random_zone(w);
        w->owned = (uint8_t)(1 + rnd(12));
        for (size_t i = 0; i < MAX_PEERS; i++)
            if (peers[i].is_there)
                peers[i].peer.last_handshake_sec = rnd(3) == 0 ? NOW_S - 1 : NOW_S - 500;
        device_of_model(&w->device, peers);
        decide(w);
        memcpy(before, peers, MAX_PEERS * sizeof(*peers));
        for (size_t i = 0; i < w->plan.change_count; i++)
            model_apply(peers, &w->plan.changes[i]);
        for (size_t i = 0; i < MAX_PEERS; i++)
            if (before[i].is_there && wg_peer_liveness(&before[i].peer, NOW_S) == WG_ALIVE)
                assert_memory_equal(&before[i], &peers[i], sizeof(peers[i]));
        device_of_model(&w->device, peers);
        decide(w);
        assert_int_equal(w->plan.change_count, 0);
    }
    free(before);
    free(peers);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_published_endpoint_that_differs_is_set),
        TEST(a_peer_that_is_alive_is_never_touched),
        TEST(a_handshake_of_180_s_ago_is_not_alive),
        TEST(no_published_endpoint_leaves_that_of_the_device),
        TEST(a_v4_mapped_endpoint_is_the_same_endpoint),
        TEST(without_adopt_only_endpoints_of_the_devices_peers_change),
        TEST(adopt_creates_what_the_zone_has),
        TEST(adopt_changes_only_differences),
        TEST(adopt_can_take_all_allowed_ips_away),
        TEST(adopt_removes_what_it_made_and_nothing_else),
        TEST(repeated_prefixes_count_once),
        TEST(the_devices_own_key_is_skipped),
        TEST(the_order_is_removals_and_then_keys_whatever_the_order_of_input),
        TEST(a_default_route_is_refused_and_the_rest_goes_on),
        TEST(a_default_route_that_the_peer_has_already_stays),
        TEST(a_prefix_that_is_routed_elsewhere_is_refused),
        TEST(all_prefixes_that_are_new_are_announced_before_any_is_asked_about),
        TEST(what_is_refused_makes_no_change_again_and_again),
        TEST(a_prefix_of_a_peer_that_stays_is_not_taken_from_it),
        TEST(a_prefix_moves_from_a_peer_that_gives_it_up),
        TEST(of_two_that_claim_a_free_prefix_the_lowest_key_gets_it),
        TEST(too_little_memory_is_an_error_without_a_plan),
        TEST(a_plan_carried_out_leaves_nothing_to_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
