/* The store: the one way to the registry's data, for the API and for the daemon's directives.
 *
 * A request goes in with a callback and is answered exactly once, perhaps before store_submit
 * returns. Nothing here tells whether the answer came from this process (engine `embedded`) or from
 * an etcd elsewhere (engine `remote`, not there yet). Watches deliver changes as they are committed
 * and have no gaps and no repeats. Loop thread only. */
#ifndef WARREN_REGISTRY_STORE_H
#define WARREN_REGISTRY_STORE_H

#include "base/err.h"
#include "base/metrics.h"
#include "base/strbuf.h"
#include "registry/kv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct store;

struct store_config {
    uv_loop_t *loop;
    struct metrics *metrics;
    const char *data_dir;
    const char *name;             /* the member's, --name */
    const char *const *peer_urls; /* --initial-advertise-peer-urls */
    size_t peer_url_count;
    const char *const *client_urls; /* --advertise-client-urls */
    size_t client_url_count;
    const char *cluster_token;      /* --initial-cluster-token */
    uint64_t quota_size;            /* --quota-backend-bytes; 0: 2 GiB */
    int64_t compaction_retention_s; /* history kept; 0: for ever. By default 24 hours */
    int64_t compaction_revisions;   /* instead, the number of revisions kept; 0: by time */
    uint64_t election_timeout_ms;   /* the minimum lease TTL follows from it; 0: 1000 */
    uint64_t heartbeat_interval_ms; /* at most half of it; 0: a tenth */
    bool must_exist;        /* --initial-cluster-state existing: an empty folder is an error */
    const char *vfs;        /* for the fault tests */
    size_t max_answer_size; /* memory of one answer, for tests, too; 0: 1 GiB */
};

/* Opens or creates the embedded store and loads it. ERROR gets lines for a user. */
enum err store_open(struct store **out, const struct store_config *config,
                    struct strbuf *error) MUST_CHECK;
/* Other URLs for clients than those of the configuration, as many: ports are known only to who
 * listens. URLS are copied. Before the first request; ERR_NO_MEMORY leaves some changed. */
enum err store_set_client_urls(struct store *s, const char *const *urls, size_t count) MUST_CHECK;
/* Requests without an answer get VERDICT_STOPPED; watches end without a word. The loop has to run
 * afterwards until the handles are closed. */
void store_close(struct store *s);

/* --- requests --------------------------------------------------------------------------------- */

enum store_request_type {
    STORE_RANGE,
    STORE_PUT,
    STORE_DELETE,
    STORE_TXN,
    STORE_COMPACT,
    STORE_LEASE_GRANT,
    STORE_LEASE_REVOKE,
    STORE_LEASE_KEEPALIVE,
    STORE_LEASE_TIME_TO_LIVE,
    STORE_LEASE_LIST,
    STORE_ALARM,
    STORE_HASH,   /* HashKV, and Hash at the newest revision */
    STORE_DEFRAG, /* gives free pages back */
};

/* Part of the answer to a large range. */
struct store_part {
    int64_t revision;     /* the response header's, if it begins now */
    const struct kv *kvs; /* borrowed for the call */
    size_t kv_count;      /* 0: asks whether the answer may begin */
};
enum store_part_fate {
    STORE_PART_TAKEN,
    STORE_PART_LATER,    /* to the question alone: it comes again in some milliseconds */
    STORE_PART_UNWANTED, /* nobody waits for the answer: VERDICT_STOPPED ends the request */
};
/* May submit, but not cancel. */
typedef enum store_part_fate store_part_fn(void *context, const struct store_part *part);

struct store_request {
    enum store_request_type type;
    /* For a range, or NULL: takes an answer that is too large to be made in one turn of the loop,
     * in parts that come in order before the answer itself, which has no kvs then. Without it a
     * range holds the loop for as long as it takes. A small answer comes in one piece anyway. */
    store_part_fn *part;
    size_t max_txn_ops; /* 0: KV_MAX_TXN_OPS; at most KV_TXN_OPS_LIMIT */
    union {
        struct kv_range_request range;
        struct kv_put_request put;
        struct kv_delete_request del;
        struct kv_txn_request txn;
        struct {
            int64_t revision;
            bool physical; /* answered when the rows are gone */
        } compact;
        struct {
            int64_t id; /* 0: chosen here */
            int64_t ttl_s;
        } grant;
        struct {
            int64_t id;
            bool keys;
        } lease;
        struct {
            enum alarm_action action;
            struct alarm alarm;
        } alarm;
        struct {
            int64_t revision;
        } hash;
    };
};

