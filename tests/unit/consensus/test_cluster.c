#include "core/message.h"
#include "tests/support/fault_vfs.h"
#include "tests/unit/consensus/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cluster world;

static struct cluster *begin(size_t count, uint64_t seed)
{
    cluster_init(&world, count, count, seed);
    cluster_start_all(&world);
    return &world;
}

static bool nothing_waits(struct cluster *c)
{
    for (int64_t id = 1; id <= c->command_count; id++)
        if (c->commands[id].fate == FATE_WAITING)
            return false;
    return c->reads_waiting == 0;
}

static size_t other_than(const struct cluster *c, size_t member)
{
    return (member + 1) % c->count;
}

static struct node_status status_of(struct cluster *c, size_t member)
{
    struct node_status s;
    node_status(c->members[member].node, &s);
    return s;
}

/* --- in peace --------------------------------------------------------------------------------- */

static void what_the_leader_takes_is_applied_by_all(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 1);
    size_t leader = cluster_elect(c);
    for (int i = 0; i < 500; i++)
        assert_int_not_equal(cluster_propose(c, leader), 0);
    cluster_run_until(c, nothing_waits);
    assert_int_equal(c->acknowledged, 500);
    struct journal_stats stats;
    journal_stats(c->members[leader].journal, &stats);
    assert_true(stats.commits < 60); /* they shared transactions */
    cluster_converge(c);
    cluster_fini(c);
}

static void a_follower_hands_proposals_and_reads_on(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 2);
    size_t follower = other_than(c, cluster_elect(c));
    for (int i = 0; i < 200; i++) {
        assert_int_not_equal(cluster_propose(c, follower), 0);
        cluster_read(c, follower);
        if (i % 20 == 0)
            cluster_run_ms(c, 5);
    }
    cluster_run_until(c, nothing_waits);
    for (int64_t id = 1; id <= c->command_count; id++)
        assert_int_equal(c->commands[id].fate, FATE_APPLIED);
    assert_int_equal(c->reads_allowed, 200);
    cluster_converge(c);
    cluster_fini(c);
}

/* cluster.c fails where a command comes to two indexes. */
static void what_is_handed_on_twice_is_applied_once(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 61);
    size_t follower = other_than(c, cluster_elect(c));
    c->repeat = 100;
    c->delay_ms = 10;
    for (int i = 0; i < 300; i++) {
        assert_int_not_equal(cluster_propose(c, follower), 0);
        if (i % 5 == 0)
            cluster_run_ms(c, 2);
    }
    cluster_run_until(c, nothing_waits);
    for (int64_t id = 1; id <= c->command_count; id++)
        assert_int_equal(c->commands[id].fate, FATE_APPLIED);
    cluster_converge(c);
    assert_int_equal(c->members[0].count, c->command_count);
    cluster_fini(c);
}

static void without_a_leader_proposals_are_refused_at_once(void **state)
{
    (void)state;
    cluster_init(&world, 3, 3, 3);
    cluster_start(&world, 0);
    assert_int_equal(cluster_propose(&world, 0), 0);
    assert_int_equal(world.commands[1].why, ERR_REFUSED);
    cluster_run_ms(&world, 3 * CLUSTER_ELECTION_MS);
    assert_int_equal(cluster_propose(&world, 0), 0);
    assert_int_equal(status_of(&world, 0).leader, 0);
    cluster_read(&world, 0);
    cluster_run_until(&world, nothing_waits);
    assert_int_equal(world.reads_refused, 1);
    cluster_fini(&world);
}

/* --- members that go and come ----------------------------------------------------------------- */

static void a_killed_leader_is_replaced_and_comes_back(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 4);
    for (int round = 0; round < 4; round++) {
        size_t leader = cluster_elect(c);
        for (int i = 0; i < 50; i++)
            (void)cluster_propose(c, leader);
        cluster_run_ms(c, (uint64_t)round * 3);
        cluster_stop(c, leader);
        size_t next = cluster_elect(c);
        assert_int_not_equal(next, leader);
        assert_int_not_equal(cluster_propose(c, next), 0);
        cluster_read(c, next);
        cluster_run_until(c, nothing_waits);
        cluster_start(c, leader);
    }
    cluster_converge(c);
    cluster_fini(c);
}

