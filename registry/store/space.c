/* The quota, as etcd has it: a request that takes space is refused where the data with its cost
 * would be larger, and the NOSPACE alarm is raised, which refuses all others until somebody disarms
 * it. The size is measured now and then; what was proposed since is counted at its cost. */
#include "registry/store/internal.h"

#include "base/log.h"

#include <stdlib.h>

enum {
    MEASURE_MS = 100, /* a measurement asks the kernel and SQLite */

    /* etcd's costs (server/storage/quota.go): what a key, a lease takes besides its bytes. */
    KEY_COST = 256,
    LEASE_COST = 64,
};

/* --- costs ------------------------------------------------------------------------------------ */

static bool txn_puts(const struct kv_txn_request *txn);

static bool ops_put(const struct kv_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ops[i].type == KV_OP_PUT || (ops[i].type == KV_OP_TXN && txn_puts(&ops[i].txn)))
            return true;
    return false;
}

/* The depth is bounded: state_check_command was asked first, or the API's scan. */
static bool txn_puts(const struct kv_txn_request *txn)
{
    return ops_put(txn->success, txn->success_count) || ops_put(txn->failure, txn->failure_count);
}

bool store_takes_space(const struct state_command *c)
{
    return c->type == STATE_PUT || c->type == STATE_LEASE_GRANT ||
           (c->type == STATE_TXN && txn_puts(&c->txn));
}

static uint64_t cost_of_put(const struct kv_put_request *r)
{
    return KEY_COST + r->key.size + r->value.size;
}

static uint64_t cost_of_txn(const struct kv_txn_request *txn);

static uint64_t cost_of_ops(const struct kv_op *ops, size_t count)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type == KV_OP_PUT)
            cost += cost_of_put(&ops[i].put);
        else if (ops[i].type == KV_OP_TXN)
            cost += cost_of_txn(&ops[i].txn);
    }
    return cost;
}

/* Which branch it takes is not known yet. */
static uint64_t cost_of_txn(const struct kv_txn_request *txn)
{
    uint64_t success = cost_of_ops(txn->success, txn->success_count);
    uint64_t failure = cost_of_ops(txn->failure, txn->failure_count);
    return success > failure ? success : failure;
}

static uint64_t cost_of(const struct state_command *c)
{
    if (c->type == STATE_PUT)
        return cost_of_put(&c->put);
    return c->type == STATE_TXN ? cost_of_txn(&c->txn) : LEASE_COST;
}

/* --- the quota -------------------------------------------------------------------------------- */

static void measure(struct store *s)
{
    struct journal_stats stats;
    journal_stats(s->journal, &stats);
    s->used_size = stats.in_use_size;
    s->used_ms = uv_now(s->loop);
    s->proposed_size = 0;
}

void store_space_measure(struct store *s)
{
    /* Nothing was measured yet, or there is something to measure. */
    if (s->used_ms == 0 || (s->proposed_size > 0 && uv_now(s->loop) - s->used_ms >= MEASURE_MS))
        measure(s);
}

bool store_space_take(struct store *s, const struct state_command *command)
{
    uint64_t cost = cost_of(command);
    if (s->used_size + s->proposed_size + cost > s->quota_size) {
        /* The counted costs are more than what was taken, and space may have been made. */
        if (uv_now(s->loop) - s->used_ms >= MEASURE_MS)
            measure(s);
        if (s->used_size + s->proposed_size + cost > s->quota_size)
            return false;
    }
    s->proposed_size += cost;
    return true;
}

/* --- the alarm -------------------------------------------------------------------------------- */

static bool is_raised(const struct store *s)
{
    const struct alarm *alarms;
    size_t count = state_alarms(s->state, &alarms);
    for (size_t i = 0; i < count; i++)
        if (alarms[i].type == ALARM_NOSPACE && alarms[i].member == s->member.id)
            return true;
    return false;
}

/* Proposes the alarm under TAG, which is still the caller's with a verdict other than OK. */
static enum verdict raise_alarm(struct store *s, struct pending *tag, const char *why)
{
    struct state_command command = {.type = STATE_ALARM_CHANGE};
    command.alarm.action = ALARM_ACTIVATE;
    command.alarm.alarm = (struct alarm){.member = s->member.id, .type = ALARM_NOSPACE};
    enum verdict v = store_propose(s, &command, tag);
    if (v == VERDICT_OK)
        log_line(LOG_WARNING,
                 "registry: NOSPACE alarm: %s. Writes are refused until space was made "
                 "(delete, compact, defrag) and the alarm disarmed",
                 why);
    return v;
}

void store_space_refuse(struct store *s, store_done_fn *done, void *context)
{
    struct pending *p = store_pending_create(s, STORE_ALARM, done, context);
    if (p != NULL) {
        p->refusal = VERDICT_NO_SPACE;
        if (raise_alarm(s, p, "the database is larger than its quota") == VERDICT_OK)
            return;
        free(p);
    }
    store_answer_verdict(s, done, context, VERDICT_NO_SPACE);
}

void store_space_low(struct store *s)
{
    if (is_raised(s))
        return;
    struct pending *p = store_pending_create(s, STORE_ALARM, NULL, NULL);
    if (p == NULL)
        return; /* the next look tries again */
    p->is_internal = true;
    if (raise_alarm(s, p, "the file system is nearly full") != VERDICT_OK)
        free(p);
}

void store_space_tick(uv_timer_t *timer)
{
    struct store *s = timer->data;
    store_note_health(s);
    measure(s);
    if (journal_health(s->journal) == JOURNAL_LOW)
        store_space_low(s);
}
