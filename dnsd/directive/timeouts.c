/* timeouts: how long TCP connections of a server may take to read, write, and stay idle. */
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"
#include "dnsd/gotext.h"

#include <string.h>

#define TIMEOUT_MIN DURATION_SECOND
#define TIMEOUT_MAX (24 * 3600 * DURATION_SECOND)

static enum err option_parse(struct setup *s, struct strbuf *why)
{
    const char *option = core_val(&s->cursor);
    struct setup_args args;
    int64_t ns;
    struct strbuf text = STRBUF_EMPTY;
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count != 1)
        return core_arg_error(&s->cursor, why);
    err = duration_arg_parse(&ns, args.items[0], &text);
    if (err != OK) {
        err = core_error(&s->cursor, why, "%s", strbuf_str(&text));
        strbuf_fini(&text);
        return err;
    }
    if (ns < TIMEOUT_MIN || ns > TIMEOUT_MAX) {
        char printed[DURATION_TEXT_SIZE];
        return core_error(&s->cursor, why,
                          "timeout provided '%s' needs to be between 1 second and 24 hours",
                          duration_text(ns, printed));
    }
    unsigned ms = (unsigned)(ns / (DURATION_SECOND / 1000));
    if (strcmp(option, "read") == 0)
        s->site->read_timeout_ms = ms;
    else if (strcmp(option, "write") == 0)
        s->site->write_timeout_ms = ms;
    else if (strcmp(option, "idle") == 0)
        s->site->idle_timeout_ms = ms;
    else
        return core_error(&s->cursor, why, "unknown option: '%s'", option);
    return OK;
}

/* Some of CoreDNS's messages here name the directive twice. */
static enum err timeouts_parse(struct setup *s, struct strbuf *why)
{
    while (core_next(&s->cursor)) {
        struct setup_args args;
        enum err err = setup_args_read(s, &args);
        if (err != OK)
            return err;
        if (args.count > 0) {
            strbuf_add_str(why, "plugin/timeouts: ");
            return core_arg_error(&s->cursor, why);
        }
        size_t option_count = 0;
        for (; core_next_block(&s->cursor); option_count++) {
            err = option_parse(s, why);
            if (err != OK)
                return err;
        }
        if (option_count == 0) {
            strbuf_add_str(why, "plugin/timeouts: ");
            return core_error(&s->cursor, why, "timeouts block with no timeouts specified");
        }
    }
    return OK;
}

enum err directive_timeouts_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    enum err err = timeouts_parse(s, &why);
    return err == OK ? OK : setup_fail(s, "timeouts", err, &why);
}
