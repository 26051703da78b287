#include "budget.h"

void budget_init(struct budget *b, uint64_t now_ms)
{
    /* The first ping of a connection is never too early. */
    *b = (struct budget){.tokens = BUDGET_CAPACITY, .filled_ms = now_ms, .forgive_ping = true};
}

static void refill(struct budget *b, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - b->filled_ms;
    uint64_t earned = passed_ms * BUDGET_PER_SECOND / 1000;
    if (now_ms <= b->filled_ms || earned == 0)
        return;
    if (earned > BUDGET_CAPACITY)
        earned = BUDGET_CAPACITY;
    b->filled_ms = now_ms;
    b->tokens += (int64_t)earned;
    if (b->tokens > BUDGET_CAPACITY)
        b->tokens = BUDGET_CAPACITY;
}

bool budget_spend(struct budget *b, uint64_t now_ms, unsigned tokens)
{
    refill(b, now_ms);
    b->tokens -= (int64_t)tokens;
    return b->tokens >= 0;
}

void budget_earn(struct budget *b)
{
    b->forgive_ping = true;
    if (b->tokens < BUDGET_CAPACITY)
        b->tokens += BUDGET_PER_SENT_FRAME;
}

bool budget_ping(struct budget *b, uint64_t now_ms, bool has_streams)
{
    uint64_t interval_ms = has_streams ? BUDGET_PING_INTERVAL_MS : BUDGET_IDLE_PING_INTERVAL_MS;
    bool early = now_ms - b->last_ping_ms < interval_ms;
    b->last_ping_ms = now_ms;
    if (b->forgive_ping) {
        b->forgive_ping = false;
        b->ping_strikes = 0;
        return true;
    }
    if (early)
        b->ping_strikes++;
    return b->ping_strikes <= BUDGET_MAX_PING_STRIKES;
}
