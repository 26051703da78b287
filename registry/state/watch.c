/* The watch hub.
 *
 * Watchers of one key or range with the same options are a group and get the same batch, made once.
 * Groups hang on their target: the keys that are watched alone in a B-tree, the ranges in an
 * interval tree, so that an event costs what its own watchers cost. */
#include "registry/state/watch.h"

#include "registry/state/interval.h"
#include "registry/state/tree.h"

#include <assert.h>
#include <stdlib.h>

enum {
    OPTION_PREV_KV = 1,
    OPTION_NO_PUT = 2,
    OPTION_NO_DELETE = 4,
};

enum watcher_place {
    PLACE_SYNCED,
    PLACE_BEHIND,  /* in the hub's list */
    PLACE_WAITING, /* behind, and its consumer has no room */
};

struct target {
    struct interval range; /* of a single key: unused */
    struct group *groups;  /* one for each set of options in use */
    bool is_range;
    uint8_t entry[]; /* an entry of the tree with the key; behind it the range's end */
};

struct group {
    struct target *target;
    struct group *next; /* of the target */
    struct watcher *watchers;
    unsigned options;
    /* Of the batch that is being made: */
    size_t first_hit; /* of the hub's hits, plus 1; 0: none */
    size_t last_hit;
    struct group *next_hit_group;
    size_t step_count; /* watchers that take part in the catch-up step */
};

struct watcher {
    struct watch_hub *hub;
    struct group *group;
    struct watcher *previous; /* of the group */
    struct watcher *next;
    struct watcher *behind_previous;
    struct watcher *behind_next;
    watch_deliver_fn *deliver;
    void *context;
    int64_t next_revision; /* it has been given everything below */
    enum watcher_place place;
    bool in_step; /* takes part in the catch-up step, and has not refused its batch */
    struct watcher *step_next;
    bool is_cancelled; /* during a delivery; it is freed afterwards */
    struct watcher *next_cancelled;
};

struct hit {
    size_t event;
    size_t next; /* of the same group, plus 1 */
};

/* An event of the batch that is being made. */
struct pending {
    struct kv_event event;
    int64_t main;
    int64_t sub;
    bool wants_prev;
};

struct watch_hub {
    const struct state *state;
    struct tree keys;
    struct interval *ranges;
    size_t count;
    size_t behind_count; /* waiting ones too */
    struct watcher *behind_first;
    struct watcher *behind_last;

    struct pending *pending;
    size_t pending_count;
    size_t pending_capacity;
    bool pending_failed; /* no memory: everybody reads this revision from history */
    struct hit *hits;
    size_t hit_count;
    size_t hit_capacity;
    struct group *hit_groups;
    struct group **hit_groups_end;
    struct kv_event *batch;
    size_t batch_capacity;
    struct watcher *step; /* who takes part in the catch-up step */

    bool is_delivering;
    struct watcher *cancelled;
};

enum err watch_hub_create(struct watch_hub **out, const struct state *state)
{
    struct watch_hub *h = calloc(1, sizeof(*h));
    if (h == NULL)
        return ERR_NO_MEMORY;
    h->state = state;
    h->hit_groups_end = &h->hit_groups;
    *out = h;
    return OK;
}

/* --- targets and groups ----------------------------------------------------------------------- */

static struct target *target_of_entry(void *entry)
{
    return (struct target *)(void *)((uint8_t *)entry - offsetof(struct target, entry));
}

static struct target *target_of_range(struct interval *range)
{
    return (struct target *)(void *)((uint8_t *)range - offsetof(struct target, range));
}

static struct target *target_find(const struct watch_hub *h, struct bytes key, struct bytes end)
{
    if (end.size > 0) {
        struct interval *range = interval_find(h->ranges, key, end);
        return range != NULL ? target_of_range(range) : NULL;
    }
    void *entry = tree_find(&h->keys, key);
    return entry != NULL ? target_of_entry(entry) : NULL;
}

