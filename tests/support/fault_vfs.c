#include "tests/support/fault_vfs.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SECTOR_SIZE = 512,
    MAX_FILES = 16,
};

enum op_kind {
    OP_OPEN, /* data: what was in the file before it was first opened; offset: 1 if it was there */
    OP_WRITE,
    OP_SYNC,
    OP_TRUNCATE,       /* offset: to this size */
    OP_REMOVE,         /* not yet durable */
    OP_REMOVE_DURABLY, /* the folder was synced, too */
    OP_NOTE,           /* offset: the number */
};

struct op {
    enum op_kind kind;
    size_t file;
    uint64_t offset;
    size_t size;
    uint8_t *data;
};

struct fault_file {
    sqlite3_file base;
    size_t number;
    sqlite3_file *real; /* behind this struct */
};

static struct {
    pthread_mutex_t lock;
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    char *names[MAX_FILES];
    size_t name_count;
    struct op *ops;
    size_t count;
    size_t capacity;
    size_t fail_in; /* SIZE_MAX: never */
    bool fail_sync_only;
    size_t space;
    bool is_limited;
} faults = {.lock = PTHREAD_MUTEX_INITIALIZER, .fail_in = SIZE_MAX};

/* --- the recording ---------------------------------------------------------------------------- */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

static void add_op(enum op_kind kind, size_t file, uint64_t offset, const void *data, size_t size)
{
    if (faults.count == faults.capacity) {
        faults.capacity = faults.capacity == 0 ? 1024 : faults.capacity * 2;
        faults.ops = realloc(faults.ops, faults.capacity * sizeof(faults.ops[0]));
        assert(faults.ops != NULL);
    }
    struct op *op = &faults.ops[faults.count++];
    *op = (struct op){.kind = kind, .file = file, .offset = offset, .size = size};
    if (size > 0) {
        op->data = malloc(size);
        assert(op->data != NULL);
        memcpy(op->data, data, size);
    }
}

static void record_first_open(size_t file, const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0) {
        add_op(OP_OPEN, file, 0, NULL, 0);
        return;
    }
    uint8_t *data = malloc((size_t)st.st_size + 1);
    assert(data != NULL);
    ssize_t got = read(fd, data, (size_t)st.st_size);
    assert(got == st.st_size);
    close(fd);
    add_op(OP_OPEN, file, 1, data, (size_t)got);
    free(data);
}

/* Under the lock. */
static size_t number_of(const char *path, bool *is_first)
{
    const char *name = base_name(path);
    for (size_t i = 0; i < faults.name_count; i++)
        if (strcmp(faults.names[i], name) == 0) {
            *is_first = false;
            return i;
        }
    assert(faults.name_count < MAX_FILES);
    faults.names[faults.name_count] = strdup(name);
    *is_first = true;
    return faults.name_count++;
}

void fault_vfs_note(uint64_t number)
{
    pthread_mutex_lock(&faults.lock);
    add_op(OP_NOTE, 0, number, NULL, 0);
    pthread_mutex_unlock(&faults.lock);
}

size_t fault_vfs_count(void)
{
    pthread_mutex_lock(&faults.lock);
    size_t count = faults.count;
    pthread_mutex_unlock(&faults.lock);
    return count;
}

uint64_t fault_vfs_last_note(size_t count, uint8_t kind)
{
    uint64_t last = 0;
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &faults.ops[i];
        if (op->kind == OP_NOTE && op->offset >> 56 == kind && op->offset > last)
            last = op->offset;
    }
    return last & ((UINT64_C(1) << 56) - 1);
}

void fault_vfs_reset(void)
{
    pthread_mutex_lock(&faults.lock);
    for (size_t i = 0; i < faults.count; i++)
        free(faults.ops[i].data);
    free(faults.ops);
    for (size_t i = 0; i < faults.name_count; i++)
        free(faults.names[i]);
    faults.ops = NULL;
    faults.count = faults.capacity = faults.name_count = 0;
    faults.fail_in = SIZE_MAX;
    faults.is_limited = false;
    pthread_mutex_unlock(&faults.lock);
}

/* --- faults ----------------------------------------------------------------------------------- */

void fault_vfs_fail_at(size_t at, bool sync_only)
{
    pthread_mutex_lock(&faults.lock);
    faults.fail_in = at;
    faults.fail_sync_only = sync_only;
    pthread_mutex_unlock(&faults.lock);
}

void fault_vfs_full_after(size_t size)
{
    pthread_mutex_lock(&faults.lock);
    faults.is_limited = true;
    faults.space = size;
    pthread_mutex_unlock(&faults.lock);
}

void fault_vfs_heal(void)
{
    pthread_mutex_lock(&faults.lock);
    faults.is_limited = false;
    faults.fail_in = SIZE_MAX;
    pthread_mutex_unlock(&faults.lock);
}

