#include "conn.h"

#include "call.h"
#include "registry/api.h"
#include "server.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAM_WINDOW = 1 << 20,
    CONNECTION_WINDOW = 4 << 20,
    MAX_CONTINUATIONS = 8, /* of one header block: 16 KiB need two */
    MAX_CLIENT_SETTINGS = 32,
    FRAME_HEADER_SIZE = 9,
};

void conn_wake(struct conn *c)
{
    if (c->is_ready)
        return;
    c->is_ready = true;
    c->server->wake(c);
}

void conn_terminate(struct conn *c, uint32_t error_code, const char *reason)
{
    if (c->is_ending)
        return;
    c->is_ending = true;
    if (error_code != NGHTTP2_NO_ERROR)
        metric_inc(c->server->counters.goaways);
    int32_t last = nghttp2_session_get_last_proc_stream_id(c->session);
    if (nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE, last, error_code,
                              (const uint8_t *)reason, strlen(reason)) != 0)
        c->failed = true;
    conn_wake(c);
}

/* Charges the client for a frame; beyond its means the connection ends. */
static void charge(struct conn *c, unsigned tokens)
{
    if (!budget_spend(&c->budget, c->server->now_ms, tokens))
        conn_terminate(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_frames");
}

/* --- bounds of memory ------------------------------------------------------------------------- */

/* Each connection may have one answer of any size, so many of them could have any amount: beyond
 * the bound the one that has most goes, but not C, whose answer this is. */
static void bound_answers(struct conn *c)
{
    struct conn *greedy = NULL;
    size_t unsent_size = 0; /* without those that go already */
    for (struct conn *other = c->server->conns; other != NULL; other = other->next) {
        unsent_size += other->failed ? 0 : other->unsent_size;
        if (other != c && !other->failed && other->unsent_size > 0 &&
            (greedy == NULL || other->unsent_size > greedy->unsent_size))
            greedy = other;
    }
    if (greedy == NULL || unsent_size <= SERVER_MAX_ANSWERS)
        return;
    metric_inc(c->server->counters.goaways);
    greedy->failed = true; /* its owner closes it before the loop waits again */
    conn_wake(greedy);
}

void conn_add_unsent(struct conn *c, size_t size)
{
    c->unsent_size += size;
    c->server->unsent_size += size;
    if (c->server->unsent_size > SERVER_MAX_ANSWERS)
        bound_answers(c);
}

void conn_take_unsent(struct conn *c, size_t size)
{
    assert(c->unsent_size >= size && c->server->unsent_size >= size);
    c->unsent_size -= size;
    c->server->unsent_size -= size;
}

bool conn_has_room(const struct conn *c, size_t stream_unsent, size_t stream_limit)
{
    if (stream_unsent > stream_limit || c->unsent_size > CONN_MAX_UNSENT)
        return false;
    /* What others do not read must not stop who reads. */
    return stream_unsent == 0 || c->server->unsent_size <= SERVER_MAX_UNSENT;
}

/* C, or the connection that holds most if that is more. */
static struct conn *greedier(struct conn *c)
{
    struct conn *found = c;
    for (struct conn *other = c->server->conns; other != NULL; other = other->next)
        if (other->held_size > found->held_size)
            found = other;
    return found;
}

bool conn_hold(struct conn *c, size_t size)
{
    struct server *s = c->server;
    if (c->held_size + size > SERVER_MAX_CONN_HELD)
        return false;
    if (s->held_size + size > SERVER_MAX_HELD) {
        struct conn *greedy = greedier(c);
        if (greedy == c)
            return false;
        metric_inc(s->counters.goaways);
        greedy->failed = true; /* its owner closes it before the loop waits again */
        conn_wake(greedy);
        /* Until then, others may go over the bound by as much. */
        if (s->held_size + size > SERVER_MAX_HELD + SERVER_MAX_CONN_HELD)
            return false;
    }
    c->held_size += size;
    s->held_size += size;
    return true;
}

void conn_unhold(struct conn *c, size_t size)
{
    c->held_size -= size;
    c->server->held_size -= size;
}

/* --- what goes out ---------------------------------------------------------------------------- */

#define NV(name_text, value_text, value_size)                                                      \
    {                                                                                              \
        .name = (uint8_t *)(uintptr_t)(name_text), .value = (uint8_t *)(uintptr_t)(value_text),    \
        .namelen = sizeof(name_text) - 1, .valuelen = (value_size),                                \
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME                                                      \
    }
#define NV_TEXT(name_text, value_text) NV(name_text, value_text, sizeof(value_text) - 1)

/* grpc-status and grpc-message; returns how many. */
static size_t status_headers(nghttp2_nv *nv, const struct call *call)
{
    static const char *const codes[] = {"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                        "9", "10", "11", "12", "13", "14", "15", "16"};
    const char *code = codes[call->code];
    const char *text = call->status_text;
    nv[0] = (nghttp2_nv)NV("grpc-status", code, strlen(code));
    if (text == NULL)
        return 1;
    nv[1] = (nghttp2_nv)NV("grpc-message", text, strlen(text));
    return 2;
}

static int submit_trailer(struct conn *c, struct call *call)
{
    nghttp2_nv nv[2];
    size_t count = status_headers(nv, call);
    return nghttp2_submit_trailer(c->session, call->stream_id, nv, count);
}

static ssize_t read_data(nghttp2_session *session, int32_t stream_id, uint8_t *buffer,
                         size_t length, uint32_t *flags, nghttp2_data_source *source, void *context)
{
    (void)stream_id;
    (void)buffer;
    (void)source;
    struct conn *c = context;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    if (call == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t size = outbuf_size(&call->out);
    if (size == 0 && !call->is_ended) {
        call->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size <= length && call->is_ended) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        if (submit_trailer(c, call) != 0)
            return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return (ssize_t)(size < length ? size : length);
}

/* A DATA frame straight from a call's unsent bytes to where conn_produce gathers them. */
static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *header,
                     size_t length, nghttp2_data_source *source, void *context)
{
    (void)source;
    struct conn *c = context;
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    assert(frame->data.padlen == 0); /* we never pad */
    if (call == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (outbuf_size(c->target) >= c->target_limit) {
        c->has_more = true;
        return NGHTTP2_ERR_WOULDBLOCK;
    }
    uint8_t *at = outbuf_add(c->target, FRAME_HEADER_SIZE + length);
    if (at == NULL)
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(at, header, FRAME_HEADER_SIZE);
    if (length > 0)
        memcpy(at + FRAME_HEADER_SIZE, outbuf_data(&call->out), length);
    outbuf_take(&call->out, length);
    conn_take_unsent(c, length);
    return 0;
}

enum err conn_submit_response(struct conn *c, struct call *call)
{
    static const nghttp2_nv ok = NV_TEXT(":status", "200");
    static const nghttp2_nv content = NV_TEXT("content-type", "application/grpc");
    nghttp2_nv nv[4] = {ok, content};
    size_t count = 2;
    bool is_whole = call->is_ended && outbuf_size(&call->out) == 0;
    if (call->http_status == 415)
        nv[0] = (nghttp2_nv)NV_TEXT(":status", "415");
    else if (call->http_status != 0)
        nv[0] = (nghttp2_nv)NV_TEXT(":status", "405");
    if (is_whole)
        count += status_headers(&nv[2], call);
    nghttp2_data_provider provider = {.read_callback = read_data};
    int rv = nghttp2_submit_response(c->session, call->stream_id, nv, count,
                                     is_whole ? NULL : &provider);
    return rv == 0 ? OK : ERR_NO_MEMORY;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct conn *c = context;
    int32_t id = frame->hd.stream_id;
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        budget_earn(&c->budget);
        break;
    case NGHTTP2_HEADERS:
        budget_earn(&c->budget);
        /* The answer is complete: whatever else the client would send for it is not wanted. */
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
            nghttp2_session_get_stream_remote_close(session, id) == 0)
            (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
        break;
    case NGHTTP2_RST_STREAM:
        /* A client that makes us reset pays as if it had reset itself. */
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR) {
            metric_inc(c->server->counters.resets);
            charge(c, BUDGET_RESET);
        }
        break;
    case NGHTTP2_GOAWAY:
        c->is_told = c->is_ending && frame->goaway.error_code != NGHTTP2_NO_ERROR;
        break;
    default:
        break;
    }
    return 0;
}

/* --- what comes in ---------------------------------------------------------------------------- */

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *context)
{
    (void)session;
    struct conn *c = context;
    if (hd->type != NGHTTP2_CONTINUATION)
        c->continuation_count = 0;
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0)
            charge(c, BUDGET_EMPTY_DATA);
        break;
    case NGHTTP2_HEADERS: /* a stream is work asked for; what is refused is priced as a reset */
        break;
    case NGHTTP2_CONTINUATION:
        if (++c->continuation_count > MAX_CONTINUATIONS)
            conn_terminate(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_continuations");
        charge(c, BUDGET_CONTINUATION);
        break;
    case NGHTTP2_PRIORITY:
        charge(c, BUDGET_PRIORITY);
        break;
    case NGHTTP2_SETTINGS:
        charge(c, (hd->flags & NGHTTP2_FLAG_ACK) != 0 ? BUDGET_UNKNOWN : BUDGET_SETTINGS);
        break;
    case NGHTTP2_PING:
        charge(c, BUDGET_PING);
        break;
    case NGHTTP2_WINDOW_UPDATE:
        charge(c, BUDGET_WINDOW_UPDATE);
        break;
    case NGHTTP2_RST_STREAM: /* priced when its stream is known */
    case NGHTTP2_GOAWAY:
        break;
    default:
        charge(c, BUDGET_UNKNOWN);
        break;
    }
    return c->is_ending ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct conn *c = context;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    int32_t id = frame->hd.stream_id;
    struct call *call = NULL;
    if (c->server->call_count < SERVER_MAX_CALLS)
        call = call_create(c->server, c, id);
    if (call == NULL)
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM) ==
                       0
                   ? 0
                   : NGHTTP2_ERR_CALLBACK_FAILURE;
    if (nghttp2_session_set_stream_user_data(session, id, call) != 0) {
        call_detach(call);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return 0;
}

