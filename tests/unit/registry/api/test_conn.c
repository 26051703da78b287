/* Connections and calls, over a client in memory: gRPC's framing, statuses and bounds (etcd-v3
 * section 9), and what a hostile client may do. */
#include "h2_peer.h"

#include "registry/api.h"
#include "registry/api/call.h"
#include "rpc.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char range_path[] = "/etcdserverpb.KV/Range";
static const char put_path[] = "/etcdserverpb.KV/Put";
static const char keepalive_path[] = "/etcdserverpb.Lease/LeaseKeepAlive";

static int setup(void **state)
{
    struct h2_peer *p = malloc(sizeof(*p));
    assert_non_null(p);
    h2_open(p);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    h2_close(*state);
    free(*state);
    return 0;
}

static struct bytes range_of(const char *key)
{
    static uint8_t packed[4096];
    Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
    r.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    return bytes_of(packed, etcdserverpb__range_request__pack(&r, packed));
}

static struct bytes put_of(const char *key, size_t value_size)
{
    static uint8_t packed[3 << 20];
    Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;
    uint8_t *value = calloc(1, value_size + 1);
    r.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    r.value = (ProtobufCBinaryData){value_size, value};
    size_t size = etcdserverpb__put_request__pack(&r, packed);
    free(value);
    return bytes_of(packed, size);
}

static struct bytes keepalive_of(int64_t id)
{
    static uint8_t packed[32];
    Etcdserverpb__LeaseKeepAliveRequest r = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    r.id = id;
    return bytes_of(packed, etcdserverpb__lease_keep_alive_request__pack(&r, packed));
}

static struct h2_reply *call(struct h2_peer *p, const char *path, struct bytes message)
{
    int32_t id = h2_start(p, path, NULL, h2_framed(message), true);
    return h2_reply_of(p, id);
}

static void assert_status(const struct h2_reply *r, int code, const char *message)
{
    assert_true(r->is_closed);
    assert_string_equal(r->grpc_message, message);
    assert_int_equal(r->grpc_status, code);
}

/* --- unary ------------------------------------------------------------------------------------ */

static void a_put_and_its_range(void **state)
{
    struct h2_peer *p = *state;
    struct bytes message;
    struct h2_reply *r = call(p, put_path, put_of("a", 3));
    assert_status(r, 0, "");
    assert_int_equal(r->http_status, 200);
    assert_true(r->has_initial_headers);
    assert_true(h2_next(r, &message));
    Etcdserverpb__PutResponse *put =
        etcdserverpb__put_response__unpack(NULL, message.size, message.data);
    assert_non_null(put);
    assert_int_equal(put->header->revision, 2);
    assert_int_equal(put->header->cluster_id, FAKE_CLUSTER);
    assert_int_equal(put->header->member_id, FAKE_MEMBER);
    assert_int_equal(put->header->raft_term, FAKE_TERM);
    etcdserverpb__put_response__free_unpacked(put, NULL);

    r = call(p, range_path, range_of("a"));
    assert_status(r, 0, "");
    assert_true(h2_next(r, &message));
    Etcdserverpb__RangeResponse *range =
        etcdserverpb__range_response__unpack(NULL, message.size, message.data);
    assert_non_null(range);
    assert_int_equal(range->count, 1);
    assert_int_equal(range->kvs[0]->mod_revision, 2);
    assert_int_equal(range->kvs[0]->value.len, 3);
    etcdserverpb__range_response__free_unpacked(range, NULL);
    assert_int_equal(p->conn->call_count, 0);
}

static void an_error_is_trailers_only(void **state)
{
    struct h2_reply *r = call(*state, range_path, range_of(""));
    assert_status(r, 3, "etcdserver: key is not provided");
    assert_false(r->has_initial_headers);
    assert_int_equal(r->http_status, 200);
}

static void a_message_in_single_bytes(void **state)
{
    struct h2_peer *p = *state;
    uint8_t copy[64];
    struct bytes framed = h2_framed(put_of("key", 20));
    memcpy(copy, framed.data, framed.size);
    int32_t id = h2_start(p, put_path, NULL, BYTES_EMPTY, false);
    for (size_t i = 0; i < framed.size; i++)
        h2_send(p, id, bytes_of(&copy[i], 1), i + 1 == framed.size);
    assert_status(h2_reply_of(p, id), 0, "");
    assert_int_equal(p->server.held_size, 0);
}

