/* consensus/transport/frame: what is written reads back, and what must not be read. */
#include "consensus/transport.h"
#include "consensus/transport/frame.h"
#include "consensus/transport/preamble.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum {
    LIMIT = 1 << 20,
    WINDOW = 4 << 20,
};

static struct frame_reader reader;
static uint8_t buffer[FRAME_MAX_SIZE];

static enum err read_written(const struct writer *w, struct frame *out)
{
    assert_false(w->failed);
    return frame_read(&reader, bytes_of(w->data, w->size), out);
}

static struct writer start(void)
{
    return writer_of(buffer, sizeof(buffer));
}

static void greet(bool is_bulk)
{
    struct hello hello = {.version_min = 1, .version_max = 2};
    struct frame f;
    struct writer w = start();
    frame_reader_init(&reader, LIMIT, is_bulk, WINDOW);
    frame_write_hello(&w, &hello);
    assert_int_equal(read_written(&w, &f), OK);
}

static int tear_down(void **state)
{
    (void)state;
    frame_reader_fini(&reader);
    return 0;
}

static void test_hello(void **state)
{
    (void)state;
    struct hello hello = {1, 300, 0x8000000000000001, 70000, 0xffffffff};
    struct frame f;
    struct writer w = start();
    frame_reader_init(&reader, LIMIT, true, WINDOW);
    frame_write_hello(&w, &hello);
    assert_int_equal(w.size, FRAME_HELLO_SIZE);
    write_bytes(&w, "later", 5); /* what a later version appends */
    assert_int_equal(read_written(&w, &f), OK);
    assert_int_equal(f.kind, FRAME_HELLO);
    assert_int_equal(f.hello.version_min, 1);
    assert_int_equal(f.hello.version_max, 300);
    assert_true(f.hello.features == hello.features);
    assert_int_equal(f.hello.message_limit, 70000);
    assert_true(f.hello.window == 0xffffffff);
}

static void test_hello_is_first_and_once(void **state)
{
    (void)state;
    struct frame f;
    const uint8_t ping = FRAME_PING;
    frame_reader_init(&reader, LIMIT, false, 0);
    assert_int_equal(frame_read(&reader, bytes_of(&ping, 1), &f), ERR_MALFORMED);
    greet(false);
    struct hello hello = {.version_min = 1, .version_max = 1};
    struct writer w = start();
    frame_write_hello(&w, &hello);
    assert_int_equal(read_written(&w, &f), ERR_MALFORMED);
}

static void test_hello_that_is_none(void **state)
{
    (void)state;
    static const struct hello wrong[] = {{0, 1}, {2, 1}};
    struct frame f;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        struct writer w = start();
        frame_reader_init(&reader, LIMIT, false, 0);
        frame_write_hello(&w, &wrong[i]);
        assert_int_equal(read_written(&w, &f), ERR_MALFORMED);
    }
    struct hello good = {1, 1};
    for (size_t size = 0; size < FRAME_HELLO_SIZE; size++) {
        struct writer w = start();
        frame_reader_init(&reader, LIMIT, false, 0);
        frame_write_hello(&w, &good);
        assert_int_equal(frame_read(&reader, bytes_of(w.data, size), &f), ERR_MALFORMED);
    }
}

static void test_versions(void **state)
{
    (void)state;
    static const struct {
        struct hello a, b;
        uint16_t version; /* 0: none */
    } cases[] = {
        {{1, 1}, {1, 1}, 1}, {{1, 3}, {2, 7}, 3}, {{1, 3}, {3, 7}, 3},
        {{1, 3}, {4, 7}, 0}, {{5, 9}, {1, 9}, 9}, {{2, 2}, {1, 9}, 2},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint16_t there = 0, back = 0;
        assert_int_equal(hello_agree(&cases[i].a, &cases[i].b, &there), cases[i].version != 0);
        assert_int_equal(hello_agree(&cases[i].b, &cases[i].a, &back), cases[i].version != 0);
        assert_int_equal(there, cases[i].version);
        assert_int_equal(back, cases[i].version);
    }
}

