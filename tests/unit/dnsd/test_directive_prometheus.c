#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/directive/report.h"
#include "dnsd/rcu.h"
#include "dnsd/server.h"

#include "tests/unit/dnsd/instance_fixture.h"

#include <pthread.h>

static struct fixture fixture;

static int setup_fixture(void **state)
{
    (void)state;
    fixture_init(&fixture);
    return 0;
}

static int end_fixture(void **state)
{
    (void)state;
    fixture_fini(&fixture);
    return 0;
}

/* --- a chain in memory ------------------------------------------------------------------------ */

/* Writes a reply of RCODE, or only returns it. */
struct stub {
    struct handler base;
    int rcode;
    bool writes;
};

static int stub_serve(struct handler *self, struct query *q)
{
    struct stub *stub = (struct stub *)self;
    if (!stub->writes)
        return stub->rcode;
    struct dns_message reply;
    dns_reply_init_rcode(&reply, &q->request.message, stub->rcode);
    q->plugin = self->name;
    query_write(q, &reply);
    return DNS_RCODE_NOERROR;
}

static void stub_destroy(struct handler *self)
{
    free(self);
}

/* The instance of TEXT with a stub after the first block's handlers, behind a listener. */
struct chain {
    struct instance *instance;
    struct listener listener;
    struct stub *stub;
};

static void chain_open(struct chain *c, const char *text)
{
    size_t count;
    struct instance *inst = fixture_load(&fixture, text, NULL);
    if (inst == NULL)
        fail_msg("%s", strbuf_str(&fixture.error));
    struct site *const *sites = instance_sites(inst, &count);
    struct stub *stub = calloc(1, sizeof(*stub));
    assert_non_null(stub);
    *stub = (struct stub){.base = {.name = "stub", .serve = stub_serve, .destroy = stub_destroy},
                          .writes = true};
    struct setup s = {.instance = inst, .site = sites[0]};
    assert_int_equal(setup_take_handler(&s, &stub->base), OK);
    sites[0]->handlers[0]->next = &stub->base;
    *c = (struct chain){
        .instance = inst, .stub = stub, .listener = {.address = "dns://:53", .site_count = count}};
    c->listener.sites = arena_array(instance_arena(inst), count, sizeof(struct site *));
    assert_non_null(c->listener.sites);
    memcpy(c->listener.sites, sites, count * sizeof(struct site *));
    assert_int_equal(listener_index(&c->listener, instance_arena(inst)), OK);
}

struct question {
    const char *name;
    uint16_t type;
    enum query_proto proto;
    bool is_v6, has_do;
    uint16_t class_number; /* 0: IN */
};

static size_t put_u16(uint8_t *out, size_t at, unsigned value)
{
    out[at] = (uint8_t)(value >> 8);
    out[at + 1] = (uint8_t)value;
    return at + 2;
}

static void ask(const struct chain *c, struct question a)
{
    uint8_t data[300] = {0}, out[512];
    struct dns_name_buf name;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_int_equal(dns_name_from_text(&name, a.name, strlen(a.name)), OK);
    (void)put_u16(data, 4, 1);
    memcpy(data + DNS_HEADER_SIZE, name.wire, name.size);
    size_t size = put_u16(data, DNS_HEADER_SIZE + name.size, a.type);
    size = put_u16(data, size, a.class_number != 0 ? a.class_number : DNS_CLASS_IN);
    if (a.has_do) {
        (void)put_u16(data, 10, 1);
        size = put_u16(data, size + 1, DNS_TYPE_OPT);
        size = put_u16(data, size, 1232);
        size = put_u16(data, size + 2, DNS_EDNS_DO) + 2;
    }
    struct query q = {.proto = a.proto,
                      .listener = &c->listener,
                      .remote = {.addr = {.family = a.is_v6 ? IP_V6 : IP_V4}, .port = 1},
                      .arena = &arena,
                      .out = out,
                      .out_capacity = sizeof(out)};
    rcu_read_lock();
    server_answer(&q, data, size);
    rcu_read_unlock();
    arena_fini(&arena);
}

