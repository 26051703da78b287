#include "call.h"

#include "base/bytes.h"
#include "conn.h"
#include "registry/api.h"
#include "server.h"
#include "services.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_INPUT_CAPACITY = 1024,
    MAX_PENDING = 1024, /* requests of one call that the store has not answered */
    SHOWN_NAME_MAX = 200,
};

static const char too_many_requests[] = "etcdserver: too many requests";
static const char no_memory[] = "etcdserver: not enough memory for the answer";

/* --- life ------------------------------------------------------------------------------------- */

struct call *call_create(struct server *s, struct conn *conn, int32_t stream_id)
{
    struct call *c = s->spare_calls;
    if (c != NULL) {
        struct outbuf out = c->out;
        s->spare_calls = c->next;
        s->spare_call_count--;
        *c = (struct call){.out = out};
    } else if ((c = calloc(1, sizeof(*c))) == NULL) {
        return NULL;
    }
    s->call_count++;
    c->server = s;
    c->conn = conn;
    c->stream_id = stream_id;
    c->created_ms = s->now_ms;
    c->next = conn->calls;
    if (c->next != NULL)
        c->next->previous = c;
    conn->calls = c;
    conn->call_count++;
    return c;
}

static void release(struct call *c)
{
    struct server *s = c->server;
    assert(c->conn == NULL && c->pending == 0);
    if (s == NULL || s->spare_call_count >= SERVER_SPARE_CALLS) {
        outbuf_fini(&c->out);
        free(c);
    } else {
        outbuf_clear(&c->out, CALL_KEPT_OUT);
        c->next = s->spare_calls;
        s->spare_calls = c;
        s->spare_call_count++;
    }
    if (s != NULL)
        s->call_count--;
}

static void input_release(struct call *c)
{
    struct call_input *in = &c->input;
    if (c->is_parked) {
        c->is_parked = false;
        c->conn->parked_count--;
    }
    conn_unhold(c->conn, in->capacity);
    free(in->data);
    *in = (struct call_input){0};
}

static void forget_room(struct call *c)
{
    if (!c->wants_room)
        return;
    c->wants_room = false;
    c->conn->starved_count--;
}

/* The service lets go of its state, once. */
static void end_service(struct call *c)
{
    c->is_open = false;
    if (c->method != NULL && c->method->on_end != NULL && c->state != NULL)
        c->method->on_end(c);
    c->state = NULL;
    deadlines_remove(&c->server->deadlines, &c->deadline);
    forget_room(c);
}

/* Forgets what was to be sent. */
static void drop_out(struct call *c)
{
    conn_take_unsent(c->conn, outbuf_size(&c->out));
    outbuf_clear(&c->out, CALL_KEPT_OUT);
    if (c->conn->building == c)
        c->conn->building = NULL;
    c->is_building = false;
}

void call_detach(struct call *c)
{
    struct conn *conn = c->conn;
    if (!c->is_ended && c->method != NULL)
        counters_handled(&c->server->counters, method_index(c->method), GRPC_CANCELLED);
    end_service(c);
    input_release(c);
    drop_out(c);
    free(c->status_text);
    c->status_text = NULL;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        conn->calls = c->next;
    if (c->next != NULL)
        c->next->previous = c->previous;
    conn->call_count--;
    c->conn = NULL;
    c->next = c->previous = NULL;
    if (c->pending == 0) {
        release(c);
        return;
    }
    server_add_orphan(c->server, c);
    store_cancel(c->server->store, c); /* its last answer frees it, perhaps now */
}

/* --- what comes out --------------------------------------------------------------------------- */

/* Bytes or the end are there: the session is to ask for them. */
static void push(struct call *c)
{
    nghttp2_session *session = c->conn->session;
    if (!c->is_submitted) {
        c->is_submitted = true;
        if (conn_submit_response(c->conn, c) != OK)
            c->conn->failed = true;
    } else if (c->is_deferred) {
        c->is_deferred = false;
        if (nghttp2_session_resume_data(session, c->stream_id) == NGHTTP2_ERR_NOMEM)
            c->conn->failed = true;
    }
    conn_wake(c->conn);
}

