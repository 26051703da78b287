#include "overlay.h"

#include <assert.h>
#include <stdlib.h>

enum {
    KEPT_ITEMS = 4096, /* arrays that grew beyond are given back */
    FIRST_ITEMS = 64,
};

void overlay_init(struct overlay *o)
{
    *o = (struct overlay){.gone_rises = true};
    /* journal_has_room bounds it before; what one apply adds beyond fits still. */
    arena_init(&o->bytes, (size_t)JOURNAL_MAX_OVERLAY_SIZE * 4);
}

void overlay_fini(struct overlay *o)
{
    free(o->puts);
    free(o->gone);
    free(o->rows);
    arena_fini(&o->bytes);
    *o = (struct overlay){0};
}

void overlay_clear(struct overlay *o)
{
    if (o->put_capacity > KEPT_ITEMS || o->gone_capacity > KEPT_ITEMS ||
        o->row_capacity > KEPT_ITEMS) {
        overlay_fini(o);
        overlay_init(o);
        return;
    }
    o->put_count = o->gone_count = o->row_count = 0;
    o->gone_rises = true;
    o->meta_changed = o->meta_removed = 0;
    o->has_configuration = false;
    o->applied = 0;
    arena_reset(&o->bytes);
}

bool overlay_is_empty(const struct overlay *o)
{
    return o->applied == 0 && o->put_count == 0 && o->gone_count == 0 && o->row_count == 0 &&
           o->meta_changed == 0;
}

size_t overlay_size(const struct overlay *o)
{
    return o->bytes.total + o->put_count * sizeof(o->puts[0]) + o->gone_count * sizeof(o->gone[0]) +
           o->row_count * sizeof(o->rows[0]);
}

static bool grow(void **items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity == 0 ? FIRST_ITEMS : *capacity * 2;
    void *grown = realloc(*items, wanted * size);
    if (grown == NULL)
        return false;
    *items = grown;
    *capacity = wanted;
    return true;
}

static int64_t packed_of(const struct journal_revision *r)
{
    int64_t packed = 0;
    bool fits = tables_pack(&packed, r->main, r->sub);
    assert(fits);
    return packed;
}

static enum err add_put(struct overlay *o, const struct journal_revision *r, int64_t packed)
{
    if (o->put_count > 0 && packed_of(&o->puts[o->put_count - 1]) >= packed)
        return ERR_INVALID;
    void *items = o->puts;
    if (!grow(&items, o->put_count, &o->put_capacity, sizeof(*r)))
        return ERR_NO_MEMORY;
    o->puts = items;
    uint8_t *copy = arena_alloc(&o->bytes, r->key.size + r->value.size);
    if (copy == NULL)
        return ERR_NO_MEMORY;
    struct journal_revision *mine = &o->puts[o->put_count++];
    *mine = *r;
    mine->key.data = copy;
    mine->value.data = copy + r->key.size;
    if (r->key.size > 0)
        memcpy(copy, r->key.data, r->key.size);
    if (r->value.size > 0)
        memcpy(copy + r->key.size, r->value.data, r->value.size);
    return OK;
}

static enum err add_gone(struct overlay *o, int64_t packed)
{
    void *items = o->gone;
    if (!grow(&items, o->gone_count, &o->gone_capacity, sizeof(packed)))
        return ERR_NO_MEMORY;
    o->gone = items;
    if (o->gone_count > 0 && o->gone[o->gone_count - 1] > packed)
        o->gone_rises = false;
    o->gone[o->gone_count++] = packed;
    return OK;
}

static enum err add_meta(struct overlay *o, const struct journal_effect *e)
{
    if (e->row.a < 1 || e->row.a > TABLES_META_COUNT || e->row.b != 0)
        return ERR_INVALID;
    uint32_t bit = UINT32_C(1) << (e->row.a - 1);
    o->meta_changed |= bit;
    o->meta_removed = e->is_removal ? o->meta_removed | bit : o->meta_removed & ~bit;
    o->meta[e->row.a - 1] = e->row.value;
    return OK;
}

