#include "zones/wgsd.h"

#include "base/cursor.h"
#include "base/encoding.h"
#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SOA_TTL_S = 60,
    SOA_SERIAL = 1,
    SOA_REFRESH_S = 86400,
    SOA_RETRY_S = 7200,
    SOA_EXPIRE_S = 3600000,
    SOA_MINIMUM_S = 60,
    ANSWER_TTL_S = 0,

    /* wgsd compares the length of the presentation text of what precedes the zone:
     * 56 characters of key and "._wireguard._udp." */
    INSTANCE_TEXT_SIZE = 73,
    SRV_FIXED_SIZE = 6, /* priority, weight, port */
    TXT_STRING_MAX_SIZE = 255,
    /* A TXT RR beyond this fits in no message beside its question; it is left out and TC set. */
    TXT_MAX_SIZE = 64000,
};

static const uint8_t service_wire[] = "\x0a_wireguard\x04_udp"; /* without the root label */
enum {
    SERVICE_WIRE_SIZE = sizeof(service_wire) - 1
};

struct zones_wgsd {
    struct dns_name_buf zone;
    struct dns_name_buf service; /* _wireguard._udp.ZONE */
    bool zone_is_lower_case;     /* else wgsd's byte-wise suffix removal never removes the zone */
    bool has_self;
    struct ip_endpoint self_endpoint;
    struct ip_prefix *self_allowed_ips;
    size_t self_allowed_ip_count;
    size_t soa_rdata_size; /* 0: the SOA's names would be too long */
    uint8_t soa_rdata[2 * DNS_NAME_MAX_SIZE + 5 * sizeof(uint32_t)];
    struct dns_rr soa;
};

/* One peer, with its TXT rdata behind it: the index leads to one run of memory that holds all that
 * an answer needs, so a large view costs two cache misses and not four. Looked up by the text that
 * queries spell, so that none has to be decoded. */
struct peer {
    char label[KEY_BASE32_SIZE];
    uint8_t addr[16];
    uint16_t port;
    uint8_t family;      /* enum ip_family; IP_NONE: not published */
    uint8_t is_listener; /* self without a configured address: the address that was asked */
    uint32_t txt_size;   /* 0: too long to be sent */
    uint8_t txt[];
};

/* Peers stand at multiples of this in a view's pool. */
enum {
    PEER_ALIGN = 64
};

/* Slot of the open-addressing index. */
struct slot {
    uint32_t hash;
    uint32_t peer; /* its place in the pool in units of PEER_ALIGN, plus 1; 0: empty */
};

struct zones_wgsd_view {
    uint8_t *pool; /* the peers, in the device's order */
    size_t pool_size;
    size_t pool_capacity;
    size_t peer_count;
    struct slot *slots;
    size_t slot_mask; /* slot count - 1, a power of two at most half full */
    uint8_t hash_key[HASH_KEY_SIZE];
    struct dns_rr *pointers; /* the PTR RRset */
    size_t pointer_count;
    uint8_t *targets; /* its rdata, one after the other */
};

static void soa_compose(struct zones_wgsd *z)
{
    static const uint8_t primary_wire[] = "\x03ns1";
    static const uint8_t mailbox_wire[] = "\x0apostmaster";
    struct dns_name primary = {.wire = primary_wire, .size = sizeof(primary_wire)};
    struct dns_name mailbox = {.wire = mailbox_wire, .size = sizeof(mailbox_wire)};
    struct dns_name zone = dns_name_of(&z->zone);
    struct dns_name_buf mname, rname;
    if (dns_name_join(&mname, primary, zone) != OK || dns_name_join(&rname, mailbox, zone) != OK)
        return;
    struct writer w = writer_of(z->soa_rdata, sizeof(z->soa_rdata));
    write_bytes(&w, mname.wire, mname.size);
    write_bytes(&w, rname.wire, rname.size);
    write_u32(&w, SOA_SERIAL);
    write_u32(&w, SOA_REFRESH_S);
    write_u32(&w, SOA_RETRY_S);
    write_u32(&w, SOA_EXPIRE_S);
    write_u32(&w, SOA_MINIMUM_S);
    assert(!w.failed);
    z->soa_rdata_size = w.size;
    z->soa = (struct dns_rr){.owner = zone,
                             .rdata = z->soa_rdata,
                             .rdata_size = (uint16_t)w.size,
                             .type = DNS_TYPE_SOA,
                             .class_number = DNS_CLASS_IN,
                             .ttl = SOA_TTL_S};
}