static void all_stop_and_all_come_back(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 5);
    size_t leader = cluster_elect(c);
    for (int i = 0; i < 100; i++)
        (void)cluster_propose(c, leader);
    cluster_run_until(c, nothing_waits);
    int64_t acknowledged = c->acknowledged;
    for (size_t i = 0; i < 3; i++)
        cluster_stop(c, i);
    cluster_start_all(c);
    cluster_converge(c);
    assert_true(c->members[0].count >= acknowledged + 1);
    cluster_fini(c);
}

static void a_follower_catches_up_from_the_log(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 6);
    size_t leader = cluster_elect(c);
    size_t follower = other_than(c, leader);
    cluster_stop(c, follower);
    for (int i = 0; i < 6000; i++) {
        (void)cluster_propose(c, leader);
        if (i % 500 == 0)
            cluster_run_ms(c, 5);
    }
    cluster_run_until(c, nothing_waits);
    assert_int_equal(c->acknowledged, 6000);
    /* From the disk of a leader that has nothing of it in memory, too. */
    cluster_stop(c, leader);
    cluster_start(c, leader);
    cluster_start(c, follower);
    cluster_converge(c);
    assert_int_equal(c->members[follower].count, c->members[leader].count);
    cluster_fini(c);
}

static void leadership_is_handed_over_without_a_lost_write(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 7);
    for (int round = 0; round < 5; round++) {
        size_t leader = cluster_elect(c);
        size_t target = other_than(c, leader);
        for (int i = 0; i < 20; i++)
            (void)cluster_propose(c, leader);
        cluster_run_ms(c, 2);
        assert_int_equal(node_transfer(c->members[leader].node, c->members[leader].id),
                         ERR_NOT_FOUND);
        assert_int_equal(node_transfer(c->members[target].node, 0), ERR_REFUSED);
        assert_int_equal(node_transfer(c->members[leader].node, c->members[target].id), OK);
        for (int i = 0; i < 100 && cluster_leader(c) != target; i++)
            cluster_run_ms(c, 5);
        assert_int_equal(cluster_elect(c), target);
        cluster_run_until(c, nothing_waits);
    }
    for (int64_t id = 1; id <= c->command_count; id++)
        assert_int_equal(c->commands[id].fate, FATE_APPLIED);
    cluster_converge(c);
    cluster_fini(c);
}

/* --- cuts ------------------------------------------------------------------------------------- */

static void a_minority_acknowledges_nothing_and_reads_nothing(void **state)
{
    (void)state;
    struct cluster *c = begin(5, 8);
    size_t leader = cluster_elect(c);
    size_t friend = other_than(c, leader);
    for (size_t i = 0; i < 5; i++)
        for (size_t k = 0; k < 5; k++)
            c->cuts[i][k] = (i == leader || i == friend) != (k == leader || k == friend);
    int64_t first = c->command_count + 1;
    for (int i = 0; i < 20; i++)
        (void)cluster_propose(c, i % 2 == 0 ? leader : friend);
    cluster_read(c, leader);
    cluster_read(c, friend);
    int64_t last = c->command_count;
    cluster_run_ms(c, 4 * CLUSTER_ELECTION_MS);
    size_t next = cluster_leader(c);
    assert_true(next != leader && next != friend && next < 5);
    assert_int_equal(status_of(c, leader).leader, 0); /* CheckQuorum: it noticed */
    assert_int_equal(cluster_propose(c, leader), 0);
    for (int i = 0; i < 20; i++)
        (void)cluster_propose(c, next);
    cluster_read(c, next);
    cluster_run_ms(c, 500);
    assert_int_equal(c->reads_allowed, 1);
    for (int64_t id = first; id <= last; id++)
        assert_int_not_equal(c->commands[id].fate, FATE_APPLIED);
    cluster_converge(c);
    cluster_run_until(c, nothing_waits);
    cluster_fini(c);
}

