#include "counters.h"

#include "base/attr.h"
#include "services.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_SIZE = 64, /* of a service or a method */
};

/* "/service/Name" in two strings. */
static void split_path(const char *path, char service[NAME_SIZE], char name[NAME_SIZE])
{
    const char *slash = strrchr(path, '/');
    size_t size = (size_t)(slash - path) - 1;
    assert(size < NAME_SIZE && strlen(slash + 1) < NAME_SIZE);
    memcpy(service, path + 1, size);
    service[size] = '\0';
    strcpy(name, slash + 1);
}

static const char *type_of(const struct method *m)
{
    return m->is_stream ? "bidi_stream" : "unary";
}

static enum err init_methods(struct counters *c, struct metric_family *started)
{
    for (size_t i = 0; i < method_count(); i++) {
        char service[NAME_SIZE], name[NAME_SIZE];
        split_path(method_at(i)->path, service, name);
        const char *values[] = {name, service, type_of(method_at(i))};
        c->methods[i].started = metric_series(started, values);
        if (c->methods[i].started == NULL)
            return ERR_NO_MEMORY;
    }
    return OK;
}

enum err counters_init(struct counters *c, struct metrics *m)
{
    static const char *const labels[] = {"grpc_method", "grpc_service", "grpc_type", "grpc_code"};
    struct counters made = {
        .metrics = m,
        .received_size =
            metrics_single(m, METRIC_COUNTER, "etcd_network_client_grpc_received_bytes_total",
                           "The total number of bytes received from grpc clients."),
        .sent_size = metrics_single(m, METRIC_COUNTER, "etcd_network_client_grpc_sent_bytes_total",
                                    "The total number of bytes sent to grpc clients."),
        .connections = metrics_single(m, METRIC_GAUGE, "warren_api_connections",
                                      "HTTP/2 connections of clients that are open."),
        .watch_streams = metrics_single(m, METRIC_GAUGE, "etcd_debugging_mvcc_watch_stream_total",
                                        "Total number of watch streams."),
        .goaways =
            metrics_single(m, METRIC_COUNTER, "warren_api_goaways_total",
                           "Connections ended because their client broke a rule or a bound."),
        .resets = metrics_single(m, METRIC_COUNTER, "warren_api_resets_total",
                                 "Streams reset because their client broke a rule or a bound."),
        .methods = calloc(method_count(), sizeof(struct method_counters)),
    };
    struct metric_family *started = metrics_family(m, METRIC_COUNTER, "grpc_server_started_total",
                                                   "Total number of RPCs started on the server.",
                                                   labels, ARRAY_COUNT(labels) - 1, NULL, 0);
    made.handled = metrics_family(
        m, METRIC_COUNTER, "grpc_server_handled_total",
        "Total number of RPCs completed on the server, regardless of success or failure.", labels,
        ARRAY_COUNT(labels), NULL, 0);
    *c = made;
    if (made.received_size == NULL || made.sent_size == NULL || made.connections == NULL ||
        made.watch_streams == NULL || made.goaways == NULL || made.resets == NULL ||
        made.methods == NULL || started == NULL || made.handled == NULL ||
        init_methods(c, started) != OK) {
        counters_fini(c);
        return ERR_NO_MEMORY;
    }
    return OK;
}

void counters_fini(struct counters *c)
{
    free(c->methods);
    *c = (struct counters){0};
}

void counters_started(struct counters *c, size_t method)
{
    metric_inc(c->methods[method].started);
}

static const char *code_name(enum grpc_code code)
{
    static const char *const names[COUNTERS_CODES] = {
        "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
        "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
        "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
        "DataLoss", "Unauthenticated"};
    return names[code];
}

void counters_handled(struct counters *c, size_t method, enum grpc_code code)
{
    struct metric_series **s = &c->methods[method].handled[code];
    if (*s == NULL) {
        char service[NAME_SIZE], name[NAME_SIZE];
        split_path(method_at(method)->path, service, name);
        const char *values[] = {name, service, type_of(method_at(method)), code_name(code)};
        *s = metric_series(c->handled, values);
    }
    if (*s != NULL)
        metric_inc(*s);
}

void counters_add_received(struct counters *c, size_t size)
{
    metric_add(c->received_size, (double)size);
}

void counters_add_sent(struct counters *c, size_t size)
{
    metric_add(c->sent_size, (double)size);
}
