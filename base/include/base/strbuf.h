/* A growing byte string, always NUL-terminated once anything was added.
 *
 * Sticky failure: after a failed allocation further adds do nothing and `failed` stays set, so a
 * caller checks once. */
#ifndef WARREN_BASE_STRBUF_H
#define WARREN_BASE_STRBUF_H

#include "base/attr.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct strbuf {
    char *data; /* NULL while empty and never used */
    size_t size;
    size_t capacity;
    bool failed;
};

#define STRBUF_EMPTY ((struct strbuf){0})

void strbuf_fini(struct strbuf *s);
/* Forgets the content and a failure, keeps the memory. */
void strbuf_clear(struct strbuf *s);
void strbuf_add(struct strbuf *s, const void *data, size_t size);
void strbuf_add_str(struct strbuf *s, const char *str);
void strbuf_add_char(struct strbuf *s, char c);
void strbuf_add_format(struct strbuf *s, const char *format, ...) PRINTF_LIKE(2, 3);
void strbuf_add_format_args(struct strbuf *s, const char *format, va_list args) PRINTF_LIKE(2, 0);
/* The content as a C string; "" while empty. Borrowed until the next change. */
const char *strbuf_str(const struct strbuf *s);
/* The content ("" if nothing was added) moves to the caller, who frees it with free(); NULL if
 * anything failed. Either way S holds no memory afterwards. */
char *strbuf_take(struct strbuf *s) MUST_CHECK;

#endif
