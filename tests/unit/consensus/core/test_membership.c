/* Changes of the configuration in a running cluster, and snapshots. */
#include "tests/unit/consensus/core/cluster.h"

static void init(struct cluster *c, size_t count)
{
    struct raft_config config = cluster_config();
    cluster_init(c, count, &config);
}

static const struct configuration_state *configuration_of(struct cluster *c, uint64_t id)
{
    return raft_configuration(raft_of(c, id));
}

/* --- when a change may come ------------------------------------------------------------------- */

/* The bug of 2015 (single-server changes): a new leader may not change the configuration while an
 * older change may lie in its log, which is so until an entry of its own term is applied. */
static void test_a_new_leader_changes_nothing_before_its_own_entry_is_applied(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 4);
    elect(&c, 1);
    /* An old change that only 1 and 2 get. */
    isolate(&c, 3, true);
    isolate(&c, 4, true);
    propose_change(&c, 1, "r4");
    persist(&c, 1);
    deliver(&c, 2);
    persist(&c, 2);
    lose(&c, 0);
    crash(&c, 1);
    isolate(&c, 3, false);
    isolate(&c, 4, false);
    assert_int_equal(raft_campaign(raft_of(&c, 2)), OK);
    persist(&c, 2);
    for (uint64_t id = 3; id <= 4; id++) {
        deliver(&c, id);
        persist(&c, id);
    }
    deliver(&c, 2);
    assert_int_equal(status_of(&c, 2).role, RAFT_LEADER);
    /* It leads; nothing of its term is committed. */
    uint64_t last = status_of(&c, 2).last_index;
    propose_change(&c, 2, "r1");
    persist(&c, 2);
    assert_int_equal(member(&c, 2)->storage.entries.items[last].type, ENTRY_REFUSED_CHANGE);
    lose(&c, 0);
    tick(&c, 2, 1);
    settle(&c);
    assert_false(
        configuration_is_member(configuration_of(&c, 2), 4)); /* the old one went through */
    propose_change(&c, 2, "r1");
    settle(&c);
    assert_false(configuration_is_member(configuration_of(&c, 2), 1));
    assert_int_equal(configuration_of(&c, 2)->voters.count, 2);
    cluster_fini(&c);
}

static void test_one_change_at_a_time(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose_change(&c, 1, "l4");
    propose_change(&c, 1, "l5"); /* the first is not applied */
    settle(&c);
    assert_true(configuration_is_member(configuration_of(&c, 1), 4));
    assert_false(configuration_is_member(configuration_of(&c, 1), 5));
    cluster_fini(&c);
}

/* The leader of a configuration is who has applied all that is committed of it. */
static void test_nobody_campaigns_over_committed_changes_that_it_has_not_applied(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose_change(&c, 1, "l4");
    for (int i = 0; i < 4; i++) {
        persist(&c, 1);
        deliver(&c, 2);
        ready(&c, 2);
        store(&c, 2); /* never applies */
        deliver(&c, 1);
    }
    tick(&c, 1, 1);
    persist(&c, 1);
    deliver(&c, 2);
    ready(&c, 2);
    assert_int_equal(status_of(&c, 2).commit, 2);
    assert_true(status_of(&c, 2).applied < 2);
    assert_int_equal(raft_campaign(raft_of(&c, 2)), OK);
    assert_int_equal(status_of(&c, 2).role, RAFT_FOLLOWER);
    apply(&c, 2);
    deliver(&c, 2);
    assert_int_equal(raft_campaign(raft_of(&c, 2)), OK);
    assert_int_equal(status_of(&c, 2).role, RAFT_CANDIDATE);
    cluster_fini(&c);
}

/* --- rollback and restart --------------------------------------------------------------------- */

/* A change takes effect when it is applied: one that is overwritten never had any. */
static void test_an_overwritten_change_never_takes_effect(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 1, true);
    propose_change(&c, 1, "r3");
    settle(&c);
    assert_int_equal(configuration_of(&c, 1)->voters.count, 3);
    elect(&c, 2);
    propose(&c, 2, "a");
    settle(&c);
    isolate(&c, 1, false);
    tick(&c, 2, 1);
    settle(&c);
    assert_int_equal(configuration_of(&c, 1)->voters.count, 3);
    assert_true(has_applied(&c, 1, "a"));
    assert_same_applied(&c);
    cluster_fini(&c);
}

static void test_a_restart_knows_the_configuration_that_was_applied(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose_change(&c, 1, "l4 l5");
    settle(&c);
    isolate(&c, 1, true);
    propose_change(&c, 1, "r3"); /* stored, not committed */
    settle(&c);
    crash(&c, 1);
    restart(&c, 1);
    assert_int_equal(configuration_of(&c, 1)->voters.count, 3);
    assert_int_equal(configuration_of(&c, 1)->learners.count, 2);
    cluster_fini(&c);
}

