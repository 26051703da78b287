/* The members' transport over loopback: who is let in, what is delivered, what has a bound. */
#include "tests/unit/consensus/members.h"

#include "consensus/transport/frame.h"
#include "consensus/transport/preamble.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct world world;
static struct member *const one = &world.members[0];
static struct member *const two = &world.members[1];

static int set_up_two(void **state)
{
    (void)state;
    world_init(&world, 2);
    return 0;
}

static int set_up_three(void **state)
{
    (void)state;
    world_init(&world, 3);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_fini(&world);
    return 0;
}

/* Only the lower ids dial at first: on a slow machine both could, and what was sent on the
 * connection that then gives way would be lost. */
static void join(void)
{
    for (size_t i = 0; i < world.count; i++) {
        struct table t = world_table(&world, true);
        for (size_t j = 0; j < i; j++)
            t.rows[j].address_count = 0;
        member_set(&world.members[i], &t);
    }
    run_until(&world, world_is_connected(&world));
    world_join(&world, true);
}

static void send_to(struct member *from, struct member *to, uint16_t type, const void *data,
                    size_t size)
{
    assert_int_equal(transport_send(from->t, to->id, type, bytes_of(data, size)), OK);
}

static uint64_t refused_in(const struct member *m, enum transport_reason why)
{
    return transport_counters(m->t)->refused_in[why];
}

static uint64_t refused_out(const struct member *m, enum transport_reason why)
{
    return transport_counters(m->t)->refused_out[why];
}

