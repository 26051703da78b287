#include "registry/state/item.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    HISTORY_FIRST_CAPACITY = 2
};

static uint8_t *history_slot(const void *entry)
{
    struct bytes key = entry_key(entry);
    /* The entry is ours and only borrowed as const. */
    const uint8_t *base = entry;
    size_t offset = (size_t)(key.data + key.size - base);
    return (uint8_t *)(uintptr_t)(base + offset);
}

static struct history *history_of(const void *entry)
{
    struct history *history = NULL;
    if ((*(const uint8_t *)entry & ITEM_HAS_HISTORY) != 0)
        memcpy(&history, history_slot(entry), sizeof(history));
    return history;
}

static void set_history(void *entry, struct history *history)
{
    assert((*(uint8_t *)entry & ITEM_HAS_HISTORY) != 0);
    memcpy(history_slot(entry), &history, sizeof(history));
}

static size_t entry_size(const struct item *item)
{
    const struct kv *kv = &item->kv;
    size_t size = 1 + varint_size(kv->key.size) + kv->key.size +
                  varint_size((uint64_t)kv->mod_revision) + varint_size((uint64_t)item->sub);
    if (item->history != NULL)
        size += sizeof(item->history);
    if (item->deleted)
        return size;
    size += varint_size((uint64_t)(kv->mod_revision - kv->create_revision)) +
            varint_size((uint64_t)kv->version) + varint_size(kv->value.size) + kv->value.size;
    return kv->lease != 0 ? size + sizeof(kv->lease) : size;
}

static uint8_t *add(uint8_t *at, const void *data, size_t size)
{
    if (size > 0)
        memcpy(at, data, size);
    return at + size;
}

void *item_create(const struct item *item)
{
    const struct kv *kv = &item->kv;
    size_t size = entry_size(item);
    uint8_t *entry = malloc(size), *at = entry;
    if (entry == NULL)
        return NULL;
    *at++ = (uint8_t)((item->deleted ? ITEM_DELETED : 0) |
                      (item->history != NULL ? ITEM_HAS_HISTORY : 0) |
                      (!item->deleted && kv->lease != 0 ? ITEM_HAS_LEASE : 0));
    at = varint_write(at, kv->key.size);
    at = add(at, kv->key.data, kv->key.size);
    if (item->history != NULL)
        at = add(at, &item->history, sizeof(item->history));
    at = varint_write(at, (uint64_t)kv->mod_revision);
    at = varint_write(at, (uint64_t)item->sub);
    if (!item->deleted) {
        at = varint_write(at, (uint64_t)(kv->mod_revision - kv->create_revision));
        at = varint_write(at, (uint64_t)kv->version);
        if (kv->lease != 0)
            at = add(at, &kv->lease, sizeof(kv->lease));
        at = varint_write(at, kv->value.size);
        at = add(at, kv->value.data, kv->value.size);
    }
    assert((size_t)(at - entry) == size);
    return entry;
}

void item_read(const void *entry, struct item *out)
{
    uint8_t flags = *(const uint8_t *)entry;
    uint64_t number;
    *out = (struct item){.kv.key = entry_key(entry),
                         .deleted = (flags & ITEM_DELETED) != 0,
                         .history = history_of(entry)};
    struct kv *kv = &out->kv;
    const uint8_t *at = kv->key.data + kv->key.size;
    if (out->history != NULL)
        at += sizeof(out->history);
    at = varint_read(at, &number);
    kv->mod_revision = (int64_t)number;
    at = varint_read(at, &number);
    out->sub = (int64_t)number;
    if (out->deleted)
        return;
    at = varint_read(at, &number);
    kv->create_revision = kv->mod_revision - (int64_t)number;
    at = varint_read(at, &number);
    kv->version = (int64_t)number;
    if ((flags & ITEM_HAS_LEASE) != 0) {
        memcpy(&kv->lease, at, sizeof(kv->lease));
        at += sizeof(kv->lease);
    }
    at = varint_read(at, &number);
    kv->value = bytes_of(at, (size_t)number);
}

void item_free(void *entry)
{
    free(entry);
}

void item_destroy(void *entry)
{
    free(history_of(entry));
    free(entry);
}

/* HISTORY (may be NULL) with one more place; NULL: no memory, and HISTORY is as it was. */
static struct history *history_add(struct history *history, struct place place)
{
    size_t count = history != NULL ? history->count : 0;
    if (history == NULL || count == history->capacity) {
        size_t capacity = count == 0 ? HISTORY_FIRST_CAPACITY : count + count / 2 + 1;
        struct history *grown =
            realloc(history, sizeof(*history) + capacity * sizeof(history->places[0]));
        if (grown == NULL)
            return NULL;
        history = grown;
        history->capacity = capacity;
    }
    history->places[count] = place;
    history->count = count + 1;
    return history;
}

enum err item_succeed(void *old, const struct item *item, struct item *next, void **out)
{
    struct history *history =
        history_add(item->history, place_of(item->kv.mod_revision, item->sub, item->deleted));
    if (history == NULL)
        return ERR_NO_MEMORY;
    if (item->history != NULL)
        set_history(old, history); /* it may have moved */
    next->history = history;
    *out = item_create(next);
    if (*out != NULL)
        return OK;
    if (item->history == NULL)
        free(history);
    else
        history->count--;
    return ERR_NO_MEMORY;
}

size_t item_drop_oldest(void *entry, const struct item *item, size_t count)
{
    struct history *history = item->history;
    assert(history != NULL && count <= history->count);
    history->count -= count;
    memmove(history->places, &history->places[count], history->count * sizeof(history->places[0]));
    size_t left = history->count;
    if (left == 0 || left > history->capacity / 2)
        return left;
    struct history *shrunk = realloc(history, sizeof(*history) + left * sizeof(history->places[0]));
    if (shrunk != NULL) {
        shrunk->capacity = left;
        set_history(entry, shrunk);
    }
    return left;
}

struct place item_version(const struct item *item, size_t index)
{
    if (index + 1 == item_version_count(item))
        return place_of(item->kv.mod_revision, item->sub, item->deleted);
    return item->history->places[index];
}

size_t item_versions_until(const struct item *item, int64_t main)
{
    size_t low = 0, high = item_version_count(item);
    /* The newest is the one most often asked for. */
    if (item->kv.mod_revision <= main)
        return high;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (place_main(item_version(item, middle)) <= main)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
