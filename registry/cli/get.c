#include "kv.h"
#include "output.h"
#include "verbs.h"

#include <stdlib.h>
#include <strings.h>

static const char *consistency, *order, *sort_by;
static int64_t limit, revision, min_create, max_create, min_mod, max_mod;
static bool is_prefix, from_key, keys_only, count_only, value_only;

struct flag get_flags[] = {
    {"consistency", 0, FLAG_STRING, &consistency, "Linearizable(l) or Serializable(s)", false},
    {"count-only", 0, FLAG_BOOL, &count_only, "Get only the count", false},
    {"from-key", 0, FLAG_BOOL, &from_key,
     "Get keys that are greater than or equal to the given key using byte compare", false},
    {"keys-only", 0, FLAG_BOOL, &keys_only, "Get only the keys", false},
    {"limit", 0, FLAG_INT64, &limit, "Maximum number of results", false},
    {"max-create-rev", 0, FLAG_INT64, &max_create, "Maximum create revision", false},
    {"max-mod-rev", 0, FLAG_INT64, &max_mod, "Maximum modification revision", false},
    {"min-create-rev", 0, FLAG_INT64, &min_create, "Minimum create revision", false},
    {"min-mod-rev", 0, FLAG_INT64, &min_mod, "Minimum modification revision", false},
    {"order", 0, FLAG_STRING, &order, "Order of results; ASCEND or DESCEND (ASCEND by default)",
     false},
    {"prefix", 0, FLAG_BOOL, &is_prefix, "Get keys with matching prefix", false},
    {"print-value-only", 0, FLAG_BOOL, &value_only,
     "Only write values when using the \"simple\" output format", false},
    {"rev", 0, FLAG_INT64, &revision, "Specify the kv revision", false},
    {"sort-by", 0, FLAG_STRING, &sort_by, "Sort target; CREATE, KEY, MODIFY, VALUE, or VERSION",
     false},
    {0},
};

void get_reset(void)
{
    consistency = order = sort_by = NULL;
    limit = revision = min_create = max_create = min_mod = max_mod = 0;
    is_prefix = from_key = keys_only = count_only = value_only = false;
}

ProtobufCBinaryData prefix_end(ProtobufCBinaryData key)
{
    uint8_t *end = cli_memory(malloc(key.len + 1));
    memcpy(end, key.data, key.len);
    for (size_t i = key.len; i > 0; i--) {
        if (end[i - 1] < 0xff) {
            end[i - 1]++;
            return (ProtobufCBinaryData){.len = i, .data = end};
        }
    }
    end[0] = 0;
    return (ProtobufCBinaryData){.len = 1, .data = end};
}

static const ProtobufCBinaryData zero_byte = {.len = 1, .data = (uint8_t[]){0}};

void key_range(const char *text, bool with_prefix, ProtobufCBinaryData *key,
               ProtobufCBinaryData *end)
{
    *key = text[0] != '\0' ? cli_bytes(text) : zero_byte;
    *end = with_prefix && text[0] != '\0' ? prefix_end(*key) : zero_byte;
}

static void set_order(Etcdserverpb__RangeRequest *out)
{
    static const char *const orders[] = {"", "ASCEND", "DESCEND"};
    static const char *const targets[] = {"KEY", "VERSION", "CREATE", "MODIFY", "VALUE"};
    const char *wanted = order != NULL ? order : "", *target = sort_by != NULL ? sort_by : "";
    size_t i = 0;
    while (i < ARRAY_COUNT(orders) && strcasecmp(wanted, orders[i]) != 0)
        i++;
    if (i == ARRAY_COUNT(orders))
        cli_exit(CLI_BAD_FEATURE, "bad sort order %s", wanted);
    out->sort_order = (Etcdserverpb__RangeRequest__SortOrder)i;
    for (i = 0; i < ARRAY_COUNT(targets) && strcasecmp(target, targets[i]) != 0; i++)
        ;
    if (i == ARRAY_COUNT(targets) && target[0] != '\0')
        cli_exit(CLI_BAD_FEATURE, "bad sort target %s", target);
    out->sort_target = (Etcdserverpb__RangeRequest__SortTarget)(target[0] == '\0' ? 0 : i);
    /* What etcd's client library does: the keys' order is the server's own. */
    if (out->sort_target == ETCDSERVERPB__RANGE_REQUEST__SORT_TARGET__KEY &&
        out->sort_order == ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND)
        out->sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__NONE;
}

static void set_filters(Etcdserverpb__RangeRequest *out)
{
    if (max_create > 0 && min_create > max_create)
        cli_exit(CLI_BAD_FEATURE, "getMinCreateRev(=%lld) > getMaxCreateRev(=%lld)",
                 (long long)min_create, (long long)max_create);
    if (max_mod > 0 && min_mod > max_mod)
        cli_exit(CLI_BAD_FEATURE, "getMinModRev(=%lld) > getMaxModRev(=%lld)", (long long)min_mod,
                 (long long)max_mod);
    out->min_create_revision = min_create > 0 ? min_create : 0;
    out->max_create_revision = max_create > 0 ? max_create : 0;
    out->min_mod_revision = min_mod > 0 ? min_mod : 0;
    out->max_mod_revision = max_mod > 0 ? max_mod : 0;
}

void get_request(Etcdserverpb__RangeRequest *out, char **arguments, size_t count)
{
    etcdserverpb__range_request__init(out);
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "get command needs one argument as key and an optional argument as range_end");
    if (is_prefix && from_key)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "`--prefix` and `--from-key` cannot be set at the same time, choose one");
    if (keys_only && count_only)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "`--keys-only` and `--count-only` cannot be set at the same time, choose one");
    if (consistency != NULL && strcmp(consistency, "s") != 0 && strcmp(consistency, "l") != 0)
        cli_exit(CLI_BAD_FEATURE, "unknown consistency flag \"%s\"", consistency);
    if (count > 1 && (is_prefix || from_key))
        cli_exit(CLI_BAD_ARGUMENTS, "too many arguments, only accept one argument when `--prefix` "
                                    "or `--from-key` is set");
    out->key = cli_bytes(arguments[0]);
    if (count > 1)
        out->range_end = cli_bytes(arguments[1]);
    if (is_prefix || from_key)
        key_range(arguments[0], is_prefix, &out->key, &out->range_end);
    set_order(out);
    set_filters(out);
    out->serializable = consistency != NULL && strcmp(consistency, "s") == 0;
    out->limit = limit;
    out->revision = revision > 0 ? revision : 0;
    out->keys_only = keys_only;
    out->count_only = count_only;
}

int verb_get(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__RangeRequest request;
    get_request(&request, arguments, count);
    cli_start(cli);
    void *reply = cli_call(cli, "/etcdserverpb.KV/Range", &request,
                           &etcdserverpb__range_response__descriptor, true, CLI_ERROR);
    if (count_only && cli->format != FORMAT_FIELDS)
        cli_exit(CLI_BAD_ARGUMENTS, "--count-only is only for `--write-out=fields`");
    if (value_only && cli->format != FORMAT_SIMPLE)
        cli_exit(CLI_BAD_ARGUMENTS, "print-value-only is only for `--write-out=simple`");
    cli->value_only = value_only;
    output_get(cli, reply);
    return CLI_OK;
}
