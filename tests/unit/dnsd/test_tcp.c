/* DNS over TCP against a real loop and real sockets (RFC 7766; time-outs as CoreDNS's). */
#include "tests/unit/dnsd/served.h"

#include "dnsd/tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* The next so many allocations of this program fail (the linker sends calloc here). */
static atomic_int failing;
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size)
{
    if (atomic_load(&failing) > 0 && atomic_fetch_sub(&failing, 1) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    return __real_calloc(count, size);
}

#define SMALL ".:%u {\nbind 127.0.0.1\nwhoami\n}\n"
/* With 900 peers an answer has nearly 64 KiB. */
#define LARGE      ".:%u {\nbind 127.0.0.1\nwgsd example. wg9\n}\n"
#define LARGE_NAME "_wireguard._udp.example."
enum {
    LARGE_PEERS = 900
};

static uint8_t reply[DNS_MAX_MESSAGE_SIZE];

static void ask(int fd, uint16_t id)
{
    uint8_t frame[514];
    client_send(fd, frame, frame_make(frame, id, "a.example.", DNS_TYPE_A));
}

static void exchange(int fd, uint16_t id)
{
    ask(fd, id);
    client_expect(fd, id);
}

/* --- frames ---------------------------------------------------------------------------------- */

static void several_queries_one_after_the_other(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    for (uint16_t id = 0; id < 10; id++)
        exchange(fd, id);
    close(fd);
    served_free(s);
}

/* The bug: a connection was closed once a frame had come in more than one piece, because reading
 * was started while it was on already. */
static void a_frame_split_at_any_byte_is_answered_and_the_connection_stays(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    uint8_t frame[514];
    size_t size = frame_make(frame, 7, "a.example.", DNS_TYPE_A);
    for (size_t cut = 1; cut < size; cut++) {
        client_send(fd, frame, cut);
        sleep_ms(2);
        client_send(fd, frame + cut, size - cut);
        client_expect(fd, 7);
    }
    for (size_t i = 0; i < size; i++) {
        client_send(fd, frame + i, 1);
        sleep_ms(2);
    }
    client_expect(fd, 7);
    exchange(fd, 8);
    close(fd);
    served_free(s);
}

static void queries_in_one_write_are_answered_in_order(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    uint8_t data[100 * 64];
    size_t size = 0;
    for (uint16_t id = 0; id < 100; id++)
        size += frame_make(data + size, id, "a.example.", DNS_TYPE_A);
    client_send(fd, data, size - 10); /* the last one in two pieces */
    for (uint16_t id = 0; id < 99; id++)
        client_expect(fd, id);
    client_send(fd, data + size - 10, 10);
    client_expect(fd, 99);
    close(fd);
    served_free(s);
}

struct sending {
    int fd;
    const uint8_t *data;
    size_t size;
};

static void *send_all(void *context)
{
    struct sending *s = context;
    client_send(s->fd, s->data, s->size);
    return NULL;
}

/* More than a batch of replies, so the connection gives way to others and comes back to it. */
static void ten_thousand_queries_at_once_are_all_answered(void **state)
{
    (void)state;
    enum {
        COUNT = 10000
    };
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    uint8_t *data = malloc(COUNT * 64);
    size_t size = 0;
    for (uint16_t id = 0; id < COUNT; id++)
        size += frame_make(data + size, id, "a.example.", DNS_TYPE_A);
    struct sending sending = {fd, data, size};
    pthread_t sender; /* sending and reading must not wait for each other */
    assert_int_equal(pthread_create(&sender, NULL, send_all, &sending), 0);
    for (uint16_t id = 0; id < COUNT; id++)
        client_expect(fd, id);
    pthread_join(sender, NULL);
    exchange(fd, 1);
    close(fd);
    free(data);
    served_free(s);
}

static void a_frame_without_a_message_is_ignored(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    client_send(fd, "\0\0", 2);
    client_send(fd, "\0\5hello", 7);
    exchange(fd, 3);
    close(fd);
    served_free(s);
}

/* --- ends ------------------------------------------------------------------------------------ */

static void a_query_then_fin_is_answered_then_the_stream_ends(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    for (uint16_t id = 0; id < 50; id++) {
        int fd = client_connect(served_port(s, 0));
        ask(fd, id);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        client_expect(fd, id);
        client_expect_end(fd);
        close(fd);
    }
    served_free(s);
}

static void half_a_query_then_fin_ends_the_stream(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    uint8_t frame[514];
    client_send(fd, frame, frame_make(frame, 1, "a.example.", DNS_TYPE_A) - 1);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    client_expect_end(fd);
    close(fd);
    served_free(s);
}

static void ask_large(int fd, unsigned count)
{
    uint8_t frame[514];
    size_t size = frame_make(frame, 9, LARGE_NAME, DNS_TYPE_PTR);
    for (unsigned i = 0; i < count; i++)
        client_send(fd, frame, size);
}

/* Until replies wait for a client that does not read: until then the kernel's buffers take them,
 * which grow for a while. */
static void wait_held(struct served *s)
{
    enum {
        STEADY_CHECKS = 20,
    };
    size_t last = 0;
    int steady = 0;
    for (int64_t end = now_ms() + SERVED_WAIT_MS; steady < STEADY_CHECKS; sleep_ms(10)) {
        assert_true(now_ms() < end);
        size_t held = served_held(s);
        steady = held > 0 && held == last ? steady + 1 : 0;
        last = held;
    }
}

static void large_answers_reach_a_client_that_said_fin(void **state)
{
    (void)state;
    fake_device(LARGE_PEERS);
    struct served *s = served_start(LARGE, 1);
    int fd = client_connect(served_port(s, 0));
    ask_large(fd, 100);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (int i = 0; i < 100; i++)
        client_expect(fd, 9);
    client_expect_end(fd);
    close(fd);
    served_free(s);
    fake_device(0);
}

static void a_reset_while_replies_wait_to_be_sent_is_survived(void **state)
{
    (void)state;
    fake_device(LARGE_PEERS);
    struct served *s = served_start(LARGE, 1);
    for (int i = 0; i < 5; i++) {
        int fd = client_connect(served_port(s, 0));
        ask_large(fd, 200);
        sleep_ms(50);
        struct linger hard = {.l_onoff = 1};
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
        close(fd);
    }
    int fd = client_connect(served_port(s, 0));
    exchange(fd, 1);
    close(fd);
    served_free(s);
    fake_device(0);
}

/* --- bounds ---------------------------------------------------------------------------------- */

static void a_client_that_does_not_read_is_not_read_from(void **state)
{
    (void)state;
    fake_device(LARGE_PEERS);
    struct served *s = served_start(LARGE, 1);
    int slow = client_connect(served_port(s, 0)), other = client_connect(served_port(s, 0));
    ask_large(slow, 200); /* 12 MiB of answers */
    wait_held(s);
    sleep_ms(50);
    size_t bound = TCP_BATCH_MAX_SIZE + 2 + DNS_MAX_MESSAGE_SIZE + 2 * TCP_READ_SIZE;
    assert_in_range(served_held(s), 1, bound);
    exchange(other, 1);
    for (int i = 0; i < 200; i++)
        client_expect(slow, 9);
    close(slow);
    close(other);
    served_free(s);
    fake_device(0);
}

struct limits {
    struct served *served;
    size_t connections, held;
};

static void set_limits(void *context)
{
    struct limits *l = context;
    tcp_pool_set_limits(served_dnsd(l->served)->pool, l->connections, l->held);
}

static void limit(struct served *s, size_t connections, size_t held)
{
    struct limits l = {s, connections, held};
    served_call(s, set_limits, &l);
}

static void at_the_limit_the_connection_idle_longest_is_closed(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    limit(s, 3, TCP_HELD_MAX_SIZE);
    int fds[4];
    for (uint16_t i = 0; i < 3; i++) {
        fds[i] = client_connect(served_port(s, 0));
        exchange(fds[i], i);
    }
    exchange(fds[0], 10);
    fds[3] = client_connect(served_port(s, 0));
    exchange(fds[3], 11);
    client_expect_end(fds[1]);
    assert_int_equal(served_connections(s), 3);
    exchange(fds[0], 12);
    exchange(fds[2], 13);
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    served_free(s);
}

/* The bug: 20,000 clients with half a frame each could make the server hold gigabytes. */
static void what_connections_hold_together_is_bounded(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    limit(s, 100, 100000);
    static uint8_t half[60000] = {0xff, 0xff};
    int first = client_connect(served_port(s, 0)), second = client_connect(served_port(s, 0));
    client_send(first, half, sizeof(half));
    for (int i = 0; i < 100 && served_held(s) < sizeof(half); i++)
        sleep_ms(10);
    assert_int_equal(served_held(s), sizeof(half));
    client_send(second, half, sizeof(half));
    client_expect_end(first);
    for (int i = 0; i < 100 && served_held(s) != sizeof(half); i++)
        sleep_ms(10);
    assert_int_equal(served_held(s), sizeof(half));
    assert_int_equal(served_connections(s), 1);
    close(first);
    close(second);
    served_free(s);
}

/* The bug: a connection for which there was no memory was never accepted, nor any after it. */
static void accepting_goes_on_after_memory_ran_out(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    atomic_store(&failing, 1);
    int fd = client_connect(served_port(s, 0));
    client_expect_end(fd); /* turned away */
    assert_true(atomic_load(&failing) <= 0);
    int second = client_connect(served_port(s, 0));
    exchange(second, 2);
    close(fd);
    close(second);
    served_free(s);
}

/* The bug: libuv's accepting spun, and nobody else was served. */
static void without_descriptors_others_are_served_and_the_client_waits(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fds[i] >= 0);
    }
    struct rlimit files, few;
    int open_already = client_connect(served_port(s, 0));
    exchange(open_already, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    few = (struct rlimit){.rlim_cur = 4, .rlim_max = files.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    struct sockaddr_in sa = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(served_port(s, 0))};
    assert_int_equal(connect(fds[0], (struct sockaddr *)&sa, sizeof(sa)), 0);
    client_expect_end(open_already); /* to make room; it does not help here */
    size_t connections = served_connections(s);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_int_equal(connections, 0);
    exchange(fds[0], 1);
    close(open_already);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    served_free(s);
}

