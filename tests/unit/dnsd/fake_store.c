#include "tests/unit/dnsd/fake_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MAX_LEASES = 16
};

struct item {
    char *key;
    char *value;
    int64_t lease;
    int64_t revision;
};

struct answer {
    struct answer *next;
    struct store *store;
    struct store_response response;
    struct kv *kvs;
    char **texts;
    size_t text_count;
    store_done_fn *done;
    void *context;
};

struct store {
    uv_idle_t *later;
    struct item *items; /* by key */
    size_t count;
    int64_t leases[MAX_LEASES];
    size_t lease_count;
    int64_t next_lease;
    int64_t revision;
    bool deferred;
    enum verdict verdict;
    struct answer *first;
    struct answer **last;
    void (*changed)(void *context);
    void *changed_context;
    struct store_watch *watches;
    size_t write_count, txn_count, largest_txn, keepalive_count;
};

struct store_watch {
    struct store_watch *next;
    struct store *store;
    char *first, *behind;
    store_watch_fn *deliver;
    void *context;
};

static void on_later(uv_idle_t *handle);

struct store *fake_store_new(uv_loop_t *loop)
{
    struct store *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    s->later = calloc(1, sizeof(*s->later));
    assert_non_null(s->later);
    uv_idle_init(loop, s->later);
    s->later->data = s;
    s->next_lease = 1000;
    s->revision = 1;
    s->last = &s->first;
    return s;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void fake_store_free(struct store *s)
{
    assert_null(s->first);
    assert_null(s->watches);
    uv_close((uv_handle_t *)s->later, on_closed);
    for (size_t i = 0; i < s->count; i++) {
        free(s->items[i].key);
        free(s->items[i].value);
    }
    free(s->items);
    free(s);
}

void fake_store_set_deferred(struct store *s, bool on)
{
    s->deferred = on;
}

void fake_store_set_verdict(struct store *s, enum verdict verdict)
{
    s->verdict = verdict;
}

/* --- Keys. --- */

static size_t position_of(const struct store *s, const char *key, bool *found)
{
    size_t i = 0, high = s->count;
    while (i < high) {
        size_t middle = i + (high - i) / 2;
        if (strcmp(s->items[middle].key, key) < 0)
            i = middle + 1;
        else
            high = middle;
    }
    *found = i < s->count && strcmp(s->items[i].key, key) == 0;
    return i;
}

static void tell_watches(const struct store *s, const char *key, const struct item *item)
{
    struct kv_event event = {.type = item != NULL ? KV_EVENT_PUT : KV_EVENT_DELETE,
                             .kv = {.key = bytes_of_str(key), .mod_revision = s->revision}};
    if (item != NULL) {
        event.kv.value = bytes_of_str(item->value);
        event.kv.lease = item->lease;
    }
    struct store_watch_batch batch = {.revision = s->revision, .events = &event, .event_count = 1};
    for (struct store_watch *w = s->watches, *next; w != NULL; w = next) {
        next = w->next;
        if (strcmp(key, w->first) >= 0 && strcmp(key, w->behind) < 0)
            assert_true(w->deliver(w->context, &batch));
    }
}

static void drop(struct store *s, size_t i)
{
    char *key = s->items[i].key;
    free(s->items[i].value);
    memmove(&s->items[i], &s->items[i + 1], (s->count - i - 1) * sizeof(s->items[0]));
    s->count--;
    tell_watches(s, key, NULL);
    free(key);
}

static void tell_change(const struct store *s)
{
    if (s->changed != NULL)
        s->changed(s->changed_context);
}

void fake_store_on_change(struct store *s, void (*fn)(void *context), void *context)
{
    s->changed = fn;
    s->changed_context = context;
}

void fake_store_each(const struct store *s, void (*fn)(void *context, const struct kv *kv),
                     void *context)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct item *item = &s->items[i];
        struct kv kv = {.key = bytes_of_str(item->key),
                        .value = bytes_of_str(item->value),
                        .mod_revision = item->revision,
                        .lease = item->lease};
        fn(context, &kv);
    }
}

