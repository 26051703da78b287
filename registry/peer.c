#include "registry/peer.h"

#include "peer_json.h"
#include "plain.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_VALUE_DEPTH = 16,  /* ours are 2 deep; the rest is room for what a newer member may write */
    MAX_TTL_S = INT32_MAX, /* RFC 2181 section 8 */
    MAX_QUOTED_SIZE = 64,  /* of a value's text in a message */
    MAX_PLAIN_PREFIXES = 8,
};

/* --- keys ------------------------------------------------------------------------------------ */

#define PEERS_PART     "/peers/"
#define ENDPOINTS_PART "/endpoints/"

static void add_key(struct strbuf *out, const uint8_t key[static KEY_SIZE])
{
    char text[KEY_BASE32_SIZE];

    key_to_base32(text, key);
    strbuf_add(out, text, KEY_BASE32_UNPADDED_SIZE);
}

void registry_zone_key(struct strbuf *out, struct bytes zone)
{
    strbuf_add_str(out, REGISTRY_ZONES_PREFIX);
    strbuf_add(out, zone.data, zone.size);
}

void registry_peers_prefix(struct strbuf *out, struct bytes zone)
{
    registry_zone_key(out, zone);
    strbuf_add_str(out, PEERS_PART);
}

void registry_endpoints_prefix(struct strbuf *out, struct bytes zone)
{
    registry_zone_key(out, zone);
    strbuf_add_str(out, ENDPOINTS_PART);
}

void registry_peer_key(struct strbuf *out, struct bytes zone, const uint8_t peer[static KEY_SIZE])
{
    registry_peers_prefix(out, zone);
    add_key(out, peer);
}

void registry_endpoint_key(struct strbuf *out, struct bytes zone,
                           const uint8_t peer[static KEY_SIZE],
                           const uint8_t observer[static KEY_SIZE])
{
    registry_endpoints_prefix(out, zone);
    add_key(out, peer);
    strbuf_add_char(out, '/');
    add_key(out, observer);
}

/* What is left of TEXT behind PART, if it begins with it. */
static bool take(struct bytes *text, const char *part)
{
    struct bytes prefix = bytes_of_str(part);

    if (!bytes_starts_with(*text, prefix))
        return false;
    *text = bytes_of(text->data + prefix.size, text->size - prefix.size);
    return true;
}

/* A WireGuard key in the one spelling that we write: lower case. */
static bool take_key(struct bytes *text, uint8_t key[static KEY_SIZE])
{
    const char *chars = (const char *)text->data;
    uint8_t common = 0x20; /* what the lower case letters have, and the digits, and no capital */

    if (text->size < KEY_BASE32_UNPADDED_SIZE ||
        key_from_base32(key, chars, KEY_BASE32_UNPADDED_SIZE) != OK)
        return false;
    for (size_t i = 0; i < KEY_BASE32_UNPADDED_SIZE; i++)
        common &= (uint8_t)chars[i];
    if (common == 0)
        return false;
    *text = bytes_of(text->data + KEY_BASE32_UNPADDED_SIZE, text->size - KEY_BASE32_UNPADDED_SIZE);
    return true;
}

/* One zone must not have two keys: only the text that we would print is a zone's. */
static bool is_zone_text(struct bytes zone)
{
    struct dns_name_buf name, lower;
    char text[DNS_NAME_TEXT_SIZE];

    if (zone.size == 0 || dns_name_from_text(&name, (const char *)zone.data, zone.size) != OK)
        return false;
    dns_name_lower(&lower, dns_name_of(&name));
    size_t size = dns_name_to_text(dns_name_of(&lower), text);
    return bytes_equal(zone, bytes_of(text, size));
}

/* What is behind the prefix of all zones' keys, and in front of its first slash. */
static bool split_zone(struct bytes key, struct bytes *zone, struct bytes *left)
{
    if (!take(&key, REGISTRY_ZONES_PREFIX))
        return false;
    const uint8_t *slash = key.size > 0 ? memchr(key.data, '/', key.size) : NULL;
    *zone = bytes_of(key.data, slash != NULL ? (size_t)(slash - key.data) : key.size);
    *left = bytes_of(key.data + zone->size, key.size - zone->size);
    return true;
}

