#include "check.h"

#include "base/cursor.h"
#include "base/dns_type.h"

#include <ctype.h>
#include <err.h>
#include <string.h>

#define HEADER_SIZE   12
#define FLAG_QR       0x8000
#define FLAG_TC       0x0200
#define OPCODE_MASK   0x7800
#define RCODE_MASK    0x000f
#define MAX_NAME_SIZE 255

static void write_name(struct writer *w, const char *name)
{
    while (*name != '\0') {
        size_t size = strcspn(name, ".");
        if (size == 0 || size > 63)
            errx(2, "zone: a label has %zu bytes", size);
        write_u8(w, (uint8_t)size);
        write_bytes(w, name, size);
        name += size + (name[size] == '.');
    }
    write_u8(w, 0);
}

void query_template_init(struct query_template *t, uint16_t type, const char *zone,
                         uint16_t edns_size)
{
    struct writer w = writer_of(t->bytes, sizeof t->bytes);
    write_u16(&w, 0);      /* id */
    write_u16(&w, 0x0100); /* RD, as every stub sets */
    write_u16(&w, 1);
    write_u16(&w, 0);
    write_u16(&w, 0);
    write_u16(&w, edns_size != 0);
    t->type = type;
    t->label_at = 0;
    if (type != DNS_TYPE_PTR) {
        static const char blank[PEER_LABEL_SIZE];
        write_u8(&w, PEER_LABEL_SIZE);
        t->label_at = w.size;
        write_bytes(&w, blank, sizeof blank);
    }
    write_bytes(&w, "\x0a_wireguard\x04_udp", 16);
    write_name(&w, zone);
    write_u16(&w, type);
    write_u16(&w, DNS_CLASS_IN);
    t->question_end = w.size;
    if (edns_size != 0) {
        write_u8(&w, 0);
        write_u16(&w, DNS_TYPE_OPT);
        write_u16(&w, edns_size);
        write_u32(&w, 0);
        write_u16(&w, 0);
    }
    if (w.failed)
        errx(2, "zone: longer than a query may be");
    t->size = w.size;
}

void query_fill(const struct query_template *t, uint8_t query[static QUERY_CAPACITY], uint16_t id,
                const struct peer *peer)
{
    memcpy(query, t->bytes, t->size);
    query[0] = (uint8_t)(id >> 8);
    query[1] = (uint8_t)id;
    if (t->label_at != 0)
        memcpy(query + t->label_at, peer->label, PEER_LABEL_SIZE);
}

/* Reads the name at R's offset, following pointers, into flat wire form; R ends behind the name. */
static size_t read_name(struct reader *r, uint8_t name[static MAX_NAME_SIZE])
{
    struct reader at = *r;
    size_t size = 0;
    bool jumped = false;
    for (unsigned steps = 0; steps < 128; steps++) {
        uint8_t length = read_u8(&at);
        if (length >= 0xc0) {
            size_t target = (size_t)(length & 0x3f) << 8 | read_u8(&at);
            if (!jumped)
                *r = at;
            jumped = true;
            at.offset = target < at.size ? target : at.size;
            continue;
        }
        const uint8_t *label = read_bytes(&at, length);
        if (label == NULL || length > 63 || size + 1 + length > MAX_NAME_SIZE)
            break;
        name[size++] = length;
        for (size_t i = 0; i < length; i++)
            name[size++] = (uint8_t)tolower(label[i]);
        if (length == 0) {
            if (!jumped)
                *r = at;
            return at.failed ? 0 : size;
        }
    }
    r->failed = true;
    return 0;
}

/* Whether the name at R's offset is the question's. Most servers point at it, which is checked
 * without unpacking anything. */
static bool read_question_name(struct reader *r, const uint8_t *query, size_t name_size)
{
    uint8_t name[MAX_NAME_SIZE];
    const uint8_t *at = r->data + r->offset;
    if (!r->failed && r->size - r->offset >= 2 && at[0] == 0xc0 && at[1] == HEADER_SIZE)
        return read_bytes(r, 2) != NULL;
    if (read_name(r, name) != name_size)
        return false;
    for (size_t i = 0; i < name_size; i++)
        if (name[i] != (uint8_t)tolower(query[HEADER_SIZE + i]))
            return false;
    return true;
}