static void a_large_message_in_many_frames(void **state)
{
    struct h2_peer *p = *state;
    assert_status(call(p, put_path, put_of("key", 1 << 20)), 0, "");
    struct h2_reply *r = call(p, range_path, range_of("key"));
    assert_status(r, 0, "");
    assert_true(r->body.size > 1 << 20);
    assert_int_equal(p->server.held_size, 0);
    assert_int_equal(p->conn->unsent_size, 0);
}

static void requests_over_one_and_a_half_mebibytes(void **state)
{
    assert_status(call(*state, put_path, put_of("key", 3 << 19)), 3,
                  "etcdserver: request is too large");
}

static void messages_over_two_mebibytes(void **state)
{
    char expected[128];
    struct bytes message = put_of("key", 2 << 20);
    snprintf(expected, sizeof(expected), "grpc: received message larger than max (%zu vs. 2097152)",
             message.size);
    assert_status(call(*state, put_path, message), 8, expected);
}

static void unknown_methods_and_services(void **state)
{
    struct h2_peer *p = *state;
    assert_status(call(p, "/etcdserverpb.KV/Rang", BYTES_EMPTY), 12,
                  "unknown method Rang for service etcdserverpb.KV");
    assert_status(call(p, "/etcdserverpb.Nothing/Range", BYTES_EMPTY), 12,
                  "unknown service etcdserverpb.Nothing");
    assert_status(call(p, "/x", BYTES_EMPTY), 12, "malformed method name: \"/x\"");
    assert_status(call(p, "/etcdserverpb.Maintenance/Snapshot", BYTES_EMPTY), 12,
                  "etcdserver: Snapshot is not supported by this server");
}

static void a_message_that_is_none(void **state)
{
    struct h2_reply *r = call(*state, put_path, bytes_of("\x0a\x7f", 2));
    assert_status(r, 13, "grpc: error unmarshalling request: the message of Put is malformed");
}

static void unknown_fields_are_accepted_and_the_last_scalar_wins(void **state)
{
    struct h2_peer *p = *state;
    static const char twice[] = "\x0a\x01"
                                "a\x0a\x01"
                                "b\xfa\x01\x02zz";
    assert_status(call(p, put_path, bytes_of(twice, sizeof(twice) - 1)), 0, "");
    struct h2_reply *r = call(p, range_path, range_of("b"));
    struct bytes message;
    assert_true(h2_next(r, &message));
    Etcdserverpb__RangeResponse *range =
        etcdserverpb__range_response__unpack(NULL, message.size, message.data);
    assert_int_equal(range->count, 1);
    etcdserverpb__range_response__free_unpacked(range, NULL);
}

static void compressed_messages_are_refused(void **state)
{
    struct h2_peer *p = *state;
    int32_t id = h2_start(p, put_path, NULL, bytes_of("\1\0\0\0\1x", 6), true);
    assert_status(h2_reply_of(p, id), 13,
                  "grpc: compressed flag set with identity or empty encoding");
    struct h2_options o = {.extra_name = "grpc-encoding", .extra_value = "identity"};
    id = h2_start(p, put_path, &o, h2_framed(put_of("a", 1)), true);
    assert_status(h2_reply_of(p, id), 0, "");
    o.extra_value = "gzip";
    id = h2_start(p, put_path, &o, h2_framed(put_of("a", 1)), true);
    assert_status(h2_reply_of(p, id), 12,
                  "grpc: Decompressor is not installed for grpc-encoding \"gzip\"");
    id = h2_start(p, "/etcdserverpb.KV/No", &o, h2_framed(put_of("a", 1)), true);
    assert_status(h2_reply_of(p, id), 12, "unknown method No for service etcdserverpb.KV");
}

/* --- header blocks (request_head.h) ----------------------------------------------------------- */

static void the_authority_that_grpc_go_sends_for_a_url(void **state)
{
    struct h2_peer *p = *state;
    struct h2_options o = {.authority = "http://127.0.0.1:2379"};
    int32_t id = h2_start(p, range_path, &o, h2_framed(range_of("a")), true);
    assert_status(h2_reply_of(p, id), 0, "");
}

static void malformed_header_blocks_are_reset(void **state)
{
    static const char *const fields[][2] = {
        {":path", range_path},      /* twice, and behind a regular field */
        {":protocol", "websocket"}, /* unknown */
        {"connection", "close"},    {"transfer-encoding", "chunked"}, {"te", "gzip"},
        {"x-line", "a\nb"},
    };
    struct h2_peer *p = *state;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        struct h2_options o = {.extra_name = fields[i][0], .extra_value = fields[i][1]};
        int32_t id = h2_start(p, range_path, &o, h2_framed(range_of("a")), true);
        struct h2_reply *r = h2_reply_of(p, id);
        assert_true(r->is_closed);
        assert_int_equal(r->grpc_status, -1);
        assert_int_equal(r->error_code, NGHTTP2_PROTOCOL_ERROR);
    }
    assert_int_equal(p->server.call_count, 0);
    assert_status(call(p, range_path, range_of("a")), 0, ""); /* the connection serves on */
}

