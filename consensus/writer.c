#include "writer.h"

#include "base/bytes.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SEC INT64_C(1000000000)
#define NS_PER_MS  INT64_C(1000000)

static int64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* --- health ----------------------------------------------------------------------------------- */

static void say(struct writer *w, const char *path, const char *what, const char *advice)
{
    pthread_mutex_lock(&w->lock);
    (void)snprintf(w->failure, sizeof(w->failure), "%s: %s; %s", path, what, advice);
    pthread_mutex_unlock(&w->lock);
}

static void halt(struct writer *w, enum err e)
{
    if (atomic_load(&w->is_halted))
        return;
    const char *what = w->tables.failure[0] != '\0' ? w->tables.failure : err_text(e);
    say(w, w->folder->database, what, "nothing is written until a restart");
    atomic_store(&w->is_halted, true);
    (void)uv_async_send(w->wake_loop);
}

static void set_full(struct writer *w, bool is_full)
{
    if (is_full)
        say(w, w->folder->database, "the disk is full", "trying again until there is space");
    if (atomic_exchange(&w->is_full, is_full) != is_full)
        (void)uv_async_send(w->wake_loop);
}

void writer_failure(struct writer *w, char *out, size_t size)
{
    pthread_mutex_lock(&w->lock);
    (void)snprintf(out, size, "%s", w->failure);
    pthread_mutex_unlock(&w->lock);
}

/* --- the mark --------------------------------------------------------------------------------- */

static int after_commit(void *context, sqlite3 *db, const char *name, int frames)
{
    struct writer *w = context;
    (void)db;
    (void)name;
    w->wal_frames = (uint64_t)frames;
    return SQLITE_OK;
}

static enum err read_salts(struct writer *w, uint32_t salts[static 2])
{
    sqlite3_file *wal = NULL;
    uint8_t header[32];
    if (sqlite3_file_control(w->tables.db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) !=
            SQLITE_OK ||
        wal == NULL || wal->pMethods == NULL ||
        wal->pMethods->xRead(wal, header, sizeof(header), 0) != SQLITE_OK)
        return ERR_IO;
    for (size_t i = 0; i < 2; i++)
        salts[i] = load_u32(header + 16 + 4 * i);
    return OK;
}

/* Whose database the mark is of, and how much it has, by what is durable now. */
static void describe_database(const struct writer *w, struct mark *out)
{
    out->cluster_id = w->cluster_id;
    out->member_id = w->member_id;
    out->transaction = w->state.transaction;
    out->state_sum = tables_state_sum(&w->state);
}

static enum err write_mark(struct writer *w, bool sync)
{
    struct mark next = w->marked;
    enum err e = w->knows_salts ? OK : read_salts(w, next.salts);
    if (e != OK)
        return e;
    next.frame_count = w->wal_frames;
    next.has_wal = true;
    describe_database(w, &next);
    e = mark_write(w->mark, &next, sync);
    if (e == OK) {
        w->marked = next;
        w->knows_salts = true;
    }
    return e;
}

/* After a commit: says that it is durable. At once and synced where the WAL begins to hold what the
 * database does not; else nobody waits for it: an old mark says less, not more. */
static enum err note_commit(struct writer *w)
{
    w->owes_mark = w->marked.has_wal;
    return w->owes_mark ? OK : write_mark(w, true);
}

static enum err pay_mark(struct writer *w)
{
    if (!w->owes_mark)
        return OK;
    w->owes_mark = false;
    enum err e = write_mark(w, false);
    return e == ERR_NO_SPACE ? OK : e;
}

/* --- checkpoints ------------------------------------------------------------------------------ */

static enum err checkpoint(struct writer *w, int mode, bool *is_complete)
{
    int in_log = 0;
    int copied = 0;
    w->knows_salts = false;
    int code = sqlite3_wal_checkpoint_v2(w->tables.db, "main", mode, &in_log, &copied);
    *is_complete = code == SQLITE_OK && in_log == copied;
    if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY)
        return OK;
    (void)snprintf(w->tables.failure, sizeof(w->tables.failure), "checkpoint: %s",
                   sqlite3_errmsg(w->tables.db));
    return tables_err(code);
}

/* IS_NEW: no reader held the old one meanwhile. */
static enum err empty_wal(struct writer *w, bool *is_new)
{
    bool is_complete;
    enum err e = checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, &is_complete);
    if (e == OK && !is_complete)
        e = ERR_EXISTS; /* some reader holds it: only another process can */
    if (e != OK)
        return e;
    /* The database is complete: said before the WAL goes away. */
    w->marked = (struct mark){0};
    describe_database(w, &w->marked);
    e = mark_write(w->mark, &w->marked, true);
    return e == OK ? checkpoint(w, SQLITE_CHECKPOINT_TRUNCATE, is_new) : e;
}

enum err writer_empty_wal(struct writer *w)
{
    bool is_new;
    return empty_wal(w, &is_new);
}

