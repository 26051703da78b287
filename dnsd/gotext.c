#include "dnsd/gotext.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* --- durations ------------------------------------------------------------------------------- */

/* Durations are sums of unsigned parts of at most 2^63 ns, so that the most negative one exists. */
#define DURATION_LIMIT (UINT64_C(1) << 63)

static const struct unit {
    const char *name;
    uint64_t ns;
} units[] = {
    {"ns", 1},
    {"us", 1000},
    {"\xc2\xb5s", 1000}, /* micro sign */
    {"\xce\xbcs", 1000}, /* Greek mu */
    {"ms", 1000000},
    {"s", UINT64_C(1000000000)},
    {"m", UINT64_C(60000000000)},
    {"h", UINT64_C(3600000000000)},
};

static const struct unit *find_unit(const char *name, size_t size)
{
    for (size_t i = 0; i < ARRAY_COUNT(units); i++)
        if (strlen(units[i].name) == size && memcmp(units[i].name, name, size) == 0)
            return &units[i];
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The quoting of package time, which is not strconv's: every byte outside ASCII's printable part in
 * hexadecimal. */
static void quote_bytes(struct strbuf *out, const char *text, size_t size)
{
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ' || c >= 0x80)
            strbuf_add_format(out, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            strbuf_add_format(out, "\\%c", c);
        else
            strbuf_add_char(out, (char)c);
    }
    strbuf_add_char(out, '"');
}

static enum err duration_error(struct strbuf *error, const char *what, const char *text)
{
    strbuf_add_format(error, "time: %s ", what);
    quote_bytes(error, text, strlen(text));
    return ERR_MALFORMED;
}

/* Digits in front of the point. False when the value does not fit. */
static bool read_integer(const char **at, uint64_t *value)
{
    uint64_t v = 0;
    for (; is_digit(**at); (*at)++) {
        if (v > DURATION_LIMIT / 10)
            return false;
        v = v * 10 + (uint64_t)(**at - '0');
        if (v > DURATION_LIMIT)
            return false;
    }
    *value = v;
    return true;
}

/* Digits behind the point: VALUE / SCALE. Those beyond the precision are skipped. */
static void read_fraction(const char **at, uint64_t *value, double *scale)
{
    bool full = false;
    for (; is_digit(**at); (*at)++) {
        if (full || *value > (DURATION_LIMIT - 1) / 10) {
            full = true;
            continue;
        }
        uint64_t v = *value * 10 + (uint64_t)(**at - '0');
        if (v > DURATION_LIMIT) {
            full = true;
            continue;
        }
        *value = v;
        *scale *= 10;
    }
}

/* One "1.5h" of a duration, added to TOTAL. */
static enum err read_part(const char **at, uint64_t *total, const char *text, struct strbuf *error)
{
    const char *start = *at;
    uint64_t value = 0, fraction = 0;
    double scale = 1;
    if (!read_integer(at, &value))
        return duration_error(error, "invalid duration", text);
    bool has_digits = *at > start;
    if (**at == '.') {
        const char *digits = ++*at;
        read_fraction(at, &fraction, &scale);
        has_digits = has_digits || *at > digits;
    }
    if (!has_digits)
        return duration_error(error, "invalid duration", text);
    const char *name = *at;
    while (**at != '\0' && **at != '.' && !is_digit(**at))
        (*at)++;
    size_t name_size = (size_t)(*at - name);
    if (name_size == 0)
        return duration_error(error, "missing unit in duration", text);
    const struct unit *unit = find_unit(name, name_size);
    if (unit == NULL) {
        strbuf_add_str(error, "time: unknown unit ");
        quote_bytes(error, name, name_size);
        strbuf_add_str(error, " in duration ");
        quote_bytes(error, text, strlen(text));
        return ERR_MALFORMED;
    }
    if (value > DURATION_LIMIT / unit->ns)
        return duration_error(error, "invalid duration", text);
    value *= unit->ns;
    if (fraction > 0)
        value += (uint64_t)((double)fraction * ((double)unit->ns / scale));
    if (value > DURATION_LIMIT || *total > DURATION_LIMIT - value)
        return duration_error(error, "invalid duration", text);
    *total += value;
    return OK;
}

enum err duration_parse(const char *text, int64_t *ns, struct strbuf *error)
{
    const char *at = text;
    bool negative = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    if (strcmp(at, "0") == 0) {
        *ns = 0;
        return OK;
    }
    if (*at == '\0')
        return duration_error(error, "invalid duration", text);
    uint64_t total = 0;
    while (*at != '\0') {
        enum err e = read_part(&at, &total, text, error);
        if (e != OK)
            return e;
    }
    if (!negative && total == DURATION_LIMIT)
        return duration_error(error, "invalid duration", text);
    *ns = negative ? (int64_t)(0 - total) : (int64_t)total;
    return OK;
}

/* VALUE / 10^DIGITS without trailing zeros. */
static size_t add_decimal(char *out, size_t size, uint64_t value, unsigned digits)
{
    uint64_t scale = 1;
    for (unsigned i = 0; i < digits; i++)
        scale *= 10;
    int n = snprintf(out, size, "%llu", (unsigned long long)(value / scale));
    size_t used = (size_t)n;
    if (value % scale == 0)
        return used;
    n = snprintf(out + used, size - used, ".%0*llu", (int)digits,
                 (unsigned long long)(value % scale));
    used += (size_t)n;
    while (out[used - 1] == '0')
        out[--used] = '\0';
    return used;
}

const char *duration_text(int64_t ns, char out[static DURATION_TEXT_SIZE])
{
    char text[96];
    size_t used = 0;
    uint64_t u = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    const char *unit = "s";
    if (ns < 0)
        text[used++] = '-';
    if (u == 0) {
        text[used++] = '0';
    } else if (u < 1000) {
        used += add_decimal(text + used, sizeof(text) - used, u, 0);
        unit = "ns";
    } else if (u < 1000000) {
        used += add_decimal(text + used, sizeof(text) - used, u, 3);
        unit = "\xc2\xb5s";
    } else if (u < (uint64_t)DURATION_SECOND) {
        used += add_decimal(text + used, sizeof(text) - used, u, 6);
        unit = "ms";
    } else {
        uint64_t minutes = u / (60 * (uint64_t)DURATION_SECOND);
        if (minutes >= 60)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%lluh",
                                     (unsigned long long)(minutes / 60));
        if (minutes > 0)
            used += (size_t)snprintf(text + used, sizeof(text) - used, "%llum",
                                     (unsigned long long)(minutes % 60));
        used +=
            add_decimal(text + used, sizeof(text) - used, u % (60 * (uint64_t)DURATION_SECOND), 9);
    }
    /* The longest is "-2562047h47m16.854775808s". */
    snprintf(out, DURATION_TEXT_SIZE, "%.*s%s", (int)used, text, unit);
    return out;
}

