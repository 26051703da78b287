/* A store in memory for tests of the API: registry/store.h, with as much of etcd's behaviour as an
 * API shows. Puts, deletes, single-level transactions, watches with history, leases without time.
 *
 * Answers come before store_submit returns, unless held. */
#ifndef WARREN_TESTS_FAKE_STORE_H
#define WARREN_TESTS_FAKE_STORE_H

#include "registry/store.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    FAKE_CLUSTER = 0x1234,
    FAKE_MEMBER = 0x5678,
    FAKE_TERM = 7,
};

/* Settings and counts that tests look at. */
struct fake_store {
    bool hold;           /* answers wait for fake_store_release */
    bool parts;          /* ranges come in parts, of one key each, before the answer is held */
    bool no_leader;      /* store_status.leader is 0 */
    bool unsynced;       /* watches say that they are behind */
    const char *failure; /* NULL: none */
    enum verdict refuse; /* of every request; VERDICT_OK: none */
    struct alarm alarm;  /* ALARM_NONE: none */
    size_t held_count;
    size_t late_count;   /* answers in parts that were not to begin: too many requests */
    size_t cancel_count; /* store_cancel */
    size_t watch_count;
    size_t submit_count;
    size_t refused_deliveries; /* callbacks that returned false */
    size_t type_counts[STORE_DEFRAG + 1];
};

struct store *fake_store_create(void);
void fake_store_destroy(struct store *s);
struct fake_store *fake_store_of(struct store *s);
/* Answers everything that is held, in order. */
void fake_store_release(struct store *s);
/* COUNT keys "k0", "k1", ... changed in one revision. */
void fake_store_put_many(struct store *s, size_t count, const void *value, size_t size);
/* A change from elsewhere. */
void fake_store_put(struct store *s, const char *key, const void *value, size_t size);
/* Delivers what watches could not take; calls the settled functions. */
void fake_store_settle(struct store *s);

#endif
