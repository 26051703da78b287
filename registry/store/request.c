/* A request: validated as etcd validates, then read from the state or proposed to the log. */
#include "registry/store/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void store_answer(struct store *s, store_done_fn *done, void *context,
                  struct store_response *response)
{
    response->term = s->term;
    if (response->revision == 0)
        response->revision = state_revision(s->state);
    done(context, response);
}

void store_answer_verdict(struct store *s, store_done_fn *done, void *context, enum verdict v)
{
    struct store_response response = {.verdict = v};
    store_answer(s, done, context, &response);
}

struct pending *store_pending_create(struct store *s, enum store_request_type type,
                                     store_done_fn *done, void *context)
{
    struct pending *p = calloc(1, sizeof(*p));
    if (p != NULL)
        *p = (struct pending){.store = s, .type = type, .done = done, .context = context};
    return p;
}

enum {
    /* A range beyond that is made in steps (reads.c). Any one key is within it. */
    SMALL_KEYS = 1000,
    SMALL_SIZE = KV_REQUEST_SIZE_LIMIT,
};

/* --- reads ------------------------------------------------------------------------------------ */

/* Every read uses the one arena; a callback may read again, so it is reset by the outermost only.
 */
static void begin_read(struct store *s)
{
    if (s->read_depth++ == 0)
        arena_reset(&s->read_arena);
}

static void end_read(struct store *s)
{
    assert(s->read_depth > 0);
    if (--s->read_depth == 0)
        arena_reset(&s->read_arena);
}

enum verdict store_read_verdict(enum err e)
{
    return e == ERR_NO_MEMORY || e == ERR_LIMIT ? VERDICT_TOO_MANY_REQUESTS : VERDICT_UNREADABLE;
}

static void range_now(struct store *s, const struct kv_range_request *request, store_part_fn *part,
                      store_done_fn *done, void *context)
{
    begin_read(s);
    struct store_response response = {0};
    struct state_budget budget = {.keys = SMALL_KEYS, .size = SMALL_SIZE};
    enum err e =
        state_range_within(s->state, request, &s->source, &s->read_arena,
                           part != NULL ? &budget : NULL, &response.range, &response.verdict);
    if (e == ERR_LIMIT && part != NULL) {
        end_read(s);
        store_long_range(s, request, part, done, context);
        return;
    }
    if (e != OK)
        response.verdict = store_read_verdict(e);
    store_answer(s, done, context, &response);
    end_read(s);
}

/* A linearizable range waits for the node's word; its keys are copied behind it. */
struct waiting_range {
    struct store *store;
    struct kv_range_request request;
    store_part_fn *part;
    store_done_fn *done;
    void *context;
    uint8_t keys[];
};

static void range_allowed(void *context, enum err outcome)
{
    struct waiting_range *w = context;
    if (outcome == OK)
        range_now(w->store, &w->request, w->part, w->done, w->context);
    else
        store_answer_verdict(w->store, w->done, w->context,
                             w->store->is_closing     ? VERDICT_STOPPED
                             : outcome == ERR_REFUSED ? VERDICT_NO_LEADER
                                                      : VERDICT_TOO_MANY_REQUESTS);
    free(w);
}

static void copy_bytes(struct bytes *slice, uint8_t *to)
{
    if (slice->size > 0)
        memcpy(to, slice->data, slice->size);
    slice->data = to;
}

static void range(struct store *s, const struct kv_range_request *request, store_part_fn *part,
                  store_done_fn *done, void *context)
{
    enum verdict v = state_check_range(request);
    if (v != VERDICT_OK) {
        store_answer_verdict(s, done, context, v);
        return;
    }
    if (request->serializable) {
        range_now(s, request, part, done, context);
        return;
    }
    struct waiting_range *w = malloc(sizeof(*w) + request->key.size + request->range_end.size);
    if (w == NULL) {
        store_answer_verdict(s, done, context, VERDICT_TOO_MANY_REQUESTS);
        return;
    }
    w->store = s;
    w->request = *request;
    w->part = part;
    w->done = done;
    w->context = context;
    copy_bytes(&w->request.key, w->keys);
    copy_bytes(&w->request.range_end, w->keys + request->key.size);
    node_read(s->node, range_allowed, w);
}

/* --- writes ----------------------------------------------------------------------------------- */