/* --- host:port ------------------------------------------------------------------------------- */

static enum err address_error(struct strbuf *error, const char *text, const char *why)
{
    if (*text != '\0')
        strbuf_add_format(error, "address %s: ", text);
    strbuf_add_str(error, why);
    return ERR_MALFORMED;
}

enum err host_port_split(const char *text, const char **host, size_t *host_size, const char **port,
                         struct strbuf *error)
{
    static const char missing[] = "missing port in address";
    static const char too_many[] = "too many colons in address";
    const char *colon = strrchr(text, ':');
    if (colon == NULL)
        return address_error(error, text, missing);
    const char *start = text;
    size_t size = (size_t)(colon - text);
    const char *opening_from = text, *closing_from = text; /* where a bracket is out of place */
    if (*text == '[') {
        const char *end = strchr(text, ']');
        if (end == NULL)
            return address_error(error, text, "missing ']' in address");
        if (end[1] == '\0')
            return address_error(error, text, missing);
        if (end + 1 != colon)
            return address_error(error, text, end[1] == ':' ? too_many : missing);
        start = text + 1;
        size = (size_t)(end - start);
        opening_from = text + 1;
        closing_from = end + 1;
    } else if (memchr(text, ':', size) != NULL) {
        return address_error(error, text, too_many);
    }
    if (strchr(opening_from, '[') != NULL)
        return address_error(error, text, "unexpected '[' in address");
    if (strchr(closing_from, ']') != NULL)
        return address_error(error, text, "unexpected ']' in address");
    *host = start;
    *host_size = size;
    *port = colon + 1;
    return OK;
}

