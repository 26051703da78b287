/* status: the registry on one screen. */
#include "gotext.h"
#include "output.h"
#include "store.h"
#include "verbs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    MAX_SHOWN = 20, /* invalid values; more are counted */
};

struct zone_count {
    char name[ZONE_TEXT_SIZE];
    bool has_settings;
    size_t peers, published;
    uint8_t (*seen)[KEY_SIZE]; /* peers that were observed: each once, and in order, if sorted */
    size_t seen_count, seen_capacity;
    uint8_t (*fixed)[KEY_SIZE]; /* peers with a static endpoint */
    size_t fixed_count, fixed_capacity;
};

struct invalid {
    char *key, *why;
};

struct overview {
    struct zone_count *zones;
    size_t zone_count;
    struct invalid invalid[MAX_SHOWN];
    size_t invalid_count;
    struct arena arena; /* of one value */
};

/* Going through the keys. */

static struct zone_count *zone_of(struct overview *o, struct bytes name)
{
    for (size_t i = o->zone_count; i-- > 0;) { /* mostly the last one */
        if (bytes_equal(bytes_of_str(o->zones[i].name), name))
            return &o->zones[i];
    }
    o->zones = cli_memory(realloc(o->zones, (o->zone_count + 1) * sizeof(*o->zones)));
    struct zone_count *z = &o->zones[o->zone_count++];
    *z = (struct zone_count){.peers = 0};
    memcpy(z->name, name.data, name.size < sizeof(z->name) ? name.size : sizeof(z->name) - 1);
    return z;
}

static void add_key(uint8_t (**list)[KEY_SIZE], size_t *count, size_t *capacity, const uint8_t *key)
{
    if (*count == *capacity) {
        *capacity = *capacity == 0 ? 64 : *capacity * 2;
        *list = cli_memory(realloc(*list, *capacity * sizeof(**list)));
    }
    memcpy((*list)[(*count)++], key, KEY_SIZE);
}

static void add_invalid(struct overview *o, const Mvccpb__KeyValue *kv, const char *why)
{
    if (o->invalid_count < MAX_SHOWN) {
        char *key = cli_memory(strndup((const char *)kv->key.data, kv->key.len));
        o->invalid[o->invalid_count] = (struct invalid){.key = key, .why = cli_memory(strdup(why))};
    }
    o->invalid_count++;
}

static enum err check_peer(struct overview *o, struct zone_count *z, const uint8_t *key,
                           struct bytes value, struct strbuf *why)
{
    struct registry_peer peer;
    z->peers++;
    arena_reset(&o->arena);
    enum err error = registry_peer_parse(&peer, value, &o->arena, why);
    if (error == OK && peer.endpoint.addr.family != IP_NONE)
        add_key(&z->fixed, &z->fixed_count, &z->fixed_capacity, key);
    return error;
}

static enum err check_observation(struct zone_count *z, const uint8_t *key, struct bytes value,
                                  struct strbuf *why)
{
    struct registry_observation seen;
    enum err error = registry_observation_parse(&seen, value, why);
    if (error == OK)
        add_key(&z->seen, &z->seen_count, &z->seen_capacity, key);
    return error;
}

static void visit(void *user, const Mvccpb__KeyValue *kv)
{
    struct overview *o = user;
    struct registry_key key;
    struct registry_zone zone;
    struct strbuf why = STRBUF_EMPTY;
    struct bytes value = bytes_of(kv->value.data, kv->value.len);
    enum err error = OK;
    registry_key_parse(&key, bytes_of(kv->key.data, kv->key.len));
    if (key.type == REGISTRY_KEY_OTHER) {
        add_invalid(o, kv, "the key is none of Warren's");
        return;
    }
    struct zone_count *z = zone_of(o, key.zone);
    if (key.type == REGISTRY_KEY_ZONE) {
        z->has_settings = true;
        error = registry_zone_parse(&zone, value, &why);
    } else if (key.type == REGISTRY_KEY_PEER) {
        error = check_peer(o, z, key.peer, value, &why);
    } else {
        error = check_observation(z, key.peer, value, &why);
    }
    if (error != OK)
        add_invalid(o, kv, why.size > 0 ? strbuf_str(&why) : err_text(error));
    strbuf_fini(&why);
}

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, KEY_SIZE);
}

