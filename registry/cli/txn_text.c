#include "txn_text.h"

#include "flags.h"
#include "gotext.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The end of a "quoted" word with escapes, or NULL if it does not end. */
static const char *quoted_end(const char *at)
{
    for (at++; *at != '\0'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
        else if (*at == '"')
            return at + 1;
    }
    return NULL;
}

static enum err add_word(struct words *out, const char *text, size_t size)
{
    if (out->count == WORDS_MAX)
        return ERR_LIMIT;
    char *word = strndup(text, size);
    if (word == NULL)
        return ERR_NO_MEMORY;
    out->items[out->count++] = word;
    return OK;
}

static enum err add_quoted(struct words *out, const char *at, struct strbuf *why)
{
    struct strbuf text = STRBUF_EMPTY;
    size_t used;
    enum err error = go_unquote(&text, at, &used);
    if (error != OK)
        strbuf_add_str(why, "invalid syntax");
    else if (memchr(strbuf_str(&text), '\0', text.size) != NULL)
        error = ERR_MALFORMED, strbuf_add_str(why, "a NUL byte is not supported here");
    else
        error = add_word(out, strbuf_str(&text), text.size);
    strbuf_fini(&text);
    return error;
}

enum err words_split(struct words *out, const char *line, struct strbuf *why)
{
    enum err error = OK;
    out->count = 0;
    while (*line != '\0' && error == OK) {
        const char *end;
        if (is_space(*line)) {
            line++;
        } else if (*line == '"') {
            end = quoted_end(line);
            if (end != NULL)
                error = add_quoted(out, line, why);
            line = end != NULL ? end : line + 1; /* a lone quote is skipped, as etcdctl does */
        } else if (*line == '\'') {
            end = strchr(line + 1, '\'');
            if (end != NULL)
                error = add_word(out, line + 1, (size_t)(end - line - 1));
            line = end != NULL ? end + 1 : line + 1;
        } else {
            for (end = line + 1; *end != '\0' && !is_space(*end); end++)
                ;
            error = add_word(out, line, (size_t)(end - line));
            line = end;
        }
    }
    if (error != OK)
        words_fini(out);
    return error;
}

void words_fini(struct words *words)
{
    for (size_t i = 0; i < words->count; i++)
        free(words->items[i]);
    words->count = 0;
}

static const char *skip_space(const char *at)
{
    while (is_space(*at))
        at++;
    return at;
}

static bool read_target(struct compare_text *out, const char *name, size_t size)
{
    static const struct {
        const char *name;
        enum compare_target target;
    } targets[] = {
        {"ver", COMPARE_VERSION},   {"version", COMPARE_VERSION}, {"c", COMPARE_CREATE},
        {"create", COMPARE_CREATE}, {"m", COMPARE_MOD},           {"mod", COMPARE_MOD},
        {"val", COMPARE_VALUE},     {"value", COMPARE_VALUE},     {"lease", COMPARE_LEASE}};
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        if (strlen(targets[i].name) == size && memcmp(targets[i].name, name, size) == 0) {
            out->target = targets[i].target;
            return true;
        }
    }
    return false;
}

static bool read_result(struct compare_text *out, const char *text, size_t size)
{
    static const char *const results[] = {"=", ">", "<", "!="};
    for (size_t i = 0; i < ARRAY_COUNT(results); i++) {
        if (strlen(results[i]) == size && memcmp(results[i], text, size) == 0) {
            out->result = (int)i;
            return true;
        }
    }
    return false;
}

/* Go's Sscanf("%q) %s %q") behind the parenthesis. */
static bool read_operands(struct compare_text *out, const char *at, const char **result,
                          size_t *result_size)
{
    size_t used;
    if (go_unquote(&out->key, skip_space(at), &used) != OK)
        return false;
    at = skip_space(at) + used;
    if (*at != ')')
        return false;
    at = skip_space(at + 1);
    *result = at;
    while (*at != '\0' && !is_space(*at))
        at++;
    *result_size = (size_t)(at - *result);
    return *result_size > 0 && go_unquote(&out->value, skip_space(at), &used) == OK;
}

static enum err read_compare(struct compare_text *out, const char *line, struct strbuf *why)
{
    const char *open = strchr(line, '('), *result;
    size_t result_size;
    if (open == NULL || !read_operands(out, open + 1, &result, &result_size)) {
        strbuf_add_format(why, "malformed comparison: %s", line);
        return ERR_MALFORMED;
    }
    if (!read_target(out, line, (size_t)(open - line))) {
        strbuf_add_format(why, "malformed comparison: %s (unknown target %.*s)", line,
                          (int)(open - line), line);
        return ERR_MALFORMED;
    }
    if (!read_result(out, result, result_size)) {
        strbuf_add_format(why, "malformed comparison: %s (unknown operator %.*s)", line,
                          (int)result_size, result);
        return ERR_MALFORMED;
    }
    struct strbuf ignored = STRBUF_EMPTY;
    int base = out->target == COMPARE_LEASE ? 16 : 10;
    enum err error = OK;
    if (out->target != COMPARE_VALUE)
        error = int64_parse(&out->number, strbuf_str(&out->value), base, &ignored);
    if (error != OK)
        strbuf_add_format(why, "invalid txn compare request: %s", line);
    strbuf_fini(&ignored);
    return error == OK ? OK : ERR_MALFORMED;
}

enum err compare_parse(struct compare_text *out, const char *line, struct strbuf *why)
{
    *out = (struct compare_text){0};
    enum err error = read_compare(out, line, why);
    if (error == OK && (out->key.failed || out->value.failed))
        error = ERR_NO_MEMORY;
    if (error != OK)
        compare_fini(out);
    return error;
}

void compare_fini(struct compare_text *compare)
{
    strbuf_fini(&compare->key);
    strbuf_fini(&compare->value);
}
