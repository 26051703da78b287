/* Instances: what a load refuses, in which order things are set up, and how one instance takes over
 * from another. */
#include "tests/unit/dnsd/served.h"
#include "tests/unit/dnsd/support.h"

#include "base/log.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- loading --------------------------------------------------------------------------------- */

static void what_is_wrong_is_told_in_corednss_words(void **state)
{
    (void)state;
    assert_string_equal(chain_error(".:53 {\n nonsense\n}\n"),
                        "Corefile:2 - Error during parsing: Unknown directive 'nonsense'");
    assert_string_equal(chain_error(".:53 {\n}\n.:53 {\n}\n"),
                        "cannot serve dns://.:53 - it is already defined");
    assert_string_equal(chain_error(".:53 {\n whoami x\n}\n"),
                        "plugin/whoami: Corefile:2 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'x'");
}

static void a_directive_that_is_not_there_yet_is_named_as_such(void **state)
{
    (void)state;
    assert_string_equal(chain_error(".:53 {\n whoami\n\n forward . 192.0.2.1\n}\n"),
                        "Corefile:4 - Error during parsing: directive 'forward' is CoreDNS's but "
                        "not available in this version of Warren");
}

static void a_transport_that_is_not_there_yet_is_named_as_such(void **state)
{
    (void)state;
    assert_string_equal(chain_error("https://example.org {\n whoami\n}\n"),
                        "cannot serve https://example.org.:443 - transport https is not available "
                        "in this version of Warren");
}

static void zones_overlap_only_at_the_same_address(void **state)
{
    (void)state;
    assert_string_equal(chain_error(".:53 {\n bind 127.0.0.1\n}\n.:53 {\n bind 127.0.0.2\n}\n"),
                        "(accepted)");
    assert_string_equal(chain_error(".:53 {\n bind 127.0.0.1\n}\n.:53 {\n bind 127.0.0.1\n}\n"),
                        "cannot serve dns://.:53 on 127.0.0.1 - it is already defined");
    assert_string_equal(chain_error(".:53 {\n}\n.:54 {\n}\n"), "(accepted)");
}

static void set_ups_run_in_corednss_order_whatever_the_order_of_lines(void **state)
{
    (void)state;
    /* Both lines are wrong: `acl` is set up before `whoami`. */
    assert_string_equal(
        chain_error(".:53 {\n whoami x\n acl {\n bogus\n }\n}\n"),
        "plugin/acl: Corefile:4 - Error during parsing: unexpected token \"bogus\"; "
        "expect 'allow', 'block', 'filter' or 'drop'");
    /* Directive by directive, then block by block. */
    assert_string_equal(chain_error("a:53 {\n whoami x\n}\nb:53 {\n chaos\n minimal y\n}\n"),
                        "plugin/minimal: Corefile:6 - Error during parsing: Wrong argument count "
                        "or unexpected line ending after 'y'");
}

static void chain_names(const struct site *site, char *out)
{
    *out = '\0';
    for (const struct handler *h = site->first; h != NULL && strcmp(h->name, "source") != 0;
         h = h->next)
        out += sprintf(out, "%s ", h->name);
}

static void handlers_stand_in_corednss_order_whatever_the_order_of_lines(void **state)
{
    (void)state;
    char names[256];
    struct chain *c =
        chain_load(".:53 {\n whoami\n minimal\n cache\n chaos\n any\n log\n errors\n bufsize\n}\n");
    chain_names(chain_site(c, 0), names);
    assert_string_equal(names, "bufsize errors log any chaos cache minimal whoami ");
    chain_free(c);
}