static bool has_alarm(const struct store *s, enum alarm_type type)
{
    const struct alarm *alarms;
    size_t count = state_alarms(s->state, &alarms);
    for (size_t i = 0; i < count; i++)
        if (alarms[i].type == type)
            return true;
    return false;
}

enum verdict store_write_verdict(const struct store *s, bool takes_space)
{
    if (s->is_closing)
        return VERDICT_STOPPED;
    if (journal_health(s->journal) == JOURNAL_HALTED)
        return VERDICT_HALTED;
    if (has_alarm(s, ALARM_CORRUPT))
        return VERDICT_CORRUPT;
    if (takes_space && (has_alarm(s, ALARM_NOSPACE) || journal_health(s->journal) != JOURNAL_OK))
        return VERDICT_NO_SPACE;
    return VERDICT_OK;
}

static bool ops_write(const struct kv_op *ops, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kv_op *op = &ops[i];
        if (op->type == KV_OP_PUT || op->type == KV_OP_DELETE)
            return true;
        if (op->type == KV_OP_TXN && (ops_write(op->txn.success, op->txn.success_count) ||
                                      ops_write(op->txn.failure, op->txn.failure_count)))
            return true;
    }
    return false;
}

static bool writes(const struct state_command *c)
{
    return c->type != STATE_TXN || ops_write(c->txn.success, c->txn.success_count) ||
           ops_write(c->txn.failure, c->txn.failure_count);
}

static void propose(struct store *s, const struct store_request *request,
                    const struct state_command *command, store_done_fn *done, void *context)
{
    size_t max_txn_ops = request->max_txn_ops > 0 ? request->max_txn_ops : KV_MAX_TXN_OPS;
    enum verdict v = state_check_command(command, max_txn_ops);
    /* A transaction that only reads goes through the log too, for its place in the order, but needs
     * no space. */
    bool takes_space = store_takes_space(command);
    if (v == VERDICT_OK && writes(command))
        v = store_write_verdict(s, takes_space);
    if (v != VERDICT_OK) {
        store_answer_verdict(s, done, context, v);
        return;
    }
    if (takes_space && !store_space_take(s, command)) {
        store_space_refuse(s, done, context);
        return;
    }
    struct pending *p = store_pending_create(s, request->type, done, context);
    if (p == NULL) {
        store_answer_verdict(s, done, context, VERDICT_TOO_MANY_REQUESTS);
        return;
    }
    p->is_physical = request->type == STORE_COMPACT && request->compact.physical;
    v = store_propose(s, command, p);
    if (v != VERDICT_OK) {
        free(p);
        store_answer_verdict(s, done, context, v);
    }
}

static void change_alarm(struct store *s, const struct store_request *request, store_done_fn *done,
                         void *context)
{
    if (request->alarm.action == ALARM_GET) {
        struct store_response response = {0};
        response.alarms.count = state_alarms(s->state, &response.alarms.alarms);
        store_answer(s, done, context, &response);
        return;
    }
    struct state_command command = {.type = STATE_ALARM_CHANGE};
    command.alarm.action = request->alarm.action;
    command.alarm.alarm = request->alarm.alarm;
    propose(s, request, &command, done, context);
}

void store_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                  void *context)
{
    struct state_command command = {0};
    switch (request->type) {
    case STORE_RANGE:
        range(s, &request->range, request->part, done, context);
        return;
    case STORE_PUT:
        command.type = STATE_PUT;
        command.put = request->put;
        break;
    case STORE_DELETE:
        command.type = STATE_DELETE;
        command.del = request->del;
        break;
    case STORE_TXN:
        command.type = STATE_TXN;
        command.txn = request->txn;
        break;
    case STORE_COMPACT:
        command.type = STATE_COMPACT;
        command.compact.revision = request->compact.revision;
        break;
    case STORE_LEASE_GRANT:
    case STORE_LEASE_REVOKE:
    case STORE_LEASE_KEEPALIVE:
    case STORE_LEASE_TIME_TO_LIVE:
    case STORE_LEASE_LIST:
        store_lease_submit(s, request, done, context);
        return;
    case STORE_ALARM:
        change_alarm(s, request, done, context);
        return;
    case STORE_HASH:
        store_long_hash(s, request->hash.revision, done, context);
        return;
    case STORE_DEFRAG:
        journal_vacuum(s->journal);
        store_answer_verdict(s, done, context, VERDICT_OK);
        return;
    }
    propose(s, request, &command, done, context);
}
