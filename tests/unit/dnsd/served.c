#include "tests/unit/dnsd/served.h"

#include "base/cursor.h"
#include "dnsd/rcu.h"
#include "dnsd/tcp.h"
#include "fake_uapi.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PORT_COUNT = 3
};

struct served {
    struct dnsd dnsd;
    uv_loop_t loop;
    uv_async_t wake;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t done;
    void (*fn)(void *context); /* under `lock`; NULL: nothing to do */
    void *context;
    uint16_t ports[PORT_COUNT];
    struct instance *instance;
    struct strbuf error;
};

/* --- the loop -------------------------------------------------------------------------------- */

static void on_wake(uv_async_t *wake)
{
    struct served *s = wake->data;
    pthread_mutex_lock(&s->lock);
    if (s->fn != NULL)
        s->fn(s->context);
    s->fn = NULL;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
}

static void *run_loop(void *context)
{
    struct served *s = context;
    rcu_register_thread();
    uv_run(&s->loop, UV_RUN_DEFAULT);
    rcu_unregister_thread();
    return NULL;
}

void served_call(struct served *s, void (*fn)(void *context), void *context)
{
    pthread_mutex_lock(&s->lock);
    s->fn = fn;
    s->context = context;
    uv_async_send(&s->wake);
    while (s->fn != NULL)
        pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

/* --- instances ------------------------------------------------------------------------------- */

struct change {
    struct served *served;
    const char *corefile;
    bool ok;
};

static void replace(void *context)
{
    struct change *change = context;
    struct served *s = change->served;
    struct strbuf text = STRBUF_EMPTY;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    strbuf_add_format(&text, change->corefile, s->ports[0], s->ports[1], s->ports[2]);
#pragma GCC diagnostic pop
    struct instance *next = NULL;
    strbuf_clear(&s->error);
    enum err e = instance_load(&next, &s->dnsd, "Corefile", strbuf_str(&text), text.size,
                               s->instance, &s->error);
    strbuf_fini(&text);
    if (e == OK) {
        e = instance_start(next, &s->error);
        if (e != OK)
            instance_destroy(next);
    }
    change->ok = e == OK;
    if (!change->ok)
        return;
    if (s->instance != NULL) {
        instance_stop(s->instance, true);
        instance_destroy(s->instance);
    }
    s->instance = next;
    instance_started(next);
}

const char *served_reload(struct served *s, const char *corefile)
{
    struct change change = {.served = s, .corefile = corefile};
    served_call(s, replace, &change);
    return change.ok ? "" : strbuf_str(&s->error);
}

static void stop(void *context)
{
    struct served *s = context;
    if (s->instance == NULL)
        return;
    instance_stop(s->instance, false);
    instance_destroy(s->instance);
    s->instance = NULL;
}

void served_stop(struct served *s)
{
    served_call(s, stop, s);
}

/* --- life ------------------------------------------------------------------------------------ */

/* Whether nobody has the port, at any address. */
static bool is_free(uint16_t port)
{
    static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM};
    bool ok = true;
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
        int fd = socket(AF_INET, kinds[i] | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        ok = ok && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
        close(fd);
    }
    return ok;
}

/* Below the range from which the kernel takes ports for clients, and apart from those that other
 * tests running now look at. */
static void find_ports(struct served *s)
{
    static unsigned next;
    if (next == 0)
        next = (unsigned)getpid() * 61;
    for (int i = 0; i < PORT_COUNT; next++) {
        uint16_t port = (uint16_t)(10000 + next % 20000);
        if (is_free(port))
            s->ports[i++] = port;
    }
}

struct served *served_start(const char *corefile, size_t workers)
{
    struct served *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    find_ports(s);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->done, NULL);
    assert_int_equal(uv_loop_init(&s->loop), 0);
    assert_int_equal(uv_async_init(&s->loop, &s->wake, on_wake), 0);
    s->wake.data = s;
    s->dnsd = (struct dnsd){.workers = workers, .default_port = "53", .loop = &s->loop};
    assert_int_equal(metrics_create(&s->dnsd.metrics), OK);
    assert_int_equal(tcp_pool_create(&s->dnsd.pool, &s->loop), OK);
    assert_int_equal(pthread_create(&s->thread, NULL, run_loop, s), 0);
    const char *error = served_reload(s, corefile);
    if (error[0] != '\0')
        fail_msg("it does not start: %s", error);
    return s;
}

static void close_wake(void *context)
{
    struct served *s = context;
    uv_close((uv_handle_t *)&s->wake, NULL);
}

void served_free(struct served *s)
{
    served_stop(s);
    served_call(s, close_wake, s);
    pthread_join(s->thread, NULL);
    assert_int_equal(tcp_pool_connection_count(s->dnsd.pool), 0);
    assert_int_equal(tcp_pool_held_size(s->dnsd.pool), 0);
    tcp_pool_destroy(s->dnsd.pool);
    metrics_destroy(s->dnsd.metrics);
    assert_int_equal(uv_loop_close(&s->loop), 0);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->done);
    strbuf_fini(&s->error);
    free(s);
}