/* A key of ZONE, of which LEFT is behind the zone. */
static void parse_key_in_zone(struct registry_key *out, struct bytes zone, struct bytes left)
{
    struct registry_key k = {.type = REGISTRY_KEY_OTHER, .zone = zone};

    if (left.size == 0) {
        k.type = REGISTRY_KEY_ZONE;
    } else if (take(&left, PEERS_PART)) {
        if (!take_key(&left, k.peer) || left.size > 0)
            return;
        k.type = REGISTRY_KEY_PEER;
    } else if (take(&left, ENDPOINTS_PART)) {
        if (!take_key(&left, k.peer) || !take(&left, "/") || !take_key(&left, k.observer) ||
            left.size > 0)
            return;
        k.type = REGISTRY_KEY_ENDPOINT;
    } else {
        return;
    }
    *out = k;
}

void registry_key_parse(struct registry_key *out, struct bytes key)
{
    struct bytes zone, left;

    *out = (struct registry_key){.type = REGISTRY_KEY_OTHER};
    if (split_zone(key, &zone, &left) && is_zone_text(zone))
        parse_key_in_zone(out, zone, left);
}

void registry_key_parse_in(struct registry_key *out, struct bytes zone, struct bytes key)
{
    struct bytes found, left;

    *out = (struct registry_key){.type = REGISTRY_KEY_OTHER};
    if (split_zone(key, &found, &left) && bytes_equal(found, zone))
        parse_key_in_zone(out, found, left);
}

/* --- messages -------------------------------------------------------------------------------- */

/* A message goes to a log: whatever the value holds, it stays one printable line. */
static void add_printable(struct strbuf *out, const char *text, size_t size)
{
    size_t shown = size < MAX_QUOTED_SIZE ? size : MAX_QUOTED_SIZE;

    for (size_t i = 0; i < shown; i++)
        strbuf_add_char(out, text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    if (shown < size)
        strbuf_add_str(out, "...");
}

static enum err refuse(struct strbuf *why, const char *field, const char *what)
{
    if (why != NULL)
        strbuf_add_format(why, "%s: %s", field, what);
    return ERR_MALFORMED;
}

static enum err refuse_text(struct strbuf *why, const char *field, const json_t *text,
                            const char *what)
{
    if (why != NULL) {
        strbuf_add_format(why, "%s: \"", field);
        add_printable(why, json_string_value(text), json_string_length(text));
        strbuf_add_format(why, "\" %s", what);
    }
    return ERR_MALFORMED;
}

/* --- JSON ------------------------------------------------------------------------------------ */

/* The parser recurses: how deep is decided before it starts. */
static bool is_shallow(struct bytes value)
{
    bool in_string = false;
    size_t depth = 0;

    for (size_t i = 0; i < value.size; i++) {
        uint8_t c = value.data[i];
        if (c == '"')
            in_string = !in_string;
        else if (in_string && c == '\\')
            i++;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > MAX_VALUE_DEPTH)
            return false;
    }
    return true;
}

/* A JSON object, with nothing behind it and no name twice. */
enum err registry_object_load(json_t **out, struct bytes value, struct strbuf *why)
{
    json_error_t error;

    if (value.size > PEER_MAX_VALUE_SIZE)
        return refuse(why, "value", "is too large");
    if (!is_shallow(value))
        return refuse(why, "value", "is nested too deeply");
    json_t *object = json_loadb(value.size > 0 ? (const char *)value.data : "", value.size,
                                JSON_REJECT_DUPLICATES, &error);
    if (object == NULL && json_error_code(&error) == json_error_out_of_memory)
        return ERR_NO_MEMORY;
    if (object == NULL) {
        if (why != NULL) {
            strbuf_add_format(why, "value: no JSON: line %d column %d: ", error.line, error.column);
            add_printable(why, error.text, strlen(error.text));
        }
        return ERR_MALFORMED;
    }
    if (!json_is_object(object)) {
        json_decref(object);
        return refuse(why, "value", "is no JSON object");
    }
    *out = object;
    return OK;
}

