#include "tables.h"

#include "base/crc32c.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define SUB_MASK INT64_C(0xffffff)

_Static_assert(SUB_MASK == (INT64_C(1) << TABLES_SUB_BITS) - 1, "the view says it too");

/* What tables_create runs, and what tables_check_schema wants to find. hard_state is first: its
 * root page is the lowest, WAL_EVERY_PAGE. */
static const struct {
    const char *name;
    const char *sql;
} schema[] = {
    {"hard_state",
     "CREATE TABLE hard_state (id INTEGER PRIMARY KEY, transactions INTEGER, "
     "term INTEGER, vote INTEGER, \"commit\" INTEGER, applied INTEGER, "
     "log_first INTEGER, log_last INTEGER, log_before_term INTEGER, auto_leave INTEGER, "
     "member_count INTEGER, member_sum INTEGER, lease_count INTEGER, "
     "lease_sum INTEGER, "
     "alarm_count INTEGER, alarm_sum INTEGER, revision_count INTEGER, "
     "revision_sum INTEGER, meta1 INTEGER, meta2 INTEGER, meta3 INTEGER, "
     "meta4 INTEGER, meta5 INTEGER, meta6 INTEGER, meta7 INTEGER, meta8 INTEGER, "
     "sum INTEGER)"},
    {"membership", "CREATE TABLE membership (member INTEGER PRIMARY KEY, cluster INTEGER, "
                   "is_self INTEGER, role INTEGER, sum INTEGER)"},
    {"leases", "CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl INTEGER, sum INTEGER)"},
    {"alarms", "CREATE TABLE alarms (member INTEGER, type INTEGER, sum INTEGER, "
               "PRIMARY KEY (member, type)) WITHOUT ROWID"},
    {"raft_log", "CREATE TABLE raft_log (idx INTEGER PRIMARY KEY, term INTEGER, type INTEGER, "
                 "data BLOB, sum INTEGER)"},
    {"revisions", "CREATE TABLE revisions (packed INTEGER PRIMARY KEY, is_delete INTEGER, "
                  "create_revision INTEGER, version INTEGER, lease INTEGER, sum INTEGER, "
                  "key BLOB, value BLOB)"},
    {"history", "CREATE VIEW history AS SELECT packed >> 24 AS main, packed & 16777215 AS sub, "
                "is_delete, create_revision, version, lease, CAST(key AS TEXT) AS key, "
                "CAST(value AS TEXT) AS value FROM revisions"},
};

static const char *const statements[SQL_COUNT] = {
    [SQL_BEGIN] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    [SQL_STATE_GET] = "SELECT * FROM hard_state",
    [SQL_STATE_PUT] = "REPLACE INTO hard_state VALUES "
                      "(1,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
    [SQL_LOG_PUT] = "INSERT INTO raft_log VALUES (?,?,?,?,?)",
    [SQL_LOG_GET] = "SELECT idx, term, type, data, sum FROM raft_log WHERE idx >= ? AND idx <= ? "
                    "ORDER BY idx",
    [SQL_LOG_CUT] = "DELETE FROM raft_log WHERE idx >= ?",
    [SQL_LOG_DROP] = "DELETE FROM raft_log WHERE idx < ?",
    [SQL_REVISION_PUT] = "INSERT INTO revisions VALUES (?,?,?,?,?,?,?,?)",
    [SQL_REVISION_GET] = "SELECT packed, is_delete, create_revision, version, lease, sum, key, "
                         "value FROM revisions WHERE packed >= ? AND packed <= ? ORDER BY packed",
    [SQL_REVISION_DROP] = "DELETE FROM revisions WHERE packed = ? RETURNING sum",
    [SQL_LEASE_PUT] = "INSERT INTO leases VALUES (?,?,?)",
    [SQL_LEASE_GET] = "SELECT id, ttl, sum FROM leases ORDER BY id",
    [SQL_LEASE_DROP] = "DELETE FROM leases WHERE id = ? RETURNING sum",
    [SQL_ALARM_PUT] = "INSERT INTO alarms VALUES (?,?,?)",
    [SQL_ALARM_GET] = "SELECT member, type, sum FROM alarms ORDER BY member, type",
    [SQL_ALARM_DROP] = "DELETE FROM alarms WHERE member = ? AND type = ? RETURNING sum",
    [SQL_MEMBER_PUT] = "INSERT INTO membership VALUES (?,?,?,?,?)",
    [SQL_MEMBER_GET] = "SELECT member, cluster, is_self, role, sum FROM membership ORDER BY member",
    [SQL_MEMBER_CLEAR] = "DELETE FROM membership",
    [SQL_VACUUM] = "PRAGMA incremental_vacuum(256)",
    [SQL_FREE_PAGES] = "PRAGMA freelist_count",
};

