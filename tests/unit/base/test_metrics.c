#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"

#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const char *const none[1];

static int set_up(void **state)
{
    struct metrics *m = NULL;

    if (metrics_create(&m) != OK)
        return -1;
    *state = m;
    return 0;
}

static int tear_down(void **state)
{
    metrics_destroy(*state);
    return 0;
}

static void assert_exposed(struct metrics *m, const char *expected)
{
    struct strbuf text = STRBUF_EMPTY;

    metrics_expose(m, &text);
    assert_string_equal(strbuf_str(&text), expected);
    strbuf_fini(&text);
}

static struct metric_series *plain(struct metrics *m, enum metric_kind kind, const char *name)
{
    struct metric_series *s = metrics_single(m, kind, name, "H.");

    assert_non_null(s);
    return s;
}

static void a_counter_counts(void **state)
{
    struct metric_series *s = plain(*state, METRIC_COUNTER, "c");

    metric_inc(s);
    metric_inc(s);
    metric_add(s, 3);
    metric_add(s, 0.5);
    assert_true(metric_value(s) == 5.5);
    assert_exposed(*state, "# HELP c H.\n# TYPE c counter\nc 5.5\n");
}

static void a_single_series_is_that_of_its_family_without_labels(void **state)
{
    struct metric_series *s = metrics_single(*state, METRIC_GAUGE, "g", "H.");

    metric_set(s, 7);
    assert_ptr_equal(metrics_single(*state, METRIC_GAUGE, "g", "H."), s);
    assert_ptr_equal(
        metric_series(metrics_family(*state, METRIC_GAUGE, "g", "H.", NULL, 0, NULL, 0), none), s);
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\ng 7\n");
}

static void a_gauge_is_set_and_moved_both_ways(void **state)
{
    struct metric_series *s = plain(*state, METRIC_GAUGE, "g");

    metric_set(s, 10);
    metric_add(s, -12.5);
    assert_true(metric_value(s) == -2.5);
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\ng -2.5\n");
}

static void a_histogram_has_cumulative_buckets_sum_and_count(void **state)
{
    const double bounds[] = {0.00025, 0.0005, 1, 1e6};
    const char *const labels[] = {"server"}, *const values[] = {"dns://:53"};
    struct metric_family *f =
        metrics_family(*state, METRIC_HISTOGRAM, "h", "H.", labels, 1, bounds, ARRAY_COUNT(bounds));
    struct metric_series *s = metric_series(f, values);

    metric_observe(s, 0.00025); /* a bound belongs to its bucket */
    metric_observe(s, 0.0003);
    metric_observe(s, 0.75);
    metric_observe(s, 2e6);
    assert_true(metric_value(s) == 4);
    assert_exposed(*state, "# HELP h H.\n# TYPE h histogram\n"
                           "h_bucket{server=\"dns://:53\",le=\"0.00025\"} 1\n"
                           "h_bucket{server=\"dns://:53\",le=\"0.0005\"} 2\n"
                           "h_bucket{server=\"dns://:53\",le=\"1\"} 3\n"
                           "h_bucket{server=\"dns://:53\",le=\"1e+06\"} 3\n"
                           "h_bucket{server=\"dns://:53\",le=\"+Inf\"} 4\n"
                           "h_sum{server=\"dns://:53\"} 2.00000075055e+06\n"
                           "h_count{server=\"dns://:53\"} 4\n");
}

static void a_histogram_without_labels_has_only_le(void **state)
{
    const double bounds[] = {1};
    struct metric_family *f =
        metrics_family(*state, METRIC_HISTOGRAM, "h", "H.", NULL, 0, bounds, 1);

    metric_observe(metric_series(f, none), (double)NAN); /* above every bound */
    assert_exposed(*state, "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 0\n"
                           "h_bucket{le=\"+Inf\"} 1\nh_sum NaN\nh_count 1\n");
}