/* A leader that hears nobody, or that nobody hears, does not go on leading; reads on it that are
 * allowed see everything (cluster.c checks each). */
static void cuts_of_one_way_end_a_leadership(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        struct cluster *c = begin(3, 9 + (uint64_t)way);
        size_t leader = cluster_elect(c);
        for (size_t i = 0; i < 3; i++)
            if (i != leader)
                cluster_cut(c, way == 0 ? i : leader, way == 0 ? leader : i);
        for (int i = 0; i < 100; i++) {
            (void)cluster_propose(c, (size_t)i % 3);
            cluster_read(c, (size_t)i % 3);
            cluster_run_ms(c, 10);
        }
        size_t next = cluster_leader(c);
        assert_true(next < 3 && next != leader);
        assert_true(c->reads_allowed > 0);
        cluster_converge(c);
        cluster_run_until(c, nothing_waits);
        cluster_fini(c);
    }
}

static void disturb(struct cluster *c)
{
    size_t member = cluster_random(c) % c->count;
    switch (cluster_random(c) % 8) {
    case 0:
        cluster_stop(c, member);
        break;
    case 1:
    case 2:
        cluster_start_all(c);
        break;
    case 3:
        cluster_isolate(c, member);
        break;
    case 4:
        cluster_cut(c, member, cluster_random(c) % c->count);
        break;
    case 5:
    case 6:
        cluster_heal(c);
        c->loss = (unsigned)(cluster_random(c) % 20);
        c->repeat = (unsigned)(cluster_random(c) % 20);
        break;
    default:
        if (c->members[member].node != NULL)
            (void)!node_transfer(c->members[member].node, 0);
        break;
    }
}

static void run_random(size_t count, uint64_t seed, int steps)
{
    struct cluster *c = begin(count, seed);
    c->loss = 5;
    c->repeat = 10;
    c->delay_ms = 1 + (unsigned)(seed % 15);
    for (int i = 0; i < steps; i++) {
        size_t member = cluster_random(c) % count;
        for (uint64_t k = cluster_random(c) % 8; k > 0; k--)
            (void)cluster_propose(c, member);
        cluster_read(c, cluster_random(c) % count);
        if (i % 12 == 11)
            disturb(c);
        cluster_run_ms(c, cluster_random(c) % 15);
    }
    cluster_heal(c);
    cluster_start_all(c);
    cluster_converge(c);
    cluster_run_until(c, nothing_waits);
    print_message("seed %llu: %lld proposed, %lld acknowledged, %zu reads\n",
                  (unsigned long long)seed, (long long)c->command_count, (long long)c->acknowledged,
                  c->reads_allowed);
    assert_true(c->acknowledged > 0 && c->reads_allowed > 0);
    cluster_fini(c);
}

static void through_loss_cuts_and_kills_all_stay_equal(void **state)
{
    (void)state;
    const char *more = getenv("WARREN_CLUSTER_SEEDS");
    uint64_t seeds = more != NULL ? strtoull(more, NULL, 10) : 2;
    for (uint64_t seed = 20; seed < 20 + seeds; seed++) {
        run_random(3, seed, 300);
        run_random(5, seed + 1000, 300);
    }
}

/* --- disks ------------------------------------------------------------------------------------ */

/* Member 0 has the faulty disk. */
static struct cluster *begin_with_fault(uint64_t seed)
{
    fault_vfs_register();
    fault_vfs_reset();
    cluster_init(&world, 3, 3, seed);
    world.members[0].vfs = FAULT_VFS;
    cluster_start_all(&world);
    return &world;
}

static void lead_with(struct cluster *c, size_t member)
{
    while (cluster_elect(c) != member) {
        (void)!node_transfer(c->members[cluster_leader(c)].node, c->members[member].id);
        cluster_run_ms(c, 100);
    }
}

