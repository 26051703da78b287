/* Questions to records. Any thread: nothing here changes the zone. */
#include "zone.h"

#include "base/cursor.h"

#include <assert.h>
#include <string.h>

enum {
    SRV_FIXED_SIZE = 6,      /* priority, weight, port */
    MAX_RELATIVE_LABELS = 4, /* _<group>._sub._wireguard._udp */
    V4_LABELS = 4,
    V6_LABELS = 32,
};

/* One question on its way. */
struct asked {
    const struct zones_warren *z;
    const struct settings *settings;
    struct dns_name name;
    uint16_t type;
    struct arena *arena;
    struct dns_message *reply;
};

static bool wants(const struct asked *a, uint16_t type)
{
    return a->type == type || a->type == DNS_TYPE_ANY;
}

static struct dns_rr rr_of(const struct asked *a, uint16_t type, const uint8_t *rdata, size_t size)
{
    return (struct dns_rr){.owner = a->name,
                           .rdata = rdata,
                           .rdata_size = (uint16_t)size,
                           .type = type,
                           .class_number = DNS_CLASS_IN,
                           .ttl = a->settings->ttl_s};
}

static void set_section(const struct asked *a, enum dns_section section, const struct dns_rr *rrs,
                        size_t count)
{
    a->reply->sections[section] = (struct dns_rr_list){.rrs = rrs, .count = count};
}

/* --- SOA and negative answers ----------------------------------------------------------------- */

static enum err soa_rr(const struct asked *a, uint32_t ttl_s, struct dns_rr *out)
{
    const struct settings *s = a->settings;
    uint8_t *rdata = arena_copy(a->arena, s->soa, s->soa_size);
    if (rdata == NULL)
        return ERR_NO_MEMORY;
    struct writer w = writer_of(rdata + s->serial_at, sizeof(uint32_t));
    write_u32(&w, atomic_load_explicit(&a->z->serial, memory_order_relaxed));
    *out = rr_of(a, DNS_TYPE_SOA, rdata, s->soa_size);
    out->owner = dns_name_of(&a->z->name);
    out->ttl = ttl_s;
    return OK;
}

/* RFC 2308 sections 2 and 3: the SOA says how long. */
static enum err answer_nothing(const struct asked *a, int rcode)
{
    struct dns_rr *soa = arena_alloc(a->arena, sizeof(*soa));
    if (soa == NULL)
        return ERR_NO_MEMORY;
    enum err e = soa_rr(a, a->settings->negative_ttl_s, soa);
    if (e != OK)
        return e;
    a->reply->rcode = (uint16_t)rcode;
    set_section(a, DNS_AUTHORITY, soa, 1);
    return OK;
}

static enum err answer_nodata(const struct asked *a)
{
    return answer_nothing(a, DNS_RCODE_NOERROR);
}

static enum err answer_nxdomain(const struct asked *a)
{
    return answer_nothing(a, DNS_RCODE_NXDOMAIN);
}

/* --- overlay addresses ------------------------------------------------------------------------ */

/* Appends P's host addresses that TYPE asks for, under OWNER; RRS has room for all of them. */
static size_t add_addresses(const struct asked *a, const struct peer *p, struct dns_name owner,
                            uint16_t type, struct dns_rr *rrs)
{
    size_t count = 0;
    const struct item *prefix = peer_first_prefix(p);
    for (size_t i = 0; i < p->prefix_count; i++, prefix = item_next(prefix)) {
        uint16_t rr_type = prefix->size == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA;
        if (!item_is_host(prefix) || (type != rr_type && type != DNS_TYPE_ANY))
            continue;
        rrs[count] = rr_of(a, rr_type, prefix->bytes, prefix->size);
        rrs[count++].owner = owner;
    }
    return count;
}

/* The peer that has the name LABEL and an address below it. */
static const struct peer *named_peer(const struct zones_warren *z, const uint8_t *label)
{
    const struct peer *p = claim_owner(z, &z->by_name, label + 1, label[0]);
    return p != NULL && p->has_host_address ? p : NULL;
}

static enum err answer_named(const struct asked *a)
{
    const struct peer *p = named_peer(a->z, a->name.wire);
    if (p == NULL)
        return answer_nxdomain(a);
    struct dns_rr *rrs = arena_array(a->arena, p->prefix_count, sizeof(*rrs));
    if (rrs == NULL)
        return ERR_NO_MEMORY;
    size_t count = add_addresses(a, p, a->name, a->type, rrs);
    if (count == 0)
        return answer_nodata(a);
    set_section(a, DNS_ANSWER, rrs, count);
    return OK;
}

