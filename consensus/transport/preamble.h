/* What the dialing member sends first, in the clear; the handshake's prologue covers it.
 * docs/member-protocol.md. Pure. */
#ifndef WARREN_CONSENSUS_TRANSPORT_PREAMBLE_H
#define WARREN_CONSENSUS_TRANSPORT_PREAMBLE_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/noise.h"
#include "consensus/transport.h"

#include <stdint.h>

enum {
    PREAMBLE_SIZE = 32,
    PREAMBLE_PROTOCOL = 1, /* of preamble, handshake and records; not of what messages mean */
    PROLOGUE_SIZE = 15 + PREAMBLE_SIZE,
    /* Handshake messages carry no payload; the largest is IK's first (96 bytes). */
    HANDSHAKE_MAX_SIZE = 256,
    /* Instead of a handshake message: a size of zero, and why. */
    REFUSAL_SIZE = 3,
};

struct preamble {
    uint8_t protocol;
    uint8_t stream;  /* enum transport_stream + 1 */
    uint8_t pattern; /* 1: IK, 2: XXpsk3 */
    uint64_t cluster_id;
    uint64_t from;
    uint64_t to;
};

void preamble_write(uint8_t out[static PREAMBLE_SIZE], enum transport_stream stream,
                    enum noise_pattern pattern, uint64_t cluster_id, uint64_t from, uint64_t to);
/* ERR_MALFORMED: not the magic bytes. ERR_UNSUPPORTED: another protocol; all other fields are
 * unknown then. ERR_INVALID: a stream or a pattern that is none. */
enum err preamble_read(struct preamble *out, const uint8_t data[static PREAMBLE_SIZE]) MUST_CHECK;
enum noise_pattern preamble_pattern(const struct preamble *p);
enum transport_stream preamble_stream(const struct preamble *p);
/* "warren member 1" and the preamble. */
void prologue_write(uint8_t out[static PROLOGUE_SIZE],
                    const uint8_t preamble[static PREAMBLE_SIZE]);

#endif