static void a_leader_with_a_full_disk_hands_over(void **state)
{
    (void)state;
    struct cluster *c = begin_with_fault(40);
    lead_with(c, 0);
    int64_t id = cluster_propose(c, 0);
    cluster_run_until(c, nothing_waits);
    assert_int_equal(c->commands[id].fate, FATE_APPLIED);
    fault_vfs_full_after(0);
    for (int i = 0; i < 300 && cluster_leader(c) == 0; i++) {
        (void)cluster_propose(c, 0);
        cluster_run_ms(c, 20);
    }
    size_t next = cluster_elect(c);
    assert_int_not_equal(next, 0);
    assert_int_equal(journal_health(c->members[0].journal), JOURNAL_FULL);
    int64_t count = c->members[0].count;
    id = cluster_propose(c, next);
    cluster_run_ms(c, 300);
    assert_int_equal(c->commands[id].fate, FATE_APPLIED);
    assert_int_equal(c->members[0].count, count); /* nothing is applied that is not durable here */
    fault_vfs_heal();
    cluster_converge(c);
    cluster_run_until(c, nothing_waits);
    cluster_fini(c);
    fault_vfs_reset();
}

static bool is_halted(struct cluster *c)
{
    return status_of(c, 0).halted;
}

static void a_member_whose_disk_fails_is_halted_and_the_others_go_on(void **state)
{
    (void)state;
    for (int leads = 0; leads < 2; leads++) {
        struct cluster *c = begin_with_fault(41 + (uint64_t)leads);
        lead_with(c, leads ? 0 : 1);
        (void)cluster_propose(c, 1);
        cluster_run_until(c, nothing_waits);
        int64_t count = c->members[0].count;
        fault_vfs_fail_at(0, true);
        (void)cluster_propose(c, leads ? 0 : 1);
        cluster_run_until(c, is_halted);
        fault_vfs_heal();
        cluster_read(c, 0);
        assert_int_equal(c->reads_refused, 1); /* at once */
        assert_int_equal(cluster_propose(c, 0), 0);
        assert_true(c->members[0].count <= count + 1);
        assert_false(c->members[0].is_leader);
        cluster_run_ms(c, 3 * CLUSTER_ELECTION_MS);
        size_t leader = cluster_leader(c);
        assert_true(leader == 1 || leader == 2);
        int64_t id = cluster_propose(c, leader);
        cluster_run_until(c, nothing_waits);
        assert_int_equal(c->commands[id].fate, FATE_APPLIED);
        cluster_stop(c, 0);
        cluster_start(c, 0);
        cluster_converge(c);
        cluster_fini(c);
    }
    fault_vfs_reset();
}

/* Whatever was not synced is gone: what it voted and acknowledged is still there. */
static void a_member_that_loses_power_keeps_what_it_promised(void **state)
{
    (void)state;
    struct cluster *c = begin_with_fault(43);
    for (int round = 0; round < 4; round++) {
        if (round % 2 == 0)
            lead_with(c, 0);
        for (int i = 0; i < 100; i++) {
            (void)cluster_propose(c, (size_t)i % 3);
            if (i % 10 == 0)
                cluster_run_ms(c, 1);
        }
        char dir[120];
        (void)snprintf(dir, sizeof(dir), "%.60s-%d", c->members[0].dir, round);
        char command[400];
        (void)snprintf(command, sizeof(command), "mkdir %s", dir);
        assert_int_equal(system(command), 0);
        fault_vfs_image(dir, fault_vfs_count(), round < 2 ? CUT_KEEPS_NOTHING : CUT_TEARS,
                        (uint64_t)round);
        cluster_stop(c, 0);
        (void)snprintf(command, sizeof(command), "rm -rf %.60s && mv %s %.60s", c->members[0].dir,
                       dir, c->members[0].dir);
        assert_int_equal(system(command), 0);
        /* The recording goes on from what is there. */
        c->members[0].vfs = NULL;
        cluster_start(c, 0);
        cluster_converge(c);
        cluster_run_until(c, nothing_waits);
        if (round == 3)
            break;
        cluster_fini(c);
        c = begin_with_fault(44 + (uint64_t)round);
    }
    cluster_fini(c);
    fault_vfs_reset();
}

