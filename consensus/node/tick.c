/* Time: one tick of the core in each heartbeat interval, by the loop's monotonic clock. A loop that
 * was held up ticks once and not as often as it missed: the core only ever believes too little time
 * to have passed, and messages that waited meanwhile are seen before the next tick. */
#include "internal.h"

static void on_tick(uv_timer_t *timer)
{
    struct node *n = timer->data;
    uint64_t now = uv_now(n->loop);
    if (node_is_over(n))
        return;
    node_enter(n);
    /* It may have been a write of effects alone, of which nobody told us. */
    if (journal_health(n->journal) == JOURNAL_HALTED)
        node_halt(n, NULL);
    else if (!node_core_failed(n, raft_tick(n->core))) {
        node_drop_late(n, now);
        node_retry_reads(n, now, false);
        if (!node_is_over(n))
            node_watch_disk(n, now);
    }
    node_wake(n);
    node_leave(n);
}

/* A single voter that leads has nobody to tell and nothing to wait for. */
void node_arm_ticks(struct node *n)
{
    bool needs_ticks = !node_is_over(n) && !(node_is_alone(n) && n->is_leader);
    if (!needs_ticks)
        (void)uv_timer_stop(&n->tick);
    else if (!uv_is_active((uv_handle_t *)&n->tick))
        (void)uv_timer_start(&n->tick, on_tick, n->heartbeat_ms, n->heartbeat_ms);
}
