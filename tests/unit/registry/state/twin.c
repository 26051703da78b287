#include "tests/unit/registry/state/twin.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void twin_init(struct twin *t)
{
    *t = (struct twin){.revision = 1};
    arena_init(&t->memory, SIZE_MAX / 4);
    t->rows = arena_array(&t->memory, TWIN_MAX_ROWS, sizeof(t->rows[0]));
    assert(t->rows != NULL);
}

void twin_fini(struct twin *t)
{
    arena_fini(&t->memory);
}

static void *room(struct twin *t, size_t count, size_t size)
{
    void *memory = arena_array(&t->memory, count, size);
    assert(memory != NULL);
    memset(memory, 0, count * size);
    return memory;
}

static struct bytes copy(struct twin *t, struct bytes b)
{
    uint8_t *data = room(t, b.size, 1);
    if (b.size > 0)
        memcpy(data, b.data, b.size);
    return bytes_of(data, b.size);
}

/* --- reading ---------------------------------------------------------------------------------- */

const struct twin_row *twin_row_at(const struct twin *t, struct bytes key, int64_t revision,
                                   size_t row_count)
{
    const struct twin_row *found = NULL;
    for (size_t i = 0; i < row_count; i++) {
        if (t->rows[i].main <= revision && bytes_equal(t->rows[i].kv.key, key))
            found = &t->rows[i];
    }
    return found != NULL && !found->is_delete ? found : NULL;
}

/* Every key of the range there at REVISION, sorted by insertion. */
static size_t keys_at(struct twin *t, struct bytes key, struct bytes end, int64_t revision,
                      size_t row_count, struct kv **out)
{
    struct kv *kvs = room(t, row_count, sizeof(*kvs));
    size_t count = 0;
    for (size_t i = 0; i < row_count; i++) {
        const struct twin_row *row = &t->rows[i];
        if (!kv_range_contains(key, end, row->kv.key) ||
            twin_row_at(t, row->kv.key, revision, row_count) != row)
            continue;
        size_t at = count++;
        for (; at > 0 && bytes_compare(kvs[at - 1].key, row->kv.key) > 0; at--)
            kvs[at] = kvs[at - 1];
        kvs[at] = row->kv;
    }
    *out = kvs;
    return count;
}

static bool is_out_of_order(const struct kv_range_request *r, const struct kv *a,
                            const struct kv *b)
{
    int64_t order = 0;
    if (r->sort_target == KV_SORT_BY_KEY)
        order = bytes_compare(a->key, b->key);
    if (r->sort_target == KV_SORT_BY_VERSION)
        order = a->version - b->version;
    if (r->sort_target == KV_SORT_BY_CREATE)
        order = a->create_revision - b->create_revision;
    if (r->sort_target == KV_SORT_BY_MOD)
        order = a->mod_revision - b->mod_revision;
    if (r->sort_target == KV_SORT_BY_VALUE)
        order = bytes_compare(a->value, b->value);
    return r->sort_order == KV_SORT_DESCEND ? order < 0 : order > 0;
}

static size_t drop_filtered(const struct kv_range_request *r, struct kv *kvs, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if ((r->min_mod_revision != 0 && kvs[i].mod_revision < r->min_mod_revision) ||
            (r->max_mod_revision != 0 && kvs[i].mod_revision > r->max_mod_revision) ||
            (r->min_create_revision != 0 && kvs[i].create_revision < r->min_create_revision) ||
            (r->max_create_revision != 0 && kvs[i].create_revision > r->max_create_revision))
            continue;
        kvs[kept++] = kvs[i];
    }
    return kept;
}

static void range_at(struct twin *t, const struct kv_range_request *r, int64_t now,
                     struct kv_range_response *out)
{
    struct kv *kvs;
    size_t count =
        keys_at(t, r->key, r->range_end, r->revision > 0 ? r->revision : now, t->row_count, &kvs);
    *out = (struct kv_range_response){.count = (int64_t)count};
    if (r->count_only)
        return;
    bool filters = r->min_mod_revision != 0 || r->max_mod_revision != 0 ||
                   r->min_create_revision != 0 || r->max_create_revision != 0;
    /* etcd fetches one more than the limit unless a sort order or a filter needs everything. */
    if (r->sort_order == KV_SORT_NONE && !filters && r->limit > 0 && count > (size_t)r->limit + 1)
        count = (size_t)r->limit + 1;
    count = drop_filtered(r, kvs, count);
    for (size_t i = 1; i < count; i++) {
        struct kv moved = kvs[i];
        size_t at = i;
        for (; at > 0 && is_out_of_order(r, &kvs[at - 1], &moved); at--)
            kvs[at] = kvs[at - 1];
        kvs[at] = moved;
    }
    if (r->limit > 0 && count > (size_t)r->limit) {
        count = (size_t)r->limit;
        out->more = true;
    }
    for (size_t i = 0; r->keys_only && i < count; i++)
        kvs[i].value = BYTES_EMPTY;
    out->kvs = kvs;
    out->kv_count = count;
}