/* An integer of OBJECT from 0 to MAX; OUT stays as it is without one. */
static enum err read_number(uint32_t *out, const json_t *object, const char *name, uint32_t max,
                            const char *field, struct strbuf *why)
{
    const json_t *number = json_object_get(object, name);

    if (number == NULL)
        return OK;
    if (!json_is_integer(number))
        return refuse(why, field, "is no integer");
    json_int_t value = json_integer_value(number);
    if (value < 0 || value > (json_int_t)max) {
        if (why != NULL)
            strbuf_add_format(why, "%s: %lld is not from 0 to %u", field, (long long)value,
                              (unsigned)max);
        return ERR_MALFORMED;
    }
    *out = (uint32_t)value;
    return OK;
}

/* Lower case of TEXT into OUT, which has room for it and a NUL. */
static void copy_lower(char *out, const json_t *text)
{
    const char *from = json_string_value(text);
    size_t size = json_string_length(text);

    for (size_t i = 0; i < size; i++)
        out[i] = from[i] >= 'A' && from[i] <= 'Z' ? (char)(from[i] + ('a' - 'A')) : from[i];
    out[size] = '\0';
}

bool registry_label_is_valid(const char *text, size_t size)
{
    if (size == 0 || size > PEER_NAME_MAX || text[0] == '-' || text[size - 1] == '-')
        return false;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return false;
    }
    return true;
}

/* A label of at most MAX octets, in lower case whatever the value's. OUT has room for it and a
 * NUL. */
static enum err read_label(char *out, const json_t *text, size_t max, const char *field,
                           struct strbuf *why)
{
    char label[PEER_NAME_MAX + 1];

    if (!json_is_string(text))
        return refuse(why, field, "is no string");
    if (json_string_length(text) > max)
        return refuse_text(why, field, text, "is too long");
    copy_lower(label, text);
    if (!registry_label_is_valid(label, strlen(label)))
        return refuse_text(why, field, text, "is not one label of letters, digits and hyphens");
    memcpy(out, label, strlen(label) + 1);
    return OK;
}

static bool is_unspecified(const struct ip_addr *a)
{
    static const uint8_t zeros[sizeof a->bytes];

    return memcmp(a->bytes, zeros, sizeof zeros) == 0;
}

/* NULL, or what is wrong with it. Interfaces are one host's, so an endpoint that all share has no
 * zone. */
static const char *parse_endpoint(struct ip_endpoint *out, const char *chars, size_t size)
{
    struct ip_endpoint e;

    if (memchr(chars, '%', size) != NULL)
        return "names an interface, which only one host has";
    if (ip_endpoint_parse(&e, chars, size) != OK)
        return "is no address and port (192.0.2.1:51820, [2001:db8::1]:51820)";
    e.addr = ip_unmap(e.addr);
    e.scope_id = 0;
    if (e.port == 0 || is_unspecified(&e.addr))
        return "cannot be reached";
    *out = e;
    return NULL;
}

static enum err read_endpoint(struct ip_endpoint *out, const json_t *text, struct strbuf *why)
{
    static const char field[] = "endpoint";

    if (!json_is_string(text))
        return refuse(why, field, "is no string");
    const char *wrong = parse_endpoint(out, json_string_value(text), json_string_length(text));
    return wrong == NULL ? OK : refuse_text(why, field, text, wrong);
}

/* --- zone ------------------------------------------------------------------------------------ */

void registry_zone_defaults(struct registry_zone *out)
{
    *out = (struct registry_zone){
        .ttl_s = ZONE_DEFAULT_TTL_S,
        .soa_refresh_s = ZONE_DEFAULT_REFRESH_S,
        .soa_retry_s = ZONE_DEFAULT_RETRY_S,
        .soa_expire_s = ZONE_DEFAULT_EXPIRE_S,
        .soa_minimum_s = ZONE_DEFAULT_MINIMUM_S,
    };
}

