/* etcdserverpb.Auth: there is no authentication yet. */
#include "server.h"
#include "services.h"
#include "unary.h"

/* AuthStatusResponse with `enabled` and `authRevision` at their defaults, AuthUserListResponse and
 * AuthRoleListResponse without users or roles are one message: a header. */
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

void auth_not_enabled(struct call *c, struct bytes message)
{
    (void)message;
    call_end_verdict(c, VERDICT_AUTH_NOT_ENABLED);
}