static void put_item(struct store *s, const char *key, const char *value, int64_t lease)
{
    bool found;
    size_t i = position_of(s, key, &found);
    if (!found) {
        s->items = realloc(s->items, (s->count + 1) * sizeof(s->items[0]));
        assert_non_null(s->items);
        memmove(&s->items[i + 1], &s->items[i], (s->count - i) * sizeof(s->items[0]));
        s->count++;
        s->items[i] = (struct item){.key = strdup(key)};
    }
    free(s->items[i].value);
    s->items[i].value = strdup(value);
    s->items[i].lease = lease;
    s->items[i].revision = s->revision;
    tell_watches(s, s->items[i].key, &s->items[i]);
}

void fake_store_put(struct store *s, const char *key, const char *value, int64_t lease)
{
    s->revision++;
    put_item(s, key, value, lease);
    tell_change(s);
}

void fake_store_delete(struct store *s, const char *key)
{
    bool found;
    size_t i = position_of(s, key, &found);
    s->revision++;
    if (found)
        drop(s, i);
    tell_change(s);
}

const char *fake_store_get(const struct store *s, const char *key)
{
    bool found;
    size_t i = position_of(s, key, &found);
    return found ? s->items[i].value : NULL;
}

int64_t fake_store_lease_of(const struct store *s, const char *key)
{
    bool found;
    size_t i = position_of(s, key, &found);
    return found ? s->items[i].lease : -1;
}

size_t fake_store_key_count(const struct store *s)
{
    return s->count;
}

size_t fake_store_lease_count(const struct store *s)
{
    return s->lease_count;
}

size_t fake_store_write_count(const struct store *s)
{
    return s->write_count;
}

size_t fake_store_txn_count(const struct store *s)
{
    return s->txn_count;
}

size_t fake_store_largest_txn(const struct store *s)
{
    return s->largest_txn;
}

size_t fake_store_keepalive_count(const struct store *s)
{
    return s->keepalive_count;
}

/* --- Leases. --- */

static bool has_lease(const struct store *s, int64_t lease)
{
    for (size_t i = 0; i < s->lease_count; i++)
        if (s->leases[i] == lease)
            return true;
    return false;
}

void fake_store_expire(struct store *s, int64_t lease)
{
    for (size_t i = 0; i < s->lease_count; i++)
        if (s->leases[i] == lease)
            s->leases[i--] = s->leases[--s->lease_count];
    s->revision++;
    for (size_t i = 0; i < s->count;)
        if (s->items[i].lease == lease)
            drop(s, i);
        else
            i++;
}

/* --- Requests. --- */

static char *text_of(struct bytes b)
{
    char *text = strndup((const char *)b.data, b.size);
    assert_non_null(text);
    return text;
}

static void range(struct store *s, const struct kv_range_request *r, struct answer *a)
{
    struct kv_range_response *out = &a->response.range;
    a->kvs = calloc(s->count + 1, sizeof(*a->kvs));
    a->texts = calloc(2 * s->count + 2, sizeof(*a->texts));
    assert_true(a->kvs != NULL && a->texts != NULL);
    for (size_t i = 0; i < s->count; i++) {
        struct bytes key = bytes_of_str(s->items[i].key);
        if (!kv_range_contains(r->key, r->range_end, key))
            continue;
        out->count++;
        if (r->limit > 0 && out->kv_count == (size_t)r->limit) {
            out->more = true;
            continue;
        }
        char *key_text = a->texts[a->text_count++] = strdup(s->items[i].key);
        char *value_text = a->texts[a->text_count++] = strdup(s->items[i].value);
        a->kvs[out->kv_count++] = (struct kv){.key = bytes_of_str(key_text),
                                              .value = bytes_of_str(value_text),
                                              .mod_revision = s->items[i].revision,
                                              .lease = s->items[i].lease};
    }
    out->kvs = a->kvs;
}

