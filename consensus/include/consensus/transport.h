/* The members' transport: authenticated, encrypted streams of messages between the members of one
 * cluster, over TCP and libuv. docs/member-protocol.md has the bytes.
 *
 * Model: the owner keeps a table of members: id, addresses, public key or "not bound yet". The
 * transport listens, dials every other member of the table, and keeps one connection for each pair
 * of members and stream: TRANSPORT_CONSENSUS for small urgent messages, TRANSPORT_BULK for
 * snapshots, so that the second never delays the first. It carries messages, bytes with a type
 * number, and knows nothing of what they mean.
 *
 * Invariants:
 * - A message is delivered only from a member of the table whose key the connection has proven: the
 *   bound key, or, where none is bound, one that the owner accepted and that came with the PSK.
 * - A message is delivered whole, in order within its connection, at most once; or not at all: a
 *   lost connection and a full queue lose messages, and the owner is told of both.
 * - A member that leaves the table, or whose key is bound to another one than it showed, is cut off
 *   within the call.
 * - Everything that grows has a bound: half-open connections in number, time, memory and handshakes
 *   a second; queues in bytes; messages in size; what waits for a paused owner; log lines (once a
 *   minute for each cause and source).
 *
 * All of it on the loop's thread, in a process that ignores SIGPIPE. Callbacks come from the loop,
 * never from within a call of the owner; within them the owner may call every function here. Times
 * are in milliseconds. */
#ifndef WARREN_CONSENSUS_TRANSPORT_H
#define WARREN_CONSENSUS_TRANSPORT_H

#include "base/attr.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "consensus/member_key.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum transport_stream {
    TRANSPORT_CONSENSUS,
    TRANSPORT_BULK,
    TRANSPORT_STREAM_COUNT,
};

enum {
    TRANSPORT_MAX_MEMBERS = 64,
    TRANSPORT_MAX_ADDRESSES = 8, /* of one member */
    TRANSPORT_MAX_LISTENERS = 8,
    TRANSPORT_MAX_HOST_SIZE = 256, /* with NUL */
    /* Accepted connections that are not authenticated yet; the oldest makes room, those from
     * addresses of members last. */
    TRANSPORT_MAX_HALF_OPEN = 64,
    TRANSPORT_MAX_HALF_OPEN_OF_SOURCE = 16, /* of one IP address; more are closed at once */
    /* Handshakes computed a second for connections from addresses of members, and as many for all
     * others; more are closed. About 0.2 ms of a core each. */
    TRANSPORT_MAX_HANDSHAKES_PER_S = 200,
    TRANSPORT_LOG_INTERVAL_MS = 60000,
    TRANSPORT_MESSAGE_COST = 64, /* what a message counts in queues and windows besides its bytes */

    /* Defaults of the configuration. */
    TRANSPORT_CONSENSUS_MESSAGE_LIMIT = 4 << 20,
    TRANSPORT_CONSENSUS_QUEUE_LIMIT = 16 << 20,
    TRANSPORT_BULK_MESSAGE_LIMIT = 256 << 10,
    TRANSPORT_BULK_QUEUE_LIMIT = 1 << 20,
    TRANSPORT_BULK_WINDOW = 1 << 20,
    TRANSPORT_HANDSHAKE_TIMEOUT_MS = 5000,
    TRANSPORT_PING_INTERVAL_MS = 1500,
    TRANSPORT_SILENCE_LIMIT_MS = 5000,
    TRANSPORT_MIN_BACKOFF_MS = 100,
    TRANSPORT_MAX_BACKOFF_MS = 3000,
};

/* Why a connection was refused or ended: X(name, number on the wire, metric's label, text). The
 * text follows "member M: ". */