static size_t lines_with(const struct member *m, const char *text)
{
    size_t count = 0;
    for (const char *at = strbuf_str(&m->log); (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void assert_never_connected(void)
{
    for (size_t i = 0; i < world.count; i++) {
        assert_int_equal(world.members[i].connects[TRANSPORT_CONSENSUS], 0);
        assert_int_equal(world.members[i].connects[TRANSPORT_BULK], 0);
    }
}

/* --- messages --------------------------------------------------------------------------------- */

static void test_messages_both_ways(void **state)
{
    (void)state;
    join();
    assert_int_equal(two->agreed.version, 1);
    assert_int_equal(two->agreed.features, 101);
    assert_int_equal(one->agreed.features, 102);
    send_to(one, two, 7, "hello", 5);
    send_to(two, one, 9, "", 0);
    run_until(&world, one->received == 1 && two->received == 1);
    assert_int_equal(two->from, 1);
    assert_int_equal(two->type, 7);
    assert_int_equal(two->received_size, 5);
    assert_int_equal(two->first_byte, 'h');
    assert_int_equal(one->type, 9);
    assert_int_equal(one->received_size, 0);
}

static size_t next_size;
static bool is_wrong;

/* Sizes around those of a record, and the largest. */
static const uint32_t sizes[] = {0,      1,      65511,  65512,         65513,
                                 131029, 131030, 131031, (4 << 20) - 1, 4 << 20};

static void check_size(struct member *m, uint16_t type, struct bytes bytes)
{
    (void)m;
    is_wrong = is_wrong || type != next_size || bytes.size != sizes[next_size];
    for (size_t i = 0; i < bytes.size && !is_wrong; i++)
        is_wrong = bytes.data[i] != (uint8_t)(i * 7 + type);
    next_size++;
}

static void test_sizes(void **state)
{
    (void)state;
    static uint8_t data[(4 << 20) + 1];
    next_size = 0;
    is_wrong = false;
    join();
    two->on_received = check_size;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (size_t j = 0; j < sizes[i]; j++)
            data[j] = (uint8_t)(j * 7 + i);
        send_to(one, two, (uint16_t)i, data, sizes[i]);
    }
    run_until(&world, two->received == ARRAY_COUNT(sizes));
    assert_false(is_wrong);
    assert_int_equal(transport_send(one->t, 2, 1, bytes_of(data, sizeof(data))), ERR_INVALID);
}

static uint32_t next_number;

static void check_number(struct member *m, uint16_t type, struct bytes bytes)
{
    uint32_t number = UINT32_MAX;
    (void)m;
    (void)type;
    if (bytes.size == sizeof(number))
        memcpy(&number, bytes.data, sizeof(number));
    is_wrong = is_wrong || number != next_number++;
}

/* More records than a key is used for, twice. */
static void test_order_over_many_keys(void **state)
{
    (void)state;
    enum {
        COUNT = 10000
    };
    next_number = 0;
    is_wrong = false;
    join();
    two->on_received = check_number;
    for (uint32_t i = 0; i < COUNT; i++)
        send_to(one, two, 1, &i, sizeof(i));
    run_until(&world, two->received == COUNT);
    assert_false(is_wrong);
    assert_int_equal(two->losts[TRANSPORT_CONSENSUS], 0);
    assert_int_equal(transport_counters(one->t)->streams[0].messages_sent, COUNT);
    assert_int_equal(transport_counters(two->t)->streams[0].messages_received, COUNT);
}

static void test_three_members(void **state)
{
    (void)state;
    struct member *three = &world.members[2];
    join();
    send_to(one, three, 1, "x", 1);
    run_until(&world, three->received == 1);
    assert_int_equal(three->from, 1);
    send_to(two, three, 1, "x", 1);
    run_until(&world, three->received == 2);
    assert_int_equal(three->from, 2);
    /* One connection for each pair and stream, and they stay. */
    world_run_ms(&world, 1500);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(world.members[i].connects[0], 2);
        assert_int_equal(world.members[i].connects[1], 2);
    }
    assert_true(world_is_connected(&world));
}

static void test_not_connected(void **state)
{
    (void)state;
    assert_int_equal(transport_send(one->t, 2, 1, BYTES_EMPTY), ERR_NOT_FOUND);
    struct table t = world_table(&world, true);
    member_set(one, &t);
    assert_int_equal(transport_send(one->t, 2, 1, BYTES_EMPTY), ERR_CLOSED);
    assert_int_equal(transport_counters(one->t)->streams[0].messages_dropped, 2);
}

/* --- who is let in ---------------------------------------------------------------------------- */

static void test_bootstrap_without_bound_keys(void **state)
{
    (void)state;
    world_join(&world, false);
    run_until(&world, world_is_connected(&world));
    assert_true(one->keys_shown >= 2 && two->keys_shown >= 2); /* for each stream */
    assert_memory_equal(one->shown, member_key_public(two->key), MEMBER_KEY_SIZE);
    assert_memory_equal(two->shown, member_key_public(one->key), MEMBER_KEY_SIZE);
    /* The keys get bound: the connections stay. */
    world_join(&world, true);
    world_run_ms(&world, 300);
    assert_true(world_is_connected(&world));
    assert_int_equal(one->losts[0] + two->losts[0], 0);
    /* And are what counts from then on. */
    size_t shown = one->keys_shown;
    member_stop(two);
    two->config.psk = NULL;
    member_start(two);
    struct table t = world_table(&world, true);
    member_set(two, &t);
    run_until(&world, world_is_connected(&world));
    assert_int_equal(one->keys_shown, shown);
}

static void test_owner_refuses_the_key(void **state)
{
    (void)state;
    one->refuses_keys = true;
    world_join(&world, false);
    run_until(&world, refused_out(one, TRANSPORT_REFUSED) + refused_in(one, TRANSPORT_REFUSED) > 2);
    assert_int_equal(one->connects[0] + one->connects[1], 0);
}

/* One knows two's key and two does not know one's: IK cannot be, so the key is shown. */
static void test_bound_on_one_side(void **state)
{
    (void)state;
    struct table bound = world_table(&world, true), unbound = world_table(&world, false);
    table_row(&unbound, 1)->address_count = 0; /* only one dials */
    member_set(one, &bound);
    member_set(two, &unbound);
    run_until(&world, world_is_connected(&world));
    assert_int_equal(refused_out(one, TRANSPORT_UNBOUND), 2); /* a stream once */
    assert_int_equal(lines_with(one, "refuses this member"), 0);
    assert_int_equal(one->keys_shown, 0);
    assert_true(two->keys_shown > 0);
}

static void test_bound_on_the_other_side(void **state)
{
    (void)state;
    struct table bound = world_table(&world, true), unbound = world_table(&world, false);
    member_set(one, &unbound);
    member_set(two, &bound);
    run_until(&world, world_is_connected(&world));
    assert_true(one->keys_shown > 0);
    assert_int_equal(two->keys_shown, 0);
}

static void test_wrong_key(void **state)
{
    (void)state;
    struct table right = world_table(&world, true), wrong = right;
    memcpy(table_row(&wrong, 1)->key, member_key_public(two->key), MEMBER_KEY_SIZE);
    member_set(one, &right);
    member_set(two, &wrong); /* of one */
    run_until(&world, refused_in(two, TRANSPORT_KEY) >= 2 && refused_out(two, TRANSPORT_KEY) >= 2);
    assert_never_connected();
    assert_int_equal(one->refused_why, TRANSPORT_KEY);
}

/* The PSK does not help who has another key than the bound one. */
static void test_wrong_key_with_the_psk(void **state)
{
    (void)state;
    struct table unbound = world_table(&world, false), wrong = world_table(&world, true);
    wrong.rows[0].key[0] ^= 1;
    member_set(one, &unbound);
    member_set(two, &wrong);
    run_until(&world, refused_in(two, TRANSPORT_KEY) >= 4);
    assert_never_connected();
}

static void test_wrong_cluster(void **state)
{
    (void)state;
    member_stop(two);
    two->config.cluster_id = 0xc2;
    member_start(two);
    world_join(&world, true);
    run_until(&world, refused_in(one, TRANSPORT_WRONG_CLUSTER) >= 4 &&
                          refused_in(two, TRANSPORT_WRONG_CLUSTER) >= 4);
    assert_never_connected();
    assert_int_equal(one->refused_why, TRANSPORT_WRONG_CLUSTER);
    /* Logged once, and what there is to know. */
    assert_int_equal(
        lines_with(one, "says it is member 2: it is of cluster c2, this is cluster c1"), 1);
    assert_int_equal(
        lines_with(two, "says it is member 1: it is of cluster c1, this is cluster c2"), 1);
    assert_true(one->log_lines <= 3);
    assert_true(transport_counters(one->t)->log_lines_suppressed > 0);
}

static void test_wrong_psk(void **state)
{
    (void)state;
    static const uint8_t other[MEMBER_KEY_SIZE] = {1};
    member_stop(two);
    two->config.psk = other;
    member_start(two);
    world_join(&world, false);
    run_until(&world, refused_in(one, TRANSPORT_PSK) >= 2 && refused_in(two, TRANSPORT_PSK) >= 2);
    assert_never_connected();
    assert_int_equal(one->keys_shown + two->keys_shown, 0);
    assert_int_equal(one->refused_why, TRANSPORT_PSK);
    assert_int_equal(lines_with(one, "says it is member 2: another cluster token"), 1);
}

static void test_no_psk(void **state)
{
    (void)state;
    member_stop(two);
    two->config.psk = NULL;
    member_start(two);
    world_join(&world, false);
    run_until(&world,
              refused_in(two, TRANSPORT_PSK) >= 2 && refused_out(two, TRANSPORT_UNBOUND) >= 2);
    assert_never_connected();
}

static void test_unknown_and_removed_members(void **state)
{
    (void)state;
    struct table all = world_table(&world, true), alone = all;
    table_remove(&alone, 2);
    member_set(one, &alone);
    member_set(two, &all);
    run_until(&world, two->refusals >= 3);
    assert_int_equal(two->refused_why, TRANSPORT_UNKNOWN_MEMBER);
    assert_int_equal(lines_with(one, "member 2: no member of this cluster"), 1);
    one->removed_id = 2;
    run_until(&world, two->refused_why == TRANSPORT_REMOVED);
    assert_int_equal(lines_with(one, "member 2: removed from this cluster"), 1);
    assert_never_connected();
}

static void test_meant_for_another_member(void **state)
{
    (void)state;
    struct table t = world_table(&world, true);
    table_row(&t, 2)->id = 5; /* two's address under another id */
    member_set(one, &t);
    run_until(&world, one->refusals >= 2);
    assert_int_equal(one->refused_why, TRANSPORT_WRONG_MEMBER);
    assert_never_connected();
}

static void test_a_copy_of_our_own_identity(void **state)
{
    (void)state;
    member_stop(two);
    two->config.member_id = 1;
    member_start(two);
    struct table t = world_table(&world, true);
    table_row(&t, 1)->id = 6;
    two->config.member_id = 1;
    member_set(two, &t); /* dials one as 1 */
    run_until(&world, refused_in(one, TRANSPORT_SELF) >= 2);
    assert_never_connected();
}

static void test_removed_while_connected(void **state)
{
    (void)state;
    join();
    struct table alone = world_table(&world, true);
    table_remove(&alone, 2);
    one->removed_id = 2;
    send_to(two, one, 1, "late", 4); /* not delivered any more */
    member_set(one, &alone);
    assert_int_equal(transport_send(one->t, 2, 1, BYTES_EMPTY), ERR_NOT_FOUND);
    run_until(&world,
              one->losts[0] == 1 && one->losts[1] == 1 && two->losts[0] == 1 && two->losts[1] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_REMOVED);
    assert_int_equal(two->lost_why, TRANSPORT_REMOVED); /* said under the session */
    run_until(&world, two->refused_why == TRANSPORT_REMOVED);
    assert_int_equal(one->received, 0);
    assert_int_equal(one->connects[0], 1);
}

static void test_another_key_is_bound_while_connected(void **state)
{
    (void)state;
    world_join(&world, false);
    run_until(&world, world_is_connected(&world));
    struct table t = world_table(&world, true);
    table_row(&t, 2)->key[0] ^= 1;
    member_set(one, &t);
    assert_int_equal(transport_send(one->t, 2, 1, BYTES_EMPTY), ERR_CLOSED);
    run_until(&world, one->losts[0] == 1 && two->losts[0] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_KEY);
}

/* --- versions --------------------------------------------------------------------------------- */

static void restart_with_versions(struct member *m, uint16_t min, uint16_t max)
{
    member_stop(m);
    m->config.version_min = min;
    m->config.version_max = max;
    member_start(m);
}

static void test_the_lower_version_is_used(void **state)
{
    (void)state;
    restart_with_versions(one, 1, 3);
    restart_with_versions(two, 2, 7);
    join();
    assert_int_equal(one->agreed.version, 3);
    assert_int_equal(two->agreed.version, 3);
}

static void test_no_common_version(void **state)
{
    (void)state;
    restart_with_versions(one, 1, 3);
    restart_with_versions(two, 4, 7);
    world_join(&world, true);
    run_until(&world, transport_counters(one->t)->refused_in[TRANSPORT_VERSION] +
                              transport_counters(one->t)->refused_out[TRANSPORT_VERSION] >=
                          2);
    run_until(&world, lines_with(one, "versions 4 to 7, this member 1 to 3; upgrade") +
                              lines_with(two, "versions 1 to 3, this member 4 to 7; upgrade") >
                          0);
    assert_never_connected();
}

/* --- connections come and go ------------------------------------------------------------------ */

/* Again and again: a message may be lost with a connection. */
static void try_to_send(struct member *from, struct member *to)
{
    (void)!transport_send(from->t, to->id, 1, bytes_of("x", 1));
}

static void test_reconnects_after_a_restart(void **state)
{
    (void)state;
    join();
    for (size_t i = 1; i <= 3; i++) {
        struct member *m = i % 2 == 0 ? one : two;
        member_stop(m);
        run_until(&world, one->losts[0] + two->losts[0] >= i && one->losts[1] + two->losts[1] >= i);
        member_start(m);
        struct table t = world_table(&world, true);
        member_set(m, &t);
        run_until(&world, world_is_connected(&world));
        size_t before = m->received;
        run_until(&world, (try_to_send(m == one ? two : one, m), m->received > before));
    }
}

static void test_address_change(void **state)
{
    (void)state;
    struct table t = world_table(&world, true);
    struct transport_address old = two->address;
    /* Two cannot dial, and is not where one looks for it. */
    table_row(&t, 1)->address_count = 0;
    member_set(two, &t);
    old.port = one->address.port; /* somebody else's */
    table_row(&t, 2)->addresses = &old;
    member_set(one, &t);
    run_until(&world,
              refused_out(one, TRANSPORT_WRONG_MEMBER) + refused_out(one, TRANSPORT_SELF) > 2);
    assert_never_connected();
    /* Of several addresses one that works is enough; a name is resolved. */
    struct transport_address addresses[3] = {old, old, two->address};
    (void)strcpy(addresses[2].host, "localhost");
    table_row(&t, 2)->addresses = addresses;
    table_row(&t, 2)->address_count = 3;
    member_set(one, &t);
    run_until(&world, world_is_connected(&world));
}

static void test_a_name_that_does_not_resolve(void **state)
{
    (void)state;
    struct table t = world_table(&world, true);
    struct transport_address nowhere = {.host = "no-such-host.invalid", .port = 1};
    table_row(&t, 2)->addresses = &nowhere;
    member_set(one, &t);
    run_until(&world, refused_out(one, TRANSPORT_NETWORK) >= 2);
    assert_int_equal(lines_with(one, "member 2: cannot resolve no-such-host.invalid"), 1);
    /* While it resolves, the table changes and the transport ends. */
    t.count = 0;
    member_set(one, &t);
}

/* Who has lost its connection without our knowing dials: the newer connection is right. */
static void test_a_second_connection_takes_the_place_of_the_first(void **state)
{
    (void)state;
    struct puppet first, second;
    uint8_t frame[NOISE_MAX_MESSAGE_SIZE];
    struct table t = world_table(&world, true);
    table_row(&t, 1)->address_count = 0;
    member_set(two, &t);
    puppet_connect(&first, two);
    puppet_handshake(&first, one, two, TRANSPORT_CONSENSUS, true);
    run_until(&world, two->connects[0] == 1);
    puppet_connect(&second, two);
    puppet_handshake(&second, one, two, TRANSPORT_CONSENSUS, true);
    run_until(&world, two->connects[0] == 2);
    assert_int_equal(two->losts[0], 1);
    assert_int_equal(two->lost_why, TRANSPORT_REPLACED);
    assert_int_equal(puppet_read_frame(&first, frame), FRAME_HELLO_SIZE);
    assert_int_equal(puppet_read_frame(&first, frame), 2);
    assert_int_equal(frame[0], FRAME_CLOSE);
    assert_int_equal(frame[1], TRANSPORT_REPLACED);
    assert_int_equal(puppet_read_frame(&first, frame), 0);
    /* The second works. */
    static const uint8_t message[] = {FRAME_MESSAGE, 0, 5, 0, 0, 0, 1, 'x'};
    puppet_send_frame(&second, message, sizeof(message));
    run_until(&world, two->received == 1);
    puppet_close(&first);
    puppet_close(&second);
}

/* In a race the lower id's dial stays, on both sides. */
static void test_both_dial_at_once(void **state)
{
    (void)state;
    struct puppet puppet;
    uint8_t frame[NOISE_MAX_MESSAGE_SIZE];
    join(); /* one, the lower, has dialed */
    puppet_connect(&puppet, one);
    puppet_handshake(&puppet, two, one, TRANSPORT_CONSENSUS, true);
    assert_int_equal(puppet_read_frame(&puppet, frame), FRAME_HELLO_SIZE);
    assert_int_equal(puppet_read_frame(&puppet, frame), 2);
    assert_int_equal(frame[1], TRANSPORT_DUPLICATE);
    puppet_close(&puppet);
    assert_int_equal(one->connects[0], 1);
    assert_true(world_is_connected(&world));
    /* Long after, it is no race. */
    world_run_ms(&world, 2100);
    puppet_connect(&puppet, one);
    puppet_handshake(&puppet, two, one, TRANSPORT_CONSENSUS, true);
    run_until(&world, one->connects[0] == 2);
    puppet_close(&puppet);
    run_until(&world, one->connects[0] == 3);
    run_until(&world, world_is_connected(&world));
}

/* Seeds of chance: whoever dials first, it settles on one connection. */
static void test_settles_on_one_connection(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct table none = {.count = 0};
        member_set(one, &none);
        member_set(two, &none);
        run_until(&world, !one->is_connected[0] && !one->is_connected[1] && !two->is_connected[0] &&
                              !two->is_connected[1]);
        struct table t = world_table(&world, true);
        if (i % 2 == 0)
            table_row(&t, 2)->address_count = 0; /* only the higher id can dial */
        member_set(one, &t);
        t = world_table(&world, true);
        member_set(two, &t);
        run_until(&world, world_is_connected(&world));
        size_t connects = one->connects[0];
        member_set(one, &t); /* now both could */
        world_run_ms(&world, 600);
        assert_true(world_is_connected(&world));
        assert_int_equal(one->connects[0], connects);
    }
}

