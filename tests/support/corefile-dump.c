/* corefile-dump: what our parser understands of Corefiles, in the form of its Go twin
 * (tests/interop/oracle/corefile-dump), which shows what CoreDNS's parser understands.
 *
 * Standard input: one Corefile a line, in hexadecimal. Reports go to descriptor 3, one a line in
 * hexadecimal, since the parser's own warnings go to standard output. */
#include "base/encoding.h"
#include "dnsd/corefile/corefile.h"
#include "dnsd/corefile/zone_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

enum {
    REPORTS_FD = 3,
    KEY_MEMORY = 1 << 24,
};

static bool known(const char *name)
{
    static const char *const names[] = {"errors", "log", "whoami", "acl", "cache"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* The key's zones as server block, then as an argument; or why it has none. */
static void report_zones(struct strbuf *out, const char *key)
{
    struct arena arena;
    struct strbuf error = STRBUF_EMPTY;
    struct zone_key *zones;
    const char **args;
    size_t count;
    arena_init(&arena, KEY_MEMORY);
    enum err err = zone_key_parse(key, "", &arena, &zones, &count, &error);
    if (err == ERR_UNSUPPORTED) {
        strbuf_add_str(out, "no server\n");
    } else if (err != OK) {
        strbuf_add_format(out, "%s\n", strbuf_str(&error));
    } else {
        strbuf_add_str(out, transport_name(zones[0].transport));
        for (size_t i = 0; i < count; i++)
            strbuf_add_format(out, " %s|%s", zones[i].zone, zones[i].port);
        if (zone_arg_normalize(key, &arena, &args, &count) != OK)
            abort();
        strbuf_add_str(out, " / ");
        for (size_t i = 0; i < count; i++)
            strbuf_add_format(out, "%s%s", i > 0 ? " " : "", args[i]);
        strbuf_add_char(out, '\n');
    }
    strbuf_fini(&error);
    arena_fini(&arena);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct core_directive *)a)->name,
                  ((const struct core_directive *)b)->name);
}

static void report_directives(struct strbuf *out, const struct core_block *block)
{
    struct core_directive *sorted = calloc(block->directive_count + 1, sizeof(*sorted));
    if (sorted == NULL)
        abort();
    if (block->directive_count > 0)
        memcpy(sorted, block->directives, block->directive_count * sizeof(*sorted));
    qsort(sorted, block->directive_count, sizeof(*sorted), compare_names);
    for (size_t i = 0; i < block->directive_count; i++) {
        strbuf_add_format(out, "DIRECTIVE %s\n", sorted[i].name);
        for (size_t j = 0; j < sorted[i].token_count; j++) {
            const struct core_token *t = &sorted[i].tokens[j];
            strbuf_add_format(out, "%s:%d %s\n", t->file, t->line, t->text);
        }
    }
    free(sorted);
}

static void report(struct strbuf *out, const char *text, size_t size)
{
    struct core_file file;
    struct strbuf error = STRBUF_EMPTY;
    if (core_file_parse(&file, "Corefile", text, size, known, &error) != OK) {
        strbuf_add_format(out, "ERROR %s\n", strbuf_str(&error));
    } else {
        for (size_t i = 0; i < file.block_count; i++) {
            strbuf_add_str(out, "BLOCK\n");
            for (size_t j = 0; j < file.blocks[i].key_count; j++) {
                strbuf_add_format(out, "KEY %s\n", file.blocks[i].keys[j]);
                report_zones(out, file.blocks[i].keys[j]);
            }
            report_directives(out, &file.blocks[i]);
        }
        core_file_fini(&file);
    }
    strbuf_fini(&error);
}

/* HEX, SIZE characters, as a Corefile; its report as a line of hexadecimal. */
static void dump_line(FILE *reports, const char *hex, size_t size)
{
    struct strbuf out = STRBUF_EMPTY;
    uint8_t *text = malloc(size / 2 + 1);
    if (text == NULL || hex_decode(text, hex, size) != OK) {
        fputs("corefile-dump: a line is no hexadecimal text\n", stderr);
        exit(1);
    }
    report(&out, (const char *)text, size / 2);
    for (size_t i = 0; i < out.size; i++)
        fprintf(reports, "%02x", (unsigned char)out.data[i]);
    fputc('\n', reports);
    free(text);
    strbuf_fini(&out);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    FILE *reports = fdopen(REPORTS_FD, "w");
    if (reports == NULL) {
        perror("corefile-dump: descriptor 3");
        return 1;
    }
    for (ssize_t size; (size = getline(&line, &capacity, stdin)) > 0;)
        dump_line(reports, line, (size_t)size - (line[size - 1] == '\n'));
    free(line);
    return fclose(reports) == 0 ? 0 : 1;
}
