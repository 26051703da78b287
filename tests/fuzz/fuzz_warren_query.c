/* Any name and type against a warren zone that has a bit of everything, while it changes: no owned
 * name goes without an answer that can be written, no answer holds a name that is none.
 *
 * Input: changes and a question. Octet 0: how many changes follow, of three octets each (what,
 * which peer, with what); then the type, two octets; then the question's name, in wire form. */
#include "base/cursor.h"
#include "zones/warren.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MAX_CHANGES = 32,
    PEERS = 8,
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void set_record(struct zones_warren *z, const uint8_t key[static KEY_SIZE], uint8_t what,
                       int64_t revision)
{
    static const char *const names[] = {"", "alice", "bob", "ns1"};
    static const char *const groups[] = {"web", "db"};
    struct registry_peer peer = {.groups = groups, .group_count = what >> 2 & 1};
    struct ip_prefix prefixes[3] = {
        {.addr = {.family = IP_V4, .bytes = {10, 0, 0, what & 3}}, .length = 32},
        {.addr = {.family = IP_V6, .bytes = {0xfd, [15] = what & 7}}, .length = 128},
        {.addr = {.family = IP_V4, .bytes = {10, 1}}, .length = 16},
    };
    strcpy(peer.name, names[what & 3]);
    peer.allowed_ips = prefixes;
    peer.allowed_ip_count = what >> 3 & 3;
    if ((what & 0x20) != 0)
        peer.endpoint = (struct ip_endpoint){
            .addr = {.family = (what & 0x40) != 0 ? IP_V6 : IP_V4, .bytes = {192, 0, 2, 1}},
            .port = what};
    check(zones_warren_set_peer(z, key, (what & 0x80) != 0 ? NULL : &peer, revision) == OK);
}

static void change(struct zones_warren *z, struct reader *r, int64_t revision)
{
    uint8_t kind = read_u8(r), which = read_u8(r), what = read_u8(r);
    uint8_t key[KEY_SIZE] = {(uint8_t)(which % PEERS + 1)}, observer[KEY_SIZE] = {which / PEERS};
    struct registry_observation o = {
        .endpoint = {.addr = {.family = IP_V4, .bytes = {198, 51, 100, what}}, .port = 1},
        .is_idle = (what & 1) != 0,
    };
    if (kind % 8 == 0)
        zones_warren_begin_reload(z);
    else if (kind % 8 == 1)
        check(zones_warren_end_reload(z) == OK);
    else if (kind % 2 == 0)
        set_record(z, key, what, revision);
    else
        check(zones_warren_set_observation(z, key, observer, (what & 2) != 0 ? &o : NULL,
                                           revision) == OK);
    zones_warren_free(zones_warren_reclaim(z));
}

static void ask(const struct zones_warren *z, struct dns_name name, uint16_t type)
{
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    struct dns_name_buf lower;
    struct arena arena;
    size_t size;
    dns_name_lower(&lower, name);
    if (!zones_warren_owns(z, dns_name_of(&lower)))
        return;
    arena_init(&arena, 1 << 20);
    struct dns_message m = {.has_question = true, .question = {name, type, DNS_CLASS_IN}};
    check(zones_warren_answer(z, dns_name_of(&lower), type, &arena, &m) == OK);
    check(m.rcode == DNS_RCODE_NOERROR || m.rcode == DNS_RCODE_NXDOMAIN);
    check(m.rcode == DNS_RCODE_NOERROR || m.sections[DNS_ANSWER].count == 0);
    m.compress = (type & 1) != 0;
    check(dns_message_write(&m, out, sizeof out, &size) == OK);
    for (size_t i = 0; i < m.sections[DNS_ANSWER].count; i++) {
        const struct dns_rr *rr = &m.sections[DNS_ANSWER].rrs[i];
        struct dns_name target;
        check(type == DNS_TYPE_ANY || rr->type == type);
        check(dns_name_same(rr->owner, dns_name_of(&lower)));
        if (rr->type == DNS_TYPE_PTR || rr->type == DNS_TYPE_NS)
            check(dns_name_check(&target, rr->rdata, rr->rdata_size) == OK &&
                  target.size == rr->rdata_size);
    }
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t hash_key[HASH_KEY_SIZE];
    static const uint8_t zone_wire[] = "\2wg\7example";
    struct zones_warren *z;
    struct reader r = reader_of(data, size);
    struct dns_name zone, name;
    if (dns_name_check(&zone, zone_wire, sizeof zone_wire) != OK ||
        zones_warren_create(&z, zone, hash_key) != OK)
        return 0;
    uint8_t changes = read_u8(&r) % (MAX_CHANGES + 1);
    for (int i = 0; i < changes; i++)
        change(z, &r, i + 2);
    uint16_t type = read_u16(&r);
    size_t left = reader_left(&r);
    const uint8_t *wire = read_bytes(&r, left);
    if (wire != NULL && dns_name_check(&name, wire, left) == OK)
        ask(z, name, type);
    zones_warren_destroy(z);
    return 0;
}