static enum err read_domain_name(struct dns_name_buf *out, const json_t *text, const char *field,
                                 struct strbuf *why)
{
    struct dns_name_buf name;

    if (!json_is_string(text))
        return refuse(why, field, "is no string");
    size_t size = json_string_length(text);
    if (size == 0 || dns_name_from_text(&name, json_string_value(text), size) != OK)
        return refuse_text(why, field, text, "is no domain name");
    dns_name_lower(out, dns_name_of(&name));
    return OK;
}

static enum err read_soa(struct registry_zone *zone, const json_t *object, struct strbuf *why)
{
    const json_t *soa = json_object_get(object, "soa");
    enum err e = OK;

    if (soa == NULL)
        return OK;
    if (!json_is_object(soa))
        return refuse(why, "soa", "is no object");
    const json_t *mname = json_object_get(soa, "mname");
    if (mname != NULL)
        e = read_domain_name(&zone->soa_mname, mname, "soa.mname", why);
    const json_t *rname = json_object_get(soa, "rname");
    if (e == OK && rname != NULL)
        e = read_domain_name(&zone->soa_rname, rname, "soa.rname", why);
    if (e == OK && memchr(zone->soa_rname.wire, '@', zone->soa_rname.size) != NULL)
        e = refuse_text(why, "soa.rname", rname, "is a mail address: write a dot for the \"@\"");

    const struct {
        const char *name, *field;
        uint32_t *out;
    } numbers[] = {
        {"refresh", "soa.refresh", &zone->soa_refresh_s},
        {"retry", "soa.retry", &zone->soa_retry_s},
        {"expire", "soa.expire", &zone->soa_expire_s},
        {"minimum", "soa.minimum", &zone->soa_minimum_s},
    };
    for (size_t i = 0; e == OK && i < ARRAY_COUNT(numbers); i++)
        e = read_number(numbers[i].out, soa, numbers[i].name, MAX_TTL_S, numbers[i].field, why);
    return e;
}

static bool has_name_server(const struct registry_zone *zone, const struct dns_name_buf *name)
{
    for (size_t i = 0; i < zone->ns_count; i++) {
        if (dns_name_same(dns_name_of(&zone->ns[i]), dns_name_of(name)))
            return true;
    }
    return false;
}

static enum err read_name_servers(struct registry_zone *zone, const json_t *object,
                                  struct strbuf *why)
{
    const json_t *list = json_object_get(object, "ns");

    if (list == NULL)
        return OK;
    if (!json_is_array(list))
        return refuse(why, "ns", "is no array");
    if (json_array_size(list) > ZONE_MAX_NAME_SERVERS)
        return refuse(why, "ns", "has too many names");
    for (size_t i = 0; i < json_array_size(list); i++) {
        struct dns_name_buf name;
        enum err e = read_domain_name(&name, json_array_get(list, i), "ns", why);
        if (e != OK)
            return e;
        if (!has_name_server(zone, &name)) /* an RRset has no record twice: RFC 2181 section 5 */
            zone->ns[zone->ns_count++] = name;
    }
    return OK;
}

enum err registry_zone_parse(struct registry_zone *out, struct bytes value, struct strbuf *why)
{
    struct registry_zone zone;
    json_t *object;

    enum err e = registry_object_load(&object, value, why);
    if (e != OK)
        return e;
    registry_zone_defaults(&zone);
    e = read_number(&zone.ttl_s, object, "ttl", MAX_TTL_S, "ttl", why);
    if (e == OK)
        e = read_soa(&zone, object, why);
    if (e == OK)
        e = read_name_servers(&zone, object, why);
    json_decref(object);
    if (e == OK)
        *out = zone;
    return e;
}

/* --- peer ------------------------------------------------------------------------------------ */

