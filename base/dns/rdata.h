/* What the rdata of each type is made of.
 *
 * A layout is a string of field letters, in order:
 *
 *   1 2 4 6 8 Q  that many octets (Q: sixteen)
 *   c            a name that may be compressed (RFC 1035 types)
 *   n            a name that must be written in full; it may still be pointed to
 *   N            such names up to the end
 *   s  t         one character-string; such strings up to the end
 *   h  H         as many octets as the field before says: 1 or 2
 *   r            anything up to the end
 *   b p o v      type bitmap (RFC 4034), address prefixes (RFC 3123), EDNS options, SvcParams
 *   g            gateway of IPSECKEY and AMTRELAY; its kind is the rdata's second octet
 *   i            HIP's identity and key, whose sizes are the rdata's first and third field
 *
 * What is accepted is what miekg/dns 1.1.55 unpacks: rdata may also end behind any field but h, H
 * and i. */
#ifndef WARREN_BASE_DNS_RDATA_H
#define WARREN_BASE_DNS_RDATA_H

#include "base/cursor.h"
#include "base/dns_message.h"

#include <stdbool.h>
#include <stdint.h>

/* The layout of TYPE; "r" for a type without one. */
const char *dns_rdata_layout(uint16_t type);

/* Reads the rdata of TYPE from the cursor to the end of MESSAGE, whose size ends at the rdata's
 * end. Returns false unless the fields fill it. *EXPANDED is its size with names uncompressed. */
bool dns_rdata_read(uint16_t type, struct reader *message, size_t *expanded);

/* By how many octets miekg/dns overestimates the rdata of RR when it measures a message: it counts
 * base64 and base32 fields by their text and an empty type bitmap as two octets. Character-strings
 * are taken as if their text needed no escapes. */
size_t dns_rdata_excess(const struct dns_rr *rr);

/* Reads EDNS options up to the end of MESSAGE, at least one. OUT may be NULL: check only. */
bool dns_edns_options_read(struct dns_edns *out, struct reader *message);

#endif
