#include "txn_scan.h"

#include "pb_read.h"
#include "registry/kv.h"

#include <stddef.h>

enum {
    TXN_COMPARE = 1,
    TXN_SUCCESS = 2,
    TXN_FAILURE = 3,
    OP_TXN = 4,
};

static bool txn_is_within(struct bytes txn, unsigned depth);

/* Every transaction in OP, though the last one alone counts: protobuf merges repetitions. */
static bool op_is_within(struct bytes op, unsigned depth)
{
    struct pb_field f;
    while (pb_read_field(&op, &f))
        if (f.number == OP_TXN && !txn_is_within(f.body, depth - 1))
            return false;
    return true;
}

static bool txn_is_within(struct bytes txn, unsigned depth)
{
    size_t counts[TXN_FAILURE + 1] = {0};
    struct pb_field f;
    if (depth == 0)
        return false;
    while (pb_read_field(&txn, &f)) {
        if (f.number < TXN_COMPARE || f.number > TXN_FAILURE)
            continue;
        if (++counts[f.number] > KV_TXN_OPS_LIMIT)
            return false;
        if (f.number != TXN_COMPARE && !op_is_within(f.body, depth))
            return false;
    }
    return true;
}

bool txn_is_bounded(struct bytes message)
{
    return txn_is_within(message, KV_MAX_TXN_DEPTH);
}
