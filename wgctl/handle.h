/* What a struct wgctl is made of: for the files that implement it. */
#ifndef WARREN_WGCTL_HANDLE_H
#define WARREN_WGCTL_HANDLE_H

#include "failure.h"
#include "netlink.h"
#include "userspace.h"
#include "wgctl/device.h"

struct wgctl {
    char *socket_dir;
    int cancel_fd;   /* an eventfd; -1 where none was to be had */
    uint8_t *buffer; /* of the larger of NETLINK_RECEIVE_SIZE and USERSPACE_RECEIVE_SIZE */
    struct netlink netlink;
    struct public_key_cache key_cache;
    struct wg_device spare; /* what a read fills; its memory and the caller's change places */
    struct failure why;
};

/* Empties the error line. ERR_NO_DEVICE for a NAME that no interface can have: it also becomes part
 * of a path, which must not leave the socket directory. */
enum err wgctl_check_name(struct wgctl *w, const char *name) MUST_CHECK;
/* Adds to the kernel's "no such device" that there was no userspace device either: SOCKET tells
 * what the attempt at one found. */
enum err wgctl_neither(struct wgctl *w, enum err error, const struct failure *socket);

#endif
