/* Hashes and ranges in steps give what they would have given at once, whatever is done to the keys
 * between the steps. */
#include "base/strbuf.h"
#include "tests/unit/registry/state/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    KEYS = 60,
    ROUNDS = 300,
};

static int setup(void **state)
{
    struct fixture *f = malloc(sizeof(*f));
    fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_fini(*state);
    free(*state);
    return 0;
}

/* A fixed sequence. */
static uint32_t random_below(uint32_t *seed, uint32_t bound)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % bound;
}

static void put_number(struct fixture *f, uint32_t key, uint32_t value)
{
    char name[16], text[16];
    snprintf(name, sizeof(name), "k%02u", key);
    snprintf(text, sizeof(text), "%u", value);
    assert_int_equal(put(f, name, text), VERDICT_OK);
}

/* One put, or one deletion, of one key or several. */
static void change(struct fixture *f, uint32_t *seed)
{
    uint32_t key = random_below(seed, KEYS);
    char name[16], end[16];
    snprintf(name, sizeof(name), "k%02u", key);
    snprintf(end, sizeof(end), "k%02u", key + 1 + random_below(seed, 5));
    if (random_below(seed, 4) == 0)
        assert_int_equal(del(f, name, random_below(seed, 2) == 0 ? end : NULL), VERDICT_OK);
    else
        put_number(f, key, random_below(seed, 50));
}

static void purge_a_bit(struct fixture *f, uint32_t *seed)
{
    struct state_sink sink = history_sink(&f->history);
    (void)state_purge(f->state, random_below(seed, 20), &sink);
}

static void fill(struct fixture *f, uint32_t *seed)
{
    for (unsigned i = 0; i < 5 * KEYS; i++)
        change(f, seed);
}

/* --- hashes ----------------------------------------------------------------------------------- */

static uint32_t whole_hash(struct fixture *f, int64_t revision)
{
    uint32_t hash = 0;
    enum verdict verdict;
    struct state_source source = history_source(&f->history);
    assert_int_equal(state_hash(f->state, revision, &source, &hash, &verdict), OK);
    assert_int_equal(verdict, VERDICT_OK);
    return hash;
}

/* As the store does: no purge while there was a compaction since the hash began. */
static void between_hash_steps(struct fixture *f, const struct state_hasher *h, uint32_t *seed)
{
    for (uint32_t i = random_below(seed, 4); i > 0; i--)
        change(f, seed);
    if (random_below(seed, 20) == 0) {
        int64_t newest = state_revision(f->state), oldest = state_compacted(f->state);
        (void)compact(f, oldest + 1 + random_below(seed, (uint32_t)(newest - oldest) + 1));
    }
    if (state_compacted(f->state) == state_hasher_compacted(h))
        purge_a_bit(f, seed);
}

static void a_hash_in_steps_is_the_whole_one(void **state)
{
    struct fixture *f = *state;
    uint32_t seed = 1;
    fill(f, &seed);
    size_t compacted = 0, stepped = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        int64_t newest = state_revision(f->state), oldest = state_compacted(f->state);
        int64_t revision = 0;
        if (round % 2 == 0)
            revision = oldest + 1 + random_below(&seed, (uint32_t)(newest - oldest));
        uint32_t expected = whole_hash(f, revision);
        struct state_source source = history_source(&f->history);
        struct state_hasher *h;
        enum verdict verdict;
        assert_int_equal(state_hasher_create(&h, f->state, revision, &verdict), OK);
        assert_int_equal(verdict, VERDICT_OK);
        assert_int_equal(state_hasher_revision(h), revision > 0 ? revision : newest);
        bool is_done = false;
        while (!is_done) {
            size_t budget = 1 + random_below(&seed, 100);
            assert_int_equal(state_hasher_step(h, &source, budget, &is_done), OK);
            if (!is_done)
                between_hash_steps(f, h, &seed);
            stepped++;
        }
        assert_int_equal(state_hasher_hash(h), expected);
        compacted += state_compacted(f->state) != state_hasher_compacted(h);
        state_hasher_destroy(h);
        fill(f, &seed);
        purge(f);
    }
    assert_true(compacted > ROUNDS / 10);
    assert_true(stepped > ROUNDS * 5);
}

/* The most versions that one step looks at. */
static void a_step_of_a_hash_stops_inside_a_key(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 1000; i++)
        put_number(f, 0, i);
    uint32_t expected = whole_hash(f, 0);
    struct state_source source = history_source(&f->history);
    struct state_hasher *h;
    enum verdict verdict;
    assert_int_equal(state_hasher_create(&h, f->state, 0, &verdict), OK);
    bool is_done = false;
    while (!is_done) {
        size_t before = f->history.reads;
        assert_int_equal(state_hasher_step(h, &source, 10 * STATE_COST_OF_OLD, &is_done), OK);
        assert_true(f->history.reads - before <= 10);
        put_number(f, 0, 1);
    }
    assert_int_equal(state_hasher_hash(h), expected);
    state_hasher_destroy(h);
}