/* --- membership ------------------------------------------------------------------------------- */

static enum err change(struct cluster *c, size_t at, enum change_type type, uint64_t id)
{
    struct configuration_change one = {
        .item_count = 1, .items = {{.type = type, .id = id}}, .context = bytes_of_str("why")};
    return node_propose_change(c->members[at].node, &one, c);
}

static void change_and_wait(struct cluster *c, size_t at, enum change_type type, uint64_t id)
{
    size_t before = c->members[at].changes;
    assert_int_equal(change(c, at, type, id), OK);
    for (int i = 0; i < 500 && c->members[at].changes == before; i++)
        cluster_run_ms(c, 10);
    assert_int_equal(c->members[at].changes, before + 1);
    assert_int_equal(c->members[at].last_verdict, CHANGE_OK);
}

static void a_single_voter_becomes_three_and_one_again(void **state)
{
    (void)state;
    cluster_init(&world, 3, 1, 50);
    struct cluster *c = &world;
    cluster_start_all(c);
    assert_int_equal(cluster_elect(c), 0);
    for (int i = 0; i < 100; i++)
        (void)cluster_propose(c, 0);
    cluster_run_until(c, nothing_waits);
    change_and_wait(c, 0, CHANGE_ADD_LEARNER, 2);
    change_and_wait(c, 0, CHANGE_ADD_VOTER, 2);
    change_and_wait(c, 0, CHANGE_ADD_VOTER, 3);
    cluster_converge(c);
    assert_int_equal(c->members[2].count, c->members[0].count);
    /* The configuration is durable, with what was applied. */
    for (size_t i = 0; i < 3; i++) {
        cluster_stop(c, i);
        cluster_start(c, i);
        assert_int_equal(status_of(c, i).configuration.voters.count, 3);
    }
    lead_with(c, 0);
    change_and_wait(c, 0, CHANGE_REMOVE, 2);
    cluster_stop(c, 1);
    assert_int_equal(change(c, 0, CHANGE_REMOVE, 1), ERR_INVALID); /* 3 might not know it */
    change_and_wait(c, 0, CHANGE_REMOVE, 3);
    cluster_stop(c, 2);
    cluster_read(c, 0);
    assert_int_equal(c->reads_waiting, 0); /* alone again: at once */
    int64_t id = cluster_propose(c, 0);
    cluster_run_until(c, nothing_waits);
    assert_int_equal(c->commands[id].fate, FATE_APPLIED);
    cluster_fini(c);
}

static void a_leader_that_is_removed_steps_down(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 51);
    size_t leader = cluster_elect(c);
    change_and_wait(c, leader, CHANGE_REMOVE, c->members[leader].id);
    cluster_run_ms(c, 100);
    assert_false(status_of(c, leader).is_leader);
    assert_int_equal(status_of(c, leader).configuration.voters.count, 2);
    cluster_run_ms(c, 5 * CLUSTER_ELECTION_MS);
    size_t next = cluster_elect(c);
    assert_int_not_equal(next, leader);
    assert_int_equal(cluster_propose(c, leader) == 0 ||
                         c->commands[c->command_count].fate == FATE_WAITING,
                     true);
    cluster_converge(c);
    cluster_run_until(c, nothing_waits);
    cluster_fini(c);
}