struct store_response {
    enum verdict verdict;
    int64_t revision; /* the response header's */
    uint64_t term;
    union {
        struct kv_range_response range;
        struct kv_put_response put;
        struct kv_delete_response del;
        struct kv_txn_response txn;
        struct {
            int64_t id;
            int64_t ttl_s; /* keepalive of a missing lease: 0 */
        } lease;
        struct lease_status time_to_live;
        struct {
            const int64_t *ids; /* by rising deadline */
            size_t count;
        } leases;
        struct {
            const struct alarm *alarms;
            size_t count;
        } alarms;
        struct {
            uint32_t hash;
            int64_t compact_revision; /* -1: never compacted */
            int64_t hash_revision;
        } hash;
    };
};

/* RESPONSE and what it points to are borrowed for the call. */
typedef void store_done_fn(void *context, const struct store_response *response);

/* REQUEST is copied as far as it outlives the call. Validation (etcd's) happens here. */
void store_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                  void *context);

/* Ends the reads that were submitted with CONTEXT, will take some more turns of the loop and are
 * not wanted any more: each is answered VERDICT_STOPPED before the return. Others go on. */
void store_cancel(struct store *s, void *context);

/* --- watches ---------------------------------------------------------------------------------- */

struct store_watch;

struct store_watch_request {
    struct bytes key;
    struct bytes range_end;
    int64_t start_revision; /* 0: after now */
    bool prev_kv;
    bool no_put;
    bool no_delete;
};

struct store_watch_batch {
    int64_t revision;         /* the response header's */
    int64_t compact_revision; /* not 0: history is gone, the watch is over after this call */
    const struct kv_event *events;
    size_t event_count;
};

/* False: no room now; the same events come again after store_watch_resume. */
typedef bool store_watch_fn(void *context, const struct store_watch_batch *batch);

/* No callback before the return. ERR_NO_MEMORY. */
enum err store_watch_create(struct store_watch **out, struct store *s,
                            const struct store_watch_request *request, store_watch_fn *deliver,
                            void *context) MUST_CHECK;
void store_watch_cancel(struct store_watch *w); /* not after compact_revision was delivered */
void store_watch_resume(struct store_watch *w);
/* Everything up to store_status.revision was delivered. */
bool store_watch_is_synced(const struct store_watch *w);

/* FN runs after each settled run of commits, once all synced watches have their batches. For
 * progress notices and for consumers that batch. One per context. */
enum err store_on_settled(struct store *s, void (*fn)(void *context), void *context) MUST_CHECK;
void store_off_settled(struct store *s, void *context);

/* --- status ----------------------------------------------------------------------------------- */

struct store_member {
    uint64_t id;
    const char *name;
    const char *const *peer_urls;
    size_t peer_url_count;
    const char *const *client_urls;
    size_t client_url_count;
    bool is_learner;
};

struct store_status {
    uint64_t cluster_id;
    uint64_t member_id;
    uint64_t leader; /* 0: none */
    uint64_t term;
    uint64_t raft_index;
    uint64_t raft_applied;
    int64_t revision;
    int64_t compact_revision;
    uint64_t database_size;
    uint64_t in_use_size;
    uint64_t quota_size;
    const struct alarm *alarms;
    size_t alarm_count;
    const char *failure; /* "": writes are accepted; else why not */
    const struct store_member *members;
    size_t member_count;
    size_t key_count;
    size_t watch_count;
};
/* OUT borrows until the store changes. */
void store_status(struct store *s, struct store_status *out);
/* Whether puts are taken: not while the disk is low, full or broken, nor under a NOSPACE or CORRUPT
 * alarm. What is read from the store goes on being right then, but gets no news. Any thread. */
bool store_is_writable(const struct store *s);

#endif
