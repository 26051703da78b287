/* Deadlines of leases on a clock that the test moves. */
#include "registry/state/lessor.h"

#include "base/attr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct lessor *l;
    if (lessor_create(&l) != OK)
        return -1;
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    lessor_destroy(*state);
    return 0;
}

static uint64_t remaining(struct lessor *l, int64_t id, uint64_t now_ms)
{
    uint64_t ms;
    assert_true(lessor_remaining(l, id, now_ms, &ms));
    return ms;
}

static void a_lease_starts_with_its_full_ttl(void **state)
{
    struct lessor *l = *state;
    assert_int_equal(lessor_add(l, 1, 10, 5000), OK);
    assert_int_equal(remaining(l, 1, 5000), 10000);
    assert_int_equal(remaining(l, 1, 14999), 1);
    assert_int_equal(remaining(l, 1, 20000), 0);
    assert_int_equal(lessor_add(l, 1, 10, 5000), ERR_EXISTS);
    uint64_t ms;
    assert_false(lessor_remaining(l, 2, 0, &ms));
}

static void a_lease_never_ends_early(void **state)
{
    struct lessor *l = *state;
    int64_t id;
    assert_int_equal(lessor_add(l, 1, 2, 1000), OK);
    assert_int_equal(lessor_expired(l, 2999, &id, 1), 0);
    assert_int_equal(lessor_expired(l, 3000, &id, 1), 1);
    assert_int_equal(id, 1);
}

static void an_expired_lease_is_reported_once_until_retried(void **state)
{
    struct lessor *l = *state;
    int64_t ids[4];
    assert_int_equal(lessor_add(l, 1, 2, 0), OK);
    assert_int_equal(lessor_expired(l, 9000, ids, 4), 1);
    assert_int_equal(lessor_expired(l, 9000, ids, 4), 0);
    assert_int_equal(lessor_next_ms(l, 9000), UINT64_MAX);
    lessor_retry(l, 1);
    assert_int_equal(lessor_next_ms(l, 9000), 0);
    assert_int_equal(lessor_expired(l, 9000, ids, 4), 1);
    lessor_remove(l, 1);
    lessor_retry(l, 1);
    assert_int_equal(lessor_expired(l, 9000, ids, 4), 0);
}

static void expired_leases_come_by_deadline_as_many_as_fit(void **state)
{
    struct lessor *l = *state;
    int64_t ids[2];
    assert_int_equal(lessor_add(l, 1, 30, 0), OK);
    assert_int_equal(lessor_add(l, 2, 10, 0), OK);
    assert_int_equal(lessor_add(l, 3, 20, 0), OK);
    assert_int_equal(lessor_expired(l, 60000, ids, 2), 2);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[1], 3);
    assert_int_equal(lessor_expired(l, 60000, ids, 2), 1);
    assert_int_equal(ids[0], 1);
}

static void a_renewal_gives_the_full_ttl_again(void **state)
{
    struct lessor *l = *state;
    int64_t ttl_s;
    assert_int_equal(lessor_add(l, 1, 10, 0), OK);
    assert_int_equal(lessor_renew(l, 1, 9000, &ttl_s), LESSOR_RENEWED);
    assert_int_equal(ttl_s, 10);
    assert_int_equal(remaining(l, 1, 9000), 10000);
    assert_int_equal(lessor_renew(l, 2, 9000, &ttl_s), LESSOR_UNKNOWN);
}

static void an_expired_lease_is_not_renewed(void **state)
{
    struct lessor *l = *state;
    int64_t ttl_s, id;
    assert_int_equal(lessor_add(l, 1, 10, 0), OK);
    assert_int_equal(lessor_renew(l, 1, 10000, &ttl_s), LESSOR_EXPIRING);
    assert_int_equal(lessor_expired(l, 10000, &id, 1), 1);
    assert_int_equal(lessor_renew(l, 1, 10000, &ttl_s), LESSOR_EXPIRING);
}

static void a_new_leader_gives_every_lease_its_full_ttl_and_more(void **state)
{
    struct lessor *l = *state;
    int64_t id, ttl_s;
    assert_int_equal(lessor_add(l, 1, 10, 0), OK);
    assert_int_equal(lessor_add(l, 2, 20, 0), OK);
    assert_int_equal(lessor_expired(l, 15000, &id, 1), 1);
    lessor_promote(l, 15000, 1000);
    assert_int_equal(remaining(l, 1, 15000), 11000);
    assert_int_equal(remaining(l, 2, 15000), 21000);
    assert_int_equal(lessor_renew(l, 1, 16000, &ttl_s), LESSOR_RENEWED);
    assert_int_equal(lessor_next_ms(l, 16000), 10000);
}