enum err zones_wgsd_create(struct zones_wgsd **out, const struct zones_wgsd_config *config)
{
    struct zones_wgsd *z = calloc(1, sizeof(*z));
    if (z == NULL)
        return ERR_NO_MEMORY;
    z->zone.size = config->zone.size;
    memcpy(z->zone.wire, config->zone.wire, config->zone.size);
    struct dns_name zone = dns_name_of(&z->zone);

    struct dns_name_buf lower;
    dns_name_lower(&lower, zone);
    z->zone_is_lower_case = dns_name_same(dns_name_of(&lower), zone);

    uint8_t service[SERVICE_WIRE_SIZE + 1] = {0};
    memcpy(service, service_wire, SERVICE_WIRE_SIZE);
    struct dns_name relative = {.wire = service, .size = sizeof(service)};
    if (dns_name_join(&z->service, relative, zone) != OK)
        z->service.size = 0; /* no name below such a zone can exist */

    z->has_self = config->has_self;
    z->self_endpoint = config->self_endpoint;
    z->self_endpoint.addr = ip_unmap(config->self_endpoint.addr);
    if (config->self_allowed_ip_count > 0) {
        z->self_allowed_ips = calloc(config->self_allowed_ip_count, sizeof(*z->self_allowed_ips));
        if (z->self_allowed_ips == NULL) {
            free(z);
            return ERR_NO_MEMORY;
        }
        memcpy(z->self_allowed_ips, config->self_allowed_ips,
               config->self_allowed_ip_count * sizeof(*z->self_allowed_ips));
        z->self_allowed_ip_count = config->self_allowed_ip_count;
    }
    soa_compose(z);
    *out = z;
    return OK;
}

void zones_wgsd_destroy(struct zones_wgsd *z)
{
    if (z == NULL)
        return;
    free(z->self_allowed_ips);
    free(z);
}

bool zones_wgsd_owns(const struct zones_wgsd *z, struct dns_name name)
{
    return dns_name_is_under(name, dns_name_of(&z->zone));
}

struct dns_name zones_wgsd_zone(const struct zones_wgsd *z)
{
    return dns_name_of(&z->zone);
}

/* --- building a view ------------------------------------------------------------------------- */

/* SIZE octets behind the pool's content, for the caller to fill; the pool may move. */
static uint8_t *pool_room(struct zones_wgsd_view *v, size_t size)
{
    if (size > v->pool_capacity - v->pool_size) {
        size_t capacity = v->pool_capacity > 0 ? v->pool_capacity * 2 : 4096;
        while (capacity - v->pool_size < size)
            capacity *= 2;
        uint8_t *grown = aligned_alloc(PEER_ALIGN, capacity);
        if (grown == NULL)
            return NULL;
        if (v->pool_size > 0)
            memcpy(grown, v->pool, v->pool_size);
        free(v->pool);
        v->pool = grown;
        v->pool_capacity = capacity;
    }
    uint8_t *at = v->pool + v->pool_size;
    v->pool_size += size;
    return at;
}

static struct peer *peer_at(const struct zones_wgsd_view *v, size_t offset)
{
    return (struct peer *)(void *)(v->pool + offset);
}

static size_t peer_end(const struct peer *p, size_t offset)
{
    size_t end = offset + sizeof(*p) + p->txt_size;
    return (end + PEER_ALIGN - 1) / PEER_ALIGN * PEER_ALIGN;
}

