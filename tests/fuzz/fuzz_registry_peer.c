/* Warren's keys and values: what is read and written reads back as itself. The first byte chooses
 * zone, peer, observation or key. */
#include "registry/peer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    KINDS = 4,
    ARENA_LIMIT = 4 << 20,
};

static void check(bool holds)
{
    if (!holds)
        abort();
}

static bool rewrite(unsigned kind, struct bytes value, struct arena *arena, struct strbuf *out)
{
    struct registry_zone zone;
    struct registry_peer peer;
    struct registry_observation o;
    struct strbuf why = STRBUF_EMPTY;
    enum err e;
    if (kind == 0) {
        e = registry_zone_parse(&zone, value, &why);
        if (e == OK)
            registry_zone_format(out, &zone);
    } else if (kind == 1) {
        e = registry_peer_parse(&peer, value, arena, &why);
        if (e == OK)
            registry_peer_format(out, &peer);
    } else {
        e = registry_observation_parse(&o, value, &why);
        if (e == OK)
            registry_observation_format(out, &o);
    }
    check(e != ERR_MALFORMED || why.size > 0);
    for (size_t i = 0; i < why.size; i++)
        check(why.data[i] >= ' ' && why.data[i] <= '~');
    strbuf_fini(&why);
    return e == OK;
}

static void try_value(unsigned kind, struct bytes value)
{
    struct arena arena;
    struct strbuf first = STRBUF_EMPTY, second = STRBUF_EMPTY;
    arena_init(&arena, ARENA_LIMIT);
    if (rewrite(kind, value, &arena, &first)) {
        arena_reset(&arena);
        check(rewrite(kind, bytes_of(first.data, first.size), &arena, &second));
        check(bytes_equal(bytes_of(first.data, first.size), bytes_of(second.data, second.size)));
    }
    strbuf_fini(&first);
    strbuf_fini(&second);
    arena_fini(&arena);
}

/* White space makes it a case for the whole parser, which must read the same from it. */
static void try_plain_peer(struct bytes value)
{
    struct arena arena;
    struct strbuf spaced = STRBUF_EMPTY, first = STRBUF_EMPTY, second = STRBUF_EMPTY;
    arena_init(&arena, ARENA_LIMIT);
    strbuf_add_char(&spaced, ' ');
    strbuf_add(&spaced, value.data, value.size);
    bool is_read = rewrite(1, value, &arena, &first);
    if (value.size < PEER_MAX_VALUE_SIZE)
        check(rewrite(1, bytes_of(spaced.data, spaced.size), &arena, &second) == is_read);
    check(value.size >= PEER_MAX_VALUE_SIZE ||
          bytes_equal(bytes_of(first.data, first.size), bytes_of(second.data, second.size)));
    strbuf_fini(&spaced);
    strbuf_fini(&first);
    strbuf_fini(&second);
    arena_fini(&arena);
}

static void try_key(struct bytes key)
{
    struct registry_key k;
    struct strbuf again = STRBUF_EMPTY;
    registry_key_parse(&k, key);
    if (k.type == REGISTRY_KEY_ZONE)
        registry_zone_key(&again, k.zone);
    else if (k.type == REGISTRY_KEY_PEER)
        registry_peer_key(&again, k.zone, k.peer);
    else if (k.type == REGISTRY_KEY_ENDPOINT)
        registry_endpoint_key(&again, k.zone, k.peer, k.observer);
    if (k.type != REGISTRY_KEY_OTHER)
        check(bytes_equal(bytes_of(again.data, again.size), key));
    strbuf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* An exact copy, so that a sanitizer sees a read one byte past it. */
    uint8_t *exact = malloc(size - 1 + (size == 1));
    if (exact == NULL)
        return 0;
    memcpy(exact, data + 1, size - 1);
    struct bytes input = bytes_of(exact, size - 1);
    unsigned kind = data[0] % KINDS;
    if (kind == KINDS - 1)
        try_key(input);
    else
        try_value(kind, input);
    if (kind == 1)
        try_plain_peer(input);
    free(exact);
    return 0;
}
