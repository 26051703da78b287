#include "userspace.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* --- Keys. --- */

void public_key_cache_init(struct public_key_cache *c)
{
    *c = (struct public_key_cache){.filled = false};
    randombytes_buf(c->salt, sizeof(c->salt));
}

void public_key_derive(struct public_key_cache *c, uint8_t public_key[static KEY_SIZE],
                       const uint8_t private_key[static KEY_SIZE])
{
    uint8_t digest[sizeof(c->digest)];
    (void)crypto_generichash(digest, sizeof(digest), private_key, KEY_SIZE, c->salt,
                             sizeof(c->salt));
    if (!c->filled || sodium_memcmp(digest, c->digest, sizeof(digest)) != 0) {
        (void)crypto_scalarmult_base(c->public_key, private_key);
        memcpy(c->digest, digest, sizeof(digest));
        c->filled = true;
    }
    memcpy(public_key, c->public_key, KEY_SIZE);
}

/* --- Values. --- */

struct line {
    const char *key;
    size_t key_size;
    const char *value;
    size_t value_size;
};

static enum err bad_value(struct uapi_parser *p, const struct line *line)
{
    /* Never the value: it may be a private key. */
    return fail(p->why, ERR_MALFORMED, "device answer: bad value of %.*s in line %zu",
                (int)line->key_size, line->key, p->line_number);
}

