/* Elections, transfers, and who may not disturb. */
#include "tests/unit/consensus/core/cluster.h"

static void init(struct cluster *c, size_t count)
{
    struct raft_config config = cluster_config();
    cluster_init(c, count, &config);
}

static struct raft_message vote_request(uint64_t from, uint64_t to, uint64_t term,
                                        uint64_t log_term, uint64_t index)
{
    return (struct raft_message){.type = MESSAGE_VOTE,
                                 .from = from,
                                 .to = to,
                                 .term = term,
                                 .log_term = log_term,
                                 .index = index};
}

static void step(struct cluster *c, uint64_t to, const struct raft_message *m)
{
    assert_int_equal(raft_step(raft_of(c, to), m), OK);
}

/* --- the start -------------------------------------------------------------------------------- */

static void assert_no_start(const struct raft_config *config)
{
    struct raft *r;
    assert_int_equal(raft_create(&r, config), ERR_INVALID);
}

#define NO_START(good, change)                                                                     \
    do {                                                                                           \
        struct raft_config bad = (good);                                                           \
        bad.change;                                                                                \
        assert_no_start(&bad);                                                                     \
    } while (0)

static void test_a_start_that_contradicts_itself_is_refused(void **state)
{
    (void)state;
    struct raft_memory storage;
    struct raft_config good = cluster_config();
    struct raft *r;
    raft_memory_init(&storage);
    struct entry entries[] = {{.term = 1, .index = 1}, {.term = 1, .index = 2}};
    assert_true(raft_memory_append(&storage, (struct entries){.items = entries, .count = 2}));
    good.id = 1;
    good.storage = raft_memory_storage(&storage);
    good.hard_state = (struct hard_state){.term = 1, .commit = 1};
    good.configuration.voters = (struct id_set){.count = 1, .ids = {1}};
    assert_int_equal(raft_create(&r, &good), OK);
    raft_destroy(r);
    good.applied = 2; /* the word that it was committed was not durable yet */
    assert_int_equal(raft_create(&r, &good), OK);
    struct raft_status s;
    raft_status(r, &s);
    assert_int_equal(s.commit, 2);
    raft_destroy(r);
    good.applied = 0;
    NO_START(good, id = RAFT_NONE);
    NO_START(good, id = RAFT_APPEND_THREAD);
    NO_START(good, heartbeat_ticks = 0);
    NO_START(good, election_ticks = 1);
    NO_START(good, max_inflight = 0);
    NO_START(good, max_inflight_size = 1); /* below one message */
    NO_START(good, random = NULL);
    NO_START(good, hard_state.commit = 3); /* behind the log */
    NO_START(good, hard_state.term = UINT64_MAX);
    NO_START(good, applied = 3); /* behind the log */
    NO_START(good, configuration.auto_leave = true);
    assert_true(raft_memory_compact(&storage, 2));
    NO_START(good, hard_state.commit = 1); /* before the log */
    raft_memory_fini(&storage);
}

/* --- votes ------------------------------------------------------------------------------------ */

/* Term and vote are written before the vote leaves; a restart in between forgets nothing that was
 * said, and a second candidate of the term gets none. */
static void test_a_vote_is_durable_before_it_is_sent(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct raft_message of_2 = vote_request(2, 1, 5, 0, 0), of_3 = vote_request(3, 1, 5, 0, 0);
    step(&c, 1, &of_2);
    ready(&c, 1);
    assert_null(in_flight(&c, 2, MESSAGE_VOTE_RESPONSE));
    crash(&c, 1); /* nothing was said, so another may get it */
    restart(&c, 1);
    step(&c, 1, &of_3);
    ready(&c, 1);
    assert_null(in_flight(&c, 3, MESSAGE_VOTE_RESPONSE));
    store(&c, 1);
    assert_int_equal(member(&c, 1)->storage.hard_state.vote, 3);
    assert_int_equal(member(&c, 1)->storage.hard_state.term, 5);
    assert_false(in_flight(&c, 3, MESSAGE_VOTE_RESPONSE)->reject);
    crash(&c, 1);
    restart(&c, 1);
    step(&c, 1, &of_2);
    persist(&c, 1);
    assert_true(in_flight(&c, 2, MESSAGE_VOTE_RESPONSE)->reject);
    cluster_fini(&c);
}

