/* The hot responses in protobuf, straight from what the store answers.
 *
 * Each comes as a size and a writer; the writer fills exactly that many bytes and returns their
 * end. What protobuf-c would make of the same message is the same bytes (tests compare). */
#ifndef WARREN_REGISTRY_API_ENCODE_H
#define WARREN_REGISTRY_API_ENCODE_H

#include "registry/kv.h"

#include <stddef.h>
#include <stdint.h>

/* etcdserverpb.ResponseHeader */
struct reply_header {
    uint64_t cluster_id;
    uint64_t member_id;
    int64_t revision;
    uint64_t term;
};

/* etcdserverpb.WatchResponse without its events. */
struct watch_reply {
    struct reply_header header;
    int64_t watch_id;
    bool created;
    bool canceled;
    bool fragment;
    int64_t compact_revision;
    struct bytes cancel_reason;
};

size_t encode_header_size(const struct reply_header *h);
uint8_t *encode_header(uint8_t *at, const struct reply_header *h);

size_t encode_range_size(const struct reply_header *h, const struct kv_range_response *r);
uint8_t *encode_range(uint8_t *at, const struct reply_header *h, const struct kv_range_response *r);

/* The same in pieces: its header, some of its kvs, what follows them. */
size_t encode_range_header_size(const struct reply_header *h);
uint8_t *encode_range_header(uint8_t *at, const struct reply_header *h);
size_t encode_range_kvs_size(const struct kv *kvs, size_t count);
uint8_t *encode_range_kvs(uint8_t *at, const struct kv *kvs, size_t count);
size_t encode_range_rest_size(const struct kv_range_response *r);
uint8_t *encode_range_rest(uint8_t *at, const struct kv_range_response *r);

size_t encode_put_size(const struct reply_header *h, const struct kv_put_response *r);
uint8_t *encode_put(uint8_t *at, const struct reply_header *h, const struct kv_put_response *r);

size_t encode_delete_size(const struct reply_header *h, const struct kv_delete_response *r);
uint8_t *encode_delete(uint8_t *at, const struct reply_header *h,
                       const struct kv_delete_response *r);

size_t encode_txn_size(const struct reply_header *h, const struct kv_txn_response *r);
uint8_t *encode_txn(uint8_t *at, const struct reply_header *h, const struct kv_txn_response *r);

/* A run of WatchResponse.events, which stands at the end of the message. */
size_t encode_event_size(const struct kv_event *e);
size_t encode_events_size(const struct kv_event *events, size_t count);
uint8_t *encode_events(uint8_t *at, const struct kv_event *events, size_t count);

size_t encode_watch_size(const struct watch_reply *w); /* without events */
uint8_t *encode_watch(uint8_t *at, const struct watch_reply *w);

#endif
