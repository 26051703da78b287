/* What `reload` shares: its series, and the digest that its log line and its metric show. */
#ifndef WARREN_DNSD_DIRECTIVE_RELOAD_H
#define WARREN_DNSD_DIRECTIVE_RELOAD_H

#include "base/err.h"
#include "base/metrics.h"
#include "dnsd/corefile/corefile.h"

#include <stdint.h>

enum {
    RELOAD_HASH_SIZE = 64
};

/* coredns_reload_failed_total, which CoreDNS exposes whether or not a block names the directive.
 * ERR_NO_MEMORY. */
enum err reload_metrics_init(struct metric_series **failed, struct metrics *m) MUST_CHECK;

/* SHA-512 of the server blocks in the JSON that Go makes of caddy's: keys, and per directive
 * (sorted by name) its tokens with file and line. Tokens of the main file carry no file name, so
 * moving the file changes nothing; moving a line does. ERR_NO_MEMORY. */
enum err reload_hash(const struct core_file *f, uint8_t out[static RELOAD_HASH_SIZE]) MUST_CHECK;

#endif
