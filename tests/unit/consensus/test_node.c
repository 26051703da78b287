#include "consensus/node.h"

#include "tests/support/fault_vfs.h"
#include "tests/unit/consensus/fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A machine whose state is the sum of its commands. */
struct machine {
    struct node *node;
    int64_t sum;
    int64_t applied_count;
    int64_t tagged_count;
    int64_t dropped_count;
    enum err dropped_why;
    int64_t settled_count;
    int64_t wanted; /* `reached` once so many are applied */
    bool reached;
    uint64_t last_term;
    bool leads;
};

static enum err load(void *context, const struct journal_effect *row)
{
    struct machine *m = context;
    if (row->table == JOURNAL_META)
        m->sum = row->row.value;
    return OK;
}

static enum err apply(void *context, uint64_t index, uint64_t term, struct bytes command,
                      void *proposal)
{
    struct machine *m = context;
    (void)index;
    int64_t number;
    assert_int_equal(command.size, sizeof(number));
    memcpy(&number, command.data, sizeof(number));
    m->sum += number;
    m->last_term = term;
    m->tagged_count += proposal != NULL;
    if (++m->applied_count >= m->wanted)
        m->reached = true;
    struct journal_effect e = {.table = JOURNAL_META};
    e.row.a = 1;
    e.row.value = m->sum;
    assert_non_null(m->node); /* in a replay, too, before node_create returned */
    return node_stage(m->node, &e, 1);
}

static void dropped(void *context, void *proposal, enum err why)
{
    struct machine *m = context;
    assert_non_null(proposal);
    m->dropped_count++;
    m->dropped_why = why;
}

static void settled(void *context)
{
    struct machine *m = context;
    m->settled_count++;
}

static void on_role(void *context, bool is_leader, uint64_t leader, uint64_t term)
{
    struct machine *m = context;
    m->leads = is_leader;
    assert_true(term > m->last_term);
    assert_int_equal(leader, 2);
}

struct world {
    struct fixture f;
    struct machine m;
};

static int set_up(void **state)
{
    static struct world w;
    w = (struct world){0};
    fixture_init(&w.f);
    *state = &w;
    return 0;
}

static void start(struct world *w)
{
    assert_int_equal(fixture_open(&w->f), OK);
    struct journal_start s;
    journal_start(w->f.journal, &s);
    struct id_set alone = {.count = 1, .ids = {2}};
    if (s.is_new)
        assert_int_equal(node_bootstrap(w->f.journal, 1, 2, &alone, &w->f.error), OK);
    w->m = (struct machine){0};
    struct node_config config = {
        .loop = &w->f.loop,
        .journal = w->f.journal,
        .machine = {.load = load,
                    .apply = apply,
                    .dropped = dropped,
                    .settled = settled,
                    .on_role = on_role,
                    .context = &w->m},
    };
    assert_int_equal(node_create(&w->m.node, &config, &w->f.error), OK);
}

static void stop(struct world *w)
{
    node_destroy(w->m.node);
    w->m.node = NULL;
    fixture_close(&w->f);
}

static int tear_down(void **state)
{
    struct world *w = *state;
    stop(w);
    fixture_fini(&w->f);
    return 0;
}

static void propose(struct world *w, int64_t number)
{
    assert_int_equal(node_propose(w->m.node, bytes_of(&number, sizeof(number)), w), OK);
}

/* Until it is elected, and what is proposed goes to the disk in the same turn. */
static void start_and_lead(struct world *w)
{
    start(w);
    fixture_run_until(&w->f, &w->m.leads);
}

static void a_proposal_is_applied_under_its_tag(void **state)
{
    struct world *w = *state;
    start(w);
    w->m.wanted = 1000;
    for (int64_t i = 1; i <= 1000; i++)
        propose(w, i);
    assert_int_equal(w->m.applied_count, 0); /* none before it is durable */
    fixture_run_until(&w->f, &w->m.reached);
    assert_int_equal(w->m.sum, 500500);
    assert_int_equal(w->m.tagged_count, 1000);
    (void)uv_run(&w->f.loop, UV_RUN_NOWAIT);
    assert_true(w->m.settled_count >= 1 && w->m.settled_count <= 10);
    struct journal_stats stats;
    journal_stats(w->f.journal, &stats);
    assert_true(stats.commits < 10); /* they shared transactions */
}