static void the_list_is_by_rising_deadline(void **state)
{
    struct lessor *l = *state;
    int64_t ids[4] = {0}, id;
    for (int64_t i = 1; i <= 4; i++)
        assert_int_equal(lessor_add(l, i, 50 - 10 * i, 0), OK);
    assert_int_equal(lessor_expired(l, 10000, &id, 1), 1); /* 4 */
    assert_int_equal(lessor_list(l, ids, 4), 4);
    for (int64_t i = 0; i < 4; i++)
        assert_int_equal(ids[i], 4 - i);
    ids[1] = 77;
    assert_int_equal(lessor_list(l, ids, 1), 4);
    assert_int_equal(ids[1], 77);
}

/* Against an array that is searched. */
static void random_leases_expire_as_an_array_says(void **state)
{
    struct lessor *l = *state;
    enum {
        IDS = 200,
        STEPS = 20000
    };
    struct {
        bool there, reported;
        int64_t ttl_s;
        uint64_t deadline_ms;
    } all[IDS] = {0};
    uint64_t random = 88172645463325252u, now_ms = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        size_t i = (random >> 8) % IDS;
        int64_t id = (int64_t)i - 100, ttl_s;
        now_ms += (random >> 20) % 300;
        switch ((random >> 40) % 6) {
        case 0:
        case 1:
            ttl_s = (int64_t)((random >> 44) % 60) + 1;
            assert_int_equal(lessor_add(l, id, ttl_s, now_ms), all[i].there ? ERR_EXISTS : OK);
            if (!all[i].there) {
                all[i].there = true;
                all[i].reported = false;
                all[i].ttl_s = ttl_s;
                all[i].deadline_ms = now_ms + (uint64_t)ttl_s * 1000;
            }
            break;
        case 2:
            lessor_remove(l, id);
            all[i].there = false;
            break;
        case 3: {
            bool lives = all[i].there && !all[i].reported && all[i].deadline_ms > now_ms;
            assert_int_equal(lessor_renew(l, id, now_ms, &ttl_s), lives          ? LESSOR_RENEWED
                                                                  : all[i].there ? LESSOR_EXPIRING
                                                                                 : LESSOR_UNKNOWN);
            if (lives)
                all[i].deadline_ms = now_ms + (uint64_t)all[i].ttl_s * 1000;
            break;
        }
        case 4:
            lessor_retry(l, id);
            all[i].reported = false;
            break;
        default: {
            int64_t ids[3];
            size_t count = lessor_expired(l, now_ms, ids, ARRAY_COUNT(ids)), due = 0;
            for (size_t k = 0; k < IDS; k++)
                due += all[k].there && !all[k].reported && all[k].deadline_ms <= now_ms;
            assert_int_equal(count, due < ARRAY_COUNT(ids) ? due : ARRAY_COUNT(ids));
            for (size_t k = 0; k < count; k++) {
                size_t at = (size_t)(ids[k] + 100);
                assert_true(all[at].there && !all[at].reported && all[at].deadline_ms <= now_ms);
                all[at].reported = true;
            }
            break;
        }
        }
        uint64_t least = UINT64_MAX;
        for (size_t k = 0; k < IDS; k++) {
            if (!all[k].there || all[k].reported)
                continue;
            uint64_t left = all[k].deadline_ms > now_ms ? all[k].deadline_ms - now_ms : 0;
            least = left < least ? left : least;
        }
        assert_true(lessor_next_ms(l, now_ms) == least);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_lease_starts_with_its_full_ttl),
        TEST(a_lease_never_ends_early),
        TEST(an_expired_lease_is_reported_once_until_retried),
        TEST(expired_leases_come_by_deadline_as_many_as_fit),
        TEST(a_renewal_gives_the_full_ttl_again),
        TEST(an_expired_lease_is_not_renewed),
        TEST(a_new_leader_gives_every_lease_its_full_ttl_and_more),
        TEST(the_list_is_by_rising_deadline),
        TEST(random_leases_expire_as_an_array_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
