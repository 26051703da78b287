/* DNS over TCP on the main loop (RFC 7766): pipelined queries, one write per batch of replies.
 *
 * Model: a connection reads frames (two octets of length, a message); every complete frame of one
 * read is answered in order into one buffer that goes out in one write. A connection has one
 * deadline at a time, as in CoreDNS: the first message must be complete within the read time-out,
 * each further one within the idle time-out, a write within the write time-out.
 *
 * Bounds: TCP_MAX_CONNECTIONS (or what the file limit leaves) and, over all of them,
 * TCP_HELD_MAX_SIZE of incomplete frames and unsent replies; at either bound, and when descriptors
 * run out all the same, the connection that has been idle longest is closed. A client that does not
 * read is not read from. A client that always has further queries waits after each batch for its
 * turn. */
#ifndef WARREN_DNSD_TCP_H
#define WARREN_DNSD_TCP_H

#include "base/err.h"
#include "dnsd/server.h"

#include <uv.h>

enum {
    TCP_MAX_CONNECTIONS = 20000,
    TCP_YIELD_MS = 1,         /* between two batches of a connection that has more to ask */
    TCP_READ_SIZE = 64 << 10, /* one read */
    TCP_BATCH_MAX_SIZE =
        256 << 10, /* replies written at once; further queries wait for the write */
    TCP_HELD_MAX_SIZE = 256 << 20,
    TCP_RESERVED_FILES = 128,    /* descriptors kept for everything else */
    TCP_CLOSE_TIMEOUT_MS = 5000, /* for what is unsent when a listener closes, as in CoreDNS */
    TCP_ACCEPT_BATCH = 64,       /* clients accepted before others have their turn */
    TCP_ACCEPT_RETRY_MS = 100,   /* after memory or descriptors ran out */
};

/* What all TCP listeners of a process share: the loop, the buffers, the connections and their
 * bound. */
struct tcp_pool;
struct tcp_listener;

/* Descriptors are the scarce thing: takes as many as the hard limit gives. tcp_pool_create does so,
 * too. */
void tcp_pool_raise_files(void);
enum err tcp_pool_create(struct tcp_pool **out, uv_loop_t *loop) MUST_CHECK;
/* After the loop has closed every listener and connection. */
void tcp_pool_destroy(struct tcp_pool *pool);
/* Connections open now. */
size_t tcp_pool_connection_count(const struct tcp_pool *pool);
/* What they hold: incomplete frames, unsent replies. */
size_t tcp_pool_held_size(const struct tcp_pool *pool);
/* For tests: smaller bounds. */
void tcp_pool_set_limits(struct tcp_pool *pool, size_t connections, size_t held_size);

/* Binds and listens but accepts nothing yet. Errors as udp_worker_open. */
enum err tcp_listener_open(struct tcp_listener **out, struct tcp_pool *pool,
                           const struct ip_endpoint *endpoint, int *errno_out) MUST_CHECK;
enum err tcp_listener_start(struct tcp_listener *t,
                            struct listener const *const *listener) MUST_CHECK;
/* Closes the listener and its connections; one with replies that are still being sent is closed
 * after them (within TCP_CLOSE_TIMEOUT_MS) and answers nothing else. Frees itself when the loop has
 * closed them all, then calls DONE(CONTEXT). *listener is not read after the return. */
void tcp_listener_close(struct tcp_listener *t, void (*done)(void *context), void *context);

#endif
