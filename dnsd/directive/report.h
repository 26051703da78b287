/* What is counted of every query, by server and zone: the coredns_dns_* families (CoreDNS's
 * plugin/metrics/vars).
 *
 * The hot path takes no lock: a report_table finds a (server, zone) pair's series by pointer in a
 * chained hash whose entries are only ever added, and each series is looked up in the registry
 * once. A series appears with its first event. */
#ifndef WARREN_DNSD_DIRECTIVE_REPORT_H
#define WARREN_DNSD_DIRECTIVE_REPORT_H

#include "base/err.h"
#include "base/metrics.h"
#include "dnsd/query.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct report_families {
    struct metric_family *requests;
    struct metric_family *duration;
    struct metric_family *request_size;
    struct metric_family *response_size;
    struct metric_family *do_requests;
    struct metric_family *responses;
};

/* ERR_NO_MEMORY. */
enum err report_families_init(struct report_families *out, struct metrics *m) MUST_CHECK;

enum {
    REPORT_BUCKETS = 64
};

struct report_scope;

struct report_table {
    const struct report_families *families;
    _Atomic(struct report_scope *) buckets[REPORT_BUCKETS];
    pthread_mutex_t lock; /* adding */
};

void report_table_init(struct report_table *t, const struct report_families *families);
void report_table_fini(struct report_table *t);

/* One query: ZONE and q->server are told apart by address and must live as long as the table, so
 * must q->plugin. Sizes are those of messages without compression. Without memory for a series its
 * event goes uncounted. Any thread. */
void report_query(struct report_table *t, const struct query *q, const char *zone, int rcode,
                  const char *plugin, size_t response_size, int64_t elapsed_ns);

#endif
