/* The process_* families, read from /proc when they are asked for. */
#ifndef WARREN_DNSD_DIRECTIVE_PROCESS_METRICS_H
#define WARREN_DNSD_DIRECTIVE_PROCESS_METRICS_H

#include "base/err.h"
#include "base/metrics.h"

struct process_metrics {
    struct metric_series *cpu_seconds; /* counter */
    struct metric_series *open_fds;
    struct metric_series *max_fds;
    struct metric_series *virtual_memory;
    struct metric_series *virtual_memory_max;
    struct metric_series *resident_memory;
    struct metric_series *start_time;
};

/* ERR_NO_MEMORY. */
enum err process_metrics_init(struct process_metrics *out, struct metrics *m) MUST_CHECK;
/* Sets the series to what holds now; what /proc does not tell keeps its value. One thread at a
 * time. */
void process_metrics_update(const struct process_metrics *p);

#endif