static struct target *target_create(struct watch_hub *h, struct bytes key, struct bytes end)
{
    size_t size = 1 + varint_size(key.size) + key.size + end.size;
    struct target *t = malloc(sizeof(*t) + size);
    if (t == NULL)
        return NULL;
    *t = (struct target){.is_range = end.size > 0};
    t->entry[0] = 0;
    uint8_t *at = varint_write(t->entry + 1, key.size);
    memcpy(at, key.data, key.size);
    t->range.from = bytes_of(at, key.size);
    if (t->is_range) {
        memcpy(at + key.size, end.data, end.size);
        t->range.end = bytes_of(at + key.size, end.size);
        h->ranges = interval_insert(h->ranges, &t->range);
    } else if (tree_insert(&h->keys, t->entry) != OK) {
        free(t);
        return NULL;
    }
    return t;
}

static void target_release(struct watch_hub *h, struct target *t)
{
    if (t->groups != NULL)
        return;
    if (t->is_range)
        h->ranges = interval_remove(h->ranges, &t->range);
    else
        (void)tree_remove(&h->keys, t->range.from);
    free(t);
}

static struct group *group_find(const struct target *t, unsigned options)
{
    struct group *g = t->groups;
    while (g != NULL && g->options != options)
        g = g->next;
    return g;
}

static void group_release(struct watch_hub *h, struct group *g)
{
    if (g->watchers != NULL)
        return;
    struct group **at = &g->target->groups;
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    target_release(h, g->target);
    free(g);
}

/* The group of these options, made if need be. */
static struct group *group_obtain(struct watch_hub *h, struct bytes key, struct bytes end,
                                  unsigned options)
{
    struct target *t = target_find(h, key, end);
    if (t == NULL && (t = target_create(h, key, end)) == NULL)
        return NULL;
    struct group *g = group_find(t, options);
    if (g != NULL)
        return g;
    g = calloc(1, sizeof(*g));
    if (g == NULL) {
        target_release(h, t);
        return NULL;
    }
    g->target = t;
    g->options = options;
    g->next = t->groups;
    t->groups = g;
    return g;
}

/* --- watchers --------------------------------------------------------------------------------- */

static void behind_append(struct watcher *w)
{
    struct watch_hub *h = w->hub;
    w->behind_previous = h->behind_last;
    w->behind_next = NULL;
    if (h->behind_last != NULL)
        h->behind_last->behind_next = w;
    else
        h->behind_first = w;
    h->behind_last = w;
}

static void behind_unlink(struct watcher *w)
{
    struct watch_hub *h = w->hub;
    if (w->behind_previous != NULL)
        w->behind_previous->behind_next = w->behind_next;
    else
        h->behind_first = w->behind_next;
    if (w->behind_next != NULL)
        w->behind_next->behind_previous = w->behind_previous;
    else
        h->behind_last = w->behind_previous;
}

static void set_place(struct watcher *w, enum watcher_place place)
{
    if (w->place == PLACE_BEHIND)
        behind_unlink(w);
    w->hub->behind_count -= w->place != PLACE_SYNCED;
    w->place = place;
    w->hub->behind_count += place != PLACE_SYNCED;
    if (place == PLACE_BEHIND)
        behind_append(w);
}

enum err watcher_create(struct watcher **out, struct watch_hub *h,
                        const struct watch_request *request, watch_deliver_fn *deliver,
                        void *context)
{
    unsigned options = (request->prev_kv ? OPTION_PREV_KV : 0u) |
                       (request->no_put ? OPTION_NO_PUT : 0u) |
                       (request->no_delete ? OPTION_NO_DELETE : 0u);
    /* etcd: no key is the first key there can be. */
    struct bytes key = request->key.size > 0 ? request->key : bytes_of("", 1);
    struct watcher *w = calloc(1, sizeof(*w));
    struct group *g = w != NULL ? group_obtain(h, key, request->range_end, options) : NULL;
    if (g == NULL) {
        free(w);
        return ERR_NO_MEMORY;
    }
    int64_t now = state_revision(h->state);
    w->hub = h;
    w->group = g;
    w->deliver = deliver;
    w->context = context;
    w->next_revision = request->start_revision == 0 ? now + 1 : request->start_revision;
    if (w->next_revision < 1)
        w->next_revision = 1; /* etcd up to 3.5: a negative start is the first revision */
    w->next = g->watchers;
    if (g->watchers != NULL)
        g->watchers->previous = w;
    g->watchers = w;
    h->count++;
    if (w->next_revision <= now)
        set_place(w, PLACE_BEHIND);
    *out = w;
    return OK;
}

