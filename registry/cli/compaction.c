#include "output.h"
#include "verbs.h"

#include <stdio.h>

static bool is_physical;

struct flag compaction_flags[] = {
    {"physical", 0, FLAG_BOOL, &is_physical,
     "'true' to wait for compaction to physically remove all old revisions", false},
    {0},
};

int verb_compaction(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    struct strbuf why = STRBUF_EMPTY;
    if (count != 1)
        cli_exit(CLI_BAD_ARGUMENTS, "compaction command needs 1 argument");
    if (int64_parse(&request.revision, arguments[0], 10, &why) != OK)
        cli_exit(CLI_ERROR, "%s", strbuf_str(&why));
    request.physical = is_physical;
    cli_start(cli);
    cli_call(cli, "/etcdserverpb.KV/Compact", &request,
             &etcdserverpb__compaction_response__descriptor, false, CLI_ERROR);
    printf("compacted revision %lld\n", (long long)request.revision);
    cli_flush();
    return CLI_OK;
}