static void fields_that_a_request_needs(void **state)
{
    (void)state;
    static const char *const names[] = {":method", ":scheme", ":path"};
    for (size_t missing = 0; missing <= 3; missing++) {
        struct request_head h = {0};
        for (size_t i = 0; i < 3; i++)
            assert_true(i == missing ||
                        request_head_field(&h, bytes_of_str(names[i]), bytes_of_str("x")));
        assert_true(request_head_field(&h, bytes_of_str("te"), bytes_of_str("trailers")));
        assert_int_equal(request_head_is_complete(&h), missing == 3);
    }
    struct request_head h = {0};
    assert_false(request_head_field(&h, BYTES_EMPTY, bytes_of_str("x")));
    assert_false(request_head_field(&h, bytes_of_str("a"), bytes_of("a\0b", 3)));
    assert_false(request_head_field(&h, bytes_of_str("Upper"), bytes_of_str("x")));
}

/* --- what an etcd without users and other members says ---------------------------------------- */

static void users_and_roles_that_are_not_there(void **state)
{
    struct h2_peer *p = *state;
    assert_status(call(p, "/etcdserverpb.Auth/UserGet", BYTES_EMPTY), 9,
                  "etcdserver: user name not found");
    assert_status(call(p, "/etcdserverpb.Auth/RoleDelete", BYTES_EMPTY), 9,
                  "etcdserver: role name not found");
    assert_status(call(p, "/etcdserverpb.Auth/AuthEnable", BYTES_EMPTY), 9,
                  "etcdserver: root user does not exist");
    assert_status(call(p, "/etcdserverpb.Auth/AuthDisable", BYTES_EMPTY), 0, "");
    assert_status(call(p, "/etcdserverpb.Auth/UserAdd", BYTES_EMPTY), 12,
                  "etcdserver: UserAdd is not supported by this server");
}

static struct bytes member_id_of(uint64_t id)
{
    static uint8_t packed[16];
    Etcdserverpb__MemberRemoveRequest r = ETCDSERVERPB__MEMBER_REMOVE_REQUEST__INIT;
    r.id = id;
    return bytes_of(packed, etcdserverpb__member_remove_request__pack(&r, packed));
}

static void members_that_are_not_there(void **state)
{
    struct h2_peer *p = *state;
    static const char *const paths[] = {"/etcdserverpb.Cluster/MemberRemove",
                                        "/etcdserverpb.Cluster/MemberUpdate",
                                        "/etcdserverpb.Cluster/MemberPromote"};
    for (size_t i = 0; i < 3; i++)
        assert_status(call(p, paths[i], member_id_of(FAKE_MEMBER + 1)), 5,
                      "etcdserver: member not found");
    assert_status(call(p, paths[0], member_id_of(FAKE_MEMBER)), 12,
                  "etcdserver: MemberRemove is not supported by this server");
    assert_status(call(p, paths[2], member_id_of(FAKE_MEMBER)), 9,
                  "etcdserver: can only promote a learner member");
    assert_status(call(p, paths[0], bytes_of("\x0a\x7f", 2)), 13,
                  "grpc: error unmarshalling request: the message of MemberRemove is malformed");
    static const char move[] = "/etcdserverpb.Maintenance/MoveLeader";
    assert_status(call(p, move, member_id_of(5)), 9, "etcdserver: bad leader transferee");
    assert_status(call(p, move, member_id_of(FAKE_MEMBER)), 0, "");
}

static void limits_of_the_flags(void **state)
{
    struct h2_peer *p = *state;
    p->server.max_request_size = 1000;
    assert_status(call(p, put_path, put_of("key", 900)), 0, "");
    assert_status(call(p, put_path, put_of("key", 1000)), 3, "etcdserver: request is too large");
    char expected[128];
    struct bytes message = put_of("key", 1000 + (512 << 10));
    snprintf(expected, sizeof(expected), "grpc: received message larger than max (%zu vs. 525288)",
             message.size);
    assert_status(call(p, put_path, message), 8, expected);
}