/* --- the apex --------------------------------------------------------------------------------- */

/* The peer that a name server is, if it is one of the zone's. */
static const struct peer *name_server_peer(const struct asked *a, const struct dns_name_buf *ns)
{
    struct dns_name name = dns_name_of(ns);
    if (name.size == 1 || !dns_name_same(dns_name_parent(name), dns_name_of(&a->z->name)))
        return NULL;
    return named_peer(a->z, name.wire);
}

/* RFC 1034 section 4.3.2 step 6: the addresses that a client of the NS RRset will want. */
static enum err add_name_server_addresses(const struct asked *a)
{
    const struct settings *s = a->settings;
    const struct peer *peers[ZONE_MAX_NAME_SERVERS];
    size_t count = 0;
    for (size_t i = 0; i < s->ns_count; i++) {
        peers[i] = name_server_peer(a, &s->ns[i]);
        count += peers[i] != NULL ? peers[i]->prefix_count : 0;
    }
    struct dns_rr *rrs = arena_array(a->arena, count, sizeof(*rrs));
    if (rrs == NULL)
        return ERR_NO_MEMORY;
    count = 0;
    for (size_t i = 0; i < s->ns_count; i++)
        if (peers[i] != NULL)
            count += add_addresses(a, peers[i], dns_name_of(&s->ns[i]), DNS_TYPE_ANY, rrs + count);
    set_section(a, DNS_ADDITIONAL, rrs, count);
    return OK;
}

static enum err answer_apex(const struct asked *a)
{
    const struct settings *s = a->settings;
    struct dns_rr *rrs = arena_array(a->arena, 1 + s->ns_count, sizeof(*rrs));
    if (rrs == NULL)
        return ERR_NO_MEMORY;
    size_t count = 0;
    enum err e = OK;
    if (wants(a, DNS_TYPE_SOA))
        e = soa_rr(a, s->ttl_s, &rrs[count++]);
    if (e == OK && wants(a, DNS_TYPE_NS)) {
        for (size_t i = 0; i < s->ns_count; i++)
            rrs[count++] = rr_of(a, DNS_TYPE_NS, s->ns[i].wire, s->ns[i].size);
        e = add_name_server_addresses(a);
    }
    if (e != OK)
        return e;
    if (count == 0)
        return answer_nodata(a);
    set_section(a, DNS_ANSWER, rrs, count);
    return OK;
}

/* --- pointers --------------------------------------------------------------------------------- */

static enum err answer_pointer(const struct asked *a, struct dns_name target)
{
    if (!wants(a, DNS_TYPE_PTR))
        return answer_nodata(a);
    struct dns_rr *rr = arena_alloc(a->arena, sizeof(*rr));
    if (rr == NULL)
        return ERR_NO_MEMORY;
    *rr = rr_of(a, DNS_TYPE_PTR, target.wire, target.size);
    set_section(a, DNS_ANSWER, rr, 1);
    return OK;
}

static enum err answer_list(const struct asked *a, const struct list *list)
{
    const struct list_targets *t = atomic_load_explicit(&list->targets, memory_order_acquire);
    uint32_t count = t != NULL ? atomic_load_explicit(&t->count, memory_order_acquire) : 0;
    if (!wants(a, DNS_TYPE_PTR) || count == 0)
        return answer_nodata(a);
    struct dns_rr *rrs = arena_array(a->arena, count, sizeof(*rrs));
    if (rrs == NULL)
        return ERR_NO_MEMORY;
    size_t size = list_target_size(list);
    for (uint32_t i = 0; i < count; i++)
        rrs[i] = rr_of(a, DNS_TYPE_PTR, t->rdata + i * size, size);
    set_section(a, DNS_ANSWER, rrs, count);
    return OK;
}

static bool list_is_empty(const struct list *list)
{
    const struct list_targets *t = atomic_load_explicit(&list->targets, memory_order_acquire);
    return t == NULL || atomic_load_explicit(&t->count, memory_order_acquire) == 0;
}

/* --- a peer's instance ------------------------------------------------------------------------ */

static void put_txt(uint8_t *out, const struct peer *p)
{
    static const char head[] = "\x09txtvers=1\x30pub=";
    memcpy(out, head, sizeof(head) - 1);
    public_key_to_base64((char *)out + sizeof(head) - 1, p->key);
    memcpy(out + TXT_HEAD_SIZE, peer_bytes(p, p->txt_at), p->txt_size);
}

