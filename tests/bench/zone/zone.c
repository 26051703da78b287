/* What a warren zone costs: memory and time of PEERS peers (a name, one address, an IPv4 endpoint),
 * time of a change, and CPU of an SRV answer beside the wgsd zone's.
 *
 * zone [PEERS]     by default a million */
#include "zones/warren.h"
#include "zones/wgsd.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    SRV_PEERS = 10000,
    SRV_ROUNDS = 60, /* over all of them */
    CHANGES = 100000,
};

static const uint8_t hash_key[HASH_KEY_SIZE] = "bench";

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "zone: %s\n", what);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* As random as real keys are, the same in each run. */
static void key_of(uint8_t key[static KEY_SIZE], uint64_t number)
{
    for (size_t i = 0; i < KEY_SIZE; i += 8) {
        uint64_t x = number * 4 + i / 8 + 0x9E3779B97F4A7C15u;
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
        x = (x ^ x >> 27) * 0x94D049BB133111EBu;
        x ^= x >> 31;
        memcpy(key + i, &x, 8);
    }
}

static struct dns_name_buf zone_name(void)
{
    struct dns_name_buf name;
    require(dns_name_from_text(&name, "wg.example.", 11) == OK, "no name");
    return name;
}

static struct ip_endpoint endpoint_of(uint32_t i, uint16_t port)
{
    return (struct ip_endpoint){
        .addr = {.family = IP_V4, .bytes = {192, 0, (uint8_t)(i >> 8), (uint8_t)i}}, .port = port};
}

static struct ip_prefix address_of(uint32_t i)
{
    return (struct ip_prefix){
        .addr = {.family = IP_V4, .bytes = {10, (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i}},
        .length = 32};
}

static struct zones_warren *fill(uint32_t count)
{
    struct zones_warren *z;
    struct dns_name_buf name = zone_name();
    require(zones_warren_create(&z, dns_name_of(&name), hash_key) == OK, "no zone");
    for (uint32_t i = 0; i < count; i++) {
        struct registry_peer peer = {.allowed_ip_count = 1, .endpoint = endpoint_of(i, 51820)};
        struct ip_prefix prefix = address_of(i);
        uint8_t key[KEY_SIZE];
        key_of(key, i);
        snprintf(peer.name, sizeof peer.name, "peer%u", (unsigned)i);
        peer.allowed_ips = &prefix;
        require(zones_warren_set_peer(z, key, &peer, i + 2) == OK, "no peer");
        if (i % 512 == 0)
            zones_warren_free(zones_warren_reclaim(z));
    }
    zones_warren_free(zones_warren_reclaim(z));
    return z;
}

static void measure_size(uint32_t count)
{
    size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
    double start = cpu_s();
    struct zones_warren *z = fill(count);
    double end = cpu_s();
    size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
    printf("%u peers: %.0f bytes each (by its own count %.0f), filled in %.2f s\n", (unsigned)count,
           (double)(after - before) / count, (double)zones_warren_memory(z) / count, end - start);
    start = cpu_s();
    for (uint32_t i = 0; i < CHANGES; i++) {
        uint8_t key[KEY_SIZE], observer[KEY_SIZE] = {1};
        struct registry_observation o = {.endpoint = endpoint_of(i, (uint16_t)(i % 60000 + 1))};
        key_of(key, (uint64_t)i * 7919 % count);
        require(zones_warren_set_observation(z, key, observer, &o, count + 2 + i) == OK, "change");
        zones_warren_free(zones_warren_reclaim(z));
    }
    printf("a changed endpoint: %.2f us\n", (cpu_s() - start) / CHANGES * 1e6);
    zones_warren_destroy(z);
}

/* --- SRV -------------------------------------------------------------------------------------- */

struct zones {
    struct zones_warren *warren;
    struct zones_wgsd *wgsd;
    struct zones_wgsd_view *view;
    struct dns_name_buf questions[SRV_PEERS];
};

static void fill_wgsd(struct zones *z)
{
    struct wg_device device;
    struct dns_name_buf name = zone_name();
    wg_device_init(&device);
    for (uint32_t i = 0; i < SRV_PEERS; i++) {
        struct wg_peer *peer;
        struct ip_prefix prefix = address_of(i);
        require(wg_device_add_peer(&device, &peer) == OK, "no peer");
        key_of(peer->public_key, i);
        peer->endpoint = endpoint_of(i, 51820);
        require(wg_device_add_allowed_ip(&device, &prefix) == OK, "no prefix");
    }
    struct zones_wgsd_config config = {.zone = dns_name_of(&name)};
    require(zones_wgsd_create(&z->wgsd, &config) == OK, "no wgsd zone");
    require(zones_wgsd_view_create(&z->view, z->wgsd, &device, hash_key) == OK, "no view");
    wg_device_fini(&device);
}

/* One SRV answer, as the directive makes it: owns, answer, write. */
static size_t answer(const struct zones *z, bool is_warren, const struct dns_name_buf *asked,
                     struct arena *arena, uint8_t *out)
{
    struct dns_name name = dns_name_of(asked);
    struct dns_message m = {
        .has_question = true, .question = {name, DNS_TYPE_SRV, DNS_CLASS_IN}, .flags = DNS_FLAG_QR};
    struct ip_addr local = {.family = IP_V4};
    size_t size = 0;
    bool owns = is_warren ? zones_warren_owns(z->warren, name) : zones_wgsd_owns(z->wgsd, name);
    enum err e = is_warren
                     ? zones_warren_answer(z->warren, name, DNS_TYPE_SRV, arena, &m)
                     : zones_wgsd_answer(z->wgsd, z->view, name, DNS_TYPE_SRV, &local, arena, &m);
    require(owns && e == OK && m.sections[DNS_ADDITIONAL].count == 2, "no answer");
    require(dns_message_write_within(&m, 512, out, 512, &size) == OK, "does not fit");
    arena_reset(arena);
    return size;
}

static double srv_us(const struct zones *z, bool is_warren)
{
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    struct arena arena;
    size_t total = 0;
    arena_init(&arena, 1 << 20);
    double start = cpu_s();
    for (int round = 0; round < SRV_ROUNDS; round++)
        for (size_t i = 0; i < SRV_PEERS; i++)
            total += answer(z, is_warren, &z->questions[i * 7919 % SRV_PEERS], &arena, out);
    double us = (cpu_s() - start) / SRV_ROUNDS / SRV_PEERS * 1e6;
    arena_fini(&arena);
    require(total > 0, "nothing");
    return us;
}

static void measure_srv(void)
{
    static struct zones z;
    z.warren = fill(SRV_PEERS);
    fill_wgsd(&z);
    for (uint32_t i = 0; i < SRV_PEERS; i++) {
        uint8_t key[KEY_SIZE];
        char text[128];
        key_of(key, i);
        key_to_base32(text, key);
        strcpy(text + KEY_BASE32_SIZE, "._wireguard._udp.wg.example.");
        require(dns_name_from_text(&z.questions[i], text, strlen(text)) == OK, "no question");
    }
    for (int run = 0; run < 3; run++)
        printf("SRV at %d peers: wgsd %.3f us, warren %.3f us\n", SRV_PEERS, srv_us(&z, false),
               srv_us(&z, true));
    zones_warren_destroy(z.warren);
    zones_wgsd_view_destroy(z.view);
    zones_wgsd_destroy(z.wgsd);
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    require(count > 0 && count < 1 << 24, "PEERS is from 1 to 16777215");
    measure_srv();
    measure_size((uint32_t)count);
    return 0;
}
