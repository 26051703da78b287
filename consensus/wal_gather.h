/* A SQLite VFS over another one that gathers the writes to a WAL.
 *
 * SQLite writes the header and the page of each frame by themselves: six calls for a transaction of
 * three frames. Here they become one, at the sync that ends the transaction. Nobody misses them
 * before: SQLite tells readers of a frame only behind the sync (synchronous=FULL). All other files
 * are the other VFS's own.
 *
 * A write that fails is reported by the call that made it: a later write, the sync, a read. What
 * was gathered is dropped then; SQLite takes the transaction for failed and writes all of it again.
 */
#ifndef WARREN_CONSENSUS_WAL_GATHER_H
#define WARREN_CONSENSUS_WAL_GATHER_H

enum {
    WAL_GATHER_SIZE = 64 << 10, /* gathered at most: fifteen frames of 4 KiB */
};

/* The name of the VFS over BASE (NULL: SQLite's default one), registered on the first use for the
 * life of the process. NULL: there is no such VFS, or no memory. Any thread. */
const char *wal_gather_over(const char *base);

#endif
