/* The floor under a durable put: one transaction a time of one log row and one revision row, by
 * SQLite as the journal uses it (WAL, synchronous=FULL, pages of 4096 bytes). Prints one JSON
 * object. */
#include "../dns/stats.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define VALUE_SIZE 256

static void die(sqlite3 *db, const char *what)
{
    (void)fprintf(stderr, "bench-api-sqlite: %s: %s\n", what, sqlite3_errmsg(db));
    exit(1);
}

static void execute(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        die(db, sql);
}

static sqlite3_stmt *prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        die(db, sql);
    return statement;
}

static void step(sqlite3 *db, sqlite3_stmt *statement)
{
    if (sqlite3_step(statement) != SQLITE_DONE || sqlite3_reset(statement) != SQLITE_OK)
        die(db, sqlite3_sql(statement));
}

static uint64_t cpu_ns(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

int main(int argc, char **argv)
{
    static struct stats stats;
    sqlite3 *db;
    if (argc != 3) {
        (void)fputs("Usage: bench-api-sqlite FILE SECONDS\n", stderr);
        return 2;
    }
    if (sqlite3_open(argv[1], &db) != SQLITE_OK)
        die(db, argv[1]);
    execute(db, "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA journal_mode=WAL;"
                "PRAGMA synchronous=FULL; PRAGMA locking_mode=EXCLUSIVE;"
                "CREATE TABLE log (id INTEGER PRIMARY KEY, data BLOB) STRICT;"
                "CREATE TABLE revision (main INTEGER, sub INTEGER, key BLOB, data BLOB,"
                " PRIMARY KEY (main, sub)) STRICT, WITHOUT ROWID;");
    sqlite3_stmt *begin = prepare(db, "BEGIN IMMEDIATE"), *commit = prepare(db, "COMMIT");
    sqlite3_stmt *log = prepare(db, "INSERT INTO log VALUES (?, ?)");
    sqlite3_stmt *revision = prepare(db, "INSERT INTO revision VALUES (?, 0, ?, ?)");
    uint8_t value[VALUE_SIZE];
    char key[32];
    uint64_t state = 88172645463325252u, cpu = cpu_ns(), began = now_ns();
    uint64_t until = began + (uint64_t)(strtod(argv[2], NULL) * 1e9), now = began;
    for (int64_t i = 1; now < until; i++) {
        for (size_t at = 0; at < sizeof value; at += sizeof state) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            memcpy(value + at, &state, sizeof state);
        }
        int key_size = snprintf(key, sizeof key, "bench/%08" PRId64, i % 1000);
        uint64_t one = now_ns();
        step(db, begin);
        (void)sqlite3_bind_int64(log, 1, i);
        (void)sqlite3_bind_blob(log, 2, value, sizeof value, SQLITE_STATIC);
        step(db, log);
        (void)sqlite3_bind_int64(revision, 1, i);
        (void)sqlite3_bind_blob(revision, 2, key, key_size, SQLITE_STATIC);
        (void)sqlite3_bind_blob(revision, 3, value, sizeof value, SQLITE_STATIC);
        step(db, revision);
        step(db, commit);
        now = now_ns();
        stats_latency(&stats, now - one);
    }
    cpu = cpu_ns() - cpu;
    printf("{\"ops\":%" PRIu64 ",\"rate\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_us\":%.2f}\n",
           stats.measured, (double)stats.measured / ((double)(now - began) / 1e9),
           (double)stats_percentile(&stats, 50) / 1e3, (double)stats_percentile(&stats, 99) / 1e3,
           (double)cpu / 1e3 / (double)stats.measured);
    (void)sqlite3_finalize(begin), (void)sqlite3_finalize(commit);
    (void)sqlite3_finalize(log), (void)sqlite3_finalize(revision);
    return sqlite3_close(db) == SQLITE_OK ? 0 : 1;
}
