/* What the files of the transport share.
 *
 *   transport.c   the table of members, the owner's calls, the clock
 *   accept.c      connections that come in: bounds before anything is known of them
 *   dial.c        connections that go out: addresses, back-off
 *   handshake.c   preamble and Noise, up to a session
 *   session.c     records and frames; which of two connections stays
 *   connection.c  bytes from and to a socket; closing
 *   report.c      log lines
 */
#ifndef WARREN_CONSENSUS_TRANSPORT_INTERNAL_H
#define WARREN_CONSENSUS_TRANSPORT_INTERNAL_H

#include "consensus/transport.h"
#include "frame.h"
#include "log_limit.h"
#include "preamble.h"

#include "base/noise.h"

enum {
    TICK_MS = 100, /* while there are members or connections */
    /* A tick that is later than this says that the process stood still, not the others. */
    TICK_LATE_MS = 500,
    RECORD_HEADER_SIZE = 2,
    RECORD_MAX_SIZE = RECORD_HEADER_SIZE + NOISE_MAX_MESSAGE_SIZE,
    /* Each direction steps its key behind so many records. */
    REKEY_RECORDS = 4096,
    FLUSH_SIZE = 128 << 10, /* of one connection in one turn of the loop */
    SCRATCH_SIZE = FLUSH_SIZE + RECORD_MAX_SIZE,
    READ_SIZE = 256 << 10,
    /* Before the session, a connection holds no more than this. */
    HANDSHAKE_READ_SIZE = PREAMBLE_SIZE + 2 * (RECORD_HEADER_SIZE + HANDSHAKE_MAX_SIZE),
    /* Two connections for one stream that were made within this are a race of dialers, which the
     * lower id wins; otherwise the newer one is right: its dialer had none. */
    RACE_MS = 2000,
    GRACE_MS = 400, /* for which the higher id lets the lower dial first */
    LISTEN_BACKLOG = 128,
    STRANGER_LOG_KINDS = 32,
};

enum connection_state {
    CONNECTION_CONNECTING, /* dialed: TCP */
    CONNECTION_PREAMBLE,   /* accepted: nothing known */
    CONNECTION_HANDSHAKE,  /* waits for a Noise message */
    CONNECTION_HELLO,      /* waits for the first record, which proves the other side */
    CONNECTION_OPEN,
    CONNECTION_CLOSING,
};

struct queued {
    struct queued *next;
    uint16_t type;
    uint32_t size;
    uint8_t data[];
};

struct queue {
    struct queued *head;
    struct queued **end;
    size_t size; /* bytes with their costs */
};

struct peer;

struct connection {
    uv_tcp_t tcp;
    uv_connect_t connect;
    struct transport *t;
    struct connection *next, *previous;
    struct connection *next_dirty;
    struct peer *peer; /* NULL: not known yet, or not in the table any more */
    uint64_t member_id;
    uint64_t cluster_id; /* as it claims, accepted ones */
    struct ip_addr source;
    char address[IP_ENDPOINT_TEXT_SIZE];
    enum connection_state state;
    enum transport_stream stream;
    bool is_dialed;
    bool is_dirty;
    bool is_told;              /* the owner heard `connected`, and not yet `lost` */
    enum transport_reason why; /* it was closed */
    int network_error;         /* libuv's, for TRANSPORT_NETWORK */

    enum noise_pattern pattern;
    struct noise_handshake *handshake;
    unsigned handshake_messages; /* read from one that dialed us */
    struct noise_session *session;
    uint8_t remote_key[NOISE_KEY_SIZE];
    uint64_t records_sent, records_received;

    uint64_t deadline; /* before it is open */
    uint64_t opened_at;
    uint64_t last_received; /* a whole record */
    uint64_t last_ping;
    uint64_t write_began;
    unsigned pending_writes;

    uint8_t *in; /* the beginning of a unit whose rest is awaited; NULL: none */
    size_t in_size;

    struct frame_reader frames;
    struct hello theirs;
    struct transport_agreed agreed;
    struct queue out;
    size_t out_offset; /* of the first in `out`: sent */
    bool out_started;
    bool wants_hello, wants_ping, wants_pong;
    /* Bulk. */
    uint32_t credit;     /* what we may send */
    uint32_t credit_due; /* what we may give */
    bool gives_credit;
    bool is_paused;  /* the owner takes nothing now */
    bool is_resumed; /* it does again; told from the loop */
    struct queue held;
};

/* One stream to one member. */
struct slot {
    struct connection *open;
    struct connection *dialing;
    bool is_resolving;
    bool uses_psk; /* it said that it does not know our key: the next attempt shows it */
    bool was_full; /* the owner waits for bulk_drained */
    uint64_t next_dial;
    unsigned failures;
    size_t attempt;
};