/* --- time-outs ------------------------------------------------------------------------------- */

#define TIMEOUTS(list) ".:%u {\nbind 127.0.0.1\ntimeouts {\n" list "\n}\nwhoami\n}\n"

static void the_first_query_has_the_read_timeout(void **state)
{
    (void)state;
    struct served *s = served_start(TIMEOUTS("read 1s\nidle 1h"), 1);
    int fd = client_connect(served_port(s, 0));
    assert_in_range(client_expect_end(fd), 900, 3000);
    close(fd);
    served_free(s);
}

static void octets_that_trickle_in_do_not_extend_the_timeout(void **state)
{
    (void)state;
    struct served *s = served_start(TIMEOUTS("read 1s\nidle 1h"), 1);
    int fd = client_connect(served_port(s, 0));
    uint8_t frame[514];
    frame_make(frame, 1, "a.example.", DNS_TYPE_A);
    int64_t began = now_ms();
    for (int i = 0; i < 6; i++) {
        client_send(fd, frame + i, 1);
        sleep_ms(150);
    }
    client_expect_end(fd);
    assert_in_range(now_ms() - began, 900, 3000);
    close(fd);
    served_free(s);
}

static void further_queries_have_the_idle_timeout_each(void **state)
{
    (void)state;
    struct served *s = served_start(TIMEOUTS("read 1h\nidle 1s"), 1);
    int fd = client_connect(served_port(s, 0));
    for (uint16_t id = 0; id < 3; id++) {
        exchange(fd, id);
        sleep_ms(500);
    }
    exchange(fd, 3);
    assert_in_range(client_expect_end(fd), 900, 3000);
    close(fd);
    served_free(s);
}

