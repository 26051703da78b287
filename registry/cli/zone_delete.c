/* zone delete: what stands below the zone in bounded steps, then the zone itself.
 *
 * The zone's own key goes last, so a deletion that was cut off is simply run again. Peers need no
 * zone's key (another etcd client may have put them, or deleted it), so a zone is there if anything
 * of it is. */
#include "kv.h"
#include "store.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    STEP = 1000,        /* keys of one transaction */
    PROGRESS_EVERY = 50 /* steps */
};

static bool is_forced;

struct flag zone_delete_flags[] = {
    {"force", 0, FLAG_BOOL, &is_forced, "delete its peers, too", false},
    {"peers", 0, FLAG_BOOL, &is_forced, "the same as --force", false},
    {0},
};

static Etcdserverpb__RangeResponse *keys_from(struct cli *cli, ProtobufCBinaryData from,
                                              ProtobufCBinaryData end, int64_t limit,
                                              bool only_count)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    request.key = from;
    request.range_end = end;
    request.limit = limit;
    request.keys_only = true;
    request.count_only = only_count;
    return cli_call(cli, "/etcdserverpb.KV/Range", &request,
                    &etcdserverpb__range_response__descriptor, true, CLI_ERROR);
}

static int64_t count_keys(struct cli *cli, const char *prefix)
{
    ProtobufCBinaryData from = cli_bytes(prefix);
    Etcdserverpb__RangeResponse *r = keys_from(cli, from, prefix_end(from), 0, true);
    int64_t count = r->count;
    etcdserverpb__range_response__free_unpacked(r, NULL);
    return count;
}

/* At most STEP of the keys from *FROM to END; how many were deleted. *FROM moves behind them: what
 * was deleted must not be gone through again. */
static int64_t delete_some(struct cli *cli, ProtobufCBinaryData *from, ProtobufCBinaryData end)
{
    Etcdserverpb__DeleteRangeRequest request = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__RangeResponse *keys = keys_from(cli, *from, end, STEP, false);
    if (keys->n_kvs == 0) {
        etcdserverpb__range_response__free_unpacked(keys, NULL);
        return 0;
    }
    const ProtobufCBinaryData *last = &keys->kvs[keys->n_kvs - 1]->key;
    uint8_t *behind = cli_memory(calloc(1, last->len + 1)); /* the key right behind the last */
    memcpy(behind, last->data, last->len);
    request.key = *from;
    request.range_end = (ProtobufCBinaryData){.len = last->len + 1, .data = behind};
    Etcdserverpb__DeleteRangeResponse *r =
        cli_call(cli, "/etcdserverpb.KV/DeleteRange", &request,
                 &etcdserverpb__delete_range_response__descriptor, false, CLI_ERROR);
    int64_t deleted = r->deleted;
    etcdserverpb__delete_range_response__free_unpacked(r, NULL);
    etcdserverpb__range_response__free_unpacked(keys, NULL);
    *from = request.range_end; /* some bytes a step stay to the end of the run */
    return deleted;
}

static void delete_below(struct cli *cli, const char *prefix)
{
    ProtobufCBinaryData from = cli_bytes(prefix), end = prefix_end(from);
    int64_t total = count_keys(cli, prefix), done = 0, deleted;
    for (int64_t step = 1; (deleted = delete_some(cli, &from, end)) > 0; step++) {
        done += deleted;
        if (step % PROGRESS_EVERY == 0)
            fprintf(stderr, "%" PRId64 " of %" PRId64 " keys deleted\n", done,
                    total > done ? total : done);
    }
}

static bool has_settings(struct cli *cli, const char *key)
{
    Etcdserverpb__RangeResponse *r =
        keys_from(cli, cli_bytes(key), (ProtobufCBinaryData){0}, 0, true);
    bool has = r->count > 0;
    etcdserverpb__range_response__free_unpacked(r, NULL);
    return has;
}

int zone_delete(struct cli *cli, char **arguments, size_t count)
{
    struct store_txn txn = {0};
    struct strbuf peers = STRBUF_EMPTY, below = STRBUF_EMPTY;
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "zone delete command needs the zone's name");
    cli_start(cli);
    const char *name = store_zone(cli, arguments[0], false);
    char *key = store_zone_key(name);
    registry_peers_prefix(&peers, bytes_of_str(name));
    strbuf_add_format(&below, "%s/", key);
    char *prefix = cli_text(&below);
    int64_t peer_count = count_keys(cli, cli_text(&peers));
    bool is_created = has_settings(cli, key);
    if (!is_created && count_keys(cli, prefix) == 0)
        cli_exit(CLI_ERROR, "zone %s does not exist", name);
    if (peer_count > 0 && !is_forced && is_created)
        cli_exit(CLI_ERROR, "zone %s has %" PRId64 " peers; --force deletes them, too", name,
                 peer_count);
    if (peer_count > 0 && !is_forced)
        cli_exit(CLI_ERROR,
                 "zone %s has %" PRId64 " peers but no settings; --force deletes the peers, "
                 "`warrenctl zone create %s` gives it settings",
                 name, peer_count, name);
    delete_below(cli, prefix);
    store_expect_nothing(&txn, prefix);
    store_delete(&txn, key, false);
    if (!store_commit(cli, &txn))
        cli_exit(CLI_ERROR, "peers or observations came into zone %s meanwhile; try again", name);
    printf("zone %s deleted\n", name);
    cli_flush();
    return CLI_OK;
}