static void test_a_candidates_own_vote_counts_once_it_is_durable(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 1);
    assert_int_equal(raft_campaign(raft_of(&c, 1)), OK);
    ready(&c, 1);
    assert_int_equal(deliver(&c, 1), 0);
    assert_int_equal(status_of(&c, 1).role, RAFT_CANDIDATE);
    store(&c, 1);
    deliver(&c, 1);
    assert_int_equal(status_of(&c, 1).role, RAFT_LEADER);
    cluster_fini(&c);
}

static void test_the_same_candidate_may_ask_again(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct raft_message m = vote_request(2, 1, 5, 0, 0);
    for (int i = 0; i < 2; i++) {
        step(&c, 1, &m);
        persist(&c, 1);
        assert_false(in_flight(&c, 2, MESSAGE_VOTE_RESPONSE)->reject);
        lose(&c, 0);
    }
    cluster_fini(&c);
}

/* A transfer lifts the lease, never the rule of one vote a term. */
static void test_the_target_of_a_transfer_gets_no_second_vote(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct raft_message first = vote_request(2, 1, 5, 0, 0), second = vote_request(3, 1, 5, 0, 0);
    second.context = payload_create(bytes_of_str("CampaignTransfer"));
    assert_non_null(second.context);
    step(&c, 1, &first);
    persist(&c, 1);
    step(&c, 1, &second);
    persist(&c, 1);
    assert_true(in_flight(&c, 3, MESSAGE_VOTE_RESPONSE)->reject);
    payload_release(second.context);
    cluster_fini(&c);
}

static void test_a_shorter_or_older_log_gets_no_vote(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    propose(&c, 1, "a");
    settle(&c);
    const struct {
        uint64_t term, index;
        bool granted;
    } cases[] = {{1, 1, false}, {0, 0, false}, {0, 9, false}, {1, 2, true}, {2, 1, true}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct raft_message m = vote_request(3, 2, 10 + i, cases[i].term, cases[i].index);
        step(&c, 2, &m);
        persist(&c, 2);
        assert_int_equal(in_flight(&c, 3, MESSAGE_VOTE_RESPONSE)->reject, !cases[i].granted);
        lose(&c, 0);
    }
    cluster_fini(&c);
}

static void test_a_lost_election_makes_a_follower_of_the_same_term(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    assert_int_equal(raft_campaign(raft_of(&c, 1)), OK);
    persist(&c, 1);
    for (uint64_t id = 2; id <= 3; id++) {
        struct raft_message no = {
            .type = MESSAGE_VOTE_RESPONSE, .from = id, .to = 1, .term = 1, .reject = true};
        assert_int_equal(status_of(&c, 1).role, RAFT_CANDIDATE);
        step(&c, 1, &no);
    }
    assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
    assert_int_equal(status_of(&c, 1).term, 1);
    assert_int_equal(status_of(&c, 1).vote, 1); /* no second one of that term */
    cluster_fini(&c);
}

/* --- pre-votes -------------------------------------------------------------------------------- */

static void test_a_pre_vote_changes_neither_term_nor_vote(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    struct raft_message m = vote_request(2, 1, 5, 0, 0);
    m.type = MESSAGE_PRE_VOTE;
    step(&c, 1, &m);
    persist(&c, 1);
    const struct raft_message *answer = in_flight(&c, 2, MESSAGE_PRE_VOTE_RESPONSE);
    assert_false(answer->reject);
    assert_int_equal(answer->term, 5);
    assert_int_equal(status_of(&c, 1).term, 0);
    assert_int_equal(status_of(&c, 1).vote, RAFT_NONE);
    cluster_fini(&c);
}

static void test_a_granted_pre_vote_is_no_vote(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    assert_int_equal(raft_campaign(raft_of(&c, 1)), OK);
    persist(&c, 1);
    struct raft_message m = {
        .type = MESSAGE_PRE_VOTE_RESPONSE, .from = 2, .to = 1, .term = status_of(&c, 1).term};
    step(&c, 1, &m);
    m.from = 3;
    step(&c, 1, &m);
    assert_int_equal(status_of(&c, 1).role, RAFT_CANDIDATE);
    cluster_fini(&c);
}