static void replies_nobody_reads_have_the_write_timeout(void **state)
{
    (void)state;
    fake_device(LARGE_PEERS);
    struct served *s = served_start(".:%u {\nbind 127.0.0.1\ntimeouts {\nwrite 1s\nidle 1h\n}\n"
                                    "wgsd example. wg9\n}\n",
                                    1);
    int fd = client_connect(served_port(s, 0));
    int64_t began = now_ms();
    ask_large(fd, 200);
    wait_held(s);
    while (served_connections(s) > 0 && now_ms() - began < SERVED_WAIT_MS)
        sleep_ms(20);
    assert_in_range(now_ms() - began, 900, SERVED_WAIT_MS);
    assert_int_equal(served_held(s), 0);
    close(fd);
    served_free(s);
    fake_device(0);
}

/* --- stop and reload ------------------------------------------------------------------------- */

static void a_stop_closes_idle_connections(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    exchange(fd, 1);
    served_stop(s);
    client_expect_end(fd);
    assert_int_equal(client_connect(served_port(s, 0)), -1);
    close(fd);
    served_free(s);
}

/* The bug: what was answered but still on its way to the client was thrown away. */
static void a_stop_lets_replies_under_way_reach_the_client(void **state)
{
    (void)state;
    fake_device(LARGE_PEERS);
    struct served *s = served_start(LARGE, 1);
    int fd = client_connect(served_port(s, 0));
    ask_large(fd, 200);
    wait_held(s);
    served_stop(s);
    unsigned count = 0;
    while (client_read_frame(fd, reply) > 0) /* fails within a frame */
        count++;
    assert_in_range(count, 5, 199);
    close(fd);
    served_free(s);
    fake_device(0);
}