enum verdict twin_range(struct twin *t, const struct kv_range_request *r,
                        struct kv_range_response *out)
{
    if (r->key.size == 0)
        return VERDICT_EMPTY_KEY;
    if (r->revision > t->revision)
        return VERDICT_FUTURE_REVISION;
    if (r->revision > 0 && r->revision < t->compacted)
        return VERDICT_COMPACTED;
    range_at(t, r, t->revision, out);
    return VERDICT_OK;
}

/* --- changing --------------------------------------------------------------------------------- */

static size_t lease_index(const struct twin *t, int64_t id)
{
    size_t i = 0;
    while (i < t->lease_count && t->leases[i].id != id)
        i++;
    return i;
}

static void put(struct twin *t, const struct kv_put_request *r, struct kv_put_response *out)
{
    const struct twin_row *old = twin_row_at(t, r->key, INT64_MAX, t->row_count);
    struct twin_row row = {.main = t->revision + 1,
                           .kv = {.key = copy(t, r->key),
                                  .value = copy(t, r->value),
                                  .create_revision = t->revision + 1,
                                  .mod_revision = t->revision + 1,
                                  .version = 1,
                                  .lease = r->lease}};
    *out = (struct kv_put_response){.has_prev_kv = r->prev_kv && old != NULL};
    if (out->has_prev_kv)
        out->prev_kv = old->kv;
    if (old != NULL) {
        row.kv.create_revision = old->kv.create_revision;
        row.kv.version = old->kv.version + 1;
        if (r->ignore_value)
            row.kv.value = old->kv.value;
        if (r->ignore_lease)
            row.kv.lease = old->kv.lease;
    }
    assert(t->row_count < TWIN_MAX_ROWS);
    t->rows[t->row_count++] = row;
}

static void delete_key(struct twin *t, struct bytes key)
{
    assert(t->row_count < TWIN_MAX_ROWS);
    t->rows[t->row_count++] =
        (struct twin_row){.main = t->revision + 1,
                          .is_delete = true,
                          .kv = {.key = key, .mod_revision = t->revision + 1}};
}

static void delete_range(struct twin *t, const struct kv_delete_request *r,
                         struct kv_delete_response *out)
{
    struct kv *kvs;
    size_t count = keys_at(t, r->key, r->range_end, INT64_MAX, t->row_count, &kvs);
    for (size_t i = 0; i < count; i++)
        delete_key(t, kvs[i].key);
    *out = (struct kv_delete_response){.deleted = (int64_t)count};
    if (r->prev_kv) {
        out->prev_kvs = kvs;
        out->prev_kv_count = count;
    }
}

static enum verdict check_put(const struct twin *t, const struct kv_put_request *r)
{
    if (r->key.size == 0)
        return VERDICT_EMPTY_KEY;
    if (r->ignore_value && r->value.size > 0)
        return VERDICT_VALUE_PROVIDED;
    if (r->ignore_lease && r->lease != 0)
        return VERDICT_LEASE_PROVIDED;
    (void)t;
    return VERDICT_OK;
}

/* --- transactions ----------------------------------------------------------------------------- */

static enum verdict check_txn(const struct twin *t, const struct kv_txn_request *r, size_t max);

static enum verdict check_ops(const struct twin *t, const struct kv_op *ops, size_t count,
                              size_t max)
{
    enum verdict v = VERDICT_OK;
    for (size_t i = 0; i < count && v == VERDICT_OK; i++) {
        if (ops[i].type == KV_OP_NONE)
            v = VERDICT_KEY_NOT_FOUND;
        if (ops[i].type == KV_OP_RANGE && ops[i].range.key.size == 0)
            v = VERDICT_EMPTY_KEY;
        if (ops[i].type == KV_OP_PUT)
            v = check_put(t, &ops[i].put);
        if (ops[i].type == KV_OP_DELETE && ops[i].del.key.size == 0)
            v = VERDICT_EMPTY_KEY;
        if (ops[i].type == KV_OP_TXN)
            v = check_txn(t, &ops[i].txn, max);
    }
    return v;
}

