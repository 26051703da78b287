/* A set of 32-byte keys: public keys, or digests. One thread. */
#ifndef WARREN_DNSD_KEY_SET_H
#define WARREN_DNSD_KEY_SET_H

#include "base/encoding.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_set {
    uint8_t hash_key[HASH_KEY_SIZE];
    struct key_slot *slots; /* linear probing; a power of two of them, at most half of them used */
    size_t capacity;
    size_t count;
};

void key_set_init(struct key_set *s);
void key_set_fini(struct key_set *s);
void key_set_clear(struct key_set *s);
bool key_set_has(const struct key_set *s, const uint8_t key[static KEY_SIZE]);
/* OK too if it is there already. ERR_NO_MEMORY. */
enum err key_set_add(struct key_set *s, const uint8_t key[static KEY_SIZE]) MUST_CHECK;
void key_set_remove(struct key_set *s, const uint8_t key[static KEY_SIZE]);
/* The next key from *POSITION (0 first) on, NULL at the end. No change in between. */
const uint8_t *key_set_next(const struct key_set *s, size_t *position);

#endif
