#include "folder.h"

#include "consensus/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static char *join(const char *folder, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", folder, name) < 0 ? NULL : path;
}

static enum err sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_from_errno(errno);
    enum err error = fsync(fd) == 0 ? OK : ERR_IO;
    close(fd);
    return error;
}

static enum err sync_parent(const char *path)
{
    char *copy = strdup(path);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    enum err error = sync_path(dirname(copy));
    free(copy);
    return error;
}

static enum err fail(struct strbuf *error, const char *path, int error_number, const char *advice)
{
    strbuf_add_format(error, "%s: %s; %s\n", path, strerror(error_number), advice);
    return err_from_errno(error_number);
}

static enum err make_folder(const char *path, struct strbuf *error)
{
    if (mkdir(path, 0700) != 0)
        return errno == EEXIST ? OK : fail(error, path, errno, "cannot make the data directory");
    enum err e = sync_parent(path);
    if (e != OK)
        strbuf_add_format(error, "%s: cannot sync the folder above: %s\n", path, err_text(e));
    return e;
}

static enum err check_folder(const char *path, struct strbuf *error)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        enum err e = fail(error, path, errno, "cannot use it as the data directory");
        return e;
    }
    if (S_ISDIR(st.st_mode))
        return OK;
    strbuf_add_format(error, "%s: is not a folder; name one as the data directory\n", path);
    return ERR_INVALID;
}

static enum err check_file(const char *path, struct strbuf *error)
{
    struct stat st;
    if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
        return OK; /* what cannot be looked at is told by who opens it */
    strbuf_add_format(
        error,
        "%s: is not a file but %s; move it away, and where the file was lost with it, "
        "restore the data directory from a backup\n",
        path, S_ISDIR(st.st_mode) ? "a folder" : "something else");
    return ERR_INVALID;
}

static enum err check_files(const struct folder *f, struct strbuf *error)
{
    const char *const files[] = {f->lock,  f->database, f->wal,    f->wal_index,
                                 f->fresh, f->mark,     f->reserve};
    enum err e = OK;
    for (size_t i = 0; i < ARRAY_COUNT(files) && e == OK; i++)
        e = check_file(files[i], error);
    return e;
}

/* Who holds the lock of FD, as proc(5)'s /proc/locks tells it: "1: FLOCK ADVISORY WRITE PID
 * MAJOR:MINOR:INODE 0 EOF"; 0 if it does not (another namespace, a file system with other device
 * numbers). A lock file that holds a pid would have to be written, and --check writes nothing. */
static long lock_holder(int fd)
{
    struct stat st;
    FILE *f = fopen("/proc/locks", "re");
    char line[256];
    long holder = 0;
    if (f == NULL || fstat(fd, &st) != 0) {
        if (f != NULL)
            fclose(f);
        return 0;
    }
    while (holder == 0 && fgets(line, sizeof(line), f) != NULL) {
        long pid;
        unsigned major_number, minor_number;
        unsigned long long inode;
        if (sscanf(line, "%*d: FLOCK %*s %*s %ld %x:%x:%llu", &pid, &major_number, &minor_number,
                   &inode) == 4 &&
            pid > 0 && inode == st.st_ino && major_number == major(st.st_dev) &&
            minor_number == minor(st.st_dev))
            holder = pid;
    }
    fclose(f);
    return holder;
}

static void explain_holder(const struct folder *f, struct strbuf *error)
{
    char path[64], name[32] = ""; /* a name has at most 15 octets */
    long pid = lock_holder(f->lock_fd);
    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
    FILE *comm = pid > 0 ? fopen(path, "re") : NULL;
    if (comm != NULL && fgets(name, sizeof(name), comm) == NULL)
        name[0] = '\0';
    if (comm != NULL)
        fclose(comm);
    name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] = '\0';
    if (pid > 0)
        strbuf_add_format(error, "%s: %s, process %ld, uses this data directory; stop it first\n",
                          f->lock, name[0] != '\0' ? name : "another program", pid);
    else
        strbuf_add_format(error, "%s: another process uses this data directory; stop it first\n",
                          f->lock);
}

static enum err take_lock(struct folder *f, struct strbuf *error)
{
    f->lock_fd = open(f->lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (f->lock_fd < 0)
        return fail(
            error, f->lock, errno,
            "this user has to be able to write it and the data directory; check their owner "
            "and mode");
    if (flock(f->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return OK;
    if (errno != EWOULDBLOCK)
        return fail(error, f->lock, errno,
                    "cannot lock the data directory; use a file system that has locks");
    explain_holder(f, error);
    return ERR_EXISTS;
}

static bool name_files(struct folder *f, const char *path)
{
    f->path = strdup(path);
    f->database = join(path, "warren.db");
    f->wal = join(path, "warren.db-wal");
    f->wal_index = join(path, "warren.db-shm");
    f->mark = join(path, "warren.mark");
    f->fresh = join(path, "warren.db.new");
    f->reserve = join(path, "reserve");
    f->lock = join(path, "lock");
    return f->path != NULL && f->database != NULL && f->wal != NULL && f->mark != NULL &&
           f->wal_index != NULL && f->fresh != NULL && f->reserve != NULL && f->lock != NULL;
}

enum err folder_open(struct folder *out, const char *path, bool make, struct strbuf *error)
{
    struct folder f = {.lock_fd = -1};
    enum err e = name_files(&f, path) ? OK : ERR_NO_MEMORY;
    if (e == OK && make)
        e = make_folder(path, error);
    if (e == OK)
        e = check_folder(path, error);
    if (e == OK)
        e = check_files(&f, error);
    if (e == OK)
        e = take_lock(&f, error);
    if (e != OK) {
        folder_close(&f);
        return e;
    }
    *out = f;
    return OK;
}

void folder_close(struct folder *f)
{
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    free(f->path);
    free(f->database);
    free(f->wal);
    free(f->wal_index);
    free(f->mark);
    free(f->fresh);
    free(f->reserve);
    free(f->lock);
    *f = (struct folder){.lock_fd = -1};
}

uint64_t folder_file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

bool folder_has(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

enum err folder_sync(const struct folder *f)
{
    return sync_path(f->path);
}

uint64_t folder_free_space(const struct folder *f)
{
    struct statvfs s;
    if (statvfs(f->path, &s) != 0)
        return UINT64_MAX;
    return (uint64_t)s.f_bavail * s.f_frsize;
}

enum err folder_make_reserve(const struct folder *f)
{
    if (folder_file_size(f->reserve) == JOURNAL_RESERVE_SIZE)
        return OK;
    int fd = open(f->reserve, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_from_errno(errno);
    int error_number = posix_fallocate(fd, 0, JOURNAL_RESERVE_SIZE);
    close(fd);
    if (error_number == 0)
        return OK;
    (void)unlink(f->reserve);
    return error_number == ENOSPC || error_number == EDQUOT ? ERR_NO_SPACE
                                                            : err_from_errno(error_number);
}

void folder_explain_reserve(const struct folder *f, enum err e, struct strbuf *error)
{
    strbuf_add_format(error,
                      "%s: cannot be made or grown: %s; check its owner and mode, or remove it\n",
                      f->reserve, err_text(e));
}

void folder_release_reserve(const struct folder *f)
{
    (void)unlink(f->reserve);
}
