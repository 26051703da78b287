#include "consensus/journal.h"

#include "tests/unit/consensus/fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int set_up(void **state)
{
    static struct fixture f;
    fixture_init(&f);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_fini(*state);
    return 0;
}

static void open_well(struct fixture *f)
{
    enum err e = fixture_open(f);
    if (e != OK)
        print_error("%s", strbuf_str(&f->error));
    assert_int_equal(e, OK);
}

/* --- the log ---------------------------------------------------------------------------------- */

static void a_new_journal_is_empty(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_true(start.is_new);
    assert_int_equal(start.first_index, 1);
    assert_int_equal(start.last_index, 0);
    assert_int_equal(start.applied_index, 0);
    assert_int_equal(start.hard_state.term, 0);
}

static void identity_is_given_once(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(journal_set_identity(f->journal, 7, UINT64_MAX, &f->error), OK);
    fixture_close(f);
    open_well(f);
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_false(start.is_new);
    assert_int_equal(start.cluster_id, 7);
    assert_true(start.member_id == UINT64_MAX);
    assert_int_equal(journal_set_identity(f->journal, 8, UINT64_MAX, &f->error), ERR_EXISTS);
}

static enum err check_entry(void *context, const struct log_entry *entry)
{
    uint64_t *next = context;
    assert_int_equal(entry->index, (*next)++);
    assert_int_equal(entry->data.size, 100);
    return OK;
}

static void entries_are_there_after_a_restart(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 10, 100), OK);
    assert_int_equal(fixture_append(f, 11, 2000, 100), OK);
    fixture_close(f);
    open_well(f);
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_int_equal(start.last_index, 2010);
    assert_int_equal(start.last_term, 1);
    uint64_t next = 1;
    assert_int_equal(journal_read_log(f->journal, 1, 2010, check_entry, &next), OK);
    assert_int_equal(next, 2011);
}

static void a_conflicting_suffix_is_replaced(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 10, 100), OK);
    assert_int_equal(fixture_append(f, 5, 2, 100), OK);
    fixture_close(f);
    open_well(f);
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_int_equal(start.last_index, 6);
}

static void on_done(void *context, enum err outcome)
{
    *(bool *)context = outcome == OK;
}

static void submit_and_wait(struct fixture *f, const struct journal_write *write)
{
    bool done = false;
    assert_int_equal(journal_submit(f->journal, write, on_done, &done), OK);
    fixture_run_until(f, &done);
}

static void the_log_is_cut_only_where_its_effects_are_in_tables(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 100, 100), OK);
    assert_int_equal(journal_stage(f->journal, 40, NULL, 0), OK);
    struct hard_state hard = {.term = 3, .vote = 9, .commit = 100};
    submit_and_wait(f, &(struct journal_write){.truncate_before = 90, .hard_state = &hard});
    fixture_close(f);
    open_well(f);
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_int_equal(start.first_index, 41);
    assert_int_equal(start.last_index, 100);
    assert_int_equal(start.applied_index, 40);
    assert_int_equal(start.hard_state.term, 3);
    assert_int_equal(start.hard_state.vote, 9);
}

/* --- effects ---------------------------------------------------------------------------------- */

static void stage_revisions(struct fixture *f, int64_t from, int64_t to)
{
    for (int64_t main = from; main <= to; main++) {
        struct journal_effect e = fixture_put(main, 0, 300);
        assert_int_equal(journal_stage(f->journal, (uint64_t)main, &e, 1), OK);
    }
}

static bool count_revision(void *context, const struct journal_revision *r)
{
    int64_t *next = context;
    assert_int_equal(r->main, (*next)++);
    struct journal_effect e = fixture_put(r->main, r->sub, 300);
    assert_true(bytes_equal(r->key, e.revision.key));
    assert_true(bytes_equal(r->value, e.revision.value));
    return true;
}

static void scan_all(struct fixture *f, int64_t from, int64_t to)
{
    int64_t next = from;
    assert_int_equal(journal_scan_revisions(f->journal, from, to, count_revision, &next), OK);
    assert_int_equal(next, to + 1);
}

