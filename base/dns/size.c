#include "pack.h"
#include "rdata.h"

size_t dns_edns_size(const struct dns_edns *edns)
{
    size_t size = DNS_OPT_FIXED_SIZE;
    for (size_t i = 0; i < edns->option_count; i++)
        size += DNS_OPTION_FIXED_SIZE + (size_t)edns->options[i].size;
    return size;
}

bool dns_rr_may_exceed(const struct dns_rr *rr)
{
    enum {
        KEY = 24,
        SIG = 25
    };
    return rr->type > DNS_TYPE_SRV || rr->type == KEY || rr->type == SIG;
}

size_t dns_rr_size(const struct dns_rr *rr)
{
    size_t excess = dns_rr_may_exceed(rr) ? dns_rdata_excess(rr) : 0;
    return (size_t)rr->owner.size + DNS_RR_FIXED_SIZE + rr->rdata_size + excess;
}

size_t dns_message_head_size(const struct dns_message *m)
{
    size_t question = m->has_question ? (size_t)m->question.name.size + 4 : 0;
    return DNS_HEADER_SIZE + question;
}

size_t dns_message_size_until(const struct dns_message *m, size_t limit)
{
    size_t size = dns_message_head_size(m) + (m->edns != NULL ? dns_edns_size(m->edns) : 0);
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        for (size_t i = 0; i < list->count && size <= limit; i++)
            size += dns_rr_size(&list->rrs[i]);
    }
    return size;
}

static size_t compressed_size(const struct dns_message *m)
{
    uint8_t image[DNS_IMAGE_SIZE];
    struct dns_suffix_table suffixes;
    dns_suffix_table_init(&suffixes);
    struct dns_packer p = {.image = image, .dry = true, .suffixes = &suffixes};
    p.offset = DNS_HEADER_SIZE;
    if (m->has_question)
        dns_pack_question(&p, &m->question);
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        for (size_t i = 0; i < list->count; i++)
            dns_pack_rr(&p, &list->rrs[i]);
    }
    return p.offset + (m->edns != NULL ? dns_edns_size(m->edns) : 0);
}

size_t dns_message_size(const struct dns_message *m)
{
    return m->compress ? compressed_size(m) : dns_message_size_until(m, SIZE_MAX);
}
