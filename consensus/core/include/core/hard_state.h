/* What a member must have durable before anything that rests on it leaves the member: its term, its
 * one vote of that term, and, as a hint that only saves work after a restart, its commit index. */
#ifndef WARREN_CORE_HARD_STATE_H
#define WARREN_CORE_HARD_STATE_H

#include <stdint.h>

struct hard_state {
    uint64_t term;
    uint64_t vote; /* member id; 0: none in this term */
    uint64_t commit;
};

#endif