static uint8_t *put_prefix(uint8_t *at, size_t size)
{
    *at++ = 0; /* not compressed */
    for (int shift = 24; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(size >> shift);
    return at;
}

/* NULL without memory, or for too large a message, which has no effect. */
static uint8_t *add_message(struct call *c, size_t size)
{
    assert(c->conn != NULL && !c->is_ended);
    uint8_t *at = size > API_MAX_ANSWER_SIZE ? NULL : outbuf_add(&c->out, GRPC_PREFIX_SIZE + size);
    if (at == NULL)
        return NULL;
    conn_add_unsent(c->conn, GRPC_PREFIX_SIZE + size);
    at = put_prefix(at, size);
    /* A stream's message goes out now, a unary one's together with its end. */
    if (c->method->is_stream)
        push(c);
    return at;
}

static void refuse_size(struct call *c)
{
    call_end_format(c, GRPC_RESOURCE_EXHAUSTED,
                    "etcdserver: the answer is larger than %d bytes: ask for less at a time",
                    API_MAX_ANSWER_SIZE);
}

uint8_t *call_message(struct call *c, size_t size)
{
    uint8_t *at = add_message(c, size);
    if (at == NULL && size > API_MAX_ANSWER_SIZE)
        refuse_size(c);
    else if (at == NULL)
        call_end(c, GRPC_RESOURCE_EXHAUSTED, no_memory);
    return at;
}

bool call_message_begin(struct call *c)
{
    struct conn *conn = c->conn;
    assert(!c->method->is_stream && outbuf_size(&c->out) == 0);
    if (conn->building != NULL || !conn_has_room(conn, conn->unsent_size, CONN_MAX_UNSENT))
        return false;
    conn->building = c;
    c->is_building = true;
    (void)call_message_more(c, GRPC_PREFIX_SIZE); /* filled in at the end */
    return true;
}

uint8_t *call_message_more(struct call *c, size_t size)
{
    assert(c->conn != NULL && !c->is_ended && c->is_building);
    if (size > API_MAX_ANSWER_SIZE - outbuf_size(&c->out)) {
        refuse_size(c);
        return NULL;
    }
    uint8_t *at = outbuf_add(&c->out, size);
    if (at == NULL)
        call_end(c, GRPC_RESOURCE_EXHAUSTED, no_memory);
    else
        conn_add_unsent(c->conn, size);
    return at;
}

void call_message_end(struct call *c)
{
    assert(c->is_building);
    c->is_building = false;
    c->conn->building = NULL;
    put_prefix(outbuf_front(&c->out), outbuf_size(&c->out) - GRPC_PREFIX_SIZE);
}

bool call_is_wanted(const struct call *c)
{
    return c->conn != NULL && !c->is_ended && !c->conn->failed;
}

uint8_t *call_message_or_fail(struct call *c, size_t size)
{
    uint8_t *at = add_message(c, size);
    if (at == NULL) {
        c->conn->failed = true;
        conn_wake(c->conn);
    }
    return at;
}

void call_want_room(struct call *c)
{
    if (c->wants_room)
        return;
    c->wants_room = true;
    c->conn->starved_count++;
    conn_wake(c->conn);
}

static char *encode_status_text(const char *text)
{
    char encoded[CALL_STATUS_TEXT_SIZE];
    size_t size = grpc_message_encode(encoded, sizeof(encoded), text);
    return strndup(encoded, size); /* without memory: the code alone */
}

void call_end(struct call *c, enum grpc_code code, const char *text)
{
    if (c->is_ended || c->conn == NULL)
        return;
    if (c->is_building)
        drop_out(c); /* nobody can read half a message */
    c->is_ended = true;
    c->code = code;
    if (*text != '\0') {
        free(c->status_text); /* what the headers may have left matters no more */
        c->status_text = encode_status_text(text);
    }
    if (c->method != NULL)
        counters_handled(&c->server->counters, method_index(c->method), code);
    end_service(c);
    input_release(c);
    push(c);
}

void call_end_format(struct call *c, enum grpc_code code, const char *format, ...)
{
    char text[CALL_STATUS_TEXT_SIZE];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    call_end(c, code, text);
}

void call_end_verdict(struct call *c, enum verdict v)
{
    call_end_format(c, verdict_code(v), "etcdserver: %s", verdict_text(v));
}

/* --- headers ---------------------------------------------------------------------------------- */

/* A name of the client's in a message to it, cut to what fits. */
static int shown(struct bytes name)
{
    return (int)(name.size < SHOWN_NAME_MAX ? name.size : SHOWN_NAME_MAX);
}

/* grpc-go's texts for a path that is no method's. */
static void explain_path(char text[CALL_STATUS_TEXT_SIZE], struct bytes path)
{
    struct bytes service = path, name = BYTES_EMPTY;
    if (service.size > 0 && service.data[0] == '/')
        service = bytes_of(service.data + 1, service.size - 1);
    const uint8_t *slash = service.size > 0 ? memrchr(service.data, '/', service.size) : NULL;
    if (slash == NULL) {
        (void)snprintf(text, CALL_STATUS_TEXT_SIZE, "malformed method name: \"%.*s\"", shown(path),
                       (const char *)path.data);
        return;
    }
    name = bytes_of(slash + 1, service.size - (size_t)(slash + 1 - service.data));
    service.size = (size_t)(slash - service.data);
    if (method_service_exists(service))
        (void)snprintf(text, CALL_STATUS_TEXT_SIZE, "unknown method %.*s for service %.*s",
                       shown(name), (const char *)name.data, shown(service),
                       (const char *)service.data);
    else
        (void)snprintf(text, CALL_STATUS_TEXT_SIZE, "unknown service %.*s", shown(service),
                       (const char *)service.data);
}

/* What an unknown path is answered with waits until its headers are complete. */
static void header_path(struct call *c, struct bytes value)
{
    char text[CALL_STATUS_TEXT_SIZE];
    c->method = method_find(value);
    if (c->method != NULL)
        return;
    explain_path(text, value);
    free(c->status_text);
    c->status_text = encode_status_text(text);
}

/* gRPC, compression.md: a message encoding that we do not have is refused, whether a message
 * uses it or not; "identity" is none. The text waits as that of a path does, behind it. */
static void header_encoding(struct call *c, struct bytes value)
{
    char text[CALL_STATUS_TEXT_SIZE];
    if (value.size == 0 || bytes_equal(value, bytes_of_str("identity")))
        return;
    c->is_encoded = true;
    if (c->method == NULL)
        return;
    (void)snprintf(text, sizeof(text),
                   "grpc: Decompressor is not installed for grpc-encoding \"%.*s\"", shown(value),
                   (const char *)value.data);
    free(c->status_text);
    c->status_text = encode_status_text(text);
}

static bool name_is(struct bytes name, const char *text)
{
    return bytes_equal(name, bytes_of_str(text));
}

bool call_header(struct call *c, struct bytes name, struct bytes value)
{
    enum {
        ENTRY_OVERHEAD = 32 /* RFC 9113 section 10.5.1 counts it, too */
    };
    c->header_size += name.size + value.size + ENTRY_OVERHEAD;
    if (c->header_size > API_MAX_HEADER_SIZE || !request_head_field(&c->head, name, value))
        return false;
    if (name_is(name, ":path"))
        header_path(c, value);
    else if (name_is(name, ":method"))
        c->is_post = name_is(value, "POST");
    else if (name_is(name, "content-type"))
        c->is_grpc = grpc_content_type_is_ours(value);
    else if (name_is(name, "grpc-encoding"))
        header_encoding(c, value);
    else if (name_is(name, "hasleader"))
        c->wants_leader = name_is(value, "true");
    else if (name_is(name, "grpc-timeout")) {
        c->has_timeout = true;
        if (!grpc_timeout_parse(&c->timeout_ms, value))
            c->timeout_ms = UINT64_MAX; /* malformed */
    }
    return true;
}

bool call_has_headers(const struct call *c)
{
    return request_head_is_complete(&c->head);
}

static void refuse_http(struct call *c, unsigned status, enum grpc_code code, const char *text)
{
    free(c->status_text); /* an unknown method matters no more */
    c->status_text = NULL;
    c->http_status = status;
    call_end(c, code, text);
}

/* Ends the call with the text that header_path or header_encoding made. */
static void refuse_by_headers(struct call *c)
{
    call_end(c, GRPC_UNIMPLEMENTED, "");
}

/* Whether the headers let the call go on; ends it if not. */
static bool is_acceptable(struct call *c)
{
    if (!c->is_grpc)
        refuse_http(c, 415, GRPC_INVALID_ARGUMENT, "invalid gRPC request content-type");
    else if (!c->is_post)
        refuse_http(c, 405, GRPC_INTERNAL, "the :method of a gRPC request is POST");
    else if (c->method == NULL)
        refuse_by_headers(c);
    else if (c->has_timeout && c->timeout_ms == UINT64_MAX)
        call_end(c, GRPC_INTERNAL, "malformed grpc-timeout");
    else if (c->is_encoded)
        refuse_by_headers(c);
    else if (c->server->is_closing)
        call_end_verdict(c, VERDICT_STOPPED);
    else if (c->has_timeout && c->timeout_ms == 0)
        call_end(c, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    else if (c->has_timeout &&
             !deadlines_add(&c->server->deadlines, &c->deadline, c->server->now_ms + c->timeout_ms))
        call_end(c, GRPC_RESOURCE_EXHAUSTED, too_many_requests);
    else if (c->wants_leader && !server_has_leader(c->server))
        call_end_verdict(c, VERDICT_NO_LEADER);
    else
        return true;
    return false;
}

void call_start(struct call *c)
{
    if (c->method != NULL)
        counters_started(&c->server->counters, method_index(c->method));
    c->is_open = is_acceptable(c);
}

/* --- messages --------------------------------------------------------------------------------- */

static void handle_message(struct call *c, struct bytes message)
{
    if (!c->method->is_stream)
        c->is_answered = true;
    c->method->on_message(c, message);
}

/* The prefix is there: what it announces is bounded before a byte of it is kept. */
static bool check_prefix(struct call *c)
{
    struct call_input *in = &c->input;
    const uint8_t *p = in->prefix;
    size_t max_size = c->server->max_request_size + API_MESSAGE_OVERHEAD;
    in->message_size = load_u32(p + 1);
    if (p[0] == 1)
        call_end(c, GRPC_INTERNAL, "grpc: compressed flag set with identity or empty encoding");
    else if (p[0] != 0)
        call_end_format(c, GRPC_INTERNAL, "grpc: received unexpected payload format %u", p[0]);
    else if (in->message_size > max_size)
        call_end_format(c, GRPC_RESOURCE_EXHAUSTED,
                        "grpc: received message larger than max (%zu vs. %zu)", in->message_size,
                        max_size);
    else
        return true;
    return false;
}

static bool take_prefix(struct call *c, struct bytes *data)
{
    struct call_input *in = &c->input;
    size_t wanted = GRPC_PREFIX_SIZE - in->prefix_size;
    size_t taken = data->size < wanted ? data->size : wanted;
    if (taken > 0)
        memcpy(in->prefix + in->prefix_size, data->data, taken);
    in->prefix_size += taken;
    *data = bytes_of(data->data + taken, data->size - taken);
    return in->prefix_size == GRPC_PREFIX_SIZE && (wanted == 0 || check_prefix(c));
}

/* Memory follows what has come, never what was announced. */
static bool input_grow(struct call *c, size_t size)
{
    struct call_input *in = &c->input;
    size_t capacity = in->capacity > 0 ? in->capacity : FIRST_INPUT_CAPACITY;
    while (capacity < size)
        capacity *= 2;
    if (capacity > in->message_size)
        capacity = in->message_size > size ? in->message_size : size;
    size_t more = capacity - in->capacity;
    if (!conn_hold(c->conn, more))
        return false;
    uint8_t *memory = realloc(in->data, capacity);
    if (memory == NULL) {
        conn_unhold(c->conn, more);
        return false;
    }
    in->data = memory;
    in->capacity = capacity;
    return true;
}

static bool keep_input(struct call *c, struct bytes data)
{
    struct call_input *in = &c->input;
    if (in->size + data.size > in->capacity && !input_grow(c, in->size + data.size)) {
        call_end(c, GRPC_RESOURCE_EXHAUSTED, too_many_requests);
        return false;
    }
    if (data.size > 0)
        memcpy(in->data + in->size, data.data, data.size);
    in->size += data.size;
    return true;
}

/* A unary message waits while its connection has too much unsent. */
static bool must_park(const struct call *c)
{
    return !c->method->is_stream && !conn_has_room(c->conn, c->conn->unsent_size, CONN_MAX_UNSENT);
}

static void take_kept_message(struct call *c)
{
    struct call_input in = c->input;
    /* Handling may end the call, which releases the input: it is taken out before. */
    c->input = (struct call_input){0};
    handle_message(c, bytes_of(in.data, in.size));
    /* The connection outlives its bytes: a call cannot be detached while it handles a message. */
    conn_unhold(c->conn, in.capacity);
    free(in.data);
}

/* The message ends within DATA. */
static void complete_message(struct call *c, struct bytes message)
{
    struct call_input *in = &c->input;
    if (in->size > 0 || must_park(c)) {
        if (!keep_input(c, message))
            return;
        if (must_park(c)) {
            c->is_parked = true;
            c->is_answered = true; /* no further message is wanted */
            c->conn->parked_count++;
            return;
        }
        take_kept_message(c);
        return;
    }
    in->prefix_size = 0;
    handle_message(c, message);
}

void call_unpark(struct call *c)
{
    assert(c->is_parked);
    c->is_parked = false;
    c->conn->parked_count--;
    take_kept_message(c);
}

void call_data(struct call *c, struct bytes data)
{
    while (c->is_open && !(c->is_answered && !c->method->is_stream)) {
        if (!take_prefix(c, &data))
            return;
        size_t wanted = c->input.message_size - c->input.size;
        if (data.size < wanted) {
            (void)keep_input(c, data);
            return;
        }
        complete_message(c, bytes_of(data.data, wanted));
        data = bytes_of(data.data + wanted, data.size - wanted);
        if (data.size == 0)
            return;
    }
}

void call_half_close(struct call *c)
{
    if (!c->is_open || c->is_half_closed)
        return;
    c->is_half_closed = true;
    if (!c->is_parked && c->input.prefix_size > 0)
        call_end(c, GRPC_UNKNOWN, "unexpected EOF"); /* grpc-go's code, too */
    else if (!c->method->is_stream && !c->is_answered)
        call_end(c, GRPC_INTERNAL, "the request message is missing");
    else if (c->method->on_half_close != NULL)
        c->method->on_half_close(c);
}

/* --- the store's answers ---------------------------------------------------------------------- */

void call_submit(struct call *c, const struct store_request *request, store_done_fn *done)
{
    if (c->pending >= MAX_PENDING) {
        call_end(c, GRPC_RESOURCE_EXHAUSTED, too_many_requests);
        return;
    }
    c->pending++;
    store_submit(c->server->store, request, done, c);
}

struct call *call_take_any_answer(void *context, const struct store_response *response)
{
    struct call *c = context;
    assert(c->pending > 0);
    c->pending--;
    if (c->server != NULL && response->term != 0)
        c->server->identity.term = response->term;
    if (c->conn == NULL) {
        if (c->pending == 0) {
            server_remove_orphan(c);
            release(c);
        }
        return NULL;
    }
    return c->is_ended ? NULL : c;
}

struct call *call_take_answer(void *context, const struct store_response *response)
{
    struct call *c = call_take_any_answer(context, response);
    if (c == NULL || response->verdict == VERDICT_OK)
        return c;
    call_end_verdict(c, response->verdict);
    return NULL;
}
