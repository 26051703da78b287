#include "grpc.h"

#include "base/bytes.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FRAME_HEAD_SIZE = 5, /* compressed flag and length, before each message */
    MAX_OPEN_STREAMS = 64,
    MAX_SEND_QUEUE = 16 << 20,
};

struct message {
    struct message *next;
    size_t size;
    uint8_t *data;
};

struct grpc_stream {
    struct grpc_session *session; /* NULL once the session is gone */
    struct grpc_stream *next;
    int32_t id;
    /* Sending */
    uint8_t *out;
    size_t out_size, out_offset;
    bool is_half_closed;
    bool is_deferred;
    /* Receiving */
    uint8_t head[FRAME_HEAD_SIZE];
    size_t head_size;
    uint8_t *body;
    size_t body_size, body_filled, body_capacity;
    struct message *first, **last;
    size_t queued;
    /* The end */
    bool has_ended, was_refused;
    bool has_status;
    int http_status;
    int code;
    struct strbuf message;
};

struct grpc_session {
    nghttp2_session *http2;
    char *authority;
    size_t max_reply_size;
    struct grpc_stream *streams;
    bool is_broken;
};

/* The end of a call. */

static void end_stream(struct grpc_stream *st, int code, const char *message)
{
    if (st->has_ended)
        return;
    st->has_ended = true;
    if (!st->has_status) {
        st->has_status = true;
        st->code = code;
        strbuf_clear(&st->message);
        strbuf_add_str(&st->message, message);
    }
}

/* Our verdict on what the server sent: it ends the call whatever the server says later. */
static void refuse_stream(struct grpc_stream *st, int code, const char *message)
{
    st->has_status = false;
    end_stream(st, code, message);
    if (st->session != NULL)
        nghttp2_submit_rst_stream(st->session->http2, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
}

static void refuse_large(struct grpc_stream *st, size_t size)
{
    char text[96];
    snprintf(text, sizeof(text), "grpc: received message larger than max (%zu vs. %zu)", size,
             st->session->max_reply_size);
    refuse_stream(st, GRPC_RESOURCE_EXHAUSTED, text);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

void grpc_decode_message(struct strbuf *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '%' && i + 2 < size) {
            int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
            if (high >= 0 && low >= 0) {
                strbuf_add_char(out, (char)(high << 4 | low));
                i += 2;
                continue;
            }
        }
        strbuf_add_char(out, text[i]);
    }
}

/* Messages, cut out of DATA frames. */

static void push_message(struct grpc_stream *st)
{
    struct message *m = malloc(sizeof(*m));
    if (m == NULL) {
        refuse_stream(st, GRPC_INTERNAL, "out of memory");
        return;
    }
    *m = (struct message){.size = st->body_size, .data = st->body};
    st->body = NULL;
    st->head_size = st->body_size = st->body_filled = st->body_capacity = 0;
    *st->last = m;
    st->last = &m->next;
    if (++st->queued > GRPC_MAX_QUEUED_MESSAGES)
        refuse_stream(st, GRPC_RESOURCE_EXHAUSTED, "too many messages wait to be read");
}

static void start_body(struct grpc_stream *st)
{
    uint32_t size = load_u32(st->head + 1);
    if (st->head[0] != 0) {
        refuse_stream(st, GRPC_INTERNAL, "grpc: a compressed message that was not asked for");
        return;
    }
    if (size > st->session->max_reply_size) {
        refuse_large(st, size);
        return;
    }
    st->body_size = size;
    st->body_filled = 0;
}

/* Room for MORE bytes of the body: twice what is there, so memory follows what arrives. */
static bool grow_body(struct grpc_stream *st, size_t more)
{
    size_t wanted = st->body_filled + more;
    if (wanted <= st->body_capacity)
        return true;
    size_t capacity = st->body_capacity == 0 ? 1024 : st->body_capacity;
    while (capacity < wanted)
        capacity *= 2;
    uint8_t *grown = realloc(st->body, capacity);
    if (grown == NULL)
        return false;
    st->body = grown;
    st->body_capacity = capacity;
    return true;
}

