#include "base/err.h"

#include <errno.h>
#include <stddef.h>

const char *err_text(enum err error)
{
    static const char *const texts[] = {
#define X(name, text) [name] = (text),
        ERR_LIST(X)
#undef X
    };
    size_t index = (size_t)error;

    return index < ARRAY_COUNT(texts) ? texts[index] : "unknown error";
}

enum err err_from_errno(int error_number)
{
    switch (error_number) {
    case 0:
        return OK;
    case EBADMSG:
    case EPROTO:
    case EILSEQ:
        return ERR_MALFORMED;
    case EINVAL:
    case EDOM:
    case ERANGE:
    case ENAMETOOLONG:
        return ERR_INVALID;
    case EMSGSIZE:
    case ENOBUFS:
        return ERR_NO_SPACE;
    case EMFILE:
    case ENFILE:
        return ERR_LIMIT;
    case ENOMEM:
        return ERR_NO_MEMORY;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EOPNOTSUPP: /* ENOTSUP is the same number on Linux */
    case ENOSYS:
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOPROTOOPT:
        return ERR_UNSUPPORTED;
    case EPERM:
    case EACCES:
        return ERR_PERMISSION;
    case ENODEV:
    case ENXIO:
        return ERR_NO_DEVICE;
    case EADDRINUSE:
        return ERR_ADDRESS_IN_USE;
    case EINTR: /* from netlink: the dump was interrupted by a change */
        return ERR_INTERRUPTED;
    case ECONNREFUSED:
        return ERR_REFUSED;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ENOTCONN:
        return ERR_CLOSED;
    case EAGAIN: /* a blocking socket's SO_RCVTIMEO or SO_SNDTIMEO ran out */
    case ETIMEDOUT:
        return ERR_TIMEOUT;
    default:
        return ERR_IO;
    }
}
