/* The userspace socket (NAME.sock) of wireguard-go and boringtun: a pure, incremental reader of its
 * text, and the socket.
 *
 * An answer is "key=value" lines: the device's, then a "public_key" per peer followed by that
 * peer's, then "errno=N" and an empty line. Unknown keys are skipped, whatever their length, so
 * that a newer device is still readable; a known key with a bad value is ERR_MALFORMED. */
#ifndef WARREN_WGCTL_USERSPACE_H
#define WARREN_WGCTL_USERSPACE_H

#include "base/err.h"
#include "base/ip.h"
#include "base/wg.h"
#include "change_cursor.h"
#include "failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    USERSPACE_RECEIVE_SIZE = 64 * 1024,
    UAPI_LINE_SIZE = 256, /* the longest line of a known key has 80 or so */
    /* Of one "set=1" text: a device holds its lock for all of it. The least holds a peer with one
     * allowed IP. */
    USERSPACE_SET_SIZE = 32 * 1024,
    USERSPACE_SET_MIN_SIZE = 512,
};

/* The public key of the private key seen last. It remembers the private key by a keyed hash only;
 * the hash's key is made at random for each handle. */
struct public_key_cache {
    bool filled;
    uint8_t salt[32];
    uint8_t digest[32];
    uint8_t public_key[KEY_SIZE];
};

void public_key_cache_init(struct public_key_cache *c);
/* The public key of PRIVATE_KEY (X25519, RFC 7748 section 6.1). */
void public_key_derive(struct public_key_cache *c, uint8_t public_key[static KEY_SIZE],
                       const uint8_t private_key[static KEY_SIZE]);

/* --- Pure: text in, model out. --- */

struct uapi_parser {
    struct wg_device *device;           /* borrowed, being filled */
    struct public_key_cache *key_cache; /* borrowed */
    struct failure *why;                /* borrowed */
    struct wg_peer *peer;               /* the one being filled, NULL before the first */
    size_t line_number;
    size_t partial_size; /* bytes of a line that continues in the next chunk */
    bool partial_cut;    /* that line did not fit in `partial`; the rest is dropped */
    bool has_errno;
    bool done; /* the empty line came */
    uint32_t device_errno;
    char partial[UAPI_LINE_SIZE];
};

/* DEVICE must be empty. */
void uapi_parser_init(struct uapi_parser *p, struct wg_device *device,
                      struct public_key_cache *key_cache, struct failure *why);
/* Reads the next bytes of the answer, cut anywhere. Sets `done` at its end and ignores what
 * follows. ERR_MALFORMED, ERR_LIMIT, ERR_NO_MEMORY; no call may follow a failure. */
enum err uapi_parser_feed(struct uapi_parser *p, const void *data, size_t size) MUST_CHECK;
/* The verdict once `done` is set or the stream ended: the device's own errno, or ERR_MALFORMED for
 * an answer without its end. Wipes what the parser kept; to be called on every path. */
enum err uapi_parser_finish(struct uapi_parser *p) MUST_CHECK;

/* Writes a "set=1" text with as many of the changes at C as fit into SIZE bytes (at least
 * USERSPACE_SET_MIN_SIZE) and moves C; returns the text's size. Fragments as for
 * netlink_set_write. */
size_t userspace_set_write(struct change_cursor *c, char *buffer, size_t size);

/* --- The socket. --- */

/* BUFFER has USERSPACE_RECEIVE_SIZE bytes; it sees private keys and is wiped before the return.
 * CANCEL_FD, unless -1, ends the wait for an answer once it is readable: ERR_CLOSED.
 * ERR_NOT_FOUND: nothing listens at DIRECTORY/NAME.sock. */
enum err userspace_read(const char *directory, const char *name, struct wg_device *device,
                        struct public_key_cache *key_cache, int cancel_fd, uint8_t *buffer,
                        struct failure *why) MUST_CHECK;
/* Sends the next text of C, which has changes left, and reads the verdict. Moves C whether or not
 * it succeeds. BUFFER has USERSPACE_RECEIVE_SIZE bytes. Errors as above, and the device's own. */
enum err userspace_set_next(const char *directory, const char *name, struct change_cursor *c,
                            int cancel_fd, uint8_t *buffer, struct failure *why) MUST_CHECK;

#endif