enum {
    STATE_COLUMNS = 27, /* of hard_state, id and sum included */
    STATE_META_AT = 18, /* column of meta1 */
};

enum err tables_err(int sqlite_code)
{
    switch (sqlite_code & 0xff) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
        return OK;
    case SQLITE_FULL:
        return ERR_NO_SPACE;
    case SQLITE_NOMEM:
        return ERR_NO_MEMORY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return ERR_MALFORMED;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_AUTH:
        return ERR_PERMISSION;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_EXISTS;
    default:
        return ERR_IO;
    }
}

bool tables_pack(int64_t *out, int64_t main, int64_t sub)
{
    if (main < 0 || main > INT64_MAX >> TABLES_SUB_BITS || sub < 0 || sub > SUB_MASK)
        return false;
    *out = main << TABLES_SUB_BITS | sub;
    return true;
}

/* --- failures and statements ------------------------------------------------------------------ */

static enum err fail_sqlite(struct tables *t)
{
    t->code = sqlite3_extended_errcode(t->db);
    (void)snprintf(t->failure, sizeof(t->failure), "%s (SQLite's code %d)", sqlite3_errmsg(t->db),
                   t->code);
    enum err error = tables_err(t->code);
    return error != OK ? error : ERR_IO;
}

static enum err fail_row(struct tables *t, const char *table, int64_t a, const char *what)
{
    t->code = SQLITE_CORRUPT;
    (void)snprintf(t->failure, sizeof(t->failure), "table %s, row %lld: %s", table, (long long)a,
                   what);
    return ERR_MALFORMED;
}

static enum err statement_of(struct tables *t, enum tables_statement which, sqlite3_stmt **out)
{
    if (t->statements[which] == NULL &&
        sqlite3_prepare_v3(t->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT,
                           &t->statements[which], NULL) != SQLITE_OK)
        return fail_sqlite(t);
    *out = t->statements[which];
    return OK;
}

/* One step of a statement that gives no rows, and its reset. */
static enum err finish(struct tables *t, sqlite3_stmt *s)
{
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW)
        ;
    enum err error = code == SQLITE_DONE ? OK : fail_sqlite(t);
    (void)sqlite3_reset(s);
    return error;
}

enum err tables_run(struct tables *t, enum tables_statement which)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, which, &s);
    return error == OK ? finish(t, s) : error;
}

bool tables_has_free_pages(struct tables *t)
{
    sqlite3_stmt *s = NULL;
    if (statement_of(t, SQL_FREE_PAGES, &s) != OK)
        return false;
    bool has = sqlite3_step(s) == SQLITE_ROW && sqlite3_column_int64(s, 0) > 0;
    (void)sqlite3_reset(s);
    return has;
}

void tables_close(struct tables *t)
{
    for (size_t i = 0; i < SQL_COUNT; i++)
        sqlite3_finalize(t->statements[i]);
    (void)sqlite3_close_v2(t->db);
    *t = (struct tables){0};
}

static enum err run_text(struct tables *t, const char *sql)
{
    return sqlite3_exec(t->db, sql, NULL, NULL, NULL) == SQLITE_OK ? OK : fail_sqlite(t);
}

/* A NULL pointer would bind NULL. */
static void bind_bytes(sqlite3_stmt *s, int at, struct bytes b)
{
    sqlite3_bind_blob64(s, at, b.size == 0 ? (const void *)"" : b.data, b.size, SQLITE_STATIC);
}

static struct bytes column_bytes(sqlite3_stmt *s, int at)
{
    const void *data = sqlite3_column_blob(s, at);
    return bytes_of(data, data == NULL ? 0 : (size_t)sqlite3_column_bytes(s, at));
}

/* --- checksums -------------------------------------------------------------------------------- */

