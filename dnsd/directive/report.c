#include "dnsd/directive/report.h"

#include "dnsd/gotext.h"

#include <stdlib.h>

enum {
    PROTO_COUNT = 2,
    FAMILY_COUNT = 2,
    TYPE_COUNT = 19, /* of type_index, "other" included */
};

/* The types with a label of their own; every other is "other", so that a client cannot make series.
 */
static const uint8_t type_index[256] = {
    [DNS_TYPE_A] = 1,       [DNS_TYPE_NS] = 2,     [DNS_TYPE_CNAME] = 3,  [DNS_TYPE_SOA] = 4,
    [DNS_TYPE_PTR] = 5,     [DNS_TYPE_MX] = 6,     [DNS_TYPE_TXT] = 7,    [DNS_TYPE_AAAA] = 8,
    [DNS_TYPE_SRV] = 9,     [DNS_TYPE_DS] = 10,    [DNS_TYPE_RRSIG] = 11, [DNS_TYPE_NSEC] = 12,
    [DNS_TYPE_DNSKEY] = 13, [50 /* NSEC3 */] = 14, [65 /* HTTPS */] = 15, [DNS_TYPE_IXFR] = 16,
    [DNS_TYPE_AXFR] = 17,   [DNS_TYPE_ANY] = 18,
};

static const char *const proto_text[PROTO_COUNT] = {[QUERY_UDP] = "udp", [QUERY_TCP] = "tcp"};
static const char *const family_text[FAMILY_COUNT] = {"1", "2"};

typedef _Atomic(struct metric_series *) cached_series;

struct response_entry {
    struct response_entry *next;
    int rcode;
    const char *plugin;
    struct metric_series *series;
};

struct report_scope {
    struct report_scope *next;
    const char *server;
    const char *zone;
    cached_series duration;
    cached_series do_requests;
    cached_series request_size[PROTO_COUNT];
    cached_series response_size[PROTO_COUNT];
    cached_series requests[PROTO_COUNT][FAMILY_COUNT][TYPE_COUNT];
    /* Few: pairs of an RCODE and a handler that may give it. */
    _Atomic(struct response_entry *) responses;
};

/* --- families -------------------------------------------------------------------------------- */

enum err report_families_init(struct report_families *out, struct metrics *m)
{
    static const char *const labels[] = {"server", "zone", "view"};
    static const char *const proto_labels[] = {"server", "zone", "view", "proto"};
    static const char *const request_labels[] = {"server", "zone",   "view",
                                                 "proto",  "family", "type"};
    static const char *const response_labels[] = {"server", "zone", "view", "rcode", "plugin"};
    static const double seconds[] = {0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032,
                                     0.064,   0.128,  0.256, 0.512, 1.024, 2.048, 4.096, 8.192};
    static const double bytes[] = {0,    100,  200,  300,   400,   511,   1023,
                                   2047, 4095, 8291, 16000, 32000, 48000, 64000};
    struct report_families f = {
        .requests = metrics_family(m, METRIC_COUNTER, "coredns_dns_requests_total",
                                   "Counter of DNS requests made per zone, protocol and family.",
                                   request_labels, ARRAY_COUNT(request_labels), NULL, 0),
        .duration = metrics_family(m, METRIC_HISTOGRAM, "coredns_dns_request_duration_seconds",
                                   "Histogram of the time (in seconds) each request took per zone.",
                                   labels, ARRAY_COUNT(labels), seconds, ARRAY_COUNT(seconds)),
        .request_size = metrics_family(
            m, METRIC_HISTOGRAM, "coredns_dns_request_size_bytes",
            "Size of the EDNS0 UDP buffer in bytes (64K for TCP) per zone and protocol.",
            proto_labels, ARRAY_COUNT(proto_labels), bytes, ARRAY_COUNT(bytes)),
        .response_size = metrics_family(m, METRIC_HISTOGRAM, "coredns_dns_response_size_bytes",
                                        "Size of the returned response in bytes.", proto_labels,
                                        ARRAY_COUNT(proto_labels), bytes, ARRAY_COUNT(bytes)),
        .do_requests = metrics_family(m, METRIC_COUNTER, "coredns_dns_do_requests_total",
                                      "Counter of DNS requests with DO bit set per zone.", labels,
                                      ARRAY_COUNT(labels), NULL, 0),
        .responses = metrics_family(m, METRIC_COUNTER, "coredns_dns_responses_total",
                                    "Counter of response status codes.", response_labels,
                                    ARRAY_COUNT(response_labels), NULL, 0),
    };
    if (f.requests == NULL || f.duration == NULL || f.request_size == NULL ||
        f.response_size == NULL || f.do_requests == NULL || f.responses == NULL)
        return ERR_NO_MEMORY;
    *out = f;
    return OK;
}

/* --- scopes ---------------------------------------------------------------------------------- */

void report_table_init(struct report_table *t, const struct report_families *families)
{
    t->families = families;
    for (size_t i = 0; i < REPORT_BUCKETS; i++)
        atomic_init(&t->buckets[i], NULL);
    pthread_mutex_init(&t->lock, NULL);
}

static void scope_free(struct report_scope *scope)
{
    struct response_entry *e = atomic_load(&scope->responses);
    while (e != NULL) {
        struct response_entry *next = e->next;
        free(e);
        e = next;
    }
    free(scope);
}

void report_table_fini(struct report_table *t)
{
    for (size_t i = 0; i < REPORT_BUCKETS; i++) {
        struct report_scope *scope = atomic_load(&t->buckets[i]);
        while (scope != NULL) {
            struct report_scope *next = scope->next;
            scope_free(scope);
            scope = next;
        }
    }
    pthread_mutex_destroy(&t->lock);
}

