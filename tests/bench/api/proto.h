/* The few messages of etcd's API that the load needs, written and read by hand. Writers return the
 * size of one gRPC message with its prefix; readers trust nothing. */
#ifndef WARREN_TESTS_BENCH_API_PROTO_H
#define WARREN_TESTS_BENCH_API_PROTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTO_KEY_MAX     64
#define PROTO_VALUE_MAX   4096
#define PROTO_MESSAGE_MAX (PROTO_KEY_MAX + PROTO_VALUE_MAX + 64)

size_t proto_put(uint8_t out[static PROTO_MESSAGE_MAX], const char *key, const uint8_t *value,
                 size_t value_size);
size_t proto_range(uint8_t out[static PROTO_MESSAGE_MAX], const char *key, bool serializable);
/* A watch of KEY alone; the server chooses the id. */
size_t proto_watch_create(uint8_t out[static PROTO_MESSAGE_MAX], const char *key);

/* What a RangeResponse says: the count, and the size of the only value. */
bool proto_read_range(const uint8_t *message, size_t size, uint64_t *count, size_t *value_size);

/* What a WatchResponse says. */
struct proto_watch {
    bool created;
    bool canceled;
    size_t event_count;
};
bool proto_read_watch(const uint8_t *message, size_t size, struct proto_watch *watch);

#endif