void host_port_join(struct strbuf *out, const char *host, const char *port)
{
    bool brackets = strchr(host, ':') != NULL;
    strbuf_add_format(out, brackets ? "[%s]:%s" : "%s:%s", host, port);
}

/* --- quoting --------------------------------------------------------------------------------- */

/* The octets of the UTF-8 sequence at TEXT (RFC 3629 section 4) and its code point; 0 if there is
 * none. */
static size_t read_rune(const unsigned char *text, uint32_t *rune)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first >= 0xf8 || (first >= 0x80 && first < 0xc0))
        return 0;
    uint32_t value = size == 1 ? first : first & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) /* also stops at the final NUL */
            return 0;
        value = value << 6 | (text[i] & 0x3fu);
    }
    if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *rune = value;
    return size;
}

static void quote_ascii(struct strbuf *out, char c)
{
    static const char named[] = "\a\b\f\n\r\t\v";
    static const char letters[] = "abfnrtv";
    const char *found = strchr(named, c);
    if (found != NULL)
        strbuf_add_format(out, "\\%c", letters[found - named]);
    else if (c == '"' || c == '\\')
        strbuf_add_format(out, "\\%c", c);
    else if (c < ' ' || c == 0x7f)
        strbuf_add_format(out, "\\x%02x", (unsigned char)c);
    else
        strbuf_add_char(out, c);
}

/* Characters beyond ASCII that are not printed: controls, spaces, formats, private use and
 * non-characters. (Unassigned code points, which Go escapes as well, print as they are.) */
static bool is_hidden(uint32_t rune)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x80, 0xa0},       {0xad, 0xad},        {0x600, 0x605},   {0x61c, 0x61c},
        {0x6dd, 0x6dd},     {0x70f, 0x70f},      {0x1680, 0x1680}, {0x180e, 0x180e},
        {0x2000, 0x200f},   {0x2028, 0x202f},    {0x205f, 0x206f}, {0x3000, 0x3000},
        {0xe000, 0xf8ff},   {0xfeff, 0xfeff},    {0xfff0, 0xfffb}, {0xfffe, 0xffff},
        {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff},
    };
    for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
        if (rune >= hidden[i].first && rune <= hidden[i].last)
            return true;
    }
    return false;
}

void quote_add(struct strbuf *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    strbuf_add_char(out, '"');
    while (*at != '\0') {
        uint32_t rune = 0;
        size_t size = read_rune(at, &rune);
        if (size == 0) {
            strbuf_add_format(out, "\\x%02x", *at);
            size = 1;
        } else if (size == 1) {
            quote_ascii(out, (char)*at);
        } else if (is_hidden(rune)) {
            strbuf_add_format(out, rune > 0xffff ? "\\U%08x" : "\\u%04x", (unsigned)rune);
        } else {
            strbuf_add(out, at, size);
        }
        at += size;
    }
    strbuf_add_char(out, '"');
}

/* The C library's texts are Go's but for the first letter. */
void errno_text_add(struct strbuf *out, int error_number)
{
    const char *text = strerrordesc_np(error_number);
    if (text == NULL) {
        strbuf_add_format(out, "errno %d", error_number);
        return;
    }
    bool is_upper = text[0] >= 'A' && text[0] <= 'Z';
    strbuf_add_char(out, (char)(is_upper ? text[0] - 'A' + 'a' : text[0]));
    strbuf_add_str(out, text + 1);
}

void os_error_add(struct strbuf *out, const char *call, const char *path, int error_number)
{
    strbuf_add_format(out, "%s %s: ", call, path);
    errno_text_add(out, error_number);
}