static _Atomic(struct report_scope *) *bucket_of(struct report_table *t, const char *server,
                                                 const char *zone)
{
    /* Multiplication spreads the addresses; their low bits say little. */
    uint64_t key = (uint64_t)(uintptr_t)server * 31 + (uint64_t)(uintptr_t)zone;
    return &t->buckets[key * UINT64_C(0x9e3779b97f4a7c15) >> 58];
}

static struct report_scope *scope_find(_Atomic(struct report_scope *) *bucket, const char *server,
                                       const char *zone)
{
    struct report_scope *s = atomic_load_explicit(bucket, memory_order_acquire);
    while (s != NULL && (s->server != server || s->zone != zone))
        s = s->next;
    return s;
}

static struct report_scope *scope_add(struct report_table *t,
                                      _Atomic(struct report_scope *) *bucket, const char *server,
                                      const char *zone)
{
    pthread_mutex_lock(&t->lock);
    struct report_scope *s = scope_find(bucket, server, zone); /* somebody may have been faster */
    if (s == NULL) {
        s = calloc(1, sizeof(*s));
        if (s != NULL) {
            s->server = server;
            s->zone = zone;
            s->next = atomic_load(bucket);
            atomic_store_explicit(bucket, s, memory_order_release);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return s;
}

/* --- series ---------------------------------------------------------------------------------- */

/* The slow path of a first event: two threads that race for it get the same series. */
static struct metric_series *look_up(cached_series *cache, struct metric_family *f,
                                     const char *const *values)
{
    struct metric_series *s = metric_series(f, values);
    atomic_store_explicit(cache, s, memory_order_release);
    return s;
}

static struct metric_series *scope_series(cached_series *cache, struct metric_family *f,
                                          const struct report_scope *scope, const char *proto)
{
    struct metric_series *s = atomic_load_explicit(cache, memory_order_acquire);
    if (s != NULL)
        return s;
    const char *values[] = {scope->server, scope->zone, "", proto};
    return look_up(cache, f, values);
}

static struct metric_series *requests_series(struct report_scope *scope, struct metric_family *f,
                                             const struct query *q)
{
    unsigned family = q->remote.addr.family == IP_V6 ? 1 : 0;
    uint16_t type = query_type(q);
    unsigned index = type < ARRAY_COUNT(type_index) ? type_index[type] : 0;
    cached_series *cache = &scope->requests[q->proto][family][index];
    struct metric_series *s = atomic_load_explicit(cache, memory_order_acquire);
    if (s != NULL)
        return s;
    char text[DNS_MNEMONIC_SIZE];
    const char *values[] = {scope->server,
                            scope->zone,
                            "",
                            proto_text[q->proto],
                            family_text[family],
                            index != 0 ? dns_type_text(type, text) : "other"};
    return look_up(cache, f, values);
}

static struct response_entry *response_find(const struct report_scope *scope, int rcode,
                                            const char *plugin)
{
    struct response_entry *e = atomic_load_explicit(&scope->responses, memory_order_acquire);
    while (e != NULL && (e->rcode != rcode || e->plugin != plugin))
        e = e->next;
    return e;
}

static struct metric_series *response_add(struct report_table *t, struct report_scope *scope,
                                          int rcode, const char *plugin)
{
    char text[DNS_MNEMONIC_SIZE];
    const char *values[] = {scope->server, scope->zone, "", dns_rcode_text(rcode, text), plugin};
    struct metric_series *series = metric_series(t->families->responses, values);
    if (series == NULL)
        return NULL;
    pthread_mutex_lock(&t->lock);
    if (response_find(scope, rcode, plugin) == NULL) {
        struct response_entry *e = malloc(sizeof(*e));
        if (e != NULL) {
            *e = (struct response_entry){atomic_load(&scope->responses), rcode, plugin, series};
            atomic_store_explicit(&scope->responses, e, memory_order_release);
        }
    }
    pthread_mutex_unlock(&t->lock);
    return series;
}

static struct metric_series *responses_series(struct report_table *t, struct report_scope *scope,
                                              int rcode, const char *plugin)
{
    const struct response_entry *e = response_find(scope, rcode, plugin);
    return e != NULL ? e->series : response_add(t, scope, rcode, plugin);
}

/* --- the report ------------------------------------------------------------------------------ */

static void count(struct metric_series *s)
{
    if (s != NULL)
        metric_inc(s);
}

static void observe(struct metric_series *s, double value)
{
    if (s != NULL)
        metric_observe(s, value);
}

void report_query(struct report_table *t, const struct query *q, const char *zone, int rcode,
                  const char *plugin, size_t response_size, int64_t elapsed_ns)
{
    const struct report_families *f = t->families;
    _Atomic(struct report_scope *) *bucket = bucket_of(t, q->server, zone);
    struct report_scope *scope = scope_find(bucket, q->server, zone);
    if (scope == NULL)
        scope = scope_add(t, bucket, q->server, zone);
    if (scope == NULL)
        return;
    const char *proto = proto_text[q->proto];
    if (query_do(q))
        count(scope_series(&scope->do_requests, f->do_requests, scope, proto));
    count(requests_series(scope, f->requests, q));
    observe(scope_series(&scope->duration, f->duration, scope, proto),
            (double)elapsed_ns / (double)DURATION_SECOND);
    observe(scope_series(&scope->response_size[q->proto], f->response_size, scope, proto),
            (double)response_size);
    observe(scope_series(&scope->request_size[q->proto], f->request_size, scope, proto),
            (double)dns_request_size(&q->request));
    count(responses_series(t, scope, rcode, plugin));
}
