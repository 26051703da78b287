/* The store behind `cache`: replies by key, bounded in number.
 *
 * 256 shards, each a hash table under a mutex of its own and bounded to its share of the capacity
 * (at least 4); a full shard throws out a random item for a new one. That is how CoreDNS's behaves.
 * A shard's table grows with what it holds.
 *
 * An item is immutable once stored, but for how often it was asked for, and counted: whoever got it
 * may use it without the lock and after it was thrown out, until it is released. */
#ifndef WARREN_DNSD_DIRECTIVE_CACHE_STORE_H
#define WARREN_DNSD_DIRECTIVE_CACHE_STORE_H

#include "base/dns_message.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cache_item {
    atomic_uint users;
    uint64_t key;
    const char *origin;   /* the handler that made the records; static */
    struct dns_name name; /* of the question */
    uint16_t type;
    uint16_t rcode;
    uint16_t flags; /* of DNS_FLAG_AD and DNS_FLAG_RA */
    uint32_t ttl;   /* seconds from `stored_ns` on */
    int64_t stored_ns;
    struct dns_rr_list sections[DNS_SECTION_COUNT];
    /* How often it is asked for (prefetch): hits in a row without a longer pause. */
    _Atomic int64_t last_hit_ns;
    _Atomic int64_t hits;
};

/* A deep copy of REPLY's records, in one piece, held once by the caller. NULL without memory. */
struct cache_item *cache_item_create(uint64_t key, const struct dns_message *reply,
                                     const char *origin, uint32_t ttl, int64_t now_ns);
void cache_item_release(struct cache_item *item);
/* Whole seconds left at NOW; negative once it is stale. */
int64_t cache_item_ttl(const struct cache_item *item, int64_t now_ns);

struct cache_store;

/* CAPACITY as configured, any number. */
enum err cache_store_create(struct cache_store **out, int64_t capacity) MUST_CHECK;
void cache_store_destroy(struct cache_store *s);
/* The item under KEY, held once more; NULL if there is none. Any thread, as the following. */
struct cache_item *cache_store_get(struct cache_store *s, uint64_t key);
/* Puts ITEM (taken over) under its key. EVICTED tells whether another one had to go for it. Without
 * memory the item is dropped: a cache may forget. */
void cache_store_take(struct cache_store *s, struct cache_item *item, bool *evicted);
void cache_store_remove(struct cache_store *s, uint64_t key);
size_t cache_store_count(const struct cache_store *s);

#endif
