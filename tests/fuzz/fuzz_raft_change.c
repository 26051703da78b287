/* Changes of the Raft configuration as a hostile log would hold them: a run of them, each behind
 * one octet (its version in the lowest bit) and its size in one more. What decodes has one
 * encoding, and no sequence of changes leads to a configuration that contradicts itself. */
#include "base/cursor.h"
#include "core/configuration.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void apply(struct configuration_state *c, const struct configuration_change *change)
{
    struct change_outcome out;
    if (configuration_apply(c, change, &out) != CHANGE_OK)
        return;
    check(configuration_is_valid(&out.state));
    for (size_t i = 0; i < out.added.count; i++)
        check(configuration_is_member(&out.state, out.added.ids[i]));
    *c = out.state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct configuration_state c = {.voters = {.count = 3, .ids = {1, 2, 3}}};
    struct reader r = reader_of(data, size);
    while (reader_left(&r) > 0) {
        enum entry_type type = read_u8(&r) & 1 ? ENTRY_CHANGE_V1 : ENTRY_CHANGE;
        size_t change_size = read_u8(&r);
        if (change_size > reader_left(&r))
            change_size = reader_left(&r);
        struct bytes bytes = bytes_of(read_bytes(&r, change_size), change_size);
        struct configuration_change change;
        if (change_decode(&change, type, bytes) != OK)
            continue;
        check(change.is_v1 == (type == ENTRY_CHANGE_V1));
        check(change.item_count <= CHANGE_MAX_ITEMS);
        struct payload *again = change_encode(&change);
        check(again != NULL);
        /* Nothing at all is another way to leave. */
        check(change_size == 0 || bytes_equal(payload_bytes(again), bytes));
        payload_release(again);
        apply(&c, &change);
    }
    return 0;
}