static void a_hash_fails_with_its_source(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    put(f, "a", "2");
    struct state_source source = history_source(&f->history);
    struct state_hasher *h;
    enum verdict verdict;
    bool is_done = false;
    assert_int_equal(state_hasher_create(&h, f->state, 0, &verdict), OK);
    f->history.fail = ERR_IO;
    assert_int_equal(state_hasher_step(h, &source, 1000, &is_done), ERR_IO);
    assert_false(is_done);
    state_hasher_destroy(h);
    assert_int_equal(state_hasher_create(&h, f->state, 9, &verdict), OK);
    assert_int_equal(verdict, VERDICT_FUTURE_REVISION);
    assert_null(h);
}

/* --- ranges ----------------------------------------------------------------------------------- */

struct answer {
    struct strbuf text; /* keys, values and numbers, in order */
    int64_t count;
    bool more;
};

static void add(struct answer *a, const struct kv *kvs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kv *kv = &kvs[i];
        strbuf_add_format(&a->text, "%.*s=%.*s %lld %lld %lld %lld,", (int)kv->key.size,
                          (const char *)kv->key.data, (int)kv->value.size,
                          (const char *)kv->value.data, (long long)kv->create_revision,
                          (long long)kv->mod_revision, (long long)kv->version,
                          (long long)kv->lease);
    }
}

static struct kv_range_request random_request(struct fixture *f, uint32_t *seed)
{
    static const char *const ends[] = {"k30", "k99", "", "k00"};
    int64_t newest = state_revision(f->state), oldest = state_compacted(f->state);
    struct kv_range_request q = {
        .key = random_below(seed, 2) == 0 ? bytes_of_str("k") : bytes_of_str("k17"),
        .range_end = bytes_of_str(ends[random_below(seed, 4)]),
        .limit = random_below(seed, 3) == 0 ? (int64_t)random_below(seed, KEYS) : 0,
        .sort_order = (enum kv_sort_order)random_below(seed, 3),
        .sort_target = (enum kv_sort_target)random_below(seed, 5),
        .keys_only = random_below(seed, 4) == 0,
        .count_only = random_below(seed, 8) == 0,
        .no_count = random_below(seed, 4) == 0,
    };
    if (q.range_end.size == 0 && random_below(seed, 2) == 0)
        q.range_end = bytes_of("", 1);
    if (random_below(seed, 2) == 0)
        q.revision = oldest + random_below(seed, (uint32_t)(newest - oldest) + 1);
    if (random_below(seed, 4) == 0)
        q.min_mod_revision = newest - random_below(seed, 50);
    if (random_below(seed, 4) == 0)
        q.max_create_revision = newest - random_below(seed, 50);
    return q;
}

static void expect(struct fixture *f, const struct kv_range_request *q, struct answer *a)
{
    struct kv_range_response r;
    *a = (struct answer){.text = STRBUF_EMPTY};
    assert_int_equal(range(f, *q, &r), VERDICT_OK);
    add(a, r.kvs, r.kv_count);
    a->count = r.count;
    a->more = r.more;
}

static void read_in_steps(struct fixture *f, const struct kv_range_request *q, uint32_t *seed,
                          struct answer *a)
{
    struct state_source source = history_source(&f->history);
    struct state_reading *r;
    enum verdict verdict;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    *a = (struct answer){.text = STRBUF_EMPTY};
    assert_int_equal(state_reading_create(&r, f->state, q, 16 << 20, &verdict), OK);
    assert_int_equal(verdict, VERDICT_OK);
    struct state_reading_part part = {0};
    while (!part.is_done) {
        arena_reset(&arena);
        assert_int_equal(state_reading_step(r, &source, 1 + random_below(seed, 100), &arena, &part),
                         OK);
        add(a, part.kvs, part.kv_count);
        for (uint32_t i = random_below(seed, 4); i > 0; i--)
            change(f, seed);
        if (state_compacted(f->state) <= state_reading_revision(r))
            purge_a_bit(f, seed);
        if (random_below(seed, 50) == 0)
            (void)compact(f, state_revision(f->state));
    }
    a->count = part.count;
    a->more = part.more;
    state_reading_destroy(r);
    arena_fini(&arena);
}

