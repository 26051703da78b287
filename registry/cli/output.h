/* Replies in etcdctl's formats. Each ends the program where etcdctl's format knows no such reply.
 */
#ifndef WARREN_CLI_OUTPUT_H
#define WARREN_CLI_OUTPUT_H

#include "cli.h"
#include "rpc.pb-c.h"

void output_put(const struct cli *cli, const Etcdserverpb__PutResponse *r);
void output_get(const struct cli *cli, const Etcdserverpb__RangeResponse *r);
void output_delete(const struct cli *cli, const Etcdserverpb__DeleteRangeResponse *r);
void output_txn(const struct cli *cli, const Etcdserverpb__TxnResponse *r);
void output_watch(const struct cli *cli, const Etcdserverpb__WatchResponse *r);
void output_grant(const struct cli *cli, const Etcdserverpb__LeaseGrantResponse *r);
void output_revoke(const struct cli *cli, int64_t id, const Etcdserverpb__LeaseRevokeResponse *r);
void output_keep_alive(const struct cli *cli, const Etcdserverpb__LeaseKeepAliveResponse *r);
void output_time_to_live(const struct cli *cli, const Etcdserverpb__LeaseTimeToLiveResponse *r,
                         bool with_keys);
void output_leases(const struct cli *cli, const Etcdserverpb__LeaseLeasesResponse *r);
void output_members(const struct cli *cli, const Etcdserverpb__MemberListResponse *r);

void output_alarms(const struct cli *cli, const Etcdserverpb__AlarmResponse *r);
/* The COUNT names in MESSAGE: its users or its roles. */
void output_names(const struct cli *cli, const ProtobufCMessage *message,
                  const Etcdserverpb__ResponseHeader *header, const char *title, char *const *names,
                  size_t count);
/* "NOSPACE" */
const char *alarm_name(Etcdserverpb__AlarmType alarm);
/* go-humanize's "1.2 MB"; the caller's. */
char *human_size(int64_t size);

struct endpoint_status {
    const char *endpoint;
    const Etcdserverpb__StatusResponse *reply;
};
void output_status(const struct cli *cli, const struct endpoint_status *list, size_t count);
struct endpoint_health {
    const char *endpoint;
    bool is_healthy;
    const char *took;
    const char *error; /* "" without */
};
void output_health(const struct cli *cli, const struct endpoint_health *list, size_t count);
struct endpoint_hash {
    const char *endpoint;
    const Etcdserverpb__HashKVResponse *reply;
};
void output_hashes(const struct cli *cli, const struct endpoint_hash *list, size_t count);

/* A message as encoding/json writes etcd's structs: proto names, zero values left out. */
void json_message(struct strbuf *out, const ProtobufCMessage *message);

/* A table with borders: CELLS row by row, headers first. */
void output_table(const char *const *cells, size_t columns, size_t rows);
/* The same for eyes alone: columns aligned, no borders. */
void output_columns(const char *const *cells, size_t columns, size_t rows);

#endif
