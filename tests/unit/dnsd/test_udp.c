/* UDP workers with real sockets. */
#include "tests/unit/dnsd/served.h"

#include "dnsd/udp.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The next so many threads cannot be made (the linker sends pthread_create here). */
static atomic_int failing;
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *context);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
                          void *context)
{
    if (atomic_load(&failing) > 0 && atomic_fetch_sub(&failing, 1) > 0)
        return EAGAIN;
    return __real_pthread_create(thread, attr, run, context);
}

static uint8_t reply[DNS_MAX_MESSAGE_SIZE];

/* A socket that takes datagrams from this address alone. */
static int udp_connect(const char *host, uint32_t scope, uint16_t port)
{
    struct sockaddr_storage sa;
    struct ip_endpoint to = {.port = port};
    assert_int_equal(ip_addr_parse(&to.addr, host, strlen(host)), OK);
    socklen_t size = ip_endpoint_to_sockaddr(&to, &sa);
    if (scope != 0)
        ((struct sockaddr_in6 *)(void *)&sa)->sin6_scope_id = scope;
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&sa, size) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static void udp_ask(int fd, uint16_t id, const char *name, uint16_t type, uint16_t udp_size)
{
    uint8_t data[512];
    size_t size = query_make(data, id, name, type, udp_size);
    assert_int_equal(send(fd, data, size, 0), (ssize_t)size);
}

/* The size of the reply with this ID; 0 if none came. */
static size_t udp_read(int fd, uint16_t id, int wait_ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, wait_ms) != 1)
        return 0;
    ssize_t size = recv(fd, reply, sizeof(reply), 0);
    if (size < DNS_HEADER_SIZE)
        return 0;
    assert_int_equal(reply[0] << 8 | reply[1], id);
    return (size_t)size;
}

static bool is_answered(const char *host, uint32_t scope, uint16_t port)
{
    int fd = udp_connect(host, scope, port);
    if (fd < 0)
        return false;
    udp_ask(fd, 77, "a.example.", DNS_TYPE_A, 0);
    size_t size = udp_read(fd, 77, SERVED_WAIT_MS);
    close(fd);
    return size > 0;
}