static void assert_exposed(const char *line)
{
    struct strbuf text = STRBUF_EMPTY, with_end = STRBUF_EMPTY;
    metrics_expose(fixture.dnsd.metrics, &text);
    strbuf_add_format(&with_end, "%s\n", line);
    if (strstr(strbuf_str(&text), strbuf_str(&with_end)) == NULL)
        fail_msg("not exposed: %s", line);
    strbuf_fini(&text);
    strbuf_fini(&with_end);
}

static void assert_not_exposed(const char *part)
{
    struct strbuf text = STRBUF_EMPTY;
    metrics_expose(fixture.dnsd.metrics, &text);
    if (strstr(strbuf_str(&text), part) != NULL)
        fail_msg("exposed: %s", part);
    strbuf_fini(&text);
}

/* --- what is counted ---------------------------------------------------------------------------
 */

static void requests_are_counted_by_protocol_family_and_type(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, "prometheus");
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_SRV, .is_v6 = true});
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_AXFR, .proto = QUERY_TCP});
    assert_exposed("coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\","
                   "type=\"A\",view=\"\",zone=\".\"} 2");
    assert_exposed("coredns_dns_requests_total{family=\"2\",proto=\"udp\",server=\"dns://:53\","
                   "type=\"SRV\",view=\"\",zone=\".\"} 1");
    assert_exposed("coredns_dns_requests_total{family=\"1\",proto=\"tcp\",server=\"dns://:53\","
                   "type=\"AXFR\",view=\"\",zone=\".\"} 1");
    instance_destroy(c.instance);
}

static void types_that_are_not_monitored_are_other(void **state)
{
    (void)state;
    static const uint16_t others[] = {0, 13, 41, 64, 99, 249, 256, 999, 65535};
    struct chain c;
    chain_open(&c, "prometheus");
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        ask(&c, (struct question){.name = "a.", .type = others[i]});
    assert_exposed("coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\","
                   "type=\"other\",view=\"\",zone=\".\"} 9");
    instance_destroy(c.instance);
}

static void the_monitored_types_are_coredns_s(void **state)
{
    (void)state;
    static const char *const types[] = {"A",     "AAAA", "ANY",   "AXFR", "CNAME", "DNSKEY",
                                        "DS",    "IXFR", "MX",    "NS",   "NSEC",  "NSEC3",
                                        "HTTPS", "PTR",  "RRSIG", "SOA",  "SRV",   "TXT"};
    struct chain c;
    chain_open(&c, "prometheus");
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        char line[160];
        uint16_t type;
        assert_int_equal(dns_type_from_text(&type, types[i], strlen(types[i])), OK);
        ask(&c, (struct question){.name = "a.", .type = type});
        snprintf(line, sizeof(line),
                 "coredns_dns_requests_total{family=\"1\",proto=\"udp\",server=\"dns://:53\","
                 "type=\"%s\",view=\"\",zone=\".\"} 1",
                 types[i]);
        assert_exposed(line);
    }
    instance_destroy(c.instance);
}

static void sizes_and_durations_fill_coredns_s_buckets(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, "prometheus");
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A, .has_do = true});
#define SIZE_LABELS "{proto=\"udp\",server=\"dns://:53\",view=\"\",zone=\".\""
    assert_exposed("coredns_dns_request_size_bytes_sum" SIZE_LABELS "} 49");
    assert_exposed("coredns_dns_response_size_bytes_sum" SIZE_LABELS "} 38");
    assert_exposed("coredns_dns_request_size_bytes_bucket" SIZE_LABELS ",le=\"0\"} 0");
    assert_exposed("coredns_dns_request_size_bytes_bucket" SIZE_LABELS ",le=\"8291\"} 2");
    assert_exposed("coredns_dns_response_size_bytes_bucket" SIZE_LABELS ",le=\"64000\"} 2");
    assert_exposed("coredns_dns_do_requests_total{server=\"dns://:53\",view=\"\",zone=\".\"} 1");
    assert_exposed("coredns_dns_request_duration_seconds_count{server=\"dns://:53\",view=\"\","
                   "zone=\".\"} 2");
    assert_exposed("coredns_dns_request_duration_seconds_bucket{server=\"dns://:53\",view=\"\","
                   "zone=\".\",le=\"8.192\"} 2");
    instance_destroy(c.instance);
}

