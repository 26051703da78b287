#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

#include <errno.h>

static void every_error_has_its_text(void **state)
{
    (void)state;
#define X(name, text) assert_string_equal(err_text(name), text);
    ERR_LIST(X)
#undef X
}

static void ok_is_zero(void **state)
{
    (void)state;
    assert_int_equal(OK, 0);
}

static void a_number_that_is_no_error_has_a_text_too(void **state)
{
    (void)state;
    assert_string_equal(err_text((enum err)(ERR_IO + 1)), "unknown error");
    assert_string_equal(err_text((enum err)(-1)), "unknown error");
}

static void errno_values_map_to_their_own_codes(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(ENOMEM), ERR_NO_MEMORY);
    assert_int_equal(err_from_errno(EPERM), ERR_PERMISSION);
    assert_int_equal(err_from_errno(EACCES), ERR_PERMISSION);
    assert_int_equal(err_from_errno(ENODEV), ERR_NO_DEVICE);
    assert_int_equal(err_from_errno(ENOENT), ERR_NOT_FOUND);
    assert_int_equal(err_from_errno(EADDRINUSE), ERR_ADDRESS_IN_USE);
    assert_int_equal(err_from_errno(EINTR), ERR_INTERRUPTED);
    assert_int_equal(err_from_errno(ECONNREFUSED), ERR_REFUSED);
    assert_int_equal(err_from_errno(ECONNRESET), ERR_CLOSED);
    assert_int_equal(err_from_errno(ETIMEDOUT), ERR_TIMEOUT);
    assert_int_equal(err_from_errno(EOPNOTSUPP), ERR_UNSUPPORTED);
    assert_int_equal(err_from_errno(EINVAL), ERR_INVALID);
    assert_int_equal(err_from_errno(EMFILE), ERR_LIMIT);
}

static void other_errno_values_are_io_errors(void **state)
{
    (void)state;
    assert_int_equal(err_from_errno(EIO), ERR_IO);
    assert_int_equal(err_from_errno(ENOSPC), ERR_IO);
    assert_int_equal(err_from_errno(123456), ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_has_its_text),
        cmocka_unit_test(ok_is_zero),
        cmocka_unit_test(a_number_that_is_no_error_has_a_text_too),
        cmocka_unit_test(errno_values_map_to_their_own_codes),
        cmocka_unit_test(other_errno_values_are_io_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
