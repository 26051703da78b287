/* gRPC's texts in HTTP/2 headers: percent-encoded messages, time-outs, content types. Pure. */
#ifndef WARREN_REGISTRY_API_GRPC_H
#define WARREN_REGISTRY_API_GRPC_H

#include "base/attr.h"
#include "base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GRPC_PREFIX_SIZE = 5, /* of a message: the compressed flag, four bytes of length */
    GRPC_MAX_TIMEOUT_DIGITS = 8,
};

/* Writes grpc-message's form of TEXT, cut to what fits, and returns its size: bytes outside
 * printable ASCII, and the percent sign, as %XX. */
size_t grpc_message_encode(char *out, size_t capacity, const char *text);
/* A grpc-timeout such as "4999m" in whole milliseconds, rounded up. False: not one. */
bool grpc_timeout_parse(uint64_t *out_ms, struct bytes text) MUST_CHECK;
/* Whether a content-type is application/grpc, with or without a subtype or parameters. */
bool grpc_content_type_is_ours(struct bytes text);

#endif
