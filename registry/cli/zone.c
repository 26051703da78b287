#include "output.h"
#include "store.h"
#include "verbs.h"

#include <stdio.h>
#include <stdlib.h>

#define NOT_GIVEN INT64_MIN

static int64_t ttl = NOT_GIVEN, refresh = NOT_GIVEN, retry = NOT_GIVEN, expire = NOT_GIVEN,
               minimum = NOT_GIVEN;
static const char *mname, *rname;
static struct flag_list ns;

struct flag zone_flags[] = {
    {"mname", 0, FLAG_STRING, &mname, "primary name server of the SOA", false},
    {"ns", 0, FLAG_LIST, &ns, "name servers, repeatable", false},
    {"rname", 0, FLAG_STRING, &rname, "mailbox of the SOA, as a name", false},
    {"soa-expire", 0, FLAG_INT64, &expire, "SOA expire in seconds", false},
    {"soa-minimum", 0, FLAG_INT64, &minimum, "SOA minimum in seconds", false},
    {"soa-refresh", 0, FLAG_INT64, &refresh, "SOA refresh in seconds", false},
    {"soa-retry", 0, FLAG_INT64, &retry, "SOA retry in seconds", false},
    {"ttl", 0, FLAG_INT64, &ttl, "TTL of the zone's records in seconds", false},
    {0},
};

static void set_seconds(uint32_t *out, int64_t value, const char *what)
{
    if (value == NOT_GIVEN)
        return;
    if (value < 0 || value > INT32_MAX)
        cli_exit(CLI_BAD_ARGUMENTS, "--%s: not between 0 and 2147483647 seconds", what);
    *out = (uint32_t)value;
}

static void set_name(struct dns_name_buf *out, const char *text)
{
    char printed[ZONE_TEXT_SIZE];
    if (text == NULL)
        return;
    if (zone_name_parse(printed, text) != OK ||
        dns_name_from_text(out, printed, strlen(printed)) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "'%s' is not a domain name", text);
}

static void apply_flags(struct registry_zone *zone)
{
    set_seconds(&zone->ttl_s, ttl, "ttl");
    set_seconds(&zone->soa_refresh_s, refresh, "soa-refresh");
    set_seconds(&zone->soa_retry_s, retry, "soa-retry");
    set_seconds(&zone->soa_expire_s, expire, "soa-expire");
    set_seconds(&zone->soa_minimum_s, minimum, "soa-minimum");
    set_name(&zone->soa_mname, mname);
    set_name(&zone->soa_rname, rname);
    if (ns.count > ZONE_MAX_NAME_SERVERS)
        cli_exit(CLI_BAD_ARGUMENTS, "more than %d name servers", ZONE_MAX_NAME_SERVERS);
    for (size_t i = 0; i < ns.count; i++)
        set_name(&zone->ns[i], ns.items[i]);
    if (ns.count > 0)
        zone->ns_count = ns.count;
}

struct zone_value {
    char *text; /* NULL: there is no such zone */
    int64_t mod_revision;
};

static void visit_value(void *user, const Mvccpb__KeyValue *kv)
{
    struct zone_value *v = user;
    v->text = cli_memory(strndup((const char *)kv->value.data, kv->value.len));
    v->mod_revision = kv->mod_revision;
}

static const char *zone_argument(struct cli *cli, char **arguments, size_t count, const char *verb,
                                 bool must_exist)
{
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "zone %s command needs the zone's name", verb);
    cli_start(cli);
    return store_zone(cli, arguments[0], must_exist);
}

static char *zone_json(const struct registry_zone *zone)
{
    struct strbuf out = STRBUF_EMPTY;
    registry_zone_format(&out, zone);
    return cli_text(&out);
}

int zone_create(struct cli *cli, char **arguments, size_t count)
{
    struct registry_zone zone;
    struct store_txn txn = {0};
    registry_zone_defaults(&zone);
    apply_flags(&zone);
    const char *name = zone_argument(cli, arguments, count, "create", false);
    char *key = store_zone_key(name);
    store_expect(&txn, key, 0);
    store_put(&txn, key, zone_json(&zone));
    if (!store_commit(cli, &txn))
        cli_exit(CLI_ERROR, "zone %s already exists", name);
    printf("zone %s created\n", name);
    cli_flush();
    return CLI_OK;
}

