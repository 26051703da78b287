/* A test double of registry/store.h: keys, leases and transactions in memory, answering at once or
 * when the loop comes round, and failing on request. Only what steer_observe asks for. */
#ifndef WARREN_TESTS_UNIT_DNSD_FAKE_STORE_H
#define WARREN_TESTS_UNIT_DNSD_FAKE_STORE_H

#include "registry/store.h"

struct store *fake_store_new(uv_loop_t *loop);
void fake_store_free(struct store *s);
/* Answers come from a later turn of the loop. */
void fake_store_set_deferred(struct store *s, bool on);
/* Not OK: every request gets it. */
void fake_store_set_verdict(struct store *s, enum verdict verdict);
/* The lease ends, and what is under it goes. */
void fake_store_expire(struct store *s, int64_t lease);
void fake_store_put(struct store *s, const char *key, const char *value, int64_t lease);
void fake_store_delete(struct store *s, const char *key);
/* FN runs after each change, whoever made it. */
void fake_store_on_change(struct store *s, void (*fn)(void *context), void *context);
/* Every key in order, borrowed for the call. */
void fake_store_each(const struct store *s, void (*fn)(void *context, const struct kv *kv),
                     void *context);
/* The value, NULL without the key. */
const char *fake_store_get(const struct store *s, const char *key);
int64_t fake_store_lease_of(const struct store *s, const char *key);
size_t fake_store_key_count(const struct store *s);
size_t fake_store_lease_count(const struct store *s);
/* Puts and deletes since the beginning, and the transactions they came in. */
size_t fake_store_write_count(const struct store *s);
size_t fake_store_txn_count(const struct store *s);
size_t fake_store_largest_txn(const struct store *s);
size_t fake_store_keepalive_count(const struct store *s);

bool fake_store_is_watched(const struct store *s);
/* History that the watches have not seen is gone: they end. */
void fake_store_compact(struct store *s);

#endif
