/* What can be said of a request without the state: etcd's checks before it proposes. */
#include "registry/state/internal.h"

#include <assert.h>
#include <stdlib.h>

static enum verdict check_range_request(const struct kv_range_request *r)
{
    if (r->key.size == 0)
        return VERDICT_EMPTY_KEY;
    if ((unsigned)r->sort_order > KV_SORT_DESCEND || (unsigned)r->sort_target > KV_SORT_BY_VALUE)
        return VERDICT_INVALID_SORT;
    return VERDICT_OK;
}

static enum verdict check_put_request(const struct kv_put_request *r)
{
    if (r->key.size == 0)
        return VERDICT_EMPTY_KEY;
    if (r->ignore_value && r->value.size != 0)
        return VERDICT_VALUE_PROVIDED;
    if (r->ignore_lease && r->lease != 0)
        return VERDICT_LEASE_PROVIDED;
    return VERDICT_OK;
}

static enum verdict check_txn_request(const struct kv_txn_request *r, size_t max_ops);

static enum verdict check_op(const struct kv_op *op, size_t max_ops)
{
    switch (op->type) {
    case KV_OP_NONE:
        return VERDICT_KEY_NOT_FOUND;
    case KV_OP_RANGE:
        return check_range_request(&op->range);
    case KV_OP_PUT:
        return check_put_request(&op->put);
    case KV_OP_DELETE:
        return op->del.key.size == 0 ? VERDICT_EMPTY_KEY : VERDICT_OK;
    case KV_OP_TXN:
        return check_txn_request(&op->txn, max_ops);
    }
    return VERDICT_KEY_NOT_FOUND;
}

static enum verdict check_ops(const struct kv_op *ops, size_t count, size_t max_ops)
{
    for (size_t i = 0; i < count; i++) {
        enum verdict verdict = check_op(&ops[i], max_ops);
        if (verdict != VERDICT_OK)
            return verdict;
    }
    return VERDICT_OK;
}

/* A nested transaction gets what its parent's largest list leaves of MAX_OPS, which also bounds the
 * depth. */
static enum verdict check_txn_request(const struct kv_txn_request *r, size_t max_ops)
{
    size_t most = r->compare_count;
    if (most < r->success_count)
        most = r->success_count;
    if (most < r->failure_count)
        most = r->failure_count;
    if (most > max_ops)
        return VERDICT_TOO_MANY_OPS;
    for (size_t i = 0; i < r->compare_count; i++) {
        if (r->compares[i].key.size == 0)
            return VERDICT_EMPTY_KEY;
    }
    enum verdict verdict = check_ops(r->success, r->success_count, max_ops - most);
    return verdict != VERDICT_OK ? verdict
                                 : check_ops(r->failure, r->failure_count, max_ops - most);
}

/* --- duplicate keys --------------------------------------------------------------------------- *
 *
 * As etcd's checkIntervals, to the letter: a put that meets another put or a deletion of its own
 * list, or of a nested transaction before it; then and else of one transaction may share keys. A
 * deletion up to the last key ("\0") or with its end before its begin covers nothing, and a
 * nested deletion does not meet the puts of the siblings before it. Sets are sorted arrays and are
 * joined by merging: a request of many keys costs no square. */

struct span {
    struct bytes from;
    struct bytes end; /* exclusive, but for a point */
    bool is_point;
};

struct keys {
    struct bytes *items; /* rising */
    size_t count;
};

struct spans {
    struct span *items; /* by rising begin; no two overlap */
    size_t count;
};

struct touched {
    struct keys puts;
    struct spans deletes;
};

static void touched_fini(struct touched *t)
{
    free(t->puts.items);
    free(t->deletes.items);
    *t = (struct touched){0};
}

static int compare_keys(const void *a, const void *b)
{
    const struct bytes *x = a, *y = b;
    return bytes_compare(*x, *y);
}

static int compare_spans(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    return bytes_compare(x->from, y->from);
}

static int compare_ends(const struct span *a, const struct span *b)
{
    int order = bytes_compare(a->end, b->end);
    return order != 0 ? order : (int)a->is_point - (int)b->is_point;
}

static bool is_before_end(struct bytes key, const struct span *span)
{
    int order = bytes_compare(key, span->end);
    return order < 0 || (order == 0 && span->is_point);
}

/* Of sorted spans: overlapping ones become one. */
static size_t join_spans(struct span *spans, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept == 0 || !is_before_end(spans[i].from, &spans[kept - 1])) {
            spans[kept++] = spans[i];
        } else if (compare_ends(&spans[kept - 1], &spans[i]) < 0) {
            spans[kept - 1].end = spans[i].end;
            spans[kept - 1].is_point = spans[i].is_point;
        }
    }
    return kept;
}

