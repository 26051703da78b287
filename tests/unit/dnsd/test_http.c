#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dnsd/http.h"

#include "tests/unit/dnsd/instance_fixture.h"

static struct fixture fixture;

/* What routes say; their contexts. */
static char hello[] = "hello", other[] = "other", third[] = "third";

static void say(void *context, struct http_response *response)
{
    strbuf_add_str(&response->body, context);
}

static char *local_address(uint16_t port)
{
    static char text[4][32];
    static unsigned next;
    char *out = text[next++ % ARRAY_COUNT(text)];
    snprintf(out, sizeof(text[0]), "127.0.0.1:%u", port);
    return out;
}

/* An instance that says BODY at /say of the port. */
static struct instance *serve(uint16_t port, char *body, struct instance *previous)
{
    struct instance *inst = fixture_load(&fixture, NOWHERE, previous);
    assert_non_null(inst);
    char *address = local_address(port);
    assert_int_equal(http_route_add(inst, address, "/say", say, body), OK);
    assert_int_equal(http_open(inst, address, NULL, &fixture.error), OK);
    return inst;
}

static void a_route_is_served_with_go_s_headers(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    char *reply = http_request(port, "GET", "/say?x=1");
    assert_int_equal(http_status(reply), 200);
    assert_non_null(strstr(reply, "Content-Type: text/plain; charset=utf-8\r\n"));
    assert_non_null(strstr(reply, "Content-Length: 5\r\n"));
    assert_non_null(strstr(reply, "Date: "));
    assert_string_equal(http_body(reply), "hello");
    free(reply);
    instance_destroy(inst);
}

static void other_methods_are_served_too_and_head_without_a_body(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    char *reply = http_request(port, "PUT", "/say");
    assert_int_equal(http_status(reply), 200);
    free(reply);
    reply = http_request(port, "HEAD", "/say");
    assert_int_equal(http_status(reply), 200);
    assert_non_null(strstr(reply, "Content-Length: 5\r\n"));
    assert_string_equal(http_body(reply), "");
    free(reply);
    instance_destroy(inst);
}

static void an_unknown_path_is_404(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    char *reply = http_request(port, "GET", "/say/");
    assert_int_equal(http_status(reply), 404);
    assert_non_null(strstr(reply, "X-Content-Type-Options: nosniff\r\n"));
    assert_string_equal(http_body(reply), "404 page not found\n");
    free(reply);
    instance_destroy(inst);
}

static void an_unclean_path_is_redirected(void **state)
{
    (void)state;
    static const char *const paths[] = {"//say", "/./say", "/a/../say", "/../say",
                                        "/a/b/.././../say"};
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(paths); i++) {
        char *reply = http_request(port, "GET", paths[i]);
        assert_int_equal(http_status(reply), 301);
        assert_non_null(strstr(reply, "Location: /say\r\n"));
        assert_string_equal(http_body(reply), "<a href=\"/say\">Moved Permanently</a>.\n\n");
        free(reply);
    }
    instance_destroy(inst);
}

static void one_address_serves_several_paths_and_the_first_of_one_path(void **state)
{
    (void)state;
    uint16_t port = free_port();
    char *address = local_address(port);
    struct instance *inst = fixture_load(&fixture, NOWHERE, NULL);
    assert_int_equal(http_route_add(inst, address, "/a", say, hello), OK);
    assert_int_equal(http_route_add(inst, address, "/b", say, other), OK);
    assert_int_equal(http_route_add(inst, address, "/a", say, third), OK);
    assert_int_equal(http_open(inst, address, NULL, &fixture.error), OK);
    assert_int_equal(http_open(inst, address, NULL, &fixture.error), OK);
    assert_int_equal(http_get(port, "/a", "hello"), 200);
    assert_int_equal(http_get(port, "/b", "other"), 200);
    instance_destroy(inst);
}

static void names_of_one_address_share_a_server(void **state)
{
    (void)state;
    char name[32];
    uint16_t port = free_port();
    snprintf(name, sizeof(name), "localhost:%u", port);
    struct instance *inst = serve(port, hello, NULL);
    assert_int_equal(http_route_add(inst, name, "/name", say, other), OK);
    assert_int_equal(http_open(inst, name, NULL, &fixture.error), OK);
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    assert_int_equal(http_get(port, "/name", "other"), 200);
    instance_destroy(inst);
}