/* A snapshot's configuration replaces what was in force, also what was joint. */
static void test_a_snapshot_brings_its_configuration(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 3, true);
    propose_change(&c, 1, "v4 r2");
    settle(&c);
    add_member(&c, 4);
    tick(&c, 1, 1);
    settle(&c);
    tick(&c, 1, 1);
    settle(&c);
    assert_false(configuration_is_joint(configuration_of(&c, 1)));
    propose(&c, 1, "a");
    settle(&c);
    assert_true(raft_memory_compact(&member(&c, 1)->storage, status_of(&c, 1).applied));
    isolate(&c, 3, false);
    tick(&c, 1, 1);
    settle(&c);
    tick(&c, 1, 1);
    settle(&c);
    assert_true(member(&c, 3)->storage.installed.index > 0);
    assert_true(configuration_equal(configuration_of(&c, 3), configuration_of(&c, 1)));
    /* It goes on from there by itself. */
    propose(&c, 1, "b");
    settle(&c);
    assert_true(has_applied(&c, 3, "b"));
    assert_same_applied(&c);
    cluster_fini(&c);
}

/* --- joint configurations --------------------------------------------------------------------- */

static void test_a_joint_configuration_needs_both_majorities(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    struct configuration_change change = {
        .transition = CHANGE_EXPLICIT,
        .item_count = 4,
        .items = {
            {CHANGE_ADD_VOTER, 4}, {CHANGE_ADD_VOTER, 5}, {CHANGE_REMOVE, 2}, {CHANGE_REMOVE, 3}}};
    assert_int_equal(raft_propose_change(raft_of(&c, 1), &change), OK);
    settle(&c);
    assert_true(configuration_is_joint(configuration_of(&c, 1)));
    uint64_t commit = status_of(&c, 1).commit;
    propose(&c, 1, "a"); /* 1, 2 and 3 have it: no majority of 1, 4 and 5 */
    settle(&c);
    assert_int_equal(status_of(&c, 1).commit, commit);
    add_member(&c, 4);
    tick(&c, 1, 1);
    settle(&c);
    tick(&c, 1, 1);
    settle(&c);
    assert_int_equal(status_of(&c, 1).commit, commit + 1);
    assert_int_equal(raft_propose_change(raft_of(&c, 1), NULL), OK);
    settle(&c);
    assert_false(configuration_is_joint(configuration_of(&c, 1)));
    assert_false(configuration_is_member(configuration_of(&c, 1), 2));
    cluster_fini(&c);
}

static void test_the_leader_leaves_a_joint_configuration_by_itself(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose_change(&c, 1, "l2 l4");
    settle(&c);
    assert_false(configuration_is_joint(configuration_of(&c, 1)));
    assert_true(id_set_has(&configuration_of(&c, 1)->learners, 2));
    assert_true(id_set_has(&configuration_of(&c, 1)->learners, 4));
    cluster_fini(&c);
}

/* Whoever leads next leaves it. */
static void test_a_leader_that_dies_joint_leaves_it_to_the_next(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 4);
    elect(&c, 1);
    propose_change(&c, 1, "r4 l5");
    for (int i = 0; i < 6 && !configuration_is_joint(configuration_of(&c, 2)); i++) {
        persist(&c, 1);
        for (uint64_t id = 2; id <= 4; id++) {
            deliver(&c, id);
            persist(&c, id);
        }
        deliver(&c, 1);
    }
    assert_true(configuration_is_joint(configuration_of(&c, 2)));
    crash(&c, 1);
    lose(&c, 0);
    elect(&c, 2);
    assert_false(configuration_is_joint(configuration_of(&c, 2)));
    assert_false(configuration_is_member(configuration_of(&c, 3), 4));
    assert_same_applied(&c);
    cluster_fini(&c);
}

/* --- removal ---------------------------------------------------------------------------------- */

static void test_a_leader_steps_down_when_it_is_removed(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.step_down_on_removal = true;
    cluster_init(&c, 3, &config);
    elect(&c, 1);
    propose_change(&c, 1, "r1");
    settle(&c);
    assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
    assert_false(propose(&c, 1, "a"));
    elect(&c, 2);
    propose(&c, 2, "a");
    settle(&c);
    assert_true(has_applied(&c, 3, "a"));
    cluster_fini(&c);
}

static void test_a_dead_member_of_three_is_replaced(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    crash(&c, 3);
    add_member(&c, 4);
    propose_change(&c, 1, "v4 r3");
    for (int i = 0; i < 5; i++) {
        tick(&c, 1, 1);
        settle(&c);
    }
    assert_false(configuration_is_joint(configuration_of(&c, 1)));
    assert_int_equal(configuration_of(&c, 4)->voters.count, 3);
    assert_false(configuration_is_member(configuration_of(&c, 4), 3));
    propose(&c, 1, "a");
    settle(&c);
    assert_true(has_applied(&c, 4, "a"));
    cluster_fini(&c);
}

