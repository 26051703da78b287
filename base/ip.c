#include "base/ip.h"

#include <net/if.h>
#include <string.h>

enum {
    V4_SIZE = 4,
    V6_SIZE = 16,
    V6_GROUP_COUNT = 8,
};

static const uint8_t v4_mapped_head[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

size_t ip_addr_size(const struct ip_addr *a)
{
    return a->family == IP_V4 ? V4_SIZE : a->family == IP_V6 ? V6_SIZE : 0;
}

static bool is_v4_mapped(const struct ip_addr *a)
{
    return a->family == IP_V6 && memcmp(a->bytes, v4_mapped_head, sizeof v4_mapped_head) == 0;
}

/* Only these addresses mean something else on every link (RFC 4007 section 4). */
static bool needs_scope(const struct ip_addr *a)
{
    const uint8_t *b = a->bytes;

    if (a->family != IP_V6)
        return false;
    return (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) ||
           (b[0] == 0xff && ((b[1] & 0x0f) == 1 || (b[1] & 0x0f) == 2));
}

/* Digits only, at least one, of a value up to MAX. Leading zeros are read, as Go's dtoi does. */
static bool parse_decimal(uint32_t *out, const char *text, size_t size, uint32_t max)
{
    uint64_t value = 0;

    if (size == 0)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text[i] - '0');
        if (value > max)
            return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool parse_v4(uint8_t out[static V4_SIZE], const char *text, size_t size)
{
    const char *end = text + size;

    for (size_t i = 0; i < V4_SIZE; i++) {
        uint32_t octet;
        const char *stop = i + 1 < V4_SIZE ? memchr(text, '.', (size_t)(end - text)) : end;

        if (!stop || !parse_decimal(&octet, text, (size_t)(stop - text), UINT8_MAX))
            return false;
        if (text[0] == '0' && stop - text > 1)
            return false; /* some read a leading zero as octal: nobody should guess */
        out[i] = (uint8_t)octet;
        text = stop + 1;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The 1 to 4 hex digits at TEXT; returns how many there are, 0 if none or too many. */
static size_t parse_group(uint8_t out[static 2], const char *text, size_t size)
{
    unsigned value = 0;
    size_t count = 0;

    while (count < size && hex_digit(text[count]) >= 0) {
        if (count == 4)
            return 0;
        value = value << 4 | (unsigned)hex_digit(text[count++]);
    }
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return count;
}

/* Moves the bytes after the "::" at GAP to the end. A "::" stands for one group at least. */
static bool spread_gap(uint8_t bytes[static V6_SIZE], size_t filled, size_t gap)
{
    if (gap == SIZE_MAX)
        return filled == V6_SIZE;
    if (filled == V6_SIZE)
        return false;
    memmove(bytes + V6_SIZE - (filled - gap), bytes + gap, filled - gap);
    memset(bytes + gap, 0, V6_SIZE - filled);
    return true;
}

static bool parse_v6(uint8_t out[static V6_SIZE], const char *text, size_t size)
{
    size_t at = 0, filled = 0, gap = SIZE_MAX; /* gap: byte index of "::" */

    if (size >= 2 && text[0] == ':' && text[1] == ':') {
        gap = 0;
        at = 2;
    }
    while (at < size) {
        uint8_t group[2];
        size_t digits = parse_group(group, text + at, size - at);

        if (digits == 0 || filled == V6_SIZE)
            return false;
        if (at + digits < size && text[at + digits] == '.') {
            /* RFC 4291 section 2.2 form 3: a dotted quad in place of the last two groups */
            if (filled > V6_SIZE - V4_SIZE || !parse_v4(out + filled, text + at, size - at))
                return false;
            filled += V4_SIZE;
            break;
        }
        memcpy(out + filled, group, 2);
        filled += 2;
        at += digits;
        if (at == size)
            break;
        if (text[at++] != ':' || at == size)
            return false;
        if (text[at] == ':') {
            if (gap != SIZE_MAX)
                return false;
            gap = filled;
            at++;
        }
    }
    return spread_gap(out, filled, gap);
}

enum err ip_addr_parse(struct ip_addr *out, const char *text, size_t size)
{
    struct ip_addr a = {0};

    if (size >= IP_ADDR_TEXT_SIZE) /* no address is longer, whatever its spelling */
        return ERR_MALFORMED;
    if (memchr(text, ':', size)) {
        a.family = IP_V6;
        if (!parse_v6(a.bytes, text, size))
            return ERR_MALFORMED;
    } else {
        a.family = IP_V4;
        if (!parse_v4(a.bytes, text, size))
            return ERR_MALFORMED;
    }
    *out = a;
    return OK;
}

static char *put_decimal(char *at, uint32_t value)
{
    char digits[10];
    size_t count = 0;

    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static char *put_v4(char *at, const uint8_t bytes[static V4_SIZE])
{
    for (size_t i = 0; i < V4_SIZE; i++) {
        if (i > 0)
            *at++ = '.';
        at = put_decimal(at, bytes[i]);
    }
    return at;
}

static char *put_group(char *at, unsigned group)
{
    static const char digits[] = "0123456789abcdef";

    for (int shift = 12; shift >= 0; shift -= 4) {
        if (group >> shift || shift == 0)
            *at++ = digits[group >> shift & 15];
    }
    return at;
}

/* The first of the longest runs of two or more zero groups (RFC 5952 section 4.2); *length is 0
 * without one. */
static size_t longest_zero_run(const unsigned groups[static V6_GROUP_COUNT], size_t *length)
{
    size_t best = 0, best_length = 0;

    for (size_t i = 0; i < V6_GROUP_COUNT; i++) {
        size_t end = i;
        while (end < V6_GROUP_COUNT && groups[end] == 0)
            end++;
        if (end - i >= 2 && end - i > best_length) {
            best = i;
            best_length = end - i;
        }
        if (end > i)
            i = end;
    }
    *length = best_length;
    return best;
}

static char *put_v6(char *at, const uint8_t bytes[static V6_SIZE])
{
    unsigned groups[V6_GROUP_COUNT];
    size_t run, run_length;

    for (size_t i = 0; i < V6_GROUP_COUNT; i++)
        groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
    run = longest_zero_run(groups, &run_length);
    for (size_t i = 0; i < V6_GROUP_COUNT; i++) {
        if (run_length > 0 && i == run) {
            *at++ = ':';
            *at++ = ':';
            i += run_length - 1;
            continue;
        }
        if (i > 0 && !(run_length > 0 && i == run + run_length))
            *at++ = ':';
        at = put_group(at, groups[i]);
    }
    return at;
}

/* Without a NUL. Nothing for IP_NONE. */
static char *put_addr(char *at, const struct ip_addr *a)
{
    if (a->family == IP_V4)
        return put_v4(at, a->bytes);
    if (is_v4_mapped(a)) {
        memcpy(at, "::ffff:", 7);
        return put_v4(at + 7, a->bytes + sizeof v4_mapped_head);
    }
    if (a->family == IP_V6)
        return put_v6(at, a->bytes);
    return at;
}

size_t ip_addr_format(const struct ip_addr *a, char out[static IP_ADDR_TEXT_SIZE])
{
    char *end = put_addr(out, a);

    *end = '\0';
    return (size_t)(end - out);
}

struct ip_addr ip_unmap(struct ip_addr a)
{
    if (!is_v4_mapped(&a))
        return a;
    struct ip_addr v4 = {.family = IP_V4};
    memcpy(v4.bytes, a.bytes + sizeof v4_mapped_head, V4_SIZE);
    return v4;
}

bool ip_addr_equal(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

enum err ip_prefix_parse(struct ip_prefix *out, const char *text, size_t size)
{
    struct ip_prefix p = {0};
    const char *slash = memchr(text, '/', size);
    uint32_t length;

    if (!slash || ip_addr_parse(&p.addr, text, (size_t)(slash - text)) != OK)
        return ERR_MALFORMED;
    if (!parse_decimal(&length, slash + 1, (size_t)(text + size - slash) - 1,
                       (uint32_t)ip_addr_size(&p.addr) * 8))
        return ERR_MALFORMED;
    p.length = (uint8_t)length;
    *out = p;
    return OK;
}

/* The bits of byte INDEX that a prefix of LENGTH bits covers. */
static uint8_t mask_byte(size_t length, size_t index)
{
    if (length >= 8 * (index + 1))
        return 0xff;
    if (length <= 8 * index)
        return 0;
    return (uint8_t)(0xff00u >> (length - 8 * index));
}

void ip_prefix_mask(struct ip_prefix *p)
{
    for (size_t i = 0; i < ip_addr_size(&p->addr); i++)
        p->addr.bytes[i] &= mask_byte(p->length, i);
}

size_t ip_prefix_format(const struct ip_prefix *p, char out[static IP_PREFIX_TEXT_SIZE])
{
    char *at = put_addr(out, &p->addr);

    *at++ = '/';
    at = put_decimal(at, p->length);
    *at = '\0';
    return (size_t)(at - out);
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *addr)
{
    if (p->addr.family != addr->family || addr->family == IP_NONE)
        return false;
    for (size_t i = 0; i < ip_addr_size(addr); i++) {
        if ((p->addr.bytes[i] ^ addr->bytes[i]) & mask_byte(p->length, i))
            return false;
    }
    return true;
}

/* A zone by number or by interface name; 0 when unknown. */
static uint32_t scope_from_text(const char *text, size_t size)
{
    char name[IF_NAMESIZE];
    uint32_t scope;

    if (parse_decimal(&scope, text, size, UINT32_MAX))
        return scope;
    if (size >= sizeof name || memchr(text, '\0', size))
        return 0;
    memcpy(name, text, size);
    name[size] = '\0';
    return if_nametoindex(name);
}

/* What stands between the brackets: "addr" or "addr%scope", IPv6 only. */
static bool parse_bracketed(struct ip_endpoint *e, const char *text, size_t size)
{
    const char *percent = memchr(text, '%', size);
    size_t addr_size = percent ? (size_t)(percent - text) : size;

    if (ip_addr_parse(&e->addr, text, addr_size) != OK || e->addr.family != IP_V6)
        return false;
    if (!percent)
        return true;
    if (addr_size + 1 == size)
        return false;
    if (needs_scope(&e->addr))
        e->scope_id = scope_from_text(percent + 1, size - addr_size - 1);
    return true;
}

enum err ip_endpoint_parse(struct ip_endpoint *out, const char *text, size_t size)
{
    struct ip_endpoint e = {0};
    const char *colon = memrchr(text, ':', size);
    uint32_t port;

    if (!colon || !parse_decimal(&port, colon + 1, (size_t)(text + size - colon) - 1, UINT16_MAX))
        return ERR_MALFORMED;
    size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        if (!parse_bracketed(&e, text + 1, size - 2))
            return ERR_MALFORMED;
    } else if (ip_addr_parse(&e.addr, text, size) != OK || e.addr.family != IP_V4) {
        return ERR_MALFORMED;
    }
    e.port = (uint16_t)port;
    *out = e;
    return OK;
}

size_t ip_endpoint_format(const struct ip_endpoint *e, char out[static IP_ENDPOINT_TEXT_SIZE])
{
    bool brackets = e->addr.family == IP_V6;
    char *at = out;

    if (brackets)
        *at++ = '[';
    at = put_addr(at, &e->addr);
    if (e->scope_id != 0 && brackets) {
        *at++ = '%';
        at = put_decimal(at, e->scope_id);
    }
    if (brackets)
        *at++ = ']';
    *at++ = ':';
    at = put_decimal(at, e->port);
    *at = '\0';
    return (size_t)(at - out);
}

bool ip_endpoint_equal(const struct ip_endpoint *a, const struct ip_endpoint *b)
{
    return a->port == b->port && a->scope_id == b->scope_id && ip_addr_equal(&a->addr, &b->addr);
}

enum err ip_endpoint_from_sockaddr(struct ip_endpoint *out, const struct sockaddr *sa, size_t size)
{
    struct ip_endpoint e = {0};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    sa_family_t family;

    if (size < offsetof(struct sockaddr, sa_family) + sizeof family)
        return ERR_INVALID;
    family = sa->sa_family;
    if (family == AF_INET && size >= sizeof v4) {
        memcpy(&v4, sa, sizeof v4);
        e.addr.family = IP_V4;
        memcpy(e.addr.bytes, &v4.sin_addr, V4_SIZE);
        e.port = ntohs(v4.sin_port);
    } else if (family == AF_INET6 && size >= sizeof v6) {
        memcpy(&v6, sa, sizeof v6);
        e.addr.family = IP_V6;
        memcpy(e.addr.bytes, &v6.sin6_addr, V6_SIZE);
        e.port = ntohs(v6.sin6_port);
        e.scope_id = needs_scope(&e.addr) ? v6.sin6_scope_id : 0;
    } else {
        return ERR_INVALID;
    }
    *out = e;
    return OK;
}

socklen_t ip_endpoint_to_sockaddr(const struct ip_endpoint *e, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (e->addr.family == IP_V4) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(e->port)};
        memcpy(&v4.sin_addr, e->addr.bytes, V4_SIZE);
        memcpy(out, &v4, sizeof v4);
        return sizeof v4;
    }
    if (e->addr.family == IP_V6) {
        struct sockaddr_in6 v6 = {
            .sin6_family = AF_INET6, .sin6_port = htons(e->port), .sin6_scope_id = e->scope_id};
        memcpy(&v6.sin6_addr, e->addr.bytes, V6_SIZE);
        memcpy(out, &v6, sizeof v6);
        return sizeof v6;
    }
    return 0;
}

struct ip_prefix ip_prefix_unmap(struct ip_prefix p)
{
    enum {
        MAPPED_BITS = 96
    };
    struct ip_addr addr = ip_unmap(p.addr);
    if (p.addr.family != IP_V6 || addr.family != IP_V4 || p.length < MAPPED_BITS)
        return p;
    return (struct ip_prefix){.addr = addr, .length = (uint8_t)(p.length - MAPPED_BITS)};
}
