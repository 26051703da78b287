/* Fuzz target: the files of the journal. The first byte says what the rest is: 0, a WAL with pages
 * of 512 bytes; 1, a database; otherwise, flips (two bytes of place, one of mask) in a good one.
 * Whatever the bytes: an answer, and rows that are told verify. */
#include "consensus/tables.h"
#include "consensus/wal_scan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ROWS = 40,
};

static void must(bool good)
{
    if (!good)
        abort();
}

/* --- the WAL ---------------------------------------------------------------------------------- */

static void scan(const uint8_t *data, size_t size)
{
    int fd = memfd_create("wal", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    struct wal_report r;
    must(wal_scan(&r, fd, 512) == OK);
    must(r.commit_count <= r.frame_count);
    must((r.frame_count + r.unfinished) * (WAL_FRAME_HEADER_SIZE + 512) <= size);
    must(r.verdict != WAL_BAD_FRAME || r.bad_frame >= r.frame_count);
    close(fd);
}

/* --- the database ----------------------------------------------------------------------------- */

static void fill(struct tables *t)
{
    static const uint8_t value[300] = {7};
    struct tables_state s = {.log_first = 1, .hard = {1, 2, 3}, .meta = {9}, .meta_present = 1};
    struct tables_membership us = {1, 2, {.voters = {.count = 2, .ids = {2, 3}}}};
    must(tables_run(t, SQL_BEGIN) == OK && tables_put_membership(t, &s, &us) == OK);
    for (int64_t i = 1; i <= ROWS; i++) {
        size_t used = (size_t)i * 7;
        struct log_entry entry = {(uint64_t)i, 1, 1, bytes_of(value, used)};
        struct journal_effect e = {.table = JOURNAL_REVISIONS};
        e.revision.main = i;
        e.revision.key = bytes_of(value, (size_t)i);
        e.revision.value = bytes_of(value, used);
        must(tables_put_log(t, &entry) == OK && tables_apply(t, &s, &e) == OK);
        e = (struct journal_effect){.table = i % 2 == 0 ? JOURNAL_LEASES : JOURNAL_ALARMS};
        e.row.a = i;
        must(tables_apply(t, &s, &e) == OK);
    }
    s.log_last = s.applied = ROWS;
    must(tables_put_state(t, &s) == OK && tables_run(t, SQL_COMMIT) == OK);
}

static uint8_t *good_database(size_t *size)
{
    static uint8_t *image;
    static sqlite3_int64 image_size;
    if (image == NULL) {
        struct tables t = {0};
        must(sqlite3_open(":memory:", &t.db) == SQLITE_OK && tables_create(&t) == OK);
        fill(&t);
        image = sqlite3_serialize(t.db, "main", &image_size, 0);
        must(image != NULL);
        tables_close(&t);
    }
    *size = (size_t)image_size;
    return image;
}

static enum err count_entry(void *context, const struct log_entry *e)
{
    must(e->index == ++*(uint64_t *)context);
    return OK;
}

static enum err count_row(void *context, const struct journal_effect *row)
{
    ++*(uint64_t *)context;
    must(row->table != JOURNAL_REVISIONS || row->revision.key.size <= INT32_MAX);
    return OK;
}

/* What is read without a failure is what was written. */
static void read_database(const uint8_t *data, size_t size, bool is_flipped)
{
    struct tables t = {0};
    uint8_t *copy = sqlite3_malloc64(size + 1);
    must(copy != NULL && sqlite3_open(":memory:", &t.db) == SQLITE_OK);
    memcpy(copy, data, size);
    must(sqlite3_deserialize(t.db, "main", copy, (sqlite3_int64)size, (sqlite3_int64)size,
                             SQLITE_DESERIALIZE_FREEONCLOSE) == SQLITE_OK);
    struct tables_state s;
    struct tables_membership us;
    uint64_t rows = 0, entries = 0;
    enum err e = tables_check_schema(&t);
    if (e == OK)
        e = tables_check_pages(&t);
    if (e == OK)
        e = tables_get_state(&t, &s);
    if (e == OK)
        e = tables_get_membership(&t, &s, &us);
    if (e == OK)
        e = tables_read_all(&t, &s, count_row, &rows);
    if (e == OK && is_flipped)
        e = tables_read_log(&t, s.log_first, s.log_last, count_entry, &entries);
    if (e == OK && is_flipped)
        must(entries == ROWS && rows == 2 * ROWS + 1 && us.cluster_id == 1 && us.member_id == 2 &&
             us.configuration.voters.count == 2);
    tables_close(&t);
}

static void flip(const uint8_t *data, size_t size)
{
    size_t image_size;
    const uint8_t *image = good_database(&image_size);
    uint8_t *damaged = malloc(image_size);
    must(damaged != NULL);
    memcpy(damaged, image, image_size);
    for (; size >= 3; data += 3, size -= 3)
        damaged[(size_t)(data[0] << 8 | data[1]) % image_size] ^= data[2];
    read_database(damaged, image_size, true);
    free(damaged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] == 0)
        scan(data + 1, size - 1);
    else if (data[0] == 1)
        read_database(data + 1, size - 1, false);
    else
        flip(data + 1, size - 1);
    return 0;
}
