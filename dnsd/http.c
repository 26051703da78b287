#include "dnsd/http.h"

#include "base/ip.h"
#include "dnsd/gotext.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
    /* libmicrohttpd stops accepting at its own bound; ours is lower, so that it never does. */
    CONNECTION_SLACK = 16,
};

static const char slot_name[] = "http";
static const char text_plain[] = "text/plain; charset=utf-8";

struct connection {
    struct connection *newer, *older;
    int fd;
    bool busy; /* waits for its first request to end, or for the current one */
    bool evicted;
    size_t uploaded;
};

struct route {
    const char *address; /* as declared */
    const char *path;
    http_handler_fn *fn;
    void *context;
    struct route *next;
};

struct server {
    struct server *next;
    struct ip_endpoint requested; /* as resolved; what servers are told apart by */
    int fd;
    /* While a reload is under way: whose socket this one shares, and who shares this one's. */
    struct server *predecessor, *successor;

    pthread_mutex_t route_lock; /* held while a handler runs */
    struct route *routes;       /* a path only once */

    int stop_fd; /* readable once the thread is to end */
    pthread_t thread;
    /* Of the thread alone: */
    struct MHD_Daemon *daemon;
    struct connection *newest, *oldest;
    size_t connection_count; /* without evicted ones */
};

/* What an instance keeps in its slot. */
struct server_set {
    struct server *servers;
    struct route *declared; /* not yet served, newest first */
};

/* --- listening ------------------------------------------------------------------------------- */

static enum err errno_error(struct strbuf *error, const char *address, const char *call,
                            int error_number)
{
    strbuf_add_format(error, "listen tcp %s: %s: ", address, call);
    errno_text_add(error, error_number);
    return err_from_errno(error_number);
}

/* A number, a service name, or nothing at all for a port of the kernel's choice. */
static enum err resolve_port(const char *text, uint16_t *port, struct strbuf *error)
{
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    bool is_number = *end == '\0' && !isspace((unsigned char)*text);
    if (is_number && errno == 0 && number >= 0 && number <= UINT16_MAX) {
        *port = (uint16_t)number;
        return OK;
    }
    if (is_number) {
        strbuf_add_format(error, "listen tcp: address %s: invalid port", text);
        return ERR_MALFORMED;
    }
    struct servent entry, *found = NULL;
    char memory[1024];
    if (getservbyname_r(text, "tcp", &entry, memory, sizeof(memory), &found) != 0 ||
        found == NULL) {
        strbuf_add_format(error, "listen tcp: lookup tcp/%s: unknown port", text);
        return ERR_NOT_FOUND;
    }
    *port = ntohs((uint16_t)found->s_port);
    return OK;
}

/* An IPv4 address is preferred where a name has several, as Go prefers it for listening. */
static enum err resolve_host(const char *host, struct ip_endpoint *out, struct strbuf *error)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(host, NULL, &hints, &list) != 0 || list == NULL) {
        strbuf_add_format(error, "listen tcp: lookup %s: no such host", host);
        return ERR_NOT_FOUND;
    }
    const struct addrinfo *chosen = list;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        if (a->ai_family == AF_INET) {
            chosen = a;
            break;
        }
    }
    enum err e = ip_endpoint_from_sockaddr(out, chosen->ai_addr, chosen->ai_addrlen);
    freeaddrinfo(list);
    return e;
}

/* "host:port" to an endpoint; the wildcard ("", "0.0.0.0", "::") has family IP_NONE. */
static enum err resolve(const char *address, struct ip_endpoint *out, struct strbuf *error)
{
    const char *host, *port;
    size_t host_size;
    enum err e = host_port_split(address, &host, &host_size, &port, error);
    if (e != OK)
        return e;
    uint16_t number;
    e = resolve_port(port, &number, error);
    if (e != OK)
        return e;
    struct ip_endpoint endpoint = {0};
    if (host_size > 0) {
        char *name = strndup(host, host_size);
        if (name == NULL)
            return ERR_NO_MEMORY;
        e = resolve_host(name, &endpoint, error);
        free(name);
        if (e != OK)
            return e;
    }
    static const uint8_t zero[16];
    if (memcmp(endpoint.addr.bytes, zero, sizeof(zero)) == 0)
        endpoint.addr.family = IP_NONE;
    endpoint.port = number;
    *out = endpoint;
    return OK;
}

