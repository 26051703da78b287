/* import: peers out of files, read once, in batches that are each one transaction.
 *
 * A batch first tries to add all of its peers. If one of them is there already, the same
 * transaction answers what is stored: the same content is passed over, another one is an error, or
 * with
 * --replace a second transaction changes it if nobody else did meanwhile. So an import that was cut
 * off is simply run again, and nothing is ever overwritten unasked. Memory does not grow with the
 * files, but for 24 bytes a name (import_names.h): names are unique in a zone. Someone who adds a
 * peer with the same name while an import runs is not noticed. */
#include "import_names.h"
#include "store.h"
#include "verbs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    BATCH = 127, /* peers: with the zone's own key the 128 operations that servers take */
    BATCH_SIZE = 512 << 10,
    MAX_WG_FILE = 256 << 20,
    PROGRESS_EVERY = 10000,
    MAX_ATTEMPTS = 10, /* of a batch whose peers others change */
};

static const char *zone_text;
static bool is_forced;

struct flag import_flags[] = {
    {"replace", 0, FLAG_BOOL, &is_forced, "change peers that are stored with another content",
     false},
    {"zone", 0, FLAG_STRING, &zone_text, "zone of peers whose line names none", false},
    {0},
};

/* A peer of the batch. */
struct pending {
    uint8_t peer[KEY_SIZE];
    char *key, *value; /* owned */
    size_t line;
};

/* Peers of one zone and one file. */
struct batch {
    char zone[ZONE_TEXT_SIZE];
    struct pending peers[BATCH];
    size_t count, size;
    struct grpc_stream *stream; /* once sent; NULL if that failed */
};

struct import {
    struct cli *cli;
    const char *default_zone; /* NULL until needed */
    char **files;
    uint32_t file;
    size_t line;
    char **zones; /* whose names are known */
    size_t zone_count;
    struct name_claims claims;
    char zone[ZONE_TEXT_SIZE];    /* of the last peer */
    struct batch *filling, *sent; /* SENT is on its way while the next one is read */
    size_t added, changed, same;
};

static const char *file_name(const struct import *in, uint32_t file)
{
    return strcmp(in->files[file], "-") == 0 ? "standard input" : in->files[file];
}

static _Noreturn void fail_at(const struct import *in, size_t line, const char *what)
{
    cli_exit(CLI_INVALID_INPUT, "%s:%zu: %s", file_name(in, in->file), line, what);
}

static _Noreturn void fail(const struct import *in, const char *what)
{
    fail_at(in, in->line, what);
}

static void say_progress(const struct import *in, bool at_end)
{
    bool is_screen = isatty(STDERR_FILENO) == 1;
    fprintf(stderr, "%s%zu peers: %zu added, %zu changed, %zu as they were%s",
            is_screen ? "\r" : "", in->added + in->changed + in->same, in->added, in->changed,
            in->same, at_end || !is_screen ? "\n" : "");
}

/* Batches. */

static void add_put(struct store_txn *txn, const struct pending *p, int64_t mod_revision)
{
    store_expect(txn, p->key, mod_revision);
    store_put(txn, p->key, p->value);
}

static void add_all(struct store_txn *txn, const struct batch *b, const char *zone_key)
{
    store_expect_any(txn, zone_key);
    store_else_get(txn, zone_key);
    for (size_t i = 0; i < b->count; i++) {
        add_put(txn, &b->peers[i], 0);
        store_else_get(txn, b->peers[i].key);
    }
}

