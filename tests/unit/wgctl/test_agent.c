/* warren-agent: what it asks and takes (pure), and a whole pass of the program, whose path is the
 * first argument, against a device double and a name server of the test's own. */
#include "wgctl/agent/lookup.h"

#include "base/cursor.h"
#include "base/dns_type.h"
#include "tests/support/fake_uapi.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ID = 0x1234,
    MESSAGE_SIZE = 2048,
    FLAGS_REPLY = 0x8500
};

static const char *agent_path;

/* --- Replies. --- */

static void put_rr(struct writer *w, uint16_t type, const void *rdata, uint16_t size)
{
    write_u16(w, 0xc00c); /* the question's name */
    write_u16(w, type);
    write_u16(w, 1);
    write_u32(w, 0);
    write_u16(w, size);
    write_bytes(w, rdata, size);
}

static void put_srv(struct writer *w, uint16_t port)
{
    uint8_t rdata[8] = {0, 0, 0, 0, (uint8_t)(port >> 8), (uint8_t)port, 0xc0, 0x0c};
    put_rr(w, DNS_TYPE_SRV, rdata, sizeof(rdata));
}

/* The reply to QUERY of one question, its sections still empty. */
static struct writer reply_start(uint8_t out[static MESSAGE_SIZE], const uint8_t *query,
                                 size_t size, uint16_t answers, uint16_t additional)
{
    struct writer w = writer_of(out, MESSAGE_SIZE);
    write_bytes(&w, query, 2);
    write_u16(&w, FLAGS_REPLY);
    write_u16(&w, 1);
    write_u16(&w, answers);
    write_u16(&w, 0);
    write_u16(&w, additional);
    write_bytes(&w, query + 12, size - 12);
    return w;
}

static const uint8_t key[KEY_SIZE] = {1};
static const uint8_t v4[4] = {192, 0, 2, 1};
static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, [15] = 1};
static const uint8_t mapped[16] = {[10] = 0xff, 0xff, 192, 0, 2, 1};
static const uint8_t txt[] = "\x09txtvers=1";
static uint8_t query[LOOKUP_QUERY_SIZE];
static size_t query_size;

static int make_query(void **state)
{
    (void)state;
    struct dns_name_buf zone;
    if (dns_name_from_text(&zone, "Example.com", 11) != OK)
        return -1;
    return lookup_query(query, &query_size, ID, key, dns_name_of(&zone)) == OK ? 0 : -1;
}

static enum lookup_verdict parse(const uint8_t *data, size_t size, struct lookup_reply *out)
{
    uint8_t *exact = malloc(size > 0 ? size : 1);
    assert_non_null(exact);
    memcpy(exact, data, size);
    enum lookup_verdict verdict = lookup_reply_parse(out, ID, exact, size);
    free(exact);
    return verdict;
}

/* --- Pure. --- */

static void the_question_is_as_wgsd_clients(void **state)
{
    (void)state;
    static const char wanted[] = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"
                                 "\x38"
                                 "AEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA===="
                                 "\x0a_wireguard\x04_udp\x07"
                                 "Example\x03"
                                 "com\x00\x00\x21\x00\x01";
    assert_int_equal(query_size, sizeof(wanted) - 1);
    assert_memory_equal(query, wanted, query_size);
}

