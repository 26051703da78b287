#include "peer.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

static const char *zone_text, *name_text, *key_text, *endpoint_text;
static int64_t keepalive = -1;
static struct flag_list allowed_ips, groups;

struct flag peer_add_flags[] = {
    {"allowed-ips", 0, FLAG_LIST, &allowed_ips, "prefixes or addresses, repeatable", false},
    {"endpoint", 0, FLAG_STRING, &endpoint_text, "static address:port", false},
    {"group", 0, FLAG_LIST, &groups, "group of the peer, repeatable", false},
    {"keepalive", 0, FLAG_INT64, &keepalive, "persistent keepalive in seconds, 0 is off", false},
    {"key", 0, FLAG_STRING, &key_text, "public key, where the argument is the name", false},
    {"name", 0, FLAG_STRING, &name_text, "name, one DNS label, where the argument is the key",
     false},
    {"pubkey", 0, FLAG_STRING, &key_text, "the same as --key", false},
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};

/* Reading what a user wrote. */

static void read_allowed_ips(struct registry_peer *peer)
{
    struct ip_prefix *list = cli_memory(calloc(allowed_ips.count + 1, sizeof(*list)));
    for (size_t i = 0; i < allowed_ips.count; i++) {
        const char *text = allowed_ips.items[i];
        if (allowed_ip_parse(&list[i], text, strlen(text)) != OK)
            cli_exit(CLI_BAD_ARGUMENTS, "--allowed-ips: '%s' is not a prefix or an address", text);
    }
    peer->allowed_ips = list;
    peer->allowed_ip_count = allowed_ips.count;
}

static void read_groups(struct registry_peer *peer)
{
    char **list = cli_memory(calloc(groups.count + 1, sizeof(*list)));
    if (groups.count > PEER_MAX_GROUPS)
        cli_exit(CLI_BAD_ARGUMENTS, "more than %d groups", PEER_MAX_GROUPS);
    for (size_t i = 0; i < groups.count; i++) {
        list[i] = cli_memory(calloc(1, PEER_NAME_MAX + 1));
        peer_read_label(list[i], PEER_GROUP_MAX, groups.items[i], "group");
    }
    peer->groups = (const char *const *)list;
    peer->group_count = groups.count;
}

/* `add KEY [--name NAME]` or `add [NAME] --key KEY`: which of the two the argument is. */
static void read_identity(struct peer_entry *entry, char **arguments, size_t count)
{
    const char *key = key_text, *name = name_text;
    if (key == NULL && count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "peer add command needs the peer's public key, or its name and "
                                    "--key");
    if (count > 1 || (count == 1 && key != NULL && name != NULL))
        cli_exit(CLI_BAD_ARGUMENTS, "peer add command takes one name and one key");
    if (key == NULL)
        key = arguments[0];
    else if (count == 1)
        name = arguments[0];
    if (peer_key_parse(entry->key, key) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "'%s' is not a public key in base64 or base32%s", key,
                 key_text == NULL ? " (`peer add NAME --key KEY` takes a name)" : "");
    if (name != NULL)
        peer_read_label(entry->peer.name, PEER_NAME_MAX, name, "name");
}

static void read_settings(struct registry_peer *peer)
{
    if (endpoint_text != NULL &&
        ip_endpoint_parse(&peer->endpoint, endpoint_text, strlen(endpoint_text)) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "--endpoint: '%s' is not address:port", endpoint_text);
    if (keepalive > UINT16_MAX || keepalive < -1)
        cli_exit(CLI_BAD_ARGUMENTS, "--keepalive: not between 0 and %d", UINT16_MAX);
    peer->has_keepalive = keepalive >= 0;
    peer->keepalive_s = keepalive > 0 ? (uint16_t)keepalive : 0;
    read_allowed_ips(peer);
    read_groups(peer);
}

static void warn_of_overlap(const struct stored_peer *other, const struct ip_prefix *p,
                            const struct ip_prefix *q)
{
    char mine[IP_PREFIX_TEXT_SIZE], theirs[IP_PREFIX_TEXT_SIZE], key[KEY_BASE64_SIZE];
    const char *name = other->entry.peer.name;
    if (p->addr.family != q->addr.family ||
        (!ip_prefix_contains(p, &q->addr) && !ip_prefix_contains(q, &p->addr)))
        return;
    ip_prefix_format(p, mine);
    ip_prefix_format(q, theirs);
    key_to_base64(key, other->entry.key);
    cli_say("Warning: allowed IP %s overlaps %s of peer %s%s%.*s", mine, theirs, name,
            name[0] != '\0' ? ", " : "", KEY_BASE64_SIZE, key);
}

static void warn_of_overlaps(const struct peer_list *list, const struct registry_peer *peer)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct registry_peer *other = &list->items[i].entry.peer;
        for (size_t a = 0; a < peer->allowed_ip_count; a++) {
            for (size_t b = 0; b < other->allowed_ip_count; b++)
                warn_of_overlap(&list->items[i], &peer->allowed_ips[a], &other->allowed_ips[b]);
        }
    }
}

static void refuse_key(const struct peer_list *list, const char *zone, const uint8_t *key)
{
    for (size_t i = 0; i < list->count; i++) {
        if (memcmp(list->items[i].entry.key, key, KEY_SIZE) == 0)
            cli_exit(CLI_ERROR, "zone %s already has a peer with this key", zone);
    }
}

int peer_add(struct cli *cli, char **arguments, size_t count)
{
    struct peer_entry entry = {0};
    read_identity(&entry, arguments, count);
    read_settings(&entry.peer);
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    snprintf(entry.zone, sizeof(entry.zone), "%s", zone);
    char *key = store_peer_key(zone, entry.key), *value = store_peer_value(&entry.peer);
    for (int i = 0; i < PEER_MAX_ATTEMPTS; i++) {
        struct peer_list list = {0};
        struct store_txn txn = {0};
        store_peers(cli, zone, &list);
        refuse_key(&list, zone, entry.key);
        peer_refuse_name(&list, zone, entry.peer.name, NULL);
        store_expect_zone(&txn, zone, list.revision);
        store_expect(&txn, key, 0);
        store_put(&txn, key, value);
        if (store_commit(cli, &txn)) {
            warn_of_overlaps(&list, &entry.peer);
            peer_say(cli, &entry, "added");
            return CLI_OK;
        }
    }
    peer_give_up(zone);
}
