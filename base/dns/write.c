#include "pack.h"
#include "same_owner.h"

enum {
    RCODE_BITS = 4,
    RCODE_MAX = 0x0F,
    EXTENDED_RCODE_MAX = 0xFFF,
    OPCODE_SHIFT = 11,
    ONE_PASS_MAX_RRS = 16,
    ONE_PASS_MAX_SIZE = 4096,
};

static void header_write(struct writer *w, const struct dns_message *m)
{
    write_u16(w, m->id);
    write_u16(w, (uint16_t)(m->flags | m->opcode << OPCODE_SHIFT | (m->rcode & RCODE_MAX)));
    write_u16(w, m->has_question);
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        size_t count = m->sections[section].count;
        if (section == DNS_ADDITIONAL && m->edns != NULL)
            count++;
        write_u16(w, (uint16_t)count);
    }
}

static void edns_write(struct writer *w, const struct dns_edns *edns, uint16_t rcode)
{
    write_u8(w, 0); /* the root name */
    write_u16(w, DNS_TYPE_OPT);
    write_u16(w, edns->udp_size);
    write_u8(w, (uint8_t)(rcode >> RCODE_BITS));
    write_u8(w, edns->version);
    write_u16(w, edns->flags);
    write_u16(w, (uint16_t)(dns_edns_size(edns) - DNS_OPT_FIXED_SIZE));
    for (size_t i = 0; i < edns->option_count; i++) {
        write_u16(w, edns->options[i].code);
        write_u16(w, edns->options[i].size);
        write_bytes(w, edns->options[i].data, edns->options[i].size);
    }
}

/* The question and the RRs behind the header. */
static void body_write(struct dns_packer *p, const struct dns_message *m)
{
    if (m->has_question)
        dns_pack_question(p, &m->question);
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        for (size_t i = 0; i < list->count && !p->failed; i++)
            dns_pack_rr(p, &list->rrs[i]);
    }
}

/* Its own function for the stack that the table takes. */
static __attribute__((noinline)) void body_write_compressed(struct dns_packer *p,
                                                            const struct dns_message *m)
{
    struct dns_suffix_table suffixes;
    dns_suffix_table_init(&suffixes);
    p->suffixes = &suffixes;
    body_write(p, m);
    p->suffixes = NULL;
}

enum err dns_message_write(const struct dns_message *m, uint8_t *out, size_t capacity, size_t *size)
{
    if (m->rcode > (m->edns != NULL ? EXTENDED_RCODE_MAX : RCODE_MAX))
        return ERR_INVALID;
    struct writer w =
        writer_of(out, capacity < DNS_MAX_MESSAGE_SIZE ? capacity : DNS_MAX_MESSAGE_SIZE);
    header_write(&w, m);
    if (w.failed)
        return ERR_NO_SPACE;
    size_t shared;
    if (m->compress && dns_same_owner_applies(m, &shared)) {
        dns_same_owner_write(m, shared, &w);
    } else {
        struct dns_packer p = {.image = out, .capacity = w.capacity, .offset = w.size};
        if (m->compress)
            body_write_compressed(&p, m);
        else
            body_write(&p, m);
        w.size = p.offset;
        w.failed = p.failed;
    }
    if (m->edns != NULL)
        edns_write(&w, m->edns, m->rcode);
    if (w.failed)
        return ERR_NO_SPACE;
    *size = w.size;
    return OK;
}

/* Whether the packed size decides what dns_message_truncate would do: it measures some types larger
 * than they are, and offsets of escaped names beyond the pointers' reach in another way. */
static bool measures_as_packed(const struct dns_message *m)
{
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        if (list->count > ONE_PASS_MAX_RRS)
            return false;
        for (size_t i = 0; i < list->count; i++)
            if (dns_rr_may_exceed(&list->rrs[i]))
                return false;
    }
    return true;
}

enum err dns_message_write_within(struct dns_message *m, size_t limit, uint8_t *out,
                                  size_t capacity, size_t *size)
{
    if (limit < DNS_MIN_UDP_SIZE)
        limit = DNS_MIN_UDP_SIZE;
    m->compress = dns_message_size_until(m, limit) > limit;
    if (m->compress && limit <= ONE_PASS_MAX_SIZE && measures_as_packed(m) &&
        dns_message_write(m, out, capacity < limit ? capacity : limit, size) == OK)
        return OK;
    if (m->compress)
        dns_message_truncate(m, limit);
    return dns_message_write(m, out, capacity, size);
}
