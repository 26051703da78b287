#include "dnsd/corefile/import.h"

#include "dnsd/file.h"
#include "dnsd/gotext.h"

#include "dnsd/corefile/corefile.h"
#include "dnsd/corefile/lexer.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Paths. */

/* The clean form of PATH, which is absolute. */
static enum err path_clean(const char *path, struct arena *arena, char **out)
{
    char *clean = arena_alloc(arena, strlen(path) + 2);
    if (clean == NULL)
        return ERR_NO_MEMORY;
    size_t size = 0;
    for (const char *part = path; *part != '\0';) {
        size_t length = strcspn(part, "/");
        if (length == 2 && memcmp(part, "..", 2) == 0) {
            while (size > 0 && clean[--size] != '/')
                continue;
        } else if (length > 0 && !(length == 1 && *part == '.')) {
            clean[size++] = '/';
            memcpy(clean + size, part, length);
            size += length;
        }
        part += length + (part[length] == '/');
    }
    if (size == 0)
        clean[size++] = '/';
    clean[size] = '\0';
    *out = clean;
    return OK;
}

/* FOLDER and NAME joined by a slash, not cleaned. */
static enum err path_join(const char *folder, size_t folder_size, const char *name,
                          struct arena *arena, char **out)
{
    size_t name_size = strlen(name);
    char *joined = arena_alloc(arena, folder_size + name_size + 2);
    if (joined == NULL)
        return ERR_NO_MEMORY;
    memcpy(joined, folder, folder_size);
    joined[folder_size] = '/';
    memcpy(joined + folder_size + 1, name, name_size + 1);
    *out = joined;
    return OK;
}

/* The working directory: the name the shell gave it, if it still is that, else the kernel's. */
static enum err working_directory(char out[static PATH_MAX])
{
    const char *pwd = getenv("PWD");
    struct stat named, here;
    if (pwd != NULL && pwd[0] == '/' && strlen(pwd) < PATH_MAX && stat(pwd, &named) == 0 &&
        stat(".", &here) == 0 && named.st_dev == here.st_dev && named.st_ino == here.st_ino) {
        strcpy(out, pwd);
        return OK;
    }
    return getcwd(out, PATH_MAX) != NULL ? OK : err_from_errno(errno);
}

enum err path_absolute(const char *path, struct arena *arena, char **out)
{
    if (path[0] == '/')
        return path_clean(path, arena, out);
    char directory[PATH_MAX];
    char *joined = NULL;
    enum err err = working_directory(directory);
    if (err == OK)
        err = path_join(directory, strlen(directory), path, arena, &joined);
    return err == OK ? path_clean(joined, arena, out) : err;
}

enum err path_relative_to(const char *file, const char *pattern, struct arena *arena, char **out)
{
    if (pattern[0] == '/') {
        *out = arena_copy(arena, pattern, strlen(pattern) + 1);
        return *out != NULL ? OK : ERR_NO_MEMORY;
    }
    const char *slash = strrchr(file, '/');
    char *joined;
    enum err err =
        path_join(file, slash != NULL ? (size_t)(slash - file) : 0, pattern, arena, &joined);
    return err == OK ? path_clean(joined, arena, out) : err;
}

/* Patterns. */

static bool has_meta(const char *pattern)
{
    return strpbrk(pattern, "*?[\\") != NULL;
}

/* Whether PATTERN can be read at all: a '[' begins an expression that never ends here. */
static bool pattern_is_valid(const char *pattern)
{
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '[' || (*pattern == '\\' && *++pattern == '\0'))
            return false;
    }
    return true;
}

static bool match(const char *pattern, const char *name)
{
    for (; *pattern != '\0'; pattern++) {
        size_t width = 1;
        if (*pattern == '*') {
            /* At most one star: no match here ever starts a second search. */
            for (;; name++) {
                if (match(pattern + 1, name))
                    return true;
                if (*name == '\0')
                    return false;
            }
        }
        if (*name == '\0')
            return false;
        if (*pattern == '?')
            (void)utf8_decode(name, strlen(name), &width);
        else if (*(*pattern == '\\' ? ++pattern : pattern) != *name)
            return false;
        name += width;
    }
    return *name == '\0';
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum err path_list_add(struct path_list *l, const char *path, struct arena *arena)
{
    if (l->count >= CORE_FILE_MAX_IMPORTS)
        return ERR_LIMIT;
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : 2 * l->capacity;
        const char **items = arena_array(arena, capacity, sizeof(*items));
        if (items == NULL)
            return ERR_NO_MEMORY;
        if (l->count > 0)
            memcpy(items, l->items, l->count * sizeof(*items));
        l->items = items;
        l->capacity = capacity;
    }
    l->items[l->count++] = path;
    return OK;
}

/* Adds the entries of FOLDER that match the one component PATTERN. */
static enum err glob_folder(const char *folder, const char *pattern, struct arena *arena,
                            struct path_list *out)
{
    DIR *dir = opendir(folder);
    if (dir == NULL)
        return OK;
    size_t first = out->count;
    enum err err = OK;
    for (struct dirent *e; err == OK && (e = readdir(dir)) != NULL;) {
        char *path, *clean;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            !match(pattern, e->d_name))
            continue;
        err = path_join(folder, strlen(folder), e->d_name, arena, &path);
        if (err == OK)
            err = path_clean(path, arena, &clean);
        if (err == OK)
            err = path_list_add(out, clean, arena);
    }
    closedir(dir);
    if (out->count - first > 1)
        qsort(out->items + first, out->count - first, sizeof(*out->items), compare_paths);
    return err;
}

static enum err glob_level(const char *pattern, struct arena *arena, struct path_list *out)
{
    if (!has_meta(pattern)) {
        struct stat st;
        return lstat(pattern, &st) == 0 ? path_list_add(out, pattern, arena) : OK;
    }
    const char *name = strrchr(pattern, '/') + 1; /* the pattern is absolute */
    size_t folder_size = (size_t)(name - pattern) - 1;
    char *folder =
        arena_copy(arena, folder_size > 0 ? pattern : "/", (folder_size > 0 ? folder_size : 1) + 1);
    if (folder == NULL)
        return ERR_NO_MEMORY;
    folder[folder_size > 0 ? folder_size : 1] = '\0';
    if (!has_meta(folder))
        return glob_folder(folder, name, arena, out);
    struct path_list folders = {0};
    enum err err = glob_level(folder, arena, &folders);
    for (size_t i = 0; err == OK && i < folders.count; i++)
        err = glob_folder(folders.items[i], name, arena, out);
    return err;
}

enum err path_glob(const char *pattern, struct arena *arena, struct path_list *out)
{
    if (!pattern_is_valid(pattern))
        return ERR_MALFORMED;
    if (pattern[0] != '/' || strlen(pattern) >= PATH_MAX)
        return OK;
    return glob_level(pattern, arena, out);
}

/* Files. */

enum err path_read(const char *path, size_t limit, struct strbuf *content, struct strbuf *reason)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        os_error_add(reason, "open", path, errno);
        return ERR_IO;
    }
    struct stat st;
    enum err err = OK;
    if (fstat(fd, &st) != 0) {
        os_error_add(reason, "stat", path, errno);
        err = ERR_IO;
    } else if (S_ISDIR(st.st_mode)) {
        strbuf_add_str(reason, "is a directory");
        err = ERR_IO;
    } else {
        err = file_read_fd(fd, path, limit, content, reason);
    }
    close(fd);
    return err;
}