static void a_request_cut_short(void **state)
{
    struct h2_peer *p = *state;
    int32_t id = h2_start(p, put_path, NULL, bytes_of("\0\0\0\0\7abc", 8), true);
    assert_status(h2_reply_of(p, id), 2, "unexpected EOF");
    id = h2_start(p, put_path, NULL, BYTES_EMPTY, true);
    assert_status(h2_reply_of(p, id), 13, "the request message is missing");
    assert_int_equal(p->server.held_size, 0);
}

static void another_content_type_is_415(void **state)
{
    struct h2_peer *p = *state;
    struct h2_options o = {.content_type = "application/json"};
    int32_t id = h2_start(p, put_path, &o, BYTES_EMPTY, true);
    assert_int_equal(h2_reply_of(p, id)->http_status, 415);
    o.content_type = "application/grpc+proto";
    id = h2_start(p, range_path, &o, h2_framed(range_of("a")), true);
    assert_status(h2_reply_of(p, id), 0, "");
    o = (struct h2_options){.method = "GET"};
    id = h2_start(p, range_path, &o, BYTES_EMPTY, true);
    assert_int_equal(h2_reply_of(p, id)->http_status, 405);
}

static void the_answer_comes_before_the_half_close(void **state)
{
    struct h2_peer *p = *state;
    int32_t id = h2_start(p, range_path, NULL, h2_framed(range_of("a")), false);
    struct h2_reply *r = h2_reply_of(p, id);
    assert_int_equal(r->grpc_status, 0);
    assert_true(r->is_closed); /* the rest is not wanted: RST_STREAM with NO_ERROR */
    assert_int_equal(p->conn->call_count, 0);
}

static void a_deadline_passes(void **state)
{
    struct h2_peer *p = *state;
    struct h2_options o = {.timeout = "100m"};
    fake_store_of(p->store)->hold = true;
    int32_t id = h2_start(p, put_path, &o, h2_framed(put_of("a", 1)), true);
    h2_advance(p, 99);
    assert_false(h2_reply_of(p, id)->is_closed);
    h2_advance(p, 1);
    assert_status(h2_reply_of(p, id), 4, "context deadline exceeded");
    assert_int_equal(p->server.call_count, 1); /* an orphan */
    fake_store_release(p->store);
    assert_int_equal(p->server.call_count, 0);
    o.timeout = "soon";
    id = h2_start(p, put_path, &o, h2_framed(put_of("a", 1)), true);
    assert_status(h2_reply_of(p, id), 13, "malformed grpc-timeout");
}

static void answers_to_streams_that_died(void **state)
{
    struct h2_peer *p = *state;
    fake_store_of(p->store)->hold = true;
    int32_t id = h2_start(p, put_path, NULL, h2_framed(put_of("a", 1)), true);
    h2_start(p, put_path, NULL, h2_framed(put_of("b", 1)), true);
    h2_reset(p, id);
    h2_reconnect(p); /* and the other's connection dies */
    assert_int_equal(p->server.call_count, 2);
    fake_store_release(p->store);
    assert_int_equal(p->server.call_count, 0);
    assert_null(p->server.orphans);
}

/* --- answers in parts ------------------------------------------------------------------------- */

static struct bytes range_over_all(void)
{
    static uint8_t packed[64], zero;
    Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
    r.key = r.range_end = (ProtobufCBinaryData){1, &zero};
    return bytes_of(packed, etcdserverpb__range_request__pack(&r, packed));
}

static void a_range_in_parts_is_one_message(void **state)
{
    struct h2_peer *p = *state;
    struct bytes whole, parts;
    fake_store_put_many(p->store, 300, "value", 5);
    struct h2_reply *r = call(p, range_path, range_over_all());
    assert_true(h2_next(r, &whole));
    fake_store_of(p->store)->parts = true;
    struct h2_reply *s = call(p, range_path, range_over_all());
    assert_status(s, 0, "");
    assert_true(h2_next(s, &parts));
    assert_int_equal(parts.size, whole.size);
    assert_memory_equal(parts.data, whole.data, whole.size);
    assert_int_equal(p->server.unsent_size, 0);
    assert_null(p->conn->building);
    assert_status(call(p, range_path, range_of("no such key")), 0, "");
}

static int32_t start_range(struct h2_peer *p, const char *timeout)
{
    struct h2_options o = {.timeout = timeout};
    return h2_start(p, range_path, &o, h2_framed(range_over_all()), true);
}