static void labels_are_sorted_by_name_and_series_by_value(void **state)
{
    const char *const labels[] = {"zone", "proto", "server"};
    const char *const first[] = {".", "udp", "b"}, *const second[] = {"a.", "tcp", "b"},
                      *const third[] = {".", "udp", "a"};
    struct metric_family *f = metrics_family(*state, METRIC_COUNTER, "c", "H.", labels, 3, NULL, 0);

    metric_inc(metric_series(f, first));
    metric_inc(metric_series(f, second));
    metric_inc(metric_series(f, third));
    assert_exposed(*state, "# HELP c H.\n# TYPE c counter\n"
                           "c{proto=\"tcp\",server=\"b\",zone=\"a.\"} 1\n"
                           "c{proto=\"udp\",server=\"a\",zone=\".\"} 1\n"
                           "c{proto=\"udp\",server=\"b\",zone=\".\"} 1\n");
}

static void families_are_sorted_by_name(void **state)
{
    metric_inc(plain(*state, METRIC_COUNTER, "b"));
    metric_inc(plain(*state, METRIC_COUNTER, "c"));
    metric_inc(plain(*state, METRIC_COUNTER, "a"));
    assert_exposed(*state,
                   "# HELP a H.\n# TYPE a counter\na 1\n# HELP b H.\n# TYPE b counter\nb 1\n"
                   "# HELP c H.\n# TYPE c counter\nc 1\n");
}

static void a_family_without_series_is_not_exposed(void **state)
{
    const char *const labels[] = {"l"};

    assert_non_null(metrics_family(*state, METRIC_COUNTER, "c", "H.", labels, 1, NULL, 0));
    assert_exposed(*state, "");
}

static void a_series_without_updates_is_zero(void **state)
{
    (void)plain(*state, METRIC_COUNTER, "c");
    assert_exposed(*state, "# HELP c H.\n# TYPE c counter\nc 0\n");
}

static void the_same_name_is_the_same_family(void **state)
{
    assert_ptr_equal(plain(*state, METRIC_COUNTER, "c"), plain(*state, METRIC_COUNTER, "c"));
}

static void the_same_values_are_the_same_series(void **state)
{
    const char *const labels[] = {"a", "b"};
    const char *const first[] = {"x", "yz"}, *const again[] = {"x", "yz"},
                      *const other[] = {"xy", "z"};
    struct metric_family *f = metrics_family(*state, METRIC_COUNTER, "c", "H.", labels, 2, NULL, 0);

    assert_ptr_equal(metric_series(f, first), metric_series(f, again));
    assert_ptr_not_equal(metric_series(f, first), metric_series(f, other));
}

static void label_values_and_help_are_escaped(void **state)
{
    const char *const labels[] = {"l"}, *const values[] = {"a\\b\"c\nd"};
    struct metric_family *f =
        metrics_family(*state, METRIC_GAUGE, "g", "one\\\n\"two\"", labels, 1, NULL, 0);

    metric_set(metric_series(f, values), 1);
    assert_exposed(*state, "# HELP g one\\\\\\n\"two\"\n# TYPE g gauge\n"
                           "g{l=\"a\\\\b\\\"c\\nd\"} 1\n");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    const char *const labels[] = {"l"};
    const char *const bad[] = {"a\xff\xc3(\xed\xa0\x80\xc3"}, *const good[] = {
                                                                  "\xc3\xa9\xf0\x9f\x98\x80"};
    struct metric_family *f = metrics_family(*state, METRIC_GAUGE, "g", "H.", labels, 1, NULL, 0);

    metric_set(metric_series(f, bad), 1);
    metric_set(metric_series(f, good), 2);
    metric_add(metric_series(f, bad), 2); /* finds the one made before */
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\n"
                           "g{l=\"a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
                           "\xef\xbf\xbd\"} 3\n"
                           "g{l=\"\xc3\xa9\xf0\x9f\x98\x80\"} 2\n");
}

