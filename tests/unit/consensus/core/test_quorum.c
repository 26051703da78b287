/* Majorities against a naive twin, for every small input and many random ones; and etcd-io/raft's
 * own vectors, where they are (exit 77 without). */
#include "base/strbuf.h"
#include "core/quorum.h"
#include "tests/support/datadriven.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MAX_ID = 64
};

/* What was acknowledged, by id. */
struct acks {
    uint64_t index[MAX_ID];
    uint64_t id[MAX_ID];
    size_t count;
};

static uint64_t acked(const void *context, uint64_t id)
{
    const struct acks *a = context;
    for (size_t i = 0; i < a->count; i++) {
        if (a->id[i] == id)
            return a->index[i];
    }
    return 0;
}

static void set_ack(struct acks *a, uint64_t id, uint64_t index)
{
    for (size_t i = 0; i < a->count; i++) {
        if (a->id[i] == id) {
            a->index[i] = index;
            return;
        }
    }
    assert_true(a->count < MAX_ID);
    a->id[a->count] = id;
    a->index[a->count++] = index;
}

/* --- naive twins ------------------------------------------------------------------------------ */

/* Tries each acknowledged index: how many have it or more. */
static uint64_t twin_committed(const struct id_set *voters, const struct acks *a)
{
    uint64_t best = 0;
    if (voters->count == 0)
        return UINT64_MAX;
    for (size_t i = 0; i < voters->count; i++) {
        uint64_t candidate = acked(a, voters->ids[i]);
        size_t having = 0;
        for (size_t j = 0; j < voters->count; j++)
            having += acked(a, voters->ids[j]) >= candidate;
        if (having * 2 > voters->count && candidate > best)
            best = candidate;
    }
    return best;
}

/* Tries both ends: everyone who is silent says yes, or says no. */
static enum vote_result twin_vote(const struct id_set *voters, const struct id_set *yes,
                                  const struct id_set *no)
{
    size_t least = 0, most = 0;
    if (voters->count == 0)
        return VOTE_WON;
    for (size_t i = 0; i < voters->count; i++) {
        least += id_set_has(yes, voters->ids[i]);
        most += !id_set_has(no, voters->ids[i]);
    }
    if (least * 2 > voters->count)
        return VOTE_WON;
    return most * 2 > voters->count ? VOTE_PENDING : VOTE_LOST;
}

static struct id_set set_of_bits(unsigned bits)
{
    struct id_set set = {0};
    for (unsigned i = 0; i < 8; i++) {
        if (bits >> i & 1)
            assert_true(id_set_add(&set, i + 1));
    }
    return set;
}

/* --- tests ------------------------------------------------------------------------------------ */

static void test_votes_of_every_small_joint_configuration(void **state)
{
    (void)state;
    for (unsigned in = 0; in < 16; in++) {
        for (unsigned out = 0; out < 16; out++) {
            for (unsigned votes = 0; votes < 81; votes++) {
                struct id_set a = set_of_bits(in), b = set_of_bits(out), yes = {0}, no = {0};
                for (unsigned i = 0, left = votes; i < 4; i++, left /= 3) {
                    if (left % 3 == 1)
                        (void)id_set_add(&yes, i + 1);
                    else if (left % 3 == 2)
                        (void)id_set_add(&no, i + 1);
                }
                assert_int_equal(quorum_vote(&a, &yes, &no), twin_vote(&a, &yes, &no));
                enum vote_result ra = twin_vote(&a, &yes, &no), rb = twin_vote(&b, &yes, &no);
                enum vote_result both = ra < rb ? ra : rb;
                if (ra == VOTE_LOST || rb == VOTE_LOST)
                    both = VOTE_LOST;
                assert_int_equal(quorum_joint_vote(&a, &b, &yes, &no), both);
                assert_int_equal(quorum_joint_vote(&b, &a, &yes, &no), both);
            }
        }
    }
}

static void test_committed_of_random_configurations(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 20000; round++) {
        struct id_set a = {0}, b = {0};
        struct acks acks = {0};
        for (int i = rand() % 12; i > 0; i--)
            (void)id_set_add(&a, (uint64_t)(rand() % 16 + 1));
        for (int i = rand() % 12; i > 0; i--)
            (void)id_set_add(&b, (uint64_t)(rand() % 16 + 1));
        for (uint64_t id = 1; id <= 16; id++) {
            if (rand() % 4 > 0)
                set_ack(&acks, id, (uint64_t)(rand() % 8));
        }
        uint64_t x = twin_committed(&a, &acks), y = twin_committed(&b, &acks);
        assert_int_equal(quorum_committed(&a, acked, &acks), x);
        assert_int_equal(quorum_joint_committed(&a, &b, acked, &acks), x < y ? x : y);
        assert_int_equal(quorum_joint_committed(&b, &a, acked, &acks), x < y ? x : y);
        assert_int_equal(quorum_joint_committed(&a, &a, acked, &acks), x);
    }
}

static void test_an_id_set_is_sorted_unique_and_bounded(void **state)
{
    (void)state;
    struct id_set set = {0};
    for (uint64_t i = 0; i < ID_SET_MAX; i++)
        assert_true(id_set_add(&set, (i * 37) % ID_SET_MAX + 1));
    assert_int_equal(set.count, ID_SET_MAX);
    for (size_t i = 0; i < set.count; i++)
        assert_int_equal(set.ids[i], i + 1);
    assert_true(id_set_add(&set, 5));
    assert_false(id_set_add(&set, 1000));
    assert_true(id_set_remove(&set, 5));
    assert_false(id_set_remove(&set, 5));
    assert_false(id_set_has(&set, 5));
    assert_true(id_set_add(&set, 1000));
    assert_true(id_set_has(&set, 1000));
}

