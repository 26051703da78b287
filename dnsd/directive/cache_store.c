#include "dnsd/directive/cache_store.h"

#include "dnsd/directive/reply.h"
#include "dnsd/gotext.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARD_COUNT = 256,
    SHARD_MIN_CAPACITY = 4,
    SHARD_MIN_SLOTS = 8,
};

/* Linear probing in a power-of-two table, at most three quarters full. */
struct shard {
    pthread_mutex_t lock;
    struct cache_item **slots;
    size_t slot_count;
    size_t count;
} __attribute__((aligned(64)));

struct cache_store {
    struct shard shards[SHARD_COUNT];
    size_t shard_capacity;
    atomic_size_t count;
};

/* --- items ----------------------------------------------------------------------------------- */

/* Owners are mostly the same borrowed bytes one after another: they are kept once. */
static bool shares_owner(const struct dns_rr_list *list, size_t i)
{
    return i > 0 && list->rrs[i].owner.wire == list->rrs[i - 1].owner.wire;
}

static size_t section_size(const struct dns_rr_list *list)
{
    size_t size = list->count * sizeof(struct dns_rr);
    for (size_t i = 0; i < list->count; i++)
        size += list->rrs[i].rdata_size + (shares_owner(list, i) ? 0u : list->rrs[i].owner.size);
    return size;
}

static const uint8_t *bytes_keep(uint8_t **at, const void *data, size_t size)
{
    uint8_t *copy = *at;
    if (size > 0)
        memcpy(copy, data, size);
    *at += size;
    return copy;
}

struct cache_item *cache_item_create(uint64_t key, const struct dns_message *reply,
                                     const char *origin, uint32_t ttl, int64_t now_ns)
{
    size_t size = sizeof(struct cache_item) + reply->question.name.size;
    size_t rr_count = 0;
    for (int i = 0; i < DNS_SECTION_COUNT; i++) {
        size += section_size(&reply->sections[i]);
        rr_count += reply->sections[i].count;
    }
    struct cache_item *item = malloc(size);
    if (item == NULL)
        return NULL;
    memset(item, 0, sizeof(*item));
    struct dns_rr *rrs = (struct dns_rr *)(item + 1);
    uint8_t *at = (uint8_t *)(rrs + rr_count);
    atomic_init(&item->users, 1);
    item->key = key;
    item->origin = origin;
    item->name = reply->question.name;
    item->name.wire = bytes_keep(&at, reply->question.name.wire, reply->question.name.size);
    item->type = reply->question.type;
    item->rcode = reply->rcode;
    item->flags = reply->flags & (DNS_FLAG_AD | DNS_FLAG_RA);
    item->ttl = ttl;
    item->stored_ns = now_ns;
    for (int section = 0; section < DNS_SECTION_COUNT; section++) {
        const struct dns_rr_list *list = &reply->sections[section];
        item->sections[section] = (struct dns_rr_list){.rrs = rrs, .count = list->count};
        for (size_t i = 0; i < list->count; i++) {
            rrs[i] = list->rrs[i];
            rrs[i].owner.wire = shares_owner(list, i) ? rrs[i - 1].owner.wire
                                                      : bytes_keep(&at, list->rrs[i].owner.wire,
                                                                   list->rrs[i].owner.size);
            rrs[i].rdata = bytes_keep(&at, list->rrs[i].rdata, list->rrs[i].rdata_size);
        }
        rrs += list->count;
    }
    assert(at == (uint8_t *)item + size);
    return item;
}

void cache_item_release(struct cache_item *item)
{
    if (atomic_fetch_sub_explicit(&item->users, 1, memory_order_acq_rel) == 1)
        free(item);
}

int64_t cache_item_ttl(const struct cache_item *item, int64_t now_ns)
{
    return (int64_t)item->ttl - (now_ns - item->stored_ns) / DURATION_SECOND;
}

/* --- shards ---------------------------------------------------------------------------------- */

static size_t slot_home(const struct shard *shard, uint64_t key)
{
    return (size_t)(key >> 8) & (shard->slot_count - 1); /* the low bits chose the shard */
}

/* The slot of KEY, or the empty one where it would go. The table has one. */
static size_t slot_find(const struct shard *shard, uint64_t key)
{
    size_t i = slot_home(shard, key);
    while (shard->slots[i] != NULL && shard->slots[i]->key != key)
        i = (i + 1) & (shard->slot_count - 1);
    return i;
}

/* Empties a slot and closes the gap, so that probing never meets a tombstone. */
static struct cache_item *slot_empty(struct shard *shard, size_t hole)
{
    struct cache_item *item = shard->slots[hole];
    size_t mask = shard->slot_count - 1;
    shard->slots[hole] = NULL;
    for (size_t i = (hole + 1) & mask; shard->slots[i] != NULL; i = (i + 1) & mask) {
        size_t home = slot_home(shard, shard->slots[i]->key);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            shard->slots[hole] = shard->slots[i];
            shard->slots[i] = NULL;
            hole = i;
        }
    }
    shard->count--;
    return item;
}

