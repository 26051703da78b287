#include "base/log.h"

#include "base/strbuf.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static atomic_bool debug_on;

void log_set_debug(bool on)
{
    atomic_store_explicit(&debug_on, on, memory_order_relaxed);
}

bool log_debug_on(void)
{
    return atomic_load_explicit(&debug_on, memory_order_relaxed);
}

static const char *level_head(enum log_level level)
{
    switch (level) {
    case LOG_DEBUG:
        return "[DEBUG] ";
    case LOG_INFO:
        return "[INFO] ";
    case LOG_WARNING:
        return "[WARNING] ";
    case LOG_ERROR:
        return "[ERROR] ";
    case LOG_FATAL:
        return "[FATAL] ";
    }
    return "[ERROR] ";
}

/* How many bytes at TEXT are one control character: 1 for C0 and DEL, 2 for the UTF-8 form of C1
 * (U+009B starts a terminal sequence too), 0 for anything else. */
static size_t control_size(const uint8_t *text, size_t size)
{
    if ((text[0] < 0x20 && text[0] != '\n') || text[0] == 0x7f)
        return 1;
    if (text[0] == 0xc2 && size > 1 && text[1] >= 0x80 && text[1] <= 0x9f)
        return 2;
    return 0;
}

static void add_escaped(struct strbuf *line, const char *text, size_t size)
{
    const uint8_t *bytes = (const uint8_t *)text;
    size_t from = 0, at = 0;

    while (at < size) {
        size_t control = control_size(bytes + at, size - at);
        if (control == 0) {
            at++;
            continue;
        }
        strbuf_add(line, text + from, at - from);
        for (; control > 0; control--)
            strbuf_add_format(line, "\\x%02x", bytes[at++]);
        from = at;
    }
    strbuf_add(line, text + from, size - from);
}

static void write_line(enum log_level level, const char *plugin, const char *format, va_list args)
    PRINTF_LIKE(3, 0);

static void write_line(enum log_level level, const char *plugin, const char *format, va_list args)
{
    static const char no_memory[] = "[ERROR] out of memory for a log line\n";
    struct strbuf text = STRBUF_EMPTY, line = STRBUF_EMPTY;

    strbuf_add_format_args(&text, format, args);
    strbuf_add_str(&line, level_head(level));
    if (plugin)
        strbuf_add_format(&line, "plugin/%s: ", plugin);
    add_escaped(&line, strbuf_str(&text), text.size);
    strbuf_add_char(&line, '\n');
    if (text.failed || line.failed)
        log_raw(no_memory, sizeof no_memory - 1);
    else
        log_raw(line.data, line.size);
    strbuf_fini(&text);
    strbuf_fini(&line);
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list args;

    if (level == LOG_DEBUG && !log_debug_on())
        return;
    va_start(args, format);
    write_line(level, NULL, format, args);
    va_end(args);
}

void log_plugin(enum log_level level, const char *name, const char *format, ...)
{
    va_list args;

    if (level == LOG_DEBUG && !log_debug_on())
        return;
    va_start(args, format);
    write_line(level, name, format, args);
    va_end(args);
}

void log_raw(const char *line, size_t size)
{
    int saved_errno = errno; /* callers log between a failed call and the look at its errno */

    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, line, size);
        if (written >= 0) {
            line += written;
            size -= (size_t)written;
        } else if (errno == EAGAIN) {
            /* Somebody made the pipe non-blocking: wait for its reader, as a blocking one would. */
            struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&out, 1, -1);
        } else if (errno != EINTR) {
            break; /* nowhere to complain to */
        }
    }
    errno = saved_errno;
}
