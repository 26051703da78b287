#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/dnsd/instance_fixture.h"

#include <stdatomic.h>

static struct fixture fixture;

/* A handler whose readiness the test sets. */
struct stub {
    struct handler base;
    atomic_bool is_ready;
    atomic_int asked;
};

static bool stub_ready(struct handler *self)
{
    struct stub *stub = (struct stub *)self;
    atomic_fetch_add(&stub->asked, 1);
    return atomic_load(&stub->is_ready);
}

static void stub_destroy(struct handler *self)
{
    free(self);
}

static struct stub *add_stub(struct instance *inst, size_t site, const char *name)
{
    size_t count;
    struct stub *stub = calloc(1, sizeof(*stub));
    assert_non_null(stub);
    stub->base = (struct handler){.name = name, .destroy = stub_destroy, .ready = stub_ready};
    struct setup s = {.instance = inst, .site = instance_sites(inst, &count)[site]};
    assert_int_equal(setup_take_handler(&s, &stub->base), OK);
    return stub;
}

/* Two blocks that name the directive, and a third that does not. */
static struct instance *load(uint16_t port)
{
    struct strbuf text = STRBUF_EMPTY;
    strbuf_add_format(&text,
                      ". {\n" NOWHERE "ready 127.0.0.1:%u\nwhoami\n}\n"
                      "a {\n" NOWHERE "ready 127.0.0.1:%u\n}\n"
                      "b {\n" NOWHERE "}\n",
                      port, port);
    struct instance *inst = fixture_load(&fixture, strbuf_str(&text), NULL);
    strbuf_fini(&text);
    assert_non_null(inst);
    return inst;
}

static void handlers_without_a_say_are_ready(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = load(port);
    assert_int_equal(instance_start(inst, &fixture.error), OK);
    assert_int_equal(http_get(port, "/ready", "OK"), 200);
    fixture_end(inst, false);
    assert_int_equal(http_connect(port), -1);
}

static void who_is_not_ready_is_named_in_order_across_blocks(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = load(port);
    struct stub *z = add_stub(inst, 0, "z");
    add_stub(inst, 0, "b");
    add_stub(inst, 1, "b");
    add_stub(inst, 2, "elsewhere");
    assert_int_equal(instance_start(inst, &fixture.error), OK);
    assert_int_equal(http_get(port, "/ready", "b,b,z"), 503);
    atomic_store(&z->is_ready, true);
    assert_int_equal(http_get(port, "/ready", "b,b"), 503);
    fixture_end(inst, false);
}

static void who_was_ready_once_stays_ready(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = load(port);
    struct stub *stub = add_stub(inst, 0, "stub");
    atomic_store(&stub->is_ready, true);
    assert_int_equal(instance_start(inst, &fixture.error), OK);
    assert_int_equal(http_get(port, "/ready", "OK"), 200);
    atomic_store(&stub->is_ready, false);
    assert_int_equal(http_get(port, "/ready", "OK"), 200);
    assert_int_equal(atomic_load(&stub->asked), 1);
    fixture_end(inst, false);
}

static void readiness_that_may_end_is_asked_for_each_time(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = load(port);
    struct stub *stub = add_stub(inst, 0, "stub");
    stub->base.ready_may_end = true;
    atomic_store(&stub->is_ready, true);
    assert_int_equal(instance_start(inst, &fixture.error), OK);
    assert_int_equal(http_get(port, "/ready", "OK"), 200);
    atomic_store(&stub->is_ready, false);
    assert_int_equal(http_get(port, "/ready", "stub"), 503);
    atomic_store(&stub->is_ready, true);
    assert_int_equal(http_get(port, "/ready", "OK"), 200);
    fixture_end(inst, false);
}

static void an_address_in_use_does_not_stop_the_start(void **state)
{
    (void)state;
    uint16_t port;
    int fd = busy_port(&port);
    struct instance *inst = load(port);
    assert_int_equal(instance_start(inst, &fixture.error), OK);
    fixture_end(inst, false);
    close(fd);
}

static void a_reload_asks_anew(void **state)
{
    (void)state;
    char text[128];
    uint16_t port = free_port();
    struct instance *old = load(port);
    assert_int_equal(instance_start(old, &fixture.error), OK);
    snprintf(text, sizeof(text), NOWHERE "ready 127.0.0.1:%u", port);
    struct instance *new = fixture_load(&fixture, text, old);
    add_stub(new, 0, "late");
    assert_int_equal(instance_start(new, &fixture.error), OK);
    fixture_end(old, true);
    assert_int_equal(http_get(port, "/ready", "late"), 503);
    fixture_end(new, false);
}

static void mistakes_have_coredns_s_messages(void **state)
{
    (void)state;
    static const char once[] = "plugin/ready: this plugin can only be used once per Server Block";
    assert_string_equal(fixture_setup_error(&fixture, "ready\nready"), once);
    assert_string_equal(fixture_setup_error(&fixture, "ready {\n}"), once);
    assert_string_equal(fixture_setup_error(&fixture, "ready bla"),
                        "plugin/ready: address bla: missing port in address");
    assert_string_equal(fixture_setup_error(&fixture, "ready a:1 b"),
                        "plugin/ready: Corefile:2 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'b'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handlers_without_a_say_are_ready),
        cmocka_unit_test(who_is_not_ready_is_named_in_order_across_blocks),
        cmocka_unit_test(who_was_ready_once_stays_ready),
        cmocka_unit_test(readiness_that_may_end_is_asked_for_each_time),
        cmocka_unit_test(an_address_in_use_does_not_stop_the_start),
        cmocka_unit_test(a_reload_asks_anew),
        cmocka_unit_test(mistakes_have_coredns_s_messages),
    };
    fixture_init(&fixture);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_fini(&fixture);
    return failed;
}
