/* Walks over the keys that go on after the keys have changed. */
#include "registry/state/internal.h"

#include <stdlib.h>
#include <string.h>

void walk_fini(struct walk *w)
{
    free(w->key);
    *w = (struct walk){0};
}

enum err walk_note(struct walk *w, struct bytes key)
{
    if (key.size > w->capacity) {
        uint8_t *grown = realloc(w->key, key.size);
        if (grown == NULL)
            return ERR_NO_MEMORY;
        w->key = grown;
        w->capacity = key.size;
    }
    memcpy(w->key, key.data, key.size);
    w->size = key.size;
    return OK;
}

void walk_resume(const struct walk *w, const struct state *s, struct tree_cursor *c)
{
    struct bytes last = bytes_of(w->key, w->size);
    tree_seek(&s->items, last, c);
    const void *entry = tree_at(c);
    if (entry != NULL && last.size > 0 && bytes_equal(entry_key(entry), last))
        tree_next(c);
}
