#include "tests/unit/dnsd/zone_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_ITEMS = 4096,
    MAX_HELD = 16,
};

/* Every change, in order; what is there at a revision is what its last change before says. */
struct item {
    char *key;
    char *value; /* NULL: deleted */
    int64_t revision;
};

struct store_watch {
    struct store *store;
    struct store_watch *next;
    char *from, *end;
    int64_t next_revision;
    store_watch_fn *deliver;
    void *context;
    bool is_held;
};

struct held {
    store_done_fn *done;
    void *context;
};

struct store {
    struct item items[MAX_ITEMS];
    size_t item_count;
    int64_t revision;
    int64_t compact_revision;
    struct store_watch *watches;
    enum verdict verdict;
    bool is_holding;
    bool is_unwritable;
    struct store_request held_requests[MAX_HELD];
    struct held held[MAX_HELD];
    size_t held_count;
    size_t range_count;
};

struct store *zone_store_new(void)
{
    struct store *s = calloc(1, sizeof *s);
    assert(s != NULL);
    s->revision = 1;
    return s;
}

static void watch_free(struct store_watch *w)
{
    struct store_watch **at = &w->store->watches;
    while (*at != w)
        at = &(*at)->next;
    *at = w->next;
    free(w->from);
    free(w->end);
    free(w);
}

static char *text_of(struct bytes b)
{
    return strndup(b.size > 0 ? (const char *)b.data : "", b.size);
}

static void answer_range(struct store *s, const struct store_request *request, store_done_fn *done,
                         void *context)
{
    struct store_response response = {.verdict = s->verdict, .revision = s->revision};
    struct kv kvs[1024];
    int64_t at = request->range.revision > 0 ? request->range.revision : s->revision;
    size_t limit = request->range.limit > 0 ? (size_t)request->range.limit : 1024;
    if (at <= s->compact_revision && at < s->revision)
        response.verdict = VERDICT_COMPACTED;
    struct bytes after = BYTES_EMPTY; /* the last key taken */
    while (response.verdict == VERDICT_OK) {
        const struct item *best = NULL;
        for (size_t i = 0; i < s->item_count && s->items[i].revision <= at; i++) {
            const struct item *it = &s->items[i];
            struct bytes key = bytes_of_str(it->key);
            if (!kv_range_contains(request->range.key, request->range.range_end, key) ||
                (after.data != NULL && bytes_compare(key, after) <= 0))
                continue;
            if (best == NULL || strcmp(it->key, best->key) <= 0)
                best = it; /* the latest change of the least key */
        }
        if (best == NULL)
            break;
        after = bytes_of_str(best->key);
        if (best->value == NULL)
            continue;
        if (response.range.kv_count == limit) {
            response.range.more = true;
            break;
        }
        kvs[response.range.kv_count++] = (struct kv){
            .key = after, .value = bytes_of_str(best->value), .mod_revision = best->revision};
    }
    response.range.kvs = kvs;
    done(context, &response);
}

/* A held request borrows its keys for longer than the call: they are copied. */
static struct bytes keep(struct bytes b)
{
    uint8_t *copy = malloc(b.size + 1);
    assert(copy != NULL);
    if (b.size > 0)
        memcpy(copy, b.data, b.size);
    return bytes_of(copy, b.size);
}

static void drop(struct bytes b)
{
    union {
        const uint8_t *in;
        uint8_t *out;
    } data = {.in = b.data};
    free(data.out);
}

void store_cancel(struct store *s UNUSED, void *context UNUSED)
{
}

void store_submit(struct store *s, const struct store_request *request, store_done_fn *done,
                  void *context)
{
    assert(request->type == STORE_RANGE);
    s->range_count++;
    if (!s->is_holding) {
        answer_range(s, request, done, context);
        return;
    }
    assert(s->held_count < MAX_HELD);
    s->held_requests[s->held_count] = *request;
    s->held_requests[s->held_count].range.key = keep(request->range.key);
    s->held_requests[s->held_count].range.range_end = keep(request->range.range_end);
    s->held[s->held_count++] = (struct held){.done = done, .context = context};
}

static void answer_held(struct store *s)
{
    while (s->held_count > 0) {
        s->held_count--;
        struct store_request request = s->held_requests[s->held_count];
        struct held held = s->held[s->held_count];
        answer_range(s, &request, held.done, held.context);
        drop(request.range.key);
        drop(request.range.range_end);
    }
}

void zone_store_hold(struct store *s, bool on)
{
    s->is_holding = on;
    if (!on)
        answer_held(s);
}

