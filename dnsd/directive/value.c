#include "dnsd/directive/value.h"

#include "dnsd/gotext.h"

#include <time.h>

enum err setup_fail(struct setup *s, const char *name, enum err error, struct strbuf *why)
{
    strbuf_add_format(s->error, "plugin/%s: %s", name,
                      why->size > 0 ? strbuf_str(why) : err_text(error));
    strbuf_fini(why);
    return error;
}

enum err setup_add_handler(struct setup *s, const char *name, struct handler *handler)
{
    struct strbuf why = STRBUF_EMPTY;
    enum err err = handler != NULL ? setup_take_handler(s, handler) : ERR_NO_MEMORY;
    if (err == OK)
        return OK;
    if (handler != NULL)
        handler->destroy(handler);
    return setup_fail(s, name, err, &why);
}

enum err setup_once_error(struct strbuf *why)
{
    strbuf_add_str(why, "this plugin can only be used once per Server Block");
    return ERR_INVALID;
}

enum err setup_args_read(struct setup *s, struct setup_args *out)
{
    return core_remaining_args(&s->cursor, s->arena, &out->items, &out->count);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static enum err int_error(const char *text, const char *what, struct strbuf *why)
{
    strbuf_add_str(why, "strconv.Atoi: parsing ");
    quote_add(why, text);
    strbuf_add_format(why, ": %s", what);
    return ERR_MALFORMED;
}

enum err int_parse(int64_t *out, const char *text, struct strbuf *why)
{
    const char *at = text;
    bool negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    if (*at == '\0')
        return int_error(text, "invalid syntax", why);
    uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
    uint64_t value = 0;
    bool in_range = true;
    for (; *at != '\0'; at++) {
        if (!is_digit(*at))
            return int_error(text, "invalid syntax", why);
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (limit - digit) / 10)
            in_range = false;
        else
            value = value * 10 + digit;
    }
    if (!in_range)
        return int_error(text, "value out of range", why);
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return OK;
}

enum err duration_arg_parse(int64_t *out, const char *text, struct strbuf *why)
{
    struct strbuf full = STRBUF_EMPTY;
    struct strbuf ignored = STRBUF_EMPTY;
    int64_t number;
    strbuf_add_str(&full, text);
    if (int_parse(&number, text, &ignored) == OK)
        strbuf_add_char(&full, 's');
    enum err err = full.failed ? ERR_NO_MEMORY : duration_parse(strbuf_str(&full), out, &ignored);
    if (err == ERR_MALFORMED)
        strbuf_add_format(why, "failed to parse duration '%s'", strbuf_str(&full));
    strbuf_fini(&full);
    strbuf_fini(&ignored);
    return err;
}

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * DURATION_SECOND + now.tv_nsec;
}
