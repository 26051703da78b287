/* The hooks of `prometheus` into the server core. */
#ifndef WARREN_DNSD_DIRECTIVE_PROMETHEUS_H
#define WARREN_DNSD_DIRECTIVE_PROMETHEUS_H

#include "dnsd/query.h"

/* Counts a query that no server block's handlers saw, answered with RCODE, under the zone
 * "dropped". Does nothing unless some block of the instance has `prometheus`. Best called once the
 * reply was written: its OPT is the request's, with the options that a server echoes. Any thread;
 * takes no lock after the first query of a kind. */
void prometheus_report_dropped(struct query *q, int rcode);

#endif
