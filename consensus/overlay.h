/* Effects that are applied in memory and not yet in a table.
 *
 * They come in generations: effects go into the open one, until a transaction takes it. Generations
 * are immutable once taken (the writer reads them while the loop thread consults them) and empty
 * again once the transaction is durable. */
#ifndef WARREN_CONSENSUS_OVERLAY_H
#define WARREN_CONSENSUS_OVERLAY_H

#include "base/arena.h"
#include "consensus/journal.h"
#include "tables.h"

struct overlay {
    struct journal_revision *puts; /* rising (main, sub); bytes in `bytes` */
    size_t put_count;
    size_t put_capacity;
    int64_t *gone; /* packed revisions removed, rising where they were staged so */
    size_t gone_count;
    size_t gone_capacity;
    bool gone_rises;
    struct journal_effect *rows; /* leases and alarms, in the order staged */
    size_t row_count;
    size_t row_capacity;
    int64_t meta[TABLES_META_COUNT];
    uint32_t meta_changed; /* bit I: meta[I] is new */
    uint32_t meta_removed;
    bool has_configuration;
    struct configuration_state configuration; /* as of APPLIED, or of an entry before */
    uint64_t applied;                         /* 0: nothing staged */
    struct arena bytes;
};

void overlay_init(struct overlay *o);
void overlay_fini(struct overlay *o);
/* Empty again; keeps some memory. */
void overlay_clear(struct overlay *o);
bool overlay_is_empty(const struct overlay *o);
size_t overlay_size(const struct overlay *o);

/* ERR_NO_MEMORY; ERR_INVALID: a row that no table has a place for, or a revision that does not
 * rise. Nothing of EFFECT is in O then. */
enum err overlay_add(struct overlay *o, const struct journal_effect *effect) MUST_CHECK;
/* The revision put at PACKED, or NULL; *IS_GONE whether it is removed here. */
const struct journal_revision *overlay_find(const struct overlay *o, int64_t packed, bool *is_gone);
/* The index of the first revision put at or behind PACKED. */
size_t overlay_lower_bound(const struct overlay *o, int64_t packed);
/* Writes everything into the tables and counts it in STATE. */
enum err overlay_write(const struct overlay *o, struct tables *t,
                       struct tables_state *state) MUST_CHECK;

#endif
