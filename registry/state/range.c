/* Ranges: the newest versions from memory, older ones from the source. */
#include "registry/state/internal.h"

#include <stdlib.h>

static bool is_to_the_end(struct bytes end)
{
    return end.size == 1 && end.data[0] == 0;
}

size_t range_count_newest(const struct state *s, struct bytes key, struct bytes end)
{
    struct kv kv;
    if (end.size == 0)
        return state_get(s, key, &kv) ? 1 : 0;
    size_t below = tree_rank(&s->items, key);
    size_t upto = is_to_the_end(end) ? tree_count(&s->items) : tree_rank(&s->items, end);
    return upto > below ? upto - below : 0;
}

bool view_version(const struct view *v, const struct item *item, size_t *index)
{
    size_t until = v->is_newest ? item_version_count(item) : item_versions_until(item, v->revision);
    if (until == 0 || place_deleted(item_version(item, until - 1)))
        return false;
    *index = until - 1;
    return true;
}

static bool spend_keys(const struct view *v, size_t keys)
{
    if (v->budget == NULL)
        return true;
    if (v->budget->keys < keys)
        return false;
    v->budget->keys -= keys;
    return true;
}

static bool spend_size(const struct view *v, size_t size)
{
    if (v->budget == NULL)
        return true;
    if (v->budget->size < size)
        return false;
    v->budget->size -= size;
    return true;
}

static enum err count_keys(const struct view *v, struct bytes key, struct bytes end, size_t *out)
{
    if (v->is_newest) {
        *out = range_count_newest(v->s, key, end);
        return OK;
    }
    struct tree_cursor c;
    const void *entry;
    size_t count = 0;
    for (tree_seek(&v->s->items, key, &c); (entry = tree_at(&c)) != NULL; tree_next(&c)) {
        struct item item;
        size_t index;
        item_read(entry, &item);
        if (!before_end(item.kv.key, key, end))
            break;
        if (!spend_keys(v, 1))
            return ERR_LIMIT;
        count += view_version(v, &item, &index);
    }
    *out = count;
    return OK;
}

enum err view_fetch(const struct view *v, const struct item *item, size_t index, struct kv *out)
{
    if (index + 1 == item_version_count(item)) {
        *out = item->kv;
        return OK;
    }
    if (v->source == NULL)
        return ERR_NOT_FOUND;
    if (!spend_keys(v, STATE_COST_OF_OLD))
        return ERR_LIMIT;
    struct place p = item_version(item, index);
    enum err error =
        v->source->read(v->source->context, place_main(p), place_sub(p), v->arena, out);
    if (error == OK)
        out->key = item->kv.key;
    return error;
}

bool range_is_filtered(const struct kv_range_request *r)
{
    return r->min_mod_revision != 0 || r->max_mod_revision != 0 || r->min_create_revision != 0 ||
           r->max_create_revision != 0;
}

bool range_passes(const struct kv_range_request *r, const struct kv *kv)
{
    return (r->min_mod_revision == 0 || kv->mod_revision >= r->min_mod_revision) &&
           (r->max_mod_revision == 0 || kv->mod_revision <= r->max_mod_revision) &&
           (r->min_create_revision == 0 || kv->create_revision >= r->min_create_revision) &&
           (r->max_create_revision == 0 || kv->create_revision <= r->max_create_revision);
}

/* What passes the filter of up to ROOM keys of the range, in key order. */
static enum err fetch_keys(const struct view *v, const struct kv_range_request *r, struct kv *out,
                           size_t room, size_t *count)
{
    struct tree_cursor c;
    const void *entry;
    *count = 0;
    void (*seek)(const struct tree *, struct bytes, struct tree_cursor *) =
        v->is_newest ? tree_seek_counted : tree_seek; /* no deletion is looked at for the newest */
    void (*next)(struct tree_cursor *) = v->is_newest ? tree_next_counted : tree_next;
    for (seek(&v->s->items, r->key, &c); room > 0 && (entry = tree_at(&c)) != NULL; next(&c)) {
        struct item item;
        size_t index;
        item_read(entry, &item);
        if (!before_end(item.kv.key, r->key, r->range_end))
            break;
        if (!spend_keys(v, 1))
            return ERR_LIMIT;
        if (!view_version(v, &item, &index))
            continue;
        room--;
        struct kv *kv = &out[*count];
        enum err error = view_fetch(v, &item, index, kv);
        if (error != OK)
            return error;
        if (!range_passes(r, kv))
            continue;
        if (!spend_size(v, kv->key.size + (r->keys_only ? 0 : kv->value.size)))
            return ERR_LIMIT;
        (*count)++;
    }
    return OK;
}

/* --- sorting ---------------------------------------------------------------------------------- */

