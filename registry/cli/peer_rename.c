#include "peer.h"
#include "verbs.h"

static const char *zone_text;

struct flag peer_rename_flags[] = {
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};

int peer_rename(struct cli *cli, char **arguments, size_t count)
{
    char name[PEER_NAME_MAX + 1] = "";
    if (count != 2)
        cli_exit(CLI_BAD_ARGUMENTS, "peer rename command needs a name or key, and the new name");
    peer_read_label(name, PEER_NAME_MAX, arguments[1], "name");
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    for (int i = 0; i < PEER_MAX_ATTEMPTS; i++) {
        struct peer_list list = {0};
        struct store_txn txn = {0};
        store_peers(cli, zone, &list);
        struct stored_peer *p = store_find(&list, zone, arguments[0]);
        if (p->is_malformed)
            cli_exit(CLI_ERROR, "this peer's value cannot be read; remove it and add it again");
        peer_refuse_name(&list, zone, name, p->entry.key);
        memcpy(p->entry.peer.name, name, sizeof(name));
        char *key = store_peer_key(zone, p->entry.key);
        store_expect_zone(&txn, zone, list.revision);
        store_expect(&txn, key, p->mod_revision);
        store_put(&txn, key, store_peer_value(&p->entry.peer));
        if (store_commit(cli, &txn)) {
            peer_say(cli, &p->entry, "renamed");
            return CLI_OK;
        }
    }
    peer_give_up(zone);
}
