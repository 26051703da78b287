/* etcdserverpb.KV */
#include "unary.h"

#include "services.h"

static void range_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    uint8_t *at = call_message(c, encode_range_size(&h, &response->range));
    if (at == NULL)
        return;
    encode_range(at, &h, &response->range);
    call_finish(c);
}

static void put_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    uint8_t *at = call_message(c, encode_put_size(&h, &response->put));
    if (at == NULL)
        return;
    encode_put(at, &h, &response->put);
    call_finish(c);
}

static void delete_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    uint8_t *at = call_message(c, encode_delete_size(&h, &response->del));
    if (at == NULL)
        return;
    encode_delete(at, &h, &response->del);
    call_finish(c);
}

static void txn_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    uint8_t *at = call_message(c, encode_txn_size(&h, &response->txn));
    if (at == NULL)
        return;
    encode_txn(at, &h, &response->txn);
    call_finish(c);
}

static void compact_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c != NULL)
        unary_answer_header(c, response);
}

void kv_range(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_range, range_done);
}

void kv_put(struct call *c, struct bytes message)
{
    unary_propose(c, message, convert_put, put_done);
}

void kv_delete_range(struct call *c, struct bytes message)
{
    unary_propose(c, message, convert_delete, delete_done);
}

void kv_txn(struct call *c, struct bytes message)
{
    unary_propose(c, message, convert_txn, txn_done);
}

void kv_compact(struct call *c, struct bytes message)
{
    unary_propose(c, message, convert_compact, compact_done);
}
