/* A SQLite VFS over the default one that remembers what was written, and fails on demand.
 *
 * Recording: each write, sync, truncation and removal is kept in order, and notes of the test's own
 * among them. fault_vfs_image then makes, in another folder, what a power cut behind the first N of
 * them leaves: what was synced is there; of what was not, each sector is there or not. One
 * recording at a time in a process; any thread. */
#ifndef WARREN_TESTS_FAULT_VFS_H
#define WARREN_TESTS_FAULT_VFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FAULT_VFS "warren-fault"

void fault_vfs_register(void);
/* Forgets the recording and all faults. */
void fault_vfs_reset(void);
/* Keeps a number in the recording. */
void fault_vfs_note(uint64_t number);

/* How many writes, syncs, truncations, removals and notes were recorded. */
size_t fault_vfs_count(void);
/* The largest note among the first COUNT whose top byte is KIND; 0 without one. */
uint64_t fault_vfs_last_note(size_t count, uint8_t kind);

enum fault_cut {
    CUT_KEEPS_NOTHING, /* of what was not synced */
    CUT_KEEPS_ALL,
    CUT_TEARS, /* each sector by SEED */
};
/* Makes the files in the empty folder DIR. */
void fault_vfs_image(const char *dir, size_t count, enum fault_cut cut, uint64_t seed);

/* The write or sync number AT from now on (from 0) fails with SQLITE_IOERR; later ones work again.
 * SYNC_ONLY counts syncs alone. */
void fault_vfs_fail_at(size_t at, bool sync_only);
/* Behind SIZE more bytes every write that makes a file grow fails with SQLITE_FULL. */
void fault_vfs_full_after(size_t size);
void fault_vfs_heal(void);

#endif
