#include "unary.h"

#include "pb.h"
#include "server.h"
#include "services.h"

#include <string.h>

void unary_refuse(struct call *c, enum err error, const char *type)
{
    if (error == ERR_NO_SPACE)
        call_end_verdict(c, VERDICT_TOO_MANY_OPS);
    else if (error == ERR_LIMIT)
        call_end_format(c, GRPC_RESOURCE_EXHAUSTED,
                        "grpc: decoding the message of %s takes too much memory", type);
    else if (error == ERR_INVALID)
        call_end_format(c, GRPC_INVALID_ARGUMENT,
                        "etcdserver: the message of %s has an unknown value", type);
    else
        call_end_format(c, GRPC_INTERNAL,
                        "grpc: error unmarshalling request: the message of %s is malformed", type);
}

void unary_submit_parts(struct call *c, struct bytes message, convert_fn *convert,
                        store_part_fn *part, store_done_fn *done)
{
    struct server *s = c->server;
    struct store_request request;
    memset(&request, 0, sizeof(request));
    request.max_txn_ops = s->max_txn_ops;
    enum err e = convert(&request, message, &s->arena);
    request.part = part;
    if (e == OK)
        call_submit(c, &request, done);
    else
        unary_refuse(c, e, strrchr(c->method->path, '/') + 1);
    arena_reset(&s->arena);
}

void unary_submit(struct call *c, struct bytes message, convert_fn *convert, store_done_fn *done)
{
    unary_submit_parts(c, message, convert, NULL, done);
}

void unary_propose(struct call *c, struct bytes message, convert_fn *convert, store_done_fn *done)
{
    if (message.size > c->server->max_request_size)
        call_end_verdict(c, VERDICT_REQUEST_TOO_LARGE);
    else
        unary_submit(c, message, convert, done);
}

struct reply_header unary_header(const struct call *c, const struct store_response *response)
{
    return server_header(c->server, response->revision);
}

void unary_answer_header(struct call *c, const struct store_response *response)
{
    struct reply_header h = unary_header(c, response);
    size_t size = encode_header_size(&h);
    uint8_t *at = call_message(c, pb_nested_size(size));
    if (at == NULL)
        return;
    encode_header(pb_put_nested(at, 1, size), &h);
    call_finish(c);
}
