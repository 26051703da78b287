#include "base/dns_message.h"

void dns_reply_init(struct dns_message *reply, const struct dns_message *request)
{
    uint16_t copied = request->opcode == DNS_OPCODE_QUERY ? DNS_FLAG_RD | DNS_FLAG_CD : 0;
    *reply = (struct dns_message){
        .id = request->id,
        .opcode = request->opcode,
        .flags = (uint16_t)(DNS_FLAG_QR | (request->flags & copied)),
        .has_question = request->has_question,
        .question = request->question,
    };
}

void dns_reply_init_rcode(struct dns_message *reply, const struct dns_message *request, int rcode)
{
    dns_reply_init(reply, request);
    reply->rcode = (uint16_t)rcode;
}
