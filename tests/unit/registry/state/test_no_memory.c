/* Every allocation fails once: nothing leaks, nothing asserts, the error is told, and what may go
 * on without that memory (purges, watches) does. The linker puts these functions before malloc's.
 */
#include "base/strbuf.h"
#include "registry/state/lessor.h"
#include "registry/state/watch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static size_t until_failure; /* 0: none is to come */
static bool has_failed;

static bool fails(void)
{
    if (until_failure == 0 || --until_failure > 0)
        return false;
    has_failed = true;
    return true;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

/* --- a state ---------------------------------------------------------------------------------- */

static void forget(void *context, const struct state_record *record)
{
    (void)context, (void)record;
}

static enum err read_value(void *context, int64_t main, int64_t sub, struct arena *arena,
                           struct kv *out)
{
    (void)context, (void)main, (void)sub;
    void *copy = arena_copy(arena, "old", 3);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    *out = (struct kv){.value = bytes_of(copy, 3)};
    return OK;
}

static const struct state_sink nowhere = {.record = forget};
static const struct state_source source = {.read = read_value};

static enum err apply(struct state *s, struct arena *arena, const struct state_command *command)
{
    struct strbuf encoded = STRBUF_EMPTY;
    struct state_result result;
    enum err source_error = OK;
    state_command_encode(&encoded, command);
    enum err error = ERR_NO_MEMORY;
    arena_reset(arena);
    if (!encoded.failed)
        error = state_apply(s, bytes_of(encoded.data, encoded.size), &source, arena, &nowhere,
                            &result, &source_error);
    assert_true(error == OK || error == ERR_NO_MEMORY);
    assert_true(source_error == OK || source_error == ERR_NO_MEMORY);
    strbuf_fini(&encoded);
    return error;
}

static enum err apply_txn(struct state *s, struct arena *arena)
{
    struct bytes a = bytes_of("k00", 3), b = bytes_of("k01", 3), n = bytes_of("new", 3);
    struct kv_op inner[] = {{.type = KV_OP_PUT, .put = {.key = n, .value = a}},
                            {.type = KV_OP_DELETE, .del = {.key = b, .prev_kv = true}}};
    struct kv_op ops[] = {{.type = KV_OP_PUT, .put = {.key = a, .value = b, .prev_kv = true}},
                          {.type = KV_OP_TXN, .txn = {.success = inner, .success_count = 2}},
                          {.type = KV_OP_RANGE, .range = {.key = a, .revision = 20}},
                          {.type = KV_OP_RANGE, .range = {.key = a, .range_end = n}}};
    return apply(
        s, arena,
        &(struct state_command){.type = STATE_TXN, .txn = {.success = ops, .success_count = 4}});
}

static enum err use(struct state *s, struct arena *arena)
{
    char key[8];
    struct state_command c = {.type = STATE_LEASE_GRANT, .lease = {.id = 7, .ttl_s = 60}};
    enum err error = apply(s, arena, &c);
    for (unsigned i = 0; error == OK && i < 150; i++) {
        (void)snprintf(key, sizeof(key), "k%02u", i % 75);
        c = (struct state_command){
            .type = STATE_PUT,
            .put = {.key = bytes_of_str(key), .value = bytes_of(key, 2), .lease = i % 3 ? 7 : 0}};
        error = apply(s, arena, &c);
    }
    if (error == OK)
        error = apply_txn(s, arena);
    c = (struct state_command){.type = STATE_ALARM_CHANGE,
                               .alarm = {.action = ALARM_ACTIVATE, .alarm = {1, ALARM_NOSPACE}}};
    if (error == OK)
        error = apply(s, arena, &c);
    c = (struct state_command){.type = STATE_COMPACT, .compact = {.revision = 100}};
    if (error == OK)
        error = apply(s, arena, &c);
    while (error == OK && state_purge(s, 10, &nowhere))
        ; /* a purge needs no memory that it cannot do without */
    c = (struct state_command){.type = STATE_LEASE_REVOKE, .lease = {.id = 7}};
    if (error == OK)
        error = apply(s, arena, &c);
    c = (struct state_command){
        .type = STATE_DELETE,
        .del = {.key = bytes_of("k", 1), .range_end = bytes_of("l", 1), .prev_kv = true}};
    return error == OK ? apply(s, arena, &c) : error;
}

static void a_state_without_memory_says_so(void **state)
{
    (void)state;
    size_t failures = 0;
    for (size_t n = 1;; n++) {
        struct state *s = NULL;
        struct arena arena;
        arena_init(&arena, 1 << 20);
        until_failure = n;
        has_failed = false;
        enum err error = state_create(&s);
        if (error == OK)
            error = use(s, &arena);
        bool reached = has_failed;
        until_failure = 0;
        failures += error != OK;
        assert_true(error == OK || (error == ERR_NO_MEMORY && reached));
        state_destroy(s);
        arena_fini(&arena);
        if (!reached) {
            assert_int_equal(error, OK);
            break;
        }
    }
    assert_true(failures > 300); /* most of what was asked for cannot be done without */
}

/* --- a restore -------------------------------------------------------------------------------- */

static enum err restore(struct state *s)
{
    struct state_record r = {.type = STATE_META, .meta = {.revision = 201}};
    enum err error = state_restore_record(s, &r);
    r = (struct state_record){.type = STATE_LEASE, .lease = {.id = 3, .ttl_s = 9}};
    if (error == OK)
        error = state_restore_record(s, &r);
    for (int64_t i = 0; error == OK && i < 200; i++) {
        char key[8];
        (void)snprintf(key, sizeof(key), "k%02d", (int)(i % 100));
        int64_t create = i < 100 ? i + 2 : i - 98;
        r = (struct state_record){.type = STATE_REVISION,
                                  .revision = {.main = i + 2,
                                               .kv = {.key = bytes_of_str(key),
                                                      .create_revision = create,
                                                      .version = i < 100 ? 1 : 2,
                                                      .lease = 3}}};
        error = state_restore_record(s, &r);
    }
    return error == OK ? state_restore_finish(s) : error;
}

static void a_restore_without_memory_says_so(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct state *s = NULL;
        until_failure = n;
        has_failed = false;
        enum err error = state_create(&s);
        if (error == OK)
            error = restore(s);
        until_failure = 0;
        assert_int_equal(error, has_failed ? ERR_NO_MEMORY : OK);
        state_destroy(s);
        if (!has_failed)
            break;
    }
}

