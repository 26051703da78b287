#include "dnsd/corefile/zone_key.h"

#include "base/ip.h"
#include "dnsd/gotext.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    ZONE_MAX_LENGTH = 255, /* characters, as CoreDNS counts */
    NAME_MAX_LENGTH = 256, /* miekg/dns's bound for a name's octets and dots */
    LABEL_MAX_LENGTH = 63,
    PORT_TEXT_SIZE = 24, /* any int64, with NUL */
    REVERSE_TEXT_SIZE = 2 * 32 + sizeof("ip6.arpa."),
    PREFIX_NUMBER_MAX = 0xFFFFFF, /* Go reads no longer number */
};

static const struct {
    const char *name;
    const char *default_port; /* NULL: the caller's */
} transports[] = {
    [TRANSPORT_DNS] = {"dns", NULL},      [TRANSPORT_TLS] = {"tls", "853"},
    [TRANSPORT_QUIC] = {"quic", "853"},   [TRANSPORT_GRPC] = {"grpc", "443"},
    [TRANSPORT_HTTPS] = {"https", "443"},
};

const char *transport_name(enum transport t)
{
    return transports[t].name;
}

/* TEXT without "SCHEME://"; true if it had that scheme. */
static bool strip_scheme(const char **text, const char *scheme)
{
    size_t size = strlen(scheme);
    if (strncmp(*text, scheme, size) != 0 || strncmp(*text + size, "://", 3) != 0)
        return false;
    *text += size + 3;
    return true;
}

static enum transport strip_transport(const char **text)
{
    for (size_t i = 0; i < ARRAY_COUNT(transports); i++) {
        if (strip_scheme(text, transports[i].name))
            return (enum transport)i;
    }
    return TRANSPORT_DNS;
}

static bool is_ddd(const char *s, size_t size)
{
    return size >= 3 && isdigit((unsigned char)s[0]) && isdigit((unsigned char)s[1]) &&
           isdigit((unsigned char)s[2]);
}

/* Whether S ends in a dot that is not escaped. miekg/dns counts from the first byte of the last
 * character before the backslashes, which matters for characters beyond ASCII. */
static bool is_fqdn(const char *s, size_t size)
{
    if (size == 0 || s[size - 1] != '.')
        return false;
    size_t end = size - 1, at = end;
    while (at > 0 && s[at - 1] == '\\')
        at--;
    if (at == end)
        return true;
    size_t width = at > 0 ? 1 : 0;
    while (width > 0 && width < at && ((unsigned char)s[at - width] & 0xC0) == 0x80)
        width++;
    return at > 0 ? (end - at + width) % 2 != 0 : (end + 1) % 2 != 0;
}

/* A name in the making: the text with its final dot, which may be longer than a zone may be. */
struct name_text {
    char text[ZONE_MAX_LENGTH + 2];
    size_t size;
};

/* SIZE is at most ZONE_MAX_LENGTH. */
static void make_fqdn(struct name_text *out, const char *s, size_t size)
{
    memcpy(out->text, s, size);
    out->size = size;
    if (!is_fqdn(s, size))
        out->text[out->size++] = '.';
    out->text[out->size] = '\0';
}

/* miekg/dns's IsDomainName: labels up to 63 octets and none empty. Any character may be escaped; an
 * escape counts as one octet. */
static bool is_domain_name(const char *text, size_t text_size)
{
    struct name_text fqdn;
    size_t label = 0, total = 0;
    if (text_size == 0)
        return false;
    make_fqdn(&fqdn, text, text_size);
    for (size_t i = 0; i < fqdn.size; i++) {
        if (fqdn.text[i] == '\\') {
            if (total + 1 > NAME_MAX_LENGTH)
                return false;
            i += is_ddd(fqdn.text + i + 1, fqdn.size - i - 1) ? 3 : 1;
            label++;
        } else if (fqdn.text[i] != '.') {
            label++;
        } else {
            bool root = i == 0 && fqdn.size == 1;
            total += 1 + label;
            if ((label == 0 && !root) || label > LABEL_MAX_LENGTH || total > NAME_MAX_LENGTH)
                return false;
            label = 0;
        }
    }
    return true;
}

/* Ports. */

/* Go's Atoi, printed again: an optional sign and decimal digits within 64 bits. */
static bool read_port(const char *text, char out[static PORT_TEXT_SIZE])
{
    const char *digits = text + (*text == '+' || *text == '-');
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits))
        return false;
    errno = 0;
    intmax_t number = strtoimax(text, NULL, 10);
    if (errno == ERANGE)
        return false;
    snprintf(out, PORT_TEXT_SIZE, "%" PRIdMAX, number);
    return true;
}

/* Reverse zones. */

