/* any: answers ANY queries with the HINFO record of RFC 8482 section 4.2 instead of everything. */
#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

#include <stdlib.h>

enum {
    ANY_TTL = 8482
};

static const char name[] = "any";

static int any_serve(struct handler *self, struct query *q)
{
    static const uint8_t hinfo[] = "\x0d"
                                   "ANY obsoleted"
                                   "\x0c"
                                   "See RFC 8482";
    if (query_type(q) != DNS_TYPE_ANY)
        return handler_next(self, q);
    struct dns_rr rr = {
        .owner = q->request.message.question.name,
        .rdata = hinfo,
        .rdata_size = sizeof(hinfo) - 1,
        .type = DNS_TYPE_HINFO,
        .class_number = DNS_CLASS_IN,
        .ttl = ANY_TTL,
    };
    struct dns_message reply;
    dns_reply_init(&reply, &q->request.message);
    reply.sections[DNS_ANSWER] = (struct dns_rr_list){.rrs = &rr, .count = 1};
    query_set_plugin(q, name);
    query_write(q, &reply);
    return DNS_RCODE_NOERROR;
}

static void any_destroy(struct handler *self)
{
    free(self);
}

/* Arguments are not looked at, as in CoreDNS. */
enum err directive_any_setup(struct setup *s)
{
    struct handler *h = malloc(sizeof(*h));
    if (h != NULL)
        *h = (struct handler){.name = name, .serve = any_serve, .destroy = any_destroy};
    return setup_add_handler(s, name, h);
}