static enum verdict check_txn(const struct twin *t, const struct kv_txn_request *r, size_t max)
{
    size_t most = r->compare_count;
    most = r->success_count > most ? r->success_count : most;
    most = r->failure_count > most ? r->failure_count : most;
    if (most > max)
        return VERDICT_TOO_MANY_OPS;
    for (size_t i = 0; i < r->compare_count; i++) {
        if (r->compares[i].key.size == 0)
            return VERDICT_EMPTY_KEY;
    }
    enum verdict v = check_ops(t, r->success, r->success_count, max - most);
    return v != VERDICT_OK ? v : check_ops(t, r->failure, r->failure_count, max - most);
}

/* etcd's checkIntervals with lists. */
struct touched {
    const struct kv_op *puts[512];
    size_t put_count;
    const struct kv_op *dels[512];
    size_t del_count;
};

static bool covers(const struct kv_delete_request *r, struct bytes key)
{
    if (r->range_end.size == 0)
        return bytes_equal(r->key, key);
    return bytes_compare(key, r->key) >= 0 && bytes_compare(key, r->range_end) < 0;
}

static bool has_put(const struct touched *t, size_t count, struct bytes key)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes_equal(t->puts[i]->put.key, key))
            return true;
    }
    return false;
}

static bool has_delete(const struct touched *t, struct bytes key)
{
    for (size_t i = 0; i < t->del_count; i++) {
        if (covers(&t->dels[i]->del, key))
            return true;
    }
    return false;
}

static bool has_duplicates(const struct kv_op *ops, size_t count, struct touched *t)
{
    *t = (struct touched){0};
    for (size_t i = 0; i < count; i++) {
        if (ops[i].type == KV_OP_DELETE)
            t->dels[t->del_count++] = &ops[i];
    }
    bool found = false;
    for (size_t i = 0; i < count && !found; i++) {
        if (ops[i].type != KV_OP_TXN)
            continue;
        struct touched *nested = calloc(2, sizeof(*nested));
        assert(nested != NULL);
        const struct kv_txn_request *r = &ops[i].txn;
        found = has_duplicates(r->success, r->success_count, &nested[0]) ||
                has_duplicates(r->failure, r->failure_count, &nested[1]);
        size_t puts_before = t->put_count;
        for (size_t b = 0; b < 2 && !found; b++) {
            for (size_t k = 0; k < nested[b].put_count; k++) {
                struct bytes key = nested[b].puts[k]->put.key;
                found |= has_put(t, puts_before, key) || has_delete(t, key);
            }
        }
        for (size_t b = 0; b < 2 && !found; b++) {
            for (size_t k = 0; k < nested[b].put_count; k++)
                t->puts[t->put_count++] = nested[b].puts[k];
            for (size_t k = 0; k < nested[b].del_count; k++)
                t->dels[t->del_count++] = nested[b].dels[k];
        }
        free(nested);
    }
    for (size_t i = 0; i < count && !found; i++) {
        if (ops[i].type != KV_OP_PUT)
            continue;
        found = has_put(t, t->put_count, ops[i].put.key) || has_delete(t, ops[i].put.key);
        t->puts[t->put_count++] = &ops[i];
    }
    return found;
}

static bool kv_compares(const struct kv_compare *c, const struct kv *kv)
{
    int64_t have = 0, want = c->number;
    int order = 0;
    if (c->target == KV_COMPARE_VALUE) {
        order = bytes_compare(kv->value, c->value);
    } else if (c->target != KV_TARGET_UNKNOWN) {
        have = c->target == KV_COMPARE_VERSION  ? kv->version
               : c->target == KV_COMPARE_CREATE ? kv->create_revision
               : c->target == KV_COMPARE_MOD    ? kv->mod_revision
                                                : kv->lease;
        order = have < want ? -1 : have > want;
    }
    return c->result == KV_EQUAL       ? order == 0
           : c->result == KV_NOT_EQUAL ? order != 0
           : c->result == KV_LESS      ? order < 0
           : c->result == KV_GREATER   ? order > 0
                                       : true;
}

static bool compares_hold(struct twin *t, const struct kv_txn_request *r, size_t row_count)
{
    for (size_t i = 0; i < r->compare_count; i++) {
        const struct kv_compare *c = &r->compares[i];
        struct kv *kvs, missing = {0};
        size_t count = keys_at(t, c->key, c->range_end, INT64_MAX, row_count, &kvs);
        if (count == 0 && (c->target == KV_COMPARE_VALUE || !kv_compares(c, &missing)))
            return false;
        for (size_t k = 0; k < count; k++) {
            if (!kv_compares(c, &kvs[k]))
                return false;
        }
    }
    return true;
}

