/* {$NAME} and {%NAME%} in a token: the value of the environment variable NAME, "" if unset. */
#ifndef WARREN_DNSD_COREFILE_ENV_H
#define WARREN_DNSD_COREFILE_ENV_H

#include "base/arena.h"
#include "base/err.h"

#include <stddef.h>

enum {
    /* Bytes that replacing may copy in one Corefile: what keeps variables that name each other, or
     * themselves (CoreDNS then never ends), from running away. */
    ENV_MAX_WORK = 16 << 20,
};

/* TEXT with every reference replaced: TEXT itself when there is none, else a string from ARENA.
 * WORK counts the bytes copied so far. ERR_LIMIT beyond ENV_MAX_WORK, ERR_NO_MEMORY. */
enum err env_expand(const char *text, struct arena *arena, size_t *work,
                    const char **out) MUST_CHECK;

#endif
