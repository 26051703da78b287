/* The sockets of the API on the loop: listeners, clients, and when what is written.
 *
 * A client's first bytes are peeked at: with HTTP/2's preface it becomes a conn, with anything else
 * its socket goes to libmicrohttpd. What all calls of one turn of the loop have produced for a
 * client goes out in one send. */
#ifndef WARREN_REGISTRY_API_SOCKETS_H
#define WARREN_REGISTRY_API_SOCKETS_H

#include "conn.h"
#include "http1.h"
#include "outbuf.h"
#include "registry/api.h"
#include "server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum {
    SOCKETS_READ_SIZE = 64 << 10,
    SOCKETS_READS_PER_TURN = 4,
    SOCKETS_WRITE_SIZE = 256 << 10, /* produced at once for one client */
    SOCKETS_ACCEPTS_PER_TURN = 64,
    SOCKETS_TICK_MS = 1000,
    SOCKETS_LINGER_MS = 1000, /* so that a client reads the GOAWAY before the reset */
};

struct client {
    uv_poll_t poll; /* first: the loop gives it back */
    struct api *api;
    struct client *next, *previous;
    struct client *next_ready;
    struct conn *conn; /* NULL: not told apart yet, or lingering */
    int fd;            /* -1: handed over */
    int events;        /* asked of the loop */
    struct outbuf unsent;
    uint64_t since_ms; /* of the accept, or of the lingering */
    bool is_ready;
    bool is_lingering;
    bool is_closing;
};

struct listener {
    uv_poll_t poll; /* first */
    struct api *api;
    int fd;
    uint16_t port;
    bool is_started, is_paused;
};

struct api {
    struct server server;
    uv_loop_t *loop;
    struct listener *listeners;
    size_t listener_count;
    struct client *clients;
    size_t client_count;
    struct client *first_ready, **last_ready;
    size_t ready_count;
    struct http1 *http1;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_idle_t idle;
    uv_timer_t tick, deadline;
    uint64_t deadline_ms; /* what `deadline` is set to; UINT64_MAX: nothing */
    unsigned open_handles;
    struct outbuf scratch;
    uint8_t read_buffer[SOCKETS_READ_SIZE];
};

/* listener.c. ERROR gets a line for a user. */
enum err listener_open(struct listener *l, struct api *api, const char *url,
                       struct strbuf *error) MUST_CHECK;
enum err listener_start(struct listener *l) MUST_CHECK;
void listener_resume(struct listener *l); /* accepting, after descriptors ran out */
void listener_close(struct listener *l);

/* client.c */
void client_accept(struct api *api, int fd); /* takes FD */
void client_close(struct client *c);
void client_mark_ready(struct client *c);
void client_flush(struct client *c);
/* Handshakes, lingering, keepalive: about once a second. */
void client_check_time(struct client *c);
/* Sends what there is and closes. */
void client_shut_down(struct client *c);

/* api.c */
void api_handle_closed(struct api *a); /* one of the loop's, with open_handles counted up before */
void api_flush_soon(struct api *a);    /* before the loop waits again */

#endif
