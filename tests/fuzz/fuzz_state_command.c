/* Commands as a hostile log would hold them: each is decoded and applied to a small state, then
 * what must always hold is looked at. The input is a run of commands, each behind its size in two
 * octets. */
#include "base/cursor.h"
#include "base/strbuf.h"
#include "registry/state/watch.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ARENA_LIMIT = 64 << 20
};

struct world {
    struct state *state;
    struct state *replayed;
    struct watch_hub *hub;
    struct arena arena;
    int64_t last_main;
    int64_t last_sub;
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void take(void *context, const struct state_record *record)
{
    struct world *w = context;
    if (record->type == STATE_REVISION) {
        int64_t main = record->revision.main, sub = record->revision.sub;
        check(main > w->last_main || (main == w->last_main && sub == w->last_sub + 1));
        check(main == w->last_main || sub == 0);
        w->last_main = main;
        w->last_sub = sub;
    }
    check(state_restore_record(w->replayed, record) == OK);
    watch_hub_record(w->hub, record);
}

static bool deliver(void *context, const struct watch_batch *batch)
{
    (void)context;
    check(batch->event_count > 0);
    for (size_t i = 0; i < batch->event_count; i++)
        check(batch->events[i].kv.mod_revision == batch->revision);
    return true;
}

/* Old values are not kept: an answer that needs one fails. */
static enum err read_none(void *context, int64_t main, int64_t sub, struct arena *arena,
                          struct kv *out)
{
    (void)context, (void)main, (void)sub, (void)arena, (void)out;
    return ERR_NOT_FOUND;
}

/* What decodes is encoded as it was. */
static void check_encoding(struct bytes data, struct arena *arena)
{
    struct state_command command;
    struct strbuf again = STRBUF_EMPTY;
    if (state_command_decode(&command, data, arena) != OK)
        return;
    state_command_encode(&again, &command);
    check(!again.failed && again.size == data.size &&
          memcmp(again.data, data.data, data.size) == 0);
    strbuf_fini(&again);
}

static void apply(struct world *w, struct bytes data)
{
    struct state_source source = {.read = read_none};
    struct state_sink sink = {.record = take, .context = w};
    struct state_result result;
    enum err source_error = OK;
    int64_t before = state_revision(w->state), compacted = state_compacted(w->state);
    arena_reset(&w->arena);
    check_encoding(data, &w->arena);
    enum err error = state_apply(w->state, data, &source, &w->arena, &sink, &result, &source_error);
    check(error == OK || error == ERR_MALFORMED);
    int64_t now = state_revision(w->state);
    check(now == before || now == before + 1);
    check(state_compacted(w->state) >= compacted && state_compacted(w->state) <= now);
    if (error == OK && source_error == OK) {
        check(result.revision == now);
        check(result.verdict == VERDICT_OK || now == before);
    } else {
        check(error == OK || now == before);
    }
    watch_hub_commit(w->hub);
    (void)state_purge(w->state, 3, &sink);
}

static uint32_t hash(const struct state *s)
{
    uint32_t hash = 0;
    enum verdict verdict;
    /* Zero where an old version is left to be asked for: in the one state as in the other. */
    return state_hash(s, 0, NULL, &hash, &verdict) == OK ? hash : 0;
}

static void compact_all(struct world *w)
{
    struct state_command command = {.type = STATE_COMPACT,
                                    .compact = {.revision = state_revision(w->state)}};
    struct state_sink sink = {.record = take, .context = w};
    check(state_apply_command(w->state, &command, NULL, &w->arena, &sink, NULL, NULL) == OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.last_main = 1};
    struct watcher *watcher;
    struct watch_request everything = {.range_end = bytes_of("", 1), .prev_kv = true};
    struct reader r = reader_of(data, size);
    arena_init(&w.arena, ARENA_LIMIT);
    check(state_create(&w.state) == OK && state_create(&w.replayed) == OK);
    check(watch_hub_create(&w.hub, w.state) == OK);
    check(watcher_create(&watcher, w.hub, &everything, deliver, NULL) == OK);
    while (reader_left(&r) > 0) {
        size_t command_size = read_u16(&r);
        if (command_size > reader_left(&r))
            command_size = reader_left(&r);
        const uint8_t *command = read_bytes(&r, command_size);
        apply(&w, bytes_of(command, command_size));
    }
    compact_all(&w);
    check(state_restore_finish(w.replayed) == OK);
    check(state_key_count(w.state) == state_key_count(w.replayed));
    check(state_lease_count(w.state) == state_lease_count(w.replayed));
    check(hash(w.state) == hash(w.replayed));
    watch_hub_destroy(w.hub);
    state_destroy(w.state);
    state_destroy(w.replayed);
    arena_fini(&w.arena);
    return 0;
}
