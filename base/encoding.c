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

/* --- public keys, sixteen characters at once ------------------------------------------------- */

/* Public keys need not be hidden from who measures time, and each DNS query reads one and writes
 * one. One character in each octet of a vector, which any compiler for any machine turns into what
 * it has: nothing here asks for more than x86-64's SSE2. */
typedef uint8_t octets __attribute__((vector_size(16)));
typedef int8_t signed_octets __attribute__((vector_size(16)));
typedef uint16_t pairs __attribute__((vector_size(16)));
typedef uint32_t quads __attribute__((vector_size(16)));
typedef uint64_t groups __attribute__((vector_size(16)));

enum {
    VECTOR_SIZE = sizeof(octets),
    IS_LITTLE_ENDIAN = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
};

/* The digits of base32 (either case) as numbers, in each quad 20 bits that four characters are;
 * what is not zero in BAD if one of them is no digit. */
static inline quads base32_quads(const char text[static VECTOR_SIZE], octets *bad)
{
    octets c;
    memcpy(&c, text, sizeof(c));
    octets letter = (c | 0x20) - 'a', digit = c - '2';
    octets is_letter = (octets)(letter < 26), is_digit = (octets)(digit < 6);
    *bad |= ~(is_letter | is_digit);
    octets values = (letter & is_letter) | ((digit + 26) & is_digit);
    /* Neighbours join, the first one above. */
    pairs v = (pairs)values;
    v = IS_LITTLE_ENDIAN ? (v & 0xff) << 5 | v >> 8 : (v >> 8) << 5 | (v & 0xff);
    quads q = (quads)v;
    return IS_LITTLE_ENDIAN ? (q & 0xffff) << 10 | q >> 16 : (q >> 16) << 10 | (q & 0xffff);
}

/* Ten octets, and six more that the next call, or the caller, writes over. */
static inline void put_quads(uint8_t out[static VECTOR_SIZE], quads q)
{
    for (size_t i = 0; i < 4; i += 2) {
        uint64_t bits = htobe64(((uint64_t)q[i] << 20 | q[i + 1]) << 24);
        memcpy(out + i / 2 * 5, &bits, sizeof(bits));
    }
}

enum err key_from_base32(uint8_t key[static KEY_SIZE], const char *text, size_t size)
{
    enum {
        VECTOR_BYTES = VECTOR_SIZE * 5 / 8,
        VECTORS = 3,
        LAST_AT = KEY_BASE32_UNPADDED_SIZE - VECTOR_SIZE,
    };
    uint8_t bytes[(VECTORS - 1) * VECTOR_BYTES + VECTOR_SIZE];
    octets bad = {0};

    if (size == KEY_BASE32_SIZE) {
        if (memcmp(text + KEY_BASE32_UNPADDED_SIZE, "====", 4) != 0)
            return ERR_MALFORMED;
    } else if (size != KEY_BASE32_UNPADDED_SIZE) {
        return ERR_MALFORMED;
    }
    for (size_t i = 0; i < VECTORS; i++)
        put_quads(bytes + i * VECTOR_BYTES, base32_quads(text + i * VECTOR_SIZE, &bad));
    /* What is left is 4 characters: two octets, and four bits that must be zero. */
    uint32_t last = base32_quads(text + LAST_AT, &bad)[3];
    bytes[KEY_SIZE - 2] = (uint8_t)(last >> 12);
    bytes[KEY_SIZE - 1] = (uint8_t)(last >> 4);
    groups wrong = (groups)bad;
    if ((wrong[0] | wrong[1] | (last & 0xf)) != 0)
        return ERR_MALFORMED;
    memcpy(key, bytes, KEY_SIZE);
    return OK;
}

/* Each group of 48 bits as eight characters of base64. */
static inline octets base64_octets(groups g)
{
    quads q = (quads)(IS_LITTLE_ENDIAN ? g >> 24 | (g & 0xffffff) << 32
                                       : (g >> 24) << 32 | (g & 0xffffff));
    pairs p =
        (pairs)(IS_LITTLE_ENDIAN ? q >> 12 | (q & 0xfff) << 16 : (q >> 12) << 16 | (q & 0xfff));
    octets v = (octets)(IS_LITTLE_ENDIAN ? p >> 6 | (p & 0x3f) << 8 : (p >> 6) << 8 | (p & 0x3f));
    signed_octets s = (signed_octets)v; /* below 64 each; signed ones compare in one step */
    octets from_a = (octets)(s > 25), from_0 = (octets)(s > 51), from_plus = (octets)(s > 61),
           is_slash = (octets)(s > 62);
    return v + 'A' + (from_a & ('a' - 26 - 'A')) - (from_0 & ('a' - 26 - ('0' - 52))) -
           (from_plus & ('0' - 52 - ('+' - 62))) + (is_slash & ('/' - 63 - ('+' - 62)));
}

static inline uint64_t six_octets(const uint8_t at[static sizeof(uint64_t)])
{
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return be64toh(word) >> 16;
}

void public_key_to_base64(char out[static KEY_BASE64_SIZE], const uint8_t key[static KEY_SIZE])
{
    octets first = base64_octets((groups){six_octets(key), six_octets(key + 6)});
    octets second = base64_octets((groups){six_octets(key + 12), six_octets(key + 18)});
    uint64_t last = (uint64_t)key[30] << 40 | (uint64_t)key[31] << 32; /* three characters */
    octets third = base64_octets((groups){six_octets(key + 24), last});
    memcpy(out, &first, VECTOR_SIZE);
    memcpy(out + VECTOR_SIZE, &second, VECTOR_SIZE);
    memcpy(out + 2 * VECTOR_SIZE, &third, KEY_BASE64_SIZE - 2 * VECTOR_SIZE);
    out[KEY_BASE64_SIZE - 1] = '=';
}

/* --- base64, constant-time -------------------------------------------------------------------- */

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
