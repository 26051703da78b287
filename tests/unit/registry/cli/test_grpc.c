/* The gRPC session against a server of nghttp2 in memory: the bytes of both go in pieces. */
#include "registry/cli/grpc.h"

#include "rpc.pb-c.h"

#include <nghttp2/nghttp2.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MAX_REPLY = 4096,
    PIECE = 7, /* no frame fits into it */
};

#define METHOD "/etcdserverpb.KV/Range"
#define HEADER(n, v)                                                                               \
    ((nghttp2_nv){(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v),      \
                  NGHTTP2_NV_FLAG_NONE})

struct server {
    nghttp2_session *http2;
    int32_t id; /* the last request's */
    char path[64], timeout[32], content_type[32];
    struct strbuf request;
    bool has_request_ended;
    uint32_t reset; /* the code of the client's RST_STREAM + 1 */
    struct strbuf reply;
    size_t sent;
    const char *status, *message; /* NULL: no trailers */
};

static struct server server;
static struct grpc_session *session;
static struct grpc_stream *stream;

static void keep(char *out, size_t room, const uint8_t *value, size_t size)
{
    assert_true(size < room);
    memcpy(out, value, size);
    out[size] = '\0';
}

static int on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    struct bytes n = bytes_of(name, name_size);
    (void)http2, (void)flags, (void)user;
    server.id = frame->hd.stream_id;
    if (bytes_equal(n, bytes_of_str(":path")))
        keep(server.path, sizeof(server.path), value, value_size);
    if (bytes_equal(n, bytes_of_str("grpc-timeout")))
        keep(server.timeout, sizeof(server.timeout), value, value_size);
    if (bytes_equal(n, bytes_of_str("content-type")))
        keep(server.content_type, sizeof(server.content_type), value, value_size);
    return 0;
}

static int on_data(nghttp2_session *http2, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)http2, (void)flags, (void)id, (void)user;
    strbuf_add(&server.request, data, size);
    return 0;
}

static int on_frame(nghttp2_session *http2, const nghttp2_frame *frame, void *user)
{
    (void)http2, (void)user;
    if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        server.has_request_ended = true;
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        server.reset = frame->rst_stream.error_code + 1;
    return 0;
}

static ssize_t read_reply(nghttp2_session *http2, int32_t id, uint8_t *buffer, size_t size,
                          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    size_t left = server.reply.size - server.sent, part = left < size ? left : size;
    nghttp2_nv trailers[] = {HEADER("grpc-status", server.status != NULL ? server.status : ""),
                             HEADER("grpc-message", server.message != NULL ? server.message : "")};
    (void)source, (void)user;
    if (part > 0)
        memcpy(buffer, server.reply.data + server.sent, part);
    server.sent += part;
    if (server.sent == server.reply.size) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (server.status != NULL) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(http2, id, trailers, server.message != NULL ? 2 : 1);
        }
    }
    return (ssize_t)part;
}

static void make_server(void)
{
    nghttp2_session_callbacks *callbacks;
    server = (struct server){.id = 0};
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    assert_int_equal(nghttp2_session_server_new(&server.http2, callbacks, NULL), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(server.http2, 0, NULL, 0), 0);
}

/* Both sides' bytes, until neither has any. */
static void pump(void)
{
    for (bool moved = true; moved;) {
        struct bytes out;
        const uint8_t *data;
        ssize_t size;
        moved = false;
        while (grpc_pending(session, &out) == OK && out.size > 0) {
            moved = true;
            for (size_t at = 0; at < out.size; at += PIECE) {
                size_t part = out.size - at < PIECE ? out.size - at : PIECE;
                assert_int_equal(nghttp2_session_mem_recv(server.http2, out.data + at, part), part);
            }
        }
        while ((size = nghttp2_session_mem_send(server.http2, &data)) > 0) {
            moved = true;
            for (size_t at = 0; at < (size_t)size; at += PIECE) {
                size_t part = (size_t)size - at < PIECE ? (size_t)size - at : PIECE;
                enum err error = grpc_feed(session, data + at, part);
                (void)error; /* a lost session shows in its streams */
            }
        }
    }
}

