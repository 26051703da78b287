/* The gathered writes of a WAL, over the VFS that counts and fails. */
#include "consensus/wal_gather.h"
#include "tests/support/fault_vfs.h"
#include "tests/unit/consensus/fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct wal {
    sqlite3_file *file;
    char path[300];     /* ends in several NULs, as SQLite's names do */
    char database[300]; /* a WAL's mode is that of its database */
    char folder[200];
};

static void open_file(struct wal *w, const char *vfs_name, int kind)
{
    sqlite3_vfs *vfs = sqlite3_vfs_find(vfs_name);
    assert_non_null(vfs);
    memset(w, 0, sizeof(*w));
    (void)snprintf(w->folder, sizeof(w->folder), "/tmp/warren-gather-XXXXXX");
    assert_non_null(mkdtemp(w->folder));
    (void)snprintf(w->database, sizeof(w->database), "%s/t.db", w->folder);
    (void)snprintf(w->path, sizeof(w->path), "%s/t.db%s", w->folder,
                   kind == SQLITE_OPEN_WAL ? "-wal" : "");
    int fd = open(w->database, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    w->file = calloc(1, (size_t)vfs->szOsFile);
    assert_non_null(w->file);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | kind;
    assert_int_equal(vfs->xOpen(vfs, w->path, w->file, flags, &flags), SQLITE_OK);
}

static void close_file(struct wal *w)
{
    assert_int_equal(w->file->pMethods->xClose(w->file), SQLITE_OK);
    free(w->file);
    (void)remove(w->path);
    (void)remove(w->database);
    (void)remove(w->folder);
}

static int put(struct wal *w, const void *data, size_t size, size_t offset)
{
    return w->file->pMethods->xWrite(w->file, data, (int)size, (sqlite3_int64)offset);
}

static void expect(struct wal *w, const void *data, size_t size, size_t offset)
{
    static uint8_t found[4 * WAL_GATHER_SIZE];
    assert_true(size <= sizeof(found));
    assert_int_equal(w->file->pMethods->xRead(w->file, found, (int)size, (sqlite3_int64)offset),
                     SQLITE_OK);
    assert_memory_equal(found, data, size);
}

static void names_are_stable(void **state)
{
    (void)state;
    const char *name = wal_gather_over(FAULT_VFS);
    assert_non_null(name);
    assert_ptr_equal(wal_gather_over(FAULT_VFS), name);
    assert_string_not_equal(wal_gather_over(NULL), name);
    assert_null(wal_gather_over("no such vfs"));
}

static void writes_that_go_on_are_one(void **state)
{
    (void)state;
    struct wal w;
    open_file(&w, wal_gather_over(FAULT_VFS), SQLITE_OPEN_WAL);
    fault_vfs_reset();
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(put(&w, &"0123456789"[i], 1, i), SQLITE_OK);
    assert_int_equal(fault_vfs_count(), 0);
    assert_int_equal(w.file->pMethods->xSync(w.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
    assert_int_equal(fault_vfs_count(), 2); /* a write and a sync */
    expect(&w, "0123456789", 10, 0);
    /* Elsewhere: what was gathered goes first, so that the order stays. */
    assert_int_equal(put(&w, "ab", 2, 2), SQLITE_OK);
    assert_int_equal(put(&w, "XY", 2, 3), SQLITE_OK);
    assert_int_equal(fault_vfs_count(), 3);
    expect(&w, "01aXY56789", 10, 0);
    close_file(&w);
}

static void long_ones_stay_in_order(void **state)
{
    (void)state;
    struct wal w;
    static uint8_t data[3 * WAL_GATHER_SIZE];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 251);
    open_file(&w, wal_gather_over(FAULT_VFS), SQLITE_OPEN_WAL);
    static const size_t steps[] = {
        24, 4096, 24, WAL_GATHER_SIZE, 1, WAL_GATHER_SIZE - 1, WAL_GATHER_SIZE + 1};
    size_t at = 0;
    for (size_t i = 0; at < sizeof(data); i++) {
        size_t size = steps[i % ARRAY_COUNT(steps)];
        size = size > sizeof(data) - at ? sizeof(data) - at : size;
        assert_int_equal(put(&w, data + at, size, at), SQLITE_OK);
        at += size;
    }
    sqlite3_int64 size = 0;
    assert_int_equal(w.file->pMethods->xFileSize(w.file, &size), SQLITE_OK);
    assert_int_equal(size, sizeof(data));
    expect(&w, data, sizeof(data), 0);
    assert_int_equal(put(&w, "z", 1, sizeof(data)), SQLITE_OK);
    assert_int_equal(w.file->pMethods->xTruncate(w.file, 5), SQLITE_OK);
    assert_int_equal(w.file->pMethods->xFileSize(w.file, &size), SQLITE_OK);
    assert_int_equal(size, 5);
    close_file(&w);
}

static void a_failure_is_told_once(void **state)
{
    (void)state;
    struct wal w;
    open_file(&w, wal_gather_over(FAULT_VFS), SQLITE_OPEN_WAL);
    fault_vfs_reset();
    assert_int_equal(put(&w, "lost", 4, 0), SQLITE_OK);
    fault_vfs_fail_at(0, false);
    assert_int_not_equal(w.file->pMethods->xSync(w.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
    fault_vfs_heal();
    /* The transaction is written again from its first frame. */
    assert_int_equal(put(&w, "kept", 4, 0), SQLITE_OK);
    assert_int_equal(w.file->pMethods->xSync(w.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
    expect(&w, "kept", 4, 0);
    /* A sync that fails is no write that fails. */
    fault_vfs_fail_at(0, true);
    assert_int_equal(put(&w, "more", 4, 4), SQLITE_OK);
    assert_int_not_equal(w.file->pMethods->xSync(w.file, SQLITE_SYNC_NORMAL), SQLITE_OK);
    fault_vfs_heal();
    close_file(&w);
}

static void other_files_are_not_gathered(void **state)
{
    (void)state;
    struct wal w;
    open_file(&w, wal_gather_over(FAULT_VFS), SQLITE_OPEN_MAIN_DB);
    fault_vfs_reset();
    assert_int_equal(put(&w, "a", 1, 0), SQLITE_OK);
    assert_int_equal(put(&w, "b", 1, 1), SQLITE_OK);
    assert_int_equal(fault_vfs_count(), 2);
    close_file(&w);
}

int main(void)
{
    fault_vfs_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_stable),
        cmocka_unit_test(writes_that_go_on_are_one),
        cmocka_unit_test(long_ones_stay_in_order),
        cmocka_unit_test(a_failure_is_told_once),
        cmocka_unit_test(other_files_are_not_gathered),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    fault_vfs_reset();
    return failed;
}