/* A socket for the endpoint; the wildcard serves both families where the kernel has both. */
static int open_socket(const struct ip_endpoint *at, struct sockaddr_storage *address,
                       socklen_t *size)
{
    struct ip_endpoint e = *at;
    bool wildcard = e.addr.family == IP_NONE;
    if (wildcard)
        e.addr.family = IP_V6;
    int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int fd = socket(e.addr.family == IP_V6 ? AF_INET6 : AF_INET, type, IPPROTO_TCP);
    if (fd < 0 && wildcard && errno == EAFNOSUPPORT) {
        e.addr.family = IP_V4;
        fd = socket(AF_INET, type, IPPROTO_TCP);
    }
    if (fd < 0)
        return -1;
    int on = 1, off = 0;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    /* CoreDNS shares its HTTP ports too: a replacement may start before the old process ends. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (e.addr.family == IP_V6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, wildcard ? &off : &on, sizeof(on));
    *size = ip_endpoint_to_sockaddr(&e, address);
    return fd;
}

static enum err open_listener(const char *address, const struct ip_endpoint *at, int *out,
                              struct strbuf *error)
{
    char text[IP_ENDPOINT_TEXT_SIZE];
    const char *shown = address;
    if (at->addr.family != IP_NONE) {
        ip_endpoint_format(at, text);
        shown = text;
    }
    struct sockaddr_storage sa;
    socklen_t size = 0;
    int fd = open_socket(at, &sa, &size);
    if (fd < 0)
        return errno_error(error, shown, "socket", errno);
    const char *call = "bind";
    int result = bind(fd, (struct sockaddr *)&sa, size);
    if (result == 0) {
        call = "listen";
        result = listen(fd, SOMAXCONN);
    }
    if (result != 0) {
        enum err e = errno_error(error, shown, call, errno);
        close(fd);
        return e;
    }
    *out = fd;
    return OK;
}

/* --- connections ----------------------------------------------------------------------------- */

static void unlink_connection(struct server *s, struct connection *c)
{
    *(c->newer != NULL ? &c->newer->older : &s->newest) = c->older;
    *(c->older != NULL ? &c->older->newer : &s->oldest) = c->newer;
}

/* libmicrohttpd sees the end of the stream and closes the connection itself. */
static void evict_oldest(struct server *s)
{
    struct connection *c = s->oldest;
    while (c != NULL && c->evicted)
        c = c->newer;
    if (c == NULL)
        return;
    c->evicted = true;
    s->connection_count--;
    shutdown(c->fd, SHUT_RDWR);
}

static void connection_opened(struct server *s, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct connection *c = calloc(1, sizeof(*c));
    *context = c;
    if (c == NULL || info == NULL)
        return; /* uncounted; answer() ends it */
    c->fd = info->connect_fd;
    c->busy = true;
    if (s->connection_count >= HTTP_MAX_CONNECTIONS)
        evict_oldest(s);
    c->older = s->newest;
    *(s->newest != NULL ? &s->newest->newer : &s->oldest) = c;
    s->newest = c;
    s->connection_count++;
}

static void connection_closed(struct server *s, void **context)
{
    struct connection *c = *context;
    *context = NULL;
    if (c == NULL)
        return;
    if (!c->evicted)
        s->connection_count--;
    unlink_connection(s, c);
    free(c);
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        connection_opened(context, connection, socket_context);
    else
        connection_closed(context, socket_context);
}

static struct connection *connection_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info != NULL ? info->socket_context : NULL;
}

static void on_completed(void *context UNUSED, struct MHD_Connection *connection,
                         void **request_context UNUSED, enum MHD_RequestTerminationCode code UNUSED)
{
    struct connection *c = connection_of(connection);
    if (c != NULL)
        c->busy = false;
}

static bool any_busy(const struct server *s)
{
    for (const struct connection *c = s->oldest; c != NULL; c = c->newer)
        if (c->busy && !c->evicted)
            return true;
    return false;
}

/* --- requests -------------------------------------------------------------------------------- */

/* Go's cleaned form of PATH ("//a/./b/../c" is "/a/c"; a final slash stays), in OUT of at least
 * strlen(PATH) + 2 octets. */