/* Texts printed by Go's strconv.FormatFloat(v, 'g', -1, 64). */
static void values_print_as_go_prints_them(void **state)
{
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1, "-1"},
        {10, "10"},
        {123456, "123456"},
        {100000, "100000"},
        {999999, "999999"},
        {1000000, "1e+06"},
        {1234567, "1.234567e+06"},
        {12300000, "1.23e+07"},
        {1e15, "1e+15"},
        {9007199254740991, "9.007199254740991e+15"},
        {9007199254740992, "9.007199254740992e+15"},
        {1e21, "1e+21"},
        {1e100, "1e+100"},
        {999999.5, "999999.5"},
        {0.5, "0.5"},
        {-2.5, "-2.5"},
        {0.1, "0.1"},
        {0.30000000000000004, "0.30000000000000004"},
        {0.00025, "0.00025"},
        {0.0001, "0.0001"},
        {0.00001, "1e-05"},
        {0.000012345, "1.2345e-05"},
        {1.5e-9, "1.5e-09"},
        {-1.5e-9, "-1.5e-09"},
        {-1234567, "-1.234567e+06"},
        {0.000999, "0.000999"},
        {8.192, "8.192"},
        {1700000000.123, "1.700000000123e+09"},
        {5e-324, "5e-324"},
        {0x1p-1017, "7.120236347223045e-307"}, /* not the nearest of 16 digits */
        {DBL_MAX, "1.7976931348623157e+308"},
    };
    struct metric_series *s = plain(*state, METRIC_GAUGE, "g");

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char expected[100];
        metric_set(s, cases[i].value);
        snprintf(expected, sizeof expected, "# HELP g H.\n# TYPE g gauge\ng %s\n", cases[i].text);
        assert_exposed(*state, expected);
    }
    metric_set(s, (double)INFINITY);
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\ng +Inf\n");
    metric_set(s, -(double)INFINITY);
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\ng -Inf\n");
    metric_set(s, (double)NAN);
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\ng NaN\n");
}

static void clear_removes_the_family_s_series(void **state)
{
    const char *const labels[] = {"l"}, *const values[] = {"v"};
    struct metric_family *f = metrics_family(*state, METRIC_GAUGE, "g", "H.", labels, 1, NULL, 0);

    metric_set(metric_series(f, values), 1);
    metric_family_clear(f);
    assert_exposed(*state, "");
    assert_true(metric_value(metric_series(f, values)) == 0);
}

static void a_removed_series_leaves_the_others_to_be_found(void **state)
{
    enum {
        COUNT = 500
    };
    const char *const labels[] = {"l"}, *const overflow[] = {METRIC_OVERFLOW_VALUE};
    struct metric_family *f = metrics_family(*state, METRIC_GAUGE, "g", "H.", labels, 1, NULL, 0);
    struct metric_series *series[COUNT];
    char text[20];
    const char *const value[] = {text};

    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        series[i] = metric_series(f, value);
        metric_set(series[i], i + 1);
    }
    for (int i = 0; i < COUNT; i += 3)
        metric_series_remove(series[i]);
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_true(metric_value(metric_series(f, value)) == (i % 3 == 0 ? 0 : i + 1));
        metric_series_remove(metric_series(f, value));
    }
    assert_exposed(*state, "");
    metric_series_remove(metric_series(f, overflow)); /* may be anybody's */
    assert_exposed(*state, "# HELP g H.\n# TYPE g gauge\ng{l=\"overflow\"} 0\n");
    metric_series_remove(NULL);
}

static void series_beyond_the_bound_share_the_overflow_series(void **state)
{
    const char *const labels[] = {"l"}, *const overflow[] = {METRIC_OVERFLOW_VALUE};
    struct metric_family *f = metrics_family(*state, METRIC_GAUGE, "g", "H.", labels, 1, NULL, 0);
    char text[20];
    const char *const value[] = {text};

    for (int i = 0; i < METRIC_MAX_SERIES + 2; i++) {
        snprintf(text, sizeof text, "%d", i);
        metric_add(metric_series(f, value), 1);
    }
    assert_true(metric_value(metric_series(f, overflow)) == 2);
    snprintf(text, sizeof text, "%d", 7);
    assert_true(metric_value(metric_series(f, value)) == 1); /* earlier ones go on */
}

