/* A disk that is full, and one that fails: each write of a workload in turn. */
#include "tests/sim/journal/workload.h"
#include "tests/support/fault_vfs.h"

#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    FAULT_POINTS = 60,
    BATCH = 5,
};

static void open_faulty(struct fixture *f)
{
    f->vfs = FAULT_VFS;
    enum err e = fixture_open(f);
    if (e != OK)
        print_error("%s", strbuf_str(&f->error));
    assert_int_equal(e, OK);
}

struct outcome {
    bool done;
    enum err e;
};

static void on_done(void *context, enum err e)
{
    struct outcome *o = context;
    o->done = true;
    o->e = e;
}

/* As workload_run, but the outcome is the caller's to judge; no effects. */
static enum err submit(struct fixture *f, uint64_t first, struct outcome *o)
{
    static struct log_entry entries[BATCH];
    static const uint8_t data[2000] = {1};
    for (uint64_t i = 0; i < BATCH; i++)
        entries[i] = (struct log_entry){first + i, 1, 1, bytes_of(data, sizeof(data))};
    *o = (struct outcome){0};
    struct journal_write write = {.entries = entries, .entry_count = BATCH};
    return journal_submit(f->journal, &write, on_done, o);
}

/* --- input/output errors ---------------------------------------------------------------------- */

/* Whatever was reported durable is; the rest may be. */
static void reopen_well(struct fixture *f, uint64_t durable)
{
    fault_vfs_heal();
    fixture_close(f);
    open_faulty(f);
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_true(start.last_index >= durable);
    assert_int_equal(journal_health(f->journal), JOURNAL_OK);
}

static void fail_at(size_t at, bool sync_only)
{
    struct fixture f;
    workload_fixture(&f);
    fault_vfs_reset();
    open_faulty(&f);
    workload_run(&f, 1, 3, 0, 0);
    fault_vfs_fail_at(at, sync_only);
    uint64_t durable = 3;
    enum err e = OK;
    for (uint64_t next = 4; e == OK && next < 300; next += BATCH) {
        struct outcome o;
        e = submit(&f, next, &o);
        if (e == OK) {
            fixture_run_until(&f, &o.done);
            e = o.e;
        }
        if (e == OK)
            durable = next + BATCH - 1;
    }
    assert_int_equal(e, ERR_IO);
    assert_int_equal(journal_health(f.journal), JOURNAL_HALTED);
    assert_non_null(strstr(journal_failure(f.journal), "until a restart"));
    /* Halted for good, though the disk works again; reads go on, of the overlay, too. */
    struct outcome o;
    assert_int_equal(submit(&f, durable + 1, &o), ERR_IO);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct journal_revision r;
    assert_int_equal(journal_read_revision(f.journal, 2, 0, &arena, &r), OK);
    assert_int_equal(r.main, 2);
    arena_fini(&arena);
    reopen_well(&f, durable);
    fixture_fini(&f);
}

static void one_failed_write_halts(void **state)
{
    (void)state;
    for (size_t at = 0; at < FAULT_POINTS; at++)
        fail_at(at, false);
}

static void one_failed_sync_halts(void **state)
{
    (void)state;
    for (size_t at = 0; at < 8; at++)
        fail_at(at, true);
}

static void on_health(void *context, enum journal_health health)
{
    *(enum journal_health *)context = health;
}

static void every_write_on_its_way_hears_of_the_failure(void **state)
{
    (void)state;
    struct fixture f;
    workload_fixture(&f);
    open_faulty(&f);
    enum journal_health told = JOURNAL_OK;
    journal_on_health(f.journal, on_health, &told);
    fault_vfs_fail_at(0, true);
    struct outcome o[3];
    for (uint64_t i = 0; i < ARRAY_COUNT(o); i++)
        assert_int_equal(submit(&f, 1 + i * BATCH, &o[i]), OK);
    for (size_t i = 0; i < ARRAY_COUNT(o); i++) {
        fixture_run_until(&f, &o[i].done);
        assert_int_equal(o[i].e, ERR_IO);
    }
    assert_int_equal(told, JOURNAL_HALTED);
    fault_vfs_heal();
    fixture_fini(&f);
}

/* --- a full disk ------------------------------------------------------------------------------ */

static void wait_for_health(struct fixture *f, enum journal_health wanted)
{
    for (int i = 0; i < 2000 && journal_health(f->journal) != wanted; i++) {
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
        (void)usleep(1000);
    }
    assert_int_equal(journal_health(f->journal), wanted);
}

