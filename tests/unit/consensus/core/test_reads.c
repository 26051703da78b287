/* Linearizable reads (thesis section 6.4), and flow control. */
#include "tests/unit/consensus/core/cluster.h"

static void init(struct cluster *c, size_t count)
{
    struct raft_config config = cluster_config();
    cluster_init(c, count, &config);
}

static enum err read_at(struct cluster *c, uint64_t id, const char *context)
{
    struct payload *p = payload_create(bytes_of_str(context));
    assert_non_null(p);
    enum err error = raft_read_index(raft_of(c, id), p);
    payload_release(p);
    return error;
}

/* The index that CONTEXT was answered with; 0: not yet. */
static uint64_t answered(struct cluster *c, uint64_t id, const char *context)
{
    const struct member *m = member(c, id);
    for (size_t i = 0; i < m->read_count; i++) {
        if (strcmp(m->read_context[i], context) == 0)
            return m->read_index[i];
    }
    return 0;
}

/* --- reads ------------------------------------------------------------------------------------ */

static void test_a_read_waits_for_a_quorum(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose(&c, 1, "a");
    settle(&c);
    isolate(&c, 1, true);
    assert_int_equal(read_at(&c, 1, "r"), OK);
    settle(&c);
    assert_int_equal(answered(&c, 1, "r"), 0);
    isolate(&c, 1, false);
    tick(&c, 1, 1);
    settle(&c);
    assert_int_equal(answered(&c, 1, "r"), 2);
    cluster_fini(&c);
}

/* Before it has committed an entry of its own term a leader does not know what is committed. */
static void test_a_new_leader_answers_once_its_own_entry_is_committed(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose(&c, 1, "a"); /* 2 has it; that it is committed, only 1 knows */
    persist(&c, 1);
    deliver(&c, 2), persist(&c, 2);
    deliver(&c, 1), persist(&c, 1);
    assert_int_equal(status_of(&c, 1).commit, 2);
    lose(&c, 0);
    isolate(&c, 1, true);
    assert_int_equal(raft_campaign(raft_of(&c, 2)), OK);
    persist(&c, 2);
    deliver(&c, 3), persist(&c, 3);
    deliver(&c, 2);
    assert_int_equal(status_of(&c, 2).role, RAFT_LEADER);
    assert_int_equal(status_of(&c, 2).commit, 1);
    assert_int_equal(read_at(&c, 2, "r"), OK);
    /* Only heartbeats get through: they confirm that it leads, and that is not enough. */
    ready(&c, 2);
    deliver_type(&c, 3, MESSAGE_HEARTBEAT);
    persist(&c, 3);
    deliver_type(&c, 2, MESSAGE_HEARTBEAT_RESPONSE);
    ready(&c, 2);
    assert_int_equal(answered(&c, 2, "r"), 0);
    settle(&c);
    assert_true(answered(&c, 2, "r") >= 3);
    cluster_fini(&c);
}

/* An answer to a heartbeat that was sent before the read confirms nothing about it; nor does the
 * same answer twice. */
static void test_a_late_answer_confirms_no_newer_read(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    assert_int_equal(read_at(&c, 1, "first"), OK);
    ready(&c, 1);
    deliver(&c, 2);
    lose(&c, 3);
    ready(&c, 2);
    /* 2's answer is on its way while another leader may come to be. */
    assert_int_equal(read_at(&c, 1, "second"), OK);
    ready(&c, 1);
    lose(&c, 2), lose(&c, 3);
    const struct raft_message *late = in_flight(&c, 1, MESSAGE_HEARTBEAT_RESPONSE);
    assert_non_null(late);
    struct raft_message again;
    assert_int_equal(message_copy(&again, late), OK);
    deliver(&c, 1);
    assert_int_equal(raft_step(raft_of(&c, 1), &again), OK);
    message_fini(&again);
    ready(&c, 1);
    assert_int_equal(answered(&c, 1, "first"), 1);
    assert_int_equal(answered(&c, 1, "second"), 0);
    cluster_fini(&c);
}

static void test_reads_with_equal_contexts_are_all_answered(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_at(&c, 1, "same"), OK);
    assert_int_equal(read_at(&c, 2, "same"), OK);
    settle(&c);
    assert_int_equal(member(&c, 1)->read_count, 3);
    assert_int_equal(member(&c, 2)->read_count, 1);
    cluster_fini(&c);
}

