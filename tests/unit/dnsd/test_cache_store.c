#include "tests/unit/dnsd/support.h"

#include "dnsd/directive/cache_store.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct cache_item *item(uint64_t key)
{
    static const uint8_t name[] = {1, 'a', 0}, rdata[] = {192, 0, 2, 1};
    const struct dns_rr rrs[] = {
        {.owner = {name, sizeof(name)}, .rdata = rdata, .rdata_size = 4, .type = DNS_TYPE_A},
        {.owner = {name, sizeof(name)}, .rdata = NULL, .rdata_size = 0, .type = DNS_TYPE_A},
    };
    const struct dns_message m = {
        .has_question = true,
        .question = {.name = {name, sizeof(name)}, .type = DNS_TYPE_A},
        .sections[DNS_ANSWER] = {.rrs = rrs, .count = 2},
        .sections[DNS_ADDITIONAL] = {.rrs = rrs, .count = 1},
    };
    struct cache_item *i = cache_item_create(key, &m, "source", 10, 1000);
    assert_non_null(i);
    return i;
}

static void put(struct cache_store *s, uint64_t key, bool evicts)
{
    bool evicted;
    cache_store_take(s, item(key), &evicted);
    assert_int_equal(evicted, evicts);
}

static void an_item_is_a_deep_copy(void **state)
{
    (void)state;
    struct cache_item *i = item(1);
    assert_int_equal(i->sections[DNS_ANSWER].count, 2);
    const struct dns_rr *rrs = i->sections[DNS_ANSWER].rrs;
    assert_memory_equal(rrs[0].owner.wire, "\1a", 3);
    assert_ptr_equal(rrs[0].owner.wire, rrs[1].owner.wire); /* kept once */
    assert_memory_equal(rrs[0].rdata, "\300\0\2\1", 4);
    assert_int_equal(i->sections[DNS_ADDITIONAL].count, 1);
    cache_item_release(i);
}

static void ttl_counts_whole_seconds_down(void **state)
{
    (void)state;
    struct cache_item *i = item(1);
    assert_int_equal(cache_item_ttl(i, 1000), 10);
    assert_int_equal(cache_item_ttl(i, 999999999), 10);
    assert_int_equal(cache_item_ttl(i, 1000001000), 9);
    assert_int_equal(cache_item_ttl(i, 11000001000), -1);
    cache_item_release(i);
}

static void finds_what_was_put(void **state)
{
    (void)state;
    struct cache_store *s;
    assert_int_equal(cache_store_create(&s, 100000), OK);
    for (uint64_t key = 0; key < 5000; key++)
        put(s, key * 7, false);
    assert_int_equal(cache_store_count(s), 5000);
    for (uint64_t key = 0; key < 35000; key++) {
        struct cache_item *i = cache_store_get(s, key);
        assert_int_equal(i != NULL, key % 7 == 0);
        if (i != NULL) {
            assert_true(i->key == key);
            cache_item_release(i);
        }
    }
    cache_store_destroy(s);
}

static void the_same_key_replaces(void **state)
{
    (void)state;
    struct cache_store *s;
    assert_int_equal(cache_store_create(&s, 0), OK);
    for (int i = 0; i < 10; i++)
        put(s, 42, false);
    assert_int_equal(cache_store_count(s), 1);
    cache_store_destroy(s);
}

/* 256 shards, at least four items each. */
static void a_full_shard_evicts_one_for_one(void **state)
{
    (void)state;
    struct cache_store *s;
    assert_int_equal(cache_store_create(&s, -5), OK);
    for (uint64_t i = 0; i < 4; i++)
        put(s, i << 8, false);
    for (uint64_t i = 4; i < 100; i++)
        put(s, i << 8, true);
    assert_int_equal(cache_store_count(s), 4);
    put(s, 1, false); /* another shard */
    assert_int_equal(cache_store_count(s), 5);
    cache_store_destroy(s);
}

/* Random puts and removals of few keys in one shard, against a plain array. */
static void removal_keeps_the_others_reachable(void **state)
{
    enum {
        KEYS = 64
    };
    bool present[KEYS] = {false};
    size_t count = 0;
    struct cache_store *s;
    (void)state;
    assert_int_equal(cache_store_create(&s, KEYS * 256), OK);
    srandom(2);
    for (int step = 0; step < 20000; step++) {
        size_t k = (size_t)random() % KEYS;
        uint64_t key = (uint64_t)k << 8;
        if (random() % 2 == 0) {
            put(s, key, false);
            count += !present[k];
            present[k] = true;
        } else {
            cache_store_remove(s, key);
            count -= present[k];
            present[k] = false;
        }
        assert_int_equal(cache_store_count(s), count);
        k = (size_t)random() % KEYS;
        struct cache_item *found = cache_store_get(s, (uint64_t)k << 8);
        assert_int_equal(found != NULL, present[k]);
        if (found != NULL)
            cache_item_release(found);
    }
    cache_store_destroy(s);
}

static void an_item_outlives_its_eviction(void **state)
{
    (void)state;
    struct cache_store *s;
    assert_int_equal(cache_store_create(&s, 0), OK);
    put(s, 7, false);
    struct cache_item *held = cache_store_get(s, 7);
    cache_store_remove(s, 7);
    assert_null(cache_store_get(s, 7));
    assert_memory_equal(held->sections[DNS_ANSWER].rrs[0].rdata, "\300\0\2\1", 4);
    cache_item_release(held);
    cache_store_destroy(s);
}

static void *hammer(void *context)
{
    struct cache_store *s = context;
    unsigned seed = (unsigned)(uintptr_t)&seed;
    for (int i = 0; i < 20000; i++) {
        uint64_t key = (uint64_t)(rand_r(&seed) % 64) << 8;
        bool evicted;
        struct cache_item *found = cache_store_get(s, key);
        if (found != NULL) {
            if (found->sections[DNS_ANSWER].rrs[0].rdata[0] != 192)
                abort();
            cache_item_release(found);
        }
        if (i % 3 == 0)
            cache_store_take(s, item(key), &evicted);
        if (i % 7 == 0)
            cache_store_remove(s, key);
    }
    return NULL;
}

static void threads_share_it(void **state)
{
    pthread_t threads[4];
    struct cache_store *s;
    (void)state;
    assert_int_equal(cache_store_create(&s, 0), OK);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, s), 0);
    for (size_t i = 0; i < ARRAY_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_in_range(cache_store_count(s), 0, 4);
    cache_store_destroy(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_is_a_deep_copy),
        cmocka_unit_test(ttl_counts_whole_seconds_down),
        cmocka_unit_test(finds_what_was_put),
        cmocka_unit_test(the_same_key_replaces),
        cmocka_unit_test(a_full_shard_evicts_one_for_one),
        cmocka_unit_test(removal_keeps_the_others_reachable),
        cmocka_unit_test(an_item_outlives_its_eviction),
        cmocka_unit_test(threads_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