/* A prefix, or an address alone, as `wg` takes it too. */
static bool parse_prefix(struct ip_prefix *out, const char *chars, size_t size)
{
    struct ip_prefix p = {0};

    if (ip_prefix_parse(&p, chars, size) != OK) {
        if (ip_addr_parse(&p.addr, chars, size) != OK)
            return false;
        p.length = (uint8_t)(8 * ip_addr_size(&p.addr));
    }
    p = ip_prefix_unmap(p);
    ip_prefix_mask(&p);
    *out = p;
    return true;
}

static enum err read_prefix(struct ip_prefix *out, const json_t *text, struct strbuf *why)
{
    static const char field[] = "allowed_ips";

    if (!json_is_string(text))
        return refuse(why, field, "has an item that is no string");
    if (!parse_prefix(out, json_string_value(text), json_string_length(text)))
        return refuse_text(why, field, text, "is no prefix (10.0.0.2/32)");
    return OK;
}

/* A prefix with the place where it stood. */
struct placed_prefix {
    struct ip_prefix prefix;
    size_t index;
};

static int compare_prefixes(const struct ip_prefix *a, const struct ip_prefix *b)
{
    if (a->addr.family != b->addr.family)
        return a->addr.family < b->addr.family ? -1 : 1;
    if (a->length != b->length)
        return a->length < b->length ? -1 : 1;
    return memcmp(a->addr.bytes, b->addr.bytes, sizeof a->addr.bytes);
}

static int compare_placed(const void *a, const void *b)
{
    const struct placed_prefix *x = a, *y = b;
    int order = compare_prefixes(&x->prefix, &y->prefix);

    return order != 0 ? order : x->index < y->index ? -1 : x->index > y->index;
}

/* Drops what was there before, which WireGuard would ignore; keeps the order. */
static enum err drop_repeated(struct ip_prefix *prefixes, size_t *count)
{
    if (*count < 2)
        return OK;
    struct placed_prefix *sorted = calloc(*count, sizeof *sorted);
    if (sorted == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < *count; i++)
        sorted[i] = (struct placed_prefix){.prefix = prefixes[i], .index = i};
    qsort(sorted, *count, sizeof *sorted, compare_placed);
    for (size_t i = 1; i < *count; i++) {
        if (compare_prefixes(&sorted[i].prefix, &sorted[i - 1].prefix) == 0)
            prefixes[sorted[i].index].addr.family = IP_NONE;
    }
    free(sorted);
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        if (prefixes[i].addr.family != IP_NONE)
            prefixes[kept++] = prefixes[i];
    }
    *count = kept;
    return OK;
}

static enum err read_allowed_ips(struct registry_peer *peer, const json_t *object,
                                 struct arena *arena, struct strbuf *why)
{
    static const char field[] = "allowed_ips";
    const json_t *list = json_object_get(object, field);

    if (list == NULL)
        return OK;
    if (!json_is_array(list))
        return refuse(why, field, "is no array");
    size_t count = json_array_size(list);
    if (count > PEER_MAX_ALLOWED_IPS)
        return refuse(why, field, "has too many prefixes");
    struct ip_prefix *prefixes = arena_array(arena, count, sizeof *prefixes);
    if (prefixes == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        enum err e = read_prefix(&prefixes[i], json_array_get(list, i), why);
        if (e != OK)
            return e;
    }
    enum err e = drop_repeated(prefixes, &count);
    if (e != OK)
        return e;
    peer->allowed_ips = prefixes;
    peer->allowed_ip_count = count;
    return OK;
}

static bool has_group(const char *const *groups, size_t count, const char *group)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(groups[i], group) == 0)
            return true;
    }
    return false;
}

static enum err read_groups(struct registry_peer *peer, const json_t *object, struct arena *arena,
                            struct strbuf *why)
{
    static const char field[] = "groups";
    const json_t *list = json_object_get(object, field);