/* What the open had no space for. ERR_NO_MEMORY: a reader was in the way, try again. */
static enum err empty_old_wal(struct writer *w)
{
    bool is_new = false;
    enum err e = empty_wal(w, &is_new);
    if (e == ERR_EXISTS || (e == OK && !is_new))
        return ERR_NO_MEMORY;
    if (e == OK)
        w->has_old_wal = false;
    return e;
}

/* What nobody waits for, after the job is answered: its mark, and a WAL that does not grow. */
static void tidy(struct writer *w)
{
    if (atomic_load(&w->is_halted))
        return;
    enum err e = pay_mark(w);
    if (e != OK) {
        halt(w, e);
        return;
    }
    if (w->wal_frames < WRITER_CHECKPOINT_FRAMES)
        return;
    bool is_complete;
    e = checkpoint(w, SQLITE_CHECKPOINT_PASSIVE, &is_complete);
    if (e == ERR_NO_SPACE) {
        folder_release_reserve(w->folder);
        set_full(w, true);
    } else if (e != OK && e != ERR_NO_MEMORY)
        halt(w, e);
}

/* --- one transaction -------------------------------------------------------------------------- */

static enum err write_entries(struct writer *w, struct tables_state *next,
                              const struct queued_write *q)
{
    enum err e = OK;
    if (q->entry_count > 0 && q->entries[0].index <= next->log_last) {
        e = tables_cut_log(&w->tables, q->entries[0].index);
        next->log_last = q->entries[0].index - 1;
        if (next->log_first > next->log_last + 1)
            next->log_first = next->log_last + 1;
    }
    for (size_t i = 0; i < q->entry_count && e == OK; i++) {
        e = tables_put_log(&w->tables, &q->entries[i]);
        next->log_last = q->entries[i].index;
    }
    if (q->has_hard_state)
        next->hard = q->hard_state;
    return e;
}

static enum err take_term(void *context, const struct log_entry *entry)
{
    *(uint64_t *)context = entry->term;
    return OK;
}

/* Never more than the tables have the effects of. The term of the last one to go is kept: what
 * follows it in the log is compared with it. */
static enum err drop_entries(struct writer *w, struct tables_state *next, uint64_t before)
{
    if (before > next->applied + 1)
        before = next->applied + 1;
    if (before > next->log_last + 1)
        before = next->log_last + 1;
    if (before <= next->log_first)
        return OK;
    enum err e =
        tables_read_log(&w->tables, before - 1, before - 1, take_term, &next->log_before_term);
    next->log_first = before;
    return e == OK ? tables_drop_log(&w->tables, before) : e;
}

static enum err write_all(struct writer *w, struct tables_state *next, const struct job *job)
{
    uint64_t truncate_before = 0;
    enum err e = OK;
    for (const struct queued_write *q = job->writes; q != NULL && e == OK; q = q->next) {
        e = write_entries(w, next, q);
        if (q->truncate_before > truncate_before)
            truncate_before = q->truncate_before;
    }
    if (e == OK && job->effects != NULL)
        e = overlay_write(job->effects, &w->tables, next);
    if (e == OK && job->effects != NULL && job->effects->has_configuration) {
        struct tables_membership us = {w->cluster_id, w->member_id, job->effects->configuration};
        e = tables_put_membership(&w->tables, next, &us);
    }
    if (e == OK)
        e = drop_entries(w, next, truncate_before);
    next->transaction++;
    if (e == OK)
        e = tables_put_state(&w->tables, next);
    return e == OK && job->vacuum ? tables_run(&w->tables, SQL_VACUUM) : e;
}

static enum err transact(struct writer *w, const struct job *job)
{
    struct tables_state next = w->state;
    w->tables.failure[0] = '\0';
    enum err e = tables_run(&w->tables, SQL_BEGIN);
    if (e == OK)
        e = write_all(w, &next, job);
    if (e == OK)
        e = tables_run(&w->tables, SQL_COMMIT);
    if (e == OK) {
        w->state = next;
        return OK;
    }
    if (sqlite3_get_autocommit(w->tables.db) == 0) {
        char failure[sizeof(w->tables.failure)];
        memcpy(failure, w->tables.failure, sizeof(failure));
        enum err ignored = tables_run(&w->tables, SQL_ROLLBACK);
        (void)ignored; /* what failed first is what counts */
        memcpy(w->tables.failure, failure, sizeof(failure));
    }
    return e;
}

enum err writer_put_identity(struct writer *w, const struct tables_membership *us,
                             const struct queued_write *first)
{
    struct tables *t = &w->tables;
    struct tables_state next = w->state;
    next.transaction++;
    enum err e = tables_run(t, SQL_BEGIN);
    if (e == OK)
        e = tables_put_membership(t, &next, us);
    if (e == OK)
        e = write_entries(w, &next, first);
    if (e == OK)
        e = tables_put_state(t, &next);
    if (e == OK)
        e = tables_run(t, SQL_COMMIT);
    if (e == OK) {
        w->state = next;
        w->cluster_id = us->cluster_id;
        w->member_id = us->member_id;
        return note_commit(w);
    }
    (void)sqlite3_exec(t->db, "ROLLBACK", NULL, NULL, NULL);
    return e;
}