/* Published is who was observed, added or not, and who has a static endpoint. */
static void count_published(struct zone_count *z)
{
    if (z->seen_count > 0)
        qsort(z->seen, z->seen_count, KEY_SIZE, compare_keys);
    for (size_t i = 0; i < z->seen_count; i++)
        z->published += i == 0 || memcmp(z->seen[i - 1], z->seen[i], KEY_SIZE) != 0;
    for (size_t i = 0; i < z->fixed_count; i++)
        z->published += z->seen_count == 0 || bsearch(z->fixed[i], z->seen, z->seen_count, KEY_SIZE,
                                                      compare_keys) == NULL;
}

/* Asking the member. */

struct answers {
    const Etcdserverpb__StatusResponse *status;
    const Etcdserverpb__MemberListResponse *members;
    const Etcdserverpb__LeaseLeasesResponse *leases;
    const Etcdserverpb__AlarmResponse *alarms;
    uint64_t id;
    const char *name;
};

static void ask(struct cli *cli, struct answers *a)
{
    Etcdserverpb__StatusRequest status = ETCDSERVERPB__STATUS_REQUEST__INIT;
    Etcdserverpb__MemberListRequest members = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    Etcdserverpb__LeaseLeasesRequest leases = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    Etcdserverpb__AlarmRequest alarms = ETCDSERVERPB__ALARM_REQUEST__INIT;
    a->status = cli_call(cli, "/etcdserverpb.Maintenance/Status", &status,
                         &etcdserverpb__status_response__descriptor, true, CLI_ERROR);
    a->members = cli_call(cli, "/etcdserverpb.Cluster/MemberList", &members,
                          &etcdserverpb__member_list_response__descriptor, true, CLI_ERROR);
    a->leases = cli_call(cli, "/etcdserverpb.Lease/LeaseLeases", &leases,
                         &etcdserverpb__lease_leases_response__descriptor, true, CLI_ERROR);
    a->alarms = cli_call(cli, "/etcdserverpb.Maintenance/Alarm", &alarms,
                         &etcdserverpb__alarm_response__descriptor, true, CLI_ERROR);
    a->id = a->status->header != NULL ? a->status->header->member_id : 0;
    a->name = "";
    for (size_t i = 0; i < a->members->n_members; i++) {
        if (a->members->members[i]->id == a->id)
            a->name = a->members->members[i]->name;
    }
}

/* Printing. */

static void print_alarms(const struct answers *a)
{
    printf("alarms    %s", a->alarms->n_alarms == 0 ? "none" : "");
    for (size_t i = 0; i < a->alarms->n_alarms; i++)
        printf("%s%s of member %" PRIx64, i > 0 ? ", " : "",
               alarm_name(a->alarms->alarms[i]->alarm), a->alarms->alarms[i]->memberid);
    putchar('\n');
}

static void print_member(const struct answers *a)
{
    const Etcdserverpb__StatusResponse *s = a->status;
    char *quota = human_size(s->dbsizequota), *size = human_size(s->dbsize),
         *used = human_size(s->dbsizeinuse);
    const char *role = s->leader == a->id ? "leader" : s->islearner ? "learner" : "follower";
    printf("member    %s %" PRIx64 ", %s, of %zu\n", a->name, a->id, role, a->members->n_members);
    printf("version   %s\n", s->version);
    printf("revision  %" PRId64 "\n", s->header != NULL ? s->header->revision : 0);
    printf("store     %s, %s in use, quota %s\n", size, used,
           s->dbsizequota > 0 ? quota : "not told");
    printf("leases    %zu\n", a->leases->n_leases);
    print_alarms(a);
    free(quota);
    free(size);
    free(used);
}

