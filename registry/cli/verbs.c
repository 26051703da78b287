#include "verbs.h"

static const struct verb lease_verbs[] = {
    {"grant", "<ttl>", "Creates leases", .run = lease_grant},
    {"keep-alive", "[options] <leaseID>", "Keeps leases alive (renew)", .flags = keep_alive_flags,
     .run = lease_keep_alive},
    {"list", "", "List all active leases", .run = lease_list},
    {"revoke", "<leaseID>", "Revokes leases", .run = lease_revoke},
    {"timetolive", "<leaseID> [options]", "Get lease information", .flags = timetolive_flags,
     .run = lease_timetolive},
    {0},
};

static const struct verb endpoint_verbs[] = {
    {"hashkv", "", "Prints the KV history hash for each endpoint in --endpoints",
     .flags = hashkv_flags, .run = endpoint_hashkv},
    {"health", "", "Checks the healthiness of endpoints specified in `--endpoints` flag",
     .flags = endpoint_flags, .run = endpoint_health},
    {"status", "", "Prints out the status of endpoints specified in `--endpoints` flag",
     .flags = endpoint_flags, .run = endpoint_status},
    {0},
};

static const struct verb alarm_verbs[] = {
    {"disarm", "", "Disarms all alarms", .run = alarm_disarm},
    {"list", "", "Lists all alarms", .run = alarm_list},
    {0},
};

static const struct verb role_verbs[] = {
    {"list", "", "Lists all roles", .run = role_list},
    {0},
};

static const struct verb user_verbs[] = {
    {"list", "", "Lists all users", .run = user_list},
    {0},
};

static const struct verb member_verbs[] = {
    {"list", "", "Lists all members in the cluster", .run = member_list},
    {0},
};

static const struct verb peer_verbs[] = {
    {"add", "<key> [--name <name>] | <name> --key <key> [options]",
     "Adds a peer by its public key (base64 or base32)", .flags = peer_add_flags, .run = peer_add},
    {"list", "[options]", "Lists a zone's peers and where they are", .flags = peer_flags,
     .run = peer_list},
    {"remove", "<name or key>... [options]", "Removes peers and what was observed of them",
     .flags = peer_remove_flags, .run = peer_remove},
    {"rename", "<name or key> <new name> [options]", "Gives a peer another name",
     .flags = peer_rename_flags, .run = peer_rename},
    {"show", "<name or key> [options]", "Shows one peer", .flags = peer_flags, .run = peer_show},
    {0},
};

static const struct verb zone_verbs[] = {
    {"create", "<zone> [options]", "Creates a zone", .flags = zone_flags, .run = zone_create},
    {"delete", "<zone> [options]", "Deletes a zone", .flags = zone_delete_flags,
     .run = zone_delete},
    {"list", "", "Lists the zones", .run = zone_list},
    {"set", "<zone> [options]", "Changes a zone's settings", .flags = zone_flags, .run = zone_set},
    {"show", "<zone>", "Shows a zone's settings", .run = zone_show},
    {0},
};

/* A new verb is one line here and a file of its own. */
const struct verb cli_verbs[] = {
    {"alarm", "<subcommand>", "Alarm related commands", .subverbs = alarm_verbs},
    {"compaction", "[options] <revision>", "Compacts the event history", .flags = compaction_flags,
     .run = verb_compaction},
    {"defrag", "", "Defragments the storage of the members with given endpoints",
     .flags = defrag_flags, .run = verb_defrag},
    {"del", "[options] <key> [range_end]",
     "Removes the specified key or range of keys [key, range_end)", .flags = del_flags,
     .run = verb_del},
    {"endpoint", "<subcommand>", "Endpoint related commands", .subverbs = endpoint_verbs},
    {"export", "[options]", "Writes a zone's peers as JSON lines, for import",
     .flags = export_flags, .run = verb_export},
    {"get", "[options] <key> [range_end]", "Gets the key or a range of keys", .flags = get_flags,
     .run = verb_get},
    {"import", "[options] <file>...",
     "Adds peers from wg showconf output, wg-quick files or JSON lines", .flags = import_flags,
     .run = verb_import},
    {"lease", "<subcommand>", "Lease related commands", .subverbs = lease_verbs},
    {"member", "<subcommand>", "Membership related commands", .subverbs = member_verbs},
    {"peer", "<subcommand>", "Peers of a WireGuard zone", .subverbs = peer_verbs},
    {"put", "[options] <key> <value> (<value> can also be given from stdin)",
     "Puts the given key into the store", .flags = put_flags, .run = verb_put},
    {"role", "<subcommand>", "Role related commands", .subverbs = role_verbs},
    {"status", "", "The registry on one screen: member, store, alarms, zones, what is invalid",
     .run = verb_status},
    {"sync", "<device> --dry-run [options]",
     "Shows what the daemon's sync would do to a WireGuard device", .flags = sync_flags,
     .run = verb_sync},
    {"txn", "[options]", "Txn processes all the requests in one transaction", .flags = txn_flags,
     .run = verb_txn},
    {"user", "<subcommand>", "User related commands", .subverbs = user_verbs},
    {"watch", "[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
     "Watches events stream on keys or prefixes", .flags = watch_flags, .run = verb_watch},
    {"zone", "<subcommand>", "WireGuard zones", .subverbs = zone_verbs},
    {0},
};
