/* Going through the endpoints one by one, for the verbs that ask each of them. */
#ifndef WARREN_CLI_ENDPOINT_H
#define WARREN_CLI_ENDPOINT_H

#include "cli.h"

#include <time.h>

/* The endpoints as a user knows them: those given, or with IS_CLUSTER the members' client URLs.
 * OUT has room for CHANNEL_MAX_ENDPOINTS. */
size_t endpoints_wanted(struct cli *cli, bool is_cluster, const char **out);
/* Calls of what follows go to ENDPOINT alone. */
void endpoint_turn_to(struct cli *cli, const char *endpoint);
/* The time since BEGIN (CLOCK_MONOTONIC) as Go's time.Duration prints it; the caller's. */
char *endpoint_took_text(const struct timespec *begin);

#endif
