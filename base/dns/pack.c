#include "pack.h"

#include "rdata.h"

#include <string.h>

enum {
    LABELS_MAX = DNS_NAME_MAX_SIZE / 2,
    POINTER_BITS = 0xC0,
    POINTER_SIZE = 2,
    SLOTS_MIN = 64,
    SLOTS_GROWTH = 4,
    /* Presentation text is at most so many times as long as the wire form. */
    TEXT_EXPANSION = 4,
};

/* The labels of a name that are not remembered yet. */
struct new_labels {
    unsigned count;
    uint8_t starts[LABELS_MAX];  /* offset of each in the name */
    uint32_t hashes[LABELS_MAX]; /* of the suffix that starts there */
};

enum {
    NOT_FOUND = 0
}; /* no name starts in the header */

void dns_suffix_table_init(struct dns_suffix_table *table)
{
    table->slot_mask = SLOTS_MIN - 1;
    table->count = 0;
    table->recent_owner.name.size = 0;
    table->recent_target.name.size = 0;
    memset(table->slots, 0, SLOTS_MIN * sizeof table->slots[0]);
}

static uint64_t load_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Hashes a suffix of SIZE octets by its size and its first label, a few octets more at times. Names
 * of one message that agree in both and differ behind are rare. */
static uint32_t hash_suffix(const uint8_t *suffix, size_t size)
{
    static const uint64_t odd[] = {0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9,
                                   0xD6E8FEB86659FD93, 0xA0761D6478BD642F, 0xE7037ED1A0B428DB,
                                   0x8EBC6AF09C88C6E3, 0x589965CC75374CC3};
    uint64_t hash = size;
    size_t label = 1u + suffix[0];
    if (size < sizeof(uint64_t)) {
        for (size_t i = 0; i < size; i++)
            hash = hash << 8 | suffix[i];
        hash *= odd[0];
    } else {
        for (size_t at = 0; at < label; at += sizeof(uint64_t)) {
            size_t last = size - sizeof(uint64_t);
            hash += load_word(suffix + (at < last ? at : last)) * odd[at / sizeof(uint64_t)];
        }
    }
    hash = (hash ^ hash >> 32) * odd[0];
    return (uint32_t)(hash >> 32);
}

/* Whether the name at OFFSET of the image, through pointers, is SUFFIX. */
static bool image_holds_slowly(const uint8_t *image, size_t offset, const uint8_t *suffix)
{
    for (;;) {
        uint8_t size = image[offset];
        if (size >= POINTER_BITS) {
            offset = (size_t)(size & ~POINTER_BITS) << 8 | image[offset + 1];
            continue;
        }
        if (size != suffix[0] || memcmp(image + offset + 1, suffix + 1, size) != 0)
            return false;
        if (size == 0)
            return true;
        offset += 1u + size;
        suffix += 1u + size;
    }
}

static bool image_holds(const struct dns_packer *p, size_t offset, const uint8_t *suffix,
                        size_t size)
{
    /* Most names stand there in full. A pointer's first octet is no label's length, so what is
     * behind a shorter name cannot make it look equal. */
    size_t rendered = p->offset < DNS_IMAGE_SIZE ? p->offset : DNS_IMAGE_SIZE;
    if (size <= rendered - offset && memcmp(p->image + offset, suffix, size) == 0)
        return true;
    return image_holds_slowly(p->image, offset, suffix);
}

static uint16_t find(const struct dns_packer *p, const uint8_t *suffix, size_t size, uint32_t hash)
{
    const struct dns_suffix_table *t = p->suffixes;
    for (uint32_t slot = hash & t->slot_mask;; slot = (slot + 1) & t->slot_mask) {
        if (t->slots[slot] == 0)
            return NOT_FOUND;
        const struct dns_suffix *s = &t->suffixes[t->slots[slot] - 1];
        if (s->hash == (uint16_t)hash && image_holds(p, s->offset, suffix, size))
            return s->offset;
    }
}

static void link_suffix(struct dns_suffix_table *t, uint32_t index)
{
    uint32_t slot = t->suffixes[index].hash & t->slot_mask;
    while (t->slots[slot] != 0)
        slot = (slot + 1) & t->slot_mask;
    t->slots[slot] = (uint16_t)(index + 1);
}

static void grow(struct dns_suffix_table *t)
{
    uint32_t slots = (t->slot_mask + 1) * SLOTS_GROWTH;
    t->slot_mask = (slots < DNS_POINTER_LIMIT ? slots : DNS_POINTER_LIMIT) - 1;
    memset(t->slots, 0, (t->slot_mask + 1) * sizeof t->slots[0]);
    for (uint32_t i = 0; i < t->count; i++)
        link_suffix(t, i);
}

