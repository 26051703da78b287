/* import: peers out of files, in batches, each of them one transaction.
 *
 * What is already stored as the file says is passed over, so an import that was cut off is simply
 * run again. Each batch expects its keys as they were read: a write of someone else in between
 * makes the import stop and say so, never overwrites. */
#include "store.h"
#include "verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BATCH = 100, /* peers; etcd takes 128 operations by default */
    BATCH_SIZE = 512 << 10,
    MAX_WG_FILE = 256 << 20,
    PROGRESS_EVERY = 10000,
};

static const char *zone_text;
static bool is_forced;

struct flag import_flags[] = {
    {"replace", 0, FLAG_BOOL, &is_forced, "change peers that are stored with another content",
     false},
    {"zone", 0, FLAG_STRING, &zone_text, "zone of peers whose line names none", false},
    {0},
};

struct import {
    struct cli *cli;
    const char *zone; /* the default one; NULL until needed */
    const char *file;
    size_t line;
    struct peer_list known; /* of known_zone, in the order of keys */
    char known_zone[ZONE_TEXT_SIZE];
    struct store_txn txn;
    char *owned[2 * BATCH];
    size_t owned_count, batch, batch_size;
    size_t added, changed, same;
};

static _Noreturn void fail(const struct import *in, const char *what)
{
    cli_exit(CLI_INVALID_INPUT, "%s:%zu: %s", in->file, in->line, what);
}

static void progress(const struct import *in, bool at_end)
{
    size_t done = in->added + in->changed + in->same;
    if (at_end || done % PROGRESS_EVERY == 0)
        fprintf(stderr, "%s%zu peers: %zu added, %zu changed, %zu as they were%s",
                isatty(STDERR_FILENO) ? "\r" : "", done, in->added, in->changed, in->same,
                at_end || !isatty(STDERR_FILENO) ? "\n" : "");
}

static void flush(struct import *in)
{
    if (in->batch > 0 && !store_commit(in->cli, &in->txn))
        cli_exit(CLI_ERROR,
                 "%s:%zu: a peer of the last %zu was changed by someone else meanwhile; run the "
                 "import again",
                 in->file, in->line, in->batch);
    for (size_t i = 0; i < in->owned_count; i++)
        free(in->owned[i]);
    in->owned_count = in->batch = in->batch_size = 0;
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, ((const struct stored_peer *)b)->entry.key, KEY_SIZE);
}

static int compare_peers(const void *a, const void *b)
{
    return compare_keys(((const struct stored_peer *)a)->entry.key, b);
}

static void enter_zone(struct import *in, const char *zone)
{
    char name[ZONE_TEXT_SIZE];
    if (strcmp(zone, in->known_zone) == 0)
        return;
    snprintf(name, sizeof(name), "%s", zone);
    flush(in);
    store_zone(in->cli, name, true);
    store_peers(in->cli, name, &in->known);
    if (in->known.count > 0)
        qsort(in->known.items, in->known.count, sizeof(*in->known.items), compare_peers);
    memcpy(in->known_zone, name, sizeof(name));
}

static void import_peer(struct import *in, struct peer_entry *entry)
{
    if (entry->zone[0] == '\0') {
        if (in->zone == NULL)
            in->zone = store_zone(in->cli, zone_text, true);
        snprintf(entry->zone, sizeof(entry->zone), "%s", in->zone);
    }
    enter_zone(in, entry->zone);
    const struct stored_peer *old = in->known.count == 0
                                        ? NULL
                                        : bsearch(entry->key, in->known.items, in->known.count,
                                                  sizeof(*in->known.items), compare_keys);
    char *value = store_peer_value(&entry->peer);
    char *before = old != NULL && !old->is_malformed ? store_peer_value(&old->entry.peer) : NULL;
    bool is_same = before != NULL && strcmp(before, value) == 0;
    free(before);
    if (is_same) {
        free(value);
        in->same++;
        progress(in, false);
        return;
    }
    if (old != NULL && !is_forced)
        fail(in, "this peer is stored with another content; --replace changes it");
    char *key = store_peer_key(entry->zone, entry->key);
    /* The same key twice in a file: the second finds the first stored only after a flush. */
    for (size_t i = 0; i < in->owned_count; i += 2) {
        if (strcmp(in->owned[i], key) == 0)
            fail(in, "the same key stands in this file before");
    }
    store_expect(&in->txn, key, old != NULL ? old->mod_revision : 0);
    store_put(&in->txn, key, value);
    in->owned[in->owned_count++] = key;
    in->owned[in->owned_count++] = value;
    in->batch_size += strlen(key) + strlen(value);
    if (old != NULL)
        in->changed++;
    else
        in->added++;
    if (++in->batch == BATCH || in->batch_size > BATCH_SIZE)
        flush(in);
    progress(in, false);
}

