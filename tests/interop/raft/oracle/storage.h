/* A member's durable log, in the plainest form: the naive twin of what a journal does. */
#ifndef WARREN_INTEROP_RAFT_ORACLE_STORAGE_H
#define WARREN_INTEROP_RAFT_ORACLE_STORAGE_H

#include "core/raft.h"

struct model_storage {
    struct snapshot snapshot; /* the newest; index 0: none */
    bool unavailable;
    uint64_t before_index; /* the entry before the first, by its term alone */
    uint64_t before_term;
    struct entry_list log;
};

void model_storage_fini(struct model_storage *s);
void model_storage_append(struct model_storage *s, struct entries entries);
/* Installs one of a leader: the log goes. */
void model_storage_install(struct model_storage *s, const struct snapshot *snapshot);
/* Drops the entries up to INDEX, which stays known by its term. */
void model_storage_compact(struct model_storage *s, uint64_t index);
struct raft_storage model_storage_interface(struct model_storage *s);

#endif