/* Go's ParseCIDR: the length may have leading zeros. */
static bool read_cidr(const char *text, size_t size, struct ip_prefix *out)
{
    const char *slash = memchr(text, '/', size);
    struct ip_addr addr;
    if (slash == NULL || ip_addr_parse(&addr, text, (size_t)(slash - text)) != OK)
        return false;
    unsigned length = 0;
    const char *end = text + size;
    if (slash + 1 == end)
        return false;
    for (const char *c = slash + 1; c < end; c++) {
        if (!isdigit((unsigned char)*c) || length >= PREFIX_NUMBER_MAX)
            return false;
        length = 10 * length + (unsigned)(*c - '0');
    }
    if (length > 8 * ip_addr_size(&addr))
        return false;
    *out = (struct ip_prefix){.addr = addr, .length = (uint8_t)length};
    ip_prefix_mask(out);
    return true;
}

/* How many bits one label of a reverse name stands for. */
static unsigned label_bits(const struct ip_prefix *p)
{
    return p->addr.family == IP_V4 ? 8 : 4;
}

/* The value of label LABEL of ADDR, counted from the address's start. */
static unsigned label_value(const struct ip_prefix *p, unsigned label)
{
    if (label_bits(p) == 8)
        return p->addr.bytes[label];
    unsigned byte = p->addr.bytes[label / 2];
    return label % 2 == 0 ? byte >> 4 : byte & 0xF;
}

/* The reverse zone of the first LABELS labels, the last of which is raised by STEP. */
static char *reverse_zone(const struct ip_prefix *p, unsigned labels, unsigned step,
                          struct arena *arena)
{
    char text[REVERSE_TEXT_SIZE];
    size_t size = 0;
    for (unsigned i = labels; i > 0; i--) {
        unsigned value = label_value(p, i - 1) + (i == labels ? step : 0);
        size += (size_t)snprintf(text + size, sizeof(text) - size,
                                 p->addr.family == IP_V4 ? "%u." : "%x.", value);
    }
    size += (size_t)snprintf(text + size, sizeof(text) - size, "%s",
                             p->addr.family == IP_V4 ? "in-addr.arpa." : "ip6.arpa.");
    return arena_copy(arena, text, size + 1);
}

/* The reverse zones of P: one when its length ends on a label, else those of all the prefixes that
 * fill it up to the next label (at most 128 for IPv4, 8 for IPv6). */
static enum err reverse_zones(const struct ip_prefix *p, struct arena *arena, const char ***out,
                              size_t *count)
{
    unsigned bits = label_bits(p);
    unsigned labels = (p->length + bits - 1) / bits;
    size_t n = (size_t)1 << (labels * bits - p->length);
    const char **zones = arena_array(arena, n, sizeof(*zones));
    if (zones == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        zones[i] = reverse_zone(p, labels, (unsigned)i, arena);
        if (zones[i] == NULL)
            return ERR_NO_MEMORY;
    }
    *out = zones;
    *count = n;
    return OK;
}

/* Keys. */

/* What a key without its scheme says. */
struct host_port {
    const char **hosts; /* as written, or a prefix's reverse zones */
    size_t count;
    const char *port; /* NULL without */
};

static enum err check_name(const char *text, size_t size, struct strbuf *error)
{
    if (size > ZONE_MAX_LENGTH) {
        strbuf_add_format(error, "specified zone is too long: %zu > %d", size, ZONE_MAX_LENGTH);
        return ERR_MALFORMED;
    }
    if (!is_domain_name(text, size)) {
        strbuf_add_str(error, "zone is not a valid domain name: ");
        strbuf_add(error, text, size);
        return ERR_MALFORMED;
    }
    return OK;
}

/* Takes a final ":number" off S, whose length is then *SIZE. A colon with nothing behind it is an
 * error, and so (CoreDNS searches for it) is an empty S. */
static enum err split_port(const char *s, struct arena *arena, size_t *size, const char **port,
                           struct strbuf *error)
{
    const char *colon = strrchr(s, ':');
    char text[PORT_TEXT_SIZE];
    *size = strlen(s);
    *port = NULL;
    if (s[0] == '\0' || (colon != NULL && colon[1] == '\0')) {
        strbuf_add_str(error, "expecting data after last colon: ");
        quote_add(error, s);
        return ERR_MALFORMED;
    }
    if (colon == NULL || !read_port(colon + 1, text))
        return OK;
    *size = (size_t)(colon - s);
    *port = arena_copy(arena, text, strlen(text) + 1);
    return *port != NULL ? OK : ERR_NO_MEMORY;
}

static enum err single_host(const char *s, size_t size, struct arena *arena, struct host_port *out)
{
    const char **hosts = arena_array(arena, 1, sizeof(*hosts));
    char *host = arena_alloc(arena, size + 1);
    if (hosts == NULL || host == NULL)
        return ERR_NO_MEMORY;
    memcpy(host, s, size);
    host[size] = '\0';
    hosts[0] = host;
    out->hosts = hosts;
    out->count = 1;
    return OK;
}

