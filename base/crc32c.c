#include "base/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
/* The processor's own instruction, where it has one. */
__attribute__((target("sse4.2"))) static uint32_t crc_fast(uint32_t crc, const uint8_t *at,
                                                           size_t size)
{
    uint64_t wide = crc;
    for (; size >= 8; at += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, at, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    for (; size > 0; at++, size--)
        crc = __builtin_ia32_crc32qi(crc, *at);
    return crc;
}

static int has_fast(void)
{
    return __builtin_cpu_supports("sse4.2");
}
#else
static uint32_t crc_fast(uint32_t crc, const uint8_t *at, size_t size)
{
    (void)at;
    (void)size;
    return crc;
}

static int has_fast(void)
{
    return 0;
}
#endif

/* The reflected polynomial 0x1EDC6F41, four bits at a time: sixteen words instead of a table that
 * would have to be made at the start. */
static const uint32_t nibbles[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_plain(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *at = data;
    crc = ~crc;
    for (; size > 0; at++, size--) {
        crc ^= *at;
        crc = (crc >> 4) ^ nibbles[crc & 15];
        crc = (crc >> 4) ^ nibbles[crc & 15];
    }
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return has_fast() ? ~crc_fast(~crc, data, size) : crc32c_plain(crc, data, size);
}
