/* Renders a parsed Corefile as text, so that a test can compare it with one string:
 * "[key key] name: file:line:text ... / name: ...", or the error message. */
#ifndef WARREN_TESTS_PARSE_TEXT_H
#define WARREN_TESTS_PARSE_TEXT_H

#include "dnsd/corefile/corefile.h"

#include <string.h>

static bool test_directive_known(const char *name)
{
    static const char *const names[] = {"errors", "log", "whoami", "cache"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

static void render_block(const struct core_block *block, const char *name, struct strbuf *out)
{
    for (size_t i = 0; i < block->key_count; i++)
        strbuf_add_format(out, "%s%s", i > 0 ? " " : "[", block->keys[i]);
    strbuf_add_str(out, "]");
    for (size_t i = 0; i < block->directive_count; i++) {
        const struct core_directive *d = &block->directives[i];
        strbuf_add_format(out, " %s:", d->name);
        for (size_t j = 0; j < d->token_count; j++) {
            const struct core_token *t = &d->tokens[j];
            const char *slash = strrchr(t->file, '/');
            if (strcmp(t->file, name) != 0)
                strbuf_add_format(out, " %s:%d:%s", slash != NULL ? slash + 1 : t->file, t->line,
                                  t->text);
            else
                strbuf_add_format(out, " %d:%s", t->line, t->text);
        }
    }
    strbuf_add_char(out, '\n');
}

static inline enum err parse_bytes(const char *text, size_t size, struct strbuf *out)
{
    struct core_file file;
    strbuf_clear(out);
    enum err err = core_file_parse(&file, "Corefile", text, size, test_directive_known, out);
    if (err != OK)
        return err;
    for (size_t i = 0; i < file.block_count; i++)
        render_block(&file.blocks[i], file.name, out);
    core_file_fini(&file);
    return OK;
}

/* What TEXT parses to, or its error message. Valid until the next call. */
static inline const char *parsed(const char *text)
{
    static struct strbuf out;
    (void)parse_bytes(text, strlen(text), &out);
    return strbuf_str(&out);
}

#endif