/* RFC 9113 section 8.1.1 */
static int reset_malformed(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream_id, NGHTTP2_PROTOCOL_ERROR);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    (void)flags;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0; /* trailers: nothing in them is for us */
    struct call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL || call_header(call, bytes_of(name, name_size), bytes_of(value, value_size)))
        return 0;
    charge(context, BUDGET_INVALID); /* few bytes of HPACK may mean many of headers */
    (void)reset_malformed(session, frame->hd.stream_id);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets, where that could not */
}

static void on_ping(struct conn *c, const nghttp2_frame *frame)
{
    if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        c->pinged_ms = 0;
    else if (!budget_ping(&c->budget, c->server->now_ms, c->call_count > 0))
        conn_terminate(c, NGHTTP2_ENHANCE_YOUR_CALM, "too_many_pings");
}

/* Work begun and thrown away is what a rapid reset is about; a client that gives up a thousand
 * watches at once is none. */
static unsigned reset_price(const struct conn *c, const struct call *call)
{
    if (call == NULL || call->is_ended || c->server->now_ms - call->created_ms >= BUDGET_OLD_MS)
        return BUDGET_OLD_RESET;
    return BUDGET_RESET;
}

/* A request has what it needs; what comes later are trailers, which end the stream (RFC 9113
 * section 8.1). */
