#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/gotext.h"

#include <stdio.h>

static struct strbuf text;

/* The duration, or -1 with the message in `text`. */
static int64_t duration(const char *arg)
{
    int64_t ns = -1;
    strbuf_clear(&text);
    enum err err = duration_parse(arg, &ns, &text);
    assert_int_equal(err, text.size == 0 ? OK : ERR_MALFORMED);
    return ns;
}

static void assert_duration_error(const char *arg, const char *message)
{
    assert_int_equal(duration(arg), -1);
    assert_string_equal(strbuf_str(&text), message);
}

static void durations_are_sums_of_numbers_with_units(void **state)
{
    (void)state;
    assert_int_equal(duration("0"), 0);
    assert_int_equal(duration("-0"), 0);
    assert_int_equal(duration("1ns"), 1);
    assert_int_equal(duration("1us"), 1000);
    assert_int_equal(duration("1\xc2\xb5s"), 1000);
    assert_int_equal(duration("1\xce\xbcs"), 1000);
    assert_int_equal(duration("+5ms"), 5000000);
    assert_int_equal(duration("1.5h"), INT64_C(5400000000000));
    assert_int_equal(duration("-1h2m3.25s"), -INT64_C(3723250000000));
    assert_int_equal(duration(".5s"), 500000000);
    assert_int_equal(duration("5.s"), INT64_C(5000000000));
}

static void durations_stop_at_63_bits(void **state)
{
    (void)state;
    assert_int_equal(duration("9223372036854775807ns"), INT64_MAX);
    assert_int_equal(duration("-9223372036854775808ns"), INT64_MIN);
    assert_duration_error("9223372036854775808ns",
                          "time: invalid duration \"9223372036854775808ns\"");
    assert_duration_error("3000000h", "time: invalid duration \"3000000h\"");
    assert_duration_error("99999999999999999999s",
                          "time: invalid duration \"99999999999999999999s\"");
    assert_int_equal(duration("0.100000000000000000000h"), INT64_C(360000000000));
}

static void what_is_no_duration_gets_go_s_message(void **state)
{
    (void)state;
    assert_duration_error("", "time: invalid duration \"\"");
    assert_duration_error("-", "time: invalid duration \"-\"");
    assert_duration_error("off", "time: invalid duration \"off\"");
    assert_duration_error(".s", "time: invalid duration \".s\"");
    assert_duration_error("30", "time: missing unit in duration \"30\"");
    assert_duration_error("3x", "time: unknown unit \"x\" in duration \"3x\"");
    assert_duration_error("3\xc3\xa9\"", "time: unknown unit \"\\xc3\\xa9\\\"\" in duration "
                                         "\"3\\xc3\\xa9\\\"\"");
}

static void durations_print_in_the_largest_units(void **state)
{
    (void)state;
    char out[DURATION_TEXT_SIZE];
    assert_string_equal(duration_text(0, out), "0s");
    assert_string_equal(duration_text(1, out), "1ns");
    assert_string_equal(duration_text(1100, out), "1.1\xc2\xb5s");
    assert_string_equal(duration_text(250000000, out), "250ms");
    assert_string_equal(duration_text(INT64_C(4500000000), out), "4.5s");
    assert_string_equal(duration_text(60 * DURATION_SECOND, out), "1m0s");
    assert_string_equal(duration_text(3601 * DURATION_SECOND + 1, out), "1h0m1.000000001s");
    assert_string_equal(duration_text(INT64_MIN, out), "-2562047h47m16.854775808s");
}

static const char *split(const char *address)
{
    static char out[128];
    const char *host, *port;
    size_t size;
    strbuf_clear(&text);
    if (host_port_split(address, &host, &size, &port, &text) != OK)
        return strbuf_str(&text);
    snprintf(out, sizeof(out), "<%.*s> <%s>", (int)size, host, port);
    return out;
}

static void addresses_split_at_the_last_colon(void **state)
{
    (void)state;
    assert_string_equal(split(":80"), "<> <80>");
    assert_string_equal(split("a:"), "<a> <>");
    assert_string_equal(split("[::1%lo]:http"), "<::1%lo> <http>");
    assert_string_equal(split("bla"), "address bla: missing port in address");
    assert_string_equal(split(""), "missing port in address");
    assert_string_equal(split("[::1]"), "address [::1]: missing port in address");
    assert_string_equal(split("[::1]x"), "address [::1]x: missing port in address");
    assert_string_equal(split("::1"), "address ::1: too many colons in address");
    assert_string_equal(split("[::1]:5:6"), "address [::1]:5:6: too many colons in address");
    assert_string_equal(split("[::1:5"), "address [::1:5: missing ']' in address");
    assert_string_equal(split("[a[b]:5"), "address [a[b]:5: unexpected '[' in address");
    assert_string_equal(split("a]:5"), "address a]:5: unexpected ']' in address");
}

static void addresses_join_with_brackets_around_colons(void **state)
{
    (void)state;
    strbuf_clear(&text);
    host_port_join(&text, "", "53");
    host_port_join(&text, " 1.2.3.4", "5");
    host_port_join(&text, "::1", "5");
    assert_string_equal(strbuf_str(&text), ":53 1.2.3.4:5[::1]:5");
}

static void quoted_text_uses_go_s_escapes(void **state)
{
    (void)state;
    strbuf_clear(&text);
    quote_add(&text,
              "a\"\\\n\x01\x7f\xff \xc3\xa9 \xc2\x85 \xc2\xad \xf0\x9f\x98\x80 \xed\xa0\x80");
    assert_string_equal(strbuf_str(&text), "\"a\\\"\\\\\\n\\x01\\x7f\\xff \xc3\xa9 \\u0085 \\u00ad "
                                           "\xf0\x9f\x98\x80 \\xed\\xa0\\x80\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_sums_of_numbers_with_units),
        cmocka_unit_test(durations_stop_at_63_bits),
        cmocka_unit_test(what_is_no_duration_gets_go_s_message),
        cmocka_unit_test(durations_print_in_the_largest_units),
        cmocka_unit_test(addresses_split_at_the_last_colon),
        cmocka_unit_test(addresses_join_with_brackets_around_colons),
        cmocka_unit_test(quoted_text_uses_go_s_escapes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    strbuf_fini(&text);
    return failed;
}