/* What the transaction found under the key number AT; NULL if nothing. */
static const Mvccpb__KeyValue *found_at(const Etcdserverpb__TxnResponse *r, size_t at)
{
    const Etcdserverpb__ResponseOp *op = at < r->n_responses ? r->responses[at] : NULL;
    if (op == NULL || op->response_case != ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
        cli_exit(CLI_ERROR, "the server answered a transaction with something else");
    return op->response_range->n_kvs > 0 ? op->response_range->kvs[0] : NULL;
}

/* Whether KV says what P does, however it is written; its name otherwise, to give it up. */
static bool is_as_stored(const struct pending *p, const Mvccpb__KeyValue *kv,
                         char name[static PEER_NAME_MAX + 1])
{
    struct registry_peer peer;
    struct arena *arena = store_arena();
    arena_reset(arena);
    name[0] = '\0';
    if (registry_peer_parse(&peer, bytes_of(kv->value.data, kv->value.len), arena, NULL) != OK)
        return false;
    char *value = store_peer_value(&peer);
    bool is_same = strcmp(value, p->value) == 0;
    free(value);
    memcpy(name, peer.name, PEER_NAME_MAX + 1);
    return is_same;
}

struct tally {
    size_t added, changed, same;
    char old_names[BATCH][PEER_NAME_MAX + 1]; /* of those that change */
};

/* One after the other, as FOUND says they are stored; whether nobody was faster. */
static bool put_one_by_one(struct import *in, const struct batch *b, const char *zone_key,
                           const Etcdserverpb__TxnResponse *found, struct tally *t)
{
    struct store_txn txn = {0};
    if (found_at(found, 0) == NULL)
        cli_exit(CLI_ERROR, "zone %s was deleted meanwhile", b->zone);
    store_expect_any(&txn, zone_key);
    for (size_t i = 0; i < b->count; i++) {
        const Mvccpb__KeyValue *kv = found_at(found, i + 1);
        t->old_names[i][0] = '\0';
        if (kv == NULL) {
            add_put(&txn, &b->peers[i], 0);
            t->added++;
        } else if (is_as_stored(&b->peers[i], kv, t->old_names[i])) {
            t->same++;
            t->old_names[i][0] = '\0';
        } else if (is_forced) {
            add_put(&txn, &b->peers[i], kv->mod_revision);
            t->changed++;
        } else {
            fail_at(in, b->peers[i].line,
                    "this peer is stored with another content; --replace changes it");
        }
    }
    if (t->added + t->changed > 0)
        return store_commit(in->cli, &txn);
    store_drop(&txn);
    return true;
}

/* Names that peers of the batch had, unless they still have them. */
static void give_names_up(struct import *in, const struct batch *b, const struct tally *t)
{
    for (size_t i = 0; i < b->count; i++) {
        struct registry_peer peer;
        const struct pending *p = &b->peers[i];
        struct arena *arena = store_arena();
        if (t->old_names[i][0] == '\0')
            continue;
        arena_reset(arena);
        if (registry_peer_parse(&peer, bytes_of_str(p->value), arena, NULL) == OK &&
            strcmp(peer.name, t->old_names[i]) != 0)
            name_claims_remove(&in->claims, b->zone, t->old_names[i], p->peer);
    }
}

/* What comes of R, the answer to add_all; false: others were faster. Takes R. */
static bool settle(struct import *in, const struct batch *b, const char *zone_key,
                   Etcdserverpb__TxnResponse *r)
{
    static struct tally t;
    bool is_done = r->succeeded;
    memset(&t, 0, sizeof(t));
    if (is_done)
        t.added = b->count;
    else
        is_done = put_one_by_one(in, b, zone_key, r, &t);
    etcdserverpb__txn_response__free_unpacked(r, NULL);
    if (!is_done)
        return false;
    give_names_up(in, b, &t);
    in->added += t.added;
    in->changed += t.changed;
    in->same += t.same;
    return true;
}

/* Until the batch that was sent is stored. If its answer was lost it is sent again: what was done
 * already is then found as it should be. */
static void finish(struct import *in)
{
    struct batch *b = in->sent;
    size_t before = (in->added + in->changed + in->same) / PROGRESS_EVERY;
    int attempts = 0;
    if (b->count == 0)
        return;
    char *zone_key = store_zone_key(b->zone);
    Etcdserverpb__TxnResponse *r =
        b->stream != NULL ? store_commit_finish(in->cli, b->stream) : NULL;
    while (r == NULL || !settle(in, b, zone_key, r)) {
        struct store_txn txn = {0};
        if (++attempts == MAX_ATTEMPTS)
            cli_exit(CLI_ERROR, "%s:%zu: others write to these peers all the time; try again",
                     file_name(in, in->file), b->peers[0].line);
        add_all(&txn, b, zone_key);
        r = store_commit_reply(in->cli, &txn);
    }
    free(zone_key);
    for (size_t i = 0; i < b->count; i++) {
        free(b->peers[i].key);
        free(b->peers[i].value);
    }
    b->count = b->size = 0;
    if ((in->added + in->changed + in->same) / PROGRESS_EVERY > before)
        say_progress(in, false);
}

/* Sends what was read; the batch before is stored then. */
static void send_batch(struct import *in)
{
    struct batch *b = in->filling;
    struct store_txn txn = {0};
    finish(in);
    if (b->count == 0)
        return;
    char *zone_key = store_zone_key(b->zone);
    add_all(&txn, b, zone_key);
    b->stream = store_commit_start(in->cli, &txn);
    free(zone_key);
    in->filling = in->sent;
    in->sent = b;
}

static void flush(struct import *in)
{
    send_batch(in);
    finish(in);
}

/* Names. */

static void visit_stored(void *user, const Mvccpb__KeyValue *kv)
{
    struct import *in = user;
    struct registry_key key;
    struct registry_peer peer;
    struct name_claim other;
    struct arena *arena = store_arena();
    registry_key_parse(&key, bytes_of(kv->key.data, kv->key.len));
    arena_reset(arena);
    if (key.type != REGISTRY_KEY_PEER ||
        registry_peer_parse(&peer, bytes_of(kv->value.data, kv->value.len), arena, NULL) != OK ||
        peer.name[0] == '\0')
        return;
    enum err error = name_claims_add(&in->claims, in->zone, peer.name, key.peer, 0, 0, &other);
    if (error == ERR_NO_MEMORY)
        cli_memory(NULL);
    if (error == ERR_EXISTS)
        cli_say("Warning: two stored peers of zone %s are called %s", in->zone, peer.name);
}

static void enter_zone(struct import *in, const char *zone)
{
    struct strbuf prefix = STRBUF_EMPTY;
    if (strcmp(zone, in->zone) == 0)
        return;
    flush(in);
    snprintf(in->zone, sizeof(in->zone), "%s", zone);
    for (size_t i = 0; i < in->zone_count; i++) {
        if (strcmp(in->zones[i], zone) == 0)
            return;
    }
    const char *name = store_zone(in->cli, zone, true);
    in->zones = cli_memory(realloc(in->zones, (in->zone_count + 1) * sizeof(*in->zones)));
    in->zones[in->zone_count++] = cli_memory(strdup(name));
    registry_peers_prefix(&prefix, bytes_of_str(name));
    store_scan(in->cli, cli_text(&prefix), true, visit_stored, in);
}

static enum err claim_name(struct import *in, const struct peer_entry *entry,
                           struct name_claim *other)
{
    uint32_t line = in->line < UINT32_MAX ? (uint32_t)in->line : UINT32_MAX;
    return name_claims_add(&in->claims, entry->zone, entry->peer.name, entry->key, in->file, line,
                           other);
}

static void check_name(struct import *in, const struct peer_entry *entry)
{
    struct name_claim other = {.line = 0};
    struct strbuf what = STRBUF_EMPTY;
    if (entry->peer.name[0] == '\0')
        return;
    enum err error = claim_name(in, entry, &other);
    if (error == ERR_EXISTS && other.line == 0) { /* unless the batch renames that peer */
        flush(in);
        error = claim_name(in, entry, &other);
    }
    if (error == OK)
        return;
    if (error != ERR_EXISTS)
        cli_memory(NULL);
    if (other.line > 0)
        strbuf_add_format(&what, "the name '%s' is claimed by %s:%" PRIu32 " already",
                          entry->peer.name, file_name(in, other.file), other.line);
    else
        strbuf_add_format(&what,
                          "the name '%s' is that of another peer in zone %s (`warrenctl peer show "
                          "%s` shows it)",
                          entry->peer.name, entry->zone, entry->peer.name);
    fail(in, cli_text(&what));
}

/* Peers. */

/* The peer of the batch with this key; NULL without. */
static const struct pending *find_pending(const struct import *in, const uint8_t *peer)
{
    for (size_t i = 0; i < in->filling->count; i++) {
        if (memcmp(in->filling->peers[i].peer, peer, KEY_SIZE) == 0)
            return &in->filling->peers[i];
    }
    return NULL;
}

static void import_peer(struct import *in, struct peer_entry *entry)
{
    if (entry->zone[0] == '\0') {
        if (in->default_zone == NULL)
            in->default_zone = store_zone(in->cli, zone_text, true);
        snprintf(entry->zone, sizeof(entry->zone), "%s", in->default_zone);
    }
    enter_zone(in, entry->zone);
    check_name(in, entry);
    if (find_pending(in, entry->key) != NULL)
        send_batch(in); /* a key that comes twice is one that is stored already */
    struct batch *b = in->filling;
    struct pending *p = &b->peers[b->count++];
    *p = (struct pending){
        .key = store_peer_key(entry->zone, entry->key),
        .value = store_peer_value(&entry->peer),
        .line = in->line,
    };
    memcpy(p->peer, entry->key, KEY_SIZE);
    memcpy(b->zone, entry->zone, sizeof(b->zone));
    b->size += strlen(p->key) + strlen(p->value);
    if (b->count == BATCH || b->size > BATCH_SIZE)
        send_batch(in);
}

/* Files. */

struct line_reader {
    FILE *file;
    size_t at, size; /* what is left of the buffer */
    char buffer[64 << 10];
};

/* The next line without its end, read in blocks (getline(3) has no bound); false at the end. A line
 * that no peer needs ends the import. */
static bool read_line(const struct import *in, struct line_reader *r, struct strbuf *line)
{
    strbuf_clear(line);
    for (;;) {
        if (r->at == r->size) {
            r->at = 0;
            r->size = fread(r->buffer, 1, sizeof(r->buffer), r->file);
        }
        if (r->size == 0)
            return line->size > 0;
        const char *end = memchr(r->buffer + r->at, '\n', r->size - r->at);
        size_t size = end != NULL ? (size_t)(end - r->buffer) - r->at : r->size - r->at;
        if (size > PEER_LINE_MAX_SIZE - line->size)
            fail(in, "longer than a peer can be");
        strbuf_add(line, r->buffer + r->at, size);
        if (line->failed)
            cli_memory(NULL);
        r->at += size + (end != NULL);
        if (end != NULL)
            return true;
    }
}

/* JSON lines are read as they come. LINE is the number of lines read before. */
static void import_lines(struct import *in, FILE *f, size_t line)
{
    static struct line_reader reader;
    struct arena arena;
    struct strbuf text = STRBUF_EMPTY, why = STRBUF_EMPTY;
    arena_init(&arena, STORE_VALUE_ARENA);
    reader.file = f;
    reader.at = reader.size = 0;
    for (in->line = line + 1; read_line(in, &reader, &text); in->line++) {
        struct peer_entry entry;
        while (text.size > 0 && memchr("\r\t ", text.data[text.size - 1], 3) != NULL)
            text.size--;
        if (text.size == 0)
            continue;
        arena_reset(&arena);
        enum err error = peer_line_parse(&entry, bytes_of(text.data, text.size), &arena, &why);
        if (error != OK)
            fail(in, error == ERR_MALFORMED ? strbuf_str(&why) : err_text(error));
        import_peer(in, &entry);
    }
    strbuf_fini(&text);
    arena_fini(&arena);
}

static void import_wg(struct import *in, FILE *f, size_t line)
{
    char buffer[16 << 10];
    size_t size;
    struct arena arena;
    struct strbuf content = STRBUF_EMPTY;
    while ((size = fread(buffer, 1, sizeof(buffer), f)) > 0) {
        strbuf_add(&content, buffer, size);
        if (content.size > MAX_WG_FILE)
            fail(in, "the file is too large");
    }
    if (content.failed)
        cli_memory(NULL);
    struct wg_reader reader = wg_reader_of(bytes_of(content.data, content.size));
    reader.line = line;
    arena_init(&arena, STORE_VALUE_ARENA);
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
    strbuf_fini(&content);
}

/* Goes to the first character that is no space; the lines before it. */
static size_t skip_spaces(FILE *f)
{
    size_t lines = 0;
    int c;
    while ((c = getc_unlocked(f)) != EOF && c != '\0' && strchr(" \t\r\n", c) != NULL)
        lines += c == '\n';
    if (c != EOF)
        ungetc(c, f);
    return lines;
}

static void import_file(struct import *in, const char *path)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *f = is_stdin ? stdin : fopen(path, "re");
    if (f == NULL)
        cli_exit(CLI_INVALID_INPUT, "%s: %s", path, strerror(errno));
    in->line = 0;
    size_t line = skip_spaces(f);
    int first = getc_unlocked(f);
    if (first != EOF)
        ungetc(first, f);
    if (first == '{')
        import_lines(in, f, line);
    else
        import_wg(in, f, line);
    if (ferror(f))
        fail(in, "cannot be read");
    flush(in);
    if (!is_stdin)
        fclose(f);
}

int verb_import(struct cli *cli, char **arguments, size_t count)
{
    static struct batch batches[2];
    static struct import in = {.filling = &batches[0], .sent = &batches[1]};
    uint8_t secret[HASH_KEY_SIZE];
    in.cli = cli;
    in.files = arguments;
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS, "import command needs files, or - for standard input");
    if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret))
        cli_exit(CLI_ERROR, "no random bytes: %s", strerror(errno));
    name_claims_init(&in.claims, secret);
    cli_start(cli);
    for (size_t i = 0; i < count; i++) {
        in.file = (uint32_t)i;
        import_file(&in, arguments[i]);
    }
    say_progress(&in, true);
    name_claims_fini(&in.claims);
    return CLI_OK;
}
