#include "base/strbuf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MIN_CAPACITY = 64
};

void strbuf_fini(struct strbuf *s)
{
    free(s->data);
    *s = STRBUF_EMPTY;
}

void strbuf_clear(struct strbuf *s)
{
    s->size = 0;
    s->failed = false;
    if (s->data)
        s->data[0] = '\0';
}

/* Room for SIZE more bytes and the NUL. */
static bool reserve(struct strbuf *s, size_t size)
{
    size_t capacity = s->capacity;

    if (s->failed)
        return false;
    if (size >= SIZE_MAX / 2 - s->size) {
        s->failed = true;
        return false;
    }
    if (s->size + size < capacity)
        return true;
    if (capacity < MIN_CAPACITY)
        capacity = MIN_CAPACITY;
    while (capacity <= s->size + size)
        capacity *= 2;
    char *data = realloc(s->data, capacity);
    if (!data) {
        s->failed = true;
        return false;
    }
    s->data = data;
    s->capacity = capacity;
    return true;
}

void strbuf_add(struct strbuf *s, const void *data, size_t size)
{
    if (!reserve(s, size))
        return;
    if (size > 0)
        memcpy(s->data + s->size, data, size);
    s->size += size;
    s->data[s->size] = '\0';
}

void strbuf_add_str(struct strbuf *s, const char *str)
{
    strbuf_add(s, str, strlen(str));
}

void strbuf_add_char(struct strbuf *s, char c)
{
    strbuf_add(s, &c, 1);
}

void strbuf_add_format(struct strbuf *s, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    strbuf_add_format_args(s, format, args);
    va_end(args);
}

void strbuf_add_format_args(struct strbuf *s, const char *format, va_list args)
{
    va_list again;

    if (!reserve(s, MIN_CAPACITY))
        return;
    va_copy(again, args);
    size_t room = s->capacity - s->size;
    int size = vsnprintf(s->data + s->size, room, format, args);
    if (size >= 0 && (size_t)size >= room && reserve(s, (size_t)size))
        size = vsnprintf(s->data + s->size, s->capacity - s->size, format, again);
    va_end(again);

    if (size < 0)
        s->failed = true;
    if (s->failed)
        s->data[s->size] = '\0'; /* a half-printed text is no content */
    else
        s->size += (size_t)size;
}

const char *strbuf_str(const struct strbuf *s)
{
    return s->data ? s->data : "";
}

char *strbuf_take(struct strbuf *s)
{
    char *data = NULL;

    strbuf_add(s, "", 0); /* an unused buffer gives "" of its own, not NULL */
    if (s->failed)
        free(s->data);
    else
        data = s->data;
    *s = (struct strbuf){.failed = s->failed};
    return data;
}