/* Decimal digits, at most MAX; false for anything else. */
static bool number_of(const char *text, size_t size, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (size == 0)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

static enum err read_number(struct uapi_parser *p, const struct line *line, uint64_t max,
                            uint64_t *out)
{
    return number_of(line->value, line->value_size, max, out) ? OK : bad_value(p, line);
}

static enum err read_u16(struct uapi_parser *p, const struct line *line, uint16_t *out)
{
    uint64_t value = 0;
    enum err error = read_number(p, line, UINT16_MAX, &value);
    if (error == OK)
        *out = (uint16_t)value;
    return error;
}

static enum err read_u32(struct uapi_parser *p, const struct line *line, uint32_t *out)
{
    uint64_t value = 0;
    enum err error = read_number(p, line, UINT32_MAX, &value);
    if (error == OK)
        *out = (uint32_t)value;
    return error;
}

static enum err read_time(struct uapi_parser *p, const struct line *line, int64_t *out)
{
    bool negative = line->value_size > 0 && line->value[0] == '-';
    uint64_t value;
    if (!number_of(line->value + negative, line->value_size - negative, INT64_MAX, &value))
        return bad_value(p, line);
    *out = negative ? -(int64_t)value : (int64_t)value;
    return OK;
}

static enum err read_key(struct uapi_parser *p, const struct line *line,
                         uint8_t out[static KEY_SIZE])
{
    if (line->value_size != KEY_HEX_SIZE || hex_decode(out, line->value, line->value_size) != OK)
        return bad_value(p, line);
    return OK;
}

static enum err read_private_key(struct uapi_parser *p, const struct line *line)
{
    uint8_t private_key[KEY_SIZE];
    enum err error = read_key(p, line, private_key);
    if (error == OK) {
        p->device->has_public_key = sodium_is_zero(private_key, sizeof(private_key)) == 0;
        if (p->device->has_public_key)
            public_key_derive(p->key_cache, p->device->public_key, private_key);
    }
    sodium_memzero(private_key, sizeof(private_key));
    return error;
}

/* Whether the value is the all-zero key, which most peers have in place of a preshared one. Looks
 * at every character, so that the time tells nothing about a real key. */
static bool is_zero_key(const struct line *line)
{
    unsigned difference = 0;
    if (line->value_size != KEY_HEX_SIZE)
        return false;
    for (size_t i = 0; i < KEY_HEX_SIZE; i++)
        difference |= (unsigned char)(line->value[i] ^ '0');
    return difference == 0;
}

static enum err read_preshared_key(struct uapi_parser *p, const struct line *line)
{
    if (is_zero_key(line)) {
        p->peer->has_preshared_key = false;
        return OK;
    }
    uint8_t key[KEY_SIZE];
    enum err error = read_key(p, line, key);
    if (error == OK)
        p->peer->has_preshared_key = sodium_is_zero(key, sizeof(key)) == 0;
    sodium_memzero(key, sizeof(key));
    return error;
}

/* "-110" or "110": wireguard-go writes it negative, the protocol's description positive. */
static enum err read_errno(struct uapi_parser *p, const struct line *line)
{
    bool negative = line->value_size > 0 && line->value[0] == '-';
    uint64_t value;
    if (!number_of(line->value + negative, line->value_size - negative, INT_MAX, &value))
        return bad_value(p, line);
    p->has_errno = true;
    p->device_errno = (uint32_t)value;
    return OK;
}

static enum err open_peer(struct uapi_parser *p, const struct line *line)
{
    uint8_t key[KEY_SIZE];
    enum err error = read_key(p, line, key);
    if (error != OK)
        return error;
    error = wg_device_add_peer(p->device, &p->peer);
    if (error != OK)
        return fail(p->why, error, "device answer: too many peers for us in line %zu",
                    p->line_number);
    memcpy(p->peer->public_key, key, KEY_SIZE);
    return OK;
}

static enum err read_allowed_ip(struct uapi_parser *p, const struct line *line)
{
    struct ip_prefix prefix;
    if (ip_prefix_parse(&prefix, line->value, line->value_size) != OK)
        return bad_value(p, line);
    ip_prefix_mask(&prefix); /* the kernel does it, and so does everybody who reads this socket */
    enum err error = wg_device_add_allowed_ip(p->device, &prefix);
    return error == OK
               ? OK
               : fail(p->why, error, "device answer: too many allowed IPs for us in line %zu",
                      p->line_number);
}

static enum err read_endpoint(struct uapi_parser *p, const struct line *line)
{
    struct ip_endpoint endpoint;
    if (ip_endpoint_parse(&endpoint, line->value, line->value_size) != OK)
        return bad_value(p, line);
    p->peer->endpoint = endpoint;
    return OK;
}

/* --- Lines. --- */

enum uapi_key {
    UAPI_UNKNOWN,
    UAPI_ERRNO,
    UAPI_PUBLIC_KEY,
    UAPI_PRIVATE_KEY,
    UAPI_LISTEN_PORT,
    UAPI_FWMARK,
    UAPI_PRESHARED_KEY,
    UAPI_ENDPOINT,
    UAPI_ALLOWED_IP,
    UAPI_HANDSHAKE_SEC,
    UAPI_HANDSHAKE_NSEC,
    UAPI_RX_BYTES,
    UAPI_TX_BYTES,
    UAPI_KEEPALIVE,
};

static const struct {
    const char *text;
    size_t size;
    enum uapi_key key;
} uapi_keys[] = {
#define KEY(text, key)                                                                             \
    {                                                                                              \
        text, sizeof(text) - 1, key                                                                \
    }
    /* The most frequent first. */
    KEY("allowed_ip", UAPI_ALLOWED_IP),
    KEY("public_key", UAPI_PUBLIC_KEY),
    KEY("preshared_key", UAPI_PRESHARED_KEY),
    KEY("endpoint", UAPI_ENDPOINT),
    KEY("last_handshake_time_sec", UAPI_HANDSHAKE_SEC),
    KEY("last_handshake_time_nsec", UAPI_HANDSHAKE_NSEC),
    KEY("rx_bytes", UAPI_RX_BYTES),
    KEY("tx_bytes", UAPI_TX_BYTES),
    KEY("persistent_keepalive_interval", UAPI_KEEPALIVE),
    KEY("private_key", UAPI_PRIVATE_KEY),
    KEY("listen_port", UAPI_LISTEN_PORT),
    KEY("fwmark", UAPI_FWMARK),
    KEY("errno", UAPI_ERRNO),
#undef KEY
};

static enum uapi_key key_of(const char *text, size_t size)
{
    for (size_t i = 0; i < ARRAY_COUNT(uapi_keys); i++)
        if (uapi_keys[i].size == size && memcmp(uapi_keys[i].text, text, size) == 0)
            return uapi_keys[i].key;
    return UAPI_UNKNOWN;
}

static enum err device_line(struct uapi_parser *p, const struct line *line, enum uapi_key key)
{
    if (key == UAPI_PRIVATE_KEY)
        return read_private_key(p, line);
    if (key == UAPI_LISTEN_PORT)
        return read_u16(p, line, &p->device->listen_port);
    if (key == UAPI_FWMARK)
        return read_u32(p, line, &p->device->fwmark);
    return OK;
}

static enum err peer_line(struct uapi_parser *p, const struct line *line, enum uapi_key key)
{
    struct wg_peer *peer = p->peer;
    switch (key) {
    case UAPI_PRESHARED_KEY:
        return read_preshared_key(p, line);
    case UAPI_ENDPOINT:
        return read_endpoint(p, line);
    case UAPI_ALLOWED_IP:
        return read_allowed_ip(p, line);
    case UAPI_HANDSHAKE_SEC:
        return read_time(p, line, &peer->last_handshake_sec);
    case UAPI_HANDSHAKE_NSEC:
        return read_time(p, line, &peer->last_handshake_nsec);
    case UAPI_RX_BYTES:
        return read_number(p, line, UINT64_MAX, &peer->rx_bytes);
    case UAPI_TX_BYTES:
        return read_number(p, line, UINT64_MAX, &peer->tx_bytes);
    case UAPI_KEEPALIVE:
        return read_u16(p, line, &peer->persistent_keepalive);
    case UAPI_UNKNOWN:
    case UAPI_ERRNO:
    case UAPI_PUBLIC_KEY:
    case UAPI_PRIVATE_KEY:
    case UAPI_LISTEN_PORT:
    case UAPI_FWMARK:
    default: /* a device's key has no meaning among a peer's */
        return OK;
    }
}

/* One line without its newline. CUT: there was more of it than a known key can have. */
static enum err read_line(struct uapi_parser *p, const char *text, size_t size, bool cut)
{
    assert(size <= UAPI_LINE_SIZE);
    p->line_number++;
    if (size == 0) {
        p->done = true;
        return OK;
    }
    const char *equals = memchr(text, '=', size);
    if (equals == NULL)
        return fail(p->why, ERR_MALFORMED, "device answer: line %zu is not key=value",
                    p->line_number);
    struct line line = {.key = text, .key_size = (size_t)(equals - text), .value = equals + 1};
    line.value_size = size - line.key_size - 1;
    enum uapi_key key = key_of(line.key, line.key_size);
    if (key == UAPI_UNKNOWN)
        return OK;
    if (cut)
        return bad_value(p, &line);
    if (key == UAPI_ERRNO)
        return read_errno(p, &line);
    if (key == UAPI_PUBLIC_KEY)
        return open_peer(p, &line);
    return p->peer != NULL ? peer_line(p, &line, key) : device_line(p, &line, key);
}

/* Keeps the start of a line whose newline has not come yet. */
static void keep_partial(struct uapi_parser *p, const char *text, size_t size)
{
    size_t room = sizeof(p->partial) - p->partial_size;
    if (size > room) {
        p->partial_cut = true;
        size = room;
    }
    memcpy(p->partial + p->partial_size, text, size);
    p->partial_size += size;
}

/* The rest of a line that began in an earlier chunk. */
static enum err end_partial(struct uapi_parser *p, const char *text, size_t size)
{
    keep_partial(p, text, size);
    enum err error = read_line(p, p->partial, p->partial_size, p->partial_cut);
    sodium_memzero(p->partial, p->partial_size);
    p->partial_size = 0;
    p->partial_cut = false;
    return error;
}

void uapi_parser_init(struct uapi_parser *p, struct wg_device *device,
                      struct public_key_cache *key_cache, struct failure *why)
{
    assert(device->peer_count == 0 && device->allowed_ip_count == 0);
    *p = (struct uapi_parser){.device = device, .key_cache = key_cache, .why = why};
}

enum err uapi_parser_feed(struct uapi_parser *p, const void *data, size_t size)
{
    const char *at = data;
    const char *end = at + size;
    while (at < end && !p->done) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        if (newline == NULL) {
            keep_partial(p, at, (size_t)(end - at));
            return OK;
        }
        size_t line_size = (size_t)(newline - at);
        enum err error = p->partial_size > 0          ? end_partial(p, at, line_size)
                         : line_size > UAPI_LINE_SIZE ? read_line(p, at, UAPI_LINE_SIZE, true)
                                                      : read_line(p, at, line_size, false);
        if (error != OK)
            return error;
        at = newline + 1;
    }
    return OK;
}

