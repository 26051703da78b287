#include "dnsd/bad_keys.h"

#include "base/attr.h"

#include <sodium.h>
#include <stdlib.h>

struct bad_keys_entry {
    struct bad_keys_entry *next;
    size_t size;
    uint8_t key[];
};

void bad_keys_init(struct bad_keys *s, size_t max_count)
{
    *s = (struct bad_keys){.max_count = max_count};
    randombytes_buf(s->hash_key, sizeof(s->hash_key));
}

void bad_keys_clear(struct bad_keys *s)
{
    for (size_t i = 0; i < ARRAY_COUNT(s->buckets); i++) {
        while (s->buckets[i] != NULL) {
            struct bad_keys_entry *next = s->buckets[i]->next;
            free(s->buckets[i]);
            s->buckets[i] = next;
        }
    }
    s->count = 0;
}

void bad_keys_fini(struct bad_keys *s)
{
    bad_keys_clear(s);
}

/* Where KEY's entry is linked, or would be. */
static struct bad_keys_entry **find(struct bad_keys *s, struct bytes key)
{
    uint64_t hash = keyed_hash(key.data, key.size, s->hash_key);
    struct bad_keys_entry **at = &s->buckets[hash % ARRAY_COUNT(s->buckets)];
    while (*at != NULL && !bytes_equal(bytes_of((*at)->key, (*at)->size), key))
        at = &(*at)->next;
    return at;
}

bool bad_keys_add(struct bad_keys *s, struct bytes key)
{
    struct bad_keys_entry **at = find(s, key);
    if (*at != NULL || s->count == s->max_count)
        return false;
    struct bad_keys_entry *entry = malloc(sizeof(*entry) + key.size);
    if (entry == NULL)
        return false;
    *entry = (struct bad_keys_entry){.size = key.size};
    memcpy(entry->key, key.data, key.size);
    *at = entry;
    s->count++;
    return true;
}

void bad_keys_remove(struct bad_keys *s, struct bytes key)
{
    struct bad_keys_entry **at = s->count > 0 ? find(s, key) : NULL;
    if (at == NULL || *at == NULL)
        return;
    struct bad_keys_entry *entry = *at;
    *at = entry->next;
    free(entry);
    s->count--;
}
