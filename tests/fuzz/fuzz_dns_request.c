/* Requests: any bytes. What is accepted is answered and what is rejected gets its short reply, both
 * of which must be whole messages again. */
#include "tests/dns_decode.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct arena arena;

static void check_reject(const struct dns_request *request, enum dns_verdict verdict)
{
    uint8_t out[DNS_MIN_UDP_SIZE];
    size_t size = dns_reject(request, verdict, out, sizeof out);
    static struct decoded decoded;
    REQUIRE(decode_message(&decoded, out, size, &arena));
    const struct dns_message *m = &decoded.message;
    REQUIRE((m->flags & DNS_FLAG_QR) != 0 && (m->flags & (DNS_FLAG_AA | DNS_FLAG_Z)) == 0);
    REQUIRE(m->rcode == (verdict == DNS_REJECT_NOTIMP ? DNS_RCODE_NOTIMP : DNS_RCODE_FORMERR));
    REQUIRE(m->has_question == request->message.has_question);
}

static void check_reply(const struct dns_request *request)
{
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    static struct decoded decoded;
    struct dns_message reply;
    dns_reply_init(&reply, &request->message);
    reply.edns = request->message.edns;
    size_t size;
    if (dns_message_write(&reply, out, sizeof out, &size) != OK)
        abort();
    REQUIRE(size == dns_message_size(&reply));
    REQUIRE(dns_request_size(request) >= size);
    REQUIRE(decode_message(&decoded, out, size, &arena));
    REQUIRE(decoded.message.has_question == reply.has_question);
    if (reply.has_question) {
        REQUIRE(dns_name_same(decoded.message.question.name, reply.question.name));
        REQUIRE(decoded.message.question.type == reply.question.type);
        REQUIRE(decoded.message.question.class_number == reply.question.class_number);
    }
    REQUIRE((decoded.message.edns != NULL) == (reply.edns != NULL));
    if (reply.edns != NULL) {
        REQUIRE(decoded.edns.option_count == reply.edns->option_count);
        REQUIRE(decoded.edns.udp_size == reply.edns->udp_size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dns_request request;
    if (size > DNS_MAX_MESSAGE_SIZE)
        return 0;
    memset(&request, 0xA5, sizeof request);
    arena_init(&arena, 1u << 20);
    enum dns_verdict verdict = dns_request_parse(&request, data, size);
    switch (verdict) {
    case DNS_IGNORE:
        break;
    case DNS_ACCEPT:
        check_reply(&request);
        break;
    case DNS_REJECT_FORMERR:
    case DNS_REJECT_NOTIMP:
        check_reject(&request, verdict);
        break;
    }
    arena_fini(&arena);
    return 0;
}