static enum err attempt(struct writer *w, const struct job *job)
{
    if (w->has_old_wal) {
        enum err e = empty_old_wal(w);
        if (e != OK)
            return e;
    }
    if (!w->committed) {
        enum err e = transact(w, job);
        if (e != OK)
            return e;
        w->committed = true;
    }
    return note_commit(w);
}

/* Sleeps before the next attempt; false if there is to be none. */
static bool pause_for_retry(struct writer *w)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += WRITER_RETRY_MS * NS_PER_MS;
    until.tv_sec += until.tv_nsec / NS_PER_SEC;
    until.tv_nsec %= NS_PER_SEC;
    pthread_mutex_lock(&w->lock);
    while (!w->giving_up && pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0)
        ;
    bool go_on = !w->giving_up;
    pthread_mutex_unlock(&w->lock);
    return go_on;
}

/* The disk is full: gives back what we can. A new log, too, so that frames of the failed attempt
 * lie in no log that goes on (wal_scan would take them for damage). */
static enum err make_space(struct writer *w)
{
    folder_release_reserve(w->folder);
    set_full(w, true);
    bool is_complete;
    enum err e = checkpoint(w, SQLITE_CHECKPOINT_RESTART, &is_complete);
    return e == ERR_NO_SPACE || e == ERR_NO_MEMORY ? OK : e;
}

/* Tries until it succeeds, the disk breaks, or the journal closes. */
static enum err run_until_done(struct writer *w, struct job *job)
{
    for (unsigned attempts = 1;; attempts++) {
        int64_t started = now_ns();
        enum err e = attempt(w, job);
        job->seconds_ns = (uint64_t)(now_ns() - started);
        if (e == OK) {
            set_full(w, false);
            return OK;
        }
        if (e == ERR_NO_SPACE)
            e = make_space(w);
        else if (e == ERR_NO_MEMORY)
            e = OK;
        if (e != OK) {
            halt(w, e);
            return ERR_IO;
        }
        if (attempts > 1 && !pause_for_retry(w))
            return ERR_CLOSED;
    }
}

static void run_job(struct writer *w, struct job *job)
{
    w->committed = false;
    if (atomic_load(&w->is_halted)) {
        job->outcome = ERR_IO;
        return;
    }
    if (job->make_reserve) {
        enum err ignored = folder_make_reserve(w->folder);
        (void)ignored; /* it is tried again later */
    }
    job->outcome = run_until_done(w, job);
    job->has_free_pages = job->vacuum && job->outcome == OK && tables_has_free_pages(&w->tables);
}

/* --- the thread ------------------------------------------------------------------------------- */

static struct job *next_job(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    while (w->job == NULL && !w->stopping)
        pthread_cond_wait(&w->wake, &w->lock);
    struct job *job = w->job;
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *writer_main(void *argument)
{
    struct writer *w = argument;
    struct job *job;
    while ((job = next_job(w)) != NULL) {
        run_job(w, job);
        pthread_mutex_lock(&w->lock);
        w->job = NULL;
        w->finished = job;
        pthread_mutex_unlock(&w->lock);
        pthread_cond_signal(&w->done); /* unlocked: who wakes up does not meet the lock */
        (void)uv_async_send(w->wake_loop);
        tidy(w);
    }
    return NULL;
}

enum err writer_start(struct writer *w)
{
    (void)sqlite3_wal_hook(w->tables.db, after_commit, w);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, &attributes);
    pthread_cond_init(&w->done, &attributes);
    pthread_condattr_destroy(&attributes);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error_number = pthread_create(&w->thread, NULL, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error_number != 0)
        return ERR_LIMIT;
    (void)pthread_setname_np(w->thread, "journal");
    if (w->has_old_wal)
        set_full(w, true);
    return OK;
}

void writer_hurry(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->giving_up = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

void writer_stop(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->wake);
    pthread_cond_destroy(&w->done);
    pthread_mutex_destroy(&w->lock);
}

void writer_give(struct writer *w, struct job *job)
{
    pthread_mutex_lock(&w->lock);
    assert(w->job == NULL && w->finished == NULL);
    w->job = job;
    pthread_mutex_unlock(&w->lock);
    pthread_cond_signal(&w->wake); /* unlocked: who wakes up does not meet the lock */
}

struct job *writer_take(struct writer *w, bool wait)
{
    pthread_mutex_lock(&w->lock);
    while (wait && w->finished == NULL && w->job != NULL)
        pthread_cond_wait(&w->done, &w->lock);
    struct job *job = w->finished;
    w->finished = NULL;
    pthread_mutex_unlock(&w->lock);
    return job;
}
