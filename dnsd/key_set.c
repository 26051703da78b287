#include "dnsd/key_set.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 64
};

struct key_slot {
    bool is_used;
    uint8_t key[KEY_SIZE];
};

void key_set_init(struct key_set *s)
{
    *s = (struct key_set){.count = 0};
    randombytes_buf(s->hash_key, sizeof(s->hash_key));
}

void key_set_fini(struct key_set *s)
{
    free(s->slots);
    *s = (struct key_set){.count = 0};
}

void key_set_clear(struct key_set *s)
{
    free(s->slots);
    s->slots = NULL;
    s->capacity = s->count = 0;
}

static size_t home_of(const struct key_set *s, const uint8_t *key)
{
    return (size_t)keyed_hash(key, KEY_SIZE, s->hash_key) & (s->capacity - 1);
}

/* The slot with KEY, or the free one where it belongs. */
static size_t slot_of(const struct key_set *s, const uint8_t *key)
{
    size_t at = home_of(s, key);
    while (s->slots[at].is_used && memcmp(s->slots[at].key, key, KEY_SIZE) != 0)
        at = (at + 1) & (s->capacity - 1);
    return at;
}

bool key_set_has(const struct key_set *s, const uint8_t key[static KEY_SIZE])
{
    return s->count > 0 && s->slots[slot_of(s, key)].is_used;
}

static enum err grow(struct key_set *s)
{
    struct key_set larger = *s;
    larger.capacity = s->capacity > 0 ? s->capacity * 2 : FIRST_CAPACITY;
    larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
    if (larger.slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < s->capacity; i++)
        if (s->slots[i].is_used)
            larger.slots[slot_of(&larger, s->slots[i].key)] = s->slots[i];
    free(s->slots);
    *s = larger;
    return OK;
}

enum err key_set_add(struct key_set *s, const uint8_t key[static KEY_SIZE])
{
    if (key_set_has(s, key))
        return OK;
    enum err e = (s->count + 1) * 2 > s->capacity ? grow(s) : OK;
    if (e != OK)
        return e;
    struct key_slot *slot = &s->slots[slot_of(s, key)];
    slot->is_used = true;
    memcpy(slot->key, key, KEY_SIZE);
    s->count++;
    return OK;
}

void key_set_remove(struct key_set *s, const uint8_t key[static KEY_SIZE])
{
    if (!key_set_has(s, key))
        return;
    size_t hole = slot_of(s, key);
    size_t mask = s->capacity - 1;
    s->slots[hole].is_used = false;
    s->count--;
    /* What probed past the hole moves up, so that it is found again. */
    for (size_t at = (hole + 1) & mask; s->slots[at].is_used; at = (at + 1) & mask) {
        size_t home = home_of(s, s->slots[at].key);
        if (((at - home) & mask) < ((at - hole) & mask))
            continue;
        s->slots[hole] = s->slots[at];
        s->slots[at].is_used = false;
        hole = at;
    }
}

const uint8_t *key_set_next(const struct key_set *s, size_t *position)
{
    while (*position < s->capacity) {
        const struct key_slot *slot = &s->slots[(*position)++];
        if (slot->is_used)
            return slot->key;
    }
    return NULL;
}
