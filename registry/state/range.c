/* Ranges: the newest versions from memory, older ones from the source. */
#include "registry/state/internal.h"

#include <stdlib.h>

/* What reads of one range share. */
struct view {
    const struct state *s;
    int64_t revision; /* that is read at */
    bool is_newest;   /* then the tree alone answers */
    const struct state_source *source;
    struct arena *arena;
};

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

/* The key's version at the view's revision; false if it did not exist then. */
static bool version_at(const struct view *v, const struct item *item, size_t *index)
{
    size_t until = v->is_newest ? item_version_count(item) : item_versions_until(item, v->revision);
    if (until == 0 || place_deleted(item_version(item, until - 1)))
        return false;
    *index = until - 1;
    return true;
}

static size_t count_keys(const struct view *v, struct bytes key, struct bytes end)
{
    if (v->is_newest)
        return range_count_newest(v->s, key, end);
    struct tree_cursor c;
    const void *entry;
    size_t count = 0;
    for (tree_seek(&v->s->items, key, &c); (entry = tree_at(&c)) != NULL; tree_next(&c)) {
        struct item item;
        size_t index;
        item_read(entry, &item);
        if (!before_end(item.kv.key, key, end))
            break;
        count += version_at(v, &item, &index);
    }
    return count;
}

static enum err fetch(const struct view *v, const struct item *item, size_t index, struct kv *out)
{
    if (index + 1 == item_version_count(item)) {
        *out = item->kv;
        return OK;
    }
    if (v->source == NULL)
        return ERR_NOT_FOUND;
    struct place p = item_version(item, index);
    enum err error =
        v->source->read(v->source->context, place_main(p), place_sub(p), v->arena, out);
    if (error == OK)
        out->key = item->kv.key;
    return error;
}

/* Up to ROOM keys of the range, in key order. */
static enum err fetch_keys(const struct view *v, struct bytes key, struct bytes end, struct kv *out,
                           size_t room, size_t *count)
{
    struct tree_cursor c;
    const void *entry;
    *count = 0;
    for (tree_seek(&v->s->items, key, &c); *count < room && (entry = tree_at(&c)) != NULL;
         tree_next(&c)) {
        struct item item;
        size_t index;
        item_read(entry, &item);
        if (!before_end(item.kv.key, key, end))
            break;
        if (!version_at(v, &item, &index))
            continue;
        enum err error = fetch(v, &item, index, &out[*count]);
        if (error != OK)
            return error;
        (*count)++;
    }
    return OK;
}

static bool is_filtered(const struct kv_range_request *r)
{
    return r->min_mod_revision != 0 || r->max_mod_revision != 0 || r->min_create_revision != 0 ||
           r->max_create_revision != 0;
}

static bool passes(const struct kv_range_request *r, const struct kv *kv)
{
    return (r->min_mod_revision == 0 || kv->mod_revision >= r->min_mod_revision) &&
           (r->max_mod_revision == 0 || kv->mod_revision <= r->max_mod_revision) &&
           (r->min_create_revision == 0 || kv->create_revision >= r->min_create_revision) &&
           (r->max_create_revision == 0 || kv->create_revision <= r->max_create_revision);
}

static size_t filter(const struct kv_range_request *r, struct kv *kvs, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (passes(r, &kvs[i]))
            kvs[kept++] = kvs[i];
    }
    return kept;
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
static int compare(const void *a, const void *b, void *context)
{
    const struct kv_range_request *r = context;
    const struct kv *x = a, *y = b;
    int order = compare_by(r->sort_target, x, y);
    if (order != 0)
        return r->sort_order == KV_SORT_DESCEND ? -order : order;
    return bytes_compare(x->key, y->key);
}

static void sort(const struct kv_range_request *r, struct kv *kvs, size_t count)
{
    struct kv_range_request how = {.sort_order = r->sort_order, .sort_target = r->sort_target};
    if (r->sort_target != KV_SORT_BY_KEY) {
        if (count > 1)
            qsort_r(kvs, count, sizeof(*kvs), compare, &how);
    } else if (r->sort_order == KV_SORT_DESCEND) {
        for (size_t i = 0; i < count / 2; i++) {
            struct kv swapped = kvs[i];
            kvs[i] = kvs[count - 1 - i];
            kvs[count - 1 - i] = swapped;
        }
    }
}

/* --- the answer ------------------------------------------------------------------------------- */

static enum verdict check_revision(const struct state *s, int64_t revision, int64_t now)
{
    if (revision > now)
        return VERDICT_FUTURE_REVISION;
    if (revision > 0 && revision < s->compacted)
        return VERDICT_COMPACTED;
    return VERDICT_OK;
}

/* Whether the first keys of the range, as many as the limit says, are the answer. As in etcd, a
 * limit cuts before the sort if only the target asks for one, and after it if the order does. */
static bool is_cut_early(const struct kv_range_request *r)
{
    return r->limit > 0 && r->sort_order == KV_SORT_NONE && !is_filtered(r);
}

/* How many keys have to be fetched. */
static size_t wanted(const struct kv_range_request *r, size_t count)
{
    return is_cut_early(r) && (uint64_t)r->limit < count ? (size_t)r->limit + 1 : count;
}

enum err range_answer(const struct state *s, const struct kv_range_request *r, int64_t now,
                      const struct state_source *source, struct arena *arena,
                      struct kv_range_response *out, enum verdict *verdict)
{
    *verdict = check_revision(s, r->revision, now);
    if (*verdict != VERDICT_OK)
        return OK;
    struct view v = {.s = s,
                     .revision = r->revision > 0 ? r->revision : now,
                     .is_newest = r->revision <= 0 || r->revision == now,
                     .source = source,
                     .arena = arena};
    bool is_counted = !r->no_count || !is_cut_early(r);
    size_t count = is_counted ? count_keys(&v, r->key, r->range_end) : (size_t)r->limit + 1, kept;
    struct kv_range_response answer = {.count = r->no_count ? 0 : (int64_t)count};
    if (r->count_only || count == 0) {
        *out = answer;
        return OK;
    }
    size_t room = wanted(r, count);
    struct kv *kvs = arena_array(arena, room, sizeof(*kvs));
    if (kvs == NULL)
        return ERR_NO_MEMORY;
    enum err error = fetch_keys(&v, r->key, r->range_end, kvs, room, &kept);
    if (error != OK)
        return error;
    kept = filter(r, kvs, kept);
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

enum err state_range(const struct state *s, const struct kv_range_request *request,
                     const struct state_source *source, struct arena *arena,
                     struct kv_range_response *out, enum verdict *verdict)
{
    *verdict = state_check_range(request);
    if (*verdict != VERDICT_OK)
        return OK;
    return range_answer(s, request, s->revision, source, arena, out, verdict);
}
