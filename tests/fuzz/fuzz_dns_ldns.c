/* Our reader and writer against ldns. The first octet chooses:
 *
 *   0  the rest is a request. Where ldns and we both accept it, question and EDNS must be the same;
 *      where only one of us does, one of the known differences must be the reason.
 *   1  the rest says which message to make. ldns must read what we write, compressed or not, as the
 *      records that we meant.
 *   2  the rest is a name's text; 3: a name. Both must read and print it alike.
 *
 * Known differences, all of them miekg/dns's ways, which ours are:
 *   - we take counted records that are missing, questions cut behind name or type, records without
 *     rdata and rdata that ends behind any field;
 *   - ldns takes a TSIG out of the section while it counts, and so misses the record behind it;
 *   - we follow at most 126 compression pointers;
 *   - ldns ignores what rdata holds behind its last field, we refuse it; of a type whose fields it
 *     does not know (SINK) it reads none, and then takes the rdata for the next record;
 *   - ldns does not look into EDNS options, type bitmaps, SvcParams and the like;
 *   - we escape space ' @ " with a backslash, ldns prints the first as \032 and the others bare;
 *   - we take a backslash before one or two digits as escaping the first of them, ldns refuses it;
 *   - "" is the root for us and an error for ldns. */
#include "base/attr.h"
#include "base/dns/rdata.h"
#include "base/dns_message.h"

#include <ldns/ldns.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Types whose rdata both sides read in full. */
static const uint16_t plain_types[] = {
    DNS_TYPE_A,  DNS_TYPE_NS,  DNS_TYPE_CNAME, DNS_TYPE_SOA, DNS_TYPE_PTR,
    DNS_TYPE_MX, DNS_TYPE_TXT, DNS_TYPE_AAAA,  DNS_TYPE_SRV, DNS_TYPE_HINFO,
};

static bool is_plain(uint16_t type)
{
    for (size_t i = 0; i < ARRAY_COUNT(plain_types); i++) {
        if (plain_types[i] == type)
            return true;
    }
    return false;
}

static bool same_dname(const ldns_rdf *theirs, struct dns_name ours)
{
    return ldns_rdf_size(theirs) == ours.size &&
           memcmp(ldns_rdf_data(theirs), ours.wire, ours.size) == 0;
}

/* Of the records that ldns left in the sections: without the OPT and a TSIG. */
static bool records_are_plain(const ldns_pkt *p)
{
    const ldns_rr_list *lists[] = {ldns_pkt_answer(p), ldns_pkt_authority(p),
                                   ldns_pkt_additional(p)};
    for (size_t i = 0; i < ARRAY_COUNT(lists); i++) {
        for (size_t j = 0; j < ldns_rr_list_rr_count(lists[i]); j++) {
            if (!is_plain((uint16_t)ldns_rr_get_type(ldns_rr_list_rr(lists[i], j))))
                return false;
        }
    }
    return true;
}

static bool has_only_plain_records(const ldns_pkt *p)
{
    return records_are_plain(p) && !ldns_pkt_edns(p) && ldns_pkt_tsig(p) == NULL;
}

/* Whether we accept the message as ldns understood it: without what it ignores in rdata behind the
 * last field, and with no longer chains of pointers than it makes itself. */
static bool accepts_rewritten(const ldns_pkt *p)
{
    uint8_t *wire = NULL;
    size_t size = 0;
    struct dns_request request;
    REQUIRE(ldns_pkt2wire(&wire, p, &size) == LDNS_STATUS_OK);
    bool accepted = dns_request_parse(&request, wire, size) == DNS_ACCEPT;
    free(wire);
    return accepted;
}

