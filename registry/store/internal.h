/* The embedded engine of the store, private to this folder.
 *
 * Model: the node gives the committed log to `apply`; the state machine turns a command into
 * records; a record goes to the journal (as an effect), to the watch hub, and to the lessor. What a
 * client waits for is a `pending`, the tag of its proposal.
 *
 *   request.c  a request to a verdict, a read or a proposal
 *   apply.c    the log to state, and answers
 *   lease.c    deadlines, keepalives, expiry
 *   reads.c    reads that take more than one turn of the loop
 *   history.c  old values, compaction by time
 *   purge.c    what a compaction made superfluous leaves the journal
 *   space.c    the quota and the NOSPACE alarm
 *   watch.c    watches and their catching up
 *   store.c    life, identity, status */
#ifndef WARREN_REGISTRY_STORE_INTERNAL_H
#define WARREN_REGISTRY_STORE_INTERNAL_H

#include "consensus/journal.h"
#include "consensus/node.h"
#include "registry/state/lessor.h"
#include "registry/state/state.h"
#include "registry/state/watch.h"
#include "registry/store.h"

#include "base/arena.h"
#include "base/strbuf.h"

#include <stdatomic.h>
#include <uv.h>

enum {
    STORE_ARENA_LIMIT = 1 << 30,       /* of one answer: a range over everything must fit */
    STORE_RETRY_MS = 1000,             /* after a failure of the disk or a full queue */
    STORE_EXPIRY_BATCH = 256,          /* leases whose revocation is proposed in one go */
    STORE_MAX_PROPOSAL_SIZE = 4 << 20, /* the longest command; requests are bounded before */
    STORE_MAX_READS = 4096,      /* long reads that run or wait; beyond it: too many requests */
    STORE_COMPACTION_MARKS = 64, /* remembered (time, revision) pairs of periodic compaction */
};
#define STORE_DEFAULT_QUOTA_SIZE (UINT64_C(2) << 30)

/* A client that waits for a proposal of its own, or for what comes after it. */
struct pending {
    struct pending *next; /* in one of the store's lists of waiters */
    struct store *store;
    enum store_request_type type;
    bool is_internal;     /* proposed by the store itself: nobody waits */
    bool is_physical;     /* a compaction that waits for the purge */
    enum verdict refusal; /* not OK: the answer, once the alarm that goes with it is raised */
    int64_t lease;        /* what a lease request is about */
    int64_t revision;     /* the header's of a physical compaction, once it was applied */
    store_done_fn *done;
    void *context;
};

enum {
    PURGE_MAX_RUNS = 32
};

/* Places of revisions that are to leave the journal: purge.c. */
struct purge {
    bool is_on;
    bool is_walking;  /* the state has more to drop */
    bool is_removing; /* what was collected goes first */
    bool is_mixed;    /* the growing run is not in order */
    int64_t *places;  /* main and sub packed */
    size_t count;
    size_t capacity;
    size_t run_start; /* of the growing run */
    struct purge_run {
        size_t next; /* to be removed */
        size_t end;
    } runs[PURGE_MAX_RUNS]; /* each in order */
    size_t run_count;
};

struct settled_hook {
    void (*fn)(void *context);
    void *context;
};

struct compaction_mark {
    uint64_t time_ms;
    int64_t revision;
};

struct long_read;

struct read_list {
    struct long_read *first;
    struct long_read **end;
};

struct store {
    uv_loop_t *loop;
    struct metrics *metrics;
    struct metric_series *commit_times[2]; /* NULL without metrics */
    struct metric_series *health_gauge, *writable_gauge, *stale_gauge;
    uint64_t stopped_at_ms; /* the loop's time when writes stopped being taken; 0: they are */
    _Atomic(bool) is_writable;
    struct journal *journal;
    struct node *node;
    struct state *state;
    struct watch_hub *hub;
    struct lessor *lessor;
    struct state_source source; /* old values, from the journal */
    uint64_t min_lease_ttl_s;
    uint64_t election_timeout_ms;
    uint64_t quota_size;
    uint64_t used_size; /* of the data, as measured at used_ms */
    uint64_t used_ms;
    uint64_t proposed_size; /* what was proposed since may take this much */

    struct arena apply_arena; /* reset before each apply */
    struct arena read_arena;  /* reset when no read is being answered */
    unsigned read_depth;
    struct arena catch_up_arena; /* of one step of catching watchers up */
    struct arena step_arena;     /* of one step of a long read */
    struct read_list hashes;     /* the first one runs */
    struct read_list ranges;     /* that run, by turns */
    struct read_list waiting;    /* ranges that do not yet */
    unsigned range_count;        /* of `ranges` */
    unsigned long_read_count;    /* of all three */
    bool is_waiting_stalled;     /* no waiting range may begin, until the timer */
    bool was_hash;               /* the last step was a hash's */
    size_t max_answer_size;
    struct strbuf command; /* the encoding of the proposal under way */
    bool is_applying;
    uint64_t term;           /* for the headers of answers */
    int64_t loading_meta[2]; /* the meta rows, until they make a record */
    enum err stage_error; /* sticky: the journal could not take an effect of the present command */

