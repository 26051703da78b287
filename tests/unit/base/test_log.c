#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Standard output is a datagram socket while a test logs: each write(2) arrives as one datagram, so
 * a test sees how many there were. cmocka's own report goes to the real one. */
static int saved_stdout, reader;

static int capture(void **state)
{
    int pair[2];

    (void)state;
    fflush(stdout);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
        return -1;
    saved_stdout = dup(STDOUT_FILENO);
    dup2(pair[0], STDOUT_FILENO);
    close(pair[0]);
    reader = pair[1];
    return 0;
}

static int release(void **state)
{
    (void)state;
    dup2(saved_stdout, STDOUT_FILENO);
    close(saved_stdout);
    close(reader);
    log_set_debug(false);
    return 0;
}

/* The next single write; "" if there was none. */
static const char *next_write(void)
{
    static char text[20000];
    ssize_t size = recv(reader, text, sizeof text - 1, MSG_DONTWAIT);

    text[size > 0 ? size : 0] = '\0';
    return text;
}

static void a_line_has_its_level_and_a_newline(void **state)
{
    (void)state;
    log_line(LOG_INFO, "CoreDNS-%s", "1.11.1");
    assert_string_equal(next_write(), "[INFO] CoreDNS-1.11.1\n");
    log_line(LOG_WARNING, "w");
    assert_string_equal(next_write(), "[WARNING] w\n");
    log_line(LOG_ERROR, "e");
    assert_string_equal(next_write(), "[ERROR] e\n");
    log_line(LOG_FATAL, "f");
    assert_string_equal(next_write(), "[FATAL] f\n");
}

static void a_plugin_line_names_its_directive(void **state)
{
    (void)state;
    log_plugin(LOG_ERROR, "errors", "2 %s PTR: file does not exist", "example.org.");
    assert_string_equal(next_write(),
                        "[ERROR] plugin/errors: 2 example.org. PTR: file does not exist\n");
}

static void debug_lines_appear_only_while_switched_on(void **state)
{
    (void)state;
    assert_false(log_debug_on());
    log_line(LOG_DEBUG, "hidden");
    log_plugin(LOG_DEBUG, "p", "hidden");
    assert_string_equal(next_write(), "");
    log_set_debug(true);
    assert_true(log_debug_on());
    log_line(LOG_DEBUG, "seen");
    assert_string_equal(next_write(), "[DEBUG] seen\n");
    log_plugin(LOG_DEBUG, "p", "seen");
    assert_string_equal(next_write(), "[DEBUG] plugin/p: seen\n");
}

static void control_bytes_are_escaped(void **state)
{
    (void)state;
    log_line(LOG_INFO, "%s", "a\x1b[31m\tb\r\x7f");
    assert_string_equal(next_write(), "[INFO] a\\x1b[31m\\x09b\\x0d\\x7f\n");
    log_line(LOG_INFO, "%c", 0);
    assert_string_equal(next_write(), "[INFO] \\x00\n");
}

/* U+009B is CSI, as ESC [ is, on terminals that read C1 controls. */
static void c1_controls_are_escaped_and_other_utf8_is_not(void **state)
{
    (void)state;
    log_line(LOG_INFO, "%s",
             "\xc2\x9b"
             "31m \xc3\xa9 \xc2\xa0");
    assert_string_equal(next_write(), "[INFO] \\xc2\\x9b31m \xc3\xa9 \xc2\xa0\n");
    log_line(LOG_INFO, "%s", "\xc2");
    assert_string_equal(next_write(), "[INFO] \xc2\n");
}

static void a_newline_stays(void **state)
{
    (void)state;
    log_line(LOG_INFO, "one\ntwo");
    assert_string_equal(next_write(), "[INFO] one\ntwo\n");
}

static void a_long_line_is_whole(void **state)
{
    char text[10001], expected[10020];

    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    log_line(LOG_INFO, "%s", text);
    snprintf(expected, sizeof expected, "[INFO] %s\n", text);
    assert_string_equal(next_write(), expected);
}

static void raw_bytes_pass_as_they_are(void **state)
{
    (void)state;
    log_raw("[INFO] \x1b as is and not this", 14);
    assert_string_equal(next_write(), "[INFO] \x1b as is");
    log_raw("", 0);
    assert_string_equal(next_write(), "");
}

static void logging_keeps_errno(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    (void)state;
    assert_true(full >= 0);
    dup2(full, STDOUT_FILENO);
    close(full);
    errno = EADDRINUSE;
    log_line(LOG_ERROR, "lost");
    assert_int_equal(errno, EADDRINUSE);
}

static void *log_many(void *name)
{
    for (int i = 0; i < 200; i++)
        log_line(LOG_INFO, "thread %s line %d", (const char *)name, i);
    return NULL;
}

static void *read_many(void *count)
{
    char text[200];

    for (int i = 0; i < 400; i++) {
        ssize_t size = recv(reader, text, sizeof text - 1, 0);
        if (size <= 0 || memcmp(text, "[INFO] thread ", 14) != 0 || text[size - 1] != '\n')
            return NULL;
        ++*(int *)count;
    }
    return NULL;
}

static void lines_of_several_threads_never_mix(void **state)
{
    pthread_t a, b, r;
    int count = 0;

    (void)state;
    assert_int_equal(pthread_create(&r, NULL, read_many, &count), 0);
    assert_int_equal(pthread_create(&a, NULL, log_many, (char[]){"a"}), 0);
    assert_int_equal(pthread_create(&b, NULL, log_many, (char[]){"b"}), 0);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    pthread_join(r, NULL);
    assert_int_equal(count, 400);
}

static void a_non_blocking_output_loses_nothing(void **state)
{
    pthread_t a, b, r;
    int count = 0;

    (void)state;
    assert_int_equal(fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(pthread_create(&a, NULL, log_many, (char[]){"a"}), 0);
    assert_int_equal(pthread_create(&b, NULL, log_many, (char[]){"b"}), 0);
    assert_int_equal(pthread_create(&r, NULL, read_many, &count), 0);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    pthread_join(r, NULL);
    assert_int_equal(count, 400);
}

int main(void)
{
#define CAPTURED(name) cmocka_unit_test_setup_teardown(name, capture, release)
    const struct CMUnitTest tests[] = {
        CAPTURED(a_line_has_its_level_and_a_newline),
        CAPTURED(a_plugin_line_names_its_directive),
        CAPTURED(debug_lines_appear_only_while_switched_on),
        CAPTURED(control_bytes_are_escaped),
        CAPTURED(c1_controls_are_escaped_and_other_utf8_is_not),
        CAPTURED(a_newline_stays),
        CAPTURED(a_long_line_is_whole),
        CAPTURED(raw_bytes_pass_as_they_are),
        CAPTURED(logging_keeps_errno),
        CAPTURED(lines_of_several_threads_never_mix),
        CAPTURED(a_non_blocking_output_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