static void test_an_idle_connection_stays(void **state)
{
    (void)state;
    join();
    world_run_ms(&world, 2500); /* more than twice the limit of silence */
    assert_true(world_is_connected(&world));
    assert_int_equal(one->losts[0] + one->losts[1] + two->losts[0] + two->losts[1], 0);
}

/* The process is stopped for longer than the limit of silence: nobody was silent. */
static void test_a_loop_that_stood_still(void **state)
{
    (void)state;
    join();
    world_run_ms(&world, 100);
    uv_sleep(2500);
    world_run_ms(&world, 1500);
    assert_int_equal(one->losts[0] + one->losts[1] + two->losts[0] + two->losts[1], 0);
}

/* --- strangers -------------------------------------------------------------------------------- */

static void test_garbage_instead_of_a_preamble(void **state)
{
    (void)state;
    static const char http[] = "GET /members HTTP/1.1\r\nHost: 127.0.0.1:2380\r\n\r\n";
    struct puppet p;
    join();
    puppet_connect(&p, one);
    puppet_send(&p, http, sizeof(http) - 1);
    puppet_read(&p, REFUSAL_SIZE);
    if (p.in_size == REFUSAL_SIZE)
        assert_int_equal(p.in[2], TRANSPORT_MALFORMED);
    puppet_read(&p, 100);
    assert_true(p.is_over);
    puppet_close(&p);
    assert_int_equal(refused_in(one, TRANSPORT_MALFORMED), 1);
    assert_true(world_is_connected(&world));
    assert_int_equal(transport_half_open_count(one->t), 0);
}

