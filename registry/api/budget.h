/* What a client's frames may cost: a token bucket per connection, and gRPC's rule for pings.
 *
 * HTTP/2 lets a client make a server work for nothing: pings, settings, resets of streams just
 * opened, empty frames. Every frame that asks for no work of ours takes tokens; time gives them
 * back, and so does every frame that we send for an honest request. Pure: the time is an argument.
 */
#ifndef WARREN_REGISTRY_API_BUDGET_H
#define WARREN_REGISTRY_API_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BUDGET_CAPACITY = 10000,
    BUDGET_PER_SECOND = 1000,
    BUDGET_PER_SENT_FRAME = 2, /* a DATA frame earns its two WINDOW_UPDATEs */

    /* The price of a frame. */
    BUDGET_WINDOW_UPDATE = 1,
    BUDGET_OLD_RESET = 1, /* of a stream that was answered, or lived for BUDGET_OLD_MS */
    BUDGET_EMPTY_DATA = 5,
    BUDGET_PRIORITY = 5,
    BUDGET_UNKNOWN = 5,
    BUDGET_PING = 5,
    BUDGET_RESET = 10, /* of another: 1,000 at once, 100 a second */
    BUDGET_CONTINUATION = 20,
    BUDGET_INVALID = 50,
    BUDGET_SETTINGS = 100,

    BUDGET_OLD_MS = 1000,

    /* grpc-go's defaults as etcd sets them: at most two pings too early, each 5 s apart, or 2 h
     * without streams; data that we send forgives them. */
    BUDGET_PING_INTERVAL_MS = 5000,
    BUDGET_IDLE_PING_INTERVAL_MS = 2 * 3600 * 1000,
    BUDGET_MAX_PING_STRIKES = 2,
};

struct budget {
    int64_t tokens;
    uint64_t filled_ms;
    uint64_t last_ping_ms;
    unsigned ping_strikes;
    bool forgive_ping; /* data was sent since the last one */
};

void budget_init(struct budget *b, uint64_t now_ms);
/* False: the client has spent more than it may. */
bool budget_spend(struct budget *b, uint64_t now_ms, unsigned tokens);
/* A frame with headers or data went to the client. */
void budget_earn(struct budget *b);
/* False: too many pings. */
bool budget_ping(struct budget *b, uint64_t now_ms, bool has_streams);

#endif
