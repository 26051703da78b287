#include "dnsd/directive/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
    REGEX_MATCH_LIMIT = 100000, /* backtracking steps of one match */
    REPEAT_MAX = 1000,          /* RE2's bound of {n,m} */
    RUNE_MAX = 0x10ffff,
};

struct regex {
    char *text;
    pcre2_code *code;
    pcre2_match_context *context;
};

/* --- syntax ---------------------------------------------------------------------------------- */

/* One pass over the expression: `at` moves on, `out` gets the same for PCRE2. */
struct translation {
    const char *text;
    const char *at;
    struct strbuf *out;
    struct strbuf *why;
    unsigned depth;          /* of open groups */
    bool has_operand;        /* something stands here that an operator may repeat, */
    size_t operand_end;      /* ending here in `out`: flags like "(?i)" may follow it */
    const char *last_repeat; /* the operator just before `at`; NULL if there is none */
};

static enum err fail(struct translation *t, const char *what, const char *from, size_t size)
{
    strbuf_add_format(t->why, "error parsing regexp: %s: `", what);
    strbuf_add(t->why, from, size);
    strbuf_add_char(t->why, '`');
    return ERR_MALFORMED;
}

static size_t span(const char *from, const char *to)
{
    return (size_t)(to - from);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_octal(char c)
{
    return c >= '0' && c <= '7';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The character at *AT; the text is known to be UTF-8. */
static uint32_t rune_read(const char **at)
{
    unsigned char c = (unsigned char)*(*at)++;
    if (c < 0x80)
        return c;
    int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
    uint32_t rune = c & (0x3fu >> more);
    for (; more > 0 && **at != '\0'; more--)
        rune = rune << 6 | ((unsigned char)*(*at)++ & 0x3fu);
    return rune;
}

static void add_rune(struct translation *t, uint32_t rune)
{
    strbuf_add_format(t->out, "\\x{%x}", (unsigned)rune);
}

static enum err escape_fail(struct translation *t, const char *from)
{
    return fail(t, "invalid escape sequence", from, span(from, t->at));
}

/* "{HEX...}" or two digits, behind "\x". */
static enum err hex_escape(struct translation *t, const char *from, uint32_t *rune)
{
    uint32_t value = 0;
    if (*t->at == '\0')
        return escape_fail(t, from);
    if (*t->at != '{') {
        int high = hex_value(*t->at);
        rune_read(&t->at);
        if (*t->at == '\0')
            return escape_fail(t, from);
        int low = hex_value(*t->at);
        rune_read(&t->at);
        if (high < 0 || low < 0)
            return escape_fail(t, from);
        *rune = (uint32_t)(high * 16 + low);
        return OK;
    }
    const char *digits = ++t->at;
    for (; *t->at != '}'; t->at++) {
        int digit = hex_value(*t->at);
        if (digit >= 0)
            value = value * 16 + (uint32_t)digit;
        if (digit < 0 || value > RUNE_MAX) {
            if (*t->at != '\0')
                rune_read(&t->at);
            return escape_fail(t, from);
        }
    }
    bool any = t->at++ != digits;
    if (!any)
        return escape_fail(t, from);
    *rune = value;
    return OK;
}

/* A backslash and what it names: one character. */
static enum err escape_parse(struct translation *t, uint32_t *rune)
{
    static const char names[] = "afnrtv";
    static const char values[] = "\a\f\n\r\t\v";
    const char *from = t->at++;
    if (*t->at == '\0')
        return fail(t, "trailing backslash at end of expression", "", 0);
    char c = *t->at;
    uint32_t plain = rune_read(&t->at);
    if (is_octal(c) && (c == '0' || is_octal(*t->at))) {
        uint32_t value = (uint32_t)(c - '0');
        for (int i = 1; i < 3 && is_octal(*t->at); i++)
            value = value * 8 + (uint32_t)(*t->at++ - '0');
        *rune = value;
        return OK;
    }
    if (c == 'x')
        return hex_escape(t, from, rune);
    const char *name = strchr(names, c);
    if (name != NULL) {
        *rune = (unsigned char)values[name - names];
        return OK;
    }
    if (plain >= 0x80 || is_letter(c) || is_digit(c))
        return escape_fail(t, from);
    *rune = plain;
    return OK;
}

/* \d \s \w and their negations. PCRE2's \s knows the vertical tab, RE2's does not. */
static bool perl_class(struct translation *t, bool in_class)
{
    if (t->at[0] != '\\' || t->at[1] == '\0' || strchr("dDsSwW", t->at[1]) == NULL)
        return false;
    char c = t->at[1];
    if (c == 's')
        strbuf_add_str(t->out, in_class ? "\\t\\n\\f\\r\\x20" : "[\\t\\n\\f\\r\\x20]");
    else if (c == 'S')
        strbuf_add_str(t->out, in_class ? "\\S\\x0b" : "[\\S\\x0b]");
    else
        strbuf_add_format(t->out, "\\%c", c);
    t->at += 2;
    return true;
}

static bool pcre_accepts(const char *pattern, size_t size, uint32_t options)
{
    int error;
    PCRE2_SIZE offset;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern, size, PCRE2_UTF | options, &error, &offset, NULL);
    bool accepted = code != NULL;
    pcre2_code_free(code);
    return accepted;
}

/* \pN, \p{Greek}, \P...: *FOUND tells whether there was one. */
static enum err unicode_class(struct translation *t, bool *found)
{
    static const char invalid[] = "invalid character class range";
    *found = t->at[0] == '\\' && (t->at[1] == 'p' || t->at[1] == 'P');
    if (!*found)
        return OK;
    const char *from = t->at;
    t->at += 2;
    if (*t->at == '{') {
        const char *end = strchr(t->at, '}');
        if (end == NULL)
            return fail(t, invalid, from, strlen(from));
        t->at = end + 1;
    } else if (*t->at != '\0') {
        rune_read(&t->at);
    }
    size_t size = span(from, t->at);
    if (!pcre_accepts(from, size, 0))
        return fail(t, invalid, from, size);
    strbuf_add(t->out, from, size);
    return OK;
}

/* [:alpha:] inside a class. */
static enum err posix_class(struct translation *t, bool *found)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    const char *end = strncmp(t->at, "[:", 2) == 0 ? strstr(t->at + 2, ":]") : NULL;
    *found = end != NULL;
    if (end == NULL)
        return OK;
    const char *name = t->at + 2;
    name += *name == '^';
    size_t size = span(t->at, end) + 2;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strlen(names[i]) == span(name, end) && memcmp(names[i], name, strlen(names[i])) == 0) {
            strbuf_add(t->out, t->at, size);
            t->at += size;
            return OK;
        }
    }
    return fail(t, "invalid character class range", t->at, size);
}

