/* warren.db as a whole: made, looked at before it is trusted, opened.
 *
 * database_inspect is all that is done before SQLite sees the files; database_verify reads them
 * through SQLite. Both change nothing. Their errors are lines that name the file and what to do. */
#ifndef WARREN_CONSENSUS_DATABASE_H
#define WARREN_CONSENSUS_DATABASE_H

#include "base/strbuf.h"
#include "folder.h"
#include "mark.h"
#include "tables.h"
#include "wal_scan.h"

struct database_look {
    bool is_new;           /* there is no database, nor a trace of one */
    struct wal_report wal; /* of a WAL that is there */
    bool mark_is_damaged;  /* and ignored */
    bool has_mark;         /* and it is not damaged */
    struct mark mark;
};

/* ERR_MALFORMED: damage, ERR_UNSUPPORTED is reported so, too; ERR_PERMISSION, ERR_IO. */
enum err database_inspect(struct database_look *out, const struct folder *f,
                          struct strbuf *error) MUST_CHECK;
/* Makes an empty database under another name, then renames it: it is there whole or not at all. */
enum err database_create(const struct folder *f, const char *vfs, struct strbuf *error) MUST_CHECK;

enum database_use {
    DATABASE_WRITE,
    DATABASE_READ,  /* beside a writer */
    DATABASE_CHECK, /* alone, and leaves database and WAL as they are */
};
enum err database_open(struct tables *out, const struct folder *f, const char *vfs,
                       enum database_use use, struct strbuf *error) MUST_CHECK;
/* Schema, pages, hard_state, the whole log, and that it is the database that the mark is of. */
enum err database_verify(struct tables *t, const struct folder *f, const struct database_look *look,
                         struct tables_state *state, struct strbuf *error) MUST_CHECK;

/* The close of T, the last connection, leaves database and WAL as they are. */
void database_keep_wal(struct tables *t);

/* Adds the line for the last failure of T, which had the outcome E, and what to do. */
void database_explain(const struct tables *t, const struct folder *f, enum err e,
                      struct strbuf *error);

#endif