static void compare_accepted(const struct dns_request *request, const ldns_pkt *p)
{
    const struct dns_message *m = &request->message;
    const ldns_rr_list *questions = ldns_pkt_question(p);
    REQUIRE(ldns_pkt_id(p) == m->id);
    REQUIRE(ldns_rr_list_rr_count(questions) == 1 && m->has_question);
    const ldns_rr *q = ldns_rr_list_rr(questions, 0);
    REQUIRE(same_dname(ldns_rr_owner(q), m->question.name));
    REQUIRE(ldns_rr_get_type(q) == (ldns_rr_type)m->question.type);
    REQUIRE(ldns_rr_get_class(q) == (ldns_rr_class)m->question.class_number);
    /* Behind a record of which it left rdata unread, ldns goes on in the middle of that. */
    bool in_step = records_are_plain(p) && ldns_pkt_tsig(p) == NULL;
    REQUIRE(ldns_pkt_edns(p) || m->edns == NULL || !in_step);
    if (!in_step)
        return;
    if (m->edns != NULL && ldns_pkt_arcount(p) == 0) { /* ldns takes the OPT out of the section */
        REQUIRE(ldns_pkt_edns_udp_size(p) == m->edns->udp_size);
        REQUIRE(ldns_pkt_edns_version(p) == m->edns->version);
        REQUIRE(ldns_pkt_edns_do(p) == ((m->edns->flags & DNS_EDNS_DO) != 0));
    }
}

static void fuzz_request(const uint8_t *data, size_t size)
{
    struct dns_request request;
    ldns_pkt *p = NULL;
    enum dns_verdict verdict = dns_request_parse(&request, data, size);
    ldns_status status = ldns_wire2pkt(&p, data, size);
    if (verdict == DNS_ACCEPT && status == LDNS_STATUS_OK) {
        compare_accepted(&request, p);
    } else if (verdict == DNS_REJECT_FORMERR && status == LDNS_STATUS_OK) {
        bool counts_fit = ldns_pkt_qdcount(p) == 1 && ldns_pkt_ancount(p) <= 1 &&
                          ldns_pkt_nscount(p) <= 1 && ldns_pkt_arcount(p) <= 2;
        REQUIRE(!counts_fit || !has_only_plain_records(p) || accepts_rewritten(p));
    } else if (verdict == DNS_ACCEPT) {
        /* With no records counted and nothing cut there is nothing to differ about. */
        static const uint8_t no_records[6];
        size_t whole = DNS_HEADER_SIZE + request.qname.size + 4u;
        bool plain = request.message.has_question && memcmp(data + 6, no_records, 6) == 0 &&
                     size >= whole &&
                     memcmp(data + 12, request.qname.wire, request.qname.size) == 0;
        REQUIRE(!plain);
    }
    ldns_pkt_free(p);
}

/* Choices of the message to make. */

static uint8_t choose(struct reader *r, unsigned bound)
{
    return (uint8_t)(read_u8(r) % bound);
}

enum {
    NAMES = 8,
    RRS_MAX = 40,
    RDATA_MAX = 1024
};

struct plan {
    struct dns_name_buf names[NAMES];
    uint8_t rdata[RRS_MAX][RDATA_MAX];
    struct dns_rr rrs[RRS_MAX];
};

/* A label or two below the root or an earlier name. */
static void plan_name(struct plan *plan, unsigned index, struct reader *r)
{
    uint8_t wire[DNS_NAME_MAX_SIZE];
    struct writer w = writer_of(wire, sizeof wire);
    for (unsigned labels = choose(r, 3); labels > 0; labels--) {
        uint8_t size = (uint8_t)(1 + choose(r, 9));
        write_u8(&w, size);
        for (; size > 0; size--)
            write_u8(&w, read_u8(r));
    }
    const struct dns_name_buf *base = index > 0 ? &plan->names[choose(r, index)] : NULL;
    if (base != NULL)
        write_bytes(&w, base->wire, base->size);
    else
        write_u8(&w, 0);
    struct dns_name_buf *name = &plan->names[index];
    *name = (struct dns_name_buf){.size = 1};
    if (!w.failed)
        memcpy(name->wire, wire, name->size = (uint8_t)w.size);
}

