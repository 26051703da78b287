/* Numbers and mnemonics of DNS: types, classes, opcodes, RCODEs (IANA registry). */
#ifndef WARREN_BASE_DNS_TYPE_H
#define WARREN_BASE_DNS_TYPE_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum dns_type {
    DNS_TYPE_NONE = 0,
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_HINFO = 13,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
    DNS_TYPE_SRV = 33,
    DNS_TYPE_OPT = 41,
    DNS_TYPE_DS = 43,
    DNS_TYPE_RRSIG = 46,
    DNS_TYPE_NSEC = 47,
    DNS_TYPE_DNSKEY = 48,
    DNS_TYPE_TSIG = 250,
    DNS_TYPE_IXFR = 251,
    DNS_TYPE_AXFR = 252,
    DNS_TYPE_ANY = 255,
};

enum dns_class {
    DNS_CLASS_IN = 1,
    DNS_CLASS_CH = 3,
    DNS_CLASS_NONE = 254,
    DNS_CLASS_ANY = 255,
};

enum dns_opcode {
    DNS_OPCODE_QUERY = 0,
    DNS_OPCODE_NOTIFY = 4,
    DNS_OPCODE_UPDATE = 5,
};

enum dns_rcode {
    DNS_RCODE_NOERROR = 0,
    DNS_RCODE_FORMERR = 1,
    DNS_RCODE_SERVFAIL = 2,
    DNS_RCODE_NXDOMAIN = 3,
    DNS_RCODE_NOTIMP = 4,
    DNS_RCODE_REFUSED = 5,
    DNS_RCODE_BADVERS = 16, /* extended */
};

enum {
    DNS_MNEMONIC_SIZE = 16
}; /* with NUL */

/* miekg/dns's mnemonic ("None" for type 0), or "TYPE123" / "CLASS123" for a number without one and
 * for class ANY, whose mnemonic is a type's. Known mnemonics are copied: the result is always OUT.
 */
const char *dns_type_text(uint16_t type, char out[static DNS_MNEMONIC_SIZE]);
const char *dns_class_text(uint16_t class_number, char out[static DNS_MNEMONIC_SIZE]);
/* "NOERROR", "NXDOMAIN", ...; the decimal number when there is no name, as CoreDNS's `log` prints
 * it (its metrics would say "RCODE11"). 16 is "BADSIG", as in miekg/dns. */
const char *dns_rcode_text(int rcode, char out[static DNS_MNEMONIC_SIZE]);
/* Upper-case mnemonic to number; ERR_NOT_FOUND (no TYPE123 form, as miekg's StringToType). */
enum err dns_type_from_text(uint16_t *out, const char *text, size_t size) MUST_CHECK;

#endif
