/* The methods that are there, and what tells them apart. */
#ifndef WARREN_REGISTRY_API_SERVICES_H
#define WARREN_REGISTRY_API_SERVICES_H

#include "base/bytes.h"
#include "call.h"

#include <stdbool.h>
#include <stddef.h>

/* NULL: none of that path. */
const struct method *method_find(struct bytes path);
const struct method *method_at(size_t index);
size_t method_count(void);
size_t method_index(const struct method *m);
/* SERVICE as "etcdserverpb.KV". */
bool method_service_exists(struct bytes service);

/* kv.c */
void kv_range(struct call *c, struct bytes message);
void kv_put(struct call *c, struct bytes message);
void kv_delete_range(struct call *c, struct bytes message);
void kv_txn(struct call *c, struct bytes message);
void kv_compact(struct call *c, struct bytes message);

/* watch.c */
void watch_message(struct call *c, struct bytes message);
void watch_end(struct call *c);
void watch_room(struct call *c);

/* lease.c */
void lease_grant(struct call *c, struct bytes message);
void lease_revoke(struct call *c, struct bytes message);
void lease_keepalive(struct call *c, struct bytes message);
void lease_keepalive_half_close(struct call *c);
void lease_time_to_live(struct call *c, struct bytes message);
void lease_leases(struct call *c, struct bytes message);

/* maintenance.c */
void maintenance_alarm(struct call *c, struct bytes message);
void maintenance_status(struct call *c, struct bytes message);
void maintenance_defragment(struct call *c, struct bytes message);
void maintenance_hash(struct call *c, struct bytes message);
void maintenance_hash_kv(struct call *c, struct bytes message);

/* cluster.c */
void cluster_member_list(struct call *c, struct bytes message);
void cluster_member_remove(struct call *c, struct bytes message);
void cluster_member_update(struct call *c, struct bytes message);
void cluster_member_promote(struct call *c, struct bytes message);
void cluster_move_leader(struct call *c, struct bytes message);

/* auth.c */
void auth_status(struct call *c, struct bytes message);
void auth_list(struct call *c, struct bytes message); /* users or roles: there are none */
void auth_enable(struct call *c, struct bytes message);
void auth_disable(struct call *c, struct bytes message);
void auth_not_enabled(struct call *c, struct bytes message);
void auth_no_user(struct call *c, struct bytes message); /* asked for one of them */
void auth_no_role(struct call *c, struct bytes message);

/* health.c */
void health_check(struct call *c, struct bytes message);
void health_watch(struct call *c, struct bytes message);

/* services.c: a method of etcd that is not there, refused by name. */
void service_unsupported(struct call *c, struct bytes message);

/* The end of a unary call that went well. */
static inline void call_finish(struct call *c)
{
    call_end(c, GRPC_OK, "");
}

#endif
