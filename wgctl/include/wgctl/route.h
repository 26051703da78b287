/* Where this machine sends what goes to an address, asked of the kernel's routing tables. */
#ifndef WARREN_WGCTL_ROUTE_H
#define WARREN_WGCTL_ROUTE_H

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>

struct wgctl_routes;

/* ERR_NO_MEMORY. */
enum err wgctl_routes_create(struct wgctl_routes **out) MUST_CHECK;
void wgctl_routes_destroy(struct wgctl_routes *r);

/* Whether the first address of PREFIX has a route to another interface than DEVICE. The default
 * route does not count, nor does one that refuses (unreachable, prohibit, blackhole); an address of
 * this machine does, also one of DEVICE. True too when the kernel does not say: then nothing is
 * captured by mistake. */
bool wgctl_routes_elsewhere(struct wgctl_routes *r, const char *device,
                            const struct ip_prefix *prefix);
/* Asks for COUNT prefixes together, which is much cheaper, and keeps the answers for
 * wgctl_routes_elsewhere until the next call. */
void wgctl_routes_expect(struct wgctl_routes *r, const char *device,
                         const struct ip_prefix *prefixes, size_t count);

#endif