/* JSON lines are read as they come: a million of them need no memory. */
static void import_lines(struct import *in, FILE *f, struct strbuf *first)
{
    struct arena arena;
    struct strbuf why = STRBUF_EMPTY;
    char *line = cli_memory(strdup(strbuf_str(first)));
    size_t capacity = first->size + 1;
    ssize_t size = (ssize_t)first->size;
    arena_init(&arena, 16 << 20);
    for (in->line = 1; size >= 0; in->line++, size = getline(&line, &capacity, f)) {
        struct peer_entry entry;
        struct bytes text = bytes_of(line, (size_t)size);
        while (text.size > 0 && strchr("\r\n\t ", text.data[text.size - 1]) != NULL)
            text.size--;
        if (text.size == 0)
            continue;
        arena_reset(&arena);
        if (peer_line_parse(&entry, text, &arena, &why) != OK)
            fail(in, strbuf_str(&why));
        import_peer(in, &entry);
    }
    free(line);
    arena_fini(&arena);
}

static void import_wg(struct import *in, FILE *f, struct strbuf *content)
{
    char buffer[16 << 10];
    size_t size;
    struct arena arena;
    while ((size = fread(buffer, 1, sizeof(buffer), f)) > 0) {
        strbuf_add(content, buffer, size);
        if (content->size > MAX_WG_FILE)
            fail(in, "the file is too large");
    }
    if (content->failed)
        cli_memory(NULL);
    struct wg_reader reader = wg_reader_of(bytes_of(content->data, content->size));
    arena_init(&arena, 16 << 20);
    for (;;) {
        struct peer_entry entry;
        struct strbuf why = STRBUF_EMPTY;
        arena_reset(&arena);
        enum err error = wg_reader_next(&reader, &entry, &arena, &why);
        in->line = reader.line;
        if (error == ERR_NOT_FOUND)
            break;
        if (error != OK)
            fail(in, error == ERR_MALFORMED ? strbuf_str(&why) : err_text(error));
        import_peer(in, &entry);
    }
    arena_fini(&arena);
}

static void import_file(struct import *in, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "re");
    char *line = NULL;
    size_t capacity = 0;
    struct strbuf first = STRBUF_EMPTY;
    in->file = is_stdin ? "standard input" : path;
    in->line = 0;
    if (f == NULL)
        cli_exit(CLI_INVALID_INPUT, "%s: %s", path, strerror(errno));
    ssize_t size = getline(&line, &capacity, f);
    if (size > 0)
        strbuf_add(&first, line, (size_t)size);
    free(line);
    if (strbuf_str(&first)[strspn(strbuf_str(&first), " \t")] == '{')
        import_lines(in, f, &first);
    else
        import_wg(in, f, &first);
    if (ferror(f))
        fail(in, "cannot be read");
    flush(in);
    strbuf_fini(&first);
    if (!is_stdin)
        fclose(f);
}

int verb_import(struct cli *cli, char **arguments, size_t count)
{
    static struct import in;
    in.cli = cli;
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS, "import command needs files, or - for standard input");
    cli_start(cli);
    for (size_t i = 0; i < count; i++)
        import_file(&in, arguments[i]);
    progress(&in, true);
    return CLI_OK;
}
