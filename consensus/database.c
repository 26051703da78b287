#include "database.h"

#include "base/bytes.h"
#include "wal_gather.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WHAT_TO_DO                                                                                 \
    "nothing was changed; restore the data directory from a backup, or move it away to start "     \
    "empty"

enum {
    BUSY_TIMEOUT_MS = 5000,
};

/* --- before SQLite ---------------------------------------------------------------------------- */

static enum err damaged(struct strbuf *error, const char *path, const char *what)
{
    strbuf_add_format(error, "%s: %s; " WHAT_TO_DO "\n", path, what);
    return ERR_MALFORMED;
}

static enum err cannot_read(struct strbuf *error, const char *path, int error_number)
{
    strbuf_add_format(error, "%s: cannot be read and written: %s; check its owner and mode\n", path,
                      strerror(error_number));
    return err_from_errno(error_number);
}

/* https://www.sqlite.org/fileformat2.html section 1.3: those fields of the header that have one
 * value in our databases, and would make SQLite read another file than we wrote. */
static enum err inspect_header(const uint8_t h[static 100], const char *path, struct strbuf *error)
{
    static const struct {
        uint8_t at;
        uint8_t value;
    } fixed[] = {
        {16, TABLES_PAGE_SIZE >> 8},
        {17, TABLES_PAGE_SIZE & 0xff},
        {18, 2},
        {19, 2},
        {20, 0},
        {21, 64},
        {22, 32},
        {23, 32},
        {47, 4},
        {59, 1},
        {67, 1},
    };
    if (memcmp(h, "SQLite format 3", 16) != 0)
        return damaged(error, path, "is not a SQLite database");
    if (load_u32(h + 68) != TABLES_APPLICATION_ID)
        return damaged(error, path, "is a SQLite database, but not one of Warren's");
    uint32_t format = load_u32(h + 60);
    if (format != TABLES_FORMAT) {
        strbuf_add_format(error,
                          "%s: has format %" PRIu32 ", this program knows format %d alone; use the "
                          "version of Warren that wrote it\n",
                          path, format, TABLES_FORMAT);
        return ERR_MALFORMED;
    }
    for (size_t i = 0; i < ARRAY_COUNT(fixed); i++)
        if (h[fixed[i].at] != fixed[i].value)
            return damaged(error, path, "its header is damaged");
    return OK;
}

