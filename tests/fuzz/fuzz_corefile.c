/* The Corefile parser, the keys, and a walk over every directive the way a setup walks it.
 *
 * Imports find no files: the Corefile is said to be in a folder that does not exist, and there are
 * no slashes in an input that imports, nor in the environment. */
#include "dnsd/corefile/corefile.h"
#include "dnsd/corefile/server_blocks.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void set_environment(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    clearenv();
    setenv("A", "x y", 1);
    setenv("B", "{$A}{%A%}", 1);
    setenv("C", "{", 1);
}

static bool known(const char *name)
{
    return strcmp(name, "unknown") != 0;
}

static void walk(const struct core_file *file, const struct core_directive *d, struct arena *arena)
{
    struct core_cursor c;
    const char **args;
    size_t count, steps = 0;
    core_cursor_init(&c, file->name, d);
    while (core_next(&c)) {
        if (core_remaining_args(&c, arena, &args, &count) != OK)
            return;
        while (core_next_block(&c)) {
            /* Whatever the tokens, a walk ends. */
            assert(steps++ <= d->token_count);
            if (core_remaining_args(&c, arena, &args, &count) != OK)
                return;
        }
    }
}

static void inspect(const struct core_file *file)
{
    struct arena arena;
    struct strbuf error = STRBUF_EMPTY;
    struct server_zone *zones;
    struct served_zone served[64];
    size_t count;
    arena_init(&arena, 16 << 20);
    enum err err = server_blocks_inspect(file, "53", &arena, &zones, &count, &error);
    assert((err == OK) == (error.size == 0));
    if (err == OK && count <= ARRAY_COUNT(served)) {
        for (size_t i = 0; i < count; i++)
            served[i] = (struct served_zone){.key = &zones[i].key, .host = i % 3 == 2 ? "::1" : ""};
        err = server_blocks_check_overlap(served, count, &error);
        assert((err == OK) == (error.size == 0));
    }
    for (size_t i = 0; i < file->block_count; i++) {
        for (size_t j = 0; j < file->blocks[i].directive_count; j++)
            walk(file, &file->blocks[i].directives[j], &arena);
    }
    strbuf_fini(&error);
    arena_fini(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct core_file file;
    struct strbuf error = STRBUF_EMPTY;
    set_environment();
    char *text = malloc(size > 0 ? size : 1);
    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    if (memmem(text, size, "import", 6) != NULL) {
        for (size_t i = 0; i < size; i++)
            text[i] = text[i] == '/' ? '_' : text[i];
    }
    if (core_file_parse(&file, "/nonexistent/Corefile", text, size, known, &error) == OK) {
        inspect(&file);
        core_file_fini(&file);
    } else {
        assert(error.size > 0);
    }
    strbuf_fini(&error);
    free(text);
    return 0;
}