static bool is_header_block_fine(const nghttp2_frame *frame, const struct call *call)
{
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        return call_has_headers(call);
    return (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *context)
{
    struct conn *c = context;
    struct call *call = NULL;
    if (frame->hd.stream_id != 0)
        call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (call != NULL && !is_header_block_fine(frame, call)) {
            charge(c, BUDGET_INVALID);
            return reset_malformed(session, frame->hd.stream_id) == 0
                       ? 0
                       : NGHTTP2_ERR_CALLBACK_FAILURE;
        }
        if (call != NULL && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
            call_start(call);
        if (call != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            call_half_close(call);
        break;
    case NGHTTP2_DATA:
        if (call != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
            call_half_close(call);
        break;
    case NGHTTP2_RST_STREAM:
        charge(c, reset_price(c, call));
        break;
    case NGHTTP2_PING:
        on_ping(c, frame);
        break;
    case NGHTTP2_SETTINGS:
        c->is_greeted = true;
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data,
                   size_t size, void *context)
{
    (void)flags;
    (void)context;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    if (call != NULL)
        call_data(call, bytes_of(data, size));
    return 0;
}

static int on_invalid_frame(nghttp2_session *session, const nghttp2_frame *frame, int error,
                            void *context)
{
    (void)session;
    (void)frame;
    (void)error;
    charge(context, BUDGET_INVALID);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *context)
{
    (void)error_code;
    (void)context;
    struct call *call = nghttp2_session_get_stream_user_data(session, stream_id);
    if (call != NULL) {
        (void)nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        call_detach(call);
    }
    return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

static int make_session(struct conn *c)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    int rv = nghttp2_session_callbacks_new(&callbacks);
    if (rv != 0)
        return rv;
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, send_data);
    rv = nghttp2_option_new(&option);
    if (rv == 0) {
        nghttp2_option_set_no_closed_streams(option, 1);
        nghttp2_option_set_no_http_messaging(option, 1); /* request_head.h */
        nghttp2_option_set_max_settings(option, MAX_CLIENT_SETTINGS);
        rv = nghttp2_session_server_new2(&c->session, callbacks, c, option);
        nghttp2_option_del(option);
    }
    nghttp2_session_callbacks_del(callbacks);
    return rv;
}

static int greet(struct conn *c)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, API_MAX_STREAMS},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, API_MAX_HEADER_SIZE},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}, /* no tree of streams to keep */
    };
    int rv = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof(settings) / sizeof(settings[0]));
    if (rv != 0)
        return rv;
    return nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                                                 CONNECTION_WINDOW);
}

