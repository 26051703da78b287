#include "peer.h"

#include "base/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    TXT_STRING_MAX_SIZE = 255,
    ITEM_SIZE = sizeof(struct item),
    SMALL_PREFIXES = 4, /* their text is made once, and its size need not be known before */
    SMALL_TEXT_SIZE = 1 + 8 + SMALL_PREFIXES * IP_PREFIX_TEXT_SIZE,
};

static const char allowed_head[] = "allowed=";

/* --- the TXT's last strings ------------------------------------------------------------------- */

/* `allowed=` and the prefixes, comma-separated, in one string where they fit; else cut behind a
 * comma, so that the strings put together are the list (as the wgsd zone does). OUT NULL: only the
 * size. */
static size_t compose_allowed(uint8_t *out, const struct ip_prefix *prefixes, size_t count)
{
    size_t start = 0; /* of the string that is open: its length octet */
    size_t at = 1 + strlen(allowed_head);
    if (out != NULL)
        memcpy(out + 1, allowed_head, strlen(allowed_head));
    for (size_t i = 0; i < count; i++) {
        char text[IP_PREFIX_TEXT_SIZE];
        size_t size = ip_prefix_format(&prefixes[i], text);
        if (i + 1 < count)
            text[size++] = ',';
        if (at - start - 1 + size > TXT_STRING_MAX_SIZE) {
            if (out != NULL)
                out[start] = (uint8_t)(at - start - 1);
            start = at++;
        }
        if (out != NULL)
            memcpy(out + at, text, size);
        at += size;
    }
    if (out != NULL)
        out[start] = (uint8_t)(at - start - 1);
    return at;
}

/* --- layout ----------------------------------------------------------------------------------- */

static struct item *put_item(uint8_t *start, size_t at, const void *bytes, size_t size)
{
    struct item *item = (struct item *)(start + at);
    item->back[0] = (uint8_t)at;
    item->back[1] = (uint8_t)(at >> 8);
    item->back[2] = (uint8_t)(at >> 16);
    item->size = (uint8_t)size;
    memcpy(item->bytes, bytes, size);
    return item;
}

static size_t prefixes_size(const struct ip_prefix *prefixes, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += ITEM_SIZE + ip_addr_size(&prefixes[i].addr) + 1;
    return size;
}

static void set_address(struct peer *p, const struct ip_addr *addr)
{
    memcpy((uint8_t *)p + p->txt_at + p->txt_size, addr->bytes, p->address_size);
}

static void fill(struct peer *p, const struct registry_peer *peer, size_t static_at)
{
    uint8_t *start = (uint8_t *)p;
    memcpy(start + static_at, peer->endpoint.addr.bytes, p->static_size);
    size_t at = static_at + p->static_size;
    struct item *item = put_item(start, at, peer->name, strlen(peer->name));
    item->bytes[item->size] = 0; /* so that a view can lend it */
    at += ITEM_SIZE + item->size + 1u;
    for (size_t i = 0; i < peer->allowed_ip_count; i++) {
        const struct ip_prefix *prefix = &peer->allowed_ips[i];
        item = put_item(start, at, prefix->addr.bytes, ip_addr_size(&prefix->addr));
        item->bytes[item->size] = prefix->length;
        p->has_host_address |= item_is_host(item);
        at += ITEM_SIZE + item->size + 1u;
    }
    assert(at == p->txt_at);
}

enum err peer_create(struct peer **out, const uint8_t key[static KEY_SIZE],
                     const struct registry_peer *peer, size_t group_count,
                     const struct ip_endpoint *endpoint)
{
    static const struct registry_peer nothing;
    bool has_record = peer != NULL;
    if (!has_record)
        peer = &nothing;
    assert(peer->allowed_ip_count <= PEER_MAX_ALLOWED_IPS && group_count <= PEER_MAX_GROUPS);

    uint8_t text[SMALL_TEXT_SIZE];
    bool is_small = peer->allowed_ip_count <= SMALL_PREFIXES;
    size_t txt_size =
        compose_allowed(is_small ? text : NULL, peer->allowed_ips, peer->allowed_ip_count);
    if (TXT_HEAD_SIZE + txt_size > TXT_MAX_SIZE)
        txt_size = 0;
    size_t static_at = sizeof(struct peer) + group_count * sizeof(struct group_ref);
    size_t txt_at = static_at + ip_addr_size(&peer->endpoint.addr) + ITEM_SIZE +
                    strlen(peer->name) + 1 +
                    prefixes_size(peer->allowed_ips, peer->allowed_ip_count);
    size_t address_size = ip_addr_size(&endpoint->addr);
    struct peer *p = malloc(txt_at + txt_size + address_size);
    if (p == NULL)
        return ERR_NO_MEMORY;
    *p = (struct peer){
        .place = PLACE_NONE,
        .txt_at = (uint32_t)txt_at,
        .txt_size = (uint16_t)txt_size,
        .port = endpoint->port,
        .static_port = peer->endpoint.port,
        .keepalive_s = peer->keepalive_s,
        .prefix_count = (uint16_t)peer->allowed_ip_count,
        .group_count = (uint8_t)group_count,
        .address_size = (uint8_t)address_size,
        .static_size = (uint8_t)ip_addr_size(&peer->endpoint.addr),
        .has_record = has_record,
        .has_keepalive = peer->has_keepalive,
    };
    memcpy(p->key, key, KEY_SIZE);
    fill(p, peer, static_at);
    if (is_small)
        memcpy((uint8_t *)p + txt_at, text, txt_size);
    else if (txt_size > 0)
        compose_allowed((uint8_t *)p + txt_at, peer->allowed_ips, peer->allowed_ip_count);
    set_address(p, &endpoint->addr);
    *out = p;
    return OK;
}

enum err peer_clone(struct peer **out, const struct peer *old, const struct ip_endpoint *endpoint)
{
    size_t kept = (size_t)old->txt_at + old->txt_size;
    size_t address_size = ip_addr_size(&endpoint->addr);
    struct peer *p = malloc(kept + address_size);
    if (p == NULL)
        return ERR_NO_MEMORY;
    memcpy(p, old, kept);
    p->address_size = (uint8_t)address_size;
    p->port = endpoint->port;
    set_address(p, &endpoint->addr);
    *out = p;
    return OK;
}

size_t peer_size(const struct peer *p)
{
    return (size_t)p->txt_at + p->txt_size + p->address_size;
}

/* --- reading it back -------------------------------------------------------------------------- */

static struct ip_addr addr_of(const uint8_t *bytes, size_t size)
{
    struct ip_addr addr = {.family = size == 4 ? IP_V4 : size == 16 ? IP_V6 : IP_NONE};
    memcpy(addr.bytes, bytes, size);
    return addr;
}

void peer_published_endpoint(const struct peer *p, struct ip_endpoint *out)
{
    *out = (struct ip_endpoint){.addr = addr_of(peer_address(p), p->address_size), .port = p->port};
}

void peer_static_endpoint(const struct peer *p, struct ip_endpoint *out)
{
    *out = (struct ip_endpoint){.addr = addr_of(peer_bytes(p, peer_static_at(p)), p->static_size),
                                .port = p->static_port};
}

void peer_prefix(const struct item *item, struct ip_prefix *out)
{
    *out = (struct ip_prefix){.addr = addr_of(item->bytes, item->size),
                              .length = item->bytes[item->size]};
}