static void clean_path(const char *path, char *out)
{
    size_t size = 0;
    bool slash_at_end = false;
    while (*path != '\0') {
        size_t length = strcspn(path, "/");
        slash_at_end = path[length] == '/';
        if (length == 2 && memcmp(path, "..", 2) == 0) {
            while (size > 0 && out[--size] != '/')
                ;
        } else if (length > 0 && !(length == 1 && *path == '.')) {
            out[size++] = '/';
            memcpy(out + size, path, length);
            size += length;
        }
        path += length + (slash_at_end ? 1 : 0);
    }
    if (size == 0 || slash_at_end)
        out[size++] = '/';
    out[size] = '\0';
}

static const struct route *find_route(const struct server *s, const char *path)
{
    for (const struct route *r = s->routes; r != NULL; r = r->next)
        if (strcmp(r->path, path) == 0)
            return r;
    return NULL;
}

/* The path to redirect to when the path as asked has no route but its cleaned form has. */
static const char *redirect_target(const struct server *s, const char *path)
{
    char *cleaned = malloc(strlen(path) + 2);
    if (cleaned == NULL)
        return NULL;
    clean_path(path, cleaned);
    const struct route *route = find_route(s, cleaned);
    free(cleaned);
    return route != NULL ? route->path : NULL;
}

static enum MHD_Result send_response(struct MHD_Connection *connection, struct http_response *r,
                                     const char *location)
{
    size_t size = r->body.size;
    char *body = strbuf_take(&r->body);
    if (body == NULL && size > 0)
        return MHD_NO;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    enum MHD_Result ok = MHD_add_response_header(response, "Content-Type", r->content_type);
    if (ok == MHD_YES && r->status == HTTP_NOT_FOUND)
        ok = MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (ok == MHD_YES && location != NULL)
        ok = MHD_add_response_header(response, "Location", location);
    if (ok == MHD_YES)
        ok = MHD_queue_response(connection, r->status, response);
    MHD_destroy_response(response);
    return ok;
}

static enum MHD_Result respond(struct server *s, struct MHD_Connection *connection,
                               const char *path, const char *method)
{
    struct http_response r = {.status = HTTP_OK, .content_type = text_plain};
    const char *location = NULL;
    pthread_mutex_lock(&s->route_lock);
    const struct route *route = find_route(s, path);
    if (route != NULL)
        route->fn(route->context, &r);
    else
        location = redirect_target(s, path);
    pthread_mutex_unlock(&s->route_lock);
    if (location != NULL) {
        r.status = HTTP_MOVED_PERMANENTLY;
        r.content_type = "text/html; charset=utf-8";
        if (strcmp(method, MHD_HTTP_METHOD_GET) == 0)
            strbuf_add_format(&r.body, "<a href=\"%s\">Moved Permanently</a>.\n\n", location);
    } else if (route == NULL) {
        r.status = HTTP_NOT_FOUND;
        strbuf_add_str(&r.body, "404 page not found\n");
    }
    enum MHD_Result ok = r.body.failed ? MHD_NO : send_response(connection, &r, location);
    strbuf_fini(&r.body);
    return ok;
}

/* libmicrohttpd calls once for the headers, once per piece of a body, once at its end. */
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version UNUSED,
                              const char *upload UNUSED, size_t *upload_size,
                              void **request_context)
{
    struct server *s = context;
    struct connection *c = connection_of(connection);
    if (c == NULL)
        return MHD_NO;
    if (*request_context == NULL) {
        *request_context = c;
        c->uploaded = 0;
        c->busy = true;
        return MHD_YES;
    }
    if (*upload_size > 0) {
        c->uploaded += *upload_size;
        *upload_size = 0;
        return c->uploaded <= HTTP_MAX_UPLOAD_SIZE ? MHD_YES : MHD_NO;
    }
    return respond(s, connection, url, method);
}

/* --- servers --------------------------------------------------------------------------------- */

static struct MHD_Daemon *start_daemon(struct server *s)
{
    return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, s, MHD_OPTION_LISTEN_SOCKET,
                            s->fd, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)(HTTP_MAX_CONNECTIONS + CONNECTION_SLACK),
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_TIMEOUT_S,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MAX_HEADER_SIZE,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
                            MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_END);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* How long the thread may wait for events; DEADLINE_MS is 0 for none. */