static void history_is_the_same_before_while_and_after_it_reaches_the_table(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 300, 10), OK);
    stage_revisions(f, 1, 100);
    scan_all(f, 1, 100);
    bool done = false;
    assert_int_equal(journal_submit(f->journal, &(struct journal_write){0}, on_done, &done), OK);
    (void)uv_run(&f->loop, UV_RUN_NOWAIT); /* now a transaction has the first hundred */
    stage_revisions(f, 101, 200);
    scan_all(f, 1, 200);
    fixture_run_until(f, &done);
    scan_all(f, 1, 200);
    scan_all(f, 50, 150);
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct journal_revision r;
    assert_int_equal(journal_read_revision(f->journal, 77, 0, &arena, &r), OK);
    assert_int_equal(r.main, 77);
    assert_int_equal(journal_read_revision(f->journal, 177, 0, &arena, &r), OK);
    assert_int_equal(journal_read_revision(f->journal, 77, 1, &arena, &r), ERR_NOT_FOUND);
    assert_int_equal(journal_read_revision(f->journal, -1, 0, &arena, &r), ERR_NOT_FOUND);
    arena_fini(&arena);
    fixture_close(f);
    open_well(f);
    scan_all(f, 1, 200);
}

struct counts {
    int64_t rows[JOURNAL_REVISIONS + 1];
    int64_t meta;
    int64_t ttl;
};

static enum err count_row(void *context, const struct journal_effect *row)
{
    struct counts *c = context;
    c->rows[row->table]++;
    if (row->table == JOURNAL_META)
        c->meta = row->row.value;
    if (row->table == JOURNAL_LEASES)
        c->ttl = row->row.value;
    return OK;
}

static struct journal_effect row_of(enum journal_table table, int64_t a, int64_t b, int64_t value,
                                    bool is_removal)
{
    struct journal_effect e = {.table = table, .is_removal = is_removal};
    e.row.a = a;
    e.row.b = b;
    e.row.value = value;
    return e;
}

static void rows_are_put_replaced_and_removed(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 5, 10), OK);
    const struct journal_effect effects[] = {
        row_of(JOURNAL_META, 1, 0, 41, false),
        row_of(JOURNAL_META, 1, 0, 42, false),
        row_of(JOURNAL_LEASES, -5, 0, 60, false),
        row_of(JOURNAL_LEASES, 6, 0, 60, false),
        row_of(JOURNAL_LEASES, 6, 0, 0, true),
        row_of(JOURNAL_LEASES, -5, 0, 90, false),
        row_of(JOURNAL_ALARMS, 1, 1, 0, false),
        row_of(JOURNAL_ALARMS, 1, 2, 0, false),
        row_of(JOURNAL_ALARMS, 1, 1, 0, true),
        row_of(JOURNAL_LEASES, 99, 0, 0, true),
        fixture_put(2, 0, 10),
        fixture_put(2, 1, 0),
    };
    assert_int_equal(journal_stage(f->journal, 1, effects, ARRAY_COUNT(effects)), OK);
    struct journal_effect gone = fixture_put(2, 0, 0);
    gone.is_removal = true;
    assert_int_equal(journal_stage(f->journal, 2, &gone, 1), OK);
    fixture_close(f);
    open_well(f);
    struct counts c = {0};
    assert_int_equal(journal_load(f->journal, count_row, &c, &f->error), OK);
    assert_int_equal(c.rows[JOURNAL_META], 1);
    assert_int_equal(c.meta, 42);
    assert_int_equal(c.rows[JOURNAL_LEASES], 1);
    assert_int_equal(c.ttl, 90);
    assert_int_equal(c.rows[JOURNAL_ALARMS], 1);
    assert_int_equal(c.rows[JOURNAL_REVISIONS], 1);
}

static void what_no_table_has_a_place_for_is_refused(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    const struct journal_effect effects[] = {
        row_of(JOURNAL_META, 0, 0, 1, false),
        row_of(JOURNAL_META, 9, 0, 1, false),
        row_of(JOURNAL_LEASES, 1, 1, 1, false),
        row_of(JOURNAL_ALARMS, 1, 1, 1, false),
        fixture_put(-1, 0, 1),
        fixture_put(1, 1 << 24, 1),
        fixture_put(INT64_MAX, 0, 1),
    };
    for (size_t i = 0; i < ARRAY_COUNT(effects); i++)
        assert_int_equal(journal_stage(f->journal, 1, &effects[i], 1), ERR_INVALID);
}

