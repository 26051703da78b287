#include "core/entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct payload *payload_create(struct bytes data)
{
    struct payload *p = malloc(sizeof(*p) + data.size);
    if (p == NULL)
        return NULL;
    p->references = 1;
    p->size = data.size;
    if (data.size > 0)
        memcpy(p->data, data.data, data.size);
    return p;
}

struct payload *payload_reference(struct payload *p)
{
    if (p != NULL)
        p->references++;
    return p;
}

void payload_release(struct payload *p)
{
    if (p == NULL)
        return;
    assert(p->references > 0);
    if (--p->references == 0)
        free(p);
}

/* Of a protobuf varint. */
static uint64_t varint_size(uint64_t value)
{
    uint64_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

uint64_t entry_size(const struct entry *e)
{
    uint64_t size = 1 + varint_size(e->term) + 1 + varint_size(e->index);
    if (e->type != ENTRY_NORMAL)
        size += 2;
    if (e->payload != NULL)
        size += 1 + varint_size(e->payload->size) + e->payload->size;
    return size;
}

uint64_t entries_size(struct entries list)
{
    uint64_t size = 0;
    for (size_t i = 0; i < list.count; i++)
        size += entry_size(&list.items[i]);
    return size;
}

uint64_t entries_payload_size(struct entries list)
{
    uint64_t size = 0;
    for (size_t i = 0; i < list.count; i++)
        size += entry_payload_size(&list.items[i]);
    return size;
}

enum err entry_list_reserve(struct entry_list *list, size_t count)
{
    size_t wanted = list->count + count;
    if (wanted <= list->capacity)
        return OK;
    /* Grows by half at least, so that single entries cost an amortized constant. */
    size_t capacity = list->capacity + list->capacity / 2;
    if (capacity < wanted)
        capacity = wanted;
    struct entry *moved = reallocarray(list->items, capacity, sizeof(*moved));
    if (moved == NULL)
        return ERR_NO_MEMORY;
    list->items = moved;
    list->capacity = capacity;
    return OK;
}

enum err entry_list_add(struct entry_list *list, const struct entry *e)
{
    return entry_list_add_all(list, (struct entries){.items = e, .count = 1});
}

enum err entry_list_add_all(struct entry_list *list, struct entries more)
{
    enum err error = entry_list_reserve(list, more.count);
    if (error != OK)
        return error;
    for (size_t i = 0; i < more.count; i++) {
        list->items[list->count] = more.items[i];
        payload_reference(more.items[i].payload);
        list->count++;
    }
    return OK;
}

void entry_list_truncate(struct entry_list *list, size_t count)
{
    assert(count <= list->count);
    for (size_t i = count; i < list->count; i++)
        payload_release(list->items[i].payload);
    list->count = count;
}

void entry_list_drop(struct entry_list *list, size_t count)
{
    assert(count <= list->count);
    for (size_t i = 0; i < count; i++)
        payload_release(list->items[i].payload);
    list->count -= count;
    if (list->count == 0)
        entry_list_fini(list);
    else
        memmove(list->items, list->items + count, list->count * sizeof(*list->items));
}

void entry_list_fini(struct entry_list *list)
{
    entry_list_truncate(list, 0);
    free(list->items);
    *list = ENTRY_LIST_EMPTY;
}