static void a_range_in_steps_is_the_whole_one(void **state)
{
    struct fixture *f = *state;
    uint32_t seed = 2;
    for (unsigned round = 0; round < 10 * ROUNDS; round++) {
        if (round % 10 == 0)
            fill(f, &seed);
        struct kv_range_request q = random_request(f, &seed);
        struct answer expected, got;
        expect(f, &q, &expected);
        read_in_steps(f, &q, &seed, &got);
        assert_string_equal(strbuf_str(&got.text), strbuf_str(&expected.text));
        assert_int_equal(got.count, expected.count);
        assert_int_equal(got.more, expected.more);
        strbuf_fini(&expected.text);
        strbuf_fini(&got.text);
        purge(f);
    }
}

/* More than one run of a sort. */
static void ten_thousand_keys_are_sorted_in_steps(void **state)
{
    struct fixture *f = *state;
    enum {
        COUNT = 10 * 1000
    };
    char key[16], value[16];
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(key, sizeof(key), "x%05u", i);
        snprintf(value, sizeof(value), "%05u", i * 7919 % COUNT);
        put(f, key, value);
    }
    const struct kv_range_request requests[] = {
        {.sort_target = KV_SORT_BY_VALUE, .sort_order = KV_SORT_ASCEND},
        {.sort_target = KV_SORT_BY_VALUE, .sort_order = KV_SORT_DESCEND, .limit = 5000},
        {.sort_order = KV_SORT_DESCEND},
        {.sort_target = KV_SORT_BY_MOD, .limit = 9000},
        {.sort_target = KV_SORT_BY_VERSION, .sort_order = KV_SORT_DESCEND, .keys_only = true},
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct kv_range_request q = requests[i];
        q.key = bytes_of_str("x");
        q.range_end = bytes_of_str("y");
        uint32_t seed = 3;
        struct answer expected, got;
        expect(f, &q, &expected);
        read_in_steps(f, &q, &seed, &got);
        assert_string_equal(strbuf_str(&got.text), strbuf_str(&expected.text));
        assert_int_equal(got.count, COUNT);
        assert_int_equal(got.more, expected.more);
        strbuf_fini(&expected.text);
        strbuf_fini(&got.text);
    }
}

static void a_sort_without_room_fails(void **state)
{
    struct fixture *f = *state;
    put(f, "a", "1");
    struct state_source source = history_source(&f->history);
    struct kv_range_request q = {.key = bytes_of_str("a"), .sort_order = KV_SORT_DESCEND};
    struct state_reading *r;
    struct state_reading_part part;
    enum verdict verdict;
    assert_int_equal(state_reading_create(&r, f->state, &q, 1024, &verdict), OK);
    assert_int_equal(state_reading_step(r, &source, 100, &f->arena, &part), ERR_NO_MEMORY);
    state_reading_destroy(r);
    q.revision = 9;
    assert_int_equal(state_reading_create(&r, f->state, &q, 1024, &verdict), OK);
    assert_int_equal(verdict, VERDICT_FUTURE_REVISION);
    assert_null(r);
}

static void a_range_within_a_budget(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 20; i++)
        put_number(f, i, 12345);
    put_number(f, 0, 54321);
    struct state_source source = history_source(&f->history);
    struct kv_range_request q = {.key = bytes_of_str("k"), .range_end = bytes_of_str("l")};
    struct kv_range_response r;
    enum verdict verdict;
    struct state_budget budget = {.keys = 30, .size = 170};
    assert_int_equal(state_range_within(f->state, &q, &source, &f->arena, &budget, &r, &verdict),
                     OK);
    assert_int_equal(r.kv_count, 20);
    assert_int_equal(budget.keys, 10);
    assert_int_equal(budget.size, 170 - 20 * 8);
    assert_int_equal(state_range_within(f->state, &q, &source, &f->arena, &budget, &r, &verdict),
                     ERR_LIMIT);
    budget = (struct state_budget){.keys = 30, .size = 159};
    assert_int_equal(state_range_within(f->state, &q, &source, &f->arena, &budget, &r, &verdict),
                     ERR_LIMIT);
    budget = (struct state_budget){.keys = 30, .size = 61};
    q.keys_only = true;
    assert_int_equal(state_range_within(f->state, &q, &source, &f->arena, &budget, &r, &verdict),
                     OK);
    budget = (struct state_budget){.keys = 2 * 20 + STATE_COST_OF_OLD, .size = 1000};
    q.revision = state_revision(f->state) - 1; /* of one key an old value is read */
    assert_int_equal(state_range_within(f->state, &q, &source, &f->arena, &budget, &r, &verdict),
                     OK);
    assert_int_equal(budget.keys, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_hash_in_steps_is_the_whole_one),
        TEST(a_step_of_a_hash_stops_inside_a_key),
        TEST(a_hash_fails_with_its_source),
        TEST(a_range_in_steps_is_the_whole_one),
        TEST(ten_thousand_keys_are_sorted_in_steps),
        TEST(a_sort_without_room_fails),
        TEST(a_range_within_a_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