static bool has_ipv6(void)
{
    int fd = udp_connect("::1", 0, 9);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

#define ANYWHERE ".:%u {\nwhoami\n}\n"
#define LOOPBACK ".:%u {\nbind 127.0.0.1\nwhoami\n}\n"

/* --- addresses ------------------------------------------------------------------------------- */

static void a_reply_leaves_from_the_address_that_was_asked(void **state)
{
    (void)state;
    struct served *s = served_start(ANYWHERE, 2);
    uint16_t port = served_port(s, 0);
    assert_true(is_answered("127.0.0.1", 0, port));
    assert_true(is_answered("127.0.0.2", 0, port));
    assert_true(is_answered("127.255.3.4", 0, port));
    if (has_ipv6())
        assert_true(is_answered("::1", 0, port));
    served_free(s);
}

/* whoami shows the client as the handlers see it. */
static void a_client_over_ipv4_is_ipv4_on_the_wildcard_socket_too(void **state)
{
    (void)state;
    struct served *s = served_start(ANYWHERE, 1);
    int fd = udp_connect("127.0.0.1", 0, served_port(s, 0));
    udp_ask(fd, 1, "a.example.", DNS_TYPE_A, 0);
    size_t size = udp_read(fd, 1, SERVED_WAIT_MS);
    static const uint8_t record[] = {0, DNS_TYPE_A, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1};
    assert_non_null(memmem(reply, size, record, sizeof(record)));
    close(fd);
    served_free(s);
}

static void a_link_local_address_is_answered(void **state)
{
    (void)state;
    struct ifaddrs *list, *at;
    assert_int_equal(getifaddrs(&list), 0);
    char host[IP_ADDR_TEXT_SIZE] = "";
    uint32_t scope = 0;
    for (at = list; at != NULL && scope == 0; at = at->ifa_next) {
        struct sockaddr_in6 *sa = (struct sockaddr_in6 *)(void *)at->ifa_addr;
        struct ip_endpoint endpoint;
        if (sa == NULL || sa->sin6_family != AF_INET6 || !IN6_IS_ADDR_LINKLOCAL(&sa->sin6_addr) ||
            ip_endpoint_from_sockaddr(&endpoint, at->ifa_addr, sizeof(*sa)) != OK)
            continue;
        scope = if_nametoindex(at->ifa_name);
        ip_addr_format(&endpoint.addr, host);
    }
    freeifaddrs(list);
    if (scope == 0)
        skip(); /* this host has no link-local address */
    struct served *s = served_start(ANYWHERE, 1);
    assert_true(is_answered(host, scope, served_port(s, 0)));
    served_free(s);
}

/* --- datagrams ------------------------------------------------------------------------------- */

static void a_request_beyond_512_octets_is_cut_and_formerr(void **state)
{
    (void)state;
    struct served *s = served_start(LOOPBACK, 1);
    int fd = udp_connect("127.0.0.1", 0, served_port(s, 0));
    /* A question, and an OPT whose padding lies beyond. */
    uint8_t data[600] = {0};
    size_t size = query_make(data, 5, "a.example.", DNS_TYPE_A, 1232);
    data[size - 1] = (uint8_t)(600 - size);
    data[size - 2] = (uint8_t)((600 - size) >> 8);
    data[size + 1] = 12; /* PADDING */
    data[size + 2] = (uint8_t)((600 - size - 4) >> 8);
    data[size + 3] = (uint8_t)(600 - size - 4);
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    assert_true(udp_read(fd, 5, SERVED_WAIT_MS) > 0);
    assert_int_equal(reply[3] & 15, DNS_RCODE_FORMERR);
    close(fd);
    served_free(s);
}

static void an_empty_datagram_gets_no_reply_and_hurts_nobody(void **state)
{
    (void)state;
    struct served *s = served_start(LOOPBACK, 1);
    int fd = udp_connect("127.0.0.1", 0, served_port(s, 0));
    assert_int_equal(send(fd, "", 0, 0), 0);
    assert_int_equal(send(fd, "x", 1, 0), 1);
    udp_ask(fd, 6, "a.example.", DNS_TYPE_A, 0);
    assert_true(udp_read(fd, 6, SERVED_WAIT_MS) > 0);
    assert_int_equal(udp_read(fd, 0, 50), 0);
    close(fd);
    served_free(s);
}

/* A full batch of the largest replies takes 16 times the worker's buffer. */
static void a_batch_of_the_largest_replies_is_answered_whole(void **state)
{
    (void)state;
    enum {
        CLIENTS = UDP_BATCH + 6
    };
    fake_device(850);
    struct served *s = served_start(".:%u {\nbind 127.0.0.1\nwgsd example. wg9\n}\n", 1);
    int fds[CLIENTS]; /* a socket each, for the kernel holds few such replies per socket */
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = udp_connect("127.0.0.1", 0, served_port(s, 0));
        assert_true(fds[i] >= 0);
    }
    for (uint16_t i = 0; i < CLIENTS; i++)
        udp_ask(fds[i], i, "_wireguard._udp.example.", DNS_TYPE_PTR, 65535);
    for (uint16_t i = 0; i < CLIENTS; i++) {
        assert_in_range(udp_read(fds[i], i, SERVED_WAIT_MS), 50000, 65507);
        assert_int_equal(reply[6] << 8 | reply[7], 850); /* answers */
        assert_int_equal(reply[2] & 2, 0);               /* not truncated */
        close(fds[i]);
    }
    served_free(s);
    fake_device(0);
}

/* A reply that no datagram can carry fails to be sent, and the rest of its batch goes on. */
static void a_reply_too_large_for_a_datagram_does_not_stop_the_others(void **state)
{
    (void)state;
    fake_device(922);
    struct served *s = served_start(".:%u {\nbind 127.0.0.1\nwgsd example. wg9\n}\n", 1);
    int fd = udp_connect("127.0.0.1", 0, served_port(s, 0));
    for (uint16_t i = 0; i < 10; i++)
        udp_ask(fd, i, "_wireguard._udp.example.", DNS_TYPE_PTR, 65535);
    udp_ask(fd, 99, "a.example.", DNS_TYPE_A, 0);
    assert_true(udp_read(fd, 99, SERVED_WAIT_MS) > 0);
    close(fd);
    served_free(s);
    fake_device(0);
}

/* --- life ------------------------------------------------------------------------------------ */

struct flood {
    uint16_t port;
    atomic_bool is_over;
};

static void *flood(void *context)
{
    struct flood *f = context;
    int fd = udp_connect("127.0.0.1", 0, f->port);
    uint8_t data[512];
    size_t size = query_make(data, 1, "a.example.", DNS_TYPE_A, 0);
    while (!atomic_load(&f->is_over)) {
        for (int i = 0; i < 50; i++)
            (void)send(fd, data, size, 0); /* refused once the server is gone */
        while (recv(fd, reply, sizeof(reply), MSG_DONTWAIT) > 0)
            ;
    }
    close(fd);
    return NULL;
}

static void a_stop_under_load_ends(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct served *s = served_start(LOOPBACK, 3);
        struct flood f = {.port = served_port(s, 0)};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, flood, &f), 0);
        sleep_ms(50);
        int64_t began = now_ms();
        served_stop(s);
        assert_in_range(now_ms() - began, 0, 2000);
        atomic_store(&f.is_over, true);
        pthread_join(thread, NULL);
        served_free(s);
    }
}