static void responses_are_counted_by_rcode_and_by_who_wrote_them(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, "prometheus");
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    c.stub->rcode = DNS_RCODE_NXDOMAIN;
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    /* nothing written: the server's own reply, of no plugin and no size */
    c.stub->writes = false;
    c.stub->rcode = DNS_RCODE_SERVFAIL;
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
#define END ",server=\"dns://:53\",view=\"\",zone=\".\"} "
    assert_exposed("coredns_dns_responses_total{plugin=\"stub\",rcode=\"NOERROR\"" END "1");
    assert_exposed("coredns_dns_responses_total{plugin=\"stub\",rcode=\"NXDOMAIN\"" END "2");
    assert_exposed("coredns_dns_responses_total{plugin=\"\",rcode=\"SERVFAIL\"" END "1");
    assert_exposed("coredns_dns_response_size_bytes_bucket{proto=\"udp\",server=\"dns://:53\","
                   "view=\"\",zone=\".\",le=\"0\"} 1");
    instance_destroy(c.instance);
}

static void the_zone_is_the_longest_of_the_block(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, ". Example.org b.example.org 10.0.0.0/23 {\nprometheus\n}");
    ask(&c, (struct question){.name = "c.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.B.example.org.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.example.org.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "7.1.0.10.in-addr.arpa.", .type = DNS_TYPE_PTR});
#define COUNT "coredns_dns_request_duration_seconds_count{server=\"dns://:53\",view=\"\",zone=\""
    assert_exposed(COUNT ".\"} 1");
    assert_exposed(COUNT "b.example.org.\"} 1");
    assert_exposed(COUNT "example.org.\"} 1"); /* metrics normalise the zone, routing does not */
    assert_exposed(COUNT "1.0.10.in-addr.arpa.\"} 1");
    instance_destroy(c.instance);
}

static void servers_are_told_apart(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, "prometheus");
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    c.listener.address = "dns://127.0.0.1:53";
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A});
    assert_exposed(COUNT ".\"} 1");
    assert_exposed("coredns_dns_request_duration_seconds_count{server=\"dns://127.0.0.1:53\","
                   "view=\"\",zone=\".\"} 1");
    instance_destroy(c.instance);
}

static void queries_that_no_block_takes_are_dropped(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, ". a {\nprometheus\n}");
    c.listener.sites[0] = c.listener.sites[1]; /* zone a. alone */
    c.listener.site_count = 1;
    assert_int_equal(listener_index(&c.listener, instance_arena(c.instance)), OK);
    ask(&c, (struct question){.name = "b.", .type = DNS_TYPE_A});
    ask(&c, (struct question){.name = "a.", .type = DNS_TYPE_A, .class_number = DNS_CLASS_CH});
    assert_exposed("coredns_dns_responses_total{plugin=\"\",rcode=\"REFUSED\","
                   "server=\"dns://:53\",view=\"\",zone=\"dropped\"} 2");
    assert_exposed("coredns_dns_response_size_bytes_sum{proto=\"udp\",server=\"dns://:53\","
                   "view=\"\",zone=\"dropped\"} 38");
    instance_destroy(c.instance);
}