static enum err class_char(struct translation *t, const char *class, uint32_t *rune)
{
    if (*t->at == '\0')
        return fail(t, "missing closing ]", class, strlen(class));
    if (*t->at == '\\')
        return escape_parse(t, rune);
    *rune = rune_read(&t->at);
    return OK;
}

/* A character or a range of them. */
static enum err class_range(struct translation *t, const char *class)
{
    const char *from = t->at;
    uint32_t low, high;
    enum err err = class_char(t, class, &low);
    if (err != OK)
        return err;
    add_rune(t, low);
    if (t->at[0] != '-' || t->at[1] == '\0' || t->at[1] == ']')
        return OK;
    t->at++;
    err = class_char(t, class, &high);
    if (err != OK)
        return err;
    if (high < low)
        return fail(t, "invalid character class range", from, span(from, t->at));
    strbuf_add_char(t->out, '-');
    add_rune(t, high);
    return OK;
}

static enum err class_parse(struct translation *t)
{
    const char *class = t->at++;
    strbuf_add_char(t->out, '[');
    if (*t->at == '^')
        strbuf_add_char(t->out, *t->at++);
    bool is_first = true; /* "]" is an ordinary character there */
    while (*t->at != ']' || is_first) {
        bool found;
        is_first = false;
        enum err err = posix_class(t, &found);
        if (err == OK && !found)
            err = unicode_class(t, &found);
        if (err == OK && !found && !perl_class(t, true))
            err = class_range(t, class);
        if (err != OK)
            return err;
    }
    t->at++;
    strbuf_add_char(t->out, ']');
    t->has_operand = true;
    return OK;
}

/* "(?P<name>" or "(?<name>": named groups count as plain ones. */
static enum err named_group(struct translation *t, size_t prefix)
{
    const char *from = t->at;
    const char *end = strchr(from, '>');
    if (end == NULL)
        return fail(t, "invalid named capture", from, strlen(from));
    bool valid = end > from + prefix;
    for (const char *c = from + prefix; c < end; c++)
        valid = valid && (is_letter(*c) || is_digit(*c) || *c == '_');
    if (!valid)
        return fail(t, "invalid named capture", from, span(from, end) + 1);
    strbuf_add_char(t->out, '(');
    t->at = end + 1;
    t->depth++;
    t->has_operand = false;
    return OK;
}

