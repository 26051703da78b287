/* A whole DNS message, compressed or not, into a `struct dns_message`: the test programs' view of a
 * captured or written reply. Slow and simple on purpose; the daemon has no such decoder. */
#ifndef WARREN_TESTS_DNS_DECODE_H
#define WARREN_TESTS_DNS_DECODE_H

#include "base/arena.h"
#include "base/attr.h"
#include "base/dns/rdata.h"
#include "base/dns_message.h"

struct decoded {
    struct dns_message message;
    struct dns_name_buf qname;
    struct dns_edns edns;
};

/* Appends the rdata's field at the cursor to OUT, names uncompressed. False: the rest is plain. */
static bool decode_field(char field, struct reader *r, struct writer *out)
{
    size_t size = 0;
    switch (field) {
    case 'c':
    case 'n':
    case 'N':
        do {
            struct dns_name_buf name;
            if (dns_name_read(&name, r) == OK)
                write_bytes(out, name.wire, name.size);
        } while (field == 'N' && reader_left(r) > 0);
        return true;
    case 's':
        size = reader_left(r) > 0 ? r->data[r->offset] + (size_t)1 : 0;
        break;
    case '1':
    case '2':
    case '4':
    case '6':
    case '8':
        size = (size_t)(field - '0');
        break;
    default:
        return false;
    }
    const uint8_t *at = read_bytes(r, size);
    if (at != NULL)
        write_bytes(out, at, size);
    return true;
}

static bool decode_rdata(struct dns_rr *rr, struct reader *r, struct arena *arena)
{
    uint8_t expanded[DNS_MAX_MESSAGE_SIZE];
    struct writer w = writer_of(expanded, sizeof expanded);
    for (const char *field = dns_rdata_layout(rr->type); *field != '\0' && reader_left(r) > 0;
         field++) {
        if (!decode_field(*field, r, &w))
            break;
    }
    size_t rest = reader_left(r);
    const uint8_t *at = read_bytes(r, rest);
    if (at == NULL)
        return false;
    write_bytes(&w, at, rest);
    rr->rdata = arena_copy(arena, expanded, w.size);
    rr->rdata_size = (uint16_t)w.size;
    return !r->failed && !w.failed && rr->rdata != NULL;
}

static bool decode_rr(struct decoded *out, enum dns_section section, struct dns_rr *rrs,
                      struct reader *r, struct arena *arena)
{
    struct dns_name_buf owner;
    struct dns_rr rr = {.class_number = 0};
    if (dns_name_read(&owner, r) != OK)
        return false;
    rr.type = read_u16(r);
    rr.class_number = read_u16(r);
    rr.ttl = read_u32(r);
    uint16_t rdata_size = read_u16(r);
    struct reader rdata = *r;
    if (read_bytes(r, rdata_size) == NULL)
        return false;
    rdata.size = r->offset;
    if (rr.type == DNS_TYPE_OPT && section == DNS_ADDITIONAL && owner.size == 1) {
        out->message.edns = &out->edns;
        out->edns = (struct dns_edns){.udp_size = rr.class_number,
                                      .extended_rcode = (uint8_t)(rr.ttl >> 24),
                                      .version = (uint8_t)(rr.ttl >> 16),
                                      .flags = (uint16_t)rr.ttl};
        out->message.rcode |= (uint16_t)(out->edns.extended_rcode << 4);
        return rdata_size == 0 || dns_edns_options_read(&out->edns, &rdata);
    }
    uint8_t *wire = arena_copy(arena, owner.wire, owner.size);
    if (wire == NULL || !decode_rdata(&rr, &rdata, arena))
        return false;
    rr.owner = (struct dns_name){.wire = wire, .size = owner.size};
    rrs[out->message.sections[section].count++] = rr;
    return true;
}

/* False unless DATA is exactly one message with every RR that its header counts. OUT borrows from
 * DATA, ARENA and itself: do not copy it. */
static bool decode_message(struct decoded *out, const uint8_t *data, size_t size,
                           struct arena *arena)
{
    struct reader r = reader_of(data, size);
    *out = (struct decoded){.message.id = read_u16(&r)};
    struct dns_message *m = &out->message;
    uint16_t word = read_u16(&r);
    m->opcode = word >> 11 & 0x0F;
    m->flags = word & (uint16_t)~0x780F;
    m->rcode = word & 0x0F;
    uint16_t questions = read_u16(&r);
    uint16_t counts[DNS_SECTION_COUNT];
    for (int i = 0; i < DNS_SECTION_COUNT; i++)
        counts[i] = read_u16(&r);
    if (r.failed || questions > 1)
        return false;
    if (questions == 1) {
        m->has_question = true;
        if (dns_name_read(&out->qname, &r) != OK)
            return false;
        m->question.name = dns_name_of(&out->qname);
        m->question.type = read_u16(&r);
        m->question.class_number = read_u16(&r);
    }
    for (int i = 0; i < DNS_SECTION_COUNT; i++) {
        struct dns_rr *rrs = arena_array(arena, counts[i], sizeof *rrs);
        if (rrs == NULL)
            return false;
        m->sections[i].rrs = rrs;
        for (uint16_t j = 0; j < counts[i]; j++) {
            if (!decode_rr(out, (enum dns_section)i, rrs, &r, arena))
                return false;
        }
    }
    return !r.failed && reader_left(&r) == 0;
}

#endif
