/* The commit rule and replication: section B, "Commit rule and replication", of the scenarios that
 * a Raft implementation must survive. Each test says which bug it is about. */
#include "tests/unit/consensus/core/cluster.h"

static void init(struct cluster *c, size_t count)
{
    struct raft_config config = cluster_config();
    cluster_init(c, count, &config);
}

/* An append with one entry, as a leader of TERM sends it. */
static void step_append(struct cluster *c, uint64_t from, uint64_t to, uint64_t term,
                        struct entry prev, const struct entry *entries, size_t count,
                        uint64_t commit)
{
    struct raft_message m = {.type = MESSAGE_APPEND,
                             .from = from,
                             .to = to,
                             .term = term,
                             .log_term = prev.term,
                             .index = prev.index,
                             .commit = commit};
    for (size_t i = 0; i < count; i++)
        assert_int_equal(entry_list_add(&m.entries, &entries[i]), OK);
    assert_int_equal(raft_step(raft_of(c, to), &m), OK);
    entry_list_fini(&m.entries);
}

/* Thesis figure 3.7 (Figure 8 of the paper): an entry of an old term on a majority is not committed
 * by counting, for a leader of a term in between can still overwrite it. */
static void test_figure_8_an_old_entry_on_a_majority_is_not_committed(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 5);
    elect(&c, 1);
    propose(&c, 1, "two"); /* index 2, reaches only 2 */
    persist(&c, 1);
    deliver_type(&c, 2, MESSAGE_APPEND);
    persist(&c, 2);
    lose(&c, 0);
    crash(&c, 1);
    /* 5 leads in term 2 with an entry of its own at index 2, which nobody gets. */
    c.cut[5][2] = c.cut[2][5] = true;
    assert_int_equal(raft_campaign(raft_of(&c, 5)), OK);
    persist(&c, 5);
    for (uint64_t id = 3; id <= 4; id++) {
        deliver(&c, id);
        persist(&c, id);
    }
    deliver(&c, 5);
    assert_int_equal(status_of(&c, 5).role, RAFT_LEADER);
    persist(&c, 5);
    assert_int_equal(stored_term(&c, 5, 2), 2);
    lose(&c, 0);
    crash(&c, 5);
    /* 1 comes back, leads in term 3, and brings its old entry to 3: a majority has it. */
    restart(&c, 1);
    assert_int_equal(raft_campaign(raft_of(&c, 1)), OK);
    persist(&c, 1);
    deliver(&c, 2), persist(&c, 2);
    deliver(&c, 3), persist(&c, 3);
    deliver(&c, 1), persist(&c, 1);
    if (status_of(&c, 1).role != RAFT_LEADER) { /* its term was behind: once more */
        assert_int_equal(raft_campaign(raft_of(&c, 1)), OK);
        persist(&c, 1);
        deliver(&c, 2), persist(&c, 2);
        deliver(&c, 3), persist(&c, 3);
        deliver(&c, 1), persist(&c, 1);
    }
    assert_int_equal(status_of(&c, 1).role, RAFT_LEADER);
    /* Of its log only the old entry gets to 3; its own term's entry does not. */
    struct entry first = {.term = 1, .index = 1};
    struct payload *two = payload_create(bytes_of_str("two"));
    assert_non_null(two);
    struct entry second = {.term = 1, .index = 2, .payload = two};
    uint64_t term = status_of(&c, 1).term;
    lose(&c, 0);
    for (uint64_t id = 2; id <= 3; id++) {
        step_append(&c, 1, id, term, first, &second, 1, 1);
        persist(&c, id);
    }
    payload_release(two);
    deliver(&c, 1);
    persist(&c, 1);
    assert_int_equal(status_of(&c, 1).commit, 1);
    assert_false(has_applied(&c, 1, "two"));
    lose(&c, 0);
    /* 5 may overwrite it, and does. */
    crash(&c, 1);
    restart(&c, 5);
    c.cut[5][2] = c.cut[2][5] = false;
    for (int i = 0; i < 3 && status_of(&c, 5).role != RAFT_LEADER; i++) {
        assert_int_equal(raft_campaign(raft_of(&c, 5)), OK);
        settle(&c);
    }
    assert_int_equal(status_of(&c, 5).role, RAFT_LEADER);
    restart(&c, 1);
    tick(&c, 5, 1);
    settle(&c);
    assert_int_equal(stored_term(&c, 1, 2), 2);
    assert_same_applied(&c);
    cluster_fini(&c);
}