/* "(?flags)" or "(?flags:", flags of i, m, s, U with one "-" among them. */
static enum err flag_group(struct translation *t)
{
    const char *from = t->at;
    bool is_negative = false, saw_flag = false;
    t->at += 2;
    while (*t->at != '\0') {
        uint32_t c = rune_read(&t->at);
        if (c == 'i' || c == 'm' || c == 's' || c == 'U') {
            saw_flag = true;
        } else if (c == '-' && !is_negative) {
            is_negative = true;
            saw_flag = false;
        } else if ((c == ':' || c == ')') && (!is_negative || saw_flag)) {
            strbuf_add(t->out, from, span(from, t->at));
            if (c == ':') {
                t->depth++;
                t->has_operand = false;
            }
            return OK;
        } else {
            break;
        }
    }
    return fail(t, "invalid or unsupported Perl syntax", from, span(from, t->at));
}

static enum err group_open(struct translation *t)
{
    if (t->at[1] == '?') {
        size_t size = strlen(t->at);
        if (size > 4 && t->at[2] == 'P' && t->at[3] == '<')
            return named_group(t, 4);
        if (size > 3 && t->at[2] == '<')
            return named_group(t, 3);
        return flag_group(t);
    }
    strbuf_add_char(t->out, *t->at++);
    t->depth++;
    t->has_operand = false;
    return OK;
}

static enum err group_close(struct translation *t)
{
    if (t->depth == 0)
        return fail(t, "unexpected )", t->text, strlen(t->text));
    t->depth--;
    strbuf_add_char(t->out, *t->at++);
    t->has_operand = true;
    return OK;
}

/* Right behind the operand: RE2 lets "a(?i)*" repeat the "a", PCRE2 does not. */
static enum err operator_add(struct translation *t, const char *operator, size_t size)
{
    struct strbuf flags = STRBUF_EMPTY;
    if (t->out->failed)
        return ERR_NO_MEMORY;
    strbuf_add(&flags, t->out->data + t->operand_end, t->out->size - t->operand_end);
    t->out->size = t->operand_end;
    strbuf_add(t->out, operator, size);
    strbuf_add_str(t->out, strbuf_str(&flags));
    bool failed = flags.failed || t->out->failed;
    strbuf_fini(&flags);
    return failed ? ERR_NO_MEMORY : OK;
}

/* An operator of SIZE bytes at `at`. */
static enum err repeat(struct translation *t, size_t size)
{
    const char *from = t->at;
    t->at += size;
    if (*t->at == '?')
        t->at++;
    if (t->last_repeat != NULL)
        return fail(t, "invalid nested repetition operator", t->last_repeat,
                    span(t->last_repeat, t->at));
    if (!t->has_operand)
        return fail(t, "missing argument to repetition operator", from, span(from, t->at));
    t->last_repeat = from;
    return operator_add(t, from, span(from, t->at));
}

/* Digits without a leading zero; -1 beyond any sense. */
static bool count_parse(const char **at, int *count)
{
    const char *from = *at;
    if (!is_digit(*from) || (from[0] == '0' && is_digit(from[1])))
        return false;
    *count = 0;
    for (; is_digit(**at); (*at)++) {
        if (*count >= 0)
            *count = *count >= 100000000 ? -1 : *count * 10 + (**at - '0');
    }
    return true;
}

/* "{n}", "{n,}", "{n,m}"; any other brace is a literal. */
static enum err counted_repeat(struct translation *t)
{
    const char *at = t->at + 1;
    int low, high = -1;
    bool is_repeat = count_parse(&at, &low);
    bool is_open = false;
    if (is_repeat && *at != ',') {
        high = low;
    } else if (is_repeat) {
        at++;
        is_open = *at == '}';
        is_repeat = is_open || count_parse(&at, &high);
        if (is_repeat && !is_open && high < 0)
            low = -1;
    }
    if (!is_repeat || *at != '}') {
        add_rune(t, '{');
        t->at++;
        t->has_operand = true;
        return OK;
    }
    size_t size = span(t->at, at) + 1;
    if (low < 0 || low > REPEAT_MAX || high > REPEAT_MAX || (high >= 0 && low > high))
        return fail(t, "invalid repeat count", t->at, size);
    return repeat(t, size);
}

/* \Q...\E: everything between is literal. */
static void quoted_literal(struct translation *t)
{
    t->at += 2;
    const char *end = strstr(t->at, "\\E");
    const char *stop = end != NULL ? end : t->at + strlen(t->at);
    while (t->at < stop) {
        add_rune(t, rune_read(&t->at));
        t->has_operand = true;
    }
    if (end != NULL)
        t->at += 2;
}

