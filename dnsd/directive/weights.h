/* Weights of addresses by domain, from a file that is read again when it changes: the state of
 * loadbalance's `weighted` policy.
 *
 *     example.org
 *     192.0.2.1 3
 *     192.0.2.2 1
 */
#ifndef WARREN_DNSD_DIRECTIVE_WEIGHTS_H
#define WARREN_DNSD_DIRECTIVE_WEIGHTS_H

#include "base/dns_message.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

enum {
    WEIGHTS_MAX_FILE_SIZE = 64 << 20,
    WEIGHTS_MAX_LINE_SIZE = 64 << 10, /* Go's Scanner reads no longer ones */
};

struct weights;

/* FILE_NAME is copied and not yet read. */
enum err weights_create(struct weights **out, const char *file_name) MUST_CHECK;
void weights_destroy(struct weights *w);
/* Reads the file and, if it changed, makes its weights the current ones; logs that. On failure the
 * old weights stay and ERROR has CoreDNS's message. ERR_NOT_FOUND: it cannot be opened. */
enum err weights_update(struct weights *w, struct strbuf *error) MUST_CHECK;
/* The index of the address record among COUNT (A and AAAA, not none) that is to come first: random,
 * in proportion to the weights; an address without one counts 1. Any thread. */
size_t weights_choose(struct weights *w, const struct dns_rr *rrs, size_t count);

#endif
