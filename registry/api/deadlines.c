#include "deadlines.h"

#include <stdlib.h>

enum {
    FIRST_CAPACITY = 64,
};

void deadlines_fini(struct deadlines *d)
{
    free(d->items);
    *d = (struct deadlines){0};
}

static void put(struct deadlines *d, size_t place, struct deadline *item)
{
    d->items[place] = item;
    item->place = place;
}

static void sift_up(struct deadlines *d, size_t place, struct deadline *item)
{
    while (place > 1 && d->items[place / 2]->at_ms > item->at_ms) {
        put(d, place, d->items[place / 2]);
        place /= 2;
    }
    put(d, place, item);
}

static void sift_down(struct deadlines *d, size_t place, struct deadline *item)
{
    for (;;) {
        size_t child = 2 * place;
        if (child + 1 <= d->count && d->items[child + 1]->at_ms < d->items[child]->at_ms)
            child++;
        if (child > d->count || d->items[child]->at_ms >= item->at_ms)
            break;
        put(d, place, d->items[child]);
        place = child;
    }
    put(d, place, item);
}

bool deadlines_add(struct deadlines *d, struct deadline *item, uint64_t at_ms)
{
    if (d->count + 1 >= d->capacity) {
        size_t capacity = d->capacity > 0 ? d->capacity * 2 : FIRST_CAPACITY;
        struct deadline **items = realloc(d->items, capacity * sizeof(struct deadline *));
        if (items == NULL)
            return false;
        d->items = items;
        d->capacity = capacity;
    }
    item->at_ms = at_ms;
    d->count++;
    sift_up(d, d->count, item);
    return true;
}

void deadlines_remove(struct deadlines *d, struct deadline *item)
{
    size_t place = item->place;
    if (place == 0)
        return;
    item->place = 0;
    struct deadline *last = d->items[d->count--];
    if (last == item)
        return;
    if (place > 1 && d->items[place / 2]->at_ms > last->at_ms)
        sift_up(d, place, last);
    else
        sift_down(d, place, last);
}

struct deadline *deadlines_first(const struct deadlines *d)
{
    return d->count > 0 ? d->items[1] : NULL;
}