static void print_zones(const struct overview *o)
{
    printf("zones     %zu\n", o->zone_count);
    for (size_t i = 0; i < o->zone_count; i++) {
        const struct zone_count *z = &o->zones[i];
        printf("  %s  %zu peers, %zu published%s\n", z->name, z->peers, z->published,
               z->has_settings ? "" : "; the zone itself does not exist");
    }
    if (o->invalid_count == 0) {
        puts("invalid   none");
        return;
    }
    printf("invalid   %zu\n", o->invalid_count);
    for (size_t i = 0; i < o->invalid_count && i < MAX_SHOWN; i++) {
        struct strbuf key = STRBUF_EMPTY;
        go_quote(&key, bytes_of_str(o->invalid[i].key));
        printf("  %s: %s\n", strbuf_str(&key), o->invalid[i].why);
        strbuf_fini(&key);
    }
    if (o->invalid_count > MAX_SHOWN)
        printf("  and %zu more\n", o->invalid_count - MAX_SHOWN);
}

static void json_member(struct strbuf *out, const struct answers *a)
{
    const Etcdserverpb__StatusResponse *s = a->status;
    strbuf_add_format(out, "{\"member\":{\"id\":%" PRIu64 ",\"name\":", a->id);
    go_json_string(out, bytes_of_str(a->name));
    strbuf_add_format(out, ",\"leader\":%s,\"learner\":%s},\"members\":%zu,\"version\":",
                      s->leader == a->id ? "true" : "false", s->islearner ? "true" : "false",
                      a->members->n_members);
    go_json_string(out, bytes_of_str(s->version));
    strbuf_add_format(out,
                      ",\"revision\":%" PRId64 ",\"dbSize\":%" PRId64 ",\"dbSizeInUse\":%" PRId64
                      ",\"dbSizeQuota\":%" PRId64 ",\"leases\":%zu,\"alarms\":[",
                      s->header != NULL ? s->header->revision : 0, s->dbsize, s->dbsizeinuse,
                      s->dbsizequota, a->leases->n_leases);
    for (size_t i = 0; i < a->alarms->n_alarms; i++)
        strbuf_add_format(out, "%s{\"member\":%" PRIu64 ",\"alarm\":\"%s\"}", i > 0 ? "," : "",
                          a->alarms->alarms[i]->memberid, alarm_name(a->alarms->alarms[i]->alarm));
    strbuf_add_str(out, "]");
}

static void json_zones(struct strbuf *out, const struct overview *o)
{
    strbuf_add_str(out, ",\"zones\":[");
    for (size_t i = 0; i < o->zone_count; i++) {
        const struct zone_count *z = &o->zones[i];
        strbuf_add_str(out, i > 0 ? ",{\"zone\":" : "{\"zone\":");
        go_json_string(out, bytes_of_str(z->name));
        strbuf_add_format(out, ",\"exists\":%s,\"peers\":%zu,\"published\":%zu}",
                          z->has_settings ? "true" : "false", z->peers, z->published);
    }
    strbuf_add_format(out, "],\"invalidCount\":%zu,\"invalid\":[", o->invalid_count);
    for (size_t i = 0; i < o->invalid_count && i < MAX_SHOWN; i++) {
        strbuf_add_str(out, i > 0 ? ",{\"key\":" : "{\"key\":");
        go_json_string(out, bytes_of_str(o->invalid[i].key));
        strbuf_add_str(out, ",\"why\":");
        go_json_string(out, bytes_of_str(o->invalid[i].why));
        strbuf_add_char(out, '}');
    }
    strbuf_add_str(out, "]}");
}

int verb_status(struct cli *cli, char **arguments, size_t count)
{
    struct overview o = {.zone_count = 0};
    struct answers a = {0};
    struct strbuf json = STRBUF_EMPTY;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "status command accepts no arguments");
    cli_start(cli);
    if (cli->format != FORMAT_SIMPLE && cli->format != FORMAT_JSON)
        cli_exit(CLI_BAD_FEATURE, "%s not supported as output format", cli->write_out);
    arena_init(&o.arena, STORE_VALUE_ARENA);
    ask(cli, &a);
    store_scan(cli, REGISTRY_ZONES_PREFIX, true, visit, &o);
    for (size_t i = 0; i < o.zone_count; i++)
        count_published(&o.zones[i]);
    if (cli->format == FORMAT_JSON) {
        json_member(&json, &a);
        json_zones(&json, &o);
        puts(cli_text(&json));
    } else {
        print_member(&a);
        print_zones(&o);
    }
    cli_flush();
    return CLI_OK;
}