/* The store has given some of it and still owes the end. */
static void half_an_answer_is_dropped_with_its_call(void **state)
{
    struct h2_peer *p = *state;
    struct fake_store *fake = fake_store_of(p->store);
    struct bytes message;
    fake_store_put_many(p->store, 300, "value", 5);
    fake->parts = fake->hold = true;
    int32_t id = start_range(p, "1S");
    assert_true(p->server.unsent_size > 300 * 5);
    assert_false(h2_reply_of(p, id)->is_closed);
    h2_advance(p, 2000);
    assert_status(h2_reply_of(p, id), 4, "context deadline exceeded");
    assert_false(h2_next(h2_reply_of(p, id), &message));
    assert_int_equal(p->server.unsent_size, 0);
    assert_int_equal(fake->cancel_count, 1);
    id = start_range(p, NULL);
    assert_non_null(p->conn->building);
    h2_reset(p, id);
    assert_null(p->conn->building);
    assert_int_equal(p->server.unsent_size, 0);
    assert_int_equal(fake->cancel_count, 2);
    start_range(p, NULL);
    h2_reconnect(p);
    assert_int_equal(fake->cancel_count, 3);
    fake_store_release(p->store);
    assert_int_equal(p->server.call_count, 0);
}

static void a_connection_has_one_answer_in_parts_at_a_time(void **state)
{
    struct h2_peer *p = *state;
    struct fake_store *fake = fake_store_of(p->store);
    fake_store_put_many(p->store, 3, "value", 5);
    fake->parts = fake->hold = true;
    int32_t first = start_range(p, NULL), second = start_range(p, NULL);
    assert_int_equal(fake->late_count, 1);
    fake_store_release(p->store);
    h2_pump(p);
    assert_status(h2_reply_of(p, first), 0, "");
    assert_status(h2_reply_of(p, second), 8, "etcdserver: too many requests"); /* the fake's */
    start_range(p, NULL);
    assert_int_equal(fake->late_count, 1);
    fake_store_release(p->store);
}

static void answers_after_the_server_is_gone(void **state)
{
    (void)state;
    struct h2_peer p;
    h2_open(&p);
    fake_store_of(p.store)->hold = true;
    h2_start(&p, put_path, NULL, h2_framed(put_of("a", 1)), true);
    h2_close(&p); /* the store answers last */
}

static void no_leader_for_those_who_want_one(void **state)
{
    struct h2_peer *p = *state;
    struct h2_options o = {.wants_leader = true};
    fake_store_of(p->store)->no_leader = true;
    int32_t id = h2_start(p, range_path, &o, h2_framed(range_of("a")), true);
    assert_status(h2_reply_of(p, id), 14, "etcdserver: no leader");
    id = h2_start(p, range_path, NULL, h2_framed(range_of("a")), true);
    assert_status(h2_reply_of(p, id), 0, "");
}

static void keepalives_until_the_half_close(void **state)
{
    struct h2_peer *p = *state;
    int32_t id = h2_start(p, keepalive_path, NULL, h2_framed(keepalive_of(5)), false);
    struct h2_reply *r = h2_reply_of(p, id);
    struct bytes message;
    assert_true(h2_next(r, &message));
    assert_false(r->is_closed);
    h2_send(p, id, h2_framed(keepalive_of(6)), false);
    assert_true(h2_next(r, &message));
    Etcdserverpb__LeaseKeepAliveResponse *k =
        etcdserverpb__lease_keep_alive_response__unpack(NULL, message.size, message.data);
    assert_int_equal(k->id, 6);
    assert_int_equal(k->ttl, 0); /* no such lease: no error */
    etcdserverpb__lease_keep_alive_response__free_unpacked(k, NULL);
    fake_store_of(p->store)->hold = true;
    h2_send(p, id, h2_framed(keepalive_of(7)), true);
    assert_false(r->is_closed);
    fake_store_release(p->store);
    h2_pump(p);
    assert_true(h2_next(r, &message));
    assert_status(r, 0, "");
}

static void a_shutdown_answers_open_calls(void **state)
{
    struct h2_peer *p = *state;
    fake_store_of(p->store)->hold = true;
    int32_t id = h2_start(p, put_path, NULL, h2_framed(put_of("a", 1)), true);
    conn_shut_down(p->conn);
    h2_pump(p);
    assert_status(h2_reply_of(p, id), 14, "etcdserver: server stopped");
    assert_true(p->got_goaway);
    assert_int_equal(p->goaway_code, NGHTTP2_NO_ERROR);
}

/* --- hostile clients -------------------------------------------------------------------------- */