static void a_stop_does_not_wait_for_ever_for_a_client_that_does_not_read(void **state)
{
    (void)state;
    fake_device(LARGE_PEERS);
    struct served *s = served_start(".:%u {\nbind 127.0.0.1\ntimeouts {\nwrite 1h\n}\n"
                                    "wgsd example. wg9\n}\n",
                                    1);
    int fd = client_connect(served_port(s, 0));
    ask_large(fd, 200);
    wait_held(s);
    int64_t began = now_ms();
    served_free(s);
    assert_in_range(now_ms() - began, TCP_CLOSE_TIMEOUT_MS - 100, TCP_CLOSE_TIMEOUT_MS + 3000);
    close(fd);
    fake_device(0);
}

static void a_reload_keeps_connections_of_an_address_that_stays(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL, 1);
    int fd = client_connect(served_port(s, 0));
    uint8_t frame[514];
    size_t size = frame_make(frame, 5, "a.example.", DNS_TYPE_A);
    for (int i = 0; i < 5; i++) {
        client_send(fd, frame, 5); /* not even the query under way suffers */
        assert_string_equal(served_reload(s, SMALL), "");
        client_send(fd, frame + 5, size - 5);
        client_expect(fd, 5);
    }
    close(fd);
    served_free(s);
}

static void a_reload_closes_connections_of_an_address_that_goes(void **state)
{
    (void)state;
    struct served *s = served_start(SMALL ".:%u {\nbind 127.0.0.1\nwhoami\n}\n", 1);
    int stays = client_connect(served_port(s, 0)), goes = client_connect(served_port(s, 1));
    exchange(stays, 1);
    exchange(goes, 2);
    assert_string_equal(served_reload(s, SMALL), "");
    client_expect_end(goes);
    exchange(stays, 3);
    assert_int_equal(client_connect(served_port(s, 1)), -1);
    close(stays);
    close(goes);
    served_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(several_queries_one_after_the_other),
        cmocka_unit_test(a_frame_split_at_any_byte_is_answered_and_the_connection_stays),
        cmocka_unit_test(queries_in_one_write_are_answered_in_order),
        cmocka_unit_test(ten_thousand_queries_at_once_are_all_answered),
        cmocka_unit_test(a_frame_without_a_message_is_ignored),
        cmocka_unit_test(a_query_then_fin_is_answered_then_the_stream_ends),
        cmocka_unit_test(half_a_query_then_fin_ends_the_stream),
        cmocka_unit_test(large_answers_reach_a_client_that_said_fin),
        cmocka_unit_test(a_reset_while_replies_wait_to_be_sent_is_survived),
        cmocka_unit_test(a_client_that_does_not_read_is_not_read_from),
        cmocka_unit_test(at_the_limit_the_connection_idle_longest_is_closed),
        cmocka_unit_test(what_connections_hold_together_is_bounded),
        cmocka_unit_test(accepting_goes_on_after_memory_ran_out),
        cmocka_unit_test(without_descriptors_others_are_served_and_the_client_waits),
        cmocka_unit_test(the_first_query_has_the_read_timeout),
        cmocka_unit_test(octets_that_trickle_in_do_not_extend_the_timeout),
        cmocka_unit_test(further_queries_have_the_idle_timeout_each),
        cmocka_unit_test(replies_nobody_reads_have_the_write_timeout),
        cmocka_unit_test(a_stop_closes_idle_connections),
        cmocka_unit_test(a_stop_lets_replies_under_way_reach_the_client),
        cmocka_unit_test(a_stop_does_not_wait_for_ever_for_a_client_that_does_not_read),
        cmocka_unit_test(a_reload_keeps_connections_of_an_address_that_stays),
        cmocka_unit_test(a_reload_closes_connections_of_an_address_that_goes),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}