    if (list == NULL)
        return OK;
    if (!json_is_array(list))
        return refuse(why, field, "is no array");
    if (json_array_size(list) > PEER_MAX_GROUPS)
        return refuse(why, field, "has too many groups");
    const char **groups = arena_array(arena, json_array_size(list), sizeof *groups);
    if (groups == NULL)
        return ERR_NO_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        char group[PEER_GROUP_MAX + 1];
        enum err e = read_label(group, json_array_get(list, i), PEER_GROUP_MAX, field, why);
        if (e != OK)
            return e;
        if (has_group(groups, count, group))
            continue;
        groups[count] = arena_copy(arena, group, strlen(group) + 1);
        if (groups[count] == NULL)
            return ERR_NO_MEMORY;
        count++;
    }
    peer->groups = groups;
    peer->group_count = count;
    return OK;
}

static enum err read_peer(struct registry_peer *peer, const json_t *object, struct arena *arena,
                          struct strbuf *why)
{
    const json_t *name = json_object_get(object, "name");
    const json_t *endpoint = json_object_get(object, "endpoint");
    uint32_t keepalive_s = 0;
    enum err e = OK;

    if (name != NULL)
        e = read_label(peer->name, name, PEER_NAME_MAX, "name", why);
    if (e == OK)
        e = read_allowed_ips(peer, object, arena, why);
    if (e == OK)
        e = read_groups(peer, object, arena, why);
    if (e == OK && endpoint != NULL)
        e = read_endpoint(&peer->endpoint, endpoint, why);
    if (e == OK)
        e = read_number(&keepalive_s, object, "keepalive", UINT16_MAX, "keepalive", why);
    peer->keepalive_s = (uint16_t)keepalive_s;
    peer->has_keepalive = json_object_get(object, "keepalive") != NULL;
    return e;
}

/* --- a plain peer ---------------------------------------------------------------------------- */

static void take_plain_name(struct registry_peer *peer, struct plain *p)
{
    struct bytes name = plain_string(p);

    p->failed |= !registry_label_is_valid((const char *)name.data, name.size);
    if (!p->failed)
        memcpy(peer->name, name.data, name.size);
}

static void take_plain_endpoint(struct registry_peer *peer, struct plain *p)
{
    struct bytes text = plain_string(p);

    p->failed |= text.size == 0 ||
                 parse_endpoint(&peer->endpoint, (const char *)text.data, text.size) != NULL;
}

static void take_plain_prefixes(struct registry_peer *peer, struct plain *p, struct arena *arena)
{
    struct ip_prefix prefixes[MAX_PLAIN_PREFIXES];
    size_t count = 0;

    plain_expect(p, '[');
    do {
        struct bytes text = plain_string(p);
        p->failed |= text.size == 0 || count == MAX_PLAIN_PREFIXES ||
                     !parse_prefix(&prefixes[count], (const char *)text.data, text.size);
        count++;
    } while (plain_take(p, ','));
    plain_expect(p, ']');
    if (p->failed || drop_repeated(prefixes, &count) != OK) {
        p->failed = true;
        return;
    }
    peer->allowed_ips = arena_copy(arena, prefixes, count * sizeof prefixes[0]);
    peer->allowed_ip_count = count;
    p->failed = peer->allowed_ips == NULL;
}

/* The fields in the order in which registry_peer_format writes them, without groups. False: it is
 * written otherwise, or wrong, which is for the whole parser to say. */
static bool parse_plain_peer(struct registry_peer *out, struct bytes value, struct arena *arena)
{
    struct plain p = plain_of(value);
    struct registry_peer peer = {0};

    plain_expect(&p, '{');
    for (size_t last = 0; !p.failed;) {
        static const char *const names[] = {"name", "allowed_ips", "endpoint", "keepalive"};
        struct bytes name = plain_string(&p);
        size_t field = last;
        while (field < ARRAY_COUNT(names) && !bytes_equal(name, bytes_of_str(names[field])))
            field++;
        plain_expect(&p, ':');
        if (field == 0) {
            take_plain_name(&peer, &p);
        } else if (field == 1) {
            take_plain_prefixes(&peer, &p, arena);
        } else if (field == 2) {
            take_plain_endpoint(&peer, &p);
        } else if (field == 3) {
            peer.keepalive_s = (uint16_t)plain_number(&p, UINT16_MAX);
            peer.has_keepalive = true;
        } else {
            p.failed = true;
        }
        last = field + 1;
        if (!plain_take(&p, ','))
            break;
    }
    plain_expect(&p, '}');
    if (p.failed || p.at != p.end)
        return false;
    *out = peer;
    return true;
}