/* Every size around a frame's, with other frames between the parts. */
static void test_messages_of_several_frames(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 65512, 65513, 65512 + 65518, 65512 + 65518 + 1, LIMIT};
    static uint8_t data[LIMIT];
    struct frame f;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 31 >> 3);
    greet(false);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct bytes body = bytes_of(data, sizes[i]);
        struct writer w = start();
        size_t done = frame_write_message(&w, (uint16_t)(900 + i), body);
        assert_int_equal(read_written(&w, &f), OK);
        while (done < body.size) {
            assert_int_equal(f.kind, 0);
            const uint8_t ping = FRAME_PING;
            assert_int_equal(frame_read(&reader, bytes_of(&ping, 1), &f), OK);
            assert_int_equal(f.kind, FRAME_PING);
            w = start();
            done += frame_write_more(&w, body, done);
            assert_int_equal(read_written(&w, &f), OK);
        }
        assert_int_equal(f.kind, FRAME_MESSAGE);
        assert_int_equal(f.type, 900 + i);
        assert_true(bytes_equal(f.message, body));
    }
}

/* Who announces much and sends little costs little. */
static void test_memory_follows_what_came(void **state)
{
    (void)state;
    static const uint8_t begin[] = {FRAME_MESSAGE, 0, 1, 0, 0x10, 0, 0, 'x'};
    struct frame f;
    greet(false);
    assert_int_equal(frame_read(&reader, bytes_of(begin, sizeof(begin)), &f), OK);
    assert_true(reader.capacity < 100);
    /* A message within a message. */
    assert_int_equal(frame_read(&reader, bytes_of(begin, sizeof(begin)), &f), ERR_MALFORMED);
}

static void test_message_limit(void **state)
{
    (void)state;
    static const uint8_t large[] = {FRAME_MESSAGE, 0, 1, 0, 0x10, 0, 1, 'x'};
    struct frame f;
    greet(false);
    assert_int_equal(frame_read(&reader, bytes_of(large, sizeof(large)), &f), ERR_MALFORMED);
}

static void test_more_than_the_message_has(void **state)
{
    (void)state;
    static const uint8_t begin[] = {FRAME_MESSAGE, 0, 1, 0, 0, 0, 3, 'x'};
    static const uint8_t more[] = {FRAME_MORE, 'y', 'z', '!'};
    struct frame f;
    greet(false);
    assert_int_equal(frame_read(&reader, bytes_of(begin, sizeof(begin)), &f), OK);
    assert_int_equal(frame_read(&reader, bytes_of(more, 1), &f), ERR_MALFORMED);
    assert_int_equal(frame_read(&reader, bytes_of(more, 4), &f), ERR_MALFORMED);
    assert_int_equal(frame_read(&reader, bytes_of(more, 3), &f), OK);
    assert_int_equal(f.message.size, 3);
    assert_memory_equal(f.message.data, "xyz", 3);
}

static void test_window(void **state)
{
    (void)state;
    static const uint8_t begin[] = {FRAME_MESSAGE, 0, 1, 0, 0x10, 0, 0, 'x'};
    struct frame f;
    greet(true);
    reader.window_left = LIMIT + TRANSPORT_MESSAGE_COST - 1;
    assert_int_equal(frame_read(&reader, bytes_of(begin, sizeof(begin)), &f), ERR_MALFORMED);
    assert_int_equal(reader.window_left, LIMIT + TRANSPORT_MESSAGE_COST - 1);
    reader.in_message = false;
    frame_reader_give_credit(&reader, 1);
    assert_int_equal(frame_read(&reader, bytes_of(begin, sizeof(begin)), &f), OK);
    assert_int_equal(reader.window_left, 0);
}

/* Messages of no bytes cost something too. */
static void test_window_and_empty_messages(void **state)
{
    (void)state;
    static const uint8_t empty[] = {FRAME_MESSAGE, 0, 1, 0, 0, 0, 0};
    struct frame f;
    size_t count = 0;
    greet(true);
    while (frame_read(&reader, bytes_of(empty, sizeof(empty)), &f) == OK)
        count++;
    assert_int_equal(count, WINDOW / TRANSPORT_MESSAGE_COST);
}

