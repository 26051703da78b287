#include "fake_uapi.h"

#include "base/encoding.h"
#include "base/strbuf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char answer_end[] = "errno=0\n\n";
static const char read_failed[] = "errno=5\n\n";

/* An immutable text that several answers may be sending. */
struct shared_text {
    atomic_uint users;
    size_t size;
    char data[];
};

struct client {
    int fd; /* -1: a free place */
    char request[FAKE_UAPI_MAX_REQUEST_SIZE];
    size_t request_size;
    struct shared_text *answer; /* NULL while a request is awaited */
    size_t sent;
    size_t answer_size; /* may be less than the text's: a truncated answer */
    int64_t not_before_ms;
    struct fake_uapi_options options; /* of this answer */
};

struct fake_uapi {
    pthread_t thread;
    struct sockaddr_un address;
    int listener;
    int wake; /* eventfd: stop */
    struct client *clients;
    uint64_t random;

    atomic_uint_fast64_t get_count;
    atomic_uint_fast64_t set_count;
    pthread_mutex_t lock; /* guards what follows */
    struct shared_text *state;
    fake_uapi_source *source;
    void *source_context;
    bool state_is_sourced; /* `state` is what `source` gave last */
    struct fake_uapi_options options;
    char *last_set;
};

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* xorshift64*: reproducible from the seed. */
static uint64_t next_random(struct fake_uapi *f)
{
    uint64_t x = f->random != 0 ? f->random : UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    f->random = x;
    return x * UINT64_C(2685821657736338717);
}

/* --- Texts. --- */

static struct shared_text *text_new(const char *data, size_t size, const char *end)
{
    size_t end_size = strlen(end);
    struct shared_text *t = malloc(sizeof(*t) + size + end_size);
    if (t == NULL)
        return NULL;
    atomic_init(&t->users, 1);
    t->size = size + end_size;
    if (size > 0)
        memcpy(t->data, data, size);
    memcpy(t->data + size, end, end_size);
    return t;
}

static struct shared_text *text_ref(struct shared_text *t)
{
    atomic_fetch_add(&t->users, 1);
    return t;
}

static void text_unref(struct shared_text *t)
{
    if (t != NULL && atomic_fetch_sub(&t->users, 1) == 1)
        free(t);
}

static bool has_errno_line(const char *text, size_t size)
{
    static const char key[] = "errno=";
    const size_t key_size = sizeof(key) - 1;
    for (size_t i = 0; i + key_size <= size; i++) {
        if (memcmp(text + i, key, key_size) == 0)
            return true;
        const char *newline = memchr(text + i, '\n', size - i);
        if (newline == NULL)
            return false;
        i = (size_t)(newline - text);
    }
    return false;
}

/* --- Answers. --- */

static struct shared_text *errno_text(int error_number)
{
    char text[32];
    int size = snprintf(text, sizeof(text), "errno=%d\n\n", error_number);
    return text_new(text, (size_t)size, "");
}

/* Under the lock. */
static struct shared_text *get_answer(struct fake_uapi *f)
{
    if (f->source == NULL)
        return text_ref(f->state);
    const char *text = NULL;
    size_t size = 0;
    bool changed = true;
    if (!f->source(f->source_context, &text, &size, &changed))
        return text_new(read_failed, sizeof(read_failed) - 1, "");
    if (changed || !f->state_is_sourced) {
        struct shared_text *state = text_new(text, size, "");
        if (state == NULL)
            return NULL;
        text_unref(f->state);
        f->state = state;
        f->state_is_sourced = true;
    }
    return text_ref(f->state);
}

static int set_verdict(const struct client *c)
{
    const char *text = c->options.set_errno_text;
    if (strncmp(c->request, "set=1\n", 6) != 0)
        return -EINVAL;
    return text == NULL || strstr(c->request, text) != NULL ? c->options.set_errno : 0;
}

static void start_answer(struct fake_uapi *f, struct client *c)
{
    bool get = strncmp(c->request, "get=1\n", 6) == 0;
    pthread_mutex_lock(&f->lock);
    c->options = f->options;
    if (c->options.answer_errno != 0)
        c->answer = errno_text(c->options.answer_errno);
    else if (get)
        c->answer = get_answer(f);
    else
        c->answer = errno_text(set_verdict(c));
    if (!get) {
        free(f->last_set);
        f->last_set = strdup(c->request);
    }
    if (c->options.split_seed != 0 && f->random == 0)
        f->random = c->options.split_seed;
    pthread_mutex_unlock(&f->lock);
    atomic_fetch_add(get ? &f->get_count : &f->set_count, 1);

    c->sent = 0;
    c->answer_size = c->answer != NULL ? c->answer->size : 0;
    if (c->options.truncate && c->options.truncate_at < c->answer_size)
        c->answer_size = c->options.truncate_at;
    c->not_before_ms = now_ms() + c->options.delay_ms;
}

/* --- Clients. --- */

static void client_close(struct client *c)
{
    (void)close(c->fd);
    c->fd = -1;
    text_unref(c->answer);
    c->answer = NULL;
}

