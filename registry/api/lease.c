/* etcdserverpb.Lease */
#include "unary.h"

#include "pb.h"
#include "registry/api.h"
#include "server.h"
#include "services.h"

#include <string.h>

/* Field numbers of rpc.proto. */
enum {
    HEADER = 1,
    LEASE_ID = 2,
    LEASE_TTL = 3,
    TTL_GRANTED = 4,
    TTL_KEYS = 5,
    LEASES_LEASES = 2,
    STATUS_ID = 1,
};

/* LeaseGrantResponse and LeaseKeepAliveResponse are alike. NULL: the call has ended. */
static bool answer_lease(struct call *c, const struct reply_header *h, int64_t id, int64_t ttl_s)
{
    size_t header_size = encode_header_size(h);
    uint8_t *at =
        call_message(c, pb_nested_size(header_size) + pb_int_size(id) + pb_int_size(ttl_s));
    if (at == NULL)
        return false;
    at = encode_header(pb_put_nested(at, HEADER, header_size), h);
    at = pb_put_int(at, LEASE_ID, id);
    pb_put_int(at, LEASE_TTL, ttl_s);
    return true;
}

static void grant_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    if (answer_lease(c, &h, response->lease.id, response->lease.ttl_s))
        call_finish(c);
}

static void revoke_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c != NULL)
        unary_answer_header(c, response);
}

static size_t keys_size(const struct lease_status *s)
{
    size_t size = 0;
    for (size_t i = 0; i < s->key_count; i++)
        size += pb_nested_size(s->keys[i].size);
    return size;
}

static void time_to_live_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    const struct lease_status *s = &response->time_to_live;
    struct reply_header h = unary_header(c, response);
    size_t header_size = encode_header_size(&h);
    uint8_t *at =
        call_message(c, pb_nested_size(header_size) + pb_int_size(s->id) + pb_int_size(s->ttl_s) +
                            pb_int_size(s->granted_ttl_s) + keys_size(s));
    if (at == NULL)
        return;
    at = encode_header(pb_put_nested(at, HEADER, header_size), &h);
    at = pb_put_int(at, LEASE_ID, s->id);
    at = pb_put_int(at, LEASE_TTL, s->ttl_s);
    at = pb_put_int(at, TTL_GRANTED, s->granted_ttl_s);
    for (size_t i = 0; i < s->key_count; i++) {
        at = pb_put_nested(at, TTL_KEYS, s->keys[i].size);
        at = pb_put_raw(at, s->keys[i].data, s->keys[i].size);
    }
    call_finish(c);
}

static void leases_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    size_t header_size = encode_header_size(&h), size = pb_nested_size(header_size);
    for (size_t i = 0; i < response->leases.count; i++)
        size += pb_nested_size(pb_int_size(response->leases.ids[i]));
    uint8_t *at = call_message(c, size);
    if (at == NULL)
        return;
    at = encode_header(pb_put_nested(at, HEADER, header_size), &h);
    for (size_t i = 0; i < response->leases.count; i++) {
        int64_t id = response->leases.ids[i];
        at = pb_put_nested(at, LEASES_LEASES, pb_int_size(id));
        at = pb_put_int(at, STATUS_ID, id);
    }
    call_finish(c);
}

void lease_grant(struct call *c, struct bytes message)
{
    unary_propose(c, message, convert_lease_grant, grant_done);
}

void lease_revoke(struct call *c, struct bytes message)
{
    unary_propose(c, message, convert_lease_revoke, revoke_done);
}

void lease_time_to_live(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_lease_time_to_live, time_to_live_done);
}

void lease_leases(struct call *c, struct bytes message)
{
    unary_submit(c, message, convert_lease_leases, leases_done);
}

/* --- the stream ------------------------------------------------------------------------------- */

static void finish_if_idle(struct call *c)
{
    if (c->is_half_closed && c->pending == 0)
        call_finish(c);
}

static void keepalive_done(void *context, const struct store_response *response)
{
    struct call *c = call_take_answer(context, response);
    if (c == NULL)
        return;
    struct reply_header h = unary_header(c, response);
    if (answer_lease(c, &h, response->lease.id, response->lease.ttl_s))
        finish_if_idle(c);
}

void lease_keepalive(struct call *c, struct bytes message)
{
    /* A client that asks and does not read. */
    if (outbuf_size(&c->out) > API_MAX_STREAM_UNSENT) {
        call_end_verdict(c, VERDICT_TOO_MANY_REQUESTS);
        return;
    }
    unary_submit(c, message, convert_lease_keepalive, keepalive_done);
}

void lease_keepalive_half_close(struct call *c)
{
    finish_if_idle(c);
}
