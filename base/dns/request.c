/* Requests in, and the two replies that need no directive (FORMERR, NOTIMP). */
#include "pack.h"
#include "rdata.h"

enum {
    OPCODE_SHIFT = 11,
    RCODE_MASK = 0x0F,
    /* DefaultMsgAcceptFunc's bounds. NOTIFY may carry a SOA as answer, IXFR one as authority. */
    QUESTIONS = 1,
    ANSWERS_MAX = 1,
    AUTHORITIES_MAX = 1,
    ADDITIONALS_MAX = 2,
    /* All of the second header word that is kept as flags. */
    FLAGS_MASK = DNS_FLAG_QR | DNS_FLAG_AA | DNS_FLAG_TC | DNS_FLAG_RD | DNS_FLAG_RA | DNS_FLAG_Z |
                 DNS_FLAG_AD | DNS_FLAG_CD,
};

struct counts {
    uint16_t questions;
    uint16_t sections[DNS_SECTION_COUNT];
};

static struct counts header_read(struct dns_message *m, struct reader *r)
{
    uint16_t id = read_u16(r);
    uint16_t word = read_u16(r);
    *m = (struct dns_message){
        .id = id,
        .opcode = word >> OPCODE_SHIFT & 0x0F,
        .flags = word & FLAGS_MASK,
        .rcode = word & RCODE_MASK,
    };
    struct counts counts = {.questions = read_u16(r)};
    for (int i = 0; i < DNS_SECTION_COUNT; i++)
        counts.sections[i] = read_u16(r);
    return counts;
}

static enum dns_verdict header_verdict(const struct dns_message *m, const struct counts *counts)
{
    if ((m->flags & DNS_FLAG_QR) != 0)
        return DNS_IGNORE;
    if (m->opcode != DNS_OPCODE_QUERY && m->opcode != DNS_OPCODE_NOTIFY)
        return DNS_REJECT_NOTIMP;
    if (counts->questions != QUESTIONS || counts->sections[DNS_ANSWER] > ANSWERS_MAX ||
        counts->sections[DNS_AUTHORITY] > AUTHORITIES_MAX ||
        counts->sections[DNS_ADDITIONAL] > ADDITIONALS_MAX)
        return DNS_REJECT_FORMERR;
    return DNS_ACCEPT;
}

/* A message may end behind the name or the type, and even in the middle of the class: what is
 * missing is zero. */
static bool question_read(struct dns_request *out, struct reader *r)
{
    if (dns_name_read(&out->qname, r) != OK)
        return false;
    struct dns_question *q = &out->message.question;
    *q = (struct dns_question){.name = dns_name_of(&out->qname)};
    if (reader_left(r) > 0) {
        q->type = read_u16(r);
        if (r->failed)
            return false;
    }
    if (reader_left(r) == 1)
        r->offset = r->size;
    else if (reader_left(r) > 0)
        q->class_number = read_u16(r);
    out->message.has_question = true;
    return true;
}

/* The OPT whose rdata is the rest of RDATA. A later OPT replaces an earlier one. */
static bool edns_read(struct dns_edns *out, uint16_t class_number, uint32_t ttl,
                      struct reader *rdata)
{
    out->udp_size = class_number;
    out->extended_rcode = (uint8_t)(ttl >> 24);
    out->version = (uint8_t)(ttl >> 16);
    out->flags = (uint16_t)ttl;
    out->option_count = 0;
    return reader_left(rdata) == 0 || dns_edns_options_read(out, rdata);
}

/* One RR of SECTION. */
static bool record_read(struct dns_request *out, enum dns_section section, struct reader *r)
{
    struct dns_name_buf owner;
    if (dns_name_read(&owner, r) != OK)
        return false;
    uint16_t type = read_u16(r);
    uint16_t class_number = read_u16(r);
    uint32_t ttl = read_u32(r);
    uint16_t rdata_size = read_u16(r);
    struct reader rdata = *r; /* names in rdata may point anywhere before its end */
    (void)read_bytes(r, rdata_size);
    if (r->failed)
        return false;
    rdata.size = r->offset;
    if (section == DNS_ADDITIONAL && type == DNS_TYPE_OPT) {
        if (out->message.edns != NULL)
            out->records_size += dns_edns_size(&out->edns);
        out->message.edns = &out->edns;
        return edns_read(&out->edns, class_number, ttl, &rdata);
    }
    size_t expanded;
    if (!dns_rdata_read(type, &rdata, &expanded))
        return false;
    out->records_size += owner.size + DNS_RR_FIXED_SIZE + expanded;
    return true;
}

static bool records_read(struct dns_request *out, const struct counts *counts, struct reader *r)
{
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        for (uint16_t i = 0; i < counts->sections[section] && reader_left(r) > 0; i++) {
            if (!record_read(out, (enum dns_section)section, r))
                return false;
        }
    }
    return true;
}

enum dns_verdict dns_request_parse(struct dns_request *out, const uint8_t *data, size_t size)
{
    if (size < DNS_HEADER_SIZE)
        return DNS_IGNORE;
    struct reader r = reader_of(data, size);
    out->records_size = 0;
    struct counts counts = header_read(&out->message, &r);
    enum dns_verdict verdict = header_verdict(&out->message, &counts);
    if (verdict != DNS_ACCEPT || reader_left(&r) == 0)
        return verdict;
    if (!question_read(out, &r) || !records_read(out, &counts, &r)) {
        out->message.edns = NULL;
        return DNS_REJECT_FORMERR;
    }
    if (out->message.edns != NULL)
        out->message.rcode |= (uint16_t)(out->edns.extended_rcode << 4);
    return DNS_ACCEPT;
}

size_t dns_request_size(const struct dns_request *request)
{
    return dns_message_size(&request->message) + request->records_size;
}

size_t dns_reject(const struct dns_request *request, enum dns_verdict verdict, uint8_t *out,
                  size_t capacity)
{
    struct dns_message reply = request->message;
    reply.flags = (reply.flags & (uint16_t) ~(DNS_FLAG_AA | DNS_FLAG_Z)) | DNS_FLAG_QR;
    reply.edns = NULL;
    reply.compress = false;
    if (verdict == DNS_REJECT_NOTIMP) {
        reply.rcode = DNS_RCODE_NOTIMP;
    } else {
        reply.rcode = DNS_RCODE_FORMERR;
        reply.opcode = DNS_OPCODE_QUERY;
    }
    size_t size;
    return dns_message_write(&reply, out, capacity, &size) == OK ? size : 0;
}
