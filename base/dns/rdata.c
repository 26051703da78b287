#include "rdata.h"

#include "base/attr.h"

#include <string.h>

/* Numbers of types that only this file knows are IANA's. */
static const char *const layouts[] = {
    [1] = "4",           /* A */
    [2] = "c",           /* NS */
    [3] = "c",           /* MD */
    [4] = "c",           /* MF */
    [5] = "c",           /* CNAME */
    [6] = "cc44444",     /* SOA */
    [7] = "c",           /* MB */
    [8] = "c",           /* MG */
    [9] = "c",           /* MR */
    [12] = "c",          /* PTR */
    [13] = "ss",         /* HINFO */
    [14] = "cc",         /* MINFO */
    [15] = "2c",         /* MX */
    [16] = "t",          /* TXT */
    [17] = "nn",         /* RP */
    [18] = "2n",         /* AFSDB */
    [19] = "s",          /* X25 */
    [21] = "2n",         /* RT */
    [23] = "n",          /* NSAP-PTR */
    [24] = "2114442nr",  /* SIG */
    [25] = "211r",       /* KEY */
    [26] = "2nn",        /* PX */
    [27] = "sss",        /* GPOS */
    [28] = "Q",          /* AAAA */
    [29] = "1111444",    /* LOC */
    [33] = "222n",       /* SRV */
    [35] = "22sssn",     /* NAPTR */
    [36] = "2n",         /* KX */
    [37] = "221r",       /* CERT */
    [39] = "n",          /* DNAME */
    [41] = "o",          /* OPT */
    [42] = "p",          /* APL */
    [43] = "211r",       /* DS */
    [44] = "11r",        /* SSHFP */
    [45] = "111gr",      /* IPSECKEY */
    [46] = "2114442nr",  /* RRSIG */
    [47] = "nb",         /* NSEC */
    [48] = "211r",       /* DNSKEY */
    [50] = "1121h1hb",   /* NSEC3 */
    [51] = "1121h",      /* NSEC3PARAM */
    [52] = "111r",       /* TLSA */
    [53] = "111r",       /* SMIMEA */
    [55] = "112iN",      /* HIP */
    [56] = "t",          /* NINFO */
    [57] = "211r",       /* RKEY */
    [58] = "nn",         /* TALINK */
    [59] = "211r",       /* CDS */
    [60] = "211r",       /* CDNSKEY */
    [62] = "42b",        /* CSYNC */
    [63] = "411r",       /* ZONEMD */
    [64] = "2nv",        /* SVCB */
    [65] = "2nv",        /* HTTPS */
    [99] = "t",          /* SPF */
    [100] = "s",         /* UINFO */
    [101] = "4",         /* UID */
    [102] = "4",         /* GID */
    [104] = "28",        /* NID */
    [105] = "24",        /* L32 */
    [106] = "28",        /* L64 */
    [107] = "2n",        /* LP */
    [108] = "6",         /* EUI48 */
    [109] = "8",         /* EUI64 */
    [249] = "n44222H2H", /* TKEY */
    [250] = "n622H222H", /* TSIG */
    [255] = "",          /* ANY */
    [256] = "22r",       /* URI */
    [257] = "1sr",       /* CAA */
    [258] = "t",         /* AVC */
    [260] = "11g",       /* AMTRELAY */
};

const char *dns_rdata_layout(uint16_t type)
{
    if (type >= 32768 && type <= 32769) /* TA, DLV */
        return "211r";
    const char *layout = type < ARRAY_COUNT(layouts) ? layouts[type] : NULL;
    return layout != NULL ? layout : "r";
}

static bool at_end(const struct reader *r)
{
    return reader_left(r) == 0;
}

static void skip(struct reader *r, size_t size)
{
    (void)read_bytes(r, size);
}

/* Reads a name and returns by how much it grows uncompressed. */
static size_t read_name(struct reader *r)
{
    struct dns_name_buf name;
    size_t start = r->offset;
    if (dns_name_read(&name, r) != OK)
        return 0;
    return name.size - (r->offset - start); /* may wrap below zero: a sum of such is meant */
}