static void assert_calmed(struct h2_peer *p, const char *why)
{
    h2_pump(p);
    assert_true(p->got_goaway);
    assert_int_equal(p->goaway_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_string_equal(p->goaway_text, why);
    assert_true(conn_is_over(p->conn));
}

static void frame(uint8_t out[9], size_t size, uint8_t type, uint8_t flags, uint32_t stream)
{
    out[0] = (uint8_t)(size >> 16);
    out[1] = (uint8_t)(size >> 8);
    out[2] = (uint8_t)size;
    out[3] = type;
    out[4] = flags;
    for (int i = 0; i < 4; i++)
        out[5 + i] = (uint8_t)(stream >> (24 - 8 * i));
}

/* COUNT times the same frame, with SIZE zero bytes behind its header. False: the conn had enough.
 */
static bool flood(struct h2_peer *p, size_t count, size_t size, uint8_t type, uint8_t flags,
                  uint32_t stream)
{
    uint8_t bytes[64] = {0};
    frame(bytes, size, type, flags, stream);
    for (size_t i = 0; i < count; i++)
        if (!h2_feed(p, bytes, 9 + size))
            return false;
    return true;
}

static void pings_too_close(void **state)
{
    struct h2_peer *p = *state;
    assert_false(flood(p, 10, 8, NGHTTP2_PING, 0, 0));
    assert_calmed(p, "too_many_pings");
}

static void pings_as_grpc_go_sends_them(void **state)
{
    struct h2_peer *p = *state;
    h2_start(p, keepalive_path, NULL, BYTES_EMPTY, false);
    for (int i = 0; i < 1000; i++) {
        h2_advance(p, 10000);
        assert_true(flood(p, 1, 8, NGHTTP2_PING, 0, 0));
    }
    h2_reconnect(p);
    for (int i = 0; i < 50; i++) { /* of its bandwidth estimator, one for data it got */
        call(p, range_path, range_of("a"));
        assert_true(flood(p, 1, 8, NGHTTP2_PING, 0, 0));
    }
    h2_pump(p);
    assert_false(p->got_goaway);
}

static void settings_flood(void **state)
{
    struct h2_peer *p = *state;
    assert_false(flood(p, 1000, 0, NGHTTP2_SETTINGS, 0, 0));
    struct outbuf out = {0}; /* the client of these tests did not send them: it gets nothing */
    assert_true(conn_produce(p->conn, &out, 1 << 20));
    assert_true(conn_is_over(p->conn));
    assert_in_range(outbuf_size(&out), 9 * 90, 9 * 120);
    outbuf_fini(&out);
}

static void empty_data_flood(void **state)
{
    struct h2_peer *p = *state;
    int32_t id = h2_start(p, put_path, NULL, BYTES_EMPTY, false);
    assert_false(flood(p, 10000, 0, NGHTTP2_DATA, 0, (uint32_t)id));
    assert_calmed(p, "too_many_frames");
}

/* They must be ignored (RFC 9113 section 4.1), and cost nothing but reading them. */
static void unknown_frames_leave_nothing(void **state)
{
    struct h2_peer *p = *state;
    assert_true(flood(p, 10000, 7, 0x42, 0, 0));
    struct outbuf out = {0};
    assert_true(conn_produce(p->conn, &out, 1 << 20));
    assert_int_equal(outbuf_size(&out), 0);
    assert_status(call(p, range_path, range_of("a")), 0, "");
}

static void priority_flood(void **state)
{
    assert_false(flood(*state, 10000, 5, NGHTTP2_PRIORITY, 0, 3));
}

static void rapid_reset(void **state)
{
    struct h2_peer *p = *state;
    static const char *const names[][2] = {{":method", "POST"},
                                           {":scheme", "http"},
                                           {":path", range_path},
                                           {":authority", "localhost"},
                                           {"content-type", "application/grpc"}};
    nghttp2_nv nva[5];
    for (size_t i = 0; i < 5; i++)
        nva[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)names[i][0],
                              .namelen = strlen(names[i][0]),
                              .value = (uint8_t *)(uintptr_t)names[i][1],
                              .valuelen = strlen(names[i][1])};
    size_t count = 0;
    for (; count < 5000 && !p->is_over; count++) {
        int32_t id = nghttp2_submit_headers(p->client, 0, -1, NULL, nva, 5, NULL);
        assert_true(id > 0);
        h2_pump_up(p);
        nghttp2_submit_rst_stream(p->client, 0, id, NGHTTP2_CANCEL);
        h2_pump_up(p);
        assert_true(p->server.call_count <= 1);
    }
    assert_in_range(count, 500, 1500);
    assert_int_equal(p->conn->call_count, 0);
}