static void fill_at(size_t space)
{
    struct fixture f;
    workload_fixture(&f);
    fault_vfs_reset();
    open_faulty(&f);
    workload_run(&f, 1, 3, 0, 0);
    fault_vfs_full_after(space);
    struct outcome o = {.done = true};
    uint64_t next = 4;
    while (journal_health(f.journal) != JOURNAL_FULL) {
        assert_int_equal(submit(&f, next, &o), OK);
        next += BATCH;
        while (!o.done && journal_health(f.journal) != JOURNAL_FULL)
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        assert_true(next < 500);
    }
    assert_false(o.done); /* not acknowledged, not refused: kept */
    assert_int_equal(access(fixture_path(&f, "reserve"), F_OK), -1);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct journal_revision r;
    assert_int_equal(journal_read_revision(f.journal, 2, 0, &arena, &r), OK);
    arena_fini(&arena);
    fault_vfs_heal();
    fixture_run_until(&f, &o.done);
    assert_int_equal(o.e, OK);
    wait_for_health(&f, JOURNAL_OK);
    fixture_close(&f);
    open_faulty(&f);
    struct journal_start start;
    journal_start(f.journal, &start);
    assert_int_equal(start.last_index, next - 1);
    assert_int_equal(access(fixture_path(&f, "reserve"), F_OK), 0);
    fixture_fini(&f);
}

static void a_full_disk_keeps_what_is_not_durable(void **state)
{
    (void)state;
    static const size_t spaces[] = {0, 1, 24, 4096, 5000, 20000, 50000};
    for (size_t i = 0; i < ARRAY_COUNT(spaces); i++)
        fill_at(spaces[i]);
}

static void closing_on_a_full_disk_says_so(void **state)
{
    (void)state;
    struct fixture f;
    workload_fixture(&f);
    fault_vfs_reset();
    open_faulty(&f);
    workload_run(&f, 1, 3, 0, 0);
    fault_vfs_full_after(0);
    struct outcome o;
    assert_int_equal(submit(&f, 4, &o), OK);
    fixture_close(&f);
    assert_true(o.done);
    assert_int_equal(o.e, ERR_CLOSED);
    fault_vfs_heal();
    open_faulty(&f);
    workload_verify(&f, 3, 3, 0);
    fixture_fini(&f);
}

static bool reads_history(struct fixture *f)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct journal_revision r;
    enum err e = journal_read_revision(f->journal, 2, 0, &arena, &r);
    arena_fini(&arena);
    return e == OK && r.main == 2;
}

/* The last run's WAL cannot be copied into the database: all of it is read from where it is. */
static void a_start_on_a_full_disk_reads_and_waits_for_space(void **state)
{
    (void)state;
    struct fixture f;
    workload_fixture(&f);
    fault_vfs_reset();
    open_faulty(&f);
    workload_run(&f, 1, 30, 0, 0);
    workload_run(&f, 31, 31, 0, 0); /* carries the effects of those before */
    fault_vfs_full_after(0);
    for (int i = 0; i < 2; i++) {
        fixture_close(&f);
        assert_true(access(fixture_path(&f, "warren.db-wal"), F_OK) == 0);
        open_faulty(&f);
        assert_int_equal(journal_health(f.journal), JOURNAL_FULL);
        assert_non_null(strstr(journal_failure(f.journal), "the disk is full"));
        assert_true(reads_history(&f));
    }
    struct journal_start start;
    journal_start(f.journal, &start);
    assert_int_equal(start.last_index, 31);
    struct outcome o;
    assert_int_equal(submit(&f, 32, &o), OK);
    for (int i = 0; i < 20; i++) {
        (void)uv_run(&f.loop, UV_RUN_NOWAIT);
        (void)usleep(10000);
        assert_true(reads_history(&f));
    }
    assert_false(o.done);
    fault_vfs_heal();
    fixture_run_until(&f, &o.done);
    assert_int_equal(o.e, OK);
    wait_for_health(&f, JOURNAL_OK);
    fixture_close(&f);
    open_faulty(&f);
    journal_start(f.journal, &start);
    assert_int_equal(start.last_index, 31 + BATCH);
    assert_true(reads_history(&f));
    fixture_fini(&f);
}