static enum err inspect_database(const struct folder *f, struct strbuf *error)
{
    int fd = open(f->database, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return cannot_read(error, f->database, errno);
    uint8_t header[100];
    ssize_t got = pread(fd, header, sizeof(header), 0);
    int error_number = errno;
    uint64_t size = folder_file_size(f->database);
    close(fd);
    if (got < 0)
        return cannot_read(error, f->database, error_number);
    if ((size_t)got < sizeof(header))
        return damaged(error, f->database, got == 0 ? "is empty" : "is cut off");
    enum err e = inspect_header(header, f->database, error);
    if (e == OK && size % TABLES_PAGE_SIZE != 0 && !folder_has(f->wal))
        return damaged(error, f->database, "is cut off");
    return e;
}

static enum err wal_damage(const struct folder *f, const struct wal_report *r, struct strbuf *error)
{
    char what[160];
    switch (r->verdict) {
    case WAL_SOUND:
    case WAL_EMPTY:
        return OK;
    case WAL_BAD_HEADER:
        return damaged(error, f->wal, "its header is damaged");
    case WAL_BAD_PAGE_SIZE:
        return damaged(error, f->wal, "is for another page size");
    case WAL_BAD_FRAME:
        break;
    }
    (void)snprintf(what, sizeof(what),
                   "frame %" PRIu64 " is damaged, and transactions that were durable are behind it",
                   r->bad_frame);
    return damaged(error, f->wal, what);
}

/* Whether the WAL holds what the mark says is durable. */
static enum err inspect_mark(const struct folder *f, struct database_look *look,
                             struct strbuf *error)
{
    struct mark mark;
    enum err e = mark_read(&mark, f->mark);
    if (e == ERR_NOT_FOUND)
        return OK;
    if (e == ERR_MALFORMED) {
        look->mark_is_damaged = true;
        return OK;
    }
    if (e != OK) {
        strbuf_add_format(error, "%s: cannot be read: %s; check its owner and mode\n", f->mark,
                          err_text(e));
        return e;
    }
    look->has_mark = true;
    look->mark = mark;
    if (!mark.has_wal)
        return OK;
    if (look->wal.verdict == WAL_EMPTY)
        return damaged(error, f->wal, "is missing or empty, though transactions were in it alone");
    if (mark.salts[0] == look->wal.salts[0] && mark.salts[1] == look->wal.salts[1] &&
        mark.frame_count > look->wal.frame_count)
        return damaged(error, f->wal, "lacks transactions that were durable");
    return OK;
}

static enum err inspect_wal(const struct folder *f, struct database_look *look,
                            struct strbuf *error)
{
    int fd = open(f->wal, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        look->wal.verdict = WAL_EMPTY;
        return inspect_mark(f, look, error);
    }
    if (fd < 0)
        return cannot_read(error, f->wal, errno);
    enum err e = wal_scan(&look->wal, fd, TABLES_PAGE_SIZE);
    close(fd);
    if (e != OK) {
        strbuf_add_format(error, "%s: %s\n", f->wal, err_text(e));
        return e;
    }
    e = wal_damage(f, &look->wal, error);
    return e == OK ? inspect_mark(f, look, error) : e;
}

enum err database_inspect(struct database_look *out, const struct folder *f, struct strbuf *error)
{
    struct database_look look = {0};
    if (!folder_has(f->database)) {
        const char *trace = folder_has(f->wal) ? f->wal : folder_has(f->mark) ? f->mark : NULL;
        if (trace != NULL) {
            strbuf_add_format(error,
                              "%s: is missing, though %s is there; restore the data directory from "
                              "a backup, or move it away to start empty\n",
                              f->database, trace);
            return ERR_MALFORMED;
        }
        look.is_new = true;
        *out = look;
        return OK;
    }
    enum err e = inspect_database(f, error);
    if (e == OK)
        e = inspect_wal(f, &look, error);
    if (e == OK)
        *out = look;
    return e;
}

/* --- through SQLite --------------------------------------------------------------------------- */

void database_explain(const struct tables *t, const struct folder *f, enum err e,
                      struct strbuf *error)
{
    const char *what = t->failure[0] != '\0' ? t->failure : err_text(e);
    if (e == ERR_MALFORMED)
        (void)damaged(error, f->database, what);
    else if (e == ERR_NO_SPACE)
        strbuf_add_format(error, "%s: %s; free some space on its file system\n", f->database, what);
    else if (e == ERR_EXISTS)
        strbuf_add_format(error, "%s: another program has it open; close that first\n",
                          f->database);
    else
        strbuf_add_format(error, "%s: %s\n", f->database, what);
}

static enum err open_tables(struct tables *t, const char *path, const char *vfs, int flags)
{
    *t = (struct tables){0};
    int code =
        sqlite3_open_v2(path, &t->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, vfs);
    if (code != SQLITE_OK) {
        (void)snprintf(t->failure, sizeof(t->failure), "%s",
                       t->db != NULL ? sqlite3_errmsg(t->db) : sqlite3_errstr(code));
        return tables_err(code);
    }
    sqlite3_busy_timeout(t->db, BUSY_TIMEOUT_MS);
    return OK;
}

static enum err set_up(struct tables *t, const char *pragmas)
{
    if (sqlite3_exec(t->db, pragmas, NULL, NULL, NULL) == SQLITE_OK)
        return OK;
    (void)snprintf(t->failure, sizeof(t->failure), "%s", sqlite3_errmsg(t->db));
    return tables_err(sqlite3_extended_errcode(t->db));
}

enum err database_create(const struct folder *f, const char *vfs, struct strbuf *error)
{
    char leftover[4096];
    static const char *const suffixes[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < ARRAY_COUNT(suffixes); i++) {
        (void)snprintf(leftover, sizeof(leftover), "%s%s", f->fresh, suffixes[i]);
        (void)unlink(leftover);
    }
    struct tables t;
    enum err e = open_tables(&t, f->fresh, vfs, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (e == OK)
        e = tables_create(&t);
    if (e != OK)
        database_explain(&t, f, e, error);
    tables_close(&t);
    if (e != OK)
        return e;
    if (rename(f->fresh, f->database) != 0) {
        strbuf_add_format(error, "%s: cannot be made: %s\n", f->database, strerror(errno));
        return err_from_errno(errno);
    }
    e = folder_sync(f);
    if (e != OK)
        strbuf_add_format(error, "%s: %s\n", f->path, err_text(e));
    return e;
}

/* The writer spills no page before its commit: the WAL scan wants a transaction's frames in order
 * of page. */
#define WRITE_PRAGMAS                                                                              \
    "PRAGMA trusted_schema=0; PRAGMA synchronous=FULL; PRAGMA cache_size=-4096; "                  \
    "PRAGMA cache_spill=0; PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=16777216; "      \
    "PRAGMA temp_store=MEMORY"
#define READ_PRAGMAS "PRAGMA trusted_schema=0; PRAGMA query_only=1; PRAGMA cache_size=-1024"
/* Alone: then SQLite needs no file for its index of the WAL. */
#define CHECK_PRAGMAS READ_PRAGMAS "; PRAGMA locking_mode=EXCLUSIVE"

static const char *const pragmas[] = {
    [DATABASE_WRITE] = WRITE_PRAGMAS,
    [DATABASE_READ] = READ_PRAGMAS,
    [DATABASE_CHECK] = CHECK_PRAGMAS,
};

void database_keep_wal(struct tables *t)
{
    int keep = 1;
    (void)sqlite3_db_config(t->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_file_control(t->db, "main", SQLITE_FCNTL_PERSIST_WAL, &keep);
}

enum err database_open(struct tables *out, const struct folder *f, const char *vfs,
                       enum database_use use, struct strbuf *error)
{
    int flags = use == DATABASE_READ ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
    struct tables t;
    if (use == DATABASE_WRITE)
        vfs = wal_gather_over(vfs);
    enum err e = open_tables(&t, f->database, vfs, flags);
    if (e == OK && use == DATABASE_CHECK)
        database_keep_wal(&t);
    if (e == OK)
        e = set_up(&t, pragmas[use]);
    if (e != OK) {
        database_explain(&t, f, e, error);
        tables_close(&t);
        return e;
    }
    *out = t;
    return OK;
}

/* The mark outlives its database where somebody puts another one in its place. */
static enum err refuse_stranger(const struct folder *f, struct strbuf *error, const char *what)
{
    strbuf_add_format(
        error,
        "%s: %s; nothing was changed. Move it away and put the database back that was "
        "here, with its -wal if it had one. If this one is here on purpose, restored "
        "from a backup, remove %s and start again\n",
        f->database, what, f->mark);
    return ERR_MALFORMED;
}

/* Members begun with the same flags have the same ids: their histories tell them apart. */
static enum err verify_history(const struct folder *f, const struct database_look *look,
                               const struct tables_state *state, struct strbuf *error)
{
    const struct mark *mark = &look->mark;
    char what[160];
    if (state->transaction < mark->transaction) {
        (void)snprintf(what, sizeof(what),
                       "has %" PRIu64 " transactions with its WAL, but %" PRIu64 " were durable",
                       state->transaction, mark->transaction);
        return refuse_stranger(f, error, what);
    }
    /* Nothing of the WAL came on top of what the mark was written for. */
    bool is_exact = !mark->has_wal && look->wal.commit_count == 0;
    if ((is_exact && state->transaction != mark->transaction) ||
        (state->transaction == mark->transaction && tables_state_sum(state) != mark->state_sum))
        return refuse_stranger(f, error, "is not the one that was in this data directory");
    return OK;
}

static enum err verify_mark(struct tables *t, const struct folder *f,
                            const struct database_look *look, const struct tables_state *state,
                            struct strbuf *error)
{
    const struct mark *mark = &look->mark;
    struct tables_membership us = {0};
    char what[160];
    enum err e = tables_get_membership(t, state, &us);
    if (e != OK && e != ERR_NOT_FOUND) {
        database_explain(t, f, e, error);
        return e;
    }
    if (!look->has_mark)
        return OK;
    bool was_named = mark->cluster_id != 0 || mark->member_id != 0;
    if (was_named && e == ERR_NOT_FOUND)
        return refuse_stranger(f, error, "is empty, though this data directory was in use");
    if (was_named && (mark->cluster_id != us.cluster_id || mark->member_id != us.member_id)) {
        (void)snprintf(what, sizeof(what),
                       "is of member %" PRIx64 " in cluster %" PRIx64
                       ", but this data directory is of member %" PRIx64 " in cluster %" PRIx64,
                       us.member_id, us.cluster_id, mark->member_id, mark->cluster_id);
        return refuse_stranger(f, error, what);
    }
    return verify_history(f, look, state, error);
}

enum err database_verify(struct tables *t, const struct folder *f, const struct database_look *look,
                         struct tables_state *state, struct strbuf *error)
{
    struct tables_state found;
    enum err e = tables_check_schema(t);
    if (e == OK)
        e = tables_check_pages(t);
    if (e == OK)
        e = tables_get_state(t, &found);
    if (e == OK && found.log_first <= found.log_last)
        e = tables_read_log(t, found.log_first, found.log_last, NULL, NULL);
    if (e != OK) {
        database_explain(t, f, e, error);
        return e;
    }
    e = verify_mark(t, f, look, &found, error);
    if (e == OK)
        *state = found;
    return e;
}
