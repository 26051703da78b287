#include "core/entry.h"
#include "core/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct payload *payload_of_size(size_t size)
{
    static const uint8_t zeros[70000];
    struct payload *p = payload_create(bytes_of(zeros, size));
    assert_non_null(p);
    return p;
}

/* What google.golang.org/protobuf says of raftpb's Entry with the same fields. */
static void test_an_entry_counts_the_bytes_of_its_protobuf_form(void **state)
{
    (void)state;
    static const struct {
        struct entry e;
        int payload; /* -1: none */
        uint64_t size;
    } cases[] = {
        {{.term = 1, .index = 1}, -1, 4},
        {{.term = 1, .index = 127}, -1, 4},
        {{.term = 1, .index = 128}, -1, 5},
        {{.term = 300, .index = 16384}, -1, 3 + 4},
        {{.term = 1, .index = 1}, 0, 6},
        {{.term = 1, .index = 1}, 5, 11},
        {{.term = 1, .index = 1}, 127, 4 + 2 + 127},
        {{.term = 1, .index = 1}, 128, 4 + 3 + 128},
        {{.term = 1, .index = 1}, 65536, 4 + 4 + 65536},
        {{.term = 1, .index = 1, .type = ENTRY_CHANGE}, -1, 6},
        {{.term = 1, .index = 1, .type = ENTRY_CHANGE_V1}, 5, 13},
        {{.term = 1, .index = 1, .type = ENTRY_REFUSED_CHANGE}, -1, 6},
        {{.term = UINT64_MAX, .index = UINT64_MAX}, -1, 22},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct entry e = cases[i].e;
        if (cases[i].payload >= 0)
            e.payload = payload_of_size((size_t)cases[i].payload);
        assert_int_equal(entry_size(&e), cases[i].size);
        assert_int_equal(entry_payload_size(&e), cases[i].payload > 0 ? cases[i].payload : 0);
        payload_release(e.payload);
    }
}

static void test_a_list_holds_references(void **state)
{
    (void)state;
    struct payload *p = payload_of_size(3);
    struct entry_list list = ENTRY_LIST_EMPTY;
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(entry_list_add(&list, &(struct entry){.index = i, .payload = p}), OK);
    assert_int_equal(p->references, 11);
    entry_list_truncate(&list, 7);
    assert_int_equal(p->references, 8);
    entry_list_drop(&list, 2);
    assert_int_equal(p->references, 6);
    assert_int_equal(list.count, 5);
    for (size_t i = 0; i < list.count; i++)
        assert_int_equal(list.items[i].index, i + 3);
    entry_list_drop(&list, 5);
    assert_int_equal(list.count, 0);
    assert_int_equal(p->references, 1);
    entry_list_fini(&list);
    payload_release(p);
}

static void test_a_copied_message_shares_payloads_alone(void **state)
{
    (void)state;
    struct payload *p = payload_of_size(3);
    struct snapshot s = {.index = 5, .term = 2};
    struct entry e = {.term = 1, .index = 6, .payload = p};
    struct raft_message inner = {.type = MESSAGE_APPEND_RESPONSE, .snapshot = &s, .context = p};
    struct raft_message m = {.type = MESSAGE_STORE,
                             .entries = {.items = &e, .count = 1},
                             .responses = &inner,
                             .response_count = 1};
    struct raft_message copy;
    assert_int_equal(message_copy(&copy, &m), OK);
    assert_int_equal(p->references, 3);
    assert_ptr_not_equal(copy.entries.items, &e);
    assert_ptr_not_equal(copy.responses[0].snapshot, &s);
    assert_int_equal(copy.responses[0].snapshot->index, 5);
    message_fini(&copy);
    assert_int_equal(p->references, 1);
    payload_release(p);
}

static void test_message_types_have_raftpbs_names_and_numbers(void **state)
{
    (void)state;
    assert_int_equal(MESSAGE_TYPE_COUNT, 24);
    assert_string_equal(message_type_text((enum message_type)0), "MsgHup");
    assert_string_equal(message_type_text((enum message_type)7), "MsgSnap");
    assert_string_equal(message_type_text((enum message_type)16), "MsgReadIndexResp");
    assert_string_equal(message_type_text((enum message_type)23), "MsgForgetLeader");
    assert_string_equal(message_type_text((enum message_type)24), "unknown");
    assert_string_equal(message_type_text((enum message_type) - 1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_counts_the_bytes_of_its_protobuf_form),
        cmocka_unit_test(test_a_list_holds_references),
        cmocka_unit_test(test_a_copied_message_shares_payloads_alone),
        cmocka_unit_test(test_message_types_have_raftpbs_names_and_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