static int compare_numbers(int64_t a, int64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_by(enum kv_sort_target target, const struct kv *a, const struct kv *b)
{
    switch (target) {
    case KV_SORT_BY_KEY:
        return 0;
    case KV_SORT_BY_VERSION:
        return compare_numbers(a->version, b->version);
    case KV_SORT_BY_CREATE:
        return compare_numbers(a->create_revision, b->create_revision);
    case KV_SORT_BY_MOD:
        return compare_numbers(a->mod_revision, b->mod_revision);
    case KV_SORT_BY_VALUE:
        return bytes_compare(a->value, b->value);
    }
    return 0;
}

/* etcd leaves the order of equals open; we keep that of the keys, whichever way is sorted. */
int range_compare(const void *a, const void *b, void *context)
{
    const struct kv_range_request *r = context;
    const struct kv *x = a, *y = b;
    int order = compare_by(r->sort_target, x, y);
    if (r->sort_target == KV_SORT_BY_KEY)
        order = bytes_compare(x->key, y->key);
    if (order != 0)
        return r->sort_order == KV_SORT_DESCEND ? -order : order;
    return bytes_compare(x->key, y->key);
}

static void sort(const struct kv_range_request *r, struct kv *kvs, size_t count)
{
    struct kv_range_request how = {.sort_order = r->sort_order, .sort_target = r->sort_target};
    if (r->sort_target != KV_SORT_BY_KEY) {
        if (count > 1)
            qsort_r(kvs, count, sizeof(*kvs), range_compare, &how);
    } else if (r->sort_order == KV_SORT_DESCEND) {
        for (size_t i = 0; i < count / 2; i++) {
            struct kv swapped = kvs[i];
            kvs[i] = kvs[count - 1 - i];
            kvs[count - 1 - i] = swapped;
        }
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

enum verdict range_check_revision(const struct state *s, int64_t revision, int64_t now)
{
    if (revision > now)
        return VERDICT_FUTURE_REVISION;
    if (revision > 0 && revision < s->compacted)
        return VERDICT_COMPACTED;
    return VERDICT_OK;
}

bool range_is_cut_early(const struct kv_range_request *r)
{
    return r->limit > 0 && r->sort_order == KV_SORT_NONE && !range_is_filtered(r);
}

/* How many keys have to be fetched. */
static size_t wanted(const struct kv_range_request *r, size_t count)
{
    return range_is_cut_early(r) && (uint64_t)r->limit < count ? (size_t)r->limit + 1 : count;
}

enum err range_answer(const struct state *s, const struct kv_range_request *r, int64_t now,
                      const struct state_source *source, struct arena *arena,
                      struct state_budget *budget, struct kv_range_response *out,
                      enum verdict *verdict)
{
    *verdict = range_check_revision(s, r->revision, now);
    if (*verdict != VERDICT_OK)
        return OK;
    struct view v = {.s = s,
                     .revision = r->revision > 0 ? r->revision : now,
                     .is_newest = r->revision <= 0 || r->revision == now,
                     .source = source,
                     .arena = arena,
                     .budget = budget};
    bool is_counted = !r->no_count || !range_is_cut_early(r);
    size_t count = (size_t)r->limit + 1, kept;
    enum err error = is_counted ? count_keys(&v, r->key, r->range_end, &count) : OK;
    if (error != OK)
        return error;
    struct kv_range_response answer = {.count = r->no_count ? 0 : (int64_t)count};
    if (r->count_only || count == 0) {
        *out = answer;
        return OK;
    }
    size_t room = wanted(r, count);
    if (budget != NULL && room > budget->keys)
        return ERR_LIMIT;
    struct kv *kvs = arena_array(arena, room, sizeof(*kvs));
    if (kvs == NULL)
        return ERR_NO_MEMORY;
    error = fetch_keys(&v, r, kvs, room, &kept);
    if (error != OK)
        return error;
    sort(r, kvs, kept);
    answer.more = r->limit > 0 && kept > (uint64_t)r->limit;
    if (answer.more)
        kept = (size_t)r->limit;
    for (size_t i = 0; r->keys_only && i < kept; i++)
        kvs[i].value = BYTES_EMPTY;
    answer.kvs = kvs;
    answer.kv_count = kept;
    *out = answer;
    return OK;
}

enum err state_range_within(const struct state *s, const struct kv_range_request *request,
                            const struct state_source *source, struct arena *arena,
                            struct state_budget *budget, struct kv_range_response *out,
                            enum verdict *verdict)
{
    *verdict = state_check_range(request);
    if (*verdict != VERDICT_OK)
        return OK;
    return range_answer(s, request, s->revision, source, arena, budget, out, verdict);
}

enum err state_range(const struct state *s, const struct kv_range_request *request,
                     const struct state_source *source, struct arena *arena,
                     struct kv_range_response *out, enum verdict *verdict)
{
    return state_range_within(s, request, source, arena, NULL, out, verdict);
}
