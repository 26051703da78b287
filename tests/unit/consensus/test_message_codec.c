#include "consensus/message_codec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* With this variable set, each message of the round trip is written there: the fuzzer's corpus. */
#define CORPUS_VARIABLE "WARREN_WRITE_CORPUS"

static struct payload *payload_of(const char *text)
{
    struct payload *p = payload_create(bytes_of_str(text));
    assert_non_null(p);
    return p;
}

static void add_entry(struct raft_message *m, enum entry_type type, const char *text)
{
    struct entry e = {.type = type,
                      .term = 7 + m->entries.count,
                      .index = UINT64_C(0x1122334455667788) + m->entries.count,
                      .payload = text != NULL ? payload_of(text) : NULL};
    assert_int_equal(entry_list_add(&m->entries, &e), OK);
    payload_release(e.payload);
}

static struct raft_message message_of(enum message_type type)
{
    struct raft_message m = {
        .type = type,
        .reject = type % 2 == 0,
        .to = UINT64_MAX,
        .from = 2,
        .term = 3,
        .log_term = 4,
        .index = 5,
        .commit = 6,
        .reject_hint = UINT64_C(1) << 40,
    };
    if (type % 3 == 0)
        m.context = payload_of(type % 2 == 0 ? "token" : "");
    if (type == MESSAGE_APPEND || type == MESSAGE_PROPOSAL) {
        add_entry(&m, ENTRY_NORMAL, NULL);
        add_entry(&m, ENTRY_NORMAL, "");
        add_entry(&m, ENTRY_CHANGE, "change");
        add_entry(&m, ENTRY_REFUSED_CHANGE, NULL);
    }
    if (type == MESSAGE_SNAPSHOT) {
        m.snapshot = calloc(1, sizeof(*m.snapshot));
        assert_non_null(m.snapshot);
        m.snapshot->index = 9;
        m.snapshot->term = 2;
        struct configuration_state *c = &m.snapshot->configuration;
        for (uint64_t id = 1; id <= ID_SET_MAX; id++)
            assert_true(id_set_add(&c->voters, id * 3));
        assert_true(id_set_add(&c->outgoing, 5));
        assert_true(id_set_add(&c->learners, 8));
        c->auto_leave = true;
    }
    return m;
}

static void write_corpus(enum message_type type, const struct strbuf *bytes)
{
    const char *folder = getenv(CORPUS_VARIABLE);
    if (folder == NULL)
        return;
    char path[400];
    (void)snprintf(path, sizeof(path), "%s/%s", folder, message_type_text(type));
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes->data, 1, bytes->size, f), bytes->size);
    assert_int_equal(fclose(f), 0);
}

static void assert_same_entries(const struct entry_list *a, const struct entry_list *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        const struct entry *x = &a->items[i];
        const struct entry *y = &b->items[i];
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->term, y->term);
        assert_int_equal(x->index, y->index);
        assert_int_equal(x->payload == NULL, y->payload == NULL);
        assert_true(bytes_equal(payload_bytes(x->payload), payload_bytes(y->payload)));
    }
}

static void assert_same(const struct raft_message *a, const struct raft_message *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->reject, b->reject);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->term, b->term);
    assert_int_equal(a->log_term, b->log_term);
    assert_int_equal(a->index, b->index);
    assert_int_equal(a->commit, b->commit);
    assert_int_equal(a->reject_hint, b->reject_hint);
    assert_int_equal(a->context == NULL, b->context == NULL);
    assert_true(bytes_equal(payload_bytes(a->context), payload_bytes(b->context)));
    assert_same_entries(&a->entries, &b->entries);
    assert_int_equal(a->snapshot == NULL, b->snapshot == NULL);
    if (a->snapshot == NULL)
        return;
    assert_int_equal(a->snapshot->index, b->snapshot->index);
    assert_int_equal(a->snapshot->term, b->snapshot->term);
    assert_true(configuration_equal(&a->snapshot->configuration, &b->snapshot->configuration));
}

/* Every prefix, and every byte changed: an answer, and no memory outside (ASan). */
static void try_damaged(const struct strbuf *bytes)
{
    struct raft_message m;
    uint8_t *copy = malloc(bytes->size + 1);
    assert_non_null(copy);
    for (size_t size = 0; size < bytes->size; size++)
        assert_int_equal(message_decode(&m, bytes_of(bytes->data, size)), ERR_MALFORMED);
    memcpy(copy, bytes->data, bytes->size);
    copy[bytes->size] = 0;
    assert_int_equal(message_decode(&m, bytes_of(copy, bytes->size + 1)), ERR_MALFORMED);
    for (size_t at = 0; at < bytes->size; at++) {
        copy[at] ^= 0xff;
        if (message_decode(&m, bytes_of(copy, bytes->size)) == OK)
            message_fini(&m);
        copy[at] ^= 0xff;
    }
    free(copy);
}

static void every_type_comes_back_as_it_was(void **state)
{
    (void)state;
    size_t count = 0;
    for (enum message_type type = 0; type < MESSAGE_TYPE_COUNT; type++) {
        if (!message_crosses_network(type))
            continue;
        struct raft_message m = message_of(type);
        struct raft_message read;
        struct strbuf bytes = STRBUF_EMPTY;
        message_encode(&bytes, &m);
        write_corpus(type, &bytes);
        assert_int_equal(message_decode(&read, bytes_of(bytes.data, bytes.size)), OK);
        assert_same(&m, &read);
        try_damaged(&bytes);
        message_fini(&read);
        message_fini(&m);
        strbuf_fini(&bytes);
        count++;
    }
    assert_int_equal(count, 14);
}

static void what_a_member_says_to_itself_alone_is_refused(void **state)
{
    (void)state;
    struct raft_message m = message_of(MESSAGE_HEARTBEAT);
    struct raft_message read;
    struct strbuf bytes = STRBUF_EMPTY;
    message_encode(&bytes, &m);
    for (unsigned type = 0; type < 256; type++) {
        bool crosses =
            type < MESSAGE_TYPE_COUNT && message_crosses_network((enum message_type)type);
        bytes.data[1] = (char)type;
        enum err e = message_decode(&read, bytes_of(bytes.data, bytes.size));
        if (e == OK)
            message_fini(&read);
        assert_int_equal(e == OK, crosses && type != MESSAGE_SNAPSHOT);
    }
    message_fini(&m);
    strbuf_fini(&bytes);
}

static void another_version_is_told_apart(void **state)
{
    (void)state;
    struct raft_message m = message_of(MESSAGE_VOTE);
    struct raft_message read;
    struct strbuf bytes = STRBUF_EMPTY;
    message_encode(&bytes, &m);
    bytes.data[0] = 2;
    assert_int_equal(message_decode(&read, bytes_of(bytes.data, bytes.size)), ERR_UNSUPPORTED);
    message_fini(&m);
    strbuf_fini(&bytes);
}

static void a_count_beyond_the_bytes_allocates_nothing(void **state)
{
    (void)state;
    struct raft_message m = {.type = MESSAGE_APPEND};
    struct raft_message read;
    struct strbuf bytes = STRBUF_EMPTY;
    message_encode(&bytes, &m);
    memset(bytes.data + bytes.size - 4, 0xff, 4);
    assert_int_equal(message_decode(&read, bytes_of(bytes.data, bytes.size)), ERR_MALFORMED);
    strbuf_fini(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_comes_back_as_it_was),
        cmocka_unit_test(what_a_member_says_to_itself_alone_is_refused),
        cmocka_unit_test(another_version_is_told_apart),
        cmocka_unit_test(a_count_beyond_the_bytes_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
