/* Transactions: every compare, nested ones too, is evaluated before anything is written; then the
 * taken path is checked; only then does it run. */
#include "registry/state/internal.h"

#include <assert.h>

/* --- compares --------------------------------------------------------------------------------- */

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_target(const struct kv_compare *c, const struct kv *kv)
{
    switch (c->target) {
    case KV_COMPARE_VERSION:
        return compare_numbers(kv->version, c->number);
    case KV_COMPARE_CREATE:
        return compare_numbers(kv->create_revision, c->number);
    case KV_COMPARE_MOD:
        return compare_numbers(kv->mod_revision, c->number);
    case KV_COMPARE_LEASE:
        return compare_numbers(kv->lease, c->number);
    case KV_COMPARE_VALUE:
        return bytes_compare(kv->value, c->value);
    case KV_TARGET_UNKNOWN:
        break;
    }
    return 0;
}

static bool kv_matches(const struct kv_compare *c, const struct kv *kv)
{
    int order = compare_target(c, kv);
    switch (c->result) {
    case KV_EQUAL:
        return order == 0;
    case KV_GREATER:
        return order > 0;
    case KV_LESS:
        return order < 0;
    case KV_NOT_EQUAL:
        return order != 0;
    case KV_RESULT_UNKNOWN:
        break;
    }
    return true;
}

static bool compare_holds(const struct state *s, const struct kv_compare *c)
{
    static const struct kv missing;
    bool any = false;
    struct tree_cursor cursor;
    const void *entry;
    for (tree_seek(&s->items, c->key, &cursor); (entry = tree_at(&cursor)) != NULL;
         tree_next(&cursor)) {
        struct item item;
        item_read(entry, &item);
        if (!before_end(item.kv.key, c->key, c->range_end))
            break;
        if (item.deleted)
            continue;
        any = true;
        if (!kv_matches(c, &item.kv))
            return false;
    }
    /* No value is equal, unequal or anything else to one that is not there. */
    return any || (c->target != KV_COMPARE_VALUE && kv_matches(c, &missing));
}

bool compares_hold(const struct state *s, const struct kv_compare *compares, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!compare_holds(s, &compares[i]))
            return false;
    }
    return true;
}

/* --- the path --------------------------------------------------------------------------------- */

/* Which branch each transaction takes, in the order in which the taken ones are met. */
struct path {
    bool *taken;
    size_t size;
    size_t at;
};

static size_t count_txns(const struct kv_txn_request *r)
{
    size_t count = 1;
    for (size_t i = 0; i < r->success_count; i++)
        count += r->success[i].type == KV_OP_TXN ? count_txns(&r->success[i].txn) : 0;
    for (size_t i = 0; i < r->failure_count; i++)
        count += r->failure[i].type == KV_OP_TXN ? count_txns(&r->failure[i].txn) : 0;
    return count;
}

static const struct kv_op *branch(const struct kv_txn_request *r, bool succeeded, size_t *count)
{
    *count = succeeded ? r->success_count : r->failure_count;
    return succeeded ? r->success : r->failure;
}

static void choose(const struct state *s, const struct kv_txn_request *r, struct path *path)
{
    bool succeeded = compares_hold(s, r->compares, r->compare_count);
    path->taken[path->size++] = succeeded;
    size_t count;
    const struct kv_op *ops = branch(r, succeeded, &count);
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type == KV_OP_TXN)
            choose(s, &ops[i].txn, path);
    }
}

static enum verdict check_put(const struct state *s, const struct kv_op *op)
{
    struct kv kv;
    if (op->type != KV_OP_PUT)
        return VERDICT_OK;
    if ((op->put.ignore_value || op->put.ignore_lease) && !state_get(s, op->put.key, &kv))
        return VERDICT_KEY_NOT_FOUND;
    if (op->put.lease != 0 && lease_find(s, op->put.lease) == NULL)
        return VERDICT_LEASE_NOT_FOUND;
    return VERDICT_OK;
}