static void txn(struct store *s, const struct kv_txn_request *r, struct answer *a)
{
    assert_true(r->compare_count == 0 && r->failure_count == 0 && r->success_count > 0 &&
                r->success_count <= KV_MAX_TXN_OPS);
    for (size_t i = 0; i < r->success_count; i++)
        if (r->success[i].type == KV_OP_PUT && !has_lease(s, r->success[i].put.lease)) {
            a->response.verdict = VERDICT_LEASE_NOT_FOUND;
            return;
        }
    s->revision++;
    s->txn_count++;
    s->write_count += r->success_count;
    if (r->success_count > s->largest_txn)
        s->largest_txn = r->success_count;
    for (size_t i = 0; i < r->success_count; i++) {
        const struct kv_op *op = &r->success[i];
        char *key = text_of(op->type == KV_OP_PUT ? op->put.key : op->del.key);
        for (size_t k = 0; k < i; k++) /* etcd refuses it */
            assert_false(bytes_equal(bytes_of_str(key), r->success[k].type == KV_OP_PUT
                                                            ? r->success[k].put.key
                                                            : r->success[k].del.key));
        if (op->type == KV_OP_PUT) {
            char *value = text_of(op->put.value);
            put_item(s, key, value, op->put.lease);
            free(value);
        } else {
            bool found;
            size_t at = position_of(s, key, &found);
            if (found)
                drop(s, at);
        }
        free(key);
    }
    tell_change(s);
}

static void carry_out(struct store *s, const struct store_request *r, struct answer *a)
{
    switch (r->type) {
    case STORE_RANGE:
        range(s, &r->range, a);
        break;
    case STORE_TXN:
        txn(s, &r->txn, a);
        break;
    case STORE_LEASE_GRANT:
        assert_true(s->lease_count < MAX_LEASES && r->grant.id == 0 && r->grant.ttl_s >= 2);
        a->response.lease.id = s->leases[s->lease_count++] = ++s->next_lease;
        a->response.lease.ttl_s = r->grant.ttl_s;
        break;
    case STORE_LEASE_KEEPALIVE:
        s->keepalive_count++;
        a->response.lease.id = r->lease.id;
        a->response.lease.ttl_s = has_lease(s, r->lease.id) ? 2 : 0;
        break;
    case STORE_PUT:
    case STORE_DELETE:
    case STORE_COMPACT:
    case STORE_LEASE_REVOKE:
    case STORE_LEASE_TIME_TO_LIVE:
    case STORE_LEASE_LIST:
    case STORE_ALARM:
    case STORE_HASH:
    case STORE_DEFRAG:
    default:
        fail_msg("request of type %d", (int)r->type);
    }
}

static void give(struct answer *a)
{
    a->done(a->context, &a->response);
    for (size_t i = 0; i < a->text_count; i++)
        free(a->texts[i]);
    free(a->texts);
    free(a->kvs);
    free(a);
}

static void on_later(uv_idle_t *handle)
{
    struct store *s = handle->data;
    struct answer *a = s->first;
    s->first = a->next;
    if (s->first == NULL) {
        s->last = &s->first;
        uv_idle_stop(handle);
    }
    give(a);
}

void store_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                  void *context)
{
    struct answer *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    *a = (struct answer){.store = s, .done = done, .context = context};
    a->response.verdict = s->verdict;
    if (s->verdict == VERDICT_OK)
        carry_out(s, request, a);
    a->response.revision = s->revision;
    if (!s->deferred) {
        give(a);
        return;
    }
    *s->last = a;
    s->last = &a->next;
    uv_idle_start(s->later, on_later);
}

/* --- Watches. --- */

enum err store_watch_create(struct store_watch **out, struct store *s,
                            const struct store_watch_request *request, store_watch_fn *deliver,
                            void *context)
{
    struct store_watch *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    assert_in_range(request->start_revision, 1, s->revision + 1);
    *w = (struct store_watch){.next = s->watches,
                              .store = s,
                              .first = text_of(request->key),
                              .behind = text_of(request->range_end),
                              .deliver = deliver,
                              .context = context};
    s->watches = w;
    *out = w;
    return OK;
}

void store_watch_cancel(struct store_watch *w)
{
    struct store_watch **at = &w->store->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w->first);
    free(w->behind);
    free(w);
}

bool fake_store_is_watched(const struct store *s)
{
    return s->watches != NULL;
}

void fake_store_compact(struct store *s)
{
    struct store_watch_batch batch = {.revision = s->revision, .compact_revision = s->revision};
    while (s->watches != NULL) {
        assert_true(s->watches->deliver(s->watches->context, &batch));
        store_watch_cancel(s->watches);
    }
}

const char *verdict_text(enum verdict v)
{
    return v == VERDICT_OK ? "" : "the fake store's verdict";
}
