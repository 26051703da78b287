/* Counters, gauges and histograms, exposed as Prometheus text (format 0.0.4).
 *
 * A registry owns families; a family has a fixed list of label names; a series is one combination
 * of label values. Looking a series up takes a lock and is for set-up or rare paths: a hot path
 * keeps the returned series, whose updates are wait-free (relaxed atomics on a cache line of its
 * own). Series live as long as their registry
 * unless they are removed. Exposition is sorted by family and by label values,
 * so that two scrapes compare. */
#ifndef WARREN_BASE_METRICS_H
#define WARREN_BASE_METRICS_H

#include "base/attr.h"
#include "base/err.h"
#include "base/strbuf.h"

#include <stddef.h>
#include <stdint.h>

enum metric_kind {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
};

enum {
    METRIC_MAX_LABELS = 8,
    METRIC_MAX_BUCKETS = 32, /* without +Inf */
    METRIC_MAX_SERIES =
        20000, /* of one family; beyond it a lookup gives the family's overflow series */
};

/* Every label of a family's overflow series has this value. */
#define METRIC_OVERFLOW_VALUE "overflow"

struct metrics;
struct metric_family;
struct metric_series;

enum err metrics_create(struct metrics **out) MUST_CHECK;
void metrics_destroy(struct metrics *m);

/* A family by name; the same name again gives the same family (kind and labels must agree: a bug
 * otherwise). LABELS and BUCKETS are copied; BUCKETS are upper bounds in rising order and only for
 * histograms. NULL without memory. */
struct metric_family *metrics_family(struct metrics *m, enum metric_kind kind, const char *name,
                                     const char *help, const char *const *labels,
                                     size_t label_count, const double *buckets,
                                     size_t bucket_count) MUST_CHECK;
/* The series with these label values (copied; bytes that are no UTF-8 become U+FFFD), made on first
 * use. NULL without memory. */
struct metric_series *metric_series(struct metric_family *f, const char *const *values) MUST_CHECK;

/* The only series of a counter or gauge without labels: both of the above at once. */
struct metric_series *metrics_single(struct metrics *m, enum metric_kind kind, const char *name,
                                     const char *help) MUST_CHECK;

void metric_add(struct metric_series *s, double amount); /* counter, gauge */
void metric_inc(struct metric_series *s);                /* counter: the wait-free integer path */
void metric_set(struct metric_series *s, double value);  /* gauge */
/* A counter that is kept elsewhere: raises it to VALUE, or leaves it where it is higher. Threads
 * that raise one at once do not add up. Such a counter takes no metric_add. */
void metric_raise(struct metric_series *s, double value);
void metric_observe(struct metric_series *s, double value); /* histogram */
/* The value of a counter or gauge; how many values a histogram has seen. */
double metric_value(const struct metric_series *s);
/* Removes one series, which no thread may still hold; NULL is fine. A family's overflow series
 * stays, for others may hold it. */
void metric_series_remove(struct metric_series *s);
/* Removes the family's series (a reload re-labels them). No thread may still hold one. */
void metric_family_clear(struct metric_family *f);

/* Appends the text of all families that have series. */
void metrics_expose(struct metrics *m, struct strbuf *out);

#endif