/* One connection's worth of watches given up at once is an honest client's right. */
static void many_old_streams_reset(void **state)
{
    struct h2_peer *p = *state;
    int32_t ids[PEER_MAX_STREAMS];
    for (size_t i = 0; i < PEER_MAX_STREAMS; i++)
        ids[i] = h2_start(p, "/etcdserverpb.Watch/Watch", NULL, BYTES_EMPTY, false);
    p->conn->budget.tokens = PEER_MAX_STREAMS * BUDGET_OLD_RESET;
    p->conn->budget.filled_ms = p->server.now_ms + BUDGET_OLD_MS; /* time gives nothing back */
    h2_advance(p, BUDGET_OLD_MS);
    for (size_t i = 0; i < PEER_MAX_STREAMS; i++)
        h2_reset(p, ids[i]);
    assert_false(p->got_goaway);
}

static void continuation_flood(void **state)
{
    struct h2_peer *p = *state;
    uint8_t bytes[10] = {0};
    frame(bytes, 1, NGHTTP2_HEADERS, 0, 1);
    bytes[9] = 0x82; /* :method GET */
    assert_true(h2_feed(p, bytes, 10));
    bool more = true;
    size_t count = 0;
    for (; more && count < 100; count++) {
        frame(bytes, 1, NGHTTP2_CONTINUATION, 0, 1);
        more = h2_feed(p, bytes, 10);
    }
    assert_in_range(count, 1, 10);
}

static void too_many_headers(void **state)
{
    struct h2_peer *p = *state;
    char *value = malloc(API_MAX_HEADER_SIZE + 1);
    memset(value, 'x', API_MAX_HEADER_SIZE);
    value[API_MAX_HEADER_SIZE] = '\0';
    struct h2_options o = {.extra_name = "x-bomb", .extra_value = value};
    int32_t id = h2_start(p, range_path, &o, h2_framed(range_of("a")), true);
    assert_true(h2_reply_of(p, id)->is_closed);
    assert_int_not_equal(h2_reply_of(p, id)->error_code, 0);
    free(value);
    if (!p->got_goaway)
        assert_status(call(p, range_path, range_of("a")), 0, "");
}

static void what_is_no_preface(void **state)
{
    struct h2_peer *p = *state;
    conn_destroy(p->conn);
    nghttp2_session_del(p->client);
    h2_connect_bare(p);
    assert_false(h2_feed(p, "PRI * HTTP/1.1\r\n\r\n      ", 24));
}

static void handshakes_have_a_time_limit(void **state)
{
    struct h2_peer *p = *state;
    assert_true(conn_check_time(p->conn));
    conn_destroy(p->conn);
    nghttp2_session_del(p->client);
    h2_connect_bare(p);
    assert_true(conn_check_time(p->conn));
    p->server.now_ms += CONN_HANDSHAKE_MS;
    assert_false(conn_check_time(p->conn));
}

static void silent_connections_are_asked(void **state)
{
    struct h2_peer *p = *state;
    p->server.now_ms += CONN_KEEPALIVE_MS;
    assert_true(conn_check_time(p->conn));
    h2_pump(p); /* the client answers */
    p->server.now_ms += CONN_KEEPALIVE_WAIT_MS;
    assert_true(conn_check_time(p->conn));
    p->server.now_ms += CONN_KEEPALIVE_MS;
    assert_true(conn_check_time(p->conn));
    p->server.now_ms += CONN_KEEPALIVE_WAIT_MS;
    assert_false(conn_check_time(p->conn));
}

/* Beyond CONN_MAX_UNSENT further requests wait until the client has read. */
static void a_client_that_does_not_read_its_answers(void **state)
{
    struct h2_peer *p = *state;
    assert_status(call(p, put_path, put_of("big", 1500000)), 0, "");
    size_t before = fake_store_of(p->store)->submit_count;
    struct bytes framed = h2_framed(range_of("big"));
    int32_t last = 0;
    p->fetches = false;
    for (int i = 0; i < 40; i++)
        last = h2_start(p, range_path, NULL, framed, true);
    assert_in_range(fake_store_of(p->store)->submit_count - before, 20, 25);
    assert_true(p->conn->parked_count > 0);
    assert_true(p->conn->unsent_size < CONN_MAX_UNSENT + 2000000);
    h2_reset(p, last - 2); /* one that waits */
    p->fetches = true;
    h2_pump(p);
    assert_status(h2_reply_of(p, last), 0, "");
    assert_true(h2_reply_of(p, last)->body.size > 1500000);
    assert_int_equal(fake_store_of(p->store)->submit_count - before, 39);
    assert_int_equal(p->conn->parked_count, 0);
    assert_int_equal(p->server.unsent_size, 0);
    assert_int_equal(p->server.held_size, 0);
}