static enum err add_row(struct overlay *o, const struct journal_effect *e)
{
    void *items = o->rows;
    if (!grow(&items, o->row_count, &o->row_capacity, sizeof(*e)))
        return ERR_NO_MEMORY;
    o->rows = items;
    o->rows[o->row_count++] = *e;
    return OK;
}

enum err overlay_add(struct overlay *o, const struct journal_effect *e)
{
    int64_t packed;
    switch (e->table) {
    case JOURNAL_META:
        return add_meta(o, e);
    case JOURNAL_LEASES:
        return e->row.b == 0 ? add_row(o, e) : ERR_INVALID;
    case JOURNAL_ALARMS:
        return e->row.value == 0 ? add_row(o, e) : ERR_INVALID;
    case JOURNAL_REVISIONS:
        if (!tables_pack(&packed, e->revision.main, e->revision.sub))
            return ERR_INVALID;
        return e->is_removal ? add_gone(o, packed) : add_put(o, &e->revision, packed);
    }
    return ERR_INVALID;
}

size_t overlay_lower_bound(const struct overlay *o, int64_t packed)
{
    size_t low = 0;
    size_t high = o->put_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (packed_of(&o->puts[middle]) < packed)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int compare_packed(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static bool has_gone(const struct overlay *o, int64_t packed)
{
    if (o->gone_count == 0)
        return false;
    if (o->gone_rises)
        return bsearch(&packed, o->gone, o->gone_count, sizeof(packed), compare_packed) != NULL;
    for (size_t i = 0; i < o->gone_count; i++)
        if (o->gone[i] == packed)
            return true;
    return false;
}

const struct journal_revision *overlay_find(const struct overlay *o, int64_t packed, bool *is_gone)
{
    *is_gone = has_gone(o, packed);
    size_t at = overlay_lower_bound(o, packed);
    return at < o->put_count && packed_of(&o->puts[at]) == packed ? &o->puts[at] : NULL;
}

static enum err write_meta(const struct overlay *o, struct tables *t, struct tables_state *state)
{
    enum err error = OK;
    for (size_t i = 0; i < TABLES_META_COUNT && error == OK; i++) {
        if ((o->meta_changed >> i & 1) == 0)
            continue;
        struct journal_effect e = {.table = JOURNAL_META};
        e.is_removal = (o->meta_removed >> i & 1) != 0;
        e.row.a = (int64_t)i + 1;
        e.row.value = o->meta[i];
        error = tables_apply(t, state, &e);
    }
    return error;
}

/* Puts before removals: no revision comes back once it is gone. */
static enum err write_revisions(const struct overlay *o, struct tables *t,
                                struct tables_state *state)
{
    enum err error = OK;
    struct journal_effect e = {.table = JOURNAL_REVISIONS};
    for (size_t i = 0; i < o->put_count && error == OK; i++) {
        e.revision = o->puts[i];
        error = tables_apply(t, state, &e);
    }
    e.is_removal = true;
    for (size_t i = 0; i < o->gone_count && error == OK; i++) {
        e.revision = (struct journal_revision){
            .main = o->gone[i] >> TABLES_SUB_BITS,
            .sub = o->gone[i] & ((INT64_C(1) << TABLES_SUB_BITS) - 1),
        };
        error = tables_apply(t, state, &e);
    }
    return error;
}

enum err overlay_write(const struct overlay *o, struct tables *t, struct tables_state *state)
{
    enum err error = write_meta(o, t, state);
    for (size_t i = 0; i < o->row_count && error == OK; i++)
        error = tables_apply(t, state, &o->rows[i]);
    if (error == OK)
        error = write_revisions(o, t, state);
    if (error == OK && o->applied != 0)
        state->applied = o->applied;
    return error;
}
