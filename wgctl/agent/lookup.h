/* What warren-agent asks a wgsd zone and what it takes from the answer. Pure: bytes in, bytes out.
 *
 * The question is the SRV record of <base32 key>._wireguard._udp.<zone>; the endpoint is the port
 * of the first answer and the first address of the additional section (RFC 2782). */
#ifndef WARREN_WGCTL_AGENT_LOOKUP_H
#define WARREN_WGCTL_AGENT_LOOKUP_H

#include "base/dns_name.h"
#include "base/encoding.h"
#include "base/err.h"
#include "base/ip.h"

#include <stddef.h>
#include <stdint.h>

enum {
    LOOKUP_QUERY_SIZE = 12 + DNS_NAME_MAX_SIZE + 4
};

/* The query: RD set, no EDNS, the key in upper case. ERR_NO_SPACE: ZONE is too long. */
enum err lookup_query(uint8_t out[static LOOKUP_QUERY_SIZE], size_t *size, uint16_t id,
                      const uint8_t key[static KEY_SIZE], struct dns_name zone) MUST_CHECK;

enum lookup_verdict {
    LOOKUP_FOUND,      /* `endpoint` is set; a v4-mapped address has become IPv4 */
    LOOKUP_NOT_OURS,   /* another ID, or no reply at all: wait for the next datagram */
    LOOKUP_NO_SRV,     /* the first answer is not an SRV record, or there is none */
    LOOKUP_NO_ADDRESS, /* no A or AAAA among the additional records */
    LOOKUP_BROKEN,     /* not a DNS message */
};

struct lookup_reply {
    struct ip_endpoint endpoint;
    int rcode;
};

/* RCODE, TC and the question decide nothing: a reply with records is used. OUT is written for every
 * verdict but LOOKUP_NOT_OURS and LOOKUP_BROKEN. */
enum lookup_verdict lookup_reply_parse(struct lookup_reply *out, uint16_t id, const uint8_t *data,
                                       size_t size);

#endif
