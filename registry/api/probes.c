#include "probes.h"

#include "maintenance.h"

#include "base/attr.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* --- health ----------------------------------------------------------------------------------- */

static const char *alarm_name(enum alarm_type type)
{
    return type == ALARM_NOSPACE ? "NOSPACE" : "CORRUPT";
}

/* The first alarm that counts; NULL: none. */
static const char *alarm_of(const struct store_status *s, const struct probe_options *options)
{
    for (size_t i = 0; i < s->alarm_count; i++) {
        const char *name = alarm_name(s->alarms[i].type);
        if (s->alarms[i].type == ALARM_NONE)
            continue;
        if (options->excludes == NULL || !options->excludes(options->context, name))
            return name;
    }
    return NULL;
}

static void add_reason(struct strbuf *out, const char *text)
{
    strbuf_add_str(out, "{\"health\":\"false\",\"reason\":\"");
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            strbuf_add_format(out, "\\%c", c);
        else if (c < ' ')
            strbuf_add_format(out, "\\u%04x", c);
        else
            strbuf_add_char(out, (char)c);
    }
    strbuf_add_str(out, "\"}");
}

bool probe_health(struct strbuf *out, const struct store_status *s,
                  const struct probe_options *options)
{
    const char *alarm = alarm_of(s, options);
    char text[64];
    if (alarm != NULL) {
        (void)snprintf(text, sizeof(text), "ALARM %s", alarm);
        add_reason(out, text);
    } else if (s->failure[0] != '\0') {
        add_reason(out, s->failure);
    } else if (s->leader == 0 && !options->is_serializable) {
        add_reason(out, "RAFT NO LEADER");
    } else {
        strbuf_add_str(out, "{\"health\":\"true\",\"reason\":\"\"}");
        return true;
    }
    return false;
}

void probe_version(struct strbuf *out)
{
    strbuf_add_str(out, "{\"etcdserver\":\"" API_ETCD_VERSION "\",\"etcdcluster\":\"3.5.0\"}");
}

/* --- metrics ---------------------------------------------------------------------------------- */

/* Without memory the series is missing from this scrape. */
static void gauge(struct metrics *m, const char *name, const char *help, double value)
{
    struct metric_series *s = metrics_single(m, METRIC_GAUGE, name, help);
    if (s != NULL)
        metric_set(s, value);
}

static void version_gauge(struct metrics *m)
{
    static const char *const labels[] = {"server_version"};
    static const char *const values[] = {API_ETCD_VERSION};
    struct metric_family *f = metrics_family(
        m, METRIC_GAUGE, "etcd_server_version",
        "Which version is running. 1 for 'server_version' label with current version.", labels,
        ARRAY_COUNT(labels), NULL, 0);
    struct metric_series *s = f != NULL ? metric_series(f, values) : NULL;
    if (s != NULL)
        metric_set(s, 1);
}

static void store_gauges(struct metrics *m, const struct store_status *s)
{
    gauge(m, "etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.",
          s->leader != 0);
    gauge(m, "etcd_server_is_leader",
          "Whether or not this member is a leader. 1 if is, 0 otherwise.",
          s->leader != 0 && s->leader == s->member_id);
    gauge(m, "etcd_server_proposals_committed_total",
          "The total number of consensus proposals committed.", (double)s->raft_index);
    gauge(m, "etcd_server_proposals_applied_total",
          "The total number of consensus proposals applied.", (double)s->raft_applied);
    gauge(m, "etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.",
          (double)s->quota_size);
    gauge(m, "etcd_mvcc_db_total_size_in_bytes",
          "Total size of the underlying database physically allocated in bytes.",
          (double)s->database_size);
    gauge(m, "etcd_mvcc_db_total_size_in_use_in_bytes",
          "Total size of the underlying database logically in use in bytes.",
          (double)s->in_use_size);
    gauge(m, "etcd_debugging_mvcc_keys_total", "Total number of keys.", (double)s->key_count);
    gauge(m, "etcd_debugging_mvcc_watcher_total", "Total number of watchers.",
          (double)s->watch_count);
    gauge(m, "etcd_debugging_mvcc_current_revision", "The current revision of store.",
          (double)s->revision);
    gauge(m, "etcd_debugging_mvcc_compact_revision",
          "The revision of the last compaction in store.", (double)s->compact_revision);
}

/* In seconds. */
static double cpu_time(void)
{
    struct rusage u;
    if (getrusage(RUSAGE_SELF, &u) != 0)
        return 0;
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* In pages; 0 when unknown. */
static long resident_pages(void)
{
    long size = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%ld %ld", &size, &resident) != 2)
        resident = 0;
    fclose(f);
    return resident;
}

static void process_series(struct metrics *m)
{
    struct metric_series *cpu = metrics_single(m, METRIC_COUNTER, "process_cpu_seconds_total",
                                               "Total user and system CPU time spent in seconds.");
    if (cpu != NULL)
        metric_raise(cpu, cpu_time()); /* others raise the same one at the same time */
    gauge(m, "process_resident_memory_bytes", "Resident memory size in bytes.",
          (double)resident_pages() * (double)sysconf(_SC_PAGESIZE));
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        gauge(m, "process_max_fds", "Maximum number of open file descriptors.",
              (double)files.rlim_cur);
}

void probe_metrics(struct strbuf *out, struct metrics *m, const struct store_status *s)
{
    version_gauge(m);
    store_gauges(m, s);
    process_series(m);
    metrics_expose(m, out);
}