static void receive_bytes(struct grpc_stream *st, const uint8_t *data, size_t size)
{
    while (!st->has_ended && (size > 0 || st->head_size == FRAME_HEAD_SIZE)) {
        if (st->head_size < FRAME_HEAD_SIZE) {
            st->head[st->head_size++] = *data++;
            size--;
            if (st->head_size == FRAME_HEAD_SIZE)
                start_body(st);
            continue;
        }
        size_t part = st->body_size - st->body_filled;
        if (part == 0) {
            push_message(st);
            continue;
        }
        if (size == 0)
            return;
        if (part > size)
            part = size;
        if (!grow_body(st, part)) {
            refuse_stream(st, GRPC_INTERNAL, "out of memory");
            return;
        }
        memcpy(st->body + st->body_filled, data, part);
        st->body_filled += part;
        data += part;
        size -= part;
    }
}

/* nghttp2's callbacks. */

static struct grpc_stream *stream_of(nghttp2_session *http2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(http2, id);
}

static int parse_code(const uint8_t *value, size_t size)
{
    int code = 0;
    if (size == 0 || size > 3)
        return GRPC_UNKNOWN;
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return GRPC_UNKNOWN;
        code = code * 10 + (value[i] - '0');
    }
    return code;
}

static bool name_is(const uint8_t *name, size_t size, const char *text)
{
    return bytes_equal(bytes_of(name, size), bytes_of_str(text));
}

static int on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    struct grpc_stream *st = stream_of(http2, frame->hd.stream_id);
    if (st == NULL || st->has_ended)
        return 0;
    if (name_is(name, name_size, ":status")) {
        st->http_status = parse_code(value, value_size);
    } else if (name_is(name, name_size, "grpc-status")) {
        st->code = parse_code(value, value_size);
        st->has_status = true;
    } else if (name_is(name, name_size, "grpc-message") && value_size <= GRPC_MAX_STATUS_MESSAGE) {
        strbuf_clear(&st->message);
        grpc_decode_message(&st->message, (const char *)value, value_size);
    }
    return 0;
}

static int on_frame_recv(nghttp2_session *http2, const nghttp2_frame *frame, void *user)
{
    (void)user;
    struct grpc_stream *st = stream_of(http2, frame->hd.stream_id);
    if (st == NULL || frame->hd.type != NGHTTP2_HEADERS || st->has_ended)
        return 0;
    if (st->http_status != 200 && st->http_status >= 200 && !st->has_status) {
        char text[64];
        snprintf(text, sizeof(text), "unexpected HTTP status code received from server: %d",
                 st->http_status);
        refuse_stream(st, st->http_status >= 502 ? GRPC_UNAVAILABLE : GRPC_UNKNOWN, text);
    }
    return 0;
}

static int on_data(nghttp2_session *http2, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    (void)user;
    struct grpc_stream *st = stream_of(http2, id);
    if (st != NULL)
        receive_bytes(st, data, size);
    return 0;
}

static int on_stream_close(nghttp2_session *http2, int32_t id, uint32_t error, void *user)
{
    (void)user;
    struct grpc_stream *st = stream_of(http2, id);
    if (st == NULL)
        return 0;
    nghttp2_session_set_stream_user_data(http2, id, NULL);
    if (error == NGHTTP2_REFUSED_STREAM)
        st->was_refused = true;
    char text[80];
    if (error == NGHTTP2_NO_ERROR)
        snprintf(text, sizeof(text), "server closed the stream without sending trailers");
    else
        snprintf(text, sizeof(text), "stream terminated by RST_STREAM with error code: %s",
                 nghttp2_http2_strerror(error));
    end_stream(st, error == NGHTTP2_REFUSED_STREAM ? GRPC_UNAVAILABLE : GRPC_INTERNAL, text);
    return 0;
}

static ssize_t read_out(nghttp2_session *http2, int32_t id, uint8_t *buffer, size_t size,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)source;
    (void)user;
    struct grpc_stream *st = stream_of(http2, id);
    if (st == NULL) /* destroyed; its reset is on the way */
        return NGHTTP2_ERR_DEFERRED;
    size_t left = st->out_size - st->out_offset;
    if (left == 0 && !st->is_half_closed) {
        st->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t part = left < size ? left : size;
    if (part > 0)
        memcpy(buffer, st->out + st->out_offset, part);
    st->out_offset += part;
    if (st->out_offset == st->out_size) {
        st->out_offset = st->out_size = 0;
        if (st->is_half_closed)
            *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)part;
}

