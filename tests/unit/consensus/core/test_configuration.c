/* Changes of the configuration: the rules one by one, what no sequence of changes may break, the
 * encoding, and etcd-io/raft's own vectors, where they are. */
#include "base/strbuf.h"
#include "core/configuration.h"
#include "tests/support/datadriven.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct configuration_state state_of(const uint64_t *voters, size_t count)
{
    struct configuration_state c = {0};
    for (size_t i = 0; i < count; i++)
        assert_true(id_set_add(&c.voters, voters[i]));
    return c;
}

static const struct configuration_state three = {.voters = {.count = 3, .ids = {1, 2, 3}}};

/* --- validity --------------------------------------------------------------------------------- */

static void test_states_that_contradict_themselves_are_invalid(void **state)
{
    (void)state;
    struct configuration_state c = three;
    assert_true(configuration_is_valid(&c));
    assert_true(configuration_is_valid(&(struct configuration_state){0}));
    c.auto_leave = true; /* not joint */
    assert_false(configuration_is_valid(&c));
    c = three;
    c.voters.ids[1] = 3; /* not rising */
    assert_false(configuration_is_valid(&c));
    c = three;
    c.voters.ids[0] = 0;
    assert_false(configuration_is_valid(&c));
    c = three;
    c.voters.count = ID_SET_MAX + 1;
    assert_false(configuration_is_valid(&c));
    c = three;
    c.learners = (struct id_set){.count = 1, .ids = {2}}; /* a voter, too */
    assert_false(configuration_is_valid(&c));
    c.learners.ids[0] = 4;
    assert_true(configuration_is_valid(&c));
    c.voters.count = 0; /* learners only */
    assert_false(configuration_is_valid(&c));
    c = three;
    c.learners_next = (struct id_set){.count = 1, .ids = {4}}; /* not joint */
    assert_false(configuration_is_valid(&c));
    c.outgoing = (struct id_set){.count = 2, .ids = {1, 4}};
    assert_true(configuration_is_valid(&c));
    c.learners_next.ids[0] = 1; /* an incoming voter */
    assert_false(configuration_is_valid(&c));
    c.learners_next.ids[0] = 5; /* no outgoing voter */
    assert_false(configuration_is_valid(&c));
}

static void test_no_change_leaves_a_valid_state(void **state)
{
    (void)state;
    srand(11);
    for (int run = 0; run < 300; run++) {
        struct configuration_state c = state_of((uint64_t[]){1, 2, 3}, 3);
        for (int step = 0; step < 60; step++) {
            struct configuration_change change = {
                .transition = (enum change_transition)(rand() % CHANGE_TRANSITION_COUNT)};
            struct change_outcome out;
            change.item_count = (size_t)(rand() % 5);
            for (size_t i = 0; i < change.item_count; i++)
                change.items[i] =
                    (struct change_item){.type = (enum change_type)(rand() % CHANGE_TYPE_COUNT),
                                         .id = (uint64_t)(rand() % 8)};
            if (configuration_apply(&c, &change, &out) != CHANGE_OK)
                continue;
            struct id_set before, after;
            configuration_members(&c, &before);
            configuration_members(&out.state, &after);
            assert_true(configuration_is_valid(&out.state));
            assert_true(out.state.voters.count > 0);
            for (size_t i = 0; i < after.count; i++)
                assert_true(id_set_has(&before, after.ids[i]) ||
                            id_set_has(&out.added, after.ids[i]));
            for (size_t i = 0; i < out.added.count; i++)
                assert_true(id_set_has(&after, out.added.ids[i]));
            c = out.state;
        }
    }
}

static void test_more_members_than_fit_are_refused(void **state)
{
    (void)state;
    struct configuration_state c = state_of((uint64_t[]){1}, 1);
    struct change_outcome out;
    for (uint64_t id = 2; id <= ID_SET_MAX; id++) {
        struct change_item item = {.type = CHANGE_ADD_LEARNER, .id = id};
        assert_int_equal(configuration_simple(&c, &item, 1, &out), CHANGE_OK);
        c = out.state;
    }
    struct change_item item = {.type = CHANGE_ADD_LEARNER, .id = 1000};
    assert_int_equal(configuration_simple(&c, &item, 1, &out), CHANGE_TOO_MANY_MEMBERS);
    item.type = CHANGE_ADD_VOTER;
    assert_int_equal(configuration_simple(&c, &item, 1, &out), CHANGE_TOO_MANY_MEMBERS);
    item.id = 2;
    assert_int_equal(configuration_simple(&c, &item, 1, &out), CHANGE_OK);
}

/* --- the encoding ----------------------------------------------------------------------------- */

