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

/* ThreadSanitizer does not see liburcu's barriers. For its builds pointers are published and read
 * with atomics that it knows, and what a reader did is said to happen before the end of the grace
 * period that waits for it. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
/* One address for all translation units. */
__attribute__((weak)) char rcu_tsan_grace_period;
#undef rcu_dereference
#undef rcu_assign_pointer
#undef rcu_read_unlock
#undef synchronize_rcu
#define rcu_dereference(p)       __atomic_load_n(&(p), __ATOMIC_ACQUIRE)
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)
static inline void rcu_read_unlock(void)
{
    __tsan_release(&rcu_tsan_grace_period);
    urcu_memb_read_unlock();
}
static inline void synchronize_rcu(void)
{
    urcu_memb_synchronize_rcu();
    __tsan_acquire(&rcu_tsan_grace_period);
}
#undef call_rcu
static inline void call_rcu(struct rcu_head *head, void (*fn)(struct rcu_head *head))
{
    __tsan_release(&rcu_tsan_grace_period);
    urcu_memb_call_rcu(head, fn);
}
#endif

/* The first thing that a function given to call_rcu does. */
static inline void rcu_callback_begins(void)
{
#if defined(__SANITIZE_THREAD__)
    __tsan_acquire(&rcu_tsan_grace_period);
#endif
}

#endif
