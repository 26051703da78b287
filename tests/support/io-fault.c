/* Preloaded (LD_PRELOAD) into a server under test: writes to chosen files fail while a trigger is
 * there, as a full or a broken disk makes them fail.
 *
 *   WARREN_IO_FAULT_PATTERN  fnmatch(3) pattern for the path of the file written to
 *   WARREN_IO_FAULT_TRIGGER  a file; while it exists its text says what fails: an error (EIO,
 *                            ENOSPC), then which calls: "write", "sync" or both, then optionally a
 *                            count of calls that still work. "EIO sync", "ENOSPC write 3"
 *
 * The count is taken anew whenever the trigger's text changes. Nothing but the calls below is
 * touched; reads always work. */
/* pwrite and pwrite64 are two functions here. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    TRIGGER_MAX_SIZE = 64
};

enum call {
    CALL_WRITE,
    CALL_SYNC
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char current[TRIGGER_MAX_SIZE]; /* the trigger's text when the count was taken */
static long left;                      /* calls that still work */

/* By system calls, so that our own reading never comes back here. */
static bool read_trigger(char text[static TRIGGER_MAX_SIZE])
{
    const char *path = getenv("WARREN_IO_FAULT_TRIGGER");
    if (path == NULL) {
        return false;
    }
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    long size = syscall(SYS_read, fd, text, TRIGGER_MAX_SIZE - 1);
    syscall(SYS_close, fd);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
}

static bool is_chosen(int fd)
{
    const char *pattern = getenv("WARREN_IO_FAULT_PATTERN");
    char link[32];
    char path[PATH_MAX];
    if (pattern == NULL) {
        return false;
    }
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0) {
        return false;
    }
    path[size] = '\0';
    return fnmatch(pattern, path, 0) == 0;
}

/* The error that CALL on FD is to fail with; 0: it may pass. */
static int fault(int fd, enum call call)
{
    char text[TRIGGER_MAX_SIZE];
    int saved = errno;
    int error = 0;
    if (read_trigger(text) && is_chosen(fd) &&
        strstr(text, call == CALL_SYNC ? "sync" : "write") != NULL) {
        pthread_mutex_lock(&lock);
        if (strcmp(text, current) != 0) {
            memcpy(current, text, sizeof current);
            const char *count = strpbrk(text, "0123456789");
            left = count != NULL ? strtol(count, NULL, 10) : 0;
        }
        if (left > 0) {
            left--;
        } else {
            error = strncmp(text, "ENOSPC", 6) == 0 ? ENOSPC : EIO;
        }
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
    return error;
}

/* Calls the next NAME unless the call is to fail. */
#define WRAP(type, name, call, parameters, arguments)                                              \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*next) parameters;                                                             \
        if (next == NULL) {                                                                        \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        }                                                                                          \
        int error = fault(fd, call);                                                               \
        if (error != 0) {                                                                          \
            errno = error;                                                                         \
            return -1;                                                                             \
        }                                                                                          \
        return next arguments;                                                                     \
    }

WRAP(ssize_t, write, CALL_WRITE, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(ssize_t, pwrite, CALL_WRITE, (int fd, const void *data, size_t size, off_t at),
     (fd, data, size, at))
WRAP(ssize_t, pwrite64, CALL_WRITE, (int fd, const void *data, size_t size, off64_t at),
     (fd, data, size, at))
WRAP(ssize_t, writev, CALL_WRITE, (int fd, const struct iovec *parts, int count),
     (fd, parts, count))
WRAP(int, ftruncate, CALL_WRITE, (int fd, off_t size), (fd, size))
WRAP(int, ftruncate64, CALL_WRITE, (int fd, off64_t size), (fd, size))
WRAP(int, fallocate, CALL_WRITE, (int fd, int mode, off_t at, off_t size), (fd, mode, at, size))
WRAP(int, fsync, CALL_SYNC, (int fd), (fd))
WRAP(int, fdatasync, CALL_SYNC, (int fd), (fd))

/* It returns its error. */
int posix_fallocate(int fd, off_t at, off_t size)
{
    static int (*next)(int, off_t, off_t);
    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "posix_fallocate");
    }
    int error = fault(fd, CALL_WRITE);
    return error != 0 ? error : next(fd, at, size);
}