static void put_srv(uint8_t *out, const struct peer *p, struct dns_name target)
{
    memset(out, 0, 4);
    out[4] = (uint8_t)(p->port >> 8);
    out[5] = (uint8_t)p->port;
    memcpy(out + SRV_FIXED_SIZE, target.wire, target.size);
}

/* SRV, the address, and the TXT; an SRV query gets the others as additional records (RFC 6763
 * section 12.2), the address first: wgsd-client reads that one. */
static enum err answer_instance(const struct asked *a, const struct peer *p)
{
    bool has_txt = p->txt_size > 0;
    size_t srv_size = SRV_FIXED_SIZE + (size_t)a->name.size;
    size_t txt_size = has_txt ? TXT_HEAD_SIZE + (size_t)p->txt_size : 0;
    uint16_t address_type = p->address_size == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA;
    bool is_srv = wants(a, DNS_TYPE_SRV);
    bool is_txt = is_srv || wants(a, DNS_TYPE_TXT);
    struct dns_rr *rrs =
        arena_alloc(a->arena, 3 * sizeof(*rrs) + srv_size + (is_txt ? txt_size : 0));
    if (rrs == NULL)
        return ERR_NO_MEMORY;
    uint8_t *srv = (uint8_t *)(rrs + 3), *txt = srv + srv_size;
    size_t count = 0;
    if (is_srv) {
        put_srv(srv, p, a->name);
        rrs[count++] = rr_of(a, DNS_TYPE_SRV, srv, srv_size);
    }
    if (is_srv || wants(a, address_type))
        rrs[count++] = rr_of(a, address_type, peer_address(p), p->address_size);
    if (is_txt && has_txt) {
        put_txt(txt, p);
        rrs[count++] = rr_of(a, DNS_TYPE_TXT, txt, txt_size);
    }
    if (is_txt && !has_txt)
        a->reply->flags |= DNS_FLAG_TC;
    else if (count == 0)
        return answer_nodata(a);
    bool is_split = a->type == DNS_TYPE_SRV;
    set_section(a, DNS_ANSWER, rrs, is_split ? 1 : count);
    if (is_split)
        set_section(a, DNS_ADDITIONAL, rrs + 1, count - 1);
    return OK;
}

/* The peer whose key's base32 LABEL is, padded or not. */
static const struct peer *instance_peer(const struct zones_warren *z, const uint8_t *label)
{
    uint8_t key[KEY_SIZE];
    if (label[0] != KEY_BASE32_SIZE && label[0] != KEY_BASE32_UNPADDED_SIZE)
        return NULL;
    if (key_from_base32(key, (const char *)label + 1, label[0]) != OK)
        return NULL;
    const struct peer *p = zone_find_peer(z, key);
    return p != NULL && peer_is_published(p) ? p : NULL;
}

static enum err answer_peer(const struct asked *a)
{
    const struct peer *p = instance_peer(a->z, a->name.wire);
    return p != NULL ? answer_instance(a, p) : answer_nxdomain(a);
}

/* --- reverse names ---------------------------------------------------------------------------- */

/* LABEL as a decimal octet in its one spelling. */
static bool read_octet(const uint8_t *label, uint8_t *out)
{
    unsigned value = 0;
    if (label[0] == 0 || label[0] > 3 || (label[0] > 1 && label[1] == '0'))
        return false;
    for (size_t i = 1; i <= label[0]; i++) {
        if (label[i] < '0' || label[i] > '9')
            return false;
        value = value * 10 + (label[i] - '0');
    }
    *out = (uint8_t)value;
    return value <= UINT8_MAX;
}

