/* Reads a SQLite write-ahead log before SQLite does.
 *
 * SQLite takes the first frame that does not verify for the end of the log and drops whatever is
 * behind it, silently. After a crash that is right: only the last transaction was not synced yet.
 * After damage in the middle it loses transactions that were. The scan tells the two apart: a crash
 * leaves at most one unfinished transaction behind the last good commit, so a bad frame with the
 * traces of two transactions behind it is damage.
 *
 * It relies on how this journal writes: no cache spill, so the frames of a transaction are in
 * rising order of page; every transaction has more than one frame and writes page WAL_EVERY_PAGE;
 * every run of the program begins a log with new salts. Format:
 * https://www.sqlite.org/fileformat2.html section 4. */
#ifndef WARREN_CONSENSUS_WAL_SCAN_H
#define WARREN_CONSENSUS_WAL_SCAN_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WAL_HEADER_SIZE = 32,
    WAL_FRAME_HEADER_SIZE = 24,
    WAL_EVERY_PAGE = 3, /* the root of the table `state` */
};

enum wal_verdict {
    WAL_SOUND,         /* all of it, or up to an unfinished last transaction */
    WAL_EMPTY,         /* no byte, or what a crash leaves of a log's first header */
    WAL_BAD_HEADER,    /* with frames behind it */
    WAL_BAD_FRAME,     /* with a later transaction behind it */
    WAL_BAD_PAGE_SIZE, /* a good header for another page size than ours */
};

struct wal_report {
    enum wal_verdict verdict;
    uint32_t salts[2];     /* of a good header */
    uint64_t frame_count;  /* that verify, up to the last commit */
    uint64_t commit_count; /* among them */
    uint64_t bad_frame;    /* number from 0; of WAL_BAD_FRAME */
    uint64_t unfinished;   /* frames behind the last commit that SQLite will drop */
};

/* FD is open for reading. ERR_IO, ERR_NO_MEMORY. */
enum err wal_scan(struct wal_report *out, int fd, size_t page_size) MUST_CHECK;

#endif
