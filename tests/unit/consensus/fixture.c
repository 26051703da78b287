#include "tests/unit/consensus/fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    PATIENCE_MS = 10000,
    MAX_VALUE = 65536,
};

void fixture_init_in(struct fixture *f, const char *base)
{
    *f = (struct fixture){.free_space_floor = 1};
    (void)snprintf(f->dir, sizeof(f->dir), "%s/warren-journal-XXXXXX", base);
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(uv_loop_init(&f->loop), 0);
}

void fixture_init(struct fixture *f)
{
    fixture_init_in(f, "/tmp");
}

const char *fixture_path(struct fixture *f, const char *name)
{
    static char path[400];
    (void)snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return path;
}

static void remove_folder(struct fixture *f)
{
    DIR *dir = opendir(f->dir);
    if (dir == NULL)
        return;
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        (void)remove(fixture_path(f, e->d_name));
    closedir(dir);
    (void)rmdir(f->dir);
}

enum err fixture_open(struct fixture *f)
{
    strbuf_clear(&f->error);
    struct journal_config config = {
        .data_dir = f->dir,
        .loop = &f->loop,
        .free_space_floor = f->free_space_floor,
        .vfs = f->vfs,
    };
    enum err e = journal_open(&f->journal, &config, &f->error);
    if (e != OK)
        f->journal = NULL;
    return e;
}

void fixture_close(struct fixture *f)
{
    if (f->journal != NULL)
        journal_close(f->journal);
    f->journal = NULL;
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
}

void fixture_fini(struct fixture *f)
{
    fixture_close(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    strbuf_fini(&f->error);
    remove_folder(f);
}

static void on_late(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

static void on_closed(uv_handle_t *handle)
{
    *(bool *)handle->data = false;
}

void fixture_run_until(struct fixture *f, const bool *flag)
{
    bool late = false;
    uv_timer_t timer = {.data = &late};
    uv_timer_init(&f->loop, &timer);
    timer.data = &late;
    uv_timer_start(&timer, on_late, PATIENCE_MS, 0);
    while (!*flag && !late)
        (void)uv_run(&f->loop, UV_RUN_ONCE);
    bool open = true;
    timer.data = &open;
    uv_close((uv_handle_t *)&timer, on_closed);
    while (open)
        (void)uv_run(&f->loop, UV_RUN_NOWAIT);
    assert_true(*flag);
}

struct waiting {
    bool done;
    enum err outcome;
};

static void on_done(void *context, enum err outcome)
{
    struct waiting *w = context;
    w->done = true;
    w->outcome = outcome;
}

enum err fixture_append(struct fixture *f, uint64_t first, size_t count, size_t size)
{
    struct log_entry *entries = calloc(count, sizeof(*entries));
    uint8_t *data = malloc(size + 1);
    assert_non_null(entries);
    assert_non_null(data);
    memset(data, (int)first, size);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct log_entry){first + i, 1, 1, bytes_of(data, size)};
    struct journal_write write = {.entries = entries, .entry_count = count};
    struct waiting w = {0};
    enum err e = journal_submit(f->journal, &write, on_done, &w);
    if (e == OK)
        fixture_run_until(f, &w.done);
    free(entries);
    free(data);
    return e == OK ? w.outcome : e;
}

struct journal_effect fixture_put(int64_t main, int64_t sub, size_t size)
{
    static uint8_t value[MAX_VALUE];
    static char key[32];
    assert_true(size <= MAX_VALUE);
    memset(value, (int)(main % 100 * 7 + sub), size);
    (void)snprintf(key, sizeof(key), "key-%lld", (long long)(main % 10));
    struct journal_effect e = {.table = JOURNAL_REVISIONS};
    e.revision = (struct journal_revision){
        .main = main,
        .sub = sub,
        .key = bytes_of_str(key),
        .value = bytes_of(value, size),
        .create_revision = main,
        .version = 1,
        .lease = 5,
    };
    return e;
}