static void the_state_is_the_same_after_a_restart(void **state)
{
    struct world *w = *state;
    start(w);
    uint64_t term = 0;
    for (int round = 0; round < 3; round++) {
        w->m.wanted = 10;
        int64_t before = w->m.sum;
        for (int64_t i = 1; i <= 10; i++)
            propose(w, i);
        fixture_run_until(&w->f, &w->m.reached);
        assert_int_equal(w->m.sum, before + 55);
        assert_true(w->m.last_term > term); /* each start is a term of its own */
        term = w->m.last_term;
        stop(w);
        start(w);
        assert_int_equal(w->m.sum, before + 55);
    }
}

static void what_is_not_applied_is_dropped_as_unknown_and_yet_may_be_durable(void **state)
{
    struct world *w = *state;
    start_and_lead(w);
    for (int64_t i = 1; i <= 10; i++)
        propose(w, i);
    (void)uv_run(&w->f.loop, UV_RUN_NOWAIT); /* a turn: on their way to the disk */
    stop(w);
    assert_int_equal(w->m.dropped_count, 10);
    assert_int_equal(w->m.dropped_why, ERR_CLOSED);
    start(w);
    assert_int_equal(w->m.sum, 55);
    assert_int_equal(w->m.tagged_count, 0);
}

/* Durable and not applied when the process ended: what the replay stages reaches the tables. */
static void effects_of_a_replay_are_staged(void **state)
{
    struct world *w = *state;
    start_and_lead(w);
    for (int64_t i = 1; i <= 10; i++)
        propose(w, i);
    (void)uv_run(&w->f.loop, UV_RUN_NOWAIT); /* a turn: on their way to the disk */
    stop(w);
    start(w);
    assert_int_equal(w->m.applied_count, 10);
    assert_int_equal(w->m.sum, 55);
    stop(w);
    start(w);
    assert_int_equal(w->m.applied_count, 0); /* from the tables alone */
    assert_int_equal(w->m.sum, 55);
}

struct answer {
    int count;
    enum err outcome;
};

static void on_read(void *context, enum err outcome)
{
    struct answer *a = context;
    a->count++;
    a->outcome = outcome;
}

static void a_halted_node_reads_on_and_refuses_every_write(void **state)
{
    struct world *w = *state;
    fault_vfs_register();
    w->f.vfs = FAULT_VFS;
    start(w);
    w->m.wanted = 1;
    propose(w, 7);
    fixture_run_until(&w->f, &w->m.reached);
    fault_vfs_fail_at(0, true);
    propose(w, 8);
    struct node_status status;
    do {
        (void)uv_run(&w->f.loop, UV_RUN_ONCE);
        node_status(w->m.node, &status);
    } while (w->m.dropped_count == 0);
    assert_int_equal(w->m.dropped_why, ERR_IO);
    assert_true(status.halted);
    assert_int_equal(status.leader, 0);
    fault_vfs_heal(); /* the disk works again: nothing is written all the same */
    int64_t number = 9;
    for (int i = 0; i < 3; i++)
        assert_int_equal(node_propose(w->m.node, bytes_of(&number, sizeof(number)), w), ERR_IO);
    assert_int_equal(w->m.dropped_count, 1); /* a refusal is no drop: the tag is the caller's */
    struct answer a = {0};
    node_read(w->m.node, on_read, &a);
    assert_int_equal(a.count, 1);
    assert_int_equal(a.outcome, OK);
    assert_int_equal(w->m.sum, 7);
    stop(w);
    start(w);
    assert_true(w->m.sum == 7 || w->m.sum == 15); /* the fate of 8 was not known; 9 never was */
    w->m.wanted = 1;
    propose(w, 9);
    fixture_run_until(&w->f, &w->m.reached);
    stop(w);
    w->f.vfs = NULL;
    fault_vfs_reset();
    start(w);
}

