/* The registry's state machine: etcd v3's semantics as a pure function of the log.
 *
 * Model: an ordered map from key to its newest value (in memory, one allocation a key) and the
 * (main, sub) of its older versions that compaction has kept; leases with the keys attached to
 * them; alarms; the newest and the compacted revision. Older values are not in memory: whoever
 * answers a request that needs one passes a `state_source` that fetches it (the journal, its
 * overlay). No decision about a change ever needs one, so every member decides alike.
 *
 * Invariants: state after N commands depends on those commands alone (no clock, no randomness, no
 * address, no hash order in anything a member emits); the records emitted by apply, replayed into a
 * new state by state_restore_record, give an equal state (state_hash); the revision never goes
 * back; a command either applies as a whole or changes nothing but what its verdict says.
 *
 * Deadlines of leases are not here (registry/state/lessor.h): expiry is a revoke like another.
 *
 * Pure: base alone, no I/O, no clock, no mutable global. One thread at a time. */
#ifndef WARREN_REGISTRY_STATE_H
#define WARREN_REGISTRY_STATE_H

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"
#include "registry/kv.h"
#include "registry/state/record.h"

struct state;

/* Old versions, fetched by the member that answers. READ copies or keeps what OUT borrows in ARENA.
 * ERR_NOT_FOUND when that revision is not there (a bug or damage), ERR_IO, ERR_MALFORMED (a
 * checksum), ERR_NO_MEMORY. */
struct state_source {
    enum err (*read)(void *context, int64_t main, int64_t sub, struct arena *arena, struct kv *out);
    /* Calls EACH for every change with main in [FROM, TO], in order, until it returns false. */
    enum err (*scan)(void *context, int64_t from, int64_t to,
                     bool (*each)(void *each_context, const struct state_record *revision),
                     void *each_context);
    void *context;
};

enum err state_create(struct state **out) MUST_CHECK;
void state_destroy(struct state *s);

/* --- commands ---------------------------------------------------------------------------------
 *
 * What goes through the log: put, delete range, transaction, compaction, lease grant and revoke,
 * alarm. Encoded by state_command_encode, decoded and checked again by state_apply (a log is bytes
 * from a disk or another member). The encoding carries a format version. */

enum state_command_type {
    STATE_PUT = 1,
    STATE_DELETE,
    STATE_TXN,
    STATE_COMPACT,
    STATE_LEASE_GRANT,  /* the id is chosen by the proposer, never 0 */
    STATE_LEASE_REVOKE, /* also an expiry */
    STATE_ALARM_CHANGE,
};

struct state_command {
    enum state_command_type type;
    union {
        struct kv_put_request put;
        struct kv_delete_request del;
        struct kv_txn_request txn;
        struct {
            int64_t revision;
        } compact;
        struct {
            int64_t id;
            int64_t ttl_s; /* as granted: already raised to the minimum */
        } lease;
        struct {
            enum alarm_action action;
            struct alarm alarm;
        } alarm;
    };
};

struct strbuf;

/* What can be said of a request without the state: empty keys, too many or nested operations,
 * duplicate keys, bad sort options, values given where they must not be. What etcd checks before it
 * proposes. MAX_TXN_OPS is a member's own matter: what was committed is applied with up to
 * KV_TXN_OPS_LIMIT, which it must not be above. */
enum verdict state_check_range(const struct kv_range_request *request);
enum verdict state_check_command(const struct state_command *command, size_t max_txn_ops);

/* Appends the encoding to OUT (its sticky failure is the only error). */
void state_command_encode(struct strbuf *out, const struct state_command *command);
/* Decodes into ARENA and borrows from DATA. ERR_MALFORMED, ERR_NO_MEMORY. */
enum err state_command_decode(struct state_command *out, struct bytes data,
                              struct arena *arena) MUST_CHECK;

struct state_result {
    enum verdict verdict;
    int64_t revision; /* the store's after the command */
    union {
        struct kv_put_response put;
        struct kv_delete_response del;
        struct kv_txn_response txn;
        struct {
            int64_t id;
            int64_t ttl_s;
        } lease;
        struct {
            const struct alarm *alarms;
            size_t count;
        } alarm;
    };
};