static void an_idle_journal_flushes_its_overlay(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 1, 10), OK);
    stage_revisions(f, 1, 1);
    struct journal_stats stats;
    uint64_t started = uv_hrtime();
    do {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
        journal_stats(f->journal, &stats);
    } while (stats.commits < 2);
    assert_true(uv_hrtime() - started < UINT64_C(5000000000));
    assert_int_equal(stats.committed_entries, 1);
}

static void vacuum_goes_on_until_nothing_is_free(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    assert_int_equal(fixture_append(f, 1, 1, 10), OK);
    for (int64_t main = 1; main <= 2000; main++) {
        struct journal_effect e = fixture_put(main, 0, 3000);
        assert_int_equal(journal_stage(f->journal, 1, &e, 1), OK);
    }
    submit_and_wait(f, &(struct journal_write){0});
    for (int64_t main = 1; main <= 2000; main++) {
        struct journal_effect e = fixture_put(main, 0, 0);
        e.is_removal = true;
        assert_int_equal(journal_stage(f->journal, 1, &e, 1), OK);
    }
    submit_and_wait(f, &(struct journal_write){0});
    journal_vacuum(f->journal);
    struct journal_stats stats;
    uint64_t started = uv_hrtime();
    do {
        (void)uv_run(&f->loop, UV_RUN_ONCE);
        journal_stats(f->journal, &stats);
    } while (stats.commits < 12 && uv_hrtime() - started < UINT64_C(5000000000));
    fixture_close(f);
    struct stat st;
    assert_int_equal(stat(fixture_path(f, "warren.db"), &st), 0);
    assert_in_range(st.st_size, 4096, 200000);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void refused(struct fixture *f, enum err wanted, const char *said)
{
    assert_int_equal(fixture_open(f), wanted);
    if (strstr(strbuf_str(&f->error), said) == NULL)
        print_error("\"%s\" does not say \"%s\"\n", strbuf_str(&f->error), said);
    assert_non_null(strstr(strbuf_str(&f->error), said));
    assert_non_null(strstr(strbuf_str(&f->error), f->dir));
    fixture_close(f);
}

static void make_store(struct fixture *f)
{
    open_well(f);
    assert_int_equal(journal_set_identity(f->journal, 1, 2, &f->error), OK);
    assert_int_equal(fixture_append(f, 1, 20, 10), OK);
    fixture_close(f);
}

static void a_second_process_is_refused(void **state)
{
    struct fixture *f = *state;
    open_well(f);
    struct journal *first = f->journal;
    enum err e = fixture_open(f);
    f->journal = first;
    assert_int_equal(e, ERR_EXISTS);
    assert_non_null(strstr(strbuf_str(&f->error), "uses this data directory; stop it first"));
    char holder[40]; /* not every kernel and file system tells who has a lock */
    (void)snprintf(holder, sizeof(holder), ", process %ld, uses", (long)getpid());
    assert_true(strstr(strbuf_str(&f->error), holder) != NULL ||
                strstr(strbuf_str(&f->error), ": another process uses") != NULL);
}

static void a_missing_database_is_not_taken_for_a_new_one(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    assert_int_equal(unlink(fixture_path(f, "warren.db")), 0);
    refused(f, ERR_MALFORMED, "is missing");
}

static void an_emptied_database_is_refused(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    assert_int_equal(truncate(fixture_path(f, "warren.db"), 0), 0);
    refused(f, ERR_MALFORMED, "is empty");
}

static void a_shortened_database_is_refused(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    assert_int_equal(truncate(fixture_path(f, "warren.db"), 3 * 4096), 0);
    refused(f, ERR_MALFORMED, "warren.db");
}

static void poke(struct fixture *f, const char *name, off_t at, uint8_t value)
{
    int fd = open(fixture_path(f, name), O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, &value, 1, at), 1);
    close(fd);
}