enum err registry_peer_read(struct registry_peer *out, const json_t *object, struct arena *arena,
                            struct strbuf *why)
{
    struct registry_peer peer = {0};

    enum err e = read_peer(&peer, object, arena, why);
    if (e == OK)
        *out = peer;
    return e;
}

enum err registry_peer_parse(struct registry_peer *out, struct bytes value, struct arena *arena,
                             struct strbuf *why)
{
    json_t *object;

    if (value.size > 0 && parse_plain_peer(out, value, arena))
        return OK;
    enum err e = registry_object_load(&object, value, why);
    if (e != OK)
        return e;
    e = registry_peer_read(out, object, arena, why);
    json_decref(object);
    return e;
}

/* --- observation ----------------------------------------------------------------------------- */

enum err registry_observation_parse(struct registry_observation *out, struct bytes value,
                                    struct strbuf *why)
{
    struct registry_observation o = {0};
    json_t *object;

    enum err e = registry_object_load(&object, value, why);
    if (e != OK)
        return e;
    const json_t *endpoint = json_object_get(object, "endpoint");
    const json_t *how = json_object_get(object, "how");
    const json_t *idle = json_object_get(object, "idle");
    if (endpoint == NULL)
        e = refuse(why, "endpoint", "is missing");
    else
        e = read_endpoint(&o.endpoint, endpoint, why);
    if (e == OK && how != NULL)
        e = read_label(o.how, how, sizeof o.how - 1, "how", why);
    if (e == OK && idle != NULL && !json_is_boolean(idle))
        e = refuse(why, "idle", "is neither true nor false");
    o.is_idle = json_is_true(idle);
    json_decref(object);
    if (e == OK)
        *out = o;
    return e;
}

/* --- formatting ------------------------------------------------------------------------------ */

/* An object or array under construction: whether a comma is due. */
static void next_item(struct strbuf *out, bool *has_items)
{
    if (*has_items)
        strbuf_add_char(out, ',');
    *has_items = true;
}

static void add_field(struct strbuf *out, bool *has_fields, const char *name)
{
    next_item(out, has_fields);
    strbuf_add_format(out, "\"%s\":", name);
}

/* TEXT is printable ASCII. */
static void add_string(struct strbuf *out, const char *text)
{
    strbuf_add_char(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            strbuf_add_char(out, '\\');
        strbuf_add_char(out, *text);
    }
    strbuf_add_char(out, '"');
}

static void add_domain_name(struct strbuf *out, const struct dns_name_buf *name)
{
    char text[DNS_NAME_TEXT_SIZE];

    dns_name_to_text(dns_name_of(name), text);
    add_string(out, text);
}

static void add_name_field(struct strbuf *out, bool *has_fields, const char *field,
                           const struct dns_name_buf *name)
{
    if (name->size == 0)
        return;
    add_field(out, has_fields, field);
    add_domain_name(out, name);
}

static void add_number_field(struct strbuf *out, bool *has_fields, const char *field,
                             uint32_t value, uint32_t usual)
{
    if (value == usual)
        return;
    add_field(out, has_fields, field);
    strbuf_add_format(out, "%u", (unsigned)value);
}

