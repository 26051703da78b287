/* A test double of registry/store.h for who reads: keys in order, revisions, ranges in pages and
 * watches. A change is delivered when the test says so, so that each state can be looked at. */
#ifndef WARREN_TESTS_UNIT_DNSD_ZONE_STORE_H
#define WARREN_TESTS_UNIT_DNSD_ZONE_STORE_H

#include "registry/store.h"

struct store *zone_store_new(void);
void zone_store_free(struct store *s);
/* VALUE NULL deletes. Watches hear of it in zone_store_deliver. */
void zone_store_put(struct store *s, const char *key, const char *value);
void zone_store_deliver(struct store *s);
/* History up to now is gone: watches that have not had all of it end. */
void zone_store_compact(struct store *s);
/* The answers of ranges are kept back until the next call with false. */
void zone_store_hold(struct store *s, bool on);
/* Not OK: what ranges get. */
void zone_store_set_verdict(struct store *s, enum verdict verdict);
/* Whether it says that it takes writes; at first it does. */
void zone_store_set_writable(struct store *s, bool on);
int64_t zone_store_revision(const struct store *s);
size_t zone_store_watch_count(const struct store *s);
size_t zone_store_range_count(const struct store *s);

#endif
