/* Hexadecimal, base32 (RFC 4648 section 6) and base64 (section 4) of fixed-size keys and of byte
 * strings. Decoders reject anything that the encoder would not have produced (wrong length,
 * characters, padding, or stray low bits) with ERR_MALFORMED. Hexadecimal and base64,
 * which also carry private keys, are constant-time in the key's content; base32 is for public keys.
 */
#ifndef WARREN_BASE_ENCODING_H
#define WARREN_BASE_ENCODING_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

enum {
    KEY_SIZE = 32,
    KEY_HEX_SIZE = 64,
    KEY_BASE32_SIZE = 56, /* 52 characters and "====" */
    KEY_BASE32_UNPADDED_SIZE = 52,
    KEY_BASE64_SIZE = 44, /* 43 characters and "=" */
};

/* Lowercase base32 with padding, no NUL. */
void key_to_base32(char out[static KEY_BASE32_SIZE], const uint8_t key[static KEY_SIZE]);
/* TEXT of 52 (unpadded) or 56 (padded) characters, either case. */
enum err key_from_base32(uint8_t key[static KEY_SIZE], const char *text, size_t size) MUST_CHECK;

/* Standard base64 with padding, no NUL. */
void key_to_base64(char out[static KEY_BASE64_SIZE], const uint8_t key[static KEY_SIZE]);
/* The same, fast, for a public key: its time may tell of what is in the key. */
void public_key_to_base64(char out[static KEY_BASE64_SIZE], const uint8_t key[static KEY_SIZE]);
enum err key_from_base64(uint8_t key[static KEY_SIZE], const char *text, size_t size) MUST_CHECK;

/* Lowercase hexadecimal, no NUL; either case is read. */
void hex_encode(char *out, const uint8_t *data, size_t size);
/* SIZE characters (even) into SIZE / 2 bytes at OUT. */
enum err hex_decode(uint8_t *out, const char *text, size_t size) MUST_CHECK;

#endif