static void the_keys_of_a_block_share_a_chain_and_blocks_do_not(void **state)
{
    (void)state;
    struct chain *c = chain_load("a:53 b:53 {\n minimal\n}\nc:53 {\n minimal\n}\n");
    assert_ptr_equal(chain_site(c, 0)->first, chain_site(c, 1)->first);
    assert_ptr_not_equal(chain_site(c, 0)->first, chain_site(c, 2)->first);
    assert_string_equal(chain_site(c, 1)->zone, "b.");
    assert_string_equal(chain_site(c, 1)->key, "dns://b.:53");
    chain_free(c);
}

static void the_keys_of_a_block_share_what_directives_set(void **state)
{
    (void)state;
    struct chain *c = chain_load("a:53 b:53 {\n debug\n bind 127.0.0.1\n timeouts {\n read 2s\n "
                                 "write 3s\n idle 4s\n }\n}\nc:53 {\n}\n");
    const struct site *b = chain_site(c, 1), *other = chain_site(c, 2);
    assert_true(b->debug);
    assert_int_equal(b->listen_host_count, 1);
    assert_string_equal(b->listen_hosts[0], "127.0.0.1");
    assert_int_equal(b->read_timeout_ms, 2000);
    assert_int_equal(b->write_timeout_ms, 3000);
    assert_int_equal(b->idle_timeout_ms, 4000);
    assert_false(other->debug);
    assert_string_equal(other->listen_hosts[0], "");
    assert_int_equal(other->read_timeout_ms, 0);
    chain_free(c);
}

static void an_empty_corefile_is_whoami_and_log(void **state)
{
    (void)state;
    char names[256];
    struct chain *c = chain_load("");
    chain_names(chain_site(c, 0), names);
    assert_string_equal(names, "log whoami ");
    assert_string_equal(chain_site(c, 0)->zone, ".");
    chain_free(c);
}

/* --- start-up lines -------------------------------------------------------------------------- */

static const char *described(const char *corefile)
{
    static char text[1024];
    struct dnsd dnsd = {.default_port = "53"};
    struct strbuf out = STRBUF_EMPTY;
    struct instance *inst;
    assert_int_equal(metrics_create(&dnsd.metrics), OK);
    assert_int_equal(
        instance_load(&inst, &dnsd, "Corefile", corefile, strlen(corefile), NULL, &out), OK);
    instance_describe(inst, &out);
    snprintf(text, sizeof(text), "%s", strbuf_str(&out));
    strbuf_fini(&out);
    instance_destroy(inst);
    metrics_destroy(dnsd.metrics);
    return text;
}

static void each_zone_has_a_line_and_a_bound_one_its_address(void **state)
{
    (void)state;
    assert_string_equal(described("b.org a.org:54 {\n whoami\n}\n"), "b.org.:53\na.org.:54\n");
    assert_string_equal(described("b.org a.org {\n whoami\n}\n"), "a.org.:53\nb.org.:53\n");
    assert_string_equal(described(". {\n bind 127.0.0.1 ::1\n whoami\n}\n"),
                        ".:53 on 127.0.0.1\n.:53 on ::1\n");
}

static void a_name_beyond_rfc_1035s_syntax_is_warned_about(void **state)
{
    (void)state;
    assert_string_equal(described("1_a.org {\n whoami\n}\n"),
                        "Warning: Domain \"1_a.org.\" does not follow RFC1035 preferred syntax\n"
                        "1_a.org.:53\n");
}

/* The bug: a zone that cannot be a name on the wire was not shown, and its listener had no site
 * that a directive could look at. */
static void a_zone_that_is_no_domain_name_has_a_line(void **state)
{
    (void)state;
    assert_string_equal(
        described("a\\999.org {\n whoami\n}\n"),
        "Warning: Domain \"a\\\\999.org.\" does not follow RFC1035 preferred syntax\n"
        "a\\999.org.:53\n");
}

/* --- starting -------------------------------------------------------------------------------- */