static bool keys_meet(const struct keys *a, const struct keys *b)
{
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        int order = bytes_compare(a->items[i], b->items[k]);
        if (order == 0)
            return true;
        if (order < 0)
            i++;
        else
            k++;
    }
    return false;
}

static bool keys_meet_spans(const struct keys *a, const struct spans *b)
{
    for (size_t i = 0, k = 0; i < a->count && k < b->count;) {
        if (bytes_compare(a->items[i], b->items[k].from) < 0)
            i++;
        else if (is_before_end(a->items[i], &b->items[k]))
            return true;
        else
            k++;
    }
    return false;
}

/* INTO and MORE become one; MORE is empty afterwards. */
static enum err merge_keys(struct keys *into, struct keys *more)
{
    if (more->count == 0)
        return OK;
    struct bytes *merged = calloc(into->count + more->count, sizeof(*merged));
    if (merged == NULL)
        return ERR_NO_MEMORY;
    size_t count = 0, i = 0, k = 0;
    while (i < into->count || k < more->count) {
        int order = i == into->count   ? 1
                    : k == more->count ? -1
                                       : bytes_compare(into->items[i], more->items[k]);
        merged[count++] = order <= 0 ? into->items[i] : more->items[k];
        i += order <= 0;
        k += order >= 0;
    }
    free(into->items);
    free(more->items);
    *into = (struct keys){.items = merged, .count = count};
    *more = (struct keys){0};
    return OK;
}

static enum err merge_spans(struct spans *into, struct spans *more)
{
    if (more->count == 0)
        return OK;
    struct span *merged = calloc(into->count + more->count, sizeof(*merged));
    if (merged == NULL)
        return ERR_NO_MEMORY;
    size_t count = 0, i = 0, k = 0;
    while (i < into->count || k < more->count) {
        bool first = k == more->count ||
                     (i < into->count && compare_spans(&into->items[i], &more->items[k]) <= 0);
        merged[count++] = first ? into->items[i++] : more->items[k++];
    }
    free(into->items);
    free(more->items);
    *into = (struct spans){.items = merged, .count = join_spans(merged, count)};
    *more = (struct spans){0};
    return OK;
}

static size_t count_of(const struct kv_op *ops, size_t count, enum kv_op_type type)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += ops[i].type == type;
    return found;
}

static enum err collect_deletes(const struct kv_op *ops, size_t count, struct spans *out)
{
    size_t found = count_of(ops, count, KV_OP_DELETE);
    if (found == 0)
        return OK;
    out->items = calloc(found, sizeof(*out->items));
    if (out->items == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type != KV_OP_DELETE)
            continue;
        const struct kv_delete_request *r = &ops[i].del;
        bool is_point = r->range_end.size == 0;
        if (is_point || bytes_compare(r->key, r->range_end) < 0)
            out->items[out->count++] = (struct span){
                .from = r->key, .end = is_point ? r->key : r->range_end, .is_point = is_point};
    }
    qsort(out->items, out->count, sizeof(*out->items), compare_spans);
    out->count = join_spans(out->items, out->count);
    return OK;
}

static enum err collect_puts(const struct kv_op *ops, size_t count, struct keys *out,
                             enum verdict *verdict)
{
    size_t found = count_of(ops, count, KV_OP_PUT);
    if (found == 0)
        return OK;
    out->items = calloc(found, sizeof(*out->items));
    if (out->items == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type == KV_OP_PUT)
            out->items[out->count++] = ops[i].put.key;
    }
    qsort(out->items, out->count, sizeof(*out->items), compare_keys);
    for (size_t i = 1; i < out->count; i++) {
        if (bytes_equal(out->items[i - 1], out->items[i]))
            *verdict = VERDICT_DUPLICATE_KEY;
    }
    return OK;
}

static enum err collect(const struct kv_op *ops, size_t count, struct touched *out,
                        enum verdict *verdict);

/* Adds what a nested transaction touches to its parent's. */
static enum err collect_nested(const struct kv_txn_request *r, struct touched *out,
                               enum verdict *verdict)
{
    struct touched success = {0}, failure = {0};
    enum err error = collect(r->success, r->success_count, &success, verdict);
    if (error == OK && *verdict == VERDICT_OK)
        error = collect(r->failure, r->failure_count, &failure, verdict);
    if (error == OK && *verdict == VERDICT_OK) {
        if (keys_meet(&success.puts, &out->puts) || keys_meet(&failure.puts, &out->puts) ||
            keys_meet_spans(&success.puts, &out->deletes) ||
            keys_meet_spans(&failure.puts, &out->deletes))
            *verdict = VERDICT_DUPLICATE_KEY;
        error = merge_keys(&out->puts, &success.puts);
        if (error == OK)
            error = merge_keys(&out->puts, &failure.puts);
        if (error == OK)
            error = merge_spans(&out->deletes, &success.deletes);
        if (error == OK)
            error = merge_spans(&out->deletes, &failure.deletes);
    }
    touched_fini(&success);
    touched_fini(&failure);
    return error;
}

