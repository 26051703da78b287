/* Replays transcripts of etcd-io/raft against our core and tells the first difference of each.
 *
 * Usage: raft-interaction FILE...
 *
 * Go's log text (lines that begin with DEBUG, INFO, WARN, ERROR or FATAL) is that implementation's
 * own affair: such lines do not count, and a block that holds nothing else says the same as "ok".
 * Besides that project's commands there are read-index ID TEXT, report-snapshot ID ID
 * failed|finished, duplicate-msgs ID, rotate-msgs ID (the first message to ID goes behind all
 * others), restart ID (a crash: what was not processed is gone), and for add-nodes the options
 * max-message-size, max-inflight-size, max-uncommitted-size and no-forwarding. VERBOSE in the
 * environment shows all of what a block that differs said. Exit code 0 if all files agree, 1 if one
 * does not, 2 if one cannot be read. */
#include "tests/interop/raft/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_log_text(const char *line)
{
    static const char *const levels[] = {"DEBUG ", "INFO ", "WARN ", "ERROR ", "FATAL "};
    line += strspn(line, " ");
    for (size_t i = 0; i < ARRAY_COUNT(levels); i++) {
        if (strncmp(line, levels[i], strlen(levels[i])) == 0)
            return true;
    }
    return false;
}

/* The next line at *AT that counts, without its end; false at the end. */
static bool next_line(const char **at, struct bytes *line)
{
    while (**at != '\0') {
        const char *begin = *at;
        size_t size = strcspn(begin, "\n");
        *at = begin + size + (begin[size] == '\n');
        if (is_log_text(begin) || (size == 2 && strncmp(begin, "ok", 2) == 0))
            continue;
        *line = bytes_of(begin, size);
        return true;
    }
    *line = BYTES_EMPTY;
    return false;
}

/* True if both say the same. */
static bool compare(const char *path, const struct dd_block *b, const char *got)
{
    const char *expected = b->expected, *rest = got;
    for (;;) {
        struct bytes want, have;
        bool more_wanted = next_line(&expected, &want), more_had = next_line(&rest, &have);
        if (!more_wanted && !more_had)
            return true;
        if (more_wanted == more_had && bytes_equal(want, have))
            continue;
        printf("%s:%u: %s\n  expected: %.*s\n  got:      %.*s\n", path, b->line, b->command,
               (int)want.size, want.size > 0 ? (const char *)want.data : "", (int)have.size,
               have.size > 0 ? (const char *)have.data : "");
        return false;
    }
}

static bool replay(const char *path, const struct dd_file *f)
{
    struct environment e = {0};
    bool same = true;
    for (size_t i = 0; i < f->block_count && same; i++) {
        struct strbuf out = STRBUF_EMPTY;
        environment_run(&e, &f->blocks[i], &out);
        same = compare(path, &f->blocks[i], strbuf_str(&out));
        if (!same && getenv("VERBOSE") != NULL)
            printf("--- all of it:\n%s\n---\n", strbuf_str(&out));
        strbuf_fini(&out);
    }
    environment_fini(&e);
    return same;
}

int main(int argc, char **argv)
{
    int passed = 0, failed = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: raft-interaction FILE...\n");
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        struct dd_file f;
        if (!dd_load(&f, argv[i])) {
            fprintf(stderr, "raft-interaction: cannot read %s\n", argv[i]);
            return 2;
        }
        bool same = replay(argv[i], &f);
        passed += same;
        failed += !same;
        if (same)
            printf("ok %s (%zu commands)\n", argv[i], f.block_count);
        dd_fini(&f);
    }
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0;
}
