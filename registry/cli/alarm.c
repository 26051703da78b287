#include "output.h"
#include "verbs.h"

static int run_alarm(struct cli *cli, Etcdserverpb__AlarmRequest__AlarmAction action)
{
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    cli_start(cli);
    request.action = action; /* with no member and no kind: all of them */
    output_alarms(cli,
                  cli_call(cli, "/etcdserverpb.Maintenance/Alarm", &request,
                           &etcdserverpb__alarm_response__descriptor,
                           action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET, CLI_ERROR));
    return CLI_OK;
}

int alarm_list(struct cli *cli, char **arguments, size_t count)
{
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "alarm list command accepts no arguments");
    return run_alarm(cli, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET);
}

int alarm_disarm(struct cli *cli, char **arguments, size_t count)
{
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "alarm disarm command accepts no arguments");
    return run_alarm(cli, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE);
}
