/* The tables of warren.db: their SQL, their rows, and the checksums that tie them together.
 *
 * Every row has a CRC-32C over its table and all its columns. The one row of `hard_state` changes
 * with every transaction and holds what the transaction counts: the log's first and last index, and
 * for each other table the number of rows and the sum of their checksums, so that rows that are
 * lost, doubled or from an older page are noticed when all are read. One connection, one thread. */
#ifndef WARREN_CONSENSUS_TABLES_H
#define WARREN_CONSENSUS_TABLES_H

#include "base/arena.h"
#include "base/strbuf.h"
#include "consensus/journal.h"
#include "core/configuration.h"

#include <sqlite3.h>

enum {
    TABLES_PAGE_SIZE = 4096,
    TABLES_FORMAT = 1,                  /* PRAGMA user_version */
    TABLES_APPLICATION_ID = 0x5752524e, /* "WRRN", PRAGMA application_id */
    TABLES_META_COUNT = 8,              /* JOURNAL_META's ids are 1.. this */
    TABLES_SUB_BITS = 24,               /* of a revision's packed number */
};

/* The rows of one table. */
struct totals {
    uint64_t count;
    uint64_t sum; /* of their checksums, modulo 2^64 */
};

struct tables_state {
    uint64_t transaction; /* how many there have been */
    struct hard_state hard;
    uint64_t applied;
    uint64_t log_first;
    uint64_t log_last;
    uint64_t log_before_term; /* of the entry before the first; 0: there never was one */
    bool auto_leave;          /* the one word of the configuration that is of no member */
    struct totals members;
    struct totals totals[JOURNAL_REVISIONS + 1]; /* meta's is unused: its values are here */
    int64_t meta[TABLES_META_COUNT];
    uint32_t meta_present; /* bit I: meta[I] has a value */
};

enum tables_statement {
    SQL_BEGIN,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_STATE_GET,
    SQL_STATE_PUT,
    SQL_LOG_PUT,
    SQL_LOG_GET,
    SQL_LOG_CUT,
    SQL_LOG_DROP,
    SQL_REVISION_PUT,
    SQL_REVISION_GET,
    SQL_REVISION_DROP,
    SQL_LEASE_PUT,
    SQL_LEASE_GET,
    SQL_LEASE_DROP,
    SQL_ALARM_PUT,
    SQL_ALARM_GET,
    SQL_ALARM_DROP,
    SQL_MEMBER_PUT,
    SQL_MEMBER_GET,
    SQL_MEMBER_CLEAR,
    SQL_VACUUM,
    SQL_FREE_PAGES,
    SQL_COUNT,
};

struct tables {
    sqlite3 *db;
    sqlite3_stmt *statements[SQL_COUNT]; /* made when first used */
    int code;                            /* SQLite's, of the last failure */
    char failure[200];                   /* what the last failure was */
};

/* Whether (MAIN, SUB) fits one packed number. */
bool tables_pack(int64_t *out, int64_t main, int64_t sub);

/* Makes the tables in an empty database: page size, WAL, everything. */
enum err tables_create(struct tables *t) MUST_CHECK;
/* Whether the schema is, word for word, what tables_create makes. ERR_MALFORMED. */
enum err tables_check_schema(struct tables *t) MUST_CHECK;
/* SQLite's own look at the pages: each in one place, free ones too. ERR_MALFORMED. */
enum err tables_check_pages(struct tables *t) MUST_CHECK;
/* Finalises the statements and closes the connection. */
void tables_close(struct tables *t);

enum err tables_run(struct tables *t, enum tables_statement statement) MUST_CHECK;

/* Whether SQL_VACUUM has something to give back. */
bool tables_has_free_pages(struct tables *t);

enum err tables_get_state(struct tables *t, struct tables_state *out) MUST_CHECK;
/* The checksum that STATE's row has. */
uint32_t tables_state_sum(const struct tables_state *state);
enum err tables_put_state(struct tables *t, const struct tables_state *state) MUST_CHECK;

/* Who we are, and the configuration as of STATE's applied index. */
struct tables_membership {
    uint64_t cluster_id;
    uint64_t member_id;
    struct configuration_state configuration; /* its auto_leave is STATE's */
};
/* Every row, verified and counted against STATE. ERR_NOT_FOUND in a new journal. */
enum err tables_get_membership(struct tables *t, const struct tables_state *state,
                               struct tables_membership *out) MUST_CHECK;
/* Replaces all rows and counts them in STATE. */
enum err tables_put_membership(struct tables *t, struct tables_state *state,
                               const struct tables_membership *membership) MUST_CHECK;

enum err tables_put_log(struct tables *t, const struct log_entry *entry) MUST_CHECK;
/* Removes the log from index FROM on, or before BEFORE. */
enum err tables_cut_log(struct tables *t, uint64_t from) MUST_CHECK;
enum err tables_drop_log(struct tables *t, uint64_t before) MUST_CHECK;
/* Entries FIRST..LAST, each verified, none missing; what EACH returns other than OK ends it. */
enum err tables_read_log(struct tables *t, uint64_t first, uint64_t last, journal_entry_fn *each,
                         void *context) MUST_CHECK;

/* Puts or removes a row and counts it in STATE. */
enum err tables_apply(struct tables *t, struct tables_state *state,
                      const struct journal_effect *effect) MUST_CHECK;
/* Every row of leases, alarms and revisions, verified and counted against STATE; meta's values
 * first. EACH may be NULL. */
enum err tables_read_all(struct tables *t, const struct tables_state *state, journal_each_fn *each,
                         void *context) MUST_CHECK;
/* Revisions with packed numbers FROM..TO; the row's bytes are valid within EACH. */
enum err tables_read_revisions(struct tables *t, int64_t from, int64_t to,
                               bool (*each)(void *context, const struct journal_revision *r),
                               void *context) MUST_CHECK;

/* Ours for a code of SQLite's. */
enum err tables_err(int sqlite_code);

#endif
