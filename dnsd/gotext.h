/* Text forms of Go's standard library that CoreDNS's arguments and messages are made of: durations,
 * host:port pairs, quoted strings. Pure: no system call, no global. */
#ifndef WARREN_DNSD_GOTEXT_H
#define WARREN_DNSD_GOTEXT_H

#include "base/err.h"
#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

enum {
    DURATION_TEXT_SIZE = 32
}; /* with NUL */

#define DURATION_SECOND INT64_C(1000000000)

/* time.ParseDuration: "300ms", "-1.5h", "2h45m"; units ns us ms s m h. Nanoseconds. ERR_MALFORMED
 * with Go's message appended to ERROR: `time: missing unit in duration "30"` and its like. */
enum err duration_parse(const char *text, int64_t *ns, struct strbuf *error) MUST_CHECK;
/* Duration.String: "1h0m0s", "4.5s", "250ms", "0s". Returns OUT. */
const char *duration_text(int64_t ns, char out[static DURATION_TEXT_SIZE]);

/* net.SplitHostPort: the parts borrow TEXT; brackets around the host are not part of it. The port
 * is any text. ERR_MALFORMED with Go's message: "address bla: missing port in address". */
enum err host_port_split(const char *text, const char **host, size_t *host_size, const char **port,
                         struct strbuf *error) MUST_CHECK;
/* net.JoinHostPort: brackets around a host with a colon. */
void host_port_join(struct strbuf *out, const char *host, const char *port);

/* strconv.Quote (%q): double quotes, Go's escapes; characters beyond ASCII stay, except
 * controls, spaces, formats and private use. */
void quote_add(struct strbuf *out, const char *text);

/* The text of an errno value as Go prints it: "permission denied". */
void errno_text_add(struct strbuf *out, int error_number);
/* A failed system call as Go's os package words it: "open /etc/x: permission denied". */
void os_error_add(struct strbuf *out, const char *call, const char *path, int error_number);

#endif
