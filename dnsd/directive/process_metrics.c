#include "dnsd/directive/process_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum err process_metrics_init(struct process_metrics *out, struct metrics *m)
{
    struct process_metrics p = {
        .cpu_seconds = metrics_single(m, METRIC_COUNTER, "process_cpu_seconds_total",
                                      "Total user and system CPU time spent in seconds."),
        .open_fds =
            metrics_single(m, METRIC_GAUGE, "process_open_fds", "Number of open file descriptors."),
        .max_fds = metrics_single(m, METRIC_GAUGE, "process_max_fds",
                                  "Maximum number of open file descriptors."),
        .virtual_memory = metrics_single(m, METRIC_GAUGE, "process_virtual_memory_bytes",
                                         "Virtual memory size in bytes."),
        .virtual_memory_max =
            metrics_single(m, METRIC_GAUGE, "process_virtual_memory_max_bytes",
                           "Maximum amount of virtual memory available in bytes."),
        .resident_memory = metrics_single(m, METRIC_GAUGE, "process_resident_memory_bytes",
                                          "Resident memory size in bytes."),
        .start_time = metrics_single(m, METRIC_GAUGE, "process_start_time_seconds",
                                     "Start time of the process since unix epoch in seconds."),
    };
    if (p.cpu_seconds == NULL || p.open_fds == NULL || p.max_fds == NULL ||
        p.virtual_memory == NULL || p.virtual_memory_max == NULL || p.resident_memory == NULL ||
        p.start_time == NULL)
        return ERR_NO_MEMORY;
    *out = p;
    return OK;
}

/* The first SIZE - 1 octets of a file of /proc, as a string; false when it cannot be read. */
static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    if (n <= 0)
        return false;
    out[n] = '\0';
    return true;
}

/* Seconds since the epoch at which the machine started; 0 when unknown. */
static double boot_time(void)
{
    char line[256];
    double seconds = 0;
    FILE *f = fopen("/proc/stat", "re");
    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "btime ", 6) == 0)
            seconds = strtod(line + 6, NULL);
    fclose(f);
    return seconds;
}

/* proc(5): the fields of /proc/self/stat by number, from the third on: the second may hold
 * anything. */
static void update_from_stat(const struct process_metrics *p)
{
    enum {
        UTIME = 14,
        STIME = 15,
        STARTTIME = 22,
        VSIZE = 23,
        RSS = 24,
        LAST = RSS
    };
    char text[2048];
    double fields[LAST + 1] = {0};
    if (!read_text("/proc/self/stat", text, sizeof(text)))
        return;
    char *at = strrchr(text, ')');
    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return;
    at += 3; /* behind the state, field 3 */
    for (int i = 4; i <= LAST; i++)
        fields[i] = strtod(at, &at);
    double ticks = (double)sysconf(_SC_CLK_TCK);
    metric_raise(p->cpu_seconds, (fields[UTIME] + fields[STIME]) / ticks);
    metric_set(p->virtual_memory, fields[VSIZE]);
    metric_set(p->resident_memory, fields[RSS] * (double)sysconf(_SC_PAGESIZE));
    double boot = boot_time();
    if (boot > 0)
        metric_set(p->start_time, boot + fields[STARTTIME] / ticks);
}

static void update_fds(const struct process_metrics *p)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return;
    int count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    metric_set(p->open_fds, count - 3); /* ".", "..", and the folder's own */
}

static void update_limits(const struct process_metrics *p)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_set(p->max_fds, (double)limit.rlim_cur);
    if (getrlimit(RLIMIT_AS, &limit) == 0) /* none is 2^64 - 1, as Prometheus's clients have it */
        metric_set(p->virtual_memory_max, (double)limit.rlim_cur);
}

void process_metrics_update(const struct process_metrics *p)
{
    update_from_stat(p);
    update_fds(p);
    update_limits(p);
}
