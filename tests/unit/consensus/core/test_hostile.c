/* What no correct member sends is refused and changes nothing; random messages never assert. */
#include "tests/support/raft_describe.h"
#include "tests/unit/consensus/core/cluster.h"

#include <stdio.h>

static void init(struct cluster *c)
{
    struct raft_config config = cluster_config();
    cluster_init(c, 3, &config);
    elect(c, 1);
    propose(c, 1, "a");
    settle(c);
    tick(c, 1, 1);
    settle(c);
}

static void assert_same_status(const struct raft_status *a, const struct raft_status *b)
{
    assert_int_equal(a->role, b->role);
    assert_int_equal(a->term, b->term);
    assert_int_equal(a->vote, b->vote);
    assert_int_equal(a->leader, b->leader);
    assert_int_equal(a->commit, b->commit);
    assert_int_equal(a->last_index, b->last_index);
    assert_int_equal(a->last_term, b->last_term);
    assert_int_equal(a->election_elapsed, b->election_elapsed);
    assert_int_equal(a->pending_reads, b->pending_reads);
}

/* Refused by leader 1 and by follower 2, without a trace. */
static void assert_refused(struct cluster *c, struct raft_message m)
{
    for (uint64_t id = 1; id <= 2; id++) {
        struct raft_status before = status_of(c, id), after;
        struct raft_message own = m;
        own.to = m.to == 0 ? id : m.to;
        own.from = m.from == 0 ? 3 : m.from;
        enum err error = raft_step(raft_of(c, id), &own);
        if (error != ERR_MALFORMED) {
            struct strbuf text = STRBUF_EMPTY;
            describe_message(&text, &own);
            fail_msg("%s: %s", strbuf_str(&text), err_text(error));
        }
        after = status_of(c, id);
        assert_same_status(&before, &after);
        assert_false(raft_has_ready(raft_of(c, id)));
    }
}

static void test_types_that_only_we_ourselves_say(void **state)
{
    (void)state;
    struct cluster c;
    static const enum message_type types[] = {
        MESSAGE_CAMPAIGN,        MESSAGE_BEAT,         MESSAGE_UNREACHABLE,
        MESSAGE_SNAPSHOT_STATUS, MESSAGE_CHECK_QUORUM, MESSAGE_STORE,
        MESSAGE_STORE_RESPONSE,  MESSAGE_APPLY,        MESSAGE_APPLY_RESPONSE,
        MESSAGE_FORGET_LEADER,   MESSAGE_TYPE_COUNT,   (enum message_type)77};
    init(&c);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        assert_refused(&c, (struct raft_message){.type = types[i]});
        assert_refused(&c, (struct raft_message){.type = types[i], .term = 1});
    }
    cluster_fini(&c);
}

static void test_senders_and_targets_that_cannot_be(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    struct raft_message m = {.type = MESSAGE_HEARTBEAT, .term = 1, .to = 3};
    assert_refused(&c, m); /* not for us */
    m.to = 0;
    m.from = RAFT_APPLY_THREAD;
    assert_refused(&c, m);
    for (uint64_t id = 1; id <= 2; id++) {
        m = (struct raft_message){.type = MESSAGE_HEARTBEAT, .term = 1, .from = id, .to = id};
        assert_int_equal(raft_step(raft_of(&c, id), &m), ERR_MALFORMED);
        m.from = RAFT_NONE;
        assert_int_equal(raft_step(raft_of(&c, id), &m), ERR_MALFORMED);
        m = (struct raft_message){
            .type = MESSAGE_APPEND_RESPONSE, .term = 1, .from = 9, .to = id, .index = 1};
        assert_int_equal(raft_step(raft_of(&c, id), &m), ERR_NOT_FOUND);
    }
    cluster_fini(&c);
}

static void test_numbers_that_no_log_reaches(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    static const uint64_t numbers[] = {UINT64_MAX, UINT64_MAX - 1, RAFT_MAX_NUMBER + 1};
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        struct raft_message m = {.type = MESSAGE_VOTE, .term = numbers[i]};
        assert_refused(&c, m);
        m = (struct raft_message){.type = MESSAGE_APPEND, .term = 1, .index = numbers[i]};
        assert_refused(&c, m);
        m = (struct raft_message){.type = MESSAGE_APPEND, .term = 1, .commit = numbers[i]};
        assert_refused(&c, m);
        m = (struct raft_message){.type = MESSAGE_VOTE, .term = 5, .log_term = numbers[i]};
        assert_refused(&c, m);
        m = (struct raft_message){
            .type = MESSAGE_APPEND_RESPONSE, .term = 1, .reject = true, .reject_hint = numbers[i]};
        assert_refused(&c, m);
    }
    /* Without a term it would count as ours. */
    assert_refused(&c, (struct raft_message){.type = MESSAGE_APPEND});
    assert_refused(&c, (struct raft_message){.type = MESSAGE_VOTE});
    assert_refused(&c, (struct raft_message){.type = MESSAGE_TIMEOUT_NOW});
    cluster_fini(&c);
}