static void too_many_proposals_are_refused(void **state)
{
    struct world *w = *state;
    start(w);
    struct node_status status;
    node_status(w->m.node, &status);
    for (size_t i = status.pending; i < NODE_MAX_PENDING; i++)
        propose(w, 1);
    int64_t one = 1;
    assert_int_equal(node_propose(w->m.node, bytes_of(&one, sizeof(one)), w), ERR_LIMIT);
    w->m.wanted = (int64_t)(NODE_MAX_PENDING - status.pending);
    fixture_run_until(&w->f, &w->m.reached);
    node_status(w->m.node, &status);
    assert_int_equal(status.pending, 0);
    assert_int_equal(status.applied, status.last_index);
    assert_int_equal(status.proposals_failed, 1);
    propose(w, 1);
}

static void the_log_does_not_grow_without_bound(void **state)
{
    struct world *w = *state;
    start(w);
    for (int round = 1; round <= 30; round++) {
        w->m.wanted = round * 500;
        w->m.reached = false;
        for (int i = 0; i < 500; i++)
            propose(w, 1);
        fixture_run_until(&w->f, &w->m.reached);
    }
    stop(w);
    start(w);
    struct journal_start s;
    journal_start(w->f.journal, &s);
    assert_true(s.last_index >= 15000);
    assert_in_range(s.last_index + 1 - s.first_index, 2000, 6500);
}

static void on_written(void *context, enum err outcome)
{
    assert_int_equal(outcome, OK);
    *(bool *)context = true;
}

/* As a single voter wrote them before there were origins. */
static void a_command_of_no_known_origin_is_applied(void **state)
{
    struct world *w = *state;
    start_and_lead(w);
    w->m.wanted = 1;
    propose(w, 7);
    fixture_run_until(&w->f, &w->m.reached);
    stop(w);
    assert_int_equal(fixture_open(&w->f), OK);
    struct journal_start s;
    journal_start(w->f.journal, &s);
    int64_t number = 5;
    struct log_entry old[2] = {
        {s.last_index + 1, s.last_term, ENTRY_COMMAND, bytes_of(&number, sizeof(number))},
        {s.last_index + 2, s.last_term, ENTRY_EMPTY, BYTES_EMPTY},
    };
    bool done = false;
    struct journal_write write = {.entries = old, .entry_count = 2};
    assert_int_equal(journal_submit(w->f.journal, &write, on_written, &done), OK);
    fixture_run_until(&w->f, &done);
    fixture_close(&w->f);
    start(w);
    assert_int_equal(w->m.sum, 12);
    w->m.reached = false;
    w->m.wanted = w->m.applied_count + 1;
    propose(w, 1);
    fixture_run_until(&w->f, &w->m.reached);
    assert_int_equal(w->m.sum, 13);
}

/* A number of this run is none of the last: a command of then finds no tag of now. */
static void what_an_earlier_run_proposed_meets_no_tag_of_this_one(void **state)
{
    struct world *w = *state;
    start_and_lead(w);
    for (int64_t i = 1; i <= 10; i++)
        propose(w, i);
    (void)uv_run(&w->f.loop, UV_RUN_NOWAIT);
    stop(w);
    start(w);
    w->m.reached = false;
    w->m.wanted = w->m.applied_count + 10;
    for (int64_t i = 1; i <= 10; i++)
        propose(w, i);
    assert_int_equal(w->m.tagged_count, 0);
    fixture_run_until(&w->f, &w->m.reached);
    assert_int_equal(w->m.tagged_count, 10);
    assert_int_equal(w->m.sum, 110);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_proposal_is_applied_under_its_tag),
        TEST(the_state_is_the_same_after_a_restart),
        TEST(what_is_not_applied_is_dropped_as_unknown_and_yet_may_be_durable),
        TEST(effects_of_a_replay_are_staged),
        TEST(a_halted_node_reads_on_and_refuses_every_write),
        TEST(too_many_proposals_are_refused),
        TEST(the_log_does_not_grow_without_bound),
        TEST(a_command_of_no_known_origin_is_applied),
        TEST(what_an_earlier_run_proposed_meets_no_tag_of_this_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
