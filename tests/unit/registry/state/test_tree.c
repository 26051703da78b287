/* The B-tree against a sorted array: many keys, so that nodes split, merge and level. */
#include "registry/state/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MAX_KEYS = 6000
};

struct model {
    struct tree tree;
    uint8_t *entries[MAX_KEYS]; /* sorted */
    size_t count;
    uint64_t random;
};

static uint64_t next(struct model *m)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random >> 11;
}

static uint8_t *entry_of(struct bytes key, bool uncounted)
{
    uint8_t *entry = malloc(1 + varint_size(key.size) + key.size);
    assert_non_null(entry);
    entry[0] = uncounted ? ENTRY_UNCOUNTED : 0;
    memcpy(varint_write(entry + 1, key.size), key.data, key.size);
    return entry;
}

static size_t place_of_key(const struct model *m, struct bytes key, bool *found)
{
    size_t i = 0, end = m->count;
    while (i < end) {
        size_t middle = (i + end) / 2;
        if (bytes_compare(entry_key(m->entries[middle]), key) < 0)
            i = middle + 1;
        else
            end = middle;
    }
    *found = i < m->count && bytes_equal(entry_key(m->entries[i]), key);
    return i;
}

/* Keys of several shapes: long shared beginnings, beginnings of one another, rising ones. */
static struct bytes any_key(struct model *m, unsigned shape, char room[static 300])
{
    uint64_t n = next(m);
    int size = 0;
    switch (shape) {
    case 0:
        size = snprintf(room, 300, "/warren/zones/example.org/peers/%05llu",
                        (unsigned long long)(n % 9000));
        break;
    case 1:
        size = snprintf(room, 300, "%llu", (unsigned long long)(n % 9000));
        break;
    case 2: /* zeros at the end, which heads cannot tell from nothing */
        size = (int)(n % 7);
        memset(room, 0, 300);
        room[0] = (char)('a' + n / 7 % 40);
        room[1] = (char)(n / 280 % 5);
        size += 1;
        break;
    default:
        memset(room, 'x', 300);
        size = snprintf(room + 200, 100, "%04llx", (unsigned long long)(n % 60000)) + 200;
        room[200 + n % 3] = (char)n;
        break;
    }
    return bytes_of(room, (size_t)size);
}

static void insert(struct model *m, struct bytes key)
{
    bool found;
    size_t i = place_of_key(m, key, &found);
    uint8_t *entry = entry_of(key, next(m) % 4 == 0);
    if (found) {
        assert_ptr_equal(tree_find(&m->tree, key), m->entries[i]);
        assert_ptr_equal(tree_replace(&m->tree, entry), m->entries[i]);
        free(m->entries[i]);
    } else if (m->count == MAX_KEYS) {
        free(entry);
        return;
    } else {
        assert_null(tree_find(&m->tree, key));
        assert_int_equal(tree_insert(&m->tree, entry), OK);
        memmove(&m->entries[i + 1], &m->entries[i], (m->count - i) * sizeof(m->entries[0]));
        m->count++;
    }
    m->entries[i] = entry;
}

static void erase(struct model *m, struct bytes key)
{
    bool found;
    size_t i = place_of_key(m, key, &found);
    void *removed = tree_remove(&m->tree, key);
    if (!found) {
        assert_null(removed);
        return;
    }
    assert_ptr_equal(removed, m->entries[i]);
    free(removed);
    m->count--;
    memmove(&m->entries[i], &m->entries[i + 1], (m->count - i) * sizeof(m->entries[0]));
}

static void check_all(struct model *m)
{
    struct tree_cursor c;
    size_t i = 0, counted = 0;
    for (tree_seek(&m->tree, BYTES_EMPTY, &c); tree_at(&c) != NULL; tree_next(&c), i++) {
        assert_true(i < m->count);
        assert_ptr_equal(tree_at(&c), m->entries[i]);
        if (i % 37 == 0)
            assert_int_equal(tree_rank(&m->tree, entry_key(m->entries[i])), counted);
        counted += (m->entries[i][0] & ENTRY_UNCOUNTED) == 0;
    }
    assert_int_equal(i, m->count);
    assert_int_equal(tree_count(&m->tree), counted);
    i = 0;
    for (tree_seek_counted(&m->tree, BYTES_EMPTY, &c); tree_at(&c) != NULL; i++) {
        while ((m->entries[i][0] & ENTRY_UNCOUNTED) != 0)
            i++;
        assert_ptr_equal(tree_at(&c), m->entries[i]);
        tree_next_counted(&c);
        counted--;
    }
    assert_int_equal(counted, 0);
}

