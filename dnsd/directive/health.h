/* The series of `health`, which CoreDNS exposes whether or not a block names the directive. */
#ifndef WARREN_DNSD_DIRECTIVE_HEALTH_H
#define WARREN_DNSD_DIRECTIVE_HEALTH_H

#include "base/err.h"
#include "base/metrics.h"

struct health_metrics {
    struct metric_series *duration; /* histogram, seconds */
    struct metric_series *failures; /* counter */
};

/* ERR_NO_MEMORY. */
enum err health_metrics_init(struct health_metrics *out, struct metrics *m) MUST_CHECK;

#endif
