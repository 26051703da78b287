/* A small set of registry keys, bounded: those whose values are of no use. */
#ifndef WARREN_DNSD_KEY_SET_H
#define WARREN_DNSD_KEY_SET_H

#include "base/bytes.h"
#include "base/hash.h"

#include <stdbool.h>

struct key_set_entry;

struct key_set {
    struct key_set_entry *buckets[256];
    size_t count;
    size_t max_count;
    uint8_t hash_key[HASH_KEY_SIZE];
};

void key_set_init(struct key_set *s, size_t max_count);
void key_set_fini(struct key_set *s);
/* True if KEY was not in the set and now is; beyond the bound, or without memory, it is left out.
 */
bool key_set_add(struct key_set *s, struct bytes key);
void key_set_remove(struct key_set *s, struct bytes key);
void key_set_clear(struct key_set *s);

#endif
