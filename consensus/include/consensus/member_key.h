/* A member's identity: an X25519 key pair, made once and kept in <data-dir>/member.key.
 *
 * The file has two lines, "warren member key 1" and the private key in base64, and belongs to this
 * user alone (mode 0600). The public half is what the replicated membership binds to the member's
 * id: a member that loses the file cannot come back under its id. In memory the private half lies
 * in pages that are locked, guarded and wiped. */
#ifndef WARREN_CONSENSUS_MEMBER_KEY_H
#define WARREN_CONSENSUS_MEMBER_KEY_H

#include "base/attr.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MEMBER_KEY_SIZE = 32
};

#define MEMBER_KEY_FILE "member.key"

struct member_key;

/* Reads the key from DATA_DIR (whose lock the caller holds); makes it, durably, if there is none
 * and MAKE. ERROR gets a line that says what to do. ERR_NOT_FOUND without MAKE; ERR_PERMISSION:
 * others can read the file, or it is not ours; ERR_INVALID: it is no regular file; ERR_MALFORMED:
 * its content; ERR_IO, ERR_NO_SPACE..., ERR_NO_MEMORY. */
enum err member_key_open(struct member_key **out, const char *data_dir, bool make,
                         struct strbuf *error) MUST_CHECK;
/* One that no file has. */
enum err member_key_generate(struct member_key **out) MUST_CHECK;
/* Wipes it. NULL is fine. */
void member_key_destroy(struct member_key *k);

/* MEMBER_KEY_SIZE bytes, borrowed. */
const uint8_t *member_key_public(const struct member_key *k);
const uint8_t *member_key_private(const struct member_key *k);

/* The pre-shared key of members whose keys are not bound yet, from the text of
 * --initial-cluster-token: BLAKE2b-256 with the personalisation "warren-join-psk1". The token has
 * to have at least 128 random bits: whoever can guess it can try to join. */
void member_psk_from_token(uint8_t psk[static MEMBER_KEY_SIZE], const char *token);

#endif
