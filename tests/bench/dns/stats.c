#include "stats.h"

#include <string.h>

void stats_count(struct stats *s, enum verdict verdict, const uint8_t *reply, size_t reply_size)
{
    s->answered++;
    s->reply_bytes += reply_size;
    if (verdict == ANSWER_GOOD)
        return;
    if (verdict == ANSWER_BAD)
        s->bad++;
    else
        s->empty++;
    if (s->failed_size == 0) {
        s->failed_size = reply_size < sizeof s->failed ? reply_size : sizeof s->failed;
        memcpy(s->failed, reply, s->failed_size);
    }
}

static size_t bucket_of(uint64_t ns)
{
    if (ns < 64)
        return (size_t)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6;
    return (size_t)(shift + 1) * 64 + (size_t)(ns >> shift) - 64;
}

static uint64_t value_of(size_t bucket)
{
    if (bucket < 64)
        return bucket;
    return (uint64_t)(bucket % 64 + 64) << (bucket / 64 - 1);
}

void stats_latency(struct stats *s, uint64_t ns)
{
    s->measured++;
    s->latency_ns[bucket_of(ns)]++;
}

uint64_t stats_percentile(const struct stats *s, double percent)
{
    uint64_t below = 0, wanted = (uint64_t)((double)s->measured * percent / 100);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += s->latency_ns[i];
        if (below > wanted)
            return value_of(i);
    }
    return 0;
}
