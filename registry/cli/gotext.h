/* Text as Go's fmt and encoding/json write it: etcdctl's output, byte for byte. */
#ifndef WARREN_CLI_GOTEXT_H
#define WARREN_CLI_GOTEXT_H

#include "base/bytes.h"
#include "base/err.h"
#include "base/strbuf.h"

/* %q of a string. */
void go_quote(struct strbuf *out, struct bytes text);
/* TEXT for a terminal: what %q would escape is escaped, but without quotes around it, and quotes
 * and backslashes stay, so that it may go through here twice. */
void visible_add(struct strbuf *out, struct bytes text);
/* What %q of fmt.Sscanf reads: a "..." or `...` literal at the start of TEXT; *USED is its size.
 * ERR_MALFORMED. */
enum err go_unquote(struct strbuf *out, const char *text, size_t *used) MUST_CHECK;
/* encoding/json's string, with its HTML escapes and U+FFFD for what is no UTF-8. */
void go_json_string(struct strbuf *out, struct bytes text);
/* Base64 with padding, in double quotes: a []byte. */
void go_json_bytes(struct strbuf *out, struct bytes data);
/* Bytes of one well-formed UTF-8 character at TEXT (its code point in *RUNE), else 0. */
size_t utf8_decode(uint32_t *rune, struct bytes text);

#endif
