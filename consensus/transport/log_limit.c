#include "log_limit.h"

#include <string.h>

void log_limit_init(struct log_limit *l, const uint8_t key[static HASH_KEY_SIZE], size_t count,
                    uint64_t interval_ms)
{
    *l = (struct log_limit){.count = count, .interval_ms = interval_ms};
    memcpy(l->key, key, HASH_KEY_SIZE);
}

bool log_limit_pass(struct log_limit *l, uint64_t now_ms, const void *what, size_t size,
                    uint32_t *suppressed)
{
    uint64_t kind = keyed_hash(what, size, l->key);
    struct log_limit_entry *found = NULL, *room = NULL;
    for (size_t i = 0; i < l->count && found == NULL; i++) {
        struct log_limit_entry *e = &l->entries[i];
        if (e->is_used && e->kind == kind)
            found = e;
        else if (room == NULL && (!e->is_used || now_ms - e->at_ms >= l->interval_ms))
            room = e;
    }
    if (found != NULL && now_ms - found->at_ms < l->interval_ms) {
        found->suppressed++;
        return false;
    }
    struct log_limit_entry *e = found != NULL ? found : room;
    if (e == NULL)
        return false;
    *suppressed = found != NULL ? found->suppressed : 0;
    *e = (struct log_limit_entry){.kind = kind, .at_ms = now_ms, .is_used = true};
    return true;
}
