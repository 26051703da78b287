/* Deadlines of leases, kept by the member that leads: a heap on a clock that is passed in.
 *
 * Not part of the deterministic state: a keepalive never enters the log, and a new leader gives
 * every lease its full TTL again (lessor_promote). An expired lease is reported once by
 * lessor_expired; the owner proposes its revocation, and only the applied revoke removes it
 * (lessor_remove), so a lease never ends early and never without the log. Times are milliseconds of
 * a monotonic clock. Pure. */
#ifndef WARREN_REGISTRY_STATE_LESSOR_H
#define WARREN_REGISTRY_STATE_LESSOR_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lessor;

enum err lessor_create(struct lessor **out) MUST_CHECK;
void lessor_destroy(struct lessor *l);

/* A granted (or loaded) lease starts with its full TTL. ERR_EXISTS, ERR_NO_MEMORY. */
enum err lessor_add(struct lessor *l, int64_t id, int64_t ttl_s, uint64_t now_ms) MUST_CHECK;
void lessor_remove(struct lessor *l, int64_t id);
enum lessor_renewal {
    LESSOR_RENEWED,
    LESSOR_UNKNOWN,  /* no such lease */
    LESSOR_EXPIRING, /* its deadline has passed: the keepalive waits for its revocation */
};
enum lessor_renewal lessor_renew(struct lessor *l, int64_t id, uint64_t now_ms, int64_t *ttl_s);
/* Remaining milliseconds, 0 if past; false: no such lease. */
bool lessor_remaining(const struct lessor *l, int64_t id, uint64_t now_ms, uint64_t *remaining_ms);
/* Every lease gets its full TTL plus EXTRA_MS. */
void lessor_promote(struct lessor *l, uint64_t now_ms, uint64_t extra_ms);
/* Up to CAPACITY leases whose deadline has passed and that were not reported before. */
size_t lessor_expired(struct lessor *l, uint64_t now_ms, int64_t *ids, size_t capacity);
/* Somebody proposed the lease's revocation: it is not reported any more. */
void lessor_note_revocation(struct lessor *l, int64_t id);
/* The revocation could not be proposed, or did not happen: report it again. */
void lessor_retry(struct lessor *l, int64_t id);
/* Milliseconds until the next deadline; UINT64_MAX without one. */
uint64_t lessor_next_ms(const struct lessor *l, uint64_t now_ms);
/* Ids by rising deadline (LeaseLeases), as many as fit; returns how many there are. */
size_t lessor_list(const struct lessor *l, int64_t *ids, size_t capacity);

#endif
