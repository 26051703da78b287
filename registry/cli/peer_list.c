/* peer list and peer show: the peers, and where they are. */
#include "gotext.h"
#include "output.h"
#include "store.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

static const char *zone_text;

struct flag peer_flags[] = {
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};

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

static int compare_sightings(const void *a, const void *b)
{
    const struct sighting *p = a, *q = b;
    int order = memcmp(p->key, q->key, KEY_SIZE);
    return order != 0 ? order
                      : (p->mod_revision < q->mod_revision) - (p->mod_revision > q->mod_revision);
}

static void read_sightings(struct cli *cli, const char *zone, struct sightings *out)
{
    struct strbuf prefix = STRBUF_EMPTY;
    registry_endpoints_prefix(&prefix, bytes_of_str(zone));
    store_scan(cli, cli_text(&prefix), true, visit_observation, out);
    if (out->count > 0)
        qsort(out->items, out->count, sizeof(*out->items), compare_sightings);
}

static int compare_key(const void *key, const void *sighting)
{
    return memcmp(key, ((const struct sighting *)sighting)->key, KEY_SIZE);
}

/* Where KEY's sightings begin, the newest first; NULL without any. */
static const struct sighting *sightings_of(const struct sightings *s, const uint8_t *key)
{
    const struct sighting *one =
        s->count == 0 ? NULL : bsearch(key, s->items, s->count, sizeof(*s->items), compare_key);
    while (one != NULL && one > s->items && memcmp(one[-1].key, key, KEY_SIZE) == 0)
        one--;
    return one;
}

/* The published endpoint (registry/peer.h): the newest live sighting, else the static one, else the
 * newest idle one. */
static const struct ip_endpoint *published(const struct sightings *s, const struct stored_peer *p,
                                           const char **how)
{
    const struct sighting *live = NULL, *idle = NULL, *one = sightings_of(s, p->entry.key);
    for (; one != NULL && one < s->items + s->count && compare_key(p->entry.key, one) == 0; one++) {
        if (one->seen.is_idle && idle == NULL)
            idle = one;
        if (!one->seen.is_idle && live == NULL)
            live = one;
    }
    bool has_static = p->entry.peer.endpoint.addr.family != IP_NONE;
    *how = live != NULL ? live->seen.how : has_static ? "static" : idle != NULL ? "idle" : "";
    return live != NULL   ? &live->seen.endpoint
           : has_static   ? &p->entry.peer.endpoint
           : idle != NULL ? &idle->seen.endpoint
                          : NULL;
}

/* Peers that are seen but were never added are published, too: by their key alone. */
static void add_unnamed(struct peer_list *list, const struct sightings *s, const char *zone)
{
    size_t stored = list->count;
    if (stored > 0)
        qsort(list->items, stored, sizeof(*list->items), store_compare_peers);
    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *key = s->items[i].key;
        if (i > 0 && memcmp(s->items[i - 1].key, key, KEY_SIZE) == 0)
            continue;
        if (stored > 0 &&
            bsearch(key, list->items, stored, sizeof(*list->items), store_compare_key) != NULL)
            continue;
        struct stored_peer *p = store_peer_add(list);
        memcpy(p->entry.key, key, KEY_SIZE);
        snprintf(p->entry.zone, sizeof(p->entry.zone), "%s", zone);
    }
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
    memcpy(cells, (const char *[]){"NAME", "KEY", "ALLOWED IPS", "ENDPOINT", "HOW", "GROUPS"},
           COLUMNS * sizeof(*cells));
    for (size_t i = 0; i < count; i++) {
        char key[KEY_BASE64_SIZE];
        const char *how, **row = cells + (i + 1) * COLUMNS;
        const struct ip_endpoint *e = published(s, &peers[i], &how);
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
    add_unnamed(&list, &s, zone);
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
    read_sightings(cli, zone, &s);
    add_unnamed(&list, &s, zone);
    const struct stored_peer *p = store_find(&list, zone, arguments[0]);
    print_peers(cli, p, 1, &s);
    return CLI_OK;
}
