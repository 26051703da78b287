/* What the journal adds to SQLite: per entry, against a bare loop that writes one log row and one
 * revision row of the same size per entry in one transaction. Both in turns, in one run.
 *
 * Usage: bench-journal FOLDER [SECONDS]; FOLDER on the disk to measure. */
#include "consensus/journal.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    VALUE_SIZE = 256,
    MAX_BATCH = 1000,
    ROUNDS = 5,
};

struct cost {
    double wall_s;
    double cpu_s;
    double entries;
};

static const size_t batches[] = {1, 10, 100, 1000};
static uint8_t value[VALUE_SIZE];
static const char key[] = "/registry/bench/key";

static void die(const char *what)
{
    (void)fprintf(stderr, "bench-journal: %s\n", what);
    exit(1);
}

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- the bare loop ---------------------------------------------------------------------------- */

struct bare {
    sqlite3 *db;
    sqlite3_stmt *begin, *commit, *log, *revision;
    int64_t next;
};

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(db));
    return s;
}

static void bare_open(struct bare *b, const char *folder)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/bare.db", folder);
    if (sqlite3_open(path, &b->db) != SQLITE_OK ||
        sqlite3_exec(b->db,
                     "PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL; "
                     "PRAGMA synchronous=FULL; "
                     "CREATE TABLE log (idx INTEGER PRIMARY KEY, term, type, data); "
                     "CREATE TABLE revisions (rev INTEGER PRIMARY KEY, key, value, created, "
                     "version, lease)",
                     NULL, NULL, NULL) != SQLITE_OK)
        die(sqlite3_errmsg(b->db));
    b->begin = prepare(b->db, "BEGIN IMMEDIATE");
    b->commit = prepare(b->db, "COMMIT");
    b->log = prepare(b->db, "INSERT INTO log VALUES (?,?,?,?)");
    b->revision = prepare(b->db, "INSERT INTO revisions VALUES (?,?,?,?,?,?)");
    b->next = 1;
}

static void step(struct bare *b, sqlite3_stmt *s)
{
    if (sqlite3_step(s) != SQLITE_DONE)
        die(sqlite3_errmsg(b->db));
    (void)sqlite3_reset(s);
}

static void bare_batch(struct bare *b, size_t count)
{
    step(b, b->begin);
    for (size_t i = 0; i < count; i++, b->next++) {
        sqlite3_bind_int64(b->log, 1, b->next);
        sqlite3_bind_int64(b->log, 2, 1);
        sqlite3_bind_int64(b->log, 3, 1);
        sqlite3_bind_blob(b->log, 4, value, VALUE_SIZE, SQLITE_STATIC);
        step(b, b->log);
        sqlite3_bind_int64(b->revision, 1, b->next << 24);
        sqlite3_bind_blob(b->revision, 2, key, sizeof(key) - 1, SQLITE_STATIC);
        sqlite3_bind_blob(b->revision, 3, value, VALUE_SIZE, SQLITE_STATIC);
        sqlite3_bind_int64(b->revision, 4, b->next);
        sqlite3_bind_int64(b->revision, 5, 1);
        sqlite3_bind_int64(b->revision, 6, 0);
        step(b, b->revision);
    }
    step(b, b->commit);
}

/* --- the journal ------------------------------------------------------------------------------ */

struct ours {
    uv_loop_t loop;
    struct journal *journal;
    uint64_t next;
    bool done;
};

static void ours_open(struct ours *o, const char *folder)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/warren", folder);
    struct journal_config config = {.data_dir = path, .loop = &o->loop};
    struct strbuf error = STRBUF_EMPTY;
    if (uv_loop_init(&o->loop) != 0 || journal_open(&o->journal, &config, &error) != OK)
        die(strbuf_str(&error));
    o->next = 1;
}

static void on_done(void *context, enum err outcome)
{
    if (outcome != OK)
        die(err_text(outcome));
    *(bool *)context = true;
}

static void stage(struct ours *o, uint64_t index)
{
    struct journal_effect effects[2] = {{.table = JOURNAL_REVISIONS}, {.table = JOURNAL_META}};
    effects[0].revision = (struct journal_revision){
        .main = (int64_t)index,
        .key = bytes_of(key, sizeof(key) - 1),
        .value = bytes_of(value, VALUE_SIZE),
        .create_revision = (int64_t)index,
        .version = 1,
    };
    effects[1].row.a = 1;
    effects[1].row.b = 0;
    effects[1].row.value = (int64_t)index;
    if (journal_stage(o->journal, index, effects, 2) != OK)
        die("stage");
}

/* The effects of one batch go with the next: as many rows per transaction as the bare loop. */
static void ours_batch(struct ours *o, size_t count)
{
    static struct log_entry entries[MAX_BATCH];
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct log_entry){o->next + i, 1, 1, bytes_of(value, VALUE_SIZE)};
    struct journal_write write = {.entries = entries, .entry_count = count};
    o->done = false;
    if (journal_submit(o->journal, &write, on_done, &o->done) != OK)
        die("submit");
    while (!o->done)
        (void)uv_run(&o->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < count; i++)
        stage(o, o->next++);
}

/* --- measuring -------------------------------------------------------------------------------- */

static struct cost measure(struct bare *b, struct ours *o, size_t batch, double duration)
{
    struct cost c = {0};
    double wall = seconds(CLOCK_MONOTONIC);
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    while (seconds(CLOCK_MONOTONIC) - wall < duration) {
        if (b != NULL)
            bare_batch(b, batch);
        else
            ours_batch(o, batch);
        c.entries += (double)batch;
    }
    c.wall_s = seconds(CLOCK_MONOTONIC) - wall;
    c.cpu_s = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return c;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(values[0]), compare);
    return values[ROUNDS / 2];
}

static void compare_batch(struct bare *b, struct ours *o, size_t batch, double duration)
{
    double wall[2][ROUNDS], cpu[2][ROUNDS], wall_ratio[ROUNDS], cpu_ratio[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        for (int who = 0; who < 2; who++) {
            struct cost c = measure(who == 0 ? b : NULL, o, batch, duration);
            wall[who][round] = c.wall_s / c.entries * 1e6;
            cpu[who][round] = c.cpu_s / c.entries * 1e6;
        }
        wall_ratio[round] = wall[1][round] / wall[0][round];
        cpu_ratio[round] = cpu[1][round] / cpu[0][round];
    }
    (void)printf("%5zu  %10.2f %10.2f  %5.2f   %9.2f %9.2f  %5.2f\n", batch, median(wall[0]),
                 median(wall[1]), median(wall_ratio), median(cpu[0]), median(cpu[1]),
                 median(cpu_ratio));
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        die("usage: bench-journal FOLDER [SECONDS]");
    double duration = argc > 2 ? atof(argv[2]) : 1.0;
    memset(value, 'v', sizeof(value));
    static struct bare b;
    static struct ours o;
    bare_open(&b, argv[1]);
    ours_open(&o, argv[1]);
    (void)printf("batch  us/entry: bare, journal, ratio   CPU us: bare, journal, ratio\n");
    for (size_t i = 0; i < ARRAY_COUNT(batches); i++)
        compare_batch(&b, &o, batches[i], duration / ROUNDS);
    journal_close(o.journal);
    (void)uv_run(&o.loop, UV_RUN_DEFAULT);
    sqlite3_finalize(b.begin);
    sqlite3_finalize(b.commit);
    sqlite3_finalize(b.log);
    sqlite3_finalize(b.revision);
    (void)sqlite3_close(b.db);
    return 0;
}
