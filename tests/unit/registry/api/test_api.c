/* The API on real sockets and a loop: listening, telling HTTP/2 from HTTP/1.1, probes, the end. */
#include "fake_store.h"

#include "registry/api.h"
#include "registry/api/conn.h"
#include "registry/api/sockets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    PATIENCE_MS = 5000,
};

struct fixture {
    uv_loop_t loop;
    struct store *store;
    struct metrics *metrics;
    struct api *api;
    struct strbuf error;
};

static enum err create(struct fixture *f, const char *url)
{
    struct api_config config = {.loop = &f->loop,
                                .store = f->store,
                                .metrics = f->metrics,
                                .listen_urls = &url,
                                .listen_url_count = 1};
    strbuf_clear(&f->error);
    return api_create(&f->api, &config, &f->error);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(metrics_create(&f->metrics), OK);
    f->store = fake_store_create();
    assert_int_equal(create(f, "http://127.0.0.1:0"), OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    api_close(f->api);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    fake_store_destroy(f->store);
    metrics_destroy(f->metrics);
    strbuf_fini(&f->error);
    free(f);
    return 0;
}

static int connect_to(struct fixture *f)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(api_port(f->api, 0)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

/* Runs the loop and reads until TEXT was read, or the end; what came is in OUT. */
static bool read_until(struct fixture *f, int fd, struct strbuf *out, const char *text)
{
    uint64_t started = uv_hrtime();
    while (uv_hrtime() - started < (uint64_t)PATIENCE_MS * 1000000) {
        char buffer[65536];
        uv_run(&f->loop, UV_RUN_NOWAIT);
        ssize_t n = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
        if (n > 0)
            strbuf_add(out, buffer, (size_t)n);
        if (text != NULL && strstr(strbuf_str(out), text) != NULL)
            return true;
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return text == NULL;
    }
    return false;
}

static void assert_get(struct fixture *f, const char *request, const char *status, const char *text)
{
    int fd = connect_to(f);
    struct strbuf out = STRBUF_EMPTY;
    assert_int_equal(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    assert_true(read_until(f, fd, &out, text));
    assert_non_null(strstr(strbuf_str(&out), status));
    strbuf_fini(&out);
    close(fd);
}

static void probes(void **state)
{
    struct fixture *f = *state;
    assert_get(f, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK",
               "{\"health\":\"true\",\"reason\":\"\"}");
    assert_get(f, "GET /version HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "\"etcdserver\":\"3.");
    assert_get(f, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK",
               "\netcd_server_has_leader 1\n");
    assert_get(f, "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
               "404 Not Found", "the JSON gateway is not supported");
    assert_get(f, "POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
               "405 Method Not Allowed", "Method Not Allowed\n");
    assert_get(f, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found",
               "404 page not found");
    fake_store_of(f->store)->no_leader = true;
    assert_get(f, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "503 Service Unavailable",
               "RAFT NO LEADER");
    assert_get(f, "GET /health?serializable=true HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "true");
    fake_store_of(f->store)->no_leader = false;
    fake_store_of(f->store)->alarm = (struct alarm){1, ALARM_NOSPACE};
    assert_get(f, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "503 Service Unavailable",
               "ALARM NOSPACE");
    assert_get(f, "GET /health?exclude=CORRUPT&exclude=NOSPACE HTTP/1.1\r\nHost: x\r\n\r\n",
               "200 OK", "true");
}

static void a_preface_in_pieces(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    struct fixture *f = *state;
    struct strbuf out = STRBUF_EMPTY;
    int fd = connect_to(f);
    for (size_t i = 0; i < sizeof(preface) - 1; i++) {
        assert_int_equal(send(fd, &preface[i], 1, 0), 1);
        uv_run(&f->loop, UV_RUN_NOWAIT);
    }
    while (out.size < 9 && !read_until(f, fd, &out, "\4"))
        ;
    assert_int_equal(out.data[3], 4); /* its SETTINGS */
    strbuf_fini(&out);
    close(fd);
}

/* Its unread bytes kept the memory that it was to give back. */
static void a_connection_that_has_to_go_goes_though_its_client_does_not_read(void **state)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    static const uint8_t zeros[64 << 20]; /* more than the kernel takes */
    struct fixture *f = *state;
    int fd = connect_to(f);
    assert_int_equal(send(fd, preface, sizeof(preface) - 1, 0), sizeof(preface) - 1);
    for (int i = 0; i < 1000 && (f->api->clients == NULL || f->api->clients->conn == NULL); i++)
        uv_run(&f->loop, UV_RUN_ONCE);
    struct client *c = f->api->clients;
    outbuf_add_bytes(&c->unsent, zeros, sizeof(zeros));
    client_mark_ready(c);
    uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_true(outbuf_size(&c->unsent) > 0);
    c->conn->failed = true;
    client_mark_ready(c);
    for (int i = 0; i < 3; i++)
        uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_null(c->conn);
    assert_int_equal(outbuf_size(&c->unsent), 0);
    close(fd);
}

static void bytes_that_end_before_they_say_what_they_are(void **state)
{
    struct fixture *f = *state;
    struct strbuf out = STRBUF_EMPTY;
    int fd = connect_to(f);
    assert_int_equal(send(fd, "PR", 2, 0), 2);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    assert_true(read_until(f, fd, &out, NULL));
    assert_int_equal(out.size, 0);
    close(fd);
}

static void an_address_in_use(void **state)
{
    struct fixture *f = *state, other = {.store = f->store, .metrics = f->metrics};
    char url[64];
    assert_int_equal(uv_loop_init(&other.loop), 0);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u", api_port(f->api, 0));
    assert_int_equal(create(&other, url), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(strbuf_str(&other.error), url));
    strbuf_fini(&other.error);
    uv_run(&other.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&other.loop), 0);
}

static void urls_that_are_refused(void **state)
{
    static const struct {
        const char *url;
        enum err error;
    } cases[] = {
        {"https://127.0.0.1:0", ERR_UNSUPPORTED},
        {"unix:///tmp/x", ERR_UNSUPPORTED},
        {"127.0.0.1:2379", ERR_MALFORMED},
        {"http://127.0.0.1", ERR_MALFORMED},
        {"http://127.0.0.1:0/path", ERR_MALFORMED},
        {"http://127.0.0.1:70000", ERR_MALFORMED},
        {"http://:2379", ERR_MALFORMED},
        {"http://127.0.0.1:x", ERR_MALFORMED},
        {"", ERR_MALFORMED},
    };
    struct fixture *f = *state, other = {.store = f->store, .metrics = f->metrics};
    assert_int_equal(uv_loop_init(&other.loop), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(create(&other, cases[i].url), cases[i].error);
        assert_true(other.error.size > 0);
    }
    strbuf_fini(&other.error);
    uv_run(&other.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&other.loop), 0);
}

static void both_families_of_loopback(void **state)
{
    struct fixture *f = *state, other = {.store = f->store, .metrics = f->metrics};
    assert_int_equal(uv_loop_init(&other.loop), 0);
    enum err e = create(&other, "http://[::1]:0/");
    if (e == OK) {
        assert_true(api_port(other.api, 0) > 0);
        api_close(other.api);
    } else {
        assert_int_equal(e, ERR_IO); /* a machine without IPv6 */
    }
    uv_run(&other.loop, UV_RUN_DEFAULT);
    strbuf_fini(&other.error);
    assert_int_equal(uv_loop_close(&other.loop), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(probes),
        TEST(a_preface_in_pieces),
        TEST(a_connection_that_has_to_go_goes_though_its_client_does_not_read),
        TEST(bytes_that_end_before_they_say_what_they_are),
        TEST(an_address_in_use),
        TEST(urls_that_are_refused),
        TEST(both_families_of_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
