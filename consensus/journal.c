#include "consensus/journal.h"

#include "database.h"
#include "folder.h"
#include "overlay.h"
#include "writer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEALTH_INTERVAL_MS = 1000, /* how often free space is looked at */
    HEALTH_SIZE = 1 << 20,     /* and behind how many bytes of our own, which may be faster */
    OPEN_SIZE = 1 << 20,       /* what SQLite may need to open a database: its index of the WAL */
    HANDLE_COUNT = 4,
};

struct journal {
    struct folder folder;
    uint64_t free_space_floor;
    struct journal_start start;
    struct tables_state loaded; /* as it was at the open */
    struct tables reader;       /* of the loop thread */
    struct writer writer;

    /* Writes not yet given to the writer, in order. */
    struct queued_write *queue;
    struct queued_write **queue_end;
    uint64_t last_index; /* of the log once the queue is written */
    /* What the running job has. */
    struct job job;
    struct queued_write *running;
    bool is_running;
    bool is_dead; /* halted or closed: nothing is given to the writer any more */
    bool is_closing;
    bool wants_vacuum;
    bool wants_reserve;

    struct overlay generations[2];
    struct overlay *open;  /* effects are staged here */
    struct overlay *taken; /* by the running job */

    uv_async_t wake;
    uv_prepare_t dispatch; /* runs when the loop has nothing else to do: all that is queued goes */
    uv_timer_t flush;
    uv_timer_t watch; /* free space */
    unsigned open_handles;

    bool is_low;
    uint64_t size_since_look; /* bytes written since free space was looked at */
    enum journal_health told;
    void (*health_fn)(void *context, enum journal_health health);
    void *health_context;
    void (*commit_fn)(void *context, double seconds);
    void *commit_context;
    char failure[300];
    struct journal_stats stats;
};

/* --- health ----------------------------------------------------------------------------------- */

enum journal_health journal_health(const struct journal *j)
{
    if (atomic_load(&j->writer.is_halted))
        return JOURNAL_HALTED;
    if (atomic_load(&j->writer.is_full))
        return JOURNAL_FULL;
    return j->is_low ? JOURNAL_LOW : JOURNAL_OK;
}

static void tell_health(struct journal *j)
{
    enum journal_health health = journal_health(j);
    if (health == j->told)
        return;
    j->told = health;
    if (health == JOURNAL_OK)
        j->failure[0] = '\0';
    else if (health == JOURNAL_LOW)
        (void)snprintf(j->failure, sizeof(j->failure),
                       "%s: less than %llu MiB are free; free some space on its file system",
                       j->folder.path, (unsigned long long)(j->free_space_floor >> 20));
    else
        writer_failure(&j->writer, j->failure, sizeof(j->failure));
    if (j->health_fn != NULL && !j->is_closing)
        j->health_fn(j->health_context, health);
}

const char *journal_failure(const struct journal *j)
{
    return journal_health(j) == JOURNAL_OK ? "" : j->failure;
}

void journal_on_health(struct journal *j, void (*fn)(void *context, enum journal_health health),
                       void *context)
{
    j->health_fn = fn;
    j->health_context = context;
}

void journal_on_commit(struct journal *j, void (*fn)(void *context, double seconds), void *context)
{
    j->commit_fn = fn;
    j->commit_context = context;
}

static void look_at_space(struct journal *j)
{
    j->size_since_look = 0;
    uint64_t space = folder_free_space(&j->folder);
    j->is_low = space < j->free_space_floor;
    /* The reserve comes back only where it does not make the disk low again. */
    j->wants_reserve = !j->is_low && space - j->free_space_floor > JOURNAL_RESERVE_SIZE &&
                       folder_file_size(j->folder.reserve) != JOURNAL_RESERVE_SIZE;
    tell_health(j);
}

/* --- giving jobs to the writer ---------------------------------------------------------------- */

static size_t size_of_entries(const struct queued_write *q)
{
    size_t size = 0;
    for (size_t i = 0; i < q->entry_count; i++)
        size += q->entries[i].data.size;
    return size;
}

/* The longest run of the queue that one transaction takes. */
static void take_queue(struct journal *j)
{
    size_t entries = 0;
    size_t size = 0;
    struct queued_write **end = &j->queue;
    while (*end != NULL) {
        const struct queued_write *q = *end;
        size_t more = size_of_entries(q);
        if (end != &j->queue && (entries + q->entry_count > JOURNAL_MAX_BATCH_ENTRIES ||
                                 size + more > JOURNAL_MAX_BATCH_SIZE))
            break;
        entries += q->entry_count;
        size += more;
        end = &(*end)->next;
    }
    struct queued_write *rest = *end;
    *end = NULL;
    j->running = j->queue;
    j->queue = rest;
    if (rest == NULL)
        j->queue_end = &j->queue;
}

