#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "parse_text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ERROR_AT(line, text) "Corefile:" #line " - Error during parsing: " text

static void a_block_has_keys_and_directives(void **state)
{
    (void)state;
    assert_string_equal(parsed("a b {\n errors\n log x\n}\nc {\n whoami\n}"),
                        "[a b] errors: 2:errors log: 3:log 3:x\n[c] whoami: 6:whoami\n");
}

static void an_empty_file_has_no_blocks(void **state)
{
    (void)state;
    assert_string_equal(parsed(""), "");
    assert_string_equal(parsed("# nothing\n"), "");
}

static void braces_are_optional_for_a_sole_block(void **state)
{
    (void)state;
    assert_string_equal(parsed("a\nerrors\nlog"), "[a] errors: 2:errors log: 3:log\n");
    assert_string_equal(parsed("a b"), "[a b]\n");
    assert_string_equal(parsed("a\nb {\n}"), ERROR_AT(2, "Unknown directive 'b'"));
}

static void a_comma_continues_keys_on_the_next_line(void **state)
{
    (void)state;
    assert_string_equal(parsed("a,\nb, c {\n}"), "[a b c]\n");
    assert_string_equal(parsed("a, {\n}"),
                        ERROR_AT(1, "Expected another address but had '{' - check for extra "
                                    "comma"));
    assert_string_equal(parsed("a,"), ERROR_AT(1, "Unexpected EOF"));
}

static void a_brace_must_be_a_token_of_its_own(void **state)
{
    (void)state;
    assert_string_equal(parsed("a{\nerrors\n}"), "[a{] errors: 2:errors\n");
}

static void repeated_directives_are_merged_in_order(void **state)
{
    (void)state;
    assert_string_equal(parsed("a {\n log 1\n errors\n log 2\n}"),
                        "[a] log: 2:log 2:1 4:log 4:2 errors: 3:errors\n");
}

static void an_unknown_directive_is_an_error(void **state)
{
    (void)state;
    assert_string_equal(parsed("a {\n bogus\n}"), ERROR_AT(2, "Unknown directive 'bogus'"));
}

static void braces_must_match(void **state)
{
    (void)state;
    assert_string_equal(parsed("a {\n errors\n"),
                        "Corefile:2 - Syntax error: Unexpected token 'errors', expecting '}'");
    assert_string_equal(parsed("a {\n log {\n x\n"), ERROR_AT(3, "Unexpected EOF"));
    assert_string_equal(parsed("a {\n log }\n}"),
                        ERROR_AT(2, "Unexpected '}' because no matching opening brace"));
}

static void a_directive_may_have_a_block(void **state)
{
    (void)state;
    assert_string_equal(parsed("a {\n log {\n  x\n  y {\n z\n }\n }\n errors\n}"),
                        "[a] log: 2:log 2:{ 3:x 4:y 4:{ 5:z 6:} 7:} errors: 8:errors\n");
}

static void a_block_without_keys_is_dropped(void **state)
{
    (void)state;
    assert_string_equal(parsed("{\n errors\n}\na {\n}"), "[a]\n");
}

static void a_snippet_is_put_where_it_is_imported(void **state)
{
    (void)state;
    assert_string_equal(parsed("(s) {\n errors\n log\n}\na {\n import s\n whoami\n}"),
                        "[a] errors: 2:errors log: 3:log whoami: 7:whoami\n");
    assert_string_equal(parsed("(s) {\n}\na {\n import s\n}"), "[a]\n");
    assert_string_equal(parsed("(t) {\nlog\n}\n(s) {\nimport t\n}\na {\n import s\n}"),
                        "[a] log: 2:log\n");
}

static void a_snippet_works_inside_a_directives_block(void **state)
{
    (void)state;
    assert_string_equal(parsed("(s) {\n x\n}\na {\n log {\n import s\n y\n }\n}"),
                        "[a] log: 5:log 5:{ 2:x 7:y 8:}\n");
}