static void test_what_is_encoded_is_decoded(void **state)
{
    (void)state;
    struct configuration_change c = {.transition = CHANGE_EXPLICIT, .item_count = CHANGE_MAX_ITEMS};
    for (size_t i = 0; i < c.item_count; i++)
        c.items[i] = (struct change_item){.type = (enum change_type)(i % CHANGE_TYPE_COUNT),
                                          .id = i == 0 ? UINT64_MAX : i * 1000};
    c.context = bytes_of_str("about it");
    struct configuration_change back;
    struct payload *p = change_encode(&c);
    assert_non_null(p);
    assert_int_equal(change_decode(&back, ENTRY_CHANGE, payload_bytes(p)), OK);
    assert_false(back.is_v1);
    assert_int_equal(back.transition, CHANGE_EXPLICIT);
    assert_int_equal(back.item_count, c.item_count);
    assert_memory_equal(back.items, c.items, sizeof(c.items));
    assert_true(bytes_equal(back.context, c.context));
    payload_release(p);
}

/* The octets are what raftpb's messages are on the wire, so that sizes agree. */
static void test_the_encoding_is_that_of_raftpb(void **state)
{
    (void)state;
    static const uint8_t v1[] = {0x10, 0x01, 0x18, 0xac, 0x02};
    static const uint8_t v2[] = {0x08, 0x02, 0x12, 0x04, 0x08, 0x00, 0x10, 0x04, 0x12,
                                 0x04, 0x08, 0x03, 0x10, 0x05, 0x1a, 0x01, 'x'};
    static const uint8_t leave[] = {0x08, 0x00};
    struct configuration_change c = {
        .is_v1 = true, .item_count = 1, .items = {{CHANGE_REMOVE, 300}}};
    struct payload *p = change_encode(&c);
    assert_true(bytes_equal(payload_bytes(p), bytes_of(v1, sizeof(v1))));
    payload_release(p);
    c = (struct configuration_change){.transition = CHANGE_EXPLICIT,
                                      .item_count = 2,
                                      .items = {{CHANGE_ADD_VOTER, 4}, {CHANGE_ADD_LEARNER, 5}},
                                      .context = bytes_of_str("x")};
    p = change_encode(&c);
    assert_true(bytes_equal(payload_bytes(p), bytes_of(v2, sizeof(v2))));
    payload_release(p);
    p = change_encode(&(struct configuration_change){0});
    assert_true(bytes_equal(payload_bytes(p), bytes_of(leave, sizeof(leave))));
    payload_release(p);
}

static void test_nothing_else_is_decoded(void **state)
{
    (void)state;
    struct configuration_change c;
#define REFUSED(type, ...)                                                                         \
    do {                                                                                           \
        static const uint8_t octets[] = {__VA_ARGS__};                                             \
        assert_int_equal(change_decode(&c, type, bytes_of(octets, sizeof(octets))),                \
                         ERR_MALFORMED);                                                           \
    } while (0)
    assert_int_equal(change_decode(&c, ENTRY_CHANGE, BYTES_EMPTY), OK);
    assert_true(change_is_leave(&c));
    assert_int_equal(change_decode(&c, ENTRY_CHANGE_V1, BYTES_EMPTY), ERR_MALFORMED);
    assert_int_equal(change_decode(&c, ENTRY_NORMAL, BYTES_EMPTY), ERR_MALFORMED);
    REFUSED(ENTRY_CHANGE, 0x08, 0x03);                                     /* unknown transition */
    REFUSED(ENTRY_CHANGE, 0x08, 0x80, 0x00);                               /* not the shortest */
    REFUSED(ENTRY_CHANGE, 0x08);                                           /* cut */
    REFUSED(ENTRY_CHANGE, 0x08, 0x00, 0x12, 0x05, 0x08, 0x00, 0x10, 0x01); /* cut item */
    REFUSED(ENTRY_CHANGE, 0x08, 0x00, 0x12, 0x04, 0x08, 0x04, 0x10, 0x01); /* unknown type */
    REFUSED(ENTRY_CHANGE, 0x08, 0x00, 0x12, 0x02, 0x08, 0x00);             /* no id */
    REFUSED(ENTRY_CHANGE, 0x08, 0x00, 0x1a, 0x00);                         /* empty context */
    REFUSED(ENTRY_CHANGE, 0x08, 0x00, 0x1a, 0x01, 'x', 'y');               /* more behind it */
    REFUSED(ENTRY_CHANGE, 0x08, 0x00, 0x1a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            0x01);
    REFUSED(ENTRY_CHANGE, 0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02);
    REFUSED(ENTRY_CHANGE_V1, 0x10, 0x00);
    REFUSED(ENTRY_CHANGE_V1, 0x08, 0x01, 0x10, 0x00, 0x18, 0x01);
#undef REFUSED
}