static void a_newer_format_is_refused(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    poke(f, "warren.db", 63, 2);
    refused(f, ERR_MALFORMED, "has format 2");
}

static void another_program_s_database_is_refused(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    poke(f, "warren.db", 68, 0);
    refused(f, ERR_MALFORMED, "not one of Warren's");
}

static void copy_file(const char *from, const char *to)
{
    static uint8_t bytes[1 << 20];
    int in = open(from, O_RDONLY);
    assert_true(in >= 0);
    ssize_t size = read(in, bytes, sizeof(bytes));
    close(in);
    assert_in_range(size, 1, sizeof(bytes) - 1);
    int out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(out >= 0);
    assert_int_equal(write(out, bytes, (size_t)size), size);
    close(out);
}

static void copy_into(struct fixture *from, struct fixture *to, const char *name)
{
    char source[400];
    (void)snprintf(source, sizeof(source), "%s", fixture_path(from, name));
    copy_file(source, fixture_path(to, name));
}

/* OTHER's warren.db for F's own, as OTHER has it at the moment. */
static void swap_database(struct fixture *f, struct fixture *other)
{
    copy_into(other, f, "warren.db");
    refused(f, ERR_MALFORMED, "warren.db");
    assert_non_null(strstr(strbuf_str(&f->error), "remove"));
    assert_non_null(strstr(strbuf_str(&f->error), "warren.mark and start again"));
    strbuf_clear(&f->error);
    assert_int_equal(journal_check(f->dir, NULL, &f->error), ERR_MALFORMED);
    assert_non_null(strstr(strbuf_str(&f->error), "warren.mark and start again"));
}

/* All that it had was in its WAL, which stayed behind. */
static void a_running_store_s_database_in_a_stopped_one_s_place_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fixture other;
    make_store(f);
    fixture_init(&other);
    open_well(&other);
    assert_int_equal(journal_set_identity(other.journal, 1, 2, &other.error), OK);
    assert_int_equal(fixture_append(&other, 1, 20, 10), OK);
    swap_database(f, &other);
    fixture_fini(&other);
}

static void another_member_s_database_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fixture other;
    make_store(f);
    fixture_init(&other);
    open_well(&other);
    assert_int_equal(journal_set_identity(other.journal, 1, 3, &other.error), OK);
    assert_int_equal(fixture_append(&other, 1, 20, 10), OK);
    fixture_close(&other);
    swap_database(f, &other);
    fixture_fini(&other);
}

/* Two stores begun with the same flags have the same ids. */
static void a_stopped_namesake_s_database_is_refused(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    for (size_t entries = 19; entries <= 21; entries++) {
        struct fixture other;
        fixture_init(&other);
        open_well(&other);
        assert_int_equal(journal_set_identity(other.journal, 1, 2, &other.error), OK);
        for (size_t i = 0; i < entries - 19; i++) /* more transactions than ours, or as many */
            assert_int_equal(fixture_append(&other, 1 + i, 1, 10), OK);
        assert_int_equal(fixture_append(&other, 1, entries, 10), OK);
        fixture_close(&other);
        swap_database(f, &other);
        fixture_fini(&other);
    }
}

static void an_older_database_is_refused_until_the_mark_is_removed(void **state)
{
    struct fixture *f = *state;
    struct fixture backup;
    make_store(f);
    fixture_init(&backup);
    copy_into(f, &backup, "warren.db");
    open_well(f);
    assert_int_equal(fixture_append(f, 21, 1, 10), OK);
    fixture_close(f);
    swap_database(f, &backup);
    assert_int_equal(unlink(fixture_path(f, "warren.mark")), 0);
    open_well(f); /* a restore that somebody wants */
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_int_equal(start.last_index, 20);
    fixture_close(f);
    open_well(f);
    fixture_fini(&backup);
}

