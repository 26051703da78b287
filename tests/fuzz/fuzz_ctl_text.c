/* Fuzz target: what warrenctl reads of people: txn's lines, wg's files, JSON lines. The first byte
 * chooses. What was read of a peer must come back the same when it is written and read again. */
#include "registry/cli/peers_text.h"
#include "registry/cli/txn_text.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_txn(const char *line)
{
    struct strbuf why = STRBUF_EMPTY;
    struct compare_text compare;
    static struct words words;
    if (compare_parse(&compare, line, &why) == OK)
        compare_fini(&compare);
    if (words_split(&words, line, &why) == OK)
        words_fini(&words);
    strbuf_fini(&why);
}

static void check_round_trip(const struct peer_entry *entry, struct arena *arena)
{
    struct strbuf first = STRBUF_EMPTY, second = STRBUF_EMPTY, why = STRBUF_EMPTY;
    struct peer_entry again;
    peer_line_format(&first, entry);
    if (first.size <= PEER_LINE_MAX_SIZE) {
        if (peer_line_parse(&again, bytes_of(first.data, first.size), arena, &why) != OK)
            abort();
        peer_line_format(&second, &again);
        if (!bytes_equal(bytes_of(first.data, first.size), bytes_of(second.data, second.size)))
            abort();
    }
    strbuf_fini(&first);
    strbuf_fini(&second);
    strbuf_fini(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct strbuf why = STRBUF_EMPTY, line = STRBUF_EMPTY;
    struct peer_entry entry;
    if (size == 0)
        return 0;
    struct bytes text = bytes_of(data + 1, size - 1);
    arena_init(&arena, 64 << 20);
    if (data[0] == 'l' && peer_line_parse(&entry, text, &arena, &why) == OK)
        check_round_trip(&entry, &arena);
    struct wg_reader reader = wg_reader_of(text);
    while (data[0] == 'w' && wg_reader_next(&reader, &entry, &arena, &why) == OK)
        ;
    strbuf_add(&line, text.data, text.size);
    if (data[0] == 't')
        fuzz_txn(strbuf_str(&line));
    strbuf_fini(&line);
    strbuf_fini(&why);
    arena_fini(&arena);
    return 0;
}
