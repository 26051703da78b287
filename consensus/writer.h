/* The thread that owns the writing connection. It is given one job at a time: one transaction. */
#ifndef WARREN_CONSENSUS_WRITER_H
#define WARREN_CONSENSUS_WRITER_H

#include "consensus/journal.h"
#include "folder.h"
#include "mark.h"
#include "overlay.h"
#include "tables.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

enum {
    WRITER_CHECKPOINT_FRAMES = 1000, /* 4 MiB: more makes no commit faster, and pauses longer */
    WRITER_RETRY_MS = 250,           /* between two attempts on a full disk */
};

/* A journal_submit on its way. */
struct queued_write {
    struct queued_write *next;
    journal_done_fn *done;
    void *context;
    struct hard_state hard_state;
    bool has_hard_state;
    uint64_t truncate_before;
    size_t entry_count;
    struct log_entry entries[]; /* data borrowed */
};

struct job {
    const struct overlay *effects;
    const struct queued_write *writes;
    bool vacuum;
    bool make_reserve;
    /* The result. */
    enum err outcome;    /* OK, ERR_IO: halted, ERR_CLOSED: stopped before it succeeded */
    uint64_t seconds_ns; /* of the attempt that succeeded */
    bool has_free_pages; /* behind a vacuum: there is more to do */
};

struct writer {
    const struct folder *folder;
    uv_async_t *wake_loop; /* sent when a job is finished and when the health changed */
    /* Of the thread while it runs. */
    struct tables tables;
    struct tables_state state; /* as it is durable */
    uint64_t cluster_id;       /* both 0: not named yet */
    uint64_t member_id;
    struct mark_file *mark;
    struct mark marked;
    uint64_t wal_frames; /* after the last commit */
    bool knows_salts;    /* `marked` has those of the WAL: no checkpoint let it begin anew since */
    bool has_old_wal;    /* there was no space to empty the last run's: before all else */
    bool committed;      /* the running job's transaction is; its mark may not be */
    bool owes_mark;      /* it is written once the job is answered */

    atomic_bool is_full;
    atomic_bool is_halted;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;  /* the thread: a job, or stopping */
    pthread_cond_t done;  /* the loop, in a blocking close */
    struct job *job;
    struct job *finished;
    bool stopping;
    bool giving_up; /* a job that the disk has no space for is not retried for long */
    char failure[300];
};

/* TABLES (open for writing), STATE, MARK and the ids are taken. */
enum err writer_start(struct writer *w) MUST_CHECK;
/* From now on a job on a full disk ends with ERR_CLOSED. */
void writer_hurry(struct writer *w);
/* Joins the thread, which has no job. Tables and mark stay open. */
void writer_stop(struct writer *w);
/* One job at a time: the last one was taken with writer_take. */
void writer_give(struct writer *w, struct job *job);
/* The finished job, or NULL. WAIT: until there is one. */
struct job *writer_take(struct writer *w, bool wait);
/* A copy of the line that says what went wrong. */
void writer_failure(struct writer *w, char *out, size_t size);

/* While the thread has no job: who we are and what the log begins with, durable on return. */
enum err writer_put_identity(struct writer *w, const struct tables_membership *us,
                             const struct queued_write *first) MUST_CHECK;

/* Copies the WAL into the database and starts a new one: at the open, before the thread runs, and
 * at the close, behind it. ERR_NO_SPACE at the open: with `has_old_wal` set, the thread does it
 * later, and the journal is full until then. */
enum err writer_empty_wal(struct writer *w) MUST_CHECK;

#endif
