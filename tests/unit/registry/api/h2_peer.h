/* A client of a conn, in memory: nghttp2's client on one end, the API on the other, no sockets. */
#ifndef WARREN_TESTS_H2_PEER_H
#define WARREN_TESTS_H2_PEER_H

#include "registry/api/conn.h"
#include "registry/api/server.h"

#include "base/strbuf.h"
#include "fake_store.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEER_MAX_STREAMS = 64,
};

struct h2_reply {
    int32_t id;
    int http_status;
    int grpc_status; /* -1: none came */
    char grpc_message[512];
    struct strbuf body; /* with the messages' prefixes */
    size_t taken;       /* by h2_next */
    bool is_closed;
    uint32_t error_code;
    bool has_initial_headers; /* apart from the trailers */
};

struct h2_request_body;

struct h2_peer {
    struct store *store;
    struct metrics *metrics;
    struct server server;
    struct conn *conn;
    nghttp2_session *client;
    struct h2_reply replies[PEER_MAX_STREAMS];
    size_t reply_count;
    struct h2_request_body *bodies;
    bool is_awake;
    bool fetches; /* what the server sends; false: only the client's bytes move */
    bool is_over; /* conn_feed or conn_produce said so */
    bool got_goaway;
    uint32_t goaway_code;
    char goaway_text[64];
};

struct h2_options {
    const char *method;       /* POST */
    const char *content_type; /* application/grpc */
    const char *authority;    /* localhost */
    const char *timeout;      /* none */
    bool wants_leader;
    const char *extra_name, *extra_value;
};

/* A server over an empty store, and a connection that has been greeted. */
void h2_open(struct h2_peer *p);
void h2_close(struct h2_peer *p);
/* Another connection of the same server instead of this one. */
void h2_reconnect(struct h2_peer *p);
/* A connection that has not sent a byte. */
void h2_connect_bare(struct h2_peer *p);
/* Carries bytes both ways until nothing moves. */
void h2_pump(struct h2_peer *p);
/* One way alone. */
void h2_pump_up(struct h2_peer *p);
/* Raw bytes to the server. */
bool h2_feed(struct h2_peer *p, const void *data, size_t size);
void h2_advance(struct h2_peer *p, uint64_t ms);

/* Opens a stream; BODY is the gRPC-framed beginning; no END_STREAM unless IS_LAST. */
int32_t h2_start(struct h2_peer *p, const char *path, const struct h2_options *options,
                 struct bytes body, bool is_last);
void h2_send(struct h2_peer *p, int32_t id, struct bytes body, bool is_last);
void h2_reset(struct h2_peer *p, int32_t id);
struct h2_reply *h2_reply_of(struct h2_peer *p, int32_t id);
/* The next message of a reply; false: none is complete. */
bool h2_next(struct h2_reply *r, struct bytes *message);
/* MESSAGE with its prefix, in a static buffer of its own: until the next call. */
struct bytes h2_framed(struct bytes message);

#endif