static enum err backslash_parse(struct translation *t)
{
    char c = t->at[1];
    if (c == 'C')
        return fail(t, "invalid escape sequence", t->at, 2);
    if (c == 'Q') {
        quoted_literal(t);
        return OK;
    }
    t->has_operand = true;
    if (c == 'A' || c == 'b' || c == 'B' || c == 'z') {
        strbuf_add_format(t->out, "(?:\\%c)", c);
        t->at += 2;
        return OK;
    }
    bool found;
    enum err err = unicode_class(t, &found);
    if (err != OK || found || perl_class(t, false))
        return err;
    uint32_t rune;
    err = escape_parse(t, &rune);
    if (err == OK)
        add_rune(t, rune);
    return err;
}

static enum err item_parse(struct translation *t)
{
    switch (*t->at) {
    case '(':
        return group_open(t);
    case ')':
        return group_close(t);
    case '|':
        strbuf_add_char(t->out, *t->at++);
        t->has_operand = false;
        return OK;
    case '[':
        return class_parse(t);
    case '*':
    case '+':
    case '?':
        return repeat(t, 1);
    case '{':
        return counted_repeat(t);
    case '\\':
        return backslash_parse(t);
    case '^':
    case '$': /* a group, because RE2 lets assertions be repeated and PCRE2 does not */
        strbuf_add_format(t->out, "(?:%c)", *t->at++);
        break;
    case '.':
        strbuf_add_char(t->out, *t->at++);
        break;
    default:
        add_rune(t, rune_read(&t->at));
    }
    t->has_operand = true;
    return OK;
}

static enum err translate(const char *text, struct strbuf *out, struct strbuf *why)
{
    struct translation t = {.text = text, .at = text, .out = out, .why = why};
    while (*t.at != '\0') {
        const char *before = t.last_repeat;
        bool is_flags = t.at[0] == '(' && t.at[1] == '?';
        enum err err = item_parse(&t);
        if (err != OK)
            return err;
        if (t.last_repeat == before)
            t.last_repeat = NULL;
        if (!is_flags)
            t.operand_end = out->size;
    }
    if (t.depth > 0)
        return fail(&t, "missing closing )", text, strlen(text));
    return OK;
}

/* --- PCRE2 ----------------------------------------------------------------------------------- */

static enum err compile(struct regex *r, const struct strbuf *pattern, struct strbuf *why)
{
    int error;
    PCRE2_SIZE offset;
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    r->context = pcre2_match_context_create(NULL);
    if (context == NULL || r->context == NULL || pattern->failed) {
        pcre2_compile_context_free(context);
        return ERR_NO_MEMORY;
    }
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_match_limit(r->context, REGEX_MATCH_LIMIT);
    r->code = pcre2_compile((PCRE2_SPTR)strbuf_str(pattern), pattern->size,
                            PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY |
                                PCRE2_ALT_CIRCUMFLEX,
                            &error, &offset, context);
    pcre2_compile_context_free(context);
    if (r->code != NULL)
        return OK;
    PCRE2_UCHAR message[128];
    pcre2_get_error_message(error, message, sizeof(message));
    strbuf_add_format(why, "error parsing regexp: %s: `%s`", (const char *)message, r->text);
    return ERR_MALFORMED;
}

enum err regex_create(struct regex **out, const char *text, struct strbuf *why)
{
    struct strbuf pattern = STRBUF_EMPTY;
    struct regex *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return ERR_NO_MEMORY;
    r->text = strdup(text);
    enum err err = r->text != NULL ? OK : ERR_NO_MEMORY;
    if (err == OK && !pcre_accepts(text, strlen(text), PCRE2_LITERAL)) {
        strbuf_add_format(why, "error parsing regexp: invalid UTF-8: `%s`", text);
        err = ERR_MALFORMED;
    }
    if (err == OK)
        err = translate(text, &pattern, why);
    if (err == OK)
        err = compile(r, &pattern, why);
    strbuf_fini(&pattern);
    if (err != OK) {
        regex_destroy(r);
        return err;
    }
    *out = r;
    return OK;
}

void regex_destroy(struct regex *r)
{
    if (r == NULL)
        return;
    pcre2_code_free(r->code);
    pcre2_match_context_free(r->context);
    free(r->text);
    free(r);
}

const char *regex_text(const struct regex *r)
{
    return r->text;
}

bool regex_match(const struct regex *r, const char *text)
{
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    if (data == NULL)
        return false;
    int result = pcre2_match(r->code, (PCRE2_SPTR)text, strlen(text), 0, 0, data, r->context);
    pcre2_match_data_free(data);
    return result >= 0;
}
