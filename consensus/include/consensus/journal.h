/* The journal: what must survive power loss, in one SQLite file.
 *
 * <data-dir>/warren.db holds the Raft log, the hard state, and the tables that the state machine's
 * effects live in (key revisions, leases, alarms, meta). One thread owns the one writing
 * connection; the loop thread hands it transactions and is told when they are durable. One
 * transaction carries new log entries, hard state, the effects of the entries applied since the
 * last one, and the applied index, so one fsync serves a whole batch and the tables are never ahead
 * of the log.
 *
 * Overlay: an effect is staged (journal_stage) when its entry was applied in memory, and lies in a
 * bounded overlay until the next transaction has carried it into its table; reads of history
 * consult both. An idle journal flushes its overlay within JOURNAL_FLUSH_MS.
 *
 * Invariants: nothing is reported durable before SQLite's commit returned with synchronous=FULL;
 * rows carry a checksum that every read verifies; after an I/O error nothing is written until a
 * restart (JOURNAL_HALTED, no retry: fsync's second answer means nothing); a full disk keeps what
 * is not durable and tries the identical payload again (JOURNAL_FULL). The journal knows rows, not
 * what they mean: it includes nothing of the registry.
 *
 * Threads: all functions are for the loop thread; DONE callbacks run on it. */
#ifndef WARREN_CONSENSUS_JOURNAL_H
#define WARREN_CONSENSUS_JOURNAL_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "core/hard_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum {
    JOURNAL_FLUSH_MS = 100,
    JOURNAL_MAX_BATCH_ENTRIES = 4096,
    JOURNAL_MAX_BATCH_SIZE = 8 << 20,    /* bytes of entries in one transaction */
    JOURNAL_MAX_OVERLAY_SIZE = 64 << 20, /* beyond it journal_has_room is false */
    JOURNAL_REMOVALS_SOON = 2048,   /* so many staged removals of revisions wait for no idle time */
    JOURNAL_RESERVE_SIZE = 4 << 20, /* the preallocated file that a full disk gives back */
    JOURNAL_FREE_SPACE_FLOOR = 64 << 20, /* default; below it JOURNAL_LOW */
};

struct journal;

struct journal_config {
    const char *data_dir; /* made with mode 0700 if it is not there */
    uv_loop_t *loop;
    uint64_t free_space_floor; /* bytes; 0: JOURNAL_FREE_SPACE_FLOOR */
    const char *vfs;           /* SQLite VFS by name; NULL: the default. For the fault tests */
};

struct log_entry {
    uint64_t index;
    uint64_t term;
    uint32_t type; /* enum log_entry_type of consensus/node.h */
    struct bytes data;
};

/* A row of a table that the state machine owns. The key is (table, a, b), rising integers; DATA is
 * the whole content. The journal's SQL schema gives each table its name and columns that a person
 * reads in the sqlite3 shell. */
enum journal_table {
    JOURNAL_META,      /* a: which value, 1 to 8; b: 0 */
    JOURNAL_LEASES,    /* a: lease id; b: 0 */
    JOURNAL_ALARMS,    /* a: member id, b: alarm type */
    JOURNAL_REVISIONS, /* a: main revision, below 2^39, b: sub-revision, below 2^24; never changed
                        * once written, put in rising order */
};

struct journal_revision {
    int64_t main;
    int64_t sub;
    bool is_delete;
    struct bytes key;
    struct bytes value;
    int64_t create_revision;
    int64_t version;
    int64_t lease;
};

/* One effect: a row put or removed. */
struct journal_effect {
    enum journal_table table;
    bool is_removal;
    union {
        struct journal_revision revision; /* a removal: main and sub alone */
        struct {
            int64_t a;
            int64_t b;
            int64_t value; /* meta's number, a lease's TTL in seconds; 0 for an alarm */
        } row;
    };
};

enum journal_health {
    JOURNAL_OK,
    JOURNAL_LOW,    /* free space is below the floor: still writes, the owner should refuse clients.
                     * Looked at each second, and behind each MiB that was written */
    JOURNAL_FULL,   /* the disk refused a transaction; it is being retried */
    JOURNAL_HALTED, /* an I/O error: nothing is written until a restart */
};

/* --- opening ---------------------------------------------------------------------------------- */

/* Locks the folder, scans the WAL, opens or creates the database. On failure ERROR holds one or
 * more lines for a user: the file, what is wrong, what to do. ERR_EXISTS: another process has the
 * folder; ERR_MALFORMED: damage (a WAL frame with later valid commits behind it, a checksum, a
 * format version we do not know); ERR_PERMISSION, ERR_NO_SPACE, ERR_IO, ERR_NO_MEMORY. */
enum err journal_open(struct journal **out, const struct journal_config *config,
                      struct strbuf *error) MUST_CHECK;
/* Finishes what was submitted, flushes the overlay, checkpoints, closes. Blocks for that long. */
void journal_close(struct journal *j);

