#include "wal_gather.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a WAL ------------------------------------------------------------------------------------ */

struct gathered {
    sqlite3_file file;  /* first: what SQLite sees */
    sqlite3_file *real; /* behind this struct, in the same allocation of SQLite's */
    uint8_t *bytes;     /* WAL_GATHER_SIZE, from the first write on */
    size_t size;
    sqlite3_int64 offset; /* where they belong */
};

static struct gathered *of(sqlite3_file *file)
{
    return (struct gathered *)file;
}

static int flush(struct gathered *g)
{
    if (g->size == 0)
        return SQLITE_OK;
    int size = (int)g->size;
    g->size = 0;
    return g->real->pMethods->xWrite(g->real, g->bytes, size, g->offset);
}

static int gathered_close(sqlite3_file *file)
{
    struct gathered *g = of(file);
    int code = flush(g);
    int closed = g->real->pMethods->xClose(g->real);
    free(g->bytes);
    return code != SQLITE_OK ? code : closed;
}

static int gathered_read(sqlite3_file *file, void *out, int size, sqlite3_int64 offset)
{
    struct gathered *g = of(file);
    int code = flush(g);
    return code != SQLITE_OK ? code : g->real->pMethods->xRead(g->real, out, size, offset);
}

static int gathered_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct gathered *g = of(file);
    if (g->bytes == NULL && (g->bytes = malloc(WAL_GATHER_SIZE)) == NULL)
        return SQLITE_IOERR_NOMEM;
    bool goes_on = offset == g->offset + (sqlite3_int64)g->size;
    if (!goes_on || g->size + (size_t)size > WAL_GATHER_SIZE) {
        int code = flush(g);
        if (code != SQLITE_OK)
            return code;
    }
    if (size > WAL_GATHER_SIZE)
        return g->real->pMethods->xWrite(g->real, data, size, offset);
    if (g->size == 0)
        g->offset = offset;
    memcpy(g->bytes + g->size, data, (size_t)size);
    g->size += (size_t)size;
    return SQLITE_OK;
}

static int gathered_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct gathered *g = of(file);
    int code = flush(g);
    return code != SQLITE_OK ? code : g->real->pMethods->xTruncate(g->real, size);
}

static int gathered_sync(sqlite3_file *file, int flags)
{
    struct gathered *g = of(file);
    int code = flush(g);
    return code != SQLITE_OK ? code : g->real->pMethods->xSync(g->real, flags);
}

static int gathered_size(sqlite3_file *file, sqlite3_int64 *size)
{
    struct gathered *g = of(file);
    int code = flush(g);
    return code != SQLITE_OK ? code : g->real->pMethods->xFileSize(g->real, size);
}

static int gathered_lock(sqlite3_file *file, int lock)
{
    return of(file)->real->pMethods->xLock(of(file)->real, lock);
}

static int gathered_unlock(sqlite3_file *file, int lock)
{
    return of(file)->real->pMethods->xUnlock(of(file)->real, lock);
}

static int gathered_check_lock(sqlite3_file *file, int *out)
{
    return of(file)->real->pMethods->xCheckReservedLock(of(file)->real, out);
}

static int gathered_control(sqlite3_file *file, int operation, void *argument)
{
    return of(file)->real->pMethods->xFileControl(of(file)->real, operation, argument);
}

static int gathered_sector_size(sqlite3_file *file)
{
    return of(file)->real->pMethods->xSectorSize(of(file)->real);
}

static int gathered_characteristics(sqlite3_file *file)
{
    return of(file)->real->pMethods->xDeviceCharacteristics(of(file)->real);
}

static const sqlite3_io_methods gathered_methods = {
    .iVersion = 1, /* a WAL is neither mapped nor shared */
    .xClose = gathered_close,
    .xRead = gathered_read,
    .xWrite = gathered_write,
    .xTruncate = gathered_truncate,
    .xSync = gathered_sync,
    .xFileSize = gathered_size,
    .xLock = gathered_lock,
    .xUnlock = gathered_unlock,
    .xCheckReservedLock = gathered_check_lock,
    .xFileControl = gathered_control,
    .xSectorSize = gathered_sector_size,
    .xDeviceCharacteristics = gathered_characteristics,
};

/* --- the VFS ---------------------------------------------------------------------------------- */

struct gather_vfs {
    sqlite3_vfs vfs; /* first: what SQLite sees */
    sqlite3_vfs *base;
    struct gather_vfs *next;
    char name[64];
};

static sqlite3_vfs *base_of(sqlite3_vfs *vfs)
{
    return ((struct gather_vfs *)vfs)->base;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    sqlite3_vfs *base = base_of(vfs);
    if ((flags & SQLITE_OPEN_WAL) == 0)
        return base->xOpen(base, name, file, flags, out);
    struct gathered *g = of(file);
    *g = (struct gathered){.real = (sqlite3_file *)(g + 1)};
    g->real->pMethods = NULL;
    int code = base->xOpen(base, name, g->real, flags, out);
    if (code == SQLITE_OK)
        g->file.pMethods = &gathered_methods;
    else if (g->real->pMethods != NULL)
        (void)g->real->pMethods->xClose(g->real);
    return code;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
    return base_of(vfs)->xDelete(base_of(vfs), name, sync);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
    return base_of(vfs)->xAccess(base_of(vfs), name, flags, out);
}

static int vfs_path(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
    return base_of(vfs)->xFullPathname(base_of(vfs), name, size, out);
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
    return base_of(vfs)->xRandomness(base_of(vfs), size, out);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
    return base_of(vfs)->xSleep(base_of(vfs), us);
}

static int vfs_time(sqlite3_vfs *vfs, double *out)
{
    return base_of(vfs)->xCurrentTime(base_of(vfs), out);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
    return base_of(vfs)->xGetLastError(base_of(vfs), size, out);
}

static struct gather_vfs *make(sqlite3_vfs *base)
{
    struct gather_vfs *g = calloc(1, sizeof(*g));
    if (g == NULL)
        return NULL;
    (void)snprintf(g->name, sizeof(g->name), "gather-%s", base->zName);
    g->base = base;
    g->vfs = (sqlite3_vfs){
        .iVersion = 1,
        .szOsFile = (int)sizeof(struct gathered) + base->szOsFile,
        .mxPathname = base->mxPathname,
        .zName = g->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
    };
    return g;
}

const char *wal_gather_over(const char *base_name)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct gather_vfs *all;
    sqlite3_vfs *base = sqlite3_vfs_find(base_name);
    if (base == NULL)
        return NULL;
    pthread_mutex_lock(&lock);
    struct gather_vfs *g = all;
    while (g != NULL && g->base != base)
        g = g->next;
    if (g == NULL && (g = make(base)) != NULL) {
        if (sqlite3_vfs_register(&g->vfs, 0) == SQLITE_OK) {
            g->next = all;
            all = g;
        } else {
            free(g);
            g = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    return g != NULL ? g->name : NULL;
}
