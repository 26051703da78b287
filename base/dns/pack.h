/* Packs a message, or only measures it, with or without name compression.
 *
 * Both passes must see the same names at the same offsets, so they share one packer: a dry one
 * renders nothing but names, into a scratch image that later names are compared with.
 *
 * Compression follows miekg/dns: every suffix of every name that stands in full below offset 16384
 * is remembered, the first place wins, octets are compared with their case, and the longest
 * remembered suffix is used. Names that must not be compressed are remembered like the others. */
#ifndef WARREN_BASE_DNS_PACK_H
#define WARREN_BASE_DNS_PACK_H

#include "base/dns_message.h"

enum {
    DNS_RR_FIXED_SIZE = 10,    /* type, class, TTL, RDLENGTH */
    DNS_OPT_FIXED_SIZE = 11,   /* the same behind the root name */
    DNS_OPTION_FIXED_SIZE = 4, /* code, length */
    /* Pointers hold 14 bits. A remembered suffix takes at least two octets below that offset, so
     * twice as many slots as suffixes are never more than this. */
    DNS_POINTER_LIMIT = 1 << 14,
    /* A name that starts below the limit is rendered whole. */
    DNS_IMAGE_SIZE = DNS_POINTER_LIMIT + DNS_NAME_MAX_SIZE,
};

/* The latest name of a kind and where its copy in full starts: the next one is likely the same. */
struct dns_recent_name {
    struct dns_name name; /* size 0: none */
    uint16_t offset;
};

/* A remembered suffix: where it stands in the image, and enough of its hash for the largest table.
 */
struct dns_suffix {
    uint16_t offset;
    uint16_t hash;
};

/* Remembered suffixes: an open hash table of indices into `suffixes`, plus one; 0 is a free slot.
 * It starts small, as most messages are, and grows; only the first slot_mask + 1 slots are in use.
 */
struct dns_suffix_table {
    uint32_t slot_mask;
    uint32_t count;
    struct dns_recent_name recent_owner;
    struct dns_recent_name recent_target;
    struct dns_suffix suffixes[DNS_POINTER_LIMIT / 2];
    uint16_t slots[DNS_POINTER_LIMIT];
};

struct dns_packer {
    uint8_t *image;                    /* the message from its header on */
    size_t capacity;                   /* of the image */
    size_t offset;                     /* what has been packed */
    bool failed;                       /* out of capacity; never set by a dry packer */
    bool dry;                          /* image is scratch, DNS_IMAGE_SIZE large */
    struct dns_suffix_table *suffixes; /* NULL: names are written in full */
};

void dns_suffix_table_init(struct dns_suffix_table *table);

void dns_pack_question(struct dns_packer *p, const struct dns_question *question);
void dns_pack_rr(struct dns_packer *p, const struct dns_rr *rr);

/* Size of the OPT pseudo-RR. */
size_t dns_edns_size(const struct dns_edns *edns);
/* Whether the record's type is one that miekg/dns may measure larger than it is. */
bool dns_rr_may_exceed(const struct dns_rr *rr);
/* Uncompressed size of a record as miekg/dns measures it, and of everything before the first one.
 */
size_t dns_rr_size(const struct dns_rr *rr);
size_t dns_message_head_size(const struct dns_message *m);
/* Uncompressed size of the message; any number beyond LIMIT if it is larger than that. */
size_t dns_message_size_until(const struct dns_message *m, size_t limit);

#endif
