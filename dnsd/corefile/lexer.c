#include "dnsd/corefile/lexer.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    RUNE_ERROR = 0xFFFD,
    BYTE_ORDER_MARK = 0xFEFF,
    TOKEN_LIST_FIRST_CAPACITY = 64,
};

struct lexer {
    const char *text;
    size_t size;
    size_t offset;
    int line;
    struct strbuf word; /* the token being read */
    int word_line;
};

enum lex_state {
    LEX_WORD,
    LEX_COMMENT,
    LEX_QUOTED,
    LEX_ESCAPED, /* in quotes, behind a backslash */
};

void token_list_fini(struct token_list *l)
{
    free(l->items);
    *l = (struct token_list){0};
}

enum err token_list_reserve(struct token_list *l, size_t count)
{
    if (count <= l->capacity)
        return OK;
    if (count > CORE_FILE_MAX_TOKENS)
        return ERR_LIMIT;
    size_t capacity = l->capacity == 0 ? TOKEN_LIST_FIRST_CAPACITY : 2 * l->capacity;
    if (capacity < count)
        capacity = count;
    struct core_token *items = reallocarray(l->items, capacity, sizeof(*items));
    if (items == NULL)
        return ERR_NO_MEMORY;
    l->items = items;
    l->capacity = capacity;
    return OK;
}

enum err token_list_add(struct token_list *l, struct core_token token)
{
    enum err err = token_list_reserve(l, l->count + 1);
    if (err == OK)
        l->items[l->count++] = token;
    return err;
}

/* The number of bytes the first byte promises, and the range of the second one (RFC 3629 section
 * 4), which is where overlong forms, surrogates and numbers beyond U+10FFFF show. */
static size_t utf8_shape(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if (first >= 0xE0 && first <= 0xEF) {
        *low = first == 0xE0 ? 0xA0 : 0x80;
        *high = first == 0xED ? 0x9F : 0xBF;
        return 3;
    }
    if (first >= 0xF0 && first <= 0xF4) {
        *low = first == 0xF0 ? 0x90 : 0x80;
        *high = first == 0xF4 ? 0x8F : 0xBF;
        return 4;
    }
    return 0;
}

uint32_t utf8_decode(const char *data, size_t size, size_t *width)
{
    assert(size > 0);
    unsigned char first = (unsigned char)data[0];
    *width = 1;
    if (first < 0x80)
        return first;
    unsigned char low, high;
    size_t length = utf8_shape(first, &low, &high);
    if (length == 0 || length > size)
        return RUNE_ERROR;
    uint32_t rune = first & (0xFFu >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        unsigned char c = (unsigned char)data[i];
        if (c < low || c > high)
            return RUNE_ERROR;
        low = 0x80;
        high = 0xBF;
        rune = rune << 6 | (c & 0x3Fu);
    }
    *width = length;
    return rune;
}

/* Unicode's White_Space property. */
static bool is_space(uint32_t rune)
{
    switch (rune) {
    case '\t':
    case '\n':
    case '\v':
    case '\f':
    case '\r':
    case ' ':
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
        return true;
    default:
        return rune >= 0x2000 && rune <= 0x200A;
    }
}

/* Adds the rune at the cursor, which is WIDTH bytes wide, to the word. */
static void word_add(struct lexer *l, uint32_t rune, size_t width)
{
    if (rune == RUNE_ERROR)
        strbuf_add(&l->word, "\xEF\xBF\xBD", 3);
    else
        strbuf_add(&l->word, l->text + l->offset, width);
}

/* One rune inside quotes; returns false when it was the closing quote. Only a quote can be escaped:
 * a backslash before anything else stays. */
static bool lex_quoted(struct lexer *l, enum lex_state *state, uint32_t rune, size_t width)
{
    if (*state == LEX_QUOTED && rune == '\\') {
        *state = LEX_ESCAPED;
        return true;
    }
    if (*state == LEX_QUOTED && rune == '"')
        return false;
    if (rune == '\n')
        l->line++;
    if (*state == LEX_ESCAPED && rune != '"')
        strbuf_add_char(&l->word, '\\');
    word_add(l, rune, width);
    *state = LEX_QUOTED;
    return true;
}

/* White space outside quotes; returns true when it ends a word. A comment ends with the word it is
 * glued to as well as with its line: "a#b c" are the words "a" and "c", as in CoreDNS. */
static bool lex_space(struct lexer *l, enum lex_state *state, uint32_t rune)
{
    if (rune == '\r')
        return false;
    if (rune == '\n') {
        l->line++;
        *state = LEX_WORD;
    }
    return l->word.size > 0;
}

/* Reads the next token into l->word; false at the end of the text. */
static bool lex_next(struct lexer *l)
{
    enum lex_state state = LEX_WORD;
    strbuf_clear(&l->word);
    while (l->offset < l->size) {
        size_t width;
        uint32_t rune = utf8_decode(l->text + l->offset, l->size - l->offset, &width);
        bool end = false;
        if (state == LEX_QUOTED || state == LEX_ESCAPED) {
            end = !lex_quoted(l, &state, rune, width);
        } else if (is_space(rune)) {
            end = lex_space(l, &state, rune);
        } else if (rune == '#' || state == LEX_COMMENT) {
            state = LEX_COMMENT;
        } else if (l->word.size == 0) {
            l->word_line = l->line;
            if (rune == '"')
                state = LEX_QUOTED;
            else
                word_add(l, rune, width);
        } else {
            word_add(l, rune, width);
        }
        l->offset += width;
        if (end)
            return true;
    }
    return l->word.size > 0;
}

static void skip_byte_order_mark(struct lexer *l)
{
    size_t width;
    if (l->size > 0 && utf8_decode(l->text, l->size, &width) == BYTE_ORDER_MARK)
        l->offset = width;
}

/* The word as a token of OUT. */
static enum err lex_emit(struct lexer *l, const char *file, struct arena *arena,
                         struct token_list *out, struct strbuf *error)
{
    if (l->word.failed)
        return ERR_NO_MEMORY;
    const char *word = strbuf_str(&l->word);
    for (size_t i = 0; i < l->word.size; i++) {
        if (word[i] != '\0')
            continue;
        strbuf_add_format(error, "%s:%d - Error during parsing: NUL byte behind '%s'", file,
                          l->word_line, word);
        return ERR_MALFORMED;
    }
    char *text = arena_copy(arena, word, l->word.size + 1);
    if (text == NULL)
        return ERR_NO_MEMORY;
    return token_list_add(out,
                          (struct core_token){.file = file, .line = l->word_line, .text = text});
}

enum err core_lex(const char *text, size_t size, const char *file, struct arena *arena,
                  struct token_list *out, struct strbuf *error)
{
    struct lexer l = {.text = text, .size = size, .line = 1};
    skip_byte_order_mark(&l);
    enum err err = OK;
    while (err == OK && lex_next(&l))
        err = lex_emit(&l, file, arena, out, error);
    strbuf_fini(&l.word);
    return err;
}