enum err uapi_parser_finish(struct uapi_parser *p)
{
    bool inside_line = p->partial_size > 0;
    sodium_memzero(p->partial, sizeof(p->partial));
    p->partial_size = 0;
    if (!p->has_errno || inside_line)
        return fail(p->why, ERR_MALFORMED, "device answer: it ends early, after line %zu",
                    p->line_number);
    if (p->device_errno == 0)
        return OK;
    enum err error = err_from_errno((int)p->device_errno);
    /* ERR_NOT_FOUND is kept for "no socket", after which the kernel is asked. */
    return fail(p->why, error == ERR_NOT_FOUND ? ERR_IO : error, "the device answered: %s",
                strerror((int)p->device_errno));
}

/* --- Changes. --- */

struct text {
    char *data;
    size_t size;
    size_t capacity;
};

static bool text_add(struct text *t, const char *format, ...) PRINTF_LIKE(2, 3);

/* False if it does not fit: then T has to be cut back. */
static bool text_add(struct text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t room = t->capacity - t->size;
    int size = vsnprintf(t->data + t->size, room, format, args);
    va_end(args);
    if (size < 0 || (size_t)size >= room)
        return false;
    t->size += (size_t)size;
    return true;
}

/* All but the allowed IPs. */
static bool add_peer_head(struct text *t, const struct wgctl_peer_change *change, bool is_continued)
{
    char hex[KEY_HEX_SIZE];
    char endpoint[IP_ENDPOINT_TEXT_SIZE];
    hex_encode(hex, change->public_key, KEY_SIZE);
    if (!text_add(t, "public_key=%.*s\n", KEY_HEX_SIZE, hex) ||
        (change->update_only && !text_add(t, "update_only=true\n")))
        return false;
    if (change->remove)
        return text_add(t, "remove=true\n");
    if (is_continued)
        return true;
    if (change->has_endpoint)
        (void)ip_endpoint_format(&change->endpoint, endpoint);
    return (!change->has_endpoint || text_add(t, "endpoint=%s\n", endpoint)) &&
           (!change->has_keepalive ||
            text_add(t, "persistent_keepalive_interval=%u\n", change->keepalive_s)) &&
           (!change->replace_allowed_ips || text_add(t, "replace_allowed_ips=true\n"));
}