/* A good preamble, and then each kind of nonsense. */
static void test_garbage_instead_of_a_handshake(void **state)
{
    (void)state;
    static const struct {
        uint8_t data[4];
        enum transport_reason why;
    } cases[] = {
        {{0xff, 0xff, 1, 2}, TRANSPORT_MALFORMED}, /* too large */
        {{0, 2, 1, 2}, TRANSPORT_KEY},             /* too short */
        {{0, 0, TRANSPORT_PSK, 0}, TRANSPORT_PSK}, /* a refusal from the dialer */
        {{0, 0, 200, 0}, TRANSPORT_REFUSED},       /* with an unknown reason */
    };
    join();
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct puppet p;
        uint8_t preamble[PREAMBLE_SIZE];
        puppet_connect(&p, one);
        preamble_write(preamble, TRANSPORT_BULK, NOISE_IK, CLUSTER_ID, 2, 1);
        puppet_send(&p, preamble, sizeof(preamble));
        puppet_send(&p, cases[i].data, 4);
        uint64_t before = refused_in(one, cases[i].why);
        run_until(&world, refused_in(one, cases[i].why) == before + 1);
        puppet_close(&p);
    }
    assert_true(world_is_connected(&world));
}

static void test_other_protocol_in_the_preamble(void **state)
{
    (void)state;
    struct puppet p;
    uint8_t preamble[PREAMBLE_SIZE];
    preamble_write(preamble, TRANSPORT_BULK, NOISE_IK, CLUSTER_ID, 2, 1);
    preamble[4] = 2;
    puppet_connect(&p, one);
    puppet_send(&p, preamble, sizeof(preamble));
    puppet_read(&p, REFUSAL_SIZE);
    assert_int_equal(p.in_size, REFUSAL_SIZE);
    assert_int_equal(p.in[2], TRANSPORT_VERSION);
    puppet_close(&p);
}

