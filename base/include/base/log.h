/* Log lines in CoreDNS's form: "[LEVEL] text" on standard output, without a time stamp (the journal
 * or a container runtime adds it). One write(2) per line, so lines of several threads never mix.
 *
 * The one piece of global state the programs share: it stands for the process's standard output.
 * Libraries of pure folders do not log. */
#ifndef WARREN_BASE_LOG_H
#define WARREN_BASE_LOG_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>

enum log_level {
    LOG_DEBUG, /* printed only while log_set_debug(true) */
    LOG_INFO,
    LOG_WARNING,
    LOG_ERROR,
    LOG_FATAL, /* only names the level; the caller decides to stop */
};

void log_set_debug(bool on);
bool log_debug_on(void);

/* Writes "[LEVEL] <text>\n". Control bytes in TEXT other than a newline are escaped as \xNN so that
 * hostile input cannot forge terminal sequences. Any thread. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
/* The same with "plugin/<name>: " before the text, CoreDNS's form for a directive. */
void log_plugin(enum log_level level, const char *name, const char *format, ...) PRINTF_LIKE(3, 4);
/* Writes SIZE bytes as they are (a line composed elsewhere, newline included). */
void log_raw(const char *line, size_t size);

#endif
