/* Tokens to server blocks, with snippets, imports and environment variables expanded on the way.
 *
 * The token stream is a gap: `before` holds the tokens up to and including the current one, `after`
 * the rest in reverse. An import takes its two tokens away and puts the imported ones in `after`,
 * so it costs what it brings in and no more. The parser moves back by at most one token. */
#include "dnsd/corefile/corefile.h"
#include "dnsd/corefile/env.h"
#include "dnsd/corefile/import.h"
#include "dnsd/corefile/lexer.h"

#include "base/log.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* What one parsed Corefile may hold in memory, and what its imports may read in all. */
    MAX_MEMORY = 256 << 20,
    MAX_IMPORTED_SIZE = 4 * CORE_FILE_MAX_SIZE,
};

struct snippet {
    const char *name;
    const struct core_token *tokens;
    size_t count;
};

/* The tokens of one directive's lines, where they stand in `collected`. */
struct run {
    const char *name;
    size_t first;
    size_t count;
    size_t group; /* `first` of the first run with this name */
};

struct parser {
    struct arena *arena;
    core_known_fn *known;
    struct strbuf *error;

    struct token_list before;
    struct token_list after;
    bool past_end;             /* an import that brought nothing left us behind the last token */
    bool eof;                  /* the file ended behind keys: a block without a body */
    struct core_cursor cursor; /* at the current token; here() keeps it so */

    size_t token_count; /* brought in so far, in whatever way */
    size_t import_count;
    size_t imported_size;
    size_t env_work;
    void *snippets; /* a tree of tsearch */

    /* The server block being read. */
    const char **keys;
    size_t key_count, key_capacity;
    struct token_list collected;
    struct run *runs;
    size_t run_count, run_capacity;

    struct core_block *blocks;
    size_t block_count, block_capacity;
};

/* ITEMS with room for one more item of SIZE, or NULL. */
static void *grown(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity == 0 ? 8 : 2 * *capacity;
    void *more = reallocarray(items, wanted, size);
    if (more != NULL)
        *capacity = wanted;
    return more;
}

/* ERR is core_error's: the message is about a bound of ours rather than about the Corefile. */
static enum err as_limit(enum err err)
{
    return err == ERR_INVALID ? ERR_LIMIT : err;
}

/* The stream. */

static const struct core_cursor *here(struct parser *p)
{
    p->cursor.tokens = p->before.items;
    p->cursor.count = p->before.count;
    p->cursor.at = (ptrdiff_t)p->before.count - (p->past_end ? 0 : 1);
    return &p->cursor;
}

static bool val_is(struct parser *p, const char *text)
{
    return strcmp(core_val(here(p)), text) == 0;
}

static bool advance(struct parser *p)
{
    if (p->after.count == 0)
        return false;
    assert(p->before.count < p->before.capacity);
    p->before.items[p->before.count++] = p->after.items[--p->after.count];
    return true;
}

/* One token back. Before the first token there is nothing to go back over. */
static void retreat(struct parser *p)
{
    if (p->past_end) {
        p->past_end = false;
        return;
    }
    assert(p->before.count > 0 && p->after.count < p->after.capacity);
    p->after.items[p->after.count++] = p->before.items[--p->before.count];
}

/* Moves to the next token if it is on the current one's line. */
static bool advance_on_line(struct parser *p)
{
    struct core_token pair[2];
    if (p->past_end || p->before.count == 0 || p->after.count == 0)
        return false;
    pair[0] = p->before.items[p->before.count - 1];
    pair[1] = p->after.items[p->after.count - 1];
    struct core_cursor c = {.tokens = pair, .count = 2, .at = 0};
    return core_next_arg(&c) && advance(p);
}

/* Whether the current token is on a lower line, or in another file, than the one before it. */
static bool is_new_line(struct parser *p)
{
    if (p->past_end)
        return false;
    if (p->before.count < 2)
        return true;
    struct core_cursor c = {
        .tokens = p->before.items, .count = p->before.count, .at = (ptrdiff_t)p->before.count - 2};
    return core_next_line(&c);
}

/* Makes TOKENS the next ones of the stream. */
static enum err bring_in(struct parser *p, const struct core_token *tokens, size_t count)
{
    p->token_count += count;
    if (p->token_count > CORE_FILE_MAX_TOKENS)
        return as_limit(core_error(here(p), p->error, "more than %d tokens", CORE_FILE_MAX_TOKENS));
    size_t live = p->before.count + p->after.count + count;
    enum err err = token_list_reserve(&p->before, live);
    if (err == OK)
        err = token_list_reserve(&p->after, live);
    for (size_t i = count; err == OK && i > 0; i--)
        p->after.items[p->after.count++] = tokens[i - 1];
    return err;
}