static int wait_ms(const struct server *s, int64_t deadline_ms)
{
    MHD_UNSIGNED_LONG_LONG idle_ms;
    int64_t wait = INT_MAX;
    if (MHD_get_timeout(s->daemon, &idle_ms) == MHD_YES && idle_ms < INT_MAX)
        wait = (int64_t)idle_ms;
    if (deadline_ms != 0) {
        int64_t left = deadline_ms - now_ms();
        wait = left < 0 ? 0 : left < wait ? left : wait;
    }
    return wait == INT_MAX ? -1 : (int)wait;
}

/* Serves until told to stop; then accepts no more, and lets requests that are on their way come to
 * their end. */
static void *serve_loop(void *context)
{
    struct server *s = context;
    int64_t deadline_ms = 0;
    struct pollfd fds[] = {
        {.fd = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd,
         .events = POLLIN},
        {.fd = s->stop_fd, .events = POLLIN},
    };
    for (;;) {
        (void)poll(fds, ARRAY_COUNT(fds), wait_ms(s, deadline_ms));
        if (fds[1].revents != 0) {
            (void)MHD_quiesce_daemon(s->daemon); /* our socket is left open */
            deadline_ms = now_ms() + HTTP_DRAIN_MS;
            fds[1].fd = -1;
            fds[1].revents = 0;
        }
        (void)MHD_run(s->daemon);
        if (deadline_ms != 0 && (!any_busy(s) || now_ms() >= deadline_ms))
            break;
    }
    MHD_stop_daemon(s->daemon);
    return NULL;
}

static void routes_free(struct route *r)
{
    while (r != NULL) {
        struct route *next = r->next;
        free(r);
        r = next;
    }
}

static void server_free(struct server *s)
{
    if (s->predecessor != NULL)
        s->predecessor->successor = NULL;
    if (s->successor != NULL)
        s->successor->predecessor = NULL;
    pthread_mutex_destroy(&s->route_lock);
    if (s->fd >= 0)
        close(s->fd);
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    routes_free(s->routes);
    free(s);
}

static struct server *server_new(void)
{
    struct server *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    pthread_mutex_init(&s->route_lock, NULL);
    s->fd = -1;
    s->stop_fd = -1;
    return s;
}

static enum err server_start(struct server *s)
{
    sigset_t all, old;
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->stop_fd < 0)
        return err_from_errno(errno);
    s->daemon = start_daemon(s);
    if (s->daemon == NULL)
        return ERR_IO;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the main thread */
    int error = pthread_create(&s->thread, NULL, serve_loop, s);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (error == 0)
        return OK;
    (void)MHD_quiesce_daemon(s->daemon);
    MHD_stop_daemon(s->daemon);
    return err_from_errno(error);
}

static void server_stop(struct server *s)
{
    (void)eventfd_write(s->stop_fd, 1);
    pthread_join(s->thread, NULL);
    server_free(s);
}

static void set_free(void *value)
{
    struct server_set *set = value;
    while (set->servers != NULL) {
        struct server *s = set->servers;
        set->servers = s->next;
        server_stop(s);
    }
    routes_free(set->declared);
    free(set);
}

static struct server *find_server(const struct server_set *set, const struct ip_endpoint *at)
{
    if (set == NULL)
        return NULL;
    for (struct server *s = set->servers; s != NULL; s = s->next)
        if (ip_endpoint_equal(&s->requested, at))
            return s;
    return NULL;
}

static enum err set_of(struct instance *inst, struct server_set **out)
{
    struct server_set *set = instance_slot(inst, slot_name);
    if (set == NULL) {
        set = calloc(1, sizeof(*set));
        if (set == NULL)
            return ERR_NO_MEMORY;
        enum err e = instance_set_slot(inst, slot_name, set, set_free);
        if (e != OK) {
            free(set);
            return e;
        }
    }
    *out = set;
    return OK;
}

