#include "base/dns_name.h"

#include <string.h>

enum {
    POINTER_BITS = 0xC0,
    /* As many compression pointers as a name of 255 octets could ever need: 127 labels, without the
     * root and the smallest label before it. A longer chain is a loop or an attack. */
    POINTERS_MAX = (DNS_NAME_MAX_SIZE + 1) / 2 - 2,
};

struct dns_name dns_name_root(void)
{
    static const uint8_t root[1] = {0};
    return (struct dns_name){.wire = root, .size = 1};
}

enum err dns_name_check(struct dns_name *out, const uint8_t *wire, size_t size)
{
    size_t at = 0;
    while (at < size && at < DNS_NAME_MAX_SIZE) {
        uint8_t label = wire[at];
        if (label == 0) {
            *out = (struct dns_name){.wire = wire, .size = (uint8_t)(at + 1)};
            return OK;
        }
        if (label > DNS_LABEL_MAX_SIZE)
            return ERR_MALFORMED;
        at += 1u + label;
    }
    return ERR_MALFORMED;
}

/* Where a name's labels come from, and where the message goes on behind it. */
struct name_walk {
    const uint8_t *data;
    size_t size;
    size_t at;       /* next octet to look at */
    size_t behind;   /* offset behind the name; known at the first pointer or at the end */
    size_t pointers; /* followed so far */
};

/* Steps to the next label, through pointers. A label of size 0 is the root's. */
static bool walk_label(struct name_walk *w, uint8_t *label)
{
    while (w->at < w->size) {
        uint8_t first = w->data[w->at++];
        if (first <= DNS_LABEL_MAX_SIZE) {
            if (first > w->size - w->at)
                return false;
            if (first == 0 && w->pointers == 0)
                w->behind = w->at;
            *label = first;
            return true;
        }
        if ((first & POINTER_BITS) != POINTER_BITS || w->at >= w->size)
            return false;
        if (w->pointers++ == 0)
            w->behind = w->at + 1;
        if (w->pointers > POINTERS_MAX)
            return false;
        w->at = (size_t)(first & ~POINTER_BITS) << 8 | w->data[w->at];
    }
    return false;
}

/* The name's size and its end in the message; false if it is malformed. */
static bool walk_name(struct name_walk *w, size_t *size)
{
    size_t total = 1;
    for (;;) {
        uint8_t label;
        if (!walk_label(w, &label))
            return false;
        if (label == 0)
            break;
        total += 1u + label;
        if (total > DNS_NAME_MAX_SIZE)
            return false;
        w->at += label;
    }
    *size = total;
    return true;
}

/* The size of the name at AT if it has no pointers, is whole and not too long; else 0. */
static size_t plain_name_size(const uint8_t *data, size_t size, size_t at)
{
    size_t start = at;
    while (at < size && data[at] <= DNS_LABEL_MAX_SIZE) {
        if (data[at] == 0)
            return at + 1 - start <= DNS_NAME_MAX_SIZE ? at + 1 - start : 0;
        at += 1u + data[at];
    }
    return 0;
}

static enum err read_compressed(struct dns_name_buf *out, struct reader *message)
{
    struct name_walk walk = {.data = message->data, .size = message->size, .at = message->offset};
    size_t size;
    if (message->failed || !walk_name(&walk, &size)) {
        message->failed = true;
        return ERR_MALFORMED;
    }
    struct name_walk again = {.data = walk.data, .size = walk.size, .at = message->offset};
    size_t at = 0;
    uint8_t label;
    while (walk_label(&again, &label) && label != 0) {
        memcpy(out->wire + at, again.data + again.at - 1, 1u + label);
        at += 1u + label;
        again.at += label;
    }
    out->wire[at] = 0;
    out->size = (uint8_t)size;
    message->offset = walk.behind;
    return OK;
}

