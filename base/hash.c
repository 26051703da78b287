#include "base/hash.h"

#include <sodium.h>
#include <string.h>

_Static_assert(HASH_KEY_SIZE == crypto_shorthash_KEYBYTES, "SipHash's key");
_Static_assert(sizeof(uint64_t) == crypto_shorthash_BYTES, "SipHash's result");

uint64_t keyed_hash(const void *data, size_t size, const uint8_t key[static HASH_KEY_SIZE])
{
    uint8_t bytes[crypto_shorthash_BYTES];
    uint64_t hash;
    crypto_shorthash(bytes, data, size, key);
    memcpy(&hash, bytes, sizeof(hash));
    return hash;
}