/* Sessions. */

static nghttp2_session *make_http2(struct grpc_session *s)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *options;
    nghttp2_session *http2 = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return NULL;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    if (nghttp2_option_new(&options) == 0) {
        /* A server that pings or changes settings without end must not fill our queue. */
        nghttp2_option_set_max_outbound_ack(options, 1000);
        if (nghttp2_session_client_new2(&http2, callbacks, s, options) != 0)
            http2 = NULL;
        nghttp2_option_del(options);
    }
    nghttp2_session_callbacks_del(callbacks);
    return http2;
}

enum err grpc_session_create(struct grpc_session **out, const char *authority,
                             size_t max_reply_size)
{
    struct grpc_session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->max_reply_size = max_reply_size;
    s->authority = strdup(authority);
    s->http2 = s->authority != NULL ? make_http2(s) : NULL;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_WINDOW_SIZE},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, GRPC_MAX_STATUS_MESSAGE},
    };
    if (s->http2 == NULL ||
        nghttp2_submit_settings(s->http2, NGHTTP2_FLAG_NONE, settings, 3) != 0 ||
        nghttp2_session_set_local_window_size(s->http2, NGHTTP2_FLAG_NONE, 0, GRPC_WINDOW_SIZE) !=
            0) {
        grpc_session_destroy(s);
        return ERR_NO_MEMORY;
    }
    *out = s;
    return OK;
}

void grpc_session_destroy(struct grpc_session *s)
{
    if (s == NULL)
        return;
    grpc_session_lost(s, "the session ended");
    for (struct grpc_stream *st = s->streams; st != NULL; st = st->next)
        st->session = NULL;
    if (s->http2 != NULL)
        nghttp2_session_del(s->http2);
    free(s->authority);
    free(s);
}

void grpc_session_lost(struct grpc_session *s, const char *reason)
{
    s->is_broken = true;
    for (struct grpc_stream *st = s->streams; st != NULL; st = st->next)
        end_stream(st, GRPC_UNAVAILABLE, reason);
}

enum err grpc_feed(struct grpc_session *s, const uint8_t *data, size_t size)
{
    if (s->is_broken)
        return ERR_MALFORMED;
    ssize_t used = nghttp2_session_mem_recv(s->http2, data, size);
    if (used >= 0)
        return OK;
    grpc_session_lost(s, nghttp2_strerror((int)used));
    return used == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_MALFORMED;
}

enum err grpc_pending(struct grpc_session *s, struct bytes *out)
{
    const uint8_t *data = NULL;
    if (s->is_broken)
        return ERR_MALFORMED;
    ssize_t size = nghttp2_session_mem_send(s->http2, &data);
    if (size < 0) {
        grpc_session_lost(s, nghttp2_strerror((int)size));
        return size == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_MALFORMED;
    }
    if (size == 0 && !nghttp2_session_want_read(s->http2))
        grpc_session_lost(s, "the server ended the session");
    *out = bytes_of(data, (size_t)size);
    return OK;
}

bool grpc_session_is_usable(const struct grpc_session *s)
{
    return !s->is_broken && nghttp2_session_check_request_allowed(s->http2);
}

/* Streams. */

#define HEADER(n, v)                                                                               \
    ((nghttp2_nv){(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v),      \
                  NGHTTP2_NV_FLAG_NONE})

static int32_t submit(struct grpc_stream *st, const char *method, int64_t timeout_ms)
{
    char timeout[32];
    nghttp2_nv headers[] = {
        HEADER(":method", "POST"),
        HEADER(":scheme", "http"),
        HEADER(":path", method),
        HEADER(":authority", st->session->authority),
        HEADER("content-type", "application/grpc"),
        HEADER("te", "trailers"),
        HEADER("user-agent", "warrenctl/" WARREN_VERSION),
        HEADER("", ""), /* room for two more */
        HEADER("", ""),
    };
    size_t count = ARRAY_COUNT(headers) - 2;
    /* A watch on a member that lost its leader would wait in silence. */
    if (strncmp(method, "/etcdserverpb.Watch/", 20) == 0)
        headers[count++] = HEADER("hasleader", "true");
    if (timeout_ms > 0) { /* at most 8 digits */
        bool fits = timeout_ms <= 99999999;
        snprintf(timeout, sizeof(timeout), "%lld%c",
                 (long long)(fits ? timeout_ms : timeout_ms / 1000), fits ? 'm' : 'S');
        headers[count++] = HEADER("grpc-timeout", timeout);
    }
    nghttp2_data_provider provider = {.read_callback = read_out};
    return nghttp2_submit_request(st->session->http2, NULL, headers, count, &provider, st);
}