/* Under the lock. */
static bool fails_now(bool is_sync)
{
    if (faults.fail_in == SIZE_MAX || (faults.fail_sync_only && !is_sync))
        return false;
    if (faults.fail_in-- > 0)
        return false;
    faults.fail_in = SIZE_MAX;
    return true;
}

/* Under the lock. */
static bool is_full(struct fault_file *f, uint64_t end)
{
    if (!faults.is_limited)
        return false;
    sqlite3_int64 size = 0;
    (void)f->real->pMethods->xFileSize(f->real, &size);
    if (end <= (uint64_t)size)
        return false;
    size_t more = (size_t)(end - (uint64_t)size);
    if (more > faults.space)
        return true;
    faults.space -= more;
    return false;
}

/* --- methods of a file ------------------------------------------------------------------------ */

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)(void *)file)->real;
}

static int fault_close(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods != NULL ? real->pMethods->xClose(real) : SQLITE_OK;
}

static int fault_read(sqlite3_file *file, void *out, int size, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xRead(real, out, size, offset);
}

static int fault_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 offset)
{
    struct fault_file *f = (struct fault_file *)(void *)file;
    pthread_mutex_lock(&faults.lock);
    int code = fails_now(false)                                ? SQLITE_IOERR_WRITE
               : is_full(f, (uint64_t)offset + (uint64_t)size) ? SQLITE_FULL
                                                               : SQLITE_OK;
    if (code == SQLITE_OK)
        code = f->real->pMethods->xWrite(f->real, data, size, offset);
    if (code == SQLITE_OK)
        add_op(OP_WRITE, f->number, (uint64_t)offset, data, (size_t)size);
    pthread_mutex_unlock(&faults.lock);
    return code;
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct fault_file *f = (struct fault_file *)(void *)file;
    pthread_mutex_lock(&faults.lock);
    int code = f->real->pMethods->xTruncate(f->real, size);
    if (code == SQLITE_OK)
        add_op(OP_TRUNCATE, f->number, (uint64_t)size, NULL, 0);
    pthread_mutex_unlock(&faults.lock);
    return code;
}

/* Not passed on: nothing in these tests cuts real power, and it makes them fast. */
static int fault_sync(sqlite3_file *file, int flags)
{
    struct fault_file *f = (struct fault_file *)(void *)file;
    (void)flags;
    pthread_mutex_lock(&faults.lock);
    int code = fails_now(true) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
    if (code == SQLITE_OK)
        add_op(OP_SYNC, f->number, 0, NULL, 0);
    pthread_mutex_unlock(&faults.lock);
    return code;
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *out)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xFileSize(real, out);
}

static int fault_lock(sqlite3_file *file, int level)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xLock(real, level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xUnlock(real, level);
}

static int fault_check_lock(sqlite3_file *file, int *out)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xCheckReservedLock(real, out);
}