enum err dns_name_read(struct dns_name_buf *out, struct reader *message)
{
    size_t size = plain_name_size(message->data, message->size, message->offset);
    if (size == 0 || message->failed)
        return read_compressed(out, message);
    memcpy(out->wire, message->data + message->offset, size);
    out->size = (uint8_t)size;
    message->offset += size;
    return OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One octet of a label: as it is, "\DDD", or any other octet behind a backslash. Returns how many
 * characters it took, 0 for a bad escape. */
static size_t text_octet(const char *text, size_t left, uint8_t *octet)
{
    if (text[0] != '\\') {
        *octet = (uint8_t)text[0];
        return 1;
    }
    if (left >= 4 && is_digit(text[1]) && is_digit(text[2]) && is_digit(text[3])) {
        int value = (text[1] - '0') * 100 + (text[2] - '0') * 10 + (text[3] - '0');
        *octet = (uint8_t)value;
        return value <= UINT8_MAX ? 4 : 0;
    }
    if (left < 2)
        return 0;
    *octet = (uint8_t)text[1];
    return 2;
}

enum err dns_name_from_text(struct dns_name_buf *out, const char *text, size_t size)
{
    struct dns_name_buf name = {.size = 0};
    if (size == 0 || (size == 1 && text[0] == '.')) {
        out->size = 1;
        out->wire[0] = 0;
        return OK;
    }
    size_t length_at = 0; /* where the current label's length goes */
    size_t at = 1;
    for (size_t i = 0; i < size;) {
        if (text[i] == '.') {
            if (at == length_at + 1 || at >= DNS_NAME_MAX_SIZE)
                return ERR_MALFORMED;
            name.wire[length_at] = (uint8_t)(at - length_at - 1);
            length_at = at++;
            i++;
            continue;
        }
        uint8_t octet;
        size_t taken = text_octet(text + i, size - i, &octet);
        if (taken == 0 || at - length_at > DNS_LABEL_MAX_SIZE || at >= DNS_NAME_MAX_SIZE)
            return ERR_MALFORMED;
        name.wire[at++] = octet;
        i += taken;
    }
    if (at > length_at + 1) { /* no final dot: close the last label */
        name.wire[length_at] = (uint8_t)(at - length_at - 1);
        length_at = at++;
    }
    if (at > DNS_NAME_MAX_SIZE)
        return ERR_MALFORMED;
    name.wire[length_at] = 0;
    out->size = (uint8_t)at;
    memcpy(out->wire, name.wire, at);
    return OK;
}

/* How many characters miekg/dns prints for an octet of a label: 1, 2 (backslash) or 4 ("\DDD"). */
static size_t octet_text_size(uint8_t octet)
{
    switch (octet) {
    case '.':
    case ' ':
    case '\'':
    case '@':
    case ';':
    case '(':
    case ')':
    case '"':
    case '\\':
        return 2;
    default:
        return octet < ' ' || octet > '~' ? 4 : 1;
    }
}

size_t dns_name_to_text(struct dns_name name, char out[static DNS_NAME_TEXT_SIZE])
{
    char *to = out;
    const uint8_t *wire = name.wire;
    if (*wire == 0)
        *to++ = '.';
    while (*wire != 0) {
        for (uint8_t left = *wire++; left > 0; left--) {
            uint8_t octet = *wire++;
            size_t size = octet_text_size(octet);
            if (size > 1)
                *to++ = '\\';
            if (size == 4) {
                *to++ = (char)('0' + octet / 100);
                *to++ = (char)('0' + octet / 10 % 10);
                octet = (uint8_t)('0' + octet % 10);
            }
            *to++ = (char)octet;
        }
        *to++ = '.';
    }
    *to = '\0';
    return (size_t)(to - out);
}

size_t dns_name_text_size(struct dns_name name)
{
    size_t size = name.size == 1;
    const uint8_t *wire = name.wire;
    while (*wire != 0) {
        for (uint8_t left = *wire++; left > 0; left--)
            size += octet_text_size(*wire++);
        size++;
    }
    return size;
}

/* Lower case may run over the length octets too: none of 0 to 63 is a letter. */
static uint8_t lower(uint8_t octet)
{
    return (uint8_t)(octet + ((uint8_t)(octet - 'A') < 26) * ('a' - 'A'));
}

/* Lower case of eight octets at once: 0x20 is added where an octet is in 'A' to 'Z'. */
static uint64_t lower_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101;
    uint64_t seven_bits = word & 0x7F * ones;
    uint64_t above = seven_bits + (0x7F - 'Z') * ones; /* top bit: octet > 'Z' */
    uint64_t from = seven_bits + (0x80 - 'A') * ones;  /* top bit: octet >= 'A' */
    uint64_t letters = from & ~above & ~word & 0x80 * ones;
    return word | letters >> 2;
}

static uint64_t load_word(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

void dns_name_lower(struct dns_name_buf *out, struct dns_name name)
{
    size_t i = 0;
    for (; name.size - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word = lower_word(load_word(name.wire + i));
        memcpy(out->wire + i, &word, sizeof word);
    }
    for (; i < name.size; i++)
        out->wire[i] = lower(name.wire[i]);
    out->size = name.size;
}

static bool equal_ignoring_case(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t i = 0;
    for (; size - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        if (lower_word(load_word(a + i)) != lower_word(load_word(b + i)))
            return false;
    }
    for (; i < size; i++) {
        if (lower(a[i]) != lower(b[i]))
            return false;
    }
    return true;
}

bool dns_name_equal(struct dns_name a, struct dns_name b)
{
    return a.size == b.size && equal_ignoring_case(a.wire, b.wire, a.size);
}

bool dns_name_same(struct dns_name a, struct dns_name b)
{
    return a.size == b.size && memcmp(a.wire, b.wire, a.size) == 0;
}

unsigned dns_name_label_count(struct dns_name name)
{
    unsigned count = 0;
    for (const uint8_t *label = name.wire; *label != 0; label += 1 + *label)
        count++;
    return count;
}

struct dns_name dns_name_parent(struct dns_name name)
{
    if (name.size == 1)
        return name;
    unsigned label = 1u + name.wire[0];
    return (struct dns_name){.wire = name.wire + label, .size = (uint8_t)(name.size - label)};
}

bool dns_name_is_under(struct dns_name name, struct dns_name suffix)
{
    while (name.size > suffix.size)
        name = dns_name_parent(name);
    return dns_name_equal(name, suffix);
}

enum err dns_name_join(struct dns_name_buf *out, struct dns_name prefix, struct dns_name suffix)
{
    size_t head = prefix.size - 1u;
    if (head + suffix.size > DNS_NAME_MAX_SIZE)
        return ERR_NO_SPACE;
    /* SUFFIX may live in OUT, as the parent of a growing name does: move it first. */
    memmove(out->wire + head, suffix.wire, suffix.size);
    memmove(out->wire, prefix.wire, head);
    out->size = (uint8_t)(head + suffix.size);
    return OK;
}