static void client_receive(struct fake_uapi *f, struct client *c)
{
    size_t room = sizeof(c->request) - 1 - c->request_size;
    ssize_t n = room > 0 ? recv(c->fd, c->request + c->request_size, room, 0) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    c->request_size += (size_t)n;
    c->request[c->request_size] = '\0';
    if (c->request_size < 2 || strcmp(c->request + c->request_size - 2, "\n\n") != 0)
        return;
    start_answer(f, c);
    c->request_size = 0;
    if (c->answer == NULL)
        client_close(c);
}

static void client_send(struct fake_uapi *f, struct client *c)
{
    while (c->sent < c->answer_size) {
        size_t size = c->answer_size - c->sent;
        if (c->options.split_max > 0) {
            size_t part = 1 + next_random(f) % c->options.split_max;
            size = part < size ? part : size;
        }
        ssize_t n = send(c->fd, c->answer->data + c->sent, size, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                client_close(c);
            return;
        }
        c->sent += (size_t)n;
        if (c->options.write_gap_ms > 0) {
            c->not_before_ms = now_ms() + c->options.write_gap_ms;
            return;
        }
    }
    bool whole = c->answer_size == c->answer->size;
    text_unref(c->answer);
    c->answer = NULL;
    if (!whole)
        client_close(c);
}