#define TRANSPORT_REASON_LIST(X)                                                                   \
    X(TRANSPORT_NO_REASON, 0, "none", "no reason")                                                 \
    X(TRANSPORT_MALFORMED, 1, "malformed", "bytes that are not the member protocol")               \
    X(TRANSPORT_VERSION, 2, "version", "no common protocol version")                               \
    X(TRANSPORT_WRONG_CLUSTER, 3, "wrong_cluster", "another cluster")                              \
    X(TRANSPORT_WRONG_MEMBER, 4, "wrong_member", "meant for another member")                       \
    X(TRANSPORT_UNKNOWN_MEMBER, 5, "unknown_member", "no member of this cluster")                  \
    X(TRANSPORT_REMOVED, 6, "removed", "removed from this cluster")                                \
    X(TRANSPORT_KEY, 7, "key", "not the key that is bound to the member")                          \
    X(TRANSPORT_UNBOUND, 8, "unbound", "the member's key is not known yet")                        \
    X(TRANSPORT_PSK, 9, "psk", "another cluster token")                                            \
    X(TRANSPORT_REFUSED, 10, "refused", "refused")                                                 \
    X(TRANSPORT_BUSY, 11, "busy", "too many handshakes")                                           \
    X(TRANSPORT_DUPLICATE, 12, "duplicate", "there is another connection already")                 \
    X(TRANSPORT_REPLACED, 13, "replaced", "a newer connection took its place")                     \
    X(TRANSPORT_SELF, 14, "self", "the other one's own member id")                                 \
    X(TRANSPORT_STOPPED, 15, "stopped", "shutting down")                                           \
    X(TRANSPORT_TIMEOUT, 16, "timeout", "no answer in time")                                       \
    X(TRANSPORT_CLOSED, 17, "closed", "closed by the other side")                                  \
    X(TRANSPORT_NETWORK, 18, "network", "the network failed")                                      \
    X(TRANSPORT_NO_MEMORY, 19, "no_memory", "out of memory")

enum transport_reason {
#define X(name, number, label, text) name = number,
    TRANSPORT_REASON_LIST(X)
#undef X
    TRANSPORT_REASON_COUNT,
};

/* Static texts; never NULL. */
const char *transport_reason_text(enum transport_reason reason);
const char *transport_reason_label(enum transport_reason reason);

struct transport;

struct transport_address {
    char host[TRANSPORT_MAX_HOST_SIZE]; /* an IP address without brackets, or a name to resolve */
    uint16_t port;
};

struct transport_member {
    uint64_t id;
    bool is_bound;
    uint8_t key[MEMBER_KEY_SIZE]; /* if is_bound */
    const struct transport_address *addresses;
    size_t address_count; /* 0: it is never dialed */
};

struct transport_agreed {
    uint16_t version;  /* the lower of the two highest */
    uint64_t features; /* that the member announced: the commands it understands */
};

/* What the owner hears. Those marked optional may be NULL. */
struct transport_owner {
    /* A message of the consensus stream. BYTES are borrowed for the call. */
    void (*received)(void *context, uint64_t member_id, uint16_t type, struct bytes bytes);
    /* A message of the bulk stream. OK: taken. ERR_LIMIT: not now; it, and what follows within the
     * window, is kept until transport_resume(), and then told again. Anything else: refused, the
     * connection ends with TRANSPORT_REFUSED on both sides. */
    enum err (*bulk_received)(void *context, uint64_t member_id, uint16_t type, struct bytes bytes);
    void (*connected)(void *context, uint64_t member_id, enum transport_stream stream,
                      const struct transport_agreed *agreed);
    /* Messages sent and not yet delivered may be lost. Comes before the next `connected`. */
    void (*lost)(void *context, uint64_t member_id, enum transport_stream stream,
                 enum transport_reason why);
    /* A member whose key is not bound has proven the PSK and this key. True: deal with it under
     * this key, which the owner binds by a committed entry; asked for each connection. */
    bool (*key_shown)(void *context, uint64_t member_id, const uint8_t key[static MEMBER_KEY_SIZE]);
    /* Optional: the bulk queue of a member that had refused a message is half empty again. */
    void (*bulk_drained)(void *context, uint64_t member_id);
    /* Optional: whether this unknown id was removed; it then hears so. */
    bool (*was_removed)(void *context, uint64_t member_id);
    /* Optional: a member refused us; nothing proves that it was the member. */
    void (*refused_by)(void *context, uint64_t member_id, enum transport_reason why);
    /* Optional: a line for the log; without, log_line(). */
    void (*log)(void *context, enum log_level level, const char *line);
    void *context;
};

struct transport_limits {
    uint32_t message; /* bytes of the largest message taken */
    uint32_t queue;   /* bytes that may wait to be sent to one member */
};

