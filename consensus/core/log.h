/* The log as the algorithm sees it: the storage's durable part and, over it, the unstable tail.
 *
 * Invariant: applied <= applying <= committed <= last index. APPLYING is how far entries were
 * handed out to be applied, APPLIED how far that was confirmed; their bytes in between are bounded
 * by max_applying_size, except that one entry always goes. */
#ifndef WARREN_CORE_LOG_H
#define WARREN_CORE_LOG_H

#include "consensus/core/unstable.h"
#include "core/raft.h"

struct entry_id {
    uint64_t term;
    uint64_t index;
};

struct raft_log {
    struct raft_storage storage;
    struct unstable unstable;
    uint64_t committed;
    uint64_t applying;
    uint64_t applied;
    uint64_t max_applying_size;
    uint64_t applying_size; /* bytes handed out and not confirmed */
    bool applying_paused;   /* nothing more until something is confirmed */
    /* Sticky: memory ran out, or the storage failed. What follows in the same call is without
     * effect on the outside, for nothing is handed out any more. */
    enum err error;
};

void raft_log_init(struct raft_log *l, const struct raft_storage *storage,
                   uint64_t max_applying_size);
void raft_log_fini(struct raft_log *l);
/* Keeps the first. OK does nothing. True if there is any. */
bool raft_log_fail(struct raft_log *l, enum err error);

uint64_t raft_log_first(const struct raft_log *l);
uint64_t raft_log_last(const struct raft_log *l);
/* ERR_NOT_FOUND: compacted; ERR_INVALID: behind the last; or the log's error. */
enum err raft_log_term(struct raft_log *l, uint64_t index, uint64_t *term) MUST_CHECK;
/* 0 where it is not known, also where the storage fails, which is not kept. */
uint64_t raft_log_term_or_zero(const struct raft_log *l, uint64_t index);
struct entry_id raft_log_last_id(struct raft_log *l);
bool raft_log_matches(struct raft_log *l, struct entry_id id);
/* Whether THEIRS may lead us (thesis section 3.6.1). */
bool raft_log_is_up_to_date(struct raft_log *l, struct entry_id theirs);
/* The highest index <= INDEX whose term is TERM or less, or not known: where a log that has TERM at
 * INDEX could match ours. Its term is 0 if not known. */
struct entry_id raft_log_find_conflict(struct raft_log *l, uint64_t index, uint64_t term);

/* LO <= index < HI into OUT: at least one, then as long as they fit into MAX_SIZE. ERR_NOT_FOUND:
 * LO is compacted; or the log's error. */
enum err raft_log_slice(struct raft_log *l, uint64_t lo, uint64_t hi, uint64_t max_size,
                        struct entry_list *out) MUST_CHECK;

/* At the end, behind what is committed. */
void raft_log_append(struct raft_log *l, struct entries more);
/* A leader's entries behind PREV, with what it says is committed. False if PREV does not match. */
bool raft_log_try_append(struct raft_log *l, struct entry_id prev, struct entries more,
                         uint64_t leader_commit);
/* Never falls; INDEX is not behind the last. */
void raft_log_commit_to(struct raft_log *l, uint64_t index);
/* True if it rose: INDEX is of TERM, and higher than what was committed. */
bool raft_log_try_commit(struct raft_log *l, uint64_t term, uint64_t index);
void raft_log_restore(struct raft_log *l, const struct snapshot *s);

/* Whether raft_log_next_committed would find something. Entries that are not durable here count if
 * UNSTABLE_TOO. */
bool raft_log_has_next_committed(const struct raft_log *l, bool unstable_too);
void raft_log_next_committed(struct raft_log *l, bool unstable_too, struct entry_list *out);
/* Entries up to INDEX with SIZE bytes were handed out. */
void raft_log_accept_applying(struct raft_log *l, uint64_t index, uint64_t size, bool unstable_too);
void raft_log_applied_to(struct raft_log *l, uint64_t index, uint64_t size);

#endif
