/* Telling a device that changed from one that only lists its peers in another order. */
#ifndef WARREN_WGCTL_ORDER_H
#define WARREN_WGCTL_ORDER_H

#include "base/err.h"
#include "base/wg.h"

#include <stdbool.h>

/* Whether what DNS publishes of A and B (wg_device_same_published) differs at most in the order of
 * the peers. ERR_NO_MEMORY. */
enum err same_but_for_order(bool *out, const struct wg_device *a,
                            const struct wg_device *b) MUST_CHECK;

#endif