/* RFC 4034 section 4.1.2: windows in rising order, one to 32 octets each. */
static void read_bitmap(struct reader *r)
{
    int last = -1;
    while (!at_end(r)) {
        int window = read_u8(r);
        uint8_t size = read_u8(r);
        skip(r, size);
        if (window <= last || size == 0 || size > 32)
            r->failed = true;
        last = window;
    }
}

/* RFC 3123 section 4: the address part has no trailing zero octets. */
static void read_prefixes(struct reader *r)
{
    while (!at_end(r)) {
        uint16_t family = read_u16(r);
        uint8_t prefix = read_u8(r);
        size_t size = read_u8(r) & 0x7F;
        const uint8_t *address = read_bytes(r, size);
        size_t address_size = family == 1 ? 4 : 16;
        if (address == NULL || (family != 1 && family != 2) || prefix > 8 * address_size ||
            size > address_size || (size > 0 && address[size - 1] == 0))
            r->failed = true;
    }
}

/* RFC 9460 section 2.2 and 7: what miekg/dns 1.1.55 checks of each SvcParamValue. */
static bool service_value_ok(uint16_t key, const uint8_t *value, size_t size)
{
    static const uint8_t mapped_v4[12] = {[10] = 0xFF, [11] = 0xFF};
    switch (key) {
    case 0: /* mandatory */
        return size % 2 == 0;
    case 1: { /* alpn */
        struct reader r = reader_of(value, size);
        while (!at_end(&r))
            skip(&r, read_u8(&r));
        return !r.failed;
    }
    case 2: /* no-default-alpn */
        return size == 0;
    case 3: /* port */
        return size == 2;
    case 4: /* ipv4hint */
        return size > 0 && size % 4 == 0;
    case 6: /* ipv6hint */
        for (size_t i = 0; i + 16 <= size; i += 16) {
            if (memcmp(value + i, mapped_v4, sizeof mapped_v4) == 0)
                return false;
        }
        return size > 0 && size % 16 == 0;
    case UINT16_MAX: /* reserved */
        return false;
    default:
        return true;
    }
}

static void read_service_params(struct reader *r)
{
    int last = -1;
    while (!at_end(r)) {
        uint16_t key = read_u16(r);
        uint16_t size = read_u16(r);
        const uint8_t *value = read_bytes(r, size);
        if (value == NULL || key <= last || !service_value_ok(key, value, size))
            r->failed = true;
        last = key;
    }
}

static size_t read_gateway(struct reader *r, uint8_t kind)
{
    switch (kind) {
    case 1:
        skip(r, 4);
        return 0;
    case 2:
        skip(r, 16);
        return 0;
    case 3:
        return read_name(r);
    default:
        return 0;
    }
}

/* Reads one field of an rdata that starts at RDATA; returns by how much its names grow. */
static size_t read_field(char field, struct reader *r, const uint8_t *rdata)
{
    size_t growth = 0;
    switch (field) {
    case '1':
    case '2':
    case '4':
    case '6':
    case '8':
        skip(r, (size_t)(field - '0'));
        break;
    case 'Q':
        skip(r, 16);
        break;
    case 'c':
    case 'n':
        growth = read_name(r);
        break;
    case 'N':
        while (!at_end(r))
            growth += read_name(r);
        break;
    case 's':
        skip(r, read_u8(r));
        break;
    case 't':
        while (!at_end(r))
            skip(r, read_u8(r));
        break;
    case 'h':
        skip(r, r->data[r->offset - 1]);
        break;
    case 'H':
        skip(r, (size_t)r->data[r->offset - 2] << 8 | r->data[r->offset - 1]);
        break;
    case 'b':
        read_bitmap(r);
        break;
    case 'p':
        read_prefixes(r);
        break;
    case 'o':
        (void)dns_edns_options_read(NULL, r);
        break;
    case 'v':
        read_service_params(r);
        break;
    case 'g':
        growth = read_gateway(r, rdata[1]);
        break;
    case 'i':
        skip(r, rdata[0]);
        skip(r, (size_t)rdata[2] << 8 | rdata[3]);
        break;
    default: /* 'r' */
        skip(r, reader_left(r));
        break;
    }
    return growth;
}