/* Zeros are replaced by the defaults above. */
struct transport_config {
    uv_loop_t *loop;
    uint64_t cluster_id;
    uint64_t member_id; /* ours */
    const struct member_key *key;
    const uint8_t *psk; /* MEMBER_KEY_SIZE bytes; NULL: members without a bound key are refused */
    const struct ip_endpoint *listen; /* port 0: any */
    size_t listen_count;
    uint16_t version_min, version_max; /* of what the messages mean; both at least 1 */
    uint64_t features;
    struct transport_limits limits[TRANSPORT_STREAM_COUNT];
    uint32_t bulk_window; /* bytes; at least 2 x (message + TRANSPORT_MESSAGE_COST) */
    unsigned handshake_timeout_ms;
    unsigned ping_interval_ms;
    unsigned silence_limit_ms; /* without a whole record from the other side */
    unsigned min_backoff_ms, max_backoff_ms;
    struct transport_owner owner;
};

/* CONFIG is copied. Listens at once; dials nobody before transport_set_members(). ERROR gets a
 * line. ERR_ADDRESS_IN_USE, ERR_PERMISSION, ERR_INVALID (the configuration), ERR_NO_MEMORY... */
enum err transport_create(struct transport **out, const struct transport_config *config,
                          struct strbuf *error) MUST_CHECK;
/* Nothing is called back any more. The memory goes once the loop has closed the handles. */
void transport_destroy(struct transport *t);
/* The port of the listener INDEX. */
uint16_t transport_port(const struct transport *t, size_t index);

/* The table is now this; copied. Our own id in it is passed over. ERR_LIMIT (TRANSPORT_MAX_...),
 * ERR_INVALID (an id twice, or 0), ERR_NO_MEMORY: the table stays as it was. */
enum err transport_set_members(struct transport *t, const struct transport_member *members,
                               size_t count) MUST_CHECK;

/* Queues a message on the consensus stream; BYTES are copied. Whatever the error, the message is
 * not sent: ERR_NOT_FOUND (not in the table), ERR_CLOSED (not connected), ERR_LIMIT (its queue is
 * full), ERR_INVALID (more than the member takes), ERR_NO_MEMORY. */
enum err transport_send(struct transport *t, uint64_t member_id, uint16_t type,
                        struct bytes bytes) MUST_CHECK;
/* The same on the bulk stream; after ERR_LIMIT bulk_drained() tells when to go on. */
enum err transport_send_bulk(struct transport *t, uint64_t member_id, uint16_t type,
                             struct bytes bytes) MUST_CHECK;
/* The owner can take bulk messages of the member again. */
void transport_resume(struct transport *t, uint64_t member_id);

struct transport_stream_status {
    bool is_connected;
    struct transport_agreed agreed; /* if connected */
    size_t queued_size;             /* bytes, with their cost */
};

struct transport_peer_status {
    struct transport_stream_status streams[TRANSPORT_STREAM_COUNT];
    enum transport_reason last_failure; /* of connecting or of a connection */
};
/* ERR_NOT_FOUND. */
enum err transport_peer_status(const struct transport *t, uint64_t member_id,
                               struct transport_peer_status *out) MUST_CHECK;

/* Rising numbers for metrics, of all members together. */
struct transport_counters {
    struct {
        uint64_t bytes_sent, bytes_received; /* on the wire */
        uint64_t messages_sent, messages_received;
        uint64_t messages_dropped; /* not queued (full, not connected), or lost in a queue */
        uint64_t connected;        /* connections that were used */
    } streams[TRANSPORT_STREAM_COUNT];
    uint64_t accepted;                            /* TCP connections */
    uint64_t dialed;                              /* attempts */
    uint64_t refused_in[TRANSPORT_REASON_COUNT];  /* accepted, and failed before they were used */
    uint64_t refused_out[TRANSPORT_REASON_COUNT]; /* dialed, likewise */
    uint64_t lost[TRANSPORT_REASON_COUNT];        /* that were used */
    uint64_t log_lines_suppressed;
};
const struct transport_counters *transport_counters(const struct transport *t);
/* Accepted connections that are not authenticated yet. */
size_t transport_half_open_count(const struct transport *t);

#endif
