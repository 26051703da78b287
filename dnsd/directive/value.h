/* What directives' setups share beside dnsd/gotext.h: plugin.Error, plugin.ErrOnce, arguments,
 * strconv.Atoi. */
#ifndef WARREN_DNSD_DIRECTIVE_VALUE_H
#define WARREN_DNSD_DIRECTIVE_VALUE_H

#include "base/err.h"
#include "base/strbuf.h"
#include "dnsd/instance.h"

#include <stdint.h>

/* plugin.Error: s->error gets "plugin/NAME: " and WHY (or ERROR's text when WHY is empty). Consumes
 * WHY. Returns ERROR, for `return`. */
enum err setup_fail(struct setup *s, const char *name, enum err error,
                    struct strbuf *why) MUST_CHECK;
/* Hands HANDLER to the site's chain, or destroys it and fails as setup_fail. NULL: no memory for
 * it. */
enum err setup_add_handler(struct setup *s, const char *name, struct handler *handler) MUST_CHECK;
/* plugin.ErrOnce. */
enum err setup_once_error(struct strbuf *why) MUST_CHECK;

/* The arguments left on the cursor's line. */
struct setup_args {
    const char **items;
    size_t count;
};
enum err setup_args_read(struct setup *s, struct setup_args *out) MUST_CHECK;

/* strconv.Atoi: an optional sign and decimal digits, 64 bits. ERR_MALFORMED with Go's message. */
enum err int_parse(int64_t *out, const char *text, struct strbuf *why) MUST_CHECK;
/* CoreDNS's durations.NewDurationFromArg: a bare number counts seconds. Nanoseconds. */
enum err duration_arg_parse(int64_t *out, const char *text, struct strbuf *why) MUST_CHECK;

/* Monotonic nanoseconds. */
int64_t monotonic_ns(void);

#endif
