/* The data directory: its files' names, its lock, the reserve for a full disk. */
#ifndef WARREN_CONSENSUS_FOLDER_H
#define WARREN_CONSENSUS_FOLDER_H

#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

struct folder {
    char *path;
    char *database;  /* warren.db */
    char *wal;       /* warren.db-wal */
    char *wal_index; /* warren.db-shm */
    char *mark;      /* warren.mark */
    char *fresh;     /* warren.db.new: a database that is being made */
    char *reserve;   /* reserve */
    char *lock;      /* lock */
    int lock_fd;
};

/* Makes the folder (if MAKE) and locks it. ERROR gets a line. ERR_EXISTS: another process has it.
 * ERR_NOT_FOUND without MAKE. ERR_INVALID: it, or one of its files, is something else. */
enum err folder_open(struct folder *out, const char *path, bool make,
                     struct strbuf *error) MUST_CHECK;
void folder_close(struct folder *f);

/* 0 for a file that is not there. */
uint64_t folder_file_size(const char *path);
bool folder_has(const char *path);
/* Makes names durable. */
enum err folder_sync(const struct folder *f) MUST_CHECK;
/* Bytes that we may still take; UINT64_MAX if the file system does not say. */
uint64_t folder_free_space(const struct folder *f);

/* Makes the reserve if it is not whole. ERR_NO_SPACE. */
enum err folder_make_reserve(const struct folder *f) MUST_CHECK;
/* Adds the line for a folder_make_reserve that failed otherwise. */
void folder_explain_reserve(const struct folder *f, enum err e, struct strbuf *error);
void folder_release_reserve(const struct folder *f);

#endif