static bool has_work(const struct journal *j)
{
    return j->queue != NULL || !overlay_is_empty(j->open) || j->wants_vacuum;
}

static void start_job(struct journal *j)
{
    if (j->is_running || j->is_dead || !has_work(j))
        return;
    (void)uv_timer_stop(&j->flush);
    take_queue(j);
    j->taken = j->open;
    j->open = j->open == &j->generations[0] ? &j->generations[1] : &j->generations[0];
    assert(overlay_is_empty(j->open));
    j->job = (struct job){
        .effects = j->taken,
        .writes = j->running,
        .vacuum = j->wants_vacuum,
        .make_reserve = j->wants_reserve,
    };
    j->wants_vacuum = j->wants_reserve = false;
    j->is_running = true;
    writer_give(&j->writer, &j->job);
}

static void on_dispatch(uv_prepare_t *prepare)
{
    (void)uv_prepare_stop(prepare);
    start_job(prepare->data);
}

/* A disk that was full is tried again also where nobody writes. */
static void on_watch(uv_timer_t *timer)
{
    struct journal *j = timer->data;
    look_at_space(j);
    if (atomic_load(&j->writer.is_full) && !j->is_running) {
        j->wants_vacuum = true;
        start_job(j);
    }
}

static void on_flush(uv_timer_t *timer)
{
    start_job(timer->data);
}

/* Once the loop has handled what it is at, so that all of it shares a transaction. */
static void dispatch_soon(struct journal *j)
{
    if (!j->is_running && !j->is_dead && !j->is_closing)
        (void)uv_prepare_start(&j->dispatch, on_dispatch);
}

/* Work that nobody waits for; a big overlay does not wait for idle time. */
static void dispatch_later(struct journal *j)
{
    if (j->is_running || j->is_dead || j->is_closing)
        return;
    if (overlay_size(j->open) > JOURNAL_MAX_OVERLAY_SIZE / 4 ||
        j->open->gone_count >= JOURNAL_REMOVALS_SOON)
        dispatch_soon(j);
    else if (!uv_is_active((uv_handle_t *)&j->flush))
        (void)uv_timer_start(&j->flush, on_flush, JOURNAL_FLUSH_MS, 0);
}

/* --- finished jobs ---------------------------------------------------------------------------- */

static void count_commit(struct journal *j)
{
    j->stats.commits++;
    j->size_since_look += overlay_size(j->taken);
    for (const struct queued_write *q = j->running; q != NULL; q = q->next) {
        j->stats.committed_entries += q->entry_count;
        j->size_since_look += size_of_entries(q);
    }
    if (j->commit_fn != NULL && !j->is_closing)
        j->commit_fn(j->commit_context, (double)j->job.seconds_ns / 1e9);
}

static void answer(struct queued_write *list, enum err outcome)
{
    while (list != NULL) {
        struct queued_write *q = list;
        list = q->next;
        q->done(q->context, outcome);
        free(q);
    }
}

static void drop_queue(struct journal *j, enum err outcome)
{
    struct queued_write *list = j->queue;
    j->queue = NULL;
    j->queue_end = &j->queue;
    answer(list, outcome);
}

static void finish_job(struct journal *j)
{
    j->is_running = false;
    struct queued_write *list = j->running;
    enum err outcome = j->job.outcome;
    if (outcome == OK) {
        count_commit(j);
        overlay_clear(j->taken);
        j->taken = NULL;
        j->wants_vacuum |= j->job.has_free_pages;
    } else
        j->is_dead = true; /* `taken` stays: reads go on to consult it */
    j->running = NULL;
    if (j->size_since_look >= HEALTH_SIZE)
        look_at_space(j);
    tell_health(j);
    answer(list, outcome);
    if (j->is_dead)
        drop_queue(j, outcome);
    if (j->queue != NULL)
        dispatch_soon(j);
    else if (has_work(j))
        dispatch_later(j);
}

static void on_wake(uv_async_t *wake)
{
    struct journal *j = wake->data;
    struct job *job = writer_take(&j->writer, false);
    if (job != NULL)
        finish_job(j);
    tell_health(j);
}