static void reloads_under_load_lose_no_query(void **state)
{
    (void)state;
    struct served *s = served_start(LOOPBACK, 2);
    int fd = udp_connect("127.0.0.1", 0, served_port(s, 0));
    for (uint16_t i = 0; i < 30; i++) {
        for (uint16_t k = 0; k < 20; k++)
            udp_ask(fd, (uint16_t)(i * 20 + k), "a.example.", DNS_TYPE_A, 0);
        assert_string_equal(served_reload(s, LOOPBACK), "");
        for (int k = 0; k < 20; k++) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            assert_int_equal(poll(&p, 1, SERVED_WAIT_MS), 1);
            assert_true(recv(fd, reply, sizeof(reply), 0) > 0);
        }
    }
    close(fd);
    served_free(s);
}

/* --- failures -------------------------------------------------------------------------------- */

static struct ip_endpoint loopback(uint16_t port)
{
    return (struct ip_endpoint){.addr = {.family = IP_V4, .bytes = {127, 0, 0, 1}}, .port = port};
}

static void a_port_that_somebody_else_has_is_an_error(void **state)
{
    (void)state;
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sa);
    int holder = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error_number = 0;
    assert_int_equal(bind(holder, (struct sockaddr *)&sa, size), 0);
    assert_int_equal(getsockname(holder, (struct sockaddr *)&sa, &size), 0);
    struct ip_endpoint at = loopback(ntohs(sa.sin_port));
    struct udp_worker *w = NULL;
    assert_int_equal(udp_worker_open(&w, &at, &error_number), ERR_ADDRESS_IN_USE);
    assert_int_equal(error_number, EADDRINUSE);
    assert_null(w);
    close(holder);
}

static void without_descriptors_opening_is_an_error(void **state)
{
    (void)state;
    struct rlimit files, few;
    struct ip_endpoint at = loopback(5399);
    struct udp_worker *w = NULL;
    int error_number = 0;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    few = (struct rlimit){.rlim_cur = 0, .rlim_max = files.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    enum err e = udp_worker_open(&w, &at, &error_number);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_not_equal(e, OK);
    assert_int_equal(error_number, EMFILE);
}

static void without_a_thread_starting_is_an_error_and_the_worker_can_be_destroyed(void **state)
{
    (void)state;
    struct ip_endpoint at = loopback(0);
    struct udp_worker *w;
    int error_number;
    const struct listener *listener = NULL;
    assert_int_equal(udp_worker_open(&w, &at, &error_number), OK);
    atomic_store(&failing, 1);
    assert_int_equal(udp_worker_start(w, &listener), ERR_LIMIT);
    udp_worker_destroy(w);
}

static void a_reload_that_gets_no_thread_leaves_the_old_one_serving(void **state)
{
    (void)state;
    struct served *s = served_start(LOOPBACK, 2);
    atomic_store(&failing, 1);
    const char *error = served_reload(s, LOOPBACK "other:%u {\nbind 127.0.0.1\nwhoami\n}\n");
    assert_string_not_equal(error, "");
    assert_true(is_answered("127.0.0.1", 0, served_port(s, 0)));
    assert_int_equal(client_connect(served_port(s, 1)), -1);
    assert_string_equal(served_reload(s, LOOPBACK "other:%u {\nbind 127.0.0.1\nwhoami\n}\n"), "");
    assert_true(is_answered("127.0.0.1", 0, served_port(s, 1)));
    served_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_leaves_from_the_address_that_was_asked),
        cmocka_unit_test(a_client_over_ipv4_is_ipv4_on_the_wildcard_socket_too),
        cmocka_unit_test(a_link_local_address_is_answered),
        cmocka_unit_test(a_request_beyond_512_octets_is_cut_and_formerr),
        cmocka_unit_test(an_empty_datagram_gets_no_reply_and_hurts_nobody),
        cmocka_unit_test(a_batch_of_the_largest_replies_is_answered_whole),
        cmocka_unit_test(a_reply_too_large_for_a_datagram_does_not_stop_the_others),
        cmocka_unit_test(a_stop_under_load_ends),
        cmocka_unit_test(reloads_under_load_lose_no_query),
        cmocka_unit_test(a_port_that_somebody_else_has_is_an_error),
        cmocka_unit_test(without_descriptors_opening_is_an_error),
        cmocka_unit_test(without_a_thread_starting_is_an_error_and_the_worker_can_be_destroyed),
        cmocka_unit_test(a_reload_that_gets_no_thread_leaves_the_old_one_serving),
    };
    return cmocka_run_group_tests_name("udp", tests, NULL, NULL);
}
