#include "endpoint.h"
#include "rpc.pb-c.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

static bool whole_cluster;

struct flag defrag_flags[] = {
    {"cluster", 0, FLAG_BOOL, &whole_cluster, "use all endpoints from the cluster member list",
     false},
    {0},
};

static bool defragment(struct cli *cli, const char *endpoint)
{
    Etcdserverpb__DefragmentRequest request = ETCDSERVERPB__DEFRAGMENT_REQUEST__INIT;
    struct call_status status = {0};
    struct timespec begin;
    endpoint_turn_to(cli, endpoint);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    void *reply = cli_try(cli, "/etcdserverpb.Maintenance/Defragment", &request,
                          &etcdserverpb__defragment_response__descriptor, false, &status);
    char *took = endpoint_took_text(&begin);
    if (reply != NULL)
        printf("Finished defragmenting etcd member[%s]. took %s\n", endpoint, took);
    else
        cli_say("Failed to defragment etcd member[%s]. took %s. (%s)", endpoint, took,
                status_text(&status));
    free(took);
    cli_flush();
    return reply != NULL;
}

int verb_defrag(struct cli *cli, char **arguments, size_t count)
{
    const char *endpoints[CHANNEL_MAX_ENDPOINTS];
    int code = CLI_OK;
    (void)arguments;
    cli_start(cli);
    count = endpoints_wanted(cli, whole_cluster, endpoints);
    for (size_t i = 0; i < count; i++) {
        if (!defragment(cli, endpoints[i]))
            code = CLI_ERROR;
    }
    return code;
}
