/* Flags as etcdctl reads them, and Go's numbers and durations. */
#include "registry/cli/flags.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool yes;
static const char *text;
static int64_t number, duration;
static struct flag_list list;

static struct flag own[] = {
    {"limit", 0, FLAG_INT64, &number, "help", false},
    {"endpoints", 0, FLAG_LIST, &list, "help", false},
    {"prefix", 'p', FLAG_BOOL, &yes, "help", false},
    {0},
};
static struct flag global[] = {
    {"write-out", 'w', FLAG_STRING, &text, "help", false},
    {"timeout", 0, FLAG_DURATION, &duration, "help", false},
    {0},
};

/* Parses WORDS (split at spaces), gives what is left joined by spaces, or the error. */
static char *parse(const char *words, enum err wanted)
{
    char copy[256], *arguments[16], *rest[16];
    size_t count = 0, rest_count = 0;
    struct strbuf out = STRBUF_EMPTY;
    struct flag_set set = {.own = own, .global = global};
    yes = false, text = "simple", number = 0, duration = 0;
    flag_list_fini(&list);
    for (struct flag *f = own; f->name != NULL; f++)
        f->is_set = false;
    snprintf(copy, sizeof(copy), "%s", words);
    for (char *word = strtok(copy, " "); word != NULL; word = strtok(NULL, " "))
        arguments[count++] = word;
    assert_int_equal(flags_parse(&set, arguments, count, rest, &rest_count, &out), wanted);
    for (size_t i = 0; wanted == OK && i < rest_count; i++)
        strbuf_add_format(&out, "%s%s", i > 0 ? " " : "", rest[i]);
    /* values point into the arguments: keep what tests look at */
    static char kept[64];
    snprintf(kept, sizeof(kept), "%s", text);
    text = kept;
    return strbuf_take(&out);
}

static void expect(const char *words, enum err wanted, const char *result)
{
    char *got = parse(words, wanted);
    assert_string_equal(got, result);
    free(got);
}

static void flags_stand_anywhere_in_every_form(void **state)
{
    (void)state;
    expect("a --limit 5 b --prefix -w json", OK, "a b");
    assert_int_equal(number, 5);
    assert_true(yes);
    assert_string_equal(text, "json");
    expect("--limit=-7 -wtable c", OK, "c");
    assert_int_equal(number, -7);
    assert_string_equal(text, "table");
    expect("-w=fields --prefix=false", OK, "");
    assert_string_equal(text, "fields");
    assert_false(yes);
    expect("-pw json", OK, "");
    assert_true(yes);
    assert_string_equal(text, "json");
    expect("-", OK, "-");
}

static void two_dashes_end_the_flags(void **state)
{
    (void)state;
    expect("a -- --limit -w", OK, "a --limit -w");
    assert_int_equal(number, 0);
}

static void lists_repeat_and_split_at_commas(void **state)
{
    (void)state;
    expect("--endpoints a,b --endpoints=c", OK, "");
    assert_int_equal(list.count, 3);
    assert_string_equal(list.items[0], "a");
    assert_string_equal(list.items[2], "c");
    flag_list_fini(&list);
}

static void a_list_has_a_bound(void **state)
{
    struct flag flag = {"l", 0, FLAG_LIST, &list, "", false};
    struct strbuf why = STRBUF_EMPTY, many = STRBUF_EMPTY;
    (void)state;
    for (int i = 0; i < FLAG_MAX_LIST; i++)
        strbuf_add_str(&many, "a,");
    assert_int_equal(flag_set_value(&flag, strbuf_str(&many), &why), ERR_INVALID);
    flag_list_fini(&list);
    strbuf_fini(&why);
    strbuf_fini(&many);
}

static void errors_are_pflags(void **state)
{
    (void)state;
    expect("--nope", ERR_INVALID, "unknown flag: --nope");
    expect("--nope=3", ERR_INVALID, "unknown flag: --nope");
    expect("-x", ERR_INVALID, "unknown shorthand flag: 'x' in -x");
    expect("--limit", ERR_INVALID, "flag needs an argument: --limit");
    expect("-w", ERR_INVALID, "flag needs an argument: 'w' in -w");
    expect("--=3", ERR_INVALID, "bad flag syntax: --=3");
    expect("---a", ERR_INVALID, "bad flag syntax: ---a");
    expect("--limit=x", ERR_INVALID,
           "invalid argument \"x\" for \"--limit\" flag: strconv.ParseInt: parsing \"x\": invalid "
           "syntax");
    expect("--prefix=7", ERR_INVALID,
           "invalid argument \"7\" for \"-p, --prefix\" flag: strconv.ParseBool: parsing \"7\": "
           "invalid syntax");
    expect("--timeout=5", ERR_INVALID,
           "invalid argument \"5\" for \"--timeout\" flag: time: invalid duration \"5\"");
    char *help = parse("a --help", ERR_NOT_FOUND);
    free(help);
}

static void numbers_are_strconvs(void **state)
{
    struct strbuf why = STRBUF_EMPTY;
    int64_t n = 1;
    (void)state;
    assert_int_equal(int64_parse(&n, "9223372036854775807", 10, &why), OK);
    assert_true(n == INT64_MAX);
    assert_int_equal(int64_parse(&n, "-ff", 16, &why), OK);
    assert_int_equal(n, -255);
    assert_int_equal(int64_parse(&n, "9223372036854775808", 10, &why), ERR_INVALID);
    assert_string_equal(strbuf_str(&why), "strconv.ParseInt: parsing \"9223372036854775808\": "
                                          "value out of range");
    static const char *const bad[] = {"", "-", "+", "1 ", " 1", "0x1", "1.0", "--1"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(int64_parse(&n, bad[i], 10, &why), ERR_INVALID);
    assert_int_equal(n, -255); /* nothing is written on an error */
    strbuf_fini(&why);
}

static void durations_are_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},          {"5s", 5000},  {"300ms", 300}, {"1h2m3.5s", 3723500},
                {"-1.5m", -90000}, {"1500us", 1}, {"2000µs", 2},  {"3000000ns", 3},
                {".5s", 500},      {"+2s", 2000}};
    static const char *const bad[] = {"",  "5",    "s",    "5 s",  "5x",   "1s2",  "-",
                                      ".", "1e3s", "infs", "nans", "0x1s", "..5s", "99999999h"};
    int64_t ms = 7;
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        assert_int_equal(duration_parse(&ms, good[i].text), OK);
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(duration_parse(&ms, bad[i]), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_stand_anywhere_in_every_form),
        cmocka_unit_test(two_dashes_end_the_flags),
        cmocka_unit_test(lists_repeat_and_split_at_commas),
        cmocka_unit_test(a_list_has_a_bound),
        cmocka_unit_test(errors_are_pflags),
        cmocka_unit_test(numbers_are_strconvs),
        cmocka_unit_test(durations_are_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