/* Applies one committed command and emits its records, STATE_META last if anything changed. RESULT
 * and SOURCE are NULL on a member that does not answer; else RESULT borrows from the state, the
 * ARENA and COMMAND until the next call that changes the state. The previous value of a changed key
 * is in the emitted record, never fetched. ERR_MALFORMED: not a command; nothing was changed.
 * ERR_NO_MEMORY: the state is no longer to be used (the caller stops). An error of SOURCE, or an
 * answer for which ARENA has no room, fails the answer, not the command: the changes are made, the
 * error is returned through SOURCE_ERROR (NULL: not wanted), and RESULT holds the revision alone.
 * What decoding takes of ARENA must be there: twenty times a command that passed the checks is
 * enough.
 *
 * A transaction that would look at too many keys or answer too much (KV_TXN_MAX_KEYS,
 * KV_TXN_MAX_ANSWER_SIZE) gets VERDICT_TXN_TOO_LARGE and does nothing; where only its old values
 * show that while it is done, the answer fails with ERR_LIMIT if it changed something.
 *
 * state_check_command is part of it, and so are the alarms: while NOSPACE is raised, puts,
 * transactions with a put in either branch and grants get VERDICT_NO_SPACE; while CORRUPT is, all
 * that could change something but alarms gets VERDICT_CORRUPT. A transaction that only reads may be
 * applied without being in the log: it changes nothing and emits nothing. */
enum err state_apply(struct state *s, struct bytes command, const struct state_source *source,
                     struct arena *arena, const struct state_sink *sink,
                     struct state_result *result, enum err *source_error) MUST_CHECK;
/* The same for a decoded command; state_apply is decode and this. */
enum err state_apply_command(struct state *s, const struct state_command *command,
                             const struct state_source *source, struct arena *arena,
                             const struct state_sink *sink, struct state_result *result,
                             enum err *source_error) MUST_CHECK;

/* --- reads ------------------------------------------------------------------------------------ */

int64_t state_revision(const struct state *s);
int64_t state_compacted(const struct state *s); /* 0: never */
size_t state_key_count(const struct state *s);  /* live keys */

/* What OUT holds is borrowed from the state and ARENA until the state changes. VERDICT_COMPACTED,
 * VERDICT_FUTURE_REVISION, VERDICT_INVALID_SORT go to VERDICT; errors are SOURCE's and
 * ERR_NO_MEMORY. SOURCE may be NULL if revision is 0. */
enum err state_range(const struct state *s, const struct kv_range_request *request,
                     const struct state_source *source, struct arena *arena,
                     struct kv_range_response *out, enum verdict *verdict) MUST_CHECK;

/* What reads may cost in all. */
struct state_budget {
    size_t keys; /* looked at; one from the source counts STATE_COST_OF_OLD times */
    size_t size; /* octets of the answer: keys and values */
};
/* The same within BUDGET, from which the cost is taken: ERR_LIMIT when it does not last. */
enum err state_range_within(const struct state *s, const struct kv_range_request *request,
                            const struct state_source *source, struct arena *arena,
                            struct state_budget *budget, struct kv_range_response *out,
                            enum verdict *verdict) MUST_CHECK;
/* The newest version of KEY; false if there is none. Borrowed until the state changes. */
bool state_get(const struct state *s, struct bytes key, struct kv *out);
/* The place of KEY's newest version before revision MAIN; false if it had none or it is compacted.
 */
bool state_version_before(const struct state *s, struct bytes key, int64_t main,
                          int64_t *before_main, int64_t *before_sub);

bool state_lease(const struct state *s, int64_t id, int64_t *ttl_s);
size_t state_lease_count(const struct state *s);
/* Calls EACH for every lease by rising id, and for every key attached to lease ID by rising key. */
void state_each_lease(const struct state *s, void (*each)(void *context, int64_t id, int64_t ttl_s),
                      void *context);
void state_each_lease_key(const struct state *s, int64_t id,
                          void (*each)(void *context, struct bytes key), void *context);
size_t state_alarms(const struct state *s, const struct alarm **out);

/* A hash of every retained (key, main, sub) with its content up to REVISION (0: the newest), equal
 * on equal histories whatever was compacted above; CRC-32C as etcd's HashKV reports it, though not
 * etcd's value (its rows are others). Old values come from SOURCE. VERDICT_COMPACTED for a REVISION
 * up to the compacted one itself, as etcd 3.4. */