/* As put_change of netlink.c. */
static bool add_change(struct text *t, struct change_cursor *c)
{
    const struct wgctl_peer_change *change = &c->changes[c->at];
    size_t count = change_ip_count(change);
    size_t next = c->ip_index;
    size_t before = t->size;
    bool fits = add_peer_head(t, change, next > 0);
    while (fits && next < count) {
        char prefix[IP_PREFIX_TEXT_SIZE];
        (void)ip_prefix_format(&change->allowed_ips[next], prefix);
        if (!text_add(t, "allowed_ip=%s\n", prefix))
            break;
        next++;
    }
    if (!fits || (count > 0 && next == c->ip_index)) {
        t->size = before;
        return false;
    }
    change_cursor_move(c, next);
    return true;
}

size_t userspace_set_write(struct change_cursor *c, char *buffer, size_t size)
{
    assert(size >= USERSPACE_SET_MIN_SIZE && c->at < c->end);
    /* One byte less: room for the empty line. */
    struct text t = {.data = buffer, .capacity = size - 1};
    size_t first = c->at;
    bool fits = text_add(&t, "set=1\n");
    while (fits && c->at < c->end && add_change(&t, c) && c->ip_index == 0)
        ;
    assert(c->at > first || c->ip_index > 0);
    t.data[t.size++] = '\n';
    return t.size;
}

/* --- The socket. --- */

