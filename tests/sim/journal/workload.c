#include "tests/sim/journal/workload.h"

#include "base/crc32c.h"
#include "tests/support/fault_vfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MAX_EFFECTS = 32,
    LEASES = 21,
    MAX_SIZE = 60000,
};

static uint8_t bytes[MAX_SIZE];

static struct bytes content(uint64_t index, size_t size, uint8_t salt)
{
    assert_true(size <= MAX_SIZE);
    memset(bytes, (int)(index * 31 + salt), size);
    if (size >= sizeof(index))
        memcpy(bytes, &index, sizeof(index));
    return bytes_of(bytes, size);
}

static size_t size_of_entry(uint64_t index, size_t growth)
{
    return (index % 19 == 0 ? 9000 : 8 + index * 37 % 300) + growth;
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

static bool has_revision(int64_t main, int64_t sub)
{
    return main >= 1 && main % 3 != 0 && (sub == 0 || (sub == 1 && main % 5 == 0));
}

/* Its bytes are valid until the next. */
static struct journal_effect revision_of(int64_t main, int64_t sub, size_t growth)
{
    static char key[16];
    memset(key, 'a' + (int)(main % 26), sizeof(key));
    size_t size = (main % 17 == 0 ? 6000 : (size_t)(main * 53 % 400)) + growth;
    struct journal_effect e = {.table = JOURNAL_REVISIONS};
    e.revision = (struct journal_revision){
        .main = main,
        .sub = sub,
        .is_delete = main % 4 == 0,
        .key = bytes_of(key, (size_t)(main % 16)),
        .value = content((uint64_t)main, size, (uint8_t)sub),
        .create_revision = main / 2,
        .version = main % 8,
        .lease = -main,
    };
    return e;
}

static void stage(struct fixture *f, uint64_t index, struct journal_effect e)
{
    assert_int_equal(journal_stage(f->journal, index, &e, 1), OK);
}

/* A journal that belongs to nobody has no members. */
static bool has_identity(const struct fixture *f)
{
    struct journal_start start;
    journal_start(f->journal, &start);
    return start.member_id != 0;
}

/* In force behind INDEX; none staged yet: false. */
static bool configuration_of(uint64_t index, struct configuration_state *out)
{
    uint64_t change = index / 5;
    if (change == 0)
        return false;
    *out = (struct configuration_state){
        .voters = {.count = 2, .ids = {1, 2 + change % 3}},
        .learners = {.count = change % 2, .ids = {9}},
    };
    if (change % 4 == 0)
        out->outgoing = (struct id_set){.count = 1, .ids = {8}};
    out->auto_leave = change % 8 == 0;
    return true;
}

static void stage_one(struct fixture *f, uint64_t index, size_t growth)
{
    struct configuration_state c;
    if (index % 5 == 0 && has_identity(f) && configuration_of(index, &c))
        assert_int_equal(journal_stage_configuration(f->journal, index, &c), OK);
    int64_t i = (int64_t)index;
    stage(f, index, row_of(JOURNAL_META, 1, 0, i, false));
    for (int64_t sub = 0; sub < 2; sub++)
        if (has_revision(i, sub))
            stage(f, index, revision_of(i, sub, growth));
    if (i % 7 == 0)
        stage(f, index, row_of(JOURNAL_LEASES, i % LEASES, 0, i, false));
    if (i % 11 == 0)
        stage(f, index, row_of(JOURNAL_LEASES, i % LEASES, 0, 0, true));
    if (i % 13 == 0)
        stage(f, index, row_of(JOURNAL_ALARMS, 1, i % 2, 0, i % 3 == 0));
    for (int64_t main = i - 40; i % 10 == 0 && main < i - 30; main++)
        for (int64_t sub = 0; sub < 2; sub++)
            if (has_revision(main, sub)) {
                struct journal_effect e = {.table = JOURNAL_REVISIONS, .is_removal = true};
                e.revision.main = main;
                e.revision.sub = sub;
                stage(f, index, e);
            }
}

void workload_stage(struct fixture *f, uint64_t first, uint64_t last, size_t growth)
{
    for (uint64_t i = first; i <= last; i++)
        stage_one(f, i, growth);
    if (first <= last)
        assert_int_equal(journal_stage(f->journal, last, NULL, 0), OK);
}

static void on_done(void *context, enum err outcome)
{
    assert_int_equal(outcome, OK);
    *(bool *)context = true;
}

void workload_run(struct fixture *f, uint64_t first, uint64_t last, size_t growth,
                  uint64_t truncate_before)
{
    size_t count = (size_t)(last + 1 - first);
    struct log_entry *entries = calloc(count, sizeof(*entries));
    uint8_t *data = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t size = size_of_entry(first + i, growth);
        data = malloc(size);
        assert_non_null(data);
        memcpy(data, content(first + i, size, 99).data, size);
        entries[i] = (struct log_entry){first + i, 1, 1, bytes_of(data, size)};
    }
    struct journal_write write = {
        .entries = entries,
        .entry_count = count,
        .truncate_before = truncate_before,
    };
    bool done = false;
    fault_vfs_note((uint64_t)NOTE_SUBMITTED << 56 | last);
    assert_int_equal(journal_submit(f->journal, &write, on_done, &done), OK);
    fixture_run_until(f, &done);
    fault_vfs_note((uint64_t)NOTE_DURABLE << 56 | last);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)entries[i].data.data);
    free(entries);
    workload_stage(f, first, last, growth);
}

