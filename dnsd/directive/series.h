/* Metric series by server: what a directive counts is labelled with the address that was asked,
 * which is known only when a query comes. The first event of a kind on a server looks the series
 * up; every later one finds it without a lock. As in CoreDNS, a series appears with its first
 * event.
 *
 * Entries are only ever added, at the head, and live as long as the table. */
#ifndef WARREN_DNSD_DIRECTIVE_SERIES_H
#define WARREN_DNSD_DIRECTIVE_SERIES_H

#include "base/err.h"
#include "base/metrics.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

struct series_entry;

struct series_table {
    /* Makes the series INDEX for SERVER; NULL without memory. */
    struct metric_series *(*make)(void *context, const char *server, size_t index);
    void *context;
    size_t count; /* series per server */
    _Atomic(struct series_entry *) head;
    pthread_mutex_t lock; /* adding */
};

void series_table_init(struct series_table *t, size_t count,
                       struct metric_series *(*make)(void *, const char *, size_t), void *context);
void series_table_fini(struct series_table *t);
/* NULL without memory. Any thread. */
struct metric_series *series_get(struct series_table *t, const char *server, size_t index);

/* Counts one event; without memory for the series it goes uncounted. */
static inline void series_inc(struct series_table *t, const char *server, size_t index)
{
    struct metric_series *s = series_get(t, server, index);
    if (s != NULL)
        metric_inc(s);
}

#endif