struct record {
    bool of_question; /* its owner is the question's name */
    uint16_t type;
    uint16_t class;
    struct reader
        rdata; /* over the whole message, ending with the rdata: names inside may point back */
};

static bool read_record(struct reader *r, const uint8_t *query, size_t name_size,
                        struct record *record)
{
    record->of_question = read_question_name(r, query, name_size);
    record->type = read_u16(r);
    record->class = read_u16(r);
    (void)read_u32(r);
    uint16_t size = read_u16(r);
    record->rdata = reader_of(r->data, r->offset + size);
    record->rdata.offset = r->offset;
    return read_bytes(r, size) != NULL;
}

static bool is_address(const struct record *record, const struct peer *peer)
{
    struct reader rdata = record->rdata;
    size_t size = reader_left(&rdata);
    uint16_t type = peer->address_size == 4 ? DNS_TYPE_A : DNS_TYPE_AAAA;
    return record->of_question && record->type == type && record->class == DNS_CLASS_IN &&
           size == peer->address_size && memcmp(read_bytes(&rdata, size), peer->address, size) == 0;
}

static bool is_srv(const struct record *record, const struct peer *peer, const uint8_t *query,
                   size_t name_size)
{
    struct reader rdata = record->rdata;
    (void)read_u32(&rdata); /* priority and weight */
    uint16_t port = read_u16(&rdata);
    return port == peer->port && read_question_name(&rdata, query, name_size) && !rdata.failed &&
           reader_left(&rdata) == 0;
}

static bool is_txt(const struct record *record)
{
    static const char first[] = "\x09txtvers=1";
    struct reader rdata = record->rdata;
    const uint8_t *bytes = read_bytes(&rdata, sizeof first - 1);
    return bytes != NULL && memcmp(bytes, first, sizeof first - 1) == 0;
}

static bool answer_is_right(const struct query_template *t, const uint8_t *query,
                            const struct peer *peer, const struct record *record)
{
    if (!record->of_question || record->type != t->type || record->class != DNS_CLASS_IN)
        return false;
    switch (t->type) {
    case DNS_TYPE_SRV:
        return is_srv(record, peer, query, t->question_end - HEADER_SIZE - 4);
    case DNS_TYPE_TXT:
        return is_txt(record);
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        return is_address(record, peer);
    default:
        return true;
    }
}

enum verdict answer_check(const struct query_template *t, const uint8_t *query,
                          const struct peer *peer, const uint8_t *reply, size_t reply_size)
{
    struct reader r = reader_of(reply, reply_size);
    (void)read_u16(&r);
    uint16_t flags = read_u16(&r);
    uint16_t questions = read_u16(&r), answers = read_u16(&r), authorities = read_u16(&r),
             additionals = read_u16(&r);
    const uint8_t *question = read_bytes(&r, t->question_end - HEADER_SIZE);
    if (question == NULL || questions != 1 || (flags & (FLAG_QR | OPCODE_MASK)) != FLAG_QR ||
        memcmp(question, query + HEADER_SIZE, t->question_end - HEADER_SIZE) != 0)
        return ANSWER_BAD;
    /* A list of peers is cut to the datagram, by some servers to nothing at all; one peer's answer
     * must be whole. */
    bool list = t->type == DNS_TYPE_PTR, cut = list && (flags & FLAG_TC) != 0;
    if ((answers == 0 && !cut) || (flags & RCODE_MASK) != DNS_RCODE_NOERROR)
        return ANSWER_EMPTY;
    if (!list && (answers != 1 || (flags & FLAG_TC) != 0))
        return ANSWER_BAD;

    size_t name_size = t->question_end - HEADER_SIZE - 4;
    bool address = false;
    unsigned total = (unsigned)answers + authorities + additionals;
    for (unsigned i = 0; i < total; i++) {
        struct record record;
        if (!read_record(&r, query, name_size, &record))
            return ANSWER_BAD;
        if (i < answers && !answer_is_right(t, query, peer, &record))
            return ANSWER_BAD;
        if (i >= (unsigned)answers + authorities && !list)
            address = address || is_address(&record, peer);
    }
    if (reader_left(&r) != 0 || (t->type == DNS_TYPE_SRV && !address))
        return ANSWER_BAD;
    return ANSWER_GOOD;
}
