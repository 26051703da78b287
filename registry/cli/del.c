#include "gotext.h"
#include "kv.h"
#include "output.h"
#include "verbs.h"

#include <stdio.h>
#include <unistd.h>

enum {
    REGRET_S = 2, /* between the warning and the deletion of a range */
};

static bool is_prefix, with_previous, from_key, is_range;

struct flag del_flags[] = {
    {"from-key", 0, FLAG_BOOL, &from_key,
     "delete keys that are greater than or equal to the given key using byte compare", false},
    {"prefix", 0, FLAG_BOOL, &is_prefix, "delete keys with matching prefix", false},
    {"prev-kv", 0, FLAG_BOOL, &with_previous, "return deleted key-value pairs", false},
    {"range", 0, FLAG_BOOL, &is_range, "delete range of keys", false},
    {0},
};

void del_reset(void)
{
    is_prefix = with_previous = from_key = is_range = false;
}

static void warn_of_range(char **arguments)
{
    struct strbuf text = STRBUF_EMPTY;
    strbuf_add_str(&text, "Warning: Keys between ");
    go_quote(&text, bytes_of_str(arguments[0]));
    strbuf_add_str(&text, " and ");
    go_quote(&text, bytes_of_str(arguments[1]));
    cli_say("%s will be deleted. Please interrupt the command within next %d seconds to cancel. "
            "You can provide `--range` flag to avoid the delay.",
            strbuf_str(&text), REGRET_S);
    strbuf_fini(&text);
    sleep(REGRET_S);
}

void del_request(Etcdserverpb__DeleteRangeRequest *out, char **arguments, size_t count)
{
    etcdserverpb__delete_range_request__init(out);
    if (count == 0 || count > 2)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "del command needs one argument as key and an optional argument as range_end");
    if (is_prefix && from_key)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "`--prefix` and `--from-key` cannot be set at the same time, choose one");
    if (count > 1 && (is_prefix || from_key))
        cli_exit(CLI_BAD_ARGUMENTS, "too many arguments, only accept one argument when `--prefix` "
                                    "or `--from-key` is set");
    out->key = cli_bytes(arguments[0]);
    if (count > 1) {
        out->range_end = cli_bytes(arguments[1]);
        if (!is_range)
            warn_of_range(arguments);
    }
    if (is_prefix || from_key)
        key_range(arguments[0], is_prefix, &out->key, &out->range_end);
    out->prev_kv = with_previous;
}

int verb_del(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__DeleteRangeRequest request;
    del_request(&request, arguments, count);
    cli_start(cli);
    output_delete(cli,
                  cli_call(cli, "/etcdserverpb.KV/DeleteRange", &request,
                           &etcdserverpb__delete_range_response__descriptor, false, CLI_ERROR));
    return CLI_OK;
}
