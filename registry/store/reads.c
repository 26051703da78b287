/* Reads that take more than one turn of the loop: hashes, and ranges that are not small. Each turn
 * one of them has a slice of time, so that whatever is asked for, everybody else waits for a few
 * milliseconds. One hash runs at a time; of the ranges some do, by turns. Those that wait hold
 * nothing: their revision is chosen when they begin. */
#include "registry/store/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE_NS = 4 * 1000 * 1000, /* of a turn */
    STEP_BUDGET = 1000,         /* about half a millisecond: how often the clock is looked at */
    RANGES_AT_ONCE = 4,         /* each fills the memory of an answer */
    ASKS_AT_ONCE = 64,          /* waiting ranges in one turn */
    STALL_MS = 10,              /* until they are asked again */
};

struct long_read {
    struct long_read *next;
    struct store *store;
    store_done_fn *done;
    void *context;

    struct state_hasher *hasher; /* a hash, once it has begun */
    int64_t revision;            /* it was asked for */
    int64_t header_revision;     /* the newest when it began */

    store_part_fn *part;           /* NULL: a hash */
    struct state_reading *reading; /* a range, once it has begun */
    struct kv_range_request request;
    uint8_t names[]; /* its key and end */
};

/* --- lists ------------------------------------------------------------------------------------ */

static void list_init(struct read_list *l)
{
    l->first = NULL;
    l->end = &l->first;
}

static void list_add(struct read_list *l, struct long_read *r)
{
    r->next = NULL;
    *l->end = r;
    l->end = &r->next;
}

static struct long_read *list_take(struct read_list *l, struct long_read **at)
{
    struct long_read *r = *at;
    *at = r->next;
    if (*at == NULL)
        l->end = at;
    return r;
}

void store_reads_init(struct store *s)
{
    list_init(&s->hashes);
    list_init(&s->ranges);
    list_init(&s->waiting);
}

/* --- life ------------------------------------------------------------------------------------- */

static struct long_read *create(struct store *s, const struct kv_range_request *request,
                                store_done_fn *done, void *context)
{
    if (s->is_closing || s->long_read_count >= STORE_MAX_READS)
        return NULL;
    size_t size = request != NULL ? request->key.size + request->range_end.size : 0;
    struct long_read *r = malloc(sizeof(*r) + size);
    if (r == NULL)
        return NULL;
    *r = (struct long_read){.store = s, .done = done, .context = context};
    s->long_read_count++;
    return r;
}

static void refuse(struct store *s, store_done_fn *done, void *context)
{
    store_answer_verdict(s, done, context,
                         s->is_closing ? VERDICT_STOPPED : VERDICT_TOO_MANY_REQUESTS);
}

/* Answers and frees what is in no list any more. */
static void finish(struct long_read *r, struct store_response *response)
{
    struct store *s = r->store;
    s->long_read_count--;
    state_hasher_destroy(r->hasher);
    state_reading_destroy(r->reading);
    store_answer(s, r->done, r->context, response);
    free(r);
}

static void finish_verdict(struct long_read *r, enum verdict v)
{
    struct store_response response = {.verdict = v};
    finish(r, &response);
}

/* --- hashes ----------------------------------------------------------------------------------- */

void store_long_hash(struct store *s, int64_t revision, store_done_fn *done, void *context)
{
    struct long_read *r = create(s, NULL, done, context);
    if (r == NULL) {
        refuse(s, done, context);
        return;
    }
    r->revision = revision;
    list_add(&s->hashes, r);
    store_background(s);
}

static void end_first_hash(struct store *s, enum err e, enum verdict v)
{
    struct long_read *r = list_take(&s->hashes, &s->hashes.first);
    struct store_response response = {.verdict = e != OK ? store_read_verdict(e) : v};
    response.revision = r->header_revision;
    if (response.verdict == VERDICT_OK) {
        int64_t compacted = state_hasher_compacted(r->hasher);
        response.hash.hash = state_hasher_hash(r->hasher);
        response.hash.compact_revision = compacted > 0 ? compacted : -1;
        response.hash.hash_revision = state_hasher_revision(r->hasher);
    }
    finish(r, &response);
}

static void step_hash(struct store *s, uint64_t until_ns)
{
    struct long_read *r = s->hashes.first;
    enum verdict v = VERDICT_OK;
    enum err e = OK;
    if (r->hasher == NULL) {
        r->header_revision = state_revision(s->state);
        e = state_hasher_create(&r->hasher, s->state, r->revision, &v);
    }
    bool is_done = e != OK || v != VERDICT_OK;
    while (!is_done && e == OK && uv_hrtime() < until_ns)
        e = state_hasher_step(r->hasher, &s->source, STEP_BUDGET, &is_done);
    if (is_done || e != OK)
        end_first_hash(s, e, v);
}

/* --- ranges ----------------------------------------------------------------------------------- */

static struct bytes copy_name(uint8_t *to, struct bytes name)
{
    if (name.size > 0)
        memcpy(to, name.data, name.size);
    return bytes_of(to, name.size);
}

void store_long_range(struct store *s, const struct kv_range_request *request, store_part_fn *part,
                      store_done_fn *done, void *context)
{
    struct long_read *r = create(s, request, done, context);
    if (r == NULL) {
        refuse(s, done, context);
        return;
    }
    r->part = part;
    r->request = *request;
    r->request.key = copy_name(r->names, request->key);
    r->request.range_end = copy_name(r->names + request->key.size, request->range_end);
    list_add(&s->waiting, r);
    s->is_waiting_stalled = false;
    store_background(s);
}

