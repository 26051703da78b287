#include "netlink_reader.h"

#include <linux/netlink.h>
#include <string.h>

enum {
    ATTRIBUTE_TYPE_MASK = 0x3fff, /* above it: the nested and byte-order bits */
};

bool netlink_message_next(struct reader *r, struct netlink_message *out)
{
    if (reader_left(r) == 0)
        return false;
    struct nlmsghdr header;
    const uint8_t *at = read_bytes(r, sizeof(header));
    if (at == NULL)
        return false;
    memcpy(&header, at, sizeof(header));
    if (header.nlmsg_len < sizeof(header)) {
        r->failed = true;
        return false;
    }
    size_t size = header.nlmsg_len - sizeof(header);
    const uint8_t *payload = read_bytes(r, size);
    if (payload == NULL)
        return false;
    size_t padding = -size & (NLMSG_ALIGNTO - 1U);
    (void)read_bytes(r, padding < reader_left(r) ? padding : reader_left(r));
    *out = (struct netlink_message){.type = header.nlmsg_type,
                                    .flags = header.nlmsg_flags,
                                    .sequence = header.nlmsg_seq,
                                    .payload = payload,
                                    .payload_size = size};
    return true;
}

bool netlink_attribute_next(struct reader *r, struct netlink_attribute *out)
{
    if (reader_left(r) == 0)
        return false;
    struct nlattr header;
    const uint8_t *at = read_bytes(r, sizeof(header));
    if (at == NULL)
        return false;
    memcpy(&header, at, sizeof(header));
    if (header.nla_len < sizeof(header)) {
        r->failed = true;
        return false;
    }
    uint16_t size = (uint16_t)(header.nla_len - sizeof(header));
    const uint8_t *data = read_bytes(r, size);
    if (data == NULL)
        return false;
    size_t padding = -(size_t)size & (NLA_ALIGNTO - 1U);
    (void)read_bytes(r, padding < reader_left(r) ? padding : reader_left(r));
    *out = (struct netlink_attribute){
        .type = header.nla_type & ATTRIBUTE_TYPE_MASK, .size = size, .data = data};
    return true;
}
