#include "same_owner.h"

#include "pack.h"

#include <string.h>

enum {
    POINTER_BITS = 0xC000,
    WORD_SIZE = sizeof(uint64_t),
};

static bool has_plain_rdata(uint16_t type)
{
    return type == DNS_TYPE_SRV || type == DNS_TYPE_A || type == DNS_TYPE_AAAA ||
           type == DNS_TYPE_TXT;
}

/* The number of leading octets that hold every difference between two names of one size. */
static size_t different_size(const uint8_t *a, const uint8_t *b, size_t size)
{
    while (size >= WORD_SIZE && memcmp(a + size - WORD_SIZE, b + size - WORD_SIZE, WORD_SIZE) == 0)
        size -= WORD_SIZE;
    while (size > 0 && a[size - 1] == b[size - 1])
        size--;
    return size;
}

/* The first label of NAME that begins at AT or behind. */
static size_t label_from(struct dns_name name, size_t at)
{
    size_t start = 0;
    while (start < at)
        start += 1u + name.wire[start];
    return start;
}

/* Names of one size can share only suffixes that begin at the same octet. */
static bool shared_suffix(struct dns_name owner, struct dns_name asked, size_t *shared)
{
    if (owner.size != asked.size)
        return false;
    size_t differs = different_size(owner.wire, asked.wire, owner.size);
    size_t start = label_from(owner, differs);
    if (start != label_from(asked, differs))
        return false;
    *shared = owner.wire[start] == 0 ? owner.size : start;
    return true;
}

bool dns_same_owner_applies(const struct dns_message *m, size_t *shared)
{
    struct dns_name owner = {0};
    if (!m->has_question || m->question.name.size == 1)
        return false;
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        for (size_t i = 0; i < list->count; i++) {
            const struct dns_rr *rr = &list->rrs[i];
            if (owner.wire == NULL)
                owner = rr->owner;
            if (rr->owner.wire != owner.wire || !has_plain_rdata(rr->type))
                return false;
        }
    }
    return owner.wire != NULL && shared_suffix(owner, m->question.name, shared);
}

static void write_fixed(struct writer *w, const struct dns_rr *rr)
{
    write_u16(w, rr->type);
    write_u16(w, rr->class_number);
    write_u32(w, rr->ttl);
    write_u16(w, rr->rdata_size);
    write_bytes(w, rr->rdata, rr->rdata_size);
}

void dns_same_owner_write(const struct dns_message *m, size_t shared, struct writer *w)
{
    struct dns_name asked = m->question.name;
    size_t asked_at = w->size;
    write_bytes(w, asked.wire, asked.size);
    write_u16(w, m->question.type);
    write_u16(w, m->question.class_number);

    size_t owner_at = 0; /* of the first owner, once it is written */
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &m->sections[section];
        for (size_t i = 0; i < list->count; i++) {
            struct dns_name owner = list->rrs[i].owner;
            if (owner_at == 0) {
                owner_at = shared == 0 ? asked_at : w->size;
                write_bytes(w, owner.wire, shared);
                if (shared < owner.size)
                    write_u16(w, (uint16_t)(POINTER_BITS | (asked_at + shared)));
            } else {
                write_u16(w, (uint16_t)(POINTER_BITS | owner_at));
            }
            write_fixed(w, &list->rrs[i]);
        }
    }
}