/* Whether rdata that ends behind FIELD, more fields expected, is complete all the same. */
static bool may_end_behind(char field)
{
    return field != 'h' && field != 'H' && field != 'i';
}

bool dns_rdata_read(uint16_t type, struct reader *message, size_t *expanded)
{
    size_t start = message->offset;
    const uint8_t *rdata = message->data + start;
    size_t growth = 0;
    *expanded = 0;
    if (message->failed)
        return false;
    if (!at_end(message)) { /* no rdata at all stands for any type, as in updates (RFC 2136) */
        for (const char *field = dns_rdata_layout(type); *field != '\0'; field++) {
            growth += read_field(*field, message, rdata);
            if (message->failed)
                return false;
            if (at_end(message) && may_end_behind(*field))
                break;
        }
    }
    *expanded = message->size - start + growth;
    return at_end(message);
}

static size_t name_size_at(const struct dns_rr *rr, size_t at)
{
    struct dns_name name;
    if (at > rr->rdata_size || dns_name_check(&name, rr->rdata + at, rr->rdata_size - at) != OK)
        return 0;
    return name.size;
}

/* Octets up to the next multiple of three, for base64 that fills the rdata from AT on. */
static size_t base64_excess(const struct dns_rr *rr, size_t at)
{
    return at < rr->rdata_size ? (3 - (rr->rdata_size - at) % 3) % 3 : 0;
}

static size_t bitmap_excess(const struct dns_rr *rr, size_t at)
{
    return at >= rr->rdata_size ? 2 : 0;
}

static size_t gateway_size(const struct dns_rr *rr, size_t at)
{
    static const size_t sizes[] = {0, 4, 16};
    uint8_t kind = rr->rdata_size > 1 ? rr->rdata[1] : 0;
    if (kind == 3)
        return name_size_at(rr, at);
    return kind < ARRAY_COUNT(sizes) ? sizes[kind] : 0;
}

static size_t nsec3_excess(const struct dns_rr *rr)
{
    struct reader r = reader_of(rr->rdata, rr->rdata_size);
    skip(&r, 4); /* algorithm, flags, iterations */
    skip(&r, read_u8(&r));
    size_t hash = read_u8(&r);
    skip(&r, hash);
    size_t base32 = (8 * hash + 4) / 5;
    return r.failed ? 0 : 2 + base32 - hash + bitmap_excess(rr, r.offset);
}

static size_t hip_excess(const struct dns_rr *rr)
{
    struct reader r = reader_of(rr->rdata, rr->rdata_size);
    skip(&r, 2);
    return (3 - read_u16(&r) % 3u) % 3;
}

size_t dns_rdata_excess(const struct dns_rr *rr)
{
    switch (rr->type) {
    case 25: /* KEY */
    case DNS_TYPE_DNSKEY:
    case 57: /* RKEY */
    case 60: /* CDNSKEY */
        return base64_excess(rr, 4);
    case 37: /* CERT */
        return base64_excess(rr, 5);
    case 49: /* DHCID */
    case 61: /* OPENPGPKEY */
        return base64_excess(rr, 0);
    case 45: /* IPSECKEY */
        return base64_excess(rr, 3 + gateway_size(rr, 3));
    case 24: /* SIG */
    case DNS_TYPE_RRSIG:
        return base64_excess(rr, 18 + name_size_at(rr, 18));
    case DNS_TYPE_NSEC:
        return bitmap_excess(rr, name_size_at(rr, 0));
    case 62: /* CSYNC */
        return bitmap_excess(rr, 6);
    case 50:
        return nsec3_excess(rr);
    case 55:
        return hip_excess(rr);
    default:
        return 0;
    }
}