/* --- the model -------------------------------------------------------------------------------- */

static void add(uint32_t *digest, const void *data, size_t size)
{
    *digest = crc32c(*digest, data, size);
}

enum err workload_digest(void *context, const struct journal_effect *row)
{
    uint32_t *digest = context;
    const struct journal_revision *r = &row->revision;
    add(digest, &row->table, sizeof(row->table));
    if (row->table != JOURNAL_REVISIONS) {
        const int64_t numbers[] = {row->row.a, row->row.b, row->row.value};
        add(digest, numbers, sizeof(numbers));
        return OK;
    }
    const int64_t numbers[] = {r->main,    r->sub,   r->is_delete,        r->create_revision,
                               r->version, r->lease, (int64_t)r->key.size};
    add(digest, numbers, sizeof(numbers));
    add(digest, r->key.data, r->key.size);
    add(digest, r->value.data, r->value.size);
    return OK;
}

static void tell(uint32_t *digest, struct journal_effect e)
{
    assert_int_equal(workload_digest(digest, &e), OK);
}

static bool is_purged(int64_t main, int64_t applied)
{
    for (int64_t i = 10; i <= applied; i += 10)
        if (i - 40 <= main && main < i - 30)
            return true;
    return false;
}

uint32_t workload_model(uint64_t applied, size_t growth)
{
    int64_t ttl[LEASES] = {0};
    bool alarm[2] = {false};
    int64_t last = (int64_t)applied;
    for (int64_t i = 1; i <= last; i++) {
        if (i % 7 == 0)
            ttl[i % LEASES] = i;
        if (i % 11 == 0)
            ttl[i % LEASES] = 0;
        if (i % 13 == 0)
            alarm[i % 2] = i % 3 != 0;
    }
    uint32_t digest = 0;
    if (last > 0)
        tell(&digest, row_of(JOURNAL_META, 1, 0, last, false));
    for (int64_t i = 0; i < LEASES; i++)
        if (ttl[i] != 0)
            tell(&digest, row_of(JOURNAL_LEASES, i, 0, ttl[i], false));
    for (int64_t i = 0; i < 2; i++)
        if (alarm[i])
            tell(&digest, row_of(JOURNAL_ALARMS, 1, i, 0, false));
    for (int64_t i = 1; i <= last; i++)
        for (int64_t sub = 0; sub < 2; sub++)
            if (has_revision(i, sub) && !is_purged(i, last))
                tell(&digest, revision_of(i, sub, growth));
    return digest;
}

struct log_check {
    uint64_t next;
    size_t growth;
};

static enum err check_entry(void *context, const struct log_entry *e)
{
    struct log_check *c = context;
    assert_int_equal(e->index, c->next++);
    assert_true(bytes_equal(e->data, content(e->index, size_of_entry(e->index, c->growth), 99)));
    return OK;
}

void workload_verify(struct fixture *f, uint64_t at_least, uint64_t at_most, size_t growth)
{
    struct journal_start start;
    journal_start(f->journal, &start);
    assert_in_range(start.last_index, at_least, at_most);
    assert_true(start.applied_index <= start.last_index);
    assert_true(start.first_index <= start.applied_index + 1);
    struct configuration_state wanted;
    if (has_identity(f) && configuration_of(start.applied_index, &wanted))
        assert_true(configuration_equal(&start.configuration, &wanted));
    assert_int_equal(start.before_term, start.first_index > 1);
    struct log_check c = {.next = start.first_index, .growth = growth};
    assert_int_equal(
        journal_read_log(f->journal, start.first_index, start.last_index, check_entry, &c), OK);
    assert_int_equal(c.next, start.last_index + 1);
    uint32_t digest = 0;
    enum err e = journal_load(f->journal, workload_digest, &digest, &f->error);
    if (e != OK)
        print_error("%s", strbuf_str(&f->error));
    assert_int_equal(e, OK);
    assert_int_equal(digest, workload_model(start.applied_index, growth));
}

void workload_fixture(struct fixture *f)
{
    fixture_init_in(f, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}