/* OUT is the caller's to release, whatever is returned. */
static enum err collect(const struct kv_op *ops, size_t count, struct touched *out,
                        enum verdict *verdict)
{
    enum err error = collect_deletes(ops, count, &out->deletes);
    for (size_t i = 0; error == OK && *verdict == VERDICT_OK && i < count; i++) {
        if (ops[i].type == KV_OP_TXN)
            error = collect_nested(&ops[i].txn, out, verdict);
    }
    if (error != OK || *verdict != VERDICT_OK)
        return error;
    struct keys puts = {0};
    error = collect_puts(ops, count, &puts, verdict);
    if (error == OK && (keys_meet(&puts, &out->puts) || keys_meet_spans(&puts, &out->deletes)))
        *verdict = VERDICT_DUPLICATE_KEY;
    if (error == OK)
        error = merge_keys(&out->puts, &puts);
    free(puts.items);
    return error;
}

static enum err check_duplicates(const struct kv_op *ops, size_t count, enum verdict *verdict)
{
    struct touched touched = {0};
    if (count < 2 && (count == 0 || ops[0].type != KV_OP_TXN))
        return OK; /* the usual list */
    enum err error = collect(ops, count, &touched, verdict);
    touched_fini(&touched);
    return error;
}

static enum err check_txn(const struct kv_txn_request *r, size_t max_ops, enum verdict *verdict)
{
    *verdict = check_txn_request(r, max_ops);
    if (*verdict != VERDICT_OK)
        return OK;
    enum err error = check_duplicates(r->success, r->success_count, verdict);
    if (error == OK && *verdict == VERDICT_OK)
        error = check_duplicates(r->failure, r->failure_count, verdict);
    return error;
}

/* --- what a transaction does ------------------------------------------------------------------ */

static bool any_op(const struct kv_txn_request *r, bool (*is)(const struct kv_op *))
{
    for (size_t i = 0; i < r->success_count; i++) {
        if (is(&r->success[i]))
            return true;
    }
    for (size_t i = 0; i < r->failure_count; i++) {
        if (is(&r->failure[i]))
            return true;
    }
    return false;
}

static bool op_has_put(const struct kv_op *op)
{
    return op->type == KV_OP_PUT || (op->type == KV_OP_TXN && txn_has_put(&op->txn));
}

static bool op_writes(const struct kv_op *op)
{
    return op->type == KV_OP_PUT || op->type == KV_OP_DELETE ||
           (op->type == KV_OP_TXN && !txn_is_read_only(&op->txn));
}

bool txn_has_put(const struct kv_txn_request *r)
{
    return any_op(r, op_has_put);
}

bool txn_is_read_only(const struct kv_txn_request *r)
{
    return !any_op(r, op_writes);
}

/* --- the entry points ------------------------------------------------------------------------- */

enum verdict state_check_range(const struct kv_range_request *request)
{
    return check_range_request(request);
}

enum err check_command(const struct state_command *command, size_t max_txn_ops,
                       enum verdict *verdict)
{
    *verdict = VERDICT_OK;
    switch (command->type) {
    case STATE_PUT:
        *verdict = check_put_request(&command->put);
        break;
    case STATE_DELETE:
        if (command->del.key.size == 0)
            *verdict = VERDICT_EMPTY_KEY;
        break;
    case STATE_TXN:
        return check_txn(&command->txn, max_txn_ops, verdict);
    case STATE_LEASE_GRANT:
        if (command->lease.id == 0)
            *verdict = VERDICT_LEASE_NOT_FOUND;
        else if (command->lease.ttl_s > LEASE_MAX_TTL_S)
            *verdict = VERDICT_LEASE_TTL_TOO_LARGE;
        break;
    case STATE_COMPACT:
    case STATE_LEASE_REVOKE:
    case STATE_ALARM_CHANGE:
        break;
    }
    return OK;
}

enum verdict state_check_command(const struct state_command *command, size_t max_txn_ops)
{
    enum verdict verdict;
    /* Without memory a request is not judged; it can be tried again. */
    return check_command(command, max_txn_ops, &verdict) == OK ? verdict
                                                               : VERDICT_TOO_MANY_REQUESTS;
}
