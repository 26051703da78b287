#include "store.h"
#include "verbs.h"

#include "registry/published.h"
#include "wgctl/dry_run.h"

#include <stdio.h>
#include <stdlib.h>

static const char *zone_text;
static bool is_dry_run;
static bool adopts;

struct flag sync_flags[] = {
    {"zone", 0, FLAG_STRING, &zone_text, "the zone, where there are several", false},
    {"dry-run", 0, FLAG_BOOL, &is_dry_run, "print the wg commands that a sync would carry out",
     false},
    {"adopt", 0, FLAG_BOOL, &adopts, "as `sync DEVICE adopt`: peers and allowed IPs, too", false},
    {0},
};

struct collected {
    struct published published;
    const char *zone;
};

static void visit(void *user, const Mvccpb__KeyValue *kv)
{
    struct collected *c = user;
    if (published_add(&c->published, bytes_of_str(c->zone), bytes_of(kv->key.data, kv->key.len),
                      bytes_of(kv->value.data, kv->value.len), kv->mod_revision) != OK)
        cli_memory(NULL);
}

static struct plan_peer *plan_peers(const struct published *p)
{
    struct plan_peer *peers = cli_memory(calloc(p->peer_count + 1, sizeof(*peers)));
    for (size_t i = 0; i < p->peer_count; i++)
        peers[i] = (struct plan_peer){
            .key = p->peers[i].key,
            .endpoint = p->peers[i].endpoint,
            .allowed_ips = p->peers[i].peer.allowed_ips,
            .allowed_ip_count = p->peers[i].peer.allowed_ip_count,
            .keepalive_s = p->peers[i].peer.keepalive_s,
            .has_keepalive = p->peers[i].peer.has_keepalive,
        };
    return peers;
}

/* Removals are not shown: which peers an earlier adoption made only the daemon knows. */
int verb_sync(struct cli *cli, char **arguments, size_t count)
{
    struct collected c;
    struct strbuf prefix = STRBUF_EMPTY, out = STRBUF_EMPTY, why = STRBUF_EMPTY;
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "sync command needs the name of one device");
    if (!is_dry_run)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "sync is carried out by warrend (`sync %s` in a warren block "
                 "of its Corefile); here only with --dry-run",
                 arguments[0]);
    cli_start(cli);
    c.zone = store_zone(cli, zone_text, false);
    published_init(&c.published);
    registry_zone_key(&prefix, bytes_of_str(c.zone));
    strbuf_add_char(&prefix, '/');
    store_scan(cli, cli_text(&prefix), true, visit, &c);
    published_finish(&c.published);
    struct plan_peer *peers = plan_peers(&c.published);
    struct wgctl_dry_run input = {
        .device = arguments[0],
        .socket_dir = getenv("WARREN_WG_SOCKET_DIR"),
        .peers = peers,
        .peer_count = c.published.peer_count,
        .adopt = adopts,
    };
    if (wgctl_dry_run(&out, &input, &why) != OK)
        cli_exit(CLI_ERROR, "%s", strbuf_str(&why));
    fputs(strbuf_str(&out), stdout);
    if (c.published.malformed_count > 0)
        fprintf(stderr, "Warning: %zu values of zone %s cannot be read; left out\n",
                c.published.malformed_count, c.zone);
    cli_flush();
    free(peers);
    strbuf_fini(&out);
    published_fini(&c.published);
    return CLI_OK;
}
