/* Names: wire forms with pointers, texts, and the comparisons against naive twins. The first octet
 * says where in the rest a name starts. */
#include "base/dns_name.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the functions of two names must say, octet by octet. */
static bool naive_equal(struct dns_name a, struct dns_name b)
{
    if (a.size != b.size)
        return false;
    for (size_t i = 0; i < a.size; i++) {
        uint8_t x = a.wire[i], y = b.wire[i];
        if (x >= 'A' && x <= 'Z')
            x = (uint8_t)(x + 32);
        if (y >= 'A' && y <= 'Z')
            y = (uint8_t)(y + 32);
        if (x != y)
            return false;
    }
    return true;
}

static bool naive_under(struct dns_name name, struct dns_name suffix)
{
    for (;;) {
        if (naive_equal(name, suffix))
            return true;
        if (name.size == 1)
            return false;
        name = dns_name_parent(name);
    }
}

static void check_text(struct dns_name name)
{
    char text[DNS_NAME_TEXT_SIZE];
    size_t size = dns_name_to_text(name, text);
    REQUIRE(size == strlen(text) && size == dns_name_text_size(name) && size < sizeof text);
    struct dns_name_buf back;
    REQUIRE(dns_name_from_text(&back, text, size) == OK);
    REQUIRE(dns_name_same(name, dns_name_of(&back)));
    /* The final dot is optional. */
    if (size > 1) {
        REQUIRE(dns_name_from_text(&back, text, size - 1) == OK);
        REQUIRE(dns_name_same(name, dns_name_of(&back)));
    }
}

static void check_name(const struct dns_name_buf *buf)
{
    struct dns_name name = dns_name_of(buf), checked;
    REQUIRE(dns_name_check(&checked, buf->wire, buf->size) == OK && checked.size == buf->size);
    REQUIRE(dns_name_check(&checked, buf->wire, buf->size - 1u) == ERR_MALFORMED);
    struct dns_name_buf lower;
    dns_name_lower(&lower, name);
    REQUIRE(dns_name_check(&checked, lower.wire, lower.size) == OK);
    REQUIRE(dns_name_equal(name, dns_name_of(&lower)));
    check_text(name);
    unsigned labels = 0;
    for (struct dns_name n = name; n.size > 1; n = dns_name_parent(n)) {
        REQUIRE(dns_name_is_under(name, n));
        labels++;
    }
    REQUIRE(labels == dns_name_label_count(name));
}

static void check_pair(const struct dns_name_buf *a, const struct dns_name_buf *b)
{
    struct dns_name x = dns_name_of(a), y = dns_name_of(b);
    REQUIRE(dns_name_equal(x, y) == naive_equal(x, y));
    REQUIRE(dns_name_same(x, y) == (x.size == y.size && memcmp(x.wire, y.wire, x.size) == 0));
    REQUIRE(dns_name_is_under(x, y) == naive_under(x, y));
    struct dns_name_buf joined;
    enum err error = dns_name_join(&joined, x, y);
    REQUIRE((error == OK) == (x.size + y.size - 1 <= DNS_NAME_MAX_SIZE));
    if (error == OK) {
        check_name(&joined);
        REQUIRE(dns_name_is_under(dns_name_of(&joined), y));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct reader r = reader_of(data + 1, size - 1);
    r.offset = data[0] < r.size ? data[0] : r.size;
    struct dns_name_buf first, next, text;
    if (dns_name_read(&first, &r) == OK) {
        REQUIRE(r.offset <= r.size);
        check_name(&first);
        if (dns_name_read(&next, &r) == OK) {
            check_name(&next);
            check_pair(&first, &next);
            check_pair(&next, &first);
        }
    } else {
        REQUIRE(r.failed);
    }
    if (dns_name_from_text(&text, (const char *)data + 1, size - 1) == OK)
        check_name(&text);
    return 0;
}
