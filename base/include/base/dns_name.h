/* Domain names in wire form.
 *
 * A `struct dns_name` borrows validated, uncompressed wire bytes: labels of 1 to 63 octets, a final
 * root label, at most 255 octets in all (RFC 1035 section 3.1). dns_name_check and the functions
 * that make names are the only gate; everything else relies on it. Case is kept. */
#ifndef WARREN_BASE_DNS_NAME_H
#define WARREN_BASE_DNS_NAME_H

#include "base/cursor.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DNS_NAME_MAX_SIZE = 255,
    DNS_LABEL_MAX_SIZE = 63,
    /* Presentation form: every octet may become "\DDD"; with NUL. */
    DNS_NAME_TEXT_SIZE = 4 * 255 + 2,
};

struct dns_name {
    const uint8_t *wire; /* borrowed */
    uint8_t size;        /* octets, root label included: 1 to 255 */
};

/* A name with its own storage. */
struct dns_name_buf {
    uint8_t size;
    uint8_t wire[DNS_NAME_MAX_SIZE];
};

static inline struct dns_name dns_name_of(const struct dns_name_buf *b)
{
    return (struct dns_name){.wire = b->wire, .size = b->size};
}

/* The root name, static. */
struct dns_name dns_name_root(void);

/* Validates uncompressed wire bytes that may be followed by others; on OK the name borrows them. */
enum err dns_name_check(struct dns_name *out, const uint8_t *wire, size_t size) MUST_CHECK;

/* Reads a possibly compressed name at the cursor of MESSAGE (whose data starts at the DNS header).
 * Pointers may point anywhere before the end of MESSAGE and are followed at most 126 times, as in
 * miekg/dns, whose acceptance we keep; reserved label types are refused. The cursor ends behind the
 * name where it stands. ERR_MALFORMED, and MESSAGE has failed. */
enum err dns_name_read(struct dns_name_buf *out, struct reader *message) MUST_CHECK;

/* Presentation text to wire: "\." "\\" "\DDD" escapes, the final dot optional, "" and "." are the
 * root. A backslash before anything but three digits stands for the octet behind it. ERR_MALFORMED
 * for empty labels, over-long labels or names, "\DDD" above 255, a backslash at the end. */
enum err dns_name_from_text(struct dns_name_buf *out, const char *text, size_t size) MUST_CHECK;

/* Fully qualified presentation text as miekg/dns prints it: printable ASCII as is, `. space ' @ ; (
 * ) " \` behind a backslash, other octets "\DDD". Returns the length without the NUL. */
size_t dns_name_to_text(struct dns_name name, char out[static DNS_NAME_TEXT_SIZE]);
/* The length dns_name_to_text would return. */
size_t dns_name_text_size(struct dns_name name);

/* ASCII lower case of every octet (RFC 4343). */
void dns_name_lower(struct dns_name_buf *out, struct dns_name name);

/* Case-insensitive (RFC 4343) and exact comparison. */
bool dns_name_equal(struct dns_name a, struct dns_name b);
bool dns_name_same(struct dns_name a, struct dns_name b);

/* Number of labels without the root. */
unsigned dns_name_label_count(struct dns_name name);
/* The name without its first label; the root's parent is the root. */
struct dns_name dns_name_parent(struct dns_name name);
/* Whether NAME is SUFFIX or below it, label-wise and case-insensitive. */
bool dns_name_is_under(struct dns_name name, struct dns_name suffix);
/* PREFIX (relative: its root label is dropped) followed by SUFFIX. ERR_NO_SPACE beyond 255. */
enum err dns_name_join(struct dns_name_buf *out, struct dns_name prefix,
                       struct dns_name suffix) MUST_CHECK;

#endif