uint16_t served_port(const struct served *s, unsigned index)
{
    return s->ports[index];
}

struct dnsd *served_dnsd(struct served *s)
{
    return &s->dnsd;
}

struct counts {
    struct served *served;
    size_t connections, held;
};

static void read_counts(void *context)
{
    struct counts *c = context;
    c->connections = tcp_pool_connection_count(c->served->dnsd.pool);
    c->held = tcp_pool_held_size(c->served->dnsd.pool);
}

size_t served_connections(struct served *s)
{
    struct counts c = {.served = s};
    served_call(s, read_counts, &c);
    return c.connections;
}

size_t served_held(struct served *s)
{
    struct counts c = {.served = s};
    served_call(s, read_counts, &c);
    return c.held;
}

/* --- clients --------------------------------------------------------------------------------- */

size_t query_make(uint8_t out[static 512], uint16_t id, const char *name, uint16_t type,
                  uint16_t udp_size)
{
    struct writer w = writer_of(out, 512);
    struct dns_name_buf buf;
    assert_int_equal(dns_name_from_text(&buf, name, strlen(name)), OK);
    write_u16(&w, id);
    write_u16(&w, DNS_FLAG_RD);
    write_u16(&w, 1);
    write_u32(&w, 0);
    write_u16(&w, udp_size != 0);
    write_bytes(&w, buf.wire, buf.size);
    write_u16(&w, type);
    write_u16(&w, DNS_CLASS_IN);
    if (udp_size != 0) {
        write_u8(&w, 0);
        write_u16(&w, DNS_TYPE_OPT);
        write_u16(&w, udp_size);
        write_u32(&w, 0);
        write_u16(&w, 0);
    }
    assert_false(w.failed);
    return w.size;
}

size_t frame_make(uint8_t out[static 514], uint16_t id, const char *name, uint16_t type)
{
    size_t size = query_make(out + 2, id, name, type, 0);
    out[0] = (uint8_t)(size >> 8);
    out[1] = (uint8_t)size;
    return size + 2;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

int client_connect(uint16_t port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    return fd;
}

void client_send(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n < 0)
            return; /* closed by the server: what is read tells */
        at += n;
        size -= (size_t)n;
    }
}

/* 1: all of SIZE; 0: the stream ended before any of it. */
static int read_exactly(int fd, uint8_t *out, size_t size)
{
    size_t done = 0;
    while (done < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, SERVED_WAIT_MS) != 1)
            fail_msg("nothing came within %d ms", SERVED_WAIT_MS);
        ssize_t n = recv(fd, out + done, size - done, 0);
        if (n > 0)
            done += (size_t)n;
        else if (done == 0)
            return 0;
        else
            fail_msg("the stream ended within a frame");
    }
    return 1;
}

size_t client_read_frame(int fd, uint8_t out[static DNS_MAX_MESSAGE_SIZE])
{
    uint8_t length[2];
    if (read_exactly(fd, length, 2) == 0)
        return 0;
    size_t size = (size_t)length[0] << 8 | length[1];
    assert_true(size >= DNS_HEADER_SIZE);
    assert_int_equal(read_exactly(fd, out, size), 1);
    return size;
}

void client_expect(int fd, uint16_t id)
{
    static uint8_t reply[DNS_MAX_MESSAGE_SIZE];
    if (client_read_frame(fd, reply) == 0)
        fail_msg("the stream ended before reply %u", id);
    assert_int_equal(reply[0] << 8 | reply[1], id);
    assert_int_equal(reply[2] & 0x80, 0x80);
}

int64_t client_expect_end(int fd)
{
    uint8_t byte;
    int64_t began = now_ms();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    if (poll(&p, 1, SERVED_WAIT_MS) != 1)
        fail_msg("it is still open after %d ms", SERVED_WAIT_MS);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
    return now_ms() - began;
}

/* --- the device ------------------------------------------------------------------------------ */

void fake_device(size_t peers)
{
    static char folder[64];
    static struct fake_uapi *fake;
    if (fake != NULL)
        fake_uapi_destroy(fake);
    fake = NULL;
    if (folder[0] != '\0')
        (void)rmdir(folder);
    folder[0] = '\0';
    if (peers == 0)
        return;
    snprintf(folder, sizeof(folder), "/tmp/warren-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(setenv("WARREN_WG_SOCKET_DIR", folder, 1), 0);
    assert_int_equal(fake_uapi_create(&fake, folder, "wg9"), OK);
    size_t size;
    char *state = fake_uapi_make_peers(peers, 0, &size);
    assert_non_null(state);
    assert_int_equal(fake_uapi_set_state(fake, state, size), OK);
    free(state);
}