static void add_soa_fields(struct strbuf *out, bool *has_fields, const struct registry_zone *zone)
{
    add_name_field(out, has_fields, "mname", &zone->soa_mname);
    add_name_field(out, has_fields, "rname", &zone->soa_rname);
    add_number_field(out, has_fields, "refresh", zone->soa_refresh_s, ZONE_DEFAULT_REFRESH_S);
    add_number_field(out, has_fields, "retry", zone->soa_retry_s, ZONE_DEFAULT_RETRY_S);
    add_number_field(out, has_fields, "expire", zone->soa_expire_s, ZONE_DEFAULT_EXPIRE_S);
    add_number_field(out, has_fields, "minimum", zone->soa_minimum_s, ZONE_DEFAULT_MINIMUM_S);
}

void registry_zone_format(struct strbuf *out, const struct registry_zone *zone)
{
    struct strbuf soa = STRBUF_EMPTY;
    bool has_fields = false, has_soa_fields = false;

    strbuf_add_char(out, '{');
    add_number_field(out, &has_fields, "ttl", zone->ttl_s, ZONE_DEFAULT_TTL_S);
    add_soa_fields(&soa, &has_soa_fields, zone);
    if (has_soa_fields) {
        add_field(out, &has_fields, "soa");
        strbuf_add_format(out, "{%s}", strbuf_str(&soa));
    }
    out->failed |= soa.failed;
    strbuf_fini(&soa);
    if (zone->ns_count > 0) {
        bool has_items = false;
        add_field(out, &has_fields, "ns");
        strbuf_add_char(out, '[');
        for (size_t i = 0; i < zone->ns_count; i++) {
            next_item(out, &has_items);
            add_domain_name(out, &zone->ns[i]);
        }
        strbuf_add_char(out, ']');
    }
    strbuf_add_char(out, '}');
}

static void add_endpoint_field(struct strbuf *out, bool *has_fields,
                               const struct ip_endpoint *endpoint)
{
    char text[IP_ENDPOINT_TEXT_SIZE];

    if (endpoint->addr.family == IP_NONE)
        return;
    ip_endpoint_format(endpoint, text);
    add_field(out, has_fields, "endpoint");
    add_string(out, text);
}

static void add_allowed_ips(struct strbuf *out, const struct registry_peer *peer)
{
    bool has_items = false;

    strbuf_add_char(out, '[');
    for (size_t i = 0; i < peer->allowed_ip_count; i++) {
        char text[IP_PREFIX_TEXT_SIZE];
        ip_prefix_format(&peer->allowed_ips[i], text);
        next_item(out, &has_items);
        add_string(out, text);
    }
    strbuf_add_char(out, ']');
}

static void add_groups(struct strbuf *out, const struct registry_peer *peer)
{
    bool has_items = false;

    strbuf_add_char(out, '[');
    for (size_t i = 0; i < peer->group_count; i++) {
        next_item(out, &has_items);
        add_string(out, peer->groups[i]);
    }
    strbuf_add_char(out, ']');
}

void registry_peer_format(struct strbuf *out, const struct registry_peer *peer)
{
    bool has_fields = false;

    strbuf_add_char(out, '{');
    if (peer->name[0] != '\0') {
        add_field(out, &has_fields, "name");
        add_string(out, peer->name);
    }
    if (peer->allowed_ip_count > 0) {
        add_field(out, &has_fields, "allowed_ips");
        add_allowed_ips(out, peer);
    }
    if (peer->group_count > 0) {
        add_field(out, &has_fields, "groups");
        add_groups(out, peer);
    }
    add_endpoint_field(out, &has_fields, &peer->endpoint);
    if (peer->has_keepalive) {
        add_field(out, &has_fields, "keepalive");
        strbuf_add_format(out, "%u", (unsigned)peer->keepalive_s);
    }
    strbuf_add_char(out, '}');
}

void registry_observation_format(struct strbuf *out, const struct registry_observation *o)
{
    bool has_fields = false;

    strbuf_add_char(out, '{');
    add_endpoint_field(out, &has_fields, &o->endpoint);
    if (o->how[0] != '\0') {
        add_field(out, &has_fields, "how");
        add_string(out, o->how);
    }
    if (o->is_idle)
        strbuf_add_str(out, has_fields ? ",\"idle\":true" : "\"idle\":true");
    strbuf_add_char(out, '}');
}
