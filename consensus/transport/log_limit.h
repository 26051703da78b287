/* Which log lines may be written: each kind once an interval, and only so many kinds. Who floods us
 * with made-up identities fills a table of fixed size, not the log. Pure. */
#ifndef WARREN_CONSENSUS_TRANSPORT_LOG_LIMIT_H
#define WARREN_CONSENSUS_TRANSPORT_LOG_LIMIT_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LOG_LIMIT_KINDS = 128
};

struct log_limit_entry {
    uint64_t kind; /* its keyed hash */
    uint64_t at_ms;
    uint32_t suppressed;
    bool is_used;
};

struct log_limit {
    uint8_t key[HASH_KEY_SIZE];
    uint64_t interval_ms;
    size_t count; /* of entries used, <= LOG_LIMIT_KINDS */
    struct log_limit_entry entries[LOG_LIMIT_KINDS];
};

void log_limit_init(struct log_limit *l, const uint8_t key[static HASH_KEY_SIZE], size_t count,
                    uint64_t interval_ms);
/* Whether a line of the kind that the SIZE bytes at WHAT name may be written at NOW_MS; *SUPPRESSED
 * is then how many of the same were not since the last one. */
bool log_limit_pass(struct log_limit *l, uint64_t now_ms, const void *what, size_t size,
                    uint32_t *suppressed);

#endif
