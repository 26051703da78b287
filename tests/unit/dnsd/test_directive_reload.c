#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/directive/reload.h"

#include "tests/unit/dnsd/instance_fixture.h"

#include <sodium.h>

static struct fixture fixture;

static bool any_directive(const char *name)
{
    (void)name;
    return true;
}

static const char *hash_of(const char *file, const char *text)
{
    static char out[2 * RELOAD_HASH_SIZE + 1];
    uint8_t hash[RELOAD_HASH_SIZE];
    struct core_file parsed;
    struct strbuf error = STRBUF_EMPTY;
    enum err e = core_file_parse(&parsed, file, text, strlen(text), any_directive, &error);
    if (e != OK)
        fail_msg("%s", strbuf_str(&error));
    assert_int_equal(reload_hash(&parsed, hash), OK);
    core_file_fini(&parsed);
    strbuf_fini(&error);
    return sodium_bin2hex(out, sizeof(out), hash, sizeof(hash));
}

/* The digest of JSON, to compare with. */
static const char *hash_of_json(const char *json)
{
    static char out[2 * RELOAD_HASH_SIZE + 1];
    uint8_t hash[RELOAD_HASH_SIZE];
    crypto_hash_sha512(hash, (const unsigned char *)json, strlen(json));
    return sodium_bin2hex(out, sizeof(out), hash, sizeof(hash));
}

static void the_hash_is_that_of_go_s_json(void **state)
{
    (void)state;
    assert_string_equal(hash_of("Corefile", ""), hash_of_json("null"));
    assert_string_equal(hash_of("Corefile", ".:53 a {\n}\n"),
                        hash_of_json("[{\"Keys\":[\".:53\",\"a\"],\"Tokens\":{}}]"));
    assert_string_equal(
        hash_of("Corefile", ". {\nwhoami\nerrors x\n}\nb {\nlog\n\nlog y\n}"),
        hash_of_json("[{\"Keys\":[\".\"],\"Tokens\":{"
                     "\"errors\":[{\"File\":\"\",\"Line\":3,\"Text\":\"errors\"},"
                     "{\"File\":\"\",\"Line\":3,\"Text\":\"x\"}],"
                     "\"whoami\":[{\"File\":\"\",\"Line\":2,\"Text\":\"whoami\"}]}},"
                     "{\"Keys\":[\"b\"],\"Tokens\":{"
                     "\"log\":[{\"File\":\"\",\"Line\":6,\"Text\":\"log\"},"
                     "{\"File\":\"\",\"Line\":8,\"Text\":\"log\"},"
                     "{\"File\":\"\",\"Line\":8,\"Text\":\"y\"}]}}]"));
}

static void the_hash_escapes_as_go_s_json(void **state)
{
    (void)state;
    assert_string_equal(
        hash_of("Corefile", ". {\nx \"<&>\\\"\\\t\n\x01\b\f\x7f \xc3\xa9 \xe2\x80\xa8\"\n}"),
        hash_of_json("[{\"Keys\":[\".\"],\"Tokens\":{\"x\":[{\"File\":\"\",\"Line\":2,"
                     "\"Text\":\"x\"},{\"File\":\"\",\"Line\":2,\"Text\":"
                     "\"\\u003c\\u0026\\u003e\\\"\\\\\\t\\n\\u0001\\b\\f\x7f \xc3\xa9 "
                     "\\u2028\"}]}}]"));
}

/* What CoreDNS 1.11.1 logged for this file. */
static void the_hash_is_coredns_s(void **state)
{
    (void)state;
    static const char corefile[] = ".:15353 {\nwhoami\nhealth :18080 {\nlameduck 300ms\n}\n"
                                   "ready :18181\nprometheus :19153\nreload 2s\n}\n";
    assert_string_equal(hash_of("some/where", corefile),
                        "0ab2ebc07bc9a870c5008f5dd6c901ef489a68ea6907e5ffa2dda8cdf8c681595297d3676e"
                        "d9bb669688dbcdb3018cb32cb7f8eb6b9c8efc690360519526466e");
}

static void a_line_that_moves_changes_the_hash_and_a_comment_does_not(void **state)
{
    (void)state;
    char first[2 * RELOAD_HASH_SIZE + 1];
    memcpy(first, hash_of("Corefile", ". {\nlog\n}"), sizeof(first));
    assert_string_equal(hash_of("other", ". {\nlog # why\n}"), first);
    assert_string_not_equal(hash_of("Corefile", ". {\n\nlog\n}"), first);
}

static void intervals_and_jitters_are_taken(void **state)
{
    (void)state;
    static const char *const lines[] = {"reload", "reload 2s", "reload 10s 1s", "reload 2s 1h",
                                        "reload 1h30m 2.5s"};
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        struct instance *inst = fixture_load(&fixture, lines[i], NULL);
        assert_non_null(inst);
        instance_destroy(inst);
    }
}

static void mistakes_have_coredns_s_messages(void **state)
{
    (void)state;
    assert_string_equal(fixture_setup_error(&fixture, "reload off"),
                        "plugin/reload: time: invalid duration \"off\"");
    assert_string_equal(fixture_setup_error(&fixture, "reload 30"),
                        "plugin/reload: time: missing unit in duration \"30\"");
    assert_string_equal(fixture_setup_error(&fixture, "reload 1999ms"),
                        "plugin/reload: interval value must be greater or equal to 2s");
    assert_string_equal(fixture_setup_error(&fixture, "reload 2s 500ms"),
                        "plugin/reload: jitter value must be greater or equal to 1s");
    assert_string_equal(fixture_setup_error(&fixture, "reload 2s x"),
                        "plugin/reload: time: invalid duration \"x\"");
    assert_string_equal(fixture_setup_error(&fixture, "reload 2s 1s 1s"),
                        "plugin/reload: Corefile:2 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after '1s'");
}

static void an_instance_without_a_process_starts_and_stops(void **state)
{
    (void)state;
    struct instance *inst = fixture_start(&fixture, NOWHERE "reload 2s", NULL);
    struct instance *next = fixture_start(&fixture, NOWHERE "reload 3s", inst);
    fixture_end(inst, true);
    fixture_end(next, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hash_is_that_of_go_s_json),
        cmocka_unit_test(the_hash_escapes_as_go_s_json),
        cmocka_unit_test(the_hash_is_coredns_s),
        cmocka_unit_test(a_line_that_moves_changes_the_hash_and_a_comment_does_not),
        cmocka_unit_test(intervals_and_jitters_are_taken),
        cmocka_unit_test(mistakes_have_coredns_s_messages),
        cmocka_unit_test(an_instance_without_a_process_starts_and_stops),
    };
    fixture_init(&fixture);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_fini(&fixture);
    return failed;
}