static struct cache_item *evict_random(struct shard *shard)
{
    size_t i = (size_t)random_below(shard->slot_count);
    while (shard->slots[i] == NULL)
        i = (i + 1) & (shard->slot_count - 1);
    return slot_empty(shard, i);
}

static bool shard_reserve(struct shard *shard)
{
    if ((shard->count + 1) * 4 <= shard->slot_count * 3)
        return true;
    struct shard grown = {.slot_count =
                              shard->slot_count == 0 ? SHARD_MIN_SLOTS : shard->slot_count * 2};
    grown.slots = calloc(grown.slot_count, sizeof(struct cache_item *));
    if (grown.slots == NULL)
        return false;
    for (size_t i = 0; i < shard->slot_count; i++) {
        if (shard->slots[i] != NULL)
            grown.slots[slot_find(&grown, shard->slots[i]->key)] = shard->slots[i];
    }
    free(shard->slots);
    shard->slots = grown.slots;
    shard->slot_count = grown.slot_count;
    return true;
}

/* The items that have to go for ITEM: the one with its key, or a random one of a full shard. */
static struct cache_item *shard_put(struct cache_store *s, struct shard *shard,
                                    struct cache_item *item, bool *evicted)
{
    struct cache_item *gone = NULL;
    if (!shard_reserve(shard))
        return item;
    size_t i = slot_find(shard, item->key);
    if (shard->slots[i] != NULL) {
        gone = shard->slots[i];
        shard->slots[i] = item;
        return gone;
    }
    if (shard->count >= s->shard_capacity) {
        gone = evict_random(shard);
        *evicted = true;
        i = slot_find(shard, item->key);
    } else {
        atomic_fetch_add_explicit(&s->count, 1, memory_order_relaxed);
    }
    shard->slots[i] = item;
    shard->count++;
    return gone;
}

/* --- store ----------------------------------------------------------------------------------- */

enum err cache_store_create(struct cache_store **out, int64_t capacity)
{
    void *memory = aligned_alloc(64, sizeof(struct cache_store));
    struct cache_store *s = memory;
    if (s == NULL)
        return ERR_NO_MEMORY;
    memset(s, 0, sizeof(*s));
    int64_t share = capacity / SHARD_COUNT;
    s->shard_capacity = share < SHARD_MIN_CAPACITY ? SHARD_MIN_CAPACITY : (size_t)share;
    for (size_t i = 0; i < SHARD_COUNT; i++)
        pthread_mutex_init(&s->shards[i].lock, NULL);
    *out = s;
    return OK;
}

void cache_store_destroy(struct cache_store *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < SHARD_COUNT; i++) {
        struct shard *shard = &s->shards[i];
        for (size_t j = 0; j < shard->slot_count; j++) {
            if (shard->slots[j] != NULL)
                cache_item_release(shard->slots[j]);
        }
        free(shard->slots);
        pthread_mutex_destroy(&shard->lock);
    }
    free(s);
}

static struct shard *shard_of(struct cache_store *s, uint64_t key)
{
    return &s->shards[key % SHARD_COUNT];
}

struct cache_item *cache_store_get(struct cache_store *s, uint64_t key)
{
    struct shard *shard = shard_of(s, key);
    struct cache_item *item = NULL;
    pthread_mutex_lock(&shard->lock);
    if (shard->count > 0)
        item = shard->slots[slot_find(shard, key)];
    if (item != NULL)
        atomic_fetch_add_explicit(&item->users, 1, memory_order_relaxed);
    pthread_mutex_unlock(&shard->lock);
    return item;
}

void cache_store_take(struct cache_store *s, struct cache_item *item, bool *evicted)
{
    struct shard *shard = shard_of(s, item->key);
    *evicted = false;
    pthread_mutex_lock(&shard->lock);
    struct cache_item *gone = shard_put(s, shard, item, evicted);
    pthread_mutex_unlock(&shard->lock);
    if (gone != NULL)
        cache_item_release(gone);
}

void cache_store_remove(struct cache_store *s, uint64_t key)
{
    struct shard *shard = shard_of(s, key);
    struct cache_item *gone = NULL;
    pthread_mutex_lock(&shard->lock);
    if (shard->count > 0) {
        size_t i = slot_find(shard, key);
        if (shard->slots[i] != NULL)
            gone = slot_empty(shard, i);
    }
    pthread_mutex_unlock(&shard->lock);
    if (gone == NULL)
        return;
    atomic_fetch_sub_explicit(&s->count, 1, memory_order_relaxed);
    cache_item_release(gone);
}

size_t cache_store_count(const struct cache_store *s)
{
    return atomic_load_explicit(&s->count, memory_order_relaxed);
}
