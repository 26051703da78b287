#include "base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720 appendix B.4. */
static void gives_the_values_of_rfc_3720(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (uint8_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = i;
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
}

/* The definition, a bit at a time. */
static uint32_t naive(const uint8_t *data, size_t size)
{
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static void goes_on_from_any_piece(void **state)
{
    (void)state;
    uint8_t bytes[67];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t size = 0; size <= sizeof(bytes); size++)
        for (size_t cut = 0; cut <= size; cut++)
            assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, size - cut),
                             naive(bytes, size));
}

static void the_plain_way_gives_the_same(void **state)
{
    (void)state;
    uint8_t bytes[40];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 91 + 5);
    for (size_t size = 0; size <= sizeof(bytes); size++)
        assert_int_equal(crc32c_plain(0, bytes, size), naive(bytes, size));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_the_values_of_rfc_3720),
        cmocka_unit_test(goes_on_from_any_piece),
        cmocka_unit_test(the_plain_way_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
