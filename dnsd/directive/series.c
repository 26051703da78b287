#include "dnsd/directive/series.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct series_entry {
    struct series_entry *next;
    char *server;
    _Atomic(struct metric_series *) series[];
};

void series_table_init(struct series_table *t, size_t count,
                       struct metric_series *(*make)(void *, const char *, size_t), void *context)
{
    *t = (struct series_table){.make = make, .context = context, .count = count};
    pthread_mutex_init(&t->lock, NULL);
}

void series_table_fini(struct series_table *t)
{
    struct series_entry *entry = atomic_load(&t->head);
    while (entry != NULL) {
        struct series_entry *next = entry->next;
        free(entry->server);
        free(entry);
        entry = next;
    }
    pthread_mutex_destroy(&t->lock);
}

static struct series_entry *entry_find(struct series_table *t, const char *server)
{
    struct series_entry *entry = atomic_load_explicit(&t->head, memory_order_acquire);
    while (entry != NULL && strcmp(entry->server, server) != 0)
        entry = entry->next;
    return entry;
}

static struct series_entry *entry_create(struct series_table *t, const char *server)
{
    struct series_entry *entry = calloc(1, sizeof(*entry) + t->count * sizeof(entry->series[0]));
    char *copy = strdup(server);
    if (entry == NULL || copy == NULL) {
        free(entry);
        free(copy);
        return NULL;
    }
    entry->server = copy;
    entry->next = atomic_load(&t->head);
    return entry;
}

static struct series_entry *entry_add(struct series_table *t, const char *server)
{
    pthread_mutex_lock(&t->lock);
    struct series_entry *entry = entry_find(t, server); /* another thread may have been first */
    if (entry == NULL) {
        entry = entry_create(t, server);
        if (entry != NULL)
            atomic_store_explicit(&t->head, entry, memory_order_release);
    }
    pthread_mutex_unlock(&t->lock);
    return entry;
}

struct metric_series *series_get(struct series_table *t, const char *server, size_t index)
{
    assert(index < t->count);
    struct series_entry *entry = entry_find(t, server);
    if (entry == NULL)
        entry = entry_add(t, server);
    if (entry == NULL)
        return NULL;
    struct metric_series *series =
        atomic_load_explicit(&entry->series[index], memory_order_acquire);
    if (series == NULL) {
        series = t->make(t->context, server, index); /* the registry gives both racers the same */
        atomic_store_explicit(&entry->series[index], series, memory_order_release);
    }
    return series;
}
