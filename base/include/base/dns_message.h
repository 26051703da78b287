/* DNS messages: a bounded reader of requests and a writer of replies.
 *
 * Our answers must equal, byte for byte, those of a server built on miekg/dns 1.1.55-57, so the
 * acceptance rules, the size arithmetic, the truncation and the compression follow that library's
 * observable behaviour (facts: docs/compatibility.md); the wire format itself is RFC 1035, RFC
 * 6891.
 *
 * Model: a reply is a `struct dns_message` whose sections borrow arrays of RRs, whose owner and
 * rdata borrow uncompressed wire bytes (an arena's, or a published answer's under RCU). Nothing is
 * copied until dns_message_write. The OPT pseudo-RR is kept apart as `edns` and is always written
 * as the last additional record. */
#ifndef WARREN_BASE_DNS_MESSAGE_H
#define WARREN_BASE_DNS_MESSAGE_H

#include "base/arena.h"
#include "base/dns_name.h"
#include "base/dns_type.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DNS_HEADER_SIZE = 12,
    DNS_MIN_UDP_SIZE = 512,
    DNS_MAX_MESSAGE_SIZE = 65535,
    DNS_MAX_EDNS_OPTIONS = 32, /* kept of a request; more are checked and dropped */
};

/* Bits of the header's second 16-bit word. */
enum {
    DNS_FLAG_QR = 0x8000,
    DNS_FLAG_AA = 0x0400,
    DNS_FLAG_TC = 0x0200,
    DNS_FLAG_RD = 0x0100,
    DNS_FLAG_RA = 0x0080,
    DNS_FLAG_Z = 0x0040,
    DNS_FLAG_AD = 0x0020,
    DNS_FLAG_CD = 0x0010,
};

struct dns_rr {
    struct dns_name owner;
    const uint8_t *rdata; /* uncompressed */
    uint16_t rdata_size;
    uint16_t type;
    uint16_t class_number;
    uint32_t ttl;
};

enum dns_edns_option_code {
    DNS_EDNS_NSID = 3,
    DNS_EDNS_EXPIRE = 9,
    DNS_EDNS_COOKIE = 10,
    DNS_EDNS_KEEPALIVE = 11,
    DNS_EDNS_PADDING = 12,
    DNS_EDNS_EDE = 15,
};

/* A parsed option holds what miekg/dns would pack again: EXPIRE is cut to four octets, a KEEPALIVE
 * of zero to none. Client subnet is kept as it came (CoreDNS never sends it back). */
struct dns_edns_option {
    uint16_t code;
    uint16_t size;
    const uint8_t *data; /* borrowed */
};

/* RFC 6891 section 6.1.3. */
struct dns_edns {
    uint16_t udp_size;
    uint8_t extended_rcode; /* upper 8 bits of the 12-bit RCODE */
    uint8_t version;
    uint16_t flags; /* DO is 0x8000; the other bits as they came */
    size_t option_count;
    struct dns_edns_option options[DNS_MAX_EDNS_OPTIONS];
};

enum {
    DNS_EDNS_DO = 0x8000
};

enum dns_section {
    DNS_ANSWER,
    DNS_AUTHORITY,
    DNS_ADDITIONAL,
    DNS_SECTION_COUNT,
};

struct dns_rr_list {
    const struct dns_rr *rrs; /* borrowed */
    size_t count;
};

struct dns_question {
    struct dns_name name; /* as the client wrote it */
    uint16_t type;
    uint16_t class_number;
};

struct dns_message {
    uint16_t id;
    uint8_t opcode;
    uint16_t flags; /* DNS_FLAG_* */
    uint16_t rcode; /* 12 bits; above 15 only with edns, whose extended_rcode then follows it */
    bool has_question;
    struct dns_question question;
    struct dns_rr_list sections[DNS_SECTION_COUNT];
    struct dns_edns *edns; /* NULL without; may be shared with the request, as in CoreDNS */
    bool compress;         /* set by dns_message_truncate; a writer may also set it */
};

/* What is to be done with a datagram or TCP frame before any directive sees it. */
enum dns_verdict {
    DNS_IGNORE,         /* shorter than a header, or QR set: no reply */
    DNS_ACCEPT,         /* `message` is complete (has_question may be false: header only, QD=1) */
    DNS_REJECT_FORMERR, /* reply with dns_reject */
    DNS_REJECT_NOTIMP,
};

struct dns_request {
    struct dns_message message;
    struct dns_name_buf qname; /* the question's name, case kept */
    struct dns_edns edns;      /* message.edns points here if the request has an OPT */
    size_t records_size;       /* see dns_request_size */
};

/* Decodes a request. Acceptance as miekg/dns's DefaultMsgAcceptFunc (QR, opcode, counts: QD exactly
 * 1, AN <= 1, NS <= 1, AR <= 2), then a full parse: a counted RR may be missing altogether (the
 * message ends), trailing bytes are tolerated, a malformed name, RR header or rdata is FORMERR. A
 * 12-byte header with QD=1 is accepted without a question. Borrows DATA (EDNS options point into
 * it). Sections of `message` are left empty: no directive looks at a request's records. On
 * DNS_REJECT_* message.id, flags, opcode and, if it parsed, question are set. Never allocates. */
enum dns_verdict dns_request_parse(struct dns_request *out, const uint8_t *data, size_t size);

/* miekg's Len of the request, which CoreDNS logs and counts as the request's size: uncompressed,
 * with the records that were really there and the OPT as it is now (directives may have changed
 * it). */
size_t dns_request_size(const struct dns_request *request);

/* The reply that a miekg/dns server sends for DNS_REJECT_*: the header (RCODE per verdict; QR set,
 * RD/AD/CD kept as measured) and the question if it parsed. Returns the size written to OUT. */
size_t dns_reject(const struct dns_request *request, enum dns_verdict verdict, uint8_t *out,
                  size_t capacity);

/* Starts a reply as miekg's SetReply: id, opcode, QR, RD and CD (opcode QUERY only) and the
 * question copied from REQUEST, RCODE NOERROR, nothing else set. */
void dns_reply_init(struct dns_message *reply, const struct dns_message *request);
/* The same with an RCODE, as miekg's SetRcode. */
void dns_reply_init_rcode(struct dns_message *reply, const struct dns_message *request, int rcode);

/* Size on the wire without compression, edns included (miekg's Msg.Len with Compress false, which
 * is also what `log` prints as rsize). With `compress` set: the compressed size. As in miekg, a few
 * DNSSEC types count some octets more than they take. */
size_t dns_message_size(const struct dns_message *m);

/* miekg's Msg.Truncate: if the uncompressed size fits in SIZE (at least 512), `compress` becomes
 * false and nothing else changes; else `compress` becomes true, whole RRs from the end of the
 * sections that do not fit are dropped and TC is set if any was. */
void dns_message_truncate(struct dns_message *m, size_t size);

/* dns_message_truncate and dns_message_write in one: what fits is packed only once. */
enum err dns_message_write_within(struct dns_message *m, size_t limit, uint8_t *out,
                                  size_t capacity, size_t *size) MUST_CHECK;

/* Writes the message. With `compress`, names of owners and of RFC 1035 rdata (NS, CNAME, SOA, PTR,
 * MX) are compressed against every earlier name, case-sensitively, as miekg packs; SRV targets are
 * written in full but may be pointed to. ERR_NO_SPACE (also beyond 65535), ERR_INVALID for rcode >
 * 15 without edns. */
enum err dns_message_write(const struct dns_message *m, uint8_t *out, size_t capacity,
                           size_t *size) MUST_CHECK;

#endif
