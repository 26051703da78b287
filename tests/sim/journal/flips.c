/* A flipped bit in any file of the data directory is harmless, or refused with a message that names
 * the file and what to do: never a silent loss. What is compared is all that can be read: the
 * state, every row of the tables, every entry of the log. */
#include "base/crc32c.h"
#include "consensus/database.h"
#include "tests/sim/journal/workload.h"
#include "tests/support/fault_vfs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    LARGE_FLIPS = 2000,
    OPENED_EVERY = 97, /* of the harmless flips: the journal is opened and written to, too */
};

struct content {
    uint8_t *data;
    size_t size;
};

static const char *const names[] = {"warren.db", "warren.db-wal", "warren.mark"};

static struct content read_file(const char *dir, const char *name)
{
    char path[400];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    struct content c = {0};
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return c;
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    c.data = malloc((size_t)st.st_size + 1);
    c.size = (size_t)st.st_size;
    assert_int_equal(read(fd, c.data, c.size), st.st_size);
    close(fd);
    return c;
}

static void write_file(const char *dir, const char *name, struct content c)
{
    char path[400];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, c.data, c.size), (ssize_t)c.size);
    close(fd);
}

/* --- what can be read ------------------------------------------------------------------------- */

static enum err digest_entry(void *context, const struct log_entry *e)
{
    uint32_t *digest = context;
    const uint64_t numbers[] = {e->index, e->term, e->type, e->data.size};
    *digest = crc32c(*digest, numbers, sizeof(numbers));
    *digest = crc32c(*digest, e->data.data, e->data.size);
    return OK;
}

static enum err digest_tables(struct tables *t, const struct folder *f,
                              const struct database_look *look, uint32_t *digest,
                              struct strbuf *error)
{
    struct tables_state s = {0};
    struct tables_membership us = {0};
    enum err e = database_verify(t, f, look, &s, error);
    if (e != OK)
        return e;
    e = tables_get_membership(t, &s, &us);
    *digest = crc32c(0, &us, sizeof(us));
    const uint64_t numbers[] = {s.hard.term, s.hard.vote, s.hard.commit,    s.applied,
                                s.log_first, s.log_last,  s.log_before_term};
    *digest = crc32c(*digest, numbers, sizeof(numbers));
    if (e == OK)
        e = tables_read_all(t, &s, workload_digest, digest);
    if (e == OK)
        e = tables_read_log(t, s.log_first, s.log_last, digest_entry, digest);
    if (e != OK)
        database_explain(t, f, e, error);
    return e;
}

/* As journal_check, whose report has no contents. */
static enum err digest_folder(const char *dir, uint32_t *digest, struct strbuf *error)
{
    struct folder f;
    enum err e = folder_open(&f, dir, false, error);
    if (e != OK)
        return e;
    struct database_look look;
    struct tables t;
    e = database_inspect(&look, &f, error);
    if (e == OK)
        e = database_open(&t, &f, NULL, DATABASE_CHECK, error);
    if (e == OK) {
        e = digest_tables(&t, &f, &look, digest, error);
        tables_close(&t);
    }
    folder_close(&f);
    return e;
}

/* --- flips ------------------------------------------------------------------------------------ */

struct sweep {
    char dir[64];
    struct content files[ARRAY_COUNT(names)];
    uint32_t digest; /* of the sound store */
    uint32_t before; /* of it without its last transaction, where that may go; else the same */
    size_t last_transaction; /* offset in the WAL behind which damage may take it */
    size_t harmless;
    size_t refused;
    size_t took_last;
};

static void restore(const struct sweep *s)
{
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (s->files[i].data != NULL)
            write_file(s->dir, names[i], s->files[i]);
}

