/* What a compaction made superfluous leaves the journal.
 *
 * The state drops old versions key by key, so their revisions are scattered over all pages of the
 * table. Removed in that order every transaction would write a page for each of them. So they are
 * collected first, in runs that are sorted, and removed in order of revision, a chunk a transaction
 * at most: that is the longest that a client's write waits for a purge. What was collected and is
 * not removed when the process ends still stands in the table, and the next start finds it again.
 */
#include "registry/store/internal.h"

#include <stdlib.h>

enum {
    WALK_BUDGET = 2000,            /* keys looked at in one step */
    RUN_SIZE = 32 << 10,           /* places of a run, but for one key with more */
    MAX_PLACES = 1 << 20,          /* collected before some are removed; likewise */
    CHUNK = JOURNAL_REMOVALS_SOON, /* removed in one step */
    SUB_BITS = 24,                 /* of a place: JOURNAL_REVISIONS bounds main and sub */
};

/* --- collecting ------------------------------------------------------------------------------- */

static void remove_revision(struct store *s, int64_t place)
{
    struct state_record r = {.type = STATE_REVISION_GONE};
    r.revision.main = place >> SUB_BITS;
    r.revision.sub = place & ((INT64_C(1) << SUB_BITS) - 1);
    store_stage_record(s, &r, false);
}

static bool grow(struct purge *p)
{
    if (p->count < p->capacity)
        return true;
    size_t capacity = p->capacity == 0 ? RUN_SIZE : 2 * p->capacity;
    int64_t *places = realloc(p->places, capacity * sizeof(places[0]));
    if (places == NULL)
        return false;
    p->places = places;
    p->capacity = capacity;
    return true;
}

static void on_purged(void *context, const struct state_record *r)
{
    struct store *s = context;
    struct purge *p = &s->purge;
    int64_t place = r->revision.main << SUB_BITS | r->revision.sub;
    if (!grow(p)) {
        remove_revision(s, place);
        return;
    }
    if (p->count > p->run_start && p->places[p->count - 1] > place)
        p->is_mixed = true;
    p->places[p->count++] = place;
}

static int compare_places(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static void end_run(struct purge *p)
{
    if (p->count == p->run_start)
        return;
    if (p->is_mixed)
        qsort(p->places + p->run_start, p->count - p->run_start, sizeof(p->places[0]),
              compare_places);
    p->runs[p->run_count++] = (struct purge_run){.next = p->run_start, .end = p->count};
    p->run_start = p->count;
    p->is_mixed = false;
}

static void collect(struct store *s)
{
    struct purge *p = &s->purge;
    struct state_sink sink = {.record = on_purged, .context = s};
    p->is_walking = state_purge(s->state, WALK_BUDGET, &sink);
    if (p->count - p->run_start >= RUN_SIZE || !p->is_walking)
        end_run(p);
    p->is_removing = !p->is_walking || p->count >= MAX_PLACES || p->run_count == PURGE_MAX_RUNS;
}

/* --- removing --------------------------------------------------------------------------------- */

/* The run whose next place is the lowest, or NULL. */
static struct purge_run *lowest(struct purge *p)
{
    struct purge_run *found = NULL;
    for (struct purge_run *r = p->runs; r < p->runs + p->run_count; r++)
        if (r->next < r->end && (found == NULL || p->places[r->next] < p->places[found->next]))
            found = r;
    return found;
}

static void forget(struct purge *p)
{
    free(p->places);
    *p = (struct purge){.is_on = p->is_on, .is_walking = p->is_walking};
}

static void remove_some(struct store *s)
{
    struct purge *p = &s->purge;
    for (size_t i = 0; i < CHUNK; i++) {
        struct purge_run *r = lowest(p);
        if (r == NULL) {
            forget(p);
            return;
        }
        remove_revision(s, p->places[r->next++]);
    }
}

/* --- the purge -------------------------------------------------------------------------------- */

static void answer_compactions(struct store *s)
{
    struct pending *list = s->compactions;
    s->compactions = NULL;
    while (list != NULL) {
        struct pending *p = list;
        list = p->next;
        struct store_response response = {.revision = p->revision};
        store_answer(s, p->done, p->context, &response);
        free(p);
    }
}

void store_compacted(struct store *s)
{
    s->purge.is_on = s->purge.is_walking = true;
}

bool store_purge_is_ready(const struct store *s)
{
    if (!s->purge.is_on || store_reads_hold_purge(s))
        return false;
    return !s->purge.is_removing || journal_staged_removals(s->journal) == 0;
}

void store_purge_step(struct store *s)
{
    struct purge *p = &s->purge;
    if (p->is_removing)
        remove_some(s);
    else
        collect(s);
    if (!p->is_walking && !p->is_removing) {
        p->is_on = false;
        answer_compactions(s);
    }
}

void store_purge_close(struct store *s)
{
    forget(&s->purge);
}
