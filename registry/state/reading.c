/* A range of any size, in steps. What is asked for in key order goes out as it is read; what is to
 * be sorted is copied first, in sorted runs, and then merged. */
#include "registry/state/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
    PART_KEYS = 512, /* in one part, at most */
    RUN_KEYS = 4096, /* sorted in one go */
    FIRST_RUNS = 16,
};

struct run {
    struct kv *kvs;
    size_t count;
    size_t at; /* of the next one that goes out */
};

enum phase {
    PHASE_READ,  /* keys go out, or into runs */
    PHASE_COUNT, /* enough went out: the rest is counted */
    PHASE_MERGE,
    PHASE_DONE,
};

struct state_reading {
    const struct state *s;
    struct kv_range_request request;
    int64_t revision;
    enum phase phase;
    struct walk at;
    bool is_sorted;
    bool counts; /* how many keys there are is not known before the last was looked at */
    size_t count;
    size_t kept; /* keys that passed the filters and the early cut */
    size_t told; /* keys that went out */

    struct arena arena; /* of the runs' contents */
    struct run *runs;   /* of a merge: a heap, the run with the first key on top */
    size_t run_count;
    size_t run_capacity;
    uint8_t names[]; /* the request's key and end */
};

/* --- life ------------------------------------------------------------------------------------- */

static struct bytes copy_name(uint8_t *to, struct bytes name)
{
    if (name.size > 0)
        memcpy(to, name.data, name.size);
    return bytes_of(to, name.size);
}

/* Of the newest revision the tree knows the count. */
static void begin_count(struct state_reading *r)
{
    const struct kv_range_request *q = &r->request;
    if (r->revision == r->s->revision)
        r->count = range_count_newest(r->s, q->key, q->range_end);
    else
        r->counts = !q->no_count || q->count_only;
    if (q->count_only)
        r->phase = r->counts ? PHASE_COUNT : PHASE_DONE;
}

enum err state_reading_create(struct state_reading **out, const struct state *s,
                              const struct kv_range_request *request, size_t memory_limit,
                              enum verdict *verdict)
{
    *out = NULL;
    *verdict = state_check_range(request);
    if (*verdict == VERDICT_OK)
        *verdict = range_check_revision(s, request->revision, s->revision);
    if (*verdict != VERDICT_OK)
        return OK;
    struct state_reading *r = malloc(sizeof(*r) + request->key.size + request->range_end.size);
    if (r == NULL)
        return ERR_NO_MEMORY;
    *r = (struct state_reading){
        .s = s,
        .request = *request,
        .revision = request->revision > 0 ? request->revision : s->revision,
        .is_sorted =
            request->sort_target != KV_SORT_BY_KEY || request->sort_order == KV_SORT_DESCEND,
    };
    r->request.key = copy_name(r->names, request->key);
    r->request.range_end = copy_name(r->names + request->key.size, request->range_end);
    arena_init(&r->arena, memory_limit);
    begin_count(r);
    *out = r;
    return OK;
}

void state_reading_destroy(struct state_reading *r)
{
    if (r == NULL)
        return;
    walk_fini(&r->at);
    arena_fini(&r->arena);
    free(r->runs);
    free(r);
}

int64_t state_reading_revision(const struct state_reading *r)
{
    return r->revision;
}

/* --- sorted runs ------------------------------------------------------------------------------ */

static enum err add_run(struct state_reading *r)
{
    if (r->run_count == r->run_capacity) {
        size_t capacity = r->run_capacity > 0 ? r->run_capacity * 2 : FIRST_RUNS;
        struct run *grown = realloc(r->runs, capacity * sizeof(*grown));
        if (grown == NULL)
            return ERR_NO_MEMORY;
        r->runs = grown;
        r->run_capacity = capacity;
    }
    struct kv *kvs = arena_array(&r->arena, RUN_KEYS, sizeof(*kvs));
    if (kvs == NULL)
        return ERR_NO_MEMORY;
    r->runs[r->run_count++] = (struct run){.kvs = kvs};
    return OK;
}

static void sort_last_run(struct state_reading *r)
{
    struct run *run = &r->runs[r->run_count - 1];
    qsort_r(run->kvs, run->count, sizeof(*run->kvs), range_compare, &r->request);
}

static bool copy(struct state_reading *r, struct bytes *value)
{
    const void *data = arena_copy(&r->arena, value->data, value->size);
    value->data = data;
    return data != NULL;
}

/* Adds a copy of KV to the runs. */
static enum err collect(struct state_reading *r, const struct kv *kv, size_t *cost)
{
    enum err error = OK;
    if (r->run_count == 0 || r->runs[r->run_count - 1].count == RUN_KEYS)
        error = add_run(r);
    if (error != OK)
        return error;
    struct run *run = &r->runs[r->run_count - 1];
    struct kv own = *kv;
    if (r->request.keys_only && r->request.sort_target != KV_SORT_BY_VALUE)
        own.value = BYTES_EMPTY;
    if (!copy(r, &own.key) || !copy(r, &own.value))
        return ERR_NO_MEMORY;
    run->kvs[run->count++] = own;
    if (run->count == RUN_KEYS) {
        sort_last_run(r);
        *cost += RUN_KEYS;
    }
    return OK;
}

static bool is_before(struct state_reading *r, size_t a, size_t b)
{
    const struct run *x = &r->runs[a], *y = &r->runs[b];
    return range_compare(&x->kvs[x->at], &y->kvs[y->at], &r->request) < 0;
}

