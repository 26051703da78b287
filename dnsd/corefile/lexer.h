/* Corefile text to tokens: whitespace-separated words, quotes, comments, line numbers.
 *
 * Text is read the way Go reads UTF-8: a byte that starts no valid sequence counts as U+FFFD.
 * White space is Unicode's White_Space; '\r' outside quotes vanishes, even inside a word. */
#ifndef WARREN_DNSD_COREFILE_LEXER_H
#define WARREN_DNSD_COREFILE_LEXER_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"
#include "dnsd/corefile/corefile.h"

#include <stddef.h>
#include <stdint.h>

/* A growing array of tokens; the texts live elsewhere. */
struct token_list {
    struct core_token *items;
    size_t count;
    size_t capacity;
};

void token_list_fini(struct token_list *l);
/* Room for COUNT tokens in all, so that adding them cannot fail. ERR_LIMIT, ERR_NO_MEMORY. */
enum err token_list_reserve(struct token_list *l, size_t count) MUST_CHECK;
/* ERR_LIMIT beyond CORE_FILE_MAX_TOKENS, ERR_NO_MEMORY. */
enum err token_list_add(struct token_list *l, struct core_token token) MUST_CHECK;

/* Decodes the rune at DATA (SIZE > 0) and gives its width in bytes: U+FFFD with width 1 for bytes
 * that are no valid UTF-8 (surrogates and overlong forms included). */
uint32_t utf8_decode(const char *data, size_t size, size_t *width);

/* Appends the tokens of TEXT to OUT; their texts come from ARENA, their file is FILE itself.
 * ERR_MALFORMED with a message for a token with a NUL byte in it, ERR_LIMIT, ERR_NO_MEMORY. On
 * failure OUT holds the tokens before the trouble. */
enum err core_lex(const char *text, size_t size, const char *file, struct arena *arena,
                  struct token_list *out, struct strbuf *error) MUST_CHECK;

#endif
