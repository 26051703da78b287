#include "gotext.h"
#include "output.h"
#include "store.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_ATTEMPTS = 10, /* of a write that others overtake */
};

static const char *zone_text, *name_text, *endpoint_text;
static int64_t keepalive = -1;
static struct flag_list allowed_ips, groups;

struct flag peer_add_flags[] = {
    {"allowed-ips", 0, FLAG_LIST, &allowed_ips, "prefixes or addresses, repeatable", false},
    {"endpoint", 0, FLAG_STRING, &endpoint_text, "static address:port", false},
    {"group", 0, FLAG_LIST, &groups, "group of the peer, repeatable", false},
    {"keepalive", 0, FLAG_INT64, &keepalive, "persistent keepalive in seconds, 0 is off", false},
    {"name", 0, FLAG_STRING, &name_text, "name, one DNS label", false},
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};
struct flag peer_flags[] = {
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};

/* Reading what a user wrote. */

static void read_label(char *out, size_t max, const char *text, const char *what)
{
    size_t size = strlen(text);
    for (size_t i = 0; i < size && i < max; i++)
        out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 32) : text[i];
    if (size > max || !registry_label_is_valid(out, size))
        cli_exit(CLI_BAD_ARGUMENTS,
                 "%s '%s' is not one DNS label of letters, digits and inner hyphens (at most %zu)",
                 what, text, max);
    out[size] = '\0';
}

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
        read_label(list[i], PEER_GROUP_MAX, groups.items[i], "group");
    }
    peer->groups = (const char *const *)list;
    peer->group_count = groups.count;
}

static void read_peer(struct registry_peer *peer)
{
    *peer = (struct registry_peer){0};
    if (name_text != NULL)
        read_label(peer->name, PEER_NAME_MAX, name_text, "name");
    if (endpoint_text != NULL &&
        ip_endpoint_parse(&peer->endpoint, endpoint_text, strlen(endpoint_text)) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "--endpoint: '%s' is not address:port", endpoint_text);
    if (keepalive > 65535 || keepalive < -1)
        cli_exit(CLI_BAD_ARGUMENTS, "--keepalive: not between 0 and 65535");
    peer->has_keepalive = keepalive >= 0;
    peer->keepalive_s = keepalive > 0 ? (uint16_t)keepalive : 0;
    read_allowed_ips(peer);
    read_groups(peer);
}

/* add */

static void warn_of_overlaps(const struct peer_list *list, const struct registry_peer *peer)
{
    char mine[IP_PREFIX_TEXT_SIZE], theirs[IP_PREFIX_TEXT_SIZE], key[KEY_BASE64_SIZE];
    for (size_t i = 0; i < list->count; i++) {
        const struct registry_peer *other = &list->items[i].entry.peer;
        for (size_t a = 0; a < peer->allowed_ip_count; a++) {
            for (size_t b = 0; b < other->allowed_ip_count; b++) {
                const struct ip_prefix *p = &peer->allowed_ips[a], *q = &other->allowed_ips[b];
                if (p->addr.family != q->addr.family ||
                    (!ip_prefix_contains(p, &q->addr) && !ip_prefix_contains(q, &p->addr)))
                    continue;
                ip_prefix_format(p, mine);
                ip_prefix_format(q, theirs);
                key_to_base64(key, list->items[i].entry.key);
                fprintf(stderr, "Warning: allowed IP %s overlaps %s of peer %s%s%.*s\n", mine,
                        theirs, other->name, other->name[0] != '\0' ? ", " : "", KEY_BASE64_SIZE,
                        key);
            }
        }
    }
}

static void refuse_name(const struct peer_list *list, const char *zone, const char *name,
                        const uint8_t *but)
{
    char key[KEY_BASE64_SIZE];
    for (size_t i = 0; i < list->count && name[0] != '\0'; i++) {
        const struct stored_peer *p = &list->items[i];
        if (strcmp(p->entry.peer.name, name) != 0 ||
            (but != NULL && memcmp(but, p->entry.key, KEY_SIZE) == 0))
            continue;
        key_to_base64(key, p->entry.key);
        cli_exit(CLI_ERROR, "zone %s already has a peer called %s: %.*s", zone, name,
                 KEY_BASE64_SIZE, key);
    }
}

static void say(const struct cli *cli, const struct peer_entry *entry, const char *done)
{
    char key[KEY_BASE64_SIZE];
    struct strbuf line = STRBUF_EMPTY;
    key_to_base64(key, entry->key);
    if (cli->format == FORMAT_JSON) {
        peer_line_format(&line, entry);
        puts(cli_text(&line));
    } else {
        printf("peer %s%s%.*s %s\n", entry->peer.name, entry->peer.name[0] != '\0' ? ", " : "",
               KEY_BASE64_SIZE, key, done);
    }
    cli_flush();
}