/* --- the log ---------------------------------------------------------------------------------- */

static bool is_contiguous(const struct journal *j, const struct journal_write *write)
{
    if (write->entry_count == 0)
        return true;
    uint64_t first = write->entries[0].index;
    if (first == 0 || first > j->last_index + 1)
        return false;
    for (size_t i = 1; i < write->entry_count; i++)
        if (write->entries[i].index != first + i)
            return false;
    return true;
}

static struct queued_write *queued_of(const struct journal_write *write)
{
    size_t size = write->entry_count * sizeof(write->entries[0]);
    struct queued_write *q = malloc(sizeof(*q) + size);
    if (q == NULL)
        return NULL;
    *q = (struct queued_write){
        .has_hard_state = write->hard_state != NULL,
        .truncate_before = write->truncate_before,
        .entry_count = write->entry_count,
    };
    if (write->hard_state != NULL)
        q->hard_state = *write->hard_state;
    if (size > 0)
        memcpy(q->entries, write->entries, size);
    return q;
}

enum err journal_submit(struct journal *j, const struct journal_write *write, journal_done_fn *done,
                        void *context)
{
    if (j->is_dead || j->is_closing)
        return ERR_IO;
    assert(is_contiguous(j, write));
    struct queued_write *q = queued_of(write);
    if (q == NULL)
        return ERR_NO_MEMORY;
    q->done = done;
    q->context = context;
    if (q->entry_count > 0)
        j->last_index = q->entries[q->entry_count - 1].index;
    *j->queue_end = q;
    j->queue_end = &q->next;
    dispatch_soon(j);
    return OK;
}

void journal_dispatch(struct journal *j)
{
    if (j->queue == NULL || j->is_closing)
        return;
    (void)uv_prepare_stop(&j->dispatch);
    start_job(j);
}

enum err journal_read_log(struct journal *j, uint64_t first, uint64_t last, journal_entry_fn *each,
                          void *context)
{
    return first > last ? OK : tables_read_log(&j->reader, first, last, each, context);
}

/* --- effects and history ---------------------------------------------------------------------- */

enum err journal_stage(struct journal *j, uint64_t applied_index,
                       const struct journal_effect *effects, size_t count)
{
    assert(applied_index >= j->open->applied);
    for (size_t i = 0; i < count; i++) {
        enum err e = overlay_add(j->open, &effects[i]);
        if (e != OK)
            return e;
    }
    j->open->applied = applied_index;
    dispatch_later(j);
    return OK;
}

static size_t overlay_total(const struct journal *j)
{
    return overlay_size(j->open) + (j->taken != NULL ? overlay_size(j->taken) : 0);
}

enum err journal_stage_configuration(struct journal *j, uint64_t applied_index,
                                     const struct configuration_state *configuration)
{
    j->open->has_configuration = true;
    j->open->configuration = *configuration;
    return journal_stage(j, applied_index, NULL, 0);
}

bool journal_has_room(const struct journal *j)
{
    return overlay_total(j) < JOURNAL_MAX_OVERLAY_SIZE;
}

size_t journal_staged_removals(const struct journal *j)
{
    return j->open->gone_count;
}

static enum err copy_revision(struct arena *arena, const struct journal_revision *r,
                              struct journal_revision *out)
{
    void *key = arena_copy(arena, r->key.data, r->key.size);
    void *value = arena_copy(arena, r->value.data, r->value.size);
    if (key == NULL || value == NULL)
        return ERR_NO_MEMORY;
    *out = *r;
    out->key.data = key;
    out->value.data = value;
    return OK;
}

struct one_row {
    struct arena *arena;
    struct journal_revision *out;
    enum err error;
};

static bool take_one(void *context, const struct journal_revision *r)
{
    struct one_row *one = context;
    one->error = copy_revision(one->arena, r, one->out);
    return false;
}

/* The newest word of the overlay on PACKED: ERR_UNSUPPORTED if it has none. */
static enum err find_staged(const struct journal *j, int64_t packed,
                            const struct journal_revision **out)
{
    const struct overlay *order[] = {j->open, j->taken};
    for (size_t i = 0; i < ARRAY_COUNT(order); i++) {
        bool is_gone = false;
        if (order[i] == NULL)
            continue;
        *out = overlay_find(order[i], packed, &is_gone);
        if (is_gone)
            return ERR_NOT_FOUND;
        if (*out != NULL)
            return OK;
    }
    return ERR_UNSUPPORTED;
}