static enum verdict check_range(const struct state *s, const struct kv_op *op)
{
    if (op->type != KV_OP_RANGE || op->range.revision == 0)
        return VERDICT_OK;
    if (op->range.revision > s->revision)
        return VERDICT_FUTURE_REVISION;
    /* Inside a transaction etcd takes negative revisions at their word; never compacted is -1. */
    if (op->range.revision < (s->compacted > 0 ? s->compacted : -1))
        return VERDICT_COMPACTED;
    return VERDICT_OK;
}

static enum verdict check_path(const struct state *s, const struct kv_txn_request *r,
                               struct path *path,
                               enum verdict (*check)(const struct state *, const struct kv_op *))
{
    size_t count;
    const struct kv_op *ops = branch(r, path->taken[path->at++], &count);
    for (size_t i = 0; i < count; i++) {
        enum verdict verdict =
            ops[i].type == KV_OP_TXN ? check_path(s, &ops[i].txn, path, check) : check(s, &ops[i]);
        if (verdict != VERDICT_OK)
            return verdict;
    }
    return VERDICT_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

static enum err run(struct change *c, const struct kv_txn_request *r, struct path *path,
                    struct kv_txn_response *out);

static enum err run_range(struct change *c, const struct kv_range_request *request,
                          struct kv_range_response *out)
{
    enum verdict verdict;
    if (!c->answers || c->answer_error != OK)
        return OK;
    c->answer_error =
        range_answer(c->s, request, change_revision(c), c->source, c->arena, NULL, out, &verdict);
    assert(c->answer_error != OK || verdict == VERDICT_OK); /* check_range saw it */
    return OK;
}

static enum err run_op(struct change *c, const struct kv_op *op, struct path *path,
                       struct kv_op_response *out)
{
    enum err error = OK;
    assert(op->type != KV_OP_NONE); /* checked before */
    *out = (struct kv_op_response){.type = op->type};
    switch (op->type) {
    case KV_OP_NONE:
        break;
    case KV_OP_RANGE:
        error = run_range(c, &op->range, &out->range);
        break;
    case KV_OP_PUT:
        error = change_put_request(c, &op->put, &out->put);
        break;
    case KV_OP_DELETE:
        error = change_delete_range(c, op->del.key, op->del.range_end, op->del.prev_kv, &out->del);
        break;
    case KV_OP_TXN:
        return run(c, &op->txn, path, &out->txn); /* its header is empty */
    }
    out->revision = change_revision(c);
    return error;
}

static enum err run(struct change *c, const struct kv_txn_request *r, struct path *path,
                    struct kv_txn_response *out)
{
    size_t count;
    bool succeeded = path->taken[path->at++];
    const struct kv_op *ops = branch(r, succeeded, &count);
    struct kv_op_response *responses = NULL;
    if (c->answers && c->answer_error == OK && count > 0) {
        responses = arena_array(c->arena, count, sizeof(*responses));
        if (responses == NULL)
            c->answer_error = ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        struct kv_op_response unwanted;
        enum err error = run_op(c, &ops[i], path, responses != NULL ? &responses[i] : &unwanted);
        if (error != OK)
            return error;
    }
    *out = (struct kv_txn_response){.succeeded = succeeded,
                                    .responses = responses,
                                    .response_count = responses != NULL ? count : 0};
    return OK;
}

enum err change_txn(struct change *c, const struct kv_txn_request *r, struct kv_txn_response *out,
                    enum verdict *verdict)
{
    struct path path = {.taken = arena_array(c->arena, count_txns(r), sizeof(bool))};
    if (path.taken == NULL)
        return ERR_NO_MEMORY;
    choose(c->s, r, &path);
    *verdict = check_path(c->s, r, &path, check_put);
    path.at = 0;
    if (*verdict == VERDICT_OK)
        *verdict = check_path(c->s, r, &path, check_range);
    path.at = 0;
    return *verdict == VERDICT_OK ? run(c, r, &path, out) : OK;
}