static void answer(const char *http_status, bool has_body)
{
    nghttp2_nv headers[] = {HEADER(":status", http_status),
                            HEADER("content-type", "application/grpc"),
                            HEADER("grpc-status", server.status != NULL ? server.status : ""),
                            HEADER("grpc-message", server.message != NULL ? server.message : "")};
    nghttp2_data_provider provider = {.read_callback = read_reply};
    size_t count = has_body || server.status == NULL ? 2 : server.message != NULL ? 4 : 3;
    assert_int_equal(nghttp2_submit_response(server.http2, server.id, headers, count,
                                             has_body ? &provider : NULL),
                     0);
    pump();
}

/* One gRPC message of SIZE times the letter C. */
static void add_message(char c, size_t size)
{
    uint8_t head[5] = {0, (uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                       (uint8_t)size};
    strbuf_add(&server.reply, head, sizeof(head));
    for (size_t i = 0; i < size; i++)
        strbuf_add_char(&server.reply, c);
}

static int set_up(void **state)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    (void)state;
    make_server();
    request.key = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)(uintptr_t) "k"};
    assert_int_equal(grpc_session_create(&session, "localhost:1", MAX_REPLY), OK);
    assert_int_equal(grpc_stream_create(&stream, session, METHOD, 1500), OK);
    assert_int_equal(grpc_stream_send(stream, &request.base), OK);
    grpc_stream_half_close(stream);
    pump();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    grpc_stream_destroy(stream);
    grpc_session_destroy(session);
    nghttp2_session_del(server.http2);
    strbuf_fini(&server.request);
    strbuf_fini(&server.reply);
    return 0;
}

static void expect_end(int code, const char *message)
{
    assert_true(grpc_stream_has_ended(stream));
    assert_int_equal(grpc_stream_code(stream), code);
    assert_string_equal(grpc_stream_message(stream), message);
}

static void expect_message(char c, size_t wanted)
{
    uint8_t *data;
    size_t size;
    assert_true(grpc_stream_take(stream, &data, &size));
    assert_int_equal(size, wanted);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], c);
    free(data);
}

static void a_call_is_a_post_with_one_framed_message(void **state)
{
    static const uint8_t wanted[] = {0, 0, 0, 0, 3, 0x0a, 1, 'k'};
    (void)state;
    assert_string_equal(server.path, METHOD);
    assert_string_equal(server.timeout, "1500m");
    assert_string_equal(server.content_type, "application/grpc");
    assert_int_equal(server.request.size, sizeof(wanted));
    assert_memory_equal(server.request.data, wanted, sizeof(wanted));
    assert_true(server.has_request_ended);
}

static void a_reply_comes_with_the_trailers(void **state)
{
    (void)state;
    server.status = "0";
    add_message('a', 1000);
    answer("200", true);
    expect_end(GRPC_OK, "");
    expect_message('a', 1000);
    assert_false(grpc_stream_has_message(stream));
}

static void several_messages_stay_apart_and_in_order(void **state)
{
    (void)state;
    server.status = "0";
    add_message('a', 3);
    add_message('-', 0);
    add_message('b', MAX_REPLY);
    answer("200", true);
    expect_end(GRPC_OK, "");
    expect_message('a', 3);
    expect_message('-', 0);
    expect_message('b', MAX_REPLY);
}

static void an_error_comes_in_the_headers_alone(void **state)
{
    (void)state;
    server.status = "9";
    server.message = "etcdserver: 100%25 wrong%zz %e2%98%83";
    answer("200", false);
    expect_end(9, "etcdserver: 100% wrong%zz \xe2\x98\x83");
    assert_false(grpc_stream_has_message(stream));
}

static void a_status_that_is_no_number_is_unknown(void **state)
{
    (void)state;
    server.status = "x1";
    answer("200", false);
    expect_end(GRPC_UNKNOWN, "");
}

static void a_message_above_the_limit_ends_the_call(void **state)
{
    (void)state;
    server.status = "0";
    add_message('a', MAX_REPLY + 1);
    answer("200", true);
    expect_end(GRPC_RESOURCE_EXHAUSTED, "grpc: received message larger than max (4097 vs. 4096)");
    assert_false(grpc_stream_has_message(stream));
    assert_int_equal(server.reset, NGHTTP2_CANCEL + 1);
    assert_true(grpc_session_is_usable(session));
}

static void a_compressed_message_ends_the_call(void **state)
{
    (void)state;
    server.status = "0";
    add_message('a', 3);
    server.reply.data[0] = 1;
    answer("200", true);
    expect_end(GRPC_INTERNAL, "grpc: a compressed message that was not asked for");
}

