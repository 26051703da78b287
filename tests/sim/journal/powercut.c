/* A power cut behind each write of a scripted workload, and behind random writes of random ones:
 * the journal opens, each entry that was reported durable is there, none is that was not
 * submitted, the tables are the model's, and it goes on from there. */
#include "tests/sim/journal/workload.h"
#include "tests/support/fault_vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    SCRIPT_BATCHES = 60,
    TEARS = 3, /* of each cut: a transaction's frames are one write */
    RANDOM_WORKLOADS = 4,
    RANDOM_CUTS = 60,
    GOES_ON_EVERY = 5, /* images that are written to, too */
};

static void open_image(struct fixture *f, size_t count, enum fault_cut cut)
{
    enum err e = fixture_open(f);
    if (e != OK)
        print_error("behind operation %zu, cut %d: %s", count, (int)cut, strbuf_str(&f->error));
    assert_int_equal(e, OK);
}

static void cut_behind(size_t count, enum fault_cut cut, uint64_t seed, size_t growth)
{
    struct fixture f;
    workload_fixture(&f);
    fault_vfs_image(f.dir, count, cut, seed);
    uint64_t durable = fault_vfs_last_note(count, NOTE_DURABLE);
    uint64_t submitted = fault_vfs_last_note(count, NOTE_SUBMITTED);
    open_image(&f, count, cut);
    workload_verify(&f, durable, submitted, growth);
    if (count % GOES_ON_EVERY == 0) {
        struct journal_start start;
        journal_start(f.journal, &start);
        workload_stage(&f, start.applied_index + 1, start.last_index, growth);
        workload_run(&f, start.last_index + 1, start.last_index + 3, growth, 0);
        fixture_close(&f);
        open_image(&f, count, cut);
        workload_verify(&f, start.last_index + 3, start.last_index + 3, growth);
    }
    fixture_fini(&f);
}

static void open_recorded(struct fixture *f)
{
    f->vfs = FAULT_VFS;
    enum err e = fixture_open(f);
    if (e != OK)
        print_error("%s", strbuf_str(&f->error));
    assert_int_equal(e, OK);
}

static void flush(struct fixture *f)
{
    struct journal_stats before, now;
    journal_stats(f->journal, &before);
    do {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
        journal_stats(f->journal, &now);
    } while (now.commits == before.commits);
}

/* Three runs with a clean end each: creation, log, effects, truncation, vacuum, idle flushes. */
static void record_script(struct fixture *f)
{
    uint64_t next = 1;
    open_recorded(f);
    assert_int_equal(journal_set_identity(f->journal, 3, 4, &f->error), OK);
    for (uint64_t batch = 0; batch < SCRIPT_BATCHES; batch++) {
        uint64_t last = next + batch % 4;
        workload_run(f, next, last, 0, batch % 6 == 5 ? last - 8 : 0);
        next = last + 1;
        if (batch % 9 == 8)
            flush(f);
        if (batch % 10 == 9)
            journal_vacuum(f->journal);
        if (batch % 15 == 14) {
            fixture_close(f);
            open_recorded(f);
        }
    }
    fixture_close(f);
}

static void after_each_write_of_a_script(void **state)
{
    (void)state;
    struct fixture f;
    workload_fixture(&f);
    fault_vfs_reset();
    record_script(&f);
    size_t count = fault_vfs_count();
    assert_true(count > 500);
    print_message("%zu operations\n", count);
    /* What continues an image notes more: those do not belong to its prefix. */
    for (size_t i = 0; i <= count; i++) {
        cut_behind(i, CUT_KEEPS_NOTHING, 0, 0);
        cut_behind(i, CUT_KEEPS_ALL, 0, 0);
        for (uint64_t k = 0; k < TEARS; k++)
            cut_behind(i, CUT_TEARS, i * TEARS + k, 0);
    }
    fixture_fini(&f);
}

static uint64_t pick(uint64_t *seed, uint64_t below)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (*seed >> 33) % below;
}

/* Big enough that the WAL is copied into the database and begun anew within a run. */
static void record_random(struct fixture *f, uint64_t seed, size_t growth)
{
    uint64_t next = 1;
    open_recorded(f);
    while (next < 260) {
        uint64_t last = next + pick(&seed, 12);
        workload_run(f, next, last, growth, pick(&seed, 4) == 0 && last > 20 ? last - 20 : 0);
        next = last + 1;
        if (pick(&seed, 8) == 0)
            flush(f);
        if (pick(&seed, 10) == 0)
            journal_vacuum(f->journal);
        if (pick(&seed, 25) == 0) {
            fixture_close(f);
            open_recorded(f);
        }
    }
    fixture_close(f);
}

static void after_random_writes_of_random_workloads(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= RANDOM_WORKLOADS; seed++) {
        struct fixture f;
        workload_fixture(&f);
        fault_vfs_reset();
        size_t growth = 13000;
        record_random(&f, seed, growth);
        size_t count = fault_vfs_count();
        uint64_t random = seed;
        for (int i = 0; i < RANDOM_CUTS; i++)
            cut_behind((size_t)pick(&random, count + 1), CUT_TEARS, random, growth);
        fixture_fini(&f);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test of them */
    fault_vfs_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_each_write_of_a_script),
        cmocka_unit_test(after_random_writes_of_random_workloads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fault_vfs_reset();
    return failed;
}
