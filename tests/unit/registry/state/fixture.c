#include "tests/unit/registry/state/fixture.h"

#include "base/strbuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void on_record(void *context, const struct state_record *record)
{
    struct fixture *f = context;
    watch_hub_record(f->hub, record);
}

void fixture_init(struct fixture *f)
{
    *f = (struct fixture){0};
    history_init(&f->history);
    f->history.also = on_record;
    f->history.also_context = f;
    arena_init(&f->arena, 256 << 20);
    assert_int_equal(state_create(&f->state), OK);
    assert_int_equal(watch_hub_create(&f->hub, f->state), OK);
}

void fixture_fini(struct fixture *f)
{
    watch_hub_destroy(f->hub);
    state_destroy(f->state);
    history_fini(&f->history);
    arena_fini(&f->arena);
}

enum verdict apply(struct fixture *f, const struct state_command *command)
{
    struct strbuf encoded = STRBUF_EMPTY;
    struct state_source source = history_source(&f->history);
    struct state_sink sink = history_sink(&f->history);
    state_command_encode(&encoded, command);
    assert_false(encoded.failed);
    arena_reset(&f->arena);
    const void *bytes = arena_copy(&f->arena, encoded.data, encoded.size);
    assert_non_null(bytes);
    assert_int_equal(state_apply(f->state, bytes_of(bytes, encoded.size), &source, &f->arena, &sink,
                                 &f->result, &f->source_error),
                     OK);
    strbuf_fini(&encoded);
    assert_int_equal(f->result.revision, state_revision(f->state));
    watch_hub_commit(f->hub);
    return f->result.verdict;
}

enum verdict put_request(struct fixture *f, struct kv_put_request request)
{
    return apply(f, &(struct state_command){.type = STATE_PUT, .put = request});
}

enum verdict put(struct fixture *f, const char *key, const char *value)
{
    return put_request(
        f, (struct kv_put_request){.key = bytes_of_str(key), .value = bytes_of_str(value)});
}

enum verdict put_leased(struct fixture *f, const char *key, int64_t lease)
{
    return put_request(f, (struct kv_put_request){.key = bytes_of_str(key), .lease = lease});
}

static struct bytes end_of(const char *end)
{
    return end != NULL ? bytes_of_str(end) : BYTES_EMPTY;
}

enum verdict del(struct fixture *f, const char *key, const char *end)
{
    return apply(
        f, &(struct state_command){.type = STATE_DELETE,
                                   .del = {.key = bytes_of_str(key), .range_end = end_of(end)}});
}

enum verdict txn(struct fixture *f, struct kv_txn_request request)
{
    return apply(f, &(struct state_command){.type = STATE_TXN, .txn = request});
}

enum verdict compact(struct fixture *f, int64_t revision)
{
    return apply(f, &(struct state_command){.type = STATE_COMPACT, .compact = {revision}});
}

enum verdict grant(struct fixture *f, int64_t id)
{
    return apply(
        f, &(struct state_command){.type = STATE_LEASE_GRANT, .lease = {.id = id, .ttl_s = 60}});
}

enum verdict revoke(struct fixture *f, int64_t id)
{
    return apply(f, &(struct state_command){.type = STATE_LEASE_REVOKE, .lease = {.id = id}});
}

enum verdict alarm_change(struct fixture *f, enum alarm_action action, enum alarm_type type)
{
    return apply(f, &(struct state_command){
                        .type = STATE_ALARM_CHANGE,
                        .alarm = {.action = action, .alarm = {.member = 1, .type = type}}});
}

void purge(struct fixture *f)
{
    struct state_sink sink = history_sink(&f->history);
    while (state_purge(f->state, 3, &sink))
        ;
}

struct kv_op op_put(const char *key, const char *value)
{
    return (struct kv_op){.type = KV_OP_PUT,
                          .put = {.key = bytes_of_str(key), .value = bytes_of_str(value)}};
}

struct kv_op op_get(const char *key)
{
    return (struct kv_op){.type = KV_OP_RANGE, .range = {.key = bytes_of_str(key)}};
}

struct kv_op op_del(const char *key, const char *end)
{
    return (struct kv_op){.type = KV_OP_DELETE,
                          .del = {.key = bytes_of_str(key), .range_end = end_of(end)}};
}

struct kv_op op_txn(struct kv_txn_request request)
{
    return (struct kv_op){.type = KV_OP_TXN, .txn = request};
}

enum verdict range(struct fixture *f, struct kv_range_request request,
                   struct kv_range_response *out)
{
    struct state_source source = history_source(&f->history);
    enum verdict verdict;
    assert_int_equal(state_range(f->state, &request, &source, &f->arena, out, &verdict), OK);
    return verdict;
}

const char *keys(struct fixture *f, struct kv_range_request request)
{
    struct kv_range_response response;
    assert_int_equal(range(f, request, &response), VERDICT_OK);
    char *text = arena_alloc(&f->arena, 1000);
    assert_non_null(text);
    size_t size = 0;
    text[0] = 0;
    for (size_t i = 0; i < response.kv_count; i++)
        size += (size_t)snprintf(text + size, 1000 - size, "%s%.*s", i > 0 ? "," : "",
                                 (int)response.kvs[i].key.size, response.kvs[i].key.data);
    return text;
}

const char *value_at(struct fixture *f, const char *key, int64_t revision)
{
    struct kv_range_response response;
    struct kv_range_request request = {.key = bytes_of_str(key), .revision = revision};
    assert_int_equal(range(f, request, &response), VERDICT_OK);
    if (response.kv_count == 0)
        return NULL;
    char *text = arena_alloc(&f->arena, response.kvs[0].value.size + 1);
    assert_non_null(text);
    memcpy(text, response.kvs[0].value.data, response.kvs[0].value.size);
    text[response.kvs[0].value.size] = 0;
    return text;
}
