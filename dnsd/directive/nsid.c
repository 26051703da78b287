/* nsid: tells who answered (RFC 5001) to clients that ask. */
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NSID_MAX_SIZE = 65535 - 4
};

static const char name[] = "nsid";

struct nsid {
    struct handler base;
    const char *data; /* the instance's arena */
    uint16_t size;
};

struct nsid_writer {
    struct response_writer base;
    const struct nsid *nsid;
};

static void option_set(const struct nsid *n, struct dns_edns *edns)
{
    struct dns_edns_option option = {
        .code = DNS_EDNS_NSID, .size = n->size, .data = (const uint8_t *)n->data};
    bool exists = false;
    for (size_t i = 0; i < edns->option_count; i++) {
        if (edns->options[i].code == DNS_EDNS_NSID) {
            edns->options[i] = option;
            exists = true;
        }
    }
    if (!exists && edns->option_count < DNS_MAX_EDNS_OPTIONS)
        edns->options[edns->option_count++] = option;
}

/* The reply's OPT is a new one with DO set whether or not the client set it: CoreDNS 1.11.1 does
 * so, and our replies are to be the same bytes. */
static void nsid_write(struct response_writer *self, struct query *q, struct dns_message *reply)
{
    const struct dns_edns *asked = q->request.message.edns;
    struct dns_edns fresh;
    if (asked != NULL && reply->edns == NULL) {
        memset(&fresh, 0, sizeof(fresh));
        fresh.udp_size = asked->udp_size;
        fresh.flags = DNS_EDNS_DO;
        reply->edns = &fresh;
    }
    if (reply->edns != NULL)
        option_set(((struct nsid_writer *)self)->nsid, reply->edns);
    self->outer->write(self->outer, q, reply);
    if (reply->edns == &fresh)
        reply->edns = NULL;
}

static bool is_asked(const struct query *q)
{
    const struct dns_edns *edns = q->request.message.edns;
    for (size_t i = 0; edns != NULL && i < edns->option_count; i++) {
        if (edns->options[i].code == DNS_EDNS_NSID)
            return true;
    }
    return false;
}

static int nsid_serve(struct handler *self, struct query *q)
{
    if (!is_asked(q))
        return handler_next(self, q);
    struct nsid_writer w = {
        .base = {.write = nsid_write, .outer = q->writer},
        .nsid = (const struct nsid *)self,
    };
    q->writer = &w.base;
    int rcode = handler_next(self, q);
    q->writer = w.base.outer;
    return rcode;
}

static void nsid_destroy(struct handler *self)
{
    free(self);
}

static enum err args_join(struct setup *s, const struct setup_args *args, const char **out)
{
    struct strbuf joined = STRBUF_EMPTY;
    for (size_t i = 0; i < args->count; i++) {
        if (i > 0)
            strbuf_add_char(&joined, ' ');
        strbuf_add_str(&joined, args->items[i]);
    }
    const char *copy = arena_copy(s->arena, strbuf_str(&joined), joined.size + 1);
    bool failed = joined.failed || copy == NULL;
    strbuf_fini(&joined);
    if (failed)
        return ERR_NO_MEMORY;
    *out = copy;
    return OK;
}

static enum err nsid_parse(struct setup *s, const char **data, struct strbuf *why)
{
    char host[256] = "localhost";
    if (gethostname(host, sizeof(host)) == 0)
        host[sizeof(host) - 1] = '\0';
    *data = arena_copy(s->arena, host, strlen(host) + 1);
    if (*data == NULL)
        return ERR_NO_MEMORY;
    for (int line = 0; core_next(&s->cursor); line++) {
        struct setup_args args;
        if (line > 0)
            return setup_once_error(why);
        enum err err = setup_args_read(s, &args);
        if (err == OK && args.count > 0)
            err = args_join(s, &args, data);
        if (err != OK)
            return err;
    }
    return OK;
}

enum err directive_nsid_setup(struct setup *s)
{
    struct strbuf why = STRBUF_EMPTY;
    const char *data;
    enum err err = nsid_parse(s, &data, &why);
    if (err == OK && strlen(data) > NSID_MAX_SIZE)
        err = ERR_LIMIT;
    if (err != OK)
        return setup_fail(s, name, err, &why);
    struct nsid *n = malloc(sizeof(*n));
    if (n != NULL)
        *n = (struct nsid){
            .base = {.name = name, .serve = nsid_serve, .destroy = nsid_destroy},
            .data = data,
            .size = (uint16_t)strlen(data),
        };
    return setup_add_handler(s, name, (struct handler *)n);
}
