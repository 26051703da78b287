/* The set of adopted peers and its file; the set beneath against a naive one. */
#include "dnsd/adopted.h"
#include "dnsd/key_set.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    NAIVE_KEYS = 200
};

static char folder[64];

static int up(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/warren-test-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

/* The path of the one remembered file; "" without. */
static void find_file(char path[static 400])
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    path[0] = '\0';
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (strncmp(entry->d_name, "adopted-", 8) == 0)
            snprintf(path, 400, "%s/%s", folder, entry->d_name);
    closedir(dir);
}

static int down(void **state)
{
    (void)state;
    char path[400];
    for (find_file(path); path[0] != '\0'; find_file(path))
        (void)unlink(path);
    return rmdir(folder);
}

static const uint8_t *key_of(unsigned n)
{
    static uint8_t key[KEY_SIZE];
    key[0] = (uint8_t)n;
    key[1] = (uint8_t)(n >> 8);
    return key;
}

static struct adopted *reopen(struct adopted *a)
{
    struct strbuf why = STRBUF_EMPTY;
    if (a != NULL)
        assert_int_equal(adopted_save(a, &why), OK);
    adopted_close(a);
    assert_int_equal(adopted_open(&a, folder, "wg0", "wg.example.", &why), OK);
    assert_string_equal(strbuf_str(&why), "");
    strbuf_fini(&why);
    return a;
}

static void a_set_behaves_as_a_naive_one(void **state)
{
    (void)state;
    struct key_set s;
    bool naive[NAIVE_KEYS] = {false};
    size_t count = 0;
    uint32_t random = 7;
    key_set_init(&s);
    for (unsigned i = 0; i < 20000; i++) {
        random = random * 1664525 + 1013904223;
        unsigned n = (random >> 8) % NAIVE_KEYS;
        if ((random >> 24 & 1) != 0) {
            assert_int_equal(key_set_add(&s, key_of(n)), OK);
            count += !naive[n];
            naive[n] = true;
        } else {
            key_set_remove(&s, key_of(n));
            count -= naive[n];
            naive[n] = false;
        }
        assert_int_equal(s.count, count);
        if (i % 100 == 0)
            for (unsigned k = 0; k < NAIVE_KEYS; k++)
                assert_int_equal(key_set_has(&s, key_of(k)), naive[k]);
    }
    size_t position = 0, seen = 0;
    for (const uint8_t *key; (key = key_set_next(&s, &position)) != NULL; seen++)
        assert_true(naive[key[0]]);
    assert_int_equal(seen, count);
    key_set_fini(&s);
}

static void what_was_added_and_removed_is_there_after_a_restart(void **state)
{
    (void)state;
    struct adopted *a = reopen(NULL);
    for (unsigned n = 0; n < 500; n++)
        assert_int_equal(adopted_add(a, key_of(n)), OK);
    a = reopen(a);
    for (unsigned n = 0; n < 500; n += 2)
        adopted_remove(a, key_of(n));
    for (unsigned round = 0; round < 2; round++) {
        a = reopen(a);
        for (unsigned n = 0; n < 500; n++)
            assert_int_equal(adopted_has(a, key_of(n)), n % 2 != 0);
    }
    adopted_close(a);
}

static void zones_and_devices_are_kept_apart(void **state)
{
    (void)state;
    struct strbuf why = STRBUF_EMPTY;
    struct adopted *a = reopen(NULL), *b;
    assert_int_equal(adopted_add(a, key_of(1)), OK);
    a = reopen(a);
    static const char *const others[][2] = {{"wg1", "wg.example."}, {"wg0", "a.wg.example."}};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        assert_int_equal(adopted_open(&b, folder, others[i][0], others[i][1], &why), OK);
        assert_false(adopted_has(b, key_of(1)));
        adopted_close(b);
    }
    a = reopen(a);
    assert_true(adopted_has(a, key_of(1)));
    adopted_close(a);
}

/* A peer too few is remembered at worst, never one too many. */
static void a_damaged_file_adds_no_peer(void **state)
{
    (void)state;
    char path[400], text[2048];
    struct adopted *a = reopen(NULL);
    for (unsigned n = 0; n < 20; n++)
        assert_int_equal(adopted_add(a, key_of(n)), OK);
    a = reopen(a);
    adopted_close(a);
    find_file(path);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t size = fread(text, 1, sizeof(text), f);
    fclose(f);
    for (size_t cut = 0; cut < size; cut += 3) {
        f = fopen(path, "w");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, cut, f), cut);
        fclose(f);
        a = reopen(NULL);
        size_t position = 0;
        for (const uint8_t *key; (key = adopted_next(a, &position)) != NULL;)
            assert_true(key[0] < 20 && key[1] == 0 && key[2] == 0);
        adopted_close(a);
    }
}

static void a_folder_that_is_not_there_is_said_and_lived_without(void **state)
{
    (void)state;
    struct strbuf why = STRBUF_EMPTY;
    struct adopted *a;
    assert_int_equal(adopted_open(&a, "/nonexistent/folder", "wg0", "wg.example.", &why), OK);
    assert_non_null(strstr(strbuf_str(&why), "/nonexistent/folder/adopted-wg0-"));
    assert_int_equal(adopted_add(a, key_of(1)), OK);
    assert_int_equal(adopted_save(a, &why), OK);
    assert_true(adopted_has(a, key_of(1)));
    adopted_close(a);
    strbuf_fini(&why);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, up, down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_set_behaves_as_a_naive_one),
        TEST(what_was_added_and_removed_is_there_after_a_restart),
        TEST(zones_and_devices_are_kept_apart),
        TEST(a_damaged_file_adds_no_peer),
        TEST(a_folder_that_is_not_there_is_said_and_lived_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
