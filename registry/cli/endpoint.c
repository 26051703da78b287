#include "endpoint.h"

#include "output.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static bool whole_cluster;
static int64_t hash_revision;

struct flag endpoint_flags[] = {
    {"cluster", 0, FLAG_BOOL, &whole_cluster, "use all endpoints from the cluster member list",
     false},
    {0},
};
struct flag hashkv_flags[] = {
    {"cluster", 0, FLAG_BOOL, &whole_cluster, "use all endpoints from the cluster member list",
     false},
    {"rev", 0, FLAG_INT64, &hash_revision, "maximum revision to hash (default: latest revision)",
     false},
    {0},
};

static Etcdserverpb__MemberListResponse *list_members(struct cli *cli, struct call_status *status)
{
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    request.linearizable = true;
    return cli_try(cli, "/etcdserverpb.Cluster/MemberList", &request,
                   &etcdserverpb__member_list_response__descriptor, true, status);
}

int member_list(struct cli *cli, char **arguments, size_t count)
{
    struct call_status status = {0};
    (void)arguments;
    (void)count;
    cli_start(cli);
    Etcdserverpb__MemberListResponse *r = list_members(cli, &status);
    if (r == NULL)
        cli_exit(CLI_ERROR, "%s", status_text(&status));
    output_members(cli, r);
    return CLI_OK;
}

size_t endpoints_wanted(struct cli *cli, bool is_cluster, const char **out)
{
    struct call_status status = {0};
    size_t count = 0;
    if (!is_cluster) {
        for (size_t i = 0; i < cli->endpoints.count; i++)
            out[count++] = cli->endpoints.items[i];
        return count;
    }
    const Etcdserverpb__MemberListResponse *r = list_members(cli, &status);
    if (r == NULL)
        cli_exit(CLI_ERROR, "failed to fetch endpoints from etcd cluster member list: %s",
                 status_text(&status));
    for (size_t i = 0; i < r->n_members; i++) {
        for (size_t k = 0; k < r->members[i]->n_clienturls && count < CHANNEL_MAX_ENDPOINTS; k++)
            out[count++] = r->members[i]->clienturls[k];
    }
    return count;
}

void endpoint_turn_to(struct cli *cli, const char *endpoint)
{
    struct strbuf address = STRBUF_EMPTY, why = STRBUF_EMPTY;
    if (endpoint_address(&address, endpoint, &why) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "%s", strbuf_str(&why));
    channel_destroy(cli->channel);
    cli->channel = cli_channel_to(cli, cli_text(&address));
}

int endpoint_status(struct cli *cli, char **arguments, size_t count)
{
    const char *endpoints[CHANNEL_MAX_ENDPOINTS];
    struct endpoint_status list[CHANNEL_MAX_ENDPOINTS];
    size_t listed = 0;
    (void)arguments;
    cli_start(cli);
    count = endpoints_wanted(cli, whole_cluster, endpoints);
    for (size_t i = 0; i < count; i++) {
        Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
        struct call_status status = {0};
        endpoint_turn_to(cli, endpoints[i]);
        void *reply = cli_try(cli, "/etcdserverpb.Maintenance/Status", &request,
                              &etcdserverpb__status_response__descriptor, true, &status);
        if (reply == NULL)
            cli_say("Failed to get the status of endpoint %s (%s)", endpoints[i],
                    status_text(&status));
        else
            list[listed++] = (struct endpoint_status){.endpoint = endpoints[i], .reply = reply};
    }
    output_status(cli, list, listed);
    return listed == count ? CLI_OK : CLI_ERROR;
}