/* First the table, so that no row passes for one of another table. */
enum row_kind {
    ROW_STATE = 1,
    ROW_MEMBER,
    ROW_LEASE,
    ROW_ALARM,
    ROW_LOG,
    ROW_REVISION,
};

static uint32_t sum_numbers(enum row_kind kind, const int64_t *numbers, size_t count)
{
    uint8_t block[8 * (STATE_COLUMNS + 1)];
    assert(count < ARRAY_COUNT(block) / 8);
    block[0] = (uint8_t)kind;
    size_t size = 1;
    for (size_t i = 0; i < count; i++) {
        uint64_t n = (uint64_t)numbers[i];
        for (size_t k = 0; k < 8; k++, n >>= 8)
            block[size++] = (uint8_t)n;
    }
    return crc32c(0, block, size);
}

static uint32_t sum_log(const struct log_entry *e)
{
    const int64_t numbers[] = {(int64_t)e->index, (int64_t)e->term, e->type, (int64_t)e->data.size};
    return crc32c(sum_numbers(ROW_LOG, numbers, ARRAY_COUNT(numbers)), e->data.data, e->data.size);
}

static uint32_t sum_revision(int64_t packed, const struct journal_revision *r)
{
    const int64_t numbers[] = {packed,   r->is_delete,         r->create_revision,    r->version,
                               r->lease, (int64_t)r->key.size, (int64_t)r->value.size};
    uint32_t sum = sum_numbers(ROW_REVISION, numbers, ARRAY_COUNT(numbers));
    return crc32c(crc32c(sum, r->key.data, r->key.size), r->value.data, r->value.size);
}

static uint32_t sum_row(enum row_kind kind, int64_t a, int64_t b)
{
    const int64_t numbers[] = {a, b};
    return sum_numbers(kind, numbers, ARRAY_COUNT(numbers));
}

/* --- the schema ------------------------------------------------------------------------------- */

enum err tables_create(struct tables *t)
{
    char pragmas[200];
    (void)snprintf(pragmas, sizeof(pragmas),
                   "PRAGMA page_size=%d; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; "
                   "PRAGMA synchronous=FULL; BEGIN; PRAGMA application_id=%d; "
                   "PRAGMA user_version=%d",
                   TABLES_PAGE_SIZE, TABLES_APPLICATION_ID, TABLES_FORMAT);
    enum err error = run_text(t, pragmas);
    for (size_t i = 0; i < ARRAY_COUNT(schema) && error == OK; i++)
        error = run_text(t, schema[i].sql);
    struct tables_state empty = {.log_first = 1};
    if (error == OK)
        error = tables_put_state(t, &empty);
    return error == OK ? run_text(t, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)") : error;
}

static enum err check_schema_row(struct tables *t, sqlite3_stmt *s, size_t i)
{
    (void)sqlite3_reset(s);
    sqlite3_bind_text(s, 1, schema[i].name, -1, SQLITE_STATIC);
    int code = sqlite3_step(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        return fail_sqlite(t);
    const unsigned char *sql = code == SQLITE_ROW ? sqlite3_column_text(s, 0) : NULL;
    if (sql != NULL && strcmp((const char *)sql, schema[i].sql) == 0)
        return OK;
    t->code = SQLITE_CORRUPT;
    (void)snprintf(t->failure, sizeof(t->failure), "the schema of \"%s\" is %s", schema[i].name,
                   sql == NULL ? "missing" : "not what it was created with");
    return ERR_MALFORMED;
}

enum err tables_check_schema(struct tables *t)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(t->db, "SELECT sql FROM sqlite_schema WHERE name = ?", -1, &s, NULL) !=
        SQLITE_OK)
        return fail_sqlite(t);
    enum err error = OK;
    for (size_t i = 0; i < ARRAY_COUNT(schema) && error == OK; i++)
        error = check_schema_row(t, s, i);
    sqlite3_finalize(s);
    return error;
}

