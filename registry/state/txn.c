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

/* Which keys are live is the same on every member, what deletions are not yet purged is not: only
 * the live are counted. */
static bool compare_holds(const struct state *s, const struct kv_compare *c, size_t *keys_left)
{
    static const struct kv missing;
    bool any = false;
    struct tree_cursor cursor;
    const void *entry;
    for (tree_seek_counted(&s->items, c->key, &cursor); (entry = tree_at(&cursor)) != NULL;
         tree_next_counted(&cursor)) {
        struct item item;
        item_read(entry, &item);
        if (!before_end(item.kv.key, c->key, c->range_end))
            break;
        any = true;
        if (*keys_left == 0 || !kv_matches(c, &item.kv))
            return false;
        --*keys_left;
    }
    /* No value is equal, unequal or anything else to one that is not there. */
    return any || (c->target != KV_COMPARE_VALUE && kv_matches(c, &missing));
}

static bool compares_hold(const struct state *s, const struct kv_compare *compares, size_t count,
                          size_t *keys_left)
{
    for (size_t i = 0; i < count; i++) {
        if (!compare_holds(s, &compares[i], keys_left))
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
    struct state_budget left; /* of what the transaction may look at and answer */
    /* The same for what ranges at the newest revision find when they run. It holds what check_size
     * has let through, and once what the transaction itself has put. */
    struct state_budget newest_left;
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
    bool succeeded = compares_hold(s, r->compares, r->compare_count, &path->left.keys);
    path->taken[path->size++] = succeeded;
    size_t count;
    const struct kv_op *ops = branch(r, succeeded, &count);
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type == KV_OP_TXN)
            choose(s, &ops[i].txn, path);
    }
}

static enum verdict check_put(const struct state *s, const struct kv_op *op,
                              struct state_budget *left UNUSED)
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

static enum verdict check_range(const struct state *s, const struct kv_op *op,
                                struct state_budget *left UNUSED)
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

static bool spend(struct state_budget *left, size_t keys, size_t size)
{
    bool lasts = keys <= left->keys && size <= left->size;
    left->keys -= lasts ? keys : 0;
    left->size -= lasts ? size : 0;
    return lasts;
}

/* Whether the newest values that an operation answers with are within what is LEFT. */
static bool fits(const struct state *s, struct bytes key, struct bytes end,
                 const struct kv_range_request *r, struct state_budget *left)
{
    struct tree_cursor c;
    const void *entry;
    int64_t kept = 0;
    for (tree_seek_counted(&s->items, key, &c); (entry = tree_at(&c)) != NULL;
         tree_next_counted(&c)) {
        struct item item;
        item_read(entry, &item);
        if (!before_end(item.kv.key, key, end))
            break;
        size_t size = item.kv.key.size + item.kv.value.size;
        if (r != NULL && !range_passes(r, &item.kv))
            size = 0;
        else if (r != NULL && r->keys_only)
            size = item.kv.key.size;
        if (!spend(left, 1, size))
            return false;
        kept += size > 0;
        if (r != NULL && range_is_cut_early(r) && kept > r->limit)
            break;
    }
    return true;
}

/* The answer is bounded before anything is done, but for what ranges at old revisions find: those
 * are bounded as they are read. */
static enum verdict check_size(const struct state *s, const struct kv_op *op,
                               struct state_budget *left)
{
    bool good = true;
    if (op->type == KV_OP_RANGE && !op->range.count_only && op->range.revision == 0)
        good = fits(s, op->range.key, op->range.range_end, &op->range, left);
    else if (op->type == KV_OP_PUT && op->put.prev_kv)
        good = fits(s, op->put.key, BYTES_EMPTY, NULL, left);
    else if (op->type == KV_OP_DELETE && op->del.prev_kv)
        good = fits(s, op->del.key, op->del.range_end, NULL, left);
    return good ? VERDICT_OK : VERDICT_TXN_TOO_LARGE;
}

static enum verdict
check_path(const struct state *s, const struct kv_txn_request *r, struct path *path,
           enum verdict (*check)(const struct state *, const struct kv_op *, struct state_budget *))
{
    size_t count;
    const struct kv_op *ops = branch(r, path->taken[path->at++], &count);
    for (size_t i = 0; i < count; i++) {
        enum verdict verdict = ops[i].type == KV_OP_TXN ? check_path(s, &ops[i].txn, path, check)
                                                        : check(s, &ops[i], &path->left);
        if (verdict != VERDICT_OK)
            return verdict;
    }
    return VERDICT_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

static enum err run(struct change *c, const struct kv_txn_request *r, struct path *path,
                    struct kv_txn_response *out);

static enum err run_range(struct change *c, const struct kv_range_request *request,
                          struct path *path, struct kv_range_response *out)
{
    struct state_budget *left = request->revision == 0 ? &path->newest_left : &path->left;
    enum verdict verdict;
    if (!c->answers || c->answer_error != OK)
        return OK;
    c->answer_error =
        range_answer(c->s, request, change_revision(c), c->source, c->arena, left, out, &verdict);
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
        error = run_range(c, &op->range, path, &out->range);
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
    enum verdict (*const checks[])(const struct state *, const struct kv_op *,
                                   struct state_budget *) = {check_put, check_range, check_size};
    struct path path = {
        .taken = arena_array(c->arena, count_txns(r), sizeof(bool)),
        .left = {.keys = KV_TXN_MAX_KEYS + 1, .size = KV_TXN_MAX_ANSWER_SIZE},
        .newest_left = {.keys = KV_TXN_MAX_KEYS + KV_TXN_OPS_LIMIT,
                        .size = KV_TXN_MAX_ANSWER_SIZE + KV_REQUEST_SIZE_LIMIT},
    };
    if (path.taken == NULL)
        return ERR_NO_MEMORY;
    choose(c->s, r, &path);
    *verdict = path.left.keys > 0 ? VERDICT_OK : VERDICT_TXN_TOO_LARGE;
    for (size_t i = 0; i < ARRAY_COUNT(checks) && *verdict == VERDICT_OK; i++) {
        path.at = 0;
        *verdict = check_path(c->s, r, &path, checks[i]);
    }
    path.at = 0;
    return *verdict == VERDICT_OK ? run(c, r, &path, out) : OK;
}