static void test_control_frames(void **state)
{
    (void)state;
    struct frame f;
    greet(true);
    struct writer w = start();
    frame_write_credit(&w, 0x01020304);
    assert_int_equal(read_written(&w, &f), OK);
    assert_int_equal(f.kind, FRAME_CREDIT);
    assert_int_equal(f.credit, 0x01020304);
    w = start();
    frame_write_pong(&w);
    assert_int_equal(read_written(&w, &f), OK);
    assert_int_equal(f.kind, FRAME_PONG);
    w = start();
    write_u8(&w, FRAME_FIRST_OPTIONAL + 3); /* unknown, to be passed over */
    assert_int_equal(read_written(&w, &f), OK);
    assert_int_equal(f.kind, 0);
    w = start();
    frame_write_close(&w, 6);
    assert_int_equal(read_written(&w, &f), OK);
    assert_int_equal(f.kind, FRAME_CLOSE);
    assert_int_equal(f.reason, 6);
    w = start();
    frame_write_ping(&w);
    assert_int_equal(read_written(&w, &f), ERR_MALFORMED); /* behind the close */
}

/* --- the preamble ----------------------------------------------------------------------------- */

static void test_preamble(void **state)
{
    (void)state;
    static const uint8_t want[PREAMBLE_SIZE] = {'W', 'R', 'N', 'M', 1, 2, 1, 0, 0, 0, 0,
                                                0,   0,   0,   0,   3, 0, 0, 0, 0, 0, 0,
                                                0,   4,   0,   0,   0, 0, 0, 0, 0, 5};
    uint8_t data[PREAMBLE_SIZE];
    struct preamble p;
    preamble_write(data, TRANSPORT_BULK, NOISE_IK, 3, 4, 5);
    assert_memory_equal(data, want, sizeof(want));
    assert_int_equal(preamble_read(&p, data), OK);
    assert_int_equal(preamble_stream(&p), TRANSPORT_BULK);
    assert_int_equal(preamble_pattern(&p), NOISE_IK);
    assert_true(p.cluster_id == 3 && p.from == 4 && p.to == 5);
    preamble_write(data, TRANSPORT_CONSENSUS, NOISE_XXPSK3, 3, 4, 5);
    assert_int_equal(preamble_read(&p, data), OK);
    assert_int_equal(preamble_pattern(&p), NOISE_XXPSK3);
    assert_int_equal(preamble_stream(&p), TRANSPORT_CONSENSUS);
}

static void test_preamble_that_is_none(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint8_t value;
        enum err error;
    } cases[] = {
        {0, 'w', ERR_MALFORMED}, {3, 0, ERR_MALFORMED}, {4, 0, ERR_UNSUPPORTED},
        {4, 2, ERR_UNSUPPORTED}, {5, 0, ERR_INVALID},   {5, 3, ERR_INVALID},
        {6, 0, ERR_INVALID},     {6, 3, ERR_INVALID},   {7, 1, ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t data[PREAMBLE_SIZE];
        struct preamble p;
        preamble_write(data, TRANSPORT_BULK, NOISE_IK, 3, 4, 5);
        data[cases[i].at] = cases[i].value;
        assert_int_equal(preamble_read(&p, data), cases[i].error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_hello, tear_down),
        cmocka_unit_test_teardown(test_hello_is_first_and_once, tear_down),
        cmocka_unit_test_teardown(test_hello_that_is_none, tear_down),
        cmocka_unit_test(test_versions),
        cmocka_unit_test_teardown(test_messages_of_several_frames, tear_down),
        cmocka_unit_test_teardown(test_memory_follows_what_came, tear_down),
        cmocka_unit_test_teardown(test_message_limit, tear_down),
        cmocka_unit_test_teardown(test_more_than_the_message_has, tear_down),
        cmocka_unit_test_teardown(test_window, tear_down),
        cmocka_unit_test_teardown(test_window_and_empty_messages, tear_down),
        cmocka_unit_test_teardown(test_control_frames, tear_down),
        cmocka_unit_test(test_preamble),
        cmocka_unit_test(test_preamble_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
