/* grpc.health.v1.Health: of the one service "", which serves as long as writes are accepted. */
#include "convert.h"
#include "pb.h"
#include "server.h"
#include "services.h"
#include "unary.h"

enum {
    RESPONSE_STATUS = 1, /* field */

    STATUS_SERVING = 1,
    STATUS_NOT_SERVING = 2,
    STATUS_SERVICE_UNKNOWN = 3,
};

static unsigned serving_status(struct server *s)
{
    struct store_status status;
    store_status(s->store, &status);
    return status.failure[0] == '\0' && status.leader != 0 ? STATUS_SERVING : STATUS_NOT_SERVING;
}

static bool answer_status(struct call *c, unsigned status)
{
    uint8_t *at = call_message(c, pb_uint_size(status));
    if (at == NULL)
        return false;
    pb_put_uint(at, RESPONSE_STATUS, status);
    return true;
}

static bool decode(struct call *c, struct bytes message, bool *is_known)
{
    struct bytes service;
    enum err e = convert_health(&service, message);
    if (e != OK)
        unary_refuse(c, e, "HealthCheckRequest");
    else
        *is_known = service.size == 0;
    return e == OK;
}

void health_check(struct call *c, struct bytes message)
{
    bool is_known;
    if (!decode(c, message, &is_known))
        return;
    if (!is_known)
        call_end(c, GRPC_NOT_FOUND, "unknown service");
    else if (answer_status(c, serving_status(c->server)))
        call_finish(c);
}

/* A stream of changes; the first one is now. What is told later is the end of the server. */
void health_watch(struct call *c, struct bytes message)
{
    bool is_known;
    if (!c->is_answered && decode(c, message, &is_known)) {
        c->is_answered = true; /* one request alone */
        (void)answer_status(c, is_known ? serving_status(c->server) : STATUS_SERVICE_UNKNOWN);
    }
}
