/* The one place that picks an RCU flavour: liburcu-memb, whose readers cost no atomic operation and
 * whose threads may block outside a read-side section. */
#ifndef WARREN_DNSD_RCU_H
#define WARREN_DNSD_RCU_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wundef"
#define RCU_MEMBARRIER
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu.h>
#pragma GCC diagnostic pop

#endif
