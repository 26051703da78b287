/* Which peers of a device came from a zone: those an adopting sync may remove once the zone has
 * them no more. A peer that was on the device and never in the zone is not among them.
 *
 * Kept in <data-dir>/adopted-<device>-<digest of the zone>, lines of "+KEY" and "-KEY" behind a
 * line that names zone and device; written whole when it is opened, appended to afterwards, before
 * the device is changed. Not synced: a power loss takes the device's peers with it. A line that
 * makes no sense is skipped: then a peer stays that could go, never the other way. One thread. */
#ifndef WARREN_DNSD_ADOPTED_H
#define WARREN_DNSD_ADOPTED_H

#include "base/encoding.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ADOPTED_MAX_FILE_SIZE = 1 << 28
};

struct adopted;

/* DATA_DIR NULL: in memory alone. A file that cannot be read or written is said in WHY and leaves
 * the set in memory alone. ERR_NO_MEMORY. */
enum err adopted_open(struct adopted **out, const char *data_dir, const char *device,
                      const char *zone, struct strbuf *why) MUST_CHECK;
void adopted_close(struct adopted *a);

bool adopted_has(const struct adopted *a, const uint8_t key[static KEY_SIZE]);
/* ERR_NO_MEMORY. Neither reaches the file before adopted_save. */
enum err adopted_add(struct adopted *a, const uint8_t key[static KEY_SIZE]) MUST_CHECK;
void adopted_remove(struct adopted *a, const uint8_t key[static KEY_SIZE]);
/* Appends what changed. A failure is said in WHY and ends the writing for good: ERR_IO. */
enum err adopted_save(struct adopted *a, struct strbuf *why) MUST_CHECK;
/* The next key from *POSITION (0 first) on, NULL at the end. No change in between. */
const uint8_t *adopted_next(const struct adopted *a, size_t *position);

#endif
