/* Text between double quotes as Go's %q prints it: what CoreDNS's messages quote. */
#ifndef WARREN_DNSD_COREFILE_QUOTE_H
#define WARREN_DNSD_COREFILE_QUOTE_H

#include "base/strbuf.h"

/* Appends TEXT quoted: escapes for quotes, backslashes, control and other unprintable characters,
 * \xNN for bytes that are no UTF-8. */
void core_quote(struct strbuf *out, const char *text);

#endif