static void test_trickled_handshake_ends_in_time(void **state)
{
    (void)state;
    struct puppet p;
    uint8_t preamble[PREAMBLE_SIZE];
    uint64_t began_at = uv_hrtime();
    struct table t = world_table(&world, true);
    table_row(&t, 2)->address_count = 0;
    member_set(one, &t);
    preamble_write(preamble, TRANSPORT_CONSENSUS, NOISE_IK, CLUSTER_ID, 2, 1);
    puppet_connect(&p, one);
    for (size_t i = 0; refused_in(one, TRANSPORT_TIMEOUT) == 0; i++) {
        /* Never all of it. */
        if (i < PREAMBLE_SIZE - 1)
            puppet_send(&p, preamble + i, 1);
        world_run_ms(&world, 40);
        assert_true(uv_hrtime() - began_at < 20000000000U);
    }
    assert_int_equal(transport_half_open_count(one->t), 0);
    puppet_close(&p);
}

static void test_half_open_connections_are_bounded(void **state)
{
    (void)state;
    enum {
        COUNT = 3 * TRANSPORT_MAX_HALF_OPEN_OF_SOURCE
    };
    static struct puppet p[COUNT];
    struct table none = {.count = 0};
    member_set(one, &none);
    for (size_t i = 0; i < COUNT; i++) {
        puppet_connect(&p[i], one);
        world_turn(&world);
        assert_true(transport_half_open_count(one->t) <= TRANSPORT_MAX_HALF_OPEN_OF_SOURCE);
    }
    run_until(&world, transport_counters(one->t)->accepted == COUNT);
    assert_int_equal(refused_in(one, TRANSPORT_BUSY), COUNT - TRANSPORT_MAX_HALF_OPEN_OF_SOURCE);
    run_until(&world, transport_half_open_count(one->t) == 0); /* and in time */
    for (size_t i = 0; i < COUNT; i++)
        puppet_close(&p[i]);
    assert_true(one->log_lines <= 2);
}

/* Whatever it claims to be, who floods us does not fill the log. */
static void test_log_lines_are_bounded(void **state)
{
    (void)state;
    struct table none = {.count = 0};
    member_set(one, &none);
    for (uint64_t i = 0; i < 200; i++) {
        struct puppet p;
        uint8_t preamble[PREAMBLE_SIZE];
        preamble_write(preamble, TRANSPORT_CONSENSUS, NOISE_IK, CLUSTER_ID, 1000 + i, 1);
        puppet_connect(&p, one);
        puppet_send(&p, preamble, sizeof(preamble));
        puppet_read(&p, REFUSAL_SIZE);
        puppet_close(&p);
    }
    assert_int_equal(refused_in(one, TRANSPORT_UNKNOWN_MEMBER), 200);
    assert_true(one->log_lines <= 32);
    assert_int_equal(transport_counters(one->t)->log_lines_suppressed, 200 - one->log_lines);
}

static void test_handshakes_a_second_are_bounded(void **state)
{
    (void)state;
    struct table t = world_table(&world, true);
    uint8_t flight[PREAMBLE_SIZE + 98] = {0};
    member_set(one, &t);
    member_stop(two);
    preamble_write(flight, TRANSPORT_CONSENSUS, NOISE_IK, CLUSTER_ID, 2, 1);
    flight[PREAMBLE_SIZE + 1] = 96;
    memset(flight + PREAMBLE_SIZE + 2, 9, 96);
    uint64_t began_at = uv_hrtime();
    for (size_t i = 0; i < 1000; i++) {
        struct puppet p;
        puppet_connect(&p, one);
        puppet_send(&p, flight, sizeof(flight));
        puppet_read(&p, REFUSAL_SIZE);
        puppet_close(&p);
    }
    uint64_t computed = refused_in(one, TRANSPORT_KEY);
    uint64_t seconds = (uv_hrtime() - began_at) / 1000000000 + 1;
    assert_true(computed <= TRANSPORT_MAX_HANDSHAKES_PER_S * (seconds + 1));
    assert_int_equal(computed + refused_in(one, TRANSPORT_BUSY), 1000);
    two->t = NULL;
    member_start(two);
}

