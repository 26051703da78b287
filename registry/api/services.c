#include "services.h"

#include "base/attr.h"

#include <string.h>

#define UNARY(service, name, function)                                                             \
    {                                                                                              \
        .path = "/" service "/" name, .on_message = (function)                                     \
    }
#define KV(name, function)          UNARY("etcdserverpb.KV", name, function)
#define LEASE(name, function)       UNARY("etcdserverpb.Lease", name, function)
#define CLUSTER(name, function)     UNARY("etcdserverpb.Cluster", name, function)
#define MAINTENANCE(name, function) UNARY("etcdserverpb.Maintenance", name, function)
#define AUTH(name, function)        UNARY("etcdserverpb.Auth", name, function)
#define LOCK(name, function)        UNARY("v3lockpb.Lock", name, function)
#define ELECTION(name, function)    UNARY("v3electionpb.Election", name, function)

/* The hot ones first. Methods of a stream from the server alone that we refuse are as unary. */
static const struct method methods[] = {
    KV("Range", kv_range),
    KV("Put", kv_put),
    KV("Txn", kv_txn),
    {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
     .is_stream = true,
     .on_message = lease_keepalive,
     .on_half_close = lease_keepalive_half_close},
    KV("DeleteRange", kv_delete_range),
    {.path = "/etcdserverpb.Watch/Watch",
     .is_stream = true,
     .on_message = watch_message,
     .on_end = watch_end,
     .on_room = watch_room},
    KV("Compact", kv_compact),
    KV("RangeStream", service_unsupported),
    LEASE("LeaseGrant", lease_grant),
    LEASE("LeaseRevoke", lease_revoke),
    LEASE("LeaseTimeToLive", lease_time_to_live),
    LEASE("LeaseLeases", lease_leases),
    MAINTENANCE("Status", maintenance_status),
    MAINTENANCE("Alarm", maintenance_alarm),
    MAINTENANCE("Defragment", maintenance_defragment),
    MAINTENANCE("Hash", maintenance_hash),
    MAINTENANCE("HashKV", maintenance_hash_kv),
    MAINTENANCE("Snapshot", service_unsupported),
    MAINTENANCE("MoveLeader", cluster_move_leader),
    MAINTENANCE("Downgrade", service_unsupported),
    CLUSTER("MemberList", cluster_member_list),
    CLUSTER("MemberAdd", service_unsupported),
    CLUSTER("MemberRemove", cluster_member_remove),
    CLUSTER("MemberUpdate", cluster_member_update),
    CLUSTER("MemberPromote", cluster_member_promote),
    AUTH("AuthStatus", auth_status),
    AUTH("Authenticate", auth_not_enabled),
    AUTH("UserList", auth_list),
    AUTH("RoleList", auth_list),
    AUTH("AuthEnable", auth_enable),
    AUTH("AuthDisable", auth_disable),
    AUTH("UserAdd", service_unsupported),
    AUTH("UserGet", auth_no_user),
    AUTH("UserDelete", auth_no_user),
    AUTH("UserChangePassword", auth_no_user),
    AUTH("UserGrantRole", auth_no_user),
    AUTH("UserRevokeRole", auth_no_user),
    AUTH("RoleAdd", service_unsupported),
    AUTH("RoleGet", auth_no_role),
    AUTH("RoleDelete", auth_no_role),
    AUTH("RoleGrantPermission", auth_no_role),
    AUTH("RoleRevokePermission", auth_no_role),
    LOCK("Lock", service_unsupported),
    LOCK("Unlock", service_unsupported),
    ELECTION("Campaign", service_unsupported),
    ELECTION("Proclaim", service_unsupported),
    ELECTION("Leader", service_unsupported),
    ELECTION("Observe", service_unsupported),
    ELECTION("Resign", service_unsupported),
    UNARY("grpc.health.v1.Health", "Check", health_check),
    {.path = "/grpc.health.v1.Health/Watch", .is_stream = true, .on_message = health_watch},
};

const struct method *method_find(struct bytes path)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++)
        if (bytes_equal(path, bytes_of_str(methods[i].path)))
            return &methods[i];
    return NULL;
}

const struct method *method_at(size_t index)
{
    return &methods[index];
}

size_t method_count(void)
{
    return ARRAY_COUNT(methods);
}

size_t method_index(const struct method *m)
{
    return (size_t)(m - methods);
}

bool method_service_exists(struct bytes service)
{
    for (size_t i = 0; i < ARRAY_COUNT(methods); i++) {
        const char *name = methods[i].path + 1;
        size_t size = (size_t)(strrchr(name, '/') - name);
        if (bytes_equal(service, bytes_of(name, size)))
            return true;
    }
    return false;
}

void service_unsupported(struct call *c, struct bytes message)
{
    (void)message;
    call_end_format(c, GRPC_UNIMPLEMENTED, "etcdserver: %s is not supported by this server",
                    strrchr(c->method->path, '/') + 1);
}