static void the_wildcard_serves_both_families(void **state)
{
    (void)state;
    char address[16];
    struct sockaddr_storage bound;
    uint16_t port = free_port();
    snprintf(address, sizeof(address), ":%u", port);
    struct instance *inst = fixture_load(&fixture, NOWHERE, NULL);
    assert_int_equal(http_route_add(inst, address, "/say", say, hello), OK);
    assert_int_equal(http_open(inst, address, &bound, &fixture.error), OK);
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    if (bound.ss_family == AF_INET6)
        assert_int_equal(ntohs(((struct sockaddr_in6 *)&bound)->sin6_port), port);
    instance_destroy(inst);
}

static void assert_open_error(const char *address, enum err expected, const char *message)
{
    struct instance *inst = fixture_load(&fixture, NOWHERE, NULL);
    strbuf_clear(&fixture.error);
    assert_int_equal(http_route_add(inst, address, "/say", say, hello), OK);
    assert_int_equal(http_open(inst, address, NULL, &fixture.error), expected);
    assert_string_equal(strbuf_str(&fixture.error), message);
    instance_destroy(inst);
}

static void failures_to_listen_have_go_s_text(void **state)
{
    (void)state;
    char message[128];
    uint16_t port;
    int fd = busy_port(&port);
    snprintf(message, sizeof(message), "listen tcp 127.0.0.1:%u: bind: address already in use",
             port);
    assert_open_error(local_address(port), ERR_ADDRESS_IN_USE, message);
    close(fd);
    assert_open_error("192.0.2.1:1080", ERR_IO,
                      "listen tcp 192.0.2.1:1080: bind: cannot assign requested address");
    assert_open_error(":99999", ERR_MALFORMED, "listen tcp: address 99999: invalid port");
    assert_open_error(":foo", ERR_NOT_FOUND, "listen tcp: lookup tcp/foo: unknown port");
    assert_open_error("-1:1", ERR_NOT_FOUND, "listen tcp: lookup -1: no such host");
}

static void a_removed_route_is_404_and_the_last_one_ends_the_server(void **state)
{
    (void)state;
    uint16_t port = free_port();
    char *address = local_address(port);
    struct instance *inst = fixture_load(&fixture, NOWHERE, NULL);
    assert_int_equal(http_route_add(inst, address, "/a", say, hello), OK);
    assert_int_equal(http_route_add(inst, address, "/b", say, other), OK);
    assert_int_equal(http_open(inst, address, NULL, &fixture.error), OK);
    http_route_remove(inst, "/a", other); /* not its context */
    assert_int_equal(http_get(port, "/a", "hello"), 200);
    http_route_remove(inst, "/a", hello);
    assert_int_equal(http_get(port, "/a", NULL), 404);
    assert_int_equal(http_get(port, "/b", "other"), 200);
    http_route_remove(inst, "/b", other);
    assert_int_equal(http_connect(port), -1);
    instance_destroy(inst);
}

/* Even a connection that came before the reload and asks after it is answered. */
static void a_reload_hands_the_socket_on_without_a_refusal(void **state)
{
    (void)state;
    static const char request[] = "GET /say HTTP/1.0\r\n\r\n";
    uint16_t port = free_port();
    struct instance *old = serve(port, hello, NULL);
    struct instance *new = serve(port, other, old);
    int waiting = http_connect(port);
    assert_true(waiting >= 0);
    http_send(waiting, request, sizeof(request) - 1);
    http_route_remove(old, "/say", hello);
    instance_destroy(old);
    struct strbuf reply = STRBUF_EMPTY;
    http_read_all(waiting, &reply);
    close(waiting);
    assert_int_equal(http_status(strbuf_str(&reply)), 200);
    strbuf_fini(&reply);
    assert_int_equal(http_get(port, "/say", "other"), 200);
    instance_destroy(new);
    assert_int_equal(http_connect(port), -1);
}

static void a_reload_that_fails_leaves_the_old_server_serving(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *old = serve(port, hello, NULL);
    instance_destroy(serve(port, other, old));
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    instance_destroy(old);
}

