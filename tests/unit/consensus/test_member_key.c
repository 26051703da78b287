/* consensus/member_key: made once, kept to ourselves, and every way in which the file can be wrong.
 */
#include "consensus/member_key.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static char dir[64], path[128];
static struct strbuf error;

static int set_up(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/warren-key-XXXXXX");
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/%s", dir, MEMBER_KEY_FILE);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(path);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left there */
    strbuf_fini(&error);
    return 0;
}

static void write_file(const char *text, mode_t mode)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static void assert_refused(enum err want, const char *text)
{
    struct member_key *k = NULL;
    strbuf_clear(&error);
    assert_int_equal(member_key_open(&k, dir, true, &error), want);
    assert_null(k);
    if (strstr(strbuf_str(&error), text) == NULL || strstr(strbuf_str(&error), path) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", strbuf_str(&error), text);
}

static void test_made_once(void **state)
{
    (void)state;
    struct member_key *first, *second;
    struct stat st;
    uint8_t public_key[MEMBER_KEY_SIZE];
    mode_t mask = umask(0);
    assert_int_equal(member_key_open(&first, dir, true, &error), OK);
    (void)umask(mask);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(member_key_open(&second, dir, true, &error), OK);
    assert_memory_equal(member_key_private(first), member_key_private(second), MEMBER_KEY_SIZE);
    assert_memory_equal(member_key_public(first), member_key_public(second), MEMBER_KEY_SIZE);
    (void)crypto_scalarmult_base(public_key, member_key_private(first));
    assert_memory_equal(member_key_public(first), public_key, MEMBER_KEY_SIZE);
    member_key_destroy(first);
    member_key_destroy(second);
}

/* A crash before the rename leaves its file: it is in nobody's way. */
static void test_left_over_of_a_crash(void **state)
{
    (void)state;
    struct member_key *k;
    char fresh[160];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(member_key_open(&k, dir, true, &error), OK);
    member_key_destroy(k);
}

static void test_not_made_where_it_must_be(void **state)
{
    (void)state;
    struct member_key *k = NULL;
    assert_int_equal(member_key_open(&k, dir, false, &error), ERR_NOT_FOUND);
    assert_non_null(strstr(strbuf_str(&error), "the member's key is not there"));
    assert_int_equal(access(path, F_OK), -1);
}

static void test_content(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "warren member key 1\n",
        "warren member key 2\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n",
        "warren member key 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "warren member key 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n\n",
        "warren member key 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQF=\n",
        "warren member key 1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "warren member key 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB!QE=\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        write_file(wrong[i], 0600);
        assert_refused(ERR_MALFORMED, "is not a member's key");
    }
    struct member_key *k;
    write_file("warren member key 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n", 0400);
    assert_int_equal(member_key_open(&k, dir, false, &error), OK);
    for (size_t i = 0; i < MEMBER_KEY_SIZE; i++)
        assert_int_equal(member_key_private(k)[i], 1);
    member_key_destroy(k);
}

static void test_mode(void **state)
{
    (void)state;
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610, 0644, 0777};
    for (size_t i = 0; i < ARRAY_COUNT(modes); i++) {
        write_file("warren member key 1\nAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n", modes[i]);
        assert_refused(ERR_PERMISSION, "chmod it to 0600");
    }
}

static void test_no_regular_file(void **state)
{
    (void)state;
    assert_int_equal(symlink("elsewhere", path), 0);
    assert_refused(ERR_INVALID, "is a symbolic link");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_refused(ERR_INVALID, "is not a regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_refused(ERR_INVALID, "is not a regular file");
    assert_int_equal(rmdir(path), 0);
}

static void test_psk_of_a_token(void **state)
{
    (void)state;
    uint8_t a[MEMBER_KEY_SIZE], b[MEMBER_KEY_SIZE], plain[MEMBER_KEY_SIZE];
    member_psk_from_token(a, "token");
    member_psk_from_token(b, "token");
    assert_memory_equal(a, b, sizeof(a));
    member_psk_from_token(b, "token2");
    assert_memory_not_equal(a, b, sizeof(a));
    /* Not a hash that somebody else takes of it. */
    (void)crypto_generichash(plain, sizeof(plain), (const uint8_t *)"token", 5, NULL, 0);
    assert_memory_not_equal(a, plain, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_left_over_of_a_crash, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_made_where_it_must_be, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_content, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_regular_file, set_up, tear_down),
        cmocka_unit_test(test_psk_of_a_token),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
