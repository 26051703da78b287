#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/dnsd/instance_fixture.h"

static struct fixture fixture;
static struct strbuf text;

/* The listen hosts of a block with these lines, with spaces. */
static const char *hosts(const char *lines)
{
    size_t count;
    struct instance *inst = fixture_load(&fixture, lines, NULL);
    strbuf_clear(&text);
    if (inst == NULL)
        return strbuf_str(&fixture.error);
    const struct site *site = instance_sites(inst, &count)[0];
    for (size_t i = 0; i < site->listen_host_count; i++)
        strbuf_add_format(&text, i > 0 ? " %s" : "%s", site->listen_hosts[i]);
    instance_destroy(inst);
    return strbuf_str(&text);
}

static void without_bind_the_wildcard_is_listened_on(void **state)
{
    (void)state;
    assert_string_equal(hosts("whoami"), "");
}

static void addresses_are_kept_as_written_and_lines_add_up(void **state)
{
    (void)state;
    assert_string_equal(hosts("bind 127.0.0.1 0:0::1\nbind 127.9.9.0"),
                        "127.0.0.1 0:0::1 127.9.9.0");
}

static void an_interface_stands_for_its_addresses(void **state)
{
    (void)state;
    const char *found = hosts("bind lo");
    assert_non_null(strstr(found, "127.0.0.1"));
    assert_null(strstr(found, "fe80"));
}

static void except_takes_addresses_away(void **state)
{
    (void)state;
    assert_string_equal(hosts("bind 127.0.0.1 127.0.0.2 127.0.0.3 {\nexcept 127.0.0.2\n}"),
                        "127.0.0.1 127.0.0.3");
    assert_null(strstr(hosts("bind lo {\nexcept 127.0.0.1\n}"), "127.0.0.1"));
    /* only from its own line */
    assert_string_equal(hosts("bind 127.0.0.1 {\nexcept 127.0.0.1\n}\nbind 127.0.0.1"),
                        "127.0.0.1");
    /* the text counts, not the address */
    assert_string_equal(hosts("bind ::1 {\nexcept 0::1\n}"), "::1");
}

static void every_site_of_the_block_is_bound(void **state)
{
    (void)state;
    size_t count;
    struct instance *inst = fixture_load(&fixture, ". a b {\nbind 127.0.0.1\n}\nc {\n}", NULL);
    struct site *const *sites = instance_sites(inst, &count);
    assert_int_equal(count, 4);
    assert_string_equal(sites[2]->listen_hosts[0], "127.0.0.1");
    assert_string_equal(sites[3]->listen_hosts[0], "");
    instance_destroy(inst);
}

static void mistakes_have_coredns_s_messages(void **state)
{
    (void)state;
    assert_string_equal(fixture_setup_error(&fixture, "bind"),
                        "plugin/bind: at least one address or interface name is expected");
    assert_string_equal(fixture_setup_error(&fixture, "bind no\"one"),
                        "plugin/bind: not a valid IP address or interface name: \"no\\\"one\"");
    assert_string_equal(fixture_setup_error(&fixture, "bind fe80::1%lo"),
                        "plugin/bind: not a valid IP address or interface name: \"fe80::1%lo\"");
    assert_string_equal(fixture_setup_error(&fixture, "bind lo {\nexcept none\n}"),
                        "plugin/bind: not a valid IP address or interface name: \"none\"");
    assert_string_equal(fixture_setup_error(&fixture, "bind lo {\nother\n}"),
                        "plugin/bind: invalid option \"other\"");
    assert_string_equal(fixture_setup_error(&fixture, "bind lo {\nexcept\n}"),
                        "plugin/bind: at least one address or interface must be given to except "
                        "subdirective");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_bind_the_wildcard_is_listened_on),
        cmocka_unit_test(addresses_are_kept_as_written_and_lines_add_up),
        cmocka_unit_test(an_interface_stands_for_its_addresses),
        cmocka_unit_test(except_takes_addresses_away),
        cmocka_unit_test(every_site_of_the_block_is_bound),
        cmocka_unit_test(mistakes_have_coredns_s_messages),
    };
    fixture_init(&fixture);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_fini(&fixture);
    strbuf_fini(&text);
    return failed;
}
