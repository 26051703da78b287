/* debug: debug lines are printed, and a crash is not caught. The flag is acted upon by the server
 * when the instance starts. */
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

enum err directive_debug_setup(struct setup *s)
{
    while (core_next(&s->cursor)) {
        if (core_next_arg(&s->cursor)) {
            struct strbuf why = STRBUF_EMPTY;
            enum err err = core_arg_error(&s->cursor, &why);
            return setup_fail(s, "debug", err, &why);
        }
        s->site->debug = true;
    }
    return OK;
}