static void check_seek(struct model *m, struct bytes key)
{
    bool found;
    struct tree_cursor c;
    size_t i = place_of_key(m, key, &found), counted = 0;
    tree_seek(&m->tree, key, &c);
    for (size_t k = 0; k < i; k++)
        counted += (m->entries[k][0] & ENTRY_UNCOUNTED) == 0;
    assert_int_equal(tree_rank(&m->tree, key), counted);
    for (size_t k = i; k < m->count && k < i + 70; k++) {
        assert_ptr_equal(tree_at(&c), m->entries[k]);
        tree_next(&c);
    }
    if (m->count < i + 70)
        assert_null(tree_at(&c));
}

static void clear(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->entries[i]);
    m->count = 0;
    tree_fini(&m->tree);
}

static void random_keys_are_found_as_in_a_sorted_array(void **state)
{
    (void)state;
    static struct model m;
    char room[300];
    for (unsigned shape = 0; shape < 4; shape++) {
        m = (struct model){.random = 88172645463325252u + shape};
        /* Grows, shrinks to nothing, grows again. */
        for (unsigned phase = 0; phase < 5; phase++) {
            for (unsigned i = 0; i < 6000; i++) {
                struct bytes key = any_key(&m, shape, room);
                if (next(&m) % 10 < (phase % 2 == 0 ? 8u : 1u))
                    insert(&m, key);
                else
                    erase(&m, key);
                if (i % 200 == 0)
                    check_seek(&m, any_key(&m, shape, room));
                if (i % 2000 == 0)
                    check_all(&m);
            }
        }
        while (m.count > 0) {
            size_t size = entry_key(m.entries[m.count / 2]).size;
            memcpy(room, entry_key(m.entries[m.count / 2]).data, size);
            erase(&m, bytes_of(room, size));
            if (m.count % 1000 == 0)
                check_all(&m);
        }
        assert_null(m.tree.root);
        clear(&m);
    }
}

static void rising_and_falling_keys_stay_in_order(void **state)
{
    (void)state;
    static struct model m;
    char room[300];
    for (unsigned falls = 0; falls < 2; falls++) {
        m = (struct model){.random = 1};
        for (unsigned i = 0; i < MAX_KEYS; i++) {
            int size = snprintf(room, sizeof(room), "key-%06u", falls ? MAX_KEYS - i : i);
            insert(&m, bytes_of(room, (size_t)size));
        }
        check_all(&m);
        for (unsigned i = 0; i < MAX_KEYS; i += 2) { /* from the far end, too */
            int size = snprintf(room, sizeof(room), "key-%06u", falls ? i : MAX_KEYS - i);
            erase(&m, bytes_of(room, (size_t)size));
        }
        check_all(&m);
        clear(&m);
    }
}

static void an_empty_tree_has_nothing(void **state)
{
    (void)state;
    struct tree t = {NULL};
    struct tree_cursor c;
    assert_null(tree_find(&t, bytes_of_str("a")));
    assert_null(tree_remove(&t, bytes_of_str("a")));
    tree_seek(&t, BYTES_EMPTY, &c);
    assert_null(tree_at(&c));
    tree_next(&c);
    assert_null(tree_at(&c));
    assert_int_equal(tree_rank(&t, bytes_of_str("a")), 0);
    assert_int_equal(tree_count(&t), 0);
    tree_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_keys_are_found_as_in_a_sorted_array),
        cmocka_unit_test(rising_and_falling_keys_stay_in_order),
        cmocka_unit_test(an_empty_tree_has_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
