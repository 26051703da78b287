/* etcdserverpb.MemberListResponse (cluster.c). */
#ifndef WARREN_REGISTRY_API_MEMBERS_H
#define WARREN_REGISTRY_API_MEMBERS_H

#include "encode.h"
#include "registry/store.h"

size_t encode_members_size(const struct reply_header *h, const struct store_member *members,
                           size_t count);
uint8_t *encode_members(uint8_t *at, const struct reply_header *h,
                        const struct store_member *members, size_t count);

#endif
