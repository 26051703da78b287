#include "pack.h"

/* How many RRs of LIST fit. *FULL: nothing more is to be added, of later sections neither. */
static size_t fitting(struct dns_packer *p, const struct dns_rr_list *list, size_t size, bool *full)
{
    for (size_t i = 0; i < list->count && !*full; i++) {
        dns_pack_rr(p, &list->rrs[i]);
        *full = p->offset >= size;
        if (p->offset > size)
            return i;
        if (*full)
            return i + 1;
    }
    return *full ? 0 : list->count;
}

/* Drops the RRs that do not fit in SIZE octets when compressed. Its own function for the stack that
 * it takes. */
static __attribute__((noinline)) void drop_rrs(struct dns_message *m, size_t size)
{
    uint8_t image[DNS_IMAGE_SIZE];
    struct dns_suffix_table suffixes;
    dns_suffix_table_init(&suffixes);
    struct dns_packer p = {.image = image, .dry = true, .suffixes = &suffixes};
    p.offset = DNS_HEADER_SIZE;
    if (m->has_question)
        dns_pack_question(&p, &m->question);
    bool full = p.offset >= size;
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        struct dns_rr_list *list = &m->sections[section];
        size_t count = fitting(&p, list, size, &full);
        if (count < list->count)
            m->flags |= DNS_FLAG_TC;
        list->count = count;
    }
}

void dns_message_truncate(struct dns_message *m, size_t size)
{
    if (size < DNS_MIN_UDP_SIZE)
        size = DNS_MIN_UDP_SIZE;
    if (dns_message_size_until(m, size) <= size) {
        m->compress = false;
        return;
    }
    m->compress = true;
    /* The OPT is never dropped: the rest gets what it leaves, which may be nothing. */
    size_t edns_size = m->edns != NULL ? dns_edns_size(m->edns) : 0;
    drop_rrs(m, size > edns_size ? size - edns_size : 0);
}
