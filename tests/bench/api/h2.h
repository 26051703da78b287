/* A gRPC client over plaintext HTTP/2 (nghttp2), just enough to load a server: many connections in
 * one thread, epoll, unary calls and streams whose messages come in whole. The server is trusted;
 * whatever breaks the connection ends the program. */
#ifndef WARREN_TESTS_BENCH_API_H2_H
#define WARREN_TESTS_BENCH_API_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H2_MESSAGE_PREFIX 5 /* gRPC's: compressed flag, length */
#define H2_REASON_MAX     128

/* How a call ended: REASON is empty if grpc-status was 0. */
struct h2_end {
    char reason[H2_REASON_MAX];
};

struct h2_call;
typedef void h2_message(struct h2_call *call, const uint8_t *message, size_t size);
typedef void h2_ended(struct h2_call *call, const struct h2_end *end);

/* One call at a time; the caller owns it, and BODY, until ENDED. What is below the line is h2.c's
 * own. */
struct h2_call {
    const char *path;
    const uint8_t *body; /* one or more messages with their prefixes */
    size_t body_size;
    bool stays_open;     /* the request has no end: a bidirectional stream */
    h2_message *message; /* for each message of the answer */
    h2_ended *ended;     /* may start the next call */
    void *context;
    /* --- */
    size_t sent;
    int32_t id;
    uint8_t *buffer; /* of a message not yet whole; kept from call to call */
    size_t size, capacity;
    struct h2_end end;
    bool has_status;
};

struct h2_loop;
struct h2_connection;

struct h2_loop *h2_loop_create(void);
void h2_loop_destroy(struct h2_loop *loop);

/* A new connection to PORT of HOST (an IPv4 address); exits with a message where there is none. It
 * lives as long as the loop. */
struct h2_connection *h2_connect(struct h2_loop *loop, const char *host, uint16_t port);

/* Starts CALL. Its bytes go out with the next h2_loop_run, or after the callback it is made from.
 */
void h2_start(struct h2_connection *connection, struct h2_call *call);

/* Waits for the network at most TIMEOUT_MS, and makes the callbacks. */
void h2_loop_run(struct h2_loop *loop, int timeout_ms);

void h2_call_fini(struct h2_call *call);

#endif