/* TEXT with environment variables replaced. */
static enum err expand(struct parser *p, const char *text, const char **out)
{
    enum err err = env_expand(text, p->arena, &p->env_work, out);
    if (err == ERR_LIMIT)
        return as_limit(core_error(here(p), p->error, "environment variables expand without end"));
    return err;
}

/* Imports. */

static int compare_snippets(const void *a, const void *b)
{
    return strcmp(((const struct snippet *)a)->name, ((const struct snippet *)b)->name);
}

static const struct snippet *find_snippet(struct parser *p, const char *name)
{
    struct snippet wanted = {.name = name};
    const void *const *node = tfind(&wanted, &p->snippets, compare_snippets);
    return node != NULL ? *node : NULL;
}

static enum err count_import(struct parser *p)
{
    if (p->import_count++ < CORE_FILE_MAX_IMPORTS)
        return OK;
    return as_limit(core_error(here(p), p->error, "more than %d imports", CORE_FILE_MAX_IMPORTS));
}

/* Adds the tokens of the file at PATH to OUT. */
static enum err import_file(struct parser *p, const char *path, struct token_list *out)
{
    struct strbuf content = STRBUF_EMPTY, reason = STRBUF_EMPTY;
    char *name = NULL;
    enum err err = count_import(p);
    if (err == OK)
        err = path_absolute(path, p->arena, &name);
    if (err == OK) {
        err = path_read(path, CORE_FILE_MAX_SIZE, &content, &reason);
        if (err == ERR_IO || err == ERR_LIMIT)
            err =
                core_error(here(p), p->error, "Could not import %s: %s", path, strbuf_str(&reason));
    }
    p->imported_size += content.size;
    if (err == OK && p->imported_size > MAX_IMPORTED_SIZE)
        err = as_limit(
            core_error(here(p), p->error, "imports of more than %d bytes", MAX_IMPORTED_SIZE));
    if (err == OK)
        err = core_lex(strbuf_str(&content), content.size, name, p->arena, out, p->error);
    strbuf_fini(&content);
    strbuf_fini(&reason);
    return err;
}

static size_t count_char(const char *text, char c)
{
    size_t n = 0;
    for (; (text = strchr(text, c)) != NULL; text++)
        n++;
    return n;
}

/* The files that PATTERN names, seen from the file of the current token. */
static enum err find_files(struct parser *p, const char *pattern, struct path_list *files)
{
    char *from, *glob;
    enum err err = path_absolute(core_file_name(here(p)), p->arena, &from);
    if (err == OK)
        err = path_relative_to(from, pattern, p->arena, &glob);
    if (err != OK)
        return err;
    if (count_char(glob, '*') > 1 || count_char(glob, '?') > 1 ||
        (strchr(glob, '[') != NULL && strchr(glob, ']') != NULL))
        return core_error(here(p), p->error,
                          "Glob pattern may only contain one wildcard (*), but has others: %s",
                          glob);
    err = path_glob(glob, p->arena, files);
    if (err == ERR_MALFORMED)
        return core_error(here(p), p->error,
                          "Failed to use import pattern %s: syntax error in pattern", pattern);
    if (err == ERR_LIMIT)
        return as_limit(core_error(here(p), p->error, "more than %d files match %s",
                                   CORE_FILE_MAX_IMPORTS, pattern));
    if (err != OK || files->count > 0)
        return err;
    if (strpbrk(glob, "*?[]") == NULL)
        return core_error(here(p), p->error, "File to import not found: %s", pattern);
    log_line(LOG_WARNING, "No files matching import glob pattern: %s", pattern);
    return OK;
}

static enum err import_files(struct parser *p, const char *pattern, struct token_list *out)
{
    struct path_list files = {0};
    enum err err = find_files(p, pattern, &files);
    for (size_t i = 0; err == OK && i < files.count; i++)
        err = import_file(p, files.items[i], out);
    return err;
}

/* Puts what "import PATTERN" names in its place. Starts on the word `import`, ends on the first
 * token behind what was there before: the first imported one, else the one after the import. */
