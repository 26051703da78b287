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

static const struct verb member_verbs[] = {
    {"list", "", "Lists all members in the cluster", .run = member_list},
    {0},
};

/* A new verb is one line here and a file of its own. */
const struct verb cli_verbs[] = {
    {"compaction", "[options] <revision>", "Compacts the event history", .flags = compaction_flags,
     .run = verb_compaction},
    {"del", "[options] <key> [range_end]",
     "Removes the specified key or range of keys [key, range_end)", .flags = del_flags,
     .run = verb_del},
    {"endpoint", "<subcommand>", "Endpoint related commands", .subverbs = endpoint_verbs},
    {"get", "[options] <key> [range_end]", "Gets the key or a range of keys", .flags = get_flags,
     .run = verb_get},
    {"lease", "<subcommand>", "Lease related commands", .subverbs = lease_verbs},
    {"member", "<subcommand>", "Membership related commands", .subverbs = member_verbs},
    {"put", "[options] <key> <value> (<value> can also be given from stdin)",
     "Puts the given key into the store", .flags = put_flags, .run = verb_put},
    {"status", "", "The same as endpoint status", .flags = endpoint_flags, .run = endpoint_status},
    {"txn", "[options]", "Txn processes all the requests in one transaction", .flags = txn_flags,
     .run = verb_txn},
    {"watch", "[options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]",
     "Watches events stream on keys or prefixes", .flags = watch_flags, .run = verb_watch},
    {0},
};
