/* Random numbers of one run: all of them from its seed. */
#ifndef WARREN_TESTS_SIM_RAFT_RANDOM_H
#define WARREN_TESTS_SIM_RAFT_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

/* One round of splitmix64: also the hash of everything that is hashed here. */
static inline uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t mix2(uint64_t a, uint64_t b)
{
    return mix(a ^ mix(b));
}

struct random_source {
    uint64_t state;
};

static inline uint64_t random_next(struct random_source *r)
{
    return mix(r->state++);
}

/* In [0, BELOW), BELOW > 0. */
static inline uint64_t random_below(struct random_source *r, uint64_t below)
{
    return (uint64_t)(((unsigned __int128)random_next(r) * below) >> 64);
}

static inline uint64_t random_between(struct random_source *r, uint64_t low, uint64_t high)
{
    return low + random_below(r, high - low + 1);
}

/* True PER_THOUSAND times in a thousand. */
static inline bool random_chance(struct random_source *r, unsigned per_thousand)
{
    return per_thousand > 0 && random_below(r, 1000) < per_thousand;
}

#endif