/* --- vectors ---------------------------------------------------------------------------------- */

static struct id_set ids_of(const struct dd_arg *arg)
{
    struct id_set set = {0};
    for (size_t i = 0; arg != NULL && i < arg->value_count; i++) {
        if (strcmp(arg->values[i], "zero") != 0)
            assert_true(id_set_add(&set, strtoull(arg->values[i], NULL, 10)));
    }
    return set;
}

/* Ids in the order in which the file gives them values: as written, without repetition. */
static size_t order_of(const struct dd_block *b, uint64_t ids[MAX_ID])
{
    size_t count = 0;
    const char *const keys[] = {"cfg", "cfgj"};
    for (size_t k = 0; k < 2; k++) {
        const struct dd_arg *arg = dd_arg(b, keys[k]);
        for (size_t i = 0; arg != NULL && i < arg->value_count; i++) {
            uint64_t id = strtoull(arg->values[i], NULL, 10);
            bool known = strcmp(arg->values[i], "zero") == 0;
            for (size_t j = 0; j < count; j++)
                known |= ids[j] == id;
            if (!known)
                ids[count++] = id;
        }
    }
    return count;
}

/* A line for each voter: a bar as long as how many are behind it. */
static void describe(struct strbuf *out, const struct id_set *all, const struct acks *a)
{
    int n = (int)all->count;
    if (n == 0) {
        strbuf_add_str(out, "<empty majority quorum>");
        return;
    }
    strbuf_add_format(out, "%*s    idx\n", n, "");
    for (size_t i = 0; i < all->count; i++) {
        uint64_t index = acked(a, all->ids[i]);
        int behind = 0;
        bool heard = false;
        for (size_t j = 0; j < all->count; j++)
            behind += acked(a, all->ids[j]) < index;
        for (size_t j = 0; j < a->count; j++)
            heard |= a->id[j] == all->ids[i];
        if (!heard)
            strbuf_add_format(out, "?%*s", n, "");
        for (int x = 0; heard && x < behind; x++)
            strbuf_add_char(out, 'x');
        if (heard)
            strbuf_add_format(out, ">%*s", n - behind, "");
        strbuf_add_format(out, " %5llu    (id=%llx)\n", (unsigned long long)index,
                          (unsigned long long)all->ids[i]);
    }
}

static void run_committed(const struct dd_block *b, struct strbuf *out)
{
    struct id_set in = ids_of(dd_arg(b, "cfg")), outgoing = ids_of(dd_arg(b, "cfgj")), all = in;
    struct acks acks = {0};
    uint64_t order[MAX_ID];
    size_t count = order_of(b, order);
    const struct dd_arg *index = dd_arg(b, "idx");
    assert_true(id_set_add_all(&all, &outgoing));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(index->values[i], "_") != 0)
            set_ack(&acks, order[i], strtoull(index->values[i], NULL, 10));
    }
    describe(out, &all, &acks);
    uint64_t got = quorum_joint_committed(&in, &outgoing, acked, &acks);
    if (got == UINT64_MAX)
        strbuf_add_str(out, "∞\n");
    else
        strbuf_add_format(out, "%llu\n", (unsigned long long)got);
}

static void run_vote(const struct dd_block *b, struct strbuf *out)
{
    static const char *const texts[] = {"VotePending", "VoteLost", "VoteWon"};
    struct id_set in = ids_of(dd_arg(b, "cfg")), outgoing = ids_of(dd_arg(b, "cfgj"));
    struct id_set yes = {0}, no = {0};
    uint64_t order[MAX_ID];
    size_t count = order_of(b, order);
    const struct dd_arg *votes = dd_arg(b, "votes");
    for (size_t i = 0; i < count; i++) {
        if (votes->values[i][0] == 'y')
            assert_true(id_set_add(&yes, order[i]));
        else if (votes->values[i][0] == 'n')
            assert_true(id_set_add(&no, order[i]));
    }
    strbuf_add_format(out, "%s\n", texts[quorum_joint_vote(&in, &outgoing, &yes, &no)]);
}

static void test_vectors_of_etcd_raft(void **state)
{
    (void)state;
    static const char *const names[] = {"majority_commit", "majority_vote", "joint_commit",
                                        "joint_vote"};
    for (size_t i = 0; i < 4; i++) {
        char name[64], path[4096];
        snprintf(name, sizeof(name), "vectors/raft/quorum/%s.txt", names[i]);
        if (!dd_shared_path(SOURCE_ROOT, name, path, sizeof(path))) {
            print_message("%s is not beside this source tree (set WARREN_SHARED)\n", name);
            skip();
        }
        struct dd_file f;
        assert_true(dd_load(&f, path));
        assert_true(f.block_count > 5);
        for (size_t j = 0; j < f.block_count; j++) {
            struct strbuf out = STRBUF_EMPTY;
            if (strcmp(f.blocks[j].command, "vote") == 0)
                run_vote(&f.blocks[j], &out);
            else
                run_committed(&f.blocks[j], &out);
            if (strcmp(strbuf_str(&out), f.blocks[j].expected) != 0)
                fail_msg("%s:%u: got\n%s", name, f.blocks[j].line, strbuf_str(&out));
            strbuf_fini(&out);
        }
        dd_fini(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_votes_of_every_small_joint_configuration),
        cmocka_unit_test(test_committed_of_random_configurations),
        cmocka_unit_test(test_an_id_set_is_sorted_unique_and_bounded),
        cmocka_unit_test(test_vectors_of_etcd_raft),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
