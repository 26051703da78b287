/* Byte cursors: integers of every size, and the ends of the buffer. */
#include "base/cursor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void integers_read_back_as_written(void **state)
{
    (void)state;
    uint8_t room[15];
    struct writer w = writer_of(room, sizeof(room));
    write_u8(&w, 0x01);
    write_u16(&w, 0x0203);
    write_u32(&w, 0x04050607);
    write_u64(&w, UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(w.failed);
    for (size_t i = 0; i < sizeof(room); i++)
        assert_int_equal(room[i], i + 1); /* big-endian */
    struct reader r = reader_of(room, sizeof(room));
    assert_int_equal(read_u8(&r), 0x01);
    assert_int_equal(read_u16(&r), 0x0203);
    assert_int_equal(read_u32(&r), 0x04050607);
    assert_true(read_u64(&r) == UINT64_C(0x08090a0b0c0d0e0f));
    assert_false(r.failed);
    assert_int_equal(reader_left(&r), 0);
}

static void a_number_that_does_not_fit_touches_nothing(void **state)
{
    (void)state;
    uint8_t room[8] = {0};
    struct writer w = writer_of(room, 7);
    write_u64(&w, UINT64_MAX);
    assert_true(w.failed);
    assert_int_equal(w.size, 0);
    for (size_t i = 0; i < sizeof(room); i++)
        assert_int_equal(room[i], 0);
    struct reader r = reader_of(room, 7);
    assert_true(read_u64(&r) == 0);
    assert_true(r.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_read_back_as_written),
        cmocka_unit_test(a_number_that_does_not_fit_touches_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