/* --- members that misbehave ------------------------------------------------------------------- */

static void start_puppet(struct puppet *p, enum transport_stream stream)
{
    struct table t = world_table(&world, true);
    table_row(&t, 2)->address_count = 0;
    member_set(one, &t);
    puppet_connect(p, one);
    puppet_handshake(p, two, one, stream, true);
    run_until(&world, one->is_connected[stream]);
}

static void test_a_frame_that_is_none_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        size_t size;
        uint8_t data[8];
    } cases[] = {
        {1, {0}},
        {1, {99}},
        {2, {FRAME_PING, 0}},
        {5, {FRAME_CREDIT, 0, 0, 0, 1}},           /* not on this stream */
        {2, {FRAME_MORE, 1}},                      /* of nothing */
        {7, {FRAME_MESSAGE, 0, 1, 0, 0x40, 0, 1}}, /* larger than the limit */
        {8, {FRAME_MESSAGE, 0, 1, 0, 0, 0, 0, 1}}, /* more than it said */
        {7, {FRAME_MESSAGE, 0, 1, 0, 0, 0, 1}},    /* begun with nothing */
        {4, {FRAME_MESSAGE, 0, 1, 0}},             /* cut */
        {5, {FRAME_HELLO, 0, 1, 0, 1}},            /* a second one */
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct puppet p;
        start_puppet(&p, TRANSPORT_CONSENSUS);
        puppet_send_frame(&p, cases[i].data, cases[i].size);
        run_until(&world, one->losts[0] == i + 1);
        assert_int_equal(one->lost_why, TRANSPORT_MALFORMED);
        puppet_close(&p);
    }
    assert_int_equal(one->received, 0);
}

static void test_an_unauthentic_record_ends_the_connection(void **state)
{
    (void)state;
    struct puppet p;
    uint8_t record[2 + 100] = {0, 100, 1};
    start_puppet(&p, TRANSPORT_CONSENSUS);
    puppet_send(&p, record, sizeof(record));
    run_until(&world, one->losts[0] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_MALFORMED);
    puppet_close(&p);
}

/* A whole handshake can be a replay; nothing counts before the first record. */
static void test_not_open_before_a_record_came(void **state)
{
    (void)state;
    struct puppet p;
    struct table t = world_table(&world, true);
    table_row(&t, 2)->address_count = 0;
    member_set(one, &t);
    puppet_connect(&p, one);
    puppet_handshake(&p, two, one, TRANSPORT_CONSENSUS, false);
    world_run_ms(&world, 100);
    assert_int_equal(one->connects[0], 0);
    assert_int_equal(transport_half_open_count(one->t), 1);
    run_until(&world, refused_in(one, TRANSPORT_TIMEOUT) == 1);
    puppet_close(&p);
}

static void test_who_stops_reading_loses_messages_and_then_the_connection(void **state)
{
    (void)state;
    static uint8_t data[1 << 20];
    struct puppet p;
    struct transport_peer_status s;
    size_t limited = 0;
    start_puppet(&p, TRANSPORT_CONSENSUS);
    for (size_t i = 0; i < 100; i++) {
        enum err e = transport_send(one->t, 2, 1, bytes_of(data, sizeof(data)));
        assert_true(e == OK || e == ERR_LIMIT);
        limited += e == ERR_LIMIT;
        assert_int_equal(transport_peer_status(one->t, 2, &s), OK);
        assert_true(s.streams[0].queued_size <= TRANSPORT_CONSENSUS_QUEUE_LIMIT);
        world_turn(&world);
        if (one->losts[0] > 0)
            break;
    }
    assert_true(limited > 0);
    assert_true(transport_counters(one->t)->streams[0].messages_dropped >= limited);
    run_until(&world, one->losts[0] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_TIMEOUT);
    assert_int_equal(transport_send(one->t, 2, 1, BYTES_EMPTY), ERR_CLOSED);
    puppet_close(&p);
}

static void test_who_trickles_a_record_is_silent(void **state)
{
    (void)state;
    struct puppet p;
    uint8_t byte = 0xff;
    start_puppet(&p, TRANSPORT_CONSENSUS);
    uint64_t began_at = uv_hrtime();
    while (one->losts[0] == 0) {
        puppet_send(&p, &byte, 1);
        world_run_ms(&world, 20);
        assert_true(uv_hrtime() - began_at < 20000000000U);
    }
    assert_int_equal(one->lost_why, TRANSPORT_TIMEOUT);
    puppet_close(&p);
}

static void test_pings_are_answered(void **state)
{
    (void)state;
    struct puppet p;
    uint8_t frame[NOISE_MAX_MESSAGE_SIZE];
    const uint8_t ping = FRAME_PING;
    start_puppet(&p, TRANSPORT_CONSENSUS);
    assert_int_equal(puppet_read_frame(&p, frame), FRAME_HELLO_SIZE);
    /* A flood of them is answered together. */
    for (size_t i = 0; i < 100; i++)
        puppet_send_frame(&p, &ping, 1);
    assert_int_equal(puppet_read_frame(&p, frame), 1);
    assert_int_equal(frame[0], FRAME_PONG);
    puppet_close(&p);
}

