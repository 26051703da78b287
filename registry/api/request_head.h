/* What makes the header block of an HTTP/2 request well-formed: RFC 9113 sections 8.2, 8.2.2 and
 * 8.3.1, as far as gRPC is concerned. nghttp2 has such checks of its own, but they refuse what Go's
 * gRPC client sends as :authority for an endpoint that is given as a URL ("http://HOST:PORT"),
 * which etcd answers. So they are off, and these are on. */
#ifndef WARREN_REGISTRY_API_REQUEST_HEAD_H
#define WARREN_REGISTRY_API_REQUEST_HEAD_H

#include "base/bytes.h"

#include <stdbool.h>

struct request_head {
    unsigned seen;  /* pseudo-header fields, a bit each */
    bool is_behind; /* a regular field came: no pseudo-header field may follow */
};

/* The next field, in order. False: the block is malformed, the stream has to be reset. */
bool request_head_field(struct request_head *h, struct bytes name, struct bytes value);
/* At the end of the block: false if a field is missing. */
bool request_head_is_complete(const struct request_head *h);

#endif
