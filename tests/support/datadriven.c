#include "tests/support/datadriven.h"

#include "base/strbuf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ARENA_LIMIT = 64 << 20,
    MAX_BLOCKS = 4096,
    MAX_ARGS = 32,
    MAX_VALUES = 128
};

static char *copy(struct dd_file *f, const char *text, size_t size)
{
    char *out = arena_alloc(&f->arena, size + 1);
    assert(out != NULL);
    memcpy(out, text, size);
    out[size] = '\0';
    return out;
}

static char *read_all(const char *path)
{
    struct strbuf text = STRBUF_EMPTY;
    char chunk[8192];
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return NULL;
    for (size_t n; (n = fread(chunk, 1, sizeof(chunk), in)) > 0;)
        strbuf_add(&text, chunk, n);
    fclose(in);
    return strbuf_take(&text);
}

/* --- the command line ------------------------------------------------------------------------- */

static void add_value(struct dd_file *f, struct dd_arg *arg, const char *text, size_t size)
{
    assert(arg->value_count < MAX_VALUES);
    arg->values[arg->value_count++] = copy(f, text, size);
}

/* What follows "key=", up to the end of the argument. */
static const char *parse_values(struct dd_file *f, struct dd_arg *arg, const char *at)
{
    arg->values = arena_array(&f->arena, MAX_VALUES, sizeof(*arg->values));
    assert(arg->values != NULL);
    if (*at != '(') {
        size_t size = strcspn(at, " ");
        add_value(f, arg, at, size);
        return at + size;
    }
    for (at++; *at != ')';) {
        at += strspn(at, " ,");
        size_t size = strcspn(at, " ,)");
        if (size > 0)
            add_value(f, arg, at, size);
        at += size;
        assert(*at != '\0');
    }
    return at + 1;
}

static void parse_command(struct dd_file *f, struct dd_block *b, const char *line)
{
    size_t size = strcspn(line, " ");
    b->command = copy(f, line, size);
    b->args = arena_array(&f->arena, MAX_ARGS, sizeof(*b->args));
    assert(b->args != NULL);
    for (const char *at = line + size; *(at += strspn(at, " ")) != '\0';) {
        struct dd_arg *arg = &b->args[b->arg_count++];
        assert(b->arg_count <= MAX_ARGS);
        size = strcspn(at, " =");
        *arg = (struct dd_arg){.key = copy(f, at, size)};
        at += size;
        if (*at == '=')
            at = parse_values(f, arg, at + 1);
    }
}

/* --- blocks ----------------------------------------------------------------------------------- */

struct lines {
    char *rest; /* NULL at the end */
    unsigned number;
};

/* The next line without its end; NULL at the end of the file. */
static char *next_line(struct lines *l)
{
    if (l->rest == NULL || *l->rest == '\0')
        return NULL;
    char *line = l->rest;
    char *end = strchr(line, '\n');
    l->rest = end != NULL ? end + 1 : NULL;
    if (end != NULL)
        *end = '\0';
    l->number++;
    return line;
}

static bool is_separator(const char *line)
{
    return line != NULL && strcmp(line, "----") == 0;
}

static const char *read_input(struct dd_file *f, struct lines *l)
{
    struct strbuf input = STRBUF_EMPTY;
    char *line;
    while ((line = next_line(l)) != NULL && !is_separator(line)) {
        strbuf_add_str(&input, line);
        strbuf_add_char(&input, '\n');
    }
    const char *out = copy(f, strbuf_str(&input), input.size);
    strbuf_fini(&input);
    return out;
}

static const char *read_expected(struct dd_file *f, struct lines *l)
{
    struct strbuf text = STRBUF_EMPTY;
    char *line = next_line(l);
    bool is_double = is_separator(line);
    if (is_double)
        line = next_line(l);
    for (; line != NULL && (is_double || *line != '\0'); line = next_line(l)) {
        if (is_double && is_separator(line) && l->rest != NULL &&
            strncmp(l->rest, "----", strlen("----")) == 0) {
            (void)next_line(l);
            break;
        }
        strbuf_add_str(&text, line);
        strbuf_add_char(&text, '\n');
    }
    const char *out = copy(f, strbuf_str(&text), text.size);
    strbuf_fini(&text);
    return out;
}

bool dd_load(struct dd_file *out, const char *path)
{
    char *text = read_all(path);
    if (text == NULL)
        return false;
    struct dd_file f = {0};
    arena_init(&f.arena, ARENA_LIMIT);
    f.blocks = arena_array(&f.arena, MAX_BLOCKS, sizeof(*f.blocks));
    assert(f.blocks != NULL);
    struct lines l = {.rest = text};
    for (char *line; (line = next_line(&l)) != NULL;) {
        if (*line == '\0' || *line == '#')
            continue;
        assert(f.block_count < MAX_BLOCKS);
        struct dd_block *b = &f.blocks[f.block_count++];
        *b = (struct dd_block){.line = l.number};
        parse_command(&f, b, line);
        b->input = read_input(&f, &l);
        b->expected = read_expected(&f, &l);
    }
    free(text);
    *out = f;
    return true;
}

void dd_fini(struct dd_file *f)
{
    arena_fini(&f->arena);
    *f = (struct dd_file){0};
}

const struct dd_arg *dd_arg(const struct dd_block *b, const char *key)
{
    for (size_t i = 0; i < b->arg_count; i++) {
        if (strcmp(b->args[i].key, key) == 0)
            return &b->args[i];
    }
    return NULL;
}

bool dd_shared_path(const char *source, const char *name, char *out, size_t size)
{
    const char *shared = getenv("WARREN_SHARED");
    if (shared != NULL)
        snprintf(out, size, "%s/%s", shared, name);
    else
        snprintf(out, size, "%s/../shared/%s", source, name);
    return access(out, R_OK) == 0;
}
