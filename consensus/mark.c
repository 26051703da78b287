#include "mark.h"

#include "base/crc32c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MARK_SIZE = 64, /* within one sector */
    SUM_AT = MARK_SIZE - 4,
};

static const uint8_t magic[8] = "WRNMARK2";

struct mark_file {
    char *path; /* the VFS keeps a pointer to it */
    sqlite3_file *file;
};

/* Little-endian numbers. */
static void put(uint8_t *at, uint64_t n, size_t size)
{
    for (size_t i = 0; i < size; i++, n >>= 8)
        at[i] = (uint8_t)n;
}

static uint64_t get(const uint8_t *at, size_t size)
{
    uint64_t n = 0;
    for (size_t i = size; i > 0; i--)
        n = n << 8 | at[i - 1];
    return n;
}

/* Magic, has_wal, 3 zero bytes, salts, frames, cluster, member, transaction, its sum, zeros,
 * checksum. */
static void encode(uint8_t out[static MARK_SIZE], const struct mark *m)
{
    memset(out, 0, MARK_SIZE);
    memcpy(out, magic, sizeof(magic));
    out[8] = m->has_wal;
    put(out + 12, m->salts[0], 4);
    put(out + 16, m->salts[1], 4);
    put(out + 20, m->frame_count, 8);
    put(out + 28, m->cluster_id, 8);
    put(out + 36, m->member_id, 8);
    put(out + 44, m->transaction, 8);
    put(out + 52, m->state_sum, 4);
    put(out + SUM_AT, crc32c(0, out, SUM_AT), 4);
}

static bool decode(struct mark *out, const uint8_t in[static MARK_SIZE])
{
    if (memcmp(in, magic, sizeof(magic)) != 0 || in[8] > 1 ||
        get(in + SUM_AT, 4) != crc32c(0, in, SUM_AT))
        return false;
    *out = (struct mark){
        .has_wal = in[8] != 0,
        .salts = {(uint32_t)get(in + 12, 4), (uint32_t)get(in + 16, 4)},
        .frame_count = get(in + 20, 8),
        .cluster_id = get(in + 28, 8),
        .member_id = get(in + 36, 8),
        .transaction = get(in + 44, 8),
        .state_sum = (uint32_t)get(in + 52, 4),
    };
    return true;
}

enum err mark_open(struct mark_file **out, const char *vfs_name, const char *path)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(vfs_name);
    if (vfs == NULL)
        return ERR_INVALID;
    struct mark_file *m = calloc(1, sizeof(*m));
    if (m == NULL)
        return ERR_NO_MEMORY;
    m->file = calloc(1, (size_t)vfs->szOsFile);
    m->path = calloc(1, strlen(path) + 4); /* SQLite's file names end in several NULs */
    int code = SQLITE_NOMEM;
    if (m->file != NULL && m->path != NULL) {
        memcpy(m->path, path, strlen(path));
        /* As a journal: that is what makes its first sync sync the folder too. */
        int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_MAIN_JOURNAL;
        code = vfs->xOpen(vfs, m->path, m->file, flags, &flags);
    }
    if (code != SQLITE_OK) {
        mark_close(m);
        return code == SQLITE_NOMEM ? ERR_NO_MEMORY : ERR_IO;
    }
    *out = m;
    return OK;
}

void mark_close(struct mark_file *m)
{
    if (m == NULL)
        return;
    if (m->file != NULL && m->file->pMethods != NULL)
        (void)m->file->pMethods->xClose(m->file);
    free(m->file);
    free(m->path);
    free(m);
}

enum err mark_write(struct mark_file *m, const struct mark *mark, bool sync)
{
    uint8_t bytes[MARK_SIZE];
    encode(bytes, mark);
    const sqlite3_io_methods *io = m->file->pMethods;
    int code = io->xWrite(m->file, bytes, MARK_SIZE, 0);
    if (code == SQLITE_OK && sync)
        code = io->xSync(m->file, SQLITE_SYNC_NORMAL);
    if (code == SQLITE_OK)
        return OK;
    return (code & 0xff) == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO;
}

enum err mark_read(struct mark *out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : err_from_errno(errno);
    uint8_t bytes[MARK_SIZE + 1];
    ssize_t got = read(fd, bytes, sizeof(bytes));
    close(fd);
    if (got < 0)
        return ERR_IO;
    return got == MARK_SIZE && decode(out, bytes) ? OK : ERR_MALFORMED;
}