static enum err import(struct parser *p)
{
    if (!advance_on_line(p))
        return core_arg_error(here(p), p->error);
    const char *pattern;
    enum err err = expand(p, core_val(here(p)), &pattern);
    if (err != OK)
        return err;
    if (pattern[0] == '\0')
        return core_error(here(p), p->error, "Import requires a non-empty filepath");
    if (advance_on_line(p))
        return core_error(here(p), p->error,
                          "Import takes only one argument (glob pattern or file)");
    const struct snippet *snippet = find_snippet(p, pattern);
    struct token_list files = {0};
    if (snippet != NULL)
        err = count_import(p);
    else
        err = import_files(p, pattern, &files);
    if (err == OK) {
        p->before.count -= 2;
        err = snippet != NULL ? bring_in(p, snippet->tokens, snippet->count)
                              : bring_in(p, files.items, files.count);
    }
    token_list_fini(&files);
    if (err == OK && !advance(p))
        p->past_end = true;
    return err;
}

/* Keys. */

static enum err add_key(struct parser *p, const char *key)
{
    const char **keys = grown(p->keys, p->key_count, &p->key_capacity, sizeof(*keys));
    if (keys == NULL)
        return ERR_NO_MEMORY;
    p->keys = keys;
    p->keys[p->key_count++] = key;
    return OK;
}

/* Adds KEY to the block, without the comma that says that another one follows. */
static enum err take_key(struct parser *p, const char *key, bool *expect_another)
{
    size_t size = strlen(key);
    if (size == 0)
        return OK;
    *expect_another = key[size - 1] == ',';
    if (!*expect_another)
        return add_key(p, key);
    char *copy = arena_copy(p->arena, key, size);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    copy[size - 1] = '\0';
    return add_key(p, copy);
}

/* Reads keys up to an opening brace or the end of the line; ends on what follows them. */
static enum err parse_keys(struct parser *p)
{
    bool expect_another = false;
    for (;;) {
        const char *key;
        enum err err = expand(p, core_val(here(p)), &key);
        if (err != OK)
            return err;
        if (strcmp(key, "import") == 0 && is_new_line(p)) {
            err = import(p);
            if (err != OK)
                return err;
            continue;
        }
        if (strcmp(key, "{") == 0) {
            if (!expect_another)
                return OK;
            return core_error(here(p), p->error,
                              "Expected another address but had '%s' - check for extra comma", key);
        }
        err = take_key(p, key, &expect_another);
        if (err != OK)
            return err;
        if (!advance(p)) {
            if (expect_another)
                return core_eof_error(here(p), p->error);
            p->eof = true;
            return OK;
        }
        if (!expect_another && is_new_line(p))
            return OK;
    }
}

/* Snippets. */

/* Whether the keys are a snippet's: "(name)" alone. */
static bool is_snippet(const struct parser *p)
{
    if (p->key_count != 1)
        return false;
    size_t size = strlen(p->keys[0]);
    return size >= 2 && p->keys[0][0] == '(' && p->keys[0][size - 1] == ')';
}

static enum err add_snippet(struct parser *p, const char *name, const struct token_list *tokens)
{
    struct snippet *s = arena_alloc(p->arena, sizeof(*s));
    struct core_token *copy = arena_array(p->arena, tokens->count, sizeof(*copy));
    if (s == NULL || copy == NULL)
        return ERR_NO_MEMORY;
    if (tokens->count > 0)
        memcpy(copy, tokens->items, tokens->count * sizeof(*copy));
    *s = (struct snippet){.name = name, .tokens = copy, .count = tokens->count};
    return tsearch(s, &p->snippets, compare_snippets) != NULL ? OK : ERR_NO_MEMORY;
}

/* The tokens between the braces, as they are: they are read where the snippet is imported. */
static enum err read_snippet(struct parser *p, struct token_list *tokens)
{
    if (!val_is(p, "{"))
        return core_syntax_error(here(p), "{", p->error);
    size_t depth = 1;
    while (advance(p)) {
        if (val_is(p, "}") && --depth == 0)
            return OK;
        if (val_is(p, "{"))
            depth++;
        enum err err = token_list_add(tokens, p->before.items[p->before.count - 1]);
        if (err != OK)
            return err;
    }
    return core_syntax_error(here(p), "}", p->error);
}

static enum err parse_snippet(struct parser *p)
{
    size_t size = strlen(p->keys[0]) - 2;
    char *name = arena_copy(p->arena, p->keys[0] + 1, size + 1);
    if (name == NULL)
        return ERR_NO_MEMORY;
    name[size] = '\0';
    if (find_snippet(p, name) != NULL)
        return core_error(here(p), p->error, "redeclaration of previously declared snippet %s",
                          name);
    struct token_list tokens = {0};
    enum err err = read_snippet(p, &tokens);
    if (err == OK)
        err = add_snippet(p, name, &tokens);
    token_list_fini(&tokens);
    return err;
}