enum err journal_read_revision(struct journal *j, int64_t main, int64_t sub, struct arena *arena,
                               struct journal_revision *out)
{
    int64_t packed;
    if (!tables_pack(&packed, main, sub))
        return ERR_NOT_FOUND;
    const struct journal_revision *staged;
    enum err e = find_staged(j, packed, &staged);
    if (e == OK)
        return copy_revision(arena, staged, out);
    if (e == ERR_NOT_FOUND)
        return e;
    struct one_row one = {.arena = arena, .out = out, .error = ERR_NOT_FOUND};
    e = tables_read_revisions(&j->reader, packed, packed, take_one, &one);
    return e != OK ? e : one.error;
}

struct scan {
    const struct journal *j;
    bool (*each)(void *context, const struct journal_revision *r);
    void *context;
    int64_t last; /* the last row told */
    bool is_over;
};

static bool scan_one(void *context, const struct journal_revision *r)
{
    struct scan *s = context;
    int64_t packed = 0;
    if (!tables_pack(&packed, r->main, r->sub) || packed <= s->last)
        return true; /* the table had it already */
    const struct journal_revision *staged;
    if (find_staged(s->j, packed, &staged) == ERR_NOT_FOUND)
        return true;
    s->last = packed;
    s->is_over = !s->each(s->context, r);
    return !s->is_over;
}

/* The table's revisions are older than the overlay's: a put is always newer than every other. */
enum err journal_scan_revisions(struct journal *j, int64_t from, int64_t to,
                                bool (*each)(void *context, const struct journal_revision *r),
                                void *context)
{
    int64_t first;
    int64_t behind;
    int64_t highest = (INT64_MAX >> TABLES_SUB_BITS) - 1;
    to = to > highest ? highest : to;
    from = from < 0 ? 0 : from;
    if (from > to || !tables_pack(&first, from, 0) || !tables_pack(&behind, to + 1, 0))
        return OK;
    struct scan s = {.j = j, .each = each, .context = context, .last = first - 1};
    enum err e = tables_read_revisions(&j->reader, first, behind - 1, scan_one, &s);
    const struct overlay *order[] = {j->taken, j->open};
    for (size_t i = 0; i < ARRAY_COUNT(order) && e == OK; i++) {
        const struct overlay *o = order[i];
        for (size_t k = o != NULL ? overlay_lower_bound(o, first) : 0;
             o != NULL && !s.is_over && k < o->put_count && o->puts[k].main <= to; k++)
            (void)scan_one(&s, &o->puts[k]);
    }
    return e;
}

/* --- statistics ------------------------------------------------------------------------------- */

static uint64_t pragma_number(struct journal *j, const char *sql)
{
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v2(j->reader.db, sql, -1, &s, NULL) != SQLITE_OK)
        return 0;
    uint64_t number = sqlite3_step(s) == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(s, 0) : 0;
    sqlite3_finalize(s);
    return number;
}

void journal_stats(struct journal *j, struct journal_stats *out)
{
    uint64_t pages = pragma_number(j, "PRAGMA page_count");
    uint64_t free_pages = pragma_number(j, "PRAGMA freelist_count");
    *out = j->stats;
    out->database_size = folder_file_size(j->folder.database) + folder_file_size(j->folder.wal);
    out->in_use_size = (pages - free_pages) * TABLES_PAGE_SIZE;
    out->overlay_size = overlay_total(j);
}

void journal_vacuum(struct journal *j)
{
    j->wants_vacuum = true;
    dispatch_later(j);
}

/* --- opening ---------------------------------------------------------------------------------- */

void journal_start(const struct journal *j, struct journal_start *out)
{
    *out = j->start;
}

static enum err take_last_term(void *context, const struct log_entry *entry)
{
    *(uint64_t *)context = entry->term;
    return OK;
}

/* What the tables say of us. */
static enum err read_start(struct journal *j, struct strbuf *error)
{
    struct journal_start *s = &j->start;
    struct tables *t = &j->writer.tables;
    const struct tables_state *state = &j->loaded;
    *s = (struct journal_start){
        .hard_state = state->hard,
        .applied_index = state->applied,
        .first_index = state->log_first,
        .last_index = state->log_last,
    };
    struct tables_membership us = {0};
    enum err e = tables_get_membership(t, state, &us);
    s->is_new = e == ERR_NOT_FOUND;
    if (e == ERR_NOT_FOUND)
        e = OK;
    s->cluster_id = us.cluster_id;
    s->member_id = us.member_id;
    s->configuration = us.configuration;
    s->before_term = state->log_before_term;
    s->last_term = s->before_term;
    if (e == OK && s->first_index <= s->last_index)
        e = tables_read_log(t, s->last_index, s->last_index, take_last_term, &s->last_term);
    if (e != OK)
        database_explain(t, &j->folder, e, error);
    j->last_index = s->last_index;
    return e;
}

