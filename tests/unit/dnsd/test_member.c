/* etcd's flags: which there are, what they take, what is said of the others. */
#include "dnsd/member.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static bool find(struct member_options *options, const char *name, struct member_flag *flag)
{
    return member_flag_find(options, name, strlen(name), flag);
}

static void flags_are_found_by_their_whole_name(void **state)
{
    (void)state;
    struct member_options options = {0};
    struct member_flag flag;
    assert_true(find(&options, "data-dir", &flag));
    assert_null(flag.refused);
    *flag.value = "/x";
    assert_string_equal(options.data_dir, "/x");
    assert_false(find(&options, "data-di", &flag));
    assert_false(find(&options, "data-dirs", &flag));
    assert_false(find(&options, "", &flag));
}

static void what_is_not_there_is_refused_by_name(void **state)
{
    (void)state;
    static const char *const names[] = {"cert-file",     "auth-token", "force-new-cluster",
                                        "peer-key-file", "discovery",  "enable-v2"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct member_options options = {0};
        struct member_flag flag;
        assert_true(find(&options, names[i], &flag));
        assert_non_null(flag.refused);
        assert_null(flag.value);
    }
}

static void the_environment_stands_in_for_flags(void **state)
{
    (void)state;
    struct strbuf error = STRBUF_EMPTY;
    struct member_options options = {.name = "flag"};
    setenv("WARREN_NAME", "environment", 1);
    setenv("WARREN_DATA_DIR", "/y", 1);
    assert_int_equal(member_options_from_environment(&options, &error), OK);
    assert_string_equal(options.name, "flag");
    assert_string_equal(options.data_dir, "/y");
    unsetenv("WARREN_NAME");
    unsetenv("WARREN_DATA_DIR");
    setenv("WARREN_CERT_FILE", "/z", 1);
    assert_int_equal(member_options_from_environment(&options, &error), ERR_UNSUPPORTED);
    assert_non_null(strstr(strbuf_str(&error), "--cert-file"));
    unsetenv("WARREN_CERT_FILE");
    strbuf_fini(&error);
}

/* `WARREN_NAME=` in a unit's environment file; etcd takes it for unset, too. */
static void an_empty_variable_is_none(void **state)
{
    (void)state;
    struct strbuf error = STRBUF_EMPTY;
    struct member_options options = {0};
    setenv("WARREN_NAME", "", 1);
    setenv("WARREN_CERT_FILE", "", 1);
    assert_int_equal(member_options_from_environment(&options, &error), OK);
    assert_false(member_options_given(&options));
    unsetenv("WARREN_NAME");
    unsetenv("WARREN_CERT_FILE");
    strbuf_fini(&error);
}

static void the_data_lies_where_it_is_said(void **state)
{
    (void)state;
    struct member_options options = {0};
    unsetenv("STATE_DIRECTORY");
    assert_string_equal(member_data_dir(&options), "/var/lib/warren");
    setenv("STATE_DIRECTORY", "/state", 1);
    assert_string_equal(member_data_dir(&options), "/state");
    setenv("STATE_DIRECTORY", "/state:/other", 1); /* StateDirectory=state other */
    assert_string_equal(member_data_dir(&options), "/state");
    setenv("STATE_DIRECTORY", "", 1);
    assert_string_equal(member_data_dir(&options), "/var/lib/warren");
    options.data_dir = "/flag";
    assert_string_equal(member_data_dir(&options), "/flag");
    unsetenv("STATE_DIRECTORY");
}