/* What was there at the open. All zero in a new journal. */
struct journal_start {
    bool is_new;
    uint64_t cluster_id;
    uint64_t member_id;
    struct hard_state hard_state;
    uint64_t applied_index; /* the tables hold the effects of entries up to here */
    uint64_t first_index;   /* of the log; last_index + 1 when it is empty */
    uint64_t last_index;
    uint64_t last_term;
};
void journal_start(const struct journal *j, struct journal_start *out);
/* Gives a new journal its identity, durable on return. ERR_EXISTS if it has another. */
enum err journal_set_identity(struct journal *j, uint64_t cluster_id, uint64_t member_id,
                              struct strbuf *error) MUST_CHECK;

/* Reads every row of the state machine's tables: meta, leases, alarms, then revisions in order.
 * Before the first transaction. ERR_MALFORMED with the file, table and row in ERROR. */
typedef enum err journal_each_fn(void *context, const struct journal_effect *row);
enum err journal_load(struct journal *j, journal_each_fn *each, void *context,
                      struct strbuf *error) MUST_CHECK;

/* --- the log ---------------------------------------------------------------------------------- */

/* Entries FIRST.. in order, at most LAST, until EACH returns other than OK. Reads what is durable.
 */
typedef enum err journal_entry_fn(void *context, const struct log_entry *entry);
enum err journal_read_log(struct journal *j, uint64_t first, uint64_t last, journal_entry_fn *each,
                          void *context) MUST_CHECK;

/* What one transaction adds. Entries may overwrite a suffix of the log (a follower's conflict):
 * those from entries[0].index on are removed first. ENTRIES' data is borrowed until DONE. */
struct journal_write {
    const struct log_entry *entries;
    size_t entry_count;
    const struct hard_state *hard_state; /* NULL: unchanged */
    uint64_t truncate_before;            /* the log up to, without, this index can go; 0: nothing */
};
/* OK: durable, with everything submitted before it. ERR_IO: halted, whether it is on disk is
 * unknown. ERR_CLOSED: the journal was closed first. */
typedef void journal_done_fn(void *context, enum err outcome);
/* Queues; several queued writes may share one transaction. ERR_NO_MEMORY, ERR_IO (halted). */
enum err journal_submit(struct journal *j, const struct journal_write *write, journal_done_fn *done,
                        void *context) MUST_CHECK;

/* --- effects and history ---------------------------------------------------------------------- */

/* Stages the effects of the entry at APPLIED_INDEX (copied), to be carried by the next transaction.
 * In rising order of index; an index may come several times. ERR_NO_MEMORY; ERR_INVALID: a row that
 * its table has no place for (enum journal_table). */
enum err journal_stage(struct journal *j, uint64_t applied_index,
                       const struct journal_effect *effects, size_t count) MUST_CHECK;
/* False while the overlay is at its bound: no new entry should be applied until DONE of a flush. */
bool journal_has_room(const struct journal *j);
/* Removals of revisions that are staged and in no transaction yet. Who has many of them stages the
 * next ones when there are none: a transaction makes everybody wait that comes behind it. */
size_t journal_staged_removals(const struct journal *j);

/* One revision's row, from the overlay or the table; OUT's bytes are in ARENA. ERR_NOT_FOUND,
 * ERR_MALFORMED, ERR_IO, ERR_NO_MEMORY. */
enum err journal_read_revision(struct journal *j, int64_t main, int64_t sub, struct arena *arena,
                               struct journal_revision *out) MUST_CHECK;
/* Revisions with FROM <= main <= TO in order, from the table and the overlay, until EACH returns
 * false. Short reads only: the connection holds no snapshot between two calls. */
enum err journal_scan_revisions(struct journal *j, int64_t from, int64_t to,
                                bool (*each)(void *context, const struct journal_revision *r),
                                void *context) MUST_CHECK;

/* --- health ----------------------------------------------------------------------------------- */

enum journal_health journal_health(const struct journal *j);
/* The line that says what went wrong; "" while healthy. */
const char *journal_failure(const struct journal *j);
/* Called on every change of health. */
void journal_on_health(struct journal *j, void (*fn)(void *context, enum journal_health health),
                       void *context);

struct journal_stats {
    uint64_t database_size; /* bytes of database and WAL */
    uint64_t in_use_size;   /* without free pages */
    uint64_t commits;
    uint64_t committed_entries;
    size_t overlay_size;
};
void journal_stats(struct journal *j, struct journal_stats *out);
/* Called behind each durable transaction with the time it took, its one sync included. */
void journal_on_commit(struct journal *j, void (*fn)(void *context, double seconds), void *context);
/* Gives free pages back to the file system, a bounded number at a time, in the background. */
void journal_vacuum(struct journal *j);

/* `warrend --check`: reads everything of DATA_DIR without changing it, appends a report to REPORT
 * (what was read, what is damaged, what to do). OK, ERR_MALFORMED for damage, and as journal_open.
 */
enum err journal_check(const char *data_dir, const char *vfs, struct strbuf *report) MUST_CHECK;

#endif
