#include "tests/unit/dnsd/support.h"

#include <stdio.h>
#include <string.h>

static int capture(void **state)
{
    (void)state;
    output_capture();
    return 0;
}

static int release(void **state)
{
    (void)state;
    output_release();
    return 0;
}

static struct chain *load(const char *line)
{
    char text[512];
    snprintf(text, sizeof(text), ". {\n log %s\n}\n", line);
    return chain_load(text);
}

/* The one line, without its duration (which must look like one). */
static const char *line_take(void)
{
    static char line[4096];
    snprintf(line, sizeof(line), "%s", output_take());
    size_t size = strlen(line);
    assert_true(size > 1 && line[size - 1] == '\n');
    assert_ptr_equal(strchr(line, '\n'), line + size - 1);
    line[size - 1] = '\0';
    char *duration = strrchr(line, ' ');
    if (duration != NULL && strncmp(duration, " 0.0", 4) == 0) {
        assert_int_equal(strspn(duration + 1, "0123456789.s"), strlen(duration + 1));
        assert_int_not_equal(duration[strlen(duration) - 2], '0');
        *duration = '\0';
    }
    return line;
}

static void default_format_is_common(void **state)
{
    (void)state;
    struct chain *c = load("");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 1 A 192.0.2.1");
    CHAIN_ASK(c, .name = "X.org", .type = DNS_TYPE_A, .from = "192.0.2.9");
    assert_string_equal(line_take(), "[INFO] 192.0.2.9:4321 - 4660 \"A IN x.org. udp 23 false "
                                     "512\" NOERROR qr,rd 44");
    CHAIN_ASK(c, .name = "x.org", .type = 65280, .from = "2001:db8::1", .is_tcp = true,
              .udp_size = 1400, .is_do = true);
    assert_string_equal(line_take(), "[INFO] [2001:db8::1]:4321 - 4660 \"TYPE65280 IN x.org. tcp "
                                     "34 true 65535\" NOERROR qr,rd 44");
    chain_free(c);
}

/* The bug: the size left out what a request has beside its question and OPT. */
static void size_counts_every_record_of_the_request(void **state)
{
    (void)state;
    struct chain *c = load("");
    chain_answers(c, DNS_RCODE_NOERROR, "an @ 1 A 192.0.2.1");
    /* "x.org. A", and the additional record "x.org. A 1.2.3.4", its owner compressed: 16 octets
     * that are 21 uncompressed. */
    static const uint8_t request[] =
        "\x12\x34\x01\0\0\1\0\0\0\0\0\1\1x\3org\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\0\0\4\1\2\3\4";
    static uint8_t out[DNS_MAX_MESSAGE_SIZE];
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct query q = {.proto = QUERY_UDP,
                      .remote = {.addr = {.family = IP_V4, .bytes = {192, 0, 2, 9}}, .port = 4321},
                      .listener = chain_listener(c),
                      .arena = &arena,
                      .out = out,
                      .out_capacity = sizeof(out)};
    server_answer(&q, request, sizeof(request) - 1);
    assert_string_equal(line_take(), "[INFO] 192.0.2.9:4321 - 4660 \"A IN x.org. udp 44 false "
                                     "512\" NOERROR qr,rd 44");
    arena_fini(&arena);
    chain_free(c);
}

static void no_reply_prints_dashes(void **state)
{
    (void)state;
    struct chain *c = load("");
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A, .udp_size = 1400);
    assert_string_equal(line_take(),
                        "[INFO] 127.0.0.1:4321 - 4660 \"A IN x.org. udp 34 false 1400\" - - 0");
    chain_free(c);
}

/* The size is the whole reply's, but the flags are those that left. */
static void a_cut_reply_logs_its_whole_size_and_tc(void **state)
{
    (void)state;
    char records[2048] = "", expected[128];
    struct chain *c = load("");
    for (int i = 0; i < 40; i++)
        snprintf(records + strlen(records), sizeof(records) - strlen(records),
                 "an @ 1 A 192.0.2.%d\n", i);
    chain_answers(c, DNS_RCODE_NOERROR, records);
    CHAIN_ASK(c, .name = "x.org", .type = DNS_TYPE_A);
    snprintf(expected, sizeof(expected),
             "[INFO] 127.0.0.1:4321 - 4660 \"A IN x.org. udp 23 false 512\" NOERROR qr,tc,rd %d",
             23 + 40 * 21);
    assert_string_equal(line_take(), expected);
    chain_free(c);
}

static void every_placeholder_is_replaced(void **state)
{
    (void)state;
    struct chain *c = load("x.org \"{type} {class} {name} {proto} {size} {remote} {port} {local} "
                           "{>id} {>opcode} {>do} {>bufsize} {rcode} {rsize} {>rflags} {/a/b}\"");
    chain_answers(c, DNS_RCODE_NXDOMAIN, "");
    chain_answers_flags(c, DNS_FLAG_AA | DNS_FLAG_RA | DNS_FLAG_AD | DNS_FLAG_Z);
    CHAIN_ASK(c, .name = "X.org", .type = DNS_TYPE_A, .flags = DNS_FLAG_CD);
    assert_string_equal(line_take(), "[INFO] A IN x.org. udp 23 127.0.0.1 4321 [::] 4660 0 false "
                                     "512 NXDOMAIN 23 qr,aa,ra,z,ad,cd -");
    CHAIN_ASK(c, .name = "X.org", .type = DNS_TYPE_A, .is_tcp = true);
    assert_non_null(strstr(line_take(), " 127.0.0.1 4321 127.0.0.9 4660 "));
    chain_free(c);
}