static void insert(struct dns_suffix_table *t, size_t offset, uint32_t hash)
{
    if (t->count == ARRAY_COUNT(t->suffixes))
        return; /* cannot be: a suffix takes two octets below the limit */
    if (t->count > t->slot_mask / 2)
        grow(t);
    t->suffixes[t->count] = (struct dns_suffix){.offset = (uint16_t)offset, .hash = (uint16_t)hash};
    link_suffix(t, t->count);
    t->count++;
}

/* The offset by which miekg/dns decides whether a label's suffix is remembered. Its measuring pass
 * counts a name's characters as text, escapes included; its packing pass counts octets. */
static size_t remembered_offset(const struct dns_packer *p, struct dns_name name, size_t start)
{
    if (!p->dry || p->offset + TEXT_EXPANSION * start < DNS_POINTER_LIMIT)
        return p->offset + start;
    struct dns_name_buf head = {.size = (uint8_t)(start + 1)};
    memcpy(head.wire, name.wire, start);
    head.wire[start] = 0;
    return p->offset + (start > 0 ? dns_name_text_size(dns_name_of(&head)) : 0);
}

/* Remembers the new suffixes of the name that is about to be rendered. */
static void remember(struct dns_packer *p, struct dns_name name, const struct new_labels *labels)
{
    if (p->offset >= DNS_POINTER_LIMIT)
        return;
    for (unsigned i = 0; i < labels->count; i++) {
        if (remembered_offset(p, name, labels->starts[i]) >= DNS_POINTER_LIMIT)
            return;
        insert(p->suffixes, p->offset + labels->starts[i], labels->hashes[i]);
    }
}

static void put(struct dns_packer *p, const void *data, size_t size)
{
    if (!p->dry) {
        if (p->failed || size > p->capacity - p->offset) {
            p->failed = true;
            return;
        }
        if (size > 0)
            memcpy(p->image + p->offset, data, size);
    }
    p->offset += size;
}

/* Renders the first SIZE octets of a name, and a pointer behind them unless TARGET is 0. */
static void put_name(struct dns_packer *p, const uint8_t *wire, size_t size, uint16_t target)
{
    size_t all = size + (target != NOT_FOUND ? POINTER_SIZE : 0);
    if (p->failed || (!p->dry && all > p->capacity - p->offset)) {
        p->failed = true;
        return;
    }
    if (!p->dry || p->offset < DNS_POINTER_LIMIT) {
        uint8_t *to = p->image + p->offset;
        memcpy(to, wire, size);
        if (target != NOT_FOUND) {
            to[size] = (uint8_t)(POINTER_BITS | target >> 8);
            to[size + 1] = (uint8_t)target;
        }
    }
    p->offset += all;
}

/* Renders NAME: what follows its first IN_FULL octets is remembered at TARGET, unless that is 0. */
static void put_found(struct dns_packer *p, struct dns_name name, size_t in_full, uint16_t target,
                      bool compressible)
{
    if (compressible && target != NOT_FOUND)
        put_name(p, name.wire, in_full, target);
    else
        put_name(p, name.wire, name.size, NOT_FOUND);
}

static void pack_new_name(struct dns_packer *p, struct dns_name name, bool compressible,
                          struct dns_recent_name *recent)
{
    struct new_labels labels;
    labels.count = 0;
    uint16_t target = NOT_FOUND;
    size_t in_full = 0; /* octets in front of the remembered suffix */
    for (uint8_t label; (label = name.wire[in_full]) != 0; in_full += 1u + label) {
        uint32_t hash = hash_suffix(name.wire + in_full, name.size - in_full);
        target = find(p, name.wire + in_full, name.size - in_full, hash);
        if (target != NOT_FOUND)
            break;
        labels.starts[labels.count] = (uint8_t)in_full;
        labels.hashes[labels.count++] = hash;
    }
    if (in_full == 0)
        *recent = (struct dns_recent_name){.name = name, .offset = target};
    else if (p->offset < DNS_POINTER_LIMIT)
        *recent = (struct dns_recent_name){.name = name, .offset = (uint16_t)p->offset};
    remember(p, name, &labels);
    put_found(p, name, in_full, target, compressible);
}

