#include "output.h"
#include "verbs.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static bool with_keys, is_once;

struct flag timetolive_flags[] = {
    {"keys", 0, FLAG_BOOL, &with_keys, "Get keys attached to this lease", false},
    {0},
};
struct flag keep_alive_flags[] = {
    {"once", 0, FLAG_BOOL, &is_once,
     "Resets the keep-alive time to its original value and exits immediately", false},
    {0},
};

int lease_grant(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    struct strbuf why = STRBUF_EMPTY;
    struct call_status status = {0};
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "lease grant command needs TTL argument");
    if (int64_parse(&request.ttl, arguments[0], 10, &why) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "bad TTL (%s)", strbuf_str(&why));
    cli_start(cli);
    void *reply = cli_try(cli, "/etcdserverpb.Lease/LeaseGrant", &request,
                          &etcdserverpb__lease_grant_response__descriptor, false, &status);
    if (reply == NULL)
        cli_exit(CLI_ERROR, "failed to grant lease (%s)", status_text(&status));
    output_grant(cli, reply);
    return CLI_OK;
}

int lease_revoke(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__LeaseRevokeRequest request = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    struct call_status status = {0};
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "lease revoke command needs 1 argument");
    request.id = cli_lease_id(arguments[0]);
    cli_start(cli);
    void *reply = cli_try(cli, "/etcdserverpb.Lease/LeaseRevoke", &request,
                          &etcdserverpb__lease_revoke_response__descriptor, false, &status);
    if (reply == NULL)
        cli_exit(CLI_ERROR, "failed to revoke lease (%s)", status_text(&status));
    output_revoke(cli, request.id, reply);
    return CLI_OK;
}

int lease_timetolive(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__LeaseTimeToLiveRequest request = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "lease timetolive command needs lease ID as argument");
    request.id = cli_lease_id(arguments[0]);
    request.keys = with_keys;
    cli_start(cli);
    output_time_to_live(cli,
                        cli_call(cli, "/etcdserverpb.Lease/LeaseTimeToLive", &request,
                                 &etcdserverpb__lease_time_to_live_response__descriptor, true,
                                 CLI_BAD_CONNECTION),
                        with_keys);
    return CLI_OK;
}

int lease_list(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__LeaseLeasesRequest request = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    (void)arguments;
    (void)count;
    cli_start(cli);
    output_leases(cli, cli_call(cli, "/etcdserverpb.Lease/LeaseLeases", &request,
                                &etcdserverpb__lease_leases_response__descriptor, true,
                                CLI_BAD_CONNECTION));
    return CLI_OK;
}

/* One renewal on STREAM; the reply, or NULL if the stream ended or did not answer in time. */
static Etcdserverpb__LeaseKeepAliveResponse *renew(struct cli *cli, struct grpc_stream *stream,
                                                   int64_t id)
{
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    uint8_t *data;
    size_t size;
    bool other;
    request.id = id;
    if (grpc_stream_send(stream, &request.base) != OK ||
        channel_wait(cli->channel, stream, -1, cli_deadline(cli), &other) != OK ||
        !grpc_stream_take(stream, &data, &size))
        return NULL;
    Etcdserverpb__LeaseKeepAliveResponse *r =
        etcdserverpb__lease_keep_alive_response__unpack(NULL, size, data);
    free(data);
    return r;
}

static struct grpc_stream *open_keep_alive(struct cli *cli)
{
    struct grpc_stream *stream;
    enum err error = channel_open_stream(cli->channel, "/etcdserverpb.Lease/LeaseKeepAlive",
                                         is_once ? cli_deadline(cli) : 0, &stream);
    if (error == ERR_TIMEOUT)
        cli_exit(CLI_BAD_CONNECTION, "context deadline exceeded");
    if (error != OK)
        cli_exit(CLI_BAD_CONNECTION, "%s", err_text(error));
    return stream;
}

static _Noreturn void stream_failed(struct grpc_stream *stream)
{
    struct call_status status = {.code = GRPC_DEADLINE_EXCEEDED};
    if (grpc_stream_has_ended(stream)) {
        status.code = grpc_stream_code(stream);
        strbuf_add_str(&status.message, grpc_stream_message(stream));
    }
    cli_exit(CLI_BAD_CONNECTION, "%s", status_text(&status));
}

int lease_keep_alive(struct cli *cli, char **arguments, size_t count)
{
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "lease keep-alive command needs lease ID as argument");
    int64_t id = cli_lease_id(arguments[0]);
    cli_start(cli);
    struct grpc_stream *stream = open_keep_alive(cli);
    for (;;) {
        Etcdserverpb__LeaseKeepAliveResponse *r = renew(cli, stream, id);
        if (r == NULL && !is_once &&
            (!grpc_stream_has_ended(stream) || grpc_stream_code(stream) == GRPC_UNAVAILABLE)) {
            grpc_stream_destroy(stream); /* the lease may outlive a server's restart */
            poll(NULL, 0, 500);
            stream = open_keep_alive(cli);
            continue;
        }
        if (r == NULL)
            stream_failed(stream);
        int64_t ttl = r->ttl;
        if (ttl <= 0 && is_once)
            cli_exit(CLI_BAD_CONNECTION, "etcdserver: requested lease not found");
        if (ttl <= 0)
            break;
        output_keep_alive(cli, r);
        etcdserverpb__lease_keep_alive_response__free_unpacked(r, NULL);
        if (is_once)
            return CLI_OK;
        int64_t pause_ms = ttl * 1000 / 3; /* etcd's client renews at a third */
        poll(NULL, 0, pause_ms > 1 << 30 ? 1 << 30 : (int)pause_ms);
    }
    if (cli->format == FORMAT_SIMPLE)
        printf("lease %016llx expired or revoked.\n", (unsigned long long)id);
    cli_flush();
    return CLI_OK;
}