static void a_zone_that_leaves_no_room_is_refused(void **state)
{
    (void)state;
    static const char label[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghi.";
    char text[256] = "";
    uint8_t out[LOOKUP_QUERY_SIZE];
    size_t size;
    struct dns_name_buf zone;
    for (unsigned i = 0; i < 3; i++)
        strcat(text, label);
    assert_int_equal(dns_name_from_text(&zone, text, strlen(text)), OK);
    assert_true(lookup_query(out, &size, ID, key, dns_name_of(&zone)) != OK);
}

static void the_endpoint_is_port_of_the_srv_and_first_address(void **state)
{
    (void)state;
    static const struct {
        uint16_t type;
        uint16_t size;
        const uint8_t *address;
        enum ip_family family;
    } cases[] = {{DNS_TYPE_A, 4, v4, IP_V4},
                 {DNS_TYPE_AAAA, 16, v6, IP_V6},
                 {DNS_TYPE_AAAA, 16, mapped, IP_V4}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (unsigned txt_first = 0; txt_first < 2; txt_first++) {
            uint8_t data[MESSAGE_SIZE];
            struct lookup_reply reply;
            struct writer w = reply_start(data, query, query_size, 1, 2);
            put_srv(&w, 51820);
            if (txt_first)
                put_rr(&w, DNS_TYPE_TXT, txt, sizeof(txt) - 1);
            put_rr(&w, cases[i].type, cases[i].address, cases[i].size);
            if (!txt_first)
                put_rr(&w, DNS_TYPE_TXT, txt, sizeof(txt) - 1);
            assert_int_equal(parse(data, w.size, &reply), LOOKUP_FOUND);
            assert_int_equal(reply.endpoint.port, 51820);
            assert_int_equal(reply.endpoint.addr.family, cases[i].family);
            if (cases[i].family == IP_V4)
                assert_memory_equal(reply.endpoint.addr.bytes, v4, 4);
        }
}

static void a_reply_without_additional_records_is_no_crash(void **state)
{
    (void)state;
    uint8_t data[MESSAGE_SIZE];
    struct lookup_reply reply;
    struct writer w = reply_start(data, query, query_size, 1, 0);
    put_srv(&w, 1);
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NO_ADDRESS);
    w = reply_start(data, query, query_size, 1, 1);
    put_srv(&w, 1);
    put_rr(&w, DNS_TYPE_TXT, txt, sizeof(txt) - 1);
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NO_ADDRESS);
}

static void an_answer_that_is_no_srv_is_no_crash(void **state)
{
    (void)state;
    uint8_t data[MESSAGE_SIZE];
    struct lookup_reply reply;
    struct writer w = reply_start(data, query, query_size, 1, 1);
    put_rr(&w, DNS_TYPE_A, v4, sizeof(v4));
    put_rr(&w, DNS_TYPE_A, v4, sizeof(v4));
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NO_SRV);
    w = reply_start(data, query, query_size, 1, 0);
    put_rr(&w, DNS_TYPE_SRV, v4, sizeof(v4));
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NO_SRV);
    w = reply_start(data, query, query_size, 0, 0);
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NO_SRV);
}

static void an_address_of_a_wrong_size_is_none(void **state)
{
    (void)state;
    uint8_t data[MESSAGE_SIZE];
    struct lookup_reply reply;
    struct writer w = reply_start(data, query, query_size, 1, 2);
    put_srv(&w, 1);
    put_rr(&w, DNS_TYPE_A, v6, 3);
    put_rr(&w, DNS_TYPE_AAAA, v6, 15);
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NO_ADDRESS);
}

static void other_ids_and_queries_are_not_ours(void **state)
{
    (void)state;
    uint8_t data[MESSAGE_SIZE];
    struct lookup_reply reply;
    struct writer w = reply_start(data, query, query_size, 1, 1);
    put_srv(&w, 1);
    put_rr(&w, DNS_TYPE_A, v4, sizeof(v4));
    data[1] ^= 1;
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_NOT_OURS);
    assert_int_equal(parse(query, query_size, &reply), LOOKUP_NOT_OURS);
    for (size_t size = 0; size < 12; size++)
        assert_int_equal(parse(data, size, &reply), LOOKUP_NOT_OURS);
}

static void a_reply_cut_at_any_byte_is_broken(void **state)
{
    (void)state;
    uint8_t data[MESSAGE_SIZE];
    struct lookup_reply reply;
    struct writer w = reply_start(data, query, query_size, 1, 1);
    put_srv(&w, 1);
    put_rr(&w, DNS_TYPE_A, v4, sizeof(v4));
    for (size_t size = 12; size < w.size; size++)
        assert_int_equal(parse(data, size, &reply), LOOKUP_BROKEN);
    assert_int_equal(parse(data, w.size, &reply), LOOKUP_FOUND);
}

/* --- A whole pass. --- */

enum {
    PEERS = 4,
    OUTPUT_SIZE = 16384
};

struct pass {
    char directory[64];
    struct fake_uapi *fake;
    int server;
    uint16_t port;
    pthread_t thread;
    atomic_uint queries;
};

