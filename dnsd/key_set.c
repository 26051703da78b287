#include "dnsd/key_set.h"

#include "base/attr.h"

#include <sodium.h>
#include <stdlib.h>

struct key_set_entry {
    struct key_set_entry *next;
    size_t size;
    uint8_t key[];
};

void key_set_init(struct key_set *s, size_t max_count)
{
    *s = (struct key_set){.max_count = max_count};
    randombytes_buf(s->hash_key, sizeof(s->hash_key));
}

void key_set_clear(struct key_set *s)
{
    for (size_t i = 0; i < ARRAY_COUNT(s->buckets); i++) {
        while (s->buckets[i] != NULL) {
            struct key_set_entry *next = s->buckets[i]->next;
            free(s->buckets[i]);
            s->buckets[i] = next;
        }
    }
    s->count = 0;
}

void key_set_fini(struct key_set *s)
{
    key_set_clear(s);
}

/* Where KEY's entry is linked, or would be. */
static struct key_set_entry **find(struct key_set *s, struct bytes key)
{
    uint64_t hash = keyed_hash(key.data, key.size, s->hash_key);
    struct key_set_entry **at = &s->buckets[hash % ARRAY_COUNT(s->buckets)];
    while (*at != NULL && !bytes_equal(bytes_of((*at)->key, (*at)->size), key))
        at = &(*at)->next;
    return at;
}

bool key_set_add(struct key_set *s, struct bytes key)
{
    struct key_set_entry **at = find(s, key);
    if (*at != NULL || s->count == s->max_count)
        return false;
    struct key_set_entry *entry = malloc(sizeof(*entry) + key.size);
    if (entry == NULL)
        return false;
    *entry = (struct key_set_entry){.size = key.size};
    memcpy(entry->key, key.data, key.size);
    *at = entry;
    s->count++;
    return true;
}

void key_set_remove(struct key_set *s, struct bytes key)
{
    struct key_set_entry **at = s->count > 0 ? find(s, key) : NULL;
    if (at == NULL || *at == NULL)
        return;
    struct key_set_entry *entry = *at;
    *at = entry->next;
    free(entry);
    s->count--;
}
