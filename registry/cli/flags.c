#include "flags.h"

#include "gotext.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void flag_list_fini(struct flag_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    list->count = 0;
}

static enum err list_add(struct flag_list *list, const char *text)
{
    for (;;) {
        size_t size = strcspn(text, ",");
        if (list->count == FLAG_MAX_LIST)
            return ERR_LIMIT;
        char *item = strndup(text, size);
        if (item == NULL)
            return ERR_NO_MEMORY;
        list->items[list->count++] = item;
        if (text[size] == '\0')
            return OK;
        text += size + 1;
    }
}

enum err int64_parse(int64_t *out, const char *text, int base, struct strbuf *why)
{
    const char *digits = text + (text[0] == '-' || text[0] == '+');
    const char *allowed = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
    const char *problem = NULL;
    if (*digits == '\0' || digits[strspn(digits, allowed)] != '\0') {
        problem = "invalid syntax";
    } else {
        errno = 0;
        long long value = strtoll(text, NULL, base);
        if (errno == ERANGE)
            problem = "value out of range";
        else
            *out = value;
    }
    if (problem == NULL)
        return OK;
    strbuf_add_str(why, "strconv.ParseInt: parsing ");
    go_quote(why, bytes_of_str(text));
    strbuf_add_format(why, ": %s", problem);
    return ERR_INVALID;
}

enum err duration_parse(int64_t *out_ms, const char *text)
{
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ns", 1e-6}, {"us", 1e-3}, {"µs", 1e-3}, {"ms", 1},
                 {"s", 1e3},   {"m", 6e4},   {"h", 3.6e6}};
    double total = 0;
    bool is_negative = *text == '-';
    text += *text == '-' || *text == '+';
    if (strcmp(text, "0") == 0) {
        *out_ms = 0;
        return OK;
    }
    if (*text == '\0')
        return ERR_INVALID;
    while (*text != '\0') {
        char number[32] = "", *end;
        size_t digits = strspn(text, "0123456789.");
        if (digits == 0 || digits >= sizeof(number) || text[digits] == '\0')
            return ERR_INVALID;
        memcpy(number, text, digits); /* strtod would take exponents, and 0x */
        double value = strtod(number, &end);
        if (end == number || *end != '\0')
            return ERR_INVALID;
        text += digits;
        size_t size = strcspn(text, "0123456789.");
        size_t i = 0;
        while (i < ARRAY_COUNT(units) &&
               (strlen(units[i].name) != size || strncmp(units[i].name, text, size) != 0))
            i++;
        if (i == ARRAY_COUNT(units))
            return ERR_INVALID;
        total += value * units[i].ms;
        text += size;
    }
    if (total > 9.2e12)
        return ERR_INVALID;
    *out_ms = (int64_t)(is_negative ? -total : total);
    return OK;
}

static enum err parse_bool(bool *out, const char *text)
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    for (size_t i = 0; i < ARRAY_COUNT(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return OK;
        }
    }
    return ERR_INVALID;
}

/* The value alone; REASON gets what is wrong with it. */
static enum err read_value(struct flag *flag, const char *text, struct strbuf *reason)
{
    enum err error = OK;
    switch (flag->type) {
    case FLAG_BOOL:
        error = parse_bool(flag->value, text);
        if (error != OK) {
            strbuf_add_str(reason, "strconv.ParseBool: parsing ");
            go_quote(reason, bytes_of_str(text));
            strbuf_add_str(reason, ": invalid syntax");
        }
        return error;
    case FLAG_STRING:
        *(const char **)flag->value = text;
        return OK;
    case FLAG_INT64:
        return int64_parse(flag->value, text, 10, reason);
    case FLAG_DURATION:
        error = duration_parse(flag->value, text);
        if (error != OK) {
            strbuf_add_str(reason, "time: invalid duration ");
            go_quote(reason, bytes_of_str(text));
        }
        return error;
    case FLAG_LIST:
        if (!flag->is_set)
            flag_list_fini(flag->value);
        error = list_add(flag->value, text);
        if (error != OK)
            strbuf_add_format(reason, "%s", err_text(error));
        return error;
    }
    return ERR_INVALID;
}

enum err flag_set_value(struct flag *flag, const char *text, struct strbuf *why)
{
    struct strbuf reason = STRBUF_EMPTY;
    enum err error = read_value(flag, text, &reason);
    if (error != OK) {
        strbuf_add_str(why, "invalid argument ");
        go_quote(why, bytes_of_str(text));
        if (flag->short_name != '\0')
            strbuf_add_format(why, " for \"-%c, --%s\" flag: %s", flag->short_name, flag->name,
                              strbuf_str(&reason));
        else
            strbuf_add_format(why, " for \"--%s\" flag: %s", flag->name, strbuf_str(&reason));
        error = ERR_INVALID;
    }
    flag->is_set = true;
    strbuf_fini(&reason);
    return error;
}

