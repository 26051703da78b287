/* A small set of registry keys, bounded: those whose values are of no use. */
#ifndef WARREN_DNSD_BAD_KEYS_H
#define WARREN_DNSD_BAD_KEYS_H

#include "base/bytes.h"
#include "base/hash.h"

#include <stdbool.h>

struct bad_keys_entry;

struct bad_keys {
    struct bad_keys_entry *buckets[256];
    size_t count;
    size_t max_count;
    uint8_t hash_key[HASH_KEY_SIZE];
};

void bad_keys_init(struct bad_keys *s, size_t max_count);
void bad_keys_fini(struct bad_keys *s);
/* True if KEY was not in the set and now is; beyond the bound, or without memory, it is left out.
 */
bool bad_keys_add(struct bad_keys *s, struct bytes key);
void bad_keys_remove(struct bad_keys *s, struct bytes key);
void bad_keys_clear(struct bad_keys *s);

#endif