static void changes_that_contradict_are_reported(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 52);
    size_t leader = cluster_elect(c);
    cluster_run_ms(c, 100); /* its first entry is applied: changes are taken */
    assert_int_equal(change(c, other_than(c, leader), CHANGE_ADD_LEARNER, 6), ERR_REFUSED);
    assert_int_equal(change(c, leader, CHANGE_ADD_LEARNER, 6), OK);
    assert_int_equal(change(c, leader, CHANGE_ADD_LEARNER, 5), OK); /* the first is not applied */
    for (int i = 0; i < 500 && c->changes_dropped == 0; i++)
        cluster_run_ms(c, 10);
    assert_int_equal(c->changes_dropped, 1);
    assert_int_equal(c->change_why, ERR_INVALID);
    struct configuration_state now = status_of(c, leader).configuration;
    assert_true(id_set_has(&now.learners, 6) && !id_set_has(&now.learners, 5));
    change_and_wait(c, leader, CHANGE_REMOVE, 6);
    cluster_converge(c);
    cluster_fini(c);
}

/* --- hostile members -------------------------------------------------------------------------- */

static void what_no_member_sends_is_refused(void **state)
{
    (void)state;
    struct cluster *c = begin(3, 60);
    size_t leader = cluster_elect(c);
    struct node *n = c->members[leader].node;
    uint64_t from = other_than(c, leader) + 1;
    uint8_t bytes[200] = {0};
    assert_int_equal(node_receive(n, from, 99, bytes_of(bytes, 4)), ERR_UNSUPPORTED);
    assert_int_equal(node_receive(n, from, NODE_MESSAGE_RAFT, BYTES_EMPTY), ERR_MALFORMED);
    for (int i = 0; i < 20000; i++) {
        for (size_t k = 0; k < sizeof(bytes); k++)
            bytes[k] = (uint8_t)(cluster_random(c) % 4 == 0 ? cluster_random(c) : 0);
        bytes[0] = 1;
        bytes[1] = (uint8_t)(i % 24);
        bytes[2] = 0;
        memset(bytes + 3, 0, 16);
        bytes[10] = (uint8_t)(i % 2 == 0 ? leader + 1 : from); /* to: us, or another member */
        bytes[18] = (uint8_t)(i % 2 == 0 ? leader + 1 : from); /* from: us, or who it is from */
        bool is_handed_on = bytes[1] == MESSAGE_READ_INDEX || bytes[1] == MESSAGE_TRANSFER;
        if (i % 2 == 0 && is_handed_on)
            continue; /* those may come back to us */
        assert_int_equal(
            node_receive(n, from, NODE_MESSAGE_RAFT, bytes_of(bytes, 63 + cluster_random(c) % 100)),
            ERR_MALFORMED);
    }
    assert_int_equal(node_receive(n, leader + 1, NODE_MESSAGE_RAFT, bytes_of(bytes, 63)),
                     ERR_MALFORMED);
    cluster_converge(c);
    cluster_fini(c);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_leader_takes_is_applied_by_all),
        cmocka_unit_test(a_follower_hands_proposals_and_reads_on),
        cmocka_unit_test(what_is_handed_on_twice_is_applied_once),
        cmocka_unit_test(without_a_leader_proposals_are_refused_at_once),
        cmocka_unit_test(a_killed_leader_is_replaced_and_comes_back),
        cmocka_unit_test(all_stop_and_all_come_back),
        cmocka_unit_test(a_follower_catches_up_from_the_log),
        cmocka_unit_test(leadership_is_handed_over_without_a_lost_write),
        cmocka_unit_test(a_minority_acknowledges_nothing_and_reads_nothing),
        cmocka_unit_test(cuts_of_one_way_end_a_leadership),
        cmocka_unit_test(through_loss_cuts_and_kills_all_stay_equal),
        cmocka_unit_test(a_leader_with_a_full_disk_hands_over),
        cmocka_unit_test(a_member_whose_disk_fails_is_halted_and_the_others_go_on),
        cmocka_unit_test(a_member_that_loses_power_keeps_what_it_promised),
        cmocka_unit_test(a_single_voter_becomes_three_and_one_again),
        cmocka_unit_test(a_leader_that_is_removed_steps_down),
        cmocka_unit_test(changes_that_contradict_are_reported),
        cmocka_unit_test(what_no_member_sends_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