static enum verdict check_path(struct twin *t, const struct kv_txn_request *r, bool puts)
{
    bool yes = compares_hold(t, r, t->row_count);
    const struct kv_op *ops = yes ? r->success : r->failure;
    size_t count = yes ? r->success_count : r->failure_count;
    enum verdict v = VERDICT_OK;
    for (size_t i = 0; i < count && v == VERDICT_OK; i++) {
        if (ops[i].type == KV_OP_TXN)
            v = check_path(t, &ops[i].txn, puts);
        if (puts && ops[i].type == KV_OP_PUT) {
            const struct kv_put_request *p = &ops[i].put;
            if ((p->ignore_value || p->ignore_lease) &&
                twin_row_at(t, p->key, INT64_MAX, t->row_count) == NULL)
                v = VERDICT_KEY_NOT_FOUND;
            else if (p->lease != 0 && lease_index(t, p->lease) == t->lease_count)
                v = VERDICT_LEASE_NOT_FOUND;
        }
        if (!puts && ops[i].type == KV_OP_RANGE && ops[i].range.revision != 0) {
            int64_t first = t->compacted > 0 ? t->compacted : -1;
            if (ops[i].range.revision > t->revision)
                v = VERDICT_FUTURE_REVISION;
            else if (ops[i].range.revision < first)
                v = VERDICT_COMPACTED;
        }
    }
    return v;
}

/* Rows from START on are this transaction's own; compares do not see them. */
static void run(struct twin *t, const struct kv_txn_request *r, size_t start,
                struct kv_txn_response *out)
{
    out->succeeded = compares_hold(t, r, start);
    const struct kv_op *ops = out->succeeded ? r->success : r->failure;
    out->response_count = out->succeeded ? r->success_count : r->failure_count;
    struct kv_op_response *responses = room(t, out->response_count, sizeof(*responses));
    out->responses = responses;
    for (size_t i = 0; i < out->response_count; i++) {
        responses[i].type = ops[i].type;
        if (ops[i].type == KV_OP_TXN) {
            run(t, &ops[i].txn, start, &responses[i].txn);
            continue;
        }
        if (ops[i].type == KV_OP_RANGE)
            range_at(t, &ops[i].range, INT64_MAX, &responses[i].range);
        if (ops[i].type == KV_OP_PUT)
            put(t, &ops[i].put, &responses[i].put);
        if (ops[i].type == KV_OP_DELETE)
            delete_range(t, &ops[i].del, &responses[i].del);
        responses[i].revision = t->revision + (t->row_count > start);
    }
}

static bool contains(const struct kv_txn_request *r, bool (*is)(const struct kv_op *))
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

static bool is_put(const struct kv_op *op)
{
    return op->type == KV_OP_PUT || (op->type == KV_OP_TXN && contains(&op->txn, is_put));
}

static bool is_write(const struct kv_op *op)
{
    return op->type == KV_OP_PUT || op->type == KV_OP_DELETE ||
           (op->type == KV_OP_TXN && contains(&op->txn, is_write));
}

/* --- commands --------------------------------------------------------------------------------- */

static bool is_alarmed(const struct twin *t, enum alarm_type type)
{
    for (size_t i = 0; i < t->alarm_count; i++) {
        if (t->alarms[i].type == type)
            return true;
    }
    return false;
}

static enum verdict check(struct twin *t, const struct state_command *c)
{
    enum verdict v = VERDICT_OK;
    struct touched *touched = calloc(1, sizeof(*touched));
    assert(touched != NULL);
    if (c->type == STATE_PUT)
        v = check_put(t, &c->put);
    if (c->type == STATE_DELETE && c->del.key.size == 0)
        v = VERDICT_EMPTY_KEY;
    if (c->type == STATE_LEASE_GRANT && c->lease.ttl_s > LEASE_MAX_TTL_S)
        v = VERDICT_LEASE_TTL_TOO_LARGE;
    if (c->type == STATE_TXN) {
        v = check_txn(t, &c->txn, KV_TXN_OPS_LIMIT);
        if (v == VERDICT_OK && (has_duplicates(c->txn.success, c->txn.success_count, touched) ||
                                has_duplicates(c->txn.failure, c->txn.failure_count, touched)))
            v = VERDICT_DUPLICATE_KEY;
    }
    free(touched);
    if (v != VERDICT_OK || c->type == STATE_ALARM_CHANGE)
        return v;
    if (is_alarmed(t, ALARM_CORRUPT) && (c->type != STATE_TXN || contains(&c->txn, is_write)))
        return VERDICT_CORRUPT;
    if (is_alarmed(t, ALARM_NOSPACE) && (c->type == STATE_PUT || c->type == STATE_LEASE_GRANT ||
                                         (c->type == STATE_TXN && contains(&c->txn, is_put))))
        return VERDICT_NO_SPACE;
    return VERDICT_OK;
}

