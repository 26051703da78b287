/* The small parts of the API: token bucket, deadlines, gRPC's texts, the look at transactions, the
 * buffer, the cache of events, probes. */
#include "registry/api/budget.h"
#include "registry/api/deadlines.h"
#include "registry/api/encode.h"
#include "registry/api/event_cache.h"
#include "registry/api/grpc.h"
#include "registry/api/outbuf.h"
#include "registry/api/pb.h"
#include "registry/api/probes.h"
#include "registry/api/txn_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void the_bucket_empties_and_fills(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 1000);
    assert_true(budget_spend(&b, 1000, BUDGET_CAPACITY));
    assert_false(budget_spend(&b, 1000, 1));
    assert_true(budget_spend(&b, 2000, BUDGET_PER_SECOND - 1));
    assert_false(budget_spend(&b, 2000, 1));
    budget_earn(&b);
    assert_true(budget_spend(&b, 2000, BUDGET_PER_SENT_FRAME - 1));
    assert_true(budget_spend(&b, 3600 * 1000, BUDGET_CAPACITY)); /* never more than that */
    assert_false(budget_spend(&b, 3600 * 1000, 1));
}

static void small_steps_of_time_add_up(void **state)
{
    (void)state;
    struct budget b;
    budget_init(&b, 0);
    assert_true(budget_spend(&b, 0, BUDGET_CAPACITY));
    for (uint64_t ms = 1; ms <= 100; ms++)
        assert_true(budget_spend(&b, ms, BUDGET_PER_SECOND / 1000));
}

static void the_first_deadline_comes_first(void **state)
{
    (void)state;
    enum {
        COUNT = 500
    };
    struct deadlines d = {0};
    struct deadline items[COUNT] = {0};
    uint64_t seed = 1;
    for (size_t i = 0; i < COUNT; i++) {
        seed = seed * 1103515245 + 12345;
        assert_true(deadlines_add(&d, &items[i], seed >> 16 & 0xFFF));
    }
    for (size_t i = 0; i < COUNT; i += 3)
        deadlines_remove(&d, &items[i]);
    deadlines_remove(&d, &items[0]); /* once more: nothing */
    uint64_t last = 0;
    size_t count = 0;
    for (struct deadline *first; (first = deadlines_first(&d)) != NULL; count++) {
        assert_true(first->at_ms >= last);
        last = first->at_ms;
        deadlines_remove(&d, first);
    }
    assert_int_equal(count, COUNT - (COUNT + 2) / 3);
    deadlines_fini(&d);
}