/* Success answers what the append proved, never the follower's last index: that may be another
 * leader's entry. */
static void test_an_answer_acknowledges_what_the_append_proved(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    /* 2 holds {1:1, 2:1, 3:1}, of which 2 and 3 were never committed. */
    struct entry old[] = {
        {.term = 1, .index = 1}, {.term = 1, .index = 2}, {.term = 1, .index = 3}};
    step_append(&c, 3, 2, 1, (struct entry){0}, old, 3, 0);
    persist(&c, 2);
    lose(&c, 0);
    /* A leader of term 2 proves only index 1. */
    step_append(&c, 1, 2, 2, (struct entry){0}, old, 1, 0);
    persist(&c, 2);
    const struct raft_message *answer = in_flight(&c, 1, MESSAGE_APPEND_RESPONSE);
    assert_non_null(answer);
    assert_false(answer->reject);
    assert_int_equal(answer->index, 1);
    cluster_fini(&c);
}

/* min(leader's commit, what the append proved), not min(leader's commit, last index). */
static void test_a_follower_commits_what_the_append_proved(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct entry old[] = {
        {.term = 1, .index = 1}, {.term = 1, .index = 2}, {.term = 1, .index = 3}};
    step_append(&c, 3, 2, 1, (struct entry){0}, old, 3, 0);
    persist(&c, 2);
    step_append(&c, 1, 2, 2, (struct entry){0}, old, 1, 3);
    persist(&c, 2);
    assert_int_equal(status_of(&c, 2).commit, 1);
    assert_int_equal(member(&c, 2)->applied, 1);
    cluster_fini(&c);
}

/* A heartbeat carries min(match, commit): the rest of the member's log may not be the leader's. */
static void test_a_heartbeat_commits_no_further_than_the_match(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 3, true);
    propose(&c, 1, "a");
    settle(&c);
    assert_int_equal(status_of(&c, 1).commit, 2);
    tick(&c, 1, 1);
    ready(&c, 1);
    assert_int_equal(in_flight(&c, 2, MESSAGE_HEARTBEAT)->commit, 2);
    assert_int_equal(in_flight(&c, 3, MESSAGE_HEARTBEAT)->commit, 1);
    cluster_fini(&c);
}

/* Reordered, repeated and late appends of one term. */
static void test_a_late_shorter_append_takes_nothing_back(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct entry e[] = {{.term = 1, .index = 1}, {.term = 1, .index = 2}, {.term = 1, .index = 3}};
    step_append(&c, 1, 2, 1, (struct entry){0}, e, 3, 2);
    persist(&c, 2);
    step_append(&c, 1, 2, 1, (struct entry){0}, e, 1, 1);
    persist(&c, 2);
    assert_int_equal(stored_term(&c, 2, 3), 1);
    assert_int_equal(status_of(&c, 2).last_index, 3);
    assert_int_equal(status_of(&c, 2).commit, 2);
    cluster_fini(&c);
}

/* An answer of an old term says nothing of this one. */
static void test_answers_of_an_old_term_change_nothing(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    elect(&c, 2);
    elect(&c, 1);
    isolate(&c, 3, true);
    isolate(&c, 2, true);
    propose(&c, 1, "a");
    persist(&c, 1);
    uint64_t last = status_of(&c, 1).last_index, commit = status_of(&c, 1).commit;
    struct raft_message late = {
        .type = MESSAGE_APPEND_RESPONSE, .from = 2, .to = 1, .term = 1, .index = last};
    assert_int_equal(raft_step(raft_of(&c, 1), &late), OK);
    assert_int_equal(status_of(&c, 1).commit, commit);
    cluster_fini(&c);
}

