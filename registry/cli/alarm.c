#include "output.h"
#include "verbs.h"

#include <stdlib.h>

static Etcdserverpb__AlarmResponse *call(struct cli *cli, const Etcdserverpb__AlarmRequest *request)
{
    bool is_read = request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET;
    return cli_call(cli, "/etcdserverpb.Maintenance/Alarm", request,
                    &etcdserverpb__alarm_response__descriptor, is_read, CLI_ERROR);
}

static Etcdserverpb__AlarmResponse *list(struct cli *cli)
{
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    request.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET;
    return call(cli, &request);
}

int alarm_list(struct cli *cli, char **arguments, size_t count)
{
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "alarm list command accepts no arguments");
    cli_start(cli);
    output_alarms(cli, list(cli));
    return CLI_OK;
}

/* One by one: a server disarms an alarm by its member and kind, and one without either is none.
 * What is printed has no header then, as etcd's client gives it. */
int alarm_disarm(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__AlarmResponse disarmed = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "alarm disarm command accepts no arguments");
    cli_start(cli);
    const Etcdserverpb__AlarmResponse *armed = list(cli);
    for (size_t i = 0; i < armed->n_alarms; i++) {
        Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
        request.action = ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE;
        request.memberid = armed->alarms[i]->memberid;
        request.alarm = armed->alarms[i]->alarm;
        Etcdserverpb__AlarmResponse *r = call(cli, &request);
        if (r->n_alarms == 0)
            continue; /* somebody else was faster */
        disarmed.alarms = cli_memory(
            realloc(disarmed.alarms, (disarmed.n_alarms + r->n_alarms) * sizeof(*disarmed.alarms)));
        for (size_t j = 0; j < r->n_alarms; j++)
            disarmed.alarms[disarmed.n_alarms++] = r->alarms[j];
    }
    output_alarms(cli, &disarmed);
    return CLI_OK;
}