/* Peer 1 is known, 2 has no records, 3 no address; 4 gets a reply with a wrong ID first. */
static size_t answer(uint8_t out[static MESSAGE_SIZE], const uint8_t *in, size_t size, bool *stray)
{
    uint8_t asked[KEY_SIZE];
    if (size < 12 + 57 || key_from_base32(asked, (const char *)in + 13, KEY_BASE32_SIZE) != OK)
        return 0;
    unsigned peer = asked[0];
    bool has_address = peer == 1 || peer == 4;
    struct writer w = reply_start(out, in, size, peer != 2, has_address);
    if (peer != 2)
        put_srv(&w, (uint16_t)(1000 + peer));
    if (has_address)
        put_rr(&w, DNS_TYPE_A, v4, sizeof(v4));
    *stray = peer == 4;
    return w.size;
}

/* Serves until a datagram of one byte comes. */
static void *serve(void *argument)
{
    struct pass *p = argument;
    for (;;) {
        uint8_t in[MESSAGE_SIZE], out[MESSAGE_SIZE];
        struct sockaddr_in from;
        socklen_t from_size = sizeof(from);
        ssize_t size = recvfrom(p->server, in, sizeof(in), 0, (struct sockaddr *)&from, &from_size);
        if (size <= 1)
            return NULL;
        p->queries++;
        bool stray = false;
        size_t out_size = answer(out, in, (size_t)size, &stray);
        if (stray) {
            out[0] ^= 0xff;
            (void)sendto(p->server, out, out_size, 0, (struct sockaddr *)&from, from_size);
            out[0] ^= 0xff;
        }
        (void)sendto(p->server, out, out_size, 0, (struct sockaddr *)&from, from_size);
    }
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int pass_up(void **state)
{
    struct pass *p = calloc(1, sizeof(*p));
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    if (p == NULL)
        return -1;
    *state = p;
    strcpy(p->directory, "/tmp/warren-agent.XXXXXX");
    if (mkdtemp(p->directory) == NULL || fake_uapi_create(&p->fake, p->directory, "fake0") != OK)
        return -1;
    p->server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (p->server < 0 || bind(p->server, (struct sockaddr *)&address, size) != 0 ||
        getsockname(p->server, (struct sockaddr *)&address, &size) != 0)
        return -1;
    p->port = ntohs(address.sin_port);
    return pthread_create(&p->thread, NULL, serve, p);
}

static int pass_down(void **state)
{
    struct pass *p = *state;
    struct sockaddr_in address = loopback(p->port);
    (void)sendto(p->server, "x", 1, 0, (struct sockaddr *)&address, sizeof(address));
    pthread_join(p->thread, NULL);
    (void)close(p->server);
    fake_uapi_destroy(p->fake);
    (void)rmdir(p->directory);
    free(p);
    return 0;
}

/* Runs the agent; its standard error goes to OUTPUT, its exit status is returned. */
static int run_agent(const struct pass *p, const char *const *arguments, char output[OUTPUT_SIZE])
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char *argv[16] = {(char *)(uintptr_t)agent_path};
        for (size_t i = 0; arguments[i] != NULL && i + 2 < ARRAY_COUNT(argv); i++)
            argv[i + 1] = (char *)(uintptr_t)arguments[i];
        (void)dup2(ends[1], STDERR_FILENO);
        (void)close(ends[0]);
        (void)setenv("WARREN_WG_SOCKET_DIR", p->directory, 1);
        (void)execv(agent_path, argv);
        _exit(99);
    }
    (void)close(ends[1]);
    size_t size = 0;
    for (ssize_t n;
         size < OUTPUT_SIZE - 1 && (n = read(ends[0], output + size, OUTPUT_SIZE - 1 - size)) > 0;)
        size += (size_t)n;
    output[size] = '\0';
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_pass(const struct pass *p, const char *device, char output[OUTPUT_SIZE])
{
    char dns[32];
    (void)snprintf(dns, sizeof(dns), "127.0.0.1:%u", p->port);
    const char *arguments[] = {"-device", device, "--dns", dns, "-zone=example.com", NULL};
    return run_agent(p, arguments, output);
}

static void assert_line(const char *output, const char *pattern)
{
    regex_t regex;
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB | REG_NEWLINE), 0);
    if (regexec(&regex, output, 0, NULL, 0) != 0)
        fail_msg("no line %s in:\n%s", pattern, output);
    regfree(&regex);
}

#define STAMP "^[0-9]{4}/[0-9]{2}/[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2} "