static void no_trailers_is_an_internal_error(void **state)
{
    (void)state;
    add_message('a', 3);
    answer("200", true);
    expect_end(GRPC_INTERNAL, "server closed the stream without sending trailers");
}

static void http_errors_have_their_codes(void **state)
{
    (void)state;
    answer("503", false);
    expect_end(GRPC_UNAVAILABLE, "unexpected HTTP status code received from server: 503");
}

static void http_404_is_unknown(void **state)
{
    (void)state;
    answer("404", false);
    expect_end(GRPC_UNKNOWN, "unexpected HTTP status code received from server: 404");
}

static void a_refused_stream_was_never_looked_at(void **state)
{
    (void)state;
    nghttp2_submit_rst_stream(server.http2, 0, server.id, NGHTTP2_REFUSED_STREAM);
    pump();
    assert_true(grpc_stream_was_refused(stream));
    assert_int_equal(grpc_stream_code(stream), GRPC_UNAVAILABLE);
}

static void a_reset_stream_may_have_been_done(void **state)
{
    (void)state;
    nghttp2_submit_rst_stream(server.http2, 0, server.id, NGHTTP2_INTERNAL_ERROR);
    pump();
    assert_false(grpc_stream_was_refused(stream));
    expect_end(GRPC_INTERNAL, "stream terminated by RST_STREAM with error code: INTERNAL_ERROR");
}

static void goaway_ends_what_it_did_not_take(void **state)
{
    (void)state;
    assert_true(grpc_session_is_usable(session));
    nghttp2_submit_goaway(server.http2, 0, 0, NGHTTP2_NO_ERROR, NULL, 0);
    pump();
    assert_false(grpc_session_is_usable(session));
    assert_true(grpc_stream_has_ended(stream));
    assert_true(grpc_stream_was_refused(stream));
    struct grpc_stream *next;
    assert_int_equal(grpc_stream_create(&next, session, METHOD, 0), ERR_CLOSED);
}

static void a_ping_is_answered(void **state)
{
    struct bytes out;
    const uint8_t *data;
    (void)state;
    nghttp2_submit_ping(server.http2, 0, NULL);
    ssize_t size = nghttp2_session_mem_send(server.http2, &data);
    assert_true(size > 0);
    assert_int_equal(grpc_feed(session, data, (size_t)size), OK);
    assert_int_equal(grpc_pending(session, &out), OK);
    assert_int_equal(out.size, 17); /* RFC 9113 section 6.7 */
    assert_int_equal(out.data[4], 1);
}

static void a_lost_connection_ends_every_call(void **state)
{
    (void)state;
    grpc_session_lost(session, "gone");
    expect_end(GRPC_UNAVAILABLE, "gone");
    assert_false(grpc_session_is_usable(session));
}

static void bytes_that_are_no_http2_end_the_session(void **state)
{
    static const uint8_t junk[] =
        "HTTP/1.1 400 Bad Request\r\n\r\nno HTTP/2 here, whatever you say";
    (void)state;
    struct bytes out;
    enum err error = grpc_feed(session, junk, sizeof(junk));
    while (error == OK && (error = grpc_pending(session, &out)) == OK && out.size > 0)
        ; /* our GOAWAY */
    assert_false(grpc_session_is_usable(session));
    assert_true(grpc_stream_has_ended(stream));
    assert_int_equal(grpc_stream_code(stream), GRPC_UNAVAILABLE);
}

static void a_stream_may_outlive_its_session(void **state)
{
    (void)state;
    grpc_session_destroy(session);
    session = NULL;
    assert_true(grpc_stream_has_ended(stream));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_call_is_a_post_with_one_framed_message),
        TEST(a_reply_comes_with_the_trailers),
        TEST(several_messages_stay_apart_and_in_order),
        TEST(an_error_comes_in_the_headers_alone),
        TEST(a_status_that_is_no_number_is_unknown),
        TEST(a_message_above_the_limit_ends_the_call),
        TEST(a_compressed_message_ends_the_call),
        TEST(no_trailers_is_an_internal_error),
        TEST(http_errors_have_their_codes),
        TEST(http_404_is_unknown),
        TEST(a_refused_stream_was_never_looked_at),
        TEST(a_reset_stream_may_have_been_done),
        TEST(goaway_ends_what_it_did_not_take),
        TEST(a_ping_is_answered),
        TEST(a_lost_connection_ends_every_call),
        TEST(bytes_that_are_no_http2_end_the_session),
        TEST(a_stream_may_outlive_its_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