enum err tables_check_pages(struct tables *t)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(t->db, "PRAGMA quick_check(1)", -1, &s, NULL) != SQLITE_OK)
        return fail_sqlite(t);
    enum err error = OK;
    if (sqlite3_step(s) != SQLITE_ROW)
        error = fail_sqlite(t);
    else if (strcmp((const char *)sqlite3_column_text(s, 0), "ok") != 0) {
        t->code = SQLITE_CORRUPT;
        (void)snprintf(t->failure, sizeof(t->failure), "%s",
                       (const char *)sqlite3_column_text(s, 0));
        for (char *c = t->failure; *c != '\0'; c++)
            if (*c == '\n')
                *c = ' ';
        error = ERR_MALFORMED;
    }
    sqlite3_finalize(s);
    return error;
}

/* --- hard_state ------------------------------------------------------------------------------- */

/* Columns 1 to STATE_COLUMNS - 2 in order; meta's absent values as 0. */
static void state_numbers(int64_t out[static STATE_COLUMNS - 2], const struct tables_state *state)
{
    const struct totals *totals = state->totals;
    const uint64_t head[STATE_META_AT - 1] = {
        state->transaction,
        state->hard.term,
        state->hard.vote,
        state->hard.commit,
        state->applied,
        state->log_first,
        state->log_last,
        state->log_before_term,
        state->auto_leave,
        state->members.count,
        state->members.sum,
        totals[JOURNAL_LEASES].count,
        totals[JOURNAL_LEASES].sum,
        totals[JOURNAL_ALARMS].count,
        totals[JOURNAL_ALARMS].sum,
        totals[JOURNAL_REVISIONS].count,
        totals[JOURNAL_REVISIONS].sum,
    };
    memcpy(out, head, sizeof(head));
    for (size_t i = 0; i < TABLES_META_COUNT; i++)
        out[STATE_META_AT - 1 + i] = (state->meta_present >> i & 1) != 0 ? state->meta[i] : 0;
}

static uint32_t sum_state(const int64_t numbers[static STATE_COLUMNS - 2], uint32_t meta_present)
{
    int64_t all[STATE_COLUMNS - 1];
    memcpy(all, numbers, (STATE_COLUMNS - 2) * sizeof(all[0]));
    all[STATE_COLUMNS - 2] = meta_present;
    return sum_numbers(ROW_STATE, all, ARRAY_COUNT(all));
}

uint32_t tables_state_sum(const struct tables_state *state)
{
    int64_t numbers[STATE_COLUMNS - 2];
    state_numbers(numbers, state);
    return sum_state(numbers, state->meta_present);
}

enum err tables_put_state(struct tables *t, const struct tables_state *state)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_STATE_PUT, &s);
    if (error != OK)
        return error;
    int64_t numbers[STATE_COLUMNS - 2];
    state_numbers(numbers, state);
    for (int i = 0; i < STATE_COLUMNS - 2; i++) {
        int meta = i - (STATE_META_AT - 1);
        if (meta >= 0 && (state->meta_present >> meta & 1) == 0)
            sqlite3_bind_null(s, i + 1);
        else
            sqlite3_bind_int64(s, i + 1, numbers[i]);
    }
    sqlite3_bind_int64(s, STATE_COLUMNS - 1, sum_state(numbers, state->meta_present));
    return finish(t, s);
}

static enum err state_of_row(struct tables *t, sqlite3_stmt *s, struct tables_state *out)
{
    struct tables_state state = {0};
    int64_t n[STATE_COLUMNS - 2];
    for (int i = 0; i < STATE_COLUMNS - 2; i++) {
        n[i] = sqlite3_column_int64(s, i + 1);
        int meta = i - (STATE_META_AT - 1);
        if (meta >= 0 && sqlite3_column_type(s, i + 1) != SQLITE_NULL) {
            state.meta_present |= UINT32_C(1) << meta;
            state.meta[meta] = n[i];
        }
    }
    if (sqlite3_column_int64(s, STATE_COLUMNS - 1) != sum_state(n, state.meta_present))
        return fail_row(t, "hard_state", 1, "its checksum does not match");
    const uint64_t *u = (const uint64_t *)n;
    state.transaction = u[0];
    state.hard = (struct hard_state){.term = u[1], .vote = u[2], .commit = u[3]};
    state.applied = u[4];
    state.log_first = u[5];
    state.log_last = u[6];
    state.log_before_term = u[7];
    state.auto_leave = u[8] == 1;
    state.members = (struct totals){u[9], u[10]};
    state.totals[JOURNAL_LEASES] = (struct totals){u[11], u[12]};
    state.totals[JOURNAL_ALARMS] = (struct totals){u[13], u[14]};
    state.totals[JOURNAL_REVISIONS] = (struct totals){u[15], u[16]};
    if (state.log_first == 0 || state.log_first > state.log_last + 1)
        return fail_row(t, "hard_state", 1, "the log's first index is behind its last");
    *out = state;
    return OK;
}

