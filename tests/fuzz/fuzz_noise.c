/* Bytes to a Noise handshake that waits for a message. The first byte says what waits: its two low
 * bits the pattern, the next two how many good messages went before, the highest whether the rest
 * is the message itself or is laid (XOR) over a good one. Whatever the bytes: nothing that is not
 * authentic is taken for a handshake that is done. */
#include "base/noise.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static struct noise_handshake *side(enum noise_pattern pattern, bool is_initiator)
{
    static const uint8_t keys[5][NOISE_KEY_SIZE] = {{1}, {2}, {3}, {4}, {5}};
    uint8_t responder[NOISE_KEY_SIZE];
    (void)crypto_scalarmult_base(responder, keys[1]);
    struct noise_config config = {
        .pattern = pattern,
        .is_initiator = is_initiator,
        .prologue = bytes_of_str("prologue"),
        .static_private = keys[is_initiator ? 0 : 1],
        .ephemeral_private = keys[is_initiator ? 2 : 3],
        .remote_static = responder,
        .psk = keys[4],
    };
    struct noise_handshake *h;
    must(noise_handshake_create(&h, &config) == OK);
    return h;
}

static uint8_t message[NOISE_MAX_MESSAGE_SIZE + 1], payload[NOISE_MAX_MESSAGE_SIZE];

/* Gives how long a message from one to the other is, in `message`. */
static size_t write_next(struct noise_handshake *from)
{
    size_t size;
    must(noise_handshake_write(from, bytes_of_str("hello"), message, sizeof(message), &size) == OK);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    enum noise_pattern pattern = data[0] & 3;
    size_t before = data[0] >> 2 & 3;
    bool is_overlay = (data[0] & 0x80) != 0;
    struct noise_handshake *sides[2] = {side(pattern, true), side(pattern, false)};
    size_t payload_size = 0, turn = 0;
    for (; turn < before && !noise_handshake_is_done(sides[turn % 2]); turn++) {
        size_t n = write_next(sides[turn % 2]);
        must(noise_handshake_read(sides[1 - turn % 2], bytes_of(message, n), payload,
                                  sizeof(payload), &payload_size) == OK);
    }
    if (!noise_handshake_is_done(sides[0])) {
        struct noise_handshake *reader = sides[1 - turn % 2];
        size_t overhead = noise_handshake_overhead(reader), n;
        bool is_changed = !is_overlay;
        if (is_overlay) {
            n = write_next(sides[turn % 2]);
            for (size_t i = 0; i < n && i + 1 < size; i++) {
                message[i] ^= data[1 + i];
                is_changed = is_changed || data[1 + i] != 0;
            }
        } else {
            n = size - 1 < sizeof(message) ? size - 1 : sizeof(message);
            memcpy(message, data + 1, n);
        }
        enum err e = noise_handshake_read(reader, bytes_of(message, n), payload, sizeof(payload),
                                          &payload_size);
        must(e == OK || e == ERR_MALFORMED);
        must(is_changed || e == OK);
        must(e != OK || payload_size == n - overhead);
        /* XX's first message has no tag; all others have. */
        must(!is_changed || e != OK || (pattern == NOISE_XX && turn == 0));
        must(e == OK || noise_handshake_read(reader, bytes_of(message, n), payload, sizeof(payload),
                                             &payload_size) == ERR_CLOSED);
    }
    noise_handshake_destroy(sides[0]);
    noise_handshake_destroy(sides[1]);
    return 0;
}
