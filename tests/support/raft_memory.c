#include "tests/support/raft_memory.h"

#include <assert.h>
#include <stdlib.h>

void raft_memory_init(struct raft_memory *m)
{
    *m = (struct raft_memory){0};
}

void raft_memory_fini(struct raft_memory *m)
{
    entry_list_fini(&m->entries);
    free(m->history);
    *m = (struct raft_memory){0};
}

static uint64_t last_of(const struct raft_memory *m)
{
    return m->before + m->entries.count;
}

static uint64_t get_first(void *context)
{
    const struct raft_memory *m = context;
    return m->before + 1;
}

static uint64_t get_last(void *context)
{
    return last_of(context);
}

static enum err get_term(void *context, uint64_t index, uint64_t *term)
{
    const struct raft_memory *m = context;
    if (m->fail != OK)
        return m->fail;
    if (index < m->before)
        return ERR_NOT_FOUND;
    if (index > last_of(m))
        return ERR_INVALID;
    *term = index == m->before ? m->before_term : m->entries.items[index - m->before - 1].term;
    return OK;
}

static enum err get_entries(void *context, uint64_t lo, uint64_t hi, uint64_t max_size,
                            struct entry_list *out)
{
    const struct raft_memory *m = context;
    uint64_t size = 0;
    if (m->fail != OK)
        return m->fail;
    if (lo <= m->before)
        return ERR_NOT_FOUND;
    if (hi > last_of(m) + 1)
        return ERR_INVALID;
    for (uint64_t index = lo; index < hi; index++) {
        const struct entry *e = &m->entries.items[index - m->before - 1];
        size += entry_size(e);
        if (size > max_size && index > lo)
            break;
        enum err error = entry_list_add(out, e);
        if (error != OK)
            return error;
    }
    return OK;
}

static enum err get_snapshot(void *context, struct snapshot *out)
{
    const struct raft_memory *m = context;
    if (m->fail != OK)
        return m->fail;
    if (m->history_count == 0)
        return ERR_UNSUPPORTED;
    *out = m->history[m->history_count - 1];
    return OK;
}

struct raft_storage raft_memory_storage(struct raft_memory *m)
{
    return (struct raft_storage){.context = m,
                                 .first_index = get_first,
                                 .last_index = get_last,
                                 .term = get_term,
                                 .entries = get_entries,
                                 .snapshot = get_snapshot};
}

bool raft_memory_append(struct raft_memory *m, struct entries more)
{
    while (more.count > 0 && more.items[0].index <= m->before) {
        more.items++;
        more.count--;
    }
    if (more.count == 0)
        return true;
    assert(more.items[0].index <= last_of(m) + 1);
    if (entry_list_reserve(&m->entries, more.count) != OK)
        return false;
    entry_list_truncate(&m->entries, more.items[0].index - m->before - 1);
    return entry_list_add_all(&m->entries, more) == OK;
}

bool raft_memory_install(struct raft_memory *m, const struct snapshot *s)
{
    if (m->installed.index != 0 && m->installed.index >= s->index)
        return false;
    entry_list_fini(&m->entries);
    m->installed = *s;
    m->before = s->index;
    m->before_term = s->term;
    return true;
}

bool raft_memory_compact(struct raft_memory *m, uint64_t index)
{
    if (index <= m->before)
        return false;
    assert(index <= last_of(m));
    uint64_t term = m->entries.items[index - m->before - 1].term;
    entry_list_drop(&m->entries, index - m->before);
    m->before = index;
    m->before_term = term;
    return true;
}

void raft_memory_add_history(struct raft_memory *m, const struct snapshot *s)
{
    m->history = reallocarray(m->history, m->history_count + 1, sizeof(*m->history));
    assert(m->history != NULL);
    m->history[m->history_count++] = *s;
}
