/* Who claims which name in an import. */
#include "registry/cli/import_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t secret[HASH_KEY_SIZE] = {1, 2, 3};
static struct name_claims claims;

static int set_up(void **state)
{
    (void)state;
    name_claims_init(&claims, secret);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    name_claims_fini(&claims);
    return 0;
}

static enum err add(const char *zone, const char *name, uint8_t who, uint32_t line,
                    struct name_claim *other)
{
    uint8_t key[KEY_SIZE];
    memset(key, who, sizeof(key));
    return name_claims_add(&claims, zone, name, key, 3, line, other);
}

static void a_name_has_one_key_in_a_zone(void **state)
{
    struct name_claim other;
    (void)state;
    assert_int_equal(add("a.", "x", 1, 10, &other), OK);
    assert_int_equal(add("a.", "x", 1, 11, &other), OK);
    assert_int_equal(add("b.", "x", 2, 12, &other), OK);
    assert_int_equal(add("a.", "y", 1, 13, &other), OK);
    assert_int_equal(add("a.", "x", 2, 14, &other), ERR_EXISTS);
    assert_int_equal(other.line, 10);
    assert_int_equal(other.file, 3);
}

static void a_name_given_up_is_free(void **state)
{
    struct name_claim other;
    uint8_t one[KEY_SIZE], two[KEY_SIZE];
    (void)state;
    memset(one, 1, sizeof(one));
    memset(two, 2, sizeof(two));
    name_claims_remove(&claims, "a.", "x", one); /* of an empty table */
    assert_int_equal(add("a.", "x", 1, 10, &other), OK);
    name_claims_remove(&claims, "a.", "x", two); /* not its own */
    assert_int_equal(add("a.", "x", 2, 11, &other), ERR_EXISTS);
    name_claims_remove(&claims, "a.", "x", one);
    assert_int_equal(add("a.", "x", 2, 12, &other), OK);
    assert_int_equal(add("a.", "x", 1, 13, &other), ERR_EXISTS);
    assert_int_equal(other.line, 12);
}

static void nothing_is_lost_as_the_table_grows(void **state)
{
    enum {
        COUNT = 20000
    };
    struct name_claim other;
    char name[16];
    (void)state;
    for (uint32_t i = 1; i <= COUNT; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(add("a.", name, 1, i, &other), OK);
    }
    for (uint32_t i = 1; i <= COUNT; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        assert_int_equal(add("a.", name, 2, i, &other), ERR_EXISTS);
        assert_int_equal(other.line, i);
    }
    assert_int_equal(claims.count, COUNT);
    assert_true(claims.capacity <= COUNT * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_has_one_key_in_a_zone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_given_up_is_free, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_lost_as_the_table_grows, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
