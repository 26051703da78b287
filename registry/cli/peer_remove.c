#include "peer.h"
#include "verbs.h"

enum {
    MAX_PEERS = 64, /* of one transaction: two operations each, of the 128 that servers take */
};

static const char *zone_text;

struct flag peer_remove_flags[] = {
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};

/* The peers that ARGUMENTS name, each once, before the first of them is touched. */
static size_t find_all(struct stored_peer **out, struct peer_list *list, const char *zone,
                       char **arguments, size_t count)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        struct stored_peer *p = store_find(list, zone, arguments[i]);
        size_t k = 0;
        while (k < found && out[k] != p)
            k++;
        if (k == found)
            out[found++] = p;
    }
    return found;
}

/* The peer, and what was observed of it. */
static void add_removal(struct store_txn *txn, const char *zone, const struct stored_peer *p)
{
    struct strbuf observed = STRBUF_EMPTY;
    char *key = store_peer_key(zone, p->entry.key), base32[KEY_BASE32_SIZE];
    key_to_base32(base32, p->entry.key);
    registry_endpoints_prefix(&observed, bytes_of_str(zone));
    strbuf_add_format(&observed, "%.*s/", KEY_BASE32_UNPADDED_SIZE, base32);
    store_expect(txn, key, p->mod_revision);
    store_delete(txn, key, false);
    store_delete(txn, cli_text(&observed), true);
}

int peer_remove(struct cli *cli, char **arguments, size_t count)
{
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS, "peer remove command needs names or keys");
    if (count > MAX_PEERS)
        cli_exit(CLI_BAD_ARGUMENTS, "peer remove command takes at most %d peers", MAX_PEERS);
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    for (int i = 0; i < PEER_MAX_ATTEMPTS; i++) {
        struct stored_peer *peers[MAX_PEERS];
        struct peer_list list = {0};
        struct store_txn txn = {0};
        store_peers(cli, zone, &list);
        size_t found = find_all(peers, &list, zone, arguments, count);
        for (size_t k = 0; k < found; k++)
            add_removal(&txn, zone, peers[k]);
        if (store_commit(cli, &txn)) {
            for (size_t k = 0; k < found; k++)
                peer_say(cli, &peers[k]->entry, "removed");
            return CLI_OK;
        }
    }
    peer_give_up(zone);
}
