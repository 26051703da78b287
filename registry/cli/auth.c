/* user list and role list. */
#include "output.h"
#include "verbs.h"

int user_list(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__AuthUserListRequest request = ETCDSERVERPB__AUTH_USER_LIST_REQUEST__INIT;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "user list command requires no arguments");
    cli_start(cli);
    const Etcdserverpb__AuthUserListResponse *r =
        cli_call(cli, "/etcdserverpb.Auth/UserList", &request,
                 &etcdserverpb__auth_user_list_response__descriptor, true, CLI_ERROR);
    if (cli->format == FORMAT_FIELDS) /* as etcdctl, which has them for roles alone */
        cli_exit(CLI_BAD_FEATURE, "%s not supported as output format", cli->write_out);
    output_names(cli, &r->base, r->header, "Users", r->users, r->n_users);
    return CLI_OK;
}

int role_list(struct cli *cli, char **arguments, size_t count)
{
    Etcdserverpb__AuthRoleListRequest request = ETCDSERVERPB__AUTH_ROLE_LIST_REQUEST__INIT;
    (void)arguments;
    if (count != 0)
        cli_exit(CLI_BAD_ARGUMENTS, "role list command requires no arguments");
    cli_start(cli);
    const Etcdserverpb__AuthRoleListResponse *r =
        cli_call(cli, "/etcdserverpb.Auth/RoleList", &request,
                 &etcdserverpb__auth_role_list_response__descriptor, true, CLI_ERROR);
    output_names(cli, &r->base, r->header, "Roles", r->roles, r->n_roles);
    return CLI_OK;
}