static void test_who_sends_more_than_its_window(void **state)
{
    (void)state;
    static uint8_t frame[60000] = {FRAME_MESSAGE, 0, 1, 0, 0, (60000 - 7) >> 8, (60000 - 7) & 255};
    struct puppet p;
    one->bulk_answer = ERR_LIMIT;
    start_puppet(&p, TRANSPORT_BULK);
    for (size_t i = 0; i < TRANSPORT_BULK_WINDOW / sizeof(frame) + 1; i++)
        puppet_send_frame(&p, frame, sizeof(frame));
    run_until(&world, one->losts[TRANSPORT_BULK] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_MALFORMED);
    assert_int_equal(one->bulk_received, 0);
    puppet_close(&p);
}

/* --- bulk ------------------------------------------------------------------------------------- */

enum {
    CHUNK_SIZE = 64 << 10,
    CHUNKS = 100 * 1000 * 1000 / CHUNK_SIZE,
    URGENT_EVERY = 25,
    /* Of chunks that overtake an urgent message: what is within the window, and two flushes. */
    URGENT_LAG = (TRANSPORT_BULK_WINDOW + 2 * (128 << 10)) / CHUNK_SIZE,
};

static size_t chunks_sent, urgent_sent, urgent_received, max_lag, max_queued;
static uint8_t chunk[CHUNK_SIZE];

static void on_urgent(struct member *m, uint16_t type, struct bytes bytes)
{
    size_t sent_at;
    (void)type;
    assert_int_equal(bytes.size, sizeof(sent_at));
    memcpy(&sent_at, bytes.data, sizeof(sent_at));
    size_t lag = m->bulk_received - sent_at;
    max_lag = lag > max_lag ? lag : max_lag;
    urgent_received++;
}

static void on_chunk(struct member *m, uint16_t type, struct bytes bytes)
{
    size_t number;
    memcpy(&number, bytes.data, sizeof(number));
    is_wrong = is_wrong || number != m->bulk_received - 1 || bytes.size != CHUNK_SIZE || type != 3;
    /* As many chunks were received when the urgent message goes out. */
    if (m->bulk_received % URGENT_EVERY == 0) {
        send_to(one, two, 1, &m->bulk_received, sizeof(m->bulk_received));
        urgent_sent++;
    }
}

/* Until the queue is full; the rest when it has drained. */
static void send_chunks(void)
{
    struct transport_peer_status s;
    while (chunks_sent < CHUNKS) {
        memcpy(chunk, &chunks_sent, sizeof(chunks_sent));
        enum err e = transport_send_bulk(one->t, 2, 3, bytes_of(chunk, sizeof(chunk)));
        if (e == ERR_LIMIT)
            break;
        assert_int_equal(e, OK);
        chunks_sent++;
    }
    assert_int_equal(transport_peer_status(one->t, 2, &s), OK);
    max_queued = s.streams[1].queued_size > max_queued ? s.streams[1].queued_size : max_queued;
}

static void test_bulk_does_not_delay_what_is_urgent(void **state)
{
    (void)state;
    chunks_sent = urgent_sent = urgent_received = max_lag = max_queued = 0;
    is_wrong = false;
    join();
    two->on_received = on_urgent;
    two->on_bulk = on_chunk;
    size_t drained = one->drained;
    send_chunks();
    assert_true(chunks_sent < 20); /* the queue has a bound */
    while (two->bulk_received < CHUNKS) {
        run_until(&world, one->drained > drained || two->bulk_received == CHUNKS);
        drained = one->drained;
        send_chunks();
    }
    run_until(&world, urgent_received == urgent_sent);
    assert_false(is_wrong);
    assert_int_equal(two->bulk_received_size, (size_t)CHUNKS * CHUNK_SIZE);
    assert_true(urgent_sent == CHUNKS / URGENT_EVERY);
    assert_true(max_lag <= URGENT_LAG);
    assert_true(max_queued <= TRANSPORT_BULK_QUEUE_LIMIT);
    assert_int_equal(one->losts[1], 0);
    assert_int_equal(transport_counters(one->t)->streams[1].messages_dropped, 0);
}

/* A paused owner is told nothing, costs a window at most, and gets all of it in the end; the
 * connection lives meanwhile. */
static void test_a_paused_owner(void **state)
{
    (void)state;
    chunks_sent = CHUNKS - 100;
    is_wrong = false;
    join();
    two->bulk_answer = ERR_LIMIT;
    send_chunks();
    world_run_ms(&world, 1500); /* longer than the limit of silence */
    size_t queued = chunks_sent;
    send_chunks();
    assert_true(chunks_sent < CHUNKS);
    assert_true(chunks_sent - (CHUNKS - 100) <=
                (TRANSPORT_BULK_WINDOW + TRANSPORT_BULK_QUEUE_LIMIT) / CHUNK_SIZE + 2);
    (void)queued;
    assert_int_equal(two->bulk_received, 0);
    assert_int_equal(two->losts[1], 0);
    transport_resume(two->t, 1); /* still not */
    world_run_ms(&world, 50);
    assert_int_equal(two->bulk_received, 0);
    two->bulk_answer = OK;
    transport_resume(two->t, 1);
    while (two->bulk_received < 100) {
        size_t before = two->bulk_received;
        send_chunks();
        run_until(&world, two->bulk_received > before);
    }
    assert_int_equal(two->losts[1], 0);
}

static void test_bulk_is_refused(void **state)
{
    (void)state;
    join();
    two->bulk_answer = ERR_UNSUPPORTED;
    assert_int_equal(transport_send_bulk(one->t, 2, 3, bytes_of("x", 1)), OK);
    run_until(&world, one->losts[1] == 1 && two->losts[1] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_REFUSED);
    assert_int_equal(one->losts[0], 0);
    two->bulk_answer = OK;
    run_until(&world,
              ((void)!transport_send_bulk(one->t, 2, 3, bytes_of("x", 1)), two->bulk_received > 0));
}

/* --- the owner's calls ------------------------------------------------------------------------ */