/* Directives. */

static enum err collect(struct parser *p)
{
    enum err err = token_list_add(&p->collected, p->before.items[p->before.count - 1]);
    if (err == OK)
        p->runs[p->run_count - 1].count++;
    return err;
}

static enum err start_run(struct parser *p, const char *name)
{
    struct run *runs = grown(p->runs, p->run_count, &p->run_capacity, sizeof(*runs));
    if (runs == NULL)
        return ERR_NO_MEMORY;
    p->runs = runs;
    p->runs[p->run_count++] = (struct run){.name = name, .first = p->collected.count};
    return collect(p);
}

/* Takes the current token, with its variables replaced, into the directive. */
static enum err collect_argument(struct parser *p)
{
    struct core_token *token = &p->before.items[p->before.count - 1];
    const char *text;
    enum err err = expand(p, token->text, &text);
    if (err != OK)
        return err;
    token->text = text;
    return collect(p);
}

/* The rest of a directive: its line, and lines in braces that open on it. NESTING counts the open
 * ones. *DONE says that the current token is the next line's, and was given back. */
static enum err parse_argument(struct parser *p, size_t *nesting, bool *done)
{
    if (val_is(p, "{")) {
        ++*nesting;
    } else if (is_new_line(p) && *nesting == 0) {
        retreat(p);
        *done = true;
        return OK;
    } else if (val_is(p, "}") && *nesting > 0) {
        --*nesting;
    } else if (val_is(p, "}")) {
        return core_error(here(p), p->error, "Unexpected '}' because no matching opening brace");
    } else if (val_is(p, "import") && is_new_line(p)) {
        enum err err = import(p);
        if (err == OK)
            retreat(p);
        return err;
    }
    return collect_argument(p);
}

static enum err parse_directive(struct parser *p)
{
    const char *name;
    enum err err = expand(p, core_val(here(p)), &name);
    if (err != OK)
        return err;
    if (p->known != NULL && !p->known(name))
        return core_error(here(p), p->error, "Unknown directive '%s'", name);
    err = start_run(p, name);
    size_t nesting = 0;
    for (bool done = false; err == OK && !done && advance(p);)
        err = parse_argument(p, &nesting, &done);
    if (err == OK && nesting > 0)
        return core_eof_error(here(p), p->error);
    return err;
}

/* All directives up to a closing brace or the end. */
static enum err parse_directives(struct parser *p)
{
    while (advance(p)) {
        enum err err = OK;
        if (val_is(p, "}"))
            return OK;
        if (val_is(p, "import")) {
            err = import(p);
            if (err == OK)
                retreat(p);
        } else {
            err = parse_directive(p);
        }
        if (err != OK)
            return err;
    }
    return OK;
}

/* Blocks. */

static int compare_runs_by_name(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : (x->first > y->first) - (x->first < y->first);
}

