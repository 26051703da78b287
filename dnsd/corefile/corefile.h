/* The Corefile: text to tokens to server blocks, with CoreDNS 1.11.1's grammar and messages.
 *
 * A Corefile is a list of server blocks; a block has keys (zones with optional scheme and port)
 * and, per directive name, the tokens of all its lines in order (repeated lines are merged).
 * Snippets, imports and environment variables are already expanded. A message carries FILE:LINE
 * where CoreDNS's does, and its text is CoreDNS's.
 *
 * Decoding is bounded: CORE_FILE_MAX_SIZE bytes a file, CORE_FILE_MAX_TOKENS tokens in all,
 * CORE_FILE_MAX_IMPORTS nested or repeated imports. */
#ifndef WARREN_DNSD_COREFILE_H
#define WARREN_DNSD_COREFILE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    CORE_FILE_MAX_SIZE = 16 << 20,
    CORE_FILE_MAX_TOKENS = 1 << 20,
    CORE_FILE_MAX_IMPORTS = 10000,
};

struct core_token {
    const char *file; /* as messages name it */
    int line;         /* 1-based */
    const char *text; /* NUL-terminated; never contains NUL inside */
};

/* All tokens of one directive in one server block; the first is the directive's name. */
struct core_directive {
    const char *name;
    const struct core_token *tokens;
    size_t token_count;
};

struct core_block {
    const char **keys;
    size_t key_count;
    const struct core_directive *directives; /* in order of first appearance */
    size_t directive_count;
};

struct core_file {
    struct arena arena; /* owns everything below */
    const char *name;
    struct core_block *blocks;
    size_t block_count;
};

/* Whether NAME is a directive of the dialect; an unknown one is an error of the parser
 * ("FILE:LINE - Error during parsing: Unknown directive 'x'"). */
typedef bool core_known_fn(const char *name);

/* Reads text already in memory. NAME is what messages call it (CoreDNS: the path as given;
 * "Corefile" by default; "stdin"-less forms as CoreDNS). On failure ERROR holds CoreDNS's one-line
 * message without a final newline. ERR_MALFORMED for the user's errors, ERR_NO_MEMORY, ERR_LIMIT.
 */
enum err core_file_parse(struct core_file *out, const char *name, const char *text, size_t size,
                         core_known_fn *known, struct strbuf *error) MUST_CHECK;
void core_file_fini(struct core_file *f);

/* Every token of the parsed file with its file and line, in order, as CoreDNS's `reload` directive
 * hashes them is the caller's matter; this walks them. */

/* A cursor over the tokens of one directive: what a directive's setup reads. Semantics are those
 * of caddy's Dispenser, which CoreDNS plugins use: next() crosses lines, next_arg() stays on the
 * line, next_block() walks the lines between braces. */
struct core_cursor {
    const char *file; /* for messages when there is no token */
    const struct core_token *tokens;
    size_t count;
    ptrdiff_t at; /* -1 before the first */
    int nesting;
};

void core_cursor_init(struct core_cursor *c, const char *file, const struct core_directive *d);
bool core_next(struct core_cursor *c);
bool core_next_arg(struct core_cursor *c);
bool core_next_line(struct core_cursor *c);
bool core_next_block(struct core_cursor *c);
/* The current token's text; "" before the first or past the end. */
const char *core_val(const struct core_cursor *c);
int core_line(const struct core_cursor *c);
const char *core_file_name(const struct core_cursor *c);
/* The rest of the line's arguments, into an array of ARENA; the cursor ends on the last of them. */
enum err core_remaining_args(struct core_cursor *c, struct arena *arena, const char ***args,
                             size_t *count) MUST_CHECK;

/* caddy's standard errors, appended to ERROR: "FILE:LINE - Error during parsing: Wrong argument
 * count or unexpected line ending after 'X'" and friends. They return ERR_INVALID for `return`. */
enum err core_arg_error(const struct core_cursor *c, struct strbuf *error) MUST_CHECK;
enum err core_syntax_error(const struct core_cursor *c, const char *expected,
                           struct strbuf *error) MUST_CHECK;
enum err core_eof_error(const struct core_cursor *c, struct strbuf *error) MUST_CHECK;
enum err core_error(const struct core_cursor *c, struct strbuf *error, const char *format,
                    ...) MUST_CHECK PRINTF_LIKE(3, 4);

#endif
