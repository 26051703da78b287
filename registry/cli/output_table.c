/* Tables as olekukonko/tablewriter draws them, and plain columns. */
#include "output_parts.h"

#include <stdlib.h>

/* Characters, not bytes: close enough to what a terminal shows. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

static void pad(struct strbuf *out, size_t count)
{
    while (count-- > 0)
        strbuf_add_char(out, ' ');
}

static size_t *column_widths(const char *const *cells, size_t columns, size_t rows)
{
    size_t *widths = cli_memory(calloc(columns, sizeof(*widths)));
    for (size_t i = 0; i < columns * rows; i++) {
        size_t width = text_width(cells[i]);
        if (width > widths[i % columns])
            widths[i % columns] = width;
    }
    return widths;
}

static void add_border(struct strbuf *out, const size_t *widths, size_t columns)
{
    for (size_t c = 0; c < columns; c++) {
        strbuf_add_char(out, '+');
        for (size_t i = 0; i < widths[c] + 2; i++)
            strbuf_add_char(out, '-');
    }
    strbuf_add_str(out, "+\n");
}

static char title_char(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 32) : c == '_' ? ' ' : c;
}

void output_table(const char *const *cells, size_t columns, size_t rows)
{
    struct strbuf out = STRBUF_EMPTY;
    size_t *widths = column_widths(cells, columns, rows);
    add_border(&out, widths, columns);
    for (size_t i = 0; i < columns * rows; i++) {
        size_t space = widths[i % columns] - text_width(cells[i]);
        size_t before = i < columns ? space / 2 : space; /* headers stand in the middle */
        strbuf_add_str(&out, "| ");
        pad(&out, before);
        for (const char *c = cells[i]; *c != '\0'; c++)
            strbuf_add_char(&out, i < columns ? title_char(*c) : *c);
        pad(&out, space - before + 1);
        if (i % columns == columns - 1)
            strbuf_add_str(&out, "|\n");
        if (i == columns - 1)
            add_border(&out, widths, columns);
    }
    if (rows > 1)
        add_border(&out, widths, columns);
    free(widths);
    output_text(&out);
}

void output_columns(const char *const *cells, size_t columns, size_t rows)
{
    struct strbuf out = STRBUF_EMPTY;
    size_t *widths = column_widths(cells, columns, rows);
    for (size_t i = 0; i < columns * rows; i++) {
        strbuf_add_str(&out, cells[i]);
        if (i % columns < columns - 1) {
            pad(&out, widths[i % columns] - text_width(cells[i]) + 2);
            continue;
        }
        while (out.size > 0 && out.data[out.size - 1] == ' ') /* of empty cells at the end */
            out.size--;
        strbuf_add_char(&out, '\n');
    }
    free(widths);
    output_text(&out);
}
