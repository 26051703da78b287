/* Reading protobuf field by field, without knowing the message. */
#ifndef WARREN_REGISTRY_API_PB_READ_H
#define WARREN_REGISTRY_API_PB_READ_H

#include "base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct pb_field {
    uint64_t number;
    struct bytes body; /* of one with a length; else empty */
};

/* Takes the next field off REST. False at the end, which leaves REST empty, and at bytes that are
 * no field, which does not. */
bool pb_read_field(struct bytes *rest, struct pb_field *out);

#endif
