/* The verbs, each in the file of its name; verbs.c lists them. */
#ifndef WARREN_CLI_VERBS_H
#define WARREN_CLI_VERBS_H

#include "cli.h"

#define VERB(name) int name(struct cli *cli, char **arguments, size_t count)
VERB(verb_put);
VERB(verb_get);
VERB(verb_del);
VERB(verb_txn);
VERB(verb_watch);
VERB(verb_compaction);
VERB(lease_grant);
VERB(lease_revoke);
VERB(lease_timetolive);
VERB(lease_list);
VERB(lease_keep_alive);
VERB(endpoint_status);
VERB(endpoint_health);
VERB(endpoint_hashkv);
VERB(member_list);
VERB(peer_add);
VERB(peer_list);
VERB(peer_show);
VERB(peer_rename);
VERB(peer_remove);
VERB(zone_create);
VERB(zone_list);
VERB(zone_show);
VERB(zone_set);
VERB(zone_delete);
VERB(alarm_disarm);
VERB(alarm_list);
VERB(verb_defrag);
VERB(role_list);
VERB(user_list);
VERB(verb_status);
VERB(verb_sync);
VERB(verb_import);
VERB(verb_export);
#undef VERB

extern struct flag put_flags[], get_flags[], del_flags[], txn_flags[], watch_flags[],
    compaction_flags[], timetolive_flags[], keep_alive_flags[], endpoint_flags[], hashkv_flags[],
    peer_add_flags[], peer_flags[], peer_remove_flags[], peer_rename_flags[], zone_flags[],
    zone_delete_flags[], import_flags[], export_flags[], defrag_flags[], sync_flags[];

#endif
