/* sync DEVICE --dry-run: what the daemon's sync would do to a device.
 *
 * The one verb that needs wgctl. The library of verbs stays without it: this file belongs to the
 * program alone, as main.c and verbs.c do. */
#include "registry/published.h"
#include "store.h"
#include "verbs.h"
#include "wgctl/dry_run.h"

#include <stdio.h>
#include <stdlib.h>

static const char *zone_text, *socket_dir;
static bool adopt, is_dry_run;

struct flag sync_flags[] = {
    {"adopt", 0, FLAG_BOOL, &adopt, "create and change peers, too, not only their endpoints",
     false},
    {"dry-run", 0, FLAG_BOOL, &is_dry_run, "needed: nothing is changed, lines are printed", false},
    {"socket-dir", 0, FLAG_STRING, &socket_dir, "sockets of userspace devices", false},
    {"zone", 0, FLAG_STRING, &zone_text, "zone, if there is more than one", false},
    {0},
};

struct reading {
    struct published peers;
    struct bytes zone;
};

static void visit(void *user, const Mvccpb__KeyValue *kv)
{
    struct reading *r = user;
    if (published_add(&r->peers, r->zone, bytes_of(kv->key.data, kv->key.len),
                      bytes_of(kv->value.data, kv->value.len), kv->mod_revision) != OK)
        cli_memory(NULL);
}

static void read_peers(struct cli *cli, const char *zone, struct reading *out)
{
    struct strbuf below = STRBUF_EMPTY;
    published_init(&out->peers);
    out->zone = bytes_of_str(zone);
    registry_zone_key(&below, out->zone);
    strbuf_add_char(&below, '/');
    store_scan(cli, cli_text(&below), true, visit, out);
    published_finish(&out->peers);
    if (out->peers.malformed_count > 0)
        cli_say("Warning: %zu values of zone %s are invalid and left out; see `warrenctl "
                "status`",
                out->peers.malformed_count, zone);
}

static struct plan_peer *plan_peers(const struct published *p)
{
    struct plan_peer *list = cli_memory(calloc(p->peer_count + 1, sizeof(*list)));
    for (size_t i = 0; i < p->peer_count; i++) {
        const struct published_peer *from = &p->peers[i];
        list[i] = (struct plan_peer){
            .key = from->key,
            .endpoint = from->endpoint,
            .allowed_ips = from->peer.allowed_ips,
            .allowed_ip_count = from->peer.allowed_ip_count,
            .keepalive_s = from->peer.keepalive_s,
            .has_keepalive = from->peer.has_keepalive,
        };
    }
    return list;
}

int verb_sync(struct cli *cli, char **arguments, size_t count)
{
    struct reading reading = {.zone = BYTES_EMPTY};
    struct strbuf lines = STRBUF_EMPTY, why = STRBUF_EMPTY;
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "sync command needs the device's name");
    if (!is_dry_run)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "the daemon does the syncing (`sync %s` in the zone's block of "
                 "its Corefile); --dry-run shows what it would do",
                 arguments[0]);
    cli_start(cli);
    read_peers(cli, store_zone(cli, zone_text, true), &reading);
    struct wgctl_dry_run input = {
        .device = arguments[0],
        .socket_dir = socket_dir,
        .peers = plan_peers(&reading.peers),
        .peer_count = reading.peers.peer_count,
        .adopt = adopt,
    };
    if (wgctl_dry_run(&lines, &input, &why) != OK)
        cli_exit(CLI_ERROR, "%s", strbuf_str(&why));
    fputs(strbuf_str(&lines), stdout);
    cli_flush();
    return CLI_OK;
}