/* The quorum is looked at for every answer, also while newer entries keep coming. */
static void test_commit_advances_under_sustained_load(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    for (int i = 0; i < 20; i++) {
        uint64_t before = status_of(&c, 1).last_index;
        propose(&c, 1, "x");
        persist(&c, 1);
        deliver(&c, 2);
        persist(&c, 2);
        propose(&c, 1, "y"); /* another one before the answer comes */
        deliver(&c, 1);
        assert_true(status_of(&c, 1).commit > before);
        persist(&c, 1);
    }
    cluster_fini(&c);
}

/* The leader is a member as the others: its entries count once they are durable. A remote quorum
 * may commit before, but the leader applies nothing that it does not have. */
static void test_a_leader_counts_its_own_entries_once_they_are_durable(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose(&c, 1, "a");
    ready(&c, 1); /* sent, not stored */
    deliver(&c, 2);
    persist(&c, 2);
    deliver_type(&c, 1, MESSAGE_APPEND_RESPONSE);
    assert_int_equal(status_of(&c, 1).commit, 1);
    deliver(&c, 3);
    persist(&c, 3);
    deliver_type(&c, 1, MESSAGE_APPEND_RESPONSE);
    assert_int_equal(status_of(&c, 1).commit, 2);
    ready(&c, 1);
    assert_int_equal(member(&c, 1)->to_apply.count, 0);
    store(&c, 1);
    settle(&c);
    assert_int_equal(member(&c, 1)->applied, 2);
    cluster_fini(&c);
}

static void test_a_cluster_of_one_commits_behind_its_own_write(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 1);
    elect(&c, 1);
    propose(&c, 1, "a");
    ready(&c, 1);
    assert_int_equal(status_of(&c, 1).commit, 1);
    settle(&c);
    assert_int_equal(status_of(&c, 1).commit, 2);
    assert_true(has_applied(&c, 1, "a"));
    cluster_fini(&c);
}

/* Paper figure 7: every follower's log comes to be the leader's, with about one probe a term. */
static void test_figure_7_logs_converge_with_few_probes(void **state)
{
    (void)state;
    static const uint64_t followers[][13] = {
        {1, 1, 1, 4, 4, 5, 5, 6, 6},
        {1, 1, 1, 4},
        {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6},
        {1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7},
        {1, 1, 1, 4, 4, 4, 4},
        {1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3},
    };
    static const uint64_t leader[] = {1, 1, 1, 4, 4, 5, 5, 6, 6, 6};
    for (size_t f = 0; f < ARRAY_COUNT(followers); f++) {
        struct cluster c;
        init(&c, 3);
        for (uint64_t id = 1; id <= 2; id++) {
            const uint64_t *terms = id == 1 ? leader : followers[f];
            size_t count = 0;
            struct entry entries[13];
            for (; count < (id == 1 ? ARRAY_COUNT(leader) : 12) && terms[count] != 0; count++)
                entries[count] = (struct entry){.term = terms[count], .index = count + 1};
            crash(&c, id);
            assert_true(raft_memory_append(&member(&c, id)->storage,
                                           (struct entries){.items = entries, .count = count}));
            member(&c, id)->storage.hard_state.term = 7;
            restart(&c, id);
        }
        /* 3 votes for 1, whatever 2 has. */
        isolate(&c, 2, true);
        elect(&c, 1);
        isolate(&c, 2, false);
        int appends = 0;
        tick(&c, 1, 1);
        for (int turn = 0; turn < 20; turn++) {
            persist(&c, 1);
            appends += in_flight(&c, 2, MESSAGE_APPEND) != NULL;
            deliver(&c, 2);
            persist(&c, 2);
            deliver(&c, 1);
        }
        assert_in_range(appends, 1, 6);
        for (uint64_t index = 1; index <= 11; index++)
            assert_int_equal(stored_term(&c, 2, index), stored_term(&c, 1, index));
        assert_int_equal(stored_term(&c, 2, 12), 0);
        cluster_fini(&c);
    }
}

