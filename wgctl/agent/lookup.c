#include "lookup.h"

#include "base/dns_message.h"

#include <ctype.h>
#include <string.h>

enum {
    SRV_FIXED_SIZE = 6, /* priority, weight, port */
    RCODE_MASK = 0x000f,
};

enum err lookup_query(uint8_t out[static LOOKUP_QUERY_SIZE], size_t *size, uint16_t id,
                      const uint8_t key[static KEY_SIZE], struct dns_name zone)
{
    static const char service[] = "._wireguard._udp";
    char text[KEY_BASE32_SIZE + sizeof(service) - 1];
    key_to_base32(text, key);
    for (size_t i = 0; i < KEY_BASE32_SIZE; i++)
        text[i] = (char)toupper((unsigned char)text[i]);
    memcpy(text + KEY_BASE32_SIZE, service, sizeof(service) - 1);

    struct dns_name_buf prefix, name;
    enum err error = dns_name_from_text(&prefix, text, sizeof(text));
    if (error == OK)
        error = dns_name_join(&name, dns_name_of(&prefix), zone);
    if (error != OK)
        return error;
    struct dns_message query = {
        .id = id,
        .opcode = DNS_OPCODE_QUERY,
        .flags = DNS_FLAG_RD,
        .has_question = true,
        .question = {.name = dns_name_of(&name),
                     .type = DNS_TYPE_SRV,
                     .class_number = DNS_CLASS_IN},
    };
    return dns_message_write(&query, out, LOOKUP_QUERY_SIZE, size);
}

struct record {
    uint16_t type;
    struct reader rdata;
};

static bool skip_name(struct reader *r)
{
    struct dns_name_buf name;
    return dns_name_read(&name, r) == OK;
}

/* The next record; false if there is none, because the message ends or is broken. */
static bool record_next(struct reader *r, struct record *out)
{
    if (reader_left(r) == 0 || !skip_name(r))
        return false;
    out->type = read_u16(r);
    (void)read_u16(r); /* class */
    (void)read_u32(r); /* TTL */
    uint16_t size = read_u16(r);
    const uint8_t *data = read_bytes(r, size);
    out->rdata = reader_of(data, data != NULL ? size : 0);
    return data != NULL;
}

/* The address of an A or AAAA record. */
static bool address_of(const struct record *record, struct ip_addr *out)
{
    size_t size = record->rdata.size;
    bool v4 = record->type == DNS_TYPE_A && size == 4;
    bool v6 = record->type == DNS_TYPE_AAAA && size == 16;
    if (!v4 && !v6)
        return false;
    struct ip_addr address = {.family = v4 ? IP_V4 : IP_V6};
    memcpy(address.bytes, record->rdata.data, size);
    *out = ip_unmap(address);
    return true;
}

enum lookup_verdict lookup_reply_parse(struct lookup_reply *out, uint16_t id, const uint8_t *data,
                                       size_t size)
{
    struct reader r = reader_of(data, size);
    uint16_t reply_id = read_u16(&r);
    uint16_t flags = read_u16(&r);
    uint16_t counts[4];
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        counts[i] = read_u16(&r);
    if (r.failed || reply_id != id || (flags & DNS_FLAG_QR) == 0)
        return LOOKUP_NOT_OURS;
    for (unsigned i = 0; i < counts[0]; i++) {
        if (!skip_name(&r) || read_bytes(&r, 4) == NULL)
            return LOOKUP_BROKEN;
    }
    *out = (struct lookup_reply){.rcode = flags & RCODE_MASK};
    struct record record;
    for (unsigned i = 0; i < counts[1]; i++) {
        if (!record_next(&r, &record))
            return LOOKUP_BROKEN;
        if (i > 0)
            continue;
        if (record.type != DNS_TYPE_SRV || record.rdata.size < SRV_FIXED_SIZE)
            return LOOKUP_NO_SRV;
        (void)read_u32(&record.rdata);
        out->endpoint.port = read_u16(&record.rdata);
    }
    if (counts[1] == 0)
        return LOOKUP_NO_SRV;
    for (unsigned i = 0; i < counts[2]; i++) {
        if (!record_next(&r, &record))
            return LOOKUP_BROKEN;
    }
    for (unsigned i = 0; i < counts[3]; i++) {
        if (!record_next(&r, &record))
            return LOOKUP_BROKEN;
        if (address_of(&record, &out->endpoint.addr))
            return LOOKUP_FOUND;
    }
    return LOOKUP_NO_ADDRESS;
}
