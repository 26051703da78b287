/* The storage of a Raft core in memory, for tests: a log behind a snapshot, the hard state, and the
 * snapshots that applying made, newest last. */
#ifndef WARREN_TESTS_RAFT_MEMORY_H
#define WARREN_TESTS_RAFT_MEMORY_H

#include "core/raft.h"

struct raft_memory {
    struct entry_list entries; /* behind (BEFORE_TERM, BEFORE) */
    uint64_t before;
    uint64_t before_term;
    struct hard_state hard_state;
    struct snapshot installed; /* index 0: none */
    struct snapshot *history;
    size_t history_count;
    enum err fail; /* other than OK: what every read that can fail says */
};

void raft_memory_init(struct raft_memory *m);
void raft_memory_fini(struct raft_memory *m);
struct raft_storage raft_memory_storage(struct raft_memory *m);
/* Replaces a suffix. Aborts on a gap. False without memory: nothing changed. */
bool raft_memory_append(struct raft_memory *m, struct entries more);
/* False: S is not newer than the last one. */
bool raft_memory_install(struct raft_memory *m, const struct snapshot *s);
/* Drops the log up to and with INDEX. False: it is compacted already. */
bool raft_memory_compact(struct raft_memory *m, uint64_t index);
void raft_memory_add_history(struct raft_memory *m, const struct snapshot *s);

#endif
