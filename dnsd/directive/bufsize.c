/* bufsize: lowers the UDP size that clients offer (DNS flag day 2020), never raises it. */
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

#include <stdlib.h>

enum {
    BUFSIZE_DEFAULT = 1232,
    BUFSIZE_MIN = 512,
    BUFSIZE_MAX = 4096,
};

static const char name[] = "bufsize";

struct bufsize {
    struct handler base;
    uint16_t size;
};

static int bufsize_serve(struct handler *self, struct query *q)
{
    const struct bufsize *b = (const struct bufsize *)self;
    struct dns_edns *edns = q->request.message.edns;
    if (edns != NULL && edns->udp_size > b->size)
        edns->udp_size = b->size;
    return handler_next(self, q);
}

static void bufsize_destroy(struct handler *self)
{
    free(self);
}

/* Only the first line counts. CoreDNS names the directive twice in its messages. */
static enum err bufsize_parse(struct setup *s, uint16_t *size, struct strbuf *why)
{
    struct setup_args args;
    struct strbuf ignored = STRBUF_EMPTY;
    int64_t value = BUFSIZE_DEFAULT;
    core_next(&s->cursor);
    enum err err = setup_args_read(s, &args);
    if (err != OK)
        return err;
    if (args.count == 1 && int_parse(&value, args.items[0], &ignored) != OK)
        value = -1;
    strbuf_fini(&ignored);
    if (args.count > 1 || value < BUFSIZE_MIN || value > BUFSIZE_MAX) {
        strbuf_add_format(why, "plugin/%s: ", name);
        return core_arg_error(&s->cursor, why);
    }
    *size = (uint16_t)value;
    return OK;
}

enum err directive_bufsize_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    uint16_t size = 0;
    enum err err = bufsize_parse(s, &size, &why);
    if (err != OK)
        return setup_fail(s, name, err, &why);
    struct bufsize *b = malloc(sizeof(*b));
    if (b != NULL)
        *b = (struct bufsize){
            .base = {.name = name, .serve = bufsize_serve, .destroy = bufsize_destroy},
            .size = size,
        };
    return setup_add_handler(s, name, (struct handler *)b);
}