static void a_pass_asks_once_for_each_peer_and_sets_what_it_learns(void **state)
{
    struct pass *p = *state;
    char output[OUTPUT_SIZE];
    size_t size;
    char *text = fake_uapi_make_peers(PEERS, 0, &size);
    assert_non_null(text);
    assert_int_equal(fake_uapi_set_state(p->fake, text, size), OK);
    free(text);
    assert_int_equal(run_pass(p, "fake0", output), 0);
    assert_int_equal(p->queries, PEERS);
    assert_int_equal(fake_uapi_set_count(p->fake), 2);
    char *request = fake_uapi_last_set(p->fake);
    assert_non_null(request);
    assert_non_null(strstr(request, "set=1\npublic_key=04000000"));
    assert_non_null(strstr(request, "\nupdate_only=true\nendpoint=192.0.2.1:1004\n\n"));
    free(request);
    assert_line(output, STAMP "\\[AgAAA[A-Za-z0-9+/]*=\\] no SRV records found$");
    assert_line(output, STAMP "\\[AwAAA[A-Za-z0-9+/]*=\\] SRV reply without an A or AAAA");
}

static void a_device_without_peers_is_said_and_is_no_failure(void **state)
{
    struct pass *p = *state;
    char output[OUTPUT_SIZE];
    assert_int_equal(run_pass(p, "fake0", output), 0);
    assert_line(output, STAMP "no peers found$");
    assert_int_equal(p->queries, 0);
}

static void refused_sets_are_logged_and_are_no_failure(void **state)
{
    struct pass *p = *state;
    char output[OUTPUT_SIZE];
    static const char text[] =
        "public_key=0100000000000000000000000000000000000000000000000000000000000000\n";
    struct fake_uapi_options options = {.set_errno = -1};
    assert_int_equal(fake_uapi_set_state(p->fake, text, sizeof(text) - 1), OK);
    fake_uapi_set_options(p->fake, &options);
    assert_int_equal(run_pass(p, "fake0", output), 0);
    assert_line(output, STAMP "\\[AQAAA[A-Za-z0-9+/]*=\\] failed to set the endpoint on fake0: ");
}

static void bad_flags_and_devices_have_wgsd_clients_exit_status(void **state)
{
    struct pass *p = *state;
    char output[OUTPUT_SIZE];
    static const struct {
        int status;
        const char *arguments[8];
    } cases[] = {
        {0, {"-help"}},
        {2, {"-nonsense"}},
        {2, {"-device"}},
        {1, {NULL}},
        {1, {"-device", "fake0", "-zone", "example.com"}},
        {1, {"-device", "fake0", "-dns", "127.0.0.1", "-zone", "example.com"}},
        {1, {"-device", "fake0", "-dns", "::1:53", "-zone", "example.com"}},
        {1, {"-device", "fake0", "-dns", "127.0.0.1:53", "-zone", "a..b"}},
        {1, {"-device", "nodev0", "-dns", "127.0.0.1:53", "-zone", "example.com"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(run_agent(p, cases[i].arguments, output), cases[i].status);
        assert_true(strlen(output) > 0);
    }
}

#define PASS_TEST(name) cmocka_unit_test_setup_teardown(name, pass_up, pass_down)

int main(int argc, char **argv)
{
    const struct CMUnitTest pure[] = {
        cmocka_unit_test(the_question_is_as_wgsd_clients),
        cmocka_unit_test(a_zone_that_leaves_no_room_is_refused),
        cmocka_unit_test(the_endpoint_is_port_of_the_srv_and_first_address),
        cmocka_unit_test(a_reply_without_additional_records_is_no_crash),
        cmocka_unit_test(an_answer_that_is_no_srv_is_no_crash),
        cmocka_unit_test(an_address_of_a_wrong_size_is_none),
        cmocka_unit_test(other_ids_and_queries_are_not_ours),
        cmocka_unit_test(a_reply_cut_at_any_byte_is_broken),
    };
    const struct CMUnitTest passes[] = {
        PASS_TEST(a_pass_asks_once_for_each_peer_and_sets_what_it_learns),
        PASS_TEST(a_device_without_peers_is_said_and_is_no_failure),
        PASS_TEST(refused_sets_are_logged_and_are_no_failure),
        PASS_TEST(bad_flags_and_devices_have_wgsd_clients_exit_status),
    };
    if (argc != 2) {
        fputs("usage: test_agent WARREN-AGENT\n", stderr);
        return 2;
    }
    agent_path = argv[1];
    int failed = cmocka_run_group_tests(pure, make_query, NULL);
    return failed + cmocka_run_group_tests(passes, NULL, NULL);
}