static void flip(const struct sweep *s, size_t file, size_t at, uint8_t mask)
{
    char path[400];
    (void)snprintf(path, sizeof(path), "%s/%s", s->dir, names[file]);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    uint8_t byte = s->files[file].data[at] ^ mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void check_says(const struct sweep *s, const struct strbuf *error, size_t file, size_t at)
{
    const char *text = strbuf_str(error);
    bool is_told = strstr(text, s->dir) != NULL && strstr(text, "; ") != NULL;
    if (!is_told)
        print_error("%s, byte %zu: refused with \"%s\"\n", names[file], at, text);
    assert_true(is_told);
}

static void open_and_go_on(const struct sweep *s)
{
    struct fixture f = {.free_space_floor = 1};
    memcpy(f.dir, s->dir, sizeof(f.dir));
    assert_int_equal(uv_loop_init(&f.loop), 0);
    assert_int_equal(fixture_open(&f), OK);
    struct journal_start start;
    journal_start(f.journal, &start);
    workload_stage(&f, start.applied_index + 1, start.last_index, 0);
    workload_run(&f, start.last_index + 1, start.last_index + 3, 0, 0);
    fixture_close(&f);
    assert_int_equal(fixture_open(&f), OK);
    workload_verify(&f, start.last_index + 3, start.last_index + 3, 0);
    fixture_close(&f);
    assert_int_equal(uv_loop_close(&f.loop), 0);
    strbuf_fini(&f.error);
    restore(s);
}

static void try_flip(struct sweep *s, size_t file, size_t at, uint8_t mask)
{
    flip(s, file, at, mask);
    uint32_t digest = 0;
    struct strbuf error = STRBUF_EMPTY;
    enum err e = digest_folder(s->dir, &digest, &error);
    bool may_lose = file == 1 && at >= s->last_transaction && digest == s->before;
    if (e != OK) {
        s->refused++;
        check_says(s, &error, file, at);
    } else if (digest == s->digest) {
        if (++s->harmless % OPENED_EVERY == 0)
            open_and_go_on(s);
    } else if (may_lose)
        s->took_last++;
    else {
        print_error("%s, byte %zu, mask %02x: a silent loss\n", names[file], at, mask);
        fail();
    }
    strbuf_fini(&error);
    flip(s, file, at, 0);
}

/* A store as a killed process leaves it: part in the database, part in the WAL. */
static void make_store(struct sweep *s, uint64_t in_database, uint64_t in_wal, uint64_t last)
{
    struct fixture f;
    workload_fixture(&f);
    assert_int_equal(fixture_open(&f), OK);
    assert_int_equal(journal_set_identity(f.journal, 5, 6, &f.error), OK);
    for (uint64_t i = 1; i <= in_database; i++)
        workload_run(&f, i, i, 0, i > 30 ? i - 20 : 0);
    if (in_database > 0)
        fixture_close(&f);
    if (in_database > 0)
        assert_int_equal(fixture_open(&f), OK);
    for (uint64_t i = in_database + 1; i <= in_database + in_wal; i++)
        workload_run(&f, i, i, 0, 0);
    struct content wal = read_file(f.dir, names[1]);
    s->last_transaction = wal.size;
    free(wal.data);
    uint64_t first = in_database + in_wal + 1;
    if (last > 0)
        workload_run(&f, first, first + last - 1, 0, 0);
    (void)snprintf(s->dir, sizeof(s->dir), "/dev/shm/warren-flips-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        (void)snprintf(s->dir, sizeof(s->dir), "/tmp/warren-flips-XXXXXX");
        assert_non_null(mkdtemp(s->dir));
    }
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        s->files[i] = read_file(f.dir, names[i]);
    fixture_fini(&f);
    restore(s);
    struct strbuf error = STRBUF_EMPTY;
    enum err e = digest_folder(s->dir, &s->digest, &error);
    if (e != OK)
        print_error("%s", strbuf_str(&error));
    assert_int_equal(e, OK);
    s->before = s->digest;
    strbuf_fini(&error);
}

static void finish(struct sweep *s, const char *what)
{
    print_message("%s: %zu harmless, %zu refused, %zu took the last transaction\n", what,
                  s->harmless, s->refused, s->took_last);
    assert_true(s->refused > 0);
    char path[400];
    static const char *const all[] = {"warren.db",   "warren.db-wal", "warren.db-shm",
                                      "warren.mark", "reserve",       "lock"};
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", s->dir, all[i]);
        (void)unlink(path);
    }
    (void)rmdir(s->dir);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        free(s->files[i].data);
}

/* Every bit of headers, and one bit of every other byte, another in each round. */
static void sweep_all(struct sweep *s, size_t round)
{
    for (size_t file = 0; file < ARRAY_COUNT(names); file++)
        for (size_t at = 0; at < s->files[file].size; at++) {
            size_t in_page = file == 0 ? at % TABLES_PAGE_SIZE : (at - WAL_HEADER_SIZE) % 4120;
            bool is_header = at < 128 || in_page < 32;
            for (unsigned bit = 0; bit < 8; bit++)
                if (is_header || bit == (at + round) % 8)
                    try_flip(s, file, at, (uint8_t)(1u << bit));
        }
}

static void everywhere_in_a_small_store(void **state)
{
    (void)state;
    struct sweep s = {0};
    make_store(&s, 6, 3, 1);
    sweep_all(&s, 0);
    finish(&s, "a killed process's store");
}

/* The mark of a power cut is old: then the last transaction may go, and nothing else. */
static void everywhere_without_a_mark(void **state)
{
    (void)state;
    struct sweep s = {0};
    make_store(&s, 2, 4, 1);
    char path[400];
    (void)snprintf(path, sizeof(path), "%s/%s", s.dir, names[2]);
    assert_int_equal(unlink(path), 0);
    free(s.files[2].data);
    s.files[2] = (struct content){0};
    struct content whole = s.files[1];
    struct content shorter = {whole.data, s.last_transaction};
    write_file(s.dir, names[1], shorter);
    struct strbuf error = STRBUF_EMPTY;
    assert_int_equal(digest_folder(s.dir, &s.before, &error), OK);
    strbuf_fini(&error);
    assert_int_not_equal(s.before, s.digest);
    restore(&s);
    for (size_t at = 0; at < whole.size; at++) {
        size_t in_page = (at - WAL_HEADER_SIZE) % 4120;
        for (unsigned bit = 0; bit < 8; bit++)
            if (at < WAL_HEADER_SIZE || in_page < 24 || bit == at % 8)
                try_flip(&s, 1, at, (uint8_t)(1u << bit));
    }
    assert_true(s.took_last > 0);
    finish(&s, "a WAL without a mark");
}

static void at_random_in_a_large_store(void **state)
{
    (void)state;
    struct sweep s = {0};
    make_store(&s, 300, 60, 5);
    uint64_t random = 1;
    for (int i = 0; i < LARGE_FLIPS; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        size_t file = (random >> 60) % 2;
        try_flip(&s, file, (size_t)(random >> 20) % s.files[file].size,
                 (uint8_t)(1u << (random >> 57 & 7)));
    }
    finish(&s, "a large store");
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* one test of them */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everywhere_in_a_small_store),
        cmocka_unit_test(everywhere_without_a_mark),
        cmocka_unit_test(at_random_in_a_large_store),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fault_vfs_reset();
    return failed;
}