static bool txt_add_string(struct zones_wgsd_view *v, const char *text, size_t size)
{
    assert(size <= TXT_STRING_MAX_SIZE);
    uint8_t *at = pool_room(v, 1 + size);
    if (at == NULL)
        return false;
    at[0] = (uint8_t)size;
    memcpy(at + 1, text, size);
    return true;
}

/* `allowed=` and the prefixes, comma-separated, in one string where they fit. wgsd cannot encode a
 * longer list and drops the query; we go on in further strings, cut behind a comma, so that the
 * strings put together are the list. */
static bool txt_add_allowed(struct zones_wgsd_view *v, const struct ip_prefix *prefixes,
                            size_t count)
{
    char text[TXT_STRING_MAX_SIZE] = "allowed=";
    size_t size = strlen(text);
    for (size_t i = 0; i < count; i++) {
        char prefix[IP_PREFIX_TEXT_SIZE];
        struct ip_prefix plain = ip_prefix_unmap(prefixes[i]); /* as Go prints it */
        size_t prefix_size = ip_prefix_format(&plain, prefix);
        size_t comma_size = i + 1 < count ? 1 : 0;
        if (size + prefix_size + comma_size > sizeof(text)) {
            if (!txt_add_string(v, text, size))
                return false;
            size = 0;
        }
        memcpy(text + size, prefix, prefix_size);
        size += prefix_size;
        if (comma_size > 0)
            text[size++] = ',';
    }
    return txt_add_string(v, text, size);
}

/* The TXT rdata of the peer at OFFSET, the last one in the pool. */
static enum err txt_compose(struct zones_wgsd_view *v, size_t offset,
                            const uint8_t key[static KEY_SIZE], const struct ip_prefix *prefixes,
                            size_t count)
{
    char pub[4 + KEY_BASE64_SIZE] = {'p', 'u', 'b', '='};
    key_to_base64(pub + 4, key);
    size_t start = v->pool_size;
    if (!txt_add_string(v, "txtvers=1", 9) || !txt_add_string(v, pub, sizeof(pub)) ||
        !txt_add_allowed(v, prefixes, count))
        return ERR_NO_MEMORY;
    size_t size = v->pool_size - start;
    peer_at(v, offset)->txt_size = size <= TXT_MAX_SIZE ? (uint32_t)size : 0;
    return OK;
}

static uint32_t label_hash(const struct zones_wgsd_view *v,
                           const char label[static KEY_BASE32_SIZE])
{
    return (uint32_t)keyed_hash(label, KEY_BASE32_UNPADDED_SIZE, v->hash_key);
}

static const struct peer *view_find(const struct zones_wgsd_view *v,
                                    const char label[static KEY_BASE32_SIZE])
{
    uint32_t hash = label_hash(v, label);
    for (size_t i = hash & v->slot_mask; v->slots[i].peer != 0; i = (i + 1) & v->slot_mask) {
        if (v->slots[i].hash != hash)
            continue;
        const struct peer *p = peer_at(v, (size_t)(v->slots[i].peer - 1) * PEER_ALIGN);
        __builtin_prefetch((const uint8_t *)p + PEER_ALIGN);
        __builtin_prefetch((const uint8_t *)p + 2 * PEER_ALIGN);
        if (memcmp(p->label, label, KEY_BASE32_SIZE) == 0)
            return p;
    }
    return NULL;
}

/* The first peer of a key stays the one that is found, as in wgsd's linear search. */
static void view_index(struct zones_wgsd_view *v, size_t offset)
{
    const struct peer *p = peer_at(v, offset);
    if (view_find(v, p->label) != NULL)
        return;
    uint32_t hash = label_hash(v, p->label);
    size_t i = hash & v->slot_mask;
    while (v->slots[i].peer != 0)
        i = (i + 1) & v->slot_mask;
    v->slots[i] = (struct slot){.hash = hash, .peer = (uint32_t)(offset / PEER_ALIGN) + 1};
}