static void test_learners_confirm_no_read(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    add_member(&c, 4);
    propose_change(&c, 1, "l4");
    settle(&c);
    tick(&c, 1, 1);
    settle(&c);
    isolate(&c, 2, true);
    isolate(&c, 3, true);
    assert_int_equal(read_at(&c, 1, "r"), OK);
    tick(&c, 1, 1);
    settle(&c);
    assert_int_equal(answered(&c, 1, "r"), 0);
    cluster_fini(&c);
}

static void test_a_cluster_of_one_answers_at_once(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 1);
    elect(&c, 1);
    assert_int_equal(read_at(&c, 1, "r"), OK);
    ready(&c, 1);
    assert_int_equal(answered(&c, 1, "r"), 1);
    cluster_fini(&c);
}

static void test_a_deposed_leader_never_answers(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 1, true);
    assert_int_equal(read_at(&c, 1, "r"), OK);
    settle(&c);
    elect(&c, 2);
    propose(&c, 2, "newer");
    settle(&c);
    isolate(&c, 1, false);
    tick(&c, 1, 1);
    tick(&c, 2, 1);
    settle(&c);
    assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
    assert_int_equal(answered(&c, 1, "r"), 0);
    cluster_fini(&c);
}

static void test_waiting_reads_are_bounded(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 2);
    elect(&c, 1);
    isolate(&c, 1, true);
    for (int i = 0; i < RAFT_MAX_PENDING_READS; i++) {
        assert_int_equal(raft_read_index(raft_of(&c, 1), NULL), OK);
        ready(&c, 1);
        lose(&c, 0);
    }
    assert_int_equal(raft_read_index(raft_of(&c, 1), NULL), ERR_LIMIT);
    assert_int_equal(status_of(&c, 1).pending_reads, RAFT_MAX_PENDING_READS);
    cluster_fini(&c);
}

/* --- flow control ----------------------------------------------------------------------------- */

static size_t count_in_flight(const struct cluster *c, uint64_t to, enum message_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < c->network.count; i++)
        count += c->network.items[i].to == to && c->network.items[i].type == type;
    return count;
}

static void test_appends_on_their_way_are_bounded(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.max_inflight = 4;
    cluster_init(&c, 2, &config);
    elect(&c, 1);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 20; i++)
            propose(&c, 1, "x");
        ready(&c, 1);
        assert_int_equal(count_in_flight(&c, 2, MESSAGE_APPEND), 4);
        settle(&c); /* the window is freed, whatever was in it */
        assert_int_equal(raft_progress(raft_of(&c, 1), 1)->inflights.count, 0);
        assert_int_equal(member(&c, 2)->applied, 1 + 20 * (round + 1));
    }
    cluster_fini(&c);
}

static void test_bytes_on_their_way_are_bounded(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.max_message_size = 10;
    config.max_inflight_size = 10;
    cluster_init(&c, 2, &config);
    elect(&c, 1);
    for (int i = 0; i < 20; i++)
        propose(&c, 1, "four");
    ready(&c, 1);
    assert_int_equal(count_in_flight(&c, 2, MESSAGE_APPEND), 3); /* 4 + 4 + 4, the last is over */
    settle(&c);
    assert_int_equal(member(&c, 2)->applied, 21);
    assert_int_equal(raft_progress(raft_of(&c, 1), 1)->inflights.size, 0);
    cluster_fini(&c);
}