enum err state_hash(const struct state *s, int64_t revision, const struct state_source *source,
                    uint32_t *hash, enum verdict *verdict) MUST_CHECK;

/* --- long reads in steps ----------------------------------------------------------------------
 *
 * A hash, and a range of any size, of one revision, bit by bit while commands are applied between
 * the steps: a later version of a key hides none of its older ones. What must not happen meanwhile
 * is a purge behind a compaction that came later and would take versions still to be read
 * (state_purge's caller holds it back while such a read is under way, see each below). */

enum {
    /* A budget counts keys and versions looked at; one that is fetched from the source, and octets
     * of keys and values, cost more. */
    STATE_COST_OF_OLD = 40,
    STATE_SIZE_OF_COST = 1024,
};

struct state_hasher;

/* Begins state_hash. With a VERDICT other than OK, as state_hash gives it, OUT is NULL. S must live
 * as long. No purge while state_compacted is another than state_hasher_compacted. ERR_NO_MEMORY. */
enum err state_hasher_create(struct state_hasher **out, const struct state *s, int64_t revision,
                             enum verdict *verdict) MUST_CHECK;
void state_hasher_destroy(struct state_hasher *h); /* NULL: nothing */
/* Spends BUDGET, or a little more. SOURCE's errors, ERR_NO_MEMORY: the hash cannot be finished. */
enum err state_hasher_step(struct state_hasher *h, const struct state_source *source, size_t budget,
                           bool *is_done) MUST_CHECK;
uint32_t state_hasher_hash(const struct state_hasher *h); /* once it is done */
int64_t state_hasher_revision(const struct state_hasher *h);
int64_t state_hasher_compacted(const struct state_hasher *h); /* when it began */

struct state_reading;

/* Begins a range; REQUEST is copied. With a VERDICT other than OK, as state_range gives it, OUT is
 * NULL. S must live as long. No purge while state_compacted is above state_reading_revision.
 * MEMORY_LIMIT bounds what is kept for a sort. ERR_NO_MEMORY. */
enum err state_reading_create(struct state_reading **out, const struct state *s,
                              const struct kv_range_request *request, size_t memory_limit,
                              enum verdict *verdict) MUST_CHECK;
void state_reading_destroy(struct state_reading *r); /* NULL: nothing */
int64_t state_reading_revision(const struct state_reading *r);

struct state_reading_part {
    const struct kv *kvs; /* borrowed from the state and ARENA until either changes */
    size_t kv_count;
    bool is_done;
    int64_t count; /* once it is done: as in a kv_range_response */
    bool more;
};
/* The next keys of the answer, perhaps none, for BUDGET or a little more. SOURCE's errors,
 * ERR_NO_MEMORY: the range cannot be finished. */
enum err state_reading_step(struct state_reading *r, const struct state_source *source,
                            size_t budget, struct arena *arena,
                            struct state_reading_part *out) MUST_CHECK;

/* --- compaction ------------------------------------------------------------------------------- */

/* A compaction command only moves the compacted revision; what it made superfluous is dropped bit
 * by bit: looks at BUDGET keys and emits STATE_REVISION_GONE for what can go. Returns false when
 * nothing is left to drop. A restored state begins again from the first key. */
bool state_purge(struct state *s, size_t budget, const struct state_sink *sink);

/* --- snapshot and restore --------------------------------------------------------------------- */

/* Emits the mutable records: one STATE_META, leases, alarms. The revisions are the source's. */
void state_snapshot_mutable(const struct state *s, const struct state_sink *sink);
/* Feeds one record into a state that no command was applied to: meta, leases and alarms in any
 * order, then revisions in rising (main, sub) order. ERR_MALFORMED for a record that contradicts
 * those before it, ERR_NO_MEMORY. What apply and the purge emitted may be fed as it came, too:
 * STATE_REVISION_GONE is ignored, for the purge of the restored state comes upon it again. */
enum err state_restore_record(struct state *s, const struct state_record *record) MUST_CHECK;
/* After the last record: checks what only the whole can show (the revision, attached leases). */
enum err state_restore_finish(struct state *s) MUST_CHECK;

/* A record as bytes (snapshot chunks; the journal has its own columns) and back. DATA must be
 * consumed whole. */
void state_record_encode(struct strbuf *out, const struct state_record *record);
enum err state_record_decode(struct state_record *out, struct bytes data) MUST_CHECK;

#endif