enum err tables_get_state(struct tables *t, struct tables_state *out)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_STATE_GET, &s);
    if (error != OK)
        return error;
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW)
        error = state_of_row(t, s, out);
    else
        error =
            code == SQLITE_DONE ? fail_row(t, "hard_state", 1, "it is missing") : fail_sqlite(t);
    if (error == OK && sqlite3_step(s) != SQLITE_DONE)
        error = fail_row(t, "hard_state", 2, "there should be one row only");
    (void)sqlite3_reset(s);
    return error;
}

/* --- membership ------------------------------------------------------------------------------- */

/* What a member is in the configuration, as bits of its row's `role`; 0: nothing, so that only our
 * own row has it (we were not added yet, or are removed). */
enum member_role {
    MEMBER_VOTER = 1,
    MEMBER_OUTGOING = 2,
    MEMBER_LEARNER = 4,
    MEMBER_LEARNER_NEXT = 8,
};

struct member_row {
    int64_t member;
    int64_t cluster;
    int64_t is_self;
    int64_t role;
};

static uint32_t sum_member(const struct member_row *m)
{
    const int64_t numbers[] = {m->member, m->cluster, m->is_self, m->role};
    return sum_numbers(ROW_MEMBER, numbers, ARRAY_COUNT(numbers));
}

static void count_in(struct totals *totals, uint64_t sum)
{
    totals->count++;
    totals->sum += sum;
}

/* False: the sets have no room. */
static bool take_member(struct tables_membership *out, const struct member_row *m)
{
    struct configuration_state *c = &out->configuration;
    struct id_set *const sets[] = {&c->voters, &c->outgoing, &c->learners, &c->learners_next};
    for (size_t i = 0; i < ARRAY_COUNT(sets); i++)
        if ((m->role >> i & 1) != 0 && !id_set_add(sets[i], (uint64_t)m->member))
            return false;
    if (m->is_self == 1)
        out->member_id = (uint64_t)m->member;
    out->cluster_id = (uint64_t)m->cluster;
    return true;
}

static enum err read_member(struct tables *t, sqlite3_stmt *s, struct totals *found,
                            struct tables_membership *out)
{
    struct member_row m = {sqlite3_column_int64(s, 0), sqlite3_column_int64(s, 1),
                           sqlite3_column_int64(s, 2), sqlite3_column_int64(s, 3)};
    uint32_t sum = sum_member(&m);
    if (sqlite3_column_int64(s, 4) != sum)
        return fail_row(t, "membership", m.member, "its checksum does not match");
    count_in(found, sum);
    if (!take_member(out, &m))
        return fail_row(t, "membership", m.member, "there are too many rows");
    return OK;
}

enum err tables_get_membership(struct tables *t, const struct tables_state *state,
                               struct tables_membership *out)
{
    struct tables_membership read = {.configuration.auto_leave = state->auto_leave};
    struct totals found = {0};
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_MEMBER_GET, &s);
    if (error != OK)
        return error;
    int code;
    while (error == OK && (code = sqlite3_step(s)) != SQLITE_DONE)
        error = code == SQLITE_ROW ? read_member(t, s, &found, &read) : fail_sqlite(t);
    (void)sqlite3_reset(s);
    if (error != OK)
        return error;
    if (found.count != state->members.count || found.sum != state->members.sum)
        return fail_row(t, "membership", 0, "there are other rows than were written");
    if (found.count == 0)
        return ERR_NOT_FOUND;
    if (read.member_id == 0 || !configuration_is_valid(&read.configuration))
        return fail_row(t, "membership", 0, "the configuration contradicts itself");
    *out = read;
    return OK;
}

static int64_t role_of(const struct configuration_state *c, uint64_t id)
{
    const struct id_set *const sets[] = {&c->voters, &c->outgoing, &c->learners, &c->learners_next};
    int64_t role = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sets); i++)
        if (id_set_has(sets[i], id))
            role |= INT64_C(1) << i;
    return role;
}