/* The socket of the instance that is being replaced, if it listens there; else a new one. */
static enum err take_listener(struct server *s, struct instance *inst, const char *address,
                              struct strbuf *error)
{
    struct instance *previous = instance_previous(inst);
    const struct ip_endpoint *at = &s->requested;
    struct server *old =
        previous != NULL ? find_server(instance_slot(previous, slot_name), at) : NULL;
    if (old == NULL)
        return open_listener(address, at, &s->fd, error);
    s->fd = fcntl(old->fd, F_DUPFD_CLOEXEC, 0);
    if (s->fd < 0)
        return errno_error(error, address, "dup", errno);
    s->predecessor = old;
    old->successor = s;
    return OK;
}

/* Moves what was declared for ADDRESS to its server, in the order of declaration. */
static void serve_declared(struct server_set *set, const char *address, struct server *s)
{
    struct route *taken = NULL;
    for (struct route **at = &set->declared; *at != NULL;) {
        struct route *r = *at;
        if (strcmp(r->address, address) != 0) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        r->next = taken;
        taken = r;
    }
    pthread_mutex_lock(&s->route_lock);
    while (taken != NULL) {
        struct route *r = taken;
        taken = r->next;
        if (find_route(s, r->path) != NULL) {
            free(r);
            continue;
        }
        r->next = s->routes;
        s->routes = r;
    }
    pthread_mutex_unlock(&s->route_lock);
}

static enum err server_open(struct instance *inst, struct server_set *set, const char *address,
                            const struct ip_endpoint *at, struct server **out, struct strbuf *error)
{
    struct server *s = server_new();
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->requested = *at;
    enum err e = take_listener(s, inst, address, error);
    if (e == OK) {
        serve_declared(set, address, s); /* before the first request can come */
        e = server_start(s);
        if (e != OK)
            strbuf_add_format(error, "listen tcp %s: cannot start the HTTP server", address);
    }
    if (e != OK) {
        server_free(s);
        return e;
    }
    s->next = set->servers;
    set->servers = s;
    *out = s;
    return OK;
}

enum err http_route_add(struct instance *inst, const char *address, const char *path,
                        http_handler_fn *fn, void *context)
{
    struct server_set *set;
    enum err e = set_of(inst, &set);
    if (e != OK)
        return e;
    struct route *r = malloc(sizeof(*r));
    if (r == NULL)
        return ERR_NO_MEMORY;
    *r = (struct route){address, path, fn, context, set->declared};
    set->declared = r;
    return OK;
}

enum err http_open(struct instance *inst, const char *address, struct sockaddr_storage *bound,
                   struct strbuf *error)
{
    struct server_set *set;
    struct ip_endpoint at;
    enum err e = set_of(inst, &set);
    if (e == OK)
        e = resolve(address, &at, error);
    if (e != OK)
        return e;
    struct server *s = find_server(set, &at);
    if (s != NULL)
        serve_declared(set, address, s);
    else
        e = server_open(inst, set, address, &at, &s, error);
    socklen_t size = sizeof(*bound);
    if (e == OK && bound != NULL && getsockname(s->fd, (struct sockaddr *)bound, &size) != 0)
        e = errno_error(error, address, "getsockname", errno);
    return e;
}

/* Where the route stands in the server's list, or NULL. Only this thread changes the list. */
static struct route **find_route_of(struct server *s, const char *path, const void *context)
{
    for (struct route **at = &s->routes; *at != NULL; at = &(*at)->next)
        if ((*at)->context == context && strcmp((*at)->path, path) == 0)
            return at;
    return NULL;
}

static void remove_route(struct server *s, struct route **at)
{
    pthread_mutex_lock(&s->route_lock);
    struct route *r = *at;
    *at = r->next;
    pthread_mutex_unlock(&s->route_lock);
    free(r);
}

void http_route_remove(struct instance *inst, const char *path, const void *context)
{
    struct server_set *set = instance_slot(inst, slot_name);
    if (set == NULL)
        return;
    for (struct server **at = &set->servers; *at != NULL;) {
        struct server *s = *at;
        /* A server whose socket a new instance has by now stops as a whole, and one stops before
         * its last route goes: whoever connected gets an answer. */
        struct route **route = find_route_of(s, path, context);
        if (route != NULL && (s->successor != NULL || s->routes->next == NULL)) {
            *at = s->next;
            server_stop(s);
            continue;
        }
        if (route != NULL)
            remove_route(s, route);
        at = &s->next;
    }
}
