/* The bodies of the HTTP/1.1 side: what probes and scrapers read. */
#ifndef WARREN_REGISTRY_API_PROBES_H
#define WARREN_REGISTRY_API_PROBES_H

#include "base/metrics.h"
#include "base/strbuf.h"
#include "registry/store.h"

#include <stdbool.h>

struct probe_options {
    bool is_serializable;                               /* no leader is needed */
    bool (*excludes)(void *context, const char *alarm); /* NULL: no alarm is to be ignored */
    void *context;
};

/* etcd's {"health":...,"reason":...}; returns whether healthy. */
bool probe_health(struct strbuf *out, const struct store_status *s,
                  const struct probe_options *options);
void probe_version(struct strbuf *out);
/* Refreshes the series that follow the store and the process, and appends all metrics. */
void probe_metrics(struct strbuf *out, struct metrics *m, const struct store_status *s);

#endif