/* --- vectors ---------------------------------------------------------------------------------- */

static size_t parse_items(const char *input, struct change_item *items)
{
    size_t count = 0;
    for (const char *at = input; *(at += strspn(at, " \n")) != '\0'; at += strcspn(at, " \n")) {
        static const char letters[] = "vrul"; /* in the order of change_type */
        const char *letter = strchr(letters, *at);
        assert_non_null(letter);
        assert_true(count < CHANGE_MAX_ITEMS);
        items[count++] = (struct change_item){.type = (enum change_type)(letter - letters),
                                              .id = strtoull(at + 1, NULL, 10)};
    }
    return count;
}

static void print_set(struct strbuf *out, const char *before, const struct id_set *set)
{
    strbuf_add_format(out, "%s(", before);
    for (size_t i = 0; i < set->count; i++)
        strbuf_add_format(out, "%s%llx", i > 0 ? " " : "", (unsigned long long)set->ids[i]);
    strbuf_add_char(out, ')');
}

/* What the vectors print of each member: the index it would be probed from. */
struct tracked {
    uint64_t next[256];
};

static void print_state(struct strbuf *out, const struct configuration_state *c,
                        const struct tracked *t)
{
    struct id_set members;
    print_set(out, "voters=", &c->voters);
    if (configuration_is_joint(c))
        print_set(out, "&&", &c->outgoing);
    if (c->learners.count > 0)
        print_set(out, " learners=", &c->learners);
    if (c->learners_next.count > 0)
        print_set(out, " learners_next=", &c->learners_next);
    strbuf_add_str(out, c->auto_leave ? " autoleave\n" : "\n");
    configuration_members(c, &members);
    for (size_t i = 0; i < members.count; i++) {
        uint64_t id = members.ids[i];
        strbuf_add_format(out, "%llu: StateProbe match=0 next=%llu%s\n", (unsigned long long)id,
                          (unsigned long long)t->next[id],
                          id_set_has(&c->learners, id) ? " learner" : "");
    }
}

static void run_block(const struct dd_block *b, uint64_t last_index, struct configuration_state *c,
                      struct tracked *t, struct strbuf *out)
{
    struct change_item items[CHANGE_MAX_ITEMS];
    struct change_outcome o;
    size_t count = parse_items(b->input, items);
    enum change_verdict verdict;
    if (strcmp(b->command, "simple") == 0) {
        verdict = configuration_simple(c, items, count, &o);
    } else if (strcmp(b->command, "enter-joint") == 0) {
        const struct dd_arg *leave = dd_arg(b, "autoleave");
        bool auto_leave = leave != NULL && strcmp(leave->values[0], "true") == 0;
        verdict = configuration_enter_joint(c, auto_leave, items, count, &o);
    } else {
        assert_string_equal(b->command, "leave-joint");
        verdict = configuration_leave_joint(c, &o);
    }
    if (verdict != CHANGE_OK) {
        strbuf_add_format(out, "%s\n", change_verdict_text(verdict));
        return;
    }
    for (size_t i = 0; i < o.added.count; i++)
        t->next[o.added.ids[i]] = last_index > 1 ? last_index : 1;
    *c = o.state;
    print_state(out, c, t);
}

static void run_file(const char *path)
{
    struct dd_file f;
    struct configuration_state c = {0};
    struct tracked t = {0};
    assert_true(dd_load(&f, path));
    assert_true(f.block_count > 0);
    for (size_t i = 0; i < f.block_count; i++) {
        struct strbuf out = STRBUF_EMPTY;
        run_block(&f.blocks[i], i, &c, &t, &out);
        if (strcmp(strbuf_str(&out), f.blocks[i].expected) != 0)
            fail_msg("%s:%u: got\n%s", path, f.blocks[i].line, strbuf_str(&out));
        strbuf_fini(&out);
    }
    dd_fini(&f);
}

static void test_vectors_of_etcd_raft(void **state)
{
    (void)state;
    char folder[2048], path[4096];
    int files = 0;
    if (!dd_shared_path(SOURCE_ROOT, "vectors/raft/confchange", folder, sizeof(folder))) {
        print_message("%s is not there (set WARREN_SHARED)\n", folder);
        skip();
    }
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        run_file(path);
        files++;
    }
    closedir(dir);
    assert_true(files >= 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states_that_contradict_themselves_are_invalid),
        cmocka_unit_test(test_no_change_leaves_a_valid_state),
        cmocka_unit_test(test_more_members_than_fit_are_refused),
        cmocka_unit_test(test_what_is_encoded_is_decoded),
        cmocka_unit_test(test_the_encoding_is_that_of_raftpb),
        cmocka_unit_test(test_nothing_else_is_decoded),
        cmocka_unit_test(test_vectors_of_etcd_raft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