static int compare_runs_by_group(const void *a, const void *b)
{
    const struct run *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

/* Brings the runs of one name together, names in order of their first run; gives the number of
 * names. */
static size_t group_runs(struct run *runs, size_t count)
{
    size_t names = 0;
    if (count == 0)
        return 0;
    qsort(runs, count, sizeof(*runs), compare_runs_by_name);
    for (size_t i = 0; i < count; i++) {
        bool same = i > 0 && strcmp(runs[i - 1].name, runs[i].name) == 0;
        runs[i].group = same ? runs[i - 1].group : runs[i].first;
        names += !same;
    }
    qsort(runs, count, sizeof(*runs), compare_runs_by_group);
    return names;
}

/* The collected lines as the block's directives, repeated ones merged. */
static enum err build_directives(struct parser *p, struct core_block *block)
{
    size_t count = group_runs(p->runs, p->run_count);
    struct core_directive *directives = arena_array(p->arena, count, sizeof(*directives));
    struct core_token *tokens = arena_array(p->arena, p->collected.count, sizeof(*tokens));
    if (directives == NULL || tokens == NULL)
        return ERR_NO_MEMORY;
    struct core_directive *d = directives;
    for (size_t i = 0; i < p->run_count; i++) {
        const struct run *run = &p->runs[i];
        if (i > 0 && run->group != run[-1].group)
            d++;
        if (i == 0 || run->group != run[-1].group)
            *d = (struct core_directive){.name = run->name, .tokens = tokens};
        memcpy(tokens, p->collected.items + run->first, run->count * sizeof(*tokens));
        tokens += run->count;
        d->token_count += run->count;
    }
    block->directives = directives;
    block->directive_count = count;
    return OK;
}

/* Adds the block just read, unless it has no keys: a snippet, or one that nothing can reach. */
static enum err take_block(struct parser *p)
{
    if (p->key_count == 0)
        return OK;
    struct core_block block = {.key_count = p->key_count};
    block.keys = arena_copy(p->arena, p->keys, p->key_count * sizeof(*p->keys));
    if (block.keys == NULL)
        return ERR_NO_MEMORY;
    enum err err = build_directives(p, &block);
    if (err != OK)
        return err;
    struct core_block *blocks =
        grown(p->blocks, p->block_count, &p->block_capacity, sizeof(*blocks));
    if (blocks == NULL)
        return ERR_NO_MEMORY;
    p->blocks = blocks;
    p->blocks[p->block_count++] = block;
    return OK;
}

/* Braces may be left out; without them the block goes to the end of the file. */
static enum err parse_body(struct parser *p)
{
    bool braces = val_is(p, "{");
    if (!braces)
        retreat(p);
    enum err err = parse_directives(p);
    if (err == OK && braces && !val_is(p, "}"))
        return core_syntax_error(here(p), "}", p->error);
    return err;
}

static enum err parse_block(struct parser *p)
{
    p->key_count = 0;
    p->collected.count = 0;
    p->run_count = 0;
    enum err err = parse_keys(p);
    if (err == OK && !p->eof) {
        if (is_snippet(p)) {
            err = parse_snippet(p);
            p->key_count = 0;
        } else {
            err = parse_body(p);
        }
    }
    return err == OK ? take_block(p) : err;
}

static enum err parse_all(struct parser *p, const char *text, size_t size)
{
    struct token_list tokens = {0};
    enum err err = OK;
    if (size > CORE_FILE_MAX_SIZE)
        err = as_limit(core_error(here(p), p->error, "larger than %d bytes", CORE_FILE_MAX_SIZE));
    if (err == OK)
        err = core_lex(text, size, p->cursor.file, p->arena, &tokens, p->error);
    if (err == OK)
        err = bring_in(p, tokens.items, tokens.count);
    token_list_fini(&tokens);
    while (err == OK && advance(p))
        err = parse_block(p);
    return err;
}

static void snippet_free(void *snippet)
{
    (void)snippet; /* the arena's */
}

static void parser_fini(struct parser *p)
{
    token_list_fini(&p->before);
    token_list_fini(&p->after);
    token_list_fini(&p->collected);
    tdestroy(p->snippets, snippet_free);
    free(p->keys);
    free(p->runs);
    free(p->blocks);
}

/* The parsed blocks as OUT's, which holds the arena and the name. */
static enum err take_blocks(struct parser *p, struct core_file *out)
{
    out->blocks = arena_array(&out->arena, p->block_count, sizeof(*out->blocks));
    if (out->blocks == NULL)
        return ERR_NO_MEMORY;
    if (p->block_count > 0)
        memcpy(out->blocks, p->blocks, p->block_count * sizeof(*out->blocks));
    out->block_count = p->block_count;
    return OK;
}

/* Every failure leaves a message, also those without one of CoreDNS's. */
static enum err describe(enum err err, const char *name, struct strbuf *error)
{
    if (err == ERR_INVALID)
        return ERR_MALFORMED;
    if (err != OK && error->size == 0)
        strbuf_add_format(error, "%s: %s", name, err_text(err));
    return err;
}

enum err core_file_parse(struct core_file *out, const char *name, const char *text, size_t size,
                         core_known_fn *known, struct strbuf *error)
{
    struct core_file file = {0};
    strbuf_clear(error);
    arena_init(&file.arena, MAX_MEMORY);
    file.name = arena_copy(&file.arena, name, strlen(name) + 1);
    struct parser p = {.known = known, .error = error};
    p.arena = &file.arena;
    p.cursor.file = file.name;
    enum err err = file.name != NULL ? parse_all(&p, text, size) : ERR_NO_MEMORY;
    if (err == OK)
        err = take_blocks(&p, &file);
    parser_fini(&p);
    if (err == OK)
        *out = file;
    else
        arena_fini(&file.arena);
    return describe(err, name, error);
}

void core_file_fini(struct core_file *f)
{
    arena_fini(&f->arena);
    *f = (struct core_file){0};
}
