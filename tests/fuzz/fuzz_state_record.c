/* A snapshot as a hostile member would send it: records, each behind its size in two octets,
 * decoded and fed to a restore. What is accepted must be a state that can be used. */
#include "base/cursor.h"
#include "base/strbuf.h"
#include "registry/state/state.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    ARENA_LIMIT = 64 << 20
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void check_encoding(const struct state_record *record, struct bytes data)
{
    struct strbuf again = STRBUF_EMPTY;
    state_record_encode(&again, record);
    check(!again.failed && again.size == data.size &&
          memcmp(again.data, data.data, data.size) == 0);
    strbuf_fini(&again);
}

/* Whether every record was accepted. */
static bool restore(struct state *s, const uint8_t *data, size_t size)
{
    struct reader r = reader_of(data, size);
    while (reader_left(&r) > 0) {
        struct state_record record;
        size_t record_size = read_u16(&r);
        const uint8_t *bytes = read_bytes(&r, record_size);
        if (bytes == NULL || state_record_decode(&record, bytes_of(bytes, record_size)) != OK)
            return false;
        check_encoding(&record, bytes_of(bytes, record_size));
        if (state_restore_record(s, &record) != OK)
            return false;
    }
    return state_restore_finish(s) == OK;
}

static void take(void *context, const struct state_record *record)
{
    size_t *records = context;
    (void)record;
    (*records)++;
}

static void count_key(void *context, struct bytes key)
{
    (void)key;
    (*(size_t *)context)++;
}

static void revoke(void *context, int64_t id, int64_t ttl_s)
{
    (void)ttl_s;
    *(int64_t *)context = id;
}

static void use(struct state *s, struct arena *arena)
{
    size_t records = 0;
    struct state_sink sink = {.record = take, .context = &records};
    struct state_result result;
    struct kv_range_response range;
    enum verdict verdict;
    struct kv_range_request everything = {
        .key = bytes_of("", 1), .range_end = bytes_of("", 1), .limit = 100};
    check(state_range(s, &everything, NULL, arena, &range, &verdict) == OK);
    check(verdict == VERDICT_OK && (size_t)range.count == state_key_count(s));
    int64_t id = 0;
    state_each_lease(s, revoke, &id);
    if (id != 0) {
        size_t keys = 0;
        state_each_lease_key(s, id, count_key, &keys);
        struct state_command command = {.type = STATE_LEASE_REVOKE, .lease = {.id = id}};
        size_t before = state_key_count(s);
        check(state_apply_command(s, &command, NULL, arena, &sink, &result, NULL) == OK);
        check(result.verdict != VERDICT_OK || before == state_key_count(s) + keys);
    }
    while (state_purge(s, 100, &sink))
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct state *s;
    struct arena arena;
    arena_init(&arena, ARENA_LIMIT);
    check(state_create(&s) == OK);
    if (restore(s, data, size))
        use(s, &arena);
    state_destroy(s);
    arena_fini(&arena);
    return 0;
}