int peer_add(struct cli *cli, char **arguments, size_t count)
{
    struct peer_entry entry = {0};
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "peer add command needs the peer's public key");
    if (peer_key_parse(entry.key, arguments[0]) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "'%s' is not a public key in base64 or base32", arguments[0]);
    read_peer(&entry.peer);
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    snprintf(entry.zone, sizeof(entry.zone), "%s", zone);
    char *key = store_peer_key(zone, entry.key), *value = store_peer_value(&entry.peer);
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        struct peer_list list = {0};
        struct store_txn txn = {0};
        store_peers(cli, zone, &list);
        for (size_t k = 0; k < list.count; k++) {
            if (memcmp(list.items[k].entry.key, entry.key, KEY_SIZE) == 0)
                cli_exit(CLI_ERROR, "zone %s already has a peer with this key", zone);
        }
        refuse_name(&list, zone, entry.peer.name, NULL);
        store_expect_zone(&txn, zone, list.revision);
        store_expect(&txn, key, 0);
        store_put(&txn, key, value);
        if (store_commit(cli, &txn)) {
            warn_of_overlaps(&list, &entry.peer);
            say(cli, &entry, "added");
            return CLI_OK;
        }
    }
    cli_exit(CLI_ERROR, "others write to zone %s all the time; try again", zone);
}

int peer_rename(struct cli *cli, char **arguments, size_t count)
{
    char name[PEER_NAME_MAX + 1] = "";
    if (count != 2)
        cli_exit(CLI_BAD_ARGUMENTS, "peer rename command needs a name or key, and the new name");
    read_label(name, PEER_NAME_MAX, arguments[1], "name");
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        struct peer_list list = {0};
        struct store_txn txn = {0};
        store_peers(cli, zone, &list);
        struct stored_peer *p = store_find(&list, zone, arguments[0]);
        if (p->is_malformed)
            cli_exit(CLI_ERROR, "this peer's value cannot be read; remove it and add it again");
        refuse_name(&list, zone, name, p->entry.key);
        memcpy(p->entry.peer.name, name, sizeof(name));
        char *key = store_peer_key(zone, p->entry.key);
        store_expect_zone(&txn, zone, list.revision);
        store_expect(&txn, key, p->mod_revision);
        store_put(&txn, key, store_peer_value(&p->entry.peer));
        if (store_commit(cli, &txn)) {
            say(cli, &p->entry, "renamed");
            return CLI_OK;
        }
    }
    cli_exit(CLI_ERROR, "others write to zone %s all the time; try again", zone);
}

int peer_remove(struct cli *cli, char **arguments, size_t count)
{
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "peer remove command needs a name or key");
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        struct peer_list list = {0};
        struct store_txn txn = {0};
        struct strbuf observed = STRBUF_EMPTY;
        store_peers(cli, zone, &list);
        struct stored_peer *p = store_find(&list, zone, arguments[0]);
        char *key = store_peer_key(zone, p->entry.key), base32[KEY_BASE32_SIZE];
        key_to_base32(base32, p->entry.key);
        registry_endpoints_prefix(&observed, bytes_of_str(zone));
        strbuf_add_format(&observed, "%.*s/", KEY_BASE32_UNPADDED_SIZE, base32);
        store_expect(&txn, key, p->mod_revision);
        store_delete(&txn, key, false);
        store_delete(&txn, cli_text(&observed), true);
        if (store_commit(cli, &txn)) {
            say(cli, &p->entry, "removed");
            return CLI_OK;
        }
    }
    cli_exit(CLI_ERROR, "others write to zone %s all the time; try again", zone);
}

/* Where peers are. */

struct sighting {
    uint8_t key[KEY_SIZE];
    int64_t mod_revision;
    struct registry_observation seen;
};
struct sightings {
    struct sighting *items;
    size_t count, capacity;
};

static void visit_observation(void *user, const Mvccpb__KeyValue *kv)
{
    struct sightings *s = user;
    struct registry_key key;
    struct sighting one = {.mod_revision = kv->mod_revision};
    registry_key_parse(&key, bytes_of(kv->key.data, kv->key.len));
    if (key.type != REGISTRY_KEY_ENDPOINT ||
        registry_observation_parse(&one.seen, bytes_of(kv->value.data, kv->value.len), NULL) != OK)
        return;
    memcpy(one.key, key.peer, KEY_SIZE);
    if (s->count == s->capacity) {
        s->capacity = s->capacity == 0 ? 64 : s->capacity * 2;
        s->items = cli_memory(realloc(s->items, s->capacity * sizeof(*s->items)));
    }
    s->items[s->count++] = one;
}

static void read_sightings(struct cli *cli, const char *zone, struct sightings *out)
{
    struct strbuf prefix = STRBUF_EMPTY;
    registry_endpoints_prefix(&prefix, bytes_of_str(zone));
    store_scan(cli, cli_text(&prefix), true, visit_observation, out);
}

/* The published endpoint: the newest live sighting, else the static one, else the newest idle one.
 * Sightings stand in their keys' order, as peers do: *AT moves along. */