struct peer {
    struct peer *next;
    uint64_t id;
    bool is_bound;
    uint8_t key[MEMBER_KEY_SIZE];
    struct transport_address *addresses;
    size_t address_count;
    struct ip_addr sources[TRANSPORT_MAX_ADDRESSES]; /* what the addresses were last found to be */
    struct slot slots[TRANSPORT_STREAM_COUNT];
    enum transport_reason last_failure;
};

/* In locked memory. */
struct secrets {
    uint8_t private_key[MEMBER_KEY_SIZE];
    uint8_t psk[MEMBER_KEY_SIZE];
};

/* So many a second, and as many at once. */
struct bucket {
    uint64_t tokens; /* thousandths */
    uint64_t filled_at;
};

struct listener {
    uv_tcp_t tcp;
    struct transport *t;
    uint16_t port;
    bool has_waiting; /* a connection that there was no memory for */
};

struct transport {
    struct transport_config config; /* `listen`, `key` and `psk` are not kept */
    struct secrets *secrets;
    bool has_psk;
    uint8_t public_key[MEMBER_KEY_SIZE];
    struct listener listeners[TRANSPORT_MAX_LISTENERS];
    size_t listener_count;
    struct peer *peers;
    struct connection *connections; /* newest first */
    struct connection *dirty;       /* something is to be flushed or delivered */
    size_t half_open;
    struct bucket member_handshakes, stranger_handshakes;
    struct log_limit member_log, stranger_log;
    struct transport_counters counters;
    uv_idle_t work;
    uv_timer_t tick;
    uint64_t last_tick;
    bool is_ticking;
    unsigned awaited; /* handles and requests that the loop still has */
    bool is_destroyed;
    uint8_t scratch[SCRATCH_SIZE]; /* records on their way out */
    uint8_t read[READ_SIZE + RECORD_MAX_SIZE];
};

static inline uint64_t now_ms(const struct transport *t)
{
    return uv_now(t->config.loop);
}

/* transport.c */
struct peer *peer_find(const struct transport *t, uint64_t id);
bool bucket_take(struct bucket *b, uint64_t now);
void transport_release(struct transport *t); /* one less awaited */
void transport_start_ticking(struct transport *t);
/* Has the loop come back to C: its queues, or what it holds. */
void connection_mark_dirty(struct connection *c);

/* connection.c */
/* In the list, counted as half-open unless dialed. ERR_NO_MEMORY... */
enum err connection_create(struct connection **out, struct transport *t, bool is_dialed) MUST_CHECK;
void connection_set_options(struct connection *c);
enum err connection_start_reading(struct connection *c) MUST_CHECK;
/* Sends bytes now, or as soon as the socket takes them. Closes C where it cannot. */
void connection_put(struct connection *c, const uint8_t *data, size_t size);
/* Over. Tells the other side WHY where it can know it from us alone; tells the owner later. */
void connection_close(struct connection *c, enum transport_reason why);
/* The same for what the other side gave as its reason. */
void connection_closed_by_other(struct connection *c, uint8_t reason);
void connection_tell_lost(struct connection *c);
bool connection_is_half_open(const struct connection *c);
void queue_init(struct queue *q);
enum err queue_push(struct queue *q, uint16_t type, struct bytes bytes) MUST_CHECK;
void queue_pop(struct queue *q);
size_t queue_clear(struct queue *q); /* gives how many there were */

/* handshake.c */
/* The dialer's first flight, once TCP is there. */
void handshake_begin(struct connection *c);
/* The next unit at DATA: gives its size, 0 if more bytes are needed. C may be closing after. */
size_t handshake_consume(struct connection *c, const uint8_t *data, size_t size);

/* session.c */
void session_begin(struct connection *c);
size_t session_consume(struct connection *c, uint8_t *data, size_t size);
void session_flush(struct connection *c);
void session_deliver_held(struct connection *c);
/* The last record, if it can go at once. */
void session_say_close(struct connection *c, enum transport_reason why);

/* dial.c */
void dial_tick(struct transport *t, struct peer *p);
void dial_failed(struct transport *t, struct peer *p, struct slot *s, enum transport_reason why);
void dial_soon(struct transport *t, struct peer *p, struct slot *s);

/* accept.c */
enum err accept_open(struct transport *t, const struct ip_endpoint *at,
                     struct strbuf *error) MUST_CHECK;
bool accept_may_compute(struct connection *c);
/* Tries again what there was no memory for. */
void accept_tick(struct transport *t);
bool accept_waits(const struct transport *t);

/* report.c */
void report_failure(struct connection *c, enum transport_reason why, bool is_theirs);
void report_unresolved(struct transport *t, const struct peer *p, const char *host, int error);
void report_connected(struct connection *c);
void report_lost(struct connection *c);

#endif