enum err grpc_stream_create(struct grpc_stream **out, struct grpc_session *s, const char *method,
                            int64_t timeout_ms)
{
    if (!grpc_session_is_usable(s))
        return ERR_CLOSED;
    struct grpc_stream *st = calloc(1, sizeof(*st));
    if (st == NULL)
        return ERR_NO_MEMORY;
    st->session = s;
    st->last = &st->first;
    st->id = submit(st, method, timeout_ms);
    if (st->id < 0) {
        enum err error = st->id == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_CLOSED;
        free(st);
        return error;
    }
    st->next = s->streams;
    s->streams = st;
    *out = st;
    return OK;
}

static void unlink_stream(struct grpc_stream *st)
{
    struct grpc_session *s = st->session;
    struct grpc_stream **at = &s->streams;
    while (*at != st)
        at = &(*at)->next;
    *at = st->next;
    /* nghttp2 may still hold the stream, or its request unsent: neither may call us for it. */
    if (nghttp2_session_set_stream_user_data(s->http2, st->id, NULL) == 0)
        nghttp2_submit_rst_stream(s->http2, NGHTTP2_FLAG_NONE, st->id, NGHTTP2_CANCEL);
}

void grpc_stream_destroy(struct grpc_stream *st)
{
    if (st == NULL)
        return;
    if (st->session != NULL)
        unlink_stream(st);
    while (st->first != NULL) {
        struct message *m = st->first;
        st->first = m->next;
        free(m->data);
        free(m);
    }
    strbuf_fini(&st->message);
    free(st->body);
    free(st->out);
    free(st);
}

enum err grpc_stream_send(struct grpc_stream *st, const ProtobufCMessage *message)
{
    if (st->has_ended || st->is_half_closed || st->session == NULL)
        return ERR_CLOSED;
    size_t size = protobuf_c_message_get_packed_size(message);
    if (size > UINT32_MAX || size > MAX_SEND_QUEUE - st->out_size)
        return ERR_LIMIT;
    uint8_t *grown = realloc(st->out, st->out_size + FRAME_HEAD_SIZE + size);
    if (grown == NULL)
        return ERR_NO_MEMORY;
    st->out = grown;
    uint8_t *at = st->out + st->out_size;
    at[0] = 0;
    at[1] = (uint8_t)(size >> 24);
    at[2] = (uint8_t)(size >> 16);
    at[3] = (uint8_t)(size >> 8);
    at[4] = (uint8_t)size;
    protobuf_c_message_pack(message, at + FRAME_HEAD_SIZE);
    st->out_size += FRAME_HEAD_SIZE + size;
    if (st->is_deferred) {
        st->is_deferred = false;
        nghttp2_session_resume_data(st->session->http2, st->id);
    }
    return OK;
}

void grpc_stream_half_close(struct grpc_stream *st)
{
    st->is_half_closed = true;
    if (st->is_deferred && st->session != NULL) {
        st->is_deferred = false;
        nghttp2_session_resume_data(st->session->http2, st->id);
    }
}

bool grpc_stream_take(struct grpc_stream *st, uint8_t **data, size_t *size)
{
    struct message *m = st->first;
    if (m == NULL)
        return false;
    st->first = m->next;
    if (st->first == NULL)
        st->last = &st->first;
    st->queued--;
    *data = m->data;
    *size = m->size;
    free(m);
    return true;
}

bool grpc_stream_has_message(const struct grpc_stream *st)
{
    return st->first != NULL;
}

bool grpc_stream_has_ended(const struct grpc_stream *st)
{
    return st->has_ended;
}

int grpc_stream_code(const struct grpc_stream *st)
{
    return st->code;
}

const char *grpc_stream_message(const struct grpc_stream *st)
{
    return strbuf_str(&st->message);
}

bool grpc_stream_was_refused(const struct grpc_stream *st)
{
    return st->was_refused;
}
