#include "request_head.h"

#include "base/attr.h"

#include <nghttp2/nghttp2.h>
#include <stddef.h>

/* :authority may be absent, and nothing here asks what is in it. */
enum {
    SEEN_METHOD = 1 << 0,
    SEEN_SCHEME = 1 << 1,
    SEEN_PATH = 1 << 2,
    SEEN_AUTHORITY = 1 << 3,
    SEEN_NEEDED = SEEN_METHOD | SEEN_SCHEME | SEEN_PATH,
};

static const struct {
    const char *name;
    unsigned bit;
} pseudo_fields[] = {
    {":method", SEEN_METHOD},
    {":scheme", SEEN_SCHEME},
    {":path", SEEN_PATH},
    {":authority", SEEN_AUTHORITY},
};

static const char *const connection_fields[] = {
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade",
};

/* RFC 9113 section 8.3: known, once, before every regular field. */
static bool is_pseudo_field_fine(struct request_head *h, struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(pseudo_fields); i++) {
        if (!bytes_equal(name, bytes_of_str(pseudo_fields[i].name)))
            continue;
        if (h->is_behind || (h->seen & pseudo_fields[i].bit) != 0)
            return false;
        h->seen |= pseudo_fields[i].bit;
        return true;
    }
    return false;
}

/* RFC 9113 section 8.2.2: fields of one connection have no place in HTTP/2. */
static bool is_regular_field_fine(struct bytes name, struct bytes value)
{
    for (size_t i = 0; i < ARRAY_COUNT(connection_fields); i++)
        if (bytes_equal(name, bytes_of_str(connection_fields[i])))
            return false;
    return !bytes_equal(name, bytes_of_str("te")) || bytes_equal(value, bytes_of_str("trailers"));
}

bool request_head_field(struct request_head *h, struct bytes name, struct bytes value)
{
    /* RFC 9113 section 8.2.1: no upper case in names; no NUL, CR or LF in values. */
    if (!nghttp2_check_header_name(name.data, name.size) ||
        !nghttp2_check_header_value(value.data, value.size))
        return false;
    if (name.data[0] == ':')
        return is_pseudo_field_fine(h, name);
    h->is_behind = true;
    return is_regular_field_fine(name, value);
}

bool request_head_is_complete(const struct request_head *h)
{
    return (h->seen & SEEN_NEEDED) == SEEN_NEEDED;
}
