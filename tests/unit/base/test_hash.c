#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The first vectors of SipHash's reference implementation: key 00 01 .. 0f, messages "", 00, 00 01.
 */
static void equals_the_published_vectors(void **state)
{
    (void)state;
    uint8_t key[HASH_KEY_SIZE], message[2] = {0, 1};
    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    assert_true(keyed_hash(message, 0, key) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(keyed_hash(message, 1, key) == UINT64_C(0x74f839c593dc67fd));
    assert_true(keyed_hash(message, 2, key) == UINT64_C(0x0d6c8009d9a94f5a));
}

static void depends_on_the_key(void **state)
{
    (void)state;
    const uint8_t one[HASH_KEY_SIZE] = {1}, two[HASH_KEY_SIZE] = {2};
    assert_true(keyed_hash("peer", 4, one) != keyed_hash("peer", 4, two));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_published_vectors),
        cmocka_unit_test(depends_on_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
