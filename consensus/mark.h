/* warren.mark: how much of the WAL is durable, by our own word.
 *
 * A small file beside the database, overwritten without a sync after each commit. A mark that a
 * power cut left behind says less than is true, never more, so a WAL that holds less than the mark
 * says was damaged: also where its last transaction was, or where all of it is gone, which SQLite
 * takes for a crash and for a clean end. It also says whose database it lies beside, and how many
 * transactions that had: one that belongs to another member, or has fewer, was put there by
 * somebody. It has a checksum; a damaged mark says nothing. Its being there says that there was a
 * database. Written through the VFS, so that the fault tests see it. */
#ifndef WARREN_CONSENSUS_MARK_H
#define WARREN_CONSENSUS_MARK_H

#include "base/attr.h"
#include "base/err.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct mark {
    bool has_wal; /* transactions are in the WAL alone; false: the database is complete */
    uint32_t salts[2];
    uint64_t frame_count; /* of a log with these salts, durable */
    uint64_t cluster_id;  /* both 0: the database had no identity yet */
    uint64_t member_id;
    uint64_t transaction; /* the database's number of transactions, durable */
    uint32_t state_sum;   /* tables_state_sum behind it, which tells two histories apart */
};

struct mark_file;

/* Opens PATH, making it if it is not there. */
enum err mark_open(struct mark_file **out, const char *vfs, const char *path) MUST_CHECK;
void mark_close(struct mark_file *m);
/* SYNC: durable on return, the folder's entry too. */
enum err mark_write(struct mark_file *m, const struct mark *mark, bool sync) MUST_CHECK;

/* ERR_NOT_FOUND: no such file. ERR_MALFORMED: damaged. Changes nothing. */
enum err mark_read(struct mark *out, const char *path) MUST_CHECK;

#endif
