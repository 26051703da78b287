#include "cpu.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_file(char *text, size_t capacity, pid_t pid, const char *tid, const char *name)
{
    char path[96];
    (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/%s", (int)pid, tid, name);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t size = fread(text, 1, capacity - 1, file);
    (void)fclose(file);
    text[size] = '\0';
    return size != 0;
}

static bool read_thread(struct cpu_thread *thread, pid_t pid, const char *tid)
{
    char text[512];
    *thread = (struct cpu_thread){.tid = atoi(tid)};
    if (!read_file(text, sizeof text, pid, tid, "schedstat") ||
        sscanf(text, "%" SCNu64, &thread->run_ns) != 1)
        return false;
    if (!read_file(text, sizeof text, pid, tid, "stat"))
        return false;
    /* The name stands in parentheses and may hold any byte; the rest follows its last one. */
    const char *open = strchr(text, '('), *close = strrchr(text, ')');
    if (open == NULL || close == NULL)
        return false;
    (void)snprintf(thread->name, sizeof thread->name, "%.*s", (int)(close - open - 1), open + 1);
    return sscanf(close + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                  &thread->user_ticks, &thread->system_ticks) == 2;
}

void cpu_sample_take(struct cpu_sample *sample, const pid_t *pids, size_t pid_count)
{
    sample->count = 0;
    for (size_t i = 0; i < pid_count; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/task", (int)pids[i]);
        DIR *dir = opendir(path);
        if (dir == NULL)
            continue;
        const struct dirent *entry;
        while ((entry = readdir(dir)) != NULL && sample->count < CPU_MAX_THREADS)
            if (entry->d_name[0] != '.' &&
                read_thread(&sample->threads[sample->count], pids[i], entry->d_name))
                sample->count++;
        (void)closedir(dir);
    }
}

static const struct cpu_thread *find(const struct cpu_sample *sample, pid_t tid)
{
    for (size_t i = 0; i < sample->count; i++)
        if (sample->threads[i].tid == tid)
            return &sample->threads[i];
    return NULL;
}

/* AFTER minus BEFORE, threads of one name as one. */
static struct cpu_sample difference(const struct cpu_sample *before, const struct cpu_sample *after)
{
    struct cpu_sample sum = {0};
    for (size_t i = 0; i < after->count; i++) {
        const struct cpu_thread *now = &after->threads[i], *then = find(before, now->tid);
        struct cpu_thread *to = NULL;
        for (size_t j = 0; j < sum.count && to == NULL; j++)
            if (strcmp(sum.threads[j].name, now->name) == 0)
                to = &sum.threads[j];
        if (to == NULL) {
            to = &sum.threads[sum.count++];
            memcpy(to->name, now->name, sizeof to->name);
        }
        to->run_ns += now->run_ns - (then != NULL ? then->run_ns : 0);
        to->user_ticks += now->user_ticks - (then != NULL ? then->user_ticks : 0);
        to->system_ticks += now->system_ticks - (then != NULL ? then->system_ticks : 0);
    }
    return sum;
}

static void print_json_string(const char *text)
{
    putchar('"');
    for (; *text != '\0'; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < ' ')
            putchar('?');
        else
            putchar(*text);
    putchar('"');
}

uint64_t cpu_report(const struct cpu_sample *before, const struct cpu_sample *after, uint64_t ops,
                    double *kernel_share)
{
    struct cpu_sample sum = difference(before, after);
    uint64_t total_ns = 0, user = 0, system = 0;
    bool first = true;
    for (size_t i = 0; i < sum.count; i++) {
        const struct cpu_thread *t = &sum.threads[i];
        total_ns += t->run_ns;
        user += t->user_ticks;
        system += t->system_ticks;
        if (t->run_ns == 0 || ops == 0)
            continue;
        if (!first)
            putchar(',');
        first = false;
        print_json_string(t->name);
        printf(":%.3f", (double)t->run_ns / 1e3 / (double)ops);
    }
    *kernel_share = user + system != 0 ? (double)system / (double)(user + system) : -1;
    return total_ns;
}
