#include "h2_peer.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    FLUSH_LIMIT = 256 << 10,
};

struct h2_request_body {
    struct h2_request_body *next;
    int32_t id;
    struct outbuf data;
    bool is_last;
};

static void wake(struct conn *conn)
{
    ((struct h2_peer *)conn->owner)->is_awake = true;
}

static struct h2_request_body *body_of(struct h2_peer *p, int32_t id)
{
    for (struct h2_request_body *b = p->bodies; b != NULL; b = b->next)
        if (b->id == id)
            return b;
    return NULL;
}

struct h2_reply *h2_reply_of(struct h2_peer *p, int32_t id)
{
    for (size_t i = 0; i < p->reply_count; i++)
        if (p->replies[i].id == id)
            return &p->replies[i];
    return NULL;
}

/* --- the client's callbacks ------------------------------------------------------------------- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *buffer, size_t length,
                         uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)session;
    (void)source;
    struct h2_request_body *b = body_of(context, id);
    if (b == NULL)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    size_t size = outbuf_size(&b->data);
    if (size == 0 && !b->is_last)
        return NGHTTP2_ERR_DEFERRED;
    if (size > length)
        size = length;
    if (size > 0)
        memcpy(buffer, outbuf_data(&b->data), size);
    outbuf_take(&b->data, size);
    if (outbuf_size(&b->data) == 0 && b->is_last)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    (void)session;
    (void)flags;
    struct h2_reply *r = h2_reply_of(context, frame->hd.stream_id);
    if (r == NULL)
        return 0;
    if (bytes_equal(bytes_of(name, name_size), bytes_of_str(":status")))
        r->http_status = atoi((const char *)value);
    else if (bytes_equal(bytes_of(name, name_size), bytes_of_str("grpc-status")))
        r->grpc_status = atoi((const char *)value);
    else if (bytes_equal(bytes_of(name, name_size), bytes_of_str("grpc-message")))
        snprintf(r->grpc_message, sizeof(r->grpc_message), "%.*s", (int)value_size,
                 (const char *)value);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    (void)session;
    struct h2_peer *p = context;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        p->got_goaway = true;
        p->goaway_code = frame->goaway.error_code;
        snprintf(p->goaway_text, sizeof(p->goaway_text), "%.*s", (int)frame->goaway.opaque_data_len,
                 (const char *)frame->goaway.opaque_data);
    }
    struct h2_reply *r = h2_reply_of(p, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_HEADERS && r != NULL &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
        r->has_initial_headers = true;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *context)
{
    (void)session;
    (void)flags;
    struct h2_reply *r = h2_reply_of(context, id);
    if (r != NULL)
        strbuf_add(&r->body, data, size);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t error_code, void *context)
{
    (void)session;
    struct h2_reply *r = h2_reply_of(context, id);
    if (r != NULL) {
        r->is_closed = true;
        r->error_code = error_code;
    }
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static void make_client(struct h2_peer *p)
{
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    assert_int_equal(nghttp2_session_client_new(&p->client, callbacks, p), 0);
    nghttp2_session_callbacks_del(callbacks);
}

void h2_connect_bare(struct h2_peer *p)
{
    p->is_over = p->got_goaway = p->is_awake = false;
    p->fetches = true;
    make_client(p);
    assert_int_equal(conn_create(&p->conn, &p->server, p), OK);
}

static void disconnect(struct h2_peer *p)
{
    if (p->conn != NULL)
        conn_destroy(p->conn);
    p->conn = NULL;
    nghttp2_session_del(p->client);
    for (size_t i = 0; i < p->reply_count; i++)
        strbuf_fini(&p->replies[i].body);
    p->reply_count = 0;
    while (p->bodies != NULL) {
        struct h2_request_body *b = p->bodies;
        p->bodies = b->next;
        outbuf_fini(&b->data);
        free(b);
    }
}

static void greet(struct h2_peer *p)
{
    h2_connect_bare(p);
    assert_int_equal(nghttp2_submit_settings(p->client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
    h2_pump(p);
}

void h2_open(struct h2_peer *p)
{
    memset(p, 0, sizeof(*p));
    p->store = fake_store_create();
    assert_int_equal(metrics_create(&p->metrics), OK);
    assert_int_equal(server_init(&p->server, p->store, p->metrics, 1000000), OK);
    p->server.wake = wake;
    greet(p);
}

void h2_reconnect(struct h2_peer *p)
{
    disconnect(p);
    greet(p);
}

void h2_close(struct h2_peer *p)
{
    disconnect(p);
    server_stop(&p->server);
    server_fini(&p->server);
    fake_store_destroy(p->store);
    metrics_destroy(p->metrics);
}

/* --- bytes ------------------------------------------------------------------------------------ */