enum err conn_create(struct conn **out, struct server *s, void *owner)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return ERR_NO_MEMORY;
    c->server = s;
    c->owner = owner;
    c->created_ms = c->heard_ms = s->now_ms;
    budget_init(&c->budget, s->now_ms);
    if (make_session(c) != 0) {
        free(c);
        return ERR_NO_MEMORY;
    }
    if (greet(c) != 0) {
        nghttp2_session_del(c->session);
        free(c);
        return ERR_NO_MEMORY;
    }
    metric_add(s->counters.connections, 1);
    c->next = s->conns;
    if (c->next != NULL)
        c->next->previous = c;
    s->conns = c;
    *out = c;
    return OK;
}

void conn_destroy(struct conn *c)
{
    while (c->calls != NULL) {
        struct call *call = c->calls;
        (void)nghttp2_session_set_stream_user_data(c->session, call->stream_id, NULL);
        call_detach(call);
    }
    assert(c->held_size == 0 && c->unsent_size == 0 && c->parked_count == 0);
    assert(c->starved_count == 0);
    nghttp2_session_del(c->session);
    if (c->next != NULL)
        c->next->previous = c->previous;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        c->server->conns = c->next;
    metric_add(c->server->counters.connections, -1);
    free(c);
}

bool conn_feed(struct conn *c, struct bytes data)
{
    if (c->failed || c->is_ending)
        return false;
    c->heard_ms = c->server->now_ms;
    counters_add_received(&c->server->counters, data.size);
    ssize_t taken = nghttp2_session_mem_recv(c->session, data.data, data.size);
    if (taken < 0 && !c->is_ending) {
        c->failed = true;
        return false;
    }
    if (nghttp2_session_want_write(c->session) != 0)
        conn_wake(c);
    return !c->failed && !c->is_ending;
}

/* --- after sending ---------------------------------------------------------------------------- */

static void give_room(struct conn *c)
{
    struct call *next;
    for (struct call *call = c->calls; call != NULL && c->starved_count > 0; call = next) {
        next = call->next;
        if (!call->wants_room ||
            !conn_has_room(c, outbuf_size(&call->out), API_MAX_STREAM_UNSENT / 2))
            continue;
        call->wants_room = false;
        c->starved_count--;
        call->method->on_room(call);
    }
}

static void unpark(struct conn *c)
{
    struct call *next;
    for (struct call *call = c->calls;
         call != NULL && c->parked_count > 0 && conn_has_room(c, c->unsent_size, CONN_MAX_UNSENT);
         call = next) {
        next = call->next;
        if (call->is_parked)
            call_unpark(call);
    }
}

bool conn_produce(struct conn *c, struct outbuf *out, size_t limit)
{
    size_t before = outbuf_size(out);
    c->is_ready = false;
    c->has_more = false;
    c->target = out;
    c->target_limit = limit;
    while (!c->failed && !c->is_told) {
        const uint8_t *data;
        if (outbuf_size(out) >= limit) {
            c->has_more = true;
            break;
        }
        ssize_t size = nghttp2_session_mem_send(c->session, &data);
        if (size < 0)
            c->failed = true;
        if (size <= 0)
            break;
        outbuf_add_bytes(out, data, (size_t)size);
    }
    c->target = NULL;
    if (out->failed)
        c->failed = true;
    if (c->failed)
        return false;
    counters_add_sent(&c->server->counters, outbuf_size(out) - before);
    if (c->starved_count > 0)
        give_room(c);
    if (c->parked_count > 0)
        unpark(c);
    return true;
}

bool conn_is_clogged(const struct conn *c)
{
    return nghttp2_session_get_outbound_queue_size(c->session) > CONN_MAX_QUEUED_FRAMES;
}

bool conn_is_over(const struct conn *c)
{
    if (c->failed || c->is_told)
        return true;
    return nghttp2_session_want_read(c->session) == 0 &&
           nghttp2_session_want_write(c->session) == 0;
}

bool conn_check_time(struct conn *c)
{
    uint64_t now = c->server->now_ms;
    if (!c->is_greeted)
        return now - c->created_ms < CONN_HANDSHAKE_MS;
    if (c->pinged_ms != 0)
        return now - c->pinged_ms < CONN_KEEPALIVE_WAIT_MS;
    if (now - c->heard_ms >= CONN_KEEPALIVE_MS) {
        if (nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL) != 0)
            return false;
        c->pinged_ms = now;
        conn_wake(c);
    }
    return true;
}

void conn_shut_down(struct conn *c)
{
    struct call *next;
    for (struct call *call = c->calls; call != NULL; call = next) {
        next = call->next;
        call_end_verdict(call, VERDICT_STOPPED);
    }
    conn_terminate(c, NGHTTP2_NO_ERROR, "server stopped");
}