/* Starts this run with a new WAL: frames of an unfinished transaction of the last run lie in none
 * that goes on. */
static enum err begin_run(struct journal *j, const char *vfs, struct strbuf *error)
{
    struct writer *w = &j->writer;
    w->state = j->loaded;
    w->cluster_id = j->start.cluster_id;
    w->member_id = j->start.member_id;
    enum err e = mark_open(&w->mark, vfs, j->folder.mark);
    if (e != OK) {
        strbuf_add_format(error,
                          "%s: cannot be opened for writing: %s; check its owner and mode, and "
                          "those of the data directory\n",
                          j->folder.mark, err_text(e));
        return e;
    }
    e = writer_empty_wal(w);
    if (e == ERR_NO_SPACE && folder_has(j->folder.reserve)) {
        folder_release_reserve(&j->folder);
        e = writer_empty_wal(w);
    }
    if (e == ERR_NO_SPACE) { /* all can be read; it is written to once there is space */
        w->has_old_wal = true;
        return OK;
    }
    if (e != OK)
        database_explain(&w->tables, &j->folder, e, error);
    return e;
}

static enum err open_database(struct journal *j, const char *vfs, struct strbuf *error)
{
    struct database_look look;
    enum err e = database_inspect(&look, &j->folder, error);
    if (e == OK && look.is_new)
        e = database_create(&j->folder, vfs, error);
    if (folder_free_space(&j->folder) < OPEN_SIZE)
        folder_release_reserve(&j->folder);
    if (e == OK)
        e = database_open(&j->writer.tables, &j->folder, vfs, DATABASE_WRITE, error);
    if (e == OK)
        e = database_verify(&j->writer.tables, &j->folder, &look, &j->loaded, error);
    if (e == OK)
        e = read_start(j, error);
    if (e == OK)
        e = begin_run(j, vfs, error);
    if (e == OK)
        e = database_open(&j->reader, &j->folder, vfs, DATABASE_READ, error);
    if (e != OK)
        return e;
    if (j->writer.has_old_wal)
        return OK; /* that needs the space first */
    e = folder_make_reserve(&j->folder);
    if (e != OK && e != ERR_NO_SPACE)
        folder_explain_reserve(&j->folder, e, error);
    return e == ERR_NO_SPACE ? OK : e;
}

static void journal_free(struct journal *j)
{
    overlay_fini(&j->generations[0]);
    overlay_fini(&j->generations[1]);
    free(j);
}

static void close_files(struct journal *j)
{
    if (j->reader.db != NULL)
        tables_close(&j->reader);
    if (j->writer.tables.db != NULL)
        tables_close(&j->writer.tables);
    mark_close(j->writer.mark);
    folder_close(&j->folder);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct journal *j = handle->data;
    if (--j->open_handles == 0)
        journal_free(j);
}

static void close_handles(struct journal *j)
{
    uv_handle_t *handles[] = {(uv_handle_t *)&j->wake, (uv_handle_t *)&j->dispatch,
                              (uv_handle_t *)&j->flush, (uv_handle_t *)&j->watch};
    for (size_t i = 0; i < ARRAY_COUNT(handles); i++)
        uv_close(handles[i], on_handle_closed);
}

static enum err open_handles(struct journal *j, uv_loop_t *loop)
{
    if (uv_async_init(loop, &j->wake, on_wake) != 0)
        return ERR_LIMIT;
    (void)uv_prepare_init(loop, &j->dispatch);
    (void)uv_timer_init(loop, &j->flush);
    (void)uv_timer_init(loop, &j->watch);
    j->wake.data = j->dispatch.data = j->flush.data = j->watch.data = j;
    j->open_handles = HANDLE_COUNT;
    (void)uv_timer_start(&j->watch, on_watch, HEALTH_INTERVAL_MS, HEALTH_INTERVAL_MS);
    uv_unref((uv_handle_t *)&j->watch);
    return OK;
}

