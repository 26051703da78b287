#include "storage.h"

#include <stdio.h>
#include <stdlib.h>

static uint64_t first_index(void *context)
{
    const struct model_storage *s = context;
    return s->before_index + 1;
}

static uint64_t last_index(void *context)
{
    const struct model_storage *s = context;
    return s->before_index + s->log.count;
}

static enum err term(void *context, uint64_t index, uint64_t *out)
{
    const struct model_storage *s = context;
    if (index < s->before_index)
        return ERR_NOT_FOUND;
    if (index > last_index(context))
        return ERR_INVALID;
    *out =
        index == s->before_index ? s->before_term : s->log.items[index - s->before_index - 1].term;
    return OK;
}

static enum err entries(void *context, uint64_t lo, uint64_t hi, uint64_t max_size,
                        struct entry_list *out)
{
    const struct model_storage *s = context;
    uint64_t size = 0;
    if (lo <= s->before_index)
        return ERR_NOT_FOUND;
    if (hi > last_index(context) + 1)
        return ERR_INVALID;
    for (uint64_t index = lo; index < hi; index++) {
        const struct entry *e = &s->log.items[index - s->before_index - 1];
        size += entry_size(e);
        if (index > lo && size > max_size)
            break;
        enum err error = entry_list_add(out, e);
        if (error != OK)
            return error;
    }
    return OK;
}

static enum err snapshot(void *context, struct snapshot *out)
{
    const struct model_storage *s = context;
    if (s->unavailable)
        return ERR_UNSUPPORTED;
    *out = s->snapshot;
    return OK;
}

struct raft_storage model_storage_interface(struct model_storage *s)
{
    return (struct raft_storage){.context = s,
                                 .first_index = first_index,
                                 .last_index = last_index,
                                 .term = term,
                                 .entries = entries,
                                 .snapshot = snapshot};
}

void model_storage_fini(struct model_storage *s)
{
    entry_list_fini(&s->log);
    *s = (struct model_storage){0};
}

void model_storage_append(struct model_storage *s, struct entries list)
{
    for (size_t i = 0; i < list.count; i++) {
        const struct entry *e = &list.items[i];
        if (e->index <= s->before_index)
            continue;
        size_t at = e->index - s->before_index - 1;
        if (at > s->log.count) {
            printf("replay: a gap in the log\n");
            abort();
        }
        entry_list_truncate(&s->log, at);
        if (entry_list_add(&s->log, e) != OK)
            abort();
    }
}

void model_storage_install(struct model_storage *s, const struct snapshot *installed)
{
    s->snapshot = *installed;
    s->before_index = installed->index;
    s->before_term = installed->term;
    entry_list_truncate(&s->log, 0);
}

void model_storage_compact(struct model_storage *s, uint64_t index)
{
    uint64_t kept_term;
    if (term(s, index, &kept_term) != OK)
        abort();
    entry_list_drop(&s->log, index - s->before_index);
    s->before_index = index;
    s->before_term = kept_term;
}
