/* Memory runs out, once for each allocation of a run that touches everything: the core stops for
 * good with ERR_NO_MEMORY, hands out nothing, leaks nothing, and a restart from the storage goes
 * on. The linker hands the core's allocations to the functions below. */
#include "tests/unit/consensus/core/cluster.h"

#include <limits.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t count, size_t size);

static bool in_core;
static long allocations_left; /* the next one fails at 0, and all behind it */

static bool is_exhausted(void)
{
    return in_core && allocations_left-- <= 0;
}

void *__wrap_malloc(size_t size)
{
    return is_exhausted() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_exhausted() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return is_exhausted() ? NULL : __real_realloc(old, size);
}

void *__wrap_reallocarray(void *old, size_t count, size_t size)
{
    return is_exhausted() ? NULL : __real_reallocarray(old, count, size);
}

/* --- the run ---------------------------------------------------------------------------------- */

struct run {
    struct raft *raft;
    struct raft_config config;
    struct raft_memory storage;
    struct configuration_state configuration;
    uint64_t applied;
    enum err error; /* what stopped it */
};

/* False once the core has stopped: the rest of the script is then left out. */
static bool went(struct run *r, enum err error)
{
    in_core = false;
    if (error == OK || error == ERR_REFUSED)
        return true;
    r->error = error;
    return false;
}

#define CORE(run, call) ((run)->error == OK && (in_core = true, went((run), (call))))

static bool open_core(struct run *r)
{
    r->config.storage = raft_memory_storage(&r->storage);
    r->config.hard_state = r->storage.hard_state;
    r->config.configuration = r->configuration;
    r->config.applied = r->applied;
    return CORE(r, raft_create(&r->raft, &r->config));
}

static bool step(struct run *r, struct raft_message m)
{
    m.to = 1;
    return CORE(r, raft_step(r->raft, &m));
}

static void apply_committed(struct run *r, struct entries committed)
{
    for (size_t i = 0; i < committed.count && r->error == OK; i++) {
        const struct entry *e = &committed.items[i];
        struct configuration_change change;
        r->applied = e->index;
        if (!entry_is_change(e))
            continue;
        assert_int_equal(change_decode(&change, e->type, payload_bytes(e->payload)), OK);
        if (CORE(r, raft_apply_change(r->raft, &change, NULL)))
            r->configuration = *raft_configuration(r->raft);
    }
}

static void keep(struct run *r, const struct raft_ready *ready)
{
    if (ready->has_hard_state)
        r->storage.hard_state = ready->hard_state;
    if (ready->snapshot != NULL) {
        assert_true(raft_memory_install(&r->storage, ready->snapshot));
        r->configuration = ready->snapshot->configuration;
        r->applied = ready->snapshot->index;
    }
    assert_true(raft_memory_append(&r->storage, ready->entries));
}

/* Our own answers, as asynchronous storage gives them. */
static void respond(struct run *r, const struct raft_message *work)
{
    for (size_t i = 0; i < work->response_count; i++) {
        if (work->responses[i].to == 1)
            (void)step(r, work->responses[i]);
    }
}

static void turn(struct run *r)
{
    while (r->error == OK && raft_has_ready(r->raft)) {
        struct raft_ready ready;
        struct message_list own = {0};
        if (!CORE(r, raft_ready(r->raft, &ready)))
            return;
        keep(r, &ready);
        apply_committed(r, ready.committed);
        for (size_t i = 0; i < ready.message_count; i++) {
            struct raft_message copy;
            if (ready.messages[i].response_count == 0)
                continue;
            assert_int_equal(message_copy(&copy, &ready.messages[i]), OK);
            assert_int_equal(message_list_take(&own, &copy), OK);
        }
        for (size_t i = 0; i < own.count; i++)
            respond(r, &own.items[i]);
        message_list_fini(&own);
        if (!r->config.async_storage)
            (void)CORE(r, raft_advance(r->raft));
    }
}

static void acknowledge(struct run *r, uint64_t term, uint64_t index)
{
    for (uint64_t id = 2; id <= 3; id++)
        (void)step(r,
                   (struct raft_message){
                       .type = MESSAGE_APPEND_RESPONSE, .from = id, .term = term, .index = index});
    turn(r);
}

static void lead(struct run *r, struct payload *p)
{
    (void)CORE(r, raft_campaign(r->raft));
    turn(r);
    (void)step(r, (struct raft_message){.type = MESSAGE_PRE_VOTE_RESPONSE, .from = 2, .term = 1});
    turn(r);
    (void)step(r, (struct raft_message){.type = MESSAGE_VOTE_RESPONSE, .from = 2, .term = 1});
    struct entry asked = {.payload = p};
    (void)step(r, (struct raft_message){.type = MESSAGE_READ_INDEX,
                                        .from = 2,
                                        .entries = {.items = &asked, .count = 1}});
    (void)CORE(r, raft_read_index(r->raft, p));
    turn(r);
    acknowledge(r, 1, 1);
    for (int i = 0; i < 6; i++)
        (void)CORE(r, raft_propose(r->raft, p));
    turn(r);
    acknowledge(r, 1, 7);
    struct payload *token = payload_create(bytes_of("\x02\0\0\0\0\0\0\0", 8));
    assert_non_null(token);
    (void)step(r, (struct raft_message){
                      .type = MESSAGE_HEARTBEAT_RESPONSE, .from = 2, .term = 1, .context = token});
    payload_release(token);
    turn(r);
}