static struct flag *find(const struct flag_set *set, const char *name, size_t size, char short_name)
{
    struct flag *lists[] = {set->own, set->global};
    for (size_t i = 0; i < 2; i++) {
        for (struct flag *f = lists[i]; f != NULL && f->name != NULL; f++) {
            if (short_name != '\0' ? f->short_name == short_name
                                   : strlen(f->name) == size && memcmp(f->name, name, size) == 0)
                return f;
        }
    }
    return NULL;
}

/* "--name", "--name=value", or with the value in the next argument. */
static enum err parse_long(const struct flag_set *set, char **arguments, size_t count, size_t *at,
                           struct strbuf *why)
{
    const char *name = arguments[*at] + 2;
    size_t size = strcspn(name, "=");
    struct flag *flag = find(set, name, size, '\0');
    if (size == 0 || name[0] == '-') {
        strbuf_add_format(why, "bad flag syntax: %s", arguments[*at]);
        return ERR_INVALID;
    }
    if (flag == NULL && strcmp(name, "help") == 0)
        return ERR_NOT_FOUND;
    if (flag == NULL) {
        strbuf_add_format(why, "unknown flag: --%.*s", (int)size, name);
        return ERR_INVALID;
    }
    if (name[size] == '=')
        return flag_set_value(flag, name + size + 1, why);
    if (flag->type == FLAG_BOOL)
        return flag_set_value(flag, "true", why);
    if (*at + 1 == count) {
        strbuf_add_format(why, "flag needs an argument: --%s", flag->name);
        return ERR_INVALID;
    }
    return flag_set_value(flag, arguments[++*at], why);
}

/* "-w json", "-wjson", "-w=json", and several bools in one. */
static enum err parse_short(const struct flag_set *set, char **arguments, size_t count, size_t *at,
                            struct strbuf *why)
{
    const char *all = arguments[*at];
    for (const char *c = all + 1; *c != '\0'; c++) {
        struct flag *flag = find(set, NULL, 0, *c);
        if (flag == NULL && *c == 'h')
            return ERR_NOT_FOUND;
        if (flag == NULL) {
            strbuf_add_format(why, "unknown shorthand flag: '%c' in %s", *c,
                              c == all + 1 ? all : c - 1);
            return ERR_INVALID;
        }
        if (c[1] == '=')
            return flag_set_value(flag, c + 2, why);
        if (flag->type == FLAG_BOOL) {
            enum err error = flag_set_value(flag, "true", why);
            if (error != OK)
                return error;
            continue;
        }
        if (c[1] != '\0')
            return flag_set_value(flag, c + 1, why);
        if (*at + 1 == count) {
            strbuf_add_format(why, "flag needs an argument: '%c' in %s", *c, all);
            return ERR_INVALID;
        }
        return flag_set_value(flag, arguments[++*at], why);
    }
    return OK;
}

enum err flags_parse(const struct flag_set *set, char **arguments, size_t count, char **rest,
                     size_t *rest_count, struct strbuf *why)
{
    *rest_count = 0;
    for (size_t i = 0; i < count; i++) {
        enum err error = OK;
        if (strcmp(arguments[i], "--") == 0) {
            while (++i < count)
                rest[(*rest_count)++] = arguments[i];
            return OK;
        }
        if (strncmp(arguments[i], "--", 2) == 0)
            error = parse_long(set, arguments, count, &i, why);
        else if (arguments[i][0] == '-' && arguments[i][1] != '\0')
            error = parse_short(set, arguments, count, &i, why);
        else
            rest[(*rest_count)++] = arguments[i];
        if (error != OK)
            return error;
    }
    return OK;
}

void flags_describe(struct strbuf *out, const struct flag *flags)
{
    static const char *const types[] = {"", " string", " int", " duration", " list"};
    for (const struct flag *f = flags; f != NULL && f->name != NULL; f++) {
        char name[64];
        snprintf(name, sizeof(name), "--%s%s", f->name, types[f->type]);
        if (f->short_name != '\0')
            strbuf_add_format(out, "  -%c, %-28s %s\n", f->short_name, name, f->help);
        else
            strbuf_add_format(out, "      %-28s %s\n", name, f->help);
    }
}