void zone_store_free(struct store *s)
{
    s->verdict = VERDICT_STOPPED;
    answer_held(s);
    while (s->watches != NULL)
        watch_free(s->watches);
    for (size_t i = 0; i < s->item_count; i++) {
        free(s->items[i].key);
        free(s->items[i].value);
    }
    free(s);
}

void zone_store_put(struct store *s, const char *key, const char *value)
{
    assert(s->item_count < MAX_ITEMS);
    s->items[s->item_count++] = (struct item){.key = strdup(key),
                                              .value = value != NULL ? strdup(value) : NULL,
                                              .revision = ++s->revision};
}

void zone_store_compact(struct store *s)
{
    s->compact_revision = s->revision;
}

void zone_store_set_verdict(struct store *s, enum verdict verdict)
{
    s->verdict = verdict;
}

void zone_store_set_writable(struct store *s, bool on)
{
    s->is_unwritable = !on;
}

bool store_is_writable(const struct store *s)
{
    return !s->is_unwritable;
}

int64_t zone_store_revision(const struct store *s)
{
    return s->revision;
}

size_t zone_store_range_count(const struct store *s)
{
    return s->range_count;
}

size_t zone_store_watch_count(const struct store *s)
{
    size_t count = 0;
    for (const struct store_watch *w = s->watches; w != NULL; w = w->next)
        count++;
    return count;
}

/* --- watches ---------------------------------------------------------------------------------- */

enum err store_watch_create(struct store_watch **out, struct store *s,
                            const struct store_watch_request *request, store_watch_fn *deliver,
                            void *context)
{
    struct store_watch *w = calloc(1, sizeof *w);
    assert(w != NULL);
    *w = (struct store_watch){.store = s,
                              .next = s->watches,
                              .from = text_of(request->key),
                              .end = text_of(request->range_end),
                              .next_revision = request->start_revision,
                              .deliver = deliver,
                              .context = context};
    s->watches = w;
    *out = w;
    return OK;
}

void store_watch_cancel(struct store_watch *w)
{
    watch_free(w);
}

static void deliver_item(struct store_watch *w, const struct item *it)
{
    struct kv_event event = {.type = it->value != NULL ? KV_EVENT_PUT : KV_EVENT_DELETE,
                             .kv = {.key = bytes_of_str(it->key), .mod_revision = it->revision}};
    if (it->value != NULL)
        event.kv.value = bytes_of_str(it->value);
    struct store_watch_batch batch = {
        .revision = w->store->revision, .events = &event, .event_count = 1};
    w->is_held = !w->deliver(w->context, &batch);
    if (!w->is_held)
        w->next_revision = it->revision + 1;
}

static void catch_up(struct store_watch *w)
{
    struct store *s = w->store;
    if (w->next_revision <= s->compact_revision) {
        struct store_watch_batch batch = {.revision = s->revision,
                                          .compact_revision = s->compact_revision};
        w->deliver(w->context, &batch);
        watch_free(w);
        return;
    }
    for (size_t i = 0; i < s->item_count && !w->is_held; i++) {
        const struct item *it = &s->items[i];
        if (it->revision >= w->next_revision &&
            kv_range_contains(bytes_of_str(w->from), bytes_of_str(w->end), bytes_of_str(it->key)))
            deliver_item(w, it);
    }
    if (!w->is_held)
        w->next_revision = s->revision + 1;
}

void store_watch_resume(struct store_watch *w)
{
    w->is_held = false;
    catch_up(w);
}

void zone_store_deliver(struct store *s)
{
    struct store_watch *next;
    for (struct store_watch *w = s->watches; w != NULL; w = next) {
        next = w->next;
        if (!w->is_held)
            catch_up(w);
    }
}

enum err store_on_settled(struct store *s, void (*fn)(void *context), void *context)
{
    (void)s;
    (void)fn;
    (void)context;
    return OK;
}

void store_off_settled(struct store *s, void *context)
{
    (void)s;
    (void)context;
}

/* --- what the linker wants, so that the real store stays out; no test comes here -------------- */

enum err store_open(struct store **out UNUSED, const struct store_config *config UNUSED,
                    struct strbuf *error UNUSED)
{
    return ERR_UNSUPPORTED;
}

void store_close(struct store *s UNUSED)
{
}

enum err store_set_client_urls(struct store *s UNUSED, const char *const *urls UNUSED,
                               size_t count UNUSED)
{
    return ERR_UNSUPPORTED;
}

bool store_watch_is_synced(const struct store_watch *w UNUSED)
{
    return true;
}

void store_status(struct store *s UNUSED, struct store_status *out)
{
    *out = (struct store_status){0};
}