static void refuse_append(struct cluster *c, uint64_t term, uint64_t index, struct entry *entries,
                          size_t count)
{
    struct raft_message m = {.type = MESSAGE_APPEND,
                             .term = term,
                             .log_term = 1,
                             .index = index,
                             .entries = {.items = entries, .count = count}};
    assert_refused(c, m);
}

static void test_appends_whose_entries_do_not_fit_together(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    struct entry gap[] = {{.term = 1, .index = 3}, {.term = 1, .index = 5}};
    refuse_append(&c, 2, 2, gap, 2);
    refuse_append(&c, 2, 1, gap, 1); /* overlaps nothing: not behind its base */
    struct entry falling[] = {{.term = 2, .index = 3}, {.term = 1, .index = 4}};
    refuse_append(&c, 2, 2, falling, 2);
    struct entry future[] = {{.term = 9, .index = 3}};
    refuse_append(&c, 2, 2, future, 1);
    struct entry none[] = {{.term = 0, .index = 3}};
    refuse_append(&c, 2, 2, none, 1);
    struct entry type[] = {{.term = 2, .index = 3, .type = ENTRY_TYPE_COUNT}};
    refuse_append(&c, 2, 2, type, 1);
    struct payload *p = payload_create(bytes_of_str("\xff\xff not a change"));
    assert_non_null(p);
    struct entry change[] = {{.term = 2, .index = 3, .type = ENTRY_CHANGE, .payload = p}};
    refuse_append(&c, 2, 2, change, 1);
    change[0].type = ENTRY_CHANGE_V1;
    refuse_append(&c, 2, 2, change, 1);
    change[0].type = ENTRY_REFUSED_CHANGE;
    refuse_append(&c, 2, 2, change, 1);
    payload_release(p);
    struct entry last[] = {{.term = 2, .index = RAFT_MAX_NUMBER + 1}};
    refuse_append(&c, 2, RAFT_MAX_NUMBER, last, 1);
    cluster_fini(&c);
}

static void test_proposals_and_reads_with_nothing_in_them(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    struct entry e = {.type = ENTRY_CHANGE_V1};
    struct raft_message m = {.type = MESSAGE_PROPOSAL};
    assert_refused(&c, m);
    m.entries = (struct entry_list){.items = &e, .count = 1};
    assert_refused(&c, m); /* a change that does not decode */
    e.type = ENTRY_NORMAL;
    m.term = 5;
    assert_refused(&c, m);
    assert_refused(&c, (struct raft_message){.type = MESSAGE_READ_INDEX});
    assert_refused(&c, (struct raft_message){.type = MESSAGE_READ_INDEX_RESPONSE, .term = 1});
    cluster_fini(&c);
}

static void test_snapshots_that_cannot_be(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    struct configuration_state good = *raft_configuration(raft_of(&c, 1));
    struct snapshot s = {.index = 9, .term = 1, .configuration = good};
    struct raft_message m = {.type = MESSAGE_SNAPSHOT, .term = 2};
    assert_refused(&c, m);
    m.snapshot = &s;
    s.index = 0;
    assert_refused(&c, m);
    s.index = RAFT_MAX_NUMBER + 1;
    assert_refused(&c, m);
    s.index = 9;
    s.term = 3;
    assert_refused(&c, m);
    s.term = 1;
    s.configuration.learners = s.configuration.voters;
    assert_refused(&c, m);
    s.configuration = good;
    s.configuration.voters.count = 10000;
    assert_refused(&c, m);
    s.configuration = good;
    m.type = MESSAGE_HEARTBEAT; /* where none belongs */
    assert_refused(&c, m);
    cluster_fini(&c);
}

/* A commit index beyond our log would mean that we lost what we had acknowledged. */
static void test_a_heartbeat_beyond_the_log(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    assert_refused(&c, (struct raft_message){.type = MESSAGE_HEARTBEAT, .term = 1, .commit = 3});
    assert_refused(&c, (struct raft_message){.type = MESSAGE_HEARTBEAT, .term = 7, .commit = 3});
    cluster_fini(&c);
}

static void test_answers_that_claim_what_the_leader_did_not_say(void **state)
{
    (void)state;
    struct cluster c;
    init(&c);
    struct raft_message m = {
        .type = MESSAGE_APPEND_RESPONSE, .from = 2, .to = 1, .term = 1, .index = 3};
    assert_int_equal(raft_step(raft_of(&c, 1), &m), ERR_MALFORMED);
    m = (struct raft_message){.type = MESSAGE_HEARTBEAT_RESPONSE, .from = 2, .to = 1, .term = 1};
    m.context = payload_create(bytes_of("\x01\0\0\0\0\0\0\0", 8)); /* no read is waiting */
    assert_non_null(m.context);
    assert_int_equal(raft_step(raft_of(&c, 1), &m), ERR_MALFORMED);
    payload_release(m.context);
    m.context = payload_create(bytes_of_str("short"));
    assert_non_null(m.context);
    assert_int_equal(raft_step(raft_of(&c, 1), &m), ERR_MALFORMED);
    payload_release(m.context);
    cluster_fini(&c);
}

