/* What a journal does for the state machine, in memory: keeps the revisions that were emitted,
 * drops those that are gone, and gives old ones back. */
#ifndef WARREN_TESTS_REGISTRY_STATE_HISTORY_H
#define WARREN_TESTS_REGISTRY_STATE_HISTORY_H

#include "registry/state/state.h"

struct history {
    struct state_record *rows; /* STATE_REVISION, by rising main and sub; bytes are owned */
    size_t count;
    size_t capacity;
    size_t meta_count; /* STATE_META records seen */
    struct state_record last_meta;
    enum err fail; /* what reads and scans give instead; OK: none */
    size_t reads;
    size_t scans;
    /* Told of every record, too. */
    void (*also)(void *context, const struct state_record *record);
    void *also_context;
};

void history_init(struct history *h);
void history_fini(struct history *h);
struct state_sink history_sink(struct history *h);
struct state_source history_source(struct history *h);
const struct state_record *history_row(const struct history *h, int64_t main, int64_t sub);

#endif
