/* Any request through the whole query path: a Corefile with every directive that touches a query, a
 * WireGuard device behind it, and the bytes of the input as UDP and TCP requests.
 *
 * Input: one octet of choices (protocol, client family, block), then the request. Checked beside
 * what the sanitizers see: a reply has the request's id and QR, fits what the client can take, and
 * can be read by the DNS reader's own name decoder up to its question. */
#include "base/cursor.h"
#include "base/dns_message.h"
#include "base/log.h"
#include "base/metrics.h"
#include "dnsd/instance.h"
#include "dnsd/rcu.h"
#include "dnsd/server.h"
#include "tests/support/fake_uapi.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char corefile[] = "example.com:53 example.org:53 {\n"
                               "    errors\n"
                               "    log\n"
                               "    prometheus\n"
                               "    acl {\n"
                               "        drop type DS\n"
                               "        filter type MX net 192.0.2.0/24 2001:db8::/32\n"
                               "        block net 198.51.100.0/24\n"
                               "    }\n"
                               "    any\n"
                               "    chaos Warren-1 somebody\n"
                               "    loadbalance\n"
                               "    cache 30\n"
                               "    minimal\n"
                               "    nsid fuzz\n"
                               "    bufsize 1232\n"
                               "    wgsd example.com fuzz0 {\n"
                               "        self\n"
                               "    }\n"
                               "    wgsd sub.example.com fuzz1\n"
                               "    whoami\n"
                               "}\n"
                               ".:53 {\n"
                               "    wgsd . fuzz0 {\n"
                               "        self 192.0.2.1:51820 10.0.0.0/8\n"
                               "    }\n"
                               "}\n";

enum {
    DEVICE_PEERS = 300,
    CHOICE_TCP = 1,
    CHOICE_V6 = 2,
    CHOICE_BLOCKED = 4,
};

static struct dnsd dnsd;
static struct instance *instance;
static struct listener listener;
static struct fake_uapi *device;
static struct arena arena;
static uint8_t out[DNS_MAX_MESSAGE_SIZE];

static void require(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz_query: %s\n", what);
    abort();
}

static void finish(void)
{
    instance_stop(instance, false);
    instance_destroy(instance);
    fake_uapi_destroy(device);
    metrics_destroy(dnsd.metrics);
    arena_fini(&arena);
}

/* The lines of `log` go nowhere: standard output is the fuzzer's. */
static void silence_output(void)
{
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    require(null >= 0 && dup2(null, STDOUT_FILENO) >= 0, "cannot silence the log");
    close(null);
}

static void start(void)
{
    char directory[] = "/tmp/warren-fuzz.XXXXXX";
    require(mkdtemp(directory) != NULL, "no folder for the device");
    require(setenv("WARREN_WG_SOCKET_DIR", directory, 1) == 0, "no environment");
    require(fake_uapi_create(&device, directory, "fuzz0") == OK, "no device");
    size_t size;
    char *peers = fake_uapi_make_peers(DEVICE_PEERS, 2, &size);
    require(peers != NULL && fake_uapi_set_state(device, peers, size) == OK, "no peers");
    free(peers);

    rcu_register_thread();
    arena_init(&arena, SERVER_QUERY_ARENA_LIMIT);
    require(metrics_create(&dnsd.metrics) == OK, "no metrics");
    dnsd.default_port = "53";
    struct strbuf error = STRBUF_EMPTY;
    enum err e =
        instance_load(&instance, &dnsd, "Corefile", corefile, strlen(corefile), NULL, &error);
    require(e == OK, strbuf_str(&error));
    strbuf_fini(&error);
    size_t count;
    struct site *const *sites = instance_sites(instance, &count);
    listener = (struct listener){.address = "dns://:53", .serves_chaos = true, .site_count = count};
    listener.sites = arena_array(instance_arena(instance), count, sizeof(struct site *));
    require(listener.sites != NULL, "no memory");
    memcpy(listener.sites, sites, count * sizeof(struct site *));
    require(listener_index(&listener, instance_arena(instance)) == OK, "no index");
    (void)rmdir(directory); /* once the socket is gone; until then it fails */
    atexit(finish);
}

static size_t reply_limit(const struct query *q)
{
    const struct dns_edns *edns = q->request.message.edns;
    if (q->proto == QUERY_TCP)
        return DNS_MAX_MESSAGE_SIZE;
    return edns != NULL && edns->udp_size > DNS_MIN_UDP_SIZE ? edns->udp_size : DNS_MIN_UDP_SIZE;
}

static void check_reply(const struct query *q, const uint8_t *request)
{
    struct reader r = reader_of(q->out, q->out_size);
    require(q->out_size >= DNS_HEADER_SIZE, "a reply without a header");
    require(memcmp(q->out, request, 2) == 0, "another id");
    require((q->out[2] & 0x80) != 0, "QR is not set");
    require(q->out_size <= reply_limit(q), "more than the client can take");
    (void)read_bytes(&r, 4);
    if (read_u16(&r) == 0)
        return;
    (void)read_bytes(&r, 6);
    struct dns_name_buf name;
    require(dns_name_read(&name, &r) == OK, "an unreadable question");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (instance == NULL) {
        if (getenv("FUZZ_QUERY_LOG") == NULL)
            silence_output();
        start();
    }
    if (size < 1)
        return 0;
    uint8_t choices = data[0];
    struct query q = {
        .proto = (choices & CHOICE_TCP) != 0 ? QUERY_TCP : QUERY_UDP,
        .listener = &listener,
        .arena = &arena,
        .out = out,
        .out_capacity = sizeof(out),
        .remote = {.addr = {.family = IP_V4, .bytes = {192, 0, 2, 7}}, .port = 40000},
        .local = {.addr = {.family = IP_V4, .bytes = {127, 0, 0, 1}}, .port = 53},
    };
    if ((choices & CHOICE_BLOCKED) != 0)
        q.remote.addr.bytes[0] = 198;
    if ((choices & CHOICE_V6) != 0)
        q.remote.addr = q.local.addr = (struct ip_addr){.family = IP_V6, .bytes = {[15] = 1}};
    rcu_read_lock();
    server_answer(&q, data + 1, size - 1);
    rcu_read_unlock();
    if (q.out_size > 0)
        check_reply(&q, data + 1);
    arena_reset(&arena);
    return 0;
}