static void snippets_need_braces_and_unique_names(void **state)
{
    (void)state;
    assert_string_equal(parsed("(s)\nerrors"),
                        "Corefile:2 - Syntax error: Unexpected token 'errors', expecting '{'");
    assert_string_equal(parsed("(s) {\n}\n(s) {\n}"),
                        ERROR_AT(3, "redeclaration of previously declared snippet s"));
    assert_string_equal(parsed("(s) {\n errors\n"),
                        "Corefile:2 - Syntax error: Unexpected token 'errors', expecting '}'");
}

static void a_snippet_that_imports_itself_is_bounded(void **state)
{
    (void)state;
    assert_string_equal(parsed("(s) {\n import s\n}\na {\n import s\n}"),
                        ERROR_AT(2, "more than 10000 imports"));
}

static void import_takes_one_name(void **state)
{
    (void)state;
    assert_string_equal(parsed("a {\n import\n}"),
                        ERROR_AT(2, "Wrong argument count or unexpected line ending after "
                                    "'import'"));
    assert_string_equal(parsed("a {\n import x y\n}"),
                        ERROR_AT(2, "Import takes only one argument (glob pattern or file)"));
    assert_string_equal(parsed("a {\n import \"\"\n}"),
                        ERROR_AT(2, "Import requires a non-empty filepath"));
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_file_is_imported_in_all_three_positions(void **state)
{
    (void)state;
    put("top.conf", "b {\n errors\n}\n");
    put("body.conf", "errors\nlog");
    put("args.conf", "x y\n");
    assert_string_equal(parsed("import top.conf\na {\n import body.conf\n whoami\n}\nc {\n log {\n"
                               " import args.conf\n }\n}"),
                        "[b] errors: top.conf:2:errors\n"
                        "[a] errors: body.conf:1:errors log: body.conf:2:log whoami: 4:whoami\n"
                        "[c] log: 7:log 7:{ args.conf:1:x args.conf:1:y 9:}\n");
}

static void an_import_is_relative_to_the_file_that_has_it(void **state)
{
    (void)state;
    mkdir("sub", 0777);
    put("sub/outer.conf", "import inner.conf\n");
    put("sub/inner.conf", "log\n");
    assert_string_equal(parsed("a {\n import sub/outer.conf\n}"), "[a] log: inner.conf:1:log\n");
}

static void a_glob_brings_its_files_in_order(void **state)
{
    (void)state;
    mkdir("g", 0777);
    put("g/2.x", "log 2\n");
    put("g/1.x", "log 1\n");
    put("g/.0.x", "log 0\n");
    put("g/1.y", "log y\n");
    assert_string_equal(parsed("a {\n import g/*.x\n}"),
                        "[a] log: .0.x:1:log .0.x:1:0 1.x:1:log 1.x:1:1 2.x:1:log 2.x:1:2\n");
    assert_string_equal(parsed("a {\n import g/1.?\n}"),
                        "[a] log: 1.x:1:log 1.x:1:1 1.y:1:log 1.y:1:y\n");
    assert_string_equal(parsed("a {\n import */1.x\n}"), "[a] log: 1.x:1:log 1.x:1:1\n");
    assert_string_equal(parsed("a {\n import g/none*\n}"), "[a]\n");
}

static void bad_globs_and_missing_files_are_errors(void **state)
{
    (void)state;
    assert_string_equal(parsed("a {\n import nope\n}"),
                        ERROR_AT(2, "File to import not found: nope"));
    assert_string_equal(parsed("a {\n import x[\n}"),
                        ERROR_AT(2, "Failed to use import pattern x[: syntax error in pattern"));
    assert_non_null(strstr(parsed("a {\n import *a*\n}"),
                           "Glob pattern may only contain one wildcard (*), but has others: /"));
    mkdir("folder", 0777);
    assert_non_null(strstr(parsed("a {\n import folder\n}"), "/folder: is a directory"));
    assert_int_equal(symlink("/nonexistent/x", "dangling"), 0);
    assert_non_null(
        strstr(parsed("a {\n import dangling\n}"), "/dangling: no such file or directory"));
}

static void environment_variables_are_replaced_in_a_token(void **state)
{
    (void)state;
    setenv("WARREN_T1", "x y", 1);
    setenv("WARREN_T2", "{$WARREN_T1}!", 1);
    unsetenv("WARREN_T3");
    assert_string_equal(parsed("{$WARREN_T1} {\n log a{%WARREN_T1%}b {$WARREN_T2} {$WARREN_T3}\n}"),
                        "[x y] log: 2:log 2:ax yb 2:x y! 2:\n");
    assert_string_equal(parsed("a {\n log {$} {%%} {$WARREN_T1\n}"),
                        "[a] log: 2:log 2:{$} 2:{%%} 2:{$WARREN_T1\n");
    setenv("WARREN_T1", "log", 1);
    assert_string_equal(parsed("a {\n {$WARREN_T1} b\n}"), "[a] log: 2:{$WARREN_T1} 2:b\n");
}

static void variables_that_name_each_other_are_bounded(void **state)
{
    (void)state;
    setenv("WARREN_T1", "{$WARREN_T1}", 1);
    assert_string_equal(parsed("a {\n log {$WARREN_T1}\n}"),
                        ERROR_AT(2, "environment variables expand without end"));
    setenv("WARREN_T1", "{$WARREN_T1}{$WARREN_T1}", 1);
    assert_string_equal(parsed("a {\n log {$WARREN_T1}\n}"),
                        ERROR_AT(2, "environment variables expand without end"));
}

static void a_file_beyond_the_size_bound_is_refused(void **state)
{
    struct strbuf out = STRBUF_EMPTY;
    (void)state;
    size_t size = (size_t)CORE_FILE_MAX_SIZE + 1;
    char *text = test_calloc(1, size);
    assert_int_equal(parse_bytes(text, size, &out), ERR_LIMIT);
    assert_string_equal(strbuf_str(&out),
                        "Corefile:0 - Error during parsing: larger than 16777216 bytes");
    strbuf_fini(&out);
    test_free(text);
}

static int setup(void **state)
{
    static char folder[] = "/tmp/warren-test-parser-XXXXXX";
    (void)state;
    unsetenv("PWD");
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        char child[512];
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            snprintf(child, sizeof(child), "%s/%s", path, e->d_name) >= (int)sizeof(child))
            continue;
        if (unlink(child) != 0)
            remove_all(child);
    }
    if (dir != NULL)
        closedir(dir);
    (void)rmdir(path);
}