static void write_planned_name(struct writer *w, const struct plan *plan, struct reader *r)
{
    const struct dns_name_buf *name = &plan->names[choose(r, NAMES)];
    write_bytes(w, name->wire, name->size);
}

static void write_planned_field(struct writer *w, char field, const struct plan *plan,
                                struct reader *r)
{
    size_t plain = 0;
    switch (field) {
    case 'c':
    case 'n':
        write_planned_name(w, plan, r);
        break;
    case 's':
    case 't':
        plain = choose(r, 20);
        write_u8(w, (uint8_t)plain);
        break;
    case 'Q':
        plain = 16;
        break;
    default:
        plain = (size_t)(field - '0');
        break;
    }
    for (; plain > 0; plain--)
        write_u8(w, read_u8(r));
}

static void plan_rr(struct plan *plan, unsigned index, struct reader *r)
{
    uint16_t type = plain_types[choose(r, ARRAY_COUNT(plain_types))];
    struct writer w = writer_of(plan->rdata[index], RDATA_MAX);
    const struct dns_name_buf *owner = &plan->names[choose(r, NAMES)];
    for (const char *field = dns_rdata_layout(type); *field != '\0'; field++)
        write_planned_field(&w, *field, plan, r);
    plan->rrs[index] = (struct dns_rr){.owner = dns_name_of(owner),
                                       .rdata = plan->rdata[index],
                                       .rdata_size = (uint16_t)w.size,
                                       .type = type,
                                       .class_number = DNS_CLASS_IN,
                                       .ttl = read_u8(r)};
}

static void compare_rr(const ldns_rr *theirs, const struct dns_rr *ours)
{
    REQUIRE(same_dname(ldns_rr_owner(theirs), ours->owner));
    REQUIRE(ldns_rr_get_type(theirs) == (ldns_rr_type)ours->type);
    REQUIRE(ldns_rr_ttl(theirs) == ours->ttl);
    size_t at = 0;
    for (size_t i = 0; i < ldns_rr_rd_count(theirs); i++) {
        const ldns_rdf *field = ldns_rr_rdf(theirs, i);
        size_t size = ldns_rdf_size(field);
        REQUIRE(size <= ours->rdata_size - at);
        REQUIRE(memcmp(ldns_rdf_data(field), ours->rdata + at, size) == 0);
        at += size;
    }
    REQUIRE(at == ours->rdata_size);
}

static void compare_section(const ldns_rr_list *theirs, const struct dns_rr_list *ours)
{
    REQUIRE(ldns_rr_list_rr_count(theirs) == ours->count);
    for (size_t i = 0; i < ours->count; i++)
        compare_rr(ldns_rr_list_rr(theirs, i), &ours->rrs[i]);
}

/* Writes the message and has ldns read it; returns its size. */
static size_t compare_written(const struct dns_message *m)
{
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    size_t size;
    if (dns_message_write(m, out, sizeof out, &size) != OK)
        abort(); /* 40 records of at most about a kilobyte */
    ldns_pkt *p = NULL;
    REQUIRE(ldns_wire2pkt(&p, out, size) == LDNS_STATUS_OK);
    compare_section(ldns_pkt_answer(p), &m->sections[DNS_ANSWER]);
    compare_section(ldns_pkt_authority(p), &m->sections[DNS_AUTHORITY]);
    compare_section(ldns_pkt_additional(p), &m->sections[DNS_ADDITIONAL]);
    REQUIRE(ldns_pkt_edns(p) == (m->edns != NULL));
    REQUIRE(ldns_pkt_tc(p) == ((m->flags & DNS_FLAG_TC) != 0));
    ldns_pkt_free(p);
    return size;
}

