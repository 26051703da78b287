/* CPU time that processes have used, by thread, from /proc/PID/task/TID/schedstat (nanoseconds the
 * scheduler saw the thread run; time stolen from it or waiting does not count). */
#ifndef WARREN_TESTS_BENCH_DNS_CPU_H
#define WARREN_TESTS_BENCH_DNS_CPU_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CPU_MAX_THREADS 256

struct cpu_thread {
    pid_t tid;
    char name[16];
    uint64_t run_ns;
    uint64_t user_ticks;
    uint64_t system_ticks;
};

struct cpu_sample {
    struct cpu_thread threads[CPU_MAX_THREADS];
    size_t count;
};

/* Reads all threads of PIDS; one that ended is left out. */
void cpu_sample_take(struct cpu_sample *sample, const pid_t *pids, size_t pid_count);

/* Prints "name":us_per_op,... summed by thread name, and returns the sum of all in nanoseconds.
 * KERNEL_SHARE: of the ticks, those spent in the kernel; -1 without ticks. */
uint64_t cpu_report(const struct cpu_sample *before, const struct cpu_sample *after, uint64_t ops,
                    double *kernel_share);

#endif