/* Options are checked before anything is opened. */
static void wrong_values_are_named(void **state)
{
    (void)state;
    static const struct {
        struct member_options options;
        enum err error;
        const char *text;
    } cases[] = {
        {{.listen_client_urls = "https://127.0.0.1:1"}, ERR_UNSUPPORTED, "TLS"},
        {{.listen_client_urls = "unix:///x"}, ERR_UNSUPPORTED, "file system"},
        {{.listen_client_urls = "127.0.0.1:1"}, ERR_INVALID, "http://HOST:PORT"},
        {{.listen_client_urls = "http://127.0.0.1"}, ERR_INVALID, "http://HOST:PORT"},
        {{.listen_client_urls = "http://127.0.0.1:70000"}, ERR_INVALID, "http://HOST:PORT"},
        {{.listen_client_urls = "http://127.0.0.1:1/path"}, ERR_INVALID, "http://HOST:PORT"},
        {{.listen_client_urls = "http://::1:1"}, ERR_INVALID, "http://HOST:PORT"},
        {{.listen_client_urls = "http://[::1:1"}, ERR_INVALID, "http://HOST:PORT"},
        {{.listen_client_urls = ""}, ERR_INVALID, "http://HOST:PORT"},
        {{.advertise_client_urls = "http://a:1,"}, ERR_INVALID, "advertise-client-urls"},
        {{.advertise_client_urls = "http://a:1,http://b:0"}, ERR_INVALID, "http://b:0: port 0"},
        {{.initial_advertise_peer_urls = "http://a:00"}, ERR_INVALID, "http://a:00: port 0"},
        {{.listen_peer_urls = "x"}, ERR_INVALID, "listen-peer-urls"},
        {{.name = ""}, ERR_INVALID, "--name"},
        {{.name = "a", .initial_cluster = "a=http://127.0.0.1:2380,b=http://127.0.0.1:2381"},
         ERR_UNSUPPORTED,
         "\"b\""},
        {{.name = "a", .initial_cluster = "b=http://127.0.0.1:2380"}, ERR_UNSUPPORTED, "\"b\""},
        {{.name = "a", .initial_cluster = "a=http://127.0.0.1:9"}, ERR_INVALID, "missing from"},
        {{.name = "a", .initial_cluster = "a"}, ERR_INVALID, "NAME=URL"},
        {{.initial_cluster_state = "old"}, ERR_INVALID, "neither new nor"},
        {{.election_timeout = "50001"}, ERR_INVALID, "election-timeout"},
        {{.election_timeout = "400"}, ERR_INVALID, "at least as 5 times"},
        {{.heartbeat_interval = "-1"}, ERR_INVALID, "heartbeat-interval"},
        {{.auto_compaction_mode = "often"}, ERR_INVALID, "auto-compaction-mode"},
        {{.auto_compaction_retention = "5x"}, ERR_INVALID, "auto-compaction-retention"},
        {{.auto_compaction_mode = "revision", .auto_compaction_retention = "1h"},
         ERR_INVALID,
         "auto-compaction-retention"},
        {{.quota_backend_bytes = "2GB"}, ERR_INVALID, "quota-backend-bytes"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct strbuf error = STRBUF_EMPTY;
        struct member *m;
        uv_loop_t loop;
        uv_loop_init(&loop);
        struct member_options options = cases[i].options;
        options.data_dir = "/nonexistent/folder";
        assert_int_equal(member_open(&m, &options, &loop, NULL, &error), cases[i].error);
        if (strstr(strbuf_str(&error), cases[i].text) == NULL)
            fail_msg("case %zu: %s", i, strbuf_str(&error));
        strbuf_fini(&error);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
    }
}

/* One line: a blank one followed it on standard error, and in the log of a reload. */
static void a_folder_that_cannot_be_made_is_said_in_one_line(void **state)
{
    (void)state;
    struct strbuf error = STRBUF_EMPTY;
    struct member *m;
    uv_loop_t loop;
    uv_loop_init(&loop);
    struct member_options options = {.data_dir = "/proc/none"};
    assert_int_not_equal(member_open(&m, &options, &loop, NULL, &error), OK);
    assert_non_null(strstr(strbuf_str(&error), "/proc/none"));
    assert_null(strchr(strbuf_str(&error), '\n'));
    strbuf_fini(&error);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_found_by_their_whole_name),
        cmocka_unit_test(what_is_not_there_is_refused_by_name),
        cmocka_unit_test(the_environment_stands_in_for_flags),
        cmocka_unit_test(an_empty_variable_is_none),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_said_in_one_line),
        cmocka_unit_test(the_data_lies_where_it_is_said),
        cmocka_unit_test(wrong_values_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