static void watcher_free(struct watcher *w)
{
    struct group *g = w->group;
    if (w->previous != NULL)
        w->previous->next = w->next;
    else
        g->watchers = w->next;
    if (w->next != NULL)
        w->next->previous = w->previous;
    group_release(w->hub, g);
    free(w);
}

void watcher_cancel(struct watcher *w)
{
    struct watch_hub *h = w->hub;
    assert(!w->is_cancelled);
    set_place(w, PLACE_SYNCED);
    h->count--;
    if (!h->is_delivering) {
        watcher_free(w);
        return;
    }
    w->is_cancelled = true;
    w->next_cancelled = h->cancelled;
    h->cancelled = w;
}

void watcher_resume(struct watcher *w)
{
    if (w->place == PLACE_WAITING)
        set_place(w, PLACE_BEHIND);
}

bool watcher_is_synced(const struct watcher *w)
{
    return w->place == PLACE_SYNCED;
}

size_t watch_hub_count(const struct watch_hub *h)
{
    return h->count;
}

size_t watch_hub_behind_count(const struct watch_hub *h)
{
    return h->behind_count;
}

/* Groups and watchers stay where they are while callbacks run. */
static void delivery_begin(struct watch_hub *h)
{
    assert(!h->is_delivering);
    h->is_delivering = true;
}

static void delivery_end(struct watch_hub *h)
{
    h->is_delivering = false;
    while (h->cancelled != NULL) {
        struct watcher *w = h->cancelled;
        h->cancelled = w->next_cancelled;
        watcher_free(w);
    }
}

static void destroy_groups(struct target *t)
{
    while (t->groups != NULL) {
        struct group *g = t->groups;
        t->groups = g->next;
        while (g->watchers != NULL) {
            struct watcher *w = g->watchers;
            g->watchers = w->next;
            free(w);
        }
        free(g);
    }
    free(t);
}

static void destroy_ranges(struct interval *root)
{
    if (root == NULL)
        return;
    destroy_ranges(root->left);
    destroy_ranges(root->right);
    destroy_groups(target_of_range(root));
}

void watch_hub_destroy(struct watch_hub *h)
{
    if (h == NULL)
        return;
    assert(!h->is_delivering);
    struct tree_cursor c;
    void *entry;
    for (tree_seek(&h->keys, BYTES_EMPTY, &c); (entry = tree_at(&c)) != NULL;) {
        tree_next(&c);
        destroy_groups(target_of_entry(entry));
    }
    tree_fini(&h->keys);
    destroy_ranges(h->ranges);
    free(h->pending);
    free(h->hits);
    free(h->batch);
    free(h);
}

/* --- collecting events ------------------------------------------------------------------------ */

