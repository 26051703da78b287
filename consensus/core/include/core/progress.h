/* What a leader knows of one member's log, and how it sends to it.
 *
 * Probe: where the log matches is not known; one append at a time, the next after an answer or a
 * heartbeat's. Replicate: appends are sent ahead of their answers, as many as the inflight window
 * takes. Snapshot: nothing is sent until the member has one.
 *
 * Invariant: match < next. In snapshot, next is behind the pending snapshot. */
#ifndef WARREN_CORE_PROGRESS_H
#define WARREN_CORE_PROGRESS_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct inflight {
    uint64_t index; /* of the message's last entry */
    uint64_t size;  /* bytes of its payloads */
};

/* The window of appends on their way, oldest first: a ring that grows up to LIMIT. The limit of
 * bytes is soft: the message that reaches it is still sent. */
struct inflights {
    size_t limit;        /* messages */
    uint64_t size_limit; /* bytes; 0: none */
    size_t count;
    uint64_t size; /* bytes of all */
    size_t start;  /* of the oldest, in RING */
    size_t capacity;
    struct inflight *ring;
};

void inflights_init(struct inflights *in, size_t limit, uint64_t size_limit);
void inflights_fini(struct inflights *in);
void inflights_reset(struct inflights *in);
bool inflights_full(const struct inflights *in);
/* Not while it is full, and with rising indexes. ERR_NO_MEMORY. */
enum err inflights_add(struct inflights *in, uint64_t index, uint64_t size) MUST_CHECK;
/* An answer came for everything up to INDEX. */
void inflights_free_to(struct inflights *in, uint64_t index);

enum progress_state {
    PROGRESS_PROBE,
    PROGRESS_REPLICATE,
    PROGRESS_SNAPSHOT
};

struct progress {
    uint64_t id;
    uint64_t match;
    uint64_t next;
    uint64_t sent_commit; /* the highest commit index on its way there */
    enum progress_state state;
    uint64_t pending_snapshot; /* its index, in PROGRESS_SNAPSHOT */
    bool recent_active;        /* heard of since the last look of CheckQuorum */
    bool flow_paused;          /* no append before a heartbeat was answered */
    bool is_learner;
    struct inflights inflights;
};

/* As of a new leader or member. Keeps nothing of before but the window's memory and limits. */
void progress_reset(struct progress *p, uint64_t match, uint64_t next);
void progress_become_probe(struct progress *p);
void progress_become_replicate(struct progress *p);
void progress_become_snapshot(struct progress *p, uint64_t index);
/* An append with COUNT entries and SIZE bytes of payload was sent. ERR_NO_MEMORY. */
enum err progress_sent(struct progress *p, uint64_t count, uint64_t size) MUST_CHECK;
/* Whether sending COMMIT could still move the member's commit index. */
bool progress_can_bump_commit(const struct progress *p, uint64_t commit);
/* INDEX was acknowledged. False if that is old news. */
bool progress_update(struct progress *p, uint64_t index);
/* The append behind REJECTED was, and HINT could match. False if that is old news. */
bool progress_decrease(struct progress *p, uint64_t rejected, uint64_t hint);
/* Whether no append may be sent now. */
bool progress_is_paused(const struct progress *p);

#endif