static int teardown(void **state)
{
    char folder[256];
    (void)state;
    if (getcwd(folder, sizeof(folder)) == NULL || chdir("/") != 0)
        return -1;
    remove_all(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_has_keys_and_directives),
        cmocka_unit_test(an_empty_file_has_no_blocks),
        cmocka_unit_test(braces_are_optional_for_a_sole_block),
        cmocka_unit_test(a_comma_continues_keys_on_the_next_line),
        cmocka_unit_test(a_brace_must_be_a_token_of_its_own),
        cmocka_unit_test(repeated_directives_are_merged_in_order),
        cmocka_unit_test(an_unknown_directive_is_an_error),
        cmocka_unit_test(braces_must_match),
        cmocka_unit_test(a_directive_may_have_a_block),
        cmocka_unit_test(a_block_without_keys_is_dropped),
        cmocka_unit_test(a_snippet_is_put_where_it_is_imported),
        cmocka_unit_test(a_snippet_works_inside_a_directives_block),
        cmocka_unit_test(snippets_need_braces_and_unique_names),
        cmocka_unit_test(a_snippet_that_imports_itself_is_bounded),
        cmocka_unit_test(import_takes_one_name),
        cmocka_unit_test(a_file_is_imported_in_all_three_positions),
        cmocka_unit_test(an_import_is_relative_to_the_file_that_has_it),
        cmocka_unit_test(a_glob_brings_its_files_in_order),
        cmocka_unit_test(bad_globs_and_missing_files_are_errors),
        cmocka_unit_test(environment_variables_are_replaced_in_a_token),
        cmocka_unit_test(variables_that_name_each_other_are_bounded),
        cmocka_unit_test(a_file_beyond_the_size_bound_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