static enum err system_error(struct failure *why, const char *step, const char *path)
{
    int error_number = errno;
    return fail(why, err_from_errno(error_number), "%s %s: %s", step, path, strerror(error_number));
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct conversation {
    int fd;
    int cancel_fd;       /* readable: give up; -1: none */
    int64_t deadline_ms; /* of all of it */
    struct sockaddr_un address;
    struct failure *why;
};

/* ERR_NOT_FOUND: no socket, or a stale one that its owner left behind. */
static enum err conversation_open(struct conversation *c, const char *directory, const char *name)
{
    c->fd = -1;
    c->deadline_ms = now_ms() + WGCTL_SOCKET_TIMEOUT_MS;
    c->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    char *path = c->address.sun_path;
    int size = snprintf(path, sizeof(c->address.sun_path), "%s/%s.sock", directory, name);
    if (size < 0 || (size_t)size >= sizeof(c->address.sun_path))
        /* Then nobody listens there either. */
        return fail(c->why, ERR_NOT_FOUND, "%s/%s.sock is too long for a socket", directory, name);
    /* One system call for each read of a kernel device; four without. */
    if (access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        return fail(c->why, ERR_NOT_FOUND, "there is no %s", path);
    /* Non-blocking: a listener whose queue is full must not hold us in connect. */
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return system_error(c->why, "making a socket for", path);
    if (connect(c->fd, (const struct sockaddr *)&c->address, sizeof(c->address)) == 0)
        return OK;
    switch (errno) {
    case ECONNREFUSED:
        return fail(c->why, ERR_NOT_FOUND, "nothing listens at %s", path);
    case ENOENT:
    case ENOTDIR:
        return fail(c->why, ERR_NOT_FOUND, "there is no %s", path);
    case EAGAIN:
    case EINTR:
        return fail(c->why, ERR_TIMEOUT, "connecting to %s: its queue is full", path);
    default:
        return system_error(c->why, "connecting to", path);
    }
}

static void conversation_close(struct conversation *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
}

/* Waits until EVENT is possible. */
static enum err wait_for(struct conversation *c, short event)
{
    for (;;) {
        int64_t left = c->deadline_ms - now_ms();
        struct pollfd p[] = {{.fd = c->fd, .events = event},
                             {.fd = c->cancel_fd, .events = POLLIN}};
        int n = left > 0 ? poll(p, ARRAY_COUNT(p), (int)left) : 0;
        if (n > 0 && p[1].revents != 0)
            return fail(c->why, ERR_CLOSED, "talking to %s: cancelled", c->address.sun_path);
        if (n > 0)
            return OK;
        if (n == 0)
            return fail(c->why, ERR_TIMEOUT, "talking to %s: no whole answer within %d ms",
                        c->address.sun_path, WGCTL_SOCKET_TIMEOUT_MS);
        if (errno != EINTR)
            return system_error(c->why, "waiting for", c->address.sun_path);
    }
}

static enum err send_all(struct conversation *c, const char *text, size_t size)
{
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(c->fd, text + sent, size - sent, MSG_NOSIGNAL);
        if (n >= 0) {
            sent += (size_t)n;
        } else if (errno == EAGAIN) {
            enum err error = wait_for(c, POLLOUT);
            if (error != OK)
                return error;
        } else if (errno != EINTR) {
            return system_error(c->why, "writing to", c->address.sun_path);
        }
    }
    return OK;
}

/* The next bytes; *SIZE 0 at the end of the stream. */
static enum err receive(struct conversation *c, uint8_t *buffer, size_t *size)
{
    for (;;) {
        /* Checked here too: a device that keeps dripping bytes never makes us wait. */
        enum err error = wait_for(c, POLLIN);
        if (error != OK)
            return error;
        ssize_t n = recv(c->fd, buffer, USERSPACE_RECEIVE_SIZE, MSG_DONTWAIT);
        if (n >= 0) {
            *size = (size_t)n;
            return OK;
        }
        if (errno != EINTR && errno != EAGAIN)
            return system_error(c->why, "reading from", c->address.sun_path);
    }
}

static enum err read_answer(struct conversation *c, struct uapi_parser *p, uint8_t *buffer)
{
    size_t total = 0;
    size_t size = 0;
    enum err error = OK;
    do {
        error = receive(c, buffer, &size);
        if (error != OK)
            return error;
        total += size;
        if (total > WGCTL_MAX_ANSWER_SIZE)
            return fail(c->why, ERR_LIMIT, "the answer of %s is longer than %d bytes",
                        c->address.sun_path, WGCTL_MAX_ANSWER_SIZE);
        error = uapi_parser_feed(p, buffer, size);
    } while (error == OK && size > 0 && !p->done);
    return error;
}

/* Sends REQUEST and parses the answer into DEVICE. */
static enum err converse(const char *directory, const char *name, int cancel_fd,
                         const char *request, size_t request_size, struct uapi_parser *p,
                         uint8_t *buffer)
{
    struct conversation c = {.why = p->why, .cancel_fd = cancel_fd};
    enum err error = conversation_open(&c, directory, name);
    if (error == OK)
        error = send_all(&c, request, request_size);
    if (error == OK)
        error = read_answer(&c, p, buffer);
    conversation_close(&c);
    if (error == OK)
        return uapi_parser_finish(p);
    sodium_memzero(p->partial, sizeof(p->partial));
    return error;
}

enum err userspace_read(const char *directory, const char *name, struct wg_device *device,
                        struct public_key_cache *key_cache, int cancel_fd, uint8_t *buffer,
                        struct failure *why)
{
    static const char request[] = "get=1\n\n";
    struct uapi_parser parser;
    wg_device_clear(device);
    uapi_parser_init(&parser, device, key_cache, why);
    enum err error =
        converse(directory, name, cancel_fd, request, sizeof(request) - 1, &parser, buffer);
    if (error != ERR_NOT_FOUND)
        sodium_memzero(buffer, USERSPACE_RECEIVE_SIZE);
    return error;
}

enum err userspace_set_next(const char *directory, const char *name, struct change_cursor *c,
                            int cancel_fd, uint8_t *buffer, struct failure *why)
{
    /* The answer's buffer holds the request first: it is sent whole before anything is read. */
    char *request = (char *)buffer;
    size_t size = userspace_set_write(c, request, USERSPACE_SET_SIZE);
    struct wg_device unused;
    struct public_key_cache no_cache = {.filled = false};
    struct uapi_parser parser;
    wg_device_init(&unused);
    uapi_parser_init(&parser, &unused, &no_cache, why);
    enum err error = converse(directory, name, cancel_fd, request, size, &parser, buffer);
    wg_device_fini(&unused);
    return error;
}
