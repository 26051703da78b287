#include "import_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_CAPACITY = 1024,
    TEXT_SIZE = 512, /* a zone, a slash, a label */
};

void name_claims_init(struct name_claims *claims, const uint8_t secret[static HASH_KEY_SIZE])
{
    *claims = (struct name_claims){.slots = NULL};
    memcpy(claims->secret, secret, HASH_KEY_SIZE);
}

void name_claims_fini(struct name_claims *claims)
{
    free(claims->slots);
    claims->slots = NULL;
    claims->capacity = claims->count = 0;
}

/* Never 0, which stands for "none". */
static uint64_t hash(const struct name_claims *claims, const void *data, size_t size)
{
    uint64_t value = keyed_hash(data, size, claims->secret);
    return value != 0 ? value : 1;
}

static uint64_t hash_name(const struct name_claims *claims, const char *zone, const char *name)
{
    char text[TEXT_SIZE];
    int size = snprintf(text, sizeof(text), "%s/%s", zone, name);
    return hash(claims, text, size < TEXT_SIZE ? (size_t)size : TEXT_SIZE - 1);
}

/* The slot that holds NAME, or the free one where it belongs. */
static struct name_claim *find(struct name_claim *slots, size_t capacity, uint64_t name)
{
    size_t at = (size_t)name & (capacity - 1);
    while (slots[at].name != 0 && slots[at].name != name)
        at = (at + 1) & (capacity - 1);
    return &slots[at];
}

static enum err grow(struct name_claims *claims)
{
    size_t capacity = claims->capacity > 0 ? claims->capacity * 2 : FIRST_CAPACITY;
    if (claims->capacity > 0 && claims->count < claims->capacity / 4 * 3)
        return OK;
    struct name_claim *slots = calloc(capacity, sizeof(*slots));
    if (slots == NULL)
        return ERR_NO_MEMORY;
    for (size_t i = 0; i < claims->capacity; i++) {
        if (claims->slots[i].name != 0)
            *find(slots, capacity, claims->slots[i].name) = claims->slots[i];
    }
    free(claims->slots);
    claims->slots = slots;
    claims->capacity = capacity;
    return OK;
}

enum err name_claims_add(struct name_claims *claims, const char *zone, const char *name,
                         const uint8_t key[static KEY_SIZE], uint32_t file, uint32_t line,
                         struct name_claim *other)
{
    uint64_t name_hash = hash_name(claims, zone, name), key_hash = hash(claims, key, KEY_SIZE);
    enum err error = grow(claims);
    if (error != OK)
        return error;
    struct name_claim *slot = find(claims->slots, claims->capacity, name_hash);
    if (slot->name != 0 && slot->key == key_hash)
        return OK;
    if (slot->name != 0 && slot->key != 0) {
        *other = *slot;
        return ERR_EXISTS;
    }
    claims->count += slot->name == 0;
    *slot = (struct name_claim){.name = name_hash, .key = key_hash, .file = file, .line = line};
    return OK;
}

void name_claims_remove(struct name_claims *claims, const char *zone, const char *name,
                        const uint8_t key[static KEY_SIZE])
{
    if (claims->capacity == 0)
        return;
    struct name_claim *slot = find(claims->slots, claims->capacity, hash_name(claims, zone, name));
    if (slot->name != 0 && slot->key == hash(claims, key, KEY_SIZE))
        slot->key = 0;
}