static enum err view_add(struct zones_wgsd_view *v, const uint8_t key[static KEY_SIZE],
                         const struct ip_endpoint *endpoint, bool is_listener,
                         const struct ip_prefix *prefixes, size_t count)
{
    size_t offset = v->pool_size;
    if (offset / PEER_ALIGN >= UINT32_MAX || pool_room(v, sizeof(struct peer)) == NULL)
        return ERR_NO_MEMORY;
    struct peer *p = peer_at(v, offset);
    struct ip_addr addr = ip_unmap(endpoint->addr);
    *p = (struct peer){.family = addr.family, .port = endpoint->port, .is_listener = is_listener};
    key_to_base32(p->label, key);
    memcpy(p->addr, addr.bytes, sizeof(p->addr));
    enum err e = txt_compose(v, offset, key, prefixes, count);
    if (e != OK)
        return e;
    size_t end = peer_end(peer_at(v, offset), offset);
    if (end < v->pool_size)
        v->pool_size = end;
    else if (pool_room(v, end - v->pool_size) == NULL)
        return ERR_NO_MEMORY;
    view_index(v, offset);
    v->peer_count++;
    return OK;
}

static bool peer_is_published(const struct peer *p)
{
    return p->family != IP_NONE || p->is_listener;
}

static enum err view_compose_pointers(struct zones_wgsd_view *v, const struct zones_wgsd *z)
{
    size_t target_size = 1 + KEY_BASE32_SIZE + (size_t)z->service.size;
    if (z->service.size == 0 || target_size > DNS_NAME_MAX_SIZE)
        return OK; /* no peer's name fits below this zone */
    size_t count = 0;
    for (size_t at = 0; at < v->pool_size; at = peer_end(peer_at(v, at), at))
        count += peer_is_published(peer_at(v, at));
    if (count == 0)
        return OK;
    v->pointers = calloc(count, sizeof(*v->pointers));
    v->targets = calloc(count, target_size);
    if (v->pointers == NULL || v->targets == NULL)
        return ERR_NO_MEMORY;
    for (size_t at = 0; at < v->pool_size; at = peer_end(peer_at(v, at), at)) {
        const struct peer *p = peer_at(v, at);
        if (!peer_is_published(p))
            continue;
        uint8_t *target = v->targets + v->pointer_count * target_size;
        target[0] = KEY_BASE32_SIZE;
        memcpy(target + 1, p->label, KEY_BASE32_SIZE);
        memcpy(target + 1 + KEY_BASE32_SIZE, z->service.wire, z->service.size);
        v->pointers[v->pointer_count++] = (struct dns_rr){
            .owner = dns_name_of(&z->service),
            .rdata = target,
            .rdata_size = (uint16_t)target_size,
            .type = DNS_TYPE_PTR,
            .class_number = DNS_CLASS_IN,
            .ttl = ANSWER_TTL_S,
        };
    }
    return OK;
}

static enum err view_fill(struct zones_wgsd_view *v, const struct zones_wgsd *z,
                          const struct wg_device *device)
{
    size_t capacity = device->peer_count + 1;
    size_t slot_count = 4;
    while (slot_count < capacity * 2)
        slot_count *= 2;
    v->slot_mask = slot_count - 1;
    v->slots = calloc(slot_count, sizeof(*v->slots));
    if (v->slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < device->peer_count; i++) {
        const struct wg_peer *p = &device->peers[i];
        enum err e = view_add(v, p->public_key, &p->endpoint, false,
                              &device->allowed_ips[p->allowed_ip_start], p->allowed_ip_count);
        if (e != OK)
            return e;
    }
    if (z->has_self) {
        struct ip_endpoint endpoint = z->self_endpoint;
        bool is_listener = endpoint.addr.family == IP_NONE;
        if (is_listener)
            endpoint.port = device->listen_port;
        enum err e = view_add(v, device->public_key, &endpoint, is_listener, z->self_allowed_ips,
                              z->self_allowed_ip_count);
        if (e != OK)
            return e;
    }
    return view_compose_pointers(v, z);
}

