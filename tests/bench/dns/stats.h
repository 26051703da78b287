/* What one run counts. Correctness (sent, answered, lost, bad, empty, stray) covers the whole run,
 * warm-up included; times and the CPU of the server cover the measured interval alone. */
#ifndef WARREN_TESTS_BENCH_DNS_STATS_H
#define WARREN_TESTS_BENCH_DNS_STATS_H

#include "check.h"

#include <stdint.h>
#include <time.h>

/* Log-linear: 64 buckets for each power of two, so a percentile is within 1.6 percent. */
#define HISTOGRAM_BUCKETS ((64 - 5) * 64)

struct stats {
    uint64_t sent;
    uint64_t answered; /* good, bad or empty */
    uint64_t lost;     /* no answer within the time limit */
    uint64_t bad;
    uint64_t empty;
    uint64_t stray; /* datagrams that answer nothing outstanding: late or twice */
    uint64_t reply_bytes;
    uint8_t failed[64]; /* the start of the first bad or empty answer, for the report */
    size_t failed_size;

    uint64_t measured; /* answers in the measured interval */
    uint64_t latency_ns[HISTOGRAM_BUCKETS];
};

static inline uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void stats_count(struct stats *s, enum verdict verdict, const uint8_t *reply, size_t reply_size);
void stats_latency(struct stats *s, uint64_t ns);
/* PERCENT of the latencies are at or below the result; 0 without any. */
uint64_t stats_percentile(const struct stats *s, double percent);

#endif
