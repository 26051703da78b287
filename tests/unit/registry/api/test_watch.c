/* The Watch stream's protocol: etcd-v3 section 5, a test per sentence. */
#include "h2_peer.h"

#include "registry/api.h"
#include "registry/api/watch.h"
#include "rpc.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char watch_path[] = "/etcdserverpb.Watch/Watch";

struct fixture {
    struct h2_peer peer;
    int32_t id;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    h2_open(&f->peer);
    f->id = h2_start(&f->peer, watch_path, NULL, BYTES_EMPTY, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    h2_close(&f->peer);
    free(f);
    return 0;
}

static void request(struct fixture *f, const Etcdserverpb__WatchRequest *r)
{
    uint8_t packed[512];
    size_t size = etcdserverpb__watch_request__pack(r, packed);
    h2_send(&f->peer, f->id, h2_framed(bytes_of(packed, size)), false);
}

static Etcdserverpb__WatchCreateRequest of_key(const char *key, const char *end)
{
    Etcdserverpb__WatchCreateRequest c = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    c.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    c.range_end = (ProtobufCBinaryData){strlen(end), (uint8_t *)(uintptr_t)end};
    return c;
}

static void create(struct fixture *f, Etcdserverpb__WatchCreateRequest c)
{
    Etcdserverpb__WatchRequest r = ETCDSERVERPB__WATCH_REQUEST__INIT;
    r.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    r.create_request = &c;
    request(f, &r);
}

static void cancel(struct fixture *f, int64_t id)
{
    Etcdserverpb__WatchCancelRequest c = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    Etcdserverpb__WatchRequest r = ETCDSERVERPB__WATCH_REQUEST__INIT;
    c.watch_id = id;
    r.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    r.cancel_request = &c;
    request(f, &r);
}

static void progress(struct fixture *f)
{
    Etcdserverpb__WatchProgressRequest c = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    Etcdserverpb__WatchRequest r = ETCDSERVERPB__WATCH_REQUEST__INIT;
    r.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    r.progress_request = &c;
    request(f, &r);
}

static void change(struct fixture *f, const char *key, const char *value)
{
    fake_store_put(f->peer.store, key, value, strlen(value));
    h2_pump(&f->peer);
}

static Etcdserverpb__WatchResponse *next(struct fixture *f)
{
    struct bytes message;
    if (!h2_next(h2_reply_of(&f->peer, f->id), &message))
        return NULL;
    Etcdserverpb__WatchResponse *r =
        etcdserverpb__watch_response__unpack(NULL, message.size, message.data);
    assert_non_null(r);
    return r;
}

static void done(Etcdserverpb__WatchResponse *r)
{
    etcdserverpb__watch_response__free_unpacked(r, NULL);
}

static void expect_nothing(struct fixture *f)
{
    assert_null(next(f));
}

static void expect_created(struct fixture *f, int64_t id)
{
    Etcdserverpb__WatchResponse *r = next(f);
    assert_non_null(r);
    assert_true(r->created);
    assert_false(r->canceled);
    assert_int_equal(r->watch_id, id);
    assert_int_equal(r->n_events, 0);
    assert_true(r->header->revision > 0);
    done(r);
}

static void expect_refused(struct fixture *f, const char *reason)
{
    Etcdserverpb__WatchResponse *r = next(f);
    assert_non_null(r);
    assert_true(r->created && r->canceled);
    assert_int_equal(r->watch_id, -1);
    assert_string_equal(r->cancel_reason, reason);
    done(r);
    assert_false(h2_reply_of(&f->peer, f->id)->is_closed);
}

static void expect_put(struct fixture *f, int64_t id, int64_t revision)
{
    Etcdserverpb__WatchResponse *r = next(f);
    assert_non_null(r);
    assert_int_equal(r->watch_id, id);
    assert_int_equal(r->header->revision, revision);
    assert_int_equal(r->n_events, 1);
    assert_int_equal(r->events[0]->type, MVCCPB__EVENT__EVENT_TYPE__PUT);
    assert_int_equal(r->events[0]->kv->mod_revision, revision);
    done(r);
}

static void ids_are_chosen_from_zero_and_skip_used_ones(void **state)
{
    struct fixture *f = *state;
    Etcdserverpb__WatchCreateRequest c = of_key("a", "");
    create(f, c);
    expect_created(f, 0);
    c.watch_id = 1;
    create(f, c);
    expect_created(f, 1);
    c.watch_id = 0;
    create(f, c);
    expect_created(f, 2);
    c.watch_id = 77;
    create(f, c);
    expect_created(f, 77);
}

static void refusals_keep_the_stream(void **state)
{
    struct fixture *f = *state;
    Etcdserverpb__WatchCreateRequest c = of_key("b", "a");
    create(f, c);
    expect_refused(f, "mvcc: watcher range is empty");
    c = of_key("b", "");
    c.watch_id = 5;
    create(f, c);
    expect_created(f, 5);
    create(f, c);
    expect_refused(f, "mvcc: duplicate watch ID provided on the WatchStream");
    change(f, "b", "x");
    expect_put(f, 5, 2);
}

static void each_watcher_sees_its_range(void **state)
{
    struct fixture *f = *state;
    create(f, of_key("a", "c"));
    create(f, of_key("b", ""));
    create(f, of_key("", "\0"));
    expect_created(f, 0);
    expect_created(f, 1);
    expect_created(f, 2);
    change(f, "a", "x");
    expect_put(f, 0, 2);
    expect_nothing(f);
}

static void an_empty_key_with_a_range_is_from_the_first(void **state)
{
    struct fixture *f = *state;
    create(f, of_key("", "z"));
    expect_created(f, 0);
    change(f, "a", "x");
    expect_put(f, 0, 2);
}

static void history_follows_created(void **state)
{
    struct fixture *f = *state;
    change(f, "a", "1");
    change(f, "a", "2");
    Etcdserverpb__WatchCreateRequest c = of_key("a", "");
    c.start_revision = 2;
    create(f, c);
    fake_store_settle(f->peer.store);
    h2_pump(&f->peer);
    expect_created(f, 0);
    expect_put(f, 0, 2);
    expect_put(f, 0, 3);
}

static void a_cancel_is_answered_once(void **state)
{
    struct fixture *f = *state;
    create(f, of_key("a", ""));
    expect_created(f, 0);
    cancel(f, 0);
    Etcdserverpb__WatchResponse *r = next(f);
    assert_true(r->canceled);
    assert_false(r->created);
    assert_int_equal(r->watch_id, 0);
    done(r);
    cancel(f, 0); /* unknown by now */
    cancel(f, 9);
    change(f, "a", "x");
    expect_nothing(f);
    assert_int_equal(fake_store_of(f->peer.store)->watch_count, 0);
}

static void compacted_history_cancels_with_its_revision(void **state)
{
    struct fixture *f = *state;
    change(f, "a", "1");
    change(f, "a", "2");
    create(f, of_key("a", ""));
    expect_created(f, 0);
    static const uint8_t compact_at_3[] = {0x08, 0x03};
    h2_start(&f->peer, "/etcdserverpb.KV/Compact", NULL, h2_framed(bytes_of(compact_at_3, 2)),
             true);
    Etcdserverpb__WatchCreateRequest c = of_key("a", "");
    c.start_revision = 2;
    create(f, c);
    fake_store_settle(f->peer.store);
    h2_pump(&f->peer);
    expect_created(f, 1);
    Etcdserverpb__WatchResponse *r = next(f);
    assert_true(r->canceled);
    assert_int_equal(r->watch_id, 1);
    assert_int_equal(r->compact_revision, 3);
    assert_int_equal(r->header->revision, 0);
    done(r);
    change(f, "a", "3"); /* the other lives on */
    expect_put(f, 0, 4);
    expect_nothing(f);
}

static void filters_packed_and_unpacked(void **state)
{
    struct fixture *f = *state;
    /* create_request { key: "a" filters: NOPUT }: packed, then as a plain varint */
    static const uint8_t packed[] = {0x0a, 6, 0x0a, 1, 'a', 0x2a, 1, 0};
    static const uint8_t unpacked[] = {0x0a, 5, 0x0a, 1, 'a', 0x28, 0};
    h2_send(&f->peer, f->id, h2_framed(bytes_of(packed, sizeof(packed))), false);
    h2_send(&f->peer, f->id, h2_framed(bytes_of(unpacked, sizeof(unpacked))), false);
    expect_created(f, 0);
    expect_created(f, 1);
    change(f, "a", "x");
    expect_nothing(f);
}

static void the_half_close_does_not_end_the_stream(void **state)
{
    struct fixture *f = *state;
    create(f, of_key("a", ""));
    expect_created(f, 0);
    h2_send(&f->peer, f->id, BYTES_EMPTY, true);
    change(f, "a", "x");
    expect_put(f, 0, 2);
    assert_false(h2_reply_of(&f->peer, f->id)->is_closed);
}

static void unknown_requests_are_ignored(void **state)
{
    struct fixture *f = *state;
    h2_send(&f->peer, f->id, h2_framed(bytes_of("\x52\0", 2)), false);
    h2_send(&f->peer, f->id, h2_framed(BYTES_EMPTY), false);
    expect_nothing(f);
    create(f, of_key("a", ""));
    expect_created(f, 0);
}

static void expect_progress(struct fixture *f, int64_t id, int64_t revision)
{
    Etcdserverpb__WatchResponse *r = next(f);
    assert_non_null(r);
    assert_int_equal(r->watch_id, id);
    assert_int_equal(r->header->revision, revision);
    assert_int_equal(r->n_events, 0);
    assert_false(r->created || r->canceled);
    done(r);
}

static void progress_waits_for_all_watchers(void **state)
{
    struct fixture *f = *state;
    progress(f); /* without watchers: silence, as etcd from 3.5 on */
    expect_nothing(f);
    create(f, of_key("a", ""));
    create(f, of_key("b", ""));
    expect_created(f, 0);
    expect_created(f, 1);
    progress(f);
    expect_progress(f, -1, 1);
    fake_store_of(f->peer.store)->unsynced = true;
    progress(f);
    progress(f);
    expect_nothing(f);
    fake_store_of(f->peer.store)->unsynced = false;
    change(f, "a", "x");
    expect_put(f, 0, 2);
    expect_progress(f, -1, 2); /* behind the event, and once */
    expect_nothing(f);
}

static void progress_notices_of_quiet_watchers(void **state)
{
    struct fixture *f = *state;
    Etcdserverpb__WatchCreateRequest c = of_key("a", "");
    create(f, c);
    c.progress_notify = true;
    create(f, c);
    expect_created(f, 0);
    expect_created(f, 1);
    h2_advance(&f->peer, SERVER_PROGRESS_MS - 1);
    expect_nothing(f);
    h2_advance(&f->peer, SERVER_PROGRESS_MS / 10 + 1);
    expect_progress(f, 1, 1);
    change(f, "a", "x");
    expect_put(f, 1, 2); /* the fake delivers to the newest first */
    expect_put(f, 0, 2);
    h2_advance(&f->peer, SERVER_PROGRESS_MS * 11 / 10);
    expect_nothing(f); /* it was not quiet */
    h2_advance(&f->peer, SERVER_PROGRESS_MS * 11 / 10);
    expect_progress(f, 1, 2);
}

static void no_leader_cancels_streams_that_want_one(void **state)
{
    struct fixture *f = *state;
    struct h2_options o = {.wants_leader = true};
    int32_t id = h2_start(&f->peer, watch_path, &o, BYTES_EMPTY, false);
    static const uint8_t request_a[] = {0x0a, 3, 0x0a, 1, 'a'};
    h2_send(&f->peer, id, h2_framed(bytes_of(request_a, sizeof(request_a))), false);
    create(f, of_key("a", ""));
    fake_store_of(f->peer.store)->no_leader = true;
    h2_advance(&f->peer, 1000);
    assert_int_equal(h2_reply_of(&f->peer, id)->grpc_status, 14);
    assert_false(h2_reply_of(&f->peer, f->id)->is_closed);
    assert_int_equal(fake_store_of(f->peer.store)->watch_count, 1);
}

static void a_slow_reader_waits_and_misses_nothing(void **state)
{
    struct fixture *f = *state;
    char *value = calloc(1, 100001);
    memset(value, 'v', 100000);
    create(f, of_key("a", ""));
    expect_created(f, 0);
    for (int i = 0; i < 50; i++) /* nothing is fetched meanwhile */
        fake_store_put(f->peer.store, "a", value, 100000);
    assert_true(f->peer.conn->unsent_size < API_MAX_STREAM_UNSENT + 200000);
    assert_true(fake_store_of(f->peer.store)->refused_deliveries > 0);
    h2_pump(&f->peer);
    for (int i = 0; i < 50; i++)
        expect_put(f, 0, 2 + i);
    expect_nothing(f);
    assert_int_equal(f->peer.conn->starved_count, 0);
    free(value);
}

static void large_responses_are_split_for_those_who_ask(void **state)
{
    enum {
        VALUE_SIZE = 700000,
        COUNT = 7
    };
    struct fixture *f = *state;
    uint8_t *value = calloc(1, VALUE_SIZE);
    Etcdserverpb__WatchCreateRequest c = of_key("k", "l");
    c.fragment = true;
    create(f, c);
    expect_created(f, 0);
    fake_store_put_many(f->peer.store, COUNT, value, VALUE_SIZE);
    h2_pump(&f->peer);
    size_t seen = 0;
    for (bool more = true; more;) {
        Etcdserverpb__WatchResponse *r = next(f);
        assert_non_null(r);
        assert_true(etcdserverpb__watch_response__get_packed_size(r) < WATCH_FRAGMENT_SIZE);
        assert_int_equal(r->header->revision, 2);
        for (size_t i = 0; i < r->n_events; i++, seen++)
            assert_int_equal(r->events[i]->kv->key.data[1], '0' + seen); /* in order */
        more = r->fragment;
        assert_int_equal(more, seen < COUNT);
        done(r);
    }
    assert_int_equal(seen, COUNT);
    expect_nothing(f);
    free(value);
}

static void other_responses_are_never_split(void **state)
{
    struct fixture *f = *state;
    uint8_t *value = calloc(1, 700000);
    create(f, of_key("k", "l"));
    expect_created(f, 0);
    fake_store_put_many(f->peer.store, 7, value, 700000);
    h2_pump(&f->peer);
    Etcdserverpb__WatchResponse *r = next(f);
    assert_int_equal(r->n_events, 7);
    assert_false(r->fragment);
    done(r);
    free(value);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(ids_are_chosen_from_zero_and_skip_used_ones),
        TEST(refusals_keep_the_stream),
        TEST(each_watcher_sees_its_range),
        TEST(an_empty_key_with_a_range_is_from_the_first),
        TEST(history_follows_created),
        TEST(a_cancel_is_answered_once),
        TEST(compacted_history_cancels_with_its_revision),
        TEST(filters_packed_and_unpacked),
        TEST(the_half_close_does_not_end_the_stream),
        TEST(unknown_requests_are_ignored),
        TEST(progress_waits_for_all_watchers),
        TEST(progress_notices_of_quiet_watchers),
        TEST(no_leader_cancels_streams_that_want_one),
        TEST(a_slow_reader_waits_and_misses_nothing),
        TEST(large_responses_are_split_for_those_who_ask),
        TEST(other_responses_are_never_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