static enum err put_member(struct tables *t, struct totals *totals,
                           const struct tables_membership *membership, uint64_t id)
{
    struct member_row m = {(int64_t)id, (int64_t)membership->cluster_id,
                           id == membership->member_id, role_of(&membership->configuration, id)};
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_MEMBER_PUT, &s);
    if (error != OK)
        return error;
    uint32_t sum = sum_member(&m);
    sqlite3_bind_int64(s, 1, m.member);
    sqlite3_bind_int64(s, 2, m.cluster);
    sqlite3_bind_int64(s, 3, m.is_self);
    sqlite3_bind_int64(s, 4, m.role);
    sqlite3_bind_int64(s, 5, sum);
    error = finish(t, s);
    if (error == OK)
        count_in(totals, sum);
    return error;
}

enum err tables_put_membership(struct tables *t, struct tables_state *state,
                               const struct tables_membership *membership)
{
    struct id_set members;
    configuration_members(&membership->configuration, &members);
    struct totals totals = {0};
    enum err error = tables_run(t, SQL_MEMBER_CLEAR);
    if (error == OK && !id_set_has(&members, membership->member_id))
        error = put_member(t, &totals, membership, membership->member_id);
    for (size_t i = 0; i < members.count && error == OK; i++)
        error = put_member(t, &totals, membership, members.ids[i]);
    if (error != OK)
        return error;
    state->members = totals;
    state->auto_leave = membership->configuration.auto_leave;
    return OK;
}

/* --- the log ---------------------------------------------------------------------------------- */

enum err tables_put_log(struct tables *t, const struct log_entry *e)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_LOG_PUT, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, (int64_t)e->index);
    sqlite3_bind_int64(s, 2, (int64_t)e->term);
    sqlite3_bind_int64(s, 3, e->type);
    bind_bytes(s, 4, e->data);
    sqlite3_bind_int64(s, 5, sum_log(e));
    return finish(t, s);
}

static enum err run_with(struct tables *t, enum tables_statement which, uint64_t number)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, which, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, (int64_t)number);
    return finish(t, s);
}

enum err tables_cut_log(struct tables *t, uint64_t from)
{
    return run_with(t, SQL_LOG_CUT, from);
}

enum err tables_drop_log(struct tables *t, uint64_t before)
{
    return run_with(t, SQL_LOG_DROP, before);
}

static enum err entry_of_row(struct tables *t, sqlite3_stmt *s, uint64_t index,
                             struct log_entry *out)
{
    struct log_entry e = {
        .index = (uint64_t)sqlite3_column_int64(s, 0),
        .term = (uint64_t)sqlite3_column_int64(s, 1),
        .type = (uint32_t)sqlite3_column_int64(s, 2),
        .data = column_bytes(s, 3),
    };
    if (e.index != index)
        return fail_row(t, "raft_log", (int64_t)index, "it is missing");
    if (sqlite3_column_int64(s, 4) != sum_log(&e))
        return fail_row(t, "raft_log", (int64_t)index, "its checksum does not match");
    *out = e;
    return OK;
}

enum err tables_read_log(struct tables *t, uint64_t first, uint64_t last, journal_entry_fn *each,
                         void *context)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_LOG_GET, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, (int64_t)first);
    sqlite3_bind_int64(s, 2, (int64_t)last);
    for (uint64_t index = first; index <= last && error == OK; index++) {
        int code = sqlite3_step(s);
        struct log_entry e;
        if (code == SQLITE_ROW)
            error = entry_of_row(t, s, index, &e);
        else
            error = code == SQLITE_DONE ? fail_row(t, "raft_log", (int64_t)index, "it is missing")
                                        : fail_sqlite(t);
        if (error == OK && each != NULL)
            error = each(context, &e);
    }
    (void)sqlite3_reset(s);
    return error;
}

/* --- rows of the state machine ---------------------------------------------------------------- */

/* Runs a DELETE ... RETURNING sum; a row that is not there is no failure. */
static enum err drop(struct tables *t, struct totals *totals, sqlite3_stmt *s)
{
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        totals->count--;
        totals->sum -= (uint64_t)sqlite3_column_int64(s, 0);
        code = sqlite3_step(s);
    }
    enum err error = code == SQLITE_DONE ? OK : fail_sqlite(t);
    (void)sqlite3_reset(s);
    return error;
}

