/* Whole files, bounded, with Go's words for what went wrong. */
#ifndef WARREN_DNSD_FILE_H
#define WARREN_DNSD_FILE_H

#include "base/err.h"
#include "base/strbuf.h"

#include <stddef.h>

/* Appends what FD gives until its end, at most LIMIT bytes. PATH is for messages. On failure REASON
 * gets one line such as "read /etc/x: is a directory". ERR_LIMIT, ERR_NO_MEMORY, else by errno. */
enum err file_read_fd(int fd, const char *path, size_t limit, struct strbuf *content,
                      struct strbuf *reason) MUST_CHECK;
/* The same for the file at PATH: "open /etc/x: no such file or directory". */
enum err file_read(const char *path, size_t limit, struct strbuf *content,
                   struct strbuf *reason) MUST_CHECK;

#endif