/* A TCP listener that shares its port with nobody. */
static int busy_port(uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

static void expect_answer(struct served *s, unsigned index)
{
    uint8_t frame[514];
    int fd = client_connect(served_port(s, index));
    assert_true(fd >= 0);
    client_send(fd, frame, frame_make(frame, 7, "a.example.", DNS_TYPE_A));
    client_expect(fd, 7);
    close(fd);
}

#define FIRST ".:%u {\nbind 127.0.0.1\nwhoami\n}\n"

static void a_reload_that_does_not_load_leaves_the_old_one_serving(void **state)
{
    (void)state;
    struct served *s = served_start(FIRST, 1);
    assert_string_equal(served_reload(s, ".:%u {\nbind 127.0.0.1\nnonsense\n}\n"),
                        "Corefile:3 - Error during parsing: Unknown directive 'nonsense'");
    expect_answer(s, 0);
    /* As late as a load can fail: every directive has been set up. */
    assert_string_not_equal(served_reload(s, FIRST FIRST "https://a {\nwhoami\n}\n"), "");
    expect_answer(s, 0);
    assert_int_equal(client_connect(served_port(s, 1)), -1);
    served_free(s);
}

static void a_reload_to_a_busy_port_leaves_the_old_one_serving(void **state)
{
    (void)state;
    uint16_t port;
    char corefile[256], error[128];
    int busy = busy_port(&port);
    struct served *s = served_start(FIRST, 1);
    snprintf(corefile, sizeof(corefile),
             ".:%%u {\nbind 127.0.0.1\nerrors\n}\n.:%%u {\nbind 127.0.0.1\nwhoami\n}\n"
             ".:%u {\nbind 127.0.0.1\nwhoami\n}\n",
             port);
    snprintf(error, sizeof(error), "Listen: listen tcp 127.0.0.1:%u: bind: address already in use",
             port);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(served_reload(s, corefile), error);
        expect_answer(s, 0);
        assert_int_equal(client_connect(served_port(s, 1)), -1); /* what was opened is closed */
    }
    close(busy);
    assert_string_equal(served_reload(s, corefile), "");
    expect_answer(s, 1);
    served_free(s);
}