/* RECENT: the latest name of the same kind, updated. Not used without a suffix table. */
static void pack_name(struct dns_packer *p, struct dns_name name, bool compressible,
                      struct dns_recent_name *recent)
{
    if (p->suffixes == NULL || name.size == 1) {
        put_name(p, name.wire, name.size, NOT_FOUND);
        return;
    }
    /* The target of a WireGuard peer's SRV is its owner: nothing new to remember then. */
    const struct dns_recent_name *owner = &p->suffixes->recent_owner;
    if (dns_name_same(name, recent->name))
        put_found(p, name, 0, recent->offset, compressible);
    else if (dns_name_same(name, owner->name))
        put_found(p, name, 0, owner->offset, compressible);
    else
        pack_new_name(p, name, compressible, recent);
}

enum {
    FIELD_BAD = UINT32_MAX
};

/* Packs the name at the start of the LEFT octets of an rdata; returns its size there. */
static size_t pack_rdata_name(struct dns_packer *p, const uint8_t *rdata, size_t left,
                              bool compressible)
{
    struct dns_name name;
    if (dns_name_check(&name, rdata, left) != OK)
        return FIELD_BAD;
    pack_name(p, name, compressible, &p->suffixes->recent_target);
    return name.size;
}

static size_t pack_rdata_names(struct dns_packer *p, const uint8_t *rdata, size_t left)
{
    size_t at = 0;
    while (at < left) {
        size_t size = pack_rdata_name(p, rdata + at, left - at, false);
        if (size == FIELD_BAD)
            break;
        at += size;
    }
    return at;
}

/* Packs the field at AT of the rdata; returns its size there, FIELD_BAD (and nothing packed) if it
 * is cut short or no names can follow it. */
static size_t pack_field(struct dns_packer *p, const struct dns_rr *rr, char field, size_t at)
{
    const uint8_t *here = rr->rdata + at;
    size_t left = rr->rdata_size - at;
    size_t size;
    switch (field) {
    case '1':
    case '2':
    case '4':
    case '6':
    case '8':
        size = (size_t)(field - '0');
        break;
    case 's':
        size = 1u + here[0];
        break;
    case 'i':
        size = rr->rdata[0] + ((size_t)rr->rdata[2] << 8 | rr->rdata[3]);
        break;
    case 'c':
    case 'n':
        return pack_rdata_name(p, here, left, field == 'c');
    case 'N':
        return pack_rdata_names(p, here, left);
    case 'g':
        /* Gateway kind 3 is a name. miekg/dns's measuring pass does not remember it. */
        return rr->rdata[1] == 3 && !p->dry ? pack_rdata_name(p, here, left, false) : FIELD_BAD;
    default:
        return FIELD_BAD;
    }
    if (size > left)
        return FIELD_BAD;
    put(p, here, size);
    return size;
}

/* Packs the rdata field by field as far as its names; the rest as it is. */
static void pack_rdata(struct dns_packer *p, const struct dns_rr *rr)
{
    size_t at = 0;
    for (const char *field = dns_rdata_layout(rr->type); *field != '\0'; field++) {
        size_t size = at < rr->rdata_size ? pack_field(p, rr, *field, at) : FIELD_BAD;
        if (size == FIELD_BAD)
            break;
        at += size;
    }
    put(p, rr->rdata + at, rr->rdata_size - at);
}

static void encode_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void dns_pack_question(struct dns_packer *p, const struct dns_question *question)
{
    uint8_t fixed[4];
    encode_u16(fixed, question->type);
    encode_u16(fixed + 2, question->class_number);
    pack_name(p, question->name, true, p->suffixes != NULL ? &p->suffixes->recent_owner : NULL);
    put(p, fixed, sizeof fixed);
}

void dns_pack_rr(struct dns_packer *p, const struct dns_rr *rr)
{
    uint8_t fixed[DNS_RR_FIXED_SIZE];
    encode_u16(fixed, rr->type);
    encode_u16(fixed + 2, rr->class_number);
    encode_u16(fixed + 4, (uint16_t)(rr->ttl >> 16));
    encode_u16(fixed + 6, (uint16_t)rr->ttl);
    encode_u16(fixed + 8, rr->rdata_size);
    if (p->suffixes == NULL) {
        put(p, rr->owner.wire, rr->owner.size);
        put(p, fixed, sizeof fixed);
        put(p, rr->rdata, rr->rdata_size);
        return;
    }
    pack_name(p, rr->owner, true, &p->suffixes->recent_owner);
    put(p, fixed, sizeof fixed);
    size_t start = p->offset;
    pack_rdata(p, rr);
    if (p->dry)
        p->offset += dns_rdata_excess(rr);
    else if (!p->failed)
        encode_u16(p->image + start - 2, (uint16_t)(p->offset - start));
}