static void revoke(struct twin *t, int64_t id, struct state_result *result)
{
    size_t i = lease_index(t, id);
    if (i == t->lease_count) {
        result->verdict = VERDICT_LEASE_NOT_FOUND;
        return;
    }
    struct kv *kvs;
    size_t count = keys_at(t, bytes_of("", 1), bytes_of("", 1), INT64_MAX, t->row_count, &kvs);
    for (size_t k = 0; k < count; k++) {
        if (kvs[k].lease == id)
            delete_key(t, kvs[k].key);
    }
    t->leases[i] = t->leases[--t->lease_count];
    result->lease.id = id;
}

static void change_alarm(struct twin *t, enum alarm_action action, struct alarm alarm,
                         struct state_result *result)
{
    struct alarm *out = room(t, TWIN_MAX_ALARMS, sizeof(*out));
    result->alarm.alarms = out;
    size_t i = 0;
    while (i < t->alarm_count &&
           (t->alarms[i].member != alarm.member || t->alarms[i].type != alarm.type))
        i++;
    if (action == ALARM_GET) {
        for (size_t k = 0; k < t->alarm_count; k++) {
            if (alarm.type == ALARM_NONE || t->alarms[k].type == alarm.type)
                out[result->alarm.count++] = t->alarms[k];
        }
        return;
    }
    if (action == ALARM_ACTIVATE && alarm.type != ALARM_NONE && i == t->alarm_count) {
        assert(t->alarm_count < TWIN_MAX_ALARMS);
        t->alarms[t->alarm_count++] = alarm;
    } else if (i == t->alarm_count) {
        return;
    } else if (action == ALARM_DEACTIVATE) {
        t->alarms[i] = t->alarms[--t->alarm_count];
    }
    out[result->alarm.count++] = alarm;
}

static void execute(struct twin *t, const struct state_command *c, struct state_result *result)
{
    size_t start = t->row_count;
    switch (c->type) {
    case STATE_PUT:
        if (c->put.lease != 0 && lease_index(t, c->put.lease) == t->lease_count)
            result->verdict = VERDICT_LEASE_NOT_FOUND;
        else if ((c->put.ignore_value || c->put.ignore_lease) &&
                 twin_row_at(t, c->put.key, INT64_MAX, t->row_count) == NULL)
            result->verdict = VERDICT_KEY_NOT_FOUND;
        else
            put(t, &c->put, &result->put);
        break;
    case STATE_DELETE:
        delete_range(t, &c->del, &result->del);
        break;
    case STATE_TXN:
        result->verdict = check_path(t, &c->txn, true);
        if (result->verdict == VERDICT_OK)
            result->verdict = check_path(t, &c->txn, false);
        if (result->verdict == VERDICT_OK)
            run(t, &c->txn, start, &result->txn);
        break;
    case STATE_COMPACT:
        if (c->compact.revision == 0 && t->compacted == 0)
            break;
        if (c->compact.revision <= t->compacted)
            result->verdict = VERDICT_COMPACTED;
        else if (c->compact.revision > t->revision)
            result->verdict = VERDICT_FUTURE_REVISION;
        else
            t->compacted = c->compact.revision;
        break;
    case STATE_LEASE_GRANT:
        if (lease_index(t, c->lease.id) < t->lease_count) {
            result->verdict = VERDICT_LEASE_EXISTS;
            break;
        }
        assert(t->lease_count < TWIN_MAX_LEASES);
        t->leases[t->lease_count].id = result->lease.id = c->lease.id;
        t->leases[t->lease_count++].ttl_s = result->lease.ttl_s = c->lease.ttl_s;
        break;
    case STATE_LEASE_REVOKE:
        revoke(t, c->lease.id, result);
        break;
    case STATE_ALARM_CHANGE:
        change_alarm(t, c->alarm.action, c->alarm.alarm, result);
        break;
    }
    if (t->row_count > start)
        t->revision++;
}

void twin_apply(struct twin *t, const struct state_command *command, struct state_result *result)
{
    *result = (struct state_result){.verdict = check(t, command)};
    if (result->verdict == VERDICT_OK)
        execute(t, command, result);
    result->revision = t->revision;
}
