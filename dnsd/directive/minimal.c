/* minimal: positive replies lose their authority and additional sections.
 *
 * One reply is spared: the SRV answer of `wgsd`, whose address wgsd-client takes from the
 * additional section (it crashes when that is empty). */
#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

#include <stdlib.h>

static const char name[] = "minimal";

struct minimal_writer {
    struct response_writer base;
    bool wrote;
};

static void minimal_write(struct response_writer *self, struct query *q, struct dns_message *reply)
{
    ((struct minimal_writer *)self)->wrote = true;
    query_set_plugin(q, name);
    if (reply_typify(reply) != REPLY_NO_ERROR || reply_is_wgsd_srv(q)) {
        self->outer->write(self->outer, q, reply);
        return;
    }
    struct dns_message lean = *reply;
    lean.sections[DNS_AUTHORITY].count = 0;
    lean.sections[DNS_ADDITIONAL].count = 0;
    lean.edns = NULL; /* the OPT stood in the additional section; the server adds the client's */
    self->outer->write(self->outer, q, &lean);
}

static int minimal_serve(struct handler *self, struct query *q)
{
    struct minimal_writer w = {.base = {.write = minimal_write, .outer = q->writer}};
    q->writer = &w.base;
    int rcode = handler_next(self, q);
    q->writer = w.base.outer;
    return w.wrote && q->error == NULL ? DNS_RCODE_NOERROR : rcode;
}

static void minimal_destroy(struct handler *self)
{
    free(self);
}

enum err directive_minimal_setup(struct setup *s)
{
    core_next(&s->cursor);
    if (core_next_arg(&s->cursor)) {
        struct strbuf why = STRBUF_EMPTY;
        enum err err = core_arg_error(&s->cursor, &why);
        return setup_fail(s, name, err, &why);
    }
    struct handler *h = malloc(sizeof(*h));
    if (h != NULL)
        *h = (struct handler){.name = name, .serve = minimal_serve, .destroy = minimal_destroy};
    return setup_add_handler(s, name, h);
}