static enum err start_threads(struct journal *j, uv_loop_t *loop, struct strbuf *error)
{
    enum err e = open_handles(j, loop);
    j->writer.folder = &j->folder;
    j->writer.wake_loop = &j->wake;
    if (e == OK)
        e = writer_start(&j->writer);
    if (e != OK)
        strbuf_add_format(error, "%s: no thread for the journal: %s\n", j->folder.path,
                          err_text(e));
    return e;
}

enum err journal_open(struct journal **out, const struct journal_config *config,
                      struct strbuf *error)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (j == NULL)
        return ERR_NO_MEMORY;
    j->free_space_floor =
        config->free_space_floor != 0 ? config->free_space_floor : JOURNAL_FREE_SPACE_FLOOR;
    j->queue_end = &j->queue;
    j->open = &j->generations[0];
    overlay_init(&j->generations[0]);
    overlay_init(&j->generations[1]);
    j->folder.lock_fd = -1;
    enum err e = folder_open(&j->folder, config->data_dir, true, error);
    if (e == OK)
        e = open_database(j, config->vfs, error);
    if (e == OK)
        e = start_threads(j, config->loop, error);
    if (e != OK) {
        if (j->writer.tables.db != NULL) /* what was refused stays as it is */
            database_keep_wal(&j->writer.tables);
        close_files(j);
        if (j->open_handles > 0)
            close_handles(j);
        else
            journal_free(j);
        return e;
    }
    look_at_space(j);
    *out = j;
    return OK;
}

/* The writer has no job yet: its thread waits and leaves the connection to us. */
static enum err put_identity(struct journal *j, const struct tables_membership *us,
                             const struct journal_write *first, struct strbuf *error)
{
    assert(!j->is_running && is_contiguous(j, first));
    struct queued_write *q = queued_of(first);
    if (q == NULL)
        return ERR_NO_MEMORY;
    enum err e = writer_put_identity(&j->writer, us, q);
    free(q);
    if (e != OK)
        database_explain(&j->writer.tables, &j->folder, e, error);
    return e;
}

enum err journal_bootstrap(struct journal *j, uint64_t cluster_id, uint64_t member_id,
                           const struct journal_write *first, struct strbuf *error)
{
    struct journal_start *start = &j->start;
    if (!start->is_new) {
        if (start->cluster_id == cluster_id && start->member_id == member_id)
            return OK;
        strbuf_add_format(error, "%s: belongs to another member or cluster\n", j->folder.database);
        return ERR_EXISTS;
    }
    struct tables_membership us = {.cluster_id = cluster_id, .member_id = member_id};
    enum err e = put_identity(j, &us, first, error);
    if (e != OK)
        return e;
    start->is_new = false;
    start->cluster_id = cluster_id;
    start->member_id = member_id;
    if (first->hard_state != NULL)
        start->hard_state = *first->hard_state;
    if (first->entry_count > 0) {
        start->last_index = j->last_index = first->entries[first->entry_count - 1].index;
        start->last_term = first->entries[first->entry_count - 1].term;
    }
    return OK;
}

enum err journal_set_identity(struct journal *j, uint64_t cluster_id, uint64_t member_id,
                              struct strbuf *error)
{
    return journal_bootstrap(j, cluster_id, member_id, &(struct journal_write){0}, error);
}

enum err journal_load(struct journal *j, journal_each_fn *each, void *context, struct strbuf *error)
{
    enum err e = tables_read_all(&j->reader, &j->loaded, each, context);
    if (e != OK)
        database_explain(&j->reader, &j->folder, e, error);
    return e;
}

/* --- closing ---------------------------------------------------------------------------------- */

static void finish_all(struct journal *j)
{
    writer_hurry(&j->writer);
    for (;;) {
        j->wants_vacuum = false;
        start_job(j);
        if (!j->is_running)
            break;
        struct job *job = writer_take(&j->writer, true);
        assert(job == &j->job);
        (void)job;
        finish_job(j);
    }
    drop_queue(j, ERR_CLOSED);
}

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    j->is_closing = true;
    finish_all(j);
    writer_stop(&j->writer);
    /* What cannot be copied into the database stays in the WAL; then SQLite is not to try, either.
     */
    bool is_sound = journal_health(j) != JOURNAL_HALTED;
    if (j->reader.db != NULL)
        tables_close(&j->reader);
    if (!is_sound || writer_empty_wal(&j->writer) != OK)
        database_keep_wal(&j->writer.tables);
    close_files(j);
    close_handles(j);
}
