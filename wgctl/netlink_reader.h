/* The messages of a netlink datagram and their attributes, read with bounds. */
#ifndef WARREN_WGCTL_NETLINK_READER_H
#define WARREN_WGCTL_NETLINK_READER_H

#include "base/cursor.h"

#include <stdbool.h>
#include <stdint.h>

struct netlink_message {
    uint16_t type;
    uint16_t flags;
    uint32_t sequence;
    const uint8_t *payload;
    size_t payload_size;
};

struct netlink_attribute {
    uint16_t type; /* without the nested and byte-order bits */
    uint16_t size;
    const uint8_t *data;
};

/* The next message of a datagram; false at the end, or (R failed) for a length that does not fit.
 * Not libmnl's iterator: that one takes a length above 2^31 for a negative one that fits. */
bool netlink_message_next(struct reader *r, struct netlink_message *out);
/* The next attribute, likewise. */
bool netlink_attribute_next(struct reader *r, struct netlink_attribute *out);

#endif
