#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/directive/health.h"
#include "dnsd/directive/value.h"
#include "dnsd/gotext.h"

#include "tests/unit/dnsd/instance_fixture.h"

#include <time.h>

static struct fixture fixture;

static const char *format(const char *pattern, unsigned port)
{
    static char text[512];
    char *at = text;
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '@')
            at += snprintf(at, 8, "%u", port);
        else
            *at++ = *pattern;
    }
    *at = '\0';
    return text;
}

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void health_says_ok(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst =
        fixture_start(&fixture, format(NOWHERE "health 127.0.0.1:@", port), NULL);
    assert_int_equal(http_get(port, "/health", "OK"), 200);
    assert_int_equal(http_get(port, "/", NULL), 404);
    fixture_end(inst, false);
    assert_int_equal(http_connect(port), -1);
}

static void blocks_may_share_an_address_or_have_their_own(void **state)
{
    (void)state;
    uint16_t port = free_port(), other = free_port();
    struct strbuf text = STRBUF_EMPTY;
    strbuf_add_format(&text, ". {\n" NOWHERE "health 127.0.0.1:%u\n}\n", port);
    strbuf_add_format(&text, "a {\n" NOWHERE "health 127.0.0.1:%u\n}\n", port);
    strbuf_add_format(&text, "b {\n" NOWHERE "health 127.0.0.1:%u\n}\n", other);
    struct instance *inst = fixture_start(&fixture, strbuf_str(&text), NULL);
    assert_int_equal(http_get(port, "/health", "OK"), 200);
    assert_int_equal(http_get(other, "/health", "OK"), 200);
    fixture_end(inst, false);
    strbuf_fini(&text);
}

static void the_endpoint_is_polled_every_second(void **state)
{
    (void)state;
    struct health_metrics m;
    uint16_t port = free_port();
    assert_int_equal(health_metrics_init(&m, fixture.dnsd.metrics), OK);
    double polls = metric_value(m.duration), failures = metric_value(m.failures);
    struct instance *inst =
        fixture_start(&fixture, format(NOWHERE "health 127.0.0.1:@", port), NULL);
    for (int i = 0; i < 50 && metric_value(m.duration) <= polls; i++)
        sleep_ms(100);
    assert_true(metric_value(m.duration) >= polls + 1);
    assert_true(metric_value(m.failures) == failures);
    fixture_end(inst, false);
}

static void a_lame_duck_goes_on_for_its_time_at_the_end_but_not_at_a_reload(void **state)
{
    (void)state;
    for (int restarting = 0; restarting < 2; restarting++) {
        uint16_t port = free_port();
        const char *text = format(NOWHERE "health 127.0.0.1:@ {\nlameduck 300ms\n}", port);
        struct instance *inst = fixture_start(&fixture, text, NULL);
        int64_t start = monotonic_ns();
        fixture_end(inst, restarting);
        int64_t elapsed = monotonic_ns() - start;
        assert_true((elapsed >= 3 * DURATION_SECOND / 10) == !restarting);
    }
}

static void a_start_that_fails_has_go_s_message(void **state)
{
    (void)state;
    char expected[128];
    uint16_t port;
    int fd = busy_port(&port);
    snprintf(expected, sizeof(expected), "listen tcp 127.0.0.1:%u: bind: address already in use",
             port);
    assert_string_equal(fixture_start_error(&fixture, format(NOWHERE "health 127.0.0.1:@", port)),
                        expected);
    close(fd);
    assert_string_equal(fixture_start_error(&fixture, NOWHERE "health bla:a"),
                        "parse \"http://bla:a\": invalid port \":a\" after host");
    assert_string_equal(fixture_start_error(&fixture, NOWHERE "health \"a b:1\""),
                        "parse \"http://a b:1\": invalid character \" \" in host name");
    assert_string_equal(fixture_start_error(&fixture, NOWHERE "health [::1%lo]:18080"),
                        "parse \"http://[::1%lo]:18080\": invalid URL escape \"%lo\"");
}

static void mistakes_have_coredns_s_messages(void **state)
{
    (void)state;
    assert_string_equal(fixture_setup_error(&fixture, "health bla"),
                        "plugin/health: address bla: missing port in address");
    assert_string_equal(fixture_setup_error(&fixture, "health \"\""),
                        "plugin/health: missing port in address");
    assert_string_equal(fixture_setup_error(&fixture, "health a b"),
                        "plugin/health: Corefile:2 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'b'");
    assert_string_equal(fixture_setup_error(&fixture, "health :1 {\nlameduck x\n}"),
                        "plugin/health: unable to parse lameduck duration value: 'x' : time: "
                        "invalid duration \"x\"");
    assert_string_equal(fixture_setup_error(&fixture, "health :1 {\nlameduck\n}"),
                        "plugin/health: Corefile:3 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'lameduck'");
    assert_string_equal(fixture_setup_error(&fixture, "health :1 {\nlamedudk 4\n}"),
                        "plugin/health: Corefile:3 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'lamedudk'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(health_says_ok),
        cmocka_unit_test(blocks_may_share_an_address_or_have_their_own),
        cmocka_unit_test(the_endpoint_is_polled_every_second),
        cmocka_unit_test(a_lame_duck_goes_on_for_its_time_at_the_end_but_not_at_a_reload),
        cmocka_unit_test(a_start_that_fails_has_go_s_message),
        cmocka_unit_test(mistakes_have_coredns_s_messages),
    };
    fixture_init(&fixture);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_fini(&fixture);
    return failed;
}
