/* The Noise Protocol Framework (revision 34) with X25519, ChaChaPoly and BLAKE2s.
 *
 * Model: a handshake is a pure state machine over a pattern, which is data: a list of tokens a
 * message. The two sides take turns writing and reading messages; after the last one the handshake
 * is split into a session, a cipher for each direction. Randomness is the caller's: it passes the
 * ephemeral key in.
 *
 * Invariants:
 * - Keys live in memory that libsodium locks, guards and wipes (sodium_malloc); of copies that a
 *   computation leaves on the stack nothing stays.
 * - A message that does not read (too short, too long, not authentic, a Diffie-Hellman result of
 *   zero, which is what points of low order give) leaves a dead handshake: all that follows is
 *   refused, and it can only be destroyed.
 * - No message is longer than NOISE_MAX_MESSAGE_SIZE, read or written.
 * - A nonce is never used twice: the last one, 2^64 - 1, is kept for rekeying, and a cipher that
 *   reaches it gives ERR_LIMIT.
 *
 * An object belongs to one thread at a time. */
#ifndef WARREN_BASE_NOISE_H
#define WARREN_BASE_NOISE_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum noise_pattern {
    NOISE_XX,     /* Noise_XX_25519_ChaChaPoly_BLAKE2s */
    NOISE_XXPSK3, /* Noise_XXpsk3_... */
    NOISE_IK,     /* Noise_IK_... */
    NOISE_IKPSK2, /* Noise_IKpsk2_... */
    NOISE_PATTERN_COUNT,
};

enum {
    NOISE_KEY_SIZE = 32, /* of keys, of the PSK, of the handshake hash */
    NOISE_TAG_SIZE = 16,
    NOISE_MAX_MESSAGE_SIZE = 65535,
    NOISE_MAX_PAYLOAD_SIZE = NOISE_MAX_MESSAGE_SIZE - NOISE_TAG_SIZE, /* of a session's message */
};

/* "Noise_IK_25519_ChaChaPoly_BLAKE2s": static. */
const char *noise_pattern_name(enum noise_pattern pattern);
bool noise_pattern_has_psk(enum noise_pattern pattern);

struct noise_handshake;
struct noise_session;

struct noise_config {
    enum noise_pattern pattern;
    bool is_initiator;
    struct bytes prologue;            /* both sides must have the same */
    const uint8_t *static_private;    /* NOISE_KEY_SIZE bytes each */
    const uint8_t *ephemeral_private; /* fresh random bytes, used for this handshake alone */
    const uint8_t *remote_static;     /* IK's initiator; otherwise NULL */
    const uint8_t *psk;               /* patterns with a PSK; otherwise NULL */
};

/* All of CONFIG is copied. ERR_INVALID: a key that the pattern needs is missing. ERR_NO_MEMORY. */
enum err noise_handshake_create(struct noise_handshake **out,
                                const struct noise_config *config) MUST_CHECK;
/* Wipes it. NULL is fine. */
void noise_handshake_destroy(struct noise_handshake *h);

/* Whether the next step is ours to write; false once it is done or dead. */
bool noise_handshake_writes_next(const struct noise_handshake *h);
/* Whether all messages were exchanged, so that it can be split. */
bool noise_handshake_is_done(const struct noise_handshake *h);
/* What the next message, ours or the other's, has besides its payload, in bytes; 0 where none
 * follows. */
size_t noise_handshake_overhead(const struct noise_handshake *h);
/* The other side's static public key, borrowed; NULL until a message brought it. It is proven only
 * when the handshake is done, and that the other is there only by its first transport message. */
const uint8_t *noise_handshake_remote_static(const struct noise_handshake *h);

/* Writes the next message, *SIZE = overhead + payload bytes, to OUT. ERR_NO_SPACE: more than
 * CAPACITY; ERR_LIMIT: more than NOISE_MAX_MESSAGE_SIZE (both change nothing). ERR_MALFORMED: a key
 * of the other side is no key; the handshake is dead. ERR_CLOSED: it already was. It is a bug to
 * call this when it is not our turn. */
enum err noise_handshake_write(struct noise_handshake *h, struct bytes payload, uint8_t *out,
                               size_t capacity, size_t *size) MUST_CHECK;
/* Reads the other's next message; its payload, *SIZE bytes, goes to OUT, which must not overlap
 * MESSAGE and is undefined after a failure. ERR_NO_SPACE: the payload would be more than CAPACITY
 * (changes nothing). ERR_MALFORMED: as above. ERR_CLOSED: it was dead before. */
enum err noise_handshake_read(struct noise_handshake *h, struct bytes message, uint8_t *out,
                              size_t capacity, size_t *size) MUST_CHECK;

/* The session of a handshake that is done, which can then be destroyed. ERR_NO_MEMORY. */
enum err noise_handshake_split(const struct noise_handshake *h,
                               struct noise_session **out) MUST_CHECK;
void noise_session_destroy(struct noise_session *s);
/* The hash over the whole handshake, equal on both sides: for channel binding. Borrowed. */
const uint8_t *noise_session_hash(const struct noise_session *s);

/* Encrypts PLAIN into plain.size + NOISE_TAG_SIZE bytes at OUT, which may be where PLAIN is.
 * ERR_LIMIT: the message would be too long, or the nonces are used up; nothing was written. */
enum err noise_encrypt(struct noise_session *s, struct bytes ad, struct bytes plain,
                       uint8_t *out) MUST_CHECK;
/* Decrypts MESSAGE into message.size - NOISE_TAG_SIZE bytes at OUT, which may be where MESSAGE is.
 * ERR_MALFORMED: too short, too long or not authentic; OUT is undefined then, and the nonce is not
 * used up. ERR_LIMIT: the nonces are. */
enum err noise_decrypt(struct noise_session *s, struct bytes ad, struct bytes message,
                       uint8_t *out) MUST_CHECK;
/* Rekey() of section 4.2: a one-way step of the key; the nonce goes on. Both sides must do it
 * between the same two messages. */
void noise_rekey_send(struct noise_session *s);
void noise_rekey_receive(struct noise_session *s);
/* SetNonce() of section 5.1: the nonce of the next message. */
void noise_set_send_nonce(struct noise_session *s, uint64_t nonce);
void noise_set_receive_nonce(struct noise_session *s, uint64_t nonce);

#endif