static bool read_nibble(const uint8_t *label, uint8_t *out)
{
    uint8_t c = label[1];
    if (label[0] != 1 || !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
        return false;
    *out = (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    return true;
}

static const uint8_t v4_tail[] = "\7in-addr\4arpa";
static const uint8_t v6_tail[] = "\3ip6\4arpa";
static const uint8_t arpa[] = "\4arpa";

/* Where NAME's last octets are TAIL, or NULL; whether a label begins there is seen by who walks. */
static const uint8_t *find_tail(struct dns_name name, const uint8_t *tail, size_t size)
{
    if (name.size < size || memcmp(name.wire + name.size - size, tail, size) != 0)
        return NULL;
    return name.wire + name.size - size;
}

/* Whether reverse names may lie below NAME: arpa, in-addr.arpa with fewer than four octets before
 * it, ip6.arpa with fewer than 32 nibbles. */
static bool is_reverse_branch(struct dns_name name)
{
    const uint8_t *label = name.wire, *end;
    size_t count = 0;
    uint8_t value;
    if ((end = find_tail(name, v4_tail, sizeof(v4_tail))) != NULL) {
        for (; label < end && read_octet(label, &value); label += 1 + label[0])
            count++;
        return label == end && count < V4_LABELS;
    }
    if ((end = find_tail(name, v6_tail, sizeof(v6_tail))) != NULL) {
        for (; label < end && read_nibble(label, &value); label += 1 + label[0])
            count++;
        return label == end && count < V6_LABELS;
    }
    return find_tail(name, arpa, sizeof(arpa)) == label;
}

/* The address of a reverse name (RFC 1035 section 3.5, RFC 3596 section 2.5); its size, or 0. */
static size_t read_reverse(struct dns_name name, uint8_t out[static 16])
{
    const uint8_t *label = name.wire;
    if (name.size > sizeof(v4_tail) &&
        memcmp(name.wire + name.size - sizeof(v4_tail), v4_tail, sizeof(v4_tail)) == 0) {
        for (size_t i = V4_LABELS; i > 0; i--, label += 1 + label[0])
            if (!read_octet(label, &out[i - 1]))
                return 0;
        return label == name.wire + name.size - sizeof(v4_tail) ? 4 : 0;
    }
    if (name.size != 2 * V6_LABELS + sizeof(v6_tail) ||
        memcmp(name.wire + name.size - sizeof(v6_tail), v6_tail, sizeof(v6_tail)) != 0)
        return 0;
    for (size_t i = V6_LABELS; i > 0; i--, label += 2) {
        uint8_t nibble;
        if (!read_nibble(label, &nibble))
            return 0;
        out[(i - 1) / 2] = (uint8_t)(i % 2 == 0 ? nibble : out[(i - 1) / 2] | nibble << 4);
    }
    return 16;
}

/* The peer that alone has the address and its own name to give. */
static const struct peer *reverse_peer(const struct zones_warren *z, struct dns_name name)
{
    uint8_t address[16];
    size_t size = read_reverse(name, address);
    if (size == 0)
        return NULL;
    const struct peer *p = claim_owner(z, &z->by_address, address, size);
    return p != NULL && peer_owns_name(z, p) ? p : NULL;
}

static enum err answer_reverse_peer(const struct asked *a, const struct peer *p)
{
    const struct item *label = peer_name(p);
    struct dns_name zone = dns_name_of(&a->z->name);
    size_t size = 1 + (size_t)label->size + zone.size;
    uint8_t *target = arena_alloc(a->arena, size);
    if (target == NULL)
        return ERR_NO_MEMORY;
    target[0] = label->size;
    memcpy(target + 1, label->bytes, label->size);
    memcpy(target + 1 + label->size, zone.wire, zone.size);
    return answer_pointer(a, (struct dns_name){.wire = target, .size = (uint8_t)size});
}

/* The zone is no parent of these names: a negative answer has no SOA to give. */
static enum err answer_reverse(const struct asked *a)
{
    const struct peer *p = reverse_peer(a->z, a->name);
    if (p == NULL)
        a->reply->rcode = DNS_RCODE_NXDOMAIN;
    return p != NULL && wants(a, DNS_TYPE_PTR) ? answer_reverse_peer(a, p) : OK;
}

/* --- which name is it ------------------------------------------------------------------------- */

static bool label_is(const uint8_t *label, const char *text)
{
    size_t size = strlen(text);
    return label[0] == size && memcmp(label + 1, text, size) == 0;
}

static bool is_below(const struct zones_warren *z, struct dns_name name)
{
    while (name.size > z->name.size)
        name = dns_name_parent(name);
    return dns_name_same(name, dns_name_of(&z->name));
}

static enum err answer_service(const struct asked *a)
{
    if (!list_is_empty(&a->z->list))
        return answer_list(a, &a->z->list);
    return answer_nodata(a); /* the browsing pointers lead here: it exists without peers, too */
}

static enum err answer_group(const struct asked *a)
{
    const uint8_t *label = a->name.wire;
    const struct group *g =
        label[1] == '_' ? zone_find_group(a->z, label + 2, label[0] - 1u) : NULL;
    if (g == NULL || list_is_empty(&g->list))
        return answer_nxdomain(a);
    return answer_list(a, &g->list);
}

/* Below _udp.<zone>: COUNT labels, the first (nearest to the zone) at LABELS[0]. */
static enum err answer_below_udp(const struct asked *a, const uint8_t *const *labels, size_t count)
{
    bool is_service = label_is(labels[0], "_wireguard");
    bool is_meta = label_is(labels[0], "_dns-sd");
    bool is_sub = is_service && count > 1 && label_is(labels[1], "_sub");
    if (is_service && count == 1)
        return answer_service(a);
    if (is_meta && count == 1)
        return answer_nodata(a); /* an empty non-terminal: RFC 4592 section 2.2.2 */
    if (is_meta && count == 2 && label_is(labels[1], "_services"))
        return answer_pointer(a, dns_name_of(&a->z->service));
    if (is_meta && count == 2 && (label_is(labels[1], "b") || label_is(labels[1], "lb")))
        return answer_pointer(a, dns_name_of(&a->z->name));
    if (is_sub && count == 2)
        return atomic_load_explicit(&a->z->live_groups, memory_order_relaxed) > 0
                   ? answer_nodata(a)
                   : answer_nxdomain(a);
    if (is_sub && count == 3)
        return answer_group(a);
    return is_service && count == 2 ? answer_peer(a) : answer_nxdomain(a);
}

static enum err answer_forward(const struct asked *a)
{
    const uint8_t *labels[MAX_RELATIVE_LABELS]; /* the nearest to the zone first */
    size_t count = 0, relative_size = a->name.size - a->z->name.size;
    for (size_t at = 0; at < relative_size; at += 1u + a->name.wire[at])
        count++;
    if (count == 0)
        return answer_apex(a);
    if (count > MAX_RELATIVE_LABELS)
        return answer_nxdomain(a);
    const uint8_t *label = a->name.wire;
    for (size_t i = count; i > 0; i--, label += 1 + label[0])
        labels[i - 1] = label;
    bool is_udp = label_is(labels[0], "_udp");
    if (count == 1)
        return is_udp ? answer_nodata(a) : answer_named(a);
    return is_udp ? answer_below_udp(a, labels + 1, count - 1) : answer_nxdomain(a);
}

/* In a zone that reverse names lie in: the root, arpa, or a reverse zone. What may be above one
 * exists (RFC 8020: a resolver that got NXDOMAIN for 10.in-addr.arpa would not ask below it). */
static enum err answer_in_arpa(const struct asked *a)
{
    const struct peer *p = reverse_peer(a->z, a->name);
    if (p != NULL)
        return answer_reverse_peer(a, p);
    enum err e = answer_forward(a);
    if (e == OK && a->reply->rcode == DNS_RCODE_NXDOMAIN && is_reverse_branch(a->name))
        a->reply->rcode = DNS_RCODE_NOERROR;
    return e;
}

/* The question that nearly all are: a key's label before _wireguard._udp.<zone>. */
static bool is_instance(const struct zones_warren *z, struct dns_name name)
{
    size_t label = name.wire[0];
    return (label == KEY_BASE32_SIZE || label == KEY_BASE32_UNPADDED_SIZE) &&
           name.size == 1 + label + z->service.size &&
           memcmp(name.wire + 1 + label, z->service.wire, z->service.size) == 0;
}

bool zones_warren_has_address(const struct zones_warren *z, struct dns_name name)
{
    return reverse_peer(z, name) != NULL;
}

bool zones_warren_owns(const struct zones_warren *z, struct dns_name name)
{
    return is_instance(z, name) || is_below(z, name) || reverse_peer(z, name) != NULL;
}

enum err zones_warren_answer(const struct zones_warren *z, struct dns_name name, uint16_t type,
                             struct arena *arena, struct dns_message *reply)
{
    struct asked a = {
        .z = z,
        .settings = atomic_load_explicit(&z->settings, memory_order_acquire),
        .name = name,
        .type = type,
        .arena = arena,
        .reply = reply,
    };
    reply->flags |= DNS_FLAG_AA;
    if (is_instance(z, name))
        return answer_peer(&a);
    if (!is_below(z, name))
        return answer_reverse(&a);
    return find_tail(name, arpa, sizeof(arpa)) != NULL ? answer_in_arpa(&a) : answer_forward(&a);
}