static void change(struct run *r)
{
    struct configuration_change c = {.item_count = 2,
                                     .items = {{CHANGE_ADD_LEARNER, 4}, {CHANGE_ADD_LEARNER, 5}}};
    (void)CORE(r, raft_propose_change(r->raft, &c));
    turn(r);
    acknowledge(r, 1, 8);
    acknowledge(r, 1, 9);
    /* 4 needs a snapshot. */
    if (r->error == OK) {
        assert_true(raft_memory_compact(&r->storage, 5));
        struct snapshot s = {.index = 5, .term = 1, .configuration = r->configuration};
        raft_memory_add_history(&r->storage, &s);
    }
    (void)step(
        r, (struct raft_message){
               .type = MESSAGE_APPEND_RESPONSE, .from = 4, .term = 1, .index = 7, .reject = true});
    turn(r);
    (void)CORE(r, raft_transfer_leadership(r->raft, 2));
    (void)CORE(r, raft_tick(r->raft));
    turn(r);
}

static void follow(struct run *r, struct payload *p)
{
    struct entry e[] = {{.term = 3, .index = 10, .payload = p}, {.term = 3, .index = 11}};
    struct entry other[] = {{.term = 4, .index = 11, .payload = p}};
    struct raft_message vote = {
        .type = MESSAGE_VOTE, .from = 3, .term = 3, .log_term = 2, .index = 20};
    (void)step(r, vote);
    turn(r);
    (void)step(r, (struct raft_message){.type = MESSAGE_APPEND,
                                        .from = 3,
                                        .term = 3,
                                        .log_term = 1,
                                        .index = 9,
                                        .entries = {.items = e, .count = 2}});
    turn(r);
    (void)step(r, (struct raft_message){.type = MESSAGE_APPEND,
                                        .from = 2,
                                        .term = 4,
                                        .log_term = 3,
                                        .index = 10,
                                        .commit = 11,
                                        .entries = {.items = other, .count = 1}});
    (void)CORE(r, raft_propose(r->raft, p)); /* handed on */
    (void)CORE(r, raft_read_index(r->raft, p));
    turn(r);
    struct entry asked = {.payload = p};
    (void)step(r, (struct raft_message){.type = MESSAGE_READ_INDEX_RESPONSE,
                                        .from = 2,
                                        .term = 4,
                                        .index = 11,
                                        .entries = {.items = &asked, .count = 1}});
    struct snapshot s = {.index = 50, .term = 4, .configuration = r->configuration};
    (void)step(
        r, (struct raft_message){.type = MESSAGE_SNAPSHOT, .from = 2, .term = 4, .snapshot = &s});
    turn(r);
    (void)step(r, (struct raft_message){.type = MESSAGE_TIMEOUT_NOW, .from = 2, .term = 4});
    turn(r);
}

static void check_stopped(struct run *r)
{
    struct raft_ready ready;
    assert_int_equal(r->error, ERR_NO_MEMORY);
    if (r->raft == NULL)
        return; /* it was never made */
    assert_int_equal(raft_tick(r->raft), ERR_NO_MEMORY);
    assert_int_equal(raft_ready(r->raft, &ready), ERR_NO_MEMORY);
    assert_int_equal(raft_propose(r->raft, NULL), ERR_NO_MEMORY);
    assert_int_equal(raft_campaign(r->raft), ERR_NO_MEMORY);
}

/* What the storage holds is enough to go on. */
static void check_restart(struct run *r)
{
    uint64_t term = r->storage.hard_state.term;
    raft_destroy(r->raft);
    r->raft = NULL;
    r->error = OK;
    allocations_left = LONG_MAX;
    assert_true(open_core(r));
    struct raft_status s;
    raft_status(r->raft, &s);
    assert_int_equal(s.term, term);
    for (int i = 0; i < 10; i++)
        (void)CORE(r, raft_campaign(r->raft));
    turn(r);
    assert_int_equal(r->error, OK);
}

/* False if memory did not run out. */
static bool run_with(long allocations, bool async)
{
    struct run r = {.config = cluster_config()};
    struct payload *p = payload_create(bytes_of_str("some payload"));
    assert_non_null(p);
    r.config.id = 1;
    r.config.async_storage = async;
    r.config.pre_vote = true;
    r.config.max_message_size = 40;
    for (uint64_t id = 1; id <= 3; id++)
        assert_true(id_set_add(&r.configuration.voters, id));
    raft_memory_init(&r.storage);
    allocations_left = allocations;
    if (open_core(&r)) {
        lead(&r, p);
        change(&r);
        follow(&r, p);
    }
    bool ran_out = r.error != OK;
    if (ran_out) {
        check_stopped(&r);
        check_restart(&r);
    } else {
        assert_int_equal(r.applied, 50);
        struct raft_status s;
        raft_status(r.raft, &s);
        assert_int_equal(s.role, RAFT_CANDIDATE);
    }
    raft_destroy(r.raft);
    raft_memory_fini(&r.storage);
    assert_int_equal(p->references, 1);
    payload_release(p);
    return ran_out;
}

static void run_for_every_allocation(bool async)
{
    long n = 0;
    while (run_with(n, async))
        n++;
    print_message("%ld allocations\n", n);
    assert_true(n > 100);
}

static void test_memory_runs_out_with_asynchronous_storage(void **state)
{
    (void)state;
    run_for_every_allocation(true);
}

static void test_memory_runs_out_without(void **state)
{
    (void)state;
    run_for_every_allocation(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_runs_out_with_asynchronous_storage),
        cmocka_unit_test(test_memory_runs_out_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
