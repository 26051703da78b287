/* Regular expressions in RE2's syntax (Go's regexp package, which CoreDNS uses), matched by PCRE2.
 *
 * The expression is checked by RE2's rules, refused with Go's messages, and rewritten so that PCRE2
 * gives every construct RE2's meaning: what PCRE2 can beyond that (back references, look-around)
 * stays out. Matching is bounded: an expression that backtracks too much does not match.
 *
 * Known to differ: (?i) does not widen \p{Lu} and its like, and two operators that only flags part
 * ("a*(?i)*") are refused. */
#ifndef WARREN_DNSD_DIRECTIVE_REGEX_H
#define WARREN_DNSD_DIRECTIVE_REGEX_H

#include "base/err.h"
#include "base/strbuf.h"

#include <stdbool.h>

struct regex;

/* ERR_MALFORMED with Go's message ("error parsing regexp: missing closing ): `(`") in WHY. */
enum err regex_create(struct regex **out, const char *text, struct strbuf *why) MUST_CHECK;
void regex_destroy(struct regex *r);
/* The expression as it was given. */
const char *regex_text(const struct regex *r);
/* Whether it matches anywhere in TEXT. Any thread. */
bool regex_match(const struct regex *r, const char *text);

#endif
