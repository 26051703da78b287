#include "gotext.h"

#include <stdbool.h>

size_t utf8_decode(uint32_t *rune, struct bytes text)
{
    if (text.size == 0)
        return 0;
    uint8_t first = text.data[0];
    size_t size = first < 0x80   ? 1
                  : first < 0xc2 ? 0
                  : first < 0xe0 ? 2
                  : first < 0xf0 ? 3
                  : first < 0xf5 ? 4
                                 : 0;
    if (size == 0 || size > text.size)
        return 0;
    uint32_t value = size == 1 ? first : first & (0xffU >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((text.data[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (text.data[i] & 0x3fU);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *rune = value;
    return size;
}

/* What unicode.IsPrint refuses, as far as common text goes: controls, odd spaces, private use,
 * surrogates and what is no character. */
static bool is_printable(uint32_t r)
{
    if (r < 0x20 || (r >= 0x7f && r <= 0xa0) || r == 0xad)
        return false;
    if (r == 0x1680 || (r >= 0x2000 && r <= 0x200f) || (r >= 0x2028 && r <= 0x202f) ||
        (r >= 0x205f && r <= 0x206f) || r == 0x3000 || r == 0xfeff)
        return false;
    return !((r >= 0xe000 && r <= 0xf8ff) || (r >= 0xfff0 && r <= 0xfffb) ||
             (r & 0xfffe) == 0xfffe || r >= 0xe0000);
}

static void add_escaped(struct strbuf *out, struct bytes text, bool is_quoted)
{
    static const char named[] = "abtnvfr"; /* 7 to 13 */
    while (text.size > 0) {
        uint32_t rune = 0;
        size_t size = utf8_decode(&rune, text);
        if (size == 0) {
            strbuf_add_format(out, "\\x%02x", text.data[0]);
            size = 1;
        } else if (is_quoted && (rune == '"' || rune == '\\')) {
            strbuf_add_format(out, "\\%c", (char)rune);
        } else if (rune >= 7 && rune <= 13) {
            strbuf_add_format(out, "\\%c", named[rune - 7]);
        } else if (rune < 0x20 || rune == 0x7f) {
            strbuf_add_format(out, "\\x%02x", rune);
        } else if (is_printable(rune)) {
            strbuf_add(out, text.data, size);
        } else {
            strbuf_add_format(out, rune < 0x10000 ? "\\u%04x" : "\\U%08x", rune);
        }
        text.data += size;
        text.size -= size;
    }
}

void go_quote(struct strbuf *out, struct bytes text)
{
    strbuf_add_char(out, '"');
    add_escaped(out, text, true);
    strbuf_add_char(out, '"');
}

void visible_add(struct strbuf *out, struct bytes text)
{
    add_escaped(out, text, false);
}

static void add_utf8(struct strbuf *out, uint32_t rune)
{
    if (rune < 0x80) {
        strbuf_add_char(out, (char)rune);
        return;
    }
    if (rune < 0x800) {
        strbuf_add_char(out, (char)(0xc0 | rune >> 6));
    } else {
        if (rune < 0x10000) {
            strbuf_add_char(out, (char)(0xe0 | rune >> 12));
        } else {
            strbuf_add_char(out, (char)(0xf0 | rune >> 18));
            strbuf_add_char(out, (char)(0x80 | (rune >> 12 & 0x3f)));
        }
        strbuf_add_char(out, (char)(0x80 | (rune >> 6 & 0x3f)));
    }
    strbuf_add_char(out, (char)(0x80 | (rune & 0x3f)));
}

static bool read_digits(uint32_t *value, const char *text, size_t count, unsigned base)
{
    *value = 0;
    for (size_t i = 0; i < count; i++) {
        char c = text[i];
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                         : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                                : 99;
        if (digit >= base)
            return false;
        *value = *value * base + digit;
    }
    return true;
}

/* The escape behind a backslash; its size, 0 if there is none such. */
static size_t unescape(struct strbuf *out, const char *text)
{
    static const char letters[] = "abtnvfr";
    const char *named = *text != '\0' ? strchr(letters, *text) : NULL;
    uint32_t value;
    if (named != NULL) {
        strbuf_add_char(out, (char)(7 + (named - letters)));
        return 1;
    }
    switch (*text) {
    case '\\':
    case '"':
        strbuf_add_char(out, *text);
        return 1;
    case 'x':
        if (!read_digits(&value, text + 1, 2, 16))
            return 0;
        strbuf_add_char(out, (char)value);
        return 3;
    case 'u':
    case 'U': {
        size_t count = *text == 'u' ? 4 : 8;
        if (!read_digits(&value, text + 1, count, 16) || value > 0x10ffff ||
            (value >= 0xd800 && value <= 0xdfff))
            return 0;
        add_utf8(out, value);
        return count + 1;
    }
    default:
        if (!read_digits(&value, text, 3, 8) || value > 255)
            return 0;
        strbuf_add_char(out, (char)value);
        return 3;
    }
}

enum err go_unquote(struct strbuf *out, const char *text, size_t *used)
{
    const char *at = text + 1;
    if (*text == '`') {
        const char *end = strchr(at, '`');
        if (end == NULL)
            return ERR_MALFORMED;
        strbuf_add(out, at, (size_t)(end - at));
        *used = (size_t)(end + 1 - text);
        return OK;
    }
    if (*text != '"')
        return ERR_MALFORMED;
    while (*at != '"') {
        if (*at == '\0' || *at == '\n')
            return ERR_MALFORMED;
        if (*at != '\\') {
            strbuf_add_char(out, *at++);
            continue;
        }
        size_t size = unescape(out, at + 1);
        if (size == 0)
            return ERR_MALFORMED;
        at += 1 + size;
    }
    *used = (size_t)(at + 1 - text);
    return OK;
}

void go_json_string(struct strbuf *out, struct bytes text)
{
    strbuf_add_char(out, '"');
    while (text.size > 0) {
        uint32_t rune = 0;
        size_t size = utf8_decode(&rune, text);
        if (size == 0) {
            strbuf_add_str(out, "\\ufffd");
            size = 1;
        } else if (rune == '"' || rune == '\\') {
            strbuf_add_format(out, "\\%c", (char)rune);
        } else if (rune == '\n' || rune == '\r' || rune == '\t' || rune == '\b' || rune == '\f') {
            strbuf_add_format(out, "\\%c", "btn?fr"[rune - 8]);
        } else if (rune < 0x20 || rune == '<' || rune == '>' || rune == '&' || rune == 0x2028 ||
                   rune == 0x2029) {
            strbuf_add_format(out, "\\u%04x", rune);
        } else {
            strbuf_add(out, text.data, size);
        }
        text.data += size;
        text.size -= size;
    }
    strbuf_add_char(out, '"');
}

void go_json_bytes(struct strbuf *out, struct bytes data)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    strbuf_add_char(out, '"');
    for (size_t i = 0; i < data.size; i += 3) {
        size_t left = data.size - i;
        uint32_t group = (uint32_t)data.data[i] << 16 |
                         (left > 1 ? (uint32_t)data.data[i + 1] << 8 : 0) |
                         (left > 2 ? data.data[i + 2] : 0);
        strbuf_add_char(out, digits[group >> 18]);
        strbuf_add_char(out, digits[group >> 12 & 63]);
        strbuf_add_char(out, left > 1 ? digits[group >> 6 & 63] : '=');
        strbuf_add_char(out, left > 2 ? digits[group & 63] : '=');
    }
    strbuf_add_char(out, '"');
}
