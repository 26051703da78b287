#include "dnsd/corefile/env.h"

#include "base/strbuf.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* How one kind of reference is written. */
struct reference {
    const char *start;
    const char *end;
};

/* Go keeps variables by the text before their first '=', so a name with one in it is never set. */
static const char *lookup(const char *name)
{
    const char *value = strchr(name, '=') == NULL ? getenv(name) : NULL;
    return value != NULL ? value : "";
}

/* The first WHAT between TEXT and END, or NULL. */
static const char *find(const char *text, const char *end, const char *what)
{
    size_t size = strlen(what);
    while ((text = memchr(text, what[0], (size_t)(end - text))) != NULL) {
        if ((size_t)(end - text) < size)
            return NULL;
        if (memcmp(text, what, size) == 0)
            return text;
        text++;
    }
    return NULL;
}

/* Appends what is between TEXT and END to OUT, with every WHAT replaced by VALUE; stops early once
 * OUT is larger than any expansion may get. */
static void replace_all(struct strbuf *out, const char *text, const char *end, const char *what,
                        const char *value)
{
    size_t size = strlen(what);
    for (const char *hit; (hit = find(text, end, what)) != NULL; text = hit + size) {
        if (out->size > ENV_MAX_WORK)
            return;
        strbuf_add(out, text, (size_t)(hit - text));
        strbuf_add_str(out, value);
    }
    strbuf_add(out, text, (size_t)(end - text));
}

/* Replaces the first reference in S wherever its text occurs; CHANGED says whether there was one.
 * A reference without an end, or without a name, stops the search for good, as in CoreDNS. */
static enum err replace_first(struct strbuf *s, const struct reference *kind, size_t *work,
                              bool *changed)
{
    *changed = false;
    const char *text = strbuf_str(s), *limit = text + s->size;
    size_t mark_size = strlen(kind->start);
    const char *start = find(text, limit, kind->start);
    const char *end = start != NULL ? find(start, limit, kind->end) : NULL;
    if (end == NULL || end <= start + mark_size)
        return OK;
    char *what = strndup(start, (size_t)(end - start) + strlen(kind->end));
    char *name = strndup(start + mark_size, (size_t)(end - start) - mark_size);
    struct strbuf next = STRBUF_EMPTY;
    if (what != NULL && name != NULL)
        replace_all(&next, text, limit, what, lookup(name));
    enum err err = what == NULL || name == NULL || next.failed ? ERR_NO_MEMORY : OK;
    free(what);
    free(name);
    *work += s->size + next.size;
    if (err == OK && *work > ENV_MAX_WORK)
        err = ERR_LIMIT;
    if (err != OK) {
        strbuf_fini(&next);
        return err;
    }
    strbuf_fini(s);
    *s = next;
    *changed = true;
    return OK;
}

static enum err replace_kind(struct strbuf *s, const struct reference *kind, size_t *work)
{
    enum err err = OK;
    for (bool changed = true; err == OK && changed;)
        err = replace_first(s, kind, work, &changed);
    return err;
}

enum err env_expand(const char *text, struct arena *arena, size_t *work, const char **out)
{
    static const struct reference kinds[] = {{"{%", "%}"}, {"{$", "}"}};
    if (strstr(text, "{%") == NULL && strstr(text, "{$") == NULL) {
        *out = text;
        return OK;
    }
    struct strbuf s = STRBUF_EMPTY;
    strbuf_add_str(&s, text);
    enum err err = s.failed ? ERR_NO_MEMORY : OK;
    for (size_t i = 0; err == OK && i < ARRAY_COUNT(kinds); i++)
        err = replace_kind(&s, &kinds[i], work);
    if (err == OK) {
        const char *copy = arena_copy(arena, strbuf_str(&s), s.size + 1);
        if (copy != NULL)
            *out = copy;
        else
            err = ERR_NO_MEMORY;
    }
    strbuf_fini(&s);
    return err;
}