    struct pending *keepalives;      /* of leases that are being revoked */
    struct pending *gone_keepalives; /* of leases that are: to be answered once callbacks may be */
    struct pending *compactions;     /* physical ones, applied, waiting for the purge */

    uv_timer_t lease_timer;
    uv_timer_t retry_timer;      /* catching up or purging again after a failure */
    uv_timer_t compaction_timer; /* periodic compaction */
    uv_timer_t stall_timer;      /* asks again whether waiting ranges may begin */
    uv_timer_t space_timer;      /* looks at quota and free space */
    uv_idle_t background;        /* runs while there is catching up or purging to do */
    unsigned open_handles;       /* closed at the end, before the memory goes */
    struct purge purge;
    bool is_background_on;
    bool is_leading; /* leases are watched over here, and history is compacted */
    bool is_closing;

    struct compaction_mark marks[STORE_COMPACTION_MARKS];
    size_t mark_count;
    int64_t compaction_retention_s;
    int64_t compaction_revisions;

    struct settled_hook *hooks;
    size_t hook_count;
    size_t hook_capacity;

    struct store_watch *watches;

    struct store_member member;
    char **urls; /* owned; the member's lists point into it */
    size_t url_count;
    char *name;
};

/* apply.c */
struct node_machine store_machine(struct store *s);
/* Encodes COMMAND and proposes it under TAG. A verdict other than OK: it certainly did not happen,
 * and TAG is still the caller's. */
enum verdict store_propose(struct store *s, const struct state_command *command,
                           struct pending *tag);
/* Stages one record for the journal; the sticky error is s->stage_error. */
void store_stage_record(struct store *s, const struct state_record *record, bool in_apply);

/* request.c */
void store_answer(struct store *s, store_done_fn *done, void *context,
                  struct store_response *response);
void store_answer_verdict(struct store *s, store_done_fn *done, void *context, enum verdict v);
struct pending *store_pending_create(struct store *s, enum store_request_type type,
                                     store_done_fn *done, void *context) MUST_CHECK;
/* Looks whether writes are taken, for store_is_writable and the gauges. */
void store_note_health(struct store *s);
/* Why no client's write is accepted now; VERDICT_OK: they are. */
enum verdict store_write_verdict(const struct store *s, bool takes_space);

/* Of a failed read. */
enum verdict store_read_verdict(enum err e);

/* reads.c */
void store_reads_init(struct store *s);
void store_long_hash(struct store *s, int64_t revision, store_done_fn *done, void *context);
void store_long_range(struct store *s, const struct kv_range_request *request, store_part_fn *part,
                      store_done_fn *done, void *context);
/* Whether a step would do something. */
bool store_has_long_reads(const struct store *s);
void store_long_read_step(struct store *s);
/* Whether some long read needs versions that the purge would take. */
bool store_reads_hold_purge(const struct store *s);
void store_ask_waiting(uv_timer_t *timer);
void store_reads_close(struct store *s);

/* space.c */
/* Whether COMMAND may put bytes in: what the quota and its alarm are about. */
bool store_takes_space(const struct state_command *command);
/* Measures what is used, unless that was done a moment ago. */
void store_space_measure(struct store *s);
/* etcd's rule, for a command that takes space: false if the quota is passed with its cost, which is
 * counted otherwise. */
bool store_space_take(struct store *s, const struct state_command *command);
/* Raises the NOSPACE alarm and answers VERDICT_NO_SPACE once it is there, so that whoever was
 * refused can read it. */
void store_space_refuse(struct store *s, store_done_fn *done, void *context);
/* Raises the alarm, if it is not there, for a disk that is nearly full. */
void store_space_low(struct store *s);
void store_space_tick(uv_timer_t *timer);

/* lease.c */
enum err store_lease_init(struct store *s) MUST_CHECK;
void store_lease_granted(struct store *s, int64_t id, int64_t ttl_s);
void store_lease_gone(struct store *s, int64_t id);
void store_lease_arm(struct store *s);
/* Whether the node leads. Who begins to does not know what keepalives the last leader had: every
 * lease gets its full TTL. */
void store_lease_lead(struct store *s, bool is_leading);
void store_lease_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                        void *context);
/* An expiry's proposal did not happen. */
void store_lease_retry(struct store *s, int64_t id);

/* history.c */
void store_history_init(struct store *s);
void store_compacted(struct store *s); /* a compaction was applied: begin to purge */
/* One step; whether there is more to do. */
/* Whether a step would do something now. */
bool store_purge_is_ready(const struct store *s);
void store_purge_step(struct store *s);
void store_purge_close(struct store *s);
void store_compaction_tick(uv_timer_t *timer);
uint64_t store_compaction_interval_ms(const struct store *s);

/* watch.c */
void store_background(struct store *s); /* starts the idle work if there is any */
void store_background_step(uv_idle_t *idle);
void store_retry(uv_timer_t *timer);
void store_watches_close(struct store *s);

#endif