enum err zones_wgsd_view_create(struct zones_wgsd_view **out, const struct zones_wgsd *z,
                                const struct wg_device *device,
                                const uint8_t hash_key[static HASH_KEY_SIZE])
{
    struct zones_wgsd_view *v = calloc(1, sizeof(*v));
    if (v == NULL)
        return ERR_NO_MEMORY;
    memcpy(v->hash_key, hash_key, HASH_KEY_SIZE);
    enum err e = view_fill(v, z, device);
    if (e != OK) {
        zones_wgsd_view_destroy(v);
        return e;
    }
    *out = v;
    return OK;
}

void zones_wgsd_view_destroy(struct zones_wgsd_view *v)
{
    if (v == NULL)
        return;
    free(v->pool);
    free(v->slots);
    free(v->pointers);
    free(v->targets);
    free(v);
}

size_t zones_wgsd_view_peer_count(const struct zones_wgsd_view *v)
{
    return v->peer_count;
}

size_t zones_wgsd_view_published_count(const struct zones_wgsd_view *v)
{
    return v->pointer_count;
}

/* --- answering ------------------------------------------------------------------------------- */

enum question_kind {
    QUESTION_OTHER,
    QUESTION_SERVICE,
    QUESTION_PEER,
    QUESTION_NO_PEER, /* shaped like a peer's name, but no key: needs a readable device all the same
                       */
};

/* The length of the text that precedes the zone: wgsd removes the zone as text, with case. The zone
 * "." is an exception of ours: wgsd removes the final dot there and then finds nothing at all. */
static size_t relative_text_size(const struct zones_wgsd *z, struct dns_name name)
{
    size_t size = dns_name_text_size(name);
    if (!z->zone_is_lower_case || z->zone.size == 1)
        return size;
    return size - dns_name_text_size(dns_name_of(&z->zone));
}

static bool has_peer_answer(uint16_t type)
{
    return type == DNS_TYPE_SRV || type == DNS_TYPE_A || type == DNS_TYPE_AAAA ||
           type == DNS_TYPE_TXT;
}

static enum question_kind classify(const struct zones_wgsd *z, struct dns_name name, uint16_t type)
{
    if (type == DNS_TYPE_PTR)
        return z->service.size > 0 && dns_name_same(name, dns_name_of(&z->service))
                   ? QUESTION_SERVICE
                   : QUESTION_OTHER;
    if (!has_peer_answer(type))
        return QUESTION_OTHER;
    bool is_usual = name.wire[0] == KEY_BASE32_SIZE && z->service.size > 0 &&
                    name.size == 1 + KEY_BASE32_SIZE + z->service.size &&
                    memcmp(name.wire + 1 + KEY_BASE32_SIZE, z->service.wire, z->service.size) == 0;
    if (!is_usual && relative_text_size(z, name) != INSTANCE_TEXT_SIZE)
        return QUESTION_OTHER;
    /* A first label longer than 56 may still hold a key at its start. */
    return name.wire[0] < KEY_BASE32_SIZE ? QUESTION_NO_PEER : QUESTION_PEER;
}

static void answer_nxdomain(const struct zones_wgsd *z, struct dns_message *reply)
{
    reply->rcode = DNS_RCODE_NXDOMAIN;
    if (z->soa_rdata_size > 0)
        reply->sections[DNS_AUTHORITY] = (struct dns_rr_list){.rrs = &z->soa, .count = 1};
}

