/* The pure part of wgctl/route.h: the kernel's answer to RTM_GETROUTE. */
#ifndef WARREN_WGCTL_ROUTE_ANSWER_H
#define WARREN_WGCTL_ROUTE_ANSWER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct route_answer {
    bool done;      /* the answer to our request was found */
    bool has_route; /* one that carries traffic and is not the default route */
    bool is_local;  /* it ends in this machine, whatever its interface */
    uint32_t oif;   /* its interface; 0: several, or none named */
};

/* Reads one datagram. ERR_MALFORMED, ERR_PERMISSION and the like as the kernel says; that there is
 * no route is no error. */
enum err route_answer_parse(struct route_answer *out, uint32_t sequence, const void *data,
                            size_t size) MUST_CHECK;

#endif
