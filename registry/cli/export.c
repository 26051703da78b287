#include "store.h"
#include "verbs.h"

#include <stdio.h>

static const char *zone_text;

struct flag export_flags[] = {
    {"zone", 0, FLAG_STRING, &zone_text, "only this zone; without, all of them", false},
    {0},
};

struct exported {
    size_t malformed;
};

static void visit(void *user, const Mvccpb__KeyValue *kv)
{
    struct exported *e = user;
    struct registry_key key;
    struct peer_entry entry = {0};
    struct strbuf line = STRBUF_EMPTY;
    struct arena *arena = store_arena();
    registry_key_parse(&key, bytes_of(kv->key.data, kv->key.len));
    if (key.type != REGISTRY_KEY_PEER || key.zone.size >= sizeof(entry.zone))
        return;
    memcpy(entry.zone, key.zone.data, key.zone.size);
    memcpy(entry.key, key.peer, KEY_SIZE);
    arena_reset(arena);
    if (registry_peer_parse(&entry.peer, bytes_of(kv->value.data, kv->value.len), arena, NULL) !=
        OK) {
        cli_say("Warning: %.*s cannot be read; left out", (int)kv->key.len,
                (const char *)kv->key.data);
        e->malformed++;
        return;
    }
    peer_line_format(&line, &entry);
    if (line.failed)
        cli_memory(NULL);
    puts(strbuf_str(&line));
    strbuf_fini(&line);
}

int verb_export(struct cli *cli, char **arguments, size_t count)
{
    struct exported e = {0};
    struct strbuf prefix = STRBUF_EMPTY;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "export command does not accept arguments");
    cli_start(cli);
    if (zone_text != NULL)
        registry_peers_prefix(&prefix, bytes_of_str(store_zone(cli, zone_text, true)));
    else
        strbuf_add_str(&prefix, REGISTRY_ZONES_PREFIX);
    store_scan(cli, cli_text(&prefix), true, visit, &e);
    cli_flush();
    return e.malformed == 0 ? CLI_OK : CLI_ERROR;
}