static void sift_down(struct state_reading *r, size_t at)
{
    for (;;) {
        size_t first = at, left = 2 * at + 1;
        for (size_t child = left; child < left + 2 && child < r->run_count; child++)
            if (is_before(r, child, first))
                first = child;
        if (first == at)
            return;
        struct run swapped = r->runs[at];
        r->runs[at] = r->runs[first];
        r->runs[first] = swapped;
        at = first;
    }
}

static void begin_merge(struct state_reading *r)
{
    if (r->run_count > 0 && r->runs[r->run_count - 1].count < RUN_KEYS)
        sort_last_run(r);
    for (size_t i = r->run_count / 2; i > 0; i--)
        sift_down(r, i - 1);
    r->phase = PHASE_MERGE;
}

static struct kv *take_first(struct state_reading *r)
{
    struct run *top = &r->runs[0];
    struct kv *kv = &top->kvs[top->at++];
    if (top->at == top->count)
        *top = r->runs[--r->run_count];
    sift_down(r, 0);
    return kv;
}

/* --- steps ------------------------------------------------------------------------------------ */

struct step {
    struct state_reading *r;
    struct view view;
    size_t budget;
    struct kv *kvs;
    size_t count;
};

static void spend(struct step *s, size_t cost)
{
    s->budget -= cost < s->budget ? cost : s->budget;
}

static void tell(struct step *s, const struct kv *kv)
{
    struct kv *out = &s->kvs[s->count++];
    *out = *kv;
    if (s->r->request.keys_only)
        out->value = BYTES_EMPTY;
    s->r->told++;
    spend(s, (out->key.size + out->value.size) / STATE_SIZE_OF_COST);
}

/* As many keys as the limit asks for, and one that shows that there are more, are there. */
static bool has_enough(const struct state_reading *r)
{
    int64_t limit = r->request.limit;
    return limit > 0 && r->kept > (uint64_t)limit &&
           (!r->is_sorted || range_is_cut_early(&r->request));
}

/* One key that exists at the revision. */
static enum err read_key(struct step *s, const struct item *item, size_t index)
{
    struct state_reading *r = s->r;
    struct kv kv;
    enum err error = view_fetch(&s->view, item, index, &kv);
    if (error != OK)
        return error;
    size_t cost = index + 1 < item_version_count(item) ? STATE_COST_OF_OLD : 0;
    if (range_passes(&r->request, &kv)) {
        r->kept++;
        if (r->is_sorted)
            error = collect(r, &kv, &cost);
        else if (!has_enough(r))
            tell(s, &kv);
        if (has_enough(r))
            r->phase = PHASE_COUNT;
    }
    spend(s, cost);
    return error;
}

static void end_walk(struct state_reading *r)
{
    if (r->is_sorted && !r->request.count_only)
        begin_merge(r);
    else
        r->phase = PHASE_DONE;
}

static enum err walk_on(struct step *s)
{
    struct state_reading *r = s->r;
    const struct kv_range_request *q = &r->request;
    struct tree_cursor c;
    const void *entry;
    enum err error = OK;
    if (r->at.size > 0)
        walk_resume(&r->at, r->s, &c);
    else
        tree_seek(&r->s->items, q->key, &c);
    struct bytes last = BYTES_EMPTY;
    bool is_over = false;
    while (error == OK && s->budget > 0 && s->count < PART_KEYS) {
        struct item item;
        size_t index;
        entry = tree_at(&c);
        is_over = entry == NULL || (r->phase == PHASE_COUNT && !r->counts);
        if (is_over)
            break;
        item_read(entry, &item);
        is_over = !before_end(item.kv.key, q->key, q->range_end);
        if (is_over)
            break;
        spend(s, 1);
        if (view_version(&s->view, &item, &index)) {
            r->count += r->counts;
            if (r->phase == PHASE_READ)
                error = read_key(s, &item, index);
        }
        last = item.kv.key;
        tree_next(&c);
    }
    if (error == OK && last.size > 0)
        error = walk_note(&r->at, last);
    if (error == OK && is_over)
        end_walk(r);
    return error;
}

static void merge_on(struct step *s)
{
    struct state_reading *r = s->r;
    uint64_t limit = r->request.limit > 0 ? (uint64_t)r->request.limit : UINT64_MAX;
    while (r->run_count > 0 && r->told < limit && s->budget > 0 && s->count < PART_KEYS) {
        tell(s, take_first(r));
        spend(s, 1);
    }
    if (r->run_count == 0 || r->told >= limit)
        r->phase = PHASE_DONE;
}

enum err state_reading_step(struct state_reading *r, const struct state_source *source,
                            size_t budget, struct arena *arena, struct state_reading_part *out)
{
    struct step s = {
        .r = r,
        .view = {.s = r->s, .revision = r->revision, .source = source, .arena = arena},
        .budget = budget,
        .kvs = arena_array(arena, PART_KEYS, sizeof(*s.kvs)),
    };
    if (s.kvs == NULL)
        return ERR_NO_MEMORY;
    enum err error = OK;
    if (r->phase == PHASE_READ || r->phase == PHASE_COUNT)
        error = walk_on(&s);
    else if (r->phase == PHASE_MERGE)
        merge_on(&s);
    if (error != OK)
        return error;
    *out = (struct state_reading_part){
        .kvs = s.kvs,
        .kv_count = s.count,
        .is_done = r->phase == PHASE_DONE,
        .count = r->request.no_count ? 0 : (int64_t)r->count,
        .more = r->request.limit > 0 && r->kept > (uint64_t)r->request.limit,
    };
    return OK;
}
