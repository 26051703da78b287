/* The API's own metrics, under etcd's names, so that what watches an etcd can watch this. */
#ifndef WARREN_REGISTRY_API_COUNTERS_H
#define WARREN_REGISTRY_API_COUNTERS_H

#include "base/err.h"
#include "base/metrics.h"
#include "registry/store.h"
#include "registry/verdict.h"

#include <stddef.h>

enum {
    COUNTERS_CODES = 17, /* gRPC's status codes */
};

/* Of one gRPC method. */
struct method_counters {
    struct metric_series *started;
    struct metric_series *handled[COUNTERS_CODES]; /* made when first needed */
};

struct counters {
    struct metrics *metrics;
    struct metric_family *handled;
    struct method_counters *methods; /* by the method's index */
    struct metric_series *received_size, *sent_size;
    struct metric_series *connections, *watch_streams, *goaways, *resets;
};

enum err counters_init(struct counters *c, struct metrics *m) MUST_CHECK;
void counters_fini(struct counters *c);
void counters_started(struct counters *c, size_t method);
void counters_add_received(struct counters *c, size_t size);
void counters_add_sent(struct counters *c, size_t size);
void counters_handled(struct counters *c, size_t method, enum grpc_code code);

#endif