static void fuzz_message(const uint8_t *data, size_t size)
{
    static struct plan plan;
    struct reader r = reader_of(data, size);
    for (unsigned i = 0; i < NAMES; i++)
        plan_name(&plan, i, &r);
    struct dns_edns edns = {.udp_size = 1232};
    struct dns_message m = {.flags = DNS_FLAG_QR, .has_question = choose(&r, 4) != 0};
    m.edns = choose(&r, 2) != 0 ? &edns : NULL;
    m.question = (struct dns_question){dns_name_of(&plan.names[choose(&r, NAMES)]), DNS_TYPE_SRV,
                                       DNS_CLASS_IN};
    unsigned used = 0;
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        m.sections[section].rrs = plan.rrs + used;
        unsigned count = choose(&r, RRS_MAX / DNS_SECTION_COUNT + 1);
        for (unsigned i = 0; i < count && !r.failed; i++) {
            plan_rr(&plan, used++, &r);
            m.sections[section].count++;
        }
    }
    unsigned limit = DNS_MIN_UDP_SIZE + 8u * choose(&r, 256);
    size_t plain_size = compare_written(&m);
    REQUIRE(plain_size == dns_message_size(&m));
    m.compress = true;
    size_t compressed_size = compare_written(&m);
    REQUIRE(compressed_size == dns_message_size(&m) && compressed_size <= plain_size);
    m.compress = false;
    dns_message_truncate(&m, limit);
    size_t truncated_size = compare_written(&m);
    REQUIRE(truncated_size <= limit);
    REQUIRE(((m.flags & DNS_FLAG_TC) != 0) == (compressed_size > limit));
}

/* Texts that only one side reads, see above. */
static bool is_text_of_ours(const uint8_t *text, size_t size)
{
    if (size == 0)
        return true;
    for (size_t i = 0; i + 1 < size; i++) {
        if (text[i] != '\\')
            continue;
        i++;
        if (isdigit(text[i]) && (i + 2 >= size || !isdigit(text[i + 1]) || !isdigit(text[i + 2])))
            return true;
    }
    return false;
}

static void fuzz_text(const uint8_t *data, size_t size)
{
    char text[2048];
    if (size >= sizeof text || memchr(data, '\0', size) != NULL || is_text_of_ours(data, size))
        return;
    memcpy(text, data, size);
    text[size] = '\0';
    struct dns_name_buf ours;
    enum err error = dns_name_from_text(&ours, text, size);
    ldns_rdf *theirs = ldns_dname_new_frm_str(text);
    REQUIRE((error == OK) == (theirs != NULL));
    if (theirs != NULL)
        REQUIRE(same_dname(theirs, dns_name_of(&ours)));
    ldns_rdf_deep_free(theirs);
}

static void fuzz_name(const uint8_t *data, size_t size)
{
    struct dns_name name;
    if (dns_name_check(&name, data, size) != OK)
        return;
    char text[DNS_NAME_TEXT_SIZE];
    (void)dns_name_to_text(name, text);
    ldns_rdf *theirs = ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, name.size, name.wire);
    REQUIRE(theirs != NULL);
    char *their_text = ldns_rdf2str(theirs);
    REQUIRE(their_text != NULL);
    if (strpbrk(text, " '@\"") == NULL)
        REQUIRE(strcmp(text, their_text) == 0);
    struct dns_name_buf back; /* either side's text is the same name */
    REQUIRE(dns_name_from_text(&back, their_text, strlen(their_text)) == OK);
    REQUIRE(dns_name_same(name, dns_name_of(&back)));
    free(their_text);
    ldns_rdf_deep_free(theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > DNS_MAX_MESSAGE_SIZE)
        return 0;
    switch (data[0] % 4) {
    case 0:
        fuzz_request(data + 1, size - 1);
        break;
    case 1:
        fuzz_message(data + 1, size - 1);
        break;
    case 2:
        fuzz_text(data + 1, size - 1);
        break;
    default:
        fuzz_name(data + 1, size - 1);
        break;
    }
    return 0;
}