/* With PreVote and CheckQuorum a member that was cut off comes back without deposing the leader. */
static void test_who_was_cut_off_does_not_disturb(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.pre_vote = config.check_quorum = true;
    cluster_init(&c, 3, &config);
    elect(&c, 1);
    isolate(&c, 3, true);
    tick(&c, 3, 50);
    settle(&c);
    assert_int_equal(status_of(&c, 3).term, 1);
    tick(&c, 1, 2);
    settle(&c);
    isolate(&c, 3, false);
    tick(&c, 3, 10);
    settle(&c);
    tick(&c, 1, 1);
    settle(&c);
    assert_int_equal(status_of(&c, 1).role, RAFT_LEADER);
    assert_int_equal(status_of(&c, 1).term, 1);
    assert_int_equal(status_of(&c, 3).leader, 1);
    cluster_fini(&c);
}

static void test_a_leader_without_quorum_steps_down(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.check_quorum = true;
    cluster_init(&c, 3, &config);
    elect(&c, 1);
    isolate(&c, 1, true);
    tick(&c, 1, 20);
    assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
    assert_int_equal(status_of(&c, 1).leader, RAFT_NONE);
    cluster_fini(&c);
}

/* --- who may campaign ------------------------------------------------------------------------- */

/* A learner, a stranger and who is removed neither campaign nor take over, also when told to. */
static void test_who_is_no_voter_does_not_campaign(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    add_member(&c, 4);
    propose_change(&c, 1, "l4");
    settle(&c);
    propose_change(&c, 1, "r3");
    settle(&c);
    tick(&c, 1, 1);
    settle(&c);
    assert_true(status_of(&c, 4).is_learner);
    for (uint64_t id = 3; id <= 4; id++) {
        struct raft_message now = {
            .type = MESSAGE_TIMEOUT_NOW, .from = 1, .to = id, .term = status_of(&c, id).term};
        tick(&c, id, 100);
        assert_int_equal(raft_campaign(raft_of(&c, id)), OK);
        step(&c, id, &now);
        if (id == 4) /* 3 may not know yet that it is removed */
            assert_int_equal(status_of(&c, id).role, RAFT_FOLLOWER);
    }
    cluster_fini(&c);
}

/* It may have become a voter without knowing it, and be needed. */
static void test_a_learner_votes(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 2);
    elect(&c, 1);
    add_member(&c, 3);
    propose_change(&c, 1, "l3");
    settle(&c);
    assert_true(status_of(&c, 3).is_learner);
    struct raft_status s = status_of(&c, 3);
    struct raft_message m = vote_request(2, 3, s.term + 1, s.last_term, s.last_index);
    step(&c, 3, &m);
    persist(&c, 3);
    assert_false(in_flight(&c, 2, MESSAGE_VOTE_RESPONSE)->reject);
    cluster_fini(&c);
}

/* --- transfer --------------------------------------------------------------------------------- */

static void test_leadership_is_transferred(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.pre_vote = config.check_quorum = true; /* a transfer needs neither */
    cluster_init(&c, 3, &config);
    elect(&c, 1);
    assert_int_equal(raft_transfer_leadership(raft_of(&c, 1), 3), OK);
    settle(&c);
    assert_int_equal(status_of(&c, 3).role, RAFT_LEADER);
    assert_int_equal(status_of(&c, 1).role, RAFT_FOLLOWER);
    /* And by a follower's word. */
    assert_int_equal(raft_transfer_leadership(raft_of(&c, 1), 2), OK);
    settle(&c);
    assert_int_equal(status_of(&c, 2).role, RAFT_LEADER);
    cluster_fini(&c);
}

/* Also what another follower had handed on to who it thought to be the leader. */
static void test_a_follower_hands_the_wish_for_a_transfer_on(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    struct raft_message m = {.type = MESSAGE_TRANSFER, .from = 3, .to = 2, .term = 1};
    step(&c, 2, &m);
    ready(&c, 2);
    const struct raft_message *wish = in_flight(&c, 1, MESSAGE_TRANSFER);
    assert_non_null(wish);
    assert_int_equal(wish->from, 3);
    assert_int_equal(wish->term, 1);
    settle(&c);
    assert_int_equal(status_of(&c, 3).role, RAFT_LEADER);
    cluster_fini(&c);
}