enum {
    THREAD_COUNT = 12,
    ROUND_COUNT = 20000
};

struct shared {
    struct metric_family *counters;
    struct metric_series *counter, *gauge, *histogram;
};

static void *update_many(void *argument)
{
    struct shared *shared = argument;
    const char *const values[] = {"v"};

    for (int i = 0; i < ROUND_COUNT; i++) {
        metric_inc(shared->counter);
        metric_add(shared->gauge, 1);
        metric_observe(shared->histogram, i % 2);
        if (i % 1000 == 0)
            metric_inc(metric_series(shared->counters, values));
    }
    return NULL;
}

static void *raise_many(void *argument)
{
    struct metric_series *counter = argument;

    for (int i = 1; i <= ROUND_COUNT; i++)
        metric_raise(counter, i * 0.5);
    return NULL;
}

/* Two scrapes at once added the same seconds of the processor twice. */
static void raises_of_many_threads_do_not_add_up(void **state)
{
    struct metric_series *counter = plain(*state, METRIC_COUNTER, "c");
    pthread_t threads[THREAD_COUNT];

    for (int i = 0; i < THREAD_COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, raise_many, counter), 0);
    for (int i = 0; i < THREAD_COUNT; i++)
        pthread_join(threads[i], NULL);
    assert_true(metric_value(counter) == ROUND_COUNT * 0.5);
    metric_raise(counter, 1);
    assert_true(metric_value(counter) == ROUND_COUNT * 0.5);
}

static void updates_of_many_threads_all_count(void **state)
{
    const double bounds[] = {0.5};
    const char *const labels[] = {"l"}, *const values[] = {"v"};
    struct metric_family *f =
        metrics_family(*state, METRIC_HISTOGRAM, "h", "H.", NULL, 0, bounds, 1);
    struct shared shared = {
        .counters = metrics_family(*state, METRIC_COUNTER, "l", "H.", labels, 1, NULL, 0),
        .counter = plain(*state, METRIC_COUNTER, "c"),
        .gauge = plain(*state, METRIC_GAUGE, "g"),
        .histogram = metric_series(f, none),
    };
    pthread_t threads[THREAD_COUNT];
    const double total = THREAD_COUNT * ROUND_COUNT;

    for (int i = 0; i < THREAD_COUNT; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, update_many, &shared), 0);
    for (int i = 0; i < 20; i++) {
        struct strbuf text = STRBUF_EMPTY;
        metrics_expose(*state, &text); /* a scrape meanwhile */
        strbuf_fini(&text);
    }
    for (int i = 0; i < THREAD_COUNT; i++)
        pthread_join(threads[i], NULL);
    assert_true(metric_value(shared.counter) == total);
    assert_true(metric_value(shared.gauge) == total);
    assert_true(metric_value(shared.histogram) == total);
    assert_true(metric_value(metric_series(shared.counters, values)) == total / 1000);
}

int main(void)
{
#define FRESH(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FRESH(a_counter_counts),
        FRESH(a_single_series_is_that_of_its_family_without_labels),
        FRESH(a_gauge_is_set_and_moved_both_ways),
        FRESH(a_histogram_has_cumulative_buckets_sum_and_count),
        FRESH(a_histogram_without_labels_has_only_le),
        FRESH(labels_are_sorted_by_name_and_series_by_value),
        FRESH(families_are_sorted_by_name),
        FRESH(a_family_without_series_is_not_exposed),
        FRESH(a_series_without_updates_is_zero),
        FRESH(the_same_name_is_the_same_family),
        FRESH(the_same_values_are_the_same_series),
        FRESH(label_values_and_help_are_escaped),
        FRESH(bytes_that_are_no_utf8_are_replaced),
        FRESH(values_print_as_go_prints_them),
        FRESH(clear_removes_the_family_s_series),
        FRESH(a_removed_series_leaves_the_others_to_be_found),
        FRESH(series_beyond_the_bound_share_the_overflow_series),
        FRESH(updates_of_many_threads_all_count),
        FRESH(raises_of_many_threads_do_not_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
