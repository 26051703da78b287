/* Who claims which name in an import: files are read once, so the claims are kept, 24 bytes each (a
 * million names: some 50 MB). A name and a key are known by 64 bits of a keyed hash: that two of a
 * million differ and look the same has a chance below one in ten million. Pure but for its secret.
 */
#ifndef WARREN_CLI_IMPORT_NAMES_H
#define WARREN_CLI_IMPORT_NAMES_H

#include "base/encoding.h"
#include "base/err.h"
#include "base/hash.h"

#include <stddef.h>
#include <stdint.h>

struct name_claim {
    uint64_t name; /* hashes; KEY 0: the claim was given up */
    uint64_t key;
    uint32_t file; /* the caller's number for it */
    uint32_t line; /* 0: the peer was stored before */
};

struct name_claims {
    struct name_claim *slots; /* open addressing; NAME 0: free */
    size_t capacity;          /* 0 or a power of two */
    size_t count;
    uint8_t secret[HASH_KEY_SIZE];
};

/* SECRET: random bytes, so that no file can be made whose names collide. */
void name_claims_init(struct name_claims *claims, const uint8_t secret[static HASH_KEY_SIZE]);
void name_claims_fini(struct name_claims *claims);
/* KEY claims NAME in ZONE. OK, also if it has it already; ERR_EXISTS with who has it in *OTHER;
 * ERR_NO_MEMORY. */
enum err name_claims_add(struct name_claims *claims, const char *zone, const char *name,
                         const uint8_t key[static KEY_SIZE], uint32_t file, uint32_t line,
                         struct name_claim *other) MUST_CHECK;
/* KEY gives NAME up; nothing happens if it does not have it. */
void name_claims_remove(struct name_claims *claims, const char *zone, const char *name,
                        const uint8_t key[static KEY_SIZE]);

#endif
