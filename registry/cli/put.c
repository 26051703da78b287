#include "kv.h"
#include "output.h"
#include "verbs.h"

static const char *lease;
static bool with_previous, ignore_value, ignore_lease;

struct flag put_flags[] = {
    {"ignore-lease", 0, FLAG_BOOL, &ignore_lease, "updates the key using its current lease", false},
    {"ignore-value", 0, FLAG_BOOL, &ignore_value, "updates the key using its current value", false},
    {"lease", 0, FLAG_STRING, &lease, "lease ID (in hexadecimal) to attach to the key", false},
    {"prev-kv", 0, FLAG_BOOL, &with_previous,
     "return the previous key-value pair before modification", false},
    {0},
};

void put_reset(void)
{
    lease = NULL;
    with_previous = ignore_value = ignore_lease = false;
}

void put_request(Etcdserverpb__PutRequest *out, char **arguments, size_t count)
{
    struct strbuf why = STRBUF_EMPTY, value = STRBUF_EMPTY;
    etcdserverpb__put_request__init(out);
    if (count == 0)
        cli_exit(CLI_BAD_ARGUMENTS,
                 "put command needs 1 argument and input from stdin or 2 arguments");
    if (ignore_value && count > 1)
        cli_exit(CLI_BAD_ARGUMENTS, "put command needs only 1 argument when 'ignore-value' is set");
    if (!ignore_value && count > 1) {
        out->value = cli_bytes(arguments[1]);
    } else if (!ignore_value) {
        cli_read_stdin(&value);
        if (value.size == 0)
            cli_exit(CLI_BAD_ARGUMENTS,
                     "put command needs 1 argument and input from stdin or 2 arguments");
        out->value.len = value.size;
        out->value.data = (uint8_t *)cli_text(&value);
    }
    if (lease != NULL && int64_parse(&out->lease, lease, 16, &why) != OK)
        cli_exit(CLI_BAD_ARGUMENTS, "bad lease ID (%s), expecting ID in Hex", strbuf_str(&why));
    out->key = cli_bytes(arguments[0]);
    out->prev_kv = with_previous;
    out->ignore_value = ignore_value;
    out->ignore_lease = ignore_lease;
}

int verb_put(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__PutRequest request;
    put_request(&request, arguments, count);
    cli_start(cli);
    output_put(cli, cli_call(cli, "/etcdserverpb.KV/Put", &request,
                             &etcdserverpb__put_response__descriptor, false, CLI_ERROR));
    return CLI_OK;
}