/* The bug: it said "bind". */
static void without_descriptors_the_error_names_the_socket_call(void **state)
{
    (void)state;
    char error[128];
    struct rlimit files, few;
    struct served *s = served_start(FIRST, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    few = (struct rlimit){.rlim_cur = 4, .rlim_max = files.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    snprintf(error, sizeof(error), "%s", served_reload(s, FIRST FIRST));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    char expected[128];
    snprintf(expected, sizeof(expected),
             "Listen: listen tcp 127.0.0.1:%u: socket: too many open files", served_port(s, 1));
    assert_string_equal(error, expected);
    expect_answer(s, 0);
    served_free(s);
}

static void a_reload_that_fails_leaves_debug_as_it_was(void **state)
{
    (void)state;
    uint16_t port;
    char corefile[128];
    int busy = busy_port(&port);
    struct served *s = served_start(FIRST, 1);
    snprintf(corefile, sizeof(corefile), ".:%u {\nbind 127.0.0.1\ndebug\nwhoami\n}\n", port);
    assert_string_not_equal(served_reload(s, corefile), "");
    assert_false(log_debug_on());
    close(busy);
    assert_string_equal(served_reload(s, ".:%u {\nbind 127.0.0.1\ndebug\nwhoami\n}\n"), "");
    assert_true(log_debug_on());
    assert_string_equal(served_reload(s, FIRST), "");
    assert_false(log_debug_on());
    served_free(s);
}

static void a_reload_opens_new_addresses_and_closes_vanished_ones(void **state)
{
    (void)state;
    struct served *s = served_start(FIRST, 1);
    assert_string_equal(served_reload(s, FIRST FIRST FIRST), "");
    for (unsigned i = 0; i < 3; i++)
        expect_answer(s, i);
    assert_string_equal(served_reload(s, FIRST), "");
    expect_answer(s, 0);
    assert_int_equal(client_connect(served_port(s, 1)), -1);
    assert_int_equal(client_connect(served_port(s, 2)), -1);
    served_free(s);
}

/* After a reload the same socket answers with what the new Corefile says. */
static void sockets_are_handed_on_and_answer_as_the_new_instance(void **state)
{
    (void)state;
    uint8_t frame[514], reply[DNS_MAX_MESSAGE_SIZE];
    struct served *s = served_start(FIRST, 1);
    int fd = client_connect(served_port(s, 0));
    size_t size = frame_make(frame, 7, "a.example.", DNS_TYPE_A);
    client_send(fd, frame, size);
    assert_true(client_read_frame(fd, reply) > 0);
    assert_int_equal(reply[3] & 15, DNS_RCODE_NOERROR);
    assert_string_equal(served_reload(s, "example.org:%u {\nbind 127.0.0.1\nwhoami\n}\n"), "");
    client_send(fd, frame, size);
    assert_true(client_read_frame(fd, reply) > 0);
    assert_int_equal(reply[3] & 15, DNS_RCODE_REFUSED);
    close(fd);
    served_free(s);
}

static void an_instance_can_listen_nowhere(void **state)
{
    (void)state;
    struct served *s = served_start(FIRST, 1);
    assert_string_equal(served_reload(s, ".:%u {\nbind 127.0.0.1 {\nexcept 127.0.0.1\n}\n}\n"), "");
    assert_int_equal(client_connect(served_port(s, 0)), -1);
    assert_string_equal(served_reload(s, FIRST), "");
    expect_answer(s, 0);
    served_free(s);
}

/* --- hooks ----------------------------------------------------------------------------------- */

static char trace[64];

static enum err on_start(void *context, struct instance *inst UNUSED, struct strbuf *error UNUSED)
{
    strcat(strcat(trace, "start"), context);
    return OK;
}

static enum err refuse_start(void *context UNUSED, struct instance *inst UNUSED,
                             struct strbuf *error)
{
    strbuf_add_str(error, "no");
    return ERR_INVALID;
}

static void on_started(void *context, struct instance *inst UNUSED)
{
    strcat(strcat(trace, "started"), context);
}

static void on_stop(void *context, struct instance *inst UNUSED, bool restarting)
{
    strcat(strcat(strcat(trace, "stop"), context), restarting ? "r" : "");
}

static struct instance *load_plain(struct dnsd *dnsd)
{
    static const char text[] = ".:53 {\nbind 127.0.0.1 {\nexcept 127.0.0.1\n}\nwhoami\n}\n";
    struct strbuf error = STRBUF_EMPTY;
    struct instance *inst;
    trace[0] = '\0';
    *dnsd = (struct dnsd){.default_port = "53"};
    assert_int_equal(metrics_create(&dnsd->metrics), OK);
    assert_int_equal(instance_load(&inst, dnsd, "Corefile", text, strlen(text), NULL, &error), OK);
    return inst;
}

static char one[] = "1 ", two[] = "2 ";

static void hooks_run_in_the_order_of_registration(void **state)
{
    (void)state;
    struct dnsd dnsd;
    struct strbuf error = STRBUF_EMPTY;
    struct instance *inst = load_plain(&dnsd);
    assert_int_equal(instance_on_start(inst, on_start, one), OK);
    assert_int_equal(instance_on_stop(inst, on_stop, one), OK);
    assert_int_equal(instance_on_started(inst, on_started, one), OK);
    assert_int_equal(instance_on_start(inst, on_start, two), OK);
    assert_int_equal(instance_on_stop(inst, on_stop, two), OK);
    assert_int_equal(instance_start(inst, &error), OK);
    instance_started(inst);
    instance_stop(inst, false);
    assert_string_equal(trace, "start1 start2 started1 stop1 stop2 ");
    instance_destroy(inst);
    metrics_destroy(dnsd.metrics);
}

static void stop_hooks_run_once_when_the_instance_was_retired_first(void **state)
{
    (void)state;
    struct dnsd dnsd;
    struct strbuf error = STRBUF_EMPTY;
    struct instance *inst = load_plain(&dnsd);
    assert_int_equal(instance_on_stop(inst, on_stop, one), OK);
    assert_int_equal(instance_start(inst, &error), OK);
    instance_retire(inst);
    instance_stop(inst, false);
    assert_string_equal(trace, "stop1 ");
    instance_destroy(inst);
    metrics_destroy(dnsd.metrics);
}

static void a_start_hook_that_fails_fails_the_start_with_its_words(void **state)
{
    (void)state;
    struct dnsd dnsd;
    struct strbuf error = STRBUF_EMPTY;
    struct instance *inst = load_plain(&dnsd);
    assert_int_equal(instance_on_start(inst, on_start, one), OK);
    assert_int_equal(instance_on_start(inst, refuse_start, NULL), OK);
    assert_int_equal(instance_on_start(inst, on_start, two), OK);
    assert_int_equal(instance_start(inst, &error), ERR_INVALID);
    assert_string_equal(strbuf_str(&error), "no");
    assert_string_equal(trace, "start1 ");
    strbuf_fini(&error);
    instance_destroy(inst);
    metrics_destroy(dnsd.metrics);
}

static void a_slot_keeps_the_last_value(void **state)
{
    (void)state;
    struct dnsd dnsd;
    struct instance *inst = load_plain(&dnsd);
    assert_null(instance_slot(inst, "x"));
    assert_int_equal(instance_set_slot(inst, "x", one, NULL), OK);
    assert_int_equal(instance_set_slot(inst, "x", two, NULL), OK);
    assert_ptr_equal(instance_slot(inst, "x"), two);
    instance_destroy(inst);
    metrics_destroy(dnsd.metrics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_wrong_is_told_in_corednss_words),
        cmocka_unit_test(a_directive_that_is_not_there_yet_is_named_as_such),
        cmocka_unit_test(a_transport_that_is_not_there_yet_is_named_as_such),
        cmocka_unit_test(zones_overlap_only_at_the_same_address),
        cmocka_unit_test(set_ups_run_in_corednss_order_whatever_the_order_of_lines),
        cmocka_unit_test(handlers_stand_in_corednss_order_whatever_the_order_of_lines),
        cmocka_unit_test(the_keys_of_a_block_share_a_chain_and_blocks_do_not),
        cmocka_unit_test(the_keys_of_a_block_share_what_directives_set),
        cmocka_unit_test(an_empty_corefile_is_whoami_and_log),
        cmocka_unit_test(each_zone_has_a_line_and_a_bound_one_its_address),
        cmocka_unit_test(a_name_beyond_rfc_1035s_syntax_is_warned_about),
        cmocka_unit_test(a_zone_that_is_no_domain_name_has_a_line),
        cmocka_unit_test(a_reload_that_does_not_load_leaves_the_old_one_serving),
        cmocka_unit_test(a_reload_to_a_busy_port_leaves_the_old_one_serving),
        cmocka_unit_test(without_descriptors_the_error_names_the_socket_call),
        cmocka_unit_test(a_reload_that_fails_leaves_debug_as_it_was),
        cmocka_unit_test(a_reload_opens_new_addresses_and_closes_vanished_ones),
        cmocka_unit_test(sockets_are_handed_on_and_answer_as_the_new_instance),
        cmocka_unit_test(an_instance_can_listen_nowhere),
        cmocka_unit_test(hooks_run_in_the_order_of_registration),
        cmocka_unit_test(stop_hooks_run_once_when_the_instance_was_retired_first),
        cmocka_unit_test(a_start_hook_that_fails_fails_the_start_with_its_words),
        cmocka_unit_test(a_slot_keeps_the_last_value),
    };
    return cmocka_run_group_tests_name("instance", tests, NULL, NULL);
}