static void idle_connections_make_room_for_new_ones(void **state)
{
    (void)state;
    enum {
        IDLE = HTTP_MAX_CONNECTIONS + 40
    };
    int fds[IDLE];
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    for (size_t i = 0; i < IDLE; i++) {
        fds[i] = http_connect(port);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    struct strbuf end = STRBUF_EMPTY;
    http_read_all(fds[0], &end); /* the oldest was closed */
    assert_int_equal(end.size, 0);
    for (size_t i = 0; i < IDLE; i++)
        close(fds[i]);
    strbuf_fini(&end);
    instance_destroy(inst);
}

static void a_header_beyond_the_bound_is_refused(void **state)
{
    (void)state;
    enum {
        HEADER = 2 * HTTP_MAX_HEADER_SIZE
    };
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    struct strbuf request = STRBUF_EMPTY, reply = STRBUF_EMPTY;
    strbuf_add_str(&request, "GET /say HTTP/1.1\r\nHost: a\r\nX: ");
    for (size_t i = 0; i < HEADER; i++)
        strbuf_add_char(&request, 'x');
    strbuf_add_str(&request, "\r\n\r\n");
    int fd = http_connect(port);
    http_send(fd, request.data, request.size);
    http_read_all(fd, &reply);
    close(fd);
    int status = http_status(strbuf_str(&reply));
    assert_true(status == 431 || status == 0); /* a reset may overtake the reply */
    strbuf_fini(&request);
    strbuf_fini(&reply);
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    instance_destroy(inst);
}

static void a_body_is_read_and_ignored_up_to_its_bound(void **state)
{
    (void)state;
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    for (int too_long = 0; too_long < 2; too_long++) {
        struct strbuf request = STRBUF_EMPTY, reply = STRBUF_EMPTY;
        size_t size = HTTP_MAX_UPLOAD_SIZE + (too_long ? 1 : 0);
        strbuf_add_format(&request,
                          "POST /say HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                          "Content-Length: %zu\r\n\r\n",
                          size);
        for (size_t i = 0; i < size; i++)
            strbuf_add_char(&request, 'x');
        int fd = http_connect(port);
        http_send(fd, request.data, request.size);
        http_read_all(fd, &reply);
        close(fd);
        assert_int_equal(http_status(strbuf_str(&reply)), too_long ? 0 : 200);
        strbuf_fini(&request);
        strbuf_fini(&reply);
    }
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    instance_destroy(inst);
}

static void what_is_no_http_is_refused_and_others_are_served(void **state)
{
    (void)state;
    static const char junk[] = "\x16\x03\x01 BLA\r\n\r\n";
    uint16_t port = free_port();
    struct instance *inst = serve(port, hello, NULL);
    struct strbuf reply = STRBUF_EMPTY;
    int fd = http_connect(port);
    http_send(fd, junk, sizeof(junk) - 1);
    http_read_all(fd, &reply);
    close(fd);
    assert_int_not_equal(http_status(strbuf_str(&reply)), 200);
    strbuf_fini(&reply);
    assert_int_equal(http_get(port, "/say", "hello"), 200);
    instance_destroy(inst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_route_is_served_with_go_s_headers),
        cmocka_unit_test(other_methods_are_served_too_and_head_without_a_body),
        cmocka_unit_test(an_unknown_path_is_404),
        cmocka_unit_test(an_unclean_path_is_redirected),
        cmocka_unit_test(one_address_serves_several_paths_and_the_first_of_one_path),
        cmocka_unit_test(names_of_one_address_share_a_server),
        cmocka_unit_test(the_wildcard_serves_both_families),
        cmocka_unit_test(failures_to_listen_have_go_s_text),
        cmocka_unit_test(a_removed_route_is_404_and_the_last_one_ends_the_server),
        cmocka_unit_test(a_reload_hands_the_socket_on_without_a_refusal),
        cmocka_unit_test(a_reload_that_fails_leaves_the_old_server_serving),
        cmocka_unit_test(idle_connections_make_room_for_new_ones),
        cmocka_unit_test(a_header_beyond_the_bound_is_refused),
        cmocka_unit_test(a_body_is_read_and_ignored_up_to_its_bound),
        cmocka_unit_test(what_is_no_http_is_refused_and_others_are_served),
    };
    fixture_init(&fixture);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fixture_fini(&fixture);
    return failed;
}