/* A completed write does not make stable what has replaced it, and is being written: here the same
 * (index, term) comes again, after another leader's (ABA). */
static void test_a_late_completion_does_not_mark_a_replaced_tail_stable(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 5);
    struct entry first = {.term = 1, .index = 1}, second = {.term = 2, .index = 1};
    step_append(&c, 2, 1, 1, (struct entry){0}, &first, 1, 0);
    ready(&c, 1);
    struct message_list writing = member(&c, 1)->to_store;
    member(&c, 1)->to_store = (struct message_list){0};
    step_append(&c, 3, 1, 2, (struct entry){0}, &second, 1, 0);
    ready(&c, 1);
    step_append(&c, 2, 1, 3, (struct entry){0}, &first, 1, 0);
    ready(&c, 1);
    /* The first write completes: its entry is the log's again, but term 2's will overwrite it. */
    assert_true(
        raft_memory_append(&member(&c, 1)->storage, entry_list_view(&writing.items[0].entries)));
    for (size_t i = 0; i < writing.items[0].response_count; i++) {
        if (writing.items[0].responses[i].type == MESSAGE_STORE_RESPONSE)
            assert_int_equal(raft_step(raft_of(&c, 1), &writing.items[0].responses[i]), OK);
    }
    message_list_fini(&writing);
    struct message_list rest = member(&c, 1)->to_store;
    assert_true(rest.count >= 2);
    assert_true(
        raft_memory_append(&member(&c, 1)->storage, entry_list_view(&rest.items[0].entries)));
    /* While the storage holds term 2's entry, our log still says term 1's. */
    assert_int_equal(stored_term(&c, 1, 1), 2);
    assert_int_equal(status_of(&c, 1).last_term, 1);
    settle(&c);
    assert_int_equal(stored_term(&c, 1, 1), 1);
    cluster_fini(&c);
}

/* An error of the storage stops the core for good: nothing is handed out any more. */
static void test_a_failing_storage_stops_the_core(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_ready r;
    init(&c, 3);
    elect(&c, 1);
    member(&c, 1)->storage.fail = ERR_IO;
    assert_int_equal(raft_tick(raft_of(&c, 1)), OK);
    struct raft_message m = {
        .type = MESSAGE_APPEND_RESPONSE, .from = 2, .to = 1, .term = 1, .index = 1, .reject = true};
    assert_int_equal(raft_step(raft_of(&c, 1), &m), OK); /* no news, and nothing read */
    assert_int_equal(raft_report_unreachable(raft_of(&c, 1), 2), OK);
    struct payload *p = payload_create(bytes_of_str("x"));
    assert_int_equal(raft_propose(raft_of(&c, 1), p), ERR_IO);
    payload_release(p);
    assert_int_equal(raft_ready(raft_of(&c, 1), &r), ERR_IO);
    assert_int_equal(raft_tick(raft_of(&c, 1)), ERR_IO);
    cluster_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figure_8_an_old_entry_on_a_majority_is_not_committed),
        cmocka_unit_test(test_an_answer_acknowledges_what_the_append_proved),
        cmocka_unit_test(test_a_follower_commits_what_the_append_proved),
        cmocka_unit_test(test_a_heartbeat_commits_no_further_than_the_match),
        cmocka_unit_test(test_a_late_shorter_append_takes_nothing_back),
        cmocka_unit_test(test_answers_of_an_old_term_change_nothing),
        cmocka_unit_test(test_commit_advances_under_sustained_load),
        cmocka_unit_test(test_a_leader_counts_its_own_entries_once_they_are_durable),
        cmocka_unit_test(test_a_cluster_of_one_commits_behind_its_own_write),
        cmocka_unit_test(test_figure_7_logs_converge_with_few_probes),
        cmocka_unit_test(test_a_late_completion_does_not_mark_a_replaced_tail_stable),
        cmocka_unit_test(test_a_failing_storage_stops_the_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
