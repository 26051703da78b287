/* etcdserverpb.KV */
#include "unary.h"

#include "server.h"
#include "services.h"

/* Of an answer that comes in parts the header goes first, and no part is seen twice. */
static enum store_part_fate range_part(void *context, const struct store_part *part)
{
    struct call *c = context;
    uint8_t *at;
    if (!call_is_wanted(c))
        return STORE_PART_UNWANTED;
    if (part->kv_count > 0) {
        at = call_message_more(c, encode_range_kvs_size(part->kvs, part->kv_count));
        if (at != NULL)
            encode_range_kvs(at, part->kvs, part->kv_count);
    } else {
        struct reply_header h = server_header(c->server, part->revision);
        if (!call_message_begin(c))
            return STORE_PART_LATER;
        at = c->is_ended ? NULL : call_message_more(c, encode_range_header_size(&h));
        if (at != NULL)
            encode_range_header(at, &h);
    }
    return at != NULL ? STORE_PART_TAKEN : STORE_PART_UNWANTED;
}

static void finish_parts(struct call *c, const struct kv_range_response *r)
{
    uint8_t *at = call_message_more(c, encode_range_rest_size(r));
    if (at == NULL)
        return;
    encode_range_rest(at, r);
    call_message_end(c);
    call_finish(c);
}

static void range_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    if (c->is_building) {
        finish_parts(c, &response->range);
        return;
    }
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
    unary_submit_parts(c, message, convert_range, range_part, range_done);
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
