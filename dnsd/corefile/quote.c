#include "dnsd/corefile/quote.h"

#include "dnsd/corefile/lexer.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* Blocks of characters that are not printed: spaces other than ' ', formats, surrogates, private
 * use, non-characters. (Unassigned code points, which Go escapes as well, print as they are.) */
static bool is_printable(uint32_t rune)
{
    static const struct {
        uint32_t first, last;
    } hidden[] = {
        {0x00, 0x1F},     {0x7F, 0xA0},       {0xAD, 0xAD},        {0x600, 0x605},
        {0x61C, 0x61C},   {0x6DD, 0x6DD},     {0x70F, 0x70F},      {0x1680, 0x1680},
        {0x180E, 0x180E}, {0x2000, 0x200F},   {0x2028, 0x202F},    {0x205F, 0x206F},
        {0x3000, 0x3000}, {0xD800, 0xF8FF},   {0xFEFF, 0xFEFF},    {0xFFF0, 0xFFFB},
        {0xFFFE, 0xFFFF}, {0xE0000, 0xE00FF}, {0xF0000, 0x10FFFF},
    };
    for (size_t i = 0; i < ARRAY_COUNT(hidden); i++) {
        if (rune >= hidden[i].first && rune <= hidden[i].last)
            return false;
    }
    return true;
}

static void quote_hidden(struct strbuf *out, uint32_t rune)
{
    static const char named[] = "\a\b\f\n\r\t\v", letters[] = "abfnrtv";
    const char *hit = rune > 0 && rune < 0x20 ? strchr(named, (int)rune) : NULL;
    if (hit != NULL)
        strbuf_add_format(out, "\\%c", letters[hit - named]);
    else if (rune < 0x20 || rune == 0x7F)
        strbuf_add_format(out, "\\x%02" PRIx32, rune);
    else
        strbuf_add_format(out, rune > 0xFFFF ? "\\U%08" PRIx32 : "\\u%04" PRIx32, rune);
}

void core_quote(struct strbuf *out, const char *text)
{
    strbuf_add_char(out, '"');
    for (size_t left = strlen(text), width; left > 0; text += width, left -= width) {
        uint32_t rune = utf8_decode(text, left, &width);
        if (width == 1 && rune >= 0x80)
            strbuf_add_format(out, "\\x%02x", (unsigned)(unsigned char)text[0]);
        else if (rune == '"' || rune == '\\')
            strbuf_add_format(out, "\\%c", (char)rune);
        else if (is_printable(rune))
            strbuf_add(out, text, width);
        else
            quote_hidden(out, rune);
    }
    strbuf_add_char(out, '"');
}