/* The reader may begin; whether its range is still to be had is seen now. */
static void begin_range(struct store *s, struct long_read *r)
{
    enum verdict v;
    enum err e = state_reading_create(&r->reading, s->state, &r->request, s->max_answer_size, &v);
    if (e != OK)
        v = store_read_verdict(e);
    if (v != VERDICT_OK) {
        finish_verdict(r, v);
        return;
    }
    r->header_revision = state_revision(s->state);
    list_add(&s->ranges, r);
    s->range_count++;
}

static void ask_waiting(struct store *s)
{
    struct long_read *first_late = NULL;
    for (int asks = 0; asks < ASKS_AT_ONCE && s->range_count < RANGES_AT_ONCE; asks++) {
        struct long_read *r = s->waiting.first;
        if (r == NULL)
            return;
        if (r == first_late) { /* all were asked */
            s->is_waiting_stalled = true;
            break;
        }
        (void)list_take(&s->waiting, &s->waiting.first);
        struct store_part question = {.revision = state_revision(s->state)};
        switch (r->part(r->context, &question)) {
        case STORE_PART_TAKEN:
            begin_range(s, r);
            break;
        case STORE_PART_LATER:
            list_add(&s->waiting, r);
            if (first_late == NULL)
                first_late = r;
            s->is_waiting_stalled = asks + 1 == ASKS_AT_ONCE;
            break;
        case STORE_PART_UNWANTED:
            finish_verdict(r, VERDICT_STOPPED);
            break;
        }
    }
    if (s->is_waiting_stalled)
        uv_timer_start(&s->stall_timer, store_ask_waiting, STALL_MS, 0);
}

void store_ask_waiting(uv_timer_t *timer)
{
    struct store *s = timer->data;
    s->is_waiting_stalled = false;
    store_background(s);
}

/* One step; whether the range goes on. Else it was answered. */
static bool step_range(struct store *s, struct long_read *r)
{
    struct state_reading_part part;
    arena_reset(&s->step_arena);
    enum err e = state_reading_step(r->reading, &s->source, STEP_BUDGET, &s->step_arena, &part);
    enum verdict v = e != OK ? store_read_verdict(e) : VERDICT_OK;
    struct store_part out = {.revision = r->header_revision, .kvs = part.kvs};
    if (v == VERDICT_OK && part.kv_count > 0) {
        out.kv_count = part.kv_count;
        if (r->part(r->context, &out) == STORE_PART_UNWANTED)
            v = VERDICT_STOPPED;
    }
    if (v == VERDICT_OK && !part.is_done)
        return true;
    struct store_response response = {.verdict = v, .revision = r->header_revision};
    if (v == VERDICT_OK) {
        response.range.count = part.count;
        response.range.more = part.more;
    }
    (void)list_take(&s->ranges, &s->ranges.first);
    s->range_count--;
    finish(r, &response);
    return false;
}

static void step_ranges(struct store *s, uint64_t until_ns)
{
    struct long_read *r = s->ranges.first;
    while (uv_hrtime() < until_ns)
        if (!step_range(s, r))
            return;
    list_add(&s->ranges, list_take(&s->ranges, &s->ranges.first));
}

/* --- for the background ----------------------------------------------------------------------- */

static bool may_ask(const struct store *s)
{
    return s->waiting.first != NULL && !s->is_waiting_stalled && s->range_count < RANGES_AT_ONCE;
}

bool store_has_long_reads(const struct store *s)
{
    return s->hashes.first != NULL || s->ranges.first != NULL || may_ask(s);
}

void store_long_read_step(struct store *s)
{
    if (may_ask(s))
        ask_waiting(s);
    bool has_hash = s->hashes.first != NULL, has_range = s->ranges.first != NULL;
    uint64_t until_ns = uv_hrtime() + SLICE_NS;
    s->was_hash = has_hash && (!has_range || !s->was_hash);
    if (s->was_hash)
        step_hash(s, until_ns);
    else if (has_range)
        step_ranges(s, until_ns);
    if (!store_has_long_reads(s))
        arena_fini(&s->step_arena);
}

bool store_reads_hold_purge(const struct store *s)
{
    int64_t compacted = state_compacted(s->state);
    const struct long_read *hash = s->hashes.first;
    if (hash != NULL && hash->hasher != NULL && state_hasher_compacted(hash->hasher) != compacted)
        return true;
    for (const struct long_read *r = s->ranges.first; r != NULL; r = r->next)
        if (state_reading_revision(r->reading) < compacted)
            return true;
    return false;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Takes out what CONTEXT waits for. */
static void take_of(struct read_list *l, const void *context, struct read_list *out,
                    unsigned *count)
{
    for (struct long_read **at = &l->first; *at != NULL;) {
        if ((*at)->context != context) {
            at = &(*at)->next;
            continue;
        }
        list_add(out, list_take(l, at));
        (*count)++;
    }
}

static void stop_all(struct read_list *l)
{
    while (l->first != NULL)
        finish_verdict(list_take(l, &l->first), VERDICT_STOPPED);
}

void store_cancel(struct store *s, void *context)
{
    struct read_list found;
    unsigned others = 0, ranges = 0;
    list_init(&found);
    take_of(&s->hashes, context, &found, &others);
    take_of(&s->waiting, context, &found, &others);
    take_of(&s->ranges, context, &found, &ranges);
    s->range_count -= ranges;
    stop_all(&found);
}

void store_reads_close(struct store *s)
{
    stop_all(&s->hashes);
    stop_all(&s->waiting);
    stop_all(&s->ranges);
    s->range_count = 0;
}
