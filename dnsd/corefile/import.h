/* What `import` needs of the file system: paths and patterns as Go's path/filepath treats them. */
#ifndef WARREN_DNSD_COREFILE_IMPORT_H
#define WARREN_DNSD_COREFILE_IMPORT_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

/* PATH made absolute (against the working directory, by its $PWD name where that is true) and
 * clean: no "." or "..", no doubled or final slash. From ARENA. */
enum err path_absolute(const char *path, struct arena *arena, char **out) MUST_CHECK;

/* PATTERN as seen from FILE (absolute): itself when absolute, else a clean path below FILE's
 * folder. */
enum err path_relative_to(const char *file, const char *pattern, struct arena *arena,
                          char **out) MUST_CHECK;

struct path_list {
    const char **items; /* from the arena */
    size_t count;
    size_t capacity;
};

/* The existing paths that PATTERN names: `*` any run and `?` any rune within one path component,
 * `\c` the character c; in byte order per folder. A pattern without any of those is looked up as it
 * is. ERR_MALFORMED for a bad pattern, ERR_LIMIT beyond CORE_FILE_MAX_IMPORTS paths, ERR_NO_MEMORY.
 * An unreadable folder has no matches. PATTERN holds at most one `*` and one `?`, and no bracket
 * expression: the caller refuses others. */
enum err path_glob(const char *pattern, struct arena *arena, struct path_list *out) MUST_CHECK;

/* Reads the file at PATH, at most LIMIT bytes. On failure REASON gets the text that follows "Could
 * not import PATH: " (ERR_IO, ERR_LIMIT, ERR_NO_MEMORY). */
enum err path_read(const char *path, size_t limit, struct strbuf *content,
                   struct strbuf *reason) MUST_CHECK;

#endif
