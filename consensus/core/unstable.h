/* The tail of the log, and a snapshot, that are not known to be durable here.
 *
 * Entries [offset, offset_in_progress) were handed out to be written, those behind were not. OFFSET
 * may be below the storage's last index: the next write then overwrites a suffix. An entry leaves
 * only when a write was confirmed that no later one overwrites (stable_to). */
#ifndef WARREN_CORE_UNSTABLE_H
#define WARREN_CORE_UNSTABLE_H

#include "core/entry.h"
#include "core/message.h"

struct unstable {
    struct entry_list entries; /* the first has index OFFSET */
    uint64_t offset;
    uint64_t offset_in_progress; /* OFFSET <= it <= OFFSET + entries.count */
    struct snapshot *snapshot;   /* NULL: none */
    bool snapshot_in_progress;
};

void unstable_init(struct unstable *u, uint64_t offset);
void unstable_fini(struct unstable *u);
/* All three: false if what is unstable does not say. */
bool unstable_first(const struct unstable *u, uint64_t *index);
bool unstable_last(const struct unstable *u, uint64_t *index);
bool unstable_term(const struct unstable *u, uint64_t index, uint64_t *term);
/* LO <= index < HI, which are all in it. */
struct entries unstable_slice(const struct unstable *u, uint64_t lo, uint64_t hi);
/* What was not handed out yet. */
struct entries unstable_next_entries(const struct unstable *u);
const struct snapshot *unstable_next_snapshot(const struct unstable *u);
/* All of it is handed out now. */
void unstable_accept(struct unstable *u);
/* The write up to (TERM, INDEX) is durable. Ignored if the tail does not hold that entry. */
void unstable_stable_to(struct unstable *u, uint64_t term, uint64_t index);
void unstable_snapshot_stable_to(struct unstable *u, uint64_t index);
/* A snapshot takes the place of everything. ERR_NO_MEMORY: nothing changed. */
enum err unstable_restore(struct unstable *u, const struct snapshot *s) MUST_CHECK;
/* At least one entry, in place of whatever was from its index on. ERR_NO_MEMORY: nothing changed.
 */
enum err unstable_append(struct unstable *u, struct entries more) MUST_CHECK;

#endif
