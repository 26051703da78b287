#include "sockets.h"

#include "base/attr.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BACKLOG = 1024,
    HOST_SIZE = 256,
    PORT_SIZE = 6,
};

/* --- URLs ------------------------------------------------------------------------------------- */

static enum err refuse(struct strbuf *error, enum err e, const char *url, const char *why)
{
    strbuf_add_format(error, "listen-client-urls: \"%s\": %s\n", url, why);
    return e;
}

/* "HOST:PORT" with an optional "/" behind it; the host may be in brackets. */
static bool split(const char *text, char host[HOST_SIZE], char port[PORT_SIZE])
{
    size_t size = strcspn(text, "/");
    if (text[size] == '/' && text[size + 1] != '\0')
        return false;
    const char *colon = size > 0 ? memrchr(text, ':', size) : NULL;
    if (colon == NULL)
        return false;
    size_t host_size = (size_t)(colon - text), port_size = size - host_size - 1;
    if (host_size > 1 && text[0] == '[' && text[host_size - 1] == ']') {
        text++;
        host_size -= 2;
    }
    if (host_size == 0 || host_size >= HOST_SIZE || port_size == 0 || port_size >= PORT_SIZE)
        return false;
    memcpy(host, text, host_size);
    host[host_size] = '\0';
    memcpy(port, colon + 1, port_size);
    port[port_size] = '\0';
    return strspn(port, "0123456789") == port_size && atol(port) <= UINT16_MAX;
}

static enum err parse_url(const char *url, char host[HOST_SIZE], char port[PORT_SIZE],
                          struct strbuf *error)
{
    static const char http[] = "http://", https[] = "https://", unix_socket[] = "unix://";
    if (strncmp(url, https, sizeof(https) - 1) == 0)
        return refuse(error, ERR_UNSUPPORTED, url, "TLS is not supported yet: use http://");
    if (strncmp(url, unix_socket, sizeof(unix_socket) - 1) == 0)
        return refuse(error, ERR_UNSUPPORTED, url, "Unix sockets are not supported: use http://");
    if (strncmp(url, http, sizeof(http) - 1) != 0 || !split(url + sizeof(http) - 1, host, port))
        return refuse(error, ERR_MALFORMED, url, "not of the form http://HOST:PORT");
    return OK;
}

/* --- listening -------------------------------------------------------------------------------- */

static int open_socket(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (a->ai_family == AF_INET6) {
        /* The wildcard serves both families, as Go's does. */
        const struct sockaddr_in6 *in6 = (const void *)a->ai_addr;
        bool is_any = memcmp(&in6->sin6_addr, &in6addr_any, sizeof(in6addr_any)) == 0;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, is_any ? &off : &on, sizeof(on));
    }
    if (bind(fd, a->ai_addr, a->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    const struct sockaddr_in *in = (const void *)&address;
    const struct sockaddr_in6 *in6 = (const void *)&address;
    return ntohs(address.ss_family == AF_INET6 ? in6->sin6_port : in->sin_port);
}

/* IPv4 first where a name has both, as Go prefers it for listening. */
static const struct addrinfo *preferred(const struct addrinfo *list)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next)
        if (a->ai_family == AF_INET)
            return a;
    return list;
}

enum err listener_open(struct listener *l, struct api *api, const char *url, struct strbuf *error)
{
    char host[HOST_SIZE], port[PORT_SIZE];
    *l = (struct listener){.api = api, .fd = -1};
    enum err e = parse_url(url, host, port, error);
    if (e != OK)
        return e;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rv = getaddrinfo(host, port, &hints, &list);
    if (rv != 0 || list == NULL)
        return refuse(error, ERR_MALFORMED, url, rv != 0 ? gai_strerror(rv) : "no address");
    l->fd = open_socket(preferred(list));
    int error_number = errno;
    freeaddrinfo(list);
    if (l->fd < 0)
        return refuse(error, err_from_errno(error_number), url, strerror(error_number));
    l->port = port_of(l->fd);
    return OK;
}

/* --- accepting -------------------------------------------------------------------------------- */

/* The client was gone before we came, or the network had something: not the listener's trouble. */
static bool is_passing(int error_number)
{
    return error_number == ECONNABORTED || error_number == EINTR || error_number == EPROTO ||
           error_number == ENETDOWN || error_number == EHOSTUNREACH || error_number == ENETUNREACH;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener *l = (struct listener *)poll;
    for (int i = 0; i < SOCKETS_ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            client_accept(l->api, fd);
            continue;
        }
        if (is_passing(errno))
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
            /* No descriptors or memory: the tick tries again. */
            l->is_paused = true;
            (void)uv_poll_stop(poll);
        }
        return;
    }
}

enum err listener_start(struct listener *l)
{
    if (uv_poll_init(l->api->loop, &l->poll, l->fd) != 0)
        return ERR_IO;
    l->is_started = true;
    l->api->open_handles++;
    return uv_poll_start(&l->poll, UV_READABLE, on_connection) == 0 ? OK : ERR_IO;
}

void listener_resume(struct listener *l)
{
    if (l->is_paused && uv_poll_start(&l->poll, UV_READABLE, on_connection) == 0)
        l->is_paused = false;
}

static void on_closed(uv_handle_t *handle)
{
    struct listener *l = (struct listener *)handle;
    close(l->fd);
    api_handle_closed(l->api);
}

void listener_close(struct listener *l)
{
    if (l->is_started)
        uv_close((uv_handle_t *)&l->poll, on_closed);
    else if (l->fd >= 0)
        close(l->fd);
}