/* A hint to make the file grow at once is a write that we would not see. */
static int fault_control(sqlite3_file *file, int op, void *argument)
{
    sqlite3_file *real = real_of(file);
    if (op == SQLITE_FCNTL_SIZE_HINT || op == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    return real->pMethods->xFileControl(real, op, argument);
}

static int fault_sector_size(sqlite3_file *file)
{
    (void)file;
    return SECTOR_SIZE;
}

static int fault_characteristics(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xDeviceCharacteristics(real);
}

static int fault_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmMap(real, page, size, extend, out);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmLock(real, offset, n, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    real->pMethods->xShmBarrier(real);
}

static int fault_shm_unmap(sqlite3_file *file, int remove)
{
    sqlite3_file *real = real_of(file);
    return real->pMethods->xShmUnmap(real, remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, /* no memory-mapped reads */
    .xClose = fault_close,
    .xRead = fault_read,
    .xWrite = fault_write,
    .xTruncate = fault_truncate,
    .xSync = fault_sync,
    .xFileSize = fault_size,
    .xLock = fault_lock,
    .xUnlock = fault_unlock,
    .xCheckReservedLock = fault_check_lock,
    .xFileControl = fault_control,
    .xSectorSize = fault_sector_size,
    .xDeviceCharacteristics = fault_characteristics,
    .xShmMap = fault_shm_map,
    .xShmLock = fault_shm_lock,
    .xShmBarrier = fault_shm_barrier,
    .xShmUnmap = fault_shm_unmap,
};

/* --- the VFS ---------------------------------------------------------------------------------- */

static int fault_open(sqlite3_vfs *vfs, const char *path, sqlite3_file *file, int flags, int *out)
{
    (void)vfs;
    struct fault_file *f = (struct fault_file *)(void *)file;
    *f = (struct fault_file){.real = (sqlite3_file *)(void *)(f + 1)};
    memset(f->real, 0, (size_t)faults.real->szOsFile);
    pthread_mutex_lock(&faults.lock);
    bool is_first = false;
    if (path != NULL) {
        f->number = number_of(path, &is_first);
        if (is_first)
            record_first_open(f->number, path);
    }
    pthread_mutex_unlock(&faults.lock);
    int code = faults.real->xOpen(faults.real, path, f->real, flags, out);
    if (code == SQLITE_OK)
        f->base.pMethods = &methods;
    return code;
}

static int fault_delete(sqlite3_vfs *vfs, const char *path, int sync)
{
    (void)vfs;
    int code = faults.real->xDelete(faults.real, path, 0);
    pthread_mutex_lock(&faults.lock);
    bool is_first;
    size_t file = number_of(path, &is_first);
    if (code == SQLITE_OK)
        add_op(sync != 0 ? OP_REMOVE_DURABLY : OP_REMOVE, file, 0, NULL, 0);
    pthread_mutex_unlock(&faults.lock);
    return code;
}

void fault_vfs_register(void)
{
    if (sqlite3_vfs_find(FAULT_VFS) != NULL)
        return;
    faults.real = sqlite3_vfs_find(NULL);
    assert(faults.real != NULL);
    faults.vfs = *faults.real;
    faults.vfs.zName = FAULT_VFS;
    faults.vfs.pNext = NULL;
    faults.vfs.szOsFile = (int)sizeof(struct fault_file) + faults.real->szOsFile;
    faults.vfs.xOpen = fault_open;
    faults.vfs.xDelete = fault_delete;
    int code = sqlite3_vfs_register(&faults.vfs, 0);
    assert(code == SQLITE_OK);
    (void)code;
}

/* --- a power cut ------------------------------------------------------------------------------ */

struct content {
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool exists;
};

static void content_resize(struct content *c, size_t size)
{
    if (size > c->capacity) {
        c->capacity = size * 2;
        c->data = realloc(c->data, c->capacity);
        assert(c->data != NULL);
    }
    if (size > c->size)
        memset(c->data + c->size, 0, size - c->size);
    c->size = size;
}

static void content_write(struct content *c, uint64_t offset, const uint8_t *data, size_t size)
{
    if (offset + size > c->size)
        content_resize(c, (size_t)offset + size);
    if (size > 0)
        memcpy(c->data + offset, data, size);
}

static void content_apply(struct content *c, const struct op *op)
{
    switch (op->kind) {
    case OP_OPEN:
        c->exists = op->offset != 0;
        content_write(c, 0, op->data, op->size);
        break;
    case OP_WRITE:
        c->exists = true;
        content_write(c, op->offset, op->data, op->size);
        break;
    case OP_TRUNCATE:
        content_resize(c, (size_t)op->offset);
        break;
    case OP_REMOVE:
    case OP_REMOVE_DURABLY:
        c->exists = false;
        c->size = 0;
        break;
    case OP_SYNC:
    case OP_NOTE:
        break;
    }
}

static uint64_t next_random(uint64_t *seed)
{
    *seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *seed;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static bool keeps(enum fault_cut cut, uint64_t *seed)
{
    return cut == CUT_KEEPS_ALL || (cut == CUT_TEARS && (next_random(seed) & 1) != 0);
}

/* Those sectors of a write that the cut keeps. */
static void tear(struct content *c, const struct op *op, enum fault_cut cut, uint64_t *seed)
{
    for (size_t at = 0; at < op->size;) {
        size_t size = SECTOR_SIZE - (size_t)((op->offset + at) % SECTOR_SIZE);
        if (size > op->size - at)
            size = op->size - at;
        if (keeps(cut, seed)) {
            content_write(c, op->offset + at, op->data + at, size);
            c->exists = true;
        }
        at += size;
    }
}

static bool is_durable(const struct op *op)
{
    return op->kind == OP_SYNC || op->kind == OP_OPEN || op->kind == OP_REMOVE_DURABLY;
}

static void make_content(struct content *out, size_t file, size_t count, enum fault_cut cut,
                         uint64_t *seed)
{
    size_t synced = 0; /* ops before it are durable */
    for (size_t i = 0; i < count; i++)
        if (faults.ops[i].file == file && is_durable(&faults.ops[i]))
            synced = i + 1;
    for (size_t i = 0; i < count; i++) {
        const struct op *op = &faults.ops[i];
        if (op->file != file || op->kind == OP_NOTE)
            continue;
        if (i < synced)
            content_apply(out, op);
        else if (op->kind == OP_WRITE)
            tear(out, op, cut, seed);
        else if (keeps(cut, seed))
            content_apply(out, op);
    }
}

void fault_vfs_image(const char *dir, size_t count, enum fault_cut cut, uint64_t seed)
{
    assert(count <= faults.count);
    for (size_t file = 0; file < faults.name_count; file++) {
        struct content c = {0};
        make_content(&c, file, count, cut, &seed);
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, faults.names[file]);
        if (c.exists) {
            int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
            assert(fd >= 0);
            ssize_t written = write(fd, c.data, c.size);
            assert(written == (ssize_t)c.size);
            (void)written;
            close(fd);
        }
        free(c.data);
    }
}