/* A change that contradicts the configuration in force is refused by every member alike. */
static void test_a_contradicting_change_changes_nothing(void **state)
{
    (void)state;
    struct cluster c;
    enum change_verdict verdict;
    init(&c, 1);
    struct configuration_change remove = {.item_count = 1, .items = {{CHANGE_REMOVE, 1}}};
    assert_int_equal(raft_apply_change(raft_of(&c, 1), &remove, &verdict), OK);
    assert_int_equal(verdict, CHANGE_REMOVES_ALL_VOTERS);
    assert_int_equal(raft_apply_change(raft_of(&c, 1), NULL, &verdict), OK);
    assert_int_equal(verdict, CHANGE_NOT_JOINT);
    assert_int_equal(configuration_of(&c, 1)->voters.count, 1);
    cluster_fini(&c);
}

/* --- snapshots -------------------------------------------------------------------------------- */

/* Older than or at the commit index: nothing is replaced, and the answer says what is there. */
static void test_an_old_snapshot_is_ignored(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose(&c, 1, "a");
    settle(&c);
    struct snapshot s = {.index = 2, .term = 1, .configuration = member(&c, 1)->configuration};
    struct raft_message m = {
        .type = MESSAGE_SNAPSHOT, .from = 1, .to = 2, .term = 1, .snapshot = &s};
    assert_int_equal(raft_step(raft_of(&c, 2), &m), OK);
    persist(&c, 2);
    assert_int_equal(in_flight(&c, 1, MESSAGE_APPEND_RESPONSE)->index, 2);
    assert_int_equal(member(&c, 2)->storage.installed.index, 0);
    cluster_fini(&c);
}

/* One that the log already holds only commits: what lies behind it is kept. */
static void test_a_snapshot_that_the_log_holds_keeps_the_log(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    struct entry e[] = {{.term = 1, .index = 2}, {.term = 1, .index = 3}};
    struct raft_message append = {.type = MESSAGE_APPEND,
                                  .from = 1,
                                  .to = 2,
                                  .term = 1,
                                  .log_term = 1,
                                  .index = 1,
                                  .entries = {.items = e, .count = 2}};
    assert_int_equal(raft_step(raft_of(&c, 2), &append), OK);
    persist(&c, 2);
    struct snapshot s = {.index = 2, .term = 1, .configuration = member(&c, 1)->configuration};
    struct raft_message m = {
        .type = MESSAGE_SNAPSHOT, .from = 1, .to = 2, .term = 1, .snapshot = &s};
    assert_int_equal(raft_step(raft_of(&c, 2), &m), OK);
    persist(&c, 2);
    assert_int_equal(status_of(&c, 2).commit, 2);
    assert_int_equal(status_of(&c, 2).last_index, 3);
    cluster_fini(&c);
}

/* Nothing committed is applied, and nobody campaigns, while a snapshot is being installed. */
static void test_a_snapshot_goes_first(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct snapshot s = {.index = 20, .term = 1, .configuration = member(&c, 1)->configuration};
    struct raft_message m = {
        .type = MESSAGE_SNAPSHOT, .from = 1, .to = 2, .term = 1, .snapshot = &s};
    assert_int_equal(raft_step(raft_of(&c, 2), &m), OK);
    struct entry e = {.term = 1, .index = 21};
    struct raft_message append = {.type = MESSAGE_APPEND,
                                  .from = 1,
                                  .to = 2,
                                  .term = 1,
                                  .log_term = 1,
                                  .index = 20,
                                  .commit = 21,
                                  .entries = {.items = &e, .count = 1}};
    ready(&c, 2);
    assert_int_equal(raft_step(raft_of(&c, 2), &append), OK);
    ready(&c, 2);
    assert_int_equal(member(&c, 2)->to_apply.count, 0);
    assert_int_equal(raft_campaign(raft_of(&c, 2)), OK);
    assert_int_equal(status_of(&c, 2).role, RAFT_FOLLOWER);
    persist(&c, 2);
    assert_int_equal(member(&c, 2)->applied, 21);
    cluster_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_new_leader_changes_nothing_before_its_own_entry_is_applied),
        cmocka_unit_test(test_one_change_at_a_time),
        cmocka_unit_test(test_nobody_campaigns_over_committed_changes_that_it_has_not_applied),
        cmocka_unit_test(test_an_overwritten_change_never_takes_effect),
        cmocka_unit_test(test_a_restart_knows_the_configuration_that_was_applied),
        cmocka_unit_test(test_a_snapshot_brings_its_configuration),
        cmocka_unit_test(test_a_joint_configuration_needs_both_majorities),
        cmocka_unit_test(test_the_leader_leaves_a_joint_configuration_by_itself),
        cmocka_unit_test(test_a_leader_that_dies_joint_leaves_it_to_the_next),
        cmocka_unit_test(test_a_leader_steps_down_when_it_is_removed),
        cmocka_unit_test(test_a_dead_member_of_three_is_replaced),
        cmocka_unit_test(test_a_contradicting_change_changes_nothing),
        cmocka_unit_test(test_an_old_snapshot_is_ignored),
        cmocka_unit_test(test_a_snapshot_that_the_log_holds_keeps_the_log),
        cmocka_unit_test(test_a_snapshot_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
