/* Fuzz target: what warren-agent takes from a DNS reply. The ID is that of the input. */
#include "wgctl/agent/lookup.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lookup_reply reply;
    uint16_t id = size >= 2 ? (uint16_t)(data[0] << 8 | data[1]) : 0;
    if (lookup_reply_parse(&reply, id, data, size) == LOOKUP_FOUND &&
        reply.endpoint.addr.family != IP_V4 && reply.endpoint.addr.family != IP_V6)
        abort();
    return 0;
}