static const struct ip_endpoint *published(const struct sightings *s, size_t *at,
                                           const struct stored_peer *p, const char **how)
{
    const struct sighting *live = NULL, *idle = NULL;
    while (*at < s->count && memcmp(s->items[*at].key, p->entry.key, KEY_SIZE) < 0)
        (*at)++;
    for (; *at < s->count && memcmp(s->items[*at].key, p->entry.key, KEY_SIZE) == 0; (*at)++) {
        const struct sighting **best = s->items[*at].seen.is_idle ? &idle : &live;
        if (*best == NULL || s->items[*at].mod_revision > (*best)->mod_revision)
            *best = &s->items[*at];
    }
    bool has_static = p->entry.peer.endpoint.addr.family != IP_NONE;
    *how = live != NULL ? live->seen.how : has_static ? "static" : idle != NULL ? "idle" : "";
    return live != NULL   ? &live->seen.endpoint
           : has_static   ? &p->entry.peer.endpoint
           : idle != NULL ? &idle->seen.endpoint
                          : NULL;
}

static char *endpoint_string(const struct ip_endpoint *e)
{
    char text[IP_ENDPOINT_TEXT_SIZE] = "";
    if (e != NULL)
        ip_endpoint_format(e, text);
    return cli_memory(strdup(text));
}

static char *allowed_string(const struct registry_peer *peer)
{
    struct strbuf out = STRBUF_EMPTY;
    char text[IP_PREFIX_TEXT_SIZE];
    for (size_t i = 0; i < peer->allowed_ip_count; i++) {
        ip_prefix_format(&peer->allowed_ips[i], text);
        strbuf_add_format(&out, "%s%s", i > 0 ? "," : "", text);
    }
    return cli_text(&out);
}

static char *groups_string(const struct registry_peer *peer)
{
    struct strbuf out = STRBUF_EMPTY;
    for (size_t i = 0; i < peer->group_count; i++)
        strbuf_add_format(&out, "%s%s", i > 0 ? "," : "", peer->groups[i]);
    return cli_text(&out);
}

static void json_peer(struct strbuf *out, const struct stored_peer *p, const char *where,
                      const char *how)
{
    peer_line_format(out, &p->entry);
    if (out->failed)
        cli_memory(NULL);
    out->data[--out->size] = '\0'; /* its closing brace */
    if (p->is_malformed)
        strbuf_add_str(out, ",\"malformed\":true");
    if (where[0] != '\0') {
        strbuf_add_str(out, ",\"published\":");
        go_json_string(out, bytes_of_str(where));
        strbuf_add_str(out, ",\"how\":");
        go_json_string(out, bytes_of_str(how));
    }
    strbuf_add_char(out, '}');
}

static void print_peers(struct cli *cli, const struct stored_peer *peers, size_t count,
                        const struct sightings *s)
{
    enum {
        COLUMNS = 6
    };
    const char **cells = cli_memory(calloc((count + 1) * COLUMNS, sizeof(*cells)));
    struct strbuf out = STRBUF_EMPTY;
    size_t at = 0;
    memcpy(cells, (const char *[]){"NAME", "KEY", "ALLOWED IPS", "ENDPOINT", "HOW", "GROUPS"},
           COLUMNS * sizeof(*cells));
    for (size_t i = 0; i < count; i++) {
        char key[KEY_BASE64_SIZE];
        const char *how, **row = cells + (i + 1) * COLUMNS;
        const struct ip_endpoint *e = published(s, &at, &peers[i], &how);
        key_to_base64(key, peers[i].entry.key);
        row[0] = peers[i].is_malformed ? "(malformed)" : peers[i].entry.peer.name;
        row[1] = cli_memory(strndup(key, KEY_BASE64_SIZE));
        row[2] = allowed_string(&peers[i].entry.peer);
        row[3] = endpoint_string(e);
        row[4] = how;
        row[5] = groups_string(&peers[i].entry.peer);
        if (cli->format == FORMAT_JSON) {
            strbuf_add_str(&out, i > 0 ? ",\n" : "");
            json_peer(&out, &peers[i], row[3], how);
        }
    }
    if (cli->format == FORMAT_JSON)
        printf("[%s]\n", strbuf_str(&out));
    else if (cli->format == FORMAT_TABLE)
        output_table(cells, COLUMNS, count + 1);
    else
        output_columns(cells, COLUMNS, count + 1);
    cli_flush();
}

int peer_list(struct cli *cli, char **arguments, size_t count)
{
    struct peer_list list = {0};
    struct sightings s = {0};
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "peer list command does not accept arguments");
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    store_peers(cli, zone, &list);
    read_sightings(cli, zone, &s);
    print_peers(cli, list.items, list.count, &s);
    return CLI_OK;
}

int peer_show(struct cli *cli, char **arguments, size_t count)
{
    struct peer_list list = {0};
    struct sightings s = {0};
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "peer show command needs a name or key");
    cli_start(cli);
    const char *zone = store_zone(cli, zone_text, true);
    store_peers(cli, zone, &list);
    const struct stored_peer *p = store_find(&list, zone, arguments[0]);
    read_sightings(cli, zone, &s);
    print_peers(cli, p, 1, &s);
    return CLI_OK;
}
