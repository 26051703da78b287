/* Instances made of Corefile text that listen on no DNS address, and a small HTTP client: what
 * tests of directives with hooks and endpoints need.
 *
 * NOWHERE, put into a block, leaves it without listen addresses. */
#ifndef WARREN_TESTS_INSTANCE_FIXTURE_H
#define WARREN_TESTS_INSTANCE_FIXTURE_H

#include "dnsd/instance.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOWHERE "bind 127.0.0.1 {\nexcept 127.0.0.1\n}\n"

struct fixture {
    struct dnsd dnsd;
    struct strbuf error;
};

static inline void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.dnsd = {.default_port = "53"}};
    assert_int_equal(metrics_create(&f->dnsd.metrics), OK);
}

static inline void fixture_fini(struct fixture *f)
{
    metrics_destroy(f->dnsd.metrics);
    strbuf_fini(&f->error);
}

/* An instance of ". { TEXT }" or, when TEXT starts with '.', of TEXT as it is. NULL: f->error says
 * why. */
static inline struct instance *fixture_load(struct fixture *f, const char *text,
                                            struct instance *previous)
{
    struct strbuf corefile = STRBUF_EMPTY;
    struct instance *inst = NULL;
    strbuf_add_format(&corefile, text[0] == '.' ? "%s" : ".:53 {\n%s\n}\n", text);
    strbuf_clear(&f->error);
    enum err e = instance_load(&inst, &f->dnsd, "Corefile", strbuf_str(&corefile), corefile.size,
                               previous, &f->error);
    strbuf_fini(&corefile);
    return e == OK ? inst : NULL;
}

/* The error of a set-up that must fail. */
static inline const char *fixture_setup_error(struct fixture *f, const char *text)
{
    struct instance *inst = fixture_load(f, text, NULL);
    assert_null(inst);
    return strbuf_str(&f->error);
}

static inline struct instance *fixture_start(struct fixture *f, const char *text,
                                             struct instance *previous)
{
    struct instance *inst = fixture_load(f, text, previous);
    if (inst == NULL)
        fail_msg("load: %s", strbuf_str(&f->error));
    if (instance_start(inst, &f->error) != OK)
        fail_msg("start: %s", strbuf_str(&f->error));
    instance_started(inst);
    return inst;
}

/* The error of a start that must fail. */
static inline const char *fixture_start_error(struct fixture *f, const char *text)
{
    struct instance *inst = fixture_load(f, text, NULL);
    if (inst == NULL)
        fail_msg("load: %s", strbuf_str(&f->error));
    assert_int_not_equal(instance_start(inst, &f->error), OK);
    instance_destroy(inst);
    return strbuf_str(&f->error);
}

static inline void fixture_end(struct instance *inst, bool restarting)
{
    instance_stop(inst, restarting);
    instance_destroy(inst);
}

/* A listening socket on a free port of 127.0.0.1 that lets nobody share it. */
static inline int busy_port(uint16_t *port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

static inline uint16_t free_port(void)
{
    uint16_t port;
    close(busy_port(&port));
    return port;
}

/* A connection to the port, or -1. */
static inline int http_connect(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    close(fd);
    return -1;
}

static inline void http_send(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = send(fd, text, size, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server had enough; what it says is what counts */
        text += n;
        size -= (size_t)n;
    }
}

/* Reads to the end of the stream, for five seconds at most. */
static inline void http_read_all(int fd, struct strbuf *out)
{
    char buffer[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 5000) == 1) {
        ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
        if (n <= 0)
            break;
        strbuf_add(out, buffer, (size_t)n);
    }
}

/* METHOD PATH with Connection: close; the reply, headers and body, is freed by the caller. "" when
 * nobody answers. */
static inline char *http_request(uint16_t port, const char *method, const char *path)
{
    struct strbuf out = STRBUF_EMPTY, request = STRBUF_EMPTY;
    int fd = http_connect(port);
    strbuf_add_str(&out, "");
    if (fd >= 0) {
        strbuf_add_format(&request,
                          "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method,
                          path);
        http_send(fd, request.data, request.size);
        http_read_all(fd, &out);
        close(fd);
    }
    strbuf_fini(&request);
    strbuf_add_char(&out, '\0');
    return strbuf_take(&out);
}

static inline int http_status(const char *reply)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? atoi(reply + 9) : 0;
}

static inline const char *http_body(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    return end != NULL ? end + 4 : "";
}

/* A request's status; the body must be BODY unless that is NULL. */
static inline int http_get(uint16_t port, const char *path, const char *body)
{
    char *reply = http_request(port, "GET", path);
    int status = http_status(reply);
    if (body != NULL)
        assert_string_equal(http_body(reply), body);
    free(reply);
    return status;
}

#endif