bool h2_feed(struct h2_peer *p, const void *data, size_t size)
{
    if (!conn_feed(p->conn, bytes_of(data, size)))
        p->is_over = true;
    return !p->is_over;
}

void h2_pump_up(struct h2_peer *p)
{
    const uint8_t *data;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(p->client, &data)) > 0)
        if (!p->is_over)
            h2_feed(p, data, (size_t)size);
}

static bool pump_down(struct h2_peer *p)
{
    struct outbuf out = {0};
    p->is_awake = false;
    if (!conn_produce(p->conn, &out, FLUSH_LIMIT))
        p->is_over = true;
    size_t size = outbuf_size(&out);
    if (size > 0)
        assert_int_equal(nghttp2_session_mem_recv(p->client, outbuf_data(&out), size),
                         (ssize_t)size);
    outbuf_fini(&out);
    return size > 0;
}

void h2_pump(struct h2_peer *p)
{
    do
        h2_pump_up(p);
    while (p->fetches &&
           (pump_down(p) || p->is_awake || nghttp2_session_want_write(p->client) != 0));
}

void h2_advance(struct h2_peer *p, uint64_t ms)
{
    p->server.now_ms += ms;
    (void)server_run_deadlines(&p->server);
    server_tick(&p->server);
    h2_pump(p);
}

/* --- requests --------------------------------------------------------------------------------- */

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .namelen = strlen(name),
                        .value = (uint8_t *)(uintptr_t)value,
                        .valuelen = strlen(value)};
}

int32_t h2_start(struct h2_peer *p, const char *path, const struct h2_options *options,
                 struct bytes body, bool is_last)
{
    static const struct h2_options usual;
    const struct h2_options *o = options != NULL ? options : &usual;
    nghttp2_nv headers[10];
    size_t count = 0;
    headers[count++] = nv(":method", o->method != NULL ? o->method : "POST");
    headers[count++] = nv(":scheme", "http");
    headers[count++] = nv(":path", path);
    headers[count++] = nv(":authority", o->authority != NULL ? o->authority : "localhost");
    headers[count++] =
        nv("content-type", o->content_type != NULL ? o->content_type : "application/grpc");
    if (o->timeout != NULL)
        headers[count++] = nv("grpc-timeout", o->timeout);
    if (o->wants_leader)
        headers[count++] = nv("hasleader", "true");
    if (o->extra_name != NULL)
        headers[count++] = nv(o->extra_name, o->extra_value);
    struct h2_request_body *b = calloc(1, sizeof(*b));
    assert_non_null(b);
    outbuf_add_bytes(&b->data, body.data, body.size);
    b->is_last = is_last;
    b->next = p->bodies;
    p->bodies = b;
    nghttp2_data_provider provider = {.read_callback = read_body};
    b->id = nghttp2_submit_request(p->client, NULL, headers, count, &provider, NULL);
    assert_true(b->id > 0);
    assert_true(p->reply_count < PEER_MAX_STREAMS);
    p->replies[p->reply_count++] =
        (struct h2_reply){.id = b->id, .grpc_status = -1, .body = STRBUF_EMPTY};
    h2_pump(p);
    return b->id;
}

void h2_send(struct h2_peer *p, int32_t id, struct bytes body, bool is_last)
{
    struct h2_request_body *b = body_of(p, id);
    assert_non_null(b);
    if (b == NULL) /* gcc does not know that the line above ends the test */
        return;
    outbuf_add_bytes(&b->data, body.data, body.size);
    b->is_last = is_last;
    (void)nghttp2_session_resume_data(p->client, id);
    h2_pump(p);
}

void h2_reset(struct h2_peer *p, int32_t id)
{
    assert_int_equal(nghttp2_submit_rst_stream(p->client, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL),
                     0);
    h2_pump(p);
}

bool h2_next(struct h2_reply *r, struct bytes *message)
{
    const uint8_t *at = (const uint8_t *)r->body.data + r->taken;
    size_t left = r->body.size - r->taken;
    if (left < 5)
        return false;
    assert_int_equal(at[0], 0);
    size_t size = (size_t)at[1] << 24 | (size_t)at[2] << 16 | (size_t)at[3] << 8 | at[4];
    if (left - 5 < size)
        return false;
    *message = bytes_of(at + 5, size);
    r->taken += 5 + size;
    return true;
}

struct bytes h2_framed(struct bytes message)
{
    static uint8_t buffer[(4 << 20) + 5];
    assert_true(message.size <= sizeof(buffer) - 5);
    buffer[0] = 0;
    for (int i = 0; i < 4; i++)
        buffer[1 + i] = (uint8_t)(message.size >> (24 - 8 * i));
    if (message.size > 0)
        memcpy(buffer + 5, message.data, message.size);
    return bytes_of(buffer, message.size + 5);
}
