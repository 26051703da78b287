/* A keyed hash for tables whose keys come from others: who does not know the secret cannot choose
 * where an entry lands. SipHash-2-4. */
#ifndef WARREN_BASE_HASH_H
#define WARREN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum {
    HASH_KEY_SIZE = 16
};

uint64_t keyed_hash(const void *data, size_t size, const uint8_t key[static HASH_KEY_SIZE]);

#endif
