/* whoami: tells a client its own address, port and transport, as additional records. */
#include "dnsd/directive/reply.h"
#include "dnsd/directive/value.h"
#include "dnsd/directives.h"

#include <stdlib.h>
#include <string.h>

static const char name[] = "whoami";

enum {
    SRV_ROOT_SIZE = 7
}; /* priority, weight, port, "." */

/* Never passes on: whoami ends the chain. */
static int whoami_serve(struct handler *self UNUSED, struct query *q)
{
    static const uint8_t udp_label[] = {4, '_', 'u', 'd', 'p', 0};
    static const uint8_t tcp_label[] = {4, '_', 't', 'c', 'p', 0};
    const struct dns_question *question = &q->request.message.question;
    struct dns_name label = {.wire = q->proto == QUERY_TCP ? tcp_label : udp_label,
                             .size = sizeof(udp_label)};
    struct dns_name_buf owner;
    /* A name of more than 250 octets leaves no room for the label: then no SRV is sent. */
    bool has_srv = dns_name_join(&owner, label, question->name) == OK;

    uint16_t port = q->remote.port;
    uint8_t srv[SRV_ROOT_SIZE] = {0, 0, 0, 0, (uint8_t)(port >> 8), (uint8_t)port, 0};
    bool is_v4 = q->remote.addr.family == IP_V4;
    struct dns_rr additional[] = {
        {
            .owner = question->name,
            .rdata = q->remote.addr.bytes,
            .rdata_size = is_v4 ? 4 : 16,
            .type = is_v4 ? DNS_TYPE_A : DNS_TYPE_AAAA,
            .class_number = question->class_number,
        },
        {
            .owner = dns_name_of(&owner),
            .rdata = srv,
            .rdata_size = sizeof(srv),
            .type = DNS_TYPE_SRV,
            .class_number = question->class_number,
        },
    };
    struct dns_message reply;
    dns_reply_init(&reply, &q->request.message);
    reply.flags |= DNS_FLAG_AA;
    reply.sections[DNS_ADDITIONAL] =
        (struct dns_rr_list){.rrs = additional, .count = has_srv ? 2 : 1};
    query_set_plugin(q, name);
    query_write(q, &reply);
    return DNS_RCODE_NOERROR;
}

static void whoami_destroy(struct handler *self)
{
    free(self);
}

enum err directive_whoami_setup(struct setup *s)
{
    core_next(&s->cursor);
    if (core_next_arg(&s->cursor)) {
        struct strbuf why = STRBUF_EMPTY;
        enum err err = core_arg_error(&s->cursor, &why);
        return setup_fail(s, name, err, &why);
    }
    struct handler *h = malloc(sizeof(*h));
    if (h != NULL)
        *h = (struct handler){.name = name, .serve = whoami_serve, .destroy = whoami_destroy};
    return setup_add_handler(s, name, h);
}
