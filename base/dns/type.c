#include "base/dns_type.h"

#include "base/attr.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Every type miekg/dns 1.1.55 has a mnemonic for. */
#define TYPE_LIST(X)                                                                               \
    X(0, "None")                                                                                   \
    X(1, "A")                                                                                      \
    X(2, "NS")                                                                                     \
    X(3, "MD")                                                                                     \
    X(4, "MF")                                                                                     \
    X(5, "CNAME")                                                                                  \
    X(6, "SOA")                                                                                    \
    X(7, "MB")                                                                                     \
    X(8, "MG")                                                                                     \
    X(9, "MR")                                                                                     \
    X(10, "NULL")                                                                                  \
    X(12, "PTR")                                                                                   \
    X(13, "HINFO")                                                                                 \
    X(14, "MINFO")                                                                                 \
    X(15, "MX")                                                                                    \
    X(16, "TXT")                                                                                   \
    X(17, "RP")                                                                                    \
    X(18, "AFSDB")                                                                                 \
    X(19, "X25")                                                                                   \
    X(20, "ISDN")                                                                                  \
    X(21, "RT")                                                                                    \
    X(23, "NSAP-PTR")                                                                              \
    X(24, "SIG")                                                                                   \
    X(25, "KEY")                                                                                   \
    X(26, "PX")                                                                                    \
    X(27, "GPOS")                                                                                  \
    X(28, "AAAA")                                                                                  \
    X(29, "LOC")                                                                                   \
    X(30, "NXT")                                                                                   \
    X(31, "EID")                                                                                   \
    X(32, "NIMLOC")                                                                                \
    X(33, "SRV")                                                                                   \
    X(34, "ATMA")                                                                                  \
    X(35, "NAPTR")                                                                                 \
    X(36, "KX")                                                                                    \
    X(37, "CERT")                                                                                  \
    X(39, "DNAME")                                                                                 \
    X(41, "OPT")                                                                                   \
    X(42, "APL")                                                                                   \
    X(43, "DS")                                                                                    \
    X(44, "SSHFP")                                                                                 \
    X(45, "IPSECKEY")                                                                              \
    X(46, "RRSIG")                                                                                 \
    X(47, "NSEC")                                                                                  \
    X(48, "DNSKEY")                                                                                \
    X(49, "DHCID")                                                                                 \
    X(50, "NSEC3")                                                                                 \
    X(51, "NSEC3PARAM")                                                                            \
    X(52, "TLSA")                                                                                  \
    X(53, "SMIMEA")                                                                                \
    X(55, "HIP")                                                                                   \
    X(56, "NINFO")                                                                                 \
    X(57, "RKEY")                                                                                  \
    X(58, "TALINK")                                                                                \
    X(59, "CDS")                                                                                   \
    X(60, "CDNSKEY")                                                                               \
    X(61, "OPENPGPKEY")                                                                            \
    X(62, "CSYNC")                                                                                 \
    X(63, "ZONEMD")                                                                                \
    X(64, "SVCB")                                                                                  \
    X(65, "HTTPS")                                                                                 \
    X(99, "SPF")                                                                                   \
    X(100, "UINFO")                                                                                \
    X(101, "UID")                                                                                  \
    X(102, "GID")                                                                                  \
    X(103, "UNSPEC")                                                                               \
    X(104, "NID")                                                                                  \
    X(105, "L32")                                                                                  \
    X(106, "L64")                                                                                  \
    X(107, "LP")                                                                                   \
    X(108, "EUI48")                                                                                \
    X(109, "EUI64")                                                                                \
    X(249, "TKEY")                                                                                 \
    X(250, "TSIG")                                                                                 \
    X(251, "IXFR")                                                                                 \
    X(252, "AXFR")                                                                                 \
    X(253, "MAILB")                                                                                \
    X(254, "MAILA")                                                                                \
    X(255, "ANY")                                                                                  \
    X(256, "URI")                                                                                  \
    X(257, "CAA")                                                                                  \
    X(258, "AVC")                                                                                  \
    X(260, "AMTRELAY")                                                                             \
    X(32768, "TA")                                                                                 \
    X(32769, "DLV")                                                                                \
    X(65535, "Reserved")

static const char *type_mnemonic(uint16_t type)
{
    switch (type) {
#define X(number, text)                                                                            \
    case number:                                                                                   \
        return text;
        TYPE_LIST(X)
#undef X
    default:
        return NULL;
    }
}

/* "ANY" is a type's mnemonic too, so miekg/dns prints class 255 as a number. */
static const char *class_mnemonic(uint16_t class_number)
{
    switch (class_number) {
    case DNS_CLASS_IN:
        return "IN";
    case 2:
        return "CS";
    case DNS_CLASS_CH:
        return "CH";
    case 4:
        return "HS";
    case DNS_CLASS_NONE:
        return "NONE";
    default:
        return NULL;
    }
}

/* The mnemonic if there is one, else PREFIX and the number. */
static const char *text_or_number(char out[static DNS_MNEMONIC_SIZE], const char *mnemonic,
                                  const char *prefix, int number)
{
    if (mnemonic != NULL)
        memcpy(out, mnemonic, strlen(mnemonic) + 1);
    else
        (void)snprintf(out, DNS_MNEMONIC_SIZE, "%s%d", prefix, number);
    return out;
}

const char *dns_type_text(uint16_t type, char out[static DNS_MNEMONIC_SIZE])
{
    return text_or_number(out, type_mnemonic(type), "TYPE", type);
}

const char *dns_class_text(uint16_t class_number, char out[static DNS_MNEMONIC_SIZE])
{
    return text_or_number(out, class_mnemonic(class_number), "CLASS", class_number);
}

const char *dns_rcode_text(int rcode, char out[static DNS_MNEMONIC_SIZE])
{
    /* 16 is BADVERS in RFC 6891 and BADSIG in RFC 8945; miekg/dns prints the latter. */
    static const char *const names[] = {
        [0] = "NOERROR",  [1] = "FORMERR",  [2] = "SERVFAIL",  [3] = "NXDOMAIN",   [4] = "NOTIMP",
        [5] = "REFUSED",  [6] = "YXDOMAIN", [7] = "YXRRSET",   [8] = "NXRRSET",    [9] = "NOTAUTH",
        [10] = "NOTZONE", [16] = "BADSIG",  [17] = "BADKEY",   [18] = "BADTIME",   [19] = "BADMODE",
        [20] = "BADNAME", [21] = "BADALG",  [22] = "BADTRUNC", [23] = "BADCOOKIE",
    };
    bool named = rcode >= 0 && rcode < (int)ARRAY_COUNT(names);
    return text_or_number(out, named ? names[rcode] : NULL, "", rcode);
}

enum err dns_type_from_text(uint16_t *out, const char *text, size_t size)
{
    static const struct {
        uint16_t number;
        const char *text;
    } types[] = {
#define X(number, text) {number, text},
        TYPE_LIST(X)
#undef X
    };
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (strlen(types[i].text) == size && memcmp(types[i].text, text, size) == 0) {
            *out = types[i].number;
            return OK;
        }
    }
    return ERR_NOT_FOUND;
}
