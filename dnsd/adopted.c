#include "dnsd/adopted.h"

#include "base/attr.h"
#include "base/hash.h"
#include "dnsd/key_set.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_SIZE = 1 + KEY_BASE64_SIZE + 1
};

struct adopted {
    struct key_set keys;
    char *path;          /* NULL: in memory alone */
    int fd;              /* -1: not open */
    struct strbuf lines; /* not written yet */
};

static char *path_of(const char *data_dir, const char *device, const char *zone)
{
    /* A zone's name may be longer than a file's and have a slash in it. */
    static const uint8_t no_secret[HASH_KEY_SIZE];
    struct strbuf path = STRBUF_EMPTY;
    strbuf_add_format(&path, "%s/adopted-%s-%016" PRIx64, data_dir, device,
                      keyed_hash(zone, strlen(zone), no_secret));
    return strbuf_take(&path);
}

static void add_line(struct strbuf *out, char sign, const uint8_t *key)
{
    char text[KEY_BASE64_SIZE];
    key_to_base64(text, key);
    strbuf_add_format(out, "%c%.*s\n", sign, KEY_BASE64_SIZE, text);
}

/* --- Reading. --- */

static enum err read_line(struct adopted *a, const char *line, size_t size)
{
    uint8_t key[KEY_SIZE];
    if (size != LINE_SIZE - 1 || (line[0] != '+' && line[0] != '-') ||
        key_from_base64(key, line + 1, size - 1) != OK)
        return OK;
    if (line[0] == '+')
        return key_set_add(&a->keys, key);
    key_set_remove(&a->keys, key);
    return OK;
}

static enum err read_lines(struct adopted *a, const char *text, size_t size)
{
    enum err e = OK;
    for (size_t at = 0; e == OK && at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        if (newline == NULL)
            break; /* cut off in the writing */
        size_t line_size = (size_t)(newline - text) - at;
        e = read_line(a, text + at, line_size);
        at += line_size + 1;
    }
    return e;
}

/* The whole file; an empty one if there is none. */
static enum err read_file(const char *path, struct strbuf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? OK : err_from_errno(errno);
    enum err e = OK;
    char part[1 << 14];
    for (ssize_t n = 1; e == OK && n > 0;) {
        n = read(fd, part, sizeof(part));
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n < 0)
            e = err_from_errno(errno);
        else
            strbuf_add(out, part, (size_t)n);
        if (out->size > ADOPTED_MAX_FILE_SIZE)
            e = ERR_LIMIT;
    }
    (void)close(fd);
    return e == OK && out->failed ? ERR_NO_MEMORY : e;
}

/* --- Writing. --- */

static enum err write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_from_errno(errno);
        text += n;
        size -= (size_t)n;
    }
    return OK;
}

/* Writes the set anew, beside the old file and then in its place, and leaves it open. */
static enum err rewrite(struct adopted *a, const char *device, const char *zone)
{
    struct strbuf text = STRBUF_EMPTY, beside = STRBUF_EMPTY;
    size_t position = 0;
    strbuf_add_format(&text, "# peers of %s on %s that warrend adopted, and may remove\n", zone,
                      device);
    for (const uint8_t *key; (key = key_set_next(&a->keys, &position)) != NULL;)
        add_line(&text, '+', key);
    strbuf_add_format(&beside, "%s.new", a->path);
    enum err e = text.failed || beside.failed ? ERR_NO_MEMORY : OK;
    int fd = -1;
    if (e == OK) {
        fd = open(beside.data, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        e = fd < 0 ? err_from_errno(errno) : write_all(fd, text.data, text.size);
    }
    if (e == OK && rename(beside.data, a->path) != 0)
        e = err_from_errno(errno);
    if (e != OK && fd >= 0)
        (void)close(fd);
    if (e == OK)
        a->fd = fd;
    strbuf_fini(&text);
    strbuf_fini(&beside);
    return e;
}

/* --- --- */

static void in_memory_alone(struct adopted *a, enum err e, struct strbuf *why)
{
    strbuf_add_format(why, "%s: %s; which peers were adopted is remembered until the end only",
                      a->path, err_text(e));
    free(a->path);
    a->path = NULL;
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
}

enum err adopted_open(struct adopted **out, const char *data_dir, const char *device,
                      const char *zone, struct strbuf *why)
{
    struct adopted *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return ERR_NO_MEMORY;
    a->fd = -1;
    key_set_init(&a->keys);
    *out = a;
    if (data_dir == NULL)
        return OK;
    struct strbuf text = STRBUF_EMPTY;
    a->path = path_of(data_dir, device, zone);
    enum err e = a->path != NULL ? read_file(a->path, &text) : ERR_NO_MEMORY;
    if (e == OK)
        e = read_lines(a, text.data, text.size);
    if (e == OK)
        e = rewrite(a, device, zone);
    strbuf_fini(&text);
    if (e == ERR_NO_MEMORY) {
        adopted_close(a);
        return e;
    }
    if (e != OK)
        in_memory_alone(a, e, why);
    return OK;
}

void adopted_close(struct adopted *a)
{
    if (a == NULL)
        return;
    if (a->fd >= 0)
        (void)close(a->fd);
    key_set_fini(&a->keys);
    strbuf_fini(&a->lines);
    free(a->path);
    free(a);
}

bool adopted_has(const struct adopted *a, const uint8_t key[static KEY_SIZE])
{
    return key_set_has(&a->keys, key);
}

enum err adopted_add(struct adopted *a, const uint8_t key[static KEY_SIZE])
{
    if (key_set_has(&a->keys, key))
        return OK;
    if (a->path != NULL)
        add_line(&a->lines, '+', key);
    return key_set_add(&a->keys, key);
}

void adopted_remove(struct adopted *a, const uint8_t key[static KEY_SIZE])
{
    if (!key_set_has(&a->keys, key))
        return;
    if (a->path != NULL)
        add_line(&a->lines, '-', key);
    key_set_remove(&a->keys, key);
}

enum err adopted_save(struct adopted *a, struct strbuf *why)
{
    if (a->path == NULL || (a->lines.size == 0 && !a->lines.failed))
        return OK;
    enum err e = a->lines.failed ? ERR_NO_MEMORY : write_all(a->fd, a->lines.data, a->lines.size);
    strbuf_fini(&a->lines);
    if (e == OK)
        return OK;
    in_memory_alone(a, e, why);
    return ERR_IO;
}

const uint8_t *adopted_next(const struct adopted *a, size_t *position)
{
    return key_set_next(&a->keys, position);
}