static void without_the_directive_nothing_is_counted(void **state)
{
    (void)state;
    struct chain c;
    chain_open(&c, ". a {\nwhoami\n}");
    c.listener.sites[0] = c.listener.sites[1];
    c.listener.site_count = 1;
    assert_int_equal(listener_index(&c.listener, instance_arena(c.instance)), OK);
    ask(&c, (struct question){.name = "b.", .type = DNS_TYPE_A});
    assert_not_exposed("coredns_dns");
    instance_destroy(c.instance);
}

enum {
    RACERS = 4,
    RACER_QUERIES = 500
};

static void *race(void *context)
{
    rcu_register_thread();
    for (int i = 0; i < RACER_QUERIES; i++)
        ask(context, (struct question){.name = i % 2 == 0 ? "a." : "b.",
                                       .type = (uint16_t)(i % 40),
                                       .proto = i % 3 == 0 ? QUERY_TCP : QUERY_UDP});
    rcu_unregister_thread();
    return NULL;
}

static void workers_that_race_for_a_series_lose_no_count(void **state)
{
    (void)state;
    struct chain c;
    pthread_t threads[RACERS];
    chain_open(&c, ". a {\nprometheus\n}");
    for (size_t i = 0; i < RACERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race, &c), 0);
    for (size_t i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    assert_exposed("coredns_dns_responses_total{plugin=\"stub\",rcode=\"NOERROR\","
                   "server=\"dns://:53\",view=\"\",zone=\"a.\"} 1000");
    assert_exposed(COUNT ".\"} 1000");
    assert_exposed("coredns_dns_requests_total{family=\"1\",proto=\"tcp\",server=\"dns://:53\","
                   "type=\"SRV\",view=\"\",zone=\".\"} 16");
    instance_destroy(c.instance);
}

/* --- exposition --------------------------------------------------------------------------------
 */