/* Room for one more item; false: no memory. */
static bool reserve(void **items, size_t item_size, size_t count, size_t *capacity)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity > 0 ? 2 * *capacity : 16;
    void *grown = realloc(*items, wanted * item_size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

/* What a watch tells as the previous value is the one before the revision (etcd reads it there),
 * not the one that the same transaction had put before. */
static void look_before_revision(const struct watch_hub *h, struct pending *p)
{
    if (!p->event.has_prev || p->event.prev.mod_revision != p->main)
        return;
    /* The transaction's first change of the key has it. */
    for (const struct pending *first = h->pending; first < p; first++) {
        if (!bytes_equal(first->event.kv.key, p->event.kv.key))
            continue;
        p->event.has_prev = first->event.has_prev;
        p->event.prev = first->event.prev;
        return;
    }
}

static bool is_create(const struct pending *p)
{
    return p->event.type == KV_EVENT_PUT && p->event.kv.create_revision == p->main;
}

static bool pending_add(struct watch_hub *h, const struct state_record *record)
{
    void *items = h->pending;
    if (!reserve(&items, sizeof(*h->pending), h->pending_count, &h->pending_capacity))
        return false;
    h->pending = items;
    h->pending[h->pending_count++] = (struct pending){
        .event = {.type = record->revision.is_delete ? KV_EVENT_DELETE : KV_EVENT_PUT,
                  .kv = record->revision.kv,
                  .has_prev = record->revision.has_prev,
                  .prev = record->revision.prev},
        .main = record->revision.main,
        .sub = record->revision.sub,
    };
    struct pending *added = &h->pending[h->pending_count - 1];
    added->event.kv.mod_revision = record->revision.main;
    look_before_revision(h, added);
    return true;
}

static bool takes(const struct group *g, enum kv_event_type type)
{
    return (g->options & (type == KV_EVENT_PUT ? OPTION_NO_PUT : OPTION_NO_DELETE)) == 0;
}

static bool hit_add(struct watch_hub *h, struct group *g, size_t event)
{
    void *items = h->hits;
    if (!reserve(&items, sizeof(*h->hits), h->hit_count, &h->hit_capacity))
        return false;
    h->hits = items;
    h->hits[h->hit_count++] = (struct hit){.event = event};
    if (g->first_hit == 0) {
        g->first_hit = h->hit_count;
        g->next_hit_group = NULL;
        *h->hit_groups_end = g;
        h->hit_groups_end = &g->next_hit_group;
    } else {
        h->hits[g->last_hit - 1].next = h->hit_count;
    }
    g->last_hit = h->hit_count;
    return true;
}

struct finding {
    struct watch_hub *h;
    size_t event;
    bool for_step; /* only groups that take part in the catch-up step */
    bool failed;
};

static void find_in_target(struct finding *f, struct target *t)
{
    struct pending *p = &f->h->pending[f->event];
    for (struct group *g = t->groups; g != NULL; g = g->next) {
        if (!takes(g, p->event.type) || (f->for_step && g->step_count == 0))
            continue;
        if (!hit_add(f->h, g, f->event))
            f->failed = true;
        p->wants_prev |= (g->options & OPTION_PREV_KV) != 0;
    }
}

static void find_in_range(void *context, struct interval *range)
{
    find_in_target(context, target_of_range(range));
}

/* Notes which groups want the event; false: no memory. */
static bool find_groups(struct watch_hub *h, size_t event, bool for_step)
{
    struct finding f = {.h = h, .event = event, .for_step = for_step};
    struct bytes key = h->pending[event].event.kv.key;
    void *entry = tree_find(&h->keys, key);
    if (entry != NULL)
        find_in_target(&f, target_of_entry(entry));
    interval_each(h->ranges, key, find_in_range, &f);
    return !f.failed;
}

static void forget_pending(struct watch_hub *h)
{
    for (struct group *g = h->hit_groups; g != NULL; g = g->next_hit_group)
        g->first_hit = g->last_hit = 0;
    h->hit_groups = NULL;
    h->hit_groups_end = &h->hit_groups;
    h->hit_count = 0;
    h->pending_count = 0;
    h->pending_failed = false;
}

/* The group's events in `batch`; false: no memory. */
static bool compose(struct watch_hub *h, const struct group *g, size_t *count)
{
    *count = 0;
    for (size_t at = g->first_hit; at != 0; at = h->hits[at - 1].next) {
        void *items = h->batch;
        if (!reserve(&items, sizeof(*h->batch), *count, &h->batch_capacity))
            return false;
        h->batch = items;
        struct kv_event *event = &h->batch[(*count)++];
        *event = h->pending[h->hits[at - 1].event].event;
        if ((g->options & OPTION_PREV_KV) == 0) {
            event->has_prev = false;
            event->prev = (struct kv){0};
        }
    }
    return true;
}

/* --- live ------------------------------------------------------------------------------------- */

void watch_hub_record(struct watch_hub *h, const struct state_record *record)
{
    if (record->type != STATE_REVISION || h->count == 0)
        return;
    if (!h->pending_failed && !pending_add(h, record))
        h->pending_failed = true;
}

/* Who is synced and cannot be served reads REVISION from history. */
static void fall_behind(struct group *g, int64_t revision)
{
    for (struct watcher *w = g->watchers; w != NULL; w = w->next) {
        if (w->is_cancelled || w->place != PLACE_SYNCED || w->next_revision > revision)
            continue;
        w->next_revision = revision;
        set_place(w, PLACE_BEHIND);
    }
}

static void fall_behind_ranges(struct interval *root, int64_t revision)
{
    if (root == NULL)
        return;
    fall_behind_ranges(root->left, revision);
    for (struct group *g = target_of_range(root)->groups; g != NULL; g = g->next)
        fall_behind(g, revision);
    fall_behind_ranges(root->right, revision);
}

static void everybody_falls_behind(struct watch_hub *h, int64_t revision)
{
    struct tree_cursor c;
    void *entry;
    for (tree_seek(&h->keys, BYTES_EMPTY, &c); (entry = tree_at(&c)) != NULL; tree_next(&c)) {
        for (struct group *g = target_of_entry(entry)->groups; g != NULL; g = g->next)
            fall_behind(g, revision);
    }
    fall_behind_ranges(h->ranges, revision);
}

static void deliver_live(struct watch_hub *h, struct group *g, int64_t revision)
{
    size_t count;
    if (!compose(h, g, &count)) {
        fall_behind(g, revision);
        return;
    }
    struct watch_batch batch = {.revision = revision, .events = h->batch, .event_count = count};
    for (struct watcher *w = g->watchers; w != NULL; w = w->next) {
        if (w->is_cancelled || w->place != PLACE_SYNCED || w->next_revision > revision)
            continue;
        bool taken = w->deliver(w->context, &batch);
        if (!taken && !w->is_cancelled) {
            w->next_revision = revision;
            set_place(w, PLACE_WAITING);
        }
    }
}

void watch_hub_commit(struct watch_hub *h)
{
    int64_t revision = state_revision(h->state);
    bool failed = h->pending_failed;
    if (h->pending_count == 0 && !failed)
        return;
    for (size_t i = 0; i < h->pending_count && !failed; i++)
        failed = !find_groups(h, i, false);
    delivery_begin(h);
    if (failed) {
        everybody_falls_behind(h, revision);
    } else {
        for (struct group *g = h->hit_groups; g != NULL; g = g->next_hit_group)
            deliver_live(h, g, revision);
    }
    forget_pending(h);
    delivery_end(h);
}

/* --- catching up ------------------------------------------------------------------------------ */

/* One run of history. */
struct step {
    struct watch_hub *h;
    struct arena *arena;
    int64_t from;
    int64_t to;
    int64_t seen; /* the revision of the last change that was collected */
    size_t size;  /* octets copied */
    enum err error;
};

static bool copy_bytes(struct step *s, struct bytes *value)
{
    const void *copy = arena_copy(s->arena, value->data, value->size);
    if (copy == NULL)
        return false;
    value->data = copy;
    s->size += value->size;
    return true;
}

/* One change of history: kept, copied, if somebody in the step wants it. */
static bool collect(void *context, const struct state_record *record)
{
    struct step *s = context;
    struct watch_hub *h = s->h;
    int64_t main = record->revision.main;
    if (main != s->seen && s->size > WATCH_CATCH_UP_SIZE) {
        s->to = main - 1;
        return false;
    }
    s->seen = main;
    size_t event = h->pending_count, hits = h->hit_count;
    if (!pending_add(h, record) || !find_groups(h, event, true)) {
        s->error = ERR_NO_MEMORY;
        return false;
    }
    if (h->hit_count == hits) {
        h->pending_count--;
        return true;
    }
    struct kv *kv = &h->pending[event].event.kv;
    if (!copy_bytes(s, &kv->key) || !copy_bytes(s, &kv->value)) {
        s->error = ERR_NO_MEMORY;
        return false;
    }
    return true;
}

static enum err fetch_prev(struct step *s, const struct state_source *source, struct pending *p)
{
    int64_t main, sub;
    p->event.has_prev = false;
    if (!p->wants_prev || is_create(p) ||
        !state_version_before(s->h->state, p->event.kv.key, p->main, &main, &sub))
        return OK;
    enum err error = source->read(source->context, main, sub, s->arena, &p->event.prev);
    if (error != OK)
        return error;
    p->event.prev.key = p->event.kv.key;
    p->event.has_prev = true;
    return OK;
}

/* Everybody behind whose place is from FROM to TO takes part. */
static void enter_step(struct watch_hub *h, int64_t from, int64_t to)
{
    h->step = NULL;
    for (struct watcher *w = h->behind_last; w != NULL; w = w->behind_previous) {
        if (w->next_revision < from || w->next_revision > to)
            continue;
        w->in_step = true;
        w->step_next = h->step;
        h->step = w;
        w->group->step_count++;
    }
}

static enum err read_history(struct step *s, const struct state_source *source)
{
    struct watch_hub *h = s->h;
    enum err error = source->scan(source->context, s->from, s->to, collect, s);
    if (error == OK)
        error = s->error;
    for (size_t i = 0; error == OK && i < h->pending_count; i++)
        error = fetch_prev(s, source, &h->pending[i]);
    return error;
}

/* The watcher has everything up to TO. */
static void advance(struct watcher *w, int64_t to)
{
    w->next_revision = to + 1;
    set_place(w, to >= state_revision(w->hub->state) ? PLACE_SYNCED : PLACE_BEHIND);
}

static void deliver_history(struct step *s, struct watcher *w, size_t count)
{
    struct watch_hub *h = s->h;
    size_t first = 0;
    while (first < count && h->batch[first].kv.mod_revision < w->next_revision)
        first++;
    if (first == count)
        return;
    struct watch_batch batch = {.revision = state_revision(h->state),
                                .events = h->batch + first,
                                .event_count = count - first};
    bool taken = w->deliver(w->context, &batch);
    if (!taken && !w->is_cancelled) {
        w->in_step = false;
        set_place(w, PLACE_WAITING);
    }
}

static void deliver_step(struct step *s)
{
    struct watch_hub *h = s->h;
    for (struct group *g = h->hit_groups; g != NULL; g = g->next_hit_group) {
        size_t count;
        bool composed = compose(h, g, &count);
        for (struct watcher *w = g->watchers; w != NULL; w = w->next) {
            if (!w->in_step || w->is_cancelled)
                continue;
            if (composed)
                deliver_history(s, w, count);
            else
                w->in_step = false; /* stays where it is */
        }
    }
}

/* Ends the step. Who took part goes to the end of the line, so that nobody waits for one who has a
 * long way to go. Callbacks may have cancelled or resumed any of them. */
static void leave_step(struct step *s, bool has_advanced)
{
    struct watch_hub *h = s->h;
    while (h->step != NULL) {
        struct watcher *w = h->step;
        h->step = w->step_next;
        w->group->step_count = 0;
        if (w->in_step && !w->is_cancelled && w->place == PLACE_BEHIND) {
            if (has_advanced && w->next_revision <= s->to)
                advance(w, s->to);
            else
                set_place(w, PLACE_BEHIND);
        }
        w->in_step = false;
    }
}

/* Ends the watchers whose history is gone. */
static void cancel_compacted(struct watch_hub *h)
{
    struct watch_batch batch = {.compact_revision = state_compacted(h->state)};
    struct step s = {.h = h};
    delivery_begin(h);
    enter_step(h, INT64_MIN, batch.compact_revision - 1);
    for (struct watcher *w = h->step; w != NULL; w = w->step_next) {
        if (!w->is_cancelled)
            (void)w->deliver(w->context, &batch);
        if (!w->is_cancelled)
            watcher_cancel(w);
    }
    leave_step(&s, false);
    delivery_end(h);
}

bool watch_hub_catch_up(struct watch_hub *h, const struct state_source *source, struct arena *arena,
                        enum err *error)
{
    *error = OK;
    cancel_compacted(h);
    if (h->behind_first == NULL)
        return false;
    int64_t now = state_revision(h->state), from = h->behind_first->next_revision;
    struct step s = {.h = h, .arena = arena, .from = from, .to = now};
    if (now - from >= WATCH_CATCH_UP_REVISIONS)
        s.to = from + WATCH_CATCH_UP_REVISIONS - 1;
    enter_step(h, s.from, s.to);
    *error = read_history(&s, source);
    delivery_begin(h);
    if (*error == OK)
        deliver_step(&s);
    leave_step(&s, *error == OK);
    forget_pending(h);
    delivery_end(h);
    return h->behind_first != NULL;
}
