/* A test double of a userspace WireGuard device: serves the socket protocol of wireguard-go for one
 * name from a text that the test gives, and misbehaves on request.
 *
 * A thread of its own answers any number of clients (up to FAKE_UAPI_MAX_CLIENTS, further ones wait
 * in the listener's queue). "get=1" answers with the state; "set=1" is remembered and answered with
 * errno=0, but changes nothing: what a set would do is the test's business. All functions may be
 * called from any thread. */
#ifndef WARREN_TESTS_SUPPORT_FAKE_UAPI_H
#define WARREN_TESTS_SUPPORT_FAKE_UAPI_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FAKE_UAPI_MAX_CLIENTS = 64,
    FAKE_UAPI_MAX_REQUEST_SIZE = 1 << 16,
};

struct fake_uapi_options {
    size_t split_max;      /* each write has 1 to this many bytes, at random; 0: as much as fits */
    uint64_t split_seed;   /* of the random sizes */
    unsigned write_gap_ms; /* pause between two writes */
    unsigned delay_ms;     /* before an answer starts */
    bool truncate;         /* close after `truncate_at` bytes of an answer */
    size_t truncate_at;
    int answer_errno;           /* not 0: get and set answer "errno=<this>" and nothing else */
    int set_errno;              /* not 0: so does set alone */
    const char *set_errno_text; /* then: only for a request that has this text (static) in it */
};

struct fake_uapi;

/* Gives the text to serve, again for each get: SIZE bytes borrowed until the next call. *CHANGED
 * comes in as true; false on return promises the text of the last call, which is then not copied
 * again. Called from the device's thread. False: the answer is errno=5. */
typedef bool fake_uapi_source(void *context, const char **text, size_t *size, bool *changed);

/* Serves DIRECTORY/NAME.sock, made anew. The state is empty (a device without key or peers). */
enum err fake_uapi_create(struct fake_uapi **out, const char *directory,
                          const char *name) MUST_CHECK;
/* Also removes the socket. */
void fake_uapi_destroy(struct fake_uapi *f);
/* As destroy, but leaves the socket behind: a stale one. */
void fake_uapi_crash(struct fake_uapi *f);

/* The lines of a get answer (copied). "errno=0" and the empty line are added, unless TEXT has an
 * "errno=" line: then it is sent as it is. Answers under way go on with the old one. */
enum err fake_uapi_set_state(struct fake_uapi *f, const char *text, size_t size) MUST_CHECK;
/* Serves what SOURCE gives instead, whole: nothing is added, so it should carry its end. */
void fake_uapi_set_source(struct fake_uapi *f, fake_uapi_source *source, void *context);
/* For answers that start from now on. */
void fake_uapi_set_options(struct fake_uapi *f, const struct fake_uapi_options *options);

uint64_t fake_uapi_get_count(const struct fake_uapi *f);
uint64_t fake_uapi_set_count(const struct fake_uapi *f);
/* The text of the last set request, for free(); NULL before the first or without memory. */
char *fake_uapi_last_set(struct fake_uapi *f) MUST_CHECK;

/* The state of a device with private key 01..01, port 51820 and peers 1..COUNT, for free(): key
 * LE32(i) and 28 zero bytes, endpoint 10.9.hi.lo:51820, allowed IP 10.0.hi.lo/32 (hi, lo: the low
 * 16 bits of i; beyond 65535 the second octet counts up). EXTRA more allowed IPs, 10.64+k.hi.lo/32.
 * NULL without memory. */
char *fake_uapi_make_peers(size_t count, size_t extra, size_t *size) MUST_CHECK;

#endif
