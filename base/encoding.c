#include "base/encoding.h"

#include <endian.h>
#include <sodium.h>
#include <string.h>

static char base32_char(uint32_t value)
{
    uint32_t digit = (25 - value) >> 8; /* 24 ones for 26 to 31 */

    return (char)(((value + 'a') & ~digit) | ((value - 26 + '2') & digit));
}

void key_to_base32(char out[static KEY_BASE32_SIZE], const uint8_t key[static KEY_SIZE])
{
    uint32_t bits = 0;
    unsigned bit_count = 0;
    char *at = out;

    for (size_t i = 0; i < KEY_SIZE; i++) {
        bits = bits << 8 | key[i];
        for (bit_count += 8; bit_count >= 5; bit_count -= 5)
            *at++ = base32_char(bits >> (bit_count - 5) & 31);
    }
    *at++ = base32_char(bits << (5 - bit_count) & 31); /* one bit is left of 256 */
    memcpy(at, "====", KEY_BASE32_SIZE - KEY_BASE32_UNPADDED_SIZE);
}

/* Base32 is for public keys in domain names, either case: it need not hide what it reads.
 *
 * Eight characters at once, one in each octet of a word: 40 bits, and what is not zero in BAD if
 * one of them is no digit of base32. No octet's sum below reaches 256, so none touches the next. */
static uint64_t base32_group(const char text[static 8], uint64_t *bad)
{
    const uint64_t ones = 0x0101010101010101, top = 0x80 * ones;
    uint64_t word;

    memcpy(&word, text, sizeof(word));
    word = le64toh(word);
    uint64_t c = word & ~top;
    uint64_t letters = (c >> 6 & ones) * 0xff; /* octets of 64 and above */
    uint64_t low = c & 0x1f * ones;            /* of a letter, its place in the alphabet from 1 */
    uint64_t is_letter = (low + 0x7f * ones) & ~(low + (0x7f - 26) * ones);
    uint64_t is_digit = (c + (0x80 - '2') * ones) & ~(c + (0x7f - '7') * ones);
    *bad |= (((is_letter & letters) | (is_digit & ~letters)) & top) ^ top;
    *bad |= word & top;
    uint64_t values = ((low - ones) & letters) | ((c - ('2' - 26) * ones) & ~letters);
    /* Neighbours join, the first one above: 4 x 10, 2 x 20, 40 bits. */
    values = (values & 0x00ff00ff00ff00ff) << 5 | (values >> 8 & 0x00ff00ff00ff00ff);
    values = (values & 0x0000ffff0000ffff) << 10 | (values >> 16 & 0x0000ffff0000ffff);
    return (values & 0xffffffff) << 20 | values >> 32;
}

enum err key_from_base32(uint8_t key[static KEY_SIZE], const char *text, size_t size)
{
    enum {
        GROUP_CHARS = 8,
        GROUP_BYTES = 5,
        GROUPS = 6
    };
    uint8_t bytes[KEY_SIZE];
    uint64_t bad = 0;

    if (size == KEY_BASE32_SIZE) {
        if (memcmp(text + KEY_BASE32_UNPADDED_SIZE, "====", 4) != 0)
            return ERR_MALFORMED;
    } else if (size != KEY_BASE32_UNPADDED_SIZE) {
        return ERR_MALFORMED;
    }
    for (size_t g = 0; g < GROUPS; g++) {
        uint64_t bits = htobe64(base32_group(text + g * GROUP_CHARS, &bad) << 24);
        memcpy(bytes + g * GROUP_BYTES, &bits, GROUP_BYTES);
    }
    /* What is left is 4 characters: two octets, and four bits that must be zero. */
    char last[GROUP_CHARS] = "aaaaaaaa";
    memcpy(last, text + GROUPS * GROUP_CHARS, KEY_BASE32_UNPADDED_SIZE - GROUPS * GROUP_CHARS);
    uint64_t bits = base32_group(last, &bad);
    bytes[KEY_SIZE - 2] = (uint8_t)(bits >> 32);
    bytes[KEY_SIZE - 1] = (uint8_t)(bits >> 24);
    if (bad != 0 || (bits >> 20 & 0xf) != 0)
        return ERR_MALFORMED;
    memcpy(key, bytes, KEY_SIZE);
    return OK;
}