static void accept_client(struct fake_uapi *f)
{
    for (size_t i = 0; i < FAKE_UAPI_MAX_CLIENTS; i++) {
        struct client *c = &f->clients[i];
        if (c->fd >= 0)
            continue;
        c->fd = accept4(f->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        c->request_size = 0;
        return;
    }
}

/* --- The loop. --- */

enum {
    WAKE_SLOT,
    LISTENER_SLOT,
    CLIENT_SLOTS
};

/* What to wait for, and how long at most (-1: for ever). */
static int plan(struct fake_uapi *f, struct pollfd polled[static CLIENT_SLOTS])
{
    int64_t now = now_ms();
    int timeout = -1;
    bool room = false;
    polled[WAKE_SLOT] = (struct pollfd){.fd = f->wake, .events = POLLIN};
    for (size_t i = 0; i < FAKE_UAPI_MAX_CLIENTS; i++) {
        const struct client *c = &f->clients[i];
        struct pollfd *p = &polled[CLIENT_SLOTS + i];
        *p = (struct pollfd){.fd = c->fd, .events = c->answer != NULL ? POLLOUT : POLLIN};
        room = room || c->fd < 0;
        if (c->fd < 0 || c->answer == NULL || c->not_before_ms <= now)
            continue;
        int left = (int)(c->not_before_ms - now);
        timeout = timeout < 0 || left < timeout ? left : timeout;
        p->fd = -1;
    }
    polled[LISTENER_SLOT] = (struct pollfd){.fd = room ? f->listener : -1, .events = POLLIN};
    return timeout;
}

static void *serve(void *argument)
{
    struct fake_uapi *f = argument;
    struct pollfd polled[CLIENT_SLOTS + FAKE_UAPI_MAX_CLIENTS];
    for (;;) {
        int timeout = plan(f, polled);
        if (poll(polled, ARRAY_COUNT(polled), timeout) < 0)
            continue;
        if (polled[WAKE_SLOT].revents != 0)
            return NULL;
        for (size_t i = 0; i < FAKE_UAPI_MAX_CLIENTS; i++) {
            if (polled[CLIENT_SLOTS + i].fd < 0 || polled[CLIENT_SLOTS + i].revents == 0)
                continue;
            struct client *c = &f->clients[i];
            if (c->answer != NULL)
                client_send(f, c);
            else
                client_receive(f, c);
        }
        if (polled[LISTENER_SLOT].revents != 0)
            accept_client(f);
    }
}

/* --- Life. --- */

static enum err open_listener(struct fake_uapi *f, const char *directory, const char *name)
{
    f->address.sun_family = AF_UNIX;
    int size =
        snprintf(f->address.sun_path, sizeof(f->address.sun_path), "%s/%s.sock", directory, name);
    if (size < 0 || (size_t)size >= sizeof(f->address.sun_path))
        return ERR_INVALID;
    (void)unlink(f->address.sun_path);
    f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    f->wake = eventfd(0, EFD_CLOEXEC);
    if (f->listener < 0 || f->wake < 0 ||
        bind(f->listener, (const struct sockaddr *)&f->address, sizeof(f->address)) != 0 ||
        listen(f->listener, FAKE_UAPI_MAX_CLIENTS) != 0)
        return err_from_errno(errno);
    return OK;
}

static void fake_uapi_free(struct fake_uapi *f)
{
    for (size_t i = 0; f->clients != NULL && i < FAKE_UAPI_MAX_CLIENTS; i++)
        if (f->clients[i].fd >= 0)
            client_close(&f->clients[i]);
    if (f->listener >= 0)
        (void)close(f->listener);
    if (f->wake >= 0)
        (void)close(f->wake);
    text_unref(f->state);
    free(f->last_set);
    free(f->clients);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Signals are for the program's own threads. */
static int start_thread(struct fake_uapi *f)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error_number = pthread_create(&f->thread, NULL, serve, f);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error_number;
}

enum err fake_uapi_create(struct fake_uapi **out, const char *directory, const char *name)
{
    struct fake_uapi *f = calloc(1, sizeof(*f));
    if (f == NULL)
        return ERR_NO_MEMORY;
    f->listener = -1;
    f->wake = -1;
    pthread_mutex_init(&f->lock, NULL);
    f->state = text_new(NULL, 0, answer_end);
    f->clients = calloc(FAKE_UAPI_MAX_CLIENTS, sizeof(*f->clients));
    for (size_t i = 0; f->clients != NULL && i < FAKE_UAPI_MAX_CLIENTS; i++)
        f->clients[i].fd = -1;
    enum err error = f->state != NULL && f->clients != NULL ? OK : ERR_NO_MEMORY;
    if (error == OK)
        error = open_listener(f, directory, name);
    if (error == OK && start_thread(f) != 0)
        error = ERR_LIMIT;
    if (error != OK) {
        fake_uapi_free(f);
        return error;
    }
    *out = f;
    return OK;
}

void fake_uapi_crash(struct fake_uapi *f)
{
    if (f == NULL)
        return;
    uint64_t one = 1;
    ssize_t written = write(f->wake, &one, sizeof(one));
    assert(written == (ssize_t)sizeof(one));
    pthread_join(f->thread, NULL);
    fake_uapi_free(f);
}

void fake_uapi_destroy(struct fake_uapi *f)
{
    if (f == NULL)
        return;
    struct sockaddr_un address = f->address;
    fake_uapi_crash(f);
    (void)unlink(address.sun_path);
}

enum err fake_uapi_set_state(struct fake_uapi *f, const char *text, size_t size)
{
    struct shared_text *state = text_new(text, size, has_errno_line(text, size) ? "" : answer_end);
    if (state == NULL)
        return ERR_NO_MEMORY;
    pthread_mutex_lock(&f->lock);
    struct shared_text *old = f->state;
    f->state = state;
    f->source = NULL;
    pthread_mutex_unlock(&f->lock);
    text_unref(old);
    return OK;
}

void fake_uapi_set_source(struct fake_uapi *f, fake_uapi_source *source, void *context)
{
    pthread_mutex_lock(&f->lock);
    f->source = source;
    f->source_context = context;
    f->state_is_sourced = false;
    pthread_mutex_unlock(&f->lock);
}

void fake_uapi_set_options(struct fake_uapi *f, const struct fake_uapi_options *options)
{
    pthread_mutex_lock(&f->lock);
    f->options = *options;
    pthread_mutex_unlock(&f->lock);
}

uint64_t fake_uapi_get_count(const struct fake_uapi *f)
{
    return atomic_load(&f->get_count);
}

uint64_t fake_uapi_set_count(const struct fake_uapi *f)
{
    return atomic_load(&f->set_count);
}

char *fake_uapi_last_set(struct fake_uapi *f)
{
    pthread_mutex_lock(&f->lock);
    char *copy = f->last_set != NULL ? strdup(f->last_set) : NULL;
    pthread_mutex_unlock(&f->lock);
    return copy;
}

/* --- Made-up peers. --- */

static void add_peer(struct strbuf *s, uint32_t i, size_t extra)
{
    uint8_t key[KEY_SIZE] = {(uint8_t)i, (uint8_t)(i >> 8), (uint8_t)(i >> 16), (uint8_t)(i >> 24)};
    char hex[KEY_HEX_SIZE];
    hex_encode(hex, key, sizeof(key));
    unsigned high = i >> 16, hi = i >> 8 & 0xff, lo = i & 0xff;
    strbuf_add_format(s,
                      "public_key=%.*s\npreshared_key=%064d\nprotocol_version=1\n"
                      "endpoint=10.%u.%u.%u:51820\nlast_handshake_time_sec=0\n"
                      "last_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n"
                      "persistent_keepalive_interval=0\nallowed_ip=10.%u.%u.%u/32\n",
                      KEY_HEX_SIZE, hex, 0, 9 + high, hi, lo, high, hi, lo);
    for (unsigned k = 0; k < extra; k++)
        strbuf_add_format(s, "allowed_ip=10.%u.%u.%u/32\n", (64 + k) & 0xff, hi, lo);
}

char *fake_uapi_make_peers(size_t count, size_t extra, size_t *size)
{
    struct strbuf s = STRBUF_EMPTY;
    strbuf_add_str(&s, "private_key=");
    for (size_t i = 0; i < KEY_SIZE; i++)
        strbuf_add_str(&s, "01");
    strbuf_add_str(&s, "\nlisten_port=51820\n");
    for (size_t i = 1; i <= count; i++)
        add_peer(&s, (uint32_t)i, extra);
    *size = s.size;
    char *text = strbuf_take(&s);
    strbuf_fini(&s);
    return text;
}