static void little_free_space_is_told(void **state)
{
    (void)state;
    struct fixture f;
    workload_fixture(&f);
    f.free_space_floor = UINT64_MAX;
    open_faulty(&f);
    assert_int_equal(journal_health(f.journal), JOURNAL_LOW);
    assert_non_null(strstr(journal_failure(f.journal), f.dir));
    workload_run(&f, 1, 3, 0, 0); /* the owner refuses clients, not the journal */
    fixture_fini(&f);
}

/* --- a real file system ----------------------------------------------------------------------- */

static void hog(const char *path, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    assert_true(fd >= 0);
    static const char zeros[4096];
    for (size_t done = 0; done < size; done += sizeof(zeros))
        if (write(fd, zeros, sizeof(zeros)) != (ssize_t)sizeof(zeros))
            break;
    close(fd);
}

/* A small file system over the fixture's folder; skips the test where none can be made. */
static void mount_small(struct fixture *f, const char *options)
{
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("warren", f->dir, "tmpfs", 0, options) == 0)
        return;
    fixture_fini(f);
    print_message("needs root for a file system of its own\n");
    skip();
}

static uint64_t free_space(const struct fixture *f)
{
    struct statvfs s;
    assert_int_equal(statvfs(f->dir, &s), 0);
    return (uint64_t)s.f_bavail * s.f_frsize;
}

/* Faster than the second in which it is looked at anyway. */
static void free_space_is_looked_at_as_it_is_used(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char dir[sizeof(f.dir)];
    memcpy(dir, f.dir, sizeof(dir));
    mount_small(&f, "size=32m");
    f.free_space_floor = 20 << 20;
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(journal_health(f.journal), JOURNAL_OK);
    uint64_t next = 1;
    for (; next < 4000 && journal_health(f.journal) == JOURNAL_OK; next += BATCH) {
        struct outcome o;
        assert_int_equal(submit(&f, next, &o), OK);
        fixture_run_until(&f, &o.done);
        assert_int_equal(o.e, OK);
    }
    assert_int_equal(journal_health(f.journal), JOURNAL_LOW);
    assert_true(free_space(&f) > f.free_space_floor / 2);
    fixture_close(&f);
    assert_int_equal(umount(dir), 0);
    fixture_fini(&f);
}

static void a_full_tmpfs(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    char dir[sizeof(f.dir)];
    memcpy(dir, f.dir, sizeof(dir));
    mount_small(&f, "size=12m");
    assert_int_equal(fixture_open(&f), OK);
    workload_run(&f, 1, 20, 0, 0);
    hog(fixture_path(&f, "hog"), SIZE_MAX / 2);
    struct outcome o = {.done = true};
    uint64_t next = 21;
    bool was_full = false;
    for (int i = 0; i < 3000 && !was_full; i++) {
        assert_int_equal(submit(&f, next, &o), OK);
        next += BATCH;
        while (!o.done && journal_health(f.journal) != JOURNAL_FULL)
            (void)uv_run(&f.loop, UV_RUN_ONCE);
        /* The reserve helps at first: wait for the disk that is full for good. */
        if (!o.done)
            for (int k = 0; k < 100 && !o.done; k++) {
                (void)uv_run(&f.loop, UV_RUN_NOWAIT);
                (void)usleep(10000);
            }
        was_full = !o.done;
        assert_int_not_equal(journal_health(f.journal), JOURNAL_HALTED);
    }
    assert_true(was_full);
    assert_int_equal(unlink(fixture_path(&f, "hog")), 0);
    fixture_run_until(&f, &o.done);
    assert_int_equal(o.e, OK);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    struct journal_start start;
    journal_start(f.journal, &start);
    assert_int_equal(start.last_index, next - 1);
    fixture_close(&f);
    assert_int_equal(umount(dir), 0);
    fixture_fini(&f);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test of them */
    fault_vfs_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_failed_write_halts),
        cmocka_unit_test(one_failed_sync_halts),
        cmocka_unit_test(every_write_on_its_way_hears_of_the_failure),
        cmocka_unit_test(a_full_disk_keeps_what_is_not_durable),
        cmocka_unit_test(closing_on_a_full_disk_says_so),
        cmocka_unit_test(a_start_on_a_full_disk_reads_and_waits_for_space),
        cmocka_unit_test(little_free_space_is_told),
        cmocka_unit_test(free_space_is_looked_at_as_it_is_used),
        cmocka_unit_test(a_full_tmpfs),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fault_vfs_reset();
    return failed;
}
