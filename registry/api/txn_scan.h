/* A look at an encoded TxnRequest before anything recurses into it. */
#ifndef WARREN_REGISTRY_API_TXN_SCAN_H
#define WARREN_REGISTRY_API_TXN_SCAN_H

#include "base/bytes.h"

#include <stdbool.h>

/* False: some list of it is longer than KV_TXN_OPS_LIMIT, or it nests deeper than KV_MAX_TXN_DEPTH.
 * Bytes that are no TxnRequest may be either; what unpacks them finds out. */
bool txn_is_bounded(struct bytes message);

#endif