static enum err apply_revision(struct tables *t, struct totals *totals,
                               const struct journal_revision *r, bool is_removal)
{
    int64_t packed;
    bool fits = tables_pack(&packed, r->main, r->sub);
    assert(fits);
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, is_removal ? SQL_REVISION_DROP : SQL_REVISION_PUT, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, packed);
    if (is_removal)
        return drop(t, totals, s);
    uint32_t sum = sum_revision(packed, r);
    sqlite3_bind_int64(s, 2, r->is_delete);
    sqlite3_bind_int64(s, 3, r->create_revision);
    sqlite3_bind_int64(s, 4, r->version);
    sqlite3_bind_int64(s, 5, r->lease);
    sqlite3_bind_int64(s, 6, sum);
    bind_bytes(s, 7, r->key);
    bind_bytes(s, 8, r->value);
    error = finish(t, s);
    if (error == OK)
        count_in(totals, sum);
    return error;
}

/* A put replaces: the old row goes first, so that its checksum leaves the totals. */
static enum err apply_row(struct tables *t, struct totals *totals, const struct journal_effect *e)
{
    bool is_lease = e->table == JOURNAL_LEASES;
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, is_lease ? SQL_LEASE_DROP : SQL_ALARM_DROP, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, e->row.a);
    if (!is_lease)
        sqlite3_bind_int64(s, 2, e->row.b);
    error = drop(t, totals, s);
    if (error != OK || e->is_removal)
        return error;
    int64_t second = is_lease ? e->row.value : e->row.b;
    uint32_t sum = sum_row(is_lease ? ROW_LEASE : ROW_ALARM, e->row.a, second);
    error = statement_of(t, is_lease ? SQL_LEASE_PUT : SQL_ALARM_PUT, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, e->row.a);
    sqlite3_bind_int64(s, 2, second);
    sqlite3_bind_int64(s, 3, sum);
    error = finish(t, s);
    if (error == OK)
        count_in(totals, sum);
    return error;
}

static enum err apply_meta(struct tables_state *state, const struct journal_effect *e)
{
    assert(e->row.a >= 1 && e->row.a <= TABLES_META_COUNT);
    uint32_t bit = UINT32_C(1) << (e->row.a - 1);
    state->meta_present = e->is_removal ? state->meta_present & ~bit : state->meta_present | bit;
    state->meta[e->row.a - 1] = e->is_removal ? 0 : e->row.value;
    return OK;
}

enum err tables_apply(struct tables *t, struct tables_state *state, const struct journal_effect *e)
{
    switch (e->table) {
    case JOURNAL_META:
        return apply_meta(state, e);
    case JOURNAL_LEASES:
    case JOURNAL_ALARMS:
        return apply_row(t, &state->totals[e->table], e);
    case JOURNAL_REVISIONS:
        return apply_revision(t, &state->totals[e->table], &e->revision, e->is_removal);
    }
    assert(false);
    return ERR_INVALID;
}

static enum err revision_of_row(struct tables *t, sqlite3_stmt *s, struct journal_revision *out,
                                uint32_t *sum)
{
    int64_t packed = sqlite3_column_int64(s, 0);
    int64_t is_delete = sqlite3_column_int64(s, 1);
    struct journal_revision r = {
        .main = packed >> TABLES_SUB_BITS,
        .sub = packed & SUB_MASK,
        .is_delete = is_delete == 1,
        .create_revision = sqlite3_column_int64(s, 2),
        .version = sqlite3_column_int64(s, 3),
        .lease = sqlite3_column_int64(s, 4),
        .key = column_bytes(s, 6),
        .value = column_bytes(s, 7),
    };
    *sum = sum_revision(packed, &r);
    if (packed < 0 || (is_delete != 0 && is_delete != 1) || sqlite3_column_int64(s, 5) != *sum)
        return fail_row(t, "revisions", packed, "its checksum does not match");
    *out = r;
    return OK;
}