int endpoint_hashkv(struct cli *cli, char **arguments, size_t count)
{
    const char *endpoints[CHANNEL_MAX_ENDPOINTS];
    struct endpoint_hash list[CHANNEL_MAX_ENDPOINTS];
    struct call_status last = {0};
    size_t listed = 0;
    (void)arguments;
    cli_start(cli);
    count = endpoints_wanted(cli, whole_cluster, endpoints);
    for (size_t i = 0; i < count; i++) {
        Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
        struct call_status status = {0};
        request.revision = hash_revision;
        endpoint_turn_to(cli, endpoints[i]);
        void *reply = cli_try(cli, "/etcdserverpb.Maintenance/HashKV", &request,
                              &etcdserverpb__hash_kvresponse__descriptor, true, &status);
        if (reply != NULL) {
            list[listed++] = (struct endpoint_hash){.endpoint = endpoints[i], .reply = reply};
            continue;
        }
        cli_say("Failed to get the hash of endpoint %s (%s)", endpoints[i], status_text(&status));
        last = status;
    }
    output_hashes(cli, list, listed);
    if (listed < count)
        cli_exit(CLI_ERROR, "%s", status_text(&last));
    return CLI_OK;
}

char *endpoint_took_text(const struct timespec *begin)
{
    struct timespec end;
    struct strbuf out = STRBUF_EMPTY;
    clock_gettime(CLOCK_MONOTONIC, &end);
    int64_t ns = (end.tv_sec - begin->tv_sec) * 1000000000LL + (end.tv_nsec - begin->tv_nsec);
    double value = ns < 1000000      ? (double)ns / 1e3
                   : ns < 1000000000 ? (double)ns / 1e6
                                     : (double)ns / 1e9;
    int digits = ns < 1000000 ? 3 : ns < 1000000000 ? 6 : 9;
    strbuf_add_format(&out, "%.*f", digits, value);
    while (out.data[out.size - 1] == '0')
        out.data[--out.size] = '\0';
    if (out.data[out.size - 1] == '.')
        out.data[--out.size] = '\0';
    strbuf_add_str(&out, ns < 1000000 ? "µs" : ns < 1000000000 ? "ms" : "s");
    return cli_text(&out);
}

/* "" if there are none. */
static const char *alarms_text(struct cli *cli)
{
    static const char *const names[] = {"UNKNOWN ", "NOSPACE ", "CORRUPT "};
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    struct call_status status = {0};
    struct strbuf out = STRBUF_EMPTY;
    const Etcdserverpb__AlarmResponse *r =
        cli_try(cli, "/etcdserverpb.Maintenance/Alarm", &request,
                &etcdserverpb__alarm_response__descriptor, true, &status);
    if (r == NULL)
        return "Unable to fetch the alarm list";
    if (r->n_alarms == 0)
        return "";
    strbuf_add_str(&out, "Active Alarm(s): ");
    for (size_t i = 0; i < r->n_alarms; i++) {
        size_t kind = (size_t)r->alarms[i]->alarm;
        strbuf_add_str(&out, names[kind < ARRAY_COUNT(names) ? kind : 0]);
    }
    return cli_text(&out);
}

static void check_health(struct cli *cli, struct endpoint_health *out)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct call_status status = {0};
    struct timespec begin;
    request.key = cli_bytes("health");
    clock_gettime(CLOCK_MONOTONIC, &begin);
    const void *reply = cli_try(cli, "/etcdserverpb.KV/Range", &request,
                                &etcdserverpb__range_response__descriptor, true, &status);
    out->took = endpoint_took_text(&begin);
    /* A refusal for want of a permission came through consensus, too. */
    if (reply == NULL && strcmp(strbuf_str(&status.message), "etcdserver: permission denied") != 0)
        out->error = status_text(&status);
    else
        out->error = alarms_text(cli);
    out->is_healthy = out->error[0] == '\0';
}

int endpoint_health(struct cli *cli, char **arguments, size_t count)
{
    const char *endpoints[CHANNEL_MAX_ENDPOINTS];
    struct endpoint_health list[CHANNEL_MAX_ENDPOINTS];
    bool all_healthy = true;
    (void)arguments;
    cli_start(cli);
    count = endpoints_wanted(cli, whole_cluster, endpoints);
    for (size_t i = 0; i < count; i++) {
        endpoint_turn_to(cli, endpoints[i]);
        list[i] = (struct endpoint_health){.endpoint = endpoints[i]};
        check_health(cli, &list[i]);
        all_healthy = all_healthy && list[i].is_healthy;
    }
    output_health(cli, list, count);
    if (!all_healthy)
        cli_exit(CLI_ERROR, "unhealthy cluster");
    return CLI_OK;
}