int zone_set(struct cli *cli, char **arguments, size_t count)
{
    struct registry_zone zone;
    struct zone_value value = {0};
    struct store_txn txn = {0};
    struct strbuf why = STRBUF_EMPTY;
    const char *name = zone_argument(cli, arguments, count, "set", true);
    char *key = store_zone_key(name);
    store_scan(cli, key, false, visit_value, &value);
    if (value.text == NULL)
        cli_exit(CLI_ERROR, "zone %s does not exist", name);
    if (registry_zone_parse(&zone, bytes_of_str(value.text), &why) != OK) {
        cli_say("Warning: the settings of %s could not be read (%s); they start anew", name,
                strbuf_str(&why));
        registry_zone_defaults(&zone);
    }
    apply_flags(&zone);
    store_expect(&txn, key, value.mod_revision);
    store_put(&txn, key, zone_json(&zone));
    if (!store_commit(cli, &txn))
        cli_exit(CLI_ERROR, "zone %s was changed by someone else meanwhile; try again", name);
    printf("zone %s changed\n", name);
    cli_flush();
    return CLI_OK;
}

/* A name as text; DEFAULT_LABEL below ZONE for the empty one. */
static const char *name_text(const struct dns_name_buf *name, const char *default_label,
                             const char *zone)
{
    struct strbuf out = STRBUF_EMPTY;
    char text[DNS_NAME_TEXT_SIZE];
    struct dns_name n = dns_name_of(name);
    size_t size = dns_name_to_text(n, text);
    if (size <= 1)
        strbuf_add_format(&out, "%s.%s", default_label, zone);
    else
        strbuf_add(&out, text, size);
    return cli_text(&out);
}

static void print_zone(const char *name, const struct registry_zone *z)
{
    printf("zone %s\n  ttl %u\n", name, z->ttl_s);
    printf("  soa %s %s refresh %u retry %u expire %u minimum %u\n",
           name_text(&z->soa_mname, "ns1", name), name_text(&z->soa_rname, "hostmaster", name),
           z->soa_refresh_s, z->soa_retry_s, z->soa_expire_s, z->soa_minimum_s);
    for (size_t i = 0; i < z->ns_count; i++)
        printf("  ns %s\n", name_text(&z->ns[i], "ns1", name));
    if (z->ns_count == 0)
        printf("  ns %s\n", name_text(&z->soa_mname, "ns1", name));
}

int zone_show(struct cli *cli, char **arguments, size_t count)
{
    struct zone_value value = {0};
    struct registry_zone zone;
    struct strbuf why = STRBUF_EMPTY;
    const char *name = zone_argument(cli, arguments, count, "show", true);
    store_scan(cli, store_zone_key(name), false, visit_value, &value);
    if (value.text == NULL)
        cli_exit(CLI_ERROR, "zone %s does not exist", name);
    if (registry_zone_parse(&zone, bytes_of_str(value.text), &why) != OK)
        cli_exit(CLI_ERROR, "the settings of zone %s cannot be read: %s", name, strbuf_str(&why));
    if (cli->format == FORMAT_JSON)
        puts(zone_json(&zone));
    else
        print_zone(name, &zone);
    cli_flush();
    return CLI_OK;
}

int zone_list(struct cli *cli, char **arguments, size_t count)
{
    char **names;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "zone list command does not accept arguments");
    cli_start(cli);
    count = store_zones(cli, &names);
    for (size_t i = 0; i < count; i++) {
        if (cli->format == FORMAT_JSON)
            printf("%s\"%s\"%s", i == 0 ? "[" : ",", names[i], i + 1 == count ? "]\n" : "");
        else
            puts(names[i]);
    }
    if (count == 0 && cli->format == FORMAT_JSON)
        puts("[]");
    cli_flush();
    return CLI_OK;
}
