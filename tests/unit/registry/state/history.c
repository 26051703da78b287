#include "tests/unit/registry/state/history.h"

#include <stdlib.h>
#include <string.h>

static struct bytes copy(struct bytes b)
{
    if (b.size == 0)
        return BYTES_EMPTY;
    uint8_t *data = malloc(b.size);
    if (data == NULL)
        abort();
    memcpy(data, b.data, b.size);
    return bytes_of(data, b.size);
}

static void release(struct bytes b)
{
    free((void *)(uintptr_t)b.data);
}

void history_init(struct history *h)
{
    *h = (struct history){0};
}

static void release_row(struct state_record *row)
{
    release(row->revision.kv.key);
    release(row->revision.kv.value);
}

void history_fini(struct history *h)
{
    for (size_t i = 0; i < h->count; i++)
        release_row(&h->rows[i]);
    free(h->rows);
    *h = (struct history){0};
}

static void add_row(struct history *h, const struct state_record *record)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity > 0 ? 2 * h->capacity : 64;
        h->rows = realloc(h->rows, h->capacity * sizeof(h->rows[0]));
        if (h->rows == NULL)
            abort();
    }
    struct state_record row = *record;
    row.revision.kv.key = copy(record->revision.kv.key);
    row.revision.kv.value = copy(record->revision.kv.value);
    row.revision.has_prev = false;
    h->rows[h->count++] = row;
}

static size_t find(const struct history *h, int64_t main, int64_t sub)
{
    size_t i = 0;
    while (i < h->count && (h->rows[i].revision.main != main || h->rows[i].revision.sub != sub))
        i++;
    return i;
}

static void take(void *context, const struct state_record *record)
{
    struct history *h = context;
    if (record->type == STATE_REVISION) {
        add_row(h, record);
    } else if (record->type == STATE_REVISION_GONE) {
        size_t i = find(h, record->revision.main, record->revision.sub);
        if (i == h->count)
            abort(); /* dropped twice, or never there */
        release_row(&h->rows[i]);
        memmove(&h->rows[i], &h->rows[i + 1], (h->count - i - 1) * sizeof(h->rows[0]));
        h->count--;
    } else if (record->type == STATE_META) {
        h->meta_count++;
        h->last_meta = *record;
    }
    if (h->also != NULL)
        h->also(h->also_context, record);
}

struct state_sink history_sink(struct history *h)
{
    return (struct state_sink){.record = take, .context = h};
}

static enum err read_row(void *context, int64_t main, int64_t sub, struct arena *arena,
                         struct kv *out)
{
    struct history *h = context;
    h->reads++;
    if (h->fail != OK)
        return h->fail;
    size_t i = find(h, main, sub);
    if (i == h->count)
        return ERR_NOT_FOUND;
    const struct kv *kv = &h->rows[i].revision.kv;
    struct kv result = *kv;
    result.key.data = arena_copy(arena, kv->key.data, kv->key.size);
    result.value.data = arena_copy(arena, kv->value.data, kv->value.size);
    if (result.key.data == NULL || result.value.data == NULL)
        return ERR_NO_MEMORY;
    *out = result;
    return OK;
}

static enum err scan_rows(void *context, int64_t from, int64_t to,
                          bool (*each)(void *each_context, const struct state_record *revision),
                          void *each_context)
{
    struct history *h = context;
    h->scans++;
    if (h->fail != OK)
        return h->fail;
    for (size_t i = 0; i < h->count; i++) {
        int64_t main = h->rows[i].revision.main;
        if (main >= from && main <= to && !each(each_context, &h->rows[i]))
            break;
    }
    return OK;
}

struct state_source history_source(struct history *h)
{
    return (struct state_source){.read = read_row, .scan = scan_rows, .context = h};
}

const struct state_record *history_row(const struct history *h, int64_t main, int64_t sub)
{
    size_t i = find(h, main, sub);
    return i < h->count ? &h->rows[i] : NULL;
}