static struct dns_rr rr_of(struct dns_name owner, uint16_t type, const uint8_t *rdata, size_t size)
{
    return (struct dns_rr){.owner = owner,
                           .rdata = rdata,
                           .rdata_size = (uint16_t)size,
                           .type = type,
                           .class_number = DNS_CLASS_IN,
                           .ttl = ANSWER_TTL_S};
}

/* The address record, of whichever family the endpoint has: wgsd answers a AAAA query with an A
 * record where that is what there is. */
static struct dns_rr address_rr(const struct peer *p, const struct ip_addr *local,
                                struct dns_name owner)
{
    uint8_t family = p->is_listener ? local->family : p->family;
    const uint8_t *bytes = p->is_listener ? local->bytes : p->addr;
    return family == IP_V4 ? rr_of(owner, DNS_TYPE_A, bytes, 4)
                           : rr_of(owner, DNS_TYPE_AAAA, bytes, 16);
}

static enum err answer_peer(const struct peer *p, struct dns_name name, uint16_t type,
                            const struct ip_addr *local, struct arena *arena,
                            struct dns_message *reply)
{
    size_t srv_size = SRV_FIXED_SIZE + (size_t)name.size;
    struct dns_rr *rrs = arena_alloc(arena, 3 * sizeof(*rrs) + srv_size);
    if (rrs == NULL)
        return ERR_NO_MEMORY;
    struct dns_rr txt = rr_of(name, DNS_TYPE_TXT, p->txt, p->txt_size);
    bool has_txt = p->txt_size > 0;

    if (type == DNS_TYPE_SRV) {
        uint8_t *srv = (uint8_t *)(rrs + 3);
        struct writer w = writer_of(srv, srv_size);
        write_u16(&w, 0);
        write_u16(&w, 0);
        write_u16(&w, p->port);
        write_bytes(&w, name.wire, name.size);
        rrs[0] = rr_of(name, DNS_TYPE_SRV, srv, srv_size);
        rrs[1] = address_rr(p, local, name); /* before the TXT: wgsd-client reads the first */
        rrs[2] = txt;
        reply->sections[DNS_ANSWER] = (struct dns_rr_list){.rrs = rrs, .count = 1};
        reply->sections[DNS_ADDITIONAL] =
            (struct dns_rr_list){.rrs = rrs + 1, .count = has_txt ? 2 : 1};
    } else {
        rrs[0] = type == DNS_TYPE_TXT ? txt : address_rr(p, local, name);
        size_t count = type == DNS_TYPE_TXT && !has_txt ? 0 : 1;
        reply->sections[DNS_ANSWER] = (struct dns_rr_list){.rrs = rrs, .count = count};
    }
    if (!has_txt && (type == DNS_TYPE_SRV || type == DNS_TYPE_TXT))
        reply->flags |= DNS_FLAG_TC;
    return OK;
}

enum err zones_wgsd_answer(const struct zones_wgsd *z, const struct zones_wgsd_view *view,
                           struct dns_name name, uint16_t type, const struct ip_addr *local,
                           struct arena *arena, struct dns_message *reply)
{
    enum question_kind kind = classify(z, name, type);
    /* An escape in the label makes the text longer than a peer's: wgsd then never asks the device.
     */
    if (kind == QUESTION_PEER && view == NULL && relative_text_size(z, name) != INSTANCE_TEXT_SIZE)
        kind = QUESTION_OTHER;
    if (kind != QUESTION_OTHER && view == NULL)
        return ERR_NO_DEVICE;
    reply->flags |= DNS_FLAG_AA;
    if (kind == QUESTION_SERVICE) {
        reply->sections[DNS_ANSWER] =
            (struct dns_rr_list){.rrs = view->pointers, .count = view->pointer_count};
        return OK;
    }
    const struct peer *p =
        kind == QUESTION_PEER ? view_find(view, (const char *)name.wire + 1) : NULL;
    if (p == NULL || !peer_is_published(p)) {
        answer_nxdomain(z, reply);
        return OK;
    }
    return answer_peer(p, name, type, local, arena, reply);
}