static void what_is_refused_keeps_its_wal(void **state)
{
    struct fixture *f = *state;
    struct fixture other;
    make_store(f);
    fixture_init(&other);
    open_well(&other);
    assert_int_equal(journal_set_identity(other.journal, 1, 3, &other.error), OK);
    assert_int_equal(fixture_append(&other, 1, 20, 10), OK);
    copy_into(&other, f, "warren.db-wal");
    struct stat before, after;
    assert_int_equal(stat(fixture_path(f, "warren.db-wal"), &before), 0);
    swap_database(f, &other);
    assert_int_equal(stat(fixture_path(f, "warren.db-wal"), &after), 0);
    assert_true(before.st_size > 0);
    assert_int_equal(after.st_size, before.st_size);
    fixture_fini(&other);
}

static void a_folder_for_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"lock",         "reserve",       "warren.mark",
                                        "warren.db",    "warren.db-wal", "warren.db-shm",
                                        "warren.db.new"};
    make_store(f);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char aside[400];
        (void)snprintf(aside, sizeof(aside), "%s", fixture_path(f, "aside"));
        bool was_there = rename(fixture_path(f, names[i]), aside) == 0;
        assert_int_equal(mkdir(fixture_path(f, names[i]), 0700), 0);
        refused(f, ERR_INVALID, names[i]);
        assert_non_null(strstr(strbuf_str(&f->error), "not a file but a folder; move it away"));
        assert_int_equal(rmdir(fixture_path(f, names[i])), 0);
        if (was_there)
            assert_int_equal(rename(aside, fixture_path(f, names[i])), 0);
    }
    open_well(f);
}

static void a_file_for_a_folder_is_refused(void **state)
{
    struct fixture *f = *state;
    char dir[sizeof(f->dir)];
    memcpy(dir, f->dir, sizeof(dir));
    (void)snprintf(f->dir + strlen(dir), sizeof(f->dir) - strlen(dir), "/x");
    int fd = open(f->dir, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    refused(f, ERR_INVALID, "is not a folder");
    assert_int_equal(unlink(f->dir), 0);
    memcpy(f->dir, dir, sizeof(dir));
}

static void a_missing_folder_is_made_for_its_owner_alone(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(rmdir(f->dir), 0);
    open_well(f);
    struct stat st;
    assert_int_equal(stat(f->dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void check_reads_all_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    make_store(f);
    strbuf_clear(&f->error);
    assert_int_equal(journal_check(f->dir, NULL, &f->error), OK);
    assert_non_null(strstr(strbuf_str(&f->error), "20 entries, 1 to 20"));
    poke(f, "warren.db", 2 * 4096 + 4090, 0xaa);
    strbuf_clear(&f->error);
    assert_int_equal(journal_check(f->dir, NULL, &f->error), ERR_MALFORMED);
    assert_non_null(strstr(strbuf_str(&f->error), "warren.db"));
    assert_non_null(strstr(strbuf_str(&f->error), "restore"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_journal_is_empty),
        TEST(identity_is_given_once),
        TEST(entries_are_there_after_a_restart),
        TEST(a_conflicting_suffix_is_replaced),
        TEST(the_log_is_cut_only_where_its_effects_are_in_tables),
        TEST(history_is_the_same_before_while_and_after_it_reaches_the_table),
        TEST(rows_are_put_replaced_and_removed),
        TEST(what_no_table_has_a_place_for_is_refused),
        TEST(an_idle_journal_flushes_its_overlay),
        TEST(vacuum_goes_on_until_nothing_is_free),
        TEST(a_second_process_is_refused),
        TEST(a_missing_database_is_not_taken_for_a_new_one),
        TEST(an_emptied_database_is_refused),
        TEST(a_shortened_database_is_refused),
        TEST(a_newer_format_is_refused),
        TEST(another_program_s_database_is_refused),
        TEST(a_running_store_s_database_in_a_stopped_one_s_place_is_refused),
        TEST(another_member_s_database_is_refused),
        TEST(a_stopped_namesake_s_database_is_refused),
        TEST(an_older_database_is_refused_until_the_mark_is_removed),
        TEST(what_is_refused_keeps_its_wal),
        TEST(a_folder_for_a_file_is_refused),
        TEST(a_file_for_a_folder_is_refused),
        TEST(a_missing_folder_is_made_for_its_owner_alone),
        TEST(check_reads_all_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
