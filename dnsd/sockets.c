#include "dnsd/sockets.h"

#include "dnsd/gotext.h"
#include "dnsd/rcu.h"
#include "dnsd/udp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct socket_set {
    char *address;
    struct tcp_listener *tcp;
    struct udp_worker **udp;
    size_t udp_count;
    const struct listener *listener; /* RCU */
    bool is_started;
};

static void describe(struct strbuf *error, const char *function, const char *network,
                     const struct listener *l, int error_number)
{
    const char *host_port = strstr(l->address, "://");
    /* Go names the call that failed: the first that can, without descriptors or memory. */
    bool is_shortage = error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM ||
                       error_number == ENOBUFS;
    strbuf_add_format(error, "%s: listen %s %s: %s: ", function, network,
                      host_port != NULL ? host_port + 3 : l->address,
                      is_shortage ? "socket" : "bind");
    errno_text_add(error, error_number);
}

enum err sockets_open(struct socket_set **out, struct tcp_pool *pool, const struct listener *l,
                      size_t workers, struct strbuf *error)
{
    struct socket_set *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return ERR_NO_MEMORY;
    s->address = strdup(l->address);
    s->udp = calloc(workers, sizeof(struct udp_worker *));
    int error_number = ENOMEM;
    enum err e = s->address == NULL || s->udp == NULL ? ERR_NO_MEMORY : OK;
    if (e == OK)
        e = tcp_listener_open(&s->tcp, pool, &l->endpoint, &error_number);
    if (e != OK) {
        describe(error, "Listen", "tcp", l, error_number);
        sockets_close(s);
        return e;
    }
    while (e == OK && s->udp_count < workers) {
        e = udp_worker_open(&s->udp[s->udp_count], &l->endpoint, &error_number);
        s->udp_count += e == OK;
    }
    if (e != OK) {
        describe(error, "ListenPacket", "udp", l, error_number);
        sockets_close(s);
        return e;
    }
    *out = s;
    return OK;
}

const char *sockets_address(const struct socket_set *s)
{
    return s->address;
}

enum err sockets_serve(struct socket_set *s, const struct listener *l)
{
    rcu_assign_pointer(s->listener, l);
    if (s->is_started)
        return OK;
    s->is_started = true;
    for (size_t i = 0; i < s->udp_count; i++) {
        enum err e = udp_worker_start(s->udp[i], &s->listener);
        if (e != OK)
            return e;
    }
    return tcp_listener_start(s->tcp, &s->listener);
}

static void socket_set_free(void *context)
{
    struct socket_set *s = context;
    free(s->address);
    free(s);
}

void sockets_close(struct socket_set *s)
{
    for (size_t i = 0; i < s->udp_count; i++)
        udp_worker_destroy(s->udp[i]);
    free(s->udp);
    s->udp = NULL;
    s->udp_count = 0;
    if (s->tcp != NULL)
        tcp_listener_close(s->tcp, socket_set_free, s);
    else
        socket_set_free(s);
}