/* --- watches ---------------------------------------------------------------------------------- */

enum {
    WATCHERS = 20,
    PUTS = 30
};

struct scene {
    struct state *state;
    struct watch_hub *hub;
    struct state_record rows[PUTS];
    char keys[PUTS][8];
    size_t row_count;
    size_t seen[WATCHERS];
    size_t left; /* until_failure while the state has all it wants */
};

static void on_record(void *context, const struct state_record *record)
{
    struct scene *x = context;
    if (record->type == STATE_REVISION) {
        x->rows[x->row_count] = *record;
        x->rows[x->row_count].revision.kv.key = bytes_of_str(x->keys[x->row_count]);
        x->row_count++;
    }
    until_failure = x->left;
    watch_hub_record(x->hub, record);
    x->left = until_failure;
    until_failure = 0;
}

static enum err scan(void *context, int64_t from, int64_t to,
                     bool (*each)(void *each_context, const struct state_record *revision),
                     void *each_context)
{
    struct scene *x = context;
    for (size_t i = 0; i < x->row_count; i++) {
        int64_t main = x->rows[i].revision.main;
        if (main >= from && main <= to && !each(each_context, &x->rows[i]))
            break;
    }
    return OK;
}

static bool deliver(void *context, const struct watch_batch *batch)
{
    *(size_t *)context += batch->event_count;
    return true;
}

static void watch_all(struct scene *x, size_t *made)
{
    for (size_t i = 0; i < WATCHERS; i++) {
        struct watcher *w;
        struct watch_request r = {.key = bytes_of("k", 1),
                                  .range_end = bytes_of(i % 2 ? "l" : "m", 1),
                                  .start_revision = 1,
                                  .prev_kv = i % 3 == 0};
        enum err error = watcher_create(&w, x->hub, &r, deliver, &x->seen[i]);
        assert_true(error == OK || error == ERR_NO_MEMORY);
        if (error == OK)
            (*made)++;
        else
            assert_int_equal(watcher_create(&w, x->hub, &r, deliver, &x->seen[i]), OK);
    }
}

/* The state has memory; the hub fails once, somewhere. */
static bool run_scene(size_t n)
{
    struct scene x = {0};
    struct arena arena;
    size_t made = 0;
    arena_init(&arena, 1 << 20);
    struct state_source from = {.read = read_value, .scan = scan, .context = &x};
    struct state_sink sink = {.record = on_record, .context = &x};
    assert_int_equal(state_create(&x.state), OK);
    assert_int_equal(watch_hub_create(&x.hub, x.state), OK);
    has_failed = false;
    until_failure = n;
    watch_all(&x, &made);
    for (unsigned i = 0; i < PUTS; i++) {
        (void)snprintf(x.keys[i], sizeof(x.keys[i]), "k%02u", i % 7);
        struct state_command c = {.type = STATE_PUT, .put = {.key = bytes_of_str(x.keys[i])}};
        x.left = until_failure;
        until_failure = 0; /* but for the hub, in on_record */
        struct state_result result;
        assert_int_equal(state_apply_command(x.state, &c, NULL, &arena, &sink, &result, NULL), OK);
        until_failure = x.left;
        watch_hub_commit(x.hub);
        if (i % 4 != 0)
            continue;
        enum err error = OK;
        for (unsigned tries = 0; tries < 20 && watch_hub_behind_count(x.hub) > 0; tries++) {
            arena_reset(&arena);
            (void)watch_hub_catch_up(x.hub, &from, &arena, &error);
        }
        assert_int_equal(error, OK); /* it failed once at most, and was tried again */
    }
    for (unsigned tries = 0; tries < 20 && watch_hub_behind_count(x.hub) > 0; tries++) {
        enum err error;
        (void)watch_hub_catch_up(x.hub, &from, &arena, &error);
    }
    for (size_t i = 0; i < WATCHERS; i++)
        assert_int_equal(x.seen[i], PUTS); /* none lost, none twice */
    until_failure = 0;
    watch_hub_destroy(x.hub);
    state_destroy(x.state);
    arena_fini(&arena);
    return has_failed;
}

static void watches_lose_nothing_without_memory(void **state)
{
    (void)state;
    size_t n = 1;
    while (run_scene(n))
        n++;
    assert_true(n > WATCHERS);
}

static void a_lessor_without_memory_says_so(void **state)
{
    (void)state;
    for (size_t n = 1;; n++) {
        struct lessor *l = NULL;
        until_failure = n;
        has_failed = false;
        enum err error = lessor_create(&l);
        for (int64_t id = 0; error == OK && id < 200; id++)
            error = lessor_add(l, id, 5, 0);
        until_failure = 0;
        assert_int_equal(error, has_failed ? ERR_NO_MEMORY : OK);
        lessor_destroy(l);
        if (!has_failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_without_memory_says_so),
        cmocka_unit_test(a_restore_without_memory_says_so),
        cmocka_unit_test(watches_lose_nothing_without_memory),
        cmocka_unit_test(a_lessor_without_memory_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
