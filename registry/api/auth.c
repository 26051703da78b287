/* etcdserverpb.Auth: there is no authentication yet. Until there is, this answers as an etcd that
 * has no users and no roles: what asks for one finds none, and what would make one is refused by
 * name (services.c). */
#include "server.h"
#include "services.h"
#include "unary.h"

/* AuthStatusResponse with `enabled` and `authRevision` at their defaults, AuthUserListResponse and
 * AuthRoleListResponse without users or roles, and AuthDisableResponse are one message: a header.
 */
static void answer_header(struct call *c)
{
    struct store_status status;
    store_status(c->server->store, &status);
    unary_answer_header(c, &(struct store_response){.revision = status.revision});
}

void auth_status(struct call *c, struct bytes message)
{
    (void)message;
    answer_header(c);
}

void auth_list(struct call *c, struct bytes message)
{
    (void)message;
    answer_header(c);
}

void auth_disable(struct call *c, struct bytes message)
{
    (void)message;
    answer_header(c); /* it is not enabled, which is no error to etcd */
}

void auth_enable(struct call *c, struct bytes message)
{
    (void)message;
    call_end_verdict(c, VERDICT_ROOT_MISSING);
}

void auth_not_enabled(struct call *c, struct bytes message)
{
    (void)message;
    call_end_verdict(c, VERDICT_AUTH_NOT_ENABLED);
}

void auth_no_user(struct call *c, struct bytes message)
{
    (void)message;
    call_end_verdict(c, VERDICT_USER_NOT_FOUND);
}

void auth_no_role(struct call *c, struct bytes message)
{
    (void)message;
    call_end_verdict(c, VERDICT_ROLE_NOT_FOUND);
}