static void test_an_entry_beyond_every_limit_still_moves(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    char big[300];
    memset(big, 'b', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    config.max_message_size = config.max_inflight_size = config.max_uncommitted_size = 10;
    cluster_init(&c, 3, &config);
    elect(&c, 1);
    assert_true(propose(&c, 1, big));
    assert_false(propose(&c, 1, "no more before it is committed"));
    settle(&c);
    assert_true(has_applied(&c, 3, big));
    assert_int_equal(status_of(&c, 1).uncommitted_size, 0);
    assert_true(propose(&c, 1, "small"));
    settle(&c);
    cluster_fini(&c);
}

static void test_entries_without_bytes_pass_every_limit(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.max_message_size = 0; /* one entry a message */
    config.max_uncommitted_size = 1;
    cluster_init(&c, 2, &config);
    elect(&c, 1);
    for (int i = 0; i < 10; i++)
        assert_int_equal(raft_propose(raft_of(&c, 1), NULL), OK);
    settle(&c);
    assert_int_equal(member(&c, 2)->applied, 11);
    cluster_fini(&c);
}

/* All appends of a full window are lost: the answer to a heartbeat starts it again. */
static void test_a_paused_member_resumes_on_a_heartbeats_answer(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.max_inflight = 3;
    cluster_init(&c, 2, &config);
    elect(&c, 1);
    isolate(&c, 2, true);
    for (int i = 0; i < 10; i++)
        propose(&c, 1, "x");
    settle(&c);
    assert_true(progress_is_paused(raft_progress(raft_of(&c, 1), 1)));
    isolate(&c, 2, false);
    settle(&c);
    assert_int_equal(member(&c, 2)->applied, 1);
    tick(&c, 1, 1);
    settle(&c);
    assert_int_equal(member(&c, 2)->applied, 11);
    cluster_fini(&c);
}

static void test_a_slow_member_gets_one_snapshot_and_goes_on(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 3, true);
    for (int i = 0; i < 10; i++)
        propose(&c, 1, "x");
    settle(&c);
    assert_true(raft_memory_compact(&member(&c, 1)->storage, 11));
    isolate(&c, 3, false);
    tick(&c, 1, 1);
    size_t snapshots = 0;
    for (int i = 0; i < 10; i++) {
        persist(&c, 1);
        snapshots += count_in_flight(&c, 3, MESSAGE_SNAPSHOT);
        for (uint64_t id = 2; id <= 3; id++) {
            deliver(&c, id);
            persist(&c, id);
        }
        deliver(&c, 1);
    }
    assert_int_equal(snapshots, 1);
    assert_int_equal(raft_progress(raft_of(&c, 1), 2)->state, PROGRESS_REPLICATE);
    propose(&c, 1, "after");
    settle(&c);
    assert_true(has_applied(&c, 3, "after"));
    cluster_fini(&c);
}

static void test_a_failed_snapshot_is_tried_again_after_a_heartbeat(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 3, true);
    propose(&c, 1, "x");
    settle(&c);
    assert_true(raft_memory_compact(&member(&c, 1)->storage, 2));
    isolate(&c, 3, false);
    tick(&c, 1, 1);
    ready(&c, 1);
    deliver(&c, 3), persist(&c, 3);
    deliver(&c, 1), ready(&c, 1);
    if (in_flight(&c, 3, MESSAGE_SNAPSHOT) == NULL) {
        deliver(&c, 3), persist(&c, 3);
        deliver(&c, 1), ready(&c, 1);
    }
    assert_non_null(in_flight(&c, 3, MESSAGE_SNAPSHOT));
    lose(&c, 3);
    assert_int_equal(raft_report_snapshot(raft_of(&c, 1), 3, true), OK);
    ready(&c, 1);
    assert_null(in_flight(&c, 3, MESSAGE_SNAPSHOT));
    tick(&c, 1, 1);
    settle(&c);
    assert_true(member(&c, 3)->applied >= 2);
    cluster_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_read_waits_for_a_quorum),
        cmocka_unit_test(test_a_new_leader_answers_once_its_own_entry_is_committed),
        cmocka_unit_test(test_a_late_answer_confirms_no_newer_read),
        cmocka_unit_test(test_reads_with_equal_contexts_are_all_answered),
        cmocka_unit_test(test_learners_confirm_no_read),
        cmocka_unit_test(test_a_cluster_of_one_answers_at_once),
        cmocka_unit_test(test_a_deposed_leader_never_answers),
        cmocka_unit_test(test_waiting_reads_are_bounded),
        cmocka_unit_test(test_appends_on_their_way_are_bounded),
        cmocka_unit_test(test_bytes_on_their_way_are_bounded),
        cmocka_unit_test(test_an_entry_beyond_every_limit_still_moves),
        cmocka_unit_test(test_entries_without_bytes_pass_every_limit),
        cmocka_unit_test(test_a_paused_member_resumes_on_a_heartbeats_answer),
        cmocka_unit_test(test_a_slow_member_gets_one_snapshot_and_goes_on),
        cmocka_unit_test(test_a_failed_snapshot_is_tried_again_after_a_heartbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
