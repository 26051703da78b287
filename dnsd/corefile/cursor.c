#include "dnsd/corefile/corefile.h"

#include <stdarg.h>
#include <string.h>

void core_cursor_init(struct core_cursor *c, const char *file, const struct core_directive *d)
{
    *c = (struct core_cursor){
        .file = file,
        .tokens = d->tokens,
        .count = d->token_count,
        .at = -1,
    };
}

static bool has_token(const struct core_cursor *c)
{
    return c->at >= 0 && (size_t)c->at < c->count;
}

static bool has_next(const struct core_cursor *c)
{
    return c->at + 1 < (ptrdiff_t)c->count;
}

/* How many lines TOKEN ends below the one it starts on (a quoted token may hold newlines). */
static int line_breaks(const struct core_token *token)
{
    int n = 0;
    for (const char *s = token->text; (s = strchr(s, '\n')) != NULL; s++)
        n++;
    return n;
}

static bool same_file(const struct core_token *a, const struct core_token *b)
{
    return a->file == b->file || strcmp(a->file, b->file) == 0;
}

bool core_next(struct core_cursor *c)
{
    if (!has_next(c))
        return false;
    c->at++;
    return true;
}

/* Before the first token the move always succeeds, even without tokens: callers then see "". */
bool core_next_arg(struct core_cursor *c)
{
    if (c->at < 0) {
        c->at++;
        return true;
    }
    if (!has_next(c))
        return false;
    const struct core_token *now = &c->tokens[c->at], *next = now + 1;
    if (!same_file(now, next) || now->line + line_breaks(now) != next->line)
        return false;
    c->at++;
    return true;
}

bool core_next_line(struct core_cursor *c)
{
    if (c->at < 0) {
        c->at++;
        return true;
    }
    if (!has_next(c))
        return false;
    const struct core_token *now = &c->tokens[c->at], *next = now + 1;
    if (same_file(now, next) && now->line + line_breaks(now) >= next->line)
        return false;
    c->at++;
    return true;
}

bool core_next_block(struct core_cursor *c)
{
    if (c->nesting > 0) {
        /* Only a brace from an environment variable can be left open; CoreDNS then never ends. */
        bool more = core_next(c);
        if (more && strcmp(core_val(c), "}") != 0)
            return true;
        c->nesting--;
        return false;
    }
    if (!core_next_arg(c)) /* a block opens on the directive's own line */
        return false;
    if (strcmp(core_val(c), "{") != 0) {
        c->at--;
        return false;
    }
    (void)core_next(c);
    if (strcmp(core_val(c), "}") == 0)
        return false;
    c->nesting++;
    return true;
}

const char *core_val(const struct core_cursor *c)
{
    return has_token(c) ? c->tokens[c->at].text : "";
}

int core_line(const struct core_cursor *c)
{
    return has_token(c) ? c->tokens[c->at].line : 0;
}

const char *core_file_name(const struct core_cursor *c)
{
    return has_token(c) ? c->tokens[c->at].file : c->file;
}

/* Moves over the arguments up to the end of the line or an opening brace; gives their number. */
static size_t skip_args(struct core_cursor *c)
{
    size_t count = 0;
    while (core_next_arg(c)) {
        if (strcmp(core_val(c), "{") == 0) {
            c->at--;
            break;
        }
        count++;
    }
    return count;
}

enum err core_remaining_args(struct core_cursor *c, struct arena *arena, const char ***args,
                             size_t *count)
{
    struct core_cursor end = *c;
    size_t n = skip_args(&end);
    const char **list = arena_array(arena, n, sizeof(*list));
    if (list == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        (void)core_next_arg(c);
        list[i] = core_val(c);
    }
    *c = end;
    *args = list;
    *count = n;
    return OK;
}

enum err core_arg_error(const struct core_cursor *c, struct strbuf *error)
{
    if (strcmp(core_val(c), "{") == 0)
        return core_error(c, error, "Unexpected token '{', expecting argument");
    return core_error(c, error, "Wrong argument count or unexpected line ending after '%s'",
                      core_val(c));
}

enum err core_syntax_error(const struct core_cursor *c, const char *expected, struct strbuf *error)
{
    strbuf_add_format(error, "%s:%d - Syntax error: Unexpected token '%s', expecting '%s'",
                      core_file_name(c), core_line(c), core_val(c), expected);
    return ERR_INVALID;
}

enum err core_eof_error(const struct core_cursor *c, struct strbuf *error)
{
    return core_error(c, error, "Unexpected EOF");
}

enum err core_error(const struct core_cursor *c, struct strbuf *error, const char *format, ...)
{
    strbuf_add_format(error, "%s:%d - Error during parsing: ", core_file_name(c), core_line(c));
    va_list args;
    va_start(args, format);
    strbuf_add_format_args(error, format, args);
    va_end(args);
    return ERR_INVALID;
}