enum err tables_read_revisions(struct tables *t, int64_t from, int64_t to,
                               bool (*each)(void *context, const struct journal_revision *r),
                               void *context)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, SQL_REVISION_GET, &s);
    if (error != OK)
        return error;
    sqlite3_bind_int64(s, 1, from);
    sqlite3_bind_int64(s, 2, to);
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
        struct journal_revision r;
        uint32_t sum;
        error = revision_of_row(t, s, &r, &sum);
        if (error != OK || !each(context, &r))
            break;
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        error = fail_sqlite(t);
    (void)sqlite3_reset(s);
    return error;
}

/* --- all rows --------------------------------------------------------------------------------- */

static enum err read_meta(const struct tables_state *state, journal_each_fn *each, void *context)
{
    enum err error = OK;
    for (size_t i = 0; i < TABLES_META_COUNT && error == OK && each != NULL; i++) {
        if ((state->meta_present >> i & 1) == 0)
            continue;
        struct journal_effect e = {.table = JOURNAL_META};
        e.row.a = (int64_t)i + 1;
        e.row.value = state->meta[i];
        error = each(context, &e);
    }
    return error;
}

/* The row of the mutable table that S is at. */
static enum err effect_of_row(struct tables *t, sqlite3_stmt *s, enum journal_table table,
                              struct journal_effect *out, uint32_t *sum)
{
    *out = (struct journal_effect){.table = table};
    if (table == JOURNAL_REVISIONS)
        return revision_of_row(t, s, &out->revision, sum);
    bool is_lease = table == JOURNAL_LEASES;
    int64_t second = sqlite3_column_int64(s, 1);
    out->row.a = sqlite3_column_int64(s, 0);
    out->row.b = is_lease ? 0 : second;
    out->row.value = is_lease ? second : 0;
    *sum = sum_row(is_lease ? ROW_LEASE : ROW_ALARM, out->row.a, second);
    if (sqlite3_column_int64(s, 2) != *sum)
        return fail_row(t, is_lease ? "leases" : "alarms", out->row.a,
                        "its checksum does not match");
    return OK;
}

static enum err fail_totals(struct tables *t, enum journal_table table, const struct totals *found,
                            const struct totals *wanted)
{
    static const char *const names[] = {"meta", "leases", "alarms", "revisions"};
    t->code = SQLITE_CORRUPT;
    (void)snprintf(t->failure, sizeof(t->failure),
                   "table %s: %llu rows with the checksum %llx, but %llu with %llx were written",
                   names[table], (unsigned long long)found->count, (unsigned long long)found->sum,
                   (unsigned long long)wanted->count, (unsigned long long)wanted->sum);
    return ERR_MALFORMED;
}

static enum err read_table(struct tables *t, const struct tables_state *state,
                           enum journal_table table, enum tables_statement which,
                           journal_each_fn *each, void *context)
{
    sqlite3_stmt *s = NULL;
    enum err error = statement_of(t, which, &s);
    if (error != OK)
        return error;
    if (table == JOURNAL_REVISIONS) {
        sqlite3_bind_int64(s, 1, INT64_MIN);
        sqlite3_bind_int64(s, 2, INT64_MAX);
    }
    struct totals found = {0};
    int code;
    while (error == OK && (code = sqlite3_step(s)) != SQLITE_DONE) {
        struct journal_effect e;
        uint32_t sum;
        error = code == SQLITE_ROW ? effect_of_row(t, s, table, &e, &sum) : fail_sqlite(t);
        if (error != OK)
            break;
        count_in(&found, sum);
        if (each != NULL)
            error = each(context, &e);
    }
    (void)sqlite3_reset(s);
    const struct totals *wanted = &state->totals[table];
    if (error == OK && (found.count != wanted->count || found.sum != wanted->sum))
        error = fail_totals(t, table, &found, wanted);
    return error;
}

enum err tables_read_all(struct tables *t, const struct tables_state *state, journal_each_fn *each,
                         void *context)
{
    t->failure[0] = '\0';
    enum err error = read_meta(state, each, context);
    if (error == OK)
        error = read_table(t, state, JOURNAL_LEASES, SQL_LEASE_GET, each, context);
    if (error == OK)
        error = read_table(t, state, JOURNAL_ALARMS, SQL_ALARM_GET, each, context);
    if (error == OK)
        error = read_table(t, state, JOURNAL_REVISIONS, SQL_REVISION_GET, each, context);
    return error;
}