/* --- random ----------------------------------------------------------------------------------- */

static uint64_t some(uint64_t below)
{
    return (uint64_t)rand() % below;
}

static uint64_t some_number(void)
{
    static const uint64_t odd[] = {RAFT_MAX_NUMBER - 1, RAFT_MAX_NUMBER, RAFT_MAX_NUMBER + 1,
                                   UINT64_MAX - 1, UINT64_MAX};
    return some(10) == 0 ? odd[some(ARRAY_COUNT(odd))] : some(8);
}

static void random_message(struct raft_message *m)
{
    static struct snapshot s;
    *m = (struct raft_message){.type = (enum message_type)some(MESSAGE_TYPE_COUNT + 1),
                               .from = some(5),
                               .to = some(20) == 0 ? some(5) : 1,
                               .term = some_number(),
                               .log_term = some_number(),
                               .index = some_number(),
                               .commit = some_number(),
                               .reject = some(2),
                               .reject_hint = some_number()};
    for (uint64_t i = some(4); i > 0; i--) {
        struct entry e = {.term = some(4) > 0 ? m->term : some_number(),
                          .index = some(6) > 0 ? m->index + 1 + m->entries.count : some_number(),
                          .type = some(6) == 0 ? (enum entry_type)some(5) : ENTRY_NORMAL};
        assert_int_equal(entry_list_add(&m->entries, &e), OK);
    }
    if (some(4) == 0) {
        uint8_t octets[8] = {(uint8_t)some(4)};
        m->context = payload_create(bytes_of(octets, some(8) == 0 ? some(9) : 8));
        assert_non_null(m->context);
    }
    if (m->type == MESSAGE_SNAPSHOT) {
        s = (struct snapshot){.index = some_number(), .term = some_number()};
        for (uint64_t id = 1; id <= 4; id++) {
            (void)(some(4) > 0 && id_set_add(&s.configuration.voters, id));
            (void)(some(4) == 0 && id_set_add(&s.configuration.learners, id));
            (void)(some(6) == 0 && id_set_add(&s.configuration.outgoing, id));
        }
        m->snapshot = &s;
    }
}

static void forget_reads(struct member *m)
{
    while (m->read_count > 0)
        free(m->read_context[--m->read_count]);
}

/* One member, and whatever comes: it holds its invariants, and its storage can follow. */
static void run_random(unsigned seed)
{
    struct cluster c;
    struct raft_config config = cluster_config();
    srand(seed);
    config.pre_vote = some(2);
    config.check_quorum = some(2);
    config.max_inflight = 1 + some(4);
    cluster_init(&c, 3, &config);
    struct raft_status last = status_of(&c, 1);
    for (int i = 0; i < 200; i++) {
        struct raft_message m;
        random_message(&m);
        (void)!raft_step(raft_of(&c, 1), &m);
        entry_list_fini(&m.entries);
        payload_release(m.context);
        if (some(10) == 0)
            (void)propose(&c, 1, "x");
        if (some(10) == 0)
            tick(&c, 1, 1 + (unsigned)some(12));
        if (some(10) == 0)
            assert_int_equal(raft_read_index(raft_of(&c, 1), NULL), OK);
        struct raft_status s = status_of(&c, 1);
        assert_true(s.term >= last.term && s.commit >= last.commit && s.applied >= last.applied);
        assert_true(s.applied <= s.commit && s.commit <= s.last_index);
        last = s;
        const struct progress *p;
        for (size_t j = 0; (p = raft_progress(raft_of(&c, 1), j)) != NULL; j++)
            assert_true(p->match < p->next && p->match <= s.last_index);
        if (some(3) == 0)
            ready(&c, 1);
        /* Not applied: hostile entries are no changes to follow. */
        message_list_fini(&member(&c, 1)->to_apply);
        lose(&c, 2), lose(&c, 3), lose(&c, 4);
        forget_reads(member(&c, 1));
    }
    message_list_fini(&member(&c, 1)->to_store);
    cluster_fini(&c);
}

static void test_random_messages(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 2000; seed++)
        run_random(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_that_only_we_ourselves_say),
        cmocka_unit_test(test_senders_and_targets_that_cannot_be),
        cmocka_unit_test(test_numbers_that_no_log_reaches),
        cmocka_unit_test(test_appends_whose_entries_do_not_fit_together),
        cmocka_unit_test(test_proposals_and_reads_with_nothing_in_them),
        cmocka_unit_test(test_snapshots_that_cannot_be),
        cmocka_unit_test(test_a_heartbeat_beyond_the_log),
        cmocka_unit_test(test_answers_that_claim_what_the_leader_did_not_say),
        cmocka_unit_test(test_random_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
