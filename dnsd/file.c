#include "dnsd/file.h"

#include "dnsd/gotext.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum {
    CHUNK_SIZE = 16384
};

enum err file_read_fd(int fd, const char *path, size_t limit, struct strbuf *content,
                      struct strbuf *reason)
{
    char buffer[CHUNK_SIZE];
    for (;;) {
        ssize_t n = read(fd, buffer, sizeof(buffer));
        if (n == 0)
            return content->failed ? ERR_NO_MEMORY : OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            enum err e = err_from_errno(errno);
            os_error_add(reason, "read", path, errno);
            return e;
        }
        if (content->size + (size_t)n > limit) {
            strbuf_add_format(reason, "larger than %zu bytes", limit);
            return ERR_LIMIT;
        }
        strbuf_add(content, buffer, (size_t)n);
    }
}

enum err file_read(const char *path, size_t limit, struct strbuf *content, struct strbuf *reason)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        enum err e = err_from_errno(errno);
        os_error_add(reason, "open", path, errno);
        return e;
    }
    enum err e = file_read_fd(fd, path, limit, content, reason);
    close(fd);
    return e;
}
