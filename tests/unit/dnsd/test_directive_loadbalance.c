#include "tests/unit/dnsd/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ASK(c, qtype) CHAIN_ASK(c, .name = "x.org", .type = qtype)

static void addresses_and_mx_come_last(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n loadbalance\n}\n");
    chain_answers(
        c, DNS_RCODE_NOERROR,
        "an @ 1 MX 5 m.\nan @ 1 A 192.0.2.1\nan @ 1 TXT t\nan @ 1 CNAME c.\nan @ 1 NS n.");
    assert_string_equal(ASK(c, DNS_TYPE_A),
                        "NOERROR qr,rd|an x.org. 1 CNAME c.|an x.org. 1 TXT \"t\"|an x.org. 1 NS n."
                        "|an x.org. 1 A 192.0.2.1|an x.org. 1 MX 5 m.");
    chain_free(c);
}

/* Every order of three addresses comes, about equally often. */
static void addresses_are_shuffled_evenly(void **state)
{
    enum {
        ROUNDS = 3000
    };
    int seen[8] = {0}; /* by which stands before which; two combinations cannot be */
    int orders = 0;
    (void)state;
    struct chain *c = chain_load(". {\n loadbalance round_robin\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "ar @ 1 A 1.1.1.1\nar @ 1 A 2.2.2.2\nar @ 1 AAAA ::3");
    for (int i = 0; i < ROUNDS; i++) {
        const char *reply = ASK(c, DNS_TYPE_A);
        const char *one = strstr(reply, "1.1.1.1"), *two = strstr(reply, "2.2.2.2"),
                   *three = strstr(reply, "::3");
        seen[(one < two) + 2 * (two < three) + 4 * (one < three)]++;
    }
    for (size_t i = 0; i < ARRAY_COUNT(seen); i++) {
        if (seen[i] == 0)
            continue;
        assert_in_range(seen[i], ROUNDS / 6 * 3 / 4, ROUNDS / 6 * 5 / 4);
        orders++;
    }
    assert_int_equal(orders, 6);
    chain_free(c);
}

static void denials_and_transfers_keep_their_order(void **state)
{
    static const char records[] = "an @ 1 A 192.0.2.1\nan @ 1 TXT t";
    static const char kept[] = "|an x.org. 1 A 192.0.2.1|an x.org. 1 TXT \"t\"";
    (void)state;
    struct chain *c = chain_load(". {\n loadbalance\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, records);
    assert_string_equal(strchr(ASK(c, DNS_TYPE_AXFR), '|'), kept);
    chain_answers(c, DNS_RCODE_NXDOMAIN, records);
    assert_string_equal(strchr(ASK(c, DNS_TYPE_A), '|'), kept);
    chain_free(c);
}

/* wgsd-client takes the first additional record for the address. */
static void wgsd_srv_keeps_its_order(void **state)
{
    (void)state;
    struct chain *c = chain_load(". {\n loadbalance\n}\n");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 0 SRV 7 x.org.\nar @ 0 A 192.0.2.1\nar @ 0 TXT t");
    assert_string_equal(strstr(ASK(c, DNS_TYPE_SRV), "|ar"),
                        "|ar x.org. 0 TXT \"t\"|ar x.org. 0 A 192.0.2.1");
    chain_answers_as(c, "wgsd");
    assert_string_equal(strstr(ASK(c, DNS_TYPE_SRV), "|ar"),
                        "|ar x.org. 0 A 192.0.2.1|ar x.org. 0 TXT \"t\"");
    chain_free(c);
}

/* --- weighted -------------------------------------------------------------------------------- */

static char file_name[] = "/tmp/warren-weights-XXXXXX";

/* Renamed into place: the directive, which reads by itself, must not see half of it. */
static void file_write(const char *text)
{
    char written[sizeof(file_name) + sizeof(".new")];
    snprintf(written, sizeof(written), "%s.new", file_name);
    FILE *file = fopen(written, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(written, file_name), 0);
}

static int file_create(void **state)
{
    (void)state;
    strcpy(file_name + strlen(file_name) - 6, "XXXXXX");
    int fd = mkstemp(file_name);
    if (fd >= 0)
        close(fd);
    output_capture();
    return fd >= 0 ? 0 : -1;
}

static int file_remove(void **state)
{
    (void)state;
    output_release();
    return unlink(file_name);
}

static struct chain *load_weighted(const char *options)
{
    char text[256];
    snprintf(text, sizeof(text), ". {\n bind 127.0.0.1\n loadbalance weighted %s %s\n}\n",
             file_name, options);
    return chain_load(text);
}

/* How many of ROUNDS replies start with 192.0.2.1. */
static int first_count(struct chain *c, int rounds)
{
    static const char start[] = "NOERROR qr,rd|an x.org. 1 A 192.0.2.1|";
    int count = 0;
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 1 A 192.0.2.1\nan @ 1 A 192.0.2.2");
    for (int i = 0; i < rounds; i++)
        count += strncmp(ASK(c, DNS_TYPE_A), start, strlen(start)) == 0;
    return count;
}

static void weights_decide_which_comes_first(void **state)
{
    (void)state;
    file_write("# comment\nx.org\n  192.0.2.1 9\n\n192.0.2.2 1\ny.org.\n192.0.2.1 200\n");
    struct chain *c = load_weighted("");
    chain_start(c);
    assert_in_range(first_count(c, 2000), 1720, 1880);
    chain_free(c);
}

static void a_changed_file_is_read_again(void **state)
{
    char expected[128];
    (void)state;
    file_write("x.org\n192.0.2.1 255\n");
    struct chain *c = load_weighted("{\n reload 50ms\n }");
    chain_start(c);
    snprintf(expected, sizeof(expected),
             "[INFO] plugin/loadbalance: Successfully reloaded weight file %s\n", file_name);
    assert_string_equal(output_take(), expected);
    assert_true(first_count(c, 100) > 80);
    file_write("x.org\n192.0.2.2 255\n");
    const struct timespec pause = {.tv_nsec = 300000000};
    nanosleep(&pause, NULL);
    assert_string_equal(output_take(), expected); /* once */
    assert_true(first_count(c, 100) < 20);
    file_write("x.org\n192.0.2.2 0\n");
    nanosleep(&pause, NULL);
    snprintf(expected, sizeof(expected),
             "[ERROR] plugin/loadbalance: Wrong weight value:\"0\" in weight file %s\n", file_name);
    assert_string_equal(output_take(), expected);
    assert_true(first_count(c, 100) < 20); /* the last good ones stay */
    chain_free(c);
}

static void refuses_with_coredns_messages(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"random", "unknown policy: random"},
        {"round_robin x", "Corefile:2 - Error during parsing: unknown property for round_robin"},
        {"weighted", "Corefile:2 - Error during parsing: missing weight file argument"},
        {"weighted a b", "Corefile:2 - Error during parsing: unexpected argument(s)"},
        {"weighted a {\n x\n }", "Corefile:3 - Error during parsing: unknown property 'x'"},
        {"weighted a {\n reload\n }",
         "Corefile:3 - Error during parsing: reload duration value is missing"},
        {"weighted a {\n reload 5\n }",
         "Corefile:3 - Error during parsing: invalid reload duration '5'"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char text[128], expected[128];
        snprintf(text, sizeof(text), ". {\n loadbalance %s\n}\n", cases[i].line);
        snprintf(expected, sizeof(expected), "plugin/loadbalance: %s", cases[i].message);
        assert_string_equal(chain_error(text), expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_and_mx_come_last),
        cmocka_unit_test(addresses_are_shuffled_evenly),
        cmocka_unit_test(denials_and_transfers_keep_their_order),
        cmocka_unit_test(wgsd_srv_keeps_its_order),
        cmocka_unit_test_setup_teardown(weights_decide_which_comes_first, file_create, file_remove),
        cmocka_unit_test_setup_teardown(a_changed_file_is_read_again, file_create, file_remove),
        cmocka_unit_test(refuses_with_coredns_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