static void test_a_lagging_target_catches_up_first(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 3, true);
    propose(&c, 1, "a");
    settle(&c);
    isolate(&c, 3, false);
    tick(&c, 1, 1);
    settle(&c);
    isolate(&c, 3, true);
    propose(&c, 1, "b");
    settle(&c);
    assert_int_equal(raft_transfer_leadership(raft_of(&c, 1), 3), OK);
    ready(&c, 1);
    assert_null(in_flight(&c, 3, MESSAGE_TIMEOUT_NOW));
    lose(&c, 0);
    isolate(&c, 3, false);
    tick(&c, 1, 1);
    settle(&c);
    assert_int_equal(status_of(&c, 3).role, RAFT_LEADER);
    assert_true(has_applied(&c, 3, "b"));
    cluster_fini(&c);
}

/* Proposals are refused meanwhile, not lost; a dead target ends it after an election time-out. */
static void test_a_transfer_to_the_dead_ends(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 3);
    elect(&c, 1);
    isolate(&c, 3, true);
    assert_int_equal(raft_transfer_leadership(raft_of(&c, 1), 3), OK);
    settle(&c);
    assert_false(propose(&c, 1, "a"));
    tick(&c, 1, 9);
    assert_false(propose(&c, 1, "a"));
    tick(&c, 1, 1);
    assert_int_equal(status_of(&c, 1).transferee, RAFT_NONE);
    assert_true(propose(&c, 1, "a"));
    settle(&c);
    assert_true(has_applied(&c, 2, "a"));
    cluster_fini(&c);
}

static void test_a_removed_target_ends_the_transfer(void **state)
{
    (void)state;
    struct cluster c;
    init(&c, 4);
    elect(&c, 1);
    isolate(&c, 3, true);
    propose_change(&c, 1, "r3");
    ready(&c, 1);
    assert_int_equal(raft_transfer_leadership(raft_of(&c, 1), 3), OK);
    assert_int_equal(status_of(&c, 1).transferee, 3);
    settle(&c);
    assert_int_equal(status_of(&c, 1).transferee, RAFT_NONE);
    assert_true(propose(&c, 1, "a"));
    cluster_fini(&c);
}

static void test_a_follower_that_forgets_its_leader_grants_pre_votes(void **state)
{
    (void)state;
    struct cluster c;
    struct raft_config config = cluster_config();
    config.pre_vote = config.check_quorum = true;
    cluster_init(&c, 3, &config);
    elect(&c, 1);
    assert_int_equal(raft_forget_leader(raft_of(&c, 2)), OK);
    assert_int_equal(status_of(&c, 2).leader, RAFT_NONE);
    assert_int_equal(raft_campaign(raft_of(&c, 3)), OK);
    settle(&c);
    assert_int_equal(status_of(&c, 3).role, RAFT_LEADER);
    cluster_fini(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_start_that_contradicts_itself_is_refused),
        cmocka_unit_test(test_a_vote_is_durable_before_it_is_sent),
        cmocka_unit_test(test_a_candidates_own_vote_counts_once_it_is_durable),
        cmocka_unit_test(test_the_same_candidate_may_ask_again),
        cmocka_unit_test(test_the_target_of_a_transfer_gets_no_second_vote),
        cmocka_unit_test(test_a_shorter_or_older_log_gets_no_vote),
        cmocka_unit_test(test_a_lost_election_makes_a_follower_of_the_same_term),
        cmocka_unit_test(test_a_pre_vote_changes_neither_term_nor_vote),
        cmocka_unit_test(test_a_granted_pre_vote_is_no_vote),
        cmocka_unit_test(test_who_was_cut_off_does_not_disturb),
        cmocka_unit_test(test_a_leader_without_quorum_steps_down),
        cmocka_unit_test(test_who_is_no_voter_does_not_campaign),
        cmocka_unit_test(test_a_learner_votes),
        cmocka_unit_test(test_leadership_is_transferred),
        cmocka_unit_test(test_a_follower_hands_the_wish_for_a_transfer_on),
        cmocka_unit_test(test_a_lagging_target_catches_up_first),
        cmocka_unit_test(test_a_transfer_to_the_dead_ends),
        cmocka_unit_test(test_a_removed_target_ends_the_transfer),
        cmocka_unit_test(test_a_follower_that_forgets_its_leader_grants_pre_votes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