/* plugin.SplitHostPort. */
static enum err split_host_port(const char *s, struct arena *arena, struct host_port *out,
                                struct strbuf *error)
{
    size_t size;
    struct ip_prefix prefix;
    enum err err = split_port(s, arena, &size, &out->port, error);
    if (err == OK)
        err = check_name(s, size, error);
    if (err != OK)
        return err;
    if (!read_cidr(s, size, &prefix))
        return single_host(s, size, arena, out);
    if (s[0] == ':' || (s[0] == '0' && memchr(s, ':', size) != NULL)) {
        strbuf_add_str(error, "invalid CIDR ");
        strbuf_add(error, s, size);
        return ERR_MALFORMED;
    }
    return reverse_zones(&prefix, arena, &out->hosts, &out->count);
}

/* HOST fully qualified, from ARENA; what CoreDNS checks again once it is. */
static enum err qualify(const char *host, struct arena *arena, const char **out,
                        struct strbuf *error)
{
    struct name_text fqdn;
    make_fqdn(&fqdn, host, strlen(host));
    enum err err = check_name(fqdn.text, fqdn.size, error);
    if (err != OK)
        return err;
    *out = arena_copy(arena, fqdn.text, fqdn.size + 1);
    return *out != NULL ? OK : ERR_NO_MEMORY;
}

enum err zone_key_parse(const char *key, const char *default_port, struct arena *arena,
                        struct zone_key **out, size_t *count, struct strbuf *error)
{
    struct host_port split;
    const char *text = key;
    if (strip_scheme(&text, "unix")) {
        strbuf_add_format(error, "no server can listen on %s", key);
        return ERR_UNSUPPORTED;
    }
    enum transport transport = strip_transport(&text);
    enum err err = split_host_port(text, arena, &split, error);
    if (err != OK)
        return err;
    if (split.port == NULL)
        split.port = transports[transport].default_port;
    if (split.port == NULL)
        split.port = arena_copy(arena, default_port, strlen(default_port) + 1);
    struct zone_key *keys = arena_array(arena, split.count, sizeof(*keys));
    if (keys == NULL || split.port == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; err == OK && i < split.count; i++) {
        keys[i] = (struct zone_key){.port = split.port, .transport = transport};
        err = qualify(split.hosts[i], arena, &keys[i].zone, error);
    }
    if (err != OK)
        return err;
    *out = keys;
    *count = split.count;
    return OK;
}

/* Zone arguments. */

/* HOST fully qualified and in lower case, or NULL without memory. */
static const char *normalize(const char *host, struct arena *arena)
{
    struct name_text fqdn;
    make_fqdn(&fqdn, host, strlen(host));
    for (size_t i = 0; i < fqdn.size; i++) {
        if (fqdn.text[i] >= 'A' && fqdn.text[i] <= 'Z')
            fqdn.text[i] = (char)(fqdn.text[i] - 'A' + 'a');
    }
    return arena_copy(arena, fqdn.text, fqdn.size + 1);
}

enum err zone_arg_normalize(const char *text, struct arena *arena, const char ***zones,
                            size_t *count)
{
    struct strbuf ignored = STRBUF_EMPTY;
    struct host_port split = {0};
    if (!strip_scheme(&text, "unix"))
        (void)strip_transport(&text);
    enum err err = split_host_port(text, arena, &split, &ignored);
    strbuf_fini(&ignored);
    if (err == ERR_MALFORMED) {
        *zones = NULL;
        *count = 0;
        return OK;
    }
    for (size_t i = 0; err == OK && i < split.count; i++) {
        split.hosts[i] = normalize(split.hosts[i], arena);
        if (split.hosts[i] == NULL)
            err = ERR_NO_MEMORY;
    }
    if (err != OK)
        return err;
    *zones = split.hosts;
    *count = split.count;
    return OK;
}

enum err zone_origins(const char *const *args, size_t arg_count, const char *const *keys,
                      size_t key_count, struct arena *arena, const char ***zones, size_t *count)
{
    const char *const *from = arg_count > 0 ? args : keys;
    size_t from_count = arg_count > 0 ? arg_count : key_count, total = 0;
    const char ***each = arena_array(arena, from_count, sizeof(*each));
    size_t *each_count = arena_array(arena, from_count, sizeof(*each_count));
    if (each == NULL || each_count == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < from_count; i++) {
        enum err err = zone_arg_normalize(from[i], arena, &each[i], &each_count[i]);
        if (err != OK)
            return err;
        total += each_count[i];
    }
    const char **all = arena_array(arena, total, sizeof(*all));
    if (all == NULL)
        return ERR_NO_MEMORY;
    size_t n = 0;
    for (size_t i = 0; i < from_count; i++) {
        for (size_t j = 0; j < each_count[i]; j++)
            all[n++] = each[i][j];
    }
    *zones = all;
    *count = n;
    return OK;
}