static void remove_all(struct member *m, uint16_t type, struct bytes bytes)
{
    struct table none = {.count = 0};
    (void)type;
    (void)bytes;
    member_set(m, &none);
}

static void test_the_table_changes_within_a_callback(void **state)
{
    (void)state;
    join();
    two->on_received = remove_all;
    for (int i = 0; i < 10; i++)
        send_to(one, two, 1, "x", 1);
    run_until(&world, two->losts[0] == 1 && two->losts[1] == 1);
    assert_int_equal(two->received, 1); /* nothing behind the removal */
}

static void stop(struct member *m, uint16_t type, struct bytes bytes)
{
    (void)type;
    (void)bytes;
    member_stop(m);
}

static void test_stopped_within_a_callback(void **state)
{
    (void)state;
    join();
    two->on_received = stop;
    for (int i = 0; i < 10; i++)
        send_to(one, two, 1, "x", 1);
    run_until(&world, one->losts[0] == 1 && one->losts[1] == 1);
    assert_int_equal(one->lost_why, TRANSPORT_STOPPED);
    assert_int_equal(two->received, 1);
    assert_int_equal(two->losts[0], 0);
}

static void test_tables_that_are_refused(void **state)
{
    (void)state;
    struct table t = world_table(&world, true);
    join();
    t.rows[1].id = t.rows[0].id = 9;
    assert_int_equal(transport_set_members(one->t, t.rows, 2), ERR_INVALID);
    t.rows[1].id = 0;
    assert_int_equal(transport_set_members(one->t, t.rows, 2), ERR_INVALID);
    t.rows[1].id = 2;
    t.rows[1].address_count = TRANSPORT_MAX_ADDRESSES + 1;
    assert_int_equal(transport_set_members(one->t, t.rows, 2), ERR_LIMIT);
    assert_true(world_is_connected(&world)); /* the table is as it was */
}

static void test_configurations_that_are_refused(void **state)
{
    (void)state;
    struct strbuf error = STRBUF_EMPTY;
    struct transport *t = NULL;
    struct transport_config c = one->config;
    c.listen = &one->listen; /* in use */
    c.listen_count = 1;
    assert_int_equal(transport_create(&t, &c, &error), ERR_ADDRESS_IN_USE);
    assert_non_null(strstr(strbuf_str(&error), "cannot listen for members on 127.0.0.1:"));
    c.listen_count = 0;
    c.version_min = 0;
    assert_int_equal(transport_create(&t, &c, &error), ERR_INVALID);
    c.version_min = 1;
    c.bulk_window = 1000;
    assert_int_equal(transport_create(&t, &c, &error), ERR_INVALID);
    strbuf_fini(&error);
}

static void test_every_reason_has_a_text(void **state)
{
    (void)state;
    for (enum transport_reason r = 0; r < TRANSPORT_REASON_COUNT; r++) {
        assert_true(strlen(transport_reason_text(r)) > 0);
        assert_true(strlen(transport_reason_label(r)) > 0);
    }
    assert_string_equal(transport_reason_label(TRANSPORT_WRONG_CLUSTER), "wrong_cluster");
}

#define with_two(test) cmocka_unit_test_setup_teardown(test, set_up_two, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_two(test_messages_both_ways),
        with_two(test_sizes),
        with_two(test_order_over_many_keys),
        cmocka_unit_test_setup_teardown(test_three_members, set_up_three, tear_down),
        with_two(test_not_connected),
        with_two(test_bootstrap_without_bound_keys),
        with_two(test_owner_refuses_the_key),
        with_two(test_bound_on_one_side),
        with_two(test_bound_on_the_other_side),
        with_two(test_wrong_key),
        with_two(test_wrong_key_with_the_psk),
        with_two(test_wrong_cluster),
        with_two(test_wrong_psk),
        with_two(test_no_psk),
        with_two(test_unknown_and_removed_members),
        with_two(test_meant_for_another_member),
        with_two(test_a_copy_of_our_own_identity),
        with_two(test_removed_while_connected),
        with_two(test_another_key_is_bound_while_connected),
        with_two(test_the_lower_version_is_used),
        with_two(test_no_common_version),
        with_two(test_reconnects_after_a_restart),
        with_two(test_address_change),
        with_two(test_a_name_that_does_not_resolve),
        with_two(test_a_second_connection_takes_the_place_of_the_first),
        with_two(test_both_dial_at_once),
        with_two(test_settles_on_one_connection),
        with_two(test_an_idle_connection_stays),
        with_two(test_a_loop_that_stood_still),
        with_two(test_garbage_instead_of_a_preamble),
        with_two(test_garbage_instead_of_a_handshake),
        with_two(test_other_protocol_in_the_preamble),
        with_two(test_trickled_handshake_ends_in_time),
        with_two(test_half_open_connections_are_bounded),
        with_two(test_log_lines_are_bounded),
        with_two(test_handshakes_a_second_are_bounded),
        with_two(test_a_frame_that_is_none_ends_the_connection),
        with_two(test_an_unauthentic_record_ends_the_connection),
        with_two(test_not_open_before_a_record_came),
        with_two(test_who_stops_reading_loses_messages_and_then_the_connection),
        with_two(test_who_trickles_a_record_is_silent),
        with_two(test_pings_are_answered),
        with_two(test_who_sends_more_than_its_window),
        with_two(test_bulk_does_not_delay_what_is_urgent),
        with_two(test_a_paused_owner),
        with_two(test_bulk_is_refused),
        with_two(test_the_table_changes_within_a_callback),
        with_two(test_stopped_within_a_callback),
        with_two(test_tables_that_are_refused),
        with_two(test_configurations_that_are_refused),
        cmocka_unit_test(test_every_reason_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