static void grpc_timeouts(void **state)
{
    (void)state;
    uint64_t ms;
    assert_true(grpc_timeout_parse(&ms, bytes_of_str("4999m")));
    assert_int_equal(ms, 4999);
    assert_true(grpc_timeout_parse(&ms, bytes_of_str("2S")));
    assert_int_equal(ms, 2000);
    assert_true(grpc_timeout_parse(&ms, bytes_of_str("99999999H")));
    assert_true(ms == UINT64_C(99999999) * 3600 * 1000);
    assert_true(grpc_timeout_parse(&ms, bytes_of_str("1n")));
    assert_int_equal(ms, 1);
    assert_true(grpc_timeout_parse(&ms, bytes_of_str("1500u")));
    assert_int_equal(ms, 2);
    static const char *const bad[] = {"", "S", "5", "-1S", "123456789S", "1x", "1 S", "S1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(grpc_timeout_parse(&ms, bytes_of_str(bad[i])));
}

static void grpc_messages(void **state)
{
    (void)state;
    char out[32];
    size_t size = grpc_message_encode(out, sizeof(out), "a b%\n\xc3\xa4");
    assert_int_equal(size, strlen("a b%25%0A%C3%A4"));
    assert_memory_equal(out, "a b%25%0A%C3%A4", size);
    assert_int_equal(grpc_message_encode(out, 4, "ab%%"), 2); /* no half escape */
}

static void grpc_content_types(void **state)
{
    (void)state;
    assert_true(grpc_content_type_is_ours(bytes_of_str("application/grpc")));
    assert_true(grpc_content_type_is_ours(bytes_of_str("application/grpc+proto")));
    assert_true(grpc_content_type_is_ours(bytes_of_str("application/grpc;x=y")));
    assert_false(grpc_content_type_is_ours(bytes_of_str("application/grpc-web")));
    assert_false(grpc_content_type_is_ours(bytes_of_str("application/json")));
    assert_false(grpc_content_type_is_ours(BYTES_EMPTY));
}

/* A transaction nested LEVELS deep, written from the inside out; returns its size. */
static size_t nest(uint8_t *buffer, size_t capacity, unsigned levels, const uint8_t **start)
{
    uint8_t *at = buffer + capacity;
    for (unsigned i = 1; i < levels; i++) {
        for (unsigned field = 4; field >= 2; field -= 2) { /* request_txn, then success */
            size_t size = (size_t)(buffer + capacity - at);
            at -= pb_varint_size(size) + 1;
            pb_put_nested(at, field, size);
        }
    }
    *start = at;
    return (size_t)(buffer + capacity - at);
}

static void nesting_is_bounded_before_recursion(void **state)
{
    (void)state;
    static uint8_t buffer[1 << 20];
    const uint8_t *start;
    size_t size = nest(buffer, sizeof(buffer), KV_MAX_TXN_DEPTH, &start);
    assert_true(txn_is_bounded(bytes_of(start, size)));
    size = nest(buffer, sizeof(buffer), KV_MAX_TXN_DEPTH + 1, &start);
    assert_false(txn_is_bounded(bytes_of(start, size)));
    size = nest(buffer, sizeof(buffer), 100000, &start);
    assert_false(txn_is_bounded(bytes_of(start, size)));
}

static void lists_are_bounded(void **state)
{
    (void)state;
    static uint8_t ops[2 * (KV_TXN_OPS_LIMIT + 1)];
    for (size_t i = 0; i < sizeof(ops); i += 2) {
        ops[i] = 3 << 3 | 2; /* failure, empty */
        ops[i + 1] = 0;
    }
    assert_true(txn_is_bounded(bytes_of(ops, sizeof(ops) - 2)));
    assert_false(txn_is_bounded(bytes_of(ops, sizeof(ops))));
}

static void a_buffer_keeps_its_order(void **state)
{
    (void)state;
    struct outbuf b = {0};
    uint8_t next_in = 0, next_out = 0;
    for (size_t i = 0; i < 5000; i++) {
        for (size_t k = 0; k < i % 97; k++) {
            uint8_t *at = outbuf_add(&b, 1);
            assert_non_null(at);
            *at = next_in++;
        }
        size_t take = outbuf_size(&b) * (i % 3) / 2;
        for (size_t k = 0; k < take; k++)
            assert_int_equal(outbuf_data(&b)[k], next_out++);
        outbuf_take(&b, take);
    }
    assert_true(b.capacity < 1 << 16);
    outbuf_fini(&b);
}

static struct kv_event event_of(const char *key, const char *value, int64_t revision)
{
    return (struct kv_event){
        .type = KV_EVENT_PUT,
        .kv = {.key = bytes_of_str(key), .value = bytes_of_str(value), .mod_revision = revision}};
}

static void assert_cached(struct event_cache *c, const struct kv_event *events, size_t count)
{
    uint8_t expected[1024];
    struct bytes found;
    assert_true(event_cache_get(c, &found, events, count));
    assert_int_equal(encode_events(expected, events, count) - expected, found.size);
    assert_memory_equal(found.data, expected, found.size);
}

static void the_cache_tells_events_apart(void **state)
{
    (void)state;
    struct event_cache c = {0};
    struct kv_event two[2] = {event_of("a", "1", 5), event_of("b", "2", 5)};
    assert_cached(&c, two, 2);
    assert_cached(&c, two, 2);
    assert_cached(&c, two, 1);
    two[0].has_prev = true;
    two[0].prev = event_of("a", "0", 4).kv;
    assert_cached(&c, two, 1);
    two[0].type = KV_EVENT_DELETE;
    assert_cached(&c, two, 1);
    struct kv_event later = event_of("a", "9", 6);
    assert_cached(&c, &later, 1);
    struct bytes found;
    assert_false(event_cache_get(&c, &found, &later, 0));
    static char large[EVENT_CACHE_MAX_SIZE + 1];
    memset(large, 'x', EVENT_CACHE_MAX_SIZE);
    later = event_of("a", large, 7);
    assert_false(event_cache_get(&c, &found, &later, 1));
    event_cache_fini(&c);
}

static bool exclude_all(void *context, const char *alarm)
{
    (void)context;
    (void)alarm;
    return true;
}

static void assert_health(const struct store_status *s, const struct probe_options *o,
                          const char *expected)
{
    struct strbuf out = STRBUF_EMPTY;
    bool healthy = probe_health(&out, s, o);
    assert_string_equal(strbuf_str(&out), expected);
    assert_int_equal(healthy, strstr(expected, "true") != NULL);
    strbuf_fini(&out);
}

static void health(void **state)
{
    (void)state;
    struct probe_options none = {0}, serializable = {.is_serializable = true},
                         excluding = {.excludes = exclude_all};
    struct alarm alarm = {.member = 1, .type = ALARM_NOSPACE};
    struct store_status s = {.leader = 1, .failure = ""};
    assert_health(&s, &none, "{\"health\":\"true\",\"reason\":\"\"}");
    s.leader = 0;
    assert_health(&s, &none, "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}");
    assert_health(&s, &serializable, "{\"health\":\"true\",\"reason\":\"\"}");
    s.leader = 1;
    s.alarms = &alarm;
    s.alarm_count = 1;
    assert_health(&s, &none, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}");
    assert_health(&s, &excluding, "{\"health\":\"true\",\"reason\":\"\"}");
    s.alarm_count = 0;
    s.failure = "disk \"x\" failed";
    assert_health(&s, &none, "{\"health\":\"false\",\"reason\":\"disk \\\"x\\\" failed\"}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bucket_empties_and_fills),
        cmocka_unit_test(small_steps_of_time_add_up),
        cmocka_unit_test(the_first_deadline_comes_first),
        cmocka_unit_test(grpc_timeouts),
        cmocka_unit_test(grpc_messages),
        cmocka_unit_test(grpc_content_types),
        cmocka_unit_test(nesting_is_bounded_before_recursion),
        cmocka_unit_test(lists_are_bounded),
        cmocka_unit_test(a_buffer_keeps_its_order),
        cmocka_unit_test(the_cache_tells_events_apart),
        cmocka_unit_test(health),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
