/* One error enumeration for every module.
 *
 * Four kinds of trouble are kept apart: a bug of ours asserts; hostile or broken bytes return
 * ERR_MALFORMED; a failure of disk, network, kernel or memory returns its own code; a protocol's
 * verdict (an RCODE, a refused vote) is data and never an error. Outputs are written only on OK. */
#ifndef WARREN_BASE_ERR_H
#define WARREN_BASE_ERR_H

#include "base/attr.h"

/* X(name, text): text follows "cannot do X: " in a message to a user. */
#define ERR_LIST(X)                                                                                \
    X(OK, "no error")                                                                              \
    X(ERR_MALFORMED, "malformed data")                                                             \
    X(ERR_INVALID, "invalid argument")                                                             \
    X(ERR_NO_SPACE, "does not fit in the buffer")                                                  \
    X(ERR_LIMIT, "a limit is reached")                                                             \
    X(ERR_NO_MEMORY, "out of memory")                                                              \
    X(ERR_NOT_FOUND, "not found")                                                                  \
    X(ERR_EXISTS, "already exists")                                                                \
    X(ERR_UNSUPPORTED, "not supported")                                                            \
    X(ERR_PERMISSION, "permission denied")                                                         \
    X(ERR_NO_DEVICE, "no such device")                                                             \
    X(ERR_NOT_WIREGUARD, "not a WireGuard device")                                                 \
    X(ERR_ADDRESS_IN_USE, "address already in use")                                                \
    X(ERR_INTERRUPTED, "changed while it was read")                                                \
    X(ERR_REFUSED, "connection refused")                                                           \
    X(ERR_CLOSED, "closed by the other side")                                                      \
    X(ERR_TIMEOUT, "timed out")                                                                    \
    X(ERR_IO, "input/output error")

enum err {
#define X(name, text) name,
    ERR_LIST(X)
#undef X
};

/* The text of ERROR: static, never NULL, also for a number that is no error. */
const char *err_text(enum err error);

/* The enum err for an errno value (positive). Anything without a code of its own is ERR_IO. */
enum err err_from_errno(int error_number);

#endif