void key_to_base64(char out[static KEY_BASE64_SIZE], const uint8_t key[static KEY_SIZE])
{
    char text[KEY_BASE64_SIZE + 1];

    sodium_bin2base64(text, sizeof text, key, KEY_SIZE, sodium_base64_VARIANT_ORIGINAL);
    memcpy(out, text, KEY_BASE64_SIZE);
}

enum err key_from_base64(uint8_t key[static KEY_SIZE], const char *text, size_t size)
{
    uint8_t bytes[KEY_SIZE];
    char again[KEY_BASE64_SIZE];
    size_t decoded;

    if (size != KEY_BASE64_SIZE)
        return ERR_MALFORMED;
    if (sodium_base642bin(bytes, sizeof bytes, text, size, NULL, &decoded, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        decoded != KEY_SIZE)
        return ERR_MALFORMED;
    /* libsodium 1.0.18 takes some bytes above 0x7f for characters of the alphabet. */
    key_to_base64(again, bytes);
    if (sodium_memcmp(again, text, sizeof again) != 0)
        return ERR_MALFORMED;
    memcpy(key, bytes, KEY_SIZE);
    return OK;
}

/* Not sodium_bin2hex and sodium_hex2bin: those want room for a NUL, and leave half a result behind
 * when they fail. */
static char hex_char(uint32_t value)
{
    uint32_t letter = (9 - value) >> 8;

    return (char)(((value + '0') & ~letter) | ((value - 10 + 'a') & letter));
}

void hex_encode(char *out, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = hex_char(data[i] >> 4);
        out[2 * i + 1] = hex_char(data[i] & 15);
    }
}

/* Decodes exactly KEY_HEX_SIZE characters; returns nonzero if one is no digit. Bytewise and of
 * fixed length, so that compilers make vector code of it: keys are most of what a userspace device
 * says. */
static unsigned hex_decode_chunk(uint8_t out[static KEY_SIZE], const char text[static KEY_HEX_SIZE])
{
    uint8_t values[KEY_HEX_SIZE];
    uint8_t bad = 0;

    for (size_t i = 0; i < KEY_HEX_SIZE; i++) {
        uint8_t digit = (uint8_t)(text[i] - '0');
        uint8_t letter = (uint8_t)((text[i] | 0x20) - 'a');
        uint8_t is_digit = (uint8_t) - (digit < 10);
        uint8_t is_letter = (uint8_t) - (letter < 6);

        values[i] = (uint8_t)((digit & is_digit) | ((letter + 10) & is_letter));
        bad |= (uint8_t) ~(is_digit | is_letter);
    }
    for (size_t i = 0; i < KEY_SIZE; i++)
        out[i] = (uint8_t)(values[2 * i] << 4 | values[2 * i + 1]);
    return bad;
}

/* Decodes SIZE characters, at most KEY_HEX_SIZE. */
static unsigned hex_decode_part(uint8_t out[static KEY_SIZE], const char *text, size_t size)
{
    char padded[KEY_HEX_SIZE];

    if (size == KEY_HEX_SIZE)
        return hex_decode_chunk(out, text);
    memset(padded, '0', sizeof padded);
    memcpy(padded, text, size);
    return hex_decode_chunk(out, padded);
}

enum err hex_decode(uint8_t *out, const char *text, size_t size)
{
    uint8_t part[KEY_SIZE];
    unsigned bad = 0;

    if (size % 2 != 0)
        return ERR_MALFORMED;
    /* All but the last part are looked at twice: nothing may be written before all is known good.
     */
    for (size_t at = 0; at < size; at += KEY_HEX_SIZE)
        bad |=
            hex_decode_part(part, text + at, size - at < KEY_HEX_SIZE ? size - at : KEY_HEX_SIZE);
    if (bad)
        return ERR_MALFORMED;
    for (; size > KEY_HEX_SIZE; size -= KEY_HEX_SIZE, text += KEY_HEX_SIZE, out += KEY_SIZE)
        (void)hex_decode_chunk(out, text);
    if (size > 0)
        memcpy(out, part, size / 2);
    return OK;
}