static void other_braces_are_literal(void **state)
{
    (void)state;
    struct chain *c = load(". \"} {{name} {foo} {>ID} { {type} {class\"");
    CHAIN_ASK(c, .name = "x", .type = DNS_TYPE_A);
    assert_string_equal(line_take(), "[INFO] } {x. {foo} {>ID} { A {class");
    chain_free(c);
}

static void common_and_combined_are_formats(void **state)
{
    (void)state;
    struct chain *c = load(". \"{combined}\"");
    CHAIN_ASK(c, .name = "x", .type = DNS_TYPE_A);
    const char *line = line_take();
    assert_non_null(
        strstr(line, "[INFO] 127.0.0.1:4321 - 4660 \"A IN x. udp 19 false 512\" - - 0 "));
    assert_string_equal(line + strlen(line) - 4, " \"0\"");
    chain_free(c);
}

static void one_argument_is_a_name(void **state)
{
    (void)state;
    struct chain *c = load("\"{type}\"");
    CHAIN_ASK(c, .name = "x", .type = DNS_TYPE_A);
    assert_string_equal(output_take(), "");
    chain_free(c);
}

static void the_first_rule_whose_name_fits_is_used(void **state)
{
    (void)state;
    struct chain *c = load("a.org \"1 {name}\"\n log B.org org \"2 {name}\"");
    CHAIN_ASK(c, .name = "x.A.org", .type = DNS_TYPE_A);
    assert_string_equal(line_take(), "[INFO] 1 x.a.org.");
    CHAIN_ASK(c, .name = "b.org", .type = DNS_TYPE_A);
    assert_string_equal(line_take(), "[INFO] 2 b.org.");
    CHAIN_ASK(c, .name = "net", .type = DNS_TYPE_A);
    assert_string_equal(output_take(), "");
    chain_free(c);
}

static void classes_choose_replies(void **state)
{
    static const struct {
        int rcode;
        const char *records;
        const char *class;
    } replies[] = {
        {DNS_RCODE_NOERROR, "an @ 1 A 192.0.2.1", "success"},
        {DNS_RCODE_NOERROR, "", "success"},
        {DNS_RCODE_NOERROR, "ns @ 1 NS a.", "success"},
        {DNS_RCODE_NOERROR, "ns @ 1 SOA", "denial"},
        {DNS_RCODE_NXDOMAIN, "ns @ 1 SOA", "denial"},
        {DNS_RCODE_NXDOMAIN, "", "error"},
        {DNS_RCODE_SERVFAIL, "", "error"},
        {DNS_RCODE_REFUSED, NULL, "error"},
    };
    static const char *const classes[] = {"success", "denial", "error"};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(classes); i++) {
        char line[64];
        snprintf(line, sizeof(line), "{\n class %s\n }", classes[i]);
        struct chain *c = load(line);
        for (size_t j = 0; j < ARRAY_COUNT(replies); j++) {
            chain_answers(c, replies[j].rcode, replies[j].records);
            CHAIN_ASK(c, .name = "x", .type = DNS_TYPE_A);
            bool logged = output_take()[0] != '\0';
            assert_int_equal(logged, strcmp(classes[i], replies[j].class) == 0);
        }
        chain_free(c);
    }
}

/* Names reach the terminal in presentation form. */
static void hostile_names_are_escaped(void **state)
{
    (void)state;
    struct chain *c = load(". \"{name}{rcode}\"");
    CHAIN_ASK(c, .name = "a\\027[31m\\010.x", .type = DNS_TYPE_A);
    assert_string_equal(line_take(), "[INFO] a\\027[31m\\010.x.-");
    chain_free(c);
}

static void refuses_with_coredns_messages(void **state)
{
    (void)state;
    assert_string_equal(chain_error(". {\n log {\n class x\n }\n}\n"),
                        "plugin/log: invalid Class: x");
    assert_string_equal(chain_error(". {\n log {\n class\n }\n}\n"),
                        "plugin/log: Corefile:3 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'class'");
    assert_string_equal(chain_error(". {\n log {\n x\n }\n}\n"),
                        "plugin/log: Corefile:3 - Error during parsing: Wrong argument count or "
                        "unexpected line ending after 'x'");
}

#define LOGGING(test) cmocka_unit_test_setup_teardown(test, capture, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOGGING(default_format_is_common),
        LOGGING(size_counts_every_record_of_the_request),
        LOGGING(no_reply_prints_dashes),
        LOGGING(a_cut_reply_logs_its_whole_size_and_tc),
        LOGGING(every_placeholder_is_replaced),
        LOGGING(other_braces_are_literal),
        LOGGING(common_and_combined_are_formats),
        LOGGING(one_argument_is_a_name),
        LOGGING(the_first_rule_whose_name_fits_is_used),
        LOGGING(classes_choose_replies),
        LOGGING(hostile_names_are_escaped),
        cmocka_unit_test(refuses_with_coredns_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