static void metrics_are_exposed_in_prometheus_s_text_format(void **state)
{
    (void)state;
    char text[128];
    uint16_t port = free_port();
    snprintf(text, sizeof(text), NOWHERE "prometheus 127.0.0.1:%u", port);
    struct instance *inst = fixture_start(&fixture, text, NULL);
    char *reply = http_request(port, "GET", "/metrics");
    assert_int_equal(http_status(reply), 200);
    assert_non_null(strstr(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    static const char *const lines[] = {
        "\ncoredns_build_info{goversion=\"\",revision=\"\",version=\"" WARREN_VERSION "\"} 1\n",
        "\ncoredns_panics_total 0\n",
        "\ncoredns_health_request_failures_total 0\n",
        "\ncoredns_health_request_duration_seconds_bucket{le=\"2.5\"} 0\n",
        "\ncoredns_reload_failed_total 0\n",
        "\nprocess_cpu_seconds_total ",
        "\nprocess_open_fds ",
        "\nprocess_max_fds ",
        "\nprocess_resident_memory_bytes ",
        "\nprocess_virtual_memory_bytes ",
        "\nprocess_virtual_memory_max_bytes ",
        "\nprocess_start_time_seconds ",
    };
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++)
        assert_non_null(strstr(http_body(reply), lines[i]));
    free(reply);
    fixture_end(inst, false);
    assert_int_equal(http_connect(port), -1);
}

/* Sets where the first site listens, which at this point only the labels see. */
static void set_host(struct instance *inst, const char **hosts)
{
    size_t count;
    struct site *site = instance_sites(inst, &count)[0];
    site->listen_hosts = hosts;
    site->listen_host_count = 1;
}

static void plugins_are_enabled_per_address_for_the_block_s_first_zone(void **state)
{
    (void)state;
    static const char *hosts[] = {"::1"};
    char text[160];
    uint16_t port = free_port();
    snprintf(text, sizeof(text), ". a:1053 b {\n" NOWHERE "prometheus 127.0.0.1:%u\nwhoami\n}",
             port);
    struct instance *inst = fixture_load(&fixture, text, NULL);
    set_host(inst, hosts);
    assert_int_equal(instance_start(inst, &fixture.error), OK);
    assert_exposed("coredns_plugin_enabled{name=\"prometheus\",server=\"dns://[::1]:53\","
                   "view=\"\",zone=\".\"} 1");
    assert_exposed("coredns_plugin_enabled{name=\"whoami\",server=\"dns://[::1]:53\",view=\"\","
                   "zone=\".\"} 1");
    assert_not_exposed("zone=\"a.\"");
    fixture_end(inst, false);
}

static void a_reload_relabels_plugins_and_a_failed_one_puts_them_back(void **state)
{
    (void)state;
    static const char *first[] = {"::1"}, *second[] = {"::2"};
    char text[160];
    snprintf(text, sizeof(text), NOWHERE "prometheus 127.0.0.1:%u", free_port());
    struct instance *old = fixture_load(&fixture, text, NULL);
    set_host(old, first);
    assert_int_equal(instance_start(old, &fixture.error), OK);
    struct instance *new = fixture_load(&fixture, text, old);
    set_host(new, second);
    assert_int_equal(instance_start(new, &fixture.error), OK);
    assert_not_exposed("dns://[::1]:53");
    assert_exposed("coredns_plugin_enabled{name=\"prometheus\",server=\"dns://[::2]:53\","
                   "view=\"\",zone=\".\"} 1");
    instance_destroy(new); /* never stopped: what follows the hooks of its start failed */
    assert_not_exposed("dns://[::2]:53");
    assert_exposed("coredns_plugin_enabled{name=\"prometheus\",server=\"dns://[::1]:53\","
                   "view=\"\",zone=\".\"} 1");
    fixture_end(old, false);
}

static void an_address_in_use_does_not_stop_the_start(void **state)
{
    (void)state;
    char text[128];
    uint16_t port;
    int fd = busy_port(&port);
    snprintf(text, sizeof(text), NOWHERE "prometheus 127.0.0.1:%u", port);
    fixture_end(fixture_start(&fixture, text, NULL), false);
    close(fd);
}

static void mistakes_have_coredns_s_messages(void **state)
{
    (void)state;
    static const char once[] =
        "plugin/prometheus: this plugin can only be used once per Server Block";
    assert_string_equal(fixture_setup_error(&fixture, "prometheus\nprometheus"), once);
    assert_string_equal(fixture_setup_error(&fixture, "prometheus {\n}"), once);
    assert_string_equal(fixture_setup_error(&fixture, "prometheus a"),
                        "plugin/prometheus: address a: missing port in address");
    assert_string_equal(fixture_setup_error(&fixture, "prometheus a:1 b"),
                        "plugin/prometheus: Corefile:2 - Error during parsing: Wrong argument "
                        "count or unexpected line ending after 'b'");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_fixture, end_fixture)
    const struct CMUnitTest tests[] = {
        TEST(requests_are_counted_by_protocol_family_and_type),
        TEST(types_that_are_not_monitored_are_other),
        TEST(the_monitored_types_are_coredns_s),
        TEST(sizes_and_durations_fill_coredns_s_buckets),
        TEST(responses_are_counted_by_rcode_and_by_who_wrote_them),
        TEST(the_zone_is_the_longest_of_the_block),
        TEST(servers_are_told_apart),
        TEST(queries_that_no_block_takes_are_dropped),
        TEST(without_the_directive_nothing_is_counted),
        TEST(workers_that_race_for_a_series_lose_no_count),
        TEST(metrics_are_exposed_in_prometheus_s_text_format),
        TEST(plugins_are_enabled_per_address_for_the_block_s_first_zone),
        TEST(a_reload_relabels_plugins_and_a_failed_one_puts_them_back),
        TEST(an_address_in_use_does_not_stop_the_start),
        TEST(mistakes_have_coredns_s_messages),
    };
    rcu_register_thread();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rcu_unregister_thread();
    return failed;
}