/* Over the bound of all connections, the one that holds most goes, not who comes next. */
static void the_greediest_connection_goes(void **state)
{
    struct h2_peer *p = *state;
    struct conn *greedy;
    assert_int_equal(conn_create(&greedy, &p->server, p), OK);
    assert_true(conn_hold(greedy, SERVER_MAX_CONN_HELD));
    assert_false(conn_hold(greedy, 1));
    size_t others = SERVER_MAX_HELD - SERVER_MAX_CONN_HELD;
    p->server.held_size += others; /* of connections that are not here */
    h2_start(p, put_path, NULL,
             bytes_of("\0\0\0\xff\xff"
                      "begin",
                      10),
             false);
    assert_true(greedy->failed);
    assert_false(p->conn->failed);
    assert_true(p->conn->held_size > 0);
    p->server.held_size -= others;
    conn_unhold(greedy, SERVER_MAX_CONN_HELD);
    conn_destroy(greedy);
}

/* Eighty clients with a range of 10 MiB each that they do not read were 800 MiB, and so on. */
static void the_connection_with_most_unsent_goes(void **state)
{
    struct h2_peer *p = *state;
    struct conn *greedy, *modest;
    assert_int_equal(conn_create(&greedy, &p->server, p), OK);
    assert_int_equal(conn_create(&modest, &p->server, p), OK);
    conn_add_unsent(modest, 1 << 20);
    conn_add_unsent(greedy, SERVER_MAX_ANSWERS); /* alone it may: it could be the answer */
    conn_add_unsent(greedy, 1);
    assert_true(modest->failed);
    assert_false(greedy->failed);
    conn_add_unsent(p->conn, 1 << 20);
    assert_true(greedy->failed);
    assert_false(p->conn->failed);
    conn_take_unsent(p->conn, 1 << 20);
    conn_take_unsent(greedy, SERVER_MAX_ANSWERS + (size_t)1);
    conn_take_unsent(modest, 1 << 20);
    conn_destroy(greedy);
    conn_destroy(modest);
}

static void memory_for_messages_follows_what_came(void **state)
{
    struct h2_peer *p = *state;
    for (int i = 0; i < 20; i++)
        h2_start(p, put_path, NULL,
                 bytes_of("\0\0\x1f\xff\xff"
                          "begin",
                          10),
                 false);
    assert_true(p->server.held_size <= 20 * 1024);
    assert_true(p->server.held_size > 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_put_and_its_range),
        TEST(an_error_is_trailers_only),
        TEST(a_range_in_parts_is_one_message),
        TEST(half_an_answer_is_dropped_with_its_call),
        TEST(a_connection_has_one_answer_in_parts_at_a_time),
        TEST(a_message_in_single_bytes),
        TEST(a_large_message_in_many_frames),
        TEST(requests_over_one_and_a_half_mebibytes),
        TEST(messages_over_two_mebibytes),
        TEST(unknown_methods_and_services),
        TEST(a_message_that_is_none),
        TEST(unknown_fields_are_accepted_and_the_last_scalar_wins),
        TEST(compressed_messages_are_refused),
        TEST(the_authority_that_grpc_go_sends_for_a_url),
        TEST(malformed_header_blocks_are_reset),
        TEST(fields_that_a_request_needs),
        TEST(users_and_roles_that_are_not_there),
        TEST(members_that_are_not_there),
        TEST(limits_of_the_flags),
        TEST(a_request_cut_short),
        TEST(another_content_type_is_415),
        TEST(the_answer_comes_before_the_half_close),
        TEST(a_deadline_passes),
        TEST(answers_to_streams_that_died),
        cmocka_unit_test(answers_after_the_server_is_gone),
        TEST(no_leader_for_those_who_want_one),
        TEST(keepalives_until_the_half_close),
        TEST(a_shutdown_answers_open_calls),
        TEST(pings_too_close),
        TEST(pings_as_grpc_go_sends_them),
        TEST(settings_flood),
        TEST(empty_data_flood),
        TEST(unknown_frames_leave_nothing),
        TEST(priority_flood),
        TEST(rapid_reset),
        TEST(many_old_streams_reset),
        TEST(continuation_flood),
        TEST(too_many_headers),
        TEST(what_is_no_preface),
        TEST(handshakes_have_a_time_limit),
        TEST(silent_connections_are_asked),
        TEST(a_client_that_does_not_read_its_answers),
        TEST(the_greediest_connection_goes),
        TEST(the_connection_with_most_unsent_goes),
        TEST(memory_for_messages_follows_what_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
