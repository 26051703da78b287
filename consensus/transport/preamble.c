#include "preamble.h"

#include "base/cursor.h"

#include <string.h>

enum {
    WIRE_IK = 1,
    WIRE_XXPSK3 = 2,
    MAGIC_SIZE = 4,
};

static const char magic[MAGIC_SIZE + 1] = "WRNM";
static const char label[] = "warren member 1";

_Static_assert(sizeof(label) - 1 + PREAMBLE_SIZE == PROLOGUE_SIZE, "the prologue's size");

void preamble_write(uint8_t out[static PREAMBLE_SIZE], enum transport_stream stream,
                    enum noise_pattern pattern, uint64_t cluster_id, uint64_t from, uint64_t to)
{
    uint8_t data[PREAMBLE_SIZE];
    struct writer w = writer_of(data, sizeof(data));
    write_bytes(&w, magic, MAGIC_SIZE);
    write_u8(&w, PREAMBLE_PROTOCOL);
    write_u8(&w, (uint8_t)(stream + 1));
    write_u8(&w, pattern == NOISE_IK ? WIRE_IK : WIRE_XXPSK3);
    write_u8(&w, 0);
    write_u64(&w, cluster_id);
    write_u64(&w, from);
    write_u64(&w, to);
    memcpy(out, data, sizeof(data));
}

enum err preamble_read(struct preamble *out, const uint8_t data[static PREAMBLE_SIZE])
{
    struct reader r = reader_of(data, PREAMBLE_SIZE);
    if (memcmp(read_bytes(&r, MAGIC_SIZE), magic, MAGIC_SIZE) != 0)
        return ERR_MALFORMED;
    struct preamble p = {.protocol = read_u8(&r)};
    if (p.protocol != PREAMBLE_PROTOCOL)
        return ERR_UNSUPPORTED;
    p.stream = read_u8(&r);
    p.pattern = read_u8(&r);
    uint8_t reserved = read_u8(&r);
    p.cluster_id = read_u64(&r);
    p.from = read_u64(&r);
    p.to = read_u64(&r);
    if (p.stream < 1 || p.stream > TRANSPORT_STREAM_COUNT || reserved != 0 ||
        (p.pattern != WIRE_IK && p.pattern != WIRE_XXPSK3))
        return ERR_INVALID;
    *out = p;
    return OK;
}

enum noise_pattern preamble_pattern(const struct preamble *p)
{
    return p->pattern == WIRE_IK ? NOISE_IK : NOISE_XXPSK3;
}

enum transport_stream preamble_stream(const struct preamble *p)
{
    return (enum transport_stream)(p->stream - 1);
}

void prologue_write(uint8_t out[static PROLOGUE_SIZE], const uint8_t preamble[static PREAMBLE_SIZE])
{
    struct writer w = writer_of(out, PROLOGUE_SIZE);
    write_bytes(&w, label, sizeof(label) - 1);
    write_bytes(&w, preamble, PREAMBLE_SIZE);
}
